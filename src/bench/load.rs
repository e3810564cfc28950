//! The bytes to measure with: traffic that is made, or captures of the user's own.
//!
//! In: the name of a workload or a file. Out: a [`Load`]: classic pcap images in memory, nanoseconds, one for each
//! stretch of one link type. Nothing is read from a disk while it is measured.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::machine;
use super::result::{SizeClass, Traffic};
use super::traffic::{self, Size, Workload};
use super::{Error, Options};
use crate::capture::{Bytes, Inputs, LinkType, Packet, Replay, Source};
use crate::fact::value;
use crate::time::SECOND;

/// Frame sizes of RFC 2544, section 9.1, for Ethernet: with the FCS.
pub const FRAME_BYTES: [u32; 7] = [64, 128, 256, 512, 1024, 1280, 1518];
/// Bytes of the FCS, which captures leave out.
const FCS_BYTES: u32 = 4;
/// Snap length that images declare.
const SNAP_BYTES: u32 = 262_144;
/// Packets of a run over a capture of the user's own, at least: full, quick.
const OWN_PACKETS: (u64, u64) = (1_000_000, 150_000);
/// Rounds of it at most.
const ROUNDS_MAX: u64 = 100_000;

/// What a name on the command line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// Traffic that is made.
    Workload(Workload),
    /// A capture, or a folder of them.
    File(String),
}

impl Name {
    /// The name of a workload, otherwise a file that is there.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Name, Error> {
        match text.parse() {
            Ok(workload) => Ok(Name::Workload(workload)),
            Err(()) if text == "-" || Path::new(text).exists() => Ok(Name::File(text.to_owned())),
            Err(()) => Err(Error::Neither(text.to_owned())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Workload(workload) => workload.fmt(f),
            Name::File(name) => f.write_str(name),
        }
    }
}

/// Images to go over, and what is known of them.
pub struct Load {
    /// As it was typed.
    pub name: String,
    /// What it is.
    pub about: String,
    /// Counts and digest.
    pub traffic: Traffic,
    images: Vec<(Arc<str>, Bytes)>,
}

impl Load {
    /// Makes the traffic, or reads the capture.
    ///
    /// # Errors
    /// When nothing can be read, or it does not fit into memory.
    pub fn new(name: &Name, options: &Options) -> Result<Load, Error> {
        match name {
            Name::Workload(workload) => {
                let image = traffic::image(*workload, options.size, options.seed);
                let rounds = workload.amount(options.size).1;
                Ok(Load::of(workload.name(), workload.about(), vec![image], |_| rounds))
            }
            Name::File(name) => {
                let wanted = match options.size {
                    Size::Full => OWN_PACKETS.0,
                    Size::Quick => OWN_PACKETS.1,
                    Size::Packets(packets) => packets,
                };
                let rounds = |packets: u64| wanted.div_ceil(packets.max(1)).clamp(1, ROUNDS_MAX);
                Ok(Load::of(name, "a capture of your own, repeated from memory", read(name)?, rounds))
            }
        }
    }

    /// Frames of one size, so many of them; bytes with the FCS, as RFC 2544 counts them.
    pub fn fixed(frame_bytes: u32, packets: u64, seed: u64) -> Load {
        let image = traffic::fixed(packets, seed, frame_bytes.saturating_sub(FCS_BYTES) as usize);
        let about = "UDP and TCP of 10,000 flows, one size (RFC 2544, section 9.1), FCS counted";
        Load::of(&format!("{frame_bytes}-byte frames"), about, vec![image], |_| 1)
    }

    /// Images that were written to files, as a scan finds them: nothing of them was read or counted.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn unread(files: &[PathBuf]) -> Result<Load, Error> {
        let image = |path: &PathBuf| match Bytes::of_file(path) {
            Ok(bytes) => Ok((Arc::from(""), bytes)),
            Err(error) => Err(Error::File(path.clone(), error)),
        };
        let images = files.iter().map(image).collect::<Result<_, _>>()?;
        Ok(Load { name: String::new(), about: String::new(), traffic: Traffic::default(), images })
    }

    fn of(name: &str, about: &str, images: Vec<Vec<u8>>, rounds: impl Fn(u64) -> u64) -> Load {
        let capture_bytes = images.iter().map(|image| image.len() as u64).sum();
        let mut digest = Sha256::new();
        images.iter().for_each(|image| digest.update(image));
        let sha256 = value::hex(&digest.finalize());
        let images = images.into_iter().map(|image| (Arc::from(name), Arc::new(image).into())).collect();
        let traffic = Traffic { capture_bytes, sha256, rounds: 1, ..Traffic::default() };
        let mut load = Load { name: name.to_owned(), about: about.to_owned(), traffic, images };
        load.count();
        load.traffic.rounds = rounds(load.traffic.packets);
        load
    }

    /// Counts the packets of one round.
    fn count(&mut self) {
        let mut sizes = [0; FRAME_BYTES.len() + 1];
        let mut source = self.replay(1);
        while let Some(block) = source.next_block() {
            for packet in &block.packets {
                let bytes = on_wire(packet);
                self.traffic.packets += 1;
                self.traffic.wire_bytes += u64::from(bytes);
                sizes[FRAME_BYTES.partition_point(|&size| size < bytes.saturating_add(FCS_BYTES))] += 1;
            }
        }
        let limits = FRAME_BYTES.iter().copied().map(Some).chain([None]);
        self.traffic.sizes =
            limits.zip(sizes).map(|(up_to_bytes, packets)| SizeClass { up_to_bytes, packets }).collect();
    }

    /// A source that goes over the images so many times.
    pub fn replay(&self, rounds: u64) -> Replay {
        Replay::new(self.images.clone(), rounds)
    }

    /// The images.
    pub fn images(&self) -> impl Iterator<Item = &[u8]> {
        self.images.iter().map(|(_, image)| image.as_slice())
    }

    /// Packets of a whole run.
    pub fn packets(&self) -> u64 {
        self.traffic.packets.saturating_mul(self.traffic.rounds)
    }
}

/// Bytes a packet had on the wire; a capture that says less than it holds is wrong.
fn on_wire(packet: &Packet) -> u32 {
    packet.original.max(packet.captured)
}

/// Reads captures of any kind into images.
fn read(name: &str) -> Result<Vec<Vec<u8>>, Error> {
    let unreadable = |reason: String| Error::Unreadable(name.to_owned(), reason);
    let room = machine::available_bytes().map_or(u64::MAX, |bytes| bytes / 4 * 3);
    let mut inputs = Inputs::open(&[name.to_owned()], None).map_err(|error| unreadable(error.to_string()))?;
    let (mut images, mut link, mut filled) = (Vec::new(), None, 0);
    while let Some(block) = inputs.next_block() {
        for packet in &block.packets {
            if link != Some(packet.link) {
                link = Some(packet.link);
                images.push(begin(packet.link));
            }
            let end = packet.start + packet.captured as usize;
            let (Some(bytes), Some(image)) = (block.bytes.as_slice().get(packet.start..end), images.last_mut()) else {
                continue;
            };
            filled += bytes.len() as u64 + 16;
            add(image, packet, bytes);
        }
        if filled > room {
            return Err(unreadable("more than fits into memory".to_owned()));
        }
    }
    if images.is_empty() {
        let reason = inputs.damage().first().map_or("no packets", |damage| damage.reason.as_str());
        return Err(unreadable(reason.to_owned()));
    }
    Ok(images)
}

/// The file header of a classic pcap with nanoseconds (draft-ietf-opsawg-pcap).
fn begin(link: LinkType) -> Vec<u8> {
    let mut image = 0xa1b2_3c4d_u32.to_le_bytes().to_vec();
    image.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    image.extend_from_slice(&SNAP_BYTES.to_le_bytes());
    image.extend_from_slice(&u32::from(link.0).to_le_bytes());
    image
}

/// A record: seconds, nanoseconds, captured, original, bytes.
fn add(image: &mut Vec<u8>, packet: &Packet, bytes: &[u8]) {
    let time = packet.time.0.max(0);
    let seconds = u32::try_from(time / SECOND).unwrap_or(u32::MAX);
    for number in [seconds, (time % SECOND) as u32, packet.captured, on_wire(packet)] {
        image.extend_from_slice(&number.to_le_bytes());
    }
    image.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options { size: Size::Packets(3_000), ..Options::default() }
    }

    #[test]
    fn sizes_and_sums_are_those_of_the_packets() {
        let Ok(load) = Load::new(&Name::Workload(Workload::Small), &options()) else { unreachable!() };
        assert_eq!(load.traffic.sizes[1].packets, load.traffic.packets, "64 bytes, 68 with the FCS: up to 128");
        assert_eq!(load.traffic.wire_bytes, load.traffic.packets * 64);
        assert_eq!(load.traffic.capture_bytes, 24 + load.traffic.packets * (64 + 16));
    }

    #[test]
    fn a_file_gives_the_packets_that_were_written() {
        let Ok(made) = Load::new(&Name::Workload(Workload::Mixed), &options()) else { unreachable!() };
        let dir = tempfile::tempdir().unwrap_or_else(|_| unreachable!());
        let path = dir.path().join("own.pcap");
        std::fs::write(&path, made.images().next().unwrap_or_default()).unwrap_or_else(|_| unreachable!());
        let name = Name::File(path.to_string_lossy().into_owned());
        let own = Load::new(&name, &Options { size: Size::Packets(10_000), ..options() });
        let Ok(own) = own else { unreachable!() };
        assert_eq!(own.traffic.sha256, made.traffic.sha256, "the same image, byte for byte");
        assert_eq!(own.traffic.rounds, 10_000_u64.div_ceil(made.traffic.packets));
    }

    #[test]
    fn a_name_is_a_workload_or_a_file_or_neither() {
        assert_eq!(Name::parse("flows-10m").ok(), Some(Name::Workload(Workload::Flows10M)));
        assert_eq!(Name::parse("Cargo.toml").ok(), Some(Name::File("Cargo.toml".to_owned())));
        let Err(error) = Name::parse("mixd") else { unreachable!() };
        assert!(error.to_string().contains("mixd") && error.to_string().contains("elephants"), "{error}");
    }
}
