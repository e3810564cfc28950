//! The header of one message, RFC 5424 or RFC 3164, and what follows from it.
//!
//! In: a message without its framing. Out: host, application, device and shape. Whatever is no header of either kind
//! is text.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use super::shape;

/// Facility and severity are at most 23 and 7 (RFC 5424, 6.2.1).
const PRIORITY_MAX: u32 = 191;
const PRIORITY_DIGITS_MAX: usize = 3;
/// Characters of the words of a header (RFC 5424, 6).
const HOST_BYTES_MAX: usize = 255;
const APP_BYTES_MAX: usize = 48;
const PROCESS_BYTES_MAX: usize = 128;
const MESSAGE_ID_BYTES_MAX: usize = 32;
/// Elements of structured data that are looked at.
const ELEMENTS_MAX: usize = 4;
/// First bytes that must be text.
const TEXT_BYTES: usize = 32;
/// First bytes of a text in which an element is looked for.
const ELEMENT_WITHIN: usize = 128;
/// Before the text of a message in UTF-8 (RFC 5424, 6.4).
const BOM: &[u8] = b"\xef\xbb\xbf";
const NIL: &[u8] = b"-";

const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// What one message says.
#[derive(Default)]
pub(super) struct Message<'a> {
    pub(super) host: Option<&'a [u8]>,
    pub(super) app: Option<&'a [u8]>,
    pub(super) device_id: Option<&'a [u8]>,
    pub(super) format: Vec<u8>,
    /// It has a whole header or a vendor's form, not just a priority.
    pub(super) is_sure: bool,
    /// What stands behind the priority.
    text: &'a [u8],
}

impl<'a> Message<'a> {
    /// `None`: there is no priority, and no form that does without.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Message<'a>> {
        let mut message = Message::default();
        let Some(text) = behind_priority(bytes) else {
            message.is_sure = shape::is_marked(bytes) && message.shape(bytes);
            return message.is_sure.then_some(message);
        };
        message.text = text;
        if message.new_header(text).is_none() {
            message.old_header(text);
        }
        Some(message)
    }

    /// Whether text follows the priority, as far as is there.
    pub(super) fn is_text(&self) -> bool {
        self.text.iter().take(TEXT_BYTES).all(|byte| *byte >= b' ' || *byte == b'\t')
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// RFC 5424, section 6. `None`: the text has not this header.
    fn new_header(&mut self, text: &'a [u8]) -> Option<()> {
        let (time, mut rest) = word(text.strip_prefix(b"1 ")?)?;
        if is_date(time) {
            // Check Point parts date and time with a blank.
            rest = word(rest).filter(|(time, _)| is_time(time))?.1;
        } else if time != NIL && !is_rfc3339(time) {
            return None;
        }
        let (host, rest) = word(rest).filter(|(host, _)| host.len() <= HOST_BYTES_MAX)?;
        let (app, rest) = word(rest).filter(|(app, _)| app.len() <= APP_BYTES_MAX)?;
        let (_, rest) = word(rest).filter(|(process, _)| process.len() <= PROCESS_BYTES_MAX)?;
        let (id, mut rest) = word(rest).filter(|(id, _)| id.len() <= MESSAGE_ID_BYTES_MAX)?;
        let mut format = [b"1 - - ", app, b" - ", id, b" "].concat();
        if let Some(text) = rest.strip_prefix(NIL) {
            format.extend_from_slice(NIL);
            rest = text;
        } else {
            let mut elements = 0_usize;
            while rest.first() == Some(&b'[') && elements < ELEMENTS_MAX {
                rest = shape::element(rest, &mut format)?;
                elements = elements.saturating_add(1);
            }
            (elements > 0).then_some(())?;
        }
        self.host = Some(host).filter(|host| *host != NIL);
        self.app = Some(app).filter(|app| *app != NIL);
        self.format = format;
        self.is_sure = true;
        let text = rest.trim_ascii_start();
        self.shape(text.strip_prefix(BOM).unwrap_or(text));
        Some(())
    }

    /// RFC 3164, section 4, as it is in use: the time may be missing or that of RFC 5424, and so may the host.
    fn old_header(&mut self, text: &'a [u8]) {
        let behind = behind_time(text);
        self.is_sure = behind.is_some();
        let rest = behind.unwrap_or(text).trim_ascii_start();
        if self.shape(rest) {
            return;
        }
        if let Some((host, body)) = word(rest).filter(|(host, _)| is_host(host)) {
            let body = body.trim_ascii_start();
            if self.shape(body) || self.tag(body) {
                // A device knows its own name better than a relay.
                self.host = self.host.or(Some(host));
                return;
            }
        }
        self.tag(rest);
    }

    /// An application in front of a text, `name:` or `name[process]:`; whether it is there.
    fn tag(&mut self, text: &'a [u8]) -> bool {
        // The front of a form that is cut off is no application.
        if shape::is_marked(text) {
            return false;
        }
        let is_of_tag = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./%@()".contains(byte);
        let name_bytes = text.iter().take_while(|byte| is_of_tag(byte)).count();
        let Some((app, rest)) = text.split_at_checked(name_bytes) else { return false };
        let begins = app.first().is_some_and(|byte| !byte.is_ascii_digit() && !b"-.".contains(byte));
        let rest = match rest.strip_prefix(b"[") {
            Some(process) => {
                let end = process.iter().take(PROCESS_BYTES_MAX).position(|byte| *byte == b']');
                end.and_then(|end| process.get(end.saturating_add(1)..)).unwrap_or_default()
            }
            None => rest,
        };
        let Some(rest) = rest.strip_prefix(b":").filter(|_| begins && app.len() <= APP_BYTES_MAX) else {
            return false;
        };
        self.app = Some(app);
        self.format = [app, b":"].concat();
        let text = rest.trim_ascii_start();
        if !self.shape(text) {
            let within = text.get(..ELEMENT_WITHIN).unwrap_or(text);
            let starts = within.iter().enumerate().filter(|(_, byte)| **byte == b'[').map(|(at, _)| at);
            let named = starts.filter_map(|at| text.get(at..)).find(|from| shape::is_enterprise_element(from));
            let mut element = b" ".to_vec();
            if named.and_then(|from| shape::element(from, &mut element)).is_some() {
                self.format.extend_from_slice(&element);
            }
        }
        true
    }

    /// Takes what a form for machines says; whether the text is in one.
    fn shape(&mut self, text: &'a [u8]) -> bool {
        let Some(shape) = shape::of(text) else { return false };
        if !self.format.is_empty() {
            self.format.push(b' ');
        }
        self.format.extend_from_slice(&shape.format);
        self.device_id = shape.device_id;
        self.host = shape.host.or(self.host);
        self.is_sure = true;
        true
    }
}

/// Whether bytes that are no message yet may become one.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    match bytes.strip_prefix(b"<") {
        Some(digits) => digits.len() <= PRIORITY_DIGITS_MAX && digits.iter().all(u8::is_ascii_digit),
        None => shape::may_begin(bytes),
    }
}

/// What stands behind `<priority>`.
fn behind_priority(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(b"<")?;
    let digits = rest.iter().take(PRIORITY_DIGITS_MAX).take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = rest.split_at_checked(digits)?;
    let value = number
        .iter()
        .fold(0_u32, |sum, digit| sum.saturating_mul(10).saturating_add(u32::from(digit.saturating_sub(b'0'))));
    let good = digits > 0 && value <= PRIORITY_MAX && (digits == 1 || !number.starts_with(b"0"));
    rest.strip_prefix(b">").filter(|_| good)
}

/// A word of printable characters and what stands behind the blank that ends it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().take(HOST_BYTES_MAX.saturating_add(1)).position(|byte| *byte == b' ')?;
    let (word, rest) = text.split_at_checked(end)?;
    let good = !word.is_empty() && word.iter().all(u8::is_ascii_graphic);
    Some((word, rest.get(1..)?)).filter(|_| good)
}

/// A host name or address, as a header without keys has it.
fn is_host(word: &[u8]) -> bool {
    let inner = word.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(byte));
    inner && word.iter().any(u8::is_ascii_alphanumeric) && !word.ends_with(b":")
}

/// Whether text has this form: `d` stands for a digit.
pub(super) fn has_form(text: &[u8], form: &[u8]) -> bool {
    let fits = |(byte, form): (&u8, &u8)| if *form == b'd' { byte.is_ascii_digit() } else { byte == form };
    text.len() == form.len() && text.iter().zip(form).all(fits)
}

fn is_date(word: &[u8]) -> bool {
    has_form(word, b"dddd-dd-dd")
}

fn is_time(word: &[u8]) -> bool {
    has_form(word, b"dd:dd:dd")
}

/// A time as RFC 5424, section 6.2.3, wants it; some leave out the zone.
fn is_rfc3339(word: &[u8]) -> bool {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let Some((time, rest)) = word.split_at_checked(FORM.len()) else { return false };
    let fraction = match rest.strip_prefix(b".") {
        Some(digits) => digits.iter().take_while(|byte| byte.is_ascii_digit()).count().saturating_add(1),
        None => 0,
    };
    let zone = rest.get(fraction..).unwrap_or_default();
    let known = zone.is_empty() || zone == b"Z" || has_form(zone, b"+dd:dd") || has_form(zone, b"-dd:dd");
    has_form(time, FORM) && known
}

/// What stands behind a time in front: `Nov  4 16:37:01`, with or without a year behind the day, or that of RFC 5424.
fn behind_time(text: &[u8]) -> Option<&[u8]> {
    if let Some((_, rest)) = word(text).filter(|(time, _)| is_rfc3339(time)) {
        return Some(rest);
    }
    let (month, rest) = text.split_at_checked(3)?;
    if !MONTHS.contains(&month) {
        return None;
    }
    let day = rest.strip_prefix(b" ")?.trim_ascii_start();
    let (_, mut rest) = word(day).filter(|(day, _)| has_form(day, b"d") || has_form(day, b"dd"))?;
    if let Some((_, behind)) = word(rest).filter(|(year, _)| has_form(year, b"dddd")) {
        rest = behind;
    }
    let (time, rest) = rest.split_at_checked(8)?;
    let ended = rest.first().is_some_and(|byte| b" :.".contains(byte));
    if !is_time(time) || !ended {
        return None;
    }
    // Fractions of a second, and a colon as Cisco writes it.
    let end = rest.iter().position(|byte| *byte == b' ')?;
    rest.get(end..)
}
