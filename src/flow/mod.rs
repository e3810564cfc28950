//! Flows.
pub mod key;
