//! A day of churn in seconds: what a sensor that runs for long keeps in memory. It stands alone, because the memory of this
//! process is measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bordertap::join::Knowledge;
use common::conversation::{Conversation, From};
use common::packets::Endpoint;
use common::sensors::{Kept, MINUTE, Made, START, long_flow, sense};
use common::tls::{self, Version};

/// Resident memory of this process in MiB.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() / 1024
}

/// A day of an office: one appliance that reports every minute, and hosts that go to ever new places.
#[test]
fn a_day_of_churn_leaves_memory_flat() {
    const FLOWS: u64 = 240_000;
    const DAY: u64 = 24 * 60 * MINUTE;
    let hello = tls::client_hello(Version::Tls13, Some("n00000000.example.net"));
    let at = hello.windows(4).position(|window| window == b"n000").unwrap();
    let mut number = 0u64;
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = sizes.clone();
    let mut kept = Kept { forget: true, ..Kept::default() };
    let (ticks, mut blocks) = (kept.ticks.clone(), 0);
    let next = move || {
        // Time must not pass faster than turns: one in three minutes at least, where a real sensor has 180.
        if blocks / 8 > ticks.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
            return Some(Vec::new());
        }
        blocks += 1;
        if number.is_multiple_of(FLOWS / 250) {
            seen.lock().unwrap().push(resident());
        }
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
            if number.is_multiple_of(28) {
                all.extend(long_flow("10.1.1.1", start, 0));
            }
            number += 1;
        }
        all.sort_by_key(|packet| packet.time);
        (!all.is_empty()).then_some(all)
    };
    let source = Made { next, number: 1, pause: Duration::from_micros(200) };
    let ended = sense(vec![Box::new(source)], 1, 600, Knowledge::default(), &mut kept);
    let flows = FLOWS + FLOWS.div_ceil(28);
    assert_eq!((ended.report.header.flows, kept.flow_count as u64), (flows, flows));
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
    let sizes = sizes.lock().unwrap();
    let (early, late) = (sizes[sizes.len() / 4], *sizes.last().unwrap());
    assert!(sizes.len() > 10 && late <= early + 32, "MiB over the day: {sizes:?}");
}
