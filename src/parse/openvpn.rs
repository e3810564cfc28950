//! OpenVPN: the TLS handshake in its control packets.
//!
//! In: the prefixes of both sides over TCP, or datagrams. Out: the facts of the TLS that the control packets carry in
//! pieces, with or without a signature in each packet (`tls-auth`). Behind `tls-crypt` everything is sealed and the flow
//! is only named. A flow is told by its first packets, which fit to the byte. Data packets are not read.
//! Sources: OpenVPN/openvpn: src/openvpn/ssl_pkt.h, doc/doxygen/doc_protocol_overview.h; OpenVPN/openvpn-rfc.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::collections::BTreeMap;

use crate::bytes::Reader;
use crate::fact::{Facts, Flag, Seen, Side};
use crate::parse::tls::TlsParser;
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

/// OpenVPN.
pub static PROTOCOL: Protocol = Protocol {
    name: "openvpn",
    over: &[Transport::Tcp, Transport::Udp],
    fields: &[],
    claim,
    embedded: false,
    parser: |transport| Box::new(OpenVpn { is_stream: transport == Transport::Tcp, ..OpenVpn::default() }),
};

/// First byte of a packet: five bits of type, three of the key, here the first one.
const CLIENT_RESET: u8 = 7 << 3;
const SERVER_RESET: u8 = 8 << 3;
const CONTROL: u8 = 4 << 3;
const KIND: u8 = 0xf8;
const KINDS: [u8; 2] = [1 << 3, 11 << 3];
const DATA: [u8; 2] = [6 << 3, 9 << 3];

const LENGTH_BYTES: usize = 2;
const SESSION_BYTES: usize = 8;
/// Type, session, no acknowledgement, number 0; the server acknowledges that and repeats the session.
const CLIENT_RESET_BYTES: usize = 14;
const SERVER_RESET_BYTES: usize = 26;
/// Of a reset, with the longest signature.
const RESET_LENGTHS: std::ops::RangeInclusive<u8> = 14..=26 + 72;
/// A signature's number and time.
const STAMP_BYTES: usize = 8;
/// What a signature adds with its stamp: none, MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512.
const SIGNATURE_BYTES: [usize; 7] = [0, 24, 28, 36, 40, 56, 72];
/// What `tls-crypt` adds.
const SEAL_BYTES: usize = 40;
/// First packets are repeated when nobody answers, not more often than this.
const RESETS_MAX: u32 = 64;
/// Seconds since 1970 that a packet may have been sent at: 2012 to 2046.
const TIMES: std::ops::Range<u32> = 0x5000_0000..0x9000_0000;

/// Acknowledgements in a packet, and packets that may be on their way.
const ACKNOWLEDGED_MAX: u8 = 8;
const WINDOW: u32 = 64;
/// Bytes of the TLS of one side that are kept.
const TLS_BYTES_MAX: usize = 24 * 1024;
/// Datagrams in a row that carry no TLS, after which none is waited for.
const QUIET_DATAGRAMS_MAX: u32 = 32;

/// How control packets are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrap {
    /// Readable, with so many bytes of a signature behind the session.
    Signed(usize),
    Sealed,
}

/// What the first packet of a side says.
fn reset(packet: &[u8]) -> Option<Wrap> {
    let mut reader = Reader::new(packet);
    let kind = reader.u8()?;
    let plain = match kind {
        CLIENT_RESET => CLIENT_RESET_BYTES,
        SERVER_RESET => SERVER_RESET_BYTES,
        _ => return None,
    };
    let more = packet.len().checked_sub(plain).filter(|more| SIGNATURE_BYTES.contains(more))?;
    if reader.take(SESSION_BYTES)? == [0; SESSION_BYTES] {
        return None;
    }
    let behind_session = reader;
    match signed_reset(kind, more, reader) {
        Some(()) => Some(Wrap::Signed(more)),
        None if more == SEAL_BYTES => stamp(behind_session).map(|()| Wrap::Sealed),
        None => None,
    }
}

fn signed_reset(kind: u8, more: usize, mut reader: Reader<'_>) -> Option<()> {
    if let Some(signature) = more.checked_sub(STAMP_BYTES) {
        reader.take(signature)?;
        stamp(reader)?;
        reader.take(STAMP_BYTES)?;
    }
    let acknowledged = reader.u8()?;
    let is_right = match kind {
        CLIENT_RESET => acknowledged == 0,
        _ => acknowledged == 1 && reader.u32()? == 0 && reader.take(SESSION_BYTES).is_some(),
    };
    (is_right && reader.u32()? == 0 && reader.is_empty()).then_some(())
}

/// The number of a packet that is one of the first, and when it was sent.
fn stamp(mut reader: Reader<'_>) -> Option<()> {
    let (number, time) = (reader.u32()?, reader.u32()?);
    ((1..=RESETS_MAX).contains(&number) && TIMES.contains(&time)).then_some(())
}

#[inline]
fn claim(&Opening { transport, bytes, .. }: &Opening<'_>) -> Claim {
    let judged = |packet: &[u8]| if reset(packet).is_some() { Claim::Yes } else { Claim::No };
    if transport != Transport::Tcp {
        return judged(bytes);
    }
    // The length stands before each packet.
    match *bytes {
        [0] => Claim::NeedBytes(LENGTH_BYTES),
        [0, length] if RESET_LENGTHS.contains(&length) => Claim::NeedBytes(LENGTH_BYTES.saturating_add(length.into())),
        [0, length, CLIENT_RESET | SERVER_RESET, ..] if RESET_LENGTHS.contains(&length) => {
            let end = LENGTH_BYTES.saturating_add(length.into());
            bytes.get(LENGTH_BYTES..end).map_or(Claim::NeedBytes(end), judged)
        }
        _ => Claim::No,
    }
}

/// One side.
#[derive(Default)]
struct Half {
    /// Where the next packet begins in the prefix.
    at: usize,
    session: Option<[u8; SESSION_BYTES]>,
    /// The number of the piece that is next, less one: the reset has the first one.
    taken: u32,
    /// Pieces that came early.
    early: BTreeMap<u32, Box<[u8]>>,
    /// The TLS so far, and how much of it is needed to read on.
    stream: Vec<u8>,
    wanted: usize,
    done: bool,
}

/// Reads both sides of one flow.
#[derive(Default)]
struct OpenVpn {
    is_stream: bool,
    wrap: Option<Wrap>,
    halves: [Half; 2],
    tls: TlsParser,
    quiet: u32,
    over: bool,
}

impl Parser for OpenVpn {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let wanted = if self.is_stream { self.stream(side, prefix, facts) } else { self.datagram(side, prefix, facts) };
        let all_done = self.over || self.wrap == Some(Wrap::Sealed) || self.halves.iter().all(|half| half.done);
        match wanted {
            _ if all_done => Progress::AllDone,
            Some(bytes) if !prefix.last || !self.is_stream => Progress::NeedBytes(bytes),
            _ => Progress::Done,
        }
    }

    fn heap_bytes(&self) -> usize {
        let of = |half: &Half| {
            half.early.values().fold(half.stream.capacity(), |sum, piece| sum.saturating_add(piece.len()))
        };
        self.halves.iter().fold(size_of::<OpenVpn>(), |sum, half| sum.saturating_add(of(half)))
    }
}

impl OpenVpn {
    /// Reads the packets of a prefix; the bytes that are needed for the next one, if it is wanted.
    fn stream(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Option<usize> {
        loop {
            let half = side.of(&self.halves);
            if half.done || self.over {
                return None;
            }
            let begin = half.at.saturating_add(LENGTH_BYTES);
            let mut reader = Reader::new(prefix.bytes.get(half.at..).unwrap_or_default());
            let Some(length) = reader.u16().map(usize::from) else { return Some(begin) };
            let end = begin.saturating_add(length);
            let Some(packet) = reader.take(length) else { return Some(end) };
            side.of_mut(&mut self.halves).at = end;
            match packet.first().map(|first| first & KIND) {
                Some(kind) if DATA.contains(&kind) => return None,
                Some(kind) if (KINDS[0]..=KINDS[1]).contains(&kind) => self.packet(packet, side, prefix.seen, facts),
                _ => return None,
            };
        }
    }

    fn datagram(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Option<usize> {
        // Of a piece that the capture cut it is not known where the next one goes on.
        let is_whole = prefix.last || reset(prefix.bytes).is_some();
        let is_piece = is_whole && self.packet(prefix.bytes, side, prefix.seen, facts);
        self.quiet = if is_piece { 0 } else { self.quiet.saturating_add(1) };
        self.over |= self.quiet >= QUIET_DATAGRAMS_MAX;
        Some(0)
    }

    /// Takes a packet; whether it is a reset or carries TLS.
    fn packet(&mut self, packet: &[u8], side: Side, seen: Seen, facts: &mut Facts) -> bool {
        let Some((&kind, rest)) = packet.split_first() else { return false };
        let Some(session) = rest.first_chunk::<SESSION_BYTES>() else { return false };
        let half = side.of_mut(&mut self.halves);
        if let Some(wrap) = reset(packet) {
            self.wrap = self.wrap.or(Some(wrap));
            half.session = half.session.or(Some(*session));
            return true;
        }
        let Some(Wrap::Signed(signature)) = self.wrap else { return false };
        if ![CONTROL, CLIENT_RESET, SERVER_RESET].contains(&kind) || *half.session.get_or_insert(*session) != *session {
            return false;
        }
        let Some((number, piece)) = piece(rest, signature) else { return false };
        match kind {
            CONTROL => half.take(number, piece, facts),
            _ => half.begin_behind(number, facts),
        }
        if half.done || half.stream.len() < half.wanted {
            return true;
        }
        // Every message is cut: that says nothing of who sent it.
        let prefix = Prefix { bytes: &half.stream, seen, last: false, split: false };
        match self.tls.feed(side, prefix, facts) {
            Progress::NeedBytes(bytes) => half.wanted = bytes,
            Progress::Done => half.end(),
            Progress::AllDone | Progress::NotMine => self.over = true,
        }
        true
    }
}

/// Number and content of a control packet, behind its type.
fn piece(rest: &[u8], signature: usize) -> Option<(u32, &[u8])> {
    let mut reader = Reader::new(rest);
    reader.take(SESSION_BYTES)?;
    reader.take(signature)?;
    let acknowledged = reader.u8().filter(|count| *count <= ACKNOWLEDGED_MAX)?;
    if acknowledged > 0 {
        reader.take(usize::from(acknowledged).saturating_mul(4).saturating_add(SESSION_BYTES))?;
    }
    Some((reader.u32()?, reader.rest()))
}

impl Half {
    /// Adds a piece; what came before stands.
    fn take(&mut self, number: u32, piece: &[u8], facts: &mut Facts) {
        let ahead = number.checked_sub(self.taken.saturating_add(1));
        if self.done || piece.is_empty() || ahead.is_none_or(|ahead| ahead >= WINDOW) {
            return;
        }
        self.early.entry(number).or_insert_with(|| piece.into());
        self.advance(facts);
    }

    /// A reset that nobody answered is sent again under the next number.
    fn begin_behind(&mut self, number: u32, facts: &mut Facts) {
        if self.stream.is_empty() && number <= RESETS_MAX {
            self.taken = self.taken.max(number);
            self.advance(facts);
        }
    }

    fn advance(&mut self, facts: &mut Facts) {
        while let Some(next) = self.early.remove(&self.taken.saturating_add(1)) {
            self.taken = self.taken.saturating_add(1);
            if self.stream.len().saturating_add(next.len()) > TLS_BYTES_MAX {
                facts.flags.set(Flag::LimitReached);
                return self.end();
            }
            self.stream.extend_from_slice(&next);
        }
    }

    /// Nothing more is wanted of this side.
    fn end(&mut self) {
        *self = Half { done: true, ..Half::default() };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

    use super::*;
    use crate::parse::testing::{C, HELLOS, S, Talk, tcp, udp};
    use crate::parse::tls;

    const SESSIONS: [[u8; 8]; 2] = [[0x51; 8], [0xa2; 8]];
    const TIME: [u8; 4] = [0x6b, 0, 0, 0];

    fn packet(kind: u8, side: Side, signature: usize, number: u32, piece: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend(SESSIONS[side.index()]);
        if signature > 0 {
            bytes.extend(vec![0xee; signature - STAMP_BYTES]);
            bytes.extend((number + 1).to_be_bytes());
            bytes.extend(TIME);
        }
        match side {
            C => bytes.push(0),
            _ => bytes.extend([&[1, 0, 0, 0, 0][..], &SESSIONS[C.index()]].concat()),
        }
        bytes.extend(number.to_be_bytes());
        bytes.extend(piece);
        bytes
    }

    /// A reset and the hello in pieces of sixty bytes.
    fn packets(side: Side, signature: usize) -> Vec<Vec<u8>> {
        let kind = if side == C { CLIENT_RESET } else { SERVER_RESET };
        let pieces = HELLOS[side.index()].chunks(60).zip(1..);
        let hello = pieces.map(|(piece, number)| packet(CONTROL, side, signature, number, piece));
        [packet(kind, side, signature, 0, &[])].into_iter().chain(hello).collect()
    }

    fn framed(packets: &[Vec<u8>]) -> Vec<u8> {
        packets.iter().flat_map(|packet| [&(packet.len() as u16).to_be_bytes()[..], packet].concat()).collect()
    }

    fn read(datagrams: &[(Side, Vec<u8>)]) -> Facts {
        let mut parser = (PROTOCOL.parser)(Transport::Udp);
        let mut facts = Facts::default();
        for (side, bytes) in datagrams {
            let prefix = Prefix { bytes, seen: Seen::default(), last: true, split: false };
            if parser.feed(*side, prefix, &mut facts) == Progress::AllDone {
                break;
            }
        }
        facts
    }

    fn hellos(facts: &Facts) -> [usize; 2] {
        [facts.of(&tls::JA3).count(), facts.of(&tls::JA3S).count()]
    }

    #[test]
    fn hellos_in_pieces_over_tcp() {
        for signature in SIGNATURE_BYTES {
            let [client, server] = [C, S].map(|side| framed(&packets(side, signature)));
            let whole = Talk::new(&PROTOCOL).send(C, &client).send(S, &server).end();
            assert_eq!(hellos(&whole.facts), [1, 1], "{signature}");
            assert_eq!(whole.facts.flags.0, 0);
            let drops = Talk::new(&PROTOCOL).drip(S, &server).drip(C, &client).end();
            assert_eq!(drops.everything(), whole.everything());
        }
    }

    #[test]
    fn datagrams_in_any_order_and_twice() {
        for signature in [0, 28] {
            let mut all: Vec<_> =
                [C, S].iter().flat_map(|&s| packets(s, signature).into_iter().map(move |p| (s, p))).collect();
            all[1..].reverse();
            let twice: Vec<_> = all.iter().flat_map(|packet| [packet.clone(), packet.clone()]).collect();
            assert_eq!(hellos(&read(&twice)), [1, 1]);
            let mut parser = (PROTOCOL.parser)(Transport::Udp);
            let mut facts = Facts::default();
            for (side, bytes) in &all {
                let prefix =
                    Prefix { bytes: &bytes[..bytes.len().min(90)], seen: Seen::default(), last: false, split: false };
                assert_eq!(parser.feed(*side, prefix, &mut facts), Progress::NeedBytes(0));
            }
            assert!(facts.is_empty(), "cut by the capture");
            let mut lost = all.clone();
            lost.retain(|(side, packet)| *side != C || !packet.ends_with(&HELLOS[0][60..120]));
            assert_eq!(hellos(&read(&lost)), [0, 1], "a piece is missing");
        }
    }

    #[test]
    fn another_session_and_far_numbers_are_left_alone() {
        let mut client: Vec<_> = packets(C, 0).into_iter().map(|packet| (C, packet)).collect();
        let mut other = packet(CONTROL, C, 0, 1, b"other");
        other[1] ^= 1;
        client.insert(1, (C, other));
        client.insert(1, (C, packet(CONTROL, C, 0, WINDOW + 1, b"far")));
        assert_eq!(hellos(&read(&client)), [1, 0]);
    }

    /// As in a flow of OpenVPN 2.5: two resets, the second acknowledging, and TLS behind the number of the last.
    #[test]
    fn resets_that_are_repeated_take_numbers() {
        let mut all = packets(C, 72);
        let pieces = all.split_off(1);
        all.push(packet(CLIENT_RESET, C, 72, 1, &[]));
        for piece in pieces {
            let mut piece = piece;
            let at = 1 + SESSION_BYTES + 72 + 1;
            let number = u32::from_be_bytes(piece[at..at + 4].try_into().unwrap()) + 1;
            piece[at..at + 4].copy_from_slice(&number.to_be_bytes());
            all.push(piece);
        }
        let talk = Talk::new(&PROTOCOL).drip(C, &framed(&all)).end();
        assert_eq!(hellos(&talk.facts), [1, 0]);
        let mut datagrams: Vec<_> = all.into_iter().map(|packet| (C, packet)).collect();
        datagrams[1..].reverse();
        assert_eq!(hellos(&read(&datagrams)), [1, 0]);
    }

    #[test]
    fn what_is_sealed_is_named() {
        let mut sealed = packet(CLIENT_RESET, C, SEAL_BYTES, 0, &[]);
        sealed[9..13].copy_from_slice(&1u32.to_be_bytes());
        sealed[13..17].copy_from_slice(&TIME);
        sealed[17..].fill(0x77);
        assert_eq!((sealed.len(), claim_datagram(&sealed)), (54, Claim::Yes));
        assert!(read(&[(C, sealed.clone())]).is_empty());
        sealed[13] = 0;
        assert_eq!(claim_datagram(&sealed), Claim::No, "sent in 1970");
    }

    fn claim_datagram(bytes: &[u8]) -> Claim {
        claim(&udp((40000, 1194), C, bytes))
    }

    #[test]
    fn claims() {
        let claim_stream = |bytes: &[u8]| claim(&tcp((40000, 1194), C, bytes));
        for side in [C, S] {
            for signature in SIGNATURE_BYTES {
                let first = packets(side, signature).swap_remove(0);
                assert_eq!([claim_datagram(&first), claim_stream(&first)], [Claim::Yes, Claim::No]);
                let longer = [&first[..], &[0]].concat();
                assert_eq!([&longer, &first[..first.len() - 1]].map(claim_datagram), [Claim::No; 2]);
                let stream = framed(&[first.clone(), first]);
                assert_eq!([claim_datagram(&stream), claim_stream(&stream)], [Claim::No, Claim::Yes]);
                for end in 1..stream.len() / 2 {
                    assert!(matches!(claim_stream(&stream[..end]), Claim::NeedBytes(n) if n > end), "{end}");
                }
            }
        }
        assert_eq!(claim_datagram(&packets(C, 0)[1]), Claim::No, "a piece alone says too little");
        let no_session = [CLIENT_RESET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(claim_datagram(&no_session), Claim::No);
    }

    /// A reset that is repeated takes numbers up to a limit.
    #[test]
    fn numbers_of_resets() {
        let begun = |number: u32| {
            let hello = HELLOS[0].chunks(60).zip(number + 1..).map(|(piece, n)| packet(CONTROL, C, 72, n, piece));
            let resets = [0, number].map(|number| packet(CLIENT_RESET, C, 72, number, &[]));
            let all: Vec<_> = resets.into_iter().chain(hello).map(|packet| (C, packet)).collect();
            hellos(&read(&all))
        };
        assert_eq!((begun(1), begun(RESETS_MAX), begun(RESETS_MAX + 1)), ([1, 0], [1, 0], [0, 0]));
    }

    /// A handshake is kept up to a limit; one that is longer is left out, and it is said.
    #[test]
    fn bytes_of_a_handshake() {
        // A hello of so many bytes that only its end makes it whole.
        let read = |bytes: usize| {
            let length = u16::try_from(bytes - 5).unwrap().to_be_bytes();
            let hello = u32::try_from(bytes - 9).unwrap().to_be_bytes();
            let stream = [&[22, 3, 1], &length[..], &[1], &hello[1..], &vec![0; bytes - 9]].concat();
            let pieces = stream.chunks(1000).zip(1..).map(|(piece, number)| packet(CONTROL, C, 0, number, piece));
            let all = [packet(CLIENT_RESET, C, 0, 0, &[])].into_iter().chain(pieces);
            let mut parser = OpenVpn::default();
            let mut facts = Facts::default();
            let mut most = 0;
            for bytes in all {
                let prefix = Prefix { bytes: &bytes, seen: Seen::default(), last: true, split: false };
                parser.feed(C, prefix, &mut facts);
                most = most.max(parser.heap_bytes());
            }
            assert!(most < 2 * TLS_BYTES_MAX, "{most}");
            (parser.halves[0].done, facts.flags.has(Flag::LimitReached))
        };
        assert_eq!((read(TLS_BYTES_MAX / 2).1, read(TLS_BYTES_MAX + 1)), (false, (true, true)));
    }

    /// After so many datagrams without TLS none is waited for.
    #[test]
    fn datagrams_without_tls() {
        let found = |quiet: u32| {
            let mut all: Vec<_> = packets(C, 0).into_iter().map(|packet| (C, packet)).collect();
            all.splice(1..1, vec![(S, b"something else".to_vec()); quiet as usize]);
            hellos(&read(&all))
        };
        assert_eq!((found(QUIET_DATAGRAMS_MAX - 1), found(QUIET_DATAGRAMS_MAX)), ([1, 0], [0, 0]));
    }
}
