//! Which worker a packet is for: a program that the kernel runs for every packet of a group of rings.
//!
//! In: a packet in the kernel. Out: a number that depends on the unordered pair of its IP addresses and nothing else, so
//! both directions, all fragments and both fibres of a tap meet at one worker, and a tunnel stays together by its outer
//! addresses. VLAN tags, PPPoE and MPLS labels are looked behind. What is no IP goes by the pair of hardware addresses.
//! Where the kernel cannot give a byte (one that is not in the linear part of a packet, in kernels before 2025) the number
//! is zero. Sources:
//! packet(7) on PACKET_FANOUT_CBPF; Documentation/networking/filter.rst of Linux.

use super::super::bpf::Instruction;

/// Where the kernel has the link layer and the network layer of a packet, as a program writes it.
pub(super) const LINK_LAYER: u32 = libc::SKF_LL_OFF as u32;
/// Two less, for reading begins two bytes before the network layer, where Ethernet has its type.
pub(super) const NETWORK_LAYER: u32 = (libc::SKF_NET_OFF as u32).wrapping_sub(TYPE_BYTES);

/// VLAN tags and MPLS labels that are looked behind.
const TAGS_MAX: usize = 3;
const LABELS_MAX: usize = 4;

const TYPE_AT: u32 = 12;
const TYPE_BYTES: u32 = 2;
/// Bytes from a type to the next one behind a tag, and behind the header of PPPoE.
const TAG_BYTES: u32 = 4;
const PPPOE_BYTES: u32 = 8;
const LABEL_BYTES: u32 = 4;
/// The last bytes of both hardware addresses: the first ones name the maker.
const HARDWARE_AT: [u32; 2] = [2, 8];
/// Source and destination in an IP header, in words of four bytes.
const IPV4_ADDRESSES: std::ops::Range<u32> = 3..5;
const IPV6_ADDRESSES: std::ops::Range<u32> = 2..10;

/// Odd numbers without a pattern: 2^32 over the golden ratio, and a multiplier of MurmurHash3.
const SPREAD: [u32; 2] = [0x9e37_79b1, 0x85eb_ca6b];

// Instructions; X is where the type of what follows stands.
const LOAD_WORD: u16 = 0x40;
const LOAD_HALF: u16 = 0x48;
const LOAD_BYTE: u16 = 0x50;
const LOAD_WORD_AT: u16 = 0x20;
const LOAD_X: u16 = 0x01;
const LOAD_X_MEMORY: u16 = 0x61;
const STORE: u16 = 0x02;
const STORE_X: u16 = 0x03;
const ADD: u16 = 0x04;
const ADD_X: u16 = 0x0c;
const MULTIPLY: u16 = 0x24;
const SHIFT_RIGHT: u16 = 0x74;
const XOR_X: u16 = 0xac;
const EQUAL: u16 = 0x15;
const ANY_BIT: u16 = 0x45;
const JUMP: u16 = 0x05;
const RETURN_A: u16 = 0x16;
const RETURN: u16 = 0x06;
const A_TO_X: u16 = 0x07;
const X_TO_A: u16 = 0x87;

// Words of memory.
const SUM: u32 = 0;
const PLACE: u32 = 1;

/// Places in the program that are jumped to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    Ipv4,
    Ipv6,
    Mpls,
    Pppoe,
    /// Behind the last label.
    Bottom,
    /// Behind the tag of this number.
    Tag(usize),
    NoIp,
    Mix,
}

/// A program while it is written.
#[derive(Default)]
struct Writing {
    instructions: Vec<Instruction>,
    /// Jumps, by instruction, and where labels stand.
    jumps: Vec<(usize, Label)>,
    labels: Vec<(Label, usize)>,
}

impl Writing {
    fn put(&mut self, code: u16, k: u32) {
        self.instructions.push(Instruction { code, if_true: 0, if_false: 0, k });
    }

    /// Goes there when the comparison holds.
    fn branch(&mut self, code: u16, k: u32, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        self.put(code, k);
    }

    fn label(&mut self, label: Label) {
        self.labels.push((label, self.instructions.len()));
    }

    fn advance(&mut self, bytes: u32) {
        self.put(X_TO_A, 0);
        self.put(ADD, bytes);
        self.put(A_TO_X, 0);
    }

    /// By the version in front of an IP packet.
    fn by_version(&mut self, origin: u32) {
        self.put(LOAD_BYTE, origin.wrapping_add(TYPE_BYTES));
        self.put(SHIFT_RIGHT, 4);
        self.branch(EQUAL, 4, Label::Ipv4);
        self.branch(EQUAL, 6, Label::Ipv6);
        self.branch(JUMP, 0, Label::NoIp);
    }

    /// The sum of words behind the type.
    fn sum(&mut self, origin: u32, words: std::ops::Range<u32>) {
        self.put(STORE_X, PLACE);
        for (n, word) in words.enumerate() {
            let at = word.saturating_mul(4).saturating_add(TYPE_BYTES);
            self.put(LOAD_WORD, origin.wrapping_add(at));
            if n > 0 {
                self.put(LOAD_X_MEMORY, SUM);
                self.put(ADD_X, 0);
            }
            self.put(STORE, SUM);
            self.put(LOAD_X_MEMORY, PLACE);
        }
        self.branch(JUMP, 0, Label::Mix);
    }

    /// Both address families, and the end: neighbours are spread, for the kernel takes the remainder.
    fn end(&mut self, origin: u32) {
        self.label(Label::Ipv4);
        self.sum(origin, IPV4_ADDRESSES);
        self.label(Label::Ipv6);
        self.sum(origin, IPV6_ADDRESSES);
        self.label(Label::Mix);
        let [first, second] = SPREAD;
        self.put(MULTIPLY, first);
        self.put(A_TO_X, 0);
        self.put(SHIFT_RIGHT, 15);
        self.put(XOR_X, 0);
        self.put(MULTIPLY, second);
        self.put(SHIFT_RIGHT, 8);
        self.put(RETURN_A, 0);
    }

    fn finish(mut self) -> Vec<Instruction> {
        for &(from, label) in &self.jumps {
            let to = self.labels.iter().find(|(name, _)| *name == label).map_or(from, |(_, to)| *to);
            let distance = to.saturating_sub(from).saturating_sub(1);
            let Some(instruction) = self.instructions.get_mut(from) else { continue };
            if instruction.code == JUMP {
                instruction.k = u32::try_from(distance).unwrap_or(u32::MAX);
            } else {
                // Every label is nearer than that: a test reads all jumps.
                instruction.if_true = u8::try_from(distance).unwrap_or(u8::MAX);
            }
        }
        self.instructions
    }
}

/// For frames of Ethernet that begin at `origin`.
pub(super) fn ethernet(origin: u32) -> Vec<Instruction> {
    let mut program = Writing::default();
    program.put(LOAD_X, TYPE_AT);
    for tag in 0..=TAGS_MAX {
        program.put(LOAD_HALF, origin);
        for (kind, label) in [
            (0x0800, Label::Ipv4),
            (0x86dd, Label::Ipv6),
            (0x8847, Label::Mpls),
            (0x8848, Label::Mpls),
            (0x8864, Label::Pppoe),
        ] {
            program.branch(EQUAL, kind, label);
        }
        if tag < TAGS_MAX {
            for kind in [0x8100, 0x88a8, 0x9100] {
                program.branch(EQUAL, kind, Label::Tag(tag));
            }
        }
        program.branch(JUMP, 0, Label::NoIp);
        if tag < TAGS_MAX {
            program.label(Label::Tag(tag));
            program.advance(TAG_BYTES);
        }
    }
    program.label(Label::Pppoe);
    program.advance(PPPOE_BYTES);
    program.put(LOAD_HALF, origin);
    program.branch(EQUAL, 0x0021, Label::Ipv4);
    program.branch(EQUAL, 0x0057, Label::Ipv6);
    program.branch(JUMP, 0, Label::NoIp);
    program.label(Label::Mpls);
    for _ in 0..LABELS_MAX {
        // The last bit of the third byte of a label says that it is the last.
        program.put(LOAD_BYTE, origin.wrapping_add(TYPE_BYTES).wrapping_add(2));
        program.branch(ANY_BIT, 1, Label::Bottom);
        program.advance(LABEL_BYTES);
    }
    program.branch(JUMP, 0, Label::NoIp);
    program.label(Label::Bottom);
    program.advance(LABEL_BYTES);
    program.by_version(origin);
    program.label(Label::NoIp);
    let [destination, source] = HARDWARE_AT;
    program.put(LOAD_WORD_AT, origin.wrapping_add(destination));
    program.put(A_TO_X, 0);
    program.put(LOAD_WORD_AT, origin.wrapping_add(source));
    program.put(ADD_X, 0);
    program.branch(JUMP, 0, Label::Mix);
    program.end(origin);
    program.finish()
}

/// For IP packets that begin two bytes behind `origin`.
pub(super) fn raw(origin: u32) -> Vec<Instruction> {
    let mut program = Writing::default();
    program.put(LOAD_X, 0);
    program.by_version(origin);
    program.label(Label::NoIp);
    program.put(RETURN, 0);
    program.end(origin);
    program.finish()
}

/// For frames that are not looked into: all to the first.
pub(super) fn first() -> Vec<Instruction> {
    let mut program = Writing::default();
    program.put(RETURN, 0);
    program.finish()
}

#[cfg(test)]
mod tests {
    use super::super::super::bpf::Program;
    use super::*;

    fn number(program: &Program, frame: &[u8]) -> u32 {
        program.run(frame, frame.len() as u32).expect("every load lies in the frame")
    }

    fn ipv4(source: [u8; 4], destination: [u8; 4], fragment: u16) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 40, 0, 7, 0, 0, 64, 6, 0, 0];
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet.extend(source);
        packet.extend(destination);
        packet.extend([0x11; 20]);
        packet
    }

    fn ipv6(source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
        [&[0x60, 0, 0, 0, 0, 20, 6, 64][..], &source, &destination, &[0x22; 20]].concat()
    }

    fn frame(macs: [u8; 2], between: &[u8], packet: &[u8]) -> Vec<u8> {
        [&[0, 1, 2, 3, 4, macs[1]][..], &[0, 1, 2, 3, 4, macs[0]], between, packet].concat()
    }

    const TAGS: &[&[u8]] =
        &[&[], &[0x81, 0, 0, 5], &[0x88, 0xa8, 0, 5, 0x81, 0, 0x20, 9], &[0x91, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3]];

    #[test]
    fn a_number_is_that_of_the_pair_of_addresses_whatever_is_around_it() {
        let (program, raw) = (Program(ethernet(0)), Program(raw(0)));
        for n in 0..500u16 {
            let [high, low] = n.to_be_bytes();
            let (a, b) = ([10, 1, high, low], [198, 51, 100, low ^ 0x5a]);
            let (a6, b6) = (
                [0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, high, low],
                [0x20, 1, 0xd, 0xb8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 7, low, 1],
            );
            let there = [ipv4(a, b, 0), ipv6(a6, b6)];
            let back = [ipv4(b, a, 0), ipv6(b6, a6)];
            let later = [ipv4(a, b, 0x2010), ipv6(a6, b6)];
            let kinds: [(&[u8], &[u8]); 2] = [(&[8, 0], &[0, 0x21]), (&[0x86, 0xdd], &[0, 0x57])];
            for (((there, back), later), (kind, ppp)) in there.iter().zip(&back).zip(&later).zip(kinds) {
                let expected = number(&program, &frame([1, 2], kind, there));
                for packet in [there, back, later] {
                    assert_eq!(number(&raw, &[&[0, 0], &packet[..]].concat()), expected);
                    for tags in TAGS {
                        let pppoe = [&[0x88, 0x64, 0x11, 0, 0, 9, 0, 42][..], ppp].concat();
                        let mpls = [0x88, 0x47, 0, 1, 0, 64, 0, 2, 0, 64, 0, 3, 1, 64];
                        for inner in [kind, &pppoe, &mpls] {
                            let frame = frame([n as u8, 7], &[tags, inner].concat(), packet);
                            assert_eq!(number(&program, &frame), expected, "{frame:02x?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_ip_goes_by_both_hardware_addresses() {
        let program = Program(ethernet(0));
        for kind in [&[8u8, 6][..], &[0x88, 0xcc], &[0x88, 0x90], &[0x81, 0, 0, 5, 8, 6], &[0, 46]] {
            let there = number(&program, &frame([1, 2], kind, &[0; 46]));
            assert_eq!(there, number(&program, &frame([2, 1], kind, &[0; 46])));
            assert_ne!(there, number(&program, &frame([3, 1], kind, &[0; 46])));
        }
    }

    /// Hosts in a row, to one server, are dealt out evenly.
    #[test]
    fn neighbours_are_spread() {
        let program = Program(ethernet(0));
        for members in [2, 3, 4, 8, 16] {
            let mut dealt = vec![0u32; members];
            for host in 0..4000u16 {
                let [high, low] = host.to_be_bytes();
                let frame = frame([1, 2], &[8, 0], &ipv4([10, 0, high, low], [203, 0, 113, 9], 0));
                dealt[number(&program, &frame) as usize % members] += 1;
            }
            let fair = 4000 / members as u32;
            assert!(dealt.iter().all(|&n| n > fair * 7 / 10 && n < fair * 13 / 10), "{members}: {dealt:?}");
        }
    }

    #[test]
    fn every_jump_leads_to_where_it_should() {
        for program in [ethernet(LINK_LAYER), raw(NETWORK_LAYER), first()] {
            assert!(program.len() < 256);
            for (n, instruction) in program.iter().enumerate() {
                let distance = if instruction.code == JUMP { instruction.k } else { instruction.if_true.into() };
                assert!(n + 1 + (distance as usize) < program.len() || matches!(instruction.code, RETURN | RETURN_A));
                assert!(instruction.if_true < u8::MAX);
            }
        }
    }
}
