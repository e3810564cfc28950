//! What can be typed behind `policy`.

use std::path::PathBuf;

use clap::Subcommand;
use jiff::civil::Date;

use super::SignatureArgs;

/// `bordertap policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Find every mistake in policy files, and what in them will surprise
    ///
    /// Errors keep a policy from being used. Warnings: exemptions that ended or end within 30 days, channels that no signature
    /// knows, sites that are not inside. Exit status: 0 no error; 1 an error.
    Check {
        /// Policy files, or presets: cn, eu, none
        #[arg(required = true, value_name = "FILE|PRESET")]
        files: Vec<PathBuf>,
        /// As of this day [default: today, UTC]
        #[arg(long, value_name = "DATE")]
        on: Option<Date>,
        /// Which signatures know the channels
        #[command(flatten)]
        which: SignatureArgs,
    },
    /// Say in plain sentences what a policy means, or what it decides for an address or a channel
    Explain {
        /// A policy file, or a preset: cn, eu, none [default: what is built in]
        #[arg(value_name = "FILE|PRESET")]
        file: Option<PathBuf>,
        /// Addresses, or ids of channels
        #[arg(value_name = "ADDRESS|CHANNEL")]
        what: Vec<String>,
        /// As of this day [default: today, UTC]
        #[arg(long, value_name = "DATE")]
        on: Option<Date>,
        /// Which signatures know the channels
        #[command(flatten)]
        which: SignatureArgs,
    },
}
