//! The text of a signature file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bordertap_fuzz::entries::signatures(data));
