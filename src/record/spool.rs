//! Ended flows, kept until names and identities of the whole input are known.
//!
//! In: flow records as workers end them, with the signature conditions that matched. Out: the
//! same, one after the other. Records stand packed in memory; beyond [`MEMORY_BYTES_MAX`] they go to a
//! temporary file that has no name, so a capture of any size fits.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use crate::fact::{Facts, Flags};
use crate::flow::key::Key;
use crate::parse;
use crate::record::FlowRecord;
use crate::time::Time;

/// Packed records kept in memory by one worker before they go to a file.
pub const MEMORY_BYTES_MAX: usize = 64 << 20;

/// Packed flow records of one worker.
#[derive(Default)]
pub struct Spool {
    memory: Vec<u8>,
    file: Option<File>,
    error: Option<io::Error>,
}

impl Spool {
    /// Adds a record and the conditions that matched it.
    pub fn push(&mut self, record: &FlowRecord, whens: &[u32]) {
        let start = self.memory.len();
        self.memory.extend_from_slice(&[0; 4]);
        pack(record, whens, &mut self.memory);
        let len = (self.memory.len() - start - 4) as u32;
        self.memory[start..start + 4].copy_from_slice(&len.to_le_bytes());
        if self.memory.len() > MEMORY_BYTES_MAX
            && let Err(error) = self.spill()
        {
            self.error.get_or_insert(error);
        }
    }

    fn spill(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile()?);
        }
        if let Some(file) = &mut self.file {
            file.write_all(&self.memory)?;
        }
        self.memory.clear();
        Ok(())
    }

    /// Hands every record over, oldest first.
    pub fn read(mut self, mut each: impl FnMut(FlowRecord, &[u32]) -> io::Result<()>) -> io::Result<()> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::Start(0))?;
            read_all(BufReader::with_capacity(1 << 20, file), &mut each)?;
        }
        read_all(self.memory.as_slice(), &mut each)
    }
}

fn read_all(mut input: impl Read, each: &mut impl FnMut(FlowRecord, &[u32]) -> io::Result<()>) -> io::Result<()> {
    let mut packed = Vec::new();
    let mut len = [0; 4];
    loop {
        match input.read(&mut len[..1])? {
            0 => return Ok(()),
            _ => input.read_exact(&mut len[1..])?,
        }
        packed.resize(u32::from_le_bytes(len) as usize, 0);
        input.read_exact(&mut packed)?;
        let (record, whens) = unpack(&packed)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a packed flow record is damaged"))?;
        each(record, &whens)?;
    }
}

fn pack(record: &FlowRecord, whens: &[u32], out: &mut Vec<u8>) {
    let word = |out: &mut Vec<u8>, n: u64| out.extend_from_slice(&n.to_le_bytes());
    for n in record.key.words() {
        word(out, n);
    }
    let bits = [record.opener_low, record.payload[0], record.payload[1], record.more[0], record.more[1]];
    out.push(bits.iter().enumerate().fold(0, |all, (i, &bit)| all | u8::from(bit) << i));
    for n in [record.first.0 as u64, record.last.0 as u64, record.number] {
        word(out, n);
    }
    for n in [record.packets, record.bytes, record.missing].concat() {
        word(out, n);
    }
    out.push(u8::from(record.macs.is_some()));
    for mac in record.macs.iter().flatten() {
        out.extend_from_slice(mac);
    }
    out.extend_from_slice(&record.vlan.unwrap_or(u16::MAX).to_le_bytes());
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

fn unpack(packed: &[u8]) -> Option<(FlowRecord, Vec<u32>)> {
    let mut p = Packed(packed);
    let key = Key::from_words([p.u64()?, p.u64()?, p.u64()?, p.u64()?, p.u64()?]);
    let bits = p.u8()?;
    let bit = |i: u8| bits & 1 << i != 0;
    let (first, last, number) = (p.time()?, p.time()?, p.u64()?);
    let (packets, bytes, missing) = (p.pair()?, p.pair()?, p.pair()?);
    let macs = if p.u8()? == 1 { Some([p.array()?, p.array()?]) } else { None };
    let vlan = Some(p.u16()?).filter(|&id| id != u16::MAX);
    let protocol = parse::PROTOCOLS.get(usize::from(p.u8()?)).map(|p| p.name);
    let flags = Flags(p.u32()?);
    let whens = (0..p.u32()?).map(|_| p.u32()).collect::<Option<Vec<_>>>()?;
    let facts = Facts::from_packed(p.0, flags)?;
    let record = FlowRecord {
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
        macs,
        vlan,
        protocol,
        facts,
    };
    Some((record, whens))
}
