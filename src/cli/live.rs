//! What can be typed behind `live`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::RunArgs;
use crate::output::parse_size;

/// `bordertap live`.
#[derive(Debug, Args)]
pub struct LiveArgs {
    /// An interface to listen on; may be given several times
    #[arg(short, long = "interface", required = true, value_name = "IFACE")]
    pub interfaces: Vec<String>,

    /// Stop after this time: 30s, 5m, 1h, 1h30m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,

    /// Through what: the ring is the kernel's own and is there on Linux only
    #[arg(long, value_enum, default_value_t = if cfg!(target_os = "linux") { Through::Ring } else { Through::Libpcap })]
    pub capture: Through,

    /// Kernel memory for packets that wait to be read, for each interface
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_ring_size)]
    pub ring_size: u64,

    /// Take packets for other hosts too; this is the default
    #[arg(long, overrides_with = "no_promisc")]
    pub promisc: bool,

    /// Take only what comes to this host anyway
    #[arg(long)]
    pub no_promisc: bool,

    /// How it is read and judged, and where results go
    #[command(flatten)]
    pub run: RunArgs,
}

/// Through what packets come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Through {
    /// The kernel's ring of packets.
    Ring,
    /// libpcap.
    Libpcap,
}

/// Smallest ring.
const RING_BYTES_MIN: u64 = 128 << 10;

pub(super) fn parse_ring_size(text: &str) -> Result<u64, String> {
    parse_size(text).and_then(|size| if size < RING_BYTES_MIN { Err("at least 128KiB".to_owned()) } else { Ok(size) })
}

/// A time that is longer than nothing, from `30s`, `5m`, `1h30m`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let read: jiff::SignedDuration = text.parse().map_err(|_| format!("`{text}` is no time; write 30s, 5m or 1h"))?;
    let positive = if read.is_positive() { Duration::try_from(read).ok() } else { None };
    positive.ok_or_else(|| "longer than nothing, please".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_has_a_smallest_size() {
        assert_eq!(parse_ring_size("1MiB"), Ok(1 << 20));
        assert!(parse_ring_size("64KiB").is_err());
    }

    #[test]
    fn times_are_read() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert!(parse_duration("0s").is_err());
        assert!(parse_duration("-5s").is_err());
        assert!(parse_duration("soon").is_err());
    }
}
