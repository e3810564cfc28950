//! SSH up to where it becomes unreadable: banners, key exchange, new keys.
//!
//! In: whose message. Out: its bytes, appended. Keys and signatures are made-up bytes.
//! Sources: RFC 4253, sections 4.2, 6 and 7.1; RFC 5656, section 4; RFC 8709, section 4.

use super::hello::behind_length;
use super::random::Random;

/// What a client says first.
pub const CLIENT_BANNER: &[u8] = b"SSH-2.0-OpenSSH_9.9\r\n";
/// What a server says first.
pub const SERVER_BANNER: &[u8] = b"SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13\r\n";

const KEX_INIT: u8 = 20;
const NEW_KEYS: u8 = 21;
const ECDH_INIT: u8 = 30;
const ECDH_REPLY: u8 = 31;
const KEY_EXCHANGES: &str = "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,\
diffie-hellman-group16-sha512,ext-info-c,kex-strict-c-v00@openssh.com";
const SERVER_KEY_EXCHANGES: &str = "curve25519-sha256,ecdh-sha2-nistp256,diffie-hellman-group16-sha512,ext-info-s,\
kex-strict-s-v00@openssh.com";
const HOST_KEY: &str = "ssh-ed25519";
const HOST_KEYS: &str = "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256";
const CIPHERS: &str = "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes256-ctr";
const MACS: &str = "umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com";
const COMPRESSIONS: &str = "none,zlib@openssh.com";

/// Appends what an end can do.
pub fn can_do(out: &mut Vec<u8>, is_client: bool, random: &mut Random) {
    let exchanges = if is_client { KEY_EXCHANGES } else { SERVER_KEY_EXCHANGES };
    let [first, second] = [random.next(), random.next()];
    packet(out, random, |out| {
        out.push(KEX_INIT);
        out.extend_from_slice(&[first.to_be_bytes(), second.to_be_bytes()].concat()); // the cookie
        for list in [exchanges, HOST_KEYS, CIPHERS, CIPHERS, MACS, MACS, COMPRESSIONS, COMPRESSIONS, "", ""] {
            string(out, list.as_bytes());
        }
        out.extend_from_slice(&[0; 5]); // no guess follows; reserved
    });
}

/// Appends a client's key.
pub fn client_key(out: &mut Vec<u8>, random: &mut Random) {
    let key: [u8; 32] = random.bytes();
    packet(out, random, |out| {
        out.push(ECDH_INIT);
        string(out, &key);
    });
}

/// Appends a server's keys, its signature, and that what follows is encrypted.
pub fn server_keys(out: &mut Vec<u8>, random: &mut Random) {
    let [host, key, sign, ature]: [[u8; 32]; 4] = [random.bytes(), random.bytes(), random.bytes(), random.bytes()];
    packet(out, random, |out| {
        out.push(ECDH_REPLY);
        behind_length(out, 4, |out| {
            string(out, HOST_KEY.as_bytes());
            string(out, &host);
        });
        string(out, &key);
        behind_length(out, 4, |out| {
            string(out, HOST_KEY.as_bytes());
            string(out, &[sign, ature].concat());
        });
    });
    new_keys(out, random);
}

/// Appends that what follows is encrypted.
pub fn new_keys(out: &mut Vec<u8>, random: &mut Random) {
    packet(out, random, |out| out.push(NEW_KEYS));
}

/// Appends an unencrypted packet: its lengths, what `write` appends, padding to eight bytes.
fn packet(out: &mut Vec<u8>, random: &mut Random, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 5]);
    write(out);
    let padding = 4 + (8 - (out.len() - start + 4) % 8) % 8;
    random.fill(out, padding);
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    out[start + 4] = padding as u8;
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    behind_length(out, 4, |out| out.extend_from_slice(bytes));
}
