//! One row in full: evidence, reasons, sources.
//!
//! In: a picture, a page, the key of a row. Out: lines; none when the row is no longer there.

use super::loss::COLUMNS;
use super::page::{Page, asset_key, channel, country, destination};
use super::state::UiState;
use super::words::{harmless, moment, wrapped};
use crate::record::{Asset, CountryBytes, Evidence, Finding};
use crate::report::text::{bytes_text, count, grouped};
use crate::view::View;

/// Findings told of one country or channel.
const FINDINGS_MAX: usize = 200;
/// Columns of a label.
const LABEL: usize = 14;

/// The lines of a row, at most so many columns wide.
pub fn lines(page: Page, key: &str, view: &View, state: &UiState, columns: usize) -> Vec<String> {
    let mut sheet = Sheet { columns, lines: Vec::new() };
    let findings = &view.report.findings;
    match page {
        Page::Findings | Page::Newest => {
            if let Some(found) = findings.iter().find(|finding| finding.id == key) {
                sheet.finding(found);
            }
        }
        Page::Assets => {
            if let Some(asset) = view.report.assets.iter().find(|asset| asset_key(asset) == key) {
                sheet.asset(asset, findings);
            }
        }
        Page::Countries => sheet.several("Country", key, findings.iter().filter(|finding| country(finding) == key)),
        Page::Channels => {
            let found = || findings.iter().filter(|finding| finding.channel.id == key);
            if let Some(first) = found().next() {
                sheet.channel(first);
                sheet.several("Channel", key, found());
            }
        }
        Page::Loss => {
            if let Some(row) = page.table(view, state).rows.into_iter().find(|row| row.key == key) {
                row.cells.iter().zip(COLUMNS).for_each(|(cell, column)| sheet.field(column.name, &cell.text));
            }
        }
    }
    if sheet.lines.is_empty() {
        sheet.lines.push("This is no longer there.".to_owned());
    }
    sheet.lines
}

struct Sheet {
    columns: usize,
    lines: Vec<String>,
}

impl Sheet {
    fn title(&mut self, text: &str) {
        if !self.lines.is_empty() {
            self.lines.push(String::new());
        }
        self.lines.extend(wrapped(&harmless(text), self.columns, 2));
    }

    fn field(&mut self, label: &str, text: &str) {
        if !text.is_empty() {
            let line = format!("{label:LABEL$} {}", harmless(text));
            self.lines.extend(wrapped(&line, self.columns, LABEL + 1));
        }
    }

    fn finding(&mut self, finding: &Finding) {
        let asset = &finding.asset;
        self.title(&format!("Finding {}", finding.id));
        self.field("crossing", finding.crossing.name());
        self.field("severity", &finding.severity);
        if finding.attempted_only {
            self.field("", "only tried: nothing came back");
        }
        for why in &finding.why {
            self.field("why", why);
        }
        self.title("Asset");
        self.field("address", &asset.ip);
        self.field("hardware", asset.mac.as_deref().unwrap_or_default());
        self.field("site", asset.site.as_deref().unwrap_or_default());
        self.field("product", &format!("{}, {} ({} % sure)", asset.vendor, asset.product, asset.confidence));
        self.evidence(&asset.evidence);
        self.channel(finding);
        let to = &finding.destination;
        self.title("Destination");
        self.field("name", to.domain.as_deref().unwrap_or_default());
        self.field("name from", to.domain_basis.as_deref().unwrap_or_default());
        self.field("addresses", &to.ip.join(", "));
        let country = format!("{}, from {} ({} % sure)", country(finding), to.country_basis, to.country_confidence);
        self.field("country", &country);
        if let Some(system) = &to.as_ {
            self.field("AS", &format!("{} {}", system.number, system.organization));
        }
        self.title("How much");
        self.field("out", &exact(finding.bytes_out));
        self.field("in", &exact(finding.bytes_in));
        self.field("flows", &grouped(finding.sessions));
        self.field("first seen", &moment(&finding.first_seen));
        self.field("last seen", &moment(&finding.last_seen));
        for (month, bytes) in &finding.by_month {
            self.field(month, &both(bytes));
        }
        let loss = &finding.loss;
        self.title("Not seen of it");
        self.field("missing", &exact(loss.missing_bytes));
        self.field("one side only", &count(loss.one_sided as usize, "flow"));
        self.field("no beginning", &count(loss.midstream as usize, "flow"));
        self.field("cut short", &count(loss.truncated as usize, "flow"));
        self.field("given up", &count(loss.evicted as usize, "flow"));
    }

    fn channel(&mut self, finding: &Finding) {
        let channel = &finding.channel;
        self.title("Channel");
        self.field("id", &channel.id);
        self.field("product", &format!("{} {}", channel.vendor, channel.product));
        self.field("function", &channel.function);
        self.field("data", &channel.data.join(", "));
        self.field("data from", channel.data_basis.as_deref().unwrap_or_default());
        self.field("known from", channel.basis.as_deref().unwrap_or_default());
        if channel.confidence > 0 {
            self.field("sure", &format!("{} %", channel.confidence));
        }
        for matched in &channel.matched {
            self.field("matched", matched);
        }
        for source in &channel.source {
            self.field("source", source);
        }
        self.field("to stop it", channel.off_switch.as_deref().unwrap_or_default());
    }

    fn asset(&mut self, asset: &Asset, findings: &[Finding]) {
        self.title(&format!("Asset {}", asset.ip));
        self.field("hardware", asset.mac.as_deref().unwrap_or_default());
        self.field("vendor", &asset.vendor);
        self.field("product", &asset.product);
        self.field("model", asset.model.as_deref().unwrap_or_default());
        self.field("version", asset.version.as_deref().unwrap_or_default());
        self.field("sure", &format!("{} %", asset.confidence));
        if asset.shared_address {
            self.field("shared", "several hosts use this address");
        }
        self.field("out", &exact(asset.bytes_out));
        self.field("in", &exact(asset.bytes_in));
        for (country, bytes) in &asset.by_country {
            self.field(country, &both(bytes));
        }
        self.title("Evidence");
        self.evidence(&asset.evidence);
        let own = |finding: &&Finding| finding.asset.ip == asset.ip && finding.asset.vendor == asset.vendor;
        self.list(findings.iter().filter(own));
    }

    fn evidence(&mut self, evidence: &[Evidence]) {
        for piece in evidence {
            let Evidence { field, value, signature, matched, confidence, first_seen, packet } = piece;
            self.field("evidence", &format!("{field} {value}"));
            let from = format!("{signature} ({matched}), {confidence} %, packet {packet}, {}", moment(first_seen));
            self.field("", &from);
        }
    }

    fn several<'a>(&mut self, what: &str, key: &str, findings: impl Iterator<Item = &'a Finding>) {
        if what == "Country" {
            self.title(&format!("{what} {key}"));
        }
        self.list(findings);
    }

    fn list<'a>(&mut self, findings: impl Iterator<Item = &'a Finding>) {
        let findings: Vec<&Finding> = findings.collect();
        self.title(&format!("Findings ({})", findings.len()));
        for finding in findings.iter().take(FINDINGS_MAX) {
            let what = format!("{}: {} to {}", finding.asset.ip, channel(finding), destination(finding));
            let how_much = format!("{} out, {} in", bytes_text(finding.bytes_out), bytes_text(finding.bytes_in));
            let line = format!("{what}, {}, {how_much}", country(finding));
            self.field(finding.crossing.name(), &line);
        }
        if findings.len() > FINDINGS_MAX {
            self.field("", &format!("and {} more", findings.len() - FINDINGS_MAX));
        }
    }
}

fn exact(bytes: u64) -> String {
    if bytes < 1000 { bytes_text(bytes) } else { format!("{} ({} bytes)", bytes_text(bytes), grouped(bytes)) }
}

fn both(bytes: &CountryBytes) -> String {
    format!("{} out, {} in", bytes_text(bytes.bytes_out), bytes_text(bytes.bytes_in))
}
