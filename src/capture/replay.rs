//! Captures held in memory and gone over again and again, for measuring.
//!
//! In: the bytes of capture files (not compressed). Out: their packets, through the same walk as from a file. Each
//! further round is later than the one before by [`ROUND_PAUSE_SECONDS`] and the length of the captures, so that its
//! flows are new ones.

use std::sync::Arc;

use super::walk::{Flaws, Found, Place, Stop, Walker, kind};
use super::{BLOCK_PACKETS_MAX, Block, Bytes, Damage, Packet, Source};
use crate::time::{SECOND, Time};

/// Longer than any flow stays open without a packet.
pub const ROUND_PAUSE_SECONDS: i64 = 2 * 3600;

/// A [`Source`] over captures in memory.
pub struct Replay {
    images: Vec<(Arc<str>, Bytes)>,
    rounds: u64,
    image: usize,
    at: usize,
    walker: Option<Walker>,
    number: u64,
    /// Added to the times of the current round.
    shift: i64,
    span: Option<(Time, Time)>,
    damage: Vec<Damage>,
    done: u64,
}

impl Replay {
    /// Goes over these captures, each with a name, so many times.
    pub fn new(images: Vec<(Arc<str>, impl Into<Bytes>)>, rounds: u64) -> Replay {
        Replay {
            images: images.into_iter().map(|(name, bytes)| (name, bytes.into())).collect(),
            rounds,
            image: 0,
            at: 0,
            walker: None,
            number: 1,
            shift: 0,
            span: None,
            damage: Vec::new(),
            done: 0,
        }
    }

    /// Ends the current image; the next one, or the next round, begins.
    fn next_image(&mut self) {
        self.image = self.image.saturating_add(1);
        (self.at, self.walker) = (0, None);
        if self.image < self.images.len() {
            return;
        }
        self.image = 0;
        self.rounds = self.rounds.saturating_sub(1);
        if let Some((first, last)) = self.span.take() {
            let step = last.since(first).saturating_add(ROUND_PAUSE_SECONDS.saturating_mul(SECOND));
            self.shift = self.shift.saturating_add(step);
        }
    }

    fn time(&mut self, time: Time) -> Time {
        let span = self.span.get_or_insert((time, time));
        *span = (span.0.min(time), span.1.max(time));
        Time(time.0.saturating_add(self.shift))
    }
}

impl Source for Replay {
    fn next_block(&mut self) -> Option<Block> {
        while self.rounds > 0 {
            let (input, bytes) = self.images.get(self.image).cloned()?;
            let image = bytes.as_slice();
            if self.walker.is_none() {
                self.walker = Walker::new(kind(image.get(..super::walk::KIND_BYTES).unwrap_or(image)));
            }
            let mut packets: Vec<Packet> = Vec::with_capacity(BLOCK_PACKETS_MAX);
            let mut flaws = Flaws::default();
            let mut stop = Stop::Broken;
            let before = self.at;
            if let Some(walker) = &mut self.walker {
                let mut place = Place::new(image, self.at, 0);
                let mut found = Found { packets: &mut packets, limit: BLOCK_PACKETS_MAX, flaws: &mut flaws };
                stop = walker.walk(&mut place, &mut found);
                self.at = place.at;
            }
            self.done = self.done.saturating_add(self.at.saturating_sub(before) as u64);
            for flaw in flaws.take() {
                let (input, offset, reason) = (input.to_string(), flaw.offset, flaw.reason);
                self.damage.push(Damage { input, offset, reason, fatal: false });
            }
            for packet in &mut packets {
                packet.time = self.time(packet.time);
            }
            if !matches!(stop, Stop::Full) {
                self.next_image();
            }
            if !packets.is_empty() {
                let first_number = self.number;
                self.number = self.number.saturating_add(packets.len() as u64);
                return Some(Block { input, bytes, packets, first_number });
            }
        }
        None
    }

    fn damage(&self) -> &[Damage] {
        &self.damage
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.done, None)
    }
}
