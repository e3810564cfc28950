//! Plots as inline SVG: bars with ranges, percentiles on a logarithmic axis, stacked shares.
//!
//! In: labels and numbers. Out: an `<svg>` element. Colours are classes of the page around it (`s1` to `s8`), so that it
//! follows light and dark; labels are escaped here. Every plot has one row a workload, so no label hides another.

use std::fmt::Write;

use super::spread::Spread;
pub use crate::report::markup::escaped;

/// Width of every plot; the page scales it.
const WIDTH: f64 = 880.0;
/// Where rows begin and end: room for names before, for values behind.
const LEFT: f64 = 148.0;
const RIGHT: f64 = 800.0;
/// Height of an axis with its numbers and title.
const AXIS: f64 = 46.0;
/// Room above the first row.
const TOP: f64 = 8.0;
/// Longest name of a row, in characters.
const NAME_CHARS_MAX: usize = 22;

/// A bar with the range of its runs.
pub struct Bar {
    /// Its colour: a class of the page.
    pub class: String,
    /// What a pointer shows.
    pub title: String,
    /// Its length and whisker.
    pub value: Spread,
    /// Printed behind it.
    pub text: String,
}

/// Groups of horizontal bars from zero, one group a row.
pub fn bars(label: &str, unit: &str, tick: &dyn Fn(f64) -> String, groups: &[(String, Vec<Bar>)]) -> String {
    const BAR: f64 = 15.0;
    const GAP: f64 = 2.0;
    const PAUSE: f64 = 16.0;
    let most = groups.iter().flat_map(|(_, bars)| bars).map(|bar| bar.value.max).fold(0.0, f64::max);
    let axis = Linear::up_to(most);
    let rows: f64 = groups.iter().map(|(_, bars)| bars.len() as f64 * (BAR + GAP) + PAUSE).sum();
    let bottom = TOP + rows;
    let mut svg = begin(label, bottom + AXIS);
    for value in axis.ticks() {
        grid(&mut svg, axis.x(value), bottom, &tick(value));
    }
    let mut y = TOP + PAUSE / 2.0;
    for (name, bars) in groups {
        let height = bars.len() as f64 * (BAR + GAP) - GAP;
        row_name(&mut svg, y + height / 2.0, name);
        for bar in bars {
            let (end, middle) = (axis.x(bar.value.median), y + BAR / 2.0);
            let (from, to) = (axis.x(bar.value.min), axis.x(bar.value.max));
            let _ = write!(
                svg,
                r#"<g><title>{}</title><path class="{}" d="M{LEFT} {y}H{:.1}q3 0 3 3v{:.1}q0 3 -3 3H{LEFT}z"/><path class="whisker" d="M{from:.1} {middle}H{to:.1}M{from:.1} {:.1}v6M{to:.1} {:.1}v6"/><text class="value" x="{:.1}" y="{:.1}">{}</text></g>"#,
                escaped(&bar.title),
                bar.class,
                (end - 3.0).max(LEFT),
                BAR - 6.0,
                middle - 3.0,
                middle - 3.0,
                to.max(end) + 7.0,
                middle + 4.0,
                escaped(&bar.text),
            );
            y += BAR + GAP;
        }
        y += PAUSE;
    }
    base(&mut svg, bottom);
    axis_title(&mut svg, bottom, unit);
    svg + "</svg>"
}

/// Rising marks of one row on a logarithmic axis, joined by a line: (name, value, value as text).
pub type Marks = Vec<(&'static str, f64, String)>;

/// Percentiles by row, logarithmic.
pub fn percentiles(label: &str, unit: &str, tick: &dyn Fn(f64) -> String, rows: &[(String, Marks)]) -> String {
    const ROW: f64 = 34.0;
    let values = || rows.iter().flat_map(|(_, marks)| marks).map(|(_, value, _)| value.max(1.0));
    let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(1.0, f64::max));
    let (low, high) = (least.min(most).log10().floor(), most.log10().ceil().max(least.min(most).log10().floor() + 1.0));
    let x = |value: f64| LEFT + (value.max(1.0).log10() - low) / (high - low) * (RIGHT - LEFT);
    let bottom = TOP + ROW * rows.len() as f64;
    let mut svg = begin(label, bottom + AXIS);
    for decade in low as i32..=high as i32 {
        let value = 10_f64.powi(decade);
        grid(&mut svg, x(value), bottom, &tick(value));
    }
    for (at, (name, marks)) in rows.iter().enumerate() {
        let y = TOP + ROW * (at as f64 + 0.5);
        row_name(&mut svg, y, name);
        let (Some(first), Some(last)) = (marks.first(), marks.last()) else { continue };
        let _ = write!(svg, r#"<path class="span" d="M{:.1} {y}H{:.1}"/>"#, x(first.1), x(last.1));
        // The rarer the slower: drawn last, so that the common one stays visible.
        for (step, (name, value, text)) in marks.iter().enumerate().rev() {
            let _ = write!(
                svg,
                r#"<circle class="r{}" cx="{:.1}" cy="{y}" r="6"><title>{name}: {}</title></circle>"#,
                step + 1,
                x(*value),
                escaped(text)
            );
        }
        let _ = write!(
            svg,
            r#"<text class="value" x="{:.1}" y="{:.1}">{}</text>"#,
            x(last.1) + 11.0,
            y + 4.0,
            escaped(&last.2)
        );
    }
    base(&mut svg, bottom);
    axis_title(&mut svg, bottom, unit);
    svg + "</svg>"
}

/// A part of a stacked bar: class, what a pointer shows, share.
pub type Part = (String, String, f64);

/// Stacked bars that each add up to a whole.
pub fn shares(label: &str, unit: &str, rows: &[(String, Vec<Part>)]) -> String {
    const ROW: f64 = 36.0;
    const BAR: f64 = 22.0;
    /// Parts below this have no room for their number.
    const NUMBER_SHARE_MIN: f64 = 0.055;
    let width = RIGHT - LEFT;
    let bottom = TOP + ROW * rows.len() as f64;
    let mut svg = begin(label, bottom + AXIS);
    for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
        grid(&mut svg, LEFT + part * width, bottom, &format!("{:.0} %", part * 100.0));
    }
    for (at, (name, parts)) in rows.iter().enumerate() {
        let y = TOP + ROW * at as f64 + (ROW - BAR) / 2.0;
        row_name(&mut svg, y + BAR / 2.0, name);
        let mut x = LEFT;
        for (class, title, share) in parts.iter().filter(|(_, _, share)| *share > 0.0) {
            let long = share * width;
            let _ = write!(
                svg,
                r#"<g><title>{}</title><rect class="{class}" x="{x:.1}" y="{y}" width="{:.1}" height="{BAR}"/>"#,
                escaped(title),
                (long - 2.0).max(0.5),
            );
            if *share >= NUMBER_SHARE_MIN {
                let (middle, base) = (x + long / 2.0 - 1.0, y + BAR / 2.0 + 4.0);
                let _ =
                    write!(svg, r#"<text class="on-{class}" x="{middle:.1}" y="{base}">{:.0}</text>"#, share * 100.0);
            }
            svg += "</g>";
            x += long;
        }
    }
    axis_title(&mut svg, bottom, unit);
    svg + "</svg>"
}

/// An axis from zero with round numbers.
struct Linear {
    step: f64,
    steps: u32,
}

impl Linear {
    fn up_to(most: f64) -> Linear {
        let most = if most > 0.0 { most } else { 1.0 };
        let rough = most / 5.0;
        let size = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * size).into_iter().find(|&step| step >= rough * 0.999);
        let step = step.unwrap_or(rough);
        Linear { step, steps: (most / step).ceil() as u32 }
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        (0..=self.steps).map(|n| f64::from(n) * self.step)
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + value / (self.step * f64::from(self.steps)) * (RIGHT - LEFT)
    }
}

fn begin(label: &str, height: f64) -> String {
    format!(r#"<svg viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{}">"#, escaped(label))
}

fn grid(svg: &mut String, x: f64, bottom: f64, text: &str) {
    let _ = write!(
        svg,
        r#"<path class="grid" d="M{x:.1} {TOP}V{bottom}"/><text class="tick" x="{x:.1}" y="{:.1}">{}</text>"#,
        bottom + 17.0,
        escaped(text)
    );
}

fn base(svg: &mut String, bottom: f64) {
    let _ = write!(svg, r#"<path class="base" d="M{LEFT} {TOP}V{bottom}"/>"#);
}

fn axis_title(svg: &mut String, bottom: f64, unit: &str) {
    let middle = (LEFT + RIGHT) / 2.0;
    let _ = write!(svg, r#"<text class="tick" x="{middle}" y="{:.1}">{}</text>"#, bottom + 38.0, escaped(unit));
}

/// The name of a row; the end of a path tells more than its beginning.
fn row_name(svg: &mut String, middle: f64, name: &str) {
    let count = name.chars().count();
    let mut shown: String = name.chars().skip(count.saturating_sub(NAME_CHARS_MAX - 1)).collect();
    shown = if count <= NAME_CHARS_MAX { name.to_owned() } else { format!("…{shown}") };
    let _ = write!(
        svg,
        r#"<text class="name" x="{:.1}" y="{:.1}">{}<title>{}</title></text>"#,
        LEFT - 12.0,
        middle + 4.0,
        escaped(&shown),
        escaped(name)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers_and_hold_the_most() {
        for most in [0.0, 0.7, 1.0, 4.9, 5.1, 12.0, 99.0, 5_950_000.0] {
            let axis = Linear::up_to(most);
            let last = axis.ticks().last().unwrap_or_default();
            assert!(last >= most && (3..=6).contains(&axis.steps), "{most}: {last} in {} steps", axis.steps);
            assert!(axis.x(most) <= RIGHT + 1e-6);
        }
    }

    #[test]
    fn names_are_escaped_and_cut_at_their_beginning() {
        let mut svg = String::new();
        row_name(&mut svg, 0.0, "a/very/long/folder/of/captures/<b>.pcap");
        assert!(svg.contains("&lt;b&gt;.pcap<title>a/very") && !svg.contains("<b>"), "{svg}");
        assert!(svg.contains(">…"), "{svg}");
    }

    #[test]
    fn nothing_measured_is_drawn_without_trouble() {
        for svg in [
            bars("l", "u", &|v| v.to_string(), &[]),
            percentiles("l", "u", &|v| v.to_string(), &[]),
            percentiles("l", "u", &|v| v.to_string(), &[("a".to_owned(), vec![("p50", 0.0, String::new())])]),
            shares("l", "u", &[]),
        ] {
            assert!(svg.ends_with("</svg>") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
