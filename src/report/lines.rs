//! Lines on their way to a writer, many at once.
//!
//! In: lines, appended one by one. Out: pieces of many whole lines, so that who takes them can count lines and keep them
//! whole.

use std::io::{self, Write};

/// Bytes of lines that are gathered before they are passed on.
const LINES_BYTES: usize = 256 << 10;

/// Gathers lines for a writer.
pub struct Lines<W> {
    out: W,
    gathered: Vec<u8>,
}

impl<W: Write> Lines<W> {
    /// Nothing is gathered yet.
    pub fn new(out: W) -> Lines<W> {
        Lines { out, gathered: Vec::new() }
    }

    /// Where whole lines are appended.
    #[inline]
    pub fn end(&mut self) -> &mut Vec<u8> {
        &mut self.gathered
    }

    /// Passes on what is gathered when it is much.
    #[inline]
    pub fn pass_on(&mut self) -> io::Result<()> {
        if self.gathered.len() < LINES_BYTES { Ok(()) } else { self.finish() }
    }

    /// Passes on what is gathered.
    pub fn finish(&mut self) -> io::Result<()> {
        self.out.write_all(&self.gathered)?;
        self.gathered.clear();
        Ok(())
    }
}
