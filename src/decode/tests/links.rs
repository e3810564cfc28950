//! Link types and tags, each with the same packet inside.

use super::*;

fn expected() -> (IpAddr, u16, IpAddr, u16) {
    addresses(&read(&tcp_packet(0, false, b"payload"), link::types::ETHERNET).unwrap())
}

fn agrees(bytes: &[u8], link: LinkType) {
    let segment = read(bytes, link).unwrap_or_else(|reason| panic!("{link:?} {reason:?}"));
    assert_eq!(addresses(&segment), expected(), "{link:?}");
    let end = segment.payload + segment.payload_len as usize;
    assert_eq!(&bytes[segment.payload..end], b"payload", "{link:?}");
}

#[test]
fn every_link_type_leads_to_the_same_segment() {
    let frame = tcp_packet(0, false, b"payload");
    let ip = &frame[14..];
    let radio =
        [&[0, 0, 9, 0, 0, 0, 0, 0, 0][..], &[0x88, 1], &[0; 22], &[0, 0, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0], ip].concat();
    let four = [&[0x08, 3][..], &[0; 28], &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], ip].concat();
    let log =
        [&[2, 0, 0, 0][..], &[5, 0, 10, 0, 7, 0, 0, 0], &(ip.len() as u16 + 4).to_le_bytes(), &[9, 0], ip].concat();
    let apple = [&[0; 16][..], &[8, 0], ip].concat();
    let cases: &[(LinkType, Vec<u8>)] = &[
        (link::types::ETHERNET, frame.clone()),
        (link::types::RAW, ip.to_vec()),
        (link::types::RAW_12, ip.to_vec()),
        (link::types::RAW_14, ip.to_vec()),
        (link::types::IPV4, ip.to_vec()),
        (link::types::SLL, [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0], ip].concat()),
        (link::types::SLL2, [&[8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], ip].concat()),
        (link::types::NULL, [&[2, 0, 0, 0], ip].concat()),
        (link::types::LOOP, [&[0, 0, 0, 2], ip].concat()),
        (link::types::PPP, [&[0xff, 3, 0, 0x21], ip].concat()),
        (link::types::PPP, [&[0, 0x21], ip].concat()),
        (link::types::PPP, [&[0x21], ip].concat()),
        (link::types::PPP_HDLC, [&[0xff, 3, 0, 0x21], ip].concat()),
        (link::types::PPP_HDLC, [&[0x0f, 0, 8, 0], ip].concat()),
        (link::types::CISCO_HDLC, [&[0x8f, 0, 8, 0], ip].concat()),
        (link::types::PPP_ETHER, [&[0x11, 0, 0, 1, 0, 49, 0, 0x21], ip].concat()),
        (link::types::APPLE_IEEE1394, apple),
        (link::types::IEEE802_11, four),
        (link::types::RADIOTAP, radio),
        (link::types::NFLOG, log),
    ];
    for (link, bytes) in cases {
        agrees(bytes, *link);
    }
}

/// The header of Apple's captures: length, kind, link type, name, flags; the rest is not needed.
fn pktap(link: u32) -> Vec<u8> {
    let mut header = vec![0; 108];
    header[..4].copy_from_slice(&108u32.to_le_bytes());
    header[4..8].copy_from_slice(&1u32.to_le_bytes());
    header[8..12].copy_from_slice(&link.to_le_bytes());
    header[12..15].copy_from_slice(b"en0");
    header
}

#[test]
fn apples_header_in_both_forms() {
    let frame = tcp_packet(0, false, b"payload");
    for link in [link::types::PKTAP, link::types::PKTAP_OLD] {
        agrees(&[&pktap(1)[..], &frame].concat(), link);
        agrees(&[&pktap(12)[..], &frame[14..]].concat(), link);
        agrees(&[&pktap(0)[..], &[30, 0, 0, 0], &frame[14..]].concat(), link);
        let mut second = [0; 80];
        second[0] = 80;
        second[6..8].copy_from_slice(&1u16.to_le_bytes());
        second[36..40].copy_from_slice(&0x0008_0000u32.to_le_bytes());
        agrees(&[&second[..], &frame].concat(), link);
        // One in another, a header that is no packet's, one that is cut.
        let nested = [&pktap(258)[..], &pktap(1), &frame].concat();
        assert_eq!(read(&nested, link), Err(Reason::LinkUnknown));
        let mut other = pktap(1);
        other[4] = 2;
        assert_eq!(read(&[&other[..], &frame].concat(), link), Err(Reason::LinkNotIp));
        assert_eq!(read(&pktap(1)[..60], link), Err(Reason::LinkTruncated));
    }
}

/// What is too short, says it is nothing that is read, or never comes to the packet.
#[test]
fn link_headers_that_cannot_be() {
    let ip = inner();
    let ethernet = |kind: [u8; 2], behind: &[u8]| [&[2; 12][..], &kind, behind].concat();
    let records = [&[2, 0, 0, 0][..], &[8, 0, 10, 0, 7, 0, 0, 0].repeat(70)].concat();
    let cases: &[(LinkType, Vec<u8>, Reason)] = &[
        (link::types::NULL, vec![2, 0, 0, 0], Reason::LinkTruncated),
        (link::types::LOOP, vec![0, 0, 0, 2], Reason::LinkTruncated),
        (link::types::SLL2, vec![8, 0, 0, 0, 0, 0, 0, 1, 0, 1], Reason::LinkTruncated),
        (link::types::NFLOG, [&[2, 0, 0, 0, 3, 0, 10, 0][..], &ip].concat(), Reason::LinkTruncated),
        (link::types::NFLOG, records, Reason::LinkNotIp),
        // PPPoE: discovery is no session (RFC 2516, section 5), version and type are both 1, the code is 0 (section 4).
        (link::types::ETHERNET, ethernet([0x88, 0x63], &[0x11, 9, 0, 0, 0, 0]), Reason::LinkTunnel),
        (link::types::ETHERNET, ethernet([0x88, 0x64], &[0x21, 0, 0, 1, 0, 2, 0, 0x21]), Reason::LinkTunnel),
        (link::types::PPP_ETHER, vec![0x11, 0xa7, 0, 1, 0, 2, 0, 0x21], Reason::LinkTunnel),
        // A protocol of PPP that carries no packet: LCP.
        (link::types::PPP, vec![0xff, 3, 0xc0, 0x21, 1, 1, 0, 4], Reason::LinkTunnel),
    ];
    for (link, bytes, reason) in cases {
        assert_eq!(read(bytes, *link), Err(*reason), "{link:?} {bytes:02x?}");
    }
    // Whoever reads frames reads those of Ethernet.
    let arp = ethernet([8, 6], &[0; 28]);
    assert!(crate::decode::frame(&arp, &packet(&arp, link::types::ETHERNET), 1).is_some());
    assert_eq!(crate::decode::frame(&arp, &packet(&arp, link::types::SLL), 1), None);
}

#[test]
fn four_tags_are_read_and_the_outermost_is_kept() {
    let frame = tcp_packet(0, false, b"payload");
    for tags in 0..=4u8 {
        let kinds = [[0x81, 0], [0x88, 0xa8], [0x91, 0], [0x81, 0]];
        let all: Vec<u8> = (0..tags).flat_map(|n| [kinds[usize::from(n)], [0x20, 100 + n]].concat()).collect();
        let bytes = [&frame[..12], &all, &frame[12..]].concat();
        agrees(&bytes, link::types::ETHERNET);
        let vlan = read(&bytes, link::types::ETHERNET).unwrap().vlan;
        assert_eq!(vlan, (tags > 0).then_some(100));
    }
    // A tag for priority only is VLAN 0.
    let bytes = [&frame[..12], &[0x81, 0, 0xe0, 0], &frame[12..]].concat();
    assert_eq!(read(&bytes, link::types::ETHERNET).unwrap().vlan, Some(0));
}

#[test]
fn frames_with_a_length_carry_ip_behind_snap() {
    let frame = tcp_packet(0, false, b"payload");
    let snap = |kind: [u8; 2], ip: &[u8]| {
        let len = (ip.len() as u16 + 8).to_be_bytes();
        [&frame[..12], &len, &[0xaa, 0xaa, 3, 0, 0, 0], &kind, ip, &[0; 4]].concat()
    };
    agrees(&snap([8, 0], &frame[14..]), link::types::ETHERNET);
    // ARP, another organisation, plain LLC: for whoever reads frames.
    for bytes in [snap([8, 6], &[0; 28]), snap([0x20, 0], &[0; 28])] {
        assert_eq!(read(&bytes, link::types::ETHERNET), Err(Reason::LinkLlc));
    }
    let spanning_tree = [&frame[..12], &[0, 38, 0x42, 0x42, 3], &[0; 35]].concat();
    assert_eq!(read(&spanning_tree, link::types::ETHERNET), Err(Reason::LinkLlc));
}

#[test]
fn what_is_encrypted_or_no_data_is_not_read() {
    let ip = tcp_packet(0, false, b"payload")[14..].to_vec();
    let frame =
        |control: u8, flags: u8| [&[control, flags][..], &[0; 22], &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &ip].concat();
    assert!(read(&frame(0x08, 0x02), link::types::IEEE802_11).is_ok());
    for (control, flags) in [(0x80, 0), (0x08, 0x42), (0x48, 0x02), (0xb4, 0)] {
        assert_eq!(read(&frame(control, flags), link::types::IEEE802_11), Err(Reason::LinkNotIp));
    }
}

/// A log of netfilter with more records before its packet than are stepped over has no packet.
#[test]
fn records_before_the_packet_of_a_log() {
    let frame = tcp_packet(0, false, b"payload");
    let ip = &frame[14..];
    let log = |before: usize| {
        let payload = [&(ip.len() as u16 + 4).to_le_bytes()[..], &[9, 0], ip].concat();
        [&[2, 0, 0, 0][..], &[5, 0, 10, 0, 7, 0, 0, 0].repeat(before), &payload].concat()
    };
    agrees(&log(link::NFLOG_RECORDS_MAX - 1), link::types::NFLOG);
    assert_eq!(read(&log(link::NFLOG_RECORDS_MAX), link::types::NFLOG).unwrap_err(), Reason::LinkNotIp);
}
