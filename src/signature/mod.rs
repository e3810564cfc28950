//! Signatures: who a host is, what a flow is for, said in files that people can read.
//!
//! In: the built-in files of `signatures/` and those of a folder. Out: [`Signatures`], which say of
//! the facts of a flow which identities and channels match. `file` has the types of a file and
//! `read` fills them, strictly; `pattern` is one value of a condition, `index` finds what matches,
//! `select` chooses, `template` reads model and version, `check` looks for mistakes, `print` and `coverage` show the files to people, `words` are the
//! closed lists, `pack` reads files that somebody signed. `signatures/README.md` describes the format.

pub mod check;
pub mod coverage;
pub mod file;
pub mod index;
pub mod pack;
pub mod pattern;
pub mod print;
mod read;
pub mod select;
pub mod template;
mod translate;
pub mod words;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::fmt::{self, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::fact::value;
use crate::record::normal_name;

pub use check::Report;
pub use file::{Entry, Mistake, VendorFile, When};
pub use index::{Index, WhenId};
pub use pack::{Key, Pack, Seal, Used};
pub use select::{Evidence, FlowValues, Hit, Scratch, Verdicts};
pub use translate::Translator;

/// The files that are built in, one line a vendor, by name.
const BUILTIN: &[(&str, &str)] = &[
    ("cato.toml", include_str!("../../signatures/cato.toml")),
    ("check-point.toml", include_str!("../../signatures/check-point.toml")),
    ("claroty.toml", include_str!("../../signatures/claroty.toml")),
    ("crowdstrike.toml", include_str!("../../signatures/crowdstrike.toml")),
    ("cyberark.toml", include_str!("../../signatures/cyberark.toml")),
    ("fortinet.toml", include_str!("../../signatures/fortinet.toml")),
    ("imperva.toml", include_str!("../../signatures/imperva.toml")),
    ("mandiant.toml", include_str!("../../signatures/mandiant.toml")),
    ("orca.toml", include_str!("../../signatures/orca.toml")),
    ("palo-alto.toml", include_str!("../../signatures/palo-alto.toml")),
    ("rapid7.toml", include_str!("../../signatures/rapid7.toml")),
    ("recorded-future.toml", include_str!("../../signatures/recorded-future.toml")),
    ("sentinelone.toml", include_str!("../../signatures/sentinelone.toml")),
    ("trellix.toml", include_str!("../../signatures/trellix.toml")),
    ("vmware.toml", include_str!("../../signatures/vmware.toml")),
    ("wiz.toml", include_str!("../../signatures/wiz.toml")),
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
    /// That of the pack in which some of them came.
    pub seal: Option<Seal>,
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
        Signatures::with_files(&read_dir(dir).map_err(|mistake| Refused(vec![mistake]))?)
    }

    /// As [`Signatures::with_dir`], with files given by name and text.
    ///
    /// # Errors
    /// Every mistake in them.
    pub fn with_files(read: &[(String, String)]) -> Result<Signatures, Refused> {
        Signatures::replacing(parse_all(BUILTIN.iter().copied())?, read)
    }

    /// The built-in files and those of a pack, which replace as those of a folder do. It may not be
    /// older than the built-in ones, nor than any of `used`.
    ///
    /// # Errors
    /// As [`Signatures::with_dir`], and when it is older.
    pub fn with_pack(pack: Pack, used: &[Used]) -> Result<Signatures, Refused> {
        let Pack { seal, files } = pack;
        let builtin = parse_all(BUILTIN.iter().copied())?;
        let newest = builtin.iter().map(|(.., file)| file.checked).max().unwrap_or_default();
        for used in used.iter().chain([&Used::built_in(newest)]) {
            let refused = |reason| Refused(vec![Mistake { file: seal.name.clone(), line: 0, reason }]);
            seal.may_follow(used).map_err(refused)?;
        }
        let signatures = Signatures::replacing(builtin, &files)?;
        Ok(Signatures { seal: Some(seal), ..signatures })
    }

    /// These files, and the built-in ones of other vendors. All are checked.
    fn replacing(builtin: Vec<Parsed<'_>>, read: &[(String, String)]) -> Result<Signatures, Refused> {
        let mut parsed = parse_all(read.iter().map(|(name, text)| (name.as_str(), text.as_str())))?;
        let vendors: Vec<String> = parsed.iter().map(|(.., file)| file.vendor.to_lowercase()).collect();
        for builtin in builtin {
            let (name, _, file) = &builtin;
            if vendors.contains(&file.vendor.to_lowercase()) {
                continue;
            }
            if parsed.iter().any(|(other, ..)| other == name) {
                let reason = "this is the name of a built-in file of another vendor; use another one".to_owned();
                return Err(Refused(vec![Mistake { file: (*name).to_owned(), line: 0, reason }]));
            }
            parsed.push(builtin);
        }
        let signatures = Signatures::of(parsed);
        let errors = signatures.check(None).errors();
        if errors.is_empty() { Ok(signatures) } else { Err(Refused(errors)) }
    }

    /// Signatures from (file name, text) pairs, read strictly but not checked any further.
    ///
    /// # Errors
    /// Every mistake in the files.
    pub fn from_texts(mut texts: Vec<(&str, &str)>) -> Result<Signatures, Refused> {
        texts.sort_unstable();
        Ok(Signatures::of(parse_all(texts)?))
    }

    fn of(mut parsed: Vec<Parsed<'_>>) -> Signatures {
        parsed.sort_by_key(|(name, text, _)| (*name, *text));
        let mut files = Vec::with_capacity(parsed.len());
        let mut digest = Sha256::new();
        for (name, text, file) in parsed {
            digest.update(name.as_bytes());
            digest.update([0]);
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text.as_bytes());
            files.push(file);
        }
        Signatures { index: Index::build(&files), files, digest: value::hex(&digest.finalize()), seal: None }
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
    /// that asks for the least besides the name. Those that ask for nothing come first, then as
    /// [`Signatures::select`] would choose among them.
    pub fn naming(&self, name: &str) -> Vec<WhenRef<'_>> {
        let name = normal_name(name);
        let rank = |when: &When| {
            let conditions = when.conditions.len() + usize::from(!when.from.is_empty());
            let literal = when.literal_of(name.as_bytes());
            (when.asks_besides_names(), Reverse((when.confidence, conditions, literal)), when.line)
        };
        let mut found = Vec::new();
        for file in &self.files {
            for entry in &file.entries {
                let whens = entry.whens.iter().filter(|when| when.literal_of(name.as_bytes()).is_some());
                found.extend(whens.min_by_key(|when| rank(when)).map(|when| WhenRef { file, entry, when }));
            }
        }
        found.sort_by_key(|w| (rank(w.when), w.entry.id.clone()));
        found
    }

    /// Looks for mistakes; `today` is for the age of the files.
    pub fn check(&self, today: Option<jiff::civil::Date>) -> Report {
        check::check(&self.files, &self.index, today)
    }
}

/// Name and text of a file, and what was read from it.
type Parsed<'t> = (&'t str, &'t str, VendorFile);

/// Files given by name and text; every mistake in any of them.
fn parse_all<'t>(texts: impl IntoIterator<Item = (&'t str, &'t str)>) -> Result<Vec<Parsed<'t>>, Refused> {
    let mut parsed = Vec::new();
    let mut mistakes = Vec::new();
    for (name, text) in texts {
        match file::parse(name, text) {
            Ok(file) => parsed.push((name, text, file)),
            Err(found) => mistakes.extend(found),
        }
    }
    if mistakes.is_empty() { Ok(parsed) } else { Err(Refused(mistakes)) }
}

/// The `.toml` files of a folder with their texts, by name.
///
/// # Errors
/// What cannot be read, and when there is none.
pub fn read_dir(dir: &Path) -> Result<Vec<(String, String)>, Mistake> {
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
