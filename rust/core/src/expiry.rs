//! Keys whose time is up.
//!
//! A deadline is a time of the machine's clock (`CLOCK_REALTIME`), because it has to mean the same after a restart: whoever
//! sets that clock forward ends what is due by then, whoever sets it back prolongs. It belongs to one version of the value: it
//! stands beside the value's buffer and holds if the buffer's descriptor says so, so that a value and its deadline come and
//! go by the same store to `ctl`.
//!
//! From its deadline on a key is gone for every reader, because each looks at the clock. Its slot is freed, and the change
//! told, by whoever notices first: a reader that may write, the next writer of the key, an insert that finds the store
//! full, or a sweep. `Header::next_deadline` is never above the least deadline, so that a sweep that would find nothing costs
//! two loads.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::error::{Error, Result};
use crate::journal::Change;
use crate::key::Target;
use crate::lock::{Attempt, Backoff, Writer, release};
use crate::region::{Buffer, Region, SlotIndex};
use crate::slot::Ctl;
use crate::store::Store;
use crate::sync::{Ordering, fence, fence_after_rmw};
use crate::sys;
use crate::write::pending;

/// How long a key has yet to live: see [`Store::ttl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeToLive {
    /// It has no deadline.
    Forever,
    /// So long from now on.
    Left(Duration),
}

/// The deadline that is so far from now, in ns since 1970.
pub(crate) fn deadline_in(ttl: Duration) -> Result<u64> {
    if ttl.is_zero() {
        return Err(Error::InvalidArgument {
            reason: "a time to live must be longer than nothing".into(),
        });
    }
    let ttl_ns = u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX);
    // The greatest number means that there is no deadline at all.
    Ok(sys::now_ns().saturating_add(ttl_ns).min(u64::MAX - 1))
}

impl Store {
    /// Gives a key so long to live, from now on. Returns whether there is such a key. Its value and epoch stay as they are.
    ///
    /// After that time it is gone for every reader at once; see [`Self::sweep`] for when this is told as a change. A later
    /// [`Self::set`] takes the deadline away again, but not an append or a change of a number.
    ///
    /// The deadline is a time of the machine's clock, so it holds over a restart. Whoever sets the clock moves it.
    ///
    /// # Errors
    ///
    /// As for [`Self::unset`]; [`Error::InvalidArgument`] if `ttl` is zero.
    pub fn expire(&self, key: impl AsRef<[u8]>, ttl: Duration) -> Result<bool> {
        self.expire_at(&self.target(key.as_ref()), ttl)
    }

    /// Takes a key's deadline away. Returns whether it had one.
    ///
    /// # Errors
    ///
    /// As for [`Self::unset`].
    pub fn persist(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.persist_at(&self.target(key.as_ref()))
    }

    /// How long a key has yet to live; `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// As for [`Self::get`].
    pub fn ttl(&self, key: impl AsRef<[u8]>) -> Result<Option<TimeToLive>> {
        self.ttl_at(&self.target(key.as_ref()))
    }

    pub(crate) fn expire_at(&self, target: &Target<'_>, ttl: Duration) -> Result<bool> {
        let deadline = deadline_in(ttl)?;
        let writer = self.writer()?;
        let found = writer.change_attributes(target, |slot, ctl| {
            let region = writer.region;
            let descriptor = region.descriptor(slot, ctl.buffer());
            region.note_deadline(deadline);
            region.set_deadline(slot, ctl.buffer(), deadline);
            // Whoever sees that there is a deadline sees this one; it pairs with the fence of `is_overdue`.
            fence(Ordering::Release);
            region.set_descriptor(slot, ctl.buffer(), descriptor.with_timed(true));
            true
        });
        self.committed(found).map(|found| found.is_some())
    }

    pub(crate) fn persist_at(&self, target: &Target<'_>) -> Result<bool> {
        let writer = self.writer()?;
        let changed = writer.change_attributes(target, |slot, ctl| {
            let descriptor = writer.region.descriptor(slot, ctl.buffer());
            writer
                .region
                .set_descriptor(slot, ctl.buffer(), descriptor.with_timed(false));
            descriptor.is_timed()
        });
        self.committed(changed).map(|changed| changed == Some(true))
    }

    pub(crate) fn ttl_at(&self, target: &Target<'_>) -> Result<Option<TimeToLive>> {
        let deadline = self.read(target, |view| Ok(view.deadline()))?;
        Ok(deadline.map(|deadline| match deadline {
            Some(deadline) => TimeToLive::Left(Duration::from_nanos(deadline.saturating_sub(sys::now_ns()))),
            None => TimeToLive::Forever,
        }))
    }

    /// Deletes the keys whose time is up. Returns how many there were.
    ///
    /// They are gone for readers without it. What it adds is that the changes are told to those who watch, and that in
    /// sterile mode the bytes are zeroed, though nobody asks for these keys: to be called now and then by one process, whoever it
    /// may be. It costs next to nothing while nothing is due, and a look at every slot otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::Permission`] on a read-only handle, [`Error::Busy`] as for [`Self::unset`], [`Error::Corrupt`].
    pub fn sweep(&self) -> Result<usize> {
        self.committed(self.writer()?.sweep())
    }

    /// Deletes a key that a reader has found to be due, if nobody else is at it just now.
    #[cold]
    pub(crate) fn notice_expiry(&self, slot: SlotIndex) {
        // Whatever hinders it: the key is gone for readers all the same, and somebody will notice again.
        let _ = self.impatient_writer().and_then(|writer| writer.expire(slot));
    }
}

impl Writer<'_> {
    /// Deletes the key of a slot if its time is up.
    #[cold]
    pub(crate) fn expire(&self, slot: SlotIndex) -> Result<()> {
        let region = self.region;
        self.remove_from(slot, Change::Expire, |ctl| region.is_expired(slot, ctl))?;
        // Where pages are gone it stays, and would be found to be due for ever.
        region.check_intact()
    }

    /// Deletes all keys whose time is up. Returns how many.
    pub(crate) fn sweep(&self) -> Result<usize> {
        let header = self.region.header();
        // Acquire: whoever sees that a sweep has begun sees by whom.
        if header.next_deadline.load(Ordering::Acquire) > sys::now_ns() && header.sweeper.load(Ordering::Relaxed) == 0 {
            return Ok(0);
        }
        // While somebody else is at it, what is due is looked for all the same, but when to look next is told by him. If he
        // dies on the way, the next deadline is not known: whoever finds his mark looks, whatever it says.
        let is_mine = match self.try_lock(&header.sweeper) {
            Attempt::Taken => true,
            Attempt::Held => false,
            Attempt::Dead(owner) => self.take_over(&header.sweeper, owner),
        };
        if is_mine {
            // A full barrier between this and the looks, as between a write's publishing and its look at `next_deadline`:
            // either the write sees that it must lower it, or the value is seen here.
            header.next_deadline.swap(u64::MAX, Ordering::SeqCst);
            fence_after_rmw();
        }
        let swept = self.sweep_slots();
        if is_mine {
            release(&header.sweeper);
        }
        swept
    }

    fn sweep_slots(&self) -> Result<usize> {
        let region = self.region;
        let mut count = 0;
        let mut result = Ok(());
        for slot in region.slot_indices() {
            let ctl = region.ctl(slot);
            if !ctl.is_live() || !region.descriptor(slot, ctl.buffer()).is_timed() {
                continue;
            }
            if region.is_expired(slot, ctl) {
                match self.remove_from(slot, Change::Expire, |ctl| region.is_expired(slot, ctl)) {
                    Ok(true) => {
                        count += 1;
                        continue;
                    }
                    Ok(false) => {}
                    Err(error) => result = Err(error),
                }
            }
            // What is not due, or is locked by somebody who may be changing that.
            region.note_deadline(region.deadline(slot, ctl.buffer()));
        }
        result.map(|()| count)
    }

    /// Changes something of a key that is not its value, and tells of it in the journal; `change` says whether it did. `None` if
    /// there is no such key.
    ///
    /// `change` stores what takes effect by one store, so that a death in the middle leaves the old or the new.
    pub(crate) fn change_attributes(
        &self,
        target: &Target<'_>,
        mut change: impl FnMut(SlotIndex, Ctl) -> bool,
    ) -> Result<Option<bool>> {
        let region = self.region;
        let mut backoff = Backoff::new(self.patience);
        loop {
            let Some((slot, _)) = region.locate(target) else {
                return region.key(target.key).map(|_| None);
            };
            if let Attempt::Dead(owner) = self.lock_slot(slot)? {
                self.rescue(slot, owner)?;
                continue;
            }
            let ctl = Ctl::from_bits(region.slot(slot).ctl.load(Ordering::Relaxed));
            if !region.holds(slot, ctl, target.key) {
                self.unlock_slot(slot);
                if !backoff.pause() {
                    return Err(Error::Busy {
                        what: "the key comes and goes too fast to be changed",
                    });
                }
                continue;
            }
            if region.is_expired(slot, ctl) {
                self.unlock_slot(slot);
                self.expire(slot)?;
                return Ok(None);
            }
            // Told once too often rather than never, wherever we may die.
            let note = pending(Change::Attributes, ctl.sequence());
            region.slot(slot).pending.store(note, Ordering::Relaxed);
            fence(Ordering::Release);
            let is_changed = region.check_intact().map(|()| change(slot, ctl));
            if let Ok(true) = is_changed {
                region.log(slot, Change::Attributes, ctl.sequence());
                // Under the lock: whoever takes it over from the dead does this too.
                region.note_deadline_of(slot, ctl);
            } else {
                region.slot(slot).pending.store(0, Ordering::Relaxed);
            }
            self.unlock_slot(slot);
            if let Ok(true) = is_changed {
                // Who waits for the key may have to wait for another deadline now.
                region.wake_pollers(slot);
                region.wake_followers();
            }
            return is_changed.map(Some);
        }
    }
}

impl Region {
    /// The deadline beside a buffer, if its descriptor says that there is one.
    pub(crate) fn deadline(&self, slot: SlotIndex, buffer: Buffer) -> u64 {
        // Relaxed: ordered by the accesses to `ctl`, or the descriptor, around it.
        self.attributes(slot).deadlines[buffer as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn set_deadline(&self, slot: SlotIndex, buffer: Buffer, deadline: u64) {
        self.attributes(slot).deadlines[buffer as usize].store(deadline, Ordering::Relaxed);
    }

    /// Whether the time of the value of this state is up. Meaningful only if the slot did not change meanwhile.
    #[inline]
    pub(crate) fn is_expired(&self, slot: SlotIndex, ctl: Ctl) -> bool {
        self.descriptor(slot, ctl.buffer()).is_timed() && self.is_overdue(slot, ctl.buffer())
    }

    /// Whether a deadline has passed. To be asked after the descriptor has told that there is one.
    #[cold]
    pub(crate) fn is_overdue(&self, slot: SlotIndex, buffer: Buffer) -> bool {
        // Pairs with the fence of `expire_at`.
        fence(Ordering::Acquire);
        self.deadline(slot, buffer) <= sys::now_ns()
    }

    /// How long the value of this state has yet to live.
    pub(crate) fn due_in(&self, slot: SlotIndex, ctl: Ctl) -> Duration {
        if self.descriptor(slot, ctl.buffer()).is_timed() {
            fence(Ordering::Acquire);
            Duration::from_nanos(self.deadline(slot, ctl.buffer()).saturating_sub(sys::now_ns()))
        } else {
            Duration::MAX
        }
    }

    /// Sees to it that the next sweep comes in time for the deadline of a value, if it has one. A full barrier lies behind
    /// the publishing of it.
    pub(crate) fn note_deadline_of(&self, slot: SlotIndex, ctl: Ctl) {
        if self.descriptor(slot, ctl.buffer()).is_timed() {
            self.note_deadline(self.deadline(slot, ctl.buffer()));
        }
    }

    /// Sees to it that the next sweep comes in time for a deadline. Done before the deadline is published, lest a death in
    /// between hide it, and again after it, lest a sweep in between does. A full barrier lies behind the publishing of it.
    pub(crate) fn note_deadline(&self, deadline: u64) {
        let next = &self.header().next_deadline;
        if next.load(Ordering::Relaxed) > deadline {
            next.fetch_min(deadline, Ordering::SeqCst);
        }
    }
}
