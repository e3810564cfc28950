//! Records: what is left when packets are gone.
//!
//! In: ended flows. Out: [`FlowRecord`]s as they are, [`Rollup`]s that merge, and at the end the
//! [`Finding`]s and [`Asset`]s a report prints. Nothing here judges; `join` fills them in.

mod baseline;
mod finding;
mod flow;
mod rollup;
pub mod spool;
mod starts;

pub use baseline::{Baseline, Origin};
pub use finding::{
    AsNumber, Asset, Channel, CountryBytes, Crossing, Destination, Direction, Evidence, Exempted, Finding,
    FindingAsset, Loss, Mismatch, MonthBytes, Schedule,
};
pub use flow::{
    Edges, FlowRecord, HELLO_NAMES, NAME_FIELDS, NO_WORD, is_one_domain, normal_name, transport, transport_number,
};
pub use rollup::{
    ADDRESSES_MAX, EvidenceKey, Gist, HostTraits, Rare, Rollup, RollupKey, TRAITS_MAX, Unseen, Volume, digest,
};
pub use starts::{PIECES_MAX, Starts};
