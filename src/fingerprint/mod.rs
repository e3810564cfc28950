//! Fingerprints of TLS handshakes: pure functions from what a hello offers to a short text.

pub mod ja3;
pub mod ja4;

/// Whether a cipher suite, extension, group, version or signature scheme is one of the sixteen
/// values that RFC 8701 reserves for GREASE (0x0a0a, 0x1a1a … 0xfafa).
#[inline]
pub fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}
