//! One trial: a receiver listens, frames go out at a rate, and what became of each is accounted for.
//!
//! In: frames, a receiver, a rate. Out: a [`Trial`]. It holds for every trial that what was sent is what the receiver
//! accounts for and what counters of the two interfaces say was lost between them, exactly; one for which it does not is
//! broken and says why.

use std::time::{Duration, Instant};

use rustix::param::clock_ticks_per_second;

use super::Error;
use super::frames::Frames;
use super::interface::Counters;
use super::pace::{BURST_FRAMES_MAX, Bucket, DEPTH, SLEEP_MIN};
use super::receiver::{Heard, Receiver};
use super::result::Trial;
use crate::capture::send::Sender;

/// Longest wait until frames that were sent are gone and counted (RFC 2544, section 23: two seconds for what is left).
pub const SETTLE_MAX: Duration = Duration::from_secs(2);
/// Shortest: the sensor asks its ring every 50 ms; others are handed what is left after a second.
const SETTLE_SENSOR: Duration = Duration::from_millis(150);
const SETTLE_OTHER: Duration = Duration::from_millis(1500);
const POLL: Duration = Duration::from_millis(10);
/// Pause between looks at frames that the kernel has not finished with.
const DRAIN: Duration = Duration::from_micros(100);

/// Two interfaces: into one it sends, on the other it listens.
pub struct Link<'a> {
    /// Sends.
    pub(super) sender: Sender,
    /// Where to.
    pub tx: &'a str,
    /// Where it is listened.
    pub rx: &'a str,
    /// How long.
    pub length: Duration,
}

/// What went out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sent {
    frames: u64,
    /// Frames that the interface dropped and that were then sent again.
    again: u64,
    seconds: f64,
}

impl Link<'_> {
    /// A trial at a rate.
    ///
    /// # Errors
    /// When it cannot be sent, listened or counted.
    pub fn trial(&mut self, frames: &Frames, receiver: &Receiver, rate: f64) -> Result<Trial, Error> {
        let failed = |error| Error::Receiver(receiver.name(), error);
        let listening = receiver.listen(self.rx, self.length).map_err(failed)?;
        let before = [counters(self.tx)?, counters(self.rx)?];
        let sent = self.send(frames, rate)?;
        let counted = self.settle(receiver, &before, &sent)?;
        let heard = listening.finish().map_err(failed)?;
        Ok(account(rate, self.rx, &sent, &counted, heard))
    }

    /// Sends at a rate, until as many frames went as belong into the time or it is over.
    fn send(&mut self, frames: &Frames, rate: f64) -> Result<Sent, Error> {
        let before = self.sender.counts();
        let wanted = (rate * self.length.as_secs_f64()).ceil() as u64;
        let end = self.length.saturating_add(DEPTH);
        let (mut cursor, mut bucket, mut gone) = (frames.cursor(), Bucket::new(rate), 0);
        let begun = Instant::now();
        while gone < wanted && begun.elapsed() < end {
            let due = bucket.due(begun.elapsed()).min(BURST_FRAMES_MAX);
            let mut burst = 0;
            while burst < due && self.sender.put(cursor.frame())? {
                cursor.advance();
                burst += 1;
            }
            bucket.take(burst);
            gone += burst as u64;
            if burst > 0 || due > 0 {
                self.sender.send()?;
            }
            // Who lets others on while frames are due gets the processor back a slice later.
            match bucket.wait() {
                wait if wait >= SLEEP_MIN => std::thread::sleep(wait.min(end)),
                wait if burst < due || !wait.is_zero() => std::thread::yield_now(),
                _ => {}
            }
        }
        let late = Instant::now();
        while !self.sender.is_done() && late.elapsed() < SETTLE_MAX {
            self.sender.send()?;
            std::thread::sleep(DRAIN);
        }
        let seconds = begun.elapsed().as_secs_f64();
        let (handed, again) = self.sender.counts();
        Ok(Sent { frames: handed.saturating_sub(before.0), again: again.saturating_sub(before.1), seconds })
    }

    /// Waits until what was sent has come and was read, and has the counters of both interfaces since the start.
    fn settle(&self, receiver: &Receiver, before: &[Counters; 2], sent: &Sent) -> Result<[Counters; 2], Error> {
        let least = match receiver {
            Receiver::Sensor { .. } => SETTLE_SENSOR,
            Receiver::Other(_) => SETTLE_OTHER,
        };
        let begun = Instant::now();
        loop {
            std::thread::sleep(POLL);
            let now = [counters(self.tx)?.since(&before[0]), counters(self.rx)?.since(&before[1])];
            let all_there = now[1].received + now[0].sent_dropped.saturating_sub(sent.again) >= sent.frames;
            if begun.elapsed() >= SETTLE_MAX || all_there && begun.elapsed() >= least {
                return Ok(now);
            }
        }
    }
}

fn counters(interface: &str) -> Result<Counters, Error> {
    Counters::now(interface).map_err(|error| Error::Interface(interface.to_owned(), error))
}

/// What became of every frame.
fn account(offered_rate: f64, rx_name: &str, sent: &Sent, [tx, rx]: &[Counters; 2], heard: Heard) -> Trial {
    let lost: u64 = heard.lost.values().sum();
    let mut trial = Trial {
        offered_rate,
        rate: rx.received as f64 / sent.seconds.max(f64::MIN_POSITIVE),
        seconds: sent.seconds,
        sent: sent.frames,
        received: heard.received,
        loss: lost as f64 / heard.received.max(1) as f64,
        lost: heard.lost,
        processor_seconds: heard.processor_ticks.map(|ticks| ticks as f64 / clock_ticks_per_second() as f64),
        broken: heard.broken,
        ..Trial::default()
    };
    // Drops of a frame that then went all the same are none.
    let dropped = tx.sent_dropped.saturating_sub(sent.again);
    let on_the_way = match sent.frames.checked_sub(rx.received) {
        Some(0) => vec![],
        Some(way) if way == dropped => vec![("tx.dropped", dropped)],
        Some(way) if way == dropped + rx.received_dropped => {
            vec![("tx.dropped", dropped), ("rx.dropped", rx.received_dropped)]
        }
        Some(way) => {
            let reason = format!("{way} of {} frames did not come to {rx_name}, and no counter has them", sent.frames);
            trial.broken.get_or_insert(reason);
            vec![("unexplained", way)]
        }
        None => {
            let reason =
                format!("{} packets came to {rx_name} and {} were sent: others send too", rx.received, sent.frames);
            trial.broken.get_or_insert(reason);
            vec![]
        }
    };
    let named = on_the_way.into_iter().filter(|(_, count)| *count > 0);
    trial.on_the_way = named.map(|(name, count)| (name.to_owned(), count)).collect();
    if trial.received != rx.received {
        let reason = format!("{} packets came to {rx_name}, the receiver accounts for {}", rx.received, trial.received);
        trial.broken.get_or_insert(reason);
    }
    trial
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Sent = Sent { frames: 1000, again: 0, seconds: 2.0 };

    fn heard(received: u64, dropped: u64) -> Heard {
        let lost = [("kernel.ring-dropped".to_owned(), dropped)].into_iter().filter(|(_, count)| *count > 0).collect();
        Heard { received, lost, broken: None, processor_ticks: None }
    }

    fn counted(sent_dropped: u64, received: u64, received_dropped: u64) -> [Counters; 2] {
        let tx = Counters { sent_dropped, ..Counters::default() };
        [tx, Counters { received, received_dropped, ..Counters::default() }]
    }

    #[test]
    fn loss_of_the_receiver_is_told_from_loss_on_the_way() {
        let trial = account(500.0, "b", &SENT, &counted(100, 900, 0), heard(900, 45));
        assert_eq!((trial.rate, trial.loss, &trial.broken), (450.0, 0.05, &None));
        assert_eq!(trial.on_the_way.get("tx.dropped"), Some(&100));
        let trial = account(500.0, "b", &SENT, &counted(60, 900, 40), heard(900, 0));
        assert_eq!((trial.loss, trial.on_the_way.values().sum::<u64>(), &trial.broken), (0.0, 100, &None));
    }

    #[test]
    fn a_frame_that_was_dropped_and_sent_again_is_not_lost() {
        let sent = Sent { again: 7, ..SENT };
        let trial = account(500.0, "b", &sent, &counted(7, 1000, 0), heard(1000, 0));
        assert!(trial.on_the_way.is_empty() && trial.broken.is_none(), "{trial:?}");
    }

    #[test]
    fn what_does_not_add_up_is_broken() {
        for (counters, heard) in [
            (counted(0, 999, 0), heard(999, 0)),
            (counted(0, 1001, 0), heard(1001, 0)),
            (counted(0, 1000, 0), heard(999, 0)),
            (counted(0, 1000, 0), Heard { broken: Some("own ledger".to_owned()), ..heard(1000, 0) }),
        ] {
            assert!(account(500.0, "b", &SENT, &counters, heard.clone()).broken.is_some(), "{heard:?}");
        }
    }
}
