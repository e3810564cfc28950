//! Frames of one size (RFC 2544, section 9.1): UDP and TCP of 10,000 flows, noise inside.
//!
//! In: a number of packets, a seed, bytes of a frame without its check sequence. Out: a capture. No protocol is known by
//! these ports and nothing can be read from the payload.

use super::image::Image;
use super::network::Network;
use super::packet::{self, FRAME_BYTES_MIN, Tcp, flag};
use super::random::Random;
use super::small::{FLOWS, flows, is_tcp};

/// Bytes of Ethernet, IPv4 and UDP headers; then with TCP.
const UDP_HEADERS: usize = 14 + 20 + 8;
const TCP_HEADERS: usize = 14 + 20 + 20;
const PAUSE_NANOSECONDS: u64 = 100;

/// The capture.
pub fn image(packets: u64, seed: u64, frame_bytes: usize) -> Vec<u8> {
    let bytes = frame_bytes.max(FRAME_BYTES_MIN);
    let mut random = Random::new(seed);
    let network = Network::new(0, &mut random);
    let flows = flows(&network, &mut random);
    let mut sent = vec![[0_u32; 2]; FLOWS];
    let mut noise = Vec::new();
    random.fill(&mut noise, bytes * 2);
    let mut image = Image::new(packets as usize * (bytes + 16), PAUSE_NANOSECONDS, seed);
    while image.packets() < packets && !image.is_full() {
        let (n, who, at) = (random.below(FLOWS), random.below(2), random.below(bytes));
        let (from, to) = (&flows[n][who], &flows[n][1 - who]);
        let id = image.packets() as u16;
        if is_tcp(n) {
            let payload = &noise[at..at + bytes - TCP_HEADERS];
            let (seq, ack) = (sent[n][who], sent[n][1 - who]);
            sent[n][who] = seq.wrapping_add(payload.len() as u32);
            let header = Tcp { seq, ack, flags: flag::ACK, window: 501, options: &[] };
            image.add(|out| packet::tcp(out, from, to, id, &header, payload));
        } else {
            let payload = &noise[at..at + bytes - UDP_HEADERS];
            image.add(|out| packet::udp(out, from, to, id, payload));
        }
    }
    image.finish()
}
