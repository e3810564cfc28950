//! Words as a terminal may show them, and numbers as people read them.
//!
//! In: text from the wire. Out: the same text without anything that moves or hides ([`harmless`]), cut and wrapped by the
//! columns it takes.

use unicode_width::UnicodeWidthChar;

pub use crate::fact::value::harmless;

/// Columns that a harmless text takes.
pub fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

fn columns(character: char) -> usize {
    character.width().unwrap_or_default()
}

/// At most so many columns; a text that was cut ends with `…`.
pub fn shortened(text: &str, columns_max: usize) -> String {
    if width(text) <= columns_max {
        return text.to_owned();
    }
    let mut left = columns_max.saturating_sub(1);
    let kept = text.chars().take_while(|&character| {
        let fits = columns(character) <= left;
        left = left.saturating_sub(columns(character));
        fits
    });
    kept.chain((columns_max > 0).then_some('…')).collect()
}

/// The text in lines of so many columns, cut at blanks where there are some; further lines are indented.
pub fn wrapped(text: &str, columns_max: usize, indent: usize) -> Vec<String> {
    let columns_max = columns_max.max(indent + 8);
    let mut lines = Vec::new();
    let mut line = String::new();
    for (number, word) in text.split(' ').enumerate() {
        if !line.trim().is_empty() && width(&line) + 1 + width(word) > columns_max {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
        } else if number > 0 {
            line.push(' ');
        }
        for character in word.chars() {
            if width(&line) + columns(character) > columns_max {
                lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            }
            line.push(character);
        }
    }
    lines.push(line);
    lines
}

/// `2026-11-02T08:00:00.123456789Z` as `2026-11-02 08:00:00`.
pub fn moment(time: &str) -> String {
    time.get(..19).unwrap_or(time).replace('T', " ")
}

/// `59s`, `12m 03s`, `1h 02m`, `3d 04h`.
pub fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

/// A rate: `0`, `0.3`, `1,234`.
pub fn rate(value: f64) -> String {
    if value > 0.0 && value < 10.0 { format!("{value:.1}") } else { crate::report::text::grouped(value.round() as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_hides_or_turns() {
        assert_eq!(harmless("update.example"), "update.example");
        assert_eq!(harmless("防火墙 Straße"), "防火墙 Straße");
        assert_eq!(harmless("a\u{202e}moc.b"), "a\\u{202e}moc.b");
        assert_eq!(harmless("\x1b[2J\r\n\t\u{9b}"), "\\u{1b}[2J\\u{d}\\u{a}\\u{9}\\u{9b}");
        // A combining accent, a zero-width space, a tag, an isolate, a line separator.
        for hidden in ['\u{301}', '\u{200b}', '\u{e0041}', '\u{2066}', '\u{2028}', '\u{ad}', '\u{feff}', '\u{0}'] {
            assert_eq!(harmless(&format!("a{hidden}b")), format!("a{}b", hidden.escape_unicode()));
        }
    }

    #[test]
    fn every_character_that_is_shown_has_a_width() {
        for character in '\0'..=char::MAX {
            let shown = harmless(&character.to_string());
            assert!(shown.chars().all(|c| matches!(c.width(), Some(1 | 2))), "{character:?}");
        }
    }

    #[test]
    fn texts_are_cut_to_columns() {
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abcdefg", 6), "abcde…");
        assert_eq!(shortened("防火墙墙", 6), "防火…");
        assert_eq!(shortened("abc", 0), "");
        assert_eq!(wrapped("one two three", 8, 0), ["one two", "three"]);
        assert_eq!(wrapped("aaaaaaaaaaaaaaaaaaaa", 10, 2), ["aaaaaaaaaa", "  aaaaaaaa", "  aa"]);
        assert_eq!(wrapped("", 10, 2), [""]);
        assert_eq!(wrapped("  a b", 12, 2), ["  a b"]);
        assert!(wrapped("防火墙防火墙防火墙防火墙", 9, 0).iter().all(|line| width(line) <= 9));
    }

    #[test]
    fn times_are_short() {
        assert_eq!(duration(59), "59s");
        assert_eq!(duration(723), "12m 03s");
        assert_eq!(duration(3_720), "1h 02m");
        assert_eq!(duration(273_600), "3d 04h");
        assert_eq!(moment("2026-11-02T08:00:00.123456789Z"), "2026-11-02 08:00:00");
        assert_eq!((rate(0.0), rate(0.31), rate(1234.4)), ("0".to_owned(), "0.3".to_owned(), "1,234".to_owned()));
    }
}
