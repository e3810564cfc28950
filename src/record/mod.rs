//! Records: what is left when packets are gone.
//!
//! In: ended flows. Out: [`FlowRecord`]s as they are, [`Rollup`]s that merge, and at the end the
//! [`Finding`]s and [`Asset`]s a report prints. Nothing here judges; `join` fills them in.

mod finding;
mod flow;
mod rollup;
pub mod spool;
mod starts;

pub use finding::{
    AsNumber, Asset, Channel, CountryBytes, Crossing, Destination, Direction, Evidence, Finding, FindingAsset, Loss,
    MonthBytes, Schedule,
};
pub use flow::{FlowRecord, NAME_FIELDS, normal_name, transport};
pub use rollup::{
    ADDRESSES_MAX, EvidenceKey, Gist, HostTraits, Rare, Rollup, RollupKey, TRAITS_MAX, Unseen, Volume, digest,
};
pub use starts::{PIECES_MAX, Starts};
