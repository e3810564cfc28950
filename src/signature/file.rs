//! A signature file as checked values.
//!
//! In: what `read` found in the TOML text. Out: types whose values are well formed: known fields,
//! known words, patterns that were read, a line for everything that a message may point at.
//! `signatures/README.md` describes the format.

use std::fmt;

use jiff::civil::Date;

use super::pattern::{Pattern, Written};
use super::template::Template;
use super::words::{Basis, Data, Function, Region};
use crate::fact::Field;

pub use super::read::parse;

/// The version of the format that this program reads.
pub const FORMAT: u64 = 1;
/// Bytes of one file.
pub const FILE_BYTES_MAX: usize = 16 << 20;
/// A verdict of this confidence or less counts only when nothing better matched.
pub const WEAK_CONFIDENCE_MAX: u8 = 50;
/// The word that stands for all of [`HOST_FIELDS`].
pub const HOST: &str = "host";
/// The fields that carry the name a host wants to reach.
pub const HOST_FIELDS: &[&str] = &["tls.sni", "quic.sni", "dns.qname", "http.host", "connect.host", "socks.host"];

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// Its line, from 1; 0 when it is not about a line.
    pub line: u32,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.reason),
            line => write!(f, "{}:{line}: {}", self.file, self.reason),
        }
    }
}

impl std::error::Error for Mistake {}

/// One vendor's file.
#[derive(Clone, Debug)]
pub struct VendorFile {
    /// Its name, without folders.
    pub file: String,
    /// Who made the products.
    pub vendor: String,
    /// When somebody last compared it with its sources.
    pub checked: Date,
    /// Line of `checked`.
    pub checked_line: u32,
    /// Identities, then channels, each in the order of the file.
    pub entries: Vec<Entry>,
    /// Documented traffic that nothing can tell apart yet.
    pub gaps: Vec<Gap>,
}

/// A signature.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Unique over all files.
    pub id: String,
    /// Line of its header.
    pub line: u32,
    /// Product or service, for people.
    pub product: String,
    /// Identity or channel.
    pub role: Role,
    /// How the conditions are known.
    pub basis: Basis,
    /// Where to read it up.
    pub source: Vec<String>,
    /// What else a reader should know.
    pub note: Option<String>,
    /// Any of these makes a verdict.
    pub whens: Vec<When>,
    /// Flows that must match.
    pub examples: Vec<Sample>,
    /// Flows that must not match.
    pub counterexamples: Vec<Sample>,
}

/// What an entry says.
#[derive(Clone, Debug)]
pub enum Role {
    /// A host is this product.
    Identity,
    /// A flow is this kind of traffic.
    Channel(Channel),
}

impl Role {
    /// Whether it is an identity.
    pub fn is_identity(&self) -> bool {
        matches!(self, Role::Identity)
    }

    /// The channel's part.
    pub fn channel(&self) -> Option<&Channel> {
        match self {
            Role::Identity => None,
            Role::Channel(channel) => Some(channel),
        }
    }
}

/// What only a channel has.
#[derive(Clone, Debug)]
pub struct Channel {
    /// What it is for.
    pub function: Function,
    /// What it carries; empty when nobody says.
    pub data: Vec<Data>,
    /// How `data` is known; there whenever `data` is not empty.
    pub data_basis: Option<Basis>,
    /// How an administrator turns it off, if documented.
    pub off_switch: Option<String>,
}

/// Conditions that must all hold for the same flow.
#[derive(Clone, Debug)]
pub struct When {
    /// Line of its header.
    pub line: u32,
    /// About the flow, in the order of the file.
    pub conditions: Vec<Condition>,
    /// About the sending host: it has any of these identities. Empty: nothing is asked.
    pub from: Vec<String>,
    /// Line of `from`.
    pub from_line: u32,
    /// Where it goes; channels only.
    pub region: Option<Region>,
    /// 1 to 100.
    pub confidence: u8,
    /// Where the model stands in a value of these conditions; identities only. The first that fits counts.
    pub model: Vec<Template>,
    /// Where the version stands.
    pub version: Vec<Template>,
}

impl When {
    /// What it is worth: of what can be read in more than one way no more than weak evidence.
    pub fn worth(&self, ambiguous: bool) -> u8 {
        if ambiguous { self.confidence.min(WEAK_CONFIDENCE_MAX) } else { self.confidence }
    }

    /// The model and the version in a value of its conditions.
    pub fn read<'v>(&self, value: &'v str) -> [Option<&'v str>; 2] {
        [&self.model, &self.version].map(|templates| templates.iter().find_map(|template| template.read(value)))
    }

    /// The longest known text with which it speaks of this host name; nothing when it does not.
    pub fn literal_of(&self, name: &[u8]) -> Option<usize> {
        let names = self.conditions.iter().filter(|condition| condition.is_host());
        let patterns = names.flat_map(|condition| &condition.patterns);
        patterns.filter(|pattern| pattern.matches(name)).map(Pattern::literal_len).max()
    }

    /// Whether it asks for anything that is no host name.
    pub fn asks_besides_names(&self) -> bool {
        !self.from.is_empty() || self.conditions.iter().any(|condition| !condition.is_host())
    }

    /// What it asks for that is no host name, in words; empty when that is nothing.
    pub fn besides_names(&self) -> String {
        let others = self.conditions.iter().filter(|condition| !condition.is_host());
        let mut parts: Vec<String> = others
            .map(|condition| {
                let patterns: Vec<String> = condition.patterns.iter().map(Pattern::to_string).collect();
                format!("{} {}", condition.word, patterns.join(" or "))
            })
            .collect();
        if !self.from.is_empty() {
            parts.push(format!("a sender known as {}", self.from.join(" or ")));
        }
        parts.join(" and ")
    }
}

/// One field (or `host`) and the patterns of which any must match.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The word in the file.
    pub word: String,
    /// Its line.
    pub line: u32,
    /// The fields it means; a value in any of them will do.
    pub fields: Vec<&'static Field>,
    /// Any of these.
    pub patterns: Vec<Pattern>,
}

impl Condition {
    /// Whether it is about the name a host wants to reach.
    pub fn is_host(&self) -> bool {
        self.fields.iter().all(|field| HOST_FIELDS.contains(&field.name))
    }
}

/// An example or counterexample.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Line of its header.
    pub line: u32,
    /// What is seen in the flow.
    pub facts: Vec<SampleFact>,
    /// Identities of the sending host.
    pub from: Vec<String>,
    /// The region that must come out.
    pub region: Option<Region>,
    /// The model that must come out.
    pub model: Option<String>,
    /// The version that must come out.
    pub version: Option<String>,
    /// Why it must not match.
    pub why: Option<String>,
}

/// A value in a sample.
#[derive(Clone, Debug)]
pub struct SampleFact {
    /// The field.
    pub field: &'static Field,
    /// The value as it is written.
    pub written: Written,
    /// The value in the form of the field's kind.
    pub value: Vec<u8>,
}

/// Documented traffic that nothing can tell apart yet.
#[derive(Clone, Debug)]
pub struct Gap {
    /// Unique over all files.
    pub id: String,
    /// Line of its header.
    pub line: u32,
    /// Product or service.
    pub product: String,
    /// What is documented, in one sentence.
    pub what: String,
    /// Where to read it up.
    pub source: Vec<String>,
}
