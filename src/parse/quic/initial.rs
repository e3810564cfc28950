//! Opening Initial packets: their keys follow from the packet itself, so everybody on the path may read them.
//!
//! In: a packet and the connection id that its keys come from. Out: its frames, when the tag at its end agrees.
//! Sources: RFC 9001 sections 5.2 to 5.4 and RFC 8446 section 7.1 (keys), RFC 9000 section 17.1 and appendix A.3
//! (packet numbers).

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::ops::Range;

use aes_gcm::aead::AeadInOut;
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::BlockCipherEncrypt;
use aes_gcm::{Aes128Gcm, KeyInit};
use hkdf::Hkdf;
use sha2::Sha256;

use super::packet::Long;
use super::version::Dialect;

const SECRET_BYTES: usize = 32;
const KEY_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// The sample starts where the packet number would end if it had all its bytes.
const SAMPLE_AFTER_BYTES: usize = 4;
/// In the first byte, hidden: bits that are zero, and the length of the packet number less one.
const RESERVED: u8 = 0x0c;
const NUMBER_LENGTH: u8 = 0x03;

/// Who sealed a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The side that sent the first Initial packet.
    Client,
    /// The other.
    Server,
}

/// What opens the Initial packets of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    pub(super) key: [u8; KEY_BYTES],
    pub(super) nonce: [u8; NONCE_BYTES],
    pub(super) header: [u8; KEY_BYTES],
}

impl Keys {
    /// The keys of a side, from the destination connection id of the client's first Initial packet.
    pub fn derive(dialect: &Dialect, first_to: &[u8], role: Role) -> Option<Keys> {
        let initial = Hkdf::<Sha256>::new(Some(&dialect.salt), first_to);
        let mut secret = [0; SECRET_BYTES];
        let label: &[u8] = match role {
            Role::Client => b"tls13 client in",
            Role::Server => b"tls13 server in",
        };
        expand(&initial, label, &mut secret)?;
        let secret = Hkdf::<Sha256>::from_prk(&secret).ok()?;
        let mut keys = Keys { key: [0; KEY_BYTES], nonce: [0; NONCE_BYTES], header: [0; KEY_BYTES] };
        let [key, nonce, header] = dialect.labels;
        expand(&secret, key, &mut keys.key)?;
        expand(&secret, nonce, &mut keys.nonce)?;
        expand(&secret, header, &mut keys.header)?;
        Some(keys)
    }

    /// Opens a packet: its number, and where its frames stand in `buffer`. `expected` is the number after the largest
    /// so far.
    pub fn open(&self, packet: &Long<'_>, expected: u64, buffer: &mut Vec<u8>) -> Option<(u64, Range<usize>)> {
        let number_at = packet.number_at;
        let sample = packet.bytes.get(number_at.checked_add(SAMPLE_AFTER_BYTES)?..)?.first_chunk::<16>()?;
        let mut mask = (*sample).into();
        Aes128::new(&self.header.into()).encrypt_block(&mut mask);
        let [first_mask, number_mask @ ..] = <[u8; 16]>::from(mask);

        let first = packet.bytes.first()? ^ first_mask & (RESERVED | NUMBER_LENGTH);
        // With wrong keys three of four packets end here.
        if first & RESERVED != 0 {
            return None;
        }
        buffer.clear();
        buffer.extend_from_slice(packet.bytes);
        *buffer.first_mut()? = first;
        let number_bytes = usize::from(first & NUMBER_LENGTH).checked_add(1)?;
        let header_bytes = number_at.checked_add(number_bytes)?;
        let mut number = 0;
        for (byte, mask) in buffer.get_mut(number_at..header_bytes)?.iter_mut().zip(number_mask) {
            *byte ^= mask;
            number = number << 8 | u64::from(*byte);
        }
        let number = whole_number(number, number_bytes, expected);

        let mut nonce = self.nonce;
        for (byte, part) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *byte ^= part;
        }
        let (header, sealed) = buffer.split_at_mut_checked(header_bytes)?;
        let (frames, tag) = sealed.split_last_chunk_mut::<TAG_BYTES>()?;
        let tag = (*tag).into();
        let cipher = Aes128Gcm::new(&self.key.into());
        cipher.decrypt_inout_detached(&nonce.into(), header, (&mut *frames).into(), &tag).ok()?;
        Some((number, header_bytes..header_bytes.saturating_add(frames.len())))
    }
}

/// HKDF-Expand-Label with an empty context.
fn expand(secret: &Hkdf<Sha256>, label: &[u8], out: &mut [u8]) -> Option<()> {
    let [high, low] = u16::try_from(out.len()).ok()?.to_be_bytes();
    let head = [high, low, u8::try_from(label.len()).ok()?];
    secret.expand_multi_info(&[&head, label, &[0]], out).ok()
}

/// The number whose last bytes these are, of all such the one nearest to `expected`.
fn whole_number(last_bytes: u64, count: usize, expected: u64) -> u64 {
    let window = 1_u64 << count.saturating_mul(8).min(32);
    let half = window >> 1;
    let candidate = expected & !window.saturating_sub(1) | last_bytes;
    if candidate.saturating_add(half) <= expected {
        candidate.saturating_add(window)
    } else if candidate > expected.saturating_add(half) && candidate >= window {
        candidate.saturating_sub(window)
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::whole_number;

    /// RFC 9000 appendix A.3: after 0xa82f30ea a packet with 0x9b32 has the number 0xa82f9b32.
    #[test]
    fn published_packet_number() {
        assert_eq!(whole_number(0x9b32, 2, 0xa82f_30eb), 0xa82f_9b32);
    }

    #[test]
    fn numbers_near_the_expected_one() {
        assert_eq!(whole_number(0, 1, 0), 0);
        assert_eq!(whole_number(200, 1, 0), 200);
        assert_eq!(whole_number(1, 1, 255), 257);
        assert_eq!(whole_number(255, 1, 257), 255);
        assert_eq!(whole_number(0xffff_ffff, 4, 1), 0xffff_ffff);
    }
}
