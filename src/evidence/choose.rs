//! Which flows show a finding, and which of their packets gave facts.
//!
//! In: findings, the flows of the same run. Out: of each finding the flows that show it, one of each kind, the first first;
//! the flows that told who the asset is; the DNS answers that gave its name. The same for any number of workers: of
//! several the one with the smallest number counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::IpAddr;

use super::{FLOWS_PER_FINDING_MAX, Limits, PIECES_PER_FINDING_MAX};
use crate::collect::{Judging, gist_of, resolved};
use crate::fact::{Fact, Facts, Flag, Side, value};
use crate::flow::key::{Key, protocol};
use crate::join::{Attributed, Attribution};
use crate::merge::Span;
use crate::parse::{dns, dtls, http, quic, socks, tls};
use crate::record::{Finding, FlowRecord, Gist, Rollup, RollupKey, normal_name};
use crate::scan::Flows;
use crate::signature::{FlowValues, Scratch};
use crate::time::Time;

/// Facts of these kinds are said in the clear to shake hands, and are worth having together.
const HANDSHAKE_FIELDS: &[&str] = &["tls.", "quic.", "dtls.", "x509."];
/// Protocols of datagrams whose messages come in several of them.
const SPREAD: &[&str] = &[quic::PROTOCOL.name, dtls::PROTOCOL.name];

/// A flow that is wanted, and what of it.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub(super) key: Key,
    /// Number of its first packet.
    pub(super) number: u64,
    /// Packets it had.
    pub(super) packets: u64,
    pub(super) opener_low: bool,
    pub(super) protocol: Option<&'static str>,
    /// Its messages may come in several packets: what is before a fact counts.
    pub(super) is_stream: bool,
    /// Of each side the last packet that gave a fact.
    pub(super) until: [u64; 2],
    /// Packets that gave facts, with remarks that say which.
    pub(super) facts: BTreeMap<u64, BTreeSet<String>>,
}

/// What proves one finding.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Flows that show it, in the order of their numbers.
    pub(super) flows: Vec<Track>,
    /// Answers that gave the names of those flows, by their numbers.
    pub(super) answers: HashMap<u64, Track>,
    /// Flows that told who the asset is.
    pub(super) others: BTreeMap<u64, Track>,
}

/// What makes flows of one finding alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    remote: Option<IpAddr>,
    payload: [bool; 2],
    more: [bool; 2],
    hidden: bool,
    ambiguous: bool,
}

/// A name that a DNS answer may have given.
struct Wanted {
    finding: usize,
    /// Number of the flow whose name it is.
    flow: u64,
    name: String,
    time: Time,
    /// Who needs the name, when it made the channel.
    signature: Option<String>,
}

/// How good an answer is: what the client itself was told latest before the flow, else first after it, else what anybody
/// was told.
type Rank = (u8, i64, u64);

/// The best answer for each flow of each finding.
type Answers = HashMap<(usize, u64), (Rank, Track)>;

struct Choice<'a> {
    findings: &'a [Finding],
    judging: &'a Judging,
    by_id: HashMap<&'a str, usize>,
    flows: Vec<BTreeMap<Kind, Track>>,
    others: Vec<BTreeMap<u64, Track>>,
    /// Pieces of evidence by the number of the packet: finding and piece.
    pieces: HashMap<u64, Vec<(usize, usize)>>,
    /// Names wanted of an address.
    wanted: HashMap<IpAddr, Vec<(IpAddr, Wanted)>>,
    scratch: Scratch,
    /// Findings with more kinds of flows than are kept.
    crowded: BTreeSet<usize>,
    pieces_left_out: usize,
}

/// Chooses for every finding.
pub(super) fn choose(
    findings: &[Finding],
    flows: &mut Flows,
    judging: &Judging,
    limits: &mut Limits,
) -> io::Result<Vec<Chosen>> {
    let (hosts, names) = (flows.hosts.clone(), flows.names.clone());
    let mut attribution = Attribution::new(&hosts, &names, judging.context());
    let mut choice = Choice {
        findings,
        judging,
        by_id: findings.iter().enumerate().map(|(at, finding)| (finding.id.as_str(), at)).collect(),
        flows: findings.iter().map(|_| BTreeMap::new()).collect(),
        others: findings.iter().map(|_| BTreeMap::new()).collect(),
        pieces: HashMap::new(),
        wanted: HashMap::new(),
        scratch: Scratch::default(),
        crowded: BTreeSet::new(),
        pieces_left_out: 0,
    };
    choice.want_pieces();
    flows.look(|record, whens| {
        choice.evidence(record);
        if record.protocol == Some(dns::PROTOCOL.name) {
            choice.questions(record, &mut attribution);
        }
        choice.flow(record, whens, &mut attribution);
        Ok(())
    })?;
    let mut answers = Answers::new();
    if !choice.wanted.is_empty() {
        flows.look(|record, _| {
            choice.answers(record, &mut answers);
            Ok(())
        })?;
    }
    limits.reach("finding.flows", FLOWS_PER_FINDING_MAX, choice.crowded.len());
    limits.reach("finding.pieces", PIECES_PER_FINDING_MAX, choice.pieces_left_out);
    let chosen = choice.flows.into_iter().zip(choice.others).enumerate().map(|(at, (flows, others))| {
        let mut flows: Vec<Track> = flows.into_values().collect();
        flows.sort_by_key(|track| track.number);
        let mut answer = |flow: &Track| Some((flow.number, answers.remove(&(at, flow.number))?.1));
        let answers = flows.iter().filter_map(&mut answer).collect();
        Chosen { flows, answers, others }
    });
    Ok(chosen.collect())
}

impl Choice<'_> {
    /// Notes which packets told who assets are; what a channel alone says of its user is no piece of its own.
    fn want_pieces(&mut self) {
        for (at, finding) in self.findings.iter().enumerate() {
            let own = finding.asset.evidence.iter().enumerate();
            let own: Vec<_> = own.filter(|(_, piece)| piece.signature != finding.channel.id).collect();
            self.pieces_left_out += own.len().saturating_sub(PIECES_PER_FINDING_MAX);
            for (piece, evidence) in own.into_iter().take(PIECES_PER_FINDING_MAX) {
                self.pieces.entry(evidence.packet).or_default().push((at, piece));
            }
        }
    }

    /// Whether this flow told who an asset is.
    fn evidence(&mut self, record: &FlowRecord) {
        let seen = record.facts.iter().map(|fact| fact.seen.packet).chain([record.number]);
        let seen: BTreeSet<u64> = seen.filter(|packet| self.pieces.contains_key(packet)).collect();
        for packet in seen {
            let Some(pieces) = self.pieces.get(&packet) else { continue };
            for &(finding, piece) in pieces {
                let Some(evidence) = self.findings.get(finding).and_then(|f| f.asset.evidence.get(piece)) else {
                    continue;
                };
                let in_packet = |fact: &Fact<'_>| {
                    let packed = fact.field.is_internal();
                    fact.seen.packet == packet && (packed || fact.field.name == evidence.field)
                };
                let side = record.facts.iter().find(in_packet).map(|fact| fact.side);
                // What holds of a flow as a whole was noted with its first packet.
                if side.is_none() && packet != record.number {
                    continue;
                }
                let mut track = Track::of(record);
                let signature = Some(format!("{}, {}", evidence.signature, evidence.matched));
                track.note(side, packet, &evidence.field, &evidence.value, signature);
                merge(&mut self.others[finding], track);
            }
        }
    }

    /// A flow that shows a finding.
    fn flow(&mut self, record: &FlowRecord, whens: &[u32], attribution: &mut Attribution<'_>) {
        if record.key.is_frame() {
            return;
        }
        let gist = gist_of(record, self.judging, whens);
        let Some(ours) = gist.ours else { return };
        let (host, remote) = (record.address(ours), record.address(ours.other()));
        let key = RollupKey { host, remote: Some(remote), gist: 0 };
        let rollup = Rollup { span: Span::of(record.first, record.last), ..Rollup::default() };
        let Some(told) = attribution.of(&key, &gist, &rollup) else { return };
        let Some(&at) = self.by_id.get(told.id.as_str()) else { return };
        let Some(finding) = self.findings.get(at) else { return };
        let flags = record.facts.flags;
        let kind = Kind {
            remote: Some(remote),
            payload: record.payload,
            more: record.more,
            hidden: flags.has(Flag::Ech),
            ambiguous: flags.are_ambiguous(),
        };
        let number = record.number;
        if self.flows[at].get(&kind).is_some_and(|known| known.number <= number) {
            return;
        }
        if let Some(name) = finding.destination.domain.clone().filter(|_| told.name_from_dns || gist.hidden) {
            let when = told.when.and_then(|when| self.judging.signatures.when(when));
            let signature = when.filter(|_| told.name_from_dns).map(|w| format!("{}, {}", w.entry.id, w.matched()));
            let wanted = Wanted { finding: at, flow: number, name, time: record.first, signature };
            self.wanted.entry(remote).or_default().push((host, wanted));
        }
        let track = self.track(record, whens, &gist, &told);
        self.offer(at, kind, track);
    }

    /// Questions for names that no flow followed.
    fn questions(&mut self, record: &FlowRecord, attribution: &mut Attribution<'_>) {
        let mut alone = Facts::default();
        for question in record.facts.of(&dns::QNAME).filter(|fact| fact.side == Side::Source) {
            alone.clear();
            alone.add(&dns::QNAME, question.side, question.seen, question.value);
            let destination = record.address(Side::Destination);
            let values = FlowValues {
                destination,
                protocol: record.key.protocol(),
                port: record.port(Side::Destination),
                asn: self.judging.places.asn(destination).map(|(number, _)| number),
                ouis: [None; 2],
            };
            let verdicts = self.judging.signatures.select(&alone, &values, &mut self.scratch);
            let candidates: Vec<u32> = verdicts.iter().filter(|hit| !hit.identity).map(|hit| hit.when).collect();
            let name = normal_name(&value::name(question.value));
            if candidates.is_empty() || name.is_empty() {
                continue;
            }
            let gist = Gist {
                name: Some(name.as_str().into()),
                name_field: Some(dns::QNAME.name),
                protocol: record.key.protocol(),
                port: record.port(Side::Destination),
                ours: Some(Side::Source),
                candidates: candidates.into(),
                ..Gist::default()
            };
            let time = question.seen.time;
            let mut rollup = Rollup { span: Span::of(time, time), ..Rollup::default() };
            for (_, address, _) in resolved(record).filter(|(_, _, told)| is_name(told, &name)) {
                rollup.rare.get_or_insert_default().addresses.add(address);
            }
            let key = RollupKey { host: record.address(Side::Source), remote: None, gist: 0 };
            let Some(told) = attribution.of(&key, &gist, &rollup) else { continue };
            let Some(&at) = self.by_id.get(told.id.as_str()) else { continue };
            // A flow that followed is better.
            let Some(finding) = self.findings.get(at).filter(|finding| finding.sessions == 0) else { continue };
            let mut track = Track::of(record);
            let matched = finding.channel.matched.first().map(|matched| format!("{}, {matched}", finding.channel.id));
            track.note(Some(question.side), question.seen.packet, dns::QNAME.name, &name, matched);
            track.note_answers(record, &name, None);
            let remote = rollup.addresses().next();
            self.offer(
                at,
                Kind { remote, payload: [true; 2], more: [false; 2], hidden: false, ambiguous: false },
                track,
            );
        }
    }

    /// Of each kind the first flow; of too many kinds those that come first.
    fn offer(&mut self, at: usize, kind: Kind, track: Track) {
        let flows = &mut self.flows[at];
        match flows.get_mut(&kind) {
            Some(known) if track.number < known.number => *known = track,
            Some(known) if track.number == known.number => known.merge(track),
            Some(_) => {}
            None => {
                flows.insert(kind, track);
            }
        }
        if flows.len() > FLOWS_PER_FINDING_MAX {
            let last = flows.iter().max_by_key(|(kind, track)| (track.number, **kind)).map(|(kind, _)| *kind);
            if let Some(kind) = last {
                flows.remove(&kind);
            }
            self.crowded.insert(at);
        }
    }

    /// A flow with the packets that gave the facts which made it this finding.
    fn track(&self, record: &FlowRecord, whens: &[u32], gist: &Gist, told: &Attributed) -> Track {
        let mut track = Track::of(record);
        let whens = whens.iter().copied().chain(told.when).filter_map(|when| self.judging.signatures.when(when));
        let whens: Vec<_> = whens.filter(|when| when.entry.role.channel().is_some()).collect();
        for fact in record.facts.iter().filter(|fact| !fact.field.is_internal()) {
            let when = whens.iter().find(|when| {
                let all = when.when.conditions.iter();
                all.flat_map(|condition| &condition.fields).any(|field| **field == *fact.field)
            });
            let names = gist.name_field == Some(fact.field.name);
            let of_proxy = [&http::CONNECT_HOST, &socks::HOST].contains(&fact.field);
            let handshake = HANDSHAKE_FIELDS.iter().any(|start| fact.field.name.starts_with(start));
            if when.is_none() && !names && !of_proxy && !handshake {
                continue;
            }
            // Of several values the first is the one that counts.
            if record.facts.first(fact.field).is_none_or(|first| first.value != fact.value) && !handshake {
                continue;
            }
            let signature = when.map(|when| format!("{}, {}", when.entry.id, when.matched()));
            track.note(Some(fact.side), fact.seen.packet, fact.field.name, &fact.text(), signature);
        }
        track
    }

    /// Answers that gave names which are wanted.
    fn answers(&self, record: &FlowRecord, answers: &mut Answers) {
        for (side, address, told) in resolved(record) {
            let Some(wanted) = self.wanted.get(&address) else { continue };
            let client = record.address(side.other());
            for (host, Wanted { finding, flow, name, time, signature }) in wanted {
                if !is_name(told, name) {
                    continue;
                }
                let age = time.since(record.first);
                let rank = match (client == *host, age >= 0) {
                    (true, true) => (0, age, record.number),
                    (true, false) => (1, age.saturating_neg(), record.number),
                    (false, _) => (2, record.first.0, record.number),
                };
                if answers.get(&(*finding, *flow)).is_none_or(|(known, _)| rank < *known) {
                    let mut track = Track::of(record);
                    track.note_answers(record, name, signature.as_deref());
                    answers.insert((*finding, *flow), (rank, track));
                }
            }
        }
    }
}

impl Chosen {
    /// Every flow that is wanted, in no particular order.
    pub(super) fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.flows.iter().chain(self.answers.values()).chain(self.others.values())
    }
}

impl Track {
    fn of(record: &FlowRecord) -> Track {
        let spread = record.protocol.is_some_and(|name| SPREAD.contains(&name));
        Track {
            key: record.key,
            number: record.number,
            packets: record.packets.iter().sum(),
            opener_low: record.opener_low,
            protocol: record.protocol,
            is_stream: spread || record.key.protocol() == protocol::TCP,
            until: [0; 2],
            facts: BTreeMap::new(),
        }
    }

    /// A packet gave a fact. `signature`: who needs it and where it says so.
    fn note(&mut self, side: Option<Side>, packet: u64, field: &str, text: &str, signature: Option<String>) {
        if let Some(until) = side.map(|side| side.of_mut(&mut self.until)) {
            *until = (*until).max(packet);
        }
        let signature = signature.map(|signature| format!(" ({signature})")).unwrap_or_default();
        self.facts.entry(packet).or_default().insert(format!("{field} = {text}{signature}"));
    }

    /// The answers that a name was given, and the question for it.
    fn note_answers(&mut self, record: &FlowRecord, name: &str, signature: Option<&str>) {
        for fact in record.facts.of(&dns::RESOLVED) {
            let Some((address, _)) = dns::unpack_resolved(fact.value).filter(|(_, told)| is_name(told, name)) else {
                continue;
            };
            let signature = signature.map(str::to_owned);
            self.note(Some(fact.side), fact.seen.packet, "dns.answer", &format!("{address} for {name}"), signature);
        }
        for fact in record.facts.of(&dns::QNAME).filter(|fact| is_name(fact.value, name)) {
            self.note(Some(fact.side), fact.seen.packet, dns::QNAME.name, name, None);
        }
    }

    fn merge(&mut self, other: Track) {
        for (ours, theirs) in self.until.iter_mut().zip(other.until) {
            *ours = (*ours).max(theirs);
        }
        for (packet, remarks) in other.facts {
            self.facts.entry(packet).or_default().extend(remarks);
        }
    }

    /// Whether it shakes hands in TLS, also inside another protocol.
    pub(super) fn is_handshake(&self) -> bool {
        self.protocol.is_some_and(|name| name == tls::PROTOCOL.name || SPREAD.contains(&name))
    }
}

fn merge(tracks: &mut BTreeMap<u64, Track>, track: Track) {
    match tracks.get_mut(&track.number) {
        Some(known) => known.merge(track),
        None => {
            tracks.insert(track.number, track);
        }
    }
}

/// Whether a name from the wire is this one.
fn is_name(raw: &[u8], name: &str) -> bool {
    normal_name(&value::name(raw)) == name
}
