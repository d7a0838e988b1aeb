//! The file beside a store that a power cut leaves whole.
//!
//! | offset                | bytes             | content                                                        |
//! |-----------------------|-------------------|----------------------------------------------------------------|
//! | 0                     | 4,096             | magic, version, id of the store, size of a record, checksum    |
//! | 4,096                 | 2 x 8,192         | two [`Summary`]s                                               |
//! | 20,480                | 2 x record a slot | two [`Record`]s of each slot                                   |
//!
//! Of each pair the one counts whose checksum is right and whose generation is the greater; a sync writes over the other
//! one, with the next generation of the pair. So whatever part of a sync reaches the disk before a power cut, what the sync
//! before it had written is there.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use xxhash_rust::xxh3::xxh3_64;

use crate::guard::Unshared;
use crate::labels::LABEL_BYTES_MAX;
use crate::layout::{Geometry, LABELS, LINE_BYTES};

const MAGIC: [u8; 8] = *b"SPLBCKP1";
const IDENTITY_BYTES: usize = 48;
const SUMMARY_AT: u64 = 4096;
const SUMMARY_BYTES: usize = 8192;
const SUMMARY_USED: usize = 64 + LABELS as usize * 64;
const RECORDS_AT: u64 = SUMMARY_AT + 2 * SUMMARY_BYTES as u64;
/// Bytes of a record before the key.
pub(super) const RECORD_HEAD: usize = 64;

/// What a slot held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Record {
    pub(super) sequence: u64,
    pub(super) inserted: u64,
    pub(super) labels: u64,
    /// In ns since 1970; 0: none.
    pub(super) deadline: u64,
    pub(super) value_type: u8,
    pub(super) is_pinned: bool,
    /// Empty if there was no key.
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// What belongs to the whole store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) epoch_floor: u64,
    pub(super) births: u64,
    pub(super) journal_end: u64,
    pub(super) flags: u32,
    pub(super) eviction: u32,
    pub(super) labels: Vec<String>,
}

/// Bytes that are put together, or taken apart, number by number.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn u64(&mut self) -> u64 {
        let (head, rest) = self.0.split_first_chunk().unwrap_or((&[0; 8], &[]));
        self.0 = rest;
        u64::from_le_bytes(*head)
    }

    fn u32(&mut self) -> u32 {
        let (head, rest) = self.0.split_first_chunk().unwrap_or((&[0; 4], &[]));
        self.0 = rest;
        u32::from_le_bytes(*head)
    }
}

/// Puts the checksum of all that follows in front.
fn seal(bytes: &mut [u8]) {
    let checksum = xxh3_64(&bytes[8..]);
    bytes[..8].copy_from_slice(&checksum.to_le_bytes());
}

fn is_sealed(bytes: &[u8]) -> bool {
    bytes
        .split_first_chunk()
        .is_some_and(|(checksum, rest)| u64::from_le_bytes(*checksum) == xxh3_64(rest))
}

impl Record {
    fn encode(&self, generation: u64) -> Vec<u8> {
        let mut bytes = vec![0; 8];
        for number in [generation, self.sequence, self.inserted, self.labels, self.deadline] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend((self.value.len() as u32).to_le_bytes());
        bytes.extend((self.key.len() as u16).to_le_bytes());
        bytes.extend([self.value_type, u8::from(self.is_pinned)]);
        bytes.resize(RECORD_HEAD, 0);
        bytes.extend(&self.key);
        bytes.extend(&self.value);
        seal(&mut bytes);
        bytes
    }

    /// The lengths that a record's head tells, of key and value.
    fn lengths(head: &[u8]) -> (usize, usize) {
        let mut rest = Bytes(&head[48..]);
        let value_bytes = rest.u32() as usize;
        let key_bytes = rest.u32() as usize & 0xffff;
        (key_bytes, value_bytes)
    }

    fn decode(bytes: &[u8]) -> (u64, Self) {
        let mut rest = Bytes(&bytes[8..]);
        let generation = rest.u64();
        let [sequence, inserted, labels, deadline] = [0; 4].map(|_: u64| rest.u64());
        let (key_bytes, _) = Self::lengths(bytes);
        let (key, value) = bytes[RECORD_HEAD..].split_at(key_bytes);
        let record = Self {
            sequence,
            inserted,
            labels,
            deadline,
            value_type: bytes[54],
            is_pinned: bytes[55] != 0,
            key: key.into(),
            value: value.into(),
        };
        (generation, record)
    }
}

impl Summary {
    fn encode(&self, generation: u64) -> Vec<u8> {
        let mut bytes = vec![0; 8];
        for number in [generation, self.epoch_floor, self.births, self.journal_end] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.eviction.to_le_bytes());
        bytes.resize(64, 0);
        for name in &self.labels {
            let start = bytes.len();
            bytes.push(name.len() as u8);
            bytes.extend(name.as_bytes());
            bytes.resize(start + 64, 0);
        }
        bytes.resize(SUMMARY_USED, 0);
        seal(&mut bytes);
        bytes
    }

    fn decode(bytes: &[u8]) -> (u64, Self) {
        let mut rest = Bytes(&bytes[8..]);
        let [generation, epoch_floor, births, journal_end] = [0; 4].map(|_: u64| rest.u64());
        let (flags, eviction) = (rest.u32(), rest.u32());
        let names = bytes[64..].chunks_exact(64).map(|record| {
            let length = usize::from(record[0]).min(LABEL_BYTES_MAX);
            // Replacing what is no text would make it longer than a name can be.
            str::from_utf8(&record[1..1 + length]).unwrap_or_default().into()
        });
        let summary = Self {
            epoch_floor,
            births,
            journal_end,
            flags,
            eviction,
            labels: names.collect(),
        };
        (generation, summary)
    }
}

/// A pair of places, of which one holds what counts.
#[derive(Debug, Clone)]
pub(super) struct Kept<T> {
    /// What counts, if anything does.
    pub(super) newest: Option<T>,
    /// How often the pair was written.
    generation: u64,
    /// Where the next one goes: 0 or 1.
    pub(super) next_place: u64,
}

/// An open checkpoint.
#[derive(Debug)]
pub(super) struct Checkpoint {
    /// Whoever writes or recovers has a lock on it, which no child may keep.
    file: Unshared,
    geometry: Geometry,
}

impl Checkpoint {
    /// What the first page of the file says, of a store of this id.
    pub(super) fn identity(store_id: [u8; 16], geometry: &Geometry) -> [u8; IDENTITY_BYTES] {
        let mut bytes = [0; IDENTITY_BYTES];
        bytes[8..16].copy_from_slice(&MAGIC);
        bytes[16..32].copy_from_slice(&store_id);
        bytes[32..40].copy_from_slice(&record_stride(geometry).to_le_bytes());
        bytes[40..44].copy_from_slice(&geometry.slots().to_le_bytes());
        seal(&mut bytes);
        bytes
    }

    /// The checkpoint that a file is; `None` if it is not that of this store.
    pub(super) fn open(file: File, store_id: [u8; 16], geometry: &Geometry) -> io::Result<Option<Self>> {
        let mut start = [0; IDENTITY_BYTES];
        let is_ours = match file.read_exact_at(&mut start, 0) {
            Ok(()) => start == Self::identity(store_id, geometry),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(error),
        };
        Ok(is_ours.then(|| Self {
            file: Unshared::new(file),
            geometry: *geometry,
        }))
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Reads up to the end of the file, and zeros behind it.
    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.file.read_at(&mut bytes[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes[filled..].fill(0);
        Ok(())
    }

    fn record_at(&self, slot: u32, place: u64) -> u64 {
        RECORDS_AT + (2 * u64::from(slot) + place) * record_stride(&self.geometry)
    }

    pub(super) fn record(&self, slot: u32) -> io::Result<Kept<Record>> {
        let mut kept: [Option<(u64, Record)>; 2] = [None, None];
        for (place, kept) in (0..).zip(&mut kept) {
            let bytes = self.record_bytes(self.record_at(slot, place))?;
            *kept = bytes
                .filter(|bytes| is_sealed(bytes))
                .map(|bytes| Record::decode(&bytes));
        }
        Ok(newest(kept))
    }

    /// What is at the place of a record, whole or not; `None` if nothing is.
    fn record_bytes(&self, at: u64) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; RECORD_HEAD];
        self.read(&mut bytes, at)?;
        let (key_bytes, value_bytes) = Record::lengths(&bytes);
        let is_possible = key_bytes <= self.geometry.max_key_bytes() as usize
            && value_bytes <= self.geometry.max_value_bytes() as usize;
        if !is_possible || bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        bytes.resize(RECORD_HEAD + key_bytes + value_bytes, 0);
        self.read(&mut bytes[RECORD_HEAD..], at + RECORD_HEAD as u64)?;
        Ok(Some(bytes))
    }

    /// Writes everything once more where it is: the system takes for written what it could not write.
    pub(super) fn rewrite(&self) -> io::Result<()> {
        let mut start = vec![0; RECORDS_AT as usize];
        self.read(&mut start, 0)?;
        self.file.write_all_at(&start, 0)?;
        for slot in 0..self.geometry.slots() {
            for place in 0..2 {
                let at = self.record_at(slot, place);
                if let Some(bytes) = self.record_bytes(at)? {
                    self.file.write_all_at(&bytes, at)?;
                }
            }
        }
        Ok(())
    }

    /// Writes over the one of a slot's records that does not count; `kept` is what [`Self::record`] has found.
    pub(super) fn write_record(&self, slot: u32, kept: &Kept<Record>, record: &Record) -> io::Result<()> {
        let at = self.record_at(slot, kept.next_place);
        self.file
            .write_all_at(&record.encode(kept.generation.saturating_add(1)), at)
    }

    pub(super) fn summary(&self) -> io::Result<Kept<Summary>> {
        let mut kept = [None, None];
        for (place, kept) in (0..).zip(&mut kept) {
            let mut bytes = vec![0; SUMMARY_USED];
            self.read(&mut bytes, SUMMARY_AT + place * SUMMARY_BYTES as u64)?;
            let is_whole = bytes.iter().any(|&byte| byte != 0) && is_sealed(&bytes);
            *kept = is_whole.then(|| Summary::decode(&bytes));
        }
        Ok(newest(kept))
    }

    /// The same for the summary.
    pub(super) fn write_summary(&self, kept: &Kept<Summary>, summary: &Summary) -> io::Result<()> {
        let at = SUMMARY_AT + kept.next_place * SUMMARY_BYTES as u64;
        self.file
            .write_all_at(&summary.encode(kept.generation.saturating_add(1)), at)
    }
}

fn newest<T>(kept: [Option<(u64, T)>; 2]) -> Kept<T> {
    let (generation, newest, next_place) = match kept {
        [Some((a, _)), Some((b, newest))] if b > a => (b, Some(newest), 0),
        [Some((a, newest)), _] => (a, Some(newest), 1),
        [None, Some((b, newest))] => (b, Some(newest), 0),
        [None, None] => (0, None, 0),
    };
    Kept {
        newest,
        generation,
        next_place,
    }
}

/// Bytes from one record to the next.
fn record_stride(geometry: &Geometry) -> u64 {
    let bytes = RECORD_HEAD as u64 + u64::from(geometry.max_key_bytes()) + u64::from(geometry.max_value_bytes());
    bytes.next_multiple_of(LINE_BYTES as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            sequence: 7,
            inserted: 3,
            labels: 5,
            deadline: 9,
            value_type: 3,
            is_pinned: true,
            key: b"key".to_vec(),
            value: b"value".to_vec(),
        }
    }

    fn checkpoint() -> Checkpoint {
        let geometry = Geometry::new(4, 64).unwrap();
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&Checkpoint::identity([7; 16], &geometry), 0).unwrap();
        assert!(
            Checkpoint::open(file.try_clone().unwrap(), [8; 16], &geometry)
                .unwrap()
                .is_none()
        );
        Checkpoint::open(file, [7; 16], &geometry).unwrap().unwrap()
    }

    #[test]
    fn of_two_records_the_newer_whole_one_counts() {
        let checkpoint = checkpoint();
        let (old, new) = (
            record(),
            Record {
                sequence: 8,
                ..record()
            },
        );
        let kept = checkpoint.record(2).unwrap();
        assert_eq!((&kept.newest, kept.next_place), (&None, 0));
        checkpoint.write_record(2, &kept, &old).unwrap();
        let kept = checkpoint.record(2).unwrap();
        assert_eq!((&kept.newest, kept.next_place), (&Some(old.clone()), 1));
        checkpoint.write_record(2, &kept, &new).unwrap();
        let kept = checkpoint.record(2).unwrap();
        assert_eq!((kept.newest, kept.next_place), (Some(new), 0));
        // Any byte of the newer one that is not as it was leaves the older.
        let at = checkpoint.record_at(2, 1);
        for byte in 0..RECORD_HEAD + 8 {
            let mut was = [0];
            checkpoint.file.read_exact_at(&mut was, at + byte as u64).unwrap();
            checkpoint.file.write_all_at(&[!was[0]], at + byte as u64).unwrap();
            let kept = checkpoint.record(2).unwrap();
            assert_eq!((kept.newest, kept.next_place), (Some(old.clone()), 1), "{byte}");
            checkpoint.file.write_all_at(&was, at + byte as u64).unwrap();
        }
        // And so does its end, wherever the file stops.
        for bytes in (0..RECORD_HEAD + 8).rev() {
            checkpoint.file.set_len(at + bytes as u64).unwrap();
            let kept = checkpoint.record(2).unwrap();
            assert_eq!((kept.newest, kept.next_place), (Some(old.clone()), 1), "{bytes}");
        }
        assert_eq!(checkpoint.record(1).unwrap().newest, None);
    }

    fn summary_with(label: &str) -> Summary {
        let mut labels = vec![String::new(); LABELS as usize];
        labels[63] = label.into();
        Summary {
            epoch_floor: 5,
            births: 6,
            journal_end: 7,
            flags: 3,
            eviction: 2,
            labels,
        }
    }

    #[test]
    fn a_name_that_is_no_text_is_none() {
        let mut bytes = summary_with(&"x".repeat(LABEL_BYTES_MAX)).encode(1);
        let name = SUMMARY_USED - 64 + 1;
        bytes[name..name + LABEL_BYTES_MAX].fill(0xff);
        let (_, summary) = Summary::decode(&bytes);
        assert_eq!(summary, summary_with(""));
    }

    #[test]
    fn a_pair_that_claims_to_have_been_written_for_ever_can_be_written() {
        let checkpoint = checkpoint();
        let (record, summary) = (record().encode(u64::MAX), summary_with("").encode(u64::MAX));
        checkpoint
            .file
            .write_all_at(&record, checkpoint.record_at(0, 0))
            .unwrap();
        checkpoint.file.write_all_at(&summary, SUMMARY_AT).unwrap();
        let (kept, summary) = (checkpoint.record(0).unwrap(), checkpoint.summary().unwrap());
        checkpoint.write_record(0, &kept, &self::record()).unwrap();
        checkpoint.write_summary(&summary, &summary_with("")).unwrap();
    }

    #[test]
    fn a_summary_comes_back_as_it_was() {
        let checkpoint = checkpoint();
        let summary = summary_with("größer");
        for place in [1, 0] {
            let kept = checkpoint.summary().unwrap();
            checkpoint.write_summary(&kept, &summary).unwrap();
            let kept = checkpoint.summary().unwrap();
            assert_eq!((kept.newest, kept.next_place), (Some(summary.clone()), place));
        }
    }
}
