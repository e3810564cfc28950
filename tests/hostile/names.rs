//! What a name is worth, and TLS where nobody expects it.

use std::net::IpAddr;
use std::process::Command;
use std::sync::Arc;

use bordertap::place::Places;
use serde_json::{Value, json};

use super::check::{self, Read};
use super::common::capture::pcap;
use super::common::conversation::{Conversation, From};
use super::common::der::{self, Certificate, Part};
use super::common::messages::{Answer, TYPE_A, dns_query, dns_response};
use super::common::packets::{Endpoint, Packet, datagram};
use super::common::quic::{Initial, crypto};
use super::common::random::Random;
use super::common::tls::{self, Version};
use super::databases::mmdb;

const START_NS: u64 = 1_793_606_400_000_000_000;
const ROUND_TRIP_NS: u64 = 20_000_000;

fn client(port: u16) -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0, 1], "10.20.0.1", port)
}

fn server(port: u16) -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0, 2], "203.0.113.9", port)
}

/// Where the flows of the next tests go, and whose the databases say it is.
const FAR: &str = "95.216.10.7";

/// A database that knows the AS of 95.216.0.0/16.
fn as_database() -> Vec<u8> {
    // `::95.216.0.0/112` in a tree of IPv6, where IPv4 stands in the last 32 bits; 112 means "nothing".
    let bits = u128::from(u32::from_be_bytes([95, 216, 0, 0]));
    let node = |depth: u32| {
        let next = if depth == 111 { 112 + 16 } else { depth + 1 };
        if bits >> (127 - depth) & 1 == 1 { [112, next] } else { [next, 112] }
    };
    let nodes: Vec<[u32; 2]> = (0..112).map(node).collect();
    // A map of a number and a text; 29 says that the length of a text is a byte more.
    let number = [&[2 << 5 | 24][..], b"autonomous_system_number", &[6 << 5 | 4, 0, 0, 0xfb, 0xf4]].concat();
    let text = [&[2 << 5 | 29, 1][..], b"autonomous_system_organization", &[2 << 5 | 15], b"Example Hosting"].concat();
    mmdb(&nodes, &[&[7 << 5 | 2][..], &number, &text].concat())
}

/// The host asks for a name and is given the address.
fn asks(second: u64, name: &str) -> Vec<Packet> {
    let resolver = Endpoint::new([2, 0, 0, 0, 0, 3], "10.20.0.53", 53);
    let (time, from) = (START_NS + second * 1_000_000_000, client(40_000 + second as u16));
    let answer = dns_response(7, name, TYPE_A, &[Answer::Address(name, FAR.parse().unwrap())]);
    vec![
        datagram(time, from, resolver, &[], &dns_query(7, name, TYPE_A)),
        datagram(time + 1_000_000, resolver, from, &[], &answer),
    ]
}

fn far() -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0, 2], FAR, 443)
}

/// The host shakes hands for a name; the server shows a certificate for another, and both send data.
fn shakes_hands(second: u64, name: &str, certified: &str) -> Vec<Packet> {
    let time = START_NS + second * 1_000_000_000;
    let mut talk = Conversation::new(client(50_000 + second as u16), far(), time, ROUND_TRIP_NS);
    let issuer = [Part::Organisation("Example CA"), Part::CommonName("Example CA 1")];
    let subject = [Part::CommonName(certified)];
    let leaf = der::certificate(Certificate { subject: &subject, issuer: &issuer, names: &[certified], seed: 1 });
    talk.open().send(From::Client, &tls::client_hello(Version::Tls12, Some(name)));
    let flight = [tls::server_hello(Version::Tls12), tls::certificate(&[leaf]), tls::server_hello_done()].concat();
    talk.send(From::Server, &flight);
    talk.send(From::Client, &tls::application_data(Version::Tls12, 4000, 1));
    talk.send(From::Server, &tls::application_data(Version::Tls12, 4000, 2)).close();
    talk.packets()
}

/// Reads packets with the database of autonomous systems.
fn read_with_as(packets: &[Packet]) -> Read {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("as.mmdb");
    std::fs::write(&path, as_database()).unwrap();
    let places = Arc::new(Places::builtin().with_asn_db(&path).unwrap());
    assert_eq!(places.asn(FAR.parse::<IpAddr>().unwrap()), Some((64_500, "Example Hosting".to_owned())));
    check::read_with(pcap(true, packets), |scan| scan.judging.places = places.clone())
}

/// The finding that is about this name.
fn finding<'a>(read: &'a Read, name: &str) -> &'a Value {
    let findings = read.report["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["destination"]["domain"] == name).unwrap_or_else(|| panic!("{findings:#?}"))
}

/// Hellos that make the host a known appliance, of which also what no signature explains is told.
fn appliance() -> Vec<Packet> {
    let names = ["globalupdate.fortinet.net", "usguardservice.fortinet.net"];
    names.iter().zip(0..).flat_map(|(name, n)| shakes_hands(100 + n, name, name)).collect()
}

/// A hello for one name, an address that was given for another, a certificate for a third, in an autonomous system of a
/// fourth: the finding lists all four and is not called observed.
#[test]
fn row_23_what_contradicts_the_name_in_a_hello() {
    const NAME: &str = "innocent.example";
    let read = read_with_as(
        &[appliance(), asks(0, "front.cdn.example.org"), shakes_hands(1, NAME, "third.example.com")].concat(),
    );
    let found = finding(&read, NAME);
    let mismatch = json!({
        "server_name": NAME, "dns": ["front.cdn.example.org"], "certificate": ["third.example.com"], "ip": FAR,
        "country": "FI", "as": {"number": 64_500, "organization": "Example Hosting"},
    });
    assert_eq!(found["mismatch"], mismatch);
    assert_eq!(found["crossing"], "probable", "{found:#}");
    let why: Vec<&str> = found["why"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for line in [
        "The names and addresses that were seen do not fit together.",
        "A hello asks for innocent.example at 95.216.10.7.",
        "DNS gave that address for front.cdn.example.org.",
        "The certificate there is for third.example.com.",
        "That address belongs to AS64500, Example Hosting.",
    ] {
        assert!(why.contains(&line), "{why:#?}");
    }

    // The same where all agree: by the very name, or by its domain.
    for (asked, certified) in [(NAME, NAME), ("eu.innocent.example", "*.innocent.example")] {
        let read = read_with_as(&[appliance(), asks(0, asked), shakes_hands(1, NAME, certified)].concat());
        let found = finding(&read, NAME);
        assert_eq!((&found["mismatch"], &found["crossing"]), (&Value::Null, &json!("observed")), "{found:#}");
    }
}

/// One source that contradicts is enough, and what was not seen is empty: no answer, or a certificate that is sealed, as in
/// QUIC.
#[test]
fn row_23b_each_contradiction_alone() {
    const NAME: &str = "globalupdate.fortinet.net";
    let no_answer = read_with_as(&shakes_hands(1, NAME, "third.example.org"));
    let found = &finding(&no_answer, NAME)["mismatch"];
    assert_eq!((&found["dns"], &found["certificate"]), (&json!([]), &json!(["third.example.org"])));

    let hello = super::common::hellos::handshake_bytes(&tls::client_hello(Version::Tls13, Some(NAME)));
    let initial = Initial::to(&[9; 8], 0).datagram(&crypto(0, &hello));
    let quic = datagram(START_NS + 1_000_000_000, client(50_000), far(), &[], &initial);
    let sealed = read_with_as(&[asks(0, "front.cdn.example"), vec![quic]].concat());
    let found = &finding(&sealed, NAME)["mismatch"];
    assert_eq!((&found["dns"], &found["certificate"]), (&json!(["front.cdn.example"]), &json!([])));
}

/// Reports of parts, merged, tell it as one scan of the whole does.
#[test]
fn row_23c_reports_that_are_merged_tell_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let parts = [
        asks(0, "front.cdn.example.org"),
        [appliance(), shakes_hands(1, "innocent.example", "third.example.com")].concat(),
    ];
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_bordertap")).current_dir(&folder).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    for (n, part) in parts.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{n}.pcap")), pcap(true, part)).unwrap();
        let report = run(&["scan", &format!("{n}.pcap"), "--json", "-", "--quiet"]);
        std::fs::write(folder.path().join(format!("{n}.json")), report.to_string()).unwrap();
    }
    let whole = run(&["scan", "0.pcap", "1.pcap", "--json", "-", "--quiet"]);
    let merged = run(&["merge", "0.json", "1.json", "--json", "-", "--quiet"]);
    assert_eq!(merged["findings"], whole["findings"]);
    let is_it = |finding: &&Value| finding["destination"]["domain"] == "innocent.example";
    let found = merged["findings"].as_array().unwrap().iter().find(is_it).unwrap();
    assert_eq!(found["mismatch"]["dns"], json!(["front.cdn.example.org"]));
    assert_eq!(found["mismatch"]["certificate"], json!(["third.example.com"]));
}

/// Ports of SSH, HTTP, DNS, FortiGate's management and others, and one of nobody's: TLS is told by its bytes, and no
/// port changes what is read.
#[test]
fn row_24_tls_on_any_port() {
    for version in [Version::Tls12, Version::Tls13] {
        let meaning = |port: u16| {
            let mut talk = Conversation::new(client(50_000), server(port), START_NS, ROUND_TRIP_NS);
            talk.open().send(From::Client, &tls::client_hello(version, Some("update.vendor.example")));
            talk.send(From::Server, &tls::server_hello(version));
            talk.send(From::Client, &tls::application_data(version, 300, 1)).close();
            let read = check::read(&talk.packets());
            let flow = read.flow();
            assert_eq!(flow["network"]["protocol"], "tls", "port {port}");
            assert_eq!(flow["tls"]["client"]["server_name"], "update.vendor.example", "port {port}");
            assert_eq!(check::flags(flow), <[&str; 0]>::default(), "port {port}");
            flow["tls"].clone()
        };
        let usual = meaning(443);
        assert!(usual["client"]["ja4"].as_str().unwrap().starts_with(match version {
            Version::Tls12 => "t12d",
            Version::Tls13 => "t13d",
        }));
        for port in [22, 53, 80, 541, 8443, 3389, 5432, 25, 31_337, 49_999] {
            assert_eq!(meaning(port), usual, "port {port}");
        }
    }
}

/// Bytes that begin as a record of TLS and go on as anything: chance, text, chance behind the header of a hello. Nothing of
/// a hello is told of any of them.
#[test]
fn row_25_bytes_that_begin_like_tls() {
    let mut random = Random::new(25);
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    for n in 0..600 {
        // The length of the record is right for some, and so is the type of the message.
        let rest = 1 + random.below(700);
        let mut bytes = vec![0x16, 0x03, 0x01];
        let right = (rest as u16).to_be_bytes();
        bytes.extend(if n % 3 == 0 { random.bytes(2) } else { right.to_vec() });
        bytes.extend(random.bytes(rest));
        if n % 3 == 1 {
            bytes[5] = 1;
        }
        if n % 6 == 4 && rest > 44 {
            let [_, high, middle, low] = (rest as u32 - 4).to_be_bytes();
            bytes[6..11].copy_from_slice(&[high, middle, low, 3, 3]);
        }
        payloads.push(bytes);
    }
    payloads.push([&[0x16, 0x03, 0x01][..], b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"].concat());
    payloads.push(vec![0x16, 0x03, 0x01]);
    payloads.push([&[0x16, 0x03, 0x01, 0, 0][..], b"text that never ends"].concat());
    let mut packets = Vec::new();
    for (n, payload) in payloads.iter().enumerate() {
        let ends = (client(20_000 + n as u16), server([443, 80, 4443][n % 3]));
        let mut talk = Conversation::new(ends.0, ends.1, START_NS + n as u64 * 1_000_000, ROUND_TRIP_NS);
        talk.open().send(From::Client, payload).send(From::Server, b"no").close();
        packets.extend(talk.packets());
    }
    packets.sort_by_key(|packet| packet.time);
    let read = check::read(&packets);
    assert_eq!(read.flows.len(), payloads.len());
    for flow in &read.flows {
        let client = &flow["tls"]["client"];
        assert!(client["server_name"].is_null() && client["ja3"].is_null() && client["ja4"].is_null(), "{flow}");
    }
    assert_eq!(read.report["findings"].as_array().unwrap().len(), 0);
}
