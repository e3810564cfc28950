//! Twice the input costs twice the work: inputs that tempt to compare everything with everything.
//!
//! In: captures made twice, of one size and of double that size. Out: instructions of `scan -j1 --findings` as valgrind
//! counts them, start-up taken off; a busy machine does not matter. Without valgrind this says `NOT RUN` on standard error,
//! and fails with `BORDERTAP_VALGRIND=must`.

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::common::capture::pcap;
use crate::common::conversation::{Conversation, From};
use crate::common::der::{self, Part};
use crate::common::hellos::{backwards, cut_bytewise};
use crate::common::messages::{self, Answer, TYPE_A};
use crate::common::packets::{self, ETHERTYPE_IPV4, Endpoint, PROTOCOL_UDP, Packet, datagram};
use crate::common::sensors::START;
use crate::common::tls::{self, Version};

/// Twice the input may cost so many times the work: what is more is not linear.
const RATIO_MAX: f64 = 2.3;
/// Work that is less than that part of start-up is lost in its noise, and says nothing.
const WORK_PART_MIN: f64 = 0.02;
/// Valgrinds at a time.
const TOGETHER: usize = 2;

/// One flow or exchange of this size; flows of one capture are numbered.
type Make = fn(size: usize, flow: usize) -> Vec<Packet>;

/// Name, size, flows in a capture, how one is made. Sizes are below half of the limits that would cut the work short.
const INPUTS: &[(&str, usize, usize, Make)] = &[
    ("names behind compression pointers", 500, 1, compressed_names),
    ("alternative names", 1_500, 20, alternative_names),
    ("deep ASN.1", 2_000, 100, deep),
    ("extensions of a hello", 1_800, 8, extensions),
    ("empty records before a hello", 3_000, 30, empty_records),
    ("one-byte segments backwards", 250, 36, bytes_backwards),
    ("fragments backwards", 60, 120, fragments),
    ("cookies in small segments", 12_000, 24, cookies),
    ("headers of HTTP/2", 1_000, 24, headers),
    ("continuations of HTTP/2", 30, 60, continuations),
    ("keys of syslog", 90, 200, syslog_keys),
    ("names of one address", 800, 1, names_of_an_address),
    ("addresses of one name", 500, 1, addresses_of_a_name),
    ("DNS over TCP in small segments", 30_000, 8, long_dns),
    ("DNS over TCP on another port", 30_000, 8, long_dns_elsewhere),
];

fn client(flow: usize) -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0, 1], "10.1.1.1", 20_000 + flow as u16)
}

fn server(port: u16) -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0, 2], "192.0.2.80", port)
}

fn time(flow: usize) -> u64 {
    START + flow as u64 * 100_000_000
}

fn talk(flow: usize, port: u16) -> Conversation {
    let mut talk = Conversation::new(client(flow), server(port), time(flow), 1000);
    talk.open();
    talk
}

/// What a client says to a port.
fn said(flow: usize, port: u16, mss: usize, bytes: &[u8]) -> Vec<Packet> {
    let mut talk = talk(flow, port).with_mss(mss);
    talk.send(From::Client, bytes);
    talk.packets()
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

/// Each name is a label and a pointer to the one before: as many jumps as a reader allows.
fn compressed_names(size: usize, flow: usize) -> Vec<Packet> {
    let mut message = messages::dns_response(1, "www.example.com", TYPE_A, &[]);
    let mut before = 12u16;
    for n in 0..size {
        let here = message.len() as u16;
        message.extend_from_slice(b"\x01a");
        message.extend_from_slice(&(0xc000 | before).to_be_bytes());
        message.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 203, 1, (n >> 8) as u8, n as u8]);
        // Pointers have 14 bits, and a reader follows some thirty of them.
        before = if n % 30 == 0 || here >= 1 << 14 { 12 } else { here };
    }
    message[6..8].copy_from_slice(&(size as u16).to_be_bytes());
    let mut talk = talk(flow, 53);
    talk.send(From::Client, &framed(&messages::dns_query(1, "www.example.com", TYPE_A)));
    talk.send(From::Server, &framed(&message));
    talk.packets()
}

fn with_certificate(flow: usize, certificate: Vec<u8>) -> Vec<Packet> {
    let mut talk = talk(flow, 443);
    talk.send(From::Client, &tls::client_hello(Version::Tls12, Some("www.example.com")));
    talk.send(From::Server, &tls::server_hello(Version::Tls12));
    for part in tls::certificate_message(&[certificate]).chunks(16_000) {
        talk.send(From::Server, &tls::record(tls::HANDSHAKE, tls::VERSION_TLS12, part));
    }
    talk.packets()
}

fn alternative_names(size: usize, flow: usize) -> Vec<Packet> {
    let names: Vec<String> = (0..size).map(|n| format!("n{n:05}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let parts = [Part::CommonName("www.example.com")];
    with_certificate(
        flow,
        der::certificate(der::Certificate { subject: &parts, issuer: &parts, names: &names, seed: 1 }),
    )
}

/// Sequences within sequences where an alternative name is a directory name.
fn deep(size: usize, flow: usize) -> Vec<Packet> {
    let filler = "y".repeat(4 * size);
    let parts = [Part::CommonName("www.example.com")];
    let names = [filler.as_str()];
    let mut certificate =
        der::certificate(der::Certificate { subject: &parts, issuer: &parts, names: &names, seed: 1 });
    let at = certificate.windows(4).position(|window| window == b"yyyy").unwrap();
    for n in 0..size {
        let inner = 4 * (size - n - 1);
        certificate[at + 4 * n..at + 4 * n + 4].copy_from_slice(&[0x30, 0x82, (inner >> 8) as u8, inner as u8]);
    }
    // Tag [4] before the length of three bytes: a name in it.
    certificate[at - 4] = 0xa4;
    with_certificate(flow, certificate)
}

/// A hello with many extensions that nobody knows.
fn extensions(size: usize, flow: usize) -> Vec<Packet> {
    let mut hello = tls::client_hello(Version::Tls12, Some("www.example.com"));
    let more: Vec<u8> = (0..size).flat_map(|n| [0x40 | (n >> 8) as u8, n as u8, 0, 0]).collect();
    // Cipher suites and compression methods stand behind version, random and session id.
    let mut at = 9 + 34;
    at += 1 + usize::from(hello[at]);
    at += 2 + usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
    at += 1 + usize::from(hello[at]);
    for place in [3, 7, at] {
        let length = u16::from_be_bytes([hello[place], hello[place + 1]]) + more.len() as u16;
        hello[place..place + 2].copy_from_slice(&length.to_be_bytes());
    }
    hello.extend_from_slice(&more);
    said(flow, 443, 1460, &hello)
}

fn empty_records(size: usize, flow: usize) -> Vec<Packet> {
    let empty = tls::record(tls::HANDSHAKE, tls::VERSION_TLS12, &[]).repeat(size);
    let hello = tls::client_hello(Version::Tls13, Some("www.example.com"));
    said(flow, 443, 100, &[empty, hello].concat())
}

fn bytes_backwards(size: usize, flow: usize) -> Vec<Packet> {
    let hello = tls::client_hello(Version::Tls13, Some("www.example.com"));
    assert!(hello.len() >= 2 * 250);
    let mut talk = talk(flow, 443);
    talk.send_pieces(From::Client, &backwards(cut_bytewise(&hello[..size])));
    talk.packets()
}

fn fragments(size: usize, flow: usize) -> Vec<Packet> {
    let query = messages::dns_query(1, "www.example.com", TYPE_A);
    let payload = [query.clone(), vec![0; 8 * size - 8 - query.len()]].concat();
    let (from, to) = (client(flow), server(53));
    let whole = packets::udp(from.address, to.address, &payload);
    let mut all: Vec<Packet> = Vec::new();
    for (n, piece) in whole.chunks(8).enumerate().rev() {
        let mut packet = packets::ip(from.address.ip(), to.address.ip(), PROTOCOL_UDP, flow as u16, piece);
        let more = if n + 1 == size { 0 } else { 0x2000 };
        packet[6..8].copy_from_slice(&(more | n as u16).to_be_bytes());
        packet[10..12].copy_from_slice(&[0, 0]);
        let sum = packets::checksum(&[&packet[..20]]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        let frame = packets::ethernet(from.mac, to.mac, &[], ETHERTYPE_IPV4, &packet);
        all.push(Packet::new(time(flow) + all.len() as u64, frame));
    }
    all
}

fn cookies(size: usize, flow: usize) -> Vec<Packet> {
    let mut request = "GET / HTTP/1.1\r\nHost: www.example.com\r\n".to_owned();
    while request.len() < size {
        request += &format!("Cookie: n{}={}\r\n", request.len(), "v".repeat(80));
    }
    said(flow, 80, 40, (request + "\r\n").as_bytes())
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A frame of HTTP/2 on the first stream (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes()[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
}

/// A header that is written out and enters the table of the connection (RFC 7541, section 6.2.1).
fn header(n: usize) -> Vec<u8> {
    let name = format!("x{n:06}");
    [&[0x40, name.len() as u8], name.as_bytes(), &[5], b"value"].concat()
}

fn headers(size: usize, flow: usize) -> Vec<Packet> {
    let block: Vec<u8> = (0..size).flat_map(header).collect();
    said(flow, 80, 200, &[PREFACE, &frame(1, 4, &block)].concat())
}

fn continuations(size: usize, flow: usize) -> Vec<Packet> {
    let mut bytes = [PREFACE, &frame(1, 0, &header(0))].concat();
    for n in 1..size {
        let block: Vec<u8> = (0..15).flat_map(|k| header(n * 15 + k)).collect();
        bytes.extend(frame(9, if n + 1 == size { 4 } else { 0 }, &block));
    }
    said(flow, 80, 200, &bytes)
}

fn syslog_keys(size: usize, flow: usize) -> Vec<Packet> {
    let pairs: Vec<String> = (0..size).map(|n| format!("key{n:03}=v")).collect();
    let message = format!("<134>Nov 20 00:00:00 gate {}", pairs.join(" "));
    vec![datagram(time(flow), client(flow), server(514), &[], message.as_bytes())]
}

/// A name and its address are told to a client, which goes there.
fn told(n: usize, name: &str, address: Ipv4Addr) -> Vec<Packet> {
    let (asks, resolver, start) = (client(n), Endpoint::new([2, 0, 0, 0, 0, 9], "10.1.1.53", 53), time(n));
    let answer = messages::dns_response(n as u16, name, TYPE_A, &[Answer::Address(name, address.into())]);
    let mut packets = vec![
        datagram(start, asks, resolver, &[], &messages::dns_query(n as u16, name, TYPE_A)),
        datagram(start + 1000, resolver, asks, &[], &answer),
    ];
    let host = Endpoint::new([2, 0, 0, 0, 0, 2], &address.to_string(), 443);
    let mut goes = Conversation::new(client(30_000 + n), host, start + 2000, 1000);
    goes.open().send(From::Client, &[7; 40]);
    packets.extend(goes.packets());
    packets
}

fn names_of_an_address(size: usize, _: usize) -> Vec<Packet> {
    (0..size).flat_map(|n| told(n, &format!("n{n}.example.com"), Ipv4Addr::new(192, 0, 2, 80))).collect()
}

fn addresses_of_a_name(size: usize, _: usize) -> Vec<Packet> {
    (0..size).flat_map(|n| told(n, "update.fortinet.net", Ipv4Addr::new(173, 243, (n >> 8) as u8, n as u8))).collect()
}

/// One answer of so many bytes: texts, so that no limit on addresses cuts the work short.
fn long_answer(size: usize) -> Vec<u8> {
    const TXT: [u8; 12] = [0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 1, 0, 201];
    let mut message = messages::dns_response(1, "www.example.com", TYPE_A, &[]);
    let mut count = 0u16;
    while message.len() + 213 <= size {
        message.extend_from_slice(&TXT);
        message.push(200);
        message.extend_from_slice(&[b'x'; 200]);
        count += 1;
    }
    message[6..8].copy_from_slice(&count.to_be_bytes());
    framed(&message)
}

fn answered_at(port: u16, size: usize, flow: usize) -> Vec<Packet> {
    let mut talk = talk(flow, port).with_mss(60);
    talk.send(From::Client, &framed(&messages::dns_query(1, "www.example.com", TYPE_A)));
    talk.send(From::Server, &long_answer(size));
    talk.packets()
}

fn long_dns(size: usize, flow: usize) -> Vec<Packet> {
    answered_at(53, size, flow)
}

fn long_dns_elsewhere(size: usize, flow: usize) -> Vec<Packet> {
    answered_at(5300, size, flow)
}

/// Instructions of a scan of this capture.
fn instructions(capture: &Path) -> u64 {
    let mut command = Command::new("valgrind");
    command.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    command.arg(env!("CARGO_BIN_EXE_bordertap")).args(["scan", "-j1", "-q", "--findings", "/dev/null"]).arg(capture);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {said}", capture.display());
    let line = said.lines().find(|line| line.contains("refs:")).unwrap_or_else(|| panic!("no count: {said}"));
    line.rsplit(' ').next().unwrap().replace(',', "").parse().unwrap()
}

/// Does jobs some at a time.
fn some_at_a_time<T: Sync, R: Send>(jobs: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, done) = (Mutex::new(0..jobs.len()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..TOGETHER {
            scope.spawn(|| {
                loop {
                    let Some(n) = next.lock().unwrap().next() else { return };
                    let result = work(&jobs[n]);
                    done.lock().unwrap().push((n, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(n, _)| *n);
    done.into_iter().map(|(_, result)| result).collect()
}

#[test]
fn twice_the_input_costs_twice_the_work() {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        // Past the harness, which keeps what a test prints to itself.
        let mut say = std::io::stderr();
        writeln!(say, "\nNOT RUN: that twice the input costs twice the work: there is no valgrind to count with\n")
            .unwrap();
        assert!(std::env::var_os("BORDERTAP_VALGRIND").is_none_or(|v| v != "must"), "no valgrind");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, packets: &[Packet]| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, pcap(true, packets)).unwrap();
        path
    };
    let mut captures = vec![write("start-up", &talk(0, 443).packets())];
    for (number, (_, size, flows, make)) in INPUTS.iter().enumerate() {
        for times in [1, 2] {
            let packets: Vec<Packet> = (0..*flows).flat_map(|flow| make(size * times, flow)).collect();
            captures.push(write(&format!("{number}-{times}"), &packets));
        }
    }
    let counted = some_at_a_time(&captures, |capture| instructions(capture));
    let (start, work) = counted.split_first().unwrap();
    let mut wrong = Vec::new();
    for ((name, size, ..), pair) in INPUTS.iter().zip(work.chunks(2)) {
        let [once, twice] = [pair[0], pair[1]].map(|count| count.saturating_sub(*start) as f64);
        let line = format!("{name}: {once:.3e} for {size}, {twice:.3e} for twice that: {:.2} times", twice / once);
        println!("{line}");
        if once < WORK_PART_MIN * *start as f64 {
            wrong.push(format!("{line}; too little beside a start-up of {start}"));
        } else if twice > RATIO_MAX * once {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
