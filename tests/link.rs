//! Hardware addresses and what is told on the link: whose they are, and whose they are not.
//!
//! Each test makes a small network and asks the program who is an appliance in it. 00:09:0f is a prefix of Fortinet and
//! 00:1b:17 one of Palo Alto Networks (IEEE).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::Command;

use bordertap::collect::{Behind, is_one_device};
use bordertap::merge::Merge;
use common::capture;
use common::packets::{Endpoint, Mac, Packet, arp, datagram, ethernet};
use proptest::prelude::*;
use serde_json::Value;

const BOX: Mac = [0x00, 0x09, 0x0f, 0, 0, 1];
const OTHER_BOX: Mac = [0x00, 0x1b, 0x17, 0, 0, 1];
const HOST: Mac = [2, 0, 0, 0, 0, 1];
const EVERYBODY: Mac = [0xff; 6];

/// A signature for each protocol of the link.
const SIGNATURES: &str = r#"
format  = 1
vendor  = "Example"
checked = 2026-11-23

[[identity]]
id      = "example.box"
product = "a box"
basis   = "inferred"
source  = ["https://www.example.com/"]

  [[identity.when]]
  dhcp.vendor_class = "Example box*"
  confidence        = 80

  [[identity.when]]
  lldp.system_description = "Example box*"
  confidence              = 80

  [[identity.when]]
  cdp.platform = "Example box"
  confidence   = 80

  [[identity.example]]
  dhcp.vendor_class = "Example box 1.0"

  [[identity.example]]
  lldp.system_description = "Example box 1.0"

  [[identity.example]]
  cdp.platform = "Example box"

  [[identity.counterexample]]
  why               = "another box"
  dhcp.vendor_class = "MSFT 5.0"
"#;

/// The network and its clock.
#[derive(Default)]
struct Network(Vec<Packet>);

impl Network {
    fn put(&mut self, bytes: Vec<u8>) -> &mut Network {
        let time = 1_800_000_000_000_000_000 + self.0.len() as u64 * 1_000_000;
        self.0.push(Packet::new(time, bytes));
        self
    }

    /// A datagram that no protocol knows.
    fn talk(&mut self, from: (Mac, &str), to: (Mac, &str)) -> &mut Network {
        self.udp((from.0, from.1, 40_000), (to.0, to.1, 40_001), b"\xff\xfe\xfd\xfc")
    }

    fn udp(&mut self, from: (Mac, &str, u16), to: (Mac, &str, u16), payload: &[u8]) -> &mut Network {
        let ends = [from, to].map(|(mac, ip, port)| Endpoint::new(mac, ip, port));
        let packet = datagram(0, ends[0], ends[1], &[], payload);
        self.put(packet.bytes)
    }

    fn asks(&mut self, mac: Mac, address: &str) -> &mut Network {
        self.put(arp(false, (mac, address.parse().unwrap()), ([0; 6], "10.0.0.254".parse().unwrap())))
    }

    fn answers(&mut self, mac: Mac, address: &str) -> &mut Network {
        self.put(arp(true, (mac, address.parse().unwrap()), (HOST, "10.0.0.9".parse().unwrap())))
    }

    /// What the program says with this option, sorted; the same with one worker and with four.
    fn scan(&self, option: &str) -> Vec<Value> {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let capture = write("link.pcap", &capture::pcap(false, &self.0));
        let signatures = write("signatures/example.toml", SIGNATURES.as_bytes());
        let with = |workers: &str| {
            let output = Command::new(env!("CARGO_BIN_EXE_bordertap"))
                .args(["scan", "-q", "-j", workers, "--signatures"])
                .arg(signatures.parent().unwrap())
                .arg(&capture)
                .args([option, "-"])
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let lines = with("1");
        assert_eq!(lines, with("4"));
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Address, hardware address and vendor of each asset.
    fn assets(&self) -> Vec<(String, String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let assets = self.scan("--assets");
        assets.iter().map(|asset| (text(&asset["ip"]), text(&asset["mac"]), text(&asset["vendor"]))).collect()
    }

    /// The assets are just these addresses, each with its own hardware address.
    fn has_just(&self, mac: Mac, addresses: &[&str], vendor: &str) {
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        let mut want: Vec<_> = addresses.iter().map(|ip| (ip.to_string(), mac.clone(), vendor.to_owned())).collect();
        want.sort();
        let mut have = self.assets();
        have.sort();
        assert_eq!(have, want);
    }
}

#[test]
fn a_host_on_the_link_has_its_hardware_address() {
    let mut network = Network::default();
    network.talk((BOX, "10.0.0.1"), (HOST, "10.0.0.9"));
    network.has_just(BOX, &["10.0.0.1"], "Fortinet");
}

#[test]
fn a_router_is_itself_and_nobody_behind_it() {
    let mut network = Network::default();
    for behind in ["10.1.0.5", "10.1.0.6", "10.2.0.7", "203.0.113.8"] {
        network.talk((HOST, "10.0.0.9"), (BOX, behind));
    }
    assert_eq!(network.assets(), [], "nobody told who the router is");
    for flow in network.scan("--flows") {
        assert!(flow["bordertap"]["verdicts"].is_null(), "{flow}");
    }
    network.asks(BOX, "10.0.0.1");
    network.has_just(BOX, &["10.0.0.1"], "Fortinet");
}

#[test]
fn one_host_behind_a_router_that_told_its_own_address_is_not_the_router() {
    let mut network = Network::default();
    network.talk((HOST, "10.0.0.9"), (BOX, "10.7.0.5")).asks(BOX, "10.0.0.1");
    network.has_just(BOX, &["10.0.0.1"], "Fortinet");
}

#[test]
fn two_hosts_behind_one_hardware_address_are_not_told_from_a_router() {
    let mut network = Network::default();
    network.talk((BOX, "10.0.0.1"), (HOST, "10.0.0.9")).talk((BOX, "10.0.0.2"), (HOST, "10.0.0.9"));
    assert_eq!(network.assets(), []);
}

#[test]
fn a_host_with_aliases_says_so_itself() {
    let mut network = Network::default();
    for alias in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        network.talk((BOX, alias), (HOST, "10.0.0.9")).asks(BOX, alias);
    }
    network.has_just(BOX, &["10.0.0.1", "10.0.0.2", "10.0.0.3"], "Fortinet");
}

#[test]
fn a_host_with_both_ip_versions_is_one_device() {
    let mut network = Network::default();
    let (own, group): (Mac, Mac) = (HOST, [0x33, 0x33, 0, 0, 0, 0xfb]);
    network
        .talk((BOX, "10.0.0.1"), (own, "10.0.0.9"))
        .talk((BOX, "fe80::1234"), (own, "fe80::9"))
        .talk((BOX, "2001:db8:0:1::1234"), (own, "2001:db8:0:1::9"))
        .udp((BOX, "fe80::1234", 5000), (group, "ff02::fb", 5000), b"\xff\xfe\xfd\xfc");
    // The global address is outside, and what is known of the local one is known of the device.
    network.has_just(BOX, &["10.0.0.1"], "Fortinet");
}

#[test]
fn who_answers_for_others_does_not_have_their_addresses() {
    let mut network = Network::default();
    for remote in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        network.answers(BOX, remote).talk((HOST, "10.0.0.9"), (BOX, remote));
    }
    // It is there, under the address that its hardware address makes.
    network.has_just(BOX, &["fe80::209:fff:fe00:1"], "Fortinet");
}

#[test]
fn an_address_that_two_claim_has_no_hardware_address() {
    let mut network = Network::default();
    network.asks(BOX, "10.0.0.1").asks(OTHER_BOX, "10.0.0.1").talk((BOX, "10.0.0.1"), (HOST, "10.0.0.9"));
    assert!(network.assets().iter().all(|(ip, ..)| ip != "10.0.0.1"), "{:?}", network.assets());
}

#[test]
fn hardware_addresses_that_routers_share_are_nobodys() {
    // RFC 5798, section 7.3: the virtual router 5 of IPv4. Then HSRP in both versions, and GLBP.
    let shared: [Mac; 5] = [
        [0, 0, 0x5e, 0, 1, 5],
        [0, 0, 0x5e, 0, 2, 5],
        [0, 0, 0x0c, 0x07, 0xac, 5],
        [0, 0, 0x0c, 0x9f, 0xf0, 5],
        [0, 0x07, 0xb4, 0, 1, 2],
    ];
    assert!(shared.iter().all(|mac| !is_one_device(mac)));
    assert!(is_one_device(&BOX) && !is_one_device(&EVERYBODY) && !is_one_device(&[0; 6]));
    // The address of the group is answered for by whoever is in charge, who has a hardware address of its own.
    let mut network = Network::default();
    network.talk((HOST, "10.0.0.9"), (shared[0], "10.0.0.1")).asks(BOX, "10.0.0.1");
    network.talk((HOST, "10.0.0.9"), (shared[0], "10.1.0.5"));
    network.has_just(BOX, &["10.0.0.1"], "Fortinet");
}

#[test]
fn who_speaks_to_all_on_the_link_has_the_address() {
    let mut network = Network::default();
    network.udp((BOX, "10.0.0.1", 138), (EVERYBODY, "255.255.255.255", 138), b"\xff\xfe\xfd\xfc");
    for behind in ["10.1.0.5", "10.1.0.6", "203.0.113.8"] {
        network.talk((HOST, "10.0.0.9"), (BOX, behind));
    }
    network.has_just(BOX, &["10.0.0.1"], "Fortinet");
}

/// A Check Point cluster member probes from 0.0.0.0, as `fixtures/built/ccp.txt` has it.
#[test]
fn who_sends_without_an_address_stands_under_its_hardware_address() {
    const PROBE: &[u8] = b"\x1a\x90\x02\x1d\x07\xd1\x00\x03\x00\x03\x03\x09\x00\x01\xff\xfe\x10\x92\0\0\0\0\0\x02";
    let mut network = Network::default();
    network.udp((HOST, "0.0.0.0", 8116), ([1, 0, 0x5e, 0x15, 3, 1], "172.21.3.0", 8116), PROBE);
    network.has_just(HOST, &["fe80::ff:fe00:1"], "Check Point");
    let mut network = Network::default();
    network.udp((HOST, "203.0.113.9", 8116), (BOX, "172.21.3.1", 8116), PROBE);
    assert!(network.assets().iter().all(|(.., vendor)| vendor != "Check Point"), "somebody outside is no asset");
}

/// A DHCP message as RFC 2131, figure 1, draws it.
fn dhcp(operation: u8, client: Mac, gives: [u8; 4], options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; 236];
    bytes[..3].copy_from_slice(&[operation, 1, 6]);
    bytes[16..20].copy_from_slice(&gives);
    bytes[28..34].copy_from_slice(&client);
    bytes.extend_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    for (code, value) in options {
        bytes.extend_from_slice(&[*code, value.len() as u8]);
        bytes.extend_from_slice(value);
    }
    bytes.push(255);
    bytes
}

#[test]
fn what_a_dhcp_client_says_counts_for_the_address_it_gets() {
    let mut network = Network::default();
    let (client, other): (Mac, Mac) = ([2, 0, 0, 0, 0, 7], [2, 0, 0, 0, 0, 8]);
    let discover = |client, class: &[u8]| dhcp(1, client, [0; 4], &[(53, &[1]), (60, class)]);
    network.udp((client, "0.0.0.0", 68), (EVERYBODY, "255.255.255.255", 67), &discover(client, b"Example box 2")).udp(
        (other, "0.0.0.0", 68),
        (EVERYBODY, "255.255.255.255", 67),
        &discover(other, b"MSFT 5.0"),
    );
    let unknown = "fe80::ff:fe00:7";
    network.has_just(client, &[unknown], "Example");
    let ack = |client, last| dhcp(2, client, [10, 0, 0, last], &[(53, &[5])]);
    network.udp((HOST, "10.0.0.254", 67), (EVERYBODY, "255.255.255.255", 68), &ack(client, 50)).udp(
        (HOST, "10.0.0.254", 67),
        (EVERYBODY, "255.255.255.255", 68),
        &ack(other, 51),
    );
    network.has_just(client, &["10.0.0.50"], "Example");
}

#[test]
fn what_a_relay_agent_passes_on_is_the_clients() {
    let mut network = Network::default();
    let client: Mac = [2, 0, 0, 0, 0, 7];
    let mut discover = dhcp(1, client, [0; 4], &[(53, &[1]), (60, b"Example box 2")]);
    discover[24..28].copy_from_slice(&[10, 5, 0, 1]);
    network.udp((BOX, "10.5.0.1", 67), (HOST, "10.0.0.254", 67), &discover);
    let assets = network.assets();
    let example: Vec<_> = assets.iter().filter(|(.., vendor)| vendor == "Example").collect();
    assert_eq!(example.len(), 1);
    assert_eq!(example[0].0, "fe80::ff:fe00:7");
    let ack = dhcp(2, client, [10, 5, 0, 60], &[(53, &[5])]);
    network.udp((HOST, "10.0.0.254", 67), (BOX, "10.5.0.1", 67), &ack);
    assert!(network.assets().iter().any(|(ip, _, vendor)| ip == "10.5.0.60" && vendor == "Example"));
}

#[test]
fn a_switch_is_known_where_it_is_managed() {
    let element = |kind: u16, value: &[u8]| [&(kind << 9 | value.len() as u16).to_be_bytes(), value].concat();
    let message = [
        element(1, b"\x04\x02\0\0\0\0\x05"),
        element(2, b"\x05port 7"),
        element(3, &[0, 120]),
        element(6, b"Example box 1.1"),
        element(8, &[5, 1, 10, 0, 0, 5, 2, 0, 0, 0, 1, 0]),
        element(0, &[]),
    ];
    let mut network = Network::default();
    network.put(ethernet([2, 0, 0, 0, 0, 6], [1, 0x80, 0xc2, 0, 0, 0x0e], &[], 0x88cc, &message.concat()));
    let assets = network.assets();
    assert_eq!(assets.len(), 1);
    assert_eq!((assets[0].0.as_str(), assets[0].2.as_str()), ("10.0.0.5", "Example"));
}

fn behind() -> impl Strategy<Value = Behind> {
    let address = prop_oneof![
        (0u8..4, any::<u8>()).prop_map(|(net, host)| std::net::IpAddr::from([10, 0, net, host])),
        (0u16..4, any::<u16>()).prop_map(|(net, host)| [0x2001, 0xdb8, 0, net, 0, 0, 0, host].into()),
        any::<u16>().prop_map(|host| [0xfe80, 0, 0, 0, 0, 0, 0, host].into()),
    ];
    prop::collection::vec((0u8..3, address), 0..100).prop_map(|said| {
        let mut behind = Behind::default();
        for (how, address) in said {
            match how {
                0 => behind.see(address),
                1 => behind.call_own(address),
                _ => behind.manage(address),
            }
        }
        behind
    })
}

proptest! {
    #[test]
    fn what_stands_behind_a_hardware_address_merges_in_any_order(a in behind(), b in behind(), c in behind()) {
        let merged = |mut a: Behind, b: &Behind| {
            a.merge(b.clone());
            a
        };
        let all = merged(merged(a.clone(), &b), &c);
        prop_assert_eq!(&all, &merged(a.clone(), &merged(b.clone(), &c)));
        prop_assert_eq!(&all, &merged(merged(c.clone(), &b), &a));
        prop_assert_eq!(&all, &merged(all.clone(), &a), "again");
        prop_assert_eq!(merged(a.clone(), &Behind::default()), a);
        let own: Vec<_> = all.own().collect();
        let unclaimed: Vec<_> = all.unclaimed().collect();
        prop_assert!(unclaimed.iter().all(|address| !own.contains(address)));
    }
}
