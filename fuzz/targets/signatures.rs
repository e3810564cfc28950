//! The text of a signature file.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/common/entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::signatures(data));
