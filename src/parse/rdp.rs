//! Remote Desktop, and TLS that its first exchange agrees on.
//!
//! In: the prefixes of both sides. Out: which kinds of security the client asks for and which one the server takes. The
//! cookie that names a user is not kept.
//! Sources: [MS-RDPBCGR] sections 2.2.1.1 and 2.2.1.2, RFC 1006 (TPKT), ITU-T X.224.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Kind, Side};
use crate::parse::inner::Inner;
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

/// Kinds of security the client can do, a bit each: 1 TLS, 2 CredSSP, 4 RDSTLS, 8 CredSSP with early authorisation,
/// 16 Azure AD; 0 is RDP's own.
pub static REQUESTED: Field = Field::new(
    "rdp.requested_protocols",
    Kind::Number,
    "kinds of security an RDP client asks for, a bit each",
    "[MS-RDPBCGR] section 2.2.1.1.1",
);
/// The one the server takes.
pub static SELECTED: Field = Field::new(
    "rdp.selected_protocol",
    Kind::Number,
    "kind of security an RDP server takes",
    "[MS-RDPBCGR] section 2.2.1.2.1",
);

/// RDP.
pub static PROTOCOL: Protocol = Protocol {
    name: "rdp",
    over: &[Transport::Tcp],
    fields: &[&REQUESTED, &SELECTED],
    claim,
    embedded: false,
    parser: |_| Box::new(Rdp { inner: Inner::tls() }),
};

/// TPKT header, X.224 length, type and fixed part.
const HEAD_BYTES: usize = 11;
/// An X.224 header can say that it is this long.
const PACKET_BYTES_MAX: usize = 4 + 255;
/// X.224 connection request and confirmation.
const REQUEST: u8 = 0xe0;
const CONFIRM: u8 = 0xd0;
/// Bytes of a negotiation structure: type, flags, length, value.
const NEGOTIATION_BYTES: usize = 8;
const NEGOTIATION_REQUEST: u8 = 1;
const NEGOTIATION_ANSWER: u8 = 2;
const NEGOTIATION_FAILURE: u8 = 3;

/// The first packet of a side.
enum Packet {
    Need(usize),
    Other,
    /// Where it ends, its negotiation (type and value), whether it is surely RDP.
    Known(usize, Option<(u8, u32)>, bool),
}

fn claim(&Opening { bytes, .. }: &Opening<'_>) -> Claim {
    match packet(bytes) {
        Packet::Known(.., true) => Claim::Yes,
        // X.224 carries other protocols, too.
        Packet::Known(.., false) | Packet::Other => Claim::No,
        Packet::Need(bytes) => Claim::NeedBytes(bytes),
    }
}

fn packet(bytes: &[u8]) -> Packet {
    if !bytes.starts_with(&[3, 0]) && ![3, 0].starts_with(bytes) {
        return Packet::Other;
    }
    let mut reader = Reader::new(bytes);
    let (Some(_), Some(length), Some(x224), Some(kind)) = (reader.u16(), reader.u16(), reader.u8(), reader.u8()) else {
        return Packet::Need(HEAD_BYTES);
    };
    let length = usize::from(length);
    let fits = (HEAD_BYTES..=PACKET_BYTES_MAX).contains(&length) && usize::from(x224).saturating_add(5) == length;
    if !fits || !matches!(kind, REQUEST | CONFIRM) {
        return Packet::Other;
    }
    let Some(rest) = bytes.get(HEAD_BYTES..length) else { return Packet::Need(length) };
    let negotiation = rest.len().checked_sub(NEGOTIATION_BYTES).and_then(|at| rest.split_at_checked(at));
    let read = negotiation.and_then(|(before, structure)| {
        let (kind_of, value) = negotiation_of(structure)?;
        let right_way = (kind == REQUEST) == (kind_of == NEGOTIATION_REQUEST);
        // Before a request a cookie may stand, before an answer nothing.
        let clean = before.is_empty() || kind == REQUEST && before.ends_with(b"\r\n");
        (right_way && clean).then_some((kind_of, value))
    });
    let cookie = kind == REQUEST && rest.starts_with(b"Cookie: mst") && (rest.ends_with(b"\r\n") || read.is_some());
    Packet::Known(length, read, read.is_some() || cookie)
}

/// Type and value; numbers have their least significant byte first.
fn negotiation_of(structure: &[u8]) -> Option<(u8, u32)> {
    let &[kind, _, 8, 0, a, b, c, d] = structure.first_chunk()? else { return None };
    matches!(kind, NEGOTIATION_REQUEST..=NEGOTIATION_FAILURE).then(|| (kind, u32::from_le_bytes([a, b, c, d])))
}

struct Rdp {
    inner: Inner,
}

impl Parser for Rdp {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if self.inner.has_begun(side) {
            return self.inner.feed(side, prefix, facts);
        }
        let end = match packet(prefix.bytes) {
            Packet::Known(end, negotiation, _) => {
                match negotiation {
                    Some((NEGOTIATION_REQUEST, value)) => facts.add_number(&REQUESTED, side, prefix.seen, value.into()),
                    Some((NEGOTIATION_ANSWER, value)) => facts.add_number(&SELECTED, side, prefix.seen, value.into()),
                    _ => {}
                }
                end
            }
            Packet::Need(bytes) if !prefix.last => return Progress::NeedBytes(bytes),
            Packet::Need(_) | Packet::Other => return Progress::Done,
        };
        self.inner.enter(side, end, prefix, facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::testing::{C, S, Talk, claim, is_taken_over};

    /// [MS-RDPBCGR] sections 4.1.1 and 4.1.2, here with TLS in place of RDP's own security.
    const ASK: &[u8] = b"\x03\0\0\x2c\x27\xe0\0\0\0\0\0Cookie: mstshash=eltons\r\n\x01\0\x08\0\x03\0\0\0";
    const TAKE: &[u8] = b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x02\0\x08\0\x01\0\0\0";

    #[test]
    fn tls_behind_the_negotiation() {
        is_taken_over(&PROTOCOL, ASK, TAKE);
        let talk = Talk::new(&PROTOCOL).send(C, ASK).send(S, TAKE);
        assert_eq!((talk.text(&REQUESTED), talk.text(&SELECTED)), (vec!["3".into()], vec!["1".into()]));
        talk.keeps_out("eltons");
    }

    #[test]
    fn no_tls_or_no_answer() {
        let talk =
            Talk::new(&PROTOCOL).send(C, ASK).send(S, b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x03\0\x08\0\x02\0\0\0");
        assert!(talk.text(&SELECTED).is_empty(), "a failure");
        let talk = talk.send(C, b"\x03\0\x01\xca\x02\xf0\x80\x7f").end();
        assert!(talk.is_done(C));
        let cut = Talk::new(&PROTOCOL).send(C, ASK.get(..40).unwrap()).end();
        assert!(cut.everything().is_empty());
    }

    #[test]
    fn claims() {
        let alone = b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\0\0\0\0";
        let cookie = b"\x03\0\0\x23\x1e\xe0\0\0\0\0\0Cookie: mstshash=elton\r\n";
        for (side, bytes) in [(C, ASK), (S, TAKE), (C, alone), (C, cookie)] {
            assert_eq!(claim(&PROTOCOL, side, bytes), Claim::Yes);
            for end in 1..bytes.len() {
                assert!(matches!(claim(&PROTOCOL, side, bytes.get(..end).unwrap()), Claim::NeedBytes(n) if n > end));
            }
        }
        let no: [&[u8]; 4] = [
            // S7comm asks for a connection in X.224 with parameters of its own.
            b"\x03\0\0\x16\x11\xe0\0\0\0\x01\0\xc0\x01\x0a\xc1\x02\x01\0\xc2\x02\x01\x02",
            b"\x03\0\0\x0b\x06\xe0\0\0\0\0\0",
            b"\x03\0\0\x13\x0e\xf0\0\0\0\0\0\x01\0\x08\0\0\0\0\0",
            b"\x03\x01\0\x13",
        ];
        for bytes in no {
            assert_eq!(claim(&PROTOCOL, C, bytes), Claim::No, "{bytes:?}");
        }
    }
}
