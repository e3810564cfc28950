//! What the user of a sensor should know while it runs.
//!
//! In: the ledger and counts since the beginning. Out: sentences: what is wrong, how that is known, and what to do.

use crate::join::Seen;
use crate::ledger::Ledger;
use crate::record::Finding;
use crate::time::SECOND;

/// TCP flows from which on it can be said that one direction is missing.
const TCP_FLOWS_ENOUGH: u64 = 50;
/// Such a part of them with one direction only is no accident.
const ONE_SIDED_PART: f64 = 0.5;
/// A sensor that has listened for so long should have seen so many flows.
const QUIET_SECONDS: i64 = 60;
const QUIET_FLOWS: u64 = 10;
/// Loss that is worth a word.
const LOSS_PART: f64 = 0.001;
const MISSING_PART: f64 = 0.01;
/// New findings that are named.
const NEW_NAMED_MAX: usize = 3;

/// What is to be said after so many nanoseconds.
pub(super) fn of(ledger: &Ledger, seen: Seen, nanoseconds: i64) -> Vec<String> {
    let mut warnings = Vec::new();
    let [tcp, one_sided] = seen.tcp_flows.map(|n| n.0);
    if tcp >= TCP_FLOWS_ENOUGH && one_sided as f64 > tcp as f64 * ONE_SIDED_PART {
        warnings.push(format!(
            "Of {one_sided} of {tcp} TCP flows only one direction came by: the port mirrors one direction, or the other \
             comes on another interface. Mirror both, or listen to both with a second -i."
        ));
    }
    let (flows, seconds) = (seen.flows.0, nanoseconds / SECOND);
    if seconds >= QUIET_SECONDS && flows < QUIET_FLOWS {
        warnings.push(format!("{flows} flows in {seconds} s: too little to judge by. Is this the mirror port?"));
    }
    let is_loss = |name: &str| name.starts_with("kernel.") || name.starts_with("interface.");
    let lost: Vec<(&String, &u64)> = ledger.not_decoded.iter().filter(|(name, _)| is_loss(name)).collect();
    let sum: u64 = lost.iter().map(|(_, count)| **count).sum();
    if sum as f64 > ledger.received as f64 * LOSS_PART {
        let names: Vec<String> = lost.iter().map(|(name, count)| format!("{name} {count}")).collect();
        warnings.push(format!(
            "{sum} of {} packets were lost in the sensor: {}. More --ring-size, more workers, or a filter.",
            ledger.received,
            names.join(", ")
        ));
    }
    let (missing, came) = (ledger.missing_bytes, ledger.tcp_payload_bytes);
    if missing as f64 > came as f64 * MISSING_PART {
        warnings.push(format!(
            "{missing} bytes of TCP payload were acknowledged and never came by, beside {came} that did: the mirror \
             loses packets before the sensor."
        ));
    }
    warnings
}

/// That the baseline lacks findings which count.
pub(super) fn of_new(findings: &[Finding]) -> Option<String> {
    let new: Vec<&Finding> = findings.iter().filter(|finding| finding.alert && finding.new == Some(true)).collect();
    let named = new.iter().take(NEW_NAMED_MAX).map(|finding| {
        let to = &finding.destination;
        let place = to.country.as_deref().unwrap_or("??");
        let far = to.domain.as_deref().or(to.ip.first().map(String::as_str)).unwrap_or("unknown");
        let far = far.escape_debug();
        format!("{} {} to {far} ({place}), finding {}", finding.asset.ip, finding.channel.id, finding.id)
    });
    let named: Vec<String> = named.collect();
    let more = new.len().saturating_sub(named.len());
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    let is = if new.len() == 1 { "finding is" } else { "findings are" };
    (!new.is_empty()).then(|| format!("{} {is} not in the baseline: {}{more}.", new.len(), named.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::Tally;
    use crate::record::{Loss, Schedule};

    fn seen(tcp: u64, one_sided: u64, flows: u64) -> Seen {
        Seen { tcp_flows: [Tally(tcp), Tally(one_sided)], flows: Tally(flows), ..Seen::default() }
    }

    #[test]
    fn a_good_port_gives_no_warning() {
        let ledger = Ledger { received: 1000, decoded: 1000, tcp_payload_bytes: 1000, ..Ledger::default() };
        assert_eq!(of(&ledger, seen(100, 10, 200), 3600 * SECOND), Vec::<String>::new());
        assert_eq!(of(&Ledger::default(), seen(10, 10, 10), SECOND), Vec::<String>::new(), "too early to say");
    }

    #[test]
    fn each_fault_has_its_sentence() {
        let mut ledger = Ledger { received: 1000, decoded: 900, tcp_payload_bytes: 1000, ..Ledger::default() };
        ledger.missing_bytes = 20;
        ledger.not_decoded.insert("kernel.ring-dropped".to_owned(), 90);
        ledger.not_decoded.insert("ip.truncated".to_owned(), 10);
        let all = of(&ledger, seen(60, 59, 9), 61 * SECOND);
        let expect = ["59 of 60 TCP flows", "9 flows in 61 s", "90 of 1000 packets", "20 bytes of TCP payload"];
        assert_eq!(all.len(), expect.len(), "{all:?}");
        for (warning, words) in all.iter().zip(expect) {
            assert!(warning.contains(words), "{warning}");
        }
    }

    fn finding(id: &str, alert: bool, new: Option<bool>, domain: &str) -> Finding {
        let document = serde_json::json!({
            "id": id, "direction": "outbound", "crossing": "observed", "attempted_only": false, "bytes_out": 1,
            "bytes_in": 1, "sessions": 1, "first_seen": "", "last_seen": "", "by_month": {}, "loss": Loss::default(),
            "schedule": Schedule::default(), "severity": "high", "alert": alert, "exemption": null, "new": new, "why": [],
            "asset": {
                "ip": "10.0.0.1", "mac": null, "site": null, "vendor": "X", "product": "X", "confidence": 90,
                "evidence": [],
            },
            "channel": {
                "id": "x.telemetry", "vendor": "X", "product": "X", "function": "telemetry", "data": [],
                "data_basis": null, "basis": null, "source": [], "off_switch": null, "matched": [], "confidence": 90,
            },
            "destination": {
                "domain": domain, "domain_basis": null, "ip": [], "country": "US", "country_basis": "address",
                "country_confidence": 70, "as": null,
            },
        });
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn what_the_baseline_lacks_is_named() {
        let quiet =
            [finding("1", true, None, "a"), finding("2", true, Some(false), "a"), finding("3", false, Some(true), "a")];
        assert_eq!(of_new(&quiet), None);
        let one = of_new(&[finding("4", true, Some(true), "a\u{1b}\u{202e}b")]).unwrap();
        let line = "1 finding is not in the baseline: 10.0.0.1 x.telemetry to a\\u{1b}\\u{202e}b (US), finding 4.";
        assert_eq!(one, line);
        let many: Vec<Finding> = (0..5).map(|n| finding(&n.to_string(), true, Some(true), "a")).collect();
        let many = of_new(&many).unwrap();
        assert!(many.starts_with("5 findings are not in the baseline: ") && many.ends_with("; and 2 more."), "{many}");
    }
}
