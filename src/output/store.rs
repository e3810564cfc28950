//! All files of a sensor together: their names, what they hold, which of them go.
//!
//! In: the files that are being written, and the folders they are in. Out: room for the next records within the budget, made
//! by deleting the oldest closed files. A closed file is called as the current one with the time of its first record in the
//! middle (`flows-20261125T220000Z.jsonl`); nothing that is called otherwise is ever touched.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::keeping::Keeping;

/// Closed files that are thought of at a time, the oldest ones; when they are gone the next are looked up.
pub(super) const LISTED_MAX: usize = 1024;
/// Closed files that may have begun in the same second.
pub(super) const CLASHES_MAX: u32 = 100_000;
/// `20261125T220000Z`, `d` for a digit.
const STAMP: &[u8] = b"ddddddddTddddddZ";

/// The files of a sensor.
#[derive(Debug)]
pub struct Store {
    /// What was asked for.
    pub keeping: Keeping,
    /// The longest file.
    pub segment_bytes_max: u64,
    shelves: Mutex<Vec<Shelf>>,
}

/// The files of one output.
#[derive(Debug)]
struct Shelf {
    names: Names,
    /// Bytes of the file that is being written, with those for which room was made.
    current: u64,
    /// Bytes of closed files.
    closed: u64,
}

/// How the files of an output are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Where they are.
    pub folder: PathBuf,
    stem: OsString,
    /// With its dot, or nothing.
    extension: OsString,
}

/// A closed file. The order is that of age.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Closed {
    stamp: [u8; STAMP.len()],
    clash: u32,
    shelf: usize,
    path: PathBuf,
    bytes: u64,
}

impl Names {
    /// Of a path without links.
    pub fn new(path: &Path) -> Names {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut extension = OsString::new();
        if let Some(text) = path.extension() {
            extension.push(".");
            extension.push(text);
        }
        Names { folder, stem: path.file_stem().unwrap_or(OsStr::new("")).to_owned(), extension }
    }

    /// The file that began at a time, the `clash`th of that second.
    pub fn closed(&self, began: Timestamp, clash: u32) -> PathBuf {
        let mut name = self.stem.clone();
        name.push(format!("-{}", began.strftime("%Y%m%dT%H%M%SZ")));
        if clash > 0 {
            name.push(format!("-{clash}"));
        }
        name.push(&self.extension);
        self.folder.join(name)
    }

    /// The stamp and the clash in the name of a closed file, when it is one of these.
    fn read(&self, name: &OsStr) -> Option<([u8; STAMP.len()], u32)> {
        let middle = name.as_encoded_bytes().strip_prefix(self.stem.as_encoded_bytes())?;
        let middle = middle.strip_suffix(self.extension.as_encoded_bytes())?.strip_prefix(b"-")?;
        let (stamp, rest) = middle.split_first_chunk()?;
        let fits = |(a, b): (&u8, &u8)| if *b == b'd' { a.is_ascii_digit() } else { a == b };
        if !stamp.iter().zip(STAMP).all(fits) {
            return None;
        }
        let clash = match rest {
            [] => 0,
            [b'-', digits @ ..] if digits.first().is_some_and(|d| (b'1'..=b'9').contains(d)) => {
                std::str::from_utf8(digits).ok()?.parse().ok()?
            }
            _ => return None,
        };
        Some((*stamp, clash))
    }
}

impl Store {
    /// The store for files of these names.
    pub fn new(keeping: Keeping, names: Vec<Names>) -> Store {
        let segment_bytes_max = keeping.segment_bytes_max(names.len());
        let shelves = names.into_iter().map(|names| Shelf { names, current: 0, closed: 0 }).collect();
        Store { keeping, segment_bytes_max, shelves: Mutex::new(shelves) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Shelf>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how much the current file of a shelf holds.
    pub fn set(&self, shelf: usize, bytes: u64) {
        if let Some(shelf) = self.lock().get_mut(shelf) {
            shelf.current = bytes;
        }
    }

    /// Deletes what an earlier run left beyond the budget.
    pub fn fit(&self) -> io::Result<()> {
        let mut shelves = self.lock();
        list(&mut shelves)?;
        match self.keeping.keep_bytes {
            Some(budget) => make_room(&mut shelves, budget, 0).map(drop),
            None => Ok(()),
        }
    }

    /// Makes room for so many bytes more in the current file of a shelf; false when there is none.
    pub fn reserve(&self, shelf: usize, bytes: u64) -> io::Result<bool> {
        let mut shelves = self.lock();
        if let Some(budget) = self.keeping.keep_bytes
            && total(&shelves).saturating_add(bytes) > budget
            && !make_room(&mut shelves, budget, bytes)?
        {
            return Ok(false);
        }
        if let Some(shelf) = shelves.get_mut(shelf) {
            shelf.current = shelf.current.saturating_add(bytes);
        }
        Ok(true)
    }

    /// Gives the current file the name of a closed one.
    pub fn rotate(&self, shelf: usize, current: &Path, began: Timestamp) -> io::Result<()> {
        let mut shelves = self.lock();
        let Some(shelf) = shelves.get_mut(shelf) else { return Ok(()) };
        for clash in 0..CLASHES_MAX {
            let path = shelf.names.closed(began, clash);
            if path.symlink_metadata().is_ok() {
                continue;
            }
            fs::rename(current, &path)?;
            shelf.closed = shelf.closed.saturating_add(shelf.current);
            shelf.current = 0;
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "no name is left for this second"))
    }

    /// Deletes closed files that are too old.
    pub fn purge(&self, now: Timestamp) -> io::Result<()> {
        let Some(before) = self.keeping.keep_for.before(now) else { return Ok(()) };
        let mut shelves = self.lock();
        let mut result = Ok(());
        for closed in list(&mut shelves)? {
            // When its last record was written.
            let ended =
                closed.path.metadata().and_then(|m| m.modified()).ok().and_then(|t| Timestamp::try_from(t).ok());
            if ended.is_some_and(|ended| ended < before) {
                result = delete(&mut shelves, &closed).and(result);
            }
        }
        result
    }
}

fn total(shelves: &[Shelf]) -> u64 {
    shelves.iter().map(|s| s.current.saturating_add(s.closed)).fold(0, u64::saturating_add)
}

/// Deletes the oldest closed files until so many bytes fit; false when they cannot.
fn make_room(shelves: &mut [Shelf], budget: u64, bytes: u64) -> io::Result<bool> {
    loop {
        let mut deleted = false;
        for closed in list(shelves)? {
            if total(shelves).saturating_add(bytes) <= budget {
                return Ok(true);
            }
            delete(shelves, &closed)?;
            deleted = true;
        }
        if total(shelves).saturating_add(bytes) <= budget {
            return Ok(true);
        }
        if !deleted {
            return Ok(false);
        }
    }
}

fn delete(shelves: &mut [Shelf], closed: &Closed) -> io::Result<()> {
    match fs::remove_file(&closed.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Some(shelf) = shelves.get_mut(closed.shelf) {
        shelf.closed = shelf.closed.saturating_sub(closed.bytes);
    }
    Ok(())
}

/// The oldest closed files, the oldest first; counts anew what all of them hold.
fn list(shelves: &mut [Shelf]) -> io::Result<Vec<Closed>> {
    let mut oldest = std::collections::BTreeSet::new();
    for (number, shelf) in shelves.iter_mut().enumerate() {
        shelf.closed = 0;
        for entry in fs::read_dir(&shelf.names.folder)? {
            let entry = entry?;
            let Some((stamp, clash)) = shelf.names.read(&entry.file_name()) else { continue };
            // What is gone meanwhile, or is no file, is none of ours.
            let Some(metadata) = entry.metadata().ok().filter(|m| m.is_file()) else { continue };
            shelf.closed = shelf.closed.saturating_add(metadata.len());
            oldest.insert(Closed { stamp, clash, shelf: number, path: entry.path(), bytes: metadata.len() });
            if oldest.len() > LISTED_MAX {
                oldest.pop_last();
            }
        }
    }
    Ok(oldest.into_iter().collect())
}
