//! Reports beside each other.
