//! Signed packs: signature files from elsewhere, with proof of who made them and that they are no
//! older than what is in use.
//!
//! In: the bytes of a pack, its minisign signature, the maker's public key. Out: a [`Pack`], or why
//! it is refused. A pack is text: a line `bordertap-signatures 1`, a line `serial N`, and of each
//! file, by name, a line `file NAME BYTES`, its bytes, and a newline. The signature is checked over
//! the whole pack before anything in it is read. minisign (Ed25519 over BLAKE2b-512):
//! <https://jedisct1.github.io/minisign/>.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;
use minisign_verify::{PublicKey, Signature};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::DIR_FILES_MAX;
use super::file::{FILE_BYTES_MAX, Mistake};
use crate::fact::value;

/// Bytes of a pack.
pub const PACK_BYTES_MAX: usize = 64 << 20;
/// Bytes of a signature or key file.
const PROOF_BYTES_MAX: u64 = 4096;
const FIRST_LINE: &str = "bordertap-signatures 1";

/// Which pack it is; reports name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Its file name.
    pub name: String,
    /// Grows from pack to pack of one maker: the date as `YYYYMMDD` and two digits.
    pub serial: u64,
    /// SHA-256 of its bytes, in lower-case hex.
    pub sha256: String,
    /// The id of the key that signed it, sixteen hex digits, as minisign prints it.
    pub key_id: String,
}

/// A pack whose signature held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// Which it is.
    pub seal: Seal,
    /// File names and texts.
    pub files: Vec<(String, String)>,
}

/// A maker's public key.
#[derive(Clone, Debug)]
pub struct Key {
    key: PublicKey,
    id: String,
}

impl Key {
    /// A key from the base64 text that minisign prints, or from the file that holds it.
    ///
    /// # Errors
    /// Neither; in words.
    pub fn new(text: &str) -> Result<Key, String> {
        let line = match PublicKey::from_base64(text) {
            Ok(_) => text.to_owned(),
            Err(_) => {
                let file = read(Path::new(text), PROOF_BYTES_MAX)
                    .map_err(|e| format!("{text}: neither a minisign public key nor a file with one: {e}"))?;
                let file = String::from_utf8_lossy(&file).into_owned();
                file.lines().find(|line| !line.starts_with("untrusted comment:")).unwrap_or_default().trim().to_owned()
            }
        };
        let key = PublicKey::from_base64(&line).map_err(|e| format!("{text}: not a minisign public key: {e}"))?;
        // Two bytes of algorithm, then the id, least byte first.
        let bytes = STANDARD.decode(&line).map_err(|e| format!("{text}: {e}"))?;
        let id = bytes.iter().skip(2).take(8).rev().fold(String::new(), |mut id, byte| {
            let _ = write!(id, "{byte:02X}");
            id
        });
        Ok(Key { key, id })
    }
}

impl Pack {
    /// The bytes of a pack of these files, to be signed with `minisign -S`.
    pub fn bytes(serial: u64, files: &[(String, String)]) -> Vec<u8> {
        let mut out = format!("{FIRST_LINE}\nserial {serial}\n");
        for (name, text) in files {
            let _ = writeln!(out, "file {name} {}\n{text}", text.len());
        }
        out.into_bytes()
    }

    /// Reads a pack whose signature lies beside it, in a file of its name and `.minisig`.
    ///
    /// # Errors
    /// It cannot be read, the signature does not hold, or it is no pack.
    pub fn open(path: &Path, key: &Key) -> Result<Pack, Mistake> {
        let mistake = |path: &Path, reason| Mistake { file: path.display().to_string(), line: 0, reason };
        let beside = PathBuf::from(format!("{}.minisig", path.display()));
        let bytes = read(path, PACK_BYTES_MAX as u64).map_err(|e| mistake(path, e.to_string()))?;
        let proof =
            read(&beside, PROOF_BYTES_MAX).map_err(|e| mistake(&beside, format!("the signature of the pack: {e}")))?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        Pack::verify(&name, &bytes, &String::from_utf8_lossy(&proof), key).map_err(|reason| mistake(path, reason))
    }

    /// Checks the signature, then reads.
    ///
    /// # Errors
    /// In words.
    pub fn verify(name: &str, bytes: &[u8], proof: &str, key: &Key) -> Result<Pack, String> {
        let refused = |why: String| format!("refused: {why}");
        let proof = Signature::decode(proof).map_err(|e| refused(format!("its .minisig file is no signature: {e}")))?;
        key.key
            .verify(bytes, &proof, false)
            .map_err(|e| refused(format!("the signature does not hold for the key {}: {e}", key.id)))?;
        let text = str::from_utf8(bytes).map_err(|e| refused(format!("byte {} is no UTF-8", e.valid_up_to())))?;
        let (serial, files) = Pack::contents(text).map_err(refused)?;
        let sha256 = value::hex(&Sha256::digest(bytes));
        let seal = Seal { name: name.to_owned(), serial, sha256, key_id: key.id.clone() };
        Ok(Pack { seal, files })
    }
}

impl Seal {
    /// Whether it may take the place of what is in use.
    ///
    /// # Errors
    /// It is older, or claims the same serial for other bytes; in words.
    pub fn may_follow(&self, used: &Used) -> Result<(), String> {
        let Used { serial, sha256, what } = used;
        if self.serial < *serial {
            return Err(format!("refused: its serial {} is older than {serial} of {what}", self.serial));
        }
        if self.serial == *serial && sha256.as_ref().is_some_and(|sha256| *sha256 != self.sha256) {
            return Err(format!("refused: {what} has the same serial {serial} and other bytes"));
        }
        Ok(())
    }
}

/// What a pack may not be older than.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// Its serial.
    pub serial: u64,
    /// SHA-256 of its bytes, when it was a pack.
    pub sha256: Option<String>,
    /// What it is, for messages.
    pub what: String,
}

impl Used {
    /// The built-in files, of which the newest was checked on this day.
    pub fn built_in(newest: Date) -> Used {
        let day = u64::from(newest.year().unsigned_abs()) * 10_000
            + u64::from(newest.month().unsigned_abs()) * 100
            + u64::from(newest.day().unsigned_abs());
        Used { serial: day * 100, sha256: None, what: format!("the signatures built in, of {newest}") }
    }

    /// The pack that a file remembers; nothing when there is no such file yet.
    ///
    /// # Errors
    /// It cannot be read, or holds something else.
    pub fn remembered(path: &Path) -> Result<Option<Used>, String> {
        let text = match read(path, PROOF_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|e| format!("{}: {e}", path.display()))?,
        };
        let text = String::from_utf8_lossy(&text);
        let parsed = text.trim_end().split_once(' ').and_then(|(serial, sha256)| {
            let is_digest = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
            Some((serial.parse().ok()?, is_digest.then(|| sha256.to_owned())?))
        });
        let Some((serial, sha256)) = parsed else {
            return Err(format!("{}: not the serial and SHA-256 of a pack", path.display()));
        };
        let what = format!("the pack remembered in {}", path.display());
        Ok(Some(Used { serial, sha256: Some(sha256), what }))
    }

    /// Remembers a pack: the file is replaced at once or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn remember(path: &Path, seal: &Seal) -> Result<(), String> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            writeln!(file, "{} {}", seal.serial, seal.sha256)?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok::<_, io::Error>(())
        };
        write().map_err(|e| format!("{}: {e}", path.display()))
    }
}

/// A file of at most so many bytes.
fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if about.len() > most {
        return Err(io::Error::other(format!("the file has {} bytes; at most {most} are read", about.len())));
    }
    fs::read(path)
}

impl Pack {
    /// Serial and files in the text of a pack, whoever made it.
    ///
    /// # Errors
    /// It is no pack; in words.
    pub fn contents(text: &str) -> Result<(u64, Vec<(String, String)>), String> {
        let rest = text.strip_prefix(FIRST_LINE).and_then(|rest| rest.strip_prefix('\n'));
        let rest = rest.ok_or_else(|| format!("it does not begin with `{FIRST_LINE}`"))?;
        let (line, mut rest) = rest.split_once('\n').ok_or("it ends early")?;
        let serial = line.strip_prefix("serial ").and_then(|serial| serial.parse().ok());
        let serial = serial.ok_or("its second line is no `serial` and number")?;
        let mut files: Vec<(String, String)> = Vec::new();
        while !rest.is_empty() {
            let at = text.len() - rest.len();
            let wrong = |what: &str| format!("at byte {at}: {what}");
            let (line, after) = rest.split_once('\n').ok_or_else(|| wrong("it ends early"))?;
            let mut words = line.split(' ');
            let (Some("file"), Some(name), Some(bytes), None) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(wrong("not `file`, a name and a number of bytes"));
            };
            let bytes: usize = bytes.parse().map_err(|_| wrong("not a number of bytes"))?;
            if !name.ends_with(".toml") || name.contains(['/', '\\']) {
                return Err(wrong("a file in a pack has a name without folders that ends in .toml"));
            }
            if files.last().is_some_and(|(last, _)| last.as_str() >= name) {
                return Err(wrong("the files are not sorted by name, each once"));
            }
            if bytes > FILE_BYTES_MAX || files.len() == DIR_FILES_MAX {
                return Err(wrong("more files, or a longer one, than are read"));
            }
            let file = after.get(..bytes).ok_or_else(|| wrong("the file ends early"))?;
            rest = after
                .get(bytes..)
                .and_then(|rest| rest.strip_prefix('\n'))
                .ok_or_else(|| wrong("no newline behind the file"))?;
            files.push((name.to_owned(), file.to_owned()));
        }
        if files.is_empty() { Err("no file in it".to_owned()) } else { Ok((serial, files)) }
    }
}
