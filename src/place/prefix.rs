//! Address prefixes, and tables that are looked up by address.
//!
//! In: `10.0.0.0/8`, `2001:db8::/32`, a bare address. Out: sorted ranges of 128-bit numbers, where
//! IPv4 has its place inside `::ffff:0:0/96` (RFC 4291 section 2.5.5.2). An IPv4 address and its
//! mapped form are therefore the same key. A look-up is one binary search.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Leading bits of an IPv4 address as a 128-bit number.
const MAPPED_BITS: u8 = 96;

/// The 128-bit number of an address.
pub fn key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// What is wrong with the text of a prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// The part before the slash is not an address.
    #[error("\"{0}\" is not an address")]
    Address(String),
    /// The part after the slash is not a length for this kind of address.
    #[error("\"{0}\" has no valid length after the slash")]
    Length(String),
    /// Bits below the length are set.
    #[error("\"{given}\" has bits set below its length; \"{meant}\" would be the prefix")]
    HostBits {
        /// What was written.
        given: String,
        /// The same with these bits cleared.
        meant: String,
    },
}

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    base: u128,
    /// Of 128 bits.
    length: u8,
}

impl Prefix {
    /// First and last number of the block.
    pub fn range(&self) -> (u128, u128) {
        (self.base, self.base | below(self.length))
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (first, last) = self.range();
        (first..=last).contains(&key(address))
    }

    /// First and last address of the block.
    pub fn ends(&self) -> (IpAddr, IpAddr) {
        let (first, last) = self.range();
        let address = |n: u128| {
            let v6 = Ipv6Addr::from_bits(n);
            match v6.to_ipv4_mapped() {
                Some(v4) if self.length >= MAPPED_BITS => IpAddr::V4(v4),
                _ => IpAddr::V6(v6),
            }
        };
        (address(first), address(last))
    }
}

/// All bits below a length set.
fn below(length: u8) -> u128 {
    u128::MAX.checked_shr(u32::from(length)).unwrap_or(0)
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Prefix, PrefixError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Address(address.to_owned()))?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => bits,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse::<u8>().ok().filter(|n| *n <= bits).ok_or_else(|| PrefixError::Length(text.to_owned()))?
            }
            Some(_) => return Err(PrefixError::Length(text.to_owned())),
        };
        let prefix = Prefix {
            base: key(address) & !below(length.saturating_add(128 - bits)),
            length: length.saturating_add(128 - bits),
        };
        if prefix.base != key(address) {
            return Err(PrefixError::HostBits { given: text.to_owned(), meant: prefix.to_string() });
        }
        Ok(prefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length >= MAPPED_BITS
            && let Some(v4) = Ipv6Addr::from_bits(self.base).to_ipv4_mapped()
        {
            let v4: Ipv4Addr = v4;
            return write!(f, "{v4}/{}", self.length - MAPPED_BITS);
        }
        write!(f, "{}/{}", Ipv6Addr::from_bits(self.base), self.length)
    }
}

/// A value by address; where prefixes nest, the longest one counts.
#[derive(Clone, Debug)]
pub struct PrefixMap<T> {
    /// Disjoint, ascending.
    ranges: Vec<(u128, u128, T)>,
}

impl<T: Clone> PrefixMap<T> {
    /// Flattens prefixes into disjoint ranges. Of the same prefix twice the later one counts.
    pub fn new(items: impl IntoIterator<Item = (Prefix, T)>) -> PrefixMap<T> {
        let mut items: Vec<(u128, u128, T)> = items
            .into_iter()
            .map(|(prefix, value)| {
                let (first, last) = prefix.range();
                (first, last, value)
            })
            .collect();
        items.sort_by_key(|&(first, last, _)| (first, u128::MAX - last));
        let mut ranges = Vec::with_capacity(items.len());
        let mut open: Vec<(u128, T)> = Vec::new();
        // First number that no range holds yet; `None` once the highest is taken.
        let mut free = Some(0_u128);
        for (first, last, value) in items {
            close(&mut ranges, &mut open, &mut free, Some(first));
            if let (Some((_, outer)), Some(from)) = (open.last(), free)
                && from < first
            {
                ranges.push((from, first - 1, outer.clone()));
            }
            free = Some(first);
            open.push((last, value));
        }
        close(&mut ranges, &mut open, &mut free, None);
        PrefixMap { ranges }
    }

    /// The value of the longest prefix that holds the address.
    #[inline]
    pub fn get(&self, address: IpAddr) -> Option<&T> {
        let key = key(address);
        let after = self.ranges.partition_point(|&(first, _, _)| first <= key);
        let (_, last, value) = self.ranges.get(after.checked_sub(1)?)?;
        (key <= *last).then_some(value)
    }
}

/// Ends every open prefix that ends before `next`; all of them when there is no next.
fn close<T: Clone>(
    ranges: &mut Vec<(u128, u128, T)>,
    open: &mut Vec<(u128, T)>,
    free: &mut Option<u128>,
    next: Option<u128>,
) {
    while let Some((last, value)) = open.pop_if(|(last, _)| next.is_none_or(|next| *last < next)) {
        if let Some(from) = *free
            && from <= last
        {
            ranges.push((from, last, value));
            *free = last.checked_add(1);
        }
    }
}

/// A set of addresses.
#[derive(Clone, Debug)]
pub struct PrefixSet(PrefixMap<()>);

impl PrefixSet {
    /// The addresses of these prefixes.
    pub fn new(prefixes: impl IntoIterator<Item = Prefix>) -> PrefixSet {
        PrefixSet(PrefixMap::new(prefixes.into_iter().map(|p| (p, ()))))
    }

    /// Whether an address is in it.
    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.get(address).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_are_read_strictly() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "255.255.255.255/32", "::/0", "2001:db8::/32", "::1/128"] {
            assert_eq!(prefix(text).to_string(), text);
        }
        assert_eq!(prefix("192.0.2.7").to_string(), "192.0.2.7/32");
        assert_eq!(prefix("10.0.0.0/08"), prefix("10.0.0.0/8"));
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "::/129",
            "10/8",
            "a/8",
            "10.0.0.0/8/8",
        ] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
        let error = "10.1.2.3/8".parse::<Prefix>().unwrap_err().to_string();
        assert_eq!(error, "\"10.1.2.3/8\" has bits set below its length; \"10.0.0.0/8\" would be the prefix");
    }

    #[test]
    fn the_longest_prefix_counts() {
        let map = PrefixMap::new([
            (prefix("10.0.0.0/8"), "wide"),
            (prefix("10.1.0.0/16"), "narrow"),
            (prefix("10.1.2.3"), "one"),
            (prefix("::/0"), "all"),
            (prefix("ffff::/16"), "top"),
        ]);
        let found = |text| *map.get(address(text)).unwrap();
        assert_eq!(found("10.0.255.255"), "wide");
        assert_eq!(found("10.1.0.0"), "narrow");
        assert_eq!(found("10.1.2.3"), "one");
        assert_eq!(found("10.1.2.4"), "narrow");
        assert_eq!(found("10.2.0.0"), "wide");
        assert_eq!(found("11.0.0.0"), "all");
        assert_eq!(found("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "top");
        assert_eq!(found("::ffff:10.1.2.3"), "one");
        assert!(PrefixMap::<()>::new([]).get(address("::")).is_none());
    }

    proptest! {
        #[test]
        fn a_map_agrees_with_a_linear_search(
            blocks in prop::collection::vec((any::<u8>(), 120_u8..=128), 0..12),
            asked in any::<u8>(),
        ) {
            let items: Vec<(Prefix, usize)> = blocks
                .iter()
                .enumerate()
                .map(|(at, &(low, length))| (Prefix { base: u128::from(low) & !below(length), length }, at))
                .collect();
            let asked = IpAddr::V6(Ipv6Addr::from_bits(u128::from(asked)));
            let best = items
                .iter()
                .filter(|(p, _)| { let (a, b) = p.range(); (a..=b).contains(&key(asked)) })
                .max_by_key(|(p, at)| (p.length, *at))
                .map(|(_, at)| *at);
            prop_assert_eq!(PrefixMap::new(items).get(asked).copied(), best);
        }
    }
}
