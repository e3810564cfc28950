//! The flow diagram: asset, function of the channel, country, as ribbons whose width is bytes sent.
//!
//! In: findings. Out: an `<svg>` and the same as rows for a table. Bounded: the assets and countries with most bytes, the others
//! together. What stayed at home is left out. Attempts without bytes are thin dashed ribbons, so that they are seen.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use super::lang::Lang;
use super::shortened;
use crate::record::{Crossing, Finding};
use crate::report::Report;
use crate::report::answer::NOWHERE;
use crate::report::markup::escaped;

/// Assets drawn one by one.
const ASSETS_MAX: usize = 9;
/// Countries drawn one by one.
const COUNTRIES_MAX: usize = 11;
/// Rows of the table beside it.
const ROWS_MAX: usize = 24;

/// Width of the drawing, and the columns of its nodes.
const WIDTH: f64 = 1080.0;
const COLUMNS: [f64; 3] = [236.0, 520.0, 858.0];
/// Width of a node.
const NODE: f64 = 10.0;
/// Height that all ribbons share.
const HEIGHT: f64 = 300.0;
/// The thinnest ribbon.
const THIN: f64 = 1.6;
/// Height that a label needs, by column, and the gap between nodes.
const LABELS: [f64; 3] = [38.0, 36.0, 36.0];
const GAP: f64 = 8.0;
const TOP: f64 = 40.0;
/// Letters that labels have room for.
const LABEL_CHARS: usize = 32;

/// A node of one column: its key, `None` for the others together.
type Node = Option<String>;

/// What goes from one node to the next.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    bytes: u64,
    channels: u64,
}

impl Load {
    fn add(&mut self, finding: &Finding) {
        self.bytes = self.bytes.saturating_add(finding.bytes_out);
        self.channels += 1;
    }

    /// Height of its ribbon.
    fn height(self, scale: f64) -> f64 {
        (self.bytes as f64 * scale).max(THIN)
    }
}

/// One way through the diagram.
#[derive(Debug, Serialize)]
pub struct Way {
    asset: String,
    product: String,
    function: String,
    country: String,
    crossing: &'static str,
    crossing_text: String,
    channels: String,
    bytes: String,
}

/// What the section shows.
#[derive(Debug, Default, Serialize)]
pub struct Flow {
    /// The drawing; empty when nothing goes anywhere.
    pub svg: String,
    /// The same as rows.
    pub ways: Vec<Way>,
    /// Rows that are left out.
    pub more: usize,
    /// Findings that stayed at home.
    pub at_home: usize,
}

/// Draws the findings that do not stay at home.
pub fn flow(report: &Report, lang: Lang) -> Flow {
    let away: Vec<&Finding> = report.findings.iter().filter(|f| f.crossing != Crossing::Home).collect();
    let at_home = report.findings.len() - away.len();
    if away.is_empty() {
        return Flow { at_home, ..Flow::default() };
    }
    let (ways, more) = ways(&away, lang);
    Flow { svg: Drawing::of(&away, lang).svg(), ways, more, at_home }
}

fn country(finding: &Finding) -> &str {
    finding.destination.country.as_deref().unwrap_or(NOWHERE)
}

fn ways(away: &[&Finding], lang: Lang) -> (Vec<Way>, usize) {
    let mut loads: BTreeMap<(&str, &str, &str, Crossing), (Load, &Finding)> = BTreeMap::new();
    for finding in away {
        let key = (finding.asset.ip.as_str(), finding.channel.function.as_str(), country(finding), finding.crossing);
        loads.entry(key).or_insert((Load::default(), finding)).0.add(finding);
    }
    let more = loads.len().saturating_sub(ROWS_MAX);
    let mut loads: Vec<_> = loads.into_iter().collect();
    loads.sort_by_key(|(key, (load, _))| (Reverse(load.bytes), *key));
    let rows = loads.into_iter().take(ROWS_MAX).map(|((ip, function, country, crossing), (load, finding))| Way {
        asset: ip.to_owned(),
        product: finding.asset.product.clone(),
        function: lang.text(&format!("function.{function}")).to_owned(),
        country: lang.nation(country).to_owned(),
        crossing: crossing.name(),
        crossing_text: lang.text(&format!("crossing.{}", crossing.name())).to_owned(),
        channels: load.channels.to_string(),
        bytes: if load.bytes == 0 { lang.text("attempt").to_owned() } else { lang.bytes(load.bytes) },
    });
    (rows.collect(), more)
}

/// A node with its place.
struct Placed {
    key: Node,
    load: Load,
    /// Top and height of its bar.
    y: f64,
    height: f64,
    /// How far ribbons have been put on its left and its right.
    used: [f64; 2],
}

/// A ribbon: from a node, to a node, and what it is.
type Ribbon = (usize, usize, Crossing);

struct Drawing<'a> {
    lang: Lang,
    products: BTreeMap<&'a str, &'a str>,
    columns: [Vec<Placed>; 3],
    ribbons: [BTreeMap<Ribbon, Load>; 2],
    scale: f64,
    height: f64,
}

impl<'a> Drawing<'a> {
    fn of(away: &[&'a Finding], lang: Lang) -> Drawing<'a> {
        let keys: [Vec<&str>; 3] = [
            away.iter().map(|f| f.asset.ip.as_str()).collect(),
            away.iter().map(|f| f.channel.function.as_str()).collect(),
            away.iter().map(|f| country(f)).collect(),
        ];
        let limits = [ASSETS_MAX, usize::MAX, COUNTRIES_MAX];
        let mut columns: [Vec<Placed>; 3] = [(); 3].map(|()| Vec::new());
        let mut at: [Vec<usize>; 3] = [(); 3].map(|()| Vec::new());
        for ((column, at), (keys, limit)) in columns.iter_mut().zip(&mut at).zip(keys.iter().zip(limits)) {
            *column = nodes(keys, away, limit);
            let places: BTreeMap<&str, usize> =
                column.iter().enumerate().filter_map(|(n, node)| Some((node.key.as_deref()?, n))).collect();
            // What has no node of its own is among the others, who stand last.
            *at = keys.iter().map(|key| places.get(key).copied().unwrap_or(places.len())).collect();
        }
        let mut ribbons: [BTreeMap<Ribbon, Load>; 2] = Default::default();
        let [assets, functions, countries] = &at;
        for (((finding, &a), &f), &c) in away.iter().zip(assets).zip(functions).zip(countries) {
            ribbons[0].entry((a, f, finding.crossing)).or_default().add(finding);
            ribbons[1].entry((f, c, finding.crossing)).or_default().add(finding);
        }
        let bytes: u64 = away.iter().fold(0, |sum, f| sum.saturating_add(f.bytes_out));
        let scale = if bytes == 0 { 0.0 } else { HEIGHT / bytes as f64 };
        let products = away.iter().map(|f| (f.asset.ip.as_str(), f.asset.product.as_str())).collect();
        let mut drawing = Drawing { lang, products, columns, ribbons, scale, height: 0.0 };
        drawing.place();
        drawing
    }

    /// Puts nodes below each other: as high as their ribbons, as far apart as their labels need.
    fn place(&mut self) {
        let scale = self.scale;
        let sum = |ribbons: &BTreeMap<Ribbon, Load>, is: &dyn Fn(&Ribbon) -> bool| -> f64 {
            ribbons.iter().filter(|(ribbon, _)| is(ribbon)).map(|(_, load)| load.height(scale)).sum()
        };
        let mut tall = [0.0_f64; 3];
        for (n, column) in self.columns.iter_mut().enumerate() {
            let mut y = TOP;
            for (at, node) in column.iter_mut().enumerate() {
                let left = if n == 0 { 0.0 } else { sum(&self.ribbons[n - 1], &|(_, to, _)| *to == at) };
                let right = if n == 2 { 0.0 } else { sum(&self.ribbons[n], &|(from, _, _)| *from == at) };
                node.height = left.max(right);
                let room = node.height.max(LABELS[n]);
                node.y = y + (room - node.height) / 2.0;
                y += room + GAP;
            }
            tall[n] = y - GAP;
        }
        self.height = tall.into_iter().fold(0.0, f64::max);
        for (column, tall) in self.columns.iter_mut().zip(tall) {
            // A shorter column stands in the middle.
            let down = (self.height - tall) / 2.0;
            column.iter_mut().for_each(|node| node.y += down);
        }
    }

    fn svg(mut self) -> String {
        let lang = self.lang;
        let mut svg = format!(
            r#"<svg class="sankey" viewBox="0 0 {WIDTH} {:.0}" role="img" aria-label="{}">"#,
            self.height + 14.0,
            escaped(lang.text("flow.label"))
        );
        let heads = [(COLUMNS[0] + NODE, "end"), (COLUMNS[1], "start"), (COLUMNS[2], "start")];
        for ((x, anchor), key) in heads.into_iter().zip(["flow.assets", "flow.functions", "flow.countries"]) {
            let head = escaped(lang.text(key));
            let _ = write!(svg, r#"<text class="head" x="{x}" y="16" text-anchor="{anchor}">{head}</text>"#);
        }
        for n in 0..2 {
            self.draw_ribbons(n, &mut svg);
        }
        for (n, column) in self.columns.iter().enumerate() {
            for node in column {
                self.draw_node(n, node, &mut svg);
            }
        }
        svg + "</svg>"
    }

    fn draw_ribbons(&mut self, n: usize, svg: &mut String) {
        let (x0, x1) = (COLUMNS[n] + NODE, COLUMNS[n + 1]);
        let middle = (x0 + x1) / 2.0;
        for (&(from, to, crossing), load) in &self.ribbons[n] {
            let height = load.height(self.scale);
            let (head, tail) = self.columns.split_at_mut(n + 1);
            let (Some(from), Some(to)) =
                (head.get_mut(n).and_then(|c| c.get_mut(from)), tail.first_mut().and_then(|c| c.get_mut(to)))
            else {
                continue;
            };
            let y0 = from.y + from.used[1] + height / 2.0;
            let y1 = to.y + to.used[0] + height / 2.0;
            from.used[1] += height;
            to.used[0] += height;
            let dashed = if load.bytes == 0 { r#" stroke-dasharray="4 4""# } else { "" };
            let title = format!(
                "{} → {}: {}, {}",
                self.lang.text(&format!("crossing.{}", crossing.name())),
                self.lang.count(load.channels, "channel"),
                self.lang.bytes(load.bytes),
                names(self.lang, n, &from.key, &to.key),
            );
            let _ = write!(
                svg,
                r#"<path class="ribbon {}" d="M{x0} {y0:.1}C{middle} {y0:.1} {middle} {y1:.1} {x1} {y1:.1}" stroke-width="{height:.1}"{dashed}><title>{}</title></path>"#,
                crossing.name(),
                escaped(&title)
            );
        }
    }

    fn draw_node(&self, n: usize, node: &Placed, svg: &mut String) {
        let lang = self.lang;
        let name = name(lang, n, &node.key);
        let bytes = match node.load.bytes {
            0 => lang.text("attempt").to_owned(),
            bytes => lang.bytes(bytes),
        };
        let below = match (n, &node.key) {
            (0, Some(ip)) => self.products.get(ip.as_str()).map_or("", |product| product).to_owned(),
            _ => String::new(),
        };
        let below = if below.is_empty() { bytes.clone() } else { shortened(&below, LABEL_CHARS) };
        let (x, anchor) = if n == 0 { (COLUMNS[0] - 8.0, "end") } else { (COLUMNS[n] + NODE + 8.0, "start") };
        let middle = node.y + node.height / 2.0;
        let _ = write!(
            svg,
            r#"<g><title>{}</title><rect class="node" x="{}" y="{:.1}" width="{NODE}" height="{:.1}" rx="2"/><text class="name" x="{x}" y="{:.1}" text-anchor="{anchor}">{}</text><text class="small" x="{x}" y="{:.1}" text-anchor="{anchor}">{}</text></g>"#,
            escaped(&format!("{name}: {}, {bytes}", lang.count(node.load.channels, "channel"))),
            COLUMNS[n],
            node.y,
            node.height,
            middle - 3.0,
            escaped(&shortened(&name, LABEL_CHARS)),
            middle + 12.5,
            escaped(&below),
        );
    }
}

/// The nodes of a column, those with most bytes first; the others together, last.
fn nodes(keys: &[&str], away: &[&Finding], limit: usize) -> Vec<Placed> {
    let mut loads: BTreeMap<&str, Load> = BTreeMap::new();
    for (key, finding) in keys.iter().zip(away) {
        loads.entry(key).or_default().add(finding);
    }
    let mut order: Vec<(&str, Load)> = loads.into_iter().collect();
    order.sort_by_key(|&(key, load)| (Reverse(load.bytes), Reverse(load.channels), key));
    let placed = |key: Node, load: Load| Placed { key, load, y: 0.0, height: 0.0, used: [0.0; 2] };
    // One that would be the only other is drawn by itself.
    let shown = if order.len() <= limit.saturating_add(1) { order.len() } else { limit };
    let others: BTreeSet<&str> = order.iter().skip(shown).map(|(key, _)| *key).collect();
    let mut column: Vec<Placed> =
        order.iter().take(shown).map(|(key, load)| placed(Some((*key).to_owned()), *load)).collect();
    if !others.is_empty() {
        let mut load = Load::default();
        keys.iter().zip(away).filter(|(key, _)| others.contains(*key)).for_each(|(_, finding)| load.add(finding));
        column.push(placed(None, load));
    }
    column
}

fn name(lang: Lang, column: usize, key: &Node) -> String {
    match (column, key) {
        (_, None) => lang.text("others").to_owned(),
        (1, Some(function)) => lang.text(&format!("function.{function}")).to_owned(),
        (2, Some(code)) => lang.nation(code).to_owned(),
        (_, Some(ip)) => ip.clone(),
    }
}

fn names(lang: Lang, column: usize, from: &Node, to: &Node) -> String {
    format!("{} → {}", name(lang, column, from), name(lang, column + 1, to))
}
