//! The same record by way of `serde_json`: plain, slow, and what the writer is held against.
//!
//! In: as for the writer. Out: the bytes it should write.

use serde::Serialize;

use super::super::Learnt;
use crate::fact::value;
use crate::fact::{Field, Kind, Side};
use crate::flow::community_id;
use crate::flow::key::protocol;
use crate::parse::{dns, http, quic, tls};
use crate::record::FlowRecord;

#[derive(Serialize)]
struct Verdict<'a> {
    id: &'a str,
    vendor: &'a str,
    product: &'a str,
    function: &'a str,
    confidence: u8,
    matched: String,
}

#[derive(Serialize)]
struct FlowJson<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: &'a str,
    event: Event<'a>,
    source: Endpoint<'a>,
    destination: Endpoint<'a>,
    network: Network<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns: Option<Dns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Url>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Http>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<UserAgent>,
    bordertap: Own<'a>,
}

#[derive(Serialize)]
struct Event<'a> {
    kind: &'static str,
    category: [&'static str; 1],
    dataset: &'static str,
    start: &'a str,
    end: String,
}

#[derive(Serialize)]
struct Endpoint<'a> {
    ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    bytes: u64,
    packets: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    geo: Option<Geo<'a>>,
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    as_: Option<As<'a>>,
}

#[derive(Serialize)]
struct Geo<'a> {
    country_iso_code: &'a str,
}

#[derive(Serialize)]
struct As<'a> {
    number: u32,
    organization: Organization<'a>,
}

#[derive(Serialize)]
struct Organization<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Network<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    transport: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iana_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'a str>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    community_id: Option<String>,
    bytes: u64,
    packets: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<Vlan>,
}

#[derive(Serialize)]
struct Vlan {
    id: String,
}

#[derive(Serialize)]
struct Tls {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cipher: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_protocol: Option<String>,
    client: TlsClient,
    server: TlsServer,
}

#[derive(Serialize)]
struct TlsClient {
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja3: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja4: Option<String>,
}

#[derive(Serialize)]
struct TlsServer {
    #[serde(skip_serializing_if = "Option::is_none")]
    ja3s: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<Hash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x509: Option<X509>,
}

#[derive(Serialize)]
struct Hash {
    sha256: String,
}

#[derive(Serialize)]
struct X509 {
    alternative_names: Vec<String>,
}

#[derive(Serialize)]
struct Dns {
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<Question>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resolved_ip: Vec<String>,
}

#[derive(Serialize)]
struct Question {
    name: String,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
}

#[derive(Serialize)]
struct Url {
    domain: String,
}

#[derive(Serialize)]
struct Http {
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Request>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Response>,
}

#[derive(Serialize)]
struct Request {
    method: String,
}

#[derive(Serialize)]
struct Response {
    headers: Headers,
}

#[derive(Serialize)]
struct Headers {
    server: String,
}

#[derive(Serialize)]
struct UserAgent {
    original: String,
}

#[derive(Serialize)]
struct Own<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    facts: Vec<FactJson>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    verdicts: &'a [Verdict<'a>],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tunnel: Vec<&'static str>,
    flags: Vec<&'static str>,
    #[serde(skip_serializing_if = "is_zero")]
    missing_bytes: u64,
    packet: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    payload: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    data: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    learnt: Vec<FactJson>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// One fact of a flow record.
#[derive(Serialize)]
struct FactJson {
    field: &'static str,
    value: FactValue,
    side: &'static str,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(untagged)]
enum FactValue {
    Number(u64),
    Text(String),
}

/// One record as a line of JSON.
pub fn line(record: &FlowRecord, learnt: &Learnt<'_>) -> Vec<u8> {
    let start = record.first.to_string();
    let mut source = endpoint(record, Side::Source);
    let mut destination = endpoint(record, Side::Destination);
    source.domain = None;
    destination.domain = learnt.domain.map(str::to_owned);
    let country = learnt.country.map(|country| country.to_string());
    destination.geo = country.as_deref().map(|country_iso_code| Geo { country_iso_code });
    destination.as_ = learnt.asn.map(|(number, name)| As { number, organization: Organization { name } });
    let verdicts = learnt.verdicts.iter().map(|v| Verdict {
        id: v.id,
        vendor: v.vendor,
        product: v.product,
        function: v.function,
        confidence: v.confidence,
        matched: format!("{}:{}", v.file, v.line),
    });
    let verdicts: Vec<_> = verdicts.collect();
    let json = FlowJson {
        timestamp: &start,
        event: Event {
            kind: "event",
            category: ["network"],
            dataset: "bordertap.flow",
            start: &start,
            end: record.last.to_string(),
        },
        source,
        destination,
        network: network(record),
        tls: tls_object(record),
        dns: dns_object(record),
        url: first(record, &http::HOST).map(|domain| Url { domain }),
        http: http_object(record),
        user_agent: first(record, &http::USER_AGENT).map(|original| UserAgent { original }),
        bordertap: Own {
            facts: facts(record),
            verdicts: &verdicts,
            tunnel: record.tunnels.names().collect(),
            flags: record.facts.flags.names().collect(),
            missing_bytes: record.missing.iter().sum(),
            packet: record.number,
            payload: sides(record.payload),
            data: sides(record.more),
            learnt: learnt_facts(record),
        },
    };
    let mut out = serde_json::to_vec(&json).unwrap();
    out.push(b'\n');
    out
}

fn has_ports(number: u8) -> bool {
    matches!(number, protocol::TCP | protocol::UDP | protocol::SCTP)
}

fn endpoint<'a>(record: &FlowRecord, side: Side) -> Endpoint<'a> {
    let (ip, port) = record.endpoint(side);
    Endpoint {
        ip: ip.to_string(),
        port: has_ports(record.key.protocol()).then_some(port),
        mac: record.macs.map(|macs| value::mac(&macs[side.index()])),
        bytes: record.bytes[side.index()],
        packets: record.packets[side.index()],
        domain: None,
        geo: None,
        as_: None,
    }
}

fn network(record: &FlowRecord) -> Network<'_> {
    let is_frame = record.key.is_frame();
    Network {
        transport: (!is_frame).then(|| record.transport()),
        iana_number: (!is_frame && record.transport() == "ip").then(|| record.key.protocol().to_string()),
        protocol: record.protocol,
        kind: match record.key.version() {
            4 => "ipv4",
            6 => "ipv6",
            _ => "ethernet",
        },
        community_id: (!is_frame).then(|| String::from_utf8(community_id::of(&record.key).to_vec()).unwrap()),
        bytes: record.bytes.iter().sum(),
        packets: record.packets.iter().sum(),
        vlan: record.vlan.map(|id| Vlan { id: id.to_string() }),
    }
}

/// The first value of a field as text.
fn first(record: &FlowRecord, field: &'static Field) -> Option<String> {
    record.facts.first(field).map(|fact| value::text(&fact))
}

/// The first value of a field that this side sent.
fn first_of(record: &FlowRecord, field: &'static Field, side: Side) -> Option<String> {
    record
        .facts
        .iter()
        .filter(|f| f.field == field && f.side == side)
        .min_by_key(|f| (f.seen, f.value.to_vec()))
        .map(|fact| value::text(&fact))
}

fn tls_object(record: &FlowRecord) -> Option<Tls> {
    let facts = &record.facts;
    if !tls::PROTOCOL.fields.iter().any(|field| facts.has(field)) && !facts.has(&quic::SNI) {
        return None;
    }
    // The side with the ServerHello is the TLS server, whoever opened the flow.
    let server = facts.first(&tls::JA3S).map_or(Side::Destination, |f| f.side);
    let version = facts.first(&tls::VERSION).map(|f| value::number(f.value) as u16);
    let names: Vec<String> =
        facts.iter().filter(|f| *f.field == tls::X509_SAN && f.side == server).map(|f| value::text(&f)).collect();
    Some(Tls {
        version: version.map(version_text),
        version_protocol: version.map(|v| match v {
            0x0100 | 0xfe00..=0xfeff => "dtls",
            0..0x0301 => "ssl",
            _ => "tls",
        }),
        cipher: facts.first(&tls::CIPHER).map(|f| cipher_text(value::number(f.value) as u16)),
        next_protocol: first_of(record, &tls::ALPN, server),
        client: TlsClient {
            server_name: first(record, &tls::SNI).or_else(|| first(record, &quic::SNI)),
            ja3: first(record, &tls::JA3),
            ja4: first(record, &tls::JA4),
        },
        server: TlsServer {
            ja3s: first(record, &tls::JA3S),
            subject: first_of(record, &tls::X509_SUBJECT, server),
            issuer: first_of(record, &tls::X509_ISSUER, server),
            hash: first_of(record, &tls::X509_SHA256, server).map(|sha256| Hash { sha256 }),
            x509: (!names.is_empty()).then_some(X509 { alternative_names: names }),
        },
    })
}

/// `1.2` for 0x0303.
fn version_text(version: u16) -> String {
    match version {
        0x0002 => "2.0".to_owned(),
        0x0300 => "3.0".to_owned(),
        0x0301..=0x0304 => format!("1.{}", version - 0x0301),
        0xfeff => "1.0".to_owned(),
        0xfefd => "1.2".to_owned(),
        0xfefc => "1.3".to_owned(),
        other => format!("0x{other:04x}"),
    }
}

/// The IANA name of a cipher suite.
fn cipher_text(cipher: u16) -> String {
    tls_parser::TlsCipherSuite::from_id(cipher).map_or_else(|| format!("0x{cipher:04x}"), |suite| suite.name.to_owned())
}

fn dns_object(record: &FlowRecord) -> Option<Dns> {
    let question = first(record, &dns::QNAME).map(|name| Question {
        name,
        kind: record.facts.first(&dns::QTYPE).map(|f| qtype_text(value::number(f.value))),
    });
    let mut resolved: Vec<_> =
        record.facts.iter().filter(|f| *f.field == dns::ANSWER).filter_map(|f| value::address(f.value)).collect();
    resolved.sort();
    resolved.dedup();
    if question.is_none() && resolved.is_empty() {
        return None;
    }
    Some(Dns { question, resolved_ip: resolved.iter().map(ToString::to_string).collect() })
}

/// The IANA mnemonic of a DNS type.
fn qtype_text(number: u64) -> String {
    let name = match number {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        35 => "NAPTR",
        43 => "DS",
        44 => "SSHFP",
        48 => "DNSKEY",
        52 => "TLSA",
        64 => "SVCB",
        65 => "HTTPS",
        252 => "AXFR",
        255 => "ANY",
        257 => "CAA",
        other => return format!("TYPE{other}"),
    };
    name.to_owned()
}

fn http_object(record: &FlowRecord) -> Option<Http> {
    let request = first(record, &http::METHOD).map(|method| Request { method });
    let response = first(record, &http::SERVER).map(|server| Response { headers: Headers { server } });
    (request.is_some() || response.is_some()).then_some(Http { request, response })
}

fn sides(sent: [bool; 2]) -> Vec<&'static str> {
    ["source", "destination"].into_iter().zip(sent).filter(|(_, sent)| *sent).map(|(name, _)| name).collect()
}

fn learnt_facts(record: &FlowRecord) -> Vec<FactJson> {
    let internal = record.facts.iter().filter(|fact| fact.field.is_internal());
    let mut all: Vec<FactJson> = internal
        .map(|f| FactJson { field: f.field.name, value: FactValue::Text(value::hex(f.value)), side: f.side.name() })
        .collect();
    all.sort_by(|a, b| (a.field, &a.value, b.side).cmp(&(b.field, &b.value, a.side)));
    all
}

fn facts(record: &FlowRecord) -> Vec<FactJson> {
    let mut all: Vec<FactJson> = record
        .facts
        .iter()
        .filter(|f| !f.field.is_internal())
        .map(|f| FactJson {
            field: f.field.name,
            value: match f.field.kind {
                Kind::Number => FactValue::Number(value::number(f.value)),
                _ => FactValue::Text(value::text(&f)),
            },
            side: f.side.name(),
        })
        .collect();
    // A name that cannot be printed as it stood also shows its bytes.
    let odd = record.facts.iter().filter(|f| f.field.kind == Kind::Name && !value::is_plain(f.value));
    all.extend(odd.map(|f| FactJson {
        field: f.field.name,
        value: FactValue::Text(format!("hex:{}", value::hex(f.value))),
        side: f.side.name(),
    }));
    all.sort_by(|a, b| (a.field, &a.value, a.side).cmp(&(b.field, &b.value, b.side)));
    all
}
