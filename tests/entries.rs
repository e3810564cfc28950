//! The entries of the fuzzer with a few thousand inputs that are the same every time: for every change, with any compiler.
//!
//! Seeds come from the fixtures; `fuzz/run` has them written as the fuzzer's first corpus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use bordertap::capture::Inputs;
use bordertap::collect::{Collector, Desk};
use bordertap::join::Knowledge;
use bordertap::parse::PROTOCOLS;
use bordertap::report::{flow, jsonl};
use bordertap::scan::Scan;
use common::entries::{ENTRIES, Talk, written};
use common::random::Random;
use common::sample::{self, Sample};

/// Inputs of each entry, the seeds as they are among them.
const INPUTS: usize = 3000;
/// Longest capture that is a seed.
const CAPTURE_BYTES_MAX: usize = 16 * 1024;
/// Longest report, and longest file of flow records, that is a seed.
const WRITTEN_BYTES_MAX: usize = 24 * 1024;
/// Captures of which reports are seeds.
const REPORTS: usize = 30;
/// Flows of the fixtures that are chosen for a script.
const SCRIPTS: u32 = 400;
/// Packets of one capture that are one seed.
const PACKETS_MAX: usize = 8;
/// Where seeds are written: a folder.
const SEEDS_VARIABLE: &str = "BORDERTAP_SEEDS";

type Seeds = Vec<(String, Vec<u8>)>;

/// A flow as the entry `protocol` takes it.
fn talk(sample: &Sample) -> Vec<u8> {
    let protocol = PROTOCOLS.iter().position(|p| p.name == sample.protocol).unwrap();
    let transport = PROTOCOLS[protocol].over.iter().position(|t| *t == sample.transport).unwrap();
    let pieces = sample.pieces.iter().map(|piece| (piece.low == sample.opener_low, piece.bytes.clone())).collect();
    Talk { protocol, transport, syn: sample.syn[0], ports: sample.ports(), pieces }.write()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Packets of an Ethernet capture (classic, little-endian) as the entry `decode` takes them.
fn packets(capture: &[u8]) -> Option<Vec<u8>> {
    let little = capture.starts_with(&[0xd4, 0xc3, 0xb2, 0xa1]);
    let link = capture.get(20..22)?;
    let mut data = vec![0x80 | link[1], link[0]];
    let mut rest = capture.get(24..)?;
    for _ in 0..PACKETS_MAX {
        let Some((head, behind)) = rest.split_at_checked(16) else { break };
        let length = u32::from_le_bytes(head[8..12].try_into().unwrap()) as usize;
        let Some((packet, behind)) = behind.split_at_checked(length) else { break };
        data.extend_from_slice(&(length as u16).to_be_bytes());
        data.extend_from_slice(packet);
        rest = behind;
    }
    little.then_some(data)
}

/// A capture in every wrapping.
fn wrapped(name: &str, capture: &[u8], seeds: &mut Seeds) {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(capture).unwrap();
    seeds.push((format!("{name}.gz"), gzip.finish().unwrap()));
    seeds.push((format!("{name}.zst"), zstd::encode_all(capture, 1).unwrap()));
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(capture).unwrap();
    seeds.push((format!("{name}.lz4"), lz4.finish().unwrap()));
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(capture).unwrap();
    seeds.push((format!("{name}.xz"), xz.finish().unwrap()));
}

/// Made once for all tests.
static SEEDS: LazyLock<BTreeMap<&str, Seeds>> = LazyLock::new(seeds);

/// Seeds of every entry, each with a name for its file.
fn seeds() -> BTreeMap<&'static str, Seeds> {
    let mut all: BTreeMap<&str, Seeds> = BTreeMap::new();
    for (protocol, samples) in sample::samples() {
        let named = samples.iter().enumerate().map(|(n, sample)| (format!("{protocol}-{n}"), talk(sample)));
        all.entry("protocol").or_default().extend(named);
    }
    for path in sample::fixture_files(&["pcap", "pcapng"]) {
        let (name, bytes) = (path.file_stem().unwrap().to_string_lossy().into_owned(), read(&path));
        if let Some(packets) = packets(&bytes) {
            all.entry("decode").or_default().push((name.clone(), packets));
        }
        let of_capture = all.entry("capture").or_default();
        if bytes.len() <= CAPTURE_BYTES_MAX {
            if of_capture.len().is_multiple_of(5) {
                wrapped(&name, &bytes, of_capture);
            }
            of_capture.push((name, bytes));
        }
    }
    for entry in fs::read_dir(repository("signatures")).unwrap().flatten() {
        if entry.path().extension().is_some_and(|e| e == "toml") {
            let name = entry.file_name().to_string_lossy().into_owned();
            all.entry("signatures").or_default().push((name, read(&entry.path())));
        }
    }
    all.entry("signatures").or_default().sort();
    all.entry("policy").or_default().push(("example".into(), read(&repository("fixtures/policy/example.toml"))));
    of_written(&mut all);
    let mut random = Random::new(1);
    let scripts = (0..SCRIPTS).map(|n| {
        let steps = 4 * random.below(12);
        (format!("script-{n}"), [&n.to_be_bytes()[..], &random.bytes(steps)].concat())
    });
    all.insert("flow", scripts.collect());
    all.insert("places", databases());
    all.insert("evidence", bundles());
    let pack = |name: &str| read(&repository("fixtures/signatures/packs").join(name));
    let packs = ["first.pack", "second.pack"]
        .into_iter()
        .filter(|name| repository("fixtures/signatures/packs").join(name).exists());
    let packs = packs.map(|name: &str| {
        let parts = [pack("maker.pub"), pack(&format!("{name}.minisig")), pack(name)];
        (name.to_owned(), written(&parts.each_ref().map(Vec::as_slice)))
    });
    all.insert("pack", packs.collect());
    let requests = [
        "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
        "HEAD /healthz?x HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\n\r\n",
    ];
    all.insert("request", (0..).zip(requests).map(|(n, text): (u8, _)| (n.to_string(), text.into())).collect());
    all
}

/// Reports, flow records and what a sensor would keep of them, of small captures.
fn of_written(all: &mut BTreeMap<&'static str, Seeds>) {
    let scan = Scan { workers: 1, keep_flows: true, mergeable: true, ..Scan::builtin().unwrap() };
    let mut reports: Vec<(String, Vec<u8>)> = Vec::new();
    for path in sample::fixture_files(&["pcap", "pcapng"]) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if fs::metadata(&path).unwrap().len() > CAPTURE_BYTES_MAX as u64 {
            continue;
        }
        let inputs = [path.display().to_string()];
        let mut source = Inputs::open(&inputs, None).unwrap();
        let scanned = scan.run(&mut source, std::slice::from_ref(&name), &|_, _| {});
        let mut report = Vec::new();
        jsonl::document(&scanned.report, &mut report).unwrap();
        let mut flows = Vec::new();
        scanned.flows.write(&mut flows).unwrap();
        let mut collector = Collector::new(Arc::new(Desk::new(scan.judging.clone())), false);
        for line in flows.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            collector.add_flow(&flow::read(line).unwrap());
        }
        let mut knowledge = Knowledge::default();
        knowledge.add(collector.into_parts().0);
        let state = serde_json::to_vec(&knowledge.store(scan.judging.context())).unwrap();
        all.entry("state").or_default().push((name.clone(), state));
        if flows.len() <= WRITTEN_BYTES_MAX {
            all.entry("records").or_default().push((name.clone(), flows));
        }
        if report.len() <= WRITTEN_BYTES_MAX && reports.len() < REPORTS {
            reports.push((name, report));
        }
    }
    let pairs = reports.windows(2).map(|pair| (pair[0].0.clone(), written(&[&pair[0].1, &pair[1].1])));
    all.insert("reports", pairs.collect());
}

/// A bundle of evidence of the demonstration: its manifest with a single file.
fn bundles() -> Seeds {
    let folder = tempfile::tempdir().unwrap();
    let mut scan = Command::new(env!("CARGO_BIN_EXE_bordertap"));
    scan.args(["scan", "-q", "--evidence"])
        .arg(folder.path().join("bundle"))
        .arg(repository("fixtures/demo/four-vendors.pcapng"));
    assert!(scan.output().unwrap().status.success());
    let bundle = folder.path().join("bundle");
    let manifest: serde_json::Value = serde_json::from_slice(&read(&bundle.join("manifest.json"))).unwrap();
    let proofs = manifest["files"].as_array().unwrap().iter().enumerate();
    let seeds = proofs.map(|(n, proof)| {
        let mut alone = manifest.clone();
        alone["files"] = serde_json::json!([proof]);
        let packets = read(&bundle.join(proof["file"].as_str().unwrap()));
        (
            n.to_string(),
            written(&[&serde_json::to_vec_pretty(&alone).unwrap(), &read(&bundle.join("SHA256SUMS")), b"", &packets]),
        )
    });
    seeds.filter(|(_, seed)| seed.len() <= WRITTEN_BYTES_MAX).collect()
}

/// Databases with one node, half of all addresses, for every size of records (<https://maxmind.github.io/MaxMind-DB/>).
fn databases() -> Seeds {
    let text = |text: &str| [&[0x40 | text.len() as u8], text.as_bytes()].concat();
    let number = |kind: u8, bytes: &[u8]| match kind {
        0..=7 => [&[kind << 5 | bytes.len() as u8], bytes].concat(),
        _ => [&[bytes.len() as u8, kind - 7], bytes].concat(),
    };
    let map = |pairs: &[(&str, Vec<u8>)]| {
        let pairs_of = pairs.iter().map(|(key, value)| [text(key), value.clone()].concat());
        [vec![0xe0 | pairs.len() as u8], pairs_of.collect::<Vec<_>>().concat()].concat()
    };
    let (short, long, huge) = (5, 6, 9);
    let country =
        map(&[("country", map(&[("iso_code", text("DE"))])), ("registered_country", map(&[("iso_code", text("US"))]))]);
    let asn = map(&[
        ("autonomous_system_number", number(long, &[64_500_u32.to_be_bytes()].concat())),
        ("autonomous_system_organization", text("Example")),
    ]);
    let mut seeds = Seeds::new();
    for (wanted, record) in [(0, country), (1, asn)] {
        for (bits, node) in
            [(24_u16, vec![0, 0, 17, 0, 0, 1]), (28, vec![0, 0, 17, 0, 0, 0, 1]), (32, vec![0, 0, 0, 17, 0, 0, 0, 1])]
        {
            for version in [4_u16, 6] {
                let about = map(&[
                    ("binary_format_major_version", number(short, &2_u16.to_be_bytes())),
                    ("binary_format_minor_version", number(short, &[])),
                    ("build_epoch", number(huge, &1_790_000_000_u64.to_be_bytes())),
                    ("database_type", text("Example")),
                    ("description", map(&[("en", text("Example"))])),
                    ("ip_version", number(short, &version.to_be_bytes())),
                    ("languages", vec![0x01, 0x04, 0x42, b'e', b'n']),
                    ("node_count", number(long, &1_u32.to_be_bytes())),
                    ("record_size", number(short, &bits.to_be_bytes())),
                ]);
                let file = [&[wanted][..], &node, &[0; 16], &record, b"\xab\xcd\xefMaxMind.com", &about].concat();
                seeds.push((format!("{wanted}-{bits}-{version}"), file));
            }
        }
    }
    seeds
}

/// Inputs that once broke a promise. Those of a protocol lie in a folder with its name: its number in the registry is their
/// first byte.
fn kept(name: &str) -> Vec<Vec<u8>> {
    let files = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let folder = repository("fixtures/fuzz").join(name);
    if name != "protocol" {
        return files(folder).map(|path| read(&path)).collect();
    }
    let of_protocol = |path: PathBuf| {
        let number = PROTOCOLS.iter().position(|p| path.ends_with(p.name)).unwrap() as u8;
        files(path).map(move |path| [&[number], &read(&path)[1..]].concat())
    };
    files(folder).flat_map(of_protocol).collect()
}

/// A seed with a few things done to it.
fn changed(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(data.len().max(1));
        let end = (at + 1 + random.below(16)).min(data.len());
        match random.below(9) {
            _ if data.is_empty() => data = random.bytes(8),
            0 => data[at] ^= 1 << random.below(8),
            1 => data[at] = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff, b'\n', b'"'][random.below(8)],
            2 => data[at..end].fill([0x00, 0xff][random.below(2)]),
            3 => drop(data.drain(at..end)),
            4 => {
                let copy = data[at..end].to_vec();
                data.splice(at..at, copy);
            }
            5 => {
                let more = random.below(12);
                data.splice(at..at, random.bytes(more));
            }
            6 => data.truncate(at),
            7 => data[at] = data[at].wrapping_add([1, 255][random.below(2)]),
            _ => {
                let from = random.below(other.len().max(1));
                data.truncate(at);
                data.extend_from_slice(other.get(from..).unwrap_or_default());
            }
        }
    }
    data
}

/// Runs an entry over its seeds and changes of them; what made it panic is shown in hex.
fn smoke(name: &str) {
    let (_, entry) = ENTRIES.iter().find(|(entry, _)| *entry == name).unwrap();
    let seeds = &SEEDS[name];
    let mut random = Random::new(name.len() as u64);
    let mut inputs: Vec<Vec<u8>> = seeds.iter().map(|(_, seed)| seed.clone()).chain(kept(name)).collect();
    for n in 0..INPUTS.saturating_sub(seeds.len()) {
        let other = random.below(seeds.len());
        inputs.push(changed(&seeds[n % seeds.len()].1, &seeds[other].1, &mut random));
    }
    for input in inputs {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| entry(&input))) {
            let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("{name}: {} bytes: {hex}", input.len());
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn protocol() {
    smoke("protocol");
}

#[test]
fn decode() {
    smoke("decode");
}

#[test]
fn capture() {
    smoke("capture");
}

#[test]
fn signatures() {
    smoke("signatures");
}

#[test]
fn policy() {
    smoke("policy");
}

#[test]
fn flow() {
    smoke("flow");
}

#[test]
fn places() {
    smoke("places");
}

#[test]
fn reports() {
    smoke("reports");
}

#[test]
fn records() {
    smoke("records");
}

#[test]
fn state() {
    smoke("state");
}

#[test]
fn evidence() {
    smoke("evidence");
}

#[test]
fn pack() {
    smoke("pack");
}

#[test]
fn request() {
    smoke("request");
}

#[test]
fn a_talk_comes_back_as_it_was_written() {
    let pieces = vec![(true, vec![1; 5]), (false, vec![2; 126]), (true, vec![3; 127]), (false, Vec::new())];
    let talk = Talk { protocol: 1, transport: 1, syn: true, ports: (1, 65_535), pieces };
    assert_eq!(Talk::read(&talk.write()), Some(talk));
}

/// The seeds for `fuzz/run`, those of a protocol in a folder of its own; without a folder for them, in one that is gone
/// afterwards.
#[test]
fn seeds_are_written_for_every_entry_and_protocol() {
    let passing = tempfile::tempdir().unwrap();
    let folder = std::env::var_os(SEEDS_VARIABLE).map_or(passing.path().to_owned(), PathBuf::from);
    for (entry, seeds) in SEEDS.iter() {
        for (name, seed) in seeds {
            let folder = match name.rsplit_once('-').filter(|_| *entry == "protocol") {
                Some((protocol, _)) => folder.join(entry).join(protocol),
                None => folder.join(entry),
            };
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), seed).unwrap();
        }
    }
    let files = |folder: PathBuf| fs::read_dir(folder).unwrap().count();
    let samples = sample::samples();
    for protocol in PROTOCOLS {
        fs::create_dir_all(folder.join("protocol").join(protocol.name)).unwrap();
        let wanted = samples.get(protocol.name).map_or(0, Vec::len);
        assert!(files(folder.join("protocol").join(protocol.name)) >= wanted, "{}", protocol.name);
    }
    for (entry, _) in ENTRIES {
        assert!(files(folder.join(entry)) > 0, "no seeds of {entry}");
    }
}
