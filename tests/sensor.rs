//! A sensor that goes on: turns, windows, restarts, new signatures, and days that pass in seconds. Time is that of the
//! packets; no interface is needed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bordertap::again::{Named, merge};
use bordertap::capture::Source;
use bordertap::join::{Knowledge, Stored};
use bordertap::record::{Finding, FlowRecord};
use bordertap::report::{Header, Report};
use bordertap::run::{Turned, Turns, run_turns};
use bordertap::scan::Scan;
use bordertap::sensor::Wish;
use bordertap::signature::Signatures;
use bordertap::worker::{Gather, Judged, Told};
use common::conversation::{Conversation, From};
use common::packets::{self, Endpoint};
use common::sensors::{ANOTHER, Kept, MINUTE, Made, START, long_flow, sense, settings};
use common::tls::{self, Version};
use serde_json::Value;

/// These packets in small blocks, each after a pause in which a turn may come.
fn played(all: Vec<packets::Packet>, pause: Duration) -> Vec<Box<dyn Source>> {
    let mut blocks = all.chunks(16).map(<[_]>::to_vec).collect::<Vec<_>>().into_iter();
    vec![Box::new(Made { next: move || blocks.next(), number: 1, pause })]
}

fn scanned(all: &[packets::Packet], workers: usize) -> Report {
    let scan = Scan { workers, ..Scan::builtin().unwrap() };
    let mut sources = played(all.to_vec(), Duration::ZERO);
    scan.run(sources[0].as_mut(), &["made".to_owned()], &|_, _| {}).report
}

/// Findings by id, without what counts packets.
fn by_id(findings: &[Finding]) -> BTreeMap<String, Value> {
    fn without_packets(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove("packet");
                map.values_mut().for_each(without_packets);
            }
            Value::Array(values) => values.iter_mut().for_each(without_packets),
            _ => {}
        }
    }
    let value = |finding: &Finding| {
        let mut value = serde_json::to_value(finding).unwrap();
        without_packets(&mut value);
        value
    };
    findings.iter().map(|finding| (finding.id.clone(), value(finding))).collect()
}

#[test]
fn what_it_says_in_the_end_is_what_a_scan_says() {
    let all = common::demo::packets();
    let expected = scanned(&all, 1);
    assert!(expected.findings.len() > 20);
    for workers in [1, 2, 4] {
        let mut kept = Kept::default();
        let ended =
            sense(played(all.clone(), Duration::from_millis(1)), workers, i64::MAX, Knowledge::default(), &mut kept);
        assert!(kept.turns > 3, "{} turns", kept.turns);
        assert_eq!(ended.report.ledger.received, all.len() as u64);
        assert!(ended.report.ledger.adds_up());
        assert_eq!(by_id(&ended.report.findings), by_id(&expected.findings), "{workers} workers");
        assert_eq!(
            serde_json::to_value(&ended.report.assets).unwrap(),
            serde_json::to_value(&expected.assets).unwrap(),
            "{workers} workers"
        );
        assert_eq!(kept.flows.len() as u64, ended.report.header.flows);
        // The last line of every id is the finding as it stands in the end.
        let mut last: BTreeMap<String, Value> = BTreeMap::new();
        for mut line in kept.lines {
            let id = line["id"].as_str().unwrap().to_owned();
            let before = last.get(&id).map_or(0, |line| line["revision"].as_u64().unwrap());
            assert_eq!(line["revision"].as_u64().unwrap(), before + 1, "{line}");
            assert_eq!(line["status"] == "new", before == 0, "{line}");
            line["revision"] = (before + 1).into();
            last.insert(id, line);
        }
        last.retain(|_, line| line["status"] != "withdrawn");
        for (line, finding) in last.values_mut().zip(by_id(&ended.report.findings).values()) {
            assert_eq!((&line["id"], &line["bytes_out"]), (&finding["id"], &finding["bytes_out"]));
        }
        assert_eq!(last.len(), ended.report.findings.len());
    }
}

#[test]
fn windows_that_close_change_nothing_that_is_found() {
    let all = common::demo::packets();
    let expected = by_id(&scanned(&all, 1).findings);
    let mut kept = Kept::default();
    let ended = sense(played(all.clone(), Duration::from_millis(3)), 2, 600, Knowledge::default(), &mut kept);
    let found = by_id(&ended.report.findings);
    assert!(kept.windows.iter().all(|&sums| sums < 200), "{:?}", kept.windows);
    let sums = |findings: &BTreeMap<String, Value>| -> BTreeMap<String, (u64, u64)> {
        let number = |value: &Value| value.as_u64().unwrap();
        // What no signature explains is known only when the host is: that may be after its window.
        let known = findings.iter().filter(|(_, f)| f["channel"]["id"] != "unexplained" && f["sessions"] != 0);
        known.map(|(id, f)| (id.clone(), (number(&f["bytes_out"]), number(&f["bytes_in"])))).collect()
    };
    assert_eq!(sums(&found), sums(&expected));
}

#[test]
fn a_flow_that_goes_on_is_told_of_and_counts_once() {
    // From November into December.
    let start = START + 10 * 24 * 60 * MINUTE + 23 * 60 * MINUTE + 30 * MINUTE;
    let all = long_flow("10.1.1.1", start, 60);
    let mut one_by_one = all.clone().into_iter().map(|packet| vec![packet]);
    let source = Made { next: move || one_by_one.next(), number: 1, pause: Duration::from_millis(3) };
    let mut kept = Kept::default();
    let ended = sense(vec![Box::new(source)], 1, 600, Knowledge::default(), &mut kept);
    let expected = scanned(&all, 1);
    let [finding] = ended.report.findings.as_slice() else { panic!("{:?}", ended.report.findings) };
    let [scanned] = expected.findings.as_slice() else { panic!("{:?}", expected.findings) };
    assert_eq!((&finding.id, finding.sessions), (&scanned.id, 1));
    assert_eq!((finding.bytes_out, finding.bytes_in), (scanned.bytes_out, scanned.bytes_in));
    // It was told of while it went on, with more and more bytes.
    let bytes: Vec<u64> = kept.lines.iter().map(|line| line["bytes_out"].as_u64().unwrap()).collect();
    assert!(bytes.len() > 10 && bytes.is_sorted() && bytes[0] < finding.bytes_out / 4, "{bytes:?}");
    // Each month has its own bytes; a scan, which sees the whole flow, gives them to the month of its start.
    let months: Vec<(&String, u64)> = finding.by_month.iter().map(|(month, bytes)| (month, bytes.bytes_out)).collect();
    assert_eq!(months.iter().map(|(month, _)| month.as_str()).collect::<Vec<_>>(), ["2026-11", "2026-12"]);
    assert_eq!(months.iter().map(|(_, bytes)| bytes).sum::<u64>(), finding.bytes_out);
    let share = months[0].1 as f64 / finding.bytes_out as f64;
    assert!((0.4..0.6).contains(&share), "half of the time each: {months:?}");
    assert_eq!(kept.flows.len(), 1, "the record comes when the flow ends");
}

#[test]
fn an_idle_flow_is_closed_by_the_clock() {
    let quiet = long_flow("10.1.1.1", START, 1);
    let without_end = quiet[..quiet.len() - 3].to_vec();
    let other = long_flow("10.1.1.2", START + 10 * MINUTE, 180);
    let mut blocks =
        std::iter::once(without_end).chain(other.chunks(8).map(<[_]>::to_vec)).collect::<Vec<_>>().into_iter();
    let source = Made { next: move || blocks.next(), number: 1, pause: Duration::from_millis(3) };
    let mut kept = Kept::default();
    sense(vec![Box::new(source)], 1, 600, Knowledge::default(), &mut kept);
    let open: Vec<u64> = kept.views.iter().map(|view| view.state.open_flows).collect();
    assert!(open.contains(&2), "{open:?}");
    let both = open.iter().rposition(|&flows| flows == 2).unwrap();
    assert!(open[both..].contains(&1), "the first one ended while the other went on: {open:?}");
}

#[test]
fn what_is_known_survives_a_restart() {
    let first = long_flow("10.1.1.1", START, 30);
    let second = long_flow("10.1.1.1", START + 40 * 24 * 60 * MINUTE, 30);
    let ended = sense(played(first.clone(), Duration::ZERO), 2, 600, Knowledge::default(), &mut Kept::default());
    let stored = ended.knowledge.store(ended.judging.context());
    let text = serde_json::to_string(&stored).unwrap();
    let stored: Stored = serde_json::from_str(&text).unwrap();
    let mut knowledge = Knowledge::default();
    knowledge.restore(stored, &ended.judging.signatures).unwrap();
    let ended = sense(played(second.clone(), Duration::ZERO), 2, 600, knowledge, &mut Kept::default());
    let expected = scanned(&[first, second].concat(), 1);
    assert_eq!(by_id(&ended.report.findings), by_id(&expected.findings));
    let [finding] = ended.report.findings.as_slice() else { panic!("{:?}", ended.report.findings) };
    let months: Vec<&str> = finding.by_month.keys().map(String::as_str).collect();
    assert_eq!((months, finding.sessions), (vec!["2026-11", "2026-12"], 2));
    assert_eq!(ended.report.header.flows, 2);
    let mut other: Value = serde_json::from_str(&text).unwrap();
    other["format"] = 99.into();
    let refused = Knowledge::default().restore(serde_json::from_value(other).unwrap(), &ended.judging.signatures);
    assert!(refused.err().unwrap().contains("format 99"));
}

#[test]
fn reports_of_two_sensors_are_one() {
    let first = long_flow("10.1.1.1", START, 30);
    let second = long_flow("10.1.1.1", START + 40 * 24 * 60 * MINUTE, 30);
    let report = |packets: &[packets::Packet]| {
        sense(played(packets.to_vec(), Duration::ZERO), 2, 600, Knowledge::default(), &mut Kept::default()).report
    };
    let named = |name: &str, report: &Report| Named { name: name.to_owned(), report: report.clone() };
    let (one, other) = (report(&first), report(&second));
    let judging = Scan::builtin().unwrap().judging;
    let merged = merge(vec![named("other", &other), named("one", &one)], &judging).unwrap().report;
    let expected = scanned(&[first, second].concat(), 1);
    assert_eq!(by_id(&merged.findings), by_id(&expected.findings));
    assert_eq!((merged.header.flows, merged.ledger.received), (2, expected.ledger.received));
    assert_eq!(merged.header.first_seen, expected.header.first_seen);
    // What came out can be merged again, but not with what it was made of.
    let twice = merge(vec![named("merged", &merged), named("one", &one)], &judging).err().unwrap();
    assert!(twice.to_string().contains("one: the same time of"), "{twice}");
    // Another sensor may have heard the same hour.
    let elsewhere =
        Report { header: Header { sensor: Some("elsewhere".to_owned()), ..one.header.clone() }, ..one.clone() };
    let both = merge(vec![named("one", &one), named("elsewhere", &elsewhere)], &judging).unwrap().report;
    assert_eq!(both.findings[0].sessions, 2);
}

/// The same signatures, and one more channel for the host that the long flow goes to.
fn more_signatures() -> Arc<Signatures> {
    Arc::new(Signatures::with_files(&[("another.toml".to_owned(), ANOTHER.to_owned())]).unwrap())
}

#[test]
fn signatures_that_are_read_again_count_from_then_on_and_nothing_is_lost() {
    let mut judging = Scan::builtin().unwrap().judging;
    judging.signatures = more_signatures();
    let old = long_flow("10.1.1.1", START, 120);
    for workers in [1, 2] {
        let mut all = old.clone();
        for n in 0..60 {
            let client = Endpoint::new([2, 0, 0, 0, 0, 3], "10.1.1.3", 40_000 + n as u16);
            let server = Endpoint::new([2, 0, 0, 0, 0, 2], "192.0.2.9", 443);
            let mut flow = Conversation::new(client, server, START + n * 2 * MINUTE, 20_000_000);
            flow.open();
            flow.send(From::Client, &tls::client_hello(Version::Tls13, Some("another.example.com")));
            flow.send(From::Server, &tls::server_hello(Version::Tls13));
            flow.close();
            all.extend(flow.packets());
        }
        all.sort_by_key(|packet| packet.time);
        let mut blocks = all.chunks(6).map(<[_]>::to_vec).collect::<Vec<_>>().into_iter();
        let source = Made { next: move || blocks.next(), number: 1, pause: Duration::from_millis(6) };
        let mut kept = Kept { wishes: vec![(8, Wish::Judge(judging.clone())), (9, Wish::Report)], ..Kept::default() };
        let ended = sense(vec![Box::new(source)], workers, 600, Knowledge::default(), &mut kept);
        assert_eq!((kept.judged_anew, kept.reports.len()), (1, 1));
        assert_eq!((ended.report.ledger.received, ended.report.ledger.decoded), (all.len() as u64, all.len() as u64));
        assert_eq!((ended.report.header.flows, kept.flows.len()), (61, 61));
        assert_eq!(ended.report.header.signatures.vendors, 17);
        let of = |id: &str| ended.report.findings.iter().find(|finding| finding.channel.id.starts_with(id));
        // The flow that was open all the time is what it was, and counted whole.
        let long = of("fortinet.").unwrap();
        let expected = scanned(&old, 1);
        assert_eq!((long.sessions, long.bytes_out), (1, expected.findings[0].bytes_out), "{workers} workers");
        assert_eq!(long.id, expected.findings[0].id);
        let new = of("another.telemetry").unwrap();
        assert!((1..60).contains(&new.sessions), "only since they are known: {}", new.sessions);
    }
}

/// Looks, when it is to judge by something else, whether whoever leads has already what was gathered until then.
struct Slow<'a> {
    handed: u64,
    taken: &'a AtomicU64,
    late: &'a AtomicU64,
}

impl Gather for Slow<'_> {
    fn judge(&mut self, _: &FlowRecord) -> Judged {
        Judged::default()
    }

    fn take(&mut self, _: &FlowRecord, _: u32, _: &Told) {}
}

impl Turned for Slow<'_> {
    type Part = ();

    fn turn(&mut self) {
        self.handed += 1;
    }

    fn begin_renewal(&mut self) -> bool {
        std::thread::sleep(Duration::from_millis(5));
        self.late.fetch_add(u64::from(self.taken.load(Ordering::SeqCst) >= self.handed), Ordering::SeqCst);
        false
    }

    fn renumber(&mut self, gist: u32) -> u32 {
        gist
    }

    fn end_renewal(&mut self) {}
}

/// Otherwise what is laid out for the turn after the next would count for the next one already.
#[test]
fn a_worker_looks_what_to_judge_by_before_it_hands_over() {
    let (taken, late, turns) = (AtomicU64::new(0), AtomicU64::new(0), Turns::default());
    let sources = played(long_flow("10.1.1.1", START, 60), Duration::from_millis(1));
    run_turns(
        sources,
        &settings(1),
        &turns,
        &|time| time,
        || Slow { handed: 0, taken: &taken, late: &late },
        |hands| {
            turns.ask();
            while let Ok(hand) = hands.recv() {
                taken.fetch_add(1, Ordering::SeqCst);
                if !hand.last {
                    turns.ask();
                }
            }
        },
    );
    assert!(taken.into_inner() > 5);
    assert_eq!(late.into_inner(), 0);
}
