//! Writes made captures to files, for other programs to read.
//!
//! In: a folder, a number of packets, names of workloads. Out: `FOLDER/NAME.pcap` of each.
#![allow(clippy::unwrap_used, missing_docs)]

use bordertap::bench::traffic::{SEED, Size, Workload, image};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let [folder, packets, names @ ..] = words.as_slice() else { return };
    for name in names {
        let workload: Workload = name.parse().unwrap();
        let bytes = image(workload, Size::Packets(packets.parse().unwrap()), SEED);
        std::fs::write(format!("{folder}/{name}.pcap"), bytes).unwrap();
    }
}
