//! Tunnels inside IP: named here, so that the ledger and the flow can say what was not opened.
//!
//! In: an IP protocol number. Out: the name of the tunnel, if it is one. The flow of the outer
//! addresses is kept and counted like any other.

/// The tunnel that this IP protocol number stands for (IANA protocol numbers).
pub fn name(protocol: u8) -> Option<&'static str> {
    match protocol {
        4 => Some("ipip"),
        41 => Some("6in4"),
        47 => Some("gre"),
        50 => Some("esp"),
        51 => Some("ah"),
        115 => Some("l2tp"),
        137 => Some("mpls-in-ip"),
        _ => None,
    }
}
