//! What is wrapped around a flow: proxies, fragments, tags and tunnels.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::slice;

use serde_json::Value;

use super::check::{self, Read};
use super::common::capture::pcap;
use super::common::conversation::{Conversation, From};
use super::common::messages::{http_request, http_tunnel_ready};
use super::common::packets::{self, ETHERTYPE_IPV6, Endpoint, Mac, Packet};
use super::common::random::Random;
use super::common::tls::{self, Version};

const START_NS: u64 = 1_793_606_400_000_000_000;
const ROUND_TRIP_NS: u64 = 20_000_000;
const NAME: &str = "update.vendor.example";
const CLIENT_MAC: Mac = [2, 0, 0, 0, 0, 1];
const SERVER_MAC: Mac = [2, 0, 0, 0, 0, 2];
const ETHERNET_BYTES: usize = 14;
const IPV4_BYTES: usize = 20;
const IPV6_BYTES: usize = 40;
const MORE: u16 = 0x2000;
const DO_NOT_FRAGMENT: u16 = 0x4000;
const RESERVED: u16 = 0x8000;

fn talk_between(addresses: [&str; 2], source: u16, port: u16) -> Conversation {
    let client = Endpoint::new(CLIENT_MAC, addresses[0], source);
    let server = Endpoint::new(SERVER_MAC, addresses[1], port);
    Conversation::new(client, server, START_NS + u64::from(source) * 1_000_000, ROUND_TRIP_NS)
}

fn talk(source: u16, port: u16) -> Conversation {
    talk_between(["10.20.0.1", "203.0.113.9"], source, port)
}

/// A client that shakes hands for a name, and data behind it.
fn handshake(mut talk: Conversation, name: &str) -> Vec<Packet> {
    talk.open().send(From::Client, &tls::client_hello(Version::Tls13, Some(name)));
    talk.send(From::Server, &tls::server_hello(Version::Tls13));
    talk.send(From::Client, &tls::application_data(Version::Tls13, 300, 1)).close();
    talk.packets()
}

fn meaning(flow: &Value) -> [Value; 3] {
    ["server_name", "ja3", "ja4"].map(|key| flow["tls"]["client"][key].clone())
}

/// What the hello says with nothing around it.
fn reference() -> [Value; 3] {
    let read = check::read(&handshake(talk(50_000, 443), NAME));
    assert_eq!(check::flags(read.flow()), <[&str; 0]>::default());
    let meaning = meaning(read.flow());
    assert_eq!(meaning[0], NAME);
    meaning
}

/// The values of a field of a flow.
fn values(flow: &Value, field: &str) -> Vec<Value> {
    let facts = flow["bordertap"]["facts"].as_array().cloned().unwrap_or_default();
    facts.iter().filter(|fact| fact["field"] == field).map(|fact| fact["value"].clone()).collect()
}

/// Who says what, in turn.
type Said = Vec<(From, Vec<u8>)>;

/// Who says what before TLS begins, each in a segment of its own. Sources: RFC 3207, RFC 9051, RFC 2595, RFC 4217,
/// RFC 4511 with RFC 4513, RFC 6120; PostgreSQL and MySQL documentation of their protocols.
fn upgrades() -> Vec<(&'static str, u16, Said)> {
    let text = |side: From, text: &str| (side, text.as_bytes().to_vec());
    let (c, s) = (From::Client, From::Server);
    let greeting =
        b"\x36\0\0\0\x0a5.5.2-m2\0\x0b\0\0\0dvH@I-CJ\0\xff\xf7\x08\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0*4d|cZwk4^]:\0";
    let mut ssl_request = b"\x20\0\0\x01\x05\xae\x03\0\0\0\0\x01\x08".to_vec();
    ssl_request.resize(36, 0);
    let start_tls = [&[0x30, 0x1d, 2, 1, 1, 0x77, 0x18, 0x80, 0x16][..], b"1.3.6.1.4.1.1466.20037"].concat();
    let started = vec![0x30, 0x0c, 2, 1, 1, 0x78, 7, 0x0a, 1, 0, 4, 0, 4, 0];
    let stream = "<stream:stream to='im.example.com' version='1.0' xmlns='jabber:client' \
                  xmlns:stream='http://etherx.jabber.org/streams'>";
    let features = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";
    vec![
        (
            "smtp",
            25,
            vec![
                text(s, "220 mail.example.com ESMTP ready\r\n"),
                text(c, "EHLO client.example.com\r\n"),
                text(s, "250-mail.example.com\r\n250-STARTTLS\r\n250 DSN\r\n"),
                text(c, "STARTTLS\r\n"),
                text(s, "220 Go ahead\r\n"),
            ],
        ),
        (
            "imap",
            143,
            vec![
                text(s, "* OK [CAPABILITY IMAP4rev2 STARTTLS] Server ready\r\n"),
                text(c, "a002 STARTTLS\r\n"),
                text(s, "a002 OK Begin TLS negotiation now\r\n"),
            ],
        ),
        (
            "pop3",
            110,
            vec![text(s, "+OK POP3 server ready\r\n"), text(c, "STLS\r\n"), text(s, "+OK Begin TLS negotiation\r\n")],
        ),
        (
            "ftp",
            21,
            vec![
                text(s, "220 Service ready for new user.\r\n"),
                text(c, "AUTH TLS\r\n"),
                text(s, "234 AUTH TLS OK.\r\n"),
            ],
        ),
        ("ldap", 389, vec![(c, start_tls), (s, started)]),
        (
            "xmpp",
            5222,
            vec![
                text(c, stream),
                text(s, &format!("{stream}{features}")),
                text(c, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
                text(s, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
            ],
        ),
        ("postgresql", 5432, vec![(c, vec![0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]), text(s, "S")]),
        ("mysql", 3306, vec![(s, greeting.to_vec()), (c, ssl_request)]),
    ]
}

/// What is read of a hello for `NAME` behind these messages.
fn hello_behind(before: &[(From, Vec<u8>)], port: u16) -> check::Read {
    let mut talk = talk(50_000, port);
    talk.open();
    for (side, bytes) in before {
        talk.send(*side, bytes);
    }
    talk.send(From::Client, &tls::client_hello(Version::Tls13, Some(NAME)));
    talk.send(From::Server, &tls::server_hello(Version::Tls13)).close();
    check::read(&talk.packets())
}

/// After each kind of STARTTLS the hello inside is that of a flow without it, on the usual port and on another.
#[test]
fn row_30_tls_behind_starttls() {
    let expected = reference();
    for (protocol, port, before) in upgrades() {
        for port in [port, 31_337] {
            let read = hello_behind(&before, port);
            let flow = read.flow();
            assert_eq!(flow["network"]["protocol"], protocol, "port {port}");
            assert_eq!(meaning(flow), expected, "{protocol} port {port}");
            assert!(flow["tls"]["server"]["ja3s"].is_string(), "{protocol} port {port}");
            assert_eq!(check::flags(flow), <[&str; 0]>::default(), "{protocol} port {port}");
        }
    }
}

/// Behind CONNECT, SOCKS 4a, SOCKS 5 and CONNECT in SOCKS: the name inside, the name that the proxy was told, and which
/// kind of proxy it was.
#[test]
fn row_30b_tls_behind_proxies() {
    let expected = reference();
    let connect = http_request("CONNECT", "outer.example:443", &[("Host", "outer.example:443")], b"");
    let socks4 = [&[4, 1, 1, 0xbb, 0, 0, 0, 1, 0][..], b"outer.example\0"].concat();
    let socks5 = [&[5, 1, 0, 3, 13][..], b"outer.example", &[1, 0xbb]].concat();
    let (c, s) = (From::Client, From::Server);
    let granted5 = vec![5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let cases: Vec<(&str, &str, Said)> = vec![
        ("http", "connect.host", vec![(c, connect.clone()), (s, http_tunnel_ready())]),
        ("socks", "socks.host", vec![(c, socks4), (s, vec![0, 90, 0, 0, 0, 0, 0, 0])]),
        ("socks", "socks.host", vec![(c, vec![5, 1, 0]), (s, vec![5, 0]), (c, socks5.clone()), (s, granted5.clone())]),
        (
            "socks",
            "socks.host",
            vec![
                (c, vec![5, 1, 0]),
                (s, vec![5, 0]),
                (c, socks5),
                (s, granted5),
                (c, connect),
                (s, http_tunnel_ready()),
            ],
        ),
    ];
    for (n, (protocol, field, before)) in cases.into_iter().enumerate() {
        for port in [3128, 31_337] {
            let read = hello_behind(&before, port);
            let flow = read.flow();
            assert_eq!(flow["network"]["protocol"], protocol, "case {n} port {port}");
            assert_eq!(meaning(flow), expected, "case {n} port {port}");
            let told = values(flow, field);
            assert!(told.iter().all(|name| name.as_str().unwrap().starts_with("outer.example")), "case {n}: {told:?}");
            assert_eq!(told.len(), 1, "case {n} port {port}");
        }
    }
}

/// A request of SOCKS 4 with an address is known on its port; elsewhere nine bytes say too little, and what is inside is read
/// all the same.
#[test]
fn row_30c_tls_behind_socks_4_without_a_name() {
    let request = vec![4, 1, 1, 0xbb, 192, 0, 2, 7, 0];
    let before = vec![(From::Client, request), (From::Server, vec![0, 90, 0, 0, 0, 0, 0, 0])];
    for (port, protocol, hosts) in [(1080, "socks", 1), (31_337, "tls", 0)] {
        let read = hello_behind(&before, port);
        let flow = read.flow();
        assert_eq!(flow["network"]["protocol"], protocol, "port {port}");
        assert_eq!(meaning(flow), reference(), "port {port}");
        assert_eq!(values(flow, "socks.host").len(), hosts, "port {port}");
    }
}

/// The part `from..to` of what an IPv4 packet carries, as a fragment with these flags.
fn piece_v4(frame: &[u8], from: usize, to: usize, flags: u16) -> Vec<u8> {
    let (head, payload) = frame.split_at(ETHERNET_BYTES + IPV4_BYTES);
    let mut bytes = [head, &payload[from..to]].concat();
    bytes[16..18].copy_from_slice(&((IPV4_BYTES + to - from) as u16).to_be_bytes());
    bytes[20..22].copy_from_slice(&(flags | (from / 8) as u16).to_be_bytes());
    bytes[24..26].fill(0);
    let sum = packets::checksum(&[&bytes[ETHERNET_BYTES..ETHERNET_BYTES + IPV4_BYTES]]);
    bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// Bytes behind the IPv4 header.
fn payload_bytes(frame: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([frame[16], frame[17]])) - IPV4_BYTES
}

/// A whole packet in pieces of `size` bytes; `last` are the flags of the last one.
fn torn(frame: &[u8], size: usize, last: u16) -> Vec<Vec<u8>> {
    let all = payload_bytes(frame);
    let piece = |from: usize| {
        let to = (from + size).min(all);
        piece_v4(frame, from, to, if to == all { last } else { MORE })
    };
    (0..all).step_by(size).map(piece).collect()
}

/// The packets of a handshake, and which of them has the hello.
fn with_hello(talk: Conversation) -> (Vec<Packet>, usize) {
    let packets = handshake(talk, NAME);
    let has_name = |packet: &Packet| packet.bytes.windows(NAME.len()).any(|bytes| bytes == NAME.as_bytes());
    let at = packets.iter().position(has_name).unwrap();
    (packets, at)
}

/// The same with other frames in the place of the one that has the hello.
fn replaced(packets: &[Packet], at: usize, frames: Vec<Vec<u8>>) -> Vec<Packet> {
    let time = packets[at].time;
    let frames = frames.into_iter().zip(0..).map(|(bytes, n)| Packet::new(time + n, bytes));
    [&packets[..at], &frames.collect::<Vec<_>>(), &packets[at + 1..]].concat()
}

/// Tiny pieces in any order, equal overlaps, pieces that came before, a last piece with "do not fragment" or the reserved
/// bit set: the hello as it was.
#[test]
fn row_31_fragments_that_agree() {
    let expected = reference();
    let (packets, at) = with_hello(talk(50_000, 443));
    let frame = &packets[at].bytes;
    let all = payload_bytes(frame);
    let tiny = torn(frame, 8, 0);
    assert!(tiny.len() > 60, "{}", tiny.len());
    let mut cases = vec![
        ("tiny", tiny.clone()),
        ("tiny backwards", tiny.iter().rev().cloned().collect()),
        ("the last with DF", torn(frame, 160, DO_NOT_FRAGMENT)),
        ("the last with the reserved bit", torn(frame, 160, RESERVED)),
        (
            "DF on all",
            torn(frame, 160, 0)
                .into_iter()
                .map(|mut bytes| {
                    bytes[20] |= 0x40;
                    bytes
                })
                .collect(),
        ),
        ("twice", [torn(frame, 160, 0), torn(frame, 160, 0)].concat()),
        (
            "a head that is shorter than a TCP header",
            vec![piece_v4(frame, 0, 8, MORE), piece_v4(frame, 8, 24, MORE), piece_v4(frame, 24, all, 0)],
        ),
        (
            "equal overlaps",
            vec![piece_v4(frame, 0, 320, MORE), piece_v4(frame, 80, 400, MORE), piece_v4(frame, 240, all, 0)],
        ),
    ];
    for seed in 0..5 {
        let mut shuffled = tiny.clone();
        Random::new(seed).shuffle(&mut shuffled);
        cases.push(("tiny shuffled", shuffled));
    }
    for (what, frames) in cases {
        let sent = replaced(&packets, at, frames);
        let read = check::read(&sent);
        let flow = read.flow();
        assert_eq!(meaning(flow), expected, "{what}");
        assert_eq!(check::flags(flow), ["fragmented"], "{what}");
    }
}

/// Pieces that contradict each other are flagged, in both orders, and never make a name that nobody sent.
#[test]
fn row_31b_fragments_that_contradict() {
    let (packets, at) = with_hello(talk(50_000, 443));
    let frame = &packets[at].bytes;
    let (front, all) = (ETHERNET_BYTES + IPV4_BYTES, payload_bytes(frame));
    let name_at = frame.windows(NAME.len()).position(|bytes| bytes == NAME.as_bytes()).unwrap() - front;
    let mut decoy = frame.clone();
    decoy[front + name_at..][..6].copy_from_slice(b"benign");
    // A cut before the name and one behind it.
    let (low, high) = (name_at / 8 * 8, (name_at + NAME.len()).next_multiple_of(8));
    let (head, tail) = (piece_v4(frame, 0, low, MORE), piece_v4(frame, high, all, 0));
    let [right, wrong] = [frame, &decoy].map(|frame| piece_v4(frame, low, high, MORE));
    for (middle, first) in [([right.clone(), wrong.clone()], NAME), ([wrong, right], "benign.vendor.example")] {
        let frames = [slice::from_ref(&head), &middle, slice::from_ref(&tail)].concat();
        let read = check::read(&replaced(&packets, at, frames));
        let flow = read.flow();
        assert!(check::flags(flow).contains(&"frag-conflict".to_owned()), "{:?}", check::flags(flow));
        let name = &meaning(flow)[0];
        assert!(name.is_null() || name == first, "{name}");
    }
}

/// An ID that is used again: one datagram after the other both are read; with their pieces mixed neither becomes a third.
#[test]
fn row_31c_an_id_that_is_used_again() {
    let same_id = |frame: &[u8]| {
        let mut frame = frame.to_vec();
        frame[18..20].copy_from_slice(&[0x12, 0x34]);
        frame
    };
    let names = ["first.vendor.example", "other.vendor.example"];
    let both = names.map(|name| {
        let packets = handshake(talk(if name == names[0] { 50_000 } else { 50_001 }, 443), name);
        let has_name = |packet: &Packet| packet.bytes.windows(name.len()).any(|bytes| bytes == name.as_bytes());
        let at = packets.iter().position(has_name).unwrap();
        let pieces = torn(&same_id(&packets[at].bytes), 160, 0);
        (packets, at, pieces)
    });
    let sorted = |mut packets: Vec<Packet>| {
        packets.sort_by_key(|packet| packet.time);
        packets
    };
    let apart: Vec<Packet> =
        both.iter().flat_map(|(packets, at, pieces)| replaced(packets, *at, pieces.clone())).collect();
    let read = check::read(&sorted(apart));
    let mut found: Vec<Value> = read.flows.iter().map(|flow| meaning(flow)[0].clone()).collect();
    found.sort_by_key(ToString::to_string);
    assert_eq!(found, names);

    // In the second flow's place come the pieces of both in turn.
    let [(first, first_at, mut pieces), (second, second_at, others)] = both;
    let mut mixed = Vec::new();
    for (one, other) in pieces.drain(..).zip(others) {
        mixed.extend([one, other]);
    }
    let mut sent = replaced(&second, second_at, mixed);
    sent.extend(first.iter().enumerate().filter(|(n, _)| *n != first_at).map(|(_, packet)| packet.clone()));
    let read = check::read(&sorted(sent));
    for flow in &read.flows {
        let name = meaning(flow)[0].clone();
        let conflict = check::flags(flow).contains(&"frag-conflict".to_owned());
        assert!(name.is_null() || names.iter().any(|known| name == *known) || conflict, "{flow}");
    }
    let told =
        read.counted("fragment.mixed") + read.counted("fragment.incomplete") + read.counted("fragment.duplicate");
    let conflicts = read.flows.iter().filter(|flow| check::flags(flow).contains(&"frag-conflict".to_owned())).count();
    assert!(told > 0 || conflicts > 0, "{}", read.report["ledger"]);
}

/// Pieces that never become a datagram have a name in the ledger, each.
#[test]
fn row_31d_fragments_that_lead_nowhere() {
    let (packets, at) = with_hello(talk(50_000, 443));
    let frame = &packets[at].bytes;
    let all = payload_bytes(frame);
    // Too many pieces: those of a large datagram.
    let large = {
        let mut talk = talk(50_000, 443).with_mss(2000);
        talk.open().send(From::Client, &tls::application_data(Version::Tls13, 1900, 1));
        talk.packets().into_iter().max_by_key(|packet| packet.bytes.len()).unwrap()
    };
    let mut beyond = piece_v4(frame, 0, 160, MORE);
    beyond[20..22].copy_from_slice(&(MORE | 0x1fff).to_be_bytes());
    let mut uneven = piece_v4(frame, 0, 161, MORE);
    uneven[20..22].copy_from_slice(&MORE.to_be_bytes());
    let cases: [(&str, Vec<Vec<u8>>); 5] = [
        ("fragment.incomplete", vec![piece_v4(frame, 160, all, 0)]),
        ("fragment.incomplete", torn(frame, 160, MORE)),
        ("fragment.malformed", vec![beyond]),
        ("fragment.malformed", vec![uneven]),
        ("fragment.pieces", torn(&large.bytes, 8, 0)),
    ];
    for (reason, frames) in cases {
        let read = check::read(&replaced(&packets, at, frames.clone()));
        assert!(read.counted(reason) > 0, "{reason}: {}", read.report["ledger"]);
        assert_eq!(meaning(read.flow())[0], Value::Null, "{reason}");
    }
}

/// An IPv6 frame whose payload stands behind these extension headers: their numbers and bytes, the first byte of each being
/// set here.
fn behind_headers(frame: &[u8], headers: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    let upper = bytes[20];
    let mut inside: Vec<u8> = Vec::new();
    for (n, (_, header)) in headers.iter().enumerate() {
        let next = headers.get(n + 1).map_or(upper, |(kind, _)| *kind);
        inside.push(next);
        inside.extend_from_slice(&header[1..]);
    }
    if let Some((first, _)) = headers.first() {
        bytes[20] = *first;
    }
    let length = u16::from_be_bytes([bytes[18], bytes[19]]) + inside.len() as u16;
    bytes[18..20].copy_from_slice(&length.to_be_bytes());
    bytes.splice(ETHERNET_BYTES + IPV6_BYTES..ETHERNET_BYTES + IPV6_BYTES, inside);
    bytes
}

/// IPv6: atomic fragments, chains of extension headers around and behind fragments, and a chain that is too long.
#[test]
fn row_31e_ipv6_extension_headers() {
    let expected = reference();
    let v6 = || talk_between(["fd00::1", "2001:db8::9"], 50_000, 443);
    let (packets, at) = with_hello(v6());
    let frame = &packets[at].bytes;
    assert_eq!(u16::from_be_bytes([frame[12], frame[13]]), ETHERTYPE_IPV6);
    // Hop by hop, destination options and routing with nothing in them (RFC 8200 section 4).
    let hop = (0u8, vec![0, 0, 1, 4, 0, 0, 0, 0]);
    let options = (60u8, vec![0, 0, 1, 4, 0, 0, 0, 0]);
    let routing = (43u8, vec![0, 0, 4, 0, 0, 0, 0, 0]);
    let fragment = |offset: usize, more: bool| {
        let [high, low] = (offset as u16 | u16::from(more)).to_be_bytes();
        (44u8, vec![0, 0, high, low, 0, 0, 0x56, 0x78])
    };
    let chain = |count: usize| {
        let mut headers = vec![hop.clone()];
        headers.extend((1..count).map(|n| if n % 2 == 0 { options.clone() } else { routing.clone() }));
        headers
    };
    // The payload from..to behind a chain and a fragment header.
    let piece = |before: &[(u8, Vec<u8>)], from: usize, to: usize, all: usize, frame: &[u8]| {
        let mut part = frame[..ETHERNET_BYTES + IPV6_BYTES].to_vec();
        part.extend_from_slice(&frame[ETHERNET_BYTES + IPV6_BYTES..][from..to]);
        part[18..20].copy_from_slice(&((to - from) as u16).to_be_bytes());
        let mut headers = before.to_vec();
        headers.push(fragment(from, to < all));
        behind_headers(&part, &headers)
    };
    let all = usize::from(u16::from_be_bytes([frame[18], frame[19]]));
    let chained = behind_headers(frame, slice::from_ref(&options));
    let mut cases = vec![
        ("atomic", vec![behind_headers(frame, &[fragment(0, false)])], false),
        ("atomic in a chain", vec![behind_headers(frame, &[hop.clone(), fragment(0, false), options.clone()])], false),
        ("a chain of 15", vec![behind_headers(frame, &chain(15))], false),
        ("two pieces", vec![piece(&[], 0, 240, all, frame), piece(&[], 240, all, all, frame)], true),
        ("tiny pieces", (0..all).step_by(8).map(|n| piece(&[], n, (n + 8).min(all), all, frame)).collect(), true),
        (
            "pieces behind a chain, backwards",
            vec![piece(&chain(3), 240, all, all, frame), piece(&chain(3), 0, 240, all, frame)],
            true,
        ),
        // The first piece ends inside the extension header that stands before TCP.
        (
            "a header in pieces",
            (0..all + 8).step_by(8).map(|n| piece(&[], n, (n + 8).min(all + 8), all + 8, &chained)).collect(),
            true,
        ),
    ];
    for pieces in cases.iter_mut().filter(|case| case.0 == "a header in pieces") {
        assert!(pieces.1.len() > 60);
    }
    for (what, frames, fragmented) in cases {
        let read = check::read(&replaced(&packets, at, frames));
        let flow = read.flow();
        assert_eq!(meaning(flow), expected, "{what}");
        assert_eq!(check::flags(flow), if fragmented { vec!["fragmented"] } else { vec![] }, "{what}");
    }
    let read = check::read(&replaced(&packets, at, vec![behind_headers(frame, &chain(17))]));
    assert_eq!((read.counted("ipv6.depth"), &meaning(read.flow())[0]), (1, &Value::Null));
}

/// What stands before and around a frame.
type Wrap = Box<dyn Fn(&[u8]) -> Vec<u8>>;

fn outer(last: u8) -> IpAddr {
    IpAddr::from([198, 51, 100, last])
}

fn ends(port: u16) -> [SocketAddr; 2] {
    [SocketAddr::new(outer(1), 50_000), SocketAddr::new(outer(2), port)]
}

/// An Ethernet frame of the network that carries.
fn carrier(kind: u16, payload: &[u8]) -> Vec<u8> {
    packets::ethernet([2, 0, 0, 0, 9, 1], [2, 0, 0, 0, 9, 2], &[], kind, payload)
}

fn carried_by_ip(protocol: u8, payload: &[u8]) -> Vec<u8> {
    packets::ip(outer(1), outer(2), protocol, 7, payload)
}

fn carried_by_udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let [from, to] = ends(port);
    carried_by_ip(17, &packets::udp(from, to, payload))
}

/// The IP packet of a frame, without the padding of a short one.
fn ip_of(frame: &[u8]) -> &[u8] {
    let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    &frame[ETHERNET_BYTES..ETHERNET_BYTES + total]
}

/// Tags behind the hardware addresses, each its EtherType and its two bytes.
fn tagged(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let tags: Vec<u8> = tags.iter().flat_map(|(kind, tag)| [kind.to_be_bytes(), tag.to_be_bytes()].concat()).collect();
    [&frame[..12], &tags, &frame[12..]].concat()
}

/// A handshake, every frame of which is wrapped.
fn read_wrapped(wrap: &Wrap) -> Read {
    let mut packets = handshake(talk(50_000, 443), NAME);
    packets.iter_mut().for_each(|packet| packet.bytes = wrap(&packet.bytes));
    check::read(&packets)
}

/// Tags, labels and tunnels that are read: the hello as it was, and the tunnels by name.
#[test]
fn row_32_wrappings_that_are_read() {
    let expected = reference();
    let (vlan, provider, old) = (0x8100, 0x88a8, 0x9100);
    let labels = |count: u32| {
        let label = |n: u32| ((16 + n) << 12 | u32::from(n + 1 == count) << 8 | 64).to_be_bytes();
        (0..count).flat_map(label).collect::<Vec<u8>>()
    };
    let ten = labels(10);
    let sixteen = labels(16);
    let vxlan = |frame: &[u8]| carried_by_udp(4789, &[&[8, 0, 0, 0, 0, 0, 7, 0][..], frame].concat());
    let cases: Vec<(&str, Vec<&str>, Wrap)> = vec![
        ("VLAN 0", vec![], Box::new(move |frame| tagged(frame, &[(vlan, 0)]))),
        ("QinQ", vec![], Box::new(move |frame| tagged(frame, &[(provider, 100), (vlan, 0x2007)]))),
        ("four tags", vec![], Box::new(move |frame| tagged(frame, &[(provider, 1), (old, 2), (vlan, 3), (vlan, 4)]))),
        ("MPLS x 10", vec!["mpls"], Box::new(move |frame| carrier(0x8847, &[&ten, ip_of(frame)].concat()))),
        ("MPLS x 16", vec!["mpls"], Box::new(move |frame| carrier(0x8847, &[&sixteen, ip_of(frame)].concat()))),
        (
            "PPPoE",
            vec!["pppoe"],
            Box::new(|frame| {
                let ppp = [&[0x00, 0x21][..], ip_of(frame)].concat();
                let head = [&[0x11, 0, 0, 1][..], &(ppp.len() as u16).to_be_bytes()].concat();
                carrier(0x8864, &[head, ppp].concat())
            }),
        ),
        (
            "GRE with key and number",
            vec!["gre"],
            Box::new(|frame| {
                let gre = [&[0x30, 0, 8, 0, 0, 0, 0, 1, 0, 0, 0, 2][..], ip_of(frame)].concat();
                carrier(0x0800, &carried_by_ip(47, &gre))
            }),
        ),
        (
            "VXLAN in GRE in Geneve",
            vec!["geneve", "gre", "vxlan"],
            Box::new(move |frame| {
                let gre = carried_by_ip(47, &[&[0, 0, 8, 0][..], &vxlan(frame)].concat());
                carrier(0x0800, &carried_by_udp(6081, &[&[0, 0, 8, 0, 0, 0, 7, 0][..], &gre].concat()))
            }),
        ),
        (
            "ERSPAN I",
            vec!["erspan"],
            Box::new(|frame| carrier(0x0800, &carried_by_ip(47, &[&[0, 0, 0x88, 0xbe][..], frame].concat()))),
        ),
        (
            "ERSPAN II",
            vec!["erspan"],
            Box::new(|frame| {
                let head = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 7, 0, 1, 0, 0, 0, 3];
                carrier(0x0800, &carried_by_ip(47, &[&head[..], frame].concat()))
            }),
        ),
        (
            "ERSPAN III",
            vec!["erspan"],
            Box::new(|frame| {
                let head = [0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 7, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0];
                carrier(0x0800, &carried_by_ip(47, &[&head[..], frame].concat()))
            }),
        ),
    ];
    for (what, tunnels, wrap) in cases {
        let read = read_wrapped(&wrap);
        let flow = read.flow();
        assert_eq!(meaning(flow), expected, "{what}");
        assert_eq!(check::flags(flow), <[&str; 0]>::default(), "{what}");
        let named = flow["bordertap"]["tunnel"].as_array().cloned().unwrap_or_default();
        assert_eq!(named, tunnels, "{what}");
    }
}

/// Beyond the depth that the README tells, every packet is counted by name, and nothing of what is inside is told.
#[test]
fn row_32b_deeper_than_is_read() {
    let depths: [(&str, Wrap); 4] = [
        ("vlan.depth", Box::new(|frame| tagged(frame, &[(0x8100, 7); 5]))),
        ("vlan.depth", Box::new(|frame| tagged(frame, &[(0x88a8, 7); 100]))),
        ("tunnel.depth", Box::new(|frame| carrier(0x8847, &[&[0, 1, 0, 64].repeat(17)[..], ip_of(frame)].concat()))),
        (
            "tunnel.depth",
            Box::new(|frame| {
                let packet = (0..100).fold(ip_of(frame).to_vec(), |inner, _| carried_by_ip(4, &inner));
                carrier(0x0800, &packet)
            }),
        ),
    ];
    for (reason, wrap) in depths {
        let read = read_wrapped(&wrap);
        let received = read.report["ledger"]["received"].as_u64().unwrap();
        assert_eq!((read.counted(reason), read.flows.len()), (received, 0), "{}", read.report["ledger"]);
    }
    // The last depth that is read and the first that is not.
    for (depth, flows) in [(6, 1), (7, 0)] {
        let wrap: Wrap = Box::new(move |frame| {
            let packet = (0..depth).fold(ip_of(frame).to_vec(), |inner, _| carried_by_ip(4, &inner));
            carrier(0x0800, &packet)
        });
        assert_eq!(read_wrapped(&wrap).flows.len(), flows, "{depth} tunnels");
    }
}

/// The two directions of a flow on a trunk that has a VLAN for each.
fn legs(up: u16, down: u16) -> Vec<Packet> {
    let mut packets = handshake(talk(50_000, 443), NAME);
    for packet in &mut packets {
        let vlan = if packet.bytes[6..12] == CLIENT_MAC { up } else { down };
        packet.bytes = tagged(&packet.bytes, &[(0x8100, vlan)]);
    }
    packets
}

/// Directions in VLANs of their own are one flow with both hellos in it, unless VLANs are to be told apart.
#[test]
fn row_33_legs_in_two_vlans() {
    let both = pcap(true, &legs(10, 20));
    let read = check::read_capture(both.clone());
    let flow = read.flow();
    assert_eq!(meaning(flow), reference());
    assert!(flow["tls"]["server"]["ja3s"].is_string());
    assert_eq!(check::flags(flow), <[&str; 0]>::default());
    // Of the first packet.
    assert_eq!(flow["network"]["vlan"]["id"], "10");

    let read = check::read_with(both, |scan| scan.vlans_apart = true);
    let [up, down] = read.flows.as_slice() else { panic!("{:#?}", read.flows) };
    assert_eq!((&up["network"]["vlan"]["id"], &down["network"]["vlan"]["id"]), (&"10".into(), &"20".into()));
    assert_eq!((meaning(up), &up["tls"]["server"]["ja3s"]), (reference(), &Value::Null));
    assert!(down["tls"]["server"]["ja3s"].is_string());
    assert!([up, down].iter().all(|flow| check::flags(flow).contains(&"one-sided".to_owned())));
}

/// The same addresses and ports in two VLANs at once, whole and in fragments: told apart they are two flows, each with its
/// own name, for any number of workers; and one in one VLAN stays one.
#[test]
fn row_33b_the_same_addresses_in_two_vlans() {
    let in_vlan = |vlan: u16, name: &str, torn: bool| {
        let packets = handshake(talk(50_000, 443), name);
        let frames = packets.into_iter().flat_map(|packet| {
            let is_large = torn && payload_bytes(&packet.bytes) > 200;
            let frames = if is_large { self::torn(&packet.bytes, 160, 0) } else { vec![packet.bytes] };
            frames.into_iter().zip(packet.time..).map(|(bytes, time)| Packet::new(time, bytes))
        });
        let tag = move |packet: Packet| Packet { bytes: tagged(&packet.bytes, &[(0x8100, vlan)]), ..packet };
        frames.map(tag).collect::<Vec<_>>()
    };
    for torn in [false, true] {
        let mut packets = [in_vlan(0, "first.vendor.example", torn), in_vlan(7, "other.vendor.example", torn)].concat();
        packets.sort_by_key(|packet| packet.time);
        let read = check::read_with(pcap(true, &packets), |scan| scan.vlans_apart = true);
        let mut found: Vec<[String; 2]> = read
            .flows
            .iter()
            .map(|flow| {
                [&flow["network"]["vlan"]["id"], &flow["tls"]["client"]["server_name"]]
                    .map(|value| value.as_str().unwrap().to_owned())
            })
            .collect();
        found.sort();
        assert_eq!(found, [["0", "first.vendor.example"], ["7", "other.vendor.example"]], "in fragments: {torn}");
        let one = check::read_with(pcap(true, &in_vlan(7, NAME, torn)), |scan| scan.vlans_apart = true);
        assert_eq!(meaning(one.flow()), reference(), "in fragments: {torn}");
    }
}

/// The option of the program.
#[test]
fn row_33c_the_option() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("legs.pcap");
    std::fs::write(&file, pcap(true, &legs(10, 20))).unwrap();
    for (option, flows) in [(None, 1), (Some("joined"), 1), (Some("apart"), 2)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bordertap"));
        command.arg("scan").arg(&file).args(["--json", "-", "--quiet"]);
        command.args(option.iter().flat_map(|how| ["--vlans", how]));
        let output = command.output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["header"]["flows"], flows, "{option:?}");
    }
}
