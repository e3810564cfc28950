//! Who is there: inside hosts, servers with their names and addresses.
//!
//! In: numbers and a seed. Out: ends of flows. A few servers bear names of the shipped signatures, the others names
//! below `.example` (RFC 6761), so that nobody's site is in a picture it does not belong to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::packet::End;
use super::random::Random;

/// Names that the shipped signatures know; a test looks each up.
pub const VENDOR_NAMES: &[&str] = &[
    "globalupdate.fortinet.net",
    "usupdate.fortinet.net",
    "update.fortiguard.net",
    "service.fortiguard.net",
    "securewf.fortiguard.net",
    "globalguardservice.fortinet.net",
    "globallogctrl.fortinet.net",
    "logctrl1.fortinet.com",
    "aptctrl1.fortinet.com",
    "updates.paloaltonetworks.com",
    "wildfire.paloaltonetworks.com",
    "serverlist.urlcloud.paloaltonetworks.com",
    "dns.service.paloaltonetworks.com",
    "hawkeye.services-edge.paloaltonetworks.com",
    "cws.checkpoint.com",
    "te.checkpoint.com",
    "rep-cws.checkpoint.com",
    "url-rep.iaas.checkpoint.com",
    "productcoverage.checkpoint.com",
    "usercenter.checkpoint.com",
    "hostupdate.vmware.com",
    "vcsa.vmware.com",
    "telemetry.pulse.broadcom.com",
    "softwareupdate.vmware.com",
];

/// Servers with ordinary names.
const ORDINARY_SERVERS: usize = 320;
/// Flows to servers of [`VENDOR_NAMES`], in a hundred.
const VENDOR_PERCENT: usize = 4;
const HOST_WORDS: &[&str] =
    &["www", "api", "cdn", "static", "mail", "img", "login", "sync", "media", "edge-7", "files", "v2.api"];
const SITE_WORDS: &[&str] = &[
    "lotus",
    "harbour",
    "plum-blossom",
    "granite",
    "seagull",
    "copperfield",
    "morning-news",
    "tea-house",
    "bicycle",
    "redwood",
    "mountain-bank",
    "river-shop",
    "pixel-garden",
    "ox-cart",
    "starling",
    "paper-crane",
    "north-line",
    "green-valley-insurance",
    "ferry",
    "kite",
    "old-town",
    "lighthouse",
    "violin",
    "market-square",
    "sailcloth",
    "orchard",
    "snowdrop",
    "canal",
];
/// First octets that public hosts have; none of a special range.
const FIRST_OCTETS: &[u8] = &[
    3, 13, 18, 20, 23, 34, 35, 40, 47, 52, 54, 59, 61, 66, 72, 81, 91, 101, 104, 106, 111, 112, 113, 114, 116, 118,
    120, 121, 123, 139, 142, 151, 157, 162, 175, 180, 182, 183, 185, 193, 194, 202, 204, 208, 210, 216, 218, 220, 222,
];
const FIRST_GROUPS: &[u16] = &[0x2400, 0x2408, 0x2409, 0x2600, 0x2606, 0x2620, 0x2a00, 0x2a02, 0x2a03];
const ROUTER_MAC: [u8; 6] = [0x02, 0x42, 0x10, 0x20, 0x00, 0x01];
/// Client ports are handed out from here on, in turn.
const PORT_FIRST: usize = 10_000;
const PORTS: usize = 50_000;

/// A server: its name and where it is.
#[derive(Clone, Debug)]
pub struct Server {
    /// Host name.
    pub name: String,
    /// IPv4 addresses, one to four.
    pub v4: Vec<Ipv4Addr>,
    /// IPv6 address.
    pub v6: Ipv6Addr,
    /// The signatures know its name.
    pub is_vendor: bool,
}

/// Everybody.
pub struct Network {
    /// Inside hosts.
    clients: usize,
    /// Those of the vendors first.
    servers: Vec<Server>,
    flows: usize,
    shift: u32,
}

impl Network {
    /// With so many inside hosts.
    pub fn new(clients: usize, random: &mut Random) -> Network {
        let ordinary = (0..ORDINARY_SERVERS).map(|n| {
            let (host, site) = (HOST_WORDS[n % HOST_WORDS.len()], SITE_WORDS[n % SITE_WORDS.len()]);
            format!("{host}.{site}{}.example", n / 84)
        });
        let names = VENDOR_NAMES.iter().map(|name| (*name).to_owned()).chain(ordinary);
        let servers = names
            .enumerate()
            .map(|(n, name)| Server {
                name,
                v4: (0..random.between(1, 4)).map(|_| public_v4(random)).collect(),
                v6: public_v6(random),
                is_vendor: n < VENDOR_NAMES.len(),
            })
            .collect();
        Network { clients, servers, flows: 0, shift: random.next() as u32 }
    }

    /// A server, some far more often than others.
    pub fn server(&self, random: &mut Random) -> &Server {
        let vendors = VENDOR_NAMES.len();
        let at = if random.percent(VENDOR_PERCENT) {
            random.below(vendors)
        } else {
            let limit = random.below(self.servers.len() - vendors) + 1;
            vendors + random.below(limit)
        };
        &self.servers[at]
    }

    /// A client with its next port and an address for a server of this port.
    pub fn ends(&mut self, server: &Server, port: u16, v6: bool, random: &mut Random) -> [End; 2] {
        let client = random.below(self.clients);
        self.flows += 1;
        let client_port = (PORT_FIRST + self.flows % PORTS) as u16;
        let address = if v6 { IpAddr::V6(server.v6) } else { IpAddr::V4(*random.pick(&server.v4)) };
        [self.inside(client, client_port, v6), outside(address, port)]
    }

    /// An inside host by number.
    pub fn inside(&self, number: usize, port: u16, v6: bool) -> End {
        let [a, b, c, d] = (number as u32).to_be_bytes();
        let address = if v6 {
            let group = (self.shift & 0xffff) as u16;
            let [high, low] = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
            IpAddr::V6(Ipv6Addr::new(0xfd20, group, 0, 1, 0, 0, high, low))
        } else {
            IpAddr::V4(Ipv4Addr::new(10, 20 + b, c, d))
        };
        End { mac: [0x02, 0x20, a, b, c, d], address, port, ttl: 64 }
    }
}

/// An outside end as it looks behind the router.
pub fn outside(address: IpAddr, port: u16) -> End {
    End { mac: ROUTER_MAC, address, port, ttl: 49 }
}

/// A public IPv4 address.
pub fn public_v4(random: &mut Random) -> Ipv4Addr {
    let first = *random.pick(FIRST_OCTETS);
    let [b, c, d] = random.bytes();
    Ipv4Addr::new(first, b, c, d.clamp(1, 254))
}

fn public_v6(random: &mut Random) -> Ipv6Addr {
    let [a, b, c] = [random.next(), random.next(), random.next()].map(|n| n as u16);
    Ipv6Addr::new(*random.pick(FIRST_GROUPS), a, b, 0, 0, 0, 0, c)
}
