//! Signatures for people: `signatures list`, `explain` and `fields`.
//!
//! In: loaded signatures. Out: text, JSON or Markdown. Nothing is printed here; the caller writes
//! the string where it belongs.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::Serialize;

use super::file::{Entry, Gap, Role, Sample, VendorFile, When};
use super::words::{Basis, Data, Function, Region};
use super::{Signatures, pattern::Pattern};
use crate::fact::{FLOW_FIELDS, Field, Kind};
use crate::parse;

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
    /// Markdown tables.
    Md,
}

impl Signatures {
    /// Every identity, channel and gap.
    pub fn list(&self, format: Format) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = match format {
            Format::Text => self.list_text(&mut out),
            Format::Json => self.list_json(&mut out),
            Format::Md => self.list_md(&mut out),
        };
        out
    }

    /// One entry or gap with its conditions, sources, off switch and examples.
    pub fn explain(&self, id: &str) -> Option<String> {
        let mut out = String::new();
        if let Some((file, entry)) = self.entry(id) {
            let _ = explain_entry(&mut out, file, entry);
            return Some(out);
        }
        let gaps = self.files.iter().flat_map(|file| file.gaps.iter().map(move |gap| (file, gap)));
        let (file, gap) = gaps.into_iter().find(|(_, gap)| gap.id == id)?;
        let _ = explain_gap(&mut out, file, gap);
        Some(out)
    }

    fn list_text(&self, out: &mut String) -> fmt::Result {
        for file in &self.files {
            writeln!(out, "{} ({}, checked {})", file.vendor, file.file, file.checked)?;
            let width = file.entries.iter().map(|entry| entry.id.len()).max().unwrap_or(0);
            for entry in &file.entries {
                let what = what(entry);
                let regions = regions(entry).join(" ");
                let gap = if regions.is_empty() { "" } else { "  " };
                let confidence = confidence(entry);
                writeln!(out, "  {:width$}  {what:<18} {confidence:>3}  {}{gap}{regions}", entry.id, entry.product)?;
            }
            let width = file.gaps.iter().map(|gap| gap.id.len()).max().unwrap_or(0);
            for gap in &file.gaps {
                writeln!(out, "  {:width$}  gap: {}", gap.id, gap.what)?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn list_md(&self, out: &mut String) -> fmt::Result {
        for file in &self.files {
            writeln!(out, "## {}\n\nChecked {}.\n", file.vendor, file.checked)?;
            writeln!(out, "| id | what | product | data | regions | confidence |\n|---|---|---|---|---|---|")?;
            for entry in &file.entries {
                let data = entry.role.channel().map_or(Vec::new(), |c| c.data.iter().map(|d| d.name()).collect());
                let cells = [
                    format!("`{}`", entry.id),
                    what(entry).to_owned(),
                    cell(&entry.product),
                    data.join(", "),
                    regions(entry).join(", "),
                    confidence(entry).to_string(),
                ];
                writeln!(out, "| {} |", cells.join(" | "))?;
            }
            writeln!(out)?;
            if file.gaps.is_empty() {
                continue;
            }
            writeln!(out, "Documented, and nothing can tell it apart yet:\n")?;
            for gap in &file.gaps {
                writeln!(out, "- `{}` ({}): {}", gap.id, gap.product, gap.what)?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn list_json(&self, out: &mut String) -> fmt::Result {
        let list = ListJson { digest: &self.digest, vendors: self.files.iter().map(vendor_json).collect() };
        let json = serde_json::to_string_pretty(&list).map_err(|_| fmt::Error)?;
        writeln!(out, "{json}")
    }
}

/// Every word that conditions may use: its kind, who fills it, what it is, and where that is defined.
pub fn fields() -> String {
    let rows: Vec<[String; 4]> = parse::fields()
        .filter(|field| !field.is_internal())
        .map(|f| [f.name.to_owned(), kind_name(f.kind).to_owned(), filled_by(f), format!("{} ({})", f.about, f.source)])
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (name_width, kind_width, by_width) = (width(0), width(1), width(2));
    let mut out = String::new();
    for [name, kind, by, about] in &rows {
        let _ = writeln!(out, "{name:name_width$}  {kind:kind_width$}  {by:by_width$}  {about}");
    }
    out
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Name => "name",
        Kind::Text => "text",
        Kind::Hex => "hex",
        Kind::Number => "number",
        Kind::Address => "address",
    }
}

/// Who fills a field.
fn filled_by(field: &'static Field) -> String {
    if FLOW_FIELDS.contains(&field) {
        return "every flow".to_owned();
    }
    let protocols = parse::PROTOCOLS.iter().filter(|p| p.fields.contains(&field));
    let names: Vec<&str> = protocols.map(|p| p.name).collect();
    names.join(", ")
}

fn what(entry: &Entry) -> &'static str {
    match &entry.role {
        Role::Identity => "identity",
        Role::Channel(channel) => channel.function.name(),
    }
}

fn confidence(entry: &Entry) -> u8 {
    entry.whens.iter().map(|when| when.confidence).max().unwrap_or(0)
}

fn regions(entry: &Entry) -> Vec<String> {
    let mut regions: Vec<Region> = entry.whens.iter().filter_map(|when| when.region).collect();
    regions.sort_unstable();
    regions.dedup();
    regions.iter().map(Region::to_string).collect()
}

/// Text that does not end a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn explain_entry(out: &mut String, file: &VendorFile, entry: &Entry) -> fmt::Result {
    writeln!(out, "{}", entry.id)?;
    line(out, "vendor", &file.vendor)?;
    line(out, "product", &entry.product)?;
    line(out, "what", what(entry))?;
    if let Role::Channel(channel) = &entry.role {
        let data: Vec<&str> = channel.data.iter().map(|data| data.name()).collect();
        let basis = channel.data_basis.map_or(String::new(), |basis| format!(" ({})", basis.name()));
        let data = if data.is_empty() { "not stated".to_owned() } else { data.join(", ") + &basis };
        line(out, "data", &data)?;
        line(out, "off switch", channel.off_switch.as_deref().unwrap_or("none documented"))?;
    }
    line(out, "basis", entry.basis.name())?;
    line(out, "checked", &file.checked.to_string())?;
    for source in &entry.source {
        line(out, "source", source)?;
    }
    if let Some(note) = &entry.note {
        line(out, "note", note)?;
    }
    writeln!(out, "\nmatches when any of these holds")?;
    for when in &entry.whens {
        let region = when.region.map_or(String::new(), |region| format!(", region {region}"));
        writeln!(out, "  {}:{}  confidence {}{region}", file.file, when.line, when.confidence)?;
        for condition in &when.conditions {
            writeln!(out, "    {} = {}", condition.word, patterns(&condition.patterns).join(" | "))?;
        }
        if !when.from.is_empty() {
            writeln!(out, "    from = {}", when.from.join(" | "))?;
        }
        for (what, templates) in [("model", &when.model), ("version", &when.version)] {
            for template in templates {
                writeln!(out, "    {what} = {template}")?;
            }
        }
    }
    writeln!(out, "\nexamples")?;
    for sample in &entry.examples {
        explain_sample(out, file, sample)?;
    }
    writeln!(out, "\ncounterexamples")?;
    for sample in &entry.counterexamples {
        explain_sample(out, file, sample)?;
    }
    writeln!(out, "\nproved by")?;
    let mut proofs = proofs(&entry.id).peekable();
    if proofs.peek().is_none() {
        writeln!(out, "  no capture that may be passed on; the examples above are checked with every change")?;
    }
    proofs.try_for_each(|(capture, how)| writeln!(out, "  fixtures/{capture}  ({how})"))
}

/// The captures in which an entry was found, and whether each was recorded or made.
fn proofs(id: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    const PROOFS: &str = include_str!("../../signatures/proof.tsv");
    let rows = PROOFS.lines().filter_map(|line| line.split_once('\t'));
    rows.filter(move |(proved, _)| *proved == id).filter_map(|(_, rest)| rest.split_once('\t'))
}

fn explain_gap(out: &mut String, file: &VendorFile, gap: &Gap) -> fmt::Result {
    writeln!(out, "{}", gap.id)?;
    line(out, "vendor", &file.vendor)?;
    line(out, "product", &gap.product)?;
    line(out, "what", "gap: documented, and nothing can tell it apart yet")?;
    line(out, "traffic", &gap.what)?;
    line(out, "at", &format!("{}:{}", file.file, gap.line))?;
    gap.source.iter().try_for_each(|source| line(out, "source", source))
}

fn explain_sample(out: &mut String, file: &VendorFile, sample: &Sample) -> fmt::Result {
    let facts = sample.facts.iter().map(|fact| format!("{} = {}", fact.field.name, fact.written));
    let from = sample.from.iter().map(|id| format!("from = {id}"));
    let region = sample.region.iter().map(|region| format!("region = {region}"));
    let model = sample.model.iter().map(|model| format!("model = {model}"));
    let version = sample.version.iter().map(|version| format!("version = {version}"));
    let parts: Vec<String> = facts.chain(from).chain(region).chain(model).chain(version).collect();
    let why = sample.why.as_ref().map_or(String::new(), |why| format!("  ({why})"));
    writeln!(out, "  {}:{}  {}{why}", file.file, sample.line, parts.join(", "))
}

fn line(out: &mut String, key: &str, value: &str) -> fmt::Result {
    writeln!(out, "  {key:<10}  {value}")
}

fn patterns(patterns: &[Pattern]) -> Vec<String> {
    patterns.iter().map(Pattern::to_string).collect()
}

#[derive(Serialize)]
struct ListJson<'a> {
    digest: &'a str,
    vendors: Vec<VendorJson<'a>>,
}

#[derive(Serialize)]
struct VendorJson<'a> {
    vendor: &'a str,
    file: &'a str,
    checked: String,
    identities: Vec<EntryJson<'a>>,
    channels: Vec<EntryJson<'a>>,
    gaps: Vec<GapJson<'a>>,
}

#[derive(Serialize)]
struct EntryJson<'a> {
    id: &'a str,
    product: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<Function>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a [Data]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_basis: Option<Basis>,
    basis: Basis,
    source: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    off_switch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    when: Vec<WhenJson<'a>>,
}

#[derive(Serialize)]
struct WhenJson<'a> {
    at: String,
    conditions: BTreeMap<&'a str, Vec<String>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    from: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<Region>,
    confidence: u8,
}

#[derive(Serialize)]
struct GapJson<'a> {
    id: &'a str,
    product: &'a str,
    what: &'a str,
    source: &'a [String],
}

fn vendor_json(file: &VendorFile) -> VendorJson<'_> {
    let of_role = |identity| {
        let entries = file.entries.iter().filter(move |entry| entry.role.is_identity() == identity);
        entries.map(|entry| entry_json(file, entry)).collect()
    };
    VendorJson {
        vendor: &file.vendor,
        file: &file.file,
        checked: file.checked.to_string(),
        identities: of_role(true),
        channels: of_role(false),
        gaps: file
            .gaps
            .iter()
            .map(|gap| GapJson { id: &gap.id, product: &gap.product, what: &gap.what, source: &gap.source })
            .collect(),
    }
}

fn entry_json<'a>(file: &'a VendorFile, entry: &'a Entry) -> EntryJson<'a> {
    let channel = entry.role.channel();
    EntryJson {
        id: &entry.id,
        product: &entry.product,
        function: channel.map(|c| c.function),
        data: channel.map(|c| c.data.as_slice()),
        data_basis: channel.and_then(|c| c.data_basis),
        basis: entry.basis,
        source: &entry.source,
        off_switch: channel.and_then(|c| c.off_switch.as_deref()),
        note: entry.note.as_deref(),
        when: entry.whens.iter().map(|when| when_json(file, when)).collect(),
    }
}

fn when_json<'a>(file: &VendorFile, when: &'a When) -> WhenJson<'a> {
    WhenJson {
        at: format!("{}:{}", file.file, when.line),
        conditions: when.conditions.iter().map(|c| (c.word.as_str(), patterns(&c.patterns))).collect(),
        from: &when.from,
        region: when.region,
        confidence: when.confidence,
    }
}
