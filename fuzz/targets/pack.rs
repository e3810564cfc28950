//! A pack of signatures: key, signature, text.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bordertap_fuzz::entries::pack(data));
