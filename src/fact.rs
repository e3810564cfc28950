//! Facts: values seen at a place.
//!
//! In: what a parser read. Out: a small set per flow that merges by rules which do not depend on
//! order. A fact says which field, on which side of the flow, with which bytes, and where it was
//! seen first. Nobody judges here; signatures do that later.

pub mod value;

use crate::time::Time;

/// Values kept of one field in one flow; more set [`Flag::LimitReached`].
pub const FACTS_PER_FIELD_MAX: usize = 64;
/// Bytes of values kept in one flow; more set [`Flag::LimitReached`].
pub const FACT_BYTES_MAX: usize = 32 * 1024;
/// Bytes of one value; a longer one is cut there and flagged.
pub const VALUE_BYTES_MAX: usize = 4096;

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
    internal: bool,
}

impl Field {
    /// A field; protocols declare theirs as `pub static`.
    pub const fn new(name: &'static str, kind: Kind, about: &'static str) -> Field {
        Field { name, kind, about, internal: false }
    }

    /// A field that a later stage needs and that no record shows and no signature may use.
    pub const fn internal(name: &'static str, about: &'static str) -> Field {
        Field { name, kind: Kind::Hex, about, internal: true }
    }

    /// Whether records leave it out.
    pub fn is_internal(&self) -> bool {
        self.internal
    }
}

impl PartialEq for Field {
    fn eq(&self, other: &Field) -> bool {
        std::ptr::eq(self, other) || self.name == other.name
    }
}

impl Eq for Field {}

/// TCP port of the side that was asked.
pub static TCP_PORT: Field = Field::new("tcp.port", Kind::Number, "TCP port of the destination");
/// UDP port of the side that was asked.
pub static UDP_PORT: Field = Field::new("udp.port", Kind::Number, "UDP port of the destination");
/// Address of the side that was asked.
pub static IP_DST: Field = Field::new("ip.dst", Kind::Address, "address of the destination");
/// Autonomous system of the destination; needs `--asn-db`.
pub static IP_ASN: Field = Field::new("ip.asn", Kind::Number, "AS number of the destination (needs --asn-db)");
/// Maker prefix of a hardware address.
pub static ETH_OUI: Field = Field::new("eth.oui", Kind::Hex, "first three bytes of a hardware address of this network");

/// Fields that are true of every flow and come from its key, not from a parser.
pub static FLOW_FIELDS: &[&Field] = &[&TCP_PORT, &UDP_PORT, &IP_DST, &IP_ASN, &ETH_OUI];

macro_rules! planned {
    ($($id:ident $name:literal $kind:ident $about:literal;)*) => {
        $(static $id: Field = Field::new($name, Kind::$kind, $about);)*
        /// Words that signatures may already use although no parser fills them yet.
        /// A `when` block that needs one of them cannot match; `signatures check` says so.
        pub static PLANNED_FIELDS: &[&Field] = &[$(&$id),*];
    };
}

planned! {
    QUIC_SNI "quic.sni" Name "server name in a QUIC ClientHello";
    SSH_BANNER "ssh.banner" Text "SSH identification line";
    SSH_HASSH "ssh.hassh" Hex "HASSH of the client";
    SSH_HASSH_SERVER "ssh.hassh_server" Hex "HASSH of the server";
    IKE_VENDOR_ID "ike.vendor_id" Hex "IKE vendor ID payload";
    SNMP_ENGINE_ID "snmp.engine_id" Hex "SNMPv3 engine ID";
    SNMP_SYSOBJID "snmp.sysobjid" Text "SNMP sysObjectID, dotted";
    SNMP_SYSDESCR "snmp.sysdescr" Text "SNMP sysDescr";
    DHCP_VENDOR_CLASS "dhcp.vendor_class" Text "DHCP option 60";
    LLDP_SYSTEM_DESCRIPTION "lldp.system_description" Text "LLDP system description";
    CDP_SOFTWARE_VERSION "cdp.software_version" Text "CDP software version";
    SYSLOG_FORMAT "syslog.format" Text "first words of a plain syslog message";
}

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
    /// The same stream range came twice with different bytes.
    OverlapConflict,
    /// A message claimed by a protocol could not be read.
    ParseError,
    /// The capture cut packets short.
    Truncated,
}

/// Every flag with its word, in the order of the words.
pub const FLAGS: &[(Flag, &str)] = &[
    (Flag::Ech, "ech"),
    (Flag::EchGrease, "ech-grease"),
    (Flag::Evicted, "evicted"),
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

    /// The words, sorted.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        FLAGS.iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| *name)
    }
}

/// One entry of [`Facts`]: everything but the bytes of the value.
#[derive(Clone, Copy, Debug)]
struct Entry {
    field: &'static Field,
    side: Side,
    start: u32,
    len: u32,
    seen: Seen,
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

/// The facts of one flow: a set of (field, side, value), each with its first sight, and flags.
///
/// Two vectors however many facts there are. Of one field the
/// [`FACTS_PER_FIELD_MAX`] smallest values are kept, so the result does not depend on order.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    /// What is noteworthy beside values.
    pub flags: Flags,
}

impl Facts {
    /// Adds a value; the same value again keeps the earlier sight.
    pub fn add(&mut self, field: &'static Field, side: Side, seen: Seen, value: &[u8]) {
        let value = match value.get(..VALUE_BYTES_MAX) {
            Some(cut) if value.len() > VALUE_BYTES_MAX => {
                self.flags.set(Flag::LimitReached);
                cut
            }
            _ => value,
        };
        let mut same_field = 0;
        for at in 0..self.entries.len() {
            let entry = self.entries[at];
            if !std::ptr::eq(entry.field, field) {
                continue;
            }
            if entry.side == side && self.value(&entry) == value {
                let first = &mut self.entries[at].seen;
                *first = (*first).min(seen);
                return;
            }
            same_field += 1;
        }
        if same_field >= FACTS_PER_FIELD_MAX {
            self.flags.set(Flag::LimitReached);
            return self.replace_largest(field, side, seen, value);
        }
        let Some(start) = self.push_bytes(value) else { return };
        self.entries.push(Entry { field, side, start, len: value.len() as u32, seen });
    }

    /// Keeps the smallest values when a field is full.
    fn replace_largest(&mut self, field: &'static Field, side: Side, seen: Seen, value: &[u8]) {
        let largest = (0..self.entries.len())
            .filter(|&i| std::ptr::eq(self.entries[i].field, field))
            .max_by(|&x, &y| self.rank(x).cmp(&self.rank(y)));
        let Some(at) = largest else { return };
        if (value, side) >= self.rank(at) {
            return;
        }
        let Some(start) = self.push_bytes(value) else { return };
        self.entries[at] = Entry { field, side, start, len: value.len() as u32, seen };
    }

    fn rank(&self, at: usize) -> (&[u8], Side) {
        (self.value(&self.entries[at]), self.entries[at].side)
    }

    fn push_bytes(&mut self, value: &[u8]) -> Option<u32> {
        if self.bytes.len() + value.len() > FACT_BYTES_MAX {
            self.compact();
        }
        if self.bytes.len() + value.len() > FACT_BYTES_MAX {
            self.flags.set(Flag::LimitReached);
            return None;
        }
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        Some(start)
    }

    /// Drops the bytes of values that were replaced.
    fn compact(&mut self) {
        let old = std::mem::take(&mut self.bytes);
        for entry in &mut self.entries {
            let start = self.bytes.len() as u32;
            self.bytes.extend_from_slice(&old[entry.start as usize..(entry.start + entry.len) as usize]);
            entry.start = start;
        }
    }

    /// Close to a limit: a flow of many messages does well to end here and begin anew, so that
    /// nothing is lost.
    pub fn is_nearly_full(&self) -> bool {
        if self.entries.len() < FACTS_PER_FIELD_MAX / 2 && self.bytes.len() < FACT_BYTES_MAX / 2 {
            return false;
        }
        let of = |field: &'static Field| self.entries.iter().filter(|e| std::ptr::eq(e.field, field)).count();
        self.bytes.len() >= FACT_BYTES_MAX / 2 || self.entries.iter().any(|e| of(e.field) >= FACTS_PER_FIELD_MAX / 2)
    }

    /// Adds a number.
    pub fn add_number(&mut self, field: &'static Field, side: Side, seen: Seen, value: u64) {
        self.add(field, side, seen, &value.to_be_bytes());
    }

    fn value(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.start as usize..(entry.start + entry.len) as usize]
    }

    /// All facts, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = Fact<'_>> {
        self.entries.iter().map(|e| Fact { field: e.field, side: e.side, value: self.value(e), seen: e.seen })
    }

    /// The fact of this field that was seen first; of two in one packet the smaller value.
    pub fn first(&self, field: &'static Field) -> Option<Fact<'_>> {
        self.iter().filter(|f| std::ptr::eq(f.field, field)).min_by(|a, b| (a.seen, a.value).cmp(&(b.seen, b.value)))
    }

    /// Whether a field has a value.
    pub fn has(&self, field: &'static Field) -> bool {
        self.entries.iter().any(|e| std::ptr::eq(e.field, field))
    }

    /// Number of facts.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No facts and no flags.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.flags.0 == 0
    }

    /// Bytes of memory behind the two vectors.
    pub fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.bytes.capacity()
    }

    /// Union with another set of facts about the same flow.
    pub fn merge(&mut self, other: &Facts) {
        self.flags.0 |= other.flags.0;
        for fact in other.iter() {
            self.add(fact.field, fact.side, fact.seen, fact.value);
        }
    }
}
