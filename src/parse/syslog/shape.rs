//! The forms that log texts for machines have, and what may be told of them.
//!
//! In: the text of a message. Out: its shape without values, the id of the device and its name. ArcSight Common Event
//! Format; IBM Log Event Extended Format; the key and value pairs of FortiOS; the comma separated fields of PAN-OS;
//! structured data of RFC 5424, section 6.3, and what Check Point and VMware make of it.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use super::header::has_form;

/// Names of fields that a shape keeps.
const NAMES_MAX: usize = 8;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 64;
/// Bytes of version, vendor, product and its version together.
const MARK_BYTES_MAX: usize = 256;
/// Parameters of an element.
const PARAMETERS_MAX: usize = 64;
/// Bytes of the id of a device.
const DEVICE_ID_BYTES: std::ops::RangeInclusive<usize> = 6..=64;
/// First characters of a Fortinet serial number: the model.
const MODEL_BYTES: usize = 6;
const CEF: &[u8] = b"CEF:";
const LEEF: &[u8] = b"LEEF:";

/// What the text of a message tells.
pub(super) struct Shape<'a> {
    pub(super) format: Vec<u8>,
    pub(super) device_id: Option<&'a [u8]>,
    pub(super) host: Option<&'a [u8]>,
}

/// The shape of a text in one of these forms.
pub(super) fn of(text: &[u8]) -> Option<Shape<'_>> {
    match text.first()? {
        b'C' | b'L' => marked(text),
        b'd' => pairs(text),
        _ => fields(text),
    }
}

/// Whether a text begins with a mark that is enough without a header.
pub(super) fn is_marked(text: &[u8]) -> bool {
    text.starts_with(CEF) || text.starts_with(LEEF)
}

/// Whether bytes may become a text with a mark.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    is_marked(bytes) || CEF.starts_with(bytes) || LEEF.starts_with(bytes)
}

/// `CEF:0|vendor|product|version|…` and `LEEF:1.0|vendor|product|version|…`.
fn marked(text: &[u8]) -> Option<Shape<'_>> {
    let rest = text.strip_prefix(CEF).or_else(|| text.strip_prefix(LEEF))?;
    let mut escaped = false;
    let bars = rest.iter().take(MARK_BYTES_MAX).enumerate().filter(|(_, byte)| {
        let bar = **byte == b'|' && !escaped;
        escaped = **byte == b'\\' && !escaped;
        bar
    });
    let mut bars = bars.map(|(at, _)| at);
    let version = rest.get(..bars.next()?)?;
    let head = rest.get(..bars.nth(2)?)?;
    let good = !version.is_empty() && version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    if !good || !head.iter().all(|byte| *byte >= b' ') {
        return None;
    }
    let (format, extension) = text.split_at_checked(text.len().checked_sub(rest.len())?.saturating_add(head.len()))?;
    let device_id = behind(extension, b"deviceExternalId=").and_then(|value| until(value, b" ")).map(|(id, _)| id);
    Some(Shape { format: format.to_vec(), device_id: device_id.filter(|id| is_device_id(id)), host: None })
}

/// What stands behind a key in an extension: keys follow a blank or a bar.
fn behind<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let begins = |at: usize| at.checked_sub(1).and_then(|at| text.get(at)).is_some_and(|byte| b" |".contains(byte));
    let at = text.windows(key.len()).enumerate().find(|(at, window)| *window == key && begins(*at))?.0;
    text.get(at.saturating_add(key.len())..)
}

/// `date=2026-11-24 time=16:37:01 devname="fw1" devid="FG100E…" …`, with blanks or commas between.
fn pairs(text: &[u8]) -> Option<Shape<'_>> {
    let behind_name = text.strip_prefix(b"date=")?;
    let (_, rest) = behind_name.split_at_checked(10).filter(|(date, _)| has_form(date, b"dddd-dd-dd"))?;
    let separator = *rest.first().filter(|byte| b" ,".contains(byte))?;
    let (name, time, mut rest) = pair(rest.get(1..)?, separator)?;
    if name != b"time" || !time.get(..8).is_some_and(|time| has_form(time, b"dd:dd:dd")) {
        return None;
    }
    let mut shape = Shape { format: b"date= time=".to_vec(), device_id: None, host: None };
    let mut names = 0_usize;
    while names < NAMES_MAX
        && let Some((name, value, behind)) = pair(rest, separator)
    {
        names = names.saturating_add(1);
        rest = behind;
        shape.format.push(b' ');
        shape.format.extend_from_slice(name);
        shape.format.push(b'=');
        match name {
            b"devid" | b"device_id" if is_device_id(value) => {
                shape.device_id = Some(value);
                shape.format.extend_from_slice(value.get(..MODEL_BYTES).unwrap_or_default());
            }
            b"devname" if !value.is_empty() => shape.host = Some(value),
            _ => {}
        }
    }
    // Date and time alone are anybody's.
    (names > 0).then_some(shape)
}

/// Name and value of a pair, and what stands behind the separator.
fn pair(text: &[u8], separator: u8) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = until(text, b"=")?;
    let good = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte));
    let (value, rest) = match rest.strip_prefix(b"\"") {
        Some(quoted) => {
            let (value, rest) = quoted_value(quoted)?;
            (value, rest.strip_prefix(std::slice::from_ref(&separator))?)
        }
        None => until(rest, std::slice::from_ref(&separator))?,
    };
    good.then_some((name, value, rest))
}

/// A value up to the quote that ends it, and what stands behind; a backslash takes a quote's meaning away.
fn quoted_value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })?;
    Some((text.get(..end)?, text.get(end.saturating_add(1)..)?))
}

/// `1,2026/11/24 16:37:01,serial,TRAFFIC,end,…`.
fn fields(text: &[u8]) -> Option<Shape<'_>> {
    let one_digit = |first: &[u8]| matches!(first, [] | [b'0'..=b'9']);
    let (_, rest) = until(text, b",").filter(|(first, _)| one_digit(first))?;
    let (_, rest) = until(rest, b",").filter(|(time, _)| has_form(time, b"dddd/dd/dd dd:dd:dd"))?;
    let (serial, rest) = until(rest, b",")?;
    let (kind, rest) = until(rest, b",")?;
    let (subtype, _) = until(rest, b",")?;
    let is_word = |word: &[u8], of: fn(&u8) -> bool| {
        word.len() <= NAME_BYTES_MAX && word.iter().all(|byte| of(byte) || b"-_".contains(byte))
    };
    let good = serial.iter().all(u8::is_ascii_alphanumeric)
        && !kind.is_empty()
        && is_word(kind, u8::is_ascii_uppercase)
        && is_word(subtype, u8::is_ascii_alphanumeric);
    let device_id = Some(serial).filter(|serial| is_device_id(serial) && *serial != b"unknown");
    good.then(|| Shape { format: [b",,,", kind, b",", subtype].concat(), device_id, host: None })
}

/// Serial numbers and the like.
fn is_device_id(id: &[u8]) -> bool {
    DEVICE_ID_BYTES.contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
}

/// What stands before one of these bytes, and what behind.
fn until<'a>(text: &'a [u8], ends: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let end = text.iter().position(|byte| ends.contains(byte))?;
    Some((text.get(..end)?, text.get(end.saturating_add(1)..)?))
}

/// Whether an element begins whose id has an enterprise number: `[Originator@6876 `.
pub(super) fn is_enterprise_element(text: &[u8]) -> bool {
    let Some((id, _)) = text.strip_prefix(b"[").and_then(|text| until(text, b" ]")) else { return false };
    let Some((name, number)) = until(id, b"@") else { return false };
    is_id(name) && !number.is_empty() && number.iter().all(u8::is_ascii_digit)
}

fn is_id(id: &[u8]) -> bool {
    let good = |byte: &u8| byte.is_ascii_graphic() && !b"=]\"[".contains(byte);
    (1..=NAME_BYTES_MAX).contains(&id.len()) && id.iter().all(good)
}

/// Appends an element of structured data without its values; what stands behind it.
pub(super) fn element<'a>(text: &'a [u8], format: &mut Vec<u8>) -> Option<&'a [u8]> {
    let inside = text.strip_prefix(b"[")?;
    let id_bytes = inside.iter().take_while(|byte| !b" ]:".contains(byte)).count();
    let (id, mut rest) = inside.split_at_checked(id_bytes).filter(|(id, _)| is_id(id))?;
    if rest.starts_with(b":\"") {
        return check_point(inside, format);
    }
    format.push(b'[');
    format.extend_from_slice(id);
    for index in 0..PARAMETERS_MAX {
        rest = rest.trim_ascii_start();
        if let Some(behind) = rest.strip_prefix(b"]") {
            format.push(b']');
            return Some(behind);
        }
        let (name, behind) = rest.split_at_checked(rest.iter().position(|byte| b"= ]".contains(byte))?)?;
        let Some(value) = behind.strip_prefix(b"=") else {
            rest = behind;
            continue;
        };
        rest = match value.strip_prefix(b"\"") {
            Some(quoted) => quoted_value(quoted)?.1,
            // VMware does without quotes.
            None => value.get(value.iter().position(|byte| b" ]".contains(byte))?..)?,
        };
        if index < NAMES_MAX && is_id(name) {
            format.push(b' ');
            format.extend_from_slice(name);
            format.push(b'=');
        }
    }
    None
}

/// Check Point's `[action:"Accept"; flags:"163872"; …`: its first names are enough.
fn check_point<'a>(mut rest: &'a [u8], format: &mut Vec<u8>) -> Option<&'a [u8]> {
    format.push(b'[');
    for index in 0..NAMES_MAX {
        let (name, value) = until(rest, b":")?;
        let (_, behind) = quoted_value(value.strip_prefix(b"\"")?)?;
        if !is_id(name) {
            return None;
        }
        if index > 0 {
            format.push(b' ');
        }
        format.extend_from_slice(name);
        format.push(b':');
        rest = behind.strip_prefix(b";").unwrap_or(behind).trim_ascii_start();
        if rest.starts_with(b"]") {
            break;
        }
    }
    Some(&[])
}

#[cfg(test)]
mod tests {
    use super::{MARK_BYTES_MAX, NAME_BYTES_MAX, of};

    fn shape(text: &str) -> Option<String> {
        of(text.as_bytes()).map(|shape| String::from_utf8_lossy(&shape.format).into_owned())
    }

    /// Names of parameters are names up to a length: with a longer one the shape ends, or there is none.
    #[test]
    fn bytes_of_a_name() {
        for (bytes, told) in [(NAME_BYTES_MAX, true), (NAME_BYTES_MAX + 1, false)] {
            let name = "n".repeat(bytes);
            let text = format!("date=2026-11-24 time=16:37:01 type=x {name}=y more");
            assert_eq!(shape(&text).is_some_and(|shape| shape.contains(&name)), told);
            let kind = format!("1,2026/11/24 16:37:01,007,{},end,", "T".repeat(bytes));
            assert_eq!(shape(&kind).is_some(), told);
            let id = format!("[{name}@1 k=\"v\"]");
            assert_eq!(super::is_enterprise_element(id.as_bytes()), told);
        }
    }

    /// A mark up to a length is one.
    #[test]
    fn bytes_of_a_mark() {
        let marked = |bytes: usize| {
            let head = format!("0|vendor|{}|1", "p".repeat(bytes - "0|vendor||1|".len()));
            shape(&format!("CEF:{head}|rest")).is_some_and(|shape| shape == format!("CEF:{head}"))
        };
        assert_eq!((marked(50), marked(MARK_BYTES_MAX), marked(MARK_BYTES_MAX + 1)), (true, true, false));
    }
}
