//! Two reports beside each other: what came, what went, what is otherwise.
//!
//! In: an older report and a newer one. Out: a [`Diff`]; `text` prints it. Findings are the same when they have the same id, and
//! assets when they have the same address and maker. What a report had no time to show is told apart from what stopped: a
//! finding that is silent for an hour now and then cannot be missed in half an hour.

mod text;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::record::{Asset, Crossing, Direction, Finding, Origin};
use crate::report::{FORMAT, Header, PROGRAM, Report, SignatureSummary};

pub use text::write;

/// A volume has changed when it is so many times what is to be expected in the time of the newer report, or that part of it,
const VOLUME_TIMES: u128 = 4;
/// and differs by so much.
const VOLUME_BYTES_MIN: u128 = 100_000;
/// A report of less time is taken to be so long.
const SPAN_SECONDS_MIN: u64 = 60;

/// What is otherwise in the newer report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff {
    /// Version of the output formats.
    pub format: u32,
    /// `bordertap` and its version.
    pub program: String,
    /// The older report.
    pub old: Side,
    /// The newer report.
    pub new: Side,
    /// What the reports were made with, where that differs: a difference below may come from there.
    pub made_differently: Vec<Difference>,
    /// Findings of the newer report that the older one does not have, most serious first.
    pub appeared: Vec<Moved>,
    /// Findings of the older report that the newer one does not have.
    pub stopped: Vec<Moved>,
    /// Findings of both that are otherwise.
    pub changed: Vec<Changed>,
    /// The same of assets.
    pub assets: Assets,
    /// Findings that leave the country in the newer report and did not in the older one.
    pub new_leaving: usize,
}

/// One of the reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Its file.
    pub file: String,
    /// Packet time of the first packet, RFC 3339.
    pub first_seen: Option<String>,
    /// Packet time of the last packet, RFC 3339.
    pub last_seen: Option<String>,
    /// Time between them.
    pub seconds: u64,
    /// Findings in it.
    pub findings: usize,
    /// Assets in it.
    pub assets: usize,
}

/// Something that is not the same in both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What: `signatures`, `home`, `version`, …
    pub what: String,
    /// In the older report.
    pub old: String,
    /// In the newer report.
    pub new: String,
}

/// What about a finding only one report has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The other report does not have the channel at all for this asset.
    Channel,
    /// It has the channel, but not to this country.
    Country,
    /// It has the channel to this country, but not to this name, or not in this direction.
    Destination,
}

/// A finding that only one report has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// What about it.
    pub kind: Kind,
    /// The longest time without a flow of it in the report that has it, from its first packet to its last.
    pub silence_seconds: u64,
    /// The other report is shorter than that: it says nothing of whether this was there.
    pub too_short: bool,
    /// The finding.
    pub finding: Brief,
}

/// A finding, for those who look it up in its report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Brief {
    /// Its id.
    pub id: String,
    /// The asset's address.
    pub ip: String,
    /// The part of the network.
    pub site: Option<String>,
    /// Who made the asset.
    pub vendor: String,
    /// What it is.
    pub product: String,
    /// The channel's id.
    pub channel: String,
    /// What it is for.
    pub function: String,
    /// What it carries.
    pub data: Vec<String>,
    /// The far end's name.
    pub domain: Option<String>,
    /// The far end's first address.
    pub address: Option<String>,
    /// Where that is.
    pub country: Option<String>,
    /// Who opened the flows.
    pub direction: Direction,
    /// Whether it left.
    pub crossing: Crossing,
    /// How grave it is.
    pub severity: String,
    /// Nothing but attempts.
    pub attempted_only: bool,
    /// IP bytes from the asset.
    pub bytes_out: u64,
    /// IP bytes to the asset.
    pub bytes_in: u64,
    /// Flows.
    pub sessions: u64,
    /// Packet time of the first packet, RFC 3339.
    pub first_seen: String,
    /// Packet time of the last packet, RFC 3339.
    pub last_seen: String,
}

/// A finding that is otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changed {
    /// As it is in the newer report.
    pub finding: Brief,
    /// Words that differ.
    pub changes: Vec<Difference>,
    /// Volumes that differ by much.
    pub volumes: Vec<Volume>,
}

/// A volume that differs by much, the time of both reports taken into account.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Volume {
    /// `out` or `in`, as seen from the asset.
    pub direction: &'static str,
    /// Bytes in the older report.
    pub old: u64,
    /// What those come to in the time of the newer report.
    pub expected: u64,
    /// Bytes in the newer report.
    pub new: u64,
    /// How many times what was expected, to a tenth; none where that is nothing.
    pub times: Option<f64>,
}

/// What became of assets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Assets {
    /// Only in the newer report.
    pub appeared: Vec<MovedAsset>,
    /// Only in the older report.
    pub vanished: Vec<MovedAsset>,
    /// In both, and otherwise.
    pub changed: Vec<ChangedAsset>,
}

/// An asset that only one report has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MovedAsset {
    /// The other report is shorter than this one took to see it.
    pub too_short: bool,
    /// The asset.
    pub asset: AssetBrief,
}

/// An asset that is otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedAsset {
    /// As it is in the newer report.
    pub asset: AssetBrief,
    /// What differs: `version`, `model`, `product`, `vendor`, `mac`.
    pub changes: Vec<Difference>,
}

/// Who an asset is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AssetBrief {
    /// Its address.
    pub ip: String,
    /// Its hardware address.
    pub mac: Option<String>,
    /// The part of the network.
    pub site: Option<String>,
    /// Who made it.
    pub vendor: String,
    /// What it is.
    pub product: String,
    /// The model.
    pub model: Option<String>,
    /// The version.
    pub version: Option<String>,
}

/// What is otherwise in the newer of two reports, each given with the name of its file.
pub fn diff(old: (&str, &Report), new: (&str, &Report)) -> Diff {
    let sides = [side(old), side(new)];
    let [older, newer] = [old.1, new.1];
    let appeared = only_in((newer, &sides[1]), (older, &sides[0]));
    let changed = changed((older, &sides[0]), (newer, &sides[1]));
    let became: Vec<&Changed> = changed.iter().filter(|one| one.began_to_leave()).collect();
    let new_leaving = appeared.iter().filter(|one| one.finding.crossing.leaves()).count() + became.len();
    let [old, new] = sides;
    Diff {
        format: FORMAT,
        program: PROGRAM.to_owned(),
        made_differently: made_differently(&older.header, &newer.header),
        stopped: only_in((older, &old), (newer, &new)),
        appeared,
        changed,
        assets: assets((older, &old), (newer, &new)),
        new_leaving,
        old,
        new,
    }
}

impl Diff {
    /// Nothing differs, but perhaps what the reports were made with.
    pub fn is_empty(&self) -> bool {
        self.appeared.is_empty()
            && self.stopped.is_empty()
            && self.changed.is_empty()
            && self.assets == Assets::default()
    }
}

impl Changed {
    fn began_to_leave(&self) -> bool {
        let crossing = self.changes.iter().find(|change| change.what == CROSSING);
        let left = crossing.is_some_and(|c| Crossing::ALL.iter().any(|word| word.name() == c.old && word.leaves()));
        crossing.is_some() && !left && self.finding.crossing.leaves()
    }
}

/// The name of the change that tells where a finding goes.
const CROSSING: &str = "crossing";

fn side((file, report): (&str, &Report)) -> Side {
    let Header { first_seen, last_seen, .. } = &report.header;
    let ends = first_seen.as_deref().and_then(moment).zip(last_seen.as_deref().and_then(moment));
    Side {
        file: file.to_owned(),
        first_seen: first_seen.clone(),
        last_seen: last_seen.clone(),
        seconds: ends.map_or(0, |(first, last)| seconds(first, last)),
        findings: report.findings.len(),
        assets: report.assets.len(),
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// Whole seconds from one moment to another; none backwards.
fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_second().saturating_sub(from.as_second())).unwrap_or(0)
}

/// What reports were made with, where that differs.
fn made_differently(old: &Header, new: &Header) -> Vec<Difference> {
    let or_none = |text: Option<&str>| text.unwrap_or("none").to_owned();
    let origin = |origin: &Option<Origin>| match origin {
        Some(Origin { name, sha256 }) => format!("{name} ({})", short(sha256)),
        None => "none".to_owned(),
    };
    let signatures = |summary: &SignatureSummary| {
        let pack = summary.pack.as_ref().map(|pack| format!(", pack {}", pack.name)).unwrap_or_default();
        format!("{} of {}{pack}", short(&summary.sha256), summary.oldest_check)
    };
    let home = |header: &Header| if header.home.is_empty() { "none".to_owned() } else { header.home.join(", ") };
    let pairs = [
        ("signatures", signatures(&old.signatures), signatures(&new.signatures)),
        ("home", home(old), home(new)),
        ("inside", old.inside.join(", "), new.inside.join(", ")),
        ("policy", origin(&old.policy), origin(&new.policy)),
        ("country database", old.country_database.clone(), new.country_database.clone()),
        ("AS database", or_none(old.asn_database.as_deref()), or_none(new.asn_database.as_deref())),
        ("filter", or_none(old.filter.as_deref()), or_none(new.filter.as_deref())),
        ("program", old.program.clone(), new.program.clone()),
        ("sensor", or_none(old.sensor.as_deref()), or_none(new.sensor.as_deref())),
    ];
    pairs.into_iter().filter_map(|(what, old, new)| difference(what, &old, &new)).collect()
}

/// The first digits of a digest.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn difference(what: &str, old: &str, new: &str) -> Option<Difference> {
    (old != new).then(|| Difference { what: what.to_owned(), old: old.to_owned(), new: new.to_owned() })
}

/// Findings of one report that the other does not have.
fn only_in((here, here_side): (&Report, &Side), (there, there_side): (&Report, &Side)) -> Vec<Moved> {
    let ids: BTreeSet<&str> = there.findings.iter().map(|finding| finding.id.as_str()).collect();
    let mut channels: BTreeMap<(&str, &str), BTreeSet<Option<&str>>> = BTreeMap::new();
    for finding in &there.findings {
        let countries = channels.entry((&finding.asset.ip, &finding.channel.id)).or_default();
        countries.insert(finding.destination.country.as_deref());
    }
    let kind = |finding: &Finding| match channels.get(&(finding.asset.ip.as_str(), finding.channel.id.as_str())) {
        None => Kind::Channel,
        Some(countries) if !countries.contains(&finding.destination.country.as_deref()) => Kind::Country,
        Some(_) => Kind::Destination,
    };
    let moved = |finding: &Finding| {
        let silence_seconds = silence(finding, here_side);
        Moved {
            kind: kind(finding),
            silence_seconds,
            too_short: there_side.seconds < silence_seconds,
            finding: brief(finding),
        }
    };
    let mut all: Vec<Moved> =
        here.findings.iter().filter(|finding| !ids.contains(finding.id.as_str())).map(moved).collect();
    all.sort_by_cached_key(|one| rank(&one.finding));
    all
}

/// The longest time without a flow of a finding, as far as its report goes.
fn silence(finding: &Finding, side: &Side) -> u64 {
    let starts = finding.schedule.starts.iter().map(|(start, _)| start.as_str());
    let ends = [side.first_seen.as_deref(), side.last_seen.as_deref()].into_iter().flatten();
    let seen = [finding.first_seen.as_str(), finding.last_seen.as_str()];
    let mut moments: Vec<Timestamp> = starts.chain(ends).chain(seen).filter_map(moment).collect();
    moments.sort_unstable();
    moments.iter().zip(moments.iter().skip(1)).map(|(one, next)| seconds(*one, *next)).max().unwrap_or(0)
}

fn brief(finding: &Finding) -> Brief {
    Brief {
        id: finding.id.clone(),
        ip: finding.asset.ip.clone(),
        site: finding.asset.site.clone(),
        vendor: finding.asset.vendor.clone(),
        product: finding.asset.product.clone(),
        channel: finding.channel.id.clone(),
        function: finding.channel.function.clone(),
        data: finding.channel.data.clone(),
        domain: finding.destination.domain.clone(),
        address: finding.destination.ip.first().cloned(),
        country: finding.destination.country.clone(),
        direction: finding.direction,
        crossing: finding.crossing,
        severity: finding.severity.clone(),
        attempted_only: finding.attempted_only,
        bytes_out: finding.bytes_out,
        bytes_in: finding.bytes_in,
        sessions: finding.sessions,
        first_seen: finding.first_seen.clone(),
        last_seen: finding.last_seen.clone(),
    }
}

/// Most serious first.
fn rank(finding: &Brief) -> impl Ord + use<> {
    let severity = ["high", "medium", "low", "info", "exempt"].iter().position(|word| *word == finding.severity);
    (finding.crossing, severity, Reverse(finding.bytes_out), finding.id.clone())
}

/// Findings of both that are otherwise.
fn changed((old, old_side): (&Report, &Side), (new, new_side): (&Report, &Side)) -> Vec<Changed> {
    let before: BTreeMap<&str, &Finding> = old.findings.iter().map(|finding| (finding.id.as_str(), finding)).collect();
    let spans = [old_side, new_side].map(|side| side.seconds.max(SPAN_SECONDS_MIN));
    let mut all = Vec::new();
    for now in &new.findings {
        let Some(then) = before.get(now.id.as_str()) else { continue };
        let tried = |finding: &Finding| if finding.attempted_only { "only tried" } else { "talked" };
        let changes: Vec<Difference> = [
            difference(CROSSING, then.crossing.name(), now.crossing.name()),
            difference("severity", &then.severity, &now.severity),
            difference("attempt", tried(then), tried(now)),
        ]
        .into_iter()
        .flatten()
        .collect();
        // What comes once in a while is no rate in a report that is shorter than that.
        let is_rate = old_side.seconds >= silence(now, new_side) && new_side.seconds >= silence(then, old_side);
        let both = [("out", then.bytes_out, now.bytes_out), ("in", then.bytes_in, now.bytes_in)];
        let much = |(direction, old, new)| volume(direction, old, new, spans).filter(|_| is_rate);
        let volumes: Vec<Volume> = both.into_iter().filter_map(much).collect();
        if !changes.is_empty() || !volumes.is_empty() {
            all.push(Changed { finding: brief(now), changes, volumes });
        }
    }
    all.sort_by_cached_key(|one| rank(&one.finding));
    all
}

/// A volume that differs by much from what the other one comes to in the same time.
fn volume(direction: &'static str, old: u64, new: u64, [old_seconds, new_seconds]: [u64; 2]) -> Option<Volume> {
    let expected = u128::from(old) * u128::from(new_seconds) / u128::from(old_seconds);
    let now = u128::from(new);
    let is_much = now.saturating_mul(VOLUME_TIMES) <= expected || expected.saturating_mul(VOLUME_TIMES) <= now;
    let times = (expected > 0).then(|| (now as f64 / expected as f64 * 10.0).round() / 10.0);
    let expected_bytes = u64::try_from(expected).unwrap_or(u64::MAX);
    (is_much && now.abs_diff(expected) >= VOLUME_BYTES_MIN).then_some(Volume {
        direction,
        old,
        expected: expected_bytes,
        new,
        times,
    })
}

/// What became of assets: those of one address are paired by maker first.
fn assets((old, old_side): (&Report, &Side), (new, new_side): (&Report, &Side)) -> Assets {
    let mut by_ip: BTreeMap<&str, [BTreeMap<&str, &Asset>; 2]> = BTreeMap::new();
    for (which, report) in [old, new].into_iter().enumerate() {
        for asset in &report.assets {
            let there = by_ip.entry(&asset.ip).or_default();
            if let Some(side) = there.get_mut(which) {
                side.insert(&asset.vendor, asset);
            }
        }
    }
    let mut found = Assets::default();
    for [mut before, mut after] in by_ip.into_values() {
        let mut pairs: Vec<(&Asset, &Asset)> = Vec::new();
        for vendor in before.keys().copied().collect::<Vec<_>>() {
            if let Some(now) = after.remove(vendor) {
                pairs.extend(before.remove(vendor).map(|then| (then, now)));
            }
        }
        // One went and one came at the same address: the box was exchanged.
        if let (1, 1) = (before.len(), after.len()) {
            pairs.extend(before.pop_first().zip(after.pop_first()).map(|((_, then), (_, now))| (then, now)));
        }
        found.vanished.extend(before.into_values().map(|asset| moved_asset(asset, old_side, new_side)));
        found.appeared.extend(after.into_values().map(|asset| moved_asset(asset, new_side, old_side)));
        found.changed.extend(pairs.into_iter().filter_map(|(then, now)| changed_asset(then, now)));
    }
    found
}

fn moved_asset(asset: &Asset, here: &Side, there: &Side) -> MovedAsset {
    let shown = asset.evidence.iter().filter_map(|evidence| moment(&evidence.first_seen)).min();
    let waited = here.first_seen.as_deref().and_then(moment).zip(shown).map(|(begin, shown)| seconds(begin, shown));
    MovedAsset { too_short: waited.is_some_and(|waited| there.seconds < waited), asset: asset_brief(asset) }
}

fn changed_asset(then: &Asset, now: &Asset) -> Option<ChangedAsset> {
    // What did not show itself is no change.
    let shown = |what: &str, then: &Option<String>, now: &Option<String>| {
        then.as_ref().zip(now.as_ref()).and_then(|(then, now)| difference(what, then, now))
    };
    let changes: Vec<Difference> = [
        difference("vendor", &then.vendor, &now.vendor),
        difference("product", &then.product, &now.product),
        shown("model", &then.model, &now.model),
        shown("version", &then.version, &now.version),
        shown("mac", &then.mac, &now.mac),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!changes.is_empty()).then(|| ChangedAsset { asset: asset_brief(now), changes })
}

fn asset_brief(asset: &Asset) -> AssetBrief {
    AssetBrief {
        ip: asset.ip.clone(),
        mac: asset.mac.clone(),
        site: asset.site.clone(),
        vendor: asset.vendor.clone(),
        product: asset.product.clone(),
        model: asset.model.clone(),
        version: asset.version.clone(),
    }
}
