//! Reports in JSON: compared, and merged into one.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bordertap_fuzz::entries::reports(data));
