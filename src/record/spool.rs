//! Ended flows, kept until names and identities of the whole input are known.
//!
//! In: flow records as workers end them, with the signature conditions that matched. Out: the
//! same, one after the other. Records stand packed in memory; those beyond [`MEMORY_BYTES_MAX`] in a temporary file
//! that has no name, so a capture of any size fits.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};

use crate::fact::{Facts, Flags};
use crate::flow::key::Key;
use crate::flow::tunnels::Tunnels;
use crate::parse;
use crate::record::{Edges, FlowRecord};
use crate::time::Time;

/// Packed records kept in memory by one worker; what comes after them goes to a file.
pub const MEMORY_BYTES_MAX: usize = 64 << 20;
/// Bytes that go to the file and come from it at once.
const FILE_BYTES: usize = 1 << 20;

/// Packed flow records of one worker.
#[derive(Default)]
pub struct Spool {
    memory: Vec<u8>,
    file: Option<File>,
    /// What is not in the file yet.
    tail: Vec<u8>,
    error: Option<io::Error>,
}

impl Spool {
    /// Adds a record and the conditions that matched it.
    pub fn push(&mut self, record: &FlowRecord, whens: &[u32]) {
        let out = if self.memory.len() < MEMORY_BYTES_MAX { &mut self.memory } else { &mut self.tail };
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        pack(record, whens, out);
        let len = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
        if self.tail.len() >= FILE_BYTES
            && let Err(error) = self.spill()
        {
            self.error.get_or_insert(error);
        }
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile()?),
        };
        let written = file.write_all(&self.tail);
        self.tail.clear();
        written
    }

    /// As [`Spool::read`], and keeps them to be read once more.
    pub fn look(&mut self, mut each: impl FnMut(&mut FlowRecord, &[u32]) -> io::Result<()>) -> io::Result<()> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let mut unpacked = Unpacked::default();
        unpacked.read_bytes(&self.memory, &mut each)?;
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::Start(0))?;
            unpacked.read_file(BufReader::with_capacity(FILE_BYTES, file), &mut each)?;
        }
        unpacked.read_bytes(&self.tail, &mut each)
    }

    /// Hands every record over, oldest first, each in the memory of the one before.
    pub fn read(mut self, mut each: impl FnMut(&mut FlowRecord, &[u32]) -> io::Result<()>) -> io::Result<()> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let mut unpacked = Unpacked::default();
        unpacked.read_bytes(&self.memory, &mut each)?;
        drop(self.memory);
        if let Some(mut file) = self.file {
            file.seek(SeekFrom::Start(0))?;
            unpacked.read_file(BufReader::with_capacity(FILE_BYTES, file), &mut each)?;
        }
        unpacked.read_bytes(&self.tail, &mut each)
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a packed flow record is damaged")
}

/// The record that is handed over, and the conditions that matched it.
#[derive(Default)]
struct Unpacked {
    record: Option<FlowRecord>,
    whens: Vec<u32>,
}

impl Unpacked {
    /// Hands over the records in these bytes, from where they lie.
    fn read_bytes(
        &mut self,
        mut bytes: &[u8],
        each: &mut impl FnMut(&mut FlowRecord, &[u32]) -> io::Result<()>,
    ) -> io::Result<()> {
        while let Some((len, rest)) = bytes.split_first_chunk() {
            let (packed, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(damaged)?;
            self.hand_over(packed, each)?;
            bytes = rest;
        }
        Ok(())
    }

    fn read_file(
        &mut self,
        mut file: impl BufRead,
        each: &mut impl FnMut(&mut FlowRecord, &[u32]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut packed = Vec::new();
        let mut len = [0; 4];
        while !file.fill_buf()?.is_empty() {
            file.read_exact(&mut len)?;
            packed.resize(u32::from_le_bytes(len) as usize, 0);
            file.read_exact(&mut packed)?;
            self.hand_over(&packed, each)?;
        }
        Ok(())
    }

    fn hand_over(
        &mut self,
        packed: &[u8],
        each: &mut impl FnMut(&mut FlowRecord, &[u32]) -> io::Result<()>,
    ) -> io::Result<()> {
        let facts = self.record.take().map(|record| record.facts).unwrap_or_default();
        let record = unpack(packed, facts, &mut self.whens).ok_or_else(damaged)?;
        each(self.record.insert(record), &self.whens)
    }
}

fn pack(record: &FlowRecord, whens: &[u32], out: &mut Vec<u8>) {
    out.extend_from_slice(record.key.words().map(u64::to_le_bytes).as_flattened());
    let bits = [record.opener_low, record.payload[0], record.payload[1], record.more[0], record.more[1]];
    out.push(bits.iter().enumerate().fold(0, |all, (i, &bit)| all | u8::from(bit) << i));
    let ([packets_out, packets_in], [bytes_out, bytes_in]) = (record.packets, record.bytes);
    let [missing_out, missing_in] = record.missing;
    let times = [record.first.0 as u64, record.last.0 as u64, record.number];
    let counts = [packets_out, packets_in, bytes_out, bytes_in, missing_out, missing_in];
    out.extend_from_slice(times.map(u64::to_le_bytes).as_flattened());
    out.extend_from_slice(counts.map(u64::to_le_bytes).as_flattened());
    out.push(u8::from(record.macs.is_some()));
    for mac in record.macs.iter().flatten() {
        out.extend_from_slice(mac);
    }
    out.extend_from_slice(&record.vlan.unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(&record.tunnels.bits().to_le_bytes());
    let protocol = record.protocol.and_then(|name| parse::PROTOCOLS.iter().position(|p| p.name == name));
    out.push(protocol.map_or(u8::MAX, |p| p as u8));
    out.extend_from_slice(&record.facts.flags.0.to_le_bytes());
    out.extend_from_slice(&(whens.len() as u32).to_le_bytes());
    for when in whens {
        out.extend_from_slice(&when.to_le_bytes());
    }
    out.extend_from_slice(record.facts.packed());
}

/// Reads little-endian numbers off the front.
struct Packed<'a>(&'a [u8]);

impl<'a> Packed<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(front)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        Some(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn time(&mut self) -> Option<Time> {
        self.u64().map(|n| Time(n as i64))
    }

    fn pair(&mut self) -> Option<[u64; 2]> {
        Some([self.u64()?, self.u64()?])
    }
}

/// The record, with its facts in the memory of `facts`.
fn unpack(packed: &[u8], mut facts: Facts, whens: &mut Vec<u32>) -> Option<FlowRecord> {
    let mut p = Packed(packed);
    let key = Key::from_words([p.u64()?, p.u64()?, p.u64()?, p.u64()?, p.u64()?]);
    let bits = p.u8()?;
    let bit = |i: u8| bits & 1 << i != 0;
    let (first, last, number) = (p.time()?, p.time()?, p.u64()?);
    let (packets, bytes, missing) = (p.pair()?, p.pair()?, p.pair()?);
    let macs = if p.u8()? == 1 { Some([p.array()?, p.array()?]) } else { None };
    let vlan = Some(p.u16()?).filter(|&id| id != u16::MAX);
    let tunnels = Tunnels::from_bits(p.u32()?);
    let protocol = parse::PROTOCOLS.get(usize::from(p.u8()?)).map(|p| p.name);
    let flags = Flags(p.u32()?);
    let count = p.u32()? as usize;
    whens.clear();
    whens.extend(p.take(count.checked_mul(4)?)?.as_chunks().0.iter().map(|when| u32::from_le_bytes(*when)));
    if !facts.set_packed(p.0, flags) {
        return None;
    }
    Some(FlowRecord {
        key,
        opener_low: bit(0),
        first,
        last,
        number,
        packets,
        bytes,
        missing,
        payload: [bit(1), bit(2)],
        more: [bit(3), bit(4)],
        edges: Edges::default(),
        macs,
        vlan,
        tunnels,
        protocol,
        facts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{FLAGS, Seen, Side, VALUE_BYTES_MAX};
    use crate::parse::tls;

    fn record(number: u64, facts: Facts) -> FlowRecord {
        FlowRecord {
            key: Key::v4([10, 0, 0, number as u8], number as u16, [192, 0, 2, 1], 443, 6).0,
            opener_low: number.is_multiple_of(2),
            first: Time(-(number as i64)),
            last: Time(i64::MAX),
            number,
            packets: [number, 1],
            bytes: [2, number],
            missing: [number, 3],
            payload: [true, false],
            more: [false, true],
            edges: Edges::default(),
            macs: number.is_multiple_of(3).then_some([[1; 6], [2; 6]]),
            vlan: number.is_multiple_of(5).then_some(7),
            tunnels: Tunnels::from_bits(number as u32 % 3),
            protocol: number.is_multiple_of(7).then_some(tls::PROTOCOL.name),
            facts,
        }
    }

    #[test]
    fn records_come_back_from_memory_file_and_tail_in_order() {
        let mut large = Facts::default();
        for value in 0..7 {
            large.add(&tls::X509_SUBJECT, Side::Destination, Seen::default(), &[value; VALUE_BYTES_MAX]);
        }
        let mut small = Facts::default();
        small.flags = Flags((1 << FLAGS.len()) - 1);
        small.add(&tls::SNI, Side::Source, Seen { time: Time(5), packet: 6 }, b"name.example");
        let facts = |number: u64| if number.is_multiple_of(11) { small.clone() } else { large.clone() };
        let whens = |number: u64| (0..number as u32 % 4).collect::<Vec<_>>();
        let mut spool = Spool::default();
        let count = (MEMORY_BYTES_MAX + 5 * FILE_BYTES) as u64 / large.packed().len() as u64 * 11 / 10;
        for number in 0..count {
            spool.push(&record(number, facts(number)), &whens(number));
        }
        assert!(spool.file.is_some() && !spool.tail.is_empty());
        let mut next = 0;
        let read = spool.read(|back, matched| {
            let pushed = record(next, facts(next));
            let bare = |record: &FlowRecord| format!("{:?}", FlowRecord { facts: Facts::default(), ..record.clone() });
            assert_eq!(bare(back), bare(&pushed));
            assert_eq!(back.facts.packed(), pushed.facts.packed());
            assert_eq!((back.facts.flags, back.facts.len()), (pushed.facts.flags, pushed.facts.len()));
            assert_eq!(matched, whens(next));
            next += 1;
            Ok(())
        });
        read.unwrap();
        assert_eq!(next, count);
    }
}
