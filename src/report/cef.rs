//! Findings as lines of the Common Event Format, which SIEMs read.
//!
//! In: a finding. Out: one line `CEF:0|…`. The header has the channel as the class of event, the extension the documented
//! keys. `in` and `out` are what that document calls so: `in` are bytes from source to destination. IPv6 addresses stand in
//! the keys for them, as version 0 of the format knows none in `src` and `dst`.
//! Source: ArcSight, Common Event Format: Implementing ArcSight Common Event Format, version 23 and newer.

use super::words::{self, End, Ends};
use super::{Change, PROGRAM};
use crate::fact::value;
use crate::record::{Direction, Finding};

/// Longest value of the keys for text; what is longer is cut there.
const VALUE_CHARACTERS_MAX: usize = 1023;

/// Appends a finding as a line.
pub fn line(change: &Change<'_, Finding>, out: &mut Vec<u8>) {
    let finding = change.record;
    let mut line = String::from("CEF:0");
    let version = PROGRAM.rsplit(' ').next().unwrap_or_default();
    let severity = severity(&finding.severity).to_string();
    for part in ["bordertap", "bordertap", version, &finding.channel.id, &words::title(finding), &severity] {
        line.push('|');
        escape(part, &['|'], &mut line);
    }
    line.push('|');
    let mut extension = Extension(line);
    describe(change, &mut extension);
    out.extend_from_slice(extension.0.trim_end().as_bytes());
    out.push(b'\n');
}

/// The keys of the extension.
fn describe(change: &Change<'_, Finding>, to: &mut Extension) {
    let finding = change.record;
    let Ends { source, destination, bytes_to_destination, bytes_to_source } = Ends::of(finding);
    to.add("act", change.status.name());
    to.add("externalId", &finding.id);
    to.add("cat", &finding.channel.function);
    to.add("start", &words::millis(&finding.first_seen).to_string());
    to.add("end", &words::millis(&finding.last_seen).to_string());
    to.add("rt", &words::millis(&finding.last_seen).to_string());
    to.add("cnt", &finding.sessions.to_string());
    to.end(source, "src", "shost", ["c6a2", "Source IPv6 Address"]);
    to.end(destination, "dst", "dhost", ["c6a3", "Destination IPv6 Address"]);
    let (mac_key, direction) = match finding.direction {
        Direction::Outbound => ("smac", "1"),
        Direction::Inbound => ("dmac", "0"),
    };
    to.add(mac_key, finding.asset.mac.as_deref().unwrap_or_default());
    to.add("deviceDirection", direction);
    to.add("in", &bytes_to_destination.to_string());
    to.add("out", &bytes_to_source.to_string());
    let country = finding.destination.country.as_deref().unwrap_or("unknown");
    let asset = words::product(&finding.asset.vendor, &finding.asset.product);
    let data = finding.channel.data.join(", ");
    let words = [
        ("cs1", "country", country),
        ("cs2", "crossing", finding.crossing.name()),
        ("cs3", "asset", &asset),
        ("cs4", "data", &data),
        ("cs5", "countryBasis", &finding.destination.country_basis),
        ("cs6", "attemptedOnly", if finding.attempted_only { "true" } else { "false" }),
    ];
    for (key, label, value) in words {
        to.labelled(key, label, value);
    }
    to.labelled("cn1", "revision", &change.revision.to_string());
    to.labelled("cn2", "countryConfidence", &finding.destination.country_confidence.to_string());
    if let Some(as_) = &finding.destination.as_ {
        to.labelled("cn3", "asNumber", &as_.number.to_string());
    }
    to.add("msg", &finding.why.join(" "));
}

/// The part of a line behind the header.
struct Extension(String);

impl Extension {
    /// `key=value`; nothing for an empty value.
    fn add(&mut self, key: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        self.0.push_str(key);
        self.0.push('=');
        let cut: String = value.chars().take(VALUE_CHARACTERS_MAX).collect();
        escape(&cut, &['='], &mut self.0);
        self.0.push(' ');
    }

    fn labelled(&mut self, key: &str, label: &str, value: &str) {
        if !value.is_empty() {
            self.add(&format!("{key}Label"), label);
            self.add(key, value);
        }
    }

    /// Address and name of an end.
    fn end(&mut self, end: End<'_>, ip_key: &str, name_key: &str, [v6_key, v6_label]: [&str; 2]) {
        if let Some(ip) = end.ip {
            if ip.contains(':') { self.labelled(v6_key, v6_label, ip) } else { self.add(ip_key, ip) }
        }
        if let Some(name) = end.name {
            self.add(name_key, name);
        }
    }
}

/// The text with a backslash before backslashes and `marks`; ends of lines as `\n` and `\r`; what else would move, hide or turn
/// around what stands beside it as `\u{202e}`.
fn escape(text: &str, marks: &[char], out: &mut String) {
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\\' => out.push_str("\\\\"),
            mark if marks.contains(&mark) => out.extend(['\\', mark]),
            other if value::is_harmless(other) => out.push(other),
            hidden => {
                out.push('\\');
                out.extend(hidden.escape_unicode());
            }
        }
    }
}

/// From 0 to 10: 0 to 3 is low, 4 to 6 medium, 7 and 8 high.
fn severity(word: &str) -> u8 {
    match word {
        "high" => 8,
        "medium" => 5,
        "low" => 3,
        "info" => 1,
        _ => 0,
    }
}
