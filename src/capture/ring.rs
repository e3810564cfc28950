//! The kernel's ring of packets (AF_PACKET, TPACKET_V3): the second place of this stage with
//! `unsafe`.
//!
//! In: an interface. Out: copies of the blocks that the kernel filled, and its counters. A block
//! is copied in one piece and given back at once: packets wait for their flow in memory of our
//! own, so a slow worker costs memory that is limited elsewhere and not places in the ring, and no
//! reference into memory that the kernel writes again ever leaves this file. Sources:
//! Documentation/networking/packet_mmap.rst and include/uapi/linux/if_packet.h of Linux.

#![allow(unsafe_code)]

pub(crate) mod tx;

use std::ffi::CString;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{c_int, c_uint, c_void, sock_filter, socklen_t, tpacket_block_desc, tpacket_hdr_v1};
use memmap2::{MmapOptions, MmapRaw};

/// The kernel hands over a block that is not full after so long, so that a quiet link is read.
pub(crate) const RETIRE_MILLISECONDS: u32 = 50;
/// A size of frames that the kernel wants to be told and that blocks of packets do not use.
const FRAME_BYTES: usize = 2048;
/// Blocks of a ring, where its size allows blocks of the usual size.
const BLOCKS_USUAL: usize = 8;
/// Smallest block: it takes the largest packet that offloading makes, all but its last bytes.
const BLOCK_BYTES_MIN: usize = 64 * 1024;
const BLOCK_BYTES_MAX: usize = 1024 * 1024;

/// Where the header of a block has its owner and its length.
const STATUS_AT: usize = offset_of!(tpacket_block_desc, hdr) + offset_of!(tpacket_hdr_v1, block_status);
const LENGTH_AT: usize = offset_of!(tpacket_block_desc, hdr) + offset_of!(tpacket_hdr_v1, blk_len);

/// Why there is no ring: what was being done, and what the kernel said to it.
pub(crate) type Refusal = (&'static str, io::Error);

/// What the kernel counted since it was asked last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    /// Packets that came to the socket, dropped ones among them.
    pub(crate) packets: u64,
    /// Packets for which the ring had no room.
    pub(crate) dropped: u64,
    /// How often the ring became full.
    pub(crate) full: u64,
}

/// A ring on one interface.
pub(crate) struct Ring {
    socket: OwnedFd,
    map: MmapRaw,
    block_bytes: usize,
    blocks: usize,
    next: usize,
    hardware: u16,
}

impl Ring {
    /// Listens on an interface; an empty filter is none.
    pub(crate) fn open(
        interface: &str,
        bytes: u64,
        promiscuous: bool,
        filter: &mut [sock_filter],
    ) -> Result<Ring, Refusal> {
        let index = index_of(interface).map_err(during("look for the interface"))?;
        let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // Without a protocol nothing arrives until the socket is bound, with filter and ring in place.
        // SAFETY: takes three numbers.
        let socket = check(unsafe { libc::socket(libc::AF_PACKET, flags, 0) }).map_err(during("open a socket"))?;
        // SAFETY: the descriptor was just made and nothing else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        let version = libc::tpacket_versions::TPACKET_V3 as c_int;
        set(&socket, libc::PACKET_VERSION, &version).map_err(during("ask for TPACKET_V3"))?;
        if !filter.is_empty() {
            attach(&socket, filter).map_err(during("attach the filter"))?;
        }
        let (block_bytes, blocks) = geometry(bytes).ok_or(("size the ring", io::ErrorKind::InvalidInput.into()))?;
        let request = libc::tpacket_req3 {
            tp_block_size: block_bytes as c_uint,
            tp_block_nr: blocks as c_uint,
            tp_frame_size: FRAME_BYTES as c_uint,
            tp_frame_nr: (block_bytes / FRAME_BYTES).saturating_mul(blocks) as c_uint,
            tp_retire_blk_tov: RETIRE_MILLISECONDS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set(&socket, libc::PACKET_RX_RING, &request).map_err(during("make the ring"))?;
        let length = block_bytes.saturating_mul(blocks);
        let map = MmapOptions::new().len(length).map_raw(&socket).map_err(during("map the ring"))?;
        let mut ring = Ring { socket, map, block_bytes, blocks, next: 0, hardware: 0 };
        ring.bind(index).map_err(during("listen"))?;
        // On the loopback every packet goes out and comes in; it is read once.
        if ring.hardware == libc::ARPHRD_LOOPBACK {
            let yes: c_int = 1;
            set(&ring.socket, libc::PACKET_IGNORE_OUTGOING, &yes).map_err(during("leave out what goes out"))?;
        }
        if promiscuous {
            let membership = libc::packet_mreq {
                mr_ifindex: index,
                mr_type: libc::PACKET_MR_PROMISC as u16,
                mr_alen: 0,
                mr_address: [0; 8],
            };
            set(&ring.socket, libc::PACKET_ADD_MEMBERSHIP, &membership).map_err(during("make it promiscuous"))?;
        }
        Ok(ring)
    }

    /// What hardware the interface has: an ARPHRD_ value.
    pub(crate) fn hardware(&self) -> u16 {
        self.hardware
    }

    /// A copy of the next block that the kernel has filled; the block goes back to the kernel.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        let at = self.next.saturating_mul(self.block_bytes);
        // SAFETY: `next` is below `blocks`, and the map has `blocks` blocks of `block_bytes`.
        let block = unsafe { self.map.as_mut_ptr().add(at) };
        // SAFETY: the offset is that of an aligned word of the header at the front of every block,
        // which starts at a multiple of a page; kernel and program share it by atomic access only.
        let status = unsafe { AtomicU32::from_ptr(block.add(STATUS_AT).cast()) };
        if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: an aligned word of the same header. The kernel does not write to a block from
        // the moment at which its status says that it is ours, seen above, until it is given back.
        let length = unsafe { block.add(LENGTH_AT).cast::<u32>().read() } as usize;
        let length = length.min(self.block_bytes);
        let mut bytes = Vec::with_capacity(length);
        // SAFETY: `length` bytes lie in the block and fit into the new vector, which they fill; the
        // two do not overlap, and nobody writes to the block meanwhile, as above.
        unsafe {
            std::ptr::copy_nonoverlapping(block, bytes.as_mut_ptr(), length);
            bytes.set_len(length);
        }
        status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = match self.next.saturating_add(1) {
            next if next < self.blocks => next,
            _ => 0,
        };
        Some(bytes)
    }

    /// What the kernel counted since the last call.
    pub(crate) fn counted(&self) -> Counted {
        let mut stats = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        // A socket that is open has counters; if not, nothing was counted.
        let _ = get(&self.socket, libc::SOL_PACKET, libc::PACKET_STATISTICS, &mut stats);
        Counted { packets: stats.tp_packets.into(), dropped: stats.tp_drops.into(), full: stats.tp_freeze_q_cnt.into() }
    }

    /// Why no more packets come, when something happened to the interface.
    pub(crate) fn error(&self) -> Option<io::Error> {
        let mut error: c_int = 0;
        match get(&self.socket, libc::SOL_SOCKET, libc::SO_ERROR, &mut error) {
            Ok(()) if error == 0 => None,
            Ok(()) => Some(io::Error::from_raw_os_error(error)),
            Err(error) => Some(error),
        }
    }

    /// From now on no packet comes in; those that are in the ring stay.
    pub(crate) fn refuse_more(&self) {
        let mut nothing = [sock_filter { code: libc::BPF_RET as u16, jt: 0, jf: 0, k: 0 }];
        // If it is refused, packets come in until the socket is closed, and are counted.
        let _ = attach(&self.socket, &mut nothing);
    }

    fn bind(&mut self, index: c_int) -> io::Result<()> {
        // SAFETY: numbers and bytes, for which zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index;
        let mut length = size_of::<libc::sockaddr_ll>() as socklen_t;
        // SAFETY: the address is of the family it says and has the length given.
        check(unsafe { libc::bind(self.socket.as_raw_fd(), (&raw const address).cast(), length) })?;
        // An interface that is down can be bound to; that it is down is told as an error.
        if let Some(error) = self.error() {
            return Err(error);
        }
        // SAFETY: the kernel writes an address of at most the length given to where one lies.
        check(unsafe { libc::getsockname(self.socket.as_raw_fd(), (&raw mut address).cast(), &raw mut length) })?;
        self.hardware = address.sll_hatype;
        Ok(())
    }
}

/// Waits until one of the rings has something to say, or for so long.
pub(crate) fn wait<'a>(rings: impl Iterator<Item = &'a Ring>, milliseconds: u32) {
    let entry = |ring: &Ring| libc::pollfd { fd: ring.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut entries: Vec<libc::pollfd> = rings.map(entry).collect();
    // SAFETY: the pointer and the number are those of a vector that lives through the call. A
    // signal or an error ends the wait early, which does no harm.
    unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, milliseconds as c_int) };
}

/// Bytes of a block and number of blocks for a ring of about so many bytes.
fn geometry(bytes: u64) -> Option<(usize, usize)> {
    let bytes = usize::try_from(bytes).ok()?;
    let share = (bytes / BLOCKS_USUAL).clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX);
    let block = 1usize.checked_shl(share.ilog2())?;
    let blocks = bytes.checked_div(block)?.max(2);
    u32::try_from(blocks.checked_mul(block / FRAME_BYTES)?).ok()?;
    Some((block, blocks))
}

fn index_of(interface: &str) -> io::Result<c_int> {
    let name = CString::new(interface)?;
    // SAFETY: a string that ends in a zero byte and lives through the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => c_int::try_from(index).map_err(io::Error::other),
    }
}

fn during(what: &'static str) -> impl Fn(io::Error) -> Refusal {
    move |error| (what, error)
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn set<T: Copy>(socket: &OwnedFd, name: c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as socklen_t;
    let value: *const c_void = std::ptr::from_ref(value).cast();
    // SAFETY: the kernel reads `length` bytes of a value that is as long and lives through the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, name, value, length) }).map(|_| ())
}

fn attach(socket: &OwnedFd, filter: &mut [sock_filter]) -> io::Result<()> {
    let count = u16::try_from(filter.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: count, filter: filter.as_mut_ptr() };
    let length = size_of::<libc::sock_fprog>() as socklen_t;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
    // SAFETY: the kernel copies `count` instructions from a slice that has as many and lives through
    // the call, and refuses a program that could run away.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const program).cast(), length) }).map(|_| ())
}

/// Reads an option of plain numbers.
fn get<T: Copy>(socket: &OwnedFd, level: c_int, name: c_int, value: &mut T) -> io::Result<()> {
    let mut length = size_of::<T>() as socklen_t;
    let value: *mut c_void = std::ptr::from_mut(value).cast();
    // SAFETY: the kernel writes at most `length` bytes to a value that is as long; it is used for
    // types of integers only, for which all bytes are values.
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, value, &raw mut length) }).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_has_whole_blocks_and_at_least_two() {
        assert_eq!(geometry(64 << 20), Some((1 << 20, 64)));
        assert_eq!(geometry(1 << 20), Some((128 << 10, 8)));
        assert_eq!(geometry(128 << 10), Some((64 << 10, 2)));
        assert_eq!(geometry(1), Some((64 << 10, 2)));
        assert_eq!(geometry(u64::MAX), None, "more frames than the kernel can count");
    }

    #[test]
    fn the_header_of_a_block_is_where_the_kernel_puts_it() {
        assert_eq!((STATUS_AT, LENGTH_AT), (8, 20));
    }
}
