//! Fragments: whatever the order, nothing wrong is ever put together, and every packet is accounted for.

use etherparse::defrag::IpDefragPool;

use super::*;
use crate::decode::fragments::{
    FRAGMENT_BYTES_MAX, FRAGMENT_DATAGRAMS_MAX, FRAGMENT_PIECES_MAX, FRAGMENT_SECONDS, FRAGMENT_SPREAD_SECONDS,
    Fragments, LEVELS_MAX, Whole,
};
use crate::time::SECOND;

const MORE: u16 = 0x2000;
const LAST: u16 = 0;

/// A table that is fed packets, with what came out.
struct Run {
    table: Fragments,
    wholes: Vec<Whole>,
    /// First fragments of those that were given up.
    fronts: Vec<Whole>,
    packets: u64,
    time: i64,
}

impl Run {
    fn new() -> Run {
        Run::within(FRAGMENT_BYTES_MAX)
    }

    fn within(bytes_max: usize) -> Run {
        Run { table: Fragments::new(bytes_max), wholes: Vec::new(), fronts: Vec::new(), packets: 0, time: 0 }
    }

    fn feed(&mut self, bytes: &[u8]) -> &mut Run {
        self.feed_cut(bytes, bytes.len())
    }

    fn feed_all(&mut self, parts: &[Vec<u8>]) {
        for part in parts {
            self.feed(part);
        }
    }

    /// Feeds the first `captured` bytes of an IP packet.
    fn feed_cut(&mut self, bytes: &[u8], captured: usize) -> &mut Run {
        self.feed_as(&bytes[..captured], link::types::RAW)
    }

    fn feed_as(&mut self, bytes: &[u8], link: LinkType) -> &mut Run {
        self.packets += 1;
        self.time += 1000;
        let packet = Packet { time: Time(self.time), ..packet(bytes, link) };
        match decode(bytes, &packet, self.packets) {
            Err(Refused::Piece(piece)) => self.wholes.extend(self.table.take(&piece, bytes)),
            other => panic!("{other:?}"),
        }
        self
    }

    fn wait(&mut self, seconds: i64) -> &mut Run {
        self.time += seconds * SECOND;
        self
    }

    fn count(&self, reason: Reason) -> u64 {
        self.table.counts[reason as usize]
    }

    /// Ends it: every packet became part of a datagram, or is what is read of one, or has a reason.
    fn finish(&mut self) -> &mut Run {
        self.table.finish();
        self.fronts = self.table.fronts();
        let refused: u64 = self.table.counts.iter().sum();
        let read = self.wholes.len() + self.fronts.len();
        assert_eq!(self.packets, read as u64 + refused, "{:?}", self.table.counts);
        self
    }

    fn payloads(&self) -> Vec<&[u8]> {
        self.wholes.iter().map(payload).collect()
    }
}

fn payload(whole: &Whole) -> &[u8] {
    let at = whole.segment.payload;
    &whole.bytes[at..at + whole.segment.payload_len as usize]
}

/// An IPv4 packet with these fields; `offset` in bytes.
fn v4(id: u16, flags: u16, offset: usize, protocol: u8, part: &[u8]) -> Vec<u8> {
    let mut bytes = ipv4(protocol, part);
    bytes[4..6].copy_from_slice(&id.to_be_bytes());
    bytes[6..8].copy_from_slice(&(flags | (offset / 8) as u16).to_be_bytes());
    bytes
}

/// An IPv6 packet with a fragment header behind these extension headers, the first of which is `first`.
fn v6(id: u32, more: bool, offset: usize, next: u8, chain: (u8, &[u8]), part: &[u8]) -> Vec<u8> {
    let (first, before) = chain;
    let field = (offset as u16) | u16::from(more);
    let [high, low] = field.to_be_bytes();
    let mut body = before.to_vec();
    body.extend_from_slice(&[next, 0, high, low]);
    body.extend_from_slice(&id.to_be_bytes());
    body.extend_from_slice(part);
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend_from_slice(&(body.len() as u16).to_be_bytes());
    bytes.extend_from_slice(&[first, 64]);
    bytes.extend_from_slice(&[1; 16]);
    bytes.extend_from_slice(&[2; 16]);
    bytes.extend_from_slice(&body);
    bytes
}

/// A UDP datagram with its checksum, over the addresses of [`ipv4`].
fn datagram(payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u16 + 8;
    let mut bytes = [&[0x30, 0x39, 0x10, 0xe1][..], &len.to_be_bytes(), &[0, 0], payload].concat();
    let header = etherparse::UdpHeader { source_port: 12345, destination_port: 4321, length: len, checksum: 0 };
    let sum = header.calc_checksum_ipv4_raw([198, 51, 100, 1], [198, 51, 100, 2], payload).unwrap();
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|n| b'a' + (n % 23) as u8).collect()
}

/// The fragments of a payload, cut before these places.
fn cut(id: u16, whole: &[u8], places: &[usize]) -> Vec<Vec<u8>> {
    let ends: Vec<usize> = places.iter().copied().chain([whole.len()]).collect();
    let begins = [0].into_iter().chain(places.iter().copied());
    let flags = |end: usize| if end == whole.len() { LAST } else { MORE };
    begins.zip(ends).map(|(begin, end)| v4(id, flags(end), begin, protocol::UDP, &whole[begin..end])).collect()
}

#[test]
fn three_fragments_in_every_order_are_one_datagram() {
    let text = text(100);
    let parts = cut(7, &datagram(&text), &[24, 64]);
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut run = Run::new();
        order.iter().for_each(|&n| {
            run.feed(&parts[n]);
        });
        run.finish();
        assert_eq!(run.payloads(), [&text[..]], "{order:?}");
        let segment = &run.wholes[0].segment;
        assert_eq!(addresses(segment), ("198.51.100.1".parse().unwrap(), 12345, "198.51.100.2".parse().unwrap(), 4321));
        assert_eq!((segment.packets, segment.ip_bytes, segment.number), (3, 3 * 20 + 108, 3));
        assert_eq!((segment.fragments, segment.payload_cut, segment.time), (Fragmented::Joined, 0, Time(3000)));
        assert_eq!(run.count(Reason::FragmentJoined), 2);
    }
}

proptest! {
    #[test]
    fn any_cuts_in_any_order_with_repetitions(
        len in 1usize..700,
        cuts in prop::collection::btree_set(1usize..88, 1..12),
        order in prop::collection::vec(any::<u32>(), 60),
        repeated in prop::collection::vec(0usize..12, 0..6),
        six: bool,
    ) {
        let text = text(len);
        let whole = datagram(&text);
        let places: Vec<usize> = cuts.iter().map(|n| n * 8).filter(|&n| n < whole.len()).collect();
        prop_assume!(!places.is_empty());
        let mut parts = match six {
            false => cut(7, &whole, &places),
            true => {
                let ends: Vec<usize> = places.iter().copied().chain([whole.len()]).collect();
                let begins = [0].into_iter().chain(places.iter().copied());
                begins
                    .zip(ends)
                    .map(|(a, b)| v6(7, b != whole.len(), a, 17, (44, &[]), &whole[a..b]))
                    .collect()
            }
        };
        let count = parts.len();
        for n in repeated {
            parts.push(parts[n % count].clone());
        }
        let mut ordered: Vec<(u32, Vec<u8>)> = order.into_iter().zip(parts).collect();
        ordered.sort();
        let mut run = Run::new();
        let mut theirs = IpDefragPool::<u32, ()>::new();
        let mut their_payload = None;
        for (time, part) in &ordered {
            run.feed(part);
            let sliced = SlicedPacket::from_ip(part).unwrap();
            if let Some(done) = theirs.process_sliced_packet(&sliced, *time, ()).unwrap() {
                their_payload.get_or_insert(done.payload);
            }
        }
        run.finish();
        prop_assert_eq!(run.payloads(), [&text[..]]);
        prop_assert_eq!(their_payload, Some(whole));
        prop_assert_eq!(run.count(Reason::FragmentDuplicate) as usize, ordered.len() - count);
    }

    // What a table is fed, in whatever mix: every packet is accounted for, and nothing has a hole.
    #[test]
    fn any_fragments_at_all(
        pieces in prop::collection::vec((0u16..3, 0usize..20, 1usize..60, any::<bool>(), any::<u8>()), 1..80),
    ) {
        let mut run = Run::within(20_000);
        for (id, at, len, more, fill) in pieces {
            if at == 0 && !more {
                continue;
            }
            run.feed(&v4(id, if more { MORE } else { LAST }, at * 8, 200, &vec![fill; len]));
            prop_assert!(run.table.heap_bytes() <= 20_000);
        }
        run.finish();
        for whole in &run.wholes {
            prop_assert_eq!(payload(whole).len(), whole.bytes.len());
        }
    }
}

#[test]
fn repetitions_are_counted_and_change_nothing_even_when_they_are_late() {
    let parts = cut(7, &datagram(&text(50)), &[24]);
    let mut run = Run::new();
    for n in [0, 0, 1, 1, 0] {
        run.feed(&parts[n]);
    }
    run.finish();
    assert_eq!(run.wholes.len(), 1);
    assert_eq!(run.count(Reason::FragmentDuplicate), 3);
    assert_eq!(run.wholes[0].segment.packets, 2);
}

#[test]
fn what_contradicts_is_flagged_and_the_first_bytes_stand() {
    let text = text(80);
    let whole = datagram(&text);
    let parts = cut(7, &whole, &[24, 64]);
    let mut other = whole.clone();
    other[24..64].fill(b'X');
    let forged = cut(7, &other, &[24, 64]);
    let mut after = Run::new();
    after.feed(&parts[0]).feed(&parts[1]).feed(&forged[1]).feed(&parts[2]).finish();
    assert_eq!((after.payloads(), after.wholes[0].segment.fragments), (vec![&text[..]], Fragmented::Conflict));
    let mut before = Run::new();
    before.feed(&forged[1]).feed(&parts[1]).feed(&parts[0]).feed(&parts[2]).finish();
    assert_eq!((before.payloads(), before.wholes[0].segment.fragments), (vec![&other[8..]], Fragmented::Conflict));
    // A stretch over two parts of which one contradicts, and that fills what is between them.
    let mut between = Run::new();
    let stretch = v4(7, MORE, 16, protocol::UDP, &other[16..72]);
    between.feed(&v4(7, MORE, 0, protocol::UDP, &whole[..32])).feed(&v4(7, LAST, 64, protocol::UDP, &whole[64..]));
    between.feed(&stretch).finish();
    let mut expected = whole.clone();
    expected[32..64].fill(b'X');
    assert_eq!((between.payloads(), between.wholes[0].segment.fragments), (vec![&expected[8..]], Fragmented::Conflict));
    // The same bytes at other borders contradict nothing.
    let mut same = Run::new();
    same.feed(&parts[0]).feed(&v4(7, MORE, 16, protocol::UDP, &whole[16..64])).feed(&parts[2]).finish();
    assert_eq!((same.payloads(), same.wholes[0].segment.fragments), (vec![&text[..]], Fragmented::Joined));
}

#[test]
fn two_ends_contradict() {
    let whole = datagram(&text(80));
    let mut run = Run::new();
    run.feed(&v4(7, LAST, 64, protocol::UDP, &whole[64..]));
    run.feed(&v4(7, LAST, 64, protocol::UDP, &whole[64..72]));
    run.feed(&v4(7, MORE, 88, protocol::UDP, &[0; 16]));
    run.feed(&v4(7, MORE, 0, protocol::UDP, &whole[..64]));
    run.finish();
    assert_eq!((run.payloads(), run.wholes[0].segment.fragments), (vec![&whole[8..]], Fragmented::Conflict));
    // An end before bytes that are there is none.
    let mut early = Run::new();
    early.feed(&v4(7, MORE, 64, protocol::UDP, &whole[64..72]));
    early.feed(&v4(7, LAST, 8, protocol::UDP, &whole[8..16])).feed(&v4(7, MORE, 0, protocol::UDP, &whole[..8]));
    early.finish();
    assert_eq!((early.wholes.len(), early.fronts.len(), early.count(Reason::FragmentIncomplete)), (0, 1, 2));
    assert_eq!(early.fronts[0].segment.fragments, Fragmented::Conflict);
    // The last fragment may bring nothing but the end.
    let mut known = Run::new();
    known.feed(&v4(7, MORE, 0, protocol::UDP, &whole)).feed(&v4(7, LAST, 80, protocol::UDP, &whole[80..])).finish();
    assert_eq!((known.payloads(), known.wholes[0].segment.fragments), (vec![&whole[8..]], Fragmented::Joined));
}

#[test]
fn a_hole_is_never_accepted_and_the_first_fragment_is_read_as_a_cut_packet() {
    let text = text(200);
    let parts = cut(7, &datagram(&text), &[24, 64, 128, 192]);
    for missing in 0..parts.len() {
        let mut run = Run::new();
        for (n, part) in parts.iter().enumerate() {
            if n != missing {
                run.feed(part);
            }
        }
        run.finish();
        let fronts = usize::from(missing != 0);
        assert_eq!((run.wholes.len(), run.fronts.len()), (0, fronts), "{missing}");
        assert_eq!(run.count(Reason::FragmentIncomplete) as usize, 4 - fronts, "{missing}");
        for front in &run.fronts {
            let segment = &front.segment;
            assert_eq!((payload(front), segment.payload_cut), (&text[..16], 184), "{missing}");
            assert_eq!((segment.packets, segment.ip_bytes, segment.number, segment.time), (1, 44, 1, Time(1000)));
            assert_eq!((segment.fragments, addresses(segment).1), (Fragmented::First, 12345));
        }
    }
}

#[test]
fn a_first_fragment_that_cannot_be_read_has_its_own_reason() {
    let mut run = Run::new();
    run.feed(&v4(7, MORE, 0, protocol::TCP, &[0; 8])).feed(&v4(7, MORE, 16, protocol::TCP, &[0; 8])).finish();
    assert_eq!((run.count(Reason::TcpTruncated), run.count(Reason::FragmentIncomplete)), (1, 1));
    // A tunnel in it is opened, as far as it goes.
    let outer = [&[0, 0, 8, 0][..], &inner()].concat();
    let mut tunnel = Run::new();
    tunnel.feed(&v4(7, MORE, 0, 47, &outer[..48])).finish();
    assert_eq!((tunnel.fronts.len(), tunnel.fronts[0].segment.tunnels.names().collect::<Vec<_>>()), (1, vec!["gre"]));
    // Of a fragment in a fragment nothing is read.
    let part = cut(7, &datagram(&text(100)), &[64]).swap_remove(0);
    let mut both = Run::new();
    both.feed(&v4(1, MORE, 0, 47, &[&[0, 0, 8, 0][..], &part[..60]].concat())).finish();
    assert_eq!((both.fronts.len(), both.count(Reason::FragmentIncomplete)), (0, 1));
}

#[test]
fn an_id_is_used_again() {
    let (old, new) = (text(60), vec![b'N'; 60]);
    let (old_parts, new_parts) = (cut(7, &datagram(&old), &[24, 48]), cut(7, &datagram(&new), &[24, 48]));
    // After the old one was whole, and its last fragment came twice.
    let mut run = Run::new();
    for part in old_parts.iter().chain([&old_parts[2]]).chain(&new_parts) {
        run.feed(part);
    }
    run.finish();
    assert_eq!(run.payloads(), [&old[..], &new[..]]);
    assert!(run.wholes.iter().all(|whole| whole.segment.fragments == Fragmented::Joined));
    // After the old one lost its first fragment: what would be half old and half new is no datagram.
    let mut run = Run::new();
    run.feed(&old_parts[1]).feed(&old_parts[2]).wait(FRAGMENT_SPREAD_SECONDS + 1);
    new_parts.iter().for_each(|part| {
        run.feed(part);
    });
    run.finish();
    assert_eq!((run.payloads(), run.count(Reason::FragmentMixed)), (vec![&new[..]], 2));
    // After long silence the old one is given up.
    let mut run = Run::new();
    run.feed(&old_parts[0]).wait(FRAGMENT_SECONDS + 1);
    run.feed(&old_parts[1]).feed(&old_parts[2]).finish();
    assert_eq!((run.wholes.len(), run.fronts.len(), run.count(Reason::FragmentIncomplete)), (0, 1, 2));
    // A slow sender is none of this.
    let mut run = Run::new();
    run.feed(&old_parts[0]).wait(FRAGMENT_SECONDS - 1).feed(&old_parts[1]).wait(FRAGMENT_SECONDS - 1);
    run.feed(&old_parts[2]).finish();
    assert_eq!(run.payloads(), [&old[..]]);
    // Time that runs backwards gives up nothing.
    let mut run = Run::new();
    run.wait(1000).feed(&old_parts[0]).wait(-900).feed(&old_parts[1]).feed(&old_parts[2]).finish();
    assert_eq!(run.payloads(), [&old[..]]);
}

#[test]
fn a_budget_in_bytes_and_in_datagrams_is_kept_and_named() {
    let mut run = Run::within(100_000);
    for id in 0..5000u16 {
        run.feed(&v4(id, MORE, usize::from(id % 2) * 8, protocol::UDP, &[0; 64]));
        assert!(run.table.heap_bytes() <= 100_000);
    }
    let given_up = run.table.fronts();
    assert!(given_up.len() > 2000 && run.count(Reason::FragmentBudget) > 2000, "{}", given_up.len());
    run.packets -= given_up.len() as u64;
    // Newer ones are still put together, and what is old is not blamed on the budget.
    let parts = cut(9999, &datagram(&text(50)), &[24]);
    run.feed(&parts[0]).feed(&parts[1]).wait(FRAGMENT_SECONDS + 1);
    assert_eq!(run.wholes.len(), 1);
    for id in 0..5000u16 {
        run.feed(&v4(id, MORE, 8, protocol::UDP, &[0; 64]));
    }
    assert!(run.count(Reason::FragmentIncomplete) > 0);
    run.finish();
    let mut many = Run::new();
    for id in 0..FRAGMENT_DATAGRAMS_MAX as u32 + 10 {
        many.feed(&v6(id, true, 8, 17, (44, &[]), &[0; 8]));
    }
    assert_eq!(many.count(Reason::FragmentBudget), 10);
    many.finish();
}

/// An ID that was used again is as old as its second use: what began before that is given up first.
#[test]
fn the_budget_takes_what_began_first() {
    let mut run = Run::within(20_000);
    let (first, second) = (datagram(&text(60)), datagram(&[b'N'; 60]));
    run.feed_all(&cut(1, &first, &[24]));
    run.feed(&cut(2, &datagram(&[b'2'; 60]), &[24])[0]);
    run.feed(&cut(1, &second, &[32])[0]);
    let mut given_up = Vec::new();
    for id in 100..2000 {
        run.feed(&v4(id, MORE, 8, protocol::UDP, &[0; 64]));
        given_up.extend(run.table.fronts());
    }
    let starts: Vec<&[u8]> = given_up.iter().map(payload).collect();
    assert_eq!((run.payloads(), starts), (vec![&text(60)[..]], vec![&[b'2'; 16][..], &[b'N'; 24][..]]));
}

#[test]
fn a_datagram_in_too_many_pieces_is_given_up() {
    let most = FRAGMENT_PIECES_MAX as usize;
    let in_pieces = |id: u16, pieces: usize| {
        let whole = datagram(&text(8 * pieces - 8));
        cut(id, &whole, &(8..whole.len()).step_by(8).collect::<Vec<_>>())
    };
    let mut run = Run::new();
    run.feed_all(&in_pieces(1, most));
    assert_eq!((run.wholes.len(), run.count(Reason::FragmentPieces)), (1, 0));
    let before = run.table.heap_bytes();
    // One more, in any order and with late copies of the first.
    let mut parts = in_pieces(2, most + 1);
    parts.reverse();
    parts.extend_from_within(..3);
    run.feed_all(&parts);
    assert_eq!((run.wholes.len(), run.count(Reason::FragmentPieces)), (1, most as u64 + 4));
    assert!(run.table.heap_bytes() < before + 1000, "nothing of it is kept");
    // Its ID is good for another after some time.
    run.wait(FRAGMENT_SECONDS + 1).feed_all(&in_pieces(2, 3));
    assert_eq!(run.finish().wholes.len(), 2);
}

#[test]
fn flags_that_say_nothing_change_nothing() {
    // "Do not fragment" on the last one, as some senders have it, and the reserved bit.
    for bits in [0x4000u16, 0x8000, 0xc000] {
        let text = text(40);
        let whole = datagram(&text);
        let mut run = Run::new();
        run.feed(&v4(7, MORE | bits, 0, protocol::UDP, &whole[..24])).feed(&v4(
            7,
            bits,
            24,
            protocol::UDP,
            &whole[24..],
        ));
        assert_eq!(run.finish().payloads(), [&text[..]]);
    }
}

#[test]
fn a_first_fragment_may_be_too_small_for_its_header() {
    let packet = tcp_packet(0, false, b"payload")[34..].to_vec();
    let mut run = Run::new();
    for at in (0..packet.len()).step_by(8) {
        let end = packet.len().min(at + 8);
        let flags = if end == packet.len() { LAST } else { MORE };
        run.feed(&v4(7, flags, at, protocol::TCP, &packet[at..end]));
    }
    assert_eq!(run.finish().payloads(), [b"payload"]);
    let segment = &run.wholes[0].segment;
    assert_eq!((segment.seq, addresses(segment).1, addresses(segment).3), (1000, 40000, 443));
}

#[test]
fn lengths_and_places_that_cannot_be_are_refused() {
    let mut run = Run::new();
    // Not a multiple of eight, nothing at all, beyond the end of any datagram.
    run.feed(&v4(1, MORE, 0, protocol::UDP, &[0; 18])).feed(&v4(2, MORE, 8, protocol::UDP, &[]));
    run.feed(&v4(3, LAST, 65_528, protocol::UDP, &[0; 8])).feed(&v6(4, false, 65_528, 17, (44, &[]), &[0; 8]));
    assert_eq!(run.finish().count(Reason::FragmentMalformed), 4);
    let mut no_length = v4(1, MORE, 0, protocol::UDP, &[0; 16]);
    no_length[2..4].fill(0);
    assert_eq!(read(&no_length, link::types::RAW), Err(Reason::FragmentMalformed));
    // The longest that can be.
    let mut longest = Run::new();
    let whole = vec![7; 65_515];
    longest.feed(&v4(5, MORE, 0, 200, &whole[..32_000])).feed(&v4(5, LAST, 32_000, 200, &whole[32_000..]));
    assert_eq!(longest.finish().payloads(), [&whole[..]]);
}

#[test]
fn a_cut_is_told_and_nothing_behind_it_is_read() {
    let text = text(100);
    let parts = cut(7, &datagram(&text), &[24, 64]);
    let mut run = Run::new();
    run.feed(&parts[2]).feed_cut(&parts[1], 20 + 10).feed(&parts[0]).finish();
    assert_eq!(run.payloads(), [&text[..16 + 10]]);
    let segment = &run.wholes[0].segment;
    assert_eq!((segment.payload_cut, segment.ip_bytes), (74, 168));
}

#[test]
fn what_is_whole_and_cannot_be_read_has_its_own_reason() {
    let mut run = Run::new();
    run.feed(&v4(7, MORE, 0, protocol::TCP, &[0; 8])).feed(&v4(7, LAST, 8, protocol::TCP, &[0; 4])).finish();
    assert_eq!((run.count(Reason::TcpTruncated), run.count(Reason::FragmentJoined)), (1, 1));
}

#[test]
fn ipv6_chains_before_and_behind_the_fragment_header() {
    let udp = [0, 53, 0, 53, 0, 20, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let options = [17, 0, 1, 4, 0, 0, 0, 0];
    let inside = [&options[..], &udp].concat();
    let routing = [44, 0, 0, 0, 0, 0, 0, 0];
    let mut run = Run::new();
    // The protocol is what the first fragment says, not the one that came first (RFC 8200, section 4.5).
    run.feed(&v6(9, false, 16, 6, (43, &routing), &inside[16..]));
    run.feed(&v6(9, true, 0, 60, (43, &routing), &inside[..16])).finish();
    assert_eq!(run.payloads(), [&udp[8..]]);
    assert_eq!(run.wholes[0].segment.key.protocol(), protocol::UDP);
    // Another ID, other addresses, another VLAN: another datagram.
    let mut apart = Run::new();
    apart.feed(&v6(9, true, 0, 17, (44, &[]), &udp[..16])).feed(&v6(10, false, 16, 17, (44, &[]), &udp[16..]));
    let tag = |vlan: u8, packet: &[u8]| [&[0; 12][..], &[0x81, 0, 0, vlan, 8, 0], packet].concat();
    let parts = cut(7, &datagram(&text(40)), &[24]);
    apart.feed_as(&tag(1, &parts[0]), link::types::ETHERNET).feed_as(&tag(2, &parts[1]), link::types::ETHERNET);
    assert_eq!((apart.finish().wholes.len(), apart.count(Reason::FragmentIncomplete)), (0, 2));
    assert_eq!(apart.fronts.iter().map(|front| front.segment.vlan).collect::<Vec<_>>(), [None, Some(1)]);
    let mut together = Run::new();
    together.feed_as(&tag(1, &parts[0]), link::types::ETHERNET).feed_as(&tag(1, &parts[1]), link::types::ETHERNET);
    assert_eq!((together.finish().wholes[0].segment.vlan, together.wholes[0].segment.macs), (Some(1), Some(0)));
}

#[test]
fn tunnels_in_fragments_and_fragments_in_tunnels() {
    let gre = |packet: &[u8]| [&[0, 0, 8, 0][..], packet].concat();
    // The tunnel's packet was fragmented.
    let outer = gre(&inner());
    let mut run = Run::new();
    run.feed(&v4(1, MORE, 0, 47, &outer[..24])).feed(&v4(1, LAST, 24, 47, &outer[24..])).finish();
    assert_eq!(run.payloads(), [b"payload"]);
    let segment = &run.wholes[0].segment;
    assert_eq!((segment.packets, segment.ip_bytes, segment.fragments), (1, 47, Fragmented::Joined));
    assert_eq!(segment.tunnels.names().collect::<Vec<_>>(), ["gre"]);
    // What is in it was; and both.
    let text = text(100);
    let parts: Vec<Vec<u8>> = cut(7, &datagram(&text), &[64]).iter().map(|part| gre(part)).collect();
    let mut inside = Run::new();
    parts.iter().for_each(|part| {
        inside.feed(&ipv4(47, part));
    });
    assert_eq!(inside.finish().payloads(), [&text[..]]);
    assert_eq!((inside.wholes[0].segment.packets, inside.wholes[0].segment.ip_bytes), (2, 148));
    let mut both = Run::new();
    for (id, part) in parts.iter().enumerate() {
        both.feed(&v4(id as u16, MORE, 0, 47, &part[..32])).feed(&v4(id as u16, LAST, 32, 47, &part[32..]));
    }
    assert_eq!(both.finish().payloads(), [&text[..]]);
    assert_eq!(both.count(Reason::FragmentJoined), 3);
    // The same fragments between other ends of the tunnel are of another datagram.
    let mut apart = Run::new();
    let mut elsewhere = ipv4(47, &parts[1]);
    elsewhere[19] = 99;
    apart.feed(&ipv4(47, &parts[0])).feed(&elsewhere);
    assert_eq!(apart.finish().wholes.len(), 0);
}

/// Datagrams that are fragments of datagrams are put together up to a depth, and of deeper ones it is said.
#[test]
fn fragments_in_fragments() {
    let nested = |levels: usize| {
        let mut run = Run::new();
        let mut parts = cut(0, &datagram(&text(1000)), &[504]);
        for level in 0..levels {
            parts = parts
                .iter()
                .zip((0u16..).map(|n| 100 * (level as u16 + 1) + n))
                .flat_map(|(part, id)| [v4(id, MORE, 0, 4, &part[..16]), v4(id, LAST, 16, 4, &part[16..])])
                .collect();
        }
        parts.iter().for_each(|part| {
            run.feed(part);
        });
        (run.finish().payloads().len(), run.count(Reason::TunnelDepth))
    };
    assert_eq!(nested(1), (1, 0));
    assert_eq!(nested(LEVELS_MAX), (1, 0));
    let (read, refused) = nested(LEVELS_MAX + 1);
    assert!(read == 0 && refused > 0, "{read} {refused}");
}
