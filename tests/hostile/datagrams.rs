//! QUIC and DTLS that are fragmented, reordered, unknown or too many.

use std::sync::Arc;

use bordertap::capture::{Block, Bytes, Damage, LinkType, Packet as Captured, Replay, Source};
use bordertap::fact::{Field, Flag, Side};
use bordertap::parse;
use bordertap::record::FlowRecord;
use bordertap::run::{self, Settings};
use bordertap::stream::PREFIX_BYTES_MAX;
use bordertap::time::Time;
use bordertap::worker::{FLOWS_PER_SHARE_MAX, Gather, Judged, Told};
use serde_json::Value;

use super::check::{self, Read};
use super::common::capture::pcap;
use super::common::conversation::{Conversation, From};
use super::common::hellos::handshake_bytes;
use super::common::packets::{Endpoint, Packet, datagram};
use super::common::pipeline::texts;
use super::common::quic::{DRAFT_29, GREASE, Initial, Sender, VERSION_1, VERSION_2, crypto};
use super::common::random::Random;
use super::common::tls::{self, Version};

const START_NS: u64 = 1_793_606_400_000_000_000;
const GAP_NS: u64 = 1_000_000;
const NAME: &str = "cdn.vendor.example";
/// A connection id of a client's choice.
const TO: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
const PING: u8 = 0x01;
const PADDING: u8 = 0x00;

fn client(port: u16) -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0, 1], "10.20.0.1", port)
}

fn server(port: u16) -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0, 2], "203.0.113.9", port)
}

/// A flow of datagrams, each of the client (true) or the server.
fn flow_of(source: u16, port: u16, datagrams: &[(bool, Vec<u8>)]) -> Vec<Packet> {
    let ends = [client(source), server(port)];
    let packet = |(n, (from_client, bytes)): (usize, &(bool, Vec<u8>))| {
        let [from, to] = if *from_client { ends } else { [ends[1], ends[0]] };
        datagram(START_NS + n as u64 * GAP_NS, from, to, &[], bytes)
    };
    datagrams.iter().enumerate().map(packet).collect()
}

/// The one flow of these datagrams of a client.
fn read_client(port: u16, datagrams: &[Vec<u8>]) -> Read {
    let all: Vec<(bool, Vec<u8>)> = datagrams.iter().map(|bytes| (true, bytes.clone())).collect();
    check::read(&flow_of(50_000, port, &all))
}

/// The ClientHello as QUIC carries it: the message, without a record.
fn quic_hello() -> Vec<u8> {
    handshake_bytes(&tls::client_hello(Version::Tls13, Some(NAME)))
}

/// The ServerHello.
fn quic_answer() -> Vec<u8> {
    handshake_bytes(&tls::server_hello(Version::Tls13))
}

/// The values of a field of a flow.
fn values(flow: &Value, field: &str) -> Vec<Value> {
    let facts = flow["bordertap"]["facts"].as_array().cloned().unwrap_or_default();
    facts.iter().filter(|fact| fact["field"] == field).map(|fact| fact["value"].clone()).collect()
}

/// What a hello says: name and fingerprints.
fn meaning(flow: &Value) -> [Value; 3] {
    ["server_name", "ja3", "ja4"].map(|key| flow["tls"]["client"][key].clone())
}

/// What the hello of these tests says in one datagram of version 1.
fn reference() -> [Value; 3] {
    let read = read_client(443, &[Initial::to(&TO, 0).datagram(&crypto(0, &quic_hello()))]);
    let meaning = meaning(read.flow());
    assert_eq!(meaning[0], NAME);
    assert!(meaning[2].as_str().unwrap().starts_with("q13d"), "{meaning:?}");
    assert_eq!(check::flags(read.flow()), <[&str; 0]>::default());
    meaning
}

/// Versions 1, 2 and a draft, on any port: name, fingerprints and version.
#[test]
fn row_26_versions_that_are_opened() {
    let expected = reference();
    for version in [VERSION_1, VERSION_2, DRAFT_29] {
        for port in [443, 8443, 53, 31_337] {
            let hello = Initial { version, ..Initial::to(&TO, 0) }.datagram(&crypto(0, &quic_hello()));
            let answer = Initial { version, to: &[], sender: Sender::Server, ..Initial::to(&TO, 0) };
            let datagrams = [(true, hello), (false, answer.seal(&crypto(0, &quic_answer())))];
            let read = check::read(&flow_of(50_000, port, &datagrams));
            let flow = read.flow();
            assert_eq!(meaning(flow), expected, "{version:08x} port {port}");
            assert_eq!(flow["network"]["protocol"], "quic");
            assert_eq!(values(flow, "quic.version")[0], version, "port {port}");
            assert!(flow["tls"]["server"]["ja3s"].is_string(), "{version:08x} port {port}");
        }
    }
}

/// A version that is nobody's is told by its number, without a name; what the server offers instead leads to the name.
#[test]
fn row_26b_an_unknown_version_and_version_negotiation() {
    let mut strange = Initial::to(&TO, 0).datagram(&crypto(0, &quic_hello()));
    strange[1..5].copy_from_slice(&GREASE.to_be_bytes());
    let read = read_client(443, &[strange.clone()]);
    assert_eq!(read.flow()["network"]["protocol"], "quic");
    assert_eq!(values(read.flow(), "quic.version"), [GREASE]);
    assert_eq!(meaning(read.flow()), [Value::Null, Value::Null, Value::Null]);

    // RFC 8999 section 6: version 0, both connection ids, the versions.
    let mut negotiation = vec![0x8a, 0, 0, 0, 0, 0, 8];
    negotiation.extend(TO);
    negotiation.extend(VERSION_1.to_be_bytes());
    negotiation.extend(GREASE.to_be_bytes());
    let again = Initial::to(&[7; 10], 0).datagram(&crypto(0, &quic_hello()));
    let read = check::read(&flow_of(50_000, 443, &[(true, strange), (false, negotiation), (true, again)]));
    assert_eq!(meaning(read.flow()), reference());
    assert_eq!(values(read.flow(), "quic.version"), [VERSION_1, GREASE]);
}

/// After a Retry (that of RFC 9001 appendix A.4) the client begins anew with a token and another connection id.
#[test]
fn row_26c_retry() {
    let retry = [
        0xff, 0, 0, 0, 1, 0, 8, 0xf0, 0x67, 0xa5, 0x50, 0x2a, 0x42, 0x62, 0xb5, 0x74, 0x6f, 0x6b, 0x65, 0x6e, 0x04,
        0xa2, 0x65, 0xba, 0x2e, 0xff, 0x4d, 0x82, 0x90, 0x58, 0xfb, 0x3f, 0x0f, 0x24, 0x96, 0xba,
    ];
    let given = [0xf0, 0x67, 0xa5, 0x50, 0x2a, 0x42, 0x62, 0xb5];
    let first = Initial::to(&TO, 0).datagram(&crypto(0, &quic_hello()));
    let second = Initial { token: b"token", ..Initial::to(&given, 1) }.datagram(&crypto(0, &quic_hello()));
    let answer = Initial { to: &[], sender: Sender::Server, ..Initial::to(&given, 0) };
    let answer = answer.seal(&crypto(0, &quic_answer()));
    let whole = [(true, first), (false, retry.to_vec()), (true, second), (false, answer)];
    let expected = reference();
    // With the first datagram and without it, and when the Retry was not captured.
    for kept in [vec![0, 1, 2, 3], vec![1, 2, 3], vec![0, 2, 3], vec![2, 3]] {
        let datagrams: Vec<_> = kept.iter().map(|&at| whole[at].clone()).collect();
        let read = check::read(&flow_of(50_000, 443, &datagrams));
        assert_eq!(meaning(read.flow()), expected, "{kept:?}");
        assert!(read.flow()["tls"]["server"]["ja3s"].is_string(), "{kept:?}");
    }
}

/// Several packets in one datagram (RFC 9000 section 12.2), those of others between them.
#[test]
fn row_26d_coalesced() {
    let hello = quic_hello();
    let (front, back) = hello.split_at(200);
    let mut handshake = vec![0xe5, 0, 0, 0, 1, 8];
    handshake.extend(TO);
    handshake.extend([0, 0x40, 0x20]);
    handshake.resize(handshake.len() + 32, 0xaa);
    let parts =
        [Initial::to(&TO, 0).seal(&crypto(200, back)), handshake, Initial::to(&TO, 1).datagram(&crypto(0, front))];
    let read = read_client(443, &[parts.concat()]);
    assert_eq!(meaning(read.flow()), reference());
}

/// The hello in two to five datagrams, in any order, with overlaps, with PING and PADDING between: always the same.
#[test]
fn row_27_pieces_in_any_order() {
    let (expected, hello) = (reference(), quic_hello());
    let mut random = Random::new(27);
    for count in 2..=5 {
        for round in 0..12 {
            let mut cuts: Vec<usize> = (0..count * 2 - 1).map(|_| 1 + random.below(hello.len() - 1)).collect();
            cuts.extend([0, hello.len()]);
            cuts.sort_unstable();
            // Two pieces a datagram, each a little longer than it had to be.
            let mut pieces: Vec<Vec<u8>> = Vec::new();
            for pair in cuts.windows(2) {
                let end = (pair[1] + random.below(30)).min(hello.len());
                pieces.push(crypto(pair[0], &hello[pair[0]..end]));
            }
            random.shuffle(&mut pieces);
            let between = [&[PING][..], &[PADDING; 5], &[PING, PADDING, PING]];
            let datagrams: Vec<Vec<u8>> = pieces
                .chunks(2)
                .enumerate()
                .map(|(n, some)| {
                    let frames = [between[n % 3], &some.concat(), between[(n + 1) % 3]].concat();
                    Initial::to(&TO, n as u32).datagram(&frames)
                })
                .collect();
            assert_eq!(datagrams.len(), count);
            let read = read_client(443, &datagrams);
            assert_eq!(meaning(read.flow()), expected, "{count} datagrams, round {round}");
            // Overlaps may have filled it with the first.
            let mut flags = check::flags(read.flow());
            flags.retain(|flag| flag != "hello-split");
            assert!(flags.is_empty(), "{count} datagrams, round {round}: {flags:?}");
        }
    }
}

/// Pieces that contradict each other are flagged, and what came first is read.
#[test]
fn row_27b_pieces_that_contradict() {
    let hello = quic_hello();
    let mut other = hello.clone();
    let at = hello.windows(NAME.len()).position(|bytes| bytes == NAME.as_bytes()).unwrap();
    other[at..at + 3].copy_from_slice(b"xyz");
    let (first, second) = (crypto(0, &hello[..at + 10]), crypto(at - 4, &other[at - 4..]));
    let read = read_client(443, &[Initial::to(&TO, 0).datagram(&first), Initial::to(&TO, 1).datagram(&second)]);
    assert_eq!(meaning(read.flow())[0], NAME);
    assert_eq!(check::flags(read.flow()), ["hello-split", "overlap-conflict"]);
}

/// A gap that is never filled: no name but a flag, however much comes behind it and however far away, in bounded memory.
#[test]
fn row_27c_a_gap_that_is_never_filled() {
    let hello = quic_hello();
    let read = read_client(443, &[Initial::to(&TO, 0).datagram(&crypto(100, &hello[100..]))]);
    assert_eq!(meaning(read.flow()), [Value::Null, Value::Null, Value::Null]);
    assert_eq!(check::flags(read.flow()), ["gap"]);

    const FLOWS: u16 = 50;
    let mut packets = Vec::new();
    for source in 0..FLOWS {
        let piece = |n: u32| crypto(1 + n as usize * 60_000, &vec![n as u8; 1000]);
        let datagrams: Vec<_> = (0..120).map(|n| (true, Initial::to(&TO, n).datagram(&piece(n)))).collect();
        packets.extend(flow_of(20_000 + source, 443, &datagrams));
    }
    packets.sort_by_key(|packet| packet.time);
    let read = check::read(&packets);
    assert_eq!(read.flows.len(), usize::from(FLOWS));
    for flow in &read.flows {
        assert_eq!(meaning(flow), [Value::Null, Value::Null, Value::Null]);
        assert_eq!(check::flags(flow), ["gap", "limit-reached"]);
    }
    // What the pieces would fill is 7 MB a flow.
    let mut replay = Replay::new(vec![("image".into(), Arc::new(pcap(true, &packets)))], 1);
    let state = check::scan(1).run(&mut replay, &["image".to_owned()], &|_, _| {}).state;
    let most = 2 * PREFIX_BYTES_MAX as u64 + 8192;
    assert!(state.open_flows == u64::from(FLOWS) && state.bytes < u64::from(FLOWS) * most + (2 << 20), "{state:?}");
}

/// A record of DTLS with one fragment of a message (RFC 6347 sections 4.1 and 4.2.2).
fn dtls_record(version: u16, number: u16, length: usize, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let three = |value: usize| (value as u32).to_be_bytes()[1..].to_vec();
    let fragment = [&[1][..], &three(length), &[0, 0], &three(offset), &three(bytes.len()), bytes].concat();
    let head = [&[22][..], &version.to_be_bytes(), &[0; 6], &number.to_be_bytes()].concat();
    [&head[..], &(fragment.len() as u16).to_be_bytes(), &fragment].concat()
}

/// The body of a ClientHello of DTLS: that of TLS with its own version numbers and a cookie.
fn dtls_hello(legacy: u16, offered: Option<u16>) -> Vec<u8> {
    let version = if offered.is_some() { Version::Tls13 } else { Version::Tls12 };
    let mut body = handshake_bytes(&tls::client_hello(version, Some(NAME)))[4..].to_vec();
    body[..2].copy_from_slice(&legacy.to_be_bytes());
    let cookie_at = 35 + usize::from(body[34]);
    if let Some(offered) = offered {
        // supported_versions: TLS 1.3 becomes this version and TLS 1.2 that of DTLS.
        let is_list = |bytes: &[u8]| bytes[..3] == [0, 43, 0] && bytes[3] == bytes[4] + 1;
        let at = body.windows(5).position(is_list).unwrap();
        let list = usize::from(body[at + 4]);
        for version in body[at + 5..at + 5 + list].chunks_exact_mut(2) {
            match *version {
                [3, 4] => version.copy_from_slice(&offered.to_be_bytes()),
                [3, 3] => version.copy_from_slice(&[0xfe, 0xfd]),
                _ => {}
            }
        }
    }
    body.splice(cookie_at..cookie_at, [4, 1, 2, 3, 4]);
    body
}

/// DTLS 1.0, 1.2 and 1.3: the hello in fragments, in any order, repeated and overlapping, is the whole one.
#[test]
fn row_29_dtls_in_fragments() {
    let mut random = Random::new(29);
    let cases = [(0xfeff, 0xfeff, None, "dd1"), (0xfeff, 0xfefd, None, "dd2"), (0xfefd, 0xfefd, Some(0xfefc), "dd3")];
    for (outer, legacy, offered, ja4) in cases {
        let body = dtls_hello(legacy, offered);
        let record = |n: usize, from: usize, to: usize| dtls_record(outer, n as u16, body.len(), from, &body[from..to]);
        let whole = read_client(4433, &[record(0, 0, body.len())]);
        let expected = meaning(whole.flow());
        assert_eq!((&whole.flow()["network"]["protocol"], &expected[0]), (&Value::from("dtls"), &Value::from(NAME)));
        assert!(expected[2].as_str().unwrap().starts_with(ja4), "{expected:?}");
        assert_eq!(check::flags(whole.flow()), <[&str; 0]>::default());
        for round in 0..25 {
            let count = 1 + random.below(6);
            let mut cuts: Vec<usize> = (0..count).map(|_| 1 + random.below(body.len() - 1)).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            cuts.dedup();
            let mut pieces: Vec<Vec<u8>> = Vec::new();
            for (n, pair) in cuts.windows(2).enumerate() {
                let from = pair[0].saturating_sub(random.below(20));
                pieces.push(record(n, from, pair[1]));
            }
            pieces.push(pieces[random.below(pieces.len())].clone());
            random.shuffle(&mut pieces);
            let read = read_client(4433, &pieces);
            assert_eq!(meaning(read.flow()), expected, "{legacy:04x} {offered:?} round {round}");
            assert_eq!(check::flags(read.flow()), ["hello-split"], "{legacy:04x} {offered:?} round {round}");
        }
        // One byte a datagram, the last first.
        let bytewise: Vec<Vec<u8>> = (0..body.len()).rev().map(|at| record(at, at, at + 1)).collect();
        let read = read_client(4433, &bytewise);
        assert_eq!(meaning(read.flow()), expected, "{legacy:04x} {offered:?} bytes backwards");
    }
}

/// Initial packets of chance, one to each connection id, between others that are real.
struct Flood {
    /// One frame of each host.
    frames: Vec<Vec<u8>>,
    random: Random,
    sent: u32,
    /// Packets of other flows, in order of time.
    others: std::iter::Peekable<std::vec::IntoIter<Packet>>,
    packets: u64,
}

const FLOOD_DATAGRAMS: u32 = 1_000_000;
/// Each floods from all its ports, in turn.
const FLOOD_HOSTS: u32 = 4;
const FLOOD_PORTS: u32 = 62_500;
/// A hundred thousand datagrams a second.
const FLOOD_GAP_NS: u64 = 10_000;

impl Flood {
    fn new(others: Vec<Packet>) -> Flood {
        // RFC 9000 section 17.2.2: version 1, a connection id of eight bytes, no token, the length.
        let mut initial = vec![0xc3, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x44, 0x9e];
        initial.resize(1200, 0x5a);
        let of = |host: u32| {
            let from = Endpoint::new([2, 0, 0, 0, 9, 9], &format!("10.9.9.{}", 1 + host), 0);
            let mut frame = datagram(0, from, server(443), &[], &initial).bytes;
            // No checksum, so that what changes does not make it wrong.
            frame[40..42].fill(0);
            frame
        };
        let frames = (0..FLOOD_HOSTS).map(of).collect();
        Flood { frames, random: Random::new(28), sent: 0, others: others.into_iter().peekable(), packets: 0 }
    }

    /// The next one: another connection id, another sealed part.
    fn datagram(&mut self) -> &[u8] {
        let frame = &mut self.frames[(self.sent % FLOOD_HOSTS) as usize];
        let port = 1024 + (self.sent / FLOOD_HOSTS % FLOOD_PORTS) as u16;
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        frame[48..56].copy_from_slice(&self.random.next().to_be_bytes());
        frame[64..72].copy_from_slice(&self.random.next().to_be_bytes());
        self.sent += 1;
        frame
    }
}

impl Source for Flood {
    fn next_block(&mut self) -> Option<Block> {
        let (mut bytes, mut packets) = (Vec::new(), Vec::new());
        while packets.len() < 1000 && self.sent < FLOOD_DATAGRAMS {
            let now = START_NS + u64::from(self.sent) * FLOOD_GAP_NS;
            let other = self.others.next_if(|packet| packet.time <= now);
            let (time, frame) = match &other {
                Some(packet) => (packet.time, packet.bytes.as_slice()),
                None => (now, self.datagram()),
            };
            let (start, length) = (bytes.len(), frame.len() as u32);
            packets.push(Captured {
                time: Time(time as i64),
                start,
                captured: length,
                original: length,
                link: LinkType(1),
                interface: 0,
            });
            bytes.extend_from_slice(frame);
        }
        let first_number = self.packets + 1;
        self.packets += packets.len() as u64;
        let bytes = Bytes::Owned(Arc::new(bytes));
        (!packets.is_empty()).then(|| Block { input: "flood".into(), bytes, packets, first_number })
    }

    fn damage(&self) -> &[Damage] {
        &[]
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (0, None)
    }
}

/// Keeps the flows that are not of the flood and counts those that are.
#[derive(Default)]
struct Kept {
    flows: Vec<FlowRecord>,
    read: u64,
    unread: u64,
}

impl Gather for Kept {
    fn judge(&mut self, _: &FlowRecord) -> Judged {
        Judged::default()
    }

    fn take(&mut self, record: &FlowRecord, _: u32, _: &Told) {
        let flagged = record.facts.flags.has(Flag::LimitReached);
        match record.address(Side::Source).to_string().starts_with("10.9.9.") {
            true if record.protocol.is_some() => self.read += 1,
            true => self.unread += u64::from(flagged),
            false => self.flows.push(record.clone()),
        }
    }
}

/// A million Initial packets with connection ids of chance, in ten seconds: keys are derived for so many in a second, the
/// rest is flagged and counted, and other flows of QUIC and of TLS are read as ever.
#[test]
fn row_28_a_flood_of_connection_ids() {
    const OTHERS: u16 = 20;
    let mut others = Vec::new();
    for n in 0..OTHERS {
        // All in the middle of the flood.
        let shift = 5_000_000_000 + u64::from(n) * 3_000_000;
        let name = format!("quiet{n}.vendor.example");
        let hello = tls::client_hello(Version::Tls13, Some(&name));
        let ends = [server(443), Endpoint::new([2, 0, 0, 0, 0, 3], &format!("10.20.1.{n}"), 50_000)];
        let initial = Initial::to(&TO, 0).datagram(&crypto(0, &handshake_bytes(&hello)));
        others.push(datagram(START_NS + shift, ends[1], ends[0], &[], &initial));
        let mut talk = Conversation::new(ends[1], ends[0], START_NS + shift, 20_000_000);
        talk.open().send(From::Client, &hello).close();
        others.extend(talk.packets());
    }
    others.sort_by_key(|packet| packet.time);
    let sent = others.len() as u64 + u64::from(FLOOD_DATAGRAMS);
    let mut flood = Flood::new(others);
    let memory = 256 << 20;
    let settings = Settings { workers: 1, memory, packets_max: u64::MAX, vlans_apart: false, progress: &|_, _| {} };
    let done = run::run(&mut flood, &settings, Kept::default);
    assert!(done.ledger.adds_up() && done.ledger.received == sent, "{:?}", done.ledger);
    assert_eq!(done.ledger.later.get("flow.evicted"), None);
    let [kept] = done.gathered.as_slice() else { panic!("one worker") };
    // Two shares a second for each host, over a little more than ten seconds.
    let most = u64::from(FLOOD_HOSTS) * 2 * u64::from(FLOWS_PER_SHARE_MAX) * 11;
    let flows = u64::from(FLOOD_HOSTS * FLOOD_PORTS);
    assert!(kept.read > 0 && kept.read <= most, "{} flows were read", kept.read);
    assert_eq!(kept.read + kept.unread, flows);
    assert_eq!(done.ledger.later["quic.unread"], kept.unread);

    let names = |field: &'static Field| {
        let texts = kept.flows.iter().flat_map(|flow| texts(flow, field));
        texts.filter(|name| name.starts_with("quiet")).count() as u16
    };
    assert_eq!((kept.flows.len(), names(&parse::tls::SNI)), (2 * usize::from(OTHERS), OTHERS));
    // Chance may give one or two of them both shares of the flood.
    assert!(names(&parse::quic::SNI) >= OTHERS - 2, "{}", names(&parse::quic::SNI));
}
