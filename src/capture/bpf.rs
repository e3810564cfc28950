//! A machine for classic BPF programs, as libpcap's compiler makes them.
//!
//! In: instructions and one packet with both of its lengths. Out: whether it matches. The binding
//! to libpcap can run a program too, but tells it that the captured length is the whole length,
//! which gives wrong answers to `greater` and `less`. Semantics: McCanne and Jacobson, "The BSD
//! Packet Filter" (1993), and bpf(4); loads beyond the packet and division by zero do not match.

// Without libpcap there are no filters, only the instructions that deal packets out in the kernel.
#![cfg_attr(not(feature = "libpcap"), allow(dead_code))]

/// Instructions that one packet may take; only `protochain` jumps backwards.
const STEPS_MAX: u32 = 65_536;

const SCRATCH_WORDS: usize = 16;

// Instruction classes, the low three bits.
const LD: u16 = 0;
const LDX: u16 = 1;
const ST: u16 = 2;
const STX: u16 = 3;
const ALU: u16 = 4;
const JMP: u16 = 5;
const RET: u16 = 6;

// Load sizes and modes.
const SIZE: u16 = 0x18;
const HALF: u16 = 0x08;
const BYTE: u16 = 0x10;
const MODE: u16 = 0xe0;
const IMM: u16 = 0x00;
const ABS: u16 = 0x20;
const IND: u16 = 0x40;
const MEM: u16 = 0x60;
const LEN: u16 = 0x80;
const MSH: u16 = 0xa0;

// The operand of arithmetic and jumps, and what a return returns.
const FROM_X: u16 = 0x08;
const FROM_A: u16 = 0x10;
/// Register transfer: X to A, else A to X.
const TXA: u16 = 0x80;

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    pub(crate) if_true: u8,
    pub(crate) if_false: u8,
    pub(crate) k: u32,
}

/// A program that was compiled.
#[derive(Clone, Debug)]
pub(crate) struct Program(pub(crate) Vec<Instruction>);

impl Program {
    /// The packet of `wire_length` bytes, of which `packet` were captured, matches.
    pub(crate) fn matches(&self, packet: &[u8], wire_length: u32) -> bool {
        self.run(packet, wire_length).is_some_and(|kept| kept > 0)
    }

    pub(crate) fn run(&self, packet: &[u8], wire_length: u32) -> Option<u32> {
        let mut a = 0u32;
        let mut x = 0u32;
        let mut memory = [0u32; SCRATCH_WORDS];
        let mut pc = 0usize;
        for _ in 0..STEPS_MAX {
            let Instruction { code, if_true, if_false, k } = *self.0.get(pc)?;
            pc = pc.checked_add(1)?;
            let operand = if code & FROM_X == 0 { k } else { x };
            match code & 0x07 {
                LD => {
                    a = match code & MODE {
                        IMM => k,
                        ABS => load(packet, k as usize, code)?,
                        IND => load(packet, x.checked_add(k)? as usize, code)?,
                        MEM => *memory.get(k as usize)?,
                        LEN => wire_length,
                        _ => return None,
                    }
                }
                LDX => {
                    x = match code & MODE {
                        IMM => k,
                        MEM => *memory.get(k as usize)?,
                        LEN => wire_length,
                        // The header length of IPv4: four times the low half of a byte.
                        MSH => u32::from(packet.get(k as usize)? & 0x0f) << 2,
                        _ => return None,
                    }
                }
                ST => *memory.get_mut(k as usize)? = a,
                STX => *memory.get_mut(k as usize)? = x,
                ALU => a = arithmetic(code, a, operand)?,
                JMP => {
                    let jump = match code & 0xf0 {
                        // Always; signed, for the loops of `protochain`.
                        0x00 => k as i32 as isize,
                        0x10 => either(a == operand, if_true, if_false),
                        0x20 => either(a > operand, if_true, if_false),
                        0x30 => either(a >= operand, if_true, if_false),
                        0x40 => either(a & operand != 0, if_true, if_false),
                        _ => return None,
                    };
                    pc = pc.checked_add_signed(jump)?;
                }
                RET => return Some(if code & FROM_A == 0 { operand } else { a }),
                _ if code & TXA == 0 => x = a,
                _ => a = x,
            }
        }
        None
    }
}

fn load(packet: &[u8], at: usize, code: u16) -> Option<u32> {
    let rest = packet.get(at..)?;
    Some(match code & SIZE {
        HALF => u32::from(u16::from_be_bytes(*rest.first_chunk()?)),
        BYTE => u32::from(*rest.first()?),
        _ => u32::from_be_bytes(*rest.first_chunk()?),
    })
}

fn arithmetic(code: u16, a: u32, operand: u32) -> Option<u32> {
    Some(match code & 0xf0 {
        0x00 => a.wrapping_add(operand),
        0x10 => a.wrapping_sub(operand),
        0x20 => a.wrapping_mul(operand),
        0x30 => a.checked_div(operand)?,
        0x40 => a | operand,
        0x50 => a & operand,
        0x60 => a.checked_shl(operand).unwrap_or(0),
        0x70 => a.checked_shr(operand).unwrap_or(0),
        0x80 => a.wrapping_neg(),
        0x90 => a.checked_rem(operand)?,
        0xa0 => a ^ operand,
        _ => return None,
    })
}

fn either(which: bool, if_true: u8, if_false: u8) -> isize {
    isize::from(if which { if_true } else { if_false })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loop that counts down from a number, three instructions each time round.
    fn counts_from(k: u32) -> Program {
        let one = |code, if_true, k| Instruction { code, if_true, if_false: 0, k };
        let back = -3i32 as u32;
        Program(vec![
            one(LD | IMM, 0, k),
            one(ALU | 0x10, 0, 1),
            one(JMP | 0x10, 1, 0),
            one(JMP, 0, back),
            one(RET, 0, 9),
        ])
    }

    /// A program that goes on for too long does not match.
    #[test]
    fn steps_of_a_program() {
        // The first instruction, three for each time round but the last, which has two, and the return.
        let most = (STEPS_MAX - 1) / 3;
        assert_eq!(counts_from(most).run(&[], 0), Some(9));
        assert_eq!(counts_from(most + 1).run(&[], 0), None);
        assert_eq!(counts_from(0).run(&[], 0), None, "it never comes to zero");
    }
}
