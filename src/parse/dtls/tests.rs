//! A handshake that OpenSSL made, in every order, and hellos built by RFC 6347 and RFC 9147.

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;
use crate::fact::{Field, Flags, value};
use crate::time::Time;

/// A pcap of `openssl s_client` and `s_server`: Ethernet, IPv4, UDP.
const HANDSHAKE_PCAP: &[u8] = include_bytes!("../../../fixtures/dtls/openssl-client-certificate.pcap");
const SERVER_PORT: [u8; 2] = 45_443_u16.to_be_bytes();

const SOURCE: Side = Side::Source;
const DESTINATION: Side = Side::Destination;

type Datagram = (Side, Vec<u8>);

fn handshake() -> Vec<Datagram> {
    let mut rest = &HANDSHAKE_PCAP[24..];
    let mut all = Vec::new();
    while rest.len() > 16 {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let packet = &rest[16..16 + length];
        let side = if packet[34..36] == SERVER_PORT { DESTINATION } else { SOURCE };
        all.push((side, packet[42..].to_vec()));
        rest = &rest[16 + length..];
    }
    assert_eq!(all.len(), 18);
    all
}

fn read<'a>(datagrams: impl IntoIterator<Item = &'a Datagram>) -> (Facts, Progress) {
    let (mut parser, mut facts, mut progress) = (Dtls::default(), Facts::default(), Progress::NeedBytes(0));
    for (number, (side, bytes)) in datagrams.into_iter().enumerate() {
        if progress == Progress::AllDone {
            break;
        }
        let seen = Seen { time: Time(number as i64), packet: number as u64 + 1 };
        progress = parser.feed(*side, Prefix { bytes, seen, last: true, split: false }, &mut facts);
    }
    (facts, progress)
}

fn texts(facts: &Facts, field: &'static Field, side: Side) -> Vec<String> {
    let mut all: Vec<String> = facts.of(field).filter(|f| f.side == side).map(|f| value::text(&f)).collect();
    all.sort();
    all
}

/// What tshark 4.0.17 and `openssl x509 -fingerprint -sha256` say of the capture.
fn assert_handshake(facts: &Facts, what: &str) {
    let expected: [(&'static Field, Side, &[&str]); 10] = [
        (&tls::SNI, SOURCE, &["gateway.example"]),
        (&tls::ALPN, SOURCE, &["coap", "h2"]),
        (&tls::ALPN, DESTINATION, &["coap"]),
        (&tls::JA3, SOURCE, &["096df697a18c538158d6a52abc65a0db"]),
        (&tls::JA3S, DESTINATION, &["e0fa7acd03af071725a47e9c2d72017b"]),
        (&tls::VERSION, DESTINATION, &["65277"]),
        (&tls::CIPHER, DESTINATION, &["49200"]),
        (&tls::X509_SAN, DESTINATION, &["gateway.example", "vpn.example"]),
        (&tls::X509_SHA256, DESTINATION, &["ba26685393aa1eaf3080f60950ec4edf4e54c0756efef4419f527ff7072a9974"]),
        (&tls::X509_SHA256, SOURCE, &["5c720f0124e1283b3eb50130fadad74aac6c6730c2c8050607f6f17248c4e4d6"]),
    ];
    for (field, side, values) in expected {
        assert_eq!(texts(facts, field, side), values, "{what}: {}", field.name);
    }
    assert_eq!(texts(facts, &tls::X509_SUBJECT, SOURCE), ["CN=agent-7,O=Example"], "{what}");
    assert!(texts(facts, &tls::JA4, SOURCE)[0].starts_with("dd2d2808cp_"), "{what}");
}

#[test]
fn a_handshake_with_certificates_of_both_sides() {
    let datagrams = handshake();
    let (facts, progress) = read(&datagrams);
    assert_handshake(&facts, "as it came");
    assert_eq!((progress, facts.flags), (Progress::AllDone, Flags::default()));
    // It is over with the client's key exchange, in the eleventh datagram.
    assert_eq!(read(&datagrams[..10]).1, Progress::NeedBytes(0));
    assert_eq!(read(&datagrams[..11]).1, Progress::AllDone);
}

#[test]
fn flights_in_any_order() {
    let datagrams = handshake();
    // The hellos, the server's flight, the client's flight; each turned and reversed.
    for flight in [0..3, 3..8, 8..11] {
        for turn in 0..flight.len() {
            for reversed in [false, true] {
                let mut all = datagrams.clone();
                all[flight.clone()].rotate_left(turn);
                if reversed {
                    all[flight.clone()].reverse();
                }
                assert_handshake(&read(&all).0, &format!("{flight:?} turned by {turn}, reversed {reversed}"));
            }
        }
    }
}

#[test]
fn everything_comes_twice() {
    let datagrams = handshake();
    let twice: Vec<Datagram> = datagrams.iter().flat_map(|d| [d.clone(), d.clone()]).collect();
    let (facts, _) = read(&twice);
    assert_handshake(&facts, "twice");
    assert_eq!(facts.flags, Flags::default());
}

#[test]
fn one_side_alone() {
    for side in [SOURCE, DESTINATION] {
        let (facts, _) = read(handshake().iter().filter(|d| d.0 == side));
        assert!(facts.iter().all(|fact| fact.side == side));
        assert_eq!(texts(&facts, &tls::X509_SHA256, side).len(), 1);
    }
}

#[test]
fn a_lost_datagram_loses_facts_and_makes_none() {
    let datagrams = handshake();
    let (all, _) = read(&datagrams);
    let known: Vec<_> = all.iter().map(|f| (f.field.name, f.side, f.value.to_vec())).collect();
    for lost in 0..datagrams.len() {
        let kept = datagrams.iter().enumerate().filter(|(at, _)| *at != lost).map(|(_, d)| d);
        let (facts, _) = read(kept);
        assert!(facts.iter().all(|f| known.contains(&(f.field.name, f.side, f.value.to_vec()))), "without {lost}");
        assert_eq!(texts(&facts, &tls::SNI, SOURCE), ["gateway.example"], "the hello came twice");
    }
    for (at, length) in [(0, 100), (0, 200), (2, 250), (3, 300), (4, 100), (10, 200)] {
        let mut cut = datagrams.clone();
        cut[at].1.truncate(length);
        let (facts, _) = read(&cut);
        assert!(facts.iter().all(|f| known.contains(&(f.field.name, f.side, f.value.to_vec()))), "{at} cut");
    }
}

/// A record of DTLS 1.2 with one fragment.
fn record(kind: u8, length: usize, number: u16, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let three = |value: usize| (value as u32).to_be_bytes()[1..].to_vec();
    let fragment =
        [&[kind][..], &three(length), &number.to_be_bytes(), &three(offset), &three(bytes.len()), bytes].concat();
    let head = [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0][..], &number.to_be_bytes()].concat();
    [&head[..], &(fragment.len() as u16).to_be_bytes(), &fragment].concat()
}

/// The second hello of the capture, with its cookie.
fn hello_body() -> Vec<u8> {
    let (_, bytes) = &handshake()[2];
    bytes[25..].to_vec()
}

fn assert_hello(facts: &Facts) {
    assert_eq!(texts(facts, &tls::SNI, SOURCE), ["gateway.example"]);
    assert_eq!(texts(facts, &tls::JA3, SOURCE), ["096df697a18c538158d6a52abc65a0db"]);
}

#[test]
fn a_hello_cut_anywhere_in_both_orders() {
    let body = hello_body();
    for cut in 1..body.len() {
        let parts = [record(1, body.len(), 0, 0, &body[..cut]), record(1, body.len(), 0, cut, &body[cut..])]
            .map(|r| (SOURCE, r));
        assert!(parts.iter().all(|(_, part)| claim(part) == Claim::Yes), "{cut}");
        for order in [[0, 1], [1, 0]] {
            let (facts, _) = read(order.map(|at| &parts[at]));
            assert_hello(&facts);
            assert!(facts.flags.has(Flag::HelloSplit) && !facts.flags.has(Flag::Gap));
        }
        let (facts, _) = read([&parts[1]]);
        assert!(facts.iter().next().is_none() && facts.flags.has(Flag::Gap));
    }
    // Both in one datagram.
    let both = [record(1, body.len(), 0, 9, &body[9..]), record(1, body.len(), 0, 0, &body[..20])].concat();
    let (facts, _) = read([&(SOURCE, both)]);
    assert_hello(&facts);
    assert!(!facts.flags.has(Flag::HelloSplit));
}

#[test]
fn single_bytes_backwards_and_another_message_between() {
    let body = hello_body();
    let mut datagrams = Vec::new();
    for (at, byte) in body.iter().enumerate().rev() {
        datagrams.push((SOURCE, record(1, body.len(), 1, at, &[*byte])));
        datagrams.push((SOURCE, record(1, body.len(), 0, at / 2, &body[at / 2..=at / 2])));
    }
    let (facts, _) = read(&datagrams);
    assert_hello(&facts);
}

#[test]
fn fragments_that_contradict_each_other() {
    let body = hello_body();
    let mut other = body.clone();
    other[10] ^= 1;
    let conflicting = [
        (SOURCE, record(1, body.len(), 0, 0, &body[..100])),
        (SOURCE, record(1, body.len(), 0, 0, &other[..50])),
        (SOURCE, record(1, body.len() - 1, 0, 100, &body[100..120])),
        (SOURCE, record(1, body.len(), 0, 100, &body[100..])),
    ];
    let (facts, _) = read(&conflicting);
    assert_hello(&facts);
    assert!(facts.flags.has(Flag::OverlapConflict));
}

/// RFC 9147 section 5.3: the version stands in an extension; nothing follows that can be read.
#[test]
fn dtls_1_3() {
    let versions = [0xff, 0x01, 0, 1, 0];
    let extension =
        |kind: u16, data: &[u8]| [&kind.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat();
    let name = extension(0, b"\0\x0c\0\0\x09a.example");
    let offered = extension(43, &[4, 0xfe, 0xfd, 0xfe, 0xfc]);
    let block = [name, versions.to_vec(), offered].concat();
    let client =
        [&[0xfe, 0xfd][..], &[7; 32], &[0, 0, 0, 2, 0x13, 0x01, 1, 0], &(block.len() as u16).to_be_bytes(), &block]
            .concat();
    let server = |random: [u8; 32]| {
        let block = extension(43, &[0xfe, 0xfc]);
        [&[0xfe, 0xfd][..], &random, &[0, 0x13, 0x01, 0], &(block.len() as u16).to_be_bytes(), &block].concat()
    };
    use sha2::Digest;
    let retry = server(sha2::Sha256::digest(b"HelloRetryRequest").into());
    let answer = server([9; 32]);
    let whole = |side, kind, number, body: &[u8]| (side, record(kind, body.len(), number, 0, body));
    let datagrams = [
        whole(SOURCE, 1, 0, &client),
        whole(DESTINATION, 2, 0, &retry),
        whole(SOURCE, 1, 1, &client),
        whole(DESTINATION, 2, 1, &answer),
    ];
    let (facts, progress) = read(&datagrams);
    assert_eq!(progress, Progress::AllDone);
    assert_eq!(texts(&facts, &tls::VERSION, DESTINATION), ["65276"]);
    assert!(texts(&facts, &tls::JA4, SOURCE)[0].starts_with("dd3d010300_"));
    assert_eq!(read(&datagrams[..3]).1, Progress::NeedBytes(0));
    let (_, progress) = read([&datagrams[0], &datagrams[3]]);
    assert_eq!(progress, Progress::AllDone, "without a second hello");
}

#[test]
fn limits_are_told() {
    let mut parser = Dtls::default();
    let mut facts = Facts::default();
    let mut feed = |parser: &mut Dtls, bytes: &[u8]| {
        parser.feed(SOURCE, Prefix { bytes, seen: Seen::default(), last: true, split: false }, &mut facts)
    };
    for number in 0..60 {
        feed(&mut parser, &record(1, 30_000, number, 20_000, &[1; 100]));
    }
    assert!(parser.ends[0].messages.len() <= 2 && parser.heap_bytes() < 2 * MESSAGE_BYTES_MAX);
    for _ in 1..QUIET_DATAGRAMS_MAX {
        assert_eq!(feed(&mut parser, b"something else"), Progress::NeedBytes(0));
    }
    assert_eq!(feed(&mut parser, b"something else"), Progress::AllDone);
    assert!(facts.flags.has(Flag::LimitReached) && facts.flags.has(Flag::Gap) && facts.iter().next().is_none());
}

/// Nine messages that are begun and not ended: eight are kept.
#[test]
fn messages_that_are_begun() {
    let begun = |count: u16| {
        let all: Vec<Datagram> = (0..count).map(|n| (SOURCE, record(1, 200, n, 100, &[1; 50]))).collect();
        let mut parser = Dtls::default();
        let mut facts = Facts::default();
        for (side, bytes) in &all {
            parser.feed(*side, Prefix { bytes, seen: Seen::default(), last: true, split: false }, &mut facts);
        }
        (parser.ends[0].messages.len(), facts.flags.has(Flag::LimitReached))
    };
    assert_eq!(begun(MESSAGES_MAX as u16), (MESSAGES_MAX, false));
    assert_eq!(begun(MESSAGES_MAX as u16 + 1), (MESSAGES_MAX, true));
}

/// A message whose number is beyond those that are told apart is left out, and it is said.
#[test]
fn numbers_of_messages() {
    let body = hello_body();
    let hello = |number: u16| read([&(SOURCE, record(1, body.len(), number, 0, &body))]).0;
    let (last, beyond) = (hello(NUMBERS_MAX - 1), hello(NUMBERS_MAX));
    assert_hello(&last);
    assert!(!last.flags.has(Flag::LimitReached));
    assert!(beyond.iter().next().is_none() && beyond.flags.has(Flag::LimitReached));
}

/// A flow that talks of nothing that is wanted is read for so many datagrams.
#[test]
fn datagrams_of_a_handshake() {
    let unknown = record(99, 4, 0, 0, &[1; 4]);
    let many = vec![(SOURCE, unknown); DATAGRAMS_MAX as usize];
    let (facts, progress) = read(&many[1..]);
    assert_eq!((progress, facts.flags), (Progress::NeedBytes(0), Flags::default()));
    let (facts, progress) = read(&many);
    assert!(progress == Progress::AllDone && facts.flags.has(Flag::LimitReached));
}

#[test]
fn what_is_not_dtls() {
    let body = hello_body();
    let good = record(1, body.len(), 0, 0, &body);
    assert_eq!(claim(&good), Claim::Yes);
    for length in 0..good.len() {
        assert_eq!(claim(&good[..length]), Claim::No, "{length}");
    }
    // Content type, version, epoch, number, length; type, length, number and offset of the message; version.
    for at in [0, 1, 2, 3, 4, 5, 6, 11, 13, 14, 17, 19, 22, 25] {
        let mut other = good.clone();
        other[at] ^= 0x40;
        assert_eq!(claim(&other), Claim::No, "{at}");
    }
    assert_eq!(claim(b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03"), Claim::No);
    // Hello verify request and the first flight of the server are a start too.
    assert_eq!(claim(&handshake()[1].1), Claim::Yes);
    assert_eq!(claim(&handshake()[3].1), Claim::Yes);
    assert_eq!(claim(&handshake()[4].1), Claim::No);
}

proptest! {
    #[test]
    fn any_change_of_any_datagram(
        changes in proptest::collection::vec((0..12usize, 0..420usize, any::<u8>()), 0..12),
    ) {
        let mut datagrams = handshake();
        for (datagram, at, byte) in changes {
            if let Some(place) = datagrams[datagram].1.get_mut(at) {
                *place = byte;
            }
        }
        datagrams.iter().for_each(|(_, bytes)| {
            claim(bytes);
        });
        read(&datagrams);
    }
}
