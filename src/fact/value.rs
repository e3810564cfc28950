//! Values of facts as they are printed.
//!
//! In: a field's kind and raw bytes from the wire. Out: text that is valid UTF-8 whatever the
//! wire held: bytes that are not stand as `\xNN`, control characters likewise.

use std::fmt::Write;
use std::net::IpAddr;

use unicode_width::UnicodeWidthChar;

use crate::fact::{Fact, Kind, append};

/// The value as text.
pub fn text(fact: &Fact<'_>) -> String {
    match fact.field.kind {
        Kind::Name => name(fact.value),
        Kind::Text => escaped(fact.value),
        Kind::Hex => hex(fact.value),
        Kind::Number => number(fact.value).to_string(),
        Kind::Address => address(fact.value).map(|a| a.to_string()).unwrap_or_default(),
    }
}

/// Whether name and text stand as they came from the wire: ASCII that can be printed.
#[inline]
pub fn is_printable_ascii(bytes: &[u8]) -> bool {
    // Without an early end, so that many bytes are looked at at once.
    bytes.iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'))
}

/// Lower-case hex without separators.
pub fn hex(bytes: &[u8]) -> String {
    let mut digits = Vec::with_capacity(bytes.len() * 2);
    append::hex(bytes, &mut digits);
    // Digits are ASCII.
    String::from_utf8(digits).unwrap_or_default()
}

/// A number of up to eight bytes, big-endian.
pub fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

/// An address of four or sixteen bytes.
pub fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// Text from the wire; what is not printable UTF-8 stands as `\xNN`.
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                let mut utf8 = [0; 4];
                character.encode_utf8(&mut utf8).bytes().for_each(|byte| escape(&mut text, byte));
            } else {
                text.push(character);
            }
        }
        chunk.invalid().iter().for_each(|&byte| escape(&mut text, byte));
    }
    text
}

/// A name from the wire as DNS tools print it: control characters as `\\ooo`, and U+FFFD for bytes that
/// are not UTF-8. [`is_plain`] tells whether anything was changed.
pub fn name(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '\r' => text.push_str("\\r"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(text, "\\{:03o}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text
}

/// The text without anything that moves, hides or turns around what stands beside it: control characters, marks of direction
/// (Unicode UAX #9), and characters without a width are written as `\u{202e}`. Every character of it takes one column or two.
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmless(character) { shown.push(character) } else { shown.extend(character.escape_unicode()) }
    }
    shown
}

/// Whether a character moves, hides and turns around nothing: see [`harmless`].
pub fn is_harmless(character: char) -> bool {
    !is_hidden(character) && matches!(character.width(), Some(1 | 2))
}

/// Whether a character is a control character, a mark or override of direction, a sign of no width, a separator of lines or
/// a tag: some tables give these a width of one.
pub fn is_hidden(character: char) -> bool {
    const SOFT_HYPHEN: char = '\u{ad}';
    character.is_control()
        || matches!(character, SOFT_HYPHEN | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether a name prints as it stood on the wire.
pub fn is_plain(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.contains(char::is_control))
}

fn escape(text: &mut String, byte: u8) {
    let _ = write!(text, "\\x{byte:02x}");
}

/// A hardware address as tools print it.
pub fn mac(bytes: &[u8; 6]) -> String {
    let [a, b, c, d, e, f] = bytes;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_bytes_become_printable_utf8() {
        assert_eq!(escaped(b"plain.example"), "plain.example");
        assert_eq!(escaped(b"a\x00b\xffc\n"), "a\\x00b\\xffc\\x0a");
        assert_eq!(escaped("b\u{fc}cher.example".as_bytes()), "b\u{fc}cher.example");
        assert_eq!(escaped("x\u{9b}y".as_bytes()), "x\\xc2\\x9by");
    }

    #[test]
    fn numbers_and_addresses_are_read_back() {
        assert_eq!(number(&443u64.to_be_bytes()), 443);
        assert_eq!(address(&[192, 0, 2, 1]).unwrap().to_string(), "192.0.2.1");
        assert_eq!(address(&[1, 2, 3]), None);
        assert_eq!(hex(&[0x0a, 0xff]), "0aff");
    }
}
