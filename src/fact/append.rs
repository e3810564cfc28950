//! Text of numbers, addresses and bytes, appended: for records written by the million.
//!
//! In: a value. Out: its text behind what a vector of bytes holds already, from tables and without a string of its own.

use std::io::Write;
use std::net::IpAddr;

/// Decimal digits of a `u64`.
const DIGITS_MAX: usize = 20;

/// The two hex digits of each byte.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

/// The decimal digits of each byte and a dot behind them; then how many bytes that is.
const DOTTED: [([u8; 4], u8); 256] = {
    let mut table = [([0; 4], 0); 256];
    let mut byte = 0;
    while byte < 256 {
        let [hundreds, tens, ones] =
            [b'0' + (byte / 100) as u8, b'0' + (byte / 10 % 10) as u8, b'0' + (byte % 10) as u8];
        table[byte] = match byte {
            0..=9 => ([ones, b'.', 0, 0], 2),
            10..=99 => ([tens, ones, b'.', 0], 3),
            _ => ([hundreds, tens, ones, b'.'], 4),
        };
        byte += 1;
    }
    table
};

/// A number in decimal.
#[inline]
pub fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; DIGITS_MAX];
    let mut at = DIGITS_MAX;
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

/// Lower-case hex without separators.
#[inline]
pub fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 2 * bytes.len(), 0);
    for (pair, byte) in out[start..].as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = HEX[usize::from(*byte)];
    }
}

/// A hardware address as tools print it.
#[inline]
pub fn mac(bytes: &[u8; 6], out: &mut Vec<u8>) {
    let mut text = [b':'; 17];
    for (place, byte) in text.chunks_mut(3).zip(bytes) {
        place[..2].copy_from_slice(&HEX[usize::from(*byte)]);
    }
    out.extend_from_slice(&text);
}

/// An IP address.
#[inline]
pub fn address(address: IpAddr, out: &mut Vec<u8>) {
    let IpAddr::V4(v4) = address else {
        // A vector takes everything.
        let _ = write!(out, "{address}");
        return;
    };
    let mut text = [0; 16];
    let mut at = 0;
    for octet in v4.octets() {
        let (digits, bytes) = DOTTED[usize::from(octet)];
        text[at..at + 4].copy_from_slice(&digits);
        at += usize::from(bytes);
    }
    out.extend_from_slice(&text[..at - 1]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fact::value;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before ".to_vec();
        write(&mut out);
        String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned()
    }

    #[test]
    fn numbers_of_every_length() {
        for number in (0..20).flat_map(|n| [10u64.pow(n) - 1, 10u64.pow(n), 10u64.pow(n) + 1]).chain([u64::MAX]) {
            assert_eq!(text(|out| decimal(number, out)), number.to_string());
        }
    }

    proptest! {
        #[test]
        fn the_same_text_as_the_strings(
            number: u64, bytes: Vec<u8>, hardware: [u8; 6], v4: [u8; 4], v6: [u8; 16],
        ) {
            prop_assert_eq!(text(|out| decimal(number, out)), number.to_string());
            prop_assert_eq!(text(|out| hex(&bytes, out)), value::hex(&bytes));
            prop_assert_eq!(text(|out| mac(&hardware, out)), value::mac(&hardware));
            for ip in [IpAddr::from(v4), IpAddr::from(v6)] {
                prop_assert_eq!(text(|out| address(ip, out)), ip.to_string());
            }
        }
    }
}
