//! The packets behind every finding, so that another person can replay them.
//!
//! In: a report, the flows of the same run, the same inputs once more. Out: a folder: of each finding a pcapng with just the
//! packets that prove it, `manifest.json` that says what each file proves, `SHA256SUMS` over all of it, and, where a key is
//! given, a signature that `openssl` verifies. Nothing of this lies on the way of packets: flows are chosen when all is
//! judged, their packets are read in a second pass; for that a sensor keeps the first packets of every flow (`keeper`). [`Bundle`] is such a folder read back and held against what it claims.
//!
//! By default payload is kept only where it gave a fact: other packets end behind their headers, as a snap length ends
//! them. What is kept of a protocol that is not a handshake is blanked word by word, as far as the finding comes out the
//! same without the word: the ordinary scan of the file is asked each time. So the bundle holds neither cookies nor
//! content, and whatever it holds is known to be enough.

mod blank;
mod bundle;
mod choose;
mod cut;
mod folder;
mod keeper;
mod manifest;
mod packets;
mod pcapng;
mod replay;
mod sign;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::capture::Source;
use crate::collect::Judging;
use crate::fact::value;
use crate::record::Finding;
use crate::report::{PROGRAM, Report};
use crate::scan::Flows;

pub use bundle::{Bundle, Checked, FileVerdict, Standing};
pub use folder::{Folder, MANIFEST, SIGNATURE, SUMS};
pub use keeper::Keeper;
pub use manifest::{Difference, FORMAT, Input, Manifest, Options, Proof, Subject, Told};
pub use sign::{SignKey, VerifyKey};

use choose::Chosen;
use folder::Writing;
use manifest::Limit;
use packets::Gathered;
use replay::How;

/// Findings of one bundle.
pub const FINDINGS_MAX: usize = 10_000;
/// Flows that show one finding.
pub const FLOWS_PER_FINDING_MAX: usize = 8;
/// Pieces of evidence for an asset, the best first.
pub const PIECES_PER_FINDING_MAX: usize = 16;
/// Packets of one file.
pub const FINDING_PACKETS_MAX: usize = 10_000;
/// Captured bytes of one file.
pub const FINDING_BYTES_MAX: usize = 16 << 20;
/// Captured bytes of all files.
pub const BUNDLE_BYTES_MAX: usize = 1 << 30;
/// Packets of one flow whose payload is kept.
pub const PAYLOADS_PER_FLOW_MAX: usize = 64;
/// Packets of one flow that are kept up to the end of their headers.
pub const HEADERS_PER_FLOW_MAX: usize = 16;

/// Bytes of a text that are shown; what is longer is cut there.
const TEXT_BYTES_MAX: usize = 1024;

/// Why there is no bundle, or why it cannot be read.
#[derive(Debug, Error)]
pub enum EvidenceError {
    /// The folder, a key or an input cannot be used for this.
    #[error("{0}")]
    Usage(String),
    /// It cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// What.
        path: String,
        /// What the system said.
        error: io::Error,
    },
}

impl EvidenceError {
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> EvidenceError + use<> {
        let path = path.display().to_string();
        move |error| EvidenceError::Io { path: path.clone(), error }
    }
}

/// What is kept of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Payload {
    /// What gave a fact, blanked as far as the finding comes out the same.
    Proof,
    /// All of the packets of the flows that prove something.
    Full,
}

/// What a bundle is made with.
pub struct Wish {
    /// Where it goes.
    pub folder: Folder,
    /// What is kept of payload.
    pub payload: Payload,
    /// Who signs it.
    pub key: Option<SignKey>,
    /// The options of the run, for the manifest.
    pub options: Options,
    /// Packets that were read at most.
    pub packets_max: u64,
    /// Findings that get a file at most.
    pub findings_max: usize,
    /// Captured bytes of all files at most.
    pub bytes_max: usize,
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The file of each finding, by its id.
    pub files: BTreeMap<String, String>,
    /// Ids of findings that the ordinary scan of their file does not say the same way.
    pub unlike: Vec<String>,
    /// Findings beyond a limit.
    pub left_out: u64,
}

/// Writes the bundle of a run: its report, its flows (which stay as they are), and its inputs once more.
///
/// # Errors
/// The folder cannot be written, or the inputs cannot be read again.
pub fn write(
    wish: &Wish,
    report: &Report,
    flows: &mut Flows,
    source: &mut dyn Source,
    judging: &Judging,
) -> Result<Written, EvidenceError> {
    let mut limits = Limits::default();
    let findings = report.findings.get(..wish.findings_max).unwrap_or(&report.findings);
    limits.reach("findings", wish.findings_max, report.findings.len() - findings.len());
    let chosen = choose::choose(findings, flows, judging, &mut limits).map_err(EvidenceError::io(&wish.folder.path))?;
    let gathered = packets::gather(source, wish, &report.header.sources, &chosen, &mut limits);
    let mut writing = Writing::begin(&wish.folder, findings.iter().map(file_name))?;
    let mut proofs = Vec::new();
    let mut written = Written { files: BTreeMap::new(), unlike: Vec::new(), left_out: 0 };
    written.left_out = (report.findings.len() - findings.len()) as u64;
    let mut bytes = 0;
    for (finding, chosen) in findings.iter().zip(&chosen) {
        let made = make(finding, chosen, &gathered, wish, judging, &mut limits);
        if made.bytes.len() + bytes > wish.bytes_max {
            limits.reach("bundle.bytes", wish.bytes_max, 1);
            written.left_out += 1;
            continue;
        }
        bytes += made.bytes.len();
        let file = file_name(finding);
        let sha256 = writing.add(&file, &made.bytes)?;
        if !made.unlike.is_empty() {
            written.unlike.push(finding.id.clone());
        }
        proofs.push(Proof {
            file: file.clone(),
            sha256,
            bytes: made.bytes.len() as u64,
            packets: made.packets as u64,
            finding: made.subject,
            unlike: made.unlike,
        });
        written.files.insert(finding.id.clone(), file);
    }
    let manifest = Manifest {
        format: FORMAT,
        kind: manifest::KIND.to_owned(),
        program: PROGRAM.to_owned(),
        payload: wish.payload,
        inputs: gathered.inputs,
        signatures: report.header.signatures.sha256.clone(),
        country_database: report.header.country_database.clone(),
        asn_database: report.header.asn_database.clone(),
        options: wish.options.clone(),
        files: proofs,
        limits: limits.0.into_iter().map(|(name, limit)| (name.to_owned(), limit)).collect(),
    };
    writing.finish(&manifest, wish.key.as_ref())?;
    Ok(written)
}

/// Limits that were reached, by name.
#[derive(Default)]
struct Limits(BTreeMap<&'static str, Limit>);

impl Limits {
    /// So many things were left out because of it.
    fn reach(&mut self, name: &'static str, limit: usize, left_out: usize) {
        if left_out > 0 {
            self.0.entry(name).or_insert(Limit { limit: limit as u64, left_out: 0 }).left_out += left_out as u64;
        }
    }
}

/// Name of the file of a finding.
fn file_name(finding: &Finding) -> String {
    format!("{}.pcapng", finding.id)
}

/// One file.
struct Made {
    bytes: Vec<u8>,
    packets: usize,
    subject: Subject,
    unlike: Vec<Difference>,
}

/// Makes the file of a finding: of the flows that show it as many as it takes, in their order.
fn make(
    finding: &Finding,
    chosen: &Chosen,
    gathered: &Gathered,
    wish: &Wish,
    judging: &Judging,
    limits: &mut Limits,
) -> Made {
    let (payload, how) = (wish.payload, How { judging, vlans_apart: wish.options.vlans_apart });
    let subject = Subject::of(finding);
    let mut flows = 1;
    let (mut packets, left_out, unlike) = loop {
        let (packets, left_out) = cut::assemble(chosen, flows, gathered, payload);
        let unlike = subject.told().differences(&how.told(&finding.id, &subject, &packets));
        if unlike.is_empty() || flows >= chosen.flows.len() {
            break (packets, left_out, unlike);
        }
        flows += 1;
    };
    let [packets_left_out, bytes_left_out] = left_out;
    limits.reach("finding.packets", FINDING_PACKETS_MAX, packets_left_out);
    limits.reach("finding.bytes", FINDING_BYTES_MAX, bytes_left_out);
    if payload == Payload::Proof {
        blank::blank(&finding.id, &mut packets, how, unlike.is_empty(), limits);
    }
    let unlike = match payload {
        Payload::Proof => subject.told().differences(&how.told(&finding.id, &subject, &packets)),
        Payload::Full => unlike,
    };
    let bytes = pcapng::file(&subject.sentence(), &gathered.inputs, &packets);
    Made { bytes, packets: packets.len(), subject, unlike }
}

/// Text that does nothing where it is shown: what controls or turns it around stands as `\u{…}`, and it has an end.
pub fn plain(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    for character in raw.chars() {
        if value::is_hidden(character) {
            text.extend(character.escape_unicode());
        } else {
            text.push(character);
        }
        if text.len() > TEXT_BYTES_MAX {
            text.push('…');
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn text_does_nothing_where_it_is_shown() {
        assert_eq!(plain("a\u{202e}b\n<script>"), "a\\u{202e}b\\u{a}<script>");
        assert!(plain(&"x".repeat(9999)).len() < 1100);
    }
}
