//! Finishing what the dead left undone.
//!
//! Everything here can be repeated: a repairer that dies on the way leaves a slot that the next one repairs.

#![forbid(unsafe_code)]

use crate::error::Result;
use crate::handles::Token;
use crate::journal::Change;
use crate::layout::STRIPES;
use crate::lock::Writer;
use crate::region::{Buffer, SlotIndex};
use crate::slot::Ctl;
use crate::sync::{Ordering, fence};
use crate::write::pending_kind;

impl Writer<'_> {
    /// Takes a slot over from its dead owner and repairs it, unless somebody else was faster. No lock may be held.
    pub(crate) fn rescue(&self, slot: SlotIndex, owner: Token) -> Result<()> {
        let region = self.region;
        // While the dead hold the slot its hash does not change, and if somebody else rescues it first, the taking over
        // fails. An insert stores it before it links the slot.
        let hash = region.attributes(slot).hash.load(Ordering::Acquire);
        let home = region.home(hash);
        self.lock_stripe(home)?;
        let taken = self.take_over(&region.slot(slot).lock, owner);
        if taken {
            self.settle(slot, hash);
        }
        self.unlock_stripe(home);
        if taken {
            self.wake_all(slot, hash);
        }
        Ok(())
    }

    /// Repairs what the dead owner of a stripe, which was just taken over from him, had begun in a slot under it.
    ///
    /// He may have taken a key out of the index and not told so: it must not be inserted again before.
    pub(crate) fn settle_under(&self, stripe: usize, owner: Token) {
        let region = self.region;
        for slot in region.slot_indices() {
            let lock = &region.slot(slot).lock;
            if lock.load(Ordering::Relaxed) != owner.bits() {
                continue;
            }
            // As in a rescue.
            let hash = region.attributes(slot).hash.load(Ordering::Acquire);
            if region.home(hash) % STRIPES == stripe % STRIPES && self.take_over(lock, owner) {
                self.settle(slot, hash);
                self.wake_all(slot, hash);
            }
        }
    }

    /// Wakes whoever sleeps for anything that may have become of a slot.
    fn wake_all(&self, slot: SlotIndex, hash: u64) {
        self.region.wake_pollers(slot);
        self.region.wake_expectant(hash);
        self.region.wake_followers();
    }

    /// Brings a slot to rest and unlocks it. The caller took its lock, from the dead as a rule, and holds the stripe of its
    /// hash.
    pub(crate) fn settle(&self, slot: SlotIndex, hash: u64) {
        let region = self.region;
        let words = region.slot(slot);
        let sterile = region.is_sterile();
        let found = Ctl::from_bits(words.ctl.load(Ordering::Relaxed));
        let ctl = found.settled();
        let unused: &[Buffer] = match (ctl.is_live(), ctl.buffer()) {
            (false, _) => &[Buffer::Even, Buffer::Odd],
            (true, Buffer::Even) => &[Buffer::Odd],
            (true, Buffer::Odd) => &[Buffer::Even],
        };
        // What was half written goes in either mode: it may lie over the value before, which somebody may still be reading,
        // and that he must not believe what he read is told by the same bit that tells of zeroing.
        let erases = sterile || found.is_being_written() || found.is_wiped();
        let ctl = if erases { ctl.wiped() } else { ctl };
        if erases {
            words.ctl.store(found.wiped().bits(), Ordering::Relaxed);
            // Keeps the zeroing from being seen before that; it pairs with the fence of `ctl_after_reading`.
            fence(Ordering::Release);
            for &buffer in unused {
                if found.is_being_written() {
                    // It lies behind no descriptor yet.
                    region.declare_unknown(slot, buffer);
                }
                region.scrub(slot, buffer);
            }
        }
        // Release: whoever sees the mark gone sees the zeroing.
        words.ctl.store(ctl.bits(), Ordering::Release);
        let pending = words.pending.load(Ordering::Relaxed);
        // Several changes of attributes look the same, so that one of them is told once more rather than not.
        if let Some(kind) = pending_kind(pending, ctl.sequence())
            && (kind == Change::Attributes || !region.journal_has(slot, kind, ctl.sequence()))
        {
            region.append_to_journal(slot, kind, ctl.sequence());
        }
        words.pending.store(0, Ordering::Release);
        if ctl.is_live() {
            region.note_deadline_of(slot, ctl);
        } else {
            self.clear(slot, hash, erases);
            region.mark_free(slot);
        }
        self.unlock_slot(slot);
    }

    /// Repairs what the dead held, and frees their places. Costs a look at the table of handles if nobody is dead. Returns
    /// whether somebody was.
    pub(crate) fn clean_up(&self) -> Result<bool> {
        let region = self.region;
        let dead = region.dead_handles(self.me);
        if !dead.is_empty() {
            self.rescue_all()?;
            for handle in &dead {
                region.bury(handle);
            }
        }
        if region.header().recount.load(Ordering::Relaxed) != 0 {
            self.recount()?;
        }
        Ok(!dead.is_empty())
    }

    /// Does for all slots and stripes what [`Self::rescue`] does for one.
    pub(crate) fn rescue_all(&self) -> Result<()> {
        let region = self.region;
        for slot in region.slot_indices() {
            let owner = region.slot(slot).lock.load(Ordering::Relaxed);
            if owner != 0 && region.is_dead(self.me, Token::from_bits(owner)) {
                self.rescue(slot, Token::from_bits(owner))?;
            }
        }
        for stripe in 0..STRIPES {
            let owner = region.stripe(stripe).lock.load(Ordering::Relaxed);
            if owner != 0 && region.is_dead(self.me, Token::from_bits(owner)) {
                self.lock_stripe(stripe)?;
                self.unlock_stripe(stripe);
            }
        }
        Ok(())
    }

    /// Makes the index's counts exact, under all stripes.
    pub(crate) fn recount(&self) -> Result<()> {
        self.under_all_stripes(|| {
            // Before the counting: after a death in between, whoever takes the stripes over notes it again.
            self.region.header().recount.store(0, Ordering::Relaxed);
            self.region.recount();
        })
    }

    /// Does something while nobody inserts or deletes.
    pub(crate) fn under_all_stripes<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        let mut locked = 0;
        let result = (0..STRIPES).try_for_each(|stripe| {
            self.lock_stripe(stripe)?;
            locked += 1;
            Ok(())
        });
        let result = result.map(|()| work());
        for stripe in 0..locked {
            self.unlock_stripe(stripe);
        }
        result
    }
}
