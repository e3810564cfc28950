//! Names and addresses of our own hosts, replaced before anything is gathered of them.
//!
//! In: a key, which addresses are ours, and a flow as it was read. Out: the same flow of other hosts: nothing behind this
//! stage has seen who they are, so no output can tell. With the same key the same host has the same address and name in
//! every run, so that reports can be merged and compared; who has the key can turn addresses back, which a policy needs to
//! know sites and exemptions by their networks.
//!
//! Addresses keep the prefix that makes them ours, and two of them share as many leading bits as before (ipcrypt-pfx,
//! draft-denis-ipcrypt). Hardware addresses keep their maker. `words` has the rest: names, serial numbers, and what stands in
//! text. Addresses and names outside stay as they are: they are what is reported.

mod fields;
mod words;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use hkdf::Hkdf;
use ipcrypt_rs::IpcryptPfx;
use sha2::Sha256;

use crate::fact::{Facts, Side, value};
use crate::flow::key::{Key as FlowKey, hardware_address, link_local};
use crate::place::{Carrier, Prefix, carried, is_no_host, key};
use crate::record::FlowRecord;
use crate::signature::Signatures;
use crate::signature::pattern::hex_bytes;

pub use fields::{Rule, rule};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// A prefix with fewer addresses hides nobody: 256 of IPv4, 2^64 of IPv6.
const HOST_BITS_MIN: [u32; 2] = [8, 64];
/// What stands before a hardware address where it is turned as the end of an IPv6 address.
const HARDWARE: &[u8; 10] = b"\x01\x00hardware";
/// What is read of a key file: the digits and the end of the line.
const FILE_BYTES_MAX: u64 = 2 * KEY_BYTES as u64 + 3;

/// A key from a file.
#[derive(Clone)]
pub struct Key([u8; KEY_BYTES]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Reads a file of 32 bytes, or of 64 hexadecimal digits.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(path: &Path) -> Result<Key, String> {
        let named = |reason: String| format!("{}: {reason}", path.display());
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|error| named(error.to_string()))?;
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| named(error.to_string()))?;
        Key::new(&bytes).ok_or_else(|| {
            named(format!(
                "not a key: {KEY_BYTES} bytes or their hexadecimal digits, as `openssl rand -hex 32` makes them"
            ))
        })
    }

    /// From the bytes of a file.
    fn new(bytes: &[u8]) -> Option<Key> {
        if let Ok(key) = <[u8; KEY_BYTES]>::try_from(bytes) {
            return Some(Key(key));
        }
        let digits = str::from_utf8(bytes.trim_ascii()).ok()?;
        hex_bytes(digits)?.try_into().ok().map(Key)
    }
}

/// Why something whose addresses stand for other hosts cannot be put beside this.
pub fn other_key(with: &str) -> String {
    format!("its addresses are not those of {with}: one is anonymised and the other not, or with another key")
}

/// Which way an address is turned.
#[derive(Clone, Copy)]
enum Way {
    Forth,
    Back,
}

/// Replaces what tells our hosts.
pub struct Anonymiser {
    id: String,
    addresses: IpcryptPfx,
    secret: Hkdf<Sha256>,
    /// Disjoint: those inside others are left out.
    inside: Vec<Prefix>,
    /// Domains that are ours, in lower case.
    domains: Vec<String>,
}

impl fmt::Debug for Anonymiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anonymiser").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Anonymiser {
    /// For a network: the prefixes and the domains that are ours.
    ///
    /// # Errors
    /// When a prefix has so few addresses that keeping it tells the host.
    pub fn new(key: &Key, inside: &[Prefix], domains: &[String]) -> Result<Anonymiser, String> {
        let secret = Hkdf::<Sha256>::new(Some(b"bordertap anonymise 1"), &key.0);
        let small = |prefix: &&Prefix| {
            let (first, last) = prefix.range();
            let v4 = matches!(prefix.ends(), (IpAddr::V4(_), IpAddr::V4(_)));
            (first ^ last).count_ones() < HOST_BITS_MIN[usize::from(!v4)]
        };
        if let Some(prefix) = inside.iter().find(small) {
            return Err(format!(
                "{prefix} is kept, and too small to hide a host in: name the network that it is part of (at least /24 or /64)"
            ));
        }
        let within = |one: &Prefix, other: &Prefix| {
            let ((first, last), (low, high)) = (one.range(), other.range());
            one != other && low <= first && last <= high
        };
        let mut outer: Vec<Prefix> =
            inside.iter().filter(|one| !inside.iter().any(|other| within(one, other))).copied().collect();
        outer.sort_unstable();
        outer.dedup();
        Ok(Anonymiser {
            id: value::hex(&expand::<8>(&secret, &[b"id"])),
            addresses: IpcryptPfx::new(halves(expand(&secret, &[b"addresses"]))),
            secret,
            inside: outer,
            domains: domains.iter().map(|domain| domain.trim_matches('.').to_ascii_lowercase()).collect(),
        })
    }

    /// Tells outputs of one key from those of another; the key cannot be found from it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether an address is one that is replaced.
    pub fn is_ours(&self, address: IpAddr) -> bool {
        !is_no_host(address)
            && (self.inside.iter().any(|prefix| prefix.contains(address)) || carries(address, |v4| self.is_ours(v4)))
    }

    /// What stands for an address of ours; any other as it is.
    pub fn address(&self, address: IpAddr) -> IpAddr {
        self.turned(address, Way::Forth)
    }

    /// The address that [`Anonymiser::address`] replaced.
    pub fn reveal(&self, address: IpAddr) -> IpAddr {
        self.turned(address, Way::Back)
    }

    fn turned(&self, address: IpAddr, way: Way) -> IpAddr {
        if is_no_host(address) {
            return address;
        }
        if let Some(mac) = hardware_address(address) {
            return link_local(self.turned_mac(mac, way)).into();
        }
        if let Some(prefix) = self.inside.iter().find(|prefix| prefix.contains(address)) {
            let (first, last) = prefix.range();
            return self.turned_bits(address, !(first ^ last), way);
        }
        match address {
            IpAddr::V6(v6) => self.turned_inner(v6, way).into(),
            IpAddr::V4(_) => address,
        }
    }

    /// An address of which these bits stay. What they would turn into depends on them alone, so that they can be put back.
    fn turned_bits(&self, address: IpAddr, kept: u128, way: Way) -> IpAddr {
        let plain = match address {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        let stay = key(plain) & kept;
        let whole = match way {
            Way::Forth => key(self.addresses.encrypt_ipaddr(plain)),
            Way::Back => {
                let head = key(self.addresses.encrypt_ipaddr(of_bits(stay, plain))) & kept;
                key(self.addresses.decrypt_ipaddr(of_bits(head | key(plain) & !kept, plain)))
            }
        };
        of_bits(stay | whole & !kept, address)
    }

    /// An IPv4 address of ours inside one of IPv6.
    fn turned_inner(&self, v6: Ipv6Addr, way: Way) -> Ipv6Addr {
        let Some((carrier, v4)) = carried(v6) else { return v6 };
        let IpAddr::V4(other) = self.turned(v4.into(), way) else { return v6 };
        let (shift, other) = match carrier {
            Carrier::Mapped | Carrier::Translated | Carrier::Nat64 => (0, other.to_bits()),
            Carrier::SixToFour => (80, other.to_bits()),
            Carrier::Teredo => (0, !other.to_bits()),
        };
        Ipv6Addr::from_bits(v6.to_bits() & !(u128::from(u32::MAX) << shift) | u128::from(other) << shift)
    }

    /// What stands for a hardware address: another one of the same maker. One that somebody made up is replaced but for its
    /// first byte; groups, nobody, and addresses that routers share stay.
    pub fn mac(&self, mac: [u8; 6]) -> [u8; 6] {
        self.turned_mac(mac, Way::Forth)
    }

    fn turned_mac(&self, mac: [u8; 6], way: Way) -> [u8; 6] {
        let mut octets = [0; 16];
        octets[..10].copy_from_slice(HARDWARE);
        octets[10..].copy_from_slice(&mac);
        let replaced = (1u128 << (8 * (6 - kept_of(mac)))) - 1;
        let turned = self.turned_bits(Ipv6Addr::from(octets).into(), !replaced, way);
        let [.., a, b, c, d, e, f] = key(turned).to_be_bytes();
        [a, b, c, d, e, f]
    }

    /// A flow of other hosts. Names that a signature knows are those of a maker and stay.
    pub fn record(&self, record: &FlowRecord, signatures: &Signatures) -> FlowRecord {
        let [source, destination] = [Side::Source, Side::Destination].map(|side| {
            let (address, port) = record.endpoint(side);
            (self.address(address), port)
        });
        let key = &record.key;
        let one_way = key.is_one_way();
        let (low, high) = if record.opener_low { (source, destination) } else { (destination, source) };
        let turned = FlowKey::from_parts(low, high, key.protocol(), key.version(), one_way).unwrap_or(*key);
        // Sorting may have exchanged the ends.
        let opener_low = record.opener_low == (turned.endpoint(true) == low);
        let mut facts = Facts::from(record.facts.flags);
        let told = fields::Told::of(self, record, signatures);
        for fact in record.facts.iter() {
            facts.add(fact.field, fact.side, fact.seen, &self.value(&fact, &told));
        }
        FlowRecord {
            key: turned,
            opener_low,
            macs: record.macs.map(|macs| macs.map(|mac| self.mac(mac))),
            facts,
            ..record.clone()
        }
    }

    /// Bytes that nobody without the key can tell from chance, the same for the same input.
    fn bytes<const N: usize>(&self, kind: &str, input: &[u8]) -> [u8; N] {
        expand(&self.secret, &[b"word ", kind.as_bytes(), b" ", input])
    }
}

fn expand<const N: usize>(secret: &Hkdf<Sha256>, info: &[&[u8]]) -> [u8; N] {
    let mut bytes = [0; N];
    // Fails only for more than 255 digests.
    let _ = secret.expand_multi_info(info, &mut bytes);
    bytes
}

/// The library wants two halves that differ; those of a digest do but for a chance of 2^-128.
fn halves(mut key: [u8; KEY_BYTES]) -> [u8; KEY_BYTES] {
    if key[..KEY_BYTES / 2] == key[KEY_BYTES / 2..] {
        key[0] ^= 1;
    }
    key
}

fn carries(address: IpAddr, is: impl Fn(IpAddr) -> bool) -> bool {
    match address {
        IpAddr::V6(v6) => carried(v6).is_some_and(|(_, v4)| is(v4.into())),
        IpAddr::V4(_) => false,
    }
}

/// The address of these bits, of the kind of another one.
fn of_bits(bits: u128, like: IpAddr) -> IpAddr {
    let v6 = Ipv6Addr::from_bits(bits);
    match like {
        IpAddr::V4(_) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        IpAddr::V6(_) => IpAddr::V6(v6),
    }
}

/// Bytes of a hardware address that stay: those of its maker, or what says that it has none.
fn kept_of(mac: [u8; 6]) -> usize {
    match mac {
        _ if mac[0] & 1 == 1 || mac == [0; 6] => 6,
        // VRRP and the like of IANA; HSRP and GLBP of Cisco: numbers of a group of routers.
        [0x00, 0x00, 0x5e, ..]
        | [0x00, 0x00, 0x0c, 0x07 | 0x9f, ..]
        | [0x00, 0x05, 0x73, 0xa0, ..]
        | [0x00, 0x07, 0xb4, 0x00, ..] => 6,
        _ if mac[0] & 2 == 2 => 1,
        _ => 3,
    }
}

#[cfg(test)]
mod tests;
