//! TLS over TCP, from SSL 3.0 to 1.3.
//!
//! In: the first bytes of both sides. Out: what the hellos offer and choose, their fingerprints,
//! and, up to TLS 1.2, the certificates of both sides. Either side may be the client: there are
//! products that open a TCP flow and then wait for the other side's ClientHello. A fact belongs
//! to the side that sent it.
//! Sources: RFC 8446, RFC 5246, RFC 6101.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod certificate;
pub mod hello;
pub mod record;

#[cfg(test)]
mod tests;

use crate::fact::{Facts, Field, Flag, Kind, Seen, Side};
use crate::fingerprint::ja4::Transport as HelloTransport;
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, dns};
use hello::{ClientHello, START_BYTES, ServerHello, Start, hello_start, version2_hello};
use record::{CHANGE_CIPHER_SPEC, HANDSHAKE, NOTICE, RECORD_HEADER_BYTES, Records, Step, is_record};

/// Server name of a ClientHello.
pub static SNI: Field = Field::new("tls.sni", Kind::Name, "server name in a TLS ClientHello", "RFC 6066 section 3");
/// Application protocols that a client offers, one each; on the server's side the chosen one.
pub static ALPN: Field = Field::new("tls.alpn", Kind::Text, "application protocol, offered or chosen", "RFC 7301");
/// JA3 of a ClientHello.
pub static JA3: Field = Field::new("tls.ja3", Kind::Hex, "JA3 of the client", "salesforce/ja3");
/// JA3S of a ServerHello.
pub static JA3S: Field = Field::new("tls.ja3s", Kind::Hex, "JA3S of the server", "salesforce/ja3");
/// JA4 of a ClientHello.
pub static JA4: Field =
    Field::new("tls.ja4", Kind::Text, "JA4 of the client", "FoxIO-LLC/ja4, technical_details/JA4.md");
/// Version that the server chose, 0x0304 for TLS 1.3.
pub static VERSION: Field =
    Field::new("tls.version", Kind::Number, "version the server chose", "RFC 8446 section 4.1.3");
/// Cipher suite that the server chose.
pub static CIPHER: Field =
    Field::new("tls.cipher", Kind::Number, "cipher suite the server chose", "RFC 8446 section 4.1.3");
/// `config_id` of an encrypted client hello. A placeholder has one too, at random; compare it
/// and the suite with what DNS says of the server named in the open.
pub static ECH: Field = Field::new("tls.ech", Kind::Number, "config id of an encrypted client hello", "RFC 9849");
/// HPKE key derivation function and cipher of an encrypted client hello, two bytes each.
pub static ECH_SUITE: Field =
    Field::new("tls.ech_suite", Kind::Hex, "HPKE suite of an encrypted client hello", "RFC 9849");
/// Subject of a certificate, `CN=a,OU=b,O=c`.
pub static X509_SUBJECT: Field =
    Field::new("x509.subject", Kind::Text, "subject of a certificate of the chain", "RFC 5280 section 4.1.2.6");
/// Issuer of a certificate, in the same form.
pub static X509_ISSUER: Field =
    Field::new("x509.issuer", Kind::Text, "issuer of a certificate of the chain", "RFC 5280 section 4.1.2.4");
/// Alternative name of the sender's own certificate: DNS name, address, mail address or URI.
pub static X509_SAN: Field =
    Field::new("x509.san", Kind::Name, "alternative name of the certificate", "RFC 5280 section 4.2.1.6");
/// SHA-256 of the sender's own certificate.
pub static X509_SHA256: Field =
    Field::new("x509.sha256", Kind::Hex, "SHA-256 of the certificate", "RFC 5280 section 4.1");
/// Seconds since 1970 at which the sender's own certificate ends.
pub static X509_NOT_AFTER: Field =
    Field::new("x509.not_after", Kind::Number, "end of validity, Unix seconds", "RFC 5280 section 4.1.2.5");

/// TLS over TCP.
pub static PROTOCOL: Protocol = Protocol {
    name: "tls",
    over: &[Transport::Tcp],
    fields: &[
        &SNI,
        &ALPN,
        &JA3,
        &JA3S,
        &JA4,
        &VERSION,
        &CIPHER,
        &ECH,
        &ECH_SUITE,
        &X509_SUBJECT,
        &X509_ISSUER,
        &X509_SAN,
        &X509_SHA256,
        &X509_NOT_AFTER,
    ],
    claim: |&Opening { bytes, .. }| claim(bytes),
    embedded: true,
    parser: |_| Box::new(TlsParser::default()),
};

/// Handshake types, RFC 8446 section 4 and RFC 5246 section 7.4.
pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const CERTIFICATE: u8 = 11;
pub(super) const CERTIFICATE_REQUEST: u8 = 13;
pub(super) const SERVER_HELLO_DONE: u8 = 14;
const CERTIFICATE_VERIFY: u8 = 15;
pub(super) const CLIENT_KEY_EXCHANGE: u8 = 16;
const FINISHED: u8 = 20;

/// Prefix that one side can have; a message that would need more is cut by this limit.
pub const HELLO_BYTES_MAX: usize = 64 * 1024;
/// Records without handshake bytes that may stand before a hello, in bytes.
const CLAIM_BYTES_MAX: usize = 512;
/// Server names of one hello that are kept.
const SERVER_NAMES_MAX: usize = 8;
/// DNS over TLS (RFC 7858, IANA ALPN protocol IDs).
const DNS_ALPN: &[u8] = b"dot";
/// Application protocols of one hello that are kept.
const ALPN_NAMES_MAX: usize = 32;

/// Whether a hello starts here. It may stand behind notices and empty records, and its first
/// bytes may be spread over several records.
pub fn claim(bytes: &[u8]) -> Claim {
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        return match version2_hello(bytes) {
            Ok(_) => Claim::Yes,
            Err(Start::Short) => Claim::NeedBytes(11),
            Err(_) => Claim::No,
        };
    }
    let mut start = [0; START_BYTES];
    let mut have = 0;
    let mut at = 0_usize;
    while at <= CLAIM_BYTES_MAX {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some((&[kind, major, minor, high, low], payload)) = rest.split_first_chunk() else {
            let fits = match *rest {
                [] => true,
                [kind] => is_record(kind, 3, 0),
                [kind, major] => is_record(kind, major, 0),
                [kind, major, minor, ..] => is_record(kind, major, minor),
            };
            // A hello has more than this behind the header.
            let want = at.saturating_add(RECORD_HEADER_BYTES).saturating_add(START_BYTES.saturating_sub(have));
            return if fits { Claim::NeedBytes(want) } else { Claim::No };
        };
        if !is_record(kind, major, minor) {
            return Claim::No;
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        match (kind, length) {
            (HANDSHAKE, _) => {
                let free = start.get_mut(have..).unwrap_or_default();
                let want = length.min(free.len());
                let there = payload.get(..want).unwrap_or(payload);
                for (slot, byte) in free.iter_mut().zip(there) {
                    *slot = *byte;
                }
                have = have.saturating_add(there.len());
                match hello_start(start.get(..have).unwrap_or_default()) {
                    Start::Hello => return Claim::Yes,
                    Start::Other => return Claim::No,
                    Start::Short if there.len() < want => {
                        return Claim::NeedBytes(at.saturating_add(RECORD_HEADER_BYTES).saturating_add(want));
                    }
                    Start::Short => {}
                }
            }
            (NOTICE, 2) | (CHANGE_CIPHER_SPEC, 1) => {}
            _ => return Claim::No,
        }
        at = at.saturating_add(RECORD_HEADER_BYTES).saturating_add(length);
    }
    Claim::No
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// One side.
#[derive(Default)]
struct End {
    records: Records,
    talk: Talk,
    done: bool,
}

/// What one side has said.
#[derive(Default)]
struct Talk {
    role: Option<Role>,
    hellos: u32,
    /// Its first bytes were no record.
    foreign: bool,
}

/// What is known of the handshake as a whole.
#[derive(Default)]
struct Handshake {
    /// The server sent a HelloRetryRequest.
    retry: bool,
    /// The server asked for a certificate.
    certificate_request: bool,
    /// After its hellos the client has nothing to say that can be read or is wanted.
    client_settled: bool,
}

impl Handshake {
    fn hellos_wanted(&self) -> u32 {
        if self.retry { 2 } else { 1 }
    }
}

/// Reads both sides of one flow.
#[derive(Default)]
pub struct TlsParser {
    source: End,
    destination: End,
    handshake: Handshake,
}

impl Parser for TlsParser {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let (end, peer) = match side {
            Side::Source => (&mut self.source, &mut self.destination),
            Side::Destination => (&mut self.destination, &mut self.source),
        };
        if !end.done {
            if let Some(bytes) = end.read(&mut self.handshake, side, prefix, facts) {
                return Progress::NeedBytes(bytes);
            }
            end.done = true;
        }
        if self.handshake.client_settled && peer.talk.hellos >= self.handshake.hellos_wanted() {
            peer.done = true;
        }
        match (peer.done, end.talk.foreign && peer.talk.foreign) {
            (true, true) => Progress::NotMine,
            (true, false) => Progress::AllDone,
            (false, _) => Progress::Done,
        }
    }
}

impl End {
    /// Reads on; the bytes needed to go further, or `None` when nothing more is wanted.
    fn read(&mut self, handshake: &mut Handshake, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Option<usize> {
        let End { records, talk, .. } = self;
        if records.is_at_start() && prefix.bytes.first().is_some_and(|first| first & 0x80 != 0) {
            match version2_hello(prefix.bytes) {
                Ok(length) => {
                    records.start_at(length);
                    talk.role = Some(Role::Client);
                    talk.hellos = 1;
                }
                Err(Start::Short) if !prefix.last => return Some(11),
                Err(_) => {}
            }
        }
        loop {
            let step = records.next(prefix.bytes);
            let more = match step {
                Step::Need(bytes) if !prefix.last => {
                    note_oversize(records, facts);
                    return Some(bytes);
                }
                Step::Need(_) => {
                    read_cut(records, side, prefix, facts);
                    false
                }
                Step::Message { kind, body, records } => {
                    let message = Message { kind, body, records, split: prefix.split };
                    talk.message(handshake, message, side, prefix.seen, facts)
                }
                Step::ChangeCipher => talk.change_cipher(handshake),
                Step::Encrypted => {
                    if talk.role == Some(Role::Server) {
                        handshake.client_settled = true;
                    }
                    false
                }
                Step::Foreign => {
                    talk.foreign = talk.role.is_none();
                    if !talk.foreign {
                        facts.flags.set(Flag::ParseError);
                    }
                    false
                }
            };
            if !more {
                note_oversize(records, facts);
                return None;
            }
        }
    }
}

fn note_oversize(records: &Records, facts: &mut Facts) {
    if records.oversize {
        facts.flags.set(Flag::LimitReached);
    }
}

/// What can be had of a message whose rest will never come.
fn read_cut(records: &mut Records, side: Side, prefix: Prefix<'_>, facts: &mut Facts) {
    let Some((kind, body, bytes_needed)) = records.cut(prefix.bytes) else { return };
    if !matches!(kind, CLIENT_HELLO | SERVER_HELLO | CERTIFICATE) {
        return;
    }
    facts.flags.set(if bytes_needed > HELLO_BYTES_MAX { Flag::LimitReached } else { Flag::Truncated });
    if kind == CLIENT_HELLO {
        add_names_of_cut(body, &OVER_TCP, side, prefix.seen, facts);
    }
}

struct Message<'a> {
    kind: u8,
    body: &'a [u8],
    records: u32,
    split: bool,
}

impl Talk {
    /// Takes a message in; whether more is wanted of this side.
    fn message(
        &mut self,
        handshake: &mut Handshake,
        message: Message<'_>,
        side: Side,
        seen: Seen,
        facts: &mut Facts,
    ) -> bool {
        match message.kind {
            CLIENT_HELLO => {
                self.role = Some(Role::Client);
                if message.records > 1 {
                    facts.flags.set(Flag::HelloMultiRecord);
                }
                // Of a later hello nobody knows how many segments it had for itself.
                if message.split && self.hellos == 0 {
                    facts.flags.set(Flag::HelloSplit);
                }
                self.hellos = self.hellos.saturating_add(1);
                match ClientHello::parse(message.body) {
                    Ok(hello) => add_client_hello(&hello, &OVER_TCP, side, seen, facts),
                    Err(_) => {
                        // Somebody may take it for a hello all the same; what it offers is not known.
                        facts.flags.set(Flag::ParseError);
                        add_names_of_cut(message.body, &OVER_TCP, side, seen, facts);
                    }
                }
                !handshake.client_settled || self.hellos < handshake.hellos_wanted()
            }
            SERVER_HELLO => {
                self.role = Some(Role::Server);
                self.hellos = self.hellos.saturating_add(1);
                let Ok(hello) = ServerHello::parse(message.body) else {
                    facts.flags.set(Flag::ParseError);
                    return true;
                };
                add_server_hello(&hello, side, seen, facts);
                if hello.retry {
                    handshake.retry = true;
                    return true;
                }
                handshake.client_settled |= hello.seals_what_follows();
                !hello.seals_what_follows()
            }
            CERTIFICATE => {
                certificate::add_chain(message.body, side, seen, facts);
                self.role != Some(Role::Client)
            }
            CERTIFICATE_REQUEST => {
                handshake.certificate_request = true;
                false
            }
            SERVER_HELLO_DONE => {
                handshake.client_settled |= !handshake.certificate_request;
                false
            }
            CLIENT_KEY_EXCHANGE | CERTIFICATE_VERIFY | FINISHED => false,
            _ => true,
        }
    }

    /// Whether more is wanted of this side after it began to encrypt: only when a second hello
    /// may come, which in TLS 1.3 stands behind this record.
    fn change_cipher(&self, handshake: &mut Handshake) -> bool {
        match self.role {
            Some(Role::Server) if !handshake.retry => {
                // A resumed handshake: there are no certificates.
                handshake.client_settled = true;
                false
            }
            Some(Role::Client) => !handshake.client_settled || handshake.retry,
            _ => true,
        }
    }
}

/// What carried a hello, and where its server names belong.
pub(super) struct Carrier {
    pub(super) transport: HelloTransport,
    pub(super) name_field: &'static Field,
}

const OVER_TCP: Carrier = Carrier { transport: HelloTransport::Tls, name_field: &SNI };

/// Adds what a client offers.
pub(super) fn add_client_hello(hello: &ClientHello<'_>, carrier: &Carrier, side: Side, seen: Seen, facts: &mut Facts) {
    let (ja3, ja4) = hello.fingerprints(carrier.transport);
    facts.add(&JA3, side, seen, &ja3);
    facts.add(&JA4, side, seen, &ja4);
    let mut names = hello.server_names();
    for name in names.by_ref().take(SERVER_NAMES_MAX) {
        facts.add(carrier.name_field, side, seen, name);
    }
    let mut protocols = hello.alpn().filter(|name| !name.is_empty());
    for name in protocols.by_ref().take(ALPN_NAMES_MAX) {
        facts.add(&ALPN, side, seen, name);
        if name == DNS_ALPN {
            facts.add(&dns::TRANSPORT, side, seen, b"dot");
        }
    }
    if names.next().is_some() || protocols.next().is_some() {
        facts.flags.set(Flag::LimitReached);
    }
    if hello.ech {
        facts.flags.set(Flag::Ech);
    }
    if let Some(ech) = &hello.ech_outer {
        facts.add_number(&ECH, side, seen, u64::from(ech.config_id));
        facts.add(&ECH_SUITE, side, seen, &ech.suite());
    }
    if hello.odd {
        facts.flags.set(Flag::ParseError);
    }
}

/// Adds the server names in the first part of a ClientHello whose rest never came or makes no sense.
pub(super) fn add_names_of_cut(body: &[u8], carrier: &Carrier, side: Side, seen: Seen, facts: &mut Facts) {
    for name in hello::server_names_of_cut(body, carrier.transport).take(SERVER_NAMES_MAX) {
        facts.add(carrier.name_field, side, seen, name);
    }
}

/// Adds what a server chose.
pub(super) fn add_server_hello(hello: &ServerHello<'_>, side: Side, seen: Seen, facts: &mut Facts) {
    facts.add(&JA3S, side, seen, &hello.ja3s());
    facts.add_number(&VERSION, side, seen, u64::from(hello.negotiated_version()));
    facts.add_number(&CIPHER, side, seen, u64::from(hello.cipher));
    if let Some(name) = hello.alpn {
        facts.add(&ALPN, side, seen, name);
    }
}
