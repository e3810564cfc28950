//! Databases of places that are broken, signature packs that are refused, and addresses that are nowhere.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bordertap::signature::Pack;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::Value;

use crate::check;
use crate::common::conversation::{Conversation, From};
use crate::common::packets::Endpoint;
use crate::common::program::{run, said};
use crate::common::sensors::{ANOTHER, START};
use crate::common::tls::{self, Version};

const DEMO: &str = "fixtures/demo/four-vendors.pcapng";

/// A database in MaxMind format: nodes of two records of 24 bits, and data (<https://maxmind.github.io/MaxMind-DB/>).
pub fn mmdb(nodes: &[[u32; 2]], data: &[u8]) -> Vec<u8> {
    let word = |text: &str| [&[2 << 5 | text.len() as u8][..], text.as_bytes()].concat();
    let long = |text: &str| [&[2 << 5 | 29, (text.len() - 29) as u8][..], text.as_bytes()].concat();
    let mut file: Vec<u8> = nodes.iter().flatten().flat_map(|record| record.to_be_bytes()[1..].to_vec()).collect();
    file.extend([&[0; 16][..], data, b"\xab\xcd\xefMaxMind.com", &[7 << 5 | 9]].concat());
    let two = |n: u8| vec![5 << 5 | 2, 0, n];
    let count = vec![6 << 5 | 1, nodes.len() as u8];
    for (key, value) in [("ip_version", two(6)), ("record_size", two(24)), ("node_count", count)] {
        file.extend([word(key), value].concat());
    }
    file.extend([word("binary_format_major_version"), two(2), word("binary_format_minor_version"), two(0)].concat());
    // A number of 64 bits, a list and a map: kinds beyond seven take a byte more.
    file.extend([word("build_epoch"), vec![8, 2, 0, 0, 0, 0, 0x65, 0, 0, 0]].concat());
    file.extend([word("database_type"), long("a database of yet another maker")].concat());
    file.extend([word("languages"), vec![0, 4], word("description"), vec![7 << 5]].concat());
    file
}

/// A path of nodes to one record at `::/depth`, and what stands instead of every other branch.
fn path(depth: u32, other: u32, record: u32) -> Vec<[u32; 2]> {
    (1..=depth).map(|next| if next == depth { [record, other] } else { [next, other] }).collect()
}

/// Corrupt, cut, in circles, of 10 GB: refused by name and reason, and the scan goes on with the places that are built in;
/// its exit status says that something was skipped.
#[test]
fn row_41_a_broken_database_of_places_is_refused_and_the_scan_goes_on_without() {
    let folder = tempfile::tempdir().unwrap();
    let country = [&[7 << 5 | 1, 2 << 5 | 12][..], b"country_code", &[2 << 5 | 2], b"FR"].concat();
    let sound = mmdb(&path(4, 4, 4 + 16), &country);
    let expected = run(&["scan", DEMO, "--findings", "-"]);
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let huge = file("huge.mmdb", b"");
    fs::File::options().write(true).open(&huge).unwrap().set_len(10 << 30).unwrap();
    let cases = [
        (file("corrupt.mmdb", &[0xa5; 4096]), "not a usable MaxMind database"),
        (file("cut.mmdb", &sound[..sound.len() / 2]), "not a usable MaxMind database"),
        (file("circle.mmdb", &mmdb(&[[1, 2], [0, 18]], &country)), "runs in a circle"),
        (file("outside.mmdb", &mmdb(&path(4, 4, 4000), &country)), "points outside the data"),
        (huge, "10737418240 bytes, more than"),
        (folder.path().to_owned(), "not a regular file"),
        (folder.path().join("none.mmdb"), "No such file"),
    ];
    for option in ["--country-db", "--asn-db"] {
        for (path, reason) in &cases {
            let name = path.to_str().unwrap();
            let output = run(&["scan", DEMO, option, name, "--findings", "-"]);
            let errors = said(&output);
            assert_eq!(output.status.code(), Some(3), "{name}: {errors}");
            assert!(errors.contains(name) && errors.contains(reason) && errors.contains("goes without"), "{errors}");
            assert!(output.stdout == expected.stdout, "{name}: what is found depends on a database that was refused");
            let report = run(&["scan", DEMO, option, name, "--json", "-"]);
            let report: Value = serde_json::from_slice(&report.stdout).unwrap();
            assert_eq!(report["header"]["damage"][0]["input"], name, "the report tells it too");
            assert!(report["header"]["country_database"].as_str().unwrap().starts_with("built-in database"));
        }
        // Who asks for a place wants this database and no other.
        assert_eq!(run(&["where", "18.196.0.1", option, cases[0].0.to_str().unwrap()]).status.code(), Some(1));
    }
}

/// A database of another maker is understood and used.
#[test]
fn row_41b_a_database_of_another_maker_is_used() {
    let folder = tempfile::tempdir().unwrap();
    // `::18.196.0.0/112` in a tree of IPv6, where IPv4 stands in the last 32 bits.
    let country = [&[7 << 5 | 1, 2 << 5 | 12][..], b"country_code", &[2 << 5 | 2], b"FR"].concat();
    let bits = u128::from(u32::from_be_bytes([18, 196, 0, 0]));
    let nodes: Vec<[u32; 2]> = (0..112u32)
        .map(|depth| {
            let next = if depth == 111 { 112 + 16 } else { depth + 1 };
            if bits >> (127 - depth) & 1 == 1 { [112, next] } else { [next, 112] }
        })
        .collect();
    let path = folder.path().join("other.mmdb");
    fs::write(&path, mmdb(&nodes, &country)).unwrap();
    let output = run(&["where", "18.196.7.7", "--country-db", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("18.196.7.7: FR\n") && text.contains("user database other.mmdb"), "{text}");
}

/// A maker of packs whose key is known: minisign's form (Ed25519 over BLAKE2b-512), RFC 8032 and RFC 7693.
struct Maker(SigningKey);

impl Maker {
    const KEY_ID: [u8; 8] = *b"hostile!";

    fn public(&self) -> String {
        STANDARD.encode([&b"Ed"[..], &Maker::KEY_ID, self.0.verifying_key().as_bytes()].concat())
    }

    /// Writes a pack and its signature.
    fn pack(&self, folder: &Path, name: &str, serial: u64, files: &[(&str, String)]) -> PathBuf {
        let files: Vec<_> = files.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
        let bytes = Pack::bytes(serial, &files);
        let signature = self.0.sign(&blake2b(&bytes)).to_bytes();
        let comment = "a pack of a test";
        let global = self.0.sign(&[&signature[..], comment.as_bytes()].concat()).to_bytes();
        let proof = [&b"ED"[..], &Maker::KEY_ID, &signature].concat();
        let (proof, global) = (STANDARD.encode(proof), STANDARD.encode(global));
        let text = format!("untrusted comment: x\n{proof}\ntrusted comment: {comment}\n{global}\n");
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        fs::write(folder.join(format!("{name}.minisig")), text).unwrap();
        path
    }
}

/// BLAKE2b with 64 bytes and no key (RFC 7693, section 3).
fn blake2b(message: &[u8]) -> [u8; 64] {
    const IV: [u64; 8] = [
        0x6a09_e667_f3bc_c908,
        0xbb67_ae85_84ca_a73b,
        0x3c6e_f372_fe94_f82b,
        0xa54f_f53a_5f1d_36f1,
        0x510e_527f_ade6_82d1,
        0x9b05_688c_2b3e_6c1f,
        0x1f83_d9ab_fb41_bd6b,
        0x5be0_cd19_137e_2179,
    ];
    const SIGMA: [[usize; 16]; 10] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
    ];
    let mut h = IV;
    h[0] ^= 0x0101_0040;
    let blocks = message.len().div_ceil(128).max(1);
    for block in 0..blocks {
        let end = message.len().min((block + 1) * 128);
        let mut bytes = [0; 128];
        bytes[..end - block * 128].copy_from_slice(&message[block * 128..end]);
        let m: Vec<u64> = bytes.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
        let mut v = [0; 16];
        v[..8].copy_from_slice(&h);
        v[8..].copy_from_slice(&IV);
        v[12] ^= end as u64;
        if block + 1 == blocks {
            v[14] = !v[14];
        }
        for round in 0..12 {
            let s = &SIGMA[round % 10];
            for (n, [a, b, c, d]) in [
                [0, 4, 8, 12],
                [1, 5, 9, 13],
                [2, 6, 10, 14],
                [3, 7, 11, 15],
                [0, 5, 10, 15],
                [1, 6, 11, 12],
                [2, 7, 8, 13],
                [3, 4, 9, 14],
            ]
            .into_iter()
            .enumerate()
            {
                for (word, turn_d, turn_b) in [(m[s[2 * n]], 32, 24), (m[s[2 * n + 1]], 16, 63)] {
                    v[a] = u64::wrapping_add(v[a], v[b]).wrapping_add(word);
                    v[d] = u64::rotate_right(v[d] ^ v[a], turn_d);
                    v[c] = v[c].wrapping_add(v[d]);
                    v[b] = u64::rotate_right(v[b] ^ v[c], turn_b);
                }
            }
        }
        (0..8).for_each(|n| h[n] ^= v[n] ^ v[n + 8]);
    }
    let mut out = [0; 64];
    out.chunks_mut(8).zip(h).for_each(|(place, word)| place.copy_from_slice(&word.to_le_bytes()));
    out
}

/// Bad signature, an id that is taken, examples that do not hold, an older serial: each is refused, nothing is judged by
/// it, and the pack that was used before is still the one that is used.
#[test]
fn row_42_a_pack_that_is_refused_leaves_the_old_one_in_use() {
    // RFC 7693, appendix A.
    let abc = bordertap::fact::value::hex(&blake2b(b"abc"));
    assert!(abc.starts_with("ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b7") && abc.ends_with("d4009923"));
    let maker = Maker(SigningKey::from_bytes(&[42; 32]));
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let last = dir.join("last");
    let another = |from: &str, to: &str| {
        assert!(ANOTHER.contains(from));
        vec![("another.toml", ANOTHER.replace(from, to))]
    };
    let one = |text: &str| vec![("another.toml", text.to_owned())];
    let good = maker.pack(dir, "good.pack", 2_099_010_105, &one(ANOTHER));
    let newer = maker.pack(dir, "newer.pack", 2_099_010_106, &one(ANOTHER));
    let twice = ANOTHER.split_once("[[channel]]").unwrap().1;
    let bad = [
        ("older", maker.pack(dir, "older.pack", 2_099_010_104, &one(ANOTHER)), "is older than 2099010105"),
        (
            "other bytes under the same serial",
            maker.pack(dir, "same.pack", 2_099_010_105, &another("95", "94")),
            "has the same serial",
        ),
        (
            "an id twice",
            maker.pack(dir, "twice.pack", 2_099_010_107, &one(&format!("{ANOTHER}\n[[channel]]{twice}"))),
            "another.telemetry",
        ),
        (
            "an example that does not match",
            maker.pack(
                dir,
                "example.pack",
                2_099_010_108,
                &another("tls.sni = \"another.example.com\"", "tls.sni = \"no.example.com\""),
            ),
            "example",
        ),
        (
            "a counterexample that matches",
            maker.pack(
                dir,
                "counter.pack",
                2_099_010_109,
                &another("tls.sni = \"another.example.org\"", "tls.sni = \"another.example.com\""),
            ),
            "counterexample",
        ),
        ("no TOML", maker.pack(dir, "toml.pack", 2_099_010_110, &one("format = ")), "another.toml"),
    ];
    let forged = maker.pack(dir, "forged.pack", 2_099_010_111, &one(ANOTHER));
    let mut bytes = fs::read(&forged).unwrap();
    let at = bytes.windows(2).position(|window| window == b"95").unwrap();
    bytes[at] = b'8';
    fs::write(&forged, bytes).unwrap();
    let load = |pack: &Path, command: &[&str]| {
        let pack = pack.to_str().unwrap();
        let key = maker.public();
        let last = last.to_str().unwrap();
        run(&[command, &["--signatures", pack, "--signature-key", &key, "--last-pack", last]].concat())
    };
    let asked = ["where", "another.example.com"];
    let used = |pack: &Path| {
        let output = load(pack, &asked);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(String::from_utf8(output.stdout).unwrap().contains("Another Another: function telemetry"));
    };
    used(&good);
    let remembered = fs::read_to_string(&last).unwrap();
    let forged = ("a changed byte", forged, "the signature does not hold");
    for (name, pack, reason) in bad.iter().chain([&forged]) {
        for command in [&asked[..], &["scan", DEMO, "--findings", "-"]] {
            let output = load(pack, command);
            let errors = said(&output);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{name}: {errors}");
            assert!(errors.contains(reason), "{name}: {errors}");
        }
        assert_eq!(fs::read_to_string(&last).unwrap(), remembered, "{name} is not remembered");
        used(&good);
    }
    used(&newer);
    let output = load(&good, &asked);
    assert_eq!(output.status.code(), Some(1), "no way back: {}", said(&output));
}

/// An appliance of ours, known by what it asks for, that goes to this address without a name.
fn to(addresses: &[&str]) -> Vec<Value> {
    let mut packets = Vec::new();
    let mut flow = |client: &str, server: &str, port: u16, name: Option<&str>, n: u64| {
        let client = Endpoint::new([2, 0, 0, 0, 0, 1], client, port);
        let server = Endpoint::new([2, 0, 0, 0, 0, 2], server, 443);
        let mut flow = Conversation::new(client, server, START + n * 1_000_000_000, 1_000_000);
        flow.open();
        flow.send(From::Client, &tls::client_hello(Version::Tls13, name));
        flow.send(From::Server, &tls::server_hello(Version::Tls13));
        flow.send(From::Client, &tls::application_data(Version::Tls13, 2000, n));
        flow.close();
        packets.extend(flow.packets());
    };
    let known = Some("usguardservice.fortinet.net");
    flow("10.1.1.1", "173.243.138.76", 40_000, known, 0);
    flow("fd00::1", "2620:101:9000:53::1", 40_000, known, 1);
    for (n, address) in (2..).zip(addresses) {
        let client = if address.contains(':') { "fd00::1" } else { "10.1.1.1" };
        flow(client, address, 40_000 + n as u16, None, n);
    }
    check::read(&packets).report["findings"].as_array().unwrap().clone()
}

/// The findings that go to an address.
fn of<'a>(findings: &'a [Value], address: &str) -> Vec<&'a Value> {
    findings.iter().filter(|f| f["destination"]["ip"].as_array().unwrap().contains(&address.into())).collect()
}

/// Nowhere is never abroad: private, shared, multicast, documentation and the like, also inside IPv6.
#[test]
fn row_46_what_is_no_global_address_is_never_foreign() {
    // Neither private nor shared, so not inside.
    let nowhere = [
        "100.64.0.1",
        "172.20.0.1",
        "169.254.1.1",
        "192.0.2.1",
        "198.51.100.7",
        "198.18.0.1",
        "224.0.0.251",
        "239.1.1.1",
        "240.0.0.1",
        "0.0.0.1",
        "ff02::fb",
        "fe80::1",
        "2001:db8::1",
        "100::1",
        "3fff::1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "2002:a00:1::1",
        "2002:c000:201::1",
    ];
    let findings = to(&nowhere);
    assert!(findings.iter().any(|finding| finding["crossing"] == "observed"), "the appliance itself is found");
    for address in nowhere {
        for finding in of(&findings, address) {
            assert!(matches!(finding["crossing"].as_str(), Some("home" | "not-determinable")), "{address}: {finding}");
            assert_eq!(finding["destination"]["country"], Value::Null, "{address}: {finding}");
        }
    }
}

/// What carries an address of IPv4 is where that one is; the same bytes the other way round are elsewhere.
#[test]
fn row_46b_addresses_inside_addresses_count_and_their_order_of_bytes_too() {
    // From the address database's own documents: 18.196.0.0/15 is Frankfurt, 16.162.0.0/15 is Hong Kong.
    let carriers = ["64:ff9b::12c4:1", "2002:12c4:1::1"];
    let findings = to(&["18.196.0.1", carriers[0], carriers[1], "16.162.18.196", "196.18.162.16"]);
    let country = |address: &str| {
        let of = of(&findings, address);
        assert_eq!(of.len(), 1, "{address}: {of:?}");
        of[0]["destination"]["country"].clone()
    };
    assert_eq!(country("18.196.0.1"), "DE");
    for carrier in carriers {
        assert_eq!(country(carrier), "DE", "{carrier}");
        assert_ne!(of(&findings, carrier)[0]["destination"]["country_basis"], "address", "{carrier}");
    }
    assert_eq!(country("16.162.18.196"), "HK");
    assert_ne!(country("196.18.162.16"), "HK");
}

/// Anycast answers from wherever it is near: no country is sure, and nothing is said to have left.
#[test]
fn row_46c_anycast_has_a_low_confidence_and_decides_nothing() {
    let anycast = ["8.8.8.8", "1.1.1.1", "9.9.9.9", "2606:4700:4700::1111", "64:ff9b::808:808"];
    let findings = to(&anycast);
    for address in anycast {
        let of = of(&findings, address);
        assert_eq!(of.len(), 1, "{address}");
        assert_eq!(of[0]["crossing"], "not-determinable", "{address}: {}", of[0]);
        let confidence = of[0]["destination"]["country_confidence"].as_u64().unwrap_or(0);
        assert!(confidence <= 20, "{address}: {confidence}");
    }
}
