//! Fingerprints of TLS handshakes: pure functions from what a hello offers to a short text.

pub mod ja3;
pub mod ja4;
