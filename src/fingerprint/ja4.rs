//! JA4 of TLS clients: a readable head and two truncated SHA-256 over sorted lists.
//!
//! In: what a ClientHello offers. Out: the 36 ASCII bytes of the fingerprint. GREASE (RFC 8701)
//! is left out everywhere, also among signature algorithms and application protocols.
//! Source: github.com/FoxIO-LLC/ja4, technical_details/JA4.md (JA4 itself is under BSD-3-Clause;
//! the other fingerprints of that family are not and have no place here).

use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use super::{BETWEEN, is_grease};

/// Bytes of a fingerprint: `t13d1516h2_8daaf6152771_e5627efa2ab1`.
pub const JA4_BYTES: usize = 36;

/// Extensions that the head of the fingerprint already tells of.
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
/// The highest number the two digits of a count show.
const COUNT_MAX: usize = 99;
/// Hex digits of a hash that are kept.
const HASH_DIGITS: usize = 12;
/// Stands for the hash of an empty list.
const NO_VALUES: [u8; HASH_DIGITS] = [b'0'; HASH_DIGITS];
/// List items that are sorted on the stack; longer lists go to the heap.
const ITEMS_ON_STACK: usize = 192;

/// What carried the hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TLS over TCP.
    Tls,
    /// TLS in QUIC.
    Quic,
    /// DTLS.
    Dtls,
}

/// What JA4 reads of a ClientHello.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// What carried it.
    pub transport: Transport,
    /// Highest of `supported_versions` without GREASE; without that extension `client_version`.
    pub version: u16,
    /// Cipher suites as they stood.
    pub ciphers: &'a [u16],
    /// Types of all extensions as they stood.
    pub extensions: &'a [u16],
    /// First protocol of the ALPN extension that is not GREASE.
    pub alpn: Option<&'a [u8]>,
    /// `signature_algorithms` as they stood.
    pub signature_algorithms: &'a [u16],
}

/// The two hashes of a fingerprint: of the ciphers, and of extensions with signature algorithms.
pub type Hashes = [[u8; HASH_DIGITS]; 2];

/// The fingerprint, ASCII.
pub fn ja4(offer: &Offer<'_>) -> [u8; JA4_BYTES] {
    with_hashes(offer, hashes(offer, |_, make| make()))
}

/// The hashes; `remember` gets the lists they are made from, sorted and without GREASE, and how to make them.
pub fn hashes(offer: &Offer<'_>, remember: impl FnOnce(&[u16], &dyn Fn() -> Hashes) -> Hashes) -> Hashes {
    let mut lists: SmallVec<[u16; ITEMS_ON_STACK]> = plain(offer.ciphers).collect();
    lists.sort_unstable();
    let ciphers_end = lists.len();
    lists.push(BETWEEN);
    let extensions_start = lists.len();
    lists.extend(plain(offer.extensions));
    lists[extensions_start..].sort_unstable();
    let extensions_end = lists.len();
    lists.push(BETWEEN);
    let schemes_start = lists.len();
    // Not sorted: their order tells clients apart.
    lists.extend(plain(offer.signature_algorithms));
    let [ciphers, extensions] = [&lists[..ciphers_end], &lists[extensions_start..extensions_end]];
    remember(&lists, &|| [cipher_hash(ciphers), extension_hash(extensions, &lists[schemes_start..])])
}

/// The fingerprint of an offer whose hashes are known.
pub fn with_hashes(offer: &Offer<'_>, [ciphers, extensions]: Hashes) -> [u8; JA4_BYTES] {
    let transport = match offer.transport {
        Transport::Tls => b't',
        Transport::Quic => b'q',
        Transport::Dtls => b'd',
    };
    let [v0, v1] = version_digits(offer.version);
    let name = if offer.extensions.contains(&SERVER_NAME) { b'd' } else { b'i' };
    let [c0, c1] = count_digits(plain(offer.ciphers).count());
    let [e0, e1] = count_digits(plain(offer.extensions).count());
    let [a0, a1] = alpn_ends(offer.alpn.unwrap_or_default());

    let mut text = [b'_'; JA4_BYTES];
    text[..10].copy_from_slice(&[transport, v0, v1, name, c0, c1, e0, e1, a0, a1]);
    text[11..23].copy_from_slice(&ciphers);
    text[24..].copy_from_slice(&extensions);
    text
}

/// A list without GREASE.
fn plain(list: &[u16]) -> impl Iterator<Item = u16> + '_ {
    list.iter().copied().filter(|&value| !is_grease(value))
}

fn version_digits(version: u16) -> [u8; 2] {
    *match version {
        0x0304 => b"13",
        0x0303 => b"12",
        0x0302 => b"11",
        0x0301 => b"10",
        0x0300 => b"s3",
        0x0002 => b"s2",
        0xfeff => b"d1",
        0xfefd => b"d2",
        0xfefc => b"d3",
        _ => b"00",
    }
}

fn count_digits(count: usize) -> [u8; 2] {
    let count = count.min(COUNT_MAX) as u8;
    [b'0' + count / 10, b'0' + count % 10]
}

/// First and last character of a protocol name, or of its hex form when either is not
/// alphanumeric.
fn alpn_ends(name: &[u8]) -> [u8; 2] {
    let (Some(&first), Some(&last)) = (name.first(), name.last()) else { return *b"00" };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        [first, last]
    } else {
        [hex_digit(first >> 4), hex_digit(last & 0x0f)]
    }
}

fn cipher_hash(sorted: &[u16]) -> [u8; HASH_DIGITS] {
    if sorted.is_empty() {
        return NO_VALUES;
    }
    let mut hash = Sha256::new();
    hash_list(&mut hash, b"", sorted.iter().copied());
    first_digits(hash)
}

fn extension_hash(sorted: &[u16], signature_algorithms: &[u16]) -> [u8; HASH_DIGITS] {
    let mut hash = Sha256::new();
    let kinds = sorted.iter().copied().filter(|&kind| kind != SERVER_NAME && kind != ALPN);
    if !hash_list(&mut hash, b"", kinds) {
        return NO_VALUES;
    }
    hash_list(&mut hash, b"_", signature_algorithms.iter().copied());
    first_digits(hash)
}

/// Hashes `before` and the values as four hex digits each with commas between; nothing at all
/// when there is no value. Says whether there was one.
fn hash_list(hash: &mut Sha256, before: &[u8], values: impl Iterator<Item = u16>) -> bool {
    const ITEM_BYTES: usize = 5;
    let mut buffer = [0; ITEM_BYTES * 64];
    let mut used = 0;
    let mut any = false;
    for value in values {
        if !any {
            hash.update(before);
        }
        let [high, low] = value.to_be_bytes();
        let item = [b',', hex_digit(high >> 4), hex_digit(high & 0x0f), hex_digit(low >> 4), hex_digit(low & 0x0f)];
        // The first item has no comma before it.
        let item = if any { &item[..] } else { &item[1..] };
        any = true;
        if used + item.len() > buffer.len() {
            hash.update(&buffer[..used]);
            used = 0;
        }
        buffer[used..used + item.len()].copy_from_slice(item);
        used += item.len();
    }
    hash.update(&buffer[..used]);
    any
}

fn first_digits(hash: Sha256) -> [u8; HASH_DIGITS] {
    let digest = hash.finalize();
    let mut digits = [0; HASH_DIGITS];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(digest.iter()) {
        pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 0x0f)]);
    }
    digits
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hello that JA4.md works through.
    const CIPHERS: [u16; 15] = [
        0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f,
        0x0035,
    ];
    const EXTENSIONS: [u16; 16] = [
        0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b,
        0x000a, 0x0015,
    ];
    const SCHEMES: [u16; 8] = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601];

    fn example() -> Offer<'static> {
        Offer {
            transport: Transport::Tls,
            version: 0x0304,
            ciphers: &CIPHERS,
            extensions: &EXTENSIONS,
            alpn: Some(b"h2"),
            signature_algorithms: &SCHEMES,
        }
    }

    fn text(offer: &Offer<'_>) -> String {
        String::from_utf8(ja4(offer).to_vec()).unwrap()
    }

    #[test]
    fn published_example() {
        assert_eq!(text(&example()), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    /// JA4.md, "Extension hash": without signature algorithms there is no underscore.
    #[test]
    fn published_example_without_signature_algorithms() {
        let offer = Offer { signature_algorithms: &[], ..example() };
        assert_eq!(text(&offer), "t13d1516h2_8daaf6152771_6d807ffa2a79");
    }

    #[test]
    fn empty_lists_give_zeros() {
        let offer = Offer {
            version: 0x0301,
            ciphers: &[],
            extensions: &[],
            alpn: None,
            signature_algorithms: &[],
            ..example()
        };
        assert_eq!(text(&offer), "t10i000000_000000000000_000000000000");
        let only_head = Offer { extensions: &[0, 16], ..offer };
        assert_eq!(text(&only_head), "t10d000200_000000000000_000000000000");
    }

    /// JA4.md, "ALPN Extension Value".
    #[test]
    fn published_alpn_examples() {
        let cases: [(&[u8], &str); 11] = [
            (b"h2", "h2"),
            (b"http/1.1", "h1"),
            (b"", "00"),
            (b"x", "xx"),
            (&[0xab], "ab"),
            (&[0xab, 0xcd], "ad"),
            (&[0x30, 0xab], "3b"),
            (&[0x30, 0x31, 0xab, 0xcd], "3d"),
            (&[0x30, 0xab, 0xcd, 0x31], "01"),
            (&[0xc3, 0xa9], "c9"),
            (b"-", "2d"),
        ];
        for (alpn, ends) in cases {
            let offer = Offer { alpn: Some(alpn), ..example() };
            assert_eq!(&text(&offer)[8..10], ends, "{alpn:02x?}");
        }
    }

    /// RFC 8701: the sixteen values, wherever they stand.
    #[test]
    fn grease_is_left_out() {
        for high in 0..16u16 {
            let grease = (high << 4 | 0xa) * 0x0101;
            assert!(is_grease(grease));
            let ciphers: Vec<u16> = [grease].into_iter().chain(CIPHERS).collect();
            let extensions: Vec<u16> = [grease].into_iter().chain(EXTENSIONS).chain([grease ^ 0x1010]).collect();
            let schemes: Vec<u16> = [grease].into_iter().chain(SCHEMES).collect();
            let offer =
                Offer { ciphers: &ciphers, extensions: &extensions, signature_algorithms: &schemes, ..example() };
            assert_eq!(ja4(&offer), ja4(&example()));
        }
        assert!((0..=u16::MAX).filter(|&v| is_grease(v)).count() == 16);
    }

    #[test]
    fn counts_stop_at_ninety_nine() {
        let many: Vec<u16> = (0x1000..0x1000 + 300).collect();
        let offer = Offer { ciphers: &many, extensions: &many, ..example() };
        assert_eq!(&text(&offer)[..8], "t13i9999");
        // The hash still covers all of them.
        let list: Vec<String> = many.iter().map(|v| format!("{v:04x}")).collect();
        let whole = format!("{:x?}", Sha256::digest(list.join(",")).as_slice());
        let digits: String = whole
            .split(|c: char| !c.is_ascii_hexdigit())
            .filter(|s| !s.is_empty())
            .take(6)
            .map(|s| format!("{s:0>2}"))
            .collect();
        assert_eq!(&text(&offer)[11..23], digits);
    }

    #[test]
    fn versions_and_transports() {
        let cases = [
            (0x0304, "13"),
            (0x0303, "12"),
            (0x0302, "11"),
            (0x0301, "10"),
            (0x0300, "s3"),
            (0x0002, "s2"),
            (0xfeff, "d1"),
            (0xfefd, "d2"),
            (0xfefc, "d3"),
            (0x7f1c, "00"),
        ];
        for (version, digits) in cases {
            assert_eq!(&text(&Offer { version, ..example() })[1..3], digits);
        }
        assert!(text(&Offer { transport: Transport::Quic, ..example() }).starts_with('q'));
        assert!(text(&Offer { transport: Transport::Dtls, ..example() }).starts_with('d'));
    }

    /// Order does not matter, except of signature algorithms.
    #[test]
    fn shuffling() {
        let mut ciphers = CIPHERS;
        let mut extensions = EXTENSIONS;
        for turn in 1..16 {
            ciphers.rotate_left(turn % 15);
            extensions.rotate_left(turn);
            extensions.swap(0, turn);
            let offer = Offer { ciphers: &ciphers, extensions: &extensions, ..example() };
            assert_eq!(ja4(&offer), ja4(&example()));
        }
        let mut schemes = SCHEMES;
        schemes.swap(0, 1);
        assert_ne!(ja4(&Offer { signature_algorithms: &schemes, ..example() }), ja4(&example()));
    }
}
