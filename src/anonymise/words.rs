//! Words that tell a host, and what stands for them.
//!
//! In: text, names, serial numbers. Out: text of the same shape without addresses of ours, and names that say nothing: each
//! label of a name is replaced by a word that depends on it and on all behind it, so that names of one domain stay names of
//! one domain.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Anonymiser;
use crate::fact::value::hex;
use crate::signature::pattern::hex_bytes;

/// Bytes behind a word that stands for a label: 48 bits, so that no two of a large network meet.
const WORD_BYTES: usize = 6;
/// The longest text of an address: IPv6 with IPv4 at its end.
const ADDRESS_BYTES_MAX: usize = 45;
/// Leading characters of a serial number that tell the model.
const MODEL_CHARACTERS: usize = 6;
/// Names that everybody gives: they tell no host.
const ANYBODY: &[&str] = &["localhost", "local", "workgroup", "mshome", "arpa", "in-addr", "ip6", "", "*"];
/// How names begin that makers give in their certificates, not owners.
const MAKERS: &[&str] =
    &["Forti", "VMware", "vCenter", "CA", "cp_mgmt", "localhost", "Palo Alto", "McAfee", "SentinelOne"];

impl Anonymiser {
    /// Text with other addresses in place of ours.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut made = String::new();
        let mut copied = 0;
        let mut at = 0;
        while at < text.len() {
            match self.found(text, at) {
                Some((end, other)) => {
                    made.push_str(&text[copied..at]);
                    made.push_str(&other);
                    (copied, at) = (end, end);
                }
                None => at += text[at..].chars().next().map_or(1, char::len_utf8),
            }
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        made.push_str(&text[copied..]);
        Cow::Owned(made)
    }

    /// An address of ours or a hardware address that begins here: where it ends, and what stands for it.
    fn found(&self, text: &str, at: usize) -> Option<(usize, String)> {
        let bytes = text.as_bytes();
        let before = at.checked_sub(1).map(|before| bytes[before]);
        let first = bytes[at];
        if first.is_ascii_digit() && !before.is_some_and(|b| b.is_ascii_digit()) {
            for mark in [b'.', b'-', b'_'] {
                if let Some((end, address)) = quad(&bytes[at..], mark)
                    && self.is_ours(address.into())
                {
                    let other = self.address(address.into()).to_string();
                    return Some((at + end, other.replace('.', char::from(mark).encode_utf8(&mut [0; 4]))));
                }
            }
        }
        if !(first.is_ascii_hexdigit() || first == b':')
            || before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b':')
        {
            return None;
        }
        let near = || bytes[at..].iter().take(ADDRESS_BYTES_MAX);
        let run = |also: &[u8]| near().take_while(|b| b.is_ascii_hexdigit() || also.contains(b)).count();
        let free = |len: usize| !bytes.get(at + len).is_some_and(u8::is_ascii_alphanumeric);
        for mark in [b':', b'-', b'.'] {
            let len = run(&[mark]);
            if let Some((end, other)) = self.hardware(&text[at..at + len], mark).filter(|(end, _)| free(*end)) {
                return Some((at + end, other));
            }
        }
        let len = run(b":.");
        // A port or a full stop may follow.
        let mut end = len;
        while end >= 2 {
            if let Ok(address) = text[at..at + end].parse::<Ipv6Addr>() {
                let ours = free(end) && self.is_ours(address.into());
                return ours.then(|| (at + end, self.address(address.into()).to_string()));
            }
            end -= 1;
        }
        None
    }

    /// A hardware address of six pairs, or of three fours.
    fn hardware(&self, run: &str, mark: u8) -> Option<(usize, String)> {
        let digits = if mark == b'.' { 4 } else { 2 };
        let len = 12 + 12 / digits - 1;
        let run = run.get(..len)?;
        let groups: Vec<&str> = run.split(char::from(mark)).collect();
        if groups.iter().any(|group| group.len() != digits) {
            return None;
        }
        let all = groups.concat();
        let mac = hex_bytes(&all)?.try_into().ok()?;
        let mut other = hex(&self.mac(mac));
        if all.bytes().any(|b| b.is_ascii_uppercase()) {
            other.make_ascii_uppercase();
        }
        let groups: Vec<&str> =
            other.as_bytes().chunks(digits).filter_map(|group| str::from_utf8(group).ok()).collect();
        Some((len, groups.join(char::from(mark).encode_utf8(&mut [0; 4]))))
    }

    /// A name that may be one of outside: it is ours when the host that has it is, when it is no name of the Internet, and
    /// when it is below a domain of ours.
    pub(super) fn name(&self, name: &str, ours: bool) -> String {
        let (host, port) = split_port(name);
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            let other = self.address(address).to_string();
            return match host.starts_with('[') {
                true => format!("[{other}]{port}"),
                false => format!("{other}{port}"),
            };
        }
        if let Some(address) = reverse(host) {
            return match self.is_ours(address) {
                true => format!("{}{port}", reverse_name(self.address(address))),
                false => name.to_owned(),
            };
        }
        let plain = host.trim_end_matches('.').to_ascii_lowercase();
        let below = |domain: &String| {
            plain.strip_suffix(domain.as_str()).is_some_and(|above| above.is_empty() || above.ends_with('.'))
        };
        let known = plain.contains('.') && psl::suffix(plain.as_bytes()).is_some_and(|suffix| suffix.is_known());
        if ours || !known || self.domains.iter().any(below) {
            return format!("{}{port}", self.own(host));
        }
        self.text(name).into_owned()
    }

    /// The name of a host of ours.
    pub(super) fn own(&self, name: &str) -> String {
        let text = self.text(name);
        if let Cow::Owned(text) = text {
            // An address is the whole of it, or the rest is replaced as well.
            return match is_address(&text) {
                true => text,
                false => self.labels(name),
            };
        }
        if is_address(name) { name.to_owned() } else { self.labels(name) }
    }

    fn labels(&self, name: &str) -> String {
        let trimmed = name.trim_end_matches('.');
        let mut words: Vec<String> = Vec::new();
        let mut from = trimmed.len();
        for label in trimmed.rsplit('.') {
            let start = from.saturating_sub(label.len());
            let behind = &trimmed[start..];
            let anybody = label.starts_with(['_', '*']) || ANYBODY.iter().any(|word| word.eq_ignore_ascii_case(label));
            words.push(match anybody {
                true => label.to_owned(),
                false => format!("x{}", hex(&self.bytes::<WORD_BYTES>("name", behind.to_lowercase().as_bytes()))),
            });
            from = start.saturating_sub(1);
        }
        words.reverse();
        words.join(".") + &name[trimmed.len()..]
    }

    /// A serial number of the same shape: what tells the model stays.
    pub(super) fn serial(&self, serial: &str) -> String {
        let noise = self.bytes::<32>("serial", serial.as_bytes());
        let kept = MODEL_CHARACTERS.min(serial.chars().count() / 2);
        let turn = |(n, character): (usize, char)| {
            let byte = u32::from(noise[n % noise.len()]);
            match character {
                _ if n < kept => character,
                '0'..='9' => char::from_digit(byte % 10, 10).unwrap_or('0'),
                'A'..='Z' => char::from(b'A' + (byte % 26) as u8),
                'a'..='z' => char::from(b'a' + (byte % 26) as u8),
                other if other.is_ascii() => other,
                _ => 'x',
            }
        };
        serial.chars().enumerate().map(turn).collect()
    }

    /// The name of a certificate: who it was given to is replaced where it is of ours, and serial numbers always.
    pub(super) fn distinguished(&self, name: &str, ours: bool) -> String {
        let mut made = String::new();
        for (n, part) in name.split(',').enumerate() {
            if n > 0 {
                made.push(',');
            }
            match part.split_once('=') {
                Some((kind, value)) => {
                    made.push_str(kind);
                    made.push('=');
                    made.push_str(&self.attribute(kind.trim(), value, ours));
                }
                // The rest of a value that has a comma.
                None => made.push_str(&self.text(part)),
            }
        }
        made
    }

    fn attribute(&self, kind: &str, value: &str, ours: bool) -> String {
        if is_serial(value) {
            return self.serial(value);
        }
        if !ours {
            return self.text(value).into_owned();
        }
        match kind.to_ascii_lowercase().as_str() {
            "cn" if MAKERS.iter().any(|maker| value.starts_with(maker)) => self.hosts(value),
            "cn" => {
                let (host, rest) = value.split_once(' ').map_or((value, ""), |(host, _)| (host, &value[host.len()..]));
                format!("{}{}", self.own(host), self.hosts(rest))
            }
            // A management of Check Point calls itself after its host.
            "o" | "ou" => match value.split_once("..") {
                Some((host, tail)) => format!("{}..{}", self.own(host), self.serial(tail)),
                None => self.hosts(value),
            },
            "c" | "l" | "st" | "dc" => self.text(value).into_owned(),
            _ => self.own(value),
        }
    }

    /// What one of our servers says: names of hosts in it are replaced, too.
    pub(super) fn hosts(&self, text: &str) -> String {
        let text = self.text(text);
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        let mut made = String::new();
        let mut word = String::new();
        let mut alone = false;
        for c in text.chars().chain(['\0']) {
            if is_part(c) && c != '\0' {
                word.push(c);
                continue;
            }
            if !word.is_empty() {
                let full = word.trim_end_matches('.');
                let dotted = full.len() < word.len();
                made.push_str(&if is_host(full) || alone { self.own(full) } else { full.to_owned() });
                made.push_str(if dotted { &word[full.len()..] } else { "" });
                // `... running on HOST`, and the node name of `Linux HOST 5.10.0`.
                alone = made.ends_with("running on") || made == "Linux";
                word.clear();
            }
            if c != '\0' {
                made.push(c);
            }
        }
        made
    }

    /// `HOST ESMTP ...`
    pub(super) fn greeting(&self, text: &str) -> String {
        match text.split_once(' ') {
            Some((host, rest))
                if ["ESMTP", "SMTP", "WebShield", "McAfee"].iter().any(|word| rest.starts_with(word)) =>
            {
                format!("{} {}", self.own(host), self.hosts(rest))
            }
            _ => self.hosts(text),
        }
    }

    /// A URL of one of our hosts.
    pub(super) fn url(&self, url: &str, ours: bool) -> String {
        let Some((scheme, rest)) = url.split_once("://") else { return self.hosts(url) };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        format!("{scheme}://{}{}", self.name(authority, ours), self.text(path))
    }
}

/// Four numbers with this mark between them: where they end, and the address.
fn quad(bytes: &[u8], mark: u8) -> Option<(usize, Ipv4Addr)> {
    let mut octets = [0u8; 4];
    let mut at = 0;
    for (n, octet) in octets.iter_mut().enumerate() {
        if n > 0 {
            if bytes.get(at) != Some(&mark) {
                return None;
            }
            at += 1;
        }
        let digits = bytes.get(at..)?.iter().take_while(|b| b.is_ascii_digit()).count();
        *octet = str::from_utf8(bytes.get(at..at + digits)?).ok()?.parse().ok().filter(|_| digits <= 3)?;
        at += digits;
    }
    Some((at, octets.into()))
}

fn is_address(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.' | '-');
    text.parse::<IpAddr>().is_ok()
        || text.len() >= 14 && text.len() <= 17 && text.chars().all(plain) && text.contains([':', '-', '.'])
}

/// Looks like the full name of a host.
fn is_host(word: &str) -> bool {
    let last = word.rsplit('.').next().unwrap_or_default();
    word.contains('.')
        && last.len() >= 2
        && last.bytes().all(|b| b.is_ascii_alphabetic())
        && word.split('.').all(|label| !label.is_empty())
}

/// Looks like a serial number: long, capitals and digits.
fn is_serial(word: &str) -> bool {
    word.len() >= 12
        && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-')
        && word.bytes().any(|b| b.is_ascii_digit())
        && word.bytes().any(|b| b.is_ascii_uppercase())
}

/// The host and what follows it: a colon and a port.
fn split_port(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((host, port))
            if !port.is_empty()
                && port.bytes().all(|b| b.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            (host, &name[host.len()..])
        }
        _ => (name, ""),
    }
}

/// The address that a name for reverse look-up is for (RFC 1035, section 3.5; RFC 3596, section 2.5).
fn reverse(name: &str) -> Option<IpAddr> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let labels: Vec<&str> = labels.rsplit('.').collect();
        return labels.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let digits: String = name.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
    let bits = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32)?;
    Some(Ipv6Addr::from_bits(bits).into())
}

fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let digits: Vec<String> = format!("{:032x}", v6.to_bits()).chars().rev().map(String::from).collect();
            format!("{}.ip6.arpa", digits.join("."))
        }
    }
}
