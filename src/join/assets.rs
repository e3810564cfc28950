//! Who a host is: evidence of several kinds, fused.
//!
//! In: pieces of evidence by host. Out: for each host its identities with a confidence, and the
//! assets of the report.
//!
//! **How confidence combines.** Pieces are grouped by kind (what stands before the dot of the
//! field: `x509`, `http`, `ssh`, `tls`, …): two pieces of one kind usually have one cause, so of a
//! kind the best piece counts alone. Kinds are independent: what remains in doubt after one is what
//! the next is asked about, so doubts multiply, and 99 is the most that can be reached from the
//! wire. Two kinds of 80 and 50 give 90.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::neighbours::Neighbours;
use super::{CONFIDENCE_ENOUGH, Context};
use crate::collect::Rollups;
use crate::fact::{ETH_OUI, Fact, Seen, Side, value};
use crate::merge::{First, Map, Merge, Set};
use crate::parse;
use crate::record::{Asset, CountryBytes, Evidence, EvidenceKey, HostTraits, TRAITS_MAX, Volume};

/// The most that evidence from the wire can reach.
const CONFIDENCE_MAX: u8 = 99;
/// Pieces of evidence kept of one asset.
const EVIDENCE_MAX: usize = 64;
/// A host known only by a channel it uses is at most this sure to be that vendor's.
const BY_CHANNEL_MAX: u8 = 60;

/// What one vendor's evidence says of a host.
#[derive(Clone, Debug)]
pub struct Vendorship {
    /// The product of the best identity.
    pub product: String,
    /// The model, where a value shows it.
    pub model: Option<String>,
    /// The version, where a value shows it.
    pub version: Option<String>,
    /// All kinds together, 0 to 99.
    pub confidence: u8,
    /// Best first.
    pub evidence: Vec<Evidence>,
}

/// Who a host is.
#[derive(Clone, Debug, Default)]
pub struct Identified {
    /// Ids of identities with the confidence of each.
    pub identities: BTreeMap<String, u8>,
    /// By vendor.
    pub vendors: BTreeMap<String, Vendorship>,
    /// One address fronts many hosts.
    pub shared: bool,
}

impl Identified {
    /// Whether the host is this with enough confidence to build on.
    pub fn is(&self, identity: &str) -> bool {
        self.identities.get(identity).is_some_and(|&confidence| confidence >= CONFIDENCE_ENOUGH)
    }

    /// The vendor with the most confidence.
    pub fn best(&self) -> Option<(&str, &Vendorship)> {
        self.vendors
            .iter()
            .max_by(|a, b| a.1.confidence.cmp(&b.1.confidence).then(b.0.cmp(a.0)))
            .map(|(vendor, ship)| (vendor.as_str(), ship))
    }
}

/// Fuses the confidences of pieces, given with their kind.
pub fn fuse<'a>(pieces: impl Iterator<Item = (&'a str, u8)>) -> u8 {
    let mut best: BTreeMap<&str, u8> = BTreeMap::new();
    for (kind, confidence) in pieces {
        let entry = best.entry(kind).or_default();
        *entry = (*entry).max(confidence);
    }
    // In integers, so that every machine rounds alike.
    let doubt = best.values().fold(10_000u32, |doubt, &c| doubt * (100 - u32::from(c.min(100))) / 100);
    ((10_000 - doubt) / 100).min(u32::from(CONFIDENCE_MAX)) as u8
}

/// The kind of a field: what stands before its dot.
fn kind(field: &str) -> &str {
    field.split('.').next().unwrap_or(field)
}

/// Who each host is.
pub fn identify(
    evidence: &Map<EvidenceKey, First<Seen, ()>>,
    traits: &Map<IpAddr, HostTraits>,
    neighbours: &Neighbours<'_>,
    context: Context<'_>,
) -> Map<IpAddr, Identified> {
    // A maker's prefix speaks of the device that has it, not of hosts that it sends for.
    let of_maker = |key: &EvidenceKey| key.field == ETH_OUI.name;
    let is_own = |key: &EvidenceKey| neighbours.mac(key.host).is_some_and(|mac| mac.starts_with(&key.value));
    let mut makers: Map<(IpAddr, u32), bool> = Map::default();
    for key in evidence.keys().filter(|key| of_maker(key)) {
        *makers.entry((key.host, key.when)).or_default() |= is_own(key);
    }
    let mut by_host: Map<IpAddr, Vec<(&EvidenceKey, Seen)>> = Map::default();
    for (key, first) in evidence {
        let Some((seen, ())) = first.0 else { continue };
        if makers.get(&(key.host, key.when)) == Some(&false) || of_maker(key) && !is_own(key) {
            continue;
        }
        for host in neighbours.addresses(key.host) {
            by_host.entry(host).or_default().push((key, seen));
        }
    }
    by_host
        .into_iter()
        .map(|(host, mut pieces)| {
            // What frames and packets show alike is one piece.
            pieces.sort_unstable_by_key(|(key, seen)| (key.when, key.field, &key.value, *seen));
            pieces.dedup_by_key(|(key, _)| (key.when, key.field, &key.value));
            let mut identified = one_host(&pieces, context);
            identified.shared = is_shared(&identified, traits.get(&host));
            (host, identified)
        })
        .collect()
}

fn one_host(pieces: &[(&EvidenceKey, Seen)], context: Context<'_>) -> Identified {
    let mut identified = Identified::default();
    let mut by_identity: BTreeMap<&str, Vec<(&str, u8)>> = BTreeMap::new();
    let mut by_vendor: BTreeMap<&str, Vec<(Evidence, &str, bool)>> = BTreeMap::new();
    let mut leads: BTreeMap<u32, &str> = BTreeMap::new();
    for (key, _) in pieces {
        let lead = leads.entry(key.when).or_insert(key.field);
        *lead = (*lead).min(key.field);
    }
    for (key, seen) in pieces {
        let Some(when) = context.signatures.when(key.when) else { continue };
        // Several conditions of one block are one piece of evidence: its first field counts.
        let leads = leads.get(&key.when) == Some(&key.field);
        if leads {
            by_identity.entry(&when.entry.id).or_default().push((kind(key.field), when.when.worth(key.ambiguous)));
        }
        let evidence = Evidence {
            field: key.field.to_owned(),
            value: printed(key),
            signature: when.entry.id.clone(),
            matched: when.matched(),
            confidence: when.when.worth(key.ambiguous),
            first_seen: seen.time.to_string(),
            packet: seen.packet,
        };
        by_vendor.entry(&when.file.vendor).or_default().push((evidence, &when.entry.product, leads));
    }
    for (id, pieces) in by_identity {
        identified.identities.insert(id.to_owned(), fuse(pieces.into_iter()));
    }
    let mut words = words_read(pieces, context);
    for (vendor, mut pieces) in by_vendor {
        // Best first; of equals a certificate's subject says most exactly what the thing is.
        pieces.sort_by_cached_key(|(e, ..)| {
            let subject = e.field != "x509.subject";
            (std::cmp::Reverse(e.confidence), subject, e.signature.clone(), e.field.clone(), e.value.clone())
        });
        let counted = pieces.iter().filter(|(_, _, leads)| *leads);
        let confidence = fuse(counted.map(|(e, ..)| (kind(&e.field), e.confidence)));
        let product = pieces.first().map(|(_, product, _)| (*product).to_owned()).unwrap_or_default();
        let evidence = pieces.into_iter().map(|(e, ..)| e).take(EVIDENCE_MAX).collect();
        let [model, version] = words.remove(vendor).unwrap_or_default();
        identified.vendors.insert(vendor.to_owned(), Vendorship { product, model, version, confidence, evidence });
    }
    identified
}

/// Model and version by vendor: of several the surest, then the one that was seen first latest, because devices are
/// updated.
fn words_read<'a>(pieces: &[(&EvidenceKey, Seen)], context: Context<'a>) -> BTreeMap<&'a str, [Option<String>; 2]> {
    /// Confidence, when it was seen, the word.
    type Best = Option<(u8, Seen, String)>;
    let mut best: BTreeMap<&str, [Best; 2]> = BTreeMap::new();
    for (key, seen) in pieces {
        let Some(when) = context.signatures.when(key.when) else { continue };
        if when.when.model.is_empty() && when.when.version.is_empty() {
            continue;
        }
        let value = printed(key);
        let read = when
            .when
            .read(&value)
            .map(|word| word.map(|word| (when.when.worth(key.ambiguous), *seen, word.to_owned())));
        for (best, read) in best.entry(&when.file.vendor).or_default().iter_mut().zip(read) {
            *best = best.take().max(read);
        }
    }
    best.into_iter().map(|(vendor, words)| (vendor, words.map(|word| word.map(|(.., word)| word)))).collect()
}

fn printed(key: &EvidenceKey) -> String {
    match parse::field(key.field) {
        Some(field) => value::text(&Fact { field, side: Side::Source, value: &key.value, seen: Seen::default() }),
        None => value::hex(&key.value),
    }
}

/// Several vendors' devices, or more clients than one appliance is, behind one address.
fn is_shared(identified: &Identified, traits: Option<&HostTraits>) -> bool {
    let sure = identified.vendors.values().filter(|v| v.confidence >= CONFIDENCE_ENOUGH).count();
    let crowded = traits.is_some_and(|t| {
        t.client_fingerprints.len() >= TRAITS_MAX || t.user_agents.len() >= TRAITS_MAX || t.macs.had_more()
    });
    sure >= 2 || crowded
}

/// A host that is known only because it uses a vendor's channel.
pub type ByChannel = BTreeMap<(IpAddr, String), Vendorship>;

/// What a channel says of the host that uses it.
pub fn by_channel(product: &str, evidence: Evidence) -> Vendorship {
    let confidence = evidence.confidence.min(BY_CHANNEL_MAX);
    Vendorship { product: product.to_owned(), model: None, version: None, confidence, evidence: vec![evidence] }
}

/// What a host sent and got, in all and by country.
#[derive(Clone, Debug, Default)]
pub(super) struct Total {
    pub(super) volume: Volume,
    pub(super) by_country: BTreeMap<String, CountryBytes>,
}

impl Merge for Total {
    fn merge(&mut self, other: Total) {
        self.volume.merge(other.volume);
        for (country, bytes) in other.by_country {
            let sum = self.by_country.entry(country).or_default();
            sum.bytes_out = sum.bytes_out.saturating_add(bytes.bytes_out);
            sum.bytes_in = sum.bytes_in.saturating_add(bytes.bytes_in);
        }
    }
}

/// Totals of the hosts that are wanted.
pub(super) fn totals(rollups: &[&Rollups], wanted: &Set<IpAddr>, context: Context<'_>) -> Map<IpAddr, Total> {
    let mut totals: Map<IpAddr, Total> = Map::default();
    for (key, gist, rollup) in rollups.iter().flat_map(|part| part.iter()) {
        let inside = key.remote.filter(|remote| gist.remote_inside && wanted.contains(remote));
        let of_host = wanted.contains(&key.host);
        if !of_host && inside.is_none() {
            continue;
        }
        let volume @ Volume { bytes_out, bytes_in } = rollup.volume();
        if let Some(remote) = inside {
            let other_way = Volume { bytes_out: bytes_in, bytes_in: bytes_out };
            totals.entry(remote).or_default().volume.merge(other_way);
        }
        if !of_host {
            continue;
        }
        let total = totals.entry(key.host).or_default();
        total.volume.merge(volume);
        let Some(remote) = key.remote.filter(|_| !gist.remote_inside) else { continue };
        let country = context.places.country(remote).map_or_else(|| "??".to_owned(), |c| c.to_string());
        let sum = total.by_country.entry(country).or_default();
        sum.bytes_out += bytes_out.0;
        sum.bytes_in += bytes_in.0;
    }
    totals
}

/// The assets of the report, sorted by address and vendor.
pub(super) fn list(
    hosts: &Map<IpAddr, Identified>,
    by_channel: ByChannel,
    rollups: &[&Rollups],
    settled: &Map<IpAddr, Total>,
    neighbours: &Neighbours<'_>,
    context: Context<'_>,
) -> Vec<Asset> {
    let mut known: BTreeMap<(IpAddr, String), Vendorship> = by_channel;
    for (&host, identified) in hosts {
        for (vendor, ship) in &identified.vendors {
            known.insert((host, vendor.clone()), ship.clone());
        }
    }
    let wanted: Set<IpAddr> = known.keys().map(|(host, _)| *host).collect();
    let mut totals = totals(rollups, &wanted, context);
    for (host, total) in settled {
        totals.entry(*host).or_default().merge(total.clone());
    }
    known
        .into_iter()
        .map(|((host, vendor), ship)| {
            let total = totals.get(&host).cloned().unwrap_or_default();
            let ip = host.to_string();
            Asset {
                new: context.baseline.map(|baseline| !baseline.has_asset(&ip, &vendor)),
                ip,
                mac: neighbours.mac(host).map(|mac| value::mac(&mac)),
                site: context.policy.site_of(host).map(str::to_owned),
                vendor,
                product: ship.product,
                model: ship.model,
                version: ship.version,
                confidence: ship.confidence,
                evidence: ship.evidence,
                shared_address: hosts.get(&host).is_some_and(|h| h.shared),
                bytes_out: total.volume.bytes_out.0,
                bytes_in: total.volume.bytes_in.0,
                by_country: total.by_country,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_of_independent_kinds_multiply() {
        assert_eq!(fuse([("x509", 95)].into_iter()), 95);
        assert_eq!(fuse([("x509", 80), ("http", 50)].into_iter()), 90);
        assert_eq!(fuse([("x509", 80), ("x509", 80), ("x509", 50)].into_iter()), 80, "one kind counts once");
        assert_eq!(fuse([("x509", 95), ("ssh", 95), ("snmp", 95)].into_iter()), CONFIDENCE_MAX);
        assert_eq!(fuse(std::iter::empty()), 0);
    }

    #[test]
    fn fusing_does_not_depend_on_order() {
        let mut pieces = vec![("a", 60), ("b", 70), ("c", 33), ("a", 50)];
        let forward = fuse(pieces.iter().copied());
        pieces.reverse();
        assert_eq!(fuse(pieces.into_iter()), forward);
    }
}
