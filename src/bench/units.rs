//! Numbers with their units, short enough for a table.
//!
//! In: numbers in base units. Out: text, three significant digits or so.

/// `850 ns`, `12.4 µs`, `1.20 ms`, `3.00 s`.
pub fn time(ns: f64) -> String {
    scaled(ns, &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")])
}

/// `512 B`, `12.4 kB`, `1.20 GB`.
pub fn bytes(n: f64) -> String {
    scaled(n, &[(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")])
}

/// `2.61 M`, `850 k`: a count without its noun.
pub fn amount(n: f64) -> String {
    scaled(n, &[(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")]).trim_end().to_owned()
}

/// Any number: `0.42`, `42.0`, `2.61 M`.
pub fn value(n: f64) -> String {
    if n.abs() < 999.5 { digits(n) } else { amount(n) }
}

/// `12 %`, `0.4 %`.
pub fn percent(part: f64) -> String {
    let value = part * 100.0;
    if value.abs() >= 9.95 || value == 0.0 { format!("{value:.0} %") } else { format!("{value:.1} %") }
}

/// Three significant digits: `0.42`, `4.20`, `42.0`, `420`.
pub fn digits(n: f64) -> String {
    match n.abs() {
        x if x >= 99.95 => format!("{n:.0}"),
        x if x >= 9.995 => format!("{n:.1}"),
        _ => format!("{n:.2}"),
    }
}

/// `2026-01-05T10:20:30.123Z` as `2026-01-05 10:20 UTC`.
pub fn moment(time: &str) -> String {
    time.get(..16).map_or(time.to_owned(), |minutes| format!("{} UTC", minutes.replace('T', " ")))
}

fn scaled(n: f64, units: &[(f64, &str)]) -> String {
    // Rounding must not give 1000 of a unit.
    let fits = |&&(size, _): &&(f64, &str)| n.abs() >= size * 0.9995;
    match units.iter().find(fits).or(units.last()) {
        Some(&(1.0, unit)) => format!("{n:.0} {unit}"),
        Some(&(size, unit)) => format!("{} {unit}", digits(n / size)),
        None => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_suit_the_size() {
        assert_eq!(time(850.0), "850 ns");
        assert_eq!(time(12_400.0), "12.4 µs");
        assert_eq!(time(1_200_000.0), "1.20 ms");
        assert_eq!(time(3e9), "3.00 s");
        assert_eq!(time(999.96), "1.00 µs");
        assert_eq!(bytes(1.2e9), "1.20 GB");
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(amount(2_612_345.0), "2.61 M");
        assert_eq!(amount(42.0), "42");
        assert_eq!([value(4.2), value(2_612_345.0)], ["4.20", "2.61 M"]);
        assert_eq!(percent(0.004), "0.4 %");
        assert_eq!(percent(0.12), "12 %");
        assert_eq!(moment("2026-01-05T10:20:30.123Z"), "2026-01-05 10:20 UTC");
    }
}
