//! The answer of a report: how many channels of how many products go across the border, to where, and how much.
//!
//! In: a report. Out: the numbers, and one English sentence. The text and the page say the same by this.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use super::text::count;

/// What is printed where no country is known.
pub const NOWHERE: &str = "??";

/// The numbers of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Findings that leave the country, surely or probably.
    pub channels: usize,
    /// Hosts that they belong to.
    pub assets: usize,
    /// Products that were recognised, whether or not something of theirs left.
    pub recognised: usize,
    /// Where to, and how many bytes, most first.
    pub places: Vec<(&'a str, u64)>,
    /// Bytes that left.
    pub bytes_out: u64,
}

impl<'a> Answer<'a> {
    /// Of a report.
    pub fn of(report: &'a Report) -> Answer<'a> {
        let leaving = || report.findings.iter().filter(|finding| finding.crossing.leaves());
        let mut countries: BTreeMap<&str, u64> = BTreeMap::new();
        for finding in leaving() {
            let sum = countries.entry(finding.destination.country.as_deref().unwrap_or(NOWHERE)).or_default();
            *sum = sum.saturating_add(finding.bytes_out);
        }
        let mut places: Vec<(&str, u64)> = countries.into_iter().collect();
        places.sort_by_key(|&(country, bytes)| (Reverse(bytes), country));
        Answer {
            channels: leaving().count(),
            assets: leaving().map(|finding| finding.asset.ip.as_str()).collect::<BTreeSet<_>>().len(),
            recognised: report.assets.len(),
            bytes_out: places.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes)),
            places,
        }
    }

    /// In a sentence, with at most `places_max` places; `place` is how a country and its bytes are written.
    pub fn sentence(&self, places_max: usize, place: &dyn Fn(&str, u64) -> String) -> String {
        match (self.channels, self.recognised) {
            (0, 0) => "No security product of these vendors was recognised.".to_owned(),
            (0, n) => format!("{} recognised; nothing of theirs was seen leaving the country.", count(n, "product")),
            (n, _) => {
                let shown = self.places.iter().take(places_max);
                let mut places: Vec<String> = shown.map(|(country, bytes)| place(country, *bytes)).collect();
                if let Some(more) = self.places.len().checked_sub(places_max).filter(|&more| more > 0) {
                    places.push(format!("and {more} more"));
                }
                format!(
                    "{} of {} across the border, to {}.",
                    count(n, "channel"),
                    count(self.assets, "product"),
                    places.join(", ")
                )
            }
        }
    }
}
