//! A bundle of evidence: manifest, digests, signature, packets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bordertap_fuzz::entries::evidence(data));
