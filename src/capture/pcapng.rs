//! pcapng: sections of blocks; interfaces with their own link type and clock.
//!
//! In: bytes. Out: packets of Enhanced, Simple and (obsolete) Packet Blocks, with times exact to
//! the nanosecond (finer ones are rounded down). Standard: draft-ietf-opsawg-pcapng. A block that
//! is damaged inside is noted and passed by its length; a length that cannot be ends the walk.

use std::sync::Arc;

use super::walk::{Found, Order, Place, Stop};
use super::{LinkType, Packet};
use crate::bytes::Reader;
use crate::fact::value;
use crate::time::{SECOND, Time};

const BLOCK_SECTION: u32 = 0x0a0d_0d0a;
const BLOCK_INTERFACE: u32 = 1;
const BLOCK_PACKET: u32 = 2;
const BLOCK_SIMPLE: u32 = 3;
const BLOCK_ENHANCED: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const VERSION_MAJOR: u16 = 1;

/// Block type and block length before the body, block length after it.
const BLOCK_HEAD_BYTES: usize = 8;
const BLOCK_TAIL_BYTES: usize = 4;
const BLOCK_BYTES_MIN: u32 = 12;
/// A longer block is taken for damage (libpcap's bound).
const BLOCK_BYTES_MAX: u32 = 16 * 1024 * 1024;
const SECTION_BYTES_MIN: u32 = 28;
/// Bytes of a section header up to its byte-order magic.
const SECTION_ORDER_BYTES: usize = 12;

const ENHANCED_FIXED_BYTES: usize = 20;
const SIMPLE_FIXED_BYTES: usize = 4;

const OPTION_END: u16 = 0;
const OPTION_NAME: u16 = 2;
const OPTION_TSRESOL: u16 = 9;
const OPTION_TSOFFSET: u16 = 14;

/// Interfaces of one section that are remembered.
const INTERFACES_MAX: usize = 65_536;

/// Decimal digits of a nanosecond.
const NANO_DIGITS: u32 = 9;

/// Microseconds, when an interface does not say.
const SCALE_DEFAULT: Scale = Scale::Times(1000);

/// How a unit of an interface's clock becomes nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Times(u64),
    Over(u64),
    /// Units of 2^-n seconds.
    Binary(u32),
    /// So fine that 64 bits of it are less than a nanosecond.
    Nothing,
}

/// What an Interface Description Block said.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: LinkType,
    snap: u32,
    scale: Scale,
    offset_seconds: i64,
    /// Of all sections.
    number: u32,
}

/// The section that is being read.
#[derive(Debug)]
struct Section {
    order: Order,
    /// A major version that is not known: its blocks are passed by.
    foreign: bool,
    interfaces: Vec<Interface>,
    interfaces_beyond: bool,
    /// Names of interfaces of this and earlier sections.
    names: Vec<Option<Arc<str>>>,
}

/// The state of a walk over a pcapng file.
#[derive(Debug, Default)]
pub(crate) struct Pcapng {
    section: Option<Section>,
}

/// Starts with a section header. Fewer bytes than its byte-order magic needs are believed.
pub(crate) fn is_pcapng(head: &[u8]) -> bool {
    let mut reader = Reader::new(head);
    reader.u32() == Some(BLOCK_SECTION)
        && match (reader.u32(), reader.u32()) {
            (Some(_), Some(magic)) => order_of(magic).is_some(),
            _ => true,
        }
}

impl Pcapng {
    /// Walks blocks from the position on.
    pub(crate) fn walk(&mut self, place: &mut Place<'_>, found: &mut Found<'_>) -> Stop {
        while found.packets.len() < found.limit {
            let rest = place.rest();
            let Some([t0, t1, t2, t3, l0, l1, l2, l3]) = rest.first_chunk::<BLOCK_HEAD_BYTES>().copied() else {
                return Stop::Need(BLOCK_HEAD_BYTES);
            };
            // The type of a section header reads the same in both byte orders.
            let starts_section = u32::from_le_bytes([t0, t1, t2, t3]) == BLOCK_SECTION;
            if starts_section && let Err(stop) = self.start_section(place, found) {
                return stop;
            }
            let Some(section) = &mut self.section else {
                found.flaws.note(place.offset(), || "a block outside any section".to_owned());
                return Stop::Broken;
            };
            let length = section.order.u32([l0, l1, l2, l3]);
            let least = match starts_section {
                true => SECTION_BYTES_MIN,
                false => BLOCK_BYTES_MIN,
            };
            if length < least || length > BLOCK_BYTES_MAX || length % 4 != 0 {
                found.flaws.note(place.offset(), || format!("a block cannot be {length} bytes long"));
                return Stop::Broken;
            }
            let Some(block) = rest.get(..length as usize) else {
                return Stop::Need(length as usize);
            };
            let Some((block, tail)) = block.split_last_chunk::<BLOCK_TAIL_BYTES>() else {
                return Stop::Broken;
            };
            let again = section.order.u32(*tail);
            if again != length {
                found.flaws.note(place.offset(), || {
                    format!("a block says {length} bytes at its start and {again} at its end")
                });
            }
            let kind = section.order.u32([t0, t1, t2, t3]);
            let body = block.get(BLOCK_HEAD_BYTES..).unwrap_or_default();
            if let Err(reason) = section.block(kind, body, place, found) {
                found.flaws.note(place.offset(), || reason.words());
            }
            place.advance(length as usize);
        }
        Stop::Full
    }

    /// The name of an interface, by its number among those of all sections.
    pub(crate) fn interface(&self, number: u32) -> Option<Arc<str>> {
        self.section.as_ref()?.names.get(number as usize)?.clone()
    }

    /// Reads the head of a section, which alone tells the byte order of its own length.
    fn start_section(&mut self, place: &Place<'_>, found: &mut Found<'_>) -> Result<(), Stop> {
        let rest = place.rest();
        if rest.len() < SECTION_ORDER_BYTES {
            return Err(Stop::Need(SECTION_ORDER_BYTES));
        }
        let mut reader = Reader::new(rest);
        reader.take(BLOCK_HEAD_BYTES);
        let Some(order) = reader.u32().and_then(order_of) else {
            found.flaws.note(place.offset(), || "a section header without a byte order".to_owned());
            return Err(Stop::Broken);
        };
        let names = self.section.take().map(|section| section.names).unwrap_or_default();
        let interfaces = Vec::new();
        self.section = Some(Section { order, foreign: false, interfaces, interfaces_beyond: false, names });
        Ok(())
    }
}

/// Why a block was not read; the words are only made when they are kept.
enum Bad {
    Short,
    Version(u16),
    Longer { captured: u32, room: usize },
    NoInterface(u32),
    TooManyInterfaces,
    Option(&'static str),
}

impl Bad {
    fn words(&self) -> String {
        match self {
            Bad::Short => "a block is too short for what it is".to_owned(),
            Bad::Version(major) => {
                format!("a section of pcapng version {major} is passed by: not known")
            }
            Bad::Longer { captured, room } => {
                format!("a packet of {captured} bytes in a block with room for {room}")
            }
            Bad::NoInterface(id) => {
                format!("a packet of interface {id}, which no block describes")
            }
            Bad::TooManyInterfaces => {
                format!("more than {INTERFACES_MAX} interfaces in a section")
            }
            Bad::Option(what) => (*what).to_owned(),
        }
    }
}

impl Section {
    #[inline]
    fn block(&mut self, kind: u32, body: &[u8], place: &Place<'_>, found: &mut Found<'_>) -> Result<(), Bad> {
        if self.foreign {
            return Ok(());
        }
        let start = place.at.saturating_add(BLOCK_HEAD_BYTES);
        let packet = match kind {
            BLOCK_ENHANCED | BLOCK_PACKET => self.enhanced(kind, body, start)?,
            BLOCK_SIMPLE => self.simple(body, start)?,
            BLOCK_INTERFACE => return self.interface(body),
            BLOCK_SECTION => return self.version(body),
            _ => return Ok(()),
        };
        found.packets.push(packet);
        Ok(())
    }

    /// Enhanced Packet Block (section 4.3), and the obsolete Packet Block (appendix A), whose only
    /// difference is a two-byte interface number beside a drop count.
    #[inline]
    fn enhanced(&self, kind: u32, body: &[u8], start: usize) -> Result<Packet, Bad> {
        let Some((fixed, data)) = body.split_first_chunk::<ENHANCED_FIXED_BYTES>() else {
            return Err(Bad::Short);
        };
        let [i0, i1, i2, i3, h0, h1, h2, h3, l0, l1, l2, l3, c0, c1, c2, c3, o0, o1, o2, o3] = *fixed;
        let id = match kind {
            BLOCK_PACKET => u32::from(self.order.u16([i0, i1])),
            _ => self.order.u32([i0, i1, i2, i3]),
        };
        let high = self.order.u32([h0, h1, h2, h3]);
        let low = self.order.u32([l0, l1, l2, l3]);
        let captured = self.order.u32([c0, c1, c2, c3]);
        let original = self.order.u32([o0, o1, o2, o3]);
        let interface = self.find(id)?;
        if captured as usize > data.len() {
            let room = data.len();
            return Err(Bad::Longer { captured, room });
        }
        Ok(Packet {
            time: interface.time((u64::from(high) << 32) | u64::from(low)),
            start: start.saturating_add(ENHANCED_FIXED_BYTES),
            captured,
            original,
            link: interface.link,
            interface: interface.number,
        })
    }

    /// Simple Packet Block (section 4.4): the first interface, no time, captured length by the
    /// snap length of that interface.
    fn simple(&self, body: &[u8], start: usize) -> Result<Packet, Bad> {
        let Some((fixed, data)) = body.split_first_chunk::<SIMPLE_FIXED_BYTES>() else {
            return Err(Bad::Short);
        };
        let original = self.order.u32(*fixed);
        let interface = self.find(0)?;
        let captured = match interface.snap {
            0 => original,
            snap => original.min(snap),
        };
        if captured as usize > data.len() {
            let room = data.len();
            return Err(Bad::Longer { captured, room });
        }
        Ok(Packet {
            time: interface.time(0),
            start: start.saturating_add(SIMPLE_FIXED_BYTES),
            captured,
            original,
            link: interface.link,
            interface: interface.number,
        })
    }

    #[inline]
    fn find(&self, id: u32) -> Result<&Interface, Bad> {
        self.interfaces.get(id as usize).ok_or(Bad::NoInterface(id))
    }

    /// Section Header Block (section 4.1): only the version is of interest.
    fn version(&mut self, body: &[u8]) -> Result<(), Bad> {
        let Some([_, _, _, _, m0, m1]) = body.first_chunk::<6>().copied() else {
            return Err(Bad::Short);
        };
        let major = self.order.u16([m0, m1]);
        if major != VERSION_MAJOR {
            self.foreign = true;
            return Err(Bad::Version(major));
        }
        Ok(())
    }

    /// Interface Description Block (section 4.2). Numbered by its place in the section, so it is
    /// kept even when its options are damaged.
    fn interface(&mut self, body: &[u8]) -> Result<(), Bad> {
        if self.interfaces.len() >= INTERFACES_MAX {
            let told = std::mem::replace(&mut self.interfaces_beyond, true);
            return match told {
                true => Ok(()),
                false => Err(Bad::TooManyInterfaces),
            };
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let mut interface = Interface { link: LinkType(0), snap: 0, scale: SCALE_DEFAULT, offset_seconds: 0, number };
        let mut name = None;
        let result = self.describe(&mut interface, &mut name, body);
        self.interfaces.push(interface);
        if self.names.len() < INTERFACES_MAX {
            self.names.push(name);
        }
        result
    }

    fn describe(&self, interface: &mut Interface, name: &mut Option<Arc<str>>, body: &[u8]) -> Result<(), Bad> {
        let Some(([k0, k1, _, _, s0, s1, s2, s3], options)) = body.split_first_chunk::<8>() else {
            return Err(Bad::Short);
        };
        interface.link = LinkType(self.order.u16([*k0, *k1]));
        interface.snap = self.order.u32([*s0, *s1, *s2, *s3]);
        let mut options = Reader::new(options);
        while let Some([c0, c1, n0, n1]) = chunk(&mut options) {
            let code = self.order.u16([c0, c1]);
            let length = usize::from(self.order.u16([n0, n1]));
            if code == OPTION_END {
                break;
            }
            let Some(value) = options.take(length) else {
                return Err(Bad::Option("an interface option is longer than its block"));
            };
            options.take(length.wrapping_neg() % 4);
            match (code, value) {
                (OPTION_TSRESOL, [exponent]) => {
                    interface.scale = scale(*exponent);
                }
                (OPTION_TSOFFSET, value) if value.len() == 8 => {
                    interface.offset_seconds = self.order.i64(value.try_into().unwrap_or_default());
                }
                (OPTION_TSRESOL | OPTION_TSOFFSET, _) => {
                    return Err(Bad::Option("an interface option of the wrong length"));
                }
                (OPTION_NAME, value) => *name = Some(value::escaped(value).into()),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Interface {
    #[inline]
    fn time(&self, units: u64) -> Time {
        let nanos = match self.scale {
            Scale::Times(factor) => u128::from(units).saturating_mul(u128::from(factor)),
            Scale::Over(divisor) => u128::from(units.checked_div(divisor).unwrap_or(0)),
            // At most 64 + 30 bits.
            Scale::Binary(shift) => u128::from(units).saturating_mul(SECOND as u128) >> shift,
            Scale::Nothing => 0,
        };
        let offset = i128::from(self.offset_seconds).saturating_mul(i128::from(SECOND));
        let time = i128::try_from(nanos).unwrap_or(i128::MAX).saturating_add(offset);
        let held = time.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        Time(held as i64)
    }
}

/// `if_tsresol`: a power of ten, or of two when the highest bit is set; both negative.
fn scale(exponent: u8) -> Scale {
    let power = u32::from(exponent & 0x7f);
    if exponent & 0x80 != 0 {
        return Scale::Binary(power);
    }
    let factor = 10u64.checked_pow(power.abs_diff(NANO_DIGITS));
    match factor {
        Some(factor) if power <= NANO_DIGITS => Scale::Times(factor),
        Some(divisor) => Scale::Over(divisor),
        None => Scale::Nothing,
    }
}

fn chunk(reader: &mut Reader<'_>) -> Option<[u8; 4]> {
    reader.take(4)?.try_into().ok()
}

fn order_of(magic: u32) -> Option<Order> {
    match magic {
        BYTE_ORDER_MAGIC => Some(Order::Big),
        _ if magic.swap_bytes() == BYTE_ORDER_MAGIC => Some(Order::Little),
        _ => None,
    }
}
