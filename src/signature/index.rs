//! The index: from the facts of a flow to the patterns that match them.
//!
//! In: signature files, once. Then, for each flow, its facts. Out: the numbers of the conditions
//! (`when` blocks) that hold. A pattern is looked up by something literal in it, so the cost of a
//! flow depends on its facts and on what matches, not on how many signatures there are. Lookups do
//! not allocate beyond the caller's [`Scratch`].
//!
//! Each distinct pattern of a set of fields is an *atom*. Of a `when` with several conditions the
//! most selective one (the *anchor*) triggers it; the others are then looked at by their atoms.

use std::borrow::Borrow;
use std::hash::Hash;
use std::net::IpAddr;

use ahash::AHashMap;
use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::file::{Condition, VendorFile, When};
use super::pattern::{self, Hex, NAME_BYTES_MAX, Pattern};
use super::select::{FlowValues, Found, Scratch};
use crate::fact::{ETH_OUI, FLOW_FIELDS, Fact, Facts, Field, IP_ASN, IP_DST, Kind, Side, TCP_PORT, UDP_PORT};
use crate::flow::key::protocol;
use crate::place::PrefixSet;

/// A `when` block: dense numbers in the order of files, entries and lines.
pub type WhenId = u32;

/// Where a `when` block stands: positions in the lists of files, entries and blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// In the list of files.
    pub file: u32,
    /// In the file's entries.
    pub entry: u32,
    /// In the entry's `when` blocks.
    pub when: u32,
}

/// What the choice among verdicts needs to know of a `when` block.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) place: Place,
    pub(super) identity: bool,
    /// It has `from`.
    pub(super) conditional: bool,
    pub(super) confidence: u8,
    /// Number of conditions, `from` included.
    pub(super) conditions: u32,
    /// Known bytes of its weakest patterns, summed over conditions.
    pub(super) literal: u32,
    /// Position by entry id and line, for the last tie.
    pub(super) order: u32,
    /// Its conditions in `Index::conditions`.
    pub(super) first: u32,
    pub(super) count: u32,
    /// The condition that triggers it, among its own.
    anchor: u32,
    /// The condition that says which host an identity speaks of, among its own.
    pub(super) lead: u32,
}

impl Use {
    /// One more pattern speaks of it.
    fn note(&mut self, pattern: &Pattern) {
        match pattern {
            Pattern::Text(text) if text.contains('*') => self.wild_texts = true,
            Pattern::Text(_) => self.whole_texts = true,
            Pattern::Hex(hex) => {
                let length = hex.head().len();
                if let Err(at) = self.heads.binary_search(&length) {
                    self.heads.insert(at, length);
                }
            }
            _ => {}
        }
    }
}

/// All patterns of all files.
#[derive(Debug, Default)]
pub struct Index {
    /// What is to be looked up of a field, by [`Field::number`]; nothing for fields that no pattern speaks of.
    fields: Vec<Option<Use>>,
    names: Names,
    texts: Texts,
    hexes: Hexes,
    numbers: Numbers,
    prefixes: Prefixes,
    /// Known bytes of each atom.
    literals: Vec<u32>,
    /// The `when` blocks that an atom triggers.
    triggers: Groups<u32, WhenId>,
    /// The atoms of each condition.
    conditions: Groups<u32, u32>,
    pub(super) rules: Vec<Rule>,
}

type FieldNumber = u16;

/// A field that patterns speak of, and which kinds of pattern.
#[derive(Clone, Debug, Default)]
struct Use {
    field: FieldNumber,
    whole_texts: bool,
    wild_texts: bool,
    /// The lengths of the known bytes at the start of hex patterns.
    heads: Vec<usize>,
}

/// A pattern that waits in a lookup table.
#[derive(Clone, Copy, Debug)]
struct Posting {
    field: FieldNumber,
    atom: u32,
}

impl Index {
    /// Indexes files; `when` blocks are numbered in their order.
    pub fn build(files: &[VendorFile]) -> Index {
        let mut build = Build::default();
        for (file_at, file) in files.iter().enumerate() {
            for (entry_at, entry) in file.entries.iter().enumerate() {
                for (when_at, when) in entry.whens.iter().enumerate() {
                    let place = Place { file: file_at as u32, entry: entry_at as u32, when: when_at as u32 };
                    build.rule(place, entry.role.is_identity(), when);
                }
            }
        }
        let mut by_id: Vec<usize> = (0..build.rules.len()).collect();
        by_id.sort_by_key(|at| {
            let Place { file, entry, when } = build.rules[*at].place;
            let entry = &files[file as usize].entries[entry as usize];
            (entry.id.as_str(), entry.whens[when as usize].line, *at)
        });
        for (order, at) in by_id.into_iter().enumerate() {
            build.rules[at].order = order as u32;
        }
        build.finish()
    }

    /// Number of `when` blocks.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// There is nothing to match.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Number of distinct patterns.
    pub fn patterns(&self) -> usize {
        self.literals.len()
    }

    /// Where a `when` block stands.
    pub fn place(&self, when: WhenId) -> Option<Place> {
        self.rules.get(when as usize).map(|rule| rule.place)
    }

    /// The `when` blocks of which all conditions about the flow hold, sorted. `from` is not looked
    /// at, and nothing is left out in favour of something better: that is for `select`.
    pub fn matches<'s>(&self, facts: &Facts, values: &FlowValues, scratch: &'s mut Scratch) -> &'s [WhenId] {
        scratch.start(self.literals.len(), self.rules.len(), self.texts.wild.len());
        self.find(facts, values, scratch);
        let mut holding = std::mem::take(&mut scratch.holding);
        for at in 0..scratch.found.len() {
            for when in self.triggers.get(&scratch.found[at].atom) {
                if scratch.first_sight_of_when(*when) && self.holds(&self.rules[*when as usize], scratch) {
                    holding.push(*when);
                }
            }
        }
        holding.sort_unstable();
        scratch.holding = holding;
        &scratch.holding
    }

    /// The atoms of a rule's condition.
    pub(super) fn atoms(&self, rule: &Rule, condition: u32) -> &[u32] {
        self.conditions.get(&(rule.first + condition))
    }

    /// Known bytes of the best patterns that matched, summed over conditions.
    pub(super) fn matched_literal(&self, rule: &Rule, scratch: &Scratch) -> u32 {
        let best = |condition| {
            let atoms = self.atoms(rule, condition).iter().filter(|atom| scratch.has_atom(**atom));
            atoms.map(|atom| self.literals[*atom as usize]).max().unwrap_or(0)
        };
        (0..rule.count).map(best).sum()
    }

    fn holds(&self, rule: &Rule, scratch: &Scratch) -> bool {
        let others = (0..rule.count).filter(|condition| *condition != rule.anchor);
        others.into_iter().all(|condition| self.atoms(rule, condition).iter().any(|atom| scratch.has_atom(*atom)))
    }

    /// Every atom that a fact or a value of the flow matches goes to `scratch.found`.
    fn find(&self, facts: &Facts, values: &FlowValues, scratch: &mut Scratch) {
        for (at, fact) in facts.iter().enumerate() {
            let Some(used) = self.used(fact.field) else { continue };
            let found = Found { atom: 0, field: fact.field, side: fact.side, seen: Some(fact.seen), at: at as u32 };
            self.lookup(fact.field.kind, used, fact.value, found, scratch);
        }
        let (kind, port) = match values.protocol {
            protocol::TCP => (Some(&TCP_PORT), u64::from(values.port)),
            protocol::UDP => (Some(&UDP_PORT), u64::from(values.port)),
            _ => (None, 0),
        };
        if let Some(field) = kind {
            self.flow_number(field, port, scratch);
        }
        if let Some(asn) = values.asn {
            self.flow_number(&IP_ASN, u64::from(asn), scratch);
        }
        if let Some(used) = self.used(&IP_DST) {
            let found = Found::of_flow(&IP_DST, Side::Source);
            let destination = values.destination.to_canonical();
            self.prefixes.lookup(used.field, destination, |atom| scratch.add(Found { atom, ..found }));
        }
        for (oui, side) in values.ouis.iter().zip([Side::Source, Side::Destination]) {
            let (Some(oui), Some(used)) = (oui, self.used(&ETH_OUI)) else { continue };
            self.lookup(Kind::Hex, used, oui, Found::of_flow(&ETH_OUI, side), scratch);
        }
    }

    fn flow_number(&self, field: &'static Field, value: u64, scratch: &mut Scratch) {
        let Some(used) = self.used(field) else { return };
        self.lookup(Kind::Number, used, &value.to_be_bytes(), Found::of_flow(field, Side::Source), scratch);
    }

    /// Whether a pattern may speak of what stands in the headers beside the port.
    pub(super) fn look_at_ends(&self, values: &FlowValues) -> bool {
        let ouis = self.used(&ETH_OUI).is_some_and(|used| {
            let known = |oui: &[u8; 3]| self.hexes.heads.has(oui.as_slice()) || used.heads.iter().any(|len| *len < 3);
            values.ouis.iter().flatten().any(known)
        });
        ouis || values.asn.is_some() && self.used(&IP_ASN).is_some()
            || self.prefixes.have(values.destination.to_canonical())
    }

    /// Whether a pattern may match this value: told quickly, and not always exactly.
    #[inline]
    pub(super) fn may_match(&self, fact: &Fact<'_>) -> bool {
        let Some(used) = self.used(fact.field) else { return false };
        match fact.field.kind {
            Kind::Hex => used.heads.iter().any(|len| fact.value.get(..*len).is_some_and(|h| self.hexes.heads.has(h))),
            Kind::Text => used.wild_texts || self.texts.exact.has(fact.value),
            Kind::Address => pattern::address(fact.value).is_some_and(|address| self.prefixes.have(address)),
            Kind::Name | Kind::Number => true,
        }
    }

    #[inline]
    fn used(&self, field: &'static Field) -> Option<&Use> {
        self.fields.get(usize::from(field.number()))?.as_ref()
    }

    fn lookup(&self, kind: Kind, used: &Use, value: &[u8], found: Found, scratch: &mut Scratch) {
        let field = used.field;
        match kind {
            Kind::Name => self.names.lookup(field, value, |atom| scratch.add(Found { atom, ..found })),
            Kind::Text => self.texts.lookup(used, value, found, scratch),
            Kind::Hex => self.hexes.lookup(used, value, |atom| scratch.add(Found { atom, ..found })),
            Kind::Number => {
                let Some(value) = pattern::number(value) else { return };
                self.numbers.lookup(field, value, |atom| scratch.add(Found { atom, ..found }));
            }
            Kind::Address => {
                let Some(value) = pattern::address(value) else { return };
                self.prefixes.lookup(field, value, |atom| scratch.add(Found { atom, ..found }));
            }
        }
    }
}

/// Values by key, in one vector.
#[derive(Debug)]
struct Groups<K, T> {
    map: AHashMap<K, (u32, u32)>,
    items: Vec<T>,
}

impl<K, T> Default for Groups<K, T> {
    fn default() -> Groups<K, T> {
        Groups { map: AHashMap::new(), items: Vec::new() }
    }
}

impl<K: Hash + Eq + Ord + Clone, T: Clone> Groups<K, T> {
    fn build(mut pairs: Vec<(K, T)>) -> Groups<K, T> {
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        let mut groups = Groups { map: AHashMap::with_capacity(pairs.len()), items: Vec::with_capacity(pairs.len()) };
        for (key, item) in pairs {
            let at = groups.items.len() as u32;
            groups.map.entry(key).or_insert((at, at)).1 = at + 1;
            groups.items.push(item);
        }
        groups
    }

    fn has<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.map.contains_key(key)
    }

    fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> &[T]
    where
        K: Borrow<Q>,
    {
        self.map.get(key).map_or(&[], |(start, end)| &self.items[*start as usize..*end as usize])
    }
}

/// A name with all below it; or what stands behind a label with a `*`, and the whole pattern.
type BelowPosting = (Posting, Option<Pattern>);

/// Host names, by the bytes of every part that begins at a label.
#[derive(Debug, Default)]
struct Names {
    exact: Groups<Box<[u8]>, Posting>,
    /// With all below.
    below: Groups<Box<[u8]>, BelowPosting>,
}

impl Names {
    fn lookup(&self, field: FieldNumber, value: &[u8], mut hit: impl FnMut(u32)) {
        let name = pattern::bare(value);
        // No pattern is longer than this, so what stands before it can only be labels above.
        let cut = name.len().saturating_sub(NAME_BYTES_MAX);
        let mut lower = [0; NAME_BYTES_MAX];
        let tail = &mut lower[..name.len() - cut];
        tail.copy_from_slice(&name[cut..]);
        tail.make_ascii_lowercase();
        if cut == 0 {
            self.exact
                .get(&*tail)
                .iter()
                .filter(|posting| posting.field == field)
                .for_each(|posting| hit(posting.atom));
        }
        let mut report = |part: &[u8]| {
            for (posting, whole) in self.below.get(part) {
                if posting.field == field && whole.as_ref().is_none_or(|pattern| pattern.matches(name)) {
                    hit(posting.atom);
                }
            }
        };
        if cut == 0 || name[cut - 1] == b'.' {
            report(tail);
        }
        for (at, _) in tail.iter().enumerate().filter(|(_, byte)| **byte == b'.') {
            report(&tail[at + 1..]);
        }
    }
}

/// Text: whole, or by the longest piece between two `*`.
#[derive(Debug, Default)]
struct Texts {
    exact: Groups<Box<[u8]>, Posting>,
    wild: Vec<(Posting, Pattern)>,
    pieces: Option<AhoCorasick>,
    /// Positions in `wild` by the number of their piece.
    by_piece: Groups<u32, u32>,
}

impl Texts {
    fn lookup(&self, used: &Use, value: &[u8], found: Found, scratch: &mut Scratch) {
        let field = used.field;
        if used.whole_texts {
            for posting in self.exact.get(value).iter().filter(|posting| posting.field == field) {
                scratch.add(Found { atom: posting.atom, ..found });
            }
        }
        let Some(pieces) = self.pieces.as_ref().filter(|_| used.wild_texts) else { return };
        scratch.next_text();
        for piece in pieces.find_overlapping_iter(value) {
            for at in self.by_piece.get(&piece.pattern().as_u32()) {
                let (posting, pattern) = &self.wild[*at as usize];
                if posting.field == field && scratch.first_sight_of_text(*at) && pattern.matches(value) {
                    scratch.add(Found { atom: posting.atom, ..found });
                }
            }
        }
    }
}

type HexPosting = (Posting, Hex);

/// Bytes, by the known ones at their start.
#[derive(Debug, Default)]
struct Hexes {
    heads: Groups<Box<[u8]>, HexPosting>,
}

impl Hexes {
    fn lookup(&self, used: &Use, value: &[u8], mut hit: impl FnMut(u32)) {
        for head in used.heads.iter().map_while(|length| value.get(..*length)) {
            for (posting, hex) in self.heads.get(head) {
                if posting.field == used.field && hex.matches(value) {
                    hit(posting.atom);
                }
            }
        }
    }
}

/// Numbers, and ranges of them.
#[derive(Debug, Default)]
struct Numbers {
    single: Groups<(FieldNumber, u64), Posting>,
    ranges: Vec<(u64, u64, Posting)>,
}

impl Numbers {
    fn lookup(&self, field: FieldNumber, value: u64, mut hit: impl FnMut(u32)) {
        self.single.get(&(field, value)).iter().for_each(|posting| hit(posting.atom));
        for (low, high, posting) in &self.ranges {
            if posting.field == field && (*low..=*high).contains(&value) {
                hit(posting.atom);
            }
        }
    }
}

/// Networks, by prefix length.
#[derive(Debug, Default)]
struct Prefixes {
    networks: Groups<(IpAddr, u8), Posting>,
    /// The prefix lengths that occur, of IPv4 and of IPv6.
    lengths: [Vec<u8>; 2],
    /// All of them together: most addresses are in none.
    any: Option<PrefixSet>,
}

impl Prefixes {
    fn have(&self, address: IpAddr) -> bool {
        self.any.as_ref().is_some_and(|any| any.contains(address))
    }

    fn lookup(&self, field: FieldNumber, address: IpAddr, mut hit: impl FnMut(u32)) {
        if !self.have(address) {
            return;
        }
        for bits in &self.lengths[usize::from(address.is_ipv6())] {
            for posting in self.networks.get(&(pattern::masked(address, *bits), *bits)) {
                if posting.field == field {
                    hit(posting.atom);
                }
            }
        }
    }
}

/// What is gathered while files are indexed.
#[derive(Default)]
struct Build {
    fields: Vec<Option<Use>>,
    field_count: FieldNumber,
    atoms: AHashMap<(&'static str, usize, Pattern), u32>,
    literals: Vec<u32>,
    triggers: Vec<(u32, WhenId)>,
    conditions: Vec<(u32, u32)>,
    condition_count: u32,
    rules: Vec<Rule>,
    exact_names: Vec<(Box<[u8]>, Posting)>,
    names_below: Vec<(Box<[u8]>, BelowPosting)>,
    exact_texts: Vec<(Box<[u8]>, Posting)>,
    wild_texts: Vec<(Posting, Pattern)>,
    hexes: Vec<(Box<[u8]>, HexPosting)>,
    numbers: Vec<((FieldNumber, u64), Posting)>,
    ranges: Vec<(u64, u64, Posting)>,
    networks: Vec<((IpAddr, u8), Posting)>,
}

impl Build {
    fn rule(&mut self, place: Place, identity: bool, when: &When) {
        let number = self.rules.len() as WhenId;
        let anchor = (0..when.conditions.len()).min_by_key(|at| cost(&when.conditions[*at])).unwrap_or(0);
        let lead = when.conditions.iter().position(|c| !is_of_flow(c)).unwrap_or(0);
        let first = self.condition_count;
        let mut literal = 0;
        for (at, condition) in when.conditions.iter().enumerate() {
            literal += condition.patterns.iter().map(Pattern::literal_len).min().unwrap_or(0) as u32;
            for pattern in &condition.patterns {
                let atom = self.atom(condition, pattern);
                self.conditions.push((first + at as u32, atom));
                if at == anchor {
                    self.triggers.push((atom, number));
                }
            }
        }
        let count = when.conditions.len() as u32;
        self.condition_count += count;
        let conditional = !when.from.is_empty();
        self.rules.push(Rule {
            place,
            identity,
            conditional,
            confidence: when.confidence,
            conditions: count + u32::from(conditional),
            literal,
            order: number,
            first,
            count,
            anchor: anchor as u32,
            lead: lead as u32,
        });
    }

    fn atom(&mut self, condition: &Condition, pattern: &Pattern) -> u32 {
        // Conditions on the same fields share atoms; the first field and their number tell the sets apart.
        let key = (condition.fields.first().map_or("", |f| f.name), condition.fields.len(), pattern.clone());
        if let Some(atom) = self.atoms.get(&key) {
            return *atom;
        }
        let atom = self.literals.len() as u32;
        self.atoms.insert(key, atom);
        self.literals.push(pattern.literal_len() as u32);
        for field in &condition.fields {
            let number = usize::from(field.number());
            self.fields.resize_with(self.fields.len().max(number + 1), || None);
            let next = self.field_count;
            let used = self.fields[number].get_or_insert_with(|| Use { field: next, ..Use::default() });
            self.field_count += FieldNumber::from(used.field == next);
            used.note(pattern);
            let field = used.field;
            self.posting(Posting { field, atom }, pattern);
        }
        atom
    }

    fn posting(&mut self, posting: Posting, pattern: &Pattern) {
        match pattern {
            Pattern::Name(name) => self.exact_names.push((name.as_bytes().into(), posting)),
            Pattern::Below(name) => self.names_below.push((name.as_bytes().into(), (posting, None))),
            Pattern::Label(name) => {
                let behind = pattern::behind_label(name).as_bytes().into();
                self.names_below.push((behind, (posting, Some(pattern.clone()))));
            }
            Pattern::Text(text) if text.contains('*') => self.wild_texts.push((posting, pattern.clone())),
            Pattern::Text(text) => self.exact_texts.push((text.as_bytes().into(), posting)),
            Pattern::Hex(hex) => self.hexes.push((hex.head().into(), (posting, hex.clone()))),
            Pattern::Number(low, high) if low == high => self.numbers.push(((posting.field, *low), posting)),
            Pattern::Number(low, high) => self.ranges.push((*low, *high, posting)),
            Pattern::Prefix(network, bits) => self.networks.push(((*network, *bits), posting)),
        }
    }

    fn finish(self) -> Index {
        let written = self.networks.iter().filter_map(|((network, bits), _)| format!("{network}/{bits}").parse().ok());
        let any = PrefixSet::new(written);
        let prefix_lengths = [false, true].map(|v6| {
            let of_version = self.networks.iter().filter(|((network, _), _)| network.is_ipv6() == v6);
            let mut lengths: Vec<u8> = of_version.map(|((_, bits), _)| *bits).collect();
            lengths.sort_unstable();
            lengths.dedup();
            lengths
        });
        Index {
            fields: self.fields,
            names: Names { exact: Groups::build(self.exact_names), below: Groups::build(self.names_below) },
            texts: texts(self.exact_texts, self.wild_texts),
            hexes: Hexes { heads: Groups::build(self.hexes) },
            numbers: Numbers { single: Groups::build(self.numbers), ranges: self.ranges },
            prefixes: Prefixes { networks: Groups::build(self.networks), lengths: prefix_lengths, any: Some(any) },
            literals: self.literals,
            triggers: Groups::build(self.triggers),
            conditions: Groups::build(self.conditions),
            rules: self.rules,
        }
    }
}

fn texts(exact: Vec<(Box<[u8]>, Posting)>, wild: Vec<(Posting, Pattern)>) -> Texts {
    let mut pieces: Vec<&str> = Vec::new();
    let mut numbers: AHashMap<&str, u32> = AHashMap::new();
    let mut by_piece = Vec::with_capacity(wild.len());
    for (at, (_, pattern)) in wild.iter().enumerate() {
        let Pattern::Text(text) = pattern else { continue };
        let piece = text.split('*').max_by_key(|piece| piece.len()).unwrap_or("");
        let number = *numbers.entry(piece).or_insert_with(|| {
            pieces.push(piece);
            pieces.len() as u32 - 1
        });
        by_piece.push((number, at as u32));
    }
    // The one kind that is quick to build whatever the number of pieces. It fails only beyond two
    // thousand million states; a file is far shorter than that (`FILE_BYTES_MAX`).
    let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(&pieces);
    let pieces = if pieces.is_empty() { None } else { automaton.ok() };
    Texts { exact: Groups::build(exact), wild, pieces, by_piece: Groups::build(by_piece) }
}

/// How many flows a condition is likely to let through, roughly: less is a better anchor.
pub(super) fn cost(condition: &Condition) -> u32 {
    match condition.fields.first() {
        Some(field) if **field == TCP_PORT || **field == UDP_PORT => 4,
        Some(field) if **field == IP_ASN => 3,
        Some(field) if **field == ETH_OUI => 2,
        Some(field) if field.kind == Kind::Address => 1,
        _ => 0,
    }
}

/// The condition speaks of the flow, not of something one side sent.
fn is_of_flow(condition: &Condition) -> bool {
    let of_flow = |field: &&'static Field| FLOW_FIELDS.contains(field) && **field != ETH_OUI;
    condition.fields.iter().all(of_flow)
}
