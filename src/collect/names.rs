//! Names of the other end of a flow, in the form in which they are compared.
//!
//! In: facts as they stood on the wire. Out: names; beside the one that counts also those that other readings of the same
//! bytes give, and those of a certificate that fits none.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::fact::{Fact, Facts, value};
use crate::merge::Map;
use crate::parse::{quic, tls};
use crate::record::{FlowRecord, NAME_FIELDS, is_one_domain, normal_name};

/// Names that one worker keeps in the form in which they are compared.
const INTERNED_MAX: usize = 1 << 16;
/// The longest of them: a host name has no more (RFC 1035, section 2.3.4).
const INTERNED_BYTES_MAX: usize = 255;
/// Names kept of a flow that can be read in more than one way, beside the first.
pub const OTHER_NAMES_MAX: usize = 16;
/// Names of a certificate that are kept.
const CERTIFICATE_NAMES_MAX: usize = 4;

/// Whether a name in this field stood in a hello.
pub fn is_in_hello(field: &str) -> bool {
    [&tls::SNI, &quic::SNI].iter().any(|sni| sni.name == field)
}

/// Host names of the server's certificate, when there are some and none is of the domain that the hello asked for.
pub(super) fn other_certificate(record: &FlowRecord) -> Box<[Box<str>]> {
    let none = Box::default;
    let Some(asked) = record.facts.first(&tls::SNI) else { return none() };
    let server = asked.side.other();
    let is_server = |fact: &Fact<'_>| fact.side == server;
    let mut names: Vec<Arc<str>> =
        record.facts.of(&tls::X509_SAN).filter(is_server).filter_map(|fact| host_name(fact.value)).collect();
    if names.is_empty() {
        // Its own subject comes before those of whoever signed it.
        let subject = record.facts.of(&tls::X509_SUBJECT).find(is_server);
        let subject = subject.as_ref().and_then(|fact| fact.value.strip_prefix(b"CN="));
        let common = subject.map(|rest| rest.split(|byte| *byte == b',').next().unwrap_or_default());
        names.extend(common.and_then(host_name));
    }
    let Some(name) = compared(asked.value).filter(|_| !names.is_empty()) else { return none() };
    if names.iter().any(|other| is_one_domain(other, &name)) {
        return none();
    }
    names.sort_unstable();
    names.dedup();
    names.iter().take(CERTIFICATE_NAMES_MAX).map(|name| Box::from(&**name)).collect()
}

/// The host name in a name of a certificate, a wildcard without its star; none in an address of any kind.
fn host_name(raw: &[u8]) -> Option<Arc<str>> {
    let name = compared(raw.strip_prefix(b"*.").unwrap_or(raw))?;
    let is_host = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    (is_host && name.contains('.') && name.parse::<IpAddr>().is_err()).then_some(name)
}

/// What facts name the destination beside names that are known.
pub(super) fn other_names(facts: &Facts, known: impl Iterator<Item = Arc<str>>) -> Box<[Arc<str>]> {
    let known: Vec<Arc<str>> = known.collect();
    let names = NAME_FIELDS.iter().flat_map(|field| facts.of(field)).filter_map(|fact| compared(fact.value));
    let others: BTreeSet<Arc<str>> = names.filter(|name| !known.contains(name)).collect();
    others.into_iter().take(OTHER_NAMES_MAX).collect()
}

/// A name as it stood on the wire as names are compared; `None` when nothing is left of it.
pub(super) fn compared(raw: &[u8]) -> Option<Arc<str>> {
    Some(normal_name(&value::name(raw))).filter(|name| !name.is_empty()).map(Arc::from)
}

/// Names as they stood on the wire to names as they are compared, each made once.
#[derive(Default)]
pub(super) struct Interned(Map<Box<[u8]>, Option<Arc<str>>>);

impl Interned {
    /// The name for comparing; `None` when nothing is left of it.
    pub(super) fn name(&mut self, raw: &[u8]) -> Option<Arc<str>> {
        if let Some(name) = self.0.get(raw) {
            return name.clone();
        }
        let name = compared(raw);
        if self.0.len() < INTERNED_MAX && raw.len() <= INTERNED_BYTES_MAX {
            self.0.insert(raw.into(), name.clone());
        }
        name
    }
}
