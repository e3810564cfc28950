//! Formats beside JSON lines, each under an option of its name.
//!
//! In: what was typed. Out: which formats are wanted, and where. [`Format`] is the list of them.

use std::path::{Path, PathBuf};

use clap::Args;

#[cfg(feature = "parquet")]
use crate::report::parquet;
use crate::report::{csv, zeek};

const HEADING: &str = "Other formats";

/// Formats beside JSON lines.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = HEADING)]
pub struct FormatArgs {
    /// Write findings and assets as tables for spreadsheets: findings.csv, assets.csv
    #[arg(long, value_name = "DIR")]
    pub csv: Option<PathBuf>,

    /// Write flows as logs of Zeek (scan): conn.log, ssl.log, dns.log, http.log
    #[arg(long, value_name = "DIR")]
    pub zeek: Option<PathBuf>,

    /// Write flows and findings as EVE, Suricata's JSON lines: flow, tls, dns, http; a finding is an alert
    #[arg(long, value_name = "PATH")]
    pub eve: Option<PathBuf>,

    /// Write every finding as a line of the Common Event Format, for SIEMs
    #[arg(long, value_name = "PATH")]
    pub cef: Option<PathBuf>,

    /// Write findings as a STIX 2.1 bundle
    #[arg(long, value_name = "PATH")]
    pub stix: Option<PathBuf>,

    /// Write findings as an event for MISP
    #[arg(long, value_name = "PATH")]
    pub misp: Option<PathBuf>,

    /// Write flows, findings and assets as Parquet (scan): flows.parquet, findings.parquet, assets.parquet
    #[cfg(feature = "parquet")]
    #[arg(long, value_name = "DIR")]
    pub parquet: Option<PathBuf>,
}

/// A format beside JSON lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Tables for spreadsheets.
    Csv,
    /// Logs of Zeek.
    Zeek,
    /// Suricata's JSON lines.
    Eve,
    /// Common Event Format.
    Cef,
    /// STIX 2.1.
    Stix,
    /// MISP.
    Misp,
    /// Parquet.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl Format {
    /// Its option.
    pub fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Zeek => "zeek",
            Format::Eve => "eve",
            Format::Cef => "cef",
            Format::Stix => "stix",
            Format::Misp => "misp",
            #[cfg(feature = "parquet")]
            Format::Parquet => "parquet",
        }
    }

    /// Its files, when its option names a folder.
    pub fn files(self) -> &'static [&'static str] {
        match self {
            Format::Csv => &csv::TABLES,
            Format::Zeek => &zeek::LOGS,
            #[cfg(feature = "parquet")]
            Format::Parquet => &parquet::TABLES,
            Format::Eve | Format::Cef | Format::Stix | Format::Misp => &[],
        }
    }

    /// Whether it shows flows.
    pub fn has_flows(self) -> bool {
        match self {
            Format::Zeek | Format::Eve => true,
            #[cfg(feature = "parquet")]
            Format::Parquet => true,
            Format::Csv | Format::Cef | Format::Stix | Format::Misp => false,
        }
    }

    /// Whether its records are lines of their own, which a sensor writes as they arise.
    pub fn is_lines(self) -> bool {
        matches!(self, Format::Eve | Format::Cef)
    }
}

impl FormatArgs {
    /// What is wanted, and where.
    pub fn wanted(&self) -> impl Iterator<Item = (Format, &Path)> {
        let all = [
            (Format::Csv, &self.csv),
            (Format::Zeek, &self.zeek),
            (Format::Eve, &self.eve),
            (Format::Cef, &self.cef),
            (Format::Stix, &self.stix),
            (Format::Misp, &self.misp),
            #[cfg(feature = "parquet")]
            (Format::Parquet, &self.parquet),
        ];
        all.into_iter().filter_map(|(format, path)| Some((format, path.as_deref()?)))
    }

    /// The documents among them, which stand only when all is known.
    pub fn documents(&self) -> Vec<PathBuf> {
        let documents = self.wanted().filter(|(format, _)| !format.is_lines());
        documents
            .flat_map(|(format, path)| match format.files() {
                [] => vec![path.to_owned()],
                files => files.iter().map(|file| path.join(file)).collect(),
            })
            .collect()
    }
}
