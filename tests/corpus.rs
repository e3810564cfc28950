//! The built-in signatures against what others say: documented names, recorded banners, captures that have nothing to
//! do with any vendor, names that only look alike.
//!
//! `BORDERTAP_REGENERATE=1 cargo test --test corpus` writes `signatures/COVERAGE.md` and `signatures/proof.tsv` again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use bordertap::fact::{Facts, Seen, Side};
use bordertap::flow::key::protocol::TCP;
use bordertap::parse::field;
use bordertap::signature::file::HOST_FIELDS;
use bordertap::signature::{FlowValues, Scratch, Signatures, WhenRef};
use common::conversation::{Conversation, From};
use common::is_current;
use common::packets::Endpoint;
use common::tls::{self, Version};
use serde_json::Value;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The rows of a table of `fixtures/signatures`, without its comments.
fn table(name: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root("fixtures/signatures").join(name)).unwrap();
    let rows = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// What the program prints; it must end well.
fn run(args: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_bordertap")).args(args).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// The whole report on a capture; damaged ones are among them.
fn report(capture: &Path) -> Value {
    let args = ["scan", "-q", "--json", "-"].map(std::ffi::OsString::from);
    let done = Command::new(env!("CARGO_BIN_EXE_bordertap")).args(args).arg(capture).output().unwrap();
    match done.status.code() {
        // Nothing usable in it: there may be no report.
        Some(1) => serde_json::from_slice(&done.stdout).unwrap_or(Value::Null),
        Some(0 | 3) => serde_json::from_slice(&done.stdout).unwrap(),
        _ => panic!("{}: {}", capture.display(), String::from_utf8_lossy(&done.stderr)),
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The conditions that a flow with this one value satisfies.
fn matching<'s>(signatures: &'s Signatures, name: &str, value: &[u8]) -> Vec<WhenRef<'s>> {
    let mut facts = Facts::default();
    facts.add(field(name).unwrap_or_else(|| panic!("no field {name}")), Side::Source, Seen::default(), value);
    let destination = Ipv4Addr::new(192, 0, 2, 1).into();
    let values = FlowValues { destination, protocol: TCP, port: 443, asn: None, ouis: [None; 2] };
    let mut scratch = Scratch::default();
    let found = signatures.index.matches(&facts, &values, &mut scratch);
    found.iter().map(|when| signatures.when(*when).unwrap()).collect()
}

/// Vendors of the entries that a flow with this one value satisfies.
fn vendors<'s>(signatures: &'s Signatures, name: &str, value: &[u8]) -> BTreeSet<&'s str> {
    matching(signatures, name, value).into_iter().map(|when| when.file.vendor.as_str()).collect()
}

mod names {
    use super::*;

    /// Of a hundred documented names as many must be recognised.
    const RECOGNISED_PER_CENT: usize = 98;

    struct Name {
        name: String,
        vendor: String,
        functions: Vec<String>,
    }

    /// The documented names, and how many more are nobody's for a reason.
    fn documented() -> (Vec<Name>, Vec<String>) {
        let (mut names, mut left_out) = (Vec::new(), Vec::new());
        for row in table("names.tsv") {
            let [name, vendor, last] = row.as_slice() else { panic!("{row:?}") };
            assert!(!last.is_empty(), "{row:?}");
            if vendor == "-" {
                left_out.push(name.clone());
                continue;
            }
            let functions = last.split(',').map(str::to_owned).collect();
            names.push(Name { name: name.clone(), vendor: vendor.clone(), functions });
        }
        assert!(names.len() > 800, "{}", names.len());
        (names, left_out)
    }

    #[test]
    fn where_knows_vendor_and_function_of_documented_names() {
        let (names, left_out) = documented();
        let mut args = vec!["where"];
        args.extend(names.iter().map(|name| name.name.as_str()));
        let printed = run(&args);
        let mut answers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut name = "";
        for line in printed.lines() {
            match line.strip_prefix("  ") {
                Some(answer) => answers.entry(name).or_default().push(answer),
                None => name = line,
            }
        }
        let is_right = |wanted: &Name| {
            let of_vendor = |answer: &&&str| answer.starts_with(&format!("{} ", wanted.vendor));
            let channels =
                answers.get(wanted.name.as_str()).into_iter().flatten().filter(|a| a.contains(": function "));
            let first = channels.clone().next().filter(of_vendor);
            first.is_some_and(|answer| wanted.functions.iter().any(|f| answer.contains(&format!(": function {f},"))))
        };
        let missed: Vec<String> = names
            .iter()
            .filter(|name| !is_right(name))
            .map(|name| {
                format!(
                    "{} of {}: {:?}, not {:?}",
                    name.name,
                    name.vendor,
                    answers.get(name.name.as_str()),
                    name.functions
                )
            })
            .collect();
        assert!(missed.is_empty(), "{} names are not recognised:\n{}", missed.len(), missed.join("\n"));
        // What no name alone can tell is listed with its reason, and there is not much of it.
        let all = names.len() + left_out.len();
        println!("{} of {all} documented names are recognised", names.len());
        assert!(names.len() * 100 >= all * RECOGNISED_PER_CENT, "{} of {all}", names.len());
    }

    /// What is left out is left out for its reason: alone such a name is strong evidence of nobody.
    #[test]
    fn names_that_are_left_out_are_no_evidence() {
        let signatures = Signatures::builtin().unwrap();
        for name in documented().1 {
            let alone = signatures.naming(&name).into_iter().filter(|found| !found.when.asks_besides_names());
            for found in alone {
                assert!(found.when.confidence <= 50, "{name}: {}", found.matched());
            }
        }
    }

    /// The same names on the wire: a TLS flow for each, from hosts of their own.
    #[test]
    fn a_scan_finds_the_same_channels_in_packets() {
        let signatures = Signatures::builtin().unwrap();
        let mut names = documented().0;
        // Hosts that many share count only for a sender that is known.
        names
            .retain(|name| signatures.naming(&name.name).first().is_some_and(|found| !found.when.asks_besides_names()));
        assert!(names.len() > 800, "{}", names.len());
        let address = |n: usize| format!("10.77.{}.{}", n >> 8, n & 255);
        let mut packets = Vec::new();
        for (n, name) in names.iter().enumerate() {
            let client = Endpoint::new([2, 0, 0, 0, 0, 1], &address(n), 50_000);
            let server = Endpoint::new([2, 0, 0, 0, 0, 2], "198.51.100.7", 443);
            let mut flow =
                Conversation::new(client, server, 1_793_606_400_000_000_000 + n as u64 * 1_000_000, 20_000_000);
            flow.open().send(From::Client, &tls::client_hello(Version::Tls13, Some(&name.name)));
            flow.send(From::Server, &tls::server_hello(Version::Tls13));
            flow.send(From::Client, &tls::application_data(Version::Tls13, 400, n as u64)).close();
            packets.extend(flow.packets());
        }
        packets.sort_by_key(|packet| packet.time);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), common::capture::pcap(true, &packets)).unwrap();
        let report = report(file.path());
        let mut found: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
        for finding in array(&report["findings"]) {
            let text = |value: &'static str, key: &'static str| finding[value][key].as_str().unwrap();
            found.insert(text("asset", "ip"), (text("channel", "vendor"), text("channel", "function")));
        }
        let wrong: Vec<String> = (0..)
            .zip(&names)
            .filter(|(n, name)| {
                let channel = found.get(address(*n).as_str());
                !channel.is_some_and(|(vendor, function)| {
                    *vendor == name.vendor && name.functions.iter().any(|f| f == function)
                })
            })
            .map(|(n, name)| format!("{} of {}: {:?}", name.name, name.vendor, found.get(address(n).as_str())))
            .collect();
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), names.len(), wrong.join("\n"));
    }

    /// Names that somebody could take for those of a vendor.
    fn look_alikes(domain: &str) -> Vec<String> {
        let (label, zone) = domain.split_once('.').unwrap();
        let mut all: Vec<String> = ["not", "my", "evil", "the", "x", "www", "secure-", "login-", "update-", "1"]
            .map(|before| format!("{before}{domain}"))
            .into();
        all.extend(["x", "-inc", "-update", "s", "1", "-com", "-cloud"].map(|after| format!("{label}{after}.{zone}")));
        all.extend(
            ["example.org", "example.com", "evil.example.net", "com.example", "co", "cn.example", "login.example"]
                .map(|below| format!("{domain}.{below}")),
        );
        all.extend(
            ["example", "invalid", "test", "xyz", "top", "icu", "zip", "ru", "biz", "info", "click", "shop", "online"]
                .map(|tld| format!("{label}.{tld}"))
                .into_iter()
                .filter(|name| *name != domain),
        );
        all.extend(
            [
                ("o", "0"),
                ("l", "1"),
                ("i", "1"),
                ("e", "3"),
                ("a", "4"),
                ("i", "l"),
                ("m", "rn"),
                ("w", "vv"),
                ("o", "о"),
                ("a", "а"),
                ("e", "е"),
                ("c", "с"),
                ("i", "і"),
            ]
            .map(|(from, to)| format!("{}.{zone}", label.replacen(from, to, 1)))
            .into_iter()
            .filter(|name| name != domain),
        );
        for at in 0..label.len() {
            let (before, after) = label.split_at(at);
            all.push(format!("{before}{after}.{zone}", after = &after[1..]));
            all.push(format!("{before}{}{after}.{zone}", &after[..1]));
            all.push(format!("{before}-{after}.{zone}"));
        }
        all.push(format!("xn--{label}-9za.{zone}"));
        all.push(format!("{}.example", domain.replace('.', "-")));
        all.push(format!("{}.example.net", domain.replace('.', "_")));
        all.push(format!("{domain}{domain}"));
        all.push(format!("example.org/{domain}"));
        all.push(label.to_owned());
        all
    }

    #[test]
    fn look_alikes_of_every_vendor_are_nobodys() {
        let signatures = Signatures::builtin().unwrap();
        let (names, _) = documented();
        let mut domains: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut real = BTreeSet::new();
        for name in &names {
            let domain = psl::domain_str(&name.name).unwrap_or_else(|| panic!("{}", name.name)).to_owned();
            real.insert(domain.clone());
            domains.entry(name.vendor.clone()).or_default().insert(domain);
        }
        assert_eq!(domains.len(), signatures.files.len(), "every vendor has names");
        for (vendor, domains) in domains {
            let mut tried = 0;
            for look_alike in domains.iter().flat_map(|domain| look_alikes(domain)) {
                // Of two real domains one may look like the other.
                if psl::domain_str(&look_alike).is_some_and(|domain| real.contains(domain)) {
                    continue;
                }
                tried += 1;
                for form in [look_alike.clone(), format!("www.{look_alike}"), look_alike.to_uppercase()] {
                    for name in HOST_FIELDS {
                        let found = vendors(&signatures, name, form.as_bytes());
                        assert!(found.is_empty(), "{form} in {name} passes for {found:?}");
                    }
                }
            }
            assert!(tried >= 50, "{vendor}: {tried} look-alikes");
        }
    }
}

mod banners {
    use super::*;

    const IDENTIFIED_PER_CENT: usize = 95;

    /// Values that a public collection of fingerprints (rapid7/recog) recorded with their vendor.
    #[test]
    fn recorded_banners_identify_their_vendor() {
        let signatures = Signatures::builtin().unwrap();
        let rows = table("recog.tsv");
        let visible: Vec<_> = rows.iter().filter(|row| row[0] != "-").collect();
        let is_right = |row: &&&Vec<String>| {
            let [name, value, vendor] = row.as_slice() else { panic!("{row:?}") };
            vendors(&signatures, name, value.as_bytes()).contains(vendor.as_str())
        };
        let missed: Vec<_> = visible.iter().filter(|row| !is_right(row)).collect();
        println!("{} of {} identify their vendor", visible.len() - missed.len(), visible.len());
        assert!(visible.len() >= 20, "{}", visible.len());
        assert!((visible.len() - missed.len()) * 100 >= visible.len() * IDENTIFIED_PER_CENT, "missed: {missed:?}");
    }
}

mod words {
    use super::*;

    /// Model and version as other tools read them from the same values.
    #[test]
    fn model_and_version_are_those_that_others_read() {
        let signatures = Signatures::builtin().unwrap();
        let rows = table("models.tsv");
        assert!(rows.len() >= 10, "{}", rows.len());
        for row in rows {
            let [name, value, vendor, model, version] = row.as_slice() else { panic!("{row:?}") };
            let found = matching(&signatures, name, value.as_bytes());
            let mut read = [None, None];
            for when in found.iter().filter(|when| when.file.vendor == *vendor) {
                for (read, word) in read.iter_mut().zip(when.when.read(value)) {
                    *read = read.or(word);
                }
            }
            assert_eq!(read.map(|word| word.unwrap_or("-")), [model.as_str(), version.as_str()], "{row:?}");
        }
    }

    /// The certificate of the demonstration's FortiGate begins with its serial number, and that with the model's code.
    #[test]
    fn a_report_names_the_model() {
        let report = report(&root("fixtures/demo/four-vendors.pcapng"));
        let fortigate = array(&report["assets"]).iter().find(|asset| asset["vendor"] == "Fortinet").unwrap();
        let subject = array(&fortigate["evidence"]).iter().find(|piece| piece["field"] == "x509.subject").unwrap();
        let (_, serial) = subject["value"].as_str().unwrap().split_once("CN=").unwrap();
        assert_eq!(fortigate["model"].as_str(), serial.get(..6), "{subject}");
    }
}

mod captures {
    use super::*;

    fn is_made(path: &str) -> bool {
        path.starts_with("demo/")
    }

    /// Captures under `fixtures`, and those of a folder that the environment names.
    fn all() -> Vec<(String, PathBuf)> {
        let endings = ["pcap", "pcapng", "zst", "gz", "xz", "lz4"];
        let mut all: Vec<(String, PathBuf)> = common::sample::fixture_files(&endings)
            .into_iter()
            .map(|path| (path.strip_prefix(root("fixtures")).unwrap().to_str().unwrap().to_owned(), path))
            .collect();
        assert!(all.len() > 50, "{}", all.len());
        if let Some(folder) = std::env::var_os("BORDERTAP_CAPTURES") {
            let more = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let more = more.filter(|path| path.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending)));
            all.extend(more.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path)));
        }
        all
    }

    /// Ids of signatures with their vendors.
    type Found = BTreeSet<(String, String)>;

    /// The signatures behind assets and findings.
    fn found(report: &Value) -> Found {
        let pair = |id: &Value, vendor: &Value| (id.as_str().unwrap().to_owned(), vendor.as_str().unwrap().to_owned());
        let assets = array(&report["assets"]).iter();
        let assets =
            assets.flat_map(|a| array(&a["evidence"]).iter().map(move |e| pair(&e["signature"], &a["vendor"])));
        let findings = array(&report["findings"]).iter().map(|f| pair(&f["channel"]["id"], &f["channel"]["vendor"]));
        assets.chain(findings).collect()
    }

    /// What is found in each of these captures.
    static FOUND: LazyLock<Vec<(String, Found)>> =
        LazyLock::new(|| all().into_iter().map(|(name, path)| (name, found(&report(&path)))).collect());

    /// Captures of other things show no vendor, save those of a list that says why.
    #[test]
    fn unrelated_captures_show_no_vendor() {
        let known: BTreeMap<(String, String), String> = table("vendors-in-captures.tsv")
            .into_iter()
            .map(|row| {
                let [file, id, why] = <[String; 3]>::try_from(row).unwrap();
                assert!(why.len() > 10, "{file} {id}: {why}");
                ((file, id), why)
            })
            .collect();
        let mut unexpected = Vec::new();
        let mut seen = BTreeSet::new();
        let base = |name: &str| name.rsplit('/').next().unwrap().to_owned();
        for (name, found) in FOUND.iter().filter(|(name, _)| !is_made(name)) {
            for (id, vendor) in found {
                let sight = (base(name), id.clone());
                if !known.contains_key(&sight) {
                    unexpected.push(format!("{name}\t{id}\t{vendor}"));
                }
                seen.insert(sight);
            }
        }
        assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
        let there: BTreeSet<String> = FOUND.iter().map(|(name, _)| base(name)).collect();
        let gone: Vec<_> = known.keys().filter(|sight| there.contains(&sight.0) && !seen.contains(*sight)).collect();
        assert!(gone.is_empty(), "listed and not found: {gone:?}");
    }

    /// `signatures explain` names the captures that prove an entry: this list.
    #[test]
    fn the_list_of_proofs_is_current() {
        let mut proofs = BTreeSet::new();
        // Those of this folder stand under a topic.
        for (name, found) in FOUND.iter().filter(|(name, _)| name.contains('/')) {
            let made = if is_made(name) { "made" } else { "recorded" };
            proofs.extend(found.iter().map(|(id, _)| format!("{id}\t{name}\t{made}")));
        }
        proofs.retain(|line| !line.starts_with("unexplained\t"));
        let made = proofs.iter().fold(
            "# id, capture below fixtures/, recorded or made; written by tests/corpus.rs\n".to_owned(),
            |all, line| all + line + "\n",
        );
        is_current("signatures/proof.tsv", made.as_bytes());
        let signatures = Signatures::builtin().unwrap();
        for line in &proofs {
            let (id, rest) = line.split_once('\t').unwrap();
            let explained = signatures.explain(id).unwrap_or_else(|| panic!("{id}"));
            assert!(explained.contains(&format!("fixtures/{}", rest.split('\t').next().unwrap())), "{explained}");
        }
    }
}

#[test]
fn the_page_of_coverage_is_current() {
    let page = run(&["signatures", "coverage"]);
    for file in Signatures::builtin().unwrap().files {
        assert!(page.contains(&format!("## {}", file.vendor)), "{}", file.vendor);
    }
    is_current("signatures/COVERAGE.md", page.as_bytes());
}
