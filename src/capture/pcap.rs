//! Classic pcap: a file header, then records of a header and the packet.
//!
//! In: bytes. Out: packets that point into them. The format is that of
//! draft-ietf-opsawg-pcap and pcap-savefile(5); the older and modified variants are read as
//! libpcap reads them. Times are unsigned seconds, so they reach the year 2106.

use super::walk::{Found, Order, Place, Stop};
use super::{LinkType, Packet};
use crate::time::Time;

/// Seconds and microseconds.
const MAGIC_MICRO: u32 = 0xa1b2_c3d4;
/// Seconds and nanoseconds.
const MAGIC_NANO: u32 = 0xa1b2_3c4d;
/// Kuznetzov's variant: microseconds, eight more bytes in each record header.
const MAGIC_KUZNETZOV: u32 = 0xa1b2_cd34;
/// Navtel's variant: nanoseconds.
const MAGIC_NAVTEL: u32 = 0xa12b_3c4d;

const FILE_HEADER_BYTES: usize = 24;
const RECORD_HEADER_BYTES: usize = 16;
const RECORD_HEADER_BYTES_KUZNETZOV: usize = 24;

/// A record may say it has this many bytes whatever the file header says (libpcap's bound).
const CAPTURED_BYTES_MAX: u32 = 256 * 1024;
/// More than this is never believed, whatever the file header says.
pub(super) const SNAP_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// The link type is in the lower half; the upper half tells of a frame check sequence.
const LINK_MASK: u32 = 0xffff;

const NANOS_PER_MICRO: i64 = 1000;

/// Which of the two lengths of a record comes first: the order changed with version 2.3, and some
/// writers of 2.3 kept the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lengths {
    CapturedFirst,
    OriginalFirst,
    SmallerIsCaptured,
}

/// What the file header said.
#[derive(Clone, Copy, Debug)]
struct Header {
    order: Order,
    record_header: usize,
    nanos_per_unit: i64,
    lengths: Lengths,
    captured_max: u32,
    link: LinkType,
}

/// The state of a walk over a pcap file.
#[derive(Debug, Default)]
pub(crate) struct Pcap {
    header: Option<Header>,
}

/// Starts with one of the magic numbers, in either byte order.
pub(crate) fn is_pcap(head: &[u8]) -> bool {
    head.first_chunk::<4>().is_some_and(|magic| magic_of(*magic).is_some())
}

impl Pcap {
    /// Walks records from the position on.
    pub(crate) fn walk(&mut self, place: &mut Place<'_>, found: &mut Found<'_>) -> Stop {
        let header = match self.header {
            Some(header) => header,
            None => {
                let Some(bytes) = place.rest().first_chunk::<FILE_HEADER_BYTES>() else {
                    return Stop::Need(FILE_HEADER_BYTES);
                };
                match Header::read(bytes) {
                    Ok(header) => {
                        place.at = place.at.saturating_add(FILE_HEADER_BYTES);
                        *self.header.insert(header)
                    }
                    Err(reason) => {
                        found.flaws.note(place.offset(), || reason);
                        return Stop::Broken;
                    }
                }
            }
        };
        // The byte order is fixed for the whole file: one loop for each, without a question in it.
        match header.order {
            Order::Little => header.walk(place, found, u32::from_le_bytes),
            Order::Big => header.walk(place, found, u32::from_be_bytes),
        }
    }
}

impl Header {
    fn read(bytes: &[u8; FILE_HEADER_BYTES]) -> Result<Header, String> {
        let [m0, m1, m2, m3, j0, j1, n0, n1, .., s0, s1, s2, s3, l0, l1, l2, l3] = *bytes;
        let Some((magic, order)) = magic_of([m0, m1, m2, m3]) else {
            return Err("not a pcap file header".to_owned());
        };
        let major = order.u16([j0, j1]);
        let minor = order.u16([n0, n1]);
        let lengths = match (major, minor) {
            (2, 0..=2) => Lengths::OriginalFirst,
            (2, 3) => Lengths::SmallerIsCaptured,
            (2, 4) => Lengths::CapturedFirst,
            // DG/UX tcpdump.
            (543, 0) => Lengths::OriginalFirst,
            _ => return Err(format!("pcap version {major}.{minor} is not known")),
        };
        let snap = order.u32([s0, s1, s2, s3]);
        let link = order.u32([l0, l1, l2, l3]) & LINK_MASK;
        Ok(Header {
            order,
            record_header: match magic {
                MAGIC_KUZNETZOV => RECORD_HEADER_BYTES_KUZNETZOV,
                _ => RECORD_HEADER_BYTES,
            },
            nanos_per_unit: match magic {
                MAGIC_NANO | MAGIC_NAVTEL => 1,
                _ => NANOS_PER_MICRO,
            },
            lengths,
            captured_max: match snap <= SNAP_BYTES_MAX {
                true => snap.max(CAPTURED_BYTES_MAX),
                false => CAPTURED_BYTES_MAX,
            },
            link: LinkType(link as u16),
        })
    }

    #[inline(always)]
    fn walk(&self, place: &mut Place<'_>, found: &mut Found<'_>, u32: fn([u8; 4]) -> u32) -> Stop {
        let header_bytes = self.record_header;
        while found.packets.len() < found.limit {
            let rest = place.rest();
            let Some(head) = rest.first_chunk::<RECORD_HEADER_BYTES>() else {
                return Stop::Need(header_bytes);
            };
            let [s0, s1, s2, s3, f0, f1, f2, f3, a0, a1, a2, a3, b0, b1, b2, b3] = *head;
            let seconds = u32([s0, s1, s2, s3]);
            let fraction = u32([f0, f1, f2, f3]);
            let mut captured = u32([a0, a1, a2, a3]);
            let mut original = u32([b0, b1, b2, b3]);
            if self.lengths != Lengths::CapturedFirst && (self.lengths == Lengths::OriginalFirst || captured > original)
            {
                std::mem::swap(&mut captured, &mut original);
            }
            if captured > self.captured_max {
                let max = self.captured_max;
                found
                    .flaws
                    .note(place.offset(), || format!("a record of {captured} bytes, more than the {max} that can be"));
                return Stop::Broken;
            }
            let record = header_bytes.saturating_add(captured as usize);
            if rest.len() < record {
                return Stop::Need(record);
            }
            found.packets.push(Packet {
                time: Time::new(i64::from(seconds), i64::from(fraction).saturating_mul(self.nanos_per_unit)),
                start: place.at.saturating_add(header_bytes),
                captured,
                original,
                link: self.link,
                interface: 0,
            });
            place.advance(record);
        }
        Stop::Full
    }
}

fn magic_of(bytes: [u8; 4]) -> Option<(u32, Order)> {
    [Order::Little, Order::Big]
        .into_iter()
        .map(|order| (order.u32(bytes), order))
        .find(|(magic, _)| matches!(*magic, MAGIC_MICRO | MAGIC_NANO | MAGIC_KUZNETZOV | MAGIC_NAVTEL))
}
