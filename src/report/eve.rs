//! Flows and findings as EVE, Suricata's JSON lines.
//!
//! In: flows, findings. Out: an event `flow` for each flow and events `tls`, `dns` and `http` where there is something to
//! say, tied together by `flow_id` and `community_id`; an event `alert` for each finding, so that what takes alerts of
//! Suricata in takes findings in. Keys are those of Suricata 8 (DNS in its version 3); what it has no key for is in
//! `bordertap`. Byte counts are IP bytes. Frames that carry no IP are in none.
//! Source: doc/userguide/output/eve and etc/schema.json of OISF/suricata.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::flow::{Flow, json, objects};
use super::{Change, Lines, Sink, words};
use crate::fact::{Fact, Seen, Side, append, value};
use crate::flow::community_id;
use crate::flow::key::protocol;
use crate::parse::{dns, http, quic, tls};
use crate::record::Finding;
use crate::time::{Rfc3339, SECOND, Time};

/// Bits of a flow id: as many as every reader of JSON keeps, and as Suricata uses.
const FLOW_ID_BITS: u32 = 51;
/// Bytes of RFC 3339 up to the microseconds.
const MICROS_END: usize = 26;
/// Who gave the numbers of signatures, so that they are not taken for those of rules (whose generator is 1).
const GENERATOR: u32 = 7_355;

/// Writes flows as events.
pub struct Events<W> {
    lines: Lines<W>,
    times: Rfc3339,
}

impl<W: Write> Events<W> {
    /// Events for a writer; what is handed to it at once are whole lines.
    pub fn new(out: W) -> Events<W> {
        Events { lines: Lines::new(out), times: Rfc3339::default() }
    }
}

impl<W: Write> Sink for Events<W> {
    fn flow(&mut self, flow: &Flow<'_>) -> io::Result<()> {
        if flow.record.key.is_frame() {
            return Ok(());
        }
        let mut event = Event { flow, times: &mut self.times, out: self.lines.end() };
        event.flow();
        event.tls();
        event.dns();
        event.http();
        self.lines.pass_on()
    }

    fn end(&mut self) -> io::Result<()> {
        self.lines.finish()
    }
}

/// Events of one flow.
struct Event<'a, 'b> {
    flow: &'a Flow<'b>,
    times: &'a mut Rfc3339,
    out: &'a mut Vec<u8>,
}

impl Event<'_, '_> {
    /// What every event begins with: everything but its own object.
    fn begin(&mut self, kind: &str, seen: Seen) {
        let record = self.flow.record;
        let out = &mut *self.out;
        json::raw(out, "{\"timestamp\":");
        time(self.times, seen.time, out);
        json::number(out, ",\"flow_id\":", flow_id(self.flow));
        json::number(out, "\"pcap_cnt\":", seen.packet);
        json::text(out, "\"event_type\":", kind);
        if let Some(id) = record.vlan {
            json::number(out, "\"vlan\":[", u64::from(id));
            json::close(out, b']');
            out.push(b',');
        }
        for (side, ip_key, port_key) in
            [(Side::Source, "\"src_ip\":\"", "\"src_port\":"), (Side::Destination, "\"dest_ip\":\"", "\"dest_port\":")]
        {
            let (ip, port) = record.endpoint(side);
            json::raw(out, ip_key);
            append::address(ip, out);
            json::raw(out, "\",");
            if matches!(record.key.protocol(), protocol::TCP | protocol::UDP | protocol::SCTP) {
                json::number(out, port_key, u64::from(port));
            }
        }
        json::text(out, "\"proto\":", &proto(record.key.protocol()));
        json::number(out, "\"ip_v\":", u64::from(record.key.version()));
        json::raw(out, "\"community_id\":\"");
        out.extend_from_slice(&community_id::of(&record.key));
        json::raw(out, "\",");
    }

    /// Ends an object of the event, and the event.
    fn end(&mut self) {
        json::close(self.out, b'}');
        json::raw(self.out, "}\n");
    }

    fn flow(&mut self) {
        let Flow { record, learnt, .. } = self.flow;
        self.begin("flow", Seen { time: record.last, packet: record.number });
        let out = &mut *self.out;
        if let Some(protocol) = record.protocol {
            json::text(out, "\"app_proto\":", protocol);
        }
        if let Some([source, destination]) = &record.macs {
            for (before, mac) in [("\"ether\":{\"src_macs\":[\"", source), ("\"dest_macs\":[\"", destination)] {
                json::raw(out, before);
                append::mac(mac, out);
                json::raw(out, "\"],");
            }
            json::close(out, b'}');
            out.push(b',');
        }
        json::number(out, "\"flow\":{\"pkts_toserver\":", record.packets[0]);
        json::number(out, "\"pkts_toclient\":", record.packets[1]);
        json::number(out, "\"bytes_toserver\":", record.bytes[0]);
        json::number(out, "\"bytes_toclient\":", record.bytes[1]);
        json::raw(out, "\"start\":");
        time(self.times, record.first, out);
        json::raw(out, ",\"end\":");
        time(self.times, record.last, out);
        json::number(out, ",\"age\":", (record.last.since(record.first).max(0) / SECOND) as u64);
        json::close(out, b'}');
        json::raw(out, ",\"bordertap\":{");
        if let Some(domain) = learnt.domain {
            json::text(out, "\"domain\":", domain);
        }
        if let Some(country) = learnt.country {
            json::text(out, "\"country\":", &country.to_string());
        }
        if let Some((number, name)) = learnt.asn {
            json::number(out, "\"as_number\":", u64::from(number));
            json::text(out, "\"as_organization\":", name);
        }
        list(out, "\"signatures\":[", learnt.verdicts.iter(), |out, verdict| json::text(out, "", verdict.id));
        list(out, "\"flags\":[", record.facts.flags.names(), |out, name| json::text(out, "", name));
        self.end();
    }

    fn tls(&mut self) {
        let known = &self.flow.known;
        let Some(first) = words::first_tls(self.flow).filter(|_| known.is_tls) else { return };
        let server = known.first(&tls::JA3S).map_or(Side::Destination, |fact| fact.side);
        self.begin("tls", first);
        let out = &mut *self.out;
        json::raw(out, "\"tls\":{");
        optional(out, "\"subject\":", known.first_of(&tls::X509_SUBJECT, server));
        optional(out, "\"issuerdn\":", known.first_of(&tls::X509_ISSUER, server));
        list(out, "\"subjectaltname\":[", known.of(&tls::X509_SAN).filter(|fact| fact.side == server), |out, name| {
            optional(out, "", Some(name));
        });
        optional(out, "\"sni\":", known.first(&tls::SNI).or_else(|| known.first(&quic::SNI)));
        if let Some(fact) = known.first(&tls::VERSION) {
            json::text(out, "\"version\":", &version(value::number(fact.value)));
        }
        for (key, field) in [("\"ja3\":{\"hash\":", &tls::JA3), ("\"ja3s\":{\"hash\":", &tls::JA3S)] {
            if let Some(fact) = known.first(field) {
                optional(out, key, Some(fact));
                json::close(out, b'}');
                out.push(b',');
            }
        }
        optional(out, "\"ja4\":", known.first(&tls::JA4));
        for (key, side) in [("\"client_alpns\":[", server.other()), ("\"server_alpns\":[", server)] {
            list(out, key, known.of(&tls::ALPN).filter(|fact| fact.side == side), |out, name| {
                optional(out, "", Some(name));
            });
        }
        self.end();
    }

    fn dns(&mut self) {
        let questions = words::questions(self.flow);
        let Some(first) = questions.first().map(|question| question.seen) else { return };
        let [qtype, rcode] = [&dns::QTYPE, &dns::RCODE].map(|field| words::only(self.flow, field));
        let (addresses, aliases) = (words::answers(self.flow), words::aliases(self.flow));
        let answered = self.flow.known.first(&dns::RCODE).is_some() || !addresses.is_empty();
        self.begin("dns", first);
        let out = &mut *self.out;
        json::raw(out, "\"dns\":{\"version\":3,");
        json::text(out, "\"type\":", if answered { "response" } else { "request" });
        if let Some(name) = rcode.and_then(words::rcode) {
            json::text(out, "\"rcode\":", name);
        }
        list(out, "\"queries\":[", questions.iter(), |out, question| {
            json::raw(out, "{\"rrname\":");
            json::value(out, question);
            out.push(b',');
            if let Some(name) = qtype.and_then(words::qtype) {
                json::text(out, "\"rrtype\":", name);
            }
            json::close(out, b'}');
            out.push(b',');
        });
        if !addresses.is_empty() || !aliases.is_empty() {
            json::raw(out, "\"grouped\":{");
            for (key, is_v4) in [("\"A\":[", true), ("\"AAAA\":[", false)] {
                list(out, key, addresses.iter().filter(|ip| ip.is_ipv4() == is_v4), |out, ip| {
                    json::text(out, "", &ip.to_string());
                });
            }
            list(out, "\"CNAME\":[", aliases.iter(), |out, name| optional(out, "", Some(name)));
            json::close(out, b'}');
            out.push(b',');
        }
        self.end();
    }

    fn http(&mut self) {
        let known = &self.flow.known;
        let told = [&http::METHOD, &http::STATUS].into_iter().filter_map(|field| known.first(field));
        let Some(first) = told.map(|fact| fact.seen).min() else { return };
        self.begin("http", first);
        let out = &mut *self.out;
        json::raw(out, "\"http\":{");
        optional(out, "\"hostname\":", known.first(&http::HOST));
        optional(out, "\"url\":", known.first(&http::PATH));
        optional(out, "\"http_user_agent\":", known.first(&http::USER_AGENT));
        optional(out, "\"http_method\":", known.first(&http::METHOD));
        if let Some(fact) = known.first(&http::STATUS) {
            json::number(out, "\"status\":", value::number(fact.value));
        }
        self.end();
    }
}

/// `key`, the value of a fact, a comma; nothing without a fact.
fn optional(out: &mut Vec<u8>, key: &str, fact: Option<&Fact<'_>>) {
    if let Some(fact) = fact {
        json::raw(out, key);
        json::value(out, fact);
        out.push(b',');
    }
}

/// `key`, whose last is the bracket of a list, what is written of each with a comma behind it; nothing for an empty list.
fn list<T>(out: &mut Vec<u8>, key: &str, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    let mut items = items.peekable();
    if items.peek().is_none() {
        return;
    }
    json::raw(out, key);
    items.for_each(|item| write(out, item));
    json::close(out, b']');
    out.push(b',');
}

/// A time as Suricata writes it, in quotes: microseconds, and the zone without a colon.
fn time(times: &mut Rfc3339, time: Time, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(&times.text(time)[..MICROS_END]);
    json::raw(out, "+0000\"");
}

fn flow_id(flow: &Flow<'_>) -> u64 {
    let number = flow.digest().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
    number >> (u64::BITS - FLOW_ID_BITS)
}

/// The protocol as Suricata writes it: its name, or its number in three digits.
fn proto(number: u8) -> String {
    match number {
        protocol::TCP => "TCP".to_owned(),
        protocol::UDP => "UDP".to_owned(),
        protocol::ICMP => "ICMP".to_owned(),
        protocol::ICMP6 => "IPv6-ICMP".to_owned(),
        protocol::SCTP => "SCTP".to_owned(),
        47 => "GRE".to_owned(),
        50 => "ESP".to_owned(),
        other => format!("{other:03}"),
    }
}

/// `TLS 1.2` for 0x0303.
fn version(number: u64) -> String {
    match number {
        0x0002 => "SSLv2".to_owned(),
        0x0300 => "SSLv3".to_owned(),
        0x0301 => "TLSv1".to_owned(),
        0x0302..=0x0304 => format!("TLS 1.{}", number - 0x0301),
        other if objects::is_dtls(other as u16) => format!("DTLS {:#06x}", other),
        other => format!("{other:#06x}"),
    }
}

/// An event for a finding.
#[derive(Serialize)]
struct Alerted<'a> {
    timestamp: String,
    event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_ip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_ip: Option<&'a str>,
    alert: Alert,
    bordertap: About<'a>,
}

#[derive(Serialize)]
struct Alert {
    action: &'static str,
    gid: u32,
    signature_id: u32,
    rev: u64,
    signature: String,
    category: String,
    severity: u8,
    metadata: BTreeMap<&'static str, Vec<String>>,
}

/// What has no key in EVE.
#[derive(Serialize)]
struct About<'a> {
    finding: &'a str,
    status: &'static str,
    revision: u64,
    channel: &'a str,
    direction: &'static str,
    crossing: &'static str,
    attempted_only: bool,
    domain: Option<&'a str>,
    ip: &'a [String],
    country: Option<&'a str>,
    country_basis: &'a str,
    bytes_out: u64,
    bytes_in: u64,
    sessions: u64,
    first_seen: &'a str,
    last_seen: &'a str,
    why: &'a [String],
}

/// Appends a finding as an event `alert`.
pub fn alert(change: &Change<'_, Finding>, out: &mut Vec<u8>) {
    let finding = change.record;
    let ends = words::Ends::of(finding);
    let mut timestamp = Vec::new();
    time(&mut Rfc3339::default(), words::time(&finding.last_seen), &mut timestamp);
    let metadata = [
        ("affected_product", vec![words::product(&finding.asset.vendor, &finding.asset.product)]),
        ("tag", [vec![finding.crossing.name().to_owned()], finding.channel.data.clone()].concat()),
        ("signature_severity", vec![finding.severity.clone()]),
    ];
    let event = Alerted {
        timestamp: String::from_utf8_lossy(&timestamp).trim_matches('"').to_owned(),
        event_type: "alert",
        src_ip: ends.source.ip,
        dest_ip: ends.destination.ip,
        alert: Alert {
            action: "allowed",
            gid: GENERATOR,
            signature_id: signature_id(&finding.channel.id),
            rev: 1,
            signature: words::title(finding),
            category: finding.channel.function.clone(),
            severity: severity(&finding.severity),
            metadata: metadata.into(),
        },
        bordertap: About {
            finding: &finding.id,
            status: change.status.name(),
            revision: change.revision,
            channel: &finding.channel.id,
            direction: finding.direction.name(),
            crossing: finding.crossing.name(),
            attempted_only: finding.attempted_only,
            domain: finding.destination.domain.as_deref(),
            ip: &finding.destination.ip,
            country: finding.destination.country.as_deref(),
            country_basis: &finding.destination.country_basis,
            bytes_out: finding.bytes_out,
            bytes_in: finding.bytes_in,
            sessions: finding.sessions,
            first_seen: &finding.first_seen,
            last_seen: &finding.last_seen,
            why: &finding.why,
        },
    };
    // Writing to memory does not fail, and everything in it can be JSON.
    if serde_json::to_writer(&mut *out, &event).is_ok() {
        out.push(b'\n');
    }
}

/// A number for a channel that is the same in every report.
fn signature_id(channel: &str) -> u32 {
    let digest = Sha256::digest(channel);
    // Suricata's numbers are signed in some readers.
    digest.iter().take(4).fold(0, |number: u32, byte| number << 8 | u32::from(*byte)) >> 1
}

/// Suricata's severities count from 1, the most serious.
fn severity(word: &str) -> u8 {
    match word {
        "high" => 1,
        "medium" => 2,
        "low" => 3,
        _ => 4,
    }
}
