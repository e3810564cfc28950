//! What only the whole can tell: names from another flow's answer, who a host is, which channel
//! a flow was, and where it went.
//!
//! In: the merged sums of all workers. Out: findings and assets, sorted, the same for any number
//! of workers; and for every flow record what was learnt of it elsewhere.

mod assets;
mod findings;
mod names;
mod neighbours;

pub use assets::{Identified, Vendorship};
pub use names::NameBook;

use std::net::IpAddr;

use crate::collect::Gathered;
use crate::merge::Map;
use crate::place::Places;
use crate::policy::Policy;
use crate::record::{Asset, Finding};
use crate::signature::Signatures;
use neighbours::Neighbours;

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
    pub names: NameBook,
}

/// Joins what the workers gathered.
pub fn join(mut gathered: Gathered, context: Context<'_>) -> Joined {
    let names = NameBook::new(std::mem::take(&mut gathered.names));
    let Gathered { rollups, evidence, hosts: traits, macs, .. } = gathered;
    let neighbours = Neighbours::new(&macs, &traits, context.policy);
    let hosts = assets::identify(&evidence, &traits, &neighbours, context);
    let (findings, known_by_channel) = findings::find(&rollups, &neighbours, &hosts, &names, context);
    let assets = assets::list(&hosts, known_by_channel, &rollups, &neighbours, context);
    Joined { findings, assets, hosts, names }
}
