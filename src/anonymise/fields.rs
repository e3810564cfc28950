//! What each field tells of our hosts, and what stands for its values.
//!
//! In: the facts of a flow. Out: their values without a host of ours. Every field is in one of the lists: a new one must say
//! what it tells (a test holds the lists against the registry).

use std::borrow::Cow;
use std::net::IpAddr;

use super::Anonymiser;
use crate::fact::{Fact, Facts, Field, Side, value};
use crate::parse::{arp, dhcp, dns, http, socks};
use crate::record::FlowRecord;
use crate::signature::Signatures;

/// How the values of a field are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Says nothing of a host.
    Plain,
    /// Text: addresses in it are replaced.
    Text,
    /// The same, and host names in what our hosts say.
    Hosts,
    /// The first line of a mail server, which begins with its name.
    Greeting,
    /// A URL: its host, and addresses.
    Url,
    /// A name that may be one of outside.
    Name,
    /// A name that the sender gives itself.
    Own,
    /// A serial number: its beginning tells the model and stays.
    Serial,
    /// The name of a certificate.
    Distinguished,
    /// An address.
    Address,
    /// A hardware address.
    Mac,
    /// The engine of an SNMP agent: its maker stays.
    Engine,
    /// A digest of something that one host alone has.
    Digest,
    /// Packed by a parser, with an address or a name inside.
    Packed,
}

/// Fields by rule. Numbers need none.
const RULES: &[(Rule, &[&str])] = &[
    (
        Rule::Plain,
        &[
            "dhcp.parameters",
            "dhcpv6.parameters",
            "dns.transport",
            "eth.oui",
            "fgfm.platform",
            "fgfm.version",
            "fortitelemetry.message",
            "fortitelemetry.version",
            "fsso.message",
            "fw1.method",
            "fw1.version",
            "checkpoint_rdp.magic",
            "globalprotect.tunnel",
            "http.method",
            "ike.payloads",
            "ike.proposal",
            "ike.vendor_id",
            "ike.version",
            "lldp.capabilities",
            "cdp.capabilities",
            "lldp.oui",
            "mdns.service",
            "netflow.template",
            "snmp.enterprise",
            "snmp.sysobjid",
            "snmp.trap_oid",
            "snmp.version",
            "ssh.hassh",
            "ssh.hassh_server",
            "tls.alpn",
            "tls.ech_suite",
            "tls.ja3",
            "tls.ja3s",
            "tls.ja4",
            "capwap.model",
            "capwap.hardware_version",
            "capwap.software_version",
            "capwap.boot_version",
            "mysql.version",
            "postgresql.version",
            "http.upgrade",
            "slp.request",
            "slp.service_type",
            "syslog.format",
            "lldp.model",
            "lldp.firmware",
            "lldp.software",
            "lldp.manufacturer",
            "ftp.system",
        ],
    ),
    (
        Rule::Text,
        &[
            "dhcp.vendor_class",
            "dhcpv6.vendor_class",
            "ntp.refid",
            "ntp.system",
            "ntp.daemon",
            "vmware.authd",
            "ssh.banner",
            "lldp.port_id",
            "lldp.system_description",
            "fgfm.message",
            "syslog.app",
            "ldap.vendor",
            "http.path",
            "http.user_agent",
            "http.server",
            "cdp.software_version",
            "cdp.platform",
            "cdp.port_id",
            "quic.user_agent",
            "pop3.implementation",
            "postgresql.application",
            "fsso.version",
        ],
    ),
    (Rule::Hosts, &["pop3.banner", "imap.banner", "imap.id", "ftp.banner", "slp.attribute", "snmp.sysdescr"]),
    (Rule::Greeting, &["smtp.banner"]),
    (Rule::Url, &["slp.url", "vmware.serial_uri"]),
    (
        Rule::Name,
        &[
            "dns.qname",
            "dns.cname",
            "http.host",
            "connect.host",
            "xmpp.host",
            "tls.sni",
            "quic.sni",
            "x509.san",
            "proxy.authority",
            "socks.host",
        ],
    ),
    (
        Rule::Own,
        &[
            "dhcp.hostname",
            "dhcp.fqdn",
            "dhcpv6.fqdn",
            "dns.answer_name",
            "netbios.name",
            "netbios.workgroup",
            "lldp.chassis_id",
            "lldp.port_description",
            "lldp.system_name",
            "cdp.device_id",
            "fgcp.group",
            "fgfm.hostname",
            "syslog.hostname",
            "capwap.ac_name",
            "capwap.wtp_name",
            "smtp.helo",
            "vmware.vm_name",
            "vmware.vm_uuid",
            "fortitelemetry.uid",
            "fsso.id",
            "fw1.gateway",
            "fw1.management",
            "radius.nas_identifier",
        ],
    ),
    (
        Rule::Serial,
        &[
            "fortilink.serial",
            "fgcp.serial",
            "fgfm.serial",
            "syslog.device_id",
            "capwap.serial",
            "fortitelemetry.serial",
        ],
    ),
    (Rule::Distinguished, &["x509.subject", "x509.issuer", "fw1.sic_name"]),
    (Rule::Mac, &["dhcp.client_id", "dhcpv6.client_id"]),
    (Rule::Engine, &["snmp.engine_id"]),
    (Rule::Digest, &["x509.sha256"]),
    (Rule::Packed, &["dhcp.client", "dns.resolved", "dns.ech", "arp.sender"]),
];

/// The rule of a field; `None` for one that nobody decided about.
pub fn rule(field: &Field) -> Option<Rule> {
    match field.kind {
        crate::fact::Kind::Address => Some(Rule::Address),
        crate::fact::Kind::Number => Some(Rule::Plain),
        _ => RULES.iter().find(|(_, names)| names.contains(&field.name)).map(|(rule, _)| *rule),
    }
}

/// What a flow says of its names.
pub(super) struct Told<'a> {
    signatures: &'a Signatures,
    /// The side is ours.
    ours: [bool; 2],
    /// A proxy is asked, and names are of whom it asks.
    proxied: bool,
    /// Names that an address of ours was told for.
    names: Vec<Vec<u8>>,
}

impl<'a> Told<'a> {
    pub(super) fn of(anonymiser: &Anonymiser, record: &FlowRecord, signatures: &'a Signatures) -> Told<'a> {
        // Who sends a frame is one of us; so is who has no address yet.
        let is_ours = |side: Side| {
            let address: IpAddr = record.address(side);
            record.key.is_frame() || address.is_unspecified() || anonymiser.is_ours(address)
        };
        let resolved = record.facts.of(&dns::RESOLVED).filter_map(|fact| dns::unpack_resolved(fact.value));
        let names = resolved.filter(|(address, _)| anonymiser.is_ours(*address)).map(|(_, name)| name.to_vec());
        let proxied = record.facts.has(&http::CONNECT_HOST) || record.facts.has(&socks::HOST);
        Told { signatures, ours: [Side::Source, Side::Destination].map(is_ours), proxied, names: names.collect() }
    }

    fn is_ours(&self, side: Side) -> bool {
        *side.of(&self.ours)
    }

    /// Somebody of ours is meant by a name that this side tells.
    fn means_ours(&self, fact: &Fact<'_>) -> bool {
        let named = |field: &Field| fact.field == field;
        if named(&dns::QNAME) {
            return self.names.iter().any(|name| name.eq_ignore_ascii_case(fact.value));
        }
        if named(&dns::CNAME) {
            return !self.names.is_empty();
        }
        // A certificate names its sender; a client names whom it asks.
        match fact.field.name.starts_with("x509.") {
            true => self.is_ours(fact.side),
            false => self.is_ours(fact.side.other()) && !self.proxied,
        }
    }
}

impl Anonymiser {
    /// What stands for the value of a fact.
    pub(super) fn value<'a>(&self, fact: &Fact<'a>, told: &Told<'_>) -> Cow<'a, [u8]> {
        let bytes = fact.value;
        let text = || String::from_utf8_lossy(bytes);
        let ours = told.is_ours(fact.side);
        // A field that nobody decided about shows nothing that could be a host.
        let made = match rule(fact.field).unwrap_or(Rule::Own) {
            Rule::Plain => return Cow::Borrowed(bytes),
            Rule::Address => match value::address(bytes) {
                Some(address) => octets(self.address(address)),
                None => return Cow::Borrowed(bytes),
            },
            Rule::Mac => match bytes.split_last_chunk::<6>() {
                Some((head, mac)) => [head, &self.mac(*mac)[..]].concat(),
                None => return Cow::Borrowed(bytes),
            },
            Rule::Engine => self.engine(bytes),
            Rule::Digest if ours => self.bytes::<32>("digest", bytes).to_vec(),
            Rule::Digest => return Cow::Borrowed(bytes),
            Rule::Packed => self.packed(fact, told),
            Rule::Name => match self.unless_known(&text(), told.means_ours(fact), told.signatures) {
                Some(name) => name.into_bytes(),
                None => return Cow::Borrowed(bytes),
            },
            Rule::Own => self.own(&text()).into_bytes(),
            Rule::Serial => self.serial(&text()).into_bytes(),
            Rule::Distinguished => self.distinguished(&text(), ours).into_bytes(),
            Rule::Greeting if ours => self.greeting(&text()).into_bytes(),
            Rule::Hosts if ours => self.hosts(&text()).into_bytes(),
            Rule::Url => self.url(&text(), ours).into_bytes(),
            Rule::Text | Rule::Greeting | Rule::Hosts => match self.text(&text()) {
                Cow::Borrowed(_) => return Cow::Borrowed(bytes),
                Cow::Owned(text) => text.into_bytes(),
            },
        };
        Cow::Owned(made)
    }

    /// Names that a flow told later, without the rest of it. `ours`: they are of a host of ours.
    pub fn names(&self, told: &Facts, ours: bool, signatures: &Signatures) -> Facts {
        let mut facts = Facts::from(told.flags);
        for fact in told.iter().filter(|fact| rule(fact.field) == Some(Rule::Name)) {
            let other = self.unless_known(&String::from_utf8_lossy(fact.value), ours, signatures);
            facts.add(fact.field, fact.side, fact.seen, other.as_deref().map_or(fact.value, str::as_bytes));
        }
        facts
    }

    /// What stands for a name; `None` when it stays.
    fn unless_known(&self, name: &str, ours: bool, signatures: &Signatures) -> Option<String> {
        let other = self.name(name, ours);
        (other != name && signatures.naming(name).is_empty()).then_some(other)
    }

    /// Values that a parser packed, packed again.
    fn packed(&self, fact: &Fact<'_>, told: &Told<'_>) -> Vec<u8> {
        let bytes = fact.value;
        let inner = |field: &'static Field, value: &[u8]| {
            self.value(&Fact { field, side: fact.side, value, seen: fact.seen }, told).into_owned()
        };
        if *fact.field == dns::RESOLVED {
            let Some((address, name)) = dns::unpack_resolved(bytes) else { return Vec::new() };
            let other = octets(self.address(address));
            let text = String::from_utf8_lossy(name);
            let known = self.unless_known(&text, self.is_ours(address), told.signatures);
            let name = known.map_or_else(|| name.to_vec(), String::into_bytes);
            return [&[other.len() as u8][..], &other, &name].concat();
        }
        if *fact.field == dns::ECH {
            let Some((id, public, name)) = dns::unpack_ech(bytes) else { return Vec::new() };
            let [public, name] = [public, name].map(|name| inner(&dns::QNAME, name));
            return [&[id, u8::try_from(public.len()).unwrap_or(u8::MAX)][..], &public, &name].concat();
        }
        if *fact.field == arp::SENDER {
            let (Some(sender), Some(tail)) = (arp::unpack_sender(bytes), bytes.get(10..)) else { return Vec::new() };
            return [&self.mac(sender.mac)[..], &octets(self.address(sender.address.into())), tail].concat();
        }
        let Some((mac, field, rest)) = dhcp::unpack_client(bytes) else { return Vec::new() };
        let place = bytes.get(6..7).unwrap_or_default();
        [&self.mac(mac)[..], place, &inner(field, rest)].concat()
    }

    /// An SNMP engine: the maker and the kind stay, and what follows them is replaced (RFC 3411, section 5).
    fn engine(&self, bytes: &[u8]) -> Vec<u8> {
        const HEAD: usize = 5;
        let Some((head, rest)) = bytes.split_at_checked(HEAD) else { return bytes.to_vec() };
        let rest = match (head.first().map(|byte| byte & 0x80), head.last(), rest.len()) {
            (Some(0x80), Some(1), 4) | (Some(0x80), Some(2), 16) => {
                value::address(rest).map_or_else(Vec::new, |address| octets(self.address(address)))
            }
            (Some(0x80), Some(3), 6) => rest.first_chunk::<6>().map_or_else(Vec::new, |mac| self.mac(*mac).to_vec()),
            _ => {
                let mask = self.bytes::<32>("engine", bytes);
                rest.iter().zip(mask.iter().cycle()).map(|(_, byte)| *byte).collect()
            }
        };
        [head, &rest].concat()
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
