//! Versions of QUIC: which can be opened, and how their Initial packets are sealed.
//!
//! In: the version of a long header. Out: the salt, the labels and the numbering of packet types of that version.
//! Sources: RFC 9001 section 5.2 (version 1), RFC 9369 section 3.3 (version 2), draft-ietf-quic-tls-22, -23 and -29
//! section 5.2, `HandshakeLayer.cpp` of facebook/mvfst, `packet-quic.c` of Wireshark (T050, T051).

/// Bytes of a salt.
const SALT_BYTES: usize = 20;
/// Frame type of handshake bytes in a version with the frames of Google's own protocol.
pub const GOOGLE_CRYPTO: u8 = 0x08;

/// How the Initial packets of a version are sealed.
#[derive(Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Goes into the first secret together with the client's destination connection id.
    pub salt: [u8; SALT_BYTES],
    /// What key, nonce and header key are derived with, behind `tls13 `.
    pub labels: [&'static [u8]; 3],
    /// Type bits of an Initial packet; 0-RTT, Handshake and Retry follow.
    pub initial: u8,
    /// Frame type of handshake bytes.
    pub crypto_frame: u8,
}

const VERSION_1: Dialect = Dialect {
    salt: [
        0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb,
        0x7f, 0x0a,
    ],
    labels: [b"tls13 quic key", b"tls13 quic iv", b"tls13 quic hp"],
    initial: 0,
    crypto_frame: 0x06,
};

static V1: Dialect = VERSION_1;
static V2: Dialect = Dialect {
    salt: [
        0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd,
        0x2e, 0xd9,
    ],
    labels: [b"tls13 quicv2 key", b"tls13 quicv2 iv", b"tls13 quicv2 hp"],
    initial: 1,
    ..VERSION_1
};
static DRAFT_22: Dialect = Dialect {
    salt: [
        0x7f, 0xbc, 0xdb, 0x0e, 0x7c, 0x66, 0xbb, 0xe9, 0x19, 0x3a, 0x96, 0xcd, 0x21, 0x51, 0x9e, 0xbd, 0x7a, 0x02,
        0x64, 0x4a,
    ],
    ..VERSION_1
};
static DRAFT_23: Dialect = Dialect {
    salt: [
        0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65, 0xbe, 0xf9,
        0xf5, 0x02,
    ],
    ..VERSION_1
};
static DRAFT_29: Dialect = Dialect {
    salt: [
        0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43, 0x90,
        0xa8, 0x99,
    ],
    ..VERSION_1
};
static T050: Dialect = Dialect {
    salt: [
        0x7f, 0xf5, 0x79, 0xe5, 0xac, 0xd0, 0x72, 0x91, 0x55, 0x80, 0x30, 0x4c, 0x43, 0xa2, 0x36, 0x7c, 0x60, 0x48,
        0x83, 0x10,
    ],
    crypto_frame: GOOGLE_CRYPTO,
    ..VERSION_1
};
static T051: Dialect = Dialect {
    salt: [
        0x7a, 0x4e, 0xde, 0xf4, 0xe7, 0xcc, 0xee, 0x5f, 0xa4, 0x50, 0x6c, 0x19, 0x12, 0x4f, 0xc8, 0xcc, 0xda, 0x6e,
        0x03, 0x3d,
    ],
    ..VERSION_1
};

/// How a version seals its Initial packets; `None` when that is not known.
pub fn dialect(version: u32) -> Option<&'static Dialect> {
    Some(match version {
        0x0000_0001 | 0xff00_0021 | 0xff00_0022 | 0xface_b003 => &V1,
        0x6b33_43cf => &V2,
        0xff00_0016 | 0xface_b001 => &DRAFT_22,
        0xff00_0017..=0xff00_001c | 0xface_b002 | 0xface_b00e | 0xface_b010 | 0xface_b011 | 0xface_b013 => &DRAFT_23,
        0xff00_001d..=0xff00_0020 => &DRAFT_29,
        0x5430_3530 => &T050,
        0x5430_3531 => &T051,
        _ => return None,
    })
}

/// A version of Google's own protocol before the standard, `Q043`; nothing of it is read.
pub fn is_google(version: u32) -> bool {
    let [q, zero, tens, ones] = version.to_be_bytes();
    q == b'Q' && zero == b'0' && tens.is_ascii_digit() && ones.is_ascii_digit()
}

/// A version that nobody speaks, made to provoke an answer: RFC 9000 section 15.
pub fn is_grease(version: u32) -> bool {
    version & 0x0f0f_0f0f == 0x0a0a_0a0a
}
