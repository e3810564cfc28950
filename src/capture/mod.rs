//! Where packets come from: capture files in any wrapping, standard input, interfaces.
//!
//! In: names of inputs. Out: [`Block`]s of packets that point into bytes nobody copied, in the
//! order of the capture, with every damage named by file, offset and reason.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

#[cfg(any(feature = "libpcap", target_os = "linux"))]
mod bpf;
mod compressed;
mod filter;
mod input;
mod inputs;
pub mod live;
mod mapped;
mod pcap;
mod pcapng;
mod replay;
#[cfg(target_os = "linux")]
mod ring;
#[cfg(target_os = "linux")]
pub(crate) mod send;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use crate::time::Time;

pub use filter::FilterError;
pub use inputs::Inputs;
pub use mapped::Map;
pub use replay::{ROUND_PAUSE_SECONDS, Replay};

/// A link-layer header type, as tcpdump.org numbers them (LINKTYPE_ values).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkType(pub u16);

/// Packets handed over at a time.
pub const BLOCK_PACKETS_MAX: usize = 1024;

/// One packet of a [`Block`]: where its bytes lie and what the capture says of it.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// When it was captured.
    pub time: Time,
    /// Offset of its first byte in the block's bytes.
    pub start: usize,
    /// Bytes that were captured.
    pub captured: u32,
    /// Bytes it had on the wire, as the capture says; a wrong capture says fewer than `captured`.
    pub original: u32,
    /// What the first byte is.
    pub link: LinkType,
    /// The interface, in numbers of its input: see [`Source::interface`].
    pub interface: u32,
}

/// Bytes that packets point into: a mapped file, or a piece of a stream.
#[derive(Clone)]
pub enum Bytes {
    /// A whole file, mapped.
    Mapped(Arc<Map>),
    /// A piece that was read or decompressed.
    Owned(Arc<Vec<u8>>),
}

impl From<Arc<Vec<u8>>> for Bytes {
    fn from(bytes: Arc<Vec<u8>>) -> Bytes {
        Bytes::Owned(bytes)
    }
}

impl Bytes {
    /// Those of a whole file: mapped, or read where it cannot be.
    ///
    /// # Errors
    /// When it cannot be opened or read.
    pub fn of_file(path: &Path) -> io::Result<Bytes> {
        let mut file = File::open(path)?;
        if let Ok(map) = Map::new(&file) {
            return Ok(Bytes::Mapped(Arc::new(map)));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Bytes::Owned(Arc::new(bytes)))
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Owned(piece) => piece,
        }
    }
}

/// Up to [`BLOCK_PACKETS_MAX`] packets of one input, in capture order.
#[derive(Clone)]
pub struct Block {
    /// The input they come from, as it was named.
    pub input: Arc<str>,
    /// What the packets point into.
    pub bytes: Bytes,
    /// The packets.
    pub packets: Vec<Packet>,
    /// Number of the first packet in the whole input, from 1. Packets that a filter dropped have
    /// no number, as in the output of a reader that was given the same filter.
    pub first_number: u64,
}

/// Something in an input that could not be read. Good records before it (and after it, where the
/// format allows to go on) are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The input as it was named.
    pub input: String,
    /// Offset in the (decompressed) bytes where it starts.
    pub offset: u64,
    /// What is wrong, in words.
    pub reason: String,
    /// Nothing at all could be read from this input.
    pub fatal: bool,
}

/// What was lost before it could be handed over, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Packets.
    pub packets: BTreeMap<&'static str, u64>,
    /// How often a limit was met; no packets.
    pub limits: BTreeMap<&'static str, u64>,
}

impl Losses {
    fn packet(&mut self, name: &'static str, count: u64) {
        add(&mut self.packets, name, count);
    }

    fn limit(&mut self, name: &'static str, count: u64) {
        add(&mut self.limits, name, count);
    }
}

fn add(counts: &mut BTreeMap<&'static str, u64>, name: &'static str, count: u64) {
    if count > 0 {
        let sum = counts.entry(name).or_default();
        *sum = sum.saturating_add(count);
    }
}

/// An ordered source of packets.
pub trait Source: Send {
    /// The next packets, or `None` at the end. An empty block is allowed.
    fn next_block(&mut self) -> Option<Block>;
    /// What could not be read so far.
    fn damage(&self) -> &[Damage];
    /// Nobody looks at the blocks any more: what became of their bytes meanwhile is a damage, too.
    fn settle(&mut self) {}
    /// Bytes of input consumed and in all, as far as known, for a progress bar.
    fn progress(&self) -> (u64, Option<u64>);
    /// Packets that were read and that a filter dropped.
    fn filtered(&self) -> u64 {
        0
    }
    /// The name of an interface of the input of the last block, where the input tells it.
    fn interface(&self, _number: u32) -> Option<Arc<str>> {
        None
    }
    /// What was lost before it could be handed over, until now.
    fn losses(&mut self) -> Losses {
        Losses::default()
    }
}
