//! The map by country: a grid of tiles, one a country, each about where the country lies.
//!
//! In: findings, homes. Out: an `<svg>` and a ranking. `world.txt` is the grid: we placed the tiles by hand. Groups of countries
//! and places that are not known stand beside it. Colour is bytes sent, by factors of ten; the code is on every tile.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::bar;
use super::lang::Lang;
use crate::record::Crossing;
use crate::report::Report;
use crate::report::answer::NOWHERE;
use crate::report::markup::escaped;
use crate::report::text::grouped;

/// The grid, row by row; `..` is water.
pub const GRID: &str = include_str!("world.txt");
/// Edge of a tile, with the gap to the next.
const TILE: f64 = 32.0;
const GAP: f64 = 3.0;
/// Colours from little to much.
const STEPS: u32 = 5;
/// Rows of the ranking.
const ROWS_MAX: usize = 40;

/// What goes to one place.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    bytes_out: u64,
    bytes_in: u64,
    leaving: u64,
    unclear: u64,
}

/// A line of the ranking.
#[derive(Debug, Serialize)]
pub struct Row {
    code: String,
    name: String,
    bytes: String,
    back: String,
    channels: String,
    bar: String,
    step: u32,
}

/// What the section shows.
#[derive(Debug, Serialize)]
pub struct World {
    /// The drawing.
    pub svg: String,
    /// Places, most bytes first.
    pub rows: Vec<Row>,
    /// Rows that are left out.
    pub more: usize,
    /// What the colours mean.
    pub legend: Vec<Key>,
}

/// A colour and from how many bytes on.
#[derive(Debug, Serialize)]
pub struct Key {
    step: u32,
    text: String,
}

/// The codes on the grid with their column and row.
pub fn tiles() -> impl Iterator<Item = (&'static str, usize, usize)> {
    GRID.lines().enumerate().flat_map(|(y, line)| {
        line.split(' ').enumerate().filter(|(_, code)| *code != "..").map(move |(x, code)| (code, x, y))
    })
}

/// Draws what leaves, and what cannot be determined.
pub fn world(report: &Report, lang: Lang) -> World {
    let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
    for finding in report.findings.iter().filter(|f| f.crossing != Crossing::Home) {
        let sum = sums.entry(finding.destination.country.as_deref().unwrap_or(NOWHERE)).or_default();
        sum.bytes_out = sum.bytes_out.saturating_add(finding.bytes_out);
        sum.bytes_in = sum.bytes_in.saturating_add(finding.bytes_in);
        if finding.crossing.leaves() { sum.leaving += 1 } else { sum.unclear += 1 }
    }
    let most = sums.values().map(|sum| sum.bytes_out).max().unwrap_or(0);
    let mut order: Vec<(&str, Sum)> = sums.iter().map(|(code, sum)| (*code, *sum)).collect();
    order.sort_by_key(|&(code, sum)| (Reverse(sum.bytes_out), code));
    let rows = order.iter().take(ROWS_MAX).map(|&(code, sum)| Row {
        code: if code == NOWHERE { "?" } else { code }.to_owned(),
        name: lang.nation(code).to_owned(),
        bytes: if sum.bytes_out == 0 { lang.text("attempt").to_owned() } else { lang.bytes(sum.bytes_out) },
        back: lang.bytes(sum.bytes_in),
        channels: grouped(sum.leaving + sum.unclear),
        bar: bar(sum.bytes_out, most),
        step: step(sum.bytes_out, most),
    });
    World {
        rows: rows.collect(),
        more: order.len().saturating_sub(ROWS_MAX),
        legend: legend(&sums, most, lang),
        svg: svg(report, &sums, most, lang),
    }
}

/// The colour of bytes: the strongest is the decade of the most.
fn step(bytes: u64, most: u64) -> u32 {
    let down = most.max(1).ilog10() - bytes.max(1).ilog10();
    STEPS.saturating_sub(down).max(1)
}

fn legend(sums: &BTreeMap<&str, Sum>, most: u64, lang: Lang) -> Vec<Key> {
    let mut steps: Vec<u32> = sums.values().map(|sum| step(sum.bytes_out, most)).collect();
    steps.sort_unstable();
    steps.dedup();
    let top = most.max(1).ilog10();
    let key = |step| {
        let from = 10_u64.pow(top.saturating_sub(STEPS - step));
        let text = match step {
            1 => lang.fill("map.below", &[("n", &lang.bytes(from.saturating_mul(10)))]),
            _ => lang.fill("map.from", &[("n", &lang.bytes(from))]),
        };
        Key { step, text }
    };
    steps.into_iter().map(key).collect()
}

fn svg(report: &Report, sums: &BTreeMap<&str, Sum>, most: u64, lang: Lang) -> String {
    let (mut width, mut height) = (0, 0);
    let mut body = String::new();
    let mut tile = |code: &str, x: usize, y: usize| {
        let sum = sums.get(code);
        let home = report.header.home.iter().any(|home| home == code);
        let class = match (sum, home) {
            (Some(sum), _) => format!("tile r{}", step(sum.bytes_out, most)),
            (None, true) => "tile home".to_owned(),
            (None, false) => "tile".to_owned(),
        };
        let about = match (sum, home) {
            (Some(sum), _) => format!(
                "{}: {}, {}",
                lang.nation(code),
                lang.bytes(sum.bytes_out),
                lang.count(sum.leaving + sum.unclear, "channel")
            ),
            (None, true) => format!("{}: {}", lang.nation(code), lang.text("crossing.home")),
            (None, false) => lang.nation(code).to_owned(),
        };
        let (left, top) = (x as f64 * TILE, y as f64 * TILE);
        let edge = TILE - GAP;
        let _ = write!(
            body,
            r#"<g class="{class}"><title>{}</title><rect x="{left}" y="{top}" width="{edge}" height="{edge}" rx="4"/>"#,
            escaped(&about)
        );
        if home {
            // A ring around it, whatever its colour.
            let (left, top, edge) = (left - 1.5, top - 1.5, edge + 3.0);
            let _ =
                write!(body, r#"<rect class="ring" x="{left}" y="{top}" width="{edge}" height="{edge}" rx="5.5"/>"#);
        }
        let shown: String = if code == NOWHERE { "?".to_owned() } else { code.chars().take(5).collect() };
        let small = if shown.chars().count() > 3 { " long" } else { "" };
        let (x, y) = (left + edge / 2.0, top + edge / 2.0 + 4.0);
        let _ = write!(body, r#"<text class="code{small}" x="{x}" y="{y}">{}</text></g>"#, escaped(&shown));
    };
    let mut placed = Vec::new();
    for (code, x, y) in tiles() {
        tile(code, x, y);
        placed.push(code);
        width = width.max(x + 1);
        height = height.max(y + 1);
    }
    // Groups, and what is on no map: in the empty corner of the south-west.
    let beside: Vec<&str> = sums.keys().copied().filter(|code| !placed.contains(code)).collect();
    for (n, code) in beside.iter().take(12).enumerate() {
        tile(code, n % 4, height - 3 + n / 4);
    }
    if !beside.is_empty() {
        let y = (height - 3) as f64 * TILE - 10.0;
        let _ = write!(body, r#"<text class="beside" x="0" y="{y}">{}</text>"#, escaped(lang.text("map.beside")));
    }
    format!(
        r#"<svg class="world" viewBox="-3 -3 {} {}" role="img" aria-label="{}">{body}</svg>"#,
        width as f64 * TILE + 3.0,
        height as f64 * TILE + 3.0,
        escaped(lang.text("map.label"))
    )
}
