//! Formats beside JSON lines, each read by somebody else: Python's csv, tshark, jq, `zeek-cut`, stix2, PyMISP, DuckDB, and
//! the grammar of the format written down here.
//!
//! In: the demonstration, fixtures, and an appliance with hostile names. A reader that is not on this machine is named on
//! standard error behind `NOT RUN`; `.ci/install readers` puts those of Python under `target/readers`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::everything::OPTIONS;
use common::{capture, hostile};
use serde_json::Value;

/// Everything that one run wrote.
struct Wrote {
    dir: tempfile::TempDir,
}

impl Wrote {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(fs::read(self.path(name)).unwrap()).unwrap_or_else(|e| panic!("{name} is no UTF-8: {e}"))
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        self.text(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn findings(&self) -> Vec<Value> {
        self.lines("findings.jsonl")
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

const DEMO: &str = "demo/four-vendors.pcapng";

/// A scan that writes every format there is in one go.
fn scan(input: &Path, workers: usize) -> Wrote {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bordertap"));
    command.args(["scan", "-q", "-j", &workers.to_string()]).arg(input);
    for (option, name) in OPTIONS {
        command.arg(format!("--{option}")).arg(dir.path().join(name));
    }
    let output = command.output().unwrap();
    // 3: some of the input was damaged, what was readable is reported.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!([Some(0), Some(3)].contains(&output.status.code()), "{said}");
    Wrote { dir }
}

fn demo() -> Wrote {
    scan(&fixture(DEMO), 1)
}

fn hostile() -> Wrote {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostile.pcap");
    fs::write(&path, capture::pcap(true, &hostile::packets())).unwrap();
    let wrote = scan(&path, 1);
    // Every name became a finding: what follows looks at all of them.
    assert!(wrote.findings().len() >= 2 * hostile::NAMES.len(), "{}", wrote.findings().len());
    wrote
}

fn not_run(what: &str, why: &str) {
    // Around the capture of the test harness.
    let mut say = std::io::stderr();
    writeln!(say, "\nNOT RUN: {what}: {why}\n").unwrap();
}

/// The Python that has these modules, if there is one.
fn python(modules: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/readers/bin/python");
    let has = |python: &PathBuf| {
        let script = format!("import {modules}");
        Command::new(python).args(["-c", &script]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let found = [own, PathBuf::from("python3")].into_iter().find(has);
    if found.is_none() {
        not_run(&format!("what Python's {modules} reads"), "it cannot be imported; .ci/install readers has it");
    }
    found
}

/// What a script says, as JSON.
fn ask(python: &Path, script: &str, args: &[&Path]) -> Value {
    let output = Command::new(python).args(["-c", script]).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}", said.chars().take(1500).collect::<String>());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        not_run(&format!("what {program} reads"), "it is not on the PATH");
    }
    there
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

// Determinism.

#[test]
fn the_same_bytes_for_any_number_of_workers() {
    let (one, four) = (demo(), scan(&fixture(DEMO), 4));
    for name in ["csv/findings.csv", "csv/assets.csv", "findings.cef", "stix.json", "misp.json"] {
        assert!(one.text(name) == four.text(name), "{name} differs");
    }
    // Flows are a set, in the order in which each worker ended them.
    for name in ["zeek/conn.log", "zeek/ssl.log", "zeek/dns.log", "zeek/http.log", "eve.json"] {
        let sorted = |wrote: &Wrote| wrote.text(name).lines().map(str::to_owned).collect::<BTreeSet<_>>();
        assert!(sorted(&one) == sorted(&four), "{name} differs");
    }
}

// CSV.

const READ_CSV: &str = "
import csv, json, sys
print(json.dumps([list(csv.DictReader(open(path, newline='', encoding='utf-8'), strict=True)) for path in sys.argv[1:]]))
";

#[test]
fn csv_says_what_findings_say() {
    let Some(python) = python("csv") else { return };
    for wrote in [demo(), hostile()] {
        let tables = ask(&python, READ_CSV, &[&wrote.path("csv/findings.csv"), &wrote.path("csv/assets.csv")]);
        let (rows, findings) = (tables[0].as_array().unwrap(), wrote.findings());
        assert_eq!(rows.len(), findings.len());
        for (row, finding) in rows.iter().zip(&findings) {
            for (column, path) in [
                ("id", "/id"),
                ("direction", "/direction"),
                ("crossing", "/crossing"),
                ("asset_ip", "/asset/ip"),
                ("channel_id", "/channel/id"),
            ] {
                assert_eq!(text(row, &format!("/{column}")), text(finding, path));
            }
            for column in ["bytes_out", "bytes_in", "sessions"] {
                assert_eq!(row[column].as_str().unwrap(), finding[column].to_string());
            }
            assert_eq!(row["attempted_only"].as_str().unwrap(), finding["attempted_only"].to_string());
            let ips: Vec<&str> =
                finding["destination"]["ip"].as_array().unwrap().iter().map(|ip| ip.as_str().unwrap()).collect();
            assert_eq!(text(row, "/ip"), ips.join("; "));
        }
        assert_eq!(tables[1].as_array().unwrap().len(), wrote.lines("assets.jsonl").len());
    }
}

#[test]
fn csv_has_no_formula_and_nothing_hidden() {
    let wrote = hostile();
    for name in ["csv/findings.csv", "csv/assets.csv"] {
        let table = wrote.text(name);
        assert!(table.lines().count() > 1 && table.ends_with("\r\n"));
        assert!(!table.contains(['\u{202e}', '\t']), "{name}");
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        for row in reader.records() {
            for cell in row.unwrap().iter().flat_map(|cell| cell.split("; ")) {
                assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{name}: {cell}");
                assert!(!cell.contains(['\n', '\r']), "{name}: {cell}");
            }
        }
    }
    let table = wrote.text("csv/findings.csv");
    for shown in ["\"'=cmd|'/c calc'!a0\"", "\"'+1.example\"", "\"'@sum(a1).example\"", "abc\\u{202e}moc.example"] {
        assert!(table.contains(shown), "{shown}");
    }
}

// Zeek.

/// A log as its own lines describe it: `#fields`, and rows by name.
struct Log {
    fields: Vec<String>,
    rows: Vec<BTreeMap<String, String>>,
}

/// Reads a log by the grammar of Zeek's ASCII writer, and checks each value against the type of its column.
fn read_log(wrote: &Wrote, name: &str) -> Log {
    let text = wrote.text(name);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("#separator \\x09"));
    let mut header = BTreeMap::new();
    let mut rows = Vec::new();
    let mut fields: Vec<String> = Vec::new();
    for line in lines {
        let mut cells = line.split('\t');
        if let Some(key) = line.strip_prefix('#') {
            let (key, rest) = key.split_once('\t').unwrap();
            if key == "fields" {
                fields = rest.split('\t').map(str::to_owned).collect();
            }
            header.insert(key.to_owned(), rest.to_owned());
            continue;
        }
        assert_eq!(line.split('\t').count(), fields.len(), "{name}: {line}");
        let types: Vec<&str> = header["types"].split('\t').collect();
        for (kind, cell) in types.iter().zip(cells.clone()) {
            check_type(kind, cell);
        }
        rows.push(fields.iter().map(|field| (field.clone(), cells.next().unwrap().to_owned())).collect());
    }
    let signs = ["set_separator", "empty_field", "unset_field"].map(|key| header[key].as_str());
    assert_eq!(signs, [",", "(empty)", "-"]);
    assert_eq!(format!("zeek/{}.log", header["path"]), name);
    assert_eq!(header["types"].split('\t').count(), fields.len());
    assert!(header.contains_key("open") && header.contains_key("close"));
    Log { fields, rows }
}

fn check_type(kind: &str, cell: &str) {
    assert!(!cell.is_empty(), "an empty cell of type {kind}");
    if cell == "-" {
        return;
    }
    let fits = match kind {
        "time" | "interval" => {
            cell.split_once('.').is_some_and(|(whole, part)| whole.parse::<i64>().is_ok() && part.len() == 6)
        }
        "addr" => cell.parse::<std::net::IpAddr>().is_ok(),
        "port" => cell.parse::<u16>().is_ok(),
        "count" => cell.parse::<u64>().is_ok(),
        "int" => cell.parse::<i64>().is_ok(),
        "bool" => ["T", "F"].contains(&cell),
        "enum" => cell.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
        "string" | "set[string]" | "vector[string]" | "set[enum]" | "vector[interval]" => true,
        other => panic!("no type of Zeek: {other}"),
    };
    assert!(fits, "{kind}: {cell}");
}

/// The bytes behind `\xNN`.
fn unescaped(cell: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), cell);
    while let Some(at) = rest.find("\\x") {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        bytes.push(u8::from_str_radix(&rest[at + 2..at + 4], 16).unwrap());
        rest = &rest[at + 4..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// The columns of Zeek 7, written down from its documentation, and of the packages for Community ID, MAC, VLAN, JA3, JA4.
const COLUMNS: &[(&str, &str)] = &[
    (
        "zeek/conn.log",
        "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes conn_state local_orig \
         local_resp missed_bytes history orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes tunnel_parents ip_proto \
         community_id orig_l2_addr resp_l2_addr vlan",
    ),
    (
        "zeek/ssl.log",
        "ts uid id.orig_h id.orig_p id.resp_h id.resp_p version cipher curve server_name resumed last_alert next_protocol \
         established ssl_history cert_chain_fps client_cert_chain_fps subject issuer ja3 ja3s ja4",
    ),
    (
        "zeek/dns.log",
        "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto trans_id rtt query qclass qclass_name qtype qtype_name rcode \
         rcode_name AA TC RD RA Z answers TTLs rejected",
    ),
    (
        "zeek/http.log",
        "ts uid id.orig_h id.orig_p id.resp_h id.resp_p trans_depth method host uri referrer version user_agent origin \
         request_body_len response_body_len status_code status_msg info_code info_msg tags username password proxied \
         orig_fuids orig_filenames orig_mime_types resp_fuids resp_filenames resp_mime_types",
    ),
];

#[test]
fn logs_of_zeek_follow_its_grammar_and_belong_together() {
    for wrote in [demo(), hostile(), scan(&fixture("tunnel"), 1), scan(&fixture("dns"), 2)] {
        let conn = read_log(&wrote, "zeek/conn.log");
        let uids: BTreeMap<&str, &BTreeMap<String, String>> =
            conn.rows.iter().map(|row| (row["uid"].as_str(), row)).collect();
        assert_eq!(uids.len(), conn.rows.len(), "a uid twice");
        let flows = wrote.lines("flows.jsonl");
        let with_ip = flows.iter().filter(|flow| flow["network"]["type"] != "ethernet").count();
        assert_eq!(conn.rows.len(), with_ip);
        for (name, columns) in COLUMNS {
            let log = read_log(&wrote, name);
            assert_eq!(log.fields, columns.split_whitespace().collect::<Vec<_>>());
            for row in &log.rows {
                let flow = uids[row["uid"].as_str()];
                for key in ["id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"] {
                    assert_eq!(row[key], flow[key]);
                }
                assert!(row["uid"].len() == 18 && row["uid"].starts_with('C'));
            }
        }
    }
}

#[test]
fn logs_of_zeek_carry_hostile_names_whole() {
    let wrote = hostile();
    let ssl = read_log(&wrote, "zeek/ssl.log");
    let told: BTreeSet<Vec<u8>> = ssl.rows.iter().map(|row| unescaped(&row["server_name"])).collect();
    for name in hostile::NAMES {
        assert!(told.contains(name.as_bytes()), "{name:?}");
    }
    assert!(told.iter().any(|name| name.starts_with(&[b'l'; hostile::LABEL_BYTES])));
    let http = read_log(&wrote, "zeek/http.log");
    assert!(http.rows.iter().any(|row| unescaped(&row["host"]) == hostile::NO_UTF8), "{:?}", http.rows[0]["host"]);
    // What stands for "unset" and "empty" is told apart from names that are written so.
    assert!(ssl.rows.iter().all(|row| !["-", "(empty)"].contains(&row["server_name"].as_str())));
}

#[test]
fn zeek_cut_reads_the_logs() {
    let wrote = demo();
    if Command::new("zeek-cut").arg("-h").output().is_err() {
        return not_run("what zeek-cut reads", "it is not on the PATH");
    }
    let log = fs::File::open(wrote.path("zeek/ssl.log")).unwrap();
    let cut = Command::new("zeek-cut").args(["uid", "server_name"]).stdin(log).output().unwrap();
    let rows = read_log(&wrote, "zeek/ssl.log").rows;
    let expected: String = rows.iter().map(|row| format!("{}\t{}\n", row["uid"], row["server_name"])).collect();
    assert_eq!(String::from_utf8(cut.stdout).unwrap(), expected);
}

/// Rows of fields that tshark reads of the packets that match.
fn tshark(capture: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    // Port 514 is that of a remote shell to it, and of log uploads over TLS in the demonstration.
    command.args(["-d", "tcp.port==514,tls", "-r"]).arg(capture).args([
        "-Y",
        filter,
        "-T",
        "fields",
        "-E",
        "separator=/t",
        "-E",
        "occurrence=f",
    ]);
    fields.iter().for_each(|field| {
        command.args(["-e", field]);
    });
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

#[test]
fn logs_of_zeek_say_what_tshark_says() {
    if !is_there("tshark") {
        return;
    }
    let (wrote, capture) = (demo(), fixture(DEMO));
    // Of two fields one has the address, by the version of IP.
    let ends = ["ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport"];
    let four =
        |row: &[String]| vec![row[0].clone() + &row[1], row[2].clone(), row[3].clone() + &row[4], row[5].clone()];
    // Packets and IP bytes, from each end to each.
    const IPV6_HEADER_BYTES: u64 = 40;
    let mut sums: BTreeMap<Vec<String>, [u64; 2]> = BTreeMap::new();
    for row in tshark(&capture, "tcp", &[&ends[..], &["ip.len", "ipv6.plen"]].concat()) {
        let bytes = row[6].parse::<u64>().unwrap_or_else(|_| row[7].parse::<u64>().unwrap() + IPV6_HEADER_BYTES);
        let sum = sums.entry(four(&row)).or_default();
        *sum = [sum[0] + 1, sum[1] + bytes];
    }
    let mut told: BTreeMap<Vec<String>, [u64; 2]> = BTreeMap::new();
    for row in read_log(&wrote, "zeek/conn.log").rows.iter().filter(|row| row["proto"] == "tcp") {
        let [oh, op, rh, rp] = ["id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"].map(|key| row[key].clone());
        let number = |key: &str| row[key].parse::<u64>().unwrap();
        let there = (vec![oh.clone(), op.clone(), rh.clone(), rp.clone()], ["orig_pkts", "orig_ip_bytes"]);
        for (key, columns) in [there, (vec![rh, rp, oh, op], ["resp_pkts", "resp_ip_bytes"])] {
            if number(columns[0]) > 0 {
                let sum = told.entry(key).or_default();
                *sum = [sum[0] + number(columns[0]), sum[1] + number(columns[1])];
            }
        }
    }
    assert!(told.len() > 50 && told == sums, "{} directions, tshark has {}", told.len(), sums.len());
    // Names and fingerprints of hellos.
    let fields = ["tls.handshake.extensions_server_name", "tls.handshake.ja3"];
    let hellos = tshark(&capture, "tls.handshake.type == 1", &[&ends[..], &fields].concat());
    let expected: BTreeSet<Vec<String>> = hellos.iter().map(|row| [four(row), row[6..].to_vec()].concat()).collect();
    let rows = read_log(&wrote, "zeek/ssl.log").rows;
    let told: BTreeSet<Vec<String>> = rows
        .iter()
        .map(|row| {
            let keys = ["id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "server_name", "ja3"];
            keys.map(|key| if row[key] == "-" { String::new() } else { row[key].clone() }).to_vec()
        })
        .collect();
    let differ: Vec<_> = told.symmetric_difference(&expected).take(4).collect();
    assert!(expected.len() > 20 && differ.is_empty(), "{differ:?}");
    // Questions.
    let expected: BTreeSet<Vec<String>> =
        tshark(&capture, "dns.flags.response == 0", &["ip.src", "udp.srcport", "dns.qry.name", "dns.qry.type"])
            .into_iter()
            .collect();
    let rows = read_log(&wrote, "zeek/dns.log").rows;
    let keys = ["id.orig_h", "id.orig_p", "query", "qtype"];
    let told: BTreeSet<Vec<String>> = rows.iter().map(|row| keys.map(|key| row[key].clone()).to_vec()).collect();
    let differ: Vec<_> = told.symmetric_difference(&expected).take(4).collect();
    assert!(expected.len() > 10 && differ.is_empty(), "{differ:?}");
}

// EVE.

#[test]
fn eve_fits_its_schema_and_its_events_belong_together() {
    let schema: Value = serde_json::from_str(&fs::read_to_string(fixture("schema/eve.json")).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for wrote in [demo(), hostile(), scan(&fixture("tunnel"), 1), scan(&fixture("dns"), 2), scan(&fixture("quic"), 1)] {
        let events = wrote.lines("eve.json");
        let of = |kind: &str| events.iter().filter(|event| event["event_type"] == kind).collect::<Vec<_>>();
        for event in &events {
            let error = validator.validate(event).err().map(|e| e.to_string().chars().take(300).collect::<String>());
            assert_eq!(error, None);
        }
        let ids: BTreeMap<u64, &Value> = of("flow").iter().map(|e| (e["flow_id"].as_u64().unwrap(), *e)).collect();
        assert_eq!(ids.len(), of("flow").len());
        for event in events.iter().filter(|event| event["event_type"] != "alert") {
            let flow = ids[&event["flow_id"].as_u64().unwrap()];
            for key in ["community_id", "src_ip", "dest_ip", "src_port", "dest_port", "proto"] {
                assert_eq!(event[key], flow[key]);
            }
        }
        let findings = wrote.findings();
        assert_eq!(of("alert").len(), findings.len());
        for (event, finding) in of("alert").iter().zip(&findings) {
            assert_eq!(event["bordertap"]["finding"], finding["id"]);
            assert_eq!(event["bordertap"]["crossing"], finding["crossing"]);
            let (from, to) = (text(event, "/src_ip"), text(event, "/dest_ip"));
            let asset = if finding["direction"] == "inbound" { to } else { from };
            assert_eq!(asset, text(finding, "/asset/ip"));
            assert_eq!(event["bordertap"]["domain"], finding["destination"]["domain"]);
            assert_eq!(event["bordertap"]["attempted_only"], finding["attempted_only"]);
        }
    }
}

#[test]
fn eve_is_read_by_jq() {
    let (wrote, program) = (hostile(), "[inputs | select(.event_type == \"tls\") | .tls.sni] | unique");
    if !is_there("jq") {
        return;
    }
    let output = Command::new("jq").args(["-n", program]).arg(wrote.path("eve.json")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names: Vec<String> = serde_json::from_slice(&output.stdout).unwrap();
    // Names that can be shown as they are come through whole.
    for name in hostile::NAMES.iter().filter(|name| !name.contains(char::is_control)) {
        assert!(names.iter().any(|told| told == name), "{name:?}");
    }
    let sums = "[inputs | select(.event_type == \"flow\") | .flow] | [(map(.bytes_toserver) | add), (map(.pkts_toclient) | add)]";
    let output = Command::new("jq").args(["-nc", sums]).arg(wrote.path("eve.json")).output().unwrap();
    let flows = wrote.lines("flows.jsonl");
    let sum = |path: &str| flows.iter().map(|flow| flow.pointer(path).unwrap().as_u64().unwrap()).sum::<u64>();
    let told: Vec<u64> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told, [sum("/source/bytes"), sum("/destination/packets")]);
}

// CEF.

/// Header fields and extension of a line, by the grammar of the format.
fn read_cef(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let mut header = vec![String::new()];
    let mut rest = line.chars();
    while header.len() < 8 {
        match rest.next().unwrap() {
            '\\' => header.last_mut().unwrap().push(rest.next().filter(|c| ['\\', '|'].contains(c)).unwrap()),
            '|' => header.push(String::new()),
            other => header.last_mut().unwrap().push(other),
        }
    }
    header.pop();
    // A key is what stands before an `=` that is not escaped, back to the blank before it.
    let text: Vec<char> = rest.collect();
    let signs: Vec<usize> =
        (0..text.len()).filter(|&at| text[at] == '=' && (at == 0 || !is_escaped(&text, at))).collect();
    let key_at = |sign: usize| text[..sign].iter().rposition(|c| *c == ' ').map_or(0, |at| at + 1);
    let mut extension = BTreeMap::new();
    for (n, &sign) in signs.iter().enumerate() {
        let end = signs.get(n + 1).map_or(text.len(), |&next| key_at(next) - 1);
        let key: String = text[key_at(sign)..sign].iter().collect();
        let mut value = String::new();
        let mut rest = text[sign + 1..end].iter();
        while let Some(character) = rest.next() {
            value.push(match character {
                '\\' => match rest.next().unwrap() {
                    'n' => '\n',
                    'r' => '\r',
                    other => *other,
                },
                other => *other,
            });
        }
        assert!(extension.insert(key.clone(), value).is_none(), "{key} twice");
    }
    (header, extension)
}

fn is_escaped(text: &[char], at: usize) -> bool {
    text[..at].iter().rev().take_while(|c| **c == '\\').count() % 2 == 1
}

#[test]
fn cef_says_what_findings_say() {
    for wrote in [demo(), hostile()] {
        let (text_of, findings) = (wrote.text("findings.cef"), wrote.findings());
        assert_eq!(text_of.lines().count(), findings.len());
        for (line, finding) in text_of.lines().zip(&findings) {
            let (header, extension) = read_cef(line);
            assert_eq!(header[..3], ["CEF:0", "bordertap", "bordertap"]);
            assert_eq!(header[4], text(finding, "/channel/id"));
            assert!((0..=10).contains(&header[6].parse::<u8>().unwrap()));
            let get = |key: &str| extension.get(key).map(String::as_str).unwrap_or_default();
            assert_eq!(get("externalId"), text(finding, "/id"));
            let at = ["cs1", "cs2", "cs3", "cs4", "cs5", "cs6"].into_iter();
            let labelled = |label: &str| at.clone().find(|key| get(&format!("{key}Label")) == label).map_or("", get);
            assert_eq!(labelled("crossing"), text(finding, "/crossing"));
            assert_eq!(labelled("attemptedOnly"), finding["attempted_only"].to_string());
            let [v4, v6] = [["src", "dst"], ["c6a2", "c6a3"]].map(|keys| keys.map(get));
            let both = [0, 1].map(|end| [v4[end], v6[end]].concat());
            assert!(both.contains(&text(finding, "/asset/ip").to_owned()), "{both:?}");
            // What hides or turns around what stands beside it is shown.
            let domain = text(finding, "/destination/domain").replace('\t', "\\u{9}").replace('\u{202e}', "\\u{202e}");
            assert!([get("shost"), get("dhost")].contains(&domain.as_str()), "{domain:?}");
            let sum = finding["bytes_out"].as_u64().unwrap() + finding["bytes_in"].as_u64().unwrap();
            assert_eq!(get("in").parse::<u64>().unwrap() + get("out").parse::<u64>().unwrap(), sum);
        }
    }
}

// STIX.

/// Parses strictly, makes the ids of observables again as the library makes them, and follows every reference.
const READ_STIX: &str = r#"
import json, sys, stix2
bundle = stix2.parse(open(sys.argv[1], encoding='utf-8').read(), allow_custom=False, version='2.1')
ids = {o.id for o in bundle.objects}
assert len(ids) == len(bundle.objects), 'an id twice'
kinds, wrong = {}, []
for o in bundle.objects:
    kinds[o.type] = kinds.get(o.type, 0) + 1
    if getattr(o, '_id_contributing_properties', None) and o._generate_id() != o.id:
        wrong.append(o.id)
    raw = json.loads(o.serialize())
    for key, value in raw.items():
        for ref in ([value] if key.endswith('_ref') else value if key.endswith('_refs') else []):
            assert ref in ids, (o.id, key, ref)
countries = sorted({o.get('country') or o.name for o in bundle.objects if o.type == 'location'})
observed = [o for o in bundle.objects if o.type == 'observed-data']
names = sorted({o.value for o in bundle.objects if o.type == 'domain-name'})
ips = sorted({o.value for o in bundle.objects if o.type in ('ipv4-addr', 'ipv6-addr')})
traffic = [o for o in bundle.objects if o.type == 'network-traffic']
print(json.dumps({'kinds': kinds, 'wrong': wrong, 'countries': countries, 'names': names, 'ips': ips,
    'labels': sorted({l for o in observed for l in o.labels}),
    'bytes': sum(o.src_byte_count + o.dst_byte_count for o in traffic),
    'first': min(str(json.loads(o.serialize())['first_observed']) for o in observed)}))
"#;

fn strings(value: &Value) -> BTreeSet<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// Whether a host may have this name (RFC 1123, section 2.1, and underscores).
fn is_host_name(name: &str) -> bool {
    name.len() < 254
        && name.split('.').all(|label| {
            (1..64).contains(&label.len())
                && !label.starts_with('-')
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        })
}

#[test]
fn stix_is_parsed_strictly() {
    let Some(python) = python("stix2") else { return };
    for wrote in [demo(), hostile()] {
        let told = ask(&python, READ_STIX, &[&wrote.path("stix.json")]);
        let findings = wrote.findings();
        assert_eq!(told["wrong"], serde_json::json!([]));
        for kind in ["observed-data", "infrastructure", "network-traffic"] {
            assert_eq!(told["kinds"][kind].as_u64().unwrap() as usize, findings.len(), "{kind}");
        }
        // A note for each, and one for the run.
        assert_eq!(told["kinds"]["note"].as_u64().unwrap() as usize, findings.len() + 1);
        let of = |path: &str| -> BTreeSet<String> {
            let all = findings.iter().map(|finding| text(finding, path).to_owned());
            all.filter(|text| !text.is_empty()).collect()
        };
        assert_eq!(strings(&told["countries"]), of("/destination/country"));
        assert_eq!(
            strings(&told["names"]),
            of("/destination/domain").into_iter().filter(|n| is_host_name(n)).collect()
        );
        let ips = findings.iter().flat_map(|finding| strings(&finding["destination"]["ip"]));
        assert_eq!(strings(&told["ips"]), ips.chain(of("/asset/ip")).collect());
        let labels = strings(&told["labels"]);
        for (label, path) in [("crossing", "/crossing"), ("direction", "/direction"), ("channel", "/channel/id")] {
            for value in of(path) {
                assert!(labels.contains(&format!("{label}:{value}")), "{label}:{value}");
            }
        }
        let attempted = findings.iter().any(|finding| finding["attempted_only"] == true);
        assert_eq!(labels.contains("attempted-only"), attempted);
        let sum = |key: &str| findings.iter().map(|finding| finding[key].as_u64().unwrap()).sum::<u64>();
        assert_eq!(told["bytes"].as_u64().unwrap(), sum("bytes_out") + sum("bytes_in"));
        let first = of("/first_seen").into_iter().next().unwrap();
        assert_eq!(text(&told, "/first")[..19], first[..19]);
    }
}

// MISP.

/// Loads the event, and holds objects against the templates that come with the library.
const READ_MISP: &str = r#"
import json, os, sys, pymisp
event = pymisp.MISPEvent(strict_validation=True)
event.load_file(sys.argv[1], validate=False)
folder = os.path.join(os.path.dirname(pymisp.__file__), 'data')
types = json.load(open(os.path.join(folder, 'describeTypes.json')))['result']
attributes = list(event.attributes)
for o in event.objects:
    template = json.load(open(os.path.join(folder, 'misp-objects', 'objects', o.name, 'definition.json')))
    assert o.template_uuid == template['uuid'] and str(o.template_version) == str(template['version']), o.name
    assert o['meta-category'] == template['meta-category'], o.name
    relations = [a.object_relation for a in o.attributes]
    for a in o.attributes:
        of = template['attributes'][a.object_relation]
        assert of['misp-attribute'] == a.type, (o.name, a.object_relation, a.type)
        assert of.get('multiple') or relations.count(a.object_relation) == 1, (o.name, a.object_relation)
    assert set(template.get('required', [])) <= set(relations), o.name
    assert not template.get('requiredOneOf') or set(template['requiredOneOf']) & set(relations), o.name
    attributes += o.attributes
for a in attributes:
    assert a.type in types['category_type_mappings'][a.category], (a.category, a.type)
    assert not a.to_ids, a.value
uuids = [event.uuid] + [o.uuid for o in event.objects] + [a.uuid for a in attributes]
assert len(set(uuids)) == len(uuids), 'a UUID twice'
print(json.dumps({'objects': len([o for o in event.objects if o.name == 'network-connection']),
    'attributes': sorted([a.type, str(a.value)] for a in event.attributes),
    'tags': sorted({t.name for a in event.attributes for t in a.tags})}))
"#;

#[test]
fn misp_is_loaded_by_its_library() {
    let Some(python) = python("pymisp") else { return };
    for wrote in [demo(), hostile()] {
        let told = ask(&python, READ_MISP, &[&wrote.path("misp.json")]);
        let findings = wrote.findings();
        assert_eq!(told["objects"].as_u64().unwrap() as usize, findings.len());
        let mut expected = BTreeSet::new();
        for finding in &findings {
            let domain = text(finding, "/destination/domain");
            if !domain.is_empty() {
                expected.insert([if is_host_name(domain) { "domain" } else { "text" }.to_owned(), domain.to_owned()]);
            }
            let kind = if finding["direction"] == "inbound" { "ip-src" } else { "ip-dst" };
            expected.extend(strings(&finding["destination"]["ip"]).into_iter().map(|ip| [kind.to_owned(), ip]));
        }
        let pair = |pair: &Value| [0, 1].map(|n| pair[n].as_str().unwrap().to_owned());
        let all: BTreeSet<[String; 2]> = told["attributes"].as_array().unwrap().iter().map(pair).collect();
        let all: BTreeSet<_> = all.into_iter().filter(|[kind, _]| !kind.starts_with("ja3")).collect();
        let differ: Vec<_> = all.symmetric_difference(&expected).take(4).collect();
        assert!(differ.is_empty(), "{differ:?}");
        let tags = strings(&told["tags"]);
        for finding in &findings {
            assert!(tags.contains(&format!("bordertap:crossing=\"{}\"", text(finding, "/crossing"))), "{tags:?}");
        }
    }
}

// Parquet.

/// What DuckDB finds in the tables: types, counts, sums, some values.
#[cfg(feature = "parquet")]
const READ_PARQUET: &str = r#"
import duckdb, json, sys
flows, findings, assets = sys.argv[1:]
rows = lambda query: duckdb.sql(query).fetchall()
types = lambda path: {row[0]: row[1] for row in rows(f"describe select * from '{path}'")}
print(json.dumps({
    'types': {'flows': types(flows), 'findings': types(findings), 'assets': types(assets)},
    'flows': rows(f"select count(*), sum(src_bytes)::bigint, sum(dst_packets)::bigint, min(epoch_us(start)), "
        f"max(epoch_us(\"end\")), count(community_id), count(distinct tls_ja4) from '{flows}'")[0],
    'names': [row[0] for row in rows(f"select distinct tls_server_name from '{flows}' where tls_server_name is not null")],
    'flags': [row[0] for row in rows(f"select distinct unnest(flags) from '{flows}'")],
    'signatures': rows(f"select sum(len(signatures))::bigint from '{flows}'")[0][0],
    'findings': rows(f"select id, direction, crossing, attempted_only, bytes_out, bytes_in, sessions, ip, domain, "
        f"epoch_us(first_seen) from '{findings}'"),
    'assets': rows(f"select ip, vendor, bytes_out, len(evidence) from '{assets}'"),
    'groups': rows(f"select max(row_group_id) + 1, max(row_group_num_rows) from parquet_metadata('{flows}')")[0],
}))
"#;

#[cfg(feature = "parquet")]
fn micros(time: &str) -> i64 {
    bordertap::time::Time::parse(time).unwrap().0.div_euclid(1000)
}

#[cfg(feature = "parquet")]
fn read_parquet(python: &Path, wrote: &Wrote) -> Value {
    let tables = ["flows", "findings", "assets"].map(|name| wrote.path(&format!("parquet/{name}.parquet")));
    ask(python, READ_PARQUET, &tables.each_ref().map(PathBuf::as_path))
}

#[cfg(feature = "parquet")]
#[test]
fn duckdb_reads_the_tables() {
    let Some(python) = python("duckdb") else { return };
    for wrote in [demo(), hostile(), scan(&fixture("tunnel"), 2)] {
        let told = read_parquet(&python, &wrote);
        let flows = wrote.lines("flows.jsonl");
        let sum = |path: &str| flows.iter().map(|flow| flow.pointer(path).unwrap().as_u64().unwrap()).sum::<u64>();
        let times = |path: &str| flows.iter().map(|flow| micros(text(flow, path))).collect::<BTreeSet<_>>();
        let ids = flows.iter().filter(|flow| flow.pointer("/network/community_id").is_some()).count();
        let of = |path: &str| -> BTreeSet<String> {
            flows.iter().map(|flow| text(flow, path).to_owned()).filter(|text| !text.is_empty()).collect()
        };
        let expected = serde_json::json!([
            flows.len(),
            sum("/source/bytes"),
            sum("/destination/packets"),
            times("/event/start").first(),
            times("/event/end").last(),
            ids,
            of("/tls/client/ja4").len(),
        ]);
        assert_eq!(told["flows"], expected);
        assert_eq!(strings(&told["names"]), of("/tls/client/server_name"));
        let listed =
            |path: &str| flows.iter().filter_map(|flow| flow.pointer(path)?.as_array()).flatten().collect::<Vec<_>>();
        let flags = listed("/bordertap/flags").into_iter().map(|flag| flag.as_str().unwrap().to_owned());
        assert_eq!(strings(&told["flags"]), flags.collect());
        assert_eq!(told["signatures"].as_u64().unwrap() as usize, listed("/bordertap/verdicts").len());
        let rows: Vec<Value> = wrote
            .findings()
            .iter()
            .map(|f| {
                let (ip, domain) = (&f["destination"]["ip"], &f["destination"]["domain"]);
                let keys = ["id", "direction", "crossing", "attempted_only", "bytes_out", "bytes_in", "sessions"];
                let mut row = keys.map(|key| f[key].clone()).to_vec();
                row.extend([ip.clone(), domain.clone(), micros(text(f, "/first_seen")).into()]);
                Value::from(row)
            })
            .collect();
        assert_eq!(told["findings"], Value::from(rows));
        let assets = wrote.lines("assets.jsonl").into_iter().map(|asset| {
            let evidence = asset["evidence"].as_array().unwrap().len();
            serde_json::json!([asset["ip"], asset["vendor"], asset["bytes_out"], evidence])
        });
        assert_eq!(told["assets"], assets.collect::<Value>());
        let kind = |path: &str| text(&told["types"], path).to_owned();
        assert_eq!(kind("/flows/start"), "TIMESTAMP WITH TIME ZONE");
        assert_eq!(kind("/flows/src_bytes"), "BIGINT");
        assert_eq!(kind("/flows/flags"), "VARCHAR[]");
        assert_eq!(kind("/flows/domain"), "VARCHAR");
        assert_eq!(kind("/findings/attempted_only"), "BOOLEAN");
        assert_eq!(kind("/findings/why"), "VARCHAR[]");
        assert_eq!(kind("/assets/shared_address"), "BOOLEAN");
    }
}

#[cfg(feature = "parquet")]
#[test]
fn row_groups_are_bounded() {
    let Some(python) = python("duckdb") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut made = Command::new(env!("CARGO_BIN_EXE_bordertap"));
    made.args(["bench", "churn", "--packets", "300000", "--write"]).arg(dir.path());
    assert!(made.output().unwrap().status.success());
    let wrote = scan(&dir.path().join("churn.pcap"), 2);
    let told = read_parquet(&python, &wrote);
    let [groups, rows] = [0, 1].map(|n| told["groups"][n].as_u64().unwrap());
    assert!(groups > 1 && rows <= 1 << 15, "{groups} groups of up to {rows} rows");
}

// A sensor.

#[cfg(all(target_os = "linux", feature = "libpcap"))]
mod sensor {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use common::wire::{FAR, GENTLE, SETTLED, demonstration, inside, listen, run, send};

    /// What the last line of each finding says of it, without those that were withdrawn.
    fn latest(lines: impl Iterator<Item = (String, String)>) -> BTreeSet<String> {
        let latest: BTreeMap<String, String> = lines.collect();
        latest.into_iter().filter(|(_, status)| status != "withdrawn").map(|(id, _)| id).collect()
    }

    /// Findings go out as they arise, to a file and to the log of the system.
    #[test]
    fn a_sensor_tells_eve_and_cef() {
        if !inside("sensor::a_sensor_tells_eve_and_cef") {
            return;
        }
        let (packets, dir, path) = demonstration();
        let scanned = run(&["scan", path.to_str().unwrap(), "--findings", "-"]).out;
        let scanned = scanned.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let expected: BTreeSet<String> = scanned.map(|finding| text(&finding, "/id").to_owned()).collect();
        let socket = UnixDatagram::bind(dir.path().join("log")).unwrap();
        let heard = std::thread::spawn(move || {
            let (mut messages, mut buffer) = (Vec::<String>::new(), vec![0; 1 << 16]);
            loop {
                let bytes = socket.recv(&mut buffer).unwrap();
                match String::from_utf8(buffer[..bytes].to_vec()).unwrap() {
                    over if over == "over" => return messages,
                    message => messages.push(message),
                }
            }
        });
        let [eve, csv, stix] = ["eve.json", "csv", "stix.json"].map(|name| dir.path().join(name));
        let log = format!("syslog:{}", dir.path().join("log").display());
        let program = listen(&[
            "-i",
            FAR,
            "--eve",
            eve.to_str().unwrap(),
            "--cef",
            &log,
            "--csv",
            csv.to_str().unwrap(),
            "--stix",
            stix.to_str().unwrap(),
        ]);
        send(packets.iter().map(|p| p.bytes.as_slice()), GENTLE);
        std::thread::sleep(SETTLED);
        program.signal("TERM");
        let said = program.finish();
        assert_eq!(said.status, 0, "{}", said.messages);
        UnixDatagram::unbound().unwrap().send_to(b"over", dir.path().join("log")).unwrap();
        let messages = heard.join().unwrap();
        let told = messages.iter().map(|message| {
            // RFC 5424: priority and version, time, host, program, process, kind, no structured data, the message.
            let parts: Vec<&str> = message.splitn(8, ' ').collect();
            assert_eq!([parts[0], parts[3], parts[5], parts[6]], ["<30>1", "bordertap", "cef", "-"]);
            let (_, extension) = read_cef(parts[7]);
            (extension["externalId"].clone(), extension["act"].clone())
        });
        assert_eq!(latest(told), expected);
        let events: Vec<Value> =
            fs::read_to_string(eve).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let alerts = events.iter().filter(|event| event["event_type"] == "alert");
        let of = |event: &Value, key: &str| text(&event["bordertap"], key).to_owned();
        assert_eq!(latest(alerts.map(|event| (of(event, "/finding"), of(event, "/status")))), expected);
        assert!(events.iter().filter(|event| event["event_type"] == "flow").count() > 20);
        // Documents stand at the end.
        assert!(fs::read_to_string(csv.join("findings.csv")).unwrap().lines().count() > expected.len());
        assert!(fs::read_to_string(stix).unwrap().contains("\"bundle\""));
    }
}

#[test]
fn what_is_for_scans_is_refused_by_a_sensor() {
    let command = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_bordertap")).args(args).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, said) = command(&["live", "-i", "none", "--zeek", "logs"]);
    assert!(status == Some(2) && said.contains("--zeek is for scan"), "{said}");
    let (status, said) = command(&["merge", "none.json", "--eve", "-"]);
    assert!(status == Some(2) && said.contains("--eve"), "{said}");
}
