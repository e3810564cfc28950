//! `flows-10m`: ten million flows, all of them open, one or two packets each.
//!
//! In: a number of packets and a seed. Out: first packets of flows (a datagram, or a SYN), among them the second
//! packets of every fourth flow, sent long after its first. Every packet misses the caches: what a flow table costs
//! when it is large.

use std::net::IpAddr;

use super::image::Image;
use super::network::{Network, outside, public_v4};
use super::packet::{self, End, Tcp, flag};
use super::random::Random;

/// Packets for so many flows: every fourth has two.
pub const PACKETS_PER_FLOW: (u64, u64) = (5, 4);
const PAUSE_NANOSECONDS: u64 = 100;
const RECORD_BYTES: usize = 60 + 16;
/// Inside hosts; a flow is one of them with a port.
const CLIENTS: u64 = 1 << 16;
const PORT_FIRST: u64 = 1_024;
const SERVERS: usize = 4_096;
/// A step without a common factor with a power of two: it visits every number once.
const STEP: u64 = 0x9e37_79b1;

struct Flows {
    network: Network,
    servers: Vec<IpAddr>,
    /// A power of two, at least the number of flows.
    space: u64,
}

/// Flows in this many packets.
pub fn flows(packets: u64) -> u64 {
    packets * PACKETS_PER_FLOW.1 / PACKETS_PER_FLOW.0
}

/// The capture.
pub fn image(packets: u64, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let network = Network::new(0, &mut random);
    let servers = (0..SERVERS).map(|_| IpAddr::V4(public_v4(&mut random))).collect();
    let count = flows(packets).max(1);
    let all = Flows { network, servers, space: count.next_power_of_two() };
    let mut image = Image::new(packets as usize * RECORD_BYTES, PAUSE_NANOSECONDS, seed);
    // Second packets come half of all flows later, or at the end.
    let half = count / 2;
    for n in 0..count + half {
        if n < count {
            all.packet(n, false, &mut image);
        }
        if n >= half && (n - half).is_multiple_of(4) {
            all.packet(n - half, true, &mut image);
        }
        if image.is_full() {
            break;
        }
    }
    image.finish()
}

impl Flows {
    fn packet(&self, number: u64, second: bool, image: &mut Image) {
        let mixed = number.wrapping_mul(STEP) % self.space;
        let mut chosen = Random::new(mixed);
        let server = *chosen.pick(&self.servers);
        let is_tcp = chosen.percent(50);
        let client = self.network.inside((mixed % CLIENTS) as usize, (PORT_FIRST + mixed / CLIENTS) as u16, false);
        let server = outside(server, if is_tcp { 8_443 } else { 40_003 });
        let answers = second && chosen.percent(50);
        let (from, to): (&End, &End) = if answers { (&server, &client) } else { (&client, &server) };
        let id = number as u16;
        if is_tcp {
            // SYN; then its answer, or the same again.
            let (seq, ack, flags) = match answers {
                true => (!(mixed as u32), (mixed as u32).wrapping_add(1), flag::SYN | flag::ACK),
                false => (mixed as u32, 0, flag::SYN),
            };
            let options = [2, 4, 0x05, 0xb4];
            let header = Tcp { seq, ack, flags, window: 64_240, options: &options };
            image.add(|out| packet::tcp(out, from, to, id, &header, &[]));
        } else {
            let mut payload = chosen.bytes::<16>();
            payload[..4].copy_from_slice(&[4, 0, 0, 0]); // a tunnel's; not by chance somebody else's
            image.add(|out| packet::udp(out, from, to, id, &payload));
        }
    }
}
