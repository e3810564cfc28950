//! DHCP for IPv6: what clients say of themselves.
//!
//! In: datagrams between clients and servers. Out: name, vendor class, the options asked for, the hardware address in
//! the client's identifier. RFC 8415 (messages, vendor class), 4704 (FQDN). What relay agents wrap is not opened: it is
//! about somebody else than the sender.
//!
//! A client speaks from its own link-local address, so its flow is its own. A message with an option that is not whole
//! says nothing.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, is_at};

/// Name that a client wants to have in DNS.
pub static FQDN: Field =
    Field::new("dhcpv6.fqdn", Kind::Name, "name a DHCPv6 client wants in DNS (option 39)", "RFC 4704 section 4");
/// What a client says it is, a fact a part.
pub static VENDOR_CLASS: Field = Field::new(
    "dhcpv6.vendor_class",
    Kind::Text,
    "vendor class of a DHCPv6 client (option 16)",
    "RFC 8415 section 21.16",
);
/// Whose vendor class it is; 311 is Microsoft.
pub static ENTERPRISE: Field = Field::new(
    "dhcpv6.enterprise",
    Kind::Number,
    "enterprise number of the vendor class of a DHCPv6 client",
    "RFC 8415 section 21.16",
);
/// Numbers of the options a client asks for, in its order: `23,24`.
pub static PARAMETERS: Field = Field::new(
    "dhcpv6.parameters",
    Kind::Text,
    "options a DHCPv6 client asks for (option 6), in its order",
    "RFC 8415 section 21.7",
);
/// Hardware address in the client identifier; of another of its interfaces, perhaps.
pub static CLIENT_ID: Field = Field::new(
    "dhcpv6.client_id",
    Kind::Hex,
    "Ethernet address in a DHCPv6 client identifier (option 1)",
    "RFC 8415 section 11",
);

/// DHCPv6.
pub static PROTOCOL: Protocol = Protocol {
    name: "dhcpv6",
    over: &[Transport::Udp],
    fields: &[&FQDN, &VENDOR_CLASS, &ENTERPRISE, &PARAMETERS, &CLIENT_ID],
    claim,
    embedded: false,
    parser: |_| Box::new(Dhcpv6),
};

const CLIENT_PORT: u16 = 546;
const SERVER_PORT: u16 = 547;
/// Options read from one message.
const OPTIONS_MAX: usize = 64;

/// Types of messages (RFC 8415, section 7.3) by who sends them.
const FROM_CLIENTS: [u8; 8] = [1, 3, 4, 5, 6, 8, 9, 11];
const FROM_SERVERS: [u8; 3] = [2, 7, 10];

/// Codes of options.
mod code {
    pub const CLIENT_ID: u16 = 1;
    pub const SERVER_ID: u16 = 2;
    pub const PARAMETERS: u16 = 6;
    pub const ELAPSED_TIME: u16 = 8;
    pub const VENDOR_CLASS: u16 = 16;
    pub const FQDN: u16 = 39;
}

/// All options of a message fit, and one that every message has is among them.
fn claim(&Opening { ports, bytes, .. }: &Opening<'_>) -> Claim {
    let known_port = is_at(ports, &[CLIENT_PORT, SERVER_PORT]);
    let usual = [code::CLIENT_ID, code::SERVER_ID, code::ELAPSED_TIME];
    let is_one = || {
        let message = Message::parse(bytes)?;
        message.options.iter().any(|(code, _)| usual.contains(code)).then_some(())
    };
    if known_port && is_one().is_some() { Claim::Yes } else { Claim::No }
}

struct Message<'a> {
    from_client: bool,
    options: Vec<(u16, &'a [u8])>,
}

impl<'a> Message<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Message<'a>> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        let from_client = FROM_CLIENTS.contains(&kind);
        if !from_client && !FROM_SERVERS.contains(&kind) {
            return None;
        }
        let _transaction = reader.u24()?;
        let mut options = Vec::new();
        while !reader.is_empty() {
            let code = reader.u16()?;
            options.push((code, reader.vec16()?.rest()));
            if options.len() > OPTIONS_MAX {
                return None;
            }
        }
        Some(Message { from_client, options })
    }
}

struct Dhcpv6;

impl Parser for Dhcpv6 {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let Some(message) = Message::parse(prefix.bytes) else {
            facts.flags.set(Flag::ParseError);
            return Progress::NeedBytes(0);
        };
        // What a server says in these options speaks of itself, or repeats the client.
        let options = message.options.iter().filter(|_| message.from_client);
        for (code, value) in options {
            let read = match *code {
                code::CLIENT_ID => {
                    hardware_address(value).into_iter().for_each(|mac| facts.add(&CLIENT_ID, side, prefix.seen, &mac));
                    Some(())
                }
                code::PARAMETERS => numbers(value).map(|list| facts.add(&PARAMETERS, side, prefix.seen, &list)),
                code::VENDOR_CLASS => vendor_class(value).map(|(enterprise, parts)| {
                    facts.add_number(&ENTERPRISE, side, prefix.seen, u64::from(enterprise));
                    parts.iter().for_each(|part| facts.add(&VENDOR_CLASS, side, prefix.seen, part));
                }),
                code::FQDN => full_name(value).map(|name| facts.add(&FQDN, side, prefix.seen, &name)),
                _ => Some(()),
            };
            if read.is_none() {
                facts.flags.set(Flag::ParseError);
            }
        }
        Progress::NeedBytes(0)
    }
}

/// The Ethernet address that an identifier is made of, with a time or without (RFC 8415, sections 11.2 and 11.4).
fn hardware_address(identifier: &[u8]) -> Option<[u8; 6]> {
    const WITH_TIME: u16 = 1;
    const ALONE: u16 = 3;
    const ETHERNET: u16 = 1;
    let mut reader = Reader::new(identifier);
    let kind = reader.u16()?;
    if reader.u16()? != ETHERNET || ![WITH_TIME, ALONE].contains(&kind) {
        return None;
    }
    if kind == WITH_TIME {
        reader.u32()?;
    }
    reader.rest().try_into().ok()
}

fn numbers(list: &[u8]) -> Option<Vec<u8>> {
    let (numbers, []) = list.as_chunks::<2>() else { return None };
    let texts: Vec<String> = numbers.iter().map(|number| u16::from_be_bytes(*number).to_string()).collect();
    Some(texts.join(",").into_bytes()).filter(|text| !text.is_empty())
}

/// The enterprise number, and each part without the zeros behind it.
fn vendor_class(value: &[u8]) -> Option<(u32, Vec<&[u8]>)> {
    let mut reader = Reader::new(value);
    let enterprise = reader.u32()?;
    let mut parts = Vec::new();
    while !reader.is_empty() {
        let part = reader.vec16()?.rest();
        let end = part.iter().rposition(|byte| *byte != 0);
        parts.extend(end.and_then(|end| part.get(..=end)));
    }
    Some((enterprise, parts))
}

/// Flags, then labels, with an empty one at the end if the name is whole (RFC 4704, section 4).
fn full_name(value: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(value);
    let _flags = reader.u8()?;
    let mut labels: Vec<&[u8]> = Vec::new();
    while !reader.is_empty() {
        match reader.vec8()?.rest() {
            [] => break,
            label => labels.push(label),
        }
    }
    Some(labels.join(&b'.')).filter(|name| reader.is_empty() && !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Seen;
    use crate::parse::testing::udp;

    fn option(code: u16, value: &[u8]) -> Vec<u8> {
        [&code.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat()
    }

    /// A message as RFC 8415, section 8, draws it.
    fn message(kind: u8) -> Vec<u8> {
        [
            vec![kind, 0x10, 0x08, 0x74],
            option(1, &[0, 1, 0, 1, 0x1c, 0x39, 0xcf, 0x88, 2, 0, 0, 0, 0, 7]),
            option(8, &[0, 0]),
            option(6, &[0, 23, 0, 24]),
            option(16, b"\x00\x00\x01\x37\x00\x08MSFT 5.0"),
            option(39, b"\x00\x06myhost\x07example\x03com\x00"),
        ]
        .concat()
    }

    fn facts_of(bytes: &[u8]) -> Facts {
        let mut facts = Facts::default();
        let prefix = Prefix { bytes, seen: Seen::default(), last: true, split: false };
        assert_eq!(Dhcpv6.feed(Side::Source, prefix, &mut facts), Progress::NeedBytes(0));
        facts
    }

    #[test]
    fn a_client_says_what_it_is() {
        let facts = facts_of(&message(1));
        let want: [(&'static Field, &str); 5] = [
            (&FQDN, "myhost.example.com"),
            (&VENDOR_CLASS, "MSFT 5.0"),
            (&ENTERPRISE, "311"),
            (&PARAMETERS, "23,24"),
            (&CLIENT_ID, "020000000007"),
        ];
        assert_eq!(facts.len(), want.len());
        for (field, value) in want {
            assert_eq!(facts.first(field).unwrap().text(), value, "{}", field.name);
        }
        assert_eq!(facts_of(&message(7)).len(), 0, "a server");
    }

    #[test]
    fn a_message_that_is_cut_says_nothing_wrong() {
        let (whole, all) = (message(3), facts_of(&message(3)));
        for end in 0..whole.len() {
            let facts = facts_of(&whole[..end]);
            assert!(facts.iter().all(|fact| all.of(fact.field).any(|there| there.value == fact.value)), "cut at {end}");
        }
        for (code, value) in [(6, &b"\x00"[..]), (16, b"\x00\x00\x01"), (39, b"\x00\x06myh"), (39, b"\x00\x00\x01a")] {
            let facts = facts_of(&[vec![1, 0, 0, 0], option(code, value)].concat());
            assert!(facts.flags.has(Flag::ParseError) && facts.iter().next().is_none(), "{code}");
        }
    }

    #[test]
    fn identifiers_of_another_form_are_left_out() {
        assert_eq!(hardware_address(&[0, 3, 0, 1, 2, 0, 0, 0, 0, 7]), Some([2, 0, 0, 0, 0, 7]));
        for identifier in
            [&b"\x00\x02\x00\x00\x01\x37\x01\x02\x03\x04"[..], b"\x00\x03\x00\x01\x02", b"\x00\x03\x00\x20", b""]
        {
            assert_eq!(hardware_address(identifier), None);
        }
    }

    #[test]
    fn only_dhcpv6_is_claimed() {
        let ask = |ports, bytes: &[u8]| claim(&udp(ports, Side::Source, bytes));
        assert_eq!(ask((546, 547), &message(1)), Claim::Yes);
        assert_eq!(ask((546, 547), &message(7)), Claim::Yes);
        assert_eq!(ask((40000, 40001), &message(1)), Claim::No);
        assert_eq!(ask((546, 547), &message(12)), Claim::No, "a relay agent");
        assert_eq!(ask((546, 547), &message(1)[..20]), Claim::No, "half an option");
        assert_eq!(ask((546, 547), &[1, 0, 0, 0]), Claim::No);
        let many = [vec![1, 0, 0, 0], option(8, &[0, 0]).repeat(OPTIONS_MAX + 1)].concat();
        assert_eq!(ask((546, 547), &many), Claim::No);
    }
}
