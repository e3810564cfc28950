//! Signatures: who a host is, what a flow is for, said in files that people can read.
//!
//! In: the built-in files of `signatures/` and those of a folder. Out: [`Signatures`], which say of
//! the facts of a flow which identities and channels match. `file` has the types of a file and
//! `read` fills them, strictly; `pattern` is one value of a condition, `index` finds what matches,
//! `select` chooses, `check` looks for mistakes, `print` shows the files to people, `words` are the
//! closed lists. `signatures/README.md` describes the format.

pub mod check;
pub mod file;
pub mod index;
pub mod pattern;
pub mod print;
mod read;
pub mod select;
pub mod words;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::fmt::{self, Write as _};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::record::normal_name;

pub use check::Report;
pub use file::{Entry, Mistake, VendorFile, When};
pub use index::{Index, WhenId};
pub use select::{Evidence, FlowValues, Hit, Scratch, Verdicts};

/// The files that are built in, one line a vendor, by name.
const BUILTIN: &[(&str, &str)] = &[
    ("check-point.toml", include_str!("../../signatures/check-point.toml")),
    ("fortinet.toml", include_str!("../../signatures/fortinet.toml")),
    ("palo-alto.toml", include_str!("../../signatures/palo-alto.toml")),
    ("vmware.toml", include_str!("../../signatures/vmware.toml")),
];

/// Files read from one folder.
pub const DIR_FILES_MAX: usize = 1024;

/// The names of the built-in files.
pub fn builtin_names() -> Vec<&'static str> {
    BUILTIN.iter().map(|(name, _)| *name).collect()
}

/// All signatures of one run.
#[derive(Debug)]
pub struct Signatures {
    /// The files, by name.
    pub files: Vec<VendorFile>,
    /// Their patterns.
    pub index: Index,
    /// SHA-256 of all files, in lower-case hex: for each, by name, its name, a zero byte, its
    /// length in eight bytes big-endian, and its bytes.
    pub digest: String,
}

/// Why signatures were not loaded: every mistake that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub Vec<Mistake>);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_char('\n')?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// A `when` block with what stands around it.
#[derive(Clone, Copy, Debug)]
pub struct WhenRef<'a> {
    /// Its file.
    pub file: &'a VendorFile,
    /// Its entry.
    pub entry: &'a Entry,
    /// The block.
    pub when: &'a When,
}

impl WhenRef<'_> {
    /// `file:line` of the block.
    pub fn matched(&self) -> String {
        format!("{}:{}", self.file.file, self.when.line)
    }
}

impl Signatures {
    /// The built-in files. They are not checked here: tests do that.
    ///
    /// # Errors
    /// Only when a built-in file cannot be read, which tests rule out.
    pub fn builtin() -> Result<Signatures, Refused> {
        Signatures::from_texts(BUILTIN.iter().map(|(name, text)| (*name, *text)).collect())
    }

    /// The built-in files and the `.toml` files of a folder; one with a vendor that is built in
    /// replaces it. All are checked.
    ///
    /// # Errors
    /// Every mistake: files that cannot be read, and what [`check::check`] calls an error.
    pub fn with_dir(dir: &Path) -> Result<Signatures, Refused> {
        let read = read_dir(dir).map_err(|mistake| Refused(vec![mistake]))?;
        let mut mistakes = Vec::new();
        let mut vendors = Vec::new();
        for (name, text) in &read {
            match file::parse(name, text) {
                Ok(file) => vendors.push(file.vendor.to_lowercase()),
                Err(found) => mistakes.extend(found),
            }
        }
        if !mistakes.is_empty() {
            return Err(Refused(mistakes));
        }
        let mut texts: Vec<(&str, &str)> = read.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        for (name, text) in BUILTIN {
            let vendor = file::parse(name, text).map_err(Refused)?.vendor.to_lowercase();
            if vendors.contains(&vendor) {
                continue;
            }
            if texts.iter().any(|(other, _)| other == name) {
                let reason = "this is the name of a built-in file of another vendor; use another one".to_owned();
                return Err(Refused(vec![Mistake { file: (*name).to_owned(), line: 0, reason }]));
            }
            texts.push((name, text));
        }
        let signatures = Signatures::from_texts(texts)?;
        let errors = signatures.check(None).errors();
        if errors.is_empty() { Ok(signatures) } else { Err(Refused(errors)) }
    }

    /// Signatures from (file name, text) pairs, read strictly but not checked any further.
    ///
    /// # Errors
    /// Every mistake in the files.
    pub fn from_texts(mut texts: Vec<(&str, &str)>) -> Result<Signatures, Refused> {
        texts.sort_unstable();
        let mut files = Vec::with_capacity(texts.len());
        let mut mistakes = Vec::new();
        let mut digest = Sha256::new();
        for (name, text) in texts {
            digest.update(name.as_bytes());
            digest.update([0]);
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text.as_bytes());
            match file::parse(name, text) {
                Ok(file) => files.push(file),
                Err(found) => mistakes.extend(found),
            }
        }
        if !mistakes.is_empty() {
            return Err(Refused(mistakes));
        }
        let mut hex = String::with_capacity(64);
        for byte in digest.finalize() {
            let _ = write!(hex, "{byte:02x}");
        }
        Ok(Signatures { index: Index::build(&files), files, digest: hex })
    }

    /// A `when` block by its number.
    pub fn when(&self, when: WhenId) -> Option<WhenRef<'_>> {
        let place = self.index.place(when)?;
        let file = self.files.get(place.file as usize)?;
        let entry = file.entries.get(place.entry as usize)?;
        Some(WhenRef { file, entry, when: entry.whens.get(place.when as usize)? })
    }

    /// An identity or channel by its id.
    pub fn entry(&self, id: &str) -> Option<(&VendorFile, &Entry)> {
        self.files.iter().find_map(|file| file.entries.iter().find(|entry| entry.id == id).map(|entry| (file, entry)))
    }

    /// The entries that a host name alone, or with other evidence, belongs to: of each the condition
    /// that asks for the least besides the name, then the surest; entries in the same order.
    pub fn naming(&self, name: &str) -> Vec<WhenRef<'_>> {
        let name = normal_name(name);
        let mut found = Vec::new();
        for file in &self.files {
            for entry in &file.entries {
                let whens = entry.whens.iter().filter(|when| when.names(name.as_bytes()));
                let best = whens.min_by_key(|when| (when.asks_besides_names(), Reverse(when.confidence), when.line));
                found.extend(best.map(|when| WhenRef { file, entry, when }));
            }
        }
        found.sort_by_key(|w| (w.when.asks_besides_names(), Reverse(w.when.confidence), &w.entry.id));
        found
    }

    /// Looks for mistakes; `today` is for the age of the files.
    pub fn check(&self, today: Option<jiff::civil::Date>) -> Report {
        check::check(&self.files, &self.index, today)
    }
}

/// The `.toml` files of a folder with their texts, by name.
fn read_dir(dir: &Path) -> Result<Vec<(String, String)>, Mistake> {
    let mistake = |path: &Path, reason: String| Mistake { file: path.display().to_string(), line: 0, reason };
    let entries = std::fs::read_dir(dir).map_err(|error| mistake(dir, error.to_string()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| mistake(dir, error.to_string()))?.path();
        if path.extension().is_none_or(|extension| extension != "toml") || !path.is_file() {
            continue;
        }
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(mistake(&path, "its name is not UTF-8".to_owned()));
        };
        if files.len() == DIR_FILES_MAX {
            return Err(mistake(dir, format!("more than {DIR_FILES_MAX} files")));
        }
        let bytes = std::fs::metadata(&path).map_err(|error| mistake(&path, error.to_string()))?.len();
        if bytes > file::FILE_BYTES_MAX as u64 {
            let most = file::FILE_BYTES_MAX;
            return Err(mistake(&path, format!("the file has {bytes} bytes; at most {most} are read")));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| mistake(&path, error.to_string()))?;
        files.push((name.to_owned(), text));
    }
    if files.is_empty() {
        return Err(mistake(dir, "no .toml file in this folder".to_owned()));
    }
    files.sort_unstable();
    Ok(files)
}
