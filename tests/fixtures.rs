//! Every fixture against what an independent tool read in it.
//!
//! `fixtures/<topic>/<case>.expect.json` says what has to be found in the capture beside it: for each
//! key, a short word or the name of a field, the values that another tool printed. Adding a fixture is adding two
//! files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

/// Every value of one flow record, under the keys of the expectations.
fn values(record: &Value, into: &mut BTreeMap<String, BTreeSet<String>>) {
    let mut add = |key: &str, value: &str| {
        into.entry(key.to_owned()).or_default().insert(normal(value));
    };
    let keys = [
        ("sni", "/tls/client/server_name"),
        ("ja3", "/tls/client/ja3"),
        ("ja4", "/tls/client/ja4"),
        ("ja3s", "/tls/server/ja3s"),
        ("qname", "/dns/question/name"),
        ("host", "/url/domain"),
        ("user_agent", "/user_agent/original"),
        ("server", "/http/response/headers/server"),
        ("community_id", "/network/community_id"),
        ("protocol", "/network/protocol"),
    ];
    for (key, pointer) in keys {
        if let Some(text) = record.pointer(pointer).and_then(Value::as_str) {
            add(key, text);
        }
    }
    if let Some(names) = record.pointer("/bordertap/tunnel").and_then(Value::as_array) {
        let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
        add("tunnel", &names.join(","));
    }
    for fact in record.pointer("/bordertap/facts").and_then(Value::as_array).into_iter().flatten() {
        let key = match fact["field"].as_str().unwrap() {
            "tls.sni" | "quic.sni" => "sni",
            "tls.alpn" => "alpn",
            "tls.ja3" => "ja3",
            "tls.ja3s" => "ja3s",
            "tls.ja4" => "ja4",
            "dns.qname" => "qname",
            "http.host" => "host",
            "http.user_agent" => "user_agent",
            "http.server" => "server",
            "x509.subject" | "x509.issuer" | "x509.san" => "name_part",
            field => field,
        };
        match &fact["value"] {
            Value::String(text) => add(key, text),
            number => add(key, &number.to_string()),
        }
    }
}

fn normal(value: &str) -> String {
    value.trim().trim_end_matches('.').to_lowercase()
}

/// The capture that an expectation speaks of.
fn capture_of(expectation: &Path) -> PathBuf {
    let stem = expectation.to_str().unwrap().strip_suffix(".expect.json").unwrap().to_owned();
    ["pcap", "pcapng"]
        .iter()
        .map(|ending| PathBuf::from(format!("{stem}.{ending}")))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("no capture beside {}", expectation.display()))
}

#[test]
fn every_fixture_reads_as_other_tools_read_it() {
    let mut found = Vec::new();
    walk(&fixtures(), &mut found);
    found.retain(|path| path.to_str().is_some_and(|p| p.ends_with(".expect.json")));
    found.sort();
    assert!(found.len() >= 20, "only {} expectations", found.len());
    let mut failures = Vec::new();
    for expectation in found {
        let capture = capture_of(&expectation);
        let run = Command::new(env!("CARGO_BIN_EXE_bordertap"))
            .args(["scan", "--flows", "-", "-q"])
            .arg(&capture)
            .output()
            .unwrap();
        let mut ours = BTreeMap::new();
        for line in String::from_utf8(run.stdout).unwrap().lines() {
            values(&serde_json::from_str(line).unwrap(), &mut ours);
        }
        let expected: BTreeMap<String, Value> = serde_json::from_slice(&std::fs::read(&expectation).unwrap()).unwrap();
        for (key, wanted) in &expected {
            if key == "oracle" || key == "known_differences" {
                continue;
            }
            let known: Vec<String> = expected
                .get("known_differences")
                .and_then(|d| d.get(key))
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(|d| d.keys().map(|v| normal(v)))
                .collect();
            for value in wanted.as_array().unwrap_or_else(|| panic!("{}: {key}", expectation.display())) {
                let value = normal(value.as_str().unwrap());
                let have = ours.get(key.as_str());
                let hit = have.is_some_and(|have| {
                    // Certificate names stand inside whole distinguished names.
                    have.contains(&value)
                        || key == "host" && have.iter().any(|h| h.split(':').next() == value.split(':').next())
                        || key == "name_part" && have.iter().any(|h| h.contains(&value))
                });
                if !hit && !known.contains(&value) {
                    failures.push(format!("{}: {key} {value} not found", capture.display()));
                }
                if hit && known.contains(&value) {
                    failures.push(format!(
                        "{}: {key} {value} is found now; drop it from known_differences",
                        capture.display()
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
