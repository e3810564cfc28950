//! What can be typed behind `merge` and `recheck`.

use std::path::PathBuf;

use clap::Args;

use super::{JudgeArgs, OutputArgs, TalkArgs};

/// `bordertap merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Reports that `--json` of scan, live, merge or recheck wrote
    #[arg(required = true, value_name = "REPORT")]
    pub reports: Vec<PathBuf>,

    /// What is home, what is inside, and what is known; home and inside are by default those of the reports
    #[command(flatten)]
    pub judge: JudgeArgs,

    /// What comes out
    #[command(flatten)]
    pub ending: EndingArgs,
}

/// `bordertap recheck`.
#[derive(Debug, Args)]
pub struct RecheckArgs {
    /// Flow records that `--flows` of scan or live wrote, - for standard input
    #[arg(required = true, value_name = "FLOWS")]
    pub records: Vec<String>,

    /// What is home, what is inside, and what is known
    #[command(flatten)]
    pub judge: JudgeArgs,

    /// What comes out
    #[command(flatten)]
    pub ending: EndingArgs,
}

/// What comes out.
#[derive(Debug, Args)]
pub struct EndingArgs {
    /// Where results go
    #[command(flatten)]
    pub outputs: OutputArgs,

    /// Exit with 4 when anything leaves the country
    #[arg(long)]
    pub fail_on_finding: bool,

    /// How much is said
    #[command(flatten)]
    pub talk: TalkArgs,
}
