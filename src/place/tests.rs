//! Places, the registries, and databases whole and damaged.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn country(word: &str) -> Country {
    Country::from_word(word).unwrap()
}

fn region(word: &str) -> Region {
    Region::from_word(word).unwrap()
}

fn unpacked() -> Vec<u8> {
    super::BUILT_IN.to_vec()
}

mod builtin {
    use super::*;

    /// From the database's own notes, and from public registrations of well-known networks.
    #[test]
    fn known_networks_are_where_they_are_announced() {
        let places = Places::builtin();
        for (text, expected) in [
            ("16.162.0.0", "HK"),
            ("16.162.255.255", "HK"),
            ("18.196.0.0", "DE"),
            ("18.196.255.255", "DE"),
            ("114.114.114.114", "CN"),
            ("223.5.5.5", "CN"),
            ("2400:3200::1", "CN"),
            ("168.95.1.1", "TW"),
            ("202.175.3.3", "MO"),
            ("8.8.8.8", "US"),
        ] {
            assert_eq!(places.country(address(text)), Some(country(expected)), "{text}");
        }
    }

    /// The same bytes in the other order are other places: 16.162.18.196 and 196.18.162.16.
    #[test]
    fn byte_order_matters() {
        let places = Places::builtin();
        let right = places.country(address("16.162.18.196"));
        assert_eq!(right, Some(country("HK")));
        assert_ne!(places.country(address("196.18.162.16")), right);
    }

    #[test]
    fn it_says_what_it_is() {
        let places = Places::builtin();
        let found = places.look_up(address("18.196.0.1"));
        assert_eq!(found.source, Some("built-in database of 2026-06"));
        let databases = places.databases();
        assert_eq!(databases.len(), 1);
        assert_eq!(databases[0].1.to_string(), "2026-06-25T00:00:00.000000000Z");
        assert_eq!(places.asn(address("18.196.0.1")), None);
    }

    #[test]
    fn it_passes_the_checks_that_other_files_must_pass() {
        Database::from_bytes(unpacked(), Path::new("built-in"), Wanted::Country).unwrap();
    }

    #[test]
    fn codes_of_regions_are_no_countries() {
        let places = Places::builtin();
        let found = places.look_up(address("169.50.0.1"));
        assert_eq!((found.country, found.odd_code.as_deref()), (None, Some("EU")));
        let place = places.decide(None, Some(address("169.50.0.1")), &[country("CN")]);
        assert_eq!((place.basis, place.standing), (Basis::Unknown, Standing::Unknown));
        assert_eq!(place.notes, ["The address database says EU for 169.50.0.1, which is not a country."]);
    }
}

mod registries {
    use super::*;

    /// The rows of the IANA IPv4 and IPv6 special-purpose registries of October 2025, as
    /// `prefix name`, without those whose addresses carry an IPv4 address; and multicast.
    const ROWS: &str = "\
0.0.0.0/8 \"This network\"
10.0.0.0/8 Private-Use
100.64.0.0/10 Shared Address Space
127.0.0.0/8 Loopback
169.254.0.0/16 Link Local
172.16.0.0/12 Private-Use
192.0.0.0/24 IETF Protocol Assignments
192.0.0.0/29 IPv4 Service Continuity Prefix
192.0.0.8/32 IPv4 dummy address
192.0.0.9/32 Port Control Protocol Anycast
192.0.0.10/32 Traversal Using Relays around NAT Anycast
192.0.0.170/32 NAT64/DNS64 Discovery
192.0.0.171/32 NAT64/DNS64 Discovery
192.0.2.0/24 Documentation (TEST-NET-1)
192.31.196.0/24 AS112-v4
192.52.193.0/24 AMT
192.88.99.0/24 Deprecated (6to4 Relay Anycast)
192.88.99.2/32 6a44-relay anycast address
192.168.0.0/16 Private-Use
192.175.48.0/24 Direct Delegation AS112 Service
198.18.0.0/15 Benchmarking
198.51.100.0/24 Documentation (TEST-NET-2)
203.0.113.0/24 Documentation (TEST-NET-3)
224.0.0.0/4 Multicast
240.0.0.0/4 Reserved
255.255.255.255/32 Limited Broadcast
::1/128 Loopback Address
::/128 Unspecified Address
64:ff9b:1::/48 IPv4-IPv6 Translat.
100::/64 Discard-Only Address Block
100:0:0:1::/64 Dummy IPv6 Prefix
2001:1::1/128 Port Control Protocol Anycast
2001:1::2/128 Traversal Using Relays around NAT Anycast
2001:1::3/128 DNS-SD Service Registration Protocol Anycast
2001:2::/48 Benchmarking
2001:3::/32 AMT
2001:4:112::/48 AS112-v6
2001:10::/28 Deprecated (previously ORCHID)
2001:20::/28 ORCHIDv2
2001:30::/28 Drone Remote ID Protocol Entity Tags (DETs) Prefix
2001:db8::/32 Documentation
2620:4f:8000::/48 Direct Delegation AS112 Service
3fff::/20 Documentation
5f00::/16 Segment Routing (SRv6) SIDs
fc00::/7 Unique-Local
fe80::/10 Link-Local Unicast
ff00::/8 Multicast";

    /// Of the rows above, those that the registries mark as globally reachable and that hosts
    /// can answer at. ORCHIDv2 and DETs are identifiers, not addresses of hosts.
    const REACHABLE: &[&str] = &[
        "192.0.0.9/32",
        "192.0.0.10/32",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.88.99.2/32",
        "192.175.48.0/24",
        "2001:1::1/128",
        "2001:1::2/128",
        "2001:1::3/128",
        "2001:3::/32",
        "2001:4:112::/48",
        "2620:4f:8000::/48",
    ];

    #[test]
    fn every_row_is_known_and_has_no_country() {
        let places = Places::builtin();
        for row in ROWS.lines() {
            let (text, name) = row.split_once(' ').unwrap();
            let block: Prefix = text.parse().unwrap();
            let (first, last) = block.ends();
            for at in [first, last] {
                let found = special(at).unwrap_or_else(|| panic!("{at} of {row}"));
                let is_row = found.prefix == text;
                let is_narrower =
                    ROWS.lines().any(|r| r.starts_with(&format!("{} ", found.prefix))) || found.prefix == "0.0.0.0/32";
                assert!(is_row || is_narrower, "{at}: {}", found.prefix);
                assert_eq!(places.country(at), None, "{at}");
                assert_eq!(places.asn(at), None, "{at}");
                let place = places.decide(None, Some(at), &[country("CN")]);
                assert_eq!((place.basis, place.country), (Basis::Special, None), "{at}");
                assert_ne!(place.standing, Standing::Foreign, "{at}");
            }
            let row = SPECIAL.iter().find(|s| s.prefix == text).unwrap_or_else(|| panic!("{row}"));
            let short = |n: &str| n.trim_matches('"').trim_end_matches('.').to_owned();
            let names = (short(row.name), short(name));
            assert!(names.0 == names.1 || names.0.starts_with(&names.1), "{names:?}");
            assert_eq!(row.reach == Reach::Service, REACHABLE.contains(&text), "{text}");
        }
    }

    #[test]
    fn the_tables_are_sound() {
        for row in SPECIAL {
            assert!(row.prefix.parse::<Prefix>().is_ok(), "{}", row.prefix);
            assert!(row.source.starts_with("RFC "), "{}", row.prefix);
        }
        for row in ANYCAST {
            let block: Prefix = row.prefix.parse().unwrap();
            assert!(special(block.ends().0).is_none() && !row.source.is_empty(), "{}", row.prefix);
        }
    }

    #[test]
    fn neighbours_of_the_blocks_are_ordinary() {
        for text in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2001:db7:ffff::1",
            "2001:db9::1",
            "2620:4f:8001::1",
            "3ffe:ffff::1",
            "3fff:1000::1",
        ] {
            assert_eq!(special(address(text)), None, "{text}");
        }
    }

    #[test]
    fn ipv6_outside_global_unicast_is_not_allocated() {
        for text in ["::2", "200::1", "4000::1", "5eff::1", "5f01::1", "8000::1", "c000::1", "::10.0.0.1"] {
            assert_eq!(special(address(text)).unwrap().prefix, "::/0", "{text}");
        }
    }

    #[test]
    fn addresses_of_no_host() {
        for text in [
            "224.0.0.251",
            "239.255.255.250",
            "255.255.255.255",
            "0.0.0.0",
            "127.0.0.1",
            "ff02::fb",
            "::",
            "::1",
            "::ffff:224.0.0.1",
        ] {
            assert!(is_no_host(address(text)), "{text}");
        }
        for text in ["10.0.0.255", "240.0.0.1", "fe80::1", "8.8.8.8"] {
            assert!(!is_no_host(address(text)), "{text}");
        }
    }
}

mod embedded {
    use super::*;

    /// RFC 6052 section 2.4: 192.0.2.33 behind the well-known prefix is 64:ff9b::192.0.2.33.
    /// RFC 4380 section 2.9 and 4: server 65.54.227.120, client 192.0.2.45 with its bits inverted.
    #[test]
    fn the_carried_address_is_found() {
        let v4 = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        for (text, carrier, inner) in [
            ("::ffff:18.196.0.1", Carrier::Mapped, "18.196.0.1"),
            ("::ffff:0:18.196.0.1", Carrier::Translated, "18.196.0.1"),
            ("64:ff9b::192.0.2.33", Carrier::Nat64, "192.0.2.33"),
            ("2002:c000:22d::1", Carrier::SixToFour, "192.0.2.45"),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Carrier::Teredo, "192.0.2.45"),
        ] {
            assert_eq!(carried(text.parse().unwrap()), Some((carrier, v4(inner))), "{text}");
        }
        for text in ["64:ff9b:1::1", "64:ff9b:0:0:1::1", "2001:1::1", "2003::1", "::1.2.3.4", "fe80::1"] {
            assert_eq!(carried(text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn it_is_looked_up_instead() {
        let places = Places::builtin();
        for text in ["::ffff:18.196.0.1", "64:ff9b::18.196.0.1", "2002:12c4:1::5", "2001:0:1:2:3:4:ed3b:fffe"] {
            let place = places.decide(None, Some(address(text)), &[country("CN")]);
            assert_eq!(place.country, Some(country("DE")), "{text}");
            assert_eq!((place.basis.name(), place.standing), ("embedded-address", Standing::Foreign), "{text}");
            assert!(place.notes[0].contains("carries the IPv4 address 18.196.0.1"), "{:?}", place.notes);
        }
    }

    #[test]
    fn a_special_address_inside_is_special() {
        let places = Places::builtin();
        for text in ["::ffff:10.0.0.1", "64:ff9b::192.168.1.1", "2002:a00:1::1", "2001:0:1:2:3:4:f5ff:fffe"] {
            let place = places.decide(None, Some(address(text)), &[country("CN")]);
            assert_eq!((place.basis, place.standing), (Basis::Special, Standing::Special), "{text}");
        }
        let place = places.decide(None, Some(address("64:ff9b:1::808:808")), &[country("CN")]);
        assert_eq!((place.basis, place.standing), (Basis::Special, Standing::Unknown));
    }
}

mod decisions {
    use super::*;

    const HOME: &[&str] = &["CN"];

    fn decide(declared: Option<&str>, at: Option<&str>, homes: &[&str]) -> Place {
        let homes: Vec<Country> = homes.iter().map(|h| country(h)).collect();
        Places::builtin().decide(declared.map(region), at.map(address), &homes)
    }

    #[test]
    fn the_address_alone() {
        let place = decide(None, Some("18.196.0.1"), HOME);
        assert_eq!((place.country, place.basis), (Some(country("DE")), Basis::Address));
        assert_eq!((place.standing, place.confidence, place.notes.len()), (Standing::Foreign, 70, 0));
        assert_eq!(decide(None, Some("114.114.114.114"), HOME).standing, Standing::Home);
        // Hong Kong, Macao and Taiwan are not home unless said.
        for text in ["16.162.0.1", "202.175.3.3", "168.95.1.1"] {
            assert_eq!(decide(None, Some(text), HOME).standing, Standing::Foreign, "{text}");
        }
        assert_eq!(decide(None, Some("16.162.0.1"), &["CN", "HK"]).standing, Standing::Home);
        let nothing = decide(None, None, HOME);
        assert_eq!((nothing.basis, nothing.standing, nothing.confidence), (Basis::Unknown, Standing::Unknown, 0));
    }

    #[test]
    fn a_declared_country_outranks_the_address() {
        let place = decide(Some("US"), Some("18.196.0.1"), HOME);
        assert_eq!((place.country, place.basis), (Some(country("US")), Basis::Declared));
        assert_eq!(place.looked_up, Some(country("DE")));
        assert!(place.disagree);
        assert_eq!(place.confidence, confidence::DISPUTED);
        assert!(place.notes.contains(&"The address database says DE; the vendor's page says US.".to_owned()));

        let same = decide(Some("DE"), Some("18.196.0.1"), HOME);
        assert_eq!((same.disagree, same.confidence, same.standing), (false, confidence::AGREED, Standing::Foreign));

        let home = decide(Some("CN"), Some("18.196.0.1"), HOME);
        assert_eq!((home.disagree, home.standing), (true, Standing::Home));

        let homes = decide(Some("CN"), Some("16.162.0.1"), &["CN", "HK"]);
        assert_eq!((homes.disagree, homes.standing), (false, Standing::Home));

        let name = decide(Some("US"), None, HOME);
        assert_eq!((name.standing, name.confidence), (Standing::Foreign, confidence::DECLARED));
        assert_eq!(name.notes, ["The vendor says that this name is served from US."]);
    }

    #[test]
    fn any_is_no_place_but_the_address_is_shown() {
        let place = decide(Some("any"), Some("18.196.0.1"), HOME);
        assert_eq!((place.standing, place.country), (Standing::Unknown, Some(country("DE"))));
        assert_eq!((place.basis, place.confidence), (Basis::Address, confidence::ANYCAST));
        let home = decide(Some("any"), Some("114.114.114.114"), HOME);
        assert_eq!(home.standing, Standing::Unknown);
    }

    #[test]
    fn a_group_is_foreign_when_no_home_is_in_it() {
        let place = decide(Some("EU"), Some("18.196.0.1"), HOME);
        assert_eq!((place.standing, place.country), (Standing::Foreign, Some(country("DE"))));
        assert_eq!((place.basis, place.disagree), (Basis::Declared, false));

        let outside = decide(Some("EU"), Some("16.162.0.1"), HOME);
        assert_eq!((outside.standing, outside.country), (Standing::Foreign, None));
        assert!(outside.disagree);
        assert!(outside.notes.contains(&"The address database says HK; the vendor's page says EU.".to_owned()));

        assert_eq!(decide(Some("EU"), None, HOME).standing, Standing::Foreign);
        assert_eq!(decide(Some("EU"), None, &["FR"]).standing, Standing::Unknown);
        assert_eq!(decide(Some("EU"), Some("18.196.0.1"), &["DE"]).standing, Standing::Home);
        assert_eq!(decide(Some("EU"), Some("18.196.0.1"), &["FR"]).standing, Standing::Foreign);
        let open = decide(Some("EU"), Some("16.162.0.1"), &["FR"]);
        assert_eq!((open.standing, open.disagree), (Standing::Unknown, true));
    }

    fn members(words: &[&str]) -> Vec<Country> {
        words.iter().flat_map(|w| group_members(w).unwrap_or_else(|| vec![country(w)])).collect()
    }

    /// Region, address, homes; where it stands, whether sources differ, the country that is told, how sure.
    #[test]
    fn a_group_that_is_home_in_part_or_as_a_whole() {
        let places = Places::builtin();
        for (region, at, homes, standing, disagree, told, sure) in [
            // Germany is home: which country of the EU it is matters, and the address alone says it.
            ("EU", Some("18.196.0.1"), &["DE"][..], Standing::Home, false, "DE", confidence::ADDRESS),
            ("EU", Some("18.196.0.1"), &["FR"], Standing::Foreign, false, "DE", confidence::ADDRESS),
            ("EU", None, &["DE"], Standing::Unknown, false, "EU", confidence::DECLARED),
            ("EU", Some("16.162.0.1"), &["DE"], Standing::Unknown, true, "EU", confidence::DISPUTED),
            // The whole EU is home: wherever in it, it is at home.
            ("EU", Some("18.196.0.1"), &["EU"], Standing::Home, false, "EU", confidence::AGREED),
            ("EU", None, &["EU"], Standing::Home, false, "EU", confidence::DECLARED),
            ("EU", None, &["EEA"], Standing::Home, false, "EU", confidence::DECLARED),
            ("EU", Some("16.162.0.1"), &["EU"], Standing::Home, true, "EU", confidence::DISPUTED),
            ("EU", Some("16.162.0.1"), &["EU", "HK"], Standing::Home, false, "EU", confidence::DISPUTED),
            // The vendor's group is wider than home.
            ("EEA", None, &["EU"], Standing::Unknown, false, "EEA", confidence::DECLARED),
            ("EEA", Some("18.196.0.1"), &["EU"], Standing::Home, false, "DE", confidence::ADDRESS),
            // No home in it.
            ("EU", Some("18.196.0.1"), &["CN"], Standing::Foreign, false, "EU", confidence::AGREED),
        ] {
            let homes = members(homes);
            let place = places.decide(Region::from_word(region), at.map(address), &homes);
            let case = format!("{region} {at:?} {homes:?}");
            assert_eq!((place.standing, place.disagree), (standing, disagree), "{case}");
            assert_eq!(place.country_text(&homes).as_deref(), Some(told), "{case}");
            assert_eq!(place.confidence, sure, "{case}");
        }
    }

    #[test]
    fn without_a_home_nothing_is_at_home_or_abroad() {
        for (region, at) in [
            (None, Some("18.196.0.1")),
            (Some("US"), Some("18.196.0.1")),
            (Some("EU"), None),
            (Some("any"), Some("18.196.0.1")),
            (None, Some("8.8.8.8")),
        ] {
            let place = decide(region, at, &[]);
            assert_eq!((place.standing, place.disagree), (Standing::Unknown, false), "{region:?} {at:?}");
            let last = place.notes.last().map(String::as_str);
            assert_eq!(last, Some("No home is set: where it is is told, whether it left is not asked."));
        }
        assert_eq!(decide(None, Some("18.196.0.1"), &[]).country, Some(country("DE")));
        assert_eq!(decide(None, Some("10.1.2.3"), &[]).standing, Standing::Special);
    }

    #[test]
    fn special_addresses_are_never_foreign() {
        for declared in [None, Some("any"), Some("US"), Some("EU")] {
            for text in ["10.1.2.3", "100.64.0.1", "224.0.0.1", "169.254.1.1", "fd00::1", "ff02::1", "192.0.2.1"] {
                let place = decide(declared, Some(text), HOME);
                assert_eq!((place.standing, place.basis), (Standing::Special, Basis::Special), "{text}");
                assert_eq!((place.country, place.confidence), (None, 100), "{text}");
            }
            let service = decide(declared, Some("192.175.48.6"), HOME);
            assert_eq!((service.standing, service.anycast), (Standing::Unknown, true));
        }
        let place = decide(Some("US"), Some("10.1.2.3"), HOME);
        assert_eq!(
            place.notes,
            [
                "10.1.2.3 is a special address (Private-Use, RFC 1918) and has no country.",
                "The vendor says that this name is served from US.",
            ]
        );
    }

    #[test]
    fn anycast_is_weak() {
        for text in ["8.8.8.8", "1.1.1.1", "9.9.9.9", "2606:4700:4700::1111", "64:ff9b::8.8.4.4", "104.16.1.1"] {
            let place = decide(None, Some(text), HOME);
            assert!(place.anycast, "{text}");
            assert_eq!(place.standing, Standing::Unknown, "{text}");
            assert!(place.confidence <= confidence::ANYCAST, "{text}");
            assert!(place.country.is_some(), "{text}");
        }
        assert!(!decide(None, Some("8.8.9.8"), HOME).anycast);
        assert!(decide(None, Some("173.243.140.16"), HOME).anycast);
        assert!(!decide(None, Some("173.243.140.53"), HOME).anycast);
        // A vendor's word about an anycast address is not contradicted by what a database says of it.
        let declared = decide(Some("GB"), Some("8.8.8.8"), HOME);
        assert_eq!((declared.standing, declared.disagree, declared.anycast), (Standing::Foreign, false, true));
    }

    #[test]
    fn explaining_an_address() {
        let lines = |text: &str| explain(&Places::builtin(), address(text));
        assert_eq!(
            lines("64:ff9b::18.196.0.1"),
            [
                "64:ff9b::12c4:1: DE",
                "basis: embedded-address, confidence 60",
                "source: built-in database of 2026-06",
                "64:ff9b::12c4:1 carries the IPv4 address 18.196.0.1 (NAT64, RFC 6052).",
            ]
        );
        assert_eq!(
            lines("10.0.0.1"),
            [
                "10.0.0.1: no country",
                "basis: special, confidence 100",
                "10.0.0.1 is a special address (Private-Use, RFC 1918) and has no country.",
            ]
        );
        let anycast = lines("8.8.8.8");
        assert_eq!(anycast[0], "8.8.8.8: US");
        assert_eq!(anycast[3], "8.8.8.8 is anycast (Google Public DNS): one address, many places.");
        assert!(anycast[4].starts_with("anycast source: developers.google.com"));
    }
}

/// Writes small databases after the description at <https://maxmind.github.io/MaxMind-DB/>.
mod writer {
    use super::*;

    pub enum Data {
        Text(&'static str),
        Number(u32),
        Bool,
        Map(Vec<(&'static str, Data)>),
        /// To an offset of the data section.
        Pointer(u16),
    }

    fn head(kind: u8, size: usize, to: &mut Vec<u8>) {
        assert!(size < 285);
        let short = size.min(29) as u8;
        if kind < 8 {
            to.push(kind << 5 | short);
        } else {
            to.extend([short, kind - 7]);
        }
        if size >= 29 {
            to.push((size - 29) as u8);
        }
    }

    fn text(value: &str, to: &mut Vec<u8>) {
        head(2, value.len(), to);
        to.extend(value.bytes());
    }

    pub fn value(data: &Data, to: &mut Vec<u8>) {
        match data {
            Data::Text(value) => text(value, to),
            Data::Number(number) => {
                head(6, 4, to);
                to.extend(number.to_be_bytes());
            }
            Data::Bool => head(14, 1, to),
            Data::Map(entries) => {
                head(7, entries.len(), to);
                for (key, data) in entries {
                    text(key, to);
                    value(data, to);
                }
            }
            Data::Pointer(offset) => to.extend([0b0010_0000 | (offset >> 8) as u8, *offset as u8]),
        }
    }

    #[derive(Clone)]
    pub struct Shape {
        pub ip_version: u16,
        pub record_bits: u16,
        pub epoch: u64,
        pub kind: &'static str,
    }

    pub const V6: Shape = Shape { ip_version: 6, record_bits: 24, epoch: 1_700_000_000, kind: "Test" };

    /// A database with one record for each prefix.
    pub fn database(shape: &Shape, rows: &[(&str, Data)]) -> Vec<u8> {
        #[derive(Clone, Copy)]
        enum Child {
            Empty,
            Node(u32),
            Data(u32),
        }
        let mut nodes = vec![[Child::Empty; 2]];
        let mut data = Vec::new();
        for (text, record) in rows {
            let (base, length) = text.split_once('/').unwrap();
            let base: IpAddr = base.parse().unwrap();
            let length: u32 = length.parse().unwrap();
            let (bits, length) = match base {
                IpAddr::V4(v4) if shape.ip_version == 4 => (u128::from(v4.to_bits()) << 96, length),
                IpAddr::V4(v4) => (u128::from(v4.to_bits()), length + 96),
                IpAddr::V6(v6) => (v6.to_bits(), length),
            };
            let mut node = 0;
            for depth in 0..length {
                let side = (bits >> (127 - depth) & 1) as usize;
                if depth + 1 == length {
                    nodes[node][side] = Child::Data(data.len() as u32);
                    break;
                }
                node = match nodes[node][side] {
                    Child::Node(next) => next as usize,
                    _ => {
                        nodes.push([Child::Empty; 2]);
                        let next = nodes.len() - 1;
                        nodes[node][side] = Child::Node(next as u32);
                        next
                    }
                };
            }
            value(record, &mut data);
        }
        let count = nodes.len() as u32;
        let number = |child: Child| match child {
            Child::Empty => count,
            Child::Node(node) => node,
            Child::Data(offset) => count + 16 + offset,
        };
        let pairs = nodes.iter().map(|pair| pair.map(number)).collect::<Vec<_>>();
        assemble(shape, &pairs, &data)
    }

    /// A database of these nodes and this data.
    pub fn assemble(shape: &Shape, nodes: &[[u32; 2]], data: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        for [left, right] in nodes {
            let (l, r) = (left.to_be_bytes(), right.to_be_bytes());
            match shape.record_bits {
                24 => file.extend([&l[1..], &r[1..]].concat()),
                28 => file.extend([&l[1..], &[l[0] << 4 | r[0]], &r[1..]].concat()),
                _ => file.extend([l, r].concat()),
            }
        }
        file.extend([0; 16]);
        file.extend(data);
        file.extend(b"\xab\xcd\xefMaxMind.com");
        head(7, 9, &mut file);
        let numbers = [
            ("binary_format_major_version", 5, 2_u64),
            ("binary_format_minor_version", 5, 0),
            ("ip_version", 5, shape.ip_version.into()),
            ("record_size", 5, shape.record_bits.into()),
            ("node_count", 6, nodes.len() as u64),
            ("build_epoch", 9, shape.epoch),
        ];
        for (key, kind, number) in numbers {
            text(key, &mut file);
            let size = match kind {
                5 => 2,
                6 => 4,
                _ => 8,
            };
            head(kind, size, &mut file);
            file.extend(&number.to_be_bytes()[8 - size..]);
        }
        text("database_type", &mut file);
        text(shape.kind, &mut file);
        text("languages", &mut file);
        head(11, 0, &mut file);
        text("description", &mut file);
        head(7, 0, &mut file);
        file
    }
}

mod databases {
    use super::super::database::Answer;
    use super::writer::{Data, Shape, V6, assemble, database};
    use super::*;

    fn iso(code: &'static str) -> Data {
        Data::Map(vec![("iso_code", Data::Text(code))])
    }

    fn open(bytes: &[u8], wanted: Wanted) -> Result<Database, DatabaseError> {
        Database::from_bytes(bytes.to_vec(), Path::new("some/where/geo.mmdb"), wanted)
    }

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::Builder::new().prefix("geo").suffix(".mmdb").tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn maxmind() -> Vec<(&'static str, Data)> {
        vec![
            ("18.196.0.0/16", Data::Map(vec![("country", iso("FR")), ("registered_country", iso("US"))])),
            ("1.2.3.0/24", Data::Map(vec![("registered_country", iso("US"))])),
            ("2001:200::/32", Data::Map(vec![("continent", Data::Bool), ("country", iso("JP"))])),
        ]
    }

    fn flat() -> Vec<(&'static str, Data)> {
        let lite = vec![
            ("country", Data::Text("Canada")),
            ("country_code", Data::Text("CA")),
            ("asn", Data::Text("AS174")),
            ("as_name", Data::Text("Cogent Communications")),
        ];
        let older =
            vec![("country", Data::Text("JP")), ("country_name", Data::Text("Japan")), ("asn", Data::Text("AS2519"))];
        vec![("154.24.39.0/24", Data::Map(lite)), ("1.0.16.0/20", Data::Map(older))]
    }

    #[test]
    fn every_record_size_and_ip_version() {
        for record_bits in [24, 28, 32] {
            let shape = Shape { record_bits, ..V6 };
            let database = open(&database(&shape, &maxmind()), Wanted::Country).unwrap();
            let code = |text| database.answer(address(text)).country.map(|c| c.to_string());
            assert_eq!(code("18.196.7.7").as_deref(), Some("FR"), "{record_bits}");
            assert_eq!(code("2001:200::7").as_deref(), Some("JP"), "{record_bits}");
            assert_eq!(code("18.197.0.0"), None, "{record_bits}");
            let registered = database.answer(address("1.2.3.4"));
            assert_eq!((registered.country, registered.registered_only), (Some(country("US")), true));
        }
        let shape = Shape { ip_version: 4, ..V6 };
        let database = open(&database(&shape, &maxmind()[..2]), Wanted::Country).unwrap();
        assert_eq!(database.answer(address("18.196.0.1")).country, Some(country("FR")));
        assert_eq!(database.answer(address("2001:200::7")), Answer::default());
    }

    #[test]
    fn countries_of_other_makers() {
        let database = open(&database(&V6, &flat()), Wanted::Country).unwrap();
        assert_eq!(database.answer(address("154.24.39.204")).country, Some(country("CA")));
        assert_eq!(database.answer(address("1.0.16.1")).country, Some(country("JP")));
    }

    /// Of the name of an organization so many characters are kept.
    #[test]
    fn long_names_of_organizations() {
        let kept = |length: usize| {
            let name: &'static str = "o".repeat(length).leak();
            let rows = [("8.8.8.0/24", Data::Map(vec![("asn", Data::Number(7)), ("as_name", Data::Text(name))]))];
            let path = file(&database(&V6, &rows));
            let places = Places::builtin().with_asn_db(path.path()).unwrap();
            places.asn(address("8.8.8.8")).unwrap().1.len()
        };
        assert_eq!((kept(20), kept(200), kept(201), kept(255)), (20, 200, 200, 200));
    }

    #[test]
    fn autonomous_systems_of_every_maker() {
        let geolite = vec![
            ("autonomous_system_number", Data::Number(15169)),
            ("autonomous_system_organization", Data::Text("GOOGLE")),
        ];
        let traits = vec![("autonomous_system_number", Data::Number(3320))];
        let mut rows = flat();
        rows.push(("8.8.8.0/24", Data::Map(geolite)));
        rows.push(("80.128.0.0/16", Data::Map(vec![("traits", Data::Map(traits))])));
        rows.push(("80.129.0.0/16", Data::Map(vec![("asn", Data::Number(7)), ("as_name", Data::Text("seven"))])));
        rows.push(("80.130.0.0/16", Data::Map(vec![("asn", Data::Text("ASX"))])));
        let path = file(&database(&V6, &rows));
        let places = Places::builtin().with_asn_db(path.path()).unwrap();
        let asn = |text| places.asn(address(text));
        assert_eq!(asn("8.8.8.8"), Some((15169, "GOOGLE".into())));
        assert_eq!(asn("154.24.39.1"), Some((174, "Cogent Communications".into())));
        assert_eq!(asn("1.0.16.1"), Some((2519, String::new())));
        assert_eq!(asn("80.128.0.1"), Some((3320, String::new())));
        assert_eq!(asn("64:ff9b::80.129.0.1"), Some((7, "seven".into())));
        assert_eq!(asn("80.130.0.1"), None);
        assert_eq!(asn("9.9.9.9"), None);
        assert!(explain(&places, address("8.8.8.8")).contains(&"AS15169 GOOGLE".to_owned()));
        assert_eq!(places.databases().len(), 2);
    }

    #[test]
    fn a_user_database_goes_first_and_the_built_in_one_fills_in() {
        let path = file(&database(&V6, &maxmind()));
        let places = Places::builtin().with_country_db(path.path()).unwrap();
        let found = places.look_up(address("18.196.0.1"));
        let name = path.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(found.country, Some(country("FR")));
        assert_eq!(found.source, Some(format!("user database {name} of 2023-11").as_str()));
        assert_eq!(places.look_up(address("16.162.0.1")).source, Some("built-in database of 2026-06"));
        let registered = places.decide(None, Some(address("1.2.3.4")), &[country("CN")]);
        assert_eq!(registered.confidence, confidence::REGISTERED);
        assert_eq!(registered.notes, ["Only the country of registration is known for 1.2.3.4."]);
        // A code that is no country gives way to a database that knows better.
        let odd = Data::Map(vec![("country", iso("EU"))]);
        let odder = Data::Map(vec![("country", iso("ZZ"))]);
        let rows =
            [("16.162.0.0/16", odd), ("169.50.0.0/16", odder), ("1.2.3.0/24", Data::Map(vec![("country", iso("US"))]))];
        let vague = file(&database(&V6, &rows));
        let places = Places::builtin().with_country_db(vague.path()).unwrap();
        let better = places.look_up(address("16.162.0.1"));
        assert_eq!((better.country, better.odd_code.as_deref()), (Some(country("HK")), None));
        let none = places.look_up(address("169.50.0.1"));
        assert_eq!((none.country, none.odd_code.as_deref()), (None, Some("ZZ")));
        assert!(none.source.is_some_and(|s| s.starts_with("user database ")));
        // A database cannot give a country to a special address.
        let hostile = file(&database(&V6, &[("10.0.0.0/8", Data::Map(vec![("country", iso("US"))]))]));
        let places = Places::builtin().with_country_db(hostile.path()).unwrap();
        assert_eq!(places.country(address("10.1.1.1")), None);
    }

    #[test]
    fn the_wrong_kind_is_refused() {
        let shape = Shape { kind: "GeoLite2-ASN", ..V6 };
        let asn = database(&shape, &[("8.8.8.0/24", Data::Map(vec![("autonomous_system_number", Data::Number(1))]))]);
        let error = open(&asn, Wanted::Country).unwrap_err().to_string();
        assert_eq!(error, "some/where/geo.mmdb: no record has a country; the file calls itself \"GeoLite2-ASN\"");
        let error = open(&database(&V6, &maxmind()), Wanted::Asn).unwrap_err().to_string();
        assert!(error.contains("no record has an AS number"), "{error}");
        let empty = assemble(&V6, &[[1, 1]], &[]);
        assert!(matches!(open(&empty, Wanted::Country), Err(DatabaseError::WrongKind { .. })));
    }

    #[test]
    fn what_is_no_database_is_refused() {
        for bytes in [&b""[..], b"\0", b"PK\x03\x04 a zip file", b"\xab\xcd\xefMaxMind.com", &[0xff; 4096]] {
            let error = open(bytes, Wanted::Country).unwrap_err();
            assert!(matches!(error, DatabaseError::Damaged { .. }), "{error}");
            assert!(error.to_string().starts_with("some/where/geo.mmdb: not a usable MaxMind database: "));
        }
        let missing = Places::builtin().with_country_db(Path::new("/nonexistent/geo.mmdb")).unwrap_err();
        assert!(missing.to_string().starts_with("/nonexistent/geo.mmdb: "), "{missing}");
        let folder = tempfile::tempdir().unwrap();
        let error = Places::builtin().with_country_db(folder.path()).unwrap_err();
        assert!(matches!(error, DatabaseError::NotAFile { .. }), "{error}");
    }

    /// A sparse file: no disk is used, and no memory may be.
    #[test]
    fn ten_gigabytes_are_refused_unread() {
        let file = tempfile::NamedTempFile::new().unwrap();
        File::create(file.path()).unwrap().set_len(10 << 30).unwrap();
        let error = Places::builtin().with_country_db(file.path()).unwrap_err();
        assert!(matches!(error, DatabaseError::TooLarge { bytes: 10_737_418_240, .. }), "{error}");
    }

    #[test]
    fn trees_that_are_wrong_are_refused() {
        let data = {
            let mut to = Vec::new();
            super::writer::value(&Data::Map(vec![("country", iso("FR"))]), &mut to);
            to
        };
        let deep: Vec<[u32; 2]> = (1..=129).map(|next| [next, 200]).collect();
        let whole = [2 + 16, 2];
        for (nodes, reason) in [
            (vec![[0, 1], whole], "runs in a circle at node 0"),
            (vec![[1, 2], [1, 2]], "runs in a circle at node 1"),
            (vec![[1, 2], [0, 18]], "runs in a circle at node 0"),
            (vec![[1, 3], whole], "node 0 points outside the data"),
            (vec![[1, 2], [18 + 200, 2]], "node 1 points outside the data"),
            (vec![[1, 2], [0xff_ffff, 2]], "node 1 points outside the data"),
            (deep, "deeper than an address"),
        ] {
            let error = open(&assemble(&V6, &nodes, &data), Wanted::Country).unwrap_err().to_string();
            assert!(error.contains(reason), "{error} should say {reason}");
        }
        // Two branches that share a part are no circle: this is how aliases of IPv4 are written.
        open(&assemble(&V6, &[[1, 1], whole], &data), Wanted::Country).unwrap();
    }

    #[test]
    fn records_that_are_wrong_are_refused() {
        // The second one points at itself: it stands behind one byte of map and eight of key.
        let at_itself = Data::Map(vec![("country", Data::Pointer(9))]);
        let nowhere = Data::Map(vec![("country", Data::Pointer(2000))]);
        for record in [Data::Text("DE"), at_itself, nowhere] {
            let mut rows = maxmind();
            rows.insert(0, ("77.0.0.0/8", record));
            let error = open(&database(&V6, &rows), Wanted::Country).unwrap_err();
            assert!(error.to_string().contains("record of "), "{error}");
        }
        // A record that contains itself is read no deeper than the fields that matter.
        let mut rows = maxmind();
        rows.insert(0, ("77.0.0.0/8", Data::Map(vec![("country", Data::Pointer(0))])));
        let opened = open(&database(&V6, &rows), Wanted::Country).unwrap();
        assert_eq!(opened.answer(address("77.1.1.1")), Answer::default());
        // Fields of an unexpected kind are passed over.
        let mut rows = maxmind();
        rows.push(("77.0.0.0/8", Data::Map(vec![("country", Data::Number(5)), ("asn", Data::Bool)])));
        open(&database(&V6, &rows), Wanted::Country).unwrap();
    }

    /// Cut anywhere, a small database is refused: its metadata is at the end.
    #[test]
    fn a_small_database_cut_anywhere_is_refused() {
        let whole = database(&V6, &maxmind());
        for length in 0..whole.len() {
            assert!(open(&whole[..length], Wanted::Country).is_err(), "{length}");
        }
        // A hole shifts what follows, so the separator is no longer where it must be.
        let tree = whole.len() / 2;
        for hole in [1, 6, 100] {
            let bytes = [&whole[..tree], &whole[tree + hole..]].concat();
            assert!(open(&bytes, Wanted::Country).is_err(), "{hole}");
        }
    }

    /// Any byte turned over, a small database is refused or still answers without a panic.
    #[test]
    fn a_small_database_with_any_byte_changed_does_no_harm() {
        let whole = database(&V6, &maxmind());
        let mut refused = 0;
        for at in 0..whole.len() {
            for change in [0xff, 0x01, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                match open(&bytes, Wanted::Country) {
                    Err(_) => refused += 1,
                    Ok(database) => {
                        for text in ["18.196.0.1", "1.2.3.4", "2001:200::1", "::", "255.255.255.255"] {
                            database.answer(address(text));
                        }
                        let _ = database.built().month();
                    }
                }
            }
        }
        assert!(refused > whole.len(), "{refused}");
    }

    #[test]
    fn the_built_in_database_damaged_is_refused() {
        let whole = unpacked();
        let length = whole.len();
        for keep in [0, 1, 1_000, length / 2, 7_684_542, length - 600, length - 100, length - 1] {
            assert!(open(&whole[..keep], Wanted::Country).is_err(), "{keep}");
        }
        // The values of the metadata, one after the other.
        let start = whole.windows(14).rposition(|w| w == b"\xab\xcd\xefMaxMind.com").unwrap();
        let after = |key: &[u8]| start + whole[start..].windows(key.len()).position(|w| w == key).unwrap() + key.len();
        for (at, byte) in [
            (start, 0),
            (start + 14, 0x40),
            (after(b"binary_format_major_version") + 1, 3),
            (after(b"ip_version") + 1, 5),
            (after(b"record_size") + 1, 28),
            (after(b"record_size") + 1, 25),
            (after(b"node_count") + 1, 0xff),
            (after(b"node_count") + 3, whole[after(b"node_count") + 3].wrapping_add(1)),
            (after(b"node_count") + 3, whole[after(b"node_count") + 3].wrapping_sub(1)),
        ] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            assert!(open(&bytes, Wanted::Country).is_err(), "byte {at} = {byte}");
        }
    }

    #[test]
    fn a_time_beyond_all_bounds_is_held() {
        for epoch in [0, 1 << 40, i64::MAX as u64] {
            let bytes = database(&Shape { epoch, ..V6 }, &maxmind());
            if let Ok(database) = open(&bytes, Wanted::Country) {
                assert_eq!(database.built().month().len(), 7, "{epoch}");
            }
        }
    }
}
