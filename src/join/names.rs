//! Names of addresses, learnt from DNS answers.
//!
//! In: which client was told which name for which address, and when. Out: the best name for an
//! address as one client would know it at one time.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::collect::Names;
use crate::merge::Map;
use crate::time::Time;

/// A name and when it was first told.
type Told = (Time, Arc<str>);

/// Names by client and address.
#[derive(Default)]
pub struct NameBook {
    by_client: Map<(IpAddr, IpAddr), Vec<Told>>,
    /// Names told to anybody, for clients whose own answers were not captured.
    by_address: Map<IpAddr, BTreeSet<Arc<str>>>,
}

impl NameBook {
    /// Orders what was gathered.
    pub fn new(names: Names) -> NameBook {
        let mut book = NameBook::default();
        for ((client, address), told) in names {
            let list: Vec<Told> = told.iter().map(|(seen, name)| (seen.time, name.clone())).collect();
            book.by_address.entry(address).or_default().extend(list.iter().map(|(_, name)| name.clone()));
            book.by_client.insert((client, address), list);
        }
        book
    }

    /// Whether this client was told that this name has this address.
    pub fn was_told(&self, client: IpAddr, address: IpAddr, name: &str) -> bool {
        self.by_client.get(&(client, address)).is_some_and(|told| told.iter().any(|(_, n)| &**n == name))
    }

    /// The name for `address` as `client` knew it at `time`: the latest answer before, else the
    /// first after it, else the one name that anybody was told.
    pub fn name(&self, client: IpAddr, address: IpAddr, time: Time) -> Option<&str> {
        if let Some(told) = self.by_client.get(&(client, address)) {
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
        let book = NameBook::new(names);
        assert_eq!(book.name(client, address, Time(15)), Some("old.example"));
        assert_eq!(book.name(client, address, Time(25)), Some("new.example"));
        assert_eq!(book.name(client, address, Time(5)), Some("old.example"));
        assert_eq!(book.name(other, address, Time(25)), None, "two names, nobody knows which");
        assert_eq!(book.name(client, other, Time(25)), None);
    }
}
