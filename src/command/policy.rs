//! `bordertap policy`.

use std::fmt::Write;
use std::path::Path;

use bordertap::cli::PolicyCommand;
use bordertap::place::Places;
use bordertap::policy::{self, MISTAKES_MAX, Policy, Remark};
use bordertap::report::text::count;
use jiff::civil::Date;

use super::{Failure, load_signatures, status, to};

pub(crate) fn policy(command: &PolicyCommand) -> Result<u8, Failure> {
    let (text, status) = match command {
        PolicyCommand::Check { files, on, which } => {
            let signatures = load_signatures(which)?;
            let all: Vec<(&Path, Vec<Remark>)> =
                files.iter().map(|file| (file.as_path(), policy::check(file, &signatures, day(*on)))).collect();
            let is_bad = all.iter().any(|(_, remarks)| remarks.iter().any(|remark| remark.is_error));
            let text = all.iter().map(|(file, remarks)| checked(file, remarks)).collect();
            (text, if is_bad { status::USELESS } else { 0 })
        }
        PolicyCommand::Explain { file, what, on, which } => {
            let policy = Policy::new(file.as_deref(), None, None).map_err(|e| Failure::Usage(e.to_string()))?;
            let text = match what.as_slice() {
                [] => policy::explain(&policy, day(*on)),
                what => {
                    let signatures = load_signatures(which)?;
                    let places = Places::builtin();
                    let one = |word: &String| {
                        policy::explain_thing(&policy, word, &signatures, &places, day(*on)).ok_or_else(|| {
                            Failure::Useless(format!("`{}` is no address and no channel's id", word.escape_debug()))
                        })
                    };
                    what.iter().map(one).collect::<Result<String, Failure>>()?
                }
            };
            (text, 0)
        }
    };
    to(Path::new("-"), |out| out.write_all(text.as_bytes()))?;
    Ok(status)
}

/// The day that is asked for, else today.
fn day(on: Option<Date>) -> Date {
    on.unwrap_or_else(|| jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::now()).date())
}

/// Errors first to be counted, all by line.
fn checked(file: &Path, remarks: &[Remark]) -> String {
    let mut text = String::new();
    for remark in remarks.iter().take(MISTAKES_MAX) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{remark}");
    }
    if let Some(more) = remarks.len().checked_sub(MISTAKES_MAX).filter(|more| *more > 0) {
        let _ = writeln!(text, "{}: and {more} more", file.display());
    }
    let errors = remarks.iter().filter(|remark| remark.is_error).count();
    let warnings = remarks.len() - errors;
    let _ = writeln!(text, "{}: {}, {}", file.display(), count(errors, "error"), count(warnings, "warning"));
    text
}
