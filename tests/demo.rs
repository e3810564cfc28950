//! The demonstration capture is what its generator writes, and what its page says.
//!
//! `BORDERTAP_REGENERATE=1 cargo test --test demo` writes the capture again.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::demo::{EXPECTED, MONTH_BEFORE_NS, START_NS, four_vendors, packets};
use common::hellos::{self, Between};
use common::is_current;
use common::tls::{self, Version};

/// Largest capture that may be kept in the repository.
const CAPTURE_BYTES_MAX: usize = 1 << 20;
/// Columns of the table of what is to be found.
const COLUMNS: usize = 9;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo").join(name)
}

#[test]
fn the_capture_is_what_the_generator_writes() {
    let made = four_vendors();
    assert_eq!(made, four_vendors(), "twice the same bytes");
    assert!(made.len() < CAPTURE_BYTES_MAX, "{} bytes", made.len());
    is_current("fixtures/demo/four-vendors.pcapng", &made);
}

#[test]
fn packets_are_in_order_and_in_their_two_hours() {
    let packets = packets();
    assert!((400..=1200).contains(&packets.len()), "{} packets", packets.len());
    assert!(packets.is_sorted_by_key(|p| p.time));
    let hour = 3_600 * 1_000_000_000;
    for packet in &packets {
        let before = (MONTH_BEFORE_NS - hour..MONTH_BEFORE_NS + hour).contains(&packet.time);
        let now = (START_NS..START_NS + 2 * hour).contains(&packet.time);
        assert!(before || now, "packet at {}", packet.time);
    }
}

#[test]
fn the_page_lists_every_expectation() {
    let page = fs::read_to_string(fixture("README.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| 10.20.") && line.matches('|').count() == COLUMNS + 1)
        .map(|line| line.split('|').skip(1).map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    let said: BTreeSet<Vec<String>> =
        rows.iter().map(|row| row[..COLUMNS - 1].iter().map(|cell| (*cell).to_owned()).collect()).collect();
    let meant: BTreeSet<Vec<String>> = EXPECTED
        .iter()
        .map(|e| {
            let crossing =
                if e.attempted_only { format!("{}, attempted only", e.crossing) } else { e.crossing.to_owned() };
            let months = if e.month_before { "October, November" } else { "November" };
            let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
            vec![
                e.asset.to_owned(),
                e.channel.to_owned(),
                or_dash(e.domain),
                or_dash(e.address),
                or_dash(e.country),
                crossing,
                e.flows.to_string(),
                months.to_owned(),
            ]
        })
        .collect();
    assert_eq!(said, meant);
    assert_eq!(rows.len(), EXPECTED.len(), "no line twice");
}

#[test]
fn every_channel_is_in_a_signature_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("signatures");
    for expected in EXPECTED.iter().filter(|e| e.channel != "unexplained") {
        let vendor = ["fortinet", "palo-alto", "check-point", "vmware"]
            .into_iter()
            .find(|vendor| expected.channel.starts_with(&format!("{vendor}.")))
            .unwrap();
        let text = fs::read_to_string(folder.join(format!("{vendor}.toml"))).unwrap();
        let line = format!("\"{}\"", expected.channel);
        assert!(text.lines().any(|l| l.starts_with("id ") && l.ends_with(&line)), "{} is in no file", expected.channel);
    }
}

/// An independent reader finds every length and checksum right.
#[test]
fn headers_and_checksums_are_right() {
    use etherparse::{NetHeaders, PacketHeaders, PayloadSlice, TransportHeader};
    for (number, packet) in packets().iter().enumerate() {
        let read = PacketHeaders::from_ethernet_slice(&packet.bytes).unwrap();
        let Some(transport) = read.transport else { continue };
        let sums = match (&read.net, &transport, &read.payload) {
            (Some(NetHeaders::Ipv4(ip, _)), TransportHeader::Tcp(tcp), PayloadSlice::Tcp(data)) => {
                assert_eq!(ip.header_checksum, ip.calc_header_checksum(), "packet {number}");
                (tcp.checksum, tcp.calc_checksum_ipv4(ip, data).unwrap())
            }
            (Some(NetHeaders::Ipv6(ip, _)), TransportHeader::Tcp(tcp), PayloadSlice::Tcp(data)) => {
                (tcp.checksum, tcp.calc_checksum_ipv6(ip, data).unwrap())
            }
            (Some(NetHeaders::Ipv4(ip, _)), TransportHeader::Udp(udp), PayloadSlice::Udp(data)) => {
                (udp.checksum, udp.calc_checksum_ipv4(ip, data).unwrap())
            }
            (Some(NetHeaders::Ipv4(..)), TransportHeader::Icmpv4(icmp), PayloadSlice::Icmpv4(data)) => {
                (icmp.checksum, icmp.icmp_type.calc_checksum(data))
            }
            other => panic!("packet {number}: {other:?}"),
        };
        assert_eq!(sums.0, sums.1, "packet {number}");
    }
}

/// The server name of a ClientHello record, as an independent reader finds it.
fn server_name(hello: &[u8]) -> Option<String> {
    use tls_parser::{TlsExtension, TlsMessage, TlsMessageHandshake, parse_tls_extensions, parse_tls_plaintext};
    let (rest, record) = parse_tls_plaintext(hello).unwrap();
    assert!(rest.is_empty());
    let TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello)) = &record.msg[0] else {
        panic!("no ClientHello")
    };
    let (rest, extensions) = parse_tls_extensions(hello.ext.unwrap()).unwrap();
    assert!(rest.is_empty());
    extensions.iter().find_map(|extension| match extension {
        TlsExtension::SNI(names) => Some(String::from_utf8(names[0].1.to_vec()).unwrap()),
        _ => None,
    })
}

#[test]
fn only_the_name_of_a_hello_changes() {
    for (version, original) in
        [(Version::Tls12, "discovery.cem.cloud.us"), (Version::Tls13, "clientservices.googleapis.com")]
    {
        let real = tls::client_hello(version, Some(original));
        let file = match version {
            Version::Tls12 => "tls12-client-hello.bin",
            Version::Tls13 => "tls13-client-hello.bin",
        };
        let kept = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tls").join(file)).unwrap();
        assert_eq!(real, kept, "with its own name it is the real one");

        let long = "a.rather.long.name.with.many.labels.example";
        assert_eq!(server_name(&tls::client_hello(version, Some(long))).as_deref(), Some(long));
        let bare = tls::client_hello(version, None);
        assert_eq!(server_name(&bare), None);
        assert_eq!(bare.len(), kept.len() - original.len() - 9);
        let again = tls::replace_server_name(&bare, Some(long));
        assert_eq!(server_name(&again).as_deref(), Some(long));
    }
}

#[test]
fn certificates_say_what_they_were_told() {
    use common::der::{Certificate, Part, certificate};
    let subject = [Part::Country("US"), Part::Organisation("Fortinet"), Part::CommonName("FG100ETK18000000")];
    let issuer = [Part::DomainComponent("local"), Part::Unit("VMware Engineering"), Part::Email("a@b.example")];
    let der = certificate(Certificate {
        subject: &subject,
        issuer: &issuer,
        names: &["one.example", "two.example"],
        seed: 1,
    });
    let (rest, read) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert!(rest.is_empty());
    assert_eq!(read.subject().to_string(), "C=US, O=Fortinet, CN=FG100ETK18000000");
    assert_eq!(read.issuer().to_string(), "DC=local, OU=VMware Engineering, Email=a@b.example");
    let names: Vec<String> =
        read.subject_alternative_name().unwrap().unwrap().value.general_names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["DNSName(one.example)", "DNSName(two.example)"]);
}

#[test]
fn pieces_and_records_make_the_same_whole() {
    let hello = tls::client_hello(Version::Tls13, Some("www.example.com"));
    let mut pieces = hellos::shuffled(hellos::cut_bytewise(&hello), 7);
    assert_ne!(pieces, hellos::cut_bytewise(&hello));
    pieces.sort_by_key(|p| p.offset);
    assert_eq!(pieces.iter().flat_map(|p| p.bytes.clone()).collect::<Vec<u8>>(), hello);
    assert_eq!(
        hellos::cut(&hello, &[1, 5, 9]).iter().map(|p| p.bytes.len()).collect::<Vec<_>>(),
        [1, 4, 4, hello.len() - 9]
    );

    for count in [1, 2, 3, 64] {
        let records = hellos::rerecord(&hello, count, Between::EmptyRecord);
        assert_eq!(hellos::handshake_bytes(&records), hello[5..]);
        let plain = hellos::rerecord(&hello, count, Between::Nothing);
        assert_eq!(plain.len(), hello.len() + 5 * (count - 1));
        let both = hellos::rerecord(&hello, count, Between::Both);
        assert!(count < 3 || both.len() > plain.len() + 5 + 7 - 1);
    }
}
