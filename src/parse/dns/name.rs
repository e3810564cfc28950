//! Domain names on the wire: labels, compression pointers, and their text.
//!
//! In: a message and a reader inside it. Out: labels, a hash of the name without regard to case,
//! or its text. RFC 1035, 3.1 and 4.1.4. A pointer may point anywhere; the number of jumps and
//! the bytes of a name are limited, so a loop costs no more than a long name.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;

/// Bytes of a name on the wire, with the lengths of its labels (RFC 1035, 2.3.4).
pub(super) const NAME_BYTES_MAX: usize = 255;
/// Compression pointers followed in one name.
const POINTERS_MAX: usize = 32;
/// Bytes of text a name can have: each of its bytes may need four.
const TEXT_BYTES_MAX: usize = 4 * NAME_BYTES_MAX;
/// Bytes of the largest value built here: address or ECH data and a name.
const PACKED_BYTES_MAX: usize = TEXT_BYTES_MAX + 2 + NAME_BYTES_MAX;

/// The top two bits of a label's first byte, and the bits below.
const KIND_SHIFT: u8 = 6;
const LENGTH_MASK: u8 = 0x3f;
const KIND_LABEL: u8 = 0;
const KIND_POINTER: u8 = 3;

/// A dot inside a label, as a decimal escape (RFC 1035, 5.1).
const ESCAPED_DOT: &[u8] = b"\\046";

/// A value under construction, on the stack.
pub(super) struct Packed {
    bytes: [u8; PACKED_BYTES_MAX],
    len: usize,
}

impl Packed {
    pub(super) fn new() -> Packed {
        Packed { bytes: [0; PACKED_BYTES_MAX], len: 0 }
    }

    /// Appends; what does not fit is left out whole.
    pub(super) fn push(&mut self, more: &[u8]) {
        let end = self.len.saturating_add(more.len());
        if let Some(room) = self.bytes.get_mut(self.len..end) {
            room.copy_from_slice(more);
            self.len = end;
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(super) fn make_lowercase(&mut self) {
        self.bytes.make_ascii_lowercase();
    }
}

/// Reads a name and moves `reader` behind it, calling `each` for every label.
/// `None`: it is cut, too long, has a label of unknown kind or jumps too often.
pub(super) fn read<'a>(message: &'a [u8], reader: &mut Reader<'a>, mut each: impl FnMut(&'a [u8])) -> Option<()> {
    let mut length = 1_usize;
    let mut jumps = 0_usize;
    let mut elsewhere: Option<Reader<'a>> = None;
    loop {
        let reader = elsewhere.as_mut().unwrap_or(&mut *reader);
        let head = reader.u8()?;
        match head >> KIND_SHIFT {
            KIND_LABEL if head == 0 => return Some(()),
            KIND_LABEL => {
                length = length.saturating_add(1).saturating_add(usize::from(head));
                if length > NAME_BYTES_MAX {
                    return None;
                }
                each(reader.take(usize::from(head))?);
            }
            KIND_POINTER => {
                let target = usize::from(u16::from_be_bytes([head & LENGTH_MASK, reader.u8()?]));
                jumps = jumps.saturating_add(1);
                if jumps > POINTERS_MAX {
                    return None;
                }
                elsewhere = Some(Reader::new(message.get(target..)?));
            }
            _ => return None,
        }
    }
}

/// A hash of the name, the same for upper and lower case (FNV-1a over labels and their lengths).
pub(super) fn hash<'a>(message: &'a [u8], reader: &mut Reader<'a>) -> Option<u64> {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut hash = OFFSET;
    read(message, reader, |label| {
        hash = (hash ^ label.len() as u64).wrapping_mul(PRIME);
        for byte in label {
            hash = (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(PRIME);
        }
    })?;
    Some(hash)
}

/// The name as text: labels with dots between, no dot at the end, `.` for the root.
pub(super) fn text<'a>(message: &'a [u8], reader: &mut Reader<'a>) -> Option<Packed> {
    let mut text = Packed::new();
    read(message, reader, |label| {
        if text.len > 0 {
            text.push(b".");
        }
        for (index, part) in label.split(|byte| *byte == b'.').enumerate() {
            if index > 0 {
                text.push(ESCAPED_DOT);
            }
            text.push(part);
        }
    })?;
    if text.len == 0 {
        text.push(b".");
    }
    Some(text)
}

/// The type of a service in the text of a name: its last labels before `local`, `_ipp._tcp` (RFC 6763, 7).
pub(super) fn service(name: &[u8]) -> Option<&[u8]> {
    const DOMAIN: &[u8] = b".local";
    /// Bytes of a service's name with the underscore (RFC 6335, 5.1).
    const SERVICE_BYTES_MAX: usize = 16;
    let (rest, domain) = name.split_at_checked(name.len().checked_sub(DOMAIN.len())?)?;
    let mut labels = rest.rsplit(|byte| *byte == b'.');
    let (transport, service) = (labels.next()?, labels.next()?);
    let plain = service.iter().skip(1).all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    let good = domain.eq_ignore_ascii_case(DOMAIN)
        && (transport.eq_ignore_ascii_case(b"_tcp") || transport.eq_ignore_ascii_case(b"_udp"))
        && service.starts_with(b"_")
        && (2..=SERVICE_BYTES_MAX).contains(&service.len())
        && plain;
    let bytes = service.len().saturating_add(1).saturating_add(transport.len());
    rest.get(rest.len().checked_sub(bytes)?..).filter(|_| good)
}
