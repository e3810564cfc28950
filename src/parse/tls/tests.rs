#![allow(clippy::type_complexity, clippy::cloned_ref_to_slice_refs)]

use proptest::prelude::*;

use super::*;
use crate::time::Time;

const SEEN: Seen = Seen { time: Time(1), packet: 1 };

fn vec8(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8][..], bytes].concat()
}

fn vec16(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

fn vec24(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[1..], bytes].concat()
}

fn words(list: &[u16]) -> Vec<u8> {
    list.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [words(&[kind]), vec16(data)].concat()
}

fn name_entry(kind: u8, name: &[u8]) -> Vec<u8> {
    [vec![kind], vec16(name)].concat()
}

fn sni(name: &[u8]) -> Vec<u8> {
    extension(0, &vec16(&name_entry(0, name)))
}

fn alpn(names: &[&[u8]]) -> Vec<u8> {
    extension(16, &vec16(&names.iter().flat_map(|name| vec8(name)).collect::<Vec<u8>>()))
}

fn hello_body(ciphers: &[u8], extensions: &[Vec<u8>]) -> Vec<u8> {
    let block = vec16(&extensions.concat());
    [&[3, 3][..], &[7; 32], &vec8(&[9; 32]), &vec16(ciphers), &vec8(&[0]), &block].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [vec![kind], vec24(body)].concat()
}

fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    [vec![kind, 3, 1], vec16(payload)].concat()
}

fn client_hello() -> Vec<u8> {
    let extensions = [sni(b"a.example"), alpn(&[b"h2", b"http/1.1"]), extension(10, &vec16(&words(&[29, 23])))];
    message(CLIENT_HELLO, &hello_body(&words(&[0x1301, 0xc02f]), &extensions))
}

fn server_hello(random: [u8; 32], version13: bool) -> Vec<u8> {
    let block = if version13 { extension(43, &[3, 4]) } else { alpn(&[b"h2"]) };
    let body = [&[3, 3][..], &random, &vec8(&[]), &words(&[0x1301]), &[0], &vec16(&block)].concat();
    message(SERVER_HELLO, &body)
}

/// The random of a HelloRetryRequest, RFC 8446 section 4.1.3: SHA-256 of these words.
fn retry_random() -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(b"HelloRetryRequest").into()
}

struct Run {
    parser: TlsParser,
    facts: Facts,
}

impl Run {
    fn new() -> Run {
        Run { parser: TlsParser::default(), facts: Facts::default() }
    }

    fn feed(&mut self, side: Side, bytes: &[u8]) -> Progress {
        self.parser.feed(side, Prefix { bytes, seen: SEEN, last: false, split: false }, &mut self.facts)
    }

    fn last(&mut self, side: Side, bytes: &[u8]) -> Progress {
        self.parser.feed(side, Prefix { bytes, seen: SEEN, last: true, split: false }, &mut self.facts)
    }

    fn values(&self, field: &'static Field) -> Vec<Vec<u8>> {
        self.facts.iter().filter(|fact| fact.field == field).map(|fact| fact.value.to_vec()).collect()
    }

    fn has(&self, flag: Flag) -> bool {
        self.facts.flags.has(flag)
    }
}

/// One client side of one record, to its end.
fn read(hello: &[u8]) -> Run {
    let mut run = Run::new();
    run.last(Side::Source, &record(HANDSHAKE, hello));
    run
}

fn read_body(body: &[u8]) -> Run {
    read(&message(CLIENT_HELLO, body))
}

#[test]
fn facts_of_a_hello() {
    let run = read(&client_hello());
    assert_eq!(run.values(&SNI), [b"a.example"]);
    assert_eq!(run.values(&ALPN), [&b"h2"[..], b"http/1.1"]);
    assert_eq!(run.values(&JA3).len(), 1);
    assert!(run.values(&JA4)[0].starts_with(b"t12d0203h2_"));
    assert_eq!(run.facts.flags.0, 0);
    assert!(run.facts.iter().all(|fact| fact.side == Side::Source && fact.seen == SEEN));
}

#[test]
fn tls13_ends_with_the_server_hello() {
    let mut run = Run::new();
    assert!(matches!(run.feed(Side::Source, &record(HANDSHAKE, &client_hello())), Progress::NeedBytes(_)));
    let answer = record(HANDSHAKE, &server_hello([1; 32], true));
    assert_eq!(run.feed(Side::Destination, &answer), Progress::AllDone);
    assert_eq!(run.values(&VERSION), [0x0304_u64.to_be_bytes()]);
    assert_eq!(run.values(&CIPHER), [0x1301_u64.to_be_bytes()]);
}

#[test]
fn server_first_then_client() {
    let mut run = Run::new();
    let answer = record(HANDSHAKE, &server_hello([1; 32], true));
    assert_eq!(run.feed(Side::Destination, &answer), Progress::Done);
    assert_eq!(run.feed(Side::Source, &record(HANDSHAKE, &client_hello())), Progress::AllDone);
}

/// The side that accepted the TCP flow is the client.
#[test]
fn reversed_roles() {
    let mut run = Run::new();
    run.feed(Side::Destination, &record(HANDSHAKE, &client_hello()));
    let answer = record(HANDSHAKE, &server_hello([1; 32], true));
    assert_eq!(run.feed(Side::Source, &answer), Progress::AllDone);
    let side = |field| run.facts.first(field).unwrap().side;
    assert_eq!((side(&SNI), side(&JA3), side(&JA3S)), (Side::Destination, Side::Destination, Side::Source));
}

#[test]
fn retry_waits_for_the_second_hello() {
    let second = message(CLIENT_HELLO, &hello_body(&words(&[0x1302]), &[sni(b"b.example")]));
    let first = record(HANDSHAKE, &client_hello());
    let retry = record(HANDSHAKE, &server_hello(retry_random(), true));
    let change = record(CHANGE_CIPHER_SPEC, &[1]);
    let both = [first.clone(), change.clone(), record(HANDSHAKE, &second)].concat();
    let answers = [retry.clone(), change, record(HANDSHAKE, &server_hello([1; 32], true))].concat();

    let mut run = Run::new();
    assert!(matches!(run.feed(Side::Source, &first), Progress::NeedBytes(_)));
    assert!(matches!(run.feed(Side::Destination, &retry), Progress::NeedBytes(_)));
    assert!(matches!(run.feed(Side::Source, &both), Progress::NeedBytes(_)));
    assert_eq!(run.feed(Side::Destination, &answers), Progress::AllDone);
    assert_eq!(run.values(&SNI).len(), 2);
    assert_eq!(run.values(&JA3).len(), 2);

    // Without the server's side the second hello is found as well.
    let mut run = Run::new();
    run.last(Side::Source, &both);
    assert_eq!(run.values(&SNI).len(), 2);
}

#[test]
fn resumed_handshake_ends_at_once() {
    let mut run = Run::new();
    run.feed(Side::Source, &record(HANDSHAKE, &client_hello()));
    let answer = [record(HANDSHAKE, &server_hello([1; 32], false)), record(CHANGE_CIPHER_SPEC, &[1])].concat();
    assert_eq!(run.feed(Side::Destination, &answer), Progress::AllDone);
    assert_eq!(run.values(&VERSION), [0x0303_u64.to_be_bytes()]);
}

#[test]
fn certificate_of_the_client_is_awaited_only_when_asked_for() {
    let hello = record(HANDSHAKE, &client_hello());
    let server = record(HANDSHAKE, &server_hello([1; 32], false));
    let done = record(HANDSHAKE, &message(SERVER_HELLO_DONE, &[]));
    let request = record(HANDSHAKE, &message(CERTIFICATE_REQUEST, &vec8(&[1])));

    let mut run = Run::new();
    run.feed(Side::Source, &hello);
    assert_eq!(run.feed(Side::Destination, &[server.clone(), done].concat()), Progress::AllDone);

    let mut run = Run::new();
    run.feed(Side::Source, &hello);
    assert_eq!(run.feed(Side::Destination, &[server, request].concat()), Progress::Done);
    let empty_chain = record(HANDSHAKE, &message(CERTIFICATE, &vec24(&[])));
    assert_eq!(run.feed(Side::Source, &[hello, empty_chain].concat()), Progress::AllDone);
    assert_eq!(run.facts.flags.0, 0);
}

#[test]
fn side_that_encrypts_is_done() {
    let mut run = Run::new();
    let bytes = [record(HANDSHAKE, &client_hello()), record(23, &[0; 40])].concat();
    assert_eq!(run.feed(Side::Source, &bytes), Progress::Done);
    let sealed = [record(HANDSHAKE, &client_hello()), record(CHANGE_CIPHER_SPEC, &[1]), record(HANDSHAKE, &[0x5a; 40])];
    let mut run = Run::new();
    assert_eq!(run.feed(Side::Source, &sealed.concat()), Progress::Done);
    assert_eq!(run.facts.flags.0, 0);
}

/// Two to 64 records, with empty ones, notices and cipher changes between, one byte at a time.
#[test]
fn hello_in_many_records() {
    let hello = client_hello();
    let whole = read(&hello);
    for count in [2, 3, 7, 31, 64] {
        let size = hello.len().div_ceil(count);
        let mut bytes = Vec::new();
        for (number, piece) in hello.chunks(size).enumerate() {
            match number % 4 {
                0 => {}
                1 => bytes.extend(record(HANDSHAKE, &[])),
                2 => bytes.extend(record(NOTICE, &[1, 0])),
                _ => bytes.extend(record(CHANGE_CIPHER_SPEC, &[1])),
            }
            bytes.extend(record(HANDSHAKE, piece));
        }
        let mut run = Run::new();
        for end in 1..=bytes.len() {
            run.feed(Side::Source, &bytes[..end]);
        }
        for field in [&SNI, &ALPN, &JA3, &JA4] {
            assert_eq!(run.values(field), whole.values(field), "{count} records");
        }
        assert!(run.has(Flag::HelloMultiRecord));
    }
    assert!(!whole.has(Flag::HelloMultiRecord));
}

/// Several messages in one record, and a message that ends in the record another starts in.
#[test]
fn messages_share_records() {
    let answer = [server_hello([1; 32], false), message(CERTIFICATE, &vec24(&[])), message(SERVER_HELLO_DONE, &[])];
    let answer = answer.concat();
    for size in 1..=answer.len() {
        let mut run = Run::new();
        run.feed(Side::Source, &record(HANDSHAKE, &client_hello()));
        let bytes: Vec<u8> = answer.chunks(size).flat_map(|piece| record(HANDSHAKE, piece)).collect();
        assert_eq!(run.feed(Side::Destination, &bytes), Progress::AllDone, "{size}");
        assert_eq!(run.values(&JA3S).len(), 1);
        assert!(!run.has(Flag::HelloMultiRecord));
    }
}

#[test]
fn split_is_of_the_first_hello() {
    let bytes = record(HANDSHAKE, &client_hello());
    let mut run = Run::new();
    let prefix = Prefix { bytes: &bytes, seen: SEEN, last: false, split: true };
    run.parser.feed(Side::Source, prefix, &mut run.facts);
    assert!(run.has(Flag::HelloSplit));
}

#[test]
fn records_too_long_are_flagged_and_read() {
    for length in [16_384, 16_384 + 1, 16_384 + 256, 65_535] {
        let mut bytes = record(HANDSHAKE, &client_hello());
        bytes[3..5].copy_from_slice(&(length as u16).to_be_bytes());
        let mut run = Run::new();
        run.feed(Side::Source, &bytes);
        assert_eq!(run.values(&SNI), [b"a.example"]);
        assert_eq!(run.has(Flag::LimitReached), length > 16_384, "{length}");
        assert_eq!(claim(&bytes), Claim::Yes);
    }
}

#[test]
fn big_hello_is_assembled() {
    let padding = extension(21, &vec![0; 50_000]);
    let hello = message(CLIENT_HELLO, &hello_body(&words(&[0x1301]), &[padding, sni(b"big.example")]));
    let bytes: Vec<u8> = hello.chunks(16_384).flat_map(|piece| record(HANDSHAKE, piece)).collect();
    let mut run = Run::new();
    for end in (1..bytes.len()).step_by(1_400).chain([bytes.len()]) {
        run.feed(Side::Source, &bytes[..end]);
    }
    assert_eq!(run.values(&SNI), [b"big.example"]);
    assert!(run.has(Flag::HelloMultiRecord) && !run.has(Flag::LimitReached));
}

/// More than a prefix can hold: the name, if it stands in front, and a flag; no fingerprint.
#[test]
fn hello_beyond_the_limit() {
    let padding: Vec<Vec<u8>> = (0..2).map(|n| extension(0x5000 + n, &vec![0; 32_000])).collect();
    let extensions = [vec![sni(b"big.example")], padding].concat();
    let hello = message(CLIENT_HELLO, &hello_body(&vec![0; 40_000], &extensions));
    let bytes: Vec<u8> = hello.chunks(16_384).flat_map(|piece| record(HANDSHAKE, piece)).collect();
    assert_eq!(claim(&bytes), Claim::Yes);
    let mut run = Run::new();
    assert_eq!(run.last(Side::Source, &bytes[..HELLO_BYTES_MAX]), Progress::Done);
    assert_eq!(run.values(&SNI), [b"big.example"]);
    assert!(run.values(&JA3).is_empty() && run.values(&JA4).is_empty());
    assert!(run.has(Flag::LimitReached) && !run.has(Flag::Truncated));
}

/// At every length: no wrong name, no fingerprint, the right flag.
#[test]
fn hello_cut_off() {
    let bytes = record(HANDSHAKE, &client_hello());
    for end in 0..bytes.len() {
        let mut run = Run::new();
        assert_eq!(run.last(Side::Source, &bytes[..end]), Progress::Done);
        assert!(run.values(&JA3).is_empty());
        assert!(run.values(&SNI).iter().all(|name| name == b"a.example"));
        assert_eq!(run.has(Flag::Truncated), end >= 9, "{end}");
        assert!(!run.has(Flag::ParseError));
    }
    let mut run = Run::new();
    run.last(Side::Source, &bytes[..bytes.len() - 1]);
    assert_eq!(run.values(&SNI), [b"a.example"]);
}

#[test]
fn malformed_hellos_give_no_fingerprint() {
    let good = words(&[0x1301, 0xc02f]);
    let mut overrun = hello_body(&good, &[sni(b"a.example"), extension(23, &[])]);
    let length_at = overrun.len() - 1;
    overrun[length_at] = 1;
    let mut trailing = hello_body(&good, &[sni(b"a.example")]);
    trailing.push(0);
    let list_longer = extension(0, &[&[0, 13][..], &name_entry(0, b"a.example")].concat());
    let list_shorter = extension(0, &[&[0, 11][..], &name_entry(0, b"a.example")].concat());
    let name_longer = extension(0, &vec16(&[&[0, 0, 10][..], b"a.example"].concat()));
    let name_shorter = extension(0, &vec16(&[&[0, 0, 8][..], b"a.example"].concat()));
    let mut long_id = hello_body(&good, &[]);
    long_id[34] = 33;
    let cases: [(&str, Vec<u8>); 14] = [
        ("odd cipher list", hello_body(&[0x13, 0x01, 0xc0], &[])),
        ("extension overrun", overrun),
        ("trailing byte", trailing),
        ("name list longer than extension", hello_body(&good, &[list_longer])),
        ("name list shorter than extension", hello_body(&good, &[list_shorter])),
        ("name longer than list", hello_body(&good, &[name_longer])),
        ("name shorter than list", hello_body(&good, &[name_shorter])),
        ("odd groups", hello_body(&good, &[extension(10, &vec16(&[0, 29, 0]))])),
        ("odd signature algorithms", hello_body(&good, &[extension(13, &vec16(&[4]))])),
        ("odd versions", hello_body(&good, &[extension(43, &vec8(&[3]))])),
        ("point formats overrun", hello_body(&good, &[extension(11, &[2, 0])])),
        ("protocol overrun", hello_body(&good, &[extension(16, &vec16(&[3, b'h', b'2']))])),
        ("id too long", long_id),
        ("stray byte after extensions' last", hello_body(&good, &[vec![0, 23, 0]])),
    ];
    for (name, body) in cases {
        let run = read_body(&body);
        assert!(run.has(Flag::ParseError), "{name}");
        assert!(run.values(&JA3).is_empty() && run.values(&JA4).is_empty(), "{name}");
    }
}

/// Odd, but readable: the raw value is kept, and the flag says so.
#[test]
fn odd_server_names() {
    let ciphers = words(&[0x1301]);
    let two = extension(0, &vec16(&[name_entry(0, b"a.example"), name_entry(0, b"b.example")].concat()));
    let cases: [(&str, Vec<Vec<u8>>, &[&[u8]]); 6] = [
        ("twice", vec![sni(b"a.example"), sni(b"b.example")], &[b"a.example", b"b.example"]),
        ("two in one", vec![two], &[b"a.example", b"b.example"]),
        ("empty extension", vec![extension(0, &[])], &[]),
        ("empty list", vec![extension(0, &[0, 0])], &[]),
        ("empty name", vec![sni(b"")], &[]),
        ("other type", vec![extension(0, &vec16(&name_entry(7, b"a.example")))], &[b"a.example"]),
    ];
    for (name, extensions, names) in cases {
        let run = read_body(&hello_body(&ciphers, &extensions));
        assert_eq!(run.values(&SNI), names, "{name}");
        assert!(run.has(Flag::ParseError), "{name}");
        assert_eq!(run.values(&JA3).len(), 1, "{name}");
    }
    let label = [&[b'a'; 63][..], b".example"].concat();
    let good = [&b"A.Example."[..], b"a_b.example", b"192.0.2.1", &label];
    let bad = [&b"a\0b.example"[..], b"\xff\xfe", b"a b.example", &[b'a'; 64], &b"ab.".repeat(100)];
    for (raw, is_bad) in good.into_iter().map(|raw| (raw, false)).chain(bad.into_iter().map(|raw| (raw, true))) {
        let run = read_body(&hello_body(&ciphers, &[sni(raw)]));
        assert_eq!(run.values(&SNI), [raw]);
        assert_eq!(run.has(Flag::ParseError), is_bad, "{raw:?}");
    }
}

#[test]
fn names_have_a_limit() {
    let names: Vec<u8> = (0..2_000_u16).flat_map(|n| name_entry(0, &n.to_be_bytes())).collect();
    let run = read_body(&hello_body(&words(&[0x1301]), &[extension(0, &vec16(&names))]));
    assert_eq!(run.values(&SNI).len(), SERVER_NAMES_MAX);
    assert!(run.has(Flag::LimitReached));
    assert_eq!(run.values(&JA4).len(), 1);
}

/// RFC 8701: values of all kinds, the fingerprints stay.
#[test]
fn grease_changes_nothing() {
    let plain = [alpn(&[b"h2"]), extension(10, &vec16(&words(&[29]))), extension(13, &vec16(&words(&[0x0403])))];
    let plain = [&plain[..], &[extension(43, &vec8(&words(&[0x0304, 0x0303])))]].concat();
    let greased = vec![
        extension(0x1a1a, &[]),
        alpn(&[&[0x2a, 0x2a], b"h2"]),
        extension(10, &vec16(&words(&[0x3a3a, 29]))),
        extension(13, &vec16(&words(&[0x4a4a, 0x0403]))),
        extension(43, &vec8(&words(&[0xfafa, 0x0304, 0x0303]))),
        extension(0x6a6a, &[0]),
    ];
    let plain = read_body(&hello_body(&words(&[0x1301]), &plain));
    let greased = read_body(&hello_body(&words(&[0x7a7a, 0x1301]), &greased));
    assert_eq!(plain.values(&JA3), greased.values(&JA3));
    assert_eq!(plain.values(&JA4), greased.values(&JA4));
    assert!(plain.values(&JA4)[0].starts_with(b"t13i0104h2_"));
}

#[test]
fn encrypted_client_hello() {
    let outer = [&[0][..], &words(&[1, 3]), &[0x5c], &vec16(&[1; 32]), &vec16(&[2; 144])].concat();
    let run = read_body(&hello_body(&words(&[0x1301]), &[sni(b"public.example"), extension(0xfe0d, &outer)]));
    assert!(run.has(Flag::Ech) && !run.has(Flag::ParseError));
    assert_eq!(run.values(&ECH), [0x5c_u64.to_be_bytes()]);
    assert_eq!(run.values(&ECH_SUITE), [[0, 1, 0, 3]]);
    // Of another form: still hidden, and odd.
    let run = read_body(&hello_body(&words(&[0x1301]), &[extension(0xfe0d, &outer[..20])]));
    assert!(run.has(Flag::Ech) && run.has(Flag::ParseError));
    assert!(run.values(&ECH).is_empty());
}

/// RFC 6101 appendix E.2: a hello of version 2, then records.
#[test]
fn version2_hello_offering_tls() {
    let mut bytes = vec![0x80, 0, 1, 3, 1, 0, 6, 0, 0, 0, 16, 0, 0, 0x2f, 1, 0, 0x80];
    bytes.extend([5; 16]);
    bytes[1] = bytes.len() as u8 - 2;
    for end in 0..bytes.len() {
        match claim(&bytes[..end]) {
            Claim::NeedBytes(more) => assert!(more > end && end < 11),
            Claim::Yes => assert!(end >= 11),
            Claim::No => panic!("{end}"),
        }
    }
    let mut run = Run::new();
    assert!(matches!(run.feed(Side::Source, &bytes[..5]), Progress::NeedBytes(11)));
    assert!(matches!(run.feed(Side::Source, &bytes), Progress::NeedBytes(_)));
    let answer = record(HANDSHAKE, &[server_hello([1; 32], false), message(SERVER_HELLO_DONE, &[])].concat());
    assert_eq!(run.feed(Side::Destination, &answer), Progress::AllDone);
    assert_eq!(run.values(&VERSION).len(), 1);
    assert!(run.values(&JA3).is_empty());
    bytes[4] = 9;
    assert_eq!(claim(&bytes), Claim::No);
    bytes[4] = 1;
    bytes[1] += 1;
    assert_eq!(claim(&bytes), Claim::No);
}

#[test]
fn claims() {
    let hello = record(HANDSHAKE, &client_hello());
    let notice = record(NOTICE, &[1, 112]);
    assert_eq!(claim(&[]), Claim::NeedBytes(11));
    assert_eq!(claim(&hello[..5]), Claim::NeedBytes(11));
    assert_eq!(claim(&hello[..11]), Claim::Yes);
    assert_eq!(claim(&notice), Claim::NeedBytes(notice.len() + 11));
    assert_eq!(claim(&[notice, hello.clone()].concat()), Claim::Yes);
    assert_eq!(claim(&[record(HANDSHAKE, &[]), hello.clone()].concat()), Claim::Yes);
    let bytewise: Vec<u8> = client_hello().iter().flat_map(|&byte| record(HANDSHAKE, &[byte])).collect();
    assert_eq!(claim(&bytewise), Claim::Yes);
    assert_eq!(claim(&record(HANDSHAKE, &server_hello([1; 32], true))), Claim::Yes);
    let mut ssl3 = hello;
    (ssl3[2], ssl3[10]) = (0, 0);
    assert_eq!(claim(&ssl3), Claim::Yes);
}

/// Bytes that only look like TLS at first.
#[test]
fn claims_refused() {
    let not_hellos: [&[u8]; 12] = [
        b"GET / HTTP/1.1\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        &[0x16, 0x03, 0x01, 0x00, 0x10, 0x02, 0x00, 0x00, 0x0c, 0x03, 0x03, 0x00],
        &[0x16, 0x03, 0x01, 0x00, 0xff, 0x01, 0x00, 0x00, 0x05, 0x03, 0x03, 0x00],
        &[0x16, 0x03, 0x01, 0x00, 0xff, 0x01, 0x02, 0x00, 0x05, 0x03, 0x03, 0x00],
        &[0x16, 0x03, 0x01, 0x00, 0xff, 0x01, 0x00, 0x00, 0xfb, 0x04, 0x03, 0x00],
        &[0x16, 0x03, 0x01, 0x00, 0xff, 0x01, 0x00, 0x00, 0xfb, 0x03, 0x07, 0x00],
        &[0x16, 0x03, 0x01, 0x00, 0xff, 0x63, 0x00, 0x00, 0xfb, 0x03, 0x03, 0x00],
        &[0x16, 0x03, 0x09],
        &[0x16, 0x04],
        &[0x17, 0x03, 0x03, 0x00, 0x10, 0x00],
        &[0x15, 0x03, 0x03, 0x00, 0x20, 0x00],
    ];
    for bytes in not_hellos {
        assert_eq!(claim(bytes), Claim::No, "{bytes:02x?}");
    }
    let empty: Vec<u8> = (0..1_000).flat_map(|_| record(HANDSHAKE, &[])).collect();
    assert_eq!(claim(&empty), Claim::No);
}

#[test]
fn neither_side_speaks_tls() {
    let mut run = Run::new();
    assert_eq!(run.feed(Side::Source, b"GET / HTTP/1.1\r\n"), Progress::Done);
    assert_eq!(run.feed(Side::Destination, b"HTTP/1.1 200 OK\r\n"), Progress::NotMine);
    assert!(run.facts.is_empty());
}

#[test]
fn broken_chains() {
    for body in [&[][..], &[0, 0, 9], &[0, 0, 4, 0, 0, 9, 1], &[0, 0, 5, 0, 0, 2, 0x30, 0x05]] {
        let mut run = Run::new();
        let bytes = [server_hello([1; 32], false), message(CERTIFICATE, body)].concat();
        run.last(Side::Destination, &record(HANDSHAKE, &bytes));
        assert!(run.has(Flag::ParseError), "{body:?}");
        assert!(run.values(&X509_SUBJECT).is_empty());
    }
}

/// Builds DER by hand: names in every string type, in the order and with the escapes that
/// RFC 4514 gives them.
#[test]
fn names_are_printed_most_specific_first() {
    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        assert!(content.len() < 65_536);
        let length = content.len() as u16;
        match length {
            0..=127 => [&[tag, length as u8][..], content].concat(),
            _ => [&[tag, 0x82][..], &length.to_be_bytes(), content].concat(),
        }
    }
    let attribute = |oid: &[u8], tag: u8, value: &[u8]| der(0x30, &[der(6, oid), der(tag, value)].concat());
    let rank = |attributes: &[Vec<u8>]| der(0x31, &attributes.concat());
    let name = |ranks: &[Vec<u8>]| der(0x30, &ranks.concat());
    let subject = name(&[
        rank(&[attribute(&[0x55, 4, 6], 0x13, b"US")]),
        rank(&[attribute(&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 0x19], 0x16, b"example")]),
        rank(&[attribute(&[0x55, 4, 10], 0x0c, "Größe, Inc. \\ Co".as_bytes())]),
        rank(&[attribute(&[0x55, 4, 11], 0x1e, &[0x4e, 0x2d, 0x65, 0x87])]),
        rank(&[attribute(&[0x55, 4, 7], 0x14, b"M\xfcnchen")]),
        rank(&[attribute(&[0x55, 4, 5], 0x13, b"42"), attribute(&[0x55, 4, 3], 0x0c, b"fw-1")]),
        rank(&[attribute(&[0x2b, 6, 1, 4, 1, 0x82, 0x37, 1], 0x0c, b"x,O=Fortinet+CN=y, z")]),
    ]);
    let issuer = name(&[rank(&[attribute(&[0x55, 4, 3], 0x0c, b"CA")])]);
    let validity = der(0x30, &[der(0x17, b"not a date"), der(0x17, b"neither")].concat());
    let alternative = der(0x30, &[der(0x82, b"fw-1.example"), der(0x87, &[192, 0, 2, 1]), der(0x82, b"\xff")].concat());
    let extension = der(0x30, &[der(6, &[0x55, 0x1d, 0x11]), der(1, &[255]), der(4, &alternative)].concat());
    let fields = [
        der(0xa0, &der(2, &[2])),
        der(2, &[0xff, 0x01]),
        der(0x30, &der(6, &[0x2a, 3])),
        issuer,
        validity,
        subject,
        der(0x30, &[]),
        der(0xa3, &der(0x30, &extension)),
    ];
    let certificate = der(0x30, &der(0x30, &fields.concat()));
    let mut facts = Facts::default();
    certificate::add_chain(&vec24(&vec24(&certificate)), Side::Destination, SEEN, &mut facts);
    let one = |field| facts.first(field).unwrap().value;
    assert_eq!(
        String::from_utf8_lossy(one(&X509_SUBJECT)),
        "1.3.6.1.4.1.311.1=x\\2CO=Fortinet\\2BCN=y, z,serialNumber=42+CN=fw-1,L=München,OU=中文,O=Größe, Inc. \\\\ Co,DC=example,C=US"
    );
    assert_eq!(one(&X509_ISSUER), b"CN=CA");
    let names: Vec<&[u8]> = facts.iter().filter(|fact| fact.field == &X509_SAN).map(|fact| fact.value).collect();
    assert_eq!(names, [&b"fw-1.example"[..], b"192.0.2.1", b"\xff"]);
    // The dates are nonsense; what stands beside them is read.
    assert!(facts.flags.has(Flag::ParseError) && !facts.has(&X509_NOT_AFTER));
}

/// An object identifier that takes more than linear time to print is not printed.
#[test]
fn bytes_of_an_object_identifier() {
    let printed = |bytes: usize| {
        let length = |part: usize| [&[0x82][..], &(part as u16).to_be_bytes()].concat();
        let oid = [&[6][..], &length(bytes), &vec![0x2a; bytes]].concat();
        let pair = [oid, vec![0x0c, 1, b'x']].concat();
        let set = [&[0x30][..], &length(pair.len()), &pair].concat();
        let name = [&[0x31][..], &length(set.len()), &set].concat();
        let name = [&[0x30][..], &length(name.len()), &name].concat();
        let fields = [&[0xa0, 3, 2, 1, 2, 2, 1, 1, 0x30, 4, 6, 2, 0x2a, 3][..], &name, &[0x30, 0], &name, &[0x30, 0]];
        let inside = fields.concat();
        let inside = [&[0x30][..], &length(inside.len()), &inside].concat();
        let certificate = [&[0x30][..], &length(inside.len()), &inside].concat();
        let mut facts = Facts::default();
        certificate::add_chain(&vec24(&vec24(&certificate)), Side::Destination, SEEN, &mut facts);
        String::from_utf8(facts.first(&X509_SUBJECT).unwrap().value.to_vec()).unwrap()
    };
    let last = printed(certificate::OID_BYTES_MAX);
    assert!(last.starts_with("1.2.42.42.") && last.ends_with(".42=x"), "{last}");
    assert_eq!(printed(certificate::OID_BYTES_MAX + 1), "oid=x");
}

/// A message of any type that is too long for one is taken for the start of what is encrypted; nothing is gathered of it.
#[test]
fn bytes_of_a_message() {
    let begun = |length: u32| {
        let mut run = Run::new();
        let header = [&[CERTIFICATE][..], &length.to_be_bytes()[1..]].concat();
        let bytes =
            [record(HANDSHAKE, &server_hello([1; 32], false)), record(HANDSHAKE, &[&header[..], &[0; 100]].concat())];
        let progress = run.feed(Side::Destination, &bytes.concat());
        matches!(progress, Progress::NeedBytes(_))
    };
    let most = super::record::MESSAGE_BYTES_MAX as u32;
    assert_eq!((begun(most), begun(most + 1)), (true, false));
}

/// Bytes that lead deep into the parsers: a run of records and messages with random insides.
fn tls_like() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop_oneof![Just(HANDSHAKE), Just(NOTICE), Just(CHANGE_CIPHER_SPEC), any::<u8>()];
    let types = prop_oneof![Just(CLIENT_HELLO), Just(SERVER_HELLO), Just(CERTIFICATE), any::<u8>()];
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        proptest::collection::vec(any::<u8>(), 0..200).prop_map(|noise| hello_body(&noise, &[noise.clone()])),
        proptest::collection::vec(any::<u8>(), 0..200).prop_map(|noise| vec24(&vec24(&noise))),
    ];
    let piece = (kinds, types, body, 1..300_usize).prop_map(|(kind, message_type, body, size)| {
        message(message_type, &body).chunks(size).flat_map(|part| record(kind, part)).collect::<Vec<u8>>()
    });
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_panics(first in tls_like(), second in proptest::collection::vec(any::<u8>(), 0..600), step in 1..90_usize) {
        claim(&first);
        claim(&second);
        for (a, b) in [(&first, &second), (&second, &first), (&first, &first)] {
            let mut run = Run::new();
            for end in (0..a.len()).step_by(step) {
                if let Progress::NeedBytes(more) = run.feed(Side::Source, &a[..end]) {
                    prop_assert!(more > end);
                }
            }
            let ends = [run.last(Side::Source, a), run.last(Side::Destination, b)];
            prop_assert!(ends.iter().all(|end| !matches!(end, Progress::NeedBytes(_))));
        }
    }

    /// What is found does not depend on where the segments end.
    #[test]
    fn segments_change_nothing(bytes in tls_like(), step in 1..50_usize) {
        let mut whole = Run::new();
        whole.last(Side::Source, &bytes);
        let mut grown = Run::new();
        for end in (0..bytes.len()).step_by(step) {
            if !matches!(grown.feed(Side::Source, &bytes[..end]), Progress::NeedBytes(_)) {
                break;
            }
        }
        grown.last(Side::Source, &bytes);
        let list = |run: &Run| {
            let mut list: Vec<_> = run.facts.iter().map(|fact| (fact.field.name, fact.value.to_vec())).collect();
            list.sort();
            list
        };
        prop_assert_eq!(list(&whole), list(&grown));
        prop_assert_eq!(whole.facts.flags, grown.facts.flags);
    }
}
