//! The journal: a ring of the last changes, in the order in which they were published.
//!
//! An entry is one word, so that appending is one compare-and-swap and a writer killed at any instruction leaves no hole:
//! it is there or it is not. Positions count up for ever; the entry at position p carries the number of the lap that p is
//! in, so that an entry of the lap before is seen to be free. `Header::journal_tail` is a hint: at the end or a little
//! before it, advanced by whoever appends.
//!
//! | bits  | field                                                               |
//! |-------|---------------------------------------------------------------------|
//! | 0-6   | lap; in the low half, which therefore changes with every new entry  |
//! | 7-9   | kind of change                                                      |
//! | 10-37 | low bits of the slot's sequence after the change                    |
//! | 38-63 | slot                                                                |

#![forbid(unsafe_code)]

use crate::region::{Region, SlotIndex};
use crate::sync::{Ordering, fence_after_rmw};

pub(crate) const LAP_BITS: u32 = 7;
const KIND_BITS: u32 = 3;
pub(crate) const SEQUENCE_BITS: u32 = 28;
pub(crate) const LAP_MASK: u64 = (1 << LAP_BITS) - 1;
const SEQUENCE_MASK: u64 = (1 << SEQUENCE_BITS) - 1;
/// The hint is advanced by every eighth entry: a cache line of them.
const HINT_STRIDE: u64 = 8;
/// How often an append starts anew from the hint before it takes the journal for broken.
const RESTARTS: u32 = 64;

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Change {
    Insert = 1,
    Update = 2,
    Unset = 3,
    /// Deleted because its time was up.
    Expire = 4,
    /// Overwritten by a longer value that begins with the one before.
    Append = 5,
    /// Deleted to make room.
    Evict = 6,
    /// The value is the same; deadline, labels or pin are others.
    Attributes = 7,
}

impl Change {
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        const KINDS: [Change; 7] = [
            Change::Insert,
            Change::Update,
            Change::Unset,
            Change::Expire,
            Change::Append,
            Change::Evict,
            Change::Attributes,
        ];
        KINDS.into_iter().find(|&kind| kind as u32 == number)
    }

    /// Whether the key is gone by it.
    pub(crate) fn is_end(self) -> bool {
        matches!(self, Self::Unset | Self::Expire | Self::Evict)
    }
}

/// An entry, as followers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) slot: SlotIndex,
    pub(crate) kind: Change,
    sequence_bits: u64,
}

impl Entry {
    /// Whether it may tell of the change that led to `sequence`.
    pub(crate) fn is_of(&self, sequence: u64) -> bool {
        self.sequence_bits == sequence & SEQUENCE_MASK
    }

    /// The whole sequence, if it is the one nearest to `sequence`, which is of the same slot.
    pub(crate) fn sequence_near(&self, sequence: u64) -> u64 {
        let ahead = self.sequence_bits.wrapping_sub(sequence) & SEQUENCE_MASK;
        if ahead <= SEQUENCE_MASK / 2 {
            sequence.wrapping_add(ahead)
        } else {
            sequence.wrapping_sub(SEQUENCE_MASK + 1 - ahead)
        }
    }

    /// The whole sequence, if it is the greatest that is not above `sequence`, which is of the same slot.
    pub(crate) fn sequence_until(&self, sequence: u64) -> u64 {
        sequence.wrapping_sub(sequence.wrapping_sub(self.sequence_bits) & SEQUENCE_MASK)
    }
}

/// What [`Region::read_journal`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many entries; none at the journal's end.
    Entries(usize),
    /// The ring has gone over the position: what stood there is gone.
    Overtaken,
}

/// Entries that are read at once.
pub(crate) const BATCH: usize = 64;

fn entry(slot: SlotIndex, kind: Change, sequence: u64) -> u64 {
    u64::from(slot.get()) << (LAP_BITS + KIND_BITS + SEQUENCE_BITS)
        | (sequence & SEQUENCE_MASK) << (LAP_BITS + KIND_BITS)
        | (kind as u64) << LAP_BITS
}

impl Region {
    /// The low bits of what stands at a position once it is written.
    pub(crate) fn lap(&self, position: u64) -> u64 {
        // One more than the number of laps, so that a ring of zeros is empty.
        (position >> self.geometry().journal_entries().trailing_zeros()).wrapping_add(1) & LAP_MASK
    }

    /// Appends a change. The caller holds the slot's lock and has published the change.
    ///
    /// On return a full barrier lies between the publishing and what follows, so that the caller may look for sleepers.
    #[inline]
    pub(crate) fn append_to_journal(&self, slot: SlotIndex, kind: Change, sequence: u64) {
        let entry = entry(slot, kind, sequence);
        let tail = &self.header().journal_tail;
        // Relaxed: a stale hint only costs steps.
        let mut position = tail.load(Ordering::Relaxed);
        let mut restarts = 0;
        let mut steps = 0;
        loop {
            let lap = self.lap(position);
            let cell = self.journal_entry(position);
            // Acquire: the hint is looked at afterwards.
            let found = cell.load(Ordering::Acquire);
            let is_current = !self.is_overtaken(position);
            match lap.wrapping_sub(found) & LAP_MASK {
                0 if is_current => position = position.wrapping_add(1),
                1 if is_current => {
                    // Release: a follower that sees the entry sees the change. Nothing but this very entry of the lap
                    // before can be replaced, so a writer that slept for a lap appends further on.
                    if cell
                        .compare_exchange(found, entry | lap, Ordering::AcqRel, Ordering::Relaxed)
                        .is_ok()
                    {
                        break;
                    }
                }
                _ => {
                    // The ring has gone round since the hint was read, or the hint is broken.
                    restarts += 1;
                    position = tail.load(Ordering::Relaxed);
                }
            }
            steps += 1;
            if restarts > RESTARTS || steps > 4 * u64::from(self.geometry().journal_entries()) {
                // The change itself stands: only those who follow the journal miss it.
                self.count_parse_failure();
                break;
            }
        }
        fence_after_rmw();
        if position % HINT_STRIDE == HINT_STRIDE - 1 {
            let hint = tail.load(Ordering::Relaxed);
            if hint <= position {
                let _ = tail.compare_exchange(hint, position.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    /// Lets the journal end at a position, with nothing left of what stood before it. Nobody else is at it.
    pub(crate) fn blank_journal(&self, end: u64) {
        let entries = u64::from(self.geometry().journal_entries());
        for position in end - entries.min(end)..end {
            self.journal_entry(position)
                .store(self.lap(position), Ordering::Relaxed);
        }
        self.header().journal_tail.store(end, Ordering::Release);
    }

    /// The number of changes ever: the position that the next one gets.
    pub(crate) fn journal_end(&self) -> u64 {
        let mut position = self.header().journal_tail.load(Ordering::Relaxed);
        for _ in 0..self.geometry().journal_entries() {
            let found = self.journal_entry(position).load(Ordering::Acquire);
            if found & LAP_MASK != self.lap(position) {
                break;
            }
            position = position.wrapping_add(1);
        }
        position
    }

    /// Reads what stands in the journal from a position on. Changes that it tells of are seen.
    pub(crate) fn read_journal(&self, position: u64, entries: &mut [u64; BATCH]) -> Read {
        let mut count = 0;
        for (ahead, word) in (0..).zip(entries) {
            // Wraps where somebody wrote nonsense into the hint.
            let at = position.wrapping_add(ahead);
            // Acquire pairs with the release of the append.
            *word = self.journal_entry(at).load(Ordering::Acquire);
            match self.lap(at).wrapping_sub(*word) & LAP_MASK {
                0 => count += 1,
                1 => break,
                _ => return Read::Overtaken,
            }
        }
        if self.is_overtaken(position) {
            return Read::Overtaken;
        }
        Read::Entries(count)
    }

    /// Whether the ring has gone round since `position` was at its end.
    ///
    /// Laps are counted to 128 only. Whoever sleeps through as many sees by the hint, which lags by a few entries at most, that
    /// what he read before is not what he meant: to be asked after an acquire load of the entries.
    #[inline]
    fn is_overtaken(&self, position: u64) -> bool {
        let written = self
            .header()
            .journal_tail
            .load(Ordering::Relaxed)
            .wrapping_sub(position);
        // A hint that lags behind the position wraps.
        written > u64::from(self.geometry().journal_entries()) && written < 1 << 63
    }

    /// What a word of the journal says, if it says anything.
    pub(crate) fn journal_entry_of(&self, word: u64) -> Option<Entry> {
        Some(Entry {
            slot: self.slot_index((word >> (LAP_BITS + KIND_BITS + SEQUENCE_BITS)) as u32)?,
            kind: Change::from_number((word >> LAP_BITS) as u32 & ((1 << KIND_BITS) - 1))?,
            sequence_bits: word >> (LAP_BITS + KIND_BITS) & SEQUENCE_MASK,
        })
    }

    /// Whether the journal has come to a position, or beyond.
    pub(crate) fn journal_reaches(&self, position: u64) -> bool {
        let found = self.journal_entry(position).load(Ordering::Acquire);
        self.lap(position).wrapping_sub(found) & LAP_MASK != 1 || self.is_overtaken(position)
    }

    /// Whether a change is in the journal already: asked by whoever takes over from a dead writer.
    pub(crate) fn journal_has(&self, slot: SlotIndex, kind: Change, sequence: u64) -> bool {
        let wanted = entry(slot, kind, sequence);
        let end = self.journal_end();
        (1..=u64::from(self.geometry().journal_entries()))
            .map_while(|back| end.checked_sub(back))
            .any(|position| self.journal_entry(position).load(Ordering::Relaxed) == wanted | self.lap(position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::OpenOptions;

    #[test]
    fn an_entry_gives_back_what_was_logged() {
        let store = OpenOptions::new().slots(8).anonymous().unwrap();
        let region = store.region();
        for (slot, kind) in region.slot_indices().zip((1..).map_while(Change::from_number)) {
            for sequence in [1, 5, SEQUENCE_MASK - 1, SEQUENCE_MASK, SEQUENCE_MASK + 7, u64::MAX >> 3] {
                for lap in [1, LAP_MASK] {
                    let found = region.journal_entry_of(entry(slot, kind, sequence) | lap).unwrap();
                    assert_eq!((found.slot, found.kind), (slot, kind));
                    assert!(found.is_of(sequence) && !found.is_of(sequence + 1));
                }
            }
        }
    }

    #[test]
    fn the_whole_sequence_of_an_entry_is_told_by_one_that_is_not_far() {
        const FAR: u64 = 1 << (SEQUENCE_BITS - 1);
        let store = OpenOptions::new().slots(1).anonymous().unwrap();
        let slot = store.region().slot_index(0).unwrap();
        for of in [3 * FAR, 4 * FAR - 1, 4 * FAR, 4 * FAR + 1, 7 * FAR + 12_345] {
            let entry = store
                .region()
                .journal_entry_of(entry(slot, Change::Update, of))
                .unwrap();
            for distance in [0, 1, 2, 1000, FAR - 1] {
                assert_eq!(entry.sequence_near(of + distance), of);
                assert_eq!(entry.sequence_near(of - distance), of);
                assert_eq!(entry.sequence_until(of + distance), of);
                assert_eq!(entry.sequence_until(of + FAR + distance), of);
            }
            assert_eq!(entry.sequence_until(of - 1), of - 2 * FAR);
        }
    }
}
