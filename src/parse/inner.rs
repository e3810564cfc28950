//! Another protocol inside a flow: TLS behind STARTTLS, anything behind a proxy.
//!
//! In: the prefix of a side and the offset in it where something else may begin. Out: the facts of what begins there,
//! which reads the rest with offsets of its own. Each side is taken over by itself, so that commands that are cut,
//! sent ahead or not captured at all change nothing.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::fact::{Facts, Side};
use crate::parse::{self, CARRIERS, Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, tls};

/// Bytes of a side behind a proxy that nobody claims, after which nobody will.
pub const UNCLAIMED_BYTES_MAX: usize = 4096;

/// What may begin.
enum Candidates {
    /// This one.
    One(&'static Protocol),
    /// Any protocol over TCP that is not a carrier of this rank or a higher one.
    Behind(usize),
}

/// One side of what is inside.
#[derive(Clone, Copy, Default)]
struct Part {
    /// Offset of its first byte in the prefix.
    begun: Option<usize>,
    /// Some of its bytes were looked at before.
    split: bool,
}

/// What is inside a flow, once it has begun.
pub struct Inner {
    candidates: Candidates,
    parser: Option<Box<dyn Parser>>,
    parts: [Part; 2],
    over: bool,
    /// Port that is asked for inside: a hint for claims, 0 when it is not known.
    pub port: u16,
}

impl Inner {
    /// Only TLS may begin.
    pub fn tls() -> Inner {
        Inner::only(&tls::PROTOCOL)
    }

    /// Only this protocol may begin.
    pub fn only(protocol: &'static Protocol) -> Inner {
        Inner::of(Candidates::One(protocol))
    }

    /// Whatever this carrier may carry. The carriers have ranks and none carries a higher one, so nothing nests
    /// without end.
    pub fn behind(carrier: &'static Protocol) -> Inner {
        let rank = CARRIERS.iter().position(|other| other.name == carrier.name);
        Inner::of(Candidates::Behind(rank.unwrap_or(CARRIERS.len())))
    }

    fn of(candidates: Candidates) -> Inner {
        Inner { candidates, parser: None, parts: Default::default(), over: false, port: 0 }
    }

    fn part(&mut self, side: Side) -> &mut Part {
        side.of_mut(&mut self.parts)
    }

    /// Whether this side has been taken over.
    pub fn has_begun(&mut self, side: Side) -> bool {
        self.part(side).begun.is_some()
    }

    /// Whether something begins at this offset; then [`Inner::feed`] reads on. The bytes that are needed to know
    /// count from the start of the prefix.
    pub fn begins(&mut self, side: Side, at: usize, prefix: Prefix<'_>) -> Claim {
        let rest = prefix.bytes.get(at..).unwrap_or_default();
        let more = Claim::NeedBytes(at.saturating_add(rest.len()).saturating_add(1));
        let claim = match rest {
            [] => more,
            _ => self.claim(side, at, rest, prefix.last),
        };
        match claim {
            Claim::Yes => self.part(side).begun = Some(at),
            Claim::NeedBytes(_) if prefix.last => return Claim::No,
            Claim::NeedBytes(_) => self.part(side).split |= !rest.is_empty(),
            Claim::No => {}
        }
        claim
    }

    /// As [`Inner::begins`], and reads on when something does; without it this side has nothing more to say.
    pub fn enter(&mut self, side: Side, at: usize, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        match self.begins(side, at, prefix) {
            Claim::Yes => self.feed(side, prefix, facts),
            Claim::NeedBytes(bytes) => Progress::NeedBytes(bytes),
            Claim::No => Progress::Done,
        }
    }

    fn claim(&mut self, side: Side, at: usize, rest: &[u8], last: bool) -> Claim {
        let opening = Opening { transport: Transport::Tcp, ports: (0, self.port), side, bytes: rest, last };
        let asked = match self.candidates {
            Candidates::One(protocol) => parse::ask([protocol], &opening),
            Candidates::Behind(rank) => {
                let forbidden = CARRIERS.get(..=rank).unwrap_or(CARRIERS);
                let is_forbidden = |protocol: &Protocol| forbidden.iter().any(|carrier| carrier.name == protocol.name);
                let may = parse::over(Transport::Tcp).iter().copied().filter(|protocol| !is_forbidden(protocol));
                parse::ask(may, &opening)
            }
        };
        match asked {
            Ok(protocol) => {
                self.parser.get_or_insert_with(|| (protocol.parser)(Transport::Tcp));
                Claim::Yes
            }
            Err(Some(bytes)) => Claim::NeedBytes(bytes.max(rest.len().saturating_add(1)).saturating_add(at)),
            Err(None) => Claim::No,
        }
    }

    /// The bytes of this side from an offset on are not the carrier's: finds out whose they are and reads them. Who
    /// was found on one side reads the other one as well.
    pub fn follow(&mut self, side: Side, at: usize, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if !self.has_begun(side) {
            let there = prefix.bytes.len().saturating_sub(at);
            if self.parser.is_some() && there > 0 {
                self.part(side).begun = Some(at);
            } else {
                match self.begins(side, at, prefix) {
                    Claim::Yes => {}
                    Claim::NeedBytes(bytes) => return Progress::NeedBytes(bytes),
                    // The other side may tell what this is.
                    Claim::No if there < UNCLAIMED_BYTES_MAX && !prefix.last => {
                        self.part(side).split = true;
                        return Progress::NeedBytes(prefix.bytes.len().saturating_add(1));
                    }
                    Claim::No => return Progress::Done,
                }
            }
        }
        self.feed(side, prefix, facts)
    }

    /// Hands the bytes of a side that was taken over to the protocol inside.
    pub fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let both = self.parts.iter().all(|part| part.begun.is_some());
        let part = self.part(side);
        let (at, split) = (part.begun.unwrap_or(0), part.split);
        part.split = true;
        if self.over {
            return Progress::Done;
        }
        let Some(parser) = &mut self.parser else { return Progress::Done };
        let inside = Prefix { bytes: prefix.bytes.get(at..).unwrap_or_default(), split, ..prefix };
        match parser.feed(side, inside, facts) {
            Progress::NeedBytes(bytes) if !prefix.last => Progress::NeedBytes(bytes.saturating_add(at)),
            Progress::NeedBytes(_) | Progress::Done => Progress::Done,
            Progress::AllDone | Progress::NotMine => {
                self.over = true;
                // The other side may still have something to say before it is taken over.
                if both { Progress::AllDone } else { Progress::Done }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::UNCLAIMED_BYTES_MAX;
    use crate::parse::socks;
    use crate::parse::testing::{C, S, Talk};

    /// Bytes behind a proxy that nobody claims are waited with up to a limit.
    #[test]
    fn bytes_that_nobody_claims() {
        let talk = |bytes: usize| {
            Talk::new(&socks::PROTOCOL)
                .send(C, b"\x04\x01\x01\xbb\xc0\x00\x02\x07\0")
                .send(S, b"\0\x5a\0\0\0\0\0\0")
                .send(C, &vec![0xee; bytes])
        };
        assert!(!talk(UNCLAIMED_BYTES_MAX - 1).is_done(C) && talk(UNCLAIMED_BYTES_MAX).is_done(C));
    }
}
