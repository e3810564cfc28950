//! Tunnels, each laid out by hand as its document draws it: the flow is that of the packet inside, and bytes that only
//! look like a tunnel leave the outer flow as it is.

use super::*;

/// What is read in these bytes: addresses, payload and tunnels.
fn inside(bytes: &[u8], link: LinkType) -> (Segment, Vec<&'static str>) {
    let segment = read(bytes, link).unwrap_or_else(|reason| panic!("{reason:?} {bytes:02x?}"));
    (segment, segment.tunnels.names().collect())
}

fn frame() -> Vec<u8> {
    tcp_packet(0, false, b"payload")
}

/// An Ethernet frame with this EtherType.
fn ethernet(kind: u16, behind: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8][..], &kind.to_be_bytes(), behind].concat()
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Every tunnel: its names, and bytes with the packet of [`inner`] or the frame of [`frame`] inside.
fn tunnels() -> Vec<(Vec<&'static str>, Vec<u8>, LinkType)> {
    let (ip, frame) = (&inner()[..], &frame()[..]);
    let ppp = join(&[&[0x00, 0x21], ip]);
    let nsh = join(&[&[0x0f, 0xc6, 1, 3], &[0; 20], frame]);
    let [gtp_high, gtp_low] = (ip.len() as u16).to_be_bytes();
    let [more_high, more_low] = (ip.len() as u16 + 8).to_be_bytes();
    let raw = |names: &[&'static str], bytes: Vec<u8>| (names.to_vec(), bytes, link::types::RAW);
    let l2 = |names: &[&'static str], kind: u16, behind: &[u8]| {
        (names.to_vec(), ethernet(kind, behind), link::types::ETHERNET)
    };
    let [l2tp_high, l2tp_low] = (ppp.len() as u16 + 18).to_be_bytes();
    let [pppoe_high, pppoe_low] = (ppp.len() as u16).to_be_bytes();
    vec![
        raw(&["ipip"], ipv4(4, ip)),
        raw(&["ipip"], ipv4(94, ip)),
        raw(&["ah", "ipip"], ipv4(51, &join(&[&[4, 4, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1], &[9; 12], ip]))),
        raw(&["etherip"], ipv4(97, &join(&[&[0x30, 0], frame]))),
        raw(&["mpls"], ipv4(137, &join(&[&[0, 1, 1, 64], ip]))),
        // GRE: plain; checksum; key; key and sequence number; bridged with a key (NVGRE); with two source routes.
        raw(&["gre"], ipv4(47, &join(&[&[0, 0, 8, 0], ip]))),
        raw(&["gre"], ipv4(47, &join(&[&[0x80, 0, 8, 0, 1, 2, 0, 0], ip]))),
        raw(&["gre"], ipv4(47, &join(&[&[0x20, 0, 8, 0, 0, 0, 0, 1], ip]))),
        raw(&["gre"], ipv4(47, &join(&[&[0x30, 0, 8, 0, 0, 0, 0, 1, 0, 0, 0, 2], ip]))),
        raw(&["gre"], ipv4(47, &join(&[&[0x20, 0, 0x65, 0x58, 0, 0, 7, 1], frame]))),
        raw(&["gre"], ipv4(47, &join(&[&[0x40, 0, 8, 0, 0, 0, 0, 0, 8, 0, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0], ip]))),
        raw(&["gre"], ipv4(47, &join(&[&[0, 0, 0x81, 0, 0, 7, 8, 0], ip]))),
        raw(&["gre", "mpls"], ipv4(47, &join(&[&[0, 0, 0x88, 0x47, 0, 1, 1, 64], ip]))),
        raw(&["gre", "nsh"], ipv4(47, &join(&[&[0, 0, 0x89, 0x4f], &nsh]))),
        raw(&["gre"], ipv4(47, &join(&[&[0, 0, 0x88, 0x3e], ip]))),
        raw(&["gre"], ipv4(47, &join(&[&[0, 0, 0x88, 0x3e, 0, 0, 1, 2], ip]))),
        raw(
            &["gre"],
            ipv4(47, &join(&[&[0x30, 0x81, 0x88, 0x0b, 0, 44, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 3], &ppp])),
        ),
        raw(&["gre"], ipv4(47, &join(&[&[0x30, 0x01, 0x88, 0x0b, 0, 44, 0, 9, 0, 0, 0, 1, 0x21], ip]))),
        raw(&["gre"], ipv4(47, &join(&[&[0, 0, 0x88, 0x0b], &ppp]))),
        raw(&["erspan"], ipv4(47, &join(&[&[0, 0, 0x88, 0xbe], frame]))),
        raw(&["erspan"], ipv4(47, &join(&[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 7, 0, 1, 0, 0, 0, 3], frame]))),
        raw(
            &["erspan"],
            ipv4(47, &join(&[&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 7, 0, 1], &[0, 0, 0, 3, 0, 0, 0, 0], frame])),
        ),
        raw(
            &["erspan"],
            ipv4(
                47,
                &join(&[&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 7, 0, 1], &[0, 0, 0, 3, 0, 0, 0x08, 1], &[5; 8], ip]),
            ),
        ),
        raw(&["gre"], udp(4754, &join(&[&[0, 0, 8, 0], ip]))),
        raw(&["mpls"], udp(6635, &join(&[&[0, 1, 1, 64], ip]))),
        raw(&["vxlan"], udp(4789, &join(&[&[8, 0, 0, 0, 0, 0, 7, 0], frame]))),
        raw(&["vxlan"], udp(8472, &join(&[&[8, 0, 0, 0, 0, 0, 7, 0], frame]))),
        raw(&["vxlan-gpe"], udp(4790, &join(&[&[0x0c, 0, 0, 1, 0, 0, 7, 0], ip]))),
        raw(&["vxlan-gpe"], udp(4790, &join(&[&[0x0c, 0, 0, 3, 0, 0, 7, 0], frame]))),
        raw(&["vxlan-gpe", "nsh"], udp(4790, &join(&[&[0x0c, 0, 0, 4, 0, 0, 7, 0], &nsh]))),
        raw(&["geneve"], udp(6081, &join(&[&[0, 0, 0x65, 0x58, 0, 0, 7, 0], frame]))),
        raw(
            &["geneve"],
            udp(6081, &join(&[&[4, 0x40, 8, 0, 0, 0, 7, 0], &[0, 1, 2, 1, 9, 9, 9, 9, 0, 1, 3, 1, 8, 8, 8, 8], ip])),
        ),
        raw(&["gtp-u"], udp(2152, &join(&[&[0x30, 255, gtp_high, gtp_low, 0, 0, 0, 9], ip]))),
        raw(
            &["gtp-u"],
            udp(2152, &join(&[&[0x34, 255, more_high, more_low, 0, 0, 0, 9, 0, 0, 0, 0x85, 1, 0x10, 0, 0], ip])),
        ),
        raw(&["gtp-u"], udp(3386, &join(&[&[0x1e, 255, gtp_high, gtp_low], &[0; 16], ip]))),
        raw(&["l2tp"], udp(1701, &join(&[&[0, 2, 0, 1, 0, 2], &ppp]))),
        raw(
            &["l2tp"],
            udp(1701, &join(&[&[0x4a, 2, l2tp_high, l2tp_low, 0, 1, 0, 2, 0, 3, 0, 4, 0, 2, 0, 0, 0xff, 3], &ppp])),
        ),
        raw(&["l2tp"], udp(1701, &join(&[&[0, 3, 0, 0, 0, 0, 0, 9], &[5; 8], frame]))),
        raw(&["l2tp"], udp(1701, &join(&[&[0, 3, 0, 0, 0, 0, 0, 9], &[5; 4], ip]))),
        raw(&["l2tp"], ipv4(115, &join(&[&[0, 0, 0, 9], &[0x40, 0, 0, 1], frame]))),
        raw(&["capwap"], udp(5247, &join(&[&[0, 0x10, 0x02, 0, 0, 0, 0, 0], frame]))),
        raw(&["capwap"], udp(5247, &join(&[&[0, 0x10, 0x03, 0, 0, 0, 0, 0], &wireless(&[], ip, 0x01)]))),
        // Labels behind PPP (RFC 3032, section 4.3).
        (vec!["mpls"], join(&[&[0xff, 3, 0x02, 0x81, 0, 1, 1, 64], ip]), link::types::PPP),
        l2(&["pppoe"], 0x8864, &join(&[&[0x11, 0, 0, 1, pppoe_high, pppoe_low], &ppp, &[0; 6]])),
        l2(&["mpls"], 0x8847, &join(&[&[0, 1, 0, 64, 0, 2, 1, 64], ip])),
        // An Ethernet frame behind labels, with a control word and without.
        l2(&["mpls"], 0x8847, &join(&[&[0, 1, 1, 64, 0, 0, 0, 5], frame])),
        l2(&["mpls"], 0x8848, &join(&[&[0, 1, 1, 64], frame])),
        l2(&["mpls"], 0x8847, &join(&[&[0, 1, 1, 64], &tcp_packet(1, false, b"payload")])),
        l2(&["nsh"], 0x894f, &nsh),
        // Context headers of another length, with an IP packet, another service header and labels behind (RFC 8300).
        l2(&["nsh"], 0x894f, &join(&[&[0x0f, 0xc2, 2, 1, 0, 0, 1, 255], ip])),
        l2(&["nsh", "nsh"], 0x894f, &join(&[&[0x0f, 0xc3, 2, 4, 0, 0, 1, 255], &[0; 4], &nsh])),
        l2(&["nsh", "mpls"], 0x894f, &join(&[&[0x0f, 0xc2, 2, 5, 0, 0, 1, 254, 0, 1, 1, 64], ip])),
        l2(&["pbb"], 0x88e7, &join(&[&[0, 0, 0, 7], frame])),
        l2(&["vn-tag"], 0x8926, &join(&[&[0, 1, 0, 2, 8, 0], ip])),
        l2(&["e-tag"], 0x893f, &join(&[&[0, 1, 0, 2, 0, 0, 0x81, 0, 0, 5, 8, 0], ip])),
        // Provider tags around the frame of a provider's customer with a tag of its own.
        l2(&["pbb"], 0x88a8, &join(&[&[0, 3, 0x88, 0xe7, 0, 0, 0, 7], &tcp_packet(1, false, b"payload")])),
    ]
}

/// An 802.11 data frame; `flags` is the second byte of its frame control field.
fn wireless(quality: &[u8], ip: &[u8], flags: u8) -> Vec<u8> {
    let control = if quality.is_empty() { 0x08 } else { 0x88 };
    [&[control, flags], &[0; 22][..], quality, &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], ip].concat()
}

#[test]
fn the_flow_of_a_tunnel_is_that_of_the_packet_inside() {
    let expected = addresses(&read(&frame(), link::types::ETHERNET).unwrap());
    for (names, bytes, link) in tunnels() {
        let (segment, found) = inside(&bytes, link);
        assert_eq!((addresses(&segment), &found), (expected, &names), "{bytes:02x?}");
        let end = segment.payload + segment.payload_len as usize;
        assert_eq!(&bytes[segment.payload..end], b"payload", "{names:?}");
        assert_eq!((segment.ip_bytes, segment.packets, segment.payload_cut), (47, 1, 0), "{names:?}");
    }
}

/// The bit of a port is set when datagrams to it may be a tunnel, and of no other port.
#[test]
fn every_port_of_a_tunnel_is_asked_and_no_other() {
    let bits = tunnel::port_bits();
    // IANA: L2TP, GTP-U, GTP', Teredo, GRE, VXLAN and its extension, CAPWAP data, Geneve, MPLS; Linux's first for VXLAN.
    let known = [1701, 2152, 3386, 3544, 4754, 4789, 4790, 5247, 6081, 6635, 8472];
    for port in 0..=u16::MAX {
        let asked = bits[usize::from(port / 64)] >> (port % 64) & 1 == 1;
        assert_eq!((asked, tunnel::may_be_at([port, 9])), (known.contains(&port), known.contains(&port)), "{port}");
        assert_eq!(tunnel::may_be_at([9, port]), asked, "{port}");
    }
}

#[test]
fn behind_an_authentication_header_the_addresses_are_the_same() {
    let bytes = ipv4(51, &join(&[&[6, 4, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1], &[9; 12], &inner()[20..]]));
    let (segment, names) = inside(&bytes, link::types::RAW);
    let expected = ("198.51.100.1".parse().unwrap(), 40000, "198.51.100.2".parse().unwrap(), 443);
    assert_eq!((names, addresses(&segment), segment.payload_len), (vec!["ah"], expected, 7));
}

#[test]
fn teredo_with_and_without_its_headers() {
    let mut ip = tcp_packet(0, true, b"payload")[14..].to_vec();
    ip[8..12].copy_from_slice(&[0x20, 0x01, 0, 0]);
    let authentication = [&[0, 1, 2, 3][..], &[7; 5], &[8; 8], &[0]].concat();
    let origin = [0, 0, 1, 2, 3, 4, 5, 6];
    let other = tcp_packet(0, true, b"payload")[14..].to_vec();
    for front in [vec![], authentication.clone(), origin.to_vec(), [&authentication[..], &origin].concat()] {
        let (segment, names) = inside(&udp(3544, &[&front[..], &ip].concat()), link::types::RAW);
        assert_eq!((names, segment.key.version(), addresses(&segment).3), (vec!["teredo"], 6, 443));
        // Neither address is one of Teredo's or of a link.
        let (segment, names) = inside(&udp(3544, &[&front[..], &other].concat()), link::types::RAW);
        assert_eq!((names.len(), segment.key.protocol()), (0, protocol::UDP));
    }
}

#[test]
fn several_frames_in_one_wireless_frame_give_the_first() {
    let ip = inner();
    let subframe =
        [&[1; 6][..], &[2; 6], &(ip.len() as u16 + 8).to_be_bytes(), &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &ip].concat();
    let frame = [&[0x88, 2][..], &[0; 22], &[0x80, 0], &subframe, &[0], &subframe].concat();
    let segment = read(&frame, link::types::IEEE802_11).unwrap();
    assert_eq!((addresses(&segment).3, segment.payload_len, segment.macs), (443, 7, Some(26)));
    // In Aruba's tunnel too, and Cisco's with the first two bytes the wrong way round.
    let (_, names) = inside(&ipv4(47, &[&[0, 0, 0x82, 0x40][..], &frame].concat()), link::types::RAW);
    assert_eq!(names, ["gre"]);
    let swapped = [&[0x01, 0x08], &wireless(&[], &ip, 1)[2..]].concat();
    let (_, names) = inside(&udp(5247, &[&[0, 0x10, 3, 0, 0, 0, 0, 0][..], &swapped].concat()), link::types::RAW);
    assert_eq!(names, ["capwap"]);
}

#[test]
fn hardware_addresses_are_those_of_the_frame_around_the_packet() {
    let erspan = [&[0, 0, 0x88, 0xbe][..], &frame()].concat();
    let bytes = ethernet(0x0800, &ipv4(47, &erspan));
    let segment = read(&bytes, link::types::ETHERNET).unwrap();
    assert_eq!(&bytes[segment.macs.unwrap()..][..12], &frame()[..12]);
    // The ends of a tunnel are not the ends of the packets in it.
    let bytes = ethernet(0x0800, &ipv4(4, &inner()));
    assert_eq!(read(&bytes, link::types::ETHERNET).unwrap().macs, None);
    let tagged = ethernet(0x8100, &[&[0, 9, 8, 0][..], &ipv4(47, &erspan)].concat());
    assert_eq!(read(&tagged, link::types::ETHERNET).unwrap().vlan, Some(9));
}

#[test]
fn what_only_looks_like_a_tunnel_is_the_outer_flow() {
    let (ip, frame) = (inner(), frame());
    let cases = [
        udp(2152, b"no tunnel at all, just text"),
        udp(4789, &[0; 30]),
        ipv4(47, &[0x80, 1, 0x88, 0x0b, 0, 0]),
        // A network identifier without the bit for it; a reserved byte that is not zero; a length that does not fit.
        udp(4789, &join(&[&[0, 0, 0, 0, 0, 0, 7, 0], &frame])),
        udp(4789, &join(&[&[8, 0, 0, 0, 0, 0, 7, 1], &frame])),
        udp(2152, &join(&[&[0x30, 255, 0, 48, 0, 0, 0, 9], &ip])),
        // Options that end elsewhere.
        udp(6081, &join(&[&[2, 0, 8, 0, 0, 0, 7, 0, 0, 1, 2, 2, 9, 9, 9, 9], &ip])),
        udp(6081, &join(&[&[0, 0, 8, 6, 0, 0, 7, 0], &ip])),
        udp(6081, &join(&[&[0x40, 0, 8, 0, 0, 0, 7, 0], &ip])),
        // L2TP: a control message, a wrong length, a session of which nothing is certain.
        udp(1701, &join(&[&[0xc8, 2, 0, 20, 0, 1, 0, 0, 0, 0, 0, 0], &[0; 8]])),
        udp(1701, &join(&[&[0x40, 2, 0, 99, 0, 1, 0, 2, 0, 0x21], &ip])),
        udp(1701, &join(&[&[0, 3, 0, 0, 0, 0, 0, 9], &[0x45; 40]])),
        // CAPWAP that is encrypted, a fragment, alive.
        udp(5247, &join(&[&[1, 0, 0, 0, 22, 0xfe, 0xff], &frame])),
        udp(5247, &join(&[&[0, 0x10, 0x02, 0x80, 0, 0, 0, 0], &frame])),
        udp(5247, &join(&[&[0, 0x10, 0x02, 0x08, 0, 0, 0, 0], &frame])),
        // An extension header of no length; a next protocol, a version and a frame type that are none; routes without end.
        udp(2152, &join(&[&[0x34, 255, 0, ip.len() as u8 + 8, 0, 0, 0, 9, 0, 0, 0, 0x85, 0, 0, 0, 0], &ip])),
        udp(4790, &join(&[&[0x0c, 0, 0, 9, 0, 0, 7, 0], &ip])),
        ipv4(47, &join(&[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x20, 7, 0, 1, 0, 0, 0, 3], &frame])),
        ipv4(47, &join(&[&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x10, 7, 0, 1], &[0; 8], &frame])),
        ipv4(47, &join(&[&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 7, 0, 1], &[0, 0, 0, 3, 0, 0, 0x04, 0], &frame])),
        ipv4(47, &join(&[&[0x40, 0, 8, 0, 0, 0, 0, 0], &[0, 1, 0, 0].repeat(40), &[0; 4], &ip])),
        // A service header of a kind that is none, with a length that its kind does not have, of another version.
        udp(4790, &join(&[&[0x0c, 0, 0, 4, 0, 0, 7, 0], &[0x0f, 0xc6, 3, 1], &[0; 20], &ip])),
        udp(4790, &join(&[&[0x0c, 0, 0, 4, 0, 0, 7, 0], &[0x0f, 0xc2, 1, 1], &[0; 4], &ip])),
        udp(4790, &join(&[&[0x0c, 0, 0, 4, 0, 0, 7, 0], &[0x4f, 0xc6, 1, 1], &[0; 20], &ip])),
        // More tags than a frame has.
        udp(1701, &join(&[&[0, 3, 0, 0, 0, 0, 0, 9], &frame[..12], &[0x81, 0, 0, 1].repeat(9), &frame[12..]])),
        // No IP inside: ARP, an address family that is none, another protocol of PPP.
        udp(4789, &join(&[&[8, 0, 0, 0, 0, 0, 7, 0], &ethernet(0x0806, &[0; 28])])),
        ipv4(47, &join(&[&[0, 0, 0x65, 0x58], &ethernet(0x0806, &[0; 28])])),
        ipv4(4, &[0x55; 40]),
        ipv4(97, &join(&[&[0x20, 0], &frame])),
        ipv4(115, &join(&[&[0, 0, 0, 0], &frame])),
        ipv4(51, &[6, 40, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1]),
        udp(1701, &[0, 2, 0, 1, 0, 2, 0xc0, 0x21, 1, 1, 0, 4]),
        // Labels and what looks like the front of an IP packet, in bytes of chance.
        udp(6635, &join(&[&[0xc3, 0, 0, 0, 1, 8, 0x55, 0xaa], &[0x60; 48]])),
        udp(6635, &join(&[&[0, 1, 1, 64], &[0x45; 40]])),
        // An IP packet longer than what is around it.
        udp(4789, &join(&[&[8, 0, 0, 0, 0, 0, 7, 0], &frame[..frame.len() - 1]])),
    ];
    for bytes in cases {
        let (segment, names) = inside(&bytes, link::types::RAW);
        let (from, _, to, _) = addresses(&segment);
        assert_eq!((from.to_string(), to.to_string()), ("198.51.100.1".into(), "198.51.100.2".into()), "{bytes:02x?}");
        assert_eq!((names.len(), segment.macs), (0, None));
    }
}

#[test]
fn behind_labels_is_only_what_is_certain() {
    let label = [0u8, 1, 1, 64];
    for behind in [&[0x11; 60][..], &[0, 0, 0, 1, 0x11, 0x11], &[0, 0, 0, 0], &[]] {
        let bytes = ethernet(0x8847, &[&label[..], behind].concat());
        assert_eq!(read(&bytes, link::types::ETHERNET), Err(Reason::LinkTunnel));
    }
    // A frame to an address that looks like the front of an IPv4 header.
    let mut inner = frame();
    inner[..6].copy_from_slice(&[0x45, 0, 0, 40, 0, 1]);
    let bytes = ethernet(0x8847, &[&label[..], &inner].concat());
    assert_eq!(addresses(&read(&bytes, link::types::ETHERNET).unwrap()).3, 443);
    let endless = ethernet(0x8847, &[0, 1, 0, 64].repeat(30));
    assert_eq!(read(&endless, link::types::ETHERNET), Err(Reason::TunnelDepth));
    let ten = [&[0, 1, 0, 64].repeat(9)[..], &label, &self::inner()].concat();
    assert_eq!(addresses(&read(&ethernet(0x8847, &ten), link::types::ETHERNET).unwrap()).3, 443);
}

#[test]
fn a_keepalive_of_gre_is_a_packet_of_its_ends() {
    // An IP packet back to the sender, with GRE and nothing in it.
    let mut back = ipv4(47, &[0, 0, 0, 0]);
    back.swap(15, 19);
    let (segment, names) = inside(&ipv4(47, &[&[0, 0, 8, 0][..], &back].concat()), link::types::RAW);
    assert_eq!((names, segment.key.protocol()), (vec!["gre"], 47));
}

#[test]
fn tunnels_inside_each_other_end_somewhere() {
    let mut bytes = inner();
    for depth in 1..=100 {
        bytes = ipv4(4, &bytes);
        let result = read(&bytes, link::types::RAW);
        match depth <= TUNNELS_MAX {
            true => assert!(result.is_ok(), "{depth}"),
            false => assert_eq!(result.unwrap_err(), Reason::TunnelDepth, "{depth}"),
        }
    }
    // VXLAN in GRE in Geneve.
    let vxlan = udp(4789, &[&[8, 0, 0, 0, 0, 0, 7, 0][..], &frame()].concat());
    let gre = ipv4(47, &[&[0, 0, 8, 0][..], &vxlan].concat());
    let bytes = udp(6081, &[&[0, 0, 8, 0, 0, 0, 7, 0][..], &gre].concat());
    let (segment, names) = inside(&bytes, link::types::RAW);
    assert_eq!((names, addresses(&segment).3), (vec!["geneve", "gre", "vxlan"], 443));
}

proptest! {
    // Whatever stands behind a header that fits: nothing panics, and what is read lies in the bytes.
    #[test]
    fn mutated_tunnels(at in 0..tunnels().len(), changes in prop::collection::vec((0usize..120, any::<u8>()), 0..5), cut in 0usize..90) {
        let all = tunnels();
        let (_, mut bytes, link) = all[at % all.len()].clone();
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        if let Ok(segment) = decode(&bytes, &packet(&bytes, link), 1) {
            prop_assert!(segment.payload + segment.payload_len as usize <= bytes.len());
        }
    }
}
