//! A report from a file.
//!
//! In: the document of `--json`. Out: a [`Report`], or why not: with the file, and with line and column where it is no report.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{FORMAT, Report};
use crate::fact::value;
use crate::record::{Baseline, Origin};

/// Bytes of a report that is read.
pub const REPORT_BYTES_MAX: u64 = 4 << 30;

/// Why a report cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It is no report; serde says line and column.
    #[error("{}: not a report of bordertap: {reason}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// It is of another version.
    #[error("{}: it is of format {found}, and this program reads {FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

/// The part that every version has.
#[derive(Deserialize)]
struct Versioned {
    header: Version,
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// Reads a report.
///
/// # Errors
/// When the file cannot be read, is too long, is no report, or one of another version.
pub fn read(path: &Path) -> Result<Report, ReadError> {
    parse(path, &bytes(path)?)
}

/// Reads what is known of a report, to compare with.
///
/// # Errors
/// As [`read`].
pub fn baseline(path: &Path) -> Result<Baseline, ReadError> {
    let bytes = bytes(path)?;
    let report = parse(path, &bytes)?;
    let origin = Origin { name: path.to_string_lossy().into_owned(), sha256: value::hex(&Sha256::digest(&bytes)) };
    Ok(Baseline::new(origin, &report.findings, &report.assets).of_key(report.header.anonymised))
}

fn bytes(path: &Path) -> Result<Vec<u8>, ReadError> {
    let failed = |reason: String| ReadError::File { path: path.to_owned(), reason };
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(REPORT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > REPORT_BYTES_MAX {
        return Err(failed(format!("more than the {REPORT_BYTES_MAX} bytes that a report may have")));
    }
    Ok(bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Report, ReadError> {
    let wrong = |error: serde_json::Error| ReadError::Text { path: path.to_owned(), reason: error.to_string() };
    // What another version lacks should not be told as missing.
    let versioned: Versioned = serde_json::from_slice(bytes).map_err(wrong)?;
    match versioned.header.format {
        FORMAT => serde_json::from_slice(bytes).map_err(wrong),
        found => Err(ReadError::Format { path: path.to_owned(), found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_report_says_where() {
        let path = Path::new("old.json");
        for (text, expected) in [
            ("", "old.json: not a report of bordertap: EOF while parsing a value at line 1 column 0"),
            ("{}", "old.json: not a report of bordertap: missing field `header` at line 1 column 2"),
            ("{\"header\":\n{\"format\": x", "old.json: not a report of bordertap: expected value at line 2 column 12"),
            ("{\"header\":{\"format\":2}}", "old.json: it is of format 2, and this program reads 1"),
            (
                "{\"header\":{\"format\":1}}",
                "old.json: not a report of bordertap: missing field `program` at line 1 column 22",
            ),
        ] {
            assert_eq!(parse(path, text.as_bytes()).unwrap_err().to_string(), expected, "{text}");
        }
        let missing = read(Path::new("/nonexistent/old.json")).unwrap_err().to_string();
        assert!(missing.starts_with("/nonexistent/old.json: "), "{missing}");
    }
}
