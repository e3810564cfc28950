//! Rollups: flows of one kind between one inside host and one outside place, added up.
//!
//! In: ended flows, each with the channels it may be. Out: sums that merge by the laws of
//! `merge`, so that workers, files and sensors combine in any order.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::fact::{Seen, Side};
use crate::merge::{By, Few, First, Merge, Span, Tally};
use crate::record::Starts;

/// Addresses kept of one rollup that has no address in its key.
pub const ADDRESSES_MAX: usize = 64;

/// What a flow comes to, whoever it was between: all that its facts and its ports decide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gist {
    /// The best name in the flow itself, lower case.
    pub name: Option<Arc<str>>,
    /// The field the name came from.
    pub name_field: Option<&'static str>,
    /// IANA protocol number.
    pub protocol: u8,
    /// Port of the side that was asked.
    pub port: u16,
    /// The side that is the inside host; of two the one that opened the flow; none when neither is ours.
    pub ours: Option<Side>,
    /// The other host is inside too.
    pub remote_inside: bool,
    /// The name was told to a proxy: the other host is not where it went.
    pub via_proxy: bool,
    /// The server name is hidden or may be (ECH).
    pub hidden: bool,
    /// What was sent can be read in more than one way.
    pub ambiguous: bool,
    /// What the other ways to read it name instead.
    pub other_names: Box<[Arc<str>]>,
    /// TLS shakes hands in it: only what comes behind that is traffic.
    pub tls: bool,
    /// Host names of the server's certificate, where none is of the domain that the hello asked for.
    pub certificate: Box<[Box<str>]>,
    /// Conditions that hold, by dense number, sorted.
    pub whens: Box<[u32]>,
    /// Those of them that are channels.
    pub candidates: Box<[u32]>,
}

impl Gist {
    /// The inside host opened the flow.
    pub fn outbound(&self) -> bool {
        self.ours == Some(Side::Source)
    }
}

/// What makes two flows of one worker count together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupKey {
    /// The inside host.
    pub host: IpAddr,
    /// The other host; of a name that was only asked for, none.
    pub remote: Option<IpAddr>,
    /// Number of the [`Gist`] in the worker's list.
    pub gist: u32,
}

impl Hash for RollupKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for address in [Some(self.host), self.remote] {
            match address {
                Some(IpAddr::V4(v4)) => state.write_u32(v4.to_bits()),
                Some(IpAddr::V6(v6)) => state.write_u128(v6.to_bits()),
                None => state.write_u8(0),
            }
        }
        state.write_u32(self.gist);
    }
}

/// Bytes both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// From the inside host.
    pub bytes_out: Tally,
    /// To the inside host.
    pub bytes_in: Tally,
}

impl Merge for Volume {
    fn merge(&mut self, other: Volume) {
        self.bytes_out.merge(other.bytes_out);
        self.bytes_in.merge(other.bytes_in);
    }
}

/// The sums of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollup {
    /// Flows (of a name only asked for: questions).
    pub flows: Tally,
    /// Flows in which the inside host sent payload.
    pub spoke_out: Tally,
    /// Flows in which the other host sent payload.
    pub spoke_in: Tally,
    /// Flows in which payload went from the inside host out, and more than a handshake.
    pub carried: Tally,
    /// First to last packet.
    pub span: Span,
    /// Bytes by month of the start, months since year 0.
    pub by_month: By<i32, Volume>,
    /// The first flow.
    pub first: First<Seen, ()>,
    /// When they began.
    pub starts: Starts,
    /// What most rollups have nothing of.
    pub rare: Option<Box<Rare>>,
}

/// What few rollups have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rare {
    /// Addresses the name resolved to, when there is none in the key.
    pub addresses: Few<IpAddr, ADDRESSES_MAX>,
    /// What was not seen.
    pub unseen: Unseen,
}

/// What was not seen of flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// Payload that never came by.
    pub missing: Tally,
    /// Flows of which one direction only was seen.
    pub one_sided: Tally,
    /// Flows whose start was not captured.
    pub midstream: Tally,
    /// Flows cut by the snap length.
    pub truncated: Tally,
    /// Flows given up because memory ran out.
    pub evicted: Tally,
}

impl Unseen {
    /// In the order of the fields.
    pub fn numbers(&self) -> [u64; 5] {
        [self.missing, self.one_sided, self.midstream, self.truncated, self.evicted].map(|tally| tally.0)
    }

    /// From its numbers.
    pub fn of(numbers: [u64; 5]) -> Unseen {
        let [missing, one_sided, midstream, truncated, evicted] = numbers.map(Tally);
        Unseen { missing, one_sided, midstream, truncated, evicted }
    }
}

impl Rollup {
    /// All bytes.
    pub fn volume(&self) -> Volume {
        self.by_month.iter().fold(Volume::default(), |mut sum, (_, volume)| {
            sum.merge(*volume);
            sum
        })
    }

    /// Addresses the name resolved to, when there is none in the key.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.rare.iter().flat_map(|rare| rare.addresses.iter().copied())
    }

    /// What was not seen.
    pub fn unseen(&self) -> Unseen {
        self.rare.as_ref().map(|rare| rare.unseen).unwrap_or_default()
    }
}

impl Merge for Rollup {
    fn merge(&mut self, other: Rollup) {
        self.flows.merge(other.flows);
        self.spoke_out.merge(other.spoke_out);
        self.spoke_in.merge(other.spoke_in);
        self.carried.merge(other.carried);
        self.span.merge(other.span);
        self.by_month.merge(other.by_month);
        self.first.merge(other.first);
        self.starts.merge(other.starts);
        match (&mut self.rare, other.rare) {
            (Some(ours), Some(theirs)) => ours.merge(*theirs),
            (ours @ None, theirs) => *ours = theirs,
            (Some(_), None) => {}
        }
    }
}

impl Merge for Rare {
    fn merge(&mut self, other: Rare) {
        self.addresses.merge(other.addresses);
        self.unseen.missing.merge(other.unseen.missing);
        self.unseen.one_sided.merge(other.unseen.one_sided);
        self.unseen.midstream.merge(other.unseen.midstream);
        self.unseen.truncated.merge(other.unseen.truncated);
        self.unseen.evicted.merge(other.unseen.evicted);
    }
}

/// One piece of evidence that a host is something: which condition, which field, which value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvidenceKey {
    /// The host that showed it.
    pub host: IpAddr,
    /// The condition, by dense number.
    pub when: u32,
    /// The field that carries it.
    pub field: &'static str,
    /// Its value, raw.
    pub value: Box<[u8]>,
    /// The flow that showed it can be read in more than one way.
    pub ambiguous: bool,
}

/// User agents or client fingerprints of one host that are told apart.
pub const TRAITS_MAX: usize = 16;

/// A number that tells values apart, the same on every machine: for counting different ones. It is FNV-1a of 64 bits
/// (draft-eastlake-fnv, section 2), which nobody needs to find collisions for: who wants to seem many can send many.
pub fn digest(value: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    value.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// What tells that one address fronts many hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostTraits {
    /// Distinct JA4 of hellos it sent, as [`digest`].
    pub client_fingerprints: Few<u64, TRAITS_MAX>,
    /// Distinct User-Agents it sent, as [`digest`].
    pub user_agents: Few<u64, TRAITS_MAX>,
    /// Hardware addresses seen with it.
    pub macs: Few<[u8; 6], 4>,
}

impl Merge for HostTraits {
    fn merge(&mut self, other: HostTraits) {
        self.client_fingerprints.merge(other.client_fingerprints);
        self.user_agents.merge(other.user_agents);
        self.macs.merge(other.macs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_published_vectors() {
        // draft-eastlake-fnv-21, section 6.2 (FNV64 of "", "a", "foobar").
        for (text, value) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(digest(text.as_bytes()), value);
        }
    }
}
