//! Findings and assets as tables for spreadsheets.
//!
//! In: findings, assets. Out: CSV (RFC 4180) in UTF-8, one row each; lists are joined by `; `. A text that a spreadsheet would
//! take for a formula gets a `'` before it, and characters that hide or turn around what stands beside them are written as
//! `\u{202e}`.
//! Source: RFC 4180; OWASP, "CSV Injection".

use std::io::{self, Write};

use csv::{QuoteStyle, Terminator, WriterBuilder};

use super::words;
use crate::fact::value;
use crate::record::{Asset, Finding};

/// The tables, by what they hold.
pub const TABLES: [&str; 2] = ["findings.csv", "assets.csv"];

/// A column of a table of `T`.
type Column<T> = (&'static str, fn(&T) -> Cell);

/// What stands in a cell.
enum Cell {
    Number(u64),
    Text(String),
    List(Vec<String>),
}

const FINDING: &[Column<Finding>] = &[
    ("id", |f| text(&f.id)),
    ("direction", |f| text(f.direction.name())),
    ("crossing", |f| text(f.crossing.name())),
    ("attempted_only", |f| Cell::Text(f.attempted_only.to_string())),
    ("severity", |f| text(&f.severity)),
    ("alert", |f| Cell::Text(f.alert.to_string())),
    ("new", |f| Cell::Text(f.new.map(|new| new.to_string()).unwrap_or_default())),
    ("exemption", |f| Cell::Text(f.exemption.as_ref().map(words::exemption).unwrap_or_default())),
    ("asset_ip", |f| text(&f.asset.ip)),
    ("asset_mac", |f| optional(&f.asset.mac)),
    ("asset_site", |f| optional(&f.asset.site)),
    ("asset_vendor", |f| text(&f.asset.vendor)),
    ("asset_product", |f| text(&f.asset.product)),
    ("asset_confidence", |f| Cell::Number(f.asset.confidence.into())),
    ("channel_id", |f| text(&f.channel.id)),
    ("channel_vendor", |f| text(&f.channel.vendor)),
    ("channel_product", |f| text(&f.channel.product)),
    ("channel_function", |f| text(&f.channel.function)),
    ("channel_data", |f| Cell::List(f.channel.data.clone())),
    ("channel_data_basis", |f| optional(&f.channel.data_basis)),
    ("channel_confidence", |f| Cell::Number(f.channel.confidence.into())),
    ("channel_source", |f| Cell::List(f.channel.source.clone())),
    ("off_switch", |f| optional(&f.channel.off_switch)),
    ("domain", |f| optional(&f.destination.domain)),
    ("domain_basis", |f| optional(&f.destination.domain_basis)),
    ("ip", |f| Cell::List(f.destination.ip.clone())),
    ("country", |f| optional(&f.destination.country)),
    ("country_basis", |f| text(&f.destination.country_basis)),
    ("country_confidence", |f| Cell::Number(f.destination.country_confidence.into())),
    ("as_number", |f| f.destination.as_.as_ref().map_or(text(""), |as_| Cell::Number(as_.number.into()))),
    ("as_organization", |f| text(f.destination.as_.as_ref().map_or("", |as_| &as_.organization))),
    ("bytes_out", |f| Cell::Number(f.bytes_out)),
    ("bytes_in", |f| Cell::Number(f.bytes_in)),
    ("sessions", |f| Cell::Number(f.sessions)),
    ("first_seen", |f| text(&f.first_seen)),
    ("last_seen", |f| text(&f.last_seen)),
    ("by_month", |f| Cell::List(words::volumes(&f.by_month))),
    ("missing_bytes", |f| Cell::Number(f.loss.missing_bytes)),
    ("one_sided", |f| Cell::Number(f.loss.one_sided)),
    ("midstream", |f| Cell::Number(f.loss.midstream)),
    ("truncated", |f| Cell::Number(f.loss.truncated)),
    ("evicted", |f| Cell::Number(f.loss.evicted)),
    ("why", |f| Cell::List(f.why.clone())),
];

const ASSET: &[Column<Asset>] = &[
    ("ip", |a| text(&a.ip)),
    ("mac", |a| optional(&a.mac)),
    ("site", |a| optional(&a.site)),
    ("vendor", |a| text(&a.vendor)),
    ("product", |a| text(&a.product)),
    ("model", |a| optional(&a.model)),
    ("version", |a| optional(&a.version)),
    ("confidence", |a| Cell::Number(a.confidence.into())),
    ("shared_address", |a| Cell::Text(a.shared_address.to_string())),
    ("bytes_out", |a| Cell::Number(a.bytes_out)),
    ("bytes_in", |a| Cell::Number(a.bytes_in)),
    ("by_country", |a| Cell::List(words::volumes(&a.by_country))),
    ("evidence", |a| Cell::List(words::evidence(&a.evidence))),
];

/// Findings, a row each.
pub fn findings(findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    table(FINDING, findings, out)
}

/// Assets, a row each.
pub fn assets(assets: &[Asset], out: &mut dyn Write) -> io::Result<()> {
    table(ASSET, assets, out)
}

fn table<T>(columns: &[Column<T>], rows: &[T], out: &mut dyn Write) -> io::Result<()> {
    // Quotes around everything that is no number: also where a spreadsheet takes `;` for the end of a cell.
    let mut builder = WriterBuilder::new();
    let mut writer = builder
        .quote_style(QuoteStyle::NonNumeric)
        .terminator(Terminator::CRLF)
        .buffer_capacity(1 << 16)
        .from_writer(out);
    writer.write_record(columns.iter().map(|(name, _)| *name))?;
    for row in rows {
        writer.write_record(columns.iter().map(|(_, cell)| written(cell(row))))?;
    }
    // Writes what is left, once: a drop behind a `flush` would try again and say nothing.
    writer.into_inner().map_err(|error| error.into_error())?;
    Ok(())
}

fn written(cell: Cell) -> String {
    match cell {
        Cell::Number(number) => number.to_string(),
        Cell::Text(text) => inert(&text),
        Cell::List(all) => all.iter().map(|text| inert(text)).collect::<Vec<_>>().join("; "),
    }
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

fn optional(text: &Option<String>) -> Cell {
    Cell::Text(text.clone().unwrap_or_default())
}

/// The text, which no spreadsheet takes for a formula, and in which nothing is hidden.
fn inert(text: &str) -> String {
    let text = value::harmless(text);
    // Also the forms that East Asian input methods give.
    let begins = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if begins { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_text() {
        // The beginnings that OWASP lists.
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1"] {
            let cell = inert(formula);
            assert!(cell.starts_with(['\'', '\\']), "{cell}");
        }
        assert_eq!(inert("a=b"), "a=b");
        assert_eq!(written(Cell::List(vec!["a".into(), "=b".into()])), "a; '=b");
    }
}
