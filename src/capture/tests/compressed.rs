use std::io::{Cursor, Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::super::compressed::{
    BOMB_BYTES_MIN, Counted, Decompressed, NESTING_MAX, Peek, STEP_BYTES_MAX, XZ_MEMORY_BYTES_MAX,
};
use super::super::input::Input;
use super::{drain, pcap_file, read, read_clean};

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut writer = zstd::Encoder::new(Vec::new(), 1).unwrap();
    writer.include_checksum(true).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

pub(super) fn lz4(bytes: &[u8]) -> Vec<u8> {
    let info = lz4_flex::frame::FrameInfo::new()
        .block_size(lz4_flex::frame::BlockSize::Max64KB)
        .block_mode(lz4_flex::frame::BlockMode::Linked)
        .content_checksum(true);
    let mut writer = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

pub(super) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 1);
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

type Compressor = fn(&[u8]) -> Vec<u8>;
const ALL: [(&str, Compressor); 4] = [("gzip", gzip), ("zstd", zstd), ("lz4", lz4), ("xz", xz)];

/// A skippable frame, as pzstd writes before each of its frames.
fn skippable(content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x5a, 0x2a, 0x4d, 0x18];
    bytes.extend((content.len() as u32).to_le_bytes());
    bytes.extend(content);
    bytes
}

fn sample() -> Vec<u8> {
    pcap_file(&[(1, b"first"), (2, b"second packet"), (3, &[0xaa; 3000])])
}

#[test]
fn every_format_gives_the_same_packets() {
    let plain = sample();
    let expected = read_clean(&plain);
    for (name, compress) in ALL {
        assert_eq!(read_clean(&compress(&plain)), expected, "{name}");
    }
}

#[test]
fn frames_one_after_another_in_any_mix() {
    let plain = sample();
    let expected = read_clean(&plain);
    for split in [0, 1, 23, 30, plain.len()] {
        let (a, b) = plain.split_at(split);
        for (_, first) in ALL {
            for (_, second) in ALL {
                let both = [skippable(b"x"), first(a), skippable(b""), second(b)].concat();
                assert_eq!(read_clean(&both), expected);
            }
        }
    }
    // One byte in each member.
    let members: Vec<u8> = plain.iter().flat_map(|byte| gzip(&[*byte])).collect();
    assert_eq!(read_clean(&members), expected);
}

#[test]
fn zero_bytes_after_the_last_frame_are_padding_and_others_are_damage() {
    let plain = sample();
    let expected = read_clean(&plain);
    for (name, compress) in ALL {
        let mut bytes = compress(&plain);
        bytes.extend([0; 64]);
        assert_eq!(read_clean(&bytes), expected, "{name}");
        bytes.extend(b"tail");
        let (packets, flaws) = read(&bytes).unwrap();
        assert_eq!(packets, expected);
        assert_eq!((flaws.len(), flaws[0].offset), (1, plain.len() as u64));
        assert!(flaws[0].reason.starts_with(name), "{}", flaws[0].reason);
    }
}

#[test]
fn two_levels_are_read_and_three_are_not() {
    let plain = sample();
    let expected = read_clean(&plain);
    for (_, outer) in ALL {
        for (_, inner) in ALL {
            assert_eq!(read_clean(&outer(&inner(&plain))), expected);
            let reason = read(&outer(&inner(&gzip(&plain)))).unwrap_err();
            assert!(reason.contains(&format!("more than {NESTING_MAX} times")), "{reason}");
        }
    }
}

#[test]
fn cut_short_gives_the_good_records_first() {
    // Random bytes do not compress, so the cut falls where it would in the plain file.
    let mut state = 1u32;
    let data: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    })
    .take(600_000)
    .collect();
    let records: Vec<(u32, &[u8])> = (0..).zip(data.chunks(1000)).collect();
    let plain = pcap_file(&records);
    let whole = read_clean(&plain);
    for (name, compress) in ALL {
        let bytes = compress(&plain);
        let (packets, flaws) = read(&bytes[..bytes.len() * 2 / 3]).unwrap();
        assert!(packets.len() > 200, "{name}: {}", packets.len());
        assert_eq!(packets, whole[..packets.len()]);
        assert_eq!(flaws.len(), 1, "{name}");
        assert_eq!(flaws[0].reason, format!("{name} data: cut short"));
        assert!(flaws[0].offset >= 24 + packets.len() as u64 * 1016);
    }
}

#[test]
fn cut_at_every_byte() {
    let plain = sample();
    let whole = read_clean(&plain);
    for (name, compress) in ALL {
        let bytes = compress(&plain);
        for cut in 1..bytes.len() {
            match read(&bytes[..cut]) {
                Ok((packets, flaws)) => {
                    assert_eq!(packets, whole[..packets.len()]);
                    assert_eq!(flaws.len(), 1, "{name} cut at {cut}");
                    assert_eq!(flaws[0].reason, format!("{name} data: cut short"));
                }
                Err(reason) => assert!(
                    reason == "not a capture file" || reason == format!("{name} data: cut short"),
                    "{name} cut at {cut}: {reason}"
                ),
            }
        }
    }
}

#[test]
fn wrong_checksums_are_damage_and_cost_no_more_than_a_step() {
    let data = [7; 1000];
    let records: Vec<(u32, &[u8])> = (0..1000).map(|second| (second, &data[..])).collect();
    let plain = pcap_file(&records);
    for (name, compress) in ALL {
        let mut bytes = compress(&plain);
        // The checksum of the content, and for xz that of its index.
        let at = bytes.len() - if name == "gzip" { 8 } else { 4 };
        bytes[at] ^= 1;
        let input = Input::stream(Box::new(Cursor::new(bytes)), false).unwrap();
        let (packets, flaws) = drain(input, 1024);
        assert!(packets.len() > 900, "{name}: {}", packets.len());
        assert_eq!(flaws.len(), 1, "{name}");
        assert!(flaws[0].reason.starts_with(name), "{}", flaws[0].reason);
    }
}

#[test]
fn empty_inside_is_empty() {
    for (_, compress) in ALL {
        assert_eq!(read(&compress(b"")), Err("empty".to_owned()));
        assert_eq!(read(&compress(b"text")), Err("not a capture file".to_owned()));
    }
}

fn decompress(bytes: Vec<u8>, bomb_bytes_min: u64) -> (u64, std::io::Result<u64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Counted::new(Cursor::new(bytes), count.clone());
    let source = Peek::new(Box::new(std::io::BufReader::new(counted)));
    let mut inside = Decompressed::new(source, count).with_bomb_bytes_min(bomb_bytes_min);
    let mut buffer = [0; 65_536];
    let mut sum = 0;
    loop {
        match inside.read(&mut buffer) {
            Ok(0) => return (sum, Ok(sum)),
            Ok(n) => sum += n as u64,
            Err(error) => return (sum, Err(error)),
        }
    }
}

#[test]
fn a_ratio_beyond_reason_is_refused_above_a_size() {
    let bomb = zstd(&vec![0; 8 << 20]);
    let (sum, result) = decompress(bomb.clone(), 1 << 20);
    assert!(sum <= (1 << 20) + 65_536, "{sum}");
    let error = result.unwrap_err().to_string();
    assert!(error.starts_with("zstd data:") && error.contains("refused"), "{error}");
    // The same below the size, and a ratio of ten above it, are let through.
    assert_eq!(decompress(bomb, BOMB_BYTES_MIN).1.unwrap(), 8 << 20);
    let mut mixed = vec![0; 8 << 20];
    for at in (0..mixed.len()).step_by(64) {
        mixed[at] = (at / 64 % 251) as u8;
        mixed[at + 1] = (at / 64 / 251) as u8;
    }
    assert_eq!(decompress(lz4(&mixed), 1 << 20).1.unwrap(), 8 << 20);
}

#[test]
fn a_bomb_inside_a_bomb_is_held_against_the_file() {
    // A capture of zero-length records: 1.5 GiB of zero bytes in a few hundred bytes.
    let mut inner = zstd::Encoder::new(Vec::new(), 1).unwrap();
    inner.write_all(&pcap_file(&[])).unwrap();
    std::io::copy(&mut std::io::repeat(0).take(3 << 29), &mut inner).unwrap();
    let bomb = zstd(&inner.finish().unwrap());
    assert!(bomb.len() < 100_000, "{}", bomb.len());
    let mut input = Input::stream(Box::new(Cursor::new(bomb)), false).unwrap();
    let mut packets = 0u64;
    while let Some((_, some)) = input.next(1024) {
        packets += some.len() as u64;
    }
    let bytes = packets * 16;
    assert!(bytes > 1000 << 20 && bytes < 1100 << 20, "{bytes}");
    let flaws = input.into_flaws().0;
    assert_eq!(flaws.len(), 1);
    assert!(flaws[0].reason.contains("refused"), "{}", flaws[0].reason);
    assert!(flaws[0].offset > 1000 << 20);
}

#[test]
fn memory_bounds_of_the_decoders_are_named() {
    // A zstd frame that asks for a window of 2^31 bytes.
    let mut writer = zstd::Encoder::new(Vec::new(), 1).unwrap();
    writer.window_log(28).unwrap();
    writer.write_all(&sample()).unwrap();
    let (_, result) = decompress(writer.finish().unwrap(), BOMB_BYTES_MIN);
    assert!(result.unwrap_err().to_string().starts_with("zstd data:"));
}

#[test]
fn a_pipe_is_not_waited_for() {
    // A compressed pipe that never ends: packets come as soon as they can be read.
    struct Endless(Cursor<Vec<u8>>);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(buffer)? {
                0 => panic!("waited for more than there is"),
                n => Ok(n),
            }
        }
    }
    let mut writer = zstd::Encoder::new(Vec::new(), 1).unwrap();
    writer.write_all(&sample()).unwrap();
    writer.flush().unwrap();
    for bytes in [writer.get_ref().clone(), sample()] {
        let mut input = Input::stream(Box::new(Endless(Cursor::new(bytes))), true).unwrap();
        let (_, packets) = input.next(1024).unwrap();
        assert_eq!(packets.len(), 3);
    }
    let (packets, _) = drain(Input::stream(Box::new(Cursor::new(zstd(&sample()))), true).unwrap(), 1);
    assert_eq!(packets.len(), 3);
}

/// What an xz stream says that it needs is refused when it is too much, before it is taken.
#[test]
fn memory_of_xz() {
    let plain = sample();
    // The block header behind the twelve bytes of the stream's: its size, flags, the filter LZMA2 with one byte for the
    // size of the dictionary, padding, CRC32 (the .xz file format, 3.1 and 5.3.1).
    let with_dictionary = |bits: u8| {
        let mut bytes = xz(&plain);
        let end = 12 + (usize::from(bytes[12]) + 1) * 4;
        assert_eq!(bytes[14..16], [0x21, 1]);
        bytes[16] = bits;
        let mut sum = flate2::Crc::new();
        sum.update(&bytes[12..end - 4]);
        bytes[end - 4..end].copy_from_slice(&sum.sum().to_le_bytes());
        bytes
    };
    let size = |bits: u8| (2 | u64::from(bits & 1)) << (bits / 2 + 11);
    assert!(size(30) < XZ_MEMORY_BYTES_MAX && size(32) >= XZ_MEMORY_BYTES_MAX);
    assert_eq!(read_clean(&with_dictionary(30)), read_clean(&plain));
    let reason = read(&with_dictionary(32)).unwrap_err();
    assert!(reason.contains("xz") && reason.contains("memory"), "{reason}");
}

/// However much is asked for, so much is decompressed at a time.
#[test]
fn bytes_at_a_time() {
    let bytes = zstd(&vec![7; 4 * STEP_BYTES_MAX]);
    let peek = Peek::new(Box::new(Cursor::new(bytes)));
    let mut decompressed = Decompressed::new(peek, Arc::new(AtomicU64::new(1000)));
    let mut buffer = vec![0; 3 * STEP_BYTES_MAX];
    let mut all = 0;
    loop {
        match decompressed.read(&mut buffer).unwrap() {
            0 => break,
            read => {
                assert!(read <= STEP_BYTES_MAX, "{read}");
                all += read;
            }
        }
    }
    assert_eq!(all, 4 * STEP_BYTES_MAX);
}
