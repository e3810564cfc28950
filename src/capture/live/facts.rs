//! What is known of an interface before it is listened to.
//!
//! In: its name. Out: its state, what its card and the kernel do to packets before they are read, what it lost so far. It
//! is asked and nothing is changed.

use super::LiveError;

/// State of an interface. `None`: its driver does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Kind of hardware: an ARPHRD_ value of Linux.
    pub hardware: u16,
    /// The ring reads such hardware.
    pub ring_reads: bool,
    /// It was set up.
    pub up: bool,
    /// Something is at the other end of its cable.
    pub carrier: bool,
    /// Longest IP packet.
    pub mtu: u32,
    /// The kernel merges packets that were received.
    pub gro: Option<bool>,
    /// The kernel splits what this host sends.
    pub gso: Option<bool>,
    /// The card splits what this host sends.
    pub tso: Option<bool>,
    /// The card merges packets that were received.
    pub lro: Option<bool>,
    /// The card takes VLAN tags out of frames.
    pub tags_beside: Option<bool>,
    /// Receive queues.
    pub queues: Option<u32>,
    /// Packets that it dropped since it exists.
    pub dropped: Option<u64>,
}

/// Asks about an interface.
///
/// # Errors
/// There is none of that name, or the system does not say.
#[cfg(target_os = "linux")]
pub fn facts(interface: &str) -> Result<Facts, LiveError> {
    let asked = super::super::ring::ask(interface);
    let asked = asked.map_err(|error| super::rings::refused(interface, "ask about the interface", &error))?;
    Ok(Facts {
        hardware: asked.hardware,
        ring_reads: super::rings::reads(asked.hardware),
        up: asked.up,
        carrier: asked.carrier,
        mtu: asked.mtu,
        gro: asked.gro,
        gso: asked.gso,
        tso: asked.tso,
        lro: asked.lro,
        tags_beside: asked.tags_beside,
        queues: asked.queues,
        dropped: super::counters::dropped(interface),
    })
}

/// Asks about an interface; Linux only.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn facts(_: &str) -> Result<Facts, LiveError> {
    Err(LiveError::Unavailable("anything that can be checked beforehand"))
}
