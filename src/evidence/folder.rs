//! The folder of a bundle: made, replaced, never anybody else's.
//!
//! In: a path; then files one by one. Out: a folder that holds just them. While it is written it has a list of what will be
//! in it and no manifest, so that a run that was killed leaves nothing that looks whole, and the next one knows what to
//! take away. The manifest comes last, in one step.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::manifest::{self, Manifest};
use super::{EvidenceError, SignKey};
use crate::fact::value;

/// Name of the manifest.
pub const MANIFEST: &str = "manifest.json";
/// Name of its signature.
pub const SIGNATURE: &str = "manifest.json.sig";
/// Name of the list of digests, as `sha256sum -c` reads it.
pub const SUMS: &str = "SHA256SUMS";
/// Name of the list of files that are being written.
const UNDER_WAY: &str = "manifest.json.part";
/// Name of a manifest that is not whole yet.
const NEW_MANIFEST: &str = "manifest.json.new";

/// Bytes of a manifest that are read.
pub(super) const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// A folder that may be written.
#[derive(Debug)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Files of a bundle that lies there.
    old: Vec<String>,
}

/// What is being written.
#[derive(Serialize, Deserialize)]
struct UnderWay {
    kind: String,
    files: Vec<String>,
}

impl Folder {
    /// Looks whether a bundle may be written there: it is new, empty, or a bundle that is replaced.
    ///
    /// # Errors
    /// Something else is there.
    pub fn prepare(path: &Path) -> Result<Folder, EvidenceError> {
        let usage = |reason: String| EvidenceError::Usage(format!("{}: {reason}", path.display()));
        let folder = |old| Folder { path: path.to_owned(), old };
        let there = match list(path) {
            Ok(there) => there,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(folder(Vec::new())),
            Err(error) => return Err(usage(format!("no folder for evidence: {error}"))),
        };
        let ours = own_files(path);
        if let Some(other) = there.iter().find(|name| !ours.contains(name)) {
            let only = "evidence goes into a folder that is new, empty or has an older bundle";
            return Err(usage(format!("has {other:?}, which is of no bundle; {only}")));
        }
        Ok(folder(there))
    }
}

/// The names in a folder, sorted.
pub(super) fn list(path: &Path) -> std::io::Result<Vec<String>> {
    let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = entries.collect::<std::io::Result<Vec<String>>>()?;
    names.sort();
    Ok(names)
}

/// Names that a bundle in this folder says are its own.
fn own_files(path: &Path) -> Vec<String> {
    let read = |name: &str| fs::read(path.join(name)).ok();
    let whole = read(MANIFEST).and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
    let begun = read(UNDER_WAY).and_then(|bytes| serde_json::from_slice::<UnderWay>(&bytes).ok());
    let begun = begun.filter(|begun| begun.kind == manifest::KIND);
    if whole.is_none() && begun.is_none() {
        return Vec::new();
    }
    let of_whole = whole.into_iter().flat_map(|whole| whole.files).map(|proof| proof.file);
    let mut files: Vec<String> = of_whole.chain(begun.into_iter().flat_map(|begun| begun.files)).collect();
    files.retain(|name| is_file_of_ours(name));
    files.extend([MANIFEST, SIGNATURE, SUMS, UNDER_WAY, NEW_MANIFEST].map(str::to_owned));
    files
}

/// Whether a file of packets may have this name.
pub(super) fn is_file_of_ours(name: &str) -> bool {
    let id = name.strip_suffix(".pcapng").unwrap_or_default();
    id.len() == 16 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A bundle that is being written.
pub(super) struct Writing {
    path: PathBuf,
    sums: Vec<(String, String)>,
}

impl Writing {
    /// Takes away the old bundle, its manifest first, and notes what is to come.
    pub(super) fn begin(folder: &Folder, files: impl Iterator<Item = String>) -> Result<Writing, EvidenceError> {
        let path = folder.path.clone();
        let failed = EvidenceError::io(&path);
        fs::create_dir_all(&path).map_err(&failed)?;
        let kind = manifest::KIND.to_owned();
        // A run that is killed while the old files go has to know them next time.
        let of_packets = folder.old.iter().filter(|name| is_file_of_ours(name)).cloned();
        let under_way = UnderWay { kind, files: files.chain(of_packets).collect() };
        let mut text = serde_json::to_vec(&under_way).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        fs::write(path.join(UNDER_WAY), text).map_err(&failed)?;
        let old = folder.old.iter().filter(|name| *name != UNDER_WAY);
        let (first, rest): (Vec<&String>, Vec<&String>) = old.partition(|name| *name == MANIFEST);
        for name in first.into_iter().chain(rest) {
            fs::remove_file(path.join(name)).map_err(&failed)?;
        }
        Ok(Writing { path, sums: Vec::new() })
    }

    /// Writes a file; its SHA-256.
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) -> Result<String, EvidenceError> {
        let path = self.path.join(name);
        fs::write(&path, bytes).map_err(EvidenceError::io(&path))?;
        let sha256 = digest(bytes);
        self.sums.push((name.to_owned(), sha256.clone()));
        Ok(sha256)
    }

    /// Writes the signature and the digests, and last the manifest.
    pub(super) fn finish(mut self, manifest: &Manifest, key: Option<&SignKey>) -> Result<(), EvidenceError> {
        let failed = EvidenceError::io(&self.path);
        let mut text = serde_json::to_vec_pretty(manifest).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        if let Some(key) = key {
            self.add(SIGNATURE, &key.sign(&text))?;
        }
        self.sums.push((MANIFEST.to_owned(), digest(&text)));
        let sums = sums(&mut self.sums);
        fs::write(self.path.join(SUMS), sums).map_err(&failed)?;
        let (new, manifest) = (self.path.join(NEW_MANIFEST), self.path.join(MANIFEST));
        let mut file = File::create(&new).map_err(&failed)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(&failed)?;
        fs::rename(&new, &manifest).map_err(&failed)?;
        fs::remove_file(self.path.join(UNDER_WAY)).map_err(&failed)?;
        Ok(())
    }
}

/// The list of digests, sorted by name.
pub(super) fn sums(sums: &mut [(String, String)]) -> String {
    sums.sort();
    let mut text = String::new();
    for (name, sha256) in sums {
        let _ = writeln!(text, "{sha256}  {name}");
    }
    text
}

/// SHA-256 in lower-case hex.
pub(super) fn digest(bytes: &[u8]) -> String {
    value::hex(&Sha256::digest(bytes))
}
