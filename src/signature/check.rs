//! Self-checks: what is wrong or doubtful in signature files.
//!
//! In: files that were read, and their index. Out: a [`Report`] of remarks with file and line, and
//! what is covered. An error means that a signature does not say what it seems to say; files with
//! errors are refused. Warnings and notes are for whoever maintains the files.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use jiff::civil::Date;

use super::file::{Condition, Entry, Mistake, Sample, VendorFile, WEAK_CONFIDENCE_MAX, When};
use super::index::{Index, WhenId, cost};
use super::pattern::{self, Pattern};
use super::select::{FlowValues, Scratch, holds, rank};
use super::words::{Function, Region};
use crate::fact::{ETH_OUI, Facts, Field, IP_ASN, IP_DST, Seen, Side, TCP_PORT, UDP_PORT};
use crate::flow::key::protocol;

/// Days after which a file should be compared with its sources again.
pub const CHECKED_DAYS_MAX: i32 = 365;
/// A port and the maker of the host are worth this much at most.
pub const PORT_CONFIDENCE_MAX: u8 = 60;
/// `when` blocks with one pattern that each of them is compared with.
pub(super) const SHARING_MAX: usize = 256;
/// Patterns named in one remark.
const NAMED_MAX: usize = 3;
/// Fingerprints that many programs share.
const SHARED_FINGERPRINTS: &[&str] = &["tls.ja3", "tls.ja3s", "tls.ja4"];

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The files are refused.
    Error,
    /// Somebody should look at it.
    Warning,
    /// It is so, and that is no mistake.
    Note,
}

impl Level {
    /// The word in reports.
    pub fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "note",
        }
    }
}

/// Something to say about a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remark {
    /// How bad it is.
    pub level: Level,
    /// Where and what.
    pub mistake: Mistake,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.level.name(), self.mistake)
    }
}

/// What one vendor's file covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Who.
    pub vendor: String,
    /// Identities.
    pub identities: usize,
    /// Channels by function.
    pub channels: BTreeMap<Function, usize>,
    /// Documented traffic that nothing can tell apart yet.
    pub gaps: usize,
    /// `when` blocks.
    pub whens: usize,
    /// Distinct host names, exact and with all below them.
    pub names: usize,
}

/// What the checks found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Errors first, then by file and line.
    pub remarks: Vec<Remark>,
    /// By file.
    pub coverage: Vec<Coverage>,
}

impl Report {
    /// What makes the files unusable.
    pub fn errors(&self) -> Vec<Mistake> {
        self.of_level(Level::Error).map(|remark| remark.mistake.clone()).collect()
    }

    /// The remarks of one level.
    pub fn of_level(&self, level: Level) -> impl Iterator<Item = &Remark> {
        self.remarks.iter().filter(move |remark| remark.level == level)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for remark in &self.remarks {
            writeln!(f, "{remark}")?;
        }
        if !self.remarks.is_empty() {
            writeln!(f)?;
        }
        for coverage in &self.coverage {
            writeln!(
                f,
                "{}: {} identities, {} channels, {} gaps; {} conditions, {} host names",
                coverage.vendor,
                coverage.identities,
                coverage.channels.values().sum::<usize>(),
                coverage.gaps,
                coverage.whens,
                coverage.names,
            )?;
            for (function, channels) in &coverage.channels {
                writeln!(f, "  {:<18} {channels:>4}", function.name())?;
            }
        }
        let count = |level| self.of_level(level).count();
        writeln!(f, "{} errors, {} warnings, {} notes", count(Level::Error), count(Level::Warning), count(Level::Note))
    }
}

/// Checks files that were read. `index` is that of the same files; without `today` the age of a
/// file is not looked at.
pub fn check(files: &[VendorFile], index: &Index, today: Option<Date>) -> Report {
    let mut checks = Checks { files, index, remarks: Vec::new() };
    checks.ids();
    let entries = files.iter().flat_map(|file| &file.entries);
    let identities = entries.filter(|entry| entry.role.is_identity()).map(|entry| entry.id.as_str()).collect();
    for file in files {
        if let Some(today) = today {
            checks.age(file, today);
        }
        for entry in &file.entries {
            checks.from(file, entry, &identities);
            checks.evidence(file, entry);
        }
    }
    checks.samples();
    checks.conflicts();
    checks.shadows();
    checks.remarks.sort();
    checks.remarks.dedup();
    Report { remarks: checks.remarks, coverage: files.iter().map(coverage).collect() }
}

struct Checks<'a> {
    files: &'a [VendorFile],
    index: &'a Index,
    remarks: Vec<Remark>,
}

/// A `when` block with what stands around it.
#[derive(Clone, Copy)]
struct Item<'a> {
    number: WhenId,
    file: &'a VendorFile,
    entry: &'a Entry,
    when: &'a When,
}

impl Item<'_> {
    fn place(&self) -> String {
        format!("{}:{} ({})", self.file.file, self.when.line, self.entry.id)
    }
}

impl<'a> Checks<'a> {
    fn remark(&mut self, level: Level, file: &VendorFile, line: u32, reason: String) {
        self.remarks.push(Remark { level, mistake: Mistake { file: file.file.clone(), line, reason } });
    }

    /// All `when` blocks, numbered as the index does.
    fn items(&self) -> Vec<Item<'a>> {
        let mut items = Vec::new();
        for file in self.files {
            for entry in &file.entries {
                for when in &entry.whens {
                    items.push(Item { number: items.len() as WhenId, file, entry, when });
                }
            }
        }
        items
    }

    /// Ids and vendors are unique, and a file's ids begin with one word.
    fn ids(&mut self) {
        let mut seen: HashMap<&str, String> = HashMap::new();
        let mut vendors: HashMap<String, &str> = HashMap::new();
        for file in self.files {
            if let Some(other) = vendors.insert(file.vendor.to_lowercase(), &file.file) {
                self.remark(Level::Error, file, 0, format!("{} has the vendor `{}` too", other, file.vendor));
            }
            let entries = file.entries.iter().map(|entry| (entry.id.as_str(), entry.line));
            let all: Vec<(&str, u32)> =
                entries.chain(file.gaps.iter().map(|gap| (gap.id.as_str(), gap.line))).collect();
            let first_word = |id: &'a str| id.split('.').next().unwrap_or(id);
            let prefix = all.first().map_or("", |(id, _)| first_word(id));
            for (id, line) in all {
                if let Some(other) = seen.insert(id, format!("{}:{line}", file.file)) {
                    self.remark(Level::Error, file, line, format!("the id `{id}` stands at {other} too"));
                }
                if first_word(id) != prefix {
                    let reason = format!("the id `{id}` does not begin with `{prefix}.` as the others of this file");
                    self.remark(Level::Error, file, line, reason);
                }
            }
        }
    }

    fn age(&mut self, file: &VendorFile, today: Date) {
        let days = (today - file.checked).get_days();
        if days < 0 {
            self.remark(Level::Warning, file, file.checked_line, format!("`checked` is {} days ahead of today", -days));
        }
        if days > CHECKED_DAYS_MAX {
            let reason = format!("compared with its sources {days} days ago; more than {CHECKED_DAYS_MAX} is stale");
            self.remark(Level::Warning, file, file.checked_line, reason);
        }
    }

    /// `from` names identities that exist.
    fn from(&mut self, file: &VendorFile, entry: &Entry, known: &HashSet<&str>) {
        let of_whens = entry.whens.iter().map(|when| (when.from_line, &when.from));
        let samples = entry.examples.iter().chain(&entry.counterexamples);
        for (line, ids) in of_whens.chain(samples.map(|sample| (sample.line, &sample.from))) {
            for id in ids.iter().filter(|id| !known.contains(id.as_str())) {
                self.remark(Level::Error, file, line, format!("`from` names `{id}`, which is no identity"));
            }
        }
    }

    /// Evidence that is weaker than its confidence says.
    fn evidence(&mut self, file: &VendorFile, entry: &Entry) {
        for when in &entry.whens {
            let all = |wanted: &dyn Fn(&Field) -> bool| {
                when.conditions.iter().all(|c| c.fields.iter().all(|field| wanted(field)))
            };
            let mut warn = |reason: String| self.remark(Level::Warning, file, when.line, reason);
            if all(&|f| *f == ETH_OUI) && when.confidence > WEAK_CONFIDENCE_MAX {
                warn(format!("the maker of a hardware address alone is worth {WEAK_CONFIDENCE_MAX} at most"));
            }
            if all(&|f| SHARED_FINGERPRINTS.contains(&f.name)) {
                warn("a TLS fingerprint alone is shared by unrelated programs; add another condition".to_owned());
            }
            if all(&|f| *f == TCP_PORT || *f == UDP_PORT) && when.confidence > PORT_CONFIDENCE_MAX {
                warn(format!("a port and a known host are worth {PORT_CONFIDENCE_MAX} at most"));
            }
            if entry.role.is_identity() && all(&|f| f.name == "dns.answer") {
                warn("`dns.answer` is sent by a name server; it does not say who asked".to_owned());
            }
        }
    }

    /// Examples match their entry with the region they state; counterexamples do not match.
    fn samples(&mut self) {
        let mut scratch = Scratch::default();
        for (file_at, file) in self.files.iter().enumerate() {
            for (entry_at, entry) in file.entries.iter().enumerate() {
                let own = |when: WhenId| {
                    let place = self.index.place(when);
                    place.is_some_and(|p| p.file as usize == file_at && p.entry as usize == entry_at)
                };
                for sample in &entry.examples {
                    if let Some((level, reason)) = self.example(entry, sample, &own, &mut scratch) {
                        self.remark(level, file, sample.line, reason);
                    }
                }
                for sample in &entry.counterexamples {
                    if let Some((when, _)) = self.best(sample, &own, &mut scratch) {
                        let line = self.line(when);
                        let reason = format!("this counterexample of {} matches its line {line}", entry.id);
                        self.remark(Level::Error, file, sample.line, reason);
                    }
                }
            }
        }
    }

    fn example(
        &self,
        entry: &Entry,
        sample: &Sample,
        own: &impl Fn(WhenId) -> bool,
        scratch: &mut Scratch,
    ) -> Option<(Level, String)> {
        let Some((when, region)) = self.best(sample, own, scratch) else {
            return Some((Level::Error, format!("this example does not match its own entry {}", entry.id)));
        };
        if region != sample.region {
            let [stated, found] = [sample.region, region].map(|r| r.map_or("none".to_owned(), |r| r.to_string()));
            let line = self.line(when);
            let reason = format!("this example of {} states region {stated}, line {line} gives {found}", entry.id);
            return Some((Level::Error, reason));
        }
        if entry.role.is_identity() {
            return self.words_read(entry, sample);
        }
        let (winner, _) = self.best(sample, &|_| true, scratch)?;
        if own(winner) {
            return None;
        }
        let place = self.index.place(winner)?;
        let better = &self.files[place.file as usize].entries[place.entry as usize];
        let at = format!("{}:{}", self.files[place.file as usize].file, self.line(winner));
        Some((Level::Warning, format!("this example of {} goes to {} ({at})", entry.id, better.id)))
    }

    /// Whether the model and version that an example states are those that are read from it, and the other way round.
    fn words_read(&self, entry: &Entry, sample: &Sample) -> Option<(Level, String)> {
        let (facts, values) = flow_of(sample);
        let whens = entry.whens.iter().filter(|when| holds(when, &facts, &values));
        let mut found: [Option<String>; 2] = [None, None];
        for (when, fact) in whens.flat_map(|when| sample.facts.iter().map(move |fact| (when, fact))) {
            if !when.conditions.iter().any(|condition| condition.fields.contains(&fact.field)) {
                continue;
            }
            for (found, word) in found.iter_mut().zip(when.read(&fact.written.to_string())) {
                *found = found.take().or(word.map(str::to_owned));
            }
        }
        let stated = [&sample.model, &sample.version];
        let differs = ["model", "version"].into_iter().zip(stated.into_iter().zip(&found)).find(|(_, (a, b))| a != b);
        let (what, (stated, found)) = differs?;
        let [stated, found] = [stated, found].map(|word| word.as_deref().unwrap_or("none").to_owned());
        Some((Level::Error, format!("this example of {} states {what} {stated}, what is read is {found}", entry.id)))
    }

    fn line(&self, when: WhenId) -> u32 {
        let place = self.index.place(when);
        place.map_or(0, |p| self.files[p.file as usize].entries[p.entry as usize].whens[p.when as usize].line)
    }

    /// The best of the wanted `when` blocks that match a sample (identities only when wanted).
    fn best(
        &self,
        sample: &Sample,
        wanted: &impl Fn(WhenId) -> bool,
        scratch: &mut Scratch,
    ) -> Option<(WhenId, Option<Region>)> {
        let (facts, values) = flow_of(sample);
        let holding: Vec<WhenId> = self.index.matches(&facts, &values, scratch).to_vec();
        let when = |number: WhenId| {
            let place = self.index.place(number)?;
            let entry = &self.files[place.file as usize].entries[place.entry as usize];
            Some((entry, &entry.whens[place.when as usize]))
        };
        let channel_sample = sample.region.is_some();
        let candidates = holding.into_iter().filter(|number| {
            let Some((entry, when)) = when(*number) else { return false };
            let from_holds = when.from.is_empty() || when.from.iter().any(|id| sample.from.contains(id));
            from_holds && wanted(*number) && !(channel_sample && entry.role.is_identity())
        });
        let best = candidates.max_by_key(|number| {
            let rule = &self.index.rules[*number as usize];
            rank(rule, self.index.matched_literal(rule, scratch))
        })?;
        Some((best, when(best)?.1.region))
    }

    /// Two `when` blocks that claim the same with the same strength.
    fn conflicts(&mut self) {
        let items = self.items();
        let mut by_set: HashMap<String, Item<'a>> = HashMap::new();
        let mut by_pattern: HashMap<(&str, &Pattern), Vec<Item<'a>>> = HashMap::new();
        for item in &items {
            let set = condition_set(item);
            if let Some(other) = by_set.get(&set) {
                let reason = format!("the same conditions with the same confidence as {}", other.place());
                self.remark(Level::Error, item.file, item.when.line, reason);
                continue;
            }
            by_set.insert(set, *item);
            let Some(condition) = selective(item.when) else { continue };
            for pattern in &condition.patterns {
                by_pattern.entry((condition.word.as_str(), pattern)).or_default().push(*item);
            }
        }
        let mut overlaps: BTreeMap<(WhenId, WhenId), Vec<String>> = BTreeMap::new();
        let mut crowded: BTreeSet<(WhenId, String)> = BTreeSet::new();
        for ((word, pattern), sharing) in &by_pattern {
            let more = sharing.len().saturating_sub(SHARING_MAX + 1);
            if let Some(first) = sharing.first().filter(|_| more > 0) {
                let reason = format!("{word} {pattern} is in {} conditions: not compared all with all", sharing.len());
                crowded.insert((first.number, reason));
            }
            for (at, one) in sharing.iter().enumerate() {
                let others = sharing[at + 1..].iter().take(SHARING_MAX);
                for other in others.filter(|other| overlap(one, other)) {
                    let pair = (one.number.min(other.number), one.number.max(other.number));
                    overlaps.entry(pair).or_default().push(format!("{word} {pattern}"));
                }
            }
        }
        for (number, reason) in crowded {
            let item = &items[number as usize];
            self.remark(Level::Warning, item.file, item.when.line, format!("{}: {reason}", item.entry.id));
        }
        for ((one, other), mut shared) in overlaps {
            shared.sort_unstable();
            let more = shared.len().saturating_sub(NAMED_MAX);
            shared.truncate(NAMED_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let (item, other) = (&items[other as usize], &items[one as usize]);
            let reason = format!("{} claims {}{more} with the same confidence", other.place(), shared.join(", "));
            self.remark(Level::Warning, item.file, item.when.line, format!("{}: {reason}", item.entry.id));
        }
    }

    /// Channels that never win, because a better one holds whenever they do.
    fn shadows(&mut self) {
        let items: Vec<Item<'a>> = self.items().into_iter().filter(|item| !item.entry.role.is_identity()).collect();
        let mut by_pattern: HashMap<&Pattern, Vec<Item<'a>>> = HashMap::new();
        for item in &items {
            // Its most selective condition must cover one of the other's, too: enough to find it by.
            for pattern in selective(item.when).iter().flat_map(|condition| &condition.patterns) {
                by_pattern.entry(pattern).or_default().push(*item);
            }
        }
        for item in &items {
            let firsts = item.when.conditions.iter().filter_map(|condition| condition.patterns.first());
            let wider: Vec<Pattern> = firsts.flat_map(covering).collect();
            let better = wider.iter().filter_map(|pattern| by_pattern.get(pattern)).flatten();
            if let Some(better) = better.into_iter().find(|better| shadows(better.when, item.when)) {
                let reason = format!("{}: never wins, because {} always does", item.entry.id, better.place());
                self.remark(Level::Warning, item.file, item.when.line, reason);
            }
        }
    }
}

/// The condition that lets the fewest flows through.
fn selective(when: &When) -> Option<&Condition> {
    when.conditions.iter().min_by_key(|condition| (cost(condition), condition.word.as_str()))
}

/// The flow that a sample describes. What it does not say matches nothing.
pub fn flow_of(sample: &Sample) -> (Facts, FlowValues) {
    let mut facts = Facts::default();
    let mut values = FlowValues { destination: [0, 0, 0, 0].into(), protocol: 0, port: 0, asn: None, ouis: [None; 2] };
    for fact in &sample.facts {
        let number = pattern::number(&fact.value).unwrap_or(0);
        if *fact.field == TCP_PORT {
            (values.protocol, values.port) = (protocol::TCP, number as u16);
        } else if *fact.field == UDP_PORT {
            (values.protocol, values.port) = (protocol::UDP, number as u16);
        } else if *fact.field == IP_ASN {
            values.asn = Some(number as u32);
        } else if *fact.field == IP_DST {
            values.destination = pattern::address(&fact.value).unwrap_or(values.destination);
        } else if *fact.field == ETH_OUI {
            values.ouis[0] = fact.value.as_slice().try_into().ok();
        } else {
            facts.add(fact.field, Side::Source, Seen::default(), &fact.value);
        }
    }
    (facts, values)
}

/// A text that is the same for two `when` blocks exactly when they claim the same.
fn condition_set(item: &Item<'_>) -> String {
    let mut parts: Vec<String> = Vec::new();
    for condition in &item.when.conditions {
        let patterns: BTreeSet<String> = condition.patterns.iter().map(|p| format!("{p:?}")).collect();
        parts.push(format!("{}={patterns:?}", condition.word));
    }
    parts.sort_unstable();
    let from: BTreeSet<&String> = item.when.from.iter().collect();
    format!("{}|{parts:?}|{from:?}|{}", item.entry.role.is_identity(), item.when.confidence)
}

/// Some flow satisfies both, and nothing makes one better than the other.
fn overlap(one: &Item<'_>, other: &Item<'_>) -> bool {
    let (a, b) = (one.when, other.when);
    let alike = one.entry.role.is_identity() == other.entry.role.is_identity()
        && a.confidence == b.confidence
        && a.conditions.len() == b.conditions.len()
        && a.from.is_empty() == b.from.is_empty();
    let from = a.from.is_empty() || a.from.iter().any(|id| b.from.contains(id));
    alike
        && from
        && a.conditions.iter().all(|c| {
            let mut same_word = b.conditions.iter().filter(|d| d.word == c.word);
            same_word.any(|d| c.patterns.iter().any(|pattern| d.patterns.contains(pattern)))
        })
}

/// Whenever `when` holds, `better` does, and wins.
fn shadows(better: &When, when: &When) -> bool {
    let covers = |wide: &Condition, narrow: &Condition| {
        narrow.fields.iter().all(|field| wide.fields.contains(field))
            && narrow.patterns.iter().all(|p| wide.patterns.iter().any(|w| w.covers(p)))
    };
    let from = better.from.is_empty() || !when.from.is_empty() && when.from.iter().all(|id| better.from.contains(id));
    better.confidence > when.confidence
        && from
        && better.conditions.iter().all(|wide| when.conditions.iter().any(|narrow| covers(wide, narrow)))
}

/// Patterns that match at least what this one does and may stand in another entry.
fn covering(pattern: &Pattern) -> Vec<Pattern> {
    let mut wider = vec![pattern.clone()];
    match pattern {
        Pattern::Name(name) | Pattern::Below(name) => wider.extend(above(name)),
        Pattern::Label(name) => wider.extend(above(pattern::behind_label(name))),
        Pattern::Prefix(network, bits) => {
            wider.extend((0..*bits).map(|bits| Pattern::Prefix(pattern::masked(*network, bits), bits)));
        }
        _ => {}
    }
    wider
}

/// A name and every name above it, each with all below it.
fn above(name: &str) -> impl Iterator<Item = Pattern> {
    let dots = name.bytes().enumerate().filter(|(_, b)| *b == b'.').map(|(at, _)| at + 1);
    std::iter::once(0).chain(dots).map(|at| Pattern::Below(name[at..].into()))
}

fn coverage(file: &VendorFile) -> Coverage {
    let mut channels = BTreeMap::new();
    for channel in file.entries.iter().filter_map(|entry| entry.role.channel()) {
        *channels.entry(channel.function).or_default() += 1;
    }
    let whens: Vec<&When> = file.entries.iter().flat_map(|entry| &entry.whens).collect();
    let patterns = whens.iter().flat_map(|when| &when.conditions).flat_map(|condition| &condition.patterns);
    let is_name = |pattern: &&Pattern| matches!(pattern, Pattern::Name(_) | Pattern::Below(_) | Pattern::Label(_));
    let names: BTreeSet<&Pattern> = patterns.filter(is_name).collect();
    Coverage {
        vendor: file.vendor.clone(),
        identities: file.entries.iter().filter(|entry| entry.role.is_identity()).count(),
        channels,
        gaps: file.gaps.len(),
        whens: whens.len(),
        names: names.len(),
    }
}
