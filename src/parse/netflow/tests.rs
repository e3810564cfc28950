#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use super::*;
use crate::parse::testing::udp;

const S: Side = Side::Source;

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn set(id: u16, body: &[u8]) -> Vec<u8> {
    [&words(&[id, 4 + body.len() as u16])[..], body].concat()
}

/// A header of RFC 3954, 5.1: uptime, time and sequence do not matter.
fn version_9(count: u16, source_id: u32, sets: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = words(&[9, count, 0, 1, 0x6700, 0, 0, 7]);
    bytes.extend(source_id.to_be_bytes());
    bytes.extend(sets.concat());
    bytes
}

/// A header of RFC 7011, 3.1.
fn ipfix(domain: u32, sets: &[Vec<u8>]) -> Vec<u8> {
    let sets = sets.concat();
    let mut bytes = words(&[IPFIX, 16 + sets.len() as u16, 0x6700, 0, 0, 7]);
    bytes.extend(domain.to_be_bytes());
    bytes.extend(sets);
    bytes
}

fn version_5(count: u16) -> Vec<u8> {
    let mut bytes = words(&[5, count, 0, 9, 0x6700, 0, 0, 1, 0, 7, 0x0103, 0]);
    bytes.extend(vec![0; usize::from(count) * RECORD_5_BYTES]);
    bytes
}

fn claims(bytes: &[u8]) -> bool {
    (PROTOCOL.claim)(&udp((40_000, 40_001), S, bytes)) == Claim::Yes
}

fn read(datagrams: &[Vec<u8>]) -> Facts {
    let mut facts = Facts::default();
    for bytes in datagrams {
        NetFlow.feed(S, Prefix { bytes, seen: Seen::default(), last: true, split: false }, &mut facts);
    }
    facts
}

fn values(facts: &Facts, field: &'static Field) -> Vec<String> {
    let mut all: Vec<String> = facts.of(field).map(|fact| fact.text()).collect();
    all.sort();
    all
}

/// What tshark 4.0.17 prints of these bytes: template 256, scope System of 2 bytes, options TOTAL_BYTES_EXP 8,
/// TOTAL_PKTS_EXP 8, TOTAL_FLOWS_EXP 8; template 258, IP_SRC_ADDR 4, IP_DST_ADDR 4.
fn templates_9() -> Vec<u8> {
    let options = [256, 4, 12, 1, 2, 40, 8, 41, 8, 42, 8, 0];
    version_9(2, 5, &[set(OPTIONS_9, &words(&options)), set(TEMPLATES_9, &words(&[258, 2, 8, 4, 12, 4]))])
}

#[test]
fn templates_of_version_nine() {
    let facts = read(&[templates_9()]);
    assert_eq!(values(&facts, &VERSION), ["9"]);
    assert_eq!(values(&facts, &SOURCE_ID), ["5"]);
    assert_eq!(values(&facts, &TEMPLATE), ["256 s1:2 40:8 41:8 42:8", "258 8:4 12:4"]);
    assert_eq!(facts.flags, Default::default());
}

#[test]
fn private_elements_name_their_enterprise() {
    // RFC 7011, 3.4.2.2 and 3.2: the scope is the first of two fields.
    let options = words(&[259, 2, 1, 149, 4, 143, 4]);
    let template = words(&[257, 2, 8, 4, PRIVATE | 1, 32, 0, 25461]);
    let facts = read(&[ipfix(6, &[set(OPTIONS_10, &options), set(TEMPLATES_10, &template), set(257, &[1; 36])])]);
    assert_eq!(values(&facts, &VERSION), ["10"]);
    assert_eq!(values(&facts, &TEMPLATE), ["257 8:4 25461.1:32", "259 s149:4 143:4"]);
    assert_eq!(values(&facts, &ENTERPRISE), ["25461"]);
}

#[test]
fn version_five_counts_its_records() {
    assert_eq!(values(&read(&[version_5(2)]), &SOURCE_ID), ["259"]);
    for count in [1, 30] {
        assert!(claims(&version_5(count)));
    }
    assert!(!claims(&version_5(31)) && !claims(&version_5(0)));
    let mut late = version_5(1);
    late[24 + 24] = 1;
    assert!(!claims(&late), "a flow that ends before it starts");
}

#[test]
fn only_what_fits_to_the_last_byte_is_claimed() {
    let data = version_9(1, 5, &[set(258, &[1; 8])]);
    let message = ipfix(6, &[set(TEMPLATES_10, &words(&[257, 1, 8, 4])), set(257, &[1; 4])]);
    for whole in [&templates_9(), &version_5(2), &data, &message] {
        assert!(claims(whole));
        for end in 0..whole.len() {
            // Behind a whole set stands the end of a datagram that says less than was sent: only its counts tell.
            let fits = [20 + 28, 20].contains(&end) && whole[1] == 9;
            assert!(!claims(&whole[..end]) || fits, "{end}");
        }
        assert!(!claims(&[&whole[..], &[0]].concat()));
    }
    for bad in [
        version_9(0, 5, &[set(258, &[1; 8])]),
        version_9(1, 5, &[set(258, &[])]),
        version_9(1, 5, &[set(2, &[1; 8])]),
        version_9(1, 5, &[set(TEMPLATES_9, &words(&[255, 1, 8, 4]))]),
        version_9(1, 5, &[set(TEMPLATES_9, &words(&[258, 3, 8, 4]))]),
        version_9(1, 5, &[set(OPTIONS_9, &words(&[258, 3, 4, 1, 4]))]),
        ipfix(1, &[]),
        ipfix(1, &[words(&[257, 0])]),
    ] {
        assert!(!claims(&bad));
    }
}

#[test]
fn a_withdrawn_template_is_no_template() {
    let bytes = ipfix(1, &[set(TEMPLATES_10, &words(&[TEMPLATES_10, 0]))]);
    assert!(claims(&bytes) && !read(&[bytes]).has(&TEMPLATE));
}

#[test]
fn many_values_end_no_flow() {
    let all: Vec<Vec<u8>> = (0..40).map(|source| version_9(1, source, &[set(258, &[1; 8])])).collect();
    let facts = read(&all);
    assert_eq!(values(&facts, &SOURCE_ID).len(), VALUES_MAX);
    assert!(facts.flags.has(Flag::LimitReached) && !facts.is_nearly_full());
}
