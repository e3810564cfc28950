//! Flow records judged again.
//!
//! In: files of flow records (`--flows`), one a line. Out: the report that their captures would give by what is known today,
//! and the records with their new verdicts. A record does not say when each of its facts was seen: evidence has the time and
//! the packet number of the flow.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use crate::capture::Damage;
use crate::collect::{Collector, Desk, Judging};
use crate::join::{Carried, Joined, Seen, join};
use crate::ledger::Ledger;
use crate::record::FlowRecord;
use crate::report::{Report, Source, flow};
use crate::run::State;
use crate::scan::{Flows, Scanned, digest, fingerprint, gaps, header};

/// Bytes of one line. A record has far fewer.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Lines that are read together.
const LINES: usize = 4096;
/// Lines that cannot be read and are told one by one.
const DAMAGE_MAX: usize = 1000;

/// How flow records are judged again.
pub struct Recheck {
    /// By what.
    pub judging: Judging,
    /// The records are wanted with their new verdicts.
    pub keep_flows: bool,
    /// The report is to be merged with others.
    pub mergeable: bool,
}

impl Recheck {
    /// Reads files of flow records, `-` for standard input.
    ///
    /// # Errors
    /// When two files are the same: what they hold would count twice.
    pub fn run(&self, inputs: &[String]) -> Result<Scanned, String> {
        let digests: Vec<Option<String>> = inputs.par_iter().map(|input| digest(Path::new(input)).ok()).collect();
        for (at, digest) in digests.iter().enumerate() {
            if let Some(first) = digests[..at].iter().position(|there| digest.is_some() && there == digest) {
                return Err(format!("{} and {} hold the same; it would count twice", inputs[first], inputs[at]));
            }
        }
        let mut reading = Reading {
            collector: Collector::new(Arc::new(Desk::new(self.judging.clone())), self.keep_flows),
            ledger: Ledger::default(),
            damage: Vec::new(),
            more_damage: 0,
        };
        let mut sources = Vec::new();
        for (input, sha256) in inputs.iter().zip(digests) {
            let before = reading.ledger.received;
            reading.file(input);
            let fingerprint = fingerprint(Path::new(input)).ok();
            let packets = reading.ledger.received - before;
            sources.push(Source { input: input.clone(), sha256, fingerprint, packets });
        }
        sources.sort();
        Ok(self.conclude(reading, inputs, sources))
    }

    fn conclude(&self, reading: Reading, inputs: &[String], sources: Vec<Source>) -> Scanned {
        let Reading { collector, mut ledger, mut damage, more_damage } = reading;
        if more_damage > 0 {
            let reason = format!("{more_damage} more lines cannot be read");
            damage.push(Damage { input: inputs.join(", "), offset: 0, reason, fatal: false });
        }
        let (gathered, spool) = collector.into_parts();
        for (name, count) in &gathered.limits {
            ledger.note(name, count.0);
        }
        let mut header = header(&self.judging, Seen::of(&gathered), inputs, &damage, None);
        header.sources = sources;
        let carry = || Carried::new(&gathered, &[], None, &self.judging.signatures).into_json();
        let sums = self.mergeable.then(carry).flatten();
        let Joined { findings, assets, hosts, names } = join(gathered, self.judging.context());
        let gaps = gaps(&self.judging.signatures, &assets);
        let flows =
            Flows { spools: spool.into_iter().collect(), hosts: Arc::new(hosts), names, judging: self.judging.clone() };
        Scanned {
            report: Report { header, ledger, findings, assets, gaps, sums },
            flows,
            damage,
            state: State::default(),
        }
    }
}

/// What was read so far.
struct Reading {
    collector: Collector,
    ledger: Ledger,
    damage: Vec<Damage>,
    more_damage: u64,
}

/// Lines of a file, each with its offset.
type Lines = Vec<(u64, Vec<u8>)>;

impl Reading {
    fn file(&mut self, input: &str) {
        let read = match input {
            "-" => self.lines(input, &mut io::stdin().lock()),
            path => File::open(path).and_then(|file| self.lines(input, &mut BufReader::with_capacity(1 << 20, file))),
        };
        if let Err(error) = read {
            self.bad(input, 0, error.to_string());
        }
    }

    fn bad(&mut self, input: &str, offset: u64, reason: String) {
        if self.damage.len() < DAMAGE_MAX {
            self.damage.push(Damage { input: input.to_owned(), offset, reason, fatal: false });
        } else {
            self.more_damage += 1;
        }
    }

    fn lines(&mut self, input: &str, from: &mut dyn BufRead) -> io::Result<()> {
        let (mut offset, mut lines) = (0, Lines::new());
        loop {
            let mut line = Vec::new();
            let len = from.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? as u64;
            if len == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
                self.bad(input, offset, format!("a line of more than {LINE_BYTES_MAX} bytes"));
                offset += len + skip_line(from)?;
                continue;
            }
            if len == 0 || lines.len() == LINES {
                self.records(input, &std::mem::take(&mut lines));
            }
            if len == 0 {
                return Ok(());
            }
            if !line.trim_ascii().is_empty() {
                lines.push((offset, line));
            }
            offset += len;
        }
    }

    fn records(&mut self, input: &str, lines: &Lines) {
        let read: Vec<(u64, Result<FlowRecord, String>)> =
            lines.par_iter().map(|(offset, line)| (*offset, flow::read(line))).collect();
        for (offset, record) in read {
            match record {
                Ok(record) => {
                    let packets: u64 = record.packets.iter().fold(0, |sum, n| sum.saturating_add(*n));
                    self.ledger.received = self.ledger.received.saturating_add(packets);
                    self.ledger.decoded = self.ledger.decoded.saturating_add(packets);
                    self.ledger.missing_bytes =
                        record.missing.iter().fold(self.ledger.missing_bytes, |sum, n| sum.saturating_add(*n));
                    self.collector.add_flow(&record);
                }
                Err(reason) => self.bad(input, offset, reason),
            }
        }
    }
}

/// Passes over the rest of a line; its bytes.
fn skip_line(from: &mut dyn BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = from.fill_buf()?;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let len = end.map_or(buffer.len(), |at| at + 1);
        from.consume(len);
        skipped += len as u64;
        if end.is_some() || len == 0 {
            return Ok(skipped);
        }
    }
}
