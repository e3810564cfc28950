//! Packets from interfaces, as they come by.
//!
//! In: names of interfaces, and a question that says when it is enough. Out: a [`Source`] like that
//! of files: blocks of packets, what happened to an interface as a damage, what the kernel lost by
//! name. What a host sends itself is read as well, for a span port and the sensor's own traffic look
//! alike. Packets of one interface come in order; those of several as their blocks become full.

#[cfg(feature = "libpcap")]
mod libpcap;
#[cfg(target_os = "linux")]
mod tpacket;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::{BLOCK_PACKETS_MAX, Block, Bytes, Damage, FilterError, Losses, Packet, Source};
#[cfg(target_os = "linux")]
use super::{LinkType, ring, ring::Ring};

/// Longest wait before it is asked again whether it is enough.
const WAIT_MILLISECONDS: u32 = 100;
/// At the end: waits for packets that are in the kernel and not handed over yet, and their length.
const LAST_WAITS_MAX: u32 = 40;
const LAST_WAIT: Duration = Duration::from_millis(10);

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
    /// Bytes of kernel memory for each interface, about.
    pub ring_bytes: u64,
    /// An expression in the language of pcap-filter(7); the kernel applies it.
    pub filter: Option<&'a str>,
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
    #[error("{interface}: the ring reads Ethernet and loopback, not hardware type {hardware}; try --capture libpcap")]
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
pub type Enough = Box<dyn Fn() -> bool + Send>;

/// Listens to interfaces. When it returns, packets are being kept for the reader.
///
/// # Errors
/// When one of the interfaces cannot be used: which, and why.
pub fn listen(listen: &Listen<'_>, enough: Enough) -> Result<Box<dyn Source>, LiveError> {
    for (n, name) in listen.interfaces.iter().enumerate() {
        if listen.interfaces.iter().take(n).any(|earlier| earlier == name) {
            return Err(LiveError::Twice(name.clone()));
        }
    }
    match listen.through {
        #[cfg(target_os = "linux")]
        Through::Ring => Ok(Box::new(Live::<RingTap>::open(listen, enough)?)),
        #[cfg(not(target_os = "linux"))]
        Through::Ring => Err(LiveError::Unavailable("a ring")),
        #[cfg(feature = "libpcap")]
        Through::Libpcap => Ok(Box::new(Live::<libpcap::Tap>::open(listen, enough)?)),
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
}

/// One interface that is listened to.
trait Tap: Sized + Send {
    /// Every packet that is counted as kept is handed over, so that one that is not is a loss.
    const HANDS_OVER_ALL: bool;
    fn open(interface: &str, listen: &Listen<'_>) -> Result<Self, LiveError>;
    /// Packets that are there, or why there will be no more.
    fn take(&mut self) -> Result<Option<Part>, String>;
    fn counted(&mut self) -> Counted;
    /// From now on no packet needs to be kept.
    fn refuse_more(&mut self);
    /// Waits until there is something to take from one of them, or for so long.
    fn wait<'a>(taps: impl Iterator<Item = &'a Self>, milliseconds: u32)
    where
        Self: 'a;
}

struct Interface<T> {
    name: Arc<str>,
    // `None`: it has ended.
    tap: Option<T>,
    read: u64,
    bytes: u64,
    counted: Counted,
    /// Packets that were kept and not handed over when it ended.
    unread: u64,
}

/// A [`Source`] over interfaces.
struct Live<T> {
    interfaces: Vec<Interface<T>>,
    ready: VecDeque<Block>,
    enough: Enough,
    next_number: u64,
    damage: Vec<Damage>,
}

impl<T: Tap> Live<T> {
    fn open(listen: &Listen<'_>, enough: Enough) -> Result<Live<T>, LiveError> {
        let mut interfaces = Vec::with_capacity(listen.interfaces.len());
        for name in listen.interfaces {
            let tap = Some(T::open(name, listen)?);
            let name = name.as_str().into();
            interfaces.push(Interface { name, tap, read: 0, bytes: 0, counted: Counted::default(), unread: 0 });
        }
        Ok(Live { interfaces, ready: VecDeque::new(), enough, next_number: 1, damage: Vec::new() })
    }

    /// Takes what is there, from each in turn.
    fn take_all(&mut self) {
        for interface in &mut self.interfaces {
            let Some(tap) = &mut interface.tap else { continue };
            match tap.take() {
                Ok(Some(part)) => interface.keep(part, &mut self.ready, &mut self.next_number),
                Ok(None) => {}
                Err(reason) => {
                    interface.end(&mut self.ready, &mut self.next_number);
                    let (input, fatal) = (interface.name.to_string(), interface.read == 0);
                    self.damage.push(Damage { input, offset: interface.bytes, reason, fatal });
                }
            }
        }
    }
}

impl<T: Tap> Interface<T> {
    /// Puts packets where they are handed over from, numbered and in blocks of the usual size.
    fn keep(&mut self, (bytes, packets): Part, ready: &mut VecDeque<Block>, next_number: &mut u64) {
        let bytes = Arc::new(bytes);
        self.read = self.read.saturating_add(packets.len() as u64);
        for packets in packets.chunks(BLOCK_PACKETS_MAX) {
            let captured: u64 = packets.iter().map(|packet| u64::from(packet.captured)).sum();
            self.bytes = self.bytes.saturating_add(captured);
            let first_number = *next_number;
            *next_number = first_number.saturating_add(packets.len() as u64);
            let (input, bytes) = (self.name.clone(), Bytes::Owned(bytes.clone()));
            ready.push_back(Block { input, bytes, packets: packets.to_vec(), first_number });
        }
    }

    /// Takes what the kernel has kept until now, and ends.
    fn end(&mut self, ready: &mut VecDeque<Block>, next_number: &mut u64) {
        let Some(mut tap) = self.tap.take() else { return };
        tap.refuse_more();
        self.counted = tap.counted();
        let kept = self.counted.kept;
        for _ in 0..LAST_WAITS_MAX {
            while self.read < kept
                && let Ok(Some(part)) = tap.take()
            {
                self.keep(part, ready, next_number);
            }
            if self.read >= kept {
                break;
            }
            std::thread::sleep(LAST_WAIT);
        }
        if T::HANDS_OVER_ALL {
            self.unread = kept.saturating_sub(self.read);
        }
    }
}

impl<T: Tap> Source for Live<T> {
    fn next_block(&mut self) -> Option<Block> {
        if let Some(block) = self.ready.pop_front() {
            return Some(block);
        }
        if (self.enough)() {
            for interface in &mut self.interfaces {
                interface.end(&mut self.ready, &mut self.next_number);
            }
            return self.ready.pop_front();
        }
        self.take_all();
        if self.ready.is_empty() {
            if self.interfaces.iter().all(|interface| interface.tap.is_none()) {
                return None;
            }
            T::wait(self.interfaces.iter().filter_map(|interface| interface.tap.as_ref()), WAIT_MILLISECONDS);
            self.take_all();
        }
        // Nothing came: an empty block, so that whoever waits for the reader gets on.
        self.ready.pop_front().or_else(|| {
            let input = self.interfaces.first()?.name.clone();
            let bytes = Bytes::Owned(Arc::default());
            Some(Block { input, bytes, packets: Vec::new(), first_number: self.next_number })
        })
    }

    fn damage(&self) -> &[Damage] {
        &self.damage
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.interfaces.iter().fold(0, |sum, interface| sum.saturating_add(interface.bytes)), None)
    }

    fn losses(&mut self) -> Losses {
        let mut losses = Losses::default();
        for interface in &mut self.interfaces {
            // One that was not ended stopped at a number of packets: what is kept behind that is no loss.
            if let Some(tap) = &mut interface.tap {
                interface.counted = tap.counted();
            }
            let Counted { dropped, interface_dropped, full, .. } = interface.counted;
            losses.packet("interface.dropped", interface_dropped);
            losses.packet("kernel.ring-dropped", dropped);
            losses.packet("kernel.ring-unread", interface.unread);
            losses.limit("kernel.ring-full", full);
        }
        losses
    }
}

/// An interface through the ring.
#[cfg(target_os = "linux")]
struct RingTap {
    ring: Ring,
    link: LinkType,
    counted: Counted,
}

#[cfg(target_os = "linux")]
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

#[cfg(target_os = "linux")]
impl Tap for RingTap {
    const HANDS_OVER_ALL: bool = true;

    fn open(interface: &str, listen: &Listen<'_>) -> Result<RingTap, LiveError> {
        const ETHERNET: LinkType = LinkType(1);
        let mut filter = match listen.filter {
            Some(expression) => instructions(expression, interface)?,
            None => Vec::new(),
        };
        let ring = Ring::open(interface, listen.ring_bytes, listen.promiscuous, &mut filter)
            .map_err(|(what, error)| refused(interface, what, &error))?;
        match ring.hardware() {
            libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => {
                Ok(RingTap { ring, link: ETHERNET, counted: Counted::default() })
            }
            hardware => Err(LiveError::Hardware { interface: interface.to_owned(), hardware }),
        }
    }

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
        let packets = tpacket::packets(&mut block, self.link);
        Ok(Some((block, packets)))
    }

    fn counted(&mut self) -> Counted {
        self.count();
        self.counted
    }

    fn refuse_more(&mut self) {
        self.ring.refuse_more();
    }

    fn wait<'a>(taps: impl Iterator<Item = &'a RingTap>, milliseconds: u32) {
        ring::wait(taps.map(|tap| &tap.ring), milliseconds);
    }
}

/// What the kernel said, in words.
#[cfg(target_os = "linux")]
pub(super) fn refused(interface: &str, what: &'static str, error: &std::io::Error) -> LiveError {
    let interface = interface.to_owned();
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => LiveError::NotPermitted(interface),
        Some(libc::ENODEV | libc::ENXIO) => LiveError::Unknown(interface),
        Some(libc::ENETDOWN) => LiveError::Down(interface),
        _ => LiveError::Refused { interface, what, reason: error.to_string() },
    }
}

/// A filter as the kernel takes it.
#[cfg(all(target_os = "linux", feature = "libpcap"))]
fn instructions(expression: &str, interface: &str) -> Result<Vec<libc::sock_filter>, LiveError> {
    super::filter::check(expression)?;
    libpcap::instructions(expression, interface)
}

#[cfg(all(target_os = "linux", not(feature = "libpcap")))]
fn instructions(expression: &str, _: &str) -> Result<Vec<libc::sock_filter>, LiveError> {
    Err(FilterError::Unavailable { expression: expression.to_owned() }.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::LinkType;
    use super::*;
    use crate::time::Time;

    /// An interface that gives so many packets at each question, and then ends or goes on.
    struct Script {
        parts: VecDeque<Result<usize, &'static str>>,
        counted: Counted,
    }

    impl Tap for Script {
        const HANDS_OVER_ALL: bool = true;

        fn open(_: &str, _: &Listen<'_>) -> Result<Script, LiveError> {
            Err(LiveError::Unavailable("a script"))
        }

        fn take(&mut self) -> Result<Option<Part>, String> {
            match self.parts.pop_front() {
                None => Ok(None),
                Some(Err(reason)) => Err(reason.to_owned()),
                Some(Ok(count)) => {
                    let packet = Packet { time: Time(1), start: 0, captured: 2, original: 2, link: LinkType(1) };
                    Ok(Some((vec![0; 2], vec![packet; count])))
                }
            }
        }

        fn counted(&mut self) -> Counted {
            self.counted
        }

        fn refuse_more(&mut self) {}

        fn wait<'a>(_: impl Iterator<Item = &'a Script>, _: u32) {}
    }

    fn live(scripts: Vec<(Vec<Result<usize, &'static str>>, Counted)>, enough: bool) -> Live<Script> {
        let interface = |(n, (parts, counted)): (usize, (Vec<_>, Counted))| Interface {
            name: format!("if{n}").into(),
            tap: Some(Script { parts: parts.into(), counted }),
            read: 0,
            bytes: 0,
            counted: Counted::default(),
            unread: 0,
        };
        Live {
            interfaces: scripts.into_iter().enumerate().map(interface).collect(),
            ready: VecDeque::new(),
            enough: Box::new(move || enough),
            next_number: 1,
            damage: Vec::new(),
        }
    }

    /// Number of the first packet and number of packets of every block, to the end.
    fn blocks(live: &mut Live<Script>) -> Vec<(u64, usize)> {
        std::iter::from_fn(|| live.next_block()).map(|block| (block.first_number, block.packets.len())).collect()
    }

    #[test]
    fn blocks_are_of_the_usual_size_and_numbered_through() {
        let all = Counted { kept: 3002, ..Counted::default() };
        let mut live = live(vec![(vec![Ok(3000), Err("gone"), Ok(2)], all)], false);
        assert_eq!(blocks(&mut live), [(1, 1024), (1025, 1024), (2049, 952), (3001, 2)]);
        let damage = Damage { input: "if0".to_owned(), offset: 6004, reason: "gone".to_owned(), fatal: false };
        assert_eq!(live.damage(), [damage]);
        assert_eq!(live.losses(), Losses::default(), "what was kept when it went was read");
    }

    #[test]
    fn the_others_go_on_when_one_goes_away() {
        let kept = |kept| Counted { kept, ..Counted::default() };
        let gone = || Err("gone");
        let mut live = live(vec![(vec![gone()], kept(0)), (vec![Ok(1), Ok(0), Ok(5), gone()], kept(6))], false);
        let read: usize = blocks(&mut live).iter().map(|(_, packets)| packets).sum();
        assert_eq!(read, 6);
        assert_eq!(
            live.damage().iter().map(|d| (d.input.as_str(), d.fatal)).collect::<Vec<_>>(),
            [("if0", true), ("if1", false)]
        );
    }

    #[test]
    fn what_is_kept_is_read_before_the_end_and_the_rest_is_named() {
        let counted = Counted { kept: 10, dropped: 4, interface_dropped: 0, full: 2 };
        let mut live = live(vec![(vec![Ok(3), Ok(4)], counted)], true);
        assert_eq!(blocks(&mut live), [(1, 3), (4, 4)]);
        let losses = live.losses();
        assert_eq!(losses.packets, BTreeMap::from([("kernel.ring-dropped", 4), ("kernel.ring-unread", 3)]));
        assert_eq!(losses.limits, BTreeMap::from([("kernel.ring-full", 2)]));
    }

    #[test]
    fn a_quiet_interface_gives_empty_blocks() {
        let mut live = live(vec![(Vec::new(), Counted::default())], false);
        let block = live.next_block().unwrap();
        assert!(block.packets.is_empty());
        assert_eq!((block.first_number, &*block.input), (1, "if0"));
    }

    #[test]
    fn one_interface_is_not_listened_to_twice() {
        let interfaces = ["eth0", "eth1", "eth0"].map(str::to_owned);
        for through in [Through::Ring, Through::Libpcap] {
            let how = Listen { interfaces: &interfaces, through, promiscuous: false, ring_bytes: 0, filter: None };
            let refused = listen(&how, Box::new(|| true)).err().map(|e| e.to_string());
            assert_eq!(refused.as_deref(), Some("eth0: named more than once"));
        }
    }
}
