//! Floods, and messages that are expensive to read.

use std::collections::{HashMap, HashSet};
use std::process::Command;
use std::sync::Arc;

use bordertap::capture::{Block, Bytes, Damage, Source};
use bordertap::fact::FACTS_PER_FIELD_MAX;
use bordertap::flow::key::Key;
use bordertap::flow::table::Table;
use bordertap::scan::Scan;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::check::{self, Read};
use crate::common::conversation::{Conversation, From};
use crate::common::der::{self, Part};
use crate::common::messages::{self, TYPE_A, TYPE_CNAME};
use crate::common::packets::{self, Endpoint, PROTOCOL_TCP, Packet, SYN, Tcp};
use crate::common::pipeline::captured;
use crate::common::sensors::long_flow;
use crate::common::tls::{self, Version};

/// What tells a test that it runs once more, in a process of its own.
const AGAIN: &str = "BORDERTAP_HOSTILE_AGAIN";
const START: u64 = 1_795_132_800_000_000_000;

/// Runs a test again as a process of its own, whose memory is nobody else's; whether this is it. What that process printed
/// on its lines that begin with `=` is handed over.
fn alone(test: &str) -> Result<(), Vec<String>> {
    if std::env::var_os(AGAIN).is_some() {
        return Ok(());
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("floods::{test}"), "--nocapture"]).env(AGAIN, "1");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{test}:\n{said}\n{wrong}");
    Err(said.lines().filter_map(|line| line.strip_prefix('=')).map(str::to_owned).collect())
}

/// The most memory that this process had, in MiB.
fn most_resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() / 1024
}

/// Packets before, then SYN segments from ever new addresses, made while they are read, then packets behind.
struct Flood {
    before: Vec<Packet>,
    after: Vec<Packet>,
    /// A SYN from 0.0.0.0 to the host under attack.
    syn: Vec<u8>,
    wanted: u64,
    made: u64,
    number: u64,
}

impl Flood {
    fn new(before: &[Packet], after: &[Packet], wanted: u64) -> Flood {
        let from = Endpoint::new([2, 0, 0, 0, 0, 2], "0.0.0.0", 6000);
        let to = Endpoint::new([2, 0, 0, 0, 0, 1], "10.1.1.1", 443);
        let segment = packets::tcp(from.address, to.address, Tcp { flags: SYN, window: 512, ..Tcp::default() }, &[]);
        let syn = packets::frame(from, to, &[], PROTOCOL_TCP, 1, &segment);
        Flood { before: before.to_vec(), after: after.to_vec(), syn, wanted, made: 0, number: 1 }
    }

    /// The next SYN: another address, and the checksums that belong to it (RFC 1624).
    fn next_syn(&mut self) -> Packet {
        let mut bytes = self.syn.clone();
        // Odd, so no address comes twice.
        let address = (self.made as u32).wrapping_mul(2_654_435_761);
        bytes[26..30].copy_from_slice(&address.to_be_bytes());
        for at in [24, 50] {
            let old = !u16::from_be_bytes([bytes[at], bytes[at + 1]]);
            let sum = u32::from(old) + (address >> 16) + (address & 0xffff);
            let sum = (sum & 0xffff) + (sum >> 16);
            let sum = (sum & 0xffff) + (sum >> 16);
            bytes[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
        }
        let start = self.before.last().map_or(START, |packet| packet.time);
        self.made += 1;
        Packet::new(start + self.made * 1000, bytes)
    }
}

impl Source for Flood {
    fn next_block(&mut self) -> Option<Block> {
        let list: Vec<Packet> = match (self.number, self.wanted - self.made) {
            (1, _) => self.before.clone(),
            (_, 0) if self.after.is_empty() => return None,
            (_, 0) => std::mem::take(&mut self.after),
            (_, left) => (0..left.min(1024)).map(|_| self.next_syn()).collect(),
        };
        let (bytes, captured) = captured(&list);
        let first_number = self.number;
        self.number += list.len() as u64;
        Some(Block { input: "flood".into(), bytes: Bytes::Owned(Arc::new(bytes)), packets: captured, first_number })
    }

    fn damage(&self) -> &[Damage] {
        &[]
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (0, None)
    }
}

/// Segments of a flood, in the environment: `.ci/flood` wants twenty million.
const FLOOD: &str = "BORDERTAP_FLOOD";
/// Segments where nothing is said.
const FLOOD_SEGMENTS: u64 = 2_000_000;
/// Bytes of flow state that a flood has to do with.
const FLOOD_MEMORY: usize = 64 << 20;
/// What else a scan may keep, in MiB: sums of the flood up to their limit, signatures, the database of places.
const ELSE_MIB: u64 = 400;

/// An appliance is found, then its address is flooded, then it goes on: what was found stays to the byte, attempts are what
/// is given up, and every segment is in the books.
#[test]
fn row_38_a_flood_of_syn_segments_gives_up_attempts_and_nothing_else() {
    let wanted: u64 = std::env::var(FLOOD).map_or(FLOOD_SEGMENTS, |number| number.parse().unwrap());
    if let Err(said) = alone("row_38_a_flood_of_syn_segments_gives_up_attempts_and_nothing_else") {
        return println!("{said:?}");
    }
    let all = long_flow("10.1.1.1", START, 2);
    // The appliance's flow pauses for a minute.
    let pause = all.windows(2).position(|pair| pair[1].time - pair[0].time > 30_000_000_000).unwrap() + 1;
    let (before, after) = all.split_at(pause);
    let scan = Scan { memory: FLOOD_MEMORY, ..Scan::builtin().unwrap() };
    let quiet = scan.run(&mut Flood::new(before, after, 0), &[], &|_, _| {}).report;
    let begun = std::time::Instant::now();
    let flooded = scan.run(&mut Flood::new(before, after, wanted), &[], &|_, _| {});
    println!("\n={wanted} segments, {} s, {} MiB", begun.elapsed().as_secs(), most_resident());
    let (report, state) = (flooded.report, flooded.state);
    assert!(report.ledger.adds_up());
    let packets = wanted + all.len() as u64;
    assert_eq!((report.ledger.received, report.ledger.decoded), (packets, packets));
    assert_eq!(report.header.flows, wanted + 1, "the appliance's flow is one: it was not given up");
    assert_eq!(report.ledger.later["flow.evicted"], wanted + 1 - state.open_flows);
    // Memory comes in pages of a MiB.
    assert!(state.bytes <= FLOOD_MEMORY as u64 + (2 << 20), "{} bytes of flows", state.bytes);
    let line = |finding: &bordertap::record::Finding| serde_json::to_value(finding).unwrap();
    let found: Vec<_> = report.findings.iter().filter(|finding| finding.bytes_out > 0).map(line).collect();
    let expected: Vec<_> = quiet.findings.iter().map(line).collect();
    assert_eq!(expected.len(), 1);
    let [finding] = found.as_slice() else { panic!("{} findings", found.len()) };
    for key in ["id", "channel", "destination", "crossing", "bytes_out", "bytes_in", "sessions", "severity"] {
        assert_eq!(finding[key], expected[0][key], "{key}");
    }
    let limit = (FLOOD_MEMORY >> 20) as u64 + ELSE_MIB;
    assert!(most_resident() < limit, "{} MiB", most_resident());
}

/// Keys that one hash puts into one place, another hash spreads: they cannot be made in advance.
#[test]
fn row_38b_keys_that_collide_under_one_hash_key_do_not_under_another() {
    const PLACES: u64 = 1 << 12;
    const WANTED: usize = 400;
    let place = |table: &Table<()>, key: &Key| table.hash(key) >> 32 & (PLACES - 1);
    let (known, other) = (Table::<()>::new(), Table::<()>::new());
    let victim: [u8; 4] = [10, 1, 1, 1];
    let keys =
        (0u32..).map(|n| Key::v4((n >> 8 | 0x0b00_0000).to_be_bytes(), 1024 + (n & 0xff) as u16, victim, 443, 6).0);
    let colliding: Vec<Key> = keys.filter(|key| place(&known, key) == 7).take(WANTED).collect();
    let crowd = |table: &Table<()>| {
        let mut places: HashMap<u64, usize> = HashMap::new();
        colliding.iter().for_each(|key| *places.entry(place(table, key)).or_default() += 1);
        *places.values().max().unwrap()
    };
    assert_eq!(crowd(&known), WANTED);
    // 400 balls in 4,096 places: that eight meet has a chance of one in 10^9.
    assert!(crowd(&other) < 8, "{} in one place", crowd(&other));
}

/// The key of the hash is drawn anew by every process.
#[test]
fn row_38c_no_two_processes_hash_alike() {
    const TEST: &str = "row_38c_no_two_processes_hash_alike";
    let hash = || {
        let key = Key::v4([10, 1, 1, 1], 1, [10, 1, 1, 2], 2, 6).0;
        Table::<()>::new().hash(&key).to_string()
    };
    let Err(first) = alone(TEST) else { return println!("\n={}", hash()) };
    let second = alone(TEST).unwrap_err();
    assert_eq!((first.len(), second.len()), (1, 1), "{first:?} {second:?}");
    assert_ne!(first, second);
}

fn ends(port: u16) -> [Endpoint; 2] {
    let server = Endpoint::new([2, 0, 0, 0, 0, 2], "192.0.2.53", port);
    [Endpoint::new([2, 0, 0, 0, 0, 1], "10.1.1.9", 40_000), server]
}

/// Asks for `www.example.com` over UDP and gets what is made of a header and a question.
fn answered(counts: [u16; 3], records: &[u8]) -> Read {
    let [client, server] = ends(53);
    let question = messages::dns_query(7, "www.example.com", TYPE_A);
    let mut answer = messages::dns_response(7, "www.example.com", TYPE_A, &[]);
    for (at, count) in [6, 8, 10].into_iter().zip(counts) {
        answer[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }
    answer.extend_from_slice(records);
    check::read(&[
        packets::datagram(START, client, server, &[], &question),
        packets::datagram(START + 1000, server, client, &[], &answer),
    ])
}

/// Type, class IN, lifetime and data of a record.
fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut record = owner.to_vec();
    record.extend_from_slice(&kind.to_be_bytes());
    record.extend_from_slice(&[0, 1, 0, 0, 1, 44]);
    record.extend_from_slice(&(data.len() as u16).to_be_bytes());
    record.extend_from_slice(data);
    record
}

/// The owner of the question: a pointer to it.
const OWNER: [u8; 2] = [0xc0, 12];

/// Names that point at themselves, at each other, or too often are an error of the message; what was asked stands.
#[test]
fn row_39_compression_that_runs_in_circles_is_an_error() {
    // Header, `www.example.com` and its type and class: answers begin at byte 33.
    let at = |offset: u16| (0xc000 | offset).to_be_bytes();
    let itself = record(&at(33), TYPE_A, &[192, 0, 2, 1]);
    let each_other = [record(&OWNER, TYPE_CNAME, &at(47)), record(&at(45), TYPE_A, &[192, 0, 2, 1])].concat();
    // Labels on the way make the name longer with every round.
    let spiral = record(&OWNER, TYPE_CNAME, &[&b"\x01a"[..], &at(45)].concat());
    let many: Vec<u8> = (0..200u16).flat_map(|n| at(47 + 2 * n)).collect();
    let stairs = record(&OWNER, TYPE_CNAME, &[&at(45 + 2)[..], &many, &[0]].concat());
    for (name, count, records) in
        [("itself", 1, itself), ("each other", 2, each_other), ("spiral", 1, spiral), ("stairs", 1, stairs)]
    {
        let read = answered([count, 0, 0], &records);
        let flow = read.flow();
        assert_eq!(flow["dns"]["question"]["name"], "www.example.com", "{name}");
        assert!(check::flags(flow).contains(&"parse-error".to_owned()), "{name}: {flow}");
        assert_eq!(flow["dns"]["resolved_ip"], Value::Null, "{name}");
    }
}

/// The longest message that TCP can carry, full of addresses: so many are kept and no more, and it is said.
#[test]
fn row_39b_a_message_of_64_kib_over_tcp_is_read_up_to_the_limits() {
    let [client, server] = ends(53);
    let mut answer = messages::dns_response(7, "www.example.com", TYPE_A, &[]);
    let mut count = 0u16;
    while answer.len() + 16 <= 65_535 {
        count += 1;
        let [high, low] = count.to_be_bytes();
        answer.extend(record(&OWNER, TYPE_A, &[203, 1, high, low]));
    }
    answer[6..8].copy_from_slice(&count.to_be_bytes());
    let framed = |message: &[u8]| [&(message.len() as u16).to_be_bytes()[..], message].concat();
    let mut flow = Conversation::new(client, server, START, 1_000_000);
    flow.open();
    flow.send(From::Client, &framed(&messages::dns_query(7, "www.example.com", TYPE_A)));
    flow.send(From::Server, &framed(&answer));
    flow.close();
    let read = check::read(&flow.packets());
    let addresses = read.flow()["dns"]["resolved_ip"].as_array().unwrap();
    assert_eq!((count, addresses.len()), (4093, FACTS_PER_FIELD_MAX));
    let first: HashSet<String> = (1..=64).map(|n| format!("203.1.0.{n}")).collect();
    assert!(addresses.iter().all(|address| first.contains(address.as_str().unwrap())), "the first that came");
    assert!(check::flags(read.flow()).contains(&"limit-reached".to_owned()), "{:?}", check::flags(read.flow()));
}

/// Service parameters without a value (RFC 9460, section 2.2), such that need none and such that need one.
#[test]
fn row_39c_service_parameters_of_no_length_take_nothing_from_the_rest() {
    const HTTPS: u16 = 65;
    for key in [1u16, 2, 3, 4, 5, 6, 0xffff] {
        let mut data = vec![0, 1, 0];
        data.extend_from_slice(&key.to_be_bytes());
        data.extend_from_slice(&[0, 0]);
        // An address hint behind it.
        data.extend_from_slice(&[0, 4, 0, 4, 192, 0, 2, 80]);
        let records = [record(&OWNER, HTTPS, &data), record(&OWNER, TYPE_A, &[192, 0, 2, 81])].concat();
        let read = answered([2, 0, 0], &records);
        let flow = read.flow();
        assert_eq!(flow["dns"]["resolved_ip"], serde_json::json!(["192.0.2.81"]), "{key}");
        // Length, address and name: what the hint teaches. An empty ECH configuration is an error, and is called one.
        let hint = flow["bordertap"]["learnt"].to_string().contains("\"04c0000250");
        let error = check::flags(flow).contains(&"parse-error".to_owned());
        assert_eq!((hint, error), (key != 5, key == 5), "{key}: {flow}");
    }
}

/// What a TLS 1.2 flow with this certificate comes to.
fn shown(certificate: &[u8]) -> Read {
    let [client, server] = ends(443);
    let mut flow = Conversation::new(client, server, START, 1_000_000);
    flow.open();
    flow.send(From::Client, &tls::client_hello(Version::Tls12, Some("www.example.com")));
    flow.send(From::Server, &tls::server_hello(Version::Tls12));
    for part in tls::certificate_message(&[certificate.to_vec()]).chunks(16_000) {
        flow.send(From::Server, &tls::record(tls::HANDSHAKE, tls::VERSION_TLS12, part));
    }
    flow.close();
    let read = check::read(&flow.packets());
    assert_eq!(read.flow()["tls"]["client"]["server_name"], "www.example.com");
    read
}

fn with_names(names: &[&str]) -> Vec<u8> {
    let subject = [Part::Country("DE"), Part::Organisation("Example"), Part::CommonName("www.example.com")];
    der::certificate(der::Certificate { subject: &subject, issuer: &subject, names, seed: 5 })
}

/// Puts other bytes where these stand, which is at one place or more.
fn exchanged(mut bytes: Vec<u8>, old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let places: Vec<usize> = (0..bytes.len() - old.len()).filter(|&at| bytes[at..].starts_with(old)).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|&at| bytes[at..at + new.len()].copy_from_slice(new));
    bytes
}

/// A list of names of nearly 64 KiB: the first of them, and that there were more.
#[test]
fn row_40_a_certificate_with_64_kib_of_names_gives_the_first() {
    let names: Vec<String> = (0..3_800).map(|n| format!("n{n:04}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let certificate = with_names(&names);
    assert!((50_000..64_000).contains(&certificate.len()), "{}", certificate.len());
    let read = shown(&certificate);
    let server = &read.flow()["tls"]["server"];
    let kept: Vec<&str> =
        server["x509"]["alternative_names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(kept, names[..FACTS_PER_FIELD_MAX]);
    assert!(check::flags(read.flow()).contains(&"limit-reached".to_owned()));
    let digest = bordertap::fact::value::hex(&Sha256::digest(&certificate));
    assert_eq!(server["hash"]["sha256"].as_str().unwrap().to_lowercase(), digest);
}

/// Longer than what is kept of a side: said, and nothing made up.
#[test]
fn row_40b_a_certificate_longer_than_what_is_kept_is_flagged() {
    let names: Vec<String> = (0..3_850).map(|n| format!("n{n:05}.example.net")).collect();
    let certificate = with_names(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(certificate.len() > 66_000);
    let read = shown(&certificate);
    assert_eq!(read.flow()["tls"]["server"]["subject"], Value::Null);
    let flags = check::flags(read.flow());
    assert!(flags.iter().any(|flag| flag == "limit-reached" || flag == "truncated"), "{flags:?}");
}

/// Structures within structures, 5,000 deep, where a name is expected: an error, no deep stack.
#[test]
fn row_40c_deep_structures_are_an_error_and_no_deep_stack() {
    const DEEP: usize = 5_000;
    let filler = "y".repeat(4 * DEEP);
    let head = |n: usize| [0x30, 0x82, (((DEEP - n) * 4) >> 8) as u8, ((DEEP - n) * 4) as u8];
    let nested: Vec<u8> = (1..=DEEP).flat_map(head).collect();
    // As an alternative name of the kind directoryName, [4].
    let length = (filler.len() as u16).to_be_bytes();
    let old = [&[0x82, 0x82][..], &length, filler.as_bytes()].concat();
    let as_name = exchanged(with_names(&[&filler]), &old, &[&[0xa4, 0x82][..], &length, &nested].concat());
    // As the subject's name.
    let subject = [Part::CommonName(&filler)];
    let plain = der::certificate(der::Certificate { subject: &subject, issuer: &[], names: &["a.example"], seed: 5 });
    let old = [&[0x0c, 0x82][..], &length, filler.as_bytes()].concat();
    let as_subject = exchanged(plain, &old, &[&[0x30, 0x82][..], &length, &nested].concat());
    for (name, certificate) in [("name", as_name), ("subject", as_subject)] {
        let read = shown(&certificate);
        let digest = bordertap::fact::value::hex(&Sha256::digest(&certificate));
        let server = &read.flow()["tls"]["server"];
        assert_eq!(server["hash"]["sha256"].as_str().unwrap().to_lowercase(), digest, "{name}");
    }
}

/// A bad time, a negative serial number and strings that are no UTF-8 hide no name beside them.
#[test]
fn row_40d_what_is_wrong_in_a_certificate_hides_no_name_beside_it() {
    let good = with_names(&["www.example.com", "other.example.com"]);
    let bad_time = exchanged(good.clone(), b"380119031407Z", b"389919031407Z");
    // Version 3, then a serial number of eight bytes.
    let version = [0xa0, 3, 2, 1, 2, 2, 8];
    let at = good.windows(version.len()).position(|window| window == version).unwrap() + version.len();
    let mut negative = good.clone();
    negative[at] = 0xff;
    let no_utf8 = exchanged(good.clone(), b"Example", b"\xff\xfe\xc0\x80\x1b\n\"");
    let bad_name = exchanged(good.clone(), b"other.example.com", b"other.\xff\xfe\0mple.com");
    let names = |read: &Read| read.flow()["tls"]["server"]["x509"]["alternative_names"].clone();
    let expected = names(&shown(&good));
    assert_eq!(expected, serde_json::json!(["www.example.com", "other.example.com"]));
    for (name, certificate) in [("time", &bad_time), ("serial", &negative), ("subject", &no_utf8)] {
        let read = shown(certificate);
        assert_eq!(names(&read), expected, "{name}");
        let subject = read.flow()["tls"]["server"]["subject"].as_str().unwrap().to_owned();
        assert!(subject.contains("CN=www.example.com") && subject.contains("C=DE"), "{name}: {subject}");
    }
    assert!(check::flags(shown(&bad_time).flow()).contains(&"parse-error".to_owned()));
    assert_eq!(names(&shown(&bad_name))[0], "www.example.com");
}
