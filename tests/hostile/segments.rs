//! Segments of TCP that are cut, reordered, repeated and contradicted.

use super::check::read;
use super::common::conversation::{Conversation, From};
use super::common::packets::Endpoint;
use super::common::tls::{Version, client_hello, server_hello};

const START: u64 = 1_790_000_000_000_000_000;

#[test]
fn row_01_a_hello_cut_in_two_at_every_byte() {
    let client = Endpoint::new([2, 0, 0, 0, 0, 1], "10.0.0.1", 49_152);
    let server = Endpoint::new([2, 0, 0, 0, 0, 2], "203.0.113.9", 443);
    let mut talk = Conversation::new(client, server, START, 20_000_000);
    talk.open().send(From::Client, &client_hello(Version::Tls13, Some("update.vendor.example")));
    talk.send(From::Server, &server_hello(Version::Tls13)).close();
    let read = read(&talk.packets());
    assert_eq!(read.flow()["tls"]["client"]["server_name"], "update.vendor.example", "{}", read.flow());
}
