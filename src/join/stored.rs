//! What is known so far, written down: so a sensor that is started again goes on where it was.
//!
//! In: knowledge, or the document that was made of it. Out: the other. `when` blocks stand in it by their keys, because
//! signatures may be others next time. Names from DNS, hardware addresses and what tells a shared address are learnt anew.

use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Context;
use super::assets::Total;
use super::carried::sorted;
use super::findings::{Group, Mismatched, NAME_FROM_DNS, Sum};
use super::knowledge::{Knowledge, Seen};
use crate::fact::{self, value};
use crate::merge::{By, First, Merge, Span, Tally};
use crate::parse;
use crate::record::{CountryBytes, EvidenceKey, Rare, Rollup, Starts, Unseen, Volume};
use crate::signature::pattern::hex_bytes;
use crate::signature::{Signatures, Translator};
use crate::time::Time;

/// Version of the document.
const FORMAT: u32 = 1;

/// The document.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    format: u32,
    /// The key with which addresses were replaced, by its id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    anonymised: Option<String>,
    flows: u64,
    transit_flows: u64,
    span: Option<[i64; 2]>,
    evidence: Vec<StoredEvidence>,
    sums: Vec<StoredSum>,
    totals: Vec<StoredTotal>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEvidence {
    host: IpAddr,
    when: String,
    field: String,
    /// In hex.
    value: String,
    time: i64,
    packet: u64,
    #[serde(default)]
    ambiguous: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSum {
    host: IpAddr,
    channel: Option<String>,
    domain: Option<String>,
    country: Option<String>,
    outbound: bool,
    whens: Vec<String>,
    addresses: Vec<IpAddr>,
    domain_basis: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    mismatched: Option<Mismatched>,
    via_proxy: bool,
    hidden: bool,
    #[serde(default)]
    ambiguous: bool,
    #[serde(default)]
    other_names: Vec<String>,
    name_only: bool,
    flows: u64,
    spoke_out: u64,
    spoke_in: u64,
    carried: u64,
    span: [i64; 2],
    first: Option<(i64, u64)>,
    /// How often a second was doubled, and how many flows began in each such piece of time.
    #[serde(default)]
    starts: (u8, Vec<(u32, u32)>),
    /// Months since year 0, bytes out, bytes in.
    by_month: Vec<(i32, u64, u64)>,
    /// Missing bytes; flows one-sided, midstream, truncated, evicted.
    unseen: [u64; 5],
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTotal {
    host: IpAddr,
    bytes_out: u64,
    bytes_in: u64,
    by_country: Vec<(String, u64, u64)>,
}

impl Stored {
    /// The key with which addresses were replaced, by its id.
    pub fn anonymised(&self) -> Option<&str> {
        self.anonymised.as_deref()
    }
}

impl Knowledge {
    /// All of it, what is not settled as far as it is known.
    pub fn store(&self, context: Context<'_>) -> Stored {
        let (window, window_totals, _) = self.unsettled(context);
        let (mut sums, mut totals) = (self.sums.clone(), self.totals.clone());
        Merge::merge(&mut sums, window);
        totals.merge(window_totals);
        let key = |when: u32| context.signatures.when(when).map(|when| when.key());
        let evidence = self.evidence.iter().filter_map(|(of, first)| {
            let (seen, ()) = first.0?;
            Some(StoredEvidence {
                host: of.host,
                when: key(of.when)?,
                field: of.field.to_owned(),
                value: value::hex(&of.value),
                time: seen.time.0,
                packet: seen.packet,
                ambiguous: of.ambiguous,
            })
        });
        let Seen { flows, transit_flows, span, .. } = self.seen;
        Stored {
            format: FORMAT,
            anonymised: context.policy.key_id().map(str::to_owned),
            flows: flows.0,
            transit_flows: transit_flows.0,
            span: (!span.is_empty()).then_some([span.first.0, span.last.0]),
            evidence: sorted(evidence),
            sums: sums.iter().map(|(group, sum)| stored_sum(group, sum, key)).collect(),
            totals: sorted(totals.iter().map(|(host, total)| stored_total(*host, total))),
        }
    }

    /// Takes the document in.
    ///
    /// # Errors
    /// When it is of another version.
    pub fn restore(&mut self, stored: Stored, signatures: &Signatures) -> Result<(), String> {
        if stored.format != FORMAT {
            return Err(format!("format {}, and this program reads {FORMAT}", stored.format));
        }
        let translator = Translator::to(signatures);
        let span = stored.span.map(|[first, last]| Span::of(Time(first), Time(last))).unwrap_or_default();
        let seen =
            Seen { flows: Tally(stored.flows), transit_flows: Tally(stored.transit_flows), span, ..Seen::default() };
        self.seen.merge(seen);
        for StoredEvidence { host, when, field, value, time, packet, ambiguous } in stored.evidence {
            let (Some(when), Some(field)) = (translator.find(&when), parse::field(&field)) else { continue };
            let value = hex_bytes(&value).ok_or_else(|| format!("`{value}` is no hex"))?.into();
            let seen = fact::Seen { time: Time(time), packet };
            let key = EvidenceKey { host, when, field: field.name, value, ambiguous };
            self.evidence.entry(key).or_default().merge(First::of(seen, ()));
        }
        for sum in stored.sums {
            let (group, sum) = restored_sum(sum, &translator);
            match self.sums.entry(group) {
                Entry::Vacant(free) => {
                    free.insert(sum);
                }
                Entry::Occupied(mut there) => there.get_mut().merge(sum),
            }
        }
        for StoredTotal { host, bytes_out, bytes_in, by_country } in stored.totals {
            let bytes = |(country, bytes_out, bytes_in)| (country, CountryBytes { bytes_out, bytes_in });
            let volume = Volume { bytes_out: Tally(bytes_out), bytes_in: Tally(bytes_in) };
            let by_country = by_country.into_iter().map(bytes).collect();
            self.totals.entry(host).or_default().merge(Total { volume, by_country });
        }
        Ok(())
    }
}

/// How a name is known, from its word.
pub(super) fn name_basis(word: &str) -> Option<&'static str> {
    match word {
        NAME_FROM_DNS => Some(NAME_FROM_DNS),
        word => parse::field(word).map(|field| field.name),
    }
}

impl Stored {
    /// Packets are numbered on from so many.
    pub(super) fn number_from(&mut self, packets: u64) {
        for evidence in &mut self.evidence {
            evidence.packet = evidence.packet.saturating_add(packets);
        }
        for (_, packet) in self.sums.iter_mut().filter_map(|sum| sum.first.as_mut()) {
            *packet = packet.saturating_add(packets);
        }
    }
}

fn stored_sum(group: &Group, sum: &Sum, key: impl Fn(u32) -> Option<String>) -> StoredSum {
    let rollup = &sum.rollup;
    StoredSum {
        host: group.host,
        channel: group.channel.clone(),
        domain: group.domain.clone(),
        country: group.country.clone(),
        outbound: group.outbound,
        whens: sum.whens.iter().filter_map(|&when| key(when)).collect(),
        addresses: sum.addresses.iter().copied().collect(),
        domain_basis: sum.domain_basis.iter().map(|&basis| basis.to_owned()).collect(),
        mismatched: sum.mismatched.clone(),
        via_proxy: sum.via_proxy,
        hidden: sum.hidden,
        ambiguous: sum.ambiguous,
        other_names: sum.other_names.iter().map(|name| name.to_string()).collect(),
        name_only: sum.name_only,
        flows: rollup.flows.0,
        spoke_out: rollup.spoke_out.0,
        spoke_in: rollup.spoke_in.0,
        carried: rollup.carried.0,
        span: [rollup.span.first.0, rollup.span.last.0],
        first: rollup.first.0.map(|(seen, ())| (seen.time.0, seen.packet)),
        starts: (rollup.starts.parts().0, rollup.starts.parts().1.to_vec()),
        by_month: rollup.by_month.iter().map(|(month, v)| (*month, v.bytes_out.0, v.bytes_in.0)).collect(),
        unseen: rollup.unseen().numbers(),
    }
}

fn restored_sum(stored: StoredSum, translator: &Translator) -> (Group, Sum) {
    let unseen = Unseen::of(stored.unseen);
    let mut by_month = By::default();
    for (month, bytes_out, bytes_in) in stored.by_month {
        by_month.merge(By::of(month, Volume { bytes_out: Tally(bytes_out), bytes_in: Tally(bytes_in) }));
    }
    let seen = |(time, packet)| (fact::Seen { time: Time(time), packet }, ());
    let rollup = Rollup {
        flows: Tally(stored.flows),
        spoke_out: Tally(stored.spoke_out),
        spoke_in: Tally(stored.spoke_in),
        carried: Tally(stored.carried),
        span: Span::of(Time(stored.span[0]), Time(stored.span[1])),
        by_month,
        first: First(stored.first.map(seen)),
        starts: Starts::from_parts(stored.starts.0, stored.starts.1),
        rare: (unseen != Unseen::default()).then(|| Rare { unseen, ..Rare::default() }.into()),
    };
    let sum = Sum {
        whens: stored.whens.iter().filter_map(|key| translator.find(key)).collect(),
        rollup,
        addresses: stored.addresses.into_iter().collect(),
        domain_basis: stored.domain_basis.iter().filter_map(|name| name_basis(name)).collect(),
        mismatched: stored.mismatched,
        via_proxy: stored.via_proxy,
        hidden: stored.hidden,
        ambiguous: stored.ambiguous,
        other_names: stored.other_names.into_iter().map(Arc::from).collect(),
        name_only: stored.name_only,
    };
    let StoredSum { host, channel, domain, country, outbound, .. } = stored;
    (Group { host, channel, domain, country, outbound }, sum)
}

fn stored_total(host: IpAddr, total: &Total) -> StoredTotal {
    let by_country = total.by_country.iter().map(|(country, b)| (country.clone(), b.bytes_out, b.bytes_in)).collect();
    let Volume { bytes_out, bytes_in } = total.volume;
    StoredTotal { host, bytes_out: bytes_out.0, bytes_in: bytes_in.0, by_country }
}
