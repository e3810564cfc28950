//! Ways to cut a hello: into TCP segments, into TLS records.
//!
//! In: bytes as one whole. Out: pieces with their offsets in any order, or the same handshake in other records
//! (RFC 8446 section 5.1).

use super::random::Random;
use super::tls::{ALERT, HANDSHAKE, VERSION_TLS12, record};

/// Bytes of a record header.
pub const RECORD_HEADER_BYTES: usize = 5;
/// A warning alert that changes nothing: unrecognized_name (112).
const WARNING_ALERT: [u8; 2] = [1, 112];

/// Bytes and where they belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes from the first of the whole.
    pub offset: usize,
    /// What stands there.
    pub bytes: Vec<u8>,
}

/// Cuts before each of the offsets, which rise and lie inside.
pub fn cut(bytes: &[u8], offsets: &[usize]) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(offsets.len() + 1);
    let mut start = 0;
    for &end in offsets.iter().chain([&bytes.len()]) {
        if end > start {
            pieces.push(Piece { offset: start, bytes: bytes[start..end].to_vec() });
        }
        start = end;
    }
    pieces
}

/// Pieces of one byte.
pub fn cut_bytewise(bytes: &[u8]) -> Vec<Piece> {
    cut(bytes, &(1..bytes.len()).collect::<Vec<_>>())
}

/// The pieces in the order given by their numbers; a number may come twice.
pub fn in_order(pieces: &[Piece], order: &[usize]) -> Vec<Piece> {
    order.iter().map(|&number| pieces[number].clone()).collect()
}

/// The last piece first.
pub fn backwards(mut pieces: Vec<Piece>) -> Vec<Piece> {
    pieces.reverse();
    pieces
}

/// The pieces in an order that looks like chance and belongs to the seed.
pub fn shuffled(mut pieces: Vec<Piece>, seed: u64) -> Vec<Piece> {
    Random::new(seed).shuffle(&mut pieces);
    pieces
}

/// What stands between the records of [`rerecord`]. RFC 8446 section 5.1 forbids all but the first; a reader has to live
/// with them, and tshark 4.0.17 does not find the hello behind an empty record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// Nothing.
    Nothing,
    /// A handshake record without content.
    EmptyRecord,
    /// A record with a warning alert.
    WarningAlert,
    /// An empty record and a warning alert in turn.
    Both,
}

/// The handshake messages in `records` (which are all handshake records), laid out again in `count` records of about
/// the same length.
pub fn rerecord(records: &[u8], count: usize, between: Between) -> Vec<u8> {
    let messages = handshake_bytes(records);
    assert!((1..=messages.len()).contains(&count), "as many records as bytes at most");
    let version = u16::from_be_bytes([records[1], records[2]]);
    let offsets: Vec<usize> = (1..count).map(|n| n * messages.len() / count).collect();
    let mut out = Vec::new();
    for (number, piece) in cut(&messages, &offsets).iter().enumerate() {
        let empty = match between {
            Between::EmptyRecord => true,
            Between::Both => number % 2 == 1,
            Between::Nothing | Between::WarningAlert => false,
        };
        let alert = match between {
            Between::WarningAlert => true,
            Between::Both => number % 2 == 0,
            Between::Nothing | Between::EmptyRecord => false,
        };
        if number > 0 && empty {
            out.extend(record(HANDSHAKE, version, &[]));
        }
        if number > 0 && alert {
            out.extend(record(ALERT, VERSION_TLS12, &WARNING_ALERT));
        }
        out.extend(record(HANDSHAKE, version, &piece.bytes));
    }
    out
}

/// The content of handshake records, one after the other.
pub fn handshake_bytes(mut records: &[u8]) -> Vec<u8> {
    let mut messages = Vec::new();
    while !records.is_empty() {
        assert_eq!(records[0], HANDSHAKE, "a handshake record");
        let end = RECORD_HEADER_BYTES + usize::from(u16::from_be_bytes([records[3], records[4]]));
        messages.extend_from_slice(&records[RECORD_HEADER_BYTES..end]);
        records = &records[end..];
    }
    messages
}
