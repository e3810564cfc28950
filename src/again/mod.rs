//! What was read before, judged again: reports merged into one, flow records against the signatures of today.
//!
//! In: reports or flow records, and what to judge by. Out: a report as if all of it had been read at once.

mod merge;
mod recheck;

pub use merge::{MergeError, Merged, Named, merge};
pub use recheck::Recheck;
