//! What the targets share: the entries of the tests, as they are.

#[path = "../tests/common/entries.rs"]
pub mod entries;
#[allow(dead_code)]
#[path = "../tests/common/sample.rs"]
mod sample;
