//! What came while it was listened to, and what that says of the mirror.
//!
//! In: blocks of packets. Out: counts and lines. A mirror of one direction shows in conversations of TCP in which one
//! side acknowledges and the other is never heard; one of both directions of a VLAN shows every packet twice. A copy is a
//! packet with the same IP bytes within a short time, hop limit and link layer left out, so that one before and one behind a
//! router are a pair too.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use ahash::RandomState;
use serde::Serialize;

use super::{Line, Verdict};
use crate::capture::live::Facts;
use crate::capture::{Block, LinkType, Losses, Packet};
use crate::decode::{self, link, tcp};
use crate::flow::key::{Key, protocol};
use crate::time::Time;

/// Conversations that are followed.
const CONVERSATIONS_MAX: usize = 65_536;
/// Packets that a copy is looked for among, and how long it may take.
const RECENT_MAX: usize = 65_536;
const COPY_NANOSECONDS: i64 = 20_000_000;
/// Bytes by which a copy is known.
const COPY_BYTES: usize = 256;

/// Fewer packets, conversations, copies than this say nothing.
const PACKETS_MIN: u64 = 20;
const CONVERSATIONS_MIN: u64 = 5;
const COPIES_MIN: u64 = 10;
/// Packets of one side after which the other should have been heard.
const SPOKEN_MIN: u32 = 3;

const ETHERNET_BYTES: u32 = 14;
const TAG_BYTES: u32 = 4;

/// What was counted on one interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Packets.
    pub packets: u64,
    /// Packets that are IP with something readable in it.
    pub decoded: u64,
    /// Packets to one host, as far as the link layer says.
    pub to_one_host: u64,
    /// Packets with a VLAN tag.
    pub tagged: u64,
    /// Packets of which the end is missing.
    pub cut: u64,
    /// Packets longer than the interface sends: merged ones.
    pub longer: u64,
    /// Packets that came before.
    pub copies: u64,
}

/// One interface while it is listened to.
pub(super) struct Traffic {
    pub(super) counts: Counts,
    /// Why it ended early.
    pub(super) ended: Option<Arc<str>>,
    mtu: u32,
    hasher: RandomState,
    recent: VecDeque<(Time, u64)>,
    known: HashSet<u64, RandomState>,
    /// Packets with an acknowledgement of the lower and the higher end.
    conversations: HashMap<Key, [u32; 2], RandomState>,
}

impl Traffic {
    pub(super) fn new(facts: Option<&Facts>) -> Traffic {
        Traffic {
            counts: Counts::default(),
            ended: None,
            mtu: facts.map_or(0, |facts| facts.mtu),
            hasher: RandomState::new(),
            recent: VecDeque::new(),
            known: HashSet::default(),
            conversations: HashMap::default(),
        }
    }

    /// Counts the packets of a block.
    pub(super) fn see(&mut self, block: &Block) {
        let bytes = block.bytes.as_slice();
        for packet in &block.packets {
            let end = packet.start.saturating_add(packet.captured as usize);
            let frame = bytes.get(packet.start..end).unwrap_or_default();
            self.counts.packets += 1;
            self.counts.cut += u64::from(packet.captured < packet.original);
            self.see_link(packet, frame);
            if let Ok(segment) = decode::decode(bytes, packet, 0) {
                self.counts.decoded += 1;
                if segment.key.protocol() == protocol::TCP && segment.tcp_flags & tcp::ACK != 0 {
                    self.heard(segment.key, segment.from_low);
                }
            }
        }
    }

    fn see_link(&mut self, packet: &Packet, frame: &[u8]) {
        let (ip, header, kind) = match packet.link {
            link::types::ETHERNET => {
                let Some((kind, range, vlan)) = link::frame_payload(frame) else { return };
                let group = frame.first().is_some_and(|byte| byte & 1 != 0);
                self.counts.to_one_host += u64::from(!group);
                self.counts.tagged += u64::from(vlan.is_some());
                let header = ETHERNET_BYTES + if vlan.is_some() { TAG_BYTES } else { 0 };
                (frame.get(range).unwrap_or_default(), header, kind)
            }
            LinkType(_) => {
                self.counts.to_one_host += 1;
                (frame, 0, 0)
            }
        };
        self.counts.longer += u64::from(self.mtu > 0 && packet.original.saturating_sub(header) > self.mtu);
        if matches!(kind, 0 | ETHER_IPV4 | ETHER_IPV6) {
            self.compare(packet.time, ip);
        }
    }

    /// Whether the packet came before, a moment ago.
    fn compare(&mut self, time: Time, ip: &[u8]) {
        let mut front = [0u8; COPY_BYTES];
        let length = ip.len().min(COPY_BYTES);
        front[..length].copy_from_slice(&ip[..length]);
        match front[0] >> 4 {
            // Hops and the checksum over them change at a router.
            4 => (front[8], front[10], front[11]) = (0, 0, 0),
            6 => front[7] = 0,
            _ => return,
        }
        while self.recent.len() >= RECENT_MAX
            || self.recent.front().is_some_and(|(then, _)| time.since(*then) > COPY_NANOSECONDS)
        {
            if let Some((_, hash)) = self.recent.pop_front() {
                self.known.remove(&hash);
            }
        }
        let hash = self.hasher.hash_one((length, &front[..length]));
        if self.known.insert(hash) {
            self.recent.push_back((time, hash));
        } else {
            self.counts.copies += 1;
        }
    }

    fn heard(&mut self, key: Key, from_low: bool) {
        if self.conversations.len() >= CONVERSATIONS_MAX && !self.conversations.contains_key(&key) {
            return;
        }
        let sides = self.conversations.entry(key).or_default();
        let side = &mut sides[usize::from(!from_low)];
        *side = side.saturating_add(1);
    }

    /// What it says of this interface alone.
    pub(super) fn judge(&self, facts: Option<&Facts>) -> Vec<Line> {
        let Counts { packets, decoded, to_one_host, tagged, cut, longer, copies } = self.counts;
        let mut lines = Vec::new();
        if let Some(reason) = &self.ended {
            lines.push(Line::new(
                "traffic",
                Verdict::Impossible,
                format!("it ended while it was listened to: {reason}"),
            ));
            return lines;
        }
        match packets {
            0 => {
                let line = Line::new("traffic", Verdict::Change, "nothing came");
                lines.push(line.advice("look whether the mirror is on, or listen for longer (--duration)"));
                return lines;
            }
            _ if to_one_host == 0 => lines.push(
                Line::new(
                    "traffic",
                    Verdict::Change,
                    format!("all {packets} packets are for everybody or for groups: that is what a switch sends out of every port"),
                )
                .advice("a mirror (SPAN) port or a tap"),
            ),
            _ if packets < PACKETS_MIN => {
                let text = format!("{packets} packets came: too little to judge");
                lines.push(Line::new("traffic", Verdict::Note, text).advice("listen for longer (--duration)"));
            }
            _ if decoded == 0 => {
                let text = format!("none of {packets} packets has IP in it that is read");
                lines.push(Line::new("traffic", Verdict::Change, text));
            }
            _ => {
                let text = format!("{packets} packets came, {decoded} of them are read, {tagged} have a VLAN tag");
                lines.push(Line::new("traffic", Verdict::Good, text));
            }
        }
        if copies >= COPIES_MIN && copies * 10 >= packets {
            let text = format!("{copies} of {packets} packets came twice: volumes would be too large");
            let advice =
                "mirror a VLAN or a port in one direction of the two, and a packet before or behind a router, not both";
            lines.push(Line::new("copies", Verdict::Change, text).advice(advice));
        }
        if cut > 0 {
            let text = format!("{cut} of {packets} packets are cut: the mirror keeps only their front");
            let advice = "let the mirror send whole packets; names and certificates stand deep in them";
            lines.push(Line::new("cut", Verdict::Change, text).advice(advice));
        }
        if longer > 0 {
            let merges = facts.is_some_and(|facts| facts.gro == Some(true) || facts.lro == Some(true));
            let why =
                if merges { "merged before they are read" } else { "longer frames, or what this host sends itself" };
            let text = format!("{longer} packets are longer than {} bytes: {why}", self.mtu);
            lines.push(Line::new("long", Verdict::Note, text));
        }
        lines
    }
}

const ETHER_IPV4: u16 = 0x0800;
const ETHER_IPV6: u16 = 0x86dd;

/// Whether both sides of conversations are heard, on whichever interface.
pub(super) fn directions(traffic: &[Traffic]) -> Option<Line> {
    let mut all: HashMap<&Key, [u32; 2], RandomState> = HashMap::default();
    for (key, sides) in traffic.iter().flat_map(|traffic| &traffic.conversations) {
        let sum = all.entry(key).or_default();
        for (sum, side) in sum.iter_mut().zip(sides) {
            *sum = sum.saturating_add(*side);
        }
    }
    let spoken = all.values().filter(|sides| sides.iter().any(|&side| side >= SPOKEN_MIN));
    let (both, one): (Vec<&[u32; 2]>, Vec<&[u32; 2]>) = spoken.partition(|sides| sides.iter().all(|&side| side > 0));
    let (both, one) = (both.len() as u64, one.len() as u64);
    let sum = both + one;
    let one_sided = format!("of {one} of {sum} TCP conversations only one side is heard");
    Some(match sum {
        _ if traffic.iter().all(|traffic| traffic.counts.packets == 0) => return None,
        0..CONVERSATIONS_MIN => Line::new(
            "directions",
            Verdict::Note,
            format!("{sum} TCP conversations of some length: too few to say whether both directions are mirrored"),
        ),
        _ if one * 10 >= sum * 8 => {
            let advice = "mirror both directions (rx and tx), or name the interface with the other fibre as well (-i)";
            Line::new("directions", Verdict::Change, format!("{one_sided}: the mirror shows one direction"))
                .advice(advice)
        }
        _ if one * 10 >= sum * 2 => {
            Line::new("directions", Verdict::Note, format!("{one_sided}: some paths come and go by different links"))
        }
        _ => {
            Line::new("directions", Verdict::Good, format!("of {both} of {sum} TCP conversations both sides are heard"))
        }
    })
}

/// What was lost meanwhile.
pub(super) fn losses(losses: &Losses) -> Vec<Line> {
    let mut lines = Vec::new();
    for (name, count) in &losses.packets {
        let advice = match *name {
            "interface.dropped" => "more room in the card (ethtool -g, -G), more queues, or less on the mirror",
            _ => "a larger --ring-size, more workers (-j), or a filter (-f)",
        };
        let text = format!("{count} packets were lost while it was listened to ({name})");
        lines.push(Line::new("loss", Verdict::Change, text).advice(advice));
    }
    if lines.is_empty() {
        lines.push(Line::new("loss", Verdict::Good, "nothing was lost while it was listened to"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Bytes;

    /// A TCP packet with an acknowledgement, from one host of a pair to the other.
    fn frame(pair: u8, back: bool, id: u16, hops: u8) -> Vec<u8> {
        let (mut from, mut to) = ([10, 0, 0, pair, 0x9c, pair], [192, 0, 2, 1, 1, 0xbb]);
        if back {
            std::mem::swap(&mut from, &mut to);
        }
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        frame.extend([0x45, 0, 0, 40, (id >> 8) as u8, id as u8, 0x40, 0, hops, 6, hops, hops]);
        frame.extend(&from[..4]);
        frame.extend(&to[..4]);
        frame.extend(&from[4..]);
        frame.extend(&to[4..]);
        frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
        frame
    }

    fn traffic(frames: &[Vec<u8>]) -> Traffic {
        let mut traffic = Traffic::new(Some(&Facts { mtu: 1500, ..Facts::default() }));
        let (mut bytes, mut packets) = (Vec::new(), Vec::new());
        for (n, frame) in frames.iter().enumerate() {
            let captured = frame.len() as u32;
            let time = Time(n as i64 * 1_000_000);
            packets.push(Packet {
                time,
                start: bytes.len(),
                captured,
                original: captured,
                link: LinkType(1),
                interface: 0,
            });
            bytes.extend_from_slice(frame);
        }
        let bytes = Bytes::Owned(Arc::new(bytes));
        traffic.see(&Block { input: "eth1".into(), bytes, packets, first_number: 1 });
        traffic
    }

    fn verdict(lines: &[Line], about: &str) -> Option<Verdict> {
        lines.iter().find(|line| line.about == about).map(|line| line.verdict)
    }

    fn conversations(back: bool) -> Vec<Vec<u8>> {
        let sides = |n: u16| [Some(false), back.then_some(true)].into_iter().flatten().map(move |side| (n, side));
        let packets = (0..60).flat_map(sides);
        packets.map(|(n, side)| frame(n as u8 % 10, side, n, 64)).collect()
    }

    #[test]
    fn one_direction_is_told_from_both() {
        let both = traffic(&conversations(true));
        assert_eq!(directions(&[both]).unwrap().verdict, Verdict::Good);
        let one = traffic(&conversations(false));
        assert_eq!(verdict(&one.judge(None), "traffic"), Some(Verdict::Good));
        assert_eq!(directions(&[one]).unwrap().verdict, Verdict::Change);
        // The other fibre of a tap.
        let back: Vec<_> = (0..60).map(|n| frame(n as u8 % 10, true, n, 64)).collect();
        let tap = [traffic(&conversations(false)), traffic(&back)];
        assert_eq!(directions(&tap).unwrap().verdict, Verdict::Good);
        assert_eq!(directions(&[traffic(&back[..9])]).unwrap().verdict, Verdict::Note, "too few");
        assert_eq!(directions(&[traffic(&[])]), None);
    }

    #[test]
    fn packets_that_come_twice_are_told_also_behind_a_router() {
        let once = conversations(true);
        assert_eq!(traffic(&once).counts.copies, 0);
        for hops in [64, 63] {
            let twice: Vec<_> = once
                .iter()
                .flat_map(|f| {
                    [f.clone(), {
                        let mut c = f.clone();
                        c[22] = hops;
                        c[0] = 4;
                        c
                    }]
                })
                .collect();
            let twice = traffic(&twice);
            assert_eq!(twice.counts.copies, once.len() as u64);
            assert_eq!(verdict(&twice.judge(None), "copies"), Some(Verdict::Change));
        }
        // The same packet after a while is a repetition, not a copy.
        let later: Vec<_> = once[..30].iter().chain(&once[..30]).cloned().collect();
        assert_eq!(traffic(&later).counts.copies, 0);
    }

    #[test]
    fn what_every_port_of_a_switch_gets_is_no_mirror() {
        let mut frames = conversations(true);
        for frame in &mut frames {
            frame[0] = 0xff;
        }
        let lines = traffic(&frames).judge(None);
        assert_eq!(verdict(&lines, "traffic"), Some(Verdict::Change));
        assert_eq!(verdict(&traffic(&[]).judge(None), "traffic"), Some(Verdict::Change), "nothing");
        assert_eq!(verdict(&traffic(&conversations(true)[..5]).judge(None), "traffic"), Some(Verdict::Note));
    }

    #[test]
    fn cut_packets_and_long_ones_are_told() {
        let mut seen = Traffic::new(Some(&Facts { mtu: 1500, gro: Some(true), ..Facts::default() }));
        let mut bytes = frame(1, false, 1, 64);
        bytes.splice(12..12, [0x81, 0, 0, 5]);
        let captured = bytes.len() as u32;
        let packet = |original| Packet { time: Time(1), start: 0, captured, original, link: LinkType(1), interface: 0 };
        let packets = vec![packet(captured), packet(1518), packet(1519)];
        seen.see(&Block { input: "eth1".into(), bytes: Bytes::Owned(Arc::new(bytes)), packets, first_number: 1 });
        let Counts { packets, tagged, cut, longer, .. } = seen.counts;
        assert_eq!((packets, tagged, cut, longer), (3, 3, 2, 1), "1518 is the longest with a tag");
        let lines = seen.judge(Some(&Facts { gro: Some(true), ..Facts::default() }));
        assert_eq!((verdict(&lines, "cut"), verdict(&lines, "long")), (Some(Verdict::Change), Some(Verdict::Note)));
    }

    #[test]
    fn losses_are_named_with_what_helps() {
        assert_eq!(verdict(&losses(&Losses::default()), "loss"), Some(Verdict::Good));
        let mut lost = Losses::default();
        lost.packets.insert("interface.dropped", 3);
        let lines = losses(&lost);
        assert_eq!(lines[0].verdict, Verdict::Change);
        assert!(lines[0].text.contains("3 packets") && lines[0].advice.as_deref().unwrap().contains("ethtool"));
    }

    /// Conversations are followed up to a number, and a copy is looked for among the latest packets.
    #[test]
    fn conversations_and_packets_that_are_remembered() {
        let mut traffic = traffic(&[]);
        for n in 0..CONVERSATIONS_MAX as u32 + 9 {
            let [_, a, b, c] = n.to_be_bytes();
            traffic.heard(Key::v4([10, a, b, c], 1, [192, 0, 2, 1], 2, 6).0, true);
        }
        assert_eq!(traffic.conversations.len(), CONVERSATIONS_MAX);
        traffic.heard(Key::v4([10, 0, 0, 0], 1, [192, 0, 2, 1], 2, 6).0, false);
        let both = traffic.conversations.values().filter(|sides| sides.iter().all(|side| *side > 0)).count();
        assert_eq!(both, 1, "one that is followed still is");
        let copies = |others: u32| {
            let mut other = self::traffic(&[]);
            let mut send = |n: u32| other.compare(Time(0), &[&[0x45][..], &[0; 11], &n.to_be_bytes()].concat());
            (0..=others).for_each(&mut send);
            send(0);
            assert!(other.recent.len() <= RECENT_MAX && other.known.len() <= RECENT_MAX);
            other.counts.copies
        };
        assert_eq!((copies(RECENT_MAX as u32 - 2), copies(RECENT_MAX as u32 - 1)), (1, 0));
    }
}
