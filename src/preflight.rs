//! What is right and what is not before an interface is listened to for long: `bordertap live --check`.
//!
//! In: what is to be listened to. Out: a [`Preflight`]: for every interface lines that say what was looked at, what is to
//! be set, and why; first of the system, then of the traffic that came while it was listened to. Nothing is changed.

mod system;
mod traffic;

use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;

use crate::capture::Losses;
use crate::capture::live::{Listen, LiveError, listen};
use crate::report::PROGRAM;
use traffic::Traffic;

pub use traffic::Counts;

/// Version of the JSON document, which `fixtures/schema/check.json` describes.
pub const FORMAT: u32 = 1;

/// How good something is; the worst counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing to do.
    Good,
    /// Good to know.
    Note,
    /// Something should be set.
    Change,
    /// Nothing can be captured.
    Impossible,
}

impl Verdict {
    /// The word for it, also in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Good => "good",
            Verdict::Note => "note",
            Verdict::Change => "change",
            Verdict::Impossible => "impossible",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What.
    pub about: &'static str,
    /// How good it is.
    pub verdict: Verdict,
    /// What was seen, and why it matters.
    pub text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Line {
    fn new(about: &'static str, verdict: Verdict, text: impl Into<String>) -> Line {
        Line { about, verdict, text: text.into(), advice: None }
    }

    fn advice(mut self, advice: impl Into<String>) -> Line {
        self.advice = Some(advice.into());
        self
    }
}

/// What was looked at of one interface.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// Its name.
    pub interface: String,
    /// One line for each thing.
    pub lines: Vec<Line>,
    /// What came.
    pub traffic: Counts,
}

/// Everything that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Preflight {
    /// Version of this document.
    pub format: u32,
    /// Who wrote it.
    pub program: &'static str,
    /// The worst of all verdicts.
    pub verdict: Verdict,
    /// What is common to all interfaces.
    pub lines: Vec<Line>,
    /// By interface.
    pub interfaces: Vec<Checked>,
}

/// Looks at interfaces, and listens to them until it is enough.
///
/// # Errors
/// Only when what was asked for makes no sense: a filter that cannot be, an interface named twice.
pub fn check(how: &Listen<'_>, enough: impl Fn() -> bool + Send + Sync + 'static) -> Result<Preflight, LiveError> {
    let before = how.interfaces.iter().map(|name| system::interface(name, how)).collect::<Result<Vec<_>, _>>()?;
    let mut lines = system::machine(how);
    let mut traffic: Vec<Traffic> = before.iter().map(|(_, facts)| Traffic::new(facts.as_ref())).collect();
    let possible = before.iter().all(|(lines, _)| worst(lines) < Verdict::Impossible);
    let mut losses = Losses::default();
    if possible {
        match hear(how, enough, &mut traffic) {
            Ok(lost) => losses = lost,
            Err(error) => lines.push(system::refused(error)?),
        }
    }
    if possible && worst(&lines) < Verdict::Impossible {
        lines.extend(traffic::losses(&losses));
        lines.extend(traffic::directions(&traffic));
    }
    let interfaces =
        before.into_iter().zip(traffic).zip(how.interfaces).map(|(((mut lines, facts), traffic), name)| {
            if possible && worst(&lines) < Verdict::Impossible {
                lines.extend(traffic.judge(facts.as_ref()));
            }
            Checked { interface: name.clone(), lines, traffic: traffic.counts }
        });
    let interfaces: Vec<Checked> = interfaces.collect();
    let verdict = interfaces.iter().map(|checked| worst(&checked.lines)).fold(worst(&lines), Verdict::max);
    Ok(Preflight { format: FORMAT, program: PROGRAM, verdict, lines, interfaces })
}

fn worst(lines: &[Line]) -> Verdict {
    lines.iter().map(|line| line.verdict).max().unwrap_or(Verdict::Good)
}

/// Listens, and shows every packet to the traffic of its interface.
fn hear(
    how: &Listen<'_>,
    enough: impl Fn() -> bool + Send + Sync + 'static,
    traffic: &mut [Traffic],
) -> Result<Losses, LiveError> {
    let mut source = listen(how, enough)?;
    while let Some(block) = source.next_block() {
        let place = how.interfaces.iter().position(|name| name.as_str() == &*block.input);
        if let Some(traffic) = place.and_then(|place| traffic.get_mut(place)) {
            traffic.see(&block);
        }
    }
    for damage in source.damage() {
        let place = how.interfaces.iter().position(|name| *name == damage.input);
        if let Some(traffic) = place.and_then(|place| traffic.get_mut(place)) {
            traffic.ended = Some(Arc::from(damage.reason.as_str()));
        }
    }
    Ok(source.losses())
}

/// Writes it as text: a line for each thing, what to do below it.
///
/// # Errors
/// Those of the output.
pub fn write(preflight: &Preflight, out: &mut dyn Write) -> io::Result<()> {
    for checked in &preflight.interfaces {
        writeln!(out, "{}", checked.interface)?;
        write_lines(&checked.lines, out)?;
    }
    writeln!(out, "all together")?;
    write_lines(&preflight.lines, out)?;
    let end = match preflight.verdict {
        Verdict::Good | Verdict::Note => "Nothing needs to be changed.",
        Verdict::Change => "Something should be changed: the lines that begin with `change` say what.",
        Verdict::Impossible => "Nothing can be captured: the lines that begin with `impossible` say why.",
    };
    writeln!(out, "{end}")
}

fn write_lines(lines: &[Line], out: &mut dyn Write) -> io::Result<()> {
    for line in lines {
        writeln!(out, "  {:<10}  {:<11}  {}", line.verdict.name(), line.about, line.text)?;
        if let Some(advice) = &line.advice {
            writeln!(out, "  {:<10}  {:<11}  -> {advice}", "", "")?;
        }
    }
    Ok(())
}
