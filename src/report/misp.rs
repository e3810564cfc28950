//! Findings as an event of MISP.
//!
//! In: the report. Out: one event: names, addresses and fingerprints as attributes, the connections behind them as objects of
//! known templates. Nothing in it is for an intrusion detection system (`to_ids` is false everywhere): that a product talks to
//! its maker is no attack. UUIDs are made from contents, times are packet time.
//! Source: MISP core format (draft-dulaunoy-misp-core-format); misp-objects, templates `network-connection` and `ja4-plus`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::{PROGRAM, Report, jsonl, uuid, words};
use crate::record::{Direction, Finding};

/// Titles of findings in the comment of an attribute.
const TITLES_MAX: usize = 3;

/// A template of an object: name, UUID, version, and where it belongs.
struct Template {
    name: &'static str,
    uuid: &'static str,
    version: &'static str,
    category: &'static str,
}

const CONNECTION: Template = Template {
    name: "network-connection",
    uuid: "af16764b-f8e5-4603-9de1-de34d272f80b",
    version: "7",
    category: "network",
};
const JA4: Template =
    Template { name: "ja4-plus", uuid: "2c15c75e-e7db-4b62-8d17-633e7571818f", version: "2", category: "network" };

/// Writes the event.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let header = &report.header;
    let ids: String = report.findings.iter().map(|finding| finding.id.as_str()).collect();
    let name = format!("misp\n{}\n{:?}\n{:?}\n{ids}", header.inputs.join("\n"), header.first_seen, header.last_seen);
    let event = Event { uuid: uuid::v5(&uuid::OURS, name.as_bytes()), stamp: seconds(header.last_seen.as_deref()) };
    let objects = report.findings.iter().map(|finding| event.connection(finding)).chain(event.fingerprints(report));
    let objects: Vec<Value> = objects.collect();
    let date = header.first_seen.as_deref().and_then(|text| text.get(..10)).unwrap_or("1970-01-01");
    let document = json!({"Event": {
        "uuid": event.uuid,
        "info": format!("{PROGRAM}: {} findings", report.findings.len()),
        "date": date,
        "timestamp": event.stamp,
        "published": false,
        "analysis": "2",
        "threat_level_id": "4",
        "distribution": "0",
        "Tag": [tag("bordertap:report=\"findings\"")],
        "Attribute": event.attributes(report),
        "Object": objects,
    }});
    jsonl::document(&document, out)
}

/// What all parts of an event share.
struct Event {
    uuid: String,
    stamp: String,
}

impl Event {
    /// The UUID of a part.
    fn part(&self, name: &str) -> String {
        uuid::v5(&uuid::OURS, format!("{}\n{name}", self.uuid).as_bytes())
    }

    /// Names, addresses and fingerprints, each once.
    fn attributes(&self, report: &Report) -> Vec<Value> {
        let mut all: BTreeMap<(&str, &str), Vec<&Finding>> = BTreeMap::new();
        for finding in &report.findings {
            let domain = finding.destination.domain.as_deref();
            let kind = |name: &str| if words::is_host_name(name) { "domain" } else { "text" };
            let name = domain.map(|name| (kind(name), name));
            let address = if finding.direction == Direction::Outbound { "ip-dst" } else { "ip-src" };
            let addresses = finding.destination.ip.iter().map(|ip| (address, ip.as_str()));
            let evidence =
                finding.asset.evidence.iter().filter(|e| ["tls.ja3", "tls.ja3s"].contains(&e.field.as_str()));
            let fingerprints = evidence.map(|e| ("ja3-fingerprint-md5", e.value.as_str()));
            for key in name.into_iter().chain(addresses).chain(fingerprints) {
                all.entry(key).or_default().push(finding);
            }
        }
        let attribute = |((kind, value), findings): ((&str, &str), Vec<&Finding>)| {
            let category = if kind == "text" { "Other" } else { "Network activity" };
            let mut attribute = self.attribute(kind, category, value, &format!("{kind}\n{value}"));
            attribute["comment"] = json!(comment(&findings));
            let mut crossings: Vec<&str> = findings.iter().map(|finding| finding.crossing.name()).collect();
            crossings.sort_unstable();
            crossings.dedup();
            attribute["Tag"] = crossings.iter().map(|word| tag(&format!("bordertap:crossing=\"{word}\""))).collect();
            attribute
        };
        all.into_iter().map(attribute).collect()
    }

    fn attribute(&self, kind: &str, category: &str, value: &str, name: &str) -> Value {
        json!({
            "uuid": self.part(name), "type": kind, "category": category, "value": value, "to_ids": false,
            "timestamp": self.stamp, "distribution": "5", "comment": "", "disable_correlation": false,
        })
    }

    fn object(&self, template: &Template, name: &str, comment: &str, values: &[(&str, &str, String)]) -> Value {
        let attribute = |(relation, kind, value): &(&str, &str, String)| {
            let category = if ["text", "counter", "size-in-bytes", "datetime"].contains(kind) {
                "Other"
            } else {
                "Network activity"
            };
            let mut attribute = self.attribute(kind, category, value, &format!("{name}\n{relation}\n{value}"));
            attribute["object_relation"] = json!(relation);
            attribute
        };
        json!({
            "uuid": self.part(name), "name": template.name, "meta-category": template.category,
            "template_uuid": template.uuid, "template_version": template.version, "timestamp": self.stamp,
            "description": template.name, "distribution": "5", "comment": comment,
            "Attribute": values.iter().map(attribute).collect::<Vec<_>>(),
        })
    }

    /// The connections of a finding.
    fn connection(&self, finding: &Finding) -> Value {
        let ends = words::Ends::of(finding);
        let mut values = Vec::new();
        for (end, ip, name) in [(ends.source, "ip-src", "hostname-src"), (ends.destination, "ip-dst", "hostname-dst")] {
            values.extend(end.ip.map(|value| (ip, ip, value.to_owned())));
            let host = end.name.filter(|name| words::is_host_name(name));
            values.extend(host.map(|value| (name, "hostname", value.to_owned())));
        }
        let mac = if finding.direction == Direction::Outbound { "mac-src" } else { "mac-dst" };
        values.extend(finding.asset.mac.clone().map(|value| (mac, "mac-address", value)));
        values.extend([
            ("first-packet-seen", "datetime", finding.first_seen.clone()),
            ("last-packet-seen", "datetime", finding.last_seen.clone()),
            ("count", "counter", finding.sessions.to_string()),
            ("src-bytes-count", "size-in-bytes", ends.bytes_to_destination.to_string()),
            ("dst-bytes-count", "size-in-bytes", ends.bytes_to_source.to_string()),
        ]);
        let comment = format!("{}. {}", words::title(finding), finding.why.join(" "));
        self.object(&CONNECTION, &format!("finding\n{}", finding.id), &comment, &values)
    }

    /// JA4 of the assets, which has no type of its own.
    fn fingerprints(&self, report: &Report) -> Vec<Value> {
        let mut all: BTreeMap<&str, &Finding> = BTreeMap::new();
        for finding in &report.findings {
            let evidence = finding.asset.evidence.iter().filter(|e| e.field == "tls.ja4");
            all.extend(evidence.map(|e| (e.value.as_str(), finding)));
        }
        let object = |(value, finding): (&str, &Finding)| {
            let values = [
                ("ja4-type", "text", "JA4".to_owned()),
                ("ja4-fingerprint", "text", value.to_owned()),
                ("ip-src", "ip-src", finding.asset.ip.clone()),
            ];
            let comment = words::product(&finding.asset.vendor, &finding.asset.product);
            self.object(&JA4, &format!("ja4\n{value}"), &comment, &values)
        };
        all.into_iter().map(object).collect()
    }
}

fn tag(name: &str) -> Value {
    json!({ "name": name })
}

/// What the findings of an attribute are.
fn comment(findings: &[&Finding]) -> String {
    let titles: Vec<String> = findings.iter().take(TITLES_MAX).map(|finding| words::title(finding)).collect();
    let more = findings.len().saturating_sub(TITLES_MAX);
    titles.join("; ") + &if more > 0 { format!("; and {more} more") } else { String::new() }
}

/// Seconds since 1970, as MISP writes times.
fn seconds(time: Option<&str>) -> String {
    time.map_or(0, |time| words::millis(time).div_euclid(1000)).to_string()
}
