//! When a flow is over, told from packet time alone.
//!
//! In: the state of a flow and the time of its own next packet. Out: whether that packet starts a
//! new flow. The clock of another flow never closes one, so records do not depend on how packets
//! are shared out. A flow that nothing follows is closed at the end of its source.

use super::key::protocol;
use crate::time::{SECOND, Time};

/// A TCP flow is over after this long without a packet.
pub const TCP_IDLE_SECONDS: i64 = 3600;
/// A TCP flow that was closed or reset takes late packets for this long.
pub const TCP_CLOSED_SECONDS: i64 = 60;
/// Any other flow is over after this long without a packet.
pub const OTHER_IDLE_SECONDS: i64 = 300;

/// Whether a packet at `now` no longer belongs to a flow whose last packet was at `last`.
#[inline]
pub fn is_over(proto: u8, closed: bool, last: Time, now: Time) -> bool {
    let idle = match proto {
        protocol::TCP if closed => TCP_CLOSED_SECONDS,
        protocol::TCP => TCP_IDLE_SECONDS,
        _ => OTHER_IDLE_SECONDS,
    };
    now.since(last) > idle * SECOND
}
