//! Certificate chains as TLS 1.2 servers show them: a leaf with a few names, an intermediate.
//!
//! In: a host name. Out: X.509 version 3 certificates in DER, leaf first. Keys and signatures are made-up bytes; the
//! form is right, nothing verifies. Sources: RFC 5280, section 4; ITU-T X.690.

use super::random::Random;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const OID: u8 = 0x06;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const UTC_TIME: u8 = 0x17;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;

const COUNTRY: &[u8] = &[0x55, 4, 6];
const ORGANISATION: &[u8] = &[0x55, 4, 10];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
const KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 14];
/// 1.2.840.113549.1.1, PKCS #1; one byte follows.
const PKCS1: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
const RSA_BYTES: usize = 256;

const ISSUERS: &[[&str; 3]] = &[
    ["US", "Lotus Trust Services", "Lotus TLS CA 1C3"],
    ["GB", "Harbour Certification", "Harbour RSA Domain Validation CA"],
    ["CN", "Plum Blossom CA", "Plum Blossom Server CA G2"],
];

/// The chain of a host.
pub fn chain(host: &str, random: &mut Random) -> Vec<Vec<u8>> {
    let issuer = random.pick(ISSUERS);
    let root = [issuer[0], issuer[1], "Root"];
    let domain = host.split_once('.').map_or(host, |(_, domain)| domain);
    let names = [host.to_owned(), format!("*.{domain}"), domain.to_owned()];
    let leaf = certificate(&name(&[(COMMON_NAME, host)]), &named(issuer), &names, random);
    vec![leaf, certificate(&named(issuer), &named(&root), &[], random)]
}

fn named(parts: &[&str; 3]) -> Vec<u8> {
    name(&[(COUNTRY, parts[0]), (ORGANISATION, parts[1]), (COMMON_NAME, parts[2])])
}

fn certificate(subject: &[u8], issuer: &[u8], names: &[String], random: &mut Random) -> Vec<u8> {
    let mut made_up = |count: usize| {
        let mut bytes = Vec::new();
        random.fill(&mut bytes, count);
        bytes[0] = bytes[0] & 0x3f | 0x40; // a positive number without leading zeros
        bytes
    };
    let rsa = |last: u8| tlv(SEQUENCE, &[&tlv(OID, &[&PKCS1, &[last]]), &tlv(NULL, &[])]);
    let key = tlv(SEQUENCE, &[&tlv(INTEGER, &[&made_up(RSA_BYTES)]), &tlv(INTEGER, &[&[1, 0, 1]])]);
    let validity = tlv(SEQUENCE, &[&tlv(UTC_TIME, &[b"250601000000Z"]), &tlv(UTC_TIME, &[b"270601000000Z"])]);
    let mut extensions = extension(KEY_IDENTIFIER, &tlv(OCTET_STRING, &[&made_up(20)]));
    if !names.is_empty() {
        let names: Vec<u8> = names.iter().flat_map(|name| tlv(DNS_NAME, &[name.as_bytes()])).collect();
        extensions.extend(extension(SUBJECT_ALT_NAME, &tlv(SEQUENCE, &[&names])));
    }
    let signed = tlv(
        SEQUENCE,
        &[
            &tlv(VERSION, &[&tlv(INTEGER, &[&[2]])]),
            &tlv(INTEGER, &[&made_up(16)]),
            &rsa(11),
            issuer,
            &validity,
            subject,
            &tlv(SEQUENCE, &[&rsa(1), &tlv(BIT_STRING, &[&[0], &key])]),
            &tlv(EXTENSIONS, &[&tlv(SEQUENCE, &[&extensions])]),
        ],
    );
    tlv(SEQUENCE, &[&signed, &rsa(11), &tlv(BIT_STRING, &[&[0], &made_up(RSA_BYTES)])])
}

fn name(parts: &[(&[u8], &str)]) -> Vec<u8> {
    let sets: Vec<u8> = parts
        .iter()
        .flat_map(|(oid, text)| {
            let tag = if *oid == COUNTRY { PRINTABLE } else { UTF8 };
            tlv(SET, &[&tlv(SEQUENCE, &[&tlv(OID, &[oid]), &tlv(tag, &[text.as_bytes()])])])
        })
        .collect();
    tlv(SEQUENCE, &[&sets])
}

fn extension(oid: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[&tlv(OID, &[oid]), &tlv(OCTET_STRING, &[value])])
}

/// Tag, length, and the parts one after the other; at most 65,535 bytes of them.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = (content.len() as u16).to_be_bytes();
    let mut bytes = match (high, low) {
        (0, 0..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    bytes.extend(content);
    bytes
}
