//! The program as it was built, run in the root of the repository.
//!
//! In: arguments. Out: its exit status and what it wrote.

use std::path::Path;
use std::process::{Command, Output};

/// Where the program runs, so that names of fixtures are short.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs the program to its end.
pub fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bordertap")).current_dir(root()).args(args).output().unwrap()
}

/// What it said on standard error.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
