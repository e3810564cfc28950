//! The capture readers against libpcap, an independent reader of the same formats.
//!
//! Every file in `fixtures/` that libpcap can read must give the same packets: times in
//! nanoseconds, both lengths, bytes, link types. A directory named in the environment variable
//! `BORDERTAP_CAPTURES` is compared as well.
#![cfg(feature = "libpcap")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use bordertap::capture::{Damage, Inputs, Source};
use pcap::{Capture, Offline, Precision};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    nanos: i64,
    bytes: Vec<u8>,
    original: u32,
    dlt: i32,
}

/// LINKTYPE_RAW is the one link type of the fixtures that libpcap calls by another number.
fn dlt(link: u16) -> i32 {
    match link {
        101 => 12,
        other => i32::from(other),
    }
}

/// What this project reads, what it says is damaged, and how many the filter dropped.
fn ours(path: &Path, filter: Option<&str>) -> (Vec<Got>, Vec<Damage>, u64) {
    let names = [path.to_str().unwrap().to_owned()];
    let mut inputs = Inputs::open(&names, filter).unwrap();
    let mut all = Vec::new();
    while let Some(block) = inputs.next_block() {
        for packet in &block.packets {
            let end = packet.start + packet.captured as usize;
            all.push(Got {
                nanos: packet.time.0,
                bytes: block.bytes.as_slice()[packet.start..end].to_vec(),
                original: packet.original,
                dlt: dlt(packet.link.0),
            });
        }
    }
    (all, inputs.damage().to_vec(), inputs.filtered())
}

fn open(path: &Path) -> Result<Capture<Offline>, pcap::Error> {
    Capture::from_file_with_precision(path, Precision::Nano)
}

/// What libpcap reads, and what it stopped at, if not at the end.
fn theirs(mut capture: Capture<Offline>) -> (Vec<Got>, Option<String>) {
    let dlt = capture.get_datalink().0;
    let mut all = Vec::new();
    loop {
        match capture.next_packet() {
            Ok(packet) => all.push(Got {
                nanos: packet.header.ts.tv_sec * 1_000_000_000 + packet.header.ts.tv_usec,
                bytes: packet.data.to_vec(),
                original: packet.header.len,
                dlt,
            }),
            Err(pcap::Error::NoMorePackets) => return (all, None),
            Err(error) => return (all, Some(error.to_string())),
        }
    }
}

/// Files below a directory that libpcap can open, sorted.
fn captures(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => directories.push(path),
                false => files.push(path),
            }
        }
    }
    files.retain(|path| open(path).is_ok());
    files.sort();
    files
}

fn all_captures() -> Vec<PathBuf> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut files = captures(&fixtures);
    if let Some(more) = std::env::var_os("BORDERTAP_CAPTURES") {
        files.extend(captures(Path::new(&more)));
    }
    files
}

/// The packets of a file as both read it, when libpcap gets to its end.
fn agreed(path: &Path) -> Option<Vec<Got>> {
    let (expected, stopped) = theirs(open(path).unwrap());
    let (packets, damage, _) = ours(path, None);
    let Some(stopped) = stopped else {
        assert!(packets == expected, "{} differs", path.display());
        assert_eq!(damage, [], "{}", path.display());
        return Some(expected);
    };
    // libpcap ends at the first damage, and at a second link type, which is none.
    assert!(packets.len() >= expected.len(), "{}", path.display());
    assert!(packets[..expected.len()] == expected, "{}", path.display());
    let limit_of_libpcap = stopped.contains("different from the");
    assert!(limit_of_libpcap || !damage.is_empty(), "{stopped}");
    eprintln!("{}: libpcap stops: {stopped}; {damage:?}", path.display());
    None
}

#[test]
fn every_capture_reads_as_libpcap_reads_it() {
    let files = all_captures();
    let mut packets = 0;
    let mut whole = 0;
    for path in &files {
        if let Some(agreed) = agreed(path) {
            packets += agreed.len();
            whole += 1;
        }
    }
    eprintln!("{} files, {whole} of them whole, {packets} packets", files.len());
    assert!(whole >= 10 && packets >= 300);
}

/// The same packets written in another variant of classic pcap.
fn rewrite(packets: &[Got], big: bool, magic: u32, version: (u16, u16)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let u16s = |value: u16| {
        if big { value.to_be_bytes() } else { value.to_le_bytes() }
    };
    let u32s = |value: u32| {
        if big { value.to_be_bytes() } else { value.to_le_bytes() }
    };
    bytes.extend(u32s(magic));
    bytes.extend(u16s(version.0));
    bytes.extend(u16s(version.1));
    for word in [0, 0, 262_144, 1] {
        bytes.extend(u32s(word));
    }
    for packet in packets {
        let unit = if magic == 0xa1b2_3c4d { 1 } else { 1000 };
        let captured = packet.bytes.len() as u32;
        let lengths = match version {
            (2, 4) => [captured, packet.original],
            _ => [packet.original, captured],
        };
        bytes.extend(u32s((packet.nanos / 1_000_000_000) as u32));
        bytes.extend(u32s((packet.nanos % 1_000_000_000 / unit) as u32));
        bytes.extend(u32s(lengths[0]));
        bytes.extend(u32s(lengths[1]));
        if magic == 0xa1b2_cd34 {
            bytes.extend([1; 8]);
        }
        bytes.extend(&packet.bytes);
    }
    bytes
}

#[test]
fn variants_of_pcap_read_as_libpcap_reads_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("variant");
    for file in all_captures() {
        let (packets, _) = theirs(open(&file).unwrap());
        // Some with bytes cut off, as a snap length does.
        let packets: Vec<Got> = packets
            .into_iter()
            .enumerate()
            .map(|(index, mut packet)| {
                if index % 3 == 0 {
                    packet.bytes.truncate(40);
                }
                packet
            })
            .collect();
        for big in [false, true] {
            for magic in [0xa1b2_c3d4u32, 0xa1b2_3c4d, 0xa1b2_cd34] {
                for version in [(2, 4), (2, 3), (2, 2), (543, 0)] {
                    fs::write(&path, rewrite(&packets, big, magic, version)).unwrap();
                    let read = agreed(&path).expect("undamaged");
                    assert_eq!(read.len(), packets.len(), "{}", file.display());
                }
            }
        }
    }
}

fn compress(format: &str, plain: &[u8]) -> Vec<u8> {
    match format {
        "gzip" => {
            let level = flate2::Compression::fast();
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
            writer.write_all(plain).unwrap();
            writer.finish().unwrap()
        }
        "zstd" => zstd::encode_all(plain, 1).unwrap(),
        "lz4" => {
            let mut writer = lz4_flex::frame::FrameEncoder::new(Vec::new());
            writer.write_all(plain).unwrap();
            writer.finish().unwrap()
        }
        _ => {
            let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 0);
            writer.write_all(plain).unwrap();
            writer.finish().unwrap()
        }
    }
}

#[test]
fn compressed_captures_read_as_the_plain_ones() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("compressed");
    for file in all_captures() {
        let Some(expected) = agreed(&file) else {
            continue;
        };
        let plain = fs::read(&file).unwrap();
        let (first, second) = plain.split_at(plain.len() / 2);
        for format in ["gzip", "zstd", "lz4", "xz"] {
            for bytes in [compress(format, &plain), [compress(format, first), compress(format, second)].concat()] {
                fs::write(&path, bytes).unwrap();
                let (packets, damage, _) = ours(&path, None);
                assert!(packets == expected, "{} {format}", file.display());
                assert_eq!(damage, []);
            }
        }
    }
}

#[test]
fn filters_pass_what_libpcap_passes() {
    let expressions = [
        "tcp",
        "udp port 53 or icmp",
        "tcp port https or port 2123",
        "greater 200",
        "less 100",
        "len <= 90 and len >= 60",
        "ip[0] & 0xf = 5",
        "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
        "tcp[((tcp[12] & 0xf0) >> 2)] = 0x16",
        "net 10.0.0.0/8 or net 192.168.0.0/16",
        "ip6",
        "ip6 protochain 17",
        "not (src portrange 1-1023)",
        "vlan or mpls",
    ];
    let mut passed = 0;
    for file in all_captures() {
        let (all, stopped) = theirs(open(&file).unwrap());
        for expression in expressions {
            let mut capture = open(&file).unwrap();
            if capture.filter(expression, true).is_err() || stopped.is_some() || all.is_empty() {
                continue;
            }
            let (expected, _) = theirs(capture);
            let (packets, damage, filtered) = ours(&file, Some(expression));
            assert!(packets == expected, "{} {expression}", file.display());
            assert_eq!(damage, []);
            assert_eq!(packets.len() + filtered as usize, all.len());
            passed += packets.len();
        }
    }
    assert!(passed > 300);
}
