//! What a sensor sees, and how it is: one picture, made anew with every turn.
//!
//! In: filled by the sensor. Out: whoever shows it (a terminal, a page of metrics, a line) takes the picture of the last
//! turn; nobody waits for anybody.

mod line;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::output::OutputCount;
use crate::report::Report;
use crate::run::State;
use crate::time::Time;

pub use line::{bits_text, json, line};

/// Seconds of which rates are kept.
pub const HISTORY_SECONDS: usize = 300;
/// Findings that are kept as the newest.
pub const NEWEST_MAX: usize = 64;
/// Seconds over which the rates of now are averaged.
pub const RECENT_SECONDS: usize = 10;

/// One picture.
#[derive(Clone, Debug)]
pub struct View {
    /// When the sensor began.
    pub started: Time,
    /// When the picture was made.
    pub now: Time,
    /// Findings, assets, ledger, as far as they are known.
    pub report: Arc<Report>,
    /// Captured bytes since the beginning.
    pub bytes: u64,
    /// Rates, one a second, oldest first.
    pub history: VecDeque<Rates>,
    /// The newest findings, newest first.
    pub newest: Vec<Newest>,
    /// Open flows and memory behind them.
    pub state: State,
    /// Resident memory of the process, where the system tells.
    pub resident_bytes: Option<u64>,
    /// What became of records.
    pub outputs: Vec<OutputCount>,
    /// What the user should know: one direction only, too little traffic, loss.
    pub warnings: Vec<String>,
    /// How often signatures, policy and databases were read again, and how often that failed.
    pub reloads: [u64; 2],
}

impl View {
    /// The rates of now: the mean of the last seconds.
    pub fn recent(&self) -> Rates {
        let seconds = self.history.len().min(RECENT_SECONDS);
        let mut mean = Rates::default();
        for rates in self.history.iter().rev().take(seconds) {
            mean.packets += rates.packets / seconds as f64;
            mean.bytes += rates.bytes / seconds as f64;
            mean.lost += rates.lost / seconds as f64;
        }
        mean
    }
}

/// What came in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Packets a second.
    pub packets: f64,
    /// Captured bytes a second.
    pub bytes: f64,
    /// Packets lost a second, under whatever name.
    pub lost: f64,
}

/// A finding that arose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Its id.
    pub id: String,
    /// When it was first told.
    pub at: Time,
}

/// Where the picture of the last turn hangs.
#[derive(Debug, Default)]
pub struct Board(Mutex<Option<Arc<View>>>);

impl Board {
    /// Hangs up a picture.
    pub fn put(&self, view: View) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Arc::new(view));
    }

    /// The last picture; none before the first turn.
    pub fn get(&self) -> Option<Arc<View>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}
