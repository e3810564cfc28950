//! Limits of files that are read, and of what is kept for good: too much is refused or left out, and said.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use bordertap::collect::{Behind, MANAGED_MAX, OWN_MAX, SEEN_MAX};
use bordertap::evidence::FLOWS_PER_FINDING_MAX;
use bordertap::join::{Knowledge, MONTHS_MAX};
use bordertap::policy::{MISTAKES_MAX, POLICY_BYTES_MAX};
use bordertap::sensor::WINDOW_SUMS_MAX;
use bordertap::signature::DIR_FILES_MAX;
use bordertap::signature::file::FILE_BYTES_MAX;
use bordertap::signature::pack::PACK_BYTES_MAX;
use bordertap::view::NEWEST_MAX;
use serde_json::Value;

use crate::common::capture::{pcap, pcapng};
use crate::common::conversation::{Conversation, From};
use crate::common::messages::{self, Answer, TYPE_A};
use crate::common::packets::{Endpoint, Packet, datagram};
use crate::common::program::{run, said};
use crate::common::sensors::{Kept, MINUTE, Made, START, long_flow, sense};
use crate::common::tls::{self, Version};

const DEMO: &str = "fixtures/demo/four-vendors.pcapng";

/// A file of this length that takes no room on the disk, with something at its start.
fn sparse(path: &Path, start: &[u8], length: u64) {
    fs::write(path, start).unwrap();
    File::options().write(true).open(path).unwrap().set_len(length).unwrap();
}

/// Flow records: a line that is too long is passed over, and of many broken ones the first thousand are told.
#[test]
fn lines_and_damage_of_flow_records() {
    const LINE: usize = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.jsonl");
    let good = String::from_utf8(run(&["scan", "-j1", DEMO, "--flows", "-"]).stdout).unwrap();
    let many = good.lines().count();
    let bad = "{}\n".repeat(1000 + 50);
    fs::write(&path, format!("{}\n{good}{bad}", "x".repeat(LINE))).unwrap();
    let output = run(&["recheck", path.to_str().unwrap(), "--json", "-"]);
    assert_eq!(output.status.code(), Some(3));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let damage = report["header"]["damage"].as_array().unwrap();
    assert!(damage[0]["reason"].as_str().unwrap().contains("a line of more than 1048576 bytes"), "{}", damage[0]);
    assert!((1000..=1002).contains(&damage.len()), "{}", damage.len());
    let told = damage.iter().any(|line| line["reason"].as_str().unwrap().contains("51"));
    assert!(told, "how many more there were: {}", damage.last().unwrap());
    assert_eq!(report["header"]["flows"], many);
}

/// Of a policy that is wrong everywhere a hundred mistakes are told; one that is too long is not read.
#[test]
fn mistakes_and_bytes_of_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    let many = 2 * MISTAKES_MAX;
    fs::write(&path, (0..many).map(|n| format!("wrong{n} = 1\n")).collect::<String>()).unwrap();
    let output = run(&["scan", DEMO, "--policy", path.to_str().unwrap()]);
    let told = said(&output).matches("wrong").count();
    assert!(output.status.code() == Some(2) && told <= 2 * MISTAKES_MAX && told > 0, "{told}");
    let lines = said(&output).lines().count();
    assert!(lines <= MISTAKES_MAX + 5, "{lines} lines");
    sparse(&path, b"#", POLICY_BYTES_MAX + 1);
    let output = run(&["scan", DEMO, "--policy", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains(&POLICY_BYTES_MAX.to_string()), "{}", said(&output));
}

/// A folder of too many signature files, a file and a pack that are too long: refused, with the limit.
#[test]
fn files_and_bytes_of_signatures() {
    let refused = |path: &Path, more: &[&str], limit: usize| {
        let output = run(&[&["where", "a.example", "--signatures", path.to_str().unwrap()], more].concat());
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(&limit.to_string()), "{limit}: {}", said(&output));
    };
    let folder = tempfile::tempdir().unwrap();
    let many = folder.path().join("many");
    fs::create_dir(&many).unwrap();
    (0..=DIR_FILES_MAX).for_each(|n| fs::write(many.join(format!("n{n}.toml")), "").unwrap());
    refused(&many, &[], DIR_FILES_MAX);
    let long = folder.path().join("long");
    fs::create_dir(&long).unwrap();
    sparse(&long.join("a.toml"), b"#", FILE_BYTES_MAX as u64 + 1);
    refused(&long, &[], FILE_BYTES_MAX);
    let key = ["--signature-key", "fixtures/signatures/packs/maker.pub"];
    let pack = folder.path().join("long.pack");
    sparse(&pack, b"bordertap-signatures 1\n", PACK_BYTES_MAX as u64 + 1);
    refused(&pack, &key, PACK_BYTES_MAX);
    let pack = folder.path().join("proof.pack");
    fs::write(&pack, "bordertap-signatures 1\n").unwrap();
    sparse(&folder.path().join("proof.pack.minisig"), b"", 4097);
    refused(&pack, &key, 4096);
}

/// A report that is longer than any is refused before it is read.
#[test]
fn bytes_of_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    sparse(&path, b"{", (4 << 30) + 1);
    let output = run(&["merge", path.to_str().unwrap()]);
    assert_ne!(output.status.code(), Some(0));
    assert!(said(&output).contains("4294967296"), "{}", said(&output));
}

/// A manifest that is longer than any is refused before it is read.
#[test]
fn bytes_of_a_manifest() {
    let folder = tempfile::tempdir().unwrap();
    sparse(&folder.path().join("manifest.json"), b"{", (256 << 20) + 1);
    let output = run(&["verify", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("268435456"), "{}", said(&output));
}

/// A pcapng of more interfaces than one section may have: packets of those beyond are damage, the others are read.
#[test]
fn interfaces_and_blocks_of_a_pcapng() {
    const INTERFACES: usize = 65_536;
    let packets = long_flow("10.1.1.1", START, 0);
    let whole = pcapng("", "eth1", &packets);
    // Section header, then the first interface, then packets.
    let length = |at: usize| u32::from_le_bytes(whole[at + 4..at + 8].try_into().unwrap()) as usize;
    let first = length(0);
    let behind = first + length(first);
    let interface = [&[1, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 4, 0][..], &[20, 0, 0, 0]].concat();
    let mut last = whole[behind..behind + length(behind)].to_vec();
    last[8..12].copy_from_slice(&(INTERFACES as u32).to_le_bytes());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.pcapng");
    let all = [&whole[..behind], &interface.repeat(INTERFACES), &whole[behind..], &last].concat();
    fs::write(&path, all).unwrap();
    let output = run(&["scan", path.to_str().unwrap(), "--json", "-"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ledger"]["decoded"], packets.len());
    assert!(said(&output).contains("more than 65536 interfaces"), "{}", said(&output));
    // A block of more than 16 MiB ends the reading; what was before it stays.
    let long = 16 * 1024 * 1024 + 4u32;
    let block = [&[6, 0, 0, 0][..], &long.to_le_bytes(), &[0; 64]].concat();
    fs::write(&path, [whole, block].concat()).unwrap();
    let output = run(&["scan", path.to_str().unwrap(), "--json", "-"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["ledger"]["decoded"]), (Some(3), &packets.len().into()));
}

/// Sums by month are kept for so many months, and no longer.
#[test]
fn months_of_a_finding() {
    const DAY: u64 = 24 * 60 * MINUTE;
    let months = MONTHS_MAX as u64 + 6;
    // No month is shorter than a step.
    let mut blocks = (0..months * 31 / 28).map(|n| long_flow("10.1.1.1", START + n * 28 * DAY, 1));
    let source = Made { next: move || blocks.next(), number: 1, pause: Duration::from_millis(8) };
    let ended = sense(vec![Box::new(source)], 1, 600, Knowledge::default(), &mut Kept::default());
    let [finding] = ended.report.findings.as_slice() else { panic!("{}", ended.report.findings.len()) };
    let kept = finding.by_month.len();
    assert!((MONTHS_MAX as usize..=MONTHS_MAX as usize + 2).contains(&kept), "{kept} months of {months}");
}

/// A window with too many sums is closed before its time; the sums of a sensor stay as few.
#[test]
fn sums_of_a_window() {
    // One block, and as many hosts that nobody answers.
    const BLOCK: u64 = 1000;
    // Flows are over after some minutes.
    const STEP: u64 = 5_000_000;
    let blocks = 2 * WINDOW_SUMS_MAX as u64 / BLOCK + 20;
    let mut made = (0..blocks).map(|block| {
        let hosts = block * BLOCK..(block + 1) * BLOCK;
        hosts
            .map(|n| {
                let address = Ipv4Addr::from_bits(0x0a00_0001 + n as u32).to_string();
                let client = Endpoint::new([2, 0, 0, 0, 0, 1], &address, 40_000);
                let server = Endpoint::new([2, 0, 0, 0, 0, 2], "192.0.2.80", 9999);
                datagram(START + n * STEP, client, server, &[], &[0xee; 30])
            })
            .collect()
    });
    let source = Made { next: move || made.next(), number: 1, pause: Duration::from_millis(1) };
    let mut kept = Kept { forget: true, ..Kept::default() };
    let ended = sense(vec![Box::new(source)], 1, i64::MAX, Knowledge::default(), &mut kept);
    assert_eq!(ended.report.header.flows, blocks * BLOCK);
    assert!(kept.windows.iter().any(|sums| *sums > WINDOW_SUMS_MAX / 2), "{:?}", kept.windows);
    let closed = kept.windows.windows(2).filter(|two| two[1] < two[0]).count();
    assert!(closed >= 1, "never closed: {:?}", kept.windows);
    let most = kept.windows.iter().max().unwrap();
    assert!(*most < 3 * WINDOW_SUMS_MAX / 2, "{most} sums at the end of a turn");
}

/// What is new is shown up to so many things.
#[test]
fn newest_things_of_a_sensor() {
    let flows = 3 * NEWEST_MAX as u64;
    let mut blocks = (0..flows).map(|n| long_flow(&format!("10.1.{}.{}", n / 200, 1 + n % 200), START + n * MINUTE, 0));
    let source = Made { next: move || blocks.next(), number: 1, pause: Duration::from_millis(1) };
    let mut kept = Kept::default();
    let ended = sense(vec![Box::new(source)], 1, i64::MAX, Knowledge::default(), &mut kept);
    assert_eq!(ended.report.findings.len() as u64, flows);
    let most = kept.views.iter().map(|view| view.newest.len()).max().unwrap();
    assert_eq!(most, NEWEST_MAX);
}

/// The addresses behind a hardware address, by how they were told.
#[test]
fn addresses_behind_a_hardware_address() {
    let mut behind = Behind::default();
    for n in 0..=255u8 {
        behind.see([192, 0, 2, n].into());
        behind.call_own([198, 51, 100, n].into());
        behind.manage([203, 0, 113, n].into());
    }
    let kept = serde_json::to_string(&behind).unwrap();
    for (prefix, most) in [("192.0.2.", SEEN_MAX), ("198.51.100.", OWN_MAX), ("203.0.113.", MANAGED_MAX)] {
        assert_eq!(kept.matches(prefix).count(), most, "{kept}");
    }
    assert_eq!(behind.own().count(), 0, "no device has so many");
}

/// Flows of TLS of one appliance to these addresses, under one name.
fn to_many(addresses: usize) -> Vec<Packet> {
    let mut all = Vec::new();
    for n in 0..addresses {
        let client = Endpoint::new([2, 0, 0, 0, 0, 1], "10.1.1.1", 30_000 + n as u16);
        let server = Endpoint::new([2, 0, 0, 0, 0, 2], &format!("173.243.{}.{}", n / 250, 1 + n % 250), 443);
        let mut flow = Conversation::new(client, server, START + n as u64 * MINUTE, 1000);
        flow.open();
        flow.send(From::Client, &tls::client_hello(Version::Tls13, Some("usguardservice.fortinet.net")));
        flow.send(From::Server, &tls::server_hello(Version::Tls13));
        flow.send(From::Client, &tls::application_data(Version::Tls13, 300, 1)).close();
        all.extend(flow.packets());
    }
    all
}

fn scanned(packets: &[Packet], options: &[&str]) -> (tempfile::TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.pcap");
    fs::write(&path, pcap(true, packets)).unwrap();
    let output = run(&[&["scan", path.to_str().unwrap(), "--json", "-"], options].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    (folder, serde_json::from_slice(&output.stdout).unwrap())
}

/// A finding tells 64 addresses of its destination, counts all flows, and its evidence is of eight of them.
#[test]
fn addresses_and_proofs_of_a_finding() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = folder.path().join("evidence");
    let (_kept, report) = scanned(&to_many(65), &["--evidence", evidence.to_str().unwrap()]);
    let [finding] = report["findings"].as_array().unwrap().as_slice() else { panic!("{:#}", report["findings"]) };
    assert_eq!(finding["sessions"], 65);
    assert_eq!(finding["destination"]["ip"].as_array().unwrap().len(), 64);
    let manifest: Value = serde_json::from_slice(&fs::read(evidence.join("manifest.json")).unwrap()).unwrap();
    let limit = &manifest["limits"]["finding.flows"];
    assert_eq!(limit["limit"], FLOWS_PER_FINDING_MAX, "{}", manifest["limits"]);
}

/// Many programs behind one address: that it is shared is seen from the first sixteen.
#[test]
fn programs_behind_an_address() {
    let mut all = to_many(1);
    for n in 0..=16 {
        let client = Endpoint::new([2, 0, 0, 0, 0, 1], "10.1.1.1", 50_000 + n);
        let server = Endpoint::new([2, 0, 0, 0, 0, 2], "192.0.2.80", 80);
        let mut flow = Conversation::new(client, server, START + u64::from(n) * MINUTE, 1000);
        let agent = format!("program/{n}");
        flow.open();
        flow.send(
            From::Client,
            &messages::http_request("GET", "/", &[("Host", "a.example"), ("User-Agent", &agent)], &[]),
        );
        flow.close();
        all.extend(flow.packets());
    }
    all.sort_by_key(|packet| packet.time);
    let (_kept, report) = scanned(&all, &[]);
    assert_eq!(report["assets"][0]["shared_address"], true, "{}", report["assets"][0]);
}

/// More files than are mapped at a time: those beyond are read, and nothing is missing.
#[test]
fn files_that_are_mapped_at_a_time() {
    const FILES: usize = 1100;
    let folder = tempfile::tempdir().unwrap();
    let packets = long_flow("10.1.1.1", START, 0);
    for (n, packet) in (0..FILES).zip(packets.iter().cycle()) {
        let packet = Packet::new(START + n as u64 * 1000, packet.bytes.clone());
        fs::write(folder.path().join(format!("n{n:04}.pcap")), pcap(true, &[packet])).unwrap();
    }
    let output = run(&["scan", "-q", folder.path().to_str().unwrap(), "--json", "-"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ledger"]["decoded"], FILES);
}

/// A chain of more links than are followed is an error, and nothing is written somewhere on the way.
#[cfg(unix)]
#[test]
fn links_to_an_output() {
    let folder = tempfile::tempdir().unwrap();
    let link = |n: usize| folder.path().join(format!("link{n}"));
    (0..41).for_each(|n| std::os::unix::fs::symlink(link(n + 1), link(n)).unwrap());
    let to = |n: usize| run(&["scan", DEMO, "--findings", link(n).to_str().unwrap()]).status.code();
    assert_eq!((to(30), link(41).is_file()), (Some(0), true));
    fs::remove_file(link(41)).unwrap();
    assert_eq!(to(0), Some(1));
    assert!((0..41).all(|n| link(n).is_symlink()) && !link(41).exists());
}

/// A name that is only asked for, with ever other answers: 64 addresses of it are kept.
#[test]
fn addresses_of_a_name_that_is_only_asked_for() {
    let mut all = Vec::new();
    for n in 0..10u16 {
        let name = "usguardservice.fortinet.net";
        let asks = Endpoint::new([2, 0, 0, 0, 0, 1], "10.1.1.1", 40_000 + n);
        let resolver = Endpoint::new([2, 0, 0, 0, 0, 9], "10.1.1.53", 53);
        let answers: Vec<Answer<'_>> = (0..20).map(|k| Answer::Address(name, [173, 243, n as u8, k].into())).collect();
        let time = START + u64::from(n) * MINUTE;
        all.push(datagram(time, asks, resolver, &[], &messages::dns_query(n, name, TYPE_A)));
        all.push(datagram(time + 1000, resolver, asks, &[], &messages::dns_response(n, name, TYPE_A, &answers)));
    }
    let (_kept, report) = scanned(&all, &[]);
    let [finding] = report["findings"].as_array().unwrap().as_slice() else { panic!("{:#}", report["findings"]) };
    let kept = finding["destination"]["ip"].as_array().unwrap().len();
    assert_eq!((kept, &finding["attempted_only"]), (64, &true.into()), "{finding}");
}
