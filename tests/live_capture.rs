//! Rings of several workers and several interfaces: what the kernel deals to whom, in which order packets come, that
//! nothing is lost uncounted.
#![cfg(all(target_os = "linux", feature = "libpcap"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bordertap::capture::live::{Listen, SOURCES_MAX, Through, listen_apart};
use bordertap::capture::{LinkType, Source};
use common::packets::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Packet, ethernet, ip, udp};
use common::wire::{
    FAR, GENTLE, NEAR, SETTLED, adds_up, answer, count, demonstration, file, inside, listen, reason, run, send,
    timeless,
};
use serde_json::Value;

/// A second wire.
const NEAR_2: &str = "btap2";
const FAR_2: &str = "btap3";

fn make_second_pair() {
    assert!(common::wire::ip(&["link", "add", "name", NEAR_2, "type", "veth", "peer", "name", FAR_2]));
    for end in [NEAR_2, FAR_2] {
        common::wire::ip(&["link", "set", end, "addrgenmode", "none"]);
        assert!(common::wire::ip(&["link", "set", end, "mtu", "9000"]));
        assert!(common::wire::ip(&["link", "set", end, "up"]));
    }
}

fn how(interfaces: &[String]) -> Listen<'_> {
    Listen {
        interfaces,
        through: Through::Ring,
        promiscuous: true,
        ring_bytes: 16 << 20,
        filter: None,
        fanout: None,
        hardware_times: false,
    }
}

fn names(interfaces: &[&str]) -> Vec<String> {
    interfaces.iter().map(|name| (*name).to_owned()).collect()
}

/// What one source gave: number, interface, time and bytes of every packet; packets lost.
#[derive(Default)]
struct Got {
    packets: Vec<(u64, String, i64, Vec<u8>)>,
    links: BTreeSet<LinkType>,
    lost: BTreeMap<&'static str, u64>,
    limits: BTreeMap<&'static str, u64>,
}

fn read(source: &mut dyn Source) -> Got {
    let mut got = Got::default();
    while let Some(block) = source.next_block() {
        for (packet, number) in block.packets.iter().zip(block.first_number..) {
            let bytes = block.bytes.as_slice()[packet.start..packet.start + packet.captured as usize].to_vec();
            got.packets.push((number, block.input.to_string(), packet.time.0, bytes));
            got.links.insert(packet.link);
        }
    }
    let losses = source.losses();
    (got.lost, got.limits) = (losses.packets, losses.limits);
    got
}

/// Reads so many sources, each on a thread of its own, while packets are sent.
fn gather(how: &Listen<'_>, workers: usize, put: impl FnOnce()) -> Vec<Got> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    let sources = listen_apart(how, workers, move || asked.load(Ordering::Relaxed)).unwrap();
    assert_eq!(sources.len(), workers);
    let threads: Vec<_> =
        sources.into_iter().map(|mut source| std::thread::spawn(move || (read(source.as_mut()), source))).collect();
    put();
    std::thread::sleep(SETTLED);
    stop.store(true, Ordering::Relaxed);
    let done: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    done.into_iter().map(|(got, _)| got).collect()
}

fn total(got: &[Got]) -> usize {
    got.iter().map(|got| got.packets.len()).sum()
}

const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
const B: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// 500 pairs of addresses of both families: frames there, frames back, each with a fragment and in several wrappings.
fn pairs() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for n in 0..500u16 {
        let [high, low] = n.to_be_bytes();
        let ends: [IpAddr; 2] = if n % 2 == 0 {
            [[10, 7, high, low].into(), [198, 51, 100, low].into()]
        } else {
            let address = |net: u16, host: u16| IpAddr::from([0x2001, 0xdb8, net, 0, 0, 0, 0, host]);
            [address(1, n), address(2, n ^ 0x55)]
        };
        let payload = udp((ends[0], 1000 + n).into(), (ends[1], 53).into(), b"a question of some length");
        for (list, from, to, macs) in [(&mut there, ends[0], ends[1], (A, B)), (&mut back, ends[1], ends[0], (B, A))] {
            let packet = ip(from, to, 17, n, &payload);
            let (kind, fragment) = match from {
                IpAddr::V4(_) => {
                    let mut packet = ip(from, to, 17, n, &payload[8..]);
                    packet[6..8].copy_from_slice(&[0, 1]);
                    (ETHERTYPE_IPV4, packet)
                }
                IpAddr::V6(_) => {
                    let header = [&[17, 0, 0, 8, 0, 0, 0, 9][..], &payload[8..]].concat();
                    (ETHERTYPE_IPV6, ip(from, to, 44, n, &header))
                }
            };
            let mut inner = Vec::new();
            for label in [[0, 1, 0, 64], [0, 2, 1, 64]] {
                inner.extend(label);
            }
            inner.extend(&packet);
            list.push(ethernet(macs.0, macs.1, &[], kind, &packet));
            list.push(ethernet(macs.0, macs.1, &[], kind, &fragment));
            list.push(ethernet(macs.0, macs.1, &[7], kind, &packet));
            list.push(ethernet(macs.0, macs.1, &[7, 8], kind, &fragment));
            list.push(ethernet(macs.0, macs.1, &[], 0x8847, &inner));
        }
    }
    (there, back)
}

/// The unordered pair of addresses of a frame, whatever is around them.
fn pair(frame: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut at = 12;
    while frame[at..at + 2] == [0x81, 0] {
        at += 4;
    }
    let packet = match frame[at..at + 2] {
        [0x88, 0x47] => &frame[at + 10..],
        _ => &frame[at + 2..],
    };
    let (mut a, mut b) = match packet[0] >> 4 {
        4 => (packet[12..16].to_vec(), packet[16..20].to_vec()),
        6 => (packet[8..24].to_vec(), packet[24..40].to_vec()),
        other => panic!("IP version {other}"),
    };
    if a > b {
        std::mem::swap(&mut a, &mut b);
    }
    (a, b)
}

fn put_on(wire: &str, frames: &[Vec<u8>]) {
    let mut wire = pcap::Capture::from_device(wire).unwrap().open().unwrap();
    for (n, frame) in frames.iter().enumerate() {
        wire.sendpacket(frame.as_slice()).unwrap();
        if n % 16 == 15 {
            std::thread::sleep(GENTLE);
        }
    }
}

/// As frames go out and as they come in, on one interface and on the two of a tap.
#[test]
fn the_kernel_deals_by_pairs_of_addresses() {
    if !inside("the_kernel_deals_by_pairs_of_addresses") {
        return;
    }
    make_second_pair();
    let (there, back) = pairs();
    for workers in [2, 4] {
        for (interfaces, second, times) in
            [(&[FAR][..], NEAR, 1), (&[NEAR][..], NEAR, 1), (&[FAR, FAR_2][..], NEAR_2, 1), (&[NEAR, FAR][..], NEAR, 2)]
        {
            let interfaces = names(interfaces);
            let got = gather(&how(&interfaces), workers, || {
                put_on(NEAR, &there);
                put_on(second, &back);
            });
            assert_eq!(total(&got), (there.len() + back.len()) * times, "{interfaces:?} with {workers}");
            let numbers: BTreeSet<u64> = got.iter().flat_map(|got| got.packets.iter().map(|p| p.0)).collect();
            assert_eq!(numbers.len(), total(&got), "every number once");
            assert_eq!((numbers.first(), numbers.last()), (Some(&1), Some(&(total(&got) as u64))));
            let mut worker_of = BTreeMap::new();
            for (worker, got) in got.iter().enumerate() {
                for (.., frame) in &got.packets {
                    let first = *worker_of.entry(pair(frame)).or_insert(worker);
                    assert_eq!(first, worker, "{interfaces:?}: {frame:02x?}");
                }
            }
            assert_eq!(worker_of.len(), 500);
            for worker in 0..workers {
                let share = worker_of.values().filter(|&&w| w == worker).count();
                assert!(share > 500 / workers / 2, "{share} of 500 pairs for one of {workers} workers");
            }
        }
    }
}

/// Received and lost by name are what was sent, however many rings and however small.
#[test]
fn nothing_is_lost_uncounted_with_several_rings() {
    if !inside("nothing_is_lost_uncounted_with_several_rings") {
        return;
    }
    let (there, back) = pairs();
    let frames: Vec<&[u8]> = there.iter().chain(&back).map(Vec::as_slice).collect();
    for workers in [1, 2, 4] {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let interfaces = names(&[FAR]);
        let small = Listen { ring_bytes: 256 << 10, ..how(&interfaces) };
        let mut sources = listen_apart(&small, workers, move || asked.load(Ordering::Relaxed)).unwrap();
        // Nobody reads while it is sent.
        send(frames.iter().copied(), Duration::ZERO);
        std::thread::sleep(SETTLED);
        stop.store(true, Ordering::Relaxed);
        let got: Vec<Got> = sources.iter_mut().map(|source| read(source.as_mut())).collect();
        let lost: u64 = got.iter().flat_map(|got| got.lost.values()).sum();
        assert_eq!(total(&got) as u64 + lost, frames.len() as u64, "{workers}: {:?}", got[0].lost);
        let dropped = |name| got.iter().filter_map(|got| got.lost.get(name)).sum::<u64>();
        assert!(dropped("kernel.ring-dropped") > 100, "{workers}");
        // What the rings had no room for is not counted at the interface again, and neither are frames with two tags,
        // which the kernel has no protocol for.
        assert_eq!(dropped("interface.dropped"), 0);
        assert_eq!(dropped("kernel.ring-unread"), 0);
    }
}

/// When one source is no longer read, the others keep what they had: no flow changes its worker.
#[test]
fn a_source_that_ends_early_moves_no_flow() {
    if !inside("a_source_that_ends_early_moves_no_flow") {
        return;
    }
    let (there, back) = pairs();
    let interfaces = names(&[FAR]);
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    // Room for all, for nobody reads until the end.
    let large = Listen { ring_bytes: 256 << 20, ..how(&interfaces) };
    let mut sources = listen_apart(&large, 4, move || asked.load(Ordering::Relaxed)).unwrap();
    put_on(NEAR, &there);
    std::thread::sleep(SETTLED);
    let first = sources.remove(0);
    drop(first);
    put_on(NEAR, &back);
    std::thread::sleep(SETTLED);
    stop.store(true, Ordering::Relaxed);
    let mut all = BTreeSet::new();
    for source in &mut sources {
        let got = read(source.as_mut());
        let pairs: BTreeSet<_> = got.packets.iter().map(|packet| pair(&packet.3)).collect();
        assert_eq!(got.packets.len(), pairs.len() * 10, "there and back, five frames each");
        assert!(pairs.len() > 60 && all.is_disjoint(&pairs));
        all.extend(pairs);
    }
    assert!(all.len() < 440, "those of the one that ended are nobody's");
}

/// Two programs, or two readers of one, with a number share what comes.
#[test]
fn readers_with_one_number_share_an_interface() {
    if !inside("readers_with_one_number_share_an_interface") {
        return;
    }
    let (there, back) = pairs();
    let interfaces = names(&[FAR]);
    let shared = Listen { fanout: Some(4242), ..how(&interfaces) };
    let stop = Arc::new(AtomicBool::new(false));
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    for _ in 0..2 {
        let asked = stop.clone();
        sources.extend(listen_apart(&shared, 1, move || asked.load(Ordering::Relaxed)).unwrap());
    }
    // The number of a group on another interface is refused, and the program says so.
    let other = names(&[NEAR]);
    let taken = listen_apart(&Listen { fanout: Some(4242), ..how(&other) }, 1, || true).err().unwrap();
    assert!(taken.to_string().contains("join the group"), "{taken}");
    put_on(NEAR, &there);
    put_on(NEAR, &back);
    std::thread::sleep(SETTLED);
    stop.store(true, Ordering::Relaxed);
    let got: Vec<Got> = sources.iter_mut().map(|source| read(source.as_mut())).collect();
    assert_eq!(total(&got), there.len() + back.len());
    let of = |got: &Got| got.packets.iter().map(|p| pair(&p.3)).collect::<BTreeSet<_>>();
    let (first, second) = (of(&got[0]), of(&got[1]));
    assert!(first.is_disjoint(&second) && first.len() + second.len() == 500);
    assert!(first.len() > 100 && second.len() > 100);

    let mut listening = listen(&["-i", FAR, "--fanout", "4242", "--duration", "100ms"]);
    assert!(listening.child.wait().is_ok());
}

/// A packet of the loopback goes out and comes in; it is read once, by one of several.
#[test]
fn the_loopback_is_read_once_by_several() {
    if !inside("the_loopback_is_read_once_by_several") {
        return;
    }
    assert!(common::wire::ip(&["link", "set", "lo", "up"]));
    let interfaces = names(&["lo"]);
    let filtered = Listen { filter: Some("udp port 9"), ..how(&interfaces) };
    for how in [&how(&interfaces), &filtered] {
        let got = gather(how, 3, || {
            for host in 1..=40 {
                let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
                socket.send_to(b"discard", (std::net::Ipv4Addr::new(127, 0, 0, host), 9)).unwrap();
            }
        });
        let udp = |got: &Got| got.packets.iter().filter(|packet| packet.3[23] == 17).count();
        assert_eq!(got.iter().map(udp).sum::<usize>(), 40);
        assert!(got.iter().all(|got| udp(got) > 2));
    }
}

fn without_times(text: &str) -> Vec<String> {
    let one = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        timeless(&mut value);
        value.to_string()
    };
    let mut lines: Vec<String> = text.lines().map(one).collect();
    lines.sort();
    lines
}

/// A tap of two fibres, one direction on each: the same flows as one interface with both.
#[test]
fn two_fibres_give_what_one_interface_gives() {
    if !inside("two_fibres_give_what_one_interface_gives") {
        return;
    }
    make_second_pair();
    let (packets, _dir, path) = demonstration();
    let expected = without_times(&run(&["scan", path.to_str().unwrap(), "--flows", "-"]).out);
    let lower_first = |packet: &Packet| packet.bytes[..6] < packet.bytes[6..12];
    assert!(packets.iter().any(lower_first) && !packets.iter().all(lower_first));
    for through in ["ring", "libpcap"] {
        for workers in ["1", "2"] {
            let how = ["-i", FAR, "-i", FAR_2, "--capture", through, "-j", workers, "--flows", "-"];
            let program = listen(&how);
            let mut wires = [NEAR, NEAR_2].map(|name| pcap::Capture::from_device(name).unwrap().open().unwrap());
            for (n, packet) in packets.iter().enumerate() {
                wires[usize::from(lower_first(packet))].sendpacket(packet.bytes.as_slice()).unwrap();
                if n % 16 == 15 {
                    std::thread::sleep(GENTLE);
                }
            }
            std::thread::sleep(SETTLED);
            program.signal("TERM");
            let said = program.finish();
            assert_eq!(without_times(&said.out), expected, "through {through} with {workers}: {}", said.messages);
        }
    }
}

/// Packets of two interfaces come in the order of time, and on a quiet pair they come soon.
#[test]
fn several_interfaces_come_in_the_order_of_time() {
    if !inside("several_interfaces_come_in_the_order_of_time") {
        return;
    }
    make_second_pair();
    let (there, _) = pairs();
    let interfaces = names(&[FAR, FAR_2]);
    let got = gather(&how(&interfaces), 1, || {
        let mut wires = [NEAR, NEAR_2].map(|name| pcap::Capture::from_device(name).unwrap().open().unwrap());
        for (n, frame) in there.iter().enumerate() {
            // Bursts on the one, single frames on the other, pauses.
            let wire = usize::from(n % 17 == 3 || (600..700).contains(&n));
            wires[wire].sendpacket(frame.as_slice()).unwrap();
            if n % 97 == 0 {
                std::thread::sleep(Duration::from_millis(7));
            }
        }
    });
    let packets = &got[0].packets;
    assert_eq!(packets.len(), there.len());
    assert!(packets.is_sorted_by_key(|packet| packet.2));
    assert!(packets.iter().map(|packet| packet.3.as_slice()).eq(there.iter().map(Vec::as_slice)), "as they were sent");
    assert_eq!(got[0].limits, BTreeMap::new());
    let switches = packets.windows(2).filter(|two| two[0].1 != two[1].1).count();
    assert!(switches > 200, "{switches}");

    // With nothing on the second interface, packets of the first do not wait for it.
    let stop = Arc::new(AtomicBool::new(false));
    let mut source = listen_apart(&how(&interfaces), 1, move || stop.load(Ordering::Relaxed)).unwrap().pop().unwrap();
    put_on(NEAR, &there[..3]);
    let read: usize = (0..6).map(|_| source.next_block().unwrap().packets.len()).sum();
    assert_eq!(read, 3);
}

/// The report of the program on two interfaces with several workers is that of the file.
#[test]
fn the_program_with_two_interfaces_adds_up() {
    if !inside("the_program_with_two_interfaces_adds_up") {
        return;
    }
    make_second_pair();
    let (packets, _dir, path) = demonstration();
    let expected = answer(run(&["scan", path.to_str().unwrap(), "--json", "-"]).json());
    let program = listen(&["-i", FAR, "-i", FAR_2, "-j", "4", "--json", "-"]);
    send(packets.iter().map(|p| p.bytes.as_slice()), GENTLE);
    program.signal("TERM");
    let report = program.finish().json();
    assert!(adds_up(&report) && count(&report, "received") == packets.len() as u64, "{}", report["ledger"]);
    assert_eq!(reason(&report, "interface.dropped"), 0);
    assert_eq!(answer(report)["findings"], expected["findings"]);
}

/// An interface of IP packets, and its end in this program.
#[allow(unsafe_code)]
fn tun(name: &str) -> std::fs::File {
    const TUNSETIFF: u64 = 0x4004_54ca;
    let device = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun").unwrap();
    // SAFETY: a structure of numbers, bytes and a pointer, for which zero is a value; it lives through the call.
    let result = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *place = byte as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        libc::ioctl(device.as_raw_fd(), TUNSETIFF as _, &raw mut request)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    device
}

/// What comes out of a tunnel is IP without a link layer: flows as in a file of such packets, and shared out as well.
#[test]
fn an_interface_of_ip_packets_is_read() {
    if !inside("an_interface_of_ip_packets_is_read") {
        return;
    }
    let mut device = tun("btun0");
    common::wire::ip(&["link", "set", "btun0", "addrgenmode", "none"]);
    assert!(common::wire::ip(&["link", "set", "btun0", "up"]));
    let (packets, ..) = demonstration();
    let bare: Vec<Packet> = packets
        .iter()
        .filter(|packet| packet.bytes[12..14] == [8, 0] || packet.bytes[12..14] == [0x86, 0xdd])
        .cloned()
        .collect();
    assert!(bare.len() > 500);
    let (_dir, path) = file(&bare);
    let expected = answer(run(&["scan", path.to_str().unwrap(), "--json", "-"]).json());
    let mut put = |packets: &[Packet]| {
        for (n, packet) in packets.iter().enumerate() {
            // As long as the header says: a frame may be filled up.
            device.write_all(&packet.bytes[14..]).unwrap();
            if n % 16 == 15 {
                std::thread::sleep(GENTLE);
            }
        }
    };
    for through in ["ring", "libpcap"] {
        let program = listen(&["-i", "btun0", "--capture", through, "--json", "-"]);
        put(&bare);
        std::thread::sleep(SETTLED);
        program.signal("TERM");
        let said = program.finish();
        let report = said.json();
        assert_eq!(count(&report, "decoded"), bare.len() as u64, "{through}: {}", report["ledger"]);
        // Without hardware addresses less is known of who a host is, but not of where it talks to.
        let channels = |findings: &Value| -> BTreeSet<String> {
            findings.as_array().unwrap().iter().map(|f| f["channel"].to_string()).collect()
        };
        assert_eq!(channels(&answer(report)["findings"]), channels(&expected["findings"]), "{through}");
    }
    let filtered = listen(&["-i", "btun0", "-f", "udp port 53", "--json", "-"]);
    put(&bare);
    std::thread::sleep(SETTLED);
    filtered.signal("TERM");
    let report = filtered.finish().json();
    let scanned = run(&["scan", path.to_str().unwrap(), "-f", "udp port 53", "--json", "-"]).json();
    assert_eq!(count(&report, "received"), count(&scanned, "decoded"));

    let interfaces = names(&["btun0"]);
    let (there, back) = pairs();
    let plain = |frames: &[Vec<u8>]| {
        let ip = frames.iter().filter(|f| f[12..14] == [8, 0] || f[12..14] == [0x86, 0xdd]);
        ip.map(|frame| Packet::new(0, frame.clone())).collect::<Vec<_>>()
    };
    let got = gather(&how(&interfaces), 4, || {
        put(&plain(&there));
        put(&plain(&back));
    });
    assert_eq!(total(&got), 2000);
    let mut worker_of = BTreeMap::new();
    for (worker, got) in got.iter().enumerate() {
        assert_eq!(got.links, BTreeSet::from([LinkType(101)]));
        for (.., packet) in &got.packets {
            let kind = if packet[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
            let pair = pair(&[&[0; 12][..], &kind, packet].concat());
            assert_eq!(*worker_of.entry(pair).or_insert(worker), worker);
        }
        assert!(got.packets.len() > 200);
    }
}

/// Cards of virtual machines have no clock: the kernel's times are taken, and it is said.
#[test]
fn times_of_the_hardware_are_asked_for() {
    if !inside("times_of_the_hardware_are_asked_for") {
        return;
    }
    let (packets, ..) = demonstration();
    let program = listen(&["-i", FAR, "--timestamps", "hardware", "-c", "50", "--json", "-"]);
    send(packets.iter().take(50).map(|p| p.bytes.as_slice()), GENTLE);
    let said = program.finish();
    let report = said.json();
    assert_eq!(count(&report, "received"), 50, "{}", said.messages);
    assert!(report["ledger"]["later"]["kernel.time-not-hardware"].as_u64() >= Some(50), "{}", report["ledger"]);
}

/// More workers than one group of rings is dealt to: so many have a source.
#[test]
fn sources_of_one_group() {
    if !inside("sources_of_one_group") {
        return;
    }
    let interfaces = names(&[FAR]);
    let small = Listen { ring_bytes: 128 << 10, ..how(&interfaces) };
    let sources = listen_apart(&small, SOURCES_MAX + 1, || true).unwrap();
    assert_eq!(sources.len(), SOURCES_MAX);
}
