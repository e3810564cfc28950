//! Addresses that have no country of their own, and addresses that are in many at once.
//!
//! In: an address. Out: the row of the IANA special-purpose registries it belongs to (RFC 6890,
//! RFC 8190; registries as of October 2025), the IPv4 address that an IPv6 address carries, or the
//! documented anycast prefix it lies in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use super::prefix::PrefixMap;

/// How far packets to a special address go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Not routed on the Internet: it stays.
    Local,
    /// Routed, and answered by whoever is nearest.
    Service,
    /// A translator of this network takes it to an IPv4 address that cannot be told from it.
    Translated,
}

/// One row of the registries.
#[derive(Debug, PartialEq, Eq)]
pub struct Special {
    /// The block, `10.0.0.0/8`.
    pub prefix: &'static str,
    /// The name in the registry.
    pub name: &'static str,
    /// The document that set it apart.
    pub source: &'static str,
    /// How far packets to it go.
    pub reach: Reach,
}

const fn local(prefix: &'static str, name: &'static str, source: &'static str) -> Special {
    Special { prefix, name, source, reach: Reach::Local }
}

const fn service(prefix: &'static str, name: &'static str, source: &'static str) -> Special {
    Special { prefix, name, source, reach: Reach::Service }
}

/// The registries, and what they leave to other documents: multicast, site-local. Blocks whose
/// addresses carry an IPv4 address are in [`carried`] instead.
pub static SPECIAL: &[Special] = &[
    local("0.0.0.0/8", "This network", "RFC 791"),
    local("0.0.0.0/32", "This host on this network", "RFC 1122"),
    local("10.0.0.0/8", "Private-Use", "RFC 1918"),
    local("100.64.0.0/10", "Shared Address Space", "RFC 6598"),
    local("127.0.0.0/8", "Loopback", "RFC 1122"),
    local("169.254.0.0/16", "Link Local", "RFC 3927"),
    local("172.16.0.0/12", "Private-Use", "RFC 1918"),
    local("192.0.0.0/24", "IETF Protocol Assignments", "RFC 6890"),
    local("192.0.0.0/29", "IPv4 Service Continuity Prefix", "RFC 7335"),
    local("192.0.0.8/32", "IPv4 dummy address", "RFC 7600"),
    service("192.0.0.9/32", "Port Control Protocol Anycast", "RFC 7723"),
    service("192.0.0.10/32", "Traversal Using Relays around NAT Anycast", "RFC 8155"),
    local("192.0.0.170/32", "NAT64/DNS64 Discovery", "RFC 7050"),
    local("192.0.0.171/32", "NAT64/DNS64 Discovery", "RFC 7050"),
    local("192.0.2.0/24", "Documentation (TEST-NET-1)", "RFC 5737"),
    service("192.31.196.0/24", "AS112-v4", "RFC 7535"),
    service("192.52.193.0/24", "AMT", "RFC 7450"),
    service("192.88.99.0/24", "Deprecated (6to4 Relay Anycast)", "RFC 7526"),
    service("192.88.99.2/32", "6a44-relay anycast address", "RFC 6751"),
    local("192.168.0.0/16", "Private-Use", "RFC 1918"),
    service("192.175.48.0/24", "Direct Delegation AS112 Service", "RFC 7534"),
    local("198.18.0.0/15", "Benchmarking", "RFC 2544"),
    local("198.51.100.0/24", "Documentation (TEST-NET-2)", "RFC 5737"),
    local("203.0.113.0/24", "Documentation (TEST-NET-3)", "RFC 5737"),
    local("224.0.0.0/4", "Multicast", "RFC 1112"),
    local("240.0.0.0/4", "Reserved", "RFC 1112"),
    local("255.255.255.255/32", "Limited Broadcast", "RFC 919"),
    local("::/128", "Unspecified Address", "RFC 4291"),
    local("::1/128", "Loopback Address", "RFC 4291"),
    Special {
        prefix: "64:ff9b:1::/48",
        name: "IPv4-IPv6 Translation, local use",
        source: "RFC 8215",
        reach: Reach::Translated,
    },
    local("100::/64", "Discard-Only Address Block", "RFC 6666"),
    local("100:0:0:1::/64", "Dummy IPv6 Prefix", "RFC 9780"),
    local("2001::/23", "IETF Protocol Assignments", "RFC 2928"),
    service("2001:1::1/128", "Port Control Protocol Anycast", "RFC 7723"),
    service("2001:1::2/128", "Traversal Using Relays around NAT Anycast", "RFC 8155"),
    service("2001:1::3/128", "DNS-SD Service Registration Protocol Anycast", "RFC 9665"),
    local("2001:2::/48", "Benchmarking", "RFC 5180"),
    service("2001:3::/32", "AMT", "RFC 7450"),
    service("2001:4:112::/48", "AS112-v6", "RFC 7535"),
    local("2001:10::/28", "Deprecated (previously ORCHID)", "RFC 4843"),
    local("2001:20::/28", "ORCHIDv2", "RFC 7343"),
    local("2001:30::/28", "Drone Remote ID Protocol Entity Tags (DETs) Prefix", "RFC 9374"),
    local("2001:db8::/32", "Documentation", "RFC 3849"),
    service("2620:4f:8000::/48", "Direct Delegation AS112 Service", "RFC 7534"),
    local("3fff::/20", "Documentation", "RFC 9637"),
    local("5f00::/16", "Segment Routing (SRv6) SIDs", "RFC 9602"),
    local("fc00::/7", "Unique-Local", "RFC 4193"),
    local("fe80::/10", "Link-Local Unicast", "RFC 4291"),
    local("fec0::/10", "Deprecated (site-local)", "RFC 3879"),
    local("ff00::/8", "Multicast", "RFC 4291"),
];

/// IPv6 outside 2000::/3 that no row names: not given to anybody.
static UNALLOCATED: Special = local("::/0", "Not allocated for global unicast", "RFC 4291, section 2.4");

/// A prefix that is announced from many places, as its operator documents.
#[derive(Debug, PartialEq, Eq)]
pub struct Anycast {
    /// The block.
    pub prefix: &'static str,
    /// Whose it is.
    pub operator: &'static str,
    /// Where the operator says so.
    pub source: &'static str,
}

const CLOUDFLARE_DNS: &str = "developers.cloudflare.com/1.1.1.1/ip-addresses; blog.cloudflare.com/dns-resolver-1-1-1-1";
const CLOUDFLARE: &str = "cloudflare.com/ips; developers.cloudflare.com, Fundamentals: Cloudflare IP addresses";
const GOOGLE_DNS: &str = "developers.google.com, Public DNS: frequently asked questions";
const QUAD9: &str = "github.com/Quad9DNS/dnscrypt-settings, dnscrypt/quad9-resolvers-doh.md";
const CISCO: &str = "umbrella.cisco.com/blog/why-the-cisco-umbrella-global-network-uses-anycast-routing";
/// Lists the resolver addresses; that all resolvers are anycast is in [`CISCO`].
const CISCO_IPV6: &str = "support.umbrella.com, Roaming client with IPv6 (230901268)";
const CISCO_BLOCK: &str = "cisco.com, Learn the Umbrella block page IP addresses (224799)";
const FORTINET: &str = "community.fortinet.com, FortiGuard is not reachable via anycast (190041)";
const ROOTS: &str = "iana.org/domains/root/servers; root-servers.org";

const fn anycast(prefix: &'static str, operator: &'static str, source: &'static str) -> Anycast {
    Anycast { prefix, operator, source }
}

/// Documented anycast. A documented single address stands for the block that routers can
/// announce, /24 and /48, unless the block also holds something else. Short on purpose.
pub static ANYCAST: &[Anycast] = &[
    anycast("1.0.0.0/24", "Cloudflare DNS", CLOUDFLARE_DNS),
    anycast("1.1.1.0/24", "Cloudflare DNS", CLOUDFLARE_DNS),
    anycast("2606:4700:4700::/48", "Cloudflare DNS", CLOUDFLARE_DNS),
    anycast("8.8.4.0/24", "Google Public DNS", GOOGLE_DNS),
    anycast("8.8.8.0/24", "Google Public DNS", GOOGLE_DNS),
    anycast("2001:4860:4860::/48", "Google Public DNS", GOOGLE_DNS),
    anycast("9.9.9.0/24", "Quad9", QUAD9),
    anycast("149.112.112.0/24", "Quad9", QUAD9),
    anycast("2620:fe::/48", "Quad9", QUAD9),
    anycast("208.67.220.0/24", "Cisco Umbrella (OpenDNS)", CISCO),
    anycast("208.67.222.0/24", "Cisco Umbrella (OpenDNS)", CISCO),
    anycast("2620:119:35::/48", "Cisco Umbrella (OpenDNS)", CISCO_IPV6),
    anycast("2620:119:53::/48", "Cisco Umbrella (OpenDNS)", CISCO_IPV6),
    anycast("146.112.61.0/24", "Cisco Umbrella block pages", CISCO_BLOCK),
    // One address: its neighbour .53 is one of the servers for when anycast is off.
    anycast("173.243.140.16/32", "FortiGuard anycast", FORTINET),
    anycast("103.21.244.0/22", "Cloudflare", CLOUDFLARE),
    anycast("103.22.200.0/22", "Cloudflare", CLOUDFLARE),
    anycast("103.31.4.0/22", "Cloudflare", CLOUDFLARE),
    anycast("104.16.0.0/13", "Cloudflare", CLOUDFLARE),
    anycast("104.24.0.0/14", "Cloudflare", CLOUDFLARE),
    anycast("108.162.192.0/18", "Cloudflare", CLOUDFLARE),
    anycast("131.0.72.0/22", "Cloudflare", CLOUDFLARE),
    anycast("141.101.64.0/18", "Cloudflare", CLOUDFLARE),
    anycast("162.158.0.0/15", "Cloudflare", CLOUDFLARE),
    anycast("172.64.0.0/13", "Cloudflare", CLOUDFLARE),
    anycast("173.245.48.0/20", "Cloudflare", CLOUDFLARE),
    anycast("188.114.96.0/20", "Cloudflare", CLOUDFLARE),
    anycast("190.93.240.0/20", "Cloudflare", CLOUDFLARE),
    anycast("197.234.240.0/22", "Cloudflare", CLOUDFLARE),
    anycast("198.41.128.0/17", "Cloudflare", CLOUDFLARE),
    anycast("2400:cb00::/32", "Cloudflare", CLOUDFLARE),
    anycast("2405:8100::/32", "Cloudflare", CLOUDFLARE),
    anycast("2405:b500::/32", "Cloudflare", CLOUDFLARE),
    anycast("2606:4700::/32", "Cloudflare", CLOUDFLARE),
    anycast("2803:f800::/32", "Cloudflare", CLOUDFLARE),
    anycast("2a06:98c0::/29", "Cloudflare", CLOUDFLARE),
    anycast("2c0f:f248::/32", "Cloudflare", CLOUDFLARE),
    anycast("198.41.0.4/32", "DNS root A", ROOTS),
    anycast("170.247.170.2/32", "DNS root B", ROOTS),
    anycast("192.33.4.12/32", "DNS root C", ROOTS),
    anycast("199.7.91.13/32", "DNS root D", ROOTS),
    anycast("192.203.230.10/32", "DNS root E", ROOTS),
    anycast("192.5.5.241/32", "DNS root F", ROOTS),
    anycast("192.112.36.4/32", "DNS root G", ROOTS),
    anycast("198.97.190.53/32", "DNS root H", ROOTS),
    anycast("192.36.148.17/32", "DNS root I", ROOTS),
    anycast("192.58.128.30/32", "DNS root J", ROOTS),
    anycast("193.0.14.129/32", "DNS root K", ROOTS),
    anycast("199.7.83.42/32", "DNS root L", ROOTS),
    anycast("202.12.27.33/32", "DNS root M", ROOTS),
];

/// How an IPv6 address carries an IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// `::ffff:a.b.c.d`.
    Mapped,
    /// `::ffff:0:a.b.c.d`.
    Translated,
    /// `64:ff9b::a.b.c.d`.
    Nat64,
    /// `2002:aabb:ccdd::`, the address of the site's router.
    SixToFour,
    /// The client behind `2001:0::/32`, its bits inverted; not the server.
    Teredo,
}

impl Carrier {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Carrier::Mapped => "IPv4-mapped",
            Carrier::Translated => "IPv4-translated",
            Carrier::Nat64 => "NAT64",
            Carrier::SixToFour => "6to4",
            Carrier::Teredo => "Teredo",
        }
    }

    /// The document that defines it.
    pub fn source(self) -> &'static str {
        match self {
            Carrier::Mapped => "RFC 4291",
            Carrier::Translated => "RFC 2765",
            Carrier::Nat64 => "RFC 6052",
            Carrier::SixToFour => "RFC 3056",
            Carrier::Teredo => "RFC 4380",
        }
    }
}

/// The IPv4 address inside an IPv6 address, and how it is carried.
pub fn carried(address: Ipv6Addr) -> Option<(Carrier, Ipv4Addr)> {
    let bits = address.to_bits();
    let low = bits as u32;
    if let Some(v4) = address.to_ipv4_mapped() {
        return Some((Carrier::Mapped, v4));
    }
    match address.segments() {
        [0, 0, 0, 0, 0xffff, 0, _, _] => Some((Carrier::Translated, Ipv4Addr::from_bits(low))),
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some((Carrier::Nat64, Ipv4Addr::from_bits(low))),
        [0x2002, ..] => Some((Carrier::SixToFour, Ipv4Addr::from_bits((bits >> 80) as u32))),
        [0x2001, 0, ..] => Some((Carrier::Teredo, Ipv4Addr::from_bits(!low))),
        _ => None,
    }
}

/// The registry row of an address; `None` for an ordinary one. Ask [`carried`] first.
pub fn special(address: IpAddr) -> Option<&'static Special> {
    static TABLE: LazyLock<PrefixMap<&'static Special>> =
        LazyLock::new(|| PrefixMap::new(SPECIAL.iter().filter_map(|row| Some((row.prefix.parse().ok()?, row)))));
    if let Some(row) = TABLE.get(address) {
        return Some(row);
    }
    let IpAddr::V6(v6) = address else { return None };
    let global_unicast = v6.segments()[0] >> 13 == 1;
    (!global_unicast && v6.to_ipv4_mapped().is_none()).then_some(&UNALLOCATED)
}

/// The documented anycast prefix of an address.
pub fn anycast_of(address: IpAddr) -> Option<&'static Anycast> {
    static TABLE: LazyLock<PrefixMap<&'static Anycast>> =
        LazyLock::new(|| PrefixMap::new(ANYCAST.iter().filter_map(|row| Some((row.prefix.parse().ok()?, row)))));
    TABLE.get(address).copied()
}

/// Whether an address is of no host: multicast, broadcast, unspecified, loopback.
pub fn is_no_host(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    broadcast || address.is_multicast() || address.is_unspecified() || address.is_loopback()
}
