//! The frames to send: traffic in memory, gone over again and again, each round with other addresses.
//!
//! In: a [`Load`] and the longest frame the interface takes. Out: one frame after the other. In every round but the first
//! the same bits of all IPv4 and IPv6 addresses are turned, those of the network kept: both directions of a flow stay
//! one flow, inside stays inside, and no flow comes back in a later round. Checksums are put right as RFC 1624 says.

use std::sync::Arc;

use super::super::load::Load;
use crate::capture::{LinkType, Source};

/// LINKTYPE_ETHERNET.
const ETHERNET: LinkType = LinkType(1);
/// Shortest frame that can be sent: an Ethernet header.
const FRAME_BYTES_MIN: usize = 14;
/// VLAN tags that are looked behind.
const TAGS_MAX: usize = 2;
/// Address bits that are turned: of IPv4 the third octet and six bits of the fourth.
const ROUND_MASK: u16 = 0xff3f;

/// Frames in memory.
pub struct Frames {
    images: Vec<Arc<Vec<u8>>>,
    frames: Vec<Frame>,
    /// Frames of a round that are not sent: too long for the interface, cut short by a capture, or not Ethernet.
    pub not_sendable: u64,
}

/// Where one lies.
#[derive(Clone, Copy)]
struct Frame {
    image: u32,
    start: u32,
    length: u32,
}

/// Goes over them from the beginning.
pub struct Cursor<'a> {
    frames: &'a Frames,
    next: usize,
    round: u32,
    scratch: Vec<u8>,
}

impl Frames {
    /// Of a load; frames longer than so are left out and counted.
    pub fn new(load: &Load, frame_bytes_max: usize) -> Frames {
        let mut all = Frames { images: Vec::new(), frames: Vec::new(), not_sendable: 0 };
        let mut source = load.replay(1);
        while let Some(block) = source.next_block() {
            let crate::capture::Bytes::Owned(bytes) = &block.bytes else { continue };
            if !all.images.last().is_some_and(|last| Arc::ptr_eq(last, bytes)) {
                all.images.push(bytes.clone());
            }
            let image = all.images.len().saturating_sub(1) as u32;
            for packet in &block.packets {
                let length = packet.captured as usize;
                let whole = packet.original <= packet.captured && packet.link == ETHERNET;
                match u32::try_from(packet.start) {
                    Ok(start) if whole && (FRAME_BYTES_MIN..=frame_bytes_max).contains(&length) => {
                        all.frames.push(Frame { image, start, length: packet.captured });
                    }
                    _ => all.not_sendable += 1,
                }
            }
        }
        all
    }

    /// Frames of a round.
    pub fn count(&self) -> u64 {
        self.frames.len() as u64
    }

    /// Bytes of a round.
    pub fn bytes(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.length)).sum()
    }

    /// From the first frame on.
    pub fn cursor(&self) -> Cursor<'_> {
        let mut cursor = Cursor { frames: self, next: 0, round: 0, scratch: Vec::new() };
        cursor.fetch();
        cursor
    }
}

impl Cursor<'_> {
    /// The frame whose turn it is; empty when there is none at all.
    pub fn frame(&self) -> &[u8] {
        &self.scratch
    }

    /// On to the next one.
    pub fn advance(&mut self) {
        self.next += 1;
        if self.next >= self.frames.frames.len() {
            self.next = 0;
            self.round = self.round.wrapping_add(1);
        }
        self.fetch();
    }

    fn fetch(&mut self) {
        self.scratch.clear();
        let Some(frame) = self.frames.frames.get(self.next) else { return };
        let (start, length) = (frame.start as usize, frame.length as usize);
        let image = self.frames.images.get(frame.image as usize);
        self.scratch.extend_from_slice(image.and_then(|image| image.get(start..start + length)).unwrap_or_default());
        if self.round > 0 {
            turn(&mut self.scratch, self.round);
        }
    }
}

/// The addresses of a frame for a round; what is not IP, or IP in a form that is not known, stays as it is.
fn turn(frame: &mut [u8], round: u32) {
    let mut at = 12;
    for _ in 0..TAGS_MAX {
        if !matches!(word(frame, at), Some(0x8100 | 0x88a8)) {
            break;
        }
        at += 4;
    }
    let packet = match word(frame, at) {
        Some(0x0800) => frame.get_mut(at + 2..).and_then(turn_v4),
        Some(0x86dd) => frame.get_mut(at + 2..).and_then(turn_v6),
        _ => None,
    };
    let Some(Turned { packet, sums, places }) = packet else { return };
    // The low byte of the number goes into the octet that most often differs between networks.
    let bits = (round as u16).rotate_right(8) & ROUND_MASK;
    for place in places.into_iter().flatten() {
        let Some(old) = word(packet, place) else { return };
        let new = old ^ bits;
        put(packet, place, new);
        for &(sum, zero_is_none) in sums.iter().flatten() {
            match word(packet, sum) {
                Some(0) if zero_is_none => {}
                Some(before) => put(packet, sum, updated(before, old, new)),
                None => {}
            }
        }
    }
}

/// An IP packet, where its checksums are and whether zero in one says that there is none, and the words to turn.
struct Turned<'a> {
    packet: &'a mut [u8],
    sums: [Option<(usize, bool)>; 2],
    places: [Option<usize>; 2],
}

fn turn_v4(packet: &mut [u8]) -> Option<Turned<'_>> {
    let first = *packet.first()?;
    let header = usize::from(first & 0xf) * 4;
    if first >> 4 != 4 || packet.len() < header.max(20) {
        return None;
    }
    // Only the first fragment has the header of the transport.
    let is_first = word(packet, 6)? & 0x1fff == 0;
    let sum = if is_first { checksum_at(*packet.get(9)?, false).map(|(at, none)| (header + at, none)) } else { None };
    let place = |at: usize| packet.get(at).is_some_and(|&octet| octet < 224).then_some(at + 2);
    let places = [place(12), place(16)];
    Some(Turned { packet, sums: [Some((10, false)), sum], places })
}

fn turn_v6(packet: &mut [u8]) -> Option<Turned<'_>> {
    let next = *packet.get(6)?;
    // Behind extension headers the checksum would have to be looked for.
    let sum = checksum_at(next, true)?;
    let place = |at: usize| packet.get(at).is_some_and(|&octet| octet != 0xff).then_some(at + 4);
    let places = [place(8), place(24)];
    Some(Turned { packet, sums: [Some((40 + sum.0, sum.1)), None], places })
}

/// Where a transport that covers the addresses has its checksum.
fn checksum_at(protocol: u8, v6: bool) -> Option<(usize, bool)> {
    match protocol {
        6 => Some((16, false)),
        17 => Some((6, true)),
        58 if v6 => Some((2, false)),
        _ => None,
    }
}

/// RFC 1624, equation 3.
fn updated(sum: u16, old: u16, new: u16) -> u16 {
    let mut total = u32::from(!sum) + u32::from(!old) + u32::from(new);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Options;
    use super::super::super::load::Name;
    use super::super::super::traffic::{Size, Workload};
    use super::*;
    use std::collections::BTreeSet;

    fn frames(workload: Workload, packets: u64, longest: usize) -> Frames {
        let options = Options { size: Size::Packets(packets), ..Options::default() };
        let Ok(load) = Load::new(&Name::Workload(workload), &options) else { unreachable!() };
        Frames::new(&load, longest)
    }

    /// Checksums as another library computes them.
    fn is_right(frame: &[u8]) -> bool {
        use etherparse::{NetSlice, SlicedPacket, TransportSlice};
        let Ok(sliced) = SlicedPacket::from_ethernet(frame) else { return false };
        let Some(net) = &sliced.net else { return false };
        match (net, sliced.transport) {
            (NetSlice::Ipv4(ip), Some(TransportSlice::Tcp(tcp))) => {
                let header = ip.header().to_header();
                header.calc_header_checksum() == header.header_checksum
                    && tcp.to_header().calc_checksum_ipv4(&header, tcp.payload()) == Ok(tcp.checksum())
            }
            (NetSlice::Ipv4(ip), Some(TransportSlice::Udp(udp))) => {
                let header = ip.header().to_header();
                udp.to_header().calc_checksum_ipv4(&header, udp.payload()) == Ok(udp.checksum())
            }
            (NetSlice::Ipv6(ip), Some(TransportSlice::Tcp(tcp))) => {
                let header = ip.header().to_header();
                tcp.to_header().calc_checksum_ipv6(&header, tcp.payload()) == Ok(tcp.checksum())
            }
            (NetSlice::Ipv6(ip), Some(TransportSlice::Udp(udp))) => {
                let header = ip.header().to_header();
                udp.to_header().calc_checksum_ipv6(&header, udp.payload()) == Ok(udp.checksum())
            }
            _ => true,
        }
    }

    /// Address and port of both ends of a frame over IPv4 with TCP or UDP.
    fn ends(frame: &[u8]) -> Option<[Vec<u8>; 2]> {
        let has_ports = word(frame, 12) == Some(0x0800) && frame[14] == 0x45 && matches!(frame[23], 6 | 17);
        has_ports.then(|| [(26, 34), (30, 36)].map(|(at, port)| [&frame[at..at + 4], &frame[port..port + 2]].concat()))
    }

    #[test]
    fn every_round_has_flows_of_its_own_and_right_checksums() {
        let frames = frames(Workload::Mixed, 2_000, 9_014);
        assert_eq!(frames.not_sendable, 0);
        let mut cursor = frames.cursor();
        let mut seen = BTreeSet::new();
        for round in 0..300 {
            let mut now = BTreeSet::new();
            for _ in 0..frames.count() {
                if word(cursor.frame(), 12) != Some(0x0806) {
                    assert!(round > 2 || is_right(cursor.frame()), "round {round}: {:02x?}", cursor.frame());
                }
                if let Some([from, to]) = ends(cursor.frame()) {
                    assert!(from[0] == 10 || to[0] == 10, "inside stays inside");
                    now.insert([from, to]);
                }
                cursor.advance();
            }
            let swapped = now.iter().filter(|[from, to]| now.contains(&[to.clone(), from.clone()])).count();
            assert!(swapped * 10 > now.len() * 9, "both directions of a flow stay one: {swapped} of {}", now.len());
            let again = now.iter().filter(|ends| seen.contains(*ends)).count();
            assert_eq!(again, 0, "round {round}");
            seen.extend(now);
            if round > 20 {
                break;
            }
        }
    }

    #[test]
    fn what_is_too_long_is_counted() {
        let all = frames(Workload::Elephants, 1_000, 9_014);
        let some = frames(Workload::Elephants, 1_000, 600);
        assert!(some.not_sendable > 500 && some.count() + some.not_sendable == all.count());
        let none = frames(Workload::Small, 100, 20);
        assert_eq!((none.count(), none.cursor().frame().len()), (0, 0));
    }

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 1624, section 4: m = 0x5555, m' = 0x3285, HC = 0xdd2f, HC' = 0x0000.
        assert_eq!(updated(0xdd2f, 0x5555, 0x3285), 0x0000);
    }
}
