//! Colour on a terminal.
//!
//! In: text, and whether colour is wanted. Out: the text, in colour where it is. Source: ECMA-48, section 8.3.117.

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

/// The text in a colour, where colour is wanted.
pub fn paint(wanted: bool, color: &str, text: &str) -> String {
    if wanted { format!("{color}{text}{RESET}") } else { text.to_owned() }
}
