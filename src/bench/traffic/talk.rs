//! One TCP flow as both ends write it: handshake, data in segments, acknowledgements, the end.
//!
//! In: who talks and what is said. Out: frames in a script. Sequence and acknowledgement numbers, timestamps
//! (RFC 7323) and IP identification run as a host's do.

use super::image::Script;
use super::packet::{self, End, SEGMENT_BYTES_MAX, Tcp, flag};
use super::random::Random;

/// Who sends: the client that opened the flow, or the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Opened the flow.
    Client,
    /// Was asked.
    Server,
}

use Who::{Client, Server};

/// Bytes of a SYN's options and of the others'.
const SYN_OPTIONS_BYTES: usize = 20;
const OPTIONS_BYTES: usize = 12;

/// A flow that is being written.
pub struct Talk<'a> {
    script: &'a mut Script,
    ends: [End; 2],
    seq: [u32; 2],
    ids: [u16; 2],
    stamps: [u32; 2],
    /// Payload bytes of a full segment.
    pub segment_bytes: usize,
    /// Segments the receiver takes before it acknowledges.
    pub ack_every: usize,
}

impl<'a> Talk<'a> {
    /// Between these two.
    pub fn new(script: &'a mut Script, client: End, server: End, random: &mut Random) -> Talk<'a> {
        let [seq, more] = [random.next(), random.next()];
        Talk {
            script,
            ends: [client, server],
            seq: [seq as u32, (seq >> 32) as u32],
            ids: [more as u16, (more >> 16) as u16],
            stamps: [(more >> 32) as u32 | 1, (more >> 16) as u32 | 1],
            segment_bytes: if client.address.is_ipv6() { SEGMENT_BYTES_MAX - 20 } else { SEGMENT_BYTES_MAX },
            ack_every: 2,
        }
    }

    /// Frames so far.
    pub fn packets(&self) -> usize {
        self.script.packets()
    }

    /// SYN, SYN and ACK, ACK.
    pub fn open(&mut self) {
        self.segment(Client, flag::SYN, &[]);
        self.segment(Server, flag::SYN | flag::ACK, &[]);
        self.segment(Client, flag::ACK, &[]);
    }

    /// Sends bytes in segments as full as they can be; the other end acknowledges now and then, and at the end.
    pub fn send(&mut self, who: Who, bytes: &[u8]) {
        let mut unacknowledged = 0;
        let mut parts = bytes.chunks(self.segment_bytes).peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            self.segment(who, if last { flag::ACK | flag::PSH } else { flag::ACK }, part);
            unacknowledged += 1;
            if unacknowledged == self.ack_every && !last {
                self.segment(other(who), flag::ACK, &[]);
                unacknowledged = 0;
            }
        }
    }

    /// A bare acknowledgement.
    pub fn ack(&mut self, who: Who) {
        self.segment(who, flag::ACK, &[]);
    }

    /// Both ends finish, this one first.
    pub fn close(&mut self, who: Who) {
        self.segment(who, flag::ACK | flag::FIN, &[]);
        self.segment(other(who), flag::ACK | flag::FIN, &[]);
        self.segment(who, flag::ACK, &[]);
    }

    /// The sequence number of the next byte of an end.
    pub fn seq(&self, who: Who) -> u32 {
        self.seq[index(who)]
    }

    /// One segment at the end of what was sent so far.
    pub fn segment(&mut self, who: Who, flags: u8, payload: &[u8]) {
        let seq = self.seq(who);
        self.segment_at(who, flags, seq, payload);
        let counted = u32::from(flags & flag::SYN != 0) + u32::from(flags & flag::FIN != 0);
        self.skip(who, payload.len() as u32 + counted);
    }

    /// Goes on as if so many bytes had been sent.
    pub fn skip(&mut self, who: Who, bytes: u32) {
        let seq = &mut self.seq[index(who)];
        *seq = seq.wrapping_add(bytes);
    }

    /// One segment with this sequence number; what was sent so far stays as it is.
    pub fn segment_at(&mut self, who: Who, flags: u8, seq: u32, payload: &[u8]) {
        let (me, you) = (index(who), index(other(who)));
        self.ids[me] = self.ids[me].wrapping_add(1);
        self.stamps[me] = self.stamps[me].wrapping_add(1);
        let answered = flags & flag::ACK != 0;
        let syn = flags & flag::SYN != 0;
        let mut options = [1; SYN_OPTIONS_BYTES];
        let length = if syn { SYN_OPTIONS_BYTES } else { OPTIONS_BYTES };
        if syn {
            // Maximum segment size 1,460, selective acknowledgements, timestamps, no operation, window scale 7.
            options[..6].copy_from_slice(&[2, 4, 0x05, 0xb4, 4, 2]);
            options[6..8].copy_from_slice(&[8, 10]);
            options[17..].copy_from_slice(&[3, 3, 7]);
        } else {
            options[2..4].copy_from_slice(&[8, 10]);
        }
        let stamp = if syn { 8 } else { 4 };
        let echoed = if answered { self.stamps[you] } else { 0 };
        options[stamp..stamp + 4].copy_from_slice(&self.stamps[me].to_be_bytes());
        options[stamp + 4..stamp + 8].copy_from_slice(&echoed.to_be_bytes());
        let header = Tcp {
            seq,
            ack: if answered { self.seq[you] } else { 0 },
            flags,
            window: if syn { 64_240 } else { 501 },
            options: &options[..length],
        };
        let (from, to, id) = (&self.ends[me], &self.ends[you], self.ids[me]);
        self.script.add(|out| packet::tcp(out, from, to, id, &header, payload));
    }
}

/// The other one.
pub fn other(who: Who) -> Who {
    match who {
        Client => Server,
        Server => Client,
    }
}

fn index(who: Who) -> usize {
    match who {
        Client => 0,
        Server => 1,
    }
}
