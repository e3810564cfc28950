//! Where results go: documents, each written whole or not at all, and the sinks that flows are handed to.
//!
//! In: the report, flows, and the options that name files. Out: the files. Flows are read once, whatever is made of them.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bordertap::cli::{Format, FormatArgs, Language, OutputArgs, TalkArgs};
use bordertap::output;
use bordertap::report::flow::JsonLines;
#[cfg(feature = "parquet")]
use bordertap::report::parquet;
use bordertap::report::{Change, Report, Sink, cef, csv, eve, html, jsonl, misp, stix, text, zeek};
use bordertap::scan::Flows;
use bordertap::time::Time;

use super::{Failure, has_color};

/// A document that is being written; its errors name its file.
struct Document {
    path: PathBuf,
    inner: output::Document,
}

impl Document {
    fn create(path: &Path) -> Result<Document, Failure> {
        let inner = output::Document::create(path).map_err(|error| named(path, error))?;
        Ok(Document { path: path.to_owned(), inner })
    }

    fn finish(self) -> Result<(), Failure> {
        Ok(self.inner.finish().map_err(|error| named(&self.path, error))?)
    }
}

impl Write for Document {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes).map_err(|error| named(&self.path, error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush().map_err(|error| named(&self.path, error))
    }
}

/// The error with the name of the file.
fn named(path: &Path, error: io::Error) -> io::Error {
    if path == Path::new("-") { error } else { io::Error::new(error.kind(), format!("{}: {error}", path.display())) }
}

/// Writes a document to a path, `-` for standard output.
pub(crate) fn to(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut document = Document::create(path)?;
    write(&mut document)?;
    document.finish()
}

/// Writes all that was asked for.
pub(crate) fn write_all(outputs: &OutputArgs, talk: &TalkArgs, report: &Report, flows: Flows) -> Result<(), Failure> {
    write_records(outputs, report)?;
    write_report(outputs, talk, report)?;
    write_flows(outputs, report, flows)
}

/// Writes findings and assets where they were asked for.
pub(crate) fn write_records(outputs: &OutputArgs, report: &Report) -> Result<(), Failure> {
    if let Some(path) = &outputs.findings {
        to(path, |out| jsonl::lines(&report.findings, out))?;
    }
    if let Some(path) = &outputs.assets {
        to(path, |out| jsonl::lines(&report.assets, out))?;
    }
    if let Some(path) = &outputs.formats.cef {
        to(path, |out| all(report, cef::line, out))?;
    }
    Ok(())
}

/// Writes the report where it was asked for; as text when nothing at all was.
pub(crate) fn write_report(outputs: &OutputArgs, talk: &TalkArgs, report: &Report) -> Result<(), Failure> {
    if let Some(path) = &outputs.json {
        to(path, |out| jsonl::document(report, out))?;
    }
    if let Some(path) = &outputs.report {
        let lang = match outputs.lang {
            Language::En => html::Lang::En,
            Language::Zh => html::Lang::Zh,
        };
        to(path, |out| html::write(report, lang, out))?;
    }
    for (format, path) in outputs.formats.wanted() {
        match format {
            Format::Csv => {
                let [findings, assets] = files(path, csv::TABLES)?;
                to(&findings, |out| csv::findings(&report.findings, out))?;
                to(&assets, |out| csv::assets(&report.assets, out))?;
            }
            Format::Stix => to(path, |out| stix::write(report, out))?,
            Format::Misp => to(path, |out| misp::write(report, out))?,
            // Lines of their own, and what is made with flows.
            Format::Cef | Format::Eve | Format::Zeek => {}
            #[cfg(feature = "parquet")]
            Format::Parquet => {}
        }
    }
    if !outputs.any() {
        let style = text::Style { color: has_color(talk.color), verbose: talk.verbose > 0 };
        to(Path::new("-"), |out| text::write(report, style, out))?;
    }
    Ok(())
}

/// Writes flows where they were asked for: each is handed to all formats in one go.
fn write_flows(outputs: &OutputArgs, report: &Report, flows: Flows) -> Result<(), Failure> {
    if !outputs.needs_flows() {
        return Ok(());
    }
    let formats = &outputs.formats;
    let create = |path: &Option<PathBuf>| path.as_deref().map(Document::create).transpose();
    let (mut lines, mut eve) = (create(&outputs.flows)?, create(&formats.eve)?);
    let mut logs = formats.zeek.as_deref().map(documents).transpose()?;
    #[cfg(feature = "parquet")]
    let mut tables = formats.parquet.as_deref().map(tables).transpose()?;
    let policy = flows.policy();
    {
        let mut lines = lines.as_mut().map(JsonLines::new);
        let mut eve = eve.as_mut().map(eve::Events::new);
        let mut logs = logs.as_mut().map(|logs| zeek::Logs::new(logs.each_mut(), &policy, span(report)));
        #[cfg(feature = "parquet")]
        let mut rows = tables.as_mut().map(|[rows, ..]| parquet::Flows::new(rows)).transpose()?;
        let mut sinks: Vec<&mut dyn Sink> = Vec::new();
        sinks.extend(lines.as_mut().map(|sink| sink as &mut dyn Sink));
        sinks.extend(eve.as_mut().map(|sink| sink as &mut dyn Sink));
        sinks.extend(logs.as_mut().map(|sink| sink as &mut dyn Sink));
        #[cfg(feature = "parquet")]
        sinks.extend(rows.as_mut().map(|sink| sink as &mut dyn Sink));
        flows.hand_to(&mut sinks)?;
    }
    if let Some(eve) = &mut eve {
        all(report, eve::alert, eve)?;
    }
    #[cfg(feature = "parquet")]
    if let Some([rows, findings, assets]) = tables {
        let (mut findings, mut assets) = (findings, assets);
        parquet::findings(&report.findings, &mut findings)?;
        parquet::assets(&report.assets, &mut assets)?;
        [rows, findings, assets].into_iter().try_for_each(Document::finish)?;
    }
    let logs = logs.into_iter().flatten();
    lines.into_iter().chain(eve).chain(logs).try_for_each(Document::finish)
}

/// Every finding as a line.
fn all(
    report: &Report,
    line: fn(&Change<'_, bordertap::record::Finding>, &mut Vec<u8>),
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut lines = Vec::new();
    report.findings.iter().for_each(|finding| line(&Change::new(finding), &mut lines));
    out.write_all(&lines)
}

/// Times of the first and the last packet.
fn span(report: &Report) -> Option<(Time, Time)> {
    let time = |text: &Option<String>| Time::parse(text.as_deref()?);
    Some((time(&report.header.first_seen)?, time(&report.header.last_seen)?))
}

/// Files in a folder, which is made where it is not there.
fn files<const N: usize>(folder: &Path, names: [&str; N]) -> Result<[PathBuf; N], Failure> {
    std::fs::create_dir_all(folder).map_err(|error| named(folder, error))?;
    Ok(names.map(|name| folder.join(name)))
}

/// The logs of Zeek in a folder.
fn documents(folder: &Path) -> Result<[Document; 4], Failure> {
    let [conn, ssl, dns, http] = files(folder, zeek::LOGS)?;
    Ok([Document::create(&conn)?, Document::create(&ssl)?, Document::create(&dns)?, Document::create(&http)?])
}

/// The tables of Parquet in a folder.
#[cfg(feature = "parquet")]
fn tables(folder: &Path) -> Result<[Document; 3], Failure> {
    let [flows, findings, assets] = files(folder, parquet::TABLES)?;
    Ok([Document::create(&flows)?, Document::create(&findings)?, Document::create(&assets)?])
}

/// Refuses what cannot be made of reports.
pub(crate) fn check_reports(outputs: &OutputArgs) -> Result<(), Failure> {
    let mut formats =
        outputs.formats.wanted().filter(|(format, _)| format.has_flows()).map(|(format, _)| format.name());
    match outputs.flows.as_ref().map(|_| "flows").or_else(|| formats.next()) {
        Some(name) => Err(Failure::Usage(format!("reports hold no flows: --{name} is for scan, live and recheck"))),
        None => Ok(()),
    }
}

/// Refuses what a sensor cannot write, and makes folders while it still may.
pub(crate) fn check_live(formats: &FormatArgs) -> Result<(), Failure> {
    for (format, path) in formats.wanted() {
        if format.has_flows() && !format.is_lines() {
            return Err(Failure::Usage(format!("--{} is for scan: a sensor has --flows and --eve", format.name())));
        }
        if !format.files().is_empty() {
            std::fs::create_dir_all(path).map_err(|error| named(path, error))?;
        }
    }
    Ok(())
}
