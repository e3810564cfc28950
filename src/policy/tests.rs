//! Policy files, sides, severities, and the whole truth table of crossing.

use std::path::Path;

use super::*;
use crate::place::{Basis, Place, Places, Region, Standing, confidence};
use crate::time::Time;

const EXAMPLE: &str = include_str!("../../fixtures/policy/example.toml");

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|w| (*w).to_owned()).collect()
}

fn policy(text: &str) -> Policy {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    std::fs::write(&path, text).unwrap();
    Policy::new(Some(&path), None, None).unwrap()
}

/// The mistakes, each as `LINE: KEY: REASON`.
fn mistakes(text: &str) -> Vec<String> {
    file::parse(text).1.iter().map(|mistake| format!("{}: {mistake}", mistake.line)).collect()
}

fn date(text: &str) -> jiff::civil::Date {
    text.parse().unwrap()
}

/// 2027-06-30 00:00:00 UTC is 1,814,313,600 seconds after 1970.
const JUNE_30: i64 = 1_814_313_600;

mod sources {
    use super::*;

    fn homes(policy: &Policy) -> Vec<String> {
        policy.homes().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn without_a_file_home_is_china() {
        let policy = Policy::new(None, None, None).unwrap();
        assert_eq!(homes(&policy), ["CN"]);
        assert_eq!(policy.exemptions().count(), 0);
        assert_eq!(policy.site_of(address("10.1.0.1")), None);
    }

    #[test]
    fn the_example_says_what_it_says() {
        let policy = policy(EXAMPLE);
        assert_eq!(homes(&policy), ["CN", "HK"]);
        let exempt: Vec<_> = policy.exemptions().map(|e| (e.channel.as_str(), e.until, e.owner.as_str())).collect();
        assert_eq!(
            exempt,
            [
                ("fortinet.fortiguard.update", date("2027-06-30"), "Network operations"),
                ("fortinet.sandbox.upload", date("2027-01-31"), "Laboratory"),
            ]
        );
        assert_eq!(policy.site_of(address("10.1.2.3")), Some("Shanghai"));
        assert_eq!(policy.site_of(address("10.1.200.3")), Some("Shanghai laboratory"));
        assert_eq!(policy.site_of(address("10.1.201.3")), Some("Shanghai"));
        assert_eq!(policy.site_of(address("10.2.0.0")), Some("Hong Kong"));
        assert_eq!(policy.site_of(address("fd00:1::9")), Some("Shanghai"));
        assert_eq!(policy.site_of(address("10.3.0.0")), None);
        // The list of the file replaces the default: 100.64.0.0/10 is no longer ours.
        assert_eq!(policy.side_of(address("10.9.9.9")), Location::Inside);
        assert_eq!(policy.side_of(address("100.64.0.1")), Location::Outside);
    }

    #[test]
    fn flags_win_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        std::fs::write(&path, EXAMPLE).unwrap();
        let both = (words(&["DE", "FR"]), words(&["203.0.113.0/24"]));
        let policy = Policy::new(Some(&path), Some(&both.0), Some(&both.1)).unwrap();
        assert_eq!(homes(&policy), ["DE", "FR"]);
        assert_eq!(policy.side_of(address("203.0.113.9")), Location::Inside);
        assert_eq!(policy.side_of(address("10.1.1.1")), Location::Outside);
        assert_eq!(policy.site_of(address("10.1.2.3")), Some("Shanghai"));
        let one = Policy::new(Some(&path), Some(&both.0), None).unwrap();
        assert_eq!(one.side_of(address("10.1.1.1")), Location::Inside);
    }

    #[test]
    fn wrong_flags_are_refused() {
        let message = |home: Option<&[&str]>, inside: Option<&[&str]>| {
            let (home, inside) = (home.map(words), inside.map(words));
            Policy::new(None, home.as_deref(), inside.as_deref()).unwrap_err().to_string()
        };
        let no_home = |word: &str, hint: &str| {
            let groups = "EU, EEA, EFTA, GCC, ASEAN, USMCA, EAEU";
            format!("--home: \"{word}\" is no country (ISO 3166-1 alpha-2) and no group ({groups}){hint}")
        };
        assert_eq!(message(Some(&["cn"]), None), no_home("cn", "; write CN"));
        assert_eq!(message(Some(&["CN", "eea"]), None), no_home("eea", "; write EEA"));
        assert_eq!(message(Some(&["any"]), None), no_home("any", ""));
        assert_eq!(message(Some(&[""]), None), no_home("", ""));
        assert_eq!(message(None, Some(&[])), "--inside: needs a value");
        assert_eq!(
            message(None, Some(&["10.0.0.0/40"])),
            "--inside: \"10.0.0.0/40\" has no valid length after the slash"
        );
        assert_eq!(message(None, Some(&["ten"])), "--inside: \"ten\" is not an address");
    }

    #[test]
    fn groups_are_their_members() {
        let flag = |words_: &[&str]| Policy::new(None, Some(&words(words_)), None).unwrap();
        assert_eq!(homes(&flag(&["EFTA"])), ["CH", "IS", "LI", "NO"]);
        assert_eq!(homes(&flag(&["NO", "EFTA", "CH"])), ["NO", "CH", "IS", "LI"], "each once");
        assert_eq!(homes(&flag(&["EU"])).len(), 27);
        assert_eq!(homes(&policy("home = [\"EEA\"]")).len(), 30);
        assert_eq!(homes(&policy("home = []")), [""; 0], "no home");
    }

    #[test]
    fn presets_are_names_and_files_are_paths() {
        let preset = |name: &str| Policy::new(Some(Path::new(name)), None, None).unwrap();
        assert_eq!(homes(&preset("cn")), ["CN"]);
        assert_eq!(homes(&preset("eu")).len(), 37);
        assert_eq!(homes(&preset("none")), [""; 0]);
        assert_eq!(preset("cn").origin().unwrap().name, "cn");
        let french = Policy::new(Some(Path::new("eu")), Some(&words(&["FR"])), None).unwrap();
        assert_eq!(homes(&french), ["FR"], "a flag wins over a preset");
        let file = Policy::new(Some(Path::new("./cn")), None, None).unwrap_err().to_string();
        assert!(file.starts_with("./cn: "), "{file}");
        assert!(Policy::new(Some(Path::new("CN")), None, None).is_err());
    }

    #[test]
    fn presets_name_their_sources_and_never_judge() {
        for preset in PRESETS {
            let about: Vec<&str> = preset.about().collect();
            let about = about.join(" ");
            assert!(about.len() > 100, "{}", preset.name);
            for word in ["compliant", "compliance", "legal", "violat"] {
                assert!(!about.to_lowercase().contains(word), "{}: {word}", preset.name);
            }
            assert_eq!(file::parse(preset.text).1, [], "{}", preset.name);
        }
        let named = |name: &str, words: &[&str]| {
            let text = preset(Path::new(name)).unwrap().text.replace("\n# ", " ");
            for word in words {
                assert!(text.contains(word), "{name}: {word}");
            }
        };
        named("cn", &["Cybersecurity Law", "Data Security Law", "Personal Information Protection Law", "2024-03-22"]);
        named("cn", &["Hong Kong", "Macao", "Taiwan"]);
        named("eu", &["2016/679", "chapter V", "154/2018", "adequacy", "2018-07-20"]);
    }

    const EXEMPT: &str = "[[exempt]]\nchannel = \"a\"\nowner = \"o\"\nreason = \"r\"\nuntil = 2027-06-30\n";

    /// One mistake each, with its line and its key.
    #[test]
    fn the_file_is_read_strictly() {
        let exempt = |more: &str| format!("{EXEMPT}{more}");
        let date_needed = "5: exempt.until: must be a date such as 2027-06-30, without quotes";
        let cases: &[(String, &str)] = &[
            (
                "\nhomes = [\"CN\"]\n".into(),
                "2: homes: unknown key; known are home, inside, exempt, site, severity, alert",
            ),
            ("home = \"CN\"".into(), "1: home: must be an array of text"),
            ("home = [1]".into(), "1: home: must be text"),
            (
                "home = [\n\"CN\",\n\"uk\"]".into(),
                "3: home: \"uk\" is no country (ISO 3166-1 alpha-2) and no group (EU, EEA, EFTA, GCC, ASEAN, USMCA, EAEU); write GB",
            ),
            (
                "inside = [\"10.1.0.0/8\"]".into(),
                "1: inside: \"10.1.0.0/8\" has bits set below its length; \"10.0.0.0/8\" would be the prefix",
            ),
            ("inside = [\" \"]".into(), "1: inside: is empty"),
            ("inside = []".into(), "1: inside: is empty"),
            ("exempt = 5".into(), "1: exempt: must be written as [[exempt]]"),
            ("[exempt]\nchannel = \"a\"".into(), "1: exempt: must be written as [[exempt]]"),
            (EXEMPT.replace("owner = \"o\"\n", ""), "1: exempt.owner: is missing"),
            (EXEMPT.replace("reason = \"r\"\n", ""), "1: exempt.reason: is missing"),
            (EXEMPT.replace("until = 2027-06-30\n", ""), "1: exempt.until: is missing"),
            (EXEMPT.replace("channel = \"a\"\n", ""), "1: exempt.channel: is missing"),
            (EXEMPT.replace("\"o\"", "\"\""), "3: exempt.owner: is empty"),
            (EXEMPT.replace("\"o\"", "\"\\u202eo\""), "3: exempt.owner: has a character that is not shown"),
            (EXEMPT.replace("2027-06-30", "\"2027-06-30\""), date_needed),
            (EXEMPT.replace("2027-06-30", "2027-06-30T10:00:00Z"), date_needed),
            (
                exempt("owners = \"b\""),
                "6: exempt.owners: unknown key; known are channel, owner, reason, until, site, asset, country, domain",
            ),
            (exempt(EXEMPT), "6: exempt.channel: \"a\" is exempt for the same already in line 1"),
            (exempt("site = [\"a\"]"), "6: exempt.site: no [[site]] has the name \"a\""),
            (exempt("asset = [\"ten\"]"), "6: exempt.asset: \"ten\" is not an address"),
            (
                exempt("domain = [\"*.example.net\"]"),
                "6: exempt.domain: \"*.example.net\" is no host name; names below it are meant as well",
            ),
            ("[[site]]\nname = \"a\"".into(), "1: site.prefixes: is missing"),
            ("[[site]]\nprefixes = [\"10.0.0.0/8\"]".into(), "1: site.name: is missing"),
            (
                "[[site]]\nname = \"a\"\nprefixes = [\"10.0.0.0/8\"]\n[[site]]\nname = \"b\"\nprefixes = [\"10.0.0.0/8\"]".into(),
                "6: site.prefixes: 10.0.0.0/8 is already a prefix of \"a\"",
            ),
            (
                "[[site]]\nname = \"a\"\nprefixes = [\"10.0.0.0/8\"]\n[[site]]\nname = \"a\"\nprefixes = [\"11.0.0.0/8\"]".into(),
                "5: site.name: \"a\" is there twice",
            ),
            ("severity = \"high\"".into(), "1: severity: must be written as [severity]"),
            ("[severity]\ntelemetry = \"exempt\"".into(), "2: severity.telemetry: must be high, medium, low or info"),
            ("[severity]\ntelemetry = 3".into(), "2: severity.telemetry: must be text"),
            ("[severity.data]\nfile = \"grave\"".into(), "2: severity.data.file: must be high, medium, low or info"),
            ("[severity]\ndata = \"high\"".into(), "2: severity.data: must be written as [severity.data]"),
            (
                "[alert]\nlevel = \"high\"".into(),
                "2: alert.level: unknown key; known are severity, crossing, function, data, country, month_bytes_out",
            ),
            (
                "[alert]\ncrossing = [\"home\"]".into(),
                "2: alert.crossing: \"home\" must be observed, probable or not-determinable",
            ),
            ("[alert]\nmonth_bytes_out = -1".into(), "2: alert.month_bytes_out: must be a number of bytes, 1_000_000"),
            ("[alert]\nmonth_bytes_out = \"1MB\"".into(), "2: alert.month_bytes_out: must be a number of bytes, 1_000_000"),
            ("[alert]\nseverity = \"grave\"".into(), "2: alert.severity: must be high, medium, low or info"),
        ];
        for (text, expected) in cases {
            assert_eq!(mistakes(text), [*expected], "{text}");
        }
        for (text, start) in [
            (
                "[severity]\n\n\"tele\\u001bmetry\" = \"high\"",
                "3: severity.tele\\u{1b}metry: unknown key; known are update, ",
            ),
            ("[severity.data]\nfiles = \"high\"", "2: severity.data.files: unknown key; known are url, "),
            ("[alert]\nfunction = [\"updates\"]", "2: alert.function: \"updates\" is not known; known are update, "),
            ("[alert]\ndata = [\"files\"]", "2: alert.data: \"files\" is not known; known are url, "),
        ] {
            let found = mistakes(text);
            assert!(found.len() == 1 && found[0].starts_with(start), "{found:?}");
        }
        for broken in ["home = [\"CN\"", "home = [\"CN\"]\nhome = [\"HK\"]", "= 5", "[[exempt]\n", "home = [\"CN\"]]"] {
            let found = mistakes(broken);
            assert!(
                !found.is_empty() && found.iter().all(|m| m.starts_with("1: ") || m.starts_with("2: ")),
                "{found:?}"
            );
            assert!(found.iter().all(|m| !m.contains('\n')), "{found:?}");
        }
        let day = mistakes(&EXEMPT.replace("2027-06-30", "2027-02-30"));
        assert!(day[0].starts_with("5: "), "{day:?}");
    }

    /// Not only the first, and by line.
    #[test]
    fn every_mistake_is_told() {
        let text = "home = [\"XX\", \"CN\", \"YY\"]\ninside = 5\n[[exempt]]\nchannel = \"a\"\n[severity]\nupdate = \"x\"\n[alert]\nwho = 1\n";
        let found = mistakes(text);
        let keys: Vec<String> = found.iter().map(|m| m.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
        let expected = [
            "1 home",
            "1 home",
            "2 inside",
            "3 exempt.owner",
            "3 exempt.reason",
            "3 exempt.until",
            "6 severity.update",
            "8 alert.who",
        ];
        assert_eq!(keys, expected);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        std::fs::write(&path, text).unwrap();
        let refused = Policy::new(Some(&path), None, None).unwrap_err().to_string();
        assert!(refused.contains("policy.toml:1: home: \"XX\""), "{refused}");
        assert!(refused.ends_with("(7 more mistakes: bordertap policy check)"), "{refused}");
    }

    #[test]
    fn files_that_cannot_be_read() {
        let missing = Policy::new(Some(Path::new("/nonexistent/policy.toml")), None, None).unwrap_err().to_string();
        assert!(missing.starts_with("/nonexistent/policy.toml: "), "{missing}");
        let folder = tempfile::tempdir().unwrap();
        for (content, expected) in
            [(vec![0xff, 0xfe], "not UTF-8"), (vec![b'#'; (1 << 20) + 1], "more than the 1048576")]
        {
            let path = folder.path().join("policy.toml");
            std::fs::write(&path, content).unwrap();
            let error = Policy::new(Some(&path), None, None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

mod sides {
    use super::*;

    #[test]
    fn the_default_inside() {
        let policy = Policy::new(None, None, None).unwrap();
        for text in [
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.0",
            "192.168.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "169.254.0.1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(policy.side_of(address(text)), Location::Inside, "{text}");
        }
        for text in ["9.255.255.255", "172.32.0.0", "100.128.0.0", "8.8.8.8", "fec0::1", "2001:db8::1", "192.0.2.1"] {
            assert_eq!(policy.side_of(address(text)), Location::Outside, "{text}");
        }
        for text in ["224.0.0.251", "255.255.255.255", "ff02::1", "0.0.0.0", "::", "127.0.0.1", "::1"] {
            assert_eq!(policy.side_of(address(text)), Location::Special, "{text}");
        }
    }

    #[test]
    fn multicast_is_neither_even_when_everything_is_inside() {
        let policy = Policy::new(None, None, Some(&words(&["0.0.0.0/0", "::/0"]))).unwrap();
        assert_eq!(policy.side_of(address("8.8.8.8")), Location::Inside);
        assert_eq!(policy.side_of(address("239.1.1.1")), Location::Special);
    }
}

mod severities {
    use super::*;

    #[test]
    fn defaults_by_function_and_data() {
        for (function, data, expected) in [
            ("file-submission", &[][..], "high"),
            ("remote-access", &[], "high"),
            ("log-upload", &["security-log"], "high"),
            ("cloud-management", &["configuration"], "high"),
            ("cloud-management", &["device-identity", "credentials"], "high"),
            ("cloud-management", &["user-traffic"], "high"),
            ("cloud-management", &["device-identity"], "medium"),
            ("cloud-management", &[], "medium"),
            ("telemetry", &["configuration"], "medium"),
            ("reputation-lookup", &["url"], "medium"),
            ("support", &[], "medium"),
            ("unexplained", &[], "medium"),
            ("update", &["configuration"], "low"),
            ("licence", &[], "low"),
            ("other", &["file"], "info"),
            ("", &[], "info"),
        ] {
            assert_eq!(default_severity(function, data).name(), expected, "{function} {data:?}");
        }
        for function in FUNCTIONS {
            assert!(*function == "other" || default_severity(function, &[]) > Severity::Info, "{function}");
        }
    }

    /// A finding of an asset in the Shanghai laboratory.
    fn case<'a>(channel: &'a str, function: &'a str, data: &'a [&'a str]) -> Case<'a> {
        Case {
            channel,
            function,
            data,
            crossing: Crossing::Observed,
            asset: address("10.1.200.7"),
            country: Some("US"),
            domain: Some("upload.fortinet.net"),
            last_seen: Time::new(0, 0),
            month_bytes_out: 10_000,
        }
    }

    fn severity(policy: &Policy, case: &Case<'_>) -> &'static str {
        policy.judge(case).severity.name()
    }

    #[test]
    fn the_policy_overrides_and_home_is_info() {
        let policy = policy(EXAMPLE);
        for (channel, function, data, expected) in [
            ("x.telemetry", "telemetry", &[][..], "high"),
            ("x.support", "support", &[], "low"),
            ("x.support", "support", &["crash-report"], "low"),
            ("x.update", "update", &[], "low"),
            // Data raise: what a word of the policy, or the program, would leave lower.
            ("x.support", "support", &["file", "licence"], "high"),
            ("x.update", "update", &["user-traffic"], "high"),
            ("unexplained", "other", &[], "high"),
        ] {
            let case = case(channel, function, data);
            assert_eq!(severity(&policy, &case), expected, "{function} {data:?}");
            for crossing in [Crossing::Probable, Crossing::NotDeterminable] {
                assert_eq!(severity(&policy, &Case { crossing, ..case }), expected, "{function} {data:?}");
            }
            assert_eq!(severity(&policy, &Case { crossing: Crossing::Home, ..case }), "info");
        }
    }

    #[test]
    fn data_never_lower() {
        let policy = policy("[severity]\nupdate = \"high\"\n[severity.data]\nlicence = \"info\"\nurl = \"medium\"");
        assert_eq!(severity(&policy, &case("x", "update", &["licence", "url"])), "high");
        assert_eq!(severity(&policy, &case("x", "licence", &["licence"])), "low");
        assert_eq!(severity(&policy, &case("x", "licence", &["licence", "url"])), "medium");
        let (_, rule) = policy.severity.of("licence", &["licence", "url"]);
        assert_eq!(rule, Rule::Data("url"));
    }

    #[test]
    fn an_exemption_lasts_to_the_end_of_its_day() {
        let policy = policy(EXAMPLE);
        let update = |second| {
            let case = Case { last_seen: Time::new(second, 0), ..case("fortinet.fortiguard.update", "update", &[]) };
            let Judged { severity, alert, exemption } = policy.judge(&case);
            assert!(!alert);
            (severity.name(), exemption.as_ref().map(exemption_text))
        };
        let exempt = "Exempt by policy until 2027-06-30, Network operations: Signature updates carry the serial number only; accepted by the security office.";
        assert_eq!(update(JUNE_30), ("exempt", Some(exempt.into())));
        assert_eq!(update(JUNE_30 + 86_399).0, "exempt");
        let ended = "The exemption in the policy ended on 2027-06-30; it was made by Network operations.";
        assert_eq!(update(JUNE_30 + 86_400), ("low", Some(ended.into())));
        assert_eq!(severity(&policy, &case("fortinet.fortiguard.update.other", "update", &[])), "low");
        let home = Case { crossing: Crossing::Home, ..case("fortinet.fortiguard.update", "update", &[]) };
        assert_eq!((severity(&policy, &home), policy.judge(&home).exemption), ("info", None));
    }

    /// Each narrowing alone keeps an exemption from another finding.
    #[test]
    fn an_exemption_is_as_narrow_as_it_says() {
        let policy = policy(EXAMPLE);
        let fits = case("fortinet.sandbox.upload", "file-submission", &["file"]);
        assert_eq!(severity(&policy, &fits), "exempt");
        for (case, expected) in [
            (Case { asset: address("10.1.200.40"), ..fits }, "exempt"),
            (Case { asset: address("10.1.200.8"), ..fits }, "high"),
            (Case { asset: address("10.1.1.7"), ..fits }, "high"),
            (Case { country: Some("DE"), ..fits }, "exempt"),
            (Case { country: Some("EU"), ..fits }, "exempt"),
            (Case { country: Some("JP"), ..fits }, "high"),
            (Case { country: Some("EEA"), ..fits }, "high"),
            (Case { country: None, ..fits }, "high"),
            (Case { domain: Some("FORTINET.net"), ..fits }, "exempt"),
            (Case { domain: Some("notfortinet.net"), ..fits }, "high"),
            (Case { domain: None, ..fits }, "high"),
        ] {
            assert_eq!(severity(&policy, &case), expected, "{case:?}");
        }
    }

    #[test]
    fn of_several_exemptions_the_first_that_lasts_counts() {
        let one = |owner: &str, until: &str, more: &str| {
            format!("[[exempt]]\nchannel = \"a\"\nowner = \"{owner}\"\nreason = \"r\"\nuntil = {until}\n{more}\n")
        };
        let text = one("old", "2001-01-01", "country = [\"US\"]")
            + &one("older", "2000-01-01", "country = [\"US\", \"CA\"]")
            + &one("first", "2027-06-30", "country = [\"USMCA\"]")
            + &one("second", "2027-06-30", "");
        let policy = policy(&text);
        let why = |second, country| {
            let case = Case { last_seen: Time::new(second, 0), country, ..case("a", "update", &[]) };
            exemption_text(&policy.judge(&case).exemption.unwrap())
        };
        assert!(why(0, Some("US")).contains(", old:"));
        assert!(why(JUNE_30, Some("US")).contains(", first:"));
        assert!(why(JUNE_30, Some("JP")).contains(", second:"));
        assert!(why(JUNE_30 + 86_400, Some("US")).contains("2027-06-30"), "of those that ended the latest");
    }

    /// Every part of `[alert]` alone keeps a finding from counting.
    #[test]
    fn what_counts_as_an_alert() {
        let policy = policy(EXAMPLE);
        let counts = case("x.telemetry", "telemetry", &[]);
        assert!(policy.judge(&counts).alert);
        for (case, expected) in [
            (Case { crossing: Crossing::Probable, ..counts }, true),
            (Case { crossing: Crossing::NotDeterminable, ..counts }, false),
            (Case { crossing: Crossing::Home, ..counts }, false),
            (Case { function: "support", data: &["file"], ..counts }, false),
            (Case { function: "log-upload", ..counts }, true),
            (Case { channel: "unexplained", function: "other", ..counts }, true),
            (Case { country: Some("FR"), ..counts }, true),
            (Case { country: Some("JP"), ..counts }, false),
            (Case { country: None, ..counts }, false),
            (Case { month_bytes_out: 9_999, ..counts }, false),
            (case("fortinet.sandbox.upload", "file-submission", &["file"]), false),
        ] {
            assert_eq!(policy.judge(&case).alert, expected, "{case:?}");
        }
        let quiet = super::policy("[alert]\nseverity = \"high\"\ndata = [\"file\"]");
        assert!(!quiet.judge(&case("x", "telemetry", &["file"])).alert, "medium");
        assert!(quiet.judge(&case("x", "log-upload", &["url", "file"])).alert);
        assert!(!quiet.judge(&case("x", "log-upload", &["url"])).alert);
    }

    #[test]
    fn without_alert_what_leaves_counts_also_when_it_is_exempt() {
        let text = "[[exempt]]\nchannel = \"a\"\nowner = \"o\"\nreason = \"r\"\nuntil = 2027-06-30\n";
        for policy in [policy(text), Policy::new(None, None, None).unwrap()] {
            for crossing in Crossing::ALL {
                let judged = policy.judge(&Case { crossing, ..case("a", "update", &[]) });
                assert_eq!(judged.alert, crossing.leaves(), "{crossing:?}");
            }
        }
    }
}

mod checks {
    use super::*;
    use crate::signature::Signatures;

    fn remarks(text: &str, today: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        std::fs::write(&path, text).unwrap();
        let signatures = Signatures::builtin().unwrap();
        let tell = |r: &Remark| format!("{}{} {}", if r.is_error { "E" } else { "W" }, r.what.line, r.what);
        check(&path, &signatures, date(today)).iter().map(tell).collect()
    }

    #[test]
    fn exemptions_that_end_are_told_before() {
        let text =
            "[[exempt]]\nchannel = \"fortinet.sandbox.upload\"\nowner = \"o\"\nreason = \"r\"\nuntil = 2027-06-30\n";
        let whose = "(fortinet.sandbox.upload, o)";
        for (today, expected) in [
            ("2027-05-30", None),
            ("2027-05-31", Some(format!("ends in 30 days, on 2027-06-30 {whose}"))),
            ("2027-06-29", Some(format!("ends tomorrow {whose}"))),
            ("2027-06-30", Some(format!("ends today {whose}"))),
            ("2027-07-01", Some(format!("ended on 2027-06-30 and exempts nothing since {whose}"))),
        ] {
            let expected: Vec<String> = expected.map(|e| format!("W1 exempt.until: {e}")).into_iter().collect();
            assert_eq!(remarks(text, today), expected, "{today}");
        }
    }

    #[test]
    fn what_will_surprise_is_a_warning() {
        let text = "[[exempt]]\nchannel = \"fortinet.fortigate\"\nowner = \"o\"\nreason = \"r\"\nuntil = 2030-01-01\nasset = [\"8.8.8.0/24\"]\ncountry = [\"HK\"]\n\
                    [[site]]\nname = \"a\"\nprefixes = [\"10.0.0.0/8\", \"10.0.0.0/7\"]\n[severity.data]\nurl = \"info\"\n";
        let expected = [
            "W1 exempt.asset: 8.8.8.0/24 is not inside",
            "W1 exempt.channel: no channel has the id \"fortinet.fortigate\"",
            "W10 site.prefixes: 10.0.0.0/7 is not inside: no asset will have this site",
            "W12 severity.data.url: data makes graver, never lighter: info changes nothing",
        ];
        assert_eq!(remarks(text, "2026-11-26"), expected);
        let home = format!("home = [\"CN\", \"HK\"]\n{text}");
        let found = remarks(&home, "2026-11-26");
        assert!(found.contains(&"W2 exempt.country: HK is home: nothing that stays needs an exemption".to_owned()));
        assert_eq!(remarks(EXAMPLE, "2026-11-26"), [""; 0]);
    }

    #[test]
    fn errors_and_warnings_stand_by_line() {
        let text = "[severity.data]\nurl = \"info\"\n\n[alert]\nwho = 1\n";
        let found = remarks(text, "2026-11-26");
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("W2 ") && found[1].starts_with("E5 alert.who: "), "{found:?}");
        let signatures = Signatures::builtin().unwrap();
        let missing = check(Path::new("nowhere/policy.toml"), &signatures, date("2026-11-26"));
        assert!(missing[0].is_error && missing[0].to_string().starts_with("nowhere/policy.toml: error: "));
    }
}

mod crossings {
    use super::*;

    const OBSERVED: &str = "observed";
    const PROBABLE: &str = "probable";
    const OPEN: &str = "not-determinable";
    const HOME: &str = "home";

    fn place(standing: Standing, declared: bool, disagree: bool, anycast: bool) -> Place {
        let basis = match (standing, declared) {
            (Standing::Special, _) => Basis::Special,
            (_, true) => Basis::Declared,
            (Standing::Unknown, false) => Basis::Unknown,
            (_, false) => Basis::Address,
        };
        Place {
            country: None,
            declared: None,
            looked_up: None,
            basis,
            confidence: confidence::UNKNOWN,
            anycast,
            disagree,
            standing,
            notes: Vec::new(),
        }
    }

    fn input(place: &Place) -> CrossingInput<'_> {
        CrossingInput {
            place,
            address: Some(address("173.243.132.10")),
            name: Some("example.net"),
            direction: Direction::Outbound,
            payload_out: 1204,
            payload_in: 3000,
            handshake_only: false,
            name_only: false,
            via_proxy: false,
            hidden_name: false,
            sources_disagree: false,
        }
    }

    /// The contract, one property a sentence, over every combination of what can be known:
    /// 4 standings x 2^11 switches.
    #[test]
    fn the_whole_table_keeps_the_contract() {
        let standings = [Standing::Home, Standing::Foreign, Standing::Special, Standing::Unknown];
        let mut seen = std::collections::BTreeMap::new();
        for standing in standings {
            for switches in 0_u32..1 << 11 {
                let on = |bit: u32| switches >> bit & 1 == 1;
                let place = place(standing, on(0), on(1), on(2));
                let input = CrossingInput {
                    direction: if on(3) { Direction::Inbound } else { Direction::Outbound },
                    payload_out: u64::from(on(4)) * 1204,
                    payload_in: u64::from(on(5)) * 3000,
                    handshake_only: on(6),
                    name_only: on(7),
                    via_proxy: on(8),
                    hidden_name: on(9),
                    sources_disagree: on(10),
                    ..input(&place)
                };
                let (result, why) = crossing(&input);
                let case = format!("{standing:?} {switches:011b}: {result:?}");
                *seen.entry(result).or_insert(0) += 1;

                // "a name only, a proxy, a handshake without data, sources that disagree"
                let weak = input.name_only
                    || input.via_proxy
                    || input.handshake_only
                    || input.payload_out == 0
                    || input.sources_disagree
                    || place.disagree;
                // "an anycast or global name, a hidden name, no place known"
                let hidden = input.hidden_name && place.basis != Basis::Declared;
                let expected = match standing {
                    Standing::Special if input.via_proxy => OPEN,
                    Standing::Special => HOME,
                    _ if hidden => OPEN,
                    // A declared region outranks what is known of the address.
                    Standing::Foreign if weak || place.anycast && place.basis != Basis::Declared => PROBABLE,
                    Standing::Foreign => OBSERVED,
                    Standing::Home | Standing::Unknown if place.disagree => PROBABLE,
                    Standing::Home if place.anycast => OPEN,
                    Standing::Home => HOME,
                    Standing::Unknown => OPEN,
                };
                assert_eq!(result.name(), expected, "{case}");

                // What the words promise, whatever the rules are.
                if result == Crossing::Observed {
                    assert!(
                        standing == Standing::Foreign
                            && input.payload_out > 0
                            && !weak
                            && (!place.anycast || place.basis == Basis::Declared),
                        "{case}"
                    );
                    assert!(!input.attempted_only(), "{case}");
                }
                if standing == Standing::Special {
                    assert!(matches!(result, Crossing::Home | Crossing::NotDeterminable), "{case}");
                }
                if result == Crossing::Home {
                    assert!(!place.disagree || standing == Standing::Special, "{case}");
                }
                // The direction never changes the word.
                let turned = match input.direction {
                    Direction::Inbound => Direction::Outbound,
                    Direction::Outbound => Direction::Inbound,
                };
                assert_eq!(crossing(&CrossingInput { direction: turned, ..input }).0, result, "{case}");

                assert!(!why.is_empty(), "{case}");
                for line in &why {
                    let lower = line.to_lowercase();
                    assert!(!lower.contains("compliant") && !lower.contains("legal"), "{line}");
                    assert!(line.ends_with('.') && !line.contains('\n'), "{line}");
                }
            }
        }
        assert_eq!(seen.len(), 4);
    }

    /// One line for each row that a person would write down.
    #[test]
    fn the_rows_a_person_would_write() {
        type Change = fn(&mut CrossingInput<'_>);
        let plain: Change = |_| {};
        let name: Change = |i| (i.name_only, i.payload_out, i.payload_in, i.address) = (true, 0, 0, None);
        let attempt: Change = |i| (i.payload_out, i.payload_in) = (0, 0);
        let handshake: Change = |i| i.handshake_only = true;
        let proxy: Change = |i| i.via_proxy = true;
        let hidden: Change = |i| i.hidden_name = true;
        let fronted: Change = |i| i.sources_disagree = true;
        let unanswered: Change = |i| i.payload_in = 0;
        let far_side: Change = |i| i.payload_out = 0;
        let inbound: Change = |i| i.direction = Direction::Inbound;
        let scan: Change = |i| (i.direction, i.payload_out) = (Direction::Inbound, 0);
        let (cn, us, any) = (Region::from_word("CN"), Region::from_word("US"), Region::from_word("any"));
        let (private, china, germany, anycast) = ("10.1.1.1", "114.114.114.114", "18.196.0.1", "8.8.8.8");
        for (declared, at, change, expected, attempted) in [
            (None, Some(germany), plain, OBSERVED, false),
            (us, Some("3.5.0.1"), plain, OBSERVED, false),
            (None, Some(germany), unanswered, OBSERVED, false),
            (None, Some(germany), inbound, OBSERVED, false),
            (None, Some(germany), far_side, PROBABLE, false),
            (None, Some(germany), scan, PROBABLE, true),
            (None, Some(germany), attempt, PROBABLE, true),
            (None, Some(germany), handshake, PROBABLE, false),
            (None, Some(germany), fronted, PROBABLE, false),
            (us, Some(germany), plain, PROBABLE, false),
            (us, Some(china), plain, PROBABLE, false),
            (cn, Some(germany), plain, PROBABLE, false),
            (us, Some(anycast), plain, OBSERVED, false),
            (us, None, name, PROBABLE, true),
            (us, None, proxy, PROBABLE, false),
            (None, Some(germany), hidden, OPEN, false),
            (None, Some(anycast), plain, OPEN, false),
            (any, Some(germany), plain, OPEN, false),
            (any, Some(china), plain, OPEN, false),
            (any, None, name, OPEN, true),
            (None, None, proxy, OPEN, false),
            (None, Some("169.50.0.1"), plain, OPEN, false),
            (cn, Some(anycast), plain, OPEN, false),
            (None, Some(china), plain, HOME, false),
            (cn, Some(china), plain, HOME, false),
            (cn, Some(china), hidden, HOME, false),
            (cn, None, name, HOME, true),
            (None, Some(private), plain, HOME, false),
            (us, Some(private), plain, HOME, false),
            (None, Some("224.0.0.251"), plain, HOME, false),
        ] {
            let homes = [Country::from_word("CN").unwrap()];
            let at = at.map(address);
            let place = Places::builtin().decide(declared, at, &homes);
            let mut input = CrossingInput { address: at, ..input(&place) };
            change(&mut input);
            let (result, why) = crossing(&input);
            assert_eq!((result.name(), input.attempted_only()), (expected, attempted), "{declared:?} {at:?} {why:?}");
        }
    }

    fn why(declared: Option<&str>, at: Option<&str>, change: impl Fn(&mut CrossingInput<'_>)) -> Vec<String> {
        let homes = [Country::from_word("CN").unwrap()];
        let at = at.map(address);
        let place = Places::builtin().decide(declared.and_then(Region::from_word), at, &homes);
        let mut input = CrossingInput { address: at, ..input(&place) };
        change(&mut input);
        crossing(&input).1
    }

    #[test]
    fn the_sentences() {
        assert_eq!(
            why(Some("US"), Some("173.243.132.10"), |_| {}),
            [
                "1,204 bytes went to 173.243.132.10. 3,000 bytes came back.",
                "The vendor says that this name is served from US.",
            ]
        );
        assert_eq!(
            why(Some("US"), Some("18.196.0.1"), |i| (i.payload_out, i.payload_in) = (1, 0)),
            [
                "1 byte went to 18.196.0.1. Nothing was seen to come back.",
                "The vendor says that this name is served from US.",
                "The address database says DE; the vendor's page says US.",
            ]
        );
        assert_eq!(
            why(None, Some("18.196.0.1"), |i| (i.payload_out, i.direction) = (1_234_567, Direction::Inbound)),
            [
                "It was opened from 18.196.0.1.",
                "1,234,567 bytes went to 18.196.0.1. 3,000 bytes came back.",
                "The address database says DE.",
            ]
        );
        assert_eq!(
            why(Some("EU"), None, |i| i.name_only = true),
            [
                "example.net was only asked for; no flow to it was seen.",
                "The vendor says that this name is served from within the EU.",
            ]
        );
        assert_eq!(
            why(Some("any"), None, |i| (i.via_proxy, i.handshake_only) = (true, true)),
            [
                "1,204 bytes went to example.net through a proxy. 3,000 bytes came back.",
                "It was only a handshake, without data after it.",
                "The vendor serves this name from no fixed place.",
            ]
        );
        assert_eq!(
            why(None, Some("18.196.0.1"), |i| (i.payload_out, i.payload_in, i.hidden_name) = (0, 0, true)),
            [
                "There were only attempts: no payload went to or came from 18.196.0.1.",
                "The address database says DE.",
                "The server name is hidden (ECH).",
            ]
        );
    }
}
