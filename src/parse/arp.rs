//! ARP for IPv4 over Ethernet: which hardware address has which address.
//!
//! In: frames of EtherType 0x0806, from behind it. Out: the address that the sender says it has. RFC 826 (messages),
//! 5227 (probes, announcements), 1027 (answers for others).
//!
//! Who asks names its own address, and so does who announces one without being asked. Who answers may answer for
//! another: a router that stands in for hosts behind it. [`SENDER`] tells these apart.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::net::Ipv4Addr;

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

/// Address of the sender.
pub static ADDRESS: Field = Field::new("arp.address", Kind::Address, "address that the sender of ARP has", "RFC 826");
/// The same with the hardware address that is said to have it. See [`unpack_sender`].
pub static SENDER: Field = Field::internal(
    "arp.sender",
    "hardware address, address, and whether it can only be the sender's own",
    "RFC 826, RFC 5227",
);

/// ARP.
pub static PROTOCOL: Protocol = Protocol {
    name: "arp",
    over: &[Transport::Frame],
    fields: &[&ADDRESS, &SENDER],
    claim,
    embedded: false,
    parser: |_| Box::new(Arp),
};

/// What a [`SENDER`] fact says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Who has the address.
    pub mac: [u8; 6],
    /// The address.
    pub address: Ipv4Addr,
    /// It asked or announced; else it answered, perhaps for another.
    pub own: bool,
}

/// Reads a [`SENDER`] fact.
pub fn unpack_sender(fact: &[u8]) -> Option<Sender> {
    let (mac, rest) = fact.split_first_chunk::<6>()?;
    let (address, own) = rest.split_first_chunk::<4>()?;
    Some(Sender { mac: *mac, address: Ipv4Addr::from(*address), own: own == [1] })
}

const ETHER_TYPE: u16 = 0x0806;
/// Ethernet, IPv4, and the lengths of their addresses.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

fn claim(&Opening { ports: (_, ether_type), bytes, .. }: &Opening<'_>) -> Claim {
    if ether_type == ETHER_TYPE && Message::parse(bytes).is_some() { Claim::Yes } else { Claim::No }
}

struct Arp;

impl Parser for Arp {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let Some(message) = Message::parse(prefix.bytes) else {
            facts.flags.set(Flag::ParseError);
            return Progress::NeedBytes(0);
        };
        if message.is_of_a_host() {
            let own = message.operation == REQUEST || message.address == message.target;
            let address = message.address.octets();
            let sender = [message.mac.as_slice(), &address, &[u8::from(own)]].concat();
            facts.add(&ADDRESS, side, prefix.seen, &address);
            facts.add(&SENDER, side, prefix.seen, &sender);
        }
        Progress::NeedBytes(0)
    }
}

struct Message {
    operation: u16,
    mac: [u8; 6],
    address: Ipv4Addr,
    target: Ipv4Addr,
}

impl Message {
    fn parse(bytes: &[u8]) -> Option<Message> {
        let mut reader = Reader::new(bytes.strip_prefix(&ETHERNET_IPV4)?);
        let operation = reader.u16().filter(|operation| [REQUEST, REPLY].contains(operation))?;
        let mac = *reader.take(6)?.first_chunk::<6>()?;
        let address = Ipv4Addr::from(reader.u32()?);
        let _target_mac = reader.take(6)?;
        Some(Message { operation, mac, address, target: Ipv4Addr::from(reader.u32()?) })
    }

    /// A probe has no address yet; a group has no host.
    fn is_of_a_host(&self) -> bool {
        let [first, ..] = self.mac;
        let nobody = self.mac == [0; 6] || self.address.is_unspecified() || self.address.is_loopback();
        !nobody && first & 1 == 0 && !self.address.is_multicast() && !self.address.is_broadcast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Seen;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

    /// A message as RFC 826 lays it out.
    fn message(operation: u16, mac: [u8; 6], address: [u8; 4], target: [u8; 4]) -> Vec<u8> {
        [&ETHERNET_IPV4[..], &operation.to_be_bytes(), &mac, &address, &[0; 6], &target].concat()
    }

    fn sender_of(bytes: &[u8]) -> Option<Sender> {
        let mut facts = Facts::default();
        let prefix = Prefix { bytes, seen: Seen::default(), last: true, split: false };
        assert_eq!(Arp.feed(Side::Source, prefix, &mut facts), Progress::NeedBytes(0));
        assert_eq!(facts.has(&ADDRESS), facts.has(&SENDER));
        facts.first(&SENDER).map(|fact| unpack_sender(fact.value).unwrap())
    }

    #[test]
    fn who_asks_or_announces_has_the_address_and_who_answers_may_not() {
        let (ours, theirs) = ([192, 0, 2, 1], [192, 0, 2, 2]);
        let sender = |own| Some(Sender { mac: MAC, address: ours.into(), own });
        assert_eq!(sender_of(&message(1, MAC, ours, theirs)), sender(true), "a question");
        assert_eq!(sender_of(&message(1, MAC, ours, ours)), sender(true), "an announcement");
        assert_eq!(sender_of(&message(2, MAC, ours, ours)), sender(true), "an announcement as an answer");
        assert_eq!(sender_of(&message(2, MAC, ours, theirs)), sender(false), "an answer");
    }

    #[test]
    fn what_no_host_has_is_not_told() {
        for address in [[0, 0, 0, 0], [255, 255, 255, 255], [224, 0, 0, 1], [127, 0, 0, 1]] {
            assert_eq!(sender_of(&message(1, MAC, address, [192, 0, 2, 2])), None, "{address:?}");
        }
        for mac in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
            assert_eq!(sender_of(&message(1, mac, [192, 0, 2, 1], [192, 0, 2, 2])), None, "{mac:?}");
        }
    }

    #[test]
    fn only_whole_arp_is_claimed() {
        let ask = |ether_type, bytes: &[u8]| claim(&Opening::of_frame(ether_type, bytes));
        let whole = message(1, MAC, [192, 0, 2, 1], [192, 0, 2, 2]);
        assert_eq!(ask(0x0806, &whole), Claim::Yes);
        assert_eq!(ask(0x0806, &[&whole[..], &[0; 18]].concat()), Claim::Yes, "filled up to the shortest frame");
        assert_eq!(ask(0x0800, &whole), Claim::No);
        for end in 0..whole.len() {
            assert_eq!(ask(0x0806, &whole[..end]), Claim::No, "cut at {end}");
            assert_eq!(sender_of(&whole[..end]), None);
        }
        // RARP has the operations 3 and 4.
        assert_eq!(ask(0x0806, &message(3, MAC, [192, 0, 2, 1], [192, 0, 2, 2])), Claim::No);
    }
}
