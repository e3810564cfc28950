//! MPLS labels and what is behind the last.
//!
//! In: a frame at the first label. Out: what the network layer makes of the IP packet behind the labels, or the link
//! layer of an Ethernet frame. Nothing says which it is: IP is told by its version, a frame only when it holds an IP
//! packet that nothing else looks like, behind a control word or not. Sources: RFC 3032, RFC 4385, RFC 4448, RFC 4928.

use super::tunnel::{ethernet_is_certain, ip_is_certain};
use super::{Frame, Reason, Refused, Segment, link, network};

/// Labels read before a packet is given up.
const LABELS_MAX: usize = 16;
const LABEL_BYTES: usize = 4;
const CONTROL_WORD_BYTES: usize = 4;

/// Reads labels down to the last, and what follows.
pub(super) fn stack(mut frame: Frame<'_>) -> Result<Segment, Refused> {
    for _ in 0..LABELS_MAX {
        let &[_, _, bottom, _] = frame.rest().first_chunk::<LABEL_BYTES>().ok_or(Reason::LinkTruncated)?;
        frame = frame.skip(LABEL_BYTES);
        if bottom & 1 == 1 {
            return behind(frame);
        }
    }
    Err(Reason::TunnelDepth.into())
}

/// Whether labels stand here and something certain behind the last, in bytes of which `wire` were there before they were
/// captured: labels alone are in any bytes.
pub(super) fn is_stack(bytes: &[u8], wire: usize) -> bool {
    let labels = bytes.as_chunks::<LABEL_BYTES>().0.iter().take(LABELS_MAX);
    let Some(above) = labels.into_iter().position(|[_, _, bottom, _]| bottom & 1 == 1) else { return false };
    let at = above.saturating_add(1).saturating_mul(LABEL_BYTES);
    let certain = |at: usize, stands: fn(&[u8], usize) -> bool| {
        stands(bytes.get(at..).unwrap_or_default(), wire.saturating_sub(at))
    };
    certain(at, ip_is_certain)
        || certain(at, ethernet_is_certain)
        || certain(at.saturating_add(CONTROL_WORD_BYTES), ethernet_is_certain)
}

fn behind(frame: Frame<'_>) -> Result<Segment, Refused> {
    let rest = frame.rest();
    let version = rest.first().map(|first| first >> 4);
    if ip_is_certain(rest, rest.len()) {
        return network::decode(frame);
    }
    let control_word = frame.skip(CONTROL_WORD_BYTES);
    let certain = |bytes: &[u8]| ethernet_is_certain(bytes, bytes.len());
    if version == Some(0) && certain(control_word.rest()) {
        return link::ethernet(control_word);
    }
    if certain(rest) {
        return link::ethernet(frame);
    }
    match version {
        Some(4 | 6) => network::decode(frame),
        _ => Err(Reason::LinkTunnel.into()),
    }
}
