//! TLS records and what a server says, as seen from outside: hellos and certificates in clear, the rest unreadable.
//!
//! In: names, amounts. Out: records, appended. Keys, signatures and everything encrypted are made-up bytes.
//! Sources: RFC 5246, sections 6.2 and 7.4; RFC 8446, sections 4.1.3 and 5.

use super::hello::{VERSION_TLS12, behind_length, extension, key_share, words};
use super::random::Random;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
/// Record type handshake.
pub const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

const SERVER_HELLO: u8 = 2;
const NEW_SESSION_TICKET: u8 = 4;
const CERTIFICATE: u8 = 11;
const SERVER_KEY_EXCHANGE: u8 = 12;
const SERVER_HELLO_DONE: u8 = 14;
const CLIENT_KEY_EXCHANGE: u8 = 16;

/// Longest content of a record.
const RECORD_BYTES_MAX: usize = 16_384;
const X25519: u16 = 29;
const P256: u16 = 23;

/// Made-up bytes to take encrypted content from: cheaper than new ones for every record.
pub struct Noise(Vec<u8>);

impl Noise {
    /// As many as the longest record has, twice.
    pub fn new(random: &mut Random) -> Noise {
        let mut bytes = Vec::new();
        random.fill(&mut bytes, 2 * RECORD_BYTES_MAX);
        Noise(bytes)
    }

    /// A piece of at most [`RECORD_BYTES_MAX`] bytes.
    pub fn piece(&self, count: usize, random: &mut Random) -> &[u8] {
        let count = count.min(RECORD_BYTES_MAX);
        let at = random.below(self.0.len() - count);
        &self.0[at..at + count]
    }
}

/// Appends a record.
pub fn record(out: &mut Vec<u8>, kind: u8, version: u16, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    words(out, &[version]);
    behind_length(out, 2, write);
}

/// Appends a handshake message in a record of its own.
fn message(out: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    record(out, HANDSHAKE, VERSION_TLS12, |out| {
        out.push(kind);
        behind_length(out, 3, write);
    });
}

/// Appends records with so many bytes of a program, encrypted.
pub fn data(out: &mut Vec<u8>, count: usize, noise: &Noise, random: &mut Random) {
    let mut left = count;
    while left > 0 {
        let part = left.min(RECORD_BYTES_MAX - 256);
        record(out, APPLICATION_DATA, VERSION_TLS12, |out| out.extend_from_slice(noise.piece(part, random)));
        left -= part;
    }
}

/// Appends a ServerHello of TLS 1.3 that answers this hello.
pub fn server_hello_13(out: &mut Vec<u8>, client_hello: &[u8], random: &mut Random) {
    message(out, SERVER_HELLO, |out| {
        words(out, &[VERSION_TLS12]);
        random.fill(out, 32);
        behind_length(out, 1, |out| out.extend_from_slice(client_hello.get(39..71).unwrap_or_default()));
        words(out, &[*random.pick(&[0x1301, 0x1302, 0x1302])]);
        out.push(0);
        behind_length(out, 2, |out| {
            let group = if random.percent(70) { X25519 } else { P256 };
            let shuffled = random.percent(50);
            if shuffled {
                extension(out, 43, |out| words(out, &[0x0304]));
            }
            extension(out, 51, |out| key_share(group, random, out));
            if !shuffled {
                extension(out, 43, |out| words(out, &[0x0304]));
            }
        });
    });
}

/// Appends the rest of a server's first flight in TLS 1.3: a cipher change for old middle boxes, then messages that
/// nobody outside can read, `count` bytes of them.
pub fn server_flight_13(out: &mut Vec<u8>, count: usize, noise: &Noise, random: &mut Random) {
    change_cipher_spec(out);
    data(out, count, noise, random);
}

/// Appends a client's Finished of TLS 1.3.
pub fn client_finished_13(out: &mut Vec<u8>, noise: &Noise, random: &mut Random) {
    change_cipher_spec(out);
    data(out, 53, noise, random);
}

/// Appends the first flight of a server in TLS 1.2: ServerHello, Certificate, ServerKeyExchange, ServerHelloDone.
pub fn server_flight_12(out: &mut Vec<u8>, chain: &[Vec<u8>], noise: &Noise, random: &mut Random) {
    message(out, SERVER_HELLO, |out| {
        words(out, &[VERSION_TLS12]);
        random.fill(out, 32);
        behind_length(out, 1, |out| random.fill(out, 32));
        words(out, &[*random.pick(&[0xc02f, 0xc030, 0xc02f])]);
        out.push(0);
        behind_length(out, 2, |out| {
            extension(out, 0xff01, |out| out.push(0));
            extension(out, 11, |out| out.extend_from_slice(&[1, 0]));
            extension(out, 23, |_| {});
        });
    });
    message(out, CERTIFICATE, |out| {
        behind_length(out, 3, |out| {
            for certificate in chain {
                behind_length(out, 3, |out| out.extend_from_slice(certificate));
            }
        });
    });
    message(out, SERVER_KEY_EXCHANGE, |out| {
        out.push(3); // named_curve
        words(out, &[X25519]);
        behind_length(out, 1, |out| random.fill(out, 32));
        words(out, &[0x0804]);
        behind_length(out, 2, |out| out.extend_from_slice(noise.piece(256, random)));
    });
    message(out, SERVER_HELLO_DONE, |_| {});
}

/// Appends the second flight of a client in TLS 1.2.
pub fn client_flight_12(out: &mut Vec<u8>, noise: &Noise, random: &mut Random) {
    message(out, CLIENT_KEY_EXCHANGE, |out| behind_length(out, 1, |out| random.fill(out, 32)));
    finished_12(out, noise, random);
}

/// Appends the second flight of a server in TLS 1.2.
pub fn server_finished_12(out: &mut Vec<u8>, noise: &Noise, random: &mut Random) {
    message(out, NEW_SESSION_TICKET, |out| {
        out.extend_from_slice(&7200_u32.to_be_bytes());
        behind_length(out, 2, |out| out.extend_from_slice(noise.piece(192, random)));
    });
    finished_12(out, noise, random);
}

/// Appends the close_notify of TLS 1.2.
pub fn alert_12(out: &mut Vec<u8>, noise: &Noise, random: &mut Random) {
    record(out, ALERT, VERSION_TLS12, |out| out.extend_from_slice(noise.piece(26, random)));
}

fn finished_12(out: &mut Vec<u8>, noise: &Noise, random: &mut Random) {
    change_cipher_spec(out);
    record(out, HANDSHAKE, VERSION_TLS12, |out| out.extend_from_slice(noise.piece(40, random)));
}

fn change_cipher_spec(out: &mut Vec<u8>) {
    record(out, CHANGE_CIPHER_SPEC, VERSION_TLS12, |out| out.push(1));
}
