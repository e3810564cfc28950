//! The pages: what each has as rows.
//!
//! In: a picture. Out: a table of findings, assets, countries, channels, losses, or of what is new.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::loss;
use super::state::UiState;
use super::table::{Cell, Column, Row, Table, Tone};
use super::words::moment;
use crate::record::{Asset, Crossing, Finding};
use crate::report::text::{bytes_text, grouped};
use crate::view::View;

/// A page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// Who talks where.
    #[default]
    Findings,
    /// The appliances.
    Assets,
    /// Findings by country.
    Countries,
    /// Findings by channel.
    Channels,
    /// What was not seen.
    Loss,
    /// The newest findings.
    Newest,
}

impl Page {
    /// Every page, in the order of its key.
    pub const ALL: [Page; 6] =
        [Page::Findings, Page::Assets, Page::Countries, Page::Channels, Page::Loss, Page::Newest];

    /// Its title.
    pub fn title(self) -> &'static str {
        match self {
            Page::Findings => "Findings",
            Page::Assets => "Assets",
            Page::Countries => "Countries",
            Page::Channels => "Channels",
            Page::Loss => "Loss",
            Page::Newest => "Newest",
        }
    }

    /// Its columns.
    pub fn columns(self) -> &'static [Column] {
        match self {
            Page::Findings => FINDINGS,
            Page::Assets => ASSETS,
            Page::Countries => COUNTRIES,
            Page::Channels => CHANNELS,
            Page::Loss => loss::COLUMNS,
            Page::Newest => NEWEST,
        }
    }

    /// Its table.
    pub fn table(self, view: &View, state: &UiState) -> Table {
        let rows = match self {
            Page::Findings => view.report.findings.iter().map(finding).collect(),
            Page::Assets => view.report.assets.iter().map(asset).collect(),
            Page::Countries => countries(&view.report.findings),
            Page::Channels => channels(&view.report.findings),
            Page::Loss => loss::rows(view, state.speeds()),
            Page::Newest => newest(view),
        };
        let notes = if self == Page::Loss { loss::notes(view) } else { Vec::new() };
        Table { columns: self.columns(), rows, notes }
    }
}

const FINDINGS: &[Column] = &[
    Column::words("SEVERITY", (6, 8), 7),
    Column::words("CROSSING", (8, 16), 3),
    Column::words("ASSET", (10, 39), 0),
    Column::words("PRODUCT", (10, 30), 8),
    Column::words("CHANNEL", (12, 40), 2),
    Column::words("DATA", (10, 32), 9),
    Column::words("DESTINATION", (14, 48), 4),
    Column::words("COUNTRY", (7, 7), 0),
    Column::numbers("OUT", 1),
    Column::numbers("IN", 6),
    Column::numbers("FLOWS", 10),
    Column::words("LAST SEEN", (19, 19), 11),
];

fn finding(finding: &Finding) -> Row {
    let cells = vec![
        severity(&finding.severity),
        crossing(finding.crossing),
        address(&finding.asset.ip),
        Cell::words(&finding.asset.product),
        Cell::words(&channel(finding)),
        Cell::words(&finding.channel.data.join(" ")),
        Cell::words(&destination(finding)),
        Cell::words(country(finding)),
        out(finding),
        bytes(finding.bytes_in),
        number(finding.sessions),
        Cell::words(&moment(&finding.last_seen)),
    ];
    let more = [&finding.id, &finding.channel.id, &finding.asset.vendor].map(String::as_str);
    let more = more.into_iter().chain(finding.destination.ip.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    Row { key: finding.id.clone(), cells, more, tone: tone(finding.crossing) }
}

const ASSETS: &[Column] = &[
    Column::words("ASSET", (10, 39), 0),
    Column::words("VENDOR", (8, 24), 2),
    Column::words("PRODUCT", (10, 36), 1),
    Column::words("VERSION", (7, 20), 5),
    Column::numbers("SURE", 4),
    Column::numbers("OUT", 1),
    Column::numbers("IN", 3),
    Column::words("COUNTRIES", (9, 40), 3),
    Column::words("MAC", (17, 17), 6),
];

fn asset(asset: &Asset) -> Row {
    let places: Vec<&str> = asset.by_country.keys().map(String::as_str).collect();
    let cells = vec![
        address(&asset.ip),
        Cell::words(&asset.vendor),
        Cell::words(&asset.product),
        Cell::words(asset.version.as_deref().or(asset.model.as_deref()).unwrap_or_default()),
        Cell::number(asset.confidence, format!("{} %", asset.confidence)),
        bytes(asset.bytes_out),
        bytes(asset.bytes_in),
        Cell::words(&places.join(" ")),
        Cell::words(asset.mac.as_deref().unwrap_or_default()),
    ];
    let more = asset.evidence.iter().map(|evidence| evidence.value.as_str()).collect::<Vec<_>>().join(" ");
    Row { key: asset_key(asset), cells, more, tone: Tone::Plain }
}

/// An address may be several products.
pub fn asset_key(asset: &Asset) -> String {
    format!("{} {} {}", asset.ip, asset.vendor, asset.product)
}

const COUNTRIES: &[Column] = &[
    Column::words("COUNTRY", (7, 12), 0),
    Column::words("CROSSING", (8, 16), 1),
    Column::numbers("FINDINGS", 2),
    Column::numbers("ASSETS", 4),
    Column::numbers("CHANNELS", 5),
    Column::numbers("OUT", 1),
    Column::numbers("IN", 3),
    Column::words("LAST SEEN", (19, 19), 6),
];

const CHANNELS: &[Column] = &[
    Column::words("CHANNEL", (14, 44), 0),
    Column::words("PRODUCT", (10, 36), 4),
    Column::words("FUNCTION", (8, 24), 3),
    Column::words("DATA", (10, 40), 6),
    Column::words("CROSSING", (8, 16), 1),
    Column::words("COUNTRIES", (9, 30), 2),
    Column::numbers("ASSETS", 5),
    Column::numbers("OUT", 1),
    Column::numbers("IN", 4),
    Column::words("LAST SEEN", (19, 19), 7),
];

/// What several findings come to.
struct Sum<'a> {
    first: &'a Finding,
    crossing: Crossing,
    findings: u64,
    assets: BTreeSet<&'a str>,
    channels: BTreeSet<&'a str>,
    countries: BTreeSet<&'a str>,
    out: u64,
    into: u64,
    last: &'a str,
}

fn sums<'a>(findings: &'a [Finding], key: impl Fn(&'a Finding) -> &'a str) -> BTreeMap<&'a str, Sum<'a>> {
    let mut sums: BTreeMap<&str, Sum<'a>> = BTreeMap::new();
    for finding in findings {
        let sum = sums.entry(key(finding)).or_insert_with(|| Sum {
            first: finding,
            crossing: finding.crossing,
            findings: 0,
            assets: BTreeSet::new(),
            channels: BTreeSet::new(),
            countries: BTreeSet::new(),
            out: 0,
            into: 0,
            last: "",
        });
        sum.crossing = sum.crossing.min(finding.crossing);
        sum.findings += 1;
        sum.assets.insert(&finding.asset.ip);
        sum.channels.insert(&finding.channel.id);
        sum.countries.insert(country(finding));
        sum.out = sum.out.saturating_add(finding.bytes_out);
        sum.into = sum.into.saturating_add(finding.bytes_in);
        sum.last = sum.last.max(&finding.last_seen);
    }
    sums
}

fn countries(findings: &[Finding]) -> Vec<Row> {
    let mut rows: Vec<(Crossing, std::cmp::Reverse<u64>, Row)> = Vec::new();
    for (key, sum) in sums(findings, country) {
        let cells = vec![
            Cell::words(key),
            crossing(sum.crossing),
            number(sum.findings),
            number(sum.assets.len() as u64),
            number(sum.channels.len() as u64),
            bytes(sum.out),
            bytes(sum.into),
            Cell::words(&moment(sum.last)),
        ];
        let row = Row { key: key.to_owned(), cells, more: String::new(), tone: tone(sum.crossing) };
        rows.push((sum.crossing, std::cmp::Reverse(sum.out), row));
    }
    rows.sort_by_key(|(crossing, out, _)| (*crossing, *out));
    rows.into_iter().map(|(.., row)| row).collect()
}

fn channels(findings: &[Finding]) -> Vec<Row> {
    let mut rows: Vec<(Crossing, std::cmp::Reverse<u64>, Row)> = Vec::new();
    for (key, sum) in sums(findings, |finding| &finding.channel.id) {
        let channel = &sum.first.channel;
        let cells = vec![
            Cell::words(key),
            Cell::words(&channel.product),
            Cell::words(&channel.function),
            Cell::words(&channel.data.join(" ")),
            crossing(sum.crossing),
            Cell::words(&sum.countries.iter().copied().collect::<Vec<_>>().join(" ")),
            number(sum.assets.len() as u64),
            bytes(sum.out),
            bytes(sum.into),
            Cell::words(&moment(sum.last)),
        ];
        let row = Row { key: key.to_owned(), cells, more: channel.vendor.clone(), tone: tone(sum.crossing) };
        rows.push((sum.crossing, std::cmp::Reverse(sum.out), row));
    }
    rows.sort_by_key(|(crossing, out, _)| (*crossing, *out));
    rows.into_iter().map(|(.., row)| row).collect()
}

const NEWEST: &[Column] = &[
    Column::words("FIRST TOLD", (19, 19), 3),
    Column::words("CROSSING", (8, 16), 2),
    Column::words("ASSET", (10, 39), 0),
    Column::words("PRODUCT", (10, 30), 6),
    Column::words("CHANNEL", (12, 40), 1),
    Column::words("DESTINATION", (14, 48), 4),
    Column::words("COUNTRY", (7, 7), 0),
    Column::numbers("OUT", 5),
];

fn newest(view: &View) -> Vec<Row> {
    let known: HashMap<&str, &Finding> = view.report.findings.iter().map(|f| (f.id.as_str(), f)).collect();
    let told = view.newest.iter().filter_map(|newest| Some((newest, *known.get(newest.id.as_str())?)));
    let row = |(newest, finding): (&crate::view::Newest, &Finding)| Row {
        key: newest.id.clone(),
        cells: vec![
            Cell::words(&moment(&newest.at.to_string())),
            crossing(finding.crossing),
            address(&finding.asset.ip),
            Cell::words(&finding.asset.product),
            Cell::words(&channel(finding)),
            Cell::words(&destination(finding)),
            Cell::words(country(finding)),
            out(finding),
        ],
        more: format!("{} {}", finding.channel.id, finding.asset.vendor),
        tone: tone(finding.crossing),
    };
    told.map(row).collect()
}

/// The country of a finding; `??` where none is known.
pub fn country(finding: &Finding) -> &str {
    finding.destination.country.as_deref().unwrap_or("??")
}

/// The name it went to, else addresses.
pub fn destination(finding: &Finding) -> String {
    finding.destination.domain.clone().unwrap_or_else(|| finding.destination.ip.join(", "))
}

/// What the channel is.
pub fn channel(finding: &Finding) -> String {
    let channel = &finding.channel;
    if channel.product.is_empty() { channel.id.clone() } else { format!("{} [{}]", channel.product, channel.function) }
}

fn out(finding: &Finding) -> Cell {
    let text = if finding.attempted_only { "tried".to_owned() } else { bytes_text(finding.bytes_out) };
    Cell::number(finding.bytes_out, text)
}

fn bytes(n: u64) -> Cell {
    Cell::number(n, bytes_text(n))
}

fn number(n: u64) -> Cell {
    Cell::number(n, grouped(n))
}

fn address(text: &str) -> Cell {
    let number = text.parse::<IpAddr>().ok().map(|address| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => address.into(),
    });
    Cell { weight: number, ..Cell::words(text) }
}

fn severity(word: &str) -> Cell {
    let rank = ["high", "medium", "low", "info", "exempt"].iter().position(|known| *known == word);
    Cell { weight: rank.map(|rank| rank as u128), ..Cell::words(word) }
}

fn crossing(crossing: Crossing) -> Cell {
    Cell::number(crossing as u8, crossing.name().to_owned())
}

/// The colour of a crossing.
pub fn tone(crossing: Crossing) -> Tone {
    match crossing {
        Crossing::Observed | Crossing::Probable => Tone::Bad,
        Crossing::NotDeterminable => Tone::Doubtful,
        Crossing::Home => Tone::Good,
    }
}
