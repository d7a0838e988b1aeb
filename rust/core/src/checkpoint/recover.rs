//! Putting a store right after a restart of the machine, which may have been a power cut.
//!
//! Slot by slot the newest state is taken that proves to be whole: that of the region if its checksum is right, or if there
//! is no key, else that of the checkpoint. A sync leaves a checksum with every value that is written after it, so a value without
//! one is older than the checkpoint. What is derived from the slots is made anew. Nothing here changes the checkpoint, and
//! the region counts as recovered only by its last write; so a recovery that is itself cut is done again, to the same end.

#![forbid(unsafe_code)]

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::layout::{EXPECTANTS, FLAG_AUTO_VACUUM, FLAG_CHECKSUMS, STRIPES};
use crate::region::{Buffer, SlotIndex};
use crate::slot::{Ctl, Descriptor};
use crate::store::Store;
use crate::sync::Ordering;
use crate::sys;

use super::file::{Checkpoint, Record};
use super::{checkpoint_path, open_existing};

/// What was done to a store that was opened after a restart of the machine: see [`Store::recovery`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Recovery {
    /// Keys that were found whole in the store itself.
    pub kept: u32,
    /// Keys that were taken from the checkpoint.
    pub restored: u32,
    /// Keys that were written after the last sync, and were not whole, and are in no checkpoint: they are gone.
    pub lost: u32,
}

/// Changes that may not have been counted when the power was cut: more than there are between two syncs.
const UNCOUNTED: u64 = 1 << 32;
/// A greater count was not counted.
const COUNTED_MAX: u64 = 1 << 60;

/// What is to become of a slot.
enum Choice {
    Keep,
    Restore(Record),
    /// It had been deleted by the last sync.
    Delete,
    /// What was written since the last sync is not whole, and there is nothing else.
    Lose,
}

impl Store {
    /// Recovers the store if the machine was restarted since it was last used and there is a checkpoint.
    pub(crate) fn recover(&self) -> Result<Option<Recovery>> {
        let region = self.region();
        if !self.is_of_another_boot() {
            return Ok(None);
        }
        let io = |error| Error::from_os("recover the store", &error);
        let Some(file) = open_existing(&checkpoint_path(self.path()))? else {
            return self.be_of_this_boot().map(|()| None);
        };
        let Some(checkpoint) = self.checkpoint_in(file)? else {
            return self.be_of_this_boot().map(|()| None);
        };
        let _alone = sys::Alone::on(checkpoint.file()).map_err(io)?;
        // Somebody else may have done it meanwhile.
        if !self.is_of_another_boot() {
            return Ok(None);
        }
        let recovery = self.recover_from(&checkpoint)?;
        region.sync()?;
        self.be_of_this_boot()?;
        Ok(Some(recovery))
    }

    /// Who may not write cannot recover, and must not read what may be torn.
    pub(crate) fn refuse_unrecovered(&self) -> Result<()> {
        if self.is_of_another_boot() && checkpoint_path(self.path()).exists() {
            return Err(Error::Corrupt {
                reason: "the machine was restarted: it must be opened for writing once, to be recovered",
            });
        }
        Ok(())
    }

    fn is_of_another_boot(&self) -> bool {
        let of_store = self
            .region()
            .header()
            .boot_id
            .each_ref()
            .map(|word| word.load(Ordering::Relaxed));
        of_store != sys::boot_id() && !sys::is_in_memory(self.region().file())
    }

    fn be_of_this_boot(&self) -> Result<()> {
        for (word, now) in self.region().header().boot_id.iter().zip(sys::boot_id()) {
            word.store(now, Ordering::Relaxed);
        }
        self.region().sync()
    }

    fn recover_from(&self, checkpoint: &Checkpoint) -> Result<Recovery> {
        let io = |error| Error::from_os("recover the store", &error);
        let region = self.region();
        let header = region.header();
        let summary = checkpoint.summary().map_err(io)?.newest;
        // Locks of those who are not there any more, and who waits for whom.
        for stripe in 0..STRIPES {
            region.stripe(stripe).lock.store(0, Ordering::Relaxed);
        }
        for word in 0..EXPECTANTS as u64 {
            region.expectants(word).store(0, Ordering::Relaxed);
        }
        header.followers.store(0, Ordering::Relaxed);
        header.sweeper.store(0, Ordering::Relaxed);
        header.sync_failures.store(0, Ordering::Relaxed);
        if let Some(summary) = &summary {
            header.eviction.store(summary.eviction, Ordering::Relaxed);
            header.births.fetch_max(summary.births, Ordering::Relaxed);
            header.epoch_floor.fetch_max(summary.epoch_floor, Ordering::Relaxed);
            for (label, name) in (0..).zip(&summary.labels) {
                region.write_label(label, name.as_bytes());
            }
        }
        let sterile = header.flags.load(Ordering::Relaxed) & FLAG_AUTO_VACUUM;
        header.flags.store(sterile | FLAG_CHECKSUMS, Ordering::Relaxed);
        let mut recovery = Recovery::default();
        let mut newest: HashMap<Vec<u8>, (u64, SlotIndex)> = HashMap::new();
        for slot in region.slot_indices() {
            let kept = checkpoint.record(slot.get()).map_err(io)?.newest;
            match self.choose(slot, kept) {
                Choice::Keep => recovery.kept += u32::from(region.ctl(slot).is_live()),
                Choice::Restore(record) => {
                    recovery.restored += 1;
                    self.restore(slot, &record)?;
                }
                Choice::Delete => self.empty(slot),
                Choice::Lose => {
                    recovery.lost += 1;
                    self.empty(slot);
                }
            }
            self.calm(slot);
            let ctl = region.ctl(slot);
            header.epoch_floor.fetch_max(ctl.sequence(), Ordering::Relaxed);
            if ctl.is_live() {
                let mut key = Vec::new();
                region.read_key(slot, region.descriptor(slot, ctl.buffer()).key_bytes(), &mut key);
                // A key that had moved to another slot since the last sync.
                if let Some((sequence, other)) = newest.insert(key.clone(), (ctl.sequence(), slot)) {
                    let older = if sequence > ctl.sequence() {
                        newest.insert(key, (sequence, other));
                        slot
                    } else {
                        other
                    };
                    self.empty(older);
                    self.calm(older);
                }
            }
        }
        header.next_deadline.store(0, Ordering::Relaxed);
        // No follower has outlived the machine, but one may come with a place that it remembers: that is behind now.
        let counted = header.journal_tail.load(Ordering::Relaxed).min(COUNTED_MAX);
        let counted = counted.max(summary.map_or(0, |summary| summary.journal_end).min(COUNTED_MAX));
        region.blank_journal(counted + UNCOUNTED);
        self.repair()?;
        Ok(recovery)
    }

    fn choose(&self, slot: SlotIndex, kept: Option<Record>) -> Choice {
        let region = self.region();
        let ctl = region.ctl(slot);
        let is_newest = kept.as_ref().is_none_or(|kept| ctl.sequence() >= kept.sequence);
        if is_newest && (!ctl.is_live() || self.is_provably_whole(slot, ctl)) {
            return Choice::Keep;
        }
        match kept {
            Some(kept) if !kept.key.is_empty() => Choice::Restore(kept),
            // A slot that is not live here has a lower sequence than the deletion.
            Some(kept) if kept.sequence >= ctl.sequence() => Choice::Delete,
            _ => Choice::Lose,
        }
    }

    /// Whether all that a live slot says of itself agrees.
    fn is_provably_whole(&self, slot: SlotIndex, ctl: Ctl) -> bool {
        let region = self.region();
        let descriptor = region.descriptor(slot, ctl.buffer());
        let attributes = region.attributes(slot);
        let geometry = region.geometry();
        let mut key = Vec::new();
        if !descriptor.is_checked()
            || descriptor.value_bytes() > geometry.max_value_bytes() as usize
            || descriptor.key_bytes() > geometry.max_key_bytes() as usize
        {
            return false;
        }
        region.read_key(slot, descriptor.key_bytes(), &mut key);
        let hash = attributes.hash.load(Ordering::Relaxed);
        let inserted = attributes.inserted.load(Ordering::Relaxed);
        region.key(&key).is_ok()
            && region.hash(&key) == hash
            && (1..=ctl.sequence()).contains(&inserted)
            && region.value_checksum(slot, ctl.buffer(), descriptor.value_bytes(), ctl.sequence())
                == attributes.checksums[ctl.buffer() as usize].load(Ordering::Relaxed)
    }

    /// Makes a slot hold what a record says.
    fn restore(&self, slot: SlotIndex, record: &Record) -> Result<()> {
        let region = self.region();
        region.reserve_anew(slot)?;
        let found = region.ctl(slot).sequence();
        // Never back, and never a number that the disk has seen with another value.
        let sequence = if found > record.sequence {
            found.saturating_add(1)
        } else {
            record.sequence
        };
        let ctl = Ctl::published(sequence, true, false);
        let buffer = ctl.buffer();
        let attributes = region.attributes(slot);
        region.zero_whole_key(slot);
        region.write_key(slot, &record.key);
        region.zero_value(slot, buffer, 0, region.value_room());
        region.write_value(slot, buffer, 0, &record.value);
        attributes.hash.store(region.hash(&record.key), Ordering::Relaxed);
        attributes
            .inserted
            .store(record.inserted.min(sequence), Ordering::Relaxed);
        attributes.labels.store(record.labels, Ordering::Relaxed);
        region.set_deadline(slot, buffer, record.deadline);
        let descriptor = Descriptor::new(record.value.len(), record.key.len(), false)
            .with_type(record.value_type)
            .with_timed(record.deadline != 0)
            .with_pinned(record.is_pinned);
        let descriptor = region.with_checksum(slot, buffer, descriptor, sequence);
        region.set_descriptor(slot, buffer, descriptor);
        region.slot(slot).ctl.store(ctl.bits(), Ordering::Release);
        Ok(())
    }

    /// Makes a slot hold nothing; [`Self::calm`] takes away what it held.
    fn empty(&self, slot: SlotIndex) {
        let region = self.region();
        let sequence = region.ctl(slot).sequence().saturating_add(1);
        let ctl = Ctl::published(sequence, false, false);
        region.slot(slot).ctl.store(ctl.bits(), Ordering::Release);
    }

    /// Takes away whatever a slot has of those who were at it, and what lies in buffers that are not in use.
    fn calm(&self, slot: SlotIndex) {
        let region = self.region();
        let words = region.slot(slot);
        for word in [&words.pending, &words.waiters] {
            word.store(0, Ordering::Relaxed);
        }
        words.lock.store(0, Ordering::Relaxed);
        let ctl = Ctl::from_bits(words.ctl.load(Ordering::Relaxed)).settled();
        words.ctl.store(ctl.bits(), Ordering::Relaxed);
        for buffer in [Buffer::Even, Buffer::Odd] {
            let is_used = ctl.is_live() && ctl.buffer() == buffer;
            if is_used {
                let descriptor = region.descriptor(slot, buffer);
                // The other buffer is not its start any more.
                region.set_descriptor(slot, buffer, descriptor.with_appended(false).with_dirty(false));
                region.zero_value(slot, buffer, descriptor.value_bytes(), region.value_room());
            } else {
                // The note that there is space may not have reached the disk.
                if region.is_reserved(slot) || region.first_nonzero(slot, buffer, 0).is_some() {
                    region.zero_value(slot, buffer, 0, region.value_room());
                }
                region.set_descriptor(slot, buffer, Descriptor::new(0, 0, false));
            }
        }
        if !ctl.is_live() {
            // Whatever its first word is, by which an intact one is known.
            region.zero_whole_key(slot);
            region.erase_key(slot);
        }
    }
}
