//! A flow that is known again comes to what it would come to by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bordertap::capture::Inputs;
use bordertap::collect::{Collector, Desk, Rollups};
use bordertap::merge::Merge;
use bordertap::record::{FlowRecord, Rollup};
use bordertap::run::{Settings, run};
use bordertap::scan::Scan;
use bordertap::worker::{Gather, Told};

/// The flows of every capture among the fixtures.
fn records() -> Vec<FlowRecord> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut source = Inputs::open(&[fixtures.display().to_string()], None).unwrap();
    let settings =
        Settings { workers: 1, memory: 1 << 30, packets_max: u64::MAX, vlans_apart: false, progress: &|_, _| {} };
    run(&mut source, &settings, Vec::new).gathered.concat()
}

fn collector() -> impl Fn() -> Collector {
    let desk = Arc::new(Desk::new(Scan::builtin().unwrap().judging));
    move || Collector::new(desk.clone(), false)
}

/// Sums by everything that tells them apart; numbers of gists mean something to their own collector only.
fn add(sums: &mut BTreeMap<String, Rollup>, collector: Collector) {
    let (gathered, _) = collector.into_parts();
    for (key, gist, rollup) in gathered.rollups.iter().flat_map(Rollups::iter) {
        let key = format!("{:?} {:?} {gist:?}", key.host, key.remote);
        sums.entry(key).or_default().merge(rollup.clone());
    }
}

/// The flow as a worker hands it over at its end when it is settled: only its flags are left.
fn settled(record: &FlowRecord) -> FlowRecord {
    FlowRecord { facts: record.facts.flags.into(), ..record.clone() }
}

#[test]
fn a_flow_known_again_is_judged_as_if_it_stood_alone() {
    let (records, collector) = (records(), collector());
    assert!(records.len() > 300, "{} flows", records.len());
    let (mut alone, mut together) = (BTreeMap::new(), BTreeMap::new());
    let mut one = collector();
    // Twice over: the second time every flow that can be known again is.
    for _ in 0..2 {
        for record in &records {
            let gist = one.judge(record).gist;
            one.take(&settled(record), gist, &Told::default());
            let mut fresh = collector();
            let gist = fresh.judge(record).gist;
            fresh.take(record, gist, &Told::default());
            add(&mut alone, fresh);
        }
    }
    add(&mut together, one);
    assert_eq!(together.len(), alone.len());
    for (key, sum) in &alone {
        assert_eq!(together.get(key), Some(sum), "{key}");
    }
}
