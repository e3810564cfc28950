//! The guard of the packet path itself: what it lets pass and what not.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

const BASELINE: &str =
    "# made up\nworkload\tpackets\tinstructions_per_packet\nmixed\t30000\t1000.0\nsmall\t30000\t200.0\n";

/// Exit status and output of the comparison.
fn check(measured: &str, baseline: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let [now, before] = [("now.tsv", measured), ("before.tsv", baseline)].map(|(name, text)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/instructions");
    let done = Command::new(script).arg("--check").args([now, before]).output().unwrap();
    assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    (done.status.code().unwrap(), String::from_utf8(done.stdout).unwrap())
}

/// A table in which `mixed` costs so much.
fn table(mixed: &str) -> String {
    BASELINE.replace("1000.0", mixed)
}

#[test]
fn four_per_cent_pass_and_six_do_not() {
    for (mixed, status, said) in [
        ("1000.0", 0, "+0.00%"),
        ("1040.0", 0, "+4.00%"),
        ("1049.9", 0, "+4.99%"),
        ("1060.0", 1, "GREW"),
        ("2000.0", 1, "GREW"),
        ("900.0", 0, "better"),
    ] {
        let (code, text) = check(&table(mixed), BASELINE);
        assert_eq!(code, status, "{mixed}:\n{text}");
        assert!(text.contains(said), "{mixed}:\n{text}");
        assert_eq!(text.contains("GREW"), status == 1, "{mixed}:\n{text}");
    }
}

#[test]
fn one_that_grew_is_not_made_up_for_by_another() {
    let (code, text) = check(&table("1060.0").replace("200.0", "20.0"), BASELINE);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("GREW") && text.contains("better"), "{text}");
}

#[test]
fn what_cannot_be_compared_fails() {
    let without_small =
        BASELINE.lines().filter(|line| !line.starts_with("small")).fold(String::new(), |all, line| all + line + "\n");
    for (name, measured, baseline, said) in [
        ("new", BASELINE, without_small.as_str(), "not in the baseline"),
        ("gone", without_small.as_str(), BASELINE, "not measured"),
        ("empty", "", BASELINE, "nothing was measured"),
        ("no baseline", BASELINE, "", "nothing was measured"),
        ("other packets", BASELINE, &BASELINE.replace("small\t30000", "small\t40000"), "another capture"),
        ("no number", &table("n/a"), BASELINE, "not a line"),
        ("nothing", &table("0"), BASELINE, "not a line"),
        ("blanks", &BASELINE.replace('\t', " "), BASELINE, "not a line"),
    ] {
        let (code, text) = check(measured, baseline);
        assert_eq!(code, 1, "{name}:\n{text}");
        assert!(text.contains(said), "{name}:\n{text}");
    }
}

#[test]
fn the_baseline_is_a_table_and_says_how_to_renew_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.tsv");
    let baseline = std::fs::read_to_string(path).unwrap();
    let (code, text) = check(&baseline, &baseline);
    assert_eq!(code, 0, "{text}");
    assert!(baseline.contains(".ci/instructions --update") && baseline.contains("# rustc "), "{baseline}");
}
