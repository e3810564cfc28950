//! A whole capture file, in any wrapping, through the reader of a scan.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bordertap_fuzz::entries::capture(data));
