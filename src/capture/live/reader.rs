//! A [`Source`] over interfaces, whatever packets come through.
//!
//! In: an open tap on each interface. Out: blocks in the order of time, numbered; at the end what the kernel has kept until
//! then, and the rest as losses. The sources of several workers share what is said of an interface as a whole.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::super::{Block, Bytes, Damage, Losses, Source};
use super::merging::{HOLD_MILLISECONDS, Merging, Run};
use super::{Counted, Enough, Part, Tap};

/// At the end: waits for packets that are in the kernel and not handed over yet, and their length.
const LAST_WAITS_MAX: u32 = 40;
const LAST_WAIT: Duration = Duration::from_millis(10);

/// What all taps of one interface have in common.
struct Whole {
    /// Taps that have not ended.
    open: AtomicUsize,
    read: AtomicU64,
    bytes: AtomicU64,
    /// Why there are no more packets.
    failed: OnceLock<String>,
}

struct Interface<T> {
    name: Arc<str>,
    // `None`: it has ended.
    tap: Option<T>,
    whole: Arc<Whole>,
    read: u64,
    bytes: u64,
    counted: Counted,
    /// Packets that were kept and not handed over when it ended.
    unread: u64,
}

/// A [`Source`] over interfaces.
pub(super) struct Live<T> {
    interfaces: Vec<Interface<T>>,
    merging: Merging,
    enough: Enough,
    /// Number of the next packet, among all sources.
    number: Arc<AtomicU64>,
    /// Milliseconds since something came.
    quiet: u32,
    damage: Vec<Damage>,
}

impl<T: Tap> Live<T> {
    /// A source for each list of taps; a list has one for each interface.
    pub(super) fn sources(names: &[String], taps: Vec<Vec<T>>, enough: &Enough) -> Vec<Box<dyn Source>> {
        let sources = Live::over(names, taps, enough).into_iter();
        sources.map(|source| Box::new(source) as Box<dyn Source>).collect()
    }

    fn over(names: &[String], taps: Vec<Vec<T>>, enough: &Enough) -> Vec<Live<T>> {
        let number = Arc::new(AtomicU64::new(1));
        let whole = |name: &String| {
            let open = AtomicUsize::new(taps.len());
            let whole = Whole { open, read: AtomicU64::new(0), bytes: AtomicU64::new(0), failed: OnceLock::new() };
            (Arc::<str>::from(name.as_str()), Arc::new(whole))
        };
        let wholes: Vec<_> = names.iter().map(whole).collect();
        let source = |taps: Vec<T>| {
            let interface = |(tap, (name, whole)): (T, &(Arc<str>, Arc<Whole>))| {
                let (name, whole, counted) = (name.clone(), whole.clone(), Counted::default());
                Interface { name, tap: Some(tap), whole, read: 0, bytes: 0, counted, unread: 0 }
            };
            let merging = Merging::new(taps.len());
            let interfaces = taps.into_iter().zip(&wholes).map(interface).collect();
            let (enough, number) = (enough.clone(), number.clone());
            Live { interfaces, merging, enough, number, quiet: 0, damage: Vec::new() }
        };
        taps.into_iter().map(source).collect()
    }

    /// Takes what is there, from each in turn; whether there was something.
    fn take_all(&mut self) -> bool {
        let mut some = false;
        self.merging.begin_round();
        for (n, interface) in self.interfaces.iter_mut().enumerate() {
            let Some(tap) = &mut interface.tap else { continue };
            match tap.take() {
                Ok(Some(part)) => {
                    some = true;
                    interface.keep(n, part, &mut self.merging);
                }
                Ok(None) => {}
                Err(reason) => {
                    some = true;
                    let _ = interface.whole.failed.set(reason);
                    self.damage.extend(interface.end(n, &mut self.merging));
                }
            }
        }
        some
    }

    /// Takes what is there, and waits for it when there is nothing.
    fn fetch(&mut self) {
        if self.take_all() {
            self.quiet = 0;
            return;
        }
        let taps = self.interfaces.iter().filter_map(|interface| interface.tap.as_ref());
        let waited = T::wait(taps);
        self.quiet = if self.take_all() { 0 } else { self.quiet.saturating_add(waited) };
        if self.quiet >= HOLD_MILLISECONDS {
            self.merging.is_quiet();
        }
    }

    fn end_all(&mut self) {
        // All at once: the end of one takes its time.
        for tap in self.interfaces.iter_mut().filter_map(|interface| interface.tap.as_mut()) {
            tap.refuse_more();
        }
        for (n, interface) in self.interfaces.iter_mut().enumerate() {
            self.damage.extend(interface.end(n, &mut self.merging));
        }
    }

    fn has_ended(&self) -> bool {
        self.interfaces.iter().all(|interface| interface.tap.is_none())
    }

    /// The next packets that are in order.
    fn ready(&mut self) -> Option<Block> {
        let Run { ring, bytes, packets } = self.merging.next()?;
        let first_number = self.number.fetch_add(packets.len() as u64, Ordering::Relaxed);
        let input = self.interfaces.get(ring)?.name.clone();
        Some(Block { input, bytes: Bytes::Owned(bytes), packets, first_number })
    }
}

impl<T: Tap> Interface<T> {
    /// Counts a part and puts it where packets are put in order.
    fn keep(&mut self, ring: usize, part: Part, merging: &mut Merging) {
        let (_, packets) = &part;
        let read = packets.len() as u64;
        let bytes = packets.iter().fold(0u64, |sum, packet| sum.saturating_add(packet.captured.into()));
        self.read = self.read.saturating_add(read);
        self.bytes = self.bytes.saturating_add(bytes);
        self.whole.read.fetch_add(read, Ordering::Relaxed);
        self.whole.bytes.fetch_add(bytes, Ordering::Relaxed);
        merging.put(ring, part);
    }

    /// Takes what the kernel has kept until now, and ends. The last of all taps says what happened to the interface.
    fn end(&mut self, ring: usize, merging: &mut Merging) -> Option<Damage> {
        let mut tap = self.tap.take()?;
        tap.refuse_more();
        self.counted = tap.counted();
        let kept = self.counted.kept;
        for _ in 0..LAST_WAITS_MAX {
            while self.read < kept
                && let Ok(Some(part)) = tap.take()
            {
                self.keep(ring, part, merging);
            }
            if self.read >= kept {
                break;
            }
            std::thread::sleep(LAST_WAIT);
        }
        if T::HANDS_OVER_ALL {
            self.unread = kept.saturating_sub(self.read);
        }
        merging.end(ring);
        let is_last = self.whole.open.fetch_sub(1, Ordering::AcqRel) == 1;
        let reason = self.whole.failed.get().filter(|_| is_last)?.clone();
        let (read, offset) = (self.whole.read.load(Ordering::Relaxed), self.whole.bytes.load(Ordering::Relaxed));
        Some(Damage { input: self.name.to_string(), offset, reason, fatal: read == 0 })
    }
}

impl<T: Tap> Source for Live<T> {
    fn next_block(&mut self) -> Option<Block> {
        if let Some(block) = self.ready() {
            return Some(block);
        }
        if self.has_ended() {
            return None;
        }
        if (self.enough)() {
            self.end_all();
            return self.ready();
        }
        self.fetch();
        // Nothing came: an empty block, so that whoever waits for the reader gets on.
        self.ready().or_else(|| {
            let input = self.interfaces.first()?.name.clone();
            let first_number = self.number.load(Ordering::Relaxed);
            Some(Block { input, bytes: Bytes::Owned(Arc::default()), packets: Vec::new(), first_number })
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
            let Counted { dropped, interface_dropped, full, kernel_times, .. } = interface.counted;
            losses.packet("interface.dropped", interface_dropped);
            losses.packet("kernel.ring-dropped", dropped);
            losses.packet("kernel.ring-unread", interface.unread);
            losses.limit("kernel.ring-full", full);
            losses.limit("kernel.time-not-hardware", kernel_times);
        }
        losses.limit("capture.out-of-order", self.merging.out_of_order());
        losses
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use super::super::super::{LinkType, Packet};
    use super::*;
    use crate::time::Time;

    /// An interface that gives so many packets at each question, and then ends or goes on.
    struct Script {
        parts: VecDeque<Result<usize, &'static str>>,
        counted: Counted,
    }

    impl Tap for Script {
        const HANDS_OVER_ALL: bool = true;

        fn take(&mut self) -> Result<Option<Part>, String> {
            match self.parts.pop_front() {
                None => Ok(None),
                Some(Err(reason)) => Err(reason.to_owned()),
                Some(Ok(count)) => {
                    let packet =
                        Packet { time: Time(1), start: 0, captured: 2, original: 2, link: LinkType(1), interface: 0 };
                    Ok(Some((vec![0; 2], vec![packet; count])))
                }
            }
        }

        fn counted(&mut self) -> Counted {
            self.counted
        }

        fn refuse_more(&mut self) {}

        fn wait<'a>(_: impl Iterator<Item = &'a Script>) -> u32 {
            50
        }
    }

    fn enough(yes: bool) -> Enough {
        Arc::new(move || yes)
    }

    fn live(scripts: Vec<(Vec<Result<usize, &'static str>>, Counted)>, yes: bool) -> Live<Script> {
        let names: Vec<String> = (0..scripts.len()).map(|n| format!("if{n}")).collect();
        let script = |(parts, counted): (Vec<_>, Counted)| Script { parts: parts.into(), counted };
        let taps = vec![scripts.into_iter().map(script).collect()];
        Live::over(&names, taps, &enough(yes)).pop().unwrap()
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
        let counted = Counted { kept: 10, dropped: 4, full: 2, ..Counted::default() };
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

    /// Two sources, each with a tap on the same two interfaces.
    #[test]
    fn the_last_tap_tells_what_happened_to_the_interface() {
        let kept = |kept| Counted { kept, ..Counted::default() };
        let script = |parts: Vec<Result<usize, &'static str>>, kept| Script { parts: parts.into(), counted: kept };
        let taps = vec![
            vec![script(vec![Ok(3), Err("gone")], kept(3)), script(vec![Ok(1)], kept(1))],
            vec![script(vec![Ok(2), Ok(4), Err("gone")], kept(6)), script(vec![], kept(0))],
        ];
        let names = ["if0", "if1"].map(str::to_owned);
        let mut sources = Live::over(&names, taps, &enough(false));
        let mut numbers = Vec::new();
        for _ in 0..8 {
            for source in &mut sources {
                let block = source.next_block().unwrap();
                numbers.extend((block.first_number..).take(block.packets.len()));
            }
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=10).collect::<Vec<u64>>(), "every number once");
        let damage: Vec<_> = sources.iter().flat_map(|source| source.damage()).collect();
        let told = Damage { input: "if0".to_owned(), offset: 18, reason: "gone".to_owned(), fatal: false };
        assert_eq!(damage, [&told]);
        for source in &mut sources {
            assert_eq!(source.losses(), Losses::default());
        }
    }
}
