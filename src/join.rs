//! What only the whole can tell: names from another flow's answer, who a host is, which channel
//! a flow was, and where it went.
//!
//! In: the merged sums of all workers. Out: findings and assets, sorted, the same for any number
//! of workers; and for every flow record what was learnt of it elsewhere. Of a run that goes on `knowledge` keeps what is
//! known so far and `stored` writes it down.

mod assets;
mod carried;
mod findings;
mod knowledge;
mod names;
mod neighbours;
mod stored;

pub use assets::{Identified, Vendorship};
pub use carried::{Carried, Parts};
pub use findings::{Attributed, Attribution};
pub use knowledge::{Knowledge, MONTHS_MAX, SUMS_MAX, Seen};
pub use names::NameBook;
pub use stored::Stored;

use std::net::IpAddr;
use std::sync::Arc;

use crate::collect::{Gathered, Judging};
use crate::merge::Map;
use crate::place::Places;
use crate::policy::Policy;
use crate::record::{Asset, Baseline, Finding};
use crate::signature::Signatures;

/// An identity counts for what it needs to count for (a `from`, an unexplained destination) from
/// this confidence on.
pub const CONFIDENCE_ENOUGH: u8 = 60;

/// What a join needs to know beside the sums.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Signatures.
    pub signatures: &'a Signatures,
    /// Databases of places.
    pub places: &'a Places,
    /// Homes, inside prefixes, exemptions.
    pub policy: &'a Policy,
    /// What was known before.
    pub baseline: Option<&'a Baseline>,
}

impl Judging {
    /// For a join.
    pub fn context(&self) -> Context<'_> {
        Context {
            signatures: &self.signatures,
            places: &self.places,
            policy: &self.policy,
            baseline: self.baseline.as_deref(),
        }
    }
}

/// The answer.
pub struct Joined {
    /// Who talks where, most serious first.
    pub findings: Vec<Finding>,
    /// The appliances.
    pub assets: Vec<Asset>,
    /// Who each host is, for flow records.
    pub hosts: Map<IpAddr, Identified>,
    /// Names of addresses, for flow records.
    pub names: Arc<NameBook>,
}

/// Joins what the workers gathered.
pub fn join(gathered: Gathered, context: Context<'_>) -> Joined {
    let mut knowledge = Knowledge::default();
    knowledge.add(gathered);
    knowledge.join(context)
}
