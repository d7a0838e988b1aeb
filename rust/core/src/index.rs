//! The index: from a key's hash to its slot.
//!
//! Chunks of one cache line hold twelve one-byte tags and twelve slot numbers. A key lives in its home chunk, or, where
//! that was full, in the first chunk behind it with room; every chunk passed over counts the keys that passed over it. A
//! search ends at the first chunk that nobody passed over, and a delete takes its own counts back, so that it restores
//! exactly what was there before the insert: no tombstones, and a miss costs the same after years of churn. (The overflow
//! count is that of F14: Bronson and Shi, "Open-sourcing F14 for faster, more memory-efficient hash tables", 2019.)
//!
//! Whoever links or unlinks holds the stripe of the key's home chunk. That serialises those who could insert the same key
//! twice; others meet in a chunk's words, which are therefore changed by atomic read-modify-writes. Readers take no lock: a
//! tag is published after its cell, and a slot's `ctl` after both.

#![forbid(unsafe_code)]

use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::layout::{CHUNK_CELLS, Chunk};
use crate::region::{Region, SlotIndex};
use crate::simd;
use crate::slot::Ctl;
use crate::sync::{AtomicU64, Ordering};

/// Tags of a chunk's first word, and of its second, whose upper half is the overflow count.
const FIRST_WORD_TAGS: usize = 8;
pub(crate) const OVERFLOW_SHIFT: u32 = 32;
const OVERFLOW_ONE: u64 = 1 << OVERFLOW_SHIFT;
const SECOND_WORD_MASK: u64 = OVERFLOW_ONE - 1;
const CELLS_MASK: u32 = (1 << CHUNK_CELLS) - 1;

pub(crate) fn tag(hash: u64) -> u64 {
    (hash & 0xff).max(1)
}

/// One bit for each of the twelve tags that equals `tag`. Both words at once, because a branch between them could not be
/// predicted.
#[inline]
fn matches(first: u64, second: u64, tag: u64) -> u32 {
    simd::equal_bytes([first, second], tag as u8) & CELLS_MASK
}

/// The word and the shift of a cell's tag.
pub(crate) fn tag_place(chunk: &Chunk, cell: usize) -> (&AtomicU64, u32) {
    let shift = (cell % FIRST_WORD_TAGS * 8) as u32;
    (&chunk.tags[cell / FIRST_WORD_TAGS], shift)
}

impl Region {
    /// The chunk where a hash's keys begin: the high half of the hash, scaled.
    #[inline]
    pub(crate) fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.chunks() as u64) >> 32) as usize
    }

    pub(crate) fn chunk_behind(&self, chunk: usize) -> usize {
        if chunk + 1 == self.chunks() { 0 } else { chunk + 1 }
    }

    /// The slot that holds a key, and the state in which it was seen to.
    ///
    /// Neither waits nor writes. The state must be checked again before what was read with it is believed.
    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<(SlotIndex, Ctl)> {
        self.find_with(hash, key, |_| ())
    }

    /// The same, telling of each slot that is likely to be the one as early as possible.
    #[inline(always)]
    pub(crate) fn find_with(&self, hash: u64, key: &[u8], likely: impl Fn(SlotIndex)) -> Option<(SlotIndex, Ctl)> {
        let home = self.home(hash);
        match self.find_in(home, hash, key, likely) {
            ControlFlow::Break(found) => found,
            ControlFlow::Continue(()) => self.find_behind(home, hash, key),
        }
    }

    /// The rest of a search that does not end in a key's home chunk. Apart from it because few do, even in a full store.
    #[inline(never)]
    fn find_behind(&self, home: usize, hash: u64, key: &[u8]) -> Option<(SlotIndex, Ctl)> {
        let mut at = home;
        for _ in 1..self.chunks() {
            at = self.chunk_behind(at);
            if let ControlFlow::Break(found) = self.find_in(at, hash, key, |_| ()) {
                return found;
            }
        }
        None
    }

    /// The part of a search that is within one chunk. Goes on if the key may be further behind.
    #[inline(always)]
    fn find_in(
        &self,
        at: usize,
        hash: u64,
        key: &[u8],
        likely: impl Fn(SlotIndex),
    ) -> ControlFlow<Option<(SlotIndex, Ctl)>> {
        let chunk = self.chunk(at);
        // Acquire pairs with the release of `link`: a tag that is seen has its cell, a count its chunks before it.
        let first = chunk.tags[0].load(Ordering::Acquire);
        let second = chunk.tags[1].load(Ordering::Acquire);
        let mut marks = matches(first, second, tag(hash));
        while marks != 0 {
            let cell = marks.trailing_zeros() as usize;
            marks &= marks - 1;
            // 0 means free, and wraps to a number that no slot has.
            let number = chunk.cells[cell].load(Ordering::Relaxed).wrapping_sub(1);
            let Some(slot) = self.slot_index(number) else {
                continue;
            };
            likely(slot);
            let ctl = self.ctl(slot);
            if self.holds(slot, ctl, key) {
                return ControlFlow::Break(Some((slot, ctl)));
            }
        }
        if second >> OVERFLOW_SHIFT == 0 {
            ControlFlow::Break(None)
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Tells of each slot that a hash's home chunk names for it, without a look at the slots.
    pub(crate) fn candidates(&self, hash: u64, candidate: impl Fn(SlotIndex)) {
        let chunk = self.chunk(self.home(hash));
        // Relaxed: nothing is believed of it.
        let first = chunk.tags[0].load(Ordering::Relaxed);
        let second = chunk.tags[1].load(Ordering::Relaxed);
        let mut marks = matches(first, second, tag(hash));
        while marks != 0 {
            let cell = marks.trailing_zeros() as usize;
            marks &= marks - 1;
            if let Some(slot) = self.slot_index(chunk.cells[cell].load(Ordering::Relaxed).wrapping_sub(1)) {
                candidate(slot);
            }
        }
    }

    /// Enters a slot under a hash. The caller holds the stripe of the home chunk.
    pub(crate) fn link(&self, hash: u64, slot: SlotIndex) -> Result<()> {
        let home = self.home(hash);
        let mut at = home;
        for _ in 0..self.chunks() {
            let chunk = self.chunk(at);
            for cell in 0..CHUNK_CELLS {
                // Acquire pairs with the release by which `unlink` frees a cell: its tag is cleared before.
                if chunk.cells[cell]
                    .compare_exchange(0, slot.get() + 1, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
                {
                    let (word, shift) = tag_place(chunk, cell);
                    // The tag of a free cell is zero. Release: who sees the tag sees the cell.
                    word.fetch_or(tag(hash) << shift, Ordering::Release);
                    return Ok(());
                }
            }
            // Counted before the key is entered further on, so that no search stops short of it.
            chunk.tags[1].fetch_add(OVERFLOW_ONE, Ordering::Release);
            at = self.chunk_behind(at);
        }
        // There are more cells than slots, so the cells were not written by the protocol.
        self.uncount(home, self.chunks());
        self.count_parse_failure();
        Err(Error::Corrupt {
            reason: "the index has no room although a slot is free",
        })
    }

    /// Takes a slot out from under a hash, if it is there. The caller holds the stripe of the home chunk.
    ///
    /// If the caller dies on the way, counts may stay too high: that makes searches longer, not wrong, and
    /// [`Region::recount`] mends it.
    pub(crate) fn unlink(&self, hash: u64, slot: SlotIndex) {
        let home = self.home(hash);
        let mut at = home;
        for distance in 0..self.chunks() {
            let chunk = self.chunk(at);
            for cell in 0..CHUNK_CELLS {
                if chunk.cells[cell].load(Ordering::Relaxed) == slot.get() + 1 {
                    let (word, shift) = tag_place(chunk, cell);
                    word.fetch_and(!(0xff << shift), Ordering::Release);
                    // Release: who finds the cell free finds its tag cleared.
                    chunk.cells[cell].store(0, Ordering::Release);
                    self.uncount(home, distance);
                    return;
                }
            }
            if chunk.tags[1].load(Ordering::Acquire) >> OVERFLOW_SHIFT == 0 {
                return;
            }
            at = self.chunk_behind(at);
        }
    }

    /// Takes one passing key back from `chunks` chunks.
    fn uncount(&self, home: usize, chunks: usize) {
        let mut at = home;
        for _ in 0..chunks {
            // Never below zero, whatever stands there.
            let _ = self.chunk(at).tags[1].fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
                (word >> OVERFLOW_SHIFT != 0).then(|| word - OVERFLOW_ONE)
            });
            at = self.chunk_behind(at);
        }
    }

    /// Makes every overflow count exact. The caller holds all stripes, so that nothing is linked or unlinked meanwhile.
    ///
    /// Searches may go on: they need counts to be no lower than exact, and no key moves.
    pub(crate) fn recount(&self) {
        for (at, exact) in self.exact_counts().into_iter().enumerate() {
            let _ = self.chunk(at).tags[1].fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
                Some(word & SECOND_WORD_MASK | exact << OVERFLOW_SHIFT)
            });
        }
    }

    /// How many keys have passed over each chunk. Exact if nothing is linked or unlinked meanwhile.
    pub(crate) fn exact_counts(&self) -> Vec<u64> {
        // Differences first: a key adds one at its home and takes it back where it lives, so that any number of keys, with
        // whatever hashes, costs one pass.
        let mut differences = vec![0_i64; self.chunks()];
        let mut count = 0;
        for at in 0..self.chunks() {
            for cell in &self.chunk(at).cells {
                let number = cell.load(Ordering::Acquire).wrapping_sub(1);
                if let Some(slot) = self.slot_index(number) {
                    let home = self.home(self.attributes(slot).hash.load(Ordering::Relaxed));
                    differences[home] += 1;
                    differences[at] -= 1;
                    // It passed over the end, so it is counted from the first chunk on.
                    count += i64::from(at < home);
                }
            }
        }
        let passed = differences.into_iter().map(|difference| {
            count += difference;
            count as u64
        });
        passed.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::OpenOptions;

    /// Chunks that a search for an absent key looks into.
    fn chunks_of_a_miss(region: &Region, key: &str) -> u64 {
        let mut at = region.home(region.hash(key.as_bytes()));
        let mut chunks = 1;
        while region.chunk(at).tags[1].load(Ordering::Relaxed) >> OVERFLOW_SHIFT != 0 {
            at = region.chunk_behind(at);
            chunks += 1;
        }
        chunks
    }

    #[test]
    fn a_miss_costs_the_same_however_many_slots_there_are() {
        for slots in [1 << 10, 1 << 16, 1 << 20] {
            let store = OpenOptions::new().slots(slots).max_value_bytes(1).anonymous().unwrap();
            for i in 0..slots {
                store.set(i.to_string(), "").unwrap();
            }
            // Every slot is in use, and still little more than one cache line is read.
            let cost: u64 = (0..1000)
                .map(|i| chunks_of_a_miss(store.region(), &format!("absent{i}")))
                .sum();
            assert!(cost < 2000, "{cost} chunks for 1000 misses among {slots} keys");
        }
    }

    #[test]
    fn after_all_keys_are_gone_the_index_is_as_it_was_at_first() {
        let store = OpenOptions::new().slots(2000).anonymous().unwrap();
        for round in 0..5 {
            for i in 0..2000 {
                store.set(format!("{round}/{i}"), "").unwrap();
            }
            for i in 0..2000 {
                store.unset(format!("{round}/{i}")).unwrap();
            }
        }
        for at in 0..store.region().chunks() {
            let chunk = store.region().chunk(at);
            assert!(chunk.tags.iter().all(|word| word.load(Ordering::Relaxed) == 0));
            assert!(chunk.cells.iter().all(|cell| cell.load(Ordering::Relaxed) == 0));
        }
    }

    #[test]
    fn churn_leaves_the_cost_of_a_miss_as_it_was() {
        // Large enough that chance, which places the keys anew, does not matter.
        let store = OpenOptions::new()
            .slots(1 << 15)
            .max_value_bytes(1)
            .anonymous()
            .unwrap();
        let keys = (1 << 15) * 95 / 100;
        for i in 0..keys {
            store.set(format!("key{i}"), "").unwrap();
        }
        let cost = || {
            (0..10_000)
                .map(|i| chunks_of_a_miss(store.region(), &format!("absent{i}")))
                .sum::<u64>()
        };
        let before = cost();
        for i in 0..10 * keys {
            store.unset(format!("key{i}")).unwrap().unwrap();
            store.set(format!("key{}", i + keys), "").unwrap();
        }
        let after = cost();
        // Tombstones would have multiplied it.
        assert!(
            after * 10 < before * 11 && before * 10 < after * 11,
            "{before} chunks before, {after} after"
        );
    }

    #[test]
    fn a_recount_finds_what_inserts_counted() {
        let store = OpenOptions::new().slots(3000).anonymous().unwrap();
        for i in 0..3000 {
            store.set(i.to_string(), "").unwrap();
        }
        for i in (0..3000).step_by(3) {
            store.unset(i.to_string()).unwrap();
        }
        let region = store.region();
        let counts = || -> Vec<u64> {
            (0..region.chunks())
                .map(|at| region.chunk(at).tags[1].load(Ordering::Relaxed))
                .collect()
        };
        let exact = counts();
        for at in 0..region.chunks() {
            region.chunk(at).tags[1].fetch_add(OVERFLOW_ONE * (at as u64 % 3), Ordering::Relaxed);
        }
        region.recount();
        assert_eq!(counts(), exact);
    }

    #[test]
    fn keys_that_passed_over_the_end_of_the_index_are_counted() {
        const PASSING: u64 = 3;
        let store = OpenOptions::new().slots(24).anonymous().unwrap();
        let region = store.region();
        let last = region.chunks() - 1;
        let of_last = |key: &String| region.home(region.hash(key.as_bytes())) == last;
        let keys = (0..).map(|i: u32| i.to_string()).filter(of_last);
        for key in keys.take(CHUNK_CELLS + PASSING as usize) {
            store.set(key, "").unwrap();
        }
        let mut counts = vec![0; region.chunks()];
        counts[last] = PASSING;
        assert_eq!(region.exact_counts(), counts);
        region.recount();
        let counted = region.chunk(last).tags[1].load(Ordering::Relaxed) >> OVERFLOW_SHIFT;
        assert_eq!(counted, PASSING);
    }

    #[test]
    fn exactly_the_equal_tags_are_marked() {
        for tag in 1..=255_u64 {
            for cell in 0..CHUNK_CELLS {
                let words = (u128::from(tag) << (8 * cell)) | u128::from(tag) << (8 * CHUNK_CELLS);
                assert_eq!(matches(words as u64, (words >> 64) as u64, tag), 1 << cell);
            }
            assert_eq!(matches(0, u64::MAX << OVERFLOW_SHIFT, tag), 0);
        }
        assert_eq!(matches(u64::MAX, u64::MAX, 255), CELLS_MASK);
    }
}
