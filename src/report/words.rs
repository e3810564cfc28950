//! What several formats say in the same words: the ends of a finding, its name in one line, names of numbers.
//!
//! In: findings as they are, facts of flows. Out: text and times.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::flow::Flow;
use crate::fact::{Fact, Seen, value};
use crate::parse::{dns, quic, tls};
use crate::record::{CountryBytes, Direction, Evidence, Finding};
use crate::time::Time;

/// Who opened the flows of a finding, and with whom; the addresses beyond the first are in the finding.
pub struct Ends<'a> {
    /// Who opened them.
    pub source: End<'a>,
    /// Who was asked.
    pub destination: End<'a>,
    /// Bytes from source to destination.
    pub bytes_to_destination: u64,
    /// Bytes from destination to source.
    pub bytes_to_source: u64,
}

/// One end of a finding.
#[derive(Clone, Copy)]
pub struct End<'a> {
    /// Its address; the first when there are several.
    pub ip: Option<&'a str>,
    /// Its name.
    pub name: Option<&'a str>,
}

impl<'a> Ends<'a> {
    /// The ends of a finding.
    pub fn of(finding: &'a Finding) -> Ends<'a> {
        let asset = End { ip: Some(&finding.asset.ip), name: None };
        let outside =
            End { ip: finding.destination.ip.first().map(String::as_str), name: finding.destination.domain.as_deref() };
        let (source, destination, bytes_to_destination, bytes_to_source) = match finding.direction {
            Direction::Outbound => (asset, outside, finding.bytes_out, finding.bytes_in),
            Direction::Inbound => (outside, asset, finding.bytes_in, finding.bytes_out),
        };
        Ends { source, destination, bytes_to_destination, bytes_to_source }
    }
}

/// The finding in one line: `Fortinet FortiGate: reputation-lookup to US, observed`.
pub fn title(finding: &Finding) -> String {
    let Finding { asset, channel, destination, crossing, .. } = finding;
    let place = destination.country.as_deref().unwrap_or("an unknown country");
    let way = if finding.direction == Direction::Inbound { "from" } else { "to" };
    let attempted = if finding.attempted_only { ", attempted only" } else { "" };
    format!(
        "{}: {} {way} {place}, {}{attempted}",
        product(&asset.vendor, &asset.product),
        channel.function,
        crossing.name()
    )
}

/// Maker and product, the maker once.
pub fn product(vendor: &str, product: &str) -> String {
    if product.starts_with(vendor) { product.to_owned() } else { format!("{vendor} {product}") }
}

/// Whether a name is one that hosts have (RFC 1123, section 2.1; underscores are seen in the field).
pub fn is_host_name(name: &str) -> bool {
    const NAME_BYTES_MAX: usize = 253;
    const LABEL_BYTES_MAX: usize = 63;
    let is_label = |label: &str| {
        let fits = (1..=LABEL_BYTES_MAX).contains(&label.len());
        fits && !label.starts_with('-') && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= NAME_BYTES_MAX && name.split('.').all(is_label)
}

/// `2026-11: 5 out, 7 in`, by month or country.
pub fn volumes(volumes: &BTreeMap<String, CountryBytes>) -> Vec<String> {
    volumes.iter().map(|(key, bytes)| format!("{key}: {} out, {} in", bytes.bytes_out, bytes.bytes_in)).collect()
}

/// `tls.sni name.example (fortinet.device)`.
pub fn evidence(evidence: &[Evidence]) -> Vec<String> {
    evidence.iter().map(|e| format!("{} {} ({})", e.field, e.value, e.signature)).collect()
}

/// A time of a report.
pub fn time(text: &str) -> Time {
    Time::parse(text).unwrap_or_default()
}

/// Milliseconds since 1970.
pub fn millis(text: &str) -> i64 {
    time(text).0.div_euclid(1_000_000)
}

/// The IANA mnemonic of a DNS type.
pub fn qtype(number: u64) -> Option<&'static str> {
    Some(match number {
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
        _ => return None,
    })
}

/// The IANA mnemonic of a DNS response code.
pub fn rcode(number: u64) -> Option<&'static str> {
    Some(match number {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        _ => return None,
    })
}

/// When TLS was seen first in a flow.
pub fn first_tls(flow: &Flow<'_>) -> Option<Seen> {
    let fields = [&tls::SNI, &quic::SNI, &tls::JA3, &tls::JA4, &tls::JA3S, &tls::VERSION, &tls::X509_SUBJECT];
    fields.into_iter().filter_map(|field| flow.known.first(field)).map(|fact| fact.seen).min()
}

/// The only value of a numeric field; none when there are several.
pub fn only(flow: &Flow<'_>, field: &'static crate::fact::Field) -> Option<u64> {
    let mut values = flow.known.of(field).map(|fact| value::number(fact.value));
    let first = values.next()?;
    values.all(|other| other == first).then_some(first)
}

/// The questions of a flow, the first one first.
pub fn questions<'a, 'b>(flow: &'b Flow<'a>) -> Vec<&'b Fact<'a>> {
    let mut questions: Vec<_> = flow.known.of(&dns::QNAME).collect();
    questions.sort_unstable_by_key(|fact| (fact.seen, fact.value, fact.side));
    questions.dedup_by_key(|fact| fact.value);
    questions
}

/// The addresses that answers of a flow gave, sorted.
pub fn answers(flow: &Flow<'_>) -> Vec<IpAddr> {
    let mut answers: Vec<_> = flow.known.of(&dns::ANSWER).filter_map(|fact| value::address(fact.value)).collect();
    answers.sort_unstable();
    answers.dedup();
    answers
}

/// The names that answers of a flow led on to, sorted.
pub fn aliases<'a, 'b>(flow: &'b Flow<'a>) -> Vec<&'b Fact<'a>> {
    let mut aliases: Vec<_> = flow.known.of(&dns::CNAME).collect();
    aliases.sort_unstable_by_key(|fact| fact.value);
    aliases.dedup_by_key(|fact| fact.value);
    aliases
}
