//! Filter expressions in the language of pcap-filter(7).
//!
//! In: an expression; then packets. Out: which of them match. libpcap compiles the expression,
//! once for each link type that turns up. libpcap would ask the resolver for host names in it,
//! and nothing here may send a packet, so an expression with a host name is refused beforehand.

use super::{LinkType, Packet};

/// Why a filter expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// libpcap does not accept it, for any link type that the inputs have.
    #[error("filter {expression:?}: {message}")]
    Invalid {
        /// As it was given.
        expression: String,
        /// What libpcap says.
        message: String,
    },
    /// It has a host name in it.
    #[error("filter {expression:?}: {name:?} would have to be resolved; write its address")]
    Name {
        /// As it was given.
        expression: String,
        /// The word that is not a keyword, a number or an address.
        name: String,
    },
    /// This build has no libpcap.
    #[error("filter {expression:?}: this build cannot compile filters (feature libpcap)")]
    Unavailable {
        /// As it was given.
        expression: String,
    },
}

/// Without libpcap there is no filter: every expression is refused.
#[cfg(not(feature = "libpcap"))]
pub(crate) enum Filter {}

#[cfg(not(feature = "libpcap"))]
impl Filter {
    pub(crate) fn new(expression: &str, _links: &[LinkType]) -> Result<Filter, FilterError> {
        let expression = expression.to_owned();
        Err(FilterError::Unavailable { expression })
    }

    pub(crate) fn keep(&mut self, _bytes: &[u8], _packets: &mut Vec<Packet>) -> Vec<String> {
        match *self {}
    }
}

#[cfg(feature = "libpcap")]
pub(crate) use compiled::Filter;
#[cfg(all(feature = "libpcap", target_os = "linux"))]
pub(crate) use compiled::{instructions, program};

/// Refuses an expression with a host name in it.
#[cfg(feature = "libpcap")]
pub(crate) fn check(expression: &str) -> Result<(), FilterError> {
    match name_in(expression) {
        Some(name) => Err(FilterError::Name { expression: expression.to_owned(), name }),
        None => Ok(()),
    }
}

#[cfg(feature = "libpcap")]
mod compiled {
    use super::super::bpf::{Instruction, Program};
    use super::{FilterError, LinkType, Packet, check};

    /// An expression and its programs.
    pub(crate) struct Filter {
        expression: String,
        // `None`: libpcap cannot apply it to this link type, and no packet of it matches.
        programs: Vec<(LinkType, Option<Program>)>,
    }

    impl Filter {
        /// Compiles for the link types that are known to come, or for Ethernet. It must compile
        /// for one of them.
        pub(crate) fn new(expression: &str, links: &[LinkType]) -> Result<Filter, FilterError> {
            check(expression)?;
            let owned = expression.to_owned();
            let mut message = None;
            let links = if links.is_empty() { &[ETHERNET] } else { links };
            for link in links {
                match compile(expression, *link) {
                    Ok(_) => {
                        return Ok(Filter { expression: owned, programs: Vec::new() });
                    }
                    Err(error) => message = message.or(Some(error)),
                }
            }
            Err(FilterError::Invalid { expression: owned, message: message.unwrap_or_default() })
        }

        /// Drops the packets that do not match. Says so, once, when the expression means nothing
        /// for a link type.
        pub(crate) fn keep(&mut self, bytes: &[u8], packets: &mut Vec<Packet>) -> Vec<String> {
            let mut complaints = Vec::new();
            packets.retain(|packet| {
                let known = self.programs.iter().position(|p| p.0 == packet.link);
                let index = known.unwrap_or_else(|| {
                    let program = compile(&self.expression, packet.link);
                    let program = program.map_err(|message| {
                        let LinkType(link) = packet.link;
                        complaints.push(format!("the filter cannot be applied to link type {link}: {message}"));
                    });
                    self.programs.push((packet.link, program.ok()));
                    self.programs.len().saturating_sub(1)
                });
                let Some((_, Some(program))) = self.programs.get(index) else {
                    return false;
                };
                let end = packet.start.saturating_add(packet.captured as usize);
                let start = packet.start.saturating_add(loopback_bytes(packet.link));
                let captured = bytes.get(start..end).unwrap_or_default();
                program.matches(captured, packet.original)
            });
            complaints
        }
    }

    const ETHERNET: LinkType = LinkType(1);
    /// The loopback of BSD, in the byte order of its host and of the network.
    const NULL: LinkType = LinkType(0);
    const LOOP: LinkType = LinkType(108);
    const DLT_RAW: i32 = 12;

    /// Bytes before the IP packet that the program is not shown. The family in a loopback header
    /// has the byte order and the numbers of the system that wrote it, which libpcap only takes
    /// into account when it reads the file itself; the IP packet tells its version anyway.
    fn loopback_bytes(link: LinkType) -> usize {
        match link {
            NULL | LOOP => 4,
            _ => 0,
        }
    }

    /// The instructions for packets of a link type.
    #[cfg(target_os = "linux")]
    pub(crate) fn program(expression: &str, link: LinkType) -> Result<Vec<Instruction>, String> {
        compile(expression, link).map(|program| program.0)
    }

    fn compile(expression: &str, link: LinkType) -> Result<Program, String> {
        let dead = pcap::Capture::dead(pcap::Linktype(dlt(link))).map_err(|error| words(&error))?;
        let program = dead.compile(expression, true).map_err(|error| words(&error))?;
        let instructions = instructions(&program).ok_or("libpcap made a program that cannot be read")?;
        Ok(Program(instructions))
    }

    /// The instructions of a program of libpcap.
    pub(crate) fn instructions(program: &pcap::BpfProgram) -> Option<Vec<Instruction>> {
        // The binding shows the fields of an instruction only as text: code, jumps, operand.
        let one = |instruction: &pcap::BpfInstruction| {
            let text = instruction.to_string();
            let mut fields = text.split_ascii_whitespace();
            Some(Instruction {
                code: fields.next()?.parse().ok()?,
                if_true: fields.next()?.parse().ok()?,
                if_false: fields.next()?.parse().ok()?,
                k: fields.next()?.parse().ok()?,
            })
        };
        program.get_instructions().iter().map(one).collect()
    }

    fn words(error: &pcap::Error) -> String {
        match error {
            pcap::Error::PcapError(message) => message.clone(),
            other => other.to_string(),
        }
    }

    /// libpcap's own number for a link type. They differ from those in files where operating
    /// systems disagreed (pcap-linktype(7)); below are the ones of Linux.
    fn dlt(LinkType(link): LinkType) -> i32 {
        match link {
            _ if loopback_bytes(LinkType(link)) > 0 => DLT_RAW,
            100 => 11,
            101 => DLT_RAW,
            102 => 15,
            103 => 16,
            106 => 19,
            other => i32::from(other),
        }
    }
}

/// What kind of word may follow in an expression.
#[cfg(feature = "libpcap")]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// A host or network: a name here would be resolved.
    Host,
    /// A port, protocol, interface, frame type: names that are looked up in files or in the
    /// program.
    Other,
}

/// The first word of an expression that libpcap would resolve.
#[cfg(feature = "libpcap")]
fn name_in(expression: &str) -> Option<String> {
    let mut expect = Expect::Host;
    let is_word = |c: char| c.is_alphanumeric() || "._-:\\".contains(c);
    for word in expression.split(|c| !is_word(c)) {
        let first = word.chars().next().unwrap_or('0');
        match word {
            "and" | "or" | "not" => {}
            _ if OTHER_FOLLOWS.contains(&word) => expect = Expect::Other,
            _ if KEYWORDS.contains(&word) => expect = Expect::Host,
            _ if expect == Expect::Other || first == '\\' => {}
            _ if is_number(word) || is_address(word) => {}
            name => return Some(name.to_owned()),
        }
    }
    None
}

/// Decimal, octal or hexadecimal, also a range of ports, a place in a packet, the empty word.
#[cfg(feature = "libpcap")]
fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix("0x").unwrap_or(word);
    let hexadecimal = digits.len() < word.len();
    digits.bytes().all(|byte| b"-:".contains(&byte) || byte.is_ascii_digit() || hexadecimal && byte.is_ascii_hexdigit())
}

/// IPv4 whole or cut short, IPv6, a hardware address, a DECnet address.
#[cfg(feature = "libpcap")]
fn is_address(word: &str) -> bool {
    let dotted = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let hexadecimal = |byte: u8| byte.is_ascii_hexdigit() || b":-.".contains(&byte);
    let hardware = word.len() >= 11 && (word.matches([':', '-']).count() == 5);
    word.bytes().all(dotted) || word.parse::<std::net::Ipv6Addr>().is_ok() || hardware && word.bytes().all(hexadecimal)
}

/// Keywords after which a word that is not a keyword is no host.
#[cfg(feature = "libpcap")]
const OTHER_FOLLOWS: &[&str] = &[
    "port",
    "portrange",
    "proto",
    "protochain",
    "ifname",
    "on",
    "rset",
    "ruleset",
    "reason",
    "action",
    "type",
    "subtype",
    "dir",
];

/// The other words of pcap-filter(7) that are not names.
#[cfg(feature = "libpcap")]
const KEYWORDS: &[&str] = &[
    "src",
    "dst",
    "host",
    "net",
    "mask",
    "gateway",
    "ether",
    "link",
    "fddi",
    "tr",
    "wlan",
    "ppp",
    "slip",
    "ip",
    "ip6",
    "arp",
    "rarp",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmp6",
    "igmp",
    "igrp",
    "pim",
    "vrrp",
    "carp",
    "ah",
    "esp",
    "atalk",
    "aarp",
    "decnet",
    "lat",
    "sca",
    "moprc",
    "mopdl",
    "iso",
    "esis",
    "es-is",
    "isis",
    "is-is",
    "clnp",
    "stp",
    "ipx",
    "netbeui",
    "l1",
    "l2",
    "iih",
    "lsp",
    "snp",
    "csnp",
    "psnp",
    "broadcast",
    "multicast",
    "inbound",
    "outbound",
    "vlan",
    "mpls",
    "pppoed",
    "pppoes",
    "geneve",
    "vxlan",
    "less",
    "greater",
    "len",
    "length",
    "byte",
    "ra",
    "ta",
    "addr1",
    "addr2",
    "addr3",
    "addr4",
    "address1",
    "address2",
    "address3",
    "address4",
    "rnr",
    "rulenum",
    "srnr",
    "subrulenum",
    "radio",
    "lane",
    "llc",
    "metac",
    "bcc",
    "sc",
    "ilmic",
    "oam",
    "oamf4",
    "oamf4ec",
    "oamf4sc",
    "connectmsg",
    "metaconnect",
    "vpi",
    "vci",
    "fisu",
    "fisus",
    "lssu",
    "lsu",
    "lssus",
    "lsus",
    "msu",
    "msus",
    "sio",
    "opc",
    "dpc",
    "sls",
    "hfisu",
    "hlssu",
    "hmsu",
    "hsio",
    "hopc",
    "hdpc",
    "hsls",
    "i",
    "s",
    "u",
    "rr",
    "rej",
    "ui",
    "ua",
    "disc",
    "sabme",
    "test",
    "xid",
    "frmr",
    "tcpflags",
    "tcp-fin",
    "tcp-syn",
    "tcp-rst",
    "tcp-push",
    "tcp-ack",
    "tcp-urg",
    "tcp-ece",
    "tcp-cwr",
    "icmptype",
    "icmpcode",
    "icmp-echoreply",
    "icmp-unreach",
    "icmp-sourcequench",
    "icmp-redirect",
    "icmp-echo",
    "icmp-routeradvert",
    "icmp-routersolicit",
    "icmp-timxceed",
    "icmp-paramprob",
    "icmp-tstamp",
    "icmp-tstampreply",
    "icmp-ireq",
    "icmp-ireqreply",
    "icmp-maskreq",
    "icmp-maskreply",
    "icmp6type",
    "icmp6code",
    "icmp6-destinationunreach",
    "icmp6-packettoobig",
    "icmp6-timeexceeded",
    "icmp6-parameterproblem",
    "icmp6-echo",
    "icmp6-echoreply",
    "icmp6-multicastlistenerquery",
    "icmp6-multicastlistenerreportv1",
    "icmp6-multicastlistenerdone",
    "icmp6-routersolicit",
    "icmp6-routeradvert",
    "icmp6-neighborsolicit",
    "icmp6-neighboradvert",
    "icmp6-redirect",
    "icmp6-routerrenum",
    "icmp6-nodeinformationquery",
    "icmp6-nodeinformationresponse",
    "icmp6-ineighbordiscoverysolicit",
    "icmp6-ineighbordiscoveryadvert",
    "icmp6-multicastlistenerreportv2",
    "icmp6-homeagentdiscoveryrequest",
    "icmp6-homeagentdiscoveryreply",
    "icmp6-mobileprefixsolicit",
    "icmp6-mobileprefixadvert",
    "icmp6-certpathsolicit",
    "icmp6-certpathadvert",
    "icmp6-multicastrouteradvert",
    "icmp6-multicastroutersolicit",
    "icmp6-multicastrouterterm",
];
