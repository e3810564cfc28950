//! The packets of one file: what of each flow is kept, and up to where.
//!
//! In: what was chosen for a finding, the packets that were gathered. Out: packets in the order of their numbers, each
//! captured up to where the finding needs it, with remarks on the facts it gave.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::choose::{Chosen, Track};
use super::packets::{Gathered, Raw, is_record};
use super::{FINDING_BYTES_MAX, FINDING_PACKETS_MAX, Payload};
use crate::capture::LinkType;
use crate::parse::dns;
use crate::time::Time;

/// Remarks on one packet.
const REMARKS_MAX: usize = 16;
/// Bytes at the front of a payload that tell text from what is not.
const TEXT_FRONT_BYTES: usize = 8;

/// A packet of a file.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) time: Time,
    pub(super) link: LinkType,
    /// Which input.
    pub(super) input: usize,
    /// Name of its interface, as far as the input tells.
    pub(super) interface: Option<Arc<str>>,
    pub(super) original: u32,
    pub(super) bytes: Vec<u8>,
    /// Where its payload begins.
    pub(super) payload: usize,
    /// The payload is more than a handshake: it may hold what nobody asked for.
    pub(super) is_content: bool,
    pub(super) remarks: Vec<String>,
}

/// The packets of a finding with so many of the flows that show it, and how many were left out because they are too many, and because
/// their bytes are.
pub(super) fn assemble(
    chosen: &Chosen,
    flows: usize,
    gathered: &Gathered,
    payload: Payload,
) -> (Vec<Kept>, [usize; 2]) {
    let mut packets: BTreeMap<u64, Kept> = BTreeMap::new();
    let shown = chosen.flows.get(..flows).unwrap_or(&chosen.flows);
    let answers = shown.iter().filter_map(|track| chosen.answers.get(&track.number));
    let others = answers.chain(chosen.others.values()).map(|track| (track, false));
    for (track, shows) in shown.iter().map(|track| (track, true)).chain(others) {
        for raw in gathered.flows.get(&track.number).into_iter().flatten() {
            let Some(kept) = kept(track, shows, raw, payload) else { continue };
            match packets.get_mut(&raw.number) {
                Some(known) => known.merge(kept),
                None => {
                    packets.insert(raw.number, kept);
                }
            }
        }
    }
    let all = packets.len();
    let mut bytes = 0;
    let within = |kept: &Kept| {
        bytes += kept.bytes.len();
        bytes <= FINDING_BYTES_MAX
    };
    let packets: Vec<Kept> = packets.into_values().take(FINDING_PACKETS_MAX).take_while(within).collect();
    let within = all.min(FINDING_PACKETS_MAX);
    let left_out = [all - within, within - packets.len()];
    (packets, left_out)
}

/// What this finding wants of a packet of a flow. `shows`: of one that shows the finding, not only who the asset is.
fn kept(track: &Track, shows: bool, raw: &Raw, payload: Payload) -> Option<Kept> {
    let remarks = track.facts.get(&raw.part_of);
    // Behind its facts a flow shows that data follows: that is nothing to one that is only there for its facts.
    let behind = track.facts.last_key_value().is_some_and(|(last, _)| raw.part_of > *last);
    if !shows && behind {
        return None;
    }
    let mut raw = raw.clone();
    if payload == Payload::Proof {
        let before_facts = track.is_stream && raw.part_of <= *raw.side.of(&track.until);
        if remarks.is_none() && !before_facts {
            // A datagram of its own that gave no fact of this finding is nobody's business here.
            if !track.is_stream && raw.part_of != track.number && !raw.is_data && !track.facts.is_empty() {
                return None;
            }
            raw.cut_to_headers();
        }
    }
    let is_content = !is_handshake(track, raw.bytes.get(raw.payload..).unwrap_or_default());
    Some(Kept {
        time: raw.time,
        link: raw.link,
        input: raw.input,
        interface: raw.interface,
        original: raw.original,
        payload: raw.payload,
        bytes: raw.bytes,
        is_content,
        remarks: remarks.into_iter().flatten().take(REMARKS_MAX).cloned().collect(),
    })
}

/// Whether a payload is part of a handshake that is in the clear by design, or of a question for a name.
fn is_handshake(track: &Track, payload: &[u8]) -> bool {
    let front = payload.get(..TEXT_FRONT_BYTES).unwrap_or(payload);
    let is_text = !front.is_empty() && front.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t'));
    let asks = track.protocol == Some(dns::PROTOCOL.name);
    is_record(payload) || (track.is_handshake() || asks) && !is_text
}

impl Kept {
    /// The same packet, as another flow wants it.
    fn merge(&mut self, other: Kept) {
        if other.bytes.len() > self.bytes.len() {
            self.bytes = other.bytes;
            self.is_content = other.is_content;
        }
        for remark in other.remarks {
            if !self.remarks.contains(&remark) {
                self.remarks.push(remark);
            }
        }
        self.remarks.sort();
        self.remarks.truncate(REMARKS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of what several flows have to say of one packet so much is said.
    #[test]
    fn remarks_on_a_packet() {
        let kept = |remarks: std::ops::Range<usize>| Kept {
            time: Time(0),
            link: LinkType(1),
            input: 0,
            interface: None,
            original: 60,
            bytes: vec![0; 60],
            payload: 54,
            is_content: false,
            remarks: remarks.map(|n| format!("remark {n:03}")).collect(),
        };
        let mut one = kept(0..REMARKS_MAX - 1);
        one.merge(kept(3..REMARKS_MAX));
        assert_eq!(one.remarks.len(), REMARKS_MAX, "each once");
        one.merge(kept(0..10 * REMARKS_MAX));
        assert_eq!(one.remarks, kept(0..REMARKS_MAX).remarks);
    }
}
