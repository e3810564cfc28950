#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::parse::testing::{tcp, udp};
use proptest::prelude::*;

use super::*;
use crate::fact::Seen;

const QUERY: u16 = 0x0100;
const RESPONSE: u16 = 0x8180;
/// A pointer to the question's name, right behind the header.
const TO_QUESTION: &[u8] = &[0xc0, 12];

fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn header(flags: u16, counts: [u16; 4]) -> Vec<u8> {
    [0x1234, flags].iter().chain(&counts).flat_map(|word| word.to_be_bytes()).collect()
}

fn question(name: &[u8], kind: u16) -> Vec<u8> {
    [name, &kind.to_be_bytes(), &[0, 1]].concat()
}

fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16).to_be_bytes();
    [owner, &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 60], &length, data].concat()
}

fn query(name: &str, kind: u16) -> Vec<u8> {
    [header(QUERY, [1, 0, 0, 0]), question(&wire(name), kind)].concat()
}

fn response(name: &str, kind: u16, answers: &[Vec<u8>]) -> Vec<u8> {
    let counts = [1, answers.len() as u16, 0, 0];
    [header(RESPONSE, counts), question(&wire(name), kind), answers.concat()].concat()
}

fn prefix(bytes: &[u8], last: bool) -> Prefix<'_> {
    Prefix { bytes, seen: Seen::default(), last, split: false }
}

/// The facts of datagrams: (side, bytes).
fn datagrams(all: &[(Side, &[u8])]) -> Facts {
    let mut facts = Facts::default();
    let mut parser = (PROTOCOL.parser)(Transport::Udp);
    for (side, bytes) in all {
        let progress = parser.feed(*side, prefix(bytes, false), &mut facts);
        assert_eq!(progress, Progress::NeedBytes(0), "stays for the next datagram");
    }
    facts
}

fn answered(bytes: &[u8]) -> Facts {
    datagrams(&[(Side::Destination, bytes)])
}

fn values(facts: &Facts, field: &'static Field) -> Vec<Vec<u8>> {
    let mut all: Vec<_> = facts.iter().filter(|fact| fact.field == field).map(|fact| fact.value.to_vec()).collect();
    all.sort();
    all
}

fn names(facts: &Facts, field: &'static Field) -> Vec<String> {
    values(facts, field).iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

/// What was answered, as `name address`.
fn resolved(facts: &Facts) -> Vec<String> {
    let all = values(facts, &RESOLVED);
    let one = |value: &Vec<u8>| {
        let (address, name) = unpack_resolved(value).unwrap();
        format!("{} {address}", String::from_utf8_lossy(name))
    };
    all.iter().map(one).collect()
}

fn claims(port: u16, bytes: &[u8]) -> Claim {
    (PROTOCOL.claim)(&udp((40000, port), Side::Source, bytes))
}

fn claims_stream(port: u16, bytes: &[u8]) -> Claim {
    (PROTOCOL.claim)(&tcp((40000, port), Side::Source, bytes))
}

#[test]
fn compressed_names_of_rfc1035_section_4_1_4() {
    // F.ISI.ARPA at 20, FOO.F.ISI.ARPA at 40, ARPA at 64, the root at 92.
    let mut message = vec![0xff; 93];
    message[20..32].copy_from_slice(b"\x01F\x03ISI\x04ARPA\x00");
    message[40..46].copy_from_slice(b"\x03FOO\xc0\x14");
    message[64..66].copy_from_slice(b"\xc0\x1a");
    message[92] = 0;
    let text = |at: usize| {
        let mut reader = Reader::new(&message[at..]);
        let text = name::text(&message, &mut reader).unwrap();
        (String::from_utf8(text.bytes().to_vec()).unwrap(), message.len() - reader.left())
    };
    assert_eq!(text(20), ("F.ISI.ARPA".to_string(), 32));
    assert_eq!(text(40), ("FOO.F.ISI.ARPA".to_string(), 46));
    assert_eq!(text(64), ("ARPA".to_string(), 66));
    assert_eq!(text(92), (".".to_string(), 93));
}

#[test]
fn names_keep_case_and_bytes_and_dots_inside_labels_are_no_boundaries() {
    let name = b"\x05a.b\x00\xff\x03CoM\x00";
    let bytes = [header(QUERY, [1, 0, 0, 0]), question(name, 1)].concat();
    let facts = datagrams(&[(Side::Source, &bytes)]);
    assert_eq!(values(&facts, &QNAME), [b"a\\046b\x00\xff.CoM".to_vec()]);
}

#[test]
fn a_name_has_255_bytes_at_most() {
    let label = [&[63_u8][..], &[b'a'; 63]].concat();
    let longest = [&label[..], &label, &label, &[61], &[b'b'; 61], &[0]].concat();
    let too_long = [&label[..], &label, &label, &[62], &[b'b'; 62], &[0]].concat();
    assert_eq!(longest.len(), 255);
    for (name, good) in [(longest, true), (too_long, false)] {
        let bytes = [header(QUERY, [1, 0, 0, 0]), question(&name, 1)].concat();
        let facts = datagrams(&[(Side::Source, &bytes)]);
        assert_eq!(facts.has(&QNAME), good);
        assert_eq!(facts.flags.has(Flag::ParseError), !good);
    }
}

#[test]
fn pointers_that_loop_are_harmless() {
    for name in [&[0xc0, 12][..], &[1, b'a', 0xc0, 12], &[0xc0, 14, 0xc0, 12]] {
        let bytes = [header(QUERY, [1, 0, 0, 0]), question(name, 1)].concat();
        let facts = datagrams(&[(Side::Source, &bytes)]);
        assert!(!facts.has(&QNAME));
        assert!(facts.flags.has(Flag::ParseError));
    }
}

#[test]
fn a_question_and_its_answer() {
    let asked = query("WWW.Example.com", 1);
    let told = response("WWW.Example.com", 1, &[record(TO_QUESTION, 1, &[192, 0, 2, 7])]);
    let facts = datagrams(&[(Side::Source, &asked), (Side::Destination, &told)]);
    assert_eq!(names(&facts, &QNAME), ["WWW.Example.com"], "once, from the side that asked");
    assert_eq!(facts.first(&QNAME).unwrap().side, Side::Source);
    assert_eq!(values(&facts, &QTYPE), [1_u64.to_be_bytes()]);
    assert_eq!(values(&facts, &ANSWER), [[192, 0, 2, 7]]);
    assert_eq!(values(&facts, &RESOLVED), [b"\x04\xc0\x00\x02\x07www.example.com".to_vec()]);
    assert_eq!(facts.first(&RESOLVED).unwrap().side, Side::Destination);
    assert_eq!(values(&facts, &RCODE), [0_u64.to_be_bytes()]);
    assert_eq!(facts.flags.names().count(), 0);
}

#[test]
fn a_response_without_its_query_gives_the_question_too() {
    let facts = answered(&response("example.com", 28, &[]));
    assert_eq!(names(&facts, &QNAME), ["example.com"]);
    assert_eq!(facts.first(&QNAME).unwrap().side, Side::Destination);
}

#[test]
fn cname_chains_end_at_the_question_in_any_order() {
    let alias = record(TO_QUESTION, 5, &wire("Edge.CDN.example"));
    let second = record(&wire("edge.cdn.EXAMPLE"), 5, &wire("node.cdn.example"));
    let address = record(&wire("node.cdn.example"), 1, &[198, 51, 100, 1]);
    let orders: [[&Vec<u8>; 3]; 3] =
        [[&alias, &second, &address], [&address, &second, &alias], [&second, &address, &alias]];
    for order in orders {
        let answers: Vec<Vec<u8>> = order.into_iter().cloned().collect();
        let facts = answered(&response("www.shop.example", 1, &answers));
        assert_eq!(resolved(&facts), ["www.shop.example 198.51.100.1"]);
        assert_eq!(names(&facts, &CNAME), ["Edge.CDN.example", "node.cdn.example"]);
        assert!(!facts.has(&ANSWER_NAME));
    }
}

#[test]
fn an_answer_for_another_name_resolves_nothing() {
    let stray = record(&wire("bank.example"), 1, &[203, 0, 113, 9]);
    let facts = answered(&response("www.example.com", 1, &[stray]));
    assert!(!facts.has(&RESOLVED));
    assert_eq!(values(&facts, &ANSWER), [[203, 0, 113, 9]]);
    assert_eq!(names(&facts, &ANSWER_NAME), ["bank.example"]);
}

#[test]
fn a_chain_that_loops_or_never_ends_stops() {
    let there = record(TO_QUESTION, 5, &wire("b.example"));
    let back = record(&wire("b.example"), 5, &wire("a.example"));
    let facts = answered(&response("a.example", 1, &[there, back]));
    assert_eq!(facts.flags.names().count(), 0);

    let step = |n: usize| record(&wire(&format!("n{n}.example")), 5, &wire(&format!("n{}.example", n + 1)));
    let mut long: Vec<Vec<u8>> = (0..100).rev().map(step).collect();
    long.push(record(&wire("n100.example"), 1, &[192, 0, 2, 1]));
    let facts = answered(&response("n0.example", 1, &long));
    assert!(!facts.has(&RESOLVED), "further than a resolver would follow");
}

#[test]
fn an_mdns_announcement_has_answers_and_no_question() {
    let announced = record(&wire("printer.local"), 0x1c, &[0xfe; 16]);
    let mut bytes = [header(0x8400, [0, 1, 0, 0]), announced].concat();
    let class = bytes.len() - 16 - 8;
    bytes[class] = 0x80; // cache flush
    assert_eq!(claims(5353, &bytes), Claim::Yes);
    let facts = answered(&bytes);
    assert_eq!(values(&facts, &ANSWER), [[0xfe; 16]]);
    assert_eq!(names(&facts, &ANSWER_NAME), ["printer.local"]);
    assert!(!facts.has(&RESOLVED));
}

/// RFC 9460, appendix D: the data of service records.
#[test]
fn service_records_of_rfc9460() {
    let hints6 = b"\x00\x01\x03foo\x07example\x03com\x00\x00\x06\x00\x20\
        \x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\
        \x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x53\x00\x01";
    let facts = answered(&response("example.com", 64, &[record(TO_QUESTION, 64, hints6)]));
    assert_eq!(resolved(&facts), ["example.com 2001:db8::1", "example.com 2001:db8::53:1"]);

    let hint4 = b"\x00\x10\x03foo\x07example\x03org\x00\x00\x00\x00\x04\x00\x01\x00\x04\
        \x00\x01\x00\x09\x02h2\x05h3-19\x00\x04\x00\x04\xc0\x00\x02\x01";
    let facts = answered(&response("example.com", 65, &[record(TO_QUESTION, 65, hint4)]));
    assert_eq!(resolved(&facts), ["example.com 192.0.2.1"]);

    let alias = record(TO_QUESTION, 65, b"\x00\x00\x03foo\x07example\x03com\x00");
    let target = record(b"\x03foo\x07example\x03com\x00", 1, &[192, 0, 2, 5]);
    let facts = answered(&response("example.com", 65, &[alias, target]));
    assert_eq!(resolved(&facts), ["example.com 192.0.2.5"], "an alias is followed like a CNAME");
}

#[test]
fn service_parameters_that_do_not_fit_are_errors() {
    for data in [
        &b"\x00\x01\x00\x00\x04\x00\x03\x01\x02\x03"[..],
        b"\x00\x01\x00\x00\x06\x00\x20\x01",
        b"\x00\x01\x00\x00\x05\x00\x06\x00\x40\xfe\x0d\x00\x40",
        b"\x00",
    ] {
        let facts = answered(&response("example.com", 65, &[record(TO_QUESTION, 65, data)]));
        assert!(facts.flags.has(Flag::ParseError), "{data:02x?}");
        assert!(!facts.has(&RESOLVED) && !facts.has(&ECH));
    }
    let empty = record(TO_QUESTION, 65, b"\x00\x01\x00\x00\x03\x00\x00\x00\x04\x00\x00");
    let facts = answered(&response("example.com", 65, &[empty]));
    assert!(!facts.has(&RESOLVED), "parameters of no length end");
}

#[test]
fn a_damaged_answer_keeps_what_stood_before_it() {
    let good = record(TO_QUESTION, 1, &[192, 0, 2, 1]);
    let mut bytes = response("example.com", 1, &[good.clone(), good]);
    bytes.truncate(bytes.len() - 3);
    let facts = answered(&bytes);
    assert_eq!(names(&facts, &QNAME), ["example.com"]);
    assert_eq!(resolved(&facts), ["example.com 192.0.2.1"]);
    assert!(facts.flags.has(Flag::ParseError));

    let short = record(TO_QUESTION, 1, &[192, 0, 2]);
    let facts = answered(&response("example.com", 1, &[short]));
    assert!(facts.flags.has(Flag::ParseError) && !facts.has(&ANSWER));
}

#[test]
fn after_a_datagram_that_is_not_dns_the_next_one_counts() {
    let good = query("example.com", 1);
    let facts = datagrams(&[(Side::Source, b"garbage, no message"), (Side::Source, &good)]);
    assert!(facts.flags.has(Flag::ParseError));
    assert_eq!(names(&facts, &QNAME), ["example.com"]);
}

#[test]
fn claims_by_content_and_more_strictly_on_other_ports() {
    let whole = query("example.com", 1);
    assert_eq!(claims(53, &whole), Claim::Yes);
    assert_eq!(claims(4343, &whole), Claim::Yes);
    let cut = response("example.com", 1, &[record(TO_QUESTION, 1, &[192, 0, 2, 1])]);
    let cut = &cut[..cut.len() - 2];
    assert_eq!(claims(53, cut), Claim::Yes, "cut by a snap length");
    assert_ne!(claims(4343, cut), Claim::Yes);
    let longer = [&whole[..], &[0]].concat();
    assert_ne!(claims(4343, &longer), Claim::Yes, "bytes behind the message");
    let chaos = [header(QUERY, [1, 0, 0, 0]), wire("version.bind"), vec![0, 16, 0, 3]].concat();
    assert_eq!(claims(9953, &chaos), Claim::Yes);
}

#[test]
fn claims_nothing_else() {
    let netbios =
        [header(0x0110, [1, 0, 0, 0]), b"\x20FHEPFCELEHFCEPFFFACACACACACACABN\x00\x00\x20\x00\x01".to_vec()].concat();
    let others: [&[u8]; 6] = [
        &netbios,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefghijklmnop",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        &[0; 64],
        &[0xff; 64],
    ];
    for port in [53, 5353, 137, 443, 40001] {
        for bytes in others {
            for claims in [claims, claims_stream] {
                assert_ne!(claims(port, bytes), Claim::Yes, "port {port} {bytes:02x?}");
            }
        }
    }
    assert_eq!(claims_stream(22, b"SSH-2.0-OpenSSH_9.6\r\n"), Claim::No);
}

fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    messages.iter().flat_map(|m| [&(m.len() as u16).to_be_bytes()[..], m].concat()).collect()
}

#[test]
fn several_messages_in_a_stream_byte_by_byte() {
    let all = framed(&[query("one.example", 1), query("two.example", 28), query("three.example", 65)]);
    let mut facts = Facts::default();
    let mut parser = (PROTOCOL.parser)(Transport::Tcp);
    let mut need = 0;
    let mut calls = 0;
    let mut claimed_at = None;
    for end in 1..=all.len() {
        let bytes = &all[..end];
        if claimed_at.is_none() && claims_stream(4053, bytes) == Claim::Yes {
            claimed_at = Some(end);
        }
        if end < need {
            continue;
        }
        calls += 1;
        match parser.feed(Side::Source, prefix(bytes, false), &mut facts) {
            Progress::NeedBytes(more) => need = more,
            other => panic!("{other:?}"),
        }
        assert!(need > end, "asks for more than there is");
    }
    assert_eq!(names(&facts, &QNAME), ["one.example", "three.example", "two.example"]);
    assert_eq!(claimed_at, Some(2 + query("one.example", 1).len()));
    assert!(calls <= 7, "two calls a message: {calls}");
    assert_eq!(parser.feed(Side::Source, prefix(&all, true), &mut facts), Progress::Done);
    assert_eq!(facts.flags.names().count(), 0);
}

#[test]
fn the_last_message_of_a_stream_may_be_cut() {
    let answers = vec![record(TO_QUESTION, 1, &[192, 0, 2, 1]); 40];
    let all = framed(&[response("big.example", 1, &answers)]);
    let cut = &all[..200];
    assert_eq!(claims_stream(53, cut), Claim::Yes);
    assert_eq!(claims_stream(54, cut), Claim::NeedBytes(all.len()));
    let mut facts = Facts::default();
    let mut parser = (PROTOCOL.parser)(Transport::Tcp);
    let progress = parser.feed(Side::Destination, prefix(cut, false), &mut facts);
    assert_eq!(progress, Progress::NeedBytes(all.len()));
    assert_eq!(parser.feed(Side::Destination, prefix(cut, true), &mut facts), Progress::Done);
    assert_eq!(resolved(&facts), ["big.example 192.0.2.1"]);
    assert!(!facts.flags.has(Flag::ParseError), "missing, not wrong");
}

#[test]
fn a_stream_with_impossible_lengths_is_left() {
    let mut facts = Facts::default();
    let mut parser = (PROTOCOL.parser)(Transport::Tcp);
    let progress = parser.feed(Side::Source, prefix(&[0; 4000], false), &mut facts);
    assert_eq!(progress, Progress::Done);
    assert!(facts.flags.has(Flag::ParseError));
}

#[test]
fn a_message_full_of_answers_is_read_once_and_bounded() {
    // 5,000 answers whose owners point to the longest name there can be.
    let label = [&[1_u8, b'a'][..]; 126].concat();
    let owner = [&label[..], &[0]].concat();
    let answers = vec![record(TO_QUESTION, 1, &[192, 0, 2, 1]); 4000];
    let bytes = [header(RESPONSE, [1, 4000, 0, 0]), question(&owner, 1), answers.concat()].concat();
    let facts = answered(&bytes);
    assert!(facts.flags.has(Flag::LimitReached));
    assert_eq!(resolved(&facts).len(), 1);
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400), port in any::<u16>()) {
        for port in [port, 53] {
            claims(port, &bytes);
            claims_stream(port, &bytes);
        }
        datagrams(&[(Side::Source, &bytes)]);
        let mut facts = Facts::default();
        let mut parser = (PROTOCOL.parser)(Transport::Tcp);
        for end in 0..=bytes.len() {
            parser.feed(Side::Source, prefix(&bytes[..end], end == bytes.len()), &mut facts);
        }
    }

    #[test]
    fn random_bytes_are_not_claimed(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for port in [53, 4343] {
            prop_assert_ne!(claims(port, &bytes), Claim::Yes);
            prop_assert_ne!(claims_stream(port, &bytes), Claim::Yes);
        }
    }

    #[test]
    fn damage_gives_no_other_question(at in 0_usize..90, bit in 0_u8..8, cut in 0_usize..90) {
        let answer = record(TO_QUESTION, 1, &[192, 0, 2, 1]);
        let mut bytes = response("www.example.com", 1, &[answer]);
        // Not in the question's name, and not in its counts: those bytes are the question.
        let after_name = 12 + wire("www.example.com").len();
        if at < 4 || (at >= after_name && at < bytes.len()) {
            bytes[at] ^= 1 << bit;
        }
        bytes.truncate(cut.max(1));
        let facts = answered(&bytes);
        let found = names(&facts, &QNAME);
        prop_assert!(found.is_empty() || found == ["www.example.com"], "{:?}", found);
    }
}

#[test]
fn services_in_the_domain_local_by_their_types() {
    let instance = wire("Anna's printer._ipp._tcp.local");
    let answers = [
        record(&wire("_services._dns-sd._udp.local"), 12, &wire("_http._tcp.local")),
        record(&wire("_ipp._tcp.local"), 12, &instance),
        record(&wire("x._googlecast._TCP.Local"), 33, &[&[0; 6][..], &wire("h.local")].concat()),
        // No services: a name, an address backwards, another domain, too long.
        record(&wire("_tcp.local"), 12, &instance),
        record(&wire("9.2.0.192.in-addr.arpa"), 12, &wire("h.example")),
        record(&wire("_ldap._tcp.corp.example"), 33, &[&[0; 6][..], &wire("h.local")].concat()),
        record(&wire("_sixteen-letters-x._tcp.local"), 12, &instance),
    ];
    let bytes = [header(RESPONSE, [0, answers.len() as u16, 0, 0]), answers.concat()].concat();
    let facts = answered(&bytes);
    assert_eq!(names(&facts, &SERVICE), ["_googlecast._TCP", "_http._tcp", "_ipp._tcp"]);
    assert!(!facts.packed().windows(4).any(|window| window == b"Anna"));
    // An answer is not taken for an address.
    let asked = answered(&response("_ipp._tcp.local", 12, &[record(TO_QUESTION, 12, &[0xc0, 12])]));
    assert_eq!((names(&asked, &SERVICE), resolved(&asked)), (vec!["_ipp._tcp".to_owned()], vec![]));
}
