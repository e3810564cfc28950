//! The facts of one flow, packed.
//!
//! In: values with their field, side and first sight. Out: the same, a set: of a value that comes twice the earlier
//! sight is kept. One vector whatever there is in it, so that a flow at rest costs one piece of memory and a record is
//! written and read back by copying.

use super::{Fact, Field, Flag, Flags, Seen, Side, field};
use crate::time::Time;

/// Values kept of one field in one flow; more set [`Flag::LimitReached`].
pub const FACTS_PER_FIELD_MAX: usize = 64;
/// Bytes of values kept in one flow; more set [`Flag::LimitReached`].
pub const FACT_BYTES_MAX: usize = 32 * 1024;
/// Bytes of one value; a longer one is cut there and flagged.
pub const VALUE_BYTES_MAX: usize = 4096;

/// Before each value: number of the field (2), side (1), length (2), time (8), packet (8).
const HEAD_BYTES: usize = 21;
const TIME_AT: usize = 5;

/// The facts of one flow: a set of (field, side, value), each with its first sight, and flags.
///
/// Of one field the [`FACTS_PER_FIELD_MAX`] smallest values are kept, so the result does not depend on order.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    packed: Vec<u8>,
    count: u32,
    /// Most values that one field was given; of a set that was read back only what was added since.
    most: u32,
    /// A bit for every field that may have a value, by its number: most of what is asked for is not there.
    fields: u64,
    /// What is noteworthy beside values.
    pub flags: Flags,
}

impl From<Flags> for Facts {
    /// No values, only flags.
    fn from(flags: Flags) -> Facts {
        Facts { flags, ..Facts::default() }
    }
}

/// One fact where it lies.
#[derive(Clone, Copy)]
struct Item<'a> {
    at: usize,
    number: u16,
    side: Side,
    value: &'a [u8],
}

impl Item<'_> {
    fn bytes(&self) -> usize {
        HEAD_BYTES + self.value.len()
    }
}

/// Of 64 bits the one that tells of a field.
#[inline]
fn bit(number: u16) -> u64 {
    1 << (number % u64::BITS as u16)
}

/// Facts in the order in which they lie.
struct Items<'a> {
    packed: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        let (head, rest) = self.packed.get(self.at..)?.split_first_chunk::<HEAD_BYTES>()?;
        let value = rest.get(..usize::from(u16::from_le_bytes([head[3], head[4]])))?;
        let side = if head[2] == 0 { Side::Source } else { Side::Destination };
        let item = Item { at: self.at, number: u16::from_le_bytes([head[0], head[1]]), side, value };
        self.at += item.bytes();
        Some(item)
    }
}

impl Facts {
    #[inline]
    fn items(&self) -> Items<'_> {
        Items { packed: &self.packed, at: 0 }
    }

    #[inline]
    fn items_of(&self, number: u16) -> impl Iterator<Item = Item<'_>> {
        let packed = if self.fields & bit(number) == 0 { &[][..] } else { &self.packed };
        Items { packed, at: 0 }.filter(move |item| item.number == number)
    }

    /// First sight of the fact that lies at an offset.
    fn seen(&self, at: usize) -> Seen {
        let word = |from: usize| self.packed.get(at + from..).and_then(|rest| rest.first_chunk::<8>()).copied();
        let [time, packet] = [TIME_AT, TIME_AT + 8].map(|from| u64::from_le_bytes(word(from).unwrap_or_default()));
        Seen { time: Time(time as i64), packet }
    }

    /// Adds a value; the same value again keeps the earlier sight.
    pub fn add(&mut self, field: &'static Field, side: Side, seen: Seen, value: &[u8]) {
        let value = match value.get(..VALUE_BYTES_MAX) {
            Some(cut) if value.len() > VALUE_BYTES_MAX => {
                self.flags.set(Flag::LimitReached);
                cut
            }
            _ => value,
        };
        let number = field.number();
        let mut same_field = 0;
        let count = |_: &Item<'_>| same_field += 1;
        let same = self.items_of(number).inspect(count).find(|item| item.side == side && item.value == value);
        if let Some(at) = same.map(|item| item.at) {
            let earlier = self.seen(at).min(seen);
            return self.set_seen(at, earlier);
        }
        if same_field >= FACTS_PER_FIELD_MAX {
            self.flags.set(Flag::LimitReached);
            if !self.drop_larger(number, side, value) {
                return;
            }
        }
        if self.value_bytes() + value.len() > FACT_BYTES_MAX {
            self.flags.set(Flag::LimitReached);
            return;
        }
        self.most = self.most.max(same_field as u32 + 1);
        self.push(number, side, seen, value);
    }

    fn push(&mut self, number: u16, side: Side, seen: Seen, value: &[u8]) {
        let mut head = [0; HEAD_BYTES];
        head[..2].copy_from_slice(&number.to_le_bytes());
        head[2] = side.index() as u8;
        head[3..TIME_AT].copy_from_slice(&(value.len() as u16).to_le_bytes());
        head[TIME_AT..TIME_AT + 8].copy_from_slice(&seen.time.0.to_le_bytes());
        head[TIME_AT + 8..].copy_from_slice(&seen.packet.to_le_bytes());
        self.packed.extend_from_slice(&head);
        self.packed.extend_from_slice(value);
        self.count += 1;
        self.fields |= bit(number);
    }

    fn set_seen(&mut self, at: usize, seen: Seen) {
        let Some(words) = self.packed.get_mut(at + TIME_AT..).and_then(|rest| rest.first_chunk_mut::<16>()) else {
            return;
        };
        words[..8].copy_from_slice(&seen.time.0.to_le_bytes());
        words[8..].copy_from_slice(&seen.packet.to_le_bytes());
    }

    /// A field is full: drops its largest value when this one is smaller; whether it did.
    fn drop_larger(&mut self, number: u16, side: Side, value: &[u8]) -> bool {
        let Some(largest) = self.items_of(number).max_by_key(|item| (item.value, item.side)) else { return false };
        if (value, side) >= (largest.value, largest.side) {
            return false;
        }
        let range = largest.at..largest.at + largest.bytes();
        self.packed.drain(range);
        self.count -= 1;
        true
    }

    fn value_bytes(&self) -> usize {
        self.packed.len() - self.len() * HEAD_BYTES
    }

    /// Close to a limit: a flow of many messages does well to end here and begin anew, so that
    /// nothing is lost.
    pub fn is_nearly_full(&self) -> bool {
        self.most as usize >= FACTS_PER_FIELD_MAX / 2 || self.value_bytes() >= FACT_BYTES_MAX / 2
    }

    /// Adds a number.
    pub fn add_number(&mut self, field: &'static Field, side: Side, seen: Seen, value: u64) {
        self.add(field, side, seen, &value.to_be_bytes());
    }

    /// All facts, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = Fact<'_>> {
        self.items().filter_map(|item| self.fact(&item))
    }

    fn fact<'a>(&self, item: &Item<'a>) -> Option<Fact<'a>> {
        Some(Fact { field: field(item.number)?, side: item.side, value: item.value, seen: self.seen(item.at) })
    }

    /// The facts of one field, in no particular order.
    pub fn of(&self, field: &'static Field) -> impl Iterator<Item = Fact<'_>> {
        let of_field = self.items_of(field.number());
        of_field.map(move |item| Fact { field, side: item.side, value: item.value, seen: self.seen(item.at) })
    }

    /// The fact of this field that was seen first; of two in one packet the smaller value.
    pub fn first(&self, field: &'static Field) -> Option<Fact<'_>> {
        self.of(field).min_by(|a, b| (a.seen, a.value).cmp(&(b.seen, b.value)))
    }

    /// Whether a field has a value.
    pub fn has(&self, field: &'static Field) -> bool {
        self.items_of(field.number()).next().is_some()
    }

    /// Number of facts.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// No facts and no flags.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.flags.0 == 0
    }

    /// Bytes of memory behind it.
    pub fn heap_bytes(&self) -> usize {
        self.packed.capacity()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.packed.clear();
        (self.count, self.most, self.fields) = (0, 0, 0);
        self.flags = Flags::default();
    }

    /// Union with another set of facts about the same flow.
    pub fn merge(&mut self, other: &Facts) {
        self.flags.0 |= other.flags.0;
        for fact in other.iter() {
            self.add(fact.field, fact.side, fact.seen, fact.value);
        }
    }

    /// The values as they lie in memory, for [`Facts::set_packed`] of the same run.
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// Becomes what [`Facts::packed`] gave, in the memory that is there; whether the bytes are that.
    pub fn set_packed(&mut self, packed: &[u8], flags: Flags) -> bool {
        let mut items = Items { packed, at: 0 };
        (self.count, self.fields) =
            items.by_ref().fold((0, 0), |(count, fields), item| (count + 1, fields | bit(item.number)));
        (self.most, self.flags) = (0, flags);
        self.packed.clear();
        self.packed.extend_from_slice(packed);
        items.at == packed.len()
    }
}
