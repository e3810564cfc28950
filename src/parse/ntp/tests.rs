#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use super::*;
use crate::parse::testing::udp;

const C: Side = Side::Source;
const S: Side = Side::Destination;
const PORTS: (u16, u16) = (50_000, PORT);
const ODD: (u16, u16) = (50_000, 50_001);

/// A server's answer as RFC 5905, 7.3, draws it.
fn answer(stratum: u8, refid: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![0x24, stratum, 6, 0xe9, 0, 0, 0, 0, 0, 0, 0x02, 0x10];
    bytes.extend(refid);
    for second in 0..4 {
        bytes.extend([0xeb, 0x67, 0x76, 0xd3 + second, 1, 2, 3, 4]);
    }
    bytes
}

/// A client's question: nothing but a time.
fn question() -> Vec<u8> {
    let mut bytes = vec![0; PACKET_BYTES];
    bytes[0] = 0x23;
    bytes[40..].fill(0x77);
    bytes
}

/// An answer to a control message (RFC 9327, 2).
fn control(operation: u8, offset: u16, text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x16, RESPONSE | operation, 0, 1, 6, 0x15, 0, 0];
    bytes.extend(offset.to_be_bytes());
    bytes.extend((text.len() as u16).to_be_bytes());
    bytes.extend(text);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn read(datagrams: &[(Side, Vec<u8>)]) -> (Facts, Progress) {
    let (mut facts, mut ntp, mut progress) = (Facts::default(), Ntp::default(), Progress::NeedBytes(0));
    for (side, bytes) in datagrams {
        progress = ntp.feed(*side, Prefix { bytes, seen: Seen::default(), last: true, split: false }, &mut facts);
    }
    (facts, progress)
}

fn values(facts: &Facts, field: &'static Field) -> Vec<String> {
    facts.of(field).map(|fact| fact.text()).collect()
}

#[test]
fn a_server_says_what_it_follows() {
    let (facts, progress) = read(&[(C, question()), (S, answer(1, *b"GPS\0"))]);
    assert_eq!(progress, Progress::AllDone);
    assert_eq!(values(&facts, &MODE), ["3", "4"]);
    assert_eq!(values(&facts, &VERSION), ["4", "4"]);
    assert_eq!((values(&facts, &STRATUM), values(&facts, &REFID)), (vec!["1".to_owned()], vec!["GPS".to_owned()]));
    let (facts, progress) = read(&[(S, answer(2, [201, 68, 88, 106]))]);
    assert_eq!((values(&facts, &REFID), progress), (vec!["201.68.88.106".to_owned()], Progress::NeedBytes(0)));
    assert_eq!(values(&read(&[(S, answer(0, *b"RATE"))]).0, &REFID), ["RATE"]);
    assert!(!read(&[(S, answer(1, [0xff, 1, 2, 3]))]).0.has(&REFID));
}

#[test]
fn a_control_answer_names_system_and_daemon() {
    // The answer of an ESXi host as rapid7/recog has it.
    let text = b"version=\"ntpd 4.2.4p6@1.1495 Wed Sep 22 02:33:15 UTC 2010 (1)\",\r\n\
        processor=\"x86_64\", system=\"VMkernel/4.1.0\", leap=11, stratum=16,";
    let bytes = control(READ_VARIABLES, 0, text);
    assert_eq!(claim(&udp(PORTS, S, &bytes)), Claim::Yes);
    assert_eq!(claim(&udp(ODD, S, &bytes)), Claim::No);
    let (facts, _) = read(&[(S, bytes)]);
    assert_eq!(values(&facts, &SYSTEM), ["VMkernel/4.1.0"]);
    assert_eq!(values(&facts, &DAEMON), ["ntpd 4.2.4p6@1.1495 Wed Sep 22 02:33:15 UTC 2010 (1)"]);
    // Another operation, a later part, a value without its end.
    for bytes in [
        control(1, 0, b"system=\"x\""),
        control(READ_VARIABLES, 468, b"system=\"x\""),
        control(READ_VARIABLES, 0, b"a=1, system=\"x"),
        control(READ_VARIABLES, 0, b"subsystem=\"x\""),
    ] {
        assert!(!read(&[(S, bytes)]).0.has(&SYSTEM));
    }
}

#[test]
fn on_another_port_only_what_nothing_else_looks_like() {
    for bytes in [question(), answer(1, *b"GPS\0")] {
        assert_eq!(claim(&udp(ODD, C, &bytes)), Claim::Yes);
        assert_eq!(claim(&udp(PORTS, C, &bytes)), Claim::Yes);
        for end in 0..bytes.len() {
            assert_eq!(claim(&udp(PORTS, C, &bytes[..end])), Claim::No, "{end}");
        }
    }
    let mut zeros = question();
    zeros[40..].fill(0);
    assert_eq!((claim(&udp(ODD, C, &zeros)), claim(&udp(PORTS, C, &zeros))), (Claim::No, Claim::Yes));
    let mut slow = answer(2, [1, 1, 1, 1]);
    slow[42] ^= 1;
    assert_eq!((claim(&udp(ODD, C, &slow)), claim(&udp(PORTS, C, &slow))), (Claim::No, Claim::Yes));
}

#[test]
fn fields_out_of_range_are_another_protocol() {
    for (at, byte) in [(0, 0x04), (0, 0x2c), (0, 0x27), (1, 17), (2, 30), (3, 9)] {
        let mut bytes = answer(2, [1, 1, 1, 1]);
        bytes[at] = byte;
        assert_eq!(claim(&udp(PORTS, S, &bytes)), Claim::No, "{at}");
    }
    assert_eq!(claim(&udp(PORTS, S, &[0x58; 200])), Claim::No);
}

#[test]
fn what_may_stand_behind_a_packet() {
    let with = |tail: &[u8]| claim(&udp(PORTS, C, &[&question()[..], tail].concat()));
    let extension: &[u8] = &[1, 4, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for good in [&[0; 4][..], &[0; 20], &[0; 24], &[0; 72], &extension.repeat(2), &[extension, &[0; 20]].concat()] {
        assert_eq!(with(good), Claim::Yes, "{}", good.len());
    }
    for bad in [&[0; 1][..], &[0; 8], &[9; 40], &extension[..15]] {
        assert_eq!(with(bad), Claim::No, "{}", bad.len());
    }
}

/// A variable that is longer than a value may be is cut there, as all values are, and it is said.
#[test]
fn a_variable_without_end_is_cut() {
    let system = |bytes: usize| {
        read(&[(S, control(READ_VARIABLES, 0, &[b"system=\"", &vec![b'x'; bytes][..], b"\""].concat()))]).0
    };
    let most = crate::fact::VALUE_BYTES_MAX;
    for (bytes, limited) in [(200, false), (most, false), (most + 1, true)] {
        let facts = system(bytes);
        assert_eq!((values(&facts, &SYSTEM)[0].len(), facts.flags.has(Flag::LimitReached)), (bytes.min(most), limited));
    }
}
