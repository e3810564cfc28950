//! Records in a file that ends with a whole record, whatever happens.
//!
//! In: whole records. Out: the same appended to the current file, which is given another name when its time or its length
//! is reached. What a full disk or a kill left of a record is cut off, at once or when the file is next opened.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::store::Store;
use super::writer::{Sink, Stop, Wrote, piece};

/// Bytes that are written at a time.
pub(super) const PIECE_BYTES_MAX: u64 = 1 << 20;
/// Bytes that are read at a time to find the last record of a file.
const TAIL_BYTES: u64 = 64 << 10;
/// How often old files are looked for.
const PURGE_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// The file of one output.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    store: Arc<Store>,
    shelf: usize,
    current: Option<Current>,
    purged: Option<Timestamp>,
    repaired: u64,
    /// Why a closed file may not survive a power cut; nothing is lost for it yet.
    complaint: Option<io::Error>,
}

#[derive(Debug)]
struct Current {
    file: File,
    /// Device and number: what the name has to lead to.
    id: (u64, u64),
    /// Bytes of whole records.
    bytes: u64,
    /// When its first record was written.
    began: Timestamp,
}

impl FileSink {
    /// Opens the file at a path without links, and says what it holds already.
    pub fn open(path: PathBuf, store: Arc<Store>, shelf: usize, now: Timestamp) -> io::Result<FileSink> {
        let mut sink = FileSink { path, store, shelf, current: None, purged: None, repaired: 0, complaint: None };
        sink.ensure(now)?;
        Ok(sink)
    }

    /// Opens the current file unless it is open. A file that somebody took away, or changed, is opened anew.
    fn ensure(&mut self, now: Timestamp) -> io::Result<()> {
        let there = self.path.metadata().ok().map(|m| (m.dev(), m.ino(), m.len()));
        if self.current.as_ref().is_some_and(|current| there == Some((current.id.0, current.id.1, current.bytes))) {
            return Ok(());
        }
        self.current = None;
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&self.path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no longer a file"));
        }
        let whole = end_of_records(&mut file, metadata.len())?;
        if whole < metadata.len() {
            file.set_len(whole)?;
            self.repaired += 1;
        }
        self.store.set(self.shelf, whole);
        let made = metadata.created().or_else(|_| metadata.modified()).ok().and_then(|t| Timestamp::try_from(t).ok());
        let began = made.map_or(now, |made| made.min(now));
        self.current = Some(Current { file, id: (metadata.dev(), metadata.ino()), bytes: whole, began });
        Ok(())
    }

    /// Whether the current file has to end before so many bytes are added.
    fn is_full(&self, bytes: u64, now: Timestamp) -> bool {
        self.current.as_ref().is_some_and(|current| {
            let long = current.bytes.saturating_add(bytes) > self.store.segment_bytes_max;
            current.bytes > 0 && (long || self.store.keeping.is_over(current.began, now))
        })
    }

    /// Makes room for a piece: true when there is, if need be by giving up the current file.
    fn make_room(&mut self, bytes: u64, now: Timestamp) -> io::Result<bool> {
        if self.is_full(bytes, now) {
            self.rotate(now)?;
        }
        if self.store.reserve(self.shelf, bytes)? {
            return Ok(true);
        }
        if self.current.as_ref().is_none_or(|current| current.bytes == 0) {
            return Ok(false);
        }
        self.rotate(now)?;
        self.store.reserve(self.shelf, bytes)
    }

    /// Appends a piece; what fits of it stays, up to the last whole record.
    fn append(&mut self, piece: &[u8], now: Timestamp) -> (usize, io::Result<()>) {
        let Some(current) = &mut self.current else { return (0, Err(io::ErrorKind::NotFound.into())) };
        if current.bytes == 0 {
            current.began = now;
        }
        let (put, result) = put(&mut current.file, piece);
        let whole = piece.get(..put).and_then(|put| put.iter().rposition(|b| *b == b'\n')).map_or(0, |at| at + 1);
        current.bytes += whole as u64;
        let bytes = current.bytes;
        if result.is_err() {
            if current.file.set_len(bytes).is_err() {
                // It is cut when it is opened again; until then its room stays taken.
                self.current = None;
                return (whole, result);
            }
            self.store.set(self.shelf, bytes);
        }
        (whole, result)
    }
}

impl Sink for FileSink {
    fn write(&mut self, records: &[u8], now: Timestamp) -> Wrote {
        let longest = PIECE_BYTES_MAX.min(self.store.segment_bytes_max);
        let piece = piece(records, usize::try_from(longest).unwrap_or(usize::MAX));
        let room = self.ensure(now).and_then(|()| self.make_room(piece.len() as u64, now));
        match room {
            Ok(true) => {}
            Ok(false) => {
                let error = io::Error::new(io::ErrorKind::StorageFull, "no room within the budget for files");
                return Wrote { bytes: 0, stop: Some(Stop::Never(piece.len(), error)) };
            }
            Err(error) => return Wrote { bytes: 0, stop: Some(Stop::Failed(error)) },
        }
        let (bytes, result) = self.append(piece, now);
        Wrote { bytes, stop: result.err().map(Stop::Failed) }
    }

    fn rotate(&mut self, now: Timestamp) -> io::Result<()> {
        self.ensure(now)?;
        let Some(current) = self.current.take_if(|current| current.bytes > 0) else { return Ok(()) };
        self.store.rotate(self.shelf, &self.path, current.began)?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        self.complaint = current.file.sync_all().and_then(|()| sync_folder(folder)).err().or(self.complaint.take());
        self.ensure(now)
    }

    fn tick(&mut self, now: Timestamp) -> io::Result<()> {
        if self.is_full(0, now) {
            self.rotate(now)?;
        }
        if self.purged.is_none_or(|then| now.duration_since(then) >= PURGE_EVERY || now < then) {
            self.purged = Some(now);
            self.store.purge(now)?;
        }
        self.complaint.take().map_or(Ok(()), Err)
    }

    fn close(&mut self) -> io::Result<()> {
        self.current.take().map_or(Ok(()), |current| current.file.sync_all())
    }

    fn repaired(&mut self) -> u64 {
        std::mem::take(&mut self.repaired)
    }
}

/// Writes as much as goes.
fn put(file: &mut File, piece: &[u8]) -> (usize, io::Result<()>) {
    let mut done = 0;
    while let Some(rest) = piece.get(done..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return (done, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (done, Err(error)),
        }
    }
    (done, Ok(()))
}

/// Where the last whole record of a file ends.
fn end_of_records(file: &mut File, bytes: u64) -> io::Result<u64> {
    let mut end = bytes;
    let mut tail = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(TAIL_BYTES);
        file.seek(SeekFrom::Start(start))?;
        tail.clear();
        Read::by_ref(file).take(end - start).read_to_end(&mut tail)?;
        if let Some(at) = tail.iter().rposition(|b| *b == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Makes sure that the names in a folder survive a power cut, where the system can do that.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let excused = [io::ErrorKind::PermissionDenied, io::ErrorKind::InvalidInput];
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if excused.contains(&error.kind()) => Ok(()),
        result => result,
    }
}

/// The file that a path leads to, through links; the file itself need not be there. What is known under the name of a
/// device keeps that name. Of more links than the system follows the path stays as it is: to open it is an error.
pub fn without_links(path: &Path) -> PathBuf {
    const LINKS_MAX: usize = 40;
    let mut end = path.to_owned();
    for _ in 0..=LINKS_MAX {
        let Some(target) = end.read_link().ok().filter(|_| !is_device(&end)) else { return end };
        end = end.parent().map_or(target.clone(), |folder| folder.join(&target));
    }
    path.to_owned()
}

/// Whether a path names a device, or an open file of a process: what it leads to is not ours to exchange.
pub fn is_device(path: &Path) -> bool {
    ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder)) && !path.starts_with("/dev/shm")
}
