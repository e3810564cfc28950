//! Outputs that fail, and runs that are ended: what `scan` and the library promise where no interface is needed. The rest,
//! with a disk of its own and interfaces of its own, is in `tests/outputs.rs` and `tests/live_sensor.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bordertap::join::Knowledge;
use bordertap::ledger::Ledger;
use bordertap::output::{Batch, Keeping, Outputs, QUEUE_BYTES_MAX, Target};
use bordertap::scan::Scan;
use bordertap::sensor::Wish;
use serde_json::Value;

use crate::common::capture::pcap;
use crate::common::demo;
use crate::common::packets::Packet;
use crate::common::sensors::{Kept, Made, sense};

const DEMO: &str = "fixtures/demo/four-vendors.pcapng";
const LONG: Duration = Duration::from_secs(60);

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bordertap"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(args).stdin(Stdio::null());
    command
}

/// Lines that are JSON, all of them whole.
fn lines(bytes: &[u8]) -> Vec<Value> {
    assert!(bytes.is_empty() || bytes.ends_with(b"\n"), "an incomplete line");
    let text = std::str::from_utf8(bytes).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:.99}"))).collect()
}

/// A full disk and a place that cannot be written to: an error that names the file, never a success, for every output.
#[test]
fn row_43_what_cannot_be_written_is_an_error_of_a_scan() {
    let outputs = ["--flows", "--findings", "--assets", "--json", "--report", "--stix", "--misp", "--eve", "--cef"];
    for option in outputs {
        for (path, reason) in [("/dev/full", "No space left"), ("/proc/bordertap.out", "/proc/bordertap.out")] {
            let output = command(&["scan", DEMO, option, path]).output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{option} {path}: {errors}");
            assert!(errors.contains(path) && errors.contains(reason), "{option}: {errors}");
            assert!(output.stdout.is_empty());
        }
    }
}

/// A reader that takes its time gets every record; one that goes away ends the program without a word.
#[test]
fn row_43b_a_slow_pipe_loses_nothing_and_a_closed_one_is_no_error() {
    let expected = lines(&command(&["scan", "-j1", DEMO, "--flows", "-"]).output().unwrap().stdout);
    let run = || {
        let mut command = command(&["scan", "-j1", DEMO, "--flows", "-"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut child = run();
    let (mut out, mut all, mut piece) = (child.stdout.take().unwrap(), Vec::new(), [0; 2000]);
    loop {
        let length = out.read(&mut piece).unwrap();
        if length == 0 {
            break;
        }
        all.extend_from_slice(&piece[..length]);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(lines(&all), expected);
    let mut child = run();
    let mut first = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut first).unwrap();
    drop(out);
    assert_eq!(lines(first.as_bytes()).len(), 1);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

fn batch(first: u64, count: u64) -> Batch {
    let text: String =
        (first..first + count).map(|n| format!("{{\"n\":{n},\"pad\":\"{}\"}}\n", "x".repeat(400))).collect();
    Batch { bytes: text.into_bytes(), records: count }
}

fn numbers(bytes: &[u8]) -> Vec<u64> {
    lines(bytes).iter().map(|line| line["n"].as_u64().unwrap()).collect()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A socket that is closed costs records, and the ledger says how many: written and dropped are all there were.
#[test]
fn row_43c_a_closed_socket_costs_records_and_the_ledger_says_how_many() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let outputs = Outputs::open(vec![("flows", Target::Unix(socket.clone()))], Keeping::default()).unwrap();
    outputs.put("flows", batch(0, 100));
    let (mut reader, _) = listener.accept().unwrap();
    let mut some = [0; 1000];
    reader.read_exact(&mut some).unwrap();
    drop((reader, listener));
    fs::remove_file(&socket).unwrap();
    let sent = 100 + 400 * 500;
    const { assert!(400 * 500 * 400 > QUEUE_BYTES_MAX, "more than may wait") };
    (0..400).for_each(|n| outputs.put("flows", batch(100 + n * 500, 500)));
    outputs.close(Duration::from_millis(300));
    let count = outputs.counts().remove(0);
    assert_eq!(count.written + count.dropped, sent);
    assert!(count.dropped > 0 && count.error.is_some(), "{count:?}");
    let mut ledger = Ledger::default();
    outputs.note(&mut ledger);
    assert_eq!(ledger.later["output.dropped"], count.dropped);
}

/// A file that somebody takes away for keeping is followed by a new one, and no record falls between them.
#[test]
fn row_43d_a_file_that_was_rotated_away_is_followed_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.jsonl");
    let outputs = Outputs::open(vec![("flows", Target::File(path.clone()))], Keeping::default()).unwrap();
    let mut sent = 0;
    for round in 0..5 {
        outputs.put("flows", batch(sent, 50));
        sent += 50;
        until("records", || outputs.counts()[0].written == sent);
        fs::rename(&path, folder.path().join(format!("taken-{round}"))).unwrap();
    }
    outputs.put("flows", batch(sent, 50));
    outputs.close(LONG);
    assert_eq!((outputs.counts()[0].written, outputs.counts()[0].dropped), (sent + 50, 0));
    let all = fs::read_dir(folder.path()).unwrap().flat_map(|entry| numbers(&fs::read(entry.unwrap().path()).unwrap()));
    assert_eq!(all.collect::<BTreeSet<u64>>(), (0..sent + 50).collect());
}

/// Many times the demonstration, each an hour after the one before.
fn long_capture(folder: &Path) -> PathBuf {
    let one = demo::packets();
    let hour = 3_600_000_000_000u64;
    let later = |n: u64| one.iter().map(move |p| Packet::new(p.time + n * 30 * 24 * hour, p.bytes.clone()));
    let path = folder.join("long.pcap");
    fs::write(&path, pcap(true, &(0..12).flat_map(later).collect::<Vec<_>>())).unwrap();
    path
}

/// Ended by force or by request at any moment, a scan leaves the file that was there before or the new one, never half.
#[test]
fn row_44_a_scan_that_is_ended_leaves_the_old_file_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let capture = long_capture(folder.path());
    let flows = folder.path().join("flows.jsonl");
    let args = ["scan", "-q", "-j1", capture.to_str().unwrap(), "--flows", flows.to_str().unwrap()];
    let begun = Instant::now();
    assert!(command(&args).status().unwrap().success());
    let took = begun.elapsed();
    let new = fs::read(&flows).unwrap();
    let many = lines(&new).len();
    assert!(many > 1000, "{many}");
    let (mut old, mut ended) = (0, 0);
    for moment in 1..=14 {
        fs::write(&flows, "{\"old\":true}\n").unwrap();
        let mut child = command(&args).spawn().unwrap();
        std::thread::sleep(took * moment / 12);
        let signal = if moment % 2 == 0 { "-KILL" } else { "-TERM" };
        Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status().unwrap();
        ended += u32::from(child.wait().unwrap().signal().is_some());
        let there = fs::read(&flows).unwrap();
        let is_old = there == b"{\"old\":true}\n";
        assert!(is_old || there == new, "{} bytes at moment {moment}", there.len());
        lines(&there);
        old += u32::from(is_old);
    }
    assert!(ended > 3 && old > 3, "{ended} ended, {old} left the old file");
}

/// Records on a pipe are whole up to the last, which may be cut where the program was.
#[test]
fn row_44b_what_came_before_a_kill_is_whole_records() {
    let folder = tempfile::tempdir().unwrap();
    let capture = long_capture(folder.path());
    let mut command = command(&["scan", "-q", "-j1", capture.to_str().unwrap(), "--flows", "-"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut bytes = vec![0; 300_000];
    out.read_exact(&mut bytes).unwrap();
    child.kill().unwrap();
    out.read_to_end(&mut bytes).unwrap();
    child.wait().unwrap();
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    assert!(lines(&bytes[..whole]).len() > 100);
    assert!(bytes.len() - whole < 100_000);
}

/// Signatures read again and again while packets come: no packet and no flow is lost or counted twice.
#[test]
fn row_44c_reading_signatures_again_under_load_loses_nothing() {
    let packets = demo::packets();
    let expected = Scan::builtin().unwrap().run(
        &mut Made { next: once(packets.clone()), number: 1, pause: Duration::ZERO },
        &[],
        &|_, _| {},
    );
    let judging = Scan::builtin().unwrap().judging;
    for workers in [1, 3] {
        let mut blocks = packets.chunks(16).map(<[_]>::to_vec).collect::<Vec<_>>().into_iter();
        let source = Made { next: move || blocks.next(), number: 1, pause: Duration::from_millis(8) };
        let wishes = (2..40).map(|turn| (turn, Wish::Judge(judging.clone()))).collect();
        let mut kept = Kept { wishes, ..Kept::default() };
        let ended = sense(vec![Box::new(source)], workers, 600, Knowledge::default(), &mut kept);
        assert!(kept.judged_anew > 3, "{}", kept.judged_anew);
        assert_eq!(ended.report.ledger.received, packets.len() as u64);
        assert!(ended.report.ledger.adds_up());
        assert_eq!(ended.report.header.flows, expected.report.header.flows);
        assert_eq!(kept.flows.len() as u64, expected.report.header.flows);
        let ids = |report: &bordertap::report::Report| -> BTreeSet<String> {
            report.findings.iter().map(|finding| finding.id.clone()).collect()
        };
        // Reading them again settles what was seen: a name that is learnt later changes no finding of before any more.
        assert!(ids(&ended.report).is_superset(&ids(&expected.report)), "{workers} workers");
    }
}

/// All packets in one block, then nothing.
fn once(packets: Vec<Packet>) -> impl FnMut() -> Option<Vec<Packet>> + Send {
    let mut all = Some(packets);
    move || all.take()
}

/// Messages that cannot be written stop nobody.
#[test]
fn row_43e_a_full_standard_error_stops_no_scan() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command(&["scan", "-vv", DEMO, "--findings", "-"]).stderr(full).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!lines(&output.stdout).is_empty());
}
