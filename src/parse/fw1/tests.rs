#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

use crate::parse::testing::tcp;
use proptest::prelude::*;

use super::*;
use crate::fact::Seen;

/// The words of the topology service as zmap/zgrab2 and rapid7/metasploit-framework document them.
const QUESTION: &[u8] = b"\x51\0\0\0\0\0\0\x21\0\0\0\x0bsecuremote\0";
/// The methods of the answer that zmap/zgrab2 records, in its order.
const METHODS: [&str; 10] = [
    "none",
    "sslca_clear",
    "sslca",
    "sslca_comp",
    "sslca_rc4",
    "sslca_rc4_comp",
    "asym_sslca",
    "asym_sslca_comp",
    "asym_sslca_rc4",
    "asym_sslca_rc4_comp",
];

fn counted(text: &str) -> Vec<u8> {
    [&(text.len() as u32 + 1).to_be_bytes(), text.as_bytes(), &[0]].concat()
}

/// An answer of that layout with another name in it.
fn answer_of(name: &str) -> Vec<u8> {
    let methods: Vec<u8> = METHODS.iter().flat_map(|method| counted(method)).collect();
    [AGREED, &counted(name), &(METHODS.len() as u32).to_be_bytes(), &methods].concat()
}

fn prefix(bytes: &[u8], last: bool) -> Prefix<'_> {
    Prefix { bytes, seen: Seen::default(), last, split: false }
}

fn asked(answer: &[u8]) -> Facts {
    let mut facts = Facts::default();
    let mut parser = (PROTOCOL.parser)(Transport::Tcp);
    assert_eq!(parser.feed(Side::Source, prefix(QUESTION, false), &mut facts), Progress::Done);
    parser.feed(Side::Destination, prefix(answer, true), &mut facts);
    facts
}

fn value(facts: &Facts, field: &'static Field) -> Option<String> {
    facts.first(field).map(|fact| fact.text())
}

#[test]
fn the_topology_service_names_gateway_and_management() {
    for (name, gateway, management) in [
        ("CN=gw-branch,O=gefwm01..gnnxpz", "gw-branch", "gefwm01"),
        ("CN=fw04,O=mgmt.example.com.4yyzo3", "fw04", "mgmt.example.com"),
    ] {
        let facts = asked(&answer_of(name));
        assert_eq!(value(&facts, &VERSION).as_deref(), Some("51000000"));
        assert_eq!(value(&facts, &SIC_NAME).as_deref(), Some(name));
        assert_eq!(value(&facts, &GATEWAY).as_deref(), Some(gateway));
        assert_eq!(value(&facts, &MANAGEMENT).as_deref(), Some(management));
        assert_eq!(facts.of(&METHOD).count(), METHODS.len());
        assert!(!facts.flags.has(Flag::ParseError));
    }
}

#[test]
fn the_question_and_the_answer_are_known_on_any_port() {
    let answer = answer_of("CN=gw-branch,O=gefwm01..gnnxpz");
    for ports in [(40000, 264), (40000, 8000)] {
        assert_eq!(claim(&tcp(ports, Side::Source, QUESTION)), Claim::Yes);
        assert_eq!(claim(&tcp(ports, Side::Source, &QUESTION[..4])), Claim::NeedBytes(8));
        assert_eq!(claim(&tcp(ports, Side::Destination, &answer)), Claim::Yes);
        assert!(matches!(claim(&tcp(ports, Side::Destination, AGREED)), Claim::NeedBytes(_)));
        assert_eq!(claim(&tcp(ports, Side::Destination, &answer[..ANSWER_KNOWN_BYTES])), Claim::Yes);
    }
}

#[test]
fn greetings_of_the_gateway_and_the_log_service() {
    // nmap-service-probes: what ports 256 and 257 say to a stranger.
    let gateway = b"\x41\0\0\0\0\0\0\x05";
    let log = b"\0\0\0\x0951000000\0\0\0\0\x07";
    assert_eq!(claim(&tcp((40000, 256), Side::Destination, gateway)), Claim::Yes);
    assert_eq!(claim(&tcp((40000, 8000), Side::Destination, gateway)), Claim::No);
    assert_eq!(claim(&tcp((40000, 257), Side::Destination, log)), Claim::Yes);
    for (bytes, version) in [(&gateway[..], "41000000"), (&log[..], "51000000")] {
        let mut facts = Facts::default();
        let mut parser = (PROTOCOL.parser)(Transport::Tcp);
        assert_eq!(parser.feed(Side::Destination, prefix(bytes, false), &mut facts), Progress::Done);
        assert_eq!(value(&facts, &VERSION).as_deref(), Some(version));
    }
}

#[test]
fn an_answer_cut_anywhere_gives_the_same_or_nothing() {
    let whole = answer_of("CN=gw-branch,O=gefwm01..gnnxpz");
    for cut in 0..whole.len() {
        let facts = asked(&whole[..cut]);
        assert!(!facts.has(&SIC_NAME) && !facts.has(&GATEWAY) && !facts.has(&METHOD), "{cut} bytes");
        // And the parser asks until it has all.
        let mut facts = Facts::default();
        let mut parser = (PROTOCOL.parser)(Transport::Tcp);
        let Progress::NeedBytes(wanted) = parser.feed(Side::Destination, prefix(&whole[..cut], false), &mut facts)
        else {
            panic!("{cut} bytes are not enough");
        };
        assert!(wanted > cut && wanted <= whole.len(), "{cut}: {wanted}");
    }
}

#[test]
fn names_that_are_none_are_refused() {
    for name in [
        "CN=gw-branch,O=gefwm01",
        "CN=gw-branch,O=gefwm01..GNNXPZ",
        "CN=gw-branch,O=..gnnxpz",
        "CN=,O=gefwm01..gnnxpz",
        "CN=gw-branch,OU=x,O=gefwm01..gnnxpz",
        "CN=gw-branch\u{1},O=gefwm01..gnnxpz",
        "O=gefwm01..gnnxpz",
    ] {
        let answer = answer_of(name);
        // Its beginning tells whose it is, before all of it is there.
        let known = if name.starts_with("CN=") { Claim::Yes } else { Claim::No };
        assert_eq!(claim(&tcp((40000, 264), Side::Destination, &answer)), known, "{name}");
        let facts = asked(&answer);
        assert!(!facts.has(&SIC_NAME), "{name}");
        assert!(facts.flags.has(Flag::ParseError), "{name}");
    }
}

#[test]
fn lengths_and_counts_out_of_bounds_are_refused() {
    let whole = answer_of("CN=gw-branch,O=gefwm01..gnnxpz");
    let with = |at: usize, word: u32| {
        let mut bytes = whole.clone();
        bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
        bytes
    };
    let count_at = 4 + 4 + "CN=gw-branch,O=gefwm01..gnnxpz".len() + 1;
    for damaged in [with(4, 0), with(4, 30), with(4, u32::MAX), with(count_at, 65), with(count_at + 4, 1000)] {
        assert!(!asked(&damaged).has(&SIC_NAME));
    }
}

/// A name of so many bytes with its NUL is believed, a longer one is not.
#[test]
fn bytes_of_a_sic_name() {
    let named = |bytes: u32| {
        let name = format!("CN=gw,O={}..gnnxpz", "m".repeat(bytes as usize - "CN=gw,O=..gnnxpz".len() - 1));
        asked(&answer_of(&name)).has(&SIC_NAME)
    };
    assert_eq!((named(SIC_NAME_BYTES_MAX), named(SIC_NAME_BYTES_MAX + 1)), (true, false));
}

#[test]
fn other_protocols_are_refused() {
    for ports in [(40000, 264), (40000, 3306)] {
        // A greeting of MySQL with 81 bytes, a message of MongoDB with 65, one byte more than zeros.
        assert_eq!(claim(&tcp(ports, Side::Destination, b"\x51\0\0\0\x0a8.0.31\0")), Claim::No);
        assert_eq!(claim(&tcp(ports, Side::Source, b"\x41\0\0\0\x17\x01\0\0\0\0\0\0")), Claim::No);
        assert_eq!(claim(&tcp(ports, Side::Destination, b"Y\0\0\0\0\0\0\x0bsecuremote\0")), Claim::No);
        assert_eq!(claim(&tcp(ports, Side::Source, b"\0\0\0\x0951000001\0")), Claim::No);
        assert_eq!(claim(&tcp(ports, Side::Source, b"GET / HTTP/1.1\r\n")), Claim::No);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        noise in prop::collection::vec(any::<u8>(), 0..32),
        at in 0usize..100,
        cut in 0usize..200,
    ) {
        let mut bytes = answer_of("CN=gw-branch,O=gefwm01..gnnxpz");
        let at = at.min(bytes.len());
        bytes.splice(at..at, noise.iter().copied());
        bytes.truncate(cut);
        for side in [Side::Source, Side::Destination] {
            claim(&tcp((1, 264), side, &bytes));
            let mut facts = Facts::default();
            let mut parser = (PROTOCOL.parser)(Transport::Tcp);
            parser.feed(side, prefix(&bytes, false), &mut facts);
            parser.feed(side, prefix(&bytes, true), &mut facts);
        }
    }
}
