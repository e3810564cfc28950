//! Scans of the demonstration under several policies, and `bordertap policy`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{DEMO, file, fits, run, status, stderr, stdout};

/// Findings of the demonstration by asset, channel and name.
fn scan(args: &[&str]) -> (Value, BTreeMap<String, Value>) {
    let output = run(&[&["scan", DEMO, "--json", "-"], args].concat());
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let report: Value = serde_json::from_str(stdout(&output)).unwrap();
    fits("report", &report);
    let text = |v: &Value| v.as_str().unwrap_or("-").to_owned();
    let key = |f: &Value| [&f["asset"]["ip"], &f["channel"]["id"], &f["destination"]["domain"]].map(text).join(" ");
    let findings = report["findings"].as_array().unwrap().iter().map(|f| (key(f), f.clone())).collect();
    (report, findings)
}

const WILDFIRE: &str = "10.20.0.2 palo-alto.wildfire.submission eu.wildfire.paloaltonetworks.com";
const STRATA: &str = "10.20.0.2 palo-alto.strata-cloud-manager -";
const IRISH: &str = "10.20.0.3 check-point.infinity-portal.api cloudinfra-gw.portal.checkpoint.com";
const FINNISH: &str = "10.20.0.1 unexplained telemetry.unlisted.example";
const CHINESE: &str = "10.20.0.3 unexplained time.unlisted.example";
const UPLOAD: &str = "10.20.0.1 fortinet.sandbox.upload -";
const RATING: &str = "10.20.0.1 fortinet.fortiguard.rating usguardservice.fortinet.net";
const ANYCAST: &str = "10.20.0.1 fortinet.fortiguard.update globalupdate.fortinet.net";

#[test]
fn the_preset_cn_is_what_is_built_in() {
    let (built_in, plain) = scan(&[]);
    let (preset, same) = scan(&["--policy", "cn"]);
    assert!(plain == same, "other findings");
    assert_eq!(built_in["header"]["policy"], Value::Null);
    assert_eq!(preset["header"]["policy"]["name"], "cn");
    assert_eq!(preset["header"]["home"], serde_json::json!(["CN"]));
}

/// The same conversations seen from Europe: the table's own places, another home.
#[test]
fn the_preset_eu_has_the_economic_area_at_home() {
    let (report, findings) = scan(&["--policy", "eu"]);
    assert_eq!(report["header"]["home"].as_array().unwrap().len(), 37);
    for (key, crossing, country, alert) in [
        // The vendor says EU; the whole EU is home.
        (WILDFIRE, "home", "EU", false),
        (STRATA, "home", "EU", false),
        (IRISH, "home", "IE", false),
        (FINNISH, "home", "FI", false),
        (CHINESE, "observed", "CN", true),
        (UPLOAD, "observed", "US", true),
        (RATING, "observed", "US", true),
    ] {
        let finding = &findings[key];
        assert_eq!(finding["crossing"], crossing, "{key}");
        assert_eq!(finding["destination"]["country"], country, "{key}");
        assert_eq!(finding["alert"], alert, "{key}");
    }
    assert_eq!(findings[ANYCAST]["crossing"], "not-determinable");
    let groups = scan(&["--home", "EEA,AX,GF,GP,MF,MQ,RE,YT"]).1;
    assert!(groups == findings, "the same as a flag");
}

/// Home is a part of the group that the vendor declares: the address (34.90.12.34, NL) says which part it is.
#[test]
fn a_declared_group_around_home_is_narrowed_by_the_address() {
    for (home, crossing) in [("NL", "home"), ("DE", "observed")] {
        let findings = scan(&["--home", home]).1;
        assert_eq!(findings[WILDFIRE]["crossing"], crossing, "{home}");
        assert_eq!(findings[WILDFIRE]["destination"]["country"], "NL", "{home}");
        let why = findings[WILDFIRE]["why"].to_string();
        assert!(why.contains("The address database says NL, which is in the EU."), "{why}");
        // The Irish name was only asked for: IE is what the vendor says.
        assert_eq!(findings[IRISH]["crossing"], "probable", "{home}");
    }
}

#[test]
fn without_a_home_places_are_told_and_nothing_leaves() {
    let (report, findings) = scan(&["--policy", "none"]);
    assert_eq!(report["header"]["home"], serde_json::json!([]));
    for (key, finding) in &findings {
        assert_eq!(finding["crossing"], "not-determinable", "{key}");
        assert_eq!(finding["alert"], false, "{key}");
        assert!(finding["why"].to_string().contains("No home is set"), "{key}");
    }
    for (key, country) in [(FINNISH, "FI"), (CHINESE, "CN"), (UPLOAD, "US"), (WILDFIRE, "EU")] {
        assert_eq!(findings[key]["destination"]["country"], country, "{key}");
    }
    let output = run(&["scan", DEMO, "--policy", "none", "--fail-on-finding"]);
    assert_eq!(status(&output), 0);
    let text = stdout(&output);
    assert!(text.contains("no home;") && text.contains("By place, without a home"), "{text:.300}");
    assert!(!text.contains("border,") && !text.contains("Leaves the country"), "{text:.300}");
}

const POLICY: &str = r#"
home = ["CN"]

[[site]]
name     = "<b>=Head office|"
prefixes = ["10.20.0.0/16"]

[[site]]
name     = "Firewalls"
prefixes = ["10.20.0.2/31"]

[[exempt]]
channel = "fortinet.sandbox.upload"
owner   = "Laboratory"
reason  = "Our own samples."
until   = 2026-11-02
country = ["US"]

[[exempt]]
channel = "fortinet.fortiguard.rating"
owner   = "Network operations"
reason  = "Until the proxy is there."
until   = 2026-11-01

[[exempt]]
channel = "palo-alto.wildfire.submission"
owner   = "Laboratory"
reason  = "The other site."
until   = 2030-01-01
site    = ["<b>=Head office|"]

[severity]
unexplained = "low"

[severity.data]
url = "high"
"#;

#[test]
fn sites_exemptions_and_severities_are_in_the_records_and_the_text() {
    let (_dir, path) = file("policy.toml", POLICY);
    let path = path.to_str().unwrap();
    let (report, findings) = scan(&["--policy", path]);
    for (key, site, severity) in [
        (UPLOAD, "<b>=Head office|", "exempt"),
        // The demonstration goes on until 2 November; that exemption ended the day before.
        (RATING, "<b>=Head office|", "high"),
        // Exempt at the other site only.
        (WILDFIRE, "Firewalls", "high"),
        (FINNISH, "<b>=Head office|", "low"),
        (CHINESE, "Firewalls", "info"),
    ] {
        assert_eq!(findings[key]["asset"]["site"], site, "{key}");
        assert_eq!(findings[key]["severity"], severity, "{key}");
    }
    let why = |key: &str| findings[key]["why"].to_string();
    assert!(why(UPLOAD).contains("Exempt by policy until 2026-11-02, Laboratory: Our own samples."));
    assert!(
        why(RATING).contains("The exemption in the policy ended on 2026-11-01; it was made by Network operations.")
    );
    assert!(!why(WILDFIRE).contains("xempt") && findings[WILDFIRE]["exemption"].is_null());
    let exemption = json!({ "owner": "Network operations", "reason": "Until the proxy is there.", "until": "2026-11-01", "ended": true });
    assert_eq!(findings[RATING]["exemption"], exemption);
    assert_eq!(findings[UPLOAD]["exemption"]["ended"], false);
    let sites: Vec<&str> = report["assets"].as_array().unwrap().iter().map(|a| a["site"].as_str().unwrap()).collect();
    assert_eq!(sites, ["<b>=Head office|", "Firewalls", "Firewalls", "<b>=Head office|"]);
    let policy = &report["header"]["policy"];
    assert_eq!((&policy["name"], policy["sha256"].as_str().unwrap().len()), (&Value::from(path), 64));

    let output = run(&["scan", DEMO, "--policy", path]);
    let text = stdout(&output);
    assert!(text.contains("10.20.0.2 Palo Alto Networks applianc…, Firewalls"), "{text:.3000}");
    assert!(text.contains("98 % sure, 00:1b:17:20:00:02, Firewalls"));
    assert!(text.contains("The exemption in the policy ended on 2026-11-01"));
    assert!(text.contains(&format!("policy {path}, SHA-256 ")));
}

#[test]
fn without_a_policy_there_are_no_sites() {
    let (report, findings) = scan(&[]);
    assert!(findings.values().all(|f| f["asset"]["site"].is_null()));
    assert!(report["assets"].as_array().unwrap().iter().all(|a| a["site"].is_null()));
    for finding in findings.values() {
        let leaves = ["observed", "probable"].contains(&finding["crossing"].as_str().unwrap());
        assert_eq!(finding["alert"], leaves);
    }
}

/// Amounts: the table says 48 KiB of upload to WildFire and 64 KiB to the sandbox; all else is smaller than 40 kB.
#[test]
fn alerts_decide_the_exit_status() {
    for (alert, expected, keys) in [
        ("", 4, None),
        ("[alert]\ncountry = [\"JP\"]", 0, Some(&[][..])),
        ("[alert]\ncountry = [\"FI\"]", 4, Some(&[FINNISH])),
        ("[alert]\ncountry = [\"EU\"]\nfunction = [\"file-submission\"]", 4, Some(&[WILDFIRE])),
        ("[alert]\nseverity = \"high\"\nmonth_bytes_out = 40_000", 4, Some(&[UPLOAD, WILDFIRE])),
        ("[alert]\nmonth_bytes_out = 80_000", 0, Some(&[])),
        (
            "[alert]\ncrossing = [\"not-determinable\"]\nfunction = [\"update\"]\ndata = [\"licence\"]\nmonth_bytes_out = 4_000",
            4,
            Some(&[ANYCAST]),
        ),
    ] {
        let (_dir, path) = file("policy.toml", alert);
        let path = path.to_str().unwrap();
        let output = run(&["scan", DEMO, "--policy", path, "--fail-on-finding", "--findings", "-"]);
        assert_eq!(status(&output), expected, "{alert}");
        let Some(keys) = keys else { continue };
        let findings = scan(&["--policy", path]).1;
        let mut counted: Vec<&str> =
            findings.iter().filter(|(_, f)| f["alert"] == true).map(|(k, _)| k.as_str()).collect();
        let mut keys = keys.to_vec();
        counted.sort_unstable();
        keys.sort_unstable();
        assert_eq!(counted, keys, "{alert}");
    }
}

#[test]
fn a_wrong_policy_is_bad_usage_and_check_tells_all_of_it() {
    let (_dir, path) = file("policy.toml", "home = [\"XX\"]\n\n[severity]\nupdates = \"high\"\n");
    let path = path.to_str().unwrap();
    let output = run(&["scan", DEMO, "--policy", path]);
    assert_eq!(status(&output), 2);
    assert!(stderr(&output).contains("(1 more mistake: bordertap policy check)"), "{}", stderr(&output));

    let output = run(&["policy", "check", path, "fixtures/policy/example.toml", "eu", "--on", "2027-01-15"]);
    assert_eq!(status(&output), 1);
    let lines: Vec<&str> = stdout(&output).lines().collect();
    let starts = [
        format!("{path}:1: error: home: \"XX\" is no country"),
        format!("{path}:4: error: severity.updates: unknown key; known are update, "),
        format!("{path}: 2 errors, 0 warnings"),
        "fixtures/policy/example.toml:29: warning: exempt.until: ends in 16 days, on 2027-01-31 (fortinet.sandbox.upload, Laboratory)".to_owned(),
        "fixtures/policy/example.toml: 0 errors, 1 warning".to_owned(),
        "eu: 0 errors, 0 warnings".to_owned(),
    ];
    assert_eq!(lines.len(), starts.len(), "{lines:?}");
    for (line, start) in lines.iter().zip(&starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert_eq!(status(&run(&["policy", "check", "fixtures/policy/example.toml", "--on", "2028-01-01"])), 0, "warnings");
    assert_eq!(status(&run(&["policy", "check", "no-such-file.toml"])), 1);
    assert_eq!(status(&run(&["policy", "check"])), 2);
}

#[test]
fn a_policy_explains_itself() {
    let output = run(&["policy", "explain", "fixtures/policy/example.toml", "--on", "2027-01-15"]);
    assert_eq!(status(&output), 0);
    for line in [
        "  Home is CN, HK. What goes elsewhere leaves.",
        "  Site Shanghai laboratory: 10.1.200.0/24",
        "    until 2027-01-31 (16 days from 2027-01-15); Laboratory: Samples of our own, no files of users.",
        "  telemetry: high (built in: medium)",
        "  what carries file: at least high",
    ] {
        assert!(stdout(&output).lines().any(|l| l == line), "{line}");
    }
    let ended = run(&["policy", "explain", "fixtures/policy/example.toml", "--on", "2027-02-01"]);
    assert!(stdout(&ended).contains("    ended on 2027-01-31: exempts nothing since; Laboratory:"));

    let eu = run(&["policy", "explain", "eu"]);
    let text = stdout(&eu);
    assert!(text.contains("Home is EEA, AX, GF, GP, MF, MQ, RE, YT."), "{text:.200}");
    assert!(text.contains("154/2018") && text.contains("EEA since 2020-02-01: AT BE "), "{text:.200}");
    assert!(stdout(&run(&["policy", "explain", "cn"])).contains("Personal Information Protection Law"));
    assert!(stdout(&run(&["policy", "explain"])).starts_with("No policy file: what is built in.\n"));
    for text in [stdout(&output), text] {
        assert!(!text.contains("compliant") && !text.contains("illegal"));
    }

    let output = run(&[
        "policy",
        "explain",
        "fixtures/policy/example.toml",
        "10.1.200.7",
        "95.216.10.20",
        "224.0.0.1",
        "fortinet.sandbox.upload",
        "unexplained",
    ]);
    let text = stdout(&output);
    for line in [
        "10.1.200.7: inside, one of our own addresses",
        "  site Shanghai laboratory",
        "95.216.10.20: outside, FI, outside of home: what goes there leaves",
        "224.0.0.1: of no host (multicast, broadcast, loopback): never leaves",
        "  severity high (as built in); info when it stays at home",
        "  severity high ([severity] unexplained; built in: medium); info when it stays at home",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    let unknown = run(&["policy", "explain", "cn", "fortinet.nothing"]);
    assert_eq!((status(&unknown), stdout(&unknown)), (1, ""));
}
