//! Flows: both directions between two endpoints, found again for every packet.
//!
//! In: segments. Out: for each the state of its flow, one 64-byte line that is all a packet
//! touches once its parsers are done; rare things hang off it in a cold box.

pub mod community_id;
pub mod expiry;
pub mod key;
pub mod table;
pub mod tunnels;
