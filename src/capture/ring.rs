//! The kernel's ring of packets (AF_PACKET, TPACKET_V3): the second place of this stage with
//! `unsafe`.
//!
//! In: an interface. Out: copies of the blocks that the kernel filled, and its counters; what the kernel says of the
//! interface itself. A block is copied in one piece and given back at once: packets wait for their flow in memory of our
//! own, so a slow worker costs memory that is limited elsewhere and not places in the ring, and no reference into memory
//! that the kernel writes again ever leaves this file. Sources: Documentation/networking/packet_mmap.rst and
//! timestamping.rst, include/uapi/linux/if_packet.h and ethtool.h of Linux, packet(7), netdevice(7).

#![allow(unsafe_code)]

pub(crate) mod tx;

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{c_int, c_uint, c_void, sock_filter, socklen_t, tpacket_block_desc, tpacket_hdr_v1};
use memmap2::{MmapOptions, MmapRaw};

/// The kernel hands over a block that is not full after so long, so that a quiet link is read.
pub(crate) const RETIRE_MILLISECONDS: u32 = 50;
/// A size of frames that the kernel wants to be told and that blocks of packets do not use.
const FRAME_BYTES: usize = 2048;
/// Blocks of a ring, where its size allows blocks of the usual size. The kernel hands over a block after a while even when
/// it holds one packet, so their number is how long a reader may be away on a quiet link.
const BLOCKS_USUAL: usize = 32;
/// Smallest block: it takes the largest packet that offloading makes, all but its last bytes.
const BLOCK_BYTES_MIN: usize = 64 * 1024;
const BLOCK_BYTES_MAX: usize = 1024 * 1024;

/// Where the header of a block has its owner and its length.
const STATUS_AT: usize = offset_of!(tpacket_block_desc, hdr) + offset_of!(tpacket_hdr_v1, block_status);
const LENGTH_AT: usize = offset_of!(tpacket_block_desc, hdr) + offset_of!(tpacket_hdr_v1, blk_len);

/// Filters of one instruction: no packet, and every packet whole.
const REFUSE: sock_filter = sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 };
const ACCEPT: sock_filter = sock_filter { k: u32::MAX, ..REFUSE };
/// The front of a filter that leaves out what goes out.
const ONCE: [sock_filter; 3] = [
    sock_filter {
        code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
        jt: 0,
        jf: 0,
        k: (libc::SKF_AD_OFF as u32).wrapping_add(libc::SKF_AD_PKTTYPE as u32),
    },
    sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf: 1,
        k: libc::PACKET_OUTGOING as u32,
    },
    REFUSE,
];

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

/// What a ring is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) interface: &'a str,
    /// Bytes of the ring, about.
    pub(crate) bytes: u64,
    /// Also packets for other hosts.
    pub(crate) promiscuous: bool,
    /// With the header of the link layer; without, packets begin at the network layer.
    pub(crate) header: bool,
    /// Times of the hardware, where it has them.
    pub(crate) hardware_times: bool,
}

/// A ring on one interface.
pub(crate) struct Ring {
    socket: Arc<OwnedFd>,
    /// The sockets of the group. They stay open as long as one of them is read: when one leaves, the kernel moves another
    /// into its place, and a flow would change its worker.
    _group: Vec<Arc<OwnedFd>>,
    map: MmapRaw,
    block_bytes: usize,
    blocks: usize,
    next: usize,
    hardware: u16,
}

impl Ring {
    /// Makes a ring that refuses every packet until [`Ring::accept`].
    pub(crate) fn open(wanted: Wanted<'_>) -> Result<Ring, Refusal> {
        let index = index_of(wanted.interface).map_err(during("look for the interface"))?;
        let kind = if wanted.header { libc::SOCK_RAW } else { libc::SOCK_DGRAM };
        // Without a protocol nothing arrives until the socket is bound, with filter and ring in place.
        let socket = socket(libc::AF_PACKET, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK)
            .map_err(during("open a socket"))?;
        let version = libc::tpacket_versions::TPACKET_V3 as c_int;
        set(&socket, libc::PACKET_VERSION, &version).map_err(during("ask for TPACKET_V3"))?;
        attach(&socket, &mut [REFUSE]).map_err(during("attach a filter"))?;
        let (block_bytes, blocks) =
            geometry(wanted.bytes).ok_or(("size the ring", io::ErrorKind::InvalidInput.into()))?;
        let request = libc::tpacket_req3 {
            tp_block_size: block_bytes as c_uint,
            tp_block_nr: blocks as c_uint,
            tp_frame_size: FRAME_BYTES as c_uint,
            tp_frame_nr: (block_bytes / FRAME_BYTES).saturating_mul(blocks) as c_uint,
            tp_retire_blk_tov: RETIRE_MILLISECONDS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        if wanted.hardware_times {
            stamp_all(&socket, wanted.interface);
            let source = libc::SOF_TIMESTAMPING_RAW_HARDWARE as c_int;
            set(&socket, libc::PACKET_TIMESTAMP, &source).map_err(during("ask for times of the hardware"))?;
        }
        set(&socket, libc::PACKET_RX_RING, &request).map_err(during("make the ring"))?;
        let length = block_bytes.saturating_mul(blocks);
        let map = MmapOptions::new().len(length).map_raw(&socket).map_err(during("map the ring"))?;
        let socket = Arc::new(socket);
        let mut ring = Ring { socket, _group: Vec::new(), map, block_bytes, blocks, next: 0, hardware: 0 };
        ring.bind(index).map_err(during("listen"))?;
        if wanted.promiscuous {
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

    /// Puts rings of one interface into a group: each packet goes to the one that the program says, by its place among
    /// those given. Without an id the kernel finds one that is free, or, where it cannot do that, `else_id` is taken.
    pub(crate) fn group(
        rings: &mut [Ring],
        id: Option<u16>,
        else_id: u16,
        program: &mut [sock_filter],
    ) -> Result<(), Refusal> {
        let word = |id: u16, flags: u32| (u32::from(id) | (libc::PACKET_FANOUT_CBPF | flags) << 16) as c_int;
        let join = |ring: &Ring, word: c_int| set(&ring.socket, libc::PACKET_FANOUT, &word);
        let joining = during("join the group; its number is perhaps taken by another interface");
        let Some((first, others)) = rings.split_first_mut() else { return Ok(()) };
        let unique = libc::PACKET_FANOUT_FLAG_UNIQUEID;
        match id {
            Some(id) => join(first, word(id, 0)).map_err(&joining)?,
            None if join(first, word(0, unique)).is_ok() => {}
            None => join(first, word(else_id, 0)).map_err(&joining)?,
        }
        let mut joined: c_int = 0;
        get(&first.socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &mut joined).map_err(during("ask for the group"))?;
        deal(&first.socket, program).map_err(during("say how packets are dealt"))?;
        for ring in others {
            join(ring, word(joined as u16, 0)).map_err(&joining)?;
        }
        let sockets: Vec<_> = rings.iter().map(|ring| ring.socket.clone()).collect();
        for ring in rings {
            ring._group.clone_from(&sockets);
        }
        Ok(())
    }

    /// From now on packets that pass the filter come in; all do when it is empty.
    pub(crate) fn accept(&self, filter: &[sock_filter]) -> Result<(), Refusal> {
        let mut program = Vec::with_capacity(filter.len().saturating_add(ONCE.len()).saturating_add(1));
        // On the loopback every packet goes out and comes in; it is read once.
        if self.hardware == libc::ARPHRD_LOOPBACK {
            program.extend(ONCE);
        }
        program.extend_from_slice(if filter.is_empty() { &[ACCEPT] } else { filter });
        attach(&self.socket, &mut program).map_err(during("attach the filter"))
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
        // If it is refused, packets come in until the socket is closed, and are counted.
        let _ = attach(&self.socket, &mut [REFUSE]);
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

/// What the kernel says of an interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// ARPHRD_ value.
    pub(crate) hardware: u16,
    pub(crate) up: bool,
    pub(crate) carrier: bool,
    pub(crate) mtu: u32,
    /// Merging of packets in the kernel, and splitting of those that the host sends.
    pub(crate) gro: Option<bool>,
    pub(crate) gso: Option<bool>,
    pub(crate) tso: Option<bool>,
    /// Merging in the card.
    pub(crate) lro: Option<bool>,
    /// The card takes VLAN tags out.
    pub(crate) tags_beside: Option<bool>,
    /// Receive queues.
    pub(crate) queues: Option<u32>,
}

/// Asks the kernel about an interface; needs no permission.
pub(crate) fn ask(interface: &str) -> io::Result<Asked> {
    index_of(interface)?;
    // Any socket may ask; this kind is there in every sandbox.
    let socket = socket(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC)?;
    let asked = |what| ioctl(&socket, interface, what, &mut []);
    // SAFETY: after this question the kernel has filled in this member, in which every number is a value.
    let hardware = unsafe { asked(libc::SIOCGIFHWADDR)?.ifru_hwaddr.sa_family };
    // SAFETY: as above.
    let flags = c_int::from(unsafe { asked(libc::SIOCGIFFLAGS)?.ifru_flags });
    // SAFETY: as above.
    let mtu = unsafe { asked(libc::SIOCGIFMTU)?.ifru_mtu };
    let value = |command: u32| {
        let mut words = [command, 0];
        ioctl(&socket, interface, libc::SIOCETHTOOL, &mut words).ok().map(|_| words[1])
    };
    let flag = |command| value(command).map(|value| value != 0);
    let features = value(ethtool::GET_FLAGS);
    let mut channels = [0u32; ethtool::CHANNELS_WORDS];
    channels[0] = ethtool::GET_CHANNELS;
    let channels = ioctl(&socket, interface, libc::SIOCETHTOOL, &mut channels).ok().map(|_| channels);
    Ok(Asked {
        hardware,
        up: flags & libc::IFF_UP != 0,
        carrier: flags & libc::IFF_RUNNING != 0,
        mtu: u32::try_from(mtu).unwrap_or(0),
        gro: flag(ethtool::GET_GRO),
        gso: flag(ethtool::GET_GSO),
        tso: flag(ethtool::GET_TSO),
        lro: features.map(|bits| bits & ethtool::FLAG_LRO != 0),
        tags_beside: features.map(|bits| bits & ethtool::FLAG_RX_VLAN != 0),
        queues: channels.map(|c| c[ethtool::RX_AT].saturating_add(c[ethtool::COMBINED_AT])),
    })
}

/// Numbers of include/uapi/linux/ethtool.h.
mod ethtool {
    pub(super) const GET_TSO: u32 = 0x1e;
    pub(super) const GET_GSO: u32 = 0x23;
    pub(super) const GET_FLAGS: u32 = 0x25;
    pub(super) const GET_GRO: u32 = 0x2b;
    pub(super) const GET_CHANNELS: u32 = 0x3c;
    pub(super) const FLAG_RX_VLAN: u32 = 1 << 8;
    pub(super) const FLAG_LRO: u32 = 1 << 15;
    /// Words of `struct ethtool_channels`, and where the channels stand that are in use.
    pub(super) const CHANNELS_WORDS: usize = 9;
    pub(super) const RX_AT: usize = 5;
    pub(super) const COMBINED_AT: usize = 8;
}

/// Asks a card to put its time on every packet. One that cannot leaves that to the kernel.
fn stamp_all(socket: &OwnedFd, interface: &str) {
    let mut config = [0, libc::HWTSTAMP_TX_OFF, libc::HWTSTAMP_FILTER_ALL];
    let _ = ioctl(socket, interface, libc::SIOCSHWTSTAMP, &mut config);
}

/// Asks about an interface by name; words that belong to the question are given and come back beside.
fn ioctl(
    socket: &OwnedFd,
    interface: &str,
    what: libc::c_ulong,
    words: &mut [u32],
) -> io::Result<libc::__c_anonymous_ifr_ifru> {
    // SAFETY: numbers, bytes and a pointer, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len().saturating_sub(1);
    if interface.len() > room {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *place = byte as libc::c_char;
    }
    if !words.is_empty() {
        request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
    }
    // SAFETY: the request lives through the call and its name ends in a zero byte. A question that has words of its own
    // is asked with as many as its structure in the kernel's interface has, and they live through the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), what as _, &raw mut request) })?;
    Ok(request.ifr_ifru)
}

/// A socket for questions to the kernel about interfaces; one question is written, one answer read.
pub(crate) fn netlink() -> io::Result<File> {
    socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC).map(File::from)
}

fn socket(family: c_int, kind: c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes three numbers.
    let socket = check(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: the descriptor was just made and nothing else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

/// The number of an interface.
pub(crate) fn index_of(interface: &str) -> io::Result<c_int> {
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

/// Attaches a filter.
fn attach(socket: &OwnedFd, program: &mut [sock_filter]) -> io::Result<()> {
    give(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program)
}

/// Says which member of a group a packet is for.
fn deal(socket: &OwnedFd, program: &mut [sock_filter]) -> io::Result<()> {
    give(socket, libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, program)
}

fn give(socket: &OwnedFd, level: c_int, name: c_int, program: &mut [sock_filter]) -> io::Result<()> {
    let count = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: count, filter: program.as_mut_ptr() };
    let length = size_of::<libc::sock_fprog>() as socklen_t;
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
    #![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

    use super::*;

    /// A ring in memory of our own, where a test stands for the kernel. Its socket is none.
    fn without_kernel(block_bytes: usize, blocks: usize) -> Ring {
        let map = memmap2::MmapMut::map_anon(block_bytes * blocks).unwrap().into();
        let socket = Arc::new(File::open("/dev/null").unwrap().into());
        Ring { socket, _group: Vec::new(), map, block_bytes, blocks, next: 0, hardware: 0 }
    }

    /// Where the words of a block are; the addresses are good as long as the ring.
    #[derive(Clone, Copy)]
    struct Block(*mut u8);

    // SAFETY: addresses in a map that outlives the thread they are given to; what is shared is shared by atomic access.
    unsafe impl Send for Block {}

    impl Block {
        fn of(ring: &Ring, number: usize) -> Block {
            assert!(number < ring.blocks);
            // SAFETY: the map has so many blocks.
            Block(unsafe { ring.map.as_mut_ptr().add(number * ring.block_bytes) })
        }

        fn status(&self) -> &AtomicU32 {
            // SAFETY: an aligned word of the block, which lives as long as the ring.
            unsafe { AtomicU32::from_ptr(self.0.add(STATUS_AT).cast()) }
        }

        /// Fills the block as the kernel does: bytes first, then whose it is.
        fn fill(self, bytes: &[u8], length: u32) {
            // SAFETY: tests fill no more than a block, and only while it is the kernel's.
            unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.add(BEHIND), bytes.len());
                self.0.add(LENGTH_AT).cast::<u32>().write(length);
            }
            self.status().store(libc::TP_STATUS_USER, Ordering::Release);
        }
    }

    /// Behind the words of the header that a test writes.
    const BEHIND: usize = 48;

    /// Blocks are taken in their order, whole, once, and given back; a length beyond the block is that of the block.
    #[test]
    fn blocks_come_in_turn_and_go_back() {
        let mut ring = without_kernel(4096, 3);
        assert!(ring.take().is_none());
        for round in 0..7_u8 {
            let block = Block::of(&ring, usize::from(round) % 3);
            block.fill(&[round; 100], 148);
            let taken = ring.take().unwrap();
            assert_eq!((taken.len(), &taken[BEHIND..]), (148, &[round; 100][..]));
            assert_eq!(block.status().load(Ordering::Relaxed), libc::TP_STATUS_KERNEL);
            assert!(ring.take().is_none());
        }
        Block::of(&ring, 1).fill(&[9; 4096 - BEHIND], u32::MAX);
        let taken = ring.take().unwrap();
        assert_eq!((taken.len(), taken.last()), (4096, Some(&9)));
        // The one after the next is filled first: it waits for its turn.
        Block::of(&ring, 0).fill(&[7], 49);
        assert!(ring.take().is_none());
        Block::of(&ring, 2).fill(&[6], 49);
        assert_eq!([ring.take().unwrap()[BEHIND], ring.take().unwrap()[BEHIND]], [6, 7]);
    }

    /// The kernel fills blocks while they are read: what comes out is what went in.
    #[test]
    fn a_block_is_ours_until_it_is_given_back() {
        const ROUNDS: u8 = 20;
        let mut ring = without_kernel(4096, 2);
        let blocks = [Block::of(&ring, 0), Block::of(&ring, 1)];
        std::thread::scope(|threads| {
            threads.spawn(move || {
                let blocks = blocks;
                for round in 0..ROUNDS {
                    let block = blocks[usize::from(round % 2)];
                    while block.status().load(Ordering::Acquire) != libc::TP_STATUS_KERNEL {
                        std::thread::yield_now();
                    }
                    block.fill(&[round; 200], 248);
                }
            });
            for round in 0..ROUNDS {
                let taken = loop {
                    match ring.take() {
                        Some(taken) => break taken,
                        None => std::thread::yield_now(),
                    }
                };
                assert_eq!(&taken[BEHIND..], [round; 200]);
            }
        });
    }

    #[test]
    fn a_ring_has_whole_blocks_and_at_least_two() {
        assert_eq!(geometry(64 << 20), Some((1 << 20, 64)));
        assert_eq!(geometry(1 << 30), Some((BLOCK_BYTES_MAX, 1024)), "no block is larger");
        assert_eq!(geometry(8 << 20), Some((256 << 10, 32)));
        assert_eq!(geometry(1 << 20), Some((64 << 10, 16)));
        assert_eq!(geometry(128 << 10), Some((64 << 10, 2)));
        assert_eq!(geometry(1), Some((64 << 10, 2)));
        assert_eq!(geometry(u64::MAX), None, "more frames than the kernel can count");
    }

    #[test]
    fn the_kernel_is_asked_about_an_interface() {
        let lo = ask("lo").unwrap();
        assert_eq!((lo.hardware, lo.queues), (libc::ARPHRD_LOOPBACK, None));
        assert!(lo.mtu >= 1500);
        for name in ["nowhere9", "", "a-name-that-no-interface-can-have"] {
            let error = ask(name).unwrap_err().raw_os_error();
            assert!(matches!(error, Some(libc::ENODEV | libc::ENXIO)), "{name}: {error:?}");
        }
        assert!(ask("a\0b").is_err());
    }

    #[test]
    fn the_header_of_a_block_is_where_the_kernel_puts_it() {
        assert_eq!((STATUS_AT, LENGTH_AT), (8, 20));
    }
}
