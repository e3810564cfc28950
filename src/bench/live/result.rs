//! What was found: these types are the document of `bench live --json` (`fixtures/schema/bench-live.json`).
//!
//! In: numbers from the trials. Out: what `text` and `html` print. Every trial is kept, the broken ones among them: the
//! answer can be checked against what it was made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::result::{Build, Machine};
use super::super::spread::Spread;

/// Raised when a field changes its meaning.
pub const FORMAT: u32 = 1;

/// The whole document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveBench {
    /// [`FORMAT`].
    pub format: u32,
    /// Name and version.
    pub program: String,
    /// When it began, RFC 3339, UTC.
    pub measured_at: String,
    /// How long all of it took.
    pub seconds: f64,
    /// On what.
    pub machine: Machine,
    /// What was measured.
    pub build: Build,
    /// How.
    pub settings: Settings,
    /// What a reader must know before trusting a number.
    pub warnings: Vec<String>,
    /// One for each traffic and receiver.
    pub results: Vec<Measured>,
}

/// How it was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The interface that was sent into.
    pub tx: String,
    /// The interface that was listened to.
    pub rx: String,
    /// How frames were sent.
    pub sent_through: String,
    /// Length of a trial.
    pub trial_seconds: f64,
    /// Searches of each kind.
    pub runs: usize,
    /// A search ends when the rates with and without loss are so near each other, as a ratio.
    pub resolution: f64,
    /// Loss that still counts as none, as a ratio.
    pub loss_max: f64,
    /// Where a search begins, packets/s.
    pub start_rate: f64,
    /// Where it ends at the latest, packets/s.
    pub max_rate: f64,
    /// Frames that are sent at once, at most.
    pub burst_frames: usize,
    /// Time that a sender which was held up catches up with, at most.
    pub catch_up_seconds: f64,
    /// Pause between the last frame of a trial and the end of its receiver.
    pub settle_seconds: f64,
    /// Seed of the traffic.
    pub seed: u64,
    /// Type this to do it again.
    pub command: String,
}

/// One receiver with one kind of traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Name of the workload, the file, or `64-byte frames`.
    pub traffic: String,
    /// What it is.
    pub about: String,
    /// Frames of a round that are sent.
    pub frames: u64,
    /// Their bytes, from the link-layer header on, without FCS.
    pub bytes: u64,
    /// Frames of a round that the interface cannot send: left out.
    pub not_sendable: u64,
    /// Digest of the traffic.
    pub sha256: String,
    /// Who listened, in short.
    pub receiver: String,
    /// Its command.
    pub receiver_command: String,
    /// Highest rate without loss in each search, packets/s; searches without one are not in it.
    pub rate: Spread,
    /// The same as bits of frames.
    pub gigabits_per_second: Spread,
    /// Processor time of the receiver by packet, in the trials with these rates.
    pub processor_ns_per_packet: Spread,
    /// The searches.
    pub searches: Vec<Search>,
}

/// One search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// Highest rate without loss that was reached; `None` when every trial had loss or was broken.
    pub rate: Option<f64>,
    /// What kept it from being higher.
    pub limit: Limit,
    /// Every trial, in its order.
    pub trials: Vec<Trial>,
}

/// What kept a rate from being higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// The receiver lost packets above it.
    Receiver,
    /// The sender, or what lies between the interfaces, brought no more.
    Sender,
    /// The highest rate that was asked for.
    MaxRate,
    /// Trials did not add up: nothing can be said.
    Broken,
}

impl Search {
    /// The trial that reached the rate.
    pub fn best(&self) -> Option<&Trial> {
        self.trials.iter().find(|trial| Some(trial.rate) == self.rate)
    }
}

impl Limit {
    /// In a word or two.
    pub fn words(self) -> &'static str {
        match self {
            Limit::Receiver => "receiver",
            Limit::Sender => "sender",
            Limit::MaxRate => "--max-rate",
            Limit::Broken => "broken",
        }
    }
}

/// One trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What was to be sent, packets/s.
    pub offered_rate: f64,
    /// What came to the other interface, packets/s.
    pub rate: f64,
    /// From the first frame until the last was gone.
    pub seconds: f64,
    /// Frames that were sent.
    pub sent: u64,
    /// Frames that were lost between the two interfaces, by the counter that has them.
    pub on_the_way: BTreeMap<String, u64>,
    /// Packets that the receiver accounts for, its losses among them.
    pub received: u64,
    /// What it lost, by name.
    pub lost: BTreeMap<String, u64>,
    /// Lost as a ratio of received.
    pub loss: f64,
    /// Processor time of the receiver, user and system, all threads; `None`: not readable. What the kernel does for it as
    /// a packet comes in is time of the sender.
    pub processor_seconds: Option<f64>,
    /// Why it does not add up; `None`: sent = received + lost on the way, exactly.
    pub broken: Option<String>,
}
