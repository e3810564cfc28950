//! Faults of the machine a run must survive or name: files cut under a reader, reads and writes that fail, kills.
//!
//! In: captures made here, and a machine that fails at a chosen point. Out: an error that names what failed, and all that
//! was read before it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bordertap::capture::{Inputs, Source};
use bordertap::join::Knowledge;
use bordertap::report::flow::JsonLines;
#[cfg(feature = "parquet")]
use bordertap::report::parquet;
use bordertap::report::{csv, eve, html, jsonl, misp, stix, text, zeek};
use bordertap::scan::{Flows, Scan, Scanned};
use common::capture::pcap;
use common::packets::{Endpoint, Packet, datagram};
use common::sensors::{Kept, MINUTE, Made, START, sense};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Bytes of a record of [`large`]: its header, Ethernet, IPv4, UDP, payload.
const RECORD_BYTES: u64 = 16 + 14 + 20 + 8 + PAYLOAD_BYTES as u64;
const PAYLOAD_BYTES: usize = 1400;
/// Header of a classic pcap file.
const HEADER_BYTES: u64 = 24;

/// A capture of so many packets of one flow, all of one length.
fn large(path: &Path, packets: u64) {
    let client = Endpoint::new([2, 0, 0, 0, 0, 1], "10.1.2.3", 40_000);
    let server = Endpoint::new([2, 0, 0, 0, 0, 2], "192.0.2.1", 9000);
    let packets = (0..packets).map(|n| datagram(START + n * 1000, client, server, &[], &[0x55; PAYLOAD_BYTES]));
    fs::write(path, pcap(true, &packets.collect::<Vec<Packet>>())).unwrap();
}

/// The packets of a source, all of whose bytes are looked at.
fn read_all(source: &mut Inputs) -> u64 {
    let mut packets = 0;
    while let Some(block) = source.next_block() {
        for packet in &block.packets {
            let bytes = &block.bytes.as_slice()[packet.start..packet.start + packet.captured as usize];
            assert_eq!(bytes.len() as u64, RECORD_BYTES - 16);
            // A packet that is handed over is as it was in the file.
            assert_eq!(bytes.last(), Some(&0x55));
        }
        packets += block.packets.len() as u64;
    }
    packets
}

/// A file that is cut while it is mapped: inside a record and inside a page.
#[test]
fn a_file_cut_under_the_reader_ends_where_it_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.pcap");
    large(&path, 20_000);
    let name = path.to_str().unwrap().to_owned();
    let mut source = Inputs::open(std::slice::from_ref(&name), None).unwrap();
    let first = source.next_block().unwrap();
    let whole = 5_000;
    let cut = HEADER_BYTES + whole * RECORD_BYTES + 700;
    assert_ne!(cut % 4096, 0);
    OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
    let read = first.packets.len() as u64 + read_all(&mut source);
    assert_eq!(read, whole);
    let [damage] = source.damage() else { panic!("{:?}", source.damage()) };
    assert_eq!((damage.input.as_str(), damage.offset, damage.fatal), (name.as_str(), cut, false));
    let had = HEADER_BYTES + 20_000 * RECORD_BYTES;
    assert_eq!(damage.reason, format!("the file was cut to {cut} bytes while it was read: it had {had}"));
}

/// The packets that others still look at when a file is cut read as zeros, and the cut is told although the reader was over.
#[test]
fn a_file_cut_behind_the_reader_is_told_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.pcap");
    large(&path, 1_000);
    let mut source = Inputs::open(&[path.to_str().unwrap().to_owned()], None).unwrap();
    let block = source.next_block().unwrap();
    assert_eq!(block.packets.len(), 1_000);
    assert!(source.next_block().is_none());
    assert_eq!(source.damage(), []);
    OpenOptions::new().write(true).open(&path).unwrap().set_len(HEADER_BYTES + 100).unwrap();
    let last = block.packets.last().unwrap();
    let bytes = &block.bytes.as_slice()[last.start..last.start + last.captured as usize];
    assert!(bytes.iter().all(|byte| *byte == 0), "pages behind the cut");
    source.settle();
    assert_eq!(source.damage().len(), 1);
    assert_eq!(source.damage()[0].offset, HEADER_BYTES + 100);
    source.settle();
    assert_eq!(source.damage().len(), 1, "told once");
}

/// The program reads a file that is cut: it says so and reports what it read, and no signal ends it.
#[test]
fn the_program_survives_a_file_that_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    for workers in ["1", "3"] {
        let path = folder.path().join("cut.pcap");
        large(&path, 40_000);
        let mut child = scan(&path, &["-j", workers]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        let maps = format!("/proc/{pid}/maps");
        let end = Instant::now() + Duration::from_secs(60);
        while !fs::read_to_string(&maps).is_ok_and(|maps| maps.contains("cut.pcap")) {
            assert!(child.try_wait().unwrap().is_none() && Instant::now() < end, "the file was never mapped");
        }
        kill(pid, Signal::SIGSTOP).unwrap();
        let cut = HEADER_BYTES + 1_000 * RECORD_BYTES + 40;
        OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
        kill(pid, Signal::SIGCONT).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), None, "{said}");
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("cut.pcap: at offset"), "{said}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(report["ledger"]["decoded"].as_u64().unwrap() >= 1, "{:#}", report["ledger"]);
        assert!(!report["header"]["damage"].as_array().unwrap().is_empty());
    }
}

/// A scan of a file to a report on standard output.
fn scan(path: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bordertap"));
    command.args(["scan", "--json", "-", "--progress", "never"]).args(more).arg(path);
    command
}

/// Packets that are added to a file while it is read are not read, and that is said; a file that takes the place of one
/// that is read changes nothing.
#[test]
fn a_file_that_grows_or_is_rotated_away_is_read_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.pcap");
    large(&path, 5_000);
    let mut source = Inputs::open(&[path.to_str().unwrap().to_owned()], None).unwrap();
    let first = source.next_block().unwrap().packets.len() as u64;
    OpenOptions::new().append(true).open(&path).unwrap().write_all(&[0x77; 1234]).unwrap();
    assert_eq!(first + read_all(&mut source), 5_000);
    let [damage] = source.damage() else { panic!("{:?}", source.damage()) };
    assert_eq!(damage.offset, HEADER_BYTES + 5_000 * RECORD_BYTES);
    assert_eq!(damage.reason, "the file grew by 1234 bytes while it was read: they were not read");

    large(&path, 5_000);
    let mut source = Inputs::open(&[path.to_str().unwrap().to_owned()], None).unwrap();
    let first = source.next_block().unwrap().packets.len() as u64;
    fs::rename(&path, folder.path().join("live.pcap.1")).unwrap();
    File::create(&path).unwrap().write_all(b"something else").unwrap();
    assert_eq!(first + read_all(&mut source), 5_000);
    assert_eq!(source.damage(), []);
}

/// What a scan counts of a file that is cut adds up, whatever the workers were at.
#[test]
fn the_ledger_adds_up_over_a_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.pcap");
    large(&path, 20_000);
    let mut source = Inputs::open(&[path.to_str().unwrap().to_owned()], None).unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let scan = Scan { workers: 3, ..Scan::builtin().unwrap() };
    let cut = HEADER_BYTES + 7_000 * RECORD_BYTES + 9;
    let scanned = scan.run(&mut source, &["cut.pcap".to_owned()], &|_, packets| {
        if packets >= 10_000 {
            file.set_len(cut).unwrap();
        }
    });
    let ledger = &scanned.report.ledger;
    assert!(ledger.adds_up(), "{ledger:?}");
    assert!((10_000..20_000).contains(&ledger.received), "{ledger:?}");
    let [damage, ..] = scanned.damage.as_slice() else { panic!("nothing was said of the cut") };
    assert_eq!(damage.offset, cut);
}

// Outputs.

/// Takes so many calls and then fails, as a disk does that is full or gone.
struct Failing {
    left: usize,
    calls: usize,
}

impl Failing {
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other("the disk has gone away")),
        }
        Ok(())
    }
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.call()?;
        // Never all of it at once.
        Ok(bytes.len().min(4096))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.call()
    }
}

/// One that fails at a call, over and over: the writer must say so whichever call it was.
fn fails_loudly(name: &str, write: impl Fn(&mut Failing) -> io::Result<()>) {
    let mut whole = Failing { left: usize::MAX, calls: 0 };
    write(&mut whole).unwrap();
    assert!(whole.calls > 0, "{name} writes nothing");
    // The first hundred, and then some: a page is written in thousands of pieces.
    let some = (0..whole.calls).filter(|n| *n < 100 || n % 97 == 0).chain([whole.calls - 1]);
    for left in some {
        let result = write(&mut Failing { left, calls: 0 });
        let error = result.expect_err(&format!("{name}: call {left} of {} failed and nobody noticed", whole.calls));
        assert!(error.to_string().contains("the disk has gone away"), "{name}, call {left}: {error}");
    }
}

fn demonstration() -> Scanned {
    let scan = Scan { keep_flows: true, mergeable: true, ..Scan::builtin().unwrap() };
    let mut inputs = Inputs::open(&[DEMO.to_owned()], None).unwrap();
    scan.run(&mut inputs, &["span0".to_owned()], &|_, _| {})
}

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/demo/four-vendors.pcapng");

#[test]
fn a_write_that_fails_is_told_whichever_it_is() {
    let report = demonstration().report;
    let style = text::Style { color: false, verbose: true };
    fails_loudly("text", |out| text::write(&report, style, out));
    fails_loudly("json", |out| jsonl::document(&report, out));
    fails_loudly("findings", |out| jsonl::lines(&report.findings, out));
    fails_loudly("assets", |out| jsonl::lines(&report.assets, out));
    fails_loudly("html", |out| html::write(&report, html::Lang::Zh, out));
    fails_loudly("csv findings", |out| csv::findings(&report.findings, out));
    fails_loudly("csv assets", |out| csv::assets(&report.assets, out));
    fails_loudly("stix", |out| stix::write(&report, out));
    fails_loudly("misp", |out| misp::write(&report, out));
    #[cfg(feature = "parquet")]
    {
        fails_loudly("parquet findings", |out| parquet::findings(&report.findings, out));
        fails_loudly("parquet assets", |out| parquet::assets(&report.assets, out));
    }
}

/// Hands the flows of a scan to a sink whose output fails at the first write, somewhere, and at the last: it says so.
fn sink_fails_loudly(name: &str, write: impl Fn(Flows, &mut Failing) -> io::Result<()>) {
    let mut whole = Failing { left: usize::MAX, calls: 0 };
    write(demonstration().flows, &mut whole).unwrap();
    assert!(whole.calls > 0, "{name} writes nothing");
    for left in [0, whole.calls / 2, whole.calls - 1] {
        let error = write(demonstration().flows, &mut Failing { left, calls: 0 });
        let error = error.expect_err(&format!("{name}: call {left} of {} failed and nobody noticed", whole.calls));
        assert!(error.to_string().contains("the disk has gone away"), "{name}, call {left}: {error}");
    }
}

#[test]
fn a_write_of_flows_that_fails_is_told_whichever_it_is() {
    sink_fails_loudly("flows", |flows, out| flows.hand_to(&mut [&mut JsonLines::new(out)]));
    sink_fails_loudly("eve", |flows, out| flows.hand_to(&mut [&mut eve::Events::new(out)]));
    let policy = demonstration().flows.policy();
    // Each of the four logs is the one whose disk fails.
    for failing in 0..zeek::LOGS.len() {
        sink_fails_loudly(zeek::LOGS[failing], |flows, out| {
            let mut fails = Some(out);
            let outs: [Box<dyn Write>; 4] = std::array::from_fn(|n| -> Box<dyn Write> {
                match fails.take_if(|_| n == failing) {
                    Some(out) => Box::new(out),
                    None => Box::new(io::sink()),
                }
            });
            flows.hand_to(&mut [&mut zeek::Logs::new(outs, &policy, None)])
        });
    }
    #[cfg(feature = "parquet")]
    sink_fails_loudly("parquet flows", |flows, out| flows.hand_to(&mut [&mut parquet::Flows::new(out)?]));
}

/// Documents of a scan: the option, and the file.
const DOCUMENTS: &[(&str, &str)] = &[
    ("findings", "findings.jsonl"),
    ("assets", "assets.jsonl"),
    ("cef", "findings.cef"),
    ("json", "report.json"),
    ("report", "report.html"),
    ("stix", "stix.json"),
    ("misp", "misp.json"),
    ("flows", "flows.jsonl"),
    ("eve", "eve.json"),
];

/// Formats of several documents: the option, which is also the folder, and the files in it.
const FOLDERS: &[(&str, &[&str])] = &[
    ("csv", &csv::TABLES),
    ("zeek", &zeek::LOGS),
    #[cfg(feature = "parquet")]
    ("parquet", &parquet::TABLES),
];

/// Every document of a scan, as a path in the folder of all.
fn documents() -> Vec<String> {
    let in_folders =
        FOLDERS.iter().flat_map(|(folder, names)| names.iter().map(move |name| format!("{folder}/{name}")));
    DOCUMENTS.iter().map(|(_, name)| (*name).to_owned()).chain(in_folders).collect()
}

/// Files in a folder and in those below.
fn count_of_files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries.map(|entry| if entry.path().is_dir() { count_of_files(&entry.path()) } else { 1 }).sum()
}

/// A scan whose files may not grow beyond so many blocks of 512 bytes: by the kernel's limit, the write that would go
/// beyond either kills the process or fails, after what `on_signal` says to the shell.
fn limited(folder: &Path, blocks: u64, on_signal: &str) -> std::process::Output {
    let mut words =
        vec![env!("CARGO_BIN_EXE_bordertap").to_owned(), "scan".to_owned(), "-q".to_owned(), DEMO.to_owned()];
    for (option, name) in DOCUMENTS {
        words.extend([format!("--{option}"), folder.join(name).to_str().unwrap().to_owned()]);
    }
    for (option, _) in FOLDERS {
        words.extend([format!("--{option}"), folder.join(option).to_str().unwrap().to_owned()]);
    }
    let script = format!("{on_signal} ulimit -c 0; ulimit -f {blocks}; exec \"$@\"");
    Command::new("sh").args(["-c", &script, "sh"]).args(&words).output().unwrap()
}

fn contents(folder: &Path) -> Vec<Vec<u8>> {
    documents().iter().map(|name| fs::read(folder.join(name)).unwrap()).collect()
}

/// Blocks at which each document is cut off: at its first write, somewhere, and at its last.
fn cuts(whole: &[Vec<u8>]) -> Vec<u64> {
    let mut cuts: Vec<u64> =
        whole.iter().map(|bytes| bytes.len() as u64 / 512).flat_map(|n| [n / 2, n.saturating_sub(1)]).collect();
    cuts.push(0);
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// Killed at a write, a scan leaves each document as it was or as it was to be.
#[test]
fn a_scan_that_is_killed_at_a_write_leaves_whole_documents() {
    let folder = tempfile::tempdir().unwrap();
    assert!(limited(folder.path(), 1 << 20, "").status.success());
    let whole = contents(folder.path());
    for blocks in cuts(&whole) {
        let old: Vec<Vec<u8>> = documents().iter().map(|name| format!("the old {name}\n").into_bytes()).collect();
        for (name, old) in documents().iter().zip(&old) {
            fs::write(folder.path().join(name), old).unwrap();
        }
        let output = limited(folder.path(), blocks, "");
        assert_eq!(output.status.signal(), Some(Signal::SIGXFSZ as i32), "{blocks} blocks: {:?}", output.status);
        for ((name, there), (old, new)) in documents().iter().zip(contents(folder.path())).zip(old.iter().zip(&whole)) {
            assert!(
                there == *old || there == *new,
                "{name} is neither the old one nor the new one after {blocks} blocks"
            );
        }
    }
}

/// A write that fails is an error with the name of the file; documents that were written before stay.
#[test]
fn a_scan_whose_disk_is_full_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    assert!(limited(folder.path(), 1 << 20, "").status.success());
    let whole = contents(folder.path());
    for blocks in cuts(&whole) {
        for name in documents() {
            fs::write(folder.path().join(name), "old\n").unwrap();
        }
        let output = limited(folder.path(), blocks, "trap '' XFSZ;");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{blocks} blocks: {said}");
        let there = contents(folder.path());
        let all = documents();
        let mut failed = all.iter().zip(&there).filter(|(name, _)| said.contains(*name));
        let Some((name, failed)) = failed.next() else { panic!("{blocks} blocks: no file is named: {said}") };
        assert_eq!(failed, b"old\n", "{name}");
        assert!(said.contains("File too large"), "{said}");
        assert!(there.iter().zip(&whole).all(|(there, new)| there == b"old\n" || there == new), "{blocks} blocks");
        assert_eq!(count_of_files(folder.path()), all.len(), "nothing half made is left");
    }
}

/// Where there is no memory a scan ends with a word or does its work; it does not hang.
#[test]
fn a_scan_without_memory_says_so() {
    let mut ends = Vec::new();
    for kilobytes in [60_000, 120_000, 250_000, 500_000, 1_000_000, 4_000_000] {
        let script = format!("ulimit -c 0; ulimit -v {kilobytes}; exec \"$@\"");
        let mut child = Command::new("sh")
            .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_bordertap"), "scan", "-j", "2", "--memory", "16MiB", DEMO])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(120);
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > end {
                child.kill().unwrap();
                panic!("with {kilobytes} KiB it hangs");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let done = output.status.success() && !output.stdout.is_empty();
        assert!(done || !said.is_empty(), "with {kilobytes} KiB: {:?} without a word", output.status);
        ends.push(done);
    }
    assert_eq!(ends.last(), Some(&true), "{ends:?}");
}

/// A clock that is put back by ten years stops nobody's flows from ending, and the report says that it was put back.
#[test]
fn a_clock_that_is_put_back_is_told_and_flows_end() {
    const TEN_YEARS: u64 = 10 * 365 * 24 * 60 * MINUTE;
    let client = Endpoint::new([2, 0, 0, 0, 0, 1], "10.1.2.3", 40_000);
    let server = Endpoint::new([2, 0, 0, 0, 0, 2], "192.0.2.1", 9000);
    let other = Endpoint::new([2, 0, 0, 0, 0, 1], "10.1.2.4", 40_000);
    let mut blocks = vec![vec![datagram(START, client, server, &[], b"before")]];
    let after = |n: u64| vec![datagram(START - TEN_YEARS + n * 1_000_000_000, other, server, &[], b"after")];
    blocks.extend((0..200).map(after));
    let count = blocks.len() as u64;
    let mut blocks = blocks.into_iter();
    let source = Made { next: move || blocks.next(), number: 1, pause: Duration::from_millis(2) };
    let mut kept = Kept::default();
    let ended = sense(vec![Box::new(source)], 1, 600, Knowledge::default(), &mut kept);
    let ledger = &ended.report.ledger;
    assert!(ledger.adds_up() && ledger.decoded == count, "{ledger:?}");
    assert_eq!(ledger.later.get("clock.jump"), Some(&1), "{ledger:?}");
    // It ended long before the run did: one flow is left open.
    assert_eq!(kept.views.iter().rev().nth(2).unwrap().state.open_flows, 1);
    let sum: u64 = kept.flows.iter().map(|flow| flow["network"]["packets"].as_u64().unwrap()).sum();
    assert_eq!(sum, count);
}
