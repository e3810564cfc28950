//! Community ID v1, seed 0: one name for a flow across tools.
//!
//! In: a key. Out: `1:` and the base64 of a SHA-1 over the sorted endpoints.
//! Source: the Community ID flow hashing specification, version 1 (corelight/community-id-spec).

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::key::{Key, protocol};

const SEED: u16 = 0;

/// Bytes of a Community ID: `1:` and the base64 of twenty bytes.
pub const TEXT_BYTES: usize = 30;

/// The Community ID of a flow, ASCII.
pub fn of(key: &Key) -> [u8; TEXT_BYTES] {
    // Seed, two addresses, protocol and a zero, two ports.
    let mut bytes = [0; 40];
    bytes[..2].copy_from_slice(&SEED.to_be_bytes());
    let mut end = 2;
    let mut add = |part: &[u8]| {
        bytes[end..end + part.len()].copy_from_slice(part);
        end += part.len();
    };
    let endpoints = [key.endpoint(true), key.endpoint(false)];
    for (address, _) in endpoints {
        match address {
            IpAddr::V4(v4) => add(&v4.octets()),
            IpAddr::V6(v6) => add(&v6.octets()),
        }
    }
    add(&[key.protocol(), 0]);
    if matches!(key.protocol(), protocol::ICMP | protocol::TCP | protocol::UDP | protocol::ICMP6 | protocol::SCTP) {
        for (_, port) in endpoints {
            add(&port.to_be_bytes());
        }
    }
    let mut text = [b'='; TEXT_BYTES];
    text[..2].copy_from_slice(b"1:");
    // Twenty bytes are 28 characters: they fit.
    let _ = STANDARD.encode_slice(Sha1::digest(&bytes[..end]), &mut text[2..]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(from: &str, from_port: u16, to: &str, to_port: u16, protocol: u8) -> String {
        let key = Key::new(from.parse().unwrap(), from_port, to.parse().unwrap(), to_port, protocol).0;
        String::from_utf8(of(&key).to_vec()).unwrap()
    }

    // From the baseline files of corelight/community-id-spec (default seed).
    #[test]
    fn agrees_with_the_specification() {
        assert_eq!(id("128.232.110.120", 34855, "66.35.250.204", 80, 6), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        assert_eq!(id("66.35.250.204", 80, "128.232.110.120", 34855, 6), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        assert_eq!(id("192.168.1.52", 54585, "8.8.8.8", 53, 17), "1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
        assert_eq!(id("192.168.0.89", 8, "192.168.0.1", 0, 1), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
        assert_eq!(id("192.168.170.8", 7, "192.168.170.56", 80, 132), "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ=");
    }
}
