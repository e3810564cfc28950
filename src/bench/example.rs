//! A made-up result for the tests of what prints and compares results.

use super::result::{
    AsScan, Bench, Build, FORMAT, Floor, Machine, Measured, Memory, Noise, Outcome, Percentiles, Settings, SizeClass,
    StageTime, Throughput, Traffic, Watched,
};
use super::spread::Spread;
use crate::watch::Stage;

fn about(median: f64) -> Spread {
    Spread { median, min: median * 0.99, max: median * 1.01 }
}

fn percentiles(ns: f64) -> Percentiles {
    Percentiles {
        count: 1000,
        p50_ns: about(ns),
        p90_ns: about(ns * 1.5),
        p99_ns: about(ns * 3.0),
        p99_9_ns: about(ns * 8.0),
        max_ns: about(ns * 20.0),
    }
}

fn measured(name: &str, rate: f64) -> Measured {
    let throughput = [(1, 1.0), (2, 1.7)].map(|(workers, scaling)| Throughput {
        workers,
        seconds: vec![1.0; 3],
        packets_per_second: about(rate * scaling),
        gigabits_per_second: about(rate * scaling * 2.8e-6),
        ns_per_packet: about(1e9 / rate / scaling),
        scaling,
        cycles_per_packet: None,
        instructions_per_packet: None,
        peak_bytes: Some(100_000_000),
    });
    let sizes = [Some(64), Some(1518), None].map(|up_to_bytes| SizeClass { up_to_bytes, packets: 500 });
    Measured {
        name: name.to_owned(),
        about: "made up".to_owned(),
        traffic: Traffic {
            packets: 1_500,
            wire_bytes: 525_000,
            capture_bytes: 549_024,
            rounds: 1,
            sha256: "ab".repeat(32),
            sizes: sizes.to_vec(),
        },
        outcome: Outcome { received: 1_500, decoded: 1_490, flows: 80, findings: 3, assets: 1, evicted: 0 },
        throughput: throughput.to_vec(),
        floor: Some(Floor { seconds: vec![0.2; 3], ns_per_packet: about(40.0), ratio: about(5.0) }),
        scan: Some(AsScan {
            seconds: vec![1.1; 3],
            start_seconds: about(0.02),
            packets_per_second: about(rate * 0.9),
            ratio: about(0.9),
        }),
        flows: None,
        watched: Watched {
            rounds: 2,
            clock_ns: 20.0,
            ns_per_packet: about(500.0),
            batch: percentiles(300_000.0),
            finding: Some(percentiles(150_000.0)),
            stages: Stage::ALL
                .map(|stage| StageTime {
                    stage: stage.name().to_owned(),
                    share: about(0.2),
                    ns_per_packet: about(80.0),
                })
                .to_vec(),
        },
        memory: Memory { open_flows: 80, state_bytes: 12_000, bytes_per_flow: Some(150.0) },
        noise: Noise { spread: 0.02, others_cores: Some(0.0), steal: Some(0.0) },
    }
}

/// Two workloads; the second bears the name of a hostile file.
pub fn example() -> Bench {
    Bench {
        format: FORMAT,
        program: "bordertap 0.1.0".to_owned(),
        measured_at: "2026-01-05T00:00:00Z".to_owned(),
        seconds: 12.0,
        machine: Machine {
            cpu: Some("A CPU".to_owned()),
            cores: 2,
            kernel: "Linux 6.0".to_owned(),
            ..Machine::default()
        },
        build: Build { profile: "release".to_owned(), ..Build::default() },
        settings: Settings { size: "quick".to_owned(), runs: 3, workers: vec![1, 2], ..Settings::default() },
        not_counted: Some("no counters".to_owned()),
        warnings: Vec::new(),
        workloads: vec![measured("mixed", 2.5e6), measured("<script>alert(1)</script>.pcap", 1.2e6)],
        comparison: None,
    }
}
