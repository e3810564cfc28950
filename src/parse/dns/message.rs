//! One DNS message: is it one, and what does it say.
//!
//! In: the bytes of a message without its TCP length. Out: facts, or whether the bytes can be
//! claimed. RFC 1035, section 4; RFC 9460, section 2.2; RFC 9849, section 4.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use super::name::{self, Packed};
use crate::bytes::Reader;
use crate::fact::{Facts, Flag, Seen, Side};

/// Bytes before the question (RFC 1035, 4.1.1).
pub(super) const HEADER_BYTES: usize = 12;
/// Questions read in a message.
const QUESTIONS_MAX: u16 = 64;
/// Answers read in a message.
const ANSWERS_MAX: u16 = 1024;
/// Names a question may be followed through by CNAME and alias records.
const CHAIN_NAMES_MAX: usize = 17;
/// Records of one section; more do not fit into a message.
const SECTION_RECORDS_MAX: u16 = 4096;

/// Bits of the flags word.
const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const OPCODE_SHIFT: u16 = 11;
const ZERO: u16 = 0x0040;
const RCODE: u16 = 0x000f;

/// The top bit of a class in mDNS: unicast answer wanted, or cache flush (RFC 6762, 5.4, 10.2).
const CLASS_MASK: u16 = 0x7fff;
const CLASS_IN: u16 = 1;

mod kind {
    pub(super) const A: u16 = 1;
    pub(super) const CNAME: u16 = 5;
    pub(super) const PTR: u16 = 12;
    pub(super) const AAAA: u16 = 28;
    pub(super) const SRV: u16 = 33;
    pub(super) const SVCB: u16 = 64;
    pub(super) const HTTPS: u16 = 65;
}

/// Keys of service parameters (RFC 9460, 14.3.2), and the version of an ECHConfig.
const PARAMETER_IPV4_HINT: u16 = 4;
const PARAMETER_ECH: u16 = 5;
const PARAMETER_IPV6_HINT: u16 = 6;
const ECH_VERSION: u16 = 0xfe0d;
const IPV4_BYTES: usize = 4;
const IPV6_BYTES: usize = 16;

/// How much of a message must be right before it is taken for DNS.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Header and first question or record: the port says DNS too, the end may be cut off.
    Start,
    /// Every section, up to the last byte.
    Whole,
}

struct Header {
    flags: u16,
    questions: u16,
    answers: u16,
    authority: u16,
    additional: u16,
}

impl Header {
    fn read(reader: &mut Reader<'_>) -> Option<Header> {
        reader.u16()?;
        Some(Header {
            flags: reader.u16()?,
            questions: reader.u16()?,
            answers: reader.u16()?,
            authority: reader.u16()?,
            additional: reader.u16()?,
        })
    }

    fn is_response(&self) -> bool {
        self.flags & RESPONSE != 0
    }

    fn is_possible(&self) -> bool {
        are_flags(self.flags)
            && self.questions <= QUESTIONS_MAX
            && [self.answers, self.authority, self.additional].iter().all(|count| *count <= SECTION_RECORDS_MAX)
    }

    /// An answer to no question.
    fn announces(&self) -> bool {
        self.is_possible() && self.is_response() && self.questions == 0 && self.answers > 0
    }

    /// The header of a plain query or its answer: so many fixed bits that a question behind it
    /// counts whatever its type.
    fn is_plain(&self) -> bool {
        let query = self.answers == 0 && self.authority == 0 && self.additional <= 2;
        self.is_possible() && self.flags & OPCODE == 0 && self.questions == 1 && (self.is_response() || query)
    }
}

/// QUERY, STATUS, NOTIFY and UPDATE are in use; the reserved bit is zero.
fn are_flags(flags: u16) -> bool {
    matches!((flags & OPCODE) >> OPCODE_SHIFT, 0 | 2 | 4 | 5) && flags & ZERO == 0
}

struct Question<'a> {
    name: Reader<'a>,
    kind: u16,
    /// Type and class are known ones.
    known: bool,
}

/// Reads a question; `None` if it is cut, or is not one. A known type and class show a question
/// behind a damaged header, a plain header shows one with a damaged type or class.
fn question<'a>(message: &'a [u8], header: &Header, reader: &mut Reader<'a>) -> Option<Question<'a>> {
    let name = *reader;
    name::read(message, reader, |_| ())?;
    let kind = reader.u16()?;
    let class = reader.u16()? & CLASS_MASK;
    let known = is_type(kind) && is_class(class);
    ((known || header.is_plain()) && !is_netbios(name)).then_some(Question { name, kind, known })
}

/// Whether a name begins with a NetBIOS name in its first-level encoding (RFC 1001, 14.1):
/// NetBIOS messages look like DNS, but their names are not host names.
fn is_netbios(mut name: Reader<'_>) -> bool {
    const LETTERS: usize = 32;
    let label = name.vec8().map(|label| label.rest()).unwrap_or_default();
    label.len() == LETTERS && label.iter().all(|byte| (b'A'..=b'P').contains(byte))
}

/// IN, CH, HS, NONE, ANY.
fn is_class(class: u16) -> bool {
    matches!(class, 1 | 3 | 4 | 254 | 255)
}

/// Types that IANA has assigned, and the private range.
fn is_type(kind: u16) -> bool {
    matches!(kind, 1..=67 | 99..=109 | 128 | 249..=265 | 32768..=32770 | 0xff00..=0xfffe)
}

struct Record<'a> {
    owner_at: Reader<'a>,
    owner: u64,
    kind: u16,
    class: u16,
    data: Reader<'a>,
}

fn record<'a>(message: &'a [u8], reader: &mut Reader<'a>) -> Option<Record<'a>> {
    let owner_at = *reader;
    let owner = name::hash(message, reader)?;
    let kind = reader.u16()?;
    let class = reader.u16()?;
    reader.u32()?;
    let data = reader.vec16()?;
    Some(Record { owner_at, owner, kind, class, data })
}

/// Whether the bytes are a DNS message, as far as `trust` asks.
pub(super) fn is_dns(message: &[u8], trust: Trust) -> bool {
    check(message, trust).is_some()
}

fn check(message: &[u8], trust: Trust) -> Option<()> {
    let mut reader = Reader::new(message);
    let header = Header::read(&mut reader)?;
    if trust == Trust::Start {
        if header.questions > 0 {
            return question(message, &header, &mut reader).map(|_| ());
        }
        // An announcement, as mDNS has them.
        let first = record(message, &mut reader)?;
        let known = is_type(first.kind) && is_class(first.class & CLASS_MASK);
        return (header.announces() && known).then_some(());
    }
    if !header.is_possible() || header.questions == 0 {
        return None;
    }
    for _ in 0..header.questions {
        question(message, &header, &mut reader).filter(|question| question.known)?;
    }
    for count in [header.answers, header.authority, header.additional] {
        for _ in 0..count {
            record(message, &mut reader)?;
        }
    }
    reader.is_empty().then_some(())
}

/// Whether bytes that are not complete can still become a message: false as soon as the header
/// or the first question says no.
pub(super) fn may_become_dns(start: &[u8], trust: Trust) -> bool {
    let mut reader = Reader::new(start);
    let Some(header) = Header::read(&mut reader) else {
        let flags = start.get(2..).and_then(|rest| rest.first_chunk::<2>());
        return flags.is_none_or(|flags| are_flags(u16::from_be_bytes(*flags)));
    };
    if header.questions == 0 {
        return trust == Trust::Start && header.announces();
    }
    if !header.is_possible() {
        return false;
    }
    let at = reader;
    question(start, &header, &mut reader).is_some() || is_cut(at)
}

/// Whether a name and its four bytes reach the end of the bytes without a fault.
fn is_cut(mut reader: Reader<'_>) -> bool {
    let mut left = name::NAME_BYTES_MAX;
    while let Some(head) = reader.u8() {
        match head {
            0 => return reader.left() < 4,
            1..64 => {}
            // A pointer ends a name.
            0xc0.. => return reader.left() < 1 + 4,
            _ => return false,
        }
        let Some(rest) = left.checked_sub(usize::from(head).saturating_add(1)) else {
            return false;
        };
        left = rest;
        if reader.take(usize::from(head)).is_none() {
            return true;
        }
    }
    true
}

/// The names that stand for the question: itself, and where CNAME and alias records lead.
struct Chain {
    names: [u64; CHAIN_NAMES_MAX],
    len: usize,
}

impl Chain {
    fn has(&self, name: u64) -> bool {
        self.names.iter().take(self.len).any(|known| *known == name)
    }

    fn push(&mut self, name: u64) {
        if self.has(name) {
            return;
        }
        if let Some(slot) = self.names.get_mut(self.len) {
            *slot = name;
            self.len = self.len.saturating_add(1);
        }
    }
}

/// What is known while a message is read.
struct Reading<'a, 'f> {
    message: &'a [u8],
    side: Side,
    seen: Seen,
    facts: &'f mut Facts,
    /// The first question's name in lower case.
    asked: Packed,
    chain: Chain,
}

/// Reads a message into facts. `None`: it is not a message, or is damaged; what stood before the
/// damage has been added.
pub(super) fn read(message: &[u8], side: Side, seen: Seen, facts: &mut Facts) -> Option<()> {
    let mut reader = Reader::new(message);
    let header = Header::read(&mut reader)?;
    let mut reading = Reading {
        message,
        side,
        seen,
        facts,
        asked: Packed::new(),
        chain: Chain { names: [0; CHAIN_NAMES_MAX], len: 0 },
    };
    for index in 0..header.questions.min(QUESTIONS_MAX) {
        let mut question = question(message, &header, &mut reader)?;
        reading.question(&mut question, header.is_response(), index == 0)?;
    }
    if header.questions > QUESTIONS_MAX {
        reading.facts.flags.set(Flag::LimitReached);
        return None;
    }
    // A question that could be read speaks for itself, whatever the reserved bits say.
    if header.questions == 0 && !header.is_possible() {
        return None;
    }
    if !header.is_response() {
        return Some(());
    }
    reading.facts.add_number(&super::RCODE, side, seen, u64::from(header.flags & RCODE));
    reading.answers(&header, &mut reader)
}

impl<'a> Reading<'a, '_> {
    fn question(&mut self, question: &mut Question<'a>, response: bool, first: bool) -> Option<()> {
        let mut start = question.name;
        let mut text = name::text(self.message, &mut question.name)?;
        // A response repeats the question; it is news only when the query was not seen.
        let asker = self.side.other();
        let known = response
            && self
                .facts
                .iter()
                .any(|fact| *fact.field == super::QNAME && fact.side == asker && fact.value == text.bytes());
        if !known {
            self.facts.add(&super::QNAME, self.side, self.seen, text.bytes());
            self.facts.add_number(&super::QTYPE, self.side, self.seen, u64::from(question.kind));
        }
        if first && response {
            text.make_lowercase();
            self.asked = text;
            self.chain.push(name::hash(self.message, &mut start)?);
        }
        Some(())
    }

    /// Reads the answers. Records usually come in the order of the chain; those whose owner is
    /// not known yet are kept until the end.
    fn answers(&mut self, header: &Header, reader: &mut Reader<'a>) -> Option<()> {
        let mut later: Vec<Record<'a>> = Vec::new();
        let mut damage = None;
        for _ in 0..header.answers.min(ANSWERS_MAX) {
            let Some(record) = record(self.message, reader) else {
                damage = Some(());
                break;
            };
            if record.class & CLASS_MASK != CLASS_IN || !is_read(record.kind) {
                continue;
            }
            if self.plain(&record).is_none() {
                damage = Some(());
            } else if !self.chained(&record) {
                later.push(record);
            }
        }
        if header.answers > ANSWERS_MAX {
            self.facts.flags.set(Flag::LimitReached);
        }
        // Each round either makes the chain longer, up to its limit, or is the last.
        loop {
            let before = self.chain.len;
            later.retain(|record| !self.chained(record));
            if self.chain.len == before {
                break;
            }
        }
        for mut record in later {
            if matches!(record.kind, kind::A | kind::AAAA) {
                let owner = name::text(self.message, &mut record.owner_at)?;
                self.facts.add(&super::ANSWER_NAME, self.side, self.seen, owner.bytes());
            }
        }
        if damage.is_some() { None } else { Some(()) }
    }

    /// What a record says whoever owns it. `None`: its data cannot be read.
    fn plain(&mut self, record: &Record<'a>) -> Option<()> {
        let mut data = record.data;
        match record.kind {
            kind::A | kind::AAAA => {
                let length = if record.kind == kind::A { IPV4_BYTES } else { IPV6_BYTES };
                let address = data.take(length).filter(|_| data.is_empty())?;
                self.facts.add(&super::ANSWER, self.side, self.seen, address);
            }
            kind::CNAME => {
                let target = name::text(self.message, &mut data)?;
                self.facts.add(&super::CNAME, self.side, self.seen, target.bytes());
            }
            kind::PTR | kind::SRV => {
                let mut owner = name::text(self.message, &mut record.owner_at.clone())?;
                // The list of all types points at types (RFC 6763, 9).
                if name::service(owner.bytes()) == Some(b"_dns-sd._udp") && record.kind == kind::PTR {
                    owner = name::text(self.message, &mut data)?;
                }
                if let Some(service) = name::service(owner.bytes()) {
                    self.facts.add(&super::SERVICE, self.side, self.seen, service);
                }
            }
            _ => {}
        }
        Some(())
    }

    /// Adds what a record says about the question. False: it does not answer the question.
    fn chained(&mut self, record: &Record<'a>) -> bool {
        if !self.chain.has(record.owner) {
            return false;
        }
        let mut data = record.data;
        match record.kind {
            kind::CNAME => {
                if let Some(target) = name::hash(self.message, &mut data) {
                    self.chain.push(target);
                }
            }
            kind::SVCB | kind::HTTPS => {
                let parameters = self.service(data);
                if parameters.is_none() {
                    self.facts.flags.set(Flag::ParseError);
                }
            }
            kind::A | kind::AAAA => self.resolved(data.rest()),
            _ => {}
        }
        true
    }

    fn resolved(&mut self, address: &[u8]) {
        let mut value = Packed::new();
        value.push(&[address.len() as u8]);
        value.push(address);
        value.push(self.asked.bytes());
        self.facts.add(&super::RESOLVED, self.side, self.seen, value.bytes());
    }

    /// Data of an SVCB or HTTPS record (RFC 9460, 2.2).
    fn service(&mut self, mut data: Reader<'a>) -> Option<()> {
        let priority = data.u16()?;
        let mut target = data;
        name::read(self.message, &mut data, |_| ())?;
        if priority == 0 {
            // Alias: the target's records answer the question.
            self.chain.push(name::hash(self.message, &mut target)?);
            return Some(());
        }
        while !data.is_empty() {
            let key = data.u16()?;
            let mut value = data.vec16()?;
            let address_bytes = match key {
                PARAMETER_IPV4_HINT => IPV4_BYTES,
                PARAMETER_IPV6_HINT => IPV6_BYTES,
                PARAMETER_ECH => {
                    self.ech(value)?;
                    continue;
                }
                _ => continue,
            };
            while !value.is_empty() {
                self.resolved(value.take(address_bytes)?);
            }
        }
        Some(())
    }

    /// An ECHConfigList (RFC 9849, section 4).
    fn ech(&mut self, mut value: Reader<'a>) -> Option<()> {
        let mut list = value.vec16()?;
        while !list.is_empty() {
            let version = list.u16()?;
            let mut config = list.vec16()?;
            if version != ECH_VERSION {
                continue;
            }
            let config_id = config.u8()?;
            config.u16()?; // KEM
            config.vec16()?; // public key
            config.vec16()?; // cipher suites
            config.u8()?; // maximum name length
            let public_name = config.vec8()?.rest();
            let mut packed = Packed::new();
            packed.push(&[config_id, public_name.len() as u8]);
            packed.push(public_name);
            packed.push(self.asked.bytes());
            self.facts.add(&super::ECH, self.side, self.seen, packed.bytes());
        }
        Some(())
    }
}

/// The types of answers that become facts.
fn is_read(kind: u16) -> bool {
    matches!(kind, kind::A | kind::CNAME | kind::PTR | kind::AAAA | kind::SRV | kind::SVCB | kind::HTTPS)
}
