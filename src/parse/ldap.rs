//! LDAP, and TLS behind its StartTLS operation.
//!
//! In: the prefixes of both sides. Out: which product a directory says it is, from its root entry. Names of users,
//! passwords and other entries are not kept.
//! Sources: RFC 4511 (messages), RFC 4512 section 5.1 (root DSE), RFC 3045 (vendorName, vendorVersion).

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Kind, Side};
use crate::parse::inner::Inner;
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, had_enough};

/// `vendorName` and `vendorVersion` of a directory's root entry.
pub static VENDOR: Field =
    Field::new("ldap.vendor", Kind::Text, "vendorName or vendorVersion of an LDAP root DSE", "RFC 3045");

/// LDAP.
pub static PROTOCOL: Protocol = Protocol {
    name: "ldap",
    over: &[Transport::Tcp],
    fields: &[&VENDOR],
    claim: |&Opening { bytes, .. }| claim(bytes),
    embedded: false,
    parser: |_| Box::new(Ldap { inner: Inner::tls(), halves: [Half::default(); 2] }),
};

/// Messages of a side that are looked at; the root entry and StartTLS come early.
const MESSAGES_MAX: u32 = 128;
/// Bytes that are enough for the head of a message: two tags with lengths, a number, a tag with a length.
const HEAD_BYTES: usize = 24;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const CONTROLS: u8 = 0xa0;
/// RFC 4511 section 4.2 and following.
const BIND_REQUEST: u8 = 0x60;
const UNBIND_REQUEST: u8 = 0x42;
const SEARCH_REQUEST: u8 = 0x63;
const SEARCH_ENTRY: u8 = 0x64;
const EXTENDED_REQUEST: u8 = 0x77;
/// Tag of the name in an extended request.
const REQUEST_NAME: u8 = 0x80;

/// Tag and length of an element; `Ok(None)` when its head is cut, `Err` when it is not one LDAP uses.
fn element(reader: &mut Reader<'_>) -> Result<Option<(u8, usize)>, ()> {
    let (Some(tag), Some(first)) = (reader.u8(), reader.u8()) else { return Ok(None) };
    let length = match first {
        0..=0x7f => usize::from(first),
        0x81..=0x84 => {
            let Some(bytes) = reader.take(usize::from(first & 0x7f)) else { return Ok(None) };
            bytes.iter().fold(0, |sum: usize, byte| sum << 8 | usize::from(*byte))
        }
        _ => return Err(()),
    };
    Ok(Some((tag, length)))
}

/// The content of the next element, if it is whole and has this tag.
fn content<'a>(reader: &mut Reader<'a>, tag: u8) -> Option<Reader<'a>> {
    let (found, length) = element(reader).ok()??;
    if found == tag { reader.sub(length) } else { None }
}

/// The head of a message.
enum Head {
    /// More bytes are needed.
    Cut,
    Bad,
    /// The operation, where its content begins and ends, and where the message ends, all from its start.
    Is {
        operation: u8,
        at: usize,
        behind: usize,
        end: usize,
    },
}

fn head(bytes: &[u8]) -> Head {
    let mut reader = Reader::new(bytes);
    let read = |reader: &Reader<'_>| bytes.len().saturating_sub(reader.left());
    let whole = match element(&mut reader) {
        Ok(Some((SEQUENCE, length))) if length >= 5 => read(&reader).saturating_add(length),
        Ok(None) if bytes.first().is_none_or(|tag| *tag == SEQUENCE) => return Head::Cut,
        _ => return Head::Bad,
    };
    match element(&mut reader) {
        Ok(Some((INTEGER, length @ 1..=4))) if reader.left() >= length => reader.take(length),
        Ok(Some((INTEGER, 1..=4)) | None) => return Head::Cut,
        _ => return Head::Bad,
    };
    let (operation, length) = match element(&mut reader) {
        Ok(Some(operation)) => operation,
        Ok(None) => return Head::Cut,
        Err(()) => return Head::Bad,
    };
    let at = read(&reader);
    let behind = at.saturating_add(length);
    // Controls may follow the operation.
    if behind <= whole { Head::Is { operation, at, behind, end: whole } } else { Head::Bad }
}

fn claim(bytes: &[u8]) -> Claim {
    let (operation, at, behind) = match head(bytes) {
        Head::Is { operation, at, behind, .. } => (operation, at, behind),
        Head::Cut if bytes.len() < HEAD_BYTES => return Claim::NeedBytes(bytes.len().saturating_add(1)),
        Head::Cut | Head::Bad => return Claim::No,
    };
    let rest = bytes.get(at..).unwrap_or_default();
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|at| rest.get(at).copied());
    let good = match operation {
        BIND_REQUEST => match (first, second, third, fourth) {
            (Some(INTEGER), Some(1), Some(2 | 3), Some(OCTETS)) => Some(true),
            (_, _, _, None) => None,
            _ => Some(false),
        },
        UNBIND_REQUEST => Some(at == behind),
        SEARCH_REQUEST => search(rest),
        SEARCH_ENTRY => first.map(|tag| tag == OCTETS),
        EXTENDED_REQUEST => match (first, third) {
            (Some(tag), Some(digit)) => Some(tag == REQUEST_NAME && digit.is_ascii_digit()),
            _ => None,
        },
        // The results of bind, search, modify, add, delete, rename, compare and extended operations.
        0x61 | 0x65 | 0x67 | 0x69 | 0x6b | 0x6d | 0x6f | 0x78 => match (first, second, fourth) {
            (Some(ENUMERATED), Some(1), Some(OCTETS)) => Some(true),
            (_, _, None) => None,
            _ => Some(false),
        },
        _ => Some(false),
    };
    match good {
        Some(true) => Claim::Yes,
        Some(false) => Claim::No,
        None => Claim::NeedBytes(bytes.len().saturating_add(1)),
    }
}

/// Base, then scope and the handling of aliases (RFC 4511 section 4.5.1); `None` while it is cut.
fn search(bytes: &[u8]) -> Option<bool> {
    let mut reader = Reader::new(bytes);
    let length = match element(&mut reader) {
        Ok(Some((OCTETS, length))) => length,
        Ok(None) => return None,
        _ => return Some(false),
    };
    reader.take(length)?;
    let &[kind, one, scope, again, single, aliases] = reader.rest().first_chunk()?;
    Some([kind, one, again, single] == [ENUMERATED, 1, ENUMERATED, 1] && scope <= 3 && aliases <= 3)
}

#[derive(Clone, Copy, Default)]
struct Half {
    /// Offset of the next message.
    at: usize,
    messages: u32,
}

struct Ldap {
    inner: Inner,
    halves: [Half; 2],
}

impl Parser for Ldap {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if self.inner.has_begun(side) {
            return self.inner.feed(side, prefix, facts);
        }
        let half = side.of_mut(&mut self.halves);
        loop {
            let bytes = prefix.bytes.get(half.at..).unwrap_or_default();
            let more = half.at.max(prefix.bytes.len()).saturating_add(1);
            if bytes.first().is_some_and(|tag| *tag != SEQUENCE) {
                return match self.inner.begins(side, half.at, prefix) {
                    Claim::Yes => self.inner.feed(side, prefix, facts),
                    Claim::NeedBytes(bytes) => Progress::NeedBytes(bytes),
                    // Signed or sealed by what the bind agreed on.
                    Claim::No => Progress::Done,
                };
            }
            let wanted = match head(bytes) {
                // Whether there are controls shows behind the operation.
                Head::Is { behind, end, .. } if behind < end && bytes.len() <= behind => {
                    Err(half.at.saturating_add(behind).saturating_add(1))
                }
                Head::Is { behind, end, .. } if behind < end && bytes.get(behind) != Some(&CONTROLS) => {
                    return Progress::Done;
                }
                Head::Is { operation: SEARCH_ENTRY, at, end, .. } => match root_entry(bytes, at, end) {
                    Root::Is(attributes) => {
                        add_vendor(attributes, side, prefix, facts);
                        Ok(end)
                    }
                    Root::Cut(bytes) => Err(half.at.saturating_add(bytes)),
                    Root::Other => Ok(end),
                },
                Head::Is { end, .. } => Ok(end),
                Head::Cut => Err(more),
                Head::Bad => return Progress::Done,
            };
            match wanted {
                Ok(_) if had_enough(&mut half.messages, MESSAGES_MAX, facts) => return Progress::Done,
                Ok(end) => half.at = half.at.saturating_add(end),
                Err(_) if prefix.last => return Progress::Done,
                Err(bytes) => return Progress::NeedBytes(bytes.max(more)),
            }
        }
    }
}

/// An entry of a search's result.
enum Root<'a> {
    /// So many bytes are needed.
    Cut(usize),
    Other,
    /// The directory's own entry: its attributes.
    Is(Reader<'a>),
}

/// The root entry has no name (RFC 4512 section 5.1).
fn root_entry(bytes: &[u8], at: usize, end: usize) -> Root<'_> {
    match bytes.get(at..).unwrap_or_default() {
        [] | [OCTETS] => return Root::Cut(at.saturating_add(2)),
        [OCTETS, 0, ..] => {}
        _ => return Root::Other,
    }
    let Some(entry) = bytes.get(at.saturating_add(2)..end) else { return Root::Cut(end) };
    content(&mut Reader::new(entry), SEQUENCE).map_or(Root::Other, Root::Is)
}

fn add_vendor(mut attributes: Reader<'_>, side: Side, prefix: Prefix<'_>, facts: &mut Facts) {
    while let Some(mut attribute) = content(&mut attributes, SEQUENCE) {
        let Some(name) = content(&mut attribute, OCTETS) else { return };
        let wanted = [&b"vendorName"[..], b"vendorVersion"].iter().any(|w| w.eq_ignore_ascii_case(name.rest()));
        let Some(mut values) = content(&mut attribute, SET).filter(|_| wanted) else { continue };
        while let Some(value) = content(&mut values, OCTETS) {
            if !value.is_empty() {
                facts.add(&VENDOR, side, prefix.seen, value.rest());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Flag;
    use crate::parse::testing::{C, S, Talk, claim, is_taken_over};

    /// RFC 4511 section 4.14: an extended request with the name of StartTLS and its answer.
    const START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
    const STARTED: &[u8] = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\0\x04\0\x04\0";
    /// A search for the root entry, base and scope and the rest as in section 4.5.1.
    const SEARCH: &[u8] = b"\x30\x25\x02\x01\x02\x63\x20\x04\0\x0a\x01\0\x0a\x01\0\x02\x01\0\x02\x01\0\
        \x01\x01\0\x87\x0bobjectClass\x30\0";

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], &content].concat()
    }

    fn entry(name: &[u8]) -> Vec<u8> {
        let attribute = |name: &[u8], value: &[u8]| tlv(0x30, &[&tlv(4, &[name]), &tlv(0x31, &[&tlv(4, &[value])])]);
        let attributes = [
            attribute(b"vendorName", b"Example, Inc."),
            attribute(b"namingContexts", b"dc=secret"),
            attribute(b"VendorVersion", b"Example Directory 7.1"),
        ];
        let name = [&[4, u8::try_from(name.len()).unwrap()], name].concat();
        tlv(0x30, &[&[2, 1, 2], &tlv(0x64, &[&name, &tlv(0x30, &[&attributes.concat()])])])
    }

    #[test]
    fn start_tls_of_rfc4511() {
        is_taken_over(&PROTOCOL, START_TLS, STARTED);
        is_taken_over(&PROTOCOL, &[SEARCH, START_TLS].concat(), &[&entry(b""), STARTED].concat());
    }

    #[test]
    fn what_the_root_entry_says() {
        let talk = Talk::new(&PROTOCOL).send(C, SEARCH).drip(S, &entry(b"")).send(S, STARTED);
        assert_eq!(talk.text(&VENDOR), ["Example Directory 7.1", "Example, Inc."]);
        talk.keeps_out("secret");
        let other = Talk::new(&PROTOCOL).send(S, &entry(b"cn=x"));
        assert!(other.everything().is_empty(), "another entry may say anything");
        let cut = Talk::new(&PROTOCOL).send(S, entry(b"").get(..90).unwrap()).end();
        assert!(cut.everything().is_empty());
    }

    #[test]
    fn what_is_behind_an_operation_reads_the_same_in_pieces() {
        for tag in [CONTROLS, 0x31] {
            let message = [b"\x30\x0e\x02\x01\x01\x78\x07\x0a\x01\0\x04\0\x04\0".as_slice(), &[tag, 0]].concat();
            let bytes = [&message, STARTED].concat();
            let whole = Talk::new(&PROTOCOL).send(S, &bytes);
            let drops = Talk::new(&PROTOCOL).drip(S, &bytes);
            assert_eq!((whole.is_done(S), drops.is_done(S)), (tag != CONTROLS, tag != CONTROLS));
        }
    }

    #[test]
    fn what_is_sealed_ends_the_reading() {
        let talk = Talk::new(&PROTOCOL).send(S, STARTED).send(S, b"\0\0\0\x40\x05\x04\x07\xff");
        assert!(talk.is_done(S) && talk.everything().is_empty());
    }

    #[test]
    fn claims() {
        let bind = b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0";
        let unbind = b"\x30\x05\x02\x01\x03\x42\0";
        for bytes in [START_TLS, STARTED, SEARCH, bind, unbind, &entry(b"")] {
            assert_eq!(claim(&PROTOCOL, C, bytes), Claim::Yes, "{bytes:?}");
            for end in 1..8.min(bytes.len()) {
                let part = claim(&PROTOCOL, C, bytes.get(..end).unwrap());
                assert!(part != Claim::No, "{end} of {bytes:?}");
            }
        }
        let no: [&[u8]; 6] = [
            // SNMP version 1, a get request.
            b"\x30\x26\x02\x01\0\x04\x06public\xa0\x19\x02\x01\x26\x02\x01\0\x02\x01\0\x30\x0e",
            b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x09\x04\0\x80\0",
            b"\x30\x0c\x02\x01\x01\x60\x08\x02\x01\x03\x04\0\x80\0",
            b"\x30\x80\x02\x01\x01\x60",
            b"0123456789abcdef",
            b"\x16\x03\x01",
        ];
        for bytes in no {
            assert_eq!(claim(&PROTOCOL, C, bytes), Claim::No, "{bytes:?}");
        }
    }

    /// Messages of a side are read up to a limit; of more it is said.
    #[test]
    fn messages_before_the_root_entry() {
        let talk = |before: u32| {
            let all = [entry(b"cn=x").repeat(before as usize), entry(b"")].concat();
            Talk::new(&PROTOCOL).send(S, &all)
        };
        let (last, beyond) = (talk(MESSAGES_MAX - 1), talk(MESSAGES_MAX));
        assert_eq!((last.text(&VENDOR).len(), last.facts.flags.0, last.is_done(S)), (2, 0, false));
        assert!(beyond.is_done(S) && beyond.facts.flags.has(Flag::LimitReached));
    }
}
