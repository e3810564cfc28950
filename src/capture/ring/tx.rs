//! The kernel's ring for packets that go out (AF_PACKET, PACKET_TX_RING, TPACKET_V2), for `bench live`.
//!
//! In: frames, link-layer header first. Out: the same on the interface, past its queue where that is allowed, and counts
//! of what went. A place of the ring is written only while its status says that it is ours. Sources:
//! Documentation/networking/packet_mmap.rst, include/uapi/linux/if_packet.h and net/packet/af_packet.c of Linux.

use std::ffi::CString;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{c_int, c_uint, socklen_t, tpacket2_hdr};
use memmap2::{MmapOptions, MmapRaw};

use super::{Refusal, check, during, index_of, set};

/// Memory of the ring, about.
const RING_BYTES: usize = 4 << 20;
/// Places of the ring, at least: those of an interface with very long frames.
const PLACES_MIN: usize = 32;
/// Smallest block: a multiple of every page size that is in use.
const BLOCK_BYTES_MIN: usize = 64 * 1024;
/// Bytes of an Ethernet header.
const ETHER_BYTES: usize = 14;
/// Where the bytes of a frame begin in its place.
const FRAME_AT: usize = libc::TPACKET2_HDRLEN - size_of::<libc::sockaddr_ll>();

/// A ring that sends.
pub(crate) struct TxRing {
    socket: OwnedFd,
    map: MmapRaw,
    place_bytes: usize,
    places: usize,
    next: usize,
    frame_bytes_max: usize,
    past_the_queue: bool,
    handed: u64,
    refused: u64,
}

impl TxRing {
    /// Sends into an Ethernet interface.
    pub(crate) fn open(interface: &str) -> Result<TxRing, Refusal> {
        let index = index_of(interface).map_err(during("look for the interface"))?;
        let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // Without a protocol nothing ever arrives at this socket.
        // SAFETY: takes three numbers.
        let socket = check(unsafe { libc::socket(libc::AF_PACKET, flags, 0) }).map_err(during("open a socket"))?;
        // SAFETY: the descriptor was just made and nothing else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        let frame_bytes_max = frame_bytes_max(interface).map_err(during("read the MTU"))?;
        let version = libc::tpacket_versions::TPACKET_V2 as c_int;
        set(&socket, libc::PACKET_VERSION, &version).map_err(during("ask for TPACKET_V2"))?;
        let yes: c_int = 1;
        // The queue of the interface drops and delays by rules of its own; where it stays, it is told.
        let past_the_queue = set(&socket, libc::PACKET_QDISC_BYPASS, &yes).is_ok();
        let Geometry { place_bytes, places, block_bytes, blocks } =
            geometry(frame_bytes_max).ok_or(("size the ring", io::ErrorKind::InvalidInput.into()))?;
        let request = libc::tpacket_req {
            tp_block_size: block_bytes as c_uint,
            tp_block_nr: blocks as c_uint,
            tp_frame_size: place_bytes as c_uint,
            tp_frame_nr: places as c_uint,
        };
        set(&socket, libc::PACKET_TX_RING, &request).map_err(during("make the ring"))?;
        let length = place_bytes.saturating_mul(places);
        let map = MmapOptions::new().len(length).map_raw(&socket).map_err(during("map the ring"))?;
        let hardware = bind(&socket, index).map_err(during("send"))?;
        if ![libc::ARPHRD_ETHER, libc::ARPHRD_LOOPBACK].contains(&hardware) {
            return Err(("send Ethernet frames", io::ErrorKind::Unsupported.into()));
        }
        let (next, handed, refused) = (0, 0, 0);
        Ok(TxRing { socket, map, place_bytes, places, next, frame_bytes_max, past_the_queue, handed, refused })
    }

    /// Whether frames go to the driver at once.
    pub(crate) fn is_past_the_queue(&self) -> bool {
        self.past_the_queue
    }

    /// Frames that were put into the ring.
    pub(crate) fn handed(&self) -> u64 {
        self.handed
    }

    /// How often the interface had no room for a frame, which was then offered to it again.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// Puts a frame into the next place. False: the place is not free yet, or the frame is too long.
    pub(crate) fn put(&mut self, frame: &[u8]) -> bool {
        let status = self.status(self.next);
        if frame.len() > self.frame_bytes_max || status.load(Ordering::Acquire) != libc::TP_STATUS_AVAILABLE {
            return false;
        }
        let at = self.next.saturating_mul(self.place_bytes);
        // SAFETY: `next` is below `places`, and the map has `places` places of `place_bytes`, each of which has room for
        // the header and `frame_bytes_max` bytes behind `FRAME_AT` (see `geometry`). The kernel only reads a place, and
        // does not before its status, seen above as ours, asks it to.
        unsafe {
            let place = self.map.as_mut_ptr().add(at);
            place.add(offset_of!(tpacket2_hdr, tp_len)).cast::<u32>().write(frame.len() as u32);
            std::ptr::copy_nonoverlapping(frame.as_ptr(), place.add(FRAME_AT), frame.len());
        }
        status.store(libc::TP_STATUS_SEND_REQUEST, Ordering::Release);
        self.next = match self.next.saturating_add(1) {
            next if next < self.places => next,
            _ => 0,
        };
        self.handed = self.handed.saturating_add(1);
        true
    }

    /// Has the kernel send what was put into the ring.
    pub(crate) fn send(&mut self) -> io::Result<()> {
        // SAFETY: a null pointer with no bytes: what goes out lies in the ring.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT) };
        if sent >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // The frame stays in its place and goes with the next call.
            Some(libc::ENOBUFS) => {
                self.refused = self.refused.saturating_add(1);
                Ok(())
            }
            Some(libc::EAGAIN | libc::EINTR) => Ok(()),
            _ => Err(error),
        }
    }

    /// Whether the kernel is done with every frame.
    pub(crate) fn is_empty(&self) -> bool {
        (0..self.places).all(|place| self.status(place).load(Ordering::Acquire) == libc::TP_STATUS_AVAILABLE)
    }

    /// The word that says whose a place is; `place` is below `places`.
    fn status(&self, place: usize) -> &AtomicU32 {
        let at = place.saturating_mul(self.place_bytes).saturating_add(offset_of!(tpacket2_hdr, tp_status));
        // SAFETY: within the map, as in `put`; an aligned word, for places have a power of two of bytes and start at a
        // page; kernel and program share it by atomic access only, and it lives as long as the map.
        unsafe { AtomicU32::from_ptr(self.map.as_mut_ptr().add(at).cast()) }
    }
}

/// Longest frame of an Ethernet interface, its header with it.
pub(crate) fn frame_bytes_max(interface: &str) -> io::Result<usize> {
    // SAFETY: takes three numbers.
    let socket = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the descriptor was just made and nothing else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let name = CString::new(interface)?;
    // SAFETY: numbers and bytes, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len().saturating_sub(1);
    if name.as_bytes().len() > room {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes()) {
        *to = *from as libc::c_char;
    }
    // SAFETY: the kernel reads a name that ends in a zero byte and writes a number into a request that lives through the
    // call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU as _, &raw mut request) })?;
    // SAFETY: the call above has written this member.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    Ok(usize::try_from(mtu).map_err(io::Error::other)?.saturating_add(ETHER_BYTES))
}

/// Places, and the blocks they lie in; both have a power of two of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Geometry {
    place_bytes: usize,
    places: usize,
    block_bytes: usize,
    blocks: usize,
}

/// Room for the header and a frame in every place.
fn geometry(frame_bytes_max: usize) -> Option<Geometry> {
    let place_bytes = FRAME_AT.checked_add(frame_bytes_max)?.checked_next_power_of_two()?;
    let places = RING_BYTES.checked_div(place_bytes)?.max(PLACES_MIN);
    let block_bytes = place_bytes.max(BLOCK_BYTES_MIN);
    let blocks = place_bytes.checked_mul(places)?.checked_div(block_bytes)?;
    u32::try_from(block_bytes.checked_mul(blocks)?).ok()?;
    Some(Geometry { place_bytes, places, block_bytes, blocks })
}

/// Binds to an interface for sending alone. What hardware it is: an ARPHRD_ value.
fn bind(socket: &OwnedFd, index: c_int) -> io::Result<u16> {
    // SAFETY: numbers and bytes, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = index;
    let mut length = size_of::<libc::sockaddr_ll>() as socklen_t;
    // SAFETY: the address is of the family it says and has the length given.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })?;
    // SAFETY: the kernel writes an address of at most the length given to where one lies.
    check(unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut address).cast(), &raw mut length) })?;
    Ok(address.sll_hatype)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

    use super::*;

    /// Frames lie where the kernel looks for them; a place that was not sent yet is not written, and a frame that is too
    /// long goes nowhere. The ring is in memory of our own, where the test stands for the kernel.
    #[test]
    fn frames_go_into_places_that_are_free() {
        let (place_bytes, places, frame_bytes_max) = (2048, 4, 1514);
        let map = memmap2::MmapMut::map_anon(place_bytes * places).unwrap().into();
        let socket = std::fs::File::open("/dev/null").unwrap().into();
        let (next, handed, refused, past_the_queue) = (0, 0, 0, false);
        let mut ring =
            TxRing { socket, map, place_bytes, places, next, frame_bytes_max, past_the_queue, handed, refused };
        assert!(ring.is_empty() && !ring.put(&[0; 1515]));
        for number in 0..places as u8 {
            assert!(ring.put(&vec![number; frame_bytes_max - usize::from(number)]));
        }
        assert!(!ring.put(&[9; 60]) && !ring.is_empty());
        for place in 0..places {
            // SAFETY: the place lies in the map, and nobody writes to it.
            let bytes = unsafe { std::slice::from_raw_parts(ring.map.as_ptr().add(place * place_bytes), place_bytes) };
            let length = frame_bytes_max - place;
            assert_eq!(bytes[..4], libc::TP_STATUS_SEND_REQUEST.to_ne_bytes());
            assert_eq!(bytes[4..8], (length as u32).to_ne_bytes());
            assert!(bytes[FRAME_AT..FRAME_AT + length].iter().all(|byte| usize::from(*byte) == place));
            assert_eq!(bytes[FRAME_AT + length], 0);
        }
        // The kernel has sent the second: the first is still in the way.
        ring.status(1).store(libc::TP_STATUS_AVAILABLE, Ordering::Release);
        assert!(!ring.put(&[9; 60]));
        ring.status(0).store(libc::TP_STATUS_AVAILABLE, Ordering::Release);
        assert!(ring.put(&[9; 60]) && ring.put(&[9; 60]) && !ring.put(&[9; 60]));
        assert_eq!(ring.handed(), 6);
    }

    #[test]
    fn a_place_has_room_for_header_and_frame() {
        for mtu in [68, 1500, 9000, 65_536] {
            let frame = mtu + ETHER_BYTES;
            let Some(made) = geometry(frame) else { unreachable!() };
            let Geometry { place_bytes, places, block_bytes, blocks } = made;
            assert!(place_bytes >= FRAME_AT + frame && place_bytes.is_power_of_two(), "{made:?}");
            assert!(places >= PLACES_MIN && place_bytes * places == block_bytes * blocks, "{made:?}");
        }
        assert_eq!(geometry(usize::MAX), None);
    }

    #[test]
    fn a_frame_begins_where_the_kernel_looks_for_it() {
        // Behind the header, at the next multiple of TPACKET_ALIGNMENT, which is 16.
        assert_eq!((size_of::<tpacket2_hdr>(), FRAME_AT), (32, 32));
        assert_eq!((offset_of!(tpacket2_hdr, tp_status), offset_of!(tpacket2_hdr, tp_len)), (0, 4));
    }
}
