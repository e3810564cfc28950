//! QUIC Initial packets, sealed as RFC 9001 section 5 and RFC 9369 section 3 say, in datagrams of a client.
//!
//! In: a version, connection ids, frames. Out: datagrams. Google's own versions are not among them.

use aes_gcm::aead::AeadInOut;
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::BlockCipherEncrypt;
use aes_gcm::{Aes128Gcm, KeyInit};
use hkdf::Hkdf;
use sha2::Sha256;

/// Version 1 (RFC 9001).
pub const VERSION_1: u32 = 1;
/// Version 2 (RFC 9369).
pub const VERSION_2: u32 = 0x6b33_43cf;
/// The draft that was in use for longest.
pub const DRAFT_29: u32 = 0xff00_001d;
/// A version that nobody speaks, so that nobody gets used to those there are (RFC 9000 section 15).
pub const GREASE: u32 = 0x1a2a_3a4a;

/// The least that a client's first datagrams have (RFC 9000 section 14.1).
pub const DATAGRAM_BYTES_MIN: usize = 1200;
const TAG_BYTES: usize = 16;
const NUMBER_BYTES: usize = 4;

/// Who seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The side that begins.
    Client,
    /// The other.
    Server,
}

/// One Initial packet.
#[derive(Clone, Copy, Debug)]
pub struct Initial<'a> {
    /// Its version.
    pub version: u32,
    /// The connection id that the keys come from: that of the client's first packet.
    pub first_to: &'a [u8],
    /// The connection id it goes to.
    pub to: &'a [u8],
    /// What a Retry told the client to show.
    pub token: &'a [u8],
    /// Who sends it.
    pub sender: Sender,
    /// Its packet number.
    pub number: u32,
}

impl<'a> Initial<'a> {
    /// A client's packet of version 1 to this connection id.
    pub fn to(to: &'a [u8], number: u32) -> Initial<'a> {
        Initial { version: VERSION_1, first_to: to, to, token: &[], sender: Sender::Client, number }
    }

    /// The packet with these frames.
    pub fn seal(&self, frames: &[u8]) -> Vec<u8> {
        let (salt, [key_label, nonce_label, header_label], kind) = dialect(self.version);
        let label: &[u8] = match self.sender {
            Sender::Client => b"client in",
            Sender::Server => b"server in",
        };
        let initial = Hkdf::<Sha256>::new(Some(&salt), self.first_to);
        let secret = Hkdf::<Sha256>::from_prk(&expand::<32>(&initial, label)).unwrap();
        let key: [u8; 16] = expand(&secret, key_label);
        let mut nonce: [u8; 12] = expand(&secret, nonce_label);
        let header_key: [u8; 16] = expand(&secret, header_label);

        let mut packet = vec![0xc0 | kind << 4 | (NUMBER_BYTES as u8 - 1)];
        packet.extend(self.version.to_be_bytes());
        packet.push(self.to.len() as u8);
        packet.extend(self.to);
        packet.push(0);
        packet.extend(varint(self.token.len()));
        packet.extend(self.token);
        packet.extend(varint(NUMBER_BYTES + frames.len() + TAG_BYTES));
        let number_at = packet.len();
        packet.extend(self.number.to_be_bytes());
        let header = packet.clone();
        packet.extend(frames);
        nonce.iter_mut().rev().zip(self.number.to_le_bytes()).for_each(|(byte, part)| *byte ^= part);
        let cipher = Aes128Gcm::new(&key.into());
        let sealed = &mut packet[header.len()..];
        let tag = cipher.encrypt_inout_detached(&nonce.into(), &header, sealed.into()).unwrap();
        packet.extend(tag);
        let sample: [u8; 16] = packet[number_at + 4..number_at + 20].try_into().unwrap();
        let mut mask = sample.into();
        Aes128::new(&header_key.into()).encrypt_block(&mut mask);
        packet[0] ^= mask[0] & 0x0f;
        for at in 0..NUMBER_BYTES {
            packet[number_at + at] ^= mask[1 + at];
        }
        packet
    }

    /// The datagram of a client: these frames, filled up with PADDING.
    pub fn datagram(&self, frames: &[u8]) -> Vec<u8> {
        let mut frames = frames.to_vec();
        let around = self.seal(&frames).len() - frames.len();
        frames.resize(frames.len().max(DATAGRAM_BYTES_MIN - around), 0);
        self.seal(&frames)
    }
}

/// A CRYPTO frame: these handshake bytes belong at this offset.
pub fn crypto(offset: usize, bytes: &[u8]) -> Vec<u8> {
    [&[0x06][..], &varint(offset), &varint(bytes.len()), bytes].concat()
}

/// A number in the form of four bytes (RFC 9000 section 16).
fn varint(value: usize) -> [u8; 4] {
    (0x8000_0000 | u32::try_from(value).unwrap()).to_be_bytes()
}

/// Salt, labels and the type of an Initial packet.
fn dialect(version: u32) -> ([u8; 20], [&'static [u8]; 3], u8) {
    let old: [&[u8]; 3] = [b"quic key", b"quic iv", b"quic hp"];
    match version {
        VERSION_1 => (salt("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"), old, 0),
        VERSION_2 => (salt("0dede3def700a6db819381be6e269dcbf9bd2ed9"), [b"quicv2 key", b"quicv2 iv", b"quicv2 hp"], 1),
        DRAFT_29 => (salt("afbfec289993d24c9e9786f19c6111e04390a899"), old, 0),
        other => panic!("version {other:08x}"),
    }
}

fn salt(hex: &str) -> [u8; 20] {
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    std::array::from_fn(|at| digits[2 * at] << 4 | digits[2 * at + 1])
}

/// HKDF-Expand-Label with an empty context (RFC 8446 section 7.1).
fn expand<const N: usize>(secret: &Hkdf<Sha256>, label: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let head = [0, N as u8, (label.len() + 6) as u8];
    secret.expand_multi_info(&[&head, b"tls13 ", label, &[0]], &mut out).unwrap();
    out
}
