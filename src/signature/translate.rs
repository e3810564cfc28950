//! From the numbers of some signatures to those of others: what was judged before they were read again.
//!
//! In: two sets of signatures, or the keys that were written down with one of them. Out: for a `when` block the same one
//! among the others; when it was changed, another of the same entry; nothing when the entry is gone.

use std::fmt::Write;

use super::{Signatures, WhenId, WhenRef};
use crate::merge::Map;

impl WhenRef<'_> {
    /// Tells the same block in other files: the entry and all that is asked for, without lines.
    pub fn key(&self) -> String {
        let mut key = self.entry.id.clone();
        for condition in &self.when.conditions {
            // Writing to a string cannot fail.
            let _ = write!(key, " {}", condition.word);
            for pattern in &condition.patterns {
                let _ = write!(key, "={pattern}");
            }
        }
        for from in &self.when.from {
            let _ = write!(key, " from={from}");
        }
        key
    }
}

/// Finds `when` blocks by their keys.
pub struct Translator {
    by_key: Map<String, WhenId>,
    by_entry: Map<String, WhenId>,
}

impl Translator {
    /// To the numbers of these signatures.
    pub fn to(signatures: &Signatures) -> Translator {
        let (mut by_key, mut by_entry) = (Map::default(), Map::default());
        for number in 0..signatures.index.len() as WhenId {
            let Some(when) = signatures.when(number) else { continue };
            by_entry.entry(when.entry.id.clone()).or_insert(number);
            by_key.entry(when.key()).or_insert(number);
        }
        Translator { by_key, by_entry }
    }

    /// The number of the block with this key.
    pub fn find(&self, key: &str) -> Option<WhenId> {
        let id = key.split(' ').next().unwrap_or(key);
        self.by_key.get(key).or_else(|| self.by_entry.get(id)).copied()
    }

    /// For every number of other signatures the number here.
    pub fn table(&self, others: &Signatures) -> Vec<Option<WhenId>> {
        (0..others.index.len() as WhenId).map(|number| self.find(&others.when(number)?.key())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(date: &str, names: &[&str]) -> String {
        let mut text = format!("format = 1\nvendor = \"Example\"\nchecked = {date}\n");
        for name in names {
            text += &format!(
                "[[channel]]\nid = \"example.{name}\"\nproduct = \"Example\"\nfunction = \"update\"\ndata = []\n\
                 basis = \"inferred\"\nsource = [\"https://example.com\"]\n\
                 [[channel.when]]\nhost = \"{name}.example.com\"\nregion = \"any\"\nconfidence = 95\n\
                 [[channel.example]]\ntls.sni = \"{name}.example.com\"\nregion = \"any\"\n\
                 [[channel.counterexample]]\nwhy = \"another\"\ntls.sni = \"{name}.example.org\"\n"
            );
        }
        text
    }

    fn read(text: &str) -> Signatures {
        Signatures::from_texts(vec![("example.toml", text)]).unwrap()
    }

    #[test]
    fn blocks_are_found_wherever_they_stand() {
        let old = read(&text("2026-01-01", &["a", "b", "c"]));
        let new = read(&text("2026-02-01", &["c", "d", "a"]));
        let table = Translator::to(&new).table(&old);
        assert_eq!(table, [Some(2), None, Some(0)]);
    }

    #[test]
    fn a_block_that_was_changed_is_another_of_its_entry() {
        let old = read(&text("2026-01-01", &["a", "b"]));
        let new = read(&text("2026-01-01", &["b", "a"]).replace("\"a.example.com", "\"aa.example.com"));
        assert_eq!(Translator::to(&new).table(&old), [Some(1), Some(0)]);
    }
}
