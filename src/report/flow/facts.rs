//! The list of all facts of a record, in order of field, value and side.
//!
//! In: the facts of a record. Out: a JSON list. Values are compared as they are printed, and most are printed as they
//! are, so hardly one needs a string of its own.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::json;
use super::known::{Columns, Known};
use crate::fact::{Fact, Field, Kind, Side, append, value};

/// Lines for which no memory is asked for.
const FEW_LINES: usize = 24;

/// A value in the form in which it is compared and printed.
#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    /// Printed as it stands.
    Plain(&'a [u8]),
    /// Printed as hex, which has the order of the bytes.
    Hex(&'a [u8]),
    /// Text made of it, from here to there in the made texts.
    Made(u32, u32),
}

/// One fact of the list.
struct Line<'a> {
    rank: u16,
    field: &'static Field,
    value: Value<'a>,
    side: Side,
}

impl Line<'_> {
    fn text<'b>(&'b self, made: &'b [u8]) -> &'b [u8] {
        match self.value {
            Value::Number(_) => &[],
            Value::Plain(bytes) | Value::Hex(bytes) => bytes,
            Value::Made(from, to) => made.get(from as usize..to as usize).unwrap_or_default(),
        }
    }

    /// By name of the field, value and name of the side. The values of one field are of one kind.
    fn order(&self, other: &Line<'_>, made: &[u8]) -> Ordering {
        let fields = if self.rank > 0 && other.rank > 0 {
            self.rank.cmp(&other.rank)
        } else {
            self.field.name.cmp(other.field.name)
        };
        let values = || match (self.value, other.value) {
            (Value::Number(a), Value::Number(b)) => a.cmp(&b),
            _ => self.text(made).cmp(other.text(made)),
        };
        fields.then_with(values).then_with(|| self.side.name().cmp(other.side.name()))
    }
}

/// Writes the list and a comma behind it; nothing without facts. `made` is memory to write in.
pub fn write(out: &mut Vec<u8>, known: &Known<'_>, columns: &Columns, made: &mut Vec<u8>) {
    made.clear();
    let mut lines: SmallVec<[Line<'_>; FEW_LINES]> = SmallVec::new();
    for fact in &known.all {
        let (field, side, rank) = (fact.field, fact.side, columns.rank(fact.field));
        if !field.is_internal() {
            lines.push(Line { rank, field, side, value: printed(fact, made) });
        }
        // A name that cannot be printed as it stood also shows its bytes.
        if field.kind == Kind::Name && !value::is_printable_ascii(fact.value) && !value::is_plain(fact.value) {
            lines.push(Line { rank, field, side, value: bytes(fact.value, made) });
        }
    }
    if lines.is_empty() {
        return;
    }
    lines.sort_unstable_by(|a, b| a.order(b, made));
    json::raw(out, "\"facts\":[");
    for line in &lines {
        json::raw(out, "{\"field\":\"");
        json::raw(out, line.field.name);
        json::raw(out, "\",\"value\":");
        match line.value {
            Value::Number(number) => append::decimal(number, out),
            Value::Hex(bytes) => {
                out.push(b'"');
                append::hex(bytes, out);
                out.push(b'"');
            }
            Value::Plain(_) | Value::Made(..) => json::string(out, line.text(made)),
        }
        json::raw(
            out,
            match line.side {
                Side::Source => ",\"side\":\"source\"},",
                Side::Destination => ",\"side\":\"destination\"},",
            },
        );
    }
    json::close(out, b']');
    out.push(b',');
}

fn printed<'a>(fact: &Fact<'a>, made: &mut Vec<u8>) -> Value<'a> {
    let start = made.len() as u32;
    match fact.field.kind {
        Kind::Number => return Value::Number(value::number(fact.value)),
        Kind::Hex => return Value::Hex(fact.value),
        Kind::Name | Kind::Text if value::is_printable_ascii(fact.value) => return Value::Plain(fact.value),
        Kind::Name | Kind::Text => made.extend_from_slice(value::text(fact).as_bytes()),
        Kind::Address => value::address(fact.value).into_iter().for_each(|address| append::address(address, made)),
    }
    Value::Made(start, made.len() as u32)
}

fn bytes<'a>(value: &[u8], made: &mut Vec<u8>) -> Value<'a> {
    let start = made.len() as u32;
    json::raw(made, "hex:");
    append::hex(value, made);
    Value::Made(start, made.len() as u32)
}
