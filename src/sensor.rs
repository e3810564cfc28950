//! A sensor: a run that goes on, led turn by turn.
//!
//! In: sources that do not end by themselves, what flows are judged by, and what the user wishes meanwhile. Out: at every
//! turn flows that ended, findings and assets that are new or have changed, and a picture of it all. `changes` knows what was
//! told before, `warnings` what the user should know.

mod changes;
mod warnings;

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::capture::{Damage, Source};
use crate::collect::{Collector, Desk, Judging, Part};
use crate::join::{Carried, Identified, Joined, Knowledge, SUMS_MAX};
use crate::ledger::Ledger;
use crate::merge::{Map, Merge};
use crate::record::spool::Spool;
use crate::report::Report;
use crate::run::{ByInput, Hand, Read, Settings, State, Threads, Turns, run_turns};
use crate::scan::{Flows, gaps, header, silent, sources, without};
use crate::time::{SECOND, Time};
use crate::view::{HISTORY_SECONDS, NEWEST_MAX, Newest, Rates, View};

pub use crate::report::{Change, Status};
pub use changes::Changes;

/// Sums after which a window is closed before its time.
pub const WINDOW_SUMS_MAX: usize = 200_000;
/// A join is not repeated before so many times as long as it took have passed: it never takes more than a part of a core.
const JOIN_PAUSE: u32 = 10;

/// How a sensor goes on.
pub struct Pace<'a> {
    /// Time between two turns.
    pub turn: Duration,
    /// Seconds of packet time after which a window is closed.
    pub window_seconds: i64,
    /// Tells the time from that of the latest packet: the wall clock, unless time is replayed.
    pub clock: &'a (dyn Fn(Time) -> Time + Sync),
}

/// What a sensor is made with.
pub struct Sensor<'a> {
    /// What flows are judged by at first.
    pub judging: Judging,
    /// Its own name, for the report.
    pub name: Option<String>,
    /// Names of the inputs, for the report.
    pub inputs: Vec<String>,
    /// Reports are to be merged with others: they carry the sums that they were made of.
    pub mergeable: bool,
    /// The filter expression, for the report.
    pub filter: Option<String>,
    /// Hand over flow records.
    pub keep_flows: bool,
    /// Workers, memory, and when it is enough.
    pub settings: Settings<'a>,
    /// How it goes on.
    pub pace: Pace<'a>,
    /// What is known from before.
    pub knowledge: Knowledge,
}

/// What the user wishes.
pub enum Wish {
    /// To judge by something else from now on.
    Judge(Judging),
    /// The report as it is now.
    Report,
}

/// Takes what a sensor gives. Nothing here may wait for long: the turns wait for it.
pub trait Taker {
    /// What the user wishes now.
    fn wishes(&mut self) -> Vec<Wish>;
    /// Flows that ended.
    fn flows(&mut self, flows: Flows);
    /// Findings and assets as they are now; the last time when `last`.
    fn found(&mut self, report: &Report, now: Time, last: bool);
    /// A turn is over.
    fn turn(&mut self, view: View, knowledge: &Knowledge, judging: &Judging);
    /// The user wished to have it.
    fn report(&mut self, report: &Report);
    /// Another judging is in use.
    fn judged_anew(&mut self);
}

/// What is left when it is over.
pub struct Ended {
    /// The report.
    pub report: Report,
    /// What could not be read.
    pub damage: Vec<Damage>,
    /// What is known.
    pub knowledge: Knowledge,
    /// By what it was judged at last.
    pub judging: Judging,
}

impl Sensor<'_> {
    /// Listens until the sources are over.
    pub fn run(self, sources: Vec<Box<dyn Source>>, taker: &mut dyn Taker) -> Ended {
        let Sensor { judging, name, inputs, mergeable, filter, keep_flows, settings, pace, knowledge } = self;
        let places = judging.places.clone();
        rayon::spawn(move || places.warm());
        let desk = Arc::new(Desk::new(judging.clone()));
        let turns = Turns::default();
        let workers = if sources.len() == 1 { settings.workers.max(1) } else { sources.len() };
        let now = (pace.clock)(Time::default());
        let mut leader = Leader {
            taker,
            desk: &desk,
            turns: &turns,
            pace: &pace,
            name,
            inputs,
            mergeable,
            filter,
            threads: Threads::new(settings.workers),
            judging,
            next_judging: None,
            report_wished: false,
            knowledge,
            ledger: Ledger::default(),
            by_input: ByInput::new(),
            reads: vec![Read::default(); sources.len()],
            states: vec![State::default(); workers],
            parts: Vec::new(),
            asked: 0,
            owing: BTreeSet::new(),
            alive: (0..workers).collect(),
            found: None,
            rested: Instant::now(),
            window: now,
            started: now,
            rates: History::new(),
            known: BTreeSet::new(),
            newest: Vec::new(),
        };
        let gather = || Collector::new(desk.clone(), keep_flows);
        run_turns(sources, &settings, &turns, pace.clock, gather, |hands| leader.lead(hands));
        leader.end()
    }
}

/// What the last join said.
struct Found {
    report: Arc<Report>,
    hosts: Arc<Map<IpAddr, Identified>>,
}

/// Who leads a run.
struct Leader<'a> {
    taker: &'a mut dyn Taker,
    desk: &'a Desk,
    turns: &'a Turns,
    pace: &'a Pace<'a>,
    name: Option<String>,
    inputs: Vec<String>,
    mergeable: bool,
    filter: Option<String>,
    threads: Threads,
    judging: Judging,
    /// It lies on the desk: all that is handed over before the next turn is over was judged by the one before.
    next_judging: Option<Judging>,
    /// The report is to be written when this turn is over.
    report_wished: bool,
    knowledge: Knowledge,
    ledger: Ledger,
    by_input: ByInput,
    reads: Vec<Read>,
    states: Vec<State>,
    parts: Vec<Part>,
    /// The turn that was asked for, and who has still to hand over for it.
    asked: u64,
    owing: BTreeSet<usize>,
    /// Who has not ended.
    alive: BTreeSet<usize>,
    found: Option<Found>,
    /// No join before.
    rested: Instant,
    /// When the window was opened.
    window: Time,
    started: Time,
    rates: History,
    /// Ids of findings, and those that came last.
    known: BTreeSet<String>,
    newest: Vec<Newest>,
}

impl Leader<'_> {
    /// Leads until every worker has ended.
    fn lead(&mut self, hands: &Receiver<Hand<Part>>) {
        let mut due = Instant::now() + self.pace.turn;
        loop {
            let waits = self.owing.is_empty();
            if waits && Instant::now() >= due {
                due = Instant::now() + self.pace.turn;
                self.ask();
                continue;
            }
            let wait = if waits { due.saturating_duration_since(Instant::now()) } else { self.pace.turn };
            match hands.recv_timeout(wait) {
                Ok(hand) => {
                    let (me, owed) = (hand.worker, hand.last || hand.turn == self.asked);
                    if hand.last {
                        self.alive.remove(&me);
                    }
                    self.take(hand);
                    let paid = owed && self.owing.remove(&me);
                    if paid && self.owing.is_empty() && !self.alive.is_empty() {
                        self.turn_over(false);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn ask(&mut self) {
        for wish in self.taker.wishes() {
            match wish {
                Wish::Judge(judging) => {
                    self.desk.put(judging.clone());
                    self.next_judging = Some(judging);
                }
                Wish::Report => self.report_wished = true,
            }
        }
        self.asked = self.turns.ask();
        self.owing.clone_from(&self.alive);
    }

    fn take(&mut self, hand: Hand<Part>) {
        self.ledger.merge(&hand.ledger);
        Merge::merge(&mut self.by_input, hand.inputs);
        self.states[hand.worker] = hand.state;
        if let Some(read) = hand.read {
            let source = hand.worker.min(self.reads.len() - 1);
            self.reads[source] = read;
        }
        self.parts.push(hand.part);
    }

    /// All have handed over.
    fn turn_over(&mut self, last: bool) {
        let mut spools = Vec::new();
        for part in std::mem::take(&mut self.parts) {
            self.knowledge.add(part.gathered);
            spools.extend(part.spool);
        }
        let now = self.now();
        let wished = std::mem::take(&mut self.report_wished);
        if last || wished || self.found.is_none() || Instant::now() >= self.rested {
            self.join(now, last);
        }
        if let Some(found) = self.found.as_ref().filter(|_| wished) {
            self.taker.report(&self.with_sums(Report::clone(&found.report)));
        }
        self.write_flows(spools);
        if let Some(next) = self.next_judging.take().filter(|_| !last) {
            // What is in both windows was matched by the numbers of the old ones.
            self.settle(now);
            self.settle(now);
            self.knowledge.translate(&self.judging.signatures, &next.signatures);
            self.judging = next;
            self.taker.judged_anew();
            self.join(now, false);
        } else if now.since(self.window) >= self.pace.window_seconds.saturating_mul(SECOND)
            || self.knowledge.window_len() > WINDOW_SUMS_MAX
        {
            self.settle(now);
        }
        if let Some(report) = self.found.as_ref().map(|found| found.report.clone()) {
            let view = self.view(report, self.ledger(last), now);
            self.taker.turn(view, &self.knowledge, &self.judging);
        }
    }

    fn now(&self) -> Time {
        (self.pace.clock)(self.knowledge.seen.span.last)
    }

    /// What is known says this.
    fn join(&mut self, now: Time, last: bool) {
        let started = Instant::now();
        let found = self.find(last);
        for finding in &found.report.findings {
            if self.known.insert(finding.id.clone()) {
                self.newest.insert(0, Newest { id: finding.id.clone(), at: now });
            }
        }
        self.newest.truncate(NEWEST_MAX);
        if self.known.len() > SUMS_MAX {
            self.known.clear();
        }
        self.taker.found(&found.report, now, last);
        self.found = Some(found);
        self.rested = Instant::now() + started.elapsed() * JOIN_PAUSE;
    }

    fn find(&self, last: bool) -> Found {
        let (knowledge, judging) = (&self.knowledge, &self.judging);
        let joined = self.threads.run(|| knowledge.join(judging.context()));
        // Names are put in only while nobody else holds them.
        let Joined { findings, assets, hosts, names: _ } = joined;
        let damage = self.damage();
        let mut header = header(&self.judging, self.knowledge.seen, &self.inputs, &damage, self.filter.as_deref());
        header.sources = sources(&self.by_input, false, false);
        header.sensor.clone_from(&self.name);
        let gaps = gaps(&self.judging.signatures, &assets);
        let report = Arc::new(Report { header, ledger: self.ledger(last), gaps, findings, assets, sums: None });
        Found { report, hosts: Arc::new(hosts) }
    }

    /// The report with all that it was made of.
    fn with_sums(&self, report: Report) -> Report {
        let carried = self.mergeable.then(|| self.knowledge.carried(self.judging.context()));
        Report { sums: carried.and_then(Carried::into_json), ..report }
    }

    fn write_flows(&mut self, spools: Vec<Spool>) {
        let Some(found) = self.found.as_ref().filter(|_| !spools.is_empty()) else { return };
        let (hosts, names) = (found.hosts.clone(), self.knowledge.names());
        self.taker.flows(Flows { spools, hosts, names, judging: self.judging.clone() });
    }

    /// Closes the window.
    fn settle(&mut self, now: Time) {
        self.knowledge.settle(self.judging.context(), now);
        self.window = now;
    }

    fn damage(&self) -> Vec<Damage> {
        let read = self.reads.iter().flat_map(|read| read.damage.iter().cloned());
        read.chain(without(&self.judging.places)).collect()
    }

    /// What became of every packet until now; of one that is on its way, that.
    fn ledger(&self, last: bool) -> Ledger {
        let mut ledger = self.ledger.clone();
        let told = ledger.decoded + ledger.not_decoded.values().sum::<u64>();
        let waiting = ledger.received.saturating_sub(told);
        if waiting > 0 && !last {
            ledger.not_decoded.insert("waiting".to_owned(), waiting);
        }
        for read in &self.reads {
            ledger.add_losses(&read.losses);
        }
        for (name, count) in &self.knowledge.forgotten {
            ledger.note(name, count.0);
        }
        ledger
    }

    fn view(&mut self, report: Arc<Report>, ledger: Ledger, now: Time) -> View {
        let bytes = self.reads.iter().map(|read| read.bytes).sum();
        let lost: u64 = self.reads.iter().flat_map(|read| read.losses.packets.values()).sum();
        self.rates.tell([self.reads.iter().map(|read| read.packets).sum(), bytes, lost]);
        let mut warnings = warnings::of(&ledger, self.knowledge.seen, now.since(self.started));
        warnings.extend(warnings::of_new(&report.findings));
        View {
            started: self.started,
            now,
            report,
            ledger,
            bytes,
            history: self.rates.history.clone(),
            newest: self.newest.clone(),
            state: self.states.iter().fold(State::default(), |sum, state| State {
                open_flows: sum.open_flows + state.open_flows,
                bytes: sum.bytes + state.bytes,
            }),
            resident_bytes: None,
            outputs: Vec::new(),
            warnings,
            reloads: [0; 2],
        }
    }

    /// The last hands are in.
    fn end(mut self) -> Ended {
        self.turn_over(true);
        let damage = self.damage().into_iter().chain(silent(&self.by_input)).collect();
        let found = self.found.take().unwrap_or_else(|| self.find(true));
        let report = self.with_sums(Arc::unwrap_or_clone(found.report));
        Ended { report, damage, knowledge: self.knowledge, judging: self.judging }
    }
}

/// What came in, second by second.
struct History {
    history: VecDeque<Rates>,
    at: Instant,
    /// Packets, bytes and losses until then.
    before: [u64; 3],
}

impl History {
    fn new() -> History {
        History { history: VecDeque::new(), at: Instant::now(), before: [0; 3] }
    }

    /// Counts since the beginning.
    fn tell(&mut self, counts: [u64; 3]) {
        let seconds = self.at.elapsed().as_secs_f64();
        if seconds < 1.0 && !self.history.is_empty() {
            return;
        }
        let [packets, bytes, lost] =
            [0, 1, 2].map(|n| counts[n].saturating_sub(self.before[n]) as f64 / seconds.max(f64::EPSILON));
        if self.history.len() == HISTORY_SECONDS {
            self.history.pop_front();
        }
        self.history.push_back(Rates { packets, bytes, lost });
        (self.at, self.before) = (Instant::now(), counts);
    }
}
