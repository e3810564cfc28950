//! What can be typed about evidence: how a bundle is made, and `bordertap verify`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{DatabaseArgs, LogFormat, SignatureArgs, When};
use crate::evidence;
use crate::output::parse_size;

/// How a bundle of evidence is made.
#[derive(Debug, Args, Default)]
pub struct EvidenceArgs {
    /// Write the packets behind every finding as pcapng into a folder, with a manifest and digests: see `bordertap verify`.
    /// The folder must be new, empty, or have an older bundle, which is replaced
    #[arg(long, value_name = "DIR", help_heading = EVIDENCE)]
    pub evidence: Option<PathBuf>,

    /// What live may keep of packets for that, in files for temporary use: the first packets of every flow, the latest flows
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_size, requires = "evidence")]
    #[arg(help_heading = EVIDENCE)]
    pub evidence_keep: u64,

    /// What is kept of payload: proof is what gave a fact and no more; full is all of the packets of the flows that show a
    /// finding
    #[arg(long, value_enum, default_value_t, value_name = "WHAT", requires = "evidence", help_heading = EVIDENCE)]
    pub evidence_payload: Payload,

    /// Sign the manifest with this Ed25519 key (PEM, from `openssl genpkey -algorithm ed25519`)
    #[arg(long, value_name = "FILE", requires = "evidence", help_heading = EVIDENCE)]
    pub evidence_key: Option<PathBuf>,
}

const EVIDENCE: &str = "Evidence";

/// What is kept of payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Payload {
    /// What gave a fact.
    #[default]
    Proof,
    /// All of the packets of the flows that show a finding.
    Full,
}

impl From<Payload> for evidence::Payload {
    fn from(payload: Payload) -> evidence::Payload {
        match payload {
            Payload::Proof => evidence::Payload::Proof,
            Payload::Full => evidence::Payload::Full,
        }
    }
}

/// `bordertap verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The folder that `--evidence` wrote
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,

    /// The public key that must have signed it (PEM, from `openssl pkey -pubout`)
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,

    /// Which signatures
    #[command(flatten)]
    pub signatures: SignatureArgs,

    /// Where places come from
    #[command(flatten)]
    pub databases: DatabaseArgs,

    /// Write the result as one JSON document, - for standard output in place of the text
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,

    /// How messages are written to standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// Colour in the text (NO_COLOR is honoured)
    #[arg(long, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    pub color: When,
}
