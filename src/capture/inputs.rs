//! Several inputs read as one capture.
//!
//! In: names of files, directories, pipes, `-` for standard input. Out: their packets, input after
//! input in the order of their first packets, numbered through. At most one input is open beside
//! the pipes that were named, and no more of it is kept than a piece, so memory does not depend on
//! how many inputs there are or how large they are.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::filter::{Filter, FilterError};
use super::input::{Input, STANDARD_INPUT};
use super::{BLOCK_PACKETS_MAX, Block, Bytes, Damage, LinkType, Map, Packet, Source};
use crate::time::Time;

/// Files that are taken from the names and directories given.
pub const INPUTS_MAX: usize = 1_000_000;

/// A [`Source`] over files, directories, pipes and standard input.
pub struct Inputs {
    waiting: VecDeque<Waiting>,
    current: Option<Open>,
    found: usize,
    next_number: u64,
    damage: Vec<Damage>,
    filter: Option<Filter>,
    filtered: u64,
    finished_bytes: u64,
    total_bytes: Option<u64>,
    // Files that were read to their end, as long as somebody may look at their packets.
    read: Vec<(Arc<str>, Arc<Map>)>,
}

/// What an input gives at a time.
type Part = (Bytes, Vec<Packet>);

/// An input whose turn has not come.
struct Waiting {
    file: Name,
    size: Option<u64>,
    first: Option<(Time, LinkType)>,
    // Only for what cannot be opened again: the open input and what was read of it.
    held: Option<(Input, Option<Part>)>,
}

/// The input that is being read.
struct Open {
    name: Arc<str>,
    size: Option<u64>,
    input: Input,
    ready: Option<Part>,
}

/// A file and how to call it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    path: PathBuf,
    shown: String,
}

impl Inputs {
    /// Finds the inputs, looks at the first packet of each, and puts them in order.
    ///
    /// An input that cannot be used is no error: it is a [`Damage`], and the others are read.
    ///
    /// # Errors
    /// When the filter expression cannot be used.
    pub fn open(names: &[String], filter: Option<&str>) -> Result<Inputs, FilterError> {
        let mut damage = Vec::new();
        let files = expand(names, &mut damage);
        let found = files.len();
        let looked: Vec<Result<Waiting, Damage>> = files.into_par_iter().map(look).collect();
        let mut waiting = Vec::with_capacity(looked.len());
        for result in looked {
            match result {
                Ok(one) => waiting.push(one),
                Err(bad) => damage.push(bad),
            }
        }
        waiting.sort_by(|a, b| {
            let order = |one: &Waiting| one.first.map(|(time, _)| time);
            order(a).cmp(&order(b)).then_with(|| a.file.cmp(&b.file))
        });
        let filter = match filter {
            None => None,
            Some(expression) => {
                let mut links: Vec<LinkType> = Vec::new();
                links.extend(waiting.iter().filter_map(|one| Some(one.first?.1)));
                links.sort_unstable();
                links.dedup();
                Some(Filter::new(expression, &links)?)
            }
        };
        let total_bytes = waiting.iter().try_fold(0u64, |sum, one| Some(sum.saturating_add(one.size?)));
        Ok(Inputs {
            waiting: waiting.into(),
            current: None,
            found,
            next_number: 1,
            damage,
            filter,
            filtered: 0,
            finished_bytes: 0,
            total_bytes,
            read: Vec::new(),
        })
    }

    /// Inputs that were found, the unusable ones included: compare with the fatal damages.
    pub fn found(&self) -> usize {
        self.found
    }

    fn open_next(&mut self) -> Option<Open> {
        loop {
            let next = self.waiting.pop_front()?;
            let (input, ready) = match next.held {
                Some(held) => held,
                None => match Input::open(&next.file.path) {
                    Ok(input) => (input, None),
                    Err(reason) => {
                        self.add_finished(next.size.unwrap_or(0));
                        self.damage.push(unusable(next.file.shown, reason));
                        continue;
                    }
                },
            };
            return Some(Open { name: next.file.shown.into(), size: next.size, input, ready });
        }
    }

    fn add_finished(&mut self, bytes: u64) {
        self.finished_bytes = self.finished_bytes.saturating_add(bytes);
    }

    fn finish(&mut self, open: Open) {
        self.add_finished(open.size.unwrap_or(open.input.consumed()));
        let fatal = open.input.packets() == 0;
        let (flaws, map) = open.input.into_flaws();
        for flaw in flaws {
            self.damage.push(Damage { input: open.name.to_string(), offset: flaw.offset, reason: flaw.reason, fatal });
        }
        self.read.extend(map.map(|map| (open.name, map)));
        self.look_back(|map| Arc::strong_count(map) == 1);
    }

    /// Looks a last time at files that were read, those that `over` says nobody needs any more: were they cut meanwhile?
    fn look_back(&mut self, over: impl Fn(&Arc<Map>) -> bool) {
        let damage = &mut self.damage;
        self.read.retain(|(name, map)| {
            if !over(map) {
                return true;
            }
            if let Some((offset, reason)) = map.cut()
                && !damage.iter().any(|one| one.input == **name && one.reason == reason)
            {
                damage.push(Damage { input: name.to_string(), offset, reason, fatal: false });
            }
            false
        });
    }
}

impl Source for Inputs {
    fn next_block(&mut self) -> Option<Block> {
        loop {
            let mut open = match self.current.take() {
                Some(open) => open,
                None => self.open_next()?,
            };
            let part = match open.ready.take() {
                Some(part) => Some(part),
                None => open.input.next(BLOCK_PACKETS_MAX),
            };
            let Some((bytes, mut packets)) = part else {
                self.finish(open);
                continue;
            };
            if let Some(filter) = &mut self.filter {
                let before = packets.len();
                for reason in filter.keep(bytes.as_slice(), &mut packets) {
                    self.damage.push(Damage { input: open.name.to_string(), offset: 0, reason, fatal: false });
                }
                let dropped = before.saturating_sub(packets.len()) as u64;
                self.filtered = self.filtered.saturating_add(dropped);
            }
            let input = open.name.clone();
            self.current = Some(open);
            let first_number = self.next_number;
            self.next_number = first_number.saturating_add(packets.len() as u64);
            return Some(Block { input, bytes, packets, first_number });
        }
    }

    fn damage(&self) -> &[Damage] {
        &self.damage
    }

    fn settle(&mut self) {
        if let Some(open) = &self.current {
            self.read.extend(open.input.map().map(|map| (open.name.clone(), map)));
        }
        self.look_back(|_| true);
    }

    fn progress(&self) -> (u64, Option<u64>) {
        let current = self.current.as_ref().map_or(0, |open| open.input.consumed());
        (self.finished_bytes.saturating_add(current), self.total_bytes)
    }

    fn filtered(&self) -> u64 {
        self.filtered
    }

    fn interface(&self, number: u32) -> Option<Arc<str>> {
        self.current.as_ref()?.input.interface(number)
    }
}

/// The files behind the names: directories give all they hold, sorted.
fn expand(names: &[String], damage: &mut Vec<Damage>) -> Vec<Name> {
    let mut files = Vec::new();
    for name in names {
        let path = PathBuf::from(name);
        let is_directory = name != STANDARD_INPUT && path.is_dir();
        let mut below = match is_directory {
            true => list(&path, damage),
            false => vec![path],
        };
        if is_directory && below.is_empty() {
            damage.push(unusable(name.clone(), "an empty directory".to_owned()));
        }
        below.sort();
        files.extend(below.into_iter().map(|path| Name { shown: path.to_string_lossy().into_owned(), path }));
    }
    if files.len() > INPUTS_MAX {
        let beyond = files.len().saturating_sub(INPUTS_MAX);
        let reason = format!("{beyond} inputs beyond the first {INPUTS_MAX} are not read");
        let input = files.get(INPUTS_MAX).map(|file| file.shown.clone());
        damage.push(unusable(input.unwrap_or_default(), reason));
        files.truncate(INPUTS_MAX);
    }
    let mut standard = files.iter().filter(|file| is_standard_input(&file.path));
    if standard.next().is_some() && standard.next().is_some() {
        let reason = "standard input was named more than once".to_owned();
        damage.push(unusable(STANDARD_INPUT.to_owned(), reason));
        let mut seen = false;
        files.retain(|file| !is_standard_input(&file.path) || !std::mem::replace(&mut seen, true));
    }
    files
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == OsStr::new(STANDARD_INPUT)
}

/// Everything in a directory and below that is not a directory. A link to a directory is not
/// followed, so there are no circles.
fn list(directory: &Path, damage: &mut Vec<Damage>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    let mut unread = Vec::new();
    let mut bad = |path: &Path, reason: String| {
        unread.push(unusable(path.to_string_lossy().into_owned(), reason));
    };
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) => {
                bad(&directory, error.to_string());
                continue;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    bad(&directory, error.to_string());
                    break;
                }
            };
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(path),
                // Opening a pipe would wait for its writer.
                _ if fs::metadata(&path).is_ok_and(|about| !about.is_file()) => {
                    bad(&path, "not a regular file".to_owned());
                }
                _ => files.push(path),
            }
        }
    }
    // A directory lists its entries in no order.
    unread.sort_by(|a, b| a.input.cmp(&b.input));
    damage.append(&mut unread);
    files
}

/// Opens a file for its first packet and closes it again, unless it cannot be opened again.
fn look(file: Name) -> Result<Waiting, Damage> {
    let mut input = match Input::open(&file.path) {
        Ok(input) => input,
        Err(reason) => return Err(unusable(file.shown, reason)),
    };
    let about = fs::metadata(&file.path).ok();
    let regular = about.filter(|about| about.is_file() && !is_standard_input(&file.path));
    let ready = input.next(1);
    let first = ready.as_ref().and_then(|(_, packets)| packets.first());
    let first = first.map(|packet| (packet.time, packet.link));
    Ok(Waiting {
        file,
        first,
        size: regular.as_ref().map(|about| about.len()),
        held: match regular {
            Some(_) => None,
            None => Some((input, ready)),
        },
    })
}

fn unusable(input: String, reason: String) -> Damage {
    Damage { input, offset: 0, reason, fatal: true }
}
