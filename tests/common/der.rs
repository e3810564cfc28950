//! X.509 version 3 certificates (RFC 5280) in DER, just enough to carry chosen names.
//!
//! In: subject, issuer and alternative names. Out: the certificate. **Its RSA key and its signature are made-up
//! bytes**: the form is right, nothing verifies.

use super::random::Random;

/// A part of a distinguished name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// `C`, two letters.
    Country(&'a str),
    /// `ST`.
    State(&'a str),
    /// `L`.
    Locality(&'a str),
    /// `O`.
    Organisation(&'a str),
    /// `OU`.
    Unit(&'a str),
    /// `CN`.
    CommonName(&'a str),
    /// `DC`.
    DomainComponent(&'a str),
    /// `emailAddress`.
    Email(&'a str),
}

/// What a certificate says.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    /// Whose it is, in the order the parts are encoded.
    pub subject: &'a [Part<'a>],
    /// Who signed it, likewise.
    pub issuer: &'a [Part<'a>],
    /// DNS names of the subjectAltName extension; none, no extension.
    pub names: &'a [&'a str],
    /// Seed of serial number, key and signature.
    pub seed: u64,
}

const TAG_BOOLEAN: u8 = 0x01;
const TAG_INTEGER: u8 = 0x02;
const TAG_BIT_STRING: u8 = 0x03;
const TAG_OCTET_STRING: u8 = 0x04;
const TAG_NULL: u8 = 0x05;
const TAG_OID: u8 = 0x06;
const TAG_UTF8: u8 = 0x0c;
const TAG_PRINTABLE: u8 = 0x13;
const TAG_IA5: u8 = 0x16;
const TAG_UTC_TIME: u8 = 0x17;
const TAG_SEQUENCE: u8 = 0x30;
const TAG_SET: u8 = 0x31;
/// `[0]` explicit: the version.
const TAG_VERSION: u8 = 0xa0;
/// `[3]` explicit: the extensions.
const TAG_EXTENSIONS: u8 = 0xa3;
/// `[2]` implicit in GeneralName: dNSName.
const TAG_DNS_NAME: u8 = 0x82;

/// 2.5.4, attribute types; one byte follows.
const OID_ATTRIBUTE: [u8; 2] = [0x55, 0x04];
/// 0.9.2342.19200300.100.1.25
const OID_DOMAIN_COMPONENT: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19];
/// 1.2.840.113549.1.9.1
const OID_EMAIL: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01];
/// 1.2.840.113549.1.1.1
const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.2.840.113549.1.1.11
const OID_SHA256_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
/// 2.5.29.17
const OID_ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// 2.5.29.19
const OID_BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];

/// Bytes of the modulus and of the signature.
const RSA_BYTES: usize = 256;

/// The certificate in DER.
pub fn certificate(what: Certificate<'_>) -> Vec<u8> {
    let mut random = Random::new(what.seed);
    let mut serial = random.bytes(8);
    serial[0] = serial[0] & 0x7f | 0x40; // positive, no leading zero
    let mut modulus = random.bytes(RSA_BYTES);
    modulus[0] |= 0x80;
    modulus[RSA_BYTES - 1] |= 1;
    modulus.insert(0, 0);

    let algorithm = sequence(&[&tlv(TAG_OID, OID_SHA256_RSA), &tlv(TAG_NULL, &[])]);
    let validity = sequence(&[&tlv(TAG_UTC_TIME, b"240101000000Z"), &tlv(TAG_UTC_TIME, b"380119031407Z")]);
    let rsa_key = sequence(&[&tlv(TAG_INTEGER, &modulus), &tlv(TAG_INTEGER, &[1, 0, 1])]);
    let key_algorithm = sequence(&[&tlv(TAG_OID, OID_RSA), &tlv(TAG_NULL, &[])]);
    let key = sequence(&[&key_algorithm, &bit_string(&rsa_key)]);

    let mut extensions = extension(OID_BASIC_CONSTRAINTS, true, &sequence(&[]));
    if !what.names.is_empty() {
        let names: Vec<u8> = what.names.iter().flat_map(|name| tlv(TAG_DNS_NAME, name.as_bytes())).collect();
        extensions.extend(extension(OID_ALTERNATIVE_NAMES, false, &sequence(&[&names])));
    }

    let signed = sequence(&[
        &tlv(TAG_VERSION, &tlv(TAG_INTEGER, &[2])),
        &tlv(TAG_INTEGER, &serial),
        &algorithm,
        &name(what.issuer),
        &validity,
        &name(what.subject),
        &key,
        &tlv(TAG_EXTENSIONS, &sequence(&[&extensions])),
    ]);
    sequence(&[&signed, &algorithm, &bit_string(&random.bytes(RSA_BYTES))])
}

/// A distinguished name in DER, one attribute in each set.
pub fn name(parts: &[Part<'_>]) -> Vec<u8> {
    let sets: Vec<u8> = parts
        .iter()
        .flat_map(|part| {
            let attribute = |number: u8| [OID_ATTRIBUTE[0], OID_ATTRIBUTE[1], number].to_vec();
            let (oid, tag, text) = match *part {
                Part::CommonName(text) => (attribute(3), TAG_UTF8, text),
                Part::Country(text) => (attribute(6), TAG_PRINTABLE, text),
                Part::Locality(text) => (attribute(7), TAG_UTF8, text),
                Part::State(text) => (attribute(8), TAG_UTF8, text),
                Part::Organisation(text) => (attribute(10), TAG_UTF8, text),
                Part::Unit(text) => (attribute(11), TAG_UTF8, text),
                Part::DomainComponent(text) => (OID_DOMAIN_COMPONENT.to_vec(), TAG_IA5, text),
                Part::Email(text) => (OID_EMAIL.to_vec(), TAG_IA5, text),
            };
            tlv(TAG_SET, &sequence(&[&tlv(TAG_OID, &oid), &tlv(tag, text.as_bytes())]))
        })
        .collect();
    sequence(&[&sets])
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { tlv(TAG_BOOLEAN, &[0xff]) } else { Vec::new() };
    sequence(&[&tlv(TAG_OID, oid), &critical, &tlv(TAG_OCTET_STRING, value)])
}

fn bit_string(bytes: &[u8]) -> Vec<u8> {
    let mut content = vec![0]; // no unused bits
    content.extend_from_slice(bytes);
    tlv(TAG_BIT_STRING, &content)
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(TAG_SEQUENCE, &parts.concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = content.len();
    match length {
        0..=0x7f => bytes.push(length as u8),
        0x80..=0xff => bytes.extend_from_slice(&[0x81, length as u8]),
        0x100..=0xffff => bytes.extend_from_slice(&[0x82, (length >> 8) as u8, length as u8]),
        0x1_0000..=0xff_ffff => {
            bytes.extend_from_slice(&[0x83, (length >> 16) as u8, (length >> 8) as u8, length as u8]);
        }
        _ => panic!("too long for a certificate"),
    }
    bytes.extend_from_slice(content);
    bytes
}
