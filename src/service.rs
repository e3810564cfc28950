//! What `bordertap live` runs: a sensor with its outputs, its memory of before, and somebody who has wishes.
//!
//! In: sources, outputs, signals. Out: records on outputs as they arise, the picture on the board, what is known on disk.
//! Nothing here makes the workers wait: what takes long makes the next turn come later.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::capture::Source;
use crate::collect::Judging;
use crate::join::{Knowledge, Stored};
use crate::output::{Batch, Outputs, replace};
use crate::record::{Asset, Finding};
use crate::report::flow::JsonLines;
use crate::report::{Change, Report, Sink, cef, eve, jsonl};
use crate::scan::Flows;
use crate::sensor::{Changes, Ended, Sensor, Taker, Wish};
use crate::time::Time;
use crate::view::{Board, View};

/// Kinds of records that outputs take.
pub const FLOWS: &str = "flows";
/// As [`FLOWS`].
pub const FINDINGS: &str = "findings";
/// As [`FLOWS`].
pub const ASSETS: &str = "assets";
/// As [`FLOWS`]: flows and findings as Suricata's events.
pub const EVE: &str = "eve";
/// As [`FLOWS`]: findings for SIEMs.
pub const CEF: &str = "cef";

/// How a record is written as a line.
type WriteLine<T> = fn(&Change<'_, T>, &mut Vec<u8>);
/// How findings are written, by kind of output.
const FINDING_LINES: &[(&str, WriteLine<Finding>)] = &[(FINDINGS, jsonl::change), (CEF, cef::line), (EVE, eve::alert)];
/// How assets are.
const ASSET_LINES: &[(&str, WriteLine<Asset>)] = &[(ASSETS, jsonl::change)];

/// What is known is written down so often, and never takes more than a part of the time.
const SAVE_SECONDS: u64 = 60;
const SAVE_PAUSE: u32 = 20;
/// Outputs get so long to write what waits at the end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// The wall clock: packets of interfaces have its time.
pub fn wall_clock(_: Time) -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::new(now.as_secs() as i64, now.subsec_nanos().into())
}

/// How grave a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grave {
    /// Good to know.
    Info,
    /// Something should be done.
    Warning,
}

/// Wishes that signals set.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Read signatures, policy and databases again.
    pub reload: Arc<AtomicBool>,
    /// Write the report now.
    pub report: Arc<AtomicBool>,
}

/// Reads what flows are judged by again.
pub type Reload<'a> = &'a dyn Fn() -> Result<Judging, String>;

/// What a sensor is surrounded by.
pub struct Service<'a> {
    /// Where records go.
    pub outputs: &'a Outputs,
    /// Where the report goes, when it is wished for.
    pub write_report: &'a dyn Fn(&Report) -> Result<(), String>,
    /// The folder with what is known from before.
    pub state: Option<&'a Path>,
    /// What signals wish.
    pub wishes: Wishes,
    /// Reads again.
    pub reload: Reload<'a>,
    /// Where the picture hangs.
    pub board: &'a Board,
    /// Takes messages.
    pub say: &'a dyn Fn(Grave, &str),
    /// Called with every picture.
    pub each_turn: &'a mut dyn FnMut(&View),
}

impl Service<'_> {
    /// Runs a sensor to its end.
    pub fn run(self, sensor: Sensor<'_>, sources: Vec<Box<dyn Source>>) -> Ended {
        let mut taking = Taking {
            findings: Changes::new(),
            assets: Changes::new(),
            reloads: [0; 2],
            warned: Vec::new(),
            saved: Instant::now(),
            save_pause: Duration::from_secs(SAVE_SECONDS),
            status: File::open("/proc/self/status").ok(),
            service: self,
        };
        let mut ended = sensor.run(sources, &mut taking);
        let service = taking.service;
        service.outputs.close(CLOSE_PATIENCE);
        service.outputs.note(&mut ended.report.ledger);
        if let Some(folder) = service.state
            && let Err(error) = save(folder, &ended.knowledge, &ended.judging)
        {
            (service.say)(Grave::Warning, &format!("{}: what is known could not be kept: {error}", folder.display()));
        }
        ended
    }
}

struct Taking<'a> {
    service: Service<'a>,
    findings: Changes<Finding>,
    assets: Changes<Asset>,
    /// How often reading again went well, and how often not.
    reloads: [u64; 2],
    warned: Vec<String>,
    saved: Instant,
    save_pause: Duration,
    /// Where the system tells how much memory is used.
    status: Option<File>,
}

impl Taking<'_> {
    fn say(&self, grave: Grave, text: &str) {
        (self.service.say)(grave, text);
    }

    /// Memory of the process that is resident.
    fn resident_bytes(&mut self) -> Option<u64> {
        let status = self.status.as_mut()?;
        status.rewind().ok()?;
        let mut text = String::new();
        status.read_to_string(&mut text).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    }

    fn save_now_and_then(&mut self, knowledge: &Knowledge, judging: &Judging) {
        let Some(folder) = self.service.state.filter(|_| self.saved.elapsed() >= self.save_pause) else { return };
        let started = Instant::now();
        if let Err(error) = save(folder, knowledge, judging) {
            self.warn_once(format!("{}: what is known could not be kept: {error}", folder.display()));
        }
        self.save_pause = Duration::from_secs(SAVE_SECONDS).max(started.elapsed() * SAVE_PAUSE);
        self.saved = Instant::now();
    }

    fn warn_once(&mut self, warning: String) {
        // Numbers change all the time: the words tell warnings apart.
        let words = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        if self.warned.contains(&words(&warning)) {
            return;
        }
        self.say(Grave::Warning, &warning);
        self.warned.push(words(&warning));
    }
}

impl Taker for Taking<'_> {
    fn wishes(&mut self) -> Vec<Wish> {
        let mut wishes = Vec::new();
        if self.service.wishes.reload.swap(false, Ordering::AcqRel) {
            match (self.service.reload)() {
                Ok(judging) => wishes.push(Wish::Judge(judging)),
                Err(reason) => {
                    self.reloads[1] += 1;
                    self.say(Grave::Warning, &format!("not read again, what was read before stays in use: {reason}"));
                }
            }
        }
        if self.service.wishes.report.swap(false, Ordering::AcqRel) {
            wishes.push(Wish::Report);
        }
        wishes
    }

    fn flows(&mut self, flows: Flows) {
        // Writing to a queue does not fail, and what has no room there is counted; reading back what waited in a file may.
        let outputs = self.service.outputs;
        let mut lines = outputs.wants(FLOWS).then(|| JsonLines::new(Lines(outputs, FLOWS)));
        let mut events = outputs.wants(EVE).then(|| eve::Events::new(Lines(outputs, EVE)));
        let lines = lines.as_mut().map(|sink| sink as &mut dyn Sink);
        let events = events.as_mut().map(|sink| sink as &mut dyn Sink);
        let mut sinks: Vec<_> = lines.into_iter().chain(events).collect();
        if let Err(error) = flows.hand_to(&mut sinks) {
            self.warn_once(format!("flow records that waited in a temporary file are lost: {error}"));
        }
    }

    fn found(&mut self, report: &Report, now: Time, last: bool) {
        let outputs = self.service.outputs;
        let findings = report.findings.iter().map(|finding| (finding.id.clone(), finding));
        put(outputs, FINDING_LINES, |each| self.findings.tell(findings, now, last, each));
        let assets = report.assets.iter().map(|asset| (format!("{} {}", asset.ip, asset.vendor), asset));
        put(outputs, ASSET_LINES, |each| self.assets.tell(assets, now, last, each));
    }

    fn turn(&mut self, mut view: View, knowledge: &Knowledge, judging: &Judging) {
        view.resident_bytes = self.resident_bytes();
        view.outputs = self.service.outputs.counts();
        view.reloads = self.reloads;
        self.service.outputs.note(&mut view.ledger);
        for warning in view.warnings.clone() {
            self.warn_once(warning);
        }
        (self.service.each_turn)(&view);
        self.service.board.put(view);
        self.save_now_and_then(knowledge, judging);
    }

    fn report(&mut self, report: &Report) {
        if let Err(reason) = (self.service.write_report)(report) {
            self.say(Grave::Warning, &format!("the report could not be written: {reason}"));
        }
    }

    fn judged_anew(&mut self) {
        self.reloads[0] += 1;
        self.say(Grave::Info, "signatures, policy and databases were read again and are in use");
    }
}

/// Writes what is to be told for every kind of output that somebody wants.
fn put<T>(outputs: &Outputs, kinds: &[(&'static str, WriteLine<T>)], tell: impl FnOnce(&mut dyn FnMut(Change<'_, T>))) {
    let wanted = kinds.iter().filter(|(kind, _)| outputs.wants(kind));
    let mut batches: Vec<_> = wanted.map(|(kind, write)| (*kind, write, Batch::default())).collect();
    if batches.is_empty() {
        return;
    }
    tell(&mut |change| {
        for (_, write, batch) in &mut batches {
            let before = batch.bytes.len();
            write(&change, &mut batch.bytes);
            batch.records += u64::from(batch.bytes.len() > before);
        }
    });
    for (kind, _, batch) in batches {
        outputs.put(kind, batch);
    }
}

/// Lines that go to an output; each piece that is written holds whole lines.
struct Lines<'a>(&'a Outputs, &'static str);

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            let records = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
            self.0.put(self.1, Batch { bytes: bytes.to_vec(), records });
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The file with what is known, in its folder.
fn known(folder: &Path) -> PathBuf {
    folder.join("known.json")
}

fn save(folder: &Path, knowledge: &Knowledge, judging: &Judging) -> io::Result<()> {
    let stored = knowledge.store(judging.context());
    replace(&known(folder), |out| jsonl::document(&stored, out))
}

/// What is known from before; nothing when the folder is new.
///
/// # Errors
/// When there is something that cannot be read: nobody should go on without it by accident.
pub fn restore(folder: &Path, judging: &Judging) -> Result<Knowledge, String> {
    let path = known(folder);
    let named = |reason: String| format!("{}: {reason}", path.display());
    std::fs::create_dir_all(folder).map_err(|error| named(error.to_string()))?;
    match std::fs::read(&path) {
        Ok(bytes) => {
            let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| named(error.to_string()))?;
            if stored.anonymised() != judging.policy.key_id() {
                return Err(named("it is not of this --anonymise: its addresses stand for other hosts".to_owned()));
            }
            let mut knowledge = Knowledge::default();
            knowledge.restore(stored, &judging.signatures).map_err(named)?;
            Ok(knowledge)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Knowledge::default()),
        Err(error) => Err(named(error.to_string())),
    }
}
