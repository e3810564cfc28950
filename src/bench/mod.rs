//! `bordertap bench`: how fast this build is on this machine, and where the time goes.

pub mod floor;
pub mod traffic;
