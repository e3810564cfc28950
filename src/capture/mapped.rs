//! Regular files mapped into memory, and asking for memory ahead of its use: the one place of this
//! stage with `unsafe`.
//!
//! In: an open file. Out: its bytes, without a copy.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::{Advice, Mmap, UncheckedAdvice};

/// Maps a whole file for reading from front to back.
///
/// Fails for what cannot be mapped (a pipe, a device, some file systems); the caller then reads it.
pub(crate) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the map is read-only, shared, and lives as long as the value, so the pointers are
    // good. What the type system cannot know is that another process may write to the file
    // meanwhile. Every reader of these bytes takes each number once, checks it against the length
    // of the slice (which does not change) and remembers no address, so changing bytes can only
    // give wrong packets, as a damaged file does. A file that is cut while it is read ends the
    // program with SIGBUS, as with every tool that maps; it cannot read foreign memory.
    let map = unsafe { Mmap::map(file)? };
    // Only a hint; a kernel that refuses it reads ahead less.
    let _ = map.advise(Advice::Sequential);
    Ok(map)
}

/// Gives back the memory behind a reader, so that a large file does not stay resident.
///
/// The bytes may still be read; they then come from the file again.
pub(crate) fn release(map: &Mmap, from: usize, to: usize) {
    let to = to.min(map.len());
    let length = to.saturating_sub(from);
    if length == 0 {
        return;
    }
    // SAFETY: on a shared, read-only map of a file this advice only drops pages that the kernel
    // fills again from the same file when they are touched; it cannot lose or change a byte. The
    // range lies in the map.
    let _ = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, from, length) };
}

/// Asks the processor for the cache lines of `bytes` from `from` up to `to`; where it got to.
#[inline]
pub(crate) fn fetch(bytes: &[u8], from: usize, to: usize) -> usize {
    const LINE_BYTES: usize = 64;
    let mut at = from;
    while at < to {
        if let Some(byte) = bytes.get(at) {
            line(byte);
        }
        at = at.saturating_add(LINE_BYTES);
    }
    at
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn line(byte: &u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch reads nothing and cannot fault, whatever its address; this one is that of a
    // byte that can be read.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn line(_: &u8) {}
