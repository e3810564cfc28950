//! Findings and assets as JSON lines, the report as one JSON document.
//!
//! In: what `join` made. Out: one object a line, or one indented document. The schemas stand in
//! `fixtures/schema`.

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use super::Change;

/// Bytes that are written at once: a record comes in very many pieces.
const PIECE_BYTES: usize = 64 << 10;

/// One object a line.
pub fn lines<T: Serialize>(items: &[T], out: &mut dyn Write) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(PIECE_BYTES, out);
    for item in items {
        serde_json::to_writer(&mut out, item).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// A record with what became of it, as a line.
pub fn change<T: Serialize>(change: &Change<'_, T>, out: &mut Vec<u8>) {
    let start = out.len();
    // Writing to memory does not fail; what cannot be JSON is left out.
    match serde_json::to_writer(&mut *out, change) {
        Ok(()) => out.push(b'\n'),
        Err(_) => out.truncate(start),
    }
}

/// The whole report.
pub fn document(report: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(PIECE_BYTES, out);
    serde_json::to_writer_pretty(&mut out, report).map_err(io::Error::from)?;
    out.write_all(b"\n")?;
    out.flush()
}
