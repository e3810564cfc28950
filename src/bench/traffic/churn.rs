//! `churn`: a new TLS 1.3 flow every eight packets, from many hosts, in many shapes.
//!
//! In: a number of packets and a seed. Out: SYN, SYN and ACK, ACK, ClientHello, ServerHello with the start of what
//! follows, the client's Finished with a request, the answer with FIN, FIN. All the work of a flow, hardly any packets
//! to share it: the hard case.

use super::hello::Shape;
use super::image::Image;
use super::network::Network;
use super::packet::flag;
use super::random::Random;
use super::talk::Talk;
use super::talk::Who::{Client, Server as Host};
use super::tls::{self, Noise};

const RECORD_BYTES: usize = 450;
const PAUSE_NANOSECONDS: u64 = 1_000;
const CLIENTS: usize = 40_000;
const OPEN_MAX: usize = 4_096;

/// The capture.
pub fn image(packets: u64, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut network = Network::new(CLIENTS, &mut random);
    let noise = Noise::new(&mut random);
    let mut image = Image::new(packets as usize * RECORD_BYTES, PAUSE_NANOSECONDS, seed);
    let open = (packets as usize / 100).clamp(8, OPEN_MAX);
    let mut order = random.clone();
    let (mut hello, mut said) = (Vec::new(), Vec::new());
    image.interleave(packets, open, &mut order, |script| {
        let random = &mut random;
        let server = network.server(random).clone();
        let v6 = random.percent(10);
        let [client, host] = network.ends(&server, 443, v6, random);
        let shape = Shape::pick(random, |s| s.tls13 && s.is_small() && (server.is_vendor || !s.is_appliance()));
        let mut talk = Talk::new(script, client, host, random);
        talk.open();
        hello.clear();
        shape.write(&server.name, random, &mut hello);
        said.clear();
        tls::record(&mut said, tls::HANDSHAKE, 0x0301, |out| out.extend_from_slice(&hello));
        talk.segment(Client, flag::ACK | flag::PSH, &said);
        said.clear();
        tls::server_hello_13(&mut said, &hello, random);
        let follows = random.between(500, 1_150);
        tls::server_flight_13(&mut said, follows, &noise, random);
        said.truncate(talk.segment_bytes);
        talk.segment(Host, flag::ACK | flag::PSH, &said);
        said.clear();
        tls::client_finished_13(&mut said, &noise, random);
        let asked = random.between(80, 400);
        tls::data(&mut said, asked, &noise, random);
        talk.segment(Client, flag::ACK | flag::PSH, &said);
        said.clear();
        let given = random.between(100, 900);
        tls::data(&mut said, given, &noise, random);
        talk.segment(Host, flag::ACK | flag::PSH | flag::FIN, &said);
        talk.segment(Client, flag::ACK | flag::FIN, &[]);
    });
    image.finish()
}
