//! What tshark reads and what is read here, flow by flow.
//!
//! In: ten thousand flows made for it, hellos of TLS and QUIC with anything that may stand in them, DNS, HTTP, SSH, cut
//! and put in another order; the captures under `fixtures/`; and those in a folder that `BORDERTAP_CAPTURES` names. Out: no
//! difference, but for a short list with reasons. tshark knows no JA4 in this version: it is computed here, after FoxIO's
//! description, from what tshark reads. `NOT RUN` on standard error where there is no tshark.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "differential/made.rs"]
mod made;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use bordertap::capture::Inputs;
use bordertap::fact::value::hex;
use bordertap::scan::Scan;
use serde_json::Value;
use sha2::{Digest, Sha256};

use common::capture::pcap;
use common::sample::fixture_files;

/// Flows that are made.
const FLOWS: usize = 10_000;
/// More captures: a folder.
const CAPTURES_VARIABLE: &str = "BORDERTAP_CAPTURES";
/// Between the values of one field in one row: none of them has this byte.
const BETWEEN: char = '\u{1}';
/// Differences that a failure shows.
const SHOWN_MAX: usize = 400;

/// What tshark is asked for beside addresses.
const ASKED: &[&str] = &[
    "tls.handshake.type",
    "tls.handshake.version",
    "tls.handshake.ciphersuite",
    "tls.handshake.extension.type",
    "tls.handshake.extensions_server_name",
    "tls.handshake.extensions_alpn_str",
    "tls.handshake.extensions.supported_version",
    "tls.handshake.sig_hash_alg",
    "tls.handshake.ja3",
    "tls.handshake.ja3s",
    "tls.handshake.certificate",
    "dtls.handshake.type",
    "dtls.handshake.version",
    "dtls.handshake.ciphersuite",
    "dtls.handshake.extension.type",
    "dtls.handshake.extensions_server_name",
    "dtls.handshake.extensions_alpn_str",
    "dtls.handshake.extensions.supported_version",
    "dtls.handshake.sig_hash_alg",
    "dtls.handshake.ja3",
    "dtls.handshake.ja3s",
    "dtls.handshake.certificate",
    "x509ce.dNSName",
    "x509ce.rfc822Name",
    "x509ce.iPAddress",
    "quic.version",
    "dns.qry.name",
    "dns.qry.type",
    "dns.a",
    "dns.aaaa",
    "dns.cname",
    "dns.flags.rcode",
    "http.host",
    "http.user_agent",
    "http.server",
    "http.request.method",
    "http.response.code",
    "ssh.protocol",
    "ssh.kex.hassh",
    "ssh.kex.hasshserver",
];

/// Fields of ours that are compared.
const COMPARED: &[&str] = &[
    "tls.sni",
    "tls.alpn",
    "tls.ja3",
    "tls.ja3s",
    "tls.ja4",
    "tls.version",
    "tls.cipher",
    "x509.san",
    "x509.sha256",
    "quic.sni",
    "quic.version",
    "dns.qname",
    "dns.qtype",
    "dns.answer",
    "dns.cname",
    "dns.rcode",
    "http.host",
    "http.user_agent",
    "http.server",
    "http.method",
    "http.status",
    "ssh.banner",
    "ssh.hassh",
    "ssh.hassh_server",
];

/// One end of a flow.
type End = (IpAddr, u16);
/// Both ends, the lower first, and whether it is TCP.
type Flow = (bool, End, End);
/// Values of a field in a flow, of any side.
type Values = BTreeMap<(Flow, &'static str), BTreeSet<String>>;

fn flow(is_tcp: bool, a: End, b: End) -> Flow {
    (is_tcp, a.min(b), a.max(b))
}

/// Past the harness, which keeps what a test prints to itself.
fn not_run(why: &str) {
    let mut say = io::stderr();
    writeln!(say, "\nNOT RUN: beside tshark: {why}\n").unwrap();
}

/// The rows that tshark prints of a capture.
fn rows(capture: &Path) -> Result<Vec<Row>, String> {
    let addresses = [
        "frame.protocols",
        "ip.src",
        "ip.dst",
        "ipv6.src",
        "ipv6.dst",
        "tcp.srcport",
        "tcp.dstport",
        "udp.srcport",
        "udp.dstport",
    ];
    let mut tshark = Command::new("tshark");
    tshark.arg("-n").arg("-r").arg(capture).args(["-o", "tcp.reassemble_out_of_order:TRUE"]);
    // It goes by the port when the first segment is short, and by the port alone for QUIC.
    tshark.args(["-d", "tcp.port==8443,tls", "-d", "udp.port==853,quic"]);
    tshark.args([
        "-Y",
        "tls or dtls or quic or dns or mdns or llmnr or http or ssdp or ssh",
        "-T",
        "fields",
        "-E",
        "occurrence=a",
    ]);
    tshark.arg("-E").arg(format!("aggregator={BETWEEN}"));
    for field in addresses.iter().chain(ASKED) {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().map_err(|error| format!("tshark: {error}"))?;
    // 2 ends the reading of a capture that was cut short.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 2)) && !said.contains("aren't valid"), "tshark: {said}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter_map(|line| Row::read(&line.split('\t').collect::<Vec<_>>())).collect())
}

/// One packet as tshark reads it.
struct Row {
    flow: Flow,
    /// What carries the hello, as JA4 writes it.
    over: char,
    of: BTreeMap<&'static str, Vec<String>>,
}

impl Row {
    fn read(cells: &[&str]) -> Option<Row> {
        let values = |at: usize| -> Vec<String> {
            let cell = cells.get(at).copied().unwrap_or_default();
            cell.split(BETWEEN).filter(|value| !value.is_empty()).map(str::to_owned).collect()
        };
        // The innermost addresses and ports: what is wrapped around a flow has its own.
        let protocols: Vec<&str> = cells.first()?.split(':').collect();
        let inner = |names: &[&str]| protocols.iter().rev().find_map(|p| names.iter().position(|name| name == p));
        let (v6, udp) = (inner(&["ip", "ipv6"])? == 1, inner(&["tcp", "udp"])? == 1);
        let address = |at: usize| values(at).last()?.parse::<IpAddr>().ok();
        let port = |at: usize| values(at).last()?.parse::<u16>().ok();
        let (source, destination) = if v6 { (address(3)?, address(4)?) } else { (address(1)?, address(2)?) };
        let (from, to) = if udp { (port(7)?, port(8)?) } else { (port(5)?, port(6)?) };
        let of = ASKED.iter().enumerate().map(|(n, name)| (*name, values(9 + n))).collect();
        let over = [("quic", 'q'), ("dtls", 'd')].into_iter().find(|(name, _)| protocols.contains(name));
        Some(Row { flow: flow(!udp, (source, from), (destination, to)), over: over.map_or('t', |(_, over)| over), of })
    }

    fn all(&self, name: &str) -> &[String] {
        let over_dtls = format!("d{name}");
        let name = if self.over == 'd' && name.starts_with("tls.") { &over_dtls } else { name };
        self.of.get(name).map_or(&[], Vec::as_slice)
    }

    fn numbers(&self, name: &str) -> Vec<u64> {
        self.all(name).iter().filter_map(|text| number(text)).collect()
    }

    /// JA4 of the only hello of a client in it (FoxIO-LLC/ja4, technical_details/JA4.md).
    fn ja4(&self) -> String {
        let grease = |n: &u64| n & 0x0f0f == 0x0a0a && n >> 8 == n & 0xff;
        let plain = |name: &str| -> Vec<u64> { self.numbers(name).into_iter().filter(|n| !grease(n)).collect() };
        let (ciphers, extensions) = (plain("tls.handshake.ciphersuite"), plain("tls.handshake.extension.type"));
        let offered = plain("tls.handshake.extensions.supported_version").into_iter().max();
        let version = match offered.or_else(|| plain("tls.handshake.version").first().copied()).unwrap() {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            0xfeff => "d1",
            0xfefd => "d2",
            0xfefc => "d3",
            _ => "00",
        };
        let name = if extensions.contains(&0) { 'd' } else { 'i' };
        let alpn = match self.all("tls.handshake.extensions_alpn_str").first().map(|text| text.as_bytes()) {
            Some([one]) => [*one, *one],
            Some([first, .., last]) => [*first, *last],
            _ => *b"00",
        };
        let alpn = String::from_utf8(alpn.to_vec()).unwrap();
        let listed = |mut list: Vec<u64>| {
            list.sort_unstable();
            list.iter().map(|n| format!("{n:04x}")).collect::<Vec<_>>().join(",")
        };
        let digest =
            |text: &str| if text.is_empty() { "0".repeat(12) } else { hex(&Sha256::digest(text))[..12].to_owned() };
        let schemes = self.numbers("tls.handshake.sig_hash_alg");
        let schemes: Vec<String> = schemes.iter().filter(|n| !grease(n)).map(|n| format!("{n:04x}")).collect();
        let others = listed(extensions.iter().copied().filter(|kind| !matches!(kind, 0 | 16)).collect());
        let third = if schemes.is_empty() { others } else { format!("{others}_{}", schemes.join(",")) };
        format!(
            "{}{version}{name}{:02}{:02}{alpn}_{}_{}",
            self.over,
            ciphers.len().min(99),
            extensions.len().min(99),
            digest(&listed(ciphers)),
            if extensions.is_empty() { "0".repeat(12) } else { digest(&third) }
        )
    }

    /// What it says, in our words.
    fn add_to(&self, values: &mut Values) {
        let mut add = |field: &'static str, value: String| {
            values.entry((self.flow, field)).or_default().insert(value);
        };
        let names: &[(&str, &'static str)] = &[
            ("tls.handshake.ja3", "tls.ja3"),
            ("tls.handshake.ja3s", "tls.ja3s"),
            ("tls.handshake.extensions_alpn_str", "tls.alpn"),
            ("tls.handshake.extensions_server_name", if self.over == 'q' { "quic.sni" } else { "tls.sni" }),
            ("x509ce.dNSName", "x509.san"),
            ("x509ce.rfc822Name", "x509.san"),
            ("dns.qry.name", "dns.qname"),
            ("dns.a", "dns.answer"),
            ("dns.aaaa", "dns.answer"),
            ("dns.cname", "dns.cname"),
            ("http.host", "http.host"),
            ("http.user_agent", "http.user_agent"),
            ("http.server", "http.server"),
            ("http.request.method", "http.method"),
            ("ssh.protocol", "ssh.banner"),
            ("ssh.kex.hassh", "ssh.hassh"),
            ("ssh.kex.hasshserver", "ssh.hassh_server"),
        ];
        for (theirs, ours) in names {
            self.all(theirs).iter().for_each(|value| add(ours, plain(ours, value)));
        }
        let numbers: &[(&str, &'static str)] = &[
            ("quic.version", "quic.version"),
            ("dns.qry.type", "dns.qtype"),
            ("dns.flags.rcode", "dns.rcode"),
            ("http.response.code", "http.status"),
        ];
        for (theirs, ours) in numbers {
            self.numbers(theirs).iter().for_each(|number| add(ours, number.to_string()));
        }
        for address in self.all("x509ce.iPAddress").iter().map(|digits| bytes(digits)) {
            let v4 = <[u8; 4]>::try_from(address.as_slice()).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(address).map(IpAddr::from));
            address.into_iter().for_each(|address| add("x509.san", address.to_string()));
        }
        // The first certificate is the sender's own.
        if let Some(certificate) = self.all("tls.handshake.certificate").first() {
            add("x509.sha256", hex(&Sha256::digest(bytes(certificate))));
        }
        let hellos = self.numbers("tls.handshake.type");
        // A hello in the form of SSL 2 has its ciphers elsewhere, and no fingerprint.
        if hellos.contains(&1) && !hellos.contains(&2) && !self.all("tls.handshake.ciphersuite").is_empty() {
            add("tls.ja4", self.ja4());
        }
        if hellos.contains(&2) && !hellos.contains(&1) {
            let chosen = self.numbers("tls.handshake.extensions.supported_version");
            let version = chosen.first().copied().or_else(|| self.numbers("tls.handshake.version").first().copied());
            version.into_iter().for_each(|version| add("tls.version", version.to_string()));
            let cipher = self.numbers("tls.handshake.ciphersuite").first().copied();
            cipher.into_iter().for_each(|cipher| add("tls.cipher", cipher.to_string()));
        }
    }
}

/// A value in our form: a host stands without its port, the root of DNS is a dot.
fn plain(field: &str, value: &str) -> String {
    match value.rsplit_once(':') {
        Some((host, port)) if field == "http.host" && port.bytes().all(|byte| byte.is_ascii_digit()) => host.to_owned(),
        _ if field == "dns.qname" && value == "<Root>" => ".".to_owned(),
        _ => value.to_owned(),
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn bytes(digits: &str) -> Vec<u8> {
    digits.as_bytes().chunks(2).filter_map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// What is read here, and the flows that were read.
fn ours(capture: &Path) -> (Values, BTreeSet<Flow>) {
    let scan = Scan { keep_flows: true, ..Scan::builtin().unwrap() };
    let names = [capture.display().to_string()];
    let scanned = scan.run(&mut Inputs::open(&names, None).unwrap(), &names, &|_, _| {});
    let mut written = Vec::new();
    scanned.flows.write(&mut written).unwrap();
    let (mut values, mut flows) = (Values::new(), BTreeSet::new());
    for line in written.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let record: Value = serde_json::from_slice(line).unwrap();
        let end =
            |side: &str| Some((record[side]["ip"].as_str()?.parse().ok()?, record[side]["port"].as_u64()? as u16));
        let (Some(source), Some(destination)) = (end("source"), end("destination")) else { continue };
        let flow = flow(record["network"]["transport"] == "tcp", source, destination);
        flows.insert(flow);
        for fact in record["bordertap"]["facts"].as_array().into_iter().flatten() {
            let Some(field) = COMPARED.iter().find(|field| **field == fact["field"]) else { continue };
            let value = fact["value"].as_str().map_or_else(|| fact["value"].to_string(), str::to_owned);
            values.entry((flow, *field)).or_default().insert(value);
        }
    }
    (values, flows)
}

/// Every difference of a capture, as file, field, who says it, value; and how many values are the same, by field.
fn compare(capture: &Path, same: &mut BTreeMap<&'static str, usize>) -> Result<(Vec<Difference>, usize), String> {
    let mut theirs = Values::new();
    rows(capture)?.iter().for_each(|row| row.add_to(&mut theirs));
    let (ours, flows) = ours(capture);
    let mut differences = Vec::new();
    let none = BTreeSet::new();
    for key @ (flow, field) in theirs.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
        let (there, here) = (theirs.get(key).unwrap_or(&none), ours.get(key).unwrap_or(&none));
        *same.entry(field).or_default() += there.intersection(here).count();
        let file = capture.file_name().unwrap().to_string_lossy().into_owned();
        for (who, value) in
            there.difference(here).map(|v| ("tshark", v)).chain(here.difference(there).map(|v| ("bordertap", v)))
        {
            differences.push(Difference { file: file.clone(), flow: *flow, field, who, value: value.clone() });
        }
    }
    Ok((differences, flows.len()))
}

struct Difference {
    file: String,
    flow: Flow,
    field: &'static str,
    /// Who alone says it.
    who: &'static str,
    value: String,
}

impl Difference {
    fn line(&self) -> String {
        let Difference { file, flow: (is_tcp, a, b), field, who, value } = self;
        let over = if *is_tcp { "tcp" } else { "udp" };
        format!("{file}, {over} {}:{} {}:{}: {field}, {who} alone: {value}", a.0, a.1, b.0, b.1)
    }
}

/// Nothing is left that has no reason.
fn is_empty(unexplained: &[Difference]) {
    let lines: Vec<String> = unexplained.iter().take(SHOWN_MAX).map(Difference::line).collect();
    assert!(unexplained.is_empty(), "{} differences, the first:\n{}", unexplained.len(), lines.join("\n"));
}

/// What is left of differences when those with a reason are gone.
fn unexplained(differences: Vec<Difference>) -> Vec<Difference> {
    let explained = |d: &Difference| {
        KNOWN.iter().any(|(file, field, who, value, _)| {
            let is = |known: &str, here: &str| known == "*" || known == here;
            (*file == "*" || d.file.starts_with(file)) && is(field, d.field) && is(who, d.who) && is(value, &d.value)
        })
    };
    differences.into_iter().filter(|difference| !explained(difference)).collect()
}

/// Differences with reasons: the start of the file's name or `*`, the field, who alone says it, the value or `*`, and why.
const KNOWN: &[(&str, &str, &str, &str, &str)] = &[
    ("arkime-gtp-iphone", "dns.answer", "tshark", "*", ADDITIONAL),
    ("arkime-dns-wiresharkrepo", "dns.answer", "tshark", "*", ADDITIONAL),
    ("openvpn-", "*", "bordertap", "*", OPENVPN),
    ("four-vendors", "*", "bordertap", "*", "port 514: tshark takes TLS there for a remote shell"),
    ("cid-tcp.", "http.method", "tshark", "GET", "cut by the snap length before the end of the request line"),
    (
        "zeek-mixed-vlan-mpls",
        "http.method",
        "tshark",
        "GET",
        "a request of HTTP/0.9, which has no version and no headers",
    ),
    ("sv-output-eve-ftp-data", "dns.answer", "tshark", "*", ADDITIONAL),
    ("sv-issue-4759.1-tcpdns", "dns.answer", "tshark", "*", ADDITIONAL),
    ("ndpi-custom_rules_ipv6", "dns.answer", "tshark", "*", ADDITIONAL),
    ("ndpi-anyconnect-vpn", "dns.answer", "tshark", "*", ADDITIONAL),
    ("arkime-twovlan", "http.status", "bordertap", "200", WAITS),
    ("mercury-multi_packet_http_response", "*", "bordertap", "*", WAITS),
    ("sv-UriTestSig", "*", "bordertap", "*", WAITS),
    ("arkime-quic", "quic.version", "bordertap", "*", GOOGLE),
    ("ndpi-quic.", "quic.version", "bordertap", "*", GOOGLE),
    ("ndpi-snapchat_call", "quic.version", "bordertap", "*", GOOGLE),
    ("sv-quic-cyu", "quic.version", "bordertap", "*", GOOGLE),
    ("sv-output-eve-ftp-data", "http.server", "bordertap", "*", SEARCH),
    ("sv-output-eve-ftp-data", "http.status", "bordertap", "*", SEARCH),
    ("ndpi-anyconnect-vpn", "http.server", "bordertap", "*", SEARCH),
    ("ndpi-anyconnect-vpn", "http.status", "bordertap", "*", SEARCH),
    ("sv-http2-continuation", "*", "bordertap", "*", HTTP2),
    ("ja4-http2-with-cookies", "x509.san", "tshark", "*", SEALED),
    ("ja4-http2-with-cookies", "x509.sha256", "tshark", "*", SEALED),
    (
        "sv-bug-1450-05-tls_DER",
        "x509.sha256",
        "*",
        "*",
        "a certificate that is longer than the DER in it says: tshark goes by the DER, here the list counts (RFC 5246, 7.4.2)",
    ),
    ("ndpi-dns_invert_query", "dns.rcode", "tshark", "4", "an inverse query (RFC 3425 did away with them)"),
    ("ndpi-fuzz-", "*", "*", "*", DAMAGED),
    ("ndpi-ossfuzz", "*", "*", "*", DAMAGED),
    ("ndpi-dazn", "tls.ja4", "*", "*", DELEGATED),
    ("sv-quic-frag", "tls.ja4", "*", "*", DELEGATED),
    (
        "ndpi-long_tls_certificate",
        "x509.san",
        "tshark",
        "*",
        "185 names: 64 values of a field are kept, and the flow says so",
    ),
    ("ndpi-badpackets", "dns.answer", "tshark", "*", ADDITIONAL),
    ("ndpi-badpackets", "dns.rcode", "tshark", "0", "cut by the snap length right behind the header of DNS"),
    ("ndpi-anydesk", "*", "bordertap", "*", "TLS to port 80, which tshark does not look for there"),
    ("ndpi-openvpn_obfuscated", "*", "bordertap", "*", OPENVPN),
    ("arkime-http-tcp-seq-issue", "*", "bordertap", "*", WAITS),
    ("sv-http2-errorcode", "*", "bordertap", "*", HTTP2),
    (
        "ndpi-quic-mvfst-22_decryption_error",
        "quic.version",
        "tshark",
        "*",
        "the packet does not open with the keys of its version, so here it is none of QUIC",
    ),
    ("zeek-client-certificate", "tls.ja4", "*", "*", DELEGATED),
    ("zeek-ssl-to-http-server", "*", "*", "*", PLAIN),
    ("zeek-https-to-http", "*", "*", "*", PLAIN),
];

const HTTP2: &str = "tshark tells HTTP/2 in fields of its own: there is the same";
const OPENVPN: &str =
    "tshark does not read the TLS inside OpenVPN; it is held against OpenSSL's keys in the parser's tests";
const WAITS: &str = "tshark waits for the end of a body that was not captured";
const GOOGLE: &str = "a version of Google, which is another protocol to tshark";
const SEARCH: &str = "an answer to SSDP, to a port of chance: tshark does not look into it";
const SEALED: &str =
    "the capture has keys, with which tshark opens the certificates of TLS 1.3; here nothing is opened";
const DAMAGED: &str = "bytes that were changed by chance: tshark also tells what stands before the damage";
const DELEGATED: &str = "tshark lists the schemes of delegated credentials with those of the hello";
const PLAIN: &str =
    "TLS to port 80: tshark reads the answer in plain text and not the hello; here it is the other way round";
const ADDITIONAL: &str = "an address of the additional section: nobody asked for it (RFC 1035 section 4.1)";

#[test]
fn row_45_ten_thousand_made_flows_are_read_as_tshark_reads_them() {
    let file = tempfile::NamedTempFile::with_suffix(".pcap").unwrap();
    let packets = made::packets(FLOWS);
    std::fs::write(file.path(), pcap(true, &packets)).unwrap();
    let mut same = BTreeMap::new();
    let (differences, flows) = match compare(file.path(), &mut same) {
        Ok(compared) => compared,
        Err(why) => return not_run(&why),
    };
    assert_eq!(flows, FLOWS, "flows");
    println!("{} packets, {flows} flows, values that are the same: {same:#?}", packets.len());
    let unexplained = unexplained(differences);
    is_empty(&unexplained);
    for field in COMPARED {
        assert!(same.get(field).is_some_and(|count| *count >= 200), "{field}: compared {:?} times", same.get(field));
    }
}

#[test]
fn row_45b_captures_are_read_as_tshark_reads_them() {
    let mut captures = fixture_files(&["pcap", "pcapng"]);
    if let Some(folder) = std::env::var_os(CAPTURES_VARIABLE) {
        let more = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
        captures.extend(
            more.filter(|path| path.extension().is_some_and(|end| end == "pcap" || end == "pcapng"))
                .collect::<Vec<PathBuf>>(),
        );
    }
    let (mut same, mut all, mut flows) = (BTreeMap::new(), Vec::new(), 0);
    for capture in &captures {
        match compare(capture, &mut same) {
            Ok((differences, more)) => {
                all.extend(differences);
                flows += more;
            }
            Err(why) => return not_run(&why),
        }
    }
    let known = all.len();
    let unexplained = unexplained(all);
    println!(
        "{} captures, {flows} flows, {} differences with reasons; the same: {same:#?}",
        captures.len(),
        known - unexplained.len()
    );
    is_empty(&unexplained);
}
