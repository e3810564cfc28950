//! Pages of memory: large ones for a scan, whose flows lie all over the place, small ones for all that is little.
//!
//! The allocator asks for huge pages for all it has; the kernel gives none while the program says so. Where the system
//! allows none (`/sys/kernel/mm/transparent_hugepage/enabled`) nothing changes.

/// Until much memory is needed: the first byte of a huge page costs as much as all of it.
pub(crate) fn small() {
    disable_huge(true);
}

/// From here on memory is taken by the million.
pub(crate) fn huge() {
    disable_huge(false);
}

#[cfg(target_os = "linux")]
fn disable_huge(disable: bool) {
    // A kernel without it is as fast as it is.
    rustix::thread::disable_transparent_huge_pages(disable).ok();
}

#[cfg(not(target_os = "linux"))]
fn disable_huge(_: bool) {}
