//! Policy files, sides, severities, and the whole truth table of crossing.

use std::path::Path;

use super::*;
use crate::place::{Basis, Place, Places, Region, Standing, confidence};

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

fn refusal(text: &str) -> String {
    file::parse(Path::new("policy.toml"), text).unwrap_err().to_string()
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
        let exempt: Vec<_> = policy.exemptions().map(|(id, e)| (id, e.until.as_ref().map(|u| u.0.as_str()))).collect();
        assert_eq!(exempt, [("fortinet.fortiguard.update", Some("2027-06-30")), ("vmware.licence", None)]);
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
        assert_eq!(message(Some(&["cn"]), None), "--home: \"cn\" is not an ISO 3166-1 alpha-2 country code; write CN");
        assert_eq!(message(Some(&["CN", "EU"]), None), "--home: \"EU\" is not an ISO 3166-1 alpha-2 country code");
        assert_eq!(message(Some(&[""]), None), "--home: \"\" is not an ISO 3166-1 alpha-2 country code");
        assert_eq!(message(Some(&[]), None), "--home: needs a value");
        assert_eq!(
            message(None, Some(&["10.0.0.0/40"])),
            "--inside: \"10.0.0.0/40\" has no valid length after the slash"
        );
        assert_eq!(message(None, Some(&["ten"])), "--inside: \"ten\" is not an address");
    }

    #[test]
    fn the_file_is_read_strictly() {
        for (text, expected) in [
            (
                "\nhomes = [\"CN\"]\n",
                "policy.toml:2: homes: unknown key; known are home, inside, exempt, site, severity",
            ),
            ("home = \"CN\"", "policy.toml:1: home: must be an array of text"),
            ("home = [1]", "policy.toml:1: home: must be text"),
            ("home = []", "policy.toml:1: home: is empty"),
            (
                "home = [\n\"CN\",\n\"uk\"]",
                "policy.toml:3: home: \"uk\" is not an ISO 3166-1 alpha-2 country code; write GB",
            ),
            (
                "inside = [\"10.1.0.0/8\"]",
                "policy.toml:1: inside: \"10.1.0.0/8\" has bits set below its length; \"10.0.0.0/8\" would be the prefix",
            ),
            ("inside = [\" \"]", "policy.toml:1: inside: is empty"),
            ("exempt = 5", "policy.toml:1: exempt: must be written as [[exempt]]"),
            ("[exempt]\nchannel = \"a\"", "policy.toml:1: exempt: must be written as [[exempt]]"),
            ("[[exempt]]\nchannel = \"a\"", "policy.toml:1: exempt.reason: is missing"),
            ("\n[[exempt]]\nreason = \"a\"", "policy.toml:2: exempt.channel: is missing"),
            ("[[exempt]]\nchannel = \"a\"\nreason = \"\"", "policy.toml:3: exempt.reason: is empty"),
            (
                "[[exempt]]\nchanel = \"a\"",
                "policy.toml:2: exempt.chanel: unknown key; known are channel, reason, until",
            ),
            (
                "[[exempt]]\nchannel = \"a\"\nreason = \"b\"\nuntil = \"2027-06-30\"",
                "policy.toml:4: exempt.until: must be a date such as 2027-06-30, without quotes",
            ),
            (
                "[[exempt]]\nchannel = \"a\"\nreason = \"b\"\nuntil = 2027-06-30T10:00:00Z",
                "policy.toml:4: exempt.until: must be a date such as 2027-06-30, without quotes",
            ),
            (
                "[[exempt]]\nchannel = \"a\"\nreason = \"b\"\n[[exempt]]\nchannel = \"a\"\nreason = \"c\"",
                "policy.toml:5: exempt.channel: \"a\" is there twice",
            ),
            ("[[site]]\nname = \"a\"", "policy.toml:1: site.prefixes: is missing"),
            ("[[site]]\nprefixes = [\"10.0.0.0/8\"]", "policy.toml:1: site.name: is missing"),
            (
                "[[site]]\nname = \"a\"\nprefixes = [\"10.0.0.0/8\"]\n[[site]]\nname = \"b\"\nprefixes = [\"10.0.0.0/8\"]",
                "policy.toml:6: site.prefixes: 10.0.0.0/8 is already a prefix of \"a\"",
            ),
            (
                "[[site]]\nname = \"a\"\nprefixes = [\"10.0.0.0/8\"]\n[[site]]\nname = \"a\"\nprefixes = [\"11.0.0.0/8\"]",
                "policy.toml:5: site.name: \"a\" is there twice",
            ),
            ("severity = \"high\"", "policy.toml:1: severity: must be written as [severity]"),
            (
                "[severity]\ntelemetry = \"exempt\"",
                "policy.toml:2: severity.telemetry: must be high, medium, low or info",
            ),
            ("[severity]\ntelemetry = 3", "policy.toml:2: severity.telemetry: must be text"),
        ] {
            assert_eq!(refusal(text), expected, "{text}");
        }
        let unknown = refusal("[severity]\n\n\"tele\\u001bmetry\" = \"high\"");
        assert!(
            unknown.starts_with("policy.toml:3: severity.tele\\u{1b}metry: unknown key; known are update, "),
            "{unknown}"
        );
        for broken in ["home = [\"CN\"", "home = [\"CN\"]\nhome = [\"HK\"]", "= 5", "[[exempt]\n", "home = [\"CN\"]]"] {
            let error = refusal(broken);
            assert!(error.starts_with("policy.toml:1: ") || error.starts_with("policy.toml:2: "), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
        let day = refusal("[[exempt]]\nchannel = \"a\"\nreason = \"b\"\nuntil = 2027-02-30");
        assert!(day.starts_with("policy.toml:4: "), "{day}");
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

    fn of(
        policy: &Policy,
        channel: &str,
        function: &str,
        crossing: Crossing,
        second: i64,
    ) -> (&'static str, Option<String>) {
        let (severity, why) = policy.severity(channel, function, &[], crossing, Time::new(second, 0));
        (severity.name(), why)
    }

    #[test]
    fn the_policy_overrides_and_home_is_info() {
        let policy = policy(EXAMPLE);
        let plain = |channel, function| of(&policy, channel, function, Crossing::Observed, 0);
        assert_eq!(plain("x.telemetry", "telemetry"), ("high", None));
        assert_eq!(plain("x.support", "support"), ("low", None));
        assert_eq!(plain("x.update", "update"), ("low", None));
        assert_eq!(plain("unexplained", "other"), ("high", None));
        for crossing in [Crossing::Probable, Crossing::NotDeterminable] {
            assert_eq!(of(&policy, "x.telemetry", "telemetry", crossing, 0).0, "high");
        }
        assert_eq!(of(&policy, "x.telemetry", "telemetry", Crossing::Home, 0), ("info", None));
    }

    #[test]
    fn an_exemption_lasts_to_the_end_of_its_day() {
        let policy = policy(EXAMPLE);
        let update = |second| of(&policy, "fortinet.fortiguard.update", "update", Crossing::Observed, second);
        let exempt = "Exempt by policy until 2027-06-30: Signature updates carry the serial number only; accepted by the security office.";
        assert_eq!(update(JUNE_30), ("exempt", Some(exempt.into())));
        assert_eq!(update(JUNE_30 + 86_399).0, "exempt");
        assert_eq!(update(JUNE_30 + 86_400), ("low", Some("The exemption in the policy ended on 2027-06-30.".into())));
        let licence = of(&policy, "vmware.licence", "licence", Crossing::Probable, i64::MAX);
        assert_eq!(licence, ("exempt", Some("Exempt by policy: Contract 4711".into())));
        assert_eq!(of(&policy, "vmware.licence.other", "licence", Crossing::Observed, 0).0, "low");
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
