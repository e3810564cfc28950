//! Headers that mislead whoever trusts them: lengths of zero, padding, trailers of taps, cuts, jumbo packets.

use super::*;

fn frame() -> Vec<u8> {
    tcp_packet(0, false, b"payload")
}

/// Payload as it was found, and what was cut off.
fn payload(bytes: &[u8], segment: &Segment) -> (Vec<u8>, u32) {
    (bytes[segment.payload..segment.payload + segment.payload_len as usize].to_vec(), segment.payload_cut)
}

#[test]
fn trailers_of_taps_are_no_payload() {
    let whole = frame();
    // VSS Monitoring: time (8 bytes), port, and the checksum of the frame. Arista: time and checksum. Others: more.
    for trailer in [4usize, 8, 12, 14, 15, 28, 100] {
        let mut bytes = whole.clone();
        bytes.extend((0..trailer).map(|n| 0x40 + n as u8));
        let segment = read(&bytes, link::types::ETHERNET).unwrap();
        assert_eq!(payload(&bytes, &segment), (b"payload".to_vec(), 0), "{trailer}");
        assert_eq!(segment.ip_bytes, 47);
    }
}

#[test]
fn an_acknowledgement_in_a_padded_frame_has_no_payload() {
    for v6 in [false, true] {
        let mut bytes = tcp_packet(0, v6, b"");
        bytes.resize(bytes.len().max(60) + 6, 0xee);
        let segment = read(&bytes, link::types::ETHERNET).unwrap();
        assert_eq!((segment.payload_len, segment.payload_cut), (0, 0));
    }
    let mut datagram = [&frame()[..14], &udp(9, b"")].concat();
    datagram.resize(60, 0);
    assert_eq!(read(&datagram, link::types::ETHERNET).unwrap().payload_len, 0);
}

#[test]
fn a_length_of_zero_means_all_that_there_is() {
    // The card was to cut these: 64 KiB and more in one packet.
    let text = vec![b'x'; 70_000];
    let mut bytes = [&frame()[..], &text].concat();
    bytes[16..18].fill(0);
    let segment = read(&bytes, link::types::ETHERNET).unwrap();
    assert_eq!((segment.payload_len, segment.ip_bytes, segment.payload_cut), (70_007, 70_047, 0));
    let mut six = [&tcp_packet(0, true, b"payload")[..], &text].concat();
    six[18..20].fill(0);
    let segment = read(&six, link::types::ETHERNET).unwrap();
    assert_eq!((segment.payload_len, segment.ip_bytes), (70_007, 70_067));
    let mut datagram = udp(9, b"payload");
    datagram[24..26].fill(0);
    assert_eq!(read(&datagram, link::types::RAW).unwrap().payload_len, 7);
}

#[test]
fn an_ipv6_header_with_nothing_behind_it_has_no_payload() {
    // Payload length zero, no next header, padding up to the shortest frame.
    let mut bytes = tcp_packet(0, true, b"")[..54].to_vec();
    bytes[18..21].copy_from_slice(&[0, 0, 59]);
    bytes.resize(60, 0xee);
    let segment = read(&bytes, link::types::ETHERNET).unwrap();
    assert_eq!((segment.key.protocol(), segment.payload_len, segment.ip_bytes), (59, 0, 40));
}

#[test]
fn a_jumbogram_has_its_length_in_an_option() {
    let udp = [&[0, 9, 0, 9, 0, 0, 0, 0][..], &vec![7; 70_000]].concat();
    let length = (udp.len() as u32 + 8).to_be_bytes();
    let mut bytes = vec![0x60, 0, 0, 0, 0, 0, 0, 64];
    bytes.extend_from_slice(&[[1; 16], [2; 16]].concat());
    bytes.extend_from_slice(&[17, 0, 0xc2, 4]);
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&udp);
    bytes.extend_from_slice(b"trailer");
    let segment = read(&bytes, link::types::RAW).unwrap();
    assert_eq!((segment.payload_len, segment.ip_bytes, segment.payload_cut), (70_000, 70_056, 0));
    // Cut by the capture, which says so.
    let segment = read(&bytes[..1000], link::types::RAW).unwrap();
    assert_eq!(segment.ip_bytes, 70_056);
}

#[test]
fn jumbo_frames_are_frames() {
    let bytes = tcp_packet(1, false, &vec![1; 9000]);
    assert_eq!(read(&bytes, link::types::ETHERNET).unwrap().payload_len, 9000);
}

#[test]
fn tcp_header_lengths_are_believed_only_when_they_can_be() {
    let whole = frame();
    let with = |words: u8| {
        let mut bytes = whole.clone();
        bytes[46] = words << 4;
        read(&bytes, link::types::ETHERNET)
    };
    for words in 0..5 {
        assert_eq!(with(words), Err(Reason::TcpMalformed));
    }
    assert_eq!(with(5).unwrap().payload_len, 7);
    assert_eq!(with(6).unwrap().payload_len, 3);
    for words in 7..16 {
        assert_eq!(with(words), Err(Reason::TcpTruncated));
    }
}

#[test]
fn a_cut_anywhere_is_a_name_or_a_flag_and_never_other_bytes() {
    for (whole, link) in [
        (frame(), link::types::ETHERNET),
        (tcp_packet(2, false, b"payload"), link::types::ETHERNET),
        (tcp_packet(0, true, b"payload"), link::types::ETHERNET),
        (udp(53, b"payload"), link::types::RAW),
    ] {
        let full = read(&whole, link).unwrap();
        for end in 0..whole.len() {
            let cut = &whole[..end];
            match read(cut, link) {
                Ok(segment) => {
                    let there = segment.payload_len;
                    assert_eq!((segment.key, segment.payload), (full.key, full.payload));
                    assert_eq!(there + segment.payload_cut, 7, "{end}");
                    assert_eq!(segment.ip_bytes, full.ip_bytes);
                }
                Err(reason) => assert!(reason.name().ends_with("truncated"), "{end} {reason:?}"),
            }
        }
    }
}

#[test]
fn ipv4_headers_that_cannot_be() {
    let whole = frame();
    let with = |at: usize, value: u8| {
        let mut bytes = whole.clone();
        bytes[at] = value;
        read(&bytes, link::types::ETHERNET)
    };
    assert_eq!(with(14, 0x44), Err(Reason::Ipv4Malformed));
    assert_eq!(with(14, 0x15), Err(Reason::Ipv4Malformed));
    assert_eq!(with(14, 0x75), Err(Reason::Ipv4Malformed));
    assert_eq!(with(17, 19), Err(Reason::Ipv4Malformed));
    assert_eq!(with(14, 0x4f), Err(Reason::Ipv4Malformed));
    // Options as far as there is room for them; they take the front of the TCP header.
    assert_eq!(with(14, 0x4b), Err(Reason::TcpTruncated));
}

/// SCTP (RFC 9260, section 3.1): two ports, and the chunks behind twelve bytes of header.
#[test]
fn sctp_has_ports_and_a_header_of_twelve_bytes() {
    let mut bytes = ipv4(132, &[&[0x0b, 0x59, 0x0b, 0x5a, 0, 0, 0, 1, 9, 9, 9, 9][..], b"payload"].concat());
    let segment = read(&bytes, link::types::RAW).unwrap();
    assert_eq!((addresses(&segment).1, addresses(&segment).3, segment.key.protocol()), (2905, 2906, 132));
    assert_eq!(payload(&bytes, &segment), (b"payload".to_vec(), 0));
    bytes.truncate(20 + 11);
    assert_eq!(read(&bytes, link::types::RAW), Err(Reason::SctpTruncated));
}

/// Options that the snap length cut off are no reason to read the packet without them.
#[test]
fn ipv4_options_that_were_cut_off() {
    let mut bytes = ipv4(17, &[0; 40]);
    bytes[0] = 0x4f;
    assert_eq!(read(&bytes[..40], link::types::RAW), Err(Reason::Ipv4Truncated));
}

/// Checksums as another library computes them are right, and wrong with any other byte; where there is none, or nothing
/// is known of the protocol, nothing is wrong.
#[test]
fn checksums_of_every_transport() {
    use crate::decode::checksum::transport_is_wrong;
    let (mut four, mut six) = ([0; 16], [0; 16]);
    four[..4].copy_from_slice(&[10, 0, 0, 9]);
    six[..4].copy_from_slice(&[192, 0, 2, 1]);
    let v4 = || PacketBuilder::ipv4([10, 0, 0, 9], [192, 0, 2, 1], 64);
    let v6 = || PacketBuilder::ipv6([1; 16], [2; 16], 64);
    let mut packets = vec![Vec::new(); 6];
    v4().icmpv4_echo_request(7, 8).write(&mut packets[0], b"abcdefg").unwrap();
    v6().icmpv6_echo_request(7, 8).write(&mut packets[1], b"abcdefg").unwrap();
    v4().udp(5, 6).write(&mut packets[2], b"abcdefg").unwrap();
    v6().udp(5, 6).write(&mut packets[3], b"abcdefg").unwrap();
    v4().tcp(5, 6, 7, 8).write(&mut packets[4], b"abcdefg").unwrap();
    v6().tcp(5, 6, 7, 8).write(&mut packets[5], b"abcdefg").unwrap();
    for (packet, number) in packets.iter().zip([1, 58, 17, 17, 6, 6]) {
        let version = packet[0] >> 4;
        let (from, to, header) = if version == 4 { (four, six, 20) } else { ([1; 16], [2; 16], 40) };
        let wrong = |payload: &[u8]| transport_is_wrong(&from, &to, version, number, payload);
        let payload = &packet[header..];
        assert!(!wrong(payload), "{number}");
        for at in 0..payload.len() {
            let mut changed = payload.to_vec();
            changed[at] ^= 0x10;
            assert!(wrong(&changed), "{number} {at}");
        }
    }
    assert!(!transport_is_wrong(&four, &six, 4, 17, &[0, 5, 0, 6, 0, 9, 0, 0, 1]));
    // ICMP of the other version, and SCTP.
    for (version, number) in [(4, 58), (6, 1), (4, 132)] {
        assert!(!transport_is_wrong(&four, &six, version, number, &[1; 20]), "{version} {number}");
    }
}
