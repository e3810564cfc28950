//! Captures that are broken, rare or bombs, and times that cannot be.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::check::{self, Read};
use super::common::capture::pcap;
use super::common::conversation::{Conversation, From};
use super::common::packets::{Endpoint, Packet, datagram};
use super::common::program::run;
use super::common::tls::{self, Version};

/// 2026-11-02 08:00 UTC.
const START_S: u64 = 1_793_606_400;
const SECOND_NS: u64 = 1_000_000_000;
const START_NS: u64 = START_S * SECOND_NS;
const NAME: &str = "update.vendor.example";

/// Numbers of a file in either order of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn n16(self, value: u16) -> [u8; 2] {
        if self == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    fn n32(self, value: u32) -> [u8; 4] {
        if self == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    fn n64(self, value: u64) -> [u8; 8] {
        if self == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }
}

/// A client that shakes hands for [`NAME`], from a little after the start.
fn handshake() -> Vec<Packet> {
    let client = Endpoint::new([2, 0, 0, 0, 0, 1], "10.20.0.1", 50_000);
    let server = Endpoint::new([2, 0, 0, 0, 0, 2], "203.0.113.9", 443);
    let mut talk = Conversation::new(client, server, START_NS + 123_456_789, 20_000_000);
    talk.open().send(From::Client, &tls::client_hello(Version::Tls13, Some(NAME)));
    talk.send(From::Server, &tls::server_hello(Version::Tls13)).close();
    talk.packets()
}

/// The header of a pcap file of Ethernet.
fn pcap_head(order: Order, magic: u32) -> Vec<u8> {
    let (major, minor) = (order.n16(2), order.n16(4));
    [&order.n32(magic)[..], &major, &minor, &[0; 8], &order.n32(262_144), &order.n32(1)].concat()
}

/// A record: seconds, fraction, captured and original length, and the bytes.
fn pcap_record(order: Order, words: [u32; 4], bytes: &[u8]) -> Vec<u8> {
    [&words.map(|word| order.n32(word)).concat()[..], bytes].concat()
}

/// The records of packets, in units of so many nanoseconds.
fn pcap_records(order: Order, unit: u64, packets: &[Packet]) -> Vec<Vec<u8>> {
    let record = |packet: &Packet| {
        let (seconds, fraction) = (packet.time / SECOND_NS, packet.time % SECOND_NS / unit);
        let length = packet.bytes.len() as u32;
        pcap_record(order, [seconds as u32, fraction as u32, length, length], &packet.bytes)
    };
    packets.iter().map(record).collect()
}

/// Reads a file that holds these bytes, whose name ends so; also gives its path as long as the folder is there.
fn read_file(name: &str, bytes: &[u8]) -> (Read, tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let file = path.to_str().unwrap().to_owned();
    (check::read_files(std::slice::from_ref(&file)), folder, file)
}

/// What a damaged file gives: the flow that is in it, one damage with these words, in the report too, and exit status 3.
fn is_partial(name: &str, bytes: &[u8], words: &str) -> Read {
    let (read, _folder, file) = read_file(name, bytes);
    assert_eq!(read.flow()["tls"]["client"]["server_name"], NAME, "{name}");
    let [damage] = read.damage.as_slice() else { panic!("{name}: {:?}", read.damage) };
    assert!(damage.reason.contains(words) && !damage.fatal && damage.input == file, "{damage:?}");
    assert_eq!(read.report["header"]["damage"][0]["reason"], damage.reason);
    let output = run(&["scan", &file, "--json", "-", "--quiet"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["header"]["damage"], read.report["header"]["damage"]);
    read
}

/// pcap in both orders of bytes and both units: the same flow, with the time as exact as the unit.
#[test]
fn row_34_every_form_of_pcap() {
    for order in [Order::Little, Order::Big] {
        for (magic, unit, time) in
            [(0xa1b2_c3d4, 1000, "2026-11-02T08:00:00.123456000Z"), (0xa1b2_3c4d, 1, "2026-11-02T08:00:00.123456789Z")]
        {
            let capture = [pcap_head(order, magic), pcap_records(order, unit, &handshake()).concat()].concat();
            let read = check::read_capture(capture);
            assert_eq!(read.damage, []);
            assert_eq!(read.flow()["event"]["start"], time, "{order:?} {magic:x}");
            assert_eq!(read.flow()["tls"]["client"]["server_name"], NAME, "{order:?} {magic:x}");
        }
    }
}

/// Records without bytes and such that claim more bytes than the packet had are read for what they are.
#[test]
fn row_34b_odd_lengths() {
    let order = Order::Little;
    let mut packets = pcap_records(order, 1, &handshake());
    let hello = handshake()[3].bytes.clone();
    let time = START_S as u32;
    // Nothing captured of a packet, nothing at all, and more captured than there was, as some writers have it.
    let odd = [
        pcap_record(order, [time, 0, 0, 1500], &[]),
        pcap_record(order, [time, 0, 0, 0], &[]),
        pcap_record(order, [time, 0, 60, 10], &[0; 60]),
    ];
    packets[3] = pcap_record(order, [time, 130_000_000, hello.len() as u32, 14], &hello);
    packets.splice(0..0, odd);
    let read = check::read_capture([pcap_head(order, 0xa1b2_3c4d), packets.concat()].concat());
    assert_eq!(read.damage, []);
    assert_eq!(read.flow()["tls"]["client"]["server_name"], NAME);
    let ledger = &read.report["ledger"];
    assert_eq!((&ledger["received"], read.counted("link.truncated")), (&(packets.len() as u64).into(), 2), "{ledger}");
}

/// A file that ends in a record, at every byte of its last one, and a record that says 256 MiB: what came before is kept,
/// and the exit status tells it.
#[test]
fn row_34c_cut_records_and_one_of_256_mib() {
    let order = Order::Little;
    let whole = [pcap_head(order, 0xa1b2_3c4d), pcap_records(order, 1, &handshake()).concat()].concat();
    let place = whole.len() as u64;
    let more = pcap_record(order, [START_S as u32 + 1, 0, 60, 60], &[0; 60]);
    for length in 1..more.len() {
        let (read, ..) = read_file("cut.pcap", &[&whole, &more[..length]].concat());
        assert_eq!(read.damage.iter().map(|damage| damage.offset).collect::<Vec<_>>(), [place], "{length}");
        assert_eq!(read.flow()["tls"]["client"]["server_name"], NAME, "{length}");
    }
    is_partial("cut.pcap", &[&whole[..], &more[..40]].concat(), "");
    let huge = pcap_record(order, [START_S as u32 + 1, 0, 256 << 20, 256 << 20], &[0; 4096]);
    let read = is_partial("huge.pcap", &[whole, huge].concat(), "a record of 268435456 bytes, more than the");
    assert_eq!(read.damage[0].offset, place);
}

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const SIMPLE: u32 = 3;
const PACKET: u32 = 6;
const COMMENT: u16 = 1;
const RESOLUTION: u16 = 9;
const OFFSET: u16 = 14;
const ETHERNET: u16 = 1;
const RAW_IP: u16 = 101;
const LINUX_COOKED: u16 = 113;

fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padding = vec![0; body.len().wrapping_neg() % 4];
    let length = order.n32((12 + body.len() + padding.len()) as u32);
    [&order.n32(kind)[..], &length, body, &padding, &length].concat()
}

fn options(order: Order, list: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let one = |(code, value): &(u16, Vec<u8>)| {
        let padding = vec![0; value.len().wrapping_neg() % 4];
        [&order.n16(*code)[..], &order.n16(value.len() as u16), value, &padding].concat()
    };
    let all: Vec<u8> = list.iter().flat_map(one).collect();
    if list.is_empty() { all } else { [&all[..], &[0; 4]].concat() }
}

fn section(order: Order, list: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let head = [&order.n32(0x1a2b_3c4d)[..], &order.n16(1), &order.n16(0), &[0xff; 8]].concat();
    block(order, SECTION, &[head, options(order, list)].concat())
}

fn interface(order: Order, link: u16, list: &[(u16, Vec<u8>)]) -> Vec<u8> {
    block(order, INTERFACE, &[&order.n16(link)[..], &[0; 6], &options(order, list)].concat())
}

fn enhanced(order: Order, interface: u32, units: u64, bytes: &[u8], list: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let length = bytes.len() as u32;
    let words = [interface, (units >> 32) as u32, units as u32, length, length].map(|word| order.n32(word)).concat();
    let padding = vec![0; bytes.len().wrapping_neg() % 4];
    block(order, PACKET, &[words, bytes.to_vec(), padding, options(order, list)].concat())
}

/// A datagram of its own flow, as a frame of a link type.
fn frame(link: u16, port: u16) -> Vec<u8> {
    let client = Endpoint::new([2, 0, 0, 0, 0, 1], "10.20.0.1", port);
    let server = Endpoint::new([2, 0, 0, 0, 0, 2], "203.0.113.9", 9999);
    let ethernet = datagram(0, client, server, &[], b"a datagram that is nobody's").bytes;
    match link {
        ETHERNET => ethernet,
        RAW_IP => ethernet[14..].to_vec(),
        // Type, ARPHRD, address and its length, protocol (tcpdump.org, LINKTYPE_LINUX_SLL).
        LINUX_COOKED => {
            let head = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0];
            [&head[..], &ethernet[14..]].concat()
        }
        other => panic!("link type {other}"),
    }
}

/// Start of the flow from this port.
fn start_of(read: &Read, port: u16) -> &str {
    let flow = read.flows.iter().find(|flow| flow["source"]["port"] == port);
    flow.and_then(|flow| flow["event"]["start"].as_str()).unwrap_or_else(|| panic!("port {port}: {:?}", read.damage))
}

/// Interfaces with every exponent of ten and of two that can tell such a time, of three link types, in two sections of
/// either order of bytes: every time is exact to the nanosecond, finer ones rounded down.
#[test]
fn row_35_clocks_of_every_resolution() {
    // A fraction of a second whose digits and bits are all different.
    const FRACTION_NS: u128 = 987_654_321;
    const SECOND: u128 = 1_000_000_000;
    let mut capture = Vec::new();
    let mut expected = Vec::new();
    let mut port = 20_000;
    for order in [Order::Little, Order::Big] {
        capture.extend(section(order, &[]));
        let tens = (0..=19_u8).map(|n| (n, 10_u128.pow(n.into())));
        let twos = (0..=63_u8).map(|n| (0x80 | n, 1_u128 << n));
        for (interface_number, (resolution, in_second)) in tens.chain(twos).enumerate() {
            // What the whole time is too long for counts from the offset.
            let all = u128::from(START_S) * in_second + FRACTION_NS * in_second / SECOND;
            let with_offset = all > u128::from(u64::MAX);
            let units = if with_offset { FRACTION_NS * in_second / SECOND } else { all };
            let mut list = vec![(RESOLUTION, vec![resolution])];
            list.extend(with_offset.then(|| (OFFSET, order.n64(START_S).to_vec())));
            let link = [ETHERNET, RAW_IP, LINUX_COOKED][interface_number % 3];
            capture.extend(interface(order, link, &list));
            port += 1;
            let units = u64::try_from(units).unwrap();
            capture.extend(enhanced(order, interface_number as u32, units, &frame(link, port), &[]));
            // The second that the unit tells, in nanoseconds.
            let nanoseconds = (FRACTION_NS * in_second / SECOND) * SECOND / in_second;
            expected.push((port, resolution, format!("2026-11-02T08:00:00.{nanoseconds:09}Z")));
        }
    }
    let read = check::read_capture(capture);
    assert_eq!(read.damage, []);
    assert_eq!(read.flows.len(), expected.len());
    for (port, resolution, time) in &expected {
        assert_eq!(start_of(&read, *port), time, "resolution {resolution:#x}");
    }
}

/// Packets of an interface that nothing describes, Simple Packet Blocks, options of 64 KiB, many of them, sections one after
/// the other with interfaces of their own: what is sound is read, what is not has a place and a reason.
#[test]
fn row_35b_blocks_that_are_rare_or_wrong() {
    for (order, other) in [(Order::Little, Order::Big), (Order::Big, Order::Little)] {
        let micro = |second: u64| (START_S + second) * 1_000_000;
        let long = (COMMENT, vec![b'c'; 65_535]);
        let simple = |port: u16| {
            let frame = frame(ETHERNET, port);
            block(order, SIMPLE, &[&order.n32(frame.len() as u32)[..], &frame].concat())
        };
        let capture = [
            section(order, &vec![long.clone(); 20]),
            // Before any interface.
            enhanced(order, 0, micro(0), &frame(ETHERNET, 20_000), &[]),
            interface(order, ETHERNET, &[long.clone(), (RESOLUTION, vec![6]), long.clone()]),
            enhanced(order, 0, micro(1), &frame(ETHERNET, 20_001), &vec![long.clone(); 3]),
            // Its interface is described behind it.
            enhanced(order, 1, micro(2), &frame(RAW_IP, 20_002), &[]),
            interface(order, RAW_IP, &[(RESOLUTION, vec![9])]),
            enhanced(order, 1, micro(3) * 1000, &frame(RAW_IP, 20_003), &[]),
            simple(20_004),
            // Interfaces are those of the section.
            section(other, &[]),
            enhanced(other, 1, micro(4), &frame(RAW_IP, 20_005), &[]),
            interface(other, LINUX_COOKED, &[]),
            enhanced(other, 0, micro(5), &frame(LINUX_COOKED, 20_006), &[]),
        ];
        let places = [1, 4, 9].map(|at| capture[..at].iter().map(Vec::len).sum::<usize>() as u64);
        let read = check::read_capture(capture.concat());
        let damage: Vec<(u64, bool)> = read
            .damage
            .iter()
            .map(|damage| (damage.offset, damage.reason.contains("which no block describes")))
            .collect();
        assert_eq!(damage, places.map(|place| (place, true)), "{:?}", read.damage);
        assert_eq!(read.flows.len(), 4);
        assert_eq!(start_of(&read, 20_001), "2026-11-02T08:00:01.000000000Z");
        assert_eq!(start_of(&read, 20_003), "2026-11-02T08:00:03.000000000Z");
        assert_eq!(start_of(&read, 20_004), "1970-01-01T00:00:00.000000000Z", "a simple block has no time");
        assert_eq!(start_of(&read, 20_006), "2026-11-02T08:00:05.000000000Z");
    }
}

type Compress = fn(&[u8]) -> Vec<u8>;
const COMPRESSORS: [(&str, Compress); 3] = [("gzip", gzip), ("zstd", zstd_frame), ("lz4", lz4)];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zstd_frame(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let info = lz4_flex::frame::FrameInfo::new().content_checksum(true);
    let mut writer = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// The capture that the compressed ones hold.
fn plain() -> Vec<u8> {
    pcap(true, &handshake())
}

/// A capture in several members, cut anywhere, of one format or of two.
#[test]
fn row_36_members_one_after_the_other() {
    let plain = plain();
    for (name, first) in COMPRESSORS {
        for (other, second) in COMPRESSORS {
            for at in [0, 1, 24, 30, plain.len() / 2, plain.len()] {
                let (front, back) = plain.split_at(at);
                let (read, ..) = read_file("members", &[first(front), second(back), second(&[])].concat());
                assert_eq!(read.damage, [], "{name} and {other} at {at}");
                assert_eq!(read.flow()["tls"]["client"]["server_name"], NAME, "{name} and {other} at {at}");
            }
        }
    }
}

/// A compressed file that ends too early: what was in it is kept, and the reason is named.
#[test]
fn row_36b_cut_short() {
    let plain = plain();
    for (name, compress) in COMPRESSORS {
        // All of the flow in the first member, and one behind it that is cut.
        let more = compress(&pcap_record(Order::Little, [START_S as u32 + 1, 0, 600, 600], &[7; 600]));
        for kept in [more.len() / 2, more.len() - 1] {
            let bytes = [&compress(&plain)[..], &more[..kept]].concat();
            is_partial("cut", &bytes, &format!("{name} data: cut short"));
        }
    }
}

/// A capture that begins with the handshake and has zeros without end, in a file of which each byte becomes millions.
fn bomb(outer: Compress) -> Vec<u8> {
    const RECORD: u32 = 262_144;
    const FRAME_RECORDS: usize = 256;
    const FRAMES: usize = 4096;
    let record = pcap_record(Order::Little, [START_S as u32 + 1, 0, RECORD, RECORD], &vec![0; RECORD as usize]);
    let frame = zstd_frame(&record.repeat(FRAME_RECORDS));
    let bomb = outer(&[zstd_frame(&plain()), frame.repeat(FRAMES)].concat());
    let claims = FRAMES as u64 * FRAME_RECORDS as u64 * u64::from(RECORD);
    assert!(claims / bomb.len() as u64 >= 1_000_000, "{claims} in {}", bomb.len());
    bomb
}

/// The most memory that a process had, as long as it was looked at.
fn run_watched(args: &[&str]) -> (Output, u64) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bordertap"));
    let child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = Path::new("/proc").join(child.id().to_string()).join("status");
    let watch = std::thread::spawn(move || {
        let mut most = 0;
        while let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(kilobytes) = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()) else {
                break;
            };
            most = most.max(kilobytes << 10);
            std::thread::sleep(Duration::from_millis(5));
        }
        most
    });
    let output = child.wait_with_output().unwrap();
    (output, watch.join().unwrap())
}

/// A bomb of 1 : 1,000,000 and more in each format ends at the limit of bytes with a reason of its own; what came before
/// is kept, and memory does not grow with it.
#[test]
fn row_36c_bombs() {
    const LIMIT: u64 = 1 << 30;
    const MEMORY_MAX: u64 = 200 << 20;
    for (name, compress) in COMPRESSORS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb");
        std::fs::write(&path, bomb(compress)).unwrap();
        let file = path.to_str().unwrap();
        let (output, most) = run_watched(&["scan", file, "--json", "-", "--quiet", "-j", "1"]);
        assert_eq!(output.status.code(), Some(3), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let [damage] = report["header"]["damage"].as_array().unwrap().as_slice() else { panic!("{report}") };
        assert!(damage["reason"].as_str().unwrap().ends_with("more than 1000 for each: refused"), "{name}: {damage}");
        let place = damage["offset"].as_u64().unwrap();
        assert!(place.abs_diff(LIMIT) < 8 << 20, "{name}: ended at {place}");
        assert_eq!(report["header"]["flows"], 1, "{name}");
        let ledger = &report["ledger"];
        let read = handshake().len() as u64;
        let others = ledger["received"].as_u64().unwrap() - read;
        assert!(ledger["decoded"] == read && others.abs_diff(LIMIT / 262_160) < 40, "{name}: {ledger}");
        #[cfg(target_os = "linux")]
        assert!((1 << 20..MEMORY_MAX).contains(&most), "{name}: {most} bytes of memory");
    }
}

/// The times of one test.
mod times {
    use std::sync::Arc;
    use std::time::Duration;

    use bordertap::capture::Replay;
    use bordertap::join::Knowledge;

    use crate::check::{self, flags};
    use crate::common::capture::pcap;
    use crate::common::conversation::{Conversation, From};
    use crate::common::packets::{Endpoint, Packet};
    use crate::common::sensors::{Kept, Made, START, sense};
    use crate::common::tls::{self, Version};

    const SECOND: u64 = 1_000_000_000;
    const TEN_YEARS: u64 = 3652 * 24 * 3600 * SECOND;
    const FLOWS: usize = 50;

    /// Flows that all begin, then all go on and end: the packets of both halves.
    fn halves(start: u64) -> [Vec<Packet>; 2] {
        let (mut begun, mut ended) = (Vec::new(), Vec::new());
        for n in 0..FLOWS {
            let client = Endpoint::new([2, 0, 0, 0, 0, 1], "10.1.1.1", 40_000 + n as u16);
            let server = Endpoint::new([2, 0, 0, 0, 0, 2], "192.0.2.80", 443);
            let mut flow = Conversation::new(client, server, start + n as u64 * 1000, 1000);
            flow.open();
            flow.send(From::Client, &tls::client_hello(Version::Tls13, Some("www.example.com")));
            flow.send(From::Server, &tls::server_hello(Version::Tls13));
            let half = flow.now() + SECOND / 2;
            flow.wait(SECOND);
            flow.send(From::Client, &tls::application_data(Version::Tls13, 500, 1));
            flow.close();
            let (first, second): (Vec<_>, Vec<_>) = flow.packets().into_iter().partition(|p| p.time < half);
            begun.extend(first);
            ended.extend(second);
        }
        [&mut begun, &mut ended].into_iter().for_each(|half| half.sort_by_key(|packet| packet.time));
        [begun, ended]
    }

    /// A packet of somebody whose clock is ten years fast.
    fn astray() -> Packet {
        let client = Endpoint::new([2, 0, 0, 0, 0, 1], "10.1.1.2", 40_000);
        let server = Endpoint::new([2, 0, 0, 0, 0, 2], "192.0.2.81", 443);
        let mut flow = Conversation::new(client, server, START + TEN_YEARS, 1000);
        flow.attempt();
        flow.packets().remove(0)
    }

    /// Packets that went back, and packets that went ahead, as the ledger says.
    fn jumps(read: &check::Read) -> [u64; 2] {
        ["clock.back", "clock.ahead"].map(|name| read.counted(name))
    }

    fn names(read: &check::Read) -> Vec<&str> {
        read.flows.iter().filter_map(|flow| flow["tls"]["client"]["server_name"].as_str()).collect()
    }

    /// 1970 and 2106, the first and the last second that a capture can write, are times like others.
    #[test]
    fn row_37_the_first_and_the_last_second_are_times_like_others() {
        for (start, text) in [(0, "1970-01-01T00:00:00.0"), (4_294_967_290, "2106-02-07T06:28:10.0")] {
            let packets = halves(start * SECOND).concat();
            let read = check::read(&packets);
            assert_eq!(names(&read), ["www.example.com"; FLOWS]);
            for flow in &read.flows {
                assert!(flow["event"]["start"].as_str().unwrap().starts_with(text), "{flow}");
                assert!(flow["event"]["start"].as_str() <= flow["event"]["end"].as_str(), "{flow}");
                assert_eq!(flags(flow), [""; 0]);
            }
            assert_eq!(jumps(&read), [0, 0]);
        }
    }

    /// Every packet is earlier than the one before: the same flows with the same names.
    #[test]
    fn row_37b_times_that_run_backwards_end_no_flow() {
        let mut packets = halves(START).concat();
        let count = packets.len() as u64;
        for (n, packet) in (0..).zip(&mut packets) {
            packet.time = START + (count - n) * 600 * SECOND;
        }
        let read = check::read(&packets);
        assert_eq!(names(&read), ["www.example.com"; FLOWS]);
        assert_eq!(jumps(&read), [count - 1, 0]);
        for flow in &read.flows {
            assert!(flow["event"]["start"].as_str() <= flow["event"]["end"].as_str(), "{flow}");
            assert!(!flags(flow).contains(&"midstream".to_owned()), "{flow}");
        }
    }

    /// One packet ten years ahead among others ends none of their flows.
    #[test]
    fn row_37c_a_packet_from_the_future_ends_nobody_elses_flow() {
        let [begun, ended] = halves(START);
        let behind = ended.len() as u64;
        let read = check::read(&[begun, vec![astray()], ended].concat());
        assert_eq!(jumps(&read), [behind, 1]);
        assert_eq!(read.flows.len(), FLOWS + 1);
        assert_eq!(names(&read), ["www.example.com"; FLOWS]);
        let others = read.flows.iter().filter(|flow| flow["source"]["ip"] == "10.1.1.1");
        assert!(others.map(|flow| flags(flow).len()).eq([0; FLOWS]), "{:#?}", read.flows[0]);
    }

    /// The clock jumps by ten years and stays: what goes on behind it is a new flow, and flagged as one without a start.
    #[test]
    fn row_37d_a_clock_that_jumps_splits_flows_and_flags_the_second_halves() {
        let [begun, mut ended] = halves(START);
        ended.iter_mut().for_each(|packet| packet.time += TEN_YEARS);
        let packets = [begun, ended].concat();
        let read = check::read(&packets);
        assert_eq!(read.flows.len(), 2 * FLOWS);
        assert_eq!(jumps(&read), [0, 1]);
        assert_eq!(names(&read), ["www.example.com"; FLOWS]);
        let unnamed = read.flows.iter().filter(|flow| flow["tls"]["client"]["server_name"].is_null());
        assert_eq!(unnamed.filter(|flow| flags(flow).contains(&"midstream".to_owned())).count(), FLOWS);
        let sum: u64 = read.flows.iter().map(|flow| flow["network"]["packets"].as_u64().unwrap()).sum();
        assert_eq!(sum, packets.len() as u64);
    }

    /// Back by more than a second, ahead by more than a day, against the newest of the same input: that is a jump.
    #[test]
    fn row_37f_jumps_of_the_clock_are_counted_from_their_limits_on() {
        const DAY: u64 = 24 * 3600 * SECOND;
        let after = |times: &[u64]| -> Vec<Packet> {
            let packet = |time: &u64| Packet { time: START + time, ..astray() };
            times.iter().map(packet).collect()
        };
        let jumps_of = |times: &[u64]| jumps(&check::read(&after(times)));
        assert_eq!(jumps_of(&[SECOND, 0, SECOND + DAY]), [0, 0]);
        assert_eq!(jumps_of(&[SECOND + 1, 0, SECOND + 2 + DAY]), [1, 1]);
        // The clock of another input is another.
        let image = |times: &[u64]| Arc::new(pcap(true, &after(times)));
        let images = [("a", image(&[5 * DAY, 0])), ("b", image(&[0, 3 * DAY]))];
        for workers in [1, 3] {
            let images = images.iter().map(|(name, image)| ((*name).into(), image.clone())).collect();
            let read = check::of(&check::scan(workers), &mut Replay::new(images, 1));
            assert_eq!(jumps(&read), [1, 1], "{workers} workers");
        }
    }

    /// A sensor whose clock follows the packets closes flows when it jumps; they are flagged when they go on, the sensor
    /// lives, and no packet is lost.
    #[test]
    fn row_37e_a_sensor_survives_a_clock_that_jumps_and_comes_back() {
        let [begun, ended] = halves(START);
        let packets = (begun.len() + ended.len() + 1) as u64;
        let rest_of_all = ended.len() as u64;
        let mut blocks = vec![begun, vec![astray()], ended].into_iter();
        let source = Made { next: move || blocks.next(), number: 1, pause: Duration::from_millis(5) };
        let mut kept = Kept::default();
        let told = sense(vec![Box::new(source)], 1, 600, Knowledge::default(), &mut kept);
        assert!(told.report.ledger.adds_up());
        let later = &told.report.ledger.later;
        assert_eq!((later["clock.ahead"], later["clock.back"]), (1, rest_of_all));
        assert_eq!((told.report.ledger.received, told.report.ledger.decoded), (packets, packets));
        let sum: u64 = kept.flows.iter().map(|flow| flow["network"]["packets"].as_u64().unwrap()).sum();
        assert_eq!(sum, packets);
        let whole = kept.flows.iter().filter(|flow| flow["destination"]["domain"] == "www.example.com").count();
        assert_eq!(whole, FLOWS);
        let rest = kept.flows.len() - FLOWS - 1;
        let flagged = kept.flows.iter().filter(|flow| flags(flow).contains(&"midstream".to_owned())).count();
        assert_eq!(flagged, rest, "what was closed by the clock and went on says so");
    }
}
