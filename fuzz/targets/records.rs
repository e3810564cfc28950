//! Flow records, a line of JSON each, judged again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bordertap_fuzz::entries::records(data));
