//! What a security association payload proposes, as one line of text.
//!
//! In: the body of the payload. Out: numbers by their IANA registries, with short names for what they number, in the
//! order of the wire: implementations differ in it. RFC 7296, 3.3; RFC 2408, 3.4 to 3.6; RFC 2409, appendix A.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::fmt::Write;

use crate::bytes::Reader;
use crate::fact::value;

/// Bytes before the contents of a proposal or transform.
const HEADER_BYTES: usize = 4;

const PROPOSAL: u8 = 2;
const TRANSFORM: u8 = 3;
const LAST: u8 = 0;

/// IPsec, identity only (RFC 2407, 4.2).
const DOI_IPSEC: u32 = 1;
const IDENTITY_ONLY: u32 = 1;
/// Attributes with their value in place of a length (RFC 2408, 3.3).
const SHORT: u16 = 0x8000;
/// The one attribute of version 2 (RFC 7296, 3.3.5).
const KEY_LENGTH: u16 = 14;

/// Version 1: `1:isakmp enc=7 key=256 hash=6 group=20 auth=1, …`, the attributes of each transform as they come.
/// Version 2: `1:ike encr=12/256 prf=5 integ=12 dh=2; …`, each transform with its key length.
/// `None`: it does not fit into its lengths, or is no proposal for IPsec.
pub(super) fn text(version: u8, mut body: Reader<'_>) -> Option<String> {
    if version == 1 && (body.u32()?, body.u32()?) != (DOI_IPSEC, IDENTITY_ONLY) {
        return None;
    }
    let mut text = String::new();
    loop {
        let (more, mut proposal) = part(&mut body, PROPOSAL)?;
        let number = proposal.u8()?;
        let protocol = proposal.u8()?;
        let spi_bytes = proposal.u8()?;
        let transforms = usize::from(proposal.u8()?);
        proposal.take(usize::from(spi_bytes))?;
        // A string takes everything.
        let _ = match (version, protocol) {
            (1, 1) => write!(text, "{number}:isakmp"),
            (2, 1) => write!(text, "{number}:ike"),
            (_, 2) => write!(text, "{number}:ah"),
            (_, 3) => write!(text, "{number}:esp"),
            _ => write!(text, "{number}:{protocol}"),
        };
        for index in 0..transforms {
            let (more, transform) = part(&mut proposal, TRANSFORM)?;
            if more == (index.saturating_add(1) == transforms) {
                return None;
            }
            match version {
                1 => transform_1(&mut text, transform, protocol, index)?,
                _ => transform_2(&mut text, transform)?,
            }
        }
        if !proposal.is_empty() {
            return None;
        }
        if !more {
            return body.is_empty().then_some(text);
        }
        text.push_str("; ");
    }
}

/// The next proposal or transform, and whether another follows.
fn part<'a>(reader: &mut Reader<'a>, kind: u8) -> Option<(bool, Reader<'a>)> {
    let next = reader.u8()?;
    reader.u8()?; // reserved
    let length = usize::from(reader.u16()?).checked_sub(HEADER_BYTES)?;
    (next == kind || next == LAST).then_some((next == kind, reader.sub(length)?))
}

fn transform_1(text: &mut String, mut transform: Reader<'_>, protocol: u8, index: usize) -> Option<()> {
    transform.u8()?; // number
    let id = transform.u8()?;
    transform.u16()?; // reserved
    if index > 0 {
        text.push(',');
    }
    if protocol != 1 {
        let _ = write!(text, " id={id}");
    }
    while !transform.is_empty() {
        let (kind, data) = attribute(&mut transform)?;
        let name = match kind {
            _ if protocol != 1 => None,
            1 => Some("enc"),
            2 => Some("hash"),
            3 => Some("auth"),
            4 => Some("group"),
            11 => Some("life-type"),
            12 => Some("life"),
            13 => Some("prf"),
            KEY_LENGTH => Some("key"),
            _ => None,
        };
        let _ = match name {
            Some(name) => write!(text, " {name}="),
            None => write!(text, " {kind}="),
        };
        let _ = match data {
            Data::Number(number) => write!(text, "{number}"),
            Data::Bytes(bytes) if bytes.len() <= size_of::<u64>() => write!(text, "{}", value::number(bytes)),
            Data::Bytes(bytes) => write!(text, "{}", value::hex(bytes)),
        };
    }
    Some(())
}

fn transform_2(text: &mut String, mut transform: Reader<'_>) -> Option<()> {
    let kind = transform.u8()?;
    transform.u8()?; // reserved
    let id = transform.u16()?;
    let _ = match kind {
        1 => write!(text, " encr={id}"),
        2 => write!(text, " prf={id}"),
        3 => write!(text, " integ={id}"),
        4 => write!(text, " dh={id}"),
        5 => write!(text, " esn={id}"),
        _ => write!(text, " {kind}={id}"),
    };
    while !transform.is_empty() {
        if let (KEY_LENGTH, Data::Number(bits)) = attribute(&mut transform)? {
            let _ = write!(text, "/{bits}");
        }
    }
    Some(())
}

enum Data<'a> {
    Number(u16),
    Bytes(&'a [u8]),
}

fn attribute<'a>(reader: &mut Reader<'a>) -> Option<(u16, Data<'a>)> {
    let kind = reader.u16()?;
    let data = if kind & SHORT != 0 { Data::Number(reader.u16()?) } else { Data::Bytes(reader.vec16()?.rest()) };
    Some((kind & !SHORT, data))
}
