#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use super::*;
use crate::fact::Seen;
use crate::fact::value::hex;
use crate::parse::testing::tcp;

const C: Side = Side::Source;
const S: Side = Side::Destination;
const PORTS: (u16, u16) = (50_000, 22);

/// Cyberduck's lists and its HASSH as the README of salesforce/hassh prints them.
const CYBERDUCK_KEX: &str = "curve25519-sha256@libssh.org,diffie-hellman-group-exchange-sha256,ecdh-sha2-nistp521,\
ecdh-sha2-nistp384,ecdh-sha2-nistp256,diffie-hellman-group-exchange-sha1,diffie-hellman-group1-sha1,\
diffie-hellman-group14-sha1,diffie-hellman-group14-sha256,diffie-hellman-group15-sha512,\
diffie-hellman-group16-sha512,diffie-hellman-group17-sha512,diffie-hellman-group18-sha512,\
diffie-hellman-group14-sha256@ssh.com,diffie-hellman-group15-sha256,diffie-hellman-group15-sha256@ssh.com,\
diffie-hellman-group15-sha384@ssh.com,diffie-hellman-group16-sha256,diffie-hellman-group16-sha384@ssh.com,\
diffie-hellman-group16-sha512@ssh.com,diffie-hellman-group18-sha512@ssh.com";
const CYBERDUCK_ENCRYPTION: &str = "aes128-cbc,aes128-ctr,aes192-cbc,aes192-ctr,aes256-cbc,aes256-ctr,blowfish-cbc,\
blowfish-ctr,cast128-cbc,cast128-ctr,idea-cbc,idea-ctr,serpent128-cbc,serpent128-ctr,serpent192-cbc,serpent192-ctr,\
serpent256-cbc,serpent256-ctr,3des-cbc,3des-ctr,twofish128-cbc,twofish128-ctr,twofish192-cbc,twofish192-ctr,\
twofish256-cbc,twofish256-ctr,twofish-cbc,arcfour,arcfour128,arcfour256";
const CYBERDUCK_MAC: &str = "hmac-sha1,hmac-sha1-96,hmac-md5,hmac-md5-96,hmac-sha2-256,hmac-sha2-512";
const CYBERDUCK_COMPRESSION: &str = "zlib@openssh.com,zlib,none";
const CYBERDUCK_HASSH: &str = "8a8ae540028bf433cd68356c1b9e8d5b";

/// A binary packet (RFC 4253, 6).
fn packet(payload: &[u8]) -> Vec<u8> {
    let padding = 8 - (5 + payload.len()) % 8 + if (5 + payload.len()) % 8 > 4 { 8 } else { 0 };
    let mut bytes = ((1 + payload.len() + padding) as u32).to_be_bytes().to_vec();
    bytes.push(padding as u8);
    bytes.extend_from_slice(payload);
    bytes.extend(std::iter::repeat_n(0xaa, padding));
    bytes
}

/// A KEXINIT with these ten lists (RFC 4253, 7.1).
fn kexinit(lists: [&str; 10]) -> Vec<u8> {
    let mut payload = vec![KEXINIT];
    payload.extend([7; COOKIE_BYTES]);
    for list in lists {
        payload.extend((list.len() as u32).to_be_bytes());
        payload.extend(list.as_bytes());
    }
    payload.extend([0; 5]);
    packet(&payload)
}

fn cyberduck(kex: &str, backwards: [&str; 3]) -> Vec<u8> {
    let [encryption, mac, compression] = backwards;
    kexinit([
        kex,
        "ssh-rsa",
        CYBERDUCK_ENCRYPTION,
        encryption,
        CYBERDUCK_MAC,
        mac,
        CYBERDUCK_COMPRESSION,
        compression,
        "",
        "",
    ])
}

/// Feeds one side piece by piece, as a flow would.
fn read(side: Side, bytes: &[u8], cuts: &[usize]) -> (Facts, Progress) {
    let (mut facts, mut ssh, mut wanted) = (Facts::default(), Ssh::default(), 0);
    let mut progress = Progress::NeedBytes(0);
    for &end in cuts.iter().chain([&bytes.len()]) {
        if end < wanted {
            continue;
        }
        let prefix = Prefix { bytes: &bytes[..end], seen: Seen::default(), last: false, split: true };
        progress = ssh.feed(side, prefix, &mut facts);
        match progress {
            Progress::NeedBytes(more) => wanted = more,
            _ => break,
        }
    }
    (facts, progress)
}

fn values(facts: &Facts, field: &'static Field) -> Vec<String> {
    facts.of(field).map(|fact| fact.text()).collect()
}

#[test]
fn hassh_of_the_published_example() {
    let mut bytes = b"SSH-2.0-Cyberduck/6.7.1.28683 (Mac OS X/10.13.6) (x86_64)\r\n".to_vec();
    bytes.extend(cyberduck(CYBERDUCK_KEX, ["x", "y", "z"]));
    let (facts, progress) = read(C, &bytes, &[]);
    assert_eq!(progress, Progress::Done);
    assert_eq!(values(&facts, &BANNER), ["SSH-2.0-Cyberduck/6.7.1.28683 (Mac OS X/10.13.6) (x86_64)"]);
    assert_eq!(values(&facts, &HASSH), [CYBERDUCK_HASSH]);
    assert!(!facts.has(&HASSH_SERVER));
    assert_eq!(facts.flags, Default::default());
}

#[test]
fn a_server_is_known_by_its_own_direction() {
    let offer = kexinit([
        CYBERDUCK_KEX,
        "ssh-rsa",
        "x",
        CYBERDUCK_ENCRYPTION,
        "y",
        CYBERDUCK_MAC,
        "z",
        CYBERDUCK_COMPRESSION,
        "",
        "",
    ]);
    let (facts, _) = read(S, &[b"SSH-2.0-x\r\n", &offer[..]].concat(), &[]);
    assert_eq!(values(&facts, &HASSH_SERVER), [CYBERDUCK_HASSH]);
    assert!(!facts.has(&HASSH));
}

#[test]
fn the_role_is_told_by_names_when_the_start_was_not_seen() {
    // A server that looks as if it had opened the flow.
    let offer = cyberduck("curve25519-sha256,kex-strict-s-v00@openssh.com", ["a", "b", "none"]);
    let (facts, _) = read(C, &[b"SSH-2.0-x\r\n", &offer[..]].concat(), &[]);
    assert!(facts.has(&HASSH_SERVER) && !facts.has(&HASSH));
    let expected = Md5::digest(b"curve25519-sha256,kex-strict-s-v00@openssh.com;a;b;none");
    assert_eq!(values(&facts, &HASSH_SERVER), [hex(&expected)]);
}

#[test]
fn the_same_however_it_is_cut() {
    let mut bytes = b"SSH-2.0-x y\r\n".to_vec();
    bytes.extend(cyberduck("k", ["", "", ""]));
    let (whole, _) = read(C, &bytes, &[]);
    assert!(whole.has(&HASSH));
    let bytewise: Vec<usize> = (1..bytes.len()).collect();
    let (pieces, _) = read(C, &bytes, &bytewise);
    for field in [&BANNER, &HASSH] {
        assert_eq!(values(&pieces, field), values(&whole, field));
    }
    // A message that never becomes whole says nothing.
    for end in 0..bytes.len() {
        let (facts, _) = read(C, &bytes[..end], &[]);
        assert!(!facts.has(&HASSH), "{end}");
        assert_eq!(facts.has(&BANNER), end >= 13, "{end}");
    }
}

#[test]
fn lines_before_the_identification_are_stepped_over() {
    let bytes = b"Authorised use only.\r\nSSH is watched.\nSSH-2.0-dropbear_2016.74\r\n";
    let (facts, progress) = read(S, bytes, &[3, 25, 40]);
    assert_eq!(values(&facts, &BANNER), ["SSH-2.0-dropbear_2016.74"]);
    assert!(matches!(progress, Progress::NeedBytes(_)));
    assert_eq!(claim(&tcp(PORTS, S, bytes)), Claim::Yes);
    assert_eq!(claim(&tcp(PORTS, S, &bytes[..10])), Claim::NeedBytes(11));
    for bytes in [&bytes[..], &bytes[..10]] {
        assert_eq!(claim(&tcp((50_000, 2222), S, bytes)), Claim::No, "not waited for, so not taken either");
    }
    assert_eq!(claim(&tcp(PORTS, C, &bytes[..10])), Claim::No);
    assert_eq!(claim(&tcp(PORTS, S, &[b'a'; PREFACE_BYTES_MAX + 1])), Claim::No);
}

#[test]
fn claims_only_what_says_its_version() {
    for bytes in [&b"SSH-2.0-OpenSSH_9.6\r\n"[..], b"SSH-1.99-x", b"SSH-1.5-1.2.27\n", b"SSH-2.0-"] {
        assert_eq!(claim(&tcp((1, 2), C, bytes)), Claim::Yes);
    }
    for bytes in [&b"S"[..], b"SSH", b"SSH-", b"SSH-2", b"SSH-2.0"] {
        assert_eq!(claim(&tcp((1, 2), C, bytes)), Claim::NeedBytes(bytes.len() + 1));
    }
    for bytes in [&b"SSH-a"[..], b"SSH--", b"SSH-2-", b"SSH-2.0.1-x", b"SSHD", b"220 mail", b"SSH-123456789012"] {
        assert_eq!(claim(&tcp((1, 2), C, bytes)), Claim::No, "{bytes:?}");
    }
}

#[test]
fn version_one_has_no_kexinit() {
    let bytes = [b"SSH-1.5-1.2.27\n", &cyberduck("k", ["", "", ""])[..]].concat();
    let (facts, progress) = read(S, &bytes, &[]);
    assert_eq!((values(&facts, &BANNER), progress), (vec!["SSH-1.5-1.2.27".to_owned()], Progress::Done));
    assert!(!facts.has(&HASSH_SERVER));
}

#[test]
fn notes_may_stand_before_a_kexinit() {
    let note = packet(&[IGNORE, 0, 0, 0, 1, 0]);
    let bytes = [b"SSH-2.0-x\n", &note[..], &cyberduck(CYBERDUCK_KEX, ["", "", ""])].concat();
    let (facts, _) = read(C, &bytes, &[]);
    assert_eq!(values(&facts, &HASSH), [CYBERDUCK_HASSH]);
    let bytes = [&b"SSH-2.0-x\n"[..], &note.repeat(PACKETS_MAX)].concat();
    let (facts, progress) = read(C, &bytes, &[]);
    assert!(facts.flags.has(Flag::ParseError) && progress == Progress::Done);
}

#[test]
fn damage_gives_no_fingerprint() {
    let whole = [&b"SSH-2.0-x\n"[..], &cyberduck("k", ["", "", ""])].concat();
    let kex_length_at = 10 + 5 + 1 + COOKIE_BYTES;
    for (at, byte) in [(10, 0xff), (14, 0xff), (15, 21), (kex_length_at + 3, 2), (kex_length_at, 0xff)] {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        let (facts, progress) = read(C, &bytes, &[]);
        assert!(!facts.has(&HASSH) && progress == Progress::Done, "{at}");
        assert!(facts.flags.has(Flag::ParseError), "{at}");
    }
    let long = [&b"SSH-2.0-"[..], &[b'x'; BANNER_BYTES_MAX]].concat();
    let (facts, _) = read(C, &long, &[]);
    assert!(!facts.has(&BANNER) && facts.flags.has(Flag::ParseError));
}
