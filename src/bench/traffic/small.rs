//! `small`: packets of 64 captured bytes of 10,000 flows, UDP and bare TCP acknowledgements.
//!
//! In: a number of packets and a seed. Out: as many packets as a byte rate can hold; nothing to parse. A capture has
//! no frame check sequence: with it these have 68 bytes.

use std::net::IpAddr;

use super::image::Image;
use super::network::{Network, outside, public_v4};
use super::packet::{self, End, Tcp, flag};
use super::random::Random;

/// Flows.
pub const FLOWS: usize = 10_000;
/// Bytes of every packet, as captured.
pub const PACKET_BYTES: usize = 64;
const PAUSE_NANOSECONDS: u64 = 100;
const UDP_PAYLOAD: usize = PACKET_BYTES - 14 - 20 - 8;
const NOISE_BYTES: usize = 4096;

/// The capture.
pub fn image(packets: u64, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let network = Network::new(0, &mut random);
    let mut image = Image::new(packets as usize * (PACKET_BYTES + 16), PAUSE_NANOSECONDS, seed);
    let flows = flows(&network, &mut random);
    let mut noise = Vec::new();
    random.fill(&mut noise, NOISE_BYTES);
    while image.packets() < packets && !image.is_full() {
        let n = random.below(FLOWS);
        let [client, server] = &flows[n];
        let (from, to) = if random.percent(50) { (client, server) } else { (server, client) };
        let number = image.packets() as u32;
        if is_tcp(n) {
            let header = Tcp { seq: n as u32, ack: !(n as u32), flags: flag::ACK, window: 501, options: &[] };
            image.add(|out| {
                let start = out.len();
                packet::tcp(out, from, to, number as u16, &header, &[]);
                out.resize(start + PACKET_BYTES, 0);
            });
        } else {
            let at = random.below(NOISE_BYTES - UDP_PAYLOAD);
            image.add(|out| packet::udp(out, from, to, number as u16, &noise[at..at + UDP_PAYLOAD]));
        }
    }
    image.finish()
}

/// Both ends of every flow. Every other flow is TCP; no protocol is known by these ports.
pub(super) fn flows(network: &Network, random: &mut Random) -> Vec<[End; 2]> {
    let servers: Vec<IpAddr> = (0..512).map(|_| IpAddr::V4(public_v4(random))).collect();
    let ends = |n| {
        let client = network.inside(n % 2_000, (20_000 + n) as u16, false);
        [client, outside(*random.pick(&servers), if is_tcp(n) { 40_001 } else { 40_002 })]
    };
    (0..FLOWS).map(ends).collect()
}

pub(super) fn is_tcp(flow: usize) -> bool {
    flow.is_multiple_of(2)
}
