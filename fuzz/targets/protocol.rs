//! One flow: all claims, the worker, and the parser of the protocol that `BORDERTAP_PROTOCOL` or the first byte names.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bordertap_fuzz::entries::protocol(data));
