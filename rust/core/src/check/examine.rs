//! Looking at one slot, one chunk, one entry, and at what must agree with it.

#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet};

use super::{COUNTER_MAX, CellFault, CheckReport, Finding, LOOKS, REACH_MAX, is_blank};
use crate::error::{Error, Result};
use crate::handles::Token;
use crate::index::{OVERFLOW_SHIFT, tag, tag_place};
use crate::journal::LAP_MASK;
use crate::layout::{CHUNK_CELLS, STRIPES};
use crate::region::{Buffer, Region, SlotIndex};
use crate::slot::Ctl;
use crate::sync::Ordering;

impl Region {
    /// What is wrong with a slot in the state `ctl`. To be believed if it was locked by the caller, or unlocked and stable.
    ///
    /// `leftover` is set if it holds what was left there before the store was sterile.
    pub(super) fn examine(&self, index: SlotIndex, ctl: Ctl, leftover: &mut bool) -> Vec<Finding> {
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
            // The start of a value that was appended to is no leftover.
            let is_start = ctl.is_live() && self.descriptor(index, ctl.buffer()).is_appended();
            left |= !is_used
                && !is_start
                && !is_wiped
                && self.first_nonzero(index, buffer, 0).is_some_and(|at| at < declared);
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
        match self.find_anywhere(true_hash, &bytes) {
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
    pub(super) fn find_anywhere(&self, hash: u64, key: &[u8]) -> Option<SlotIndex> {
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
    pub(super) fn has_key_bytes(&self, slot: SlotIndex, from: usize) -> bool {
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
    pub(super) fn quiet(&self, me: Token) -> Option<[u64; 2]> {
        let is_idle = |stripe| {
            let owner = self.stripe(stripe).lock.load(Ordering::SeqCst);
            owner == 0 || self.is_dead(me, Token::from_bits(owner))
        };
        (0..STRIPES)
            .all(is_idle)
            .then(|| [self.journal_end(), self.header().repairs.load(Ordering::SeqCst)])
    }

    /// What is wrong with the index. To be believed if nobody inserted or deleted meanwhile.
    pub(super) fn examine_index(&self, me: Token) -> Result<CheckReport> {
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

    pub(super) fn cell_fault(
        &self,
        at: usize,
        cell: usize,
        reach: &Reach,
        linked: &mut [u64],
        me: Token,
    ) -> Option<CellFault> {
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
    pub(super) fn believed_end(&self) -> Option<u64> {
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
    pub(super) fn journal_fault(&self, position: u64, word: u64) -> Option<Finding> {
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
    pub(super) fn journal_tells(&self, position: Option<u64>, ctl: Ctl) -> bool {
        let entries = u64::from(self.geometry().journal_entries());
        let Some(position) = position else {
            return ctl.sequence() == 0 || self.journal_end() > entries;
        };
        let word = self.journal_entry(position).load(Ordering::Acquire);
        if word & LAP_MASK != self.lap(position) || position.saturating_add(entries) < self.journal_end() {
            return true;
        }
        self.journal_entry_of(word)
            .is_none_or(|entry| entry.is_of(ctl.sequence()) && entry.kind.is_end() != ctl.is_live())
    }

    /// Positions of the newest entries of some slots.
    pub(super) fn newest_entries(&self, slots: &HashSet<SlotIndex>) -> HashMap<u32, u64> {
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
pub(super) fn bits(count: usize) -> Result<Vec<u64>> {
    let words = count.div_ceil(64);
    let mut bits = Vec::new();
    bits.try_reserve_exact(words).map_err(|_| Error::NoSpace)?;
    bits.resize(words, 0);
    Ok(bits)
}

/// Which chunks a search comes to from which home: it ends at the first chunk that nobody is said to have passed over.
pub(super) struct Reach {
    /// How many chunks before each one end a search.
    ends_before: Vec<u32>,
}

impl Reach {
    pub(super) fn new(region: &Region) -> Result<Self> {
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
