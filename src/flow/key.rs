//! The key of a flow: two endpoints and a protocol, the same for both directions.
//!
//! In: addresses and ports of one packet. Out: a [`Key`] with the endpoints sorted, and whether
//! this packet goes from the lower to the higher one. ICMP has no ports; its type and the type of
//! the answer stand in for them, as Community ID v1 defines it, so that a ping and its echo meet.
//! A frame that carries no IP has hardware addresses: each stands under the link-local address
//! that RFC 4291, appendix A, makes of it.

use std::net::{IpAddr, Ipv6Addr};

/// IANA protocol numbers that have a word of their own here.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMP6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// What stands in place of an IP version in the key of frames without IP.
const VERSION_FRAME: u8 = 2;

/// Both endpoints of a flow, sorted, and its protocol. Forty bytes, no padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(C)]
pub struct Key {
    low: [u8; 16],
    high: [u8; 16],
    low_port: u16,
    high_port: u16,
    protocol: u8,
    version: u8,
    /// [`ONE_WAY`], and the VLAN plus one where flows are told apart by it.
    more: u16,
}

/// The endpoints keep their direction.
const ONE_WAY: u16 = 0x8000;
/// Bits of an 802.1Q VLAN id, plus one.
const VLAN: u16 = 0x1fff;

impl Key {
    /// Sorts the endpoints. Returns the key and whether `from` is the lower one.
    pub fn new(from: IpAddr, from_port: u16, to: IpAddr, to_port: u16, protocol: u8) -> (Key, bool) {
        let version = if from.is_ipv4() { 4 } else { 6 };
        Key::from_octets(octets(from), from_port, octets(to), to_port, protocol, version)
    }

    /// As [`Key::new`], from addresses of sixteen bytes (IPv4 in the last four).
    #[inline]
    pub fn from_octets(
        from: [u8; 16],
        from_port: u16,
        to: [u8; 16],
        to_port: u16,
        protocol: u8,
        version: u8,
    ) -> (Key, bool) {
        let up = (u128::from_be_bytes(from), from_port) <= (u128::from_be_bytes(to), to_port);
        let ((low, low_port), (high, high_port)) =
            if up { ((from, from_port), (to, to_port)) } else { ((to, to_port), (from, from_port)) };
        (Key { low, high, low_port, high_port, protocol, version, more: 0 }, up)
    }

    /// As [`Key::new`], for IPv4.
    #[inline]
    pub fn v4(from: [u8; 4], from_port: u16, to: [u8; 4], to_port: u16, protocol: u8) -> (Key, bool) {
        let order = |address: [u8; 4], port: u16| u64::from(u32::from_be_bytes(address)) << 16 | u64::from(port);
        let (from, to) = (order(from, from_port), order(to, to_port));
        let (low, high) = (from.min(to), from.max(to));
        let wide = |endpoint: u64| u128::from(endpoint >> 16).to_be_bytes();
        let (low_port, high_port) = (low as u16, high as u16);
        (Key { low: wide(low), high: wide(high), low_port, high_port, protocol, version: 4, more: 0 }, from <= to)
    }

    /// The key of a packet that nobody answers (an ICMP error: "ports" are its type and code).
    /// The endpoints keep their direction: the sender is the lower one.
    pub fn one_way(from: [u8; 16], from_port: u16, to: [u8; 16], to_port: u16, protocol: u8, version: u8) -> Key {
        Key { low: from, high: to, low_port: from_port, high_port: to_port, protocol, version, more: ONE_WAY }
    }

    /// The key of frames that carry no IP: the sender is the lower endpoint, the EtherType stands in
    /// for the port of the other; 0 for frames with LLC (IEEE 802.2).
    pub fn frame(from: [u8; 6], to: [u8; 6], ether_type: u16) -> Key {
        let [from, to] = [from, to].map(|mac| link_local(mac).octets());
        Key::one_way(from, 0, to, ether_type, 0, VERSION_FRAME)
    }

    /// From its parts, as the methods of a key tell them; `low` and `high` are sorted unless `one_way`.
    pub fn from_parts(
        low: (IpAddr, u16),
        high: (IpAddr, u16),
        protocol: u8,
        version: u8,
        one_way: bool,
    ) -> Option<Key> {
        let is_v4 = [low.0, high.0].map(|address| address.is_ipv4());
        if !matches!(version, 4 | 6 | VERSION_FRAME) || is_v4 != [version == 4; 2] {
            return None;
        }
        let [from, to] = [low.0, high.0].map(octets);
        Some(match one_way {
            true => Key::one_way(from, low.1, to, high.1, protocol, version),
            false => Key::from_octets(from, low.1, to, high.1, protocol, version).0,
        })
    }

    /// Whether these are frames that carry no IP.
    pub fn is_frame(&self) -> bool {
        self.version == VERSION_FRAME
    }

    /// Whether the endpoints keep their direction.
    pub fn is_one_way(&self) -> bool {
        self.more & ONE_WAY != 0
    }

    /// The same in this VLAN, of those who tell flows apart by it; `None` is no VLAN.
    pub fn in_vlan(mut self, vlan: Option<u16>) -> Key {
        self.more = self.more & ONE_WAY | vlan.map_or(0, |vlan| (vlan & (VLAN >> 1)) + 1);
        self
    }

    /// The VLAN, where flows are told apart by it.
    pub fn vlan(&self) -> Option<u16> {
        (self.more & VLAN).checked_sub(1)
    }

    /// Whether nothing but endpoints, protocol and version tells it from others.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.more == 0
    }

    /// Address and port of the lower or the higher endpoint.
    pub fn endpoint(&self, low: bool) -> (IpAddr, u16) {
        if low { (self.address(self.low), self.low_port) } else { (self.address(self.high), self.high_port) }
    }

    /// IANA protocol number.
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// 4 or 6; 2 for frames that carry no IP.
    pub fn version(&self) -> u8 {
        self.version
    }

    fn address(&self, octets: [u8; 16]) -> IpAddr {
        if self.version == 4 {
            IpAddr::from([octets[12], octets[13], octets[14], octets[15]])
        } else {
            IpAddr::from(octets)
        }
    }

    /// The key as five words, for hashing and comparing.
    #[inline]
    pub fn words(&self) -> [u64; 5] {
        let half = |a: &[u8; 16]| {
            let all = u128::from_ne_bytes(*a);
            (all as u64, (all >> 64) as u64)
        };
        let (a, b) = half(&self.low);
        let (c, d) = half(&self.high);
        let tail = u64::from(self.low_port)
            | u64::from(self.high_port) << 16
            | u64::from(self.protocol) << 32
            | u64::from(self.version) << 40
            | u64::from(self.more) << 48;
        [a, b, c, d, tail]
    }

    /// The key that [`Key::words`] took apart.
    pub fn from_words([a, b, c, d, tail]: [u64; 5]) -> Key {
        let whole = |first: u64, second: u64| (u128::from(first) | u128::from(second) << 64).to_ne_bytes();
        Key {
            low: whole(a, b),
            high: whole(c, d),
            low_port: tail as u16,
            high_port: (tail >> 16) as u16,
            protocol: (tail >> 32) as u8,
            version: (tail >> 40) as u8,
            more: (tail >> 48) as u16,
        }
    }

    /// The two addresses, sorted, as four words: what shards by, so that both directions and all
    /// fragments of two hosts meet at one worker.
    #[inline]
    pub fn address_words(&self) -> [u64; 4] {
        let [a, b, c, d, _] = self.words();
        if self.is_one_way() && self.low > self.high { [c, d, a, b] } else { [a, b, c, d] }
    }
}

/// The IPv6 link-local address that a hardware address gives (RFC 4291, appendix A).
pub fn link_local([a, b, c, d, e, f]: [u8; 6]) -> Ipv6Addr {
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// The hardware address behind such a link-local address.
pub fn hardware_address(address: IpAddr) -> Option<[u8; 6]> {
    let IpAddr::V6(v6) = address else { return None };
    match v6.octets() {
        [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a, b, c, 0xff, 0xfe, d, e, f] => Some([a ^ 2, b, c, d, e, f]),
        _ => None,
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => {
            let mut all = [0; 16];
            all[12..].copy_from_slice(&v4.octets());
            all
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vlan_tells_keys_apart_and_nothing_else() {
        let plain = Key::v4([192, 0, 2, 1], 443, [10, 0, 0, 1], 50_000, protocol::TCP).0;
        let all: Vec<Key> = [None, Some(0), Some(1), Some(4095)].map(|vlan| plain.in_vlan(vlan)).to_vec();
        assert_eq!(all.iter().map(Key::vlan).collect::<Vec<_>>(), [None, Some(0), Some(1), Some(4095)]);
        assert!(all[0] == plain && all.iter().filter(|key| key.is_plain()).count() == 1);
        for (at, key) in all.iter().enumerate() {
            assert_eq!((Key::from_words(key.words()), key.address_words()), (*key, plain.address_words()));
            assert!(all[..at].iter().all(|other| other != key && other.words() != key.words()));
            assert_eq!((key.endpoint(true), key.is_one_way()), (plain.endpoint(true), false));
        }
        assert_eq!(all[3].in_vlan(None), plain);
        let frame = Key::frame([2, 0, 0, 0, 0, 1], [0xff; 6], 0x88cc);
        assert!(frame.in_vlan(Some(7)).is_one_way() && !frame.is_plain());
    }

    #[test]
    fn a_hardware_address_stands_under_its_link_local_address() {
        // The example of RFC 2464, section 4.
        let mac = [0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde];
        assert_eq!(link_local(mac).to_string(), "fe80::3656:78ff:fe9a:bcde");
        assert_eq!(hardware_address(link_local(mac).into()), Some(mac));
        assert_eq!(hardware_address("fe80::1".parse().unwrap()), None);
        assert_eq!(hardware_address("192.0.2.1".parse().unwrap()), None);
        let key = Key::frame(mac, [0xff; 6], 0x88cc);
        assert!(key.is_frame());
        assert_eq!(key.endpoint(true), ("fe80::3656:78ff:fe9a:bcde".parse().unwrap(), 0));
        assert_eq!(key.endpoint(false).1, 0x88cc);
        assert_eq!(Key::from_words(key.words()), key);
        let parts = |key: Key| {
            let ends = (key.endpoint(true), key.endpoint(false));
            Key::from_parts(ends.0, ends.1, key.protocol(), key.version(), key.is_one_way())
        };
        assert_eq!(parts(key), Some(key));
        let plain = Key::v4([192, 0, 2, 1], 443, [10, 0, 0, 1], 50_000, protocol::TCP).0;
        assert_eq!(parts(plain), Some(plain));
        assert_eq!(Key::from_parts(plain.endpoint(true), plain.endpoint(false), 6, 6, false), None);
    }
}
