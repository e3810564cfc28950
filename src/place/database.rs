//! One database that maps addresses to countries or autonomous systems.
//!
//! In: a file in MaxMind format, version 2, of any maker. Out: look-ups. A file is checked whole
//! before it is used: every pointer of the tree, no cycle, the separator, and every record that the
//! tree points to; so a damaged file is refused with a reason and a look-up cannot fail later.
//! Layout: <https://maxmind.github.io/MaxMind-DB/>.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ahash::AHashSet;
use maxminddb::{Metadata, Reader};

use super::countries::Country;
use super::record::Record;
use crate::time::Time;

/// Bytes of a database file; a longer one is refused.
pub const DATABASE_BYTES_MAX: u64 = 1 << 30;
/// Zero bytes between the tree and the data section.
const SEPARATOR_BYTES: usize = 16;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A directory, a pipe, a device.
    #[error("{}: not a regular file", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// More than [`DATABASE_BYTES_MAX`].
    #[error("{}: {bytes} bytes, more than the {DATABASE_BYTES_MAX} that a database may have", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Not a database in MaxMind format, or a damaged one.
    #[error("{}: not a usable MaxMind database: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Sound, but about something else.
    #[error("{}: no record has {}; the file calls itself \"{kind}\"", path.display(), wanted.name())]
    WrongKind {
        /// The file.
        path: PathBuf,
        /// What it was to answer.
        wanted: Wanted,
        /// What it calls itself.
        kind: String,
    },
}

/// What a database is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The country of an address.
    Country,
    /// The autonomous system of an address.
    Asn,
}

impl Wanted {
    fn name(self) -> &'static str {
        match self {
            Wanted::Country => "a country",
            Wanted::Asn => "an AS number",
        }
    }
}

/// What a database says of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The country, when the record names one.
    pub country: Option<Country>,
    /// The country is only where the block was registered.
    pub registered_only: bool,
    /// A code that stands for no country (`EU`, `ZZ`), as the record has it.
    pub odd_code: Option<String>,
    /// Number and name of the autonomous system.
    pub asn: Option<(u32, String)>,
}

/// A checked database.
#[derive(Debug)]
pub struct Database {
    reader: Reader<Cow<'static, [u8]>>,
    title: String,
}

impl Database {
    /// Reads and checks a file. Takes time and memory in proportion to its size.
    pub fn open(path: &Path, wanted: Wanted) -> Result<Database, DatabaseError> {
        let read = |source| DatabaseError::Read { path: path.to_owned(), source };
        // A pipe would block at opening, so the kind is asked first.
        let about = std::fs::metadata(path).map_err(read)?;
        if !about.is_file() {
            return Err(DatabaseError::NotAFile { path: path.to_owned() });
        }
        let mut bytes = Vec::new();
        if about.len() <= DATABASE_BYTES_MAX {
            let file = File::open(path).map_err(read)?;
            file.take(DATABASE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(read)?;
        }
        let length = about.len().max(bytes.len() as u64);
        if length > DATABASE_BYTES_MAX {
            return Err(DatabaseError::TooLarge { path: path.to_owned(), bytes: length });
        }
        Database::from_bytes(bytes, path, wanted)
    }

    /// Checks the bytes of a file; `path` is only for messages.
    pub fn from_bytes(bytes: Vec<u8>, path: &Path, wanted: Wanted) -> Result<Database, DatabaseError> {
        let damaged = |reason: String| DatabaseError::Damaged { path: path.to_owned(), reason };
        let reader = Reader::from_source(bytes.as_slice()).map_err(|e| damaged(e.to_string()))?;
        let samples = one_address_per_record(&bytes, reader.metadata()).map_err(damaged)?;
        let mut useful = false;
        for address in samples {
            let record = record(&reader, address).map_err(|e| damaged(format!("record of {address}: {e}")))?;
            useful |= match wanted {
                Wanted::Country => record.answer().country.is_some(),
                Wanted::Asn => record.answer().asn.is_some(),
            };
        }
        if !useful {
            let kind: String = reader.metadata().database_type.chars().take(80).collect();
            let kind = kind.escape_debug().to_string();
            return Err(DatabaseError::WrongKind { path: path.to_owned(), wanted, kind });
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let title = format!("user database {}", name.replace(char::is_control, "?"));
        Database::sound(bytes.into(), title).map_err(|e| damaged(e.to_string()))
    }

    /// Takes bytes that are known to be sound: the built-in database, which the tests check.
    pub(super) fn sound(bytes: Cow<'static, [u8]>, title: String) -> Result<Database, maxminddb::MaxMindDbError> {
        let reader = Reader::from_source(bytes)?;
        let mut database = Database { reader, title };
        database.title = format!("{} of {}", database.title, database.built().month());
        Ok(database)
    }

    /// What it is, for the reader of a report: `built-in database of 2026-06`.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// When it was made.
    pub fn built(&self) -> Time {
        let seconds = i64::try_from(self.reader.metadata().build_epoch).unwrap_or(i64::MAX);
        Time::new(seconds, 0)
    }

    /// What the database says of an address; nothing when it does not know it.
    pub fn answer(&self, address: IpAddr) -> Answer {
        record(&self.reader, address).map(|r| r.answer()).unwrap_or_default()
    }
}

fn record<'a, S: AsRef<[u8]>>(reader: &'a Reader<S>, address: IpAddr) -> Result<Record<'a>, maxminddb::MaxMindDbError> {
    if reader.metadata().ip_version == 4 && address.is_ipv6() {
        return Ok(Record::default());
    }
    Ok(reader.lookup(address)?.decode()?.unwrap_or_default())
}

/// Walks the tree once, each node at most once, and checks every pointer. Returns an address for
/// every distinct record.
fn one_address_per_record(bytes: &[u8], about: &Metadata) -> Result<Vec<IpAddr>, String> {
    let tree = Tree::new(bytes, about)?;
    let mut seen = vec![Seen::Never; about.node_count as usize];
    let mut records = AHashSet::new();
    let mut samples = Vec::new();
    let mut path = 0_u128;
    // Node, and which of its two sides comes next.
    let mut stack = vec![(0_u32, 0_u8)];
    while let Some((node, side)) = stack.last_mut() {
        let at = *node;
        if *side == 2 {
            seen[at as usize] = Seen::Done;
            stack.pop();
            continue;
        }
        let right = *side == 1;
        *side += 1;
        seen[at as usize] = Seen::Open;
        let depth = stack.len();
        let bit = 1_u128 << (tree.bits - depth);
        path = path & !(bit | (bit - 1)) | if right { bit } else { 0 };
        let child = tree.child(at, right).ok_or("the tree ends early")?;
        if child < about.node_count {
            if depth >= tree.bits {
                return Err("the tree is deeper than an address".into());
            }
            match seen[child as usize] {
                Seen::Never => stack.push((child, 0)),
                Seen::Open => return Err(format!("the tree runs in a circle at node {child}")),
                Seen::Done => {}
            }
        } else if child > about.node_count {
            let offset = (child - about.node_count) as usize;
            if offset < SEPARATOR_BYTES || offset - SEPARATOR_BYTES >= tree.data_bytes {
                return Err(format!("node {at} points outside the data"));
            }
            if records.insert(offset) {
                samples.push(tree.address(path));
            }
        }
    }
    Ok(samples)
}

#[derive(Clone, Copy)]
enum Seen {
    Never,
    Open,
    Done,
}

/// The search tree as it lies in the file.
struct Tree<'a> {
    bytes: &'a [u8],
    /// Bytes of a node: two records of 24, 28 or 32 bits.
    node_bytes: usize,
    /// Bits of an address.
    bits: usize,
    /// Bytes of the data section.
    data_bytes: usize,
}

impl<'a> Tree<'a> {
    /// The reader has checked the metadata by now: version, record size, that the tree fits.
    fn new(bytes: &'a [u8], about: &Metadata) -> Result<Tree<'a>, String> {
        const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
        let node_bytes = usize::from(about.record_size) / 4;
        let tree_bytes = node_bytes * about.node_count as usize;
        let (tree, rest) = bytes.split_at_checked(tree_bytes).ok_or("the tree ends early")?;
        let (separator, rest) = rest.split_at_checked(SEPARATOR_BYTES).ok_or("the data is missing")?;
        if separator.iter().any(|b| *b != 0) {
            return Err("the tree and the data do not meet where the metadata says".into());
        }
        let data_bytes = rest.windows(MARKER.len()).rposition(|w| w == MARKER).ok_or("the metadata is missing")?;
        let bits = if about.ip_version == 4 { 32 } else { 128 };
        Ok(Tree { bytes: tree, node_bytes, bits, data_bytes })
    }

    fn child(&self, node: u32, right: bool) -> Option<u32> {
        let start = self.node_bytes * node as usize;
        let node = self.bytes.get(start..start + self.node_bytes)?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n: u32, b| n << 8 | u32::from(*b));
        Some(match (node.len(), right) {
            (6, false) => number(&node[..3]),
            (6, true) => number(&node[3..]),
            // The middle byte holds the top four bits of both.
            (7, false) => u32::from(node[3] >> 4) << 24 | number(&node[..3]),
            (7, true) => u32::from(node[3] & 0x0f) << 24 | number(&node[4..]),
            (8, false) => number(&node[..4]),
            (8, true) => number(&node[4..]),
            _ => return None,
        })
    }

    fn address(&self, path: u128) -> IpAddr {
        if self.bits == 32 { Ipv4Addr::from_bits(path as u32).into() } else { Ipv6Addr::from_bits(path).into() }
    }
}
