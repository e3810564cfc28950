//! Names of addresses, learnt from DNS answers.
//!
//! In: which client was told which name for which address, and when. Out: the best name for an
//! address as one client would know it at one time.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::collect::{NAMES_PER_ADDRESS_MAX, Names};
use crate::merge::Map;
use crate::time::{SECOND, Time};

/// A name and when it was first told.
type Told = (Time, Arc<str>);

/// Names kept by client and address.
pub(super) const NAMES_MAX: usize = 4 << 20;
/// Names that were told longer ago are forgotten then.
const FORGET_SECONDS: i64 = 24 * 3600;

/// What one client was told of one address.
#[derive(Default)]
struct ToldOf {
    names: Vec<Told>,
    last: Time,
}

/// Names by client and address.
#[derive(Default)]
pub struct NameBook {
    by_client: Map<(IpAddr, IpAddr), ToldOf>,
    /// Names told to anybody, for clients whose own answers were not captured.
    by_address: Map<IpAddr, BTreeSet<Arc<str>>>,
}

impl NameBook {
    /// Puts in what was gathered while there is room for `most`; how many there was none for.
    pub(super) fn add(&mut self, names: Names, most: usize) -> usize {
        let mut refused = 0;
        for ((client, address), told) in names {
            if self.by_client.len() >= most && !self.by_client.contains_key(&(client, address)) {
                refused += 1;
                continue;
            }
            let there = self.by_client.entry((client, address)).or_default();
            for (seen, name) in told.iter() {
                there.last = there.last.max(seen.time);
                // Told again it is no news.
                if there.names.last().is_none_or(|(_, before)| before != name) {
                    there.names.push((seen.time, name.clone()));
                }
                let anybody = self.by_address.entry(address).or_default();
                if anybody.len() < NAMES_PER_ADDRESS_MAX {
                    anybody.insert(name.clone());
                }
            }
            let more = there.names.len().saturating_sub(NAMES_PER_ADDRESS_MAX);
            there.names.drain(..more);
        }
        refused
    }

    /// Forgets what was told long before `now`; when `most` are left, all. How much went for want of room.
    pub(super) fn forget(&mut self, now: Time, most: usize) -> usize {
        self.by_client.retain(|_, told| now.since(told.last) < FORGET_SECONDS * SECOND);
        let forgotten = if self.by_client.len() >= most { self.by_client.len() } else { 0 };
        if forgotten > 0 {
            self.by_client.clear();
        }
        self.by_address.clear();
        for ((_, address), told) in &self.by_client {
            let names = told.names.iter().map(|(_, name)| name.clone());
            self.by_address.entry(*address).or_default().extend(names.take(NAMES_PER_ADDRESS_MAX));
        }
        forgotten
    }

    /// Whether this client was told that this name has this address.
    pub fn was_told(&self, client: IpAddr, address: IpAddr, name: &str) -> bool {
        self.by_client.get(&(client, address)).is_some_and(|told| told.names.iter().any(|(_, n)| &**n == name))
    }

    /// The names for which this client was given this address.
    pub fn told(&self, client: IpAddr, address: IpAddr) -> impl Iterator<Item = &str> {
        let told = self.by_client.get(&(client, address)).map_or(&[][..], |told| &told.names);
        told.iter().map(|(_, name)| &**name)
    }

    /// The name for `address` as `client` knew it at `time`: the latest answer before, else the
    /// first after it, else the one name that anybody was told.
    pub fn name(&self, client: IpAddr, address: IpAddr, time: Time) -> Option<&str> {
        if let Some(ToldOf { names: told, .. }) = self.by_client.get(&(client, address)) {
            let before = told.iter().filter(|(at, _)| *at <= time).max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
            return before.or_else(|| told.iter().min()).map(|(_, name)| &**name);
        }
        let anybody = self.by_address.get(&address)?;
        if anybody.len() == 1 { anybody.first().map(|name| &**name) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Seen;

    #[test]
    fn the_latest_answer_before_counts() {
        let (client, other, address): (IpAddr, IpAddr, IpAddr) =
            ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let mut names = Names::default();
        let told = names.entry((client, address)).or_default();
        told.add((Seen { time: Time(10), packet: 1 }, "old.example".into()));
        told.add((Seen { time: Time(20), packet: 2 }, "new.example".into()));
        let mut book = NameBook::default();
        assert_eq!(book.add(names, NAMES_MAX), 0);
        assert_eq!(book.name(client, address, Time(15)), Some("old.example"));
        assert_eq!(book.name(client, address, Time(25)), Some("new.example"));
        assert_eq!(book.name(client, address, Time(5)), Some("old.example"));
        assert_eq!(book.name(other, address, Time(25)), None, "two names, nobody knows which");
        assert_eq!(book.name(client, other, Time(25)), None);
    }

    #[test]
    fn what_was_told_a_day_ago_is_forgotten() {
        let (client, address): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let other: IpAddr = "192.0.2.2".parse().unwrap();
        let hours = |n: i64| Time(n * 3600 * SECOND);
        let mut book = NameBook::default();
        for (address, hour) in [(address, 0), (other, 0), (address, 20)] {
            let mut names = Names::default();
            let told = names.entry((client, address)).or_default();
            told.add((Seen { time: hours(hour), packet: 1 }, "name.example".into()));
            book.add(names, NAMES_MAX);
        }
        assert_eq!(book.forget(hours(25), NAMES_MAX), 0, "nothing for want of room");
        assert_eq!(book.name(client, address, hours(1)), Some("name.example"));
        assert_eq!(book.name(client, other, hours(1)), None);
    }

    /// Where there is no room the first stay until they are old; when all are new and the room is full, all go, and both
    /// are counted.
    #[test]
    fn names_that_are_kept() {
        const MOST: usize = 10;
        let address = |n: usize| IpAddr::from([192, 0, 2, n as u8]);
        let client: IpAddr = "10.0.0.1".parse().unwrap();
        let told = |from: usize, to: usize| {
            let mut names = Names::default();
            for n in from..to {
                let seen = Seen { time: Time(n as i64), packet: n as u64 };
                names.entry((client, address(n))).or_default().add((seen, format!("n{n}.example").into()));
            }
            names
        };
        let mut book = NameBook::default();
        assert_eq!(book.add(told(0, MOST), MOST), 0);
        assert_eq!(book.add(told(MOST - 1, MOST + 3), MOST), 3, "one of them is there");
        assert_eq!(book.by_client.len(), MOST);
        assert_eq!(book.name(client, address(MOST - 1), Time(50)), Some("n9.example"));
        assert_eq!(book.name(client, address(MOST), Time(50)), None);
        assert_eq!(book.forget(Time(50), MOST + 1), 0);
        assert_eq!(book.forget(Time(50), MOST), MOST);
        assert!(book.by_client.is_empty() && book.by_address.is_empty());
    }
}
