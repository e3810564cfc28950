//! Flow records as JSON objects, with the names of Elastic Common Schema where it has the field.
//!
//! In: an ended flow, the name and place that were learnt for it, its verdicts. Out: one object a line;
//! `fixtures/schema/flow.json` describes it. Written by hand: flows end by the million. The tests hold it against the
//! same record as `serde_json` writes it.

mod facts;
pub(super) mod json;
mod known;
pub(super) mod objects;
mod read;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::io::{self, Write};

use sha1::{Digest, Sha1};

use super::{Lines, Sink};
use crate::fact::{Side, append};
use crate::flow::community_id;
use crate::flow::key::protocol;
use crate::place::Country;
use crate::record::{FlowRecord, NO_WORD};
use crate::time::Rfc3339;
pub use known::Columns;
use known::Known;
pub use read::read;

/// What was learnt of a flow beside its own bytes.
#[derive(Clone, Debug, Default)]
pub struct Learnt<'a> {
    /// The best name of the destination: the flow's own, else the one that a DNS answer gave the address.
    pub domain: Option<&'a str>,
    /// Country of the destination.
    pub country: Option<Country>,
    /// Autonomous system of the destination.
    pub asn: Option<(u32, &'a str)>,
    /// Signatures that matched.
    pub verdicts: Vec<Verdict<'a>>,
}

/// A signature that matched a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// Its id.
    pub id: &'a str,
    /// Whose product.
    pub vendor: &'a str,
    /// Which product.
    pub product: &'a str,
    /// A channel's function; `identity` for an identity.
    pub function: &'a str,
    /// 0 to 100.
    pub confidence: u8,
    /// The file of the condition.
    pub file: &'a str,
    /// Its line, from 1.
    pub line: u32,
}

/// A flow, with its facts in their places and all that was learnt of it: what a [`Sink`] takes.
pub struct Flow<'a> {
    /// The flow.
    pub record: &'a FlowRecord,
    /// What other flows, signatures and databases say of it.
    pub learnt: &'a Learnt<'a>,
    pub(super) known: Known<'a>,
    columns: &'a Columns,
    digest: OnceCell<[u8; 20]>,
}

impl<'a> Flow<'a> {
    /// Sorts the facts of a record into their places.
    pub fn new(record: &'a FlowRecord, learnt: &'a Learnt<'a>, columns: &'a Columns) -> Flow<'a> {
        Flow { record, learnt, known: Known::new(record, columns), columns, digest: OnceCell::new() }
    }

    /// What tells it from every other flow of the input: a SHA-1 over Community ID, start and number of its first packet.
    pub fn digest(&self) -> &[u8; 20] {
        self.digest.get_or_init(|| {
            let mut digest = Sha1::new();
            digest.update(community_id::of(&self.record.key));
            digest.update(self.record.first.0.to_be_bytes());
            digest.update(self.record.number.to_be_bytes());
            digest.finalize().into()
        })
    }
}

/// Writes flows as lines of JSON.
pub struct JsonLines<W> {
    writer: Writer,
    lines: Lines<W>,
}

impl<W: Write> JsonLines<W> {
    /// Lines for a writer; what is handed to it at once are whole lines.
    pub fn new(out: W) -> JsonLines<W> {
        JsonLines { writer: Writer::new(), lines: Lines::new(out) }
    }
}

impl<W: Write> Sink for JsonLines<W> {
    fn flow(&mut self, flow: &Flow<'_>) -> io::Result<()> {
        self.writer.flow(flow, self.lines.end());
        self.lines.pass_on()
    }

    fn end(&mut self) -> io::Result<()> {
        self.lines.finish()
    }
}

/// Writes flow records.
pub struct Writer {
    times: Rfc3339,
    columns: Columns,
    /// Texts of values that are not printed as they stand.
    made: Vec<u8>,
}

impl Default for Writer {
    fn default() -> Writer {
        Writer::new()
    }
}

impl Writer {
    /// A writer of any number of records.
    pub fn new() -> Writer {
        Writer { times: Rfc3339::default(), columns: Columns::new(), made: Vec::new() }
    }

    /// Appends one record as a line of JSON.
    pub fn write(&mut self, record: &FlowRecord, learnt: &Learnt<'_>, out: &mut Vec<u8>) {
        let columns = std::mem::take(&mut self.columns);
        self.flow(&Flow::new(record, learnt, &columns), out);
        self.columns = columns;
    }

    /// Appends one flow as a line of JSON.
    pub fn flow(&mut self, flow: &Flow<'_>, out: &mut Vec<u8>) {
        let Flow { record, learnt, known, columns, .. } = flow;
        self.event(record, out);
        json::raw(out, "\"source\":{");
        endpoint(record, Side::Source, out);
        json::close(out, b'}');
        json::raw(out, ",\"destination\":{");
        endpoint(record, Side::Destination, out);
        place(learnt, out);
        json::close(out, b'}');
        json::raw(out, ",\"network\":{");
        network(record, out);
        objects::tls(known, out);
        objects::dns(known, out);
        objects::http(known, out);
        json::raw(out, "\"bordertap\":{");
        facts::write(out, known, columns, &mut self.made);
        verdicts(&learnt.verdicts, out);
        tunnels(record, out);
        flags(record, out);
        sent(record, out);
        learnt_facts(known, out);
        json::raw(out, "}}\n");
    }

    fn event(&mut self, record: &FlowRecord, out: &mut Vec<u8>) {
        json::raw(out, "{\"@timestamp\":\"");
        let start = self.times.text(record.first);
        out.extend_from_slice(start);
        json::raw(
            out,
            "\",\"event\":{\"kind\":\"event\",\"category\":[\"network\"],\"dataset\":\"bordertap.flow\",\"start\":\"",
        );
        out.extend_from_slice(start);
        json::raw(out, "\",\"end\":\"");
        out.extend_from_slice(self.times.text(record.last));
        json::raw(out, "\"},");
    }
}

fn has_ports(number: u8) -> bool {
    matches!(number, protocol::TCP | protocol::UDP | protocol::SCTP)
}

fn endpoint(record: &FlowRecord, side: Side, out: &mut Vec<u8>) {
    let (ip, port) = record.endpoint(side);
    json::raw(out, "\"ip\":\"");
    append::address(ip, out);
    json::raw(out, "\",");
    if has_ports(record.key.protocol()) {
        json::number(out, "\"port\":", u64::from(port));
    }
    if let Some(macs) = &record.macs {
        json::raw(out, "\"mac\":\"");
        append::mac(&macs[side.index()], out);
        json::raw(out, "\",");
    }
    json::number(out, "\"bytes\":", record.bytes[side.index()]);
    json::number(out, "\"packets\":", record.packets[side.index()]);
}

/// Name and place of the destination.
fn place(learnt: &Learnt<'_>, out: &mut Vec<u8>) {
    if let Some(domain) = learnt.domain {
        json::text(out, "\"domain\":", domain);
    }
    if let Some(country) = learnt.country {
        json::raw(out, "\"geo\":{\"country_iso_code\":");
        json::string(out, country.code().as_bytes());
        json::raw(out, "},");
    }
    if let Some((number, name)) = learnt.asn {
        json::raw(out, "\"as\":{");
        json::number(out, "\"number\":", u64::from(number));
        json::raw(out, "\"organization\":{\"name\":");
        json::string(out, name.as_bytes());
        json::raw(out, "}},");
    }
}

fn network(record: &FlowRecord, out: &mut Vec<u8>) {
    let is_frame = record.key.is_frame();
    if !is_frame {
        json::text(out, "\"transport\":", record.transport());
        if record.transport() == NO_WORD {
            json::raw(out, "\"iana_number\":\"");
            append::decimal(u64::from(record.key.protocol()), out);
            json::raw(out, "\",");
        }
    }
    if let Some(protocol) = record.protocol {
        json::text(out, "\"protocol\":", protocol);
    }
    json::raw(
        out,
        match record.key.version() {
            4 => "\"type\":\"ipv4\",",
            6 => "\"type\":\"ipv6\",",
            _ => "\"type\":\"ethernet\",",
        },
    );
    if !is_frame {
        json::raw(out, "\"community_id\":\"");
        out.extend_from_slice(&community_id::of(&record.key));
        json::raw(out, "\",");
    }
    json::number(out, "\"bytes\":", record.bytes.iter().sum());
    json::number(out, "\"packets\":", record.packets.iter().sum());
    if let Some(id) = record.vlan {
        json::raw(out, "\"vlan\":{\"id\":\"");
        append::decimal(u64::from(id), out);
        json::raw(out, "\"},");
    }
    json::close(out, b'}');
    out.push(b',');
}

fn verdicts(verdicts: &[Verdict<'_>], out: &mut Vec<u8>) {
    if verdicts.is_empty() {
        return;
    }
    json::raw(out, "\"verdicts\":[");
    for verdict in verdicts {
        json::text(out, "{\"id\":", verdict.id);
        json::text(out, "\"vendor\":", verdict.vendor);
        json::text(out, "\"product\":", verdict.product);
        json::text(out, "\"function\":", verdict.function);
        json::number(out, "\"confidence\":", u64::from(verdict.confidence));
        json::raw(out, "\"matched\":");
        json::string(out, verdict.file.as_bytes());
        // The line goes inside the quotes.
        out.pop();
        out.push(b':');
        append::decimal(u64::from(verdict.line), out);
        json::raw(out, "\"},");
    }
    json::close(out, b']');
    out.push(b',');
}

fn tunnels(record: &FlowRecord, out: &mut Vec<u8>) {
    if record.tunnels.is_empty() {
        return;
    }
    json::raw(out, "\"tunnel\":[");
    for name in record.tunnels.names() {
        json::text(out, "", name);
    }
    json::close(out, b']');
    out.push(b',');
}

fn flags(record: &FlowRecord, out: &mut Vec<u8>) {
    json::raw(out, "\"flags\":[");
    if record.facts.flags.0 != 0 {
        for name in record.facts.flags.names() {
            json::text(out, "", name);
        }
    }
    json::close(out, b']');
    let missing: u64 = record.missing.iter().sum();
    if missing > 0 {
        json::raw(out, ",\"missing_bytes\":");
        append::decimal(missing, out);
    }
}

/// Its first packet, and which sides sent payload: any, and more than their first messages.
fn sent(record: &FlowRecord, out: &mut Vec<u8>) {
    json::raw(out, ",\"packet\":");
    append::decimal(record.number, out);
    for (key, sides) in [(",\"payload\":[", record.payload), (",\"data\":[", record.more)] {
        if sides == [false; 2] {
            continue;
        }
        json::raw(out, key);
        for side in [Side::Source, Side::Destination].into_iter().filter(|side| *side.of(&sides)) {
            json::text(out, "", side.name());
        }
        json::close(out, b']');
    }
}

/// What the flow teaches about other flows, for whoever judges the record again.
fn learnt_facts(known: &Known<'_>, out: &mut Vec<u8>) {
    let mut facts: Vec<_> = known.all.iter().filter(|fact| fact.field.is_internal()).collect();
    if facts.is_empty() {
        return;
    }
    facts.sort_unstable_by_key(|fact| (fact.field.name, fact.value, fact.side));
    json::raw(out, ",\"learnt\":[");
    for fact in facts {
        json::text(out, "{\"field\":", fact.field.name);
        json::raw(out, "\"value\":");
        json::value(out, fact);
        json::raw(out, ",\"side\":");
        json::string(out, fact.side.name().as_bytes());
        json::raw(out, "},");
    }
    json::close(out, b']');
}
