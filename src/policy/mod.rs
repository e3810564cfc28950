//! What the user cares about: homes, which addresses are ours, what is allowed, how grave it is.
//!
//! In: a policy file and command-line flags; a flag wins over the file. Out: answers about an
//! address, a channel, a finding. Nothing here judges whether something is permitted by law.
//!
//! The file is TOML and read strictly: an unknown key is an error that names file, line and key.
//!
//! | key | value | without it |
//! |---|---|---|
//! | `home` | array of ISO 3166-1 alpha-2 codes and groups (`EU`, `EEA`, …); empty: there is no home and nothing is called leaving | `["CN"]`; HK, MO and TW are codes of their own |
//! | `inside` | array of prefixes that are ours; replaces the default | RFC 1918, RFC 6598, RFC 4193, link-local |
//! | `[[exempt]]` | a channel that is known and accepted: `channel`, `owner`, `reason`, and `until`, a date that is the last day (UTC, packet time); only for what `site`, `asset`, `country`, `domain` name, where they stand | none |
//! | `[[site]]` | a part of the network: `name`, `prefixes`; the longest prefix counts | none |
//! | `[severity]` | a function of channels, or `unexplained`, = `high`, `medium`, `low` or `info` | see [`default_severity`] |
//! | `[severity.data]` | a kind of data = the same words: a channel that carries it is at least so grave | none |
//! | `[alert]` | what counts for `--fail-on-finding`, every part of it: `severity` and above, `crossing`, `function`, `data`, `country`, `month_bytes_out` | what leaves the country |
//!
//! Of several exemptions that fit a finding the first in the file that has not ended counts. What is `home` is `info` whatever
//! else is said.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::anonymise::Anonymiser;
use crate::fact::value;
use crate::place::{Country, GROUPS, Prefix, PrefixMap, PrefixSet, Region, is_no_host};
pub use crate::record::{Exempted, Origin};

mod check;
mod crossing;
mod explain;
mod file;
mod presets;
mod rules;
#[cfg(test)]
mod tests;

pub use check::{EXPIRES_SOON_DAYS, Remark, check};
pub use crossing::{Crossing, CrossingInput, Direction, crossing};
pub use explain::{explain, explain_thing};
pub use file::{MISTAKES_MAX, POLICY_BYTES_MAX};
pub use presets::{PRESETS, Preset, preset};
pub use rules::{Alert, Case, Countries, Exemption, Rule, Severities};

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

/// Something wrong in a policy file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// The key with those above it, `exempt.until`; empty when the text is not TOML.
    pub key: String,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.key.is_empty() { "" } else { ": " };
        write!(f, "{}{colon}{}", self.key, self.reason)
    }
}

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
    #[error("{}:{}: {first}{}", path.display(), first.line, others(*more))]
    File {
        /// The file.
        path: PathBuf,
        /// The first mistake.
        first: Mistake,
        /// How many more there are.
        more: usize,
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

fn others(more: usize) -> String {
    let s = if more == 1 { "" } else { "s" };
    if more == 0 { String::new() } else { format!(" ({more} more mistake{s}: bordertap policy check)") }
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

/// What a policy says of one finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// How grave it is. An exempt finding stays a finding.
    pub severity: Severity,
    /// It counts for `--fail-on-finding`.
    pub alert: bool,
    /// The exemption that is about it.
    pub exemption: Option<Exempted>,
}

/// A sentence on an exemption.
pub fn exemption_text(exemption: &Exempted) -> String {
    let Exempted { owner, reason, until, ended } = exemption;
    match ended {
        true => format!("The exemption in the policy ended on {until}; it was made by {owner}."),
        false => format!("Exempt by policy until {until}, {owner}: {reason}"),
    }
}

/// The rules of one run.
#[derive(Clone, Debug)]
pub struct Policy {
    origin: Option<Origin>,
    homes: Vec<Country>,
    inside: PrefixSet,
    inside_list: Vec<Prefix>,
    exempt: BTreeMap<String, Vec<Exemption>>,
    sites: PrefixMap<usize>,
    site_list: Vec<file::Site>,
    severity: Severities,
    alert: Option<Alert>,
    anonymiser: Option<Arc<Anonymiser>>,
}

impl Policy {
    /// The same for addresses that were replaced: sites and exemptions are still of the networks that the file names.
    pub fn anonymised(self, anonymiser: Anonymiser) -> Policy {
        Policy { anonymiser: Some(Arc::new(anonymiser)), ..self }
    }

    /// What replaces our addresses.
    pub fn anonymiser(&self) -> Option<&Arc<Anonymiser>> {
        self.anonymiser.as_ref()
    }

    /// The key that replaces our addresses, by its id.
    pub fn key_id(&self) -> Option<&str> {
        self.anonymiser.as_ref().map(|anonymiser| anonymiser.id())
    }

    /// The address that the policy speaks of.
    fn meant(&self, address: IpAddr) -> IpAddr {
        self.anonymiser.as_ref().map_or(address, |anonymiser| anonymiser.reveal(address))
    }

    /// Reads the file, if there is one, and lets the flags win over it. The flags are the values of
    /// `--home` and `--inside`, split at commas. A path that is the name of a preset means the preset.
    pub fn new(
        file: Option<&Path>,
        home_flag: Option<&[String]>,
        inside_flag: Option<&[String]>,
    ) -> Result<Policy, PolicyError> {
        let (origin, parts) = match file {
            Some(path) => Policy::read(path)?,
            None => (None, file::Parts::default()),
        };
        let homes = match home_flag {
            // A report that was made without a home has an empty list.
            Some([]) => Vec::new(),
            Some(words) => unique(flag("--home", words, home)?.into_iter().flatten()),
            None => parts.home.unwrap_or_else(|| Country::from_word(HOME_DEFAULT).into_iter().collect()),
        };
        let inside = match inside_flag {
            Some(words) => flag("--inside", words, prefix)?,
            None => parts.inside.unwrap_or_else(|| INSIDE_DEFAULT.iter().filter_map(|p| p.parse().ok()).collect()),
        };
        let mut exempt: BTreeMap<String, Vec<Exemption>> = BTreeMap::new();
        for exemption in parts.exempt {
            exempt.entry(exemption.channel.clone()).or_default().push(exemption);
        }
        let sites = parts.sites.iter().enumerate().flat_map(|(at, site)| site.prefixes.iter().map(move |p| (*p, at)));
        Ok(Policy {
            origin,
            homes,
            inside: PrefixSet::new(inside.iter().copied()),
            inside_list: inside,
            exempt,
            sites: PrefixMap::new(sites),
            site_list: parts.sites,
            severity: parts.severity,
            alert: parts.alert,
            anonymiser: None,
        })
    }

    fn read(path: &Path) -> Result<(Option<Origin>, file::Parts), PolicyError> {
        let text = match preset(path) {
            Some(preset) => preset.text.to_owned(),
            None => file::read(path)?,
        };
        let (parts, mut mistakes) = file::parse(&text);
        if !mistakes.is_empty() {
            let first = mistakes.remove(0);
            return Err(PolicyError::File { path: path.to_owned(), first, more: mistakes.len() });
        }
        let sha256 = value::hex(&Sha256::digest(text.as_bytes()));
        Ok((Some(Origin { name: path.to_string_lossy().into_owned(), sha256 }), parts))
    }

    /// The file or preset it was read from.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// The home countries, groups as their members; none when the policy has no home.
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
        let at = self.sites.get(self.meant(address))?;
        self.site_list.get(*at).map(|site| site.name.as_str())
    }

    /// The exemptions, by channel and in the order of the file.
    pub fn exemptions(&self) -> impl Iterator<Item = &Exemption> {
        self.exempt.values().flatten()
    }

    /// How grave a finding is, and whether it counts. An exemption that had ended when the finding was last seen (packet
    /// time) does not exempt it.
    pub fn judge(&self, case: &Case<'_>) -> Judged {
        let usual = match case.crossing {
            Crossing::Home => Severity::Info,
            _ => self.severity.of(rules::function_of(case), case.data).0,
        };
        let exemption = self.exemption(case).map(|exemption| Exempted {
            owner: exemption.owner.clone(),
            reason: exemption.reason.clone(),
            until: exemption.until.to_string(),
            ended: case.last_seen >= exemption.end,
        });
        let severity = if exemption.as_ref().is_some_and(|e| !e.ended) { Severity::Exempt } else { usual };
        let alert = match &self.alert {
            Some(alert) => alert.counts(case, severity),
            None => case.crossing.leaves(),
        };
        Judged { severity, alert, exemption }
    }

    /// The exemption that is about this case: the first that has not ended, else the one that ended last.
    fn exemption(&self, case: &Case<'_>) -> Option<&Exemption> {
        let all = self.exempt.get(case.channel).filter(|_| case.crossing != Crossing::Home)?;
        let site = self.site_of(case.asset);
        let case = &Case { asset: self.meant(case.asset), ..*case };
        let fitting = || all.iter().filter(|exemption| exemption.fits(case, site));
        fitting().find(|e| case.last_seen < e.end).or_else(|| fitting().max_by_key(|e| e.end))
    }
}

/// Data that make a cloud that manages a product grave.
const GRAVE: &[&str] = &["configuration", "credentials", "user-traffic"];

/// How grave a channel is by its function and what it carries, when the policy does not say.
pub fn default_severity(function: &str, data: &[&str]) -> Severity {
    match function {
        "file-submission" | "remote-access" | "log-upload" => Severity::High,
        "cloud-management" if data.iter().any(|d| GRAVE.contains(d)) => Severity::High,
        "cloud-management" | "telemetry" | "reputation-lookup" | "support" | UNEXPLAINED => Severity::Medium,
        "update" | "licence" => Severity::Low,
        _ => Severity::Info,
    }
}

/// The countries of a word: one, or those of a group; or what is wrong with it.
fn home(word: &str) -> Result<Vec<Country>, String> {
    match Region::from_word(word) {
        Some(Region::Country(country)) => return Ok(vec![country]),
        Some(Region::Group(group)) => return Ok(group.members().collect()),
        Some(Region::Any) | None => {}
    }
    let upper = word.to_ascii_uppercase();
    let meant = Country::from_database(word).map(|country| country.to_string());
    let meant = meant.or_else(|| GROUPS.iter().find(|g| g.name == upper).map(|g| g.name.to_owned()));
    let hint = meant.map(|word| format!("; write {word}")).unwrap_or_default();
    let groups: Vec<&str> = GROUPS.iter().map(|group| group.name).collect();
    let (word, groups) = (word.escape_default(), groups.join(", "));
    Err(format!("\"{word}\" is no country (ISO 3166-1 alpha-2) and no group ({groups}){hint}"))
}

/// Each once, where it was first.
fn unique(countries: impl Iterator<Item = Country>) -> Vec<Country> {
    let mut seen = std::collections::BTreeSet::new();
    countries.filter(|country| seen.insert(*country)).collect()
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
