//! Style as a failing test: import direction, clocks, fixtures, paths, words, file sizes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The stages in packet order. A module may use what stands before it and nothing behind it.
const ORDER: &[&str] = &[
    "time",
    "slab",
    "memo",
    "bytes",
    "fact",
    "capture",
    "flow",
    "decode",
    "stream",
    "fingerprint",
    "parse",
    "ledger",
    "merge",
    "record",
    "watch",
    "worker",
    "run",
    "place",
    "signature",
    "anonymise",
    "policy",
    "collect",
    "join",
    "report",
    "diff",
    "scan",
    "evidence",
    "again",
    "preflight",
    "output",
    "view",
    "metrics",
    "tui",
    "notify",
    "sandbox",
    "sensor",
    "service",
    "bench",
    "cli",
    "command",
    "main",
];

/// The files that may have unsafe code: what maps files, and what maps the kernel's rings.
const FENCED: &[&str] =
    &["src/capture/mapped.rs", "src/capture/mapped/guard.rs", "src/capture/ring.rs", "src/capture/ring/tx.rs"];

/// The files behind `run` that may ask a clock and start threads all the same: who writes records of a sensor.
const CLOCKED: &[&str] = &["src/output/writer.rs"];

/// Longest source file, tests left out.
const LINES_MAX: usize = 700;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "target" || name == ".git" || name == "node_modules" {
            continue;
        }
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn all(dir: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root().join(dir), &mut found);
    found.sort();
    assert!(!found.is_empty(), "nothing in {dir}");
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/")
}

/// The stage a source file belongs to: the first part of its path below `src`.
fn stage(path: &str) -> String {
    let below = path.strip_prefix("src/").unwrap();
    below.split('/').next().unwrap().trim_end_matches(".rs").to_owned()
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The text before the first test module.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

#[test]
fn imports_point_backwards() {
    for path in all("src") {
        let name = relative(&path);
        if name == "src/lib.rs" || is_test(&name) {
            continue;
        }
        let here = stage(&name);
        let at = ORDER.iter().position(|s| *s == here).unwrap_or_else(|| panic!("{name}: `{here}` is in no stage"));
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in without_tests(&text).lines().enumerate() {
            let code = line.trim_start();
            if code.starts_with("//") {
                continue;
            }
            for used in code.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(other) = ORDER.iter().position(|s| *s == used) else { continue };
                assert!(other <= at, "{name}:{}: `{here}` uses the later stage `{used}`", number + 1);
            }
        }
    }
}

#[test]
fn every_stage_exists() {
    for stage in ORDER {
        let file = root().join(format!("src/{stage}.rs"));
        let folder = root().join(format!("src/{stage}/mod.rs"));
        assert!(file.exists() || folder.exists(), "no source for the stage `{stage}`");
    }
}

#[test]
fn no_clock_and_no_thread_below_run() {
    for path in all("src") {
        let name = relative(&path);
        let here = stage(&name);
        let allowed = ["run", "metrics", "tui", "sensor", "service", "bench", "cli", "command", "main", "lib"]
            .contains(&here.as_str())
            || CLOCKED.contains(&name.as_str());
        if allowed || is_test(&name) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            for word in [
                "SystemTime",
                "Instant::now",
                "Timestamp::now",
                "Zoned::now",
                "thread::spawn",
                "TcpStream",
                "UdpSocket",
            ] {
                let allowed = line.trim_start().starts_with("//");
                assert!(allowed || !line.contains(word), "{name}:{}: `{word}` below run", number + 1);
            }
        }
    }
}

#[test]
fn unsafe_code_stays_in_its_modules() {
    for path in all("src") {
        let name = relative(&path);
        let text = fs::read_to_string(&path).unwrap();
        let has = text
            .lines()
            .any(|l| !l.trim_start().starts_with("//") && (l.contains("unsafe {") || l.contains("unsafe fn")));
        assert!(!has || FENCED.contains(&name.as_str()), "{name}: unsafe code outside the fenced modules");
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for path in all("src") {
        let name = relative(&path);
        // Templates, styles and lists beside the code are not for reading from the top.
        if is_test(&name) || !name.ends_with(".rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{name}: no comment that says what comes in and what goes out");
        let lines = without_tests(&text).lines().count();
        assert!(lines <= LINES_MAX, "{name}: {lines} lines; would a newcomer find its point?");
    }
}

#[test]
fn every_fixture_is_registered() {
    let readme = fs::read_to_string(root().join("fixtures/README.md")).unwrap();
    for path in all("fixtures") {
        let name = relative(&path);
        let below = name.strip_prefix("fixtures/").unwrap();
        if below == "README.md"
            || below == "AGREEMENT.md"
            || below.ends_with(".expect.json")
            || below.ends_with(".tls.json")
            || below.starts_with("schema/")
        {
            continue;
        }
        assert!(readme.contains(&format!("`{below}`")), "fixtures/{below} is not in fixtures/README.md");
    }
    // And the other way round: what the page names is there.
    for line in readme.lines().filter(|l| l.starts_with("| `")) {
        let name = line.split('`').nth(1).unwrap();
        assert!(root().join("fixtures").join(name).exists(), "fixtures/README.md names {name}, which is not there");
    }
}

#[test]
fn every_signature_file_is_built_in() {
    let built_in: BTreeSet<String> =
        bordertap::signature::builtin_names().iter().map(|name| (*name).to_owned()).collect();
    let there: BTreeSet<String> = all("signatures")
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(built_in, there);
}

#[test]
fn no_path_of_a_machine_and_no_foreign_words() {
    let roots = ["work", "root", "home", "Users"].map(|dir| format!("/{dir}/"));
    for dir in ["src", "tests", "signatures", "benches", ".ci"] {
        for path in all(dir) {
            let Ok(text) = fs::read_to_string(&path) else { continue };
            for (number, line) in text.lines().enumerate() {
                for bad in &roots {
                    let Some(at) = line.find(bad.as_str()) else { continue };
                    // A path begins after a quote or a blank; a word inside a URL path does not.
                    let before = line[..at].chars().last();
                    let begins = before.is_none_or(|c| c.is_whitespace() || "\"'(`=".contains(c));
                    assert!(!begins, "{}:{}: a path of a machine", relative(&path), number + 1);
                }
            }
        }
    }
    // Words that style leaves out, so that one thing has one name.
    for path in all("src") {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            for word in ["app protocol", "master protocol", "dissector"] {
                // The file of a source may be called what it likes.
                let used = line.match_indices(word).any(|(at, _)| !line[..at].ends_with(['/', '_']));
                assert!(!used, "{}:{}: `{word}`", relative(&path), number + 1);
            }
        }
    }
}

#[test]
fn the_map_names_every_module() {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for stage in ORDER.iter().filter(|s| !["command", "main"].contains(*s)) {
        assert!(map.contains(&format!("[`{stage}`]")), "src/lib.rs does not explain `{stage}`");
    }
}

/// What every crate is for stands in one place; `.ci/dependencies` keeps the figures there.
#[test]
fn every_dependency_is_explained() {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let keys = |table: Option<&toml::Value>| -> Vec<String> {
        table.and_then(toml::Value::as_table).into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    for part in ["dependencies", "build-dependencies", "dev-dependencies"] {
        wanted.extend(keys(manifest.get(part)));
        for target in manifest["target"].as_table().unwrap().values() {
            wanted.extend(keys(target.get(part)));
        }
    }
    assert!(wanted.len() > 40, "{wanted:?}");
    let page = fs::read_to_string(root().join("DEPENDENCIES.md")).unwrap();
    let missing: Vec<&String> = wanted.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "DEPENDENCIES.md does not say what for: {missing:?}");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let gone: Vec<&str> = rows.filter(|name| !wanted.contains(*name)).collect();
    assert!(gone.is_empty(), "no dependencies: {gone:?}");
}
