//! The writer against the same records by way of `serde_json`, byte for byte.

mod reference;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::bench::traffic::{self, Size, Workload};
use crate::capture::{Inputs, Replay, Source};
use crate::fact::{Facts, Field, Flags, Seen, Side};
use crate::flow::key::Key;
use crate::flow::tunnels::{TUNNELS_MAX, Tunnel, Tunnels};
use crate::parse;
use crate::scan::Scan;
use crate::time::Time;

fn scan() -> Scan {
    Scan { memory: 1 << 30, keep_flows: true, ..Scan::builtin().unwrap() }
}

fn assert_same(writer: &mut Writer, record: &FlowRecord, learnt: &Learnt<'_>) {
    let mut written = b"{}\n".to_vec();
    writer.write(record, learnt, &mut written);
    let [written, expected] = [written.split_off(3), reference::line(record, learnt)];
    assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&expected));
    assert_eq!(written, expected);
}

/// Compares every flow of a source; the number of flows, and of those with a verdict.
fn compare(source: &mut dyn Source) -> (usize, usize) {
    let mut writer = Writer::new();
    let mut counts = (0, 0);
    let flows = scan().run(source, &[], &|_, _| {}).flows;
    flows
        .each(|record, learnt| {
            assert_same(&mut writer, record, learnt);
            counts.0 += 1;
            counts.1 += usize::from(!learnt.verdicts.is_empty());
            Ok(())
        })
        .unwrap();
    counts
}

fn captures(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.extension().and_then(|e| e.to_str()) {
            _ if path.is_dir() => captures(&path, found),
            Some("pcap" | "pcapng") => found.push(path),
            _ => {}
        }
    }
}

#[test]
fn flows_of_the_fixtures() {
    let mut found = Vec::new();
    captures(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"), &mut found);
    let mut counts = (0, 0);
    for path in found {
        let (flows, judged) = compare(&mut Inputs::open(&[path.to_string_lossy().into_owned()], None).unwrap());
        counts = (counts.0 + flows, counts.1 + judged);
    }
    assert!(counts.0 > 300 && counts.1 > 50, "{counts:?}");
}

#[test]
fn flows_of_generated_traffic() {
    for workload in Workload::ALL {
        let image = traffic::image(workload, Size::Packets(3000), traffic::SEED);
        let mut replay = Replay::new(vec![(workload.name().into(), Arc::new(image))], 1);
        assert!(compare(&mut replay).0 > 10, "{workload}");
    }
}

/// Text from the wire as nobody wants it.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<Vec<u8>>(),
        any::<String>().prop_map(String::into_bytes),
        any::<[u8; 4]>().prop_map(|b| b.to_vec()),
        any::<u64>().prop_map(|n| n.to_be_bytes().to_vec()),
        "[a-z0-9.:-]{0,40}".prop_map(String::into_bytes),
        Just(b"\"\\/\x00\x07\x08\t\n\x0b\x0c\r\x1b\x1f\x7f".to_vec()),
        Just("\u{2028}\u{2029}\u{80}\u{9f}\u{fffd}\u{feff}\u{1f600}".as_bytes().to_vec()),
        Just(b"\xff\xc3\xed\xa0\x80\xf0\x9f".to_vec()),
    ];
    proptest::collection::vec(piece, 0..3).prop_map(|pieces| pieces.concat())
}

fn facts() -> impl Strategy<Value = Facts> {
    let fields: Vec<&'static Field> = parse::fields().collect();
    let fact = (0..fields.len(), any::<bool>(), 0..4i64, hostile());
    (proptest::collection::vec(fact, 0..40), 0..1u32 << crate::fact::FLAGS.len()).prop_map(move |(all, flags)| {
        let mut facts = Facts::default();
        for (at, source, time, bytes) in all {
            let side = if source { Side::Source } else { Side::Destination };
            facts.add(fields[at], side, Seen { time: Time(time), packet: time as u64 }, &bytes);
        }
        facts.flags = Flags(flags);
        facts
    })
}

fn tunnels() -> impl Strategy<Value = Tunnels> {
    let some = prop::sample::select(vec![Tunnel::Gre, Tunnel::Vxlan, Tunnel::GtpU]);
    proptest::collection::vec(some, 0..=TUNNELS_MAX)
        .prop_map(|all| all.into_iter().try_fold(Tunnels::NONE, Tunnels::and).unwrap())
}

fn record() -> impl Strategy<Value = FlowRecord> {
    let number = || prop_oneof![Just(0), 0..1000u64, any::<u32>().prop_map(u64::from), Just(u64::MAX / 2)];
    let pair = move || [number(), number()];
    let key = (any::<[[u8; 16]; 2]>(), any::<[u16; 2]>(), any::<[u8; 2]>(), 0..3usize);
    let ends = (any::<[i64; 2]>(), any::<bool>(), any::<Option<[[u8; 6]; 2]>>(), any::<Option<u16>>(), tunnels());
    (key, ends, [pair(), pair(), pair()], facts(), 0..=parse::PROTOCOLS.len()).prop_map(
        |(
            (addresses, ports, [protocol, common], kind),
            (times, opener_low, macs, vlan, tunnels),
            counts,
            facts,
            name,
        )| {
            let [from, to] = addresses;
            let protocol = if common < 128 { [1, 6, 17, 58, 132][usize::from(common) % 5] } else { protocol };
            let key = match kind {
                0 => {
                    Key::v4([from[0], from[1], from[2], from[3]], ports[0], [to[0], to[1], 0, 9], ports[1], protocol).0
                }
                1 => Key::from_octets(from, ports[0], to, ports[1], protocol, 6).0,
                _ => Key::frame([2, 0, 0, from[0], from[1], from[2]], [0xff; 6], ports[1]),
            };
            FlowRecord {
                key,
                opener_low,
                first: Time(times[0]),
                last: Time(times[1]),
                number: 1,
                packets: counts[0],
                bytes: counts[1],
                missing: counts[2],
                payload: [true; 2],
                more: [false; 2],
                edges: crate::record::Edges::default(),
                macs,
                vlan,
                tunnels,
                protocol: parse::PROTOCOLS.get(name).map(|p| p.name),
                facts,
            }
        },
    )
}

proptest! {
    #[test]
    fn hostile_values(
        records in proptest::collection::vec(record(), 1..4),
        texts in proptest::collection::vec(any::<String>(), 6),
        odd in hostile(),
        number: u32,
        known: [bool; 4],
    ) {
        let mut writer = Writer::new();
        let odd = String::from_utf8_lossy(&odd);
        let verdict = Verdict {
            id: &texts[0],
            vendor: &texts[1],
            product: &texts[2],
            function: &texts[3],
            confidence: number as u8,
            file: &odd,
            line: number,
        };
        let learnt = Learnt {
            domain: known[0].then_some(texts[4].as_str()),
            country: Country::from_code(*b"DE").filter(|_| known[1]),
            asn: known[2].then_some((number, texts[5].as_str())),
            verdicts: if known[3] { vec![verdict; 1 + number as usize % 2] } else { Vec::new() },
        };
        for record in &records {
            assert_same(&mut writer, record, &learnt);
        }
    }

    #[test]
    fn a_name_in_given_memory(names in proptest::collection::vec(hostile(), 3)) {
        let mut facts = Facts::default();
        for (field, name) in crate::record::NAME_FIELDS.iter().zip(&names) {
            facts.add(field, Side::Source, Seen::default(), name);
        }
        let expected = crate::record::NAME_FIELDS.iter().find_map(|field| {
            let name = crate::record::normal_name(&facts.first(field)?.text());
            (!name.is_empty()).then_some((name, field.name))
        });
        let mut record = FlowRecord { facts: Facts::default(), ..sample() };
        let mut name = "left over".to_owned();
        prop_assert_eq!(record.own_name(&mut name), None);
        prop_assert_eq!(name.as_str(), "");
        record.facts = facts;
        let field = record.own_name(&mut name);
        prop_assert_eq!(field.map(|field| (name, field)), expected);
    }
}

fn sample() -> FlowRecord {
    FlowRecord {
        key: Key::v4([10, 0, 0, 1], 1, [192, 0, 2, 1], 443, protocol::TCP).0,
        opener_low: true,
        first: Time(0),
        last: Time(0),
        number: 1,
        packets: [1; 2],
        bytes: [40; 2],
        missing: [0; 2],
        payload: [true; 2],
        more: [false; 2],
        edges: crate::record::Edges::default(),
        macs: None,
        vlan: None,
        tunnels: Tunnels::NONE,
        protocol: None,
        facts: Facts::default(),
    }
}
