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

use bordertap::parse::PROTOCOLS;
use common::entries::{ENTRIES, Talk};
use common::random::Random;
use common::sample::{self, Sample};

/// Inputs of each entry, the seeds as they are among them.
const INPUTS: usize = 3000;
/// Longest capture that is a seed.
const CAPTURE_BYTES_MAX: usize = 16 * 1024;
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
    all
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
    let seeds = seeds().remove(name).unwrap();
    let mut random = Random::new(name.len() as u64);
    let mut inputs: Vec<Vec<u8>> = seeds.iter().map(|(_, seed)| seed.clone()).collect();
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
    for (entry, seeds) in seeds() {
        for (name, seed) in seeds {
            let folder = match name.rsplit_once('-').filter(|_| entry == "protocol") {
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
