//! Interfaces through the kernel's ring.
//!
//! In: interfaces, and how many workers. Out: for each worker a ring on every interface; the rings of one interface are a
//! group, in which the kernel deals packets out as [`super::steer`] says. Every ring refuses all packets until all groups
//! are complete. Which bytes a packet begins with goes by the hardware, as in map_arphrd_to_dlt of libpcap (pcap-linux.c);
//! where libpcap would ask the kernel to leave out a link layer that cannot be relied on, so it is here.

use super::super::ring::{RETIRE_MILLISECONDS, Ring, Wanted, wait};
use super::super::{FilterError, LinkType, bpf::Instruction};
use super::counters::Drops;
use super::{Counted, Listen, LiveError, Part, Tap, merging::HOLD_MILLISECONDS, steer, tpacket};

/// Longest wait before it is asked again whether it is enough.
const WAIT_MILLISECONDS: u32 = 100;
const _: () = assert!(RETIRE_MILLISECONDS < HOLD_MILLISECONDS && HOLD_MILLISECONDS <= WAIT_MILLISECONDS);

// Hardware types that the C library does not name.
const ARPHRD_RAWIP: u16 = 519;
const ARPHRD_IP6GRE: u16 = 823;

/// What packets of an interface begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    Ethernet,
    Radiotap,
    /// IP; what may stand before it is left out by the kernel.
    Ip,
}

impl Begin {
    fn of(hardware: u16) -> Option<Begin> {
        match hardware {
            libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Some(Begin::Ethernet),
            libc::ARPHRD_IEEE80211_RADIOTAP => Some(Begin::Radiotap),
            // tun and WireGuard have none; tunnels of Linux are by their kind, and PPP.
            libc::ARPHRD_NONE
            | ARPHRD_RAWIP
            | libc::ARPHRD_TUNNEL
            | libc::ARPHRD_TUNNEL6
            | libc::ARPHRD_SIT
            | libc::ARPHRD_IPGRE
            | ARPHRD_IP6GRE
            | libc::ARPHRD_PPP => Some(Begin::Ip),
            _ => None,
        }
    }

    /// tcpdump.org number.
    fn link(self) -> LinkType {
        LinkType(match self {
            Begin::Ethernet => 1,
            Begin::Radiotap => 127,
            Begin::Ip => 101,
        })
    }

    /// How packets are dealt out.
    fn program(self) -> Vec<Instruction> {
        match self {
            Begin::Ethernet => steer::ethernet(steer::LINK_LAYER),
            Begin::Radiotap => steer::first(),
            Begin::Ip => steer::raw(steer::NETWORK_LAYER),
        }
    }
}

/// Whether the ring reads interfaces of this hardware.
pub(super) fn reads(hardware: u16) -> bool {
    Begin::of(hardware).is_some()
}

/// An interface through a ring.
pub(super) struct RingTap {
    ring: Ring,
    link: LinkType,
    counted: Counted,
    /// Only the first ring of an interface counts what the interface lost.
    drops: Option<Drops>,
    hardware_times: bool,
}

/// For each worker a ring on every interface.
pub(super) fn open(listen: &Listen<'_>, workers: usize) -> Result<Vec<Vec<RingTap>>, LiveError> {
    let mut by_worker: Vec<Vec<RingTap>> = std::iter::repeat_with(Vec::new).take(workers).collect();
    let mut filters = Vec::with_capacity(listen.interfaces.len());
    for (n, interface) in listen.interfaces.iter().enumerate() {
        let (taps, filter) = group(listen, interface, n as u16, workers)?;
        filters.push(filter);
        for (source, tap) in by_worker.iter_mut().zip(taps) {
            source.push(tap);
        }
    }
    for taps in &by_worker {
        for ((tap, filter), interface) in taps.iter().zip(&filters).zip(listen.interfaces) {
            tap.ring.accept(filter).map_err(|(what, error)| refused(interface, what, &error))?;
        }
    }
    Ok(by_worker)
}

/// The rings of one interface, which refuse packets as yet, and the filter that they are to have.
fn group(
    listen: &Listen<'_>,
    interface: &str,
    place: u16,
    workers: usize,
) -> Result<(Vec<RingTap>, Vec<libc::sock_filter>), LiveError> {
    let refusal = |(what, error): (&'static str, std::io::Error)| refused(interface, what, &error);
    let asked = super::super::ring::ask(interface).map_err(|error| refusal(("look for the interface", error)))?;
    let hardware = asked.hardware;
    let begin = Begin::of(hardware).ok_or_else(|| LiveError::Hardware { interface: interface.to_owned(), hardware })?;
    let filter = match listen.filter {
        Some(expression) => instructions(expression, interface, begin)?,
        None => Vec::new(),
    };
    let wanted = Wanted {
        interface,
        bytes: listen.ring_bytes.checked_div(workers as u64).unwrap_or(listen.ring_bytes),
        promiscuous: listen.promiscuous,
        header: begin != Begin::Ip,
        hardware_times: listen.hardware_times,
    };
    let mut rings = Vec::with_capacity(workers);
    for _ in 0..workers {
        rings.push(Ring::open(wanted).map_err(refusal)?);
    }
    if workers > 1 || listen.fanout.is_some() {
        let id = listen.fanout.map(|id| id.wrapping_add(place));
        let else_id = (std::process::id() as u16).wrapping_add(place);
        Ring::group(&mut rings, id, else_id, &mut native(begin.program())).map_err(refusal)?;
    }
    let hardware_times = listen.hardware_times;
    let tap = |(n, ring)| RingTap {
        ring,
        link: begin.link(),
        counted: Counted::default(),
        drops: (n == 0).then(|| Drops::new(interface)),
        hardware_times,
    };
    Ok((rings.into_iter().enumerate().map(tap).collect(), filter))
}

impl RingTap {
    fn count(&mut self) {
        let new = self.ring.counted();
        let counted = &mut self.counted;
        let kept = new.packets.saturating_sub(new.dropped);
        counted.kept = counted.kept.saturating_add(kept);
        counted.dropped = counted.dropped.saturating_add(new.dropped);
        counted.full = counted.full.saturating_add(new.full);
    }
}

impl Tap for RingTap {
    const HANDS_OVER_ALL: bool = true;

    fn take(&mut self) -> Result<Option<Part>, String> {
        let Some(mut block) = self.ring.take() else {
            return match self.ring.error() {
                Some(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {
                    Err("the interface went down or is gone".to_owned())
                }
                Some(error) => Err(error.to_string()),
                None => Ok(None),
            };
        };
        // The kernel's counters are narrow: they are read as often as there is a block.
        self.count();
        if self.hardware_times {
            self.counted.kernel_times = self.counted.kernel_times.saturating_add(tpacket::kernel_times(&block));
        }
        let packets = tpacket::packets(&mut block, self.link);
        Ok(Some((block, packets)))
    }

    fn counted(&mut self) -> Counted {
        self.count();
        self.counted.interface_dropped = self.drops.as_mut().map_or(0, Drops::count);
        self.counted
    }

    fn refuse_more(&mut self) {
        self.ring.refuse_more();
    }

    fn wait<'a>(taps: impl Iterator<Item = &'a RingTap>) -> u32 {
        wait(taps.map(|tap| &tap.ring), WAIT_MILLISECONDS);
        WAIT_MILLISECONDS
    }
}

/// What the kernel said, in words.
pub(in super::super) fn refused(interface: &str, what: &'static str, error: &std::io::Error) -> LiveError {
    let interface = interface.to_owned();
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => LiveError::NotPermitted(interface),
        Some(libc::ENODEV | libc::ENXIO) => LiveError::Unknown(interface),
        Some(libc::ENETDOWN) => LiveError::Down(interface),
        _ => LiveError::Refused { interface, what, reason: error.to_string() },
    }
}

fn native(program: Vec<Instruction>) -> Vec<libc::sock_filter> {
    let one = |i: Instruction| libc::sock_filter { code: i.code, jt: i.if_true, jf: i.if_false, k: i.k };
    program.into_iter().map(one).collect()
}

/// A filter as the kernel takes it.
#[cfg(feature = "libpcap")]
fn instructions(expression: &str, interface: &str, begin: Begin) -> Result<Vec<libc::sock_filter>, LiveError> {
    use super::super::filter;
    filter::check(expression)?;
    match begin {
        Begin::Ip => {
            let invalid = |message| FilterError::Invalid { expression: expression.to_owned(), message };
            Ok(native(filter::program(expression, begin.link()).map_err(invalid)?))
        }
        _ => Ok(native(super::libpcap::instructions(expression, interface)?)),
    }
}

#[cfg(not(feature = "libpcap"))]
fn instructions(expression: &str, _: &str, _: Begin) -> Result<Vec<libc::sock_filter>, LiveError> {
    Err(FilterError::Unavailable { expression: expression.to_owned() }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers as in include/uapi/linux/if_arp.h, link types as map_arphrd_to_dlt gives them; where that says cooked mode
    /// (PPP, GRE) the kernel leaves out the link layer here too.
    #[test]
    fn the_hardware_says_what_packets_begin_with() {
        let ethernet = [1, 772];
        let ip = [512, 519, 768, 769, 776, 778, 823, 0xfffe];
        for (numbers, link) in [(&ethernet[..], 1), (&[803], 127), (&ip, 101)] {
            for &number in numbers {
                assert_eq!(Begin::of(number).map(Begin::link), Some(LinkType(link)), "{number}");
            }
        }
        // SLIP, X.25, InfiniBand, 802.11 without radiotap.
        assert!([0, 256, 271, 32, 801].into_iter().all(|number| !reads(number)));
    }
}
