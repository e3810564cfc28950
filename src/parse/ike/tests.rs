#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use super::*;
use crate::fact::Seen;
use crate::parse::testing::udp;

const C: Side = Side::Source;
const PORTS: (u16, u16) = (500, 500);
const NAT: (u16, u16) = (50_000, 4500);

/// A header of RFC 7296, 3.1, or RFC 2408, 3.1, before the payloads.
fn message(version: u8, exchange: u8, flags: u8, first: u8, payloads: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
    bytes.extend([first, version << 4, exchange, flags, 0, 0, 0, 0]);
    bytes.extend((28 + payloads.len() as u32).to_be_bytes());
    bytes.extend(payloads);
    bytes
}

fn payload(next: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![next, 0];
    bytes.extend((4 + body.len() as u16).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// Proposals as RFC 7296, 3.3, draws them: AES-CBC of 256 bits, PRF_HMAC_SHA2_256, AUTH_HMAC_SHA2_256_128, group 14;
/// then ENCR_AES_GCM_16, PRF_HMAC_SHA2_384 and group 19.
fn security_association() -> Vec<u8> {
    let first = [
        &payload(3, &[1, 0, 0, 12, 0x80, 14, 1, 0])[..],
        &payload(3, &[2, 0, 0, 5]),
        &payload(3, &[3, 0, 0, 12]),
        &payload(0, &[4, 0, 0, 14]),
    ]
    .concat();
    let second =
        [&payload(3, &[1, 0, 0, 20, 0x80, 14, 0, 128])[..], &payload(3, &[2, 0, 0, 6]), &payload(0, &[4, 0, 0, 19])]
            .concat();
    let first = payload(2, &[&[1, 1, 0, 4][..], &first].concat());
    [first, payload(0, &[&[2, 1, 0, 3][..], &second].concat())].concat()
}

/// An IKE_SA_INIT with two vendor IDs and two notifications.
fn init() -> Vec<u8> {
    let payloads = [
        payload(34, &security_association()),
        payload(40, &[0, 14, 0, 0, 1, 2, 3, 4]),
        payload(41, &[7; 32]),
        payload(43, &[0, 0, 0x40, 0x2e]),
        payload(43, b"\x4c\x53\x42\x7b\x6d\x46\x5d\x1b\x33\x7b\xb7\x55\xa3\x7a\x7f\xef"),
        payload(41, b"\xb4\xf0\x1c\xa9\x51\xe9\xda\x8d\x0b\xaf\xbb\xd3\x4a\xd3\x04\x4e"),
        payload(0, &[0, 0, 0x40, 0x04, 9, 9]),
    ];
    message(2, 34, 0x08, 33, &payloads.concat())
}

/// ESP with bytes that stand for those of a cipher.
fn esp() -> Vec<u8> {
    let mut bytes = vec![0xcb, 0xb7, 0xa0, 0xc6, 0, 0, 0, 7];
    bytes.extend((0_u8..40).map(|n| n.wrapping_mul(37).wrapping_add(11)));
    bytes
}

fn read(datagrams: &[&[u8]]) -> (Facts, Progress) {
    let (mut facts, mut ike, mut progress) = (Facts::default(), Ike::default(), Progress::NeedBytes(0));
    for bytes in datagrams {
        progress = ike.feed(C, Prefix { bytes, seen: Seen::default(), last: true, split: false }, &mut facts);
    }
    (facts, progress)
}

fn values(facts: &Facts, field: &'static Field) -> Vec<String> {
    let mut all: Vec<String> = facts.of(field).map(|fact| fact.text()).collect();
    all.sort();
    all
}

#[test]
fn version_two_says_what_it_proposes_and_who_it_is() {
    let (facts, progress) = read(&[&init()]);
    assert_eq!(progress, Progress::NeedBytes(0));
    assert_eq!(values(&facts, &VERSION), ["2.0"]);
    assert_eq!(values(&facts, &EXCHANGE), ["34"]);
    assert_eq!(values(&facts, &PAYLOADS), ["33 34 40 41:16430 43 43 41:16388"]);
    assert_eq!(values(&facts, &PROPOSAL), ["1:ike encr=12/256 prf=5 integ=12 dh=14; 2:ike encr=20/128 prf=6 dh=19"]);
    let vendors = ["4c53427b6d465d1b337bb755a37a7fef", "b4f01ca951e9da8d0bafbbd34ad3044e"];
    assert_eq!(values(&facts, &VENDOR_ID), vendors);
    assert_eq!(facts.flags, Default::default());
}

#[test]
fn version_one_with_several_transforms_and_a_long_attribute() {
    let attributes: &[u8] = &[0x80, 1, 0, 5, 0x80, 2, 0, 2, 0x80, 3, 0, 1, 0x80, 4, 0, 2, 0x80, 11, 0, 1];
    let life: &[u8] = &[0, 12, 0, 4, 0, 1, 0x51, 0x80];
    let first = payload(3, &[&[1, 1, 0, 0][..], attributes, life].concat());
    let second = payload(0, &[&[2, 1, 0, 0][..], &attributes[..12]].concat());
    let proposal = payload(0, &[&[1, 1, 0, 2][..], &first, &second].concat());
    let sa = [&[0, 0, 0, 1, 0, 0, 0, 1][..], &proposal].concat();
    let bytes = message(1, 4, 0, 1, &payload(0, &sa));
    let (facts, _) = read(&[&bytes]);
    let expected = "1:isakmp enc=5 hash=2 auth=1 group=2 life-type=1 life=86400, enc=5 hash=2 auth=1";
    assert_eq!(values(&facts, &PROPOSAL), [expected]);
    assert_eq!(values(&facts, &VERSION), ["1.0"]);
}

/// Proposals for what protects packets, and numbers that have no name: RFC 2407, 4.4, and RFC 7296, 3.3.
#[test]
fn proposals_for_ah_and_esp() {
    let proposal = |version: u8, bytes: &[u8]| {
        let exchange = if version == 1 { 2 } else { 34 };
        values(
            &read(&[&message(
                version,
                exchange,
                if version == 1 { 0 } else { 8 },
                if version == 1 { 1 } else { 33 },
                &payload(0, bytes),
            )])
            .0,
            &PROPOSAL,
        )
    };
    let esn = [
        payload(3, &[1, 0, 0, 12, 0x80, 14, 0, 128]),
        payload(3, &[3, 0, 0, 2]),
        payload(3, &[5, 0, 0, 0]),
        payload(0, &[6, 0, 0, 1]),
    ];
    let esp = payload(2, &[&[1, 3, 4, 4, 9, 9, 9, 9][..], &esn.concat()].concat());
    let ah = payload(2, &[&[2, 2, 4, 1, 9, 9, 9, 9][..], &payload(0, &[3, 0, 0, 12])].concat());
    let other = payload(0, &[&[3, 5, 0, 1][..], &payload(0, &[3, 0, 0, 12])].concat());
    let expected = "1:esp encr=12/128 integ=2 esn=0 6=1; 2:ah integ=12; 3:5 integ=12";
    assert_eq!(proposal(2, &[esp, ah, other].concat()), [expected]);
    // Version 1: attributes of ESP_AES have numbers of their own; of phase 1 a PRF, one without a name, and a long one.
    let situation = [0, 0, 0, 1, 0, 0, 0, 1];
    let transform = payload(0, &[1, 12, 0, 0, 0x80, 1, 0, 1, 0x80, 4, 0, 1]);
    let esp = payload(0, &[&[1, 3, 4, 1, 9, 9, 9, 9][..], &transform].concat());
    assert_eq!(proposal(1, &[&situation[..], &esp].concat()), ["1:esp id=12 1=1 4=1"]);
    let long = [&[0x80, 13, 0, 3, 0x80, 99, 0, 7, 0, 5, 0, 9][..], &[0xab; 9]].concat();
    let isakmp = payload(0, &[&[1, 1, 0, 1][..], &payload(0, &[&[1, 1, 0, 0][..], &long].concat())].concat());
    assert_eq!(proposal(1, &[&situation[..], &isakmp].concat()), ["1:isakmp prf=3 99=7 5=ababababababababab"]);
    // Another domain of interpretation.
    assert!(proposal(1, &[&[0, 0, 0, 2, 0, 0, 0, 1][..], &isakmp].concat()).is_empty());
}

#[test]
fn only_whole_messages_are_claimed() {
    let whole = init();
    assert_eq!(claim(&udp((40_000, 40_001), C, &whole)), Claim::Yes);
    for end in 0..whole.len() {
        assert_eq!(claim(&udp(PORTS, C, &whole[..end])), Claim::No, "{end}");
    }
    assert_eq!(claim(&udp(PORTS, C, &[&whole[..], &[0]].concat())), Claim::No);
    // Version, exchange, flags, first payload, reserved bits, length of a payload.
    for (at, byte) in [(17, 0x30), (17, 0x21), (18, 99), (19, 1), (16, 7), (29, 1), (31, 3), (31, 0xff)] {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        assert_eq!(claim(&udp(PORTS, C, &bytes)), Claim::No, "{at}");
    }
    let mut nobody = whole;
    nobody[..8].fill(0);
    assert_eq!(claim(&udp(PORTS, C, &nobody)), Claim::No);
}

#[test]
fn payloads_without_end_are_none() {
    let endless = payload(43, &[]).repeat(PAYLOADS_MAX + 1);
    assert_eq!(claim(&udp(PORTS, C, &message(2, 34, 0x08, 43, &endless))), Claim::No);
}

#[test]
fn encrypted_messages_and_fragments_say_only_that_they_are() {
    let encrypted = message(2, 35, 0x08, 46, &payload(35, &[0xee; 60]));
    let fragment = message(2, 35, 0x08, 53, &payload(35, &[0, 1, 0, 2, 0xee, 0xee]));
    let old = message(1, 32, 1, 8, &[0xee; 64]);
    for bytes in [&encrypted, &fragment, &old] {
        assert_eq!(claim(&udp((40_000, 40_001), C, bytes)), Claim::Yes);
        let (facts, _) = read(&[bytes]);
        assert!(!facts.has(&PAYLOADS) && !facts.has(&VENDOR_ID) && facts.has(&EXCHANGE));
    }
    // Something behind the encrypted payload, and no whole number of blocks.
    let more = [payload(35, &[0xee; 60]), payload(0, &[1])].concat();
    assert_eq!(claim(&udp(PORTS, C, &message(2, 35, 0x08, 46, &more))), Claim::No);
    assert_eq!(claim(&udp(PORTS, C, &message(1, 32, 1, 8, &[0xee; 61]))), Claim::No);
}

#[test]
fn what_shares_the_port_is_let_by() {
    let marked = [&NON_ESP_MARKER[..], &init()].concat();
    let esp = esp();
    for bytes in [&marked[..], &esp] {
        assert_eq!(claim(&udp(NAT, C, bytes)), Claim::Yes);
    }
    // One byte is too little to say what follows.
    assert_eq!(claim(&udp(NAT, C, &[0xff])), Claim::No);
    assert_eq!(claim(&udp((40_000, 40_001), C, &marked)), Claim::Yes);
    assert_eq!(claim(&udp(PORTS, C, &esp)), Claim::No);
    assert_eq!(claim(&udp(PORTS, C, &[0xff])), Claim::No);
    let (facts, progress) = read(&[&marked, &[0xff], &esp, &[9; 12]]);
    assert_eq!(values(&facts, &VENDOR_ID).len(), 2);
    assert_eq!((progress, facts.flags), (Progress::NeedBytes(0), Default::default()));
    // Of ESP alone nothing is told, and after a while nothing is waited for.
    let many = vec![&esp[..]; ESP_DATAGRAMS_MAX as usize];
    let (facts, progress) = read(&many);
    assert!(facts.is_empty() && progress == Progress::AllDone);
}

#[test]
fn other_protocols_on_the_port_are_not_esp() {
    let padded = |start: &[u8]| [start, &[0x11; 64][..64 - start.len()]].concat();
    let dtls = padded(&[0x16, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0]);
    let quic = padded(&[0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4]);
    let stun = padded(&[0, 1, 0, 44, 0x21, 0x12, 0xa4, 0x42]);
    let rtp = padded(&[0x80, 0x60, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc]);
    let zeros = [&[0xcb, 0xb7, 0xa0, 0xc6, 0, 0, 0, 7][..], &[0; 40]].concat();
    for bytes in [&dtls, &quic, &stun, &rtp, &zeros, &vec![0; 64]] {
        assert_eq!(claim(&udp(NAT, C, bytes)), Claim::No, "{bytes:02x?}");
    }
    // A claim that was wrong is given back.
    assert_eq!(read(&[&esp(), &stun]).1, Progress::NotMine);
}

#[test]
fn a_damaged_proposal_is_not_told() {
    let mut bytes = init();
    let transforms_at = 28 + 4 + 4 + 3;
    bytes[transforms_at] = 3;
    let (facts, _) = read(&[&bytes]);
    assert!(!facts.has(&PROPOSAL) && facts.flags.has(Flag::ParseError));
    assert_eq!(values(&facts, &VENDOR_ID).len(), 2);
}

/// A proposal of more text than a value may have is cut there, as all values are, and it is said.
#[test]
fn a_proposal_without_end_is_cut() {
    let proposals = |count: usize| {
        let one = |n: usize| {
            payload(if n + 1 < count { 2 } else { 0 }, &[&[1, 1, 0, 1][..], &payload(0, &[4, 0, 0, 14])].concat())
        };
        let all: Vec<u8> = (0..count).flat_map(one).collect();
        read(&[&message(2, 34, 0x08, 33, &payload(0, &all))]).0
    };
    let few = proposals(2);
    assert_eq!((values(&few, &PROPOSAL), few.flags), (vec!["1:ike dh=14; 1:ike dh=14".to_owned()], Default::default()));
    let many = proposals(2000);
    assert_eq!(values(&many, &PROPOSAL)[0].len(), crate::fact::VALUE_BYTES_MAX);
    assert!(many.flags.has(Flag::LimitReached) && !many.flags.has(Flag::ParseError));
}
