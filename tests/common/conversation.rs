//! One TCP flow from SYN to FIN, as a sensor near the client sees it (RFC 9293).
//!
//! In: two ends, a start, a round-trip time, then who sends what in which order. Out: packets in order of time with
//! sequence numbers, acknowledgements and windows that fit together.

use super::hellos::Piece;
use super::packets::{ACK, Endpoint, FIN, PROTOCOL_TCP, PSH, Packet, RST, SYN, Tcp, frame, tcp};
use super::random::Random;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The side that opened the flow.
    Client,
    /// The other one.
    Server,
}

/// Segment size of Ethernet with IPv4, without TCP options.
pub const MSS: u16 = 1460;
/// Window shift of both sides (RFC 7323).
const WINDOW_SHIFT: u8 = 7;
/// Window field after the handshake; shifted it is 256 KiB.
const WINDOW: u16 = 2048;
/// Window field of SYN segments, which is never shifted.
const WINDOW_SYN: u16 = 64_240;
/// Nanoseconds between segments of the client, which is on the same gigabit network as the sensor.
const CLIENT_GAP_NS: u64 = 12_000;
/// Nanoseconds between segments of the server, which come over a slower line.
const SERVER_GAP_NS: u64 = 120_000;
/// Nanoseconds the client takes to answer.
const CLIENT_ANSWERS_NS: u64 = 40_000;

/// A TCP flow in the making.
#[derive(Clone, Debug)]
pub struct Conversation {
    ends: [Endpoint; 2],
    vlans: Vec<u16>,
    mss: usize,
    now: u64,
    round_trip: u64,
    /// The next sequence number of each side.
    next: [u32; 2],
    /// The next IPv4 identification of each side.
    id: [u16; 2],
    comment: Option<String>,
    packets: Vec<Packet>,
}

impl Conversation {
    /// Nothing sent yet. Times are nanoseconds; the round trip is from the sensor to the server and back.
    pub fn new(client: Endpoint, server: Endpoint, start: u64, round_trip: u64) -> Conversation {
        let seed = start ^ u64::from(client.address.port()) << 32 ^ u64::from(server.address.port());
        let mut random = Random::new(seed);
        Conversation {
            ends: [client, server],
            vlans: Vec::new(),
            mss: usize::from(MSS),
            now: start,
            round_trip,
            next: [random.next() as u32, random.next() as u32],
            id: [random.next() as u16, random.next() as u16],
            comment: None,
            packets: Vec::new(),
        }
    }

    /// Sends all frames with these 802.1Q tags.
    pub fn on_vlans(mut self, vlans: &[u16]) -> Conversation {
        self.vlans = vlans.to_vec();
        self
    }

    /// Cuts data into segments of this many bytes.
    pub fn with_mss(mut self, mss: usize) -> Conversation {
        self.mss = mss;
        self
    }

    /// Starts the client at this sequence number (to let it wrap, say).
    pub fn with_sequence(mut self, sequence: u32) -> Conversation {
        self.next[0] = sequence;
        self
    }

    /// Writes a remark on the next packet.
    pub fn remark(&mut self, text: &str) -> &mut Conversation {
        self.comment = Some(text.to_owned());
        self
    }

    /// Lets time pass.
    pub fn wait(&mut self, nanoseconds: u64) -> &mut Conversation {
        self.now += nanoseconds;
        self
    }

    /// SYN, SYN-ACK, ACK.
    pub fn open(&mut self) -> &mut Conversation {
        self.attempt();
        self.now += self.round_trip;
        self.put(From::Server, self.now, 0, SYN | ACK, &[]);
        self.next[1] = self.next[1].wrapping_add(1);
        self.now += CLIENT_ANSWERS_NS;
        self.put(From::Client, self.now, 0, ACK, &[]);
        self.now += CLIENT_ANSWERS_NS;
        self
    }

    /// A SYN, and nothing comes back.
    pub fn attempt(&mut self) -> &mut Conversation {
        self.put(From::Client, self.now, 0, SYN, &[]);
        self.next[0] = self.next[0].wrapping_add(1);
        self
    }

    /// Data of one side in full segments, and what the other side acknowledges of it.
    pub fn send(&mut self, from: From, bytes: &[u8]) -> &mut Conversation {
        let offsets: Vec<usize> = (1..bytes.len().div_ceil(self.mss)).map(|n| n * self.mss).collect();
        self.send_pieces(from, &super::hellos::cut(bytes, &offsets))
    }

    /// Data of one side in the pieces and the order given, then what is acknowledged of it. Offsets count from the
    /// first byte this side has not sent yet. Every second piece is acknowledged as far as there is no gap.
    pub fn send_pieces(&mut self, from: From, pieces: &[Piece]) -> &mut Conversation {
        let (gap, answer_after) = match from {
            From::Client => (CLIENT_GAP_NS, self.round_trip),
            From::Server => (SERVER_GAP_NS, CLIENT_ANSWERS_NS),
        };
        let back = other(from);
        let sequence = self.next[from as usize];
        let end = pieces.iter().map(|p| p.offset + p.bytes.len()).max().unwrap_or(0);
        let before = self.packets.len();
        let mut there: Vec<(usize, usize)> = Vec::new();
        let mut answered = self.now;
        self.now += gap;
        for (number, piece) in pieces.iter().enumerate() {
            let last = number + 1 == pieces.len();
            let flags = if last { PSH | ACK } else { ACK };
            self.put(from, self.now, piece.offset as u32, flags, &piece.bytes);
            there.push((piece.offset, piece.offset + piece.bytes.len()));
            if number % 2 == 1 || last {
                answered = self.now + answer_after;
                self.next[from as usize] = sequence.wrapping_add(contiguous(&there) as u32);
                self.put(back, answered, 0, ACK, &[]);
                self.next[from as usize] = sequence;
            }
            self.now += gap;
        }
        self.next[from as usize] = sequence.wrapping_add(end as u32);
        // Many segments are on their way before the first acknowledgement is back.
        self.packets[before..].sort_by_key(|p| p.time);
        self.now = answered + gap;
        self
    }

    /// FIN of the client, FIN of the server, the last ACK.
    pub fn close(&mut self) -> &mut Conversation {
        self.put(From::Client, self.now, 0, FIN | ACK, &[]);
        self.next[0] = self.next[0].wrapping_add(1);
        self.now += self.round_trip;
        self.put(From::Server, self.now, 0, FIN | ACK, &[]);
        self.next[1] = self.next[1].wrapping_add(1);
        self.now += CLIENT_ANSWERS_NS;
        self.put(From::Client, self.now, 0, ACK, &[]);
        self
    }

    /// One side breaks it off.
    pub fn reset(&mut self, from: From) -> &mut Conversation {
        self.put(from, self.now, 0, RST | ACK, &[]);
        self
    }

    /// A single segment with everything chosen: its time, its offset from the next byte of that side (it may be
    /// negative), flags and payload. Moves nothing on.
    pub fn put_raw(&mut self, from: From, time: u64, offset: i32, flags: u8, payload: &[u8]) -> &mut Conversation {
        self.put(from, time, offset as u32, flags, payload);
        self
    }

    /// The time it is now, nanoseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// What was sent.
    pub fn packets(self) -> Vec<Packet> {
        self.packets
    }

    fn put(&mut self, from: From, time: u64, offset: u32, flags: u8, payload: &[u8]) {
        let (source, destination) = (self.ends[from as usize], self.ends[other(from) as usize]);
        let mss = MSS.to_be_bytes();
        // Maximum segment size, SACK permitted, padding, window scale.
        let syn_options = [2, 4, mss[0], mss[1], 1, 1, 4, 2, 1, 3, 3, WINDOW_SHIFT];
        let is_syn = flags & SYN != 0;
        let header = Tcp {
            sequence: self.next[from as usize].wrapping_add(offset),
            acknowledged: if flags & ACK == 0 { 0 } else { self.next[other(from) as usize] },
            flags,
            window: if is_syn { WINDOW_SYN } else { WINDOW },
            urgent: 0,
            options: if is_syn { &syn_options } else { &[] },
        };
        let segment = tcp(source.address, destination.address, header, payload);
        let id = self.id[from as usize];
        self.id[from as usize] = id.wrapping_add(1);
        let bytes = frame(source, destination, &self.vlans, PROTOCOL_TCP, id, &segment);
        self.packets.push(Packet { time, bytes, comment: self.comment.take() });
    }
}

fn other(side: From) -> From {
    match side {
        From::Client => From::Server,
        From::Server => From::Client,
    }
}

/// How many bytes from the first on are there without a gap.
fn contiguous(ranges: &[(usize, usize)]) -> usize {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    sorted.iter().fold(0, |reached, &(start, end)| if start <= reached { reached.max(end) } else { reached })
}
