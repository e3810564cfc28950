//! Whole documents: the old one or the new one, never half of one.
//!
//! In: a path and what writes the document. Out: the file at that path, exchanged in one step when all of it is on the
//! disk. What is no file (standard output, a pipe, a device) is written to as it is.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::file::{is_device, sync_folder, without_links};

/// Bytes that go to the system at once.
const DOCUMENT_BYTES: usize = 256 << 10;
/// Permissions of a new file, before the user's mask: as [`File::create`] has them.
const NEW_FILE: u32 = 0o666;

/// A document that is being written: nobody sees it before [`Document::finish`].
pub struct Document(Out);

enum Out {
    /// What is no file, or a file in a folder that may not be written.
    Straight(BufWriter<Box<dyn Write + Send>>),
    /// A file beside the one that it will take the place of.
    Beside { out: BufWriter<File>, part: TempPath, path: PathBuf },
}

impl Document {
    /// Begins a document at a path, `-` for standard output. Links are followed, permissions kept.
    pub fn create(path: &Path) -> io::Result<Document> {
        let straight =
            |out: Box<dyn Write + Send>| Ok(Document(Out::Straight(BufWriter::with_capacity(DOCUMENT_BYTES, out))));
        if path == Path::new("-") {
            return straight(Box::new(io::stdout()));
        }
        let path = without_links(path);
        let old = match path.metadata() {
            Ok(metadata) if is_device(&path) || !metadata.is_file() => return straight(Box::new(File::create(&path)?)),
            // Who may not write to the file may not replace it either.
            Ok(metadata) => Some((File::options().append(true).open(&path)?, metadata)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".bordertap-").suffix(".part").permissions(Permissions::from_mode(NEW_FILE));
        let (new, part) = match builder.tempfile_in(folder(&path)) {
            Ok(new) => new.into_parts(),
            // A file that may be written in a folder that may not.
            Err(error) if old.is_some() && error.kind() == ErrorKind::PermissionDenied => {
                return straight(Box::new(File::create(&path)?));
            }
            Err(error) => return Err(error),
        };
        if let Some((_, old)) = &old {
            let own = new.metadata()?;
            if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
                // Only root can; for all others the file is theirs from now on.
                fchown(&new, Some(old.uid()), Some(old.gid())).ok();
            }
            new.set_permissions(old.permissions())?;
        }
        Ok(Document(Out::Beside { out: BufWriter::with_capacity(DOCUMENT_BYTES, new), part, path }))
    }

    /// All of it is written: it takes the place of the old one.
    pub fn finish(self) -> io::Result<()> {
        match self.0 {
            Out::Straight(mut out) => out.flush(),
            Out::Beside { mut out, part, path } => {
                out.flush()?;
                out.get_ref().sync_all()?;
                part.persist(&path).map_err(|error| error.error)?;
                sync_folder(folder(&path))
            }
        }
    }
}

impl Write for Document {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Out::Straight(out) => out.write(bytes),
            Out::Beside { out, .. } => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Out::Straight(out) => out.flush(),
            Out::Beside { out, .. } => out.flush(),
        }
    }
}

/// Writes a document to a path, `-` for standard output.
pub fn replace<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> io::Result<T> {
    let mut document = Document::create(path)?;
    let done = write(&mut document)?;
    document.finish()?;
    Ok(done)
}

/// The folder of a file.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}
