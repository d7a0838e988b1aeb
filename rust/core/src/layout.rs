//! Every byte that processes share, declared once.
//!
//! A region is a header page followed by these parts, each aligned to a cache line, all numbers little-endian:
//!
//! | part       | size                        | content                                                      |
//! |------------|-----------------------------|--------------------------------------------------------------|
//! | header     | 4,096                       | identity, settings, counters, wait words ([`Header`])        |
//! | labels     | 64 x 128                    | names of the 64 labels ([`LabelName`])                       |
//! | handles    | 1,024 x 64                  | who is attached ([`Handle`]); lock words point here          |
//! | stripes    | 256 x 64                    | locks that inserters and deleters of a home chunk share      |
//! | free       | 1 bit a slot                | where an insert looks for a slot                             |
//! | reserved   | 1 bit a value chunk         | which value chunks have disk or memory behind them           |
//! | index      | 64 a chunk, ⌈slots/6⌉       | tags and slot numbers ([`Chunk`])                            |
//! | slots      | 40 + key, rounded to 64     | state, lock, lengths and key of a slot ([`Slot`])            |
//! | attributes | 64 a slot                   | what is read seldom: hash, birth, deadline ([`Attributes`])  |
//! | journal    | 8 an entry                  | ring of the last changes                                     |
//! | values     | 2 x value, rounded to 64    | two buffers a slot; starts at a page                         |

#![forbid(unsafe_code)]

use std::mem::{align_of, offset_of, size_of};

use crate::error::{Error, Result};
use crate::sync::{AtomicU8, AtomicU32, AtomicU64};

/// "SPLB" in little-endian: the first four bytes of every region.
pub(crate) const MAGIC: u32 = 0x424c_5053;
/// Version of the format below. A region of another version is refused.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// Everything is aligned to, and most records are as long as, one cache line.
pub(crate) const LINE_BYTES: usize = 64;
/// The header and the values part are aligned to pages, so that reserving values never touches other parts.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Fewest and most slots of a store, and how many it has unless asked otherwise.
pub const SLOTS_MIN: u32 = 1;
/// See [`SLOTS_MIN`]. A journal entry has 26 bits for a slot number.
pub const SLOTS_MAX: u32 = 1 << 26;
/// See [`SLOTS_MIN`].
pub const SLOTS_DEFAULT: u32 = 1024;
/// Longest key that a store can be made for, in bytes.
pub const KEY_BYTES_MAX: u32 = 1024;
/// Longest key of a store unless asked otherwise, in bytes.
pub const KEY_BYTES_DEFAULT: u32 = 64;
/// Longest value that a store can be made for, in bytes. A length fits a signed 32-bit result everywhere.
pub const VALUE_BYTES_MAX: u32 = 1 << 30;
/// Longest value of a store unless asked otherwise, in bytes.
pub const VALUE_BYTES_DEFAULT: u32 = 4096;
/// Fewest journal entries of a store.
pub const JOURNAL_ENTRIES_MIN: u32 = 64;
/// Most journal entries of a store: fewer than a journal entry's sequence bits can count.
pub const JOURNAL_ENTRIES_MAX: u32 = 1 << 24;

/// How many handles (opened stores, whatever the process) can be attached for writing at once.
pub(crate) const HANDLES: usize = 1024;
/// Stripes of the index: how many inserts or deletes can be under way at once.
pub(crate) const STRIPES: usize = 256;
/// Words that those who wait for an absent key are spread over.
pub(crate) const EXPECTANTS: usize = 128;
/// Entries of an index chunk.
pub(crate) const CHUNK_CELLS: usize = 12;
/// Index chunks are dimensioned for this many keys each: twice the room that is needed when full. With eight keys (1.5 times
/// the room) a miss in a store that is 95% full reads 1.07 chunks at first and 1.36 after long churn; with six 1.01 and 1.04.
const CHUNK_KEYS: usize = 6;
/// Labels that a key can have: one bit each.
pub const LABELS: u32 = 64;
/// Bytes of the labels part.
const LABELS_BYTES: usize = LABELS as usize * size_of::<LabelName>();
/// Value buffers get their disk or memory in chunks of about this size.
const VALUE_CHUNK_BYTES: usize = 256 * 1024;

/// The first page.
///
/// | offset | bytes | field                                                                                    |
/// |--------|-------|------------------------------------------------------------------------------------------|
/// | 0      | 128   | identity: written once, before the store has a name; covered by a checksum ([`Identity`]) |
/// | 128    | 4     | `flags`: bit 0 `auto_vacuum`, bit 1 values get checksums                                 |
/// | 132    | 4     | `eviction`: what goes when the store is full ([`crate::evict`])                          |
/// | 136    | 16    | `boot_id` of the machine's boot that the store was made or recovered in                  |
/// | 192    | 8     | `births`: inserts ever, the stamp by which a scan skips keys younger than itself         |
/// | 200    | 8     | `epoch_floor`: greatest sequence that a deleted key had                                  |
/// | 208    | 8     | `incarnations`: handles ever attached                                                    |
/// | 216    | 4     | `free_hint`: word of the free map where a slot was last freed or taken                   |
/// | 220    | 4     | `recount`: 1 while overflow counts of the index may be too high                          |
/// | 224    | 8     | `next_deadline`: no deadline in the store is before this                                 |
/// | 232    | 4     | `hand`: slot that the clock looks at next, counted on for ever                           |
/// | 236    | 4     | `sync_failures`: times that the checkpoint could not be written ([`crate::Store::sync`])   |
/// | 240    | 8     | `sweeper`: who is finding `next_deadline` out anew, which does not hold meanwhile        |
/// | 256    | 8     | `journal_tail`: a position at or a little before the journal's end                       |
/// | 320    | 4     | `followers`: where those sleep who wait for the journal's next entry ([`crate::wait`])   |
/// | 384    | 8     | `parse_failures`: invalid numbers that were met in the region                            |
/// | 392    | 8     | `last_failure_epoch`: the journal's end when the last of them was met                    |
/// | 400    | 8     | `repairs`: locks of dead owners that were taken over                                     |
/// | 512    | 512   | `expectants`: where those sleep who wait for an absent key, by its hash                  |
#[repr(C, align(4096))]
pub(crate) struct Header {
    _identity: Bytes<128>,
    pub(crate) flags: AtomicU32,
    pub(crate) eviction: AtomicU32,
    pub(crate) boot_id: [AtomicU64; 2],
    _settings: Bytes<40>,
    pub(crate) births: AtomicU64,
    pub(crate) epoch_floor: AtomicU64,
    pub(crate) incarnations: AtomicU64,
    pub(crate) free_hint: AtomicU32,
    pub(crate) recount: AtomicU32,
    pub(crate) next_deadline: AtomicU64,
    pub(crate) hand: AtomicU32,
    pub(crate) sync_failures: AtomicU32,
    pub(crate) sweeper: AtomicU64,
    _sweeping: Bytes<8>,
    pub(crate) journal_tail: AtomicU64,
    _journal: Bytes<56>,
    pub(crate) followers: AtomicU32,
    _following: Bytes<60>,
    pub(crate) parse_failures: AtomicU64,
    pub(crate) last_failure_epoch: AtomicU64,
    pub(crate) repairs: AtomicU64,
    _diagnostics: Bytes<104>,
    pub(crate) expectants: [AtomicU32; EXPECTANTS],
    _reserved: Bytes<3072>,
}

/// Bytes that no code reads through a reference, typed so that a reference beside other processes' writes is sound.
type Bytes<const N: usize> = [AtomicU8; N];

const _: () = {
    assert!(size_of::<Header>() == PAGE_BYTES);
    assert!(align_of::<Header>() == PAGE_BYTES);
    assert!(offset_of!(Header, flags) == 128);
    assert!(offset_of!(Header, eviction) == 132);
    assert!(offset_of!(Header, boot_id) == 136);
    assert!(offset_of!(Header, births) == 192);
    assert!(offset_of!(Header, epoch_floor) == 200);
    assert!(offset_of!(Header, incarnations) == 208);
    assert!(offset_of!(Header, free_hint) == 216);
    assert!(offset_of!(Header, recount) == 220);
    assert!(offset_of!(Header, next_deadline) == 224);
    assert!(offset_of!(Header, hand) == 232);
    assert!(offset_of!(Header, sync_failures) == 236);
    assert!(offset_of!(Header, sweeper) == 240);
    assert!(offset_of!(Header, journal_tail) == 256);
    assert!(offset_of!(Header, followers) == 320);
    assert!(offset_of!(Header, parse_failures) == 384);
    assert!(offset_of!(Header, last_failure_epoch) == 392);
    assert!(offset_of!(Header, repairs) == 400);
    assert!(offset_of!(Header, expectants) == 512);
};

/// `Header::flags`, bit 0: replaced and deleted bytes are zeroed before the call returns.
pub(crate) const FLAG_AUTO_VACUUM: u32 = 1;
/// `Header::flags`, bit 1: writes leave checksums of the values, for the time after a power cut.
pub(crate) const FLAG_CHECKSUMS: u32 = 2;

/// One attached handle. Its owner holds an open-file-description lock on a byte of the file for as long as it lives.
///
/// | offset | bytes | field                                                               |
/// |--------|-------|---------------------------------------------------------------------|
/// | 0      | 8     | `incarnation`: 0 = free, else unique in the store's life (48 bits)  |
/// | 8      | 4     | `pid`, in the owner's namespace: for people, proves nothing         |
/// | 12     | 4     | `watches`: watches, feeds and polls that the handle has: for people |
/// | 16     | 8     | `start_time` of that process in clock ticks since boot              |
#[repr(C, align(64))]
pub(crate) struct Handle {
    pub(crate) incarnation: AtomicU64,
    pub(crate) pid: AtomicU32,
    pub(crate) watches: AtomicU32,
    pub(crate) start_time: AtomicU64,
}

const _: () = {
    assert!(size_of::<Handle>() == LINE_BYTES);
    assert!(offset_of!(Handle, pid) == 8);
    assert!(offset_of!(Handle, watches) == 12);
    assert!(offset_of!(Handle, start_time) == 16);
};

/// A lock on its own cache line: 0, or the token of its owner.
#[repr(C, align(64))]
pub(crate) struct Stripe {
    pub(crate) lock: AtomicU64,
}

const _: () = assert!(size_of::<Stripe>() == LINE_BYTES);

/// A chunk of the index: one cache line, always read as whole words.
///
/// | offset | bytes | field                                                                     |
/// |--------|-------|---------------------------------------------------------------------------|
/// | 0      | 16    | `tags`: 12 one-byte tags (0 = no key), then the overflow count (32 bits)  |
/// | 16     | 48    | `cells`: 12 slot numbers plus one (0 = free)                              |
#[repr(C, align(64))]
pub(crate) struct Chunk {
    pub(crate) tags: [AtomicU64; 2],
    pub(crate) cells: [AtomicU32; CHUNK_CELLS],
}

const _: () = {
    assert!(size_of::<Chunk>() == LINE_BYTES);
    assert!(offset_of!(Chunk, cells) == 16);
};

/// What a read or an overwrite of a slot touches; the key follows, zero-padded and NUL-terminated.
///
/// | offset | bytes | field                                                                                   |
/// |--------|-------|-----------------------------------------------------------------------------------------|
/// | 0      | 8     | `ctl`: sequence, and whether live, being written, wiped ([`crate::slot::Ctl`])          |
/// | 8      | 8     | `lock`: 0, or the token of its owner                                                    |
/// | 16     | 16    | `descriptors`: of each buffer, lengths of value and key ([`crate::slot::Descriptor`])   |
/// | 32     | 4     | `pending`: change that is being published, until it is in the journal                   |
/// | 36     | 4     | `waiters`: where those sleep who wait for a change; bits 1 and 2: [`crate::slot`]       |
/// | 40     | -     | key                                                                                     |
#[repr(C, align(8))]
pub(crate) struct Slot {
    pub(crate) ctl: AtomicU64,
    pub(crate) lock: AtomicU64,
    pub(crate) descriptors: [AtomicU64; 2],
    pub(crate) pending: AtomicU32,
    pub(crate) waiters: AtomicU32,
}

const _: () = {
    assert!(size_of::<Slot>() == 40);
    assert!(offset_of!(Slot, lock) == 8);
    assert!(offset_of!(Slot, descriptors) == 16);
    assert!(offset_of!(Slot, pending) == 32);
    assert!(offset_of!(Slot, waiters) == 36);
};

/// The name of a label.
///
/// | offset | bytes | field                                                                          |
/// |--------|-------|--------------------------------------------------------------------------------|
/// | 0      | 8     | `state`: length of the name (8 bits), above: renamings, whose parity is that of |
/// |        |       | the name that holds                                                            |
/// | 8      | 112   | `names`, zero-padded                                                           |
#[repr(C, align(64))]
pub(crate) struct LabelName {
    pub(crate) state: AtomicU64,
    pub(crate) names: [[AtomicU64; 7]; 2],
}

const _: () = assert!(size_of::<LabelName>() == 2 * LINE_BYTES);

/// What of a slot is read seldom.
///
/// | offset | bytes | field                                                                  |
/// |--------|-------|------------------------------------------------------------------------|
/// | 0      | 8     | `hash` of the key: where the slot is linked in the index               |
/// | 8      | 8     | `birth`: value of `Header::births` that this key's insert drew         |
/// | 16     | 16    | `deadlines` of either buffer, in ns since 1970, if its descriptor says |
/// | 32     | 8     | `labels`: one bit for each that the key has                            |
/// | 40     | 8     | `checksums` of either buffer, if its descriptor says                   |
/// | 48     | 8     | `inserted`: sequence of the change by which this key came              |
/// | 56     | 8     | `appended_to`: sequence of the value that has only been appended to    |
/// |        |       | since, if the descriptor says that the present one came by an append   |
#[repr(C, align(64))]
pub(crate) struct Attributes {
    pub(crate) hash: AtomicU64,
    pub(crate) birth: AtomicU64,
    pub(crate) deadlines: [AtomicU64; 2],
    pub(crate) labels: AtomicU64,
    pub(crate) checksums: [AtomicU32; 2],
    pub(crate) inserted: AtomicU64,
    pub(crate) appended_to: AtomicU64,
}

const _: () = {
    assert!(size_of::<Attributes>() == LINE_BYTES);
    assert!(offset_of!(Attributes, birth) == 8);
    assert!(offset_of!(Attributes, deadlines) == 16);
    assert!(offset_of!(Attributes, labels) == 32);
    assert!(offset_of!(Attributes, checksums) == 40);
    assert!(offset_of!(Attributes, inserted) == 48);
    assert!(offset_of!(Attributes, appended_to) == 56);
};

/// A number that changes when any of the sizes above changes, so that a build with another layout refuses the region.
pub(crate) const FINGERPRINT: u64 = {
    let facts = [
        size_of::<Header>(),
        offset_of!(Header, births),
        offset_of!(Header, journal_tail),
        offset_of!(Header, expectants),
        EXPECTANTS,
        LABELS_BYTES,
        size_of::<Handle>(),
        HANDLES,
        size_of::<Stripe>(),
        STRIPES,
        size_of::<Chunk>(),
        CHUNK_CELLS,
        CHUNK_KEYS,
        size_of::<Slot>(),
        size_of::<Attributes>(),
        offset_of!(Attributes, appended_to),
        offset_of!(Header, next_deadline),
        size_of::<u64>(),
        VALUE_CHUNK_BYTES,
        crate::journal::LAP_BITS as usize,
        crate::journal::SEQUENCE_BITS as usize,
        crate::slot::SEQUENCE_SHIFT as usize,
        crate::handles::INDEX_BITS as usize,
    ];
    // FNV-1a, because it is a constant expression.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut i = 0;
    while i < facts.len() {
        hash = (hash ^ facts[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        i += 1;
    }
    hash
};

/// How large a store is: chosen at creation, never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    slots: u32,
    max_key_bytes: u32,
    max_value_bytes: u32,
    journal_entries: u32,
}

impl Geometry {
    /// A store of at most `slots` keys with values of up to `max_value_bytes` bytes.
    ///
    /// Keys have up to [`KEY_BYTES_DEFAULT`] bytes, and the journal remembers four changes a slot (at least 4,096, at most
    /// 1,048,576) unless the `with_` methods say otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if a number is outside its limits.
    pub fn new(slots: u32, max_value_bytes: u32) -> Result<Self> {
        let journal_entries = slots
            .saturating_mul(4)
            .checked_next_power_of_two()
            .unwrap_or(u32::MAX)
            .clamp(4096, 1 << 20);
        Self {
            slots,
            max_key_bytes: KEY_BYTES_DEFAULT,
            max_value_bytes,
            journal_entries,
        }
        .checked()
    }

    /// The same with keys of up to `bytes` bytes (1 to [`KEY_BYTES_MAX`]).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if it is outside these limits.
    pub fn with_max_key_bytes(self, bytes: u32) -> Result<Self> {
        Self {
            max_key_bytes: bytes,
            ..self
        }
        .checked()
    }

    /// The same with a journal of at least `entries` changes, rounded up to a power of two
    /// ([`JOURNAL_ENTRIES_MIN`] to [`JOURNAL_ENTRIES_MAX`]).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if it is outside these limits.
    pub fn with_journal_entries(self, entries: u32) -> Result<Self> {
        Self {
            journal_entries: entries
                .max(JOURNAL_ENTRIES_MIN)
                .checked_next_power_of_two()
                .unwrap_or(u32::MAX),
            ..self
        }
        .checked()
    }

    /// Most keys that the store can hold at once.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// Longest key in bytes.
    pub fn max_key_bytes(&self) -> u32 {
        self.max_key_bytes
    }

    /// Longest value in bytes.
    pub fn max_value_bytes(&self) -> u32 {
        self.max_value_bytes
    }

    /// Changes that the journal remembers: a power of two.
    pub fn journal_entries(&self) -> u32 {
        self.journal_entries
    }

    fn checked(self) -> Result<Self> {
        let limits = [
            ("slots", self.slots, SLOTS_MIN, SLOTS_MAX),
            ("max_key_bytes", self.max_key_bytes, 1, KEY_BYTES_MAX),
            ("max_value_bytes", self.max_value_bytes, 1, VALUE_BYTES_MAX),
            (
                "journal_entries",
                self.journal_entries,
                JOURNAL_ENTRIES_MIN,
                JOURNAL_ENTRIES_MAX,
            ),
        ];
        for (name, value, least, most) in limits {
            if value < least || value > most {
                return Err(Error::InvalidArgument {
                    reason: format!("{name} must be {least} to {most}, not {value}").into(),
                });
            }
        }
        // On a 64-bit machine no allowed geometry overflows, but a region must also fit a file offset.
        if i64::try_from(Layout::sizes(&self).end).is_err() {
            return Err(Error::InvalidArgument {
                reason: "the store would be larger than a file can be".into(),
            });
        }
        Ok(self)
    }
}

/// The part of the header that never changes, as it stands in the file.
///
/// | offset | bytes | field              |
/// |--------|-------|--------------------|
/// | 0      | 4     | magic              |
/// | 4      | 4     | format version     |
/// | 8      | 8     | layout fingerprint |
/// | 16     | 4     | slots              |
/// | 20     | 4     | max_key_bytes      |
/// | 24     | 4     | max_value_bytes    |
/// | 28     | 4     | journal_entries    |
/// | 32     | 8     | region_bytes       |
/// | 40     | 16    | store id           |
/// | 56     | 8     | created, in ns since 1970 |
/// | 64     | 8     | checksum: XXH3-64 of bytes 0 to 63 |
/// | 72     | 56    | zero               |
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) geometry: Geometry,
    pub(crate) store_id: [u8; 16],
    pub(crate) created_ns: u64,
}

const IDENTITY_BYTES: usize = 128;
const CHECKSUMMED_BYTES: usize = 64;

impl Identity {
    pub(crate) fn encode(&self) -> [u8; IDENTITY_BYTES] {
        let mut bytes = [0; IDENTITY_BYTES];
        let g = &self.geometry;
        put(&mut bytes, 0, &MAGIC.to_le_bytes());
        put(&mut bytes, 4, &FORMAT_VERSION.to_le_bytes());
        put(&mut bytes, 8, &FINGERPRINT.to_le_bytes());
        put(&mut bytes, 16, &g.slots.to_le_bytes());
        put(&mut bytes, 20, &g.max_key_bytes.to_le_bytes());
        put(&mut bytes, 24, &g.max_value_bytes.to_le_bytes());
        put(&mut bytes, 28, &g.journal_entries.to_le_bytes());
        put(&mut bytes, 32, &(Layout::new(g).bytes as u64).to_le_bytes());
        put(&mut bytes, 40, &self.store_id);
        put(&mut bytes, 56, &self.created_ns.to_le_bytes());
        let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[..CHECKSUMMED_BYTES]);
        put(&mut bytes, 64, &checksum.to_le_bytes());
        bytes
    }

    /// Reads the start of a file that claims to be a region of `file_bytes` bytes.
    ///
    /// The order of the checks decides what the user is told: a foreign file is not a store, a store of another version
    /// is incompatible, and only what claims to be ours can be corrupt.
    pub(crate) fn decode(start: &[u8], file_bytes: u64) -> Result<Self> {
        if start.len() < 8 || u32_at(start, 0) != MAGIC {
            return Err(Error::NotAStore {
                reason: "it does not begin as a store does",
            });
        }
        let version = u32_at(start, 4);
        if version != FORMAT_VERSION {
            return Err(Error::Incompatible {
                reason: format!("the store has format version {version}, this build reads {FORMAT_VERSION}").into(),
            });
        }
        let Some(identity) = start.get(..IDENTITY_BYTES) else {
            return Err(Error::Corrupt {
                reason: "the file ends within the header",
            });
        };
        if u64_at(identity, 8) != FINGERPRINT {
            return Err(Error::Incompatible {
                reason: "the store was laid out by a different build of this version".into(),
            });
        }
        let checksum = xxhash_rust::xxh3::xxh3_64(&identity[..CHECKSUMMED_BYTES]);
        if u64_at(identity, 64) != checksum {
            return Err(Error::Corrupt {
                reason: "the header's checksum is wrong",
            });
        }
        if identity[72..].iter().any(|&byte| byte != 0) {
            return Err(Error::Corrupt {
                reason: "reserved bytes of the header are not zero",
            });
        }
        let corrupt = |_| Error::Corrupt {
            reason: "the header's geometry is outside its limits",
        };
        let journal_entries = u32_at(identity, 28);
        let geometry = Geometry {
            slots: u32_at(identity, 16),
            max_key_bytes: u32_at(identity, 20),
            max_value_bytes: u32_at(identity, 24),
            journal_entries,
        }
        .checked()
        .map_err(corrupt)?;
        if !journal_entries.is_power_of_two() {
            return Err(Error::Corrupt {
                reason: "the journal's length is not a power of two",
            });
        }
        let bytes = Layout::new(&geometry).bytes as u64;
        if u64_at(identity, 32) != bytes {
            return Err(Error::Corrupt {
                reason: "the header's size does not follow from its geometry",
            });
        }
        if file_bytes < bytes {
            return Err(Error::Corrupt {
                reason: "the file is shorter than its header says",
            });
        }
        let mut store_id = [0; 16];
        store_id.copy_from_slice(&identity[40..56]);
        Ok(Self {
            geometry,
            store_id,
            created_ns: u64_at(identity, 56),
        })
    }
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    bytes[at..at + what.len()].copy_from_slice(what);
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4]
        .iter()
        .rev()
        .fold(0, |word, &byte| (word << 8) | u32::from(byte))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// Where each part begins, in bytes from the start of the region, and how it is divided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) handles: usize,
    pub(crate) stripes: usize,
    pub(crate) free: usize,
    pub(crate) free_words: usize,
    pub(crate) reserved: usize,
    pub(crate) index: usize,
    pub(crate) chunks: usize,
    pub(crate) slots: usize,
    pub(crate) slot_stride: usize,
    pub(crate) attributes: usize,
    pub(crate) journal: usize,
    pub(crate) values: usize,
    /// Bytes of one value buffer.
    pub(crate) value_stride: usize,
    /// Slots whose values share one chunk of reserved space.
    pub(crate) chunk_slots: usize,
    /// Bytes of the whole region.
    pub(crate) bytes: usize,
}

/// The parts of a region in `u64`, where no geometry can overflow: at most 2^26 slots of 2 x 2^30 bytes.
struct Sizes {
    parts: [u64; 10],
    end: u64,
}

impl Layout {
    fn sizes(g: &Geometry) -> Sizes {
        let slots = u64::from(g.slots);
        let value_chunks = slots.div_ceil(Self::chunk_slots_of(g));
        let lengths = [
            PAGE_BYTES as u64 + LABELS_BYTES as u64,
            (HANDLES * size_of::<Handle>()) as u64,
            (STRIPES * size_of::<Stripe>()) as u64,
            slots.div_ceil(64) * 8,
            value_chunks.div_ceil(64) * 8,
            slots.div_ceil(CHUNK_KEYS as u64) * size_of::<Chunk>() as u64,
            slots * Self::slot_stride_of(g),
            slots * size_of::<Attributes>() as u64,
            u64::from(g.journal_entries) * 8,
        ];
        let mut parts = [0; 10];
        let mut end = 0_u64;
        for (part, length) in parts.iter_mut().zip(lengths) {
            *part = end;
            end = (end + length).next_multiple_of(LINE_BYTES as u64);
        }
        end = end.next_multiple_of(PAGE_BYTES as u64);
        parts[9] = end;
        end += slots * 2 * Self::value_stride_of(g);
        Sizes {
            parts,
            end: end.next_multiple_of(PAGE_BYTES as u64),
        }
    }

    pub(crate) fn new(g: &Geometry) -> Self {
        let Sizes { parts, end } = Self::sizes(g);
        let part = |i: usize| parts[i] as usize;
        Self {
            handles: part(1),
            stripes: part(2),
            free: part(3),
            free_words: (g.slots as usize).div_ceil(64),
            reserved: part(4),
            index: part(5),
            chunks: (g.slots as usize).div_ceil(CHUNK_KEYS),
            slots: part(6),
            slot_stride: Self::slot_stride_of(g) as usize,
            attributes: part(7),
            journal: part(8),
            values: part(9),
            value_stride: Self::value_stride_of(g) as usize,
            chunk_slots: Self::chunk_slots_of(g) as usize,
            bytes: end as usize,
        }
    }

    /// The key is followed by at least one zero byte.
    fn slot_stride_of(g: &Geometry) -> u64 {
        (size_of::<Slot>() as u64 + u64::from(g.max_key_bytes) + 1).next_multiple_of(LINE_BYTES as u64)
    }

    fn value_stride_of(g: &Geometry) -> u64 {
        u64::from(g.max_value_bytes).next_multiple_of(LINE_BYTES as u64)
    }

    fn chunk_slots_of(g: &Geometry) -> u64 {
        (VALUE_CHUNK_BYTES as u64 / (2 * Self::value_stride_of(g))).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_without_overlap() {
        for (slots, key, value) in [(1, 1, 1), (1024, 64, 4096), (1000, 1024, 1), (77, 25, 1 << 20)] {
            let g = Geometry::new(slots, value).unwrap().with_max_key_bytes(key).unwrap();
            let l = Layout::new(&g);
            let ends = [
                (PAGE_BYTES + LABELS_BYTES, l.handles),
                (l.handles + HANDLES * 64, l.stripes),
                (l.stripes + STRIPES * 64, l.free),
                (l.free + l.free_words * 8, l.reserved),
                (l.index + l.chunks * 64, l.slots),
                (l.slots + slots as usize * l.slot_stride, l.attributes),
                (l.attributes + slots as usize * 64, l.journal),
                (l.journal + g.journal_entries() as usize * 8, l.values),
                (l.values + slots as usize * 2 * l.value_stride, l.bytes),
            ];
            for (end, next) in ends {
                assert!(end <= next && next - end < PAGE_BYTES, "{end} {next}");
                assert_eq!(next % LINE_BYTES, 0);
            }
            assert_eq!(l.values % PAGE_BYTES, 0);
        }
    }

    #[test]
    fn the_largest_geometry_does_not_overflow() {
        let g = Geometry::new(SLOTS_MAX, VALUE_BYTES_MAX).unwrap();
        assert!(Layout::new(&g).bytes > 1 << 56);
    }

    #[test]
    fn a_geometry_outside_its_limits_is_refused() {
        assert!(Geometry::new(0, 1).is_err());
        assert!(Geometry::new(1, 0).is_err());
        assert!(Geometry::new(SLOTS_MAX + 1, 1).is_err());
        assert!(Geometry::new(1, VALUE_BYTES_MAX + 1).is_err());
        let g = Geometry::new(1, 1).unwrap();
        assert!(g.with_max_key_bytes(0).is_err());
        assert!(g.with_max_key_bytes(KEY_BYTES_MAX + 1).is_err());
        assert!(g.with_journal_entries(JOURNAL_ENTRIES_MAX + 1).is_err());
        assert_eq!(g.with_journal_entries(65).unwrap().journal_entries(), 128);
    }
}
