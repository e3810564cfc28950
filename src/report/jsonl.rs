//! Findings and assets as JSON lines, the report as one JSON document.
//!
//! In: what `join` made. Out: one object a line, or one indented document. The schemas stand in
//! `fixtures/schema`.

use std::io::{self, Write};

use serde::Serialize;

/// One object a line.
pub fn lines<T: Serialize>(items: &[T], out: &mut dyn Write) -> io::Result<()> {
    for item in items {
        serde_json::to_writer(&mut *out, item).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// The whole report.
pub fn document(report: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report).map_err(io::Error::from)?;
    out.write_all(b"\n")
}
