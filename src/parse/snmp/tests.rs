#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use super::*;
use crate::parse::testing::udp;

const S: Side = Side::Destination;
const COMMUNITY: &[u8] = b"s3cret-community";
const USER: &[u8] = b"s3cret-user";
/// 1.3.6.1.4.1.12356.101.1.1000 in BER.
const FORTIGATE: &[u8] = &[0x2b, 6, 1, 4, 1, 0xe0, 0x44, 101, 1, 0x87, 0x68];

/// An element of BER.
fn ber(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match contents.len() {
        short @ 0..=0x7f => bytes.push(short as u8),
        long => bytes.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    bytes.extend(contents);
    bytes
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    ber(tag::SEQUENCE, &parts.concat())
}

fn number(value: u8) -> Vec<u8> {
    ber(tag::INTEGER, &[value])
}

fn variable(name: &[u8], value: Vec<u8>) -> Vec<u8> {
    sequence(&[ber(tag::OID, name), value])
}

fn pdu(tag: u8, variables: &[Vec<u8>]) -> Vec<u8> {
    ber(tag, &[number(1), number(0), number(0), sequence(variables)].concat())
}

fn community_message(version: u8, pdu: Vec<u8>) -> Vec<u8> {
    sequence(&[number(version), ber(tag::OCTETS, COMMUNITY), pdu])
}

/// A message of version 3 (RFC 3412, 6; RFC 3414, 2.4).
fn version_3(flags: u8, engine: &[u8], data: Vec<u8>) -> Vec<u8> {
    let header = sequence(&[number(9), ber(tag::INTEGER, &[0, 0xff, 0xe3]), ber(tag::OCTETS, &[flags]), number(3)]);
    let octets = |bytes: &[u8]| ber(tag::OCTETS, bytes);
    let usm = sequence(&[octets(engine), number(4), number(5), octets(USER), octets(&[7; 12]), octets(b"")]);
    sequence(&[number(3), header, octets(&usm), data])
}

fn scoped(pdu: Vec<u8>) -> Vec<u8> {
    sequence(&[ber(tag::OCTETS, b"\x80\x00\x1f\x88\x04abc"), ber(tag::OCTETS, b"s3cret-context"), pdu])
}

fn system() -> Vec<Vec<u8>> {
    vec![
        variable(OID_SYSDESCR, ber(tag::OCTETS, b"FortiGate-100F")),
        variable(OID_SYSOBJECTID, ber(tag::OID, FORTIGATE)),
        variable(&[0x2b, 6, 1, 2, 1, 1, 5, 0], ber(tag::OCTETS, b"s3cret-name")),
    ]
}

fn read(bytes: &[u8]) -> Facts {
    let mut facts = Facts::default();
    Snmp.feed(S, Prefix { bytes, seen: Seen::default(), last: true, split: false }, &mut facts);
    // Whatever comes, no word that is nobody's business stands in the facts.
    let secret = |window: &[u8]| window == b"s3cret";
    assert!(!facts.packed().windows(6).any(secret));
    facts
}

fn values(facts: &Facts, field: &'static Field) -> Vec<String> {
    facts.of(field).map(|fact| fact.text()).collect()
}

fn claims(bytes: &[u8]) -> bool {
    (PROTOCOL.claim)(&udp((40_000, 40_001), S, bytes)) == Claim::Yes
}

#[test]
fn an_agent_says_what_it_is() {
    for (version, name) in [(0, "1"), (1, "2c")] {
        let bytes = community_message(version, pdu(tag::RESPONSE, &system()));
        assert!(claims(&bytes));
        let facts = read(&bytes);
        assert_eq!(values(&facts, &VERSION), [name]);
        assert_eq!(values(&facts, &SYSDESCR), ["FortiGate-100F"]);
        assert_eq!(values(&facts, &SYSOBJID), ["1.3.6.1.4.1.12356.101.1.1000"]);
        assert_eq!(facts.flags, Default::default());
    }
}

#[test]
fn what_a_manager_sets_is_no_word_of_the_agent() {
    const SET: u8 = 0xa3;
    for tag in [tag::GET, SET] {
        let facts = read(&community_message(1, pdu(tag, &system())));
        assert!(facts.has(&VERSION) && !facts.has(&SYSDESCR) && !facts.has(&SYSOBJID));
    }
}

#[test]
fn traps_name_what_sent_them() {
    let address = ber(tag::ADDRESS, &[10, 0, 0, 1]);
    let ticks = ber(tag::TICKS, &[0x12, 0x34]);
    let parts = [ber(tag::OID, FORTIGATE), address, number(6), number(1), ticks, sequence(&[])];
    let facts = read(&community_message(0, ber(tag::TRAP_1, &parts.concat())));
    assert_eq!(values(&facts, &ENTERPRISE), ["1.3.6.1.4.1.12356.101.1.1000"]);
    let variables = [
        variable(OID_TRAP, ber(tag::OID, &[0x2b, 6, 1, 6, 3, 1, 1, 5, 3])),
        variable(OID_TRAP_ENTERPRISE, ber(tag::OID, FORTIGATE)),
    ];
    let facts = read(&community_message(1, pdu(tag::TRAP_2, &variables)));
    assert_eq!(values(&facts, &TRAP_OID), ["1.3.6.1.6.3.1.1.5.3"]);
    assert_eq!(values(&facts, &ENTERPRISE), ["1.3.6.1.4.1.12356.101.1.1000"]);
}

#[test]
fn an_engine_speaks_for_itself() {
    let engine = b"\x80\x00\x30\x44\x04FG100E";
    let answer = version_3(1, engine, scoped(pdu(tag::RESPONSE, &system())));
    let facts = read(&answer);
    assert_eq!(values(&facts, &VERSION), ["3"]);
    assert_eq!(values(&facts, &ENGINE_ID), ["8000304404464731303045"]);
    assert_eq!(values(&facts, &SYSDESCR), ["FortiGate-100F"]);
    // Who asks names the engine of the other side.
    let question = version_3(1 | REPORTABLE, engine, scoped(pdu(tag::GET, &[])));
    assert!(!read(&question).has(&ENGINE_ID));
    // Encrypted: the engine still stands outside.
    let hidden = version_3(3, engine, ber(tag::OCTETS, &[0xee; 40]));
    assert!(read(&hidden).has(&ENGINE_ID) && claims(&hidden));
    assert!(!read(&version_3(0, b"", scoped(pdu(tag::REPORT, &[])))).has(&ENGINE_ID));
}

#[test]
fn only_what_fits_to_the_last_byte_is_claimed() {
    let whole = community_message(1, pdu(tag::RESPONSE, &system()));
    for end in 0..whole.len() {
        assert!(!claims(&whole[..end]), "{end}");
    }
    assert!(!claims(&[&whole[..], &[0]].concat()));
    let engine = version_3(1, b"\x80\x00\x30\x44\x04FG", scoped(pdu(tag::RESPONSE, &[])));
    for end in 0..engine.len() {
        assert!(!claims(&engine[..end]), "{end}");
    }
    for message in [
        community_message(2, pdu(tag::GET, &[])),
        community_message(0, pdu(tag::BULK, &[])),
        community_message(1, pdu(0xa9, &[])),
        // LDAP over UDP: a message number and a search.
        sequence(&[number(1), ber(0x63, &[0; 20])]),
    ] {
        assert!(!claims(&message));
    }
}

#[test]
fn lengths_may_be_long_and_not_open() {
    let mut long = community_message(1, pdu(tag::GET, &[]));
    long.splice(1..2, [0x84, 0, 0, 0, long[1]]);
    assert!(claims(&long));
    long[1] = 0x80;
    assert!(!claims(&long));
}

#[test]
fn damaged_variables_are_flagged_and_not_told() {
    let cut = variable(OID_SYSOBJECTID, ber(tag::OID, &[0x2b, 6, 0x87]));
    let facts = read(&community_message(1, pdu(tag::RESPONSE, &[cut, system().remove(0)])));
    assert!(facts.flags.has(Flag::ParseError) && !facts.has(&SYSOBJID) && !facts.has(&SYSDESCR));
    let many = vec![variable(&[0x2b, 6], ber(tag::OCTETS, b"")); VARIABLES_MAX];
    assert!(read(&community_message(1, pdu(tag::RESPONSE, &many))).flags.has(Flag::LimitReached));
}

#[test]
fn object_identifiers_in_their_usual_form() {
    assert_eq!(dotted(&[0x2b]).unwrap(), "1.3");
    assert_eq!(dotted(&[0x88, 0x37, 3]).unwrap(), "2.999.3");
    assert_eq!(dotted(&[0x2b, 0x8f, 0xff, 0xff, 0xff, 0x7f]).unwrap(), "1.3.4294967295");
    for bad in [&[][..], &[0x2b, 0x80], &[0x2b, 0x90, 0x80, 0x80, 0x80, 0], &[1; OID_NUMBERS_MAX]] {
        assert_eq!(dotted(bad), None);
    }
}
