//! Mending what can be made anew from the slots.

#![forbid(unsafe_code)]

use super::examine::{Reach, bits};
use super::{COUNTER_MAX, HINT_LAG_MAX, LOOKS};
use crate::error::Result;
use crate::index::tag_place;
use crate::journal::{Change, LAP_MASK};
use crate::layout::CHUNK_CELLS;
use crate::lock::{Attempt, Writer};
use crate::region::{Buffer, Region, SlotIndex};
use crate::slot::Ctl;
use crate::sync::Ordering;

impl Writer<'_> {
    /// Mends all slots, and then the index. The caller holds all stripes: nobody inserts or deletes.
    pub(super) fn mend_slots_and_index(&self) -> Result<()> {
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
            match region.find_anywhere(hash, &key) {
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
    pub(super) fn mend(&self, slot: SlotIndex) {
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
            region.set_descriptor(slot, ctl.buffer(), descriptor.with_key_bytes(key.len()));
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
    pub(super) fn mend_journal(&self) {
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
