#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

use crate::parse::testing::{tcp, udp};
use proptest::prelude::*;

use super::*;
use crate::fact::Seen;

fn counted(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

/// A message laid out as RFC 2608, 8 has it, with the language "en".
fn slp(function: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let length = ((HEADER_BYTES + 2 + body.len()) as u32).to_be_bytes();
    let head = [&[VERSION, function][..], &length[1..], &[0, 0], &[0, 0, 0], &[0x12, 0x34]].concat();
    [head, counted("en"), body].concat()
}

/// What an ESXi host answers: values as a public scan of such hosts prints them.
const PRODUCT: &str = "(product=\"VMware ESXi 6.5.0 build-17097218\"),\
    (hardwareUuid=\"30313436-3631-584D-5133-343230505032\")";
const ESXI_URL: &str = "service:VMwareInfrastructure://esx07.example.com";

fn attribute_reply() -> Vec<u8> {
    slp(7, &[&[0, 0], &counted(PRODUCT), &[0]])
}

fn url_entry(url: &str) -> Vec<u8> {
    [&[0, 0xff, 0xff][..], &counted(url), &[0]].concat()
}

fn prefix(bytes: &[u8], last: bool) -> Prefix<'_> {
    Prefix { bytes, seen: Seen::default(), last, split: false }
}

fn read(datagram: &[u8]) -> Facts {
    let mut facts = Facts::default();
    let mut parser = (PROTOCOL.parser)(Transport::Udp);
    assert_eq!(parser.feed(Side::Destination, prefix(datagram, true), &mut facts), Progress::NeedBytes(0));
    facts
}

fn values(facts: &Facts, field: &'static Field) -> Vec<String> {
    facts.of(field).map(|fact| fact.text()).collect()
}

#[test]
fn an_esxi_host_tells_its_build() {
    let reply = attribute_reply();
    assert_eq!(claim(&udp((427, 50000), Side::Destination, &reply)), Claim::Yes);
    let facts = read(&reply);
    let found = values(&facts, &ATTRIBUTE);
    assert!(found.contains(&"product=\"VMware ESXi 6.5.0 build-17097218\"".to_owned()), "{found:?}");
    assert!(found.contains(&"hardwareUuid=\"30313436-3631-584D-5133-343230505032\"".to_owned()), "{found:?}");
    assert_eq!(found.len(), 2);
}

#[test]
fn what_is_offered_and_what_is_asked_for_differ() {
    let empty = counted("");
    let request = slp(1, &[&empty, &counted("service:VMwareInfrastructure"), &counted("DEFAULT"), &empty, &empty]);
    assert_eq!(values(&read(&request), &REQUEST), ["service:VMwareInfrastructure"]);
    let reply = slp(2, &[&[0, 0], &[0, 1], &url_entry(ESXI_URL)]);
    assert_eq!(values(&read(&reply), &URL), [ESXI_URL]);
    let types = slp(10, &[&[0, 0], &counted("service:VMwareInfrastructure,service:wbem:https")]);
    assert_eq!(values(&read(&types), &SERVICE_TYPE), ["service:VMwareInfrastructure", "service:wbem:https"]);
    let question = slp(6, &[&empty, &counted(ESXI_URL), &counted("DEFAULT"), &counted("product"), &empty]);
    assert_eq!(claim(&udp((50000, 427), Side::Source, &question)), Claim::Yes);
    assert_eq!(read(&question).len(), 0, "the URL belongs to the other side");
}

#[test]
fn registrations_and_announcements() {
    let parts: [&[u8]; 5] = [
        &url_entry(ESXI_URL),
        &counted("service:VMwareInfrastructure"),
        &counted("DEFAULT"),
        &counted("(a=1,2),flag,(b=x)"),
        &[0],
    ];
    let facts = read(&slp(3, &parts));
    assert_eq!(values(&facts, &URL), [ESXI_URL]);
    assert_eq!(values(&facts, &SERVICE_TYPE), ["service:VMwareInfrastructure"]);
    assert_eq!(values(&facts, &ATTRIBUTE), ["a=1,2", "flag", "b=x"]);
    let agent = slp(11, &[&counted("service:service-agent://10.0.0.1"), &counted("DEFAULT"), &counted(""), &[0]]);
    assert_eq!(values(&read(&agent), &URL), ["service:service-agent://10.0.0.1"]);
    // An authentication block of eight bytes behind a URL.
    let signed = [&[0, 0, 60][..], &counted(ESXI_URL), &[1], &[0, 2, 0, 8, 1, 2, 3, 4]].concat();
    assert_eq!(values(&read(&slp(2, &[&[0, 0], &[0, 1], &signed])), &URL), [ESXI_URL]);
}

/// Messages of RFC 2608 that tell nothing, or only that it did not work, are known by their layout; a directory tells
/// where it is.
#[test]
fn messages_of_every_other_kind() {
    let (empty, scope) = (counted(""), counted("DEFAULT"));
    let silent = [
        // 10.6: a registration ends. 8.4: acknowledgement. 10.1: request for types, of all authorities and of one.
        slp(4, &[&scope, &url_entry(ESXI_URL), &empty]),
        slp(5, &[&[0, 0]]),
        slp(9, &[&empty, &[0xff, 0xff], &scope]),
        slp(9, &[&empty, &counted("iana"), &scope]),
        // An error, and nothing behind it (section 7).
        slp(2, &[&[0, 4]]),
        slp(7, &[&[0, 4]]),
        slp(10, &[&[0, 4]]),
    ];
    for bytes in &silent {
        assert_eq!(claim(&udp((427, 50000), Side::Destination, bytes)), Claim::Yes, "{bytes:02x?}");
        let facts = read(bytes);
        assert!(facts.is_empty() && !facts.flags.has(Flag::ParseError), "{bytes:02x?}");
        assert_eq!(
            claim(&udp((427, 50000), Side::Destination, &[&bytes[..4], &[bytes[4] + 1], &bytes[5..], &[0]].concat())),
            Claim::No
        );
    }
    // 8.5: error, time of boot, URL, scopes, attributes, security parameters, no authentication.
    let parts: [&[u8]; 7] = [
        &[0, 0],
        &[0x5f, 0, 0, 1],
        &counted("service:directory-agent://10.0.0.9"),
        &scope,
        &counted("(a=b)"),
        &empty,
        &[0],
    ];
    let facts = read(&slp(8, &parts));
    assert_eq!(values(&facts, &URL), ["service:directory-agent://10.0.0.9"]);
    assert_eq!(values(&facts, &ATTRIBUTE), ["a=b"]);
    assert_eq!(claim(&udp((427, 50000), Side::Destination, &slp(12, &[&[0, 0]]))), Claim::No);
}

#[test]
fn a_message_cut_anywhere_gives_nothing() {
    let reply = attribute_reply();
    for cut in 0..reply.len() {
        for port in [427, 9000] {
            assert_eq!(claim(&udp((port, 50000), Side::Destination, &reply[..cut])), Claim::No, "{cut} bytes");
            let part = claim(&tcp((port, 50000), Side::Destination, &reply[..cut]));
            assert!(matches!(part, Claim::NeedBytes(wanted) if wanted > cut), "{cut} bytes");
        }
        assert_eq!(read(&reply[..cut]).len(), 0);
    }
}

#[test]
fn a_stream_of_messages_byte_by_byte() {
    let stream = [attribute_reply(), slp(2, &[&[0, 0], &[0, 1], &url_entry(ESXI_URL)])].concat();
    for port in [427, 9000] {
        assert_eq!(claim(&tcp((port, 50000), Side::Destination, &stream)), Claim::Yes);
    }
    let mut parser = (PROTOCOL.parser)(Transport::Tcp);
    let mut facts = Facts::default();
    for cut in 1..=stream.len() {
        let progress = parser.feed(Side::Destination, prefix(&stream[..cut], false), &mut facts);
        assert!(matches!(progress, Progress::NeedBytes(wanted) if wanted > cut), "{cut}: {progress:?}");
    }
    assert_eq!(values(&facts, &URL), [ESXI_URL]);
    assert_eq!(values(&facts, &ATTRIBUTE).len(), 2);
    assert!(!facts.flags.has(Flag::ParseError));
}

#[test]
fn damaged_messages_are_refused() {
    let good = attribute_reply();
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    // Version, function, length, a reserved flag, language, length of the list, control character.
    for damaged in
        [with(0, 1), with(1, 12), with(1, 0), with(4, 9), with(6, 1), with(14, b' '), with(19, 0xff), with(25, 7)]
    {
        assert_ne!(claim(&udp((427, 50000), Side::Destination, &damaged)), Claim::Yes);
        assert_eq!(read(&damaged).len(), 0);
    }
    let behind = [&good[..], b"x"].concat();
    assert_eq!(claim(&udp((9000, 50000), Side::Destination, &behind)), Claim::No);
}

#[test]
fn an_extension_stands_behind_the_body() {
    let mut bytes = attribute_reply();
    let at = (bytes.len() as u32).to_be_bytes();
    bytes[7..10].copy_from_slice(&at[1..]);
    bytes.extend_from_slice(&[0x40, 1, 0, 0, 0]);
    let length = (bytes.len() as u32).to_be_bytes();
    bytes[2..5].copy_from_slice(&length[1..]);
    assert_eq!(values(&read(&bytes), &ATTRIBUTE).len(), 2);
    bytes[9] = 3;
    assert_eq!(read(&bytes).len(), 0);
}

#[test]
fn many_values_are_limited() {
    let list = "(a=b),".repeat(VALUES_MAX + 1);
    let facts = read(&slp(7, &[&[0, 0], &counted(&list), &[0]]));
    assert!(facts.flags.has(Flag::LimitReached));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        noise in prop::collection::vec(any::<u8>(), 0..64),
        at in 0usize..100,
        cut in 0usize..200,
        stream: bool,
    ) {
        let mut bytes = attribute_reply();
        let at = at.min(bytes.len());
        bytes.splice(at..at, noise.iter().copied());
        bytes.truncate(cut);
        let mut facts = Facts::default();
        let transport = if stream { Transport::Tcp } else { Transport::Udp };
        let mut parser = (PROTOCOL.parser)(transport);
        claim(&udp((427, 1), Side::Source, &bytes));
        claim(&tcp((427, 1), Side::Source, &bytes));
        parser.feed(Side::Source, prefix(&bytes, false), &mut facts);
        parser.feed(Side::Source, prefix(&bytes, true), &mut facts);
    }
}

/// A message up to the limit is claimed and read, a longer one is not.
#[test]
fn bytes_of_a_message() {
    let reply = |bytes: usize| {
        let rest = bytes - slp(7, &[&[0, 0], &counted(""), &[0]]).len();
        slp(7, &[&[0, 0], &counted(&format!("(a={})", "x".repeat(rest - 4))), &[0]])
    };
    for (bytes, read_it) in [(MESSAGE_BYTES_MAX, true), (MESSAGE_BYTES_MAX + 1, false)] {
        let message = reply(bytes);
        assert_eq!(message.len(), bytes);
        assert_eq!(claim(&udp((427, 50000), Side::Destination, &message)) == Claim::Yes, read_it);
        let facts = read(&message);
        assert_eq!((facts.has(&ATTRIBUTE), facts.flags.has(Flag::ParseError)), (read_it, !read_it));
    }
}

/// Messages of a stream and datagrams of a flow are read up to a limit; of more it is said.
#[test]
fn messages_of_a_flow() {
    let many = vec![attribute_reply(); MESSAGES_MAX as usize];
    let beyond = slp(2, &[&[0, 0], &[0, 1], &url_entry(ESXI_URL)]);
    let stream = [many.concat(), beyond.clone()].concat();
    let mut parser = (PROTOCOL.parser)(Transport::Tcp);
    let mut facts = Facts::default();
    let end = stream.len() - beyond.len();
    assert!(matches!(
        parser.feed(Side::Destination, prefix(&stream[..end], false), &mut facts),
        Progress::NeedBytes(_)
    ));
    assert!(!facts.flags.has(Flag::LimitReached));
    assert_eq!(parser.feed(Side::Destination, prefix(&stream, false), &mut facts), Progress::AllDone);
    assert!(facts.flags.has(Flag::LimitReached) && !facts.has(&URL));
    let mut parser = (PROTOCOL.parser)(Transport::Udp);
    let mut facts = Facts::default();
    for datagram in &many {
        assert_eq!(parser.feed(Side::Destination, prefix(datagram, true), &mut facts), Progress::NeedBytes(0));
    }
    assert!(!facts.flags.has(Flag::LimitReached));
    assert_eq!(parser.feed(Side::Destination, prefix(&beyond, true), &mut facts), Progress::AllDone);
    assert!(facts.flags.has(Flag::LimitReached) && !facts.has(&URL));
}
