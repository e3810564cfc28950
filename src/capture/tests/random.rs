//! Bytes that nobody wrote: no panic, no endless loop, packets inside their bytes.

use std::io::Cursor;

use proptest::prelude::*;

use super::super::input::Input;
use super::super::walk::Order;
use super::compressed::{gzip, lz4, xz, zstd};
use super::{Dribble, drain, enhanced, interface, pcap_file, read, section};

/// A good file of some kind with a few bytes changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let packets: &[(u32, &[u8])] = &[(1, b"first"), (2, b"second"), (3, b"")];
    let pcap = pcap_file(packets);
    let mut pcapng = section(Order::Little);
    pcapng.extend(interface(Order::Little, 1, 0, &[(9, &[9]), (14, &[0; 8])]));
    pcapng.extend(enhanced(Order::Little, 0, 1, 5, b"first"));
    pcapng.extend(section(Order::Big));
    pcapng.extend(interface(Order::Big, 1, 0, &[]));
    pcapng.extend(enhanced(Order::Big, 0, 1, 5, b"first"));
    let files = vec![gzip(&pcap), zstd(&pcap), lz4(&pcap), xz(&pcap), gzip(&zstd(&pcapng)), pcap, pcapng];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6);
    (prop::sample::select(files), changes).prop_map(|(mut file, changes)| {
        for (index, byte) in changes {
            let at = index.index(file.len());
            file[at] = byte;
        }
        file
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    #[test]
    fn random_records(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for head in [pcap_file(&[]), section(Order::Little), section(Order::Big)] {
            let mut file = head;
            file.extend(&bytes);
            let _ = read(&file);
        }
    }

    #[test]
    fn random_changes(bytes in damaged()) {
        // How much comes before the damage of a compressed file depends on the size of the pieces.
        for (step, eager) in [(3, true), (1000, true), (1000, false)] {
            let stream = Dribble(Cursor::new(bytes.clone()), step);
            let _ = Input::stream(Box::new(stream), eager).map(|input| drain(input, 2));
        }
    }
}
