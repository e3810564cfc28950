//! Names that are UUIDs, made from what they name (RFC 9562, section 5.5).
//!
//! In: a namespace and bytes. Out: a UUID of version 5 as text, the same every time.

use sha1::{Digest, Sha1};

/// The namespace of what bordertap names itself.
pub const OURS: [u8; 16] =
    [0x7e, 0x63, 0x25, 0x67, 0xc8, 0x84, 0x42, 0x1d, 0xad, 0x2e, 0x2b, 0x8f, 0x7c, 0xb1, 0x8b, 0xb8];

/// The UUID of a name in a namespace.
pub fn v5(namespace: &[u8; 16], name: &[u8]) -> String {
    let digest = Sha1::new().chain_update(namespace).chain_update(name).finalize();
    let mut number = digest.iter().take(16).fold(0u128, |number, byte| number << 8 | u128::from(*byte));
    number = number & !(0xf << 76) | 5 << 76;
    number = number & !(0x3 << 62) | 0x2 << 62;
    let hex = format!("{number:032x}");
    [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &hex[part]).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard() {
        // RFC 9562, appendix A.4: www.example.com in the namespace of DNS.
        let dns = 0x6ba7b810_9dad_11d1_80b4_00c04fd430c8_u128.to_be_bytes();
        assert_eq!(v5(&dns, b"www.example.com"), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
    }
}
