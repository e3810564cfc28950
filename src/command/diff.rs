//! `bordertap diff`.

use std::path::Path;

use bordertap::anonymise::other_key;
use bordertap::cli::DiffArgs;
use bordertap::diff;
use bordertap::report::{Report, jsonl, read};

use super::{Failure, has_color, status, to};

pub(crate) fn diff(args: &DiffArgs) -> Result<u8, Failure> {
    let (old, new) = (report(&args.old)?, report(&args.new)?);
    if old.header.anonymised != new.header.anonymised {
        return Err(Failure::Usage(format!("{}: {}", args.new.display(), other_key(&args.old.display().to_string()))));
    }
    let name = |path: &Path| path.display().to_string();
    let found = diff::diff((&name(&args.old), &old), (&name(&args.new), &new));
    match &args.json {
        Some(path) => to(path, |out| jsonl::document(&found, out))?,
        None => to(Path::new("-"), |out| diff::write(&found, has_color(args.color), out))?,
    }
    Ok(if args.fail_on_new && found.new_leaving > 0 { status::FINDING } else { 0 })
}

/// A report without the sums it was made of, which are most of it.
fn report(path: &Path) -> Result<Report, Failure> {
    let report = read::read(path).map_err(|error| Failure::Useless(error.to_string()))?;
    Ok(Report { sums: None, ..report })
}
