//! X.509 certificates of the Certificate message, up to TLS 1.2.
//!
//! In: the body of the message. Out: facts. Of each certificate only the outline is walked, so
//! that a bad date, serial number or extension does not hide the names beside it.
//! Sources: RFC 5246 section 7.4.2, RFC 5280 section 4.1.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use sha2::{Digest, Sha256};
use x509_parser::asn1_rs::{Any, Class, FromDer, Oid, Tag};
use x509_parser::extensions::{GeneralName, SubjectAlternativeName};
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use super::{X509_ISSUER, X509_NOT_AFTER, X509_SAN, X509_SHA256, X509_SUBJECT};
use crate::bytes::Reader;
use crate::fact::{FACTS_PER_FIELD_MAX, Facts, Flag, Seen, Side, VALUE_BYTES_MAX};
use crate::memo::Memo;

/// Certificates of one chain that are read.
pub const CHAIN_CERTIFICATES_MAX: usize = 16;
/// Bytes of an attribute's object identifier; a longer one is printed as `oid`.
pub(super) const OID_BYTES_MAX: usize = 64;

/// `id-ce-subjectAltName`, 2.5.29.17, as DER content.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// Context tags in a TBSCertificate, RFC 5280 section 4.1.
const VERSION_TAG: Tag = Tag(0);
const EXTENSIONS_TAG: Tag = Tag(3);

/// Chains that a thread remembers.
const CHAINS_KEPT: usize = 1024;
/// Bytes of the longest of them. What is said of it fits into the facts of a flow.
const CHAIN_KEPT_BYTES_MAX: usize = 8 * 1024;

thread_local! {
    /// What the chains of servers say, which show the same to everybody.
    static CHAINS: RefCell<Memo<u8, Rc<Facts>, CHAINS_KEPT, CHAIN_KEPT_BYTES_MAX>> = RefCell::default();
}

/// Adds the facts of a chain: names of all, and of the first, which is the sender's own, also
/// alternative names, digest and end of validity.
pub fn add_chain(body: &[u8], side: Side, seen: Seen, facts: &mut Facts) {
    if body.len() > CHAIN_KEPT_BYTES_MAX {
        return read_chain(body, side, seen, facts);
    }
    let known = CHAINS.with_borrow_mut(|chains| {
        chains.get(body, || {
            let mut facts = Facts::default();
            read_chain(body, Side::Source, Seen::default(), &mut facts);
            facts.into()
        })
    });
    facts.flags.0 |= known.flags.0;
    for fact in known.iter() {
        facts.add(fact.field, side, seen, fact.value);
    }
}

fn read_chain(body: &[u8], side: Side, seen: Seen, facts: &mut Facts) {
    let mut message = Reader::new(body);
    let Some(mut chain) = message.vec24() else { return facts.flags.set(Flag::ParseError) };
    if !message.is_empty() {
        facts.flags.set(Flag::ParseError);
    }
    let mut text = Vec::new();
    for number in 0..CHAIN_CERTIFICATES_MAX {
        if chain.is_empty() {
            return;
        }
        let Some(der) = chain.vec24() else { return facts.flags.set(Flag::ParseError) };
        let der = der.rest();
        if number == 0 {
            facts.add(&X509_SHA256, side, seen, Sha256::digest(der).as_slice());
        }
        let Some(outline) = Outline::read(der) else {
            facts.flags.set(Flag::ParseError);
            continue;
        };
        for (field, name) in [(&X509_SUBJECT, outline.subject), (&X509_ISSUER, outline.issuer)] {
            if print_name(name, &mut text).is_none() {
                facts.flags.set(Flag::ParseError);
            } else if !text.is_empty() {
                facts.add(field, side, seen, &text);
            }
        }
        if number == 0 {
            add_validity(outline.validity, side, seen, facts);
            add_alternative_names(outline.extensions, side, seen, facts);
        }
    }
    if !chain.is_empty() {
        facts.flags.set(Flag::LimitReached);
    }
}

/// The parts of a certificate that facts come from, in DER.
struct Outline<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
    /// Content of the Validity sequence.
    validity: &'a [u8],
    /// Content of the Extensions sequence; empty when there are none.
    extensions: &'a [u8],
}

impl<'a> Outline<'a> {
    fn read(der: &'a [u8]) -> Option<Outline<'a>> {
        let mut certificate = Der(der);
        let mut certificate = Der(certificate.next()?.1.data);
        let mut fields = Der(certificate.next()?.1.data);
        if fields.clone().next()?.1.tag() == VERSION_TAG {
            fields.next()?;
        }
        let _serial_number = fields.next()?;
        let _signature_algorithm = fields.next()?;
        let (issuer, _) = fields.next()?;
        let (_, validity) = fields.next()?;
        let (subject, _) = fields.next()?;
        let wrapped = fields
            .find(|(_, field)| field.tag() == EXTENSIONS_TAG && field.class() == Class::ContextSpecific)
            .and_then(|(_, field)| Der(field.data).next());
        let extensions = wrapped.map_or(&[][..], |(_, list)| list.data);
        Some(Outline { issuer, subject, validity: validity.data, extensions })
    }
}

/// The values in a piece of DER, one after another: all bytes of each, and its outer layer.
#[derive(Clone)]
struct Der<'a>(&'a [u8]);

impl<'a> Iterator for Der<'a> {
    type Item = (&'a [u8], Any<'a>);

    fn next(&mut self) -> Option<(&'a [u8], Any<'a>)> {
        if self.0.is_empty() {
            return None;
        }
        let (rest, value) = Any::from_der(self.0).ok()?;
        let bytes = self.0.get(..self.0.len().saturating_sub(rest.len()))?;
        self.0 = rest;
        Some((bytes, value))
    }
}

fn add_validity(validity: &[u8], side: Side, seen: Seen, facts: &mut Facts) {
    let Some((not_after, _)) = Der(validity).nth(1) else { return facts.flags.set(Flag::ParseError) };
    match ASN1Time::from_der(not_after) {
        Ok((_, time)) => {
            // Before 1970 there is no number for it, and nothing to learn from it.
            if let Ok(seconds) = u64::try_from(time.timestamp()) {
                facts.add_number(&X509_NOT_AFTER, side, seen, seconds);
            }
        }
        Err(_) => facts.flags.set(Flag::ParseError),
    }
}

fn add_alternative_names(extensions: &[u8], side: Side, seen: Seen, facts: &mut Facts) {
    for (_, extension) in Der(extensions) {
        let mut parts = Der(extension.data);
        if parts.next().is_none_or(|(_, oid)| oid.data != SUBJECT_ALT_NAME) {
            continue;
        }
        // Between the two may stand whether it is critical.
        let Some((_, value)) = parts.last() else { continue };
        let Ok((_, names)) = SubjectAlternativeName::from_der(value.data) else {
            facts.flags.set(Flag::ParseError);
            continue;
        };
        if names.general_names.len() > FACTS_PER_FIELD_MAX {
            facts.flags.set(Flag::LimitReached);
        }
        for name in names.general_names.iter().take(FACTS_PER_FIELD_MAX) {
            match name {
                GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
                    facts.add(&X509_SAN, side, seen, text.as_bytes());
                }
                // Not UTF-8: as it stood.
                GeneralName::Invalid(Tag(1 | 2 | 6), bytes) => facts.add(&X509_SAN, side, seen, bytes),
                GeneralName::IPAddress(bytes) => {
                    if let Some(address) = ip_address(bytes) {
                        facts.add(&X509_SAN, side, seen, address.to_string().as_bytes());
                    }
                }
                _ => {}
            }
        }
    }
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// Prints a name into `text`, most specific part first: `CN=a,OU=b,O=c`; parts of equal rank are joined by `+`. A comma
/// or plus in a value that would read as the start of another part is `\2C` or `\2B` (RFC 4514, section 2.4), and a
/// backslash has another before it; any other stands as it is.
fn print_name(der: &[u8], text: &mut Vec<u8>) -> Option<()> {
    text.clear();
    let mut value = Vec::new();
    let (_, name) = X509Name::from_der(der).ok()?;
    let ranks: Vec<_> = name.iter_rdn().collect();
    for rank in ranks.into_iter().rev() {
        for (number, attribute) in rank.iter().enumerate() {
            if !text.is_empty() {
                text.push(if number == 0 { b',' } else { b'+' });
            }
            print_attribute_type(attribute.attr_type(), text);
            text.push(b'=');
            value.clear();
            print_value(attribute.attr_value(), &mut value);
            escape(&value, text);
            // What is longer would be cut anyway.
            if text.len() > VALUE_BYTES_MAX {
                return Some(());
            }
        }
    }
    Some(())
}

fn print_attribute_type(oid: &Oid<'_>, text: &mut Vec<u8>) {
    let word = match oid.as_bytes() {
        [0x55, 0x04, 0x03] => "CN",
        [0x55, 0x04, 0x05] => "serialNumber",
        [0x55, 0x04, 0x06] => "C",
        [0x55, 0x04, 0x07] => "L",
        [0x55, 0x04, 0x08] => "ST",
        [0x55, 0x04, 0x09] => "street",
        [0x55, 0x04, 0x0a] => "O",
        [0x55, 0x04, 0x0b] => "OU",
        // 1.2.840.113549.1.9.1
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01] => "emailAddress",
        // 0.9.2342.19200300.100.1.1 and .25
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01] => "UID",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19] => "DC",
        // Longer ones take more than linear time to print.
        bytes if bytes.len() > OID_BYTES_MAX => "oid",
        _ => return text.extend_from_slice(oid.to_id_string().as_bytes()),
    };
    text.extend_from_slice(word.as_bytes());
}

fn print_value(value: &Any<'_>, text: &mut Vec<u8>) {
    match value.tag() {
        Tag::BmpString => {
            let (units, _) = value.data.as_chunks::<2>();
            let units = units.iter().map(|&unit| u16::from_be_bytes(unit));
            let chars = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
            print_chars(chars, text);
        }
        Tag::UniversalString => {
            let (units, _) = value.data.as_chunks::<4>();
            let units = units.iter().map(|&unit| u32::from_be_bytes(unit));
            print_chars(units.map(|c| char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER)), text);
        }
        // In practice Latin-1, or UTF-8 under a wrong tag.
        Tag::T61String if std::str::from_utf8(value.data).is_err() => {
            print_chars(value.data.iter().map(|&byte| char::from(byte)), text);
        }
        _ => text.extend_from_slice(value.data),
    }
}

fn print_chars(chars: impl Iterator<Item = char>, text: &mut Vec<u8>) {
    for c in chars {
        text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Adds a value so that no part of it can be taken for another attribute.
fn escape(value: &[u8], text: &mut Vec<u8>) {
    if !value.iter().any(|byte| matches!(byte, b'\\' | b',' | b'+')) {
        return text.extend_from_slice(value);
    }
    for (at, &byte) in value.iter().enumerate() {
        match byte {
            b'\\' => text.extend_from_slice(b"\\\\"),
            b',' | b'+' if starts_part(value.get(at.saturating_add(1)..).unwrap_or_default()) => {
                text.extend_from_slice(if byte == b',' { b"\\2C" } else { b"\\2B" });
            }
            _ => text.push(byte),
        }
    }
}

/// Whether this begins like an attribute: a type and `=`.
fn starts_part(rest: &[u8]) -> bool {
    let type_len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'.').count();
    type_len > 0 && rest.get(type_len) == Some(&b'=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::traffic::certificate::chain;
    use crate::bench::traffic::random::Random;
    use crate::time::Time;

    /// A Certificate message of this many chains, one behind the other.
    fn message(chains: usize, random: &mut Random) -> Vec<u8> {
        let length = |bytes: &[u8]| (bytes.len() as u32).to_be_bytes()[1..].to_vec();
        let certificates = (0..chains).flat_map(|n| chain(&format!("www{n}.example"), random));
        let list: Vec<u8> = certificates.flat_map(|der| [length(&der), der].concat()).collect();
        [length(&list), list].concat()
    }

    type Read = (u32, Vec<(&'static str, Side, Seen, Vec<u8>)>);

    fn all(facts: &Facts) -> Read {
        let mut all: Vec<_> = facts.iter().map(|f| (f.field.name, f.side, f.seen, f.value.to_vec())).collect();
        all.sort();
        (facts.flags.0, all)
    }

    /// Chains that are remembered, and those that are too long for it, are read as they are read for the first time.
    #[test]
    fn a_chain_that_comes_again_says_the_same() {
        let mut random = Random::new(1);
        for chains in [1, 3, 6, 9] {
            let mut bodies = vec![message(chains, &mut random)];
            assert_eq!(bodies[0].len() > CHAIN_KEPT_BYTES_MAX, chains > 5, "{}", bodies[0].len());
            // Cut, and with a byte too many.
            bodies.extend([bodies[0][..bodies[0].len() - 9].to_vec(), [&bodies[0][..], &[0]].concat()]);
            for body in bodies {
                for packet in 1..6 {
                    let (side, seen) = (Side::Destination, Seen { time: Time(packet), packet: packet as u64 });
                    let [mut again, mut first] = [Facts::default(), Facts::default()];
                    add_chain(&body, side, seen, &mut again);
                    read_chain(&body, side, seen, &mut first);
                    assert!(!first.is_empty());
                    assert_eq!(all(&again), all(&first), "{chains} chains, packet {packet}");
                }
            }
        }
    }
}
