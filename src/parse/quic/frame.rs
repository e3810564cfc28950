//! Frames of an Initial packet: handshake bytes between padding, pings and acknowledgements.
//!
//! In: what was sealed in a packet. Out: the pieces of the handshake with their offsets.
//! Sources: RFC 9000 sections 12.4 and 19; `packet-quic.c` of Wireshark (acknowledgements of T050).

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use super::packet::varint;
use super::version::GOOGLE_CRYPTO;
use crate::bytes::Reader;

const PADDING: u8 = 0x00;
const PING: u8 = 0x01;
const ACK: u8 = 0x02;
const ACK_WITH_ECN: u8 = 0x03;
const CLOSE: u8 = 0x1c;
/// An acknowledgement in the form of Google's versions before the standard, which T050 still has: `01nullbb`, with
/// `n` for further blocks, the length of the largest number and of blocks.
const GOOGLE_ACK: u8 = 0x40;
const GOOGLE_ACK_KIND: u8 = 0xc0;
const GOOGLE_ACK_BLOCKS: u8 = 0x20;
const GOOGLE_ACK_LENGTHS: [usize; 4] = [1, 2, 4, 6];

/// Pieces of the handshake in the order in which they stand. Ends at the first frame that has no place in an Initial
/// packet or does not fit.
pub struct Pieces<'a> {
    reader: Reader<'a>,
    crypto_frame: u8,
    /// A frame could not be read.
    pub malformed: bool,
}

impl<'a> Pieces<'a> {
    /// The frames of a packet.
    pub fn new(frames: &'a [u8], crypto_frame: u8) -> Pieces<'a> {
        Pieces { reader: Reader::new(frames), crypto_frame, malformed: false }
    }

    /// Offset and bytes of the next piece; `Some(None)` is a frame of another kind.
    fn frame(&mut self, kind: u8) -> Option<Option<(u64, &'a [u8])>> {
        let reader = &mut self.reader;
        match kind {
            PADDING | PING => {}
            ACK | ACK_WITH_ECN => {
                // The largest number and the delay.
                varint(reader)?;
                varint(reader)?;
                let ranges = varint(reader)?;
                varint(reader)?;
                for _ in 0..ranges {
                    varint(reader)?;
                    varint(reader)?;
                }
                if kind == ACK_WITH_ECN {
                    varint(reader)?;
                    varint(reader)?;
                    varint(reader)?;
                }
            }
            CLOSE => *reader = Reader::new(&[]),
            kind if kind == self.crypto_frame => {
                let offset = varint(reader)?;
                let length = varint(reader)?;
                return Some(Some((offset, reader.take(usize::try_from(length).ok()?)?)));
            }
            kind if kind & GOOGLE_ACK_KIND == GOOGLE_ACK && self.crypto_frame == GOOGLE_CRYPTO => {
                skip_google_ack(kind, reader)?;
            }
            _ => return None,
        }
        Some(None)
    }
}

fn skip_google_ack(kind: u8, reader: &mut Reader<'_>) -> Option<()> {
    const DELAY_BYTES: usize = 2;
    const GAP_BYTES: usize = 1;
    let length = |bits: u8| GOOGLE_ACK_LENGTHS.get(usize::from(bits & 3)).copied();
    let block = length(kind)?;
    reader.take(length(kind >> 2)?)?;
    reader.take(DELAY_BYTES)?;
    let blocks = if kind & GOOGLE_ACK_BLOCKS != 0 { reader.u8()? } else { 0 };
    reader.take(block)?;
    for _ in 0..blocks {
        reader.take(GAP_BYTES.saturating_add(block))?;
    }
    // Of a time stamp: which packet, and when; the first one tells it in four bytes, the others in two.
    for number in 0..reader.u8()? {
        reader.take(if number == 0 { 5 } else { 3 })?;
    }
    Some(())
}

impl<'a> Iterator for Pieces<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<(u64, &'a [u8])> {
        while let Some(kind) = self.reader.u8() {
            match self.frame(kind) {
                Some(Some(piece)) => return Some(piece),
                Some(None) => {}
                None => {
                    self.malformed = true;
                    self.reader = Reader::new(&[]);
                }
            }
        }
        None
    }
}
