//! Colour on a terminal.
//!
//! In: text, and whether colour is wanted. Out: the text, in colour where it is. Source: ECMA-48, section 8.3.117.

use std::io::{self, Write};

use crate::fact::value;

/// Faint.
pub const DIM: &str = "\x1b[2m";
/// Bold.
pub const BOLD: &str = "\x1b[1m";
/// Red.
pub const RED: &str = "\x1b[31m";
/// Yellow.
pub const YELLOW: &str = "\x1b[33m";
/// Green.
pub const GREEN: &str = "\x1b[32m";
/// The end of a colour.
pub const RESET: &str = "\x1b[0m";

const COLORS: [&str; 6] = [DIM, BOLD, RED, YELLOW, GREEN, RESET];

/// Lets colours through and nothing else that moves, hides or turns around: what a report was read from may be anybody's.
pub struct Harmless<'a>(pub &'a mut dyn Write);

impl Write for Harmless<'_> {
    /// `write!` hands over whole strings: no character is cut in two.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.iter().all(|byte| matches!(byte, b'\n' | b' '..=b'~')) {
            return self.0.write(bytes);
        }
        let text = String::from_utf8_lossy(bytes);
        let mut rest = &*text;
        while let Some((at, odd)) = rest.char_indices().find(|(_, c)| *c != '\n' && value::is_hidden(*c)) {
            let (plain, behind) = rest.split_at(at);
            self.0.write_all(plain.as_bytes())?;
            let color = COLORS.iter().find(|color| behind.starts_with(**color));
            match color {
                Some(color) => self.0.write_all(color.as_bytes())?,
                None => write!(self.0, "{}", odd.escape_unicode())?,
            }
            rest = &behind[color.map_or(odd.len_utf8(), |color| color.len())..];
        }
        self.0.write_all(rest.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The text in a colour, where colour is wanted.
pub fn paint(wanted: bool, color: &str, text: &str) -> String {
    if wanted { format!("{color}{text}{RESET}") } else { text.to_owned() }
}
