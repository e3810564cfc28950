//! IMAP, and TLS behind STARTTLS.
//!
//! In: the prefixes of both sides. Out: the greeting of the server and what both sides say of themselves with ID.
//! Reading ends where somebody logs in: user names, passwords, mailboxes and mails are not kept.
//! Sources: RFC 9051, RFC 2971 (ID).

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::fact::{Facts, Field, Kind, Side};
use crate::parse::lines::{self, Lines, Next};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, is_at};

/// The server's greeting without `* OK` and without a list of capabilities.
pub static BANNER: Field = Field::new("imap.banner", Kind::Text, "greeting of an IMAP server", "RFC 9051 section 7.1");
/// What a side says of its software, `name=…`, `version=…`, `vendor=…`, `os=…`, `os-version=…`.
pub static ID: Field = Field::new("imap.id", Kind::Text, "part of an IMAP ID, name=value", "RFC 2971 section 3.3");

/// IMAP.
pub static PROTOCOL: Protocol = Protocol {
    name: "imap",
    over: &[Transport::Tcp],
    fields: &[&BANNER, &ID],
    claim,
    embedded: false,
    parser: |_| Box::new(Imap { lines: Lines::default() }),
};

const PORT: u16 = 143;
/// Bytes within which it must become clear whose a first line is.
const CLAIM_BYTES_MAX: usize = 2048;
/// Bytes of a tag.
const TAG_BYTES_MAX: usize = 16;
/// Fields of an ID that tell about software (RFC 2971 section 3.3).
const ID_FIELDS: [&[u8]; 5] = [b"name", b"version", b"vendor", b"os", b"os-version"];
/// Untagged answers before a mailbox is opened.
const EARLY: &[&[u8]] = &[b"OK", b"NO", b"BAD", b"PREAUTH", b"BYE", b"CAPABILITY", b"ID", b"ENABLED", b"NAMESPACE"];

fn claim(&Opening { ports, bytes, .. }: &Opening<'_>) -> Claim {
    let (bytes, more) = lines::within(bytes, CLAIM_BYTES_MAX);
    let Some(first) = bytes.first() else { return more };
    let known_port = is_at(ports, &[PORT]);
    if *first == b'*' {
        let fits = [&b"* OK "[..], b"* PREAUTH ", b"* BYE "];
        if !fits.iter().any(|start| bytes.starts_with(start) || start.starts_with(bytes)) {
            return Claim::No;
        }
        let mut complete = lines::complete(bytes);
        let first = complete.next();
        let answered = complete.next().is_some_and(is_tagged_answer);
        return match first {
            Some(line) if known_port || answered || is_greeting(line) => Claim::Yes,
            // The command of the client will tell.
            _ => more,
        };
    }
    // A tag that is just a word stands before many other things.
    let tag = bytes.iter().take(TAG_BYTES_MAX.saturating_add(1)).position(|byte| !is_of_tag(*byte));
    let Some(tag_bytes) = tag else {
        return if bytes.len() > TAG_BYTES_MAX { Claim::No } else { more };
    };
    let (tag, rest) = bytes.split_at_checked(tag_bytes).unwrap_or_default();
    let Some(rest) = rest.strip_prefix(b" ").filter(|_| !tag.is_empty()) else { return Claim::No };
    if let Some(line) = lines::complete(rest).next() {
        return if is_first_command(line) { Claim::Yes } else { Claim::No };
    }
    let (word, _) = lines::command(rest);
    let commands = [&b"CAPABILITY"[..], b"STARTTLS", b"ID", b"AUTHENTICATE"];
    let fits = commands.iter().any(|c| c.get(..word.len()).is_some_and(|front| front.eq_ignore_ascii_case(word)));
    if fits { more } else { Claim::No }
}

fn is_of_tag(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'#')
}

/// The answer to a command: its tag and how it went.
fn is_tagged_answer(line: &[u8]) -> bool {
    let (tag, rest) = lines::command(line);
    let good = (1..=TAG_BYTES_MAX).contains(&tag.len()) && tag.iter().all(|byte| is_of_tag(*byte));
    good && lines::is_one_of(lines::command(rest).0, &[b"OK", b"NO", b"BAD"])
}

/// Commands that come first and that no other protocol has after a word of the client's choice.
fn is_first_command(line: &[u8]) -> bool {
    match lines::command(line) {
        (verb, b"") => lines::is_one_of(verb, &[b"CAPABILITY", b"STARTTLS"]),
        (verb, rest) if lines::is_one_of(verb, &[b"AUTHENTICATE"]) => {
            let mechanism = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
            lines::is_one_of(mechanism, &[b"PLAIN", b"LOGIN", b"CRAM-MD5", b"NTLM", b"GSSAPI", b"XOAUTH2"])
        }
        (verb, rest) => {
            let list = rest.starts_with(b"(\"") && rest.ends_with(b")") || rest.eq_ignore_ascii_case(b"NIL");
            lines::is_one_of(verb, &[b"ID"]) && list
        }
    }
}

/// Whether a first line is a greeting, not a notice in a flow whose start was not captured.
fn is_greeting(line: &[u8]) -> bool {
    lines::has_word(line, b"IMAP") || lines::has_word(line, b"ready")
}

struct Imap {
    lines: Lines,
}

impl Parser for Imap {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        loop {
            let line = match self.lines.next(side, prefix, facts) {
                Next::Line(line) => line,
                Next::Stop(progress) => return progress,
            };
            let (tag, rest) = lines::command(line);
            let (word, text) = lines::command(rest);
            if lines::is_one_of(word, &[b"ID"]) {
                add_id(text, side, prefix, facts);
            } else if tag == b"*" {
                let first = self.lines.count(side) == 1 && lines::is_one_of(word, &[b"OK", b"PREAUTH"]);
                if first && is_greeting(line) {
                    let text = without_code(text);
                    if !text.is_empty() {
                        facts.add(&BANNER, side, prefix.seen, text);
                    }
                }
                if !lines::is_one_of(word, EARLY) {
                    self.lines.end(side);
                }
            } else if lines::is_one_of(word, &[b"LOGIN", b"AUTHENTICATE", b"SELECT", b"EXAMINE", b"LIST"]) {
                self.lines.end(side);
            }
        }
    }
}

/// The text behind a response code, `[CAPABILITY …]`.
fn without_code(text: &[u8]) -> &[u8] {
    let code = text.first() == Some(&b'[');
    let end = text.iter().position(|byte| code && *byte == b']');
    end.and_then(|end| text.get(end.saturating_add(1)..)).unwrap_or(text).trim_ascii()
}

/// Reads `("name" "value" …)`; what is not in quotes ends it.
fn add_id(list: &[u8], side: Side, prefix: Prefix<'_>, facts: &mut Facts) {
    let Some(mut rest) = list.strip_prefix(b"(").and_then(|list| list.strip_suffix(b")")) else { return };
    while let Some((name, after)) = quoted(rest) {
        let Some((value, after)) = quoted_or_nil(after) else { return };
        if let Some(name) = ID_FIELDS.iter().find(|field| field.eq_ignore_ascii_case(name))
            && !value.is_empty()
        {
            facts.add(&ID, side, prefix.seen, &[name, b"=".as_slice(), value].concat());
        }
        rest = after;
    }
}

/// A string in quotes and what follows it. One with escaped characters is not read.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start().strip_prefix(b"\"")?;
    let end = text.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    let (string, rest) = text.split_at_checked(end)?;
    Some((string, rest.strip_prefix(b"\"")?))
}

fn quoted_or_nil(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    match text.split_at_checked(3) {
        Some((nil, rest)) if nil.eq_ignore_ascii_case(b"NIL") => Some((&[], rest)),
        _ => quoted(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::testing::{C, S, Talk, claim, is_taken_over, tcp};

    /// RFC 9051, section 6.2.1.
    const CLIENT: &[u8] = b"a001 CAPABILITY\r\na002 STARTTLS\r\n";
    const SERVER: &[u8] = b"* OK [CAPABILITY IMAP4rev2 STARTTLS AUTH=GSSAPI] Server ready\r\n\
        * CAPABILITY IMAP4rev2 STARTTLS AUTH=GSSAPI\r\na001 OK CAPABILITY completed\r\n\
        a002 OK Begin TLS negotiation now\r\n";

    #[test]
    fn starttls_of_rfc9051() {
        is_taken_over(&PROTOCOL, CLIENT, SERVER);
        let talk = Talk::new(&PROTOCOL).send(S, SERVER).send(C, CLIENT).end();
        assert_eq!(talk.text(&BANNER), ["Server ready"]);
    }

    #[test]
    fn ids_of_rfc2971() {
        let talk = Talk::new(&PROTOCOL)
            .send(C, b"a023 ID (\"name\" \"sodr\" \"version\" \"19.34\" \"vendor\" \"Pink Floyd Music Limited\")\r\n")
            .send(
                S,
                b"* ID (\"name\" \"Cyrus\" \"version\" \"1.5\" \"os\" NIL \"support-url\" \"mailto:a@b.example\")\r\n",
            )
            .send(S, b"* ID NIL\r\n* ID (\"name\" \"cut");
        assert_eq!(
            talk.text(&ID),
            ["name=Cyrus", "name=sodr", "vendor=Pink Floyd Music Limited", "version=1.5", "version=19.34"]
        );
        talk.keeps_out("b.example");
    }

    #[test]
    fn a_login_ends_the_reading() {
        let talk = Talk::new(&PROTOCOL).send(C, b"a1 LOGIN smith sesame\r\na2 ID (\"name\" \"no\")\r\n");
        assert!(talk.is_done(C) && talk.everything().is_empty());
        let talk = Talk::new(&PROTOCOL).send(S, b"* OK still here\r\n* LIST () \"/\" ready\r\n");
        assert!(talk.is_done(S) && talk.everything().is_empty());
    }

    #[test]
    fn claims() {
        let yes: [&[u8]; 7] = [
            b"* OK IMAP4rev1 Service Ready\r\n",
            b"* OK hello\r\na1 OK begin\r\n",
            b"* PREAUTH IMAP4rev1 server logged in as Smith\r\n",
            b". CAPABILITY\r\n",
            b"a1 starttls\r\n",
            b"1 ID (\"name\" \"x\")\r\n",
            b"a1 AUTHENTICATE PLAIN\r\n",
        ];
        for bytes in yes {
            assert_eq!(claim(&PROTOCOL, S, bytes), Claim::Yes, "{}", String::from_utf8_lossy(bytes));
        }
        let no: [&[u8]; 6] = [
            b"*3\r\n$3\r\nSET\r\n",
            b"* FLAGS ()\r\n",
            b"GET / HTTP/1.1\r\n",
            b"a1 LOGIN a b\r\n",
            b"x ID y\r\n",
            b"\x16\x03",
        ];
        for bytes in no {
            assert_eq!(claim(&PROTOCOL, S, bytes), Claim::No, "{}", String::from_utf8_lossy(bytes));
        }
        // What would not be waited for does not count when it is there.
        let far = [b'x'; CLAIM_BYTES_MAX];
        assert_eq!(claim(&PROTOCOL, S, &[b"* OK ", &far[..], b" IMAP4rev1\r\n"].concat()), Claim::No);
        assert_eq!(claim(&PROTOCOL, C, &[b"a1 ID (", &far[..], b")\r\n"].concat()), Claim::No);
        assert_eq!(claim(&PROTOCOL, S, b"* OK hello\r\n"), Claim::NeedBytes(13));
        assert_eq!((PROTOCOL.claim)(&tcp((40000, PORT), S, b"* OK hello\r\n")), Claim::Yes);
    }
}
