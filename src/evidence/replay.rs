//! The ordinary scan of chosen packets, and what it says of one finding.
//!
//! In: packets in memory, or a file. Out: the findings, and of the one that is asked for what a replay must bring out again.

use std::sync::Arc;

use super::cut::Kept;
use super::manifest::{Subject, Told};
use crate::capture::{Block, Bytes, Damage, Packet, Source};
use crate::collect::Judging;
use crate::record::Finding;
use crate::scan::Scan;

/// Bytes of flow state of a replay; what it reads has a limit far below.
const MEMORY_BYTES: usize = 1 << 30;

/// Packets that lie in memory.
struct Memory(Option<Block>);

impl Memory {
    fn of(packets: &[Kept]) -> Memory {
        let mut bytes = Vec::with_capacity(packets.iter().map(|packet| packet.bytes.len()).sum());
        let mut list = Vec::with_capacity(packets.len());
        for &Kept { time, link, original, bytes: ref kept, .. } in packets {
            let (start, captured) = (bytes.len(), kept.len() as u32);
            list.push(Packet { time, start, captured, original, link, interface: 0 });
            bytes.extend_from_slice(kept);
        }
        let bytes = Bytes::Owned(Arc::new(bytes));
        Memory(Some(Block { input: "".into(), bytes, packets: list, first_number: 1 }))
    }
}

impl Source for Memory {
    fn next_block(&mut self) -> Option<Block> {
        self.0.take()
    }

    fn damage(&self) -> &[Damage] {
        &[]
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (0, None)
    }
}

/// How the run was that is repeated.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    pub(super) judging: &'a Judging,
    /// It told flows apart by their VLANs.
    pub(super) vlans_apart: bool,
}

impl How<'_> {
    /// The findings of a source.
    pub(super) fn scan(self, source: &mut dyn Source) -> Vec<Finding> {
        let scan = Scan {
            judging: self.judging.clone(),
            workers: 1,
            memory: MEMORY_BYTES,
            packets_max: u64::MAX,
            vlans_apart: self.vlans_apart,
            keep_flows: false,
            mergeable: false,
            digests: false,
            filter: None,
        };
        scan.run(source, &[], &|_, _| {}).report.findings
    }

    /// The finding with this id among those of chosen packets.
    pub(super) fn finding(self, id: &str, packets: &[Kept]) -> Option<Finding> {
        self.scan(&mut Memory::of(packets)).into_iter().find(|finding| finding.id == id)
    }

    /// What the scan of chosen packets says of a finding.
    pub(super) fn told(self, id: &str, subject: &Subject, packets: &[Kept]) -> Told {
        told_of(id, subject, &self.scan(&mut Memory::of(packets)))
    }
}

/// What these findings say of one: that of its id, else the one that is most like it.
pub(super) fn told_of(id: &str, subject: &Subject, findings: &[Finding]) -> Told {
    if let Some(same) = findings.iter().find(|finding| finding.id == id) {
        return Subject::of(same).told();
    }
    let expected = subject.told();
    let of_asset = findings.iter().filter(|finding| finding.asset.ip == subject.ip);
    let told = of_asset.map(|finding| Subject::of(finding).told());
    told.min_by_key(|told| expected.differences(told).len()).unwrap_or(Told(None))
}
