//! An appliance that is told names nobody wants in a report.
//!
//! In: nothing. Out: packets of a firewall, over IPv4 and IPv6, that asks for a name of its vendor (so that it is known) and
//! then for each of [`NAMES`]; that is also visited from outside, and that calls where nobody answers.

use super::conversation::{Conversation, From};
use super::messages::{http_request, http_response};
use super::packets::{Endpoint, Packet};
use super::tls::{self, Version};

/// When it begins: 2026-11-02 08:00 UTC.
pub const START_NS: u64 = 1_793_606_400_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;
const ROUND_TRIP_NS: u64 = 30_000_000;

/// Markup, a mark of direction, formulas, separators and ends of lines of the formats, what means "unset" and "empty".
pub const NAMES: &[&str] = &[
    "<script>alert(1)</script>.example",
    "abc\u{202e}moc.example",
    "=cmd|'/C calc'!A0",
    "+1.example",
    "-1.example",
    "@sum(a1).example",
    "a\tb|c=d\\e\nf\rg.example",
    "\"quoted\",and;more.example",
    "-",
    "(empty)",
    "\u{9632}\u{706b}\u{5899}.example",
];
/// A name that is no UTF-8, as it stands in a Host header.
pub const NO_UTF8: &[u8] = b"bad\xff\xc3\xfename.example";
/// The longest label that a byte can count.
pub const LABEL_BYTES: usize = 255;

fn appliance(ip: &str, port: u16) -> Endpoint {
    Endpoint::new([0, 0x09, 0x0f, 0, 0, 1], ip, port)
}

fn outside(ip: &str, port: u16) -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0xff, 0xfe], ip, port)
}

fn handshake(ends: [Endpoint; 2], start: u64, name: &str) -> Vec<Packet> {
    let mut talk = Conversation::new(ends[0], ends[1], start, ROUND_TRIP_NS);
    talk.open().send(From::Client, &tls::client_hello(Version::Tls13, Some(name)));
    talk.send(From::Server, &tls::server_hello(Version::Tls13));
    talk.send(From::Client, &tls::application_data(Version::Tls13, 600, 7));
    talk.send(From::Server, &tls::application_data(Version::Tls13, 900, 8)).close();
    talk.packets()
}

/// All packets, in order of time.
pub fn packets() -> Vec<Packet> {
    let mut packets = Vec::new();
    let mut second = 0;
    let mut next = || {
        second += 1;
        START_NS + second * SECOND_NS
    };
    let long = format!("{}.example", "l".repeat(LABEL_BYTES));
    for (ip, far) in [("10.20.0.1", "95.216.10"), ("fd00::1", "2a01:4f9:c010::")] {
        let far = |n: usize| if ip.contains(':') { format!("{far}{n:x}") } else { format!("{far}.{n}") };
        let known = ["globalupdate.fortinet.net", "usguardservice.fortinet.net"];
        let names = known.iter().chain(NAMES).copied().chain([long.as_str()]);
        for (n, name) in names.enumerate() {
            let ends = [appliance(ip, 40_000 + n as u16), outside(&far(n + 1), 443)];
            packets.extend(handshake(ends, next(), name));
        }
        // Over HTTP, with bytes that are no text.
        let mut request = http_request("GET", "/a\tb", &[("Host", &"H".repeat(NO_UTF8.len()))], b"");
        let at = request.windows(2).position(|pair| pair == b"HH").unwrap();
        request[at..at + NO_UTF8.len()].copy_from_slice(NO_UTF8);
        let mut talk = Conversation::new(appliance(ip, 41_000), outside(&far(100), 80), next(), ROUND_TRIP_NS);
        talk.open().send(From::Client, &request);
        talk.send(From::Server, &http_response(200, "OK", &[("Content-Length", "0")], b"")).close();
        packets.extend(talk.packets());
        // From outside, and into nothing.
        let visit = [outside(&far(101), 50_000), appliance(ip, 443)];
        packets.extend(handshake(visit, next(), "visit.example"));
        let mut attempt = Conversation::new(appliance(ip, 41_001), outside(&far(102), 443), next(), ROUND_TRIP_NS);
        attempt.attempt();
        packets.extend(attempt.packets());
        // No name at all.
        let mut bare = Conversation::new(appliance(ip, 41_002), outside(&far(103), 4443), next(), ROUND_TRIP_NS);
        bare.open().send(From::Client, &[7; 400]).send(From::Server, &[9; 300]).close();
        packets.extend(bare.packets());
    }
    packets.sort_by_key(|packet| packet.time);
    packets
}
