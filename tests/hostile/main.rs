//! Hostile and broken input, one test for each kind: what it is stands at the test, with its number.
//!
//! In: packets, captures, databases and files that were made to mislead or to break. Out: what was promised of them, and
//! for every one of them what is promised of all input (`check`): no panic, flows and packets that add up, valid output,
//! every byte that was not read under a named reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;

/// 34 to 37: captures and their times.
mod captures;
/// What holds of every input.
mod check;
/// 41, 42, 46: databases of places, signature packs, and where an address is.
mod databases;
/// 26 to 29: QUIC and DTLS.
mod datagrams;
/// 38 to 40: floods, and messages that are expensive to read.
mod floods;
/// 12 to 22: hellos.
mod hellos;
/// Work that grows no faster than input.
mod linear;
/// 23 to 25: what a name is worth, and TLS where nobody expects it.
mod names;
/// 45 and 47: other tools, and other ways to run.
mod others;
/// 43 and 44: outputs that fail, and a run that is ended.
mod outputs;
/// 1 to 11: segments of TCP.
mod segments;
/// 30 to 33: what is wrapped around a flow.
mod wrapped;
