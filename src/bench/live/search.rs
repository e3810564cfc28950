//! The search for the highest rate without loss (RFC 2544, section 26.1).
//!
//! In: where to begin and end, and something that makes a trial at a rate. Out: a [`Search`]. The rate is doubled until
//! packets are lost, then the interval is halved until it is as small as wanted. What counts is what was reached, never
//! what was offered. A trial that does not add up counts for nothing and is made again; a rate that was kept above one
//! at which packets were lost was luck, and counts for nothing either.

use super::result::{Limit, Search, Trial};

/// A sender that reached less than this part of the rate fell short.
const REACHED_MIN: f64 = 0.97;
/// One that falls short and brings less than so much more than before is at its end; otherwise it was held up.
const GAIN_MIN: f64 = 1.1;
/// How often a rate is tried that the sender did not reach, or at which a trial was broken.
const TRIES_MAX: usize = 2;
/// Trials of a search, at most.
pub const TRIALS_MAX: usize = 64;

/// Bounds of a search.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// First rate, packets/s.
    pub start_rate: f64,
    /// Highest rate.
    pub max_rate: f64,
    /// Ends when the rates with and without loss differ by less, as a ratio.
    pub resolution: f64,
    /// Loss that still counts as none, as a ratio.
    pub loss_max: f64,
}

/// What a rate came to.
enum Outcome {
    /// Nothing lost; this rate was reached.
    Kept(f64),
    /// The same, and the sender could not reach what was wanted.
    Short(f64),
    /// Lost, at this rate.
    Lost(f64),
    Broken,
}

/// Searches.
///
/// # Errors
/// That of a trial.
pub fn search<E>(bounds: &Bounds, mut trial: impl FnMut(f64) -> Result<Trial, E>) -> Result<Search, E> {
    let mut trials = Vec::new();
    let (mut all_kept, mut lost) = (Vec::new(), None);
    let mut offered = bounds.start_rate.min(bounds.max_rate);
    let limit = loop {
        let kept = highest_below(&all_kept, lost);
        match attempt(bounds, offered, &mut trials, &mut trial)? {
            Outcome::Broken => break Limit::Broken,
            Outcome::Short(rate) => {
                let gain = if lost.is_some() { 1.0 + bounds.resolution / 2.0 } else { GAIN_MIN };
                let is_its_end = kept.is_some_and(|kept| rate < kept * gain) || offered >= bounds.max_rate;
                all_kept.push(rate);
                if is_its_end {
                    break Limit::Sender;
                }
            }
            Outcome::Kept(rate) => {
                all_kept.push(rate);
                if offered >= bounds.max_rate {
                    break Limit::MaxRate;
                }
            }
            Outcome::Lost(rate) => lost = Some(lost.map_or(rate, |lost: f64| lost.min(rate))),
        }
        offered = match (highest_below(&all_kept, lost), lost) {
            (Some(kept), Some(lost)) if (lost - kept) / lost <= bounds.resolution => break Limit::Receiver,
            (Some(kept), Some(lost)) => f64::midpoint(kept, lost),
            // A sender without a rest keeps an even rate: never below one frame a second.
            (None, Some(lost)) if lost <= 2.0 => break Limit::Receiver,
            (None, Some(lost)) => lost / 2.0,
            (_, None) => (offered * 2.0).min(bounds.max_rate),
        };
        if trials.len() >= TRIALS_MAX {
            break Limit::Receiver;
        }
    };
    Ok(Search { rate: highest_below(&all_kept, lost), limit, trials })
}

/// One rate, tried again where the trial says nothing.
fn attempt<E>(
    bounds: &Bounds,
    offered: f64,
    trials: &mut Vec<Trial>,
    trial: &mut impl FnMut(f64) -> Result<Trial, E>,
) -> Result<Outcome, E> {
    let mut outcome = Outcome::Broken;
    for _ in 0..TRIES_MAX {
        let done = trial(offered)?;
        let reached = done.rate >= offered * REACHED_MIN;
        let (rate, loss, is_broken) = (done.rate, done.loss, done.broken.is_some());
        trials.push(done);
        outcome = match (is_broken, loss > bounds.loss_max, reached) {
            (true, _, _) => Outcome::Broken,
            (false, true, _) => return Ok(Outcome::Lost(rate.min(offered))),
            (false, false, true) => return Ok(Outcome::Kept(rate)),
            (false, false, false) => match outcome {
                Outcome::Short(before) => Outcome::Short(rate.max(before)),
                _ => Outcome::Short(rate),
            },
        };
    }
    Ok(outcome)
}

/// The highest rate without loss below those with loss.
fn highest_below(kept: &[f64], lost: Option<f64>) -> Option<f64> {
    kept.iter().copied().filter(|&rate| lost.is_none_or(|lost| rate < lost)).max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    const BOUNDS: Bounds = Bounds { start_rate: 1_000.0, max_rate: 1e6, resolution: 0.02, loss_max: 0.0 };

    /// A receiver that keeps so many packets a second, behind a sender that brings so many.
    fn link(keeps: f64, brings: f64) -> impl FnMut(f64) -> Result<Trial, Infallible> {
        move |offered_rate| {
            let rate = offered_rate.min(brings);
            let loss = ((rate - keeps) / rate).max(0.0);
            Ok(Trial { offered_rate, rate, loss, ..Trial::default() })
        }
    }

    fn found(bounds: &Bounds, link: impl FnMut(f64) -> Result<Trial, Infallible>) -> Search {
        let Ok(search) = search(bounds, link);
        search
    }

    #[test]
    fn the_limit_of_a_receiver_is_found_to_the_resolution() {
        for keeps in [10.0, 999.0, 1_000.0, 1_001.0, 77_777.0, 900_000.0] {
            let search = found(&BOUNDS, link(keeps, 1e9));
            let rate = search.rate.unwrap_or_default();
            assert!(rate <= keeps && rate >= keeps * 0.98, "{keeps}: {rate}");
            assert_eq!(search.limit, Limit::Receiver);
            assert!(search.trials.len() < 25, "{keeps}: {}", search.trials.len());
        }
    }

    #[test]
    fn a_sender_that_brings_no_more_is_said_to_be_the_limit() {
        let search = found(&BOUNDS, link(1e9, 50_000.0));
        assert_eq!((search.rate, search.limit), (Some(50_000.0), Limit::Sender));
        // Held up for a while, which is not its end.
        let mut good = link(40_000.0, 1e9);
        let search = found(&BOUNDS, |offered_rate| {
            let trial = good(offered_rate)?;
            let held_up = if offered_rate < 3_000.0 { 0.9 } else { 1.0 };
            Ok(Trial { rate: trial.rate * held_up, ..trial })
        });
        let rate = search.rate.unwrap_or_default();
        assert!((39_000.0..=40_000.0).contains(&rate) && search.limit == Limit::Receiver, "{rate}");
        let search = found(&BOUNDS, link(1e9, 1e9));
        assert_eq!((search.rate, search.limit), (Some(1e6), Limit::MaxRate));
    }

    #[test]
    fn loss_at_every_rate_gives_no_rate() {
        let search = found(&BOUNDS, link(0.0, 1e9));
        assert_eq!((search.rate, search.limit), (None, Limit::Receiver));
        let some = Bounds { loss_max: 1.0, ..BOUNDS };
        assert_eq!(found(&some, link(0.0, 1e9)).limit, Limit::MaxRate, "loss that is allowed");
    }

    #[test]
    fn a_rate_above_one_with_loss_was_luck() {
        let mut good = link(5_000.0, 1e9);
        let search = found(&BOUNDS, |rate| {
            let trial = good(rate)?;
            Ok(if rate >= 3_000.0 { Trial { loss: trial.loss.max(0.1), rate: 3_500.0, ..trial } } else { trial })
        });
        // 4,000 were offered and 3,500 came, with loss.
        let rate = search.rate.unwrap_or_default();
        assert!(rate < 3_000.0, "{rate}: {:?}", search.trials);
        let kept = highest_below(&[1_000.0, 4_000.0, 2_000.0], Some(3_500.0));
        assert_eq!((kept, highest_below(&[4_000.0], Some(3_500.0))), (Some(2_000.0), None));
    }

    #[test]
    fn a_broken_trial_counts_for_nothing() {
        let mut good = link(5_000.0, 1e9);
        let mut number = 0;
        let search = found(&BOUNDS, |rate| {
            number += 1;
            let mut trial = good(rate)?;
            if number % 3 == 2 {
                (trial.broken, trial.loss) = (Some("one packet too many".to_owned()), 1.0);
            }
            Ok(trial)
        });
        let rate = search.rate.unwrap_or_default();
        assert!((4_900.0..=5_000.0).contains(&rate) && search.limit == Limit::Receiver, "{rate}");
        let search = found(&BOUNDS, |_| Ok(Trial { broken: Some(String::new()), ..Trial::default() }));
        assert_eq!((search.rate, search.limit, search.trials.len()), (None, Limit::Broken, 2));
    }
}
