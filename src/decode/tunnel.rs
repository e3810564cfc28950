//! Tunnels inside IP and UDP: GTP-U, VXLAN, GRE, IP in IP. The flow is that of the innermost
//! addresses.
//!
//! In: an IP protocol or a UDP port, and the bytes behind that header. Out: where the packet inside
//! starts, or nothing when the bytes are not such a tunnel: then the outer flow is the flow. ESP
//! and other tunnels are not opened; their outer flow is kept and counted. Sources: 3GPP TS 29.281
//! section 5, RFC 7348 section 5, RFC 2784 and RFC 2890, RFC 8086, RFC 2003, RFC 4213.

/// Tunnels opened inside each other before a packet is given up.
pub const TUNNELS_MAX: u8 = 4;

/// What a tunnel carries, and where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// An IP packet at this offset.
    Ip(usize),
    /// An Ethernet frame at this offset.
    Ethernet(usize),
}

/// IANA protocol numbers of tunnels.
mod protocol {
    pub const IPV4: u8 = 4;
    pub const IPV6: u8 = 41;
    pub const GRE: u8 = 47;
}

/// Registered UDP ports of tunnels.
mod port {
    pub const GTP_U: u16 = 2152;
    pub const GRE: u16 = 4754;
    pub const VXLAN: u16 = 4789;
}

/// What a packet with this IP protocol carries.
#[inline]
pub(crate) fn in_ip(number: u8, payload: &[u8]) -> Option<Inside> {
    match number {
        protocol::IPV4 | protocol::IPV6 => starts_ip(payload, 0),
        protocol::GRE => gre(payload),
        _ => None,
    }
}

/// Whether a datagram to this port has to be asked what it carries.
#[inline]
pub(crate) fn may_be_at(to_port: u16) -> bool {
    matches!(to_port, port::GTP_U | port::VXLAN | port::GRE)
}

/// What a datagram to this port carries.
#[inline]
pub(crate) fn in_udp(to_port: u16, payload: &[u8]) -> Option<Inside> {
    match to_port {
        port::GTP_U => gtp_u(payload),
        port::VXLAN => vxlan(payload),
        port::GRE => gre(payload),
        _ => None,
    }
}

/// An IP packet at `at`, when a version and enough bytes for a header stand there.
fn starts_ip(bytes: &[u8], at: usize) -> Option<Inside> {
    let rest = bytes.get(at..)?;
    let enough = match rest.first()? >> 4 {
        4 => rest.len() >= 20,
        6 => rest.len() >= 40,
        _ => false,
    };
    enough.then_some(Inside::Ip(at))
}

/// GTP-U version 1, a message that carries a user's packet.
fn gtp_u(bytes: &[u8]) -> Option<Inside> {
    const USER_PACKET: u8 = 255;
    const HEADER_BYTES: usize = 8;
    let (&flags, &kind) = (bytes.first()?, bytes.get(1)?);
    if flags & 0xf0 != 0x30 || kind != USER_PACKET {
        return None;
    }
    if flags & 0x07 == 0 {
        return starts_ip(bytes, HEADER_BYTES);
    }
    // Sequence number, N-PDU number, next extension header; then extensions in units of four bytes.
    let mut at = HEADER_BYTES.saturating_add(4);
    let mut next = if flags & 0x04 != 0 { *bytes.get(at.saturating_sub(1))? } else { 0 };
    while next != 0 {
        let len = usize::from(*bytes.get(at)?).saturating_mul(4);
        if len == 0 {
            return None;
        }
        at = at.saturating_add(len);
        next = *bytes.get(at.saturating_sub(1))?;
    }
    starts_ip(bytes, at)
}

/// VXLAN: the network identifier bit, the last reserved byte zero. Other flags are ignored, as RFC 7348 says.
fn vxlan(bytes: &[u8]) -> Option<Inside> {
    const HEADER_BYTES: usize = 8;
    match bytes.first_chunk::<HEADER_BYTES>()? {
        [flags, .., 0] if flags & 0x08 != 0 => Some(Inside::Ethernet(HEADER_BYTES)),
        _ => None,
    }
}

/// GRE version 0 with checksum, key and sequence number as the flags say.
fn gre(bytes: &[u8]) -> Option<Inside> {
    const IPV4: u16 = 0x0800;
    const IPV6: u16 = 0x86dd;
    const BRIDGED: u16 = 0x6558;
    let &[flags, version, kind_high, kind_low] = bytes.first_chunk::<4>()?;
    if flags & 0x4f != 0 || version & 0x07 != 0 {
        return None;
    }
    let options = [0x80u8, 0x20, 0x10].iter().filter(|&&bit| flags & bit != 0).count();
    let at = options.saturating_mul(4).saturating_add(4);
    match u16::from_be_bytes([kind_high, kind_low]) {
        IPV4 | IPV6 => starts_ip(bytes, at),
        BRIDGED => Some(Inside::Ethernet(at)),
        _ => None,
    }
}
