//! The greeting of VMware's authentication daemon, and the TLS behind it; TCP, usually port 902.
//!
//! In: both sides of a flow. Out: the greeting, which tells the daemon's version and what it can do,
//! and the facts of the TLS that client and server begin right after it. ESXi and Workstation both
//! run the daemon: for consoles, file copies, backups of disks.
//! nmap/nmap: nmap-service-probes; knowledge.broadcom.com 341384.
//!
//! Not read: the user name and the password that a client without TLS sends.

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

/// The greeting behind its code, to the end of the line.
pub static AUTHD: Field = Field::new(
    "vmware.authd",
    Kind::Text,
    "greeting of the VMware authentication daemon, without 220",
    "nmap/nmap: nmap-service-probes",
);

/// VMware authentication daemon.
pub static PROTOCOL: Protocol = Protocol {
    name: "vmware-authd",
    over: &[Transport::Tcp],
    fields: &[&AUTHD],
    claim,
    embedded: false,
    parser: |_| Box::new(Authd { greeted: false, tls: Inner::tls() }),
};

const CODE: &[u8] = b"220 ";
const GREETING: &[u8] = b"220 VMware Authentication Daemon Version ";
/// Bytes of a greeting with its line end; a longer one is not read.
pub const GREETING_BYTES_MAX: usize = 512;

fn claim(&Opening { side, bytes, .. }: &Opening<'_>) -> Claim {
    if side != Side::Destination {
        return Claim::No;
    }
    if bytes.starts_with(GREETING) {
        return Claim::Yes;
    }
    if GREETING.starts_with(bytes) { Claim::NeedBytes(GREETING.len()) } else { Claim::No }
}

struct Authd {
    greeted: bool,
    tls: Inner,
}

impl Parser for Authd {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if self.tls.has_begun(side) {
            return self.tls.feed(side, prefix, facts);
        }
        let mut at = 0;
        if side == Side::Destination {
            let within = prefix.bytes.get(..GREETING_BYTES_MAX).unwrap_or(prefix.bytes);
            let Some(end) = within.iter().position(|byte| *byte == b'\n') else {
                let full = within.len() >= GREETING_BYTES_MAX;
                if full {
                    facts.flags.set(Flag::LimitReached);
                }
                let more = Progress::NeedBytes(within.len().saturating_add(1));
                return if full || prefix.last { Progress::Done } else { more };
            };
            if !self.greeted {
                let line = within.get(CODE.len()..end).unwrap_or_default().trim_ascii_end();
                facts.add(&AUTHD, side, prefix.seen, line);
                self.greeted = true;
            }
            at = end.saturating_add(1);
        }
        self.tls.enter(side, at, prefix, facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Seen;
    use crate::parse::testing::tcp;
    use crate::parse::tls;

    /// As nmap's probes and administrators' notes have it for an ESXi host.
    const ESXI: &[u8] = b"220 VMware Authentication Daemon Version 1.10: SSL Required, \
        ServerDaemonProtocol:SOAP, MKSDisplayProtocol:VNC , VMXARGS supported, \
        NFCSSL supported/t, SHA256 supported\r\n";
    const WORKSTATION: &[u8] = b"220 VMware Authentication Daemon Version 1.0, ServerDaemonProtocol:SOAP, \
        MKSDisplayProtocol:VNC , , , \r\n";
    /// FoxIO-LLC/ja4: pcap/latest.pcapng, one record each.
    const CLIENT_HELLO: &[u8] = include_bytes!("../../fixtures/tls/tls12-client-hello.bin");
    const SERVER_HELLO: &[u8] = include_bytes!("../../fixtures/tls/tls12-server-hello.bin");

    fn prefix(bytes: &[u8], last: bool) -> Prefix<'_> {
        Prefix { bytes, seen: Seen::default(), last, split: false }
    }

    fn authd(facts: &Facts) -> Option<String> {
        facts.first(&AUTHD).map(|fact| fact.text())
    }

    #[test]
    fn the_greeting_is_kept_whole() {
        for (greeting, end) in [(ESXI, "SHA256 supported"), (WORKSTATION, "MKSDisplayProtocol:VNC , , ,")] {
            assert_eq!(claim(&tcp((40000, 902), Side::Destination, greeting)), Claim::Yes);
            let mut facts = Facts::default();
            let mut parser = (PROTOCOL.parser)(Transport::Tcp);
            parser.feed(Side::Destination, prefix(greeting, false), &mut facts);
            let text = authd(&facts).unwrap_or_default();
            assert!(text.starts_with("VMware Authentication Daemon Version 1."), "{text}");
            assert!(text.ends_with(end), "{text}");
        }
    }

    #[test]
    fn a_greeting_cut_anywhere_gives_nothing() {
        for cut in 0..ESXI.len() - 1 {
            let mut facts = Facts::default();
            let mut parser = (PROTOCOL.parser)(Transport::Tcp);
            let progress = parser.feed(Side::Destination, prefix(&ESXI[..cut], false), &mut facts);
            assert_eq!(progress, Progress::NeedBytes(cut + 1));
            assert_eq!(parser.feed(Side::Destination, prefix(&ESXI[..cut], true), &mut facts), Progress::Done);
            assert_eq!(authd(&facts), None);
            if cut < GREETING.len() {
                let claimed = claim(&tcp((40000, 902), Side::Destination, &ESXI[..cut]));
                assert_eq!(claimed, Claim::NeedBytes(GREETING.len()));
            }
        }
    }

    #[test]
    fn tls_behind_the_greeting_is_read() {
        let mut facts = Facts::default();
        let mut parser = (PROTOCOL.parser)(Transport::Tcp);
        parser.feed(Side::Destination, prefix(ESXI, false), &mut facts);
        parser.feed(Side::Source, prefix(CLIENT_HELLO, false), &mut facts);
        let server = [ESXI, SERVER_HELLO].concat();
        // The hello in two parts.
        let half = ESXI.len() + 3;
        let progress = parser.feed(Side::Destination, prefix(&server[..half], false), &mut facts);
        assert!(matches!(progress, Progress::NeedBytes(bytes) if bytes > half), "{progress:?}");
        parser.feed(Side::Destination, prefix(&server, true), &mut facts);
        assert!(authd(&facts).is_some());
        assert!(facts.has(&tls::JA3), "client");
        assert!(facts.has(&tls::JA3S), "server");
        assert_eq!(facts.first(&tls::JA3S).map(|fact| fact.side), Some(Side::Destination));
    }

    #[test]
    fn a_login_in_clear_is_not_kept() {
        let mut facts = Facts::default();
        let mut parser = (PROTOCOL.parser)(Transport::Tcp);
        parser.feed(Side::Destination, prefix(WORKSTATION, false), &mut facts);
        assert_eq!(
            parser.feed(Side::Source, prefix(b"USER root\r\nPASS secret\r\n", false), &mut facts),
            Progress::Done
        );
        assert_eq!(facts.len(), 1);
    }

    #[test]
    fn other_greetings_are_refused() {
        for greeting in [&b"220 mail.example.com ESMTP\r\n"[..], b"220 VMware ESX FTP\r\n", b"\x16\x03\x01"] {
            assert_eq!(claim(&tcp((40000, 902), Side::Destination, greeting)), Claim::No);
        }
        assert_eq!(claim(&tcp((40000, 902), Side::Source, ESXI)), Claim::No, "the server greets");
    }

    #[test]
    fn a_greeting_without_end_is_let_go() {
        let long = [GREETING, &[b'x'; GREETING_BYTES_MAX]].concat();
        let mut facts = Facts::default();
        let mut parser = (PROTOCOL.parser)(Transport::Tcp);
        assert_eq!(parser.feed(Side::Destination, prefix(&long, false), &mut facts), Progress::Done);
        assert_eq!(facts.len(), 0);
        assert!(facts.flags.has(Flag::LimitReached));
    }
}
