//! Building blocks for tests: packets, captures, TLS hellos, and one whole office.
//!
//! In: what a test wants to see on the wire. Out: bytes, the same every time; no clock, no files, no chance.
//! [`is_current`] alone looks at files: those that the project keeps and can write again.
//! Nothing here but `pipeline`, `sample`, `mutate`, `entries`, `view`, `sensors`, `everything` and `wire` uses the library, so what it reads is
//! checked against something else.
//!
//! `packets` has the headers, `conversation` one TCP flow after the other, `messages` DNS and HTTP, `tls` and `der`
//! hellos and certificates, `hellos` ways to cut them, `quic` Initial packets, `capture` the files, `demo` the office and
//! `expected` what is to be found in it, `hostile` an appliance that is told names nobody wants in a report. `sample` finds flows of every protocol, `mutate` cuts and
//! reorders them, `entries` is where a fuzzer comes in. `program` runs what was built. `wire` makes interfaces and runs the program on them, `view` is a
//! sensor's picture without one, `sensors` runs sensors whose time is that of the packets; `tmux` is a terminal.

// Every test binary compiles all of this and uses its part.
#![allow(dead_code, unused_imports)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod capture;
pub mod conversation;
pub mod demo;
pub mod der;
pub mod entries;
pub mod everything;
pub mod expected;
pub mod hellos;
pub mod hostile;
pub mod messages;
pub mod mutate;
pub mod packets;
pub mod pipeline;
pub mod program;
pub mod quic;
pub mod random;
pub mod sample;
pub mod sensors;
pub mod tls;
pub mod tmux;
pub mod view;
#[cfg(all(target_os = "linux", feature = "libpcap"))]
pub mod wire;

use std::path::Path;

/// Files that can be made again are, when this is 1 in the environment.
pub const REGENERATE: &str = "BORDERTAP_REGENERATE";

/// A kept file is what is made today; it is written anew when that is asked for. The path is from the project's folder.
pub fn is_current(path: &str, made: &[u8]) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os(REGENERATE).is_some_and(|value| value == "1") {
        std::fs::write(&file, made).unwrap();
    }
    let kept = std::fs::read(&file).unwrap_or_default();
    assert!(kept == made, "{path} is not what would be written today; {REGENERATE}=1 renews it");
}
