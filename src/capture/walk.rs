//! The walk over records that the mapped and the streamed form of an input share.
//!
//! In: bytes and a position in them. Out: packets appended to a list, the position after the last
//! whole record, damage, and why the walk stopped. Nothing is copied and nothing is kept but the
//! state of the file format, so a piece of a stream can be walked where the one before ended.

use std::sync::Arc;

use super::pcap::{self, Pcap};
use super::pcapng::{self, Pcapng};
use super::{Packet, compressed, mapped};

/// Damages of one input that are told one by one; those after them are counted.
pub(crate) const DAMAGE_LIST_MAX: usize = 64;

/// Bytes that suffice to tell what an input is.
pub(crate) const KIND_BYTES: usize = 12;

/// What the first bytes of an input say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Classic pcap, any variant.
    Pcap,
    /// pcapng.
    Pcapng,
    /// A compressed file of a known kind.
    Compressed,
    /// Anything else.
    Unknown,
}

/// Tells from the first bytes (at most [`KIND_BYTES`] are looked at).
pub(crate) fn kind(head: &[u8]) -> Kind {
    if pcap::is_pcap(head) {
        return Kind::Pcap;
    }
    if pcapng::is_pcapng(head) {
        return Kind::Pcapng;
    }
    if compressed::is_compressed(head) {
        return Kind::Compressed;
    }
    Kind::Unknown
}

/// Byte order of the numbers in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    #[inline]
    pub(crate) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Order::Little => u16::from_le_bytes(bytes),
            Order::Big => u16::from_be_bytes(bytes),
        }
    }

    #[inline]
    pub(crate) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
        }
    }

    pub(crate) fn i64(self, bytes: [u8; 8]) -> i64 {
        match self {
            Order::Little => i64::from_le_bytes(bytes),
            Order::Big => i64::from_be_bytes(bytes),
        }
    }
}

/// Why a walk stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// As many packets as were asked for.
    Full,
    /// The record at the position needs at least this many bytes, more than there are.
    Need(usize),
    /// Damage that the format does not allow to go past.
    Broken,
}

/// One place that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// Offset in the (decompressed) input.
    pub(crate) offset: u64,
    /// What is wrong.
    pub(crate) reason: String,
}

/// The flaws of one input: the first [`DAMAGE_LIST_MAX`] and how many more.
#[derive(Debug, Default)]
pub(crate) struct Flaws {
    pub(crate) list: Vec<Flaw>,
    more: u64,
    more_from: u64,
}

impl Flaws {
    /// Notes a flaw; the words are only made when they are kept.
    #[cold]
    pub(crate) fn note(&mut self, offset: u64, reason: impl FnOnce() -> String) {
        if self.list.len() < DAMAGE_LIST_MAX {
            let reason = reason();
            self.list.push(Flaw { offset, reason });
            return;
        }
        if self.more == 0 {
            self.more_from = offset;
        }
        self.more = self.more.saturating_add(1);
    }

    /// The input lost what is behind here while it was read: what was thought of zeros is forgotten.
    #[cold]
    pub(crate) fn cut(&mut self, offset: u64, reason: String) {
        self.list.retain(|flaw| flaw.offset < offset);
        self.more = 0;
        self.list.push(Flaw { offset, reason });
    }

    /// All of them; those beyond the list as one entry.
    pub(crate) fn take(self) -> Vec<Flaw> {
        let mut list = self.list;
        if self.more > 0 {
            let reason = format!("{} more damaged places from here on", self.more);
            list.push(Flaw { offset: self.more_from, reason });
        }
        list
    }
}

/// Bytes ahead of a walk that are asked for.
const FETCH_AHEAD_BYTES: usize = 2048;

/// Where a walk is: the bytes, the position of the next record in them, and the offset of the
/// first of these bytes in the input.
pub(crate) struct Place<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
    pub(crate) base: u64,
    // Memory up to here was asked for.
    fetched: usize,
}

impl<'a> Place<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize, base: u64) -> Place<'a> {
        Place { bytes, at, base, fetched: at }
    }

    /// Goes past a record of `len` bytes. A record is found through the one before it, so without
    /// asking for the memory ahead every one would cost a full trip to it.
    #[inline]
    pub(crate) fn advance(&mut self, len: usize) {
        self.at = self.at.saturating_add(len);
        let to = self.at.saturating_add(FETCH_AHEAD_BYTES);
        self.fetched = mapped::fetch(self.bytes, self.fetched, to);
    }

    /// The bytes from the position on.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Offset of the position in the input.
    pub(crate) fn offset(&self) -> u64 {
        self.base.saturating_add(self.at as u64)
    }
}

/// What a walk gives: packets, up to a number of them, and flaws.
pub(crate) struct Found<'a> {
    pub(crate) packets: &'a mut Vec<Packet>,
    pub(crate) limit: usize,
    pub(crate) flaws: &'a mut Flaws,
}

/// The state of a walk: the file format and what its headers said so far.
pub(crate) enum Walker {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

impl Walker {
    /// For an input of this kind; `None` for what is not a capture.
    pub(crate) fn new(kind: Kind) -> Option<Walker> {
        match kind {
            Kind::Pcap => Some(Walker::Pcap(Pcap::default())),
            Kind::Pcapng => Some(Walker::Pcapng(Pcapng::default())),
            Kind::Compressed | Kind::Unknown => None,
        }
    }

    /// Walks records from the position on and leaves it at the first that was not read.
    pub(crate) fn walk(&mut self, place: &mut Place<'_>, found: &mut Found<'_>) -> Stop {
        match self {
            Walker::Pcap(pcap) => pcap.walk(place, found),
            Walker::Pcapng(pcapng) => pcapng.walk(place, found),
        }
    }

    /// The name of an interface, where the format tells it.
    pub(crate) fn interface(&self, number: u32) -> Option<Arc<str>> {
        match self {
            Walker::Pcap(_) => None,
            Walker::Pcapng(pcapng) => pcapng.interface(number),
        }
    }
}
