//! Every mistake of a policy file, and what in it will surprise.
//!
//! In: a file, the signatures, and the day it is looked at. Out: errors, which keep the policy from being used, and warnings.

use std::fmt;
use std::path::Path;

use jiff::civil::Date;

use super::file::{self, Parts};
use super::{Exemption, INSIDE_DEFAULT, Mistake, PolicyError, Severity, UNEXPLAINED, preset};
use crate::place::{Country, Prefix, PrefixSet};
use crate::signature::Signatures;

/// An exemption that ends within so many days is worth a warning.
pub const EXPIRES_SOON_DAYS: i32 = 30;

/// Something to say about a policy file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remark {
    /// The file as it was given.
    pub file: String,
    /// Where and what; line 0 when it is about the file as a whole.
    pub what: Mistake,
    /// The policy cannot be used.
    pub is_error: bool,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = if self.is_error { "error" } else { "warning" };
        match self.what.line {
            0 => write!(f, "{}: {grade}: {}", self.file, self.what),
            line => write!(f, "{}:{line}: {grade}: {}", self.file, self.what),
        }
    }
}

/// Everything there is to say about a policy file, or a preset, by line.
pub fn check(path: &Path, signatures: &Signatures, today: Date) -> Vec<Remark> {
    let file = path.display().to_string();
    let remark = |is_error: bool| move |what: Mistake| (what, is_error);
    let text = match preset(path) {
        Some(preset) => Ok(preset.text.to_owned()),
        None => file::read(path),
    };
    let found: Vec<(Mistake, bool)> = match text {
        Err(PolicyError::Read { reason, .. }) => vec![(Mistake { line: 0, key: String::new(), reason }, true)],
        Err(error) => vec![(Mistake { line: 0, key: String::new(), reason: error.to_string() }, true)],
        Ok(text) => {
            let (parts, mistakes) = file::parse(&text);
            let mut warnings = warnings(&parts, signatures, today);
            warnings.sort();
            mistakes.into_iter().map(remark(true)).chain(warnings.into_iter().map(remark(false))).collect()
        }
    };
    let mut remarks: Vec<Remark> =
        found.into_iter().map(|(what, is_error)| Remark { file: file.clone(), what, is_error }).collect();
    remarks.sort_by_key(|remark| (remark.what.line, !remark.is_error));
    remarks
}

/// What can be used and will surprise.
fn warnings(parts: &Parts, signatures: &Signatures, today: Date) -> Vec<Mistake> {
    let inside: Vec<Prefix> = match &parts.inside {
        Some(inside) => inside.clone(),
        None => INSIDE_DEFAULT.iter().filter_map(|prefix| prefix.parse().ok()).collect(),
    };
    let inside = PrefixSet::new(inside);
    let is_outside = |prefix: &&Prefix| {
        let (first, last) = prefix.ends();
        !inside.contains(first) || !inside.contains(last)
    };
    let homes: Vec<Country> = parts.home.clone().unwrap_or_default();
    let mut all = Vec::new();
    let mut warn = |line: usize, key: &str, reason: String| all.push(Mistake { line, key: key.to_owned(), reason });
    for site in &parts.sites {
        for prefix in site.prefixes.iter().filter(is_outside) {
            warn(site.line, "site.prefixes", format!("{prefix} is not inside: no asset will have this site"));
        }
    }
    for exemption in &parts.exempt {
        if let Some(reason) = ending(exemption, today) {
            warn(exemption.line, "exempt.until", reason);
        }
        let channel = &exemption.channel;
        if channel != UNEXPLAINED && signatures.entry(channel).is_none_or(|(_, entry)| entry.role.is_identity()) {
            let reason = format!("no channel has the id \"{}\"", channel.escape_default());
            warn(exemption.line, "exempt.channel", reason);
        }
        for prefix in exemption.assets.iter().filter(is_outside) {
            warn(exemption.line, "exempt.asset", format!("{prefix} is not inside"));
        }
        let countries = exemption.countries.text();
        if exemption.countries.are_all_in(&homes) {
            warn(
                exemption.line,
                "exempt.country",
                format!("{countries} is home: nothing that stays needs an exemption"),
            );
        }
    }
    for word in parts.severity.data.iter().filter(|(_, severity)| **severity == Severity::Info).map(|(word, _)| word) {
        let line = parts.data_lines.get(word).copied().unwrap_or(0);
        warn(
            line,
            &format!("severity.data.{word}"),
            "data makes graver, never lighter: info changes nothing".to_owned(),
        );
    }
    all
}

/// That an exemption has ended, or will soon.
fn ending(exemption: &Exemption, today: Date) -> Option<String> {
    let until = exemption.until;
    let days = (until - today).get_days();
    let whose = format!("{}, {}", exemption.channel, exemption.owner);
    match days {
        days if days < 0 => Some(format!("ended on {until} and exempts nothing since ({whose})")),
        0 => Some(format!("ends today ({whose})")),
        1 => Some(format!("ends tomorrow ({whose})")),
        days if days <= EXPIRES_SOON_DAYS => Some(format!("ends in {days} days, on {until} ({whose})")),
        _ => None,
    }
}
