//! The choice: which verdicts a flow gets.
//!
//! In: the facts of one flow and what its key says. Out: the `when` blocks that hold, each with
//! its evidence, less those that something better makes superfluous. Whether a host has the
//! identity that `from` asks for is known only when all flows were seen; [`Signatures::settle`]
//! makes the final choice then.
//!
//! - Of channels the most specific wins: highest confidence, then most conditions, then the
//!   longest known text, then the id. Exactly one channel is left for a flow.
//! - Of identities all are kept. One of weak confidence is dropped when a better one speaks of the
//!   same host.

use std::cmp::Reverse;
use std::net::IpAddr;

use super::Signatures;
use super::file::{Condition, WEAK_CONFIDENCE_MAX, When};
use super::index::{Index, Rule, WhenId};
use crate::fact::{ETH_OUI, Fact, Facts, Field, IP_ASN, IP_DST, Seen, Side, TCP_PORT, UDP_PORT};
use crate::flow::key::protocol;

/// What a flow says of itself beside its facts.
#[derive(Clone, Copy, Debug)]
pub struct FlowValues {
    /// Address of the side that was asked.
    pub destination: IpAddr,
    /// IANA protocol number.
    pub protocol: u8,
    /// Port of the side that was asked.
    pub port: u16,
    /// Autonomous system of the destination, when a database knows it.
    pub asn: Option<u32>,
    /// First three bytes of the hardware address of the source and the destination.
    pub ouis: [Option<[u8; 3]>; 2],
}

/// A `when` block whose conditions about the flow all hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Which.
    pub when: WhenId,
    /// It is an identity; else a channel.
    pub identity: bool,
    /// The side that showed the evidence: of an identity, the side that is the asset. Of evidence
    /// that no side sent (ports, destination address) the source.
    pub side: Side,
    /// It has `from`: it counts only if the host has one of these identities.
    pub conditional: bool,
    /// 1 to 100.
    pub confidence: u8,
    start: u32,
    end: u32,
}

/// A value that satisfied a condition of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence<'s> {
    /// The field.
    pub field: &'static Field,
    /// The value, in the form that the field's kind says.
    pub value: &'s [u8],
    /// The side that sent it.
    pub side: Side,
    /// Where it was first seen; `None` for what the flow's key says.
    pub seen: Option<Seen>,
}

/// The verdicts of one flow.
#[derive(Clone, Copy, Debug)]
pub struct Verdicts<'s> {
    scratch: &'s Scratch,
}

impl<'s> Verdicts<'s> {
    /// By number of the `when` block and side.
    pub fn hits(&self) -> &'s [Hit] {
        &self.scratch.hits
    }

    /// By number of the `when` block and side.
    pub fn iter(&self) -> impl Iterator<Item = &'s Hit> + use<'s> {
        self.hits().iter()
    }

    /// What satisfied an identity, in the order of its conditions; nothing for a channel.
    pub fn evidence(&self, hit: &Hit) -> impl Iterator<Item = Evidence<'s>> + use<'s> {
        let scratch = self.scratch;
        scratch.evidence[hit.start as usize..hit.end as usize].iter().map(|piece| Evidence {
            field: piece.field,
            value: &scratch.bytes[piece.start as usize..piece.end as usize],
            side: piece.side,
            seen: piece.seen,
        })
    }
}

/// Memory that is used again from flow to flow.
#[derive(Debug, Default)]
pub struct Scratch {
    epoch: u32,
    atoms: Vec<u32>,
    whens: Vec<u32>,
    text_epoch: u32,
    texts: Vec<u32>,
    pub(super) found: Vec<Found>,
    pub(super) holding: Vec<WhenId>,
    hits: Vec<Hit>,
    evidence: Vec<Piece>,
    bytes: Vec<u8>,
}

/// A value that matches a pattern.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) atom: u32,
    pub(super) field: &'static Field,
    pub(super) side: Side,
    pub(super) seen: Option<Seen>,
    /// Position among the facts; [`NO_FACT`] for what the key says.
    pub(super) at: u32,
}

/// The place of a value that is no fact.
const NO_FACT: u32 = u32::MAX;

impl Found {
    /// A value that the key of the flow says.
    pub(super) fn of_flow(field: &'static Field, side: Side) -> Found {
        Found { atom: 0, field, side, seen: None, at: NO_FACT }
    }
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    field: &'static Field,
    side: Side,
    seen: Option<Seen>,
    start: u32,
    end: u32,
}

impl Scratch {
    /// Forgets the last flow.
    pub(super) fn start(&mut self, atoms: usize, whens: usize, texts: usize) {
        if self.atoms.len() != atoms || self.whens.len() != whens || self.texts.len() != texts || self.epoch == u32::MAX
        {
            self.atoms = vec![0; atoms];
            self.whens = vec![0; whens];
            self.texts = vec![0; texts];
            (self.epoch, self.text_epoch) = (0, 0);
        }
        self.epoch += 1;
        self.found.clear();
        self.holding.clear();
        self.hits.clear();
        self.evidence.clear();
        self.bytes.clear();
    }

    pub(super) fn add(&mut self, found: Found) {
        self.atoms[found.atom as usize] = self.epoch;
        self.found.push(found);
    }

    pub(super) fn has_atom(&self, atom: u32) -> bool {
        self.atoms[atom as usize] == self.epoch
    }

    pub(super) fn first_sight_of_when(&mut self, when: WhenId) -> bool {
        std::mem::replace(&mut self.whens[when as usize], self.epoch) != self.epoch
    }

    /// A new text is looked at: no pattern was tried on it.
    pub(super) fn next_text(&mut self) {
        if self.text_epoch == u32::MAX {
            self.texts.fill(0);
            self.text_epoch = 0;
        }
        self.text_epoch += 1;
    }

    pub(super) fn first_sight_of_text(&mut self, text: u32) -> bool {
        std::mem::replace(&mut self.texts[text as usize], self.text_epoch) != self.text_epoch
    }
}

/// What makes a channel more specific than another; larger is better.
pub(super) type Rank = (u8, u32, u32, Reverse<u32>);

pub(super) fn rank(rule: &Rule, literal: u32) -> Rank {
    (rule.confidence, rule.conditions, literal, Reverse(rule.order))
}

impl Index {
    /// The verdicts of a flow. Channels that can no longer win, and weak identities beside better
    /// ones of the same host, are left out.
    pub fn select<'s>(&self, facts: &Facts, values: &FlowValues, scratch: &'s mut Scratch) -> Verdicts<'s> {
        self.matches(facts, values, scratch);
        let holding = std::mem::take(&mut scratch.holding);
        let mut best: Option<Rank> = None;
        let mut strong = [false; 2];
        for when in &holding {
            let rule = &self.rules[*when as usize];
            if rule.identity {
                self.add_identity(*when, rule, facts, values, scratch, &mut strong);
            } else if !rule.conditional {
                best = best.max(Some(rank(rule, self.matched_literal(rule, scratch))));
            }
        }
        scratch.hits.retain(|hit| hit.confidence > WEAK_CONFIDENCE_MAX || !strong[hit.side.index()]);
        for when in &holding {
            let rule = &self.rules[*when as usize];
            if rule.identity || Some(rank(rule, self.matched_literal(rule, scratch))) < best {
                continue;
            }
            let side = self.side(rule, scratch);
            let hit = Hit {
                when: *when,
                identity: false,
                side,
                conditional: rule.conditional,
                confidence: rule.confidence,
                start: 0,
                end: 0,
            };
            scratch.hits.push(hit);
        }
        scratch.hits.sort_unstable_by_key(|hit| (hit.when, hit.side));
        scratch.holding = holding;
        Verdicts { scratch }
    }

    /// One hit for each side that showed the condition that leads.
    fn add_identity(
        &self,
        when: WhenId,
        rule: &Rule,
        facts: &Facts,
        values: &FlowValues,
        scratch: &mut Scratch,
        strong: &mut [bool; 2],
    ) {
        for side in [Side::Source, Side::Destination] {
            if self.first_sight(rule, rule.lead, side, facts, scratch).is_none() {
                continue;
            }
            let start = scratch.evidence.len() as u32;
            for condition in 0..rule.count {
                let found = self.first_sight(rule, condition, side, facts, scratch);
                let found = found.or_else(|| self.first_sight(rule, condition, side.other(), facts, scratch));
                if let Some(found) = found {
                    add_piece(found, facts, values, scratch);
                }
            }
            strong[side.index()] |= rule.confidence > WEAK_CONFIDENCE_MAX;
            scratch.hits.push(Hit {
                when,
                identity: true,
                side,
                conditional: rule.conditional,
                confidence: rule.confidence,
                start,
                end: scratch.evidence.len() as u32,
            });
        }
    }

    /// The first value of a side that satisfied a condition; of two in one packet the smaller.
    fn first_sight(&self, rule: &Rule, condition: u32, side: Side, facts: &Facts, scratch: &Scratch) -> Option<Found> {
        let atoms = self.atoms(rule, condition);
        let of_side = scratch.found.iter().filter(|found| found.side == side && atoms.contains(&found.atom));
        of_side.min_by_key(|found| (found.seen, value_of(found.at, facts), found.field.name)).copied()
    }

    fn side(&self, rule: &Rule, scratch: &Scratch) -> Side {
        let atoms = self.atoms(rule, rule.lead);
        let sides = scratch.found.iter().filter(|found| atoms.contains(&found.atom)).map(|found| found.side);
        sides.min().unwrap_or(Side::Source)
    }
}

fn value_of(at: u32, facts: &Facts) -> &[u8] {
    facts.iter().nth(at as usize).map_or(&[], |fact| fact.value)
}

fn add_piece(found: Found, facts: &Facts, values: &FlowValues, scratch: &mut Scratch) {
    let start = scratch.bytes.len() as u32;
    if found.at == NO_FACT {
        add_value(found.field, found.side, values, &mut scratch.bytes);
    } else {
        scratch.bytes.extend_from_slice(value_of(found.at, facts));
    }
    let end = scratch.bytes.len() as u32;
    scratch.evidence.push(Piece { field: found.field, side: found.side, seen: found.seen, start, end });
}

/// Adds the bytes of a value that the key says, in the form of the field's kind.
fn add_value(field: &'static Field, side: Side, values: &FlowValues, bytes: &mut Vec<u8>) {
    if *field == IP_DST {
        match values.destination.to_canonical() {
            IpAddr::V4(v4) => bytes.extend_from_slice(&v4.octets()),
            IpAddr::V6(v6) => bytes.extend_from_slice(&v6.octets()),
        }
    } else if *field == ETH_OUI {
        bytes.extend_from_slice(values.ouis[side.index()].as_ref().map_or(&[], |oui| oui));
    } else if *field == IP_ASN {
        bytes.extend_from_slice(&u64::from(values.asn.unwrap_or(0)).to_be_bytes());
    } else {
        bytes.extend_from_slice(&u64::from(values.port).to_be_bytes());
    }
}

impl Signatures {
    /// The verdicts of a flow: see [`Index::select`].
    pub fn select<'s>(&self, facts: &Facts, values: &FlowValues, scratch: &'s mut Scratch) -> Verdicts<'s> {
        self.index.select(facts, values, scratch)
    }

    /// Whether a condition may speak of this fact.
    #[inline]
    pub fn may_match(&self, fact: &Fact<'_>) -> bool {
        self.index.may_match(fact)
    }

    /// Whether a condition may speak of these addresses: of the destination, its system, a maker's prefix.
    pub fn look_at_ends(&self, values: &FlowValues) -> bool {
        self.index.look_at_ends(values)
    }

    /// The final choice among the verdicts of one flow, once it is known which identities the
    /// host has: all identities, and of the channels that hold the most specific one. Sorted.
    pub fn settle(&self, candidates: &[WhenId], has_identity: impl Fn(&str) -> bool) -> Vec<WhenId> {
        let mut settled = Vec::new();
        let mut best: Option<(Rank, WhenId)> = None;
        for candidate in candidates {
            let (Some(rule), Some(when)) = (self.index.rules.get(*candidate as usize), self.when(*candidate)) else {
                continue;
            };
            if rule.conditional && !when.when.from.iter().any(|id| has_identity(id)) {
                continue;
            }
            if rule.identity {
                settled.push(*candidate);
            } else {
                best = best.max(Some((rank(rule, rule.literal), *candidate)));
            }
        }
        settled.extend(best.map(|(_, when)| when));
        settled.sort_unstable();
        settled.dedup();
        settled
    }
}

/// Whether all conditions of a `when` block about the flow hold, found without an index. For
/// checks and tests: this is what the index must agree with.
pub fn holds(when: &When, facts: &Facts, values: &FlowValues) -> bool {
    when.conditions.iter().all(|condition| condition_holds(condition, facts, values))
}

fn condition_holds(condition: &Condition, facts: &Facts, values: &FlowValues) -> bool {
    let any = |value: &[u8]| condition.patterns.iter().any(|pattern| pattern.matches(value));
    condition.fields.iter().any(|field| {
        let of_key = |side| {
            let mut bytes = Vec::new();
            add_value(field, side, values, &mut bytes);
            any(&bytes)
        };
        if **field == TCP_PORT {
            values.protocol == protocol::TCP && of_key(Side::Source)
        } else if **field == UDP_PORT {
            values.protocol == protocol::UDP && of_key(Side::Source)
        } else if **field == IP_DST || **field == IP_ASN {
            of_key(Side::Source)
        } else if **field == ETH_OUI {
            of_key(Side::Source) || of_key(Side::Destination)
        } else {
            facts.iter().any(|fact| fact.field == *field && any(fact.value))
        }
    })
}
