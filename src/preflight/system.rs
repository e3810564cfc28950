//! What the system says of an interface, of its card and of memory.
//!
//! In: the name of an interface. Out: lines. Sources: ethtool(8), packet(7), and Documentation/networking/scaling.rst and
//! segmentation-offloads.rst of Linux.

use std::fs;

use super::{Line, Verdict};
use crate::capture::live::{Facts, Listen, LiveError, Through, facts, listen_apart};

/// Part of the memory that is available that rings should not exceed.
const MEMORY_SHARE: u64 = 2;
const MEMORY_TABLE: &str = "/proc/meminfo";

/// One interface, and what is known of it.
pub(super) fn interface(name: &str, how: &Listen<'_>) -> Result<(Vec<Line>, Option<Facts>), LiveError> {
    let facts = match facts(name) {
        Ok(facts) => facts,
        Err(error) => return Ok((vec![refused(error)?], None)),
    };
    let mut lines = vec![state(name, &facts)];
    if !facts.up {
        return Ok((lines, Some(facts)));
    }
    if how.through == Through::Ring && !facts.ring_reads {
        let text = format!("the ring does not read hardware type {}", facts.hardware);
        lines.push(Line::new("hardware", Verdict::Impossible, text).advice("--capture libpcap"));
        return Ok((lines, Some(facts)));
    }
    let one = [name.to_owned()];
    lines.push(capture(&Listen { interfaces: &one, ..how.clone() })?);
    lines.push(mtu(&facts));
    lines.extend(offloads(name, &facts));
    lines.extend(queues(how, &facts));
    lines.extend(dropped(&facts));
    Ok((lines, Some(facts)))
}

/// That something was refused; what makes no sense stays an error.
pub(super) fn refused(error: LiveError) -> Result<Line, LiveError> {
    let line = Line::new("capture", Verdict::Impossible, error.to_string());
    Ok(match error {
        LiveError::Filter(_) | LiveError::Twice(_) | LiveError::Unavailable(_) => return Err(error),
        LiveError::NotPermitted(_) => line.advice("run as root, or setcap cap_net_raw+ep on the program"),
        LiveError::Unknown(_) => line.advice("`ip link` lists those that there are"),
        _ => line,
    })
}

fn state(name: &str, facts: &Facts) -> Line {
    match (facts.up, facts.carrier) {
        (false, _) => Line::new("state", Verdict::Impossible, "it is down").advice(format!("ip link set {name} up")),
        (true, false) => Line::new("state", Verdict::Change, "it is up, and nothing is at the other end of the cable")
            .advice("look at the cable and at the other end: a mirror port may be shut"),
        (true, true) => Line::new("state", Verdict::Good, "it is up and has a carrier"),
    }
}

/// Makes what listening makes, and takes it back at once.
fn capture(how: &Listen<'_>) -> Result<Line, LiveError> {
    match listen_apart(how, 2, || true) {
        Ok(sources) => {
            let with = match sources.len() {
                2 => "rings and groups of rings can be made",
                _ => "it can be listened to",
            };
            let promiscuous = match how.promiscuous {
                true => "packets for other hosts come too",
                false => "only packets for this host come (--no-promisc)",
            };
            Ok(Line::new("capture", Verdict::Good, format!("{with}; {promiscuous}")))
        }
        Err(error) => refused(error),
    }
}

fn mtu(facts: &Facts) -> Line {
    let text = format!("{}: a card may drop longer packets without a word", facts.mtu);
    match facts.mtu {
        0..1500 => Line::new("mtu", Verdict::Change, text)
            .advice("at least 1500, and what the longest frames of the mirror need"),
        _ => Line::new("mtu", Verdict::Good, text),
    }
}

fn offloads(name: &str, facts: &Facts) -> Vec<Line> {
    let mut lines = Vec::new();
    match facts.lro {
        Some(true) => lines.push(
            Line::new(
                "lro",
                Verdict::Change,
                "the card merges packets of others for good: lengths and numbers of packets are not those of the wire, \
                 and a host that forwards must not do that",
            )
            .advice(format!("ethtool -K {name} lro off")),
        ),
        Some(false) => lines.push(Line::new("lro", Verdict::Good, "off: the card merges nothing")),
        None => {}
    }
    match facts.gro {
        Some(true) => lines.push(Line::new(
            "gro",
            Verdict::Good,
            "on: the kernel merges segments of a flow before they are read. That saves work and loses no byte; packets \
             are counted as merged",
        )),
        Some(false) => lines.push(Line::new("gro", Verdict::Good, "off: packets come as they were on the wire")),
        None => {}
    }
    if facts.gso == Some(true) || facts.tso == Some(true) {
        let text = "on for what this host sends itself: it is read before it is split";
        lines.push(Line::new("gso, tso", Verdict::Good, text));
    }
    if let Some(beside) = facts.tags_beside {
        let text = match beside {
            true => "the card takes VLAN tags out; they are put back when a packet is read",
            false => "VLAN tags stay in their frames",
        };
        lines.push(Line::new("vlan tags", Verdict::Good, text));
    }
    lines
}

fn queues(how: &Listen<'_>, facts: &Facts) -> Option<Line> {
    let queues = facts.queues?;
    let text = match how.through {
        Through::Ring => format!(
            "{queues} to receive. Which one a packet comes through does not matter: it is dealt to workers by its pair of \
             addresses, not by the hash of the card"
        ),
        Through::Libpcap => format!("{queues} to receive"),
    };
    Some(Line::new("queues", Verdict::Good, text))
}

fn dropped(facts: &Facts) -> Option<Line> {
    Some(match facts.dropped? {
        0 => Line::new("dropped", Verdict::Good, "the interface has dropped nothing so far"),
        count => Line::new("dropped", Verdict::Note, format!("the interface has dropped {count} packets so far")),
    })
}

/// What is common to all interfaces.
pub(super) fn machine(how: &Listen<'_>) -> Vec<Line> {
    let wanted = how.ring_bytes.saturating_mul(how.interfaces.len() as u64);
    let Some(available) = fs::read_to_string(MEMORY_TABLE).ok().and_then(|table| available(&table)) else {
        return Vec::new();
    };
    let mebibytes = |bytes: u64| bytes >> 20;
    let text = format!("rings take {} MiB of {} MiB that are available", mebibytes(wanted), mebibytes(available));
    vec![match wanted.checked_mul(MEMORY_SHARE) {
        Some(double) if double <= available => Line::new("memory", Verdict::Good, text),
        _ => Line::new("memory", Verdict::Change, text).advice("a smaller --ring-size"),
    }]
}

/// Bytes that can be had without swapping (proc_meminfo(5)).
fn available(table: &str) -> Option<u64> {
    let kibibytes = table.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    kibibytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(lines: &[Line]) -> Vec<(&'static str, Verdict)> {
        lines.iter().map(|line| (line.about, line.verdict)).collect()
    }

    #[test]
    fn a_card_that_merges_is_to_be_told_not_to() {
        let facts = Facts { lro: Some(true), gro: Some(true), tags_beside: Some(true), ..Facts::default() };
        let lines = offloads("eth1", &facts);
        assert_eq!(verdicts(&lines), [("lro", Verdict::Change), ("gro", Verdict::Good), ("vlan tags", Verdict::Good)]);
        assert_eq!(lines[0].advice.as_deref(), Some("ethtool -K eth1 lro off"));
        assert!(offloads("eth1", &Facts::default()).is_empty(), "a driver that says nothing");
    }

    #[test]
    fn an_interface_without_a_cable_and_one_that_is_down() {
        let facts = |up, carrier| Facts { up, carrier, ..Facts::default() };
        assert_eq!(state("eth1", &facts(false, false)).verdict, Verdict::Impossible);
        assert_eq!(state("eth1", &facts(true, false)).verdict, Verdict::Change);
        assert_eq!(state("eth1", &facts(true, true)).verdict, Verdict::Good);
    }

    #[test]
    fn memory_that_is_available_is_read() {
        assert_eq!(available("MemTotal: 5 kB\nMemAvailable:     1024 kB\n"), Some(1 << 20));
        for bad in ["", "MemAvailable: 1", "MemAvailable: x kB", "MemAvailable: 99999999999999999999 kB"] {
            assert_eq!(available(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_short_packet_size_and_drops_are_said() {
        assert_eq!(mtu(&Facts { mtu: 1400, ..Facts::default() }).verdict, Verdict::Change);
        assert_eq!(mtu(&Facts { mtu: 9000, ..Facts::default() }).verdict, Verdict::Good);
        let dropped = |dropped| super::dropped(&Facts { dropped, ..Facts::default() }).map(|line| line.verdict);
        assert_eq!(
            [dropped(None), dropped(Some(0)), dropped(Some(3))],
            [None, Some(Verdict::Good), Some(Verdict::Note)]
        );
    }
}
