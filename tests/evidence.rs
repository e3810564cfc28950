//! Bundles of evidence: what is in them, what is not, and whether they hold.
//!
//! In: the demonstration capture, as it is and inside tunnels, fragments and raw IP, and captures with planted secrets. Out:
//! every finding comes out of its own file alone. tshark reads the files, openssl the signatures, sha256sum the digests;
//! where one of them is missing the test says `NOT RUN` on standard error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock};

use bordertap::capture::Inputs;
use bordertap::collect::Judging;
use bordertap::evidence::{
    self, BUNDLE_BYTES_MAX, Bundle, Checked, FINDING_BYTES_MAX, FINDING_PACKETS_MAX, FINDINGS_MAX, Folder,
    HEADERS_PER_FLOW_MAX, Options, PIECES_PER_FINDING_MAX, Payload, Standing, VerifyKey, Wish,
};
use bordertap::place::Places;
use bordertap::policy::Policy;
use bordertap::scan::Scan;
use bordertap::signature::Signatures;
use serde_json::Value;

use common::capture;
use common::conversation::{Conversation, From};
use common::demo;
use common::der::{self, Part};
use common::messages::{http_request, http_response};
use common::packets::{Endpoint, Packet, checksum};
use common::program::{root, run};
use common::tls::{self, Version};

const DEMO: &str = "fixtures/demo/four-vendors.pcapng";
/// What must not leave the sensor.
const SECRETS: &[&str] = &[
    "PLANTEDQUERY",
    "PLANTEDCOOKIE",
    "PLANTEDAUTH",
    "PLANTEDBODY",
    "PLANTEDSET",
    "PLANTEDPAGE",
    "PLANTEDLATER",
    "PLANTEDPATH",
    "PLANTEDAGENT",
];

/// Past the harness, which keeps what a test prints to itself.
fn not_run(what: &str, why: &str) {
    let mut say = io::stderr();
    writeln!(say, "\nNOT RUN: {what}: {why}\n").unwrap();
}

/// What another program says; nothing, and told so, where it is missing.
fn tool(test: &str, program: &str, args: &[&str]) -> Option<Output> {
    match Command::new(program).args(args).output() {
        Ok(output) => Some(output),
        Err(error) => {
            not_run(test, &format!("{program}: {error}"));
            None
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A bundle of a capture in a folder that goes with the test.
struct Made {
    folder: tempfile::TempDir,
}

impl Made {
    /// Scans an input with more arguments.
    fn of(input: &str, more: &[&str]) -> Made {
        let made = Made { folder: tempfile::tempdir().unwrap() };
        let dir = made.path();
        let args = [&["scan", input, "-q", "--evidence", dir.to_str().unwrap()], more].concat();
        let output = run(&args);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        made
    }

    /// Of packets, in the form of a file.
    fn of_bytes(bytes: &[u8], more: &[&str]) -> Made {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        Made::of(file.path().to_str().unwrap(), more)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("bundle")
    }

    fn manifest(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path().join("manifest.json")).unwrap()).unwrap()
    }

    /// Every file with its bytes.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.path()).unwrap().flatten();
        entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
    }

    fn packets_files(&self) -> Vec<PathBuf> {
        let names = self.files().into_keys().filter(|name| name.ends_with(".pcapng"));
        names.map(|name| self.path().join(name)).collect()
    }

    fn check(&self) -> Checked {
        Bundle::open(&self.path()).unwrap().check(&judging(), None)
    }

    /// All holds and every finding comes out the same; how many there are.
    fn is_good(&self) -> usize {
        let checked = self.check();
        let unlike: Vec<_> = checked.files.iter().filter(|file| !file.same).collect();
        assert!(checked.good, "{:?} {unlike:#?}", checked.damage);
        checked.files.len()
    }

    fn is_bad(&self) -> bool {
        Bundle::open(&self.path()).map_or(true, |bundle| !bundle.check(&judging(), None).good)
    }
}

/// What is built in, read once.
fn judging() -> Judging {
    static BUILT_IN: LazyLock<Judging> = LazyLock::new(|| Judging {
        signatures: Arc::new(Signatures::builtin().unwrap()),
        places: Arc::new(Places::builtin()),
        policy: Arc::new(Policy::new(None, None, None).unwrap()),
        baseline: None,
    });
    BUILT_IN.clone()
}

fn fits(schema: &str, document: &Value) {
    let schema = fs::read(root().join(format!("fixtures/schema/{schema}.json"))).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_slice(&schema).unwrap()).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(document).map(|e| format!("{e} at {}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

fn demo_of(ip: &str) -> Made {
    Made::of(DEMO, &["-f", &format!("host {ip}")])
}

#[test]
fn every_finding_comes_out_of_its_file_alone() {
    let made = Made::of(DEMO, &[]);
    let findings = run(&["scan", DEMO, "-q", "--findings", "-"]);
    let findings: Vec<Value> = text(&findings.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(made.is_good(), findings.len());
    let manifest = made.manifest();
    let proofs = manifest["files"].as_array().unwrap();
    for (finding, proof) in findings.iter().zip(proofs) {
        let subject = &proof["finding"];
        assert_eq!(subject["id"], finding["id"]);
        assert_eq!(subject["vendor"], finding["asset"]["vendor"]);
        assert_eq!(subject["channel"], finding["channel"]["id"]);
        assert_eq!(subject["domain"], finding["destination"]["domain"]);
        assert_eq!(subject["crossing"], finding["crossing"]);
        assert_eq!(proof["unlike"], Value::Array(Vec::new()));
    }
    fits("manifest", &manifest);
    let verify = run(&["verify", made.path().to_str().unwrap(), "--json", "-"]);
    assert_eq!(verify.status.code(), Some(0), "{}", text(&verify.stderr));
    let said: Value = serde_json::from_slice(&verify.stdout).unwrap();
    fits("verify", &said);
    assert_eq!((&said["good"], &said["signature"]), (&Value::Bool(true), &Value::from("unsigned")));
    let as_text = text(&run(&["verify", made.path().to_str().unwrap()]).stdout);
    assert!(as_text.contains(&format!("{0} of {0} findings come out the same", findings.len())), "{as_text}");
    assert!(as_text.contains("volumes are not compared"));
}

#[test]
fn the_digest_of_the_input_is_that_of_the_file() {
    let made = demo_of("10.20.0.3");
    let Some(output) = tool("digests", "sha256sum", &[root().join(DEMO).to_str().unwrap()]) else { return };
    let manifest = made.manifest();
    assert_eq!(manifest["inputs"][0]["sha256"].as_str(), text(&output.stdout).split_whitespace().next());
    assert_eq!(manifest["options"]["filter"], "host 10.20.0.3");
    let check = Command::new("sha256sum").args(["-c", "--quiet", "SHA256SUMS"]).current_dir(made.path()).output();
    assert!(check.unwrap().status.success());
}

/// What tshark says of a capture, a line a packet.
fn tshark(test: &str, file: &Path, more: &[&str]) -> Option<Vec<String>> {
    let args = [&["-n", "-r", file.to_str().unwrap()], more].concat();
    let output = tool(test, "tshark", &args)?;
    assert!(output.status.success(), "{}", text(&output.stderr));
    Some(text(&output.stdout).lines().map(str::to_owned).collect())
}

#[test]
fn tshark_reads_the_files() {
    const TEST: &str = "tshark_reads_the_files";
    let fields = ["frame.time_epoch", "frame.len", "frame.encap_type"];
    let more = ["frame.interface_name", "tls.handshake.extensions_server_name", "frame.comment"];
    let read = |file: &Path, fields: &[&str]| {
        let fields = fields.iter().flat_map(|field| ["-e", field]);
        tshark(TEST, file, &["-T", "fields"].into_iter().chain(fields).collect::<Vec<_>>())
    };
    let Some(all) = read(&root().join(DEMO), &fields) else { return };
    let all: BTreeSet<String> = all.into_iter().collect();
    let made = demo_of("10.20.0.1 or host 10.20.0.3");
    for proof in made.manifest()["files"].as_array().unwrap() {
        let file = made.path().join(proof["file"].as_str().unwrap());
        let there = read(&file, &[&fields[..], &more].concat()).unwrap();
        assert_eq!(there.len() as u64, proof["packets"].as_u64().unwrap(), "{file:?}");
        assert!(tshark(TEST, &file, &["-Y", "_ws.malformed"]).unwrap().is_empty(), "{file:?}");
        let mut comments = String::new();
        for line in there {
            let columns: Vec<&str> = line.splitn(6, '\t').collect();
            assert!(all.contains(&columns[..3].join("\t")), "times, lengths and link type are the original ones");
            assert_eq!(columns[3], "span0");
            // What tshark reads in the hello is what the remark on that very packet says.
            let (name, remarks) = (columns[4], columns[5]);
            assert!(name.is_empty() || remarks.contains(&format!("tls.sni = {name}")), "{line}");
            comments.push_str(remarks);
            comments.push('\n');
        }
        let subject = &proof["finding"];
        if let Some(name) = subject["domain"].as_str() {
            let said = ["tls.sni", "http.host", "connect.host", "dns.qname", "quic.sni"]
                .iter()
                .any(|field| comments.contains(&format!("{field} = {name}")));
            assert!(said || comments.contains(&format!(" for {name}")), "{name}: {comments}");
        }
        let channel = subject["channel"].as_str().unwrap();
        if channel != "unexplained" && subject["domain"].is_string() {
            assert!(comments.contains(&format!("({channel}, ")), "{channel}: {comments}");
        }
    }
}

/// Packets as a GRE tunnel carries them (RFC 2784).
fn in_gre(packet: &Packet) -> Packet {
    let ip = &packet.bytes[14..];
    let mut inner = vec![0, 0, packet.bytes[12], packet.bytes[13]];
    inner.extend_from_slice(ip);
    let outer = common::packets::ip("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap(), 47, 1, &inner);
    let mut bytes = packet.bytes[..12].to_vec();
    bytes.extend_from_slice(&[8, 0]);
    bytes.extend_from_slice(&outer);
    Packet::new(packet.time, bytes)
}

fn is_ipv4(packet: &Packet) -> bool {
    packet.bytes[12..14] == [8, 0]
}

/// Cuts an IPv4 packet without options into fragments of so many bytes (RFC 791, section 3.2).
fn in_fragments(packet: &Packet, size: usize) -> Vec<Packet> {
    let total = usize::from(u16::from_be_bytes([packet.bytes[16], packet.bytes[17]]));
    let (header, payload) = (&packet.bytes[14..34], &packet.bytes[34..14 + total]);
    if packet.bytes[14] != 0x45 || payload.len() <= size {
        return vec![packet.clone()];
    }
    let pieces = payload.chunks(size).enumerate();
    let made = pieces.map(|(n, piece)| {
        let mut header = header.to_vec();
        header[2..4].copy_from_slice(&(20 + piece.len() as u16).to_be_bytes());
        let more = if (n + 1) * size < payload.len() { 0x2000 } else { 0 };
        header[6..8].copy_from_slice(&(more | (n * size / 8) as u16).to_be_bytes());
        header[10..12].copy_from_slice(&[0, 0]);
        let sum = checksum(&[&header]);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        let mut bytes = packet.bytes[..14].to_vec();
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(piece);
        Packet::new(packet.time, bytes)
    });
    made.collect()
}

#[test]
fn tunnels_fragments_and_raw_ip_are_kept_as_they_came() {
    let packets = demo::packets();
    let gre: Vec<Packet> = packets.iter().filter(|p| is_ipv4(p)).map(in_gre).collect();
    let made = Made::of_bytes(&capture::pcapng("", "gre0", &gre), &[]);
    assert!(made.is_good() >= 20);

    let fragments: Vec<Packet> =
        packets.iter().filter(|p| is_ipv4(p)).flat_map(|packet| in_fragments(packet, 128)).collect();
    assert!(fragments.len() > packets.len());
    let made = Made::of_bytes(&capture::pcap(true, &fragments), &[]);
    assert!(made.is_good() >= 20);
    let limits = made.manifest()["limits"].clone();
    assert_eq!(limits, serde_json::json!({}), "no limit was reached");

    let raw: Vec<Packet> =
        packets.iter().filter(|p| is_ipv4(p)).map(|p| Packet::new(p.time, p.bytes[14..].to_vec())).collect();
    let mut file = capture::pcap(true, &raw);
    // LINKTYPE_RAW stands in the last four bytes of the header.
    file[20..24].copy_from_slice(&101u32.to_le_bytes());
    let made = Made::of_bytes(&file, &[]);
    assert!(made.is_good() >= 20);
    for file in made.packets_files() {
        let Some(links) = tshark("raw IP", &file, &["-T", "fields", "-e", "frame.encap_type"]) else { return };
        assert!(links.iter().all(|link| link == "7"), "WTAP_ENCAP_RAW_IP: {links:?}");
    }
}

const FORTIGATE: [u8; 6] = [0x00, 0x09, 0x0f, 1, 2, 3];
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn ends(port: u16) -> (Endpoint, Endpoint) {
    (Endpoint::new(FORTIGATE, "10.9.0.1", 50_000), Endpoint::new(ROUTER, "173.243.138.100", port))
}

fn tls_flow(name: &str, mss: usize) -> Vec<Packet> {
    let (client, server) = ends(443);
    let mut flow = Conversation::new(client, server, demo::START_NS, 20_000_000).with_mss(mss);
    flow.open();
    flow.send(From::Client, &tls::client_hello(Version::Tls13, Some(name)));
    flow.send(From::Server, &tls::server_hello(Version::Tls13));
    flow.send(From::Server, &tls::application_data(Version::Tls13, 2_000, 1));
    flow.send(From::Client, &tls::application_data(Version::Tls13, 20_000, 2));
    flow.send(From::Server, &tls::application_data(Version::Tls13, 20_000, 3));
    flow.close();
    flow.packets()
}

#[test]
fn a_hello_in_many_segments_is_kept_whole_and_what_follows_is_not() {
    let packets = tls_flow("globalupdate.fortinet.net", 100);
    let made = Made::of_bytes(&capture::pcapng("", "eth1", &packets), &[]);
    assert_eq!(made.is_good(), 1);
    let there = made.manifest()["files"][0]["packets"].as_u64().unwrap();
    assert!((8..40).contains(&there), "{there} of {} packets", packets.len());
    let file = made.packets_files().remove(0);
    let data = tls::application_data(Version::Tls13, 20_000, 2);
    let kept = fs::read(&file).unwrap();
    assert!(!data[5..].windows(16).step_by(16).any(|piece| kept.windows(16).any(|there| there == piece)));
    let Some(names) = tshark("hello", &file, &["-T", "fields", "-e", "tls.handshake.extensions_server_name"]) else {
        return;
    };
    assert!(names.iter().any(|name| name == "globalupdate.fortinet.net"), "{names:?}");
}

#[test]
fn copies_that_contradict_each_other_are_both_kept() {
    let (name, other) = ("globalupdate.fortinet.net", "images.holidays-shop.test");
    let packets = tls_flow(name, 1460);
    let hello = packets.iter().position(|packet| packet.bytes.windows(25).any(|at| at == name.as_bytes())).unwrap();
    for copy_first in [true, false] {
        let mut copy = packets[hello].clone();
        let at = copy.bytes.windows(25).position(|at| at == name.as_bytes()).unwrap();
        copy.bytes[at..at + 25].copy_from_slice(other.as_bytes());
        let mut packets = packets.clone();
        copy.time = if copy_first { copy.time - 1_000 } else { copy.time + 1_000 };
        packets.insert(hello + usize::from(!copy_first), copy);
        let made = Made::of_bytes(&capture::pcapng("", "eth1", &packets), &[]);
        assert_eq!(made.is_good(), 1);
        let kept = fs::read(made.packets_files().remove(0)).unwrap();
        assert!([name, other].iter().all(|name| kept.windows(25).any(|at| at == name.as_bytes())));
    }
}

/// A flow of HTTP in which everything but the name is nobody's business.
fn http_flow() -> Vec<Packet> {
    let (client, server) = ends(80);
    let mut flow = Conversation::new(client, server, demo::START_NS, 20_000_000);
    flow.open();
    let headers = [
        ("Cookie", "sid=PLANTEDCOOKIE; theme=PLANTEDCOOKIE"),
        ("Authorization", "Basic PLANTEDAUTH=="),
        ("Host", "globalupdate.fortinet.net"),
        ("User-Agent", "PLANTEDAGENT/1.0"),
        ("X-Forwarded-For", "PLANTEDAUTH"),
    ];
    let target = "/PLANTEDPATH/x?token=PLANTEDQUERY&user=PLANTEDQUERY";
    flow.send(From::Client, &http_request("POST", target, &headers, b"user=PLANTEDBODY&pass=PLANTEDBODY"));
    let headers = [("Set-Cookie", "sid=PLANTEDSET; HttpOnly"), ("Content-Type", "text/html")];
    flow.send(From::Server, &http_response(200, "OK", &headers, b"<p>PLANTEDPAGE</p>"));
    flow.send(From::Client, &http_request("GET", "/PLANTEDLATER", &[("Cookie", "PLANTEDLATER")], b""));
    flow.send(From::Server, &http_response(200, "OK", &[("Set-Cookie", "PLANTEDLATER")], &b"PLANTEDLATER".repeat(500)));
    flow.close();
    flow.packets()
}

fn holds(made: &Made, secret: &str) -> bool {
    let secret = secret.as_bytes();
    made.files().values().any(|bytes| bytes.windows(secret.len()).any(|there| there == secret))
}

#[test]
fn no_secret_is_kept() {
    let packets = http_flow();
    let file = capture::pcapng("", "eth1", &packets);
    assert!(SECRETS.iter().all(|secret| file.windows(secret.len()).any(|there| there == secret.as_bytes())));
    for (name, file) in [
        ("pcapng", file.clone()),
        ("fragments", {
            let pieces: Vec<Packet> = packets.iter().flat_map(|packet| in_fragments(packet, 64)).collect();
            capture::pcapng("", "eth1", &pieces)
        }),
    ] {
        let made = Made::of_bytes(&file, &[]);
        assert_eq!(made.is_good(), 1, "{name}");
        for secret in SECRETS {
            assert!(!holds(&made, secret), "{name}: {secret}");
        }
        assert!(holds(&made, "globalupdate.fortinet.net"), "{name}");
    }
    let made = Made::of_bytes(&file, &[]);
    let packets_file = made.packets_files().remove(0);
    if let Some(hosts) = tshark("no_secret_is_kept", &packets_file, &["-T", "fields", "-e", "http.host"]) {
        assert!(hosts.iter().any(|host| host == "globalupdate.fortinet.net"), "{hosts:?}");
        assert!(tshark("no_secret_is_kept", &packets_file, &["-Y", "_ws.malformed"]).unwrap().is_empty());
    }
    // Who asks for all of it gets all of it.
    let made = Made::of_bytes(&file, &["--evidence-payload", "full"]);
    assert_eq!(made.is_good(), 1);
    assert!(SECRETS.iter().all(|secret| holds(&made, secret)));
    assert_eq!(made.manifest()["files"][0]["packets"].as_u64(), Some(packets.len() as u64));
}

#[test]
fn any_changed_bit_is_found() {
    let made = Made::of(DEMO, &["-f", "host 10.20.0.1 and host 95.216.10.20 or port 514"]);
    let made = if made.files().len() < 3 { demo_of("10.20.0.3") } else { made };
    assert!(made.is_good() >= 1);
    for (name, bytes) in made.files() {
        let path = made.path().join(&name);
        // Every byte of the start, then places all over, each with another bit.
        let places = (0..32).chain((32..bytes.len()).step_by((bytes.len() / 40).max(1))).chain([bytes.len() - 1]);
        for at in places.filter(|at| *at < bytes.len()) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, &changed).unwrap();
            assert!(made.is_bad(), "{name}: bit {} of byte {at}", at % 8);
        }
        fs::write(&path, &bytes).unwrap();
    }
    made.is_good();
}

#[test]
fn a_file_that_is_missing_or_too_many_is_named() {
    let made = demo_of("10.20.0.4");
    let verify = || run(&["verify", made.path().to_str().unwrap()]);
    let file = made.packets_files().remove(0);
    let name = file.file_name().unwrap().to_str().unwrap();
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let output = verify();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains(&format!("{name}: missing")), "{}", text(&output.stdout));
    fs::write(&file, bytes).unwrap();
    made.is_good();

    fs::write(made.path().join("notes.txt"), "x").unwrap();
    let output = verify();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("\"notes.txt\": does not belong to it"));
    fs::remove_file(made.path().join("notes.txt")).unwrap();

    // A manifest that says something else, with digests that fit it: the replay tells.
    let manifest = made.path().join("manifest.json");
    let changed =
        fs::read_to_string(&manifest).unwrap().replacen("\"vendor\": \"VMware\"", "\"vendor\": \"Nobody\"", 1);
    fs::write(&manifest, changed).unwrap();
    let mut sums = Command::new("sh");
    sums.current_dir(made.path()).args([
        "-c",
        "sha256sum *.pcapng manifest.json | LC_ALL=C sort -k2 > SHA256SUMS.new && mv SHA256SUMS.new SHA256SUMS",
    ]);
    assert!(sums.status().unwrap().success());
    let output = verify();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(said.contains("asset.vendor: Nobody expected, VMware found"), "{said}");
    let manifest_is_gone = made.path().join("manifest.json");
    fs::remove_file(manifest_is_gone).unwrap();
    assert_eq!(verify().status.code(), Some(1));
}

#[test]
fn openssl_verifies_what_we_sign_and_we_what_openssl_signs() {
    const TEST: &str = "openssl_verifies_what_we_sign";
    let keys = tempfile::tempdir().unwrap();
    let at = |name: &str| keys.path().join(name).to_str().unwrap().to_owned();
    for name in ["one", "two"] {
        let (key, public) = (at(&format!("{name}.pem")), at(&format!("{name}.pub")));
        let Some(made) = tool(TEST, "openssl", &["genpkey", "-algorithm", "ed25519", "-out", &key]) else { return };
        assert!(made.status.success(), "{}", text(&made.stderr));
        tool(TEST, "openssl", &["pkey", "-in", &key, "-pubout", "-out", &public]).unwrap();
    }
    let (key, public, other) = (at("one.pem"), at("one.pub"), at("two.pub"));
    let made = Made::of(DEMO, &["-f", "host 10.20.0.4", "--evidence-key", &key]);
    let manifest = made.path().join("manifest.json");
    let signature = made.path().join("manifest.json.sig");
    assert_eq!(fs::metadata(&signature).unwrap().len(), 64);
    let openssl = |public: &str| {
        let (manifest, signature) = (manifest.to_str().unwrap(), signature.to_str().unwrap());
        let how = ["pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", manifest, "-sigfile", signature];
        tool(TEST, "openssl", &how).unwrap().status.success()
    };
    assert!(openssl(&public) && !openssl(&other));
    let standing = |key: Option<&str>| {
        let key = key.map(|path| VerifyKey::read(Path::new(path)).unwrap());
        let checked = Bundle::open(&made.path()).unwrap().check(&judging(), key.as_ref());
        (checked.signature, checked.good)
    };
    assert_eq!(standing(Some(&public)), (Standing::Holds, true));
    assert_eq!(standing(Some(&other)), (Standing::Fails, false));
    assert_eq!(standing(None), (Standing::NotChecked, true));
    let verify = run(&["verify", made.path().to_str().unwrap()]);
    assert!(text(&verify.stdout).contains("no --key was given"));
    let verify = run(&["verify", made.path().to_str().unwrap(), "--key", &other]);
    assert_eq!(verify.status.code(), Some(1));
    // The same bytes, signed by openssl.
    let again = at("again.sig");
    let sign = ["pkeyutl", "-sign", "-inkey", &key, "-rawin", "-in", manifest.to_str().unwrap(), "-out", &again];
    assert!(tool(TEST, "openssl", &sign).unwrap().status.success());
    assert_eq!(fs::read(&again).unwrap(), fs::read(&signature).unwrap(), "Ed25519 has one signature for one message");
    let unsigned = demo_of("10.20.0.4");
    let public = VerifyKey::read(Path::new(&at("one.pub"))).unwrap();
    assert!(!Bundle::open(&unsigned.path()).unwrap().check(&judging(), Some(&public)).good);
    let bad = run(&["scan", DEMO, "--evidence", at("x").as_str(), "--evidence-key", &at("one.pub")]);
    assert_eq!(bad.status.code(), Some(2), "a public key signs nothing");
}

#[test]
fn the_same_bytes_from_any_number_of_workers() {
    let made = Made::of(DEMO, &["-j", "1"]);
    // With sums to be merged flows are judged later: it is the same all the same.
    for more in [&["-j", "4"][..], &["-j", "3", "--json", "-", "--flows", "/dev/null"]] {
        assert!(made.files() == Made::of(DEMO, more).files(), "{more:?}");
    }
    // Over itself.
    let dir = made.path();
    let before = made.files();
    let output = run(&["scan", DEMO, "-q", "--evidence", dir.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(made.files() == before);
}

#[test]
fn a_folder_with_something_else_stays_as_it_is() {
    let made = demo_of("10.20.0.4");
    fs::write(made.path().join("mine.txt"), "precious").unwrap();
    let before = made.files();
    let output = run(&["scan", DEMO, "-q", "--evidence", made.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("mine.txt"));
    assert!(made.files() == before);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("0123456789abcdef.pcapng"), "no bundle says that this is its own").unwrap();
    let output = run(&["scan", DEMO, "-q", "--evidence", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(folder.path().join("0123456789abcdef.pcapng").exists());
    // What a run left that was killed is taken away by the next one.
    let killed = demo_of("10.20.0.4");
    fs::remove_file(killed.path().join("manifest.json")).unwrap();
    let file = killed.packets_files().remove(0);
    let name = file.file_name().unwrap().to_str().unwrap();
    let left = format!(r#"{{"kind":"bordertap.evidence","files":["{name}"]}}"#);
    for other in killed.packets_files() {
        fs::remove_file(other).unwrap();
    }
    fs::write(&file, "half of it").unwrap();
    fs::write(killed.path().join("manifest.json.part"), left).unwrap();
    assert_eq!(run(&["verify", killed.path().to_str().unwrap()]).status.code(), Some(1));
    let output = run(&["scan", DEMO, "-q", "--evidence", killed.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    killed.is_good();
}

#[test]
fn what_can_be_read_once_only_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("bundle");
    let mut child = Command::new(env!("CARGO_BIN_EXE_bordertap"))
        .args(["scan", "-", "--evidence", dir.to_str().unwrap()])
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // It ends although nothing comes and nothing is closed.
    let stdin = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("write it to a file first"), "{}", text(&output.stderr));
    assert!(!dir.exists());
}

#[test]
fn names_from_the_wire_do_nothing_in_remarks() {
    let names = ["<script>alert(1)</script>", "=cmd|' -C calc'!A0", "+1\t2\r\n3", "a\u{202e}gpj.exe\u{200b}b", "@x"];
    let mut packets = tls_flow("globalupdate.fortinet.net", 1400);
    for (n, name) in (0u16..).zip(names) {
        let client = Endpoint::new(FORTIGATE, "10.9.0.1", 51_000 + n);
        let server = Endpoint::new(ROUTER, "95.216.10.20", 443);
        let start = demo::START_NS + (1 + u64::from(n)) * 1_000_000_000;
        let mut flow = Conversation::new(client, server, start, 20_000_000);
        flow.open();
        flow.send(From::Client, &tls::client_hello(Version::Tls13, Some(name)));
        flow.send(From::Server, &tls::server_hello(Version::Tls13));
        flow.send(From::Client, &tls::application_data(Version::Tls13, 2_000, 2));
        flow.close();
        packets.extend(flow.packets());
    }
    // The page that shows who the host is.
    let admin = Endpoint::new([2, 0, 0, 0, 0, 9], "10.9.0.9", 40_000);
    let page = Endpoint::new(FORTIGATE, "10.9.0.1", 443);
    let mut flow = Conversation::new(admin, page, demo::START_NS + 60_000_000_000, 1_000_000);
    flow.open();
    flow.send(From::Client, &tls::client_hello(Version::Tls12, None));
    flow.close();
    packets.extend(flow.packets());
    let made = Made::of_bytes(&capture::pcapng("", "eth1", &packets), &[]);
    made.is_good();
    for file in made.packets_files() {
        let bytes = fs::read(&file).unwrap();
        let printed = text(&bytes);
        // Behind the hello itself, which has to stay as it was, nothing has these marks.
        let marks = printed.matches('\u{202e}').count();
        let hellos = bytes.windows(3).filter(|w| *w == [0xe2, 0x80, 0xae]).count();
        assert!(marks <= 1 && hellos <= 1, "{file:?}: {marks} marks");
        let Some(comments) = tshark("hostile names", &file, &["-T", "fields", "-e", "frame.comment"]) else { return };
        assert!(comments.iter().all(|c| !c.chars().any(|c| c.is_control() || c == '\u{202e}' || c == '\u{200b}')));
    }
}

#[test]
fn rotated_and_compressed_inputs_are_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let packets = demo::packets();
    for (n, part) in packets.chunks(packets.len().div_ceil(3)).enumerate() {
        let bytes = zstd::encode_all(&capture::pcap(true, part)[..], 1).unwrap();
        fs::write(folder.path().join(format!("part-{n}.pcap.zst")), bytes).unwrap();
    }
    let made = Made::of(folder.path().to_str().unwrap(), &[]);
    let whole = Made::of(DEMO, &[]);
    assert_eq!(made.is_good(), whole.is_good());
    let manifest = made.manifest();
    let inputs = manifest["inputs"].as_array().unwrap();
    assert_eq!(inputs.len(), 3);
    let sum: u64 = inputs.iter().map(|input| input["packets"].as_u64().unwrap()).sum();
    assert_eq!(sum, packets.len() as u64);
    let counts = |made: &Made| -> Vec<u64> {
        made.manifest()["files"].as_array().unwrap().iter().map(|f| f["packets"].as_u64().unwrap()).collect()
    };
    assert_eq!(counts(&made), counts(&whole), "as if they were one");
}

#[test]
fn limits_that_are_reached_are_said() {
    let (client, server) = ends(443);
    let mut flow = Conversation::new(client, server, demo::START_NS, 20_000_000).with_mss(2);
    flow.open();
    flow.send(From::Client, &tls::client_hello(Version::Tls13, Some("globalupdate.fortinet.net")));
    flow.close();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), capture::pcapng("", "eth1", &flow.packets())).unwrap();
    let made = Made::of(file.path().to_str().unwrap(), &[]);
    let manifest = made.manifest();
    let limit = &manifest["limits"]["flow.payloads"];
    assert_eq!(limit["limit"], 64);
    // A hello of more than five hundred bytes in pieces of two.
    assert!(limit["left_out"].as_u64().unwrap() > 30, "{limit}");
    // So this file cannot show its finding, and says so, then and now.
    assert!(!manifest["files"][0]["unlike"].as_array().unwrap().is_empty());
    let verify = run(&["verify", made.path().to_str().unwrap()]);
    assert_eq!(verify.status.code(), Some(1));
    assert!(text(&verify.stdout).contains("the manifest says so"), "{}", text(&verify.stdout));
}

#[test]
fn other_signatures_are_said_and_the_files_are_read_all_the_same() {
    let made = demo_of("10.20.0.4");
    let folder = tempfile::tempdir().unwrap();
    let file = fs::read_to_string(root().join("signatures/vmware.toml")).unwrap();
    fs::write(folder.path().join("vmware.toml"), format!("{file}\n# Another file.\n")).unwrap();
    let dir = made.path();
    let output = run(&["verify", dir.to_str().unwrap(), "--signatures", folder.path().to_str().unwrap()]);
    assert!(text(&output.stdout).contains("note: judged by other signatures"), "{}", text(&output.stdout));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

/// Of what the other side acknowledges before a fact is whole so many packets are kept; the file shows its finding without.
#[test]
fn headers_of_a_flow() {
    let (client, server) = ends(443);
    let mut flow = Conversation::new(client, server, demo::START_NS, 1000).with_mss(10);
    flow.open().send(From::Client, &tls::client_hello(Version::Tls13, Some("globalupdate.fortinet.net"))).close();
    let made = Made::of_bytes(&capture::pcap(true, &flow.packets()), &[]);
    let limit = made.manifest()["limits"]["flow.headers"].clone();
    assert_eq!(limit["limit"], HEADERS_PER_FLOW_MAX, "{limit}");
    assert_eq!(made.is_good(), 1);
}

/// Of a flow that has more packets than a file may, and of one that has more bytes, so many are kept, and it is said.
#[test]
fn packets_and_bytes_of_a_file() {
    let flow = |payload: usize, data: usize| {
        let (client, server) = ends(443);
        let mut flow = Conversation::new(client, server, demo::START_NS, 20_000_000);
        flow.open().send(From::Client, &tls::client_hello(Version::Tls13, Some("globalupdate.fortinet.net")));
        flow = flow.with_mss(payload);
        flow.send(From::Server, &vec![0x17; data]);
        flow.packets()
    };
    for (payload, data, name, limit) in [
        (10, 10 * FINDING_PACKETS_MAX, "flow.packets", FINDING_PACKETS_MAX),
        (60_000, FINDING_BYTES_MAX + 600_000, "finding.bytes", FINDING_BYTES_MAX),
    ] {
        let packets = flow(payload, data);
        let made = Made::of_bytes(&capture::pcap(true, &packets), &["--evidence-payload", "full"]);
        let manifest = made.manifest();
        let told = &manifest["limits"][name];
        assert_eq!(told["limit"], limit, "{}", manifest["limits"]);
        let kept = manifest["files"][0]["packets"].as_u64().unwrap();
        assert_eq!(kept + told["left_out"].as_u64().unwrap(), packets.len() as u64);
        assert!(kept <= FINDING_PACKETS_MAX as u64);
        assert!(fs::metadata(made.packets_files().remove(0)).unwrap().len() < FINDING_BYTES_MAX as u64 + (1 << 20));
        assert_eq!(made.is_good(), 1, "{name}");
    }
}

/// Findings beyond a limit have no file, and the manifest says how many; the files that there are hold.
#[test]
fn findings_and_bytes_of_a_bundle() {
    let inputs = [DEMO.to_owned()];
    let open = || Inputs::open(&inputs, None).unwrap();
    let scan = Scan { keep_flows: true, ..Scan::builtin().unwrap() };
    let write = |findings_max: usize, bytes_max: usize| {
        let made = Made { folder: tempfile::tempdir().unwrap() };
        let mut scanned = scan.run(&mut open(), &inputs, &|_, _| {});
        let home = scanned.report.header.home.clone();
        let wish = Wish {
            folder: Folder::prepare(&made.path()).unwrap(),
            payload: Payload::Proof,
            key: None,
            options: Options { home, inside: Vec::new(), policy: None, filter: None, vlans_apart: false },
            packets_max: u64::MAX,
            findings_max,
            bytes_max,
        };
        let mut source = open();
        let written = evidence::write(&wish, &scanned.report, &mut scanned.flows, &mut source, &scan.judging).unwrap();
        (made, written.left_out as usize)
    };
    let (whole, left_out) = write(FINDINGS_MAX, BUNDLE_BYTES_MAX);
    let all = whole.is_good();
    assert_eq!((left_out, &whole.manifest()["limits"]), (0, &serde_json::json!({})));
    let bytes_of = |made: &Made| -> usize {
        made.packets_files().iter().map(|path| fs::metadata(path).unwrap().len() as usize).sum()
    };
    let half = bytes_of(&whole) / 2;
    for (findings_max, bytes_max, name, limit) in
        [(3, BUNDLE_BYTES_MAX, "findings", 3), (FINDINGS_MAX, half, "bundle.bytes", half)]
    {
        let (made, left_out) = write(findings_max, bytes_max);
        let files = made.is_good();
        let told = &made.manifest()["limits"][name];
        assert_eq!((&told["limit"], &told["left_out"]), (&limit.into(), &left_out.into()), "{name}");
        assert_eq!(files + left_out, all, "{name}");
        let written = bytes_of(&made);
        assert!(files <= findings_max && written <= bytes_max && files > 0, "{name}: {files} {written}");
    }
}

/// An appliance that shows ever other certificates: of the pieces of evidence 64 stand in the report, the packets of some
/// in the file.
#[test]
fn pieces_of_evidence_of_a_finding() {
    let mut packets = tls_flow("globalupdate.fortinet.net", 1400);
    for n in 0..70u64 {
        let client = Endpoint::new(ROUTER, "10.9.0.9", 40_000 + n as u16);
        let server = Endpoint::new(FORTIGATE, "10.9.0.1", 443);
        let name = format!("FG100ETK{n:08}");
        let subject = [Part::Organisation("Fortinet"), Part::Unit("FortiGate"), Part::CommonName(&name)];
        let certificate =
            der::certificate(der::Certificate { subject: &subject, issuer: &subject, names: &[], seed: n });
        let mut flow = Conversation::new(client, server, demo::START_NS + (n + 1) * 60_000_000_000, 1000);
        flow.open().send(From::Client, &tls::client_hello(Version::Tls12, None));
        flow.send(From::Server, &[tls::server_hello(Version::Tls12), tls::certificate(&[certificate])].concat())
            .close();
        packets.extend(flow.packets());
    }
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let made = Made::of_bytes(&capture::pcap(true, &packets), &["--json", json.to_str().unwrap()]);
    let report: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    let assets = report["assets"].as_array().unwrap();
    let asset = assets.iter().find(|asset| asset["ip"] == "10.9.0.1").unwrap();
    assert_eq!(asset["evidence"].as_array().unwrap().len(), 64);
    let limits = made.manifest()["limits"].clone();
    assert_eq!(limits["finding.pieces"]["limit"], PIECES_PER_FINDING_MAX, "{limits}");
    assert!(
        limits["finding.pieces"]["left_out"].as_u64().unwrap() >= 64 - 1 - PIECES_PER_FINDING_MAX as u64,
        "{limits}"
    );
    assert!(made.is_good() >= 1);
}

/// The same addresses and ports in two VLANs, told apart: who the asset is was told in one of them, so the file of a finding
/// has packets of both, and a replay tells them apart as the run did.
#[test]
fn flows_that_only_their_vlans_tell_apart() {
    let in_vlan = |vlan: u16, name: &str| {
        let tag = |packet: Packet| {
            let (macs, rest) = packet.bytes.split_at(12);
            Packet { bytes: [macs, &[0x81, 0], &vlan.to_be_bytes(), rest].concat(), ..packet }
        };
        tls_flow(name, 1400).into_iter().map(tag).collect::<Vec<_>>()
    };
    for (first, second, findings) in [
        ("globalupdate.fortinet.net", "usguardservice.fortinet.net", 2),
        ("globalupdate.fortinet.net", "globalupdate.fortinet.net", 1),
    ] {
        let mut packets = [in_vlan(7, first), in_vlan(8, second)].concat();
        packets.sort_by_key(|packet| packet.time);
        for payload in ["proof", "full"] {
            let more = ["--vlans", "apart", "--evidence-payload", payload];
            let made = Made::of_bytes(&capture::pcap(true, &packets), &more);
            assert_eq!(made.is_good(), findings, "{payload}");
            let manifest = made.manifest();
            for proof in manifest["files"].as_array().unwrap() {
                assert_eq!(proof["unlike"], Value::Array(Vec::new()), "{payload}");
            }
            let verify = run(&["verify", made.path().to_str().unwrap()]);
            assert_eq!(verify.status.code(), Some(0), "{}", text(&verify.stdout));
        }
    }
}

/// Reports that are merged: every finding of the merged one is proved by the bundle of the run that had it, in the same words.
#[test]
fn findings_of_merged_reports_are_in_the_bundles_of_their_runs() {
    let folder = tempfile::tempdir().unwrap();
    let report = |n: usize| folder.path().join(format!("report{n}.json")).to_str().unwrap().to_owned();
    let hosts = ["10.20.0.3", "10.20.0.4"];
    let run_of = |(n, ip): (usize, &&str)| Made::of(DEMO, &["-f", &format!("host {ip}"), "--json", &report(n)]);
    let bundles: Vec<Made> = hosts.iter().enumerate().map(run_of).collect();
    let merged = run(&["merge", &report(0), &report(1), "--json", "-"]);
    assert_eq!(merged.status.code(), Some(0), "{}", text(&merged.stderr));
    let merged: Value = serde_json::from_slice(&merged.stdout).unwrap();
    let mut proofs: BTreeMap<String, Value> = BTreeMap::new();
    for made in &bundles {
        assert!(made.is_good() > 0);
        for proof in made.manifest()["files"].as_array().unwrap() {
            proofs.insert(proof["finding"]["id"].as_str().unwrap().to_owned(), proof["finding"].clone());
        }
    }
    let findings = merged["findings"].as_array().unwrap();
    assert_eq!(findings.len(), proofs.len());
    for finding in findings {
        let subject = &proofs[finding["id"].as_str().unwrap()];
        assert_eq!(subject["vendor"], finding["asset"]["vendor"]);
        assert_eq!(subject["channel"], finding["channel"]["id"]);
        assert_eq!(subject["domain"], finding["destination"]["domain"]);
        assert_eq!(subject["crossing"], finding["crossing"]);
    }
}
