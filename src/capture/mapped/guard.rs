//! What happens when a page of a mapped file is gone: the kernel sends SIGBUS to the thread that touched it.
//!
//! In: the ranges of our maps. Out: zeros in place of the rest of that map, and from where on. A fault that is none of ours
//! goes to whoever took it before, which ends the program.

#![allow(unsafe_code)]

use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Files that are mapped at a time; those beyond are read.
const MAPS_MAX: usize = 1024;
/// A place of the table that nobody has, and one that is being filled.
const FREE: usize = 0;
const TAKEN: usize = 1;
/// No byte was lost.
const WHOLE: usize = usize::MAX;

/// A range of addresses and the first that was lost. `start` is written last and cleared first.
struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    lost: AtomicUsize,
}

static SLOTS: [Slot; MAPS_MAX] =
    [const { Slot { start: AtomicUsize::new(FREE), end: AtomicUsize::new(0), lost: AtomicUsize::new(WHOLE) } };
        MAPS_MAX];

/// Who took the signal before, and the size of a page; set once and before the first map.
static BEFORE: OnceLock<Option<(libc::sigaction, usize)>> = OnceLock::new();

/// A map that may lose its pages.
pub(super) struct Guard {
    slot: &'static Slot,
    start: usize,
}

impl Guard {
    /// For mapped bytes, as long as the guard lives. Must be dropped before they are unmapped.
    pub(super) fn new(bytes: &[u8]) -> io::Result<Guard> {
        if BEFORE.get_or_init(install).is_none() {
            return Err(io::Error::other("no handler for lost pages"));
        }
        let free =
            |slot: &&Slot| slot.start.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok();
        let slot = SLOTS.iter().find(free).ok_or_else(|| io::Error::other("too many files are mapped"))?;
        let start = bytes.as_ptr().addr();
        slot.end.store(start.saturating_add(bytes.len()), Ordering::Relaxed);
        slot.lost.store(WHOLE, Ordering::Relaxed);
        slot.start.store(start, Ordering::Release);
        Ok(Guard { slot, start })
    }

    /// Offset of the first byte that was lost.
    pub(super) fn lost(&self) -> Option<usize> {
        let lost = self.slot.lost.load(Ordering::Acquire);
        (lost != WHOLE).then(|| lost.saturating_sub(self.start))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.slot.start.store(FREE, Ordering::Release);
    }
}

/// Takes the signal over; `None` when the kernel does not let us.
fn install() -> Option<(libc::sigaction, usize)> {
    // SAFETY: asks for a number. The structures are plain data for which zeros are valid, and both live through the call.
    // The handler has the signature that `SA_SIGINFO` asks for. It runs on the alternate stack where a thread has one.
    unsafe {
        let page = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)).ok()?;
        let mut before: libc::sigaction = std::mem::zeroed();
        let mut action: libc::sigaction = std::mem::zeroed();
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_fault;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        (libc::sigaction(libc::SIGBUS, &raw const action, &raw mut before) == 0).then_some((before, page))
    }
}

/// Runs in the thread that touched the page, which goes on with the same instruction afterwards. Only atomics and two
/// calls to the kernel: nothing here may allocate, lock or panic.
extern "C" fn on_fault(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid structure to a handler that was installed with `SA_SIGINFO`; for SIGBUS it has the
    // address.
    let at = unsafe { (*info).si_addr() }.addr();
    // Not ready is only seen by a signal that somebody sent while the first map was made: it is then ignored.
    let Some(Some((before, page))) = BEFORE.get() else { return };
    for slot in &SLOTS {
        let (start, end) = (slot.start.load(Ordering::Acquire), slot.end.load(Ordering::Relaxed));
        if start <= TAKEN || at < start || at >= end {
            continue;
        }
        let from = at & !page.wrapping_sub(1);
        slot.lost.fetch_min(from, Ordering::AcqRel);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
        // SAFETY: the range is the end of a map of ours, which lives: the thread that we interrupt reads it. A file has no
        // byte behind one that it lost by a cut, so nothing that could still be read is replaced; on a broken medium the
        // rest is given up. The new pages may be read like the old ones, and a reader sees other bytes, as it does when
        // somebody writes to the file (`Map::new`).
        let made = unsafe {
            libc::mmap(ptr::without_provenance_mut(from), end.wrapping_sub(from), libc::PROT_READ, flags, -1, 0)
        };
        if made != libc::MAP_FAILED {
            return;
        }
    }
    // SAFETY: `before` is what the kernel gave us. The instruction faults again and finds it.
    unsafe { libc::sigaction(libc::SIGBUS, before, ptr::null_mut()) };
}
