//! DHCP for IPv4, between clients, relay agents and servers.
//!
//! In: datagrams. Out: what a client says of itself (host name, vendor class, the options it asks for) and which address
//! it has. RFC 2131 (messages), 2132 (options), 3396 (long options), 4702 (FQDN).
//!
//! Clients without an address all speak as 0.0.0.0, and so in one flow: [`CLIENT`] says which hardware address said
//! what. Options that do not end as they must say nothing, because the end of a long one may be missing.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Seen, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, is_at};

/// Host name that a client gives itself.
pub static HOSTNAME: Field =
    Field::new("dhcp.hostname", Kind::Name, "host name of a DHCP client (option 12)", "RFC 2132 section 3.14");
/// Full name that a client wants to have in DNS.
pub static FQDN: Field =
    Field::new("dhcp.fqdn", Kind::Name, "name a DHCP client wants in DNS (option 81)", "RFC 4702 section 2");
/// What a client says it is.
pub static VENDOR_CLASS: Field =
    Field::new("dhcp.vendor_class", Kind::Text, "vendor class of a DHCP client (option 60)", "RFC 2132 section 9.13");
/// Numbers of the options a client asks for, in its order: `1,3,6`.
pub static PARAMETERS: Field = Field::new(
    "dhcp.parameters",
    Kind::Text,
    "options a DHCP client asks for (option 55), in its order",
    "RFC 2132 section 9.8",
);
/// Hardware address in the client identifier. Identifiers of another form may name a person and are left out.
pub static CLIENT_ID: Field = Field::new(
    "dhcp.client_id",
    Kind::Hex,
    "client identifier of DHCP (option 61), if it is an Ethernet address",
    "RFC 2132 section 9.14",
);
/// Address that a server gave a client, or that a client says it has.
pub static ADDRESS: Field =
    Field::new("dhcp.address", Kind::Address, "address that a DHCP client has", "RFC 2131 section 2");
/// The agent that carries messages from another network.
pub static RELAY: Field =
    Field::new("dhcp.relay", Kind::Address, "address of the DHCP relay agent", "RFC 2131 section 2");
/// Which client a value belongs to. See [`unpack_client`].
pub static CLIENT: Field = Field::internal(
    "dhcp.client",
    "hardware address of a client, a place in the list of client fields, and the value",
    "RFC 2131 section 2",
);

/// DHCP.
pub static PROTOCOL: Protocol = Protocol {
    name: "dhcp",
    over: &[Transport::Udp],
    fields: &[&HOSTNAME, &FQDN, &VENDOR_CLASS, &PARAMETERS, &CLIENT_ID, &ADDRESS, &RELAY, &CLIENT],
    claim,
    embedded: false,
    parser: |_| Box::new(Dhcp),
};

/// Fields that [`CLIENT`] repeats, in the order of its numbers.
static OF_CLIENT: &[&Field] = &[&HOSTNAME, &FQDN, &VENDOR_CLASS, &PARAMETERS, &ADDRESS];

/// What a [`CLIENT`] fact says: the client, the field and the value in the form of that field.
pub fn unpack_client(fact: &[u8]) -> Option<([u8; 6], &'static Field, &[u8])> {
    let (mac, rest) = fact.split_first_chunk::<6>()?;
    let (place, value) = rest.split_first()?;
    Some((*mac, OF_CLIENT.get(usize::from(*place))?, value))
}

const PORTS: [u16; 2] = [67, 68];
/// From the operation to the end of the boot file name.
const HEADER_BYTES: usize = 236;
const SERVER_NAME_BYTES: usize = 64;
const FILE_BYTES: usize = 128;
const CLIENT_ADDRESS_BYTES: usize = 16;
const MAGIC_COOKIE: u32 = 0x6382_5363;
/// Bytes of one option, put together from its parts; one that reaches it is left out.
const OPTION_BYTES_MAX: usize = 1024;

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ETHERNET: u8 = 1;
const ETHERNET_BYTES: u8 = 6;

/// Codes of options (RFC 2132).
mod code {
    pub const PAD: u8 = 0;
    pub const HOSTNAME: u8 = 12;
    pub const OVERLOAD: u8 = 52;
    pub const MESSAGE: u8 = 53;
    pub const PARAMETERS: u8 = 55;
    pub const VENDOR_CLASS: u8 = 60;
    pub const CLIENT_ID: u8 = 61;
    pub const FQDN: u8 = 81;
    pub const END: u8 = 255;
}

/// Message types (RFC 2132, section 9.6).
mod kind {
    pub const REQUEST: u8 = 3;
    pub const ACK: u8 = 5;
    pub const INFORM: u8 = 8;
}

/// The magic cookie stands at its place; on a port that is not DHCP's, all options must fit too.
fn claim(&Opening { ports, bytes, .. }: &Opening<'_>) -> Claim {
    let Some(message) = Message::parse(bytes) else { return Claim::No };
    let known_port = is_at(ports, &PORTS);
    if known_port || message.options().is_some_and(|options| options.message().is_some()) {
        Claim::Yes
    } else {
        Claim::No
    }
}

struct Dhcp;

impl Parser for Dhcp {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let message = Message::parse(prefix.bytes);
        match message.and_then(|message| Some((message, message.options()?))) {
            Some((message, options)) => read(message, &options, side, prefix.seen, facts),
            None => facts.flags.set(Flag::ParseError),
        }
        Progress::NeedBytes(0)
    }
}

/// The fixed part of a message, and the three places where options may stand.
#[derive(Clone, Copy)]
struct Message<'a> {
    operation: u8,
    /// Hardware address of the client, when it is an Ethernet one.
    client: Option<[u8; 6]>,
    /// The address that the client says it has.
    has: [u8; 4],
    /// The address that the server gives it.
    gets: [u8; 4],
    relay: [u8; 4],
    server_name: &'a [u8],
    file: &'a [u8],
    options: &'a [u8],
}

impl<'a> Message<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Message<'a>> {
        let mut cookie = Reader::new(bytes.get(HEADER_BYTES..)?);
        if cookie.u32()? != MAGIC_COOKIE {
            return None;
        }
        let mut reader = Reader::new(bytes);
        let operation = reader.u8().filter(|operation| [REQUEST, REPLY].contains(operation))?;
        let (hardware, length, _hops) = (reader.u8()?, reader.u8()?, reader.u8()?);
        if usize::from(length) > CLIENT_ADDRESS_BYTES {
            return None;
        }
        let (_transaction, _seconds, _flags) = (reader.u32()?, reader.u16()?, reader.u16()?);
        let [has, gets, _server, relay] = [(); 4].map(|()| reader.u32().unwrap_or(0).to_be_bytes());
        let client = reader.take(CLIENT_ADDRESS_BYTES)?.first_chunk::<6>().copied();
        let is_ethernet = hardware == ETHERNET && length == ETHERNET_BYTES;
        Some(Message {
            operation,
            client: client.filter(|mac| is_ethernet && is_one_host(mac)),
            has,
            gets,
            relay,
            server_name: reader.take(SERVER_NAME_BYTES)?,
            file: reader.take(FILE_BYTES)?,
            options: cookie.rest(),
        })
    }

    /// All options; `None` when some part does not end as it must.
    fn options(&self) -> Option<Options> {
        let mut options = Options::default();
        options.read(self.options)?;
        let overload = options.first(code::OVERLOAD).unwrap_or(0);
        // In this order: what continues an option stands behind it (RFC 3396, section 5).
        for (bit, place) in [(1, self.file), (2, self.server_name)] {
            if overload & bit != 0 {
                options.read(place)?;
            }
        }
        Some(options)
    }
}

/// Neither nobody nor a group.
fn is_one_host(mac: &[u8; 6]) -> bool {
    let [first, ..] = mac;
    first & 1 == 0 && *mac != [0; 6]
}

/// The options that are looked at, each put together from its parts.
#[derive(Default)]
struct Options {
    values: Vec<(u8, Vec<u8>)>,
    too_long: bool,
}

impl Options {
    const WANTED: [u8; 7] = [
        code::HOSTNAME,
        code::OVERLOAD,
        code::MESSAGE,
        code::PARAMETERS,
        code::VENDOR_CLASS,
        code::CLIENT_ID,
        code::FQDN,
    ];

    /// Adds the options of one place up to its end mark.
    fn read(&mut self, place: &[u8]) -> Option<()> {
        let mut reader = Reader::new(place);
        loop {
            match reader.u8()? {
                code::PAD => {}
                code::END => return Some(()),
                code => {
                    let part = reader.vec8()?.rest();
                    if Options::WANTED.contains(&code) {
                        self.add(code, part);
                    }
                }
            }
        }
    }

    fn add(&mut self, code: u8, part: &[u8]) {
        match self.values.iter_mut().find(|(there, _)| *there == code) {
            Some((_, value)) if value.len().saturating_add(part.len()) >= OPTION_BYTES_MAX => {
                // No shorter value takes its place.
                value.resize(OPTION_BYTES_MAX, 0);
                self.too_long = true;
            }
            Some((_, value)) => value.extend_from_slice(part),
            None => self.values.push((code, part.to_vec())),
        }
    }

    /// The value of an option, without the zeros that some clients end it with.
    fn text(&self, code: u8) -> Option<&[u8]> {
        let value = self.get(code)?;
        let end = value.iter().rposition(|byte| *byte != 0)?;
        value.get(..=end)
    }

    fn get(&self, code: u8) -> Option<&[u8]> {
        let (_, value) = self.values.iter().find(|(there, _)| *there == code)?;
        Some(value.as_slice()).filter(|value| value.len() < OPTION_BYTES_MAX)
    }

    fn first(&self, code: u8) -> Option<u8> {
        self.get(code)?.first().copied()
    }

    fn message(&self) -> Option<u8> {
        self.first(code::MESSAGE)
    }
}

/// Adds values, those of a known client also under its hardware address.
struct Told<'f> {
    client: Option<[u8; 6]>,
    side: Side,
    seen: Seen,
    facts: &'f mut Facts,
}

impl Told<'_> {
    fn add(&mut self, field: &'static Field, value: &[u8]) {
        self.facts.add(field, self.side, self.seen, value);
        let place = OF_CLIENT.iter().position(|known| *known == field);
        if let (Some(mac), Some(place)) = (self.client, place) {
            let packed = [&mac, [place as u8].as_slice(), value].concat();
            self.facts.add(&CLIENT, self.side, self.seen, &packed);
        }
    }
}

fn read(message: Message<'_>, options: &Options, side: Side, seen: Seen, facts: &mut Facts) {
    if options.too_long {
        facts.flags.set(Flag::LimitReached);
    }
    let mut told = Told { client: message.client, side, seen, facts };
    if message.relay != [0; 4] {
        told.add(&RELAY, &message.relay);
    }
    let address = match (message.operation, options.message()) {
        (REQUEST, Some(kind::REQUEST | kind::INFORM)) => message.has,
        (REPLY, Some(kind::ACK)) => message.gets,
        _ => [0; 4],
    };
    if address != [0; 4] {
        told.add(&ADDRESS, &address);
    }
    // What a server says in these options speaks of itself, or repeats the client.
    if message.operation != REQUEST {
        return;
    }
    for (field, code) in [(&HOSTNAME, code::HOSTNAME), (&VENDOR_CLASS, code::VENDOR_CLASS)] {
        if let Some(text) = options.text(code) {
            told.add(field, text);
        }
    }
    if let Some(list) = options.get(code::PARAMETERS).filter(|list| !list.is_empty()) {
        let numbers: Vec<String> = list.iter().map(u8::to_string).collect();
        told.add(&PARAMETERS, numbers.join(",").as_bytes());
    }
    if let Some(name) = options.text(code::FQDN).and_then(full_name) {
        told.add(&FQDN, &name);
    }
    if let Some([ETHERNET, mac @ ..]) = options.get(code::CLIENT_ID)
        && let Ok(mac) = <[u8; 6]>::try_from(mac)
        && is_one_host(&mac)
    {
        told.add(&CLIENT_ID, &mac);
    }
}

/// The name in the FQDN option: flags, two codes nobody uses, then text or DNS labels (RFC 4702, section 2).
fn full_name(option: &[u8]) -> Option<Vec<u8>> {
    const LABELS: u8 = 0x04;
    let [flags, _, _, name @ ..] = option else { return None };
    if flags & LABELS == 0 {
        return Some(name.to_vec()).filter(|name| !name.is_empty());
    }
    // The zeros behind the name were taken off, and with them the empty label that ends it.
    let mut reader = Reader::new(name);
    let mut labels: Vec<&[u8]> = Vec::new();
    while !reader.is_empty() {
        labels.push(reader.vec8()?.rest());
    }
    Some(labels.join(&b'.')).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::value;
    use crate::parse::testing::udp;

    const MAC: [u8; 6] = [0x02, 0, 0, 0, 0x12, 0x34];

    /// A message as RFC 2131, figure 1, draws it, with these options behind the cookie.
    fn message(operation: u8, has: [u8; 4], gets: [u8; 4], options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![operation, 1, 6, 0, 0x39, 3, 0xf3, 0x26, 0, 0, 0, 0];
        for address in [has, gets, [0; 4], [0; 4]] {
            bytes.extend_from_slice(&address);
        }
        bytes.extend_from_slice(&MAC);
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
        bytes.extend_from_slice(options);
        bytes
    }

    fn option(code: u8, value: &[u8]) -> Vec<u8> {
        [&[code, value.len() as u8], value].concat()
    }

    fn facts_of(bytes: &[u8]) -> Facts {
        let mut facts = Facts::default();
        let prefix = Prefix { bytes, seen: Seen::default(), last: true, split: false };
        assert_eq!(Dhcp.feed(Side::Source, prefix, &mut facts), Progress::NeedBytes(0));
        facts
    }

    fn texts(facts: &Facts, field: &'static Field) -> Vec<String> {
        facts.of(field).map(|fact| value::text(&fact)).collect()
    }

    fn discover() -> Vec<u8> {
        [
            option(53, &[1]),
            option(12, b"printer-7\0"),
            option(60, b"MSFT 5.0"),
            option(55, &[1, 3, 6, 15, 119]),
            option(61, &[&[1], MAC.as_slice()].concat()),
            option(81, b"\x00\x00\x00printer-7.example"),
            vec![255],
        ]
        .concat()
    }

    #[test]
    fn a_client_says_what_it_is() {
        let facts = facts_of(&message(REQUEST, [0; 4], [0; 4], &discover()));
        assert_eq!(texts(&facts, &HOSTNAME), ["printer-7"]);
        assert_eq!(texts(&facts, &VENDOR_CLASS), ["MSFT 5.0"]);
        assert_eq!(texts(&facts, &PARAMETERS), ["1,3,6,15,119"]);
        assert_eq!(texts(&facts, &CLIENT_ID), ["020000001234"]);
        assert_eq!(texts(&facts, &FQDN), ["printer-7.example"]);
        assert!(!facts.has(&ADDRESS) && !facts.has(&RELAY));
        let of_client: Vec<_> = facts.of(&CLIENT).map(|fact| unpack_client(fact.value).unwrap()).collect();
        assert_eq!(of_client.len(), 4);
        assert!(of_client.iter().all(|(mac, ..)| *mac == MAC));
        assert!(of_client.contains(&(MAC, &VENDOR_CLASS, b"MSFT 5.0")));
    }

    #[test]
    fn a_client_identifier_of_another_form_is_not_kept() {
        for identifier in [&b"\x00person@example"[..], b"\xff\x00\x00\x00\x01\x00\x01", b"\x01\x01\x02\x03\x04\x05\x06"]
        {
            let options = [option(53, &[1]), option(61, identifier), vec![255]].concat();
            assert!(!facts_of(&message(REQUEST, [0; 4], [0; 4], &options)).has(&CLIENT_ID));
        }
    }

    #[test]
    fn a_server_gives_an_address_and_says_nothing_of_the_client() {
        let options = [option(53, &[5]), option(60, b"PXEClient"), option(12, b"given"), vec![255]].concat();
        let facts = facts_of(&message(REPLY, [0; 4], [192, 0, 2, 7], &options));
        assert_eq!(texts(&facts, &ADDRESS), ["192.0.2.7"]);
        assert_eq!(facts.of(&CLIENT).count(), 1);
        assert!(!facts.has(&VENDOR_CLASS) && !facts.has(&HOSTNAME));
        // An offer is no lease yet.
        let offer = [option(53, &[2]), vec![255]].concat();
        assert!(!facts_of(&message(REPLY, [0; 4], [192, 0, 2, 7], &offer)).has(&ADDRESS));
    }

    #[test]
    fn a_client_that_renews_has_its_address() {
        let options = [option(53, &[3]), vec![255]].concat();
        assert_eq!(texts(&facts_of(&message(REQUEST, [192, 0, 2, 7], [0; 4], &options)), &ADDRESS), ["192.0.2.7"]);
    }

    #[test]
    fn options_continue_in_the_fields_for_names() {
        let mut bytes = message(
            REQUEST,
            [0; 4],
            [0; 4],
            &[option(52, &[3]), option(53, &[1]), option(60, b"lo"), vec![255]].concat(),
        );
        let file = [option(60, b"ng "), vec![255]].concat();
        let server_name = [option(60, b"class"), option(12, b"here"), vec![255]].concat();
        bytes[108..108 + file.len()].copy_from_slice(&file);
        bytes[44..44 + server_name.len()].copy_from_slice(&server_name);
        let facts = facts_of(&bytes);
        assert_eq!(texts(&facts, &VENDOR_CLASS), ["long class"]);
        assert_eq!(texts(&facts, &HOSTNAME), ["here"]);
        // Without the overload option these fields hold names.
        bytes[240 + 2] = 0;
        assert_eq!(texts(&facts_of(&bytes), &VENDOR_CLASS), ["lo"]);
        // A field that does not end may have lost a part.
        bytes[240 + 2] = 1;
        bytes[108 + file.len() - 1] = 0;
        let facts = facts_of(&bytes);
        assert!(!facts.has(&VENDOR_CLASS) && facts.flags.has(Flag::ParseError));
    }

    #[test]
    fn a_long_option_is_put_together_or_left_out() {
        let long = [b'x'; 255];
        let options = |parts: usize| {
            let parts: Vec<u8> = (0..parts).flat_map(|_| option(60, &long)).collect();
            [option(53, &[1]), parts, option(60, b"end"), vec![255]].concat()
        };
        let facts = facts_of(&message(REQUEST, [0; 4], [0; 4], &options(2)));
        assert_eq!(facts.first(&VENDOR_CLASS).unwrap().value.len(), 513);
        let facts = facts_of(&message(REQUEST, [0; 4], [0; 4], &options(200)));
        assert!(!facts.has(&VENDOR_CLASS) && facts.flags.has(Flag::LimitReached));
    }

    #[test]
    fn a_message_that_is_cut_says_nothing_wrong() {
        let whole = message(REQUEST, [0; 4], [0; 4], &discover());
        for end in 0..whole.len() {
            let facts = facts_of(&whole[..end]);
            assert_eq!(facts.len(), 0, "cut at {end}");
            assert!(facts.flags.has(Flag::ParseError));
        }
    }

    #[test]
    fn only_dhcp_is_claimed() {
        let bytes = message(REQUEST, [0; 4], [0; 4], &discover());
        let ask = |ports, bytes: &[u8]| claim(&udp(ports, Side::Source, bytes));
        assert_eq!(ask((68, 67), &bytes), Claim::Yes);
        assert_eq!(ask((40000, 40001), &bytes), Claim::Yes, "by content");
        assert_eq!(ask((40000, 40001), &bytes[..250]), Claim::No, "but then all of it");
        assert_eq!(ask((68, 67), &bytes[..250]), Claim::Yes);
        assert_eq!(ask((68, 67), &bytes[..239]), Claim::No);
        for (at, byte) in [(0, 3), (2, 17), (236, 0)] {
            let mut wrong = bytes.clone();
            wrong[at] = byte;
            assert_eq!(ask((68, 67), &wrong), Claim::No, "byte {at}");
        }
    }

    #[test]
    fn a_name_in_labels_reads_like_text() {
        // A name in both encodings of RFC 4702, section 2.3.
        assert_eq!(full_name(b"\x04\x00\x00\x06myhost\x07example\x03com").unwrap(), b"myhost.example.com");
        assert_eq!(full_name(b"\x00\x00\x00myhost.example.com.").unwrap(), b"myhost.example.com.");
        assert_eq!(full_name(b"\x04\x00\x00\x06myho"), None);
        assert_eq!(full_name(b"\x00\x00\x00"), None);
    }
}
