//! A picture in one line: `--stats-every`.
//!
//! In: a [`View`]. Out: a sentence for people, or one JSON object for programs that says the same.

use serde_json::{Value, json};

use super::View;
use crate::report::text::{bytes_text, count, grouped};
use crate::time::SECOND;

/// One line for people.
pub fn line(view: &View) -> String {
    let rates = view.recent();
    let ledger = &view.ledger;
    let mut parts = vec![
        format!(
            "{} packets/s, {}, {} lost/s",
            grouped(rates.packets.round() as u64),
            bits_text(rates.bytes * 8.0),
            grouped(rates.lost.round() as u64)
        ),
        format!("{}, {} of them in no flow", count_of(ledger.received, "packet"), grouped(view.not_decoded())),
        format!("{} open, {}", count_of(view.state.open_flows, "flow"), bytes_text(view.state.bytes)),
        format!(
            "{} ({} out of the country), {}",
            count(view.report.findings.len(), "finding"),
            grouped(view.leaving() as u64),
            count(view.report.assets.len(), "product")
        ),
    ];
    if !view.warnings.is_empty() {
        parts.push(count(view.warnings.len(), "warning"));
    }
    parts.join("; ")
}

/// The same as one object, beside the line as its message.
pub fn json(view: &View) -> Value {
    let rates = view.recent();
    let ledger = &view.ledger;
    let outputs: u64 = view.outputs.iter().map(|output| output.dropped).sum();
    json!({
        "@timestamp": view.now.to_string(),
        "log.level": "info",
        "message": line(view),
        "bordertap.stats": {
            "running_seconds": view.running_seconds(),
            "packets_per_second": rates.packets,
            "bytes_per_second": rates.bytes,
            "lost_per_second": rates.lost,
            "received": ledger.received,
            "decoded": ledger.decoded,
            "not_decoded": view.not_decoded(),
            "missing_bytes": ledger.missing_bytes,
            "captured_bytes": view.bytes,
            "flows_open": view.state.open_flows,
            "flow_state_bytes": view.state.bytes,
            "resident_bytes": view.resident_bytes,
            "findings": view.report.findings.len(),
            "findings_leaving": view.leaving(),
            "assets": view.report.assets.len(),
            "records_dropped": outputs,
            "warnings": view.warnings.len(),
        },
    })
}

impl View {
    /// Seconds since the sensor began.
    pub fn running_seconds(&self) -> u64 {
        u64::try_from(self.now.since(self.started) / SECOND).unwrap_or_default()
    }

    /// Packets that became part of no flow.
    pub fn not_decoded(&self) -> u64 {
        self.ledger.not_decoded.values().sum()
    }

    /// Findings that leave the country, surely or probably.
    pub fn leaving(&self) -> usize {
        self.report.findings.iter().filter(|finding| finding.crossing.leaves()).count()
    }
}

fn count_of(n: u64, what: &str) -> String {
    count(usize::try_from(n).unwrap_or(usize::MAX), what)
}

/// Bits a second with a unit: 950 bit/s, 12.4 kbit/s, 3.1 Gbit/s.
pub fn bits_text(rate: f64) -> String {
    const UNITS: [&str; 5] = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"];
    let mut value = rate.max(0.0);
    for unit in UNITS {
        if value < 999.95 || unit == UNITS[UNITS.len() - 1] {
            let digits = if unit == UNITS[0] { 0 } else { 1 };
            return format!("{value:.digits$} {unit}");
        }
        value /= 1000.0;
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_have_a_unit() {
        assert_eq!(bits_text(0.0), "0 bit/s");
        assert_eq!(bits_text(12_400.0), "12.4 kbit/s");
        assert_eq!(bits_text(3_100_000_000.0), "3.1 Gbit/s");
        assert_eq!(bits_text(5e15), "5000.0 Tbit/s");
        assert_eq!(bits_text(-1.0), "0 bit/s");
    }
}
