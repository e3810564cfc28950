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
    let mut text = Text::new();
    text.number(offer.version);
    for list in [offer.ciphers, offer.extensions, offer.groups] {
        text.byte(b',');
        text.list(list.iter().copied());
    }
    text.byte(b',');
    text.list(offer.point_formats.iter().map(|&format| u16::from(format)));
    text.finish()
}

/// JA3S of a ServerHello: `version,cipher,extensions`.
pub fn ja3s(version: u16, cipher: u16, extensions: impl Iterator<Item = u16>) -> [u8; 16] {
    let mut text = Text::new();
    text.number(version);
    text.byte(b',');
    text.number(cipher);
    text.byte(b',');
    text.list(extensions);
    text.finish()
}

/// Bytes of text that fit on the stack; the usual hello has two to four hundred.
const TEXT_ON_STACK: usize = 1024;

#[derive(Default)]
struct Text(SmallVec<[u8; TEXT_ON_STACK]>);

impl Text {
    fn new() -> Text {
        Text::default()
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// A number without leading zeros.
    #[inline]
    fn number(&mut self, value: u16) {
        let digit = |power: u16| b'0' + (value / power % 10) as u8;
        let digits = [digit(10_000), digit(1000), digit(100), digit(10), digit(1)];
        let zeros = match value {
            0..10 => 4,
            10..100 => 3,
            100..1000 => 2,
            1000..10_000 => 1,
            _ => 0,
        };
        self.0.extend_from_slice(&digits[zeros..]);
    }

    fn list(&mut self, values: impl Iterator<Item = u16>) {
        let mut first = true;
        for value in values.filter(|&value| !is_grease(value)) {
            if !first {
                self.byte(b'-');
            }
            first = false;
            self.number(value);
        }
    }

    fn finish(self) -> [u8; 16] {
        Md5::digest(&self.0).into()
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
        assert_eq!(hex(ja3s(769, 47, extensions.into_iter())), "836ce314215654b5b1f85f97c73e506f");
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
