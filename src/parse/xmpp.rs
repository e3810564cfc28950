//! XMPP, and TLS behind STARTTLS.
//!
//! In: the prefixes of both sides. Out: the host that the client asks for in the head of its stream. Stanzas, names
//! of users and credentials are not kept. No byte of XML is a control character except tab and line ends, and TLS
//! begins with one: that shows the upgrade without a look at stanzas.
//! Source: RFC 6120, sections 4 and 5.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::fact::{Facts, Field, Flag, Kind, Side};
use crate::parse::inner::Inner;
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

/// Host in the head of the stream of the side that opened the flow.
pub static HOST: Field =
    Field::new("xmpp.host", Kind::Name, "host an XMPP stream is opened to", "RFC 6120 section 4.7.2");

/// XMPP.
pub static PROTOCOL: Protocol = Protocol {
    name: "xmpp",
    over: &[Transport::Tcp],
    fields: &[&HOST],
    claim: |&Opening { bytes, .. }| claim(bytes),
    embedded: false,
    parser: |_| Box::new(Xmpp { inner: Inner::tls(), scanned: [0; 2], headed: [false; 2] }),
};

/// Bytes up to the end of the head of a stream.
const HEAD_BYTES_MAX: usize = 2048;
/// Bytes of a side in which TLS must begin.
const SCAN_BYTES_MAX: usize = 16 * 1024;
const DECLARATION: &[u8] = b"<?xml";
const STREAM: &[u8] = b"<stream:stream";
/// RFC 6120 section 4.8.1.
const NAMESPACE: &[u8] = b"http://etherx.jabber.org/streams";

fn claim(bytes: &[u8]) -> Claim {
    match stream_head(bytes) {
        Head::Is(head) if find(head, NAMESPACE).is_some() => Claim::Yes,
        Head::Is(_) | Head::Other => Claim::No,
        Head::Cut if bytes.len() >= HEAD_BYTES_MAX => Claim::No,
        Head::Cut => Claim::NeedBytes(bytes.len().saturating_add(1)),
    }
}

/// The first tag behind an XML declaration.
enum Head<'a> {
    Cut,
    Other,
    Is(&'a [u8]),
}

fn stream_head(bytes: &[u8]) -> Head<'_> {
    let mut rest = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes).trim_ascii_start();
    if rest.starts_with(DECLARATION) {
        let Some(end) = find(rest, b"?>") else { return Head::Cut };
        rest = rest.get(end.saturating_add(2)..).unwrap_or_default().trim_ascii_start();
    } else if DECLARATION.starts_with(rest) {
        return Head::Cut;
    }
    if !rest.starts_with(STREAM) {
        return if STREAM.starts_with(rest) { Head::Cut } else { Head::Other };
    }
    match rest.iter().position(|byte| *byte == b'>') {
        Some(end) => Head::Is(rest.get(STREAM.len()..end).unwrap_or_default()),
        None => Head::Cut,
    }
}

fn find(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes.windows(word.len().max(1)).position(|part| part == word)
}

/// The value of an attribute of a tag.
fn attribute<'a>(tag: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = tag;
    loop {
        let start = rest.trim_ascii_start();
        let equals = start.iter().position(|byte| *byte == b'=')?;
        let (found, value) = start.split_at_checked(equals)?;
        let value = value.get(1..)?.trim_ascii_start();
        let (quote, value) = value.split_first().filter(|(quote, _)| matches!(quote, b'"' | b'\''))?;
        let end = value.iter().position(|byte| byte == quote)?;
        let (value, behind) = value.split_at_checked(end)?;
        if found.trim_ascii() == name {
            return Some(value);
        }
        rest = behind.get(1..)?;
    }
}

struct Xmpp {
    inner: Inner,
    /// Offset up to which each side is known to be text.
    scanned: [usize; 2],
    /// The head of the stream was read, or is none.
    headed: [bool; 2],
}

impl Parser for Xmpp {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if self.inner.has_begun(side) {
            return self.inner.feed(side, prefix, facts);
        }
        let scanned = side.of_mut(&mut self.scanned);
        let unread = prefix.bytes.get(*scanned..).unwrap_or_default();
        let found = unread.iter().position(|byte| *byte < b' ' && !byte.is_ascii_whitespace());
        *scanned = scanned.saturating_add(found.unwrap_or(unread.len()));
        let at = *scanned;
        let text = prefix.bytes.get(..at).unwrap_or_default();
        let headed = side.of_mut(&mut self.headed);
        if !*headed {
            match stream_head(text) {
                Head::Cut if text.len() < HEAD_BYTES_MAX => {}
                Head::Is(head) => {
                    *headed = true;
                    // What the server answers names the user.
                    let host = attribute(head, b"to").filter(|to| side == Side::Source && !to.contains(&b'@'));
                    if let Some(host) = host.filter(|host| !host.is_empty()) {
                        facts.add(&HOST, side, prefix.seen, host);
                    }
                }
                Head::Cut | Head::Other => *headed = true,
            }
        }
        if found.is_some() {
            return self.inner.enter(side, at, prefix, facts);
        }
        if at > SCAN_BYTES_MAX {
            facts.flags.set(Flag::LimitReached);
            return Progress::Done;
        }
        if prefix.last { Progress::Done } else { Progress::NeedBytes(at.saturating_add(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::testing::{C, S, Talk, claim, is_taken_over};

    /// RFC 6120, section 9.1.1.
    const CLIENT: &[u8] = b"<stream:stream\n from='juliet@im.example.com'\n to='im.example.com'\n version='1.0'\n\
        xml:lang='en'\n xmlns='jabber:client'\n xmlns:stream='http://etherx.jabber.org/streams'>\
        <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    const SERVER: &[u8] = b"<?xml version='1.0'?>\
        <stream:stream from='im.example.com' id='t7AMCin9zjMNwQKDnplntZPIDEI='\n\
        to='juliet@im.example.com' version='1.0' xml:lang='en' xmlns='jabber:client'\n\
        xmlns:stream='http://etherx.jabber.org/streams'><stream:features>\n\
        <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>\n\
        <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

    #[test]
    fn starttls_of_rfc6120() {
        is_taken_over(&PROTOCOL, CLIENT, SERVER);
        let talk = Talk::new(&PROTOCOL).send(C, CLIENT).send(S, SERVER);
        assert_eq!(talk.text(&HOST), ["im.example.com"]);
        talk.keeps_out("juliet");
    }

    #[test]
    fn what_is_cut_names_no_host() {
        let talk = Talk::new(&PROTOCOL).send(C, CLIENT.get(..60).unwrap()).end();
        assert!(talk.everything().is_empty());
        let control = CLIENT.iter().map(|byte| if *byte == b'1' { 0x11 } else { *byte }).collect::<Vec<u8>>();
        assert!(Talk::new(&PROTOCOL).send(C, &control).everything().is_empty(), "text ends within the head");
        let talk = Talk::new(&PROTOCOL).send(C, b"<stream:stream xmlns:to='x' goto='y' to=z>").end();
        assert!(talk.everything().is_empty());
    }

    #[test]
    fn a_long_head_reads_the_same_in_pieces() {
        let (name, rest) = CLIENT.split_at(STREAM.len());
        for bytes in [HEAD_BYTES_MAX - 1, HEAD_BYTES_MAX, HEAD_BYTES_MAX + 1] {
            let there = rest.iter().position(|byte| *byte == b'>').unwrap() + 1 + name.len() + 21;
            let filler = vec![b' '; bytes - there];
            let bytes = [b"<?xml version='1.0'?>", name, &filler, rest].concat();
            let whole = Talk::new(&PROTOCOL).send(C, &bytes);
            assert_eq!(whole.everything(), Talk::new(&PROTOCOL).drip(C, &bytes).everything(), "{}", filler.len());
            assert_eq!(whole.text(&HOST).len(), usize::from(there + filler.len() <= HEAD_BYTES_MAX));
        }
    }

    #[test]
    fn claims() {
        for bytes in [CLIENT, SERVER] {
            assert_eq!(claim(&PROTOCOL, C, bytes), Claim::Yes);
            assert_eq!(claim(&PROTOCOL, C, bytes.get(..100).unwrap()), Claim::NeedBytes(101));
        }
        let no: [&[u8]; 4] = [
            b"<?xml version='1.0'?><soap:Envelope>",
            b"<html>",
            b"<stream:stream xmlns='x'>",
            b"<policy-file-request/>\0",
        ];
        for bytes in no {
            assert_eq!(claim(&PROTOCOL, C, bytes), Claim::No, "{}", String::from_utf8_lossy(bytes));
        }
    }

    /// TLS begins within a limit; when it does not it is said.
    #[test]
    fn bytes_before_tls() {
        let talk = |bytes: usize| {
            let text = [CLIENT, &vec![b' '; bytes - CLIENT.len()]].concat();
            let talk = Talk::new(&PROTOCOL).send(C, &text);
            (talk.is_done(C), talk.facts.flags.has(Flag::LimitReached))
        };
        assert_eq!((talk(SCAN_BYTES_MAX), talk(SCAN_BYTES_MAX + 1)), ((false, false), (true, true)));
    }
}
