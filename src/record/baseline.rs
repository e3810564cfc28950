//! What was known before: the findings and assets of an older report.
//!
//! In: that report's records. Out: whether one of today is new beside them.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{Asset, Finding};

/// A file that something was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The file as it was given, or the name of a preset.
    pub name: String,
    /// SHA-256 over its bytes.
    pub sha256: String,
}

/// Who is who and who talks where in an older report.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// The report's file.
    pub origin: Origin,
    /// The key with which its addresses were replaced, by its id.
    pub anonymised: Option<String>,
    findings: HashSet<String>,
    assets: HashSet<(String, String)>,
}

impl Baseline {
    /// Of these findings and assets.
    pub fn new(origin: Origin, findings: &[Finding], assets: &[Asset]) -> Baseline {
        Baseline {
            origin,
            anonymised: None,
            findings: findings.iter().map(|finding| finding.id.clone()).collect(),
            assets: assets.iter().map(|asset| (asset.ip.clone(), asset.vendor.clone())).collect(),
        }
    }

    /// The same of a report whose addresses were replaced with this key, if they were.
    pub fn of_key(self, anonymised: Option<String>) -> Baseline {
        Baseline { anonymised, ..self }
    }

    /// Whether it has the finding of this id.
    pub fn has_finding(&self, id: &str) -> bool {
        self.findings.contains(id)
    }

    /// Whether it has an asset of this vendor at this address.
    pub fn has_asset(&self, ip: &str, vendor: &str) -> bool {
        self.assets.contains(&(ip.to_owned(), vendor.to_owned()))
    }
}
