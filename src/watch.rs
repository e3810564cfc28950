//! Watching a run: where its time goes.
//!
//! In: marks that the packet path makes as work passes. Out: whatever the watcher makes of them; the clock is the
//! watcher's. An ordinary run is watched by `()`, which costs nothing.

/// The stages of the packet path, in the order in which a packet goes through them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Walking the records of a capture.
    Capture,
    /// Link, network and transport headers.
    Decode,
    /// Finding the flow and counting.
    Flow,
    /// Ordering the first bytes, recognising protocols, reading facts, fingerprints.
    Parse,
    /// Signatures, places and sums of a flow that ended.
    Match,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Stage; 5] = [Stage::Capture, Stage::Decode, Stage::Flow, Stage::Parse, Stage::Match];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Capture => "capture",
            Stage::Decode => "decode",
            Stage::Flow => "flow",
            Stage::Parse => "parse",
            Stage::Match => "match",
        }
    }
}

/// Told what a run is doing.
pub trait Watch {
    /// All work since the last mark was of this stage.
    fn lap(&mut self, stage: Stage);
    /// A block of packets was handed over.
    fn block_begins(&mut self);
    /// All packets of the block went through.
    fn block_ends(&mut self);
    /// A flow that ended was judged; whether a signature matched.
    fn judged(&mut self, matched: bool);
}

impl Watch for () {
    #[inline(always)]
    fn lap(&mut self, _: Stage) {}
    #[inline(always)]
    fn block_begins(&mut self) {}
    #[inline(always)]
    fn block_ends(&mut self) {}
    #[inline(always)]
    fn judged(&mut self, _: bool) {}
}
