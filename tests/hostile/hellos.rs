//! Hellos that are too long, wrong, or made to be told apart.
//!
//! In: hellos of real programs (`fixtures/tls`) and hellos that are put together here. Out: names, flags and fingerprints.
//! Fingerprints are compared with what tshark and FoxIO read in the captures that the hellos are from, with the examples in
//! FoxIO's JA4.md, and with JA3 and JA4 written down here once more in the words of their documents: as text.

use std::collections::BTreeSet;

use md5::{Digest, Md5};
use serde_json::Value;
use sha2::Sha256;

use super::check::{Read, facts, flags, read};
use super::common::conversation::{Conversation, From};
use super::common::der::{Certificate, Part, certificate as encode};
use super::common::hellos::{Between, cut, handshake_bytes, rerecord};
use super::common::messages::{Answer, TYPE_A, dns_query, dns_response};
use super::common::packets::{Endpoint, Packet, datagram};
use super::common::random::Random;
use super::common::tls::{self, ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, Version, client_hello, handshake, record};

const START: u64 = 1_790_000_000_000_000_000;
/// A name that a signature knows (signatures/fortinet.toml).
const NAME: &str = "globalupdate.fortinet.net";
/// JA3 by tshark 4.0.17 and JA4 by FoxIO's snapshots, of tls-handshake.pcapng and latest.pcapng.
const PRINTS: [(Version, &str, &str); 2] = [
    (Version::Tls12, "a0e9f5d64349fb13191bc781f81f42e1", "t12d190800_d83cc789557e_7af1ed941c26"),
    (Version::Tls13, "1c258ebef8eee2dfa3df6d8d07285af9", "t13d1516h2_8daaf6152771_e5627efa2ab1"),
];
/// The bytes of a side that are kept at most.
const PREFIX_BYTES_MAX: usize = 65_536;

const GREASE: [u16; 16] = [
    0x0a0a, 0x1a1a, 0x2a2a, 0x3a3a, 0x4a4a, 0x5a5a, 0x6a6a, 0x7a7a, 0x8a8a, 0x9a9a, 0xaaaa, 0xbaba, 0xcaca, 0xdada,
    0xeaea, 0xfafa,
];
const SERVER_NAME: u16 = 0;
const GROUPS: u16 = 10;
const FORMATS: u16 = 11;
const SCHEMES: u16 = 13;
const ALPN: u16 = 16;
const PADDING: u16 = 21;
const VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;
const ECH_OUTER_EXTENSIONS: u16 = 0xfd00;
const ECH: u16 = 0xfe0d;

/// Subject of [`certificate`].
pub const CERTIFICATE_SUBJECT: &str = "CN=update.vendor.example";

/// A certificate.
pub fn certificate() -> Vec<u8> {
    let subject = &[Part::CommonName("update.vendor.example")];
    encode(Certificate { subject, issuer: subject, names: &["update.vendor.example"], seed: 3 })
}

/// A ClientHello in its parts.
#[derive(Clone)]
struct Hello {
    /// Version, random and session id, as they stand.
    head: Vec<u8>,
    ciphers: Vec<u16>,
    extensions: Vec<(u16, Vec<u8>)>,
}

impl Hello {
    /// The parts of a real hello.
    fn of(version: Version, name: Option<&str>) -> Hello {
        let message = client_hello(version, name);
        let body = &message[9..];
        let id_end = 35 + usize::from(body[34]);
        let ciphers_end = id_end + 2 + usize::from(word(&body[id_end..]));
        let ciphers = words(&body[id_end + 2..ciphers_end]);
        let mut rest = &body[ciphers_end + 1 + usize::from(body[ciphers_end]) + 2..];
        let mut extensions = Vec::new();
        while !rest.is_empty() {
            let end = 4 + usize::from(word(&rest[2..]));
            extensions.push((word(rest), rest[4..end].to_vec()));
            rest = &rest[end..];
        }
        Hello { head: body[..id_end].to_vec(), ciphers, extensions }
    }

    fn body(&self) -> Vec<u8> {
        let ciphers: Vec<u8> = self.ciphers.iter().flat_map(|cipher| cipher.to_be_bytes()).collect();
        let mut extensions = Vec::new();
        for (kind, data) in &self.extensions {
            extensions.extend(kind.to_be_bytes());
            extensions.extend(behind_16(data));
        }
        [self.head.clone(), behind_16(&ciphers), vec![1, 0], behind_16(&extensions)].concat()
    }

    fn record(&self) -> Vec<u8> {
        in_records(&self.body(), 16_384)
    }

    fn get(&self, kind: u16) -> Option<&[u8]> {
        self.extensions.iter().find(|(is, _)| *is == kind).map(|(_, data)| data.as_slice())
    }

    fn set(mut self, kind: u16, data: Vec<u8>) -> Hello {
        match self.extensions.iter_mut().find(|(is, _)| *is == kind) {
            Some(there) => there.1 = data,
            None => self.extensions.push((kind, data)),
        }
        self
    }

    fn with(mut self, kind: u16, data: Vec<u8>) -> Hello {
        self.extensions.push((kind, data));
        self
    }

    fn without(mut self, kind: u16) -> Hello {
        self.extensions.retain(|(is, _)| *is != kind);
        self
    }

    /// JA4 in the words of JA4.md, "JA4 Algorithm" to "Extension hash".
    fn ja4(&self) -> String {
        let plain = |list: Vec<u16>| list.into_iter().filter(|value| !GREASE.contains(value)).collect::<Vec<u16>>();
        let kinds = plain(self.extensions.iter().map(|(kind, _)| *kind).collect());
        let ciphers = plain(self.ciphers.clone());
        let version = match self.get(VERSIONS) {
            Some(data) => plain(words(&data[1..])).into_iter().max().unwrap(),
            None => word(&self.head),
        };
        let version = match version {
            0x0304 => "13",
            0x0303 => "12",
            other => panic!("no version of these tests: {other:x}"),
        };
        let protocols = self.get(ALPN).map(|data| names_8(&data[2..])).unwrap_or_default();
        let first = protocols.iter().find(|name| !matches!(***name, [a, b] if a == b && a & 0x0f == 0x0a));
        let ends = match first.map(|name| name.as_slice()) {
            None | Some([]) => "00".to_owned(),
            Some(name) => {
                let (first, last) = (name[0], name[name.len() - 1]);
                let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
                match first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
                    true => format!("{}{}", char::from(first), char::from(last)),
                    false => format!("{}{}", &hex[..1], &hex[hex.len() - 1..]),
                }
            }
        };
        let name = if kinds.contains(&SERVER_NAME) { 'd' } else { 'i' };
        let hash = |text: String| match text.as_str() {
            "" => "000000000000".to_owned(),
            _ => Sha256::digest(&text).iter().take(6).map(|byte| format!("{byte:02x}")).collect(),
        };
        let list = |mut list: Vec<u16>, sorted: bool| {
            if sorted {
                list.sort_unstable();
            }
            list.iter().map(|value| format!("{value:04x}")).collect::<Vec<_>>().join(",")
        };
        let counts = format!("{:02}{:02}", ciphers.len().min(99), kinds.len().min(99));
        let hashed = kinds.into_iter().filter(|kind| ![SERVER_NAME, ALPN].contains(kind)).collect();
        let mut tail = list(hashed, true);
        let schemes = plain(self.get(SCHEMES).map(|data| words(&data[2..])).unwrap_or_default());
        if !schemes.is_empty() && !tail.is_empty() {
            tail = format!("{tail}_{}", list(schemes, false));
        }
        format!("t{version}{name}{counts}{ends}_{}_{}", hash(list(ciphers, true)), hash(tail))
    }

    /// JA3 in the words of salesforce/ja3, README.md, "How it works".
    fn ja3(&self) -> String {
        let list = |list: Vec<u16>| {
            let plain = list.into_iter().filter(|value| !GREASE.contains(value));
            plain.map(|value| value.to_string()).collect::<Vec<_>>().join("-")
        };
        let groups = self.get(GROUPS).map(|data| words(&data[2..])).unwrap_or_default();
        let formats =
            self.get(FORMATS).map(|data| data[1..].iter().map(|&byte| byte.into()).collect()).unwrap_or_default();
        let kinds = self.extensions.iter().map(|(kind, _)| *kind).collect();
        let version = word(&self.head);
        let text =
            format!("{version},{},{},{},{}", list(self.ciphers.clone()), list(kinds), list(groups), list(formats));
        Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn word(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(word).collect()
}

fn behind_16(content: &[u8]) -> Vec<u8> {
    [&u16::try_from(content.len()).unwrap().to_be_bytes(), content].concat()
}

fn behind_8(content: &[u8]) -> Vec<u8> {
    [&[u8::try_from(content.len()).unwrap()], content].concat()
}

fn names_8(mut list: &[u8]) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    while let Some((&length, rest)) = list.split_first() {
        let (name, rest) = rest.split_at(length.into());
        names.push(name.to_vec());
        list = rest;
    }
    names
}

/// A ClientHello of this body in records of at most so many bytes.
fn in_records(body: &[u8], most: usize) -> Vec<u8> {
    handshake(1, body).chunks(most).flat_map(|part| record(HANDSHAKE, 0x0301, part)).collect()
}

/// One entry of a list of server names.
fn name_entry(kind: u8, name: &[u8]) -> Vec<u8> {
    [vec![kind], behind_16(name)].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    behind_16(&name_entry(0, name))
}

fn client(port: u16) -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0, 1], "10.0.0.1", port)
}

fn server(address: &str) -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0, 2], address, 443)
}

/// A flow that begins with these bytes of the client, with what TLS 1.3 servers answer.
fn flow(port: u16, address: &str, sent: &[u8]) -> Vec<Packet> {
    let mut talk = Conversation::new(client(port), server(address), START + u64::from(port) * 1_000_000, 20_000_000);
    talk.open().send(From::Client, sent).send(From::Server, &tls::server_hello(Version::Tls13));
    talk.send(From::Client, &tls::application_data(Version::Tls13, 400, 5)).close();
    talk.packets()
}

const ADDRESS: &str = "95.216.10.20";

/// An answer of DNS that tells [`ADDRESS`].
fn told(name: &str) -> Vec<u8> {
    dns_response(7, name, TYPE_A, &[Answer::Address(name, ADDRESS.parse().unwrap())])
}

/// Reads flows that begin with these, a port each from 1024 on.
fn read_all(sent: &[Vec<u8>]) -> Read {
    let packets: Vec<Packet> = sent.iter().zip(1024..).flat_map(|(sent, port)| flow(port, ADDRESS, sent)).collect();
    let read = read(&packets);
    assert_eq!(read.flows.len(), sent.len());
    read
}

/// Flows by their port, from 1024 on.
fn in_order(read: &Read) -> Vec<&Value> {
    let mut flows: Vec<&Value> = read.flows.iter().collect();
    flows.sort_by_key(|flow| flow["source"]["port"].as_u64());
    flows
}

fn has(flow: &Value, flag: &str) -> bool {
    flags(flow).iter().any(|is| is == flag)
}

/// The ids of what matched a flow.
fn verdicts(flow: &Value) -> Vec<&str> {
    let verdicts = flow["bordertap"]["verdicts"].as_array();
    verdicts.into_iter().flatten().map(|verdict| verdict["id"].as_str().unwrap()).collect()
}

fn prints(flow: &Value) -> (Vec<&str>, Vec<&str>) {
    (facts(flow, "tls.ja3"), facts(flow, "tls.ja4"))
}

/// What is written down here gives what tshark and FoxIO read.
#[test]
fn row_00_the_fingerprints_written_down_here_are_those_of_others() {
    for (version, ja3, ja4) in PRINTS {
        let hello = Hello::of(version, Some(NAME));
        assert_eq!((hello.ja3().as_str(), hello.ja4().as_str()), (ja3, ja4));
        assert_eq!(hello.record()[5..], client_hello(version, Some(NAME))[5..], "put together again");
    }
}

/// In 2 to 64 records, with empty records, alerts and changes of cipher between them and before them.
#[test]
fn row_12_a_hello_in_many_records() {
    for (version, ja3, ja4) in PRINTS {
        let whole = client_hello(version, Some(NAME));
        let mut sent = Vec::new();
        for count in 2..=64 {
            for between in [Between::Nothing, Between::EmptyRecord, Between::WarningAlert, Between::Both] {
                sent.push(rerecord(&whole, count, between));
            }
            // A change of cipher before every record but the first; and all three before the first.
            let message = handshake_bytes(&whole);
            let offsets: Vec<usize> = (1..count).map(|n| n * message.len() / count).collect();
            let change = record(CHANGE_CIPHER_SPEC, 0x0303, &[1]);
            let pieces = cut(&message, &offsets);
            let records: Vec<Vec<u8>> = pieces.iter().map(|piece| record(HANDSHAKE, 0x0301, &piece.bytes)).collect();
            sent.push(records.join(&change[..]));
            let before = [record(HANDSHAKE, 0x0301, &[]), record(ALERT, 0x0301, &[1, 112]), change].concat();
            sent.push([before, records.concat()].concat());
        }
        // The most empty records in a row that OpenSSL and BoringSSL take (MAX_EMPTY_RECORDS, kMaxEmptyRecords): 32.
        sent.push([record(HANDSHAKE, 0x0301, &[]).repeat(32), whole].concat());
        let read = read_all(&sent);
        for flow in &read.flows {
            assert_eq!(flow["tls"]["client"]["server_name"], NAME);
            assert_eq!(prints(flow), (vec![ja3], vec![ja4]), "{}", flow["source"]["port"]);
            assert!(has(flow, "hello-multi-record") || flow["source"]["port"] == 1024 + sent.len() - 1);
            assert!(!has(flow, "parse-error"), "{}", flow["source"]["port"]);
        }
    }
}

/// Records of 16,384 + 256 and of 65,535 bytes, in which the hello is alone or with much behind it: longer than any in clear may be
/// (RFC 8446, section 5.1), and said to be so.
#[test]
fn row_13_records_that_are_too_long() {
    let hello = Hello::of(Version::Tls13, Some(NAME));
    let in_one = |bytes: usize| {
        let padding = bytes - 4 - hello.clone().set(PADDING, Vec::new()).body().len();
        record(HANDSHAKE, 0x0301, &handshake(1, &hello.clone().set(PADDING, vec![0; padding]).body()))
    };
    let followed = |bytes: usize| {
        let mut content = handshake(1, &hello.body());
        content.resize(bytes, 0);
        record(HANDSHAKE, 0x0301, &content)
    };
    let sent = [
        in_one(16_384),
        in_one(16_385),
        in_one(16_384 + 256),
        in_one(65_535),
        followed(16_384 + 256),
        followed(65_535),
    ];
    let read = read_all(&sent);
    for (flow, sent) in in_order(&read).into_iter().zip(&sent) {
        assert_eq!(flow["tls"]["client"]["server_name"], NAME, "{}", sent.len());
        assert_eq!(has(flow, "limit-reached"), sent.len() > 16_384 + 5, "{}: {:?}", sent.len(), flags(flow));
    }
}

/// Hellos beyond 16 KiB: key shares of ML-KEM, a ticket of 60,000 bytes, padding. They are put together up to the limit; beyond it
/// there is a flag, and the name if it stands before it.
#[test]
fn row_14_hellos_beyond_a_record() {
    let hello = Hello::of(Version::Tls13, Some(NAME));
    let share = |group: u16, bytes: usize| [group.to_be_bytes().to_vec(), behind_16(&vec![7; bytes])].concat();
    // draft-ietf-tls-mlkem: encapsulation keys of 1,184 and 1,568 bytes; and X25519MLKEM768.
    let shares = [share(0x0201, 1_184), share(0x0202, 1_568), share(0x11ec, 1_216), share(0x001d, 32)].concat();
    let long = [
        hello.clone().set(KEY_SHARE, behind_16(&shares)),
        hello.clone().set(KEY_SHARE, behind_16(&shares.repeat(5))),
        hello.clone().set(PADDING, vec![0; 20_000]),
        hello.clone().set(PADDING, vec![0; 60_000]),
        hello.clone().set(35, vec![9; 60_000]),
    ];
    let mut sent: Vec<Vec<u8>> = long.iter().map(Hello::record).collect();
    // In records of 1,000 bytes too.
    sent.extend(long.iter().map(|hello| in_records(&hello.body(), 1_000)));
    let read_long = read_all(&sent);
    for (flow, hello) in in_order(&read_long).into_iter().zip(long.iter().chain(&long)) {
        assert_eq!(flow["tls"]["client"]["server_name"], NAME);
        assert_eq!(prints(flow), (vec![hello.ja3().as_str()], vec![hello.ja4().as_str()]));
        assert!(!has(flow, "limit-reached") && !has(flow, "truncated"), "{:?}", flags(flow));
    }

    // Two extensions of 40,000 bytes do not fit into a hello's two bytes of length: what is too long is what goes before.
    let too_long = |name_first: bool| {
        let mut hello = hello.clone().without(SERVER_NAME).without(PADDING);
        let free = 65_535 - hello.body().len() - 100;
        let parts = [(SERVER_NAME, server_name(NAME.as_bytes())), (PADDING, vec![0; free])];
        hello.extensions.extend(if name_first { parts.to_vec() } else { parts.into_iter().rev().collect() });
        // Records of 100 bytes: their headers are what takes it beyond the limit.
        in_records(&hello.body(), 100)
    };
    let sent = [too_long(true), too_long(false)];
    assert!(sent.iter().all(|sent| sent.len() > PREFIX_BYTES_MAX));
    let read = read_all(&sent);
    for (flow, names) in in_order(&read).into_iter().zip([&[NAME][..], &[]]) {
        assert_eq!(facts(flow, "tls.sni"), names);
        assert!(has(flow, "limit-reached"), "{:?}", flags(flow));
        assert_eq!(prints(flow), (vec![], vec![]), "of half a hello there is no fingerprint");
    }
}

/// Lengths that contradict each other: the flow says so, and no fingerprint comes of it. A name that stands there is told all the same.
#[test]
fn row_15_lengths_that_contradict_each_other() {
    let hello = Hello::of(Version::Tls13, Some(NAME));
    let body = hello.body();
    let ciphers_at = hello.head.len();
    let extensions_at = ciphers_at + 2 + 2 * hello.ciphers.len() + 2;
    let change = |at: usize, by: i32| {
        let mut body = body.clone();
        let value = (i32::from(word(&body[at..])) + by) as u16;
        body[at..at + 2].copy_from_slice(&value.to_be_bytes());
        body
    };
    // An odd list, with the byte that makes it so.
    let mut odd = change(ciphers_at, 1);
    odd.insert(extensions_at - 2, 0x13);
    let last = body.len() - 2 - hello.extensions.last().unwrap().1.len();
    let with_name = |data: Vec<u8>| hello.clone().set(SERVER_NAME, data).body();
    let mut longer_list = server_name(NAME.as_bytes());
    longer_list[1] += 1;
    let mut longer_name = server_name(NAME.as_bytes());
    longer_name[4] += 1;
    let mut shorter_name = server_name(NAME.as_bytes());
    shorter_name[4] -= 1;
    let cases = [
        ("odd list of ciphers", odd, true),
        ("ciphers to beyond the end", change(ciphers_at, 0x7000), false),
        ("last extension too long", change(last, 1), true),
        ("extensions to beyond the end", change(extensions_at, 1), true),
        ("bytes behind the extensions", change(extensions_at, -1), true),
        ("list of names too long", with_name(longer_list), false),
        ("name too long", with_name(longer_name), false),
        ("name too short", with_name(shorter_name), false),
        ("ALPN of odd lengths", hello.clone().set(ALPN, vec![0, 3, 9, b'h', b'2']).body(), true),
        ("odd list of groups", hello.clone().set(GROUPS, vec![0, 3, 0, 29, 0]).body(), true),
        ("odd list of versions", hello.clone().set(VERSIONS, vec![3, 3, 4, 3]).body(), true),
        ("odd list of schemes", hello.clone().set(SCHEMES, vec![0, 3, 4, 3, 8]).body(), true),
    ];
    let sent: Vec<Vec<u8>> = cases.iter().map(|(_, body, _)| in_records(body, 16_384)).collect();
    let read = read_all(&sent);
    for (flow, (case, _, named)) in in_order(&read).into_iter().zip(&cases) {
        assert!(has(flow, "parse-error"), "{case}: {:?}", flags(flow));
        assert_eq!(prints(flow), (vec![], vec![]), "{case}");
        let names = facts(flow, "tls.sni");
        assert!(names == [NAME] || !named, "{case}: {names:?}");
    }
}

/// Names that no client says: kept as they stood, shown without harm, flagged.
#[test]
fn row_16_names_that_are_none() {
    let hello = Hello::of(Version::Tls13, Some(NAME));
    let long_label = [&[b'a'; 300][..], b".fortinet.net"].concat();
    let raw: [(&[u8], bool); 9] = [
        (b"a\0.fortinet.net", true),
        (b"a\x1b[31m\r\n.fortinet.net", true),
        (b"a\xff\xfe.fortinet.net", true),
        ("b\u{fc}ro.fortinet.net".as_bytes(), true),
        ("a\u{202e}b.fortinet.net".as_bytes(), true),
        (b"a b.fortinet.net", true),
        (&long_label, true),
        (&[b'x'; 5_000], true),
        (b"plain.fortinet.net", false),
    ];
    let mut sent: Vec<Vec<u8>> =
        raw.iter().map(|(name, _)| hello.clone().set(SERVER_NAME, server_name(name)).record()).collect();
    let two = [name_entry(0, b"one.example"), name_entry(0, b"two.example")].concat();
    let more: [(Vec<u8>, &[&str]); 5] = [
        // Two extensions, two names in one, a name that is no host name, an empty one, none.
        (hello.clone().with(SERVER_NAME, server_name(b"two.example")).record(), &[NAME, "two.example"]),
        (hello.clone().set(SERVER_NAME, behind_16(&two)).record(), &["one.example", "two.example"]),
        (hello.clone().set(SERVER_NAME, behind_16(&name_entry(7, b"seven.example"))).record(), &["seven.example"]),
        (hello.clone().set(SERVER_NAME, server_name(b"")).record(), &[]),
        (hello.clone().set(SERVER_NAME, Vec::new()).record(), &[]),
    ];
    sent.extend(more.iter().map(|(sent, _)| sent.clone()));
    let read = read_all(&sent);
    let flows = in_order(&read);
    for (flow, (name, odd)) in flows.iter().zip(&raw) {
        assert_eq!(has(flow, "parse-error"), *odd, "{name:?}");
        let shown = facts(flow, "tls.sni");
        let kept = &name[..name.len().min(4_096)];
        // As it stood, when that can be printed; else also in hex.
        let hex: String = kept.iter().map(|byte| format!("{byte:02x}")).collect();
        let as_it_stood = str::from_utf8(kept).is_ok_and(|text| shown.contains(&text));
        assert!(as_it_stood || shown.contains(&format!("hex:{hex}").as_str()), "{name:?}: {shown:?}");
        assert!(!shown.iter().any(|text| text.chars().any(char::is_control)), "{shown:?}");
        assert_eq!(has(flow, "limit-reached"), name.len() > 4_096);
    }
    for (flow, (_, names)) in flows.iter().skip(raw.len()).zip(&more) {
        assert_eq!(facts(flow, "tls.sni"), *names);
        assert!(has(flow, "parse-error"), "{names:?}");
    }
}

/// Upper case and a dot at the end change nothing; what only looks like the name, or ends like it, is not it.
#[test]
fn row_17_spellings_of_a_name() {
    let same = [
        "globalupdate.fortinet.net",
        "GlobalUpdate.FORTINET.net",
        "globalupdate.fortinet.net.",
        "GLOBALUPDATE.FORTINET.NET.",
    ];
    let below = [
        "catonetworks.net",
        "vpn.catonetworks.net",
        "VPN.CATONETWORKS.NET.",
        "a_b.catonetworks.net",
        "xn--bcher-kva.catonetworks.net",
    ];
    // Under the vendors' domains, but another name.
    let beside = ["evilglobalupdate.fortinet.net", "xglobalupdate.fortinet.net", "evilhostupdate.vmware.com"];
    let others = [
        "globalupdate.fortinet.net.example.org",
        "globalupdate-fortinet.net",
        "globalupdate_fortinet.net",
        "globalupdate.f\u{43e}rtinet.net",
        "globalupdate.xn--frtinet-nbg.net",
        "globalupdate\u{3002}fortinet.net",
        "evilcatonetworks.net",
        "evil-catonetworks.net",
        "catonetworks.net.example.org",
        "catonetworks.net-example.org",
        "evilvmware.com",
        "hostupdate.evilvmware.com",
        "evilcheckpoint.com",
        "www.evilcheckpoint.com",
    ];
    let names: Vec<&str> = same.iter().chain(&below).chain(&beside).chain(&others).copied().collect();
    let hello = Hello::of(Version::Tls13, Some(NAME));
    let sent: Vec<Vec<u8>> =
        names.iter().map(|name| hello.clone().set(SERVER_NAME, server_name(name.as_bytes())).record()).collect();
    // An address that no signature knows: only the name can match.
    let packets: Vec<Packet> = sent.iter().zip(1024..).flat_map(|(sent, port)| flow(port, ADDRESS, sent)).collect();
    let read = read(&packets);
    let flows = in_order(&read);
    let expected = verdicts(flows[0]);
    assert!(!expected.is_empty());
    for (flow, name) in flows.iter().zip(&names) {
        assert_eq!(facts(flow, "tls.sni"), [*name], "as it stood");
        let found = verdicts(flow);
        if same.contains(name) {
            assert_eq!(found, expected, "{name}");
            assert_eq!(flow["destination"]["domain"], NAME, "{name}");
        } else if below.contains(name) {
            assert!(found.iter().any(|id| id.starts_with("cato")), "{name}: {found:?}");
            assert!(!flow["destination"]["domain"].as_str().unwrap().ends_with('.'));
        } else if beside.contains(name) {
            assert!(!found.iter().any(|id| expected.contains(id)), "{name}: {found:?}");
        } else {
            assert!(found.is_empty(), "{name}: {found:?}");
        }
    }
    let domains: BTreeSet<&str> =
        findings(&read).iter().map(|f| f["destination"]["domain"].as_str().unwrap()).collect();
    assert!(
        domains.contains(NAME) && !domains.iter().any(|name| others.contains(name) || name.ends_with('.')),
        "{domains:?}"
    );
}

fn findings(read: &Read) -> &[Value] {
    read.report["findings"].as_array().unwrap()
}

/// The only finding.
fn the_finding(read: &Read) -> &Value {
    let findings = findings(read);
    assert_eq!(findings.len(), 1, "{findings:?}");
    &findings[0]
}

/// No name in the hello, or an address in its place: DNS, the address itself and the certificate speak.
#[test]
fn row_18_an_address_for_a_name_and_none() {
    let resolver = Endpoint::new([2, 0, 0, 0, 0, 3], "10.0.0.53", 53);
    let asks = Endpoint { mac: client(0).mac, address: "10.0.0.1:5353".parse().unwrap() };
    let question = datagram(START, asks, resolver, &[], &dns_query(7, NAME, TYPE_A));
    let answer = datagram(START + 1, resolver, asks, &[], &told(NAME));
    for version in [Version::Tls12, Version::Tls13] {
        for name in [None, Some(ADDRESS), Some("[2001:db8::1]"), Some("2001:db8::1"), Some("10.0.0.9")] {
            let hello = Hello::of(version, name).record();
            let mut packets = vec![question.clone(), answer.clone()];
            packets.extend(flow(2_000, ADDRESS, &hello));
            let read_named = read(&packets);
            let flow_of =
                |read: &Read| read.flows.iter().find(|flow| flow["network"]["protocol"] == "tls").unwrap().clone();
            assert_eq!(flow_of(&read_named)["destination"]["domain"], NAME, "{name:?}");
            assert_eq!(facts(&flow_of(&read_named), "tls.sni"), name.into_iter().collect::<Vec<_>>());
            let finding = the_finding(&read_named);
            assert_eq!(
                (&finding["destination"]["domain"], &finding["destination"]["domain_basis"]),
                (&NAME.into(), &"dns".into())
            );

            // Cato owns this address (signatures/cato.toml).
            let by_address = read(&flow(2_001, "113.30.130.5", &hello));
            let finding = the_finding(&by_address);
            assert_eq!(finding["channel"]["vendor"], "Cato Networks");
            assert_eq!(finding["destination"]["domain"], Value::Null, "{name:?}");
            assert_eq!(finding["destination"]["ip"][0], "113.30.130.5");
        }
    }

    // The server inside shows what it is by its certificate, whatever the hello says.
    let subject = [
        Part::Country("US"),
        Part::State("California"),
        Part::Locality("Sunnyvale"),
        Part::Organisation("Fortinet"),
        Part::Unit("FortiGate"),
        Part::CommonName("FGT30D3X15038375"),
    ];
    let chain = [encode(Certificate { subject: &subject, issuer: &subject, names: &[], seed: 5 })];
    for name in [None, Some("10.0.0.1")] {
        let inside = Endpoint::new([2, 0, 0, 0, 0, 1], "10.0.0.1", 443);
        let visitor = Endpoint::new([2, 0, 0, 0, 0, 2], "10.0.0.77", 50_000);
        let mut talk = Conversation::new(visitor, inside, START, 1_000_000);
        talk.open().send(From::Client, &Hello::of(Version::Tls12, name).record());
        talk.send(From::Server, &tls::server_hello(Version::Tls12)).send(From::Server, &tls::certificate(&chain));
        talk.send(From::Server, &tls::server_hello_done()).close();
        let read = read(&talk.packets());
        let assets = read.report["assets"].as_array().unwrap();
        assert_eq!((assets.len(), &assets[0]["ip"], &assets[0]["vendor"]), (1, &"10.0.0.1".into(), &"Fortinet".into()));
    }
}

/// GREASE, each of its values everywhere it may stand: JA3 and JA4 are those that tshark and FoxIO read without it.
#[test]
fn row_19_grease_everywhere() {
    let (_, ja3, ja4) = PRINTS[1];
    let hello = Hello::of(Version::Tls13, Some(NAME));
    assert!(hello.ciphers.iter().any(|cipher| GREASE.contains(cipher)), "the client itself uses it");
    let mut sent = vec![hello.record()];
    let mut bare = hello.clone();
    bare.ciphers.retain(|cipher| !GREASE.contains(cipher));
    bare.extensions.retain(|(kind, _)| !GREASE.contains(kind));
    sent.push(bare.record());
    for grease in GREASE {
        let in_list = |data: &[u8], front: bool| {
            let list = words(&data[2..]).into_iter().filter(|value| !GREASE.contains(value)).flat_map(u16::to_be_bytes);
            let list: Vec<u8> = list.collect();
            let value = grease.to_be_bytes();
            behind_16(&if front { [&value, &list[..]].concat() } else { [&list[..], &value].concat() })
        };
        for front in [true, false] {
            let mut hello = bare.clone();
            hello.ciphers.insert(if front { 0 } else { hello.ciphers.len() }, grease);
            for kind in [GROUPS, SCHEMES] {
                let data = in_list(bare.get(kind).unwrap(), front);
                hello = hello.set(kind, data);
            }
            hello = hello.set(VERSIONS, behind_8(&[&grease.to_be_bytes()[..], &[3, 4, 3, 3]].concat()));
            let mut protocols = behind_8(&grease.to_be_bytes());
            protocols.extend_from_slice(&bare.get(ALPN).unwrap()[2..]);
            hello = hello.set(ALPN, behind_16(&protocols));
            hello.extensions.insert(if front { 0 } else { hello.extensions.len() }, (grease, vec![0]));
            hello.extensions.insert(3, (GREASE[5], Vec::new()));
            sent.push(hello.record());
        }
    }
    let read = read_all(&sent);
    for flow in in_order(&read) {
        assert_eq!(prints(flow), (vec![ja3], vec![ja4]), "{}", flow["source"]["port"]);
    }
}

/// Extensions in a thousand orders: one JA4, and a JA3 for each, as their documents say.
#[test]
fn row_20_extensions_in_a_thousand_orders() {
    let (_, _, ja4) = PRINTS[1];
    let mut hello = Hello::of(Version::Tls13, Some(NAME));
    let mut random = Random::new(20);
    let mut orders = Vec::new();
    for _ in 0..1_000 {
        random.shuffle(&mut hello.extensions);
        orders.push(hello.clone());
    }
    let read = read_all(&orders.iter().map(Hello::record).collect::<Vec<_>>());
    let mut different = BTreeSet::new();
    for (flow, hello) in in_order(&read).into_iter().zip(&orders) {
        let ja3 = hello.ja3();
        assert_eq!(prints(flow), (vec![ja3.as_str()], vec![ja4]));
        different.insert(ja3);
    }
    assert!(different.len() > 990, "{}", different.len());
}

/// More ciphers and extensions than two digits count, and protocols of one byte, of none and of bytes that are no text. The ends of
/// protocols are the examples of JA4.md, "ALPN Extension Value".
#[test]
fn row_21_counts_and_protocols_at_their_ends() {
    let hello = Hello::of(Version::Tls13, Some(NAME));
    let protocols: [(&[u8], &str); 14] = [
        (b"h2", "h2"),
        (b"http/1.1", "h1"),
        (&[0xab], "ab"),
        (&[0xab, 0xcd], "ad"),
        (&[0x30, 0xab], "3b"),
        (&[0x30, 0x31, 0xab, 0xcd], "3d"),
        (&[0x30, 0xab, 0xcd, 0x31], "01"),
        (b"x", "xx"),
        (b"7", "77"),
        (b"", "00"),
        (b"Z", "ZZ"),
        (b"-", "2d"),
        (&[0], "00"),
        (&[0xff; 255], "ff"),
    ];
    let mut hellos: Vec<Hello> = Vec::new();
    for (name, ends) in protocols {
        let list = [behind_8(name), behind_8(b"h3")].concat();
        let hello = hello.clone().set(ALPN, behind_16(&list));
        assert_eq!(&hello.ja4()[8..10], ends, "{name:?}");
        hellos.push(hello);
    }
    for count in [0, 1, 98, 99, 100, 101, 255, 1_000, 20_000] {
        let mut hello = hello.clone();
        hello.ciphers = (0..count).map(|n| 0x3000 + n).filter(|value| !GREASE.contains(value)).collect();
        hellos.push(hello);
    }
    for count in [98, 99, 100, 101, 1_000, 10_000] {
        let mut hello = hello.clone();
        hello.extensions.retain(|(kind, _)| !GREASE.contains(kind));
        let free = (0x4000..).filter(|kind| !GREASE.contains(kind));
        let more = count - hello.extensions.len();
        hello.extensions.extend(free.take(more).map(|kind| (kind, Vec::new())));
        hellos.push(hello);
    }
    // No extension but the versions; none of ALPN.
    hellos.push(Hello { extensions: vec![(VERSIONS, vec![2, 3, 4])], ..hello.clone() });
    hellos.push(hello.clone().without(ALPN));
    hellos.push(hello.clone().without(SCHEMES));
    let read = read_all(&hellos.iter().map(Hello::record).collect::<Vec<_>>());
    for (flow, hello) in in_order(&read).into_iter().zip(&hellos) {
        assert_eq!(
            prints(flow),
            (vec![hello.ja3().as_str()], vec![hello.ja4().as_str()]),
            "{}",
            flow["source"]["port"]
        );
    }
    let heads: Vec<String> = hellos.iter().map(|hello| hello.ja4()[4..8].to_owned()).collect();
    assert!(heads.iter().any(|head| head.starts_with("99")) && heads.iter().any(|head| head.ends_with("99")));
}

/// Encrypted client hellos (RFC 9849): real ones and placeholders, every suite of HPKE (RFC 9180, section 7), and extensions of the
/// inner hello that were made to be read wrongly. The name is said to be the outer one and hidden, but where DNS told it for the address.
#[test]
fn row_22_encrypted_client_hellos() {
    let hello = Hello::of(Version::Tls13, Some(NAME));
    let ech = |kdf: u16, aead: u16, id: u8, enc: usize, payload: usize| {
        let mut data = vec![0];
        data.extend(kdf.to_be_bytes());
        data.extend(aead.to_be_bytes());
        data.push(id);
        data.extend(behind_16(&vec![0x5a; enc]));
        data.extend(behind_16(&vec![0xa5; payload]));
        data
    };
    let mut sent = Vec::new();
    let mut suites = Vec::new();
    // Lengths of `enc`: X25519, P-256, P-384, P-521, X448 (RFC 9180, table 2); X25519MLKEM768; none, as after a retry.
    for kdf in [1, 2, 3, 0x10, 0x11] {
        for aead in [1, 2, 3, 0xffff] {
            for enc in [32, 65, 97, 133, 56, 1_120, 0] {
                sent.push(hello.clone().with(ECH, ech(kdf, aead, enc as u8, enc, 208)).record());
                suites.push((format!("{kdf:04x}{aead:04x}"), u64::from(enc as u8)));
            }
        }
    }
    let read_suites = read_all(&sent);
    for (flow, (suite, id)) in in_order(&read_suites).into_iter().zip(&suites) {
        assert!(
            has(flow, "ech") && !has(flow, "ech-grease") && !has(flow, "parse-error"),
            "{suite}: {:?}",
            flags(flow)
        );
        assert_eq!(facts(flow, "tls.ech_suite"), [suite.as_str()]);
        let ids =
            flow["bordertap"]["facts"].as_array().unwrap().iter().find(|fact| fact["field"] == "tls.ech").unwrap();
        assert_eq!(ids["value"].as_u64(), Some(*id));
        assert_eq!(flow["tls"]["client"]["server_name"], NAME);
    }
    let finding = the_finding(&read_suites);
    assert_eq!(finding["destination"]["domain_is_outer"], true, "{finding}");
    assert!(finding["why"].as_array().unwrap().iter().any(|why| why == "The server name is hidden (ECH)."));

    // To an address of which nothing is declared, nothing is said of where it went.
    let hidden = read(&flow(2_000, "113.30.130.5", &sent[0]));
    let finding = the_finding(&hidden);
    assert_eq!(
        (&finding["crossing"], &finding["destination"]["domain_is_outer"]),
        (&"not-determinable".into(), &true.into())
    );

    // A placeholder: the client had asked for the very name, and was told this address.
    let resolver = Endpoint::new([2, 0, 0, 0, 0, 3], "10.0.0.53", 53);
    let asks = Endpoint { mac: client(0).mac, address: "10.0.0.1:5353".parse().unwrap() };
    let mut packets = vec![
        datagram(START, asks, resolver, &[], &dns_query(7, NAME, TYPE_A)),
        datagram(START + 1, resolver, asks, &[], &told(NAME)),
    ];
    packets.extend(flow(2_000, ADDRESS, &sent[0]));
    let placeholder = read(&packets);
    let of_tls = placeholder.flows.iter().find(|flow| flow["network"]["protocol"] == "tls").unwrap();
    assert!(has(of_tls, "ech-grease") && !has(of_tls, "ech"));
    let finding = the_finding(&placeholder);
    assert_eq!(finding["destination"].get("domain_is_outer"), None);

    // CVE-2026-5402: lists of ech_outer_extensions that are odd, empty, endless, of themselves, or cut; and forms of ECH that are none.
    let outer_lists: [Vec<u8>; 9] = [
        vec![],
        vec![0],
        vec![1, 0],
        vec![255; 256],
        vec![254; 255],
        behind_8(&ECH_OUTER_EXTENSIONS.to_be_bytes().repeat(127)),
        behind_8(&ECH.to_be_bytes().repeat(127)),
        behind_8(&SERVER_NAME.to_be_bytes()),
        vec![0xfe; 60_000],
    ];
    let forms: [Vec<u8>; 8] = [
        vec![],
        vec![1],
        vec![1, 0, 1, 0, 1],
        vec![2; 40],
        ech(1, 1, 0, 32, 208)[..20].to_vec(),
        [ech(1, 1, 0, 32, 208), vec![0]].concat(),
        vec![0, 0, 1, 0, 1, 9, 0xff, 0xff, 1],
        ech(1, 1, 0, 0, 60_000),
    ];
    let mut crafted: Vec<Vec<u8>> = Vec::new();
    for list in &outer_lists {
        crafted.push(hello.clone().with(ECH_OUTER_EXTENSIONS, list.clone()).record());
        if list.len() < 1_000 {
            let both = hello.clone().with(ECH, ech(1, 1, 4, 32, 208)).with(ECH_OUTER_EXTENSIONS, list.clone());
            crafted.push(both.with(ECH_OUTER_EXTENSIONS, list.clone()).record());
        }
    }
    let lists = crafted.len();
    crafted.extend(forms.iter().map(|form| hello.clone().with(ECH, form.clone()).record()));
    let read = read_all(&crafted);
    for (at, flow) in in_order(&read).into_iter().enumerate() {
        assert_eq!(facts(flow, "tls.sni"), [NAME], "{at}");
        assert!(at < lists || has(flow, "ech"), "{at}: {:?}", flags(flow));
    }
}
