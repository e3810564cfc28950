//! JSON by hand, appended to bytes.
//!
//! In: keys that are written out as they stand, and values. Out: the bytes that `serde_json` would write. Everything
//! inside an object or a list is written with a comma behind it; [`close`] puts the bracket in place of the last one.
//! Source: RFC 8259.

use crate::fact::{Fact, Kind, append, value};

/// JSON as it stands.
#[inline]
pub fn raw(out: &mut Vec<u8>, json: &str) {
    out.extend_from_slice(json.as_bytes());
}

/// Ends an object or a list.
#[inline]
pub fn close(out: &mut Vec<u8>, bracket: u8) {
    match out.last_mut() {
        Some(last) if *last == b',' => *last = bracket,
        _ => out.push(bracket),
    }
}

/// `key` with its quotes and colon, a number, a comma.
#[inline]
pub fn number(out: &mut Vec<u8>, key: &str, number: u64) {
    raw(out, key);
    append::decimal(number, out);
    out.push(b',');
}

/// `key` with its quotes and colon, a string, a comma.
#[inline]
pub fn text(out: &mut Vec<u8>, key: &str, text: &str) {
    raw(out, key);
    string(out, text.as_bytes());
    out.push(b',');
}

/// A string in quotes, from UTF-8.
#[inline]
pub fn string(out: &mut Vec<u8>, utf8: &[u8]) {
    out.push(b'"');
    // Without an early end, so that many bytes are looked at at once.
    if utf8.iter().fold(true, |all, &byte| all & (byte >= b' ') & (byte != b'"') & (byte != b'\\')) {
        out.extend_from_slice(utf8);
    } else {
        utf8.iter().for_each(|&byte| escape(out, byte));
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    let letter = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0..b' ' => {
            raw(out, "\\u00");
            return append::hex(&[byte], out);
        }
        _ => return out.push(byte),
    };
    out.extend_from_slice(&[b'\\', letter]);
}

/// The value of a fact as text, in quotes.
#[inline]
pub fn value(out: &mut Vec<u8>, fact: &Fact<'_>) {
    match fact.field.kind {
        Kind::Name | Kind::Text if value::is_printable_ascii(fact.value) => string(out, fact.value),
        Kind::Hex => {
            out.push(b'"');
            append::hex(fact.value, out);
            out.push(b'"');
        }
        _ => string(out, value::text(fact).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        string(&mut out, text.as_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_character_is_escaped_as_serde_does() {
        for character in ('\0'..='\u{2fff}').chain(['\u{ffff}', '\u{1f600}', '\u{10ffff}']) {
            let text = format!("a{character}");
            assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
        }
        assert_eq!(written(""), "\"\"");
    }

    #[test]
    fn empty_objects_close_too() {
        let mut out = b"{\"a\":{".to_vec();
        close(&mut out, b'}');
        out.push(b',');
        close(&mut out, b'}');
        assert_eq!(out, b"{\"a\":{}}");
    }

    proptest! {
        #[test]
        fn strings_are_written_as_serde_does(text: String) {
            prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
