#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use super::*;
use crate::parse::testing::udp;

const C: Side = Side::Source;

/// A name in its first-level encoding (RFC 1001, 14.1).
fn encoded(name: &str, suffix: u8) -> Vec<u8> {
    let mut bytes = vec![ENCODED_BYTES];
    for byte in padded(name, suffix) {
        bytes.extend([b'A' + (byte >> 4), b'A' + (byte & 15)]);
    }
    bytes.push(0);
    bytes
}

fn padded(name: &str, suffix: u8) -> Name {
    let mut bytes = [b' '; NAME_BYTES];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes[15] = suffix;
    bytes
}

/// A registration (RFC 1002, 4.2.2) of one name for one address.
fn registration(name: &str, suffix: u8, flags: u16) -> Vec<u8> {
    let mut bytes = vec![0x80, 1, 0x29, 0x10, 0, 1, 0, 0, 0, 0, 0, 1];
    bytes.extend(encoded(name, suffix));
    bytes.extend([0, 0x20, 0, 1, 0xc0, 0x0c, 0, 0x20, 0, 1, 0, 4, 0x93, 0xe0, 0, 6]);
    bytes.extend(flags.to_be_bytes());
    bytes.extend([10, 0, 0, 227]);
    bytes
}

fn query(name: &str, suffix: u8) -> Vec<u8> {
    let mut bytes = vec![0x80, 1, 0x01, 0x10, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend(encoded(name, suffix));
    bytes.extend([0, 0x20, 0, 1]);
    bytes
}

/// A node status response (RFC 1002, 4.2.18).
fn status(names: &[(&str, u8, u16)]) -> Vec<u8> {
    let mut bytes = vec![0, 7, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    bytes.extend(encoded("*", 0));
    bytes.extend([0, 0x21, 0, 1, 0, 0, 0, 0]);
    bytes.extend((1 + names.len() as u16 * 18 + 46).to_be_bytes());
    bytes.push(names.len() as u8);
    for (name, suffix, flags) in names {
        bytes.extend(padded(name, *suffix));
        bytes.extend(flags.to_be_bytes());
    }
    bytes.extend([0; 46]);
    bytes
}

fn datagram(from: (&str, u8), to: (&str, u8)) -> Vec<u8> {
    let data = [encoded(from.0, from.1), encoded(to.0, to.1), b"\xffSMB".to_vec()].concat();
    let mut bytes = vec![0x11, 0x0e, 0, 1, 10, 0, 0, 1, 0, 138];
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(data);
    bytes
}

fn claims(bytes: &[u8]) -> bool {
    (PROTOCOL.claim)(&udp((40_000, 40_001), C, bytes)) == Claim::Yes
}

fn read(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let mut facts = Facts::default();
    NetBios.feed(C, Prefix { bytes, seen: Seen::default(), last: true, split: false }, &mut facts);
    let values = |field| facts.of(field).map(|fact| fact.text()).collect();
    (values(&NAME), values(&WORKGROUP))
}

fn names(name: &[&str], workgroup: &[&str]) -> (Vec<String>, Vec<String>) {
    let owned = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
    (owned(name), owned(workgroup))
}

/// Names with a scope (RFC 1002, 4.1) are read without it; records of addresses and servers are let by, others are none.
#[test]
fn scopes_and_other_records() {
    let scoped = |scope: &[u8]| {
        let name = encoded("FW01", 0);
        let mut bytes = registration("FW01", 0, 0);
        bytes.splice(12..12 + name.len(), [&name[..name.len() - 1], scope].concat());
        bytes
    };
    assert!(Message::read(&scoped(&[0])).is_some());
    assert!(Message::read(&scoped(b"\x07example\x03com\0")).is_some());
    assert!(Message::read(&scoped(b"\xc0\x0c\0")).is_none(), "a pointer in a name");
    assert!(Message::read(&scoped(&[&b"\x01a".repeat(200)[..], &[0]].concat())).is_none(), "labels without end");
    // An answer with the name server and its address: NS, A (RFC 1002, 4.2.14), no name and one of another kind.
    let record = |kind: u8| {
        let mut bytes = vec![0, 7, 0x84, 0, 0, 0, 0, 0, 0, 1, 0, 0];
        bytes.extend(encoded("FW01", 0));
        bytes.extend([0, kind, 0, 1, 0, 0, 0, 0, 0, 4, 10, 0, 0, 1]);
        bytes
    };
    for (kind, read) in [(1, true), (2, true), (10, true), (3, false)] {
        assert_eq!(Message::read(&record(kind)).is_some(), read, "{kind}");
    }
    let mut long = record(1);
    long[12] = 31;
    assert!(Message::read(&long).is_none(), "a name of another length");
    let mut facts = Facts::default();
    let prefix = Prefix { bytes: &long, seen: Seen::default(), last: true, split: false };
    NetBios.feed(C, prefix, &mut facts);
    assert!(facts.iter().next().is_none() && facts.flags.has(Flag::ParseError));
}

#[test]
fn a_host_takes_its_names() {
    assert_eq!(read(&registration("LP-B043053-W764", 0, 0)), names(&["LP-B043053-W764"], &[]));
    assert_eq!(read(&registration("WORKGROUP", 0, GROUP)), names(&[], &["WORKGROUP"]));
    // The messenger's name is that of the user.
    assert_eq!(read(&registration("JDOE", 3, 0)), names(&[], &[]));
    // What is asked for is somebody else's.
    assert_eq!(read(&query("FILESERVER", 0x20)), names(&[], &[]));
}

#[test]
fn a_status_lists_the_names_of_its_sender() {
    let bytes = status(&[("PC7", 0, 0x0400), ("CORP", 0, 0x8400), ("JDOE", 3, 0x0400), ("CORP", 0x1c, 0x8400)]);
    assert!(claims(&bytes));
    assert_eq!(read(&bytes), names(&["PC7"], &["CORP"]));
}

#[test]
fn browsers_speak_in_their_workgroup() {
    let bytes = datagram(("PC7", 0), ("CORP", suffix::MASTER));
    assert!(claims(&bytes));
    assert_eq!(read(&bytes), names(&["PC7"], &["CORP"]));
    // Domain controllers are asked by anybody.
    assert_eq!(read(&datagram(("PC7", 0), ("CORP", 0x1c))), names(&["PC7"], &[]));
}

#[test]
fn only_whole_messages_are_claimed() {
    let all = [registration("A", 0, 0), query("A", 0), status(&[("A", 0, 0)]), datagram(("A", 0), ("B", 0))];
    for whole in all {
        assert!(claims(&whole));
        for end in 0..whole.len() {
            assert!(!claims(&whole[..end]), "{end}");
        }
        assert!(!claims(&[&whole[..], &[0]].concat()));
    }
    let mut dns = query("A", 0);
    dns[13] = b'Q';
    assert!(!claims(&dns), "no letter of the encoding");
    let mut kind = query("A", 0);
    let at = kind.len() - 3;
    kind[at] = 1;
    assert!(!claims(&kind), "a question for an address");
}
