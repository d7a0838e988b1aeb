//! Sleeping until a key changes.
//!
//! Sleepers on an existing key wait on the low half of its slot's `ctl`; sleepers on an absent key wait on one of a few
//! words that inserts of keys with like hashes change. Both are shared futexes, so a write by any process wakes sleepers
//! in every other, and a writer makes a system call only if somebody left word that he sleeps. Nobody sleeps longer than
//! [`SLICE`] at once: a writer killed between publishing and waking is noticed then, and what else the dead left undone.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::layout::Bucket;
use crate::region::SlotIndex;
use crate::slot::{Ctl, POLLED};
use crate::store::Store;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::sys;

/// The longest sleep at once.
const SLICE: Duration = Duration::from_millis(100);
/// How often a read-only handle looks: it can leave no word that it sleeps.
const READ_ONLY_INTERVAL: Duration = Duration::from_millis(1);

/// The futex word of a slot. Every publishing changes it, because the sequence begins at its bit 3.
pub(crate) fn low_half(ctl: &AtomicU64) -> *const AtomicU32 {
    std::ptr::from_ref(ctl).cast()
}

/// What a key was like when the waiting began.
enum Before {
    Present { slot: SlotIndex, ctl: Ctl },
    Absent,
}

impl Store {
    /// Waits until `key` is seen changed: overwritten, deleted, or, if it was absent, inserted.
    pub(crate) fn wait_for_change(&self, key: &[u8], since: Option<u64>, timeout: Duration) -> Result<bool> {
        let region = self.region();
        let hash = region.hash(key);
        let before = match region.find(hash, key) {
            Some((slot, ctl)) => Before::Present { slot, ctl },
            None => {
                region.key(key)?;
                Before::Absent
            }
        };
        match (&before, since) {
            (Before::Present { ctl, .. }, Some(epoch)) if ctl.sequence() != epoch >> 1 => {
                return Ok(true);
            }
            (Before::Absent, Some(epoch)) if epoch != 0 => return Ok(true),
            _ => {}
        }
        let clock = Clock::new(timeout, self.spin());
        match before {
            Before::Present { slot, ctl } => self.wait_for_slot(slot, ctl, clock),
            Before::Absent => self.wait_for_insert(hash, key, clock),
        }
    }

    fn wait_for_slot(&self, slot: SlotIndex, before: Ctl, mut clock: Clock) -> Result<bool> {
        let region = self.region();
        let words = region.slot(slot);
        let changed = |ctl: Ctl| ctl.sequence() != before.sequence();
        loop {
            let mut ctl = region.ctl(slot);
            while !changed(ctl) && clock.may_spin() {
                ctl = region.ctl(slot);
            }
            if changed(ctl) {
                region.check_intact()?;
                return Ok(true);
            }
            let Some(slice) = clock.next_slice() else {
                return region.check_intact().map(|()| false);
            };
            if region.writable() {
                // Sequentially consistent, as is the writer's look at the bit after its publishing: if the writer does
                // not see the bit, the look here sees the change.
                words.waiters.fetch_or(POLLED, Ordering::SeqCst);
                let now = words.ctl.load(Ordering::SeqCst);
                if !changed(Ctl::from_bits(now)) {
                    sys::futex_wait(low_half(&words.ctl), now as u32, slice);
                }
                self.tidy_after(slice, &clock)?;
            } else {
                std::thread::sleep(slice.min(READ_ONLY_INTERVAL));
            }
            region.check_intact()?;
        }
    }

    fn wait_for_insert(&self, hash: u64, key: &[u8], mut clock: Clock) -> Result<bool> {
        let region = self.region();
        let Bucket { word, waiters } = region.bucket(hash);
        let exists = || region.find(hash, key).is_some();
        loop {
            while !exists() && clock.may_spin() {}
            // Before the announcement: an insert that answers it changes the word.
            let expected = word.load(Ordering::SeqCst);
            if region.writable() {
                waiters.store(1, Ordering::SeqCst);
                crate::sync::fence(Ordering::SeqCst);
            }
            if exists() {
                region.check_intact()?;
                return Ok(true);
            }
            let Some(slice) = clock.next_slice() else {
                return region.check_intact().map(|()| false);
            };
            if region.writable() {
                sys::futex_wait(word, expected, slice);
                self.tidy_after(slice, &clock)?;
            } else {
                std::thread::sleep(slice.min(READ_ONLY_INTERVAL));
            }
            region.check_intact()?;
        }
    }

    /// After a whole slice of sleep nobody is in a hurry, and somebody may have died.
    fn tidy_after(&self, slice: Duration, clock: &Clock) -> Result<()> {
        let writer = self.writer()?;
        if slice == SLICE && clock.slept_through(slice) {
            // What is busy now is tidied after another slice; the wait itself goes on either way.
            let _ = writer.clean_up();
        }
        Ok(())
    }
}

/// How long a wait has lasted, and how much of it may be spent spinning.
struct Clock {
    start: Instant,
    timeout: Duration,
    spin: Duration,
    slice_start: Instant,
}

impl Clock {
    fn new(timeout: Duration, spin: Duration) -> Self {
        let start = Instant::now();
        Self {
            start,
            timeout,
            spin: spin.min(timeout),
            slice_start: start,
        }
    }

    /// Whether to look again at once. The first microseconds only: a change that is on its way is seen without the cost
    /// of sleeping and waking.
    fn may_spin(&self) -> bool {
        std::hint::spin_loop();
        self.start.elapsed() < self.spin
    }

    /// How long to sleep now; `None` when the time is up.
    fn next_slice(&mut self) -> Option<Duration> {
        self.slice_start = Instant::now();
        let left = self.timeout.checked_sub(self.slice_start - self.start)?;
        (!left.is_zero()).then(|| left.min(SLICE))
    }

    fn slept_through(&self, slice: Duration) -> bool {
        self.slice_start.elapsed() >= slice
    }
}
