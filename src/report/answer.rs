//! The answer of a report: how many channels of how many products go across the border, to where, and how much.
//!
//! In: a report. Out: the numbers, and one English sentence. The text and the page say the same by this.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use super::text::count;
use crate::record::{Crossing, Finding};

/// What is printed where no country is known.
pub const NOWHERE: &str = "??";

/// Whether the answer counts a finding.
pub fn is_told(finding: &Finding, borderless: bool) -> bool {
    finding.crossing.leaves() || borderless && finding.crossing != Crossing::Home
}

/// The numbers of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The policy has no home: everything that does not stay inside is told.
    pub borderless: bool,
    /// Findings that leave the country, surely or probably; without a home all that leave the network.
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
        let borderless = report.header.home.is_empty();
        let leaving = || report.findings.iter().filter(|finding| is_told(finding, borderless));
        let mut countries: BTreeMap<&str, u64> = BTreeMap::new();
        for finding in leaving() {
            let sum = countries.entry(finding.destination.country.as_deref().unwrap_or(NOWHERE)).or_default();
            *sum = sum.saturating_add(finding.bytes_out);
        }
        let mut places: Vec<(&str, u64)> = countries.into_iter().collect();
        places.sort_by_key(|&(country, bytes)| (Reverse(bytes), country));
        Answer {
            borderless,
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
            (0, n) if self.borderless => format!("{} recognised; none was seen talking outside.", count(n, "product")),
            (0, n) => format!("{} recognised; nothing of theirs was seen leaving the country.", count(n, "product")),
            (n, _) => {
                let shown = self.places.iter().take(places_max);
                let mut places: Vec<String> = shown.map(|(country, bytes)| place(country, *bytes)).collect();
                if let Some(more) = self.places.len().checked_sub(places_max).filter(|&more| more > 0) {
                    places.push(format!("and {more} more"));
                }
                format!(
                    "{} of {} {}, to {}.",
                    count(n, "channel"),
                    count(self.assets, "product"),
                    if self.borderless { "out of the network" } else { "across the border" },
                    places.join(", ")
                )
            }
        }
    }
}
