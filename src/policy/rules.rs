//! The rules of a policy, each of which is asked about one finding.
//!
//! In: a [`Case`], what a finding comes to. Out: how grave it is and by which rule, the exemption that fits it, whether it
//! counts as an alert. Nothing here knows of files.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Crossing, Severity, UNEXPLAINED, default_severity};
use crate::place::{Country, Prefix, Region, in_few_words};
use crate::time::Time;

/// What a policy is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The channel's id, or `unexplained`.
    pub channel: &'a str,
    /// What the channel is for.
    pub function: &'a str,
    /// What it carries.
    pub data: &'a [&'a str],
    /// Whether it left.
    pub crossing: Crossing,
    /// Our host.
    pub asset: IpAddr,
    /// Where it went, as it is told: a country, a group, or none.
    pub country: Option<&'a str>,
    /// The name of the far end.
    pub domain: Option<&'a str>,
    /// Packet time of its last packet.
    pub last_seen: Time,
    /// Bytes out in the calendar month that has the most.
    pub month_bytes_out: u64,
}

/// Countries of a rule, groups as their members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Countries(BTreeSet<Country>);

impl Countries {
    /// Whether what is told as the country of a finding lies among them; of a group every member must.
    pub fn hold(&self, told: Option<&str>) -> bool {
        match told.and_then(Region::from_word) {
            Some(Region::Country(country)) => self.0.contains(&country),
            Some(Region::Group(group)) => group.members().all(|country| self.0.contains(&country)),
            Some(Region::Any) | None => false,
        }
    }

    /// Whether there are some and all of them are among others.
    pub fn are_all_in(&self, others: &[Country]) -> bool {
        !self.0.is_empty() && self.0.iter().all(|country| others.contains(country))
    }

    /// In few words: `EU, US`.
    pub fn text(&self) -> String {
        let countries: Vec<Country> = self.0.iter().copied().collect();
        in_few_words(&countries).join(", ")
    }
}

impl FromIterator<Country> for Countries {
    fn from_iter<I: IntoIterator<Item = Country>>(countries: I) -> Countries {
        Countries(countries.into_iter().collect())
    }
}

/// A channel that is known and accepted until a day.
#[derive(Clone, Debug)]
pub struct Exemption {
    /// The channel's id.
    pub channel: String,
    /// Who answers for it.
    pub owner: String,
    /// Why it is accepted.
    pub reason: String,
    /// The last day, `2027-06-30`.
    pub until: jiff::civil::Date,
    /// The moment that day is over, UTC.
    pub end: Time,
    /// Only these sites; any when empty, and so for what follows.
    pub sites: Vec<String>,
    /// Only these addresses of ours.
    pub assets: Vec<Prefix>,
    /// Only to these countries.
    pub countries: Countries,
    /// Only to these names and those below them, in lower case.
    pub domains: Vec<String>,
    /// Where it stands in the file.
    pub line: usize,
}

impl Exemption {
    /// Whether it is about this case, whenever that was.
    pub fn fits(&self, case: &Case<'_>, site: Option<&str>) -> bool {
        self.channel == case.channel
            && (self.sites.is_empty() || site.is_some_and(|site| self.sites.iter().any(|one| one == site)))
            && (self.assets.is_empty() || self.assets.iter().any(|prefix| prefix.contains(case.asset)))
            && (self.countries.0.is_empty() || self.countries.hold(case.country))
            && (self.domains.is_empty()
                || case.domain.is_some_and(|domain| self.domains.iter().any(|name| is_below(domain, name))))
    }

    /// What narrows it down: `only at Shanghai, only to US`; empty when nothing does.
    pub fn limits(&self) -> String {
        let assets: Vec<String> = self.assets.iter().map(ToString::to_string).collect();
        let parts = [
            ("at", self.sites.join(", ")),
            ("for", assets.join(", ")),
            ("to", self.countries.text()),
            ("to", self.domains.join(", ")),
        ];
        let parts = parts.iter().filter(|(_, words)| !words.is_empty());
        parts.map(|(word, words)| format!("only {word} {words}")).collect::<Vec<_>>().join("; ")
    }

    /// Whether two are about the same.
    pub(super) fn is_as_wide_as(&self, other: &Exemption) -> bool {
        (&self.channel, &self.sites, &self.assets, &self.countries, &self.domains)
            == (&other.channel, &other.sites, &other.assets, &other.countries, &other.domains)
    }
}

/// Whether a name is another one or below it; names are compared without regard to case.
fn is_below(domain: &str, name: &str) -> bool {
    let domain = domain.trim_end_matches('.').as_bytes();
    let Some(at) = domain.len().checked_sub(name.len()) else { return false };
    let (above, tail) = domain.split_at(at);
    tail.eq_ignore_ascii_case(name.as_bytes()) && above.last().is_none_or(|byte| *byte == b'.')
}

/// Which rule says how grave something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule<'a> {
    /// [`default_severity`].
    BuiltIn,
    /// A word of `[severity]`.
    Function(&'a str),
    /// A word of `[severity.data]`.
    Data(&'a str),
}

/// How grave channels are by what they are for and what they carry.
#[derive(Clone, Debug, Default)]
pub struct Severities {
    /// By function.
    pub functions: BTreeMap<String, Severity>,
    /// By data: it makes graver, never lighter.
    pub data: BTreeMap<String, Severity>,
}

impl Severities {
    /// The word of the function counts, else what is built in; data that the channel carries may only raise that, because one
    /// harmless kind of data does not make the others harmless.
    pub fn of<'a>(&'a self, function: &'a str, data: &[&'a str]) -> (Severity, Rule<'a>) {
        let base = match self.functions.get(function) {
            Some(severity) => (*severity, Rule::Function(function)),
            None => (default_severity(function, data), Rule::BuiltIn),
        };
        let raised = data.iter().filter_map(|word| Some((*self.data.get(*word)?, Rule::Data(word))));
        raised.fold(base, |most, one| if one.0 > most.0 { one } else { most })
    }
}

/// What makes a finding count for `--fail-on-finding`: every part must hold; what is empty holds always.
#[derive(Clone, Debug)]
pub struct Alert {
    /// From this severity on.
    pub severity: Severity,
    /// One of these crossings.
    pub crossings: Vec<Crossing>,
    /// One of these functions.
    pub functions: Vec<String>,
    /// At least one of these data.
    pub data: Vec<String>,
    /// To one of these countries.
    pub countries: Countries,
    /// So many bytes out in one calendar month.
    pub month_bytes_out: u64,
}

impl Alert {
    /// Whether a case of this severity counts. What is exempt never does.
    pub fn counts(&self, case: &Case<'_>, severity: Severity) -> bool {
        severity >= self.severity
            && self.crossings.contains(&case.crossing)
            && (self.functions.is_empty() || self.functions.iter().any(|word| word == function_of(case)))
            && (self.data.is_empty() || self.data.iter().any(|word| case.data.contains(&word.as_str())))
            && (self.countries.0.is_empty() || self.countries.hold(case.country))
            && case.month_bytes_out >= self.month_bytes_out
    }
}

/// The function of a case; traffic that no signature explains has its own.
pub(super) fn function_of<'a>(case: &Case<'a>) -> &'a str {
    if case.channel == UNEXPLAINED { UNEXPLAINED } else { case.function }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_below_another_at_a_dot() {
        for (domain, name, expected) in [
            ("update.example.net", "update.example.net", true),
            ("eu.Update.Example.NET", "update.example.net", true),
            ("update.example.net.", "update.example.net", true),
            ("badupdate.example.net", "update.example.net", false),
            ("example.net", "update.example.net", false),
            ("", "example.net", false),
            ("пример.example.net", "example.net", true),
        ] {
            assert_eq!(is_below(domain, name), expected, "{domain} {name}");
        }
    }

    #[test]
    fn a_group_is_among_countries_when_all_of_it_is() {
        let countries = |words: &[&str]| -> Countries {
            let members = words.iter().flat_map(|word| match Region::from_word(word) {
                Some(Region::Group(group)) => group.members().collect(),
                Some(Region::Country(country)) => vec![country],
                _ => Vec::new(),
            });
            members.collect()
        };
        let (eu, eea, some) = (countries(&["EU"]), countries(&["EEA"]), countries(&["DE", "US"]));
        assert!(eu.hold(Some("DE")) && eu.hold(Some("EU")) && eea.hold(Some("EU")));
        assert!(!eu.hold(Some("EEA")) && !eu.hold(Some("US")) && !some.hold(Some("EU")));
        assert!(!eu.hold(None) && !eu.hold(Some("any")) && !eu.hold(Some("??")));
        assert_eq!((eea.text(), some.text()), ("EEA".to_owned(), "DE, US".to_owned()));
    }
}
