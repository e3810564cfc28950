//! TLS 1.2 (RFC 5246) and 1.3 (RFC 8446) as seen from outside: real hellos, a certificate, then unreadable records.
//!
//! In: a server name, a certificate, amounts of data. Out: records. The hellos are bytes of real programs from
//! `fixtures/tls` (its README names capture and frame); only the server name is replaced and the lengths around it.
//! Keys, signatures and everything encrypted are made-up bytes of a fixed seed.

use super::random::Random;

/// Record type change_cipher_spec.
pub const CHANGE_CIPHER_SPEC: u8 = 20;
/// Record type alert.
pub const ALERT: u8 = 21;
/// Record type handshake.
pub const HANDSHAKE: u8 = 22;
/// Record type application_data.
pub const APPLICATION_DATA: u8 = 23;

/// The version number of TLS 1.2, which 1.3 writes in its records as well.
pub const VERSION_TLS12: u16 = 0x0303;

const CLIENT_HELLO: u8 = 1;
const NEW_SESSION_TICKET: u8 = 4;
const CERTIFICATE: u8 = 11;
const SERVER_KEY_EXCHANGE: u8 = 12;
const SERVER_HELLO_DONE: u8 = 14;
const CLIENT_KEY_EXCHANGE: u8 = 16;

const EXTENSION_SERVER_NAME: u16 = 0;
const NAME_TYPE_HOST: u8 = 0;
/// Named group secp256r1.
const GROUP_SECP256R1: u16 = 23;
/// Bytes of an uncompressed point of it.
const POINT_BYTES: usize = 65;
/// Signature scheme rsa_pkcs1_sha256.
const SCHEME_RSA_SHA256: u16 = 0x0401;
/// Longest content of a record.
const RECORD_BYTES_MAX: usize = 16_384;
/// What AES-128-GCM adds to a record in TLS 1.2: explicit nonce and tag.
const GCM_BYTES_TLS12: usize = 24;
/// What it adds in TLS 1.3: content type and tag.
const GCM_BYTES_TLS13: usize = 17;

const CLIENT_HELLO_TLS12: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tls/tls12-client-hello.bin"));
const SERVER_HELLO_TLS12: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tls/tls12-server-hello.bin"));
const CLIENT_HELLO_TLS13: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tls/tls13-client-hello.bin"));
const SERVER_HELLO_TLS13: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tls/tls13-server-hello.bin"));

/// Which pair of hellos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A client without TLS 1.3 and the server that answered it with ECDHE-RSA-AES128-GCM-SHA256.
    Tls12,
    /// A browser of 2023 and the server that answered it with TLS 1.3.
    Tls13,
}

/// The record of a ClientHello for `server_name`, or without that extension.
pub fn client_hello(version: Version, server_name: Option<&str>) -> Vec<u8> {
    let hello = match version {
        Version::Tls12 => CLIENT_HELLO_TLS12,
        Version::Tls13 => CLIENT_HELLO_TLS13,
    };
    replace_server_name(hello, server_name)
}

/// The record of the ServerHello that belongs to it.
pub fn server_hello(version: Version) -> Vec<u8> {
    match version {
        Version::Tls12 => SERVER_HELLO_TLS12.to_vec(),
        Version::Tls13 => SERVER_HELLO_TLS13.to_vec(),
    }
}

/// The same ClientHello record with another server name (at its old place, or first), or without; every other byte
/// stays, but for the lengths of extensions, message and record.
pub fn replace_server_name(hello: &[u8], server_name: Option<&str>) -> Vec<u8> {
    let (record_header, rest) = hello.split_at(5);
    assert_eq!((record_header[0], rest[0]), (HANDSHAKE, CLIENT_HELLO), "a ClientHello in one record");
    let body = &rest[4..];
    // Version and random, then session id, cipher suites and compression methods, each behind its length.
    let mut at = 34;
    at += 1 + usize::from(body[at]);
    at += 2 + usize::from(u16::from_be_bytes([body[at], body[at + 1]]));
    at += 1 + usize::from(body[at]);
    let (fixed, old) = (&body[..at], &body[at + 2..]);

    let name = server_name.map(server_name_extension);
    let mut extensions = Vec::new();
    let mut placed = false;
    let mut rest = old;
    while !rest.is_empty() {
        let kind = u16::from_be_bytes([rest[0], rest[1]]);
        let end = 4 + usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if kind == EXTENSION_SERVER_NAME {
            extensions.extend_from_slice(name.as_deref().unwrap_or_default());
            placed = true;
        } else {
            extensions.extend_from_slice(&rest[..end]);
        }
        rest = &rest[end..];
    }
    if !placed {
        let mut first = name.unwrap_or_default();
        first.extend(extensions);
        extensions = first;
    }

    let mut message = fixed.to_vec();
    message.extend(behind_length_16(&extensions));
    record(HANDSHAKE, u16::from_be_bytes([record_header[1], record_header[2]]), &handshake(CLIENT_HELLO, &message))
}

/// A Certificate message of TLS 1.2 in its record, the leaf first.
pub fn certificate(chain: &[Vec<u8>]) -> Vec<u8> {
    record(HANDSHAKE, VERSION_TLS12, &certificate_message(chain))
}

/// The same without a record, for chains that need several.
pub fn certificate_message(chain: &[Vec<u8>]) -> Vec<u8> {
    let list: Vec<u8> = chain.iter().flat_map(|c| behind_length_24(c)).collect();
    handshake(CERTIFICATE, &behind_length_24(&list))
}

/// A ServerKeyExchange of TLS 1.2 with a made-up point and a made-up RSA signature.
pub fn server_key_exchange(seed: u64) -> Vec<u8> {
    let mut body = vec![3]; // named_curve
    body.extend_from_slice(&GROUP_SECP256R1.to_be_bytes());
    body.extend(point(seed));
    body.extend_from_slice(&SCHEME_RSA_SHA256.to_be_bytes());
    body.extend(behind_length_16(&Random::new(!seed).bytes(256)));
    record(HANDSHAKE, VERSION_TLS12, &handshake(SERVER_KEY_EXCHANGE, &body))
}

/// A ServerHelloDone.
pub fn server_hello_done() -> Vec<u8> {
    record(HANDSHAKE, VERSION_TLS12, &handshake(SERVER_HELLO_DONE, &[]))
}

/// A ClientKeyExchange of TLS 1.2 with a made-up point.
pub fn client_key_exchange(seed: u64) -> Vec<u8> {
    record(HANDSHAKE, VERSION_TLS12, &handshake(CLIENT_KEY_EXCHANGE, &point(seed)))
}

/// A NewSessionTicket of TLS 1.2.
pub fn new_session_ticket(seed: u64) -> Vec<u8> {
    let mut body = 7200u32.to_be_bytes().to_vec();
    body.extend(behind_length_16(&Random::new(seed).bytes(192)));
    record(HANDSHAKE, VERSION_TLS12, &handshake(NEW_SESSION_TICKET, &body))
}

/// A ChangeCipherSpec.
pub fn change_cipher_spec() -> Vec<u8> {
    record(CHANGE_CIPHER_SPEC, VERSION_TLS12, &[1])
}

/// The encrypted Finished of TLS 1.2 with AES-GCM.
pub fn finished(seed: u64) -> Vec<u8> {
    record(HANDSHAKE, VERSION_TLS12, &Random::new(seed).bytes(16 + GCM_BYTES_TLS12))
}

/// An encrypted alert of TLS 1.2, as close_notify looks from outside.
pub fn encrypted_alert(seed: u64) -> Vec<u8> {
    record(ALERT, VERSION_TLS12, &Random::new(seed).bytes(2 + GCM_BYTES_TLS12))
}

/// Records that carry `count` bytes of a program, encrypted.
pub fn application_data(version: Version, count: usize, seed: u64) -> Vec<u8> {
    let overhead = match version {
        Version::Tls12 => GCM_BYTES_TLS12,
        Version::Tls13 => GCM_BYTES_TLS13,
    };
    let mut random = Random::new(seed);
    let mut records = Vec::with_capacity(count + 64);
    let mut left = count;
    while left > 0 {
        let part = left.min(RECORD_BYTES_MAX);
        records.extend(record(APPLICATION_DATA, VERSION_TLS12, &random.bytes(part + overhead)));
        left -= part;
    }
    records
}

/// A record.
pub fn record(kind: u8, version: u16, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.extend(behind_length_16(content));
    bytes
}

/// A handshake message.
pub fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(behind_length_24(body));
    bytes
}

fn server_name_extension(name: &str) -> Vec<u8> {
    let mut entry = vec![NAME_TYPE_HOST];
    entry.extend(behind_length_16(name.as_bytes()));
    let mut extension = EXTENSION_SERVER_NAME.to_be_bytes().to_vec();
    extension.extend(behind_length_16(&behind_length_16(&entry)));
    extension
}

fn point(seed: u64) -> Vec<u8> {
    let mut point = vec![POINT_BYTES as u8, 4]; // length, then "uncompressed"
    point.extend(Random::new(seed).bytes(POINT_BYTES - 1));
    point
}

fn behind_length_16(content: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(content.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes
}

fn behind_length_24(content: &[u8]) -> Vec<u8> {
    assert!(content.len() < 1 << 24, "24 bits of length");
    let mut bytes = (content.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(content);
    bytes
}
