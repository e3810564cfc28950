//! The TLS parser against captures and what other tools read in them.
//!
//! `fixtures/tls/*.tls.json` hold the values that tshark, OpenSSL and the FoxIO snapshots give.
//! `facts` are all values of a field on a side; `among` are values that must be among ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod tls_helper;

use std::collections::BTreeMap;
use std::path::PathBuf;

use bordertap::fact::{Facts, Flag, Seen, Side};
use bordertap::parse::tls::hello::ClientHello;
use bordertap::parse::tls::{TlsParser, claim};
use bordertap::parse::{Claim, Parser, Prefix, Progress};
use bordertap::time::Time;
use serde_json::Value;
use tls_helper::{Flow, flows, values};

fn fixtures() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/tls");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "pcap") && path.with_extension("tls.json").exists())
        .collect();
    found.sort();
    assert!(found.len() >= 14);
    found
}

fn fixture(name: &str) -> Vec<Flow> {
    let path = fixtures().into_iter().find(|path| path.file_stem().unwrap() == name).unwrap();
    flows(&std::fs::read(path).unwrap())
}

/// Every prefix of every flow that starts with a hello of a client.
fn client_prefixes() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for path in fixtures() {
        for flow in flows(&std::fs::read(&path).unwrap()) {
            let bytes = flow.prefix(Side::Source);
            if claim(bytes) == Claim::Yes && bytes[0] == 22 && bytes[5] == 1 {
                found.push((path.file_stem().unwrap().to_string_lossy().into_owned(), bytes.to_vec()));
            }
        }
    }
    assert!(found.len() >= 12);
    found
}

fn feed(parser: &mut TlsParser, side: Side, bytes: &[u8], last: bool, split: bool, facts: &mut Facts) -> Progress {
    let seen = Seen { time: Time(0), packet: 1 };
    parser.feed(side, Prefix { bytes, seen, last, split }, facts)
}

/// Facts as comparable text.
fn listed(facts: &Facts) -> Vec<String> {
    let mut list: Vec<String> =
        facts.iter().map(|fact| format!("{} {} {:02x?}", fact.field.name, fact.side.name(), fact.value)).collect();
    list.sort();
    list
}

#[test]
fn values_of_other_tools() {
    for path in fixtures() {
        let found = flows(&std::fs::read(&path).unwrap());
        let expect: Value = serde_json::from_slice(&std::fs::read(path.with_extension("tls.json")).unwrap()).unwrap();
        for side in [Side::Source, Side::Destination] {
            let mut ours: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for flow in &found {
                for fact in flow.facts.iter().filter(|fact| fact.side == side && fact.field.name != "tls.ja4") {
                    ours.entry(fact.field.name.to_owned()).or_default().extend(values(fact));
                }
            }
            for list in ours.values_mut() {
                list.sort();
                list.dedup();
            }
            let theirs: BTreeMap<String, Vec<String>> =
                serde_json::from_value(expect["facts"][side.name()].clone()).unwrap();
            assert_eq!(ours, theirs, "{} {}", path.display(), side.name());
        }
        let Some(among) = expect.get("among") else {
            continue;
        };
        for (field, list) in among.as_object().unwrap() {
            for value in list.as_array().unwrap() {
                let there = found.iter().any(|flow| flow.values(field).iter().any(|ours| ours == value));
                assert!(there, "{} {field} {value}", path.display());
            }
        }
    }
}

/// Retry: two hellos of each side; the second JA4 has one extension less (padding).
#[test]
fn retry_has_two_hellos() {
    let flows = fixture("ja4-tls-handshake-retry");
    assert_eq!(flows.len(), 1);
    assert_eq!(flows[0].values("tls.ja3").len(), 2);
    assert_eq!(flows[0].values("tls.ja4").len(), 2);
    assert!(flows[0].values("tls.ja4")[0].starts_with("t13d1515h2_8daaf6152771_"));
    assert!(flows[0].finished);
}

#[test]
fn hidden_names_are_flagged() {
    for flow in fixture("zeek-tls13-ech").iter().filter(|flow| !flow.facts.is_empty()) {
        assert!(flow.facts.flags.has(Flag::Ech));
        assert_eq!(flow.values("tls.sni"), ["cloudflare-ech.com"]);
    }
}

/// A hello cut off by the capture gives no fingerprint.
#[test]
fn truncated_hello_gives_no_fingerprint() {
    let flows = fixture("mercury-tls_cnsa2_psk_mode_psk_ke_truncated");
    assert!(flows.iter().all(|flow| flow.values("tls.ja3").is_empty() && flow.values("tls.ja4").is_empty()));
    assert!(flows.iter().any(|flow| flow.facts.flags.has(Flag::Truncated)));
}

/// A client that speaks TLS to a web server: its facts stand, the answer is no error.
#[test]
fn answer_that_is_no_tls() {
    let flows = fixture("zeek-ssl-to-http-server");
    assert_eq!(flows[0].values("tls.sni"), ["vk.com"]);
    assert_eq!(flows[0].facts.flags.0, 0);
    assert!(flows[0].finished);
}

/// Of what tls-parser, another implementation, reads of the same hellos.
#[test]
fn agrees_with_tls_parser() {
    use tls_parser::{TlsExtension, TlsMessage, TlsMessageHandshake};
    for (name, bytes) in client_prefixes() {
        let length = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        let record = &bytes[..(5 + length).min(bytes.len())];
        let Ok((_, plain)) = tls_parser::parse_tls_plaintext(record) else {
            assert!(name.ends_with("truncated"), "{name}");
            continue;
        };
        let TlsMessage::Handshake(TlsMessageHandshake::ClientHello(theirs)) = &plain.msg[0] else { panic!("{name}") };
        let ours = ClientHello::parse(&record[9..]).unwrap();
        assert_eq!(ours.version, theirs.version.0);
        assert_eq!(ours.random, theirs.random);
        assert_eq!(ours.resumption_id, theirs.session_id.unwrap_or_default());
        let ciphers: Vec<u16> = theirs.ciphers.iter().map(|cipher| cipher.0).collect();
        assert_eq!(ours.ciphers(), ciphers);
        let Some(block) = theirs.ext else {
            assert!(ours.extension_types().is_empty());
            continue;
        };
        let (rest, extensions) = tls_parser::parse_tls_client_hello_extensions(block).unwrap();
        assert!(rest.is_empty());
        assert_eq!(ours.extension_types().len(), extensions.len());
        for extension in &extensions {
            match extension {
                TlsExtension::SNI(names) => {
                    let names: Vec<&[u8]> = names.iter().map(|(_, name)| *name).collect();
                    assert_eq!(ours.server_names().collect::<Vec<_>>(), names);
                }
                TlsExtension::ALPN(names) => assert_eq!(&ours.alpn().collect::<Vec<_>>(), names),
                TlsExtension::EllipticCurves(groups) => {
                    assert_eq!(ours.groups(), groups.iter().map(|group| group.0).collect::<Vec<_>>());
                }
                TlsExtension::EcPointFormats(formats) => assert_eq!(ours.point_formats, *formats),
                TlsExtension::SignatureAlgorithms(schemes) => {
                    assert_eq!(ours.signature_algorithms(), schemes)
                }
                TlsExtension::SupportedVersions(versions) => {
                    assert_eq!(ours.versions(), versions.iter().map(|version| version.0).collect::<Vec<_>>());
                }
                _ => {}
            }
        }
    }
}

/// The outline that is walked gives the names that a full parse of the certificate gives.
#[test]
fn certificates_agree_with_a_full_parse() {
    let mut compared = 0;
    for path in fixtures() {
        for flow in flows(&std::fs::read(&path).unwrap()) {
            for side in [Side::Source, Side::Destination] {
                let bytes = flow.prefix(side);
                let digests: Vec<_> = flow
                    .facts
                    .iter()
                    .filter(|fact| fact.side == side && fact.field.name == "x509.sha256")
                    .map(|fact| fact.value.to_vec())
                    .collect();
                if digests.is_empty() {
                    continue;
                }
                // The leaf is the first certificate that parses at a place where DER may start.
                let leaf =
                    bytes.windows(2).enumerate().filter(|(_, pair)| *pair == [0x30, 0x82]).find_map(|(at, _)| {
                        let (rest, certificate) = x509_parser::parse_x509_certificate(&bytes[at..]).ok()?;
                        Some((&bytes[at..bytes.len() - rest.len()], certificate))
                    });
                let Some((der, certificate)) = leaf else {
                    continue;
                };
                use sha2::Digest;
                assert_eq!(digests, [sha2::Sha256::digest(der).to_vec()]);
                let ends = certificate.validity().not_after.timestamp() as u64;
                assert!(flow.values("x509.not_after").contains(&ends.to_string()));
                let mut names: Vec<&str> =
                    certificate.subject().iter_common_name().filter_map(|cn| cn.as_str().ok()).collect();
                names.retain(|name| {
                    !flow.values("x509.subject").iter().any(|text| text.contains(&format!("CN={name}")))
                });
                assert!(names.is_empty(), "{names:?}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 5, "{compared}");
}

/// The first of two pieces at every length, then all of it.
#[test]
fn cut_at_every_byte() {
    for (name, bytes) in client_prefixes() {
        let mut whole = Facts::default();
        feed(&mut TlsParser::default(), Side::Source, &bytes, true, false, &mut whole);
        for cut in 1..bytes.len() {
            let mut facts = Facts::default();
            let mut parser = TlsParser::default();
            match feed(&mut parser, Side::Source, &bytes[..cut], false, false, &mut facts) {
                Progress::NeedBytes(need) => {
                    assert!(need > cut);
                    feed(&mut parser, Side::Source, &bytes, true, true, &mut facts);
                }
                Progress::Done => {}
                other => panic!("{other:?}"),
            }
            assert_eq!(listed(&facts), listed(&whole), "{name} at {cut}");
            if facts.flags.has(Flag::HelloSplit) {
                facts.flags.clear(Flag::HelloSplit);
            }
            assert_eq!(facts.flags, whole.flags, "{name} at {cut}");
        }
    }
}

/// One byte more each time, both when the parser is asked and when it is not.
#[test]
fn one_byte_at_a_time() {
    for (name, bytes) in client_prefixes() {
        let mut whole = Facts::default();
        feed(&mut TlsParser::default(), Side::Source, &bytes, true, false, &mut whole);
        for every_byte in [false, true] {
            let mut facts = Facts::default();
            let mut parser = TlsParser::default();
            let mut need = 1;
            for end in 1..=bytes.len() {
                if end < need && !every_byte && end < bytes.len() {
                    continue;
                }
                let last = end == bytes.len();
                match feed(&mut parser, Side::Source, &bytes[..end], last, end > 1, &mut facts) {
                    Progress::NeedBytes(bytes) => {
                        assert!(bytes > end);
                        need = bytes;
                    }
                    _ => break,
                }
            }
            assert_eq!(listed(&facts), listed(&whole), "{name}");
        }
    }
}

/// The claim is never withdrawn, and never taken early, as the prefix grows.
#[test]
fn claim_of_growing_prefixes() {
    for (name, bytes) in client_prefixes() {
        let mut need = 0;
        for end in 0..bytes.len() {
            match claim(&bytes[..end]) {
                Claim::NeedBytes(more) => {
                    assert!(more > end && more <= 11, "{name} at {end}");
                    need = more;
                }
                Claim::Yes => assert!(end >= need),
                Claim::No => panic!("{name} at {end}"),
            }
        }
        assert_eq!(need, 11);
    }
}
