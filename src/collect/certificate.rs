//! Certificates that are for others than the hello asked for.
//!
//! In: the facts of a flow. Out: the host names of its server's certificate, when none of them is of the domain of the name
//! in the hello. Up to TLS 1.2; later ones are sealed.

use std::net::IpAddr;
use std::sync::Arc;

use super::names::compared;
use crate::fact::{Fact, Field};
use crate::parse::{quic, tls};
use crate::record::{FlowRecord, is_one_domain};

/// Names of a certificate that are kept.
const CERTIFICATE_NAMES_MAX: usize = 4;

/// Whether a name in this field stood in a hello.
pub fn is_in_hello(field: &str) -> bool {
    [&tls::SNI, &quic::SNI].iter().any(|sni| sni.name == field)
}

/// Whether values of this field decide about what [`other_certificate`] finds, beside the name in the hello.
pub(super) fn is_compared(field: &Field) -> bool {
    *field == tls::X509_SUBJECT || *field == tls::X509_SAN
}

/// Host names of the server's certificate, when there are some and none is of the domain that the hello asked for.
pub(super) fn other_certificate(record: &FlowRecord) -> Box<[Box<str>]> {
    let none = Box::default;
    let Some(asked) = record.facts.first(&tls::SNI) else { return none() };
    let server = asked.side.other();
    let is_server = |fact: &Fact<'_>| fact.side == server;
    // Its own subject comes before those of whoever signed it.
    let subject = record.facts.of(&tls::X509_SUBJECT).find(is_server);
    let mut alternatives = record.facts.of(&tls::X509_SAN).filter(is_server).peekable();
    if subject.is_none() && alternatives.peek().is_none() {
        return none();
    }
    let Some(name) = compared(asked.value) else { return none() };
    let mut names: Vec<Arc<str>> = Vec::new();
    for other in alternatives.filter_map(|fact| host_name(fact.value)) {
        if is_one_domain(&other, &name) {
            return none();
        }
        names.push(other);
    }
    if names.is_empty() {
        let subject = subject.as_ref().and_then(|fact| fact.value.strip_prefix(b"CN="));
        let common = subject.map(|rest| rest.split(|byte| *byte == b',').next().unwrap_or_default());
        names.extend(common.and_then(host_name).filter(|other| !is_one_domain(other, &name)));
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
