//! A cursor over bytes that cannot overrun.
//!
//! In: a slice from the wire. Out: numbers in network byte order and sub-slices, or `None` when
//! there are too few bytes. Every parser touches its input only through this.

/// Reads a slice from the front.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the first byte.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// Bytes not read yet.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `n` bytes.
    #[inline]
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(taken)
    }

    /// A reader over the next `n` bytes.
    #[inline]
    pub fn sub(&mut self, n: usize) -> Option<Reader<'a>> {
        self.take(n).map(Reader::new)
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Two bytes, big-endian.
    #[inline]
    pub fn u16(&mut self) -> Option<u16> {
        let (first, rest) = self.rest.split_first_chunk::<2>()?;
        self.rest = rest;
        Some(u16::from_be_bytes(*first))
    }

    /// Two bytes, little-endian.
    #[inline]
    pub fn u16_le(&mut self) -> Option<u16> {
        self.u16().map(u16::swap_bytes)
    }

    /// Three bytes, big-endian.
    #[inline]
    pub fn u24(&mut self) -> Option<u32> {
        let ([a, b, c], rest) = self.rest.split_first_chunk::<3>()?;
        self.rest = rest;
        Some(u32::from_be_bytes([0, *a, *b, *c]))
    }

    /// Four bytes, big-endian.
    #[inline]
    pub fn u32(&mut self) -> Option<u32> {
        let (first, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(u32::from_be_bytes(*first))
    }

    /// A vector with its length in one byte before it.
    #[inline]
    pub fn vec8(&mut self) -> Option<Reader<'a>> {
        let n = self.u8()?;
        self.sub(usize::from(n))
    }

    /// A vector with its length in two bytes before it.
    #[inline]
    pub fn vec16(&mut self) -> Option<Reader<'a>> {
        let n = self.u16()?;
        self.sub(usize::from(n))
    }

    /// A vector with its length in three bytes before it.
    #[inline]
    pub fn vec24(&mut self) -> Option<Reader<'a>> {
        let n = self.u24()?;
        self.sub(n as usize)
    }

    /// Printable text of at most `n` bytes that zero bytes fill up to `n`.
    #[inline]
    pub fn padded_text(&mut self, n: usize) -> Option<&'a [u8]> {
        let field = self.take(n)?;
        let text = field.split(|b| *b == 0).next()?;
        let padding = field.get(text.len()..)?;
        let printable = text.iter().all(|b| (b' '..=b'~').contains(b));
        (printable && padding.iter().all(|b| *b == 0)).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padded_text_is_printable_and_padded_with_zeros() {
        let text = |bytes| Reader::new(bytes).padded_text(4);
        assert_eq!(text(b"ab\0\0"), Some(&b"ab"[..]));
        assert_eq!(text(b"abcd"), Some(&b"abcd"[..]));
        assert_eq!(text(b"\0\0\0\0"), Some(&b""[..]));
        assert_eq!(text(b"ab\0c"), None, "something behind the end");
        assert_eq!(text(b"a\x01\0\0"), None, "not printable");
        assert_eq!(text(b"abc"), None, "too short");
    }

    #[test]
    fn both_byte_orders() {
        assert_eq!(Reader::new(&[1, 2]).u16(), Some(0x0102));
        assert_eq!(Reader::new(&[1, 2]).u16_le(), Some(0x0201));
    }
}
