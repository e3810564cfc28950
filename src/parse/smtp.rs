//! SMTP and LMTP, and TLS behind STARTTLS.
//!
//! In: the prefixes of both sides. Out: the greeting of the server and the name that the client gives itself. Reading
//! ends where a mail begins: senders, recipients, credentials and mails are not kept.
//! Sources: RFC 5321, RFC 2033 (LMTP), RFC 3207 (STARTTLS).

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

/// A line of the server's greeting, without its code.
pub static BANNER: Field =
    Field::new("smtp.banner", Kind::Text, "line of an SMTP server's greeting", "RFC 5321 section 4.2");
/// Name of the client in EHLO, HELO or LHLO; no address literals.
pub static HELO: Field =
    Field::new("smtp.helo", Kind::Name, "name that an SMTP client gives itself", "RFC 5321 section 4.1.1.1");

/// SMTP and LMTP.
pub static PROTOCOL: Protocol = Protocol {
    name: "smtp",
    over: &[Transport::Tcp],
    fields: &[&BANNER, &HELO],
    claim,
    embedded: false,
    parser: |_| Box::new(Smtp { lines: Lines::default(), greeting: Greeting::Expected }),
};

/// Ports where a greeting is SMTP although it does not say so.
const KNOWN_PORTS: [u16; 4] = [24, 25, 587, 2525];
/// Bytes of the first reply within which it must become clear whose it is.
const CLAIM_BYTES_MAX: usize = 1024;
/// Lines of a greeting that are kept.
const GREETING_LINES_MAX: usize = 8;
/// Bytes of the longest command that names the client: verb, space, domain, line end.
const HELLO_BYTES_MAX: usize = 5 + 255 + 2;

fn claim(&Opening { ports, bytes, .. }: &Opening<'_>) -> Claim {
    match bytes.first() {
        Some(b'2' | b'4' | b'5') => claim_reply(ports, bytes),
        Some(b'E' | b'e' | b'H' | b'h' | b'L' | b'l') => claim_hello(bytes),
        Some(_) => Claim::No,
        None => Claim::NeedBytes(1),
    }
}

/// A greeting tells by its words or by its port; else by the reply to EHLO, which FTP does not give.
fn claim_reply(ports: (u16, u16), bytes: &[u8]) -> Claim {
    let code = bytes.get(..3).unwrap_or(bytes);
    let is_code = ["220", "421", "554"].iter().any(|greeting| greeting.as_bytes().starts_with(code));
    if !is_code || bytes.get(3).is_some_and(|next| !matches!(next, b' ' | b'-' | b'\r' | b'\n')) {
        return Claim::No;
    }
    let (bytes, more) = lines::within(bytes, CLAIM_BYTES_MAX);
    let known_port = is_at(ports, &KNOWN_PORTS);
    let mut greeted = false;
    for line in lines::complete(bytes) {
        match lines::reply(line) {
            Some((b"250", ..)) if greeted => return Claim::Yes,
            Some((again, follows, text)) if again == code && !greeted => {
                greeted = !follows;
                if lines::has_word(text, b"SMTP") || greeted && known_port {
                    return Claim::Yes;
                }
            }
            _ => return Claim::No,
        }
    }
    more
}

fn claim_hello(bytes: &[u8]) -> Claim {
    let (bytes, more) = lines::within(bytes, HELLO_BYTES_MAX);
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let line = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    let (verb, domain) = line.split_at_checked(5).unwrap_or((line, &[]));
    let is_verb = |whole: &&&[u8]| whole.get(..verb.len()).is_some_and(|front| front.eq_ignore_ascii_case(verb));
    if ![&b"EHLO "[..], b"HELO ", b"LHLO "].iter().any(|whole| is_verb(&whole)) {
        return Claim::No;
    }
    let domain = domain.trim_ascii();
    match domain.iter().all(|byte| is_of_domain(*byte)) {
        true if end.is_none() => more,
        true if !domain.is_empty() => Claim::Yes,
        _ => Claim::No,
    }
}

/// Bytes of domains and of address literals.
fn is_of_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']') || byte >= 0x80
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Greeting {
    Expected,
    Over,
}

struct Smtp {
    lines: Lines,
    greeting: Greeting,
}

impl Parser for Smtp {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        loop {
            let line = match self.lines.next(side, prefix, facts) {
                Next::Line(line) => line,
                Next::Stop(progress) => return progress,
            };
            match lines::reply(line) {
                Some((code, follows, text)) => {
                    if self.greeting == Greeting::Expected && is_greeting(code, text) && !text.is_empty() {
                        facts.add(&BANNER, side, prefix.seen, text);
                    }
                    if !follows || self.lines.count(side) >= GREETING_LINES_MAX {
                        self.greeting = Greeting::Over;
                    }
                    // A mail follows.
                    if code == b"354" {
                        self.lines.end(side);
                    }
                }
                None => self.command(side, line, prefix, facts),
            }
        }
    }
}

impl Smtp {
    fn command(&mut self, side: Side, line: &[u8], prefix: Prefix<'_>, facts: &mut Facts) {
        let (verb, rest) = lines::command(line);
        if lines::is_one_of(verb, &[b"EHLO", b"HELO", b"LHLO"]) {
            let is_name = !rest.is_empty() && !rest.starts_with(b"[") && rest.iter().all(|byte| is_of_domain(*byte));
            if is_name {
                facts.add(&HELO, side, prefix.seen, rest);
            }
        } else if lines::is_one_of(verb, &[b"MAIL", b"DATA", b"BDAT"]) {
            self.lines.end(side);
        }
    }
}

/// Whether a reply that comes first is a greeting. Where the start of a flow was not captured it may be the answer to
/// STARTTLS (RFC 3207 section 4).
fn is_greeting(code: &[u8], text: &[u8]) -> bool {
    code == b"220" && !text.starts_with(b"2.") && !lines::has_word(text, b"TLS")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::testing::{C, S, Talk, claim, is_taken_over, tcp};

    /// RFC 3207, section 5.
    const CLIENT: &[u8] = b"EHLO mail.example.com\r\nSTARTTLS\r\n";
    const SERVER: &[u8] = b"220 mail.imc.org SMTP service ready\r\n\
        250-mail.imc.org offers a warm hug of welcome\r\n250-8BITMIME\r\n250-STARTTLS\r\n250 DSN\r\n\
        220 Go ahead\r\n";

    #[test]
    fn starttls_of_rfc3207() {
        is_taken_over(&PROTOCOL, CLIENT, SERVER);
        let talk = Talk::new(&PROTOCOL).send(S, SERVER).send(C, CLIENT).end();
        assert_eq!(talk.text(&BANNER), ["mail.imc.org SMTP service ready"]);
        assert_eq!(talk.text(&HELO), ["mail.example.com"]);
    }

    #[test]
    fn a_mail_is_not_read() {
        let talk = Talk::new(&PROTOCOL)
            .send(S, b"220-foo.com greets\r\n220 foo.com Simple Mail Transfer Service Ready\r\n250 foo.com\r\n")
            .send(C, b"EHLO bar.com\r\nAUTH PLAIN dGVzdAB0ZXN0ADEyMzQ=\r\nMAIL FROM:<Smith@bar.com>\r\n")
            .send(C, b"RCPT TO:<Jones@foo.com>\r\nDATA\r\nEHLO secret.example\r\n.\r\n");
        assert_eq!(talk.text(&BANNER), ["foo.com Simple Mail Transfer Service Ready", "foo.com greets"]);
        assert_eq!(talk.text(&HELO), ["bar.com"]);
        assert!(talk.is_done(C) && !talk.is_done(S));
        assert!(talk.send(S, b"250 OK\r\n250 OK\r\n354 Start mail input\r\n").is_done(S));
    }

    #[test]
    fn what_is_cut_or_an_answer_to_starttls_is_no_banner() {
        for server in [&b"220 mail.exam"[..], b"220 2.0.0 Ready\r\n", b"220 Ready to start TLS\r\n", b"220\r\n"] {
            assert!(Talk::new(&PROTOCOL).send(S, server).end().text(&BANNER).is_empty());
        }
        let talk = Talk::new(&PROTOCOL).send(C, b"EHLO [192.0.2.1]\r\nEHLO\r\nHELO a b\r\nEHLO mail.exam").end();
        assert!(talk.text(&HELO).is_empty());
    }

    #[test]
    fn claims() {
        let yes: [&[u8]; 4] =
            [b"220 a.example ESMTP\r\n", b"554 no smtp here\r\n", b"ehlo a.example\n", b"220-x\r\n220 y\r\n250-a\r\n"];
        for bytes in yes {
            assert_eq!(claim(&PROTOCOL, S, bytes), Claim::Yes, "{}", String::from_utf8_lossy(bytes));
        }
        let no: [&[u8]; 7] = [
            b"220 a.example\r\n331 Password required\r\n",
            b"220a",
            b"230 SMTP\r\n",
            b"EHLO \r\n",
            b"EHLO \x01\r\n",
            b"HELP\r\n",
            b"HTTP/1.1 200 OK\r\n",
        ];
        for bytes in no {
            assert_eq!(claim(&PROTOCOL, S, bytes), Claim::No, "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(claim(&PROTOCOL, S, b"220 a.example ready\r\n"), Claim::NeedBytes(22), "perhaps FTP");
        assert_eq!((PROTOCOL.claim)(&tcp((40000, 25), S, b"220 a.example ready\r\n")), Claim::Yes);
        // What would not be waited for does not count when it is there.
        let far = [b'x'; CLAIM_BYTES_MAX];
        assert_eq!(claim(&PROTOCOL, S, &[b"220 ", &far[..], b" ESMTP\r\n"].concat()), Claim::No);
        assert_eq!(claim(&PROTOCOL, S, &[b"EHLO ", &far[..HELLO_BYTES_MAX], b"\r\n"].concat()), Claim::No);
    }
}
