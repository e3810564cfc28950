//! LLDP: what a device tells the other end of its cable about itself.
//!
//! In: frames of EtherType 0x88cc, from behind it. Out: name, description, what it can do, where it is managed, and the
//! makers whose extensions it speaks. IEEE 802.1AB (the elements), ANSI/TIA-1057 (inventory of LLDP-MED).
//!
//! Every element is whole by itself, so what stands before a damaged one counts.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::net::IpAddr;

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Seen, Side, value};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

/// The device: a hardware address, an address or a name.
pub static CHASSIS_ID: Field =
    Field::new("lldp.chassis_id", Kind::Text, "LLDP chassis ID", "IEEE 802.1AB section 8.5.2");
/// The port of the device: its name, number or hardware address.
pub static PORT_ID: Field = Field::new("lldp.port_id", Kind::Text, "LLDP port ID", "IEEE 802.1AB section 8.5.3");
/// The port in words.
pub static PORT_DESCRIPTION: Field =
    Field::new("lldp.port_description", Kind::Text, "LLDP port description", "IEEE 802.1AB section 8.5.5");
/// The name that its administrator gave the device.
pub static SYSTEM_NAME: Field =
    Field::new("lldp.system_name", Kind::Text, "LLDP system name", "IEEE 802.1AB section 8.5.6");
/// Hardware and software in words, mostly the sysDescr of SNMP.
pub static SYSTEM_DESCRIPTION: Field =
    Field::new("lldp.system_description", Kind::Text, "LLDP system description", "IEEE 802.1AB section 8.5.7");
/// What the device does: the enabled ones of [`CAPABILITY_NAMES`].
pub static CAPABILITIES: Field = Field::new(
    "lldp.capabilities",
    Kind::Text,
    "LLDP capabilities that are enabled: bridge,router",
    "IEEE 802.1AB section 8.5.8",
);
/// Where the device is managed.
pub static MANAGEMENT_ADDRESS: Field =
    Field::new("lldp.management_address", Kind::Address, "LLDP management address", "IEEE 802.1AB section 8.5.9");
/// Makers and bodies whose own elements the device sends.
pub static OUI: Field =
    Field::new("lldp.oui", Kind::Hex, "OUI of an organizationally specific LLDP element", "IEEE 802.1AB section 8.6");
/// Maker, as the device names it.
pub static MANUFACTURER: Field =
    Field::new("lldp.manufacturer", Kind::Text, "LLDP-MED manufacturer name", "ANSI/TIA-1057 section 10.2.6");
/// Model, as the device names it.
pub static MODEL: Field = Field::new("lldp.model", Kind::Text, "LLDP-MED model name", "ANSI/TIA-1057 section 10.2.6");
/// Firmware.
pub static FIRMWARE: Field =
    Field::new("lldp.firmware", Kind::Text, "LLDP-MED firmware revision", "ANSI/TIA-1057 section 10.2.6");
/// Software.
pub static SOFTWARE: Field =
    Field::new("lldp.software", Kind::Text, "LLDP-MED software revision", "ANSI/TIA-1057 section 10.2.6");

/// LLDP.
pub static PROTOCOL: Protocol = Protocol {
    name: "lldp",
    over: &[Transport::Frame],
    fields: &[
        &CHASSIS_ID,
        &PORT_ID,
        &PORT_DESCRIPTION,
        &SYSTEM_NAME,
        &SYSTEM_DESCRIPTION,
        &CAPABILITIES,
        &MANAGEMENT_ADDRESS,
        &OUI,
        &MANUFACTURER,
        &MODEL,
        &FIRMWARE,
        &SOFTWARE,
    ],
    claim,
    embedded: false,
    parser: |_| Box::new(Lldp),
};

const ETHER_TYPE: u16 = 0x88cc;
/// Below the type, the length of an element takes nine bits.
const LENGTH_BITS: u32 = 9;
const LENGTH_MASK: u16 = 0x01ff;

/// Types of elements (IEEE 802.1AB, table 8-1).
mod element {
    pub const END: u16 = 0;
    pub const CHASSIS_ID: u16 = 1;
    pub const PORT_ID: u16 = 2;
    pub const TIME_TO_LIVE: u16 = 3;
    pub const PORT_DESCRIPTION: u16 = 4;
    pub const SYSTEM_NAME: u16 = 5;
    pub const SYSTEM_DESCRIPTION: u16 = 6;
    pub const CAPABILITIES: u16 = 7;
    pub const MANAGEMENT_ADDRESS: u16 = 8;
    pub const ORGANIZATION: u16 = 127;
}

/// What a bit of the capabilities means, from the lowest (IEEE 802.1AB, table 8-4).
pub const CAPABILITY_NAMES: [&str; 11] = [
    "other",
    "repeater",
    "bridge",
    "wlan-access-point",
    "router",
    "telephone",
    "docsis",
    "station",
    "c-vlan",
    "s-vlan",
    "two-port-relay",
];

/// Numbers of address families (IANA).
const IPV4: u8 = 1;
const IPV6: u8 = 2;

/// LLDP-MED: the prefix of TIA, and the kinds of its inventory.
const TIA: [u8; 3] = [0x00, 0x12, 0xbb];
const MED_FIRMWARE: u8 = 6;
const MED_SOFTWARE: u8 = 7;
const MED_MANUFACTURER: u8 = 9;
const MED_MODEL: u8 = 10;

/// The three elements that every message begins with.
fn claim(&Opening { ports: (_, ether_type), bytes, .. }: &Opening<'_>) -> Claim {
    let mut reader = Reader::new(bytes);
    let mut next = || next_element(&mut reader).map(|(kind, value)| (kind, value.len()));
    let begins = ether_type == ETHER_TYPE
        && matches!(next(), Some((element::CHASSIS_ID, 2..=256)))
        && matches!(next(), Some((element::PORT_ID, 2..=256)))
        && matches!(next(), Some((element::TIME_TO_LIVE, 2..)));
    if begins { Claim::Yes } else { Claim::No }
}

/// Type and value of the next element.
fn next_element<'a>(reader: &mut Reader<'a>) -> Option<(u16, &'a [u8])> {
    let head = reader.u16()?;
    Some((head >> LENGTH_BITS, reader.take(usize::from(head & LENGTH_MASK))?))
}

struct Lldp;

impl Parser for Lldp {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let mut reader = Reader::new(prefix.bytes);
        let mut told = Told { side, seen: prefix.seen, facts };
        while !reader.is_empty() {
            match next_element(&mut reader) {
                Some((element::END, _)) => break,
                // An element of another form says nothing; the next one may.
                Some((kind, value)) => drop(told.element(kind, value)),
                None => {
                    told.facts.flags.set(Flag::ParseError);
                    break;
                }
            }
        }
        Progress::NeedBytes(0)
    }
}

struct Told<'f> {
    side: Side,
    seen: Seen,
    facts: &'f mut Facts,
}

impl Told<'_> {
    fn element(&mut self, kind: u16, value: &[u8]) -> Option<()> {
        match kind {
            element::CHASSIS_ID => self.add(&CHASSIS_ID, &id(value, 4, 5)?),
            element::PORT_ID => self.add(&PORT_ID, &id(value, 3, 4)?),
            element::PORT_DESCRIPTION => self.add(&PORT_DESCRIPTION, value),
            element::SYSTEM_NAME => self.add(&SYSTEM_NAME, value),
            element::SYSTEM_DESCRIPTION => self.add(&SYSTEM_DESCRIPTION, value),
            element::CAPABILITIES => {
                let mut reader = Reader::new(value);
                let (_able, enabled) = (reader.u16()?, reader.u16()?);
                let names = CAPABILITY_NAMES.iter().enumerate().filter(|(bit, _)| enabled >> bit & 1 == 1);
                let names: Vec<&str> = names.map(|(_, name)| *name).collect();
                self.add(&CAPABILITIES, names.join(",").as_bytes());
            }
            element::MANAGEMENT_ADDRESS => match address(Reader::new(value).vec8()?.rest())? {
                IpAddr::V4(v4) => self.add(&MANAGEMENT_ADDRESS, &v4.octets()),
                IpAddr::V6(v6) => self.add(&MANAGEMENT_ADDRESS, &v6.octets()),
            },
            element::ORGANIZATION => {
                let (oui, rest) = value.split_first_chunk::<3>()?;
                self.add(&OUI, oui);
                let (kind, text) = rest.split_first().filter(|_| *oui == TIA)?;
                match *kind {
                    MED_MANUFACTURER => self.add(&MANUFACTURER, text),
                    MED_MODEL => self.add(&MODEL, text),
                    MED_FIRMWARE => self.add(&FIRMWARE, text),
                    MED_SOFTWARE => self.add(&SOFTWARE, text),
                    _ => {}
                }
            }
            _ => {}
        }
        Some(())
    }

    /// Some devices end a text with zeros.
    fn add(&mut self, field: &'static Field, value: &[u8]) {
        let end = match field.kind {
            Kind::Text => value.iter().rposition(|byte| *byte != 0).map_or(0, |at| at.saturating_add(1)),
            _ => value.len(),
        };
        if let Some(value) = value.get(..end).filter(|value| !value.is_empty()) {
            self.facts.add(field, self.side, self.seen, value);
        }
    }
}

/// A chassis or port ID as it is printed. `mac` and `network` are the subtypes that hold an address.
fn id(value: &[u8], mac: u8, network: u8) -> Option<Vec<u8>> {
    let (subtype, rest) = value.split_first()?;
    if *subtype == mac {
        return Some(value::mac(&<[u8; 6]>::try_from(rest).ok()?).into_bytes());
    }
    if *subtype == network {
        return Some(address(rest)?.to_string().into_bytes());
    }
    Some(rest.to_vec())
}

/// An IP address behind the number of its family.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    let (family, address) = bytes.split_first()?;
    let address = value::address(address)?;
    let fits = matches!((family, address), (&IPV4, IpAddr::V4(_)) | (&IPV6, IpAddr::V6(_)));
    Some(address).filter(|address| fits && !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(kind: u16, value: &[u8]) -> Vec<u8> {
        [&(kind << LENGTH_BITS | value.len() as u16).to_be_bytes(), value].concat()
    }

    /// What every message begins with.
    fn begin() -> Vec<u8> {
        [element(1, b"\x04\x02\0\0\0\0\x01"), element(2, b"\x05ge-0/0/1"), element(3, &[0, 120])].concat()
    }

    fn facts_of(bytes: &[u8]) -> Facts {
        let mut facts = Facts::default();
        let prefix = Prefix { bytes, seen: Seen::default(), last: true, split: false };
        assert_eq!(Lldp.feed(Side::Source, prefix, &mut facts), Progress::NeedBytes(0));
        facts
    }

    fn texts(facts: &Facts, field: &'static Field) -> Vec<String> {
        facts.of(field).map(|fact| fact.text()).collect()
    }

    fn message() -> Vec<u8> {
        [
            begin(),
            element(4, b"uplink"),
            element(5, b"sw1.example\0"),
            element(6, b"Example Switch, version 1.2"),
            element(7, &[0, 0x14, 0, 0x10]),
            // Length and family of the address, then the interface and an empty object identifier.
            element(8, &[5, 1, 192, 0, 2, 1, 2, 0, 0, 0, 1, 0]),
            element(127, b"\x00\x80\xc2\x01\x00\x01"),
            element(127, b"\x00\x12\xbb\x09Example Inc."),
            element(127, b"\x00\x12\xbb\x0aModel 5"),
            element(0, &[]),
            vec![0; 10],
        ]
        .concat()
    }

    #[test]
    fn a_device_says_what_it_is() {
        let facts = facts_of(&message());
        let want = [
            (&CHASSIS_ID, "02:00:00:00:00:01"),
            (&PORT_ID, "ge-0/0/1"),
            (&PORT_DESCRIPTION, "uplink"),
            (&SYSTEM_NAME, "sw1.example"),
            (&SYSTEM_DESCRIPTION, "Example Switch, version 1.2"),
            (&CAPABILITIES, "router"),
            (&MANAGEMENT_ADDRESS, "192.0.2.1"),
            (&MANUFACTURER, "Example Inc."),
            (&MODEL, "Model 5"),
        ];
        for (field, value) in want {
            assert_eq!(texts(&facts, field), [value], "{}", field.name);
        }
        assert_eq!(facts.of(&OUI).count(), 2);
        assert!(!facts.flags.has(Flag::ParseError), "padding behind the end");
    }

    #[test]
    fn an_address_must_be_what_its_family_says() {
        for (bytes, want) in [
            (&[1, 192, 0, 2, 1][..], Some("192.0.2.1")),
            (&[2, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], Some("2001:db8::1")),
            (&[2, 192, 0, 2, 1], None),
            (&[6, 0, 1, 0x30, 0xf9, 0xad, 0xa0], None),
            (&[1, 0, 0, 0, 0], None),
            (&[], None),
        ] {
            assert_eq!(address(bytes).map(|a| a.to_string()).as_deref(), want, "{bytes:?}");
        }
        assert_eq!(id(b"\x05\x01\xc0\x00\x02\x01", 4, 5).as_deref(), Some(&b"192.0.2.1"[..]));
        assert_eq!(id(b"\x04short", 4, 5), None);
    }

    #[test]
    fn a_frame_that_is_cut_loses_elements_but_no_half_ones_are_told() {
        let whole = message();
        let all = facts_of(&whole);
        for end in 0..whole.len() {
            for fact in facts_of(&whole[..end]).iter() {
                assert!(all.of(fact.field).any(|there| there.value == fact.value), "cut at {end}");
            }
        }
    }

    #[test]
    fn only_lldp_is_claimed() {
        let ask = |ether_type, bytes: &[u8]| claim(&Opening::of_frame(ether_type, bytes));
        assert_eq!(ask(0x88cc, &begin()), Claim::Yes);
        assert_eq!(ask(0x88cb, &begin()), Claim::No);
        assert_eq!(ask(0x88cc, &begin()[..begin().len() - 1]), Claim::No);
        assert_eq!(ask(0x88cc, &[element(2, b"\x05p"), element(1, b"\x04c")].concat()), Claim::No);
        assert_eq!(ask(0x88cc, b""), Claim::No);
    }
}
