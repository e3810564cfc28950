//! CDP: what devices of Cisco, and some of others, tell the other end of their cable about themselves.
//!
//! In: frames with LLC and SNAP, from the LLC header. Out: name, software, model, addresses. There is no standard; Cisco
//! describes the elements in "Cisco Discovery Protocol Version 2" and its LAN switching guides.
//!
//! A message whose checksum is wrong, as that of one that was cut, says nothing.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Seen, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

const SOURCE: &str = "Cisco Discovery Protocol Version 2";

/// The device: its name, serial number or hardware address.
pub static DEVICE_ID: Field = Field::new("cdp.device_id", Kind::Text, "CDP device ID", SOURCE);
/// What runs on the device, a fact a line.
pub static SOFTWARE_VERSION: Field =
    Field::new("cdp.software_version", Kind::Text, "a line of the CDP software version", SOURCE);
/// Model.
pub static PLATFORM: Field = Field::new("cdp.platform", Kind::Text, "CDP platform", SOURCE);
/// The port of the device.
pub static PORT_ID: Field = Field::new("cdp.port_id", Kind::Text, "CDP port ID", SOURCE);
/// What the device does: some of [`CAPABILITY_NAMES`].
pub static CAPABILITIES: Field = Field::new("cdp.capabilities", Kind::Text, "CDP capabilities: router,switch", SOURCE);
/// An address of the port or the device.
pub static ADDRESS: Field = Field::new("cdp.address", Kind::Address, "address in CDP", SOURCE);
/// Where the device is managed.
pub static MANAGEMENT_ADDRESS: Field =
    Field::new("cdp.management_address", Kind::Address, "management address in CDP", SOURCE);

/// CDP.
pub static PROTOCOL: Protocol = Protocol {
    name: "cdp",
    over: &[Transport::Frame],
    fields: &[&DEVICE_ID, &SOFTWARE_VERSION, &PLATFORM, &PORT_ID, &CAPABILITIES, &ADDRESS, &MANAGEMENT_ADDRESS],
    claim,
    embedded: false,
    parser: |_| Box::new(Cdp),
};

/// LLC for SNAP, Cisco's prefix, and the number of CDP there.
const SNAP: [u8; 8] = [0xaa, 0xaa, 0x03, 0x00, 0x00, 0x0c, 0x20, 0x00];
/// Version, time to live, checksum.
const HEADER_BYTES: usize = 4;
/// Type and length, which counts itself, of an element.
const ELEMENT_BYTES: usize = 4;
/// Addresses read from one element.
const ADDRESSES_MAX: u32 = 32;

/// Types of elements.
mod element {
    pub const DEVICE_ID: u16 = 0x0001;
    pub const ADDRESSES: u16 = 0x0002;
    pub const PORT_ID: u16 = 0x0003;
    pub const CAPABILITIES: u16 = 0x0004;
    pub const SOFTWARE_VERSION: u16 = 0x0005;
    pub const PLATFORM: u16 = 0x0006;
    pub const MANAGEMENT_ADDRESSES: u16 = 0x0016;
}

/// What a bit of the capabilities means, from the lowest.
pub const CAPABILITY_NAMES: [&str; 11] = [
    "router",
    "transparent-bridge",
    "source-route-bridge",
    "switch",
    "host",
    "igmp",
    "repeater",
    "phone",
    "remotely-managed",
    "camera",
    "two-port-relay",
];

fn claim(&Opening { ports: (_, ether_type), bytes, .. }: &Opening<'_>) -> Claim {
    let version = bytes.strip_prefix(&SNAP).and_then(|message| message.first());
    if ether_type == 0 && matches!(version, Some(1 | 2)) { Claim::Yes } else { Claim::No }
}

struct Cdp;

impl Parser for Cdp {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let message = prefix.bytes.strip_prefix(&SNAP).filter(|message| is_sound(message));
        match message.and_then(|message| message.get(HEADER_BYTES..)) {
            Some(elements) => read(Reader::new(elements), &mut Told { side, seen: prefix.seen, facts }),
            None => facts.flags.set(Flag::ParseError),
        }
        Progress::NeedBytes(0)
    }
}

/// Whether the checksum fits (RFC 1071). Of an odd number of bytes Cisco adds the last one at the other end of its word
/// than RFC 1071 does, and with its sign; others follow the RFC.
fn is_sound(message: &[u8]) -> bool {
    let (words, rest) = message.as_chunks::<2>();
    let sum: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).fold(0, u32::saturating_add);
    let holds = |last: u16| {
        let mut sum = sum.saturating_add(u32::from(last));
        while sum > 0xffff {
            sum = (sum >> 16).saturating_add(sum & 0xffff);
        }
        sum == 0xffff
    };
    match *rest {
        [last] => {
            let low = u16::from(last);
            // A negative number was added, and the carry that it takes was lost.
            let signed = if last < 0x80 { low } else { 0xff00 | low.saturating_sub(1) };
            holds(signed) || holds(low << 8)
        }
        _ => holds(0),
    }
}

fn read(mut reader: Reader<'_>, told: &mut Told<'_>) {
    while !reader.is_empty() {
        let Some((kind, value)) = next_element(&mut reader) else {
            told.facts.flags.set(Flag::ParseError);
            return;
        };
        match kind {
            element::DEVICE_ID => told.text(&DEVICE_ID, value),
            element::ADDRESSES => told.addresses(&ADDRESS, value),
            element::PORT_ID => told.text(&PORT_ID, value),
            element::CAPABILITIES => told.capabilities(value),
            element::SOFTWARE_VERSION => {
                value.split(|byte| matches!(byte, b'\r' | b'\n')).for_each(|line| told.text(&SOFTWARE_VERSION, line));
            }
            element::PLATFORM => told.text(&PLATFORM, value),
            element::MANAGEMENT_ADDRESSES => told.addresses(&MANAGEMENT_ADDRESS, value),
            _ => {}
        }
    }
}

/// Type and value of the next element.
fn next_element<'a>(reader: &mut Reader<'a>) -> Option<(u16, &'a [u8])> {
    let kind = reader.u16()?;
    let length = usize::from(reader.u16()?).checked_sub(ELEMENT_BYTES)?;
    Some((kind, reader.take(length)?))
}

struct Told<'f> {
    side: Side,
    seen: Seen,
    facts: &'f mut Facts,
}

impl Told<'_> {
    /// Text without the blanks and zeros around it.
    fn text(&mut self, field: &'static Field, value: &[u8]) {
        let blank = |byte: &u8| *byte == 0 || byte.is_ascii_whitespace();
        let start = value.iter().position(|byte| !blank(byte));
        let end = value.iter().rposition(|byte| !blank(byte));
        if let (Some(start), Some(end)) = (start, end)
            && let Some(text) = value.get(start..=end)
        {
            self.facts.add(field, self.side, self.seen, text);
        }
    }

    fn capabilities(&mut self, value: &[u8]) {
        let Some(bits) = Reader::new(value).u32() else { return };
        let names = CAPABILITY_NAMES.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
        let names: Vec<&str> = names.map(|(_, name)| *name).collect();
        self.text(&CAPABILITIES, names.join(",").as_bytes());
    }

    fn addresses(&mut self, field: &'static Field, value: &[u8]) {
        let mut reader = Reader::new(value);
        let count = reader.u32().unwrap_or(0);
        if count > ADDRESSES_MAX {
            self.facts.flags.set(Flag::LimitReached);
        }
        for _ in 0..count.min(ADDRESSES_MAX) {
            let Some((protocol, address)) = next_address(&mut reader) else { return };
            let is_ip = match protocol {
                // The network layer protocol identifier of IP, or the SNAP header of IPv6.
                [0xcc] => address.len() == 4,
                [0xaa, 0xaa, 0x03, 0, 0, 0, 0x86, 0xdd] => address.len() == 16,
                _ => false,
            };
            if is_ip && address.iter().any(|byte| *byte != 0) {
                self.facts.add(field, self.side, self.seen, address);
            }
        }
    }
}

/// Protocol and bytes of the next address.
fn next_address<'a>(reader: &mut Reader<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let _kind_of_protocol = reader.u8()?;
    let protocol = reader.vec8()?.rest();
    Some((protocol, reader.vec16()?.rest()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    fn element(kind: u16, value: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes(), &(value.len() as u16 + 4).to_be_bytes(), value].concat()
    }

    /// A message of an even number of bytes, with the checksum of RFC 1071.
    fn message(elements: &[u8]) -> Vec<u8> {
        assert_eq!(elements.len() % 2, 0);
        let mut bytes = [&[2, 180, 0, 0], elements].concat();
        let sum: u32 = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
        let sum = !((sum >> 16) + (sum & 0xffff)) as u16;
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
        [&SNAP, bytes.as_slice()].concat()
    }

    fn facts_of(bytes: &[u8]) -> Facts {
        let mut facts = Facts::default();
        let prefix = Prefix { bytes, seen: Seen::default(), last: true, split: false };
        assert_eq!(Cdp.feed(Side::Source, prefix, &mut facts), Progress::NeedBytes(0));
        facts
    }

    fn texts(facts: &Facts, field: &'static Field) -> Vec<String> {
        facts.of(field).map(|fact| fact.text()).collect()
    }

    fn elements() -> Vec<u8> {
        let address = |protocol: &[u8], address: &[u8]| {
            [&[1, protocol.len() as u8], protocol, &(address.len() as u16).to_be_bytes(), address].concat()
        };
        let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let addresses = [
            vec![0, 0, 0, 3],
            address(&[0xcc], &[192, 0, 2, 1]),
            // AppleTalk, which nobody asks for.
            address(&[0xaa, 0xaa, 3, 0, 0, 0, 0x80, 0x9b], &[0, 1, 2]),
            address(&[0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd], &v6),
        ];
        [
            element(element::DEVICE_ID, b"esx07.example"),
            element(element::ADDRESSES, &addresses.concat()),
            element(element::PORT_ID, b"vmnic0"),
            element(element::CAPABILITIES, &[0, 0, 0, 0x09]),
            element(element::SOFTWARE_VERSION, b"First line \r\nsecond line\n\n"),
            element(element::PLATFORM, b"VMware ESX"),
            element(element::MANAGEMENT_ADDRESSES, &[&[0, 0, 0, 1][..], &address(&[0xcc], &[192, 0, 2, 9])].concat()),
        ]
        .concat()
    }

    #[test]
    fn a_device_says_what_it_is() {
        let facts = facts_of(&message(&elements()));
        let want: [(&'static Field, &[&str]); 7] = [
            (&DEVICE_ID, &["esx07.example"]),
            (&ADDRESS, &["192.0.2.1", "2001:db8::1"]),
            (&PORT_ID, &["vmnic0"]),
            (&CAPABILITIES, &["router,switch"]),
            (&SOFTWARE_VERSION, &["First line", "second line"]),
            (&PLATFORM, &["VMware ESX"]),
            (&MANAGEMENT_ADDRESS, &["192.0.2.9"]),
        ];
        for (field, values) in want {
            assert_eq!(texts(&facts, field), values, "{}", field.name);
        }
    }

    #[test]
    fn what_is_cut_or_changed_says_nothing() {
        let whole = message(&elements());
        for end in 0..whole.len() {
            let facts = facts_of(&whole[..end]);
            assert_eq!(facts.len(), 0, "cut at {end}");
            assert!(facts.flags.has(Flag::ParseError));
        }
        for at in SNAP.len()..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            assert_eq!(facts_of(&changed).len(), 0, "changed at {at}");
        }
    }

    #[test]
    fn the_last_of_an_odd_number_of_bytes_counts_as_cisco_counts_it() {
        // Header and one element, then a last byte; the words before it add up to 0xffff less what it must count for.
        let sound = |last: u8, checksum: u16| is_sound(&[&[2, 180][..], &checksum.to_be_bytes(), &[last]].concat());
        assert!(sound(0x21, 0xffff - 0x02b4 - 0x21), "in the low half of its word");
        assert!(sound(0x21, 0xffff - 0x02b4 - 0x2100), "as RFC 1071 has it");
        // 0xff9d for -98: one less than the number that was meant.
        assert!(sound(0x9e, (0xffff_u32 * 2 - 0x02b4 - 0xff9d) as u16), "with its sign");
        assert!(!sound(0x21, 0xffff - 0x02b4));
    }

    #[test]
    fn an_element_that_cannot_be_ends_the_message() {
        for wrong in [[0, 3, 0, 3], [0, 3, 0, 0], [0, 3, 0xff, 0xff]] {
            let facts = facts_of(&message(&[element(element::PLATFORM, b"a box!"), wrong.to_vec()].concat()));
            assert_eq!(texts(&facts, &PLATFORM), ["a box!"]);
            assert!(facts.flags.has(Flag::ParseError));
        }
    }

    #[test]
    fn only_cdp_is_claimed() {
        let bytes = message(&elements());
        let ask = |ether_type, bytes: &[u8]| claim(&Opening::of_frame(ether_type, bytes));
        assert_eq!(ask(0, &bytes), Claim::Yes);
        assert_eq!(ask(0x2000, &bytes), Claim::No);
        assert_eq!(ask(0, &bytes[..8]), Claim::No);
        // VTP and UDLD have other numbers under the same prefix.
        for number in [[0x20, 0x03], [0x01, 0x11]] {
            let mut other = bytes.clone();
            other[6..8].copy_from_slice(&number);
            assert_eq!(ask(0, &other), Claim::No);
        }
    }
}
