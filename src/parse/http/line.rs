//! The lines of an HTTP/1 message: start lines, targets, header lines.
//!
//! In: one line without its end. Out: its parts, as slices of it. RFC 9112, sections 2 to 5;
//! liberal where servers are: any spaces, bytes above ASCII, unknown methods.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::parse::Claim;

/// Bytes of the shortest start line, `HTTP/1.1 200`.
const START_BYTES_MIN: usize = 12;
/// Bytes of a start line after which a known method and a good target are enough for a claim.
const CLAIM_BYTES: usize = 1024;
/// Bytes of a method.
const METHOD_BYTES_MAX: usize = 24;
/// Empty lines and spaces allowed before a start line (RFC 9112, 2.2).
const LEADING_BYTES_MAX: usize = 8;

const VERSION: &[u8] = b"HTTP/1.";

/// Methods that need no `HTTP/1.x` in sight: RFC 9110, RFC 5789, WebDAV, RFC 3648, \[MS-WDVME\], UPnP.
const METHODS: &[&[u8]] = &[
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"CONNECT",
    b"TRACE",
    b"PATCH",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"SEARCH",
    b"ORDERPATCH",
    b"BCOPY",
    b"BMOVE",
    b"BDELETE",
    b"BPROPFIND",
    b"BPROPPATCH",
    b"REPORT",
    b"M-SEARCH",
    b"NOTIFY",
    b"SUBSCRIBE",
    b"UNSUBSCRIBE",
];

/// The first line of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start<'a> {
    Request { method: &'a [u8], target: &'a [u8] },
    Response { status: u16 },
}

/// Reads a start line; `None` if it is none.
pub(super) fn start(line: &[u8]) -> Option<Start<'_>> {
    let line = line.trim_ascii();
    if let Some(rest) = line.strip_prefix(VERSION) {
        let (minor, rest) = rest.split_first()?;
        let status = rest.trim_ascii_start();
        let digits = status.first_chunk::<3>().filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        let ended = status.get(3).is_none_or(|next| !next.is_ascii_digit());
        let good = minor.is_ascii_digit() && status.len() < rest.len() && ended;
        return if good { Some(Start::Response { status: number(digits)? as u16 }) } else { None };
    }
    let method_bytes = line.iter().position(|byte| is_space(*byte))?;
    let version_at = line.iter().rposition(|byte| is_space(*byte))?.saturating_add(1);
    let method = line.get(..method_bytes)?;
    let target = line.get(method_bytes..version_at)?.trim_ascii();
    let version = line.get(version_at..)?.strip_prefix(VERSION)?;
    let good = !target.is_empty() && is_printable(target) && matches!(version, [digit] if digit.is_ascii_digit());
    (good && is_method(method) && !is_off(method)).then_some(Start::Request { method, target })
}

/// Whether the bytes begin with a message. Asks for more while that is open.
pub(super) fn claim(bytes: &[u8]) -> Claim {
    let more = Claim::NeedBytes(bytes.len().saturating_add(1));
    let blank = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let start_bytes = bytes.get(blank..).unwrap_or_default();
    // Judged as far as would be waited for: the same however the bytes come.
    let start_bytes = start_bytes.get(..CLAIM_BYTES).unwrap_or(start_bytes);
    // Methods and versions alike: most other traffic is known by its first byte.
    if blank > LEADING_BYTES_MAX || start_bytes.first().is_some_and(|byte| !is_of_method(byte)) {
        return Claim::No;
    }
    if let Some(end) = start_bytes.iter().position(|byte| *byte == b'\n') {
        let good = start(start_bytes.get(..end).unwrap_or_default()).is_some();
        return if good { Claim::Yes } else { Claim::No };
    }
    if let Some(rest) = start_bytes.strip_prefix(VERSION) {
        let status = rest.get(1..).unwrap_or_default().trim_ascii_start();
        let digits = rest.first().is_none_or(u8::is_ascii_digit) && status.iter().all(u8::is_ascii_digit);
        // A fourth digit would make it something else.
        if digits && status.len() <= 3 && start_bytes.len() < CLAIM_BYTES {
            return more;
        }
        return if start(start_bytes).is_some() { Claim::Yes } else { Claim::No };
    }
    let method_end = start_bytes.iter().position(|byte| is_space(*byte));
    let method = start_bytes.get(..method_end.unwrap_or(start_bytes.len())).unwrap_or_default();
    if !VERSION.starts_with(start_bytes) && !method.is_empty() && !is_method(method) {
        return Claim::No;
    }
    if start_bytes.len() < START_BYTES_MIN {
        return Claim::NeedBytes(blank.saturating_add(START_BYTES_MIN));
    }
    let Some(method_end) = method_end else {
        return if start_bytes.len() > METHOD_BYTES_MAX { Claim::No } else { more };
    };
    let target = start_bytes.get(method_end..).unwrap_or_default().trim_ascii();
    if !is_printable(target) {
        return Claim::No;
    }
    if start_bytes.len() < CLAIM_BYTES {
        return more;
    }
    let good_target = target.starts_with(b"/") || absolute(target).is_some();
    if METHODS.contains(&method) && good_target { Claim::Yes } else { Claim::No }
}

fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn is_printable(target: &[u8]) -> bool {
    target.iter().all(|byte| *byte >= b' ' || is_space(*byte))
}

/// Methods in use are upper-case letters, some with a hyphen or underscore.
fn is_method(method: &[u8]) -> bool {
    (1..=METHOD_BYTES_MAX).contains(&method.len()) && method.iter().all(is_of_method)
}

/// A known method as it looks when the capture began inside it, or a little before it: `ET`, `PGET`.
fn is_off(method: &[u8]) -> bool {
    !METHODS.contains(&method) && METHODS.iter().any(|known| known.ends_with(method) || method.ends_with(known))
}

fn is_of_method(byte: &u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_')
}

/// Authority and path of an absolute-form target (RFC 9112, 3.2.2), without user information.
pub(super) fn absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    const SCHEME_BYTES_MAX: usize = 16;
    let colon = target.iter().take(SCHEME_BYTES_MAX).position(|byte| *byte == b':')?;
    let (scheme, rest) = target.split_at_checked(colon)?;
    let rest = rest.strip_prefix(b"://")?;
    if scheme.is_empty() || !scheme.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    Some((without_user(authority), path))
}

/// An authority without `user:password@`.
pub(super) fn without_user(authority: &[u8]) -> &[u8] {
    authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default()
}

/// The host of an authority, without port and brackets.
pub(super) fn without_port(authority: &[u8]) -> &[u8] {
    match host_and_port(authority) {
        Some((host, _)) => host,
        None => authority.strip_prefix(b"[").and_then(|a| a.strip_suffix(b"]")).unwrap_or(authority),
    }
}

/// A path without query and fragment, and without what a server put behind a semicolon: that is where it keeps a session
/// (`;jsessionid=`).
pub(super) fn without_query(path: &[u8]) -> &[u8] {
    path.split(|byte| matches!(byte, b'?' | b'#' | b';')).next().unwrap_or_default()
}

/// Host (no brackets) and port of a CONNECT target; the port is 0 when there is none.
pub(super) fn host_and_port(target: &[u8]) -> Option<(&[u8], u16)> {
    let target = without_user(target);
    let (host, port) = match target.strip_prefix(b"[") {
        Some(rest) => {
            let end = rest.iter().position(|byte| *byte == b']')?;
            let (host, rest) = rest.split_at_checked(end)?;
            (host, rest.strip_prefix(b"]:").unwrap_or_default())
        }
        None => match target.iter().rposition(|byte| *byte == b':') {
            Some(colon) => {
                let (host, port) = target.split_at_checked(colon)?;
                (host, port.get(1..)?)
            }
            None => (target, &b""[..]),
        },
    };
    let good = !host.is_empty() && !host.iter().any(|byte| matches!(byte, b'/' | b'?' | b' '));
    good.then(|| (host, number(port).and_then(|port| u16::try_from(port).ok()).unwrap_or(0)))
}

/// Name and value of a header line, the value without the spaces around it.
pub(super) fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    Some((name.trim_ascii(), value.get(1..)?.trim_ascii()))
}

/// Whether a media type stands in a list of them.
pub(super) fn has_type(list: &[u8], wanted: &[u8]) -> bool {
    let types = list.split(|byte| *byte == b',').filter_map(|item| item.split(|byte| *byte == b';').next());
    types.map(<[u8]>::trim_ascii).any(|found| found.eq_ignore_ascii_case(wanted))
}

/// A decimal number; `None` if it is none or does not fit.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The size in a chunk's first line (RFC 9112, 7.1).
pub(super) fn chunk_size(line: &[u8]) -> Option<u64> {
    let size = line.split(|byte| *byte == b';').next()?.trim_ascii();
    if size.is_empty() {
        return None;
    }
    size.iter().try_fold(0_u64, |sum, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        sum.checked_mul(16)?.checked_add(u64::from(digit))
    })
}

/// A folded value on one line: each fold becomes one space.
pub(super) fn unfold(value: &[u8]) -> Vec<u8> {
    let mut unfolded = Vec::with_capacity(value.len());
    for part in value.split(|byte| *byte == b'\n') {
        if !unfolded.is_empty() {
            unfolded.push(b' ');
        }
        unfolded.extend_from_slice(part.trim_ascii());
    }
    unfolded
}
