//! Which channel a rollup was, where it went, and what that amounts to.
//!
//! In: rollups, who hosts are, names. Out: findings, one for each (asset, channel, destination
//! name, country), most serious first.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::assets::{ByChannel, Identified, Vendorship};
use super::neighbours::Neighbours;
use super::{CONFIDENCE_ENOUGH, Context, NameBook, assets};
use crate::collect::{OTHER_NAMES_MAX, Rollups, is_in_hello};
use crate::fact::{Facts, Seen, Side, value};
use crate::merge::{Map, Merge, Tally};
use crate::parse::dns;
use crate::place::Place;
use crate::policy::{Case, CrossingInput, Direction, Location, crossing, exemption_text};
use crate::record::{
    AsNumber, Channel, CountryBytes, Destination, Evidence, Finding, FindingAsset, Gist, Loss, Mismatch, Rollup,
    RollupKey, Schedule, Starts, Volume, is_one_domain,
};
use crate::signature::words::Function;
use crate::signature::{FlowValues, Scratch};

/// The id of a finding for traffic that no signature explains.
pub const UNEXPLAINED: &str = "unexplained";
/// Bytes of a digest that make an id.
const ID_BYTES: usize = 8;
/// Addresses printed of one destination.
const ADDRESSES_MAX: usize = 64;

/// What makes rollups one finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    pub(super) host: IpAddr,
    /// The channel's id; none for the unexplained.
    pub(super) channel: Option<String>,
    pub(super) domain: Option<String>,
    pub(super) country: Option<String>,
    pub(super) outbound: bool,
}

impl Group {
    /// The same for the same finding in every run.
    fn id(&self) -> String {
        let direction = if self.outbound { "out" } else { "in" };
        let parts = [Some(&*self.host.to_string()), self.channel.as_deref(), self.domain.as_deref()];
        let mut digest = Sha256::new();
        for part in parts.into_iter().chain([self.country.as_deref(), Some(direction)]) {
            digest.update(part.unwrap_or_default());
            digest.update([0]);
        }
        value::hex(&digest.finalize()[..ID_BYTES])
    }
}

/// How a name is known that only a DNS answer gave.
pub(super) const NAME_FROM_DNS: &str = "dns";

/// Names told of one address that are printed.
const NAMES_TOLD_MAX: usize = 8;

/// What does not fit together of a flow.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Mismatched {
    name: String,
    address: IpAddr,
    told: BTreeSet<String>,
    certificate: Box<[Box<str>]>,
}

/// The rollups of one finding, added up.
#[derive(Clone, Default)]
pub(super) struct Sum {
    pub(super) whens: BTreeSet<u32>,
    pub(super) rollup: Rollup,
    pub(super) addresses: BTreeSet<IpAddr>,
    pub(super) domain_basis: BTreeSet<&'static str>,
    pub(super) mismatched: Option<Mismatched>,
    pub(super) via_proxy: bool,
    pub(super) hidden: bool,
    pub(super) ambiguous: bool,
    pub(super) other_names: BTreeSet<Arc<str>>,
    pub(super) name_only: bool,
}

/// Sums of findings, by what makes them one.
pub(super) type Sums = BTreeMap<Group, Sum>;

/// Adds rollups up to findings, beside those that were settled before.
pub(super) fn add_up<'a>(rollups: &[&Rollups], settled: &'a Sums, view: View<'a>) -> Sums {
    let finder = || Finder { settled, view, scratch: Scratch::default(), sums: Sums::new() };
    // What each worker gathered is looked at by itself.
    let mut finder = rollups
        .par_iter()
        .map(|part| {
            let mut finder = finder();
            for (key, gist, rollup) in part.iter().filter(|(key, ..)| key.remote.is_some()) {
                finder.add(key, gist, rollup);
            }
            finder
        })
        .reduce_with(Finder::merge)
        .unwrap_or_else(finder);
    // Real flows first: a name that was only asked for is no news where a flow to it was seen.
    let asked_for = rollups.iter().flat_map(|part| part.iter()).filter(|(key, ..)| key.remote.is_none());
    for (key, gist, rollup) in asked_for {
        finder.add(key, gist, rollup);
    }
    finder.sums
}

/// What the sums say, those that were settled before and new ones. Also tells which hosts are known only by the channels
/// they use.
pub(super) fn find(
    settled: &Sums,
    new: &Sums,
    neighbours: &Neighbours<'_>,
    view: View<'_>,
) -> (Vec<Finding>, ByChannel) {
    let mut sums: BTreeMap<&Group, Cow<'_, Sum>> =
        settled.iter().map(|(group, sum)| (group, Cow::Borrowed(sum))).collect();
    for (group, sum) in new {
        match sums.entry(group) {
            Entry::Vacant(free) => {
                free.insert(Cow::Borrowed(sum));
            }
            Entry::Occupied(mut there) => there.get_mut().to_mut().merge(sum.clone()),
        }
    }
    let finder = &Finder { settled, view, scratch: Scratch::default(), sums: Sums::new() };
    let sums: Vec<(&Group, Cow<'_, Sum>)> = sums
        .into_iter()
        // What was only asked for when it was settled may have been seen since.
        .filter(|(group, sum)| settled.is_empty() || !sum.name_only || !is_seen_for_real(group, [settled, new]))
        .collect();
    let found: Vec<(Finding, Option<Known>)> =
        sums.into_par_iter().map(|(group, sum)| finder.finding(group, &sum, neighbours)).collect();
    let mut by_channel = ByChannel::new();
    let mut findings = Vec::with_capacity(found.len());
    for (finding, known) in found {
        findings.push(finding);
        let Some((key, ship)) = known else { continue };
        let best = by_channel.entry(key).or_insert_with(|| ship.clone());
        if ship.evidence < best.evidence {
            *best = ship;
        }
    }
    findings.par_sort_by_cached_key(rank);
    (findings, by_channel)
}

/// From the first group that a host may have to the last.
pub(super) fn all_of(host: IpAddr) -> impl std::ops::RangeBounds<Group> {
    let first = |host| Group { host, channel: None, domain: None, country: None, outbound: false };
    let next = match host {
        IpAddr::V4(v4) => v4.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(v6) => v6.to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    };
    (Bound::Included(first(host)), next.map_or(Bound::Unbounded, |next| Bound::Excluded(first(next))))
}

/// Whether a flow to the same name over the same channel was seen.
fn is_seen_for_real(group: &Group, sums: [&Sums; 2]) -> bool {
    let from = Group { country: None, outbound: false, ..group.clone() };
    let same = |g: &Group| (g.host, &g.channel, &g.domain) == (group.host, &group.channel, &group.domain);
    sums.into_iter().any(|sums| sums.range(&from..).take_while(|(g, _)| same(g)).any(|(_, sum)| !sum.name_only))
}

/// A host that is known by a channel it uses, and what that says of it.
type Known = ((IpAddr, String), Vendorship);

/// What is known of hosts and names, and by what it is judged.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) hosts: &'a Map<IpAddr, Identified>,
    pub(super) names: &'a NameBook,
    pub(super) context: Context<'a>,
}

struct Finder<'a> {
    /// Sums of what is over.
    settled: &'a Sums,
    view: View<'a>,
    scratch: Scratch,
    sums: Sums,
}

/// The finding that a rollup belongs to, the condition that made it one, and how its name is known.
struct Told {
    group: Group,
    when: Option<u32>,
    domain_basis: Option<&'static str>,
}

/// Tells of flows one by one which finding they belong to.
pub struct Attribution<'a>(Finder<'a>);

/// What is known of a flow that belongs to a finding.
pub struct Attributed {
    /// Id of the finding.
    pub id: String,
    /// Its name is known from a DNS answer.
    pub name_from_dns: bool,
    /// The condition that made it the channel.
    pub when: Option<u32>,
}

impl<'a> Attribution<'a> {
    /// By what the whole input taught about hosts and names.
    pub fn new(hosts: &'a Map<IpAddr, Identified>, names: &'a NameBook, context: Context<'a>) -> Attribution<'a> {
        static NOTHING: Sums = Sums::new();
        let view = View { hosts, names, context };
        Attribution(Finder { settled: &NOTHING, view, scratch: Scratch::default(), sums: Sums::new() })
    }

    /// The finding of a flow, given as a rollup of its own.
    pub fn of(&mut self, key: &RollupKey, gist: &Gist, rollup: &Rollup) -> Option<Attributed> {
        let Told { group, when, domain_basis } = self.0.tell(key, gist, rollup)?;
        Some(Attributed { id: group.id(), name_from_dns: domain_basis == Some(NAME_FROM_DNS), when })
    }
}

impl<'a> Finder<'a> {
    /// Takes another part's sums in.
    fn merge(mut self, other: Finder<'a>) -> Finder<'a> {
        Merge::merge(&mut self.sums, other.sums);
        self
    }

    fn put(&mut self, group: Group, part: Sum) {
        match self.sums.entry(group) {
            Entry::Vacant(free) => {
                free.insert(part);
            }
            Entry::Occupied(mut there) => there.get_mut().merge(part),
        }
    }

    fn add(&mut self, key: &RollupKey, gist: &Gist, rollup: &Rollup) {
        let Some(Told { group, when, domain_basis }) = self.tell(key, gist, rollup) else { return };
        let name_only = key.remote.is_none();
        if name_only && is_seen_for_real(&group, [&self.sums, self.settled]) {
            return;
        }
        let addresses = rollup.addresses().chain(key.remote).collect();
        let part = Sum {
            whens: when.into_iter().collect(),
            rollup: rollup.clone(),
            addresses,
            domain_basis: domain_basis.into_iter().collect(),
            mismatched: self.mismatched(key, gist),
            via_proxy: gist.via_proxy,
            hidden: gist.hidden && !self.asked_for(key, gist),
            ambiguous: gist.ambiguous,
            other_names: gist.other_names.iter().cloned().collect(),
            name_only,
        };
        self.put(group, part);
    }

    /// Which finding a rollup belongs to; none when it is nobody's.
    fn tell(&mut self, key: &RollupKey, gist: &Gist, rollup: &Rollup) -> Option<Told> {
        let host = self.view.hosts.get(&key.host);
        // Somebody who opens an appliance's page is not the appliance.
        if gist.remote_inside && !gist.via_proxy && host.is_none() {
            return None;
        }
        let from_dns = gist.name.is_none();
        // Most hosts are nobody's appliance and most flows no channel.
        if gist.candidates.is_empty() && host.is_none() && !from_dns {
            return None;
        }
        let (domain, domain_basis) = self.name(key, gist, rollup);
        let when = self.channel(key, gist, domain, domain_basis, host);
        if when.is_none() && !host.is_some_and(|host| self.is_worth_telling(key, gist, host)) {
            return None;
        }
        let domain = domain.map(str::to_owned);
        let channel = when.and_then(|w| self.view.context.signatures.when(w));
        let region = channel.and_then(|c| c.when.region);
        let address = key.remote.filter(|_| !gist.via_proxy).or_else(|| rollup.addresses().next());
        let place = self.view.context.places.decide(region, address, self.view.context.policy.homes());
        let group = Group {
            host: key.host,
            channel: channel.map(|c| c.entry.id.clone()),
            domain,
            country: place.country_text(self.view.context.policy.homes()),
            outbound: gist.outbound(),
        };
        Some(Told { group, when, domain_basis })
    }

    /// Whether the client had asked for the very name that the hello shows and went to the address
    /// it was given: then that is the name it wanted, and its ECH extension is a placeholder.
    fn asked_for(&self, key: &RollupKey, gist: &Gist) -> bool {
        matches!((&gist.name, key.remote), (Some(name), Some(remote)) if self.view.names.was_told(key.host, remote, name))
    }

    /// What contradicts the name in the hello: names for which the client was given the address it went to, or the
    /// certificate there. A name that ECH shows is known to be another.
    fn mismatched(&self, key: &RollupKey, gist: &Gist) -> Option<Mismatched> {
        let (name, address) = (gist.name.as_deref()?, key.remote?);
        if gist.via_proxy || gist.hidden || !gist.name_field.is_some_and(is_in_hello) {
            return None;
        }
        let told = || self.view.names.told(key.host, address);
        let fits = told().next().is_none() || told().any(|other| is_one_domain(other, name));
        if fits && gist.certificate.is_empty() {
            return None;
        }
        let told = told().map(str::to_owned).collect::<BTreeSet<_>>().into_iter().take(NAMES_TOLD_MAX).collect();
        Some(Mismatched { name: name.to_owned(), address, told, certificate: gist.certificate.clone() })
    }

    /// The name of the other end: from the flow itself, else from a DNS answer.
    fn name<'k>(&self, key: &RollupKey, gist: &'k Gist, rollup: &Rollup) -> (Option<&'k str>, Option<&'static str>)
    where
        'a: 'k,
    {
        if let Some(name) = &gist.name {
            return (Some(name), gist.name_field);
        }
        let names: &'a NameBook = self.view.names;
        let told = key.remote.and_then(|remote| names.name(key.host, remote, rollup.span.first));
        (told, told.map(|_| NAME_FROM_DNS))
    }

    /// The channel of a rollup: its candidates, and those that the name from DNS adds.
    fn channel(
        &mut self,
        key: &RollupKey,
        gist: &Gist,
        domain: Option<&str>,
        basis: Option<&str>,
        host: Option<&Identified>,
    ) -> Option<u32> {
        let mut candidates = gist.candidates.to_vec();
        if let (Some(domain), Some(NAME_FROM_DNS), Some(remote)) = (domain, basis, key.remote) {
            let values = FlowValues {
                destination: remote,
                protocol: gist.protocol,
                port: gist.port,
                asn: self.view.context.places.asn(remote).map(|(number, _)| number),
                ouis: [None; 2],
            };
            let verdicts = self.view.context.signatures.select(&name_facts(domain), &values, &mut self.scratch);
            candidates.extend(verdicts.iter().filter(|hit| !hit.identity).map(|hit| hit.when));
        }
        if candidates.is_empty() {
            return None;
        }
        let settled = self.view.context.signatures.settle(&candidates, |id| host.is_some_and(|h| h.is(id)));
        settled.first().copied()
    }

    /// A known appliance talks to somewhere outside that no signature explains.
    fn is_worth_telling(&self, key: &RollupKey, gist: &Gist, host: &Identified) -> bool {
        let known = !host.shared && host.best().is_some_and(|(_, ship)| ship.confidence >= CONFIDENCE_ENOUGH);
        let outside = key.remote.is_some_and(|remote| self.view.context.policy.side_of(remote) == Location::Outside);
        known && outside && !gist.remote_inside
    }

    fn finding(&self, group: &Group, sum: &Sum, neighbours: &Neighbours<'_>) -> (Finding, Option<Known>) {
        let channel = self.channel_of(group, sum);
        let (asset, known) = self.asset(group, sum, &channel, neighbours);
        let rollup = &sum.rollup;
        let place = self.place(sum);
        let Volume { bytes_out: Tally(bytes_out), bytes_in: Tally(bytes_in) } = rollup.volume();
        let unseen = rollup.unseen();
        let direction = if group.outbound { Direction::Outbound } else { Direction::Inbound };
        let input = CrossingInput {
            place: &place,
            address: sum.addresses.first().copied(),
            name: group.domain.as_deref(),
            direction,
            payload_out: if rollup.spoke_out.0 > 0 { bytes_out } else { 0 },
            payload_in: if rollup.spoke_in.0 > 0 { bytes_in } else { 0 },
            handshake_only: rollup.carried.0 == 0,
            name_only: sum.name_only,
            via_proxy: sum.via_proxy,
            hidden_name: sum.hidden,
            sources_disagree: sum.ambiguous || sum.mismatched.is_some(),
        };
        let (crossing, mut why) = crossing(&input);
        let attempted_only = input.attempted_only();
        if channel.id == UNEXPLAINED {
            why.push(format!("No signature explains why {} talks to it.", asset.product));
        }
        if sum.domain_basis.contains(NAME_FROM_DNS) {
            why.push("The name comes from a DNS answer before the flow, not from the flow itself.".to_owned());
        }
        let mismatch = sum.mismatched.as_ref().map(|mismatched| self.mismatch(mismatched));
        why.extend(mismatch.iter().flat_map(mismatch_text));
        why.extend(ambiguity(sum));
        let data: Vec<&str> = channel.data.iter().map(String::as_str).collect();
        let months = rollup.by_month.iter().map(|(_, volume)| volume.bytes_out.0);
        let judged = self.view.context.policy.judge(&Case {
            channel: &channel.id,
            function: &channel.function,
            data: &data,
            crossing,
            asset: group.host,
            country: group.country.as_deref(),
            domain: group.domain.as_deref(),
            last_seen: rollup.span.last,
            month_bytes_out: months.max().unwrap_or(0),
        });
        why.extend(judged.exemption.as_ref().map(exemption_text));
        let as_ = sum.addresses.iter().next().and_then(|&address| self.as_number(address));
        let id = group.id();
        let finding = Finding {
            new: self.view.context.baseline.map(|baseline| !baseline.has_finding(&id)),
            id,
            asset,
            channel,
            destination: Destination {
                domain: group.domain.clone(),
                other_domains: sum.other_names.iter().map(|name| (**name).to_owned()).collect(),
                domain_is_outer: sum.hidden && sum.domain_basis.iter().any(|basis| *basis != NAME_FROM_DNS),
                domain_basis: sum.domain_basis.first().map(|basis| (*basis).to_owned()),
                ip: sum.addresses.iter().take(ADDRESSES_MAX).map(ToString::to_string).collect(),
                country: group.country.clone(),
                country_basis: place.basis.name().to_owned(),
                country_confidence: place.confidence,
                as_,
            },
            mismatch,
            direction,
            crossing,
            attempted_only,
            bytes_out,
            bytes_in,
            sessions: if sum.name_only { 0 } else { rollup.flows.0 },
            first_seen: rollup.span.first.to_string(),
            last_seen: rollup.span.last.to_string(),
            by_month: rollup
                .by_month
                .iter()
                .map(|&(month, volume)| {
                    let bytes = CountryBytes { bytes_out: volume.bytes_out.0, bytes_in: volume.bytes_in.0 };
                    (month_text(month), bytes)
                })
                .collect(),
            schedule: schedule(&rollup.starts),
            loss: Loss {
                missing_bytes: unseen.missing.0,
                one_sided: unseen.one_sided.0,
                midstream: unseen.midstream.0,
                truncated: unseen.truncated.0,
                evicted: unseen.evicted.0,
            },
            severity: judged.severity.name().to_owned(),
            ambiguous: sum.ambiguous,
            alert: judged.alert,
            exemption: judged.exemption,
            why,
        };
        (finding, known)
    }

    fn as_number(&self, address: IpAddr) -> Option<AsNumber> {
        let (number, organization) = self.view.context.places.asn(address)?;
        Some(AsNumber { number, organization })
    }

    /// As it is printed, with what databases say of the address.
    fn mismatch(&self, mismatched: &Mismatched) -> Mismatch {
        let Mismatched { name, address, told, certificate } = mismatched;
        let homes = self.view.context.policy.homes();
        Mismatch {
            server_name: name.clone(),
            dns: told.iter().cloned().collect(),
            certificate: certificate.iter().map(|name| name.to_string()).collect(),
            ip: address.to_string(),
            country: self.view.context.places.decide(None, Some(*address), homes).country_text(homes),
            as_: self.as_number(*address),
        }
    }

    /// Where it went: of several addresses the most doubtful one counts.
    fn place(&self, sum: &Sum) -> Place {
        let region = sum.whens.iter().filter_map(|&w| self.view.context.signatures.when(w)).find_map(|w| w.when.region);
        let homes = self.view.context.policy.homes();
        let addresses = sum.addresses.iter().filter(|_| !sum.via_proxy).take(ADDRESSES_MAX);
        let places = addresses.map(|&address| self.view.context.places.decide(region, Some(address), homes));
        places
            .min_by_key(|place| (!place.disagree, !place.anycast, place.confidence))
            .unwrap_or_else(|| self.view.context.places.decide(region, None, homes))
    }

    fn channel_of(&self, group: &Group, sum: &Sum) -> Channel {
        let whens: Vec<_> = sum.whens.iter().filter_map(|&w| self.view.context.signatures.when(w)).collect();
        let best = whens.iter().max_by_key(|w| w.when.confidence);
        let Some((best, channel)) = best.and_then(|best| Some((best, best.entry.role.channel()?))) else {
            let vendor = self.view.hosts.get(&group.host).and_then(|h| h.best()).map(|(vendor, _)| vendor.to_owned());
            return Channel {
                id: UNEXPLAINED.to_owned(),
                vendor: vendor.unwrap_or_default(),
                product: String::new(),
                function: UNEXPLAINED.to_owned(),
                data: Vec::new(),
                data_basis: None,
                basis: None,
                source: Vec::new(),
                off_switch: None,
                matched: Vec::new(),
                confidence: 0,
            };
        };
        let entry = best.entry;
        Channel {
            id: entry.id.clone(),
            vendor: best.file.vendor.clone(),
            product: entry.product.clone(),
            function: channel.function.name().to_owned(),
            data: channel.data.iter().map(|d| d.name().to_owned()).collect(),
            data_basis: channel.data_basis.map(|b| b.name().to_owned()),
            basis: Some(entry.basis.name().to_owned()),
            source: entry.source.clone(),
            off_switch: channel.off_switch.clone(),
            matched: whens.iter().map(|w| w.matched()).collect::<BTreeSet<_>>().into_iter().collect(),
            confidence: best.when.worth(sum.ambiguous),
        }
    }

    /// Who the host is: by its own evidence, else by the channel it uses.
    fn asset(
        &self,
        group: &Group,
        sum: &Sum,
        channel: &Channel,
        neighbours: &Neighbours<'_>,
    ) -> (FindingAsset, Option<Known>) {
        let mac = neighbours.mac(group.host).map(|mac| value::mac(&mac));
        let ip = group.host.to_string();
        let site = self.view.context.policy.site_of(group.host).map(str::to_owned);
        if let Some(ship) = self.view.hosts.get(&group.host).and_then(|h| h.vendors.get(&channel.vendor)) {
            return (found_asset(ip, mac, site, channel, ship), None);
        }
        let seen = sum.rollup.first.0.map(|(seen, ())| seen).unwrap_or_default();
        let evidence = Evidence {
            field: sum.domain_basis.first().copied().unwrap_or("ip.dst").to_owned(),
            value: group.domain.clone().or_else(|| sum.addresses.first().map(ToString::to_string)).unwrap_or_default(),
            signature: channel.id.clone(),
            matched: channel.matched.first().cloned().unwrap_or_default(),
            confidence: channel.confidence,
            first_seen: seen.time.to_string(),
            packet: seen.packet,
        };
        let ship = assets::by_channel(&channel.product, evidence);
        let asset = found_asset(ip, mac, site, channel, &ship);
        // A weak name (a vendor's whole domain), a question alone or a page that somebody opens makes no appliance.
        let by_people = Function::from_word(&channel.function).is_none_or(Function::is_opened_by_people);
        let known = channel.confidence >= CONFIDENCE_ENOUGH && !sum.name_only && !by_people;
        (asset, known.then(|| ((group.host, channel.vendor.clone()), ship)))
    }
}

/// What does not fit together, in sentences.
fn mismatch_text(mismatch: &Mismatch) -> Vec<String> {
    let Mismatch { server_name, dns, certificate, ip, as_, .. } = mismatch;
    let mut lines = vec![format!("A hello asks for {server_name} at {ip}.")];
    if !dns.is_empty() {
        lines.push(format!("DNS gave that address for {}.", dns.join(", ")));
    }
    if !certificate.is_empty() {
        lines.push(format!("The certificate there is for {}.", certificate.join(", ")));
    }
    if let Some(AsNumber { number, organization }) = as_ {
        lines.push(format!("That address belongs to AS{number}, {organization}."));
    }
    lines
}

fn schedule(starts: &Starts) -> Schedule {
    Schedule {
        bucket_seconds: starts.seconds(),
        starts: starts.iter().map(|(begin, count)| (begin.to_string(), count.into())).collect(),
    }
}

fn found_asset(
    ip: String,
    mac: Option<String>,
    site: Option<String>,
    channel: &Channel,
    ship: &Vendorship,
) -> FindingAsset {
    FindingAsset {
        ip,
        mac,
        site,
        vendor: channel.vendor.clone(),
        product: ship.product.clone(),
        confidence: ship.confidence,
        evidence: ship.evidence.clone(),
    }
}

impl Merge for Sum {
    fn merge(&mut self, other: Sum) {
        self.whens.extend(other.whens);
        self.rollup.merge(other.rollup);
        self.addresses.extend(other.addresses);
        // Those that are printed and judged by.
        while self.addresses.len() > ADDRESSES_MAX {
            self.addresses.pop_last();
        }
        self.domain_basis.extend(other.domain_basis);
        self.mismatched = match (self.mismatched.take(), other.mismatched) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.via_proxy &= other.via_proxy;
        self.hidden &= other.hidden;
        self.ambiguous &= other.ambiguous;
        self.other_names.extend(other.other_names);
        while self.other_names.len() > OTHER_NAMES_MAX {
            self.other_names.pop_last();
        }
        self.name_only &= other.name_only;
    }
}

/// That what was sent can be read in more than one way.
fn ambiguity(sum: &Sum) -> Option<String> {
    let others: Vec<&str> = sum.other_names.iter().map(|name| &**name).collect();
    match (others.as_slice(), sum.ambiguous) {
        ([], false) => None,
        ([], true) => Some("Copies of the same bytes differ: what arrived may be another message.".to_owned()),
        (names, _) => Some(format!("Copies of the same bytes differ: the name may also be {}.", names.join(", "))),
    }
}

/// Facts of a flow of which only the name is known.
fn name_facts(name: &str) -> Facts {
    let mut facts = Facts::default();
    facts.add(&dns::QNAME, Side::Source, Seen::default(), name.as_bytes());
    facts
}

/// Most serious first; then by who, what and where, so that the order is the same everywhere.
fn rank(f: &Finding) -> impl Ord + use<> {
    let severity = ["high", "medium", "low", "info", "exempt"].iter().position(|word| *word == f.severity);
    (
        f.crossing,
        severity,
        std::cmp::Reverse(f.bytes_out),
        f.asset.ip.parse::<IpAddr>().ok(),
        f.channel.id.clone(),
        f.destination.domain.clone(),
        f.destination.country.clone(),
        f.first_seen.clone(),
    )
}

/// `2026-11` from months since year 0.
fn month_text(months: i32) -> String {
    format!("{:04}-{:02}", months.div_euclid(12), months.rem_euclid(12) + 1)
}
