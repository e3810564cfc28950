//! Capture files: pcapng and classic pcap.
//!
//! In: packets in the order they are to stand. Out: the file's bytes, little-endian, nanoseconds, link type Ethernet.

use super::packets::Packet;

/// LINKTYPE_ETHERNET.
const LINK_ETHERNET: u16 = 1;
/// Longest packet a reader should expect.
const SNAP_BYTES: u32 = 262_144;
/// Magic number of a classic capture with nanoseconds.
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
/// Magic number of a classic capture with microseconds.
const MAGIC_MICROSECONDS: u32 = 0xa1b2_c3d4;
/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;

const BLOCK_SECTION: u32 = 0x0a0d_0d0a;
const BLOCK_INTERFACE: u32 = 1;
const BLOCK_PACKET: u32 = 6;
const OPTION_COMMENT: u16 = 1;
const OPTION_INTERFACE_NAME: u16 = 2;
const OPTION_TIME_RESOLUTION: u16 = 9;

/// A pcapng file of one section and one interface. `about` is the remark of the section.
pub fn pcapng(about: &str, interface: &str, packets: &[Packet]) -> Vec<u8> {
    let mut file = Vec::new();

    let mut section = Vec::new();
    section.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
    section.extend_from_slice(&1u16.to_le_bytes());
    section.extend_from_slice(&0u16.to_le_bytes());
    section.extend_from_slice(&u64::MAX.to_le_bytes()); // length of the section: not given
    options(&mut section, &[(OPTION_COMMENT, about.as_bytes())]);
    block(&mut file, BLOCK_SECTION, &section);

    let mut description = Vec::new();
    description.extend_from_slice(&LINK_ETHERNET.to_le_bytes());
    description.extend_from_slice(&0u16.to_le_bytes());
    description.extend_from_slice(&SNAP_BYTES.to_le_bytes());
    options(&mut description, &[(OPTION_INTERFACE_NAME, interface.as_bytes()), (OPTION_TIME_RESOLUTION, &[9])]);
    block(&mut file, BLOCK_INTERFACE, &description);

    for packet in packets {
        let length = u32::try_from(packet.bytes.len()).unwrap();
        let mut body = Vec::with_capacity(packet.bytes.len() + 32);
        body.extend_from_slice(&0u32.to_le_bytes());
        body.extend_from_slice(&((packet.time >> 32) as u32).to_le_bytes());
        body.extend_from_slice(&(packet.time as u32).to_le_bytes());
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(&packet.bytes);
        pad(&mut body);
        if let Some(comment) = &packet.comment {
            options(&mut body, &[(OPTION_COMMENT, comment.as_bytes())]);
        }
        block(&mut file, BLOCK_PACKET, &body);
    }
    file
}

/// A classic pcap file, with nanoseconds or rounded down to microseconds.
pub fn pcap(nanoseconds: bool, packets: &[Packet]) -> Vec<u8> {
    let (magic, unit) = if nanoseconds { (MAGIC_NANOSECONDS, 1) } else { (MAGIC_MICROSECONDS, 1000) };
    let mut file = Vec::new();
    file.extend_from_slice(&magic.to_le_bytes());
    file.extend_from_slice(&2u16.to_le_bytes());
    file.extend_from_slice(&4u16.to_le_bytes());
    file.extend_from_slice(&[0; 8]);
    file.extend_from_slice(&SNAP_BYTES.to_le_bytes());
    file.extend_from_slice(&u32::from(LINK_ETHERNET).to_le_bytes());
    for packet in packets {
        let length = u32::try_from(packet.bytes.len()).unwrap();
        file.extend_from_slice(&u32::try_from(packet.time / SECOND_NS).unwrap().to_le_bytes());
        file.extend_from_slice(&((packet.time % SECOND_NS / unit) as u32).to_le_bytes());
        file.extend_from_slice(&length.to_le_bytes());
        file.extend_from_slice(&length.to_le_bytes());
        file.extend_from_slice(&packet.bytes);
    }
    file
}

fn block(file: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
    file.extend_from_slice(&kind.to_le_bytes());
    file.extend_from_slice(&length);
    file.extend_from_slice(body);
    file.extend_from_slice(&length);
}

fn options(body: &mut Vec<u8>, list: &[(u16, &[u8])]) {
    for (code, value) in list {
        body.extend_from_slice(&code.to_le_bytes());
        body.extend_from_slice(&u16::try_from(value.len()).unwrap().to_le_bytes());
        body.extend_from_slice(value);
        pad(body);
    }
    body.extend_from_slice(&[0; 4]);
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}
