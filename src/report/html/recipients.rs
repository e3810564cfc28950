//! Recipients as a filing form asks for them: who, in which country, through what, which data, how much in which month.
//!
//! In: findings that do not stay at home. Out: one entry a recipient and country, most bytes first. The recipient of a documented
//! channel is its vendor; of any other the operator of the address, else the domain, else the address.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::lang::Lang;
use crate::record::{CountryBytes, Crossing, Finding};
use crate::report::Report;
use crate::report::answer::NOWHERE;

/// Entries in full.
const RECIPIENTS_MAX: usize = 80;
/// Names, addresses or channels of one entry.
const LINES_MAX: usize = 10;
/// Months of one entry, the newest.
const MONTHS_MAX: usize = 36;

/// How the recipient is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    Vendor,
    Operator,
    Domain,
    Address,
}

/// Everything of one recipient in one country.
#[derive(Default)]
struct Sum<'a> {
    operators: BTreeSet<String>,
    domains: BTreeSet<&'a str>,
    addresses: BTreeSet<String>,
    channels: BTreeSet<(String, &'a str)>,
    data: BTreeSet<&'a str>,
    crossings: BTreeSet<Crossing>,
    months: BTreeMap<&'a str, CountryBytes>,
    total: CountryBytes,
    inbound: bool,
}

/// Some of a list, and how many are left out.
#[derive(Debug, Serialize)]
pub struct Listed {
    shown: Vec<String>,
    more: usize,
}

/// Bytes of a year or month.
#[derive(Debug, Serialize)]
pub struct Volume {
    when: String,
    year: bool,
    out: String,
    back: String,
}

/// A crossing, as word and text.
#[derive(Debug, Serialize)]
pub struct Chip {
    word: &'static str,
    text: String,
}

/// One entry.
#[derive(Debug, Serialize)]
pub struct Recipient {
    name: String,
    known: String,
    country: String,
    crossings: Vec<Chip>,
    operators: Listed,
    domains: Listed,
    addresses: Listed,
    channels: Listed,
    data: String,
    out: String,
    back: String,
    volumes: Vec<Volume>,
    inbound: bool,
}

/// Entries, and how many are left out.
pub fn recipients(report: &Report, lang: Lang) -> (Vec<Recipient>, usize) {
    let mut sums: BTreeMap<(Known, String, &str), Sum<'_>> = BTreeMap::new();
    for finding in report.findings.iter().filter(|f| f.crossing != Crossing::Home) {
        let (known, name) = recipient(finding);
        let country = finding.destination.country.as_deref().unwrap_or(NOWHERE);
        sums.entry((known, name, country)).or_default().add(finding, lang);
    }
    let mut order: Vec<_> = sums.into_iter().collect();
    order.sort_by(|(a, x), (b, y)| Reverse(x.total.bytes_out).cmp(&Reverse(y.total.bytes_out)).then_with(|| a.cmp(b)));
    let more = order.len().saturating_sub(RECIPIENTS_MAX);
    let entries = order.into_iter().take(RECIPIENTS_MAX).map(|((known, name, country), sum)| Recipient {
        name,
        known: lang
            .text(match known {
                Known::Vendor => "recipients.by-vendor",
                Known::Operator => "recipients.by-operator",
                Known::Domain => "recipients.by-domain",
                Known::Address => "recipients.by-address",
            })
            .to_owned(),
        country: lang.nation(country).to_owned(),
        ..sum.entry(lang)
    });
    (entries.collect(), more)
}

/// Who gets it.
fn recipient(finding: &Finding) -> (Known, String) {
    let to = &finding.destination;
    if finding.channel.matched.is_empty() {
        if let Some(operator) = to.as_.as_ref().filter(|as_| !as_.organization.is_empty()) {
            return (Known::Operator, operator.organization.clone());
        }
        if let Some(domain) = &to.domain {
            return (Known::Domain, psl::domain_str(domain).unwrap_or(domain).to_owned());
        }
        return (Known::Address, to.ip.first().cloned().unwrap_or_default());
    }
    (Known::Vendor, finding.channel.vendor.clone())
}

impl<'a> Sum<'a> {
    fn add(&mut self, finding: &'a Finding, lang: Lang) {
        let to = &finding.destination;
        self.operators.extend(to.as_.iter().map(|as_| format!("AS{} {}", as_.number, as_.organization)));
        self.domains.extend(to.domain.as_deref());
        let proxied = finding.why.iter().any(|why| why.contains(" through a proxy"));
        let address = |ip: &String| match proxied {
            true => lang.fill("recipients.proxy", &[("ip", ip)]),
            false => ip.clone(),
        };
        self.addresses.extend(to.ip.iter().map(address));
        self.channels.insert((super::channel_name(finding, lang), finding.channel.function.as_str()));
        self.data.extend(finding.channel.data.iter().map(String::as_str));
        self.crossings.insert(finding.crossing);
        for (month, bytes) in &finding.by_month {
            add(self.months.entry(month).or_default(), bytes.bytes_out, bytes.bytes_in);
        }
        add(&mut self.total, finding.bytes_out, finding.bytes_in);
        self.inbound |= finding.direction == crate::record::Direction::Inbound;
    }

    fn entry(&self, lang: Lang) -> Recipient {
        let word = |prefix: &str, word: &str| lang.text(&format!("{prefix}.{word}")).to_owned();
        let channel = |(product, function): &(String, &str)| format!("{product} ({})", word("function", function));
        let data: Vec<String> = self.data.iter().map(|data| word("data", data)).collect();
        Recipient {
            name: String::new(),
            known: String::new(),
            country: String::new(),
            crossings: self
                .crossings
                .iter()
                .map(|crossing| Chip { word: crossing.name(), text: word("crossing", crossing.name()) })
                .collect(),
            operators: some(self.operators.iter().cloned()),
            domains: some(self.domains.iter().map(|domain| (*domain).to_owned())),
            addresses: some(self.addresses.iter().cloned()),
            channels: some(self.channels.iter().map(channel)),
            data: if data.is_empty() { lang.text("data.none").to_owned() } else { data.join(lang.text("list")) },
            out: lang.bytes(self.total.bytes_out),
            back: lang.bytes(self.total.bytes_in),
            volumes: self.volumes(lang),
            inbound: self.inbound,
        }
    }

    /// Months in order, each year's sum behind its months.
    fn volumes(&self, lang: Lang) -> Vec<Volume> {
        let volume = |when: String, year: bool, bytes: &CountryBytes| Volume {
            when,
            year,
            out: lang.bytes(bytes.bytes_out),
            back: lang.bytes(bytes.bytes_in),
        };
        let mut years: BTreeMap<&str, CountryBytes> = BTreeMap::new();
        for (month, bytes) in &self.months {
            let year = month.split('-').next().unwrap_or(month);
            add(years.entry(year).or_default(), bytes.bytes_out, bytes.bytes_in);
        }
        let left_out = self.months.len().saturating_sub(MONTHS_MAX);
        let mut rows: Vec<Volume> =
            self.months.iter().skip(left_out).map(|(month, bytes)| volume(lang.month(month), false, bytes)).collect();
        rows.extend(
            years.iter().map(|(year, bytes)| volume(lang.fill("recipients.year", &[("year", year)]), true, bytes)),
        );
        rows
    }
}

fn add(sum: &mut CountryBytes, out: u64, back: u64) {
    sum.bytes_out = sum.bytes_out.saturating_add(out);
    sum.bytes_in = sum.bytes_in.saturating_add(back);
}

fn some(all: impl ExactSizeIterator<Item = String>) -> Listed {
    let more = all.len().saturating_sub(LINES_MAX);
    Listed { shown: all.take(LINES_MAX).collect(), more }
}
