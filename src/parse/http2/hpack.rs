//! HPACK: the header fields of HTTP/2 out of their compressed form.
//!
//! In: header blocks of one side in their order; one left out makes all that follow unreadable. Out: names and values.
//! The dynamic table has at most [`TABLE_BYTES_MAX`] bytes. Source: RFC 7541.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::collections::VecDeque;

use crate::bytes::Reader;

/// Bytes of the dynamic table, as RFC 7541 section 4.1 counts them; a side that asks for more is not read on.
pub const TABLE_BYTES_MAX: usize = 64 * 1024;
/// What it is until a side says otherwise (RFC 9113 section 6.5.2).
const TABLE_BYTES: usize = 4096;
/// What an entry costs beside name and value.
const ENTRY_BYTES: usize = 32;
/// Continuation bytes of a number: what takes more does not fit.
const NUMBER_BYTES_MAX: u32 = 4;
/// Bits of the longest Huffman code.
const CODE_BITS_MAX: usize = 30;
/// Symbols of the Huffman code: bytes and the end of a string.
const SYMBOLS: usize = 257;

/// Appendix A.
const STATIC: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// Bits of the code of each symbol (appendix B). The code is canonical: of two symbols the one with fewer bits comes
/// first, of two with as many bits the smaller one, and each code is the one before it plus one.
#[rustfmt::skip]
const CODE_BITS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28,
    28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15,
    6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20,
    20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23,
    24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22,
    22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27,
    24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26,
    26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// Symbols in the order of their codes.
static ORDERED: [u16; SYMBOLS] = ordered();

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
const fn ordered() -> [u16; SYMBOLS] {
    let mut ordered = [0; SYMBOLS];
    let mut place = 0;
    let mut bits = 0;
    while bits <= CODE_BITS_MAX {
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if CODE_BITS[symbol] as usize == bits {
                ordered[place] = symbol as u16;
                place += 1;
            }
            symbol += 1;
        }
        bits += 1;
    }
    ordered
}

/// Codes of each length.
static COUNTS: [u32; CODE_BITS_MAX + 1] = counts();

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
const fn counts() -> [u32; CODE_BITS_MAX + 1] {
    let mut counts = [0; CODE_BITS_MAX + 1];
    let mut symbol = 0;
    while symbol < SYMBOLS {
        counts[CODE_BITS[symbol] as usize] += 1;
        symbol += 1;
    }
    counts
}

/// A string out of its Huffman code; `None` if it is none (section 5.2).
fn huffman(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(bytes.len().saturating_mul(8).div_ceil(5));
    let (mut code, mut first, mut place, mut length) = (0_u32, 0_u32, 0_u32, 0_usize);
    for at in 0..bytes.len().saturating_mul(8) {
        let byte = bytes.get(at >> 3)?;
        let bit = u32::from(byte >> 7_usize.saturating_sub(at & 7)) & 1;
        code = code << 1 | bit;
        first <<= 1;
        length = length.saturating_add(1);
        let count = *COUNTS.get(length)?;
        match code.checked_sub(first).filter(|behind| *behind < count) {
            Some(behind) => {
                let symbol = *ORDERED.get(place.saturating_add(behind) as usize)?;
                text.push(u8::try_from(symbol).ok()?);
                (code, first, place, length) = (0, 0, 0, 0);
            }
            None => {
                first = first.saturating_add(count);
                place = place.saturating_add(count);
            }
        }
    }
    // What is left is the front of the end symbol: ones, and less than a byte.
    (length < 8 && code.checked_add(1)? == 1 << length).then_some(text)
}

/// A number that begins in the low bits of a byte (section 5.1).
fn number(reader: &mut Reader<'_>, first: u8, bits: u32) -> Option<usize> {
    let most = (1_usize << bits).saturating_sub(1);
    let start = usize::from(first) & most;
    if start < most {
        return Some(start);
    }
    let mut sum = start;
    for place in 0..NUMBER_BYTES_MAX {
        let byte = reader.u8()?;
        sum = sum.checked_add((usize::from(byte) & 0x7f) << place.saturating_mul(7))?;
        if byte & 0x80 == 0 {
            return Some(sum);
        }
    }
    None
}

/// A string, plain or in Huffman code (section 5.2).
fn string(reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    let first = reader.u8()?;
    let length = number(reader, first, 7)?;
    let bytes = reader.take(length)?;
    if first & 0x80 == 0 { Some(bytes.to_vec()) } else { huffman(bytes) }
}

/// Name and value.
type Entry = (Vec<u8>, Vec<u8>);

/// The state of one side.
pub struct Decoder {
    /// The newest first.
    table: VecDeque<Entry>,
    bytes: usize,
    bytes_max: usize,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { table: VecDeque::new(), bytes: 0, bytes_max: TABLE_BYTES }
    }
}

impl Decoder {
    /// Gives each field of a block to `take`; `None` when the block cannot be read and nothing after it can.
    pub fn read(&mut self, block: &[u8], mut take: impl FnMut(&[u8], &[u8])) -> Option<()> {
        let mut reader = Reader::new(block);
        while let Some(first) = reader.u8() {
            match first {
                0x80.. => {
                    let index = number(&mut reader, first, 7)?;
                    let (name, value) = self.entry(index)?;
                    take(name, value);
                }
                0x20..=0x3f => {
                    self.bytes_max = number(&mut reader, first, 5).filter(|bytes| *bytes <= TABLE_BYTES_MAX)?;
                    self.evict(0);
                }
                _ => {
                    let kept = first & 0x40 != 0;
                    let index = number(&mut reader, first, if kept { 6 } else { 4 })?;
                    let name = match index {
                        0 => string(&mut reader)?,
                        _ => self.entry(index)?.0.to_vec(),
                    };
                    let value = string(&mut reader)?;
                    take(&name, &value);
                    if kept {
                        self.add((name, value));
                    }
                }
            }
        }
        Some(())
    }

    fn entry(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let place = index.checked_sub(1)?;
        match place.checked_sub(STATIC.len()) {
            None => STATIC.get(place).copied(),
            Some(place) => self.table.get(place).map(|(name, value)| (&name[..], &value[..])),
        }
    }

    fn add(&mut self, entry: Entry) {
        let bytes = entry_bytes(&entry);
        self.evict(bytes);
        // One that is larger than the table empties it (section 4.4).
        if bytes <= self.bytes_max {
            self.bytes = self.bytes.saturating_add(bytes);
            self.table.push_front(entry);
        }
    }

    /// Makes room.
    fn evict(&mut self, wanted: usize) {
        while self.bytes.saturating_add(wanted) > self.bytes_max
            && let Some(oldest) = self.table.pop_back()
        {
            self.bytes = self.bytes.saturating_sub(entry_bytes(&oldest));
        }
    }
}

fn entry_bytes((name, value): &Entry) -> usize {
    name.len().saturating_add(value.len()).saturating_add(ENTRY_BYTES)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used)]

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
    }

    fn read(decoder: &mut Decoder, hex: &str) -> Option<Vec<String>> {
        let mut all = Vec::new();
        let text = String::from_utf8_lossy;
        decoder.read(&bytes(hex), |name, value| all.push(format!("{}: {}", text(name), text(value))))?;
        Some(all)
    }

    #[test]
    fn requests_of_appendix_c4() {
        let mut decoder = Decoder::default();
        let first = read(&mut decoder, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff").unwrap();
        let common = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
        assert_eq!(first, common);
        let second = read(&mut decoder, "8286 84be 5886 a8eb 1064 9cbf").unwrap();
        assert_eq!(second[..4], common);
        assert_eq!(second[4], "cache-control: no-cache");
        let third = read(&mut decoder, "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf").unwrap();
        assert_eq!(
            third,
            [
                ":method: GET",
                ":scheme: https",
                ":path: /index.html",
                ":authority: www.example.com",
                "custom-key: custom-value"
            ]
        );
        assert_eq!(decoder.bytes, 164);
    }

    #[test]
    fn responses_of_appendix_c6() {
        let mut decoder = Decoder { bytes_max: 256, ..Decoder::default() };
        let first = "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 \
            82a6 2d1b ff6e 919d 29ad 1718 \
            63c7 8f0b 97c8 e9ae 82ae 43d3";
        let found = read(&mut decoder, first).unwrap();
        assert_eq!(found[0], ":status: 302");
        assert_eq!(found[2], "date: Mon, 21 Oct 2013 20:13:21 GMT");
        assert_eq!(found[3], "location: https://www.example.com");
        assert_eq!(decoder.bytes, 222);
        assert_eq!(read(&mut decoder, "4883 640e ffc1 c0bf").unwrap()[0], ":status: 307");
        assert_eq!(decoder.bytes, 222);
    }

    #[test]
    fn the_code_is_canonical() {
        // Appendix B: space is 0x14 in 6 bits, `a` 0x3 in 5, `&` 0xf8 in 8, the end symbol thirty ones.
        assert_eq!(huffman(&[0b0101_0000, 0b0111_1111, 0b0001_1111]).as_deref(), Some(&b" a&"[..]));
        assert_eq!(huffman(&[0b0001_1111, 0b1111_1111]), None, "padding of more than seven bits");
        assert_eq!(huffman(&[0xff, 0xff, 0xff, 0xfc]), None, "the end symbol");
        assert_eq!(huffman(&[0b0001_1111]).as_deref(), Some(&b"a"[..]));
        assert_eq!(huffman(&[0b0001_1110]), None, "padding that is not ones");
    }

    /// Codes of each length in appendix B; together they fill the tree, and a symbol of a shorter code stands before.
    #[test]
    fn the_code_is_complete() {
        let mut wanted = [0; CODE_BITS_MAX + 1];
        for (bits, count) in [
            (5, 10),
            (6, 26),
            (7, 32),
            (8, 6),
            (10, 5),
            (11, 3),
            (12, 2),
            (13, 6),
            (14, 2),
            (15, 3),
            (19, 3),
            (20, 8),
            (21, 13),
            (22, 26),
            (23, 29),
            (24, 12),
            (25, 4),
            (26, 15),
            (27, 19),
            (28, 29),
            (30, 4),
        ] {
            wanted[bits] = count;
        }
        assert_eq!(counts(), wanted);
        let leaves: u64 = counts().iter().enumerate().map(|(bits, count)| u64::from(*count) << (30 - bits)).sum();
        assert_eq!(leaves, 1 << 30);
        let ordered = ordered();
        assert_eq!(ordered[..10], [b'0', b'1', b'2', b'a', b'c', b'e', b'i', b'o', b's', b't'].map(u16::from));
        assert_eq!(ordered[SYMBOLS - 4..], [10, 13, 22, 256], "line feed, carriage return, 0x16 and the end symbol");
        assert!(ordered.windows(2).all(|two| CODE_BITS[usize::from(two[0])] <= CODE_BITS[usize::from(two[1])]));
    }

    /// A new size of the table (section 6.3): at none nothing is left in it, and what comes later stays away.
    #[test]
    fn the_table_has_the_size_that_was_told() {
        // Appendix C.2.1 adds an entry, which 62 names.
        let entry = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
        let mut decoder = Decoder::default();
        let named = read(&mut decoder, &format!("{entry} be")).unwrap();
        assert_eq!((named, decoder.bytes), (vec!["custom-key: custom-header".to_owned(); 2], 55));
        assert_eq!(read(&mut decoder, "20"), Some(Vec::new()));
        assert_eq!((decoder.bytes, read(&mut decoder, "be")), (0, None));
        let mut small = Decoder::default();
        // 54 bytes are one too few, 55 are enough: 31 in five bits, then the rest (section 5.1).
        assert_eq!(read(&mut small, &format!("3f17 {entry} be")), None);
        assert_eq!(read(&mut Decoder::default(), &format!("3f18 {entry} be")).map(|all| all.len()), Some(2));
    }

    #[test]
    fn what_cannot_be_read() {
        // Index 0, an index that is not there, a string that is cut, a table that is too large, an endless number.
        for hex in ["80", "be", "4003 61", "3fff ffff 7f", "ffff ffff ffff"] {
            assert_eq!(read(&mut Decoder::default(), hex), None, "{hex}");
        }
    }
}
