//! FTP, the control channel, and TLS behind AUTH.
//!
//! In: the prefixes of both sides. Out: the greeting of the server, the system it says it is, the name of the client
//! software. Reading ends at the login: user names, passwords and file names are not kept.
//! Sources: RFC 959, RFC 2228 and RFC 4217 (AUTH TLS).

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
    Field::new("ftp.banner", Kind::Text, "line of an FTP server's greeting", "RFC 959 section 5.4");
/// What the server answers to SYST.
pub static SYSTEM: Field = Field::new("ftp.system", Kind::Text, "system of an FTP server", "RFC 959 section 4.1.3");

/// FTP.
pub static PROTOCOL: Protocol = Protocol {
    name: "ftp",
    over: &[Transport::Tcp],
    fields: &[&BANNER, &SYSTEM],
    claim,
    embedded: false,
    parser: |_| Box::new(Ftp { lines: Lines::default(), greeted: false }),
};

const PORT: u16 = 21;
/// Bytes within which it must become clear whose a greeting or a command is.
const CLAIM_BYTES_MAX: usize = 2048;
/// Lines of a greeting that are kept.
const GREETING_LINES_MAX: usize = 8;
/// Replies to USER, AUTH and SYST, which SMTP does not give.
const SECOND_REPLIES: [&[u8]; 5] = [b"331", b"332", b"234", b"230", b"215"];

fn claim(&Opening { ports, bytes, .. }: &Opening<'_>) -> Claim {
    let known_port = is_at(ports, &[PORT]);
    let (bytes, more) = lines::within(bytes, CLAIM_BYTES_MAX);
    match bytes.first() {
        Some(b'2') => claim_reply(known_port, bytes, more),
        Some(b'A' | b'a' | b'F' | b'f' | b'S' | b's' | b'U' | b'u') => claim_command(known_port, bytes, more),
        Some(_) => Claim::No,
        None => more,
    }
}

/// A greeting tells by its words or by its port; else by the reply to what comes first in FTP.
fn claim_reply(known_port: bool, bytes: &[u8], more: Claim) -> Claim {
    let code = bytes.get(..3).unwrap_or(bytes);
    let follows = bytes.get(3).is_none_or(|next| matches!(next, b' ' | b'-' | b'\r' | b'\n'));
    if !b"220".starts_with(code) || !follows {
        return Claim::No;
    }
    // Lines inside a greeting need no code (RFC 959 section 4.2).
    let mut greeted = false;
    let mut inside = false;
    for line in lines::complete(bytes) {
        match lines::reply(line) {
            Some((code, ..)) if greeted => {
                return if SECOND_REPLIES.contains(&code) { Claim::Yes } else { Claim::No };
            }
            Some((b"220", follows, text)) => {
                if lines::has_word(text, b"FTP") {
                    return Claim::Yes;
                }
                inside = follows;
                greeted = !follows;
                if greeted && known_port {
                    return Claim::Yes;
                }
            }
            _ if inside => {}
            _ => return Claim::No,
        }
    }
    more
}

fn claim_command(known_port: bool, bytes: &[u8], more: Claim) -> Claim {
    let Some(line) = lines::complete(bytes).next() else {
        let (verb, _) = lines::command(bytes);
        let fits = |whole: &&[u8]| whole.get(..verb.len()).is_some_and(|front| front.eq_ignore_ascii_case(verb));
        return if [&b"AUTH"[..], b"FEAT", b"SYST", b"USER"].iter().any(fits) { more } else { Claim::No };
    };
    match lines::command(line) {
        (verb, b"") if lines::is_one_of(verb, &[b"FEAT", b"SYST"]) => Claim::Yes,
        (verb, how) if lines::is_one_of(verb, &[b"AUTH"]) => {
            if lines::is_one_of(how, &[b"TLS", b"SSL", b"TLS-C", b"TLS-P"]) { Claim::Yes } else { Claim::No }
        }
        // POP3 has that command too; the server will tell.
        (verb, name) if lines::is_one_of(verb, &[b"USER"]) && !name.is_empty() => {
            if known_port {
                Claim::Yes
            } else {
                more
            }
        }
        _ => Claim::No,
    }
}

struct Ftp {
    lines: Lines,
    greeted: bool,
}

impl Parser for Ftp {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        loop {
            let line = match self.lines.next(side, prefix, facts) {
                Next::Line(line) => line,
                Next::Stop(progress) => return progress,
            };
            let Some((code, follows, text)) = lines::reply(line) else {
                // A login that went well says so; then come file names.
                if lines::is_one_of(lines::command(line).0, &[b"RETR", b"STOR", b"LIST", b"NLST", b"MLSD", b"CWD"]) {
                    self.lines.end(side);
                }
                continue;
            };
            match code {
                b"220" if !self.greeted => {
                    if !text.is_empty() {
                        facts.add(&BANNER, side, prefix.seen, text);
                    }
                    self.greeted = !follows || self.lines.count(side) >= GREETING_LINES_MAX;
                }
                b"215" if !follows && !text.is_empty() => facts.add(&SYSTEM, side, prefix.seen, text),
                b"150" | b"125" | b"226" | b"227" | b"229" | b"250" => self.lines.end(side),
                _ => self.greeted = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::testing::{C, S, Talk, claim, is_taken_over, tcp};

    /// RFC 4217, section 14.1, with a greeting of RFC 959.
    const CLIENT: &[u8] = b"AUTH TLS\r\n";
    const SERVER: &[u8] = b"220 Service ready for new user.\r\n234 AUTH TLS successful\r\n";

    #[test]
    fn auth_tls_of_rfc4217() {
        is_taken_over(&PROTOCOL, CLIENT, SERVER);
        let talk = Talk::new(&PROTOCOL).send(S, SERVER).send(C, CLIENT).end();
        assert_eq!(talk.text(&BANNER), ["Service ready for new user."]);
    }

    #[test]
    fn a_greeting_of_several_lines_and_a_system() {
        let talk = Talk::new(&PROTOCOL)
            .send(S, b"220-First line\r\nSecond line\r\n220 The last line\r\n331 Password\r\n230 Hello\r\n")
            .send(S, b"215 UNIX Type: L8\r\n220 later\r\n227 Entering Passive Mode (192,0,2,1,200,1)\r\n215 no\r\n");
        assert_eq!(talk.text(&BANNER), ["First line", "The last line"]);
        assert_eq!(talk.text(&SYSTEM), ["UNIX Type: L8"]);
        assert!(talk.is_done(S));
    }

    #[test]
    fn a_login_is_not_kept() {
        let talk = Talk::new(&PROTOCOL).send(C, b"USER anna\r\nPASS secret\r\nCWD /anna\r\nRETR secret\r\n");
        assert!(talk.is_done(C) && talk.everything().is_empty());
        assert!(Talk::new(&PROTOCOL).send(S, b"220 ProFT").end().everything().is_empty(), "a line that is cut");
    }

    /// The first word may come in pieces; what cannot become a greeting or a command is none.
    #[test]
    fn a_first_line_in_pieces() {
        for (side, line) in [(S, &b"220 ProFTPD 1.3.0a FTP Server\r\n"[..]), (C, b"AUTH TLS\r\n"), (C, b"syst\r\n")] {
            for end in 0..line.len() {
                assert_eq!(claim(&PROTOCOL, side, &line[..end]), Claim::NeedBytes(end + 1), "{end}");
            }
            assert_eq!(claim(&PROTOCOL, side, line), Claim::Yes);
        }
        let endless = [&b"AUTH "[..], &[b'x'; CLAIM_BYTES_MAX]].concat();
        let user = [&b"USER "[..], &[b'x'; CLAIM_BYTES_MAX], b"\r\n"].concat();
        for bytes in [&b"FEET"[..], b"SSH", &endless, &user] {
            assert_eq!(claim(&PROTOCOL, C, bytes), Claim::No);
        }
    }

    #[test]
    fn claims() {
        let yes: [&[u8]; 6] = [
            b"220 ProFTPD 1.3.0a Server\r\n",
            b"220-a\r\n b\r\n220 c\r\n331 Password\r\n",
            b"AUTH TLS\r\n",
            b"auth ssl\r\n",
            b"FEAT\r\n",
            b"SYST\r\n",
        ];
        for bytes in yes {
            assert_eq!(claim(&PROTOCOL, S, bytes), Claim::Yes, "{}", String::from_utf8_lossy(bytes));
        }
        let no: [&[u8]; 6] = [
            b"220 a\r\n250 b\r\n",
            b"AUTH PLAIN\r\n",
            b"SSH-2.0-x\r\n",
            b"200 OK\r\n",
            b"FEAT x\r\n",
            b"220 a\r\nb\r\n",
        ];
        for bytes in no {
            assert_eq!(claim(&PROTOCOL, S, bytes), Claim::No, "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(claim(&PROTOCOL, C, b"USER x\r\n"), Claim::NeedBytes(9));
        assert_eq!((PROTOCOL.claim)(&tcp((40000, PORT), C, b"USER x\r\n")), Claim::Yes);
    }
}
