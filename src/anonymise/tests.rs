use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::fact::FLOW_FIELDS;
use crate::parse::PROTOCOLS;
use crate::policy::INSIDE_DEFAULT;

fn anonymiser(key: u8) -> Anonymiser {
    let inside: Vec<Prefix> = INSIDE_DEFAULT.iter().map(|prefix| prefix.parse().unwrap()).collect();
    Anonymiser::new(&Key([key; KEY_BYTES]), &inside, &["bank.example.com".to_owned()]).unwrap()
}

/// Leading bits that two addresses have in common, counted without the code under test.
fn common(a: &[u8], b: &[u8]) -> usize {
    let bits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:08b}")).collect::<String>();
    bits(a).chars().zip(bits(b).chars()).take_while(|(a, b)| a == b).count()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// An address of ours that holds no hardware address.
fn ours() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 3]>().prop_map(|[a, b, c]| Ipv4Addr::new(10, a, b, c).into()),
        (16u8..32, any::<[u8; 2]>()).prop_map(|(a, [b, c])| Ipv4Addr::new(172, a, b, c).into()),
        any::<[u8; 2]>().prop_map(|[a, b]| Ipv4Addr::new(192, 168, a, b).into()),
        (64u8..128, any::<[u8; 2]>()).prop_map(|(a, [b, c])| Ipv4Addr::new(100, a, b, c).into()),
        any::<[u8; 15]>().prop_map(|rest| Ipv6Addr::from_bits(
            0xfd << 120 | u128::from_be_bytes([&[0], &rest[..]].concat().try_into().unwrap())
        )
        .into()),
    ]
}

proptest! {
    /// draft-denis-ipcrypt, section "Prefix-Preserving Encryption": two addresses share as many leading bits as before.
    #[test]
    fn prefixes_are_kept(a in ours(), b in ours(), near in 0u32..128, key in any::<u8>()) {
        let anonymiser = anonymiser(key);
        // Two that have much in common are rare among any two.
        let neighbour = of_bits(super::key(a) ^ 1u128 << (near % if a.is_ipv4() { 16 } else { 100 }), a);
        for other in [b, neighbour].into_iter().filter(|other| other.is_ipv4() == a.is_ipv4()) {
            let turned = [a, other].map(|address| octets(anonymiser.address(address)));
            prop_assert_eq!(common(&octets(a), &octets(other)), common(&turned[0], &turned[1]));
        }
        prop_assert_eq!(anonymiser.reveal(anonymiser.address(a)), a);
        let inside = |address: IpAddr| INSIDE_DEFAULT.iter().position(|prefix| prefix.parse::<Prefix>().unwrap().contains(address));
        prop_assert_eq!(inside(anonymiser.address(a)), inside(a));
    }

    /// Whatever text says, what comes out is text that no longer has the address.
    #[test]
    fn no_address_of_ours_is_left_in_text(address in ours(), before in "[ -~]{0,12}", after in "[ -~]{0,12}") {
        // What would be another address.
        prop_assume!(!before.ends_with(|c: char| c.is_ascii_hexdigit() || ":.".contains(c) || c.is_alphanumeric()));
        prop_assume!(!after.starts_with(|c: char| c.is_ascii_hexdigit() || ":.".contains(c) || c.is_alphanumeric()));
        let anonymiser = anonymiser(7);
        let text = format!("{before}{address}{after}");
        prop_assert_eq!(anonymiser.text(&text).into_owned(), format!("{before}{}{after}", anonymiser.address(address)));
    }

    #[test]
    fn any_text_is_taken(text in "\\PC{0,200}") {
        let anonymiser = anonymiser(7);
        let _ = (anonymiser.text(&text), anonymiser.hosts(&text), anonymiser.name(&text, true), anonymiser.own(&text));
        let _ = (anonymiser.serial(&text), anonymiser.distinguished(&text, true), anonymiser.url(&text, true));
    }
}

/// The vectors of draft-denis-ipcrypt, appendix "ipcrypt-pfx": the library does what the draft says.
#[test]
fn the_library_is_that_of_the_draft() {
    let key = "0123456789abcdeffedcba98765432101032547698badcfeefcdab8967452301";
    let cipher = IpcryptPfx::new(Key::new(key.as_bytes()).unwrap().0);
    for (plain, turned) in
        [("0.0.0.0", "151.82.155.134"), ("255.255.255.255", "94.185.169.89"), ("192.0.2.1", "100.115.72.131")]
    {
        assert_eq!(cipher.encrypt_ipaddr(plain.parse().unwrap()).to_string(), turned);
    }
}

#[test]
fn a_network_stays_a_network_without_two_hosts_in_one_place() {
    let (anonymiser, other) = (anonymiser(1), anonymiser(2));
    let all: BTreeSet<IpAddr> = (0..=u16::MAX)
        .map(|n| anonymiser.address(Ipv4Addr::from(u32::from_be_bytes([10, 9, 0, 0]) | u32::from(n)).into()))
        .collect();
    assert_eq!(all.len(), 1 << 16);
    let address = "10.9.1.2".parse().unwrap();
    assert_ne!(anonymiser.address(address), address);
    assert_ne!(anonymiser.address(address), other.address(address));
    assert_ne!(anonymiser.id(), other.id());
    for outside in
        ["8.8.8.8", "2606:4700::1111", "255.255.255.255", "224.0.0.251", "ff02::fb", "127.0.0.1", "0.0.0.0", "::"]
    {
        assert_eq!(anonymiser.address(outside.parse().unwrap()).to_string(), outside);
    }
}

#[test]
fn an_address_inside_another_is_replaced_in_its_place() {
    let anonymiser = anonymiser(3);
    let inner = anonymiser.address("10.1.2.3".parse().unwrap());
    for prefix in ["::ffff:", "64:ff9b::"] {
        let turned = anonymiser.address(format!("{prefix}10.1.2.3").parse().unwrap());
        assert_eq!(turned, format!("{prefix}{inner}").parse::<IpAddr>().unwrap());
    }
    assert_eq!(
        anonymiser.reveal(anonymiser.address("2002:a01:203::1".parse().unwrap())).to_string(),
        "2002:a01:203::1"
    );
    assert!(!anonymiser.address("2002:a01:203::1".parse().unwrap()).to_string().starts_with("2002:a01:203:"));
}

#[test]
fn a_card_keeps_its_maker() {
    let anonymiser = anonymiser(4);
    let mac = [0x00, 0x09, 0x0f, 0x20, 0x00, 0x01];
    let turned = anonymiser.mac(mac);
    assert_eq!(turned[..3], mac[..3]);
    assert_ne!(turned[3..], mac[3..]);
    // Who stands under a link-local address is the same host.
    assert_eq!(anonymiser.address(link_local(mac).into()), IpAddr::from(link_local(turned)));
    // Made up: no maker to keep.
    let made_up = [0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee];
    assert_eq!(anonymiser.mac(made_up)[0], 2);
    assert_ne!(anonymiser.mac(made_up)[1..3], made_up[1..3]);
    for kept in [[0xff; 6], [0; 6], [0x01, 0x80, 0xc2, 0, 0, 0x0e], [0, 0, 0x5e, 0, 1, 7]] {
        assert_eq!(anonymiser.mac(kept), kept);
    }
    let all: BTreeSet<_> = (0..=u16::MAX).map(|n| anonymiser.mac([0, 9, 15, 1, (n >> 8) as u8, n as u8])).collect();
    assert_eq!(all.len(), 1 << 16);
}

#[test]
fn names_keep_their_tree_and_nothing_else() {
    let a = anonymiser(5);
    let own = |name: &str| a.name(name, true);
    let (one, two) = (own("mail.corp.example.cn"), own("files.corp.example.cn"));
    assert_eq!(one.split_once('.').unwrap().1, two.split_once('.').unwrap().1);
    assert_ne!(one, two);
    assert_eq!(own("MAIL.corp.example.cn"), one, "names have no case");
    // A name of the Internet stays unless it is ours; one that is none is ours.
    assert_eq!(a.name("www.example.cn", false), "www.example.cn");
    assert!(!a.name("fileserver", false).contains("fileserver"));
    assert!(!a.name("dc1.corp.internal", false).contains("dc1"));
    assert!(!a.name("www.bank.example.com", false).contains("bank"));
    assert_eq!(a.name("www.notbank.example.com", false), "www.notbank.example.com");
    // Addresses as names.
    let other = a.address("10.1.2.3".parse().unwrap());
    assert_eq!(a.name("10.1.2.3:8080", false), format!("{other}:8080"));
    let IpAddr::V4(v4) = other else { panic!() };
    let [w, x, y, z] = v4.octets();
    assert_eq!(a.name("3.2.1.10.in-addr.arpa", false), format!("{z}.{y}.{x}.{w}.in-addr.arpa"));
    assert!(!a.name("ip-10-1-2-3.eu.example.com", false).contains("10-1-2-3"));
    assert_eq!(a.name("_ipp._tcp.local", false), "_ipp._tcp.local");
}

#[test]
fn words_keep_what_tells_a_product() {
    let a = anonymiser(6);
    let subject = a.distinguished("CN=FG100ETK18000001,OU=FortiGate,O=Fortinet,L=Sunnyvale", true);
    assert!(subject.starts_with("CN=FG100E") && subject.ends_with(",OU=FortiGate,O=Fortinet,L=Sunnyvale"), "{subject}");
    assert!(!subject.contains("TK18000001"));
    let portal = a.distinguished("CN=gw-branch VPN Certificate,O=mgmt01..x7k2p9", true);
    assert!(portal.contains(" VPN Certificate,O=x") && portal.contains(".."), "{portal}");
    assert!(!portal.contains("branch") && !portal.contains("mgmt01") && !portal.contains("x7k2p9"));
    let greeting = a.greeting("mx1.corp.example.cn ESMTP Postfix");
    assert!(greeting.ends_with(" ESMTP Postfix") && !greeting.contains("mx1"), "{greeting}");
    assert!(!a.hosts("Check Point FireWall-1 Secure FTP server running on gw").ends_with("gw"));
    assert!(!a.hosts("Linux db-7 5.10.0 x86_64").contains("db-7"));
    for (text, gone) in
        [("00:09:0f:20:00:01", "20:00:01"), ("0009.0f20.0001", "0f20"), ("AA-BB-CC-11-22-33", "11-22-33")]
    {
        assert!(!a.text(text).contains(gone), "{text}");
        assert_eq!(a.text(text).len(), text.len());
    }
    assert_eq!(a.text("version 7.4.3, 8.8.8.8, 12:30:45"), "version 7.4.3, 8.8.8.8, 12:30:45");
}

/// A field that nobody decided about would be replaced as a whole; each has its rule.
#[test]
fn every_field_has_a_rule() {
    let fields = PROTOCOLS.iter().flat_map(|protocol| protocol.fields.iter()).chain(FLOW_FIELDS.iter());
    let without: Vec<&str> = fields.filter(|field| rule(field).is_none()).map(|field| field.name).collect();
    assert_eq!(without, Vec::<&str>::new());
}

#[test]
fn a_key_is_bytes_or_digits() {
    let digits = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
    let key = Key::new(format!("{digits}\n").as_bytes()).unwrap();
    assert_eq!(key.0[..4], [0, 0x11, 0x22, 0x33]);
    assert_eq!(Key::new(&key.0).unwrap().0, key.0);
    for wrong in [&b""[..], b"secret", &digits.as_bytes()[1..], format!("{}g", &digits[1..]).as_bytes()] {
        assert!(Key::new(wrong).is_none());
    }
    assert_eq!(format!("{key:?}"), "Key");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{digits}\n")).unwrap();
    assert_eq!(Key::read(file.path()).unwrap().0, key.0);
    std::fs::write(file.path(), digits.repeat(1 + FILE_BYTES_MAX as usize / digits.len())).unwrap();
    assert!(Key::read(file.path()).unwrap_err().contains("not a key"), "a file that goes on is no key");
    // One that is the same twice over is no danger.
    let _ = Anonymiser::new(&Key([0; KEY_BYTES]), &[], &[]);
    let refused = Anonymiser::new(&key, &["203.0.113.7/32".parse().unwrap()], &[]).unwrap_err();
    assert!(refused.starts_with("203.0.113.7/32 is kept"), "{refused}");
}
