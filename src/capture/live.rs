//! Packets from interfaces, as they come by.
//!
//! In: names of interfaces, and a question that says when it is enough. Out: one [`Source`] like that of files, or one for
//! each worker: blocks of packets, what happened to an interface as a damage, what was lost by name. What a host sends
//! itself is read as well, for a span port and the sensor's own traffic look alike. Packets of several interfaces come in
//! the order of time. With a source for each worker the kernel deals packets out: those of one pair of addresses go to one
//! worker, whichever interface they come from.

#[cfg(target_os = "linux")]
mod counters;
mod facts;
#[cfg(feature = "libpcap")]
mod libpcap;
mod merging;
mod reader;
#[cfg(target_os = "linux")]
pub(super) mod rings;
#[cfg(target_os = "linux")]
mod steer;
#[cfg(target_os = "linux")]
mod tpacket;

use std::sync::Arc;

use super::{FilterError, Packet, Source};
#[cfg(any(feature = "libpcap", target_os = "linux"))]
use reader::Live;

pub use facts::{Facts, facts};

/// Most sources that one group of rings is dealt to; more are not made.
pub const SOURCES_MAX: usize = 256;

/// Through what packets come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// The kernel's ring of packets; Linux only.
    Ring,
    /// libpcap.
    Libpcap,
}

/// What to listen to, and how.
#[derive(Clone, Debug)]
pub struct Listen<'a> {
    /// Names of interfaces.
    pub interfaces: &'a [String],
    /// Through what.
    pub through: Through,
    /// Also packets for other hosts.
    pub promiscuous: bool,
    /// Bytes of kernel memory for each interface, about; several rings share them.
    pub ring_bytes: u64,
    /// An expression in the language of pcap-filter(7); the kernel applies it.
    pub filter: Option<&'a str>,
    /// Number of the group of rings of the first interface, the next ones follow it: programs with the same number share
    /// an interface. Without it the kernel chooses one that nobody has.
    pub fanout: Option<u16>,
    /// Times of the hardware where it has them; those of the kernel for packets that have none.
    pub hardware_times: bool,
}

/// Why it cannot be listened.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The kernel does not know it.
    #[error("{0}: there is no such interface")]
    Unknown(String),
    /// It is down.
    #[error("{0}: the interface is down")]
    Down(String),
    /// The user may not capture.
    #[error("{0}: not permitted; capturing needs root or the capability CAP_NET_RAW")]
    NotPermitted(String),
    /// It was named more than once.
    #[error("{0}: named more than once")]
    Twice(String),
    /// Frames of this hardware are not read from the ring.
    #[error("{interface}: the ring does not read hardware type {hardware}; try --capture libpcap")]
    Hardware {
        /// Which interface.
        interface: String,
        /// ARPHRD_ value of Linux.
        hardware: u16,
    },
    /// Something else was refused.
    #[error("{interface}: cannot {what}: {reason}")]
    Refused {
        /// Which interface.
        interface: String,
        /// What was being done.
        what: &'static str,
        /// What the system says.
        reason: String,
    },
    /// The filter expression.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Not in this build.
    #[error("this build cannot capture through {0}")]
    Unavailable(&'static str),
}

/// Asked before every wait whether it is enough.
type Enough = Arc<dyn Fn() -> bool + Send + Sync>;

/// Listens to interfaces. When it returns, packets are being kept for the reader.
///
/// # Errors
/// When one of the interfaces cannot be used: which, and why.
pub fn listen(
    listen: &Listen<'_>,
    enough: impl Fn() -> bool + Send + Sync + 'static,
) -> Result<Box<dyn Source>, LiveError> {
    let mut sources = listen_apart(listen, 1, enough)?;
    sources.pop().ok_or(LiveError::Unavailable("no source at all"))
}

/// Listens to interfaces with a source for each worker, at most [`SOURCES_MAX`]; with one only where packets cannot be
/// dealt out, which is through libpcap. Numbers of packets are unique among all sources, losses and limits are each
/// source's own, and what happens to an interface is told by one of them. Sources are to be read at the same time, each
/// until its end.
///
/// # Errors
/// When one of the interfaces cannot be used: which, and why.
pub fn listen_apart(
    listen: &Listen<'_>,
    workers: usize,
    enough: impl Fn() -> bool + Send + Sync + 'static,
) -> Result<Vec<Box<dyn Source>>, LiveError> {
    for (n, name) in listen.interfaces.iter().enumerate() {
        if listen.interfaces.iter().take(n).any(|earlier| earlier == name) {
            return Err(LiveError::Twice(name.clone()));
        }
    }
    let enough: Enough = Arc::new(enough);
    let workers = workers.clamp(1, SOURCES_MAX);
    match listen.through {
        #[cfg(target_os = "linux")]
        Through::Ring => Ok(Live::sources(listen.interfaces, rings::open(listen, workers)?, &enough)),
        #[cfg(not(target_os = "linux"))]
        Through::Ring => Err(LiveError::Unavailable("a ring")),
        #[cfg(feature = "libpcap")]
        Through::Libpcap => {
            let taps = listen.interfaces.iter().map(|name| libpcap::Tap::open(name, listen));
            Ok(Live::sources(listen.interfaces, vec![taps.collect::<Result<_, _>>()?], &enough))
        }
        #[cfg(not(feature = "libpcap"))]
        Through::Libpcap => Err(LiveError::Unavailable("libpcap")),
    }
}

/// Bytes and the packets in them, in order of time.
type Part = (Vec<u8>, Vec<Packet>);

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    /// Packets that the kernel kept for the reader.
    kept: u64,
    /// Packets for which it had no room.
    dropped: u64,
    /// Packets that the interface itself had no room for.
    interface_dropped: u64,
    /// How often the ring was full.
    full: u64,
    /// Packets with a time of the kernel where one of the hardware was asked for.
    kernel_times: u64,
}

/// One interface that is listened to.
trait Tap: Sized + Send + 'static {
    /// Every packet that is counted as kept is handed over, so that one that is not is a loss.
    const HANDS_OVER_ALL: bool;
    /// Packets that are there, or why there will be no more.
    fn take(&mut self) -> Result<Option<Part>, String>;
    fn counted(&mut self) -> Counted;
    /// From now on no packet needs to be kept.
    fn refuse_more(&mut self);
    /// Waits until there is something to take from one of them, or for a while: so many milliseconds.
    fn wait<'a>(taps: impl Iterator<Item = &'a Self>) -> u32
    where
        Self: 'a;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_interface_is_not_listened_to_twice() {
        let interfaces = ["eth0", "eth1", "eth0"].map(str::to_owned);
        for through in [Through::Ring, Through::Libpcap] {
            let how = Listen {
                interfaces: &interfaces,
                through,
                promiscuous: false,
                ring_bytes: 0,
                filter: None,
                fanout: None,
                hardware_times: false,
            };
            let refused = listen(&how, || true).err().map(|e| e.to_string());
            assert_eq!(refused.as_deref(), Some("eth0: named more than once"));
        }
    }
}
