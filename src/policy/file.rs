//! The policy file.
//!
//! In: TOML text. Out: [`Parts`], or the first error with file, line and key. Every key is looked
//! at here; one that nobody asked for is an error.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Exemption, FUNCTIONS, PolicyError, Severity, home, prefix};
use crate::place::{Country, Prefix};
use crate::time::Time;

/// Bytes of a policy file; a longer one is refused.
pub(super) const POLICY_BYTES_MAX: u64 = 1 << 20;

/// What a file says; `None` where it says nothing.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub home: Option<Vec<Country>>,
    pub inside: Option<Vec<Prefix>>,
    pub exempt: BTreeMap<String, Exemption>,
    /// Prefix, and index into the names.
    pub sites: Vec<(Prefix, usize)>,
    pub site_names: Vec<String>,
    pub severity: BTreeMap<String, Severity>,
}

/// Reads a policy file.
pub(super) fn read(path: &Path) -> Result<Parts, PolicyError> {
    let failed = |reason: String| PolicyError::Read { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| failed(e.to_string()))?;
    file.take(POLICY_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| failed(e.to_string()))?;
    if bytes.len() as u64 > POLICY_BYTES_MAX {
        return Err(failed(format!("more than the {POLICY_BYTES_MAX} bytes that a policy may have")));
    }
    let text = String::from_utf8(bytes).map_err(|_| failed("not UTF-8 text".into()))?;
    parse(path, &text)
}

/// Reads the text of a policy file; `path` is only for messages.
pub(super) fn parse(path: &Path, text: &str) -> Result<Parts, PolicyError> {
    let source = Source { path, text };
    let document = DeTable::parse(text)
        .map_err(|e| source.error(&e.span().unwrap_or(0..0), "", e.message().trim().replace('\n', "; ")))?;
    let mut parts = Parts::default();
    for (key, value) in document.get_ref() {
        match key.get_ref().as_ref() {
            "home" => parts.home = Some(source.each(value, "home", home)?),
            "inside" => parts.inside = Some(source.each(value, "inside", prefix)?),
            "exempt" => source.exempt(value, &mut parts)?,
            "site" => source.site(value, &mut parts)?,
            "severity" => source.severity(value, &mut parts)?,
            other => {
                return Err(source.unknown(&key.span(), "", other, &["home", "inside", "exempt", "site", "severity"]));
            }
        }
    }
    Ok(parts)
}

type Value<'t> = Spanned<DeValue<'t>>;

/// The text with its name, for errors.
struct Source<'t> {
    path: &'t Path,
    text: &'t str,
}

impl Source<'_> {
    fn error(&self, at: &Range<usize>, key: &str, reason: impl Into<String>) -> PolicyError {
        let before = self.text.as_bytes().get(..at.start).unwrap_or_default();
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        PolicyError::Line { path: self.path.to_owned(), line, key: key.into(), reason: reason.into() }
    }

    fn unknown(&self, at: &Range<usize>, above: &str, key: &str, known: &[&str]) -> PolicyError {
        let key = key.escape_default();
        self.error(at, &format!("{above}{key}"), format!("unknown key; known are {}", known.join(", ")))
    }

    fn text<'v>(&self, value: &'v Value<'_>, key: &str) -> Result<&'v str, PolicyError> {
        match value.get_ref().as_str() {
            Some(text) if !text.trim().is_empty() => Ok(text),
            Some(_) => Err(self.error(&value.span(), key, "is empty")),
            None => Err(self.error(&value.span(), key, "must be text")),
        }
    }

    fn each<T>(
        &self,
        value: &Value<'_>,
        key: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, PolicyError> {
        let Some(items) = value.get_ref().as_array() else {
            return Err(self.error(&value.span(), key, "must be an array of text"));
        };
        if items.is_empty() {
            return Err(self.error(&value.span(), key, "is empty"));
        }
        let one = |item: &Value<'_>| {
            let text = self.text(item, key)?;
            read(text).map_err(|reason| self.error(&item.span(), key, reason))
        };
        items.iter().map(one).collect()
    }

    /// The tables of `[[key]]`, each with where it starts.
    fn tables<'v, 't>(
        &self,
        value: &'v Value<'t>,
        key: &str,
    ) -> Result<Vec<(Range<usize>, &'v DeTable<'t>)>, PolicyError> {
        let wrong = |at: Range<usize>| self.error(&at, key, format!("must be written as [[{key}]]"));
        let items = value.get_ref().as_array().ok_or_else(|| wrong(value.span()))?;
        let one = |item: &'v Value<'t>| match item.get_ref().as_table() {
            Some(table) => Ok((item.span(), table)),
            None => Err(wrong(item.span())),
        };
        items.iter().map(one).collect()
    }

    fn exempt(&self, value: &Value<'_>, parts: &mut Parts) -> Result<(), PolicyError> {
        for (at, table) in self.tables(value, "exempt")? {
            let (mut channel, mut reason, mut until) = (None, None, None);
            for (key, value) in table {
                match key.get_ref().as_ref() {
                    "channel" => channel = Some((self.text(value, "exempt.channel")?, value.span())),
                    "reason" => reason = Some(self.text(value, "exempt.reason")?),
                    "until" => until = Some(self.last_day(value)?),
                    other => {
                        return Err(self.unknown(&key.span(), "exempt.", other, &["channel", "reason", "until"]));
                    }
                }
            }
            let (id, id_at) = channel.ok_or_else(|| self.error(&at, "exempt.channel", "is missing"))?;
            let reason = reason.ok_or_else(|| self.error(&at, "exempt.reason", "is missing"))?;
            let exemption = Exemption { reason: reason.trim().to_owned(), until };
            if parts.exempt.insert(id.to_owned(), exemption).is_some() {
                return Err(self.error(&id_at, "exempt.channel", format!("\"{id}\" is there twice")));
            }
        }
        Ok(())
    }

    /// A date, and the moment its day is over in UTC.
    fn last_day(&self, value: &Value<'_>) -> Result<(String, Time), PolicyError> {
        let wrong = || self.error(&value.span(), "exempt.until", "must be a date such as 2027-06-30, without quotes");
        let written = value.get_ref().as_datetime().ok_or_else(wrong)?;
        let (Some(date), None) = (written.date, written.time) else {
            return Err(wrong());
        };
        let day = jiff::civil::Date::new(date.year as i16, date.month as i8, date.day as i8).map_err(|_| wrong())?;
        let next = day.tomorrow().map_err(|_| wrong())?;
        let end = jiff::tz::TimeZone::UTC.to_timestamp(next.at(0, 0, 0, 0)).map_err(|_| wrong())?;
        Ok((day.to_string(), Time::new(end.as_second(), 0)))
    }

    fn site(&self, value: &Value<'_>, parts: &mut Parts) -> Result<(), PolicyError> {
        for (at, table) in self.tables(value, "site")? {
            let (mut name, mut prefixes) = (None, None);
            for (key, value) in table {
                match key.get_ref().as_ref() {
                    "name" => name = Some((self.text(value, "site.name")?, value.span())),
                    "prefixes" => prefixes = Some((self.each(value, "site.prefixes", prefix)?, value.span())),
                    other => {
                        return Err(self.unknown(&key.span(), "site.", other, &["name", "prefixes"]));
                    }
                }
            }
            let (name, name_at) = name.ok_or_else(|| self.error(&at, "site.name", "is missing"))?;
            let (prefixes, prefixes_at) = prefixes.ok_or_else(|| self.error(&at, "site.prefixes", "is missing"))?;
            if parts.site_names.iter().any(|other| other == name) {
                return Err(self.error(&name_at, "site.name", format!("\"{name}\" is there twice")));
            }
            let index = parts.site_names.len();
            parts.site_names.push(name.to_owned());
            for prefix in prefixes {
                if let Some((_, other)) = parts.sites.iter().find(|(p, _)| *p == prefix) {
                    let other = parts.site_names.get(*other).map_or("", String::as_str);
                    let reason = format!("{prefix} is already a prefix of \"{other}\"");
                    return Err(self.error(&prefixes_at, "site.prefixes", reason));
                }
                parts.sites.push((prefix, index));
            }
        }
        Ok(())
    }

    fn severity(&self, value: &Value<'_>, parts: &mut Parts) -> Result<(), PolicyError> {
        let Some(table) = value.get_ref().as_table() else {
            return Err(self.error(&value.span(), "severity", "must be written as [severity]"));
        };
        for (key, value) in table {
            let word = key.get_ref().as_ref();
            if !FUNCTIONS.contains(&word) {
                return Err(self.unknown(&key.span(), "severity.", word, FUNCTIONS));
            }
            let name = format!("severity.{word}");
            let severity = Severity::from_word(self.text(value, &name)?)
                .ok_or_else(|| self.error(&value.span(), &name, "must be high, medium, low or info"))?;
            parts.severity.insert(word.to_owned(), severity);
        }
        Ok(())
    }
}
