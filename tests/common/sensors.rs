//! Sensors whose time is that of the packets: sources that a test makes while they are read, and what is kept of what a
//! sensor gives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bordertap::capture::{Block, Bytes, Damage, LinkType, Packet, Source};
use bordertap::collect::Judging;
use bordertap::join::Knowledge;
use bordertap::record::Finding;
use bordertap::report::{Report, jsonl};
use bordertap::run::Settings;
use bordertap::scan::{Flows, Scan};
use bordertap::sensor::{Changes, Ended, Pace, Sensor, Taker, Wish};
use bordertap::time::{SECOND, Time};
use bordertap::view::View;
use serde_json::Value;

use super::conversation::{Conversation, From};
use super::packets::{self, Endpoint};
use super::pipeline::captured;
use super::tls::{self, Version};

/// 2026-11-20 00:00 UTC, in nanoseconds.
pub const START: u64 = 1_795_132_800_000_000_000;
pub const MINUTE: u64 = 60 * SECOND as u64;

/// A vendor that is not built in, with one channel.
pub const ANOTHER: &str = r#"format = 1
vendor = "Another"
checked = 2026-11-01

[[channel]]
id = "another.telemetry"
product = "Another"
function = "telemetry"
data = ["url"]
data_basis = "inferred"
basis = "inferred"
source = ["https://example.com"]

[[channel.when]]
host = "another.example.com"
region = "US"
confidence = 95

[[channel.example]]
tls.sni = "another.example.com"
region = "US"

[[channel.counterexample]]
why = "another"
tls.sni = "another.example.org"
"#;

/// A source of packets that a test makes while they are read, a block at a time.
pub struct Made<F> {
    pub next: F,
    pub number: u64,
    pub pause: Duration,
}

impl<F: FnMut() -> Option<Vec<packets::Packet>> + Send> Source for Made<F> {
    fn next_block(&mut self) -> Option<Block> {
        std::thread::sleep(self.pause);
        let made = (self.next)()?;
        let (bytes, list) = captured(&made);
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

/// What a test keeps of what a sensor gives.
#[derive(Default)]
pub struct Kept {
    pub wishes: Vec<(u64, Wish)>,
    pub turns: u64,
    pub flows: Vec<Value>,
    /// Count flow records and keep few pictures: for long runs.
    pub forget: bool,
    /// Turns that are over.
    pub ticks: Arc<AtomicU64>,
    pub flow_count: usize,
    /// Lines for findings, as they are streamed.
    pub lines: Vec<Value>,
    pub changes: Changes<Finding>,
    pub views: Vec<View>,
    pub reports: Vec<usize>,
    pub judged_anew: u64,
    /// Sums in the window, at every turn.
    pub windows: Vec<usize>,
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
        self.flow_count += text.lines().count();
        if self.forget {
            return;
        }
        self.flows.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }

    fn found(&mut self, report: &Report, now: Time, last: bool) {
        let mut out = Vec::new();
        let findings = report.findings.iter().map(|f| (f.id.clone(), f));
        self.changes.tell(findings, now, last, &mut |change| jsonl::change(&change, &mut out));
        if self.forget {
            return;
        }
        let text = String::from_utf8(out).unwrap();
        self.lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }

    fn turn(&mut self, view: View, knowledge: &Knowledge, _: &Judging) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
        self.views.push(view);
        if self.views.len() > if self.forget { 16 } else { 2000 } {
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

/// So many workers, and room for everything.
pub fn settings(workers: usize) -> Settings<'static> {
    Settings { workers, memory: 1 << 30, packets_max: u64::MAX, vlans_apart: false, progress: &|_, _| {} }
}

/// Runs a sensor whose clock is that of the packets.
pub fn sense(
    sources: Vec<Box<dyn Source>>,
    workers: usize,
    window_seconds: i64,
    knowledge: Knowledge,
    kept: &mut Kept,
) -> Ended {
    let judging = Scan::builtin().unwrap().judging;
    let settings = settings(workers);
    let pace = Pace { turn: Duration::from_millis(2), window_seconds, clock: &|time| time };
    let inputs = vec!["made".to_owned()];
    let (name, filter) = (None, None);
    Sensor { judging, name, inputs, mergeable: true, filter, keep_flows: true, settings, pace, knowledge }
        .run(sources, kept)
}

/// A host of ours that asks for ratings of addresses, in one flow of so many minutes.
pub fn long_flow(client: &str, start: u64, minutes: u64) -> Vec<packets::Packet> {
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
