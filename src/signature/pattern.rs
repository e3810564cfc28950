//! Patterns: what a condition says of one field.
//!
//! In: a string or number as it stands in a signature file, and the kind of the field. Out: a
//! checked [`Pattern`] that says of the bytes of a fact whether they match. There are no regular
//! expressions: every pattern has a literal that an index can look up.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use crate::fact::{Kind, VALUE_BYTES_MAX};

/// Bytes of one pattern; a fact is never longer.
pub const PATTERN_BYTES_MAX: usize = VALUE_BYTES_MAX;
/// Bytes of a host name (RFC 1035, section 2.3.4), without the trailing dot.
pub const NAME_BYTES_MAX: usize = 253;
/// Bytes of one label of a host name (RFC 1035, section 2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;
/// Shortest prefix of an IPv4 network; a shorter one says nothing about a vendor.
pub const IPV4_PREFIX_BITS_MIN: u8 = 8;
/// Shortest prefix of an IPv6 network.
pub const IPV6_PREFIX_BITS_MIN: u8 = 16;

/// A value as a file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// A string.
    Text(String),
    /// An integer.
    Number(u64),
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Written::Text(text) => f.write_str(text),
            Written::Number(number) => number.fmt(f),
        }
    }
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// Exactly this host name; lower case, no trailing dot.
    Name(Box<str>),
    /// This host name and all below it; lower case, no leading and no trailing dot.
    Below(Box<str>),
    /// A host name with one `*`, which stands for at least one byte and no dot; lower case, no trailing dot.
    Label(Box<str>),
    /// Text; `*` stands for any run of bytes, also none.
    Text(Box<str>),
    /// Bytes.
    Hex(Hex),
    /// A number from the first to the second, both included.
    Number(u64, u64),
    /// An address in this network.
    Prefix(IpAddr, u8),
}

/// A pattern of bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hex {
    /// The bytes; `None` is one byte that may be anything.
    pub bytes: Box<[Option<u8>]>,
    /// More bytes may follow.
    pub open: bool,
}

impl Hex {
    /// The known bytes before the first unknown one.
    pub fn head(&self) -> Vec<u8> {
        self.bytes.iter().map_while(|b| *b).collect()
    }

    /// Whether these bytes match.
    pub fn matches(&self, value: &[u8]) -> bool {
        let length_fits = if self.open { value.len() >= self.bytes.len() } else { value.len() == self.bytes.len() };
        length_fits && self.bytes.iter().zip(value).all(|(want, have)| want.is_none_or(|want| want == *have))
    }
}

impl Pattern {
    /// Reads a pattern for a field of this kind; numbers must lie in `numbers`.
    ///
    /// # Errors
    /// Says in words what is wrong with it.
    pub fn parse(kind: Kind, written: &Written, numbers: &RangeInclusive<u64>) -> Result<Pattern, String> {
        let text = match (kind, written) {
            (Kind::Number, Written::Number(number)) => return number_range(*number, *number, numbers),
            (_, Written::Number(number)) => return Err(format!("`{number}` must be a string here")),
            (_, Written::Text(text)) => text,
        };
        if text.is_empty() {
            return Err("an empty string matches nothing".to_owned());
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("a pattern has at most {PATTERN_BYTES_MAX} bytes, this one has {}", text.len()));
        }
        match kind {
            Kind::Name => name_pattern(text),
            Kind::Text => text_pattern(text),
            Kind::Hex => hex_pattern(text),
            Kind::Number => number_pattern(text, numbers),
            Kind::Address => prefix_pattern(text),
        }
    }

    /// Whether a value matches. `value` has the form that the kind of the field says: names and
    /// text as on the wire, numbers as eight bytes big-endian, addresses as four or sixteen bytes.
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            Pattern::Name(name) => bare(value).eq_ignore_ascii_case(name.as_bytes()),
            Pattern::Below(name) => is_below(bare(value), name.as_bytes()),
            Pattern::Label(name) => label_matches(name, bare(value)),
            Pattern::Text(text) => text_matches(text, value),
            Pattern::Hex(hex) => hex.matches(value),
            Pattern::Number(low, high) => number(value).is_some_and(|n| (*low..=*high).contains(&n)),
            Pattern::Prefix(network, bits) => address(value).is_some_and(|a| in_prefix(a, *network, *bits)),
        }
    }

    /// Bytes that are known for sure: what makes one pattern more specific than another. A name
    /// counts more than the same name with all below it. Numbers and prefixes count their bits.
    pub fn literal_len(&self) -> usize {
        match self {
            Pattern::Name(name) => name.len() + 1,
            Pattern::Below(name) => name.len(),
            Pattern::Label(text) | Pattern::Text(text) => text.bytes().filter(|b| *b != b'*').count(),
            Pattern::Hex(hex) => hex.bytes.iter().flatten().count(),
            Pattern::Number(low, high) => (high - low).leading_zeros() as usize / 8,
            Pattern::Prefix(_, bits) => usize::from(*bits),
        }
    }

    /// Whether every value that matches `narrow` matches this one as well. May say no where a
    /// closer look would say yes (text with several `*`).
    pub fn covers(&self, narrow: &Pattern) -> bool {
        match (self, narrow) {
            (Pattern::Below(wide), Pattern::Name(name) | Pattern::Below(name)) => {
                is_below(name.as_bytes(), wide.as_bytes())
            }
            (Pattern::Below(wide), Pattern::Label(name)) => is_below(behind_label(name).as_bytes(), wide.as_bytes()),
            (Pattern::Label(wide), Pattern::Name(name)) => label_matches(wide, name.as_bytes()),
            (Pattern::Number(low, high), Pattern::Number(from, to)) => low <= from && to <= high,
            (Pattern::Prefix(network, bits), Pattern::Prefix(inner, longer)) => {
                bits <= longer && in_prefix(*inner, *network, *bits)
            }
            (Pattern::Text(wide), Pattern::Text(text)) => {
                wide == text || (!text.contains('*') && text_matches(wide, text.as_bytes()))
            }
            (Pattern::Hex(wide), Pattern::Hex(hex)) => {
                wide == hex
                    || (wide.open && wide.bytes.len() <= hex.bytes.len()
                        || !hex.open && wide.bytes.len() == hex.bytes.len())
                        && wide.bytes.iter().zip(&hex.bytes).all(|(w, h)| w.is_none() || w == h)
            }
            _ => self == narrow,
        }
    }
}

impl fmt::Display for Pattern {
    /// As it is written in a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Name(name) | Pattern::Label(name) => f.write_str(name),
            Pattern::Below(name) => write!(f, ".{name}"),
            Pattern::Text(text) => f.write_str(text),
            Pattern::Hex(hex) if hex.open || hex.bytes.contains(&None) => {
                f.write_str("hex:")?;
                let mut gap = "";
                for byte in &hex.bytes {
                    match byte {
                        Some(byte) => write!(f, "{gap}{byte:02x}")?,
                        None => write!(f, "{gap}..")?,
                    }
                    gap = " ";
                }
                if hex.open { write!(f, "{gap}*") } else { Ok(()) }
            }
            Pattern::Hex(hex) => hex.bytes.iter().flatten().try_for_each(|byte| write!(f, "{byte:02x}")),
            Pattern::Number(low, high) if low == high => low.fmt(f),
            Pattern::Number(low, high) => write!(f, "{low}-{high}"),
            Pattern::Prefix(network, bits) => write!(f, "{network}/{bits}"),
        }
    }
}

/// A name without its trailing dot.
pub fn bare(name: &[u8]) -> &[u8] {
    name.strip_suffix(b".").unwrap_or(name)
}

/// The number in eight bytes big-endian.
pub fn number(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_be_bytes)
}

/// The address in four or sixteen bytes; an IPv4 address inside IPv6 counts as IPv4.
pub fn address(value: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(value) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(value).ok().map(|v6| IpAddr::from(v6).to_canonical())
}

/// The bytes of a string of hex digits.
pub fn hex_bytes(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok().filter(|_| pair[0] != b'+'))
        .collect()
}

/// An address with the bits behind the prefix cleared.
pub fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

fn in_prefix(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    address.is_ipv4() == network.is_ipv4() && masked(address, bits) == network
}

/// `value` is `name` or ends with it behind a dot. Both without trailing dot.
fn is_below(value: &[u8], name: &[u8]) -> bool {
    let Some(rest) = value.len().checked_sub(name.len()) else { return false };
    let (above, end) = value.split_at(rest);
    end.eq_ignore_ascii_case(name) && (above.is_empty() || above.ends_with(b"."))
}

/// What stands behind the label with the `*`.
pub fn behind_label(pattern: &str) -> &str {
    pattern.split_once('*').and_then(|(_, after)| after.split_once('.')).map_or("", |(_, behind)| behind)
}

/// `pattern` has one `*`, which takes one byte or more of one label. `value` without trailing dot.
fn label_matches(pattern: &str, value: &[u8]) -> bool {
    let Some((first, last)) = pattern.split_once('*') else { return false };
    let Some(ends) = value.len().checked_sub(last.len()).filter(|ends| *ends > first.len()) else { return false };
    let (value, end) = value.split_at(ends);
    let (start, taken) = value.split_at(first.len());
    start.eq_ignore_ascii_case(first.as_bytes()) && end.eq_ignore_ascii_case(last.as_bytes()) && !taken.contains(&b'.')
}

/// `pattern` is anchored at both ends; each `*` takes any run of bytes.
pub(super) fn text_matches(pattern: &str, value: &[u8]) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern.as_bytes() == value };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(value) = value.strip_prefix(first.as_bytes()) else { return false };
    let Some(mut value) = value.strip_suffix(last.as_bytes()) else { return false };
    // The leftmost place of each piece leaves the most room for those behind it.
    for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
        let Some(at) = find(value, piece.as_bytes()) else { return false };
        value = &value[at + piece.len()..];
    }
    true
}

fn find(value: &[u8], piece: &[u8]) -> Option<usize> {
    value.windows(piece.len()).position(|window| window == piece)
}

fn name_pattern(text: &str) -> Result<Pattern, String> {
    if text.contains('*') {
        return label_pattern(text);
    }
    let (below, name) = match text.strip_prefix('.') {
        Some(name) => (true, name),
        None => (false, text),
    };
    let name = host_name(text, name)?;
    let suffix = psl::suffix_str(&name).unwrap_or(&name);
    if !name.contains('.') || below && suffix.len() == name.len() {
        return Err(format!("`{text}` is too broad: a public suffix, under which anybody may have names"));
    }
    Ok(if below { Pattern::Below(name.into()) } else { Pattern::Name(name.into()) })
}

/// A name with a `*` in one of its labels.
fn label_pattern(text: &str) -> Result<Pattern, String> {
    let wrong = |why: &str| Err(format!("`{text}`: {why}"));
    let Some((before, after)) = text.split_once('*').filter(|(_, after)| !after.contains('*')) else {
        return wrong("a name takes one `*` at most");
    };
    if before.is_empty() && after.starts_with('.') {
        return wrong("a whole first label is no condition; `.name.example` means the name and all below it");
    }
    // Any letter in the place of the `*` shows whether the rest is a name.
    let name = host_name(text, &format!("{before}x{after}"))?;
    let behind = after.split_once('.').map_or("", |(_, behind)| behind).to_ascii_lowercase();
    let behind = behind.strip_suffix('.').unwrap_or(&behind);
    if behind.is_empty() || psl::suffix_str(behind).is_none_or(|suffix| suffix.len() == behind.len()) {
        return wrong(
            "too broad: behind the label with `*` stands a public suffix, under which anybody may have names",
        );
    }
    let (before, after) = name.split_at(before.len());
    Ok(Pattern::Label(format!("{before}*{}", after.get(1..).unwrap_or("")).into()))
}

/// A whole name in lower case without its trailing dot; `text` is what stands in the file.
fn host_name(text: &str, name: &str) -> Result<String, String> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("a name has at most {NAME_BYTES_MAX} bytes, this one has {}", name.len()));
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > LABEL_BYTES_MAX {
            return Err(format!("`{text}`: a label of a name has 1 to {LABEL_BYTES_MAX} bytes"));
        }
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if !name.bytes().all(allowed) {
        return Err(format!("`{text}` is no host name (letters, digits, `-`, `_`; others in their xn-- form)"));
    }
    Ok(name)
}

fn text_pattern(text: &str) -> Result<Pattern, String> {
    if text.bytes().all(|b| b == b'*') {
        return Err(format!("`{text}` is too broad: it matches everything"));
    }
    Ok(Pattern::Text(text.into()))
}

fn hex_pattern(text: &str) -> Result<Pattern, String> {
    let Some(spaced) = text.strip_prefix("hex:") else {
        let bytes = hex_bytes(text)
            .ok_or_else(|| format!("`{text}` is no even number of hex digits (or `hex:80 00 30 44 *`)"))?;
        return Ok(Pattern::Hex(Hex { bytes: bytes.into_iter().map(Some).collect(), open: false }));
    };
    let mut bytes = Vec::new();
    let mut open = false;
    for word in spaced.split_ascii_whitespace() {
        if open {
            return Err(format!("`{text}`: `*` stands for the rest and must be last"));
        }
        match word {
            "*" => open = true,
            ".." => bytes.push(None),
            digits => {
                let known = hex_bytes(digits)
                    .ok_or_else(|| format!("`{digits}` is no byte; write two hex digits, `..` or a last `*`"))?;
                bytes.extend(known.into_iter().map(Some));
            }
        }
    }
    if bytes.iter().all(Option::is_none) {
        return Err(format!("`{text}` is too broad: it has no known byte"));
    }
    Ok(Pattern::Hex(Hex { bytes: bytes.into(), open }))
}

fn number_pattern(text: &str, numbers: &RangeInclusive<u64>) -> Result<Pattern, String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let read = |digits: &str| match digits.trim().parse::<u64>() {
        Ok(number) => Ok(number),
        Err(_) => Err(format!("`{text}` is no number and no range such as `8888-8890`")),
    };
    number_range(read(low)?, read(high)?, numbers)
}

fn number_range(low: u64, high: u64, numbers: &RangeInclusive<u64>) -> Result<Pattern, String> {
    if low > high {
        return Err(format!("`{low}-{high}` runs backwards"));
    }
    if let Some(bad) = [low, high].iter().find(|n| !numbers.contains(n)) {
        return Err(format!("{bad} is not between {} and {}", numbers.start(), numbers.end()));
    }
    Ok(Pattern::Number(low, high))
}

fn prefix_pattern(text: &str) -> Result<Pattern, String> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let network: IpAddr =
        address.parse().map_err(|_| format!("`{text}` is no IP address and no prefix such as `192.0.2.0/24`"))?;
    let (most, least) = if network.is_ipv4() { (32, IPV4_PREFIX_BITS_MIN) } else { (128, IPV6_PREFIX_BITS_MIN) };
    let bits: u8 = match bits {
        None => most,
        Some(bits) => bits
            .parse()
            .ok()
            .filter(|b| *b <= most)
            .ok_or_else(|| format!("`{text}`: `/{bits}` is no prefix length"))?,
    };
    if bits < least {
        return Err(format!("`{text}` is too broad: at least /{least}"));
    }
    if masked(network, bits) != network {
        return Err(format!("`{text}` has bits behind its prefix; is `{}/{bits}` meant?", masked(network, bits)));
    }
    if network.to_canonical() != network {
        return Err(format!("`{text}`: write the IPv4 address itself"));
    }
    Ok(Pattern::Prefix(network, bits))
}
