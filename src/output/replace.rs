//! Whole documents: the old one or the new one, never half of one.
//!
//! In: a path and what writes the document. Out: the file at that path, exchanged in one step when all of it is on the
//! disk. What is no file (standard output, a pipe, a device) is written to as it is.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use super::file::{is_device, sync_folder, without_links};

/// Bytes that go to the system at once.
const DOCUMENT_BYTES: usize = 256 << 10;
/// Permissions of a new file, before the user's mask: as [`File::create`] has them.
const NEW_FILE: u32 = 0o666;

/// Writes a document to a path, `-` for standard output. Links are followed, permissions kept.
pub fn replace<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> io::Result<T> {
    if path == Path::new("-") {
        return through(io::stdout().lock(), write);
    }
    let path = without_links(path);
    let old = match path.metadata() {
        Ok(metadata) if is_device(&path) || !metadata.is_file() => return through(File::create(&path)?, write),
        // Who may not write to the file may not replace it either.
        Ok(metadata) => Some((File::options().append(true).open(&path)?, metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".bordertap-").suffix(".part").permissions(Permissions::from_mode(NEW_FILE));
    let mut new = match builder.tempfile_in(folder) {
        Ok(new) => new,
        // A file that may be written in a folder that may not.
        Err(error) if old.is_some() && error.kind() == ErrorKind::PermissionDenied => {
            return through(File::create(&path)?, write);
        }
        Err(error) => return Err(error),
    };
    if let Some((_, old)) = &old {
        let own = new.as_file().metadata()?;
        if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
            // Only root can; for all others the file is theirs from now on.
            fchown(new.as_file(), Some(old.uid()), Some(old.gid())).ok();
        }
        new.as_file().set_permissions(old.permissions())?;
    }
    let done = through(new.as_file_mut(), write)?;
    new.as_file().sync_all()?;
    new.persist(&path).map_err(|error| error.error)?;
    sync_folder(folder)?;
    Ok(done)
}

fn through<T>(out: impl Write, write: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> io::Result<T> {
    let mut out = BufWriter::with_capacity(DOCUMENT_BYTES, out);
    let done = write(&mut out)?;
    out.flush()?;
    Ok(done)
}
