//! The second pass: packets of the flows that are wanted.
//!
//! In: the inputs once more, from their first packet. Out: the packets by flow, as they were captured, and the digests of
//! the inputs. A flow is known by its key and the number of its first packet; fragments are kept with the datagram that they
//! make. What is kept has limits, by flow and in all.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::choose::{Chosen, Track};
use super::manifest::Input;
use super::{FINDING_PACKETS_MAX, HEADERS_PER_FLOW_MAX, Limits, PAYLOADS_PER_FLOW_MAX, Payload, Wish};
use crate::capture::{Block, LinkType, Packet, Source};
use crate::decode::fragments::{Fragments, Id};
use crate::decode::{self, Refused, Segment, tcp};
use crate::fact::Side;
use crate::flow::key::{Key, protocol};
use crate::report;
use crate::scan::digest;
use crate::time::Time;
use crate::worker::is_data;

/// Packets at the start of a flow that are kept whatever they are.
const FIRST_PACKETS: usize = 4;
/// Packets of each side that carry data behind the facts.
const DATA_PACKETS: u8 = 2;
/// Captured bytes that are kept in memory while inputs are read.
const GATHERED_BYTES_MAX: usize = 256 << 20;
/// Bytes of fragments that wait for the others of their datagram.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// Destination and source hardware address.
const MACS_BYTES: usize = 12;
/// Content type, version and length of a TLS record: they tell data from the rest of a handshake.
pub(super) const RECORD_HEAD_BYTES: usize = 5;

/// What was gathered.
pub(super) struct Gathered {
    /// The packets of each flow, by the number of its first packet.
    pub(super) flows: HashMap<u64, Vec<Raw>>,
    /// What was read, in its order.
    pub(super) inputs: Vec<Input>,
}

/// A packet as it was captured.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) number: u64,
    /// Number under which the flow had it: of a fragment that of the packet which completed the datagram.
    pub(super) part_of: u64,
    pub(super) time: Time,
    pub(super) link: LinkType,
    /// Which input, in the order in which they were read.
    pub(super) input: usize,
    /// Name of its interface, as far as the input tells.
    pub(super) interface: Option<Arc<str>>,
    pub(super) original: u32,
    pub(super) bytes: Vec<u8>,
    /// Where its payload begins.
    pub(super) payload: usize,
    /// Of a fragment, where its bytes belong in the datagram.
    offset: usize,
    pub(super) side: Side,
    /// Behind the facts: it only shows that data follows.
    pub(super) is_data: bool,
}

/// What is wanted of a flow by all findings together.
#[derive(Default)]
struct Flow {
    number: u64,
    packets: u64,
    seen: u64,
    opener_low: bool,
    is_stream: bool,
    until: [u64; 2],
    /// Packets that gave facts.
    facts: Vec<u64>,
    kept: Vec<Raw>,
    payloads: usize,
    headers: usize,
    data: [u8; 2],
}

struct Pass<'a> {
    by_key: HashMap<Key, Vec<Flow>>,
    /// The run told flows apart by their VLANs.
    vlans_apart: bool,
    full: bool,
    bytes: usize,
    fragments: Fragments,
    waiting: HashMap<Id, Vec<Raw>>,
    waiting_bytes: usize,
    limits: &'a mut Limits,
}

/// Reads the inputs once more; `told` is what the report says of them.
pub(super) fn gather(
    source: &mut dyn Source,
    wish: &Wish,
    told: &[report::Source],
    chosen: &[Chosen],
    limits: &mut Limits,
) -> Gathered {
    let mut pass = Pass {
        by_key: wanted(chosen),
        vlans_apart: wish.options.vlans_apart,
        full: wish.payload == Payload::Full,
        bytes: 0,
        fragments: Fragments::default(),
        waiting: HashMap::new(),
        waiting_bytes: 0,
        limits,
    };
    let mut inputs: Vec<(Arc<str>, u64)> = Vec::new();
    let mut left = wish.packets_max;
    while left > 0 {
        let Some(mut block) = source.next_block() else { break };
        block.packets.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= block.packets.len() as u64;
        if inputs.last().is_none_or(|(name, _)| *name != block.input) {
            inputs.push((block.input.clone(), 0));
        }
        let at = inputs.len() - 1;
        if let Some((_, packets)) = inputs.last_mut() {
            *packets += block.packets.len() as u64;
        }
        pass.block(&block, at, source);
    }
    pass.fragments.finish();
    pass.given_up();
    let flows = pass.by_key.into_values().flatten().map(|flow| (flow.number, flow.kept)).collect();
    // What was read once more for the report is not read a third time.
    let known = |input: &str| told.iter().find(|source| source.input == input)?.sha256.clone();
    let inputs = inputs.into_iter().map(|(input, packets)| Input {
        sha256: known(&input).or_else(|| digest(Path::new(&*input)).ok()),
        input: input.to_string(),
        packets,
    });
    Gathered { flows, inputs: inputs.collect() }
}

/// The flows that findings want, each once.
fn wanted(chosen: &[Chosen]) -> HashMap<Key, Vec<Flow>> {
    let mut flows: BTreeMap<u64, (Key, Flow)> = BTreeMap::new();
    let tracks = chosen.iter().flat_map(Chosen::tracks);
    for track in tracks {
        let (_, flow) = flows.entry(track.number).or_insert_with(|| (track.key, Flow::of(track)));
        flow.facts.extend(track.facts.keys());
        for (ours, theirs) in flow.until.iter_mut().zip(track.until) {
            *ours = (*ours).max(theirs);
        }
    }
    let mut by_key: HashMap<Key, Vec<Flow>> = HashMap::new();
    for (key, mut flow) in flows.into_values() {
        flow.facts.sort_unstable();
        by_key.entry(key).or_default().push(flow);
    }
    by_key
}

impl Flow {
    fn of(track: &Track) -> Flow {
        Flow {
            number: track.number,
            packets: track.packets,
            opener_low: track.opener_low,
            is_stream: track.is_stream,
            ..Flow::default()
        }
    }
}

/// What becomes of a packet.
enum Keep {
    /// Kept with its payload.
    Whole,
    /// Kept up to the end of its headers.
    Headers,
    /// As that, for the data that it shows.
    Data,
    No,
    /// It would be, but for a limit.
    Over(&'static str, usize),
}

impl Pass<'_> {
    fn block(&mut self, block: &Block, input: usize, source: &dyn Source) {
        let bytes = block.bytes.as_slice();
        for (packet, number) in block.packets.iter().zip(block.first_number..) {
            let raw = |side, payload: usize| {
                let interface = source.interface(packet.interface);
                Raw { input, interface, side, ..raw(bytes, packet, number, payload.saturating_sub(packet.start)) }
            };
            match decode::decode(bytes, packet, number) {
                Ok(segment) => self.segment(&segment, bytes, |side, payload| vec![raw(side, payload)]),
                Err(Refused::Piece(piece)) => {
                    self.wait(piece.id, Raw { offset: piece.offset as usize, ..raw(Side::Source, piece.payload) });
                    if let Some(whole) = self.fragments.take(&piece, bytes) {
                        let pieces = self.waiting.remove(&piece.id).unwrap_or_default();
                        self.whole(&whole.segment, &whole.bytes, pieces);
                    }
                    self.given_up();
                }
                Err(refused) if refused.is_frame() => {
                    if let Some(segment) = decode::frame(bytes, packet, number) {
                        self.segment(&segment, bytes, |side, payload| vec![raw(side, payload)]);
                    }
                }
                Err(_) => {}
            }
        }
    }

    /// A fragment waits for the others of its datagram.
    fn wait(&mut self, id: Id, raw: Raw) {
        self.waiting_bytes += raw.bytes.len();
        self.waiting.entry(id).or_default().push(raw);
        if self.waiting_bytes > WAITING_BYTES_MAX {
            self.limits.reach("fragments.bytes", WAITING_BYTES_MAX, self.waiting.len());
            self.waiting.clear();
            self.waiting_bytes = 0;
        }
    }

    /// First fragments of datagrams that never became whole stand for them.
    fn given_up(&mut self) {
        for front in self.fragments.fronts() {
            let number = front.segment.number;
            let id =
                self.waiting.iter().find(|(_, pieces)| pieces.iter().any(|p| p.number == number)).map(|(id, _)| *id);
            let mut pieces = id.and_then(|id| self.waiting.remove(&id)).unwrap_or_default();
            pieces.retain(|piece| piece.number == number);
            self.whole(&front.segment, &front.bytes, pieces);
        }
    }

    fn whole(&mut self, segment: &Segment, bytes: &[u8], pieces: Vec<Raw>) {
        self.waiting_bytes = self.waiting_bytes.saturating_sub(pieces.iter().map(|piece| piece.bytes.len()).sum());
        let number = segment.number;
        // The datagram's bytes stand behind the hardware addresses, when there are any.
        let headers = segment.payload.saturating_sub(if segment.macs.is_some() { MACS_BYTES } else { 0 });
        self.segment(segment, bytes, |side, _| {
            let of_whole = |piece: Raw| {
                let payload = (piece.payload + headers.saturating_sub(piece.offset)).min(piece.bytes.len());
                Raw { part_of: number, side, payload, ..piece }
            };
            pieces.into_iter().map(of_whole).collect()
        });
    }

    /// A segment, and the packets that it came in when it is wanted.
    fn segment(&mut self, segment: &Segment, bytes: &[u8], packets: impl FnOnce(Side, usize) -> Vec<Raw>) {
        let key = if self.vlans_apart { segment.key.in_vlan(segment.vlan) } else { segment.key };
        let Some(flows) = self.by_key.get_mut(&key) else { return };
        let of_packet = |flow: &&mut Flow| flow.number <= segment.number && flow.seen < flow.packets;
        let Some(flow) = flows.iter_mut().rev().find(of_packet) else { return };
        flow.seen += u64::from(segment.packets.max(1));
        let side = if segment.from_low == flow.opener_low { Side::Source } else { Side::Destination };
        let keep = if self.full { full(flow) } else { flow.keep(segment, side, bytes) };
        let (cut, is_data) = match keep {
            Keep::Over(name, limit) => {
                self.limits.reach(name, limit, 1);
                return;
            }
            Keep::Whole => (false, false),
            Keep::Headers => (true, false),
            Keep::Data => (true, true),
            Keep::No => return,
        };
        for mut raw in packets(side, segment.payload) {
            if cut {
                raw.cut_to_headers();
            }
            raw.is_data = is_data;
            if self.bytes + raw.bytes.len() > GATHERED_BYTES_MAX {
                self.limits.reach("gathered.bytes", GATHERED_BYTES_MAX, 1);
                continue;
            }
            self.bytes += raw.bytes.len();
            flow.kept.push(raw);
        }
    }
}

/// All packets of a flow, within limits.
fn full(flow: &mut Flow) -> Keep {
    flow.payloads += 1;
    if flow.payloads <= FINDING_PACKETS_MAX { Keep::Whole } else { Keep::Over("flow.packets", FINDING_PACKETS_MAX) }
}

impl Flow {
    fn keep(&mut self, segment: &Segment, side: Side, bytes: &[u8]) -> Keep {
        let (number, s) = (segment.number, side.index());
        let len = segment.payload_len + segment.payload_cut;
        let before_facts = self.is_stream && number <= *side.of(&self.until) && len > 0;
        if self.facts.binary_search(&number).is_ok() || before_facts {
            self.payloads += 1;
            let over = self.payloads > PAYLOADS_PER_FLOW_MAX;
            return if over { Keep::Over("flow.payloads", PAYLOADS_PER_FLOW_MAX) } else { Keep::Whole };
        }
        let opens = segment.key.protocol() == protocol::TCP && segment.tcp_flags & tcp::SYN != 0;
        let early = self.is_stream && self.until.iter().any(|until| number <= *until);
        if self.headers < FIRST_PACKETS || opens || early {
            self.headers += 1;
            let over = self.headers > HEADERS_PER_FLOW_MAX;
            return if over { Keep::Over("flow.headers", HEADERS_PER_FLOW_MAX) } else { Keep::Headers };
        }
        let payload = bytes.get(segment.payload..segment.payload + segment.payload_len as usize).unwrap_or_default();
        let is_tcp = segment.key.protocol() == protocol::TCP;
        let shows_data = len > 0 && (!is_tcp || is_data(payload, len));
        if shows_data && self.data[s] < DATA_PACKETS && number > self.until[0].max(self.until[1]) {
            self.data[s] += 1;
            return Keep::Data;
        }
        Keep::No
    }
}

impl Raw {
    /// Ends it behind its headers, or behind the head of the TLS record that begins there.
    pub(super) fn cut_to_headers(&mut self) {
        let payload = self.bytes.get(self.payload..).unwrap_or_default();
        let head = if is_record(payload) { RECORD_HEAD_BYTES } else { 0 };
        self.bytes.truncate(self.payload + head);
    }
}

/// Whether a TLS record begins here (RFC 8446, section 5.1).
pub(super) fn is_record(payload: &[u8]) -> bool {
    matches!(payload, [0x14..=0x17, 3, 0..=4, _, _, ..])
}

/// A packet as it was captured; of which interface, input and side is not said yet.
fn raw(bytes: &[u8], packet: &Packet, number: u64, payload: usize) -> Raw {
    let captured = bytes.get(packet.start..packet.start + packet.captured as usize).unwrap_or_default();
    Raw {
        number,
        part_of: number,
        time: packet.time,
        link: packet.link,
        input: 0,
        interface: None,
        original: packet.original.max(packet.captured),
        payload: payload.min(captured.len()),
        bytes: captured.to_vec(),
        offset: 0,
        side: Side::Source,
        is_data: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::tunnels::Tunnels;

    fn pass(limits: &mut Limits) -> Pass<'_> {
        Pass {
            by_key: HashMap::new(),
            vlans_apart: false,
            full: true,
            bytes: 0,
            fragments: Fragments::default(),
            waiting: HashMap::new(),
            waiting_bytes: 0,
            limits,
        }
    }

    fn raw_of(bytes: usize) -> Raw {
        let packet = Packet {
            time: Time(0),
            start: 0,
            captured: bytes as u32,
            original: bytes as u32,
            link: LinkType(1),
            interface: 0,
        };
        raw(&vec![7; bytes], &packet, 1, 0)
    }

    /// Packets are kept in memory up to a limit; of more it is said how many were left out.
    #[test]
    fn bytes_that_are_gathered() {
        const PACKET: usize = 1 << 20;
        let (key, from_low) = Key::v4([10, 0, 0, 1], 4000, [192, 0, 2, 1], 443, protocol::TCP);
        let segment = Segment { number: 1, ..Segment::bare(key, from_low) };
        let mut limits = Limits::default();
        let mut pass = pass(&mut limits);
        let flow = Flow { number: 1, packets: u64::MAX, opener_low: from_low, is_stream: true, ..Flow::default() };
        pass.by_key.insert(key, vec![flow]);
        for _ in 0..GATHERED_BYTES_MAX / PACKET + 3 {
            pass.segment(&segment, &[], |_, _| vec![raw_of(PACKET)]);
        }
        let kept: usize = pass.by_key[&key][0].kept.iter().map(|raw| raw.bytes.len()).sum();
        assert_eq!(kept, GATHERED_BYTES_MAX);
        assert_eq!(limits.0["gathered.bytes"].left_out, 3);
    }

    /// Fragments whose datagrams never become whole wait up to a limit; then they go, and it is said.
    #[test]
    fn bytes_of_fragments_that_wait() {
        const PART: usize = 1 << 16;
        let mut limits = Limits::default();
        let mut pass = pass(&mut limits);
        let mut most = 0;
        for number in 0..2 * (WAITING_BYTES_MAX / PART) as u32 {
            let id = Id {
                from: [0; 16],
                to: [1; 16],
                version: 4,
                protocol: 17,
                number,
                vlan: None,
                outer: 0,
                tunnels: Tunnels::NONE,
            };
            pass.wait(id, raw_of(PART));
            let there: usize = pass.waiting.values().flatten().map(|raw| raw.bytes.len()).sum();
            assert_eq!(there, pass.waiting_bytes);
            most = most.max(there);
        }
        assert_eq!(most, WAITING_BYTES_MAX);
        assert!(limits.0["fragments.bytes"].left_out as usize > WAITING_BYTES_MAX / PART);
    }
}
