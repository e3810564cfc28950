//! However a hello is cut, ordered and repeated: the same name, the same fingerprints.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use bordertap::fact::Flag;
use bordertap::parse::{ftp, tls};
use bordertap::record::FlowRecord;
use common::conversation::{Conversation, From};
use common::hellos::{Between, Piece, backwards, cut, cut_bytewise, rerecord, shuffled};
use common::packets::Endpoint;
use common::pipeline::{flows, texts};
use common::tls::{Version, client_hello, server_hello};

const NAME: &str = "update.vendor.example";
const START: u64 = 1_790_000_000_000_000_000;

fn conversation() -> Conversation {
    let client = Endpoint::new([2, 0, 0, 0, 0, 1], "10.0.0.1", 49_152);
    let server = Endpoint::new([2, 0, 0, 0, 0, 2], "203.0.113.9", 443);
    Conversation::new(client, server, START, 20_000_000)
}

/// The one flow that these pieces of a hello make.
fn flow(pieces: &[Piece], version: Version, sequence: Option<u32>) -> FlowRecord {
    let mut talk = conversation();
    if let Some(sequence) = sequence {
        talk = talk.with_sequence(sequence);
    }
    talk.open().send_pieces(From::Client, pieces).send(From::Server, &server_hello(version)).close();
    let mut all = flows(&talk.packets());
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// Name and fingerprints.
fn meaning(flow: &FlowRecord) -> Vec<Vec<String>> {
    [&tls::SNI, &tls::JA3, &tls::JA4, &tls::ALPN, &tls::JA3S].map(|field| texts(flow, field)).to_vec()
}

fn whole(bytes: &[u8]) -> Vec<Piece> {
    cut(bytes, &[])
}

fn reference(version: Version) -> (Vec<u8>, Vec<Vec<String>>) {
    let hello = client_hello(version, Some(NAME));
    let flow = flow(&whole(&hello), version, None);
    let meaning = meaning(&flow);
    assert_eq!(meaning[0], [NAME]);
    assert!(meaning[1..3].iter().all(|m| m.len() == 1), "{meaning:?}");
    assert!(!flow.facts.flags.has(Flag::HelloSplit) && !flow.facts.flags.has(Flag::HelloMultiRecord));
    (hello, meaning)
}

#[test]
fn cut_at_every_byte_in_both_orders() {
    for version in [Version::Tls12, Version::Tls13] {
        let (hello, expected) = reference(version);
        for at in 1..hello.len() {
            for pieces in [cut(&hello, &[at]), backwards(cut(&hello, &[at]))] {
                let flow = flow(&pieces, version, None);
                assert_eq!(meaning(&flow), expected, "{version:?} cut at {at}");
                assert!(flow.facts.flags.has(Flag::HelloSplit), "{version:?} cut at {at}");
            }
        }
    }
}

#[test]
fn one_byte_segments_in_any_order() {
    for version in [Version::Tls12, Version::Tls13] {
        let (hello, expected) = reference(version);
        let pieces = cut_bytewise(&hello);
        assert_eq!(meaning(&flow(&pieces, version, None)), expected, "forwards");
        assert_eq!(meaning(&flow(&backwards(pieces.clone()), version, None)), expected, "backwards");
        for seed in 0..20 {
            assert_eq!(meaning(&flow(&shuffled(pieces.clone(), seed), version, None)), expected, "seed {seed}");
        }
    }
}

#[test]
fn many_records_with_empty_ones_and_alerts_between() {
    for version in [Version::Tls12, Version::Tls13] {
        let (hello, expected) = reference(version);
        for count in 2..=64 {
            for between in [Between::Nothing, Between::EmptyRecord, Between::WarningAlert, Between::Both] {
                let records = rerecord(&hello, count, between);
                let flow = flow(&whole(&records), version, None);
                assert_eq!(meaning(&flow), expected, "{count} records, {between:?}");
                assert!(flow.facts.flags.has(Flag::HelloMultiRecord), "{count} records, {between:?}");
            }
        }
    }
}

#[test]
fn records_and_segments_cut_at_once() {
    let (hello, expected) = reference(Version::Tls13);
    for count in [2, 3, 7, 40] {
        let records = rerecord(&hello, count, Between::Both);
        let offsets: Vec<usize> = (1..records.len()).step_by(11).collect();
        for seed in 0..10 {
            let pieces = shuffled(cut(&records, &offsets), seed);
            assert_eq!(meaning(&flow(&pieces, Version::Tls13, None)), expected, "{count} records, seed {seed}");
        }
    }
}

#[test]
fn the_sequence_number_wraps_inside_the_hello() {
    let (hello, expected) = reference(Version::Tls13);
    for before in [1u32, 2, 100, 300, 516] {
        // The first byte of payload follows the SYN.
        let sequence = 0u32.wrapping_sub(before).wrapping_sub(1);
        for pieces in [cut(&hello, &[200]), backwards(cut(&hello, &[200])), cut_bytewise(&hello)] {
            assert_eq!(meaning(&flow(&pieces, Version::Tls13, Some(sequence))), expected, "wraps after {before}");
        }
    }
}

#[test]
fn the_start_of_the_flow_may_be_missing() {
    let (hello, expected) = reference(Version::Tls13);
    for pieces in [whole(&hello), cut(&hello, &[200]), backwards(cut(&hello, &[200, 350]))] {
        let mut talk = conversation();
        talk.open().send_pieces(From::Client, &pieces).send(From::Server, &server_hello(Version::Tls13)).close();
        // The capture began behind the handshake of TCP.
        let packets = talk.packets().split_off(3);
        let all = flows(&packets);
        assert_eq!(all.len(), 1);
        assert_eq!(meaning(&all[0]), expected);
        assert!(all[0].facts.flags.has(Flag::Midstream));
    }
}

#[test]
fn one_direction_alone_gives_what_it_has() {
    let (hello, expected) = reference(Version::Tls13);
    let mut talk = conversation();
    talk.open().send(From::Client, &hello).send(From::Server, &server_hello(Version::Tls13)).close();
    let packets = talk.packets();
    let client_mac = [2, 0, 0, 0, 0, 1];
    let (up, down): (Vec<_>, Vec<_>) = packets.into_iter().partition(|p| p.bytes[6..12] == client_mac);
    let up = flows(&up).remove(0);
    assert_eq!(meaning(&up)[..4], expected[..4]);
    assert!(up.facts.flags.has(Flag::OneSided));
    let down = flows(&down).remove(0);
    assert_eq!(texts(&down, &tls::JA3S), expected[4]);
    assert!(down.facts.flags.has(Flag::OneSided));
    assert_eq!(down.endpoint(bordertap::fact::Side::Destination).1, 443, "the one who answers is the destination");
}

#[test]
fn what_was_acknowledged_before_it_came_by_is_read() {
    let (hello, expected) = reference(Version::Tls13);
    let mut talk = conversation();
    talk.open();
    // The two directions overtake each other between two cards of the sensor.
    let before = talk.now();
    talk.send_pieces(From::Client, &cut(&hello, &[200])).send(From::Server, &server_hello(Version::Tls13)).close();
    let (early, mut packets): (Vec<_>, Vec<_>) = talk.packets().into_iter().partition(|p| p.time < before);
    let answer = packets.iter().position(|p| p.bytes[6..12] == [2, 0, 0, 0, 0, 2]).unwrap();
    packets[..=answer].rotate_right(1);
    let flow = flows(&[early, packets].concat()).remove(0);
    assert_eq!(meaning(&flow), expected);
}

#[test]
fn a_second_copy_with_another_name_is_told_beside_the_first() {
    let hello = client_hello(Version::Tls13, Some(NAME));
    let other = client_hello(Version::Tls13, Some("decoy.elsewhere.example"));
    let mut talk = conversation();
    // The front of one hello, then an overlapping copy of the other from the first byte, then the rest.
    let pieces = [
        Piece { offset: 0, bytes: hello[..300].to_vec() },
        Piece { offset: 0, bytes: other[..300].to_vec() },
        Piece { offset: 300, bytes: hello[300..].to_vec() },
    ];
    talk.open().send_pieces(From::Client, &pieces).close();
    let flow = flows(&talk.packets()).remove(0);
    assert!(flow.facts.flags.has(Flag::OverlapConflict));
    assert_eq!(texts(&flow, &tls::SNI), ["decoy.elsewhere.example", NAME]);
    assert_eq!(flow.facts.first(&tls::SNI).unwrap().text(), NAME, "what came first comes first");
}

#[test]
fn a_hole_that_is_never_filled_gives_no_wrong_name() {
    let hello = client_hello(Version::Tls13, Some(NAME));
    let mut talk = conversation();
    let pieces =
        [Piece { offset: 0, bytes: hello[..100].to_vec() }, Piece { offset: 140, bytes: hello[140..].to_vec() }];
    talk.open().send_pieces(From::Client, &pieces).close();
    let flow = flows(&talk.packets()).remove(0);
    assert!(flow.facts.flags.has(Flag::Gap));
    assert!(texts(&flow, &tls::SNI).is_empty() && texts(&flow, &tls::JA4).is_empty());
    assert!(flow.missing[0] >= 40, "{:?}", flow.missing);
}

#[test]
fn tls_after_another_beginning_is_found() {
    let (hello, expected) = reference(Version::Tls13);
    let mut talk = conversation();
    talk.open()
        .send(From::Server, b"welcome to a protocol that nobody knows\r\n")
        .send(From::Client, b"start\r\n")
        .send(From::Server, b"go ahead\r\n")
        .send_pieces(From::Client, &cut(&hello, &[250]))
        .send(From::Server, &server_hello(Version::Tls13))
        .close();
    let flow = flows(&talk.packets()).remove(0);
    assert_eq!(meaning(&flow), expected);
    assert_eq!(flow.protocol, Some("tls"));
}

/// A client asks for TLS, and the sensor loses that: the hello behind it is read, and the flow says that something is missing.
#[test]
fn tls_behind_a_lost_command_is_found() {
    let (hello, expected) = reference(Version::Tls13);
    let mut talk = conversation();
    talk.open().send(From::Server, b"220 mail.vendor.example ESMTP\r\n").send(From::Client, b"EHLO client.example\r\n");
    let before = talk.now();
    talk.send(From::Client, b"STARTTLS\r\n");
    let after = talk.now();
    talk.send_pieces(From::Client, &cut(&hello, &[250])).close();
    let mut packets = talk.packets();
    packets.retain(|packet| !(before..after).contains(&packet.time));
    let flow = flows(&packets).remove(0);
    assert_eq!(meaning(&flow)[..4], expected[..4]);
    assert!(flow.facts.flags.has(Flag::Gap));
}

/// A side whose start was not seen is read from somewhere; what comes by later and lies before it joins no two lines.
#[test]
fn bytes_before_what_was_read_change_no_line() {
    let greeting = b"220-First line\r\nSecond line\r\n220 The last line\r\n230 User logged in\r\n";
    let client = Endpoint::new([2, 0, 0, 0, 0, 1], "10.0.0.1", 49_152);
    let server = Endpoint::new([2, 0, 0, 0, 0, 2], "203.0.113.9", 21);
    // The end of the last line never comes by.
    let pieces =
        [(48, 67), (29, 48), (0, 29)].map(|(from, to)| Piece { offset: from, bytes: greeting[from..to].to_vec() });
    let mut talk = Conversation::new(client, server, START, 20_000_000);
    talk.open().send_pieces(From::Server, &pieces).send(From::Client, b"USER Waldo\r\n");
    // Without what opens it; the client speaks after the first piece.
    let mut packets = talk.packets().split_off(3);
    let user = packets.iter().position(|packet| packet.bytes.ends_with(b"USER Waldo\r\n")).unwrap();
    packets[1..=user].rotate_right(1);
    assert!(packets[0].bytes.ends_with(b"logged in\r"));
    let flow = flows(&packets).remove(0);
    assert_eq!(flow.protocol, Some("ftp"));
    let lines = ["First line", "The last line"];
    let read = texts(&flow, &ftp::BANNER);
    assert!(read.iter().all(|line| lines.contains(&line.as_str())), "{read:?}");
}
