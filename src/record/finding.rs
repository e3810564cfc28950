//! What a report prints: findings and assets, in the words of the output format.
//!
//! In: filled by `join`. Out: serialised as they stand (`--findings`, `--assets`, `--json`).
//! Numbers from the wire stay numbers; addresses and times become text here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How sure it is that data left the home country.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crossing {
    /// Bytes went to an address outside the home, and nothing contradicts it.
    Observed,
    /// Evidence points outside but is weak.
    Probable,
    /// A global or hidden name, or no place known.
    NotDeterminable,
    /// It stayed.
    Home,
}

impl Crossing {
    /// Every one, the most certain first.
    pub const ALL: [Crossing; 4] = [Crossing::Observed, Crossing::Probable, Crossing::NotDeterminable, Crossing::Home];

    /// Something leaves the country, surely or probably.
    pub fn leaves(self) -> bool {
        matches!(self, Crossing::Observed | Crossing::Probable)
    }

    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Crossing::Observed => "observed",
            Crossing::Probable => "probable",
            Crossing::NotDeterminable => "not-determinable",
            Crossing::Home => "home",
        }
    }
}

/// Who opened a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The inside host.
    Outbound,
    /// The far end.
    Inbound,
}

impl Direction {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Outbound => "outbound",
            Direction::Inbound => "inbound",
        }
    }
}

/// One piece of evidence for an asset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Evidence {
    /// The field, `x509.subject`.
    pub field: String,
    /// The value as it was seen.
    pub value: String,
    /// The signature's id.
    pub signature: String,
    /// Where that signature says so, `file:line`.
    pub matched: String,
    /// What this piece alone is worth, 0 to 100.
    pub confidence: u8,
    /// Packet time of the first sight, RFC 3339.
    pub first_seen: String,
    /// Number of the packet in the input.
    pub packet: u64,
}

/// Bytes by country.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountryBytes {
    /// From the asset to there.
    pub bytes_out: u64,
    /// From there to the asset.
    pub bytes_in: u64,
}

/// Bytes of one calendar month (UTC).
pub type MonthBytes = CountryBytes;

/// An inside host that was identified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// Its address.
    pub ip: String,
    /// Its hardware address, when only this host uses it.
    pub mac: Option<String>,
    /// Who made it.
    pub vendor: String,
    /// What it is.
    pub product: String,
    /// The model, when it stood in clear.
    pub model: Option<String>,
    /// Firmware or software version, when it stood in clear.
    pub version: Option<String>,
    /// 0 to 100.
    pub confidence: u8,
    /// Why.
    pub evidence: Vec<Evidence>,
    /// The part of the network it is in, as the policy names it.
    pub site: Option<String>,
    /// The baseline does not have it; none without a baseline.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new: Option<bool>,
    /// One address fronts many hosts, as a NAT gateway does.
    pub shared_address: bool,
    /// IP bytes it sent to other hosts, inside and outside.
    pub bytes_out: u64,
    /// IP bytes it got.
    pub bytes_in: u64,
    /// Bytes to and from outside addresses by country of the address; `??` where none is known.
    pub by_country: BTreeMap<String, CountryBytes>,
}

/// The asset of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingAsset {
    /// Its address.
    pub ip: String,
    /// Its hardware address, when only this host uses it.
    pub mac: Option<String>,
    /// The part of the network it is in, as the policy names it.
    pub site: Option<String>,
    /// Who made it; for a host known only by this channel, who made what speaks it.
    pub vendor: String,
    /// What it is.
    pub product: String,
    /// 0 to 100.
    pub confidence: u8,
    /// Why.
    pub evidence: Vec<Evidence>,
}

/// The channel of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// The signature's id, or `unexplained`.
    pub id: String,
    /// Whose channel it is.
    pub vendor: String,
    /// Which product or service.
    pub product: String,
    /// A word of the closed list.
    pub function: String,
    /// What data it carries, words of the closed list.
    pub data: Vec<String>,
    /// Who says so: `vendor-document`, `inferred`, …
    pub data_basis: Option<String>,
    /// How the channel itself is known.
    pub basis: Option<String>,
    /// Where to read it up.
    pub source: Vec<String>,
    /// How an administrator turns it off, where that is documented.
    pub off_switch: Option<String>,
    /// `file:line` of the condition that matched.
    pub matched: Vec<String>,
    /// 0 to 100.
    pub confidence: u8,
}

/// An autonomous system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsNumber {
    /// Its number.
    pub number: u32,
    /// Who runs it, as the database says.
    pub organization: String,
}

/// Where a channel goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The best name that was seen.
    pub domain: Option<String>,
    /// What the name was in other copies of the same bytes, which contradicted those that came first; at most 16.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub other_domains: Vec<String>,
    /// The name is the outer one of encrypted client hellos: the inner one is hidden.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub domain_is_outer: bool,
    /// How the name is known: a field, or `dns` for the answer that gave the address.
    pub domain_basis: Option<String>,
    /// The addresses, at most 64.
    pub ip: Vec<String>,
    /// ISO 3166-1 alpha-2, a group such as `EU`, or none.
    pub country: Option<String>,
    /// How the country is known.
    pub country_basis: String,
    /// 0 to 100.
    pub country_confidence: u8,
    /// The autonomous system of the first address, when a database knows it.
    #[serde(rename = "as")]
    pub as_: Option<AsNumber>,
}

/// A hello for one name, to an address that was given for another, or where somebody answers with the certificate of a
/// third: whether it went to the name in the hello is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// The name in the hello.
    pub server_name: String,
    /// Names for which the host was given the address; none when no answer was seen.
    pub dns: Vec<String>,
    /// Names in the certificate, unless one is of the domain of the name in the hello; none when it was sealed.
    pub certificate: Vec<String>,
    /// The address.
    pub ip: String,
    /// Its country, as the database says.
    pub country: Option<String>,
    /// Its autonomous system, when a database knows it.
    #[serde(rename = "as")]
    pub as_: Option<AsNumber>,
}

/// When flows began: how many in each piece of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Seconds in a piece: a power of two.
    pub bucket_seconds: u64,
    /// When a piece begins, RFC 3339, and how many flows began in it; those with none are left out. At most 64.
    pub starts: Vec<(String, u64)>,
}

/// What the sensor itself did not see of these flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// TCP payload that was skipped over or acknowledged and never came by.
    pub missing_bytes: u64,
    /// Flows of which one direction only was seen.
    pub one_sided: u64,
    /// Flows whose start was not captured.
    pub midstream: u64,
    /// Flows cut by the snap length.
    pub truncated: u64,
    /// Flows given up because memory ran out.
    pub evicted: u64,
}

/// That the policy accepts a finding, or did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exempted {
    /// Who answers for it.
    pub owner: String,
    /// Why it is accepted.
    pub reason: String,
    /// The last day, `2027-06-30`.
    pub until: String,
    /// That day was over when the finding was last seen: it exempts no more.
    pub ended: bool,
}

/// One line of the answer: who, what, where, how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Tells the same finding in every report: 16 hex digits of a SHA-256 over asset, channel, name, country, direction.
    pub id: String,
    /// Who.
    pub asset: FindingAsset,
    /// What.
    pub channel: Channel,
    /// Where.
    pub destination: Destination,
    /// What does not fit together, of one of its flows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mismatch: Option<Mismatch>,
    /// Who opened the flows.
    pub direction: Direction,
    /// How sure it is that data left.
    pub crossing: Crossing,
    /// Nothing but attempts: a question for a name, a SYN without an answer.
    pub attempted_only: bool,
    /// IP bytes from the asset.
    pub bytes_out: u64,
    /// IP bytes to the asset.
    pub bytes_in: u64,
    /// Flows.
    pub sessions: u64,
    /// Packet time of the first packet, RFC 3339.
    pub first_seen: String,
    /// Packet time of the last packet, RFC 3339.
    pub last_seen: String,
    /// Bytes by calendar month (UTC), `2026-11`, of the start of each flow.
    pub by_month: BTreeMap<String, MonthBytes>,
    /// When its flows began.
    pub schedule: Schedule,
    /// What was lost of it.
    pub loss: Loss,
    /// `high`, `medium`, `low`, `info`, `exempt`.
    pub severity: String,
    /// All of its flows can be read in more than one way, so nobody can tell what arrived: the name may be another.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub ambiguous: bool,
    /// It counts for `--fail-on-finding`: what the policy's `[alert]` says, else whether it leaves.
    pub alert: bool,
    /// The exemption of the policy that is about it.
    pub exemption: Option<Exempted>,
    /// The baseline does not have it; none without a baseline.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new: Option<bool>,
    /// Plain sentences.
    pub why: Vec<String>,
}
