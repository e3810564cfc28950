//! Where any bytes may go in, and what must hold of what comes out: for the fuzzer under `fuzz/` and for
//! `tests/entries.rs`, which does a little of the same with a stable compiler.
//!
//! In: bytes. Out: nothing, or a panic that says which promise was broken. Uses the library, `serde_json` and `sample` alone,
//! so that the fuzzer can take these files as they are.

/// A flow of the fixtures as a bad network or a liar might send it.
#[path = "entries/mangled.rs"]
mod mangled;
/// Files and messages that somebody else may have written.
#[path = "entries/written.rs"]
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bordertap::capture::{Inputs, LinkType, Packet};
use bordertap::decode::{self, Refused, Segment, fragments::Fragments, link::types, tcp};
use bordertap::fact::{FACT_BYTES_MAX, FACTS_PER_FIELD_MAX, Facts, Flag, Kind, Seen, Side, VALUE_BYTES_MAX};
use bordertap::flow::key::{Key, protocol as number};
use bordertap::flow::tunnels::Tunnels;
use bordertap::parse::{self, Claim, Opening, PROTOCOLS, Prefix, Progress, Protocol, Transport};
use bordertap::policy::{Case, Crossing, Policy, explain};
use bordertap::record::FlowRecord;
use bordertap::report::flow::{Learnt, Writer};
use bordertap::run::{Settings, run};
use bordertap::signature::Signatures;
use bordertap::stream::PREFIX_BYTES_MAX;
use bordertap::time::Time;
use bordertap::worker::Worker;

/// An entry: it gets the bytes of one case.
pub type Entry = fn(&[u8]);

/// Every entry with its name.
pub const ENTRIES: &[(&str, Entry)] = &[
    ("protocol", protocol),
    ("decode", decode),
    ("capture", capture),
    ("signatures", signatures),
    ("policy", policy),
    ("flow", flow),
    ("places", places),
    ("reports", reports),
    ("records", records),
    ("state", state),
    ("evidence", evidence),
    ("pack", pack),
    ("request", request),
];

pub use mangled::flow;
pub use written::{SPLIT, evidence, pack, places, records, reports, request, state, written};

/// The environment variable that names the protocol whose parser is forced; without it the first byte chooses.
pub const PROTOCOL_VARIABLE: &str = "BORDERTAP_PROTOCOL";

/// Bytes of flow state: little enough that flows are given up.
const MEMORY: usize = 1 << 22;
/// Packets read of one capture: a compressed one may hold any number.
const PACKETS_MAX: u64 = 20_000;
/// Bytes of a stream at each of which claims are asked for.
const CLAIM_BYTES: usize = 128;
/// Records of one input that are looked at closely.
const RECORDS_MAX: usize = 200;
const START: Time = Time(1_790_000_000_000_000_000);
/// A link type as it is, instead of one of the known.
const RAW_LINK: u8 = 0x80;

/// The link types that are read.
const LINKS: &[LinkType] = &[
    types::ETHERNET,
    types::NULL,
    types::RAW,
    types::IEEE802_11,
    types::LOOP,
    types::SLL,
    types::RADIOTAP,
    types::IPV4,
    types::IPV6,
    types::NFLOG,
    types::SLL2,
    types::PPP,
    types::PPP_HDLC,
    types::PPP_ETHER,
    types::PKTAP,
];

/// One flow as the entry `protocol` takes it: a payload of some side after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Talk {
    /// Number of the protocol in the registry.
    pub protocol: usize,
    /// Number of the transport among those of the protocol.
    pub transport: usize,
    /// SYNs come before.
    pub syn: bool,
    /// Ports of source and destination.
    pub ports: (u16, u16),
    /// From the source, and the payload.
    pub pieces: Vec<(bool, Vec<u8>)>,
}

/// Bits of the second byte of a written talk: the transport, and whether SYNs come before.
const TRANSPORT_BITS: u8 = 0x0f;
const SYN_BIT: u8 = 0x80;
/// Bits of the byte before a piece: its side, and its length unless two more bytes say that.
const SIDE_BIT: u8 = 0x80;
const LONG: u8 = 0x7f;

impl Talk {
    /// Reads any bytes as a talk. `None` when there are too few.
    pub fn read(data: &[u8]) -> Option<Talk> {
        let (&[protocol, how, a, b, c, d], mut rest) = data.split_first_chunk()?;
        let mut talk = Talk {
            protocol: usize::from(protocol) % PROTOCOLS.len(),
            transport: usize::from(how & TRANSPORT_BITS),
            syn: how & SYN_BIT != 0,
            ports: (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])),
            pieces: Vec::new(),
        };
        while let Some((&head, behind)) = rest.split_first() {
            let (length, behind) = match (head & LONG, behind.split_first_chunk()) {
                (LONG, Some((&length, behind))) => (usize::from(u16::from_be_bytes(length)), behind),
                (length, _) => (usize::from(length), behind),
            };
            let (piece, behind) = behind.split_at(length.min(behind.len()));
            talk.pieces.push((head & SIDE_BIT == 0, piece.to_vec()));
            rest = behind;
        }
        Some(talk)
    }

    /// The bytes that are read as this talk.
    pub fn write(&self) -> Vec<u8> {
        let how = self.transport as u8 & TRANSPORT_BITS | if self.syn { SYN_BIT } else { 0 };
        let mut data = vec![self.protocol as u8, how];
        data.extend_from_slice(&self.ports.0.to_be_bytes());
        data.extend_from_slice(&self.ports.1.to_be_bytes());
        for (from_source, piece) in &self.pieces {
            let side = if *from_source { 0 } else { SIDE_BIT };
            if piece.len() < usize::from(LONG) {
                data.push(side | piece.len() as u8);
            } else {
                data.push(side | LONG);
                data.extend_from_slice(&(piece.len() as u16).to_be_bytes());
            }
            data.extend_from_slice(piece);
        }
        data
    }
}

/// The protocol that the environment names.
fn forced() -> Option<usize> {
    static FORCED: OnceLock<Option<usize>> = OnceLock::new();
    *FORCED.get_or_init(|| {
        let name = std::env::var(PROTOCOL_VARIABLE).ok()?;
        let known: Vec<&str> = PROTOCOLS.iter().map(|p| p.name).collect();
        let place = known.iter().position(|known| *known == name);
        Some(place.unwrap_or_else(|| panic!("{PROTOCOL_VARIABLE}: no protocol {name}; there are {known:?}")))
    })
}

/// One flow ([`Talk`]): all claims, the worker that feeds whoever claims it, and one parser that gets it unasked.
pub fn protocol(data: &[u8]) {
    let Some(talk) = Talk::read(data) else { return };
    let protocol = PROTOCOLS[forced().unwrap_or(talk.protocol)];
    let transport = protocol.over[talk.transport % protocol.over.len()];
    if transport == Transport::Tcp {
        for from_source in [true, false] {
            let pieces = talk.pieces.iter().filter(|(from, _)| *from == from_source);
            let bytes: Vec<u8> = pieces.flat_map(|(_, piece)| piece).copied().collect();
            ask_all_of_stream(talk.ports, side(from_source), &bytes);
        }
    } else {
        for (from_source, piece) in talk.pieces.iter().filter(|(_, piece)| !piece.is_empty()) {
            let opening = Opening::new(transport, talk.ports, side(*from_source), piece);
            for protocol in parse::over(transport) {
                (protocol.claim)(&opening);
            }
        }
    }
    for record in work(transport, &talk) {
        check_record(&record);
    }
    let whole = drive(protocol, transport, &talk.pieces);
    check_record(&record(protocol, whole.clone()));
    if transport == Transport::Tcp && !whole.flags.has(Flag::LimitReached) {
        let cut = drive(protocol, transport, &cut_anew(&talk.pieces));
        let [whole, cut] = [whole, cut].map(|facts| {
            let all = facts.iter().map(|fact| (fact.field.name, fact.side, fact.value.to_vec()));
            all.collect::<BTreeSet<_>>()
        });
        assert_eq!(whole, cut, "{}: the facts depend on how the stream is cut", protocol.name);
    }
}

fn side(from_source: bool) -> Side {
    if from_source { Side::Source } else { Side::Destination }
}

/// Asks every protocol that a stream may carry for its claim, at every length up to a limit: what it says stands.
fn ask_all_of_stream(ports: (u16, u16), side: Side, bytes: &[u8]) {
    let transport = Transport::Tcp;
    for protocol in parse::over(transport) {
        let mut settled = None;
        for length in (1..bytes.len().min(CLAIM_BYTES)).chain([bytes.len()]).filter(|length| *length > 0) {
            let opening = Opening::new(transport, ports, side, &bytes[..length]);
            let claim = (protocol.claim)(&opening);
            let name = protocol.name;
            match (claim, settled) {
                (claim, Some(before)) => assert_eq!(claim, before, "{name} changes its mind at {length} bytes"),
                (Claim::NeedBytes(wanted), None) => {
                    assert!(wanted > length, "{name} asks for {wanted} bytes and has {length}");
                }
                (Claim::Yes | Claim::No, None) => settled = Some(claim),
            }
        }
    }
}

/// Every piece cut in small ones, the first bytewise.
fn cut_anew(pieces: &[(bool, Vec<u8>)]) -> Vec<(bool, Vec<u8>)> {
    const BYTEWISE: usize = 40;
    const SMALL: usize = 97;
    let mut cut = Vec::new();
    for (from_source, piece) in pieces {
        let (front, rest) = piece.split_at(piece.len().min(BYTEWISE));
        let parts = front.chunks(1).chain(rest.chunks(SMALL));
        cut.extend(parts.map(|part| (*from_source, part.to_vec())));
    }
    cut
}

/// One side of a flow whose parser is forced.
#[derive(Default)]
struct Half {
    bytes: Vec<u8>,
    wanted: usize,
    pieces: usize,
    done: bool,
}

/// What a parser reads in a flow that was given to it without a claim, as the worker would feed it.
fn drive(protocol: &'static Protocol, transport: Transport, pieces: &[(bool, Vec<u8>)]) -> Facts {
    let mut facts = Facts::default();
    let mut parser = (protocol.parser)(transport);
    let mut halves = [Half::default(), Half::default()];
    let mut seen = Seen { time: START, packet: 0 };
    let tcp = transport == Transport::Tcp;
    let ends = [(true, None), (false, None)];
    for (from_source, piece) in pieces.iter().map(|(from, piece)| (*from, Some(piece))).chain(ends) {
        let side = side(from_source);
        let half = &mut halves[side.index()];
        seen.packet += 1;
        let last = match piece {
            Some(piece) if tcp => {
                let room = PREFIX_BYTES_MAX.saturating_sub(half.bytes.len());
                half.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
                half.pieces += usize::from(!piece.is_empty());
                half.bytes.len() >= PREFIX_BYTES_MAX
            }
            Some(piece) => {
                half.bytes.clone_from(piece);
                true
            }
            None if tcp => true,
            None => continue,
        };
        if half.done || half.bytes.is_empty() || tcp && !last && half.bytes.len() < half.wanted {
            continue;
        }
        let prefix = Prefix { bytes: &half.bytes, seen, last, split: half.pieces > 1 };
        match parser.feed(side, prefix, &mut facts) {
            Progress::NeedBytes(wanted) if !last => half.wanted = wanted.max(half.bytes.len() + 1),
            Progress::NeedBytes(_) if !tcp => {}
            Progress::NeedBytes(_) | Progress::Done if tcp => half.done = true,
            _ => break,
        }
    }
    facts
}

/// The flow records of a talk.
fn work(transport: Transport, talk: &Talk) -> Vec<FlowRecord> {
    let [source, destination] = [[10, 0, 0, 1], [203, 0, 113, 9]];
    let key = match transport {
        Transport::Tcp => Key::v4(source, talk.ports.0, destination, talk.ports.1, number::TCP).0,
        Transport::Udp => Key::v4(source, talk.ports.0, destination, talk.ports.1, number::UDP).0,
        Transport::Ip => Key::v4(source, 0, destination, 0, talk.ports.1 as u8).0,
        Transport::Frame => Key::frame([2, 0, 0, 0, 0, 1], [1, 0x80, 0xc2, 0, 0, 0x0e], talk.ports.1),
    };
    let mut bytes = Vec::new();
    let mut segments: Vec<Segment> = Vec::new();
    let mut next = [u32::MAX - 100; 2];
    let mut add = |from_source: bool, flags: u8, payload: &[u8]| {
        let (own, other) = (usize::from(!from_source), usize::from(from_source));
        segments.push(Segment {
            time: Time(START.0 + segments.len() as i64),
            number: segments.len() as u64 + 1,
            tcp_flags: if transport == Transport::Tcp { flags } else { 0 },
            seq: next[own],
            ack: next[other],
            ip_bytes: payload.len() as u32,
            payload: bytes.len(),
            payload_len: payload.len() as u32,
            ..Segment::bare(key, from_source || key.is_frame())
        });
        bytes.extend_from_slice(payload);
        next[own] = next[own].wrapping_add(payload.len() as u32 + u32::from(flags & tcp::SYN != 0));
    };
    if talk.syn && transport == Transport::Tcp {
        add(true, tcp::SYN, &[]);
        add(false, tcp::SYN | tcp::ACK, &[]);
    }
    for (from_source, piece) in &talk.pieces {
        add(*from_source, tcp::ACK, piece);
    }
    let mut worker: Worker<Vec<FlowRecord>> = Worker::new(MEMORY, Vec::new(), ());
    worker.take(&segments, &bytes);
    worker.finish();
    worker.gather
}

/// A link type and packets, each with its length before it: whatever they are, they become segments or are refused.
pub fn decode(data: &[u8]) {
    let Some((&[first, second], mut rest)) = data.split_first_chunk() else { return };
    let link = match first {
        RAW_LINK.. => LinkType(u16::from_be_bytes([first & !RAW_LINK, second])),
        _ => LINKS[usize::from(first) % LINKS.len()],
    };
    // The packets stand behind something, so that an offset before their own start would show.
    let mut block = vec![0xee; 7];
    let mut segments = Vec::new();
    let (mut fragments, mut pieces, mut read) = (Fragments::default(), 0u64, Vec::new());
    let mut count = 0;
    while let Some((&length, behind)) = rest.split_first_chunk() {
        let (bytes, behind) = behind.split_at(usize::from(u16::from_be_bytes(length)).min(behind.len()));
        rest = behind;
        count += 1;
        let start = block.len();
        block.extend_from_slice(bytes);
        let (captured, more) = (bytes.len() as u32, u32::from(second & 0x0f));
        let packet = Packet { time: START, start, captured, original: captured + more, link, interface: 0 };
        let decoded = decode::decode(&block, &packet, count).or_else(|reason| {
            let frame = if reason.is_frame() { decode::frame(&block, &packet, count) } else { None };
            frame.ok_or(reason)
        });
        match decoded {
            Ok(segment) => {
                let end = segment.payload + segment.payload_len as usize;
                assert!(segment.payload >= start && end <= block.len(), "a payload outside of its packet: {segment:?}");
                let macs = segment.macs.is_none_or(|at| at >= start && at + 12 <= block.len());
                assert!(macs, "addresses outside of their packet: {segment:?}");
                segments.push(segment);
            }
            Err(Refused::Reason(reason)) => assert!(!reason.name().is_empty(), "{reason:?} has no name"),
            Err(Refused::Piece(piece)) => {
                pieces += 1;
                read.extend(fragments.take(&piece, &block));
            }
        }
    }
    fragments.finish();
    // The first fragment of a datagram that was given up is read too.
    read.extend(fragments.fronts());
    for whole in &read {
        let end = whole.segment.payload + whole.segment.payload_len as usize;
        assert!(end <= whole.bytes.len(), "a payload outside of its datagram: {:?}", whole.segment);
    }
    let counted: u64 = fragments.counts.iter().sum();
    assert_eq!(pieces, read.len() as u64 + counted, "fragments do not add up");
    let mut worker: Worker<Vec<FlowRecord>> = Worker::new(MEMORY, Vec::new(), ());
    worker.take(&segments, &block);
    worker.finish();
    assert_eq!(worker.counters.segments, segments.len() as u64, "segments are lost");
    let packets: u64 = worker.gather.iter().map(|record| record.packets.iter().sum::<u64>()).sum();
    assert_eq!(packets, segments.len() as u64, "packets of flows do not add up");
    for record in worker.gather.iter().take(RECORDS_MAX) {
        check_record(record);
    }
}

/// A file that exists while this does.
struct Scratch(PathBuf);

impl Scratch {
    fn new(bytes: &[u8]) -> Scratch {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("bordertap-entry-{}-{number}", std::process::id()));
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A whole file through the reader of a scan, whatever it is, and all that follows.
pub fn capture(data: &[u8]) {
    let file = Scratch::new(data);
    let name = file.0.display().to_string();
    let mut inputs = Inputs::open(std::slice::from_ref(&name), None).unwrap();
    let settings =
        Settings { workers: 1, memory: MEMORY, packets_max: PACKETS_MAX, vlans_apart: false, progress: &|_, _| {} };
    let done = run(&mut inputs, &settings, Vec::new);
    assert!(done.ledger.adds_up(), "the ledger does not add up: {:?}", done.ledger);
    for damage in bordertap::capture::Source::damage(&inputs) {
        assert!(damage.input == name && !damage.reason.is_empty(), "{damage:?}");
    }
    for record in done.gathered.iter().flatten().take(RECORDS_MAX) {
        check_record(record);
    }
}

/// The text of a signature file.
pub fn signatures(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match Signatures::from_texts(vec![("any.toml", text)]) {
        Ok(signatures) => {
            let report = signatures.check(None);
            let _ = report.to_string();
            for format in [
                bordertap::signature::print::Format::Text,
                bordertap::signature::print::Format::Json,
                bordertap::signature::print::Format::Md,
            ] {
                let listed = signatures.list(format);
                if format == bordertap::signature::print::Format::Json {
                    serde_json::from_str::<serde_json::Value>(&listed).expect("a list that is no JSON");
                }
            }
            for entry in signatures.files.iter().flat_map(|file| &file.entries) {
                assert!(signatures.explain(&entry.id).is_some(), "{} is not explained", entry.id);
            }
        }
        Err(refused) => assert!(!refused.to_string().is_empty(), "refused without a reason"),
    }
}

/// The text of a policy file.
pub fn policy(data: &[u8]) {
    let file = Scratch::new(data);
    match Policy::new(Some(&file.0), None, None) {
        Ok(policy) => {
            for address in ["10.0.0.1", "203.0.113.9", "2001:db8::1", "::"] {
                let address = address.parse().unwrap();
                policy.side_of(address);
                policy.site_of(address);
            }
            for exemption in policy.exemptions() {
                policy.judge(&Case {
                    channel: &exemption.channel,
                    function: "update",
                    data: &["file"],
                    crossing: Crossing::Observed,
                    asset: [10, 0, 0, 1].into(),
                    country: Some("EU"),
                    domain: exemption.domains.first().map(String::as_str),
                    last_seen: START,
                    month_bytes_out: 1,
                });
            }
            assert!(!explain(&policy, jiff::civil::date(2026, 11, 26)).is_empty());
        }
        Err(wrong) => assert!(!wrong.to_string().is_empty(), "refused without a reason"),
    }
}

/// What must hold of every flow record: its facts, and the line of JSON that it becomes.
fn check_record(record: &FlowRecord) {
    check_facts(&record.facts);
    let known = record.protocol.is_none_or(|name| PROTOCOLS.iter().any(|p| p.name == name));
    assert!(known, "read as {:?}, which is not in the registry", record.protocol);
    let mut line = Vec::new();
    Writer::new().write(record, &Learnt::default(), &mut line);
    let text = str::from_utf8(&line).expect("a record that is no UTF-8");
    assert!(text.ends_with('\n') && text.trim_end().lines().count() == 1, "a record that is not one line");
    let json: serde_json::Value = serde_json::from_str(text).expect("a record that is no JSON");
    let flags = json.pointer("/bordertap/flags").and_then(|flags| flags.as_array()).map_or(0, Vec::len);
    assert_eq!(flags, record.facts.flags.names().count(), "flags are missing");
}

/// What must hold of the facts of any flow: their number, their length, their form, and that a protocol has the field.
fn check_facts(facts: &Facts) {
    let mut by_field: BTreeMap<&str, usize> = BTreeMap::new();
    let mut bytes = 0;
    for fact in facts.iter() {
        let name = fact.field.name;
        *by_field.entry(name).or_default() += 1;
        bytes += fact.value.len();
        assert!(fact.value.len() <= VALUE_BYTES_MAX, "{name}: {} bytes", fact.value.len());
        let has = |protocol: &&Protocol| protocol.fields.iter().any(|field| **field == *fact.field);
        assert!(PROTOCOLS.iter().any(has), "{name} is a field of no protocol");
        match fact.field.kind {
            Kind::Number => assert_eq!(fact.value.len(), 8, "{name} is no number"),
            Kind::Address => assert!(matches!(fact.value.len(), 4 | 16), "{name} is no address"),
            Kind::Name | Kind::Text | Kind::Hex => {}
        }
        let _ = fact.text();
    }
    assert!(bytes <= FACT_BYTES_MAX, "{bytes} bytes of values");
    for (name, count) in by_field {
        assert!(count <= FACTS_PER_FIELD_MAX, "{name}: {count} values");
    }
}

/// The record of a flow of which there are only facts.
fn record(protocol: &'static Protocol, facts: Facts) -> FlowRecord {
    let (key, _) = Key::v4([10, 0, 0, 1], 1, [203, 0, 113, 9], 2, number::UDP);
    FlowRecord {
        key,
        opener_low: true,
        first: START,
        last: START,
        number: 1,
        packets: [1, 0],
        bytes: [0; 2],
        missing: [0; 2],
        payload: [true, false],
        more: [false; 2],
        edges: bordertap::record::Edges::default(),
        macs: None,
        vlan: None,
        tunnels: Tunnels::NONE,
        protocol: Some(protocol.name),
        facts,
    }
}
