//! Limits: every constant `…_MAX` of the source that bounds a container or an input is reached by a test.
//!
//! A test reaches a limit when it names the constant, or when a row of `REACHED` names the test and a number that it
//! writes: no less than the limit. Four that would take millions of hosts and names, or gigabytes of evidence, are
//! arguments of what they bound: their tests name them and go beyond smaller ones. What bounds no memory is in the lists of
//! `limits/lists.rs`, with the reason. `limits/sums.rs`, `limits/parsers.rs` and `limits/files.rs` reach what nobody else
//! does: each sees the counter, the flag or the message, and that no more is kept than the limit says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "limits/files.rs"]
mod files;
#[path = "limits/lists.rs"]
mod lists;
#[path = "limits/parsers.rs"]
mod parsers;
#[path = "limits/sums.rs"]
mod sums;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lists::{LAYOUT, MEASURING, REACHED, STANDARD};

/// A constant that is a limit.
struct Limit {
    /// Its file, below `src`.
    file: String,
    name: String,
    public: bool,
    /// What it is, when that is a number.
    value: Option<u128>,
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Name below a folder, and text, of every source file in it.
fn texts(folder: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    files(&root, &mut found);
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// What stands before the tests beside the code, and those tests.
fn apart(text: &str) -> (&str, &str) {
    let begins = ["#[cfg(test)]\nmod tests {", "#[cfg(test)]\npub(crate) mod tests {"];
    begins.iter().find_map(|begin| text.split_once(begin)).unwrap_or((text, ""))
}

fn is_test(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/")
}

/// A number as it is written in the source: decimal or hex, shifts, products and sums, from the left.
fn number(text: &str) -> Option<u128> {
    let mut value = None;
    let mut operator = "";
    for word in text.split_whitespace() {
        if ["<<", "*", "+"].contains(&word) {
            operator = word;
            continue;
        }
        let digits = word.replace('_', "");
        let next = match digits.strip_prefix("0x") {
            Some(hex) => u128::from_str_radix(hex, 16).ok()?,
            None => digits.parse().ok()?,
        };
        value = Some(match (value, operator) {
            (None, "") => next,
            (Some(before), "<<") => before << next,
            (Some(before), "*") => before * next,
            (Some(before), "+") => before + next,
            _ => return None,
        });
    }
    value
}

fn limits(sources: &BTreeMap<String, String>) -> Vec<Limit> {
    let mut all = Vec::new();
    for (file, text) in sources.iter().filter(|(file, _)| !is_test(file)) {
        for line in apart(text).0.lines() {
            let Some((before, rest)) = line.split_once("const ") else { continue };
            let Some((name, rest)) = rest.split_once(':') else { continue };
            let Some((_, value)) = rest.split_once(" = ") else { continue };
            if !name.ends_with("_MAX") || before.contains("//") {
                continue;
            }
            let value = number(value.split(';').next().unwrap());
            all.push(Limit { file: file.clone(), name: name.to_owned(), public: before.contains("pub"), value });
        }
    }
    all
}

/// Whether a word stands in a text, not as part of a longer one.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(part) && !text[at + word.len()..].chars().next().is_some_and(part)
    })
}

/// Whether a test names it: one of its own file or of the folder it is in, or, when it is public, one of `tests`.
fn is_named(limit: &Limit, sources: &BTreeMap<String, String>, tests: &BTreeMap<String, String>) -> bool {
    let module = limit.file.trim_end_matches(".rs").trim_end_matches("/mod");
    let folder = module.rsplit_once('/').map_or("", |(folder, _)| folder);
    let near = sources.iter().any(|(file, text)| {
        let beside = [module, folder].iter().any(|at| !at.is_empty() && file.starts_with(&format!("{at}/tests")));
        beside && has_word(text, &limit.name) || file == &limit.file && has_word(apart(text).1, &limit.name)
    });
    near || limit.public && tests.values().any(|text| has_word(text, &limit.name))
}

/// The text of a test, with what stands behind it up to the next.
fn test<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let at = text.find(&format!("fn {name}("))?;
    let rest = &text[at..];
    Some(rest.split("#[test]").next().unwrap())
}

/// What is wrong with a row of `REACHED`.
fn wrong_row(
    limit: &Limit,
    (file, name, written): (&str, &str, &str),
    sources: &BTreeMap<String, String>,
    tests: &BTreeMap<String, String>,
) -> Option<String> {
    let text =
        file.strip_prefix("src/").map_or_else(|| tests.get(file.strip_prefix("tests/")?), |file| sources.get(file));
    let Some(test) = text.and_then(|text| test(text, name)) else { return Some(format!("{file} has no {name}")) };
    if !has_word(test, written) {
        return Some(format!("{name} does not write {written}"));
    }
    let (limit, written) = (limit.value?, number(written)?);
    (written < limit).then(|| format!("{name} writes {written}, the limit is {limit}"))
}

#[test]
fn every_limit_is_reached_or_in_a_list() {
    let sources = texts("src");
    let mut tests = texts("tests");
    // Names in here are those of the lists.
    tests.retain(|file, _| file != "limits.rs" && file != "limits/lists.rs");
    let all = limits(&sources);
    assert!(all.len() > 300, "{} limits: are they found at all?", all.len());
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for limit in &all {
        let row = REACHED.iter().find(|row| row.0 == limit.file && row.1 == limit.name);
        let listed = |list: &[(&str, &[&str])]| {
            list.iter().any(|(file, names)| *file == limit.file && names.contains(&limit.name.as_str()))
        };
        let places = [
            ("named by a test", is_named(limit, &sources, &tests)),
            ("reached", row.is_some()),
            ("standard", listed(STANDARD)),
            ("layout", listed(LAYOUT)),
            ("measuring", MEASURING.iter().any(|folder| limit.file.starts_with(folder))),
        ];
        let places: Vec<&str> = places.into_iter().filter(|(_, is_there)| *is_there).map(|(place, _)| place).collect();
        match places.as_slice() {
            [place] => *counts.entry(place).or_default() += 1,
            _ => wrong.push(format!("{} {}: in {places:?}, not in one", limit.file, limit.name)),
        }
        let row =
            row.and_then(|&(_, _, file, name, written)| wrong_row(limit, (file, name, written), &sources, &tests));
        wrong.extend(row.map(|row| format!("{} {}: {row}", limit.file, limit.name)));
    }
    let is_there = |file: &str, name: &str| all.iter().any(|limit| limit.file == file && limit.name == name);
    let lists = [STANDARD, LAYOUT].into_iter().flatten();
    let listed = lists.flat_map(|(file, names)| names.iter().map(move |name| (*file, *name)));
    for (file, name) in listed.chain(REACHED.iter().map(|row| (row.0, row.1))) {
        if !is_there(file, name) {
            wrong.push(format!("{file} {name}: is listed and is no limit"));
        }
    }
    println!("{} limits: {counts:?}", all.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The check itself can fail.
#[test]
fn numbers_and_words_are_read_as_they_are_written() {
    for (text, value) in
        [("64 << 20", 64 << 20), ("16 * 1024", 16_384), ("16_384 + 2_048", 18_432), ("0x2_0000", 0x2_0000)]
    {
        assert_eq!(number(text), Some(value), "{text}");
    }
    assert_eq!((number("A * 2"), number("0.5"), number("")), (None, None, None));
    assert!(
        has_word("a LINES_MAX + 1", "LINES_MAX") && !has_word("OF_LINES_MAX", "LINES_MAX") && !has_word("1024", "102")
    );
    let limit = |value| Limit { file: "a.rs".into(), name: "A_MAX".into(), public: false, value: Some(value) };
    let sources = BTreeMap::from([("a.rs".to_owned(), "fn it() { reach(65) }\n#[test]\nfn other() { 7 }".to_owned())]);
    let wrong =
        |value, name, written| wrong_row(&limit(value), ("src/a.rs", name, written), &sources, &BTreeMap::new());
    assert_eq!(wrong(64, "it", "65"), None);
    assert!(wrong(66, "it", "65").is_some() && wrong(64, "it", "66").is_some() && wrong(64, "is", "65").is_some());
    assert!(wrong(7, "it", "7").is_some(), "that is another test");
    assert!(!is_named(&limit(64), &sources, &BTreeMap::new()));
}
