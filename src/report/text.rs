//! The report as text: the answer first, then who, then what could not be seen.
//!
//! In: a report. Out: text of at most the width asked for; colour only where asked.

use std::io::{self, Write};

use super::answer::Answer;
use super::paint::{self, BOLD, DIM, GREEN, Harmless, RED, YELLOW};
use super::{Header, Report};
use crate::place::{Country, in_few_words};
use crate::record::{Asset, Crossing, Finding};

/// How the text is to look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Use colour.
    pub color: bool,
    /// Print every sentence of every finding.
    pub verbose: bool,
}

/// Pieces of evidence printed of one asset.
const EVIDENCE_LINES_MAX: usize = 4;
/// Addresses printed of one destination.
const ADDRESSES_MAX: usize = 3;

/// Writes the report.
pub fn write(report: &Report, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page { style, out: &mut Harmless(out) };
    page.header(report)?;
    page.answer(report)?;
    let open = if report.header.home.is_empty() { "By place, without a home" } else { "Cannot be determined" };
    let groups: [(&str, &str, &[Crossing]); 3] = [
        ("Leaves the country", RED, &[Crossing::Observed, Crossing::Probable]),
        (open, YELLOW, &[Crossing::NotDeterminable]),
        ("Stays at home", GREEN, &[Crossing::Home]),
    ];
    for (title, color, crossings) in groups {
        let findings: Vec<&Finding> = report.findings.iter().filter(|f| crossings.contains(&f.crossing)).collect();
        page.findings(title, color, &findings)?;
    }
    page.assets(&report.assets)?;
    page.unseen(report)
}

struct Page<'a> {
    style: Style,
    out: &'a mut dyn Write,
}

impl Page<'_> {
    fn paint(&self, color: &str, text: &str) -> String {
        paint::paint(self.style.color, color, text)
    }

    fn title(&mut self, color: &str, text: &str) -> io::Result<()> {
        let text = self.paint(&format!("{BOLD}{color}"), text);
        writeln!(self.out, "\n{text}")
    }

    fn header(&mut self, report: &Report) -> io::Result<()> {
        let header = &report.header;
        let inputs = match header.inputs.as_slice() {
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
            [] => String::new(),
        };
        writeln!(self.out, "{}  {}", self.paint(BOLD, &header.program), inputs)?;
        let when = match (&header.first_seen, &header.last_seen) {
            (Some(first), Some(last)) => format!(", {} to {} UTC", moment(first), moment(last)),
            _ => String::new(),
        };
        writeln!(self.out, "{} packets, {} flows{when}", grouped(report.ledger.received), grouped(header.flows))?;
        let signatures = &header.signatures;
        let line = format!(
            "{}; {} channels and {} identities of {} vendors, checked {}; countries from the {}",
            home(header),
            signatures.channels,
            signatures.identities,
            signatures.vendors,
            signatures.oldest_check,
            header.country_database,
        );
        writeln!(self.out, "{}", self.paint(DIM, &line))?;
        if let Some(key) = &header.anonymised {
            let line = format!("addresses and names of inside hosts are replaced, key {key}");
            writeln!(self.out, "{}", self.paint(DIM, &line))?;
        }
        if let Some(policy) = &header.policy {
            let line = format!("policy {}, SHA-256 {}", policy.name, policy.sha256);
            writeln!(self.out, "{}", self.paint(DIM, &line))?;
        }
        if let Some(baseline) = &header.baseline {
            let new = report.findings.iter().filter(|finding| finding.new == Some(true)).count();
            let line = format!("{} not in the baseline {}", count(new, "finding"), baseline.name);
            writeln!(self.out, "{}", self.paint(DIM, &line))?;
        }
        let Some(pack) = &signatures.pack else { return Ok(()) };
        let line = format!(
            "signature pack {}, serial {}, signed by the key {}, SHA-256 {}",
            pack.name, pack.serial, pack.key_id, pack.sha256
        );
        writeln!(self.out, "{}", self.paint(DIM, &line))
    }

    /// One sentence and the numbers behind it.
    fn answer(&mut self, report: &Report) -> io::Result<()> {
        let place = |country: &str, bytes| format!("{country} ({})", bytes_text(bytes));
        let sentence = Answer::of(report).sentence(usize::MAX, &place);
        writeln!(self.out, "\n{}", self.paint(BOLD, &sentence))
    }

    fn findings(&mut self, title: &str, color: &str, findings: &[&Finding]) -> io::Result<()> {
        if findings.is_empty() {
            return Ok(());
        }
        self.title(color, &format!("{title} ({})", findings.len()))?;
        let rows: Vec<[String; 7]> = findings.iter().map(|f| row(f)).collect();
        let heads = ["", "ASSET", "CHANNEL", "DATA", "TO", "OUT", "IN"].map(str::to_owned);
        let widths: Vec<usize> = (0..heads.len())
            .map(|column| rows.iter().chain([&heads]).map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect();
        let head = line(&heads, &widths);
        writeln!(self.out, "  {}", self.paint(DIM, &head))?;
        for (row, finding) in rows.iter().zip(findings) {
            writeln!(self.out, "  {}", line(row, &widths))?;
            let shown = if self.style.verbose { finding.why.len() } else { 1 };
            // The exemption is what was said last.
            let last = finding.exemption.as_ref().and(finding.why.last()).filter(|_| shown < finding.why.len());
            for why in finding.why.iter().take(shown).chain(last) {
                let why = self.paint(DIM, &format!("{:10}{why}", ""));
                writeln!(self.out, "  {why}")?;
            }
            if self.style.verbose {
                self.details(finding)?;
            }
        }
        Ok(())
    }

    fn details(&mut self, finding: &Finding) -> io::Result<()> {
        let mut lines = vec![format!(
            "{}, {} to {}",
            count(finding.sessions as usize, "flow"),
            moment(&finding.first_seen),
            moment(&finding.last_seen)
        )];
        if !finding.channel.matched.is_empty() {
            lines.push(format!("{} ({})", finding.channel.id, finding.channel.matched.join(", ")));
        }
        if let Some(off) = &finding.channel.off_switch {
            lines.push(format!("to stop it: {off}"));
        }
        for source in &finding.channel.source {
            lines.push(format!("source: {source}"));
        }
        for text in lines {
            let text = self.paint(DIM, &format!("{:10}{text}", ""));
            writeln!(self.out, "  {text}")?;
        }
        Ok(())
    }

    fn assets(&mut self, assets: &[Asset]) -> io::Result<()> {
        if assets.is_empty() {
            return Ok(());
        }
        self.title("", &format!("Products recognised ({})", assets.len()))?;
        for asset in assets {
            let shared = if asset.shared_address { ", an address that several hosts share" } else { "" };
            let words = [
                asset.model.as_deref().map(|m| format!(", {m}")),
                asset.version.as_deref().map(|v| format!(", version {v}")),
            ];
            let words = words.into_iter().flatten().collect::<String>();
            let vendor = if asset.product.starts_with(&asset.vendor) { "" } else { &format!("{} ", asset.vendor) };
            let name = self.paint(BOLD, &format!("{vendor}{}{words}", asset.product));
            let mac = asset.mac.as_ref().map(|m| format!(", {m}")).unwrap_or_default();
            let site = asset.site.as_ref().map(|site| format!(", {site}")).unwrap_or_default();
            let new = if asset.new == Some(true) { ", new" } else { "" };
            writeln!(self.out, "  {}  {name}  {} % sure{mac}{site}{shared}{new}", asset.ip, asset.confidence)?;
            for evidence in asset.evidence.iter().take(EVIDENCE_LINES_MAX) {
                let text = format!(
                    "          {} {} (packet {}, {})",
                    evidence.field, evidence.value, evidence.packet, evidence.signature
                );
                writeln!(self.out, "  {}", self.paint(DIM, &text))?;
            }
            if asset.evidence.len() > EVIDENCE_LINES_MAX {
                let more = format!("          and {} more", asset.evidence.len() - EVIDENCE_LINES_MAX);
                writeln!(self.out, "  {}", self.paint(DIM, &more))?;
            }
        }
        Ok(())
    }

    /// What could not be seen or judged.
    fn unseen(&mut self, report: &Report) -> io::Result<()> {
        self.title("", "What was not seen")?;
        let ledger = &report.ledger;
        writeln!(
            self.out,
            "  {} of {} packets became part of a flow.",
            grouped(ledger.decoded),
            grouped(ledger.received)
        )?;
        for (name, n) in ledger.not_decoded.iter().chain(&ledger.later) {
            writeln!(self.out, "  {:>12}  {name}", grouped(*n))?;
        }
        if ledger.missing_bytes > 0 {
            let all = ledger.missing_bytes + ledger.tcp_payload_bytes;
            writeln!(
                self.out,
                "  About {} of {} of TCP payload never came by: lost before the capture or in it.",
                bytes_text(ledger.missing_bytes),
                bytes_text(all)
            )?;
        }
        let one_sided: u64 = report.findings.iter().map(|f| f.loss.one_sided).sum();
        if one_sided > 0 {
            writeln!(self.out, "  Of {} above only one direction was seen.", count(one_sided as usize, "flow"))?;
        }
        if report.header.transit_flows > 0 {
            writeln!(
                self.out,
                "  {} between two addresses that are both not inside: counted, not judged (--inside).",
                count(report.header.transit_flows as usize, "flow")
            )?;
        }
        for damage in &report.header.damage {
            writeln!(self.out, "  {} at offset {}: {}", damage.input, damage.offset, damage.reason)?;
        }
        if !report.gaps.is_empty() {
            let shown = if self.style.verbose { report.gaps.len() } else { 0 };
            writeln!(
                self.out,
                "  {} of traffic of these vendors cannot be told apart on the wire yet{}",
                count(report.gaps.len(), "documented kind"),
                if shown == 0 { " (-v lists them)." } else { ":" }
            )?;
            for gap in report.gaps.iter().take(shown) {
                let text = format!("    {} {}: {}", gap.vendor, gap.product, gap.what);
                writeln!(self.out, "{}", self.paint(DIM, &text))?;
            }
        }
        Ok(())
    }
}

/// Home in few words.
fn home(header: &Header) -> String {
    let countries: Vec<Country> = header.home.iter().filter_map(|word| Country::from_word(word)).collect();
    match in_few_words(&countries) {
        words if words.is_empty() => "no home".to_owned(),
        words => format!("home {}", words.join(", ")),
    }
}

/// The columns of one finding.
fn row(finding: &Finding) -> [String; 7] {
    let name = if finding.asset.product.is_empty() { &finding.asset.vendor } else { &finding.asset.product };
    let site = finding.asset.site.as_ref().map(|site| format!(", {}", shortened(site, 20))).unwrap_or_default();
    let asset = format!("{} {}{site}", finding.asset.ip, shortened(name, 28));
    let channel = if finding.channel.id == "unexplained" {
        "unexplained".to_owned()
    } else {
        format!("{} [{}]", shortened(&finding.channel.product, 36), finding.channel.function)
    };
    let place = finding.destination.country.as_deref().unwrap_or("??");
    let name = finding.destination.domain.clone().unwrap_or_else(|| {
        let addresses = &finding.destination.ip;
        let more = if addresses.len() > ADDRESSES_MAX { ", …" } else { "" };
        format!("{}{more}", addresses.iter().take(ADDRESSES_MAX).cloned().collect::<Vec<_>>().join(", "))
    });
    let mark = match finding.crossing {
        Crossing::Probable => "?",
        _ => "",
    };
    let new = if finding.new == Some(true) { " new" } else { "" };
    [
        format!("{}{new}", finding.severity),
        asset,
        channel,
        shortened(&finding.channel.data.join(" "), 32),
        format!("{place}{mark} {name}"),
        if finding.attempted_only { "tried".to_owned() } else { bytes_text(finding.bytes_out) },
        bytes_text(finding.bytes_in),
    ]
}

fn line(cells: &[String; 7], widths: &[usize]) -> String {
    let mut text = String::new();
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
        // Numbers stand to the right.
        if at >= 5 { text.push_str(&format!("{pad}{cell}  ")) } else { text.push_str(&format!("{cell}{pad}  ")) }
    }
    text.trim_end().to_owned()
}

fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

/// `2026-11-02T08:00:00.123456789Z` as `2026-11-02 08:00:00`.
fn moment(time: &str) -> String {
    time.get(..19).unwrap_or(time).replace('T', " ")
}

/// `1 flow`, `2 flows`.
pub fn count(n: usize, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {what}{s}", grouped(n as u64))
}

/// `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes with a unit: 950 B, 12.4 kB, 3.1 MB.
pub fn bytes_text(n: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64;
    let mut unit = "B";
    for name in UNITS {
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = name;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(bytes_text(999), "999 B");
        assert_eq!(bytes_text(12_400), "12.4 kB");
        assert_eq!(bytes_text(3_100_000_000), "3.1 GB");
        assert_eq!(count(1, "flow"), "1 flow");
        assert_eq!(count(2000, "flow"), "2,000 flows");
    }
}
