//! Regular files mapped into memory, and asking for memory ahead of its use: the one place of this
//! stage with `unsafe`.
//!
//! In: an open file. Out: its bytes, without a copy.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Deref;

use memmap2::{Advice, Mmap, UncheckedAdvice};

#[cfg(target_os = "linux")]
mod guard;
#[cfg(not(target_os = "linux"))]
mod guard {
    //! Elsewhere than on Linux a file is read, not mapped, where another process could cut it.

    use std::io;

    pub(super) struct Guard;

    impl Guard {
        pub(super) fn new(_: &[u8]) -> io::Result<Guard> {
            match cfg!(windows) {
                true => Ok(Guard),
                false => Err(io::ErrorKind::Unsupported.into()),
            }
        }

        pub(super) fn lost(&self) -> Option<usize> {
            None
        }
    }
}

/// The bytes of a regular file, as long as it was when it was opened.
///
/// When the file is cut meanwhile, or its medium fails, the bytes that are gone read as zeros, and `Map::cut` says from
/// where on.
pub struct Map {
    // Before the map: nobody may take a fault elsewhere for one of ours.
    guard: guard::Guard,
    map: Mmap,
    file: File,
}

impl Deref for Map {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl Map {
    /// Maps a whole file for reading from front to back.
    ///
    /// Fails for what cannot be mapped (a pipe, a device, some file systems); the caller then reads it.
    pub(crate) fn new(file: &File) -> io::Result<Map> {
        let file = file.try_clone()?;
        // SAFETY: the map is read-only, shared, and lives as long as the value, so the pointers are
        // good. What the type system cannot know is that another process may write to the file
        // meanwhile. Every reader of these bytes takes each number once, checks it against the length
        // of the slice (which does not change) and remembers no address, so changing bytes can only
        // give wrong packets, as a damaged file does. Pages that a cut took away are replaced by zeros
        // when they are touched (`guard`).
        let map = unsafe { Mmap::map(&file)? };
        // Only a hint; a kernel that refuses it reads ahead less.
        let _ = map.advise(Advice::Sequential);
        let guard = guard::Guard::new(&map)?;
        Ok(Map { guard, map, file })
    }

    /// The first byte that is gone, and why.
    pub(crate) fn cut(&self) -> Option<(u64, String)> {
        let len = self.map.len() as u64;
        let now = self.file.metadata().map_or(len, |about| about.len());
        let lost = self.guard.lost().map_or(len, |lost| lost as u64);
        match now.min(lost) {
            // What lay between the end and its page is gone as well, without a fault.
            from if now < len => {
                Some((from, format!("the file was cut to {now} bytes while it was read: it had {len}")))
            }
            from if lost < len => Some((from, "the file could not be read from here on".to_owned())),
            _ => None,
        }
    }

    /// How many bytes were added behind those that are mapped.
    pub(crate) fn grown(&self) -> u64 {
        let now = self.file.metadata().map_or(0, |about| about.len());
        now.saturating_sub(self.map.len() as u64)
    }

    /// Gives back the memory behind a reader, so that a large file does not stay resident.
    ///
    /// The bytes may still be read; they then come from the file again.
    pub(crate) fn release(&self, from: usize, to: usize) {
        let to = to.min(self.map.len());
        let length = to.saturating_sub(from);
        if length == 0 {
            return;
        }
        // SAFETY: on a shared, read-only map of a file this advice only drops pages that the kernel
        // fills again from the same file when they are touched; it cannot lose or change a byte. Where
        // zeros replaced the file they are zeros again. The range lies in the map.
        let _ = unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, from, length) };
    }
}

/// Asks the processor for the cache lines of `bytes` from `from` up to `to`; where it got to.
#[inline]
pub(crate) fn fetch(bytes: &[u8], from: usize, to: usize) -> usize {
    const LINE_BYTES: usize = 64;
    let end = to.min(bytes.len());
    let mut at = from;
    while at < end {
        if let Some(byte) = bytes.get(at) {
            line(byte);
        }
        // Less than the length of a slice and a line: that is a number still.
        at = at.wrapping_add(LINE_BYTES);
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
