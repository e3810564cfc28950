//! What can be typed behind `diff`.

use std::path::PathBuf;

use clap::Args;

use super::When;

/// `bordertap diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The older report, a --json file
    #[arg(value_name = "OLD.json")]
    pub old: PathBuf,

    /// The newer report, a --json file
    #[arg(value_name = "NEW.json")]
    pub new: PathBuf,

    /// Write the difference as one JSON document (- for standard output) in place of the text
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,

    /// Exit with 4 when something leaves the country that did not in the older report
    #[arg(long)]
    pub fail_on_new: bool,

    /// Colour in the text (NO_COLOR is honoured)
    #[arg(long, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    pub color: When,
}
