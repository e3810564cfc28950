//! Lines of a log of Zeek.
//!
//! In: values, column by column. Out: a line with tabs between them. What would be read as a tab, as the end of the line, as
//! the sign of an unset or an empty value, or as the comma of a list stands as `\xNN`; so do bytes that are no UTF-8.
//! Source: src/logging/writers/ascii/Ascii.cc and src/threading/formatters/Ascii.cc of zeek/zeek.

use std::net::IpAddr;

use super::{Column, seconds};
use crate::fact::{Fact, Kind, append, value};
use crate::time::Time;

const EMPTY: &[u8] = b"(empty)";
const UNSET: &[u8] = b"-";

/// The lines before the first record. `#open` has packet time, as Zeek's network time is when it reads a file.
pub fn header(out: &mut Vec<u8>, path: &str, opened: Option<Time>, head: &[Column], columns: &[Column]) {
    let all = || head.iter().chain(columns);
    let list = |name: &str, of: &dyn Fn(&Column) -> &'static str| {
        all().fold(format!("#{name}"), |line, column| line + "\t" + of(column)) + "\n"
    };
    out.extend_from_slice(b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n");
    out.extend_from_slice(format!("#path\t{path}\n").as_bytes());
    moment(out, "open", opened);
    out.extend_from_slice(list("fields", &|column| column.0).as_bytes());
    out.extend_from_slice(list("types", &|column| column.1).as_bytes());
}

/// The line behind the last record.
pub fn footer(out: &mut Vec<u8>, closed: Option<Time>) {
    moment(out, "close", closed);
}

/// `#open` or `#close`: `2026-11-02-08-00-00`.
fn moment(out: &mut Vec<u8>, name: &str, time: Option<Time>) {
    let Some(time) = time else { return };
    let text: String = time.to_string().chars().take("2026-11-02T08:00:00".len()).collect();
    out.extend_from_slice(format!("#{name}\t{}\n", text.replace(['T', ':'], "-")).as_bytes());
}

/// A line that is being written.
pub struct Row<'a>(&'a mut Vec<u8>);

impl<'a> Row<'a> {
    /// A line behind others.
    pub fn new(out: &'a mut Vec<u8>) -> Row<'a> {
        Row(out)
    }

    /// What needs no escape.
    pub fn plain(&mut self, value: &[u8]) {
        self.0.extend_from_slice(value);
        self.0.push(b'\t');
    }

    /// So many values that are not known.
    pub fn unset(&mut self, count: usize) {
        (0..count).for_each(|_| self.plain(UNSET));
    }

    /// A value that may not be known.
    pub fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Row<'a>, T)) {
        match value {
            Some(value) => write(self, value),
            None => self.unset(1),
        }
    }

    /// A count, a port.
    pub fn number(&mut self, number: u64) {
        append::decimal(number, self.0);
        self.0.push(b'\t');
    }

    /// `T` or `F`.
    pub fn bool(&mut self, holds: bool) {
        self.plain(if holds { b"T" } else { b"F" });
    }

    /// An address.
    pub fn address(&mut self, ip: IpAddr) {
        append::address(ip, self.0);
        self.0.push(b'\t');
    }

    /// A time.
    pub fn time(&mut self, time: Time) {
        self.interval(time.0);
    }

    /// Nanoseconds as seconds.
    pub fn interval(&mut self, nanos: i64) {
        seconds(nanos, self.0);
        self.0.push(b'\t');
    }

    /// Bytes from the wire.
    pub fn text(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return self.plain(EMPTY);
        }
        escaped(bytes, false, self.0);
        self.0.push(b'\t');
    }

    /// The value of a fact, if there is one.
    pub fn fact(&mut self, fact: Option<&Fact<'_>>) {
        self.optional(fact, |row, fact| match fact.field.kind {
            Kind::Name | Kind::Text => row.text(fact.value),
            _ => row.plain(value::text(fact).as_bytes()),
        });
    }

    /// A set or a vector; unset when there is nothing in it.
    pub fn list(&mut self, values: &[Vec<u8>]) {
        if values.is_empty() {
            return self.unset(1);
        }
        for value in values {
            escaped(value, true, self.0);
            self.0.push(b',');
        }
        self.0.pop();
        self.0.push(b'\t');
    }

    /// The line is over.
    pub fn end(self) {
        self.0.pop();
        self.0.push(b'\n');
    }
}

fn escaped(bytes: &[u8], in_list: bool, out: &mut Vec<u8>) {
    // What means "unset" and "empty" when it stands alone is told apart by its first byte.
    let mut rest = bytes;
    if [UNSET, EMPTY].contains(&bytes) {
        hex(&bytes[..1], out);
        rest = &bytes[1..];
    }
    for chunk in rest.utf8_chunks() {
        for character in chunk.valid().chars() {
            let mut utf8 = [0; 4];
            let utf8 = character.encode_utf8(&mut utf8).as_bytes();
            if character.is_control() || character == '\\' || in_list && character == ',' {
                hex(utf8, out);
            } else {
                out.extend_from_slice(utf8);
            }
        }
        hex(chunk.invalid(), out);
    }
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.extend_from_slice(b"\\x");
        append::hex(&[*byte], out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(write: impl FnOnce(&mut Row<'_>)) -> String {
        let mut out = Vec::new();
        let mut row = Row::new(&mut out);
        write(&mut row);
        row.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_from_the_wire_breaks_a_line() {
        // Expected by hand, by the rules of Zeek's formatter.
        assert_eq!(line(|row| row.text(b"a\tb\nc\\d")), "a\\x09b\\x0ac\\x5cd\n");
        assert_eq!(line(|row| row.text(b"")), "(empty)\n");
        assert_eq!(line(|row| row.text(b"(empty)")), "\\x28empty)\n");
        assert_eq!(line(|row| row.text(b"-")), "\\x2d\n");
        assert_eq!(line(|row| row.text(b"-a")), "-a\n");
        assert_eq!(line(|row| row.text(b"\xff\xc3\xa9")), "\\xff\u{e9}\n");
        assert_eq!(line(|row| row.list(&[b"a,b".to_vec(), b"c".to_vec()])), "a\\x2cb,c\n");
        assert_eq!(line(|row| row.list(&[])), "-\n");
    }

    #[test]
    fn times_have_microseconds() {
        assert_eq!(line(|row| row.interval(1_500_000_999)), "1.500000\n");
        assert_eq!(line(|row| row.interval(-1)), "0.000000\n");
        assert_eq!(line(|row| row.time(Time(1_790_000_000_000_001_000))), "1790000000.000001\n");
    }
}
