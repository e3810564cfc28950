//! Packets of RFC 9001 and RFC 9369, and flows made of the ClientHello and ServerHello in them.

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::parse::testing::udp;
use aes_gcm::aead::AeadInOut;
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::BlockCipherEncrypt;
use aes_gcm::{Aes128Gcm, KeyInit};
use proptest::prelude::*;

use super::*;
use crate::fact::value;
use crate::time::Time;

/// The connection id of RFC 9001 appendix A.
const TO: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
const VERSION_1: u32 = 1;
const VERSION_2: u32 = 0x6b33_43cf;

/// The CRYPTO frame of RFC 9001 appendix A.2.
const CLIENT_FRAME: &str = "\
    060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c000004130113\
    02010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d00170018001000070005\
    04616c706e000500050100000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce1\
    5d43e994ec74d748002b0003020304000d0010000e0403050306030203080408050806002d00020101001c0002400100\
    3900320408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f088394c8f03e51570806\
    048000ffff";
/// The frames of RFC 9001 appendix A.3: an acknowledgement and a ServerHello.
const SERVER_FRAMES: &str = "\
    02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b9a045a1200\
    130100002e00330024001d00209d3c940d89690b84d08a60993c144eca684d1081287c834d5311bcf32bb9da1a002b00\
    020304";
/// The server's Initial packet of RFC 9001 appendix A.3 and of RFC 9369 appendix A.3.
const SERVER_PACKETS: [&str; 2] = [
    "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb3\
     8cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84\
     022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee",
    "dc6b3343cf0008f067a5502a4262b5004075d92faaf16f05d8a4398c47089698baeea26b91eb761d9b89237bbf872630\
     17915358230035f7fd3945d88965cf17f9af6e16886c61bfc703106fbaf3cb4cfa52382dd16a393e42757507698075b2\
     c984c707f0a0812d8cd5a6881eaf21ceda98f4bd23f6fe1a3e2c43edd9ce7ca84bed8521e2e140",
];

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A number in its two-byte form.
fn two_bytes(value: usize) -> [u8; 2] {
    (0x4000 | value as u16).to_be_bytes()
}

/// Seals an Initial packet: keys from `first_to`, sent to `to`, its number in `number_bytes`.
fn seal(
    version: u32,
    first_to: &[u8],
    role: Role,
    to: &[u8],
    (number, number_bytes): (u32, usize),
    frames: &[u8],
) -> Vec<u8> {
    let dialect = version::dialect(version).unwrap();
    let keys = Keys::derive(dialect, first_to, role).unwrap();
    let mut packet = vec![0xc0 | dialect.initial << 4 | (number_bytes as u8 - 1)];
    packet.extend(version.to_be_bytes());
    packet.push(to.len() as u8);
    packet.extend(to);
    packet.extend([0, 0]);
    packet.extend(two_bytes(number_bytes + frames.len() + 16));
    let number_at = packet.len();
    packet.extend(&number.to_be_bytes()[4 - number_bytes..]);
    let header = packet.clone();
    packet.extend(frames);
    let mut nonce = keys.nonce;
    nonce.iter_mut().rev().zip(number.to_le_bytes()).for_each(|(byte, part)| *byte ^= part);
    let cipher = Aes128Gcm::new(&keys.key.into());
    let sealed = &mut packet[header.len()..];
    let tag = cipher.encrypt_inout_detached(&nonce.into(), &header, sealed.into()).unwrap();
    packet.extend(tag);
    let mut mask = <[u8; 16]>::try_from(&packet[number_at + 4..number_at + 20]).unwrap().into();
    Aes128::new(&keys.header.into()).encrypt_block(&mut mask);
    packet[0] ^= mask[0] & 0x0f;
    for at in 0..number_bytes {
        packet[number_at + at] ^= mask[1 + at];
    }
    packet
}

/// A client's datagram, padded.
fn client(number: u32, frames: &[u8]) -> Vec<u8> {
    client_to(VERSION_1, &TO, number, frames)
}

fn client_to(version: u32, to: &[u8], number: u32, frames: &[u8]) -> Vec<u8> {
    let mut frames = frames.to_vec();
    frames.resize(frames.len().max(1162), 0);
    seal(version, to, Role::Client, to, (number, 4), &frames)
}

fn server(first_to: &[u8], frames: &[u8]) -> Vec<u8> {
    seal(VERSION_1, first_to, Role::Server, &[], (0, 2), frames)
}

fn crypto(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x06];
    frame.extend(0x8000_0000_u32.wrapping_add(offset as u32).to_be_bytes());
    frame.extend(two_bytes(bytes.len()));
    frame.extend(bytes);
    frame
}

fn client_hello() -> Vec<u8> {
    hex(CLIENT_FRAME)[4..].to_vec()
}

/// Reads datagrams as one flow; what the last one led to.
fn read<'a>(datagrams: impl IntoIterator<Item = (Side, &'a [u8])>) -> (Facts, Progress) {
    let mut parser = Quic::new();
    let mut facts = Facts::default();
    let mut progress = Progress::NeedBytes(0);
    for (number, (side, bytes)) in datagrams.into_iter().enumerate() {
        assert_ne!(progress, Progress::AllDone, "datagram {number} comes after the end");
        let seen = Seen { time: Time(number as i64), packet: number as u64 + 1 };
        progress = parser.feed(side, Prefix { bytes, seen, last: true, split: false }, &mut facts);
    }
    (facts, progress)
}

fn from_client<'a>(datagrams: impl IntoIterator<Item = &'a Vec<u8>>) -> Facts {
    read(datagrams.into_iter().map(|datagram| (Side::Source, datagram.as_slice()))).0
}

fn text(facts: &Facts, field: &'static Field) -> Vec<String> {
    let mut all: Vec<String> = facts.of(field).map(|fact| value::text(&fact)).collect();
    all.sort();
    all
}

fn assert_hello(facts: &Facts) {
    assert_eq!(text(facts, &SNI), ["example.com"]);
    assert_eq!(text(facts, &tls::ALPN), ["alpn"]);
    // `printf 771,4865-4866,0-65281-10-16-5-51-43-13-45-28-57,29-23-24, | md5sum`
    assert_eq!(text(facts, &tls::JA3), ["41bc9ae914d6cb3bd0bd0a5453ab7d7f"]);
    assert_eq!(text(facts, &tls::JA4).len(), 1);
    assert!(text(facts, &tls::JA4)[0].starts_with("q13d0211an_"));
}

fn no_hello(facts: &Facts) -> bool {
    !facts.has(&SNI) && !facts.has(&tls::JA3) && !facts.has(&tls::JA4) && !facts.has(&tls::ALPN)
}

/// Which salt opens which version, by its first bytes: RFC 9001 and 9369, and `packet-quic.c` of Wireshark for the drafts,
/// for Facebook's and Google's versions. Drafts before 22 seal in another way.
#[test]
fn salts_of_versions() {
    for (version, salt) in [
        (0x0000_0001, Some([0x38, 0x76, 0x2c, 0xf7])),
        (0x6b33_43cf, Some([0x0d, 0xed, 0xe3, 0xde])),
        (0xff00_0015, None),
        (0xff00_0016, Some([0x7f, 0xbc, 0xdb, 0x0e])),
        (0xface_b001, Some([0x7f, 0xbc, 0xdb, 0x0e])),
        (0xff00_0017, Some([0xc3, 0xee, 0xf7, 0x12])),
        (0xface_b002, Some([0xc3, 0xee, 0xf7, 0x12])),
        (0xff00_001c, Some([0xc3, 0xee, 0xf7, 0x12])),
        (0xff00_001d, Some([0xaf, 0xbf, 0xec, 0x28])),
        (u32::from_be_bytes(*b"T050"), Some([0x7f, 0xf5, 0x79, 0xe5])),
        (u32::from_be_bytes(*b"T051"), Some([0x7a, 0x4e, 0xde, 0xf4])),
        (0x1a2a_3a4a, None),
    ] {
        let found = version::dialect(version).map(|dialect| dialect.salt[..4].to_vec());
        assert_eq!(found, salt.map(|salt| salt.to_vec()), "{version:08x}");
    }
}

/// RFC 9001 appendix A.1 and RFC 9369 appendix A.1.
#[test]
fn published_keys() {
    let cases = [
        (VERSION_1, Role::Client, "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c"),
        (VERSION_1, Role::Server, "cf3a5331653c364c88f0f379b6067e37", "0ac1493ca1905853b0bba03e"),
        (VERSION_2, Role::Client, "8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f"),
        (VERSION_2, Role::Server, "82db637861d55e1d011f19ea71d5d2a7", "dd13c276499c0249d3310652"),
    ];
    for (version, role, key, nonce) in cases {
        let keys = Keys::derive(version::dialect(version).unwrap(), &TO, role).unwrap();
        assert_eq!((keys.key.to_vec(), keys.nonce.to_vec()), (hex(key), hex(nonce)), "{version:x} {role:?}");
    }
}

/// RFC 9001 appendix A.2 and RFC 9369 appendix A.2: the packets have the beginning and the tag that are printed there,
/// and the tag covers all of them.
#[test]
fn published_client_packets() {
    let cases = [
        (
            VERSION_1,
            "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11",
            "e221af44860018ab0856972e194cd934",
        ),
        (
            VERSION_2,
            "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485",
            "a18b2faa745b6fe189cf772a9f84cbfc",
        ),
    ];
    for (version, start, tag) in cases {
        let packet = client_to(version, &TO, 2, &hex(CLIENT_FRAME));
        assert_eq!(packet.len(), 1200);
        assert_eq!((&packet[..32], &packet[1184..]), (&hex(start)[..], &hex(tag)[..]));
        assert_eq!(claim(&udp((50_000, 4433), Side::Source, &packet)), Claim::Yes);
        let facts = from_client([&packet]);
        assert_hello(&facts);
        assert_eq!(text(&facts, &VERSION), [version.to_string()]);
        assert_eq!(facts.flags, crate::fact::Flags::default());
    }
}

/// RFC 9001 appendix A.3 and RFC 9369 appendix A.3.
#[test]
fn published_server_packets() {
    for (version, packet) in [VERSION_1, VERSION_2].into_iter().zip(SERVER_PACKETS) {
        let [question, answer] = [client_to(version, &TO, 2, &hex(CLIENT_FRAME)), hex(packet)];
        let (facts, progress) = read([(Side::Source, &question[..]), (Side::Destination, &answer[..])]);
        assert_eq!(progress, Progress::AllDone);
        assert_eq!(text(&facts, &tls::CIPHER), [0x1301.to_string()]);
        assert_eq!(text(&facts, &tls::VERSION), [0x0304.to_string()]);
        // `printf 771,4865,51-43 | md5sum`
        assert_eq!(text(&facts, &tls::JA3S), ["eb1d94daa7e0344597e756a1fb6e7054"]);
    }
}

/// The server's hello of T050 stands behind an acknowledgement in the form of Google's older versions: that of a real
/// flow, and one with blocks and time stamps. The fingerprint is the one that tshark prints for such a hello.
#[test]
fn googles_acknowledgements_are_stepped_over() {
    const T050: u32 = 0x5430_3530;
    let mut hello = hex(SERVER_FRAMES)[5..].to_vec();
    assert_eq!(hello[..4], [0x06, 0x00, 0x40, 0x5a]);
    hello[0] = 0x08;
    let cipher = hello.windows(2).position(|pair| pair == [0x13, 0x01]).unwrap();
    hello[cipher + 1] = 0x03;
    let mut question = hex(CLIENT_FRAME);
    question[0] = 0x08;
    let question = client_to(T050, &TO, 1, &question);
    for ack in ["40 01 0000 01 00", "65 0102 0000 02 0001 05 0001 06 0001 02 01 00000009 02 0009"] {
        let answer = seal(T050, &TO, Role::Server, &[], (1, 1), &[hex(ack), hello.clone()].concat());
        let (facts, _) = read([(Side::Source, &question[..]), (Side::Destination, &answer[..])]);
        assert_eq!(text(&facts, &tls::JA3S), ["d75f9129bb5d05492a65ff78e081bcb2"], "{ack}");
        assert!(!facts.flags.has(Flag::ParseError), "{ack}");
    }
    let cut = seal(T050, &TO, Role::Server, &[], (1, 1), &hex("60 01 0000 ff 01 0101"));
    let (facts, _) = read([(Side::Source, &question[..]), (Side::Destination, &cut[..])]);
    assert!(facts.flags.has(Flag::ParseError));
}

/// RFC 9369 section 4: the client begins with version 1, the server goes on with version 2.
#[test]
fn the_version_may_change_on_the_way() {
    let [question, answer] = [client(0, &hex(CLIENT_FRAME)), hex(SERVER_PACKETS[1])];
    let (facts, _) = read([(Side::Source, &question[..]), (Side::Destination, &answer[..])]);
    assert_hello(&facts);
    assert_eq!(text(&facts, &tls::CIPHER), [0x1301.to_string()]);
    assert_eq!(text(&facts, &VERSION), [VERSION_1.to_string(), VERSION_2.to_string()]);
}

#[test]
fn a_hello_in_two_datagrams_cut_anywhere_in_both_orders() {
    let hello = client_hello();
    for cut in 1..hello.len() {
        let parts = [client(0, &crypto(0, &hello[..cut])), client(1, &crypto(cut, &hello[cut..]))];
        for order in [[0, 1], [1, 0]] {
            let facts = from_client(order.map(|at| &parts[at]));
            assert_hello(&facts);
            assert!(facts.flags.has(Flag::HelloSplit) && !facts.flags.has(Flag::Gap), "{cut}");
        }
        let facts = from_client([&parts[1]]);
        assert!(no_hello(&facts) && facts.flags.has(Flag::Gap), "{cut}");
    }
}

#[test]
fn single_bytes_backwards_between_other_frames() {
    let hello = client_hello();
    let others = [&[0x01][..], &[0x00, 0x00], &hex("02090101020103"), &hex("0305010002010203")];
    let mut frames = Vec::new();
    for (at, byte) in hello.iter().enumerate().rev() {
        frames.extend(crypto(at, &[*byte]));
        frames.extend(others[at % others.len()]);
    }
    let facts = from_client([&client(0, &frames)]);
    assert_hello(&facts);
    assert!(!facts.flags.has(Flag::HelloSplit) && !facts.flags.has(Flag::ParseError));
}

#[test]
fn overlaps_agree_or_are_told() {
    let hello = client_hello();
    let same = [crypto(40, &hello[40..]), crypto(0, &hello[..100])].concat();
    let facts = from_client([&client(0, &same)]);
    assert_hello(&facts);
    assert!(!facts.flags.has(Flag::OverlapConflict));
    let mut other = hello.clone();
    other[61] ^= 1;
    let differing = [crypto(40, &hello[40..]), crypto(0, &other[..100])].concat();
    let facts = from_client([&client(0, &differing)]);
    assert_hello(&facts);
    assert!(facts.flags.has(Flag::OverlapConflict));
}

/// RFC 9000 section 12.2: several packets in one datagram, also such that are for others.
#[test]
fn coalesced_packets() {
    let hello = client_hello();
    let part = |number, from, to: usize| {
        let to = to.min(hello.len());
        seal(VERSION_1, &TO, Role::Client, &TO, (number, 1), &crypto(from, &hello[from..to]))
    };
    let mut handshake = vec![0xe5, 0, 0, 0, 1, 8];
    handshake.extend(TO);
    handshake.extend([0, 0x40, 0x20]);
    handshake.resize(handshake.len() + 32, 0xaa);
    let mut datagram = [part(0, 100, 900), handshake, part(1, 0, 100)].concat();
    let short = datagram.len();
    datagram.resize(1200, 0);
    assert_hello(&from_client([&datagram]));
    datagram.truncate(short);
    let facts = from_client([&datagram]);
    assert!(no_hello(&facts), "a client fills its first datagrams");
}

#[test]
fn after_a_retry_the_keys_come_from_the_new_connection_id() {
    let new = [7; 12];
    let first = client(0, &hex(CLIENT_FRAME));
    // RFC 9001 appendix A.4.
    let retry = hex("ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba");
    let second = client_to(VERSION_1, &new, 1, &hex(CLIENT_FRAME));
    let answer = server(&new, &hex(SERVER_FRAMES));
    let (source, destination) = (Side::Source, Side::Destination);
    let datagrams =
        [(source, &first[..]), (destination, &retry[..]), (source, &second[..]), (destination, &answer[..])];
    let (facts, progress) = read(datagrams);
    assert_hello(&facts);
    assert_eq!(progress, Progress::AllDone);
    assert_eq!(text(&facts, &tls::CIPHER), [0x1301.to_string()]);
    // The first datagram was not captured.
    let (facts, _) = read(datagrams.into_iter().skip(1));
    assert_hello(&facts);
    assert_eq!(claim(&udp((443, 50_000), Side::Destination, &retry)), Claim::Yes);
}

/// RFC 9000 section 7.2: later packets go to the server's own connection id and keep the first keys.
#[test]
fn the_second_half_goes_to_the_servers_connection_id() {
    let hello = client_hello();
    let first = client(0, &crypto(0, &hello[..100]));
    let mut frames = crypto(100, &hello[100..]);
    frames.resize(1100, 0);
    let second = seal(VERSION_1, &TO, Role::Client, &[9, 9, 9], (1, 1), &frames);
    assert_hello(&from_client([&first, &second]));
}

/// RFC 8446 section 4.1.3: the server wants another hello.
#[test]
fn a_hello_retry_request_is_answered_by_a_second_hello() {
    let hello = client_hello();
    let mut request = hex(SERVER_FRAMES)[9..].to_vec();
    request[6..38].copy_from_slice(&hex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"));
    let name_at = hello.windows(11).position(|part| part == b"example.com").unwrap();
    let mut second = hello.clone();
    second[name_at..name_at + 11].copy_from_slice(b"example.net");
    let first = client(0, &crypto(0, &hello));
    let retry = server(&TO, &crypto(0, &request));
    let again = client(1, &crypto(hello.len(), &second));
    let answer = hex(SERVER_FRAMES)[9..].to_vec();
    let answer = seal(VERSION_1, &TO, Role::Server, &[], (1, 2), &crypto(request.len(), &answer));
    let (source, destination) = (Side::Source, Side::Destination);
    let (facts, progress) =
        read([(source, &first[..]), (destination, &retry[..]), (source, &again[..]), (destination, &answer[..])]);
    assert_eq!(progress, Progress::AllDone);
    assert_eq!(text(&facts, &SNI), ["example.com", "example.net"]);
}

#[test]
fn a_version_nobody_speaks_then_one_that_both_do() {
    let mut grease = client(0, &hex(CLIENT_FRAME));
    grease[1..5].copy_from_slice(&[0x1a, 0x2a, 0x3a, 0x4a]);
    assert_eq!(claim(&udp((50_000, 443), Side::Source, &grease)), Claim::Yes);
    assert_eq!(claim(&udp((50_000, 5000), Side::Source, &grease)), Claim::No);
    let negotiation = hex("80 00000000 08 f067a5502a4262b5 08 8394c8f03e515708 00000001 6b3343cf 5a6a7a8a");
    assert_eq!(claim(&udp((443, 50_000), Side::Destination, &negotiation)), Claim::Yes);
    let second = client(0, &hex(CLIENT_FRAME));
    let (facts, _) =
        read([(Side::Source, &grease[..]), (Side::Destination, &negotiation[..]), (Side::Source, &second[..])]);
    assert_hello(&facts);
    assert_eq!(text(&facts, &VERSION), [VERSION_1.to_string(), 0x1a2a_3a4a.to_string()]);
}

#[test]
fn a_damaged_packet_tells_nothing() {
    let packet = client(0, &hex(CLIENT_FRAME));
    for at in 0..packet.len() {
        let mut damaged = packet.clone();
        damaged[at] ^= 0x10;
        let facts = from_client([&damaged]);
        // The length of the token, the other connection id and such may become another packet, never another hello.
        assert!(facts.iter().next().is_none(), "byte {at}");
    }
    for length in 0..packet.len() {
        assert!(from_client([&packet[..length].to_vec()]).iter().next().is_none(), "{length} bytes");
    }
}

#[test]
fn a_flow_derives_few_keys() {
    let mut parser = Quic::new();
    let mut facts = Facts::default();
    let mut packet = client(0, &hex(CLIENT_FRAME));
    let mut fed = 0;
    loop {
        fed += 1;
        packet[6..10].copy_from_slice(&u32::to_be_bytes(fed));
        let prefix = Prefix { bytes: &packet, seen: Seen::default(), last: true, split: false };
        if parser.feed(Side::Source, prefix, &mut facts) == Progress::AllDone {
            break;
        }
    }
    assert_eq!((fed, parser.derivations), (PACKETS_MAX, DERIVATIONS_MAX));
    assert!(facts.flags.has(Flag::LimitReached) && facts.flags.has(Flag::ParseError) && facts.iter().next().is_none());
}

#[test]
fn a_hello_that_never_ends_is_given_up() {
    let hello = client_hello();
    let first = client(0, &crypto(0, &hello[..200]));
    let mut datagrams = vec![first];
    datagrams.extend(vec![vec![0x40; 30]; QUIET_DATAGRAMS_MAX as usize]);
    let (facts, progress) = read(datagrams.iter().map(|datagram| (Side::Source, datagram.as_slice())));
    assert_eq!(progress, Progress::AllDone);
    assert_eq!(text(&facts, &SNI), ["example.com"], "it stands whole in what there is");
    assert!(!facts.has(&tls::JA3) && !facts.has(&tls::JA4) && facts.flags.has(Flag::Gap));
}

#[test]
fn handshake_bytes_far_out_are_refused() {
    let facts = from_client([&client(0, &crypto(PREFIX_BYTES_MAX - 1, &[1, 2]))]);
    assert!(facts.flags.has(Flag::LimitReached) && no_hello(&facts));
    let facts = from_client([&client(0, &crypto(0, &[1, 1, 0, 0, 3, 3]))]);
    assert!(facts.flags.has(Flag::LimitReached) && no_hello(&facts));
    let facts = from_client([&client(0, &crypto(0, &[20, 0, 0, 32, 3, 3]))]);
    assert!(facts.flags.has(Flag::ParseError) && no_hello(&facts));
}

/// A hello that fits into what is kept of a side is waited for; a longer one is not, and it is said.
#[test]
fn bytes_of_a_hello() {
    let flags = |length: usize| {
        let header = [&[CLIENT_HELLO][..], &(length as u32).to_be_bytes()[1..], &[3, 3]].concat();
        from_client([&client(0, &crypto(0, &header))]).flags
    };
    assert!(!flags(HELLO_BYTES_MAX).has(Flag::LimitReached) && flags(HELLO_BYTES_MAX + 1).has(Flag::LimitReached));
}

#[test]
fn the_short_header_of_the_client_ends_it() {
    let first = client(0, &hex(CLIENT_FRAME));
    let (facts, progress) =
        read([(Side::Source, &first[..]), (Side::Destination, &[0x41; 40]), (Side::Source, &[0x41; 40])]);
    assert_eq!(progress, Progress::AllDone);
    assert_hello(&facts);
}

#[test]
fn what_is_not_quic() {
    let ports = (50_000, 443);
    for bytes in [
        &[][..],
        &[0xc0],
        &[0xc0, 0, 0, 0, 1],
        b"\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\x04\x01\0\0\0",
        b"\xc3\0\0\0\x02\x08aaaaaaaa\0\0\x40\x40",
        &[0x40; 1200],
        &[0xff; 1200],
        // A version of nobody, too short for a first packet.
        b"\xc3\x1a\x2a\x3a\x4a\x08aaaaaaaa\0",
    ] {
        assert_eq!(claim(&udp(ports, Side::Source, bytes)), Claim::No, "{bytes:02x?}");
    }
    // The end of a packet is missing: only on the usual port.
    let packet = client(0, &hex(CLIENT_FRAME));
    assert_eq!(claim(&udp(ports, Side::Source, &packet[..96])), Claim::Yes);
    assert_eq!(claim(&udp((50_000, 5000), Side::Source, &packet[..96])), Claim::No);
}

/// Chromium, "QUIC Wire Layout Specification": flags, connection id, version.
#[test]
fn googles_versions_are_named_and_left_alone() {
    for start in [&b"\x0daaaaaaaaQ043\x01"[..], b"\xc3Q046\x50aaaaaaaa", b"\xc3Q050\x08aaaaaaaa\0\0"] {
        assert_eq!(claim(&udp((50_000, 6121), Side::Source, start)), Claim::Yes);
        let (facts, progress) = read([(Side::Source, start)]);
        assert_eq!(progress, Progress::AllDone);
        assert_eq!(facts.of(&VERSION).count(), 1);
    }
    assert_eq!(claim(&udp((50_000, 443), Side::Source, b"\x0daaaaaaaaQ04x\x01")), Claim::No);
}

#[test]
fn the_user_agent_is_a_transport_parameter() {
    let mut parameters = hex("010480007530");
    assert_eq!(user_agent(&parameters), None);
    parameters.extend(hex("7129 05"));
    parameters.extend(b"agent");
    assert_eq!(user_agent(&parameters), Some(&b"agent"[..]));
    parameters.push(9);
    assert_eq!(user_agent(&parameters), None, "the list does not fit");
}

proptest! {
    /// Whatever is sealed properly, and whatever stands before and behind it.
    #[test]
    fn any_frames_and_any_bytes(
        // RFC 9001, section 5.4.2: a sender pads what is too short for a sample.
        frames in proptest::collection::vec(any::<u8>(), 4..400),
        pieces in proptest::collection::vec((0..300usize, 0..300usize), 0..20),
        junk in proptest::collection::vec(any::<u8>(), 0..60),
        number in any::<u32>(),
    ) {
        let hello = client_hello();
        let mut all: Vec<u8> = pieces.iter().flat_map(|&(a, b)| {
            let [a, b] = [a, b].map(|at| at.min(hello.len()));
            crypto(a.min(b), &hello[a.min(b)..a.max(b)])
        }).collect();
        all.extend(&frames);
        let first = [client(number, &all), junk.clone()].concat();
        let second = [server(&TO, &frames), junk.clone()].concat();
        for bytes in [&first, &second, &junk] {
            claim(&udp((443, 443), Side::Source, bytes));
        }
        let mut parser = Quic::new();
        let mut facts = Facts::default();
        for (side, bytes) in [(Side::Source, &first), (Side::Destination, &second), (Side::Source, &junk)] {
            let prefix = Prefix { bytes, seen: Seen::default(), last: true, split: false };
            if parser.feed(side, prefix, &mut facts) == Progress::AllDone {
                break;
            }
        }
        let names = text(&facts, &SNI);
        prop_assert!(names.is_empty() || names == ["example.com"]);
    }
}
