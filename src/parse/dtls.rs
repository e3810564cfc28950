//! DTLS 1.0, 1.2 and 1.3 over UDP.
//!
//! In: datagrams. Out: the same facts as of TLS over TCP: what the hellos offer and choose and, up to DTLS 1.2, the
//! certificates. Handshake messages come in fragments, in any order and between each other, and come again when an
//! answer is late. Either side may be the client.
//! Sources: RFC 6347 (1.2), RFC 4347 (1.0), RFC 9147 (1.3).

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod record;

#[cfg(test)]
mod tests;

use crate::bytes::Reader;
use crate::fact::{Facts, Flag, Seen, Side};
use crate::fingerprint::ja4::Transport as HelloTransport;
use crate::parse::tls::hello::{ClientHello, ServerHello};
use crate::parse::tls::{
    self, CERTIFICATE, CERTIFICATE_REQUEST, CLIENT_HELLO, CLIENT_KEY_EXCHANGE, Carrier, SERVER_HELLO,
    SERVER_HELLO_DONE, certificate,
};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};
use crate::stream::{PREFIX_BYTES_MAX, Stream};
use record::{CHANGE_CIPHER_SPEC, Fragment, Fragments, HANDSHAKE, Records, is_version};

/// DTLS over UDP. Its fields are those of TLS.
pub static PROTOCOL: Protocol = Protocol {
    name: "dtls",
    over: &[Transport::Udp],
    fields: &[],
    claim: |&Opening { bytes, .. }| claim(bytes),
    embedded: false,
    parser: |_| Box::new(Dtls::default()),
};

const CARRIER: Carrier = Carrier { transport: HelloTransport::Dtls, name_field: &tls::SNI };

/// `hello_verify_request`, RFC 6347 section 4.3.2.
const HELLO_VERIFY_REQUEST: u8 = 3;
/// The version that seals all but the hellos.
const DTLS_1_3: u16 = 0xfefc;
/// Version, random, three lengths: less is no hello. Of a request to say it again: version, length.
const HELLO_BYTES_MIN: u32 = 37;
const VERIFY_BYTES_MIN: u32 = 3;
const VERIFY_BYTES_MAX: u32 = 3 + 255;
/// The longest message of which the fragments are kept, and the bytes kept of one side.
const MESSAGE_BYTES_MAX: usize = PREFIX_BYTES_MAX;
/// Messages of a side of which fragments are kept at a time.
const MESSAGES_MAX: usize = 8;
/// Numbers of messages that are told apart; a handshake has less than twenty.
const NUMBERS_MAX: u16 = 64;
/// Datagrams in a row without a handshake message in plain text, after which none is waited for.
const QUIET_DATAGRAMS_MAX: u32 = 32;
/// Datagrams with handshake messages that are read of one flow.
const DATAGRAMS_MAX: u32 = 512;

/// A hello, or the first part of one, in the first record of a datagram.
fn claim(bytes: &[u8]) -> Claim {
    match first_fragment(bytes) {
        Some(fragment) if is_start(&fragment) => Claim::Yes,
        _ => Claim::No,
    }
}

fn first_fragment(bytes: &[u8]) -> Option<Fragment<'_>> {
    let record = Records::new(bytes).next()?;
    let first_numbers = record.plain && record.number <= u64::from(u32::MAX);
    if record.kind != Some(HANDSHAKE) || !first_numbers {
        return None;
    }
    let mut fragments = Fragments::new(record.payload);
    let first = fragments.next()?;
    // The rest of the record too, or it is something else.
    fragments.by_ref().for_each(drop);
    (!fragments.malformed).then_some(first)
}

fn is_start(fragment: &Fragment<'_>) -> bool {
    let length_fits = match fragment.kind {
        CLIENT_HELLO | SERVER_HELLO => (HELLO_BYTES_MIN..=MESSAGE_BYTES_MAX as u32).contains(&fragment.length),
        HELLO_VERIFY_REQUEST => (VERIFY_BYTES_MIN..=VERIFY_BYTES_MAX).contains(&fragment.length),
        _ => false,
    };
    let version = Reader::new(fragment.bytes).u16();
    length_fits
        && fragment.number < NUMBERS_MAX
        && !fragment.bytes.is_empty()
        && (fragment.offset > 0 || version.is_none_or(is_version))
}

/// A message of which not all fragments are there yet.
struct Message {
    kind: u8,
    number: u16,
    length: u32,
    bytes: Stream,
    /// The datagram that its first fragment came in.
    datagram: u32,
}

/// One side.
#[derive(Default)]
struct End {
    messages: Vec<Message>,
    /// Numbers of the messages that are done with, one bit each.
    seen: u64,
    /// The number of the last message that is wanted.
    last: Option<u16>,
    hellos: u32,
    /// It began to encrypt.
    sealed: bool,
}

impl End {
    fn has_seen(&self, number: u16) -> bool {
        self.seen >> number & 1 != 0
    }

    /// All messages from the first to the last that is wanted are done with, or it encrypts and none was begun.
    fn is_settled(&self) -> bool {
        match self.last {
            Some(last) => {
                let up_to_last = u64::MAX >> u32::from(NUMBERS_MAX.saturating_sub(1).saturating_sub(last));
                let from_first = u64::MAX << self.seen.trailing_zeros().min(u64::BITS.saturating_sub(1));
                let wanted = up_to_last & from_first;
                self.seen & wanted == wanted
            }
            None => self.sealed && self.messages.is_empty(),
        }
    }

    /// Adds a fragment; the message that it completes, its bytes and whether they came in several datagrams.
    fn gather(&mut self, fragment: &Fragment<'_>, datagram: u32, facts: &mut Facts) -> Option<Message> {
        let at = match self.messages.iter().position(|message| message.number == fragment.number) {
            Some(at) => at,
            None => {
                let kept = self.messages.iter().fold(0, |sum: usize, m| sum.saturating_add(m.length as usize));
                let room = MESSAGE_BYTES_MAX.saturating_sub(kept);
                if fragment.length as usize > room || self.messages.len() >= MESSAGES_MAX {
                    facts.flags.set(Flag::LimitReached);
                    return None;
                }
                let Fragment { kind, number, length, .. } = *fragment;
                let mut bytes = Stream::default();
                bytes.anchor(0);
                self.messages.push(Message { kind, number, length, bytes, datagram });
                self.messages.len().saturating_sub(1)
            }
        };
        let message = self.messages.get_mut(at)?;
        if (message.kind, message.length) != (fragment.kind, fragment.length) {
            facts.flags.set(Flag::OverlapConflict);
            return None;
        }
        let inserted = message.bytes.insert(fragment.offset, fragment.bytes);
        if inserted.conflict {
            facts.flags.set(Flag::OverlapConflict);
        }
        if inserted.limited {
            facts.flags.set(Flag::LimitReached);
        }
        let whole = message.bytes.prefix().len() == message.length as usize;
        whole.then(|| self.messages.swap_remove(at))
    }
}

/// Reads both sides of one flow.
#[derive(Default)]
pub struct Dtls {
    ends: [End; 2],
    /// The side of a ClientHello, or the other one of a ServerHello.
    client: Option<Side>,
    /// The server wants to hear the hello again.
    again: bool,
    /// The server asked for a certificate.
    certificate_request: bool,
    datagrams: u32,
    quiet: u32,
}

impl Parser for Dtls {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let mut spoke = false;
        for record in Records::new(prefix.bytes) {
            match record.kind {
                _ if !record.plain => self.end_mut(side).sealed = true,
                Some(CHANGE_CIPHER_SPEC) => self.end_mut(side).sealed = true,
                Some(HANDSHAKE) => {
                    spoke = true;
                    let mut fragments = Fragments::new(record.payload);
                    for fragment in fragments.by_ref() {
                        self.fragment(&fragment, side, prefix.seen, facts);
                    }
                    if fragments.malformed {
                        facts.flags.set(Flag::ParseError);
                    }
                }
                _ => {}
            }
        }
        if self.ends.iter().all(|end| end.messages.is_empty()) {
            facts.flags.clear(Flag::Gap);
        } else {
            facts.flags.set(Flag::Gap);
        }
        if self.is_over() {
            return Progress::AllDone;
        }
        if spoke {
            self.quiet = 0;
            self.datagrams = self.datagrams.saturating_add(1);
        } else {
            self.quiet = self.quiet.saturating_add(1);
        }
        if self.datagrams >= DATAGRAMS_MAX {
            facts.flags.set(Flag::LimitReached);
        }
        if self.quiet >= QUIET_DATAGRAMS_MAX || self.datagrams >= DATAGRAMS_MAX {
            self.read_cut(prefix.seen, facts);
            return Progress::AllDone;
        }
        Progress::NeedBytes(0)
    }

    fn heap_bytes(&self) -> usize {
        let messages = self.ends.iter().flat_map(|end| &end.messages);
        let bytes = messages.map(|message| size_of::<Message>().saturating_add(message.bytes.heap_bytes()));
        bytes.fold(size_of::<Dtls>(), usize::saturating_add)
    }
}

impl Dtls {
    fn end(&self, side: Side) -> &End {
        side.of(&self.ends)
    }

    fn end_mut(&mut self, side: Side) -> &mut End {
        side.of_mut(&mut self.ends)
    }

    /// Nothing more is wanted of either side.
    fn is_over(&self) -> bool {
        let Some(client) = self.client else { return false };
        let (client, server) = (self.end(client), self.end(client.other()));
        let hellos_wanted = if self.again { 2 } else { 1 };
        let client_is_settled = client.is_settled() || !self.certificate_request && client.hellos >= hellos_wanted;
        server.hellos > 0 && server.is_settled() && client_is_settled
    }

    fn fragment(&mut self, fragment: &Fragment<'_>, side: Side, seen: Seen, facts: &mut Facts) {
        let datagram = self.datagrams;
        let end = self.end_mut(side);
        if fragment.number >= NUMBERS_MAX {
            facts.flags.set(Flag::LimitReached);
            return;
        }
        if end.has_seen(fragment.number) {
            return;
        }
        let is_wanted = matches!(fragment.kind, CLIENT_HELLO | SERVER_HELLO | CERTIFICATE);
        if fragment.bytes.len() == fragment.length as usize || !is_wanted {
            end.messages.retain(|message| message.number != fragment.number);
            return self.message(fragment.kind, fragment.number, fragment.bytes, side, seen, facts);
        }
        if let Some(message) = end.gather(fragment, datagram, facts) {
            if message.kind == CLIENT_HELLO && message.datagram != datagram {
                facts.flags.set(Flag::HelloSplit);
            }
            self.message(message.kind, message.number, message.bytes.prefix(), side, seen, facts);
        }
    }

    /// A whole message; of one that is not wanted, any part.
    fn message(&mut self, kind: u8, number: u16, body: &[u8], side: Side, seen: Seen, facts: &mut Facts) {
        let end = self.end_mut(side);
        end.seen |= 1 << number;
        match kind {
            CLIENT_HELLO => {
                end.hellos = end.hellos.saturating_add(1);
                self.client = Some(side);
                match ClientHello::parse_as(body, HelloTransport::Dtls) {
                    Ok(hello) => tls::add_client_hello(&hello, &CARRIER, side, seen, facts),
                    Err(_) => facts.flags.set(Flag::ParseError),
                }
            }
            HELLO_VERIFY_REQUEST => self.again = true,
            SERVER_HELLO => {
                self.client = self.client.or(Some(side.other()));
                match ServerHello::parse(body) {
                    Ok(hello) => {
                        tls::add_server_hello(&hello, side, seen, facts);
                        if hello.retry {
                            self.again = true;
                            return;
                        }
                        let end = self.end_mut(side);
                        end.hellos = end.hellos.saturating_add(1);
                        if hello.negotiated_version() == DTLS_1_3 {
                            end.last = Some(number);
                        }
                    }
                    Err(_) => facts.flags.set(Flag::ParseError),
                }
            }
            CERTIFICATE => certificate::add_chain(body, side, seen, facts),
            CERTIFICATE_REQUEST => self.certificate_request = true,
            SERVER_HELLO_DONE | CLIENT_KEY_EXCHANGE => end.last = Some(number),
            _ => {}
        }
    }

    /// What can be had of a ClientHello whose rest will never come.
    fn read_cut(&self, seen: Seen, facts: &mut Facts) {
        let Some(client) = self.client.or_else(|| {
            [Side::Source, Side::Destination].into_iter().find(|&side| !self.end(side).messages.is_empty())
        }) else {
            return;
        };
        for message in self.end(client).messages.iter().filter(|message| message.kind == CLIENT_HELLO) {
            tls::add_names_of_cut(message.bytes.prefix(), &CARRIER, client, seen, facts);
        }
    }
}
