//! A flow of the fixtures and a script of what happens to its segments or datagrams.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bordertap_fuzz::entries::flow(data));
