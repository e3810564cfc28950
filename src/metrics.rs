//! The page of metrics: the last picture as Prometheus reads it, and the server that shows it.
//!
//! In: a [`View`]. Out: text in base units (bytes, seconds), counters with `_total`, few labels; [`serve`] answers
//! `GET /metrics` and `GET /healthz`. Names follow prometheus.io/docs/practices/naming.

mod exposition;
mod server;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::decode::REASONS;
use crate::ledger::Ledger;
use crate::record::{Crossing, Finding};
use crate::report::{Header, Report};
use crate::time::{SECOND, Time};
use crate::view::View;

pub use exposition::CONTENT_TYPE;
use exposition::{Kind, Page};
pub use server::{HEALTHY_SECONDS_MAX, Server, reply, serve};

/// Countries with samples of their own, those with most bytes; the rest are added up as `other`.
pub const COUNTRIES_MAX: usize = 64;
/// Vendors with samples of their own; the rest are added up as `other`.
pub const VENDORS_MAX: usize = 256;
/// Reasons, limits and outputs that are told by name.
pub const NAMES_MAX: usize = 256;

/// How packets are lost on the way to the sensor.
const LOSSES: [&str; 3] = ["interface.dropped", "kernel.ring-dropped", "kernel.ring-unread"];
/// Limits that are reached in a sensor under load.
const LIMITS: [&str; 4] = ["clock.ahead", "clock.back", "flow.evicted", "kernel.ring-full"];
/// What no longer fits under its own name.
const OTHER: &str = "other";

/// The page of a picture.
pub fn page(view: &View) -> String {
    let mut page = Page::default();
    sensor(&mut page, view);
    ledger(&mut page, &view.ledger);
    findings(&mut page, &view.report);
    outputs(&mut page, view);
    page.finish()
}

/// Where to listen: a port alone means loopback; an address is taken as it is typed, and must be typed in full.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| {
        format!(
            "`{text}` is no address with a port; write 9477 for 127.0.0.1:9477, or 0.0.0.0:9477 for every interface"
        )
    })
}

/// The process, its turns, its state.
fn sensor(page: &mut Page, view: &View) {
    let header = &view.report.header;
    build(page, header);
    if let Some(bytes) = view.resident_bytes {
        page.one("process_resident_memory_bytes", Kind::Gauge, "Resident memory size in bytes.", bytes);
    }
    let started = "Start time of the process since unix epoch in seconds.";
    page.one("process_start_time_seconds", Kind::Gauge, started, seconds(view.started));
    let turn = "When the sensor last took stock; everything here is of that moment.";
    page.one("bordertap_last_turn_timestamp_seconds", Kind::Gauge, turn, seconds(view.now));
    page.one("bordertap_warnings", Kind::Gauge, "Warnings that hold now.", view.warnings.len());
    let mut reloads = page.family(
        "bordertap_reloads_total",
        Kind::Counter,
        "Times signatures, policy and databases were read again.",
    );
    for (result, count) in ["ok", "failed"].into_iter().zip(view.reloads) {
        reloads.sample(&[("result", result)], count);
    }
    page.one("bordertap_flows_open", Kind::Gauge, "Flows that are open.", view.state.open_flows);
    page.one("bordertap_flow_state_bytes", Kind::Gauge, "Memory behind open flows, about.", view.state.bytes);
    page.one("bordertap_flows_total", Kind::Counter, "Flows.", header.flows);
    let transit = "Flows between two addresses that are both not inside: counted, not judged.";
    page.one("bordertap_flows_transit_total", Kind::Counter, transit, header.transit_flows);
}

/// The build and what it judges by.
fn build(page: &mut Page, header: &Header) {
    let mut info = page.family("bordertap_build_info", Kind::Gauge, "The program; always 1.");
    info.sample(&[("version", env!("CARGO_PKG_VERSION")), ("features", env!("BORDERTAP_BUILD_FEATURES"))], 1);
    let signatures = &header.signatures;
    let mut info = page.family("bordertap_signatures_info", Kind::Gauge, "The signatures in use; always 1.");
    let pack = signatures.pack.as_ref().map_or("", |pack| pack.name.as_str());
    info.sample(&[("sha256", &signatures.sha256), ("pack", pack)], 1);
    let mut entries = page.family("bordertap_signatures", Kind::Gauge, "Signatures in use, by kind.");
    for (kind, count) in [("identity", signatures.identities), ("channel", signatures.channels)] {
        entries.sample(&[("kind", kind)], count);
    }
    if let Some(day) = midnight(&signatures.oldest_check) {
        let help = "The oldest date at which a vendor's signatures were checked.";
        page.one("bordertap_signatures_oldest_check_timestamp_seconds", Kind::Gauge, help, day);
    }
}

/// What became of packets. Names that are known are there from the start: what appears out of nothing has no rate.
fn ledger(page: &mut Page, ledger: &Ledger) {
    let received = "Packets that came to the sensor, with those that were lost on the way.";
    page.one("bordertap_packets_received_total", Kind::Counter, received, ledger.received);
    page.one("bordertap_packets_decoded_total", Kind::Counter, "Packets that became part of a flow.", ledger.decoded);
    let help = "Packets that did not become part of a flow, by reason: received = decoded + the sum of these.";
    let known = REASONS.iter().map(|(_, name)| *name).chain(LOSSES);
    let mut reasons: BTreeMap<&str, u64> = known.map(|name| (name, 0)).collect();
    reasons.extend(ledger.not_decoded.iter().map(|(name, count)| (name.as_str(), *count)));
    counters(page, "bordertap_packets_lost_total", help, "reason", reasons);
    let help = "Times a named limit of a later stage was reached; flows, not packets.";
    let mut limits: BTreeMap<&str, u64> = LIMITS.into_iter().map(|name| (name, 0)).collect();
    limits.extend(ledger.later.iter().map(|(name, count)| (name.as_str(), *count)));
    counters(page, "bordertap_limits_total", help, "limit", limits);
    let payload = "TCP payload that came by.";
    page.one("bordertap_tcp_payload_bytes_total", Kind::Counter, payload, ledger.tcp_payload_bytes);
    let missing =
        "TCP payload that was acknowledged or skipped and never came by: an estimate of loss before the sensor.";
    page.one("bordertap_missing_bytes_total", Kind::Counter, missing, ledger.missing_bytes);
}

/// A family of counters by one label; what is too much is added up.
fn counters(page: &mut Page, name: &'static str, help: &str, label: &str, counts: BTreeMap<&str, u64>) {
    let mut family = page.family(name, Kind::Counter, help);
    for (value, count) in bounded(counts, NAMES_MAX) {
        family.sample(&[(label, value)], count);
    }
}

/// Who talks where. A finding may move from one crossing to another as more is seen, so its bytes are no counter.
fn findings(page: &mut Page, report: &Report) {
    let mut family = page.family("bordertap_findings", Kind::Gauge, "Findings, by crossing.");
    for crossing in Crossing::ALL {
        let count = report.findings.iter().filter(|finding| finding.crossing == crossing).count();
        family.sample(&[("crossing", crossing.name())], count);
    }
    let alerts = report.findings.iter().filter(|finding| finding.alert).count();
    let help = "Findings that count for --fail-on-finding: what [alert] of the policy names, else what leaves.";
    page.one("bordertap_findings_alert", Kind::Gauge, help, alerts);
    let mut vendors: BTreeMap<&str, u64> = BTreeMap::new();
    for asset in &report.assets {
        *vendors.entry(&asset.vendor).or_default() += 1;
    }
    let mut family = page.family("bordertap_assets", Kind::Gauge, "Security products recognised, by vendor.");
    for (vendor, count) in bounded(vendors, VENDORS_MAX) {
        family.sample(&[("vendor", vendor)], count);
    }
    let (mut all, mut bytes): (BTreeMap<&str, u64>, BTreeMap<_, [u64; 2]>) = Default::default();
    for finding in &report.findings {
        *all.entry(country(finding)).or_default() += finding.bytes_out.saturating_add(finding.bytes_in);
    }
    let named: Vec<&str> = largest(&all, COUNTRIES_MAX);
    for finding in &report.findings {
        let country = Some(country(finding)).filter(|country| named.contains(country)).unwrap_or(OTHER);
        let [out, into] = bytes.entry((country, finding.crossing)).or_default();
        *out += finding.bytes_out;
        *into += finding.bytes_in;
    }
    let help = "IP bytes of findings, by country of the destination, crossing, and direction as seen from the asset.";
    let mut family = page.family("bordertap_finding_bytes", Kind::Gauge, help);
    for ((country, crossing), both) in bytes {
        for (direction, bytes) in ["out", "in"].into_iter().zip(both) {
            let labels = [("country", country), ("crossing", crossing.name()), ("direction", direction)];
            family.sample(&labels, bytes);
        }
    }
}

fn country(finding: &Finding) -> &str {
    finding.destination.country.as_deref().unwrap_or("??")
}

/// What became of records. Two outputs of one name are one.
fn outputs(page: &mut Page, view: &View) {
    let captured = "Bytes that were captured.";
    page.one("bordertap_captured_bytes_total", Kind::Counter, captured, view.bytes);
    let mut sums: [BTreeMap<&str, u64>; 3] = Default::default();
    for output in &view.outputs {
        for (sum, count) in sums.iter_mut().zip([output.written, output.bytes, output.dropped]) {
            *sum.entry(&output.name).or_default() += count;
        }
    }
    let families = [
        ("bordertap_output_records_total", "Records that were written, by output."),
        ("bordertap_output_bytes_total", "Bytes of records that were written, by output."),
        ("bordertap_output_dropped_total", "Records that were lost, by output: no room, no reader, an error."),
    ];
    for ((name, help), sums) in families.into_iter().zip(sums) {
        counters(page, name, help, "output", sums);
    }
}

/// At most so many names with their counts, the largest; the others as one.
fn bounded(counts: BTreeMap<&str, u64>, max: usize) -> BTreeMap<&str, u64> {
    if counts.len() <= max {
        return counts;
    }
    let named = largest(&counts, max);
    let mut kept = BTreeMap::new();
    for (&name, count) in &counts {
        *kept.entry(if named.contains(&name) { name } else { OTHER }).or_default() += count;
    }
    kept
}

/// The names with the largest counts.
fn largest<'a>(counts: &BTreeMap<&'a str, u64>, max: usize) -> Vec<&'a str> {
    let mut order: Vec<(&str, u64)> = counts.iter().map(|(&name, &count)| (name, count)).collect();
    order.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
    order.into_iter().take(max).map(|(name, _)| name).collect()
}

fn seconds(time: Time) -> f64 {
    time.0 as f64 / SECOND as f64
}

/// The first second of a day, from `2026-11-02`.
fn midnight(day: &str) -> Option<i64> {
    let date: jiff::civil::Date = day.parse().ok()?;
    let stamp = jiff::tz::Offset::UTC.to_timestamp(date.to_datetime(jiff::civil::Time::midnight())).ok()?;
    Some(stamp.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_listen() {
        assert_eq!(address("9477"), Ok("127.0.0.1:9477".parse().unwrap()));
        assert_eq!(address("[::1]:9477"), Ok("[::1]:9477".parse().unwrap()));
        assert_eq!(address("0.0.0.0:9477"), Ok("0.0.0.0:9477".parse().unwrap()));
        for wrong in [":9477", "0.0.0.0", "metrics.example:9477", "70000", ""] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_too_much_is_added_up() {
        let counts = BTreeMap::from([("a", 1), ("b", 5), ("c", 3), ("d", 3)]);
        assert_eq!(bounded(counts.clone(), 4), counts);
        assert_eq!(bounded(counts, 2), BTreeMap::from([("b", 5), ("c", 3), ("other", 4)]));
    }

    #[test]
    fn days_are_seconds() {
        assert_eq!(midnight("2026-11-02"), Some(1_793_577_600));
        assert_eq!(midnight(""), None);
    }
}
