//! Flows, findings and assets as Parquet tables, for DuckDB and the like.
//!
//! In: flows one by one, findings, assets. Out: three tables. Times are UTC microseconds, counts are 64-bit integers, lists
//! are lists of text; what is not known is null. Names from the wire are text as in the JSON lines.
//! Source: Apache Parquet, LogicalTypes.md.

mod table;

use std::io::{self, Write};

use super::flow::{Flow, objects};
use super::{Sink, words};
use crate::fact::{Fact, Side, value};
use crate::flow::community_id;
use crate::flow::key::protocol;
use crate::parse::{http, quic, tls};
use crate::record::{Asset, CountryBytes, Evidence, Finding};
use table::{Column, Kind, Table, Value};

/// The tables, by what they hold.
pub const TABLES: [&str; 3] = ["flows.parquet", "findings.parquet", "assets.parquet"];

const FLOW: [Column; 40] = [
    ("start", Kind::Time),
    ("end", Kind::Time),
    ("src_ip", Kind::Text),
    ("src_port", Kind::Number),
    ("src_mac", Kind::Text),
    ("dst_ip", Kind::Text),
    ("dst_port", Kind::Number),
    ("dst_mac", Kind::Text),
    ("ip_version", Kind::Number),
    ("transport", Kind::Text),
    ("protocol", Kind::Text),
    ("community_id", Kind::Text),
    ("vlan", Kind::Number),
    ("src_bytes", Kind::Number),
    ("src_packets", Kind::Number),
    ("dst_bytes", Kind::Number),
    ("dst_packets", Kind::Number),
    ("missing_bytes", Kind::Number),
    ("domain", Kind::Text),
    ("country", Kind::Text),
    ("as_number", Kind::Number),
    ("as_organization", Kind::Text),
    ("tls_version", Kind::Text),
    ("tls_cipher", Kind::Text),
    ("tls_server_name", Kind::Text),
    ("tls_ja3", Kind::Text),
    ("tls_ja3s", Kind::Text),
    ("tls_ja4", Kind::Text),
    ("tls_subject", Kind::Text),
    ("tls_issuer", Kind::Text),
    ("dns_questions", Kind::List),
    ("dns_answers", Kind::List),
    ("http_host", Kind::Text),
    ("http_method", Kind::Text),
    ("http_path", Kind::Text),
    ("http_status", Kind::Number),
    ("user_agent", Kind::Text),
    ("signatures", Kind::List),
    ("tunnels", Kind::List),
    ("flags", Kind::List),
];

const FINDING: [Column; 35] = [
    ("id", Kind::Text),
    ("direction", Kind::Text),
    ("crossing", Kind::Text),
    ("attempted_only", Kind::Bool),
    ("severity", Kind::Text),
    ("asset_ip", Kind::Text),
    ("asset_mac", Kind::Text),
    ("asset_vendor", Kind::Text),
    ("asset_product", Kind::Text),
    ("asset_confidence", Kind::Number),
    ("channel_id", Kind::Text),
    ("channel_vendor", Kind::Text),
    ("channel_product", Kind::Text),
    ("channel_function", Kind::Text),
    ("channel_data", Kind::List),
    ("channel_confidence", Kind::Number),
    ("channel_source", Kind::List),
    ("off_switch", Kind::Text),
    ("domain", Kind::Text),
    ("ip", Kind::List),
    ("country", Kind::Text),
    ("country_basis", Kind::Text),
    ("country_confidence", Kind::Number),
    ("as_number", Kind::Number),
    ("as_organization", Kind::Text),
    ("bytes_out", Kind::Number),
    ("bytes_in", Kind::Number),
    ("sessions", Kind::Number),
    ("first_seen", Kind::Time),
    ("last_seen", Kind::Time),
    ("by_month", Kind::List),
    ("missing_bytes", Kind::Number),
    ("one_sided", Kind::Number),
    ("midstream", Kind::Number),
    ("why", Kind::List),
];

const ASSET: [Column; 12] = [
    ("ip", Kind::Text),
    ("mac", Kind::Text),
    ("vendor", Kind::Text),
    ("product", Kind::Text),
    ("model", Kind::Text),
    ("version", Kind::Text),
    ("confidence", Kind::Number),
    ("shared_address", Kind::Bool),
    ("bytes_out", Kind::Number),
    ("bytes_in", Kind::Number),
    ("by_country", Kind::List),
    ("evidence", Kind::List),
];

/// Writes flows as rows.
pub struct Flows<W: Write + Send>(Table<W>);

impl<W: Write + Send> Flows<W> {
    /// An empty table.
    pub fn new(out: W) -> io::Result<Flows<W>> {
        Ok(Flows(Table::new("flow", &FLOW, out)?))
    }
}

impl<W: Write + Send> Sink for Flows<W> {
    fn flow(&mut self, flow: &Flow<'_>) -> io::Result<()> {
        self.0.push(flow_row(flow))
    }

    fn end(&mut self) -> io::Result<()> {
        self.0.end()
    }
}

/// Findings, a row each.
pub fn findings<W: Write + Send>(findings: &[Finding], out: W) -> io::Result<()> {
    let mut table = Table::new("finding", &FINDING, out)?;
    findings.iter().try_for_each(|finding| table.push(finding_row(finding)))?;
    table.end()
}

/// Assets, a row each.
pub fn assets<W: Write + Send>(assets: &[Asset], out: W) -> io::Result<()> {
    let mut table = Table::new("asset", &ASSET, out)?;
    assets.iter().try_for_each(|asset| table.push(asset_row(asset)))?;
    table.end()
}

fn flow_row(flow: &Flow<'_>) -> [Value; FLOW.len()] {
    let Flow { record, learnt, known, .. } = flow;
    let has_ports = matches!(record.key.protocol(), protocol::TCP | protocol::UDP | protocol::SCTP);
    let port = |side| Value::optional(has_ports.then(|| record.port(side)), |port| Value::Number(port.into()));
    let mac = |side: Side| Value::optional(record.macs.as_ref(), |macs| Value::text(value::mac(side.of(macs))));
    let is_frame = record.key.is_frame();
    let first = |field| fact(known.first(field));
    // The side with the ServerHello is the TLS server, whoever opened the flow.
    let server = known.first(&tls::JA3S).map_or(Side::Destination, |fact| fact.side);
    let made = |field, write: fn(u16, &mut Vec<u8>)| {
        Value::optional(known.first(field), |fact| {
            let mut text = Vec::new();
            write(value::number(fact.value) as u16, &mut text);
            Value::Text(text)
        })
    };
    [
        Value::Time(record.first),
        Value::Time(record.last),
        Value::text(record.address(Side::Source).to_string()),
        port(Side::Source),
        mac(Side::Source),
        Value::text(record.address(Side::Destination).to_string()),
        port(Side::Destination),
        mac(Side::Destination),
        Value::optional((!is_frame).then(|| record.key.version()), |version| Value::Number(version.into())),
        Value::optional((!is_frame).then(|| record.transport()), Value::text),
        Value::optional(record.protocol, Value::text),
        Value::optional((!is_frame).then(|| community_id::of(&record.key)), |id| Value::Text(id.to_vec())),
        Value::optional(record.vlan, |id| Value::Number(id.into())),
        Value::Number(record.bytes[0]),
        Value::Number(record.packets[0]),
        Value::Number(record.bytes[1]),
        Value::Number(record.packets[1]),
        Value::Number(record.missing.iter().sum()),
        Value::optional(learnt.domain, Value::text),
        Value::optional(learnt.country, |country| Value::text(country.to_string())),
        Value::optional(learnt.asn, |(number, _)| Value::Number(number.into())),
        Value::optional(learnt.asn, |(_, name)| Value::text(name)),
        made(&tls::VERSION, objects::version_text),
        made(&tls::CIPHER, objects::cipher_text),
        fact(known.first(&tls::SNI).or_else(|| known.first(&quic::SNI))),
        first(&tls::JA3),
        first(&tls::JA3S),
        first(&tls::JA4),
        fact(known.first_of(&tls::X509_SUBJECT, server)),
        fact(known.first_of(&tls::X509_ISSUER, server)),
        Value::List(words::questions(flow).into_iter().map(value::text).collect()),
        Value::List(words::answers(flow).iter().map(ToString::to_string).collect()),
        first(&http::HOST),
        first(&http::METHOD),
        first(&http::PATH),
        Value::optional(known.first(&http::STATUS), |fact| Value::Number(value::number(fact.value))),
        first(&http::USER_AGENT),
        Value::List(learnt.verdicts.iter().map(|verdict| verdict.id.to_owned()).collect()),
        Value::List(record.tunnels.names().map(str::to_owned).collect()),
        Value::List(record.facts.flags.names().map(str::to_owned).collect()),
    ]
}

fn fact(fact: Option<&Fact<'_>>) -> Value {
    Value::optional(fact, |fact| Value::text(value::text(fact)))
}

fn finding_row(finding: &Finding) -> [Value; FINDING.len()] {
    let Finding { asset, channel, destination, loss, .. } = finding;
    let as_ = destination.as_.as_ref();
    [
        Value::text(&finding.id),
        Value::text(finding.direction.name()),
        Value::text(finding.crossing.name()),
        Value::Bool(finding.attempted_only),
        Value::text(&finding.severity),
        Value::text(&asset.ip),
        Value::optional(asset.mac.as_ref(), Value::text),
        Value::text(&asset.vendor),
        Value::text(&asset.product),
        Value::Number(asset.confidence.into()),
        Value::text(&channel.id),
        Value::text(&channel.vendor),
        Value::text(&channel.product),
        Value::text(&channel.function),
        Value::List(channel.data.clone()),
        Value::Number(channel.confidence.into()),
        Value::List(channel.source.clone()),
        Value::optional(channel.off_switch.as_ref(), Value::text),
        Value::optional(destination.domain.as_ref(), Value::text),
        Value::List(destination.ip.clone()),
        Value::optional(destination.country.as_ref(), Value::text),
        Value::text(&destination.country_basis),
        Value::Number(destination.country_confidence.into()),
        Value::optional(as_, |as_| Value::Number(as_.number.into())),
        Value::optional(as_, |as_| Value::text(&as_.organization)),
        Value::Number(finding.bytes_out),
        Value::Number(finding.bytes_in),
        Value::Number(finding.sessions),
        Value::Time(words::time(&finding.first_seen)),
        Value::Time(words::time(&finding.last_seen)),
        volumes(&finding.by_month),
        Value::Number(loss.missing_bytes),
        Value::Number(loss.one_sided),
        Value::Number(loss.midstream),
        Value::List(finding.why.clone()),
    ]
}

fn asset_row(asset: &Asset) -> [Value; ASSET.len()] {
    [
        Value::text(&asset.ip),
        Value::optional(asset.mac.as_ref(), Value::text),
        Value::text(&asset.vendor),
        Value::text(&asset.product),
        Value::optional(asset.model.as_ref(), Value::text),
        Value::optional(asset.version.as_ref(), Value::text),
        Value::Number(asset.confidence.into()),
        Value::Bool(asset.shared_address),
        Value::Number(asset.bytes_out),
        Value::Number(asset.bytes_in),
        volumes(&asset.by_country),
        evidence(&asset.evidence),
    ]
}

fn volumes(volumes: &std::collections::BTreeMap<String, CountryBytes>) -> Value {
    Value::List(words::volumes(volumes))
}

fn evidence(evidence: &[Evidence]) -> Value {
    Value::List(words::evidence(evidence))
}
