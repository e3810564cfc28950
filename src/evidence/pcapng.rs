//! A pcapng file of chosen packets, each with remarks.
//!
//! In: packets in the order of their numbers. Out: the file's bytes: one section with a remark, an interface for each input
//! and link type, Enhanced Packet Blocks with times in nanoseconds. Standard: draft-ietf-opsawg-pcapng. Nothing in it
//! depends on when or where it was written.

use std::io::{self, Write};

use super::cut::Kept;
use super::manifest::Input;
use super::plain;
use crate::capture::LinkType;
use crate::report::PROGRAM;
use crate::time::Time;

const BLOCK_SECTION: u32 = 0x0a0d_0d0a;
const BLOCK_INTERFACE: u32 = 1;
const BLOCK_ENHANCED: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const OPTION_COMMENT: u16 = 1;
const OPTION_USERAPPL: u16 = 4;
const OPTION_IF_NAME: u16 = 2;
const OPTION_IF_DESCRIPTION: u16 = 3;
const OPTION_IF_TSRESOL: u16 = 9;
/// Nanoseconds: ten to the minus ninth.
const NANOSECONDS: &[u8] = &[9];

/// The file.
pub(super) fn file(sentence: &str, inputs: &[Input], packets: &[Kept]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut section = Vec::new();
    section.extend_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
    section.extend_from_slice(&[1, 0, 0, 0]);
    // The length of the section is not said.
    section.extend_from_slice(&u64::MAX.to_le_bytes());
    option(&mut section, OPTION_COMMENT, plain(sentence).as_bytes());
    option(&mut section, OPTION_USERAPPL, PROGRAM.as_bytes());
    end_options(&mut section);
    block(&mut out, BLOCK_SECTION, &section);
    let mut interfaces: Vec<(usize, LinkType, &str)> = Vec::new();
    for packet in packets {
        let interface = (packet.input, packet.link, packet.interface.as_deref().unwrap_or_default());
        if !interfaces.contains(&interface) {
            interfaces.push(interface);
        }
    }
    for &(input, LinkType(link), name) in &interfaces {
        let mut body = Vec::new();
        body.extend_from_slice(&link.to_le_bytes());
        // Two reserved bytes, and no snap length: each packet says how long it was.
        body.extend_from_slice(&[0; 6]);
        if !name.is_empty() {
            option(&mut body, OPTION_IF_NAME, plain(name).as_bytes());
        }
        let from = inputs.get(input).map_or("", |input| input.input.as_str());
        option(&mut body, OPTION_IF_DESCRIPTION, plain(from).as_bytes());
        option(&mut body, OPTION_IF_TSRESOL, NANOSECONDS);
        end_options(&mut body);
        block(&mut out, BLOCK_INTERFACE, &body);
    }
    for packet in packets {
        let interface = (packet.input, packet.link, packet.interface.as_deref().unwrap_or_default());
        let number = interfaces.iter().position(|known| *known == interface).unwrap_or_default();
        enhanced(&mut out, number as u32, packet);
    }
    out
}

/// A file to which packets are added one by one.
pub(super) struct Appending<W> {
    out: W,
    /// Its interfaces: one for each link type.
    links: Vec<LinkType>,
    made: Vec<u8>,
}

impl<W: Write> Appending<W> {
    pub(super) fn begin(mut out: W) -> io::Result<Appending<W>> {
        let mut section = BYTE_ORDER_MAGIC.to_le_bytes().to_vec();
        section.extend_from_slice(&[1, 0, 0, 0]);
        section.extend_from_slice(&u64::MAX.to_le_bytes());
        let mut made = Vec::new();
        block(&mut made, BLOCK_SECTION, &section);
        out.write_all(&made)?;
        Ok(Appending { out, links: Vec::new(), made })
    }

    /// Adds a packet; the bytes that were written.
    pub(super) fn packet(&mut self, link: LinkType, time: Time, original: u32, bytes: &[u8]) -> io::Result<u64> {
        self.made.clear();
        let known = self.links.iter().position(|there| *there == link);
        let interface = known.unwrap_or_else(|| {
            self.links.push(link);
            let mut body = link.0.to_le_bytes().to_vec();
            body.extend_from_slice(&[0; 6]);
            option(&mut body, OPTION_IF_TSRESOL, NANOSECONDS);
            end_options(&mut body);
            block(&mut self.made, BLOCK_INTERFACE, &body);
            self.links.len() - 1
        });
        let mut body = Vec::with_capacity(bytes.len() + 32);
        packet_head(&mut body, interface as u32, time, bytes.len() as u32, original);
        body.extend_from_slice(bytes);
        pad(&mut body);
        block(&mut self.made, BLOCK_ENHANCED, &body);
        self.out.write_all(&self.made)?;
        Ok(self.made.len() as u64)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn packet_head(body: &mut Vec<u8>, interface: u32, time: Time, captured: u32, original: u32) {
    let time = time.0.max(0) as u64;
    for word in [interface, (time >> 32) as u32, time as u32, captured, original] {
        body.extend_from_slice(&word.to_le_bytes());
    }
}

fn enhanced(out: &mut Vec<u8>, interface: u32, packet: &Kept) {
    let mut body = Vec::with_capacity(packet.bytes.len() + 64);
    packet_head(&mut body, interface, packet.time, packet.bytes.len() as u32, packet.original);
    body.extend_from_slice(&packet.bytes);
    pad(&mut body);
    for remark in &packet.remarks {
        option(&mut body, OPTION_COMMENT, plain(remark).as_bytes());
    }
    end_options(&mut body);
    block(out, BLOCK_ENHANCED, &body);
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&(value.len() as u16).to_le_bytes());
    body.extend_from_slice(value);
    pad(body);
}

fn end_options(body: &mut Vec<u8>) {
    body.extend_from_slice(&[0; 4]);
}

fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = (body.len() as u32 + 12).to_le_bytes();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&length);
    out.extend_from_slice(body);
    out.extend_from_slice(&length);
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}
