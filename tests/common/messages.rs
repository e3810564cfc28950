//! DNS (RFC 1035) and HTTP/1.1 (RFC 9112) messages.

use std::net::IpAddr;

/// DNS type A.
pub const TYPE_A: u16 = 1;
/// DNS type CNAME.
pub const TYPE_CNAME: u16 = 5;
/// DNS type AAAA.
pub const TYPE_AAAA: u16 = 28;

/// Class IN.
const CLASS_IN: u16 = 1;
/// Offset of the first question in a message.
const QUESTION_OFFSET: u16 = 12;
/// Lifetime of every answer, seconds.
const LIFETIME_S: u32 = 300;
/// Longest label.
const LABEL_BYTES_MAX: usize = 63;

/// One resource record of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// `owner` has this address.
    Address(&'a str, IpAddr),
    /// `owner` is another name of this one.
    Alias(&'a str, &'a str),
}

/// A question, recursion desired.
pub fn dns_query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut message = dns_header(id, 0x0100, 0);
    message.extend_from_slice(&dns_question(name, kind));
    message
}

/// The answer of a resolver to it.
pub fn dns_response(id: u16, name: &str, kind: u16, answers: &[Answer<'_>]) -> Vec<u8> {
    let mut message = dns_header(id, 0x8180, answers.len());
    message.extend_from_slice(&dns_question(name, kind));
    for answer in answers {
        let (owner, kind, data) = match *answer {
            Answer::Address(owner, IpAddr::V4(address)) => (owner, TYPE_A, address.octets().to_vec()),
            Answer::Address(owner, IpAddr::V6(address)) => (owner, TYPE_AAAA, address.octets().to_vec()),
            Answer::Alias(owner, target) => (owner, TYPE_CNAME, dns_name(target)),
        };
        if owner == name {
            message.extend_from_slice(&(0xc000 | QUESTION_OFFSET).to_be_bytes());
        } else {
            message.extend_from_slice(&dns_name(owner));
        }
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        message.extend_from_slice(&LIFETIME_S.to_be_bytes());
        message.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        message.extend_from_slice(&data);
    }
    message
}

/// A name as labels, uncompressed.
pub fn dns_name(name: &str) -> Vec<u8> {
    let mut labels = Vec::with_capacity(name.len() + 2);
    for label in name.trim_end_matches('.').split('.') {
        assert!(!label.is_empty() && label.len() <= LABEL_BYTES_MAX, "label of that length");
        labels.push(label.len() as u8);
        labels.extend_from_slice(label.as_bytes());
    }
    labels.push(0);
    labels
}

/// A request. `Content-Length` is added when there is a body.
pub fn http_request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    http_message(&format!("{method} {target} HTTP/1.1"), headers, body, !body.is_empty())
}

/// A response, always with `Content-Length`.
pub fn http_response(status: u16, reason: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    http_message(&format!("HTTP/1.1 {status} {reason}"), headers, body, true)
}

/// What a proxy says when the tunnel is ready; it has no body and no length.
pub fn http_tunnel_ready() -> Vec<u8> {
    http_message("HTTP/1.1 200 Connection established", &[], &[], false)
}

fn http_message(start: &str, headers: &[(&str, &str)], body: &[u8], length: bool) -> Vec<u8> {
    let mut head = format!("{start}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if length {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut message = head.into_bytes();
    message.extend_from_slice(body);
    message
}

fn dns_header(id: u16, flags: u16, answers: usize) -> Vec<u8> {
    [id, flags, 1, u16::try_from(answers).unwrap(), 0, 0].iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn dns_question(name: &str, kind: u16) -> Vec<u8> {
    let mut question = dns_name(name);
    question.extend_from_slice(&kind.to_be_bytes());
    question.extend_from_slice(&CLASS_IN.to_be_bytes());
    question
}
