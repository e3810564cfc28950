//! Where records of a sensor go.
//!
//! In: lines, as they arise. Out: the same on files, standard output, a socket or the system's log, and a count of those
//! that could not be put there.

/// What became of the records of one output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputCount {
    /// As it was typed.
    pub name: String,
    /// Records that were written.
    pub written: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records that were lost: no room, no reader, an error.
    pub dropped: u64,
    /// What the system said last, when something failed.
    pub error: Option<String>,
}
