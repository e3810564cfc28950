//! A database of countries or autonomous systems.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bordertap_fuzz::entries::places(data));
