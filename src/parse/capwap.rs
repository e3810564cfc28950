//! CAPWAP: access points and their controllers.
//!
//! In: datagrams, control (port 5246) and data (port 5247). Out: who made the two, and what they
//! say of themselves while they look for each other: model, serial number, versions, names.
//! RFC 5415; the message types of RFC 5416. Once a controller is found everything is wrapped in
//! DTLS, of which the handshake is read; the data channel is only recognised.
//!
//! Descriptors also come in the form of draft-ietf-capwap-protocol-specification-05, whose
//! encryption capabilities are two bytes: access points in use still send it.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::value::is_printable_ascii;
use crate::fact::{Facts, Field, Flag, Kind, Seen, Side};
use crate::parse::dtls::Dtls;
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, had_enough, is_at};

/// Kind of a control message: 1 discovery request, 2 its response, 3 join request.
pub static MESSAGE: Field =
    Field::new("capwap.message", Kind::Number, "type of a CAPWAP control message", "RFC 5415 section 4.5.1.1");
/// Maker of the sender, an enterprise number of IANA. Some write the first bytes of their hardware addresses instead.
pub static VENDOR: Field =
    Field::new("capwap.vendor_id", Kind::Number, "vendor identifier in a CAPWAP message", "RFC 5415 section 4.6.40");
/// Model of an access point.
pub static MODEL: Field =
    Field::new("capwap.model", Kind::Text, "model number of a CAPWAP access point", "RFC 5415 section 4.6.40");
/// Serial number of an access point.
pub static SERIAL: Field =
    Field::new("capwap.serial", Kind::Text, "serial number of a CAPWAP access point", "RFC 5415 section 4.6.40");
/// Hardware version of the sender.
pub static HARDWARE: Field = Field::new(
    "capwap.hardware_version",
    Kind::Text,
    "hardware version of a CAPWAP sender",
    "RFC 5415 sections 4.6.1, 4.6.41",
);
/// Version of the software that runs on the sender.
pub static SOFTWARE: Field = Field::new(
    "capwap.software_version",
    Kind::Text,
    "software version of a CAPWAP sender",
    "RFC 5415 sections 4.6.1, 4.6.41",
);
/// Version of the boot loader of an access point.
pub static BOOT: Field = Field::new(
    "capwap.boot_version",
    Kind::Text,
    "boot loader version of a CAPWAP access point",
    "RFC 5415 section 4.6.41",
);
/// Name of a controller.
pub static AC_NAME: Field =
    Field::new("capwap.ac_name", Kind::Text, "name of a CAPWAP controller", "RFC 5415 section 4.6.4");
/// Name of an access point.
pub static WTP_NAME: Field =
    Field::new("capwap.wtp_name", Kind::Text, "name of a CAPWAP access point", "RFC 5415 section 4.6.45");

/// CAPWAP, both channels.
pub static PROTOCOL: Protocol = Protocol {
    name: "capwap",
    over: &[Transport::Udp],
    fields: &[&MESSAGE, &VENDOR, &MODEL, &SERIAL, &HARDWARE, &SOFTWARE, &BOOT, &AC_NAME, &WTP_NAME],
    claim: |&Opening { ports, bytes, .. }| match datagram(bytes) {
        Some(Datagram::Control(_) | Datagram::Dtls(_)) => Claim::Yes,
        Some(Datagram::Data) if is_at(ports, &[DATA_PORT]) => Claim::Yes,
        _ => Claim::No,
    },
    embedded: false,
    parser: |_| Box::new(Capwap::default()),
};

const DATA_PORT: u16 = 5247;
/// Version 0 and what follows: a CAPWAP header, or DTLS (section 4.1).
const PREAMBLE_CLEAR: u8 = 0;
const PREAMBLE_DTLS: u8 = 1;
/// Bytes of a header without its optional parts (section 4.3).
const HEADER_BYTES: usize = 8;
/// Bits behind the preamble (section 4.3): sub-identifiers, flags, reserved.
const BINDING: u32 = 0x1f << 9;
const NATIVE: u32 = 1 << 8;
const FRAGMENT: u32 = 1 << 7;
const LAST: u32 = 1 << 6;
const WIRELESS: u32 = 1 << 5;
const RADIO_MAC: u32 = 1 << 4;
const KEEP_ALIVE: u32 = 1 << 3;
const RESERVED: u32 = 0x7;
/// Bytes of a control header that its length counts: the length itself and flags (section 4.5.1).
const COUNTED_BYTES: usize = 3;
/// Types of RFC 5415, of which there are 26, and of RFC 5416, behind IANA's own enterprise number.
const MESSAGE_MAX: u32 = 26;
const MESSAGES_80211: std::ops::RangeInclusive<u32> = 13277 * 256 + 1..=13277 * 256 + 2;
/// Message elements (section 4.6).
const AC_DESCRIPTOR: u16 = 1;
const AC_NAME_ELEMENT: u16 = 4;
const VENDOR_SPECIFIC: u16 = 37;
const WTP_BOARD_DATA: u16 = 38;
const WTP_DESCRIPTOR: u16 = 39;
const WTP_NAME_ELEMENT: u16 = 45;
/// Elements that are believed in, of the base protocol and of its bindings.
const ELEMENT_MAX: u16 = 4095;
/// Bytes of numbers at the start of an AC descriptor.
const AC_NUMBERS_BYTES: usize = 12;
/// Bytes for each way to encrypt in a WTP descriptor.
const ENCRYPTION_BYTES: usize = 3;
/// Datagrams of a flow that are read.
pub const DATAGRAMS_MAX: u32 = 64;

/// What a datagram is.
enum Datagram<'a> {
    Control(Control<'a>),
    Data,
    /// Records of DTLS.
    Dtls(&'a [u8]),
}

/// A control message: its type, and its elements, known to fill it.
struct Control<'a> {
    kind: u32,
    elements: Reader<'a>,
}

fn datagram(bytes: &[u8]) -> Option<Datagram<'_>> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        PREAMBLE_DTLS => dtls_records(reader).map(Datagram::Dtls),
        PREAMBLE_CLEAR => clear(bytes),
        _ => None,
    }
}

/// Three reserved bytes, then whole DTLS records of versions 1.0 and 1.2 (RFC 6347 section 4.1).
fn dtls_records(mut reader: Reader<'_>) -> Option<&[u8]> {
    let record = |reader: &mut Reader<'_>| {
        let kind = reader.u8()?;
        let version = reader.u16()?;
        let _epoch_and_number = reader.take(8)?;
        let body = reader.vec16()?;
        (matches!(kind, 20..=24) && matches!(version, 0xfeff | 0xfefd) && !body.is_empty()).then_some(())
    };
    if reader.u24() != Some(0) || reader.is_empty() {
        return None;
    }
    let records = reader.rest();
    while !reader.is_empty() {
        record(&mut reader)?;
    }
    Some(records)
}

fn clear(bytes: &[u8]) -> Option<Datagram<'_>> {
    let mut reader = Reader::new(bytes);
    let bits = reader.u32()? & 0x00ff_ffff;
    let header_bytes = (bits >> 19) as usize;
    let header_bytes = header_bytes.checked_mul(4).filter(|bytes| *bytes >= HEADER_BYTES)?;
    let fragment = reader.u32()?;
    let mut optional = reader.sub(header_bytes.checked_sub(HEADER_BYTES)?)?;
    if bits & RADIO_MAC != 0 {
        optional.vec8().filter(|mac| matches!(mac.left(), 6 | 8))?;
        // Up to a multiple of four.
        optional = Reader::new(optional.rest().get(optional.left() % 4..)?);
    }
    // The length of wireless information; in the draft an identifier stands before it.
    let wireless = |identifier: usize| {
        let mut optional = optional;
        optional.take(identifier).and_then(|_| optional.vec8()).is_some_and(|_| is_padding(optional))
    };
    let fits = if bits & WIRELESS == 0 { is_padding(optional) } else { wireless(0) || wireless(1) };
    // Fragments and what is reserved are not read; offsets are for fragments alone.
    let odd = bits & (RESERVED | FRAGMENT | LAST) != 0 || fragment & 0xffff != 0;
    if odd || !fits || reader.is_empty() {
        return None;
    }
    if bits & KEEP_ALIVE != 0 {
        return keep_alive(reader).map(|()| Datagram::Data);
    }
    if bits & (NATIVE | WIRELESS) != 0 {
        return (bits & BINDING != 0).then_some(Datagram::Data);
    }
    control(reader).map(Datagram::Control)
}

/// What fills a header up to a multiple of four bytes.
fn is_padding(rest: Reader<'_>) -> bool {
    rest.left() < 4 && rest.rest().iter().all(|b| *b == 0)
}

/// A keep-alive of the data channel: its length and one element, the session (section 4.4.1).
fn keep_alive(mut reader: Reader<'_>) -> Option<()> {
    const SESSION_ID: u16 = 35;
    let all = reader.left();
    let length = usize::from(reader.u16()?);
    let element = reader.u16()?;
    let session = reader.vec16()?;
    let fits = length == all || length.checked_add(2) == Some(all);
    (fits && element == SESSION_ID && matches!(session.left(), 4 | 16) && reader.is_empty()).then_some(())
}

fn control(mut reader: Reader<'_>) -> Option<Control<'_>> {
    let kind = reader.u32()?;
    if !(1..=MESSAGE_MAX).contains(&kind) && !MESSAGES_80211.contains(&kind) {
        return None;
    }
    let _sequence = reader.u8()?;
    let length = usize::from(reader.u16()?);
    let flags = reader.u8()?;
    if flags != 0 || length != reader.left().checked_add(COUNTED_BYTES)? {
        return None;
    }
    let elements = reader;
    while !reader.is_empty() {
        element(&mut reader)?;
    }
    Some(Control { kind, elements })
}

/// Type and value of the next message element.
fn element<'a>(reader: &mut Reader<'a>) -> Option<(u16, Reader<'a>)> {
    let kind = reader.u16().filter(|kind| (1..=ELEMENT_MAX).contains(kind))?;
    Some((kind, reader.vec16()?))
}

#[derive(Default)]
struct Capwap {
    datagrams: u32,
    /// Reads what is wrapped, until it has seen enough.
    wrapped: Dtls,
    wrapped_done: bool,
}

impl Parser for Capwap {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if had_enough(&mut self.datagrams, DATAGRAMS_MAX, facts) {
            return Progress::AllDone;
        }
        match datagram(prefix.bytes) {
            Some(Datagram::Control(mut control)) => {
                let mut into = Into { side, seen: prefix.seen, facts };
                into.facts.add_number(&MESSAGE, side, prefix.seen, u64::from(control.kind));
                while let Some((kind, value)) = element(&mut control.elements) {
                    if into.element(kind, value).is_none() {
                        into.facts.flags.set(Flag::ParseError);
                    }
                }
            }
            Some(Datagram::Dtls(bytes)) if !self.wrapped_done => {
                self.wrapped_done = self.wrapped.feed(side, Prefix { bytes, ..prefix }, facts) == Progress::AllDone;
            }
            Some(Datagram::Data | Datagram::Dtls(_)) => {}
            None => facts.flags.set(Flag::ParseError),
        }
        Progress::NeedBytes(0)
    }

    fn heap_bytes(&self) -> usize {
        self.wrapped.heap_bytes()
    }
}

/// Where the facts of a message go.
struct Into<'a> {
    side: Side,
    seen: Seen,
    facts: &'a mut Facts,
}

impl Into<'_> {
    fn text(&mut self, field: &'static Field, value: &[u8]) {
        let value = value.strip_suffix(b"\0").unwrap_or(value);
        if !value.is_empty() && is_printable_ascii(value) {
            self.facts.add(field, self.side, self.seen, value);
        }
    }

    /// A version is text, or four numbers.
    fn version(&mut self, field: &'static Field, value: &[u8]) {
        match *value {
            [a, b, c, d] if !is_printable_ascii(value) => {
                self.facts.add(field, self.side, self.seen, format!("{a}.{b}.{c}.{d}").as_bytes());
            }
            _ => self.text(field, value),
        }
    }

    fn vendor(&mut self, vendor: u32) {
        self.facts.add_number(&VENDOR, self.side, self.seen, u64::from(vendor));
    }

    /// One message element; nothing of it is kept when it does not hold what it should.
    fn element(&mut self, kind: u16, mut value: Reader<'_>) -> Option<()> {
        match kind {
            AC_NAME_ELEMENT => self.text(&AC_NAME, value.rest()),
            WTP_NAME_ELEMENT => self.text(&WTP_NAME, value.rest()),
            VENDOR_SPECIFIC => {
                let vendor = value.u32()?;
                let _element = value.u16()?;
                self.vendor(vendor);
            }
            WTP_BOARD_DATA => self.board(value)?,
            WTP_DESCRIPTOR => {
                let versions = wtp_versions(value).or_else(|| draft_wtp_versions(value))?;
                for (vendor, kind, version) in versions {
                    self.vendor(vendor);
                    match kind {
                        0 => self.version(&HARDWARE, version),
                        1 => self.version(&SOFTWARE, version),
                        2 => self.version(&BOOT, version),
                        _ => {}
                    }
                }
            }
            AC_DESCRIPTOR => {
                value.take(AC_NUMBERS_BYTES)?;
                for (vendor, kind, version) in versions(value)? {
                    self.vendor(vendor);
                    match kind {
                        // The smaller number is that of the draft.
                        0 | 4 => self.version(&HARDWARE, version),
                        1 | 5 => self.version(&SOFTWARE, version),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Some(())
    }

    /// Vendor, then type, length and value of each (section 4.6.40).
    fn board(&mut self, mut value: Reader<'_>) -> Option<()> {
        let vendor = value.u32()?;
        let (mut model, mut serial) = (None, None);
        while !value.is_empty() {
            let kind = value.u16()?;
            let text = value.vec16()?.rest();
            match kind {
                0 => model = Some(text),
                1 => serial = Some(text),
                _ => {}
            }
        }
        self.vendor(vendor);
        self.text(&MODEL, model.unwrap_or_default());
        self.text(&SERIAL, serial.unwrap_or_default());
        Some(())
    }
}

/// Vendor, type and value of each version up to the end of the element.
type Versions<'a> = Vec<(u32, u16, &'a [u8])>;

fn versions(mut value: Reader<'_>) -> Option<Versions<'_>> {
    let mut all = Vec::new();
    while !value.is_empty() {
        all.push((value.u32()?, value.u16()?, value.vec16()?.rest()));
    }
    (!all.is_empty()).then_some(all)
}

fn wtp_versions(mut value: Reader<'_>) -> Option<Versions<'_>> {
    let _radios = value.u16()?;
    let encryptions = value.u8().filter(|n| *n > 0)?;
    value.take(usize::from(encryptions).checked_mul(ENCRYPTION_BYTES)?)?;
    versions(value)
}

fn draft_wtp_versions(mut value: Reader<'_>) -> Option<Versions<'_>> {
    let _radios = value.u16()?;
    let _encryption = value.u16()?;
    versions(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;
    use crate::parse::testing::udp;

    const FORTINET: u32 = 12356;

    fn tlv(kind: u16, value: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat()
    }

    fn version(vendor: u32, kind: u16, value: &[u8]) -> Vec<u8> {
        [&vendor.to_be_bytes()[..], &tlv(kind, value)].concat()
    }

    /// A control message built from RFC 5415, sections 4.3 and 4.5.1, with a radio's address in the header.
    fn message(kind: u32, elements: &[Vec<u8>]) -> Vec<u8> {
        let elements = elements.concat();
        let bits = (4 << 19) | (1 << 9) | RADIO_MAC;
        [
            &u32::to_be_bytes(bits)[..],
            &[0; 4],
            &[6, 0x00, 0x00, 0x5e, 0x00, 0x53, 0x01, 0],
            &kind.to_be_bytes(),
            &[7],
            &((elements.len() + COUNTED_BYTES) as u16).to_be_bytes(),
            &[0],
            &elements,
        ]
        .concat()
    }

    fn board() -> Vec<u8> {
        let parts = [FORTINET.to_be_bytes().to_vec(), tlv(0, b"FAP231F"), tlv(1, b"FP231FTF20000001"), tlv(4, &[2; 6])];
        tlv(WTP_BOARD_DATA, &parts.concat())
    }

    fn descriptor(encryption: &[u8]) -> Vec<u8> {
        let parts = [
            vec![2, 2],
            encryption.to_vec(),
            version(FORTINET, 0, b"P23904-03"),
            version(FORTINET, 1, b"FP231F-v7.0-build0041"),
            version(FORTINET, 2, &[4, 0, 0, 12]),
        ];
        tlv(WTP_DESCRIPTOR, &parts.concat())
    }

    fn discovery() -> Vec<u8> {
        let elements = [tlv(20, &[1]), board(), descriptor(&[1, 1, 0, 3]), tlv(WTP_NAME_ELEMENT, b"floor-2")];
        message(1, &elements)
    }

    fn read(bytes: &[u8]) -> Facts {
        let mut facts = Facts::default();
        let prefix = Prefix { bytes, seen: Seen::default(), last: true, split: false };
        (PROTOCOL.parser)(Transport::Udp).feed(Side::Source, prefix, &mut facts);
        facts
    }

    fn claim(bytes: &[u8]) -> Claim {
        (PROTOCOL.claim)(&udp((40000, 5246), Side::Source, bytes))
    }

    fn all(facts: &Facts) -> Vec<(&'static str, String)> {
        facts.iter().map(|fact| (fact.field.name, fact.text())).collect()
    }

    fn expected(all: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        all.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    }

    #[test]
    fn an_access_point_says_what_it_is() {
        let known = [
            ("capwap.message", "1"),
            ("capwap.vendor_id", "12356"),
            ("capwap.model", "FAP231F"),
            ("capwap.serial", "FP231FTF20000001"),
            ("capwap.hardware_version", "P23904-03"),
            ("capwap.software_version", "FP231F-v7.0-build0041"),
            ("capwap.boot_version", "4.0.0.12"),
            ("capwap.wtp_name", "floor-2"),
        ];
        assert_eq!(claim(&discovery()), Claim::Yes);
        assert_eq!(all(&read(&discovery())), expected(&known));
    }

    #[test]
    fn the_descriptor_of_the_draft_is_read_too() {
        let facts = read(&message(1, &[descriptor(&[0, 1])]));
        assert_eq!(facts.first(&SOFTWARE).unwrap().text(), "FP231F-v7.0-build0041");
        assert!(!facts.flags.has(Flag::ParseError));
    }

    #[test]
    fn a_controller_says_what_it_is() {
        let numbers = [0, 0, 3, 0xe8, 0, 0, 0, 5, 2, 1, 0, 3];
        for (hardware, software) in [(4, 5), (0, 1)] {
            let versions = [version(FORTINET, hardware, &[1, 0, 0, 1]), version(FORTINET, software, &[7, 5, 102, 0])];
            let descriptor = tlv(AC_DESCRIPTOR, &[&numbers[..], &versions.concat()].concat());
            let elements =
                [descriptor, tlv(AC_NAME_ELEMENT, b"fw1"), tlv(VENDOR_SPECIFIC, &[0, 0, 0x30, 0x44, 0, 208, 0])];
            let known = [
                ("capwap.message", "2"),
                ("capwap.vendor_id", "12356"),
                ("capwap.hardware_version", "1.0.0.1"),
                ("capwap.software_version", "7.5.102.0"),
                ("capwap.ac_name", "fw1"),
            ];
            assert_eq!(all(&read(&message(2, &elements))), expected(&known));
        }
    }

    #[test]
    fn a_cut_message_is_none() {
        let whole = discovery();
        for end in 0..whole.len() {
            assert_eq!(claim(&whole[..end]), Claim::No, "{end} bytes");
            assert_eq!(read(&whole[..end]).len(), 0, "{end} bytes");
        }
        assert_eq!(claim(&[&whole[..], &[0]].concat()), Claim::No, "a byte too many");
    }

    #[test]
    fn an_element_that_does_not_fit_gives_nothing() {
        let mut broken = board();
        // The length of the serial number.
        broken[22] = 0xff;
        for element in [broken, descriptor(&[9]), tlv(VENDOR_SPECIFIC, &[0, 0, 0x30]), tlv(AC_DESCRIPTOR, &[0; 13])] {
            let facts = read(&message(1, std::slice::from_ref(&element)));
            assert_eq!(all(&facts), expected(&[("capwap.message", "1")]), "{element:?}");
            assert!(facts.flags.has(Flag::ParseError));
        }
    }

    #[test]
    fn only_what_the_header_allows_is_claimed() {
        let whole = discovery();
        let with = |at: usize, value: u8| {
            let mut other = whole.clone();
            other[at] = value;
            claim(&other)
        };
        assert_eq!(with(0, 0x10), Claim::No, "version");
        assert_eq!(with(3, 0x11), Claim::No, "reserved bit");
        assert_eq!(with(3, 0x90), Claim::No, "a fragment");
        assert_eq!(with(7, 8), Claim::No, "offset of a fragment");
        assert_eq!(with(8, 5), Claim::No, "length of an address");
        assert_eq!(with(19, 27), Claim::No, "message type");
        assert_eq!(with(23, 1), Claim::No, "flags");
        assert_eq!(claim(&[0; 64]), Claim::No);
        assert_eq!(claim(&[]), Claim::No);
        assert_eq!(claim(&message(13277 * 256 + 1, &[tlv(1024, &[1])])), Claim::Yes, "RFC 5416");
    }

    #[test]
    fn dtls_is_claimed_by_its_records() {
        let record = [&[22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3][..], &[1, 2, 3]].concat();
        let wrapped = [&[1, 0, 0, 0][..], &record, &record].concat();
        assert_eq!(claim(&wrapped), Claim::Yes);
        assert_eq!(read(&wrapped).len(), 0);
        for end in 0..wrapped.len() {
            assert_eq!(claim(&wrapped[..end]) == Claim::Yes, end == 4 + record.len(), "{end} bytes");
        }
        assert_eq!(claim(&record), Claim::No, "DTLS alone");
    }

    #[test]
    fn the_data_channel_is_claimed_on_its_port() {
        let claim = |port: u16, bytes: &[u8]| (PROTOCOL.claim)(&udp((40000, port), Side::Source, bytes));
        let session = [&u32::to_be_bytes((2 << 19) | KEEP_ALIVE)[..], &[0; 4], &[0, 22], &tlv(35, &[9; 16])].concat();
        let native = [&u32::to_be_bytes((3 << 19) | (1 << 9) | NATIVE)[..], &[0; 8], &[8, 1, 0, 0]].concat();
        let wireless = [&u32::to_be_bytes((4 << 19) | (1 << 9) | NATIVE | WIRELESS)[..], &[0; 4]].concat();
        let wireless = [&wireless[..], &[4, 0xbf, 0x23, 0, 0, 0, 0, 0], &[8, 1, 0, 0]].concat();
        let draft = u32::to_be_bytes((4 << 19) | (1 << 9) | NATIVE | WIRELESS);
        let draft = [&draft[..], &[0; 4], &[1, 4, 0, 0, 0, 0, 0, 0], &[0x40, 0, 0, 0]].concat();
        for bytes in [session, wireless, draft] {
            assert_eq!(claim(5247, &bytes), Claim::Yes, "{bytes:?}");
            assert_eq!(claim(5248, &bytes), Claim::No, "{bytes:?}");
        }
        assert_eq!(claim(5247, &native), Claim::No, "more padding than is needed");
    }
}
