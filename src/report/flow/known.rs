//! The facts of one record, sorted into places.
//!
//! In: a record. Out: its facts in a row, and of each field that a record has a key for the fact that was seen first,
//! without a search for each.

use smallvec::SmallVec;

use crate::fact::{Fact, Field, Side};
use crate::parse::{self, dns, http, quic, tls};
use crate::record::FlowRecord;

/// Facts for which no memory is asked for.
const FEW_FACTS: usize = 24;
/// Fields that have a key of their own.
const PLACES: usize = 16;
/// No place.
const NOWHERE: u8 = u8::MAX;

/// Fields that have a key of their own.
static PLACED: [&Field; PLACES] = [
    &tls::SNI,
    &quic::SNI,
    &tls::ALPN,
    &tls::JA3,
    &tls::JA3S,
    &tls::JA4,
    &tls::VERSION,
    &tls::CIPHER,
    &dns::QNAME,
    &dns::QTYPE,
    &dns::ANSWER,
    &http::HOST,
    &http::METHOD,
    &http::USER_AGENT,
    &http::SERVER,
    &tls::X509_SHA256,
];

/// What a record does with a field.
#[derive(Clone, Copy)]
struct Column {
    place: u8,
    is_tls: bool,
    /// Where its name stands among the names of all fields, from 1; 0 when it is not known.
    rank: u16,
}

/// What a record does with each field, by the number of the field.
#[derive(Default)]
pub struct Columns(Vec<Column>);

impl Columns {
    /// The columns of every field that there is.
    pub fn new() -> Columns {
        let unknown = Column { place: NOWHERE, is_tls: false, rank: 0 };
        let mut columns = Vec::new();
        let mut names: Vec<&str> = parse::fields().map(|field| field.name).collect();
        names.sort_unstable();
        names.dedup();
        for field in parse::fields() {
            let at = usize::from(field.number());
            columns.resize(columns.len().max(at + 1), unknown);
            columns[at] = Column {
                place: PLACED.iter().position(|placed| *placed == field).map_or(NOWHERE, |place| place as u8),
                is_tls: tls::PROTOCOL.fields.contains(&field) || *field == quic::SNI,
                rank: names.binary_search(&field.name).map_or(0, |rank| rank as u16 + 1),
            };
        }
        Columns(columns)
    }

    /// Where a field's name stands among all; 0 when it is not known.
    #[inline]
    pub fn rank(&self, field: &'static Field) -> u16 {
        self.0.get(usize::from(field.number())).map_or(0, |column| column.rank)
    }
}

/// The facts of one record.
pub struct Known<'a> {
    /// All of them, in no particular order.
    pub all: SmallVec<[Fact<'a>; FEW_FACTS]>,
    /// Some belong to TLS.
    pub is_tls: bool,
    first: [Option<u32>; PLACES],
}

impl<'a> Known<'a> {
    /// Sorts the facts of a record into places.
    pub fn new(record: &'a FlowRecord, columns: &Columns) -> Known<'a> {
        let mut known = Known { all: SmallVec::new(), is_tls: false, first: [None; PLACES] };
        for fact in record.facts.iter() {
            if let Some(column) = columns.0.get(usize::from(fact.field.number())) {
                known.is_tls |= column.is_tls;
                if let Some(first) = known.first.get_mut(usize::from(column.place)) {
                    let earlier = first.and_then(|at| known.all.get(at as usize));
                    if earlier.is_none_or(|earlier| (fact.seen, fact.value) < (earlier.seen, earlier.value)) {
                        *first = Some(known.all.len() as u32);
                    }
                }
            }
            known.all.push(fact);
        }
        known
    }

    /// The fact of a field that was seen first; of two in one packet the smaller value.
    #[inline]
    pub fn first(&self, field: &'static Field) -> Option<&Fact<'a>> {
        match PLACED.iter().position(|placed| *placed == field) {
            Some(place) => self.all.get(self.first[place]? as usize),
            None => self.of(field).min_by(|a, b| (a.seen, a.value).cmp(&(b.seen, b.value))),
        }
    }

    /// As [`Known::first`], among those that one side sent.
    pub fn first_of(&self, field: &'static Field, side: Side) -> Option<&Fact<'a>> {
        self.of(field).filter(|f| f.side == side).min_by(|a, b| (a.seen, a.value).cmp(&(b.seen, b.value)))
    }

    /// The facts of a field, in the order in which they lie.
    pub fn of(&self, field: &'static Field) -> impl Iterator<Item = &Fact<'a>> {
        self.all.iter().filter(move |fact| fact.field == field)
    }
}
