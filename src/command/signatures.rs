//! `bordertap signatures` and `bordertap where`.

use std::path::Path;

use bordertap::cli::{ListFormat, SignatureCommand, WhereArgs};
use bordertap::collect::Judging;
use bordertap::scan;
use bordertap::signature::{Pack, Signatures, print, read_dir};

use super::{Failure, judge, load_signatures, status, to};

pub(crate) fn signatures(command: &SignatureCommand) -> Result<u8, Failure> {
    let (text, status) = match command {
        SignatureCommand::List { which, format } => {
            let format = match format {
                ListFormat::Text => print::Format::Text,
                ListFormat::Json => print::Format::Json,
                ListFormat::Md => print::Format::Md,
            };
            (load_signatures(which)?.list(format), 0)
        }
        SignatureCommand::Check { which } => {
            let today = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::now()).date();
            let report = load_signatures(which)?.check(Some(today));
            (report.to_string(), if report.errors().is_empty() { 0 } else { status::USELESS })
        }
        SignatureCommand::Explain { id, which } => match load_signatures(which)?.explain(id) {
            Some(text) => (text, 0),
            None => return Err(Failure::Useless(format!("no signature has the id `{id}`"))),
        },
        SignatureCommand::Fields => (print::fields(), 0),
        SignatureCommand::Coverage { which } => (load_signatures(which)?.coverage(), 0),
        SignatureCommand::Pack { dir, serial, out } => {
            let files = read_dir(dir).map_err(|e| Failure::Useless(e.to_string()))?;
            Signatures::with_files(&files).map_err(|e| Failure::Useless(e.to_string()))?;
            to(out, |out| out.write_all(&Pack::bytes(*serial, &files)))?;
            return Ok(0);
        }
    };
    to(Path::new("-"), |out| out.write_all(text.as_bytes()))?;
    Ok(status)
}

pub(crate) fn places(args: &WhereArgs) -> Result<u8, Failure> {
    let Judging { signatures, places, policy, .. } = judge(&args.judge)?;
    let lines = args.what.iter().map(|what| scan::place_of(what, &signatures, &places, &policy)).collect::<Vec<_>>();
    to(Path::new("-"), |out| lines.iter().try_for_each(|text| out.write_all(text.as_bytes())))?;
    Ok(0)
}
