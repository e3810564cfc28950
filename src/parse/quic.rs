//! QUIC: the hellos of both sides, out of their Initial packets.
//!
//! In: datagrams. Out: what the client offers and the server chooses, as in TLS over TCP, and the version. The keys
//! of Initial packets follow from a connection id that stands in the open; a packet whose tag does not agree is no
//! packet and tells nothing. What comes after the hellos is sealed for everybody else.
//! Sources: RFC 8999, RFC 9000, RFC 9001, RFC 9368 and RFC 9369 (version 2).

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod frame;
mod initial;
mod packet;
mod version;

#[cfg(test)]
mod tests;

use smallvec::SmallVec;

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Seen, Side};
use crate::fingerprint::ja4::Transport as HelloTransport;
use crate::parse::tls::hello::{ClientHello, ServerHello};
use crate::parse::tls::{self, CLIENT_HELLO, Carrier, SERVER_HELLO};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, is_at};
use crate::stream::{PREFIX_BYTES_MAX, Stream};
use frame::Pieces;
use initial::{Keys, Role};
use packet::{CONNECTION_ID_BYTES_MAX, Kind as PacketKind, Long, Packet, varint};

/// Server name of a ClientHello.
pub static SNI: Field = Field::new("quic.sni", Kind::Name, "server name in a QUIC ClientHello", "RFC 9001 section 4");
/// Version of a packet, 1 for the first standard.
pub static VERSION: Field =
    Field::new("quic.version", Kind::Number, "version of QUIC, 1 is RFC 9000", "RFC 9000 section 15");
/// What Google's clients say they are.
pub static USER_AGENT: Field = Field::new(
    "quic.user_agent",
    Kind::Text,
    "user_agent transport parameter, 0x3129",
    "IANA, QUIC Transport Parameters",
);

/// QUIC.
pub static PROTOCOL: Protocol = Protocol {
    name: "quic",
    over: &[Transport::Udp],
    fields: &[&SNI, &VERSION, &USER_AGENT],
    claim,
    embedded: false,
    parser: |_| Box::new(Quic::new()),
};

const CARRIER: Carrier = Carrier { transport: HelloTransport::Quic, name_field: &SNI };

/// A client's first datagrams have at least this much (RFC 9000 section 14.1), and its first connection id for the
/// server too (section 7.2). Keys are derived for nothing less.
const CLIENT_DATAGRAM_BYTES_MIN: usize = 1200;
const CLIENT_CONNECTION_ID_BYTES_MIN: usize = 8;
/// Keys derived in one flow. A flow needs two; each Retry, other version or further client one or two more.
const DERIVATIONS_MAX: u32 = 8;
/// Initial packets of one flow that are opened, or tried.
const PACKETS_MAX: u32 = 128;
/// Packets of one datagram that are looked at.
const COALESCED_MAX: usize = 8;
/// Datagrams in a row without an Initial packet, after which no hello is waited for.
const QUIET_DATAGRAMS_MAX: u32 = 32;
/// Bytes of the header of a handshake message: type, length.
const MESSAGE_HEADER_BYTES: usize = 4;
/// A hello that does not fit into the bytes kept of a side is not waited for.
const HELLO_BYTES_MAX: usize = PREFIX_BYTES_MAX - MESSAGE_HEADER_BYTES;
/// `quic_transport_parameters`, RFC 9001 section 8.2, and its number in the drafts.
const TRANSPORT_PARAMETERS: [u16; 2] = [0x39, 0xffa5];
const USER_AGENT_PARAMETER: u64 = 0x3129;
/// Where a version that nobody can open, and a packet that the capture cut, are taken for QUIC all the same.
const USUAL_PORT: u16 = 443;

/// A version that can be opened or is known not to be, in a header whose lengths fit.
fn claim(&Opening { ports, bytes, .. }: &Opening<'_>) -> Claim {
    let Some(&first) = bytes.first() else { return Claim::No };
    let usual_port = is_at(ports, &[USUAL_PORT]);
    let is_quic = match packet::read(bytes) {
        Some((Packet::Long(_), _)) => packet::is_fixed(first),
        Some((Packet::Negotiation(list), _)) => {
            list.as_chunks::<4>().0.iter().any(|&number| version::dialect(u32::from_be_bytes(number)).is_some())
        }
        Some((Packet::Unknown(number, to), _)) => {
            packet::is_fixed(first) && version::is_grease(number) && usual_port && may_be_first(bytes.len(), to)
        }
        Some((Packet::Short, _)) => false,
        None => usual_port && packet::is_cut_initial(bytes),
    };
    if is_quic || packet::google_version(bytes).is_some() { Claim::Yes } else { Claim::No }
}

/// Whether a client may begin with a datagram of this length to this connection id.
fn may_be_first(datagram_bytes: usize, to: &[u8]) -> bool {
    datagram_bytes >= CLIENT_DATAGRAM_BYTES_MIN && to.len() >= CLIENT_CONNECTION_ID_BYTES_MIN
}

/// One side.
struct Half {
    /// What opens its packets, and the version that is for.
    keys: Option<(u32, Keys)>,
    /// The packet number to expect.
    expected: u64,
    /// Its handshake bytes from this offset on, and how many of them were read.
    stream: Stream,
    start: u32,
    read_bytes: usize,
    hellos: u32,
    /// The hello so far came in more than one datagram.
    split: bool,
    /// What it says is no hello.
    foreign: bool,
}

impl Half {
    fn new() -> Half {
        let (keys, stream) = (None, stream_from(0));
        Half { keys, expected: 0, stream, start: 0, read_bytes: 0, hellos: 0, split: false, foreign: false }
    }

    /// Some of a hello is there and some is missing.
    fn is_waiting(&self) -> bool {
        self.stream.has_hole() || self.stream.prefix().len() > self.read_bytes
    }

    /// The message that was begun: its type, its length and what is there of its body.
    fn message(&self) -> Option<(u8, usize, &[u8])> {
        let mut reader = Reader::new(self.stream.prefix().get(self.read_bytes..)?);
        let kind = reader.u8()?;
        Some((kind, reader.u24()? as usize, reader.rest()))
    }

    /// A hello was read; when nothing stands behind it, its bytes are dropped.
    fn pass(&mut self, length: usize) {
        self.hellos = self.hellos.saturating_add(1);
        self.read_bytes = self.read_bytes.saturating_add(MESSAGE_HEADER_BYTES).saturating_add(length);
        if !self.is_waiting() {
            self.start = self.start.saturating_add(self.read_bytes as u32);
            self.read_bytes = 0;
            self.stream = stream_from(self.start);
        }
    }

    /// Takes the handshake bytes of a packet.
    fn gather(&mut self, frames: &[u8], crypto_frame: u8, facts: &mut Facts) {
        let mut pieces = Pieces::new(frames, crypto_frame);
        for (offset, bytes) in pieces.by_ref() {
            match u32::try_from(offset) {
                Ok(offset) if (offset as usize).saturating_add(bytes.len()) <= PREFIX_BYTES_MAX => {
                    let inserted = self.stream.insert(offset, bytes);
                    if inserted.conflict {
                        facts.flags.set(Flag::OverlapConflict);
                    }
                    if inserted.limited {
                        facts.flags.set(Flag::LimitReached);
                    }
                }
                _ => facts.flags.set(Flag::LimitReached),
            }
        }
        if pieces.malformed {
            facts.flags.set(Flag::ParseError);
        }
    }
}

fn stream_from(offset: u32) -> Stream {
    let mut stream = Stream::default();
    stream.anchor(offset);
    stream
}

/// Reads both sides of one flow.
struct Quic {
    halves: [Half; 2],
    /// The side whose Initial packet could be opened as a client's.
    client: Option<Side>,
    /// The connection id from which all keys come.
    first_to: SmallVec<[u8; CONNECTION_ID_BYTES_MAX]>,
    /// The server asked for another ClientHello.
    retry: bool,
    derivations: u32,
    packets: u32,
    quiet: u32,
}

impl Parser for Quic {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if let Some(number) = packet::google_version(prefix.bytes) {
            facts.add_number(&VERSION, side, prefix.seen, u64::from(number));
            return Progress::AllDone;
        }
        let before = self.packets;
        let mut rest = prefix.bytes;
        for _ in 0..COALESCED_MAX {
            let Some((packet, behind)) = packet::read(rest) else { break };
            rest = behind;
            match packet {
                Packet::Long(long) if long.kind == PacketKind::Initial => self.initial(&long, side, prefix, facts),
                Packet::Unknown(number, _) if version::is_grease(number) => {
                    facts.add_number(&VERSION, side, prefix.seen, u64::from(number));
                }
                // The server has answered before that.
                Packet::Short if self.client == Some(side) && self.is_settled(side) => return Progress::AllDone,
                _ => {}
            }
        }
        if self.client.is_some() && self.is_settled(Side::Source) && self.is_settled(Side::Destination) {
            return Progress::AllDone;
        }
        self.quiet = if self.packets > before { 0 } else { self.quiet.saturating_add(1) };
        if self.quiet >= QUIET_DATAGRAMS_MAX || self.packets >= PACKETS_MAX {
            if self.packets >= PACKETS_MAX {
                facts.flags.set(Flag::LimitReached);
            }
            self.read_cut(prefix.seen, facts);
            return Progress::AllDone;
        }
        Progress::NeedBytes(0)
    }

    fn heap_bytes(&self) -> usize {
        let streams = self.halves.iter().map(|half| half.stream.heap_bytes());
        streams.fold(size_of::<Quic>(), usize::saturating_add)
    }
}

impl Quic {
    fn new() -> Quic {
        Quic {
            halves: [Half::new(), Half::new()],
            client: None,
            first_to: SmallVec::new(),
            retry: false,
            derivations: 0,
            packets: 0,
            quiet: 0,
        }
    }

    fn half(&self, side: Side) -> &Half {
        side.of(&self.halves)
    }

    fn half_mut(&mut self, side: Side) -> &mut Half {
        side.of_mut(&mut self.halves)
    }

    /// Nothing more is wanted of this side.
    fn is_settled(&self, side: Side) -> bool {
        let half = self.half(side);
        half.foreign || half.hellos > u32::from(self.retry)
    }

    /// Reads an Initial packet.
    fn initial(&mut self, packet: &Long<'_>, side: Side, prefix: Prefix<'_>, facts: &mut Facts) {
        if self.packets >= PACKETS_MAX {
            return;
        }
        self.packets = self.packets.saturating_add(1);
        let mut buffer = Vec::new();
        let Some(frames) = self.open(packet, side, prefix.bytes.len(), &mut buffer, facts) else {
            // What the server sends cannot be opened when the client was not seen.
            if self.client.is_none_or(|client| client == side) {
                facts.flags.set(Flag::ParseError);
            }
            return;
        };
        facts.add_number(&VERSION, side, prefix.seen, u64::from(packet.version));
        if self.is_settled(side) {
            return;
        }
        self.half_mut(side).gather(frames, packet.dialect.crypto_frame, facts);
        self.read_hellos(side, prefix.seen, facts);
        let half = self.half_mut(side);
        half.split |= half.is_waiting();
        if self.halves.iter().any(Half::is_waiting) {
            facts.flags.set(Flag::Gap);
        } else {
            facts.flags.clear(Flag::Gap);
        }
    }

    /// Opens a packet with the keys of its side, or else as the first of a client.
    fn open<'b>(
        &mut self,
        packet: &Long<'_>,
        side: Side,
        datagram_bytes: usize,
        buffer: &'b mut Vec<u8>,
        facts: &mut Facts,
    ) -> Option<&'b [u8]> {
        if let Some(client) = self.client {
            let role = if side == client { Role::Client } else { Role::Server };
            if self.half(side).keys.as_ref().is_none_or(|(version, _)| *version != packet.version) {
                let first_to = self.first_to.clone();
                let keys = self.derive(packet, &first_to, role, facts)?;
                self.half_mut(side).keys = Some((packet.version, keys));
            }
            let half = self.half_mut(side);
            let (_, keys) = half.keys.as_ref()?;
            if let Some((number, frames)) = keys.open(packet, half.expected, buffer) {
                half.expected = half.expected.max(number.saturating_add(1));
                return buffer.get(frames);
            }
            if role == Role::Server || *self.first_to == *packet.to {
                return None;
            }
        }
        if !may_be_first(datagram_bytes, packet.to) {
            return None;
        }
        // After a Retry the client begins anew, with the connection id that it was given.
        let keys = self.derive(packet, packet.to, Role::Client, facts)?;
        let (number, frames) = keys.open(packet, 0, buffer)?;
        self.halves = [Half::new(), Half::new()];
        self.retry = false;
        self.client = Some(side);
        self.first_to = SmallVec::from_slice(packet.to);
        let half = self.half_mut(side);
        half.keys = Some((packet.version, keys));
        half.expected = number.saturating_add(1);
        buffer.get(frames)
    }

    fn derive(&mut self, packet: &Long<'_>, first_to: &[u8], role: Role, facts: &mut Facts) -> Option<Keys> {
        if self.derivations >= DERIVATIONS_MAX {
            facts.flags.set(Flag::LimitReached);
            return None;
        }
        self.derivations = self.derivations.saturating_add(1);
        Keys::derive(packet.dialect, first_to, role)
    }

    /// Reads the hellos of a side as far as they are complete.
    fn read_hellos(&mut self, side: Side, seen: Seen, facts: &mut Facts) {
        let wanted = if self.client == Some(side) { CLIENT_HELLO } else { SERVER_HELLO };
        while !self.is_settled(side) {
            let half = self.half_mut(side);
            let Some((kind, length, rest)) = half.message() else { return };
            if kind != wanted || length > HELLO_BYTES_MAX {
                half.foreign = true;
                facts.flags.set(if kind == wanted { Flag::LimitReached } else { Flag::ParseError });
                return;
            }
            let Some(body) = rest.get(..length) else { return };
            let mut retry = false;
            if kind == CLIENT_HELLO {
                if half.split {
                    facts.flags.set(Flag::HelloSplit);
                }
                match ClientHello::parse(body) {
                    Ok(hello) => add_client_hello(&hello, side, seen, facts),
                    Err(_) => facts.flags.set(Flag::ParseError),
                }
            } else {
                match ServerHello::parse(body) {
                    Ok(hello) => {
                        tls::add_server_hello(&hello, side, seen, facts);
                        retry = hello.retry;
                    }
                    Err(_) => facts.flags.set(Flag::ParseError),
                }
            }
            half.pass(length);
            self.retry |= retry;
        }
    }

    /// What can be had of a ClientHello whose rest will never come.
    fn read_cut(&self, seen: Seen, facts: &mut Facts) {
        let Some(client) = self.client else { return };
        if let Some((CLIENT_HELLO, length, rest)) = self.half(client).message() {
            tls::add_names_of_cut(rest.get(..length).unwrap_or(rest), &CARRIER, client, seen, facts);
        }
    }
}

fn add_client_hello(hello: &ClientHello<'_>, side: Side, seen: Seen, facts: &mut Facts) {
    tls::add_client_hello(hello, &CARRIER, side, seen, facts);
    let parameters = TRANSPORT_PARAMETERS.iter().find_map(|&kind| hello.extension(kind));
    if let Some(agent) = parameters.and_then(user_agent).filter(|agent| !agent.is_empty()) {
        facts.add(&USER_AGENT, side, seen, agent);
    }
}

/// The client's name for itself among the transport parameters, RFC 9000 section 18.
fn user_agent(parameters: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(parameters);
    let mut agent = None;
    while !reader.is_empty() {
        let id = varint(&mut reader)?;
        let length = varint(&mut reader)?;
        let value = reader.take(usize::try_from(length).ok()?)?;
        if id == USER_AGENT_PARAMETER {
            agent = agent.or(Some(value));
        }
    }
    // Only of a list that fits to its end: the early drafts wrote it in another way.
    agent
}
