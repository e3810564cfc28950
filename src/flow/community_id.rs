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

/// The Community ID of a flow.
pub fn of(key: &Key) -> String {
    let mut hash = Sha1::new();
    hash.update(SEED.to_be_bytes());
    let endpoints = [key.endpoint(true), key.endpoint(false)];
    for (address, _) in endpoints {
        match address {
            IpAddr::V4(v4) => hash.update(v4.octets()),
            IpAddr::V6(v6) => hash.update(v6.octets()),
        }
    }
    hash.update([key.protocol(), 0]);
    if matches!(key.protocol(), protocol::ICMP | protocol::TCP | protocol::UDP | protocol::ICMP6 | protocol::SCTP) {
        for (_, port) in endpoints {
            hash.update(port.to_be_bytes());
        }
    }
    format!("1:{}", STANDARD.encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(from: &str, from_port: u16, to: &str, to_port: u16, protocol: u8) -> String {
        let key = Key::new(from.parse().unwrap(), from_port, to.parse().unwrap(), to_port, protocol).0;
        of(&key)
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
