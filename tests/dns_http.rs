//! DNS and HTTP read from real captures; the expected values are what tshark 4.0.17 prints.
//!
//! A capture is reduced to payloads in order, without a flow layer: good enough for captures
//! that have no loss and no reordering.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::net::IpAddr;

use bordertap::fact::{Facts, Flag, Kind, Seen, Side};
use bordertap::parse::{Opening, Parser, Prefix, Progress, Protocol, Transport, ask, dns, http};
use bordertap::time::Time;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

/// Bytes of the file header and of a packet header of a pcap file.
const FILE_HEADER_BYTES: usize = 24;
const PACKET_HEADER_BYTES: usize = 16;
const LINK_ETHERNET: u32 = 1;

type Endpoint = (IpAddr, u16);

/// One flow as a test sees it.
struct Flow {
    protocol: Option<(&'static Protocol, Box<dyn Parser>)>,
    transport: Transport,
    ports: (u16, u16),
    bytes: [Vec<u8>; 2],
    next_sequence: [Option<u32>; 2],
    need: [Option<usize>; 2],
    facts: Facts,
}

impl Flow {
    fn new(transport: Transport, ports: (u16, u16)) -> Flow {
        Flow {
            protocol: None,
            transport,
            ports,
            bytes: Default::default(),
            next_sequence: [None; 2],
            need: [Some(0); 2],
            facts: Facts::default(),
        }
    }

    fn payload(&mut self, side: Side, payload: &[u8], seen: Seen) {
        let bytes = &mut self.bytes[side.index()];
        if self.transport == Transport::Udp {
            bytes.clear();
        }
        bytes.extend_from_slice(payload);
        if self.protocol.is_none() {
            let opening = Opening::new(self.transport, self.ports, side, bytes);
            let Ok(found) = ask([&dns::PROTOCOL, &http::PROTOCOL], &opening) else { return };
            self.protocol = Some((found, (found.parser)(self.transport)));
            self.feed(side.other(), seen, false);
        }
        self.feed(side, seen, false);
    }

    fn feed(&mut self, side: Side, seen: Seen, last: bool) {
        let Some((_, parser)) = &mut self.protocol else {
            return;
        };
        let bytes = &self.bytes[side.index()];
        let ready = self.need[side.index()].is_some_and(|need| bytes.len() >= need || last);
        if !ready || bytes.is_empty() {
            return;
        }
        let prefix = Prefix { bytes, seen, last, split: false };
        match parser.feed(side, prefix, &mut self.facts) {
            Progress::NeedBytes(need) => self.need[side.index()] = Some(need),
            Progress::Done => self.need[side.index()] = None,
            Progress::AllDone | Progress::NotMine => self.need = [None; 2],
        }
    }

    fn end(&mut self, seen: Seen) {
        if self.transport == Transport::Tcp {
            self.feed(Side::Source, seen, true);
            self.feed(Side::Destination, seen, true);
        }
    }

    /// The values of a field as text, in order.
    fn values(&self, name: &str) -> Vec<String> {
        let facts = self.facts.iter().filter(|fact| fact.field.name == name);
        let mut values: Vec<String> = facts.map(|fact| show(fact.field.kind, fact.value)).collect();
        values.sort();
        values
    }
}

fn show(kind: Kind, value: &[u8]) -> String {
    match kind {
        Kind::Name | Kind::Text => String::from_utf8_lossy(value).into_owned(),
        Kind::Hex => value.iter().map(|byte| format!("{byte:02x}")).collect(),
        Kind::Number => u64::from_be_bytes(value.try_into().unwrap()).to_string(),
        Kind::Address if value.len() == 4 => IpAddr::from(<[u8; 4]>::try_from(value).unwrap()).to_string(),
        Kind::Address => IpAddr::from(<[u8; 16]>::try_from(value).unwrap()).to_string(),
    }
}

fn endpoints(ip: &NetSlice<'_>) -> Option<(IpAddr, IpAddr)> {
    match ip {
        NetSlice::Ipv4(ip) => Some((ip.header().source_addr().into(), ip.header().destination_addr().into())),
        NetSlice::Ipv6(ip) => Some((ip.header().source_addr().into(), ip.header().destination_addr().into())),
        NetSlice::Arp(_) => None,
    }
}

/// The flows of a little-endian pcap file in `fixtures/`, in the order of their first packet.
fn flows(name: &str) -> Vec<Flow> {
    let path = format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read(&path).unwrap();
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let ethernet = word(20) == LINK_ETHERNET;
    let mut flows: Vec<Flow> = Vec::new();
    let mut known: HashMap<(u8, [Endpoint; 2]), (usize, Side)> = HashMap::new();
    let mut at = FILE_HEADER_BYTES;
    let mut seen = Seen::default();
    while at < file.len() {
        let captured = word(at + 8) as usize;
        let packet = &file[at + PACKET_HEADER_BYTES..at + PACKET_HEADER_BYTES + captured];
        let time = Time::new(i64::from(word(at)), i64::from(word(at + 4)) * 1000);
        at += PACKET_HEADER_BYTES + captured;
        seen = Seen { time, packet: seen.packet + 1 };
        let sliced = match ethernet {
            true => SlicedPacket::from_ethernet(packet),
            false => SlicedPacket::from_ip(packet),
        };
        let Ok(sliced) = sliced else { continue };
        let Some((from, to)) = sliced.net.as_ref().and_then(endpoints) else {
            continue;
        };
        let (transport, from, to, payload, sequence) = match &sliced.transport {
            Some(TransportSlice::Udp(udp)) => {
                let (source, destination) = (udp.source_port(), udp.destination_port());
                (Transport::Udp, (from, source), (to, destination), udp.payload(), 0)
            }
            Some(TransportSlice::Tcp(tcp)) => {
                let (source, destination) = (tcp.source_port(), tcp.destination_port());
                let sequence = tcp.sequence_number();
                (Transport::Tcp, (from, source), (to, destination), tcp.payload(), sequence)
            }
            _ => continue,
        };
        if payload.is_empty() {
            continue;
        }
        let number = transport as u8;
        let (index, side) = *known.entry((number, [from, to])).or_insert((flows.len(), Side::Source));
        known.entry((number, [to, from])).or_insert((index, Side::Destination));
        if index == flows.len() {
            flows.push(Flow::new(transport, (from.1, to.1)));
        }
        let flow = &mut flows[index];
        let next = &mut flow.next_sequence[side.index()];
        if transport == Transport::Tcp && next.is_some_and(|next| next != sequence) {
            continue; // sent again
        }
        *next = Some(sequence.wrapping_add(payload.len() as u32));
        flow.payload(side, payload, seen);
    }
    flows.iter_mut().for_each(|flow| flow.end(seen));
    flows
}

/// The values of a field in a whole capture, sorted, each once.
fn all(flows: &[Flow], name: &str) -> Vec<String> {
    let mut values: Vec<String> = flows.iter().flat_map(|flow| flow.values(name)).collect();
    values.sort();
    values.dedup();
    values
}

/// What the answers said, as `name address`.
fn resolved(flows: &[Flow]) -> Vec<String> {
    let facts = flows.iter().flat_map(|flow| flow.facts.iter());
    let mut all: Vec<String> = facts
        .filter(|fact| *fact.field == dns::RESOLVED)
        .map(|fact| {
            assert_eq!(fact.side, Side::Destination);
            let (address, name) = dns::unpack_resolved(fact.value).unwrap();
            format!("{} {address}", String::from_utf8_lossy(name))
        })
        .collect();
    all.sort();
    all
}

#[test]
fn dns_questions_and_answers() {
    let flows = flows("dns/arkime-dns-wiresharkrepo.pcap");
    assert_eq!(
        all(&flows, "dns.qname"),
        [
            "1.0.0.127.in-addr.arpa",
            "104.9.192.66.in-addr.arpa",
            "GRIMM.utelsystems.local",
            "_ldap._tcp.05b5292b-34b8-4fb7-85a3-8beef5fd2069.domains._msdcs.utelsystems.local",
            "_ldap._tcp.Default-First-Site-Name._sites.dc._msdcs.utelsystems.local",
            "_ldap._tcp.dc._msdcs.utelsystems.local",
            "google.com",
            "isc.org",
            "www.example.com",
            "www.example.notginh",
            "www.google.com",
            "www.isc.org",
            "www.l.google.com",
            "www.netbsd.org",
        ]
    );
    // Frame 4 gives addresses of mail servers in its additional section, which answer nothing;
    // frame 24 answers ANY with both kinds of address.
    assert_eq!(
        resolved(&flows),
        [
            "www.isc.org 2001:4f8:0:2::d",
            "www.isc.org 204.152.184.88",
            "www.netbsd.org 2001:4f8:4:7:2e0:81ff:fe52:9a6b",
            "www.netbsd.org 204.152.190.12",
        ]
    );
    assert_eq!(all(&flows, "dns.cname"), ["www.l.google.com"]);
    assert_eq!(all(&flows, "dns.rcode"), ["0", "3"]);
    assert!(flows.iter().all(|flow| flow.facts.flags.names().count() == 0));
}

#[test]
fn dns_answer_that_the_name_does_not_exist() {
    let flows = flows("dns/arkime-dns-error.pcap");
    assert_eq!(all(&flows, "dns.qname"), ["no.such.host"]);
    assert_eq!(all(&flows, "dns.rcode"), ["3"]);
    assert!(resolved(&flows).is_empty());
}

#[test]
fn dns_record_type_that_is_not_read() {
    let flows = flows("dns/zeek-dns-caa.pcap");
    assert_eq!(all(&flows, "dns.qname"), ["google.com"]);
    assert_eq!(all(&flows, "dns.qtype"), ["257"]);
    assert!(flows.iter().all(|flow| !flow.facts.flags.has(Flag::ParseError)));
}

/// The keys were taken from the bytes by hand, after the layout in RFC 9849, section 4.
#[test]
fn dns_https_records_with_ech() {
    let flows = flows("capture/zeek-ech.pcap");
    assert_eq!(all(&flows, "dns.qname"), ["cloudflare-ech.com", "defo.ie"]);
    let facts = flows.iter().flat_map(|flow| flow.facts.iter());
    let mut keys: Vec<(u8, &[u8], &[u8])> =
        facts.filter(|fact| *fact.field == dns::ECH).map(|fact| dns::unpack_ech(fact.value).unwrap()).collect();
    keys.sort();
    assert_eq!(
        keys,
        [
            (34, &b"cover.defo.ie"[..], &b"defo.ie"[..]),
            (71, b"cover.defo.ie", b"defo.ie"),
            (106, b"cover.defo.ie", b"defo.ie"),
            (116, b"cloudflare-ech.com", b"cloudflare-ech.com"),
        ]
    );
    assert_eq!(
        resolved(&flows),
        [
            "cloudflare-ech.com 104.18.10.118",
            "cloudflare-ech.com 104.18.11.118",
            "cloudflare-ech.com 2606:4700::6812:a76",
            "cloudflare-ech.com 2606:4700::6812:b76",
            "defo.ie 213.108.108.101",
            "defo.ie 2a00:c6c0:0:116:5::10",
        ]
    );
}

/// One capture: host, user agents, servers, paths, status codes.
fn web(name: &str) -> [Vec<String>; 5] {
    let flows = flows(name);
    ["http.host", "http.user_agent", "http.server", "http.path", "http.status"].map(|field| all(&flows, field))
}

#[test]
fn http_redirect() {
    let [host, agent, server, path, status] = web("http/arkime-http-301-get.pcap");
    assert_eq!(host, ["www.github.com"]);
    let curl = "curl/7.24.0 (x86_64-apple-darwin12.0) libcurl/7.24.0 OpenSSL/0.9.8y zlib/1.2.5";
    assert_eq!(agent, [curl]);
    assert!(server.is_empty());
    assert_eq!((&path[..], &status[..]), (&["/".to_string()][..], &["301".to_string()][..]));
}

#[test]
fn http_head_that_failed() {
    let [host, agent, server, path, status] = web("http/arkime-http-500-head.pcap");
    assert_eq!(host, ["samples.example.com"]);
    assert_eq!(agent, ["Mozilla/4.0 (compatible;+MSIE+8.0;+Windows+NT+5.1)"]);
    assert_eq!(server, ["Apache"]);
    assert_eq!(path, ["/UpdataConfig.dat"]);
    assert_eq!(status, ["500"]);
}

#[test]
fn http_answer_without_a_length() {
    let [host, _, server, path, status] = web("http/arkime-http-no-length.pcap");
    assert_eq!(host, ["xxxxxxx.xxxxxx.xx"]);
    assert_eq!(server, ["Apache"]);
    assert_eq!(path, ["/js/xxxxxx.js"]);
    assert_eq!(status, ["200"]);
}

#[test]
fn http_upload_behind_other_requests() {
    let [host, _, server, path, status] = web("http/arkime-http-post-upload.pcap");
    assert_eq!(host, ["192.168.57.14"]);
    assert_eq!(server, ["Apache-Coyote/1.1"]);
    assert_eq!(path, ["/fileupload/", "/fileupload/servlet/UploadHandleServlet"]);
    assert_eq!(status, ["200"]);
}

#[test]
fn http_that_becomes_a_web_socket() {
    let [host, _, _, path, status] = web("http/arkime-websocket.pcap");
    assert_eq!(host, ["192.168.43.135"]);
    assert_eq!(path, ["/"]);
    assert_eq!(status, ["101"]);
}

#[test]
fn http_paths_with_odd_bytes() {
    let [host, agent, server, path, status] = web("http/zeek-http-non-printable-characters.pcap");
    assert_eq!(host, ["172.24.0.3"]);
    assert_eq!(agent, ["Python-urllib/3.12"]);
    assert_eq!(server, ["SimpleHTTP/0.6 Python/3.12.3"]);
    assert_eq!(
        path,
        ["/non_printable_%07", "/non_printable_literal_%5Cx07", "/printable_%F0%9F%98%84", "/regular_file.html",]
    );
    assert_eq!(status, ["404"]);
}

#[test]
fn http_proxy_that_is_asked_to_connect() {
    let flows = flows("http/ja4-https-connect.pcap");
    assert_eq!(all(&flows, "connect.host"), ["ts01-b.cloudsink.net"]);
    assert_eq!(all(&flows, "http.method"), ["CONNECT"]);
    assert_eq!(all(&flows, "http.user_agent"), ["CrowdStrike Falcon Sensor"]);
    assert_eq!(all(&flows, "http.server"), ["XXX"]);
    assert_eq!(all(&flows, "http.status"), ["200"]);
    assert!(all(&flows, "http.path").is_empty());
}
