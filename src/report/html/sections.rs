//! What each section of the page says, in one language.
//!
//! In: a report. Out: values for the template of the section. Numbers, times and names of places become text here.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;

use super::lang::{self, Lang};
use super::{channel_name, data, flow, recipients, timeline, why, world};
use crate::place::{Country, in_few_words};
use crate::record::{Crossing, Direction, Finding};
use crate::report::Report;
use crate::report::answer::{Answer, NOWHERE, is_told};
use crate::report::text::grouped;

/// Places that the answer names.
const PLACES_MAX: usize = 4;
/// Places whose English name takes an article.
const WITH_ARTICLE: [&str; 20] = [
    "AE", "BS", "CF", "DO", "EAEU", "EEA", "EFTA", "EU", "GB", "GCC", "GM", "KY", "MH", "MV", "NL", "PH", "SB", "SC",
    "US", "USMCA",
];
/// Findings that stand in the page without its script.
const FINDINGS_MAX: usize = 25;
/// Reasons of each of them.
const WHY_MAX: usize = 4;
/// Assets, inputs, damages and gaps that are listed.
const ASSETS_MAX: usize = 120;
const SOURCES_MAX: usize = 200;
const DAMAGES_MAX: usize = 50;
const GAPS_MAX: usize = 400;

/// The values of a section.
pub fn section(id: &str, report: &Report, lang: Lang) -> Value {
    match id {
        "answer" => answer(report, lang),
        "flow" => context! { flow => value(flow::flow(report, lang)), legend => legend(lang) },
        "map" => context! { world => value(world::world(report, lang)), home => homes(report, lang) },
        "timeline" => context! { timeline => value(timeline::timeline(report, lang)) },
        "findings" => findings(report, lang, |_| true, FINDINGS_MAX),
        "assets" => assets(report, lang),
        "recipients" => {
            let (rows, more) = recipients::recipients(report, lang);
            context! { rows => value(rows), more }
        }
        "inbound" => findings(
            report,
            lang,
            |finding| finding.direction == Direction::Inbound && finding.crossing != Crossing::Home,
            ASSETS_MAX,
        ),
        "unseen" => unseen(report, lang),
        _ => method(report, lang),
    }
}

/// A value for a template.
fn value(of: impl Serialize) -> Value {
    Value::from(Serde(of))
}

/// A name and what it comes to.
#[derive(Serialize)]
struct Pair {
    text: String,
    n: String,
}

fn pair(lang: Lang, key: &str, n: impl ToString) -> Pair {
    Pair { text: lang.text(key).to_owned(), n: n.to_string() }
}

fn homes(report: &Report, lang: Lang) -> String {
    let countries: Vec<Country> = report.header.home.iter().filter_map(|word| Country::from_word(word)).collect();
    match in_few_words(&countries) {
        words if words.is_empty() => lang.text("method.no-home").to_owned(),
        words => words.into_iter().map(|code| lang.nation(code)).collect::<Vec<_>>().join(lang.text("list")),
    }
}

/// The colours of the four words.
fn legend(lang: Lang) -> String {
    let mut html = String::from(r#"<ul class="legend">"#);
    for crossing in Crossing::ALL.iter().filter(|crossing| **crossing != Crossing::Home) {
        let name = crossing.name();
        html += &format!(r#"<li><i class="swatch {name}"></i>{}</li>"#, lang.text(&format!("crossing.{name}")));
    }
    html + "</ul>"
}

fn answer(report: &Report, lang: Lang) -> Value {
    let answer = Answer::of(report);
    let by = |crossing: Crossing| report.findings.iter().filter(|f| f.crossing == crossing).count() as u64;
    let back: u64 = report
        .findings
        .iter()
        .filter(|f| is_told(f, answer.borderless))
        .fold(0, |sum, f| sum.saturating_add(f.bytes_in));
    let channels = if answer.borderless { "channels-out" } else { "channels" };
    let hosts =
        report.findings.iter().map(|finding| &finding.asset.ip).chain(report.assets.iter().map(|asset| &asset.ip));
    let found = hosts.collect::<BTreeSet<_>>().len();
    let out = lang.bytes(answer.bytes_out);
    let (out, unit) = out.split_once('\u{a0}').unwrap_or((&out, ""));
    let numbers = [
        number(lang, "assets", grouped(answer.assets as u64), &[("n", &grouped(found as u64))]),
        number(
            lang,
            channels,
            grouped(answer.channels as u64),
            &[("a", &grouped(by(Crossing::Observed))), ("b", &grouped(by(Crossing::Probable)))],
        ),
        number(lang, "countries", grouped(answer.places.len() as u64), &[]),
        number(lang, "bytes", out.to_owned(), &[("n", &lang.bytes(back))]),
    ];
    let [assets, channels, countries, bytes] = numbers;
    let bytes = context! { unit, ..bytes };
    let crossings: Vec<Value> = Crossing::ALL
        .iter()
        .map(|crossing| {
            let word = crossing.name();
            let [text, note] =
                ["crossing", "crossing-note"].map(|about| lang.text(&format!("{about}.{word}")).to_owned());
            context! { word, text, note, n => grouped(by(*crossing)) }
        })
        .collect();
    context! {
        sentence => sentence(&answer, lang),
        about => about(report, lang),
        numbers => [assets, channels, countries, bytes],
        crossings,
        cautions => cautions(report, lang),
    }
}

fn number(lang: Lang, name: &str, value: String, slots: &[(&str, &str)]) -> Value {
    let (label, note) = (format!("answer.{name}"), format!("answer.{name}-note"));
    context! { label => lang.text(&label), note => lang.fill(&note, slots), value }
}

fn sentence(answer: &Answer<'_>, lang: Lang) -> String {
    if lang == Lang::En {
        return answer.sentence(PLACES_MAX, &|code, bytes| {
            let the = if WITH_ARTICLE.contains(&code) { "the " } else { "" };
            place(lang, &format!("{the}{}", lang.nation(code)), bytes)
        });
    }
    let count = |n: usize| grouped(n as u64);
    match (answer.channels, answer.recognised) {
        (0, 0) => lang.text("answer.none").to_owned(),
        (0, n) if answer.borderless => lang.fill("answer.inside", &[("n", &count(n))]),
        (0, n) => lang.fill("answer.home", &[("n", &count(n))]),
        (n, _) => {
            let shown = answer.places.iter().take(PLACES_MAX);
            let places: Vec<String> = shown.map(|(code, bytes)| place(lang, lang.nation(code), *bytes)).collect();
            let mut places = places.join(lang.text("list"));
            if answer.places.len() > PLACES_MAX {
                places += &lang.fill("answer.places-more", &[("n", &count(answer.places.len() - PLACES_MAX))]);
            }
            let slots = [("channels", &*count(n)), ("assets", &*count(answer.assets)), ("places", &*places)];
            lang.fill(if answer.borderless { "answer.goes-out" } else { "answer.leaves" }, &slots)
        }
    }
}

/// A place with what goes there.
fn place(lang: Lang, name: &str, bytes: u64) -> String {
    let amount = if bytes == 0 { lang.text("attempt").to_owned() } else { lang.bytes(bytes) };
    lang.fill("answer.place", &[("name", name), ("bytes", &amount)])
}

fn about(report: &Report, lang: Lang) -> String {
    let header = &report.header;
    let home = homes(report, lang);
    let (Some(first), Some(last)) = (&header.first_seen, &header.last_seen) else {
        return lang.fill("answer.about-nothing", &[("home", &home)]);
    };
    let minute = |time: &str| lang::moment(time).get(..16).unwrap_or_default().to_owned();
    lang.fill(
        "answer.about",
        &[
            ("packets", &lang.count(report.ledger.received, "packet")),
            ("flows", &lang.count(header.flows, "flow")),
            ("first", &minute(first)),
            ("last", &minute(last)),
            ("home", &home),
        ],
    )
}

/// What a reader must know before the numbers.
fn cautions(report: &Report, lang: Lang) -> Vec<String> {
    let ledger = &report.ledger;
    let mut lines = Vec::new();
    if !report.header.damage.is_empty() {
        lines.push(lang.fill("answer.care-damage", &[("n", &grouped(report.header.damage.len() as u64))]));
    }
    let lost = ledger.received.saturating_sub(ledger.decoded);
    // A few frames without IP are in every capture.
    if lost > ledger.received / 20 {
        lines.push(lang.fill("answer.care-lost", &[("n", &grouped(lost)), ("all", &grouped(ledger.received))]));
    }
    let all = ledger.missing_bytes.saturating_add(ledger.tcp_payload_bytes);
    if ledger.missing_bytes > all / 100 {
        let share = format!("{:.0} %", ledger.missing_bytes as f64 / all.max(1) as f64 * 100.0);
        lines.push(lang.fill("answer.care-missing", &[("share", &share)]));
    }
    let one_sided = sum(report, |finding| finding.loss.one_sided);
    if one_sided > 0 {
        lines.push(lang.fill("answer.care-one", &[("n", &grouped(one_sided))]));
    }
    lines
}

fn sum(report: &Report, of: impl Fn(&Finding) -> u64) -> u64 {
    report.findings.iter().map(of).fold(0, u64::saturating_add)
}

/// A sentence of a finding; `english` when there is no other.
#[derive(Serialize)]
struct Why {
    text: String,
    english: bool,
}

fn findings(report: &Report, lang: Lang, is: impl Fn(&Finding) -> bool, max: usize) -> Value {
    let all: Vec<&Finding> = report.findings.iter().filter(|finding| is(finding)).collect();
    let rows: Vec<Value> = all.iter().take(max).map(|finding| row(finding, lang)).collect();
    context! { rows, more => all.len().saturating_sub(max) }
}

fn row(finding: &Finding, lang: Lang) -> Value {
    let to = &finding.destination;
    let crossing = finding.crossing.name();
    let name = to.domain.as_deref().or(to.ip.first().map(String::as_str)).unwrap_or_default();
    let why: Vec<Why> = finding
        .why
        .iter()
        .take(WHY_MAX)
        .map(|sentence| match (lang, why::chinese(sentence)) {
            (Lang::Zh, Some(text)) => Why { text, english: false },
            (_, _) => Why { text: sentence.clone(), english: lang == Lang::Zh },
        })
        .collect();
    let severity = &finding.severity;
    context! {
        severity,
        crossing,
        why => value(why),
        severity_text => lang.text(&format!("severity.{severity}")),
        crossing_text => lang.text(&format!("crossing.{crossing}")),
        ip => finding.asset.ip.as_str(),
        product => finding.asset.product.as_str(),
        slug => data::slug(&finding.asset.ip, &finding.asset.vendor),
        channel => channel_name(finding, lang),
        function => lang.text(&format!("function.{}", finding.channel.function)),
        country => lang.nation(to.country.as_deref().unwrap_or(NOWHERE)),
        name,
        out => if finding.attempted_only { lang.text("attempt").to_owned() } else { lang.bytes(finding.bytes_out) },
        back => lang.bytes(finding.bytes_in),
    }
}

fn assets(report: &Report, lang: Lang) -> Value {
    let mut seen: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for finding in report.findings.iter().filter(|finding| finding.crossing != Crossing::Home) {
        let (n, out) = seen.entry((&finding.asset.ip, &finding.asset.vendor)).or_default();
        *n += 1;
        *out = out.saturating_add(finding.bytes_out);
    }
    let rows: Vec<Value> = report
        .assets
        .iter()
        .take(ASSETS_MAX)
        .map(|asset| {
            let (n, out) = seen.get(&(asset.ip.as_str(), asset.vendor.as_str())).copied().unwrap_or_default();
            let model = asset.model.as_ref().map(|model| format!(", {model}")).unwrap_or_default();
            let facts = [
                ("confidence", asset.confidence.to_string()),
                ("findings", lang.count(n, "channel")),
                ("out", lang.bytes(out)),
            ];
            let facts: Vec<(&str, &str)> = facts.iter().map(|(slot, value)| (*slot, value.as_str())).collect();
            context! {
                ip => asset.ip.as_str(),
                mac => asset.mac.as_deref(),
                product => format!("{}{model}", asset.product),
                slug => data::slug(&asset.ip, &asset.vendor),
                facts => lang.fill("assets.facts", &facts),
            }
        })
        .collect();
    context! { rows, more => report.assets.len().saturating_sub(ASSETS_MAX) }
}

fn unseen(report: &Report, lang: Lang) -> Value {
    let ledger = &report.ledger;
    let header = &report.header;
    let packets = [("decoded", grouped(ledger.decoded)), ("received", grouped(ledger.received))];
    let packets: Vec<(&str, &str)> = packets.iter().map(|(slot, value)| (*slot, value.as_str())).collect();
    let reasons: Vec<Value> = ledger
        .not_decoded
        .iter()
        .chain(&ledger.later)
        .map(|(name, n)| {
            let key = format!("reason.{name}");
            let text = lang.text(&key);
            context! { text => if text == key { "" } else { text }, name, n => grouped(*n) }
        })
        .collect();
    let missing = (ledger.missing_bytes > 0).then(|| {
        let all = lang.bytes(ledger.missing_bytes.saturating_add(ledger.tcp_payload_bytes));
        lang.fill("unseen.missing", &[("missing", &lang.bytes(ledger.missing_bytes)), ("all", &all)])
    });
    let damage: Vec<Value> = header
        .damage
        .iter()
        .take(DAMAGES_MAX)
        .map(|line| {
            context! { input => line.input.as_str(), offset => grouped(line.offset), reason => line.reason.as_str() }
        })
        .collect();
    let hidden = sum(report, |finding| u64::from(finding.why.iter().any(|why| why.contains("(ECH)"))));
    let nameless = sum(report, |finding| u64::from(finding.destination.domain.is_none()));
    let partly = [
        pair(lang, "unseen.hidden", grouped(hidden)),
        pair(lang, "unseen.nameless", grouped(nameless)),
        pair(lang, "unseen.one-sided", grouped(sum(report, |f| f.loss.one_sided))),
        pair(lang, "unseen.midstream", grouped(sum(report, |f| f.loss.midstream))),
        pair(lang, "unseen.truncated", grouped(sum(report, |f| f.loss.truncated))),
        pair(lang, "unseen.evicted", grouped(sum(report, |f| f.loss.evicted))),
        pair(lang, "unseen.transit", grouped(header.transit_flows)),
    ];
    let day = header.last_seen.as_deref().and_then(|time| time.get(..10)).unwrap_or("–");
    let ages = [
        pair(lang, "unseen.age-signatures", &header.signatures.oldest_check),
        pair(lang, "unseen.age-countries", &header.country_database),
        pair(lang, "unseen.age-asn", header.asn_database.as_deref().unwrap_or(lang.text("unseen.no-asn"))),
        pair(lang, "unseen.age-last", day),
    ];
    let (gaps, gaps_more) = gaps(report);
    context! {
        packets => lang.fill("unseen.packets", &packets),
        reasons,
        missing,
        damage,
        damage_more => header.damage.len().saturating_sub(DAMAGES_MAX),
        partly => value(partly),
        ages => value(ages),
        gaps,
        gaps_more,
    }
}

/// Gaps by vendor, and how many are left out.
fn gaps(report: &Report) -> (Vec<Value>, usize) {
    let mut vendors: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for gap in report.gaps.iter().take(GAPS_MAX) {
        let line = context! { product => gap.product.as_str(), what => gap.what.as_str(), id => gap.id.as_str() };
        vendors.entry(&gap.vendor).or_default().push(line);
    }
    let rows = vendors.into_iter().map(|(vendor, lines)| context! { vendor, n => lines.len(), lines });
    (rows.collect(), report.gaps.len().saturating_sub(GAPS_MAX))
}

fn method(report: &Report, lang: Lang) -> Value {
    let header = &report.header;
    let words: Vec<Value> = Crossing::ALL
        .iter()
        .map(|crossing| {
            let word = crossing.name();
            let [text, note] =
                ["crossing", "crossing-long"].map(|about| lang.text(&format!("{about}.{word}")).to_owned());
            context! { word, text, note }
        })
        .collect();
    let sources: Vec<Value> = header
        .sources
        .iter()
        .take(SOURCES_MAX)
        .map(|source| {
            context! {
                input => source.input.as_str(),
                packets => grouped(source.packets),
                sha256 => source.sha256.as_deref().unwrap_or(lang.text("method.no-digest")),
            }
        })
        .collect();
    context! {
        words,
        pairs => value(pairs(report, lang)),
        sources,
        sources_more => header.sources.len().saturating_sub(SOURCES_MAX),
        command => command(report, lang),
    }
}

fn pairs(report: &Report, lang: Lang) -> Vec<Pair> {
    let header = &report.header;
    let used = &header.signatures;
    let counts = [
        ("vendors", used.vendors.to_string()),
        ("identities", used.identities.to_string()),
        ("channels", used.channels.to_string()),
        ("sha256", used.sha256.clone()),
    ];
    let counts: Vec<(&str, &str)> = counts.iter().map(|(slot, value)| (*slot, value.as_str())).collect();
    let none = || lang.text("method.none").to_owned();
    let mut pairs = vec![
        pair(lang, "method.program", &header.program),
        pair(lang, "method.format", header.format),
        pair(lang, "method.signatures", lang.fill("method.signatures-value", &counts)),
    ];
    if let Some(pack) = &used.pack {
        let serial = pack.serial.to_string();
        let slots = [("name", &*pack.name), ("serial", &serial), ("key", &pack.key_id), ("sha256", &pack.sha256)];
        pairs.push(pair(lang, "method.pack", lang.fill("method.pack-value", &slots)));
    }
    for (key, origin) in [("method.policy", &header.policy), ("method.baseline", &header.baseline)] {
        let Some(origin) = origin else { continue };
        let slots = [("name", &*origin.name), ("sha256", &origin.sha256)];
        pairs.push(pair(lang, key, lang.fill("method.origin", &slots)));
    }
    pairs.extend([
        pair(lang, "method.country-db", &header.country_database),
        pair(lang, "method.asn-db", header.asn_database.clone().unwrap_or_else(none)),
        pair(lang, "method.home", homes(report, lang)),
        pair(lang, "method.inside", header.inside.join(lang.text("list"))),
        pair(lang, "method.filter", header.filter.clone().unwrap_or_else(none)),
    ]);
    if let Some(key) = &header.anonymised {
        pairs.push(pair(lang, "method.anonymised", lang.fill("method.anonymised-value", &[("key", key)])));
    }
    pairs
}

/// The command that makes the page again, as a shell reads it.
fn command(report: &Report, lang: Lang) -> String {
    let header = &report.header;
    let mut words = vec!["bordertap".to_owned(), "scan".to_owned()];
    let inputs: BTreeSet<&str> = header.inputs.iter().map(String::as_str).collect();
    words.extend(header.inputs.iter().take(SOURCES_MAX).map(|input| quoted(input)));
    if inputs.len() > SOURCES_MAX {
        words.push("…".to_owned());
    }
    if let Some(policy) = &header.policy {
        words.extend(["--policy".to_owned(), quoted(&policy.name)]);
    }
    if !header.home.is_empty() {
        words.extend(["--home".to_owned(), header.home.join(",")]);
    }
    words.extend(["--inside".to_owned(), header.inside.join(",")]);
    if header.anonymised.is_some() {
        words.extend(["--anonymise", "KEYFILE"].map(str::to_owned));
    }
    if let Some(filter) = &header.filter {
        words.extend(["--filter".to_owned(), quoted(filter)]);
    }
    if let Some(baseline) = &header.baseline {
        words.extend(["--baseline".to_owned(), quoted(&baseline.name)]);
    }
    words.extend(["--report", "report.html", "--lang", lang.code()].map(str::to_owned));
    words.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,@%+=".contains(c);
    let word = if word.starts_with('-') && word != "-" { format!("./{word}") } else { word.to_owned() };
    if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_words_as_they_are() {
        assert_eq!(quoted("a/b-1.pcap"), "a/b-1.pcap");
        assert_eq!(quoted("two words"), "'two words'");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted("--home"), "./--home");
        assert_eq!(quoted(""), "''");
    }
}
