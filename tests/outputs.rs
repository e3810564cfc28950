//! Outputs of a sensor against a system that fails: a full disk, a kill, listeners that are slow, gone or new.
//!
//! In: numbered records. Out: every record is written whole or counted as lost. The full disk is a small one in a mount
//! namespace of its own (`unshare`); where none can be made the test says so on standard error, and fails with
//! `BORDERTAP_LIVE=must`. Some tests run themselves again as a process that can be killed.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bordertap::ledger::Ledger;
use bordertap::output::{Age, Batch, Keeping, OutputCount, Outputs, Rotate, Target, replace};

/// What tells a test that runs again as another process what it is there for.
const AGAIN: &str = "BORDERTAP_OUTPUTS_AGAIN";
const LONG: Duration = Duration::from_secs(60);

/// Numbered records of so many bytes each.
fn batch(first: u64, records: u64, bytes: usize) -> Batch {
    let mut all = Vec::new();
    for n in first..first + records {
        let line = format!("{{\"n\":{n},\"pad\":\"");
        let pad = "x".repeat(bytes.saturating_sub(line.len() + 3));
        writeln!(all, "{line}{pad}\"}}").unwrap();
    }
    Batch { bytes: all, records }
}

/// The number of a record, when it is whole.
fn number(line: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(line).ok()?["n"].as_u64()
}

/// The numbers of a file or a stream of whole records.
fn numbers(bytes: &[u8]) -> Vec<u64> {
    assert!(bytes.is_empty() || bytes.ends_with(b"\n"), "an incomplete line is left");
    let lines = std::str::from_utf8(bytes).unwrap().lines();
    lines.map(|line| number(line).unwrap_or_else(|| panic!("no record: {line:.80}"))).collect()
}

/// The numbers in all files of an output, in order.
fn kept(folder: &Path, stem: &str) -> Vec<u64> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with(stem) {
            all.extend(numbers(&fs::read(path).unwrap()));
        }
    }
    all.sort_unstable();
    all
}

fn to_file(path: &Path, keeping: Keeping) -> Outputs {
    Outputs::open(vec![("flows", Target::File(path.to_owned()))], keeping).unwrap()
}

fn count(outputs: &Outputs) -> OutputCount {
    outputs.counts().remove(0)
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: did not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// This test once more, as a process of its own that is told something.
fn again(test: &str, told: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(AGAIN, told);
    command
}

/// What this process was told, when it is a test run again.
fn told() -> Option<PathBuf> {
    std::env::var_os(AGAIN).map(PathBuf::from)
}

/// Runs a test again in a mount namespace; inside gives it a disk of one MiB.
fn on_a_small_disk(test: &str) -> Option<tempfile::TempDir> {
    let mount = |folder: &Path| {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let folder = tempfile::tempdir().unwrap();
    if told().is_some() {
        assert!(mount(folder.path()));
        return Some(folder);
    }
    let ways = [&["--mount"][..], &["--user", "--map-root-user", "--mount"]];
    let can = |way: &&&[&str]| {
        let mut command = Command::new("unshare");
        command.args(**way).args(["mount", "-t", "tmpfs", "-o", "size=1m", "none"]).arg(folder.path());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let Some(way) = ways.iter().find(can) else {
        // Past the harness, which keeps what a test prints to itself.
        let mut say = io::stderr();
        writeln!(say, "\nNOT RUN: {test}: no mount namespace with a small disk can be made here\n").unwrap();
        assert!(std::env::var_os("BORDERTAP_LIVE").is_none_or(|v| v != "must"), "{test} could not run");
        return None;
    };
    let mut command = Command::new("unshare");
    command.args(*way).arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
    let output = command.env(AGAIN, "inside").output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success() && said[0].contains("1 passed"), "{test} on its disk:\n{}", said.concat());
    None
}

#[test]
fn a_full_disk_costs_records_and_no_file() {
    let Some(disk) = on_a_small_disk("a_full_disk_costs_records_and_no_file") else { return };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 600 << 10]).unwrap();
    let path = disk.path().join("flows.jsonl");
    let outputs = to_file(&path, Keeping::default());
    let mut sent = 0;
    let mut put = |records| {
        outputs.put("flows", batch(sent, records, 700));
        sent += records;
        sent
    };
    wait_until("a full disk", || {
        put(100);
        count(&outputs).dropped > 0
    });
    let said = count(&outputs).error.unwrap();
    assert!(said.contains("No space left"), "{said}");
    // 424 KiB are left beside the ballast: what had room is there, up to the last whole record.
    let there = numbers(&fs::read(&path).unwrap());
    assert!((600..=620).contains(&there.len()), "{}", there.len());

    fs::remove_file(&ballast).unwrap();
    let before = count(&outputs).written;
    wait_until("records after there was room again", || {
        put(10);
        count(&outputs).written > before
    });
    let sent = put(1);
    outputs.close(LONG);
    let count = count(&outputs);
    assert_eq!(count.written + count.dropped, sent);
    let there = numbers(&fs::read(&path).unwrap());
    assert_eq!(there.len() as u64, count.written);
    assert!(there.is_sorted_by(|a, b| a < b));
    assert_eq!(there.last(), Some(&(sent - 1)));
}

#[test]
fn a_full_disk_leaves_the_old_document() {
    let Some(disk) = on_a_small_disk("a_full_disk_leaves_the_old_document") else { return };
    let path = disk.path().join("report.json");
    replace(&path, |out| out.write_all(b"{\"old\":1}")).unwrap();
    let error = replace(&path, |out| out.write_all(&vec![b'x'; 2 << 20])).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(fs::read(&path).unwrap(), b"{\"old\":1}");
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn a_killed_writer_leaves_whole_records_and_one_incomplete_at_most() {
    const TEST: &str = "a_killed_writer_leaves_whole_records_and_one_incomplete_at_most";
    if let Some(path) = told() {
        let keeping = Keeping { rotate: Some(Rotate::At(8 << 20)), keep_bytes: Some(64 << 20), keep_for: Age::Forever };
        let outputs = to_file(&path, keeping);
        println!("writing");
        let batch = batch(0, 1000, 900);
        loop {
            outputs.put("flows", batch.clone());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.jsonl");
    let mut repaired = 0;
    for moment in 0..12_u64 {
        let mut child = again(TEST, &path).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while !lines.next().unwrap().unwrap().contains("writing") {}
        std::thread::sleep(Duration::from_micros(2_000 + moment * 7_919));
        child.kill().unwrap();
        child.wait().unwrap();
        let bytes = fs::read(&path).unwrap_or_default();
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let torn = whole < bytes.len();
        numbers(&bytes[..whole]);

        let outputs = to_file(&path, Keeping::default());
        outputs.put("flows", batch(1, 1, 100));
        outputs.close(LONG);
        let mut ledger = Ledger::default();
        outputs.note(&mut ledger);
        assert_eq!(ledger.later.get("output.repaired").copied().unwrap_or(0), u64::from(torn));
        repaired += u64::from(torn);
        kept(folder.path(), "flows");
    }
    println!("{repaired} of 12 kills left an incomplete record");
}

#[test]
fn a_reader_that_does_not_read_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, path) = (folder.path().join("socket"), folder.path().join("flows.jsonl"));
    let listener = UnixListener::bind(&socket).unwrap();
    let wanted = vec![("flows", Target::Unix(socket)), ("flows", Target::File(path.clone()))];
    let outputs = Outputs::open(wanted, Keeping::default()).unwrap();
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    for n in 0..70 {
        let batch = batch(n * 100, 100, 10_000);
        let began = Instant::now();
        outputs.put("flows", batch);
        longest = longest.max(began.elapsed());
        // The file keeps up, whatever the socket does.
        wait_until("the file", || outputs.counts()[1].written > n * 100);
    }
    assert!(longest < Duration::from_secs(2), "{longest:?} of {:?}", began.elapsed());
    assert!(outputs.counts()[0].dropped > 3000, "{:?}", outputs.counts());
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut bytes).unwrap();
        bytes
    });
    outputs.close(LONG);
    let counts = outputs.counts();
    assert!(counts.iter().all(|count| count.written + count.dropped == 7000), "{counts:?}");
    assert_eq!(counts[1].dropped, 0);
    let read = numbers(&reader.join().unwrap());
    assert_eq!(read.len() as u64, counts[0].written);
    assert!(read.is_sorted_by(|a, b| a < b));
    assert_eq!(kept(folder.path(), "flows"), (0..7000).collect::<Vec<_>>());
    assert_eq!(outputs.dropped(), BTreeMap::from([("flows", counts[0].dropped)]));
}

#[test]
fn a_new_connection_begins_with_a_whole_record() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let outputs = Outputs::open(vec![("flows", Target::Unix(socket.clone()))], Keeping::default()).unwrap();
    // Nobody listens yet: records wait.
    outputs.put("flows", batch(0, 800, 5000));
    wait_until("a complaint", || count(&outputs).error.is_some());
    let mut all = Vec::new();
    for round in 0..3 {
        fs::remove_file(&socket).ok();
        let listener = UnixListener::bind(&socket).unwrap();
        let (mut reader, _) = listener.accept().unwrap();
        // Ends somewhere within a record.
        let mut some = vec![0; 333_333];
        reader.read_exact(&mut some).unwrap();
        drop(listener);
        drop(reader);
        let whole = some.iter().rposition(|b| *b == b'\n').unwrap() + 1;
        assert!(whole < some.len());
        let read = numbers(&some[..whole]);
        assert!(read.is_sorted_by(|a, b| a < b), "connection {round}");
        all.extend(read);
    }
    // What was in the socket of a reader that went away is gone, and nothing came twice.
    assert!(all.is_sorted_by(|a, b| a < b));
    fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut bytes).unwrap();
        bytes
    });
    outputs.close(LONG);
    drop(outputs);
    let rest = numbers(&reader.join().unwrap());
    assert_eq!(rest.last(), Some(&799));
    assert!(rest[0] > *all.last().unwrap());
}

#[test]
fn datagrams_are_one_record_each() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let receiver = UnixDatagram::bind(&socket).unwrap();
    let outputs = Outputs::open(vec![("flows", Target::Unix(socket.clone()))], Keeping::default()).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut receive = |receiver: &UnixDatagram| {
        receiver.set_read_timeout(Some(LONG)).unwrap();
        let length = receiver.recv(&mut buffer).unwrap();
        numbers(&buffer[..length])
    };
    outputs.put("flows", batch(0, 50, 300));
    // Longer than any datagram: lost, and what follows is not.
    outputs.put("flows", batch(50, 1, 4 << 20));
    outputs.put("flows", batch(51, 1, 300));
    for n in (0..50).chain([51]) {
        assert_eq!(receive(&receiver), [n]);
    }
    wait_until("the last count", || count(&outputs).written == 51);
    assert_eq!(count(&outputs).dropped, 1);
    drop(receiver);
    outputs.put("flows", batch(52, 1, 300));
    wait_until("a complaint", || count(&outputs).error.is_some_and(|e| e.contains("refused")));
    fs::remove_file(&socket).unwrap();
    let receiver = UnixDatagram::bind(&socket).unwrap();
    assert_eq!(receive(&receiver), [52]);
    outputs.close(LONG);
    assert_eq!((count(&outputs).written, count(&outputs).dropped), (52, 1));
}

/// The parts of a message as RFC 5424, section 6, has them.
fn syslog(message: &str) -> (u32, BTreeMap<&str, &str>) {
    let (priority, rest) = message.strip_prefix('<').unwrap().split_once('>').unwrap();
    let parts: Vec<&str> = rest.splitn(8, ' ').collect();
    let names = ["version", "time", "host", "app", "process", "id", "data", "text"];
    assert_eq!(parts.len(), names.len());
    (priority.parse().unwrap(), names.into_iter().zip(parts).collect())
}

#[test]
fn the_log_gets_messages() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("log");
    let receiver = UnixDatagram::bind(&socket).unwrap();
    let outputs = Outputs::open(vec![("findings", Target::Syslog(socket))], Keeping::default()).unwrap();
    outputs.put("findings", batch(7, 2, 100));
    receiver.set_read_timeout(Some(LONG)).unwrap();
    let mut buffer = vec![0; 1 << 16];
    for n in [7, 8] {
        let length = receiver.recv(&mut buffer).unwrap();
        let (priority, parts) = syslog(std::str::from_utf8(&buffer[..length]).unwrap());
        assert_eq!((priority / 8, priority % 8), (3, 6), "daemon, informational");
        assert_eq!((parts["version"], parts["app"], parts["id"], parts["data"]), ("1", "bordertap", "findings", "-"));
        assert_eq!(parts["process"], std::process::id().to_string());
        // RFC 3339 with at most six digits of a second.
        let time = parts["time"];
        assert!(time.len() == 27 && time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{time}");
        assert!((1..=255).contains(&parts["host"].len()));
        assert_eq!(number(parts["text"]), Some(n));
        assert!(!parts["text"].ends_with('\n'));
    }
    outputs.close(LONG);
    assert_eq!(count(&outputs).written, 2);
}

#[test]
fn nobody_is_waited_for_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, silent, pipe) = (folder.path().join("none"), folder.path().join("silent"), folder.path().join("pipe"));
    let _listener = UnixListener::bind(&silent).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let wanted = [Target::Unix(socket), Target::Unix(silent), Target::File(pipe), Target::File("/dev/full".into())];
    let wanted = wanted.into_iter().map(|target| ("flows", target)).collect();
    let outputs = Outputs::open(wanted, Keeping::default()).unwrap();
    for n in 0..20 {
        outputs.put("flows", batch(n * 100, 100, 1000));
    }
    let began = Instant::now();
    outputs.close(Duration::from_millis(300));
    assert!(began.elapsed() < Duration::from_secs(5));
    for count in outputs.counts() {
        assert_eq!(count.written + count.dropped, 2000, "{count:?}");
        assert!(count.dropped > 0 && count.error.is_some(), "{count:?}");
    }
    outputs.put("flows", batch(0, 1, 100));
    assert!(outputs.counts().iter().all(|count| count.written + count.dropped == 2001));
}

#[test]
fn a_named_pipe_is_written_to_and_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let outputs = to_file(&pipe, Keeping { rotate: Some(Rotate::At(100)), ..Keeping::default() });
    outputs.put("flows", batch(0, 100, 3000));
    outputs.rotate_now();
    let mut some = vec![0; 100_000];
    File::open(&pipe).unwrap().read_exact(&mut some).unwrap();
    // Another reader finds the rest of the same pipe.
    let reader = {
        let pipe = pipe.clone();
        std::thread::spawn(move || fs::read(pipe).unwrap())
    };
    outputs.close(LONG);
    let rest = reader.join().unwrap();
    let first = if number(std::str::from_utf8(&rest).unwrap().lines().next().unwrap()).is_some() {
        0
    } else {
        rest.iter().position(|b| *b == b'\n').unwrap() + 1
    };
    let read = numbers(&rest[first..]);
    assert_eq!((read.last(), read.is_sorted_by(|a, b| a + 1 == *b)), (Some(&99), true));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let writer = {
        let pipe = pipe.clone();
        std::thread::spawn(move || replace(&pipe, |out| out.write_all(b"a document")).unwrap())
    };
    assert_eq!(fs::read(&pipe).unwrap(), b"a document");
    writer.join().unwrap();
    replace(Path::new("/dev/null"), |out| out.write_all(b"a document")).unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn a_closed_standard_output_ends_that_output_alone() {
    const TEST: &str = "a_closed_standard_output_ends_that_output_alone";
    if let Some(path) = told() {
        let wanted = vec![("flows", Target::Stdout), ("findings", Target::Stdout), ("flows", Target::File(path))];
        let outputs = Outputs::open(wanted, Keeping::default()).unwrap();
        let mut sent = 0;
        while !outputs.stdout_closed() {
            outputs.put("flows", batch(sent, 20, 500));
            outputs.put("findings", batch(sent, 20, 400));
            sent += 20;
            std::thread::sleep(Duration::from_millis(1));
        }
        outputs.close(LONG);
        let counts = outputs.counts();
        assert!(counts.iter().all(|count| count.written + count.dropped == sent), "{counts:?}");
        assert!(counts[0].dropped > 0 || counts[1].dropped > 0);
        assert_eq!(counts[2].written, sent);
        // Nothing more can be said on standard output.
        std::process::exit(77);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.jsonl");
    let mut child = again(TEST, &path).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let read: Vec<String> =
        lines.by_ref().map(|line| line.unwrap()).filter(|line| line.starts_with('{')).take(500).collect();
    drop(lines);
    assert!(read.iter().all(|line| number(line).is_some()), "two outputs do not write into each other's lines");
    assert_eq!(child.wait().unwrap().code(), Some(77));
    assert!(!kept(folder.path(), "flows").is_empty());
}

#[test]
fn a_limit_on_the_length_of_files_kills_nobody() {
    const TEST: &str = "a_limit_on_the_length_of_files_kills_nobody";
    if let Some(path) = told() {
        let outputs = to_file(&path, Keeping::default());
        outputs.put("flows", batch(0, 1000, 500));
        wait_until("the limit", || count(&outputs).dropped > 0);
        outputs.close(LONG);
        let count = count(&outputs);
        assert_eq!(count.written + count.dropped, 1000);
        assert_eq!(kept(path.parent().unwrap(), "flows").len() as u64, count.written);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let test = again(TEST, &folder.path().join("flows.jsonl"));
    let mut limited = Command::new("bash");
    limited.args(["-c", "ulimit -f 100; exec \"$@\"", "bash"]).arg(test.get_program()).args(test.get_args());
    limited.envs(test.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = limited.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(kept(folder.path(), "flows").len() > 150);
}

/// Name, number and length of every file, when nothing changed while they were looked at.
fn still(folder: &Path) -> Option<Vec<(PathBuf, u64, u64)>> {
    let look = || {
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).ok()? {
            let entry = entry.ok()?;
            let metadata = entry.metadata().ok()?;
            all.push((entry.path(), metadata.ino(), metadata.len()));
        }
        all.sort();
        Some(all)
    };
    let first = look()?;
    (look()? == first).then_some(first)
}

#[test]
fn the_budget_is_never_exceeded() {
    const BUDGET: u64 = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let foreign = ["flows-notes.jsonl", "flows-20260101T000000Z.jsonl.gz", "other.jsonl"];
    for name in foreign {
        fs::write(folder.path().join(name), "{\"n\":0}\n").unwrap();
    }
    // From an earlier run with more room.
    fs::write(folder.path().join("flows-20260101T000000Z.jsonl"), batch(0, 3000, 500).bytes).unwrap();
    let kinds = ["flows", "findings", "assets"];
    let wanted = kinds.map(|kind| (kind, Target::File(folder.path().join(format!("{kind}.jsonl"))))).to_vec();
    let keeping = Keeping { rotate: None, keep_bytes: Some(BUDGET), keep_for: Age::Forever };
    let outputs = Outputs::open(wanted, keeping).unwrap();
    let done = AtomicBool::new(false);
    let (looks, most) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let (mut looks, mut most) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                let Some(files) = still(folder.path()) else { continue };
                let ours = files.iter().filter(|(path, ..)| !foreign.iter().any(|name| path.ends_with(name)));
                most = most.max(ours.map(|(.., length)| length).sum::<u64>());
                looks += 1;
            }
            (looks, most)
        });
        for n in 0..400 {
            for (kind, bytes) in kinds.into_iter().zip([700, 400, 5000]) {
                outputs.put(kind, batch(n * 10, 10, bytes));
            }
            if n % 50 == 0 {
                outputs.rotate_now();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        outputs.close(LONG);
        done.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    });
    assert!(looks > 50, "{looks}");
    assert!(most <= BUDGET, "{most} bytes");
    assert!(most > BUDGET / 2, "{most} bytes: much room was not used");
    assert!(outputs.counts().iter().all(|count| count.written == 4000 && count.error.is_none()));
    // The newest records are there, and nobody else's files are gone.
    for kind in kinds {
        assert_eq!(kept(folder.path(), kind).last().copied(), Some(3999), "{kind}");
    }
    assert!(foreign.iter().all(|name| folder.path().join(name).exists()));
}

#[test]
fn a_document_is_old_or_new() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let document = |n: u64| format!("{n}:{}", "x".repeat(300_000));
    replace(&path, |out| out.write_all(document(0).as_bytes())).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(fs::read_to_string(&path).unwrap().len(), document(1).len());
            }
        });
        for n in 1..10 {
            replace(&path, |out| out.write_all(document(n).as_bytes())).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    let failed: io::Result<()> = replace(&path, |out| {
        out.write_all(b"half of")?;
        Err(io::Error::other("as the test wants it"))
    });
    assert!(failed.is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), document(9));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_document_is_made_like_any_file() {
    let folder = tempfile::tempdir().unwrap();
    let [plain, new, link] = ["plain", "new", "link"].map(|name| folder.path().join(name));
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    File::create(&plain).unwrap();
    replace(&new, |out| out.write_all(b"1")).unwrap();
    assert_eq!(mode(&new), mode(&plain));
    fs::set_permissions(&new, Permissions::from_mode(0o604)).unwrap();
    symlink("new", &link).unwrap();
    replace(&link, |out| out.write_all(b"2")).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!((fs::read(&new).unwrap(), mode(&new)), (b"2".to_vec(), 0o604));
    assert!(replace(&folder.path().join("none/new"), |_| Ok(())).is_err());
    assert!(replace(folder.path(), |_| Ok(())).is_err());
}
