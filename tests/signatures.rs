//! The built-in signatures, folders of signatures, and very many signatures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use bordertap::fact::{Facts, Seen, Side};
use bordertap::flow::key::protocol::{TCP, UDP};
use bordertap::parse::field;
use bordertap::signature::pattern::Pattern;
use bordertap::signature::print::{self, Format};
use bordertap::signature::select::holds;
use bordertap::signature::words::{Basis, Data, Function, GROUPS};
use bordertap::signature::{FlowValues, Scratch, Signatures, WhenId, WhenRef, builtin_names};

fn builtin() -> Signatures {
    Signatures::builtin().unwrap_or_else(|refused| panic!("{refused}"))
}

fn flow(destination: &str, protocol: u8, port: u16) -> FlowValues {
    FlowValues { destination: destination.parse().unwrap(), protocol, port, asn: None, ouis: [None; 2] }
}

fn facts(all: &[(&str, &[u8])]) -> Facts {
    let mut facts = Facts::default();
    for (name, value) in all {
        facts.add(field(name).unwrap_or_else(|| panic!("no field {name}")), Side::Source, Seen::default(), value);
    }
    facts
}

/// Ids of the entries whose conditions about the flow all hold.
fn holding(signatures: &Signatures, facts: &Facts, values: &FlowValues) -> BTreeSet<String> {
    let mut scratch = Scratch::default();
    let whens = signatures.index.matches(facts, values, &mut scratch);
    whens.iter().map(|when| signatures.when(*when).unwrap().entry.id.clone()).collect()
}

/// The channel that a flow gets when nothing is known of the host.
fn channel(signatures: &Signatures, facts: &Facts, values: &FlowValues) -> Option<String> {
    let mut scratch = Scratch::default();
    let candidates: Vec<WhenId> = signatures.select(facts, values, &mut scratch).iter().map(|hit| hit.when).collect();
    let settled = signatures.settle(&candidates, |_| false);
    let mut channels = settled.into_iter().map(|when| signatures.when(when).unwrap().entry);
    let first = channels.find(|entry| !entry.role.is_identity()).map(|entry| entry.id.clone());
    assert!(!channels.any(|entry| !entry.role.is_identity()), "two channels for one flow");
    first
}

mod built_in {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_in_the_list() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("signatures");
        let there: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".toml"))
            .collect();
        let listed: BTreeSet<String> = builtin_names().iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(listed, there, "src/signature/mod.rs lists the built-in files");
        assert!(builtin_names().windows(2).all(|pair| pair[0] < pair[1]), "by name");
    }

    #[test]
    fn no_check_finds_an_error() {
        let report = builtin().check(None);
        assert_eq!(report.errors(), []);
        assert_eq!(report.coverage.len(), builtin_names().len());
        // Of some vendors nothing shows itself on the wire; then a gap says so.
        assert!(report.coverage.iter().all(|vendor| vendor.identities + vendor.gaps > 0 && vendor.channels.len() > 1));
    }

    #[test]
    fn a_name_that_only_ends_alike_is_nobodys() {
        let signatures = builtin();
        for name in [
            "evilvmware.com",
            "evilfortinet.com",
            "notpaloaltonetworks.com",
            "mycheckpoint.com",
            "vmware.com.example.org",
        ] {
            for field in ["tls.sni", "dns.qname", "http.host", "connect.host", "quic.sni"] {
                let found = holding(&signatures, &facts(&[(field, name.as_bytes())]), &flow("192.0.2.1", TCP, 443));
                assert_eq!(found, BTreeSet::new(), "{field} {name}");
            }
        }
    }

    /// Every exact name of a channel that needs nothing else leads to a channel that is at least as strong.
    #[test]
    fn every_exact_name_leads_to_its_channel_or_a_better_one() {
        let signatures = builtin();
        let mut names = 0;
        for when in 0..signatures.index.len() as WhenId {
            let at = signatures.when(when).unwrap();
            let [condition] = at.when.conditions.as_slice() else { continue };
            if at.entry.role.is_identity() || condition.word != "host" || !at.when.from.is_empty() {
                continue;
            }
            for pattern in &condition.patterns {
                let Pattern::Name(name) = pattern else { continue };
                names += 1;
                let asked = format!("{}.", name.to_uppercase());
                let found =
                    channel(&signatures, &facts(&[("tls.sni", asked.as_bytes())]), &flow("192.0.2.1", TCP, 443));
                let (_, winner) = signatures.entry(&found.unwrap_or_else(|| panic!("{name}: no channel"))).unwrap();
                let strongest = winner.whens.iter().map(|w| w.confidence).max().unwrap();
                assert!(strongest >= at.when.confidence, "{name} of {} went to {}", at.matched(), winner.id);
            }
        }
        assert!(names > 100, "{names} names");
    }

    /// Values that lie near every pattern: the index says what a plain reading of all blocks says.
    #[test]
    fn the_index_agrees_with_a_plain_reading_near_every_pattern() {
        let signatures = builtin();
        let mut scratch = Scratch::default();
        let whens: Vec<WhenRef<'_>> =
            (0..signatures.index.len() as WhenId).map(|when| signatures.when(when).unwrap()).collect();
        let mut agreed = 0;
        for condition in whens.iter().flat_map(|when| &when.when.conditions) {
            let field = condition.fields[0];
            for pattern in &condition.patterns {
                for value in near(pattern) {
                    let mut facts = Facts::default();
                    let mut values = flow("192.0.2.1", TCP, 1);
                    match (field.name, value.as_slice()) {
                        ("tcp.port" | "udp.port", &[.., high, low]) => {
                            values.protocol = if field.name == "tcp.port" { TCP } else { UDP };
                            values.port = u16::from_be_bytes([high, low]);
                        }
                        ("ip.asn", &[.., a, b, c, d]) => values.asn = Some(u32::from_be_bytes([a, b, c, d])),
                        ("ip.dst", &[a, b, c, d]) => values.destination = [a, b, c, d].into(),
                        ("ip.dst", long) => values.destination = <[u8; 16]>::try_from(long).unwrap().into(),
                        ("eth.oui", &[a, b, c]) => values.ouis[1] = Some([a, b, c]),
                        (_, value) => facts.add(field, Side::Destination, Seen::default(), value),
                    }
                    let plain = whens.iter().enumerate().filter(|(_, when)| holds(when.when, &facts, &values));
                    let plain: Vec<WhenId> = plain.map(|(number, _)| number as WhenId).collect();
                    assert_eq!(
                        signatures.index.matches(&facts, &values, &mut scratch),
                        plain,
                        "{} {value:?}",
                        field.name
                    );
                    agreed += plain.len();
                }
            }
        }
        assert!(agreed > 1_000, "{agreed}");
    }

    /// A value that matches, and some that may just not.
    fn near(pattern: &Pattern) -> Vec<Vec<u8>> {
        match pattern {
            Pattern::Name(name) | Pattern::Below(name) => [
                name.to_string(),
                format!("{}.", name.to_uppercase()),
                format!("a.B.{name}"),
                format!("evil{name}"),
                format!("{name}.org"),
                format!(".{name}"),
            ]
            .map(String::into_bytes)
            .into(),
            Pattern::Label(name) => {
                let filled = |with: &str| name.replace('*', with);
                [
                    filled("a"),
                    filled("A-1").to_uppercase(),
                    filled(""),
                    filled("a.b"),
                    format!("x{}", filled("a")),
                    filled("a") + ".org",
                ]
                .map(String::into_bytes)
                .into()
            }
            Pattern::Text(text) => {
                [text.replace('*', ""), text.replace('*', ",x="), format!("x{text}"), format!("{text}x")]
                    .map(String::into_bytes)
                    .into()
            }
            Pattern::Hex(hex) => {
                let exact: Vec<u8> = hex.bytes.iter().map(|byte| byte.unwrap_or(7)).collect();
                let longer = [exact.as_slice(), &[0]].concat();
                let shorter = exact[..exact.len() - 1].to_vec();
                vec![exact, longer, shorter]
            }
            Pattern::Number(low, high) => {
                [low.wrapping_sub(1), *low, *high, high.wrapping_add(1)].map(|n| n.to_be_bytes().to_vec()).into()
            }
            Pattern::Prefix(IpAddr::V4(network), bits) => {
                let first = network.to_bits();
                let last = first | u32::MAX.checked_shr(u32::from(*bits)).unwrap_or(0);
                [first, last, first.wrapping_sub(1), last.wrapping_add(1)].map(|a| a.to_be_bytes().to_vec()).into()
            }
            Pattern::Prefix(IpAddr::V6(network), _) => vec![network.octets().to_vec()],
        }
    }

    #[test]
    fn loading_twice_gives_the_same() {
        let (one, two) = (builtin(), builtin());
        assert_eq!((one.digest.len(), one.digest.as_str()), (64, two.digest.as_str()));
        assert_eq!(one.list(Format::Json), two.list(Format::Json));
        for when in 0..one.index.len() as WhenId {
            assert_eq!(one.when(when).unwrap().matched(), two.when(when).unwrap().matched());
        }
    }

    /// `matched` points at the header of the block, as anybody who opens the file there will see.
    #[test]
    fn evidence_points_at_the_header_of_a_when() {
        let signatures = builtin();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("signatures");
        for file in &signatures.files {
            let text = fs::read_to_string(folder.join(&file.file)).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            let headers = lines.iter().filter(|line| {
                line.trim_start().starts_with("[[identity.when]]") || line.trim_start().starts_with("[[channel.when]]")
            });
            assert_eq!(file.entries.iter().map(|entry| entry.whens.len()).sum::<usize>(), headers.count());
            for when in file.entries.iter().flat_map(|entry| &entry.whens) {
                let line = lines[when.line as usize - 1].trim_start();
                assert!(line.starts_with("[[") && line.contains(".when]]"), "{}:{}: {line}", file.file, when.line);
            }
        }
    }
}

mod printing {
    use super::*;

    #[test]
    fn lists_name_every_entry_and_gap() {
        let signatures = builtin();
        let (text, md) = (signatures.list(Format::Text), signatures.list(Format::Md));
        let json: serde_json::Value = serde_json::from_str(&signatures.list(Format::Json)).unwrap();
        assert_eq!(json["digest"], signatures.digest.as_str());
        for (file, vendor) in signatures.files.iter().zip(json["vendors"].as_array().unwrap()) {
            assert_eq!(vendor["vendor"], file.vendor.as_str());
            let count = |key: &str| vendor[key].as_array().unwrap().len();
            assert_eq!(count("identities") + count("channels"), file.entries.len());
            assert_eq!(count("gaps"), file.gaps.len());
            let ids = file.entries.iter().map(|entry| &entry.id).chain(file.gaps.iter().map(|gap| &gap.id));
            for id in ids {
                assert!(text.contains(&format!("  {id} ")), "{id}");
                assert!(md.contains(&format!("`{id}`")), "{id}");
                let explained = signatures.explain(id).unwrap_or_else(|| panic!("{id} is not explained"));
                assert!(explained.starts_with(&format!("{id}\n")) && explained.contains(&file.vendor), "{explained}");
            }
        }
        assert_eq!(signatures.explain("nobody.knows"), None);
    }

    #[test]
    fn an_explanation_shows_where_it_is_from_and_how_to_turn_it_off() {
        let text = r#"format = 1
vendor = "Acme"
checked = 2026-11-23
[[channel]]
id = "acme.rating"
product = "Rating"
function = "reputation-lookup"
data = ["url"]
data_basis = "inferred"
basis = "vendor-document"
source = ["Acme manual, page 7"]
off_switch = "set rating off"
[[channel.when]]
host = [".rate.acme.example", "rate.example.org"]
tcp.port = "8000-8010"
region = "EU"
confidence = 95
[[channel.example]]
tls.sni = "a.rate.acme.example"
tcp.port = 8001
region = "EU"
[[channel.counterexample]]
why = "another port"
tls.sni = "a.rate.acme.example"
tcp.port = 443
"#;
        let signatures = Signatures::from_texts(vec![("acme.toml", text)]).unwrap();
        assert_eq!(signatures.check(None).remarks, []);
        let explained = signatures.explain("acme.rating").unwrap();
        for part in [
            "Acme manual, page 7",
            "set rating off",
            "url (inferred)",
            "acme.toml:13  confidence 95, region EU",
            "host = .rate.acme.example | rate.example.org",
            "tcp.port = 8000-8010",
            "acme.toml:22  tls.sni = a.rate.acme.example, tcp.port = 443  (another port)",
        ] {
            assert!(explained.contains(part), "no `{part}` in\n{explained}");
        }
    }

    #[test]
    fn fields_say_who_fills_them() {
        let fields = print::fields();
        let row = |name: &str| {
            let row = fields.lines().find(|line| line.split_whitespace().next() == Some(name));
            row.unwrap_or_else(|| panic!("no {name}")).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(row("tcp.port")[1..4], ["number", "every", "flow"]);
        assert_eq!(row("tls.sni")[1..3], ["name", "tls"]);
        assert_eq!(row("cdp.software_version")[1..3], ["text", "cdp"]);
    }
}

mod folder {
    use super::*;

    fn vendor(vendor: &str, prefix: &str, name: &str) -> String {
        format!(
            "format = 1\nvendor = \"{vendor}\"\nchecked = 2026-11-23\n\
             [[channel]]\nid = \"{prefix}.update\"\nproduct = \"P\"\nfunction = \"update\"\ndata = []\nbasis = \"observed\"\nsource = [\"S\"]\n\
             [[channel.when]]\nhost = \"{name}\"\nregion = \"any\"\nconfidence = 95\n\
             [[channel.example]]\ntls.sni = \"{name}\"\nregion = \"any\"\n\
             [[channel.counterexample]]\nwhy = \"other\"\ntls.sni = \"www.example.org\"\n"
        )
    }

    fn with_files(files: &[(&str, &str)]) -> Result<Signatures, String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        Signatures::with_dir(dir.path()).map_err(|refused| refused.to_string())
    }

    #[test]
    fn a_new_vendor_is_added_and_a_built_in_one_replaced() {
        let built_in = builtin();
        let new = vendor("Acme", "acme", "update.acme.example");
        let mine = vendor("FORTINET", "fortinet", "update.forti.example");
        let signatures =
            with_files(&[("acme.toml", &new), ("mine.toml", &mine), ("README.md", "not a signature")]).unwrap();
        let files: Vec<&str> = signatures.files.iter().map(|file| file.file.as_str()).collect();
        let mut expected = builtin_names();
        expected.retain(|name| *name != "fortinet.toml");
        expected.extend(["acme.toml", "mine.toml"]);
        expected.sort_unstable();
        assert_eq!(files, expected);
        assert_ne!(signatures.digest, built_in.digest);
        let sni = |name: &str| facts(&[("tls.sni", name.as_bytes())]);
        let values = flow("192.0.2.1", TCP, 443);
        assert_eq!(channel(&signatures, &sni("update.acme.example"), &values).as_deref(), Some("acme.update"));
        assert_eq!(channel(&signatures, &sni("update.forti.example"), &values).as_deref(), Some("fortinet.update"));
        assert_eq!(channel(&signatures, &sni("globalupdate.fortinet.net"), &values), None);
        assert!(channel(&built_in, &sni("globalupdate.fortinet.net"), &values).is_some());
    }

    #[test]
    fn mistakes_are_refused_with_file_and_line() {
        let good = vendor("Acme", "acme", "update.acme.example");
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[], "no .toml file in this folder"),
            (
                &[("a.toml", &good.replace("= 95", "= 950"))],
                "a.toml:14: `confidence` must be a whole number from 1 to 100",
            ),
            (
                &[("a.toml", &good.replace("tls.sni = \"update.", "tls.sni = \"down."))],
                "a.toml:15: this example does not match its own entry acme.update",
            ),
            (
                &[("a.toml", &good), ("b.toml", &good.replace("\"Acme\"", "\"Bcme\""))],
                "b.toml:4: the id `acme.update` stands at a.toml:4 too",
            ),
            (
                &[("a.toml", &good), ("b.toml", &good.replace("acme", "bcme"))],
                "b.toml: a.toml has the vendor `Acme` too",
            ),
            (&[("vmware.toml", &good)], "vmware.toml: this is the name of a built-in file of another vendor"),
        ];
        for (files, expected) in cases {
            let reason = with_files(files).err().unwrap_or_else(|| panic!("not refused: {expected}"));
            assert!(reason.contains(expected), "wanted `{expected}`, got {reason}");
        }
        let none = Signatures::with_dir(Path::new("no/such/folder")).unwrap_err().to_string();
        assert!(none.starts_with("no/such/folder: "), "{none}");
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.toml"), b"vendor = \"\xff\"").unwrap();
        assert!(Signatures::with_dir(dir.path()).unwrap_err().to_string().contains("UTF-8"));
    }
}

#[test]
fn the_example_of_the_readme_is_a_good_file() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("signatures/README.md")).unwrap();
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let signatures = Signatures::from_texts(vec![("acme.toml", example)]).unwrap_or_else(|refused| panic!("{refused}"));
    assert_eq!(signatures.check(None).remarks, []);
    // The page names every word of the closed lists.
    let words = Function::ALL.iter().map(|w| w.name()).chain(Basis::ALL.iter().map(|w| w.name()));
    for word in words.chain(Data::ALL.iter().map(|w| w.name())).chain(GROUPS.iter().map(|group| group.name)) {
        assert!(page.contains(&format!("`{word}`")), "{word}");
    }
}

/// Ten thousand channels of every kind of pattern: each flow finds its own and nothing else.
#[test]
fn ten_thousand_signatures_give_right_answers() {
    const COUNT: u32 = 10_000;
    let condition = |n: u32| match n % 5 {
        0 => format!("host = \"n{n}.v{}.example\"", n % 100),
        1 => format!("host = \".s{n}.v{}.example\"", n % 100),
        2 => format!("x509.subject = \"*CN=dev-{n}-*,O=V{}*\"", n % 7),
        3 => format!("ike.vendor_id = \"hex:{:02x} {:02x} .. 01 *\"", n >> 8, n & 255),
        _ => format!(
            "ip.dst = \"10.{}.{}.{}/{}\"\ntcp.port = {}",
            n >> 12,
            n >> 4 & 255,
            (n & 15) << 4,
            28,
            1 + n % 60_000
        ),
    };
    let mut text = "format = 1\nvendor = \"V\"\nchecked = 2026-11-23\n".to_owned();
    for n in 0..COUNT {
        write!(
            text,
            "[[channel]]\nid = \"v.c{n}\"\nproduct = \"P\"\nfunction = \"other\"\ndata = []\nbasis = \"observed\"\nsource = [\"S\"]\n\
             [[channel.when]]\n{}\nregion = \"any\"\nconfidence = 80\n\
             [[channel.example]]\ntls.sni = \"x.example\"\nregion = \"any\"\n\
             [[channel.counterexample]]\nwhy = \"w\"\ntls.sni = \"y.example\"\n",
            condition(n)
        )
        .unwrap();
    }
    let signatures = Signatures::from_texts(vec![("v.toml", &text)]).unwrap();
    assert_eq!((signatures.index.len(), signatures.files[0].entries.len()), (COUNT as usize, COUNT as usize));
    let elsewhere = flow("192.0.2.1", UDP, 7);
    let mut scratch = Scratch::default();
    let mut found = |facts: &Facts, values: &FlowValues| {
        let whens = signatures.index.matches(facts, values, &mut scratch);
        whens.iter().map(|when| signatures.when(*when).unwrap().entry.id.clone()).collect::<Vec<_>>()
    };
    for n in 0..COUNT {
        let (own, near) = match n % 5 {
            0 => {
                let name = format!("N{n}.v{}.example.", n % 100);
                let other = format!("a.n{n}.v{}.example", n % 100);
                (
                    found(&facts(&[("tls.sni", name.as_bytes())]), &elsewhere),
                    found(&facts(&[("tls.sni", other.as_bytes())]), &elsewhere),
                )
            }
            1 => {
                let name = format!("a.b.s{n}.v{}.example", n % 100);
                let other = format!("as{n}.v{}.example", n % 100);
                (
                    found(&facts(&[("dns.qname", name.as_bytes())]), &elsewhere),
                    found(&facts(&[("dns.qname", other.as_bytes())]), &elsewhere),
                )
            }
            2 => {
                let subject = format!("CN=dev-{n}-x,O=V{},C=US", n % 7);
                let other = format!("CN=dev-{n}-x,O=W{},C=US", n % 7);
                (
                    found(&facts(&[("x509.subject", subject.as_bytes())]), &elsewhere),
                    found(&facts(&[("x509.subject", other.as_bytes())]), &elsewhere),
                )
            }
            3 => {
                let bytes = [(n >> 8) as u8, n as u8, 9, 1, 7];
                (
                    found(&facts(&[("ike.vendor_id", &bytes)]), &elsewhere),
                    found(&facts(&[("ike.vendor_id", &bytes[..3])]), &elsewhere),
                )
            }
            _ => {
                let address = format!("10.{}.{}.{}", n >> 12, n >> 4 & 255, ((n & 15) << 4) + 15);
                let port = 1 + (n % 60_000) as u16;
                (
                    found(&Facts::default(), &flow(&address, TCP, port)),
                    found(&Facts::default(), &flow(&address, UDP, port)),
                )
            }
        };
        assert_eq!(own, [format!("v.c{n}")]);
        assert_eq!(near, [""; 0], "{n}");
    }
}
