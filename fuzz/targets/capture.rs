//! A whole capture file, in any wrapping, through the reader of a scan.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/common/entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::capture(data));
