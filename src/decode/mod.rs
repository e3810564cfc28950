//! From captured bytes to a segment: one transport payload with its key and direction.
//!
//! In: a packet and its link type. Out: a [`Segment`] or the [`Reason`] why there is none.
//! Every packet is one or the other, so the ledger adds up. Nothing is copied.

use crate::flow::key::Key;
use crate::time::Time;

/// One transport payload with its key; offsets point into the block's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Packet time.
    pub time: Time,
    /// Number of the packet in the whole input, from 1.
    pub number: u64,
    /// Both endpoints and the protocol.
    pub key: Key,
    /// The lower endpoint of the key sent it.
    pub from_low: bool,
    /// TCP flags; zero otherwise.
    pub tcp_flags: u8,
    /// TCP sequence number of the first payload byte (of the SYN, when there is one).
    pub seq: u32,
    /// TCP acknowledgement number.
    pub ack: u32,
    /// Bytes of the IP packet, header included, as the header says.
    pub ip_bytes: u32,
    /// Offset of the payload in the block's bytes.
    pub payload: usize,
    /// Payload bytes that were captured.
    pub payload_len: u32,
    /// Payload bytes that the snap length cut off.
    pub payload_cut: u32,
    /// Offset of destination and source hardware address (twelve bytes) in the block's bytes.
    pub macs: Option<usize>,
    /// Outermost VLAN, if any.
    pub vlan: Option<u16>,
}
