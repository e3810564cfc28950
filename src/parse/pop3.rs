//! POP3, and TLS behind STLS.
//!
//! In: the prefixes of both sides. Out: the greeting of the server and what it says of its implementation. Reading
//! ends where somebody logs in: user names, passwords and mails are not kept.
//! Sources: RFC 1939, RFC 2449 (CAPA), RFC 2595 (STLS).

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

/// The server's greeting without `+OK` and without the time stamp for APOP.
pub static BANNER: Field = Field::new("pop3.banner", Kind::Text, "greeting of a POP3 server", "RFC 1939 section 4");
/// What the server answers to CAPA of its own name.
pub static IMPLEMENTATION: Field =
    Field::new("pop3.implementation", Kind::Text, "implementation of a POP3 server", "RFC 2449 section 6.9");

/// POP3.
pub static PROTOCOL: Protocol = Protocol {
    name: "pop3",
    over: &[Transport::Tcp],
    fields: &[&BANNER, &IMPLEMENTATION],
    claim,
    embedded: false,
    parser: |_| Box::new(Pop3 { lines: Lines::default() }),
};

const PORT: u16 = 110;
const OK: &[u8] = b"+OK";
/// Bytes within which it must become clear whose a greeting or a command is.
const CLAIM_BYTES_MAX: usize = 512;

fn claim(&Opening { ports, bytes, .. }: &Opening<'_>) -> Claim {
    let (bytes, more) = lines::within(bytes, CLAIM_BYTES_MAX);
    let known_port = is_at(ports, &[PORT]);
    let mut complete = lines::complete(bytes);
    let first = complete.next();
    match bytes.first() {
        None => more,
        Some(b'+') => match first {
            None if bytes.starts_with(OK) || OK.starts_with(bytes) => more,
            // Redis answers with the same word and nothing behind it.
            Some(line) if line.starts_with(b"+OK ") => {
                let second = complete.next().is_some_and(|line| line.starts_with(OK) || line.starts_with(b"-ERR"));
                if is_greeting(line) || known_port || second { Claim::Yes } else { more }
            }
            _ => Claim::No,
        },
        Some(b'C' | b'c' | b'S' | b's' | b'A' | b'a' | b'U' | b'u') => {
            let Some(line) = first else {
                let (verb, _) = lines::command(bytes);
                let fits = |whole: &&[u8]| whole.get(..verb.len()).is_some_and(|v| v.eq_ignore_ascii_case(verb));
                return if [&b"CAPA"[..], b"STLS", b"APOP", b"USER"].iter().any(fits) { more } else { Claim::No };
            };
            match lines::command(line) {
                (verb, b"") if lines::is_one_of(verb, &[b"CAPA", b"STLS"]) => Claim::Yes,
                (verb, rest) if lines::is_one_of(verb, &[b"APOP"]) && is_digest(rest) => Claim::Yes,
                // FTP has that command too; the server will tell.
                (verb, _) if lines::is_one_of(verb, &[b"USER"]) => {
                    if known_port {
                        Claim::Yes
                    } else {
                        more
                    }
                }
                _ => Claim::No,
            }
        }
        Some(_) => Claim::No,
    }
}

/// A name and 16 bytes in hex (RFC 1939 section 7).
fn is_digest(rest: &[u8]) -> bool {
    let digest = rest.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    digest.len() == 32 && rest.len() > 33 && digest.iter().all(u8::is_ascii_hexdigit)
}

/// Whether a first line is a greeting, not the answer to a command of a flow whose start was not captured.
fn is_greeting(line: &[u8]) -> bool {
    let stamp = line.ends_with(b">") && line.contains(&b'<') && line.contains(&b'@');
    let words: [&[u8]; 3] = [b"POP", b"ready", b"server"];
    let says = words.iter().any(|word| lines::has_word(line, word));
    (stamp || says) && !lines::has_word(line, b"TLS")
}

struct Pop3 {
    lines: Lines,
}

impl Parser for Pop3 {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        loop {
            let line = match self.lines.next(side, prefix, facts) {
                Next::Line(line) => line,
                Next::Stop(progress) => return progress,
            };
            let (word, rest) = lines::command(line);
            if self.lines.count(side) == 1 && word == OK && is_greeting(line) {
                let text = rest.split(|byte| *byte == b'<').next().unwrap_or_default().trim_ascii();
                if !text.is_empty() {
                    facts.add(&BANNER, side, prefix.seen, text);
                }
            } else if word.eq_ignore_ascii_case(b"IMPLEMENTATION") && !rest.is_empty() {
                facts.add(&IMPLEMENTATION, side, prefix.seen, rest);
            } else if lines::is_one_of(word, &[b"PASS", b"APOP", b"RETR", b"TOP"]) && !rest.is_empty() {
                // Alone, TOP is a capability.
                self.lines.end(side);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::testing::{C, S, Talk, claim, is_taken_over, tcp};

    /// RFC 2595, section 4, and RFC 2449, section 5.
    const CLIENT: &[u8] = b"CAPA\r\nSTLS\r\n";
    const SERVER: &[u8] = b"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\r\n\
        +OK Capability list follows\r\nTOP\r\nUSER\r\nSTLS\r\nIMPLEMENTATION Shlemazle-Plotz-v302\r\n.\r\n\
        +OK Begin TLS negotiation\r\n";

    #[test]
    fn stls_of_rfc2595() {
        let server = [&SERVER[..57], b"+OK Begin TLS negotiation\r\n"].concat();
        is_taken_over(&PROTOCOL, b"STLS\r\n", &server);
        let talk = Talk::new(&PROTOCOL).send(C, CLIENT).send(S, SERVER).end();
        assert_eq!(talk.text(&BANNER), ["POP3 server ready"]);
        assert_eq!(talk.text(&IMPLEMENTATION), ["Shlemazle-Plotz-v302"]);
        talk.keeps_out("1896");
    }

    #[test]
    fn capabilities_are_commands_too() {
        let server = b"+OK\r\nIMPLEMENTATION Shlemazle-Plotz-v302\r\nTOP\r\nSTLS\r\n.\r\n";
        let talk = Talk::new(&PROTOCOL).send(S, server);
        assert_eq!(talk.text(&IMPLEMENTATION), ["Shlemazle-Plotz-v302"]);
        assert!(talk.text(&BANNER).is_empty());
    }

    #[test]
    fn a_login_ends_the_reading() {
        let talk = Talk::new(&PROTOCOL).send(C, b"USER mrose\r\nPASS secret\r\nIMPLEMENTATION x\r\n");
        assert!(talk.is_done(C) && talk.everything().is_empty());
    }

    /// The first word may come in pieces; what cannot become a greeting or a command is none.
    #[test]
    fn a_first_line_in_pieces() {
        for (side, line) in [(S, &b"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\r\n"[..]), (C, b"CAPA\r\n")]
        {
            for end in 0..line.len() {
                assert_eq!(claim(&PROTOCOL, side, &line[..end]), Claim::NeedBytes(end + 1), "{end}");
            }
            assert_eq!(claim(&PROTOCOL, side, line), Claim::Yes);
        }
        for bytes in [&b"+PO"[..], b"CAX", b"SSH"] {
            assert_eq!(claim(&PROTOCOL, C, bytes), Claim::No, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn claims() {
        let yes: [&[u8]; 5] = [
            b"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\r\n",
            b"+OK hello\r\n+OK name is a valid mailbox\r\n",
            b"CAPA\r\n",
            b"stls\r\n",
            b"APOP mrose c4c9334bac560ecc979e58001b3e22fb\r\n",
        ];
        for bytes in yes {
            assert_eq!(claim(&PROTOCOL, S, bytes), Claim::Yes, "{}", String::from_utf8_lossy(bytes));
        }
        let no: [&[u8]; 5] =
            [b"+OK\r\n+OK\r\n", b"+PONG\r\n", b"SSH-2.0-x\r\n", b"CAPA x\r\n", b"CONNECT a HTTP/1.1\r\n"];
        for bytes in no {
            assert_eq!(claim(&PROTOCOL, S, bytes), Claim::No, "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(claim(&PROTOCOL, C, b"USER ftp\r\n"), Claim::NeedBytes(11));
        assert_eq!((PROTOCOL.claim)(&tcp((40000, PORT), C, b"USER mrose\r\n")), Claim::Yes);
    }
}
