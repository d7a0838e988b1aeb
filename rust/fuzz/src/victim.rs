//! A store that is there to be damaged, and its checkpoint.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::time::Duration;

use splinter::{OpenOptions, Operation, SetOptions, Store, ValueType};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

pub(crate) use crate::bytes::{BOOT_ID_AT, checkpoint_of, geometry};
use crate::bytes::{IDENTITY_BYTES, PAGE_BYTES, Parts, sign};
use crate::input::Input;

/// Where the store's id stands in the header.
const STORE_ID_AT: usize = 40;
/// A checkpoint's first page, its two summaries, and its records, as the table at the head of `checkpoint/file.rs` has them.
const SUMMARIES: Range<usize> = 4096..20_480;
const SUMMARY_BYTES: usize = 8192;
const SUMMARY_USED: usize = 64 + 64 * 64;
const RECORD_HEAD: usize = 64;
const CHECKPOINT_IDENTITY_BYTES: usize = 48;
/// Nothing that stands in a store is longer.
const PATCH_BYTES_MAX: usize = 32;

/// Options that do not wait for what will never come.
pub(crate) fn impatient() -> OpenOptions {
    OpenOptions::new()
        .lock_timeout(Duration::from_micros(50))
        .spin(Duration::ZERO)
}

/// A directory whose files survive a restart of the machine, unlike those in memory: only then is there anything to recover.
pub(crate) fn directory_on_disk() -> TempDir {
    tempfile::tempdir_in("/var/tmp").unwrap()
}

/// The bytes of a store and of its checkpoint.
pub(crate) struct Victim {
    pub(crate) region: Vec<u8>,
    pub(crate) checkpoint: Vec<u8>,
}

impl Victim {
    /// The same in every run, but for times.
    pub(crate) fn get() -> &'static Self {
        static VICTIM: OnceLock<Victim> = OnceLock::new();
        VICTIM.get_or_init(Self::new)
    }

    fn new() -> Self {
        let directory = directory_on_disk();
        let path = directory.path().join("s");
        drop(OpenOptions::new().geometry(geometry()).create(&path).unwrap());
        // Where a key belongs in the index depends on the store's id, which is random.
        let mut region = std::fs::read(&path).unwrap();
        region[STORE_ID_AT..STORE_ID_AT + 16].fill(7);
        sign(&mut region);
        std::fs::write(&path, region).unwrap();
        let store = Store::open(&path).unwrap();
        fill(&store);
        store.sync().unwrap();
        // Some are newer than the checkpoint.
        store.set("key1", "newer").unwrap();
        store.append("key2", " and longer").unwrap();
        store.unset("key3").unwrap();
        drop(store);
        Self {
            region: std::fs::read(&path).unwrap(),
            checkpoint: std::fs::read(checkpoint_of(&path)).unwrap(),
        }
    }
}

/// Sets keys of all kinds.
fn fill(store: &Store) {
    for round in 0..3 {
        for key in 0..6 {
            store.set(format!("key{key}"), vec![key; 20 * round + 1]).unwrap();
        }
        store.unset(format!("key{round}")).unwrap();
    }
    let options = SetOptions::new().value_type(ValueType::Json);
    let options = options.ttl(Duration::from_secs(1_000_000));
    assert!(store.set_with("key0", "{}", &options).unwrap().is_written());
    store.set("key2", "short").unwrap();
    store.apply("n/1", Operation::Add(5_u64)).unwrap();
    store.name_label(0, "hot").unwrap();
    store.name_label(63, "größer").unwrap();
    store.label("key4", 1 << 63 | 1, 0).unwrap();
    store.pin("key5", true).unwrap();
}

/// Bytes to be written over others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patch<'a> {
    pub(crate) at: usize,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Patch<'a> {
    /// One within parts of a whole.
    fn choose(input: &mut Input<'a>, parts: &[Range<usize>]) -> Self {
        let part = &parts[input.below(parts.len())];
        let at = input.below(part.len());
        let shape = input.byte();
        // Most of what there is are words.
        let at = if shape & 0x80 != 0 { at } else { at & !7 };
        let bytes = input.take(1 + usize::from(shape) % PATCH_BYTES_MAX);
        let at = part.start + at;
        Self {
            at,
            bytes: &bytes[..bytes.len().min(part.end - at)],
        }
    }

    /// One within the region of a victim, but for its identity.
    pub(crate) fn of_region(input: &mut Input<'a>) -> Self {
        static PARTS: OnceLock<Vec<Range<usize>>> = OnceLock::new();
        let parts = PARTS.get_or_init(|| {
            let parts = Parts::of(&geometry());
            let labels = PAGE_BYTES..parts.handles.start;
            let handles = parts.handles.start..parts.handles.start + 4 * 64;
            let stripes = parts.stripes.clone();
            vec![
                IDENTITY_BYTES..512,
                512..1024,
                labels,
                handles,
                stripes,
                parts.free.clone(),
                parts.reserved.clone(),
                parts.index.clone(),
                parts.slots.clone(),
                parts.slots,
                parts.attributes,
                parts.journal,
                parts.values,
            ]
        });
        Self::choose(input, parts)
    }

    /// One within the identity.
    pub(crate) fn of_identity(input: &mut Input<'a>) -> Self {
        Self::choose(input, std::slice::from_ref(&(0..IDENTITY_BYTES)))
    }

    /// One within a checkpoint.
    pub(crate) fn of_checkpoint(input: &mut Input<'a>, bytes: usize) -> Self {
        let second = SUMMARIES.start + SUMMARY_BYTES;
        let parts = [
            0..CHECKPOINT_IDENTITY_BYTES,
            SUMMARIES.start..SUMMARIES.start + SUMMARY_USED,
            second..second + SUMMARY_USED,
            SUMMARIES.end..bytes,
        ];
        Self::choose(input, &parts)
    }

    pub(crate) fn apply(&self, to: &mut [u8]) {
        to[self.at..self.at + self.bytes.len()].copy_from_slice(self.bytes);
    }

    pub(crate) fn write(&self, to: &File) {
        to.write_all_at(self.bytes, self.at as u64).unwrap();
    }
}

/// Puts the right checksums over a checkpoint's parts.
pub(crate) fn seal(checkpoint: &mut [u8]) {
    let mut seal = |part: Range<usize>| {
        if let Some((checksum, rest)) = checkpoint.get_mut(part).and_then(<[u8]>::split_first_chunk_mut) {
            *checksum = xxh3_64(rest).to_le_bytes();
        }
    };
    seal(0..CHECKPOINT_IDENTITY_BYTES);
    for summary in SUMMARIES.step_by(SUMMARY_BYTES) {
        seal(summary..summary + SUMMARY_USED);
    }
    let (key_bytes, value_bytes) = (
        geometry().max_key_bytes() as usize,
        geometry().max_value_bytes() as usize,
    );
    let stride = (RECORD_HEAD + key_bytes + value_bytes).next_multiple_of(64);
    for record in (SUMMARIES.end..checkpoint.len()).step_by(stride) {
        let head = &checkpoint[record..(record + RECORD_HEAD).min(checkpoint.len())];
        if head.len() == RECORD_HEAD && head.iter().any(|&byte| byte != 0) {
            let value_bytes = u32::from_le_bytes(head[48..52].try_into().unwrap()) as usize;
            let key_bytes = usize::from(u16::from_le_bytes([head[52], head[53]]));
            let record = record..record + RECORD_HEAD + key_bytes + value_bytes;
            if let Some((checksum, rest)) = checkpoint.get_mut(record).and_then(<[u8]>::split_first_chunk_mut) {
                *checksum = xxh3_64(rest).to_le_bytes();
            }
        }
    }
}
