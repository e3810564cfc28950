//! The program as its users run it: statuses, streams, formats, the same answer from any number of
//! workers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const DEMO: &str = "fixtures/demo/four-vendors.pcapng";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bordertap"));
    command.current_dir(root()).args(args);
    command
}

fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn json_lines(bytes: &[u8]) -> Vec<Value> {
    text(bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn schema(name: &str) -> jsonschema::Validator {
    let path = root().join("fixtures/schema").join(format!("{name}.json"));
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn valid(validator: &jsonschema::Validator, value: &Value) {
    let errors: Vec<String> = validator.iter_errors(value).map(|e| format!("{} at {}", e, e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}\n{value}");
}

/// Every capture among the fixtures.
fn captures() -> Vec<String> {
    fn walk(dir: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "pcap" || e == "pcapng") {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("fixtures"), &mut found);
    found.sort();
    found
}

fn temp(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

#[test]
fn the_demo_shows_all_four_vendors_and_an_unexplained_destination() {
    let output = run(&["scan", DEMO, "--findings", "-"]);
    assert_eq!(status(&output), 0, "{}", text(&output.stderr));
    let findings = json_lines(&output.stdout);
    let vendors: BTreeSet<&str> = findings
        .iter()
        .filter(|f| f["crossing"] == "observed" || f["crossing"] == "probable")
        .map(|f| f["asset"]["vendor"].as_str().unwrap())
        .collect();
    for vendor in ["Fortinet", "Palo Alto Networks", "Check Point", "VMware"] {
        assert!(vendors.contains(vendor), "{vendor} is missing in {vendors:?}");
    }
    assert!(findings.iter().any(|f| f["channel"]["id"] == "unexplained"));
    for crossing in ["observed", "probable", "not-determinable", "home"] {
        assert!(findings.iter().any(|f| f["crossing"] == crossing), "nothing is {crossing}");
    }
}

/// The table of `fixtures/demo/README.md`, written before any program read the capture.
#[test]
fn the_demo_gives_just_what_its_table_says() {
    let output = run(&["scan", DEMO, "--findings", "-"]);
    let mut findings = json_lines(&output.stdout);
    let mut wrong = Vec::new();
    for row in common::expected::EXPECTED {
        let fits = |f: &Value| {
            f["asset"]["ip"] == row.asset
                && f["channel"]["id"] == row.channel
                && f["destination"]["domain"].as_str() == row.domain
        };
        let Some(at) = findings.iter().position(fits) else {
            wrong.push(format!("missing: {row:?}"));
            continue;
        };
        let f = findings.swap_remove(at);
        let addresses: Vec<&str> = f["destination"]["ip"].as_array().unwrap().iter().flat_map(Value::as_str).collect();
        let address = row.address.is_none_or(|a| addresses.contains(&a));
        let same = f["crossing"] == row.crossing
            && f["destination"]["country"].as_str() == row.country
            && f["attempted_only"] == row.attempted_only
            && f["sessions"] == row.flows
            && f["by_month"].get("2026-10").is_some() == row.month_before
            && address;
        if !same {
            wrong.push(format!("{row:?}\n  but {f}"));
        }
    }
    wrong.extend(findings.iter().map(|f| format!("not expected: {f}")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_demo_names_its_assets_and_nobody_else() {
    let assets = json_lines(&run(&["scan", DEMO, "--assets", "-"]).stdout);
    let found: Vec<(&str, &str)> =
        assets.iter().map(|a| (a["ip"].as_str().unwrap(), a["vendor"].as_str().unwrap())).collect();
    let expected = [
        ("10.20.0.1", "Fortinet"),
        ("10.20.0.2", "Palo Alto Networks"),
        ("10.20.0.3", "Check Point"),
        ("10.20.0.4", "VMware"),
    ];
    assert_eq!(found, expected);
    assert!(assets.iter().all(|a| a["confidence"].as_u64().unwrap() >= 80 && a["shared_address"] == false));
}

#[test]
fn the_text_report_answers_first() {
    let output = run(&["scan", DEMO]);
    assert_eq!(status(&output), 0);
    let report = text(&output.stdout);
    assert!(report.contains("across the border"), "{report}");
    assert!(report.contains("Fortinet") && report.contains("unexplained"), "{report}");
    assert!(report.contains("What was not seen"), "{report}");
    assert!(!report.contains('\x1b'), "colour without a terminal");
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    for word in ["compliant", "illegal"] {
        assert!(!report.contains(word));
    }
}

#[test]
fn every_output_fits_its_schema() {
    let schemas = ["flow", "finding", "asset"].map(|name| (name, schema(name)));
    for (name, schema) in &schemas {
        let option = format!("--{name}s");
        let output = run(&["scan", DEMO, &option, "-"]);
        let records = json_lines(&output.stdout);
        assert!(!records.is_empty());
        records.iter().for_each(|record| valid(schema, record));
    }
    let output = run(&["scan", DEMO, "--json", "-"]);
    valid(&schema("report"), &serde_json::from_slice(&output.stdout).unwrap());
    // And the flows of every other fixture.
    for capture in captures() {
        let output = run(&["scan", &capture, "--flows", "-", "-q"]);
        json_lines(&output.stdout).iter().for_each(|record| valid(&schemas[0].1, record));
    }
}

#[test]
fn any_number_of_workers_says_the_same() {
    let captures = captures();
    let mut args: Vec<&str> = vec!["scan", "-q"];
    args.extend(captures.iter().map(String::as_str));
    let with = |workers: &str, what: &str| {
        let mut args = args.clone();
        args.extend(["-j", workers, what, "-"]);
        run(&args).stdout
    };
    for what in ["--findings", "--assets", "--json"] {
        let one = with("1", what);
        assert!(!one.is_empty());
        for workers in ["2", "3", "8"] {
            assert!(one == with(workers, what), "{what} differs with -j{workers}");
        }
    }
    let sorted = |bytes: Vec<u8>| {
        let mut lines: Vec<String> = text(&bytes).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let one = sorted(with("1", "--flows"));
    assert!(one.len() > 50);
    for workers in ["2", "3", "8"] {
        assert_eq!(one, sorted(with(workers, "--flows")), "-j{workers}");
    }
}

#[test]
fn the_ledger_adds_up_on_every_fixture() {
    for capture in captures() {
        let output = run(&["scan", &capture, "--json", "-", "-q"]);
        if output.stdout.is_empty() {
            assert_eq!(status(&output), 1, "{capture}");
            continue;
        }
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let ledger = &report["ledger"];
        let refused: u64 = ledger["not_decoded"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
        let decoded = ledger["decoded"].as_u64().unwrap();
        assert_eq!(ledger["received"].as_u64().unwrap(), decoded + refused, "{capture}");
        let flows = json_lines(&run(&["scan", &capture, "--flows", "-", "-q"]).stdout);
        let packets: u64 = flows.iter().map(|f| f["network"]["packets"].as_u64().unwrap()).sum();
        assert_eq!(decoded, packets, "{capture}: packets of flows");
    }
}

#[test]
fn a_cut_file_keeps_its_good_records_and_says_where() {
    let whole = std::fs::read(root().join(DEMO)).unwrap();
    let (_dir, path) = temp("cut.pcapng", &whole[..whole.len() / 2 + 3]);
    let output = run(&["scan", path.to_str().unwrap(), "--json", "-"]);
    assert_eq!(status(&output), 3);
    let message = text(&output.stderr);
    assert!(message.contains("cut.pcapng") && message.contains("offset"), "{message}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["ledger"]["decoded"].as_u64().unwrap() > 10);
    assert_eq!(report["header"]["damage"].as_array().unwrap().len(), 1);
}

#[test]
fn nothing_usable_is_never_a_success() {
    let (_dir, not_a_capture) = temp("letter.txt", b"Dear reader, this is no capture at all.");
    let (_dir2, empty) = temp("empty.pcap", b"");
    // A valid pcap of one packet with a link type that nobody reads.
    let mut unknown = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 147, 0, 0, 0];
    unknown.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4]);
    let (_dir3, unknown) = temp("unknown.pcap", &unknown);
    for path in [&not_a_capture, &empty, &unknown, &PathBuf::from("no-such-file.pcap")] {
        let output = run(&["scan", path.to_str().unwrap()]);
        assert_eq!(status(&output), 1, "{}", path.display());
        assert!(output.stdout.is_empty());
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(text(&output.stderr).contains(name), "{}", text(&output.stderr));
    }
    let path = unknown.to_str().unwrap();
    let output = run(&["scan", path, "--json", "-"]);
    assert_eq!(status(&output), 1);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ledger"]["not_decoded"]["link.unknown-type"], 1, "the ledger says why");
    assert!(text(&output.stderr).contains("link.unknown-type 1"), "{}", text(&output.stderr));
    // Beside a good input it is told and does not stop the rest.
    let output = run(&["scan", DEMO, unknown.to_str().unwrap(), "--findings", "-"]);
    assert_eq!(status(&output), 3);
    assert!(!output.stdout.is_empty() && text(&output.stderr).contains("unknown.pcap"));
}

#[test]
fn bad_usage_is_told_apart() {
    for args in [
        &["scan"][..],
        &["scan", DEMO, "--no-such-option"],
        &["scan", DEMO, "--home", "Atlantis"],
        &["scan", DEMO, "--inside", "10.0.0.0/99"],
        &["scan", DEMO, "--memory", "2 apples"],
        &["frobnicate"],
    ] {
        let output = run(args);
        assert_eq!(status(&output), 2, "{args:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_finding_can_fail_the_run() {
    assert_eq!(status(&run(&["scan", DEMO, "--fail-on-finding"])), 4);
    // Seen from the countries where it all ends, nothing leaves.
    let countries: BTreeSet<String> = json_lines(&run(&["scan", DEMO, "--findings", "-"]).stdout)
        .iter()
        .filter_map(|f| f["destination"]["country"].as_str().map(str::to_owned))
        .filter(|country| country.len() == 2 && country != "EU")
        .collect();
    let homes = countries.into_iter().chain(["DE".to_owned(), "NL".to_owned()]).collect::<Vec<_>>().join(",");
    let output = run(&["scan", DEMO, "--fail-on-finding", "--home", &homes, "--findings", "-"]);
    let left: Vec<Value> = json_lines(&output.stdout).into_iter().filter(|f| f["crossing"] == "observed").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn standard_input_and_compressed_files_are_read() {
    let whole = std::fs::read(root().join(DEMO)).unwrap();
    let direct = run(&["scan", DEMO, "--findings", "-"]).stdout;
    let mut child =
        command(&["scan", "-", "--findings", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&whole).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(output.stdout, direct);
    let packed = zstd::encode_all(&std::fs::read(root().join(DEMO)).unwrap()[..], 1).unwrap();
    let (_dir, path) = temp("misnamed.txt", &packed);
    assert_eq!(run(&["scan", path.to_str().unwrap(), "--findings", "-"]).stdout, direct);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child =
        command(&["scan", DEMO, "--flows", "-"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(status(&output), 0);
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn files_are_written_and_a_full_disk_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (flows, findings) = (path("flows.jsonl"), path("findings.jsonl"));
    let output = run(&["scan", DEMO, "--flows", &flows, "--findings", &findings]);
    assert_eq!(status(&output), 0);
    assert!(output.stdout.is_empty(), "nothing was asked for on standard output");
    assert!(!json_lines(&std::fs::read(&flows).unwrap()).is_empty());
    assert!(!json_lines(&std::fs::read(&findings).unwrap()).is_empty());
    if Path::new("/dev/full").exists() {
        let output = run(&["scan", DEMO, "--flows", "/dev/full"]);
        assert_eq!(status(&output), 1);
        assert!(text(&output.stderr).contains("/dev/full"));
    }
}

#[test]
fn count_stops_and_several_files_are_one_capture() {
    let report = |args: &[&str]| -> Value {
        let mut all = vec!["scan", "--json", "-", "-q"];
        all.extend(args);
        serde_json::from_slice(&run(&all).stdout).unwrap()
    };
    assert_eq!(report(&[DEMO, "-c", "50"])["ledger"]["received"], 50);
    assert_eq!(report(&[DEMO, "-c", "50", "-j", "2"])["ledger"]["received"], 50);
    let once = report(&[DEMO])["ledger"]["received"].as_u64().unwrap();
    let dir = report(&["fixtures/demo", "-j", "1"])["ledger"]["received"].as_u64().unwrap();
    assert_eq!(once, dir, "the README in the folder is no packet");
}

/// One capture is of a browser that hides names from a server that offers it (the outer name is the
/// operator's own), the other of a browser and a server whose HTTPS record has no key: a placeholder.
#[test]
fn a_hidden_name_and_a_placeholder_are_told_apart() {
    let flags = |capture: &str| -> BTreeSet<String> {
        let flows = json_lines(&run(&["scan", capture, "--flows", "-"]).stdout);
        let named = flows.iter().filter(|f| f["tls"]["client"]["server_name"].is_string());
        named
            .flat_map(|f| f["bordertap"]["flags"].as_array().unwrap())
            .map(|f| f.as_str().unwrap().to_owned())
            .collect()
    };
    assert!(flags("fixtures/tls/zeek-tls13-ech.pcap").contains("ech"));
    assert!(!flags("fixtures/tls/zeek-tls13-ech.pcap").contains("ech-grease"));
    assert_eq!(flags("fixtures/tls/mercury-ech-placeholder.pcap"), BTreeSet::from(["ech-grease".to_owned()]));
}

#[cfg(feature = "libpcap")]
#[test]
fn a_filter_reads_less_and_a_bad_one_is_bad_usage() {
    let output = run(&["scan", DEMO, "-f", "udp port 53", "--flows", "-"]);
    let flows = json_lines(&output.stdout);
    assert!(!flows.is_empty());
    assert!(flows.iter().all(|f| f["network"]["transport"] == "udp" && f["destination"]["port"] == 53));
    let output = run(&["scan", DEMO, "-f", "udp prot 53"]);
    assert_eq!(status(&output), 2);
    assert!(text(&output.stderr).contains("udp prot 53"));
}

#[test]
fn signatures_explain_themselves() {
    let list = run(&["signatures", "list"]);
    assert_eq!(status(&list), 0);
    assert!(text(&list.stdout).contains("fortinet.device"));
    let all: Value = serde_json::from_slice(&run(&["signatures", "list", "--format", "json"]).stdout).unwrap();
    assert!(!all.is_null());
    assert!(text(&run(&["signatures", "list", "--format", "md"]).stdout).contains('|'));
    let check = run(&["signatures", "check"]);
    assert_eq!(status(&check), 0, "{}", text(&check.stdout));
    let explained = run(&["signatures", "explain", "fortinet.device"]);
    assert!(text(&explained.stdout).contains("Fortinet") && text(&explained.stdout).contains("fortinet.toml:"));
    assert_eq!(status(&run(&["signatures", "explain", "no.such.id"])), 1);
    let fields = run(&["signatures", "fields"]);
    assert!(text(&fields.stdout).contains("tls.sni") && text(&fields.stdout).contains("ike.vendor_id"));
}

#[test]
fn a_folder_of_signatures_replaces_a_vendor_or_is_refused_with_its_line() {
    let own = r#"
format  = 1
vendor  = "Fortinet"
checked = 2026-11-23

[[channel]]
id       = "fortinet.own"
product  = "Our own entry"
function = "update"
data     = []
basis    = "observed"
source   = ["a test"]

  [[channel.when]]
  host       = "usupdate.fortinet.net"
  region     = "US"
  confidence = 80

  [[channel.example]]
  tls.sni = "usupdate.fortinet.net"
  region  = "US"

  [[channel.counterexample]]
  why     = "another name"
  tls.sni = "www.example.com"
"#;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("own.toml"), own).unwrap();
    let folder = dir.path().to_str().unwrap();
    let list = run(&["signatures", "list", "--signatures", folder]);
    let list = text(&list.stdout);
    assert!(
        list.contains("fortinet.own") && !list.contains("fortinet.device") && list.contains("palo-alto."),
        "{list}"
    );
    std::fs::write(dir.path().join("own.toml"), own.replace("\"update\"", "\"upadte\"")).unwrap();
    let refused = run(&["scan", DEMO, "--signatures", folder]);
    assert_eq!(status(&refused), 1);
    let message = text(&refused.stderr);
    assert!(message.contains("own.toml:9") && message.contains("upadte"), "{message}");
}

#[test]
fn where_knows_addresses_and_names() {
    let output = run(&["where", "18.196.0.1", "10.1.2.3", "usupdate.fortinet.net"]);
    assert_eq!(status(&output), 0);
    let said = text(&output.stdout);
    assert!(said.contains("DE") && said.contains("fortinet."), "{said}");
}

#[test]
fn help_man_page_and_completions_are_made_from_one_definition() {
    let help = run(&["scan", "--help"]);
    let man = run(&["man"]);
    for option in ["--home", "--inside", "--policy", "--flows", "--findings", "--assets", "--json", "--memory"] {
        assert!(text(&help.stdout).contains(option), "{option} is not in the help");
        assert!(text(&man.stdout).replace("\\-", "-").contains(option), "{option} is not in the manual page");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(&run(&["completions", shell]).stdout).contains("bordertap"));
    }
}
