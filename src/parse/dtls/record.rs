//! Records of a datagram, and the fragments of handshake messages in them.
//!
//! In: the bytes of a datagram. Out: records one after another; of a handshake record its fragments.
//! Sources: RFC 6347 sections 4.1 and 4.2.2, RFC 9147 section 4 (DTLS 1.3).

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;

/// Content types.
pub const CHANGE_CIPHER_SPEC: u8 = 20;
/// Handshake messages.
pub const HANDSHAKE: u8 = 22;
const KINDS: std::ops::RangeInclusive<u8> = 20..=26;
/// What DTLS 1.3 puts before sealed records: three bits.
const SEALED_MASK: u8 = 0xe0;
const SEALED: u8 = 0x20;

/// A record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Content type; not known of a sealed record of DTLS 1.3.
    pub kind: Option<u8>,
    /// It is in plain text.
    pub plain: bool,
    /// Its number.
    pub number: u64,
    /// What is in it.
    pub payload: &'a [u8],
}

/// The records of a datagram; ends where the bytes are no record.
pub struct Records<'a>(Reader<'a>);

impl<'a> Records<'a> {
    /// The records of a datagram.
    pub fn new(datagram: &'a [u8]) -> Records<'a> {
        Records(Reader::new(datagram))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let reader = &mut self.0;
        let kind = reader.u8()?;
        if kind & SEALED_MASK == SEALED {
            // Its length may be left out and its number is hidden: the rest of the datagram is taken for sealed.
            let payload = std::mem::replace(reader, Reader::new(&[])).rest();
            return Some(Record { kind: None, plain: false, number: 0, payload });
        }
        let version = reader.u16()?;
        let epoch = reader.u16()?;
        let number = u64::from(reader.u16()?) << 32 | u64::from(reader.u32()?);
        let payload = reader.vec16()?.rest();
        if !KINDS.contains(&kind) || !is_version(version) {
            *reader = Reader::new(&[]);
            return None;
        }
        Some(Record { kind: Some(kind), plain: epoch == 0, number, payload })
    }
}

/// A part of a handshake message, or all of it.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// Handshake type.
    pub kind: u8,
    /// Bytes of the whole message.
    pub length: u32,
    /// Number of the message.
    pub number: u16,
    /// Where these bytes belong.
    pub offset: u32,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// The fragments of a handshake record; ends where one does not fit.
pub struct Fragments<'a> {
    reader: Reader<'a>,
    /// Bytes are left that are no fragment.
    pub malformed: bool,
}

impl<'a> Fragments<'a> {
    /// The fragments of a payload.
    pub fn new(payload: &'a [u8]) -> Fragments<'a> {
        Fragments { reader: Reader::new(payload), malformed: false }
    }

    fn read(&mut self) -> Option<Fragment<'a>> {
        let reader = &mut self.reader;
        let kind = reader.u8()?;
        let length = reader.u24()?;
        let number = reader.u16()?;
        let offset = reader.u24()?;
        let bytes = reader.vec24()?.rest();
        let end = u64::from(offset).saturating_add(bytes.len() as u64);
        (end <= u64::from(length)).then_some(Fragment { kind, length, number, offset, bytes })
    }
}

impl<'a> Iterator for Fragments<'a> {
    type Item = Fragment<'a>;

    fn next(&mut self) -> Option<Fragment<'a>> {
        if self.reader.is_empty() {
            return None;
        }
        let fragment = self.read();
        if fragment.is_none() {
            self.malformed = true;
            self.reader = Reader::new(&[]);
        }
        fragment
    }
}

/// DTLS 1.0 to 1.3, and 0x0100, which AnyConnect says before the standard's numbers.
pub fn is_version(version: u16) -> bool {
    matches!(version, 0xfefc..=0xfeff | 0x0100)
}
