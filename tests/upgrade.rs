//! TLS that begins inside another protocol, through the whole path: whatever was cut, swapped or not captured, the same
//! name and the same fingerprints.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use bordertap::fact::{Flag, Side};
use bordertap::parse::{dns, socks, tls};
use bordertap::record::FlowRecord;
use common::conversation::{Conversation, From};
use common::packets::{Endpoint, Packet};
use common::pipeline::{flows, texts};
use common::tls::{Version, client_hello, server_hello};

const NAME: &str = "update.vendor.example";
const START: u64 = 1_790_000_000_000_000_000;

/// A protocol and what both sides say before TLS.
type Beginning = (&'static str, &'static [(From, &'static [u8])]);

/// The words of both sides before TLS, in the order in which they are spoken. None of them names its protocol where
/// it need not.
const BEGINNINGS: &[Beginning] = &[
    (
        "smtp",
        &[
            (From::Server, b"220 mail.example ready\r\n"),
            (From::Client, b"EHLO client.example\r\n"),
            (From::Server, b"250-mail.example\r\n250 STARTTLS\r\n"),
            (From::Client, b"STARTTLS\r\n"),
            (From::Server, b"220 go ahead\r\n"),
        ],
    ),
    (
        "imap",
        &[(From::Server, b"* OK hello\r\n"), (From::Client, b"a1 STARTTLS\r\n"), (From::Server, b"a1 OK begin\r\n")],
    ),
    ("pop3", &[(From::Server, b"+OK hello\r\n"), (From::Client, b"STLS\r\n"), (From::Server, b"+OK begin\r\n")]),
    ("ftp", &[(From::Server, b"220 hello\r\n"), (From::Client, b"AUTH TLS\r\n"), (From::Server, b"234 begin\r\n")]),
    (
        "ldap",
        &[
            (From::Client, b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"),
            (From::Server, b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\0\x04\0\x04\0"),
        ],
    ),
    ("postgresql", &[(From::Client, b"\0\0\0\x08\x04\xd2\x16\x2f"), (From::Server, b"S")]),
    (
        "rdp",
        &[
            (From::Client, b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0"),
            (From::Server, b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x02\0\x08\0\x01\0\0\0"),
        ],
    ),
    (
        "socks",
        &[
            (From::Client, b"\x05\x01\0"),
            (From::Server, b"\x05\0"),
            (From::Client, b"\x05\x01\0\x03\x0dproxy.example\x01\xbb"),
            (From::Server, b"\x05\0\0\x01\0\0\0\0\0\0"),
        ],
    ),
    (
        "http",
        &[(From::Client, b"CONNECT proxy.example:443 HTTP/1.1\r\n\r\n"), (From::Server, b"HTTP/1.1 200 OK\r\n\r\n")],
    ),
    ("proxy", &[(From::Client, b"PROXY TCP4 192.0.2.1 192.0.2.2 50000 443\r\n")]),
];

fn conversation(port: u16) -> Conversation {
    let client = Endpoint::new([2, 0, 0, 0, 0, 1], "10.0.0.1", 49_152);
    let server = Endpoint::new([2, 0, 0, 0, 0, 2], "203.0.113.9", port);
    Conversation::new(client, server, START, 20_000_000)
}

/// A conversation in segments of at most so many bytes.
fn packets(beginning: &[(From, &[u8])], port: u16, mss: usize) -> Vec<Packet> {
    let mut talk = conversation(port).with_mss(mss);
    talk.open();
    for (from, bytes) in beginning {
        talk.send(*from, bytes);
    }
    talk.send(From::Client, &client_hello(Version::Tls13, Some(NAME)));
    talk.send(From::Server, &server_hello(Version::Tls13)).close();
    talk.packets()
}

fn only(packets: &[Packet]) -> FlowRecord {
    let mut all = flows(packets);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// Name and fingerprints.
fn meaning(flow: &FlowRecord) -> Vec<Vec<String>> {
    [&tls::SNI, &tls::JA3, &tls::JA4, &tls::ALPN, &tls::JA3S].map(|field| texts(flow, field)).to_vec()
}

fn reference() -> Vec<Vec<String>> {
    let meaning = meaning(&only(&packets(&[], 443, 1460)));
    assert_eq!(meaning[0], [NAME]);
    assert!([1, 2, 4].iter().all(|at| meaning[*at].len() == 1), "{meaning:?}");
    meaning
}

fn is_from_client(packet: &Packet) -> bool {
    // The last byte of the source address stands at 29 of an Ethernet frame with IPv4.
    packet.bytes[29] == 1
}

#[test]
fn in_segments_of_any_size() {
    let expected = reference();
    for (name, beginning) in BEGINNINGS {
        for mss in [1460, 100, 7, 1] {
            let flow = only(&packets(beginning, 40_000, mss));
            assert_eq!(meaning(&flow), expected, "{name} in {mss}");
            assert_eq!(flow.protocol, Some(*name), "{name} in {mss}");
            assert!(!flow.facts.flags.has(Flag::ParseError), "{name} in {mss}");
        }
    }
}

#[test]
fn one_direction_captured_late() {
    let expected = reference();
    for (name, beginning) in BEGINNINGS {
        // A ServerHello before anything else is TLS: what comes before the client's is then looked for in vain.
        let orders = if *name == "proxy" { &[true][..] } else { &[true, false] };
        for &client_first in orders {
            let mut all = packets(beginning, 40_000, 100);
            // The handshake of TCP stays in front; then one side comes, and then the other.
            all[3..].sort_by_key(|packet| is_from_client(packet) != client_first);
            for (number, packet) in all.iter_mut().enumerate() {
                packet.time = START + number as u64;
            }
            let flow = only(&all);
            assert_eq!(meaning(&flow), expected, "{name}, client first: {client_first}");
        }
    }
}

#[test]
fn any_two_neighbours_swapped() {
    let expected = reference();
    for (name, beginning) in BEGINNINGS {
        let in_order = packets(beginning, 40_000, 300);
        for at in 3..in_order.len() - 1 {
            let mut all = in_order.clone();
            all.swap(at, at + 1);
            let flow = only(&all);
            assert_eq!(meaning(&flow), expected, "{name}, packet {at}");
            assert_eq!(flow.protocol, Some(*name), "{name}, packet {at}");
        }
    }
}

#[test]
fn one_side_only() {
    let whole = reference();
    for (name, beginning) in BEGINNINGS {
        for client in [true, false] {
            let mut all = packets(beginning, 40_000, 1460);
            all.retain(|packet| is_from_client(packet) == client);
            let flow = only(&all);
            let there = meaning(&flow);
            let wanted = if client { 1..4 } else { 4..5 };
            assert_eq!(there[wanted.clone()], whole[wanted], "{name}, client: {client}");
        }
    }
}

#[test]
fn without_its_beginning() {
    let expected = reference();
    for (name, beginning) in BEGINNINGS {
        let all = packets(beginning, 40_000, 1460);
        // SYNs and the first segments are missing, all before the hello of the client.
        let hello = client_hello(Version::Tls13, Some(NAME));
        let at = all.iter().position(|packet| packet.bytes.ends_with(&hello[hello.len() - 40..])).unwrap();
        for skipped in [3, at - 1] {
            let flow = only(&all[skipped..]);
            assert_eq!(meaning(&flow), expected, "{name} without {skipped}");
            assert!(flow.facts.flags.has(Flag::Midstream), "{name} without {skipped}");
        }
    }
}

#[test]
fn the_name_behind_a_proxy_names_the_destination() {
    let mut talk = conversation(40_000);
    talk.open()
        .send(From::Client, b"\x04\x01\x01\xbb\0\0\0\x01\0Proxy.Example\0")
        .send(From::Server, b"\0\x5a\0\0\0\0\0\0")
        .close();
    let flow = only(&talk.packets());
    let mut name = String::new();
    assert_eq!(flow.own_name(&mut name), Some(socks::HOST.name));
    assert_eq!(name, "proxy.example");
}

#[test]
fn dns_over_tls_shows_by_its_port() {
    let transport = |port| only(&packets(&[], port, 1460)).facts.first(&dns::TRANSPORT).map(|f| (f.side, f.text()));
    assert_eq!(transport(dns::DOT_PORT), Some((Side::Source, "dot".to_owned())));
    assert_eq!(transport(443), None);
}
