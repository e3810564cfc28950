//! The data of the page for its script: what is said once is written once.
//!
//! In: a report. Out: compact JSON that may stand in a `<script>` element. Findings are arrays of numbers that point into lists of
//! hosts, channels, kinds, ends of names, and sentences; `script.js` reads them by the same order. Text from the wire is made visible
//! here, so that the script only has to put it down as text.

use std::collections::HashMap;
use std::hash::Hash;

use serde_json::{Value, json};

use super::lang::{self, Lang};
use super::why;
use crate::record::{Asset, Crossing, Direction, Evidence, Finding, FindingAsset};
use crate::report::Report;
use crate::report::answer::NOWHERE;
use crate::report::markup::visible;
use crate::report::text::grouped;

/// Addresses of one finding; the JSON report has them all.
const ADDRESSES_MAX: usize = 8;

/// Values by the order in which they came.
struct Pool<K> {
    places: HashMap<K, usize>,
    values: Vec<Value>,
}

impl<K: Hash + Eq> Pool<K> {
    fn new() -> Pool<K> {
        Pool { places: HashMap::new(), values: Vec::new() }
    }

    fn put(&mut self, key: K, value: impl FnOnce() -> Value) -> usize {
        let next = self.values.len();
        *self.places.entry(key).or_insert_with(|| {
            self.values.push(value());
            next
        })
    }
}

/// A pool of texts.
impl<'a> Pool<&'a str> {
    fn text(&mut self, text: &'a str) -> usize {
        self.put(text, || json!(text))
    }
}

struct Writer<'a> {
    start: i64,
    texts: Pool<&'a str>,
    hosts: Pool<(&'a str, &'a str, &'a str)>,
    channels: Pool<String>,
    shapes: Pool<Vec<Value>>,
    whys: Pool<Vec<usize>>,
    months: Pool<&'a str>,
    kinds: Pool<String>,
}

/// The document.
pub fn data(report: &Report, lang: Lang) -> String {
    let start = report.header.first_seen.as_deref().and_then(lang::seconds).unwrap_or(0);
    let mut writer = Writer {
        start,
        texts: Pool::new(),
        hosts: Pool::new(),
        channels: Pool::new(),
        shapes: Pool::new(),
        whys: Pool::new(),
        months: Pool::new(),
        kinds: Pool::new(),
    };
    // Assets first: they know more of a host than a finding does.
    for asset in &report.assets {
        writer.asset(asset);
    }
    let findings: Vec<Value> = report.findings.iter().map(|finding| writer.finding(finding)).collect();
    let document = json!({
        "lang": lang.code(),
        "start": start,
        "words": words(),
        "countries": countries(report),
        "patterns": why::PATTERNS,
        "phrases": why::PHRASES,
        "texts": writer.texts.values,
        "hosts": slugged(writer.hosts.values),
        "channels": writer.channels.values,
        "shapes": writer.shapes.values,
        "whys": writer.whys.values,
        "months": writer.months.values,
        "kinds": writer.kinds.values,
        "findings": findings,
    });
    in_script(&shown(document).to_string())
}

/// Every text of a value, made visible.
fn shown(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(visible(&text).into_owned()),
        Value::Array(values) => Value::Array(values.into_iter().map(shown).collect()),
        Value::Object(values) => {
            Value::Object(values.into_iter().map(|(key, value)| (visible(&key).into_owned(), shown(value))).collect())
        }
        other => other,
    }
}

/// JSON that ends no element and begins no comment; U+2028 and U+2029 are ends of lines to some.
fn in_script(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// Sentences and words that the script needs.
fn words() -> Value {
    const PREFIXES: [&str; 13] = [
        "ui.",
        "function.",
        "data.",
        "crossing.",
        "severity.",
        "direction.",
        "basis.",
        "attempt",
        "place.",
        "list",
        "comma",
        "time.",
        "count.",
    ];
    let words = PREFIXES.iter().flat_map(|prefix| lang::all(prefix));
    Value::Object(words.map(|(key, both)| (key.to_owned(), json!(both))).collect())
}

fn countries(report: &Report) -> Value {
    let codes = report.findings.iter().map(|finding| finding.destination.country.as_deref().unwrap_or(NOWHERE));
    let of_assets = report.assets.iter().flat_map(|asset| asset.by_country.keys().map(String::as_str));
    Value::Object(codes.chain(of_assets).map(|code| (code.to_owned(), json!(lang::nation(code)))).collect())
}

/// Gives every host the word of its link: address and vendor, a number behind what would be there twice.
fn slugged(mut hosts: Vec<Value>) -> Vec<Value> {
    let mut taken: HashMap<String, usize> = HashMap::new();
    for host in &mut hosts {
        let text = |at: usize| host.get(at).and_then(Value::as_str).unwrap_or_default();
        let mut word = slug(text(0), text(2));
        let times = taken.entry(word.clone()).and_modify(|n| *n += 1).or_insert(1);
        if *times > 1 {
            word = format!("{word}-{times}");
        }
        if let Some(cells) = host.as_array_mut() {
            cells.push(json!(word));
        }
    }
    hosts
}

/// The word of a host's link, `10.20.0.1-fortinet`.
pub fn slug(ip: &str, vendor: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | ':') { c.to_ascii_lowercase() } else { '-' };
    format!("{ip}-{vendor}").chars().map(kept).collect()
}

impl<'a> Writer<'a> {
    fn asset(&mut self, asset: &'a Asset) {
        let evidence: Vec<Value> = asset.evidence.iter().map(|piece| self.evidence(piece)).collect();
        let by_country: Vec<Value> =
            asset.by_country.iter().map(|(code, bytes)| json!([code, bytes.bytes_out, bytes.bytes_in])).collect();
        self.hosts.put((&asset.ip, &asset.vendor, &asset.product), || {
            json!([
                asset.ip,
                asset.mac,
                &asset.vendor,
                &asset.product,
                asset.model.as_deref(),
                asset.version.as_deref(),
                asset.confidence,
                u8::from(asset.shared_address),
                evidence,
                [asset.bytes_out, asset.bytes_in],
                by_country,
                asset.site,
            ])
        });
    }

    fn host(&mut self, asset: &'a FindingAsset) -> usize {
        let key = (asset.ip.as_str(), asset.vendor.as_str(), asset.product.as_str());
        if let Some(&at) = self.hosts.places.get(&key) {
            return at;
        }
        let evidence: Vec<Value> = asset.evidence.iter().map(|piece| self.evidence(piece)).collect();
        self.hosts.put(key, || {
            json!([
                asset.ip,
                asset.mac,
                &asset.vendor,
                &asset.product,
                null,
                null,
                asset.confidence,
                0,
                evidence,
                null,
                [],
                asset.site,
            ])
        })
    }

    fn evidence(&mut self, piece: &'a Evidence) -> Value {
        json!([
            self.texts.text(&piece.field),
            self.texts.text(&piece.value),
            self.texts.text(&piece.signature),
            self.texts.text(&piece.matched),
            piece.confidence,
            self.second(&piece.first_seen),
            piece.packet,
        ])
    }

    fn channel(&mut self, finding: &'a Finding) -> usize {
        let channel = &finding.channel;
        let source: Vec<usize> = channel.source.iter().map(|source| self.texts.text(source)).collect();
        let matched: Vec<usize> = channel.matched.iter().map(|matched| self.texts.text(matched)).collect();
        let key = format!("{}\0{}\0{}", channel.id, channel.vendor, channel.matched.join("\0"));
        self.channels.put(key, || {
            json!([
                &channel.id,
                &channel.vendor,
                &channel.product,
                &channel.function,
                channel.data,
                channel.data_basis,
                channel.basis,
                source,
                channel.off_switch.as_deref(),
                matched,
                channel.confidence,
            ])
        })
    }

    fn finding(&mut self, finding: &'a Finding) -> Value {
        let host = self.host(&finding.asset);
        let channel = self.channel(finding);
        let kind = self.kind(finding);
        let (label, parent) = self.name(finding.destination.domain.as_deref());
        let ip: Vec<&str> = finding.destination.ip.iter().take(ADDRESSES_MAX).map(String::as_str).collect();
        let first = self.second(&finding.first_seen);
        let months = self.months(finding);
        let why = self.why(finding);
        json!([
            finding.id,
            host,
            channel,
            label,
            parent,
            if let [one] = ip[..] { json!(one) } else { json!(ip) },
            kind,
            finding.bytes_out,
            finding.bytes_in,
            finding.sessions,
            first,
            self.second(&finding.last_seen).saturating_sub(first),
            months,
            why,
        ])
    }

    /// A name as its first label and the number of what stands behind; names of one domain share that.
    fn name(&mut self, name: Option<&'a str>) -> (Value, usize) {
        let Some(name) = name else { return (json!(0), 0) };
        let (label, parent) = name.split_once('.').map_or((name, ""), |(label, _)| (label, &name[label.len()..]));
        (json!(label), self.texts.text(parent))
    }

    /// What many findings have in common: where, how sure, how grave, which way.
    fn kind(&mut self, finding: &'a Finding) -> usize {
        let to = &finding.destination;
        let loss = &finding.loss;
        let loss = [loss.missing_bytes, loss.one_sided, loss.midstream, loss.truncated, loss.evicted];
        let operator = to.as_.as_ref().map(|as_| json!([as_.number, &as_.organization]));
        let more = to.ip.len().saturating_sub(ADDRESSES_MAX);
        let cells = json!([
            to.country.as_deref(),
            to.country_basis,
            to.country_confidence,
            operator,
            Crossing::ALL.iter().position(|crossing| *crossing == finding.crossing),
            finding.severity,
            u8::from(finding.attempted_only),
            u8::from(finding.direction == Direction::Inbound),
            if loss.iter().all(|n| *n == 0) { json!(0) } else { json!(loss) },
            more,
            u8::from(finding.new == Some(true)),
        ]);
        self.kinds.put(cells.to_string(), || cells)
    }

    /// Seconds since the first packet of the report.
    fn second(&self, time: &str) -> i64 {
        lang::seconds(time).map_or(0, |second| second.saturating_sub(self.start))
    }

    /// Number, bytes out and in of each month; the last one has what is left of the finding's bytes and is only a number. Bytes
    /// that do not add up to the finding's have no rest.
    fn months(&mut self, finding: &'a Finding) -> Value {
        let mut cells = Vec::new();
        let (mut out, mut back) = (finding.bytes_out, finding.bytes_in);
        for (n, (month, bytes)) in finding.by_month.iter().enumerate() {
            let at = self.months.put(month, || json!(month));
            let is_rest = n + 1 == finding.by_month.len() && (bytes.bytes_out, bytes.bytes_in) == (out, back);
            cells.push(json!(at));
            if !is_rest {
                cells.extend([json!(bytes.bytes_out), json!(bytes.bytes_in)]);
                (out, back) = (out.saturating_sub(bytes.bytes_out), back.saturating_sub(bytes.bytes_in));
            }
        }
        if let [month] = &cells[..] { month.clone() } else { Value::Array(cells) }
    }

    /// The reasons as a number of a list of shapes: a pattern with its slots. Slots that repeat what the finding says anyway are
    /// numbers: 0 bytes out, 1 bytes in, 2 first address, 3 name; so most findings share their reasons.
    fn why(&mut self, finding: &'a Finding) -> usize {
        let bytes = |n: u64| format!("{} byte{}", grouped(n), if n == 1 { "" } else { "s" });
        let (out, back) = (bytes(finding.bytes_out), bytes(finding.bytes_in));
        let own = |slot: &str| match slot {
            slot if slot == out => json!(0),
            slot if slot == back => json!(1),
            slot if Some(slot) == finding.destination.ip.first().map(String::as_str) => json!(2),
            slot if Some(slot) == finding.destination.domain.as_deref() => json!(3),
            slot => json!(slot),
        };
        let mut sentences = Vec::with_capacity(finding.why.len());
        for sentence in &finding.why {
            let shape = match why::recognised(sentence, why::PATTERNS) {
                Some((pattern, slots)) => {
                    std::iter::once(json!(pattern)).chain(slots.into_iter().map(own)).collect::<Vec<_>>()
                }
                None => vec![json!(sentence)],
            };
            sentences.push(self.shapes.put(shape.clone(), || Value::Array(shape)));
        }
        self.whys.put(sentences.clone(), || json!(sentences))
    }
}
