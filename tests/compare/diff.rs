//! Reports beside each other. They are made by hand, as documents that fit the schema of `--json`; what is expected of each
//! pair was written down with it.

use std::path::Path;

use bordertap::diff::{Diff, Kind, diff};
use bordertap::report::Report;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{DEMO, file, fits, run, status, stderr, stdout};

/// A time of 2 November 2026, from seconds.
fn at(second: u64) -> String {
    format!("2026-11-02T{:02}:{:02}:{:02}.000000000Z", second / 3600, second / 60 % 60, second % 60)
}

/// A report of so many seconds.
fn report(seconds: u64, findings: Vec<Value>, assets: Vec<Value>) -> Value {
    let report = json!({
        "header": {
            "format": 1, "program": "bordertap 0.1.0", "sensor": null, "inputs": ["a.pcap"],
            "sources": [{ "input": "a.pcap", "sha256": null, "fingerprint": null, "packets": 10 }], "damage": [],
            "first_seen": at(0), "last_seen": at(seconds), "flows": 10, "transit_flows": 0,
            "home": ["CN"], "inside": ["10.0.0.0/8"], "policy": null, "baseline": null, "filter": null,
            "signatures": {
                "sha256": "a".repeat(64), "vendors": 1, "identities": 1, "channels": 1, "oldest_check": "2026-11-01",
                "pack": null,
            },
            "country_database": "built-in database of 2026-06", "asn_database": null,
        },
        "ledger": {
            "received": 10, "decoded": 10, "not_decoded": {}, "later": {}, "tcp_payload_bytes": 0, "missing_bytes": 0,
        },
        "findings": findings, "assets": assets, "gaps": [],
    });
    fits("report", &report);
    report
}

/// What a test says of a finding.
#[derive(Clone, Copy)]
struct Said<'a> {
    id: u64,
    ip: &'a str,
    channel: &'a str,
    domain: &'a str,
    country: Option<&'a str>,
    crossing: &'a str,
    severity: &'a str,
    bytes_out: u64,
    /// Seconds at which its flows began.
    starts: &'a [u64],
}

const TELEMETRY: Said<'_> = Said {
    id: 1,
    ip: "10.0.0.1",
    channel: "x.telemetry",
    domain: "telemetry.example.net",
    country: Some("US"),
    crossing: "observed",
    severity: "medium",
    bytes_out: 50_000,
    starts: &[600, 1200, 1800, 2400, 3000],
};

fn finding(said: Said<'_>) -> Value {
    let Said { id, ip, channel, domain, country, crossing, severity, bytes_out, starts } = said;
    let (first, last) = (starts[0], starts[starts.len() - 1]);
    json!({
        "id": format!("{id:016x}"),
        "asset": {
            "ip": ip, "mac": null, "site": null, "vendor": "X", "product": "X firewall", "confidence": 90, "evidence": [],
        },
        "channel": {
            "id": channel, "vendor": "X", "product": "X cloud", "function": "telemetry", "data": ["url"],
            "data_basis": null, "basis": null, "source": [], "off_switch": null, "matched": [], "confidence": 90,
        },
        "destination": {
            "domain": domain, "domain_basis": "tls.sni", "ip": ["203.0.113.9"], "country": country,
            "country_basis": "address", "country_confidence": 70, "as": null,
        },
        "direction": "outbound", "crossing": crossing, "attempted_only": false,
        "bytes_out": bytes_out, "bytes_in": 1000, "sessions": starts.len(),
        "first_seen": at(first), "last_seen": at(last), "by_month": {},
        "schedule": {
            "bucket_seconds": 1, "starts": starts.iter().map(|second| json!([at(*second), 1])).collect::<Vec<_>>(),
        },
        "loss": { "missing_bytes": 0, "one_sided": 0, "midstream": 0, "truncated": 0, "evicted": 0 },
        "severity": severity, "alert": crossing == "observed", "exemption": null, "why": ["As the test says."],
    })
}

/// An asset that showed itself after so many seconds.
fn asset(ip: &str, vendor: &str, version: Option<&str>, shown: u64) -> Value {
    json!({
        "ip": ip, "mac": null, "site": null, "vendor": vendor, "product": format!("{vendor} firewall"), "model": null,
        "version": version, "confidence": 90,
        "evidence": [{
            "field": "tls.sni", "value": "x", "signature": "x", "matched": "x.toml:1", "confidence": 90,
            "first_seen": at(shown), "packet": 1,
        }],
        "shared_address": false, "bytes_out": 0, "bytes_in": 0, "by_country": {},
    })
}

fn read(report: &Value) -> Report {
    serde_json::from_value(report.clone()).unwrap()
}

fn compare(old: &Value, new: &Value) -> Diff {
    let found = diff(("old.json", &read(old)), ("new.json", &read(new)));
    fits("diff", &serde_json::to_value(&found).unwrap());
    found
}

fn ids(found: &[bordertap::diff::Moved]) -> Vec<(&str, Kind, bool)> {
    found.iter().map(|one| (one.finding.id.trim_start_matches('0'), one.kind, one.too_short)).collect()
}

const HOUR: u64 = 3600;

/// A new version, a channel that came with it, one that went, and one that goes on.
#[test]
fn a_firmware_update() {
    let licence = Said { id: 2, channel: "x.licence", severity: "low", ..TELEMETRY };
    let cloud = Said { id: 3, channel: "x.cloud", severity: "high", domain: "cloud.example.net", ..TELEMETRY };
    let before = report(
        HOUR,
        vec![finding(TELEMETRY), finding(licence)],
        vec![asset("10.0.0.1", "X", Some("7.2.1"), 10), asset("10.0.0.2", "Y", None, 10)],
    );
    let after = report(
        HOUR,
        vec![finding(TELEMETRY), finding(cloud)],
        vec![asset("10.0.0.1", "X", Some("7.4.0"), 10), asset("10.0.0.2", "Y", Some("1.0"), 10)],
    );
    let found = compare(&before, &after);
    assert_eq!(ids(&found.appeared), [("3", Kind::Channel, false)]);
    assert_eq!(ids(&found.stopped), [("2", Kind::Channel, false)]);
    assert!(found.changed.is_empty() && found.made_differently.is_empty());
    assert_eq!(found.new_leaving, 1);
    // The second asset only shows its version now.
    assert_eq!(found.assets.changed.len(), 1);
    let change = &found.assets.changed[0].changes[0];
    assert_eq!((change.what.as_str(), change.old.as_str(), change.new.as_str()), ("version", "7.2.1", "7.4.0"));
    assert!(found.assets.appeared.is_empty() && found.assets.vanished.is_empty());
}

#[test]
fn another_policy_is_said_first() {
    let finding_of = |crossing, severity| finding(Said { crossing, severity, ..TELEMETRY });
    let before = report(HOUR, vec![finding_of("home", "info")], vec![]);
    let mut after = report(HOUR, vec![finding_of("observed", "medium")], vec![]);
    after["header"]["home"] = json!(["DE", "FR"]);
    after["header"]["policy"] = json!({ "name": "policy.toml", "sha256": "b".repeat(64) });
    after["header"]["signatures"]["sha256"] = json!("c".repeat(64));
    after["header"]["asn_database"] = json!("GeoLite2-ASN");
    let found = compare(&before, &after);
    let said: Vec<_> =
        found.made_differently.iter().map(|d| (d.what.as_str(), d.old.as_str(), d.new.as_str())).collect();
    assert_eq!(
        said,
        [
            ("signatures", "aaaaaaaaaaaa of 2026-11-01", "cccccccccccc of 2026-11-01"),
            ("home", "CN", "DE, FR"),
            ("policy", "none", "policy.toml (bbbbbbbbbbbb)"),
            ("AS database", "none", "GeoLite2-ASN"),
        ]
    );
    assert!(found.appeared.is_empty() && found.stopped.is_empty());
    let changes: Vec<_> =
        found.changed[0].changes.iter().map(|d| (d.what.as_str(), d.old.as_str(), d.new.as_str())).collect();
    assert_eq!(changes, [("crossing", "home", "observed"), ("severity", "info", "medium")]);
    assert_eq!(found.new_leaving, 1);

    let (_old, old) = file("old.json", &before.to_string());
    let (_new, new) = file("new.json", &after.to_string());
    let output = run(&["diff", old.to_str().unwrap(), new.to_str().unwrap()]);
    assert_eq!(status(&output), 0);
    let text = stdout(&output);
    let first = text.find("The reports were made differently").unwrap();
    assert!(first < text.find("Changed (1)").unwrap() && text.contains("  home: CN → DE, FR"), "{text}");
}

#[test]
fn a_new_country_and_a_new_name() {
    let german = Said { id: 2, country: Some("DE"), domain: "eu.example.net", ..TELEMETRY };
    let named = Said { id: 3, domain: "telemetry2.example.net", severity: "high", ..TELEMETRY };
    let home = Said { id: 4, channel: "x.update", country: Some("CN"), crossing: "home", ..TELEMETRY };
    let other = Said { id: 5, ip: "10.0.0.9", ..TELEMETRY };
    let before = report(HOUR, vec![finding(TELEMETRY)], vec![]);
    let after = report(HOUR, [TELEMETRY, german, named, home, other].map(finding).to_vec(), vec![]);
    let found = compare(&before, &after);
    // Most serious first: observed and high; then by id; what stays last.
    let expected = [
        ("3", Kind::Destination, false),
        ("2", Kind::Country, false),
        ("5", Kind::Channel, false),
        ("4", Kind::Channel, false),
    ];
    assert_eq!(ids(&found.appeared), expected);
    assert_eq!(found.new_leaving, 3);
    assert_eq!(ids(&compare(&after, &before).stopped), expected);
    assert_eq!(compare(&after, &before).new_leaving, 0);
}

/// Every ten minutes, and once an hour: what half an hour can tell.
#[test]
fn what_a_short_report_cannot_show_is_not_seen_yet() {
    let rare = Said { id: 2, channel: "x.rare", starts: &[1000, 4600, 8200, 11_800], ..TELEMETRY };
    let often = Said { starts: &[0, 600, 1200, 1800, 2400, 3000, 3600, 4200, 4800, 5400, 6000, 14_000], ..TELEMETRY };
    let steady: Vec<u64> = (0..24).map(|n| n * 600).collect();
    let steady = Said { id: 3, channel: "x.steady", starts: &steady, ..TELEMETRY };
    let before = report(
        4 * HOUR,
        [rare, often, steady].map(finding).to_vec(),
        vec![asset("10.0.0.1", "X", None, 60), asset("10.0.0.2", "Y", None, 3 * HOUR)],
    );
    let after = report(HOUR / 2, vec![], vec![]);
    let found = compare(&before, &after);
    let silences: Vec<(u64, bool)> = found.stopped.iter().map(|one| (one.silence_seconds, one.too_short)).collect();
    // From 6,000 to 14,000; between two of the hourly ones; ten minutes.
    assert_eq!(silences, [(8_000, true), (3_600, true), (600, false)]);
    let vanished: Vec<bool> = found.assets.vanished.iter().map(|one| one.too_short).collect();
    assert_eq!(vanished, [false, true], "the second took three hours to show itself");
    // The other way round: what the short report did not show may have been there.
    let back = compare(&after, &before);
    assert_eq!(ids(&back.appeared), ids(&found.stopped));

    let (_old, old) = file("old.json", &before.to_string());
    let (_new, new) = file("new.json", &after.to_string());
    let output = run(&["diff", old.to_str().unwrap(), new.to_str().unwrap()]);
    let text = stdout(&output);
    assert!(text.contains("Stopped (1)") && text.contains("Not seen yet (2)"), "{text}");
    assert!(
        text.contains("it was silent for 2.2 h, and the other report covers 30 min: it may be there too"),
        "{text}"
    );
}

/// Two hours with 50,000 bytes make 100,000 of four hours.
#[test]
fn volumes_are_compared_by_the_time_of_the_reports() {
    let twice: Vec<u64> = (0..24).map(|n| n * 600).collect();
    let of = |bytes_out, hours: u64| {
        let starts = &twice[..(hours * 6) as usize];
        report(hours * HOUR, vec![finding(Said { bytes_out, starts, ..TELEMETRY })], vec![])
    };
    for (old, new, expected) in [
        ((50_000, 2), (100_000, 4), None),
        ((50_000, 2), (399_999, 4), None),
        ((50_000, 2), (400_000, 4), Some((100_000, Some(4.0)))),
        ((1_000_000, 4), (125_001, 2), None),
        ((1_000_000, 4), (125_000, 2), Some((500_000, Some(0.3)))),
        // Much in parts, little in bytes.
        ((100, 2), (90_000, 2), None),
        ((0, 2), (100_000, 2), Some((0, None))),
        ((0, 2), (99_999, 2), None),
    ] {
        let found = compare(&of(old.0, old.1), &of(new.0, new.1));
        let volumes: Vec<_> =
            found.changed.iter().flat_map(|one| &one.volumes).map(|v| (v.expected, v.times)).collect();
        assert_eq!(volumes, expected.into_iter().collect::<Vec<_>>(), "{old:?} {new:?}");
    }
    // Once in four hours is no rate in one hour.
    let once = |bytes_out| finding(Said { bytes_out, starts: &[60], ..TELEMETRY });
    let found =
        compare(&report(4 * HOUR, vec![once(10_000_000)], vec![]), &report(HOUR, vec![once(10_000_000)], vec![]));
    assert!(found.is_empty());
}

#[test]
fn an_exchanged_box_is_a_change_and_two_makers_are_two_assets() {
    let before = report(HOUR, vec![], vec![asset("10.0.0.1", "X", None, 0), asset("10.0.0.2", "X", None, 0)]);
    let after = report(HOUR, vec![], vec![asset("10.0.0.1", "Y", None, 0), asset("10.0.0.3", "X", None, 0)]);
    let found = compare(&before, &after).assets;
    let what: Vec<&str> = found.changed[0].changes.iter().map(|change| change.what.as_str()).collect();
    assert_eq!(what, ["vendor", "product"]);
    assert_eq!(found.vanished[0].asset.ip, "10.0.0.2");
    assert_eq!(found.appeared[0].asset.ip, "10.0.0.3");
    let both = report(HOUR, vec![], vec![asset("10.0.0.1", "X", None, 0), asset("10.0.0.1", "Y", None, 0)]);
    let found = compare(&before, &both).assets;
    assert_eq!((found.changed.len(), found.appeared.len(), found.vanished.len()), (0, 1, 1));
}

#[test]
fn hostile_names_are_carried_harmlessly() {
    let name = "\u{1b}[2J=cmd|'/c calc'!A1\t<script>\u{202e}gnp.exe";
    let said = Said { domain: name, channel: "x\u{1b}]0;y\u{7}", ..TELEMETRY };
    let mut hostile = asset("10.0.0.1", "X", Some("\u{1b}[31m7"), 0);
    hostile["model"] = json!("\u{2066}m");
    let (_old, old) = file("old.json", &report(HOUR, vec![], vec![]).to_string());
    let (_new, new) = file("new.json", &report(HOUR, vec![finding(said)], vec![hostile]).to_string());
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    let output = run(&["diff", old, new]);
    let text = stdout(&output);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control() && !"\u{202e}\u{2066}".contains(c)), "{text:?}");
    assert!(text.contains("<script>"), "{text}");
    let document: Value = serde_json::from_str(stdout(&run(&["diff", old, new, "--json", "-"]))).unwrap();
    fits("diff", &document);
    assert_eq!(document["appeared"][0]["finding"]["domain"], name);
}

#[test]
fn statuses_and_what_is_no_report() {
    let small = report(HOUR, vec![], vec![]).to_string();
    let (_a, a) = file("a.json", &small);
    let (_b, b) = file("b.json", &report(HOUR, vec![finding(TELEMETRY)], vec![]).to_string());
    let (_c, cut) = file("cut.json", &small[..small.len() / 2]);
    let (_d, other) = file("other.json", &small.replace("\"format\":1", "\"format\":7"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let [a, b, cut, other] = [a, b, cut, other].map(|one| path(&one));
    for (args, expected) in [
        (vec!["diff", &a, &b], 0),
        (vec!["diff", &a, &b, "--fail-on-new"], 4),
        (vec!["diff", &b, &a, "--fail-on-new"], 0),
        (vec!["diff", &b, &b, "--fail-on-new"], 0),
        (vec!["diff", &a], 2),
        (vec!["diff", &a, "no-such-file.json"], 1),
    ] {
        assert_eq!(status(&run(&args)), expected, "{args:?}");
    }
    assert!(stdout(&run(&["diff", &b, &b])).contains("Nothing is otherwise."));
    let refused = run(&["diff", &a, &cut]);
    assert_eq!(status(&refused), 1);
    assert!(stderr(&refused).contains("cut.json: not a report of bordertap: EOF"), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("at line 1 column"), "{}", stderr(&refused));
    let refused = run(&["diff", &other, &a]);
    assert!(
        stderr(&refused).contains("other.json: it is of format 7, and this program reads 1"),
        "{}",
        stderr(&refused)
    );
}

/// The demonstration's first 90 packets are those of October: four findings of the table began there.
#[test]
fn the_demonstration_month_by_month() {
    let dir = tempfile::tempdir().unwrap();
    let [october, whole] = ["october.json", "whole.json"].map(|name| dir.path().join(name));
    let (october, whole) = (october.to_str().unwrap(), whole.to_str().unwrap());
    assert_eq!(status(&run(&["scan", DEMO, "--count", "90", "--json", october])), 0);
    assert_eq!(status(&run(&["scan", DEMO, "--json", whole])), 0);
    let document: Value = serde_json::from_str(stdout(&run(&["diff", october, whole, "--json", "-"]))).unwrap();
    fits("diff", &document);
    let of = |list: &Value| list.as_array().unwrap().len();
    assert_eq!((of(&document["appeared"]), of(&document["stopped"]), of(&document["made_differently"])), (19, 0, 0));
    // 11 of the table leave, 4 of them since October.
    assert_eq!(document["new_leaving"], 7);
    let back: Value = serde_json::from_str(stdout(&run(&["diff", whole, october, "--json", "-"]))).unwrap();
    let all_short = back["stopped"].as_array().unwrap().iter().all(|one| one["too_short"] == true);
    assert!(all_short && of(&back["stopped"]) == 19, "minutes cannot show what is silent for days");

    // The same as a baseline.
    let output = run(&["scan", DEMO, "--baseline", october, "--json", "-"]);
    let beside: Value = serde_json::from_str(stdout(&output)).unwrap();
    fits("report", &beside);
    let findings = beside["findings"].as_array().unwrap();
    assert_eq!(findings.iter().filter(|f| f["new"] == true).count(), 19);
    assert_eq!(findings.iter().filter(|f| f["new"] == false).count(), 4);
    assert_eq!(beside["header"]["baseline"]["name"], october);
    for (baseline, expected) in [(october, 4), (whole, 0)] {
        let output = run(&["scan", DEMO, "--baseline", baseline, "--fail-on-finding"]);
        assert_eq!(status(&output), expected, "{baseline}");
        let text = stdout(&output);
        assert_eq!(text.contains("high new"), expected == 4, "{baseline}");
        assert!(text.contains(&format!("not in the baseline {baseline}")));
    }
    let plain: Value = serde_json::from_slice(&std::fs::read(whole).unwrap()).unwrap();
    assert!(plain["findings"][0].get("new").is_none() && plain["assets"][0].get("new").is_none());
    assert_eq!(status(&run(&["scan", DEMO, "--baseline", "no-such-file.json"])), 1);
}

/// Findings of a few ids, channels, countries and amounts; the same id has the same channel, country and name.
fn any_report() -> impl Strategy<Value = Value> {
    let crossing = prop::sample::select(vec!["observed", "probable", "not-determinable", "home"]);
    let severity = prop::sample::select(vec!["high", "medium", "low", "info", "exempt"]);
    let one = (0_u64..12, crossing, severity, 0_u64..1_000_000, prop::collection::btree_set(0_u64..HOUR, 1..6));
    let asset_of =
        (1_u8..4, prop::sample::select(vec!["X", "Y"]), prop::option::of(prop::sample::select(vec!["1", "2"])));
    let assets = prop::collection::btree_map(0_u8..6, asset_of, 0..4);
    (prop::collection::vec(one, 0..8), assets, 1_u64..10).prop_map(|(said, assets, hours)| {
        let mut seen = std::collections::BTreeSet::new();
        let findings =
            said.iter().filter(|one| seen.insert(one.0)).map(|(id, crossing, severity, bytes_out, starts)| {
                let starts: Vec<u64> = starts.iter().copied().collect();
                let channel = ["x.a", "x.b", "x.c"][(*id % 3) as usize];
                let country = [Some("US"), Some("DE"), Some("CN"), None][(*id / 3) as usize];
                let said = Said {
                    id: *id,
                    channel,
                    country,
                    crossing,
                    severity,
                    bytes_out: *bytes_out,
                    starts: &starts,
                    ..TELEMETRY
                };
                finding(said)
            });
        let findings: Vec<Value> = findings.collect();
        let mut seen = std::collections::BTreeSet::new();
        let assets = assets.values().filter(|(host, vendor, _)| seen.insert((*host, *vendor)));
        let assets =
            assets.map(|(host, vendor, version)| asset(&format!("10.0.0.{host}"), vendor, *version, 30)).collect();
        report(hours * HOUR, findings, assets)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_report_is_no_different_from_itself(one in any_report()) {
        let found = compare(&one, &one);
        prop_assert!(found.is_empty() && found.made_differently.is_empty() && found.new_leaving == 0);
    }

    #[test]
    fn what_appears_one_way_stops_the_other(a in any_report(), b in any_report()) {
        let (there, back) = (compare(&a, &b), compare(&b, &a));
        prop_assert_eq!(&there.appeared, &back.stopped);
        prop_assert_eq!(&there.stopped, &back.appeared);
        prop_assert_eq!(&there.assets.appeared, &back.assets.vanished);
        let both = |d: &Diff| d.changed.iter().map(|one| one.finding.id.clone()).collect::<std::collections::BTreeSet<_>>();
        let crossed = |d: &Diff| d.changed.iter().filter(|one| !one.changes.is_empty()).count();
        prop_assert_eq!(crossed(&there), crossed(&back));
        prop_assert!(both(&there).iter().all(|id| !there.appeared.iter().any(|one| one.finding.id == *id)));
        prop_assert_eq!(there.assets.changed.len(), back.assets.changed.len());
    }

    /// What is in a report is either in the other one too or told.
    #[test]
    fn every_finding_is_accounted_for(a in any_report(), b in any_report()) {
        let found = compare(&a, &b);
        let kept = found.old.findings - found.stopped.len();
        prop_assert_eq!(kept, found.new.findings - found.appeared.len());
        prop_assert!(found.changed.len() <= kept);
    }
}
