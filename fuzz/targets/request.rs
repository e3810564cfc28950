//! A request for the page of metrics.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bordertap_fuzz::entries::request(data));
