//! The policy file.
//!
//! In: TOML text. Out: [`Parts`], or every mistake with file, line and key. Every key is looked at here; one that nobody
//! asked for is a mistake.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::rules::{Alert, Countries, Exemption, Severities};
use super::{Crossing, FUNCTIONS, Mistake, PolicyError, Severity, home, prefix};
use crate::place::{Country, Prefix};
use crate::signature::words::Data;
use crate::time::Time;

/// Bytes of a policy file; a longer one is refused.
pub const POLICY_BYTES_MAX: u64 = 1 << 20;
/// Mistakes told of one file.
pub const MISTAKES_MAX: usize = 100;

const KEYS: &[&str] = &["home", "inside", "exempt", "site", "severity", "alert"];
const EXEMPT: &[&str] = &["channel", "owner", "reason", "until", "site", "asset", "country", "domain"];
const ALERT: &[&str] = &["severity", "crossing", "function", "data", "country", "month_bytes_out"];

/// What a file says; `None` where it says nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    pub home: Option<Vec<Country>>,
    pub inside: Option<Vec<Prefix>>,
    pub exempt: Vec<Exemption>,
    pub sites: Vec<Site>,
    pub severity: Severities,
    /// Lines of `[severity.data]`.
    pub data_lines: BTreeMap<String, usize>,
    pub alert: Option<Alert>,
}

/// A part of the network.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub name: String,
    pub prefixes: Vec<Prefix>,
    /// Where its prefixes stand.
    pub line: usize,
}

/// The text of a policy file.
pub(super) fn read(path: &Path) -> Result<String, PolicyError> {
    let failed = |reason: String| PolicyError::Read { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| failed(e.to_string()))?;
    file.take(POLICY_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| failed(e.to_string()))?;
    if bytes.len() as u64 > POLICY_BYTES_MAX {
        return Err(failed(format!("more than the {POLICY_BYTES_MAX} bytes that a policy may have")));
    }
    String::from_utf8(bytes).map_err(|_| failed("not UTF-8 text".into()))
}

/// Reads the text of a policy file: what it says, and what is wrong in it, by line.
pub(super) fn parse(text: &str) -> (Parts, Vec<Mistake>) {
    let mut reader = Reader { text, mistakes: Vec::new() };
    let mut parts = Parts::default();
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        reader.wrong(&error.span().unwrap_or(0..0), "", error.message().trim().replace('\n', "; "));
    }
    // What is missing in broken TOML may only stand where it cannot be read.
    if errors.is_empty() {
        reader.document(document.get_ref(), &mut parts);
    }
    reader.mistakes.sort();
    (parts, reader.mistakes)
}

type Value<'t> = Spanned<DeValue<'t>>;

/// The text, and what was found to be wrong in it.
struct Reader<'t> {
    text: &'t str,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn line(&self, at: &Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..at.start).unwrap_or_default();
        before.iter().filter(|b| **b == b'\n').count() + 1
    }

    fn wrong(&mut self, at: &Range<usize>, key: &str, reason: impl Into<String>) {
        let line = self.line(at);
        self.mistakes.push(Mistake { line, key: key.into(), reason: reason.into() });
    }

    fn unknown(&mut self, at: &Range<usize>, above: &str, key: &str, known: &[&str]) {
        let key = key.escape_default();
        self.wrong(at, &format!("{above}{key}"), format!("unknown key; known are {}", known.join(", ")));
    }

    fn document(&mut self, document: &DeTable<'_>, parts: &mut Parts) {
        for (key, value) in document {
            match key.get_ref().as_ref() {
                "home" => parts.home = self.homes(value),
                "inside" => parts.inside = self.some(value, "inside", prefix),
                "exempt" => self.exempt(value, parts),
                "site" => self.sites(value, parts),
                "severity" => self.severity(value, parts),
                "alert" => parts.alert = self.alert(value),
                other => self.unknown(&key.span(), "", other, KEYS),
            }
        }
        self.known_sites(document, parts);
    }

    fn text<'v>(&mut self, value: &'v Value<'_>, key: &str) -> Option<&'v str> {
        match value.get_ref().as_str() {
            // Words of a policy are printed as they stand.
            Some(text) if text.contains(is_hidden) => {
                self.wrong(&value.span(), key, "has a character that is not shown")
            }
            Some(text) if !text.trim().is_empty() => return Some(text.trim()),
            Some(_) => self.wrong(&value.span(), key, "is empty"),
            None => self.wrong(&value.span(), key, "must be text"),
        }
        None
    }

    /// An array of words; those that are wrong are left out and told.
    fn each<T>(&mut self, value: &Value<'_>, key: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        let Some(items) = value.get_ref().as_array() else {
            self.wrong(&value.span(), key, "must be an array of text");
            return None;
        };
        let mut all = Vec::new();
        for item in items {
            let Some(text) = self.text(item, key) else { continue };
            match read(text) {
                Ok(one) => all.push(one),
                Err(reason) => self.wrong(&item.span(), key, reason),
            }
        }
        Some(all)
    }

    /// As [`Reader::each`], and not empty.
    fn some<T>(&mut self, value: &Value<'_>, key: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        if value.get_ref().as_array().is_some_and(|items| items.is_empty()) {
            self.wrong(&value.span(), key, "is empty");
            return None;
        }
        self.each(value, key, read)
    }

    /// Countries and groups as countries, none twice. No country at all is a policy without a home.
    fn homes(&mut self, value: &Value<'_>) -> Option<Vec<Country>> {
        let words = self.each(value, "home", home)?;
        Some(super::unique(words.into_iter().flatten()))
    }

    /// The table of `[key]`.
    fn table<'v, 't>(&mut self, value: &'v Value<'t>, key: &str) -> Option<&'v DeTable<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong(&value.span(), key, format!("must be written as [{key}]"));
        }
        table
    }

    /// The tables of `[[key]]`, each with where it starts.
    fn tables<'v, 't>(&mut self, value: &'v Value<'t>, key: &str) -> Vec<(Range<usize>, &'v DeTable<'t>)> {
        let reason = format!("must be written as [[{key}]]");
        let Some(items) = value.get_ref().as_array() else {
            self.wrong(&value.span(), key, reason);
            return Vec::new();
        };
        let mut all = Vec::new();
        for item in items {
            match item.get_ref().as_table() {
                Some(table) => all.push((item.span(), table)),
                None => self.wrong(&item.span(), key, reason.as_str()),
            }
        }
        all
    }

    /// What a table must have: `None` is told as missing, unless it is there and wrong.
    fn needed<T>(
        &mut self,
        at: &Range<usize>,
        table: &DeTable<'_>,
        name: &str,
        key: &str,
        value: Option<T>,
    ) -> Option<T> {
        if value.is_none() && !table.iter().any(|(there, _)| there.get_ref() == key) {
            self.wrong(at, &format!("{name}.{key}"), "is missing");
        }
        value
    }

    fn exempt(&mut self, value: &Value<'_>, parts: &mut Parts) {
        for (at, table) in self.tables(value, "exempt") {
            let (mut channel, mut owner, mut reason, mut until) = (None, None, None, None);
            let (mut sites, mut assets, mut countries, mut domains) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for (key, value) in table {
                match key.get_ref().as_ref() {
                    "channel" => channel = self.text(value, "exempt.channel"),
                    "owner" => owner = self.text(value, "exempt.owner"),
                    "reason" => reason = self.text(value, "exempt.reason"),
                    "until" => until = self.last_day(value),
                    "site" => sites = self.some(value, "exempt.site", |word| Ok(word.to_owned())).unwrap_or_default(),
                    "asset" => assets = self.some(value, "exempt.asset", prefix).unwrap_or_default(),
                    "country" => countries = self.some(value, "exempt.country", home).unwrap_or_default(),
                    "domain" => domains = self.some(value, "exempt.domain", domain).unwrap_or_default(),
                    other => self.unknown(&key.span(), "exempt.", other, EXEMPT),
                }
            }
            let channel = self.needed(&at, table, "exempt", "channel", channel);
            let owner = self.needed(&at, table, "exempt", "owner", owner);
            let reason = self.needed(&at, table, "exempt", "reason", reason);
            let until = self.needed(&at, table, "exempt", "until", until);
            let (Some(channel), Some(owner), Some(reason), Some((until, end))) = (channel, owner, reason, until) else {
                continue;
            };
            let exemption = Exemption {
                channel: channel.to_owned(),
                owner: owner.to_owned(),
                reason: reason.to_owned(),
                until,
                end,
                sites,
                assets,
                countries: countries.into_iter().flatten().collect::<Countries>(),
                domains,
                line: self.line(&at),
            };
            if let Some(other) = parts.exempt.iter().find(|other| other.is_as_wide_as(&exemption)) {
                let reason = format!("\"{channel}\" is exempt for the same already in line {}", other.line);
                self.wrong(&at, "exempt.channel", reason);
            }
            parts.exempt.push(exemption);
        }
    }

    /// Exemptions name sites that are there.
    fn known_sites(&mut self, document: &DeTable<'_>, parts: &Parts) {
        for (key, value) in document.iter().filter(|(key, _)| key.get_ref() == "exempt") {
            let tables = value.get_ref().as_array().into_iter().flatten().filter_map(|item| item.get_ref().as_table());
            let named = tables.flatten().filter(|(key, _)| key.get_ref() == "site");
            for site in named.filter_map(|(_, sites)| sites.get_ref().as_array()).flatten() {
                let Some(name) = site.get_ref().as_str().map(str::trim) else { continue };
                if !name.is_empty() && !parts.sites.iter().any(|site| site.name == name) {
                    let reason = format!("no [[site]] has the name \"{}\"", name.escape_default());
                    self.wrong(&site.span(), &format!("{}.site", key.get_ref()), reason);
                }
            }
        }
    }

    /// A date, and the moment its day is over in UTC.
    fn last_day(&mut self, value: &Value<'_>) -> Option<(jiff::civil::Date, Time)> {
        let read = || {
            let written = value.get_ref().as_datetime().filter(|written| written.time.is_none())?.date?;
            let day = jiff::civil::Date::new(written.year as i16, written.month as i8, written.day as i8).ok()?;
            let end = jiff::tz::TimeZone::UTC.to_timestamp(day.tomorrow().ok()?.at(0, 0, 0, 0)).ok()?;
            Some((day, Time::new(end.as_second(), 0)))
        };
        let day = read();
        if day.is_none() {
            self.wrong(&value.span(), "exempt.until", "must be a date such as 2027-06-30, without quotes");
        }
        day
    }

    fn sites(&mut self, value: &Value<'_>, parts: &mut Parts) {
        for (at, table) in self.tables(value, "site") {
            let (mut name, mut prefixes) = (None, None);
            for (key, value) in table {
                match key.get_ref().as_ref() {
                    "name" => name = self.text(value, "site.name").map(|name| (name, value.span())),
                    "prefixes" => {
                        prefixes = self.some(value, "site.prefixes", prefix).map(|prefixes| (prefixes, value.span()));
                    }
                    other => self.unknown(&key.span(), "site.", other, &["name", "prefixes"]),
                }
            }
            let name = self.needed(&at, table, "site", "name", name);
            let prefixes = self.needed(&at, table, "site", "prefixes", prefixes);
            let (Some((name, name_at)), Some((prefixes, prefixes_at))) = (name, prefixes) else { continue };
            if parts.sites.iter().any(|site| site.name == name) {
                self.wrong(&name_at, "site.name", format!("\"{}\" is there twice", name.escape_default()));
            }
            for prefix in &prefixes {
                if let Some(other) = parts.sites.iter().find(|site| site.prefixes.contains(prefix)) {
                    let reason = format!("{prefix} is already a prefix of \"{}\"", other.name.escape_default());
                    self.wrong(&prefixes_at, "site.prefixes", reason);
                }
            }
            let line = self.line(&prefixes_at);
            parts.sites.push(Site { name: name.to_owned(), prefixes, line });
        }
    }

    fn severity(&mut self, value: &Value<'_>, parts: &mut Parts) {
        for (key, value) in self.table(value, "severity").into_iter().flatten() {
            match key.get_ref().as_ref() {
                "data" => self.data_severity(value, parts),
                word if FUNCTIONS.contains(&word) => {
                    if let Some(severity) = self.grave(value, &format!("severity.{word}")) {
                        parts.severity.functions.insert(word.to_owned(), severity);
                    }
                }
                other => {
                    let known: Vec<&str> = FUNCTIONS.iter().copied().chain(["data"]).collect();
                    self.unknown(&key.span(), "severity.", other, &known);
                }
            }
        }
    }

    fn data_severity(&mut self, value: &Value<'_>, parts: &mut Parts) {
        for (key, value) in self.table(value, "severity.data").into_iter().flatten() {
            let word = key.get_ref().as_ref();
            if Data::from_word(word).is_none() {
                let known: Vec<&str> = Data::ALL.iter().map(|data| data.name()).collect();
                self.unknown(&key.span(), "severity.data.", word, &known);
            } else if let Some(severity) = self.grave(value, &format!("severity.data.{word}")) {
                parts.severity.data.insert(word.to_owned(), severity);
                parts.data_lines.insert(word.to_owned(), self.line(&key.span()));
            }
        }
    }

    fn grave(&mut self, value: &Value<'_>, key: &str) -> Option<Severity> {
        let text = self.text(value, key)?;
        let severity = Severity::from_word(text);
        if severity.is_none() {
            self.wrong(&value.span(), key, "must be high, medium, low or info");
        }
        severity
    }

    fn alert(&mut self, value: &Value<'_>) -> Option<Alert> {
        let mut alert = Alert {
            severity: Severity::Info,
            crossings: Crossing::ALL.into_iter().filter(|crossing| crossing.leaves()).collect(),
            functions: Vec::new(),
            data: Vec::new(),
            countries: Countries::default(),
            month_bytes_out: 0,
        };
        for (key, value) in self.table(value, "alert")? {
            match key.get_ref().as_ref() {
                "severity" => alert.severity = self.grave(value, "alert.severity").unwrap_or(Severity::Info),
                "crossing" => alert.crossings = self.some(value, "alert.crossing", crossing).unwrap_or_default(),
                "function" => alert.functions = self.some(value, "alert.function", function).unwrap_or_default(),
                "data" => alert.data = self.some(value, "alert.data", data).unwrap_or_default(),
                "country" => {
                    let countries = self.some(value, "alert.country", home).unwrap_or_default();
                    alert.countries = countries.into_iter().flatten().collect();
                }
                "month_bytes_out" => match number(value) {
                    Some(bytes) => alert.month_bytes_out = bytes,
                    None => self.wrong(&value.span(), "alert.month_bytes_out", "must be a number of bytes, 1_000_000"),
                },
                other => self.unknown(&key.span(), "alert.", other, ALERT),
            }
        }
        Some(alert)
    }
}

/// Controls, and marks that turn the direction of text (Unicode Standard Annex 9, section 2).
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn number(value: &Value<'_>) -> Option<u64> {
    let integer = value.get_ref().as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn domain(word: &str) -> Result<String, String> {
    let name = word.trim_end_matches('.').to_ascii_lowercase();
    if name.is_empty() || name.starts_with('.') || name.contains(['*', ' ', '/']) {
        return Err(format!("\"{}\" is no host name; names below it are meant as well", word.escape_default()));
    }
    Ok(name)
}

fn crossing(word: &str) -> Result<Crossing, String> {
    let all = Crossing::ALL.into_iter().filter(|crossing| *crossing != Crossing::Home);
    all.into_iter()
        .find(|crossing| crossing.name() == word)
        .ok_or_else(|| format!("\"{}\" must be observed, probable or not-determinable", word.escape_default()))
}

fn function(word: &str) -> Result<String, String> {
    known(word, FUNCTIONS.iter().copied())
}

fn data(word: &str) -> Result<String, String> {
    known(word, Data::ALL.iter().map(|data| data.name()))
}

fn known<'a>(word: &str, all: impl Iterator<Item = &'a str> + Clone) -> Result<String, String> {
    if all.clone().any(|one| one == word) {
        return Ok(word.to_owned());
    }
    let all: Vec<&str> = all.collect();
    Err(format!("\"{}\" is not known; known are {}", word.escape_default(), all.join(", ")))
}
