//! The one place that sends: `bench live`, into an interface that was named for it.
//!
//! In: Ethernet frames. Out: the same on an interface, through the kernel's ring, or through libpcap where that is
//! refused; how many, and which way.

use super::live::LiveError;
use super::live::rings::refused;
use super::ring::tx::{self, TxRing};

/// Frames go out through it.
pub(crate) struct Sender {
    way: Way,
    interface: String,
    /// Why it is not the ring.
    refusal: Option<String>,
}

enum Way {
    Ring(TxRing),
    #[cfg(feature = "libpcap")]
    Libpcap {
        capture: pcap::Capture<pcap::Active>,
        handed: u64,
    },
}

impl Sender {
    /// Opens an interface for sending.
    pub(crate) fn open(interface: &str) -> Result<Sender, LiveError> {
        let (what, error) = match TxRing::open(interface) {
            Ok(ring) => return Ok(Sender { way: Way::Ring(ring), interface: interface.to_owned(), refusal: None }),
            Err(refusal) => refusal,
        };
        let refusal = refused(interface, what, &error);
        if !matches!(refusal, LiveError::Refused { .. }) {
            return Err(refusal);
        }
        #[cfg(feature = "libpcap")]
        if let Ok(capture) = pcap::Capture::from_device(interface).and_then(pcap::Capture::open) {
            let (interface, refusal) = (interface.to_owned(), Some(refusal.to_string()));
            return Ok(Sender { way: Way::Libpcap { capture, handed: 0 }, interface, refusal });
        }
        Err(refusal)
    }

    /// Longest frame.
    pub(crate) fn frame_bytes_max(&self) -> Result<usize, LiveError> {
        tx::frame_bytes_max(&self.interface).map_err(|error| self.failed("read the MTU", error))
    }

    /// Which way frames go, in words.
    pub(crate) fn way(&self) -> String {
        match (&self.way, &self.refusal) {
            (Way::Ring(ring), _) if ring.is_past_the_queue() => "PACKET_TX_RING past the queue".to_owned(),
            (Way::Ring(_), _) => "PACKET_TX_RING through the queue of the interface".to_owned(),
            #[cfg(feature = "libpcap")]
            (Way::Libpcap { .. }, refusal) => format!("libpcap ({})", refusal.as_deref().unwrap_or("no ring")),
        }
    }

    /// Puts a frame where it goes out from. False: there is no room yet.
    pub(crate) fn put(&mut self, frame: &[u8]) -> Result<bool, LiveError> {
        match &mut self.way {
            Way::Ring(ring) => Ok(ring.put(frame)),
            #[cfg(feature = "libpcap")]
            Way::Libpcap { capture, handed } => match capture.sendpacket(frame) {
                Ok(()) => {
                    *handed = handed.saturating_add(1);
                    Ok(true)
                }
                Err(error) if error.to_string().to_ascii_lowercase().contains("no buffer space") => Ok(false),
                Err(error) => Err(self.failed("send", error)),
            },
        }
    }

    /// Has what was put there go out.
    pub(crate) fn send(&mut self) -> Result<(), LiveError> {
        match &mut self.way {
            Way::Ring(ring) => ring.send().map_err(|error| refused(&self.interface, "send", &error)),
            #[cfg(feature = "libpcap")]
            Way::Libpcap { .. } => Ok(()),
        }
    }

    /// Whether everything has gone out.
    pub(crate) fn is_done(&self) -> bool {
        match &self.way {
            Way::Ring(ring) => ring.is_empty(),
            #[cfg(feature = "libpcap")]
            Way::Libpcap { .. } => true,
        }
    }

    /// Frames that were taken for sending; and how often the interface dropped one of them that was then sent again.
    pub(crate) fn counts(&self) -> (u64, u64) {
        match &self.way {
            Way::Ring(ring) => (ring.handed(), ring.refused()),
            #[cfg(feature = "libpcap")]
            Way::Libpcap { handed, .. } => (*handed, 0),
        }
    }

    fn failed(&self, what: &'static str, error: impl std::fmt::Display) -> LiveError {
        LiveError::Refused { interface: self.interface.clone(), what, reason: error.to_string() }
    }
}
