//! The two languages of the page: its sentences, the names of countries, and how numbers, times and lengths of time read.
//!
//! In: keys of `words.tsv` (key, English, Chinese), codes of `nations.tsv` (ISO 3166-1; names of Unicode CLDR), values. Out:
//! text of one language. `{name}` in a sentence is a slot.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;

use crate::report::text::{bytes_text, grouped};

/// A language of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Chinese, simplified characters.
    Zh,
}

type Table = BTreeMap<&'static str, [&'static str; 2]>;

static WORDS: LazyLock<Table> = LazyLock::new(|| table(include_str!("words.tsv")));
static NATIONS: LazyLock<Table> = LazyLock::new(|| table(include_str!("nations.tsv")));

/// Lines of key, English, Chinese.
fn table(text: &'static str) -> Table {
    let rows = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut cells = line.split('\t');
        Some((cells.next()?, [cells.next()?, cells.next()?]))
    });
    rows.collect()
}

/// A sentence in both languages; the key itself where there is none.
pub fn both(key: &str) -> [&str; 2] {
    WORDS.get(key).copied().unwrap_or([key, key])
}

/// Every sentence whose key begins with `prefix`.
pub fn all(prefix: &str) -> impl Iterator<Item = (&'static str, [&'static str; 2])> + '_ {
    WORDS.iter().filter(move |(key, _)| key.starts_with(prefix)).map(|(key, words)| (*key, *words))
}

/// The name of a country or group in both languages; the code itself for what is neither.
pub fn nation(code: &str) -> [&str; 2] {
    match NATIONS.get(code) {
        Some(names) => *names,
        None if code == crate::report::answer::NOWHERE => both("place.unknown"),
        None => WORDS.get(format!("group.{code}").as_str()).copied().unwrap_or([code, code]),
    }
}

impl Lang {
    /// Both.
    pub const ALL: [Lang; 2] = [Lang::En, Lang::Zh];

    /// The word of `--lang`, and the class of what is in this language.
    pub fn code(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::Zh => "zh",
        }
    }

    /// The value of a `lang` attribute.
    pub fn tag(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::Zh => "zh-CN",
        }
    }

    /// The one of two texts that is in this language.
    pub fn of<T: Copy>(self, [en, zh]: [T; 2]) -> T {
        match self {
            Lang::En => en,
            Lang::Zh => zh,
        }
    }

    /// A sentence.
    pub fn text(self, key: &str) -> &str {
        self.of(both(key))
    }

    /// A sentence with its slots filled.
    pub fn fill(self, key: &str, slots: &[(&str, &str)]) -> String {
        fill(self.text(key), slots)
    }

    /// The name of a country or group.
    pub fn nation(self, code: &str) -> &str {
        self.of(nation(code))
    }

    /// A count with its noun: `count.flow` has the forms of one and of many.
    pub fn count(self, n: u64, noun: &str) -> String {
        let form = if n == 1 { "one" } else { "many" };
        self.fill(&format!("count.{noun}.{form}"), &[("n", &grouped(n))])
    }

    /// Bytes with a unit that stays with its number.
    pub fn bytes(self, n: u64) -> String {
        match (self, n) {
            (Lang::Zh, 0..=999) => format!("{n}\u{a0}字节"),
            _ => bytes_text(n).replace(' ', "\u{a0}"),
        }
    }

    /// `2026-11` as a month of the calendar.
    pub fn month(self, month: &str) -> String {
        let Some((year, number)) = month.split_once('-') else { return month.to_owned() };
        let Ok(at) = number.parse::<usize>() else { return month.to_owned() };
        match self {
            Lang::Zh => format!("{year} 年 {at} 月"),
            Lang::En => {
                const NAMES: [&str; 12] =
                    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
                let name = at.checked_sub(1).and_then(|at| NAMES.get(at)).unwrap_or(&number);
                format!("{name} {year}")
            }
        }
    }

    /// A length of time in its largest unit that leaves a number of two digits: `45 s`, `5 min`, `36 h`, `3 days`.
    pub fn duration(self, seconds: u64) -> String {
        let (n, unit) = match seconds {
            0..=119 => (seconds, "s"),
            120..=7_199 => ((seconds + 30) / 60, "min"),
            7_200..=172_799 => ((seconds + 1_800) / 3_600, "h"),
            _ => ((seconds + 43_200) / 86_400, "d"),
        };
        self.fill(&format!("time.{unit}"), &[("n", &n.to_string())])
    }
}

/// Puts values into the slots of a sentence, once each: what is in a value is no slot.
pub fn fill(sentence: &str, slots: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(sentence.len() + 32);
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, behind)) = after.split_once('}') else { break };
        match slots.iter().find(|(slot, _)| *slot == name) {
            Some((_, value)) => out.push_str(value),
            None => out.push_str(&format!("{{{name}}}")),
        }
        rest = behind;
    }
    out + rest
}

/// `2026-11-02T08:00:00.123456789Z` as `2026-11-02 08:00:00`.
pub fn moment(time: &str) -> String {
    time.get(..19).unwrap_or(time).replace('T', " ")
}

/// Seconds since 1970 of an RFC 3339 time.
pub fn seconds(time: &str) -> Option<i64> {
    time.parse::<Timestamp>().ok().map(Timestamp::as_second)
}
