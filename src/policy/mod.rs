//! What the user cares about: homes, which addresses are ours, what is allowed, how grave it is.
//!
//! In: a policy file and command-line flags; a flag wins over the file. Out: answers about an
//! address, a channel, a finding. Nothing here judges whether something is permitted by law.
//!
//! The file is TOML and read strictly: an unknown key is an error that names file, line and key.
//!
//! | key | value | without it |
//! |---|---|---|
//! | `home` | array of ISO 3166-1 alpha-2 codes | `["CN"]`; HK, MO and TW are codes of their own |
//! | `inside` | array of prefixes that are ours; replaces the default | RFC 1918, RFC 6598, RFC 4193, link-local |
//! | `[[exempt]]` | a channel that is known and accepted: `channel`, `reason`, and `until`, a date that is the last day (UTC, packet time) | none |
//! | `[[site]]` | a part of the network: `name`, `prefixes`; the longest prefix counts | none |
//! | `[severity]` | a function of channels, or `unexplained`, = `high`, `medium`, `low` or `info` | see [`default_severity`] |

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::place::{Country, Prefix, PrefixMap, PrefixSet, is_no_host};
use crate::time::Time;

mod crossing;
mod file;
#[cfg(test)]
mod tests;

pub use crossing::{Crossing, CrossingInput, Direction, crossing};

/// The home when nobody says another.
pub const HOME_DEFAULT: &str = "CN";
/// Which addresses are ours when nobody says others.
pub const INSIDE_DEFAULT: &[&str] =
    &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10"];
/// The functions that signatures give to channels, and the word for traffic without a channel.
pub const FUNCTIONS: &[&str] = &[
    "update",
    "licence",
    "reputation-lookup",
    "file-submission",
    "telemetry",
    "log-upload",
    "cloud-management",
    "remote-access",
    "support",
    "other",
    UNEXPLAINED,
];
/// The channel id, and the function, of traffic of a known appliance that no signature explains.
pub const UNEXPLAINED: &str = "unexplained";

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("{}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Something in the file is wrong.
    #[error("{}:{line}: {}{reason}", path.display(), if key.is_empty() { String::new() } else { format!("{key}: ") })]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key with those above it, `exempt.until`; empty when the text is not TOML.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A command-line flag is wrong.
    #[error("{flag}: {reason}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The policy accepts the channel.
    Exempt,
    /// For the record.
    Info,
    /// Little is said about the user.
    Low,
    /// Says what users or devices do.
    Medium,
    /// Files, logs, settings, or a way in.
    High,
}

impl Severity {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Exempt => "exempt",
            Severity::Info => "info",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
        }
    }

    /// The severity of a word of the policy file; `exempt` is not one.
    fn from_word(word: &str) -> Option<Severity> {
        let all = [Severity::Info, Severity::Low, Severity::Medium, Severity::High];
        all.into_iter().find(|s| s.name() == word)
    }
}

/// Which side of the border of our network an address is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// Ours.
    Inside,
    /// Not ours.
    Outside,
    /// Of no host: multicast, broadcast, unspecified, loopback.
    Special,
}

/// A channel that is known and accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemption {
    /// Why it is accepted.
    pub reason: String,
    /// The last day as it was written, `2027-06-30`, and the moment it ends.
    pub until: Option<(String, Time)>,
}

/// The rules of one run.
#[derive(Clone, Debug)]
pub struct Policy {
    homes: Vec<Country>,
    inside: PrefixSet,
    inside_list: Vec<Prefix>,
    exempt: BTreeMap<String, Exemption>,
    sites: PrefixMap<usize>,
    site_names: Vec<String>,
    severity: BTreeMap<String, Severity>,
}

impl Policy {
    /// Reads the file, if there is one, and lets the flags win over it. The flags are the values of
    /// `--home` and `--inside`, split at commas.
    pub fn new(
        file: Option<&Path>,
        home_flag: Option<&[String]>,
        inside_flag: Option<&[String]>,
    ) -> Result<Policy, PolicyError> {
        let read = match file {
            Some(path) => file::read(path)?,
            None => file::Parts::default(),
        };
        let homes = match home_flag {
            Some(words) => flag("--home", words, home)?,
            None => read.home.unwrap_or_else(|| Country::from_word(HOME_DEFAULT).into_iter().collect()),
        };
        let inside = match inside_flag {
            Some(words) => flag("--inside", words, prefix)?,
            None => read.inside.unwrap_or_else(|| INSIDE_DEFAULT.iter().filter_map(|p| p.parse().ok()).collect()),
        };
        Ok(Policy {
            homes,
            inside: PrefixSet::new(inside.iter().copied()),
            inside_list: inside,
            exempt: read.exempt,
            sites: PrefixMap::new(read.sites),
            site_names: read.site_names,
            severity: read.severity,
        })
    }

    /// The home countries, as they were given; at least one.
    pub fn homes(&self) -> &[Country] {
        &self.homes
    }

    /// The prefixes that are ours, as they were given.
    pub fn inside(&self) -> &[Prefix] {
        &self.inside_list
    }

    /// Which side of the border of our network an address is on.
    #[inline]
    pub fn side_of(&self, address: IpAddr) -> Location {
        if is_no_host(address) {
            Location::Special
        } else if self.inside.contains(address) {
            Location::Inside
        } else {
            Location::Outside
        }
    }

    /// The site of an address, the one with the longest prefix.
    pub fn site_of(&self, address: IpAddr) -> Option<&str> {
        let at = self.sites.get(address)?;
        self.site_names.get(*at).map(String::as_str)
    }

    /// The exempt channels by id; an id that no signature has is worth a warning.
    pub fn exemptions(&self) -> impl Iterator<Item = (&str, &Exemption)> {
        self.exempt.iter().map(|(id, exemption)| (id.as_str(), exemption))
    }

    /// How grave traffic of a channel is, and a sentence when an exemption has a part in it. An
    /// exempt finding stays a finding. `last_seen` is packet time: an exemption that had ended by
    /// then does not count.
    pub fn severity(
        &self,
        channel: &str,
        function: &str,
        data: &[&str],
        crossing: Crossing,
        last_seen: Time,
    ) -> (Severity, Option<String>) {
        if crossing == Crossing::Home {
            return (Severity::Info, None);
        }
        let function = if channel == UNEXPLAINED { UNEXPLAINED } else { function };
        let usual = match self.severity.get(function) {
            Some(severity) => *severity,
            None => default_severity(function, data),
        };
        match self.exempt.get(channel) {
            None => (usual, None),
            Some(Exemption { reason, until: None }) => (Severity::Exempt, Some(format!("Exempt by policy: {reason}"))),
            Some(Exemption { reason, until: Some((day, end)) }) if last_seen < *end => {
                (Severity::Exempt, Some(format!("Exempt by policy until {day}: {reason}")))
            }
            Some(Exemption { until: Some((day, _)), .. }) => {
                (usual, Some(format!("The exemption in the policy ended on {day}.")))
            }
        }
    }
}

/// How grave a channel is by its function and what it carries, when the policy does not say.
pub fn default_severity(function: &str, data: &[&str]) -> Severity {
    const GRAVE: &[&str] = &["configuration", "credentials", "user-traffic"];
    match function {
        "file-submission" | "remote-access" | "log-upload" => Severity::High,
        "cloud-management" if data.iter().any(|d| GRAVE.contains(d)) => Severity::High,
        "cloud-management" | "telemetry" | "reputation-lookup" | "support" | UNEXPLAINED => Severity::Medium,
        "update" | "licence" => Severity::Low,
        _ => Severity::Info,
    }
}

/// A home country, or what is wrong with the word.
fn home(word: &str) -> Result<Country, String> {
    if let Some(country) = Country::from_word(word) {
        return Ok(country);
    }
    let hint = match Country::from_database(word) {
        Some(country) => format!("; write {country}"),
        None => String::new(),
    };
    Err(format!("\"{}\" is not an ISO 3166-1 alpha-2 country code{hint}", word.escape_default()))
}

fn prefix(word: &str) -> Result<Prefix, String> {
    word.parse().map_err(|e: crate::place::PrefixError| e.to_string())
}

fn flag<T>(
    flag: &'static str,
    words: &[String],
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, PolicyError> {
    if words.is_empty() {
        return Err(PolicyError::Flag { flag, reason: "needs a value".into() });
    }
    let values = words.iter().map(|word| read(word.trim()));
    values.collect::<Result<_, _>>().map_err(|reason| PolicyError::Flag { flag, reason })
}
