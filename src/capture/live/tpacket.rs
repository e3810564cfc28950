//! Packets in a block of the kernel's ring (TPACKET_V3).
//!
//! In: a copy of a block. Out: its packets. The kernel takes the outer VLAN tag out of a frame and
//! keeps it beside; it is put back, in the room that lies before every frame. Numbers are in the
//! byte order of the machine. Source: include/uapi/linux/if_packet.h of Linux.

use super::super::{LinkType, Packet};
use crate::time::Time;

// Offsets in the header of a block.
const COUNT_AT: usize = 12;
const FIRST_AT: usize = 16;
// Offsets in the header of a packet.
const NEXT_AT: usize = 0;
const SECONDS_AT: usize = 4;
const NANOSECONDS_AT: usize = 8;
const CAPTURED_AT: usize = 12;
const ORIGINAL_AT: usize = 16;
const STATUS_AT: usize = 20;
const FRAME_AT: usize = 24;
const TAG_AT: usize = 32;
const TAG_TYPE_AT: usize = 36;
/// Bytes of that header.
const HEADER_BYTES: usize = 48;

const HARDWARE_TIME: u32 = 1 << 31;
const VLAN_VALID: u32 = 1 << 4;
const VLAN_TYPE_VALID: u32 = 1 << 6;

/// Two hardware addresses stand before the tag.
const ADDRESS_BYTES: usize = 12;
const TAG_BYTES: usize = 4;
/// The type of a tag where the kernel does not say it: 802.1Q.
const TAG_TYPE_USUAL: u16 = 0x8100;

/// Room for packets that is made beforehand.
const PACKETS_USUAL: u32 = 1024;
/// Only its frames have tags.
const ETHERNET: LinkType = LinkType(1);

/// The packets of a block, in the order in which they came. What lies outside of the block is left
/// out; a kernel does not write such.
pub(super) fn packets(block: &mut [u8], link: LinkType) -> Vec<Packet> {
    let count = u32_at(block, COUNT_AT).unwrap_or(0);
    let mut packets = Vec::with_capacity(count.min(PACKETS_USUAL) as usize);
    let mut at = u32_at(block, FIRST_AT).unwrap_or(0) as usize;
    for _ in 0..count {
        let Some((packet, next)) = packet(block, at, link) else { break };
        packets.push(packet);
        match at.checked_add(next) {
            Some(further) if next >= HEADER_BYTES => at = further,
            _ => break,
        }
    }
    packets
}

/// Packets of a block whose time is not the card's but the kernel's.
pub(super) fn kernel_times(block: &[u8]) -> u64 {
    let count = u32_at(block, COUNT_AT).unwrap_or(0);
    let mut at = u32_at(block, FIRST_AT).unwrap_or(0) as usize;
    let mut kernel = 0u64;
    for _ in 0..count {
        let word = |offset| u32_at(block, at.checked_add(offset)?);
        let (Some(status), Some(next)) = (word(STATUS_AT), word(NEXT_AT)) else { break };
        kernel = kernel.saturating_add((status & HARDWARE_TIME == 0).into());
        match at.checked_add(next as usize) {
            Some(further) if next as usize >= HEADER_BYTES => at = further,
            _ => break,
        }
    }
    kernel
}

/// The packet whose header is here, and how far the next one is.
fn packet(block: &mut [u8], at: usize, link: LinkType) -> Option<(Packet, usize)> {
    let word = |offset| u32_at(block, at.checked_add(offset)?);
    let (seconds, nanoseconds) = (word(SECONDS_AT)?, word(NANOSECONDS_AT)?);
    let (captured, original) = (word(CAPTURED_AT)?, word(ORIGINAL_AT)?);
    let (status, tag, next) = (word(STATUS_AT)?, word(TAG_AT)? as u16, word(NEXT_AT)?);
    let tag_type = u16_at(block, at.checked_add(TAG_TYPE_AT)?)?;
    let frame = usize::from(u16_at(block, at.checked_add(FRAME_AT)?)?);
    let start = at.checked_add(frame)?;
    block.get(start..start.checked_add(captured as usize)?)?;
    let time = Time::new(seconds.into(), nanoseconds.into());
    let mut packet = Packet { time, start, captured, original, link, interface: 0 };
    let tagged = link == ETHERNET && (tag != 0 || status & VLAN_VALID != 0);
    let room = frame.checked_sub(HEADER_BYTES).is_some_and(|room| room >= TAG_BYTES);
    if tagged && room && captured as usize >= ADDRESS_BYTES {
        let known = tag_type != 0 || status & VLAN_TYPE_VALID != 0;
        put_tag(block, start, if known { tag_type } else { TAG_TYPE_USUAL }, tag)?;
        packet.start = start.checked_sub(TAG_BYTES)?;
        packet.captured = captured.checked_add(TAG_BYTES as u32)?;
        packet.original = original.checked_add(TAG_BYTES as u32)?;
    }
    Some((packet, next as usize))
}

/// Moves the addresses of the frame at `start` forward and puts the tag behind them.
fn put_tag(block: &mut [u8], start: usize, tag_type: u16, tag: u16) -> Option<()> {
    let front = block.get_mut(start.checked_sub(TAG_BYTES)?..start.checked_add(ADDRESS_BYTES)?)?;
    front.copy_within(TAG_BYTES.., 0);
    let (_, place) = front.split_last_chunk_mut::<TAG_BYTES>()?;
    let ([a, b], [c, d]) = (tag_type.to_be_bytes(), tag.to_be_bytes());
    *place = [a, b, c, d];
    Some(())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME_ROOM: usize = 82;

    fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
        block[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Bytes, length on the wire, and the tag beside: type, tag.
    type Frame<'a> = (&'a [u8], u32, Option<(u16, u16)>);

    /// A block as the kernel writes it.
    fn block(frames: &[Frame<'_>]) -> Vec<u8> {
        let mut block = vec![0; 48];
        put(&mut block, COUNT_AT, &(frames.len() as u32).to_ne_bytes());
        put(&mut block, FIRST_AT, &48u32.to_ne_bytes());
        for (n, (frame, original, tag)) in frames.iter().enumerate() {
            let at = block.len();
            let size = (FRAME_ROOM + frame.len()).next_multiple_of(16);
            block.resize(at + size, 0xee);
            let next = if n + 1 == frames.len() { 0 } else { size as u32 };
            let words = [next, 1_700_000_000 + n as u32, 999_999_999, frame.len() as u32, *original];
            for (word, place) in words.iter().zip((at..).step_by(4)) {
                put(&mut block, place, &word.to_ne_bytes());
            }
            let (kind, tci, valid) = match tag {
                Some((kind, tci)) => (*kind, *tci, VLAN_VALID | VLAN_TYPE_VALID),
                None => (0, 0, 0),
            };
            put(&mut block, at + STATUS_AT, &(1 | valid).to_ne_bytes());
            put(&mut block, at + FRAME_AT, &(FRAME_ROOM as u16).to_ne_bytes());
            put(&mut block, at + TAG_AT, &u32::from(tci).to_ne_bytes());
            put(&mut block, at + TAG_TYPE_AT, &kind.to_ne_bytes());
            put(&mut block, at + FRAME_ROOM, frame);
        }
        block
    }

    fn bytes<'a>(block: &'a [u8], packet: &Packet) -> &'a [u8] {
        &block[packet.start..packet.start + packet.captured as usize]
    }

    #[test]
    fn times_lengths_and_bytes_of_every_packet() {
        let mut block = block(&[(b"AAAAAABBBBBB\x08\x00first", 500, None), (b"second, of which all came", 25, None)]);
        let packets = packets(&mut block, ETHERNET);
        assert_eq!(packets.len(), 2);
        assert_eq!(packets[0].time, Time::new(1_700_000_000, 999_999_999));
        assert_eq!(packets[1].time, Time::new(1_700_000_001, 999_999_999));
        assert_eq!((packets[0].captured, packets[0].original), (19, 500), "cut by the snap length");
        assert_eq!(bytes(&block, &packets[0]), b"AAAAAABBBBBB\x08\x00first");
        assert_eq!(bytes(&block, &packets[1]), b"second, of which all came");
        assert_eq!(kernel_times(&block), 2);
        put(&mut block, 48 + STATUS_AT, &(1 | HARDWARE_TIME).to_ne_bytes());
        assert_eq!(kernel_times(&block), 1);
    }

    #[test]
    fn only_ethernet_has_tags() {
        let mut block = block(&[(b"an IP packet of a tunnel", 24, Some((0x8100, 5)))]);
        let packets = packets(&mut block, LinkType(101));
        assert_eq!(bytes(&block, &packets[0]), b"an IP packet of a tunnel");
    }

    #[test]
    fn the_tag_that_the_kernel_took_out_is_put_back() {
        let frame = b"AAAAAABBBBBB\x08\x00payload";
        let mut block = block(&[(frame, 21, Some((0x88a8, 0x2064))), (frame, 21, None), (frame, 21, Some((0, 7)))]);
        // The third has a tag of which the kernel does not say the type.
        let third = 48 + 2 * (FRAME_ROOM + frame.len()).next_multiple_of(16);
        put(&mut block, third + STATUS_AT, &(1 | VLAN_VALID).to_ne_bytes());
        let packets = packets(&mut block, ETHERNET);
        assert_eq!(bytes(&block, &packets[0]), b"AAAAAABBBBBB\x88\xa8\x20\x64\x08\x00payload");
        assert_eq!((packets[0].captured, packets[0].original), (25, 25));
        assert_eq!(bytes(&block, &packets[1]), frame);
        assert_eq!(bytes(&block, &packets[2]), b"AAAAAABBBBBB\x81\x00\x00\x07\x08\x00payload");
    }

    #[test]
    fn a_tag_of_zeros_is_a_tag_when_the_kernel_says_so() {
        let mut block = block(&[(b"AAAAAABBBBBB\x08\x00", 14, Some((0x8100, 0)))]);
        let packets = packets(&mut block, ETHERNET);
        assert_eq!(bytes(&block, &packets[0]), b"AAAAAABBBBBB\x81\x00\x00\x00\x08\x00");
    }

    #[test]
    fn a_block_cut_anywhere_gives_whole_packets_only() {
        let whole =
            block(&[(b"AAAAAABBBBBB\x08\x00one", 17, Some((0x8100, 5))), (b"AAAAAABBBBBB\x08\x00two", 17, None)]);
        for length in 0..whole.len() {
            let mut cut = whole[..length].to_vec();
            let packets = packets(&mut cut, ETHERNET);
            assert!(packets.len() <= 2);
            for packet in &packets {
                assert!(packet.start + packet.captured as usize <= length);
            }
        }
    }

    #[test]
    fn headers_of_any_bytes_do_no_harm() {
        let whole =
            block(&[(b"AAAAAABBBBBB\x08\x00one", 17, Some((0x8100, 5))), (b"AAAAAABBBBBB\x08\x00two", 17, None)]);
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                kernel_times(&changed);
                let packets = packets(&mut changed, ETHERNET);
                assert!(packets.len() <= 2, "byte {at} as {byte}");
                assert!(packets.iter().all(|p| p.start + p.captured as usize <= changed.len()), "byte {at} as {byte}");
            }
        }
    }
}
