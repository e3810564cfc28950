//! Fingerprints of TLS handshakes: pure functions from what a hello offers to a short text.
//!
//! Clients of one make send the same lists again and again, so [`of_client`] remembers, a thread for itself, what the
//! hashes of a list were. That changes no result.

pub mod ja3;
pub mod ja4;

use std::cell::RefCell;

use smallvec::SmallVec;

use crate::memo::Memo;

/// Whether a cipher suite, extension, group, version or signature scheme is one of the sixteen
/// values that RFC 8701 reserves for GREASE (0x0a0a, 0x1a1a … 0xfafa).
#[inline]
pub fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// Stands between lists that have no GREASE in them, when they are put into one.
const BETWEEN: u16 = 0x0a0a;
/// Words of a hello that are put together on the stack.
const WORDS_ON_STACK: usize = 256;

/// Results of each kind that are remembered, a power of two.
const KEPT: usize = 1024;
/// Words of a list that is remembered.
const WORDS_KEPT: usize = 512;

type OfWords<V> = Memo<u16, V, KEPT, WORDS_KEPT>;

/// What is remembered.
#[derive(Default)]
struct Memos {
    hellos: OfWords<([u8; 16], ja4::Hashes)>,
    hashes: OfWords<ja4::Hashes>,
    answers: OfWords<[u8; 16]>,
}

thread_local! {
    static MEMOS: RefCell<Memos> = RefCell::default();
}

/// JA3 and JA4 of one ClientHello.
pub fn of_client(offer3: &ja3::Offer<'_>, offer4: &ja4::Offer<'_>) -> ([u8; 16], [u8; ja4::JA4_BYTES]) {
    let lists = [offer3.ciphers, offer3.extensions, offer3.groups, offer4.signature_algorithms];
    let most = lists.iter().map(|list| list.len() + 1).sum::<usize>() + 1 + offer3.point_formats.len();
    let mut words: SmallVec<[u16; WORDS_ON_STACK]> = SmallVec::from_elem(0, most);
    let mut used = 0;
    for list in lists {
        for &value in list {
            words[used] = value;
            used += usize::from(!is_grease(value));
        }
        words[used] = BETWEEN;
        used += 1;
    }
    words.truncate(used);
    words.push(offer3.version);
    words.extend(offer3.point_formats.iter().map(|&format| u16::from(format)));
    let (ja3, hashes) = MEMOS.with_borrow_mut(|Memos { hellos, hashes, .. }| {
        hellos.get(&words, || {
            // Lists in another order are other lists to JA3 and the same to JA4.
            let sorted = ja4::hashes(offer4, |lists, make| hashes.get(lists, make));
            (ja3::ja3(offer3), sorted)
        })
    });
    (ja3, ja4::with_hashes(offer4, hashes))
}

/// JA3S of one ServerHello.
pub fn of_server(version: u16, cipher: u16, extensions: impl Iterator<Item = u16>) -> [u8; 16] {
    let mut words: SmallVec<[u16; 32]> = SmallVec::from_slice(&[version, cipher]);
    words.extend(extensions);
    let make = || ja3::ja3s(version, cipher, &words[2..]);
    MEMOS.with_borrow_mut(|memos| memos.answers.get(&words, make))
}
