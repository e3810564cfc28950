//! `bordertap bench` as its users run it, with next to no traffic: streams, schema, files, the page. Nothing here
//! depends on how fast the machine is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use sha2::{Digest, Sha256};

const SMALL: [&str; 6] = ["bench", "--packets", "1500", "--runs", "2", "-q"];

fn run(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bordertap")).current_dir(dir).args(SMALL).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn ok(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn json(output: &Output) -> Value {
    serde_json::from_str(ok(output)).unwrap()
}

fn demo() -> String {
    format!("{}/fixtures/demo/four-vendors.pcapng", env!("CARGO_MANIFEST_DIR"))
}

fn valid(document: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/schema/bench.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(document).map(|e| format!("{} at {}", e, e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn every_workload_is_measured_and_the_document_fits_its_schema() {
    let dir = tempfile::tempdir().unwrap();
    let document = json(&run(dir.path(), &["--flows", "-j", "1,2", "--json", "-"]));
    valid(&document);
    let names: Vec<&str> =
        document["workloads"].as_array().unwrap().iter().map(|w| w["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["mixed", "elephants", "churn", "small", "flows-10m", "hostile"]);
    for workload in document["workloads"].as_array().unwrap() {
        let name = &workload["name"];
        let packets = workload["traffic"]["packets"].as_u64().unwrap();
        assert_eq!(workload["outcome"]["received"], packets, "{name}");
        let sizes = workload["traffic"]["sizes"].as_array().unwrap();
        assert_eq!(sizes.iter().map(|s| s["packets"].as_u64().unwrap()).sum::<u64>(), packets, "{name}");
        let throughput = workload["throughput"].as_array().unwrap();
        assert_eq!(throughput.len(), 2, "{name}");
        assert!(throughput.iter().all(|t| t["seconds"].as_array().unwrap().len() == 2), "{name}");
        // Two passes of two rounds, in blocks of up to 1,024 packets.
        let blocks = packets.div_ceil(1024);
        assert_eq!(workload["watched"]["batch"]["count"], blocks * 2 * 2, "{name}");
        assert!(workload["floor"].is_object() && workload["flows"]["written_bytes"].as_u64().unwrap() > 0, "{name}");
        let scan = &workload["scan"];
        assert_eq!(scan["seconds"].as_array().map(Vec::len), Some(2), "{name}");
        assert!(scan["start_seconds"]["median"].as_f64().unwrap() > 0.0, "{name}");
        assert!(scan["ratio"]["median"].as_f64().unwrap() > 0.0, "{name}");
        let shares = workload["watched"]["stages"].as_array().unwrap();
        assert_eq!(shares.len(), 5, "{name}");
    }
    assert!(document["workloads"][0]["watched"]["finding"]["count"].as_u64().unwrap() > 0, "nothing was found");
}

#[test]
fn a_capture_of_ones_own_is_repeated_from_memory() {
    let dir = tempfile::tempdir().unwrap();
    // The same packets, compressed: the same image, so the same digest.
    let packed = dir.path().join("packed");
    let bytes = zstd::encode_all(std::fs::read(demo()).unwrap().as_slice(), 3).unwrap();
    std::fs::write(&packed, bytes).unwrap();
    let document = json(&run(dir.path(), &["-j1", "--json", "-", &demo(), "packed"]));
    valid(&document);
    let [plain, packed] = [0, 1].map(|at| &document["workloads"][at]["traffic"]);
    assert_eq!(plain["sha256"], packed["sha256"]);
    let (packets, rounds) = (plain["packets"].as_u64().unwrap(), plain["rounds"].as_u64().unwrap());
    assert_eq!(rounds, 1500_u64.div_ceil(packets));
    assert_eq!(document["workloads"][0]["outcome"]["received"], packets * rounds);
}

#[test]
fn the_text_says_on_what_and_how() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &["-j", "1", "mixed"]);
    let page = ok(&output);
    for word in [
        "Throughput",
        "Latency",
        "Time by stage",
        "Memory",
        "floor",
        "bordertap scan",
        "rustc",
        "seed 1",
        "p99.9",
        "Gb/s",
    ] {
        assert!(page.contains(word), "{word}: {page}");
    }
    assert!(page.contains("Again: bordertap bench --packets 1500 --seed 1 --runs 2 -j 1 mixed"), "{page}");
    assert!(output.stderr.is_empty() && !page.contains('\x1b'), "quiet, and no colour without a terminal");
    let loud = Command::new(env!("CARGO_BIN_EXE_bordertap"))
        .args(["bench", "--packets", "500", "--runs", "1", "-j1", "small"])
        .output()
        .unwrap();
    assert!(text(&loud.stderr).contains("measuring small"), "progress on standard error");
}

#[test]
fn a_name_that_means_nothing_is_bad_usage() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &["mixd"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("`mixd` is neither a file nor a workload") && said.contains("flows-10m"), "{said}");
    // A file that is no capture is another thing.
    std::fs::write(dir.path().join("notes.txt"), "no capture").unwrap();
    let output = run(dir.path(), &["notes.txt"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("notes.txt"), "{}", text(&output.stderr));
}

#[test]
fn the_page_needs_nothing_else_and_names_stay_text() {
    let dir = tempfile::tempdir().unwrap();
    let hostile = "<script>alert(1)<&>.pcap";
    std::fs::copy(demo(), dir.path().join(hostile)).unwrap();
    ok(&run(dir.path(), &["-j1", "--report", "page.html", hostile]));
    let page = std::fs::read_to_string(dir.path().join("page.html")).unwrap();
    for bad in ["http://", "https://", "<script", "<link", "@import", "url(", "src=", "href="] {
        assert!(!page.contains(bad), "{bad}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;&amp;&gt;.pcap"));
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("<svg"));
}

#[test]
fn a_result_can_be_set_beside_an_older_one() {
    let dir = tempfile::tempdir().unwrap();
    ok(&run(dir.path(), &["-j1", "--json", "old.json", "small"]));
    let document = json(&run(dir.path(), &["-j1", "--json", "-", "--compare", "old.json", "small", "hostile"]));
    valid(&document);
    let comparison = &document["comparison"];
    assert!(comparison["changes"].as_array().unwrap().iter().all(|c| c["workload"] == "small"));
    assert!(comparison["notes"].as_array().unwrap().iter().any(|n| n == "hostile: not in the older result"));
    // Something else is refused, with its name, before anything is measured.
    std::fs::write(dir.path().join("other.json"), "{}").unwrap();
    let output = run(dir.path(), &["--compare", "other.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("other.json"));
}

#[test]
fn the_traffic_can_be_written_for_other_tools() {
    let dir = tempfile::tempdir().unwrap();
    let lines = ok(&run(dir.path(), &["--write", "out", "mixed", "churn"])).to_owned();
    assert_eq!(lines.lines().count(), 2);
    for line in lines.lines() {
        let (digest, path) = line.split_once("  ").unwrap();
        let bytes = std::fs::read(dir.path().join(path)).unwrap();
        let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, found, "{path}");
    }
    // The same bytes as are measured.
    let document = json(&run(dir.path(), &["-j1", "--json", "-", "mixed"]));
    assert!(lines.contains(document["workloads"][0]["traffic"]["sha256"].as_str().unwrap()));
    // A scan reads them.
    let scan = Command::new(env!("CARGO_BIN_EXE_bordertap")).current_dir(dir.path()).args(["scan", "out"]).output();
    assert_eq!(scan.unwrap().status.code(), Some(0));
}
