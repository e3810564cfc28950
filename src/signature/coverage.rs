//! The page for whoever asks what bordertap can see: `signatures/COVERAGE.md`.
//!
//! In: loaded signatures. Out: Markdown: vendor by function, how each is known, what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use super::Signatures;
use super::file::{Entry, HOST, VendorFile};
use super::words::Function;

/// What begins the page.
const INTRODUCTION: &str = "\
# What bordertap recognises

Printed by `bordertap signatures coverage`; a test fails when this page is older than the files beside it. Every number
here is an entry in one of them, with its source: `bordertap signatures explain ID`.

An **identity** says that a host is a product. A **channel** says what a flow is for, which data it carries and where it
goes. A **gap** is traffic that is documented and that nothing on the wire tells apart yet. The number behind a kind of
evidence is the most confidence, of 100, that an entry gives it.
";

impl Signatures {
    /// Which vendors, by function, how each is known, and what is missing. Markdown.
    pub fn coverage(&self) -> String {
        let mut out = INTRODUCTION.to_owned();
        // Writing to a string cannot fail.
        let _ = self.overview(&mut out).and_then(|()| self.files.iter().try_for_each(|file| vendor(&mut out, file)));
        out
    }

    fn overview(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "\nChannels by function:\n")?;
        let functions: Vec<&str> = Function::ALL.iter().map(|function| function.name()).collect();
        writeln!(out, "| vendor | {} | identities | gaps | checked |", functions.join(" | "))?;
        writeln!(out, "|---|{}", "---|".repeat(functions.len() + 3))?;
        for file in &self.files {
            write!(out, "| [{}](#{}) |", file.vendor, file.vendor.to_lowercase().replace(' ', "-"))?;
            for function in Function::ALL {
                match channels(file, *function).count() {
                    0 => write!(out, " – |")?,
                    count => write!(out, " {count} |")?,
                }
            }
            writeln!(out, " {} | {} | {} |", identities(file).count(), file.gaps.len(), file.checked)?;
        }
        Ok(())
    }
}

fn vendor(out: &mut String, file: &VendorFile) -> fmt::Result {
    writeln!(out, "\n## {}\n", file.vendor)?;
    let products: BTreeSet<&str> = identities(file).map(|entry| entry.product.as_str()).collect();
    match products.is_empty() {
        true => writeln!(out, "No product shows itself: only the channels below are known.")?,
        false => writeln!(out, "Products that show themselves:\n")?,
    }
    for product in &products {
        let entries: Vec<&Entry> = identities(file).filter(|entry| entry.product == *product).collect();
        writeln!(out, "- {product}: {}", shown_by(&entries))?;
    }
    writeln!(
        out,
        "\n| function | channels | known by | data | regions | documented off switch |\n|---|---|---|---|---|---|"
    )?;
    for function in Function::ALL {
        let entries: Vec<&Entry> = channels(file, *function).collect();
        if entries.is_empty() {
            continue;
        }
        let data: BTreeSet<&str> =
            entries.iter().filter_map(|e| e.role.channel()).flat_map(|c| &c.data).map(|d| d.name()).collect();
        let regions: BTreeSet<String> =
            entries.iter().flat_map(|e| &e.whens).filter_map(|when| when.region).map(|r| r.to_string()).collect();
        let off = entries.iter().filter(|e| e.role.channel().is_some_and(|c| c.off_switch.is_some())).count();
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            function.name(),
            entries.len(),
            shown_by(&entries),
            joined(data),
            joined(regions),
            if off == 0 { "–".to_owned() } else { format!("{off} of {}", entries.len()) },
        )?;
    }
    let missing = Function::ALL.iter().filter(|function| channels(file, **function).next().is_none());
    let missing: Vec<&str> = missing.map(|function| function.name()).collect();
    if !missing.is_empty() {
        writeln!(out, "\nNothing is known of: {}.", missing.join(", "))?;
    }
    if !file.gaps.is_empty() {
        writeln!(out, "\nDocumented, and not told apart yet:\n")?;
    }
    file.gaps.iter().try_for_each(|gap| writeln!(out, "- {}: {}", gap.product, gap.what))
}

/// The kinds of evidence of entries, each with the most that it is worth.
fn shown_by(entries: &[&Entry]) -> String {
    let mut best: BTreeMap<&str, u8> = BTreeMap::new();
    for when in entries.iter().flat_map(|entry| &entry.whens) {
        let known_sender = (!when.from.is_empty()).then_some("a known sender");
        let kinds = when.conditions.iter().map(|condition| kind(&condition.word)).chain(known_sender);
        // Of several conditions that must hold together each is named.
        let kinds: BTreeSet<&str> = kinds.collect();
        for kind in kinds {
            let worth = best.entry(kind).or_default();
            *worth = (*worth).max(when.confidence);
        }
    }
    let mut kinds: Vec<(&str, u8)> = best.into_iter().collect();
    kinds.sort_by_key(|(kind, worth)| (std::cmp::Reverse(*worth), *kind));
    kinds.iter().map(|(kind, worth)| format!("{kind} {worth}")).collect::<Vec<_>>().join(", ")
}

/// What a field is to somebody who does not know the fields.
fn kind(word: &str) -> &str {
    match word.split('.').next().unwrap_or(word) {
        HOST => "host name",
        "tls" | "quic" => "TLS hello",
        "x509" => "certificate",
        "eth" => "hardware address",
        "ip" => "address",
        "tcp" | "udp" => "port",
        "dns" => "DNS",
        other => other,
    }
}

fn joined<S: AsRef<str>>(words: BTreeSet<S>) -> String {
    if words.is_empty() {
        return "–".to_owned();
    }
    words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

fn identities(file: &VendorFile) -> impl Iterator<Item = &Entry> {
    file.entries.iter().filter(|entry| entry.role.is_identity())
}

fn channels(file: &VendorFile, function: Function) -> impl Iterator<Item = &Entry> {
    file.entries.iter().filter(move |entry| entry.role.channel().is_some_and(|channel| channel.function == function))
}
