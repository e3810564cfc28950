//! `--anonymise`: of hosts inside nothing is left in any output, and what is reported of the outside stays.
//!
//! In: the demonstration and planted hosts, names and serial numbers. Out: every output, searched for each of them in every
//! form in which it could stand there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bordertap::anonymise::{Anonymiser, Key};
use bordertap::collect::Judging;
use bordertap::scan::Scan;
use common::conversation::{Conversation, From};
use common::der::{self, Part};
use common::everything::{self, Written, find};
use common::messages::{Answer, TYPE_A, dns_name, dns_query, dns_response, http_request, http_response};
use common::packets::{Endpoint, Mac, Packet, arp, datagram, ethernet};
use common::tls::{self, Version};
use common::{capture, demo};
use serde_json::Value;

const KEY: &str = "6b1e5f4a0c9d8e7f60514233241506f7e8d9cabbac9d8e7f60514233241506f7";
const OTHER_KEY: &str = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";
const ROUND_TRIP_NS: u64 = 1_000_000;
const SECOND_NS: u64 = 1_000_000_000;

const CLIENT: Mac = [0x3c, 0x22, 0xfb, 0x91, 0x92, 0x93];
const SERVER: Mac = [0x3c, 0x22, 0xfb, 0x81, 0x82, 0x83];
const ROUTER: Mac = [0x3c, 0x22, 0xfb, 0x71, 0x72, 0x73];

/// Addresses of hosts inside that stand somewhere in the planted packets: in headers, in names, in text, in messages.
const ADDRESSES: &[&str] = &[
    "10.77.1.2",
    "10.77.1.3",
    "10.77.1.99",
    "10.77.0.53",
    "10.77.5.5",
    "10.77.5.6",
    "10.77.8.8",
    "10.77.9.9",
    "10.77.6.25",
    "10.77.1.7",
    "fd77:1:2:3::42",
    "fe80::3e22:fbff:fe91:9293",
    "10.77.44.1",
    "10.77.44.2",
];
/// Names of hosts inside, and what tells them: any part of a name.
const NAMES: &[&str] = &[
    "intranet-zq",
    "bank-zq",
    "laptop-zq",
    "core-switch-zq",
    "uplink-zq",
    "mailhost-zq",
    "client-zq",
    "loghost-zq",
    "vault-zq",
    "printer-zq",
    "fileserver-zq",
    "TK18000000",
    "mgmt01",
    "x7k2p9",
    "gw-branch",
];
/// What must stay: names and addresses outside.
const OUTSIDE: &[&str] =
    &["usguardservice.fortinet.net", "eu.wildfire.paloaltonetworks.com", "173.243.140.20", "www.example.com"];

fn at(second: u64) -> u64 {
    demo::START_NS + second * SECOND_NS + 5
}

fn host(mac: Mac, ip: &str, port: u16) -> Endpoint {
    Endpoint::new(mac, ip, port)
}

fn resolver() -> Endpoint {
    host(SERVER, "10.77.0.53", 53)
}

/// DHCP of a client that has an address: options 53, 12, 81, 61 (RFC 2131, figure 1; RFC 2132; RFC 4702).
fn dhcp_request() -> Vec<u8> {
    let mut message = vec![1, 1, 6, 0, 0, 0, 0, 9, 0, 0, 0, 0];
    message.extend([10, 77, 1, 3]);
    message.extend([0; 12]);
    message.extend(CLIENT);
    message.resize(236, 0);
    message.extend([0x63, 0x82, 0x53, 0x63, 53, 1, 3, 12, 9]);
    message.extend(b"laptop-zq");
    message.extend([81, 3 + 20, 0, 0, 0]);
    message.extend(b"laptop-zq.bank-zq.cn");
    message.extend([61, 7, 1]);
    message.extend(CLIENT);
    message.push(255);
    message
}

/// LLDP of a switch: chassis, port, time, port description, system name, management address (IEEE 802.1AB, section 8).
fn lldp() -> Vec<u8> {
    let mut message = Vec::new();
    let mut tlv = |kind: u16, value: &[u8]| {
        message.extend((kind << 9 | value.len() as u16).to_be_bytes());
        message.extend_from_slice(value);
    };
    tlv(1, &[&[4][..], &SERVER].concat());
    tlv(2, &[&[3][..], &ROUTER].concat());
    tlv(3, &[0, 120]);
    tlv(4, b"uplink-zq to 10.77.44.1");
    tlv(5, b"core-switch-zq");
    tlv(6, b"switch at 10.77.44.1");
    tlv(8, &[5, 1, 10, 77, 44, 2, 2, 0, 0, 0, 1, 0]);
    tlv(0, &[]);
    ethernet(SERVER, [0x01, 0x80, 0xc2, 0, 0, 0x0e], &[], 0x88cc, &message)
}

/// Packets that hold what must not be told.
fn planted() -> Vec<Packet> {
    let mut packets = Vec::new();
    let client = |port| host(CLIENT, "10.77.1.2", port);
    // A name of the Internet that turns out to be ours.
    let name = "intranet-zq.bank-zq.com.cn";
    let ask = |packets: &mut Vec<Packet>, second, port, question: &str, kind, answer: Option<&str>| {
        packets.push(datagram(at(second), client(port), resolver(), &[], &dns_query(port, question, kind)));
        let answer: Vec<Answer<'_>> =
            answer.iter().map(|ip| Answer::Address(question, ip.parse::<IpAddr>().unwrap())).collect();
        let response = dns_response(port, question, kind, &answer);
        packets.push(datagram(at(second) + 1000, resolver(), client(port), &[], &response));
    };
    ask(&mut packets, 1, 40_001, name, TYPE_A, Some("10.77.5.5"));
    ask(&mut packets, 2, 40_002, "9.9.77.10.in-addr.arpa", 12, None);
    ask(&mut packets, 3, 40_003, "fileserver-zq", TYPE_A, None);
    ask(&mut packets, 4, 40_004, "wpad.bank-zq.local", TYPE_A, None);
    let mut talk = |second, from: Endpoint, to: Endpoint, pieces: &[(From, Vec<u8>)]| {
        let mut talk = Conversation::new(from, to, at(second), ROUND_TRIP_NS);
        talk.open();
        for (side, bytes) in pieces {
            talk.send(*side, bytes);
        }
        talk.close();
        packets.extend(talk.packets());
    };
    let subject = [Part::Organisation("Bank"), Part::CommonName("vault-zq.bank-zq.com.cn")];
    let certificate = der::certificate(der::Certificate {
        seed: 7,
        subject: &subject,
        issuer: &[Part::Organisation("Bank"), Part::CommonName("vault-zq root")],
        names: &["vault-zq.bank-zq.com.cn", "*.bank-zq.com.cn"],
    });
    let hello = |name| (From::Client, tls::client_hello(Version::Tls12, Some(name)));
    let chain = [tls::server_hello(Version::Tls12), tls::certificate(&[certificate])].concat();
    let data = |seed| (From::Client, tls::application_data(Version::Tls12, 300, seed));
    talk(5, client(40_005), host(SERVER, "10.77.5.5", 443), &[hello(name), (From::Server, chain), data(1)]);
    let headers = [
        ("Host", "www.example.com"),
        ("User-Agent", "agent/1 (10.77.1.3)"),
        ("X-Forwarded-For", "10.77.1.99"),
        ("Referer", "http://intranet-zq.bank-zq.com.cn/"),
    ];
    let request = http_request("GET", "/go/10.77.9.9/x?from=10.77.1.99", &headers, b"");
    let answer = http_response(200, "OK", &[("Server", "proxy at 10.77.9.9"), ("Via", "1.1 10.77.9.9")], b"");
    talk(
        6,
        host(CLIENT, "10.77.1.3", 40_006),
        host(ROUTER, "203.0.113.9", 80),
        &[(From::Client, request), (From::Server, answer)],
    );
    let literal = http_request("GET", "/", &[("Host", "10.77.5.6:8080")], b"");
    talk(7, client(40_007), host(SERVER, "10.77.5.6", 8080), &[(From::Client, literal)]);
    // SOCKS 5 to an address inside (RFC 1928).
    let socks = [
        (From::Client, vec![5, 1, 0]),
        (From::Server, vec![5, 0]),
        (From::Client, vec![5, 1, 0, 1, 10, 77, 8, 8, 1, 187]),
        (From::Server, vec![5, 0, 0, 1, 10, 77, 8, 8, 1, 187]),
    ];
    talk(8, client(40_008), host(SERVER, "10.77.5.6", 1080), &socks);
    let mail = [
        (From::Server, b"220 mailhost-zq.bank-zq.com.cn ESMTP Postfix\r\n".to_vec()),
        (From::Client, b"EHLO client-zq.bank-zq.com.cn\r\n".to_vec()),
        (From::Server, b"250-mailhost-zq.bank-zq.com.cn\r\n250 STARTTLS\r\n".to_vec()),
    ];
    talk(9, client(40_009), host(SERVER, "10.77.6.25", 25), &mail);
    // From inside over IPv6 to a name that a signature knows.
    talk(
        10,
        host(CLIENT, "fd77:1:2:3::42", 40_010),
        host(ROUTER, "2620:101:9000:53::20", 443),
        &[hello("usguardservice.fortinet.net"), (From::Server, tls::server_hello(Version::Tls12)), data(2)],
    );
    let syslog = b"<13>1 2026-11-02T08:00:00Z loghost-zq.bank-zq.cn sshd - - - from 10.77.1.99";
    packets.push(datagram(at(11), client(40_011), host(SERVER, "10.77.5.6", 514), &[], syslog));
    let dhcp = datagram(at(12), host(CLIENT, "10.77.1.3", 68), host(SERVER, "10.77.0.53", 67), &[], &dhcp_request());
    packets.push(dhcp);
    let pair = [(CLIENT, Ipv4Addr::new(10, 77, 1, 2)), (SERVER, Ipv4Addr::new(10, 77, 5, 5))];
    packets.push(Packet::new(at(13), arp(false, pair[0], pair[1])));
    packets.push(Packet::new(at(14), arp(true, pair[1], pair[0])));
    packets.push(Packet::new(at(15), lldp()));
    // A printer says its name (RFC 6762): a response without a question.
    let mut mdns = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    mdns.extend(dns_name("printer-zq.local"));
    mdns.extend([0, 1, 0x80, 1, 0, 0, 0, 120, 0, 4, 10, 77, 1, 7]);
    let group = Endpoint::new([0x01, 0, 0x5e, 0, 0, 0xfb], "224.0.0.251", 5353);
    packets.push(datagram(at(16), host(CLIENT, "10.77.1.7", 5353), group, &[], &mdns));
    let neighbours = Endpoint::new([0x33, 0x33, 0, 0, 0, 0xfb], "ff02::fb", 5353);
    let mut asked = dns_query(0, "printer-zq.local", 28);
    asked[2] = 0;
    packets.push(datagram(at(17), host(CLIENT, "fe80::3e22:fbff:fe91:9293", 5353), neighbours, &[], &asked));
    packets
}

fn write_capture(folder: &Path) -> PathBuf {
    let mut packets = demo::packets();
    packets.extend(planted());
    packets.sort_by_key(|packet| packet.time);
    let path = folder.join("span.pcapng");
    fs::write(&path, capture::pcapng("", "span0", &packets)).unwrap();
    path
}

fn key_file(folder: &Path, key: &str) -> String {
    let path = folder.join(format!("{}.key", &key[..8]));
    fs::write(&path, format!("{key}\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Every form in which an address could be told.
fn forms(address: IpAddr) -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            vec![
                v4.to_string(),
                hex(&v4.octets()),
                u32::from(v4).to_string(),
                format!("{a}-{b}-{c}-{d}"),
                format!("{d}.{c}.{b}.{a}.in-addr.arpa"),
                format!("{a}, {b}, {c}, {d}"),
            ]
        }
        IpAddr::V6(v6) => vec![v6.to_string(), hex(&v6.octets())],
    }
}

fn mac_forms(mac: Mac) -> Vec<String> {
    let hex: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    let numbers: Vec<String> = mac.iter().map(u8::to_string).collect();
    vec![hex.join(":"), hex.join("-"), hex.concat(), numbers.join(","), numbers.join(", ")]
}

fn judging(key: &str, folder: &Path) -> Judging {
    let judging = Scan::builtin().unwrap().judging;
    let policy = (*judging.policy).clone();
    let key = Key::read(Path::new(&key_file(folder, key))).unwrap();
    let anonymiser = Anonymiser::new(&key, policy.inside(), &[]).unwrap();
    Judging { policy: Arc::new(policy.anonymised(anonymiser)), ..judging }
}

/// Addresses inside that a scan without `--anonymise` tells of.
fn told(capture: &Path) -> BTreeSet<IpAddr> {
    let [flows, _] = everything::run(&["scan", "--flows", "-", capture.to_str().unwrap()]);
    let mut told = BTreeSet::new();
    for line in String::from_utf8(flows).unwrap().lines() {
        let flow: Value = serde_json::from_str(line).unwrap();
        told.extend(
            ["source", "destination"].map(|side| flow[side]["ip"].as_str().unwrap().parse::<IpAddr>().unwrap()),
        );
    }
    let inside = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => v4.is_private(),
        // A frame to everybody or to a group stands under an address as well: that is no host.
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() && v6.octets()[8] & 1 == 0,
    };
    told.into_iter().filter(inside).collect()
}

fn leaks(written: &Written, addresses: &BTreeSet<IpAddr>) -> Vec<String> {
    let mut leaks = Vec::new();
    for form in addresses.iter().flat_map(|address| forms(*address)) {
        leaks.extend(find(written, form.as_bytes(), true));
    }
    for form in [CLIENT, SERVER, ROUTER].into_iter().flat_map(mac_forms) {
        leaks.extend(find(written, form.as_bytes(), true));
    }
    for name in NAMES {
        leaks.extend(find(written, name.as_bytes(), false));
        let hex: String = name.to_lowercase().bytes().map(|byte| format!("{byte:02x}")).collect();
        leaks.extend(find(written, hex.as_bytes(), false));
    }
    leaks
}

#[test]
fn no_output_tells_a_host_inside() {
    let folder = tempfile::tempdir().unwrap();
    let capture = write_capture(folder.path());
    let mut addresses = told(&capture);
    addresses.extend(ADDRESSES.iter().map(|address| address.parse::<IpAddr>().unwrap()));
    assert!(addresses.len() > 20, "{addresses:?}");

    // What is looked for would be found: without a key each name and address stands somewhere.
    let plain = everything::of(&capture, &[], &[]);
    for address in told(&capture) {
        assert!(!find(&plain, address.to_string().as_bytes(), true).is_empty(), "{address} is told nowhere");
    }
    let silent: Vec<&&str> = NAMES.iter().filter(|name| find(&plain, name.as_bytes(), false).is_empty()).collect();
    assert_eq!(silent, Vec::<&&str>::new(), "names that are told nowhere");

    let key = key_file(folder.path(), KEY);
    let mut written =
        everything::of(&capture, &["--anonymise", &key, "-f", "not host 10.77.200.1"], &["--anonymise", &key]);
    written.extend(everything::of_sensor(&capture, judging(KEY, folder.path())));
    let leaks = leaks(&written, &addresses);
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n").chars().take(6000).collect::<String>());
    assert!(find(&written, b"10.77.200.1", true).is_empty(), "the filter");
    for name in OUTSIDE {
        assert!(!find(&written, name.as_bytes(), true).is_empty(), "{name} is gone");
    }
}

/// One scan to a report.
fn report(capture: &Path, more: &[&str]) -> Value {
    let all = [&["scan", "--json", "-", "-j", "2"][..], more, &[capture.to_str().unwrap()]].concat();
    serde_json::from_slice(&everything::run(&all)[0]).unwrap()
}

/// What findings say beside who it is: one line each.
fn answers(report: &Value) -> BTreeMap<String, u64> {
    let mut answers = BTreeMap::new();
    for finding in report["findings"].as_array().unwrap() {
        let (channel, to) = (&finding["channel"]["id"], &finding["destination"]);
        // Names that are none of the Internet are replaced wherever they lead.
        let name = to["domain"].as_str().filter(|name| !name.ends_with(".example") && !name.contains(".x"));
        // A proxy inside is a host of ours.
        let ips: Vec<&Value> =
            to["ip"].as_array().unwrap().iter().filter(|ip| !ip.as_str().unwrap().starts_with("10.")).collect();
        let line =
            format!("{channel} {name:?} {ips:?} {} {} {}", to["country"], finding["crossing"], finding["severity"]);
        if name.is_some() || to["domain"].is_null() {
            *answers.entry(line).or_default() += finding["bytes_out"].as_u64().unwrap();
        }
    }
    answers
}

#[test]
fn the_answer_is_the_same_without_the_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("demo.pcapng");
    fs::write(&capture, demo::four_vendors()).unwrap();
    let key = key_file(folder.path(), KEY);
    let (plain, hidden) = (report(&capture, &[]), report(&capture, &["--anonymise", &key]));
    assert!(answers(&plain).len() > 12);
    assert_eq!(answers(&plain), answers(&hidden));
    assert_eq!(plain["findings"].as_array().unwrap().len(), hidden["findings"].as_array().unwrap().len());
    let products = |report: &Value| {
        let assets = report["assets"].as_array().unwrap().iter();
        let mut all: Vec<String> =
            assets.map(|a| format!("{} {} {} {}", a["vendor"], a["product"], a["version"], a["confidence"])).collect();
        all.sort();
        all
    };
    assert_eq!(products(&plain), products(&hidden));
    assert_eq!(plain["ledger"], hidden["ledger"]);
    assert!(plain["header"]["anonymised"].is_null());
    assert_eq!(hidden["header"]["anonymised"].as_str().unwrap().len(), 16);
    // Still in the network of the office, which is what makes them inside.
    for asset in hidden["assets"].as_array().unwrap() {
        assert!(asset["ip"].as_str().unwrap().starts_with("10."), "{asset}");
    }
    // Ids of findings are of the new addresses: nobody finds the old ones by trying.
    let ids = |report: &Value| -> BTreeSet<String> {
        report["findings"].as_array().unwrap().iter().map(|f| f["id"].as_str().unwrap().to_owned()).collect()
    };
    assert!(ids(&plain).is_disjoint(&ids(&hidden)));
}

#[test]
fn one_key_gives_one_answer_and_another_key_another() {
    let folder = tempfile::tempdir().unwrap();
    let capture = write_capture(folder.path());
    let (key, other) = (key_file(folder.path(), KEY), key_file(folder.path(), OTHER_KEY));
    let first = report(&capture, &["--anonymise", &key]);
    assert_eq!(first, report(&capture, &["--anonymise", &key]));
    let second = report(&capture, &["--anonymise", &other]);
    assert_ne!(first["header"]["anonymised"], second["header"]["anonymised"]);
    let assets = |report: &Value| -> BTreeSet<String> {
        report["assets"].as_array().unwrap().iter().map(|a| a["ip"].as_str().unwrap().to_owned()).collect()
    };
    assert!(assets(&first).is_disjoint(&assets(&second)));

    // What is of two keys, or of one and none, is not thrown together.
    let file = |name: &str, report: &Value| {
        let path = folder.path().join(name);
        fs::write(&path, report.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let plain = file("plain.json", &report(&capture, &[]));
    let (first, second) = (file("first.json", &first), file("second.json", &second));
    for args in [
        vec!["merge", &*first, &*second],
        vec!["merge", &*first, &*plain],
        vec!["merge", &*first, "--anonymise", &*other],
        vec!["diff", &*first, &*plain],
        vec!["scan", "--baseline", &*first, capture.to_str().unwrap()],
        vec!["scan", "--baseline", &*first, "--anonymise", &*other, capture.to_str().unwrap()],
    ] {
        refused(&args, 2, &["anonymise", "twice"]);
    }
    everything::run(&["scan", "--baseline", &first, "--anonymise", &key, capture.to_str().unwrap()]);
}

/// The program refuses this with one of these words.
fn refused(args: &[&str], status: i32, words: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_bordertap")).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
    assert!(words.iter().any(|word| said.contains(word)), "{args:?}: {said}");
}

/// Captures of two days with one key become one report, the same as that of one scan of both.
#[test]
fn reports_of_one_key_merge() {
    let folder = tempfile::tempdir().unwrap();
    let packets = demo::packets();
    let key = key_file(folder.path(), KEY);
    let (one, two) = packets.split_at(packets.len() / 2);
    let path = |name: &str| folder.path().join(name);
    let mut reports = Vec::new();
    for (name, part) in [("one", one), ("two", two)] {
        fs::write(path(&format!("{name}.pcapng")), capture::pcapng("", "span0", part)).unwrap();
        let written = path(&format!("{name}.json")).to_str().unwrap().to_owned();
        let input = path(&format!("{name}.pcapng"));
        everything::run(&["scan", "--anonymise", &key, "--json", &written, input.to_str().unwrap()]);
        reports.push(written);
    }
    let both = ["one", "two"].map(|name| path(&format!("{name}.pcapng")).to_str().unwrap().to_owned());
    let whole = everything::run(&["scan", "--anonymise", &key, "--json", "-", &both[0], &both[1]]);
    let whole: Value = serde_json::from_slice(&whole[0]).unwrap();
    for more in [&[][..], &["--anonymise", &key]] {
        let args = [&["merge", &*reports[0], &*reports[1], "--json", "-"][..], more].concat();
        let merged: Value = serde_json::from_slice(&everything::run(&args)[0]).unwrap();
        assert_eq!(merged["findings"], whole["findings"]);
        assert_eq!(merged["assets"], whole["assets"]);
        assert_eq!(merged["header"]["anonymised"], whole["header"]["anonymised"]);
    }
}

/// Sites and exemptions name real networks; the policy judges by them all the same, also when reports are judged again.
#[test]
fn a_policy_knows_its_networks() {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("demo.pcapng");
    fs::write(&capture, demo::four_vendors()).unwrap();
    let policy = folder.path().join("policy.toml");
    let text = "[[site]]\nname = \"Head office\"\nprefixes = [\"10.20.0.0/24\"]\n\n[[exempt]]\nchannel = \
                \"fortinet.fortiguard.rating\"\nowner = \"network\"\nreason = \"known\"\nuntil = 2030-01-01\nasset = \
                [\"10.20.0.1/32\"]\n";
    fs::write(&policy, text).unwrap();
    let (policy, key) = (policy.to_str().unwrap(), key_file(folder.path(), KEY));
    let told = |report: &Value| -> Vec<String> {
        let findings = report["findings"].as_array().unwrap().iter();
        let mut all: Vec<String> =
            findings.map(|f| format!("{} {} {}", f["channel"]["id"], f["asset"]["site"], f["severity"])).collect();
        all.sort();
        all
    };
    let plain = report(&capture, &["--policy", policy]);
    let hidden = report(&capture, &["--policy", policy, "--anonymise", &key]);
    assert_eq!(told(&plain), told(&hidden));
    assert!(
        told(&plain).iter().any(|line| line.contains("Head office") && line.contains("exempt")),
        "{:?}",
        told(&plain)
    );
    let path = folder.path().join("hidden.json");
    fs::write(&path, hidden.to_string()).unwrap();
    let args = ["merge", path.to_str().unwrap(), "--policy", policy, "--anonymise", &key, "--json", "-"];
    let merged: Value = serde_json::from_slice(&everything::run(&args)[0]).unwrap();
    assert_eq!(told(&merged), told(&plain));
}

#[test]
fn what_cannot_be_hidden_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let capture = write_capture(folder.path());
    let (input, key) = (capture.to_str().unwrap(), key_file(folder.path(), KEY));
    let evidence = folder.path().join("evidence");
    let args = ["scan", "--anonymise", &key, "--evidence", evidence.to_str().unwrap(), input];
    refused(&args, 2, &["--evidence keeps packets as they were captured"]);
    assert!(!evidence.exists());
    refused(&["scan", "--anonymise", &key, "--inside", "10.20.0.1/32", input], 2, &["too small to hide a host in"]);
    let bad = folder.path().join("bad.key");
    fs::write(&bad, "secret").unwrap();
    refused(&["scan", "--anonymise", bad.to_str().unwrap(), input], 2, &["bad.key: not a key"]);
    refused(&["scan", "--anonymise", "/nowhere/at.all", input], 2, &["/nowhere/at.all"]);
    refused(&["scan", "--anonymise-names", "bank-zq.cn", input], 2, &["--anonymise"]);
}

/// A name of ours that is only asked for, and whose answer is not seen, is told by its domain.
#[test]
fn names_of_our_domains_are_replaced_wherever_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let (client, far) = (host(CLIENT, "10.77.1.2", 40_001), host(ROUTER, "223.5.5.5", 53));
    let question = dns_query(1, "vpn.bank-zq.com.cn", TYPE_A);
    let path = folder.path().join("asked.pcap");
    fs::write(&path, capture::pcap(true, &[datagram(at(1), client, far, &[], &question)])).unwrap();
    let key = key_file(folder.path(), KEY);
    let flows = |more: &[&str]| {
        let args = [&["scan", "--flows", "-", "--anonymise", &key, path.to_str().unwrap()][..], more].concat();
        String::from_utf8(everything::run(&args)[0].clone()).unwrap()
    };
    assert!(flows(&[]).contains("vpn.bank-zq.com.cn"));
    let hidden = flows(&["--anonymise-names", "bank-zq.com.cn"]);
    assert!(!hidden.contains("bank-zq") && !hidden.contains("vpn"), "{hidden}");
}
