//! Names, times and budgets of files with a clock of the test; what the writer counts when a sink fails as it likes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::file::FileSink;
use super::queue::Queue;
use super::store::{Names, Store};
use super::writer::{self, Clock, Sink, Stop, Wrote, piece};
use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

/// Sinks for files of these names in one store.
fn sinks(folder: &Path, keeping: Keeping, files: &[&str], now: Timestamp) -> Vec<FileSink> {
    let paths: Vec<_> = files.iter().map(|name| folder.join(name)).collect();
    let store = Arc::new(Store::new(keeping, paths.iter().map(|path| Names::new(path)).collect()));
    let open = |(n, path)| FileSink::open(path, store.clone(), n, now).unwrap();
    paths.into_iter().enumerate().map(open).collect()
}

fn put(sink: &mut FileSink, records: &str, now: &str) {
    sink.tick(at(now)).unwrap();
    let mut rest = records.as_bytes();
    while !rest.is_empty() {
        let wrote = sink.write(rest, at(now));
        assert!(wrote.stop.is_none(), "{wrote:?}");
        rest = &rest[wrote.bytes..];
    }
}

#[test]
fn targets_are_read_and_shown_as_typed() {
    for (typed, target) in [
        ("-", Target::Stdout),
        ("flows.jsonl", Target::File("flows.jsonl".into())),
        ("./syslog:", Target::File("./syslog:".into())),
        ("unix:/run/collector", Target::Unix("/run/collector".into())),
        ("syslog:", Target::Syslog("/dev/log".into())),
        ("syslog:/run/log", Target::Syslog("/run/log".into())),
    ] {
        assert_eq!(Target::parse(typed), Ok(target.clone()));
        assert_eq!(target.to_string(), typed);
    }
    for wrong in ["", "unix:", "folder/"] {
        assert!(Target::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn only_own_names_are_closed_files() {
    let folder = tempfile::tempdir().unwrap();
    let own = ["flows-20261125T220000Z.jsonl", "flows-20261125T220000Z-1.jsonl", "flows-20261125T220000Z-12.jsonl"];
    let foreign = [
        "flows.jsonl",
        "flows-.jsonl",
        "flows-20261125T220000Z.jsonl.gz",
        "flows-20261125T220000.jsonl",
        "flows-20261125T220000Z-0.jsonl",
        "flows-20261125T220000Z-01.jsonl",
        "flows-20261125T220000Z-.jsonl",
        "flows-20261125T220000Z-99999999999999999999.jsonl",
        "flows-2026112ST220000Z.jsonl",
        "myflows-20261125T220000Z.jsonl",
        "findings-20261125T220000Z.jsonl",
        "flows-old-20261125T220000Z.jsonl",
    ];
    for name in own.iter().chain(&foreign) {
        fs::write(folder.path().join(name), "1\n").unwrap();
    }
    // A folder or a link of such a name is not a file that was closed here.
    fs::create_dir(folder.path().join("flows-20200101T000000Z.jsonl")).unwrap();
    std::os::unix::fs::symlink("flows.jsonl", folder.path().join("flows-20200101T000001Z.jsonl")).unwrap();
    let keeping = Keeping { keep_bytes: Some(1), ..Keeping::default() };
    Store::new(keeping, vec![Names::new(&folder.path().join("flows.jsonl"))]).fit().unwrap();
    let mut left = foreign.to_vec();
    left.extend(["flows-20200101T000000Z.jsonl", "flows-20200101T000001Z.jsonl"]);
    left.sort_unstable();
    assert_eq!(names(folder.path()), left);
}

#[test]
fn files_begin_anew_with_the_hour() {
    let folder = tempfile::tempdir().unwrap();
    let keeping = Keeping { rotate: Some(Rotate::Every(Duration::from_secs(3600))), ..Keeping::default() };
    let mut sink = sinks(folder.path(), keeping, &["flows.jsonl"], at("2026-11-25T21:59:00Z")).remove(0);
    put(&mut sink, "1\n", "2026-11-25T21:59:59Z");
    put(&mut sink, "2\n3\n", "2026-11-25T22:00:00Z");
    put(&mut sink, "4\n", "2026-11-25T22:59:59.9Z");
    // No record comes, the hour ends all the same; an hour without records leaves no file.
    sink.tick(at("2026-11-25T23:00:01Z")).unwrap();
    sink.tick(at("2026-11-26T03:00:01Z")).unwrap();
    put(&mut sink, "5\n", "2026-11-26T03:10:00Z");
    let closed = ["flows-20261125T215959Z.jsonl", "flows-20261125T220000Z.jsonl"];
    assert_eq!(names(folder.path()), [closed[0], closed[1], "flows.jsonl"]);
    assert_eq!(closed.map(|name| text(folder.path().join(name))), ["1\n", "2\n3\n4\n"]);
    assert_eq!(text(folder.path().join("flows.jsonl")), "5\n");
}

#[test]
fn files_begin_anew_at_a_length_and_names_of_one_second_differ() {
    let folder = tempfile::tempdir().unwrap();
    let keeping = Keeping { rotate: Some(Rotate::At(6)), ..Keeping::default() };
    let mut sink = sinks(folder.path(), keeping, &["flows"], at("2026-11-25T22:00:00Z")).remove(0);
    // A record that is longer than a file may be is a file of its own.
    put(&mut sink, "1\n2\n3\n4\nlong one\n5\n", "2026-11-25T22:00:00Z");
    sink.rotate(at("2026-11-25T22:00:00Z")).unwrap();
    sink.rotate(at("2026-11-25T22:00:00Z")).unwrap();
    let stem = "flows-20261125T220000Z";
    let all = ["", "-1", "-2", "-3"].map(|clash| text(folder.path().join(format!("{stem}{clash}"))));
    assert_eq!(all, ["1\n2\n3\n", "4\n", "long one\n", "5\n"]);
    assert_eq!(text(folder.path().join("flows")), "");
}

#[test]
fn an_incomplete_last_line_is_cut_off_and_a_whole_file_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.jsonl");
    let long = "x".repeat(200_000);
    for (there, left, repaired) in [
        (format!("1\n2\n{long}"), "1\n2\n", 1),
        ("1\n2\n".to_owned(), "1\n2\n", 0),
        ("half".to_owned(), "", 1),
        (String::new(), "", 0),
    ] {
        fs::write(&path, there).unwrap();
        let mut sink = sinks(folder.path(), Keeping::default(), &["flows.jsonl"], at("2026-11-25T22:00:00Z")).remove(0);
        assert_eq!(text(&path), left);
        assert_eq!(sink.repaired(), repaired);
        put(&mut sink, "3\n", "2026-11-25T22:00:00Z");
        assert_eq!(text(&path), format!("{left}3\n"));
    }
}

#[test]
fn the_oldest_files_of_all_kinds_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let keeping = Keeping { keep_bytes: Some(32), ..Keeping::default() };
    let mut both = sinks(folder.path(), keeping, &["a.jsonl", "b.jsonl"], at("2026-11-25T22:00:00Z"));
    // A file holds an eighth of the budget: 4 bytes, two records.
    for minute in 0..4 {
        for (sink, name) in both.iter_mut().zip(["a", "b"]) {
            put(sink, "1\n2\n", &format!("2026-11-25T22:0{minute}:0{}Z", u8::from(name == "b")));
        }
    }
    assert_eq!(names(folder.path()).len(), 8, "32 bytes");
    let mut left = names(folder.path());
    // The next record finds its own file full; what goes is the oldest closed file.
    put(&mut both[1], "9\n", "2026-11-25T22:09:00Z");
    assert!(left.contains(&"a-20261125T220000Z.jsonl".to_owned()));
    left.retain(|name| name != "a-20261125T220000Z.jsonl");
    left.push("b-20261125T220301Z.jsonl".to_owned());
    left.sort();
    assert_eq!(names(folder.path()), left);
    let big = format!("{}\n", "x".repeat(40));
    let wrote = both[0].write(big.as_bytes(), at("2026-11-25T22:10:00Z"));
    assert!(matches!(wrote, Wrote { bytes: 0, stop: Some(Stop::Never(41, _)) }), "{wrote:?}");
}

#[test]
fn old_files_go_by_the_time_of_their_last_record() {
    let folder = tempfile::tempdir().unwrap();
    let now = at("2026-11-25T22:00:00Z");
    for (name, written) in [
        ("flows-20260101T000000Z.jsonl", "2026-05-25T21:59:59Z"),
        ("flows-20260102T000000Z.jsonl", "2026-05-25T22:00:00Z"),
        ("other-20260101T000000Z.jsonl", "2020-01-01T00:00:00Z"),
        ("flows.jsonl.bak", "2020-01-01T00:00:00Z"),
    ] {
        let file = File::create(folder.path().join(name)).unwrap();
        file.set_modified(at(written).try_into().unwrap()).unwrap();
    }
    let mut sink = sinks(folder.path(), Keeping::default(), &["flows.jsonl"], now).remove(0);
    sink.tick(now).unwrap();
    let kept = ["flows-20260102T000000Z.jsonl", "flows.jsonl", "flows.jsonl.bak", "other-20260101T000000Z.jsonl"];
    assert_eq!(names(folder.path()), kept);
    // It is looked for again an hour later, not before.
    sink.tick(at("2026-11-25T22:59:00Z")).unwrap();
    assert_eq!(names(folder.path()), kept);
    sink.tick(at("2026-11-25T23:00:00Z")).unwrap();
    assert_eq!(names(folder.path()), kept[1..]);
}

#[test]
fn a_file_that_was_taken_away_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let now = "2026-11-25T22:00:00Z";
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let mut sink = sinks(&inner, Keeping::default(), &["flows.jsonl"], at(now)).remove(0);
    put(&mut sink, "1\n", now);
    fs::rename(inner.join("flows.jsonl"), inner.join("moved")).unwrap();
    put(&mut sink, "2\n", now);
    assert_eq!((text(inner.join("moved")), text(inner.join("flows.jsonl"))), ("1\n".to_owned(), "2\n".to_owned()));
    // Emptied by somebody: no hole of zeros.
    File::create(inner.join("flows.jsonl")).unwrap();
    put(&mut sink, "3\n", now);
    assert_eq!(text(inner.join("flows.jsonl")), "3\n");
    fs::remove_dir_all(&inner).unwrap();
    let wrote = sink.write(b"4\n", at(now));
    assert!(matches!(wrote, Wrote { bytes: 0, stop: Some(Stop::Failed(_)) }), "{wrote:?}");
    fs::create_dir(&inner).unwrap();
    put(&mut sink, "5\n", now);
    assert_eq!(text(inner.join("flows.jsonl")), "5\n");
}

#[test]
fn pieces_are_whole_records() {
    assert_eq!(piece(b"1\n22\n333\n", 100), b"1\n22\n333\n");
    assert_eq!(piece(b"1\n22\n333\n", 6), b"1\n22\n");
    assert_eq!(piece(b"1\n22\n333\n", 1), b"1\n");
    assert_eq!(piece(b"333\n1\n", 2), b"333\n");
}

/// What a sink does when it is called.
#[derive(Clone, Debug)]
enum Does {
    Takes(usize),
    Later,
    Never,
    Fails,
    Ends,
}

/// A sink that does what is written down, and then takes everything.
struct Scripted {
    script: Vec<Does>,
    took: Arc<Mutex<Vec<u8>>>,
}

impl Sink for Scripted {
    fn write(&mut self, records: &[u8], _: Timestamp) -> Wrote {
        let error = || io::Error::other("as written down");
        let stop = match self.script.pop() {
            None => return self.take(records),
            Some(Does::Takes(bytes)) => return self.take(piece(records, bytes)),
            Some(Does::Later) => Stop::Later(error()),
            Some(Does::Never) => Stop::Never(piece(records, 1).len(), error()),
            Some(Does::Fails) => Stop::Failed(error()),
            Some(Does::Ends) => Stop::Ended(error()),
        };
        Wrote { bytes: 0, stop: Some(stop) }
    }
}

impl Scripted {
    fn take(&self, records: &[u8]) -> Wrote {
        self.took.lock().unwrap().extend_from_slice(records);
        Wrote { bytes: records.len(), stop: None }
    }
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        8 => (1_usize..40).prop_map(Does::Takes),
        2 => Just(Does::Later),
        2 => Just(Does::Never),
        2 => Just(Does::Fails),
        1 => Just(Does::Ends),
    ]
}

fn batch(first: u64, records: u64) -> Batch {
    let bytes = (first..first + records).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>().into_bytes();
    Batch { bytes, records }
}

fn numbers(bytes: &[u8]) -> Vec<u64> {
    let lines = std::str::from_utf8(bytes).unwrap().lines();
    lines.map(|line| serde_json::from_str::<BTreeMap<String, u64>>(line).unwrap()["n"]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_record_is_written_or_lost(
        sizes in prop::collection::vec(1_u64..9, 1..30),
        script in prop::collection::vec(does(), 0..25),
        room in 200_usize..3000,
    ) {
        let took = Arc::new(Mutex::new(Vec::new()));
        let queue = Arc::new(Queue::new("scripted".to_owned(), room));
        let clock: Clock = Arc::new(|| Timestamp::UNIX_EPOCH);
        writer::start(Box::new(Scripted { script, took: took.clone() }), queue.clone(), clock).unwrap();
        let mut sent = 0;
        for size in sizes {
            queue.put(&Arc::new(batch(sent, size)));
            sent += size;
            if size % 3 == 0 {
                queue.rotate();
            }
        }
        queue.close();
        queue.wait(Duration::from_secs(20));
        let count = queue.count();
        prop_assert_eq!(count.written + count.dropped, sent);
        let took = took.lock().unwrap();
        let numbers = numbers(&took);
        prop_assert_eq!(numbers.len() as u64, count.written);
        prop_assert_eq!(took.len() as u64, count.bytes);
        prop_assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    }

    #[test]
    fn files_hold_what_was_counted(
        sizes in prop::collection::vec((0_usize..2, 1_u64..9, any::<bool>()), 1..40),
        rotate in prop_oneof![Just(None), (20_u64..200).prop_map(|n| Some(Rotate::At(n)))],
        keep_bytes in prop_oneof![Just(None), (100_u64..2000).prop_map(Some)],
    ) {
        let folder = tempfile::tempdir().unwrap();
        let kinds = ["flows", "findings"];
        let wanted = kinds.map(|kind| (kind, Target::File(folder.path().join(format!("{kind}.jsonl"))))).to_vec();
        let keeping = Keeping { rotate, keep_bytes, keep_for: Age::Forever };
        let outputs = Outputs::open(wanted, keeping).unwrap();
        let mut sent = [0; 2];
        for (kind, size, turn) in sizes {
            outputs.put(kinds[kind], batch(sent[kind], size));
            sent[kind] += size;
            if turn {
                outputs.rotate_now();
            }
        }
        outputs.close(Duration::from_secs(20));
        for ((count, kind), sent) in outputs.counts().iter().zip(kinds).zip(sent) {
            prop_assert_eq!(count.written + count.dropped, sent);
            let mut there = Vec::new();
            for name in names(folder.path()).iter().filter(|name| name.starts_with(kind)) {
                there.extend(numbers(&fs::read(folder.path().join(name)).unwrap()));
            }
            there.sort_unstable();
            there.dedup();
            match keep_bytes {
                None => prop_assert_eq!(there, (0..sent).collect::<Vec<_>>()),
                Some(_) => prop_assert!(there.len() as u64 <= count.written),
            }
        }
        let held: u64 = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        prop_assert!(keep_bytes.is_none_or(|budget| held <= budget), "{held} {keep_bytes:?}");
    }
}

#[test]
fn one_file_takes_one_kind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    std::os::unix::fs::symlink(folder.path(), folder.path().join("here")).unwrap();
    let again = folder.path().join("here/records");
    let wanted = vec![("flows", Target::File(path)), ("findings", Target::File(again))];
    assert!(matches!(Outputs::open(wanted, Keeping::default()), Err(OutputError::Twice(_))));
    let wanted = vec![("flows", Target::File(folder.path().join("nowhere/records")))];
    assert!(matches!(Outputs::open(wanted, Keeping::default()), Err(OutputError::Open { .. })));
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let wanted = vec![("flows", Target::File(socket))];
    assert!(matches!(Outputs::open(wanted, Keeping::default()), Err(OutputError::Socket(_))));
}

/// However much there is to write, a file and a pipe take so much at a time.
#[test]
fn bytes_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let now = at("2026-11-25T22:00:00Z");
    let records = b"a record\n".repeat(file::PIECE_BYTES_MAX as usize / 9 + 100);
    let mut sink = sinks(folder.path(), Keeping::default(), &["a.jsonl"], now).remove(0);
    let wrote = sink.write(&records, now);
    let most = file::PIECE_BYTES_MAX as usize / 9 * 9;
    assert!(wrote.stop.is_none() && wrote.bytes == most, "{wrote:?}");
    assert_eq!(folder.path().join("a.jsonl").metadata().unwrap().len(), most as u64);
    let path = folder.path().join("pipe");
    File::create(&path).unwrap();
    let wrote = stream::Pipe::new(path.clone()).write(&records, now);
    assert!(wrote.bytes > 0 && path.metadata().unwrap().len() <= stream::STREAM_BYTES_MAX as u64, "{wrote:?}");
}

/// More closed files than are thought of at a time: the oldest go, as many as it takes.
#[test]
fn closed_files_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let now = at("2026-11-25T22:00:00Z");
    let names = Names::new(&folder.path().join("a.jsonl"));
    let files = store::LISTED_MAX + 50;
    for n in 0..files as u32 {
        fs::write(names.closed(now, n), "123456789\n").unwrap();
    }
    let budget = 10 * 10;
    let store = Store::new(Keeping { keep_bytes: Some(budget), ..Keeping::default() }, vec![names]);
    store.fit().unwrap();
    let left = self::names(folder.path());
    let closed = Names::new(&folder.path().join("a.jsonl"));
    let newest = (files as u32 - 10..files as u32).map(|n| closed.closed(now, n));
    let newest = newest.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    assert_eq!(left, newest.collect::<Vec<_>>());
}

/// Files that began in the same second have names of their own, up to a number; then a file stays as it is, and it is said.
#[test]
fn names_of_one_second() {
    let folder = tempfile::tempdir().unwrap();
    let now = at("2026-11-25T22:00:00Z");
    let current = folder.path().join("a.jsonl");
    let names = Names::new(&current);
    for n in 1..store::CLASHES_MAX {
        File::create(names.closed(now, n)).unwrap();
    }
    let store = Store::new(Keeping::default(), vec![names]);
    fs::write(&current, "1\n").unwrap();
    store.rotate(0, &current, now).unwrap();
    fs::write(&current, "2\n").unwrap();
    let error = store.rotate(0, &current, now).unwrap_err();
    assert_eq!((error.kind(), text(&current)), (io::ErrorKind::AlreadyExists, "2\n".to_owned()));
}
