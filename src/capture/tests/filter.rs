use std::fs;

use super::super::filter::Filter;
use super::super::walk::Order;
use super::super::{FilterError, Inputs, LinkType, Packet, Source};
use super::{enhanced, interface, pcap_file, section};
use crate::time::Time;

const ETHERNET: LinkType = LinkType(1);
const RAW: LinkType = LinkType(101);

/// Ethernet, IPv4 and a UDP header from and to these ports, `length` bytes in all.
fn udp(from: u16, to: u16, length: usize) -> Vec<u8> {
    let mut bytes = vec![2; 12];
    bytes.extend([0x08, 0x00]);
    bytes.extend([0x45, 0, 0, (length - 14) as u8, 0, 0, 0, 0, 64, 17, 0, 0]);
    bytes.extend([192, 0, 2, 1, 198, 51, 100, 2]);
    bytes.extend(from.to_be_bytes());
    bytes.extend(to.to_be_bytes());
    bytes.resize(length, 0);
    bytes
}

fn matches(expression: &str, bytes: &[u8], original: u32, link: LinkType) -> bool {
    let mut packets =
        vec![Packet { time: Time(0), start: 0, captured: bytes.len() as u32, original, link, interface: 0 }];
    let mut filter = Filter::new(expression, &[link]).unwrap();
    assert_eq!(filter.keep(bytes, &mut packets), Vec::<String>::new());
    packets.len() == 1
}

#[test]
fn expressions_match_as_their_manual_says() {
    let packet = udp(5353, 53, 60);
    for (expression, expected) in [
        ("", true),
        ("udp", true),
        ("tcp", false),
        ("udp port 53", true),
        ("udp port domain", true),
        ("src port 53", false),
        ("portrange 5000-6000", true),
        ("host 192.0.2.1 and not host 198.51.100.3", true),
        ("net 198.51.100.0/24", true),
        ("src net 198.51.100", false),
        ("ether src 02:02:02:02:02:02", true),
        ("ip[8] == 64 && udp[2:2] = 0x35", true),
        ("ip6 host 2001:db8::1", false),
        ("1 / udp[20:2] = 0", false),
        ("udp[500] = 0", false),
        ("ip[0] & 0xf = 5 and ip[2:2] * 2 - 4 = 88", true),
        ("tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", false),
        ("ip proto \\udp", true),
        ("ip6 protochain 6 or ip protochain 17", true),
    ] {
        assert_eq!(matches(expression, &packet, 60, ETHERNET), expected, "{expression}");
        assert!(expression.is_empty() || !matches("udp", &packet[..20], 60, ETHERNET));
        let raw = &packet[14..];
        if !expression.contains("ether") {
            assert_eq!(matches(expression, raw, 46, RAW), expected, "raw: {expression}");
        }
    }
}

#[test]
fn lengths_are_those_on_the_wire() {
    let packet = udp(1, 2, 60);
    assert!(matches("greater 1500", &packet, 1500, ETHERNET));
    assert!(!matches("less 100", &packet, 1500, ETHERNET));
    assert!(matches("len = 1500", &packet, 1500, ETHERNET));
}

#[test]
fn what_libpcap_refuses_is_refused_with_its_words() {
    let error = Filter::new("udp and and", &[ETHERNET]).err().unwrap();
    let FilterError::Invalid { message, .. } = &error else { panic!("{error}") };
    assert!(message.contains("syntax error"), "{message}");
    assert!(error.to_string().contains("udp and and"));
    // Fine for one of the link types is fine.
    assert!(Filter::new("type mgt", &[ETHERNET]).is_err());
    assert!(Filter::new("type mgt", &[ETHERNET, LinkType(105)]).is_ok());
}

#[test]
fn host_names_are_never_resolved() {
    for (expression, word) in [
        ("host www.example.com", "www.example.com"),
        ("udp and dst updates", "updates"),
        ("port domain or gateway", "gateway"),
        ("src host 10.0.0.1 or router", "router"),
        ("(net 10/8) or host(intern)", "intern"),
        ("host a.b", "a.b"),
        ("ether host fileserver", "fileserver"),
    ] {
        match Filter::new(expression, &[ETHERNET]).err() {
            Some(FilterError::Name { name, .. }) => assert_eq!(name, word),
            // `gateway` alone is a syntax error of libpcap, not a name.
            Some(FilterError::Invalid { .. }) => assert_eq!(word, "gateway"),
            _ => panic!("{expression} was accepted"),
        }
    }
}

#[test]
fn packets_that_do_not_match_are_counted_and_have_no_number() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let (dns, other) = (udp(1, 53, 60), udp(1, 2, 60));
    let list = [path.to_string_lossy().into_owned()];
    fs::write(&path, pcap_file(&[(1, &dns), (2, &other), (3, &other), (4, &dns)])).unwrap();
    let mut inputs = Inputs::open(&list, Some("port 53")).unwrap();
    let block = inputs.next_block().unwrap();
    let times: Vec<i64> = block.packets.iter().map(|packet| packet.time.0).collect();
    assert_eq!(times, [1_000_000_000, 4_000_000_000]);
    assert!(inputs.next_block().is_none());
    assert_eq!((inputs.filtered(), inputs.damage().len()), (2, 0));
    assert!(Inputs::open(&list, Some("port")).is_err());
}

#[test]
fn a_link_type_the_filter_cannot_be_applied_to_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let mut bytes = section(Order::Little);
    bytes.extend(interface(Order::Little, 1, 0, &[]));
    bytes.extend(interface(Order::Little, 105, 0, &[]));
    for _ in 0..2 {
        bytes.extend(enhanced(Order::Little, 1, 1, 24, &[0x80; 24]));
        bytes.extend(enhanced(Order::Little, 0, 1, 60, &udp(1, 2, 60)));
    }
    fs::write(&path, bytes).unwrap();
    let list = [path.to_string_lossy().into_owned()];
    let mut inputs = Inputs::open(&list, Some("udp or type mgt")).unwrap();
    let mut packets = 0;
    while let Some(block) = inputs.next_block() {
        packets += block.packets.len();
    }
    assert_eq!((packets, inputs.filtered()), (2, 2));
    let damage = inputs.damage();
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert!(damage[0].reason.contains("link type 1:") && !damage[0].fatal);
}
