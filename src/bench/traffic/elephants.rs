//! `elephants`: 64 long downloads over TLS, packets of about 1,450 bytes on average.
//!
//! In: a number of packets and a seed. Out: nearly nothing but full segments; so few acknowledgements as receivers
//! give that merge segments before they answer. The cheapest work a packet can be, and the most bytes.

use super::hello::Shape;
use super::image::Image;
use super::network::Network;
use super::random::Random;
use super::talk::Talk;
use super::talk::Who::{Client, Server as Host};
use super::tls::{self, Noise};

/// Flows.
pub const FLOWS: usize = 64;
const RECORD_BYTES: usize = 1_480;
const PAUSE_NANOSECONDS: u64 = 1_200;
/// Segments to one acknowledgement.
const ACK_EVERY: usize = 22;
/// Bytes handed to the sender at a time.
const PIECE_BYTES: usize = 64 * 1448;

/// The capture.
pub fn image(packets: u64, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut network = Network::new(500, &mut random);
    let noise = Noise::new(&mut random);
    let mut image = Image::new(packets as usize * RECORD_BYTES, PAUSE_NANOSECONDS, seed);
    let each = (packets as usize / FLOWS).max(16);
    let mut order = random.clone();
    let mut said = Vec::new();
    // Half a flow short of all, so that the last flow begins and no other does.
    let enough = packets - packets / (2 * FLOWS as u64);
    image.interleave(enough, FLOWS, &mut order, |script| {
        let server = network.server(&mut random).clone();
        let [client, host] = network.ends(&server, 443, false, &mut random);
        let mut talk = Talk::new(script, client, host, &mut random);
        talk.open();
        let shape = Shape::pick(&mut random, |s| s.tls13 && s.is_small());
        let mut hello = Vec::new();
        shape.write(&server.name, &mut random, &mut hello);
        said.clear();
        tls::record(&mut said, tls::HANDSHAKE, 0x0301, |out| out.extend_from_slice(&hello));
        talk.send(Client, &said);
        said.clear();
        tls::server_hello_13(&mut said, &hello, &mut random);
        tls::server_flight_13(&mut said, 2_400, &noise, &mut random);
        talk.send(Host, &said);
        said.clear();
        tls::client_finished_13(&mut said, &noise, &mut random);
        tls::data(&mut said, 400, &noise, &mut random);
        talk.send(Client, &said);
        talk.ack_every = ACK_EVERY;
        // Records run on over the pieces, as they do when a sender has enough to send.
        let mut rest = Vec::new();
        while talk.packets() + 4 < each {
            while rest.len() < PIECE_BYTES {
                tls::data(&mut rest, 16_000, &noise, &mut random);
            }
            let count = (each - talk.packets() - 3).saturating_mul(1448).min(PIECE_BYTES);
            talk.send(Host, &rest[..count]);
            rest.drain(..count);
        }
        talk.close(Host);
    });
    image.finish()
}
