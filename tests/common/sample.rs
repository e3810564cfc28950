//! Sample flows of every protocol, found by themselves, in a form in which they can be cut and put in another order.
//!
//! In: the captures under `fixtures/` and the flows that are written down in `fixtures/built/<protocol>.txt`. Out: for
//! every protocol a few flows that are read as it, each as pieces of payload; and what the library reads in any
//! selection of such pieces.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bordertap::capture::{Inputs, Source};
use bordertap::decode::{self, Segment, tcp};
use bordertap::fact::{FACTS_PER_FIELD_MAX, Flag, Side};
use bordertap::flow::key::{Key, protocol};
use bordertap::parse::{Opening, PROTOCOLS, Transport, nobody_claims};
use bordertap::record::FlowRecord;
use bordertap::time::Time;
use bordertap::worker::Worker;

/// Sample flows of one protocol, at most.
const SAMPLES_MAX: usize = 10;
/// Payload bytes of one side of a sample; what follows is left out, so that no limit is reached.
const SIDE_BYTES_MAX: usize = 24 * 1024;
/// Pieces of one sample; what follows is left out.
const PIECES_MAX: usize = 120;
/// Nanoseconds between two segments of a run.
const STEP_NS: i64 = 1000;
const START: Time = Time(1_790_000_000_000_000_000);
/// Sequence number of a side's first byte: it wraps inside the sample.
const FIRST_BYTE: u32 = u32::MAX - 40;
/// More than any sample needs.
const MEMORY: usize = 1 << 30;

/// Fields that one side repeats after the other, told of the second only when the first was not seen: only the value
/// counts. Field and reason.
const REPEATED: &[(&str, &str)] =
    &[("dns.qname", "an answer repeats its question"), ("dns.qtype", "an answer repeats its question")];

/// Flows that are one thing to who sees all of it and rightly another to who sees a part: what the sample is read as,
/// what its parts are read as, and the reason.
pub const PARTS: &[(&str, &str, &str)] = &[
    ("tls", "http", "a web server answers a hello with its complaint in plain text"),
    ("http", "tls", "behind CONNECT"),
    ("smtp", "tls", "behind STARTTLS"),
    ("pop3", "tls", "behind STLS"),
    ("imap", "tls", "behind STARTTLS"),
    ("ftp", "tls", "behind AUTH TLS"),
    ("ldap", "tls", "behind StartTLS"),
    ("xmpp", "tls", "behind STARTTLS"),
    ("proxy", "tls", "behind the header"),
    ("proxy", "http", "behind the header"),
    ("mysql", "tls", "behind the request for encryption"),
    ("postgresql", "tls", "behind the request for encryption"),
    ("socks", "tls", "behind the request"),
    ("openvpn", "tls", "TLS goes on in segments of its own when a control packet is longer than one"),
    ("socks", "http", "behind the request"),
];

/// Payload bytes of one segment or datagram, or a part of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The lower endpoint of the key sent it.
    pub low: bool,
    /// TCP: offset from the first byte of its side.
    pub at: usize,
    /// The payload.
    pub bytes: Vec<u8>,
    /// TCP: bytes of the other side that its sender had got.
    pub acknowledged: usize,
    /// The capture holds only the front of it.
    pub cut: bool,
}

/// One flow that is read as some protocol.
#[derive(Clone, Debug)]
pub struct Sample {
    /// File and number of the flow's first packet.
    pub name: String,
    /// The protocol it is read as.
    pub protocol: &'static str,
    /// What carries it.
    pub transport: Transport,
    /// Endpoints.
    pub key: Key,
    /// The lower endpoint opened it.
    pub opener_low: bool,
    /// TCP: the SYN of the lower and of the higher endpoint was there.
    pub syn: [bool; 2],
    /// Its payload in the order in which it came, every byte of a stream once.
    pub pieces: Vec<Piece>,
    /// Fields that are filled from it.
    pub fields: BTreeSet<&'static str>,
}

/// A field, whether the lower endpoint sent it, and the value.
pub type Fact = (&'static str, bool, Vec<u8>);

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// By endpoint, because who opened a flow may be guessed when its start is missing.
    pub facts: BTreeSet<Fact>,
    /// What flows were read as.
    pub protocols: BTreeSet<&'static str>,
    /// Fields of which there were too many values to keep them all.
    pub full: BTreeSet<&'static str>,
    /// It can be read in more than one way, and that is said.
    pub conflict: bool,
    /// It is said that bytes are missing where somebody wanted to read.
    pub gap: bool,
}

impl Read {
    /// A fact is among those that were read, or cannot be compared with them.
    pub fn has(&self, fact: &Fact) -> bool {
        let (field, low, value) = fact;
        let repeated = REPEATED.iter().any(|(name, _)| name == field);
        self.facts.contains(fact)
            || self.full.contains(field)
            || repeated && self.facts.contains(&(*field, !low, value.clone()))
    }
}

impl Sample {
    /// What may be read in parts of it: what is read in the whole, and in one side alone where that is something else.
    pub fn readable(&self, whole: &Read) -> Read {
        let mut all = whole.clone();
        for (_, part, _) in PARTS.iter().filter(|(whole, _, _)| *whole == self.protocol) {
            all.protocols.insert(part);
            for low in [true, false] {
                let pieces: Vec<_> = self.pieces.iter().filter(|piece| piece.low == low).cloned().collect();
                all.facts.extend(self.read(&pieces, self.syn).facts);
            }
        }
        all
    }

    /// What is read when these pieces come by, after the SYNs of the sides that have one.
    pub fn read(&self, pieces: &[Piece], syn: [bool; 2]) -> Read {
        read_of(&self.run(pieces, syn))
    }

    /// What is read in the sample as it is.
    pub fn read_whole(&self) -> Read {
        self.read(&self.pieces, self.syn)
    }

    /// Ports of source and destination, as a claim sees them.
    pub fn ports(&self) -> (u16, u16) {
        match self.transport {
            Transport::Ip => (0, u16::from(self.key.protocol())),
            _ => (self.key.endpoint(self.opener_low).1, self.key.endpoint(!self.opener_low).1),
        }
    }

    /// The side that sent a piece.
    pub fn side(&self, piece: &Piece) -> Side {
        if piece.low == self.opener_low { Side::Source } else { Side::Destination }
    }

    /// The flow records when these pieces come by.
    pub fn run(&self, pieces: &[Piece], syn: [bool; 2]) -> Vec<FlowRecord> {
        let mut bytes = Vec::new();
        let mut segments = Vec::new();
        let is_tcp = self.transport == Transport::Tcp;
        // The side that opened is the first to say so.
        for low in [self.opener_low, !self.opener_low] {
            if is_tcp && syn[usize::from(!low)] {
                let answer = if low == self.opener_low { 0 } else { tcp::ACK };
                let (seq, tcp_flags) = (FIRST_BYTE.wrapping_sub(1), tcp::SYN | answer);
                segments.push(Segment { seq, ack: FIRST_BYTE, tcp_flags, ..self.segment(low, segments.len()) });
            }
        }
        for piece in pieces {
            segments.push(Segment {
                seq: if is_tcp { FIRST_BYTE.wrapping_add(piece.at as u32) } else { 0 },
                tcp_flags: if is_tcp { tcp::ACK } else { 0 },
                ack: if is_tcp { FIRST_BYTE.wrapping_add(piece.acknowledged as u32) } else { 0 },
                payload: bytes.len(),
                payload_len: piece.bytes.len() as u32,
                payload_cut: u32::from(piece.cut),
                ..self.segment(piece.low, segments.len())
            });
            bytes.extend_from_slice(&piece.bytes);
        }
        let mut worker = Worker::new(MEMORY, Vec::new(), ());
        worker.take(&segments, &bytes);
        worker.finish();
        worker.gather
    }

    fn segment(&self, low: bool, number: usize) -> Segment {
        Segment {
            time: Time(START.0 + number as i64 * STEP_NS),
            number: number as u64 + 1,
            ..Segment::bare(self.key, low)
        }
    }
}

/// What the records of one flow, or of the parts it fell into, say together.
fn read_of(records: &[FlowRecord]) -> Read {
    let mut read = Read::default();
    for record in records {
        let mut by_field: BTreeMap<&str, usize> = BTreeMap::new();
        read.protocols.extend(record.protocol);
        for fact in record.facts.iter() {
            let low = (fact.side == Side::Source) == record.opener_low;
            read.facts.insert((fact.field.name, low, fact.value.to_vec()));
            *by_field.entry(fact.field.name).or_default() += 1;
        }
        read.conflict |= record.facts.flags.are_ambiguous();
        read.gap |= record.facts.flags.has(Flag::Gap);
        if record.facts.flags.has(Flag::LimitReached) {
            read.full.extend(by_field.iter().filter(|(_, n)| **n >= FACTS_PER_FIELD_MAX).map(|(field, _)| *field));
        }
    }
    read
}

/// What carries flows with this key.
pub fn transport(key: &Key) -> Transport {
    match key.protocol() {
        protocol::TCP => Transport::Tcp,
        protocol::UDP => Transport::Udp,
        _ if key.is_frame() => Transport::Frame,
        _ => Transport::Ip,
    }
}

fn fixtures() -> PathBuf {
    // The fuzzer is compiled one folder below.
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("fixtures"));
    folders.find(|fixtures| fixtures.is_dir()).unwrap()
}

/// Every file below `fixtures/` with one of these endings, in order.
pub fn fixture_files(endings: &[&str]) -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(&fixtures(), &mut found);
    found.retain(|path| path.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending)));
    found.sort();
    found
}

/// A path below `fixtures/` as it is shown.
fn shown(path: &Path) -> String {
    path.strip_prefix(fixtures()).unwrap_or(path).display().to_string()
}

/// The segments of a capture, each with its payload, decoded as a scan does it.
fn segments(path: &Path) -> Vec<(Segment, Vec<u8>)> {
    let mut inputs = Inputs::open(&[path.display().to_string()], None).unwrap();
    let mut all = Vec::new();
    while let Some(block) = inputs.next_block() {
        let bytes = block.bytes.as_slice();
        for (packet, number) in block.packets.iter().zip(block.first_number..) {
            let segment = match decode::decode(bytes, packet, number) {
                Ok(segment) => segment,
                Err(reason) => {
                    let frame = if reason.is_frame() { decode::frame(bytes, packet, number) } else { None };
                    let Some(segment) = frame.filter(|segment| {
                        let ether_type = segment.key.endpoint(false).1;
                        !nobody_claims(&Opening::of_frame(ether_type, payload(segment, bytes)))
                    }) else {
                        continue;
                    };
                    segment
                }
            };
            all.push((segment, payload(&segment, bytes).to_vec()));
        }
    }
    all
}

fn payload<'a>(segment: &Segment, bytes: &'a [u8]) -> &'a [u8] {
    &bytes[segment.payload..segment.payload + segment.payload_len as usize]
}

/// The flows of a capture that are read as some protocol.
fn flows_of_capture(path: &Path) -> Vec<Sample> {
    let segments = segments(path);
    let mut bytes = Vec::new();
    let mut placed = Vec::new();
    for (segment, payload) in &segments {
        placed.push(Segment { payload: bytes.len(), macs: None, ..*segment });
        bytes.extend_from_slice(payload);
    }
    let mut worker: Worker<Vec<FlowRecord>> = Worker::new(MEMORY, Vec::new(), ());
    worker.take(&placed, &bytes);
    worker.finish();
    let records = worker.gather;
    let mut samples = Vec::new();
    for record in &records {
        let Some(protocol) = record.protocol else { continue };
        let next = records.iter().filter(|r| r.key == record.key && r.number > record.number).map(|r| r.number).min();
        let end = next.unwrap_or(u64::MAX);
        let of_flow = segments.iter().filter(|(s, _)| s.key == record.key && (record.number..end).contains(&s.number));
        let mut sample = Sample {
            name: format!("{}, packet {}", shown(path), record.number),
            protocol,
            transport: transport(&record.key),
            key: record.key,
            opener_low: record.opener_low,
            syn: [false; 2],
            pieces: Vec::new(),
            fields: BTreeSet::new(),
        };
        sample.pieces = match sample.transport {
            Transport::Tcp => stream_pieces(of_flow, &mut sample.syn),
            _ => of_flow.map(|(s, bytes)| piece(s.from_low, 0, bytes.clone(), s.payload_cut > 0)).collect(),
        };
        keep_front(&mut sample.pieces);
        let read = sample.read_whole();
        sample.fields = read.facts.iter().map(|fact| fact.0).collect();
        // Without what was left out it may be nothing any more.
        if read.protocols.contains(protocol) {
            samples.push(sample);
        }
    }
    samples
}

/// The pieces of a TCP flow: of a byte that came twice the first copy.
fn stream_pieces<'a>(segments: impl Iterator<Item = &'a (Segment, Vec<u8>)>, syn: &mut [bool; 2]) -> Vec<Piece> {
    let segments: Vec<_> = segments.collect();
    let first_byte = |s: &Segment| s.seq.wrapping_add(u32::from(s.tcp_flags & tcp::SYN != 0));
    let mut base = [None::<u32>; 2];
    for (segment, payload) in &segments {
        let side = usize::from(!segment.from_low);
        let here = first_byte(segment);
        if segment.tcp_flags & tcp::SYN != 0 {
            (base[side], syn[side]) = (Some(here), true);
        } else if !syn[side] && !payload.is_empty() {
            let earlier = base[side].is_none_or(|base| (here.wrapping_sub(base) as i32) < 0);
            base[side] = if earlier { Some(here) } else { base[side] };
        }
    }
    let mut there = [BTreeSet::new(), BTreeSet::new()];
    let mut pieces = Vec::new();
    for (segment, payload) in segments {
        let side = usize::from(!segment.from_low);
        let Some(base) = base[side] else { continue };
        let start = first_byte(segment).wrapping_sub(base) as i32;
        let mut open: Option<Piece> = None;
        for (n, &byte) in payload.iter().enumerate() {
            // Before the SYN, or far away: nobody reads it.
            let at = usize::try_from(i64::from(start) + n as i64).unwrap_or(usize::MAX);
            if at < SIDE_BYTES_MAX && there[side].insert(at) {
                open.get_or_insert_with(|| piece(segment.from_low, at, Vec::new(), false)).bytes.push(byte);
            } else {
                pieces.extend(open.take());
            }
        }
        if let Some(piece) = &mut open {
            piece.cut = segment.payload_cut > 0;
        }
        pieces.extend(open);
    }
    in_order(pieces)
}

fn piece(low: bool, at: usize, bytes: Vec<u8>, cut: bool) -> Piece {
    Piece { low, at, bytes, acknowledged: 0, cut }
}

/// Puts what one side sent before the other answered in order, and says what each had got of the other.
fn in_order(mut pieces: Vec<Piece>) -> Vec<Piece> {
    for turn in pieces.chunk_by_mut(|a, b| a.low == b.low) {
        turn.sort_by_key(|piece| piece.at);
    }
    let mut got = [0; 2];
    for piece in &mut pieces {
        let end = &mut got[usize::from(piece.low)];
        *end = piece.at.saturating_add(piece.bytes.len()).max(*end);
        piece.acknowledged = got[usize::from(!piece.low)];
    }
    pieces
}

/// Leaves out what stands behind the limits of a sample.
fn keep_front(pieces: &mut Vec<Piece>) {
    let mut bytes = [0; 2];
    pieces.retain(|piece| {
        let sum = &mut bytes[usize::from(!piece.low)];
        *sum += piece.bytes.len();
        !piece.bytes.is_empty() && *sum <= SIDE_BYTES_MAX
    });
    pieces.truncate(PIECES_MAX);
}

/// The flows of a built file; what they are read as is not known yet. The format stands in `fixtures/README.md`.
pub fn flows_of_built(name: &str, text: &str) -> Result<Vec<(Key, Vec<Piece>)>, String> {
    let mut sourced = false;
    let mut flows: Vec<(Key, Vec<Piece>)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |reason: &str| format!("{name}:{}: {reason}", number + 1);
        let line = line.trim();
        if let Some(source) = line.strip_prefix("# source:") {
            sourced |= !source.trim().is_empty();
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(words) = line.strip_prefix("flow ") {
            let words: Vec<&str> = words.split_whitespace().collect();
            flows.push((
                built_key(&words).ok_or_else(|| wrong("no flow: `flow udp 49152 69` and the like"))?,
                Vec::new(),
            ));
            continue;
        }
        let (key, pieces) = flows.last_mut().ok_or_else(|| wrong("a payload before the first `flow` line"))?;
        let (from_source, payload) = match (line.strip_prefix('>'), line.strip_prefix('<')) {
            (Some(payload), _) => (true, payload),
            (_, Some(payload)) if !key.is_frame() => (false, payload),
            _ => return Err(wrong("begins with neither `flow`, `>` nor, in a flow that is answered, `<`")),
        };
        let bytes = built_bytes(payload).ok_or_else(|| wrong("bytes are hex digits in pairs, or text in quotes"))?;
        // The source of a built flow has the lower address; of a frame the sender is the lower endpoint.
        let at = pieces.iter().filter(|p: &&Piece| p.low == from_source).map(|p| p.bytes.len()).sum();
        pieces.push(piece(from_source, at, bytes, false));
    }
    flows.iter_mut().for_each(|(_, pieces)| *pieces = in_order(std::mem::take(pieces)));
    if !sourced {
        return Err(format!("{name}: no line `# source:` that names the document"));
    }
    if flows.is_empty() || flows.iter().any(|(_, pieces)| pieces.is_empty()) {
        return Err(format!("{name}: a flow without payload, or no flow"));
    }
    Ok(flows)
}

/// Source and destination of built flows.
const BUILT_ENDS: [[u8; 4]; 2] = [[10, 0, 0, 1], [203, 0, 113, 9]];
const BUILT_MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [1, 0x80, 0xc2, 0, 0, 0x0e]];

fn built_key(words: &[&str]) -> Option<Key> {
    let ends = |source, destination, proto| Key::v4(BUILT_ENDS[0], source, BUILT_ENDS[1], destination, proto).0;
    match *words {
        ["tcp", source, destination] => Some(ends(source.parse().ok()?, destination.parse().ok()?, protocol::TCP)),
        ["udp", source, destination] => Some(ends(source.parse().ok()?, destination.parse().ok()?, protocol::UDP)),
        ["ip", number] => Some(ends(0, 0, number.parse().ok()?)),
        ["frame", "llc"] => Some(Key::frame(BUILT_MACS[0], BUILT_MACS[1], 0)),
        ["frame", ether_type] => {
            Some(Key::frame(BUILT_MACS[0], BUILT_MACS[1], u16::from_str_radix(ether_type, 16).ok()?))
        }
        _ => None,
    }
}

/// Hex digits with blanks anywhere, and text in quotes with `\r`, `\n`, `\t`, `\0`, `\"` and `\\`.
fn built_bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut high = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' if high.is_none() => loop {
                match chars.next()? {
                    '"' => break,
                    '\\' => bytes.push(match chars.next()? {
                        'r' => b'\r',
                        'n' => b'\n',
                        't' => b'\t',
                        '0' => 0,
                        '"' => b'"',
                        '\\' => b'\\',
                        _ => return None,
                    }),
                    c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            },
            c if c.is_whitespace() => {}
            c => {
                let digit = c.to_digit(16)? as u8;
                match high.take() {
                    None => high = Some(digit),
                    Some(high) => bytes.push(high << 4 | digit),
                }
            }
        }
    }
    (high.is_none() && !bytes.is_empty()).then_some(bytes)
}

/// The samples of a built file, all read as the protocol that the file is named after.
fn samples_of_built(path: &Path) -> Result<Vec<Sample>, String> {
    let name = shown(path);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let protocol = PROTOCOLS.iter().find(|p| p.name == stem).ok_or(format!("{name}: no protocol of that name"))?;
    let mut samples = Vec::new();
    for (number, (key, pieces)) in flows_of_built(&name, &fs::read_to_string(path).unwrap())?.into_iter().enumerate() {
        let transport = transport(&key);
        let mut sample = Sample {
            name: format!("{name}, flow {}", number + 1),
            protocol: protocol.name,
            transport,
            key,
            opener_low: true,
            syn: [transport == Transport::Tcp; 2],
            pieces,
            fields: BTreeSet::new(),
        };
        let read = sample.read_whole();
        if !read.protocols.iter().eq([&protocol.name]) {
            return Err(format!("{}: read as {:?}", sample.name, read.protocols));
        }
        sample.fields = read.facts.iter().map(|fact| fact.0).collect();
        samples.push(sample);
    }
    Ok(samples)
}

/// A few flows of every protocol of the registry that has any: those that fill the most fields first, then small ones.
pub fn samples() -> BTreeMap<&'static str, Vec<Sample>> {
    let mut all: BTreeMap<&'static str, Vec<Sample>> = BTreeMap::new();
    for path in fixture_files(&["pcap", "pcapng"]) {
        for sample in flows_of_capture(&path) {
            all.entry(sample.protocol).or_default().push(sample);
        }
    }
    for path in fixture_files(&["txt"]).iter().filter(|path| path.parent().is_some_and(|dir| dir.ends_with("built"))) {
        for sample in samples_of_built(path).unwrap_or_else(|wrong| panic!("{wrong}")) {
            all.entry(sample.protocol).or_default().push(sample);
        }
    }
    all.into_iter().map(|(protocol, found)| (protocol, few(found))).collect()
}

/// The best of many: each time the one with most fields that none before it has; then whole flows, then small ones.
fn few(mut found: Vec<Sample>) -> Vec<Sample> {
    let mut chosen: Vec<Sample> = Vec::new();
    let mut have: BTreeSet<(&str, u8)> = BTreeSet::new();
    while chosen.len() < SAMPLES_MAX && !found.is_empty() {
        let cost = |sample: &Sample| {
            let new = sample.fields.iter().filter(|field| !have.contains(&(**field, sample.transport as u8))).count();
            let bytes: usize = sample.pieces.iter().map(|p| p.bytes.len()).sum();
            (usize::MAX - new, sample.transport == Transport::Tcp && sample.syn != [true; 2], bytes)
        };
        let best = (0..found.len()).min_by_key(|&n| cost(&found[n])).unwrap_or(0);
        let sample = found.remove(best);
        have.extend(sample.fields.iter().map(|field| (*field, sample.transport as u8)));
        chosen.push(sample);
    }
    chosen
}
