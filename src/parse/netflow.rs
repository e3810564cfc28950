//! NetFlow 5 and 9 and IPFIX over UDP on any port.
//!
//! In: datagrams. Out: the version, who exports (source or observation domain), the templates an exporter sends, and
//! whose private elements stand in them. Cisco NetFlow Export Datagram Format (version 5), RFC 3954 (version 9),
//! RFC 7011 (IPFIX). Data records are stepped over.
//!
//! Counts and lengths must fill the datagram to the last byte; that is what a claim rests on.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::fmt::Write;

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Seen, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

/// Version in the header.
pub static VERSION: Field =
    Field::new("netflow.version", Kind::Number, "NetFlow version; 10 is IPFIX", "RFC 3954 section 5.1, RFC 7011");
/// Source ID (version 9), observation domain (IPFIX), engine type and number (version 5).
pub static SOURCE_ID: Field = Field::new(
    "netflow.source_id",
    Kind::Number,
    "NetFlow source ID, IPFIX observation domain, or engine of version 5",
    "RFC 3954 section 5.1, RFC 7011 section 3.1",
);
/// A template: its number, then element and length of each field; `s` before a scope, the enterprise before a
/// private element: `256 s1:4 40:8 25461.1:32`.
pub static TEMPLATE: Field = Field::new(
    "netflow.template",
    Kind::Text,
    "template: number, then element:length of each field, s before a scope",
    "RFC 3954 sections 5.2 and 6.1, RFC 7011 section 3.4",
);
/// Private enterprise number of an element in a template.
pub static ENTERPRISE: Field = Field::new(
    "netflow.enterprise",
    Kind::Number,
    "private enterprise number of an IPFIX element",
    "RFC 7011 section 3.2",
);

/// NetFlow and IPFIX.
pub static PROTOCOL: Protocol = Protocol {
    name: "netflow",
    over: &[Transport::Udp],
    fields: &[&VERSION, &SOURCE_ID, &TEMPLATE, &ENTERPRISE],
    claim: |&Opening { bytes, .. }| if Export::read(bytes).is_some() { Claim::Yes } else { Claim::No },
    embedded: false,
    parser: |_| Box::new(NetFlow),
};

/// Values of one field kept of a flow; so few that they do not make a long flow end.
pub const VALUES_MAX: usize = 24;
/// Bytes of a template's text; a longer one is left out and flagged.
pub const TEMPLATE_BYTES_MAX: usize = 1024;

const IPFIX: u16 = 10;
/// Version 5: records of a datagram, and bytes of one.
const RECORDS_5_MAX: u16 = 30;
const RECORD_5_BYTES: usize = 48;
const NANOSECONDS_MAX: u32 = 1_000_000_000;
/// Bytes before the contents of a set.
const SET_HEADER_BYTES: usize = 4;
/// Numbers of sets that describe data; data has larger ones.
const TEMPLATES_9: u16 = 0;
const OPTIONS_9: u16 = 1;
const TEMPLATES_10: u16 = 2;
const OPTIONS_10: u16 = 3;
const DATA_MIN: u16 = 256;
/// The bit of a private element, with its enterprise behind it (RFC 7011, 3.2).
const PRIVATE: u16 = 0x8000;
/// Bytes of a field in a template of version 9.
const FIELD_BYTES: u16 = 4;

struct NetFlow;

impl Parser for NetFlow {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        match Export::read(prefix.bytes) {
            Some(export) => {
                facts.add_number(&VERSION, side, prefix.seen, u64::from(export.version));
                let source = u64::from(export.source_id);
                few(&SOURCE_ID, side, prefix.seen, &source.to_be_bytes(), facts);
                export.templates(|template| template.tell(side, prefix.seen, facts));
            }
            None => facts.flags.set(Flag::ParseError),
        }
        Progress::NeedBytes(0)
    }
}

/// Adds a value unless there are many of its field.
fn few(field: &'static Field, side: Side, seen: Seen, value: &[u8], facts: &mut Facts) {
    let (mut count, mut known) = (0_usize, false);
    for fact in facts.of(field) {
        count = count.saturating_add(1);
        known |= fact.value == value;
    }
    if known || count < VALUES_MAX {
        facts.add(field, side, seen, value);
    } else {
        facts.flags.set(Flag::LimitReached);
    }
}

/// A datagram whose parts fit.
struct Export<'a> {
    version: u16,
    source_id: u32,
    sets: Reader<'a>,
}

impl<'a> Export<'a> {
    fn read(datagram: &'a [u8]) -> Option<Export<'a>> {
        let mut reader = Reader::new(datagram);
        match reader.u16()? {
            5 => Export::version_5(reader),
            9 => {
                let count = reader.u16()?;
                reader.take(12)?; // uptime, time, sequence
                let export = Export { version: 9, source_id: reader.u32()?, sets: reader };
                let templates = export.templates(|_| ())?;
                // Templates and data records; how long these are only the templates know.
                let possible = templates.max(1)..=reader.left();
                possible.contains(&usize::from(count)).then_some(export)
            }
            IPFIX => {
                let length = usize::from(reader.u16()?);
                reader.take(8)?; // time, sequence
                let export = Export { version: IPFIX, source_id: reader.u32()?, sets: reader };
                (length == datagram.len() && !reader.is_empty()).then_some(())?;
                export.templates(|_| ()).map(|_| export)
            }
            _ => None,
        }
    }

    /// The rest of a datagram of version 5: a header of 24 bytes and as many records as it says.
    fn version_5(mut reader: Reader<'a>) -> Option<Export<'a>> {
        let count = reader.u16()?;
        reader.take(8)?; // uptime, seconds
        let nanoseconds = reader.u32()?;
        reader.u32()?; // sequence
        let engine = reader.u16()?;
        reader.u16()?; // sampling
        let records = usize::from(count).checked_mul(RECORD_5_BYTES)?;
        let fits = reader.left() == records && (1..=RECORDS_5_MAX).contains(&count) && nanoseconds < NANOSECONDS_MAX;
        let mut first = reader;
        first.take(24)?; // addresses, interfaces, counts
        let in_order = first.u32()? <= first.u32()?;
        let sets = Reader::new(&[]);
        (fits && in_order).then_some(Export { version: 5, source_id: u32::from(engine), sets })
    }

    /// Every template, and their number. `None`: a set or a template does not fit.
    fn templates(&self, mut each: impl FnMut(&Template<'a>)) -> Option<usize> {
        let (mut sets, mut count) = (self.sets, 0_usize);
        while !sets.is_empty() {
            let id = sets.u16()?;
            let length = usize::from(sets.u16()?);
            let mut set = sets.sub(length.checked_sub(SET_HEADER_BYTES)?)?;
            let options = match (self.version, id) {
                (9, TEMPLATES_9) | (IPFIX, TEMPLATES_10) => false,
                (9, OPTIONS_9) | (IPFIX, OPTIONS_10) => true,
                (_, DATA_MIN..) if !set.is_empty() => continue,
                _ => return None,
            };
            // Zeros fill the end of a set.
            while set.rest().iter().any(|byte| *byte != 0) {
                each(&Template::read(self.version, options, &mut set)?);
                count = count.saturating_add(1);
            }
        }
        Some(count)
    }
}

/// A template whose fields fit.
struct Template<'a> {
    version: u16,
    id: u16,
    /// Fields, and how many of them are scopes.
    fields: Reader<'a>,
    scopes: usize,
}

impl<'a> Template<'a> {
    fn read(version: u16, options: bool, set: &mut Reader<'a>) -> Option<Template<'a>> {
        let id = set.u16()?;
        let (count, scopes) = match (version, options) {
            (9, true) => {
                // Bytes of scopes and of options.
                let (scopes, others) = (set.u16()?, set.u16()?);
                if scopes % FIELD_BYTES != 0 || others % FIELD_BYTES != 0 {
                    return None;
                }
                let scopes = usize::from(scopes / FIELD_BYTES);
                (scopes.saturating_add(usize::from(others / FIELD_BYTES)), scopes)
            }
            (_, false) => (usize::from(set.u16()?), 0),
            // A template that is withdrawn has no fields and no count of scopes (RFC 7011, 8.1).
            (_, true) => match set.u16()? {
                0 => (0, 0),
                count => (usize::from(count), usize::from(set.u16()?)),
            },
        };
        let withdrawn = version == IPFIX && count == 0;
        if !withdrawn && (id < DATA_MIN || count == 0) || scopes > count {
            return None;
        }
        let start = set.rest();
        for _ in 0..count {
            element(version, set)?;
        }
        let bytes = start.len().checked_sub(set.left())?;
        Some(Template { version, id, fields: Reader::new(start.get(..bytes)?), scopes })
    }

    fn tell(&self, side: Side, seen: Seen, facts: &mut Facts) {
        let mut text = self.id.to_string();
        let (mut fields, mut index) = (self.fields, 0_usize);
        while let Some((number, enterprise, length)) = element(self.version, &mut fields) {
            text.push_str(if index < self.scopes { " s" } else { " " });
            if let Some(enterprise) = enterprise {
                few(&ENTERPRISE, side, seen, &u64::from(enterprise).to_be_bytes(), facts);
                // A string takes everything.
                let _ = write!(text, "{enterprise}.");
            }
            let _ = write!(text, "{number}:{length}");
            index = index.saturating_add(1);
        }
        if text.len() > TEMPLATE_BYTES_MAX {
            facts.flags.set(Flag::LimitReached);
        } else if index > 0 {
            few(&TEMPLATE, side, seen, text.as_bytes(), facts);
        }
    }
}

/// The next field of a template: element, enterprise, length.
fn element(version: u16, fields: &mut Reader<'_>) -> Option<(u16, Option<u32>, u16)> {
    let (number, length) = (fields.u16()?, fields.u16()?);
    if version == IPFIX && number & PRIVATE != 0 {
        return Some((number & !PRIVATE, Some(fields.u32()?), length));
    }
    Some((number, None, length))
}

#[cfg(test)]
mod tests;
