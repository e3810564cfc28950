//! An interface through libpcap: where there is no ring, and to compare the ring with.
//!
//! In: an interface. Out: its packets, copied. libpcap also compiles the filter of the ring, on
//! the interface itself, so that it knows where the kernel keeps the VLAN tag.

use std::time::Duration;

#[cfg(not(target_os = "linux"))]
use pcap::Device;
use pcap::{Active, Capture, Inactive, Precision};

#[cfg(target_os = "linux")]
use super::super::bpf::Instruction;
use super::super::filter;
use super::super::{BLOCK_PACKETS_MAX, FilterError, LinkType, Packet};
use super::{Counted, Listen, LiveError, Part};
use crate::time::Time;

/// Longest packet: nothing is cut.
const SNAP_BYTES: i32 = 262_144;
/// Packets are handed over after so long, so that a quiet link is read.
const RETIRE_MILLISECONDS: i32 = 50;
/// libpcap has no wait that a signal ends on every system: it is asked this often.
const PAUSE: Duration = Duration::from_millis(5);
/// libpcap waits for an interface that is down to come back: after so many times without a packet
/// it is looked for.
const IDLE_MAX: u32 = 100;

/// A capture that never waits.
pub(super) struct Tap {
    #[cfg(target_os = "linux")]
    inode: String,
    #[cfg(not(target_os = "linux"))]
    interface: String,
    idle: u32,
    capture: Capture<Active>,
    link: LinkType,
}

impl super::Tap for Tap {
    /// On the loopback it drops every second packet itself, and counting differs by system.
    const HANDS_OVER_ALL: bool = false;

    fn take(&mut self) -> Result<Option<Part>, String> {
        let (mut bytes, mut packets) = (Vec::new(), Vec::new());
        let link = self.link;
        let read = self.capture.dispatch(Some(BLOCK_PACKETS_MAX), |packet| {
            // Nanoseconds were asked for: they stand where microseconds would. The width of both
            // numbers differs by system.
            #[allow(clippy::useless_conversion)]
            let time = Time::new(packet.header.ts.tv_sec.into(), packet.header.ts.tv_usec.into());
            let captured = u32::try_from(packet.data.len()).unwrap_or(u32::MAX);
            packets.push(Packet {
                time,
                start: bytes.len(),
                captured,
                original: packet.header.len,
                link,
                interface: 0,
            });
            bytes.extend_from_slice(packet.data);
        });
        self.idle = if packets.is_empty() { self.idle.saturating_add(1) } else { 0 };
        match read {
            _ if !packets.is_empty() => Ok(Some((bytes, packets))),
            Err(error) => Err(words(&error)),
            Ok(_) if self.idle >= IDLE_MAX && self.is_down() => Err("the interface went down or is gone".to_owned()),
            Ok(_) => Ok(None),
        }
    }

    fn counted(&mut self) -> Counted {
        let Ok(stats) = self.capture.stats() else { return Counted::default() };
        Counted {
            kept: stats.received.saturating_sub(stats.dropped).into(),
            dropped: stats.dropped.into(),
            interface_dropped: stats.if_dropped.into(),
            ..Counted::default()
        }
    }

    fn refuse_more(&mut self) {}

    fn wait<'a>(_: impl Iterator<Item = &'a Tap>) -> u32 {
        std::thread::sleep(PAUSE);
        PAUSE.as_millis() as u32
    }
}

/// The number under which the kernel lists the socket of a capture.
#[cfg(target_os = "linux")]
fn inode(capture: &Capture<Active>) -> String {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;
    let socket = std::fs::metadata(format!("/proc/self/fd/{}", capture.as_raw_fd()));
    socket.map(|socket| socket.ino().to_string()).unwrap_or_default()
}

impl Tap {
    pub(super) fn open(interface: &str, listen: &Listen<'_>) -> Result<Tap, LiveError> {
        let buffer = i32::try_from(listen.ring_bytes).map_err(|_| LiveError::Refused {
            interface: interface.to_owned(),
            what: "size the buffer",
            reason: "libpcap takes less than 2 GiB".to_owned(),
        })?;
        if let Some(expression) = listen.filter {
            filter::check(expression)?;
        }
        let capture = inactive(interface)?.buffer_size(buffer).promisc(listen.promiscuous);
        let mut capture = capture.open().map_err(|error| refused(interface, "listen", &error))?;
        if let Some(expression) = listen.filter {
            capture.filter(expression, true).map_err(|error| invalid(expression, &error))?;
        }
        let capture = capture.setnonblock().map_err(|error| refused(interface, "listen without waiting", &error))?;
        let link = u16::try_from(capture.get_datalink().0).unwrap_or(u16::MAX);
        Ok(Tap {
            #[cfg(target_os = "linux")]
            inode: inode(&capture),
            #[cfg(not(target_os = "linux"))]
            interface: interface.to_owned(),
            idle: 0,
            capture,
            link: LinkType(link),
        })
    }

    /// Asks the kernel whether packets come to the socket. libpcap would make new sockets to look at the interface, and in
    /// the sandbox there are none to be had.
    #[cfg(target_os = "linux")]
    fn is_down(&mut self) -> bool {
        self.idle = 0;
        let sockets = std::fs::read_to_string("/proc/self/net/packet").unwrap_or_default();
        sockets.lines().any(|line| {
            // sk RefCnt Type Proto Iface R Rmem User Inode
            let mut fields = line.split_whitespace();
            fields.nth(5) == Some("0") && fields.nth(2) == Some(&self.inode)
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn is_down(&mut self) -> bool {
        self.idle = 0;
        let up = |devices: Vec<Device>| devices.iter().any(|d| d.name == self.interface && d.flags.is_up());
        // Where they cannot be listed, nothing is known.
        Device::list().is_ok_and(|devices| !up(devices))
    }
}

/// The filter of a ring on this interface.
#[cfg(target_os = "linux")]
pub(super) fn instructions(expression: &str, interface: &str) -> Result<Vec<Instruction>, LiveError> {
    let capture = inactive(interface)?.promisc(false);
    let capture = capture.open().map_err(|error| refused(interface, "compile the filter", &error))?;
    let program = capture.compile(expression, true).map_err(|error| invalid(expression, &error))?;
    let Some(instructions) = filter::instructions(&program) else {
        let message = "libpcap made a program that cannot be read".to_owned();
        return Err(FilterError::Invalid { expression: expression.to_owned(), message }.into());
    };
    Ok(instructions)
}

fn inactive(interface: &str) -> Result<Capture<Inactive>, LiveError> {
    let capture = Capture::from_device(interface).map_err(|error| refused(interface, "open it", &error))?;
    Ok(capture.snaplen(SNAP_BYTES).timeout(RETIRE_MILLISECONDS).precision(Precision::Nano))
}

fn invalid(expression: &str, error: &pcap::Error) -> LiveError {
    FilterError::Invalid { expression: expression.to_owned(), message: words(error) }.into()
}

fn refused(interface: &str, what: &'static str, error: &pcap::Error) -> LiveError {
    // libpcap has a code for each of these, which the binding does not show; its words are stable.
    let (interface, reason) = (interface.to_owned(), words(error));
    match reason.to_ascii_lowercase() {
        text if text.contains("no such device") => LiveError::Unknown(interface),
        text if text.contains("not permitted") || text.contains("permission") => LiveError::NotPermitted(interface),
        text if text.contains("is not up") || text.contains("network is down") => LiveError::Down(interface),
        _ => LiveError::Refused { interface, what, reason },
    }
}

fn words(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(message) => message.clone(),
        other => other.to_string(),
    }
}
