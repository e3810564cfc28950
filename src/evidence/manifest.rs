//! What a bundle says of itself.
//!
//! In: what was written, or the document. Out: the other; and of a finding what a replay must bring out again, with what
//! differs. `fixtures/schema/manifest.json` describes the document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Payload;
use crate::record::{Crossing, Finding};

/// Version of the document.
pub const FORMAT: u32 = 1;
/// What tells the document from others.
pub(super) const KIND: &str = "bordertap.evidence";

/// The document.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// `bordertap.evidence`.
    pub kind: String,
    /// Name and version of who wrote it.
    pub program: String,
    /// What was kept of payload.
    pub payload: Payload,
    /// What was read.
    pub inputs: Vec<Input>,
    /// SHA-256 over the signatures that were used.
    pub signatures: String,
    /// Where countries came from.
    pub country_database: String,
    /// Where AS numbers came from.
    pub asn_database: Option<String>,
    /// How it was judged.
    pub options: Options,
    /// The files, in the order of the report.
    pub files: Vec<Proof>,
    /// Limits that were reached, by name.
    pub limits: BTreeMap<String, Limit>,
}

/// One input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// As it was named.
    pub input: String,
    /// Over the file as it lies there; none when it could not be read for that.
    pub sha256: Option<String>,
    /// Packets that were taken from it.
    pub packets: u64,
}

/// How flows were judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Home countries.
    pub home: Vec<String>,
    /// Prefixes that are ours.
    pub inside: Vec<String>,
    /// SHA-256 of the policy file.
    pub policy: Option<String>,
    /// The filter expression.
    pub filter: Option<String>,
    /// Flows were told apart by their VLANs too.
    #[serde(default)]
    pub vlans_apart: bool,
}

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// How much there may be.
    pub limit: u64,
    /// How many things were left out.
    pub left_out: u64,
}

/// A file and what it proves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Its name.
    pub file: String,
    /// Its digest.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// Packets in it.
    pub packets: u64,
    /// What it proves.
    pub finding: Subject,
    /// What the ordinary scan of this file says otherwise; known when it was written.
    pub unlike: Vec<Difference>,
}

/// What identifies a finding and what a replay must bring out again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its id, as in the report.
    pub id: String,
    /// Address of the asset.
    pub ip: String,
    /// Who made the asset.
    pub vendor: String,
    /// What the asset is.
    pub product: String,
    /// The channel's id.
    pub channel: String,
    /// The destination's name.
    pub domain: Option<String>,
    /// The destination's country.
    pub country: Option<String>,
    /// `outbound` or `inbound`: who opened the flow.
    pub direction: String,
    /// How sure it is that data left.
    pub crossing: String,
}

impl Subject {
    /// Of a finding.
    pub fn of(finding: &Finding) -> Subject {
        Subject {
            id: finding.id.clone(),
            ip: finding.asset.ip.clone(),
            vendor: finding.asset.vendor.clone(),
            product: finding.asset.product.clone(),
            channel: finding.channel.id.clone(),
            domain: finding.destination.domain.clone(),
            country: finding.destination.country.clone(),
            direction: finding.direction.name().to_owned(),
            crossing: finding.crossing.name().to_owned(),
        }
    }

    /// What a replay must bring out again.
    pub fn told(&self) -> Told {
        let Subject { vendor, product, channel, domain, country, direction, crossing, .. } = self.clone();
        Told(Some([
            ("asset.vendor", Some(vendor)),
            ("asset.product", Some(product)),
            ("channel", Some(channel)),
            ("destination.domain", domain),
            ("destination.country", country),
            ("direction", Some(direction)),
            ("crossing", Some(crossing)),
        ]))
    }

    /// The finding in a sentence.
    pub fn sentence(&self) -> String {
        let Subject { ip, vendor, product, channel, crossing, .. } = self;
        let to = if self.direction == "outbound" { "to" } else { "from" };
        let name = self.domain.as_deref().unwrap_or("an address without a name");
        let country = self.country.as_deref().map(|country| format!(" in {country}")).unwrap_or_default();
        let left = match Crossing::ALL.into_iter().find(|c| c.name() == crossing) {
            Some(Crossing::Observed) => "it left the country",
            Some(Crossing::Probable) => "it probably left the country",
            Some(Crossing::Home) => "it stayed at home",
            Some(Crossing::NotDeterminable) | None => "whether it left the country cannot be determined",
        };
        format!("{ip} ({vendor} {product}) uses {channel} {to} {name}{country}: {left}.")
    }
}

/// What a scan says of a finding; nothing when it does not find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told(pub(super) Option<[(&'static str, Option<String>); 7]>);

/// Something that came out otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// What.
    pub what: String,
    /// As the manifest has it.
    pub expected: Option<String>,
    /// As it came out.
    pub found: Option<String>,
}

impl Told {
    /// What is otherwise in `found`.
    pub fn differences(&self, found: &Told) -> Vec<Difference> {
        let (Some(expected), Some(found)) = (&self.0, &found.0) else {
            let expected = Some("a finding of this asset".to_owned());
            return vec![Difference { what: "finding".to_owned(), expected, found: None }];
        };
        let pairs = expected.iter().zip(found).filter(|((_, expected), (_, found))| expected != found);
        pairs
            .map(|((what, expected), (_, found))| Difference {
                what: (*what).to_owned(),
                expected: expected.clone(),
                found: found.clone(),
            })
            .collect()
    }
}
