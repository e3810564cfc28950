//! All that a report rests on, written into it, so that reports can be merged: the sums before anything was decided.
//!
//! In: what was gathered. Out: a document, and back. Signature conditions stand in it by their keys, because whoever merges
//! may have other signatures; rows are in an order of their own, so that the same sums give the same bytes whoever gathered
//! them. A sensor that has settled part of what it knows writes that part as [`Stored`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::stored::{self, Stored};
use crate::collect::{Behind, Gathered, NAMES_PER_ADDRESS_MAX, Rollups};
use crate::fact::{FLAGS, Fact, Facts, Seen, Side, value};
use crate::flow::key::Key;
use crate::flow::tunnels::Tunnels;
use crate::merge::{By, Few, First, Merge, Span, Tally};
use crate::parse;
use crate::record::{
    Edges, EvidenceKey, FlowRecord, Gist, HostTraits, Rare, Rollup, RollupKey, Starts, Unseen, Volume,
};
use crate::signature::pattern::hex_bytes;
use crate::signature::{Signatures, Translator};
use crate::time::Time;

/// Version of the document.
const FORMAT: u32 = 1;

/// The document.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    format: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    gathered: Option<Box<Rows>>,
    /// Flows that may go on in another capture: they are in no sum.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    edges: Vec<EdgeRow>,
    /// They were told apart by their VLANs.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    vlans_apart: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    settled: Option<Stored>,
}

/// What was gathered, row by row.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    flows: u64,
    transit_flows: u64,
    tcp_flows: [u64; 2],
    span: Option<[i64; 2]>,
    /// Keys of conditions; rows name them by their place here.
    whens: Vec<String>,
    gists: Vec<GistRow>,
    /// Of those that have any: place of the gist, names of the certificate.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    certificates: Vec<(u32, Box<[Box<str>]>)>,
    rollups: Vec<RollupRow>,
    /// Host, condition, field, value in hex, time, packet, of a flow that can be read in more than one way.
    evidence: Vec<(IpAddr, u32, String, String, i64, u64, bool)>,
    hosts: Vec<(IpAddr, HostTraits)>,
    macs: Vec<([u8; 6], Behind)>,
    /// Client, address, names that it was told.
    names: Vec<(IpAddr, IpAddr, Few<NameRow, NAMES_PER_ADDRESS_MAX>)>,
}

/// Time, packet, name.
type NameRow = (i64, u64, String);
/// Name and the field it came from, protocol, port, our side, other flags, conditions, those that are channels, other names.
type GistRow = (Option<(String, String)>, u8, u16, Option<u8>, GistFlags, Vec<u32>, Vec<u32>, Vec<String>);
/// The remote host is inside; through a proxy; the name is hidden; TLS; it can be read in more than one way.
type GistFlags = [bool; 5];

/// One rollup.
#[derive(Serialize, Deserialize)]
struct RollupRow(
    /// Inside host, other host, place of the gist.
    IpAddr,
    Option<IpAddr>,
    u32,
    /// Flows, spoke out, spoke in, carried.
    [u64; 4],
    [i64; 2],
    /// Months since year 0, bytes out, bytes in.
    Vec<(i32, u64, u64)>,
    Option<(i64, u64)>,
    (u8, Vec<(u32, u32)>),
    Option<(Few<IpAddr, { crate::record::ADDRESSES_MAX }>, [u64; 5])>,
);

/// A flow at an edge.
#[derive(Serialize, Deserialize)]
struct EdgeRow(
    /// Lower and higher endpoint of the key.
    [(IpAddr, u16); 2],
    /// Protocol, IP version.
    [u8; 2],
    /// The endpoints keep their direction; the lower one opened it.
    [bool; 2],
    Edges,
    /// First and last packet.
    [i64; 2],
    /// Number of the first packet.
    u64,
    /// Packets, bytes, missing bytes, each by side.
    [[u64; 2]; 3],
    /// Payload, more, each by side.
    [[bool; 2]; 2],
    Option<[[u8; 6]; 2]>,
    /// VLAN, tunnels.
    (Option<u16>, Vec<Word>),
    Option<Word>,
    /// Flags.
    Vec<Word>,
    /// Field, side, value in hex, time, packet.
    Vec<(Word, u8, String, i64, u64)>,
);

/// A name that this program gives: written without a copy, read into one.
type Word = Cow<'static, str>;

/// What a document gives back.
pub struct Parts {
    /// Sums.
    pub gathered: Gathered,
    /// Flows that may go on in another capture.
    pub edges: Vec<FlowRecord>,
    /// What a sensor had settled.
    pub settled: Option<Stored>,
}

impl Carried {
    /// Of what was gathered, of the flows that are not in it, and of what was settled beside it.
    pub fn new(gathered: &Gathered, edges: &[FlowRecord], settled: Option<Stored>, signatures: &Signatures) -> Carried {
        let gathered = Some(Box::new(Rows::of(gathered, signatures)));
        let vlans_apart = edges.iter().any(|record| record.key.vlan().is_some());
        Carried { format: FORMAT, gathered, edges: edges.iter().map(edge_row).collect(), vlans_apart, settled }
    }

    /// As it stands in a report.
    pub fn into_json(self) -> Option<Box<RawValue>> {
        serde_json::value::to_raw_value(&self).ok()
    }

    /// Read from a report.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(json: &RawValue) -> Result<Carried, String> {
        let carried: Carried = serde_json::from_str(json.get()).map_err(|error| format!("`sums`: {error}"))?;
        match carried.format {
            FORMAT => Ok(carried),
            other => Err(format!("`sums` are of format {other}, and this program reads {FORMAT}")),
        }
    }

    /// Its parts. `packets` were read before in what it is merged with: those of sums are numbered on from there.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn into_parts(self, signatures: &Signatures, packets: u64) -> Result<Parts, String> {
        let translator = Translator::to(signatures);
        let gathered = match self.gathered {
            Some(rows) => rows.into_gathered(&translator, packets)?,
            None => Gathered::default(),
        };
        let mut edges: Vec<FlowRecord> =
            self.edges.into_iter().map(edge_of).collect::<Option<_>>().ok_or("`sums`: a flow cannot be read")?;
        if self.vlans_apart {
            edges.iter_mut().for_each(|record| record.key = record.key.in_vlan(record.vlan));
        }
        let settled = self.settled.map(|mut stored| {
            stored.number_from(packets);
            stored
        });
        Ok(Parts { gathered, edges, settled })
    }
}

impl Rows {
    fn of(gathered: &Gathered, signatures: &Signatures) -> Rows {
        let mut rollups: BTreeMap<(IpAddr, Option<IpAddr>, &Gist), Rollup> = BTreeMap::new();
        for (key, gist, rollup) in gathered.rollups.iter().flat_map(Rollups::iter) {
            match rollups.get_mut(&(key.host, key.remote, gist)) {
                Some(there) => there.merge(rollup.clone()),
                None => {
                    rollups.insert((key.host, key.remote, gist), rollup.clone());
                }
            }
        }
        let whens = Whens::new(gathered, rollups.keys().map(|(.., gist)| *gist), signatures);
        let mut gists: BTreeMap<&Gist, u32> = rollups.keys().map(|(.., gist)| (*gist, 0)).collect();
        gists.values_mut().zip(0..).for_each(|(place, number)| *place = number);
        let place = |gist| gists.get(gist).copied().unwrap_or_default();
        let rows =
            rollups.iter().map(|((host, remote, gist), rollup)| rollup_row(*host, *remote, place(*gist), rollup));
        let evidence = gathered.evidence.iter().filter_map(|(of, first)| {
            let (seen, ()) = first.0?;
            let value = value::hex(&of.value);
            Some((
                of.host,
                *whens.places.get(&of.when)?,
                of.field.to_owned(),
                value,
                seen.time.0,
                seen.packet,
                of.ambiguous,
            ))
        });
        let names = gathered.names.iter().map(|(&(client, address), told)| {
            let mut few = Few::default();
            told.iter().for_each(|(seen, name)| few.add((seen.time.0, seen.packet, name.to_string())));
            (client, address, few)
        });
        Rows {
            flows: gathered.flows.0,
            transit_flows: gathered.transit_flows.0,
            tcp_flows: gathered.tcp_flows.map(|tally| tally.0),
            span: (!gathered.span.is_empty()).then_some([gathered.span.first.0, gathered.span.last.0]),
            gists: gists.keys().map(|gist| gist_row(gist, &whens)).collect(),
            certificates: {
                let other = gists.iter().filter(|(gist, _)| !gist.certificate.is_empty());
                other.map(|(gist, place)| (*place, gist.certificate.clone())).collect()
            },
            rollups: rows.collect(),
            evidence: sorted(evidence),
            hosts: sorted_by_key(gathered.hosts.iter().map(|(host, traits)| (*host, traits.clone()))),
            macs: sorted_by_key(gathered.macs.iter().map(|(mac, behind)| (*mac, behind.clone()))),
            names: {
                let mut names: Vec<_> = names.collect();
                names.sort_unstable_by_key(|(client, address, _)| (*client, *address));
                names
            },
            whens: whens.keys,
        }
    }

    fn into_gathered(self, translator: &Translator, packets: u64) -> Result<Gathered, String> {
        let whens: Vec<Option<u32>> = self.whens.iter().map(|key| translator.find(key)).collect();
        let when = |place: u32| whens.get(place as usize).copied().flatten();
        let span = self.span.map(|[first, last]| Span::of(Time(first), Time(last))).unwrap_or_default();
        let mut gathered = Gathered {
            flows: Tally(self.flows),
            transit_flows: Tally(self.transit_flows),
            tcp_flows: self.tcp_flows.map(Tally),
            span,
            hosts: self.hosts.into_iter().collect(),
            macs: self.macs.into_iter().collect(),
            ..Gathered::default()
        };
        let seen = |time, packet: u64| Seen { time: Time(time), packet: packet.saturating_add(packets) };
        for (host, place, field, value, time, packet, ambiguous) in self.evidence {
            let (Some(when), Some(field)) = (when(place), parse::field(&field)) else { continue };
            let value = hex_bytes(&value).ok_or_else(|| format!("`sums`: `{value}` is no hex"))?.into();
            let key = EvidenceKey { host, when, field: field.name, value, ambiguous };
            gathered.evidence.entry(key).or_default().merge(First::of(seen(time, packet), ()));
        }
        for (client, address, told) in self.names {
            let names = gathered.names.entry((client, address)).or_default();
            told.iter().for_each(|(time, packet, name)| names.add((seen(*time, *packet), Arc::from(name.as_str()))));
        }
        let mut gists: Vec<Gist> = self.gists.into_iter().map(|row| gist_of(row, when)).collect();
        for (place, names) in self.certificates {
            let gist = gists.get_mut(place as usize).ok_or("`sums`: a certificate of a gist that is not there")?;
            gist.certificate = names;
        }
        let mut rollups = Rollups::default();
        for row in self.rollups {
            let gist = gists.get(row.2 as usize).ok_or("`sums`: a row names a gist that is not there")?;
            let key = RollupKey { host: row.0, remote: row.1, gist: 0 };
            if !rollups.add(&key, gist, &rollup_of(row, seen)) {
                gathered.limits.entry("rollup.limit").or_default().merge(Tally(1));
            }
        }
        gathered.rollups.push(rollups);
        Ok(gathered)
    }
}

/// The conditions that rows name, by their keys.
struct Whens {
    keys: Vec<String>,
    /// Number to place.
    places: BTreeMap<u32, u32>,
}

impl Whens {
    fn new<'a>(gathered: &Gathered, gists: impl Iterator<Item = &'a Gist>, signatures: &Signatures) -> Whens {
        let of_gists = gists.flat_map(|gist| gist.whens.iter().chain(&gist.candidates).copied());
        let numbers = of_gists.chain(gathered.evidence.keys().map(|key| key.when));
        let mut by_number: BTreeMap<u32, String> = BTreeMap::new();
        for number in numbers {
            if let Some(when) = signatures.when(number) {
                by_number.entry(number).or_insert_with(|| when.key());
            }
        }
        let mut keys: Vec<String> = by_number.values().cloned().collect();
        keys.sort_unstable();
        keys.dedup();
        let place = |key: &String| keys.binary_search(key).map_or(0, |place| place as u32);
        let places = by_number.iter().map(|(&number, key)| (number, place(key))).collect();
        Whens { places, keys }
    }

    fn places_of(&self, numbers: &[u32]) -> Vec<u32> {
        let mut places: Vec<u32> = numbers.iter().filter_map(|number| self.places.get(number).copied()).collect();
        places.sort_unstable();
        places
    }
}

/// In order: what came from a map with a random key has none.
pub(super) fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items
}

fn sorted_by_key<K: Ord + Copy, V>(items: impl Iterator<Item = (K, V)>) -> Vec<(K, V)> {
    let mut items: Vec<(K, V)> = items.collect();
    items.sort_unstable_by_key(|(key, _)| *key);
    items
}

fn gist_row(gist: &Gist, whens: &Whens) -> GistRow {
    let name = gist.name.as_ref().map(|name| (name.to_string(), gist.name_field.unwrap_or_default().to_owned()));
    let flags = [gist.remote_inside, gist.via_proxy, gist.hidden, gist.tls, gist.ambiguous];
    let ours = gist.ours.map(|side| side.index() as u8);
    let [all, channels] = [&gist.whens, &gist.candidates].map(|numbers| whens.places_of(numbers));
    let others = gist.other_names.iter().map(|name| name.to_string()).collect();
    (name, gist.protocol, gist.port, ours, flags, all, channels, others)
}

fn gist_of(row: GistRow, when: impl Fn(u32) -> Option<u32>) -> Gist {
    let (name, protocol, port, ours, flags, all, channels, others) = row;
    let [remote_inside, via_proxy, hidden, tls, ambiguous] = flags;
    let numbers = |places: Vec<u32>| {
        let mut numbers: Vec<u32> = places.into_iter().filter_map(&when).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_boxed_slice()
    };
    let (name, name_field) = name.unzip();
    Gist {
        name: name.map(Arc::from),
        name_field: name_field.and_then(|field| stored::name_basis(&field)),
        protocol,
        port,
        ours: ours.map(|side| if side == 0 { Side::Source } else { Side::Destination }),
        remote_inside,
        via_proxy,
        hidden,
        ambiguous,
        other_names: others.into_iter().map(Arc::from).collect(),
        tls,
        certificate: Box::default(),
        whens: numbers(all),
        candidates: numbers(channels),
    }
}

fn rollup_row(host: IpAddr, remote: Option<IpAddr>, gist: u32, rollup: &Rollup) -> RollupRow {
    let (doubled, pieces) = rollup.starts.parts();
    RollupRow(
        host,
        remote,
        gist,
        [rollup.flows, rollup.spoke_out, rollup.spoke_in, rollup.carried].map(|tally| tally.0),
        [rollup.span.first.0, rollup.span.last.0],
        rollup.by_month.iter().map(|(month, v)| (*month, v.bytes_out.0, v.bytes_in.0)).collect(),
        rollup.first.0.map(|(seen, ())| (seen.time.0, seen.packet)),
        (doubled, pieces.to_vec()),
        rollup.rare.as_ref().map(|rare| (rare.addresses.clone(), rare.unseen.numbers())),
    )
}

fn rollup_of(row: RollupRow, seen: impl Fn(i64, u64) -> Seen) -> Rollup {
    let RollupRow(_, _, _, [flows, spoke_out, spoke_in, carried], [from, to], months, first, starts, rare) = row;
    let mut by_month = By::default();
    for (month, bytes_out, bytes_in) in months {
        by_month.merge(By::of(month, Volume { bytes_out: Tally(bytes_out), bytes_in: Tally(bytes_in) }));
    }
    Rollup {
        flows: Tally(flows),
        spoke_out: Tally(spoke_out),
        spoke_in: Tally(spoke_in),
        carried: Tally(carried),
        span: Span::of(Time(from), Time(to)),
        by_month,
        first: First(first.map(|(time, packet)| (seen(time, packet), ()))),
        starts: Starts::from_parts(starts.0, starts.1),
        rare: rare.map(|(addresses, unseen)| Box::new(Rare { addresses, unseen: Unseen::of(unseen) })),
    }
}

fn edge_row(record: &FlowRecord) -> EdgeRow {
    let key = &record.key;
    let fact = |fact: Fact<'_>| {
        let side = fact.side.index() as u8;
        (fact.field.name.into(), side, value::hex(fact.value), fact.seen.time.0, fact.seen.packet)
    };
    EdgeRow(
        [key.endpoint(true), key.endpoint(false)],
        [key.protocol(), key.version()],
        [key.is_one_way(), record.opener_low],
        record.edges,
        [record.first.0, record.last.0],
        record.number,
        [record.packets, record.bytes, record.missing],
        [record.payload, record.more],
        record.macs,
        (record.vlan, record.tunnels.names().map(Word::from).collect()),
        record.protocol.map(Word::from),
        record.facts.flags.names().map(Word::from).collect(),
        sorted(record.facts.iter().map(fact)),
    )
}

fn edge_of(row: EdgeRow) -> Option<FlowRecord> {
    let EdgeRow([low, high], [protocol, version], bits, edges, [first, last], number, counts, sent, macs, ..) = &row;
    let ([one_way, opener_low], [packets, bytes, missing], [payload, more]) = (*bits, *counts, *sent);
    let EdgeRow(.., (vlan, tunnels), name, flags, all) = &row;
    let mut facts = Facts::default();
    for (field, side, value, time, packet) in all {
        // A field that is gone is nobody's any more.
        let Some(field) = parse::any_field(field) else { continue };
        let side = if *side == 0 { Side::Source } else { Side::Destination };
        facts.add(field, side, Seen { time: Time(*time), packet: *packet }, &hex_bytes(value)?);
    }
    for (flag, _) in FLAGS.iter().filter(|(_, name)| flags.iter().any(|there| there == name)) {
        facts.flags.set(*flag);
    }
    Some(FlowRecord {
        key: Key::from_parts(*low, *high, *protocol, *version, one_way)?,
        opener_low,
        first: Time(*first),
        last: Time(*last),
        number: *number,
        packets,
        bytes,
        missing,
        payload,
        more,
        edges: *edges,
        macs: *macs,
        vlan: *vlan,
        tunnels: Tunnels::from_names(tunnels.iter().map(|name| &**name))?,
        protocol: name.as_ref().and_then(|name| parse::PROTOCOLS.iter().find(|p| p.name == name)).map(|p| p.name),
        facts,
    })
}
