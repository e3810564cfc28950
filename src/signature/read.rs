//! From TOML text to a [`VendorFile`], strictly.
//!
//! In: the text of one file. Out: its values, or every [`Mistake`] in it with its line. Unknown
//! keys, fields and words are mistakes. What needs more than one entry to see (ids, conflicts,
//! examples) is left to `check`. TOML v1.0 (toml.io) says what the text means.

use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use jiff::civil::Date;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::{
    Channel, Condition, Entry, FILE_BYTES_MAX, FORMAT, Gap, HOST, HOST_FIELDS, Mistake, Role, Sample, SampleFact,
    VendorFile, When,
};
use super::pattern::{self, Pattern, Written};
use super::template::Template;
use super::words::{Basis, Data, Function, GROUPS, Region};
use crate::fact::{FLOW_FIELDS, Field, IP_ASN, Kind, TCP_PORT, UDP_PORT};
use crate::parse;

/// Reads one file. `file` is its name for messages and evidence.
///
/// # Errors
/// Every mistake that was found, in the order of lines.
pub fn parse(file: &str, text: &str) -> Result<VendorFile, Vec<Mistake>> {
    let fits = text.len() <= FILE_BYTES_MAX;
    let table = DeTable::parse(if fits { text } else { "" });
    let mut reader = Reader { file, starts: line_starts(text), mistakes: Vec::new() };
    let vendor_file = match &table {
        _ if !fits => {
            reader.mistake(0, format!("the file has {} bytes; at most {FILE_BYTES_MAX} are read", text.len()));
            None
        }
        Ok(table) => reader.vendor_file(table.get_ref()),
        Err(error) => {
            let line = error.span().map_or(0, |span| reader.line(span.start));
            reader.mistake(line, format!("not TOML: {}", error.message().replace('\n', "; ")));
            None
        }
    };
    match vendor_file {
        Some(vendor_file) if reader.mistakes.is_empty() => Ok(vendor_file),
        _ => {
            reader.mistakes.sort();
            Err(reader.mistakes)
        }
    }
}

const FILE_KEYS: &[&str] = &["format", "vendor", "checked", "identity", "channel", "gap"];
const IDENTITY_KEYS: &[&str] = &["id", "product", "basis", "source", "note", "when", "example", "counterexample"];
const CHANNEL_KEYS: &[&str] = &[
    "id",
    "product",
    "function",
    "data",
    "data_basis",
    "basis",
    "source",
    "off_switch",
    "note",
    "when",
    "example",
    "counterexample",
];
const MODEL: &str = "model";
const VERSION: &str = "version";
const GAP_KEYS: &[&str] = &["id", "product", "what", "source"];

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

/// A table of the file with the words that messages call it by.
struct Part<'a> {
    table: &'a DeTable<'a>,
    what: &'static str,
    line: u32,
}

struct Reader<'a> {
    file: &'a str,
    starts: Vec<usize>,
    mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    fn line(&self, at: usize) -> u32 {
        self.starts.partition_point(|start| *start <= at) as u32
    }

    fn mistake(&mut self, line: u32, reason: impl Into<String>) {
        self.mistakes.push(Mistake { file: self.file.to_owned(), line, reason: reason.into() });
    }

    /// As [`Reader::mistake`], for a value.
    fn wrong<T>(&mut self, value: &Spanned<DeValue<'_>>, reason: impl Into<String>) -> Option<T> {
        let line = self.line(value.span().start);
        self.mistake(line, reason);
        None
    }

    fn vendor_file(&mut self, table: &'a DeTable<'a>) -> Option<VendorFile> {
        let part = Part { table, what: "the file", line: 1 };
        self.known_keys(&part, FILE_KEYS);
        let format = self.value(&part, "format")?;
        if number(format) != Some(FORMAT) {
            return self.wrong(format, format!("`format` must be {FORMAT}"));
        }
        let vendor = self.string(&part, "vendor");
        let checked = self.date(&part, "checked");
        let mut entries: Vec<Entry> = Vec::new();
        for part in self.tables(&part, "identity", "[[identity]]") {
            entries.extend(self.entry(&part, true));
        }
        for part in self.tables(&part, "channel", "[[channel]]") {
            entries.extend(self.entry(&part, false));
        }
        let gaps = self.tables(&part, "gap", "[[gap]]").iter().filter_map(|part| self.gap(part)).collect();
        let (checked, checked_line) = checked?;
        Some(VendorFile { file: self.file.to_owned(), vendor: vendor?, checked, checked_line, entries, gaps })
    }

    fn entry(&mut self, part: &Part<'a>, identity: bool) -> Option<Entry> {
        self.known_keys(part, if identity { IDENTITY_KEYS } else { CHANNEL_KEYS });
        let id = self.id(part);
        let product = self.string(part, "product");
        let basis = self.word(part, "basis", Basis::from_word, &names(Basis::ALL, Basis::name));
        let source = self.source(part);
        let note = self.optional_string(part, "note");
        let role = if identity { Some(Role::Identity) } else { self.channel(part).map(Role::Channel) };
        let kinds: [[&'static str; 3]; 2] = [
            ["[[channel.when]]", "[[channel.example]]", "[[channel.counterexample]]"],
            ["[[identity.when]]", "[[identity.example]]", "[[identity.counterexample]]"],
        ];
        let [when, example, counterexample] = kinds[usize::from(identity)];
        let mut whens = Vec::new();
        for part in self.some_tables(part, "when", when) {
            whens.extend(self.when(&part, identity));
        }
        let mut examples = Vec::new();
        for part in self.some_tables(part, "example", example) {
            examples.extend(self.sample(&part, identity, true));
        }
        let mut counterexamples = Vec::new();
        for part in self.some_tables(part, "counterexample", counterexample) {
            counterexamples.extend(self.sample(&part, identity, false));
        }
        Some(Entry {
            id: id?,
            line: part.line,
            product: product?,
            role: role?,
            basis: basis?,
            source: source?,
            note,
            whens,
            examples,
            counterexamples,
        })
    }

    fn channel(&mut self, part: &Part<'a>) -> Option<Channel> {
        let function = self.word(part, "function", Function::from_word, &names(Function::ALL, Function::name));
        let off_switch = self.optional_string(part, "off_switch");
        let mut data = Vec::new();
        for (word, line) in self.strings(part, "data")? {
            match Data::from_word(&word) {
                Some(word) => data.push(word),
                None => {
                    let known = names(Data::ALL, Data::name);
                    self.mistake(line, format!("`{word}` is no word of `data`; known are {known}"));
                }
            }
        }
        let data_basis = match (part.table.get("data_basis"), data.is_empty()) {
            (None, true) => None,
            (Some(value), true) => return self.wrong(value, "`data_basis` without `data`"),
            (_, false) => Some(self.word(part, "data_basis", Basis::from_word, &names(Basis::ALL, Basis::name))?),
        };
        Some(Channel { function: function?, data, data_basis, off_switch })
    }

    fn gap(&mut self, part: &Part<'a>) -> Option<Gap> {
        self.known_keys(part, GAP_KEYS);
        let id = self.id(part);
        let product = self.string(part, "product");
        let what = self.string(part, "what");
        let source = self.source(part);
        Some(Gap { id: id?, line: part.line, product: product?, what: what?, source: source? })
    }

    fn when(&mut self, part: &Part<'a>, identity: bool) -> Option<When> {
        let keys: &[&str] = if identity { &["confidence", MODEL, VERSION] } else { &["confidence", "region", "from"] };
        let fields = self.flat(part, keys);
        let confidence = match self.value(part, "confidence").map(|value| (value, number(value))) {
            Some((_, Some(confidence @ 1..=100))) => Some(confidence as u8),
            Some((value, _)) => self.wrong(value, "`confidence` must be a whole number from 1 to 100"),
            None => None,
        };
        let region = if identity { None } else { Some(self.region(part)) };
        let [model, version] =
            [MODEL, VERSION].map(|key| if identity { self.templates(part, key) } else { Vec::new() });
        let from = self.from(part, identity);
        let from_line = part.table.get_key_value("from").map_or(part.line, |(key, _)| self.line(key.span().start));
        let mut conditions = Vec::new();
        let mistakes = self.mistakes.len();
        for (word, line, value) in fields {
            conditions.extend(self.condition(word, line, value));
        }
        if self.mistakes.len() > mistakes {
            return None;
        }
        if conditions.is_empty() {
            self.mistake(part.line, format!("{} without a condition about the flow", part.what));
            return None;
        }
        let is_port = |c: &Condition| c.fields.iter().all(|f| **f == TCP_PORT || **f == UDP_PORT);
        if from.is_empty() && conditions.iter().all(is_port) {
            self.mistake(part.line, "a bare port proves nothing: add `from` or another condition");
            return None;
        }
        let region = match region {
            None => None,
            Some(region) => Some(region?),
        };
        Some(When { line: part.line, conditions, from, from_line, region, confidence: confidence?, model, version })
    }

    fn condition(&mut self, word: String, line: u32, value: &Spanned<DeValue<'a>>) -> Option<Condition> {
        let fields: Vec<&'static Field> = if word == HOST {
            HOST_FIELDS.iter().filter_map(|name| public_field(name)).collect()
        } else {
            public_field(&word).into_iter().collect()
        };
        let Some(field) = fields.first() else {
            let hint = match word.as_str() {
                "from" | "region" => "an identity has neither `from` nor `region`",
                _ => "`bordertap signatures fields` lists them",
            };
            self.mistake(line, format!("unknown field `{word}`; {hint}"));
            return None;
        };
        let (kind, numbers) = (field.kind, numbers(field));
        let mut patterns = Vec::new();
        let mut seen = HashSet::new();
        for (written, line) in self.written(&word, value)? {
            match Pattern::parse(kind, &written, &numbers) {
                Ok(pattern) if !seen.insert(pattern.clone()) => {
                    self.mistake(line, format!("{word}: `{written}` stands here twice"));
                }
                Ok(pattern) => patterns.push(pattern),
                Err(reason) => self.mistake(line, format!("{word}: {reason}")),
            }
        }
        Some(Condition { word, line, fields, patterns })
    }

    /// The texts that say where a word stands; none when the key is missing.
    fn templates(&mut self, part: &Part<'a>, key: &str) -> Vec<Template> {
        let Some(value) = part.table.get(key) else { return Vec::new() };
        let mut templates = Vec::new();
        for (written, line) in self.written(key, value).unwrap_or_default() {
            match Template::parse(&written.to_string()) {
                Ok(template) => templates.push(template),
                Err(reason) => self.mistake(line, format!("{key}: {reason}")),
            }
        }
        templates
    }

    fn sample(&mut self, part: &Part<'a>, identity: bool, example: bool) -> Option<Sample> {
        let keys: &[&str] = match (identity, example) {
            (true, true) => &[MODEL, VERSION],
            (true, false) => &["why"],
            (false, true) => &["region", "from"],
            (false, false) => &["why", "from"],
        };
        let mut facts = Vec::new();
        for (word, line, value) in self.flat(part, keys) {
            let Some(field) = public_field(&word) else {
                let hint = if word == HOST {
                    "name the field itself, such as tls.sni"
                } else {
                    "`bordertap signatures fields` lists them"
                };
                self.mistake(line, format!("unknown field `{word}` in an example; {hint}"));
                continue;
            };
            for (written, line) in self.written(&word, value).unwrap_or_default() {
                match sample_value(field, &written) {
                    Ok(value) => facts.push(SampleFact { field, written, value }),
                    Err(reason) => self.mistake(line, format!("{word}: {reason}")),
                }
            }
        }
        if facts.is_empty() {
            self.mistake(part.line, format!("{} without a value", part.what));
        }
        let of_key = |fact: &&SampleFact| FLOW_FIELDS.contains(&fact.field);
        let is_port = |fact: &SampleFact| *fact.field == TCP_PORT || *fact.field == UDP_PORT;
        for (at, fact) in facts.iter().enumerate().filter(|(_, fact)| of_key(fact)) {
            if facts[..at].iter().any(|other| other.field == fact.field || is_port(other) && is_port(fact)) {
                self.mistake(part.line, format!("{}: a flow has one `{}`", part.what, fact.field.name));
            }
        }
        let why = if example { None } else { Some(self.string(part, "why")?) };
        let region = if example && !identity { Some(self.region(part)?) } else { None };
        let [model, version] =
            [MODEL, VERSION].map(|key| if identity && example { self.optional_string(part, key) } else { None });
        Some(Sample { line: part.line, facts, from: self.from(part, identity), region, model, version, why })
    }

    fn region(&mut self, part: &Part<'a>) -> Option<Region> {
        let groups: Vec<&str> = GROUPS.iter().map(|group| group.name).collect();
        let known = format!("any, {} and the upper-case country codes of ISO 3166-1 (alpha-2)", groups.join(", "));
        self.word(part, "region", Region::from_word, &known)
    }

    fn from(&mut self, part: &Part<'a>, identity: bool) -> Vec<String> {
        match part.table.get("from") {
            Some(value) if !identity => {
                let all = self.written("from", value).unwrap_or_default();
                all.into_iter().map(|(written, _)| written.to_string()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The fields of a `when` or a sample in the order of the file: dotted keys are one table deep.
    /// `keys` are no fields.
    fn flat(&mut self, part: &Part<'a>, keys: &[&str]) -> Vec<(String, u32, &'a Spanned<DeValue<'a>>)> {
        let mut fields = Vec::new();
        for (key, value) in part.table.iter() {
            let name: &str = key.get_ref();
            if keys.contains(&name) {
                continue;
            }
            let line = self.line(key.span().start);
            match value.get_ref() {
                DeValue::Table(inner) => {
                    for (key, value) in inner.iter() {
                        fields.push((format!("{name}.{}", key.get_ref()), self.line(key.span().start), value));
                    }
                }
                _ => fields.push((name.to_owned(), line, value)),
            }
        }
        fields.sort_by_key(|(_, line, _)| *line);
        fields
    }

    /// A string, a number, or several of them.
    fn written(&mut self, word: &str, value: &Spanned<DeValue<'a>>) -> Option<Vec<(Written, u32)>> {
        let one = |value: &Spanned<DeValue<'a>>| match value.get_ref() {
            DeValue::String(text) => Some(Written::Text(text.to_string())),
            _ => number(value).map(Written::Number),
        };
        let values = match value.get_ref() {
            DeValue::Array(values) if values.is_empty() => {
                return self.wrong(value, format!("`{word}` is empty: it could never hold"));
            }
            DeValue::Array(values) => values.iter().map(|v| (one(v), v)).collect(),
            _ => vec![(one(value), value)],
        };
        let mut all = Vec::with_capacity(values.len());
        for (written, value) in values {
            match written {
                Some(written) => all.push((written, self.line(value.span().start))),
                None => return self.wrong(value, format!("`{word}` must be a string, a number, or an array of them")),
            }
        }
        Some(all)
    }

    fn known_keys(&mut self, part: &Part<'a>, known: &[&str]) {
        for (key, _) in part.table.iter() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let line = self.line(key.span().start);
                self.mistake(line, format!("unknown key `{name}` in {}; known are {}", part.what, known.join(", ")));
            }
        }
    }

    fn value(&mut self, part: &Part<'a>, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        let value = part.table.get(key);
        if value.is_none() {
            self.mistake(part.line, format!("{} has no `{key}`", part.what));
        }
        value
    }

    fn string(&mut self, part: &Part<'a>, key: &str) -> Option<String> {
        let value = self.value(part, key)?;
        match value.get_ref().as_str() {
            Some(text) if !text.trim().is_empty() => Some(text.to_owned()),
            _ => self.wrong(value, format!("`{key}` must be a string that is not empty")),
        }
    }

    fn optional_string(&mut self, part: &Part<'a>, key: &str) -> Option<String> {
        part.table.get(key)?;
        self.string(part, key)
    }

    /// An array of strings, each with its line.
    fn strings(&mut self, part: &Part<'a>, key: &str) -> Option<Vec<(String, u32)>> {
        let value = self.value(part, key)?;
        let Some(values) = value.get_ref().as_array() else {
            return self.wrong(value, format!("`{key}` must be an array of strings"));
        };
        let mut all = Vec::with_capacity(values.len());
        for value in values {
            match value.get_ref().as_str() {
                Some(text) if !text.trim().is_empty() => all.push((text.to_owned(), self.line(value.span().start))),
                _ => return self.wrong(value, format!("`{key}` must be an array of strings that are not empty")),
            }
        }
        Some(all)
    }

    fn source(&mut self, part: &Part<'a>) -> Option<Vec<String>> {
        let all = self.strings(part, "source")?;
        if all.is_empty() {
            self.mistake(part.line, format!("{} without a source", part.what));
            return None;
        }
        Some(all.into_iter().map(|(text, _)| text).collect())
    }

    fn word<T>(&mut self, part: &Part<'a>, key: &str, read: impl Fn(&str) -> Option<T>, known: &str) -> Option<T> {
        let text = self.string(part, key)?;
        match (read(&text), part.table.get(key)) {
            (Some(word), _) => Some(word),
            (None, Some(value)) => self.wrong(value, format!("`{text}` is no word of `{key}`; known are {known}")),
            (None, None) => None,
        }
    }

    fn id(&mut self, part: &Part<'a>) -> Option<String> {
        let id = self.string(part, "id")?;
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let well_formed = id.contains('.') && id.split('.').all(|w| !w.is_empty() && w.bytes().all(allowed));
        if !well_formed {
            let line = part.table.get("id").map_or(part.line, |value| self.line(value.span().start));
            self.mistake(line, format!("`{id}`: an id is lower-case words with hyphens, two or more, joined by dots"));
            return None;
        }
        Some(id)
    }

    fn date(&mut self, part: &Part<'a>, key: &str) -> Option<(Date, u32)> {
        let value = self.value(part, key)?;
        let line = self.line(value.span().start);
        let date = value.get_ref().as_datetime().filter(|d| d.time.is_none()).and_then(|d| d.date);
        let date = date.and_then(|d| Date::new(i16::try_from(d.year).ok()?, d.month as i8, d.day as i8).ok());
        match date {
            Some(date) => Some((date, line)),
            None => self.wrong(value, format!("`{key}` must be a date such as 2026-11-23, without quotes")),
        }
    }

    /// The tables of an array of tables that may be missing.
    fn tables(&mut self, part: &Part<'a>, key: &str, what: &'static str) -> Vec<Part<'a>> {
        let Some(value) = part.table.get(key) else { return Vec::new() };
        let mut parts = Vec::new();
        for value in value.get_ref().as_array().into_iter().flatten() {
            if let Some(table) = value.get_ref().as_table() {
                parts.push(Part { table, what, line: self.line(value.span().start) });
            }
        }
        let all = value.get_ref().as_array().is_some_and(|values| values.len() == parts.len());
        if !all {
            self.wrong::<()>(value, format!("`{key}` must be written as {what}"));
        }
        parts
    }

    /// As [`Reader::tables`]; there must be one.
    fn some_tables(&mut self, part: &Part<'a>, key: &str, what: &'static str) -> Vec<Part<'a>> {
        let parts = self.tables(part, key, what);
        if parts.is_empty() && part.table.get(key).is_none() {
            self.mistake(part.line, format!("{} has no {what}", part.what));
        }
        parts
    }
}

/// A field that signatures may use.
fn public_field(name: &str) -> Option<&'static Field> {
    parse::field(name).filter(|field| !field.is_internal())
}

fn number(value: &Spanned<DeValue<'_>>) -> Option<u64> {
    let integer = value.get_ref().as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> String {
    all.iter().map(|word| name(*word)).collect::<Vec<_>>().join(", ")
}

/// The numbers a field can have.
fn numbers(field: &Field) -> RangeInclusive<u64> {
    if *field == TCP_PORT || *field == UDP_PORT {
        1..=u64::from(u16::MAX)
    } else if *field == IP_ASN {
        1..=u64::from(u32::MAX)
    } else {
        0..=u64::MAX
    }
}

/// A value of a sample in the form of the field's kind.
fn sample_value(field: &Field, written: &Written) -> Result<Vec<u8>, String> {
    let text = match (field.kind, written) {
        (Kind::Number, _) => {
            let number = match written {
                Written::Number(number) => Some(*number),
                Written::Text(text) => text.parse().ok(),
            };
            let number = number.filter(|n| numbers(field).contains(n));
            return number.map(|n| n.to_be_bytes().to_vec()).ok_or(format!("`{written}` is no value of this field"));
        }
        (_, Written::Number(number)) => return Err(format!("`{number}` must be a string here")),
        (_, Written::Text(text)) => text,
    };
    match field.kind {
        Kind::Name | Kind::Text => Ok(text.as_bytes().to_vec()),
        Kind::Hex => pattern::hex_bytes(text).ok_or_else(|| format!("`{text}` is no even number of hex digits")),
        Kind::Address => match text.parse() {
            Ok(IpAddr::V4(v4)) => Ok(v4.octets().to_vec()),
            Ok(IpAddr::V6(v6)) => Ok(v6.octets().to_vec()),
            Err(_) => Err(format!("`{text}` is no IP address")),
        },
        Kind::Number => Err("not a number".to_owned()),
    }
}
