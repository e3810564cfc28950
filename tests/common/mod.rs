//! Building blocks for tests: packets, captures, TLS hellos, and one whole office.
//!
//! In: what a test wants to see on the wire. Out: bytes, the same every time; no clock, no files, no chance.
//! Nothing here but `pipeline`, `sample`, `mutate` and `entries` uses the library, so what it reads is checked
//! against something else.
//!
//! `packets` has the headers, `conversation` one TCP flow after the other, `messages` DNS and HTTP, `tls` and `der`
//! hellos and certificates, `hellos` ways to cut them, `capture` the files, `demo` the office and
//! `expected` what is to be found in it. `sample` finds flows of every protocol, `mutate` cuts and
//! reorders them, `entries` is where a fuzzer comes in.

// Every test binary compiles all of this and uses its part.
#![allow(dead_code, unused_imports)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod capture;
pub mod conversation;
pub mod demo;
pub mod der;
pub mod entries;
pub mod expected;
pub mod hellos;
pub mod messages;
pub mod mutate;
pub mod packets;
pub mod pipeline;
pub mod random;
pub mod sample;
pub mod tls;
