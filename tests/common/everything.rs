//! Everything the program can write of a capture, as text: whoever searches it has searched all outputs.
//!
//! In: a capture, and options. Out: name and content of every document, record and page, of a scan, of what is made of its
//! results afterwards, and of a sensor that heard the same. Parquet is read with the library's own reader, row by row.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use aho_corasick::AhoCorasick;
use bordertap::capture::Inputs;
use bordertap::collect::Judging;
use bordertap::join::Knowledge;
use bordertap::metrics;
use bordertap::report::jsonl;
use bordertap::run::Settings;
use bordertap::sensor::{Pace, Sensor};
use bordertap::view;

use super::sensors::Kept;

/// Outputs that are named by an option.
pub const OPTIONS: &[(&str, &str)] = &[
    ("flows", "flows.jsonl"),
    ("findings", "findings.jsonl"),
    ("assets", "assets.jsonl"),
    ("json", "report.json"),
    ("report", "report.html"),
    ("csv", "csv"),
    ("zeek", "zeek"),
    ("eve", "eve.json"),
    ("cef", "findings.cef"),
    ("stix", "stix.json"),
    ("misp", "misp.json"),
    #[cfg(feature = "parquet")]
    ("parquet", "parquet"),
];

/// What was written, by name.
pub type Written = Vec<(String, Vec<u8>)>;

/// Runs the program; what it said on both streams.
pub fn run(args: &[&str]) -> [Vec<u8>; 2] {
    let output = Command::new(env!("CARGO_BIN_EXE_bordertap")).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // 3: some of the input was damaged, what was readable is reported.
    assert!([Some(0), Some(3)].contains(&output.status.code()), "{args:?}: {said}");
    [output.stdout, output.stderr]
}

/// All outputs of a scan with these options, and of merge, diff and recheck over its results with `again`.
pub fn of(capture: &Path, options: &[&str], again: &[&str]) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let input = capture.to_str().unwrap();
    let mut args = vec!["scan", "-j", "2", "-vv", "--progress", "never"];
    args.extend(options);
    let outputs: Vec<String> = OPTIONS.iter().flat_map(|(option, name)| [format!("--{option}"), path(name)]).collect();
    let mut written = Written::new();
    let mut add = |name: &str, said: [Vec<u8>; 2]| {
        let [out, error] = said;
        written.push((format!("{name}: standard output"), out));
        written.push((format!("{name}: standard error"), error));
    };
    add("text", run(&[&args[..], &[input]].concat()));
    let all: Vec<&str> = args.iter().copied().chain(outputs.iter().map(String::as_str)).chain([input]).collect();
    add("scan", run(&all));
    let chinese = path("report-zh.html");
    add("page", run(&[&args[..], &["--report", &chinese, "--lang", "zh", input]].concat()));
    let (report, flows) = (path("report.json"), path("flows.jsonl"));
    let merged = path("merged.json");
    add("merge", run(&[&["merge", &report, "--json", &merged][..], again].concat()));
    add("merge as text", run(&[&["merge", &report][..], again].concat()));
    add("diff", run(&["diff", &report, &report]));
    let (rechecked, flows_again) = (path("rechecked.json"), path("flows-again.jsonl"));
    add("recheck", run(&[&["recheck", &flows, "--json", &rechecked, "--flows", &flows_again][..], again].concat()));
    read(folder.path(), folder.path(), &mut written);
    assert!(written.iter().filter(|(_, bytes)| !bytes.is_empty()).count() > OPTIONS.len(), "outputs are missing");
    written
}

/// What a sensor gives that hears a capture: records, the report, its page of metrics, its line, what it keeps for its next
/// start. The terminal draws the same report.
pub fn of_sensor(capture: &Path, judging: Judging) -> Written {
    let input = capture.to_str().unwrap().to_owned();
    let source = Inputs::open(&[input], None).unwrap();
    let sensor = Sensor {
        judging,
        name: None,
        inputs: vec!["span0".to_owned()],
        mergeable: true,
        filter: None,
        keep_flows: true,
        settings: Settings {
            workers: 2,
            memory: 1 << 30,
            packets_max: u64::MAX,
            vlans_apart: false,
            progress: &|_, _| {},
        },
        pace: Pace { turn: Duration::from_millis(2), window_seconds: 600, clock: &|time| time },
        knowledge: Knowledge::default(),
    };
    let mut kept = Kept::default();
    let ended = sensor.run(vec![Box::new(source)], &mut kept);
    let mut written = Written::new();
    let lines = |values: &[serde_json::Value]| values.iter().map(|v| format!("{v}\n")).collect::<String>().into_bytes();
    written.push(("sensor: flows".to_owned(), lines(&kept.flows)));
    written.push(("sensor: findings".to_owned(), lines(&kept.lines)));
    let mut report = Vec::new();
    jsonl::document(&ended.report, &mut report).unwrap();
    written.push(("sensor: report".to_owned(), report));
    let stored = ended.knowledge.store(ended.judging.context());
    written.push(("sensor: state".to_owned(), serde_json::to_vec(&stored).unwrap()));
    let last = kept.views.last().unwrap();
    written.push(("sensor: metrics".to_owned(), metrics::page(last).into_bytes()));
    written.push(("sensor: line".to_owned(), view::line(last).into_bytes()));
    written.push(("sensor: line as JSON".to_owned(), view::json(last).to_string().into_bytes()));
    let mut shown = Vec::new();
    jsonl::document(&*last.report, &mut shown).unwrap();
    shown.extend(format!("{:?}", last.warnings).into_bytes());
    written.push(("sensor: picture".to_owned(), shown));
    written
}

/// Every file in a folder and below, Parquet as the text of its rows.
fn read(folder: &Path, root: &Path, written: &mut Written) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            read(&path, root, written);
            continue;
        }
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        #[cfg(feature = "parquet")]
        if name.ends_with(".parquet") {
            use parquet::file::reader::{FileReader, SerializedFileReader};
            let reader = SerializedFileReader::new(fs::File::open(&path).unwrap()).unwrap();
            let rows: Vec<String> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
            assert!(!rows.is_empty(), "{name} has no row");
            written.push((format!("{name}: rows"), rows.join("\n").into_bytes()));
        }
        written.push((name, fs::read(&path).unwrap()));
    }
}

/// Where a needle stands in what was written, without regard to case; `word`: it must not go on as a number or a word.
pub fn find(written: &Written, needle: &[u8], word: bool) -> Vec<String> {
    let search = AhoCorasick::builder().ascii_case_insensitive(true).build([needle]).unwrap();
    let mut found = Vec::new();
    for (name, bytes) in written {
        let at = search.find_iter(bytes).find(|place| {
            let goes_on = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric());
            let before = place.start().checked_sub(1).and_then(|before| bytes.get(before));
            !(word && (goes_on(before) || goes_on(bytes.get(place.end()))))
        });
        if let Some(place) = at {
            let around = &bytes[place.start().saturating_sub(60)..(place.end() + 40).min(bytes.len())];
            found.push(format!("{name}: {}", String::from_utf8_lossy(around)));
        }
    }
    found
}
