//! Flow records read back.
//!
//! In: a line that [`super::Writer`] wrote. Out: the record, as far as it is in the line: when each of its facts was seen is
//! not, so the time and the packet of the flow stand for it (of several server names it is known which came first), and ports of ICMP are not either. Text that was not UTF-8 comes
//! back from its escapes. Keys that are not known are passed over: other programs add theirs.

use std::net::IpAddr;

use serde::Deserialize;

use crate::fact::{FLAGS, Facts, Kind, Seen, Side, value};
use crate::flow::key::{Key, hardware_address};
use crate::flow::tunnels::Tunnels;
use crate::parse;
use crate::record::{Edges, FlowRecord, HELLO_NAMES, transport_number};
use crate::signature::pattern::hex_bytes;
use crate::time::Time;

#[derive(Deserialize)]
struct Line {
    event: Event,
    source: Endpoint,
    destination: Endpoint,
    network: Network,
    tls: Option<Tls>,
    bordertap: Own,
}

#[derive(Deserialize)]
struct Tls {
    client: Option<Client>,
}

#[derive(Deserialize)]
struct Client {
    server_name: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    start: String,
    end: String,
}

#[derive(Deserialize)]
struct Endpoint {
    ip: IpAddr,
    #[serde(default)]
    port: u16,
    mac: Option<String>,
    bytes: u64,
    packets: u64,
}

#[derive(Deserialize)]
struct Network {
    transport: Option<String>,
    iana_number: Option<String>,
    protocol: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    vlan: Option<Vlan>,
}

#[derive(Deserialize)]
struct Vlan {
    id: String,
}

#[derive(Deserialize)]
struct Own {
    #[serde(default)]
    facts: Vec<OneFact>,
    #[serde(default)]
    learnt: Vec<OneFact>,
    #[serde(default)]
    tunnel: Vec<String>,
    flags: Vec<String>,
    #[serde(default)]
    missing_bytes: u64,
    packet: u64,
    #[serde(default)]
    payload: Vec<String>,
    #[serde(default)]
    data: Vec<String>,
}

#[derive(Deserialize)]
struct OneFact {
    field: String,
    value: serde_json::Value,
    side: String,
}

/// The record in a line of JSON.
///
/// # Errors
/// What is wrong with it.
pub fn read(line: &[u8]) -> Result<FlowRecord, String> {
    let Line { event, source, destination, network, tls, bordertap: own } =
        serde_json::from_slice(line).map_err(|error| format!("no flow record: {error}"))?;
    let (first, last) = (time(&event.start)?, time(&event.end)?);
    let (key, opener_low) = key(&source, &destination, &network)?;
    let seen = Seen { time: first, packet: own.packet };
    let first_name = tls.and_then(|tls| tls.client?.server_name);
    let mut facts = facts(&own, first_name.as_deref(), seen)?;
    for (flag, _) in FLAGS.iter().filter(|(_, name)| own.flags.iter().any(|there| there == name)) {
        facts.flags.set(*flag);
    }
    let sides = |names: &[String]| [Side::Source, Side::Destination].map(|side| names.iter().any(|n| n == side.name()));
    let macs = source.mac.as_deref().zip(destination.mac.as_deref());
    let macs = macs.map(|(source, destination)| Ok::<_, String>([mac(source)?, mac(destination)?])).transpose()?;
    let named =
        |name: &str| parse::PROTOCOLS.iter().find(|protocol| protocol.name == name).map(|protocol| protocol.name);
    Ok(FlowRecord {
        key,
        opener_low,
        first,
        last,
        number: own.packet,
        packets: [source.packets, destination.packets],
        bytes: [source.bytes, destination.bytes],
        missing: [own.missing_bytes, 0],
        payload: sides(&own.payload),
        more: sides(&own.data),
        edges: Edges::default(),
        macs,
        vlan: network.vlan.map(|vlan| vlan.id.parse().map_err(|_| format!("`{}` is no VLAN", vlan.id))).transpose()?,
        tunnels: Tunnels::from_names(own.tunnel.iter().map(String::as_str)).ok_or("an unknown tunnel")?,
        protocol: network.protocol.as_deref().and_then(named),
        facts,
    })
}

fn time(text: &str) -> Result<Time, String> {
    let stamp: jiff::Timestamp = text.parse().map_err(|error| format!("`{text}` is no time: {error}"))?;
    i64::try_from(stamp.as_nanosecond()).map(Time).map_err(|_| format!("`{text}` is out of range"))
}

/// The key, and whether its lower endpoint is the source.
fn key(source: &Endpoint, destination: &Endpoint, network: &Network) -> Result<(Key, bool), String> {
    if network.kind == "ethernet" {
        let macs = [source.ip, destination.ip].map(hardware_address);
        let [Some(from), Some(to)] = macs else { return Err("a frame without hardware addresses".to_owned()) };
        return Ok((Key::frame(from, to, destination.port), true));
    }
    if source.ip.is_ipv4() != destination.ip.is_ipv4() {
        return Err("addresses of two kinds".to_owned());
    }
    let number = match (&network.iana_number, &network.transport) {
        (Some(number), _) => number.parse().map_err(|_| format!("`{number}` is no protocol number"))?,
        (None, Some(word)) => transport_number(word).ok_or_else(|| format!("unknown transport `{word}`"))?,
        (None, None) => return Err("no transport".to_owned()),
    };
    Ok(Key::new(source.ip, source.port, destination.ip, destination.port, number))
}

fn mac(text: &str) -> Result<[u8; 6], String> {
    let bytes = hex_bytes(&text.replace(':', "")).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("`{text}` is no hardware address"))
}

/// `first_name`: of several server names the one that was seen first.
fn facts(own: &Own, first_name: Option<&str>, seen: Seen) -> Result<Facts, String> {
    let mut facts = Facts::default();
    // A name that was not printed as it stood: how it was printed.
    let mut lossy: Vec<(&str, &str, String)> = Vec::new();
    let raw = |fact: &OneFact| fact.value.as_str().and_then(|text| hex_bytes(text.strip_prefix("hex:")?));
    let is_name = |fact: &OneFact| parse::field(&fact.field).is_some_and(|field| field.kind == Kind::Name);
    for fact in own.facts.iter().filter(|fact| is_name(fact)) {
        lossy.extend(raw(fact).map(|bytes| (fact.field.as_str(), fact.side.as_str(), value::name(&bytes))));
    }
    for fact in own.facts.iter().chain(&own.learnt) {
        // A field that is gone is nobody's any more.
        let Some(field) = parse::any_field(&fact.field) else { continue };
        let side = match fact.side.as_str() {
            "source" => Side::Source,
            "destination" => Side::Destination,
            other => return Err(format!("`{other}` is no side")),
        };
        let bad = || format!("`{}` is no value of {}", fact.value, fact.field);
        let text = || fact.value.as_str().ok_or_else(bad);
        let bytes: Vec<u8> = match field.kind {
            Kind::Number => fact.value.as_u64().ok_or_else(bad)?.to_be_bytes().into(),
            Kind::Hex => hex_bytes(text()?).ok_or_else(bad)?,
            Kind::Address => match text()?.parse().map_err(|_| bad())? {
                IpAddr::V4(v4) => v4.octets().into(),
                IpAddr::V6(v6) => v6.octets().into(),
            },
            Kind::Text => unescaped(text()?),
            Kind::Name => match raw(fact) {
                Some(bytes) => bytes,
                None if lossy
                    .iter()
                    .any(|(f, s, t)| (*f, *s) == (&*fact.field, &*fact.side) && t == text().unwrap_or("")) =>
                {
                    continue;
                }
                None => text()?.into(),
            },
        };
        let is_other = HELLO_NAMES.contains(&field) && first_name.is_some_and(|first| first != value::name(&bytes));
        let seen = if is_other { Seen { time: Time(seen.time.0.saturating_add(1)), ..seen } } else { seen };
        facts.add(field, side, seen, &bytes);
    }
    Ok(facts)
}

/// What [`value::escaped`] was made of, where that can be told: a backslash from the wire looks like one of an escape.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escape = after.split_first_chunk::<3>().filter(|([x, ..], _)| first == b'\\' && *x == b'x');
        let byte = escape.and_then(|([_, high, low], after)| {
            let digits = [*high, *low];
            Some((u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?, after))
        });
        let (byte, after) = byte.unwrap_or((first, after));
        bytes.push(byte);
        rest = after;
    }
    bytes
}
