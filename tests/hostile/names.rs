//! What a name is worth, and TLS where nobody expects it.

use super::check;
use super::common::conversation::{Conversation, From};
use super::common::packets::Endpoint;
use super::common::random::Random;
use super::common::tls::{self, Version};

const START_NS: u64 = 1_793_606_400_000_000_000;
const ROUND_TRIP_NS: u64 = 20_000_000;

fn client(port: u16) -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0, 1], "10.20.0.1", port)
}

fn server(port: u16) -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0, 2], "203.0.113.9", port)
}

/// Ports of SSH, HTTP, DNS, FortiGate's management and others, and one of nobody's: TLS is told by its bytes, and no
/// port changes what is read.
#[test]
fn row_24_tls_on_any_port() {
    for version in [Version::Tls12, Version::Tls13] {
        let meaning = |port: u16| {
            let mut talk = Conversation::new(client(50_000), server(port), START_NS, ROUND_TRIP_NS);
            talk.open().send(From::Client, &tls::client_hello(version, Some("update.vendor.example")));
            talk.send(From::Server, &tls::server_hello(version));
            talk.send(From::Client, &tls::application_data(version, 300, 1)).close();
            let read = check::read(&talk.packets());
            let flow = read.flow();
            assert_eq!(flow["network"]["protocol"], "tls", "port {port}");
            assert_eq!(flow["tls"]["client"]["server_name"], "update.vendor.example", "port {port}");
            assert_eq!(check::flags(flow), <[&str; 0]>::default(), "port {port}");
            flow["tls"].clone()
        };
        let usual = meaning(443);
        assert!(usual["client"]["ja4"].as_str().unwrap().starts_with(match version {
            Version::Tls12 => "t12d",
            Version::Tls13 => "t13d",
        }));
        for port in [22, 53, 80, 541, 8443, 3389, 5432, 25, 31_337, 49_999] {
            assert_eq!(meaning(port), usual, "port {port}");
        }
    }
}

/// Bytes that begin as a record of TLS and go on as anything: chance, text, chance behind the header of a hello. Nothing of
/// a hello is told of any of them.
#[test]
fn row_25_bytes_that_begin_like_tls() {
    let mut random = Random::new(25);
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    for n in 0..600 {
        // The length of the record is right for some, and so is the type of the message.
        let rest = 1 + random.below(700);
        let mut bytes = vec![0x16, 0x03, 0x01];
        let right = (rest as u16).to_be_bytes();
        bytes.extend(if n % 3 == 0 { random.bytes(2) } else { right.to_vec() });
        bytes.extend(random.bytes(rest));
        if n % 3 == 1 {
            bytes[5] = 1;
        }
        if n % 6 == 4 && rest > 44 {
            let [_, high, middle, low] = (rest as u32 - 4).to_be_bytes();
            bytes[6..11].copy_from_slice(&[high, middle, low, 3, 3]);
        }
        payloads.push(bytes);
    }
    payloads.push([&[0x16, 0x03, 0x01][..], b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"].concat());
    payloads.push(vec![0x16, 0x03, 0x01]);
    payloads.push([&[0x16, 0x03, 0x01, 0, 0][..], b"text that never ends"].concat());
    let mut packets = Vec::new();
    for (n, payload) in payloads.iter().enumerate() {
        let ends = (client(20_000 + n as u16), server([443, 80, 4443][n % 3]));
        let mut talk = Conversation::new(ends.0, ends.1, START_NS + n as u64 * 1_000_000, ROUND_TRIP_NS);
        talk.open().send(From::Client, payload).send(From::Server, b"no").close();
        packets.extend(talk.packets());
    }
    packets.sort_by_key(|packet| packet.time);
    let read = check::read(&packets);
    assert_eq!(read.flows.len(), payloads.len());
    for flow in &read.flows {
        let client = &flow["tls"]["client"];
        assert!(client["server_name"].is_null() && client["ja3"].is_null() && client["ja4"].is_null(), "{flow}");
    }
    assert_eq!(read.report["findings"].as_array().unwrap().len(), 0);
}
