//! The parts of a flow record that are about one protocol.
//!
//! In: the facts of a record. Out: the objects `tls`, `dns`, `url`, `http` and `user_agent`, those that there is
//! something for, each with a comma behind it.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::json;
use super::known::Known;
use crate::fact::{Fact, Side, append, value};
use crate::parse::{dns, http, quic, tls};
use crate::report::words;

/// Addresses for which no memory is asked for.
const FEW_ADDRESSES: usize = 8;

/// `key`, the value, a comma; nothing without a fact.
#[inline]
fn optional(out: &mut Vec<u8>, key: &str, fact: Option<&Fact<'_>>) {
    if let Some(fact) = fact {
        json::raw(out, key);
        json::value(out, fact);
        out.push(b',');
    }
}

/// As [`optional`], in an object that ends with it.
fn wrapped(out: &mut Vec<u8>, before: &str, fact: Option<&Fact<'_>>, after: &str) {
    if let Some(fact) = fact {
        json::raw(out, before);
        json::value(out, fact);
        json::raw(out, after);
    }
}

/// `tls`.
pub fn tls(known: &Known<'_>, out: &mut Vec<u8>) {
    if !known.is_tls {
        return;
    }
    // The side with the ServerHello is the TLS server, whoever opened the flow.
    let server = known.first(&tls::JA3S).map_or(Side::Destination, |f| f.side);
    json::raw(out, "\"tls\":{");
    if let Some(fact) = known.first(&tls::VERSION) {
        let version = value::number(fact.value) as u16;
        json::raw(out, "\"version\":\"");
        version_text(version, out);
        json::raw(out, "\",\"version_protocol\":");
        json::raw(
            out,
            match version {
                _ if is_dtls(version) => "\"dtls\",",
                0..0x0301 => "\"ssl\",",
                _ => "\"tls\",",
            },
        );
    }
    if let Some(fact) = known.first(&tls::CIPHER) {
        json::raw(out, "\"cipher\":\"");
        cipher_text(value::number(fact.value) as u16, out);
        json::raw(out, "\",");
    }
    optional(out, "\"next_protocol\":", known.first_of(&tls::ALPN, server));
    json::raw(out, "\"client\":{");
    optional(out, "\"server_name\":", known.first(&tls::SNI).or_else(|| known.first(&quic::SNI)));
    optional(out, "\"ja3\":", known.first(&tls::JA3));
    optional(out, "\"ja4\":", known.first(&tls::JA4));
    json::close(out, b'}');
    json::raw(out, ",\"server\":{");
    optional(out, "\"ja3s\":", known.first(&tls::JA3S));
    certificate(known, server, out);
    json::close(out, b'}');
    json::raw(out, "},");
}

/// What the certificates of the server say.
fn certificate(known: &Known<'_>, server: Side, out: &mut Vec<u8>) {
    optional(out, "\"subject\":", known.first_of(&tls::X509_SUBJECT, server));
    optional(out, "\"issuer\":", known.first_of(&tls::X509_ISSUER, server));
    wrapped(out, "\"hash\":{\"sha256\":", known.first_of(&tls::X509_SHA256, server), "},");
    let mut names = known.of(&tls::X509_SAN).filter(|f| f.side == server).peekable();
    if names.peek().is_some() {
        json::raw(out, "\"x509\":{\"alternative_names\":[");
        names.for_each(|name| optional(out, "", Some(name)));
        json::close(out, b']');
        json::raw(out, "},");
    }
}

/// Versions of DTLS count down from 0xfeff; 0x0100 came before them (RFC 6347 section 4.1, AnyConnect).
pub(in crate::report) fn is_dtls(version: u16) -> bool {
    version >> 8 == 0xfe || version == 0x0100
}

/// `1.2` for 0x0303.
pub(in crate::report) fn version_text(version: u16, out: &mut Vec<u8>) {
    match version {
        0x0002 => json::raw(out, "2.0"),
        0x0300 => json::raw(out, "3.0"),
        0x0301..=0x0304 => out.extend_from_slice(&[b'1', b'.', b'0' + (version - 0x0301) as u8]),
        0xfeff => json::raw(out, "1.0"),
        0xfefc | 0xfefd => out.extend_from_slice(&[b'1', b'.', b'2' + (0xfefd - version) as u8]),
        other => number_text(other, out),
    }
}

/// The IANA name of a cipher suite.
pub(in crate::report) fn cipher_text(cipher: u16, out: &mut Vec<u8>) {
    match tls_parser::TlsCipherSuite::from_id(cipher) {
        Some(suite) => json::raw(out, suite.name),
        None => number_text(cipher, out),
    }
}

/// `0x1a2b`.
fn number_text(number: u16, out: &mut Vec<u8>) {
    json::raw(out, "0x");
    append::hex(&number.to_be_bytes(), out);
}

/// `dns`.
pub fn dns(known: &Known<'_>, out: &mut Vec<u8>) {
    let question = known.first(&dns::QNAME);
    let mut resolved: SmallVec<[IpAddr; FEW_ADDRESSES]> = SmallVec::new();
    if known.first(&dns::ANSWER).is_some() {
        resolved.extend(known.of(&dns::ANSWER).filter_map(|f| value::address(f.value)));
        resolved.sort_unstable();
        resolved.dedup();
    }
    if question.is_none() && resolved.is_empty() {
        return;
    }
    json::raw(out, "\"dns\":{");
    if let Some(name) = question {
        json::raw(out, "\"question\":{");
        optional(out, "\"name\":", Some(name));
        if let Some(fact) = known.first(&dns::QTYPE) {
            json::raw(out, "\"type\":\"");
            qtype_text(value::number(fact.value), out);
            json::raw(out, "\",");
        }
        json::close(out, b'}');
        out.push(b',');
    }
    if !resolved.is_empty() {
        json::raw(out, "\"resolved_ip\":[");
        for address in resolved {
            out.push(b'"');
            append::address(address, out);
            json::raw(out, "\",");
        }
        json::close(out, b']');
        out.push(b',');
    }
    json::close(out, b'}');
    out.push(b',');
}

/// The IANA mnemonic of a DNS type.
fn qtype_text(number: u64, out: &mut Vec<u8>) {
    match words::qtype(number) {
        Some(name) => json::raw(out, name),
        None => {
            json::raw(out, "TYPE");
            append::decimal(number, out);
        }
    }
}

/// `url`, `http` and `user_agent`.
pub fn http(known: &Known<'_>, out: &mut Vec<u8>) {
    wrapped(out, "\"url\":{\"domain\":", known.first(&http::HOST), "},");
    let [method, server] = [known.first(&http::METHOD), known.first(&http::SERVER)];
    if method.is_some() || server.is_some() {
        json::raw(out, "\"http\":{");
        wrapped(out, "\"request\":{\"method\":", method, "},");
        wrapped(out, "\"response\":{\"headers\":{\"server\":", server, "}},");
        json::close(out, b'}');
        out.push(b',');
    }
    wrapped(out, "\"user_agent\":{\"original\":", known.first(&http::USER_AGENT), "},");
}
