//! What other people and other programs write and this one reads: databases of places, reports, flow records, the state of a
//! sensor, bundles of evidence, packs of signatures, requests for the page of metrics.
//!
//! In: bytes. Out: nothing, or a panic that says which promise was broken.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bordertap::again::{Merged, Named, Recheck, merge};
use bordertap::collect::Judging;
use bordertap::diff::diff;
use bordertap::evidence::{Bundle, MANIFEST};
use bordertap::join::{Knowledge, Stored};
use bordertap::metrics;
use bordertap::place::{self, Database, Places, Wanted};
use bordertap::policy::Policy;
use bordertap::record::spool::Spool;
use bordertap::record::{Baseline, FlowRecord, Origin};
use bordertap::report::flow::{self, Learnt, Writer};
use bordertap::report::{Report, jsonl, read, text};
use bordertap::signature::{Key, Pack, Signatures, Used};
use bordertap::view::Board;
use serde_json::Value;

use super::{RECORDS_MAX, START, Scratch, check_record};

/// Between the parts of one input: a byte that JSON and text do not have.
pub const SPLIT: u8 = 0x1e;
/// Parts of one input that are looked at.
const PARTS_MAX: usize = 6;
/// Places that are asked for.
const ASKED: &[&str] =
    &["1.2.3.4", "10.0.0.1", "203.0.113.9", "2001:200::7", "64:ff9b::102:304", "255.255.255.255", "::"];

/// The parts as one input.
pub fn written(parts: &[&[u8]]) -> Vec<u8> {
    parts.join(&SPLIT)
}

fn parts(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == SPLIT).take(PARTS_MAX)
}

/// What is built in.
fn judging() -> &'static Judging {
    static BUILT_IN: OnceLock<Judging> = OnceLock::new();
    BUILT_IN.get_or_init(|| Judging {
        signatures: Arc::new(Signatures::builtin().unwrap()),
        places: Arc::new(Places::builtin()),
        policy: Arc::new(Policy::new(None, None, None).unwrap()),
        baseline: None,
    })
}

/// A line that a terminal shows as one line.
fn is_plain(text: &str) {
    assert!(!text.is_empty() && !text.contains(char::is_control), "not a plain line: {text:?}");
}

/// A reason. What others wrote may stand in it: who shows it takes out what moves a terminal.
fn is_said(reason: &str) {
    assert!(!reason.is_empty(), "refused without a reason");
}

/// A database of countries or of autonomous systems.
pub fn places(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let wanted = if first % 2 == 0 { Wanted::Country } else { Wanted::Asn };
    let database = match Database::from_bytes(bytes.to_vec(), Path::new("any.mmdb"), wanted) {
        Ok(database) => database,
        Err(refused) => return is_said(&refused.to_string()),
    };
    is_plain(database.title());
    let file = Scratch::new(bytes);
    let places = match wanted {
        Wanted::Country => Places::builtin().with_country_db(&file.0),
        Wanted::Asn => Places::builtin().with_asn_db(&file.0),
    };
    let places = places.expect("the bytes are good, and their file is not");
    let front: Option<&[u8; 16]> = bytes.first_chunk();
    let drawn = front.map(|front| IpAddr::from(*front));
    for address in ASKED.iter().map(|text| text.parse().unwrap()).chain(drawn) {
        let place = places.decide(None, Some(address), judging().policy.homes());
        let codes = [place.country, place.looked_up].into_iter().flatten();
        assert!(codes.into_iter().all(|code| code.code().bytes().all(|byte| byte.is_ascii_uppercase())));
        assert!(place.confidence <= 100, "{place:?}");
        place.notes.iter().for_each(|note| is_plain(note));
        place::explain(&places, address).iter().for_each(|line| is_plain(line));
    }
}

/// A report as it is written and as it is read again.
fn again(report: &Report) -> Value {
    let mut written = Vec::new();
    jsonl::document(report, &mut written).unwrap();
    let json: Value = serde_json::from_slice(&written).expect("a report that is no JSON");
    let file = Scratch::new(&written);
    let read = read::read(&file.0).expect("a report that cannot be read again");
    let mut second = Vec::new();
    jsonl::document(&read, &mut second).unwrap();
    assert!(written == second, "a report is another one when it was read");
    json
}

/// Reports in JSON: each beside the one before it, and all of them as one.
pub fn reports(data: &[u8]) {
    let mut reports: Vec<Named> = Vec::new();
    for (number, part) in parts(data).enumerate() {
        let file = Scratch::new(part);
        match read::read(&file.0) {
            // The grammar allows half of a surrogate pair, which no text can hold; in `sums`, which are not read yet, it stays.
            Ok(_) if serde_json::from_slice::<Value>(part).is_err() => {}
            Ok(report) => reports.push(Named { name: format!("{number}.json"), report }),
            Err(refused) => is_said(&refused.to_string()),
        }
    }
    for Named { report, .. } in &reports {
        again(report);
        let origin = Origin { name: "before".into(), sha256: String::new() };
        let baseline = Baseline::new(origin, &report.findings, &report.assets);
        assert!(report.findings.iter().all(|finding| baseline.has_finding(&finding.id)), "a finding that is not known");
        let mut page = Vec::new();
        text::write(report, text::Style { color: false, verbose: true }, &mut page).unwrap();
        let page = String::from_utf8(page).expect("text that is no UTF-8");
        let moves = page.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(moves, None, "a control character in the text");
    }
    for pair in reports.windows(2) {
        let [old, new] = pair else { continue };
        let between = diff((&old.name, &old.report), (&new.name, &new.report));
        serde_json::to_vec(&between).expect("a difference that is no JSON");
    }
    match merge(reports, judging()) {
        Ok(Merged { report, .. }) => {
            again(&report);
        }
        Err(refused) => is_said(&refused.to_string()),
    }
}

/// Flow records, a line of JSON each: read, kept, written and read again, and judged.
pub fn records(data: &[u8]) {
    let mut spool = Spool::default();
    let mut kept = Vec::new();
    for line in data.split(|byte| *byte == b'\n').take(RECORDS_MAX) {
        match flow::read(line) {
            Ok(record) => {
                check_record(&record);
                spool.push(&record, &[7]);
                kept.push(line_of(&record));
            }
            Err(refused) => is_said(&refused),
        }
    }
    let mut next = kept.iter();
    let back = spool.read(|record, whens| {
        assert_eq!(whens, [7]);
        let line = line_of(record);
        assert_eq!(next.next().map(Vec::as_slice), Some(line.as_slice()), "a record is another one when it was kept");
        // Facts that somebody else wrote in another order come into ours at once.
        let again = |line: &[u8]| line_of(&flow::read(line).expect("a record that cannot be read again"));
        let once = again(&line);
        let twice = again(&once);
        assert_eq!(String::from_utf8(once), String::from_utf8(twice), "a record is another one when it was read");
        Ok(())
    });
    back.expect("records that cannot be read back");
    let file = Scratch::new(data);
    let recheck = Recheck { judging: judging().clone(), keep_flows: true, mergeable: true };
    let scanned = recheck.run(&[file.0.display().to_string()]).expect("one file is not twice the same");
    assert!(scanned.report.ledger.adds_up(), "the ledger does not add up: {:?}", scanned.report.ledger);
    again(&scanned.report);
    let mut written = Vec::new();
    scanned.flows.write(&mut written).unwrap();
    for line in written.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        serde_json::from_slice::<Value>(line).expect("a record that is no JSON");
    }
}

fn line_of(record: &FlowRecord) -> Vec<u8> {
    let mut line = Vec::new();
    Writer::new().write(record, &Learnt::default(), &mut line);
    line
}

/// What a sensor knew when it ended (`--state`).
pub fn state(data: &[u8]) {
    let Ok(stored) = serde_json::from_slice::<Stored>(data) else { return };
    let mut knowledge = Knowledge::default();
    match knowledge.restore(stored, &judging().signatures) {
        Ok(()) => {
            let context = judging().context();
            let once = knowledge.store(context);
            let text = serde_json::to_vec(&once).expect("a state that is no JSON");
            let read: Stored = serde_json::from_slice(&text).expect("a state that cannot be read again");
            let mut restored = Knowledge::default();
            restored.restore(read, &judging().signatures).expect("a state that is not taken again");
            let twice = serde_json::to_vec(&restored.store(context)).unwrap();
            assert!(text == twice, "a state is another one when it was read");
            knowledge.join(context);
        }
        Err(refused) => is_said(&refused),
    }
}

/// A folder that exists while this does.
struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A bundle of evidence: the manifest, `SHA256SUMS`, a signature, and the packets that stand in every file it names.
pub fn evidence(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == SPLIT);
    let [manifest, sums, signature, packets] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let folder = Folder(Scratch::new(&[]).0.with_extension("bundle"));
    std::fs::create_dir_all(&folder.0).unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.0.join(name), bytes).unwrap();
    put(MANIFEST, manifest);
    put(bordertap::evidence::SUMS, sums);
    if !signature.is_empty() {
        put(bordertap::evidence::SIGNATURE, signature);
    }
    put("finding.pcapng", packets);
    let bundle = match Bundle::open(&folder.0) {
        Ok(bundle) => bundle,
        Err(refused) => return is_said(&refused.to_string()),
    };
    let named = bundle.manifest.files.iter().take(RECORDS_MAX).map(|proof| proof.file.as_str());
    let ours = |name: &&str| name.ends_with(".pcapng") && name.len() < 200 && !name.contains(['/', '\\', '\0']);
    named.filter(ours).for_each(|name| put(name, packets));
    let checked = bundle.check(judging(), None);
    let wrong = |file: &bordertap::evidence::FileVerdict| !file.same;
    assert_eq!(checked.good, checked.damage.is_empty() && !checked.files.iter().any(wrong), "{checked:?}");
    let digest = |proof: &bordertap::evidence::Proof| proof.sha256.len() == 64;
    assert!(!checked.good || bundle.manifest.files.iter().all(digest), "good without digests");
    serde_json::to_vec(&checked).expect("a verdict that is no JSON");
    // What others wrote stands in them: the terminal gets it without what moves it.
    checked.damage.iter().chain(&checked.notes).for_each(|line| is_plain(&bordertap::evidence::plain(line)));
}

/// A pack of signatures: its public key, its signature, its text.
pub fn pack(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == SPLIT);
    let [key, proof, bytes] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let file = Scratch::new(key);
    match Key::new(&file.0.display().to_string()) {
        Ok(key) => match Pack::verify("any.pack", bytes, &String::from_utf8_lossy(proof), &key) {
            Ok(pack) => assert_eq!(Pack::bytes(pack.seal.serial, &pack.files), bytes, "another pack than was signed"),
            Err(refused) => assert!(refused.starts_with("refused: "), "{refused}"),
        },
        Err(refused) => is_said(&refused),
    }
    if let Ok(text) = str::from_utf8(bytes) {
        match Pack::contents(text) {
            Ok((serial, files)) => {
                let again = Pack::bytes(serial, &files);
                let (same, names) = Pack::contents(str::from_utf8(&again).unwrap()).unwrap();
                assert_eq!((serial, &files), (same, &names), "a pack is another one when it was written");
                assert!(files.iter().all(|(name, _)| !name.contains(['/', '\\'])), "a name with a folder");
            }
            Err(refused) => is_said(&refused),
        }
    }
    let remembered = Scratch::new(bytes);
    if let Ok(used) = Used::remembered(&remembered.0) {
        let used = used.expect("the file is there");
        assert!(used.sha256.is_some_and(|sha256| sha256.len() == 64), "remembered without a digest");
    }
}

/// What a client asks of the page of metrics, byte by byte.
pub fn request(data: &[u8]) {
    let board = Board::default();
    let Some(answer) = metrics::reply(data, &board, START) else { return };
    let text = String::from_utf8(answer).expect("an answer that is no UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer without an end of its head");
    assert!(head.starts_with("HTTP/1.1 ") && !head.contains("\r\n\r\n"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("no length");
    let length: usize = length.parse().expect("a length that is no number");
    assert!(body.is_empty() || body.len() == length, "{text}");
    let ends = |end: usize| data.get(..end).is_some_and(|part| metrics::reply(part, &board, START).is_some());
    let first = (0..data.len()).find(|end| ends(*end)).unwrap_or(data.len());
    assert!((first..data.len()).all(ends), "an answer that is taken back");
}
