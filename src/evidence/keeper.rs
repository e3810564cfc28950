//! What a sensor keeps of packets, so that its findings can be proved at its end.
//!
//! In: the blocks of a source, which are passed on as they are. Out: files with the first packets of every flow: there stands
//! what tells who somebody is and where a flow goes. There are two, and when the newer one is full the older one goes, so
//! what is kept is the latest. Nothing here waits for anybody but the disk, and a sensor without `--evidence` has none of it.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::pcapng::Appending;
use super::{EvidenceError, Wish, Written};
use crate::capture::{Block, Damage, Inputs, Losses, Packet, Source};
use crate::collect::Judging;
use crate::decode::{self, tcp};
use crate::flow::key::Key;
use crate::merge;
use crate::scan::{MEMORY_BYTES_USUAL, Scan, Scanned};

/// Packets kept of one flow.
pub const PACKETS_PER_FLOW_MAX: u16 = 64;
/// Flows of one source of which it is known how many packets were kept; of more it is forgotten.
pub const FLOWS_MAX: usize = 1 << 18;

/// The files of all sources.
pub struct Keeper {
    folder: tempfile::TempDir,
    bytes_max: u64,
    sources: usize,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Keeper {
    /// Files in a new folder for temporary files, of so many bytes in all.
    ///
    /// # Errors
    /// When there can be no such folder.
    pub fn new(bytes_max: u64) -> io::Result<Keeper> {
        let folder = tempfile::Builder::new().prefix("bordertap-").tempdir()?;
        Ok(Keeper { folder, bytes_max, sources: 0, trouble: Arc::default() })
    }

    /// The same sources, with their packets kept on the way.
    pub fn keep(&mut self, sources: Vec<Box<dyn Source>>) -> Vec<Box<dyn Source>> {
        self.sources = sources.len();
        let half = self.bytes_max / 2 / sources.len().max(1) as u64;
        let keeping = |(number, inner): (usize, Box<dyn Source>)| -> Box<dyn Source> {
            let paths = [0, 1].map(|turn| self.path(number, turn));
            let spool = Spool { paths, turn: 0, file: None, bytes: 0, bytes_max: half };
            Box::new(Keeping { inner, spool, kept: merge::Map::default(), trouble: self.trouble.clone() })
        };
        sources.into_iter().enumerate().map(keeping).collect()
    }

    fn path(&self, source: usize, turn: usize) -> PathBuf {
        self.folder.path().join(format!("{source}-{turn}.pcapng"))
    }

    /// Makes the bundle of what was kept: findings are those that it shows. What went wrong while it was kept, too.
    ///
    /// # Errors
    /// As [`super::write`].
    pub fn write(
        &self,
        wish: &Wish,
        name: &str,
        judging: &Judging,
    ) -> Result<(Written, Option<String>), EvidenceError> {
        let files = (0..self.sources).flat_map(|source| [self.path(source, 0), self.path(source, 1)]);
        let files: Vec<String> =
            files.filter(|path| path.exists()).map(|path| path.to_string_lossy().into_owned()).collect();
        let usage = |error: crate::capture::FilterError| EvidenceError::Usage(error.to_string());
        let open = || Ok(Named { inner: Inputs::open(&files, None).map_err(usage)?, name: name.into() });
        let scan = Scan {
            judging: judging.clone(),
            workers: 1,
            memory: MEMORY_BYTES_USUAL,
            packets_max: u64::MAX,
            vlans_apart: wish.options.vlans_apart,
            keep_flows: true,
            mergeable: false,
            digests: false,
            filter: None,
        };
        let Scanned { report, mut flows, .. } = scan.run(&mut open()?, &[], &|_, _| {});
        let written = super::write(wish, &report, &mut flows, &mut open()?, judging)?;
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((written, trouble))
    }
}

/// A source whose packets are kept.
struct Keeping {
    inner: Box<dyn Source>,
    spool: Spool,
    /// Packets kept, by flow.
    kept: merge::Map<Key, u16>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Keeping {
    fn block(&mut self, block: &Block) -> io::Result<()> {
        let bytes = block.bytes.as_slice();
        for (packet, number) in block.packets.iter().zip(block.first_number..) {
            if !self.is_wanted(bytes, packet, number) {
                continue;
            }
            let end = packet.start.saturating_add(packet.captured as usize);
            if let Some(captured) = bytes.get(packet.start..end) {
                self.spool.add(packet, captured)?;
            }
        }
        self.spool.flush()
    }

    /// One of the first packets of its flow, or one of no flow.
    fn is_wanted(&mut self, bytes: &[u8], packet: &Packet, number: u64) -> bool {
        let Ok(segment) = decode::decode(bytes, packet, number) else { return true };
        if self.kept.len() >= FLOWS_MAX && !self.kept.contains_key(&segment.key) {
            self.kept.clear();
        }
        let kept = self.kept.entry(segment.key).or_default();
        if segment.tcp_flags & (tcp::SYN | tcp::ACK) == tcp::SYN {
            *kept = 0;
        }
        *kept = kept.saturating_add(1);
        *kept <= PACKETS_PER_FLOW_MAX
    }
}

impl Source for Keeping {
    fn next_block(&mut self) -> Option<Block> {
        let block = self.inner.next_block()?;
        // A disk that is full must not end a sensor.
        if let Err(error) = self.block(&block) {
            let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            trouble.get_or_insert_with(|| error.to_string());
        }
        Some(block)
    }

    fn damage(&self) -> &[Damage] {
        self.inner.damage()
    }

    fn progress(&self) -> (u64, Option<u64>) {
        self.inner.progress()
    }

    fn filtered(&self) -> u64 {
        self.inner.filtered()
    }

    fn losses(&mut self) -> Losses {
        self.inner.losses()
    }

    fn interface(&self, number: u32) -> Option<Arc<str>> {
        self.inner.interface(number)
    }
}

/// Two files, of which the newer is written.
struct Spool {
    paths: [PathBuf; 2],
    turn: usize,
    file: Option<Appending<BufWriter<File>>>,
    bytes: u64,
    bytes_max: u64,
}

impl Spool {
    fn add(&mut self, packet: &Packet, captured: &[u8]) -> io::Result<()> {
        if self.file.is_some() && self.bytes + captured.len() as u64 > self.bytes_max {
            self.file = None;
            self.turn = 1 - self.turn;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                self.bytes = 0;
                let path: &Path = &self.paths[self.turn];
                self.file.insert(Appending::begin(BufWriter::new(File::create(path)?))?)
            }
        };
        self.bytes += file.packet(packet.link, packet.time, packet.original, captured)?;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Appending::flush)
    }
}

/// Inputs under another name.
struct Named {
    inner: Inputs,
    name: Arc<str>,
}

impl Source for Named {
    fn next_block(&mut self) -> Option<Block> {
        Some(Block { input: self.name.clone(), ..self.inner.next_block()? })
    }

    fn damage(&self) -> &[Damage] {
        self.inner.damage()
    }

    fn progress(&self) -> (u64, Option<u64>) {
        self.inner.progress()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{LinkType, Replay};
    use crate::time::Time;

    /// An acknowledgement of TCP from one of many hosts.
    fn packet(host: u32) -> Vec<u8> {
        let [_, a, b, c] = host.to_be_bytes();
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        bytes.extend([0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, a, b, c, 192, 0, 2, 1]);
        bytes.extend([0x9c, 0x40, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
        bytes
    }

    /// Of a flow the first packets are kept, and it is known of so many flows how many those were.
    #[test]
    fn packets_and_flows_that_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [0, 1].map(|turn| folder.path().join(format!("{turn}.pcapng")));
        let spool = Spool { paths, turn: 0, file: None, bytes: 0, bytes_max: 1 << 20 };
        let inner = Box::new(Replay::new(Vec::<(_, Arc<Vec<u8>>)>::new(), 1));
        let mut keeping = Keeping { inner, spool, kept: merge::Map::default(), trouble: Arc::default() };
        let wanted = |keeping: &mut Keeping, host: u32| {
            let bytes = packet(host);
            let length = bytes.len() as u32;
            let packet =
                Packet { time: Time(0), start: 0, captured: length, original: length, link: LinkType(1), interface: 0 };
            keeping.is_wanted(&bytes, &packet, 1)
        };
        let kept = (0..3 * PACKETS_PER_FLOW_MAX).filter(|_| wanted(&mut keeping, 0)).count();
        assert_eq!(kept, usize::from(PACKETS_PER_FLOW_MAX));
        let mut most = 0;
        for host in 1..FLOWS_MAX as u32 + 9 {
            assert!(wanted(&mut keeping, host));
            most = most.max(keeping.kept.len());
        }
        assert_eq!(most, FLOWS_MAX);
    }
}
