//! What frames tell of hosts: which addresses stand behind a hardware address, and what DHCP clients say of themselves.
//!
//! In: flows with their hardware addresses. Out: [`Behind`], sets that merge, from which `join` decides whose address a
//! hardware address is; and evidence for hosts that spoke before they had an address.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Collector, Ends, MACS_MAX};
use crate::fact::{Facts, Side, value};
use crate::flow::key::link_local;
use crate::merge::{Few, Map, Merge};
use crate::parse::{arp, cdp, dhcp, lldp};
use crate::policy::Location;
use crate::record::FlowRecord;

/// Addresses kept that were seen behind one hardware address.
pub const SEEN_MAX: usize = 16;
/// Addresses kept that one hardware address called its own: a router may have one on each of many networks.
pub const OWN_MAX: usize = 64;
/// Management addresses kept that one hardware address told.
pub const MANAGED_MAX: usize = 4;
/// Networks of sixty-four bits that one host may have IPv6 addresses in: a global and a local one.
const NETWORKS_MAX: usize = 2;

/// What stands behind each hardware address.
pub type MacHosts = Map<[u8; 6], Behind>;

/// The addresses behind one hardware address, inside and outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    seen: Few<IpAddr, SEEN_MAX>,
    own: Few<IpAddr, OWN_MAX>,
    managed: Few<IpAddr, MANAGED_MAX>,
}

impl Merge for Behind {
    fn merge(&mut self, other: Behind) {
        self.seen.merge(other.seen);
        self.own.merge(other.own);
        self.managed.merge(other.managed);
    }
}

impl Behind {
    /// A packet came from this address or went to it. What no router passes on is its own.
    pub fn see(&mut self, address: IpAddr) {
        if is_link_local(address) {
            self.own.add(address);
        } else if is_a_host(address) {
            self.seen.add(address);
        }
    }

    /// It said in a way that only concerns itself that it has this address.
    pub fn call_own(&mut self, address: IpAddr) {
        if is_a_host(address) {
            self.own.add(address);
        }
    }

    /// The device is managed at this address.
    pub fn manage(&mut self, address: IpAddr) {
        if is_a_host(address) {
            self.managed.add(address);
        }
    }

    /// The addresses it called its own; none when there were more than are kept, because no device has so many.
    pub fn own(&self) -> impl Iterator<Item = IpAddr> {
        self.own.iter().copied().filter(|_| !self.own.had_more())
    }

    /// The addresses seen behind it that may be its own: who called addresses of an IP version its own has just those,
    /// and who sends for others has none but those.
    pub fn unclaimed(&self) -> impl Iterator<Item = IpAddr> {
        let told = |v4: bool| self.own.iter().any(|own| own.is_ipv4() == v4 && !is_link_local(*own));
        let told = [told(false), told(true)];
        let others = self.own.had_more() || self.sends_for_others();
        self.seen.iter().copied().filter(move |address| !others && !told[usize::from(address.is_ipv4())])
    }

    /// Where the device is managed.
    pub fn managed(&self) -> impl Iterator<Item = IpAddr> {
        self.managed.iter().copied()
    }

    /// Whether more was seen behind it than one host has: several IPv4 addresses that it did not call its own, IPv6
    /// addresses of many networks, or very many of any kind.
    fn sends_for_others(&self) -> bool {
        let own: Vec<IpAddr> = self.own().collect();
        let (mut v4, mut networks) = (0, Few::<u64, NETWORKS_MAX>::default());
        for address in self.seen.iter().filter(|address| !own.contains(address)) {
            match address {
                IpAddr::V4(_) => v4 += 1,
                IpAddr::V6(v6) => networks.add((v6.to_bits() >> 64) as u64),
            }
        }
        v4 > 1 || networks.had_more() || self.seen.had_more()
    }
}

/// Whether a hardware address is that of one device: neither nobody, nor a group, nor one that routers share.
pub fn is_one_device(mac: &[u8; 6]) -> bool {
    mac[0] & 1 == 0 && *mac != [0; 6] && !is_shared_by_routers(mac)
}

/// VRRP (RFC 5798, section 7.3; CARP as well), and HSRP and GLBP of Cisco.
fn is_shared_by_routers(mac: &[u8; 6]) -> bool {
    match *mac {
        [0x00, 0x00, 0x5e, 0x00, 0x01 | 0x02, _] => true,
        [0x00, 0x00, 0x0c, 0x07, 0xac, _] => true,
        [0x00, 0x00, 0x0c, 0x9f, group, _] => group >= 0xf0,
        [0x00, 0x05, 0x73, 0xa0, group, _] => group < 0x10,
        [0x00, 0x07, 0xb4, 0x00, ..] => true,
        _ => false,
    }
}

/// Addresses that no router passes on (RFC 3927, section 7; RFC 4291, section 2.5.6).
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn is_a_host(address: IpAddr) -> bool {
    let everybody = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || everybody)
}

/// Groups whose packets stay on the link (RFC 919; RFC 5771, section 4; RFC 4291, section 2.7).
fn is_group_of_the_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_broadcast() || matches!(v4.octets(), [224, 0, 0, _]),
        IpAddr::V6(v6) => matches!(v6.octets(), [0xff, scope, ..] if matches!(scope & 0x0f, 1 | 2)),
    }
}

impl Ends {
    /// Whether the packets of a side come from where they were made: those to a group that no router passes on.
    pub(super) fn is_its_own(&self, record: &FlowRecord, side: Side) -> bool {
        let other = side.other();
        let to_group = self.mac(other).is_some_and(|mac| mac[0] & 1 == 1) && is_group_of_the_link(self.address(other));
        to_group && record.packets[side.index()] > 0
    }
}

impl Collector {
    /// Changes what is known of a hardware address.
    fn behind(&mut self, mac: [u8; 6], change: impl FnOnce(&mut Behind)) {
        if !is_one_device(&mac) {
            return;
        }
        let full = self.gathered.macs.len() >= MACS_MAX;
        match self.gathered.macs.entry(mac) {
            Entry::Occupied(mut there) => change(there.get_mut()),
            Entry::Vacant(free) if !full => change(free.insert(Behind::default())),
            Entry::Vacant(_) => self.gathered.limit("macs.limit"),
        }
    }

    /// Who stands behind the hardware address of a side.
    pub(super) fn neighbour(&mut self, record: &FlowRecord, ends: &Ends, side: Side) {
        let (Some(mac), address) = (ends.mac(side), ends.address(side)) else { return };
        let own = ends.is_its_own(record, side);
        self.behind(mac, |behind| if own { behind.call_own(address) } else { behind.see(address) });
    }

    /// What a frame without IP says of addresses.
    pub(super) fn announced(&mut self, record: &FlowRecord) {
        let Some([mac, _]) = record.macs else { return };
        // Who passes on the words of another does not have its address.
        let senders = record.facts.of(&arp::SENDER).filter_map(|fact| arp::unpack_sender(fact.value));
        for sender in senders.filter(|sender| sender.mac == mac) {
            let address = IpAddr::V4(sender.address);
            self.behind(mac, |behind| if sender.own { behind.call_own(address) } else { behind.see(address) });
        }
        for field in [&lldp::MANAGEMENT_ADDRESS, &cdp::MANAGEMENT_ADDRESS, &cdp::ADDRESS] {
            for address in record.facts.of(field).filter_map(|fact| value::address(fact.value)) {
                self.behind(mac, |behind| behind.manage(address));
            }
        }
    }

    /// DHCP clients without an address all speak in one flow, and relay agents speak for many: what each said is judged
    /// as if it stood alone, and counts for its hardware address.
    pub(super) fn clients(&mut self, record: &FlowRecord, ends: &Ends) -> u32 {
        let mut clients: BTreeMap<[u8; 6], Facts> = BTreeMap::new();
        for fact in record.facts.of(&dhcp::CLIENT) {
            let Some((mac, field, bytes)) = dhcp::unpack_client(fact.value) else { continue };
            let facts = clients.entry(mac).or_default();
            match value::address(bytes).filter(|_| *field == dhcp::ADDRESS) {
                Some(address) => self.behind(mac, |behind| behind.call_own(address)),
                None => facts.add(field, Side::Source, fact.seen, bytes),
            }
        }
        // The flow itself is between its ends, and what was told in it is not theirs.
        let mut matched = self.matched(record, ends, &Facts::default());
        for (mac, facts) in clients {
            let mut ends = *ends;
            ends.addresses[0] = link_local(mac).into();
            ends.locations[0] = Location::Inside;
            ends.macs = Some([mac, [0; 6]]);
            matched.all.extend(self.matched(record, &ends, &facts).all);
        }
        matched.all.sort_unstable();
        matched.all.dedup();
        let gist = self.gist(record, ends, matched.all, matched.channels);
        self.number(gist)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device with addresses of two networks of IPv6 may be one host; with those of a third it sends for others.
    #[test]
    fn networks_of_a_host() {
        let behind = |networks: u16| {
            let mut behind = Behind::default();
            for n in 0..networks {
                behind.see(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, n, 0, 0, 0, 1).into());
            }
            behind.unclaimed().count()
        };
        assert_eq!((behind(NETWORKS_MAX as u16), behind(NETWORKS_MAX as u16 + 1)), (NETWORKS_MAX, 0));
    }
}
