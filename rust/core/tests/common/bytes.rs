//! The bytes of a store as an outsider sees them: where its parts lie, by the table at the head of `layout.rs` and not by
//! its code, and what may be written over them.

// Each test file uses its part of this.
#![allow(dead_code)]

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use splinter::Geometry;

/// A small geometry, so that every byte of a region can be tried, and a fuzzer finds what is in it.
pub(crate) fn geometry() -> Geometry {
    Geometry::new(8, 192)
        .and_then(|geometry| geometry.with_max_key_bytes(16))
        .and_then(|geometry| geometry.with_journal_entries(64))
        .unwrap()
}

/// Where the checkpoint of a store is.
pub(crate) fn checkpoint_of(store: &Path) -> PathBuf {
    let mut path = store.as_os_str().to_os_string();
    path.push(".checkpoint");
    path.into()
}

/// Where the header has the id of the machine's boot.
pub(crate) const BOOT_ID_AT: usize = 136;
/// Where the journal's tail and the recount flag stand in the header, and the hint where free slots are looked for.
pub(crate) const FREE_HINT_AT: u64 = 216;
pub(crate) const RECOUNT_AT: u64 = 220;
/// Where the least deadline stands, and who finds it out anew.
pub(crate) const NEXT_DEADLINE_AT: u64 = 224;
pub(crate) const SWEEPER_AT: u64 = 240;
pub(crate) const JOURNAL_TAIL_AT: u64 = 256;
/// The identity's checksum, and the bytes before it that it covers.
pub(crate) const CHECKSUM_AT: usize = 64;
/// The header's first bytes, which are checked once at the opening.
pub(crate) const IDENTITY_BYTES: usize = 128;
pub(crate) const PAGE_BYTES: usize = 4096;
pub(crate) const HANDLE_BYTES: usize = 64;

/// The parts of a region.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) handles: Range<usize>,
    pub(crate) stripes: Range<usize>,
    pub(crate) free: Range<usize>,
    pub(crate) reserved: Range<usize>,
    pub(crate) index: Range<usize>,
    pub(crate) slots: Range<usize>,
    pub(crate) slot_bytes: usize,
    pub(crate) attributes: Range<usize>,
    pub(crate) journal: Range<usize>,
    pub(crate) values: Range<usize>,
    pub(crate) region_bytes: usize,
}

impl Parts {
    pub(crate) fn of(geometry: &Geometry) -> Self {
        let slots = geometry.slots() as usize;
        let value_bytes = (geometry.max_value_bytes() as usize).next_multiple_of(64);
        let chunk_slots = (256 * 1024 / (2 * value_bytes)).max(1);
        let slot_bytes = (40 + geometry.max_key_bytes() as usize + 1).next_multiple_of(64);
        let mut end = PAGE_BYTES + 64 * 128;
        let mut part = |bytes: usize| {
            let start = end;
            end = (start + bytes).next_multiple_of(64);
            start..start + bytes
        };
        let mut parts = Self {
            handles: part(1024 * HANDLE_BYTES),
            stripes: part(256 * 64),
            free: part(slots.div_ceil(64) * 8),
            reserved: part(slots.div_ceil(chunk_slots).div_ceil(64) * 8),
            index: part(slots.div_ceil(6) * 64),
            slots: part(slots * slot_bytes),
            slot_bytes,
            attributes: part(slots * 64),
            journal: part(geometry.journal_entries() as usize * 8),
            values: 0..0,
            region_bytes: 0,
        };
        let values = end.next_multiple_of(PAGE_BYTES);
        parts.values = values..values + slots * 2 * value_bytes;
        parts.region_bytes = parts.values.end.next_multiple_of(PAGE_BYTES);
        parts
    }

    /// Where the slots' words at `offset` lie: 0 is `ctl`, 8 the lock, 16 and 24 the descriptors, 40 the key.
    pub(crate) fn slot_words(&self, offset: usize, bytes: usize) -> Vec<Range<usize>> {
        self.slots
            .clone()
            .step_by(self.slot_bytes)
            .map(|slot| slot + offset..slot + offset + bytes)
            .collect()
    }
}

/// A file in memory that has no name to be left behind, and the path by which this process and its children open it.
///
/// Unlike that of an anonymous store its length can be changed.
pub(crate) fn memory_file() -> (File, PathBuf) {
    let file = tempfile::tempfile_in("/dev/shm").unwrap();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    (file, path.into())
}

/// Puts the right checksum over an identity.
pub(crate) fn sign(region: &mut [u8]) {
    let checksum = xxhash_rust::xxh3::xxh3_64(&region[..CHECKSUM_AT]);
    region[CHECKSUM_AT..CHECKSUM_AT + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// Numbers that look random and are the same in every run, behind those that were chosen.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
    chosen: std::vec::IntoIter<u8>,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            chosen: Vec::new().into_iter(),
        }
    }

    /// Numbers that are made of these bytes, as long as there are any, so that whoever chooses the bytes chooses the numbers.
    pub(crate) fn chosen(bytes: Vec<u8>) -> Self {
        Self {
            chosen: bytes.into_iter(),
            ..Self::new(1)
        }
    }

    /// Whether a number is still a chosen one.
    pub(crate) fn is_chosen(&self) -> bool {
        !self.chosen.as_slice().is_empty()
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.number(8)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.number(if end <= 256 { 1 } else { 8 }) % end as u64) as usize
    }

    fn number(&mut self, bytes: usize) -> u64 {
        if !self.is_chosen() {
            return self.shuffle();
        }
        let bytes = self.chosen.by_ref().take(bytes);
        bytes
            .zip(0..)
            .fold(0, |number, (byte, at)| number | u64::from(byte) << (8 * at))
    }

    fn shuffle(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Never with what was chosen.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.shuffle().to_le_bytes()[..chunk.len()]);
        }
    }

    /// Bytes that occur nowhere else by chance.
    pub(crate) fn marker(&mut self, bytes: usize) -> Vec<u8> {
        let mut marker = vec![0; bytes];
        self.fill(&mut marker);
        // No zero, which is what erased bytes look like.
        marker.iter_mut().for_each(|byte| *byte = (*byte).max(1));
        marker
    }
}

/// Whether `part` occurs in `whole`.
pub(crate) fn contains(whole: &[u8], part: &[u8]) -> bool {
    find(whole, part).is_some()
}

pub(crate) fn find(whole: &[u8], part: &[u8]) -> Option<usize> {
    // The first byte is rare, so that looking for it alone is quick.
    let (&first, rest) = part.split_first()?;
    let mut from = 0;
    while let Some(at) = whole[from..].iter().position(|&byte| byte == first) {
        if whole[from + at + 1..].starts_with(rest) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
