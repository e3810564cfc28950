//! Findings as a STIX 2.1 bundle, for platforms that exchange what was observed.
//!
//! In: the report. Out: one bundle: for each finding the traffic that was observed, the infrastructure it went to, where
//! that is and how sure that is, whose it is, and a note with the reasons and with what is not known. Nothing is called
//! malicious. Ids are made from contents, so that the same finding has the same id everywhere; times are packet time, but for
//! what has no time of its own ([`TIMELESS`]).
//! Source: STIX Version 2.1, OASIS Standard, 10 June 2021; section 2.9 for ids.

use std::collections::HashSet;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::{Report, jsonl, uuid, words};
use crate::place::group_members;
use crate::record::{Direction, Finding};
use crate::time::Time;

/// The namespace of ids of observables (section 2.9).
const OBSERVABLES: [u8; 16] =
    [0x00, 0xab, 0xed, 0xb4, 0xaa, 0x42, 0x46, 0x6c, 0x9c, 0x01, 0xfe, 0xd2, 0x33, 0x15, 0xa9, 0xb7];
/// When makers, countries and bordertap itself are said to have been described: they are the same in every bundle.
const TIMELESS: &str = "2026-11-01T00:00:00.000Z";
/// Largest `number_observed` (section 4.14).
const OBSERVED_MAX: u64 = 999_999_999;
/// Digits of a second that are written of observed times.
const MICROS_END: usize = "2026-11-02T08:00:00.000000".len();

/// Writes the bundle.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut bundle = Bundle::default();
    let tool = bundle.identity("bordertap", "system");
    bundle.tool.clone_from(&tool);
    for finding in &report.findings {
        bundle.finding(finding);
    }
    bundle.run(report, &tool);
    let names: String = bundle.objects.iter().filter_map(|object| object["id"].as_str()).collect();
    let id = format!("bundle--{}", uuid::v5(&uuid::OURS, names.as_bytes()));
    jsonl::document(&json!({"type": "bundle", "id": id, "objects": bundle.objects}), out)
}

/// Objects, each once.
#[derive(Default)]
struct Bundle {
    tool: String,
    objects: Vec<Value>,
    there: HashSet<String>,
}

impl Bundle {
    fn add(&mut self, id: String, object: Value) -> String {
        if self.there.insert(id.clone()) {
            self.objects.push(object);
        }
        id
    }

    /// Adds an observable; its id is made of the properties that the standard names for its kind.
    fn observable(&mut self, kind: &str, contributing: &[&str], properties: Value) -> String {
        let of = |key: &&str| Some(((*key).to_owned(), properties.get(*key)?.clone()));
        // Keys of a map are sorted, and strings are written as canonical JSON (RFC 8785) writes them.
        let name = Value::Object(contributing.iter().filter_map(of).collect::<Map<_, _>>()).to_string();
        let id = format!("{kind}--{}", uuid::v5(&OBSERVABLES, name.as_bytes()));
        let object = with(json!({"type": kind, "spec_version": "2.1", "id": id}), properties);
        self.add(id, object)
    }

    /// Adds another object; `name` tells it from all others of its kind.
    fn domain_object(&mut self, kind: &str, name: &str, [created, modified]: [&str; 2], properties: Value) -> String {
        let id = format!("{kind}--{}", uuid::v5(&uuid::OURS, format!("{kind}\n{name}").as_bytes()));
        let mut object =
            json!({"type": kind, "spec_version": "2.1", "id": id, "created": created, "modified": modified});
        if !self.tool.is_empty() {
            object["created_by_ref"] = json!(self.tool);
        }
        self.add(id, with(object, properties))
    }

    fn identity(&mut self, name: &str, class: &str) -> String {
        self.domain_object("identity", name, [TIMELESS; 2], json!({"name": name, "identity_class": class}))
    }

    fn location(&mut self, country: &str) -> String {
        let place = match group_members(country) {
            Some(_) => json!({"name": country, "region": region(country)}),
            None => json!({"country": country}),
        };
        self.domain_object("location", country, [TIMELESS; 2], place)
    }

    fn address(&mut self, ip: &str) -> String {
        let kind = if ip.contains(':') { "ipv6-addr" } else { "ipv4-addr" };
        self.observable(kind, &["value"], json!({"value": ip}))
    }

    fn relationship(&mut self, from: &str, kind: &str, to: &str, times: [&str; 2], confidence: Option<u8>) {
        let mut properties = json!({"relationship_type": kind, "source_ref": from, "target_ref": to});
        if let Some(confidence) = confidence {
            properties["confidence"] = json!(confidence);
        }
        self.domain_object("relationship", &format!("{from}\n{kind}\n{to}"), times, properties);
    }

    fn finding(&mut self, finding: &Finding) {
        let times = [&finding.first_seen, &finding.last_seen].map(|text| words::time(text));
        let [created, modified] = times.map(millis);
        let stamps = [created.as_str(), modified.as_str()];
        let key = format!("{}\n{created}", finding.id);
        let (observed, outside) = self.observed(finding, &key, times, stamps);
        let infrastructure = self.infrastructure(finding, &key, stamps, &outside);
        self.relationship(&observed, "related-to", &infrastructure, stamps, None);
        let content = [finding.why.clone(), unknown(finding)].concat().join("\n");
        let content = if content.is_empty() { words::title(finding) } else { content };
        let properties = json!({
            "abstract": words::title(finding), "content": content, "object_refs": [observed, infrastructure],
            "external_references": references(finding),
        });
        self.domain_object("note", &key, stamps, without_empty(properties));
    }

    /// Who talked to whom; the observables of the far end.
    fn observed(&mut self, finding: &Finding, key: &str, times: [Time; 2], stamps: [&str; 2]) -> (String, Vec<String>) {
        let asset = self.address(&finding.asset.ip);
        let mut outside: Vec<String> = finding.destination.ip.iter().map(|ip| self.address(ip)).collect();
        if let Some(domain) = finding.destination.domain.as_deref().filter(|name| words::is_host_name(name)) {
            outside.push(self.observable("domain-name", &["value"], json!({"value": domain})));
        }
        let version = if finding.asset.ip.contains(':') { "ipv6" } else { "ipv4" };
        let ends = words::Ends::of(finding);
        let mut properties = json!({
            "start": micros(times[0]), "end": micros(times[1]), "is_active": false, "protocols": [version],
            "src_byte_count": ends.bytes_to_destination, "dst_byte_count": ends.bytes_to_source,
        });
        let mine =
            if finding.direction == Direction::Outbound { ["src_ref", "dst_ref"] } else { ["dst_ref", "src_ref"] };
        properties[mine[0]] = json!(asset);
        if let Some(far) = outside.first() {
            properties[mine[1]] = json!(far);
        }
        let contributing = ["start", "end", "src_ref", "dst_ref", "src_port", "dst_port", "protocols", "extensions"];
        let traffic = self.observable("network-traffic", &contributing, properties);
        let refs: Vec<&String> = [&traffic, &asset].into_iter().chain(&outside).collect();
        let labels = [
            format!("crossing:{}", finding.crossing.name()),
            format!("direction:{}", finding.direction.name()),
            format!("channel:{}", finding.channel.id),
            format!("severity:{}", finding.severity),
        ];
        let attempted = finding.attempted_only.then(|| "attempted-only".to_owned());
        let properties = json!({
            "first_observed": micros(times[0]), "last_observed": micros(times[1]),
            "number_observed": finding.sessions.clamp(1, OBSERVED_MAX), "object_refs": refs,
            "labels": labels.into_iter().chain(attempted).collect::<Vec<_>>(), "confidence": finding.channel.confidence,
        });
        (self.domain_object("observed-data", key, stamps, properties), outside)
    }

    /// What it went to, where that is and whose.
    fn infrastructure(&mut self, finding: &Finding, key: &str, stamps: [&str; 2], outside: &[String]) -> String {
        let data = finding.channel.data.join(", ");
        let carries = if data.is_empty() { String::new() } else { format!("; said to carry {data}") };
        let properties = json!({
            "name": format!("{} ({})", finding.channel.product, finding.channel.id),
            "description": format!("{} of {}{carries}", finding.channel.function, finding.channel.vendor),
            "first_seen": micros(words::time(&finding.first_seen)), "last_seen": micros(words::time(&finding.last_seen)),
        });
        let infrastructure = self.domain_object("infrastructure", key, stamps, properties);
        for observable in outside {
            self.relationship(&infrastructure, "consists-of", observable, stamps, None);
        }
        if let Some(country) = &finding.destination.country {
            let location = self.location(country);
            let confidence = Some(finding.destination.country_confidence);
            self.relationship(&infrastructure, "located-at", &location, stamps, confidence);
        }
        let maker = self.identity(&finding.channel.vendor, "organization");
        self.relationship(&infrastructure, "related-to", &maker, stamps, Some(finding.channel.confidence));
        infrastructure
    }

    /// What the whole run did not see.
    fn run(&mut self, report: &Report, tool: &str) {
        let ledger = &report.ledger;
        let mut lines = vec![format!("{} packets were received, {} decoded.", ledger.received, ledger.decoded)];
        let lost = ledger.not_decoded.iter().chain(&ledger.later).filter(|(_, count)| **count > 0);
        lines.extend(lost.map(|(name, count)| format!("{name}: {count}")));
        if ledger.missing_bytes > 0 {
            lines.push(format!("TCP payload that never came by: {} bytes", ledger.missing_bytes));
        }
        lines.extend(report.header.damage.iter().map(|d| format!("{}, offset {}: {}", d.input, d.offset, d.reason)));
        lines.extend(report.gaps.iter().map(|gap| format!("nothing tells apart yet: {}: {}", gap.vendor, gap.what)));
        let time =
            |text: &Option<String>| text.as_deref().map_or(TIMELESS.to_owned(), |text| millis(words::time(text)));
        let stamps = [time(&report.header.first_seen), time(&report.header.last_seen)];
        let content = lines.join("\n");
        let properties = json!({"abstract": "What was not seen", "content": content, "object_refs": [tool]});
        self.domain_object("note", &content, [&stamps[0], &stamps[1]], properties);
    }
}

/// What is not known of a finding, in sentences.
fn unknown(finding: &Finding) -> Vec<String> {
    let loss = &finding.loss;
    let domain = finding.destination.domain.as_deref();
    let says = [
        (finding.destination.country.is_none(), "Not known: the country.".to_owned()),
        (domain.is_none(), "Not known: the name of the far end.".to_owned()),
        (finding.destination.ip.is_empty(), "Not known: the address of the far end.".to_owned()),
        (
            finding.attempted_only,
            "Not known: whether anything would have been sent; nothing but attempts was seen.".to_owned(),
        ),
        (loss.missing_bytes > 0, format!("Not seen: {} bytes of payload.", loss.missing_bytes)),
        (loss.one_sided > 0, format!("One direction only was seen of {} flows.", loss.one_sided)),
        (loss.midstream > 0, format!("The start was not captured of {} flows.", loss.midstream)),
        (loss.truncated > 0, format!("The capture cut {} flows short.", loss.truncated)),
        (loss.evicted > 0, format!("{} flows were given up because memory ran out.", loss.evicted)),
    ];
    let odd =
        domain.filter(|name| !words::is_host_name(name)).map(|name| format!("No host name, and so no object: {name}"));
    says.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| text).chain(odd).collect()
}

/// Where to read up on a channel.
fn references(finding: &Finding) -> Value {
    let all = finding.channel.source.iter();
    all.map(|source| json!({"source_name": finding.channel.id, "description": source})).collect()
}

/// The object with more properties.
fn with(mut object: Value, properties: Value) -> Value {
    if let (Value::Object(object), Value::Object(properties)) = (&mut object, properties) {
        object.extend(properties);
    }
    object
}

/// The object without lists that are empty, which the standard does not allow.
fn without_empty(mut object: Value) -> Value {
    if let Value::Object(object) = &mut object {
        object.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
    }
    object
}

/// A group of countries in words of `region-ov` (section 10.22), where it has one.
fn region(group: &str) -> &str {
    match group {
        "EU" | "EEA" | "EFTA" => "europe",
        "GCC" => "western-asia",
        "ASEAN" => "south-eastern-asia",
        "USMCA" => "northern-america",
        other => other,
    }
}

/// A time with three digits of a second, as `created` and `modified` have.
fn millis(time: Time) -> String {
    let text = time.to_string();
    format!("{}Z", text.get(..MICROS_END - 3).unwrap_or_default())
}

/// A time with up to six digits of a second, which is what most readers keep; zeros at the end are left out.
fn micros(time: Time) -> String {
    let text = time.to_string();
    format!("{}Z", text.get(..MICROS_END).unwrap_or_default().trim_end_matches('0').trim_end_matches('.'))
}
