//! Faults of the machine a run must survive or name: files cut under a reader, reads and writes that fail, kills.
//!
//! In: captures made here, and a machine that fails at a chosen point. Out: an error that names what failed, and all that
//! was read before it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bordertap::capture::{Inputs, Source};
use bordertap::scan::Scan;
use common::capture::pcap;
use common::packets::{Endpoint, Packet, datagram};
use common::sensors::START;
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
