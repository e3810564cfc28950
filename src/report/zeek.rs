//! Flows as logs of Zeek: `conn.log`, `ssl.log`, `dns.log`, `http.log`, tab-separated.
//!
//! In: flows. Out: for each a line of `conn.log`, and lines of the others where there is something to say, tied together by
//! `uid`. The columns are those of Zeek, in its order; what bordertap does not look at (the bytes of payload, the history of
//! flags, …) is unset, `-`. Behind them stand columns that well-known packages add: `community_id`, hardware addresses,
//! `vlan`, `ja3`, `ja3s`, `ja4`. Frames that carry no IP are in none, as in Zeek.
//! Source: scripts/base/protocols/{conn,ssl,dns,http}/main.zeek and src/logging/writers/ascii of zeek/zeek.

mod row;

use std::io::{self, Write};

use super::flow::{Flow, objects};
use super::{Lines, Sink, words};
use crate::fact::{Flag, Seen, Side, append, value};
use crate::flow::community_id;
use crate::flow::key::protocol;
use crate::parse::{dns, http, quic, tls};
use crate::policy::{Location, Policy};
use crate::time::Time;
use row::Row;

/// The logs, in the order in which [`Logs::new`] takes their writers.
pub const LOGS: [&str; 4] = ["conn.log", "ssl.log", "dns.log", "http.log"];

/// Name and type of a column.
type Column = (&'static str, &'static str);

/// What every log begins with.
const HEAD: &[Column] = &[
    ("ts", "time"),
    ("uid", "string"),
    ("id.orig_h", "addr"),
    ("id.orig_p", "port"),
    ("id.resp_h", "addr"),
    ("id.resp_p", "port"),
];

const CONN: &[Column] = &[
    ("proto", "enum"),
    ("service", "string"),
    ("duration", "interval"),
    ("orig_bytes", "count"),
    ("resp_bytes", "count"),
    ("conn_state", "string"),
    ("local_orig", "bool"),
    ("local_resp", "bool"),
    ("missed_bytes", "count"),
    ("history", "string"),
    ("orig_pkts", "count"),
    ("orig_ip_bytes", "count"),
    ("resp_pkts", "count"),
    ("resp_ip_bytes", "count"),
    ("tunnel_parents", "set[string]"),
    ("ip_proto", "count"),
    ("community_id", "string"),
    ("orig_l2_addr", "string"),
    ("resp_l2_addr", "string"),
    ("vlan", "int"),
];

const SSL: &[Column] = &[
    ("version", "string"),
    ("cipher", "string"),
    ("curve", "string"),
    ("server_name", "string"),
    ("resumed", "bool"),
    ("last_alert", "string"),
    ("next_protocol", "string"),
    ("established", "bool"),
    ("ssl_history", "string"),
    ("cert_chain_fps", "vector[string]"),
    ("client_cert_chain_fps", "vector[string]"),
    ("subject", "string"),
    ("issuer", "string"),
    ("ja3", "string"),
    ("ja3s", "string"),
    ("ja4", "string"),
];

const DNS: &[Column] = &[
    ("proto", "enum"),
    ("trans_id", "count"),
    ("rtt", "interval"),
    ("query", "string"),
    ("qclass", "count"),
    ("qclass_name", "string"),
    ("qtype", "count"),
    ("qtype_name", "string"),
    ("rcode", "count"),
    ("rcode_name", "string"),
    ("AA", "bool"),
    ("TC", "bool"),
    ("RD", "bool"),
    ("RA", "bool"),
    ("Z", "count"),
    ("answers", "vector[string]"),
    ("TTLs", "vector[interval]"),
    ("rejected", "bool"),
];

const HTTP: &[Column] = &[
    ("trans_depth", "count"),
    ("method", "string"),
    ("host", "string"),
    ("uri", "string"),
    ("referrer", "string"),
    ("version", "string"),
    ("user_agent", "string"),
    ("origin", "string"),
    ("request_body_len", "count"),
    ("response_body_len", "count"),
    ("status_code", "count"),
    ("status_msg", "string"),
    ("info_code", "count"),
    ("info_msg", "string"),
    ("tags", "set[enum]"),
    ("username", "string"),
    ("password", "string"),
    ("proxied", "set[string]"),
    ("orig_fuids", "vector[string]"),
    ("orig_filenames", "vector[string]"),
    ("orig_mime_types", "vector[string]"),
    ("resp_fuids", "vector[string]"),
    ("resp_filenames", "vector[string]"),
    ("resp_mime_types", "vector[string]"),
];

/// Microseconds in one second.
const MICROS: u64 = 1_000_000;
/// Characters of a uid behind its first: 17 of 62 are what Zeek has of 96 bits.
const UID_CHARACTERS: usize = 17;

/// The four logs.
pub struct Logs<'a, W> {
    logs: [Lines<W>; 4],
    policy: &'a Policy,
    closed: Option<Time>,
}

impl<'a, W: Write> Logs<'a, W> {
    /// Begins logs in the order of [`LOGS`]. `span` are the times of the first and the last packet; the policy tells whose
    /// addresses are local.
    pub fn new(outs: [W; 4], policy: &'a Policy, span: Option<(Time, Time)>) -> Logs<'a, W> {
        let mut logs = outs.map(Lines::new);
        let columns = [CONN, SSL, DNS, HTTP];
        for ((log, name), columns) in logs.iter_mut().zip(LOGS).zip(columns) {
            row::header(log.end(), name.trim_end_matches(".log"), span.map(|span| span.0), HEAD, columns);
        }
        Logs { logs, policy, closed: span.map(|span| span.1) }
    }
}

impl<W: Write> Sink for Logs<'_, W> {
    fn flow(&mut self, flow: &Flow<'_>) -> io::Result<()> {
        if flow.record.key.is_frame() {
            return Ok(());
        }
        let [conn, ssl, dns, http] = &mut self.logs;
        connection(flow, self.policy, conn.end());
        handshake(flow, ssl.end());
        questions(flow, dns.end());
        request(flow, http.end());
        self.logs.iter_mut().try_for_each(Lines::pass_on)
    }

    fn end(&mut self) -> io::Result<()> {
        for log in &mut self.logs {
            row::footer(log.end(), self.closed);
            log.finish()?;
        }
        Ok(())
    }
}

/// The name of a flow in all logs.
fn uid(flow: &Flow<'_>) -> [u8; UID_CHARACTERS + 1] {
    const CHARACTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number = flow.digest().iter().take(16).fold(0u128, |number, byte| number << 8 | u128::from(*byte));
    let mut uid = [b'C'; UID_CHARACTERS + 1];
    for place in &mut uid[1..] {
        *place = CHARACTERS[(number % 62) as usize];
        number /= 62;
    }
    uid
}

/// What every line begins with.
fn head<'a>(flow: &Flow<'_>, time: Time, out: &'a mut Vec<u8>) -> Row<'a> {
    let mut row = Row::new(out);
    row.time(time);
    row.plain(&uid(flow));
    for side in [Side::Source, Side::Destination] {
        let (ip, port) = flow.record.endpoint(side);
        row.address(ip);
        row.number(u64::from(port));
    }
    row
}

fn connection(flow: &Flow<'_>, policy: &Policy, out: &mut Vec<u8>) {
    let record = flow.record;
    let mut row = head(flow, record.first, out);
    row.plain(transport(flow).as_bytes());
    row.optional(service(flow).as_deref(), |row, service| row.plain(service.as_bytes()));
    row.interval(record.last.since(record.first));
    row.unset(2);
    row.optional(state(flow), |row, state| row.plain(state.as_bytes()));
    for side in [Side::Source, Side::Destination] {
        row.bool(policy.side_of(record.address(side)) == Location::Inside);
    }
    row.number(record.missing.iter().sum());
    row.unset(1);
    for side in 0..2 {
        row.number(record.packets[side]);
        row.number(record.bytes[side]);
    }
    row.unset(1);
    row.number(u64::from(record.key.protocol()));
    row.plain(&community_id::of(&record.key));
    for side in 0..2 {
        row.optional(record.macs, |row, macs| row.plain(value::mac(&macs[side]).as_bytes()));
    }
    row.optional(record.vlan, |row, id| row.number(u64::from(id)));
    row.end();
}

/// A word of Zeek's `transport_proto`.
fn transport(flow: &Flow<'_>) -> &'static str {
    match flow.record.key.protocol() {
        protocol::TCP => "tcp",
        protocol::UDP => "udp",
        protocol::ICMP | protocol::ICMP6 => "icmp",
        _ => "unknown_transport",
    }
}

/// The protocol in Zeek's words.
fn service(flow: &Flow<'_>) -> Option<String> {
    let service = match flow.record.protocol? {
        "tls" => "ssl",
        "quic" if flow.known.is_tls => "quic,ssl",
        "ike" => "isakmp",
        other => other,
    };
    Some(service.replace('-', "_"))
}

/// What is known of Zeek's state: flags of TCP are not kept, so of that no more than that nobody answered.
fn state(flow: &Flow<'_>) -> Option<&'static str> {
    let record = flow.record;
    let [source, destination] = record.packets.map(|packets| packets > 0);
    match record.key.protocol() {
        protocol::UDP if source && destination => Some("SF"),
        protocol::UDP if source => Some("S0"),
        protocol::UDP => Some("SHR"),
        protocol::TCP if record.facts.flags.has(Flag::Midstream) => Some("OTH"),
        protocol::TCP if !destination && !record.payload[0] => Some("S0"),
        protocol::TCP => None,
        _ => Some("OTH"),
    }
}

fn handshake(flow: &Flow<'_>, out: &mut Vec<u8>) {
    let known = &flow.known;
    let Some(first) = words::first_tls(flow).filter(|_| known.is_tls) else { return };
    // The side with the ServerHello is the TLS server, whoever opened the flow.
    let server = known.first(&tls::JA3S).map_or(Side::Destination, |fact| fact.side);
    let mut row = head(flow, first.time, out);
    row.optional(known.first(&tls::VERSION), |row, fact| row.text(version(value::number(fact.value)).as_bytes()));
    row.optional(known.first(&tls::CIPHER), |row, fact| {
        let mut cipher = Vec::new();
        objects::cipher_text(value::number(fact.value) as u16, &mut cipher);
        row.text(&cipher);
    });
    row.unset(1);
    row.fact(known.first(&tls::SNI).or_else(|| known.first(&quic::SNI)));
    row.unset(2);
    row.fact(known.first_of(&tls::ALPN, server));
    row.unset(2);
    for side in [server, server.other()] {
        row.fact(known.first_of(&tls::X509_SHA256, side));
    }
    row.fact(known.first_of(&tls::X509_SUBJECT, server));
    row.fact(known.first_of(&tls::X509_ISSUER, server));
    for field in [&tls::JA3, &tls::JA3S, &tls::JA4] {
        row.fact(known.first(field));
    }
    row.end();
}

/// The version in Zeek's words (`version_strings` of scripts/base/protocols/ssl/consts.zeek).
fn version(number: u64) -> String {
    match number {
        0x0002 => "SSLv2".to_owned(),
        0x0300 => "SSLv3".to_owned(),
        0x0301..=0x0304 => format!("TLSv1{}", number - 0x0301),
        0xfeff => "DTLSv10".to_owned(),
        0xfefc | 0xfefd => format!("DTLSv1{}", 2 + 0xfefd - number),
        other => format!("unknown-{other}"),
    }
}

/// A line for each name that was asked for.
fn questions(flow: &Flow<'_>, out: &mut Vec<u8>) {
    let questions = words::questions(flow);
    let is_only = questions.len() == 1;
    let [qtype, rcode] = [&dns::QTYPE, &dns::RCODE].map(|field| words::only(flow, field));
    for question in &questions {
        let mut row = head(flow, question.seen.time, out);
        row.plain(transport(flow).as_bytes());
        row.unset(2);
        row.fact(Some(question));
        row.unset(2);
        row.optional(qtype, Row::number);
        row.optional(qtype.and_then(words::qtype), |row, name| row.plain(name.as_bytes()));
        // A code that may be that of another question is nobody's.
        let rcode = rcode.filter(|_| is_only);
        row.optional(rcode, Row::number);
        row.optional(rcode.and_then(words::rcode), |row, name| row.plain(name.as_bytes()));
        row.unset(5);
        row.list(&answers(flow, question.value, is_only));
        row.unset(2);
        row.end();
    }
}

/// What answers said of a name: of the only one everything.
fn answers(flow: &Flow<'_>, name: &[u8], is_only: bool) -> Vec<Vec<u8>> {
    if is_only {
        let aliases = words::aliases(flow).into_iter().map(|fact| fact.value.to_vec());
        return aliases.chain(words::answers(flow).into_iter().map(|ip| ip.to_string().into_bytes())).collect();
    }
    let told = flow.known.of(&dns::RESOLVED).filter_map(|fact| dns::unpack_resolved(fact.value));
    let mut told: Vec<_> = told.filter(|(_, of)| of.eq_ignore_ascii_case(name)).map(|(ip, _)| ip).collect();
    told.sort_unstable();
    told.dedup();
    told.into_iter().map(|ip| ip.to_string().into_bytes()).collect()
}

/// The first request of a flow.
fn request(flow: &Flow<'_>, out: &mut Vec<u8>) {
    let known = &flow.known;
    let told = [&http::METHOD, &http::STATUS].into_iter().filter_map(|field| known.first(field));
    let Some(first) = told.map(|fact| fact.seen).min() else { return };
    let Seen { time, .. } = first;
    let mut row = head(flow, time, out);
    row.number(1);
    for field in [&http::METHOD, &http::HOST, &http::PATH] {
        row.fact(known.first(field));
    }
    row.unset(2);
    row.fact(known.first(&http::USER_AGENT));
    row.unset(3);
    row.fact(known.first(&http::STATUS));
    row.unset(13);
    row.end();
}

/// Seconds with six digits behind the point.
fn seconds(nanos: i64, out: &mut Vec<u8>) {
    let micros = nanos / 1000;
    if micros < 0 {
        out.push(b'-');
    }
    let micros = micros.unsigned_abs();
    append::decimal(micros / MICROS, out);
    // A one before the six digits keeps their zeros; the point takes its place.
    let point = out.len();
    append::decimal(MICROS + micros % MICROS, out);
    out[point] = b'.';
}
