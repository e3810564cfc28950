//! A bundle held against what it claims.
//!
//! In: a folder, perhaps a public key, what flows are judged by. Out: whether every file is there and as it was written, by
//! digest and signature, and for each file whether the ordinary scan of it says the same finding again. Volumes are not
//! compared: a file holds the packets that prove a finding, not all of them.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::folder::{self, MANIFEST, MANIFEST_BYTES_MAX, SIGNATURE, SUMS};
use super::manifest::{self, Difference, FORMAT, Manifest};
use super::replay::{How, told_of};
use super::{EvidenceError, VerifyKey};
use crate::capture::Inputs;
use crate::collect::Judging;
use crate::report::PROGRAM;

/// A folder with a manifest.
pub struct Bundle {
    path: PathBuf,
    text: Vec<u8>,
    /// What it says.
    pub manifest: Manifest,
}

/// What became of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// There is none.
    Unsigned,
    /// There is one, and no key was given to hold it against.
    NotChecked,
    /// It holds.
    Holds,
    /// It does not hold, or is missing although a key was given.
    Fails,
}

/// What a look at a bundle gave.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// Version of this document.
    pub format: u32,
    /// Who looked.
    pub program: String,
    /// All is as it was written and comes out as it did.
    pub good: bool,
    /// Files that are damaged, missing or too many, each in words that name it.
    pub damage: Vec<String>,
    /// The signature of the manifest.
    pub signature: Standing,
    /// What is judged by now and was not then.
    pub notes: Vec<String>,
    /// What each file says now.
    pub files: Vec<FileVerdict>,
}

/// What a file says now.
#[derive(Clone, Debug, Serialize)]
pub struct FileVerdict {
    /// Its name.
    pub file: String,
    /// Id of the finding it proves.
    pub finding: String,
    /// The finding in a sentence.
    pub sentence: String,
    /// The same comes out.
    pub same: bool,
    /// It was known when the file was written that this is otherwise: it holds too little for it.
    pub known: bool,
    /// What is otherwise.
    pub differences: Vec<Difference>,
}

impl Bundle {
    /// Opens a folder.
    ///
    /// # Errors
    /// There is no manifest that can be read.
    pub fn open(path: &Path) -> Result<Bundle, EvidenceError> {
        let manifest = path.join(MANIFEST);
        let usage = |reason: String| EvidenceError::Usage(format!("{}: {reason}", manifest.display()));
        let file = File::open(&manifest).map_err(EvidenceError::io(&manifest))?;
        let bytes = file.metadata().map_err(EvidenceError::io(&manifest))?.len();
        if bytes > MANIFEST_BYTES_MAX {
            return Err(usage(format!("{bytes} bytes, more than the {MANIFEST_BYTES_MAX} that a manifest may have")));
        }
        let mut text = Vec::new();
        file.take(MANIFEST_BYTES_MAX).read_to_end(&mut text).map_err(EvidenceError::io(&manifest))?;
        let read: Manifest = serde_json::from_slice(&text).map_err(|error| usage(format!("damaged: {error}")))?;
        if read.kind != manifest::KIND || read.format != FORMAT {
            return Err(usage(format!("of kind {:?}, format {}; this program reads {FORMAT}", read.kind, read.format)));
        }
        Ok(Bundle { path: path.to_owned(), text, manifest: read })
    }

    /// Holds it against what it claims.
    pub fn check(&self, judging: &Judging, key: Option<&VerifyKey>) -> Checked {
        let mut damage = self.damage();
        let signature = self.signature(key);
        if signature == Standing::Fails {
            let why = match self.path.join(SIGNATURE).exists() {
                true => "the signature of manifest.json does not hold for this key",
                false => "a key was given and nothing is signed",
            };
            damage.push(format!("{SIGNATURE}: {why}"));
        }
        let files: Vec<FileVerdict> = self.manifest.files.iter().map(|proof| self.replay(proof, judging)).collect();
        Checked {
            format: FORMAT,
            program: PROGRAM.to_owned(),
            good: damage.is_empty() && files.iter().all(|file| file.same),
            damage,
            signature,
            notes: self.notes(judging),
            files,
        }
    }

    /// Files that are not as they were written.
    fn damage(&self) -> Vec<String> {
        let there = match folder::list(&self.path) {
            Ok(there) => there,
            Err(error) => return vec![format!("{}: {error}", self.path.display())],
        };
        let mut damage = Vec::new();
        let mut expected: Vec<(String, String)> = Vec::new();
        for proof in &self.manifest.files {
            if folder::is_file_of_ours(&proof.file) {
                expected.push((proof.file.clone(), proof.sha256.clone()));
            } else {
                damage.push(format!("{:?}: no name of a file of a bundle", proof.file));
            }
        }
        expected.push((MANIFEST.to_owned(), folder::digest(&self.text)));
        if let Ok(bytes) = fs::read(self.path.join(SIGNATURE)) {
            expected.push((SIGNATURE.to_owned(), folder::digest(&bytes)));
        }
        for (name, sha256) in &expected {
            match fs::read(self.path.join(name)) {
                Ok(bytes) if folder::digest(&bytes) == *sha256 => {}
                Ok(bytes) => {
                    let found = folder::digest(&bytes);
                    damage.push(format!("{name}: is not what was written: SHA-256 {sha256} expected, {found} found"));
                }
                Err(error) => damage.push(format!("{name}: missing: {error}")),
            }
        }
        let known = |name: &String| name == SUMS || expected.iter().any(|(expected, _)| expected == name);
        damage.extend(there.iter().filter(|name| !known(name)).map(|name| format!("{name:?}: does not belong to it")));
        match fs::read(self.path.join(SUMS)) {
            Ok(bytes) if bytes == folder::sums(&mut expected).as_bytes() => {}
            Ok(_) => damage.push(format!("{SUMS}: its digests are not those of the files that belong to the bundle")),
            Err(error) => damage.push(format!("{SUMS}: missing: {error}")),
        }
        damage
    }

    fn signature(&self, key: Option<&VerifyKey>) -> Standing {
        match (fs::read(self.path.join(SIGNATURE)), key) {
            (Ok(signature), Some(key)) if key.holds(&self.text, &signature) => Standing::Holds,
            (_, Some(_)) => Standing::Fails,
            (Ok(_), None) => Standing::NotChecked,
            (Err(_), None) => Standing::Unsigned,
        }
    }

    /// What is judged by now and was not then.
    fn notes(&self, judging: &Judging) -> Vec<String> {
        let Manifest { signatures, country_database, asn_database, .. } = &self.manifest;
        let none = || "none".to_owned();
        let pairs = [
            ("signatures", signatures.clone(), judging.signatures.digest.clone()),
            ("country database", country_database.clone(), judging.places.country_title()),
            (
                "database of AS numbers",
                asn_database.clone().unwrap_or_else(none),
                judging.places.asn_title().unwrap_or_else(none),
            ),
        ];
        let others = pairs.into_iter().filter(|(_, then, now)| then != now);
        others.map(|(what, then, now)| format!("judged by other {what}: {then} then, {now} now")).collect()
    }

    /// Scans a file and compares.
    fn replay(&self, proof: &manifest::Proof, judging: &Judging) -> FileVerdict {
        let path = self.path.join(&proof.file).to_string_lossy().into_owned();
        let subject = &proof.finding;
        let how = How { judging, vlans_apart: self.manifest.options.vlans_apart };
        // A name with a folder in it is no file of the bundle.
        let source = folder::is_file_of_ours(&proof.file).then(|| Inputs::open(&[path], None).ok()).flatten();
        let findings = source.map(|mut source| how.scan(&mut source)).unwrap_or_default();
        let differences = subject.told().differences(&told_of(&subject.id, subject, &findings));
        FileVerdict {
            file: proof.file.clone(),
            finding: subject.id.clone(),
            sentence: subject.sentence(),
            same: differences.is_empty(),
            known: !differences.is_empty() && differences == proof.unlike,
            differences,
        }
    }
}
