//! dns (to be written).
use crate::fact::{Facts, Side};
use crate::parse::{Claim, Parser, Prefix, Progress, Protocol, Transport};

/// Placeholder.
pub static PROTOCOL: Protocol = Protocol { name: "dns", over: &[Transport::Tcp], fields: &[], claim: |_, _, _| Claim::No, parser: |_| Box::new(Nothing) };
struct Nothing;
impl Parser for Nothing { fn feed(&mut self, _: Side, _: Prefix<'_>, _: &mut Facts) -> Progress { Progress::NotMine } }
