//! Fragments of IP packets: told apart here, counted by the ledger, not put together yet.
//!
//! In: the field with flags and offset. Out: whether the packet is only a part of one.
//! Sources: RFC 791 section 3.1, RFC 8200 section 4.5, RFC 6946 (atomic fragments).

const IPV4_MORE_AND_OFFSET: u16 = 0x3fff;
const IPV6_OFFSET_AND_MORE: u16 = 0xfff9;

/// Whether an IPv4 packet with these flags and offset is a fragment.
#[inline]
pub fn ipv4(flags_and_offset: u16) -> bool {
    flags_and_offset & IPV4_MORE_AND_OFFSET != 0
}

/// Whether an IPv6 packet with this fragment header is a fragment; an atomic one is whole.
#[inline]
pub fn ipv6(offset_and_more: u16) -> bool {
    offset_and_more & IPV6_OFFSET_AND_MORE != 0
}
