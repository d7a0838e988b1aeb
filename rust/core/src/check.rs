//! Looking a store over, and mending what can be mended.
//!
//! A check takes no word of the region on trust, and compares each with those that must agree with it. Others may write
//! meanwhile: what looks wrong counts only if the slot was at rest and did not change while it was looked at, and otherwise is
//! looked at again, at last under its lock. What spans slots (the index, the journal) is looked at again while nobody
//! inserts or deletes, or until nothing has moved.
//!
//! What is derived from the slots can be made anew: index, counts, map of free slots. A value has no second copy and no
//! checksum, so that a changed byte in it is not even noticed.

#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::handles::{INCARNATION_MASK, Token};
use crate::index::{OVERFLOW_SHIFT, tag, tag_place};
use crate::journal::{Change, LAP_MASK};
use crate::layout::{CHUNK_CELLS, FLAG_AUTO_VACUUM, HANDLES, Identity, STRIPES};
use crate::lock::{Attempt, Writer};
use crate::region::{Buffer, Region, SlotIndex};
use crate::slot::{Ctl, Descriptor};
use crate::store::Store;
use crate::sync::Ordering;

/// How often something is looked at without a lock before it is locked, or left undecided.
const LOOKS: u32 = 16;
/// How far the journal's hint may lag behind before it is told: it is advanced by every eighth entry, unless its writer dies.
const HINT_LAG_MAX: u64 = 256;
/// Chunks behind its home where a key is looked for. In half-empty chunks it is never so far.
const REACH_MAX: usize = 1024;
/// Slots that are looked for in the journal once more.
const SUSPECTS_MAX: usize = 4096;
/// Counters that count single events do not get so far.
const COUNTER_MAX: u64 = 1 << 60;

/// What [`Store::check`] has seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// Slots that were looked at: all that the store has.
    pub slots: u32,
    /// Slots that hold a key.
    pub keys: u32,
    /// Bytes of all values.
    pub value_bytes: u64,
    /// Handles that are attached and alive, this one included.
    pub handles: u32,
    /// Entries of the journal that were looked at.
    pub journal_entries: u64,
    /// Entries of the journal from which a repair has struck what they said.
    pub blank_entries: u64,
    /// Slots, or parts of the store, on which nothing can be said because others were at work on them all the time.
    pub undecided: u32,
    /// Slots of a sterile store that hold bytes of deleted keys or replaced values from before it was made sterile. They go
    /// when the slot is next written.
    pub leftovers: u32,
    /// What is wrong, at most [`Self::FINDINGS_MAX`] of it.
    pub findings: Vec<Finding>,
    /// How many findings there was no room for.
    pub omitted: u64,
}

impl CheckReport {
    /// The most findings that a report has.
    pub const FINDINGS_MAX: usize = 1000;

    /// Whether nothing at all was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether something was found that no death explains: see [`Finding::is_damage`].
    pub fn is_damaged(&self) -> bool {
        self.omitted != 0 || self.findings.iter().any(Finding::is_damage)
    }

    fn push(&mut self, finding: Finding) {
        if self.findings.len() < Self::FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.omitted += 1;
        }
    }

    fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.push(finding));
    }
}

/// What [`Store::repair`] has found, and what it left.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairReport {
    /// The store before the repair.
    pub found: CheckReport,
    /// The store after it. What is still found there cannot be repaired, or was in use.
    pub left: CheckReport,
}

/// Something that is wrong with a store. `Display` says it in words, and what [`Store::repair`] does about it is said here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The first bytes of the file are no longer those of this store: it cannot be opened again. Not repaired.
    Identity {
        /// What is wrong with them.
        error: Error,
    },
    /// Flags that this version does not know are set. Not repaired.
    Flags {
        /// The flags as they stand there.
        flags: u32,
    },
    /// A counter stands where no counter comes to. Repaired, but for `incarnations`.
    Counter {
        /// Its name in the header.
        name: &'static str,
        /// What it says.
        value: u64,
    },
    /// A process ended without closing its handle. Repaired, and by the next handle anyway.
    DeadHandle {
        /// Place in the table of handles.
        place: u32,
        /// Number of the process, in its namespace.
        pid: u32,
    },
    /// A handle has a number that was never given to one, or that another has too. Not repaired while its owner lives.
    HandleNumber {
        /// Place in the table of handles.
        place: u32,
        /// The number.
        incarnation: u64,
    },
    /// The owner of a slot's lock is dead, or never was. Repaired, and by the next writer of the key anyway.
    DeadLock {
        /// The slot.
        slot: u32,
        /// The lock's word.
        owner: u64,
    },
    /// The owner of a lock of the index is dead, or never was. Repaired, and by the next insert there anyway.
    DeadStripe {
        /// Number of the lock.
        stripe: u32,
        /// The lock's word.
        owner: u64,
    },
    /// A slot says that it is being written, but nobody has its lock. Repaired.
    Unfinished {
        /// The slot.
        slot: u32,
    },
    /// A slot's change is noted as not yet told to followers, but nobody has its lock. Repaired.
    Untold {
        /// The slot.
        slot: u32,
    },
    /// A slot has a length that this store cannot have. A key's length is repaired if the key tells it; a value's is not:
    /// setting or unsetting the key puts it right.
    Length {
        /// The slot.
        slot: u32,
        /// Length of the value in bytes, as it stands there.
        value_bytes: u64,
        /// Length of the key in bytes, as it stands there.
        key_bytes: u64,
    },
    /// A slot holds what cannot be a key. Not repaired: nobody can say which key it was.
    Key {
        /// The slot.
        slot: u32,
        /// Why it cannot be one.
        error: Error,
    },
    /// A key is not followed by zeros. Repaired.
    KeyPadding {
        /// The slot.
        slot: u32,
        /// The key.
        key: String,
    },
    /// A slot's hash is not that of its key. Repaired: the key counts.
    Hash {
        /// The slot.
        slot: u32,
        /// The key.
        key: String,
        /// The hash that the slot has.
        hash: u64,
    },
    /// A key is not found through the index. Repaired.
    Unreachable {
        /// The slot.
        slot: u32,
        /// The key.
        key: String,
    },
    /// A key has two slots; one of them is found, this one is not. Repaired: this one is emptied.
    Duplicate {
        /// The slot that is not found.
        slot: u32,
        /// The slot that is.
        other: u32,
        /// The key.
        key: String,
    },
    /// A key says that it is younger than its last change. Repaired.
    Inserted {
        /// The slot.
        slot: u32,
        /// Number of the change by which the key came, as the slot has it.
        inserted: u64,
        /// Number of its last change.
        sequence: u64,
    },
    /// A key is stamped with a birth that is still to come, and scans pass it over. Repaired.
    Birth {
        /// The slot.
        slot: u32,
        /// The stamp.
        birth: u64,
        /// Births so far.
        births: u64,
    },
    /// A deleted key had a greater sequence than any is said to have had: its epoch could go back. Repaired.
    EpochFloor {
        /// The slot.
        slot: u32,
        /// Its sequence.
        sequence: u64,
        /// The greatest of deleted keys, as the header has it.
        floor: u64,
    },
    /// The map of free slots has a slot that is in use, or lacks one that is free. Repaired.
    FreeMap {
        /// The slot.
        slot: u32,
        /// Whether it is in use.
        in_use: bool,
    },
    /// The map of free slots has slots that the store does not have. Repaired.
    FreeMapEnd {
        /// The last word of the map.
        word: u64,
    },
    /// A slot is in use, and its values are not noted as having space. Repaired.
    Unreserved {
        /// The slot.
        slot: u32,
    },
    /// Bytes that nobody vouches for: behind a value, or left of one although the store is sterile. Repaired.
    Residue {
        /// The slot.
        slot: u32,
        /// Bytes from the start of the region to the first of them.
        offset: u64,
    },
    /// A deleted key's bytes or hash are left although the store is sterile. Repaired.
    KeyResidue {
        /// The slot.
        slot: u32,
    },
    /// A cell of the index does not name a key that belongs there. Repaired.
    Cell {
        /// Chunk of the index.
        chunk: u64,
        /// Cell of the chunk.
        cell: u32,
        /// What is wrong with it.
        fault: CellFault,
    },
    /// A count of the index is too low: keys can be missed. Repaired.
    CountLow {
        /// Chunk of the index.
        chunk: u64,
        /// The count.
        count: u64,
        /// What it must be.
        exact: u64,
    },
    /// A count of the index is too high: searches take longer. Deaths leave this. Repaired.
    CountHigh {
        /// Chunk of the index.
        chunk: u64,
        /// The count.
        count: u64,
        /// What it must be.
        exact: u64,
    },
    /// The word that tells where the journal ends does not. Repaired, as far as the journal itself tells.
    JournalTail {
        /// What it says.
        tail: u64,
    },
    /// An entry of the journal says nothing that can be. Repaired: it then says nothing, and followers are told that a change
    /// has vanished.
    JournalEntry {
        /// Its position.
        position: u64,
        /// The entry.
        word: u64,
    },
    /// The last change of a slot is not in the journal. Repaired: it is told now.
    Unjournaled {
        /// The slot.
        slot: u32,
        /// Number of the change.
        sequence: u64,
    },
}

/// What is wrong with a cell of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CellFault {
    /// It is free, and yet has a tag.
    TagOfNothing,
    /// It names a slot that the store does not have.
    NoSuchSlot,
    /// It names a slot that holds no key.
    FreeSlot,
    /// Its tag is not that of the slot's key.
    Tag,
    /// A search for the slot's key does not come by.
    OutOfReach,
    /// Another cell names the same slot.
    Twice,
}

impl Finding {
    /// Whether it is damage. What is not is left by processes that were killed, does no harm, and goes by itself.
    pub fn is_damage(&self) -> bool {
        !matches!(
            self,
            Self::DeadHandle { .. } | Self::DeadLock { .. } | Self::DeadStripe { .. } | Self::CountHigh { .. }
        )
    }

    /// A short name of its kind, which stays the same.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Identity { .. } => "identity",
            Self::Flags { .. } => "flags",
            Self::Counter { .. } => "counter",
            Self::DeadHandle { .. } => "dead-handle",
            Self::HandleNumber { .. } => "handle-number",
            Self::DeadLock { .. } => "dead-lock",
            Self::DeadStripe { .. } => "dead-stripe",
            Self::Unfinished { .. } => "unfinished",
            Self::Untold { .. } => "untold",
            Self::Length { .. } => "length",
            Self::Key { .. } => "key",
            Self::KeyPadding { .. } => "key-padding",
            Self::Hash { .. } => "hash",
            Self::Unreachable { .. } => "unreachable",
            Self::Duplicate { .. } => "duplicate",
            Self::Inserted { .. } => "inserted",
            Self::Birth { .. } => "birth",
            Self::EpochFloor { .. } => "epoch-floor",
            Self::FreeMap { .. } => "free-map",
            Self::FreeMapEnd { .. } => "free-map-end",
            Self::Unreserved { .. } => "unreserved",
            Self::Residue { .. } => "residue",
            Self::KeyResidue { .. } => "key-residue",
            Self::Cell { .. } => "cell",
            Self::CountLow { .. } => "count-low",
            Self::CountHigh { .. } => "count-high",
            Self::JournalTail { .. } => "journal-tail",
            Self::JournalEntry { .. } => "journal-entry",
            Self::Unjournaled { .. } => "unjournaled",
        }
    }

    /// The slot that it is about, if it is about one.
    pub fn slot(&self) -> Option<u32> {
        match *self {
            Self::DeadLock { slot, .. }
            | Self::Unfinished { slot }
            | Self::Untold { slot }
            | Self::Length { slot, .. }
            | Self::Key { slot, .. }
            | Self::KeyPadding { slot, .. }
            | Self::Hash { slot, .. }
            | Self::Unreachable { slot, .. }
            | Self::Duplicate { slot, .. }
            | Self::Inserted { slot, .. }
            | Self::Birth { slot, .. }
            | Self::EpochFloor { slot, .. }
            | Self::FreeMap { slot, .. }
            | Self::Unreserved { slot }
            | Self::Residue { slot, .. }
            | Self::KeyResidue { slot }
            | Self::Unjournaled { slot, .. } => Some(slot),
            _ => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(slot) = self.slot() {
            write!(f, "Slot {slot}: ")?;
        }
        match self {
            Self::Identity { error } => write!(f, "The header cannot be opened again: {error}"),
            Self::Flags { flags } => write!(f, "The header has unknown flags: {flags:#x}"),
            Self::Counter { name, value } => write!(f, "The header's {name} cannot be {value}"),
            Self::DeadHandle { place, pid } => write!(f, "Handle {place}: its process {pid} has ended"),
            Self::HandleNumber { place, incarnation } => write!(f, "Handle {place}: its number {incarnation} is wrong"),
            Self::DeadLock { owner, .. } => write!(f, "its lock belongs to nobody alive ({owner:#x})"),
            Self::DeadStripe { stripe, owner } => {
                write!(f, "Index lock {stripe}: it belongs to nobody alive ({owner:#x})")
            }
            Self::Unfinished { .. } => f.write_str("marked as being written by nobody"),
            Self::Untold { .. } => f.write_str("its change was not told to followers"),
            Self::Length {
                value_bytes, key_bytes, ..
            } => write!(f, "impossible lengths, value {value_bytes} and key {key_bytes} bytes"),
            Self::Key { error, .. } => write!(f, "what it holds is no key: {error}"),
            Self::KeyPadding { key, .. } => write!(f, "the key {key:?} is followed by other bytes"),
            Self::Hash { key, hash, .. } => write!(f, "the hash {hash:#018x} is not that of its key {key:?}"),
            Self::Unreachable { key, .. } => write!(f, "the key {key:?} is not in the index"),
            Self::Duplicate { other, key, .. } => write!(f, "the key {key:?} is in slot {other} too"),
            Self::Inserted { inserted, sequence, .. } => {
                write!(
                    f,
                    "inserted by change {inserted}, but last changed by change {sequence}"
                )
            }
            Self::Birth { birth, births, .. } => write!(f, "birth {birth} of only {births}"),
            Self::EpochFloor { sequence, floor, .. } => {
                write!(f, "deleted by change {sequence}, above the floor of {floor}")
            }
            Self::FreeMap { in_use: true, .. } => f.write_str("in use, but on the map of free slots"),
            Self::FreeMap { in_use: false, .. } => f.write_str("free, but not on the map of free slots"),
            Self::FreeMapEnd { word } => write!(f, "The map of free slots goes beyond the last slot: {word:#x}"),
            Self::Unreserved { .. } => f.write_str("in use, but no space is reserved for its values"),
            Self::Residue { offset, .. } => write!(f, "bytes left that belong to no value, at offset {offset}"),
            Self::KeyResidue { .. } => f.write_str("bytes left of a deleted key"),
            Self::Cell { chunk, cell, fault } => write!(f, "Index cell {chunk}/{cell}: {fault}"),
            Self::CountLow { chunk, count, exact } => {
                write!(f, "Index chunk {chunk}: count {count} is too low, it must be {exact}")
            }
            Self::CountHigh { chunk, count, exact } => {
                write!(f, "Index chunk {chunk}: count {count} is too high, it must be {exact}")
            }
            Self::JournalTail { tail } => write!(f, "Journal: it does not end near {tail}"),
            Self::JournalEntry { position, word } => write!(f, "Journal: entry {position} cannot be {word:#018x}"),
            Self::Unjournaled { sequence, .. } => write!(f, "its change {sequence} is not in the journal"),
        }
    }
}

impl fmt::Display for CellFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TagOfNothing => "a tag, but no slot",
            Self::NoSuchSlot => "there is no such slot",
            Self::FreeSlot => "the slot holds no key",
            Self::Tag => "the tag is not that of the slot's key",
            Self::OutOfReach => "no search for the slot's key comes by",
            Self::Twice => "another cell names the same slot",
        })
    }
}

impl Store {
    /// Looks over every part of the store, while others go on using it, and reports what is wrong. Changes nothing but, on a
    /// handle that may write, locks for a moment what looks wrong or never rests.
    ///
    /// It reads all space that is reserved for values, but cannot tell whether a value is the one that was set.
    ///
    /// ```
    /// # let store = splinter::OpenOptions::new().anonymous()?;
    /// store.set("k", "v")?;
    /// let report = store.check()?;
    /// assert!(report.is_clean(), "{:?}", report.findings);
    /// assert_eq!(report.keys, 1);
    /// # Ok::<(), splinter::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the file was cut while it was open, [`Error::NoSpace`] if there is no memory for the check.
    pub fn check(&self) -> Result<CheckReport> {
        let mut check = Check {
            region: self.region(),
            writer: self.writer().ok(),
            report: CheckReport::default(),
            waiting_since: None,
        };
        check.header();
        check.handles();
        check.stripes();
        check.slots();
        check.index()?;
        check.journal()?;
        self.region().check_intact().map(|()| check.report)
    }

    /// Checks the store, mends what can be mended, and checks it again: what each [`Finding`] says. Others may go on using it;
    /// nobody inserts or deletes for a moment.
    ///
    /// What the slots tell is made anew from them (index, counts, map of free slots); what killed processes left is finished.
    /// A damaged value is not noticed, a damaged key cannot be repaired.
    ///
    /// # Errors
    ///
    /// As for [`Self::check`]; [`Error::Permission`] on a read-only handle; [`Error::Busy`] if others did not let go for as
    /// long as the lock timeout.
    pub fn repair(&self) -> Result<RepairReport> {
        let writer = self.writer()?;
        let found = self.check()?;
        if !found.is_clean() {
            writer.rescue_all()?;
            writer.clean_up()?;
            writer.under_all_stripes(|| writer.mend_slots_and_index())??;
            writer.mend_journal();
            self.region().wake_followers();
        }
        let left = self.check()?;
        Ok(RepairReport { found, left })
    }
}

/// A handle that is attached to a store: see [`Store::attached`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attached {
    /// Its number: [`Store::handle_id`] of its owner.
    pub id: u32,
    /// Number of its process, in that process's namespace.
    pub pid: u32,
}

impl Store {
    /// Who has the store open for writing, this handle included. Those who only read leave no trace.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the file was cut while it was open.
    pub fn attached(&self) -> Result<Vec<Attached>> {
        let region = self.region();
        let me = self.writer().map_or(HANDLES, |writer| writer.me.index());
        let attached = (0..HANDLES).filter_map(|index| {
            let handle = region.handle(index);
            let is_taken = handle.incarnation.load(Ordering::Acquire) != 0;
            (is_taken && (index == me || region.is_held(index))).then(|| Attached {
                id: index as u32,
                pid: handle.pid.load(Ordering::Relaxed),
            })
        });
        let attached = attached.collect();
        region.check_intact().map(|()| attached)
    }
}

/// A check that is under way.
struct Check<'a> {
    region: &'a Region,
    /// None on a read-only handle.
    writer: Option<Writer<'a>>,
    report: CheckReport,
    /// When it first had to wait: patience is for the whole check.
    waiting_since: Option<Instant>,
}

/// What one look at a slot came to.
enum Look {
    Rested(Vec<Finding>),
    Moved,
}

impl Check<'_> {
    fn me(&self) -> Token {
        self.writer.map_or(Token::from_bits(0), |writer| writer.me)
    }

    /// The writer with what is left of its patience.
    fn writer(&mut self) -> Option<Writer<'_>> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let writer = self.writer?;
        Some(Writer {
            patience: writer.patience.saturating_sub(since.elapsed()),
            ..writer
        })
    }

    fn header(&mut self) {
        let region = self.region;
        let header = region.header();
        let mut start = [0; 128];
        let identity = region
            .file()
            .metadata()
            .and_then(|metadata| region.file().read_exact_at(&mut start, 0).map(|()| metadata.len()))
            .map_err(|error| Error::from_os("read the store", &error))
            .and_then(|bytes| Identity::decode(&start, bytes));
        match identity {
            Err(error) => self.report.push(Finding::Identity { error }),
            Ok(identity) if identity.geometry != *region.geometry() || identity.store_id != region.store_id() => {
                self.report.push(Finding::Identity {
                    error: Error::Incompatible {
                        reason: "it is that of another store".into(),
                    },
                });
            }
            Ok(_) => {}
        }
        let flags = header.flags.load(Ordering::Relaxed);
        if flags & !FLAG_AUTO_VACUUM != 0 {
            self.report.push(Finding::Flags { flags });
        }
        let counters = [
            ("births", &header.births),
            ("epoch_floor", &header.epoch_floor),
            ("incarnations", &header.incarnations),
        ];
        for (name, counter) in counters {
            let value = counter.load(Ordering::Relaxed);
            if value > COUNTER_MAX {
                self.report.push(Finding::Counter { name, value });
            }
        }
        let in_last_word = region.geometry().slots() % 64;
        if in_last_word != 0 {
            let word = region.free_word(region.free_words() - 1).load(Ordering::Relaxed);
            if word >> in_last_word != 0 {
                self.report.push(Finding::FreeMapEnd { word });
            }
        }
    }

    fn handles(&mut self) {
        let region = self.region;
        let me = self.me();
        let mut seen = HashSet::new();
        for index in 0..HANDLES {
            let handle = region.handle(index);
            let incarnation = handle.incarnation.load(Ordering::Acquire);
            if incarnation == 0 {
                continue;
            }
            let pid = handle.pid.load(Ordering::Relaxed);
            let is_alive = index == me.index() || region.is_held(index);
            // Looked at again: it may have been closed meanwhile, and the place have been taken by another.
            if handle.incarnation.load(Ordering::Acquire) != incarnation {
                self.report.handles += 1;
                continue;
            }
            self.report.handles += u32::from(is_alive);
            // After the number itself, which was drawn from it.
            let last = region.header().incarnations.load(Ordering::Relaxed) & INCARNATION_MASK;
            let place = index as u32;
            if incarnation > last || !seen.insert(incarnation) {
                self.report.push(Finding::HandleNumber { place, incarnation });
            } else if !is_alive {
                self.report.push(Finding::DeadHandle { place, pid });
            }
        }
    }

    fn stripes(&mut self) {
        for index in 0..STRIPES {
            let lock = &self.region.stripe(index).lock;
            let owner = lock.load(Ordering::Relaxed);
            if owner != 0
                && self.region.is_dead(self.me(), Token::from_bits(owner))
                && lock.load(Ordering::Relaxed) == owner
            {
                let stripe = index as u32;
                self.report.push(Finding::DeadStripe { stripe, owner });
            }
        }
    }

    fn slots(&mut self) {
        self.report.slots = self.region.geometry().slots();
        for slot in self.region.slot_indices() {
            let findings = self.slot(slot);
            self.report.extend(findings);
            let ctl = self.region.ctl(slot);
            if ctl.is_live() {
                let value_bytes = self.region.descriptor(slot, ctl.buffer()).value_bytes();
                self.report.keys += 1;
                self.report.value_bytes += value_bytes.min(self.region.geometry().max_value_bytes() as usize) as u64;
            }
        }
    }

    /// What is wrong with a slot for sure.
    fn slot(&mut self, slot: SlotIndex) -> Vec<Finding> {
        for _ in 0..LOOKS {
            if let Look::Rested(findings) = self.look(slot) {
                return findings;
            }
            std::thread::yield_now();
        }
        let region = self.region;
        let Some(writer) = self.writer() else {
            self.report.undecided += 1;
            return Vec::new();
        };
        match writer.lock_slot(slot) {
            Ok(Attempt::Taken | Attempt::Held) => {
                let mut leftover = false;
                let findings = region.examine(slot, region.ctl(slot), &mut leftover);
                writer.unlock_slot(slot);
                self.report.leftovers += u32::from(leftover);
                findings
            }
            Ok(Attempt::Dead(owner)) => vec![dead_lock(slot, owner.bits())],
            Err(_) => {
                self.report.undecided += 1;
                Vec::new()
            }
        }
    }

    fn look(&mut self, slot: SlotIndex) -> Look {
        let region = self.region;
        let lock = &region.slot(slot).lock;
        // Acquire: who sees the lock free sees what its last owner did.
        let owner = lock.load(Ordering::Acquire);
        if owner != 0 {
            let is_dead = region.is_dead(self.me(), Token::from_bits(owner));
            return if is_dead && lock.load(Ordering::Relaxed) == owner {
                Look::Rested(vec![dead_lock(slot, owner)])
            } else {
                Look::Moved
            };
        }
        let ctl = region.ctl(slot);
        let mut leftover = false;
        let findings = region.examine(slot, ctl, &mut leftover);
        // Whoever changes anything of a slot has its lock, and changes `ctl` first.
        if region.ctl_after_reading(slot) != ctl || lock.load(Ordering::Relaxed) != 0 {
            return Look::Moved;
        }
        self.report.leftovers += u32::from(leftover);
        Look::Rested(findings)
    }

    fn index(&mut self) -> Result<()> {
        let mut findings = self.region.examine_index(self.me())?;
        if findings.is_clean() {
            return Ok(());
        }
        let (region, me) = (self.region, self.me());
        if let Some(writer) = self.writer() {
            match writer.under_all_stripes(|| region.examine_index(me)) {
                Ok(firm) => findings = firm?,
                Err(_) => {
                    self.report.undecided += 1;
                    return Ok(());
                }
            }
        } else {
            let mut looks = 0;
            loop {
                let before = region.quiet(me);
                findings = region.examine_index(me)?;
                if before.is_some() && region.quiet(me) == before {
                    break;
                }
                looks += 1;
                if looks == LOOKS {
                    self.report.undecided += 1;
                    return Ok(());
                }
                std::thread::yield_now();
            }
        }
        self.report.extend(findings.findings);
        self.report.omitted += findings.omitted;
        Ok(())
    }

    fn journal(&mut self) -> Result<()> {
        let region = self.region;
        let Some(end) = region.believed_end() else {
            let tail = region.header().journal_tail.load(Ordering::Relaxed);
            self.report.push(Finding::JournalTail { tail });
            return Ok(());
        };
        // Relaxed: read after the end was, so that it can only have come nearer to it.
        let tail = region.header().journal_tail.load(Ordering::Relaxed);
        if end.saturating_sub(tail) > HINT_LAG_MAX {
            self.report.push(Finding::JournalTail { tail });
        }
        let mut newest: Vec<u64> = Vec::new();
        let slots = region.geometry().slots() as usize;
        newest.try_reserve_exact(slots).map_err(|_| Error::NoSpace)?;
        newest.resize(slots, 0);
        let entries = u64::from(region.geometry().journal_entries());
        for position in end.saturating_sub(entries)..end.max(entries) {
            let word = region.journal_entry(position).load(Ordering::Acquire);
            match region.journal_fault(position, word) {
                Some(finding) => self.report.push(finding),
                None if position >= end => {}
                None => {
                    self.report.journal_entries += 1;
                    if let Some(entry) = region.journal_entry_of(word) {
                        newest[entry.slot.get() as usize] = position + 1;
                    } else if is_blank(word) {
                        self.report.blank_entries += 1;
                    }
                }
            }
        }
        let suspects: Vec<_> = region
            .slot_indices()
            .filter(|&slot| {
                let position = newest[slot.get() as usize].checked_sub(1);
                !region.journal_tells(position, region.ctl(slot))
            })
            .take(SUSPECTS_MAX)
            .collect();
        self.suspects(suspects);
        Ok(())
    }

    /// Looks for the last changes of some slots in the journal, until they are found or surely not there.
    fn suspects(&mut self, mut suspects: Vec<SlotIndex>) {
        let region = self.region;
        for _ in 0..LOOKS {
            if suspects.is_empty() {
                return;
            }
            let at_rest = |slot: SlotIndex| {
                // Acquire: who sees the lock free sees what its last owner told the journal.
                let is_free = region.slot(slot).lock.load(Ordering::Acquire) == 0;
                is_free.then(|| region.ctl(slot))
            };
            let before: Vec<_> = suspects.iter().map(|&slot| at_rest(slot)).collect();
            let newest = region.newest_entries(&suspects.iter().copied().collect());
            let mut moved = Vec::new();
            for (slot, before) in suspects.into_iter().zip(before) {
                match before {
                    Some(ctl) if at_rest(slot) == before => {
                        if !region.journal_tells(newest.get(&slot.get()).copied(), ctl) {
                            self.report.push(Finding::Unjournaled {
                                slot: slot.get(),
                                sequence: ctl.sequence(),
                            });
                        }
                    }
                    // The dead are told of already.
                    _ if self.is_of_the_dead(slot) => {}
                    _ => moved.push(slot),
                }
            }
            suspects = moved;
        }
    }

    fn is_of_the_dead(&self, slot: SlotIndex) -> bool {
        let owner = self.region.slot(slot).lock.load(Ordering::Relaxed);
        owner != 0 && self.region.is_dead(self.me(), Token::from_bits(owner))
    }
}

fn dead_lock(slot: SlotIndex, owner: u64) -> Finding {
    Finding::DeadLock {
        slot: slot.get(),
        owner,
    }
}

/// An entry of which nothing is left but that there was one.
fn is_blank(word: u64) -> bool {
    word & !LAP_MASK == 0
}

/// How an entry's kind goes with the state that it led to.
fn is_end(kind: Change) -> bool {
    matches!(kind, Change::Unset | Change::Expire)
}

impl Region {
    /// What is wrong with a slot in the state `ctl`. To be believed if it was locked by the caller, or unlocked and stable.
    ///
    /// `leftover` is set if it holds what was left there before the store was sterile.
    fn examine(&self, index: SlotIndex, ctl: Ctl, leftover: &mut bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        let slot = index.get();
        if ctl.is_being_written() {
            findings.push(Finding::Unfinished { slot });
        }
        if self.slot(index).pending.load(Ordering::Relaxed) != 0 {
            findings.push(Finding::Untold { slot });
        }
        if ctl.is_live() {
            self.examine_key(index, ctl, &mut findings);
        } else {
            let floor = self.header().epoch_floor.load(Ordering::Acquire);
            let sequence = ctl.sequence();
            if sequence > floor {
                findings.push(Finding::EpochFloor { slot, sequence, floor });
            }
        }
        let is_free = self.is_marked_free(index);
        if is_free == ctl.is_live() {
            let in_use = ctl.is_live();
            findings.push(Finding::FreeMap { slot, in_use });
        }
        if !self.is_reserved(index) {
            // Whatever the buffers hold, looking at it would fill holes.
            if ctl.is_live() {
                findings.push(Finding::Unreserved { slot });
            }
            return findings;
        }
        let is_wiped = ctl.is_wiped() && self.is_sterile();
        let mut left = false;
        for buffer in [Buffer::Even, Buffer::Odd] {
            let declared = self.held_bytes(index, buffer);
            let is_used = ctl.is_live() && ctl.buffer() == buffer;
            let vouched = if is_used || !is_wiped { declared } else { 0 };
            if let Some(at) = self.first_nonzero(index, buffer, vouched) {
                let offset = (self.value_offset(index, buffer) + at) as u64;
                findings.push(Finding::Residue { slot, offset });
            }
            left |= !is_used && !is_wiped && self.first_nonzero(index, buffer, 0).is_some_and(|at| at < declared);
        }
        if !ctl.is_live() {
            let has_key = self.attributes(index).hash.load(Ordering::Relaxed) != 0 || self.has_key_bytes(index, 0);
            if has_key && is_wiped {
                findings.push(Finding::KeyResidue { slot });
            }
            left |= has_key && !is_wiped;
        }
        *leftover = left && self.is_sterile();
        findings
    }

    fn examine_key(&self, index: SlotIndex, ctl: Ctl, findings: &mut Vec<Finding>) {
        let slot = index.get();
        let descriptor = self.descriptor(index, ctl.buffer());
        let attributes = self.attributes(index);
        let (inserted, sequence) = (attributes.inserted.load(Ordering::Relaxed), ctl.sequence());
        if inserted == 0 || inserted > sequence {
            findings.push(Finding::Inserted {
                slot,
                inserted,
                sequence,
            });
        }
        let birth = attributes.birth.load(Ordering::Relaxed);
        // After the stamp, which was drawn from it.
        let births = self.header().births.load(Ordering::Relaxed);
        if birth >= births {
            findings.push(Finding::Birth { slot, birth, births });
        }
        let (value_bytes, key_bytes) = (descriptor.value_bytes(), descriptor.key_bytes());
        let geometry = self.geometry();
        let has_key_length = (1..=geometry.max_key_bytes() as usize).contains(&key_bytes);
        if value_bytes > geometry.max_value_bytes() as usize || !has_key_length {
            findings.push(Finding::Length {
                slot,
                value_bytes: value_bytes as u64,
                key_bytes: key_bytes as u64,
            });
        }
        if !has_key_length {
            return;
        }
        let mut bytes = Vec::new();
        self.read_key(index, key_bytes, &mut bytes);
        if let Err(error) = self.key(&bytes) {
            findings.push(Finding::Key { slot, error });
            return;
        }
        let key = || String::from_utf8_lossy(&bytes).into_owned();
        if self.has_key_bytes(index, key_bytes) {
            findings.push(Finding::KeyPadding { slot, key: key() });
        }
        let hash = attributes.hash.load(Ordering::Relaxed);
        let true_hash = self.hash(&bytes);
        if hash != true_hash {
            findings.push(Finding::Hash { slot, key: key(), hash });
        }
        match self.locate(true_hash, &bytes) {
            Some(found) if found == index => {}
            Some(found) => findings.push(Finding::Duplicate {
                slot,
                other: found.get(),
                key: key(),
            }),
            None => findings.push(Finding::Unreachable { slot, key: key() }),
        }
    }

    /// [`Region::find`] that gives up far from home, so that damaged counts do not make a check of many keys endless.
    fn locate(&self, hash: u64, key: &[u8]) -> Option<SlotIndex> {
        let tag = tag(hash);
        let mut at = self.home(hash);
        for _ in 0..self.chunks().min(REACH_MAX) {
            let chunk = self.chunk(at);
            for (cell, number) in chunk.cells.iter().enumerate() {
                let (word, shift) = tag_place(chunk, cell);
                if word.load(Ordering::Acquire) >> shift & 0xff == tag
                    && let Some(slot) = self.slot_index(number.load(Ordering::Relaxed).wrapping_sub(1))
                    && self.holds(slot, self.ctl(slot), key)
                {
                    return Some(slot);
                }
            }
            if chunk.tags[1].load(Ordering::Acquire) >> OVERFLOW_SHIFT == 0 {
                return None;
            }
            at = self.chunk_behind(at);
        }
        None
    }

    fn is_marked_free(&self, slot: SlotIndex) -> bool {
        let word = self.free_word(slot.get() as usize / 64).load(Ordering::Relaxed);
        word >> (slot.get() % 64) & 1 != 0
    }

    /// Whether the room for a slot's key holds anything from byte `from` on.
    fn has_key_bytes(&self, slot: SlotIndex, from: usize) -> bool {
        (from / 8..self.key_room() / 8).any(|i| {
            let word = self.key_word(slot, i).load(Ordering::Relaxed);
            let skipped_bytes = from.saturating_sub(i * 8);
            word >> (8 * skipped_bytes) != 0
        })
    }

    /// Something that is the same again only if nobody inserted or deleted meanwhile; `None` while somebody may.
    ///
    /// The stripes first: whoever held one during the look between two of these calls either holds it still, or has appended
    /// to the journal, which comes after all that he does to the index, or been repaired.
    fn quiet(&self, me: Token) -> Option<[u64; 2]> {
        let is_idle = |stripe| {
            let owner = self.stripe(stripe).lock.load(Ordering::SeqCst);
            owner == 0 || self.is_dead(me, Token::from_bits(owner))
        };
        (0..STRIPES)
            .all(is_idle)
            .then(|| [self.journal_end(), self.header().repairs.load(Ordering::SeqCst)])
    }

    /// What is wrong with the index. To be believed if nobody inserted or deleted meanwhile.
    fn examine_index(&self, me: Token) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        let reach = Reach::new(self)?;
        let mut linked = bits(self.geometry().slots() as usize)?;
        for at in 0..self.chunks() {
            for cell in 0..CHUNK_CELLS {
                if let Some(fault) = self.cell_fault(at, cell, &reach, &mut linked, me) {
                    report.push(Finding::Cell {
                        chunk: at as u64,
                        cell: cell as u32,
                        fault,
                    });
                }
            }
        }
        for (at, exact) in self.exact_counts().into_iter().enumerate() {
            let count = self.chunk(at).tags[1].load(Ordering::Relaxed) >> OVERFLOW_SHIFT;
            let chunk = at as u64;
            if count < exact {
                report.push(Finding::CountLow { chunk, count, exact });
            } else if count > exact {
                report.push(Finding::CountHigh { chunk, count, exact });
            }
        }
        Ok(report)
    }

    fn cell_fault(&self, at: usize, cell: usize, reach: &Reach, linked: &mut [u64], me: Token) -> Option<CellFault> {
        let chunk = self.chunk(at);
        let (word, shift) = tag_place(chunk, cell);
        let number = chunk.cells[cell].load(Ordering::Acquire);
        let found_tag = word.load(Ordering::Acquire) >> shift & 0xff;
        if number == 0 {
            return (found_tag != 0).then_some(CellFault::TagOfNothing);
        }
        let Some(slot) = self.slot_index(number - 1) else {
            return Some(CellFault::NoSuchSlot);
        };
        let owner = self.slot(slot).lock.load(Ordering::Acquire);
        if owner != 0 && self.is_dead(me, Token::from_bits(owner)) {
            // It will be seen to with its slot.
            return None;
        }
        if !self.ctl(slot).is_live() {
            return Some(CellFault::FreeSlot);
        }
        let hash = self.attributes(slot).hash.load(Ordering::Relaxed);
        if found_tag != tag(hash) {
            return Some(CellFault::Tag);
        }
        if !reach.is_open(self.home(hash), at) {
            return Some(CellFault::OutOfReach);
        }
        let (word, bit) = (slot.get() as usize / 64, 1 << (slot.get() % 64));
        let is_twice = linked[word] & bit != 0;
        linked[word] |= bit;
        is_twice.then_some(CellFault::Twice)
    }

    /// Where the journal ends, if its hint can be believed: it follows an entry, or is 0.
    fn believed_end(&self) -> Option<u64> {
        (0..LOOKS).find_map(|_| {
            let hint = self.header().journal_tail.load(Ordering::Relaxed);
            let follows = match hint.checked_sub(1) {
                None => self.lap(0).wrapping_sub(self.journal_entry(0).load(Ordering::Acquire)) & LAP_MASK <= 1,
                Some(last) => self.journal_entry(last).load(Ordering::Acquire) & LAP_MASK == self.lap(last),
            };
            let end = self.journal_end();
            // The ring may have gone round since the hint was read, but then it has moved.
            (follows && hint.max(end) < COUNTER_MAX).then_some(end)
        })
    }

    /// What is wrong with what was read at a position of the journal, if the position still counts.
    fn journal_fault(&self, position: u64, word: u64) -> Option<Finding> {
        let is_written = word & LAP_MASK == self.lap(position);
        let is_right = if is_written {
            is_blank(word) || self.journal_entry_of(word).is_some()
        } else {
            word == 0 && position >= self.journal_end()
        };
        if is_right {
            return None;
        }
        let entries = u64::from(self.geometry().journal_entries());
        let is_gone = position
            .checked_add(entries)
            .is_none_or(|next| next < self.journal_end());
        // Again, for it may be the next lap's by now, or have been written since.
        let now = self.journal_entry(position).load(Ordering::Acquire);
        (!is_gone && now == word).then_some(Finding::JournalEntry { position, word })
    }

    /// The position behind which the last change of a slot in the state `ctl` is told; `position` is that of the newest entry
    /// of the slot. `true` too if it cannot be told any more.
    fn journal_tells(&self, position: Option<u64>, ctl: Ctl) -> bool {
        let entries = u64::from(self.geometry().journal_entries());
        let Some(position) = position else {
            return ctl.sequence() == 0 || self.journal_end() > entries;
        };
        let word = self.journal_entry(position).load(Ordering::Acquire);
        if word & LAP_MASK != self.lap(position) || position.saturating_add(entries) < self.journal_end() {
            return true;
        }
        self.journal_entry_of(word)
            .is_none_or(|entry| entry.is_of(ctl.sequence()) && is_end(entry.kind) != ctl.is_live())
    }

    /// Positions of the newest entries of some slots.
    fn newest_entries(&self, slots: &HashSet<SlotIndex>) -> HashMap<u32, u64> {
        let end = self.journal_end();
        let mut newest = HashMap::new();
        for position in end.saturating_sub(u64::from(self.geometry().journal_entries()))..end {
            let word = self.journal_entry(position).load(Ordering::Acquire);
            if word & LAP_MASK == self.lap(position)
                && let Some(entry) = self.journal_entry_of(word)
                && slots.contains(&entry.slot)
            {
                newest.insert(entry.slot.get(), position);
            }
        }
        newest
    }
}

/// One bit for each of `count` things.
fn bits(count: usize) -> Result<Vec<u64>> {
    let words = count.div_ceil(64);
    let mut bits = Vec::new();
    bits.try_reserve_exact(words).map_err(|_| Error::NoSpace)?;
    bits.resize(words, 0);
    Ok(bits)
}

/// Which chunks a search comes to from which home: it ends at the first chunk that nobody is said to have passed over.
struct Reach {
    /// How many chunks before each one end a search.
    ends_before: Vec<u32>,
}

impl Reach {
    fn new(region: &Region) -> Result<Self> {
        let mut ends_before = Vec::new();
        ends_before
            .try_reserve_exact(region.chunks() + 1)
            .map_err(|_| Error::NoSpace)?;
        ends_before.push(0);
        let mut ends = 0;
        for at in 0..region.chunks() {
            ends += u32::from(region.chunk(at).tags[1].load(Ordering::Acquire) >> OVERFLOW_SHIFT == 0);
            ends_before.push(ends);
        }
        Ok(Self { ends_before })
    }

    fn is_open(&self, home: usize, at: usize) -> bool {
        let chunks = self.ends_before.len() - 1;
        if (at + chunks - home) % chunks >= REACH_MAX {
            return false;
        }
        let before = |chunk: usize| self.ends_before[chunk];
        let ends = if home <= at {
            before(at) - before(home)
        } else {
            before(chunks) - before(home) + before(at)
        };
        ends == 0
    }
}

impl Writer<'_> {
    /// Mends all slots, and then the index. The caller holds all stripes: nobody inserts or deletes.
    fn mend_slots_and_index(&self) -> Result<()> {
        let region = self.region;
        let header = region.header();
        if header.births.load(Ordering::Relaxed) > COUNTER_MAX {
            // Every key gets a new stamp below.
            header.births.store(0, Ordering::Relaxed);
        }
        if header.epoch_floor.load(Ordering::Relaxed) > COUNTER_MAX {
            // At least that of every deleted key: its slot has its sequence, or that of a later key, which is above it.
            let floor = region.slot_indices().map(|slot| region.ctl(slot).sequence()).max();
            header.epoch_floor.store(floor.unwrap_or(0), Ordering::Release);
        }
        // For all before any, because several slots share a note, and what has no space is not looked at.
        for slot in region.slot_indices() {
            if region.ctl(slot).is_live() {
                region.reserve(slot)?;
            }
        }
        for slot in region.slot_indices() {
            let mut leftover = false;
            if region.examine(slot, region.ctl(slot), &mut leftover).is_empty() {
                continue;
            }
            // Nobody is waited for while stripes are held: who is busy now is left as he is.
            if self.try_lock_often(slot) {
                self.mend(slot);
            }
        }
        let in_last_word = region.geometry().slots() % 64;
        if in_last_word != 0 {
            region
                .free_word(region.free_words() - 1)
                .fetch_and((1 << in_last_word) - 1, Ordering::Relaxed);
        }
        // Cells that lead nowhere first: they help no search. Then counts for those that are left, and last what is missing.
        let reach = Reach::new(region)?;
        let mut linked = bits(region.geometry().slots() as usize)?;
        for at in 0..region.chunks() {
            for cell in 0..CHUNK_CELLS {
                if region.cell_fault(at, cell, &reach, &mut linked, self.me).is_some() {
                    let chunk = region.chunk(at);
                    let (word, shift) = tag_place(chunk, cell);
                    word.fetch_and(!(0xff << shift), Ordering::Release);
                    chunk.cells[cell].store(0, Ordering::Release);
                }
            }
        }
        header.recount.store(0, Ordering::Relaxed);
        region.recount();
        for slot in region.slot_indices() {
            let Some((key, hash)) = self.key_of(slot) else {
                continue;
            };
            match region.locate(hash, &key) {
                Some(found) if found == slot => {}
                // Readers see the other one; this one only wastes a slot, and would come back after a delete.
                Some(_) => self.drop_duplicate(slot, hash),
                None => {
                    region.link(hash, slot)?;
                    region.wake_expectant(hash);
                }
            }
        }
        Ok(())
    }

    fn try_lock_often(&self, slot: SlotIndex) -> bool {
        (0..LOOKS).any(|_| {
            let is_taken = self.try_lock(&self.region.slot(slot).lock) == Attempt::Taken;
            if !is_taken {
                std::thread::yield_now();
            }
            is_taken
        })
    }

    /// The key of a live slot, which is stable while all stripes are held, if it can be one.
    fn key_of(&self, slot: SlotIndex) -> Option<(Vec<u8>, u64)> {
        let region = self.region;
        let ctl = region.ctl(slot);
        if !ctl.is_live() {
            return None;
        }
        let mut key = Vec::new();
        region.read_key(slot, region.descriptor(slot, ctl.buffer()).key_bytes(), &mut key);
        region.key(&key).ok()?;
        let hash = region.hash(&key);
        Some((key, hash))
    }

    /// Mends a slot by itself and unlocks it. The caller holds its lock and all stripes.
    fn mend(&self, slot: SlotIndex) {
        let region = self.region;
        let header = region.header();
        let attributes = region.attributes(slot);
        let ctl = Ctl::from_bits(region.slot(slot).ctl.load(Ordering::Relaxed));
        if ctl.is_live() {
            self.mend_key(slot, ctl);
            let births = header.births.load(Ordering::Relaxed);
            if attributes.birth.load(Ordering::Relaxed) >= births {
                let birth = header.births.fetch_add(1, Ordering::Relaxed);
                attributes.birth.store(birth, Ordering::Relaxed);
            }
            let inserted = attributes.inserted.load(Ordering::Relaxed);
            if inserted == 0 || inserted > ctl.sequence() {
                attributes.inserted.store(ctl.sequence(), Ordering::Relaxed);
            }
            region.mark_used(slot);
        } else {
            // Of an impossible sequence too: it is this slot's, and the next key here goes on from it.
            header.epoch_floor.fetch_max(ctl.sequence(), Ordering::Release);
        }
        if region.is_reserved(slot) {
            let sterile = region.is_sterile();
            for buffer in [Buffer::Even, Buffer::Odd] {
                let is_used = ctl.is_live() && ctl.buffer() == buffer;
                let held_bytes = region.held_bytes(slot, buffer);
                region.zero_value(slot, buffer, held_bytes, region.value_room());
                if sterile && !is_used {
                    region.declare_unknown(slot, buffer);
                    region.scrub(slot, buffer);
                }
            }
            if sterile && !ctl.is_live() {
                for i in 0..region.key_room() / 8 {
                    region.key_word(slot, i).store(0, Ordering::Relaxed);
                }
            }
        }
        self.settle(slot, attributes.hash.load(Ordering::Relaxed));
        region.wake_pollers(slot);
    }

    /// Puts right what a live slot's key tells by itself: its length, the zeros behind it, its hash.
    fn mend_key(&self, slot: SlotIndex, ctl: Ctl) {
        let region = self.region;
        let descriptor = region.descriptor(slot, ctl.buffer());
        let max = region.geometry().max_key_bytes() as usize;
        let mut key = Vec::new();
        if (1..=max).contains(&descriptor.key_bytes()) {
            region.read_key(slot, descriptor.key_bytes(), &mut key);
        } else {
            // It ends at its NUL, if it is the one that was hashed.
            region.read_key(slot, max, &mut key);
            key.truncate(key.iter().position(|&byte| byte == 0).unwrap_or(max));
            if region.hash(&key) != region.attributes(slot).hash.load(Ordering::Relaxed) {
                return;
            }
            let mended = Descriptor::new(descriptor.value_bytes(), key.len(), descriptor.is_dirty());
            region.set_descriptor(slot, ctl.buffer(), mended);
        }
        if region.key(&key).is_err() {
            return;
        }
        // What it says already, and zeros behind it.
        if region.has_key_bytes(slot, key.len()) {
            region.write_key(slot, &key);
            for i in key.len() / 8 + 1..region.key_room() / 8 {
                region.key_word(slot, i).store(0, Ordering::Relaxed);
            }
        }
        region.attributes(slot).hash.store(region.hash(&key), Ordering::Release);
    }

    /// Empties a slot whose key readers find in another one. The caller holds all stripes.
    fn drop_duplicate(&self, slot: SlotIndex, hash: u64) {
        let region = self.region;
        if !self.try_lock_often(slot) {
            return;
        }
        let words = region.slot(slot);
        let ctl = Ctl::from_bits(words.ctl.load(Ordering::Relaxed));
        let next = Ctl::published(ctl.sequence() + 1, false, region.is_sterile());
        region
            .header()
            .epoch_floor
            .fetch_max(next.sequence(), Ordering::Release);
        words.ctl.store(next.bits(), Ordering::Release);
        self.settle(slot, hash);
    }

    /// Makes every cell of the journal one that appends and followers get over, and finds its end again.
    fn mend_journal(&self) {
        let region = self.region;
        let tail = &region.header().journal_tail;
        let hint = tail.load(Ordering::Relaxed);
        let end = match region.believed_end() {
            Some(end) => end,
            None => {
                let end = region.likely_end(hint);
                let _ = tail.compare_exchange(hint, end, Ordering::Relaxed, Ordering::Relaxed);
                end
            }
        };
        let entries = u64::from(region.geometry().journal_entries());
        for position in end.saturating_sub(entries)..end.max(entries) {
            let cell = region.journal_entry(position);
            let word = cell.load(Ordering::Acquire);
            if region.journal_fault(position, word).is_some() {
                let blank = if position < end { region.lap(position) } else { 0 };
                // Fails if somebody was faster and wrote an entry: all the better.
                let _ = cell.compare_exchange(word, blank, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
        let hint = tail.load(Ordering::Relaxed);
        if end.saturating_sub(hint) > HINT_LAG_MAX {
            let _ = tail.compare_exchange(hint, end, Ordering::Relaxed, Ordering::Relaxed);
        }
        let newest = region.newest_entries(&region.slot_indices().collect());
        for slot in region.slot_indices() {
            let position = newest.get(&slot.get()).copied();
            if region.journal_tells(position, region.ctl(slot)) || !self.try_lock_often(slot) {
                continue;
            }
            // Under the lock the newest entry is the one that stood there, unless it was told meanwhile.
            let ctl = Ctl::from_bits(region.slot(slot).ctl.load(Ordering::Relaxed));
            if !region.journal_tells(position, ctl) {
                let inserted = region.attributes(slot).inserted.load(Ordering::Relaxed);
                let kind = match ctl.is_live() {
                    false => Change::Unset,
                    true if inserted == ctl.sequence() => Change::Insert,
                    true => Change::Update,
                };
                if !region.journal_has(slot, kind, ctl.sequence()) {
                    region.append_to_journal(slot, kind, ctl.sequence());
                }
            }
            self.unlock_slot(slot);
        }
    }
}

impl Region {
    /// Where the journal ends by what stands in it: entries of one lap up to there, of the lap before from there on. The lap
    /// is known to 128 only; it is taken to be the one nearest to the hint.
    fn likely_end(&self, hint: u64) -> u64 {
        let entries = u64::from(self.geometry().journal_entries());
        let laps = LAP_MASK + 1;
        let found = |at: u64| self.journal_entry(at).load(Ordering::Relaxed) & LAP_MASK;
        let mut of_lap = vec![0_i64; laps as usize];
        (0..entries).for_each(|at| of_lap[found(at) as usize] += 1);
        let mut best = (0, 0, 0);
        for lap in 0..laps {
            let lap_before = lap.wrapping_sub(1) & LAP_MASK;
            let mut fitting = of_lap[lap_before as usize];
            if fitting + of_lap[lap as usize] <= best.0 {
                continue;
            }
            for at in 0..=entries {
                if fitting > best.0 {
                    best = (fitting, lap, at);
                }
                if at < entries {
                    let found = found(at);
                    fitting += i64::from(found == lap) - i64::from(found == lap_before);
                }
            }
        }
        let (_, lap, at) = best;
        // Laps are counted from one on.
        let lap = lap.wrapping_sub(1) & LAP_MASK;
        let period = laps * entries;
        let within = lap * entries + at;
        let hint = if hint > COUNTER_MAX { 0 } else { hint };
        let base = hint.saturating_sub(within).saturating_add(period / 2) / period * period;
        base + within
    }
}
