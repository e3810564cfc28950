//! tls (to be written).
use crate::fact::{Facts, Field, Kind, Side};
use crate::parse::{Claim, Parser, Prefix, Progress, Protocol, Transport};

/// Placeholder.
pub static PROTOCOL: Protocol = Protocol { name: "tls", over: &[Transport::Tcp], fields: &[], claim: |_, _, _| Claim::No, embedded: true, parser: |_| Box::new(Nothing) };
/// x
pub static SNI: Field = Field::new("tls.sni", Kind::Name, "");
struct Nothing;
impl Parser for Nothing { fn feed(&mut self, _: Side, _: Prefix<'_>, _: &mut Facts) -> Progress { Progress::NotMine } }
