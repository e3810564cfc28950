//! A sensor that goes on: turns, windows, restarts, new signatures, and days that pass in seconds. Time is that of the
//! packets; no interface is needed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bordertap::capture::{Block, Bytes, Damage, LinkType, Packet, Source};
use bordertap::collect::Judging;
use bordertap::join::{Knowledge, Stored};
use bordertap::record::Finding;
use bordertap::report::Report;
use bordertap::run::Settings;
use bordertap::scan::{Flows, Scan};
use bordertap::sensor::{Changes, Ended, Pace, Sensor, Taker, Wish};
use bordertap::signature::Signatures;
use bordertap::time::{SECOND, Time};
use bordertap::view::View;
use common::conversation::{Conversation, From};
use common::packets::{self, Endpoint};
use common::tls::{self, Version};
use serde_json::Value;

/// 2026-11-20 00:00 UTC, in nanoseconds.
const START: u64 = 1_795_132_800_000_000_000;
const MINUTE: u64 = 60 * SECOND as u64;

/// A source of packets that a test makes while they are read, a block at a time.
struct Made<F> {
    next: F,
    number: u64,
    pause: Duration,
}

impl<F: FnMut() -> Option<Vec<packets::Packet>> + Send> Source for Made<F> {
    fn next_block(&mut self) -> Option<Block> {
        std::thread::sleep(self.pause);
        let made = (self.next)()?;
        let (mut bytes, mut list) = (Vec::new(), Vec::new());
        for packet in &made {
            let length = packet.bytes.len() as u32;
            let time = Time(packet.time as i64);
            list.push(Packet { time, start: bytes.len(), captured: length, original: length, link: LinkType(1) });
            bytes.extend_from_slice(&packet.bytes);
        }
        let first_number = self.number;
        self.number += list.len() as u64;
        Some(Block { input: "made".into(), bytes: Bytes::Owned(Arc::new(bytes)), packets: list, first_number })
    }

    fn damage(&self) -> &[Damage] {
        &[]
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (0, None)
    }
}

/// These packets in small blocks, each after a pause in which a turn may come.
fn played(all: Vec<packets::Packet>, pause: Duration) -> Vec<Box<dyn Source>> {
    let mut blocks = all.chunks(16).map(<[_]>::to_vec).collect::<Vec<_>>().into_iter();
    vec![Box::new(Made { next: move || blocks.next(), number: 1, pause })]
}

/// What a test keeps of what a sensor gives.
#[derive(Default)]
struct Kept {
    wishes: Vec<(u64, Wish)>,
    turns: u64,
    flows: Vec<Value>,
    /// Lines for findings, as they are streamed.
    lines: Vec<Value>,
    changes: Changes<Finding>,
    views: Vec<View>,
    reports: Vec<usize>,
    judged_anew: u64,
    /// Sums in the window, at every turn.
    windows: Vec<usize>,
}

impl Taker for Kept {
    fn wishes(&mut self) -> Vec<Wish> {
        self.turns += 1;
        let turns = self.turns;
        self.wishes.extract_if(.., |(turn, _)| *turn <= turns).map(|(_, wish)| wish).collect()
    }

    fn flows(&mut self, flows: Flows) {
        let mut out = Vec::new();
        flows.write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        self.flows.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }

    fn found(&mut self, report: &Report, now: Time, last: bool) {
        let mut out = Vec::new();
        self.changes.tell(report.findings.iter().map(|f| (f.id.clone(), f)), now, last, &mut out);
        let text = String::from_utf8(out).unwrap();
        self.lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }

    fn turn(&mut self, view: View, knowledge: &Knowledge, _: &Judging) {
        self.views.push(view);
        if self.views.len() > 2000 {
            self.views.remove(0);
        }
        self.windows.push(knowledge.window_len());
    }

    fn report(&mut self, report: &Report) {
        self.reports.push(report.findings.len());
    }

    fn judged_anew(&mut self) {
        self.judged_anew += 1;
    }
}

/// Runs a sensor whose clock is that of the packets.
fn sense(
    sources: Vec<Box<dyn Source>>,
    workers: usize,
    window_seconds: i64,
    knowledge: Knowledge,
    kept: &mut Kept,
) -> Ended {
    let judging = Scan::builtin().unwrap().judging;
    let settings = Settings { workers, memory: 1 << 30, packets_max: u64::MAX, progress: &|_, _| {} };
    let pace = Pace { turn: Duration::from_millis(2), window_seconds, clock: &|time| time };
    let inputs = vec!["made".to_owned()];
    Sensor { judging, inputs, filter: None, keep_flows: true, settings, pace, knowledge }.run(sources, kept)
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

/// A host of ours that asks for ratings of addresses, in one flow of so many minutes.
fn long_flow(client: &str, start: u64, minutes: u64) -> Vec<packets::Packet> {
    let client = Endpoint::new([2, 0, 0, 0, 0, 1], client, 50_000);
    let server = Endpoint::new([2, 0, 0, 0, 0, 2], "173.243.138.76", 443);
    let mut flow = Conversation::new(client, server, start, 20_000_000);
    flow.open();
    flow.send(From::Client, &tls::client_hello(Version::Tls13, Some("usguardservice.fortinet.net")));
    flow.send(From::Server, &tls::server_hello(Version::Tls13));
    for minute in 0..minutes {
        flow.send(From::Client, &tls::application_data(Version::Tls13, 2000, minute));
        flow.send(From::Server, &tls::application_data(Version::Tls13, 300, minute));
        flow.wait(MINUTE);
    }
    flow.close();
    flow.packets()
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
    let knowledge = Knowledge::restore(stored, &ended.judging.signatures).unwrap();
    let ended = sense(played(second.clone(), Duration::ZERO), 2, 600, knowledge, &mut Kept::default());
    let expected = scanned(&[first, second].concat(), 1);
    assert_eq!(by_id(&ended.report.findings), by_id(&expected.findings));
    let [finding] = ended.report.findings.as_slice() else { panic!("{:?}", ended.report.findings) };
    let months: Vec<&str> = finding.by_month.keys().map(String::as_str).collect();
    assert_eq!((months, finding.sessions), (vec!["2026-11", "2026-12"], 2));
    assert_eq!(ended.report.header.flows, 2);
    let mut other: Value = serde_json::from_str(&text).unwrap();
    other["format"] = 99.into();
    let refused = Knowledge::restore(serde_json::from_value(other).unwrap(), &ended.judging.signatures);
    assert!(refused.err().unwrap().contains("format 99"));
}

/// The same signatures, and one more channel for the host that the long flow goes to.
fn more_signatures() -> Arc<Signatures> {
    let text = "format = 1\nvendor = \"Another\"\nchecked = 2026-11-01\n\
        [[channel]]\nid = \"another.telemetry\"\nproduct = \"Another\"\nfunction = \"telemetry\"\ndata = [\"url\"]\n\
        data_basis = \"inferred\"\nbasis = \"inferred\"\nsource = [\"https://example.com\"]\n\
        [[channel.when]]\nhost = \"another.example.com\"\nregion = \"US\"\nconfidence = 95\n\
        [[channel.example]]\ntls.sni = \"another.example.com\"\nregion = \"US\"\n\
        [[channel.counterexample]]\nwhy = \"another\"\ntls.sni = \"another.example.org\"\n";
    Arc::new(Signatures::with_files(&[("another.toml".to_owned(), text.to_owned())]).unwrap())
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
        let source = Made { next: move || blocks.next(), number: 1, pause: Duration::from_millis(4) };
        let mut kept = Kept { wishes: vec![(8, Wish::Judge(judging.clone())), (12, Wish::Report)], ..Kept::default() };
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

/// A day of an office: one appliance that reports every minute, and hosts that go to ever new places.
#[test]
fn a_day_of_churn_leaves_memory_flat() {
    const FLOWS: u64 = 40_000;
    const DAY: u64 = 24 * 60 * MINUTE;
    let hello = tls::client_hello(Version::Tls13, Some("n00000000.example.net"));
    let at = hello.windows(4).position(|window| window == b"n000").unwrap();
    let mut number = 0u64;
    let next = move || {
        let mut all = Vec::new();
        for _ in 0..64 {
            if number == FLOWS {
                break;
            }
            let start = START + number * (DAY / FLOWS);
            let client = Endpoint::new(
                [2, 0, 0, 0, 1, 1],
                &format!("10.2.{}.{}", number % 3, number % 199 + 1),
                30_000 + (number % 30_000) as u16,
            );
            let mut hello = hello.clone();
            hello[at..at + 9].copy_from_slice(format!("n{number:08}").as_bytes());
            let server = format!("11.{}.{}.{}", number / 65_536, number / 256 % 256, number % 256);
            let mut flow = Conversation::new(client, Endpoint::new([2, 0, 0, 0, 0, 2], &server, 443), start, 1_000_000);
            flow.open();
            flow.send(From::Client, &hello);
            flow.send(From::Server, &tls::server_hello(Version::Tls13));
            flow.close();
            all.extend(flow.packets());
            if number % 28 == 0 {
                all.extend(long_flow("10.1.1.1", start, 0));
            }
            number += 1;
        }
        all.sort_by_key(|packet| packet.time);
        (!all.is_empty()).then_some(all)
    };
    let mut kept = Kept::default();
    let source = Made { next, number: 1, pause: Duration::from_micros(200) };
    let ended = sense(vec![Box::new(source)], 1, 600, Knowledge::default(), &mut kept);
    let flows = FLOWS + FLOWS.div_ceil(28);
    assert_eq!(ended.report.header.flows, flows);
    assert!(ended.report.ledger.adds_up());
    let [finding] = ended.report.findings.as_slice() else { panic!("{:#?}", &ended.report.findings[..2]) };
    assert_eq!(finding.sessions, FLOWS.div_ceil(28), "every one of the appliance's flows, to the last");
    // Sums of a window, not of a day.
    let most = kept.windows.iter().max().unwrap();
    assert!(*most < (FLOWS / 8) as usize, "{most} sums in a window");
    let open = kept.views.iter().map(|view| view.state.open_flows).max().unwrap();
    assert!(open < FLOWS / 8, "{open} open flows");
    assert!(ended.report.ledger.later.is_empty(), "{:?}", ended.report.ledger.later);
    let stored = serde_json::to_value(ended.knowledge.store(ended.judging.context())).unwrap();
    assert_eq!(stored["sums"].as_array().unwrap().len(), 1, "what is no finding is forgotten");
}
