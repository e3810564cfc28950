//! What is promised of every input, whatever it is, and one way to read packets and captures that asserts it.
//!
//! In: packets, or the bytes of a capture. Out: the report and the flow records as the program writes them.

use std::sync::{Arc, LazyLock};

use bordertap::capture::{Damage, Inputs, Replay, Source};
use bordertap::collect::Judging;
use bordertap::report::jsonl;
use bordertap::scan::{MEMORY_BYTES_USUAL, Scan};
use serde_json::Value;

use super::common::capture::pcap;
use super::common::packets::Packet;

/// Workers of the second reading, which must come to the same.
const WORKERS: usize = 3;
/// Keys that tell how a run went, not what was seen.
const OF_THE_RUN: &[&str] = &["packet"];

/// What a scan said, as JSON.
pub struct Read {
    pub report: Value,
    pub flows: Vec<Value>,
    pub damage: Vec<Damage>,
}

impl Read {
    /// The only flow.
    pub fn flow(&self) -> &Value {
        let [flow] = self.flows.as_slice() else { panic!("{} flows: {:#?}", self.flows.len(), self.flows) };
        flow
    }

    /// How often something was counted in the ledger under this name.
    pub fn counted(&self, name: &str) -> u64 {
        let ledger = &self.report["ledger"];
        ["not_decoded", "later"].iter().filter_map(|part| ledger[part][name].as_u64()).sum()
    }
}

/// Flags of a flow record.
pub fn flags(flow: &Value) -> Vec<String> {
    let flags = flow["bordertap"]["flags"].as_array().cloned().unwrap_or_default();
    flags.iter().map(|flag| flag.as_str().unwrap().to_owned()).collect()
}

/// Texts that a flow record has in this field.
pub fn facts<'a>(flow: &'a Value, field: &str) -> Vec<&'a str> {
    let facts = flow["bordertap"]["facts"].as_array();
    facts
        .into_iter()
        .flatten()
        .filter(|fact| fact["field"] == field)
        .map(|fact| fact["value"].as_str().unwrap())
        .collect()
}

/// Reads packets of an Ethernet capture, with one worker and with several.
pub fn read(packets: &[Packet]) -> Read {
    read_capture(pcap(true, packets))
}

/// Reads a capture as it lies in a file, with one worker and with several.
pub fn read_capture(capture: Vec<u8>) -> Read {
    read_with(capture, |_| ())
}

/// A scan with what is built in, which is read once for all tests.
pub fn scan(workers: usize) -> Scan {
    static BUILTIN: LazyLock<Judging> = LazyLock::new(|| Scan::builtin().unwrap().judging);
    Scan {
        judging: BUILTIN.clone(),
        workers,
        memory: MEMORY_BYTES_USUAL,
        packets_max: u64::MAX,
        vlans_apart: false,
        keep_flows: true,
        mergeable: true,
        digests: false,
        filter: None,
    }
}

/// As [`read_capture`], with something changed about the scan.
pub fn read_with(capture: Vec<u8>, change: impl Fn(&mut Scan)) -> Read {
    let once = |workers: usize| {
        let mut scan = scan(workers);
        change(&mut scan);
        let mut replay = Replay::new(vec![("image".into(), Arc::new(capture.clone()))], 1);
        of(&scan, &mut replay)
    };
    let (one, several) = (once(1), once(WORKERS));
    assert_eq!(one.report["findings"], several.report["findings"], "findings depend on the number of workers");
    assert_eq!(one.report["ledger"], several.report["ledger"], "the ledger depends on the number of workers");
    let sorted = |flows: &[Value]| {
        let mut lines: Vec<String> = flows.iter().map(|flow| timeless(flow).to_string()).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&one.flows), sorted(&several.flows), "flows depend on the number of workers");
    one
}

/// Reads files by their names.
pub fn read_files(names: &[String]) -> Read {
    of(&scan(1), &mut Inputs::open(names, None).unwrap())
}

fn timeless(flow: &Value) -> Value {
    let mut flow = flow.clone();
    for key in OF_THE_RUN {
        flow["bordertap"].as_object_mut().unwrap().remove(*key);
    }
    flow
}

/// One scan, and what holds of every one: every packet is in the ledger once, under a reason when it was not read, and what
/// is written is valid JSON without a character that moves a terminal or ends a line.
pub fn of(scan: &Scan, source: &mut dyn Source) -> Read {
    let scanned = scan.run(source, &["image".to_owned()], &|_, _| {});
    assert!(scanned.report.ledger.adds_up(), "{:?}", scanned.report.ledger);
    let counted = scanned.report.ledger.not_decoded.iter().chain(&scanned.report.ledger.later);
    assert!(counted.clone().all(|(reason, count)| !reason.is_empty() && *count > 0), "{:?}", scanned.report.ledger);
    let mut written = Vec::new();
    jsonl::document(&scanned.report, &mut written).unwrap();
    let report = valid(&written).remove(0);
    let mut written = Vec::new();
    scanned.flows.write(&mut written).unwrap();
    let flows = valid(&written);
    let kept = if scan.keep_flows { report["header"]["flows"].as_u64().unwrap() } else { 0 };
    assert_eq!(flows.len() as u64, kept, "a record for every flow");
    Read { report, flows, damage: scanned.damage }
}

/// JSON values one after the other.
fn valid(written: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(written).expect("output that is no UTF-8");
    let raw = text.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(raw, None, "a control character in the output");
    serde_json::Deserializer::from_str(text).into_iter().map(|value| value.expect("output that is no JSON")).collect()
}
