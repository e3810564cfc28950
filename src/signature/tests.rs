//! What patterns, the loader, the index, the choice and the checks must do.

use std::net::IpAddr;

use proptest::prelude::*;

use super::check::{Level, SHARING_MAX};
use super::file::parse;
use super::pattern::{PATTERN_BYTES_MAX, Pattern, Written};
use super::select::holds;
use super::*;
use crate::fact::{ETH_OUI, Facts, IP_DST, Kind, Seen, Side};
use crate::flow::key::protocol::{TCP, UDP};
use crate::parse::field;
use crate::time::Time;

const ANY: std::ops::RangeInclusive<u64> = 0..=u64::MAX;

fn pattern(kind: Kind, text: &str) -> Pattern {
    Pattern::parse(kind, &Written::Text(text.to_owned()), &ANY).unwrap()
}

fn refused(kind: Kind, text: &str) -> String {
    Pattern::parse(kind, &Written::Text(text.to_owned()), &ANY).unwrap_err()
}

fn flow(destination: &str, protocol: u8, port: u16) -> FlowValues {
    FlowValues { destination: destination.parse().unwrap(), protocol, port, asn: None, ouis: [None; 2] }
}

fn tls(port: u16) -> FlowValues {
    flow("192.0.2.1", TCP, port)
}

fn seen(packet: u64) -> Seen {
    Seen { time: Time(packet as i64), packet }
}

fn facts(all: &[(&str, Side, &str)]) -> Facts {
    let mut facts = Facts::default();
    for (at, (name, side, value)) in all.iter().enumerate() {
        facts.add(field(name).unwrap(), *side, seen(at as u64 + 1), value.as_bytes());
    }
    facts
}

fn sni(name: &str) -> Facts {
    facts(&[("tls.sni", Side::Source, name)])
}

fn load(text: &str) -> Signatures {
    Signatures::from_texts(vec![("acme.toml", text)]).unwrap_or_else(|refused| panic!("{refused}"))
}

/// Ids of the `when` blocks that hold, with their lines.
fn matching(signatures: &Signatures, facts: &Facts, values: &FlowValues) -> Vec<u32> {
    let mut scratch = Scratch::default();
    let whens = signatures.index.matches(facts, values, &mut scratch);
    whens.iter().map(|when| signatures.when(*when).unwrap().when.line).collect()
}

fn selected(signatures: &Signatures, facts: &Facts, values: &FlowValues) -> Vec<(String, u8, Side)> {
    let mut scratch = Scratch::default();
    let verdicts = signatures.select(facts, values, &mut scratch);
    verdicts.iter().map(|hit| (signatures.when(hit.when).unwrap().entry.id.clone(), hit.confidence, hit.side)).collect()
}

const HEAD: &str = "format = 1\nvendor = \"Acme\"\nchecked = 2026-11-23\n";

/// An identity with one `when`; its conditions, and an example that fits them.
fn identity(id: &str, when: &str, confidence: u8, example: &str) -> String {
    format!(
        "[[identity]]\nid = \"{id}\"\nproduct = \"P\"\nbasis = \"observed\"\nsource = [\"S\"]\n\
         [[identity.when]]\n{when}\nconfidence = {confidence}\n\
         [[identity.example]]\n{example}\n\
         [[identity.counterexample]]\nwhy = \"other\"\ntls.sni = \"nobody.example.org\"\n"
    )
}

/// A channel with one `when`; its conditions, and an example that fits them.
fn channel(id: &str, when: &str, confidence: u8, example: &str) -> String {
    format!(
        "[[channel]]\nid = \"{id}\"\nproduct = \"P\"\nfunction = \"other\"\ndata = []\nbasis = \"observed\"\nsource = [\"S\"]\n\
         [[channel.when]]\n{when}\nregion = \"any\"\nconfidence = {confidence}\n\
         [[channel.example]]\n{example}\nregion = \"any\"\n\
         [[channel.counterexample]]\nwhy = \"other\"\ntls.sni = \"nobody.example.org\"\n"
    )
}

fn file_of(entries: &[String]) -> String {
    format!("{HEAD}{}", entries.concat())
}

mod patterns {
    use super::*;

    #[test]
    fn names_match_at_label_boundaries_without_case_and_trailing_dot() {
        let below = pattern(Kind::Name, ".VMware.com.");
        for yes in ["vmware.com", "VMWARE.COM", "a.vmware.com", "a.b.VmWare.com.", "vmware.com.", "*.vmware.com"] {
            assert!(below.matches(yes.as_bytes()), "{yes}");
        }
        for no in ["evilvmware.com", "vmware.com.evil.example", "vmware.comx", "com", "", ".", "vmware.com..", "vmware"]
        {
            assert!(!below.matches(no.as_bytes()), "{no}");
        }
        let exact = pattern(Kind::Name, "a.vmware.com");
        assert!(exact.matches(b"A.vmware.com."));
        assert!(!exact.matches(b"b.a.vmware.com") && !exact.matches(b"vmware.com") && !exact.matches(b"xa.vmware.com"));
    }

    #[test]
    fn a_star_in_a_name_takes_a_part_of_one_label() {
        let begins = pattern(Kind::Name, "CC-*.traps.example.com");
        assert_eq!(begins.to_string(), "cc-*.traps.example.com");
        for yes in ["cc-acme.traps.example.com", "CC-A.Traps.Example.COM.", "cc--.traps.example.com"] {
            assert!(begins.matches(yes.as_bytes()), "{yes}");
        }
        for no in [
            "cc-.traps.example.com",
            "cc-a.b.traps.example.com",
            "x.cc-a.traps.example.com",
            "xcc-a.traps.example.com",
            "cc-a.traps.example.com.org",
            "cc-atraps.example.com",
            "traps.example.com",
            "",
        ] {
            assert!(!begins.matches(no.as_bytes()), "{no}");
        }
        let within = pattern(Kind::Name, "api.soc.*.example.com");
        assert!(within.matches(b"api.soc.us-east-1.example.com") && !within.matches(b"api.soc.a.b.example.com"));
        assert!(!within.matches(b"api.soc.example.com") && !within.matches(b"x.api.soc.a.example.com"));
        let below = pattern(Kind::Name, ".example.com");
        assert!(below.covers(&begins) && !begins.covers(&below));
        assert!(begins.covers(&pattern(Kind::Name, "cc-acme.traps.example.com")));
        assert!(begins.literal_len() > pattern(Kind::Name, ".traps.example.com").literal_len());
    }

    #[test]
    fn text_is_anchored_unless_a_star_says_otherwise() {
        let subject = pattern(Kind::Text, "*CN=*,OU=FortiGate,O=Fortinet*");
        // Subjects as recog lists them (xml/x509_subjects.xml).
        assert!(subject.matches(b"CN=FGT30D3X15038375,OU=FortiGate,O=Fortinet,L=Sunnyvale,ST=California,C=US"));
        assert!(subject.matches(b"emailAddress=support@fortinet.com,CN=FW,OU=FortiGate,O=Fortinet"));
        assert!(!subject.matches(b"CN=PA-0000,OU=Firewall,O=Example,C=US"));
        let server = pattern(Kind::Text, "CPWS");
        assert!(server.matches(b"CPWS") && !server.matches(b"CPWS/1") && !server.matches(b"cpws"));
        let both = pattern(Kind::Text, "ab*ba");
        assert!(both.matches(b"abba") && !both.matches(b"aba"), "the ends must not overlap");
        assert!(pattern(Kind::Text, "a*").matches(b"a\xff\x00"), "values need not be UTF-8");
    }

    #[test]
    fn hex_knows_single_bytes_and_the_rest() {
        let open = pattern(Kind::Hex, "hex:80 00 .. 44 *");
        assert!(open.matches(&[0x80, 0, 0x30, 0x44]) && open.matches(&[0x80, 0, 9, 0x44, 1, 2]));
        assert!(!open.matches(&[0x80, 0, 0x30]) && !open.matches(&[0x80, 1, 0x30, 0x44]));
        let closed = pattern(Kind::Hex, "hex:8000 ..");
        assert!(closed.matches(&[0x80, 0, 7]) && !closed.matches(&[0x80, 0, 7, 7]) && !closed.matches(&[0x80, 0]));
        assert!(pattern(Kind::Hex, "00090F").matches(&[0, 9, 0x0f]));
        assert_eq!(open.to_string(), "hex:80 00 .. 44 *");
        assert_eq!(pattern(Kind::Hex, "00090F").to_string(), "00090f");
    }

    #[test]
    fn numbers_and_networks() {
        let range = pattern(Kind::Number, "8888-8890");
        let number = |n: u64| n.to_be_bytes();
        assert!(range.matches(&number(8888)) && range.matches(&number(8890)));
        assert!(!range.matches(&number(8887)) && !range.matches(&number(8891)) && !range.matches(b"8888"));
        let net = pattern(Kind::Address, "192.0.2.128/25");
        assert!(net.matches(&[192, 0, 2, 128]) && net.matches(&[192, 0, 2, 255]) && !net.matches(&[192, 0, 2, 127]));
        let mapped: IpAddr = "::ffff:192.0.2.130".parse().unwrap();
        let IpAddr::V6(mapped) = mapped else { unreachable!() };
        assert!(net.matches(&mapped.octets()), "an IPv4 address inside IPv6");
        let v6 = pattern(Kind::Address, "2001:db8::/33");
        let octets = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
        assert!(v6.matches(&octets("2001:db8:7fff::1")) && !v6.matches(&octets("2001:db8:8000::1")));
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            (Kind::Name, "*.example.com", "a whole first label is no condition"),
            (Kind::Name, "a-*.*.example.com", "one `*` at most"),
            (Kind::Name, "a-*", "too broad"),
            (Kind::Name, "a-*.com", "too broad"),
            (Kind::Name, "acme-*.s3.amazonaws.com", "too broad"),
            (Kind::Name, "a b*.example.com", "no host name"),
            (Kind::Name, ".com", "too broad"),
            (Kind::Name, ".co.uk", "too broad"),
            (Kind::Name, ".cloudfront.net", "too broad"),
            (Kind::Name, "localhost", "too broad"),
            (Kind::Name, "a..example", "a label of a name has 1 to 63 bytes"),
            (Kind::Name, "..example.com", "a label of a name has 1 to 63 bytes"),
            (Kind::Name, "a b.example", "is no host name"),
            (Kind::Name, "büro.example", "is no host name"),
            (Kind::Name, "", "an empty string"),
            (Kind::Text, "**", "matches everything"),
            (Kind::Hex, "hex:.. *", "no known byte"),
            (Kind::Hex, "hex:80 * 00", "must be last"),
            (Kind::Hex, "hex:8 00", "is no byte"),
            (Kind::Hex, "xyz", "no even number of hex digits"),
            (Kind::Hex, "+1", "no even number of hex digits"),
            (Kind::Number, "80,81", "is no number"),
            (Kind::Number, "9-8", "runs backwards"),
            (Kind::Address, "192.0.2.1/24", "is `192.0.2.0/24` meant?"),
            (Kind::Address, "192.0.2.0/33", "no prefix length"),
            (Kind::Address, "0.0.0.0/0", "too broad"),
            (Kind::Address, "2000::/3", "too broad"),
            (Kind::Address, "::ffff:192.0.2.1", "write the IPv4 address itself"),
            (Kind::Address, "example.com", "is no IP address"),
        ];
        for (kind, text, expected) in cases {
            let reason = refused(kind, text);
            assert!(reason.contains(expected), "{text}: {reason}");
        }
        let number = Pattern::parse(Kind::Name, &Written::Number(7), &ANY).unwrap_err();
        assert!(number.contains("must be a string"), "{number}");
        let long = format!(".{}.example", ["a"; 130].join("."));
        assert!(refused(Kind::Name, &long).contains("at most 253 bytes"));
        let text = |bytes: usize| Pattern::parse(Kind::Text, &Written::Text("x".repeat(bytes)), &ANY);
        assert!(text(PATTERN_BYTES_MAX).is_ok());
        assert!(text(PATTERN_BYTES_MAX + 1).unwrap_err().contains(&format!("at most {PATTERN_BYTES_MAX} bytes")));
    }

    /// Text with `*`, by trying every split: slow and plain.
    fn slow_text(pattern: &[u8], value: &[u8]) -> bool {
        match pattern.split_first() {
            None => value.is_empty(),
            Some((b'*', rest)) => (0..=value.len()).any(|cut| slow_text(rest, &value[cut..])),
            Some((byte, rest)) => {
                value.split_first().is_some_and(|(first, left)| first == byte && slow_text(rest, left))
            }
        }
    }

    proptest! {
        #[test]
        fn text_agrees_with_the_plain_reading(text in "[ab*]{1,8}", value in "[ab]{0,10}") {
            prop_assume!(text.bytes().any(|b| b != b'*'));
            prop_assert_eq!(pattern(Kind::Text, &text).matches(value.as_bytes()), slow_text(text.as_bytes(), value.as_bytes()));
        }

        #[test]
        fn what_covers_matches_at_least_as_much(wide in "[ab*]{1,5}", narrow in "[ab*]{1,5}", value in "[ab]{0,6}") {
            prop_assume!([&wide, &narrow].iter().all(|t| t.bytes().any(|b| b != b'*')));
            let (wide, narrow) = (pattern(Kind::Text, &wide), pattern(Kind::Text, &narrow));
            if wide.covers(&narrow) && narrow.matches(value.as_bytes()) {
                prop_assert!(wide.matches(value.as_bytes()));
            }
        }

        #[test]
        fn hex_that_covers_matches_at_least_as_much(
            wide in "hex:(0[12]|\\.\\.){1,3}0[12]\\*?", narrow in "hex:(0[12]|\\.\\.){1,3}0[12]\\*?",
            value in proptest::collection::vec(1u8..3, 0..6),
        ) {
            let spaced = |text: &str| {
                let (mut out, mut rest) = ("hex:".to_owned(), &text[4..]);
                while !rest.is_empty() {
                    let (word, left) = rest.split_at(if rest.starts_with('*') { 1 } else { 2 });
                    out = format!("{out} {word}");
                    rest = left;
                }
                pattern(Kind::Hex, &out)
            };
            let (wide, narrow) = (spaced(&wide), spaced(&narrow));
            if wide.covers(&narrow) && narrow.matches(&value) {
                prop_assert!(wide.matches(&value));
            }
        }
    }
}

mod loader {
    use super::*;

    const GOOD: &str = r#"format  = 1
vendor  = "Acme"
checked = 2026-11-23

[[identity]]
id      = "acme.device"
product = "Device"
basis   = "vendor-document"
source  = ["the vendor's manual"]

  [[identity.when]]
  x509.subject = "CN=*,O=Acme*"
  confidence   = 95

  [[identity.example]]
  x509.subject = "CN=1,O=Acme"

  [[identity.counterexample]]
  why          = "another vendor"
  x509.subject = "CN=1,O=Other"

[[channel]]
id         = "acme.rating"
product    = "Rating"
function   = "reputation-lookup"
data       = ["url", "hostname"]
data_basis = "vendor-document"
basis      = "vendor-document"
source     = ["the vendor's manual"]

  [[channel.when]]
  host       = ["rating.acme.example", ".rate.acme.example"]
  region     = "US"
  confidence = 95

  [[channel.when]]
  from       = "acme.device"
  udp.port   = [8888, "9000-9002"]
  region     = "any"
  confidence = 50

  [[channel.example]]
  tls.sni = "eu.rate.acme.example"
  region  = "US"

  [[channel.example]]
  from     = ["acme.device"]
  udp.port = 9001
  region   = "any"

  [[channel.counterexample]]
  why      = "a port without the device"
  udp.port = 8888

[[gap]]
id      = "acme.gap.logs"
product = "Logs"
what    = "Logs go to an address that the customer chooses."
source  = ["the vendor's manual"]
"#;

    #[test]
    fn a_good_file_is_read_whole() {
        let file = parse("acme.toml", GOOD).unwrap();
        assert_eq!((file.vendor.as_str(), file.checked.to_string().as_str()), ("Acme", "2026-11-23"));
        assert_eq!(
            file.entries.iter().map(|e| (e.id.as_str(), e.line)).collect::<Vec<_>>(),
            [("acme.device", 5), ("acme.rating", 22)]
        );
        let rating = &file.entries[1];
        assert_eq!(rating.whens.iter().map(|w| (w.line, w.confidence)).collect::<Vec<_>>(), [(31, 95), (36, 50)]);
        assert_eq!(rating.whens[0].region.unwrap().name(), "US");
        assert_eq!(rating.whens[0].conditions[0].fields.len(), 6);
        assert_eq!((rating.whens[1].from.as_slice(), rating.whens[1].from_line), (&["acme.device".to_owned()][..], 37));
        assert_eq!(rating.whens[1].conditions[0].patterns, [Pattern::Number(8888, 8888), Pattern::Number(9000, 9002)]);
        assert_eq!((file.gaps.len(), file.gaps[0].line), (1, 55));
        let signatures = load(GOOD);
        assert_eq!(signatures.check(None).remarks, []);
        assert_eq!(signatures.when(1).unwrap().matched(), "acme.toml:31");
    }

    /// Each case changes one piece of the good file and names the line and the words that must come.
    #[test]
    fn every_mistake_is_named_with_its_line() {
        let cases: &[(&str, &str, u32, &str)] = &[
            ("format  = 1", "format = 2", 1, "`format` must be 1"),
            ("format  = 1\n", "", 1, "the file has no `format`"),
            ("vendor  = \"Acme\"", "vendor = \"\"", 2, "`vendor` must be a string that is not empty"),
            (
                "vendor  = \"Acme\"",
                "vendor = \"Acme\"\nauthor = \"me\"",
                3,
                "unknown key `author` in the file; known are format, vendor",
            ),
            ("checked = 2026-11-23\n", "", 1, "the file has no `checked`"),
            (
                "checked = 2026-11-23",
                "checked = \"2026-11-23\"",
                3,
                "must be a date such as 2026-11-23, without quotes",
            ),
            ("checked = 2026-11-23", "checked = 2026-11-23T10:00:00", 3, "must be a date"),
            ("vendor  = \"Acme\"", "vendor  = \"Acme", 2, "not TOML: "),
            ("vendor  = \"Acme\"", "vendor  = \"Acme\"\nvendor = \"B\"", 3, "not TOML: duplicate key"),
            ("product = \"Device\"", "produkt = \"Device\"", 7, "unknown key `produkt` in [[identity]]"),
            ("product = \"Device\"\n", "", 5, "[[identity]] has no `product`"),
            ("id      = \"acme.device\"", "id = \"Acme.Device\"", 6, "an id is lower-case words"),
            ("id      = \"acme.device\"", "id = \"acme\"", 6, "an id is lower-case words"),
            (
                "basis   = \"vendor-document\"",
                "basis = \"rumour\"",
                8,
                "`rumour` is no word of `basis`; known are vendor-document, observed, third-party, inferred",
            ),
            (
                "source  = [\"the vendor's manual\"]\n\n  [[identity",
                "source = []\n\n  [[identity",
                5,
                "[[identity]] without a source",
            ),
            (
                "source  = [\"the vendor's manual\"]\n\n  [[identity",
                "\n  [[identity",
                5,
                "[[identity]] has no `source`",
            ),
            (
                "source  = [\"the vendor's manual\"]\n\n  [[identity",
                "source = \"manual\"\n\n  [[identity",
                9,
                "`source` must be an array of strings",
            ),
            (
                "source  = [\"the vendor's manual\"]\n\n  [[identity",
                "source = [\" \"]\n\n  [[identity",
                9,
                "strings that are not empty",
            ),
            ("  confidence   = 95", "  confidence = 0", 13, "`confidence` must be a whole number from 1 to 100"),
            ("  confidence   = 95", "  confidence = 101", 13, "from 1 to 100"),
            ("  confidence   = 95", "  confidence = \"95\"", 13, "from 1 to 100"),
            ("  confidence   = 95\n", "", 11, "[[identity.when]] has no `confidence`"),
            ("  x509.subject = \"CN=*,O=Acme*\"\n", "", 11, "[[identity.when]] without a condition about the flow"),
            ("  x509.subject = \"CN=*,O=Acme*\"", "  x509.subjekt = \"a\"", 12, "unknown field `x509.subjekt`"),
            (
                "  x509.subject = \"CN=*,O=Acme*\"",
                "  x509.subject.cn = \"a\"",
                12,
                "must be a string, a number, or an array of them",
            ),
            ("  x509.subject = \"CN=*,O=Acme*\"", "  x509.subject = 7", 12, "x509.subject: `7` must be a string here"),
            (
                "  x509.subject = \"CN=*,O=Acme*\"",
                "  x509.subject = 1.5",
                12,
                "must be a string, a number, or an array of them",
            ),
            (
                "  x509.subject = \"CN=*,O=Acme*\"",
                "  x509.subject = []",
                12,
                "`x509.subject` is empty: it could never hold",
            ),
            (
                "  x509.subject = \"CN=*,O=Acme*\"",
                "  x509.subject = \"CN=*,O=Acme*\"\n  from = \"acme.device\"",
                13,
                "an identity has neither `from` nor `region`",
            ),
            ("  x509.subject = \"CN=*,O=Acme*\"", "  tcp.port = 443", 11, "a bare port proves nothing"),
            ("  why          = \"another vendor\"\n", "", 18, "[[identity.counterexample]] has no `why`"),
            ("  x509.subject = \"CN=1,O=Acme\"", "", 15, "[[identity.example]] without a value"),
            (
                "  x509.subject = \"CN=1,O=Acme\"",
                "  host = \"a.example\"",
                16,
                "unknown field `host` in an example; name the field itself",
            ),
            ("  x509.subject = \"CN=1,O=Acme\"", "  ip.dst = \"nowhere\"", 16, "`nowhere` is no IP address"),
            ("  x509.subject = \"CN=1,O=Acme\"", "  tcp.port = 1\n  udp.port = 2", 15, "a flow has one"),
            ("  x509.subject = \"CN=1,O=Acme\"", "  eth.oui = \"0\"", 16, "no even number of hex digits"),
            (
                "  [[identity.example]]\n  x509.subject = \"CN=1,O=Acme\"\n",
                "",
                5,
                "[[identity]] has no [[identity.example]]",
            ),
            (
                "function   = \"reputation-lookup\"",
                "function = \"spying\"",
                25,
                "`spying` is no word of `function`; known are update, licence",
            ),
            (
                "data       = [\"url\", \"hostname\"]",
                "data = [\"url\",\n\"secrets\"]",
                27,
                "`secrets` is no word of `data`; known are url, hostname",
            ),
            ("data       = [\"url\", \"hostname\"]", "data = []", 27, "`data_basis` without `data`"),
            ("data_basis = \"vendor-document\"\n", "", 22, "[[channel]] has no `data_basis`"),
            ("  region     = \"US\"", "  region = \"us\"", 33, "`us` is no word of `region`"),
            ("  region     = \"US\"", "  region = \"UK\"", 33, "`UK` is no word of `region`"),
            ("  region     = \"US\"\n", "", 31, "[[channel.when]] has no `region`"),
            ("  from       = \"acme.device\"\n", "", 36, "a bare port proves nothing: add `from` or another condition"),
            (
                "udp.port   = [8888, \"9000-9002\"]",
                "udp.port = [8888, 70000]",
                38,
                "udp.port: 70000 is not between 1 and 65535",
            ),
            ("udp.port   = [8888, \"9000-9002\"]", "udp.port = [8888, 8888]", 38, "`8888` stands here twice"),
            ("\".rate.acme.example\"]", "\n\".com\"]", 33, "host: `.com` is too broad"),
            ("\".rate.acme.example\"]", "\n\"*.acme.example\"]", 33, "a whole first label is no condition"),
            ("  region  = \"US\"\n", "", 42, "[[channel.example]] has no `region`"),
            ("what    = \"Logs", "that = \"Logs", 58, "unknown key `that` in [[gap]]"),
            ("[[gap]]", "[gap]", 55, "`gap` must be written as [[gap]]"),
        ];
        for (old, new, line, expected) in cases {
            assert!(GOOD.contains(old), "{old}");
            let mistakes = parse("acme.toml", &GOOD.replacen(old, new, 1)).err();
            let mistakes = mistakes.unwrap_or_else(|| panic!("no mistake for {new}"));
            let hit = mistakes.iter().any(|m| m.line == *line && m.reason.contains(expected) && m.file == "acme.toml");
            assert!(hit, "{new}: wanted line {line} `{expected}`, got {mistakes:?}");
        }
        let first =
            parse("acme.toml", &GOOD.replacen("region     = \"US\"", "region = \"us\"", 1)).unwrap_err().remove(0);
        assert!(first.to_string().starts_with("acme.toml:33: `us` is no word of `region`"), "{first}");
    }

    #[test]
    fn all_mistakes_of_a_file_come_at_once() {
        let text =
            GOOD.replacen("region     = \"US\"", "region = \"us\"", 1).replacen("product = \"Device\"", "x = 1", 1);
        let lines: Vec<u32> = parse("acme.toml", &text).unwrap_err().iter().map(|m| m.line).collect();
        assert_eq!(lines, [5, 7, 33]);
    }

    #[test]
    fn deep_nesting_and_garbage_do_no_harm() {
        assert!(parse("x.toml", &format!("a = {}", "[".repeat(100_000))).is_err());
        assert!(parse("x.toml", &"[[identity]]\n".repeat(1000)).is_err());
        assert!(parse("x.toml", "\u{0}").is_err());
        assert!(parse("x.toml", "").is_err());
    }

    proptest! {
        /// Whatever stands in a file, it is read or refused.
        #[test]
        fn damaged_files_are_read_or_refused(at in 0..GOOD.len(), cut in 0usize..40, put in "[\\x00-\\x7fä€]{0,6}") {
            let end = (at + cut).min(GOOD.len());
            let text = format!("{}{put}{}", &GOOD[..at], &GOOD[end..]);
            match Signatures::from_texts(vec![("acme.toml", &text)]) {
                Ok(signatures) => {
                    signatures.check(None);
                }
                Err(refused) => prop_assert!(refused.0.iter().all(|m| m.line as usize <= text.lines().count() + 1)),
            }
        }
    }

    /// Errors that need more than one entry, or examples: pieces of the good file changed, as above.
    /// A file whose identity reads the model, in one line with what its example states.
    fn reading(template: &str, stated: &str) -> String {
        let template = format!("x509.subject = \"CN=*,O=Acme*\"\n  model = {template}");
        let stated = format!("x509.subject = \"CN=AB-7-00012,O=Acme\"{stated}");
        GOOD.replacen("x509.subject = \"CN=*,O=Acme*\"", &template, 1).replacen(
            "x509.subject = \"CN=1,O=Acme\"",
            &stated,
            1,
        )
    }

    #[test]
    fn an_example_states_the_words_that_are_read() {
        let stated = "\n  model = \"AB-7\"";
        for (template, stated, expected) in [
            ("\"CN={4}*,O=Acme*\"", stated, None),
            ("[\"CN={}/*\", \"CN={4}*,O=Acme*\"]", stated, None),
            ("\"CN={4}*,O=Acme*\"", "", Some("states model none, what is read is AB-7")),
            ("\"CN={5}*,O=Acme*\"", stated, Some("states model AB-7, what is read is AB-7-")),
            ("\"OU={}\"", stated, Some("states model AB-7, what is read is none")),
        ] {
            let text = reading(template, stated);
            let signatures = super::super::Signatures::from_texts(vec![("acme.toml", &text)]).unwrap();
            let errors = signatures.check(None).errors();
            match expected {
                None => assert_eq!(errors, [], "{template}"),
                Some(reason) => {
                    assert_eq!(errors.len(), 1, "{template}: {errors:?}");
                    assert!(errors[0].reason.contains(reason), "{template}: {errors:?}");
                }
            }
        }
        let mistakes = parse("acme.toml", &reading("\"CN=AB\"", "")).unwrap_err();
        assert!(mistakes[0].to_string().starts_with("acme.toml:13: model: `CN=AB`: no `{}`"), "{mistakes:?}");
        let of_channel = GOOD.replacen("  region     = \"US\"", "  region = \"US\"\n  model = \"{}\"", 1);
        assert!(parse("acme.toml", &of_channel).unwrap_err()[0].reason.contains("unknown field `model`"));
    }

    #[test]
    fn checks_find_what_they_are_for() {
        let copy =
            GOOD[GOOD.find("[[channel]]").unwrap()..GOOD.find("[[gap]]").unwrap()].replace("acme.rating", "acme.other");
        let with_copy = |confidence: &str| {
            let copy = copy.replace("confidence = 95", confidence);
            GOOD.replace("[[gap]]", &format!("{copy}\n[[gap]]"))
        };
        let swap = |old: &str, new: &str| {
            assert!(GOOD.contains(old), "{old}");
            GOOD.replacen(old, new, 1)
        };
        let cases: &[(String, Level, u32, &str)] = &[
            (swap("\"CN=1,O=Acme\"", "\"CN=1,O=Bcme\""), Level::Error, 15, "does not match its own entry acme.device"),
            (
                swap("\"CN=1,O=Other\"", "\"CN=1,O=Acme AG\""),
                Level::Error,
                18,
                "this counterexample of acme.device matches its line 11",
            ),
            (swap("  region  = \"US\"", "  region = \"CH\""), Level::Error, 42, "states region CH, line 31 gives US"),
            (
                swap("  from     = [\"acme.device\"]\n", ""),
                Level::Error,
                46,
                "does not match its own entry acme.rating",
            ),
            (
                swap("id         = \"acme.rating\"", "id = \"acme.device\""),
                Level::Error,
                22,
                "the id `acme.device` stands at acme.toml:5 too",
            ),
            (
                swap("id         = \"acme.rating\"", "id = \"acne.rating\""),
                Level::Error,
                22,
                "does not begin with `acme.`",
            ),
            (
                swap("id      = \"acme.gap.logs\"", "id = \"acme.rating\""),
                Level::Error,
                55,
                "the id `acme.rating` stands at acme.toml:22 too",
            ),
            (
                swap("  from       = \"acme.device\"", "  from = \"acme.devise\""),
                Level::Error,
                37,
                "`from` names `acme.devise`, which is no identity",
            ),
            (
                swap("  from       = \"acme.device\"", "  from = \"acme.rating\""),
                Level::Error,
                37,
                "`from` names `acme.rating`, which is no identity",
            ),
            (
                swap("from     = [\"acme.device\"]", "from = [\"acme.device\", \"x.y\"]"),
                Level::Error,
                46,
                "`from` names `x.y`",
            ),
            (
                with_copy("confidence = 95"),
                Level::Error,
                64,
                "the same conditions with the same confidence as acme.toml:31 (acme.rating)",
            ),
            (
                with_copy("confidence = 90"),
                Level::Warning,
                64,
                "acme.other: never wins, because acme.toml:31 (acme.rating) always does",
            ),
            (
                with_copy("confidence = 90"),
                Level::Warning,
                75,
                "this example of acme.other goes to acme.rating (acme.toml:31)",
            ),
            (swap("checked = 2026-11-23", "checked = 2025-11-23"), Level::Warning, 3, "366 days ago"),
            (swap("checked = 2026-11-23", "checked = 2026-12-23"), Level::Warning, 3, "29 days ahead"),
            (
                swap("  confidence = 50", "  confidence = 70"),
                Level::Warning,
                36,
                "a port and a known host are worth 60 at most",
            ),
            (
                swap("  x509.subject = \"CN=*,O=Acme*\"", "  eth.oui = \"00090f\""),
                Level::Warning,
                11,
                "hardware address alone is worth 50",
            ),
            (
                swap("  x509.subject = \"CN=*,O=Acme*\"", "  tls.ja3 = \"e4d448cdfe06dc1243c1eb026c74ac9a\""),
                Level::Warning,
                11,
                "shared by unrelated programs",
            ),
        ];
        for (text, level, line, expected) in cases {
            let report = load(text).check(Some(jiff::civil::date(2026, 11, 24)));
            let hit = report.of_level(*level).any(|r| r.mistake.line == *line && r.mistake.reason.contains(expected));
            assert!(hit, "wanted line {line} `{expected}`, got\n{report}");
        }
        assert_eq!(load(GOOD).check(Some(jiff::civil::date(2027, 11, 23))).remarks, [], "365 days are not stale");
    }

    #[test]
    fn a_name_in_two_channels_with_the_same_confidence_is_a_warning() {
        let text = file_of(&[
            channel("a.one", "host = [\"x.acme.example\", \"y.acme.example\"]", 95, "tls.sni = \"x.acme.example\""),
            channel("a.two", "host = [\"y.acme.example\", \"z.acme.example\"]", 95, "tls.sni = \"z.acme.example\""),
        ]);
        let report = load(&text).check(None);
        let warnings: Vec<String> = report.remarks.iter().map(Remark::to_string).collect();
        assert_eq!(
            warnings,
            ["warning: acme.toml:28: a.two: acme.toml:11 (a.one) claims host y.acme.example with the same confidence"]
        );
    }

    /// Conditions that share a pattern are compared with so many others each; of more it is said.
    #[test]
    fn conditions_that_share_a_pattern() {
        let said = |count: usize| {
            let one = |n: usize| {
                let condition = format!("host = [\"x.acme.example\", \"y{n}.acme.example\"]");
                channel(&format!("a.n{n}"), &condition, 95, "tls.sni = \"x.acme.example\"")
            };
            let text = file_of(&(0..count).map(one).collect::<Vec<_>>());
            let report = load(&text).check(None);
            report.of_level(Level::Warning).filter(|remark| remark.mistake.reason.contains("not compared")).count()
        };
        assert_eq!((said(SHARING_MAX + 1), said(SHARING_MAX + 2)), (0, 1));
    }

    #[test]
    fn two_files_of_one_vendor_are_an_error() {
        let other = GOOD.replace("acme.", "bcme.").replace("\"Acme\"", "\"ACME\"");
        let signatures = Signatures::from_texts(vec![("a.toml", GOOD), ("b.toml", &other)]).unwrap();
        let errors = signatures.check(None).errors();
        assert!(
            errors.iter().any(|e| e.to_string().contains("b.toml: a.toml has the vendor `ACME` too")),
            "{errors:?}"
        );
    }

    #[test]
    fn the_report_counts_what_is_covered() {
        let report = load(GOOD).check(None);
        let coverage = &report.coverage[0];
        assert_eq!((coverage.identities, coverage.gaps, coverage.whens, coverage.names), (1, 1, 3, 2));
        assert_eq!(
            coverage.channels.iter().map(|(f, n)| (f.name(), *n)).collect::<Vec<_>>(),
            [("reputation-lookup", 1)]
        );
        assert!(report.to_string().ends_with("0 errors, 0 warnings, 0 notes\n"), "{report}");
    }

    use super::check::Remark;
}

mod choice {
    use super::*;

    #[test]
    fn the_strongest_channel_wins_and_weak_ones_are_left_out() {
        let signatures = load(&file_of(&[
            channel("a.other", "host = \".acme.example\"", 50, "tls.sni = \"acme.example\""),
            channel("a.update", "host = \".update.acme.example\"", 80, "tls.sni = \"update.acme.example\""),
            channel("a.eu", "host = \"eu.update.acme.example\"", 80, "tls.sni = \"eu.update.acme.example\""),
        ]));
        let chosen =
            |name: &str| selected(&signatures, &sni(name), &tls(443)).into_iter().map(|v| v.0).collect::<Vec<_>>();
        assert_eq!(chosen("www.acme.example"), ["a.other"]);
        assert_eq!(chosen("x.update.acme.example"), ["a.update"]);
        assert_eq!(chosen("EU.update.acme.example."), ["a.eu"], "of two with one confidence the longer name");
        assert_eq!(chosen("evilacme.example"), [""; 0]);
        assert_eq!(matching(&signatures, &sni("eu.update.acme.example"), &tls(443)).len(), 3);
    }

    #[test]
    fn more_conditions_beat_a_longer_name() {
        let signatures = load(&file_of(&[
            channel(
                "a.long",
                "host = \"very.long.name.acme.example\"",
                80,
                "tls.sni = \"very.long.name.acme.example\"",
            ),
            channel(
                "a.two",
                "host = \".acme.example\"\ntcp.port = 443",
                80,
                "tls.sni = \"acme.example\"\ntcp.port = 443",
            ),
        ]));
        let chosen = |port| selected(&signatures, &sni("very.long.name.acme.example"), &tls(port)).remove(0).0;
        assert_eq!(chosen(443), "a.two");
        assert_eq!(chosen(8443), "a.long");
    }

    #[test]
    fn the_last_tie_goes_to_the_smaller_id() {
        let signatures = load(&file_of(&[
            channel("a.zz", "host = \"x.acme.example\"", 80, "tls.sni = \"x.acme.example\""),
            channel("a.aa", "host = [\"x.acme.example\", \"y.acme.example\"]", 80, "tls.sni = \"y.acme.example\""),
        ]));
        assert_eq!(selected(&signatures, &sni("x.acme.example"), &tls(443))[0].0, "a.aa");
        assert_eq!(signatures.settle(&[0, 1], |_| false), [1]);
    }

    #[test]
    fn what_depends_on_the_host_is_settled_later() {
        let port = "from = \"a.device\"\nudp.port = 8888";
        let signatures = load(&file_of(&[
            identity("a.device", "x509.subject = \"CN=1\"", 95, "x509.subject = \"CN=1\""),
            channel("a.port", port, 50, "from = \"a.device\"\nudp.port = 8888"),
            channel("a.asn", "ip.asn = 64500", 40, "ip.asn = 64500"),
            channel(
                "a.strong",
                "from = [\"a.none\", \"a.device\"]\nhost = \"x.acme.example\"",
                90,
                "tls.sni = \"x.acme.example\"\nfrom = \"a.device\"",
            ),
            channel("a.named", "host = \".acme.example\"", 80, "tls.sni = \"acme.example\""),
        ]));
        let bare = flow("192.0.2.1", UDP, 8888);
        let with_asn = FlowValues { asn: Some(64500), ..bare };
        let mut scratch = Scratch::default();
        let mut whens = |facts: &Facts, values: &FlowValues| -> Vec<(WhenId, bool)> {
            signatures.select(facts, values, &mut scratch).iter().map(|hit| (hit.when, hit.conditional)).collect()
        };
        assert_eq!(whens(&Facts::default(), &bare), [(1, true)]);
        assert_eq!(signatures.settle(&[1], |_| false), [0; 0]);
        assert_eq!(signatures.settle(&[1], |id| id == "a.device"), [1]);
        // A weak one that surely holds stays as long as the better one is open.
        assert_eq!(whens(&Facts::default(), &with_asn), [(1, true), (2, false)]);
        assert_eq!(signatures.settle(&[1, 2], |_| false), [2]);
        assert_eq!(signatures.settle(&[1, 2], |id| id == "a.device"), [1]);
        // A name that is known for sure ends it for weaker ones, not for a better one that is open.
        assert_eq!(whens(&sni("x.acme.example"), &with_asn), [(3, true), (4, false)]);
        assert_eq!(signatures.settle(&[3, 4], |_| false), [4]);
        assert_eq!(signatures.settle(&[3, 4], |id| id == "a.device"), [3]);
        // Whoever passes all that hold gets the same.
        assert_eq!(signatures.settle(&[4, 3, 2, 1, 0, 1], |id| id == "a.device"), [0, 3]);
        assert_eq!(signatures.settle(&[999], |_| true), [0; 0], "an unknown number is nothing");
        assert_eq!(signatures.when(3).unwrap().when.from, ["a.none", "a.device"]);
    }

    #[test]
    fn an_identity_speaks_of_the_side_that_sent_it() {
        let signatures = load(&file_of(&[
            identity("a.server", "x509.subject = \"*O=Acme\"", 80, "x509.subject = \"CN=1,O=Acme\""),
            identity("a.maker", "eth.oui = \"00090f\"", 50, "eth.oui = \"00090f\""),
            identity(
                "a.client",
                "ip.dst = \"192.0.2.0/24\"\ntls.sni = \"x.acme.example\"",
                80,
                "tls.sni = \"x.acme.example\"\nip.dst = \"192.0.2.1\"",
            ),
        ]));
        let facts = facts(&[
            ("x509.subject", Side::Destination, "CN=2,O=Acme"),
            ("x509.subject", Side::Destination, "CN=1,O=Acme"),
            ("x509.subject", Side::Source, "CN=3,O=Other"),
            ("tls.sni", Side::Source, "X.acme.example"),
        ]);
        let values = FlowValues { ouis: [Some([0, 9, 15]), Some([0, 9, 15])], ..tls(443) };
        let mut scratch = Scratch::default();
        let verdicts = signatures.select(&facts, &values, &mut scratch);
        let hits: Vec<(WhenId, Side)> = verdicts.iter().map(|hit| (hit.when, hit.side)).collect();
        // The maker is weak: both sides are known better.
        assert_eq!(hits, [(0, Side::Destination), (2, Side::Source)]);
        let evidence: Vec<Evidence<'_>> = verdicts.evidence(&verdicts.hits()[0]).collect();
        assert_eq!(evidence.len(), 1);
        assert_eq!((evidence[0].field.name, evidence[0].value), ("x509.subject", &b"CN=2,O=Acme"[..]));
        assert_eq!((evidence[0].side, evidence[0].seen), (Side::Destination, Some(seen(1))));
        let evidence: Vec<Evidence<'_>> = verdicts.evidence(&verdicts.hits()[1]).collect();
        assert_eq!((evidence[0].field, evidence[0].value, evidence[0].seen), (&IP_DST, &[192, 0, 2, 1][..], None));
        assert_eq!((evidence[1].field.name, evidence[1].value), ("tls.sni", &b"X.acme.example"[..]));

        // Without the certificate, the maker of the destination counts, and that of the source does not.
        let hits: Vec<(WhenId, Side)> = {
            let verdicts = signatures.select(&sni("x.acme.example"), &values, &mut scratch);
            let oui = verdicts.iter().find(|hit| hit.when == 1).unwrap();
            let evidence: Vec<Evidence<'_>> = verdicts.evidence(oui).collect();
            assert_eq!(
                (evidence[0].field, evidence[0].value, evidence[0].side),
                (&ETH_OUI, &[0, 9, 15][..], Side::Destination)
            );
            verdicts.iter().map(|hit| (hit.when, hit.side)).collect()
        };
        assert_eq!(hits, [(1, Side::Destination), (2, Side::Source)]);
    }

    #[test]
    fn both_ends_can_be_assets() {
        let id = "hex:82 99 03 *";
        let signatures = load(&file_of(&[identity(
            "a.ike",
            &format!("ike.vendor_id = \"{id}\""),
            80,
            "ike.vendor_id = \"82990317\"",
        )]));
        let mut facts = Facts::default();
        for side in [Side::Source, Side::Destination] {
            facts.add(field("ike.vendor_id").unwrap(), side, seen(1), &[0x82, 0x99, 3, 0x17]);
        }
        let sides: Vec<Side> =
            selected(&signatures, &facts, &flow("192.0.2.1", UDP, 500)).into_iter().map(|v| v.2).collect();
        assert_eq!(sides, [Side::Source, Side::Destination]);
    }

    #[test]
    fn the_order_of_facts_changes_nothing() {
        let signatures = load(&file_of(&[
            identity("a.device", "tls.sni = \".acme.example\"", 80, "tls.sni = \"acme.example\""),
            channel("a.other", "host = \".acme.example\"", 80, "tls.sni = \"acme.example\""),
        ]));
        let all = [("tls.sni", "b.acme.example"), ("tls.sni", "a.acme.example"), ("http.host", "c.acme.example")];
        let outcome = |order: &[usize]| {
            let mut facts = Facts::default();
            for at in order {
                facts.add(field(all[*at].0).unwrap(), Side::Source, seen(7), all[*at].1.as_bytes());
            }
            let mut scratch = Scratch::default();
            let verdicts = signatures.select(&facts, &tls(443), &mut scratch);
            let evidence: Vec<Vec<u8>> = verdicts.evidence(&verdicts.hits()[0]).map(|e| e.value.to_vec()).collect();
            (verdicts.hits().to_vec(), evidence)
        };
        let expected = outcome(&[0, 1, 2]);
        assert_eq!(expected.1, [b"a.acme.example"]);
        for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            assert_eq!(outcome(&order), expected);
        }
    }

    #[test]
    fn ports_belong_to_their_transport() {
        let signatures = load(&file_of(&[
            channel(
                "a.tcp",
                "ip.dst = \"192.0.2.0/24\"\ntcp.port = \"500-600\"",
                80,
                "ip.dst = \"192.0.2.1\"\ntcp.port = 541",
            ),
            channel(
                "a.udp",
                "ip.dst = \"2001:db8::/32\"\nudp.port = 541",
                80,
                "ip.dst = \"2001:db8::1\"\nudp.port = 541",
            ),
        ]));
        let ids = |values: FlowValues| {
            selected(&signatures, &Facts::default(), &values).into_iter().map(|v| v.0).collect::<Vec<_>>()
        };
        assert_eq!(ids(flow("192.0.2.9", TCP, 541)), ["a.tcp"]);
        assert_eq!(ids(flow("::ffff:192.0.2.9", TCP, 541)), ["a.tcp"]);
        assert_eq!(ids(flow("192.0.2.9", UDP, 541)), [""; 0]);
        assert_eq!(ids(flow("2001:db8:1::1", UDP, 541)), ["a.udp"]);
        assert_eq!(ids(flow("2001:db9::1", UDP, 541)), [""; 0]);
        assert_eq!(ids(flow("192.0.3.1", TCP, 541)), [""; 0]);
    }

    #[test]
    fn one_scratch_serves_different_signatures() {
        let one =
            load(&file_of(&[channel("a.one", "host = \"one.acme.example\"", 80, "tls.sni = \"one.acme.example\"")]));
        let two =
            load(&file_of(&[channel("a.two", "host = \"two.acme.example\"", 80, "tls.sni = \"two.acme.example\"")]));
        let mut scratch = Scratch::default();
        for _ in 0..3 {
            assert_eq!(one.select(&sni("one.acme.example"), &tls(1), &mut scratch).hits().len(), 1);
            assert_eq!(two.select(&sni("one.acme.example"), &tls(1), &mut scratch).hits().len(), 0);
            assert_eq!(two.select(&sni("two.acme.example"), &tls(1), &mut scratch).hits().len(), 1);
            assert_eq!(one.select(&Facts::default(), &tls(1), &mut scratch).hits().len(), 0);
        }
    }
}

mod index_against_plain_reading {
    use super::*;

    fn name() -> impl Strategy<Value = String> {
        proptest::collection::vec(prop::sample::select(vec!["a", "b", "ab", "A", "evil"]), 1..4)
            .prop_map(|labels| format!("{}.example", labels.join(".")))
    }

    /// A field and a pattern for it, as written.
    fn condition() -> impl Strategy<Value = (&'static str, Vec<String>)> {
        let names = (prop::sample::select(vec!["host", "tls.sni", "dns.qname", "x509.san"]), name(), any::<bool>())
            .prop_map(|(field, name, below)| (field, format!("\"{}{name}\"", if below { "." } else { "" })));
        let texts = (prop::sample::select(vec!["x509.subject", "http.server", "ssh.banner"]), "[ab*]{1,5}")
            .prop_map(|(field, text)| (field, format!("\"{}a\"", text)));
        let hexes = (prop::sample::select(vec!["ike.vendor_id", "tls.ja3"]), "(0[12] |\\.\\. ){0,2}0[12]( \\*)?")
            .prop_map(|(field, text)| (field, format!("\"hex:{text}\"")));
        let numbers = (prop::sample::select(vec!["tcp.port", "udp.port", "ip.asn"]), 1u32..6, 0u32..3)
            .prop_map(|(field, low, more)| (field, format!("\"{low}-{}\"", low + more)));
        let prefixes =
            (prop::sample::select(vec!["ip.dst", "dns.answer"]), 0u8..4, prop::sample::select(vec![30u8, 31, 32]))
                .prop_map(|(field, host, bits)| (field, format!("\"192.0.2.{}/{bits}\"", host & (255 << (32 - bits)))));
        let ouis = (Just("eth.oui"), 0u8..2).prop_map(|(field, last)| (field, format!("\"0000{last:02x}\"")));
        let one = prop_oneof![4 => names, 3 => texts, 2 => hexes, 2 => numbers, 2 => prefixes, 1 => ouis];
        // More patterns of the same field: the same one changed a little would be refused as a double.
        one.prop_map(|(field, pattern)| (field, vec![pattern]))
    }

    fn file() -> impl Strategy<Value = String> {
        let when = (proptest::collection::vec(condition(), 1..4), any::<bool>(), 1u8..=100);
        proptest::collection::vec((when, any::<bool>()), 1..25).prop_map(|whens| {
            let mut text = HEAD.to_owned();
            for (number, ((conditions, from, confidence), is_identity)) in whens.into_iter().enumerate() {
                let mut merged: Vec<(&str, Vec<String>)> = Vec::new();
                for (field, patterns) in conditions {
                    match merged.iter_mut().find(|(other, _)| *other == field) {
                        Some((_, all)) => {
                            all.extend(patterns.into_iter().filter(|p| !all.contains(p)).collect::<Vec<_>>())
                        }
                        None => merged.push((field, patterns)),
                    }
                }
                let lower = |patterns: &[String]| {
                    let mut all: Vec<String> = patterns
                        .iter()
                        .map(|p| if p.contains(".example") { p.to_lowercase() } else { p.clone() })
                        .collect();
                    all.sort_unstable();
                    all.dedup();
                    all.join(", ")
                };
                let mut lines: Vec<String> =
                    merged.iter().map(|(field, patterns)| format!("{field} = [{}]", lower(patterns))).collect();
                let only_ports = merged.iter().all(|(field, _)| field.ends_with("port"));
                if is_identity && !only_ports {
                    text +=
                        &identity(&format!("a.i{number}"), &lines.join("\n"), confidence, "tls.sni = \"x.example\"");
                } else {
                    if from || only_ports {
                        lines.push("from = \"a.i0\"".to_owned());
                    }
                    text += &channel(&format!("a.c{number}"), &lines.join("\n"), confidence, "tls.sni = \"x.example\"");
                }
            }
            text
        })
    }

    fn fact() -> impl Strategy<Value = (&'static str, bool, Vec<u8>)> {
        let names = (
            prop::sample::select(vec!["tls.sni", "quic.sni", "dns.qname", "http.host", "connect.host", "x509.san"]),
            name(),
            any::<bool>(),
        )
            .prop_map(|(field, name, dot)| (field, format!("{name}{}", if dot { "." } else { "" }).into_bytes()));
        let texts =
            (prop::sample::select(vec!["x509.subject", "http.server", "ssh.banner", "http.path"]), "[ab]{0,6}a?")
                .prop_map(|(field, text)| (field, text.into_bytes()));
        let hexes = (prop::sample::select(vec!["ike.vendor_id", "tls.ja3"]), proptest::collection::vec(1u8..3, 0..4));
        let answers = (0u8..5).prop_map(|host| ("dns.answer", vec![192, 0, 2, host]));
        let one = prop_oneof![4 => names, 3 => texts, 2 => hexes, 1 => answers];
        (one, any::<bool>()).prop_map(|((field, value), side)| (field, side, value))
    }

    prop_compose! {
        fn values()(host in 0u8..5, udp in any::<bool>(), port in 0u16..9, asn in prop::option::of(1u32..9), ouis in any::<[Option<bool>; 2]>()) -> FlowValues {
            FlowValues {
                destination: IpAddr::from([192, 0, 2, host]),
                protocol: if udp { UDP } else { TCP },
                port,
                asn,
                ouis: ouis.map(|oui| oui.map(|last| [0, 0, u8::from(last)])),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn both_say_the_same(text in file(), flows in proptest::collection::vec((proptest::collection::vec(fact(), 0..6), values()), 1..6)) {
            let signatures = load(&text);
            let mut scratch = Scratch::default();
            for (all, values) in flows {
                let mut facts = Facts::default();
                for (name, source, value) in &all {
                    facts.add(field(name).unwrap(), if *source { Side::Source } else { Side::Destination }, seen(1), value);
                }
                let expected: Vec<WhenId> =
                    (0..signatures.index.len() as WhenId).filter(|id| holds(signatures.when(*id).unwrap().when, &facts, &values)).collect();
                prop_assert_eq!(signatures.index.matches(&facts, &values, &mut scratch), &expected[..], "{}", text);

                // The choice, from the same plain reading.
                let verdicts = signatures.select(&facts, &values, &mut scratch);
                let rule = |id: WhenId| signatures.when(id).unwrap();
                let sure: Vec<u8> = expected.iter().map(|id| rule(*id)).filter(|w| !w.entry.role.is_identity() && w.when.from.is_empty()).map(|w| w.when.confidence).collect();
                let strongest = sure.iter().max().copied();
                let chosen: Vec<WhenId> = verdicts.iter().filter(|hit| !hit.identity && !hit.conditional).map(|hit| hit.when).collect();
                prop_assert_eq!(chosen.len(), usize::from(strongest.is_some()));
                if let Some(one) = chosen.first() {
                    prop_assert_eq!(Some(rule(*one).when.confidence), strongest);
                }
                for hit in verdicts.iter() {
                    prop_assert!(expected.contains(&hit.when));
                    let evidence = verdicts.evidence(hit).count();
                    prop_assert_eq!(evidence, if hit.identity { rule(hit.when).when.conditions.len() } else { 0 });
                }
                for id in expected.iter().filter(|id| rule(**id).entry.role.is_identity() && rule(**id).when.confidence > 50) {
                    prop_assert!(verdicts.iter().any(|hit| hit.when == *id));
                }
                let candidates: Vec<WhenId> = verdicts.iter().map(|hit| hit.when).collect();
                for has in [false, true] {
                    let settled = signatures.settle(&candidates, |_| has);
                    let channels = settled.iter().filter(|id| !rule(**id).entry.role.is_identity());
                    let best = expected.iter().map(|id| rule(*id)).filter(|w| !w.entry.role.is_identity() && (has || w.when.from.is_empty())).map(|w| w.when.confidence).max();
                    prop_assert_eq!(channels.map(|id| rule(*id).when.confidence).collect::<Vec<_>>(), best.into_iter().collect::<Vec<_>>());
                }
            }
        }
    }
}

#[test]
fn the_digest_is_sha256_over_the_sorted_files() {
    let minimal = "format = 1\nvendor = \"A\"\nchecked = 2026-11-23\n";
    let other = "format = 1\nvendor = \"B\"\nchecked = 2026-11-23\n";
    // sha256 of b"a.toml\0" + length in eight bytes + text, and the same of b.toml, by Python's hashlib.
    let expected = "564ceefe806a09abe6c033731c2bcd1b1682c5969cc2bc5c38081b0d39bd4b2f";
    let one = Signatures::from_texts(vec![("a.toml", minimal), ("b.toml", other)]).unwrap();
    let two = Signatures::from_texts(vec![("b.toml", other), ("a.toml", minimal)]).unwrap();
    assert_eq!((one.digest.as_str(), two.digest.as_str()), (expected, expected));
    assert!(one.index.is_empty());
}
