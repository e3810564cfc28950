//! The words of the page are whole: in both languages, for everything that the code can say.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::lang::{self, Lang};
use super::*;
use crate::decode::REASONS;
use crate::place::{Country, GROUPS, Places, Region};
use crate::policy::{CrossingInput, Direction, crossing};
use crate::record::Crossing;
use crate::signature::words::{Basis, Data, Function};

fn slots(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
}

/// Keys in quotes behind a call, `t("…"` or `word('…'`.
fn keys<'a>(text: &'a str, call: &str, quote: char) -> Vec<&'a str> {
    text.split(call).skip(1).filter_map(|rest| rest.split(quote).next()).filter(|key| !key.is_empty()).collect()
}

fn source(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path)).unwrap()
}

#[test]
fn every_sentence_has_both_languages_and_the_same_slots() {
    let mut seen = BTreeSet::new();
    for line in include_str!("words.tsv").lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [key, en, zh] = cells[..] else { panic!("{line}: not three cells") };
        assert!(seen.insert(key), "{key} is there twice");
        assert!(!en.is_empty() && (!zh.is_empty() || key == "gap"), "{key} is empty");
        assert_eq!(slots(en), slots(zh), "{key}");
        let chinese = zh.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        let same = [
            "gap",
            "list",
            "comma",
            "answer.place",
            "method.origin",
            "ui.language",
            "data.url",
            "reason.link.arp",
            "reason.link.lldp",
        ];
        assert!(chinese || same.contains(&key), "{key}: {zh}");
    }
}

#[test]
fn every_key_that_is_used_is_there() {
    let mut used: BTreeSet<String> = BTreeSet::new();
    for (_, template, _) in SECTIONS.iter().chain([&("page", PAGE, false)]) {
        used.extend(keys(template, "t(\"", '"').into_iter().map(str::to_owned));
    }
    for file in ["flow", "world", "timeline", "recipients", "sections", "lang"] {
        let text = source(&format!("report/html/{file}.rs"));
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for call in ["lang.text(\"", "lang.fill(\"", "pair(lang, \"", "both(\""] {
            used.extend(keys(text, call, '"').into_iter().map(str::to_owned));
        }
        for noun in keys(text, "lang.count(", ')').iter().filter_map(|call| call.rsplit('"').nth(1)) {
            used.extend([format!("count.{noun}.one"), format!("count.{noun}.many")]);
        }
    }
    used.extend(keys(SCRIPT, "word('", '\'').into_iter().map(str::to_owned));
    let known: BTreeSet<&str> = lang::all("").map(|(key, _)| key).collect();
    // A beginning is filled up by the value; those words are looked at below.
    let lost: Vec<&String> =
        used.iter().filter(|key| !key.ends_with(['.', '-']) && !known.contains(key.as_str())).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn every_word_of_the_records_has_its_text() {
    let mut words: Vec<String> = Vec::new();
    words.extend(Function::ALL.iter().map(|word| format!("function.{}", word.name())));
    words.push(format!("function.{UNEXPLAINED}"));
    words.extend(Data::ALL.iter().map(|word| format!("data.{}", word.name())));
    words.extend(Basis::ALL.iter().map(|word| format!("basis.{}", word.name())));
    words.extend(["declared", "address", "embedded-address", "special", "unknown"].map(|word| format!("basis.{word}")));
    words.extend(["high", "medium", "low", "info", "exempt"].map(|word| format!("severity.{word}")));
    words.extend(["outbound", "inbound"].map(|word| format!("direction.{word}")));
    words.extend(Crossing::ALL.iter().flat_map(|word| {
        ["crossing", "crossing-note", "crossing-long"].map(|about| format!("{about}.{}", word.name()))
    }));
    words.extend(REASONS.iter().map(|(_, name)| format!("reason.{name}")));
    words.extend(GROUPS.iter().map(|group| format!("group.{}", group.name)));
    words.extend(SECTIONS.iter().filter(|(_, _, nav)| *nav).map(|(id, _, _)| format!("nav.{id}")));
    let known: BTreeSet<&str> = lang::all("").map(|(key, _)| key).collect();
    let lost: Vec<&String> = words.iter().filter(|word| !known.contains(word.as_str())).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

fn countries() -> Vec<Country> {
    let letters = || b'A'..=b'Z';
    letters().flat_map(|a| letters().filter_map(move |b| Country::from_code([a, b]))).collect()
}

#[test]
fn every_country_has_two_names_and_one_tile() {
    let countries = countries();
    assert_eq!(countries.len(), 250);
    let mut tiles: Vec<&str> = world::tiles().map(|(code, _, _)| code).collect();
    tiles.sort_unstable();
    let codes: Vec<&str> = countries.iter().map(Country::code).collect();
    assert_eq!(tiles, codes, "the grid has every code once");
    for code in codes {
        let [en, zh] = lang::nation(code);
        assert!(en != code && zh != code && en != zh, "{code}");
    }
    assert_eq!(lang::nation("CN"), ["China", "中国"]);
    assert_eq!(lang::nation("EU"), ["European Union", "欧盟"]);
    assert_eq!(lang::nation("??")[0], "No fixed or known place");
}

/// Sentences in the source: literals that begin as a sentence does and end as one, or say what a policy exempts.
fn sentences(path: &str) -> Vec<String> {
    let text = source(path);
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let code = code.replace("\\\"", "");
    let literals = code.split('"').skip(1).step_by(2).map(str::to_owned);
    literals.filter(|text| text.contains(' ') && (text.ends_with('.') || text.contains(": {"))).collect()
}

/// A literal with something in its slots.
fn sample(literal: &str) -> String {
    let about = "192.0.2.1 is a special address (Documentation, RFC 5737)";
    let mut out = literal.replace("{about}", about);
    while let (Some(from), Some(to)) = (out.find('{'), out.find('}')) {
        out.replace_range(from..=to, "X");
    }
    out
}

#[test]
fn every_reason_in_the_source_has_its_pattern() {
    let mut found = 0;
    for path in ["policy/crossing.rs", "policy/mod.rs", "place/mod.rs", "join/findings.rs"] {
        for literal in sentences(path) {
            let said = sample(&literal);
            // What is no reason of a finding: lines of `where`, messages, and parts of the next sentence.
            let other = ["X:", "basis: X", "source: X", "anycast source: X"];
            if other.iter().any(|start| said.starts_with(start)) {
                continue;
            }
            let said =
                if said == "The vendor says X." { "The vendor says that this name is served from X." } else { &said };
            assert!(why::chinese(said).is_some(), "{path}: {literal}");
            found += 1;
        }
    }
    assert!(found >= 20, "{found} sentences");
}

#[test]
fn every_reason_that_is_given_has_its_pattern() {
    let places = Places::builtin();
    let homes = [Country::from_word("CN").unwrap()];
    let addresses: Vec<Option<IpAddr>> = [
        "8.8.8.8",
        "223.5.5.5",
        "104.18.10.20",
        "10.0.0.1",
        "192.88.99.1",
        "2002:808:808::1",
        "64:ff9b::808:808",
        "2001:4860:4860::8888",
        "240.0.0.1",
        "fe80::1",
    ]
    .iter()
    .map(|address| Some(address.parse().unwrap()))
    .chain([None])
    .collect();
    let regions = [None, Some("any"), Some("US"), Some("CN"), Some("EU"), Some("ASEAN")];
    let regions = regions.map(|word| word.and_then(Region::from_word));
    let mut seen = BTreeSet::new();
    for address in addresses {
        for region in regions {
            let place = places.decide(region, address, &homes);
            for flags in 0..64_u8 {
                let is = |bit: u8| flags & (1 << bit) > 0;
                let input = CrossingInput {
                    place: &place,
                    address,
                    name: is(0).then_some("name.example"),
                    direction: if is(1) { Direction::Inbound } else { Direction::Outbound },
                    payload_out: [0, 1, 1204][usize::from(flags) % 3],
                    payload_in: [0, 70_000][usize::from(flags) / 3 % 2],
                    handshake_only: is(2),
                    name_only: is(3) && is(4),
                    via_proxy: is(4),
                    hidden_name: is(5),
                    sources_disagree: is(2),
                };
                seen.extend(crossing(&input).1);
            }
        }
    }
    let lost: Vec<&String> = seen.iter().filter(|why| why::chinese(why).is_none()).take(5).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(seen.len() > 40, "{} reasons", seen.len());
}

#[test]
fn numbers_and_times_read_as_they_do_in_each_language() {
    assert_eq!(Lang::Zh.month("2026-03"), "2026 年 3 月");
    assert_eq!(Lang::En.month("2026-03"), "Mar 2026");
    assert_eq!(Lang::En.duration(90), "90 s");
    assert_eq!(Lang::En.duration(300), "5 min");
    assert_eq!(Lang::Zh.duration(86_400), "24 小时");
    assert_eq!(Lang::Zh.duration(604_800), "7 天");
    assert_eq!(Lang::En.count(1, "flow"), "1 flow");
    assert_eq!(lang::fill("{a} and {b}", &[("a", "{b}"), ("b", "x")]), "{b} and x");
    assert_eq!(lang::moment("2026-11-02T08:00:00.123456789Z"), "2026-11-02 08:00:00");
}
