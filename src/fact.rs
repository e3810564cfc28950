//! Facts: values seen at a place.
//!
//! In: what a parser read. Out: a small set per flow that merges by rules which do not depend on
//! order. A fact says which field, on which side of the flow, with which bytes, and where it was
//! seen first. Nobody judges here; signatures do that later.

pub mod append;
mod facts;
pub mod value;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::time::Time;

pub use facts::{FACT_BYTES_MAX, FACTS_PER_FIELD_MAX, Facts, VALUE_BYTES_MAX};

/// Which end of a flow: the one that opened it, or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The side that opened the flow.
    Source,
    /// The side that was asked.
    Destination,
}

impl Side {
    /// The other side.
    pub fn other(self) -> Side {
        match self {
            Side::Source => Side::Destination,
            Side::Destination => Side::Source,
        }
    }

    /// 0 for the source, 1 for the destination: the index into two-element arrays.
    pub fn index(self) -> usize {
        self as usize
    }

    /// What belongs to it, of a pair in the order of [`Side::index`].
    pub fn of<T>(self, [source, destination]: &[T; 2]) -> &T {
        match self {
            Side::Source => source,
            Side::Destination => destination,
        }
    }

    /// What belongs to it, of a pair in the order of [`Side::index`].
    pub fn of_mut<T>(self, [source, destination]: &mut [T; 2]) -> &mut T {
        match self {
            Side::Source => source,
            Side::Destination => destination,
        }
    }

    /// The word in records: `source` or `destination`.
    pub fn name(self) -> &'static str {
        match self {
            Side::Source => "source",
            Side::Destination => "destination",
        }
    }
}

/// How the bytes of a value are to be read, matched and printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A host name: matched without regard to case and trailing dot, at label boundaries.
    Name,
    /// Text as it stood on the wire; bytes that are not UTF-8 are escaped when printed.
    Text,
    /// Bytes, printed as lower-case hex.
    Hex,
    /// An unsigned number, eight bytes big-endian.
    Number,
    /// An IP address, four or sixteen bytes.
    Address,
}

/// A word that facts are stored under and signatures may use.
#[derive(Debug)]
pub struct Field {
    /// The name in records and signatures, `tls.sni`.
    pub name: &'static str,
    /// How its values are read.
    pub kind: Kind,
    /// One line for `signatures fields`.
    pub about: &'static str,
    /// The document that defines it.
    pub source: &'static str,
    internal: bool,
    /// Its number in this run, from 1; 0 until it is needed.
    number: AtomicU16,
}

/// Fields that can be told apart by number.
pub const FIELDS_MAX: usize = 1024;
/// Fields by number, less one, in the order in which they were first needed.
static NUMBERED: [OnceLock<&'static Field>; FIELDS_MAX] = [const { OnceLock::new() }; FIELDS_MAX];

/// The field of a number that [`Field::number`] gave in this run.
#[inline]
pub fn field(number: u16) -> Option<&'static Field> {
    NUMBERED.get(usize::from(number).checked_sub(1)?)?.get().copied()
}

impl Field {
    /// A field; protocols declare theirs as `pub static`. `source` is the document that defines it.
    pub const fn new(name: &'static str, kind: Kind, about: &'static str, source: &'static str) -> Field {
        Field { name, kind, about, source, internal: false, number: AtomicU16::new(0) }
    }

    /// A field that a later stage needs and that no record shows and no signature may use.
    pub const fn internal(name: &'static str, about: &'static str, source: &'static str) -> Field {
        Field { name, kind: Kind::Hex, about, source, internal: true, number: AtomicU16::new(0) }
    }

    /// A small number that stands for it in this run.
    #[inline]
    pub fn number(&'static self) -> u16 {
        match self.number.load(Ordering::Relaxed) {
            0 => self.take_number(),
            number => number,
        }
    }

    /// The first free place is this field's, unless another thread was faster and it has one already.
    #[cold]
    fn take_number(&'static self) -> u16 {
        let place = NUMBERED.iter().position(|place| std::ptr::eq(*place.get_or_init(|| self), self));
        let number = place.map_or(0, |at| at as u16 + 1);
        self.number.store(number, Ordering::Relaxed);
        number
    }

    /// Whether records leave it out.
    pub fn is_internal(&self) -> bool {
        self.internal
    }
}

impl PartialEq for Field {
    fn eq(&self, other: &Field) -> bool {
        // Each is a static of its own.
        std::ptr::eq(self, other)
    }
}

impl Eq for Field {}

/// TCP port of the side that was asked.
pub static TCP_PORT: Field =
    Field::new("tcp.port", Kind::Number, "TCP port of the destination", "RFC 9293 section 3.1");
/// UDP port of the side that was asked.
pub static UDP_PORT: Field = Field::new("udp.port", Kind::Number, "UDP port of the destination", "RFC 768");
/// Address of the side that was asked.
pub static IP_DST: Field = Field::new("ip.dst", Kind::Address, "address of the destination", "RFC 791, RFC 8200");
/// Autonomous system of the destination; needs `--asn-db`.
pub static IP_ASN: Field =
    Field::new("ip.asn", Kind::Number, "AS number of the destination (needs --asn-db)", "the database given");
/// Maker prefix of a hardware address.
pub static ETH_OUI: Field =
    Field::new("eth.oui", Kind::Hex, "first three bytes of a hardware address of this network", "IEEE 802, section 8");

/// Fields that are true of every flow and come from its key, not from a parser.
pub static FLOW_FIELDS: &[&Field] = &[&TCP_PORT, &UDP_PORT, &IP_DST, &IP_ASN, &ETH_OUI];

/// Where a fact was first seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// Packet time.
    pub time: Time,
    /// Number of the packet in the whole input, from 1.
    pub packet: u64,
}

/// What is noteworthy about a flow, beside its values. Sorted by name in records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Flag {
    /// A TLS server name is hidden: the ECH extension is there and may be real.
    Ech,
    /// The ECH extension is known to be a placeholder.
    EchGrease,
    /// Closed because memory ran out, not because it ended.
    Evicted,
    /// Fragments of IP packets that belong to it contradict each other; those that came first were read.
    FragConflict,
    /// Fragments of IP packets belong to it.
    Fragmented,
    /// Bytes are missing in the part that parsers wanted to read.
    Gap,
    /// The ClientHello stood in several TLS records.
    HelloMultiRecord,
    /// The ClientHello came in several segments.
    HelloSplit,
    /// A named limit cut something off.
    LimitReached,
    /// Its start was not captured.
    Midstream,
    /// Packets of one side only.
    OneSided,
    /// The same stream range came twice with different bytes, or two SYNs told different beginnings of it.
    OverlapConflict,
    /// A message claimed by a protocol could not be read.
    ParseError,
    /// The capture cut packets short.
    Truncated,
    /// A byte of what parsers read was marked urgent: some receivers take it out of the stream.
    Urgent,
}

/// Every flag with its word, in the order of the words.
pub const FLAGS: &[(Flag, &str)] = &[
    (Flag::Ech, "ech"),
    (Flag::EchGrease, "ech-grease"),
    (Flag::Evicted, "evicted"),
    (Flag::FragConflict, "frag-conflict"),
    (Flag::Fragmented, "fragmented"),
    (Flag::Gap, "gap"),
    (Flag::HelloMultiRecord, "hello-multi-record"),
    (Flag::HelloSplit, "hello-split"),
    (Flag::LimitReached, "limit-reached"),
    (Flag::Midstream, "midstream"),
    (Flag::OneSided, "one-sided"),
    (Flag::OverlapConflict, "overlap-conflict"),
    (Flag::ParseError, "parse-error"),
    (Flag::Truncated, "truncated"),
    (Flag::Urgent, "urgent"),
];

/// A set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// Adds one.
    pub fn set(&mut self, flag: Flag) {
        self.0 |= 1 << flag as u8;
    }

    /// Takes one out: for a better judgement of the same thing.
    pub fn clear(&mut self, flag: Flag) {
        self.0 &= !(1 << flag as u8);
    }

    /// Whether it is there.
    pub fn has(self, flag: Flag) -> bool {
        self.0 & (1 << flag as u8) != 0
    }

    /// Whether what was sent can be read in more than one way: nobody can tell which one the other end read.
    pub fn are_ambiguous(self) -> bool {
        [Flag::OverlapConflict, Flag::FragConflict, Flag::Urgent].into_iter().any(|flag| self.has(flag))
    }

    /// The words, sorted.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        FLAGS.iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| *name)
    }
}

/// A fact as it is read back.
#[derive(Clone, Copy, Debug)]
pub struct Fact<'a> {
    /// What it is.
    pub field: &'static Field,
    /// The side that sent it.
    pub side: Side,
    /// The value, in the form that `field.kind` says.
    pub value: &'a [u8],
    /// Where it was first seen.
    pub seen: Seen,
}

impl Fact<'_> {
    /// The value as it is printed.
    pub fn text(&self) -> String {
        value::text(self)
    }
}
