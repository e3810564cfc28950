//! Reports merged and flow records judged again, with the program as its users run it: what is read in parts says the same
//! as what is read at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::capture::pcap;
use common::demo;
use common::packets::Packet;
use serde_json::Value;

/// Parts that a capture is split in.
const PARTS: usize = 7;
const DEMO: &str = "fixtures/demo/four-vendors.pcapng";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn run(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bordertap")).current_dir(dir).args(args).output().unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).chars().take(600).collect()
}

/// Runs what must go well; what it printed.
fn good(dir: &Path, args: &[&str]) -> Vec<u8> {
    let output = run(dir, args);
    assert_eq!(status(&output), 0, "{args:?}: {}", errors(&output));
    output.stdout
}

/// Writes parts of a capture, and the report of each. The names of both.
fn parts(dir: &Path, parts: &[Vec<Packet>], options: &[&str]) -> (Vec<String>, Vec<String>) {
    let mut names = (Vec::new(), Vec::new());
    for (n, packets) in parts.iter().enumerate() {
        let (capture, report) = (format!("part-{n}.pcap"), format!("part-{n}.json"));
        fs::write(dir.join(&capture), pcap(true, packets)).unwrap();
        good(dir, &[&["scan", "-q", &capture, "--json", &report], options].concat());
        names.0.push(capture);
        names.1.push(report);
    }
    names
}

fn refs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// The report of all parts read at once, and that merged from theirs.
fn both(split: &[Vec<Packet>], options: &[&str]) -> [Vec<u8>; 2] {
    let dir = tempfile::tempdir().unwrap();
    let (captures, reports) = parts(dir.path(), split, options);
    let whole = good(dir.path(), &[&["scan", "-q", "--json", "-"], options, &refs(&captures)].concat());
    let merged = good(dir.path(), &[&["merge", "-q", "--json", "-"][..], &refs(&reports)].concat());
    [whole, merged]
}

/// The first line in which two documents differ.
fn difference([whole, merged]: &[Vec<u8>; 2]) -> Option<(String, String)> {
    let lines = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (whole, merged) = (lines(whole), lines(merged));
    let differ = whole.lines().zip(merged.lines()).find(|(a, b)| a != b);
    let cut = |line: &str| line.chars().take(200).collect::<String>();
    differ.map(|(a, b)| (cut(a), cut(b))).or_else(|| (whole != merged).then(|| ("length".into(), "length".into())))
}

/// The addresses of a packet over Ethernet without VLAN; of another frame none.
fn addresses(packet: &Packet) -> Option<[IpAddr; 2]> {
    let bytes = &packet.bytes;
    let four = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap());
    let sixteen = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&bytes[at..at + 16]).unwrap());
    let mut ends = match bytes[12..14] {
        [8, 0] => [four(26), four(30)],
        [0x86, 0xdd] => [sixteen(22), sixteen(38)],
        _ => return None,
    };
    ends.sort();
    Some(ends)
}

#[test]
fn seven_pieces_of_a_capture_are_the_capture() {
    let packets = demo::packets();
    let split: Vec<Vec<Packet>> = packets.chunks(packets.len().div_ceil(PARTS)).map(<[_]>::to_vec).collect();
    assert_eq!(split.len(), PARTS);
    let reports = both(&split, &[]);
    assert_eq!(difference(&reports), None);
    let whole: Value = serde_json::from_slice(&reports[0]).unwrap();
    assert!(whole["findings"].as_array().unwrap().len() > 20);
    // Parts of parts come to the same.
    let dir = tempfile::tempdir().unwrap();
    let (_, names) = parts(dir.path(), &split, &[]);
    let (some, others) = names.split_at(3);
    good(dir.path(), &[&["merge", "-q", "--json", "some"][..], &refs(some)].concat());
    good(dir.path(), &[&["merge", "-q", "--json", "others"][..], &refs(others)].concat());
    let twice = good(dir.path(), &["merge", "-q", "--json", "-", "some", "others"]);
    assert_eq!(difference(&[reports[0].clone(), twice]), None, "merged in two steps");
    let reports = both(&split, &["--home", "US", "--inside", "10.20.0.0/16", "-j", "3"]);
    assert_eq!(difference(&reports), None, "home and inside come from the reports");
}

#[test]
fn what_seven_sensors_saw_is_what_one_would_have_seen() {
    let mut split = vec![Vec::new(); PARTS];
    for packet in demo::packets() {
        let mut hash = 0usize;
        for byte in addresses(&packet).iter().flatten().flat_map(|a| a.to_string().into_bytes()) {
            hash = hash.wrapping_mul(31).wrapping_add(byte.into());
        }
        split[hash % PARTS].push(packet);
    }
    assert!(split.iter().all(|part| part.len() > 10), "every sensor sees something");
    assert_eq!(difference(&both(&split, &[])), None);
}

#[test]
fn every_cut_that_no_message_lies_across_is_mended() {
    let packets: Vec<Packet> = demo::packets().into_iter().take(36).collect();
    let (mut same, mut reread) = (0, 0);
    for at in 1..packets.len() {
        let dir = tempfile::tempdir().unwrap();
        let split = [packets[..at].to_vec(), packets[at..].to_vec()];
        let (captures, reports) = parts(dir.path(), &split, &[]);
        let whole = good(dir.path(), &["scan", "-q", "--json", "-", &captures[0], &captures[1]]);
        let merged = good(dir.path(), &["merge", "-q", "--json", "-", &reports[0], &reports[1]]);
        let [whole, merged]: [Value; 2] = [whole, merged].map(|text| serde_json::from_slice(&text).unwrap());
        // Whatever was cut, nothing is counted twice and nothing is lost.
        for key in ["flows", "transit_flows", "first_seen", "last_seen"] {
            assert_eq!(whole["header"][key], merged["header"][key], "cut after packet {at}: {key}");
        }
        assert_eq!(whole["ledger"], merged["ledger"], "cut after packet {at}");
        let bytes = |report: &Value| -> u64 {
            report["findings"].as_array().unwrap().iter().map(|f| f["bytes_out"].as_u64().unwrap()).sum()
        };
        assert_eq!(bytes(&whole), bytes(&merged), "cut after packet {at}");
        if whole == merged { same += 1 } else { reread += 1 }
    }
    assert!(same >= 25 && reread <= 10, "{same} cuts mended, {reread} not");
}

#[test]
fn nothing_counts_twice() {
    let dir = tempfile::tempdir().unwrap();
    let packets = demo::packets();
    let (_, reports) = parts(dir.path(), &[packets[..300].to_vec(), packets[300..].to_vec()], &[]);
    fs::copy(dir.path().join("part-0.pcap"), dir.path().join("other-name.pcap")).unwrap();
    good(dir.path(), &["scan", "-q", "other-name.pcap", "--json", "again.json"]);
    for twice in [&["part-0.json", "part-0.json"][..], &["part-1.json", "part-0.json", "again.json"]] {
        let output = run(dir.path(), &[&["merge"], twice].concat());
        assert_eq!(status(&output), 2, "{twice:?}");
        assert!(errors(&output).contains("part-0.pcap is in"), "{}", errors(&output));
        assert!(output.stdout.is_empty());
    }
    good(dir.path(), &["scan", "-q", "part-1.pcap", "--home", "US", "--json", "us.json"]);
    let output = run(dir.path(), &["merge", &reports[0], "us.json"]);
    assert!(status(&output) == 2 && errors(&output).contains("different homes"), "{}", errors(&output));
    let text = String::from_utf8(good(dir.path(), &["merge", "-q", "--home", "CN", &reports[0], "us.json"])).unwrap();
    assert!(text.contains("across the border"), "the text report is the default");
}

#[test]
fn what_is_no_report_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let good = good(dir.path(), &["scan", "-q", root().join(DEMO).to_str().unwrap(), "--json", "-"]);
    let report: Value = serde_json::from_slice(&good).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut report = report.clone();
        change(&mut report);
        report.to_string()
    };
    let bad = [
        (String::new(), "not a report"),
        ("{}".to_owned(), "not a report"),
        (changed(&|r| drop(r.as_object_mut().unwrap().remove("sums"))), "carries no sums"),
        (changed(&|r| r["header"]["format"] = 9.into()), "format 9"),
        (changed(&|r| r["sums"]["format"] = 9.into()), "format 9"),
        (changed(&|r| r["sums"]["gathered"]["rollups"] = serde_json::json!([["10.0.0.1", null, 7]])), "sums"),
        (changed(&|r| r["sums"]["gathered"]["gists"] = serde_json::json!([])), "gist that is not there"),
        (changed(&|r| r["sums"]["gathered"]["surplus"] = 1.into()), "surplus"),
    ];
    for (text, reason) in bad {
        fs::write(dir.path().join("bad.json"), text).unwrap();
        let output = run(dir.path(), &["merge", "bad.json"]);
        let said = errors(&output);
        assert!(status(&output) == 1 && said.contains("bad.json: ") && said.contains(reason), "{reason}: {said}");
    }
    let output = run(dir.path(), &["merge", "absent.json"]);
    assert!(status(&output) == 1 && errors(&output).contains("absent.json: "));
}

/// A report without what a flow record cannot tell: when each piece of evidence was seen.
fn without_sight(report: &mut Value) {
    fn walk(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(walk),
            Value::Object(map) if map.contains_key("signature") && map.contains_key("packet") => {
                map.remove("packet");
                map.remove("first_seen");
            }
            Value::Object(map) => map.values_mut().for_each(walk),
            _ => {}
        }
    }
    ["findings", "assets"].into_iter().for_each(|key| walk(&mut report[key]));
}

fn captures(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            captures(&path, found);
        } else if path.extension().is_some_and(|e| e == "pcap" || e == "pcapng") {
            found.push(path);
        }
    }
}

#[test]
fn flow_records_say_again_what_their_captures_said() {
    let mut found = Vec::new();
    captures(&root().join("fixtures"), &mut found);
    let (mut compared, mut findings, mut differ) = (0, 0, Vec::new());
    for path in found {
        let dir = tempfile::tempdir().unwrap();
        let name = path.to_str().unwrap();
        let output = run(dir.path(), &["scan", "-q", name, "--flows", "flows.jsonl", "--json", "report.json"]);
        if status(&output) != 0 {
            continue;
        }
        let read = |name: &str| -> Value { serde_json::from_slice(&fs::read(dir.path().join(name)).unwrap()).unwrap() };
        let mut scanned = read("report.json");
        good(dir.path(), &["recheck", "-q", "flows.jsonl", "--flows", "again.jsonl", "--json", "again.json"]);
        let mut again = read("again.json");
        [&mut scanned, &mut again].into_iter().for_each(without_sight);
        let keys = ["findings", "assets", "gaps"].into_iter().filter(|key| scanned[*key] != again[*key]);
        differ.extend(keys.map(|key| format!("{key} of {name}")));
        if scanned["header"]["flows"] != again["header"]["flows"] {
            differ.push(format!("flows of {name}"));
        }
        // Which of several values came first, and the types of ICMP, are not in a record.
        let lines = |name: &str| {
            let text = fs::read_to_string(dir.path().join(name)).unwrap();
            let kept = |line: &str| {
                let record: Value = serde_json::from_str(line).unwrap();
                ["event", "source", "destination", "bordertap"].map(|key| record[key].to_string()).concat()
            };
            let mut lines: Vec<String> = text.lines().map(kept).collect();
            lines.sort();
            lines
        };
        if lines("flows.jsonl") != lines("again.jsonl") {
            differ.push(format!("records of {name}"));
        }
        compared += 1;
        findings += scanned["findings"].as_array().unwrap().len();
    }
    assert!(differ.is_empty(), "{} differences:\n{}", differ.len(), differ.join("\n"));
    assert!(compared > 50 && findings > 20, "{compared} captures, {findings} findings");
}

#[test]
fn new_signatures_explain_old_records() {
    let dir = tempfile::tempdir().unwrap();
    let demo = root().join(DEMO);
    good(dir.path(), &["scan", "-q", demo.to_str().unwrap(), "--flows", "flows.jsonl"]);
    fs::create_dir(dir.path().join("more")).unwrap();
    let channel = "format = 1\nvendor = \"Example\"\nchecked = 2026-11-01\n\
        [[channel]]\nid = \"example.telemetry\"\nproduct = \"Example\"\nfunction = \"telemetry\"\ndata = []\n\
        basis = \"inferred\"\nsource = [\"https://example.com\"]\n\
        [[channel.when]]\nhost = \"telemetry.unlisted.example\"\nregion = \"any\"\nconfidence = 95\n\
        [[channel.example]]\ntls.sni = \"telemetry.unlisted.example\"\nregion = \"any\"\n\
        [[channel.counterexample]]\nwhy = \"another\"\ntls.sni = \"name.example\"\n";
    fs::write(dir.path().join("more/example.toml"), channel).unwrap();
    let channels = |more: &[&str]| -> Vec<String> {
        let out = good(dir.path(), &[&["recheck", "-q", "flows.jsonl", "--findings", "-"], more].concat());
        let id =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["channel"]["id"].as_str().unwrap().to_owned();
        std::str::from_utf8(&out).unwrap().lines().map(id).collect()
    };
    let (before, after) = (channels(&[]), channels(&["--signatures", "more"]));
    assert!(before.iter().any(|id| id == "unexplained") && !before.iter().any(|id| id == "example.telemetry"));
    assert!(after.iter().any(|id| id == "example.telemetry"));
    assert_eq!(before.len(), after.len());
}

#[test]
fn lines_that_are_no_records_are_named_and_the_others_kept() {
    let dir = tempfile::tempdir().unwrap();
    let flows = good(root(), &["scan", "-q", DEMO, "--flows", "-"]);
    let mut broken = flows.clone();
    let first = flows.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let bad: &[u8] = b"{\"event\":1}\n\xff\xfe\n\n";
    broken.splice(first..first, bad.iter().copied());
    broken.extend(vec![b'x'; 3 << 20]);
    fs::write(dir.path().join("flows.jsonl"), &broken).unwrap();
    let output = run(dir.path(), &["recheck", "flows.jsonl", "--json", "-"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(status(&output), 3, "{}", errors(&output));
    for offset in [first, first + 12, bad.len() + flows.len()] {
        assert!(said.contains(&format!("flows.jsonl: at offset {offset}: ")), "{offset} in {}", errors(&output));
    }
    assert!(said.contains("a line of more than"), "{}", errors(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = flows.iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(report["header"]["flows"], lines);
    assert_eq!(report["header"]["damage"].as_array().unwrap().len(), 3);
    // The same file under two names would count twice.
    fs::copy(dir.path().join("flows.jsonl"), dir.path().join("copy.jsonl")).unwrap();
    let output = run(dir.path(), &["recheck", "flows.jsonl", "copy.jsonl"]);
    assert!(status(&output) == 2 && errors(&output).contains("hold the same"), "{}", errors(&output));
    let output = run(dir.path(), &["recheck", "absent.jsonl"]);
    assert_eq!(status(&output), 1);
}

/// What somebody else wrote into a report or a record moves no terminal when it is refused.
#[test]
fn a_message_about_a_file_moves_no_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let report = String::from_utf8(good(root(), &["scan", "-q", DEMO, "--json", "-"])).unwrap();
    let at = report.find("\"sums\": {").unwrap() + "\"sums\": {".len();
    let (front, back) = report.split_at(at);
    fs::write(dir.path().join("hostile.json"), format!("{front}\"\\u001b[2Jgone\\u202e\":1,{back}")).unwrap();
    let refused = run(dir.path(), &["merge", "hostile.json"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("gone") && said.contains("hostile.json"), "{said}");
    assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said:?}");
}
