//! Policies, and reports beside each other, as users of the program see them.
//!
//! `compare/policy.rs` runs scans of the demonstration under several policies; what is expected follows from the table of
//! `fixtures/demo/README.md`. `compare/diff.rs` compares reports that were made by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "compare/diff.rs"]
mod diff;
#[path = "compare/policy.rs"]
mod policy;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const DEMO: &str = "fixtures/demo/four-vendors.pcapng";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bordertap")).current_dir(root()).args(args).output().unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// A folder with one file in it, and the file's path.
fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

/// Whether a value fits a schema; of what does not, the first few reasons.
fn fits(schema: &str, value: &Value) {
    let path = root().join("fixtures/schema").join(format!("{schema}.json"));
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(value).take(3).map(|e| format!("{e} at {}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}");
}
