//! One flow: all claims, the worker, and the parser of the protocol that `BORDERTAP_PROTOCOL` or the first byte names.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/common/entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::protocol(data));
