//! A picture as a sensor hangs it up: the demonstration, scanned, with rates, outputs and a warning of its own.

use std::collections::VecDeque;
use std::sync::Arc;

use bordertap::capture::Inputs;
use bordertap::output::OutputCount;
use bordertap::report::Report;
use bordertap::run::State;
use bordertap::scan::Scan;
use bordertap::time::Time;
use bordertap::view::{Newest, Rates, View};

/// 2026-11-25T22:00:00Z.
pub const STARTED_SECONDS: i64 = 1_795_644_000;

/// The report on the demonstration.
pub fn report() -> Report {
    let scan = Scan::builtin().unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/demo/four-vendors.pcapng");
    let mut inputs = Inputs::open(&[file.to_owned()], None).unwrap();
    scan.run(&mut inputs, &["span0".to_owned()], &|_, _| {}).report
}

/// A sensor that saw it, one minute after its start.
pub fn view() -> View {
    let report = report();
    let newest = report.findings.iter().take(3).map(|f| Newest { id: f.id.clone(), at: at(30) }).collect();
    let output = |name: &str, written, dropped| OutputCount {
        name: name.to_owned(),
        written,
        bytes: written * 100,
        dropped,
        error: (dropped > 0).then(|| "Connection refused".to_owned()),
    };
    View {
        started: at(0),
        now: at(60),
        report: Arc::new(report),
        bytes: 1_234_567,
        history: (0..60)
            .map(|n| Rates { packets: f64::from(n % 20), bytes: f64::from(n) * 100.0, lost: 0.0 })
            .collect::<VecDeque<_>>(),
        newest,
        state: State { open_flows: 17, bytes: 34_000 },
        resident_bytes: Some(56_000_000),
        outputs: vec![output("flows.jsonl", 100, 0), output("tcp://192.0.2.9:514", 20, 3)],
        warnings: vec!["of 4 flows only one direction is seen".to_owned()],
        reloads: [2, 1],
    }
}

/// So many seconds after the start.
pub fn at(seconds: i64) -> Time {
    Time::new(STARTED_SECONDS + seconds, 0)
}
