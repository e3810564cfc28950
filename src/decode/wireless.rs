//! 802.11 data frames in clear.
//!
//! In: a frame at the frame control field. Out: what follows the EtherType behind LLC and SNAP. Of several frames in one
//! (A-MSDU) the first is read. Source: IEEE 802.11-2020, sections 9.2.4 and 9.3.2.

use super::{Frame, Reason, Refused, Segment, link};

const HEADER_BYTES: usize = 24;
/// Addresses and length in front of each frame of several.
const SUBFRAME_BYTES: usize = 14;

/// Reads a frame; `swapped` when the bytes of the frame control field are the wrong way round.
pub(super) fn decode(frame: Frame<'_>, swapped: bool) -> Result<Segment, Refused> {
    const DATA: u8 = 0x08;
    let &[a, b] = frame.rest().first_chunk().ok_or(Reason::LinkTruncated)?;
    let (control, flags) = if swapped { (b, a) } else { (a, b) };
    let (encrypted, empty) = (flags & 0x40 != 0, control & 0x40 != 0);
    if control & 0x0f != DATA || encrypted || empty {
        return Err(Reason::LinkNotIp.into());
    }
    let four_addresses = flags & 0x03 == 0x03;
    let quality = control & 0x80 != 0;
    let at_quality = HEADER_BYTES.saturating_add(if four_addresses { 6 } else { 0 });
    let mut header = at_quality;
    for (there, bytes) in [(quality, 2), (quality && flags & 0x80 != 0, 4)] {
        header = header.saturating_add(if there { bytes } else { 0 });
    }
    let several = quality && frame.rest().get(at_quality).is_some_and(|byte| byte & 0x80 != 0);
    let mut inner = frame.skip(header);
    if several {
        let &[high, low] = inner.rest().get(12..).and_then(|rest| rest.first_chunk()).ok_or(Reason::LinkTruncated)?;
        inner.macs = Some(inner.at);
        inner = inner.skip(SUBFRAME_BYTES).only(usize::from(u16::from_be_bytes([high, low])));
    }
    link::snap(inner)
}
