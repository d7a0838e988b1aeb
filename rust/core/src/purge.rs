//! Zeroing what was left behind while the store was not sterile.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::lock::{Attempt, Writer};
use crate::region::{Buffer, Region, SlotIndex};
use crate::slot::Ctl;
use crate::store::Store;
use crate::sync::{Ordering, fence};

impl Store {
    /// Zeroes every byte of replaced and deleted values, and of deleted keys, that was left behind while the store was not
    /// sterile ([`Self::set_auto_vacuum`]). Returns in how many slots there was something.
    ///
    /// Others may go on using the store. In sterile mode there is nothing left afterwards; in the other mode, nothing of what
    /// was replaced or deleted before the call. Values, epochs and the change feed stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] if others did not let go of a slot for as long as the lock timeout: all others are purged.
    /// [`Error::Permission`] on a read-only handle, [`Error::Corrupt`].
    pub fn purge(&self) -> Result<u32> {
        let writer = self.writer()?;
        writer.clean_up()?;
        let mut purged = 0;
        let mut busy = Ok(());
        for slot in self.region().slot_indices() {
            match writer.purge(slot) {
                Ok(was_left) => purged += u32::from(was_left),
                Err(error @ Error::Busy { .. }) => busy = Err(error),
                Err(error) => return Err(error),
            }
        }
        self.region().check_intact()?;
        busy.map(|()| purged)
    }
}

impl Writer<'_> {
    /// Zeroes what a slot holds besides its key and value. Returns whether there was anything.
    fn purge(&self, slot: SlotIndex) -> Result<bool> {
        let region = self.region;
        // Without the lock, because most slots need none. What is written meanwhile is purged by its writer, or after us.
        if !region.has_remains(slot) {
            return Ok(false);
        }
        while let Attempt::Dead(owner) = self.lock_slot(slot)? {
            self.rescue(slot, owner)?;
        }
        let had_remains = region.has_remains(slot);
        if had_remains {
            region.zero_remains(slot);
        }
        self.unlock_slot(slot);
        Ok(had_remains)
    }
}

impl Region {
    /// Whether a slot holds anything besides its key and value.
    fn has_remains(&self, slot: SlotIndex) -> bool {
        let ctl = self.ctl(slot);
        let holds = |buffer| self.held_bytes(slot, buffer) > 0;
        if ctl.is_live() {
            let descriptor = self.descriptor(slot, ctl.buffer());
            let other = ctl.buffer().other();
            // The start of a value that was appended to is no remains, but what lies behind it is.
            descriptor.is_dirty()
                || if descriptor.is_appended() {
                    self.descriptor(slot, other).is_dirty()
                } else {
                    holds(other)
                }
        } else {
            holds(Buffer::Even) || holds(Buffer::Odd) || self.has_key(slot)
        }
    }

    /// Zeroes it. The caller holds the slot's lock.
    fn zero_remains(&self, slot: SlotIndex) {
        let words = self.slot(slot);
        let ctl = Ctl::from_bits(words.ctl.load(Ordering::Relaxed));
        let other = ctl.buffer().other();
        if ctl.is_live() && self.descriptor(slot, ctl.buffer()).is_appended() {
            self.scrub_tail(slot, other);
        } else {
            // Readers may still be copying the buffer of the change before. The fence keeps the zeroing from being seen before
            // the state that announces it; it pairs with the fence of `ctl_after_reading`.
            words.ctl.store(ctl.wiped().bits(), Ordering::Relaxed);
            fence(Ordering::Release);
            self.scrub(slot, other);
        }
        if ctl.is_live() {
            self.scrub_tail(slot, ctl.buffer());
        } else {
            self.scrub(slot, ctl.buffer());
            self.erase_key(slot);
        }
    }
}
