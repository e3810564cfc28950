//! Whose hardware address is whose: hosts of our own networks told from what a router sends for.
//!
//! In: what stands behind each hardware address, merged. Out: for an address the hardware address that is its own, and
//! for a hardware address the addresses of its device.
//!
//! A router's hardware address is seen with the address of everybody behind it and is nobody's but the router's. A host
//! shows that an address is its own by asking or announcing in ARP, by getting it from DHCP, or by sending to all on the
//! link. Of an address of which nobody showed that, the hardware address counts if just that stood behind it. An address
//! that two hardware addresses claim has none.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::collect::{MacHosts, is_link_local, is_one_device};
use crate::flow::key;
use crate::merge::Map;
use crate::policy::{Location, Policy};
use crate::record::HostTraits;

/// Who has which hardware address.
pub struct Neighbours<'a> {
    macs: &'a MacHosts,
    traits: &'a Map<IpAddr, HostTraits>,
    policy: &'a Policy,
    /// The one hardware address that called an address its own; none when several did.
    owners: Map<IpAddr, Option<[u8; 6]>>,
}

impl<'a> Neighbours<'a> {
    /// From merged sets.
    pub fn new(macs: &'a MacHosts, traits: &'a Map<IpAddr, HostTraits>, policy: &'a Policy) -> Neighbours<'a> {
        let mut owners: Map<IpAddr, Option<[u8; 6]>> = Map::default();
        for (&mac, behind) in macs {
            for address in behind.own() {
                owners.entry(address).and_modify(|owner| *owner = None).or_insert(Some(mac));
            }
        }
        Neighbours { macs, traits, policy, owners }
    }

    /// The hardware address of a host.
    pub fn mac(&self, host: IpAddr) -> Option<[u8; 6]> {
        if let Some(owner) = self.owners.get(&host) {
            return *owner;
        }
        if let Some(mac) = key::hardware_address(host) {
            return Some(mac).filter(is_one_device);
        }
        let macs = &self.traits.get(&host)?.macs;
        let mac = *macs.iter().next().filter(|_| macs.len() == 1 && !macs.had_more())?;
        self.macs.get(&mac)?.unclaimed().any(|address| address == host).then_some(mac)
    }

    /// The inside addresses of a device of which a frame or a link-local address is known; that one itself when there
    /// are no others.
    pub fn addresses(&self, host: IpAddr) -> BTreeSet<IpAddr> {
        let mut found = BTreeSet::new();
        let behind = self.mac(host).filter(|_| is_link_local(host)).and_then(|mac| Some((mac, self.macs.get(&mac)?)));
        if let Some((mac, behind)) = behind {
            let is_wanted =
                |address: &IpAddr| !is_link_local(*address) && self.policy.side_of(*address) == Location::Inside;
            let its_own = behind.own().chain(behind.unclaimed()).filter(|address| self.mac(*address) == Some(mac));
            found.extend(its_own.filter(is_wanted));
            if found.is_empty() {
                found.extend(behind.managed().filter(is_wanted));
            }
        }
        if found.is_empty() {
            found.insert(host);
        }
        found
    }
}
