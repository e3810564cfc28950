//! Limits of what is read from packets: at the limit all is there, beyond it no more is kept and the flow says so.

use std::sync::Arc;

use bordertap::capture::Replay;
use bordertap::fact::{FIELDS_MAX, Field, Flag, VALUE_BYTES_MAX};
use bordertap::parse::{Transport, capwap, ccp, fgcp, fortilink, fsso, pan_heartbeat};
use bordertap::parse::{cdp, dhcp, dns, ftp, http, http2, lines, netflow, quic, smtp, ssh, syslog, tls};
use bordertap::record::FlowRecord;
use bordertap::scan::Scan;
use bordertap::stream::OTHERS_MAX;

use crate::common::capture::pcap;
use crate::common::conversation::{Conversation, From};
use crate::common::der::{self, Part};
use crate::common::hellos::{Piece, handshake_bytes};
use crate::common::messages::{self, TYPE_A, TYPE_CNAME};
use crate::common::packets::{self, Endpoint, Packet, datagram};
use crate::common::pipeline::{flows, texts};
use crate::common::quic::{Initial, crypto};
use crate::common::sample::{self, samples};
use crate::common::tls::{self as records, Version};

const START: u64 = 1_790_000_000_000_000_000;

fn client() -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0, 1], "10.1.1.1", 40_000)
}

fn server(port: u16) -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0, 2], "192.0.2.80", port)
}

fn one(packets: &[Packet]) -> FlowRecord {
    let mut all = flows(packets);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// The flow of what a client and a server say.
fn tcp(port: u16, asked: &[u8], answered: &[u8]) -> FlowRecord {
    let mut talk = Conversation::new(client(), server(port), START, 1000);
    talk.open().send(From::Client, asked).send(From::Server, answered).close();
    one(&talk.packets())
}

/// The flow of datagrams of a client.
fn udp(port: u16, payloads: &[Vec<u8>]) -> FlowRecord {
    let send = |(n, payload): (u64, &Vec<u8>)| datagram(START + n * 1000, client(), server(port), &[], payload);
    one(&(0..).zip(payloads).map(send).collect::<Vec<_>>())
}

fn count(flow: &FlowRecord, field: &'static Field) -> usize {
    texts(flow, field).len()
}

fn is_limited(flow: &FlowRecord) -> bool {
    flow.facts.flags.has(Flag::LimitReached)
}

/// What an answer says beside header and question: (answers, bytes).
fn answer(count: u16, records: &[u8]) -> FlowRecord {
    let mut message = messages::dns_response(7, "n0.example", TYPE_A, &[]);
    message[6..8].copy_from_slice(&count.to_be_bytes());
    message.extend_from_slice(records);
    let (to, from) = (client(), server(53));
    let asks = datagram(START, to, from, &[], &messages::dns_query(7, "n0.example", TYPE_A));
    one(&[asks, datagram(START + 1000, from, to, &[], &message)])
}

fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16).to_be_bytes();
    [owner, &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 9], &length, data].concat()
}

/// Questions of a message: 64 are read.
#[test]
fn questions_of_a_dns_message() {
    let asked = |count: usize| {
        let mut message = messages::dns_query(7, "n0.example", TYPE_A);
        message[4..6].copy_from_slice(&(count as u16).to_be_bytes());
        for n in 1..count {
            message.extend(messages::dns_name(&format!("n{n}.example")));
            message.extend_from_slice(&[0, 1, 0, 1]);
        }
        udp(53, &[message])
    };
    let (at, beyond) = (asked(64), asked(65));
    assert_eq!((count(&at, &dns::QNAME), is_limited(&at)), (64, false));
    assert_eq!((count(&beyond, &dns::QNAME), is_limited(&beyond)), (64, true));
}

/// Aliases that are followed: seventeen names with the first.
#[test]
fn aliases_of_a_dns_answer() {
    let followed = |aliases: u16| {
        let mut records = record(&[0xc0, 12], TYPE_CNAME, &messages::dns_name("n1.example"));
        for n in 1..aliases {
            let [from, to] = [n, n + 1].map(|n| messages::dns_name(&format!("n{n}.example")));
            records.extend(record(&from, TYPE_CNAME, &to));
        }
        records.extend(record(&messages::dns_name(&format!("n{aliases}.example")), TYPE_A, &[192, 0, 2, 1]));
        answer(aliases + 1, &records).facts.of(&dns::RESOLVED).count()
    };
    assert_eq!((followed(1), followed(16), followed(17), followed(200)), (1, 1, 0, 0));
}

/// Pointers of a name: 32 are followed.
#[test]
fn pointers_of_a_dns_name() {
    let jumped = |jumps: u16| {
        // Header and question have 28 bytes; the data of the first record begin 12 behind them.
        let first = 28 + 12;
        let stairs: Vec<u8> = (0..jumps - 1)
            .flat_map(|n| (0xc000 | if n == 0 { 12 } else { first + 2 * (n - 1) }).to_be_bytes())
            .collect();
        let owner: u16 = 0xc000 | (first + 2 * (jumps - 2));
        let records =
            [record(&[0xc0, 12], 16, &stairs), record(&owner.to_be_bytes(), TYPE_A, &[192, 0, 2, 1])].concat();
        let flow = answer(2, &records);
        (flow.facts.of(&dns::RESOLVED).count(), flow.facts.flags.has(Flag::ParseError))
    };
    assert_eq!((jumped(2), jumped(32), jumped(33)), ((1, false), (1, false), (0, true)));
}

/// Protocols that an upgrade of HTTP names: eight are kept.
#[test]
fn upgrades_of_a_request() {
    let named = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("p{n}")).collect();
        let request = format!("GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: {}\r\n\r\n", names.join(", "));
        tcp(80, request.as_bytes(), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    };
    assert_eq!((count(&named(8), &http::UPGRADE), count(&named(9), &http::UPGRADE)), (8, 8));
}

/// Empty lines before a request: eight are stepped over.
#[test]
fn empty_lines_between_requests() {
    let found = |lines: usize| {
        let request = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let both = [request("a.example"), "\r\n".repeat(lines), request("b.example")].concat();
        count(&tcp(80, both.as_bytes(), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), &http::HOST)
    };
    assert_eq!((found(8), found(9)), (2, 1));
}

/// A client of HTTP/2 that sends these frames after its settings.
fn http2(frames: &[Vec<u8>]) -> FlowRecord {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    tcp(80, &[preface.to_vec(), frames.concat()].concat(), &[])
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes()[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
}

/// A literal header that is not kept in the table.
fn header(name: &str, value: &str) -> Vec<u8> {
    [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

/// Headers split over frames: so many, and so many bytes.
#[test]
fn frames_and_bytes_of_a_header_block() {
    let named = |frames: usize, bytes: usize| {
        let agent = header("user-agent", "probe/1");
        let filler = header("x", &"y".repeat(bytes.min(100)));
        let mut all = vec![frame(1, 0, &agent)];
        all.extend(
            (0..frames).map(|n| frame(9, if n + 1 == frames { 4 } else { 0 }, &filler.repeat(bytes.div_ceil(100)))),
        );
        let flow = http2(&all);
        (count(&flow, &http::USER_AGENT), is_limited(&flow))
    };
    assert_eq!(named(http2::BLOCK_FRAMES_MAX - 1, 0), (1, false));
    assert_eq!(named(http2::BLOCK_FRAMES_MAX + 1, 0), (0, true));
    assert_eq!(named(2, http2::BLOCK_BYTES_MAX / 4), (1, false));
    assert_eq!(named(2, http2::BLOCK_BYTES_MAX), (0, true));
}

/// The table of headers: 65,536 bytes are allowed to it, no more.
#[test]
fn bytes_of_the_table_of_headers() {
    // RFC 7541, 6.3: a new size, 31 and the rest in groups of seven bits.
    let resized = |bytes: usize| {
        let rest = bytes - 31;
        let size = [0x3f, rest as u8 | 0x80, (rest >> 7) as u8 | 0x80, (rest >> 14) as u8];
        let block = [&size[..], &header("user-agent", "probe/1")].concat();
        count(&http2(&[frame(1, 4, &block)]), &http::USER_AGENT)
    };
    assert_eq!((resized(65_536), resized(65_537)), (1, 0));
}

/// Names of ALPN: 32 are kept.
#[test]
fn protocols_of_alpn() {
    let offered = |count: usize| {
        let names: Vec<u8> = (0..count).flat_map(|n| [3, b'a', b'0' + (n / 10) as u8, b'0' + (n % 10) as u8]).collect();
        let list = [&(names.len() as u16).to_be_bytes()[..], &names].concat();
        let extension = [&[0, 16][..], &(list.len() as u16).to_be_bytes(), &list].concat();
        let mut hello = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0xc0, 0x2f, 1, 0]].concat();
        hello.extend_from_slice(&(extension.len() as u16).to_be_bytes());
        hello.extend_from_slice(&extension);
        tcp(443, &records::record(records::HANDSHAKE, 0x0301, &records::handshake(1, &hello)), &[])
    };
    let (at, beyond) = (offered(32), offered(33));
    assert_eq!((count(&at, &tls::ALPN), is_limited(&at)), (32, false));
    assert_eq!((count(&beyond, &tls::ALPN), is_limited(&beyond)), (32, true));
}

/// Certificates of a chain: sixteen are read.
#[test]
fn certificates_of_a_chain() {
    let shown = |count: usize| {
        let certificate = |n: usize| {
            let name = format!("n{n}.example");
            let (subject, seed) = ([Part::CommonName(&name)], n as u64);
            der::certificate(der::Certificate { subject: &subject, issuer: &subject, names: &[], seed })
        };
        let chain: Vec<Vec<u8>> = (0..count).map(certificate).collect();
        let answered = [records::server_hello(Version::Tls12), records::certificate(&chain)].concat();
        tcp(443, &records::client_hello(Version::Tls12, Some("a.example")), &answered)
    };
    let (at, beyond) = (shown(16), shown(17));
    assert_eq!((count(&at, &tls::X509_SUBJECT), is_limited(&at)), (16, false));
    assert_eq!((count(&beyond, &tls::X509_SUBJECT), is_limited(&beyond)), (16, true));
}

/// Lines of a protocol of lines: one that is longer ends the reading.
#[test]
fn bytes_of_a_line() {
    let read = |bytes: usize| {
        let long = format!("220-{}\r\n220 mail.example ESMTP\r\n", "x".repeat(bytes));
        is_limited(&tcp(25, b"EHLO client.example\r\n", long.as_bytes()))
    };
    assert_eq!((read(lines::LINE_BYTES_MAX - 100), read(lines::LINE_BYTES_MAX)), (false, true));
}

/// Datagrams that nobody knows: after eight of them a flow is not read any more.
#[test]
fn datagrams_that_nobody_knows() {
    let found = |before: usize| {
        let mut payloads = vec![vec![0xee; 30]; before];
        payloads.push(messages::dns_query(7, "n0.example", TYPE_A));
        count(&udp(5300, &payloads), &dns::QNAME)
    };
    assert_eq!((found(0), found(7), found(8)), (1, 1, 0));
}

/// Segments that nobody knows: a beginning in the middle is looked for up to packet 64 of a flow.
#[test]
fn packets_before_a_late_beginning() {
    let found = |before: usize| {
        let mut talk = Conversation::new(client(), server(443), START, 1000);
        talk.open();
        for _ in 0..before {
            talk.send(From::Client, &[0xee; 30]).send(From::Server, &[0xdd; 30]);
        }
        talk.send(From::Client, &records::client_hello(Version::Tls13, Some("a.example"))).close();
        count(&one(&talk.packets()), &tls::SNI)
    };
    assert_eq!((found(2), found(64)), (1, 0));
}

/// Sixteen extension headers of IPv6 are walked over, and sixteen labels of MPLS.
#[test]
fn headers_around_a_packet() {
    let question = messages::dns_query(7, "n0.example", TYPE_A);
    let [from, to] = ["2001:db8::1", "2001:db8::2"].map(|address| Endpoint::new([2, 0, 0, 0, 0, 1], address, 53));
    let chained = |count: usize| {
        let datagram = packets::udp(from.address, to.address, &question);
        let next = |n: usize| if n + 1 == count { 17 } else { 60 };
        let headers: Vec<u8> = (0..count).flat_map(|n| [next(n), 0, 1, 4, 0, 0, 0, 0]).collect();
        let frame = packets::frame(from, to, &[], 60, 0, &[headers, datagram].concat());
        flows(&[Packet::new(START, frame)]).len()
    };
    assert_eq!((chained(1), chained(15), chained(17)), (1, 1, 0));
    let labelled = |count: usize| {
        let datagram = packets::udp(client().address, server(53).address, &question);
        let ip = packets::ip(client().address.ip(), server(53).address.ip(), 17, 1, &datagram);
        let labels: Vec<u8> = (0..count).flat_map(|n| [0, 1, u8::from(n + 1 == count), 64]).collect();
        let frame = packets::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], &[], 0x8847, &[labels, ip].concat());
        flows(&[Packet::new(START, frame)]).len()
    };
    assert_eq!((labelled(1), labelled(16), labelled(17)), (1, 1, 0));
}

/// An option of DHCP in many parts (RFC 3396): one of 1,024 bytes is left out, and it is said.
#[test]
fn bytes_of_a_dhcp_option() {
    let told = |parts: usize| {
        let mut message = vec![0; 236];
        message[..3].copy_from_slice(&[1, 1, 6]);
        message[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        message.extend_from_slice(&[99, 130, 83, 99, 53, 1, 1]);
        for _ in 0..parts {
            message.extend([&[60, 250][..], &[b'v'; 250]].concat());
        }
        message.push(255);
        let flow = one(&[datagram(
            START,
            Endpoint::new([2, 0, 0, 0, 0, 1], "0.0.0.0", 68),
            Endpoint::new([0xff; 6], "255.255.255.255", 67),
            &[],
            &message,
        )]);
        (count(&flow, &dhcp::VENDOR_CLASS), is_limited(&flow))
    };
    assert_eq!((told(1), told(4)), ((1, false), (1, false)));
    assert_eq!(told(5), (0, true), "{} bytes are no option of 1024", 5 * 250);
}

/// How many values of a field a frame without IP says, and whether a limit was reached.
fn framed(frame: Vec<u8>, field: &'static Field) -> (usize, bool) {
    let scan = Scan { keep_flows: true, ..Scan::builtin().unwrap() };
    let image = Arc::new(pcap(true, &[Packet::new(START, frame)]));
    let flows = scan.run(&mut Replay::new(vec![("image".into(), image)], 1), &[], &|_, _| {}).flows;
    let mut written = Vec::new();
    flows.write(&mut written).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&written).unwrap();
    let facts = record["bordertap"]["facts"].as_array().unwrap();
    let count = facts.iter().filter(|fact| fact["field"] == field.name).count();
    (count, record["bordertap"]["flags"].as_array().unwrap().contains(&"limit-reached".into()))
}

/// Addresses of CDP: 32 are read.
#[test]
fn addresses_of_cdp() {
    let told = |count: u32| {
        let address = |n: u32| [1, 1, 0xcc, 0, 4, 10, 9, (n >> 8) as u8, n as u8];
        let value = [&count.to_be_bytes()[..], &(0..count).flat_map(address).collect::<Vec<u8>>()].concat();
        let element = |kind: u16, value: &[u8]| {
            [&kind.to_be_bytes()[..], &(value.len() as u16 + 4).to_be_bytes(), value].concat()
        };
        let mut packet = [&[2, 180, 0, 0][..], &element(1, b"switch"), &element(2, &value)].concat();
        let sum = packets::checksum(&[&packet]);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        let payload = [&[0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0][..], &packet].concat();
        let frame =
            packets::ethernet([2, 0, 0, 0, 0, 1], [1, 0, 0x0c, 0xcc, 0xcc, 0xcc], &[], payload.len() as u16, &payload);
        framed(frame, &cdp::ADDRESS)
    };
    assert_eq!((told(2), told(32), told(33)), ((2, false), (32, false), (32, true)));
}

/// A syslog message is looked at up to a length, and names of its parameters up to a count: its shape stays short.
#[test]
fn parameters_of_syslog() {
    let shape = |count: usize| {
        let pairs: String = (0..count).map(|n| format!(" k{n}=\"v\"")).collect();
        let message = format!("<134>1 2026-11-20T00:00:00Z gate app 1 id [x@1{pairs}] text");
        let flow = udp(514, &[message.into_bytes()]);
        texts(&flow, &syslog::FORMAT).concat()
    };
    assert!(shape(8).contains("k7=") && !shape(9).contains("k8="), "{}", shape(9));
    assert_eq!(shape(8).len(), shape(60).len(), "no more names than eight");
    assert!(shape(syslog::LOOK_BYTES_MAX).len() < VALUE_BYTES_MAX);
}

/// Hellos that contradict each other at the same place: the first counts, the last is told, and no more than a few of those
/// between are kept.
#[test]
fn readings_of_a_side() {
    let sent = |copies: usize| {
        let hello = |n: usize| records::client_hello(Version::Tls13, Some(&format!("n{n:02}.example")));
        let mut pieces: Vec<Piece> =
            (0..copies).map(|n| Piece { offset: 0, bytes: hello(n)[..300].to_vec() }).collect();
        pieces.push(Piece { offset: 300, bytes: hello(0)[300..].to_vec() });
        let mut talk = Conversation::new(client(), server(443), START, 1000);
        talk.open().send_pieces(From::Client, &pieces).close();
        let flow = one(&talk.packets());
        assert_eq!(flow.facts.flags.has(Flag::OverlapConflict), copies > 1);
        texts(&flow, &tls::SNI)
    };
    assert_eq!(sent(1), ["n00.example"]);
    let many = sent(12);
    assert!(many.contains(&"n00.example".to_owned()) && many.len() > 1, "{many:?}");
    assert!(many.len() <= 1 + OTHERS_MAX, "{many:?}");
}

/// Packets of QUIC in one datagram: eight are looked at.
#[test]
fn packets_in_a_datagram_of_quic() {
    const TO: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
    let hello = handshake_bytes(&records::client_hello(Version::Tls13, Some("a.example")));
    let found = |before: usize| {
        // A Handshake packet of 32 bytes (RFC 9000, section 17.2.4).
        let other = [&[0xe5, 0, 0, 0, 1, 8][..], &TO, &[0, 0x40, 0x20], &[0xaa; 32]].concat();
        let all = [other.repeat(before), Initial::to(&TO, 0).datagram(&crypto(0, &hello))].concat();
        count(&udp(443, &[all]), &quic::SNI)
    };
    assert_eq!((found(1), found(7), found(8)), (1, 1, 0));
}

/// A packet of SSH: one of 35,000 bytes is passed over, a longer one is none.
#[test]
fn bytes_of_a_packet_of_ssh() {
    let lists: Vec<u8> = (0..10).flat_map(|_| [0, 0, 0, 1, b'a']).collect();
    let offer = [&[20][..], &[7; 16], &lists, &[0; 5]].concat();
    let packet = |payload: &[u8]| [&(payload.len() as u32 + 5).to_be_bytes()[..], &[4], payload, &[0; 4]].concat();
    let found = |bytes: usize| {
        let ignored = [&[2][..], &vec![0; bytes - 6]].concat();
        let sent = [b"SSH-2.0-x\r\n".to_vec(), packet(&ignored), packet(&offer)].concat();
        count(&tcp(22, &sent, b"SSH-2.0-y\r\n"), &ssh::HASSH)
    };
    assert_eq!((found(100), found(35_000), found(35_001)), (1, 1, 0));
}

/// A template of NetFlow: one whose text is longer than 1,024 bytes is left out, and it is said.
#[test]
fn bytes_of_a_template_of_netflow() {
    let told = |fields: u16| {
        let list: Vec<u8> = (0..fields).flat_map(|n| [[0, 1 + (n % 80) as u8], [0, 4]].concat()).collect();
        let template = [&[1, 0][..], &fields.to_be_bytes(), &list].concat();
        let set = [&[0, 0][..], &(template.len() as u16 + 4).to_be_bytes(), &template].concat();
        let header = [0, 9, 0, 1, 0, 0, 0, 1, 0x6a, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
        let flow = udp(2055, &[[&header[..], &set].concat()]);
        (count(&flow, &netflow::TEMPLATE), is_limited(&flow))
    };
    assert_eq!((told(20), told(netflow::TEMPLATE_BYTES_MAX as u16 / 3)), ((1, false), (0, true)));
}

/// Source routes of GRE (RFC 1701): sixteen are stepped over.
#[test]
fn routes_of_gre() {
    let question = messages::dns_query(7, "n0.example", TYPE_A);
    let found = |routes: usize| {
        let datagram = packets::udp(client().address, server(53).address, &question);
        let inner = packets::ip(client().address.ip(), server(53).address.ip(), 17, 1, &datagram);
        let route = [8, 0, 0, 4, 192, 0, 2, 1].repeat(routes);
        let gre = [&[0x40, 0, 8, 0, 0, 0, 0, 0][..], &route, &[0; 4], &inner].concat();
        let [from, to] = ["198.51.100.1", "198.51.100.2"].map(|ip| Endpoint::new([2, 0, 0, 0, 0, 3], ip, 0));
        let all = flows(&[Packet::new(START, packets::frame(from, to, &[], 47, 1, &gre))]);
        all.iter().map(|flow| count(flow, &dns::QNAME)).sum::<usize>()
    };
    assert_eq!((found(0), found(15), found(17)), (1, 1, 0));
}

/// Lines of a greeting: eight are kept.
#[test]
fn lines_of_a_greeting() {
    let greeting: String =
        (0..12).map(|n| format!("220-{n} mail.example ESMTP\r\n")).collect::<String>() + "220 end ESMTP\r\n";
    let mail = tcp(25, b"EHLO a.example\r\n", greeting.as_bytes());
    assert_eq!(count(&mail, &smtp::BANNER), 8, "{:?}", texts(&mail, &smtp::BANNER));
    let greeting = greeting.replace(" mail.example ESMTP", " FTP server ready").replace(" ESMTP", "");
    let files = tcp(21, b"USER a\r\n", greeting.as_bytes());
    assert_eq!(count(&files, &ftp::BANNER), 8, "{:?}", texts(&files, &ftp::BANNER));
}

/// Elements of structured data, and parameters of one: what has more is not taken for such.
#[test]
fn elements_of_syslog() {
    let shape = |elements: usize, parameters: usize| {
        let pairs: String = (0..parameters).map(|n| format!(" k{n}=\"v\"")).collect();
        let message =
            format!("<134>1 2026-11-20T00:00:00Z gate app 1 id {} text", format!("[x@1{pairs}]").repeat(elements));
        texts(&udp(514, &[message.into_bytes()]), &syslog::FORMAT).concat().matches("[x@1").count()
    };
    assert_eq!((shape(1, 1), shape(4, 1)), (1, 4));
    assert!(shape(5, 1) <= 4, "{}", shape(5, 1));
    assert_eq!((shape(1, 63), shape(1, 64)), (1, 0));
}

/// Flows in which the same is said for days: so many datagrams are read, and of more the flow says that they were not.
#[test]
fn datagrams_of_flows_that_repeat_themselves() {
    let repeated = [
        (capwap::PROTOCOL.name, capwap::DATAGRAMS_MAX),
        (ccp::PROTOCOL.name, ccp::DATAGRAMS_MAX),
        (fgcp::PROTOCOL.name, fgcp::FRAMES_MAX),
        (fortilink::PROTOCOL.name, fortilink::FRAMES_MAX),
        (fsso::PROTOCOL.name, fsso::DATAGRAMS_MAX),
        (pan_heartbeat::PROTOCOL.name, pan_heartbeat::FRAMES_MAX),
    ];
    let samples = samples();
    for (protocol, most) in repeated {
        let sample = samples[protocol].iter().find(|sample| sample.transport != Transport::Tcp).unwrap();
        let first = &sample.pieces[0];
        let damaged = sample::Piece { bytes: vec![0xee; first.bytes.len()], ..first.clone() };
        let read = |good: u32| {
            let mut pieces = vec![first.clone(); good as usize];
            pieces.push(damaged.clone());
            let flows = sample.run(&pieces, [false; 2]);
            let [flow] = flows.as_slice() else { panic!("{} flows", flows.len()) };
            assert!(!flow.facts.is_empty() && flow.protocol == Some(protocol));
            (flow.facts.flags.has(Flag::ParseError), is_limited(flow))
        };
        assert_eq!((read(most - 1), read(most)), ((true, false), (false, true)), "{protocol}");
    }
}

/// Segments of a side without a SYN that nobody knows: an earlier one may still come, up to a number.
#[test]
fn segments_before_an_earlier_one() {
    let found = |before: usize| {
        let hello = records::client_hello(Version::Tls13, Some("a.example"));
        let mut talk = Conversation::new(client(), server(443), START, 1000);
        for n in 0..before {
            talk.put_raw(From::Client, START + n as u64, (hello.len() + 30 * n) as i32, packets::ACK, &[0xee; 30]);
        }
        // The back of it first: who begins to read with the front does not have it.
        let (front, back) = hello.split_at(60);
        talk.put_raw(From::Client, START + 1000, 60, packets::ACK, back);
        talk.put_raw(From::Client, START + 1001, 0, packets::ACK, front);
        count(&one(&talk.packets()), &tls::SNI)
    };
    assert_eq!((found(1), found(6), found(8)), (1, 1, 0));
}

/// Urgent bytes of a side that are left out of its other reading: four; of more it is said.
#[test]
fn urgent_bytes_of_a_side() {
    let sent = |urgent: u16| {
        let hello = records::client_hello(Version::Tls13, Some("a.example"));
        // In the random of the hello, where any byte may stand.
        let mut all = Vec::new();
        for n in 0..urgent {
            let from = 12 + 2 * usize::from(n);
            let header = packets::Tcp {
                sequence: 1000 + from as u32,
                flags: packets::ACK,
                window: 9000,
                urgent: 1,
                ..packets::Tcp::default()
            };
            let segment = packets::tcp(client().address, server(443).address, header, &hello[from..from + 2]);
            all.push(Packet::new(
                START + 2000 + u64::from(n),
                packets::frame(client(), server(443), &[], 6, n, &segment),
            ));
        }
        let syn = packets::Tcp { sequence: 999, flags: packets::SYN, window: 9000, ..packets::Tcp::default() };
        let syn = packets::tcp(client().address, server(443).address, syn, &[]);
        all.insert(0, Packet::new(START, packets::frame(client(), server(443), &[], 6, 77, &syn)));
        let flow = one(&all);
        (flow.facts.flags.has(Flag::Urgent), is_limited(&flow))
    };
    assert_eq!((sent(0), sent(1), sent(4), sent(5)), ((false, false), (true, false), (true, false), (true, true)));
}

/// Fields are told apart by number; all that there are have one.
#[test]
fn fields_of_all_protocols() {
    let all = bordertap::parse::fields().count() + bordertap::parse::INTERNAL_FIELDS.len();
    assert!(all > 100 && all <= FIELDS_MAX, "{all}");
}

/// Names of a certificate that is for others than the hello asked for: four are kept.
#[test]
fn names_of_another_certificate() {
    let shown = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("n{n}.other.example")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let subject = [Part::CommonName("n0.other.example")];
        let certificate =
            der::certificate(der::Certificate { subject: &subject, issuer: &subject, names: &names, seed: 1 });
        let mut talk = Conversation::new(client(), server(443), START, 1000);
        talk.open().send(From::Client, &records::client_hello(Version::Tls12, Some("usguardservice.fortinet.net")));
        let answered = [records::server_hello(Version::Tls12), records::certificate(&[certificate])].concat();
        talk.send(From::Server, &answered).close();
        let image = Arc::new(pcap(true, &talk.packets()));
        let report =
            Scan::builtin().unwrap().run(&mut Replay::new(vec![("image".into(), image)], 1), &[], &|_, _| {}).report;
        let told: Vec<_> = report.findings.iter().filter_map(|finding| finding.mismatch.as_ref()).collect();
        let [mismatch] = told.as_slice() else { panic!("{}", told.len()) };
        mismatch.certificate.len()
    };
    assert_eq!((shown(1), shown(4), shown(5)), (1, 4, 4));
}
