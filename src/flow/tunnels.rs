//! What a flow came in: the tunnels around its packets, packed into one word.
//!
//! In: tunnels as the layers open them, outermost first. Out: [`Tunnels`], and their names in that order. VLAN tags are
//! no tunnels here.

macro_rules! tunnels {
    ($($id:ident $name:literal $about:literal;)*) => {
        /// A header that carries another network's packet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Tunnel { $(#[doc = $about] $id),* }

        /// The words in records, in the order of the enum.
        pub const TUNNEL_NAMES: &[&str] = &[$($name),*];
    };
}

tunnels! {
    Ah "ah" "IP authentication header over IPv4: what is behind it is in clear (RFC 4302).";
    Capwap "capwap" "CAPWAP data (RFC 5415).";
    ETag "e-tag" "Bridge port extension tag (IEEE 802.1BR).";
    EtherIp "etherip" "Ethernet in IP (RFC 3378).";
    Erspan "erspan" "ERSPAN I, II or III, the GRE header with it.";
    Geneve "geneve" "Geneve (RFC 8926).";
    Gre "gre" "GRE, over IP or UDP (RFC 2784, RFC 8086).";
    GtpU "gtp-u" "User plane of GTP, version 0 or 1 (3GPP TS 29.281, TS 29.060).";
    IpInIp "ipip" "IPv4 or IPv6 in IPv4 or IPv6 (RFC 2003, RFC 2473, RFC 4213).";
    L2tp "l2tp" "L2TP, version 2 or 3, over UDP or IP (RFC 2661, RFC 3931).";
    Mpls "mpls" "A stack of MPLS labels, over Ethernet, IP or UDP (RFC 3032).";
    Nsh "nsh" "Network service header (RFC 8300).";
    Pbb "pbb" "Provider backbone bridging (IEEE 802.1ah).";
    Pppoe "pppoe" "PPP over Ethernet (RFC 2516).";
    Teredo "teredo" "IPv6 in UDP through address translators (RFC 4380).";
    VnTag "vn-tag" "Cisco's tag of a virtual interface.";
    Vxlan "vxlan" "VXLAN (RFC 7348).";
    VxlanGpe "vxlan-gpe" "VXLAN with a next protocol.";
}

/// Tunnels opened inside each other before a packet is given up.
pub const TUNNELS_MAX: usize = 6;

/// Bits for one tunnel: its number plus one.
const BITS: u32 = 5;
const MASK: u32 = (1 << BITS) - 1;

/// Up to [`TUNNELS_MAX`] tunnels, outermost first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tunnels(u32);

impl Tunnels {
    /// No tunnel.
    pub const NONE: Tunnels = Tunnels(0);

    /// These tunnels and one inside them; `None` when there are too many.
    pub fn and(self, inner: Tunnel) -> Option<Tunnels> {
        if self.len() == TUNNELS_MAX {
            return None;
        }
        Some(Tunnels(self.0 << BITS | (inner as u32 + 1)))
    }

    /// As one number, which only this build reads back.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// What [`Tunnels::bits`] gave.
    pub fn from_bits(bits: u32) -> Tunnels {
        Tunnels(bits)
    }

    /// From the words in records; `None` when one is unknown or there are too many.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Tunnels> {
        names.into_iter().try_fold(Tunnels::NONE, |tunnels, name| {
            let number = TUNNEL_NAMES.iter().position(|known| *known == name)?;
            (tunnels.len() < TUNNELS_MAX).then_some(Tunnels(tunnels.0 << BITS | (number as u32 + 1)))
        })
    }

    /// How many there are.
    pub fn len(self) -> usize {
        (u32::BITS - self.0.leading_zeros()).div_ceil(BITS) as usize
    }

    /// There is none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The words in records, outermost first.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        (0..self.len() as u32).rev().filter_map(move |at| {
            let number = (self.0 >> (at * BITS)) & MASK;
            TUNNEL_NAMES.get(number.checked_sub(1)? as usize).copied()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_outermost_first_and_room_ends() {
        assert_eq!(Tunnels::NONE.names().count(), 0);
        let mut tunnels = Tunnels::NONE;
        let all = [Tunnel::Ah, Tunnel::VxlanGpe, Tunnel::Gre, Tunnel::Ah, Tunnel::Mpls, Tunnel::Vxlan];
        for (n, tunnel) in all.into_iter().enumerate() {
            assert_eq!(tunnels.len(), n);
            tunnels = tunnels.and(tunnel).unwrap();
        }
        let names: Vec<&str> = tunnels.names().collect();
        assert_eq!(names, ["ah", "vxlan-gpe", "gre", "ah", "mpls", "vxlan"]);
        assert_eq!(Tunnels::from_names(names), Some(tunnels));
        assert_eq!((Tunnels::from_names(["rope"]), Tunnels::from_names(["gre"; 7])), (None, None));
        assert_eq!(tunnels.and(Tunnel::Gre), None);
        assert!(TUNNEL_NAMES.len() < MASK as usize && TUNNELS_MAX as u32 * BITS <= u32::BITS);
    }
}
