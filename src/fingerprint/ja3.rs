//! JA3 and JA3S: MD5 over the decimal numbers of a hello, in the order they stood on the wire.
//!
//! In: the lists of one hello. Out: sixteen bytes. GREASE (RFC 8701) is left out everywhere.
//! Source: github.com/salesforce/ja3, README, "How it works".

use md5::{Digest, Md5};
use smallvec::SmallVec;

use super::is_grease;

/// What JA3 reads of a ClientHello.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offer<'a> {
    /// `client_version`, also when `supported_versions` says something else.
    pub version: u16,
    /// Cipher suites.
    pub ciphers: &'a [u16],
    /// Types of the extensions.
    pub extensions: &'a [u16],
    /// `supported_groups`.
    pub groups: &'a [u16],
    /// `ec_point_formats`.
    pub point_formats: &'a [u8],
}

/// JA3 of a ClientHello: `version,ciphers,extensions,groups,point formats`.
pub fn ja3(offer: &Offer<'_>) -> [u8; 16] {
    let lists = [offer.ciphers, offer.extensions, offer.groups];
    let count = lists.iter().map(|list| list.len()).sum::<usize>() + offer.point_formats.len();
    let mut text = Text::new(1 + count);
    text.number(offer.version, b',');
    for list in lists {
        text.list(list.iter().copied(), b",");
    }
    text.list(offer.point_formats.iter().map(|&format| u16::from(format)), b"");
    text.finish()
}

/// JA3S of a ServerHello: `version,cipher,extensions`.
pub fn ja3s(version: u16, cipher: u16, extensions: &[u16]) -> [u8; 16] {
    let mut text = Text::new(2 + extensions.len());
    text.number(version, b',');
    text.number(cipher, b',');
    text.list(extensions.iter().copied(), b"");
    text.finish()
}

/// Bytes of text that fit on the stack; the usual hello has two to four hundred.
const TEXT_ON_STACK: usize = 1024;
/// A number, what stands behind it, and room to write it in one piece.
const NUMBER_BYTES: usize = 8;
/// Five digits and what stands behind them.
const NUMBER_BYTES_USED: usize = 6;

struct Text {
    bytes: SmallVec<[u8; TEXT_ON_STACK]>,
    used: usize,
}

impl Text {
    /// With room for so many numbers.
    fn new(numbers: usize) -> Text {
        Text { bytes: SmallVec::from_elem(0, numbers * NUMBER_BYTES_USED + NUMBER_BYTES), used: 0 }
    }

    /// A number without leading zeros, and what stands behind it.
    #[inline]
    fn number(&mut self, value: u16, behind: u8) {
        let digit = |power: u16| u64::from(value / power % 10);
        let digits = digit(10_000) | digit(1000) << 8 | digit(100) << 16 | digit(10) << 24 | digit(1) << 32;
        let zeros = [10, 100, 1000, 10_000].into_iter().map(|least| usize::from(value < least)).sum::<usize>();
        let text = (digits + u64::from_le_bytes(*b"00000\0\0\0")) | (u64::from(behind) << 40);
        let end = self.used + NUMBER_BYTES;
        self.bytes[self.used..end].copy_from_slice(&(text >> (8 * zeros)).to_le_bytes());
        self.used += NUMBER_BYTES_USED - zeros;
    }

    /// Numbers with `-` between, then what stands behind them.
    #[inline]
    fn list(&mut self, values: impl Iterator<Item = u16>, behind: &[u8]) {
        let start = self.used;
        for value in values.filter(|&value| !is_grease(value)) {
            self.number(value, b'-');
        }
        self.used -= usize::from(self.used > start);
        self.bytes[self.used..self.used + behind.len()].copy_from_slice(behind);
        self.used += behind.len();
    }

    fn finish(self) -> [u8; 16] {
        Md5::digest(&self.bytes[..self.used]).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: [u8; 16]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The two examples of the README of salesforce/ja3.
    #[test]
    fn published_client_examples() {
        let offer = Offer {
            version: 769,
            ciphers: &[47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4],
            extensions: &[0, 10, 11],
            groups: &[23, 24, 25],
            point_formats: &[0],
        };
        assert_eq!(hex(ja3(&offer)), "ada70206e40642a3e4461f35503241d5");
        let bare = Offer { version: 769, ciphers: &[4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99], ..Offer::default() };
        assert_eq!(hex(ja3(&bare)), "de350869b8c85de67a350c8d186f11e6");
    }

    /// The example of the README of salesforce/ja3. The digest printed there is that of the text with
    /// a line feed behind it; this one is `printf 769,47,65281-0-11-35-5-16 | md5sum`.
    #[test]
    fn published_server_example() {
        let extensions = [65281, 0, 11, 35, 5, 16];
        assert_eq!(hex(ja3s(769, 47, &extensions)), "836ce314215654b5b1f85f97c73e506f");
    }

    #[test]
    fn grease_is_left_out_and_order_counts() {
        let plain =
            Offer { version: 771, ciphers: &[4865, 49195], extensions: &[0, 23], groups: &[29], point_formats: &[0] };
        let greased = Offer {
            ciphers: &[0x2a2a, 4865, 49195],
            extensions: &[0xfafa, 0, 23, 0x0a0a],
            groups: &[0x5a5a, 29],
            ..plain
        };
        assert_eq!(ja3(&plain), ja3(&greased));
        let turned = Offer { extensions: &[23, 0], ..plain };
        assert_ne!(ja3(&plain), ja3(&turned));
    }

    #[test]
    fn long_lists_pass_through_the_buffer() {
        let ciphers: Vec<u16> = (0..2000).collect();
        let offer = Offer { version: 771, ciphers: &ciphers, ..Offer::default() };
        let numbers: Vec<String> = ciphers.iter().filter(|&&v| v != 0x0a0a).map(ToString::to_string).collect();
        let text = format!("771,{},,,", numbers.join("-"));
        assert_eq!(ja3(&offer), <[u8; 16]>::from(Md5::digest(text)));
    }
}
