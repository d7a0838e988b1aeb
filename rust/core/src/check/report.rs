//! What a check says: findings, and what becomes of them.

#![forbid(unsafe_code)]

use std::fmt;

use crate::error::Error;

/// What [`crate::Store::check`] has seen.
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

    pub(super) fn push(&mut self, finding: Finding) {
        if self.findings.len() < Self::FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.omitted += 1;
        }
    }

    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.push(finding));
    }
}

/// What [`crate::Store::repair`] has found, and what it left.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairReport {
    /// The store before the repair.
    pub found: CheckReport,
    /// The store after it. What is still found there cannot be repaired, or was in use.
    pub left: CheckReport,
}

/// Something that is wrong with a store. `Display` says it in words, and what [`crate::Store::repair`] does about it is said here.
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
