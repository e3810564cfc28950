//! Traffic made in memory: the same bytes for the same workload, size and seed, on every machine.
//!
//! In: a [`Workload`], a [`Size`], a seed. Out: the bytes of a capture file. A workload is one file; what they share
//! (chance, frames, TCP, TLS, names) stands beside them. Every packet is valid in itself; keys, signatures and
//! encrypted content are made-up bytes. Nobody's traffic was copied.

pub(crate) mod certificate;
mod churn;
mod elephants;
mod fixed;
mod flows;
mod hello;
mod hostile;
mod image;
mod mixed;
mod network;
mod packet;
pub(crate) mod random;
mod small;
mod ssh;
mod talk;
mod tls;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    /// What an office link carries.
    Mixed,
    /// A few long downloads.
    Elephants,
    /// A new TLS flow every eight packets.
    Churn,
    /// Packets of 64 bytes.
    Small,
    /// Ten million open flows.
    Flows10M,
    /// Reordered, split and unfinished hellos.
    Hostile,
}

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// What a machine with time is measured with.
    Full,
    /// A tenth or so.
    Quick,
    /// About so many packets.
    Packets(u64),
}

/// The seed unless another one is asked for.
pub const SEED: u64 = 1;

/// Name, what it is, packets of an image and rounds over it: full, then quick.
struct About {
    name: &'static str,
    text: &'static str,
    full: (u64, u64),
    quick: (u64, u64),
}

impl Workload {
    /// Every workload, in the order in which they run.
    pub const ALL: [Workload; 6] =
        [Workload::Mixed, Workload::Elephants, Workload::Churn, Workload::Small, Workload::Flows10M, Workload::Hostile];

    fn describe(self) -> About {
        match self {
            Workload::Mixed => About {
                name: "mixed",
                text: "TLS 1.2 and 1.3, DNS, HTTP, SSH, other TCP and UDP, ICMP, ARP; about 350 bytes a packet",
                full: (1_000_000, 1),
                quick: (150_000, 1),
            },
            Workload::Elephants => About {
                name: "elephants",
                text: "64 long downloads over TLS, about 1,450 bytes a packet",
                full: (500_000, 2),
                quick: (100_000, 1),
            },
            Workload::Churn => About {
                name: "churn",
                text: "a new TLS 1.3 flow every 8 packets",
                full: (2_000_000, 4),
                quick: (400_000, 1),
            },
            Workload::Small => About {
                name: "small",
                text: "64-byte packets of 10,000 flows, UDP and bare TCP acknowledgements",
                full: (4_000_000, 1),
                quick: (500_000, 1),
            },
            Workload::Flows10M => About {
                name: "flows-10m",
                text: "ten million open flows (fewer when shrunk), one or two packets each",
                full: (12_500_000, 1),
                quick: (625_000, 1),
            },
            Workload::Hostile => About {
                name: "hostile",
                text: "hellos in tiny, reordered, repeated, contradicting segments and many records, or never finished",
                full: (1_000_000, 1),
                quick: (150_000, 1),
            },
        }
    }

    /// The name, as it is typed and printed.
    pub fn name(self) -> &'static str {
        self.describe().name
    }

    /// What it is, in a line.
    pub fn about(self) -> &'static str {
        self.describe().text
    }

    /// Packets of the image, about; and how often a run goes over it.
    pub fn amount(self, size: Size) -> (u64, u64) {
        match size {
            Size::Full => self.describe().full,
            Size::Quick => self.describe().quick,
            Size::Packets(packets) => (packets, 1),
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Workload {
    type Err = ();

    fn from_str(name: &str) -> Result<Workload, ()> {
        Workload::ALL.into_iter().find(|workload| workload.name() == name).ok_or(())
    }
}

/// The capture of a workload: a classic pcap file, little-endian, nanoseconds, Ethernet.
pub fn image(workload: Workload, size: Size, seed: u64) -> Vec<u8> {
    let (packets, _) = workload.amount(size);
    match workload {
        Workload::Mixed => mixed::image(packets, seed),
        Workload::Elephants => elephants::image(packets, seed),
        Workload::Churn => churn::image(packets, seed),
        Workload::Small => small::image(packets, seed),
        Workload::Flows10M => flows::image(packets, seed),
        Workload::Hostile => hostile::image(packets, seed),
    }
}

/// A capture of frames of one size, of UDP and TCP; bytes without the frame check sequence.
pub fn fixed(packets: u64, seed: u64, frame_bytes: usize) -> Vec<u8> {
    fixed::image(packets, seed, frame_bytes)
}
