//! Packets of a datagram and their headers, as far as they are in the open.
//!
//! In: the bytes of a datagram. Out: its first packet, and the bytes behind it, where further ones may stand.
//! Sources: RFC 9000 sections 12.2, 16 and 17, RFC 8999.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use super::version::{Dialect, dialect, is_google};
use crate::bytes::Reader;

/// Set in the first byte of a long header.
const LONG_HEADER: u8 = 0x80;
/// Set in the first byte of every packet, unless both sides agreed otherwise (RFC 9287).
const FIXED: u8 = 0x40;
/// The longest connection id, RFC 9000 section 17.2.
pub const CONNECTION_ID_BYTES_MAX: usize = 20;
/// Packet number, as long as it may be, and the sample behind it that hides it; a sealed packet has this much.
const SEALED_BYTES_MIN: usize = 20;
/// Bytes of the tag at the end of a Retry packet.
const RETRY_TAG_BYTES: usize = 16;

/// Types of long headers, in the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The hellos.
    Initial,
    /// Data before the handshake is over.
    ZeroRtt,
    /// The rest of the handshake.
    Handshake,
    /// The server wants to see the client's address proved.
    Retry,
}

/// A packet with a long header of a version that can be opened.
#[derive(Clone, Copy, Debug)]
pub struct Long<'a> {
    /// Its type.
    pub kind: Kind,
    /// Its version.
    pub version: u32,
    /// What that version wants.
    pub dialect: &'static Dialect,
    /// Destination connection id.
    pub to: &'a [u8],
    /// The whole packet.
    pub bytes: &'a [u8],
    /// Where its packet number stands.
    pub number_at: usize,
}

/// A packet.
#[derive(Clone, Copy, Debug)]
pub enum Packet<'a> {
    /// A long header.
    Long(Long<'a>),
    /// The server lists the versions that it speaks, four bytes each.
    Negotiation(&'a [u8]),
    /// A short header: the handshake is over for its sender.
    Short,
    /// A long header of another version: version and destination connection id.
    Unknown(u32, &'a [u8]),
}

/// The first packet and the bytes behind it; `None` when there is none, or not all of it.
pub fn read(bytes: &[u8]) -> Option<(Packet<'_>, &[u8])> {
    let mut reader = Reader::new(bytes);
    let first = reader.u8()?;
    if first & LONG_HEADER == 0 {
        return (first & FIXED != 0).then_some((Packet::Short, &[]));
    }
    let (version, to) = names(&mut reader)?;
    if version == 0 {
        let list = reader.rest();
        return (!list.is_empty() && list.len().is_multiple_of(4)).then_some((Packet::Negotiation(list), &[]));
    }
    let Some(dialect) = dialect(version) else { return Some((Packet::Unknown(version, to), &[])) };
    let kind = kind(first, dialect);
    let mut number_at = bytes.len();
    match kind {
        Kind::Retry => {
            reader.take(RETRY_TAG_BYTES)?;
            reader = Reader::new(&[]);
        }
        _ => {
            let length = sealed_bytes(kind, &mut reader)?;
            number_at = bytes.len().saturating_sub(reader.left());
            reader.take(length)?;
        }
    }
    let rest = reader.rest();
    let bytes = bytes.get(..bytes.len().saturating_sub(rest.len()))?;
    Some((Packet::Long(Long { kind, version, dialect, to, bytes, number_at }), rest))
}

/// Whether the bit that every packet of an unknown sender has is there.
pub fn is_fixed(first: u8) -> bool {
    first & FIXED != 0
}

/// Whether a client's Initial packet begins here and the bytes end before it does.
pub fn is_cut_initial(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    let Some(first) = reader.u8().filter(|first| first & LONG_HEADER != 0 && is_fixed(*first)) else { return false };
    let Some((version, to)) = names(&mut reader) else { return false };
    let is_initial = dialect(version).is_some_and(|dialect| kind(first, dialect) == Kind::Initial);
    is_initial
        && to.len() >= super::CLIENT_CONNECTION_ID_BYTES_MIN
        && sealed_bytes(Kind::Initial, &mut reader).is_some_and(|length| length > reader.left())
}

/// The version of Google's own protocol, in a long header or in the older form: flags, eight bytes of connection id,
/// version (Chromium, "QUIC Wire Layout Specification").
pub fn google_version(bytes: &[u8]) -> Option<u32> {
    /// Flags of the older form: connection id and version are there; bits that are zero.
    const OLD_FLAGS: u8 = 0x09;
    const OLD_ZERO: u8 = 0xc0;
    const OLD_CONNECTION_ID_BYTES: usize = 8;
    let mut reader = Reader::new(bytes);
    let first = reader.u8()?;
    let is_long = first & (LONG_HEADER | FIXED) == LONG_HEADER | FIXED;
    if !is_long {
        if first & (OLD_FLAGS | OLD_ZERO) != OLD_FLAGS {
            return None;
        }
        reader.take(OLD_CONNECTION_ID_BYTES)?;
    }
    let version = reader.u32().filter(|&version| is_google(version))?;
    // Lengths of two connection ids: of one in each half of a byte, or of the first in a byte of its own.
    let lengths_fit = !is_long || matches!(reader.u8()?, 0x50 | 0x05 | 0x08 | 0x00);
    lengths_fit.then_some(version)
}

/// Version and destination connection id behind the first byte; reads over the other connection id.
fn names<'a>(reader: &mut Reader<'a>) -> Option<(u32, &'a [u8])> {
    let version = reader.u32()?;
    let to = connection_id(reader)?;
    connection_id(reader)?;
    Some((version, to))
}

fn kind(first: u8, dialect: &Dialect) -> Kind {
    match (first >> 4).wrapping_sub(dialect.initial) & 3 {
        0 => Kind::Initial,
        1 => Kind::ZeroRtt,
        2 => Kind::Handshake,
        _ => Kind::Retry,
    }
}

/// Reads over the token of an Initial packet. The bytes of packet number and sealed part, which follow.
fn sealed_bytes(kind: Kind, reader: &mut Reader<'_>) -> Option<usize> {
    if kind == Kind::Initial {
        let token = varint(reader)?;
        reader.take(usize::try_from(token).ok()?)?;
    }
    usize::try_from(varint(reader)?).ok().filter(|&length| length >= SEALED_BYTES_MIN)
}

fn connection_id<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let id = reader.vec8()?.rest();
    (id.len() <= CONNECTION_ID_BYTES_MAX).then_some(id)
}

/// A number whose first two bits say how many bytes it has.
pub fn varint(reader: &mut Reader<'_>) -> Option<u64> {
    let first = reader.u8()?;
    let more = (1_usize << (first >> 6)).saturating_sub(1);
    let bytes = reader.take(more)?;
    Some(bytes.iter().fold(u64::from(first & 0x3f), |value, &byte| value << 8 | u64::from(byte)))
}
