//! Segments of TCP that are cut, reordered, repeated and contradicted.
//!
//! In: hellos of real programs (`fixtures/tls`) for a name of a vendor, and copies of them for another name of the same
//! length. Out: the vendor's name in flow and finding, or word of it that it may be another. What fingerprints must be is
//! what FoxIO and tshark read in the captures that the hellos are from (`fixtures/README.md`).

use serde_json::Value;

use super::check::{Read, facts, flags, read};
use super::common::conversation::{Conversation, From};
use super::common::hellos::{self, Piece};
use super::common::packets::{ACK, Endpoint, PROTOCOL_TCP, PSH, Packet, SYN, Tcp, checksum, frame, tcp};
use super::common::random::Random;
use super::common::tls::{Version, application_data, client_hello, server_hello};

const START: u64 = 1_790_000_000_000_000_000;
const MILLISECOND: u64 = 1_000_000;
/// A name that a signature knows (signatures/fortinet.toml), and one that none knows, of the same length.
const NAME: &str = "globalupdate.fortinet.net";
const DECOY: &str = "images.holidays-shop.test";
/// JA3 by tshark 4.0.17 and JA4 by FoxIO's snapshots, of tls-handshake.pcapng and latest.pcapng.
const PRINTS: [(Version, &str, &str); 2] = [
    (Version::Tls12, "a0e9f5d64349fb13191bc781f81f42e1", "t12d190800_d83cc789557e_7af1ed941c26"),
    (Version::Tls13, "1c258ebef8eee2dfa3df6d8d07285af9", "t13d1516h2_8daaf6152771_e5627efa2ab1"),
];
/// More than weak evidence is worth (signatures/README.md): a finding that is sure has more.
const WEAK: u64 = 50;

fn client(port: u16) -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0, 1], "10.0.0.1", port)
}

fn server() -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0, 2], "95.216.10.20", 443)
}

/// A flow that begins with this number; its first payload has the next.
const FIRST: u32 = 7_000_000;

fn talk(port: u16) -> Conversation {
    Conversation::new(client(port), server(), START, 20 * MILLISECOND).with_sequence(FIRST)
}

/// A flow with the hello in these pieces, up to its end.
fn told(version: Version, port: u16, pieces: &[Piece]) -> Vec<Packet> {
    let mut talk = talk(port);
    talk.open().send_pieces(From::Client, pieces).send(From::Server, &server_hello(version));
    talk.send(From::Client, &application_data(version, 500, 7)).send(From::Server, &application_data(version, 900, 8));
    talk.close();
    talk.packets()
}

/// A segment of the client with everything chosen.
fn raw(port: u16, time: u64, header: Tcp<'_>, payload: &[u8]) -> Packet {
    let segment = tcp(client(port).address, server().address, header, payload);
    Packet::new(time, frame(client(port), server(), &[], PROTOCOL_TCP, 9, &segment))
}

/// As the client's next segment would be: at an offset from the first byte.
fn at(offset: i64) -> Tcp<'static> {
    let sequence = (i64::from(FIRST) + 1 + offset) as u32;
    Tcp { sequence, acknowledged: 1, flags: ACK | PSH, window: 2048, ..Tcp::default() }
}

/// SYN, SYN-ACK, ACK; then these; then what the server answers and both say, and the end.
fn between(version: Version, port: u16, segments: Vec<Packet>) -> Vec<Packet> {
    let mut packets = told(version, port, &[whole(version, NAME)]);
    let mut all: Vec<Packet> = packets.drain(..3).collect();
    // The hello of the template and its acknowledgement.
    packets.drain(..2);
    all.extend(segments);
    all.extend(packets);
    all
}

fn whole(version: Version, name: &str) -> Piece {
    Piece { offset: 0, bytes: client_hello(version, Some(name)) }
}

/// When a segment between the handshake and the answer comes.
fn then(number: u64) -> u64 {
    START + 21 * MILLISECOND + number * 10_000
}

fn names(flow: &Value) -> Vec<&str> {
    facts(flow, "tls.sni")
}

/// Name and fingerprints of a flow are those of the hello as it left the client.
fn is_plain(flow: &Value, version: Version) {
    let (_, ja3, ja4) = PRINTS.into_iter().find(|print| print.0 == version).unwrap();
    let port = &flow["source"]["port"];
    assert_eq!(flow["tls"]["client"]["server_name"], NAME, "{port}");
    assert_eq!(
        (names(flow), facts(flow, "tls.ja3"), facts(flow, "tls.ja4")),
        (vec![NAME], vec![ja3], vec![ja4]),
        "{port}"
    );
}

fn all_plain(read: &Read, version: Version, count: usize) {
    assert_eq!(read.flows.len(), count);
    read.flows.iter().for_each(|flow| is_plain(flow, version));
}

/// Flow and finding say that the name may be another, show both, and are sure of nothing.
fn is_ambiguous(read: &Read, flag: &str) {
    let flow = read.flow();
    assert!(flags(flow).iter().any(|is| is == flag), "{:?}", flags(flow));
    assert_eq!(names(flow), [NAME, DECOY], "sorted");
    let verdicts = flow["bordertap"]["verdicts"].as_array().unwrap();
    assert!(!verdicts.is_empty() && verdicts.iter().all(|v| v["confidence"].as_u64().unwrap() <= WEAK), "{verdicts:?}");
    finding_is_ambiguous(read);
}

fn finding_is_ambiguous(read: &Read) {
    let finding = finding(read);
    assert_eq!(finding["ambiguous"], true, "{finding}");
    assert!(finding["channel"]["confidence"].as_u64().unwrap() <= WEAK, "{finding}");
    assert!(finding["asset"]["confidence"].as_u64().unwrap() <= WEAK, "{finding}");
    assert_ne!(finding["crossing"], "observed", "{finding}");
    let to = &finding["destination"];
    let both = [to["domain"].as_str().unwrap(), to["other_domains"][0].as_str().unwrap()];
    assert!(both == [NAME, DECOY] || both == [DECOY, NAME], "{finding}");
    let why = finding["why"].as_array().unwrap();
    let said = format!("Copies of the same bytes differ: the name may also be {}.", both[1]);
    assert!(why.iter().any(|why| *why == said), "{why:?}");
}

/// The only finding.
fn finding(read: &Read) -> &Value {
    let findings = read.report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    &findings[0]
}

/// Nothing is in doubt.
fn is_sure(read: &Read) {
    assert!(finding(read)["channel"]["confidence"].as_u64().unwrap() > WEAK, "{}", finding(read));
    assert_eq!(finding(read).get("ambiguous"), None);
    assert_eq!(finding(read)["destination"]["domain"], NAME);
}

/// The template itself: sure of its name, so that what the other tests find missing was there.
#[test]
fn row_00_what_is_not_contradicted_is_sure() {
    for (version, ..) in PRINTS {
        let read = read(&between(version, 50_000, vec![raw(50_000, then(1), at(0), &whole(version, NAME).bytes)]));
        is_plain(read.flow(), version);
        is_sure(&read);
        assert_eq!(flags(read.flow()), Vec::<String>::new());
    }
}

/// Cut in two at every byte, in both orders, in TLS 1.2 and 1.3.
#[test]
fn row_01_a_hello_cut_in_two_at_every_byte() {
    for (version, ..) in PRINTS {
        let hello = whole(version, NAME).bytes;
        let mut packets = Vec::new();
        let mut port = 1024;
        for at in 1..hello.len() {
            let pieces = hellos::cut(&hello, &[at]);
            for pieces in [pieces.clone(), hellos::backwards(pieces)] {
                packets.extend(told(version, port, &pieces));
                port += 1;
            }
        }
        let read = read(&packets);
        all_plain(&read, version, 2 * (hello.len() - 1));
        assert!(read.flows.iter().all(|flow| flags(flow) == ["hello-split"]));
    }
}

/// Segments of one byte: forwards and backwards identical; at random identical too, or said to have a hole, and never another name.
#[test]
fn row_02_a_hello_byte_by_byte() {
    for (version, ..) in PRINTS {
        let bytes = hellos::cut_bytewise(&whole(version, NAME).bytes);
        let mut packets = told(version, 1024, &bytes);
        packets.extend(told(version, 1025, &hellos::backwards(bytes.clone())));
        (0..60)
            .for_each(|seed| packets.extend(told(version, 1100 + seed, &hellos::shuffled(bytes.clone(), seed.into()))));
        all_plain(&read(&packets), version, 62);
    }
}

/// A hello of 3,000 bytes, byte by byte at random, is more pieces than are kept: the flow says that something is missing.
#[test]
fn row_02b_more_pieces_than_are_kept() {
    let hello = long_hello(2_600);
    let bytes = hellos::cut_bytewise(&hello);
    let mut packets = Vec::new();
    (0..4).for_each(|seed| {
        packets.extend(told(Version::Tls13, 1100 + seed, &hellos::shuffled(bytes.clone(), seed.into())))
    });
    packets.extend(told(Version::Tls13, 1200, &hellos::backwards(bytes.clone())));
    packets.extend(told(Version::Tls13, 1201, &bytes));
    let read = read(&packets);
    for flow in &read.flows {
        let in_order = flow["source"]["port"].as_u64().unwrap() >= 1200;
        let is_whole = names(flow) == [NAME];
        assert!(is_whole || names(flow).is_empty() && !in_order, "{:?}", names(flow));
        assert!(is_whole || flags(flow).iter().any(|flag| flag == "gap"), "{:?}", flags(flow));
    }
}

/// A hello with so many bytes of padding (RFC 7685) before its name.
fn long_hello(padding: usize) -> Vec<u8> {
    let hello = client_hello(Version::Tls13, Some(NAME));
    let body = &hello[9..];
    let mut at = 34 + 1 + usize::from(body[34]);
    at += 2 + usize::from(u16::from_be_bytes([body[at], body[at + 1]]));
    at += 1 + usize::from(body[at]);
    let mut extensions = vec![0, 21];
    extensions.extend((padding as u16).to_be_bytes());
    extensions.extend(vec![0; padding]);
    extensions.extend(&body[at + 2..]);
    let mut message = body[..at].to_vec();
    message.extend((extensions.len() as u16).to_be_bytes());
    message.extend(extensions);
    super::common::tls::record(22, 0x0301, &super::common::tls::handshake(1, &message))
}

/// Cuts inside the five bytes of the record header: in two, in three, and each byte of it by itself.
#[test]
fn row_03_a_record_header_in_pieces() {
    for (version, ..) in PRINTS {
        let hello = whole(version, NAME).bytes;
        let mut cuts: Vec<Vec<usize>> = (1..=5).map(|at| vec![at]).collect();
        cuts.extend((1..5).flat_map(|a| (a + 1..=5).map(move |b| vec![a, b])));
        cuts.push((1..=5).collect());
        let mut packets = Vec::new();
        for (number, cut) in cuts.iter().enumerate() {
            let pieces = hellos::cut(&hello, cut);
            packets.extend(told(version, 2000 + number as u16, &pieces));
            packets.extend(told(version, 3000 + number as u16, &hellos::backwards(pieces)));
        }
        all_plain(&read(&packets), version, 2 * cuts.len());
    }
}

/// The hello twice with another name, whole and in its second half, either first, before the server answers.
#[test]
fn row_04_the_same_bytes_with_another_name() {
    for (version, ..) in PRINTS {
        let [old, new] = [NAME, DECOY].map(|name| whole(version, name).bytes);
        let port = 50_000;
        for [first, second] in [[&old, &new], [&new, &old]] {
            let read_all = read(&between(
                version,
                port,
                vec![raw(port, then(1), at(0), first), raw(port, then(2), at(0), second)],
            ));
            is_ambiguous(&read_all, "overlap-conflict");
            let first_name = if *first == old { NAME } else { DECOY };
            assert_eq!(read_all.flow()["tls"]["client"]["server_name"], first_name, "the first copy counts");
            // In three pieces, of which the one in the middle, with the name, comes twice.
            let middle =
                first.windows(NAME.len()).position(|at| at == NAME.as_bytes() || at == DECOY.as_bytes()).unwrap();
            let end = middle + NAME.len();
            for order in [[0, 1, 2, 3], [1, 2, 0, 3], [3, 1, 2, 0], [0, 3, 1, 2]] {
                let piece = |n: usize| match n {
                    0 => (0, &first[..middle]),
                    1 => (middle, &first[middle..end]),
                    2 => (middle, &second[middle..end]),
                    _ => (end, &first[end..]),
                };
                let segments = order.iter().zip(1..).map(|(&n, number)| {
                    let (from, bytes) = piece(n);
                    raw(port, then(number), at(from as i64), bytes)
                });
                let read = read(&between(version, port, segments.collect()));
                is_ambiguous(&read, "overlap-conflict");
                assert_eq!(read.flow()["tls"]["client"]["server_name"], first_name, "{order:?}");
            }
        }
    }
}

/// Copies that differ by a few bytes each, of several lengths and places: no name is lost and none is made up that no copy shows.
#[test]
fn row_04b_overlaps_of_any_shape() {
    let version = Version::Tls13;
    let [old, new] = [NAME, DECOY].map(|name| whole(version, name).bytes);
    let mut random = Random::new(4);
    let (mut packets, mut wholes) = (Vec::new(), 0);
    for port in 2000..2200 {
        // Pieces of either that overlap; the real ones cover everything.
        let mut segments: Vec<(usize, &[u8])> = Vec::new();
        let mut from = 0;
        while from < old.len() {
            let to = (from + 1 + random.below(300)).min(old.len());
            segments.push((from, &old[from..to]));
            from = to - random.below(20).min(to - from - 1).min(if to == old.len() { 0 } else { 20 });
        }
        let low = random.below(new.len() - 1);
        let high = low + 1 + random.below(new.len() - low);
        segments.push((low, &new[low..high]));
        random.shuffle(&mut segments);
        let segments = segments.iter().zip(1..).map(|(&(from, bytes), n)| raw(port, then(n), at(from as i64), bytes));
        packets.extend(between(version, port, segments.collect()));
        let name = old.windows(NAME.len()).position(|at| at == NAME.as_bytes()).unwrap();
        wholes += usize::from(low <= name && high >= name + NAME.len());
    }
    let read = read(&packets);
    assert_eq!(read.flows.len(), 200);
    let mut both = 0;
    for flow in &read.flows {
        let conflict = flags(flow).iter().any(|flag| flag == "overlap-conflict");
        let names = names(flow);
        assert!(names.contains(&NAME) || conflict, "{names:?}");
        assert!(names == [NAME] || conflict, "{names:?} without a word");
        both += usize::from(names.contains(&NAME) && names.contains(&DECOY));
    }
    assert!(both >= wholes && wholes > 20, "{both} of {wholes}");
}

/// More copies than two: the first, the last and those between are all read.
#[test]
fn row_04c_a_name_between_two_others() {
    let port = 50_000;
    let version = Version::Tls13;
    let third = "static.some-more-of.those";
    let hellos = [DECOY, NAME, third].map(|name| whole(version, name).bytes);
    let segments = hellos.iter().zip(1..).map(|(hello, n)| raw(port, then(n), at(0), hello));
    let read = read(&between(version, port, segments.collect()));
    assert_eq!(names(read.flow()), [NAME, DECOY, third]);
    let finding = finding(&read);
    assert_eq!(finding["destination"]["other_domains"], serde_json::json!([NAME, third]));
    assert_eq!(finding["ambiguous"], true);
}

/// Another hello at the same place after the server acknowledged the first: the first counts, and the flow says so.
#[test]
fn row_05_another_name_after_the_acknowledgement() {
    for (version, ..) in PRINTS {
        let port = 50_000;
        let mut packets = told(version, port, &[whole(version, NAME)]);
        // SYN, SYN-ACK, ACK, hello, its acknowledgement.
        packets.insert(5, raw(port, packets[4].time + 1000, at(0), &whole(version, DECOY).bytes));
        let read = read(&packets);
        is_ambiguous(&read, "overlap-conflict");
        assert_eq!(read.flow()["tls"]["client"]["server_name"], NAME);
        assert_eq!(finding(&read)["destination"]["domain"], NAME);
    }
}

/// As before, but after the server's hello and after data: whole, or the first segment of two. A flow that keeps its records and
/// one that does not come to the same finding.
#[test]
fn row_05b_another_name_after_the_answer() {
    let version = Version::Tls13;
    let port = 50_000;
    let decoy = whole(version, DECOY).bytes;
    for part in [decoy.len(), decoy.len() - 40] {
        let mut packets = told(version, port, &[whole(version, NAME)]);
        packets.insert(8, raw(port, packets[7].time + 1000, at(0), &decoy[..part]));
        let kept = read(&packets);
        is_ambiguous(&kept, "overlap-conflict");
        assert_eq!(kept.flow()["tls"]["client"]["server_name"], NAME);
        let other =
            super::check::read_with(super::common::capture::pcap(true, &packets), |scan| scan.keep_flows = false);
        finding_is_ambiguous(&other);
    }
}

/// The same again is no contradiction, however late.
#[test]
fn row_05c_the_same_hello_again_says_nothing_new() {
    for (version, ..) in PRINTS {
        let mut packets = told(version, 50_000, &[whole(version, NAME)]);
        for place in [5, 8] {
            packets.insert(place, raw(50_000, packets[place - 1].time + 1000, at(0), &whole(version, NAME).bytes));
        }
        let read = read(&packets);
        is_plain(read.flow(), version);
        is_sure(&read);
    }
}

/// A decoy that never arrives, before the hello and after it: with few hops left, a wrong checksum, an MD5 option that was
/// not agreed on. The name of the hello is there, and so is that of the decoy, with word of it.
#[test]
fn row_06_decoys_that_never_arrive() {
    let version = Version::Tls13;
    let port = 50_000;
    // RFC 2385: kind 19, length 18, a digest; two bytes of padding.
    let mut md5 = vec![19, 18];
    md5.extend([0xab; 16]);
    md5.extend([1, 1]);
    type Change = fn(&mut Packet);
    let decoys: [(&str, Change, &[u8]); 3] =
        [("hops", few_hops, &[]), ("checksum", wrong_checksum, &[]), ("md5", |_| (), &md5)];
    for (kind, change, options) in decoys {
        for decoy_first in [true, false] {
            let times = if decoy_first { [1, 2] } else { [2, 1] };
            let header = Tcp { options, ..at(0) };
            let mut decoy = raw(port, then(times[0]), header, &whole(version, DECOY).bytes);
            change(&mut decoy);
            let real = raw(port, then(times[1]), at(0), &whole(version, NAME).bytes);
            let mut both = vec![decoy, real];
            both.sort_by_key(|packet| packet.time);
            let read = read(&between(version, port, both));
            is_ambiguous(&read, "overlap-conflict");
            assert_eq!(read.counted("bad-checksum"), 0, "{kind}");
        }
    }
}

fn few_hops(packet: &mut Packet) {
    packet.bytes[22] = 1;
    packet.bytes[24..26].copy_from_slice(&[0, 0]);
    let sum = checksum(&[&packet.bytes[14..34]]);
    packet.bytes[24..26].copy_from_slice(&sum.to_be_bytes());
}

fn wrong_checksum(packet: &mut Packet) {
    packet.bytes[50] ^= 0x55;
}

/// Decoys with numbers outside the window, before and behind it, one and many: they are not taken for the hello.
#[test]
fn row_06b_decoys_outside_the_window() {
    for (version, ..) in PRINTS {
        let decoy = whole(version, DECOY).bytes;
        let places: [&[i64]; 7] = [
            &[-100_000],
            &[-(decoy.len() as i64)],
            &[100_000],
            &[1 << 30],
            &[-(1 << 30)],
            &[70_000, 10_000, 80_000],
            &[10_000, 70_000],
        ];
        let mut packets = Vec::new();
        for (places, port) in places.iter().zip(50_000..) {
            let mut segments: Vec<Packet> =
                places.iter().zip(1..).map(|(&offset, n)| raw(port, then(n), at(offset), &decoy)).collect();
            segments.push(raw(port, then(9), at(0), &whole(version, NAME).bytes));
            packets.extend(between(version, port, segments));
        }
        all_plain(&read(&packets), version, places.len());
    }
}

/// A RST of the client that never arrives ends nothing.
#[test]
fn row_06c_a_reset_that_never_arrives() {
    let port = 50_000;
    let reset = Tcp { flags: 0x04, ..at(0) };
    let segments = vec![raw(port, then(1), reset, &[]), raw(port, then(2), at(0), &whole(Version::Tls13, NAME).bytes)];
    let read = read(&between(Version::Tls13, port, segments));
    is_plain(read.flow(), Version::Tls13);
}

fn syn(port: u16, time: u64, sequence: u32) -> Packet {
    raw(port, time, Tcp { sequence, flags: SYN, window: 64_240, ..Tcp::default() }, &[])
}

/// SYNs with other numbers: before the answer, after it, between two pieces of the hello.
#[test]
fn row_07_a_syn_with_another_number() {
    for (version, ..) in PRINTS {
        let mut packets = Vec::new();
        let mut ports = 50_000..;
        let others = [FIRST.wrapping_add(1 << 31), FIRST + 12_345, FIRST - 12_345, FIRST + 100_000_000, FIRST - 1];
        for other in others {
            let pieces = hellos::cut(&whole(version, NAME).bytes, &[100]);
            // Before the first SYN, between it and its answer, after the handshake, between the pieces.
            for place in [0, 1, 2, 3, 4] {
                let port = ports.next().unwrap();
                let mut flow = told(version, port, &pieces);
                flow.insert(place, syn(port, flow[place].time - 500, other));
                packets.extend(flow);
            }
        }
        let read = read(&packets);
        all_plain(&read, version, 5 * others.len());
        is_sure(&read);
    }
}

/// Two SYNs and no answer to be seen: which of them counts nobody can tell, and the flow says so.
#[test]
fn row_07b_two_beginnings_and_no_answer() {
    let port = 50_000;
    for [first, second] in [[FIRST, 1_000], [1_000, FIRST]] {
        let packets = [
            syn(port, then(0), first),
            syn(port, then(1), second),
            raw(port, then(2), at(0), &whole(Version::Tls13, NAME).bytes),
        ];
        let read = read(&packets);
        is_plain(read.flow(), Version::Tls13);
        assert_eq!(flags(read.flow()), ["one-sided", "overlap-conflict"]);
        assert_eq!(finding(&read)["ambiguous"], true);
    }
}

/// An answer to a SYN that nobody sent, before the true one and behind it: the hello is found where it is.
#[test]
fn row_07d_answers_to_no_syn() {
    let version = Version::Tls13;
    let mut packets = Vec::new();
    for (port, place) in (50_000..).zip([1, 2, 3]) {
        let mut flow = told(version, port, &[whole(version, NAME)]);
        let header =
            Tcp { sequence: 77, acknowledged: FIRST + 9_999_999, flags: SYN | ACK, window: 64_240, ..Tcp::default() };
        let answer = tcp(server().address, client(port).address, header, &[]);
        let frame = frame(server(), client(port), &[], PROTOCOL_TCP, 9, &answer);
        flow.insert(place, Packet::new(flow[place].time - 500, frame));
        packets.extend(flow);
    }
    all_plain(&read(&packets), version, 3);
}

/// Data in the SYN (RFC 9293), with and without the option of TCP Fast Open (RFC 7413), whole or its first part; taken or refused
/// by the server.
#[test]
fn row_07c_data_in_the_syn() {
    for (version, ..) in PRINTS {
        let hello = whole(version, NAME).bytes;
        let mut packets = Vec::new();
        let mut ports = 50_000..;
        // Kind 34, length 10, a cookie of eight bytes; padding.
        let fast_open = [34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1];
        for options in [&[][..], &fast_open] {
            for part in [hello.len(), 50, 3] {
                for again in [0, part] {
                    let header = Tcp { sequence: FIRST, flags: SYN, window: 64_240, options, ..Tcp::default() };
                    let port = ports.next().unwrap();
                    let mut flow = told(version, port, &[whole(version, NAME)]);
                    flow[0] = raw(port, START, header, &hello[..part]);
                    // What comes after it: all again when the server refused the data, else the rest.
                    flow[3] = raw(port, flow[3].time, at(again as i64), &hello[again..]);
                    packets.extend(flow);
                }
            }
        }
        let read = read(&packets);
        all_plain(&read, version, 12);
        is_sure(&read);
    }
}

/// A byte more in the hello, which is marked urgent (RFC 6093): most receivers take it out. Both readings are there, or word of it.
#[test]
fn row_08_an_urgent_byte_in_the_hello() {
    for (version, ..) in PRINTS {
        let mut packets = Vec::new();
        let mut ports = 50_000..;
        let hello = whole(version, NAME).bytes;
        let name = hello.windows(NAME.len()).position(|at| at == NAME.as_bytes()).unwrap();
        // In the record header, in the lengths, before the name, in it, after it; in one segment, and in two.
        for place in [1, 4, 8, 40, name - 1, name, name + 5, hello.len() - 1] {
            let mut sent = hello.clone();
            sent.insert(place, b'x');
            for cut in [sent.len(), place + 1, place + 2, 1.max(place - 1)] {
                let port = ports.next().unwrap();
                let (front, back) = sent.split_at(cut.min(sent.len()));
                let mut segments = Vec::new();
                for (n, (from, part)) in [(0, front), (cut, back)].into_iter().enumerate() {
                    let urgent = if (from..from + part.len()).contains(&place) { place + 1 - from } else { 0 };
                    if !part.is_empty() {
                        let header = Tcp { urgent: urgent as u16, ..at(from as i64) };
                        segments.push(raw(port, then(1 + n as u64), header, part));
                    }
                }
                packets.extend(between(version, port, segments));
            }
        }
        let read = read(&packets);
        assert_eq!(read.flows.len(), 32);
        for flow in &read.flows {
            assert!(flags(flow).iter().any(|flag| flag == "urgent"), "{flow}");
            assert!(names(flow).contains(&NAME), "{flow}");
        }
        for finding in read.report["findings"].as_array().unwrap() {
            assert_eq!(finding["ambiguous"], true, "{finding}");
            assert!(finding["channel"]["confidence"].as_u64().unwrap() <= WEAK, "{finding}");
        }
    }
}

/// The numbers pass 2^32 inside the hello, at every byte of the record header and many others.
#[test]
fn row_09_numbers_that_wrap_in_the_hello() {
    for (version, ..) in PRINTS {
        let hello = whole(version, NAME).bytes;
        let mut packets = Vec::new();
        let mut count = 0;
        for before in (0..12).chain((12..hello.len() as u32).step_by(7)) {
            for (pieces, turned) in [(vec![], false), (vec![100], false), (vec![100, 150], true)] {
                let pieces = hellos::cut(&hello, &pieces);
                let pieces = if turned { hellos::backwards(pieces) } else { pieces };
                let mut talk = Conversation::new(client(2000 + count), server(), START, 20 * MILLISECOND)
                    .with_sequence(u32::MAX.wrapping_sub(before));
                talk.open().send_pieces(From::Client, &pieces).send(From::Server, &server_hello(version)).close();
                packets.extend(talk.packets());
                count += 1;
            }
        }
        let read = read(&packets);
        all_plain(&read, version, count.into());
        assert!(read.flows.iter().all(|flow| flow["bordertap"].get("missing_bytes").is_none()));
    }
}

/// One direction only: the client's has everything of the client; the server's has its choice or its certificate.
#[test]
fn row_10_one_direction_only() {
    for (version, ..) in PRINTS {
        let mut talk = talk(50_000);
        talk.open().send(From::Client, &whole(version, NAME).bytes).send(From::Server, &server_hello(version));
        if version == Version::Tls12 {
            talk.send(From::Server, &super::common::tls::certificate(&[super::hellos::certificate()]));
        }
        talk.send(From::Client, &application_data(version, 500, 7)).close();
        let packets = talk.packets();
        let from_client = |packet: &&Packet| packet.bytes[6..12] == client(0).mac;
        let ours: Vec<Packet> = packets.iter().filter(from_client).cloned().collect();
        let theirs: Vec<Packet> = packets.iter().filter(|packet| !from_client(packet)).cloned().collect();
        assert!(ours.len() + theirs.len() == packets.len() && ours.len() > 3 && theirs.len() > 3);

        let read_ours = read(&ours);
        is_plain(read_ours.flow(), version);
        assert!(flags(read_ours.flow()).iter().any(|flag| flag == "one-sided"));
        assert_eq!(finding(&read_ours)["destination"]["domain"], NAME);
        assert_eq!(finding(&read_ours)["loss"]["one_sided"], 1);

        let read_theirs = read(&theirs);
        let flow = read_theirs.flow();
        assert!(flags(flow).iter().any(|flag| flag == "one-sided"), "{:?}", flags(flow));
        assert_eq!(flow["source"]["ip"], "10.0.0.1", "who answers a SYN did not open the flow");
        assert!(facts(flow, "tls.ja3s").len() == 1 && names(flow).is_empty(), "{flow}");
        if version == Version::Tls12 {
            assert_eq!(facts(flow, "x509.subject"), [super::hellos::CERTIFICATE_SUBJECT]);
        }
    }
}

/// From the middle of a flow: it is kept and said to be so, its bytes are counted, and a hello that still comes is read.
#[test]
fn row_11_from_the_middle_of_a_flow() {
    for (version, ..) in PRINTS {
        let all = told(version, 50_000, &hellos::cut(&whole(version, NAME).bytes, &[100]));
        for left_out in (1..all.len()).step_by(if version == Version::Tls12 { 1 } else { 3 }) {
            let packets = &all[left_out..];
            let read = read(packets);
            let flow = read.flow();
            // The answer to the SYN still tells that the flow begins.
            let midstream = flags(flow).iter().any(|flag| flag == "midstream");
            assert_eq!(midstream, left_out > 1, "{left_out}: {:?}", flags(flow));
            let bytes: u64 =
                packets.iter().map(|packet| u64::from(u16::from_be_bytes([packet.bytes[16], packet.bytes[17]]))).sum();
            assert_eq!(flow["network"]["bytes"].as_u64().unwrap(), bytes);
            assert_eq!(flow["network"]["packets"].as_u64().unwrap(), packets.len() as u64);
            if left_out <= 3 {
                is_plain(flow, version);
            } else {
                assert!(names(flow).is_empty(), "half a hello names nobody: {flow}");
            }
        }
    }
}
