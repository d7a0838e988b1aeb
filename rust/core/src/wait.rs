//! Sleeping until a key changes, or any key.
//!
//! Sleepers on an existing key wait on a word of its slot; sleepers on an absent key wait on one of a few
//! words that inserts of keys with like hashes change; followers of the journal wait on one word. All are shared futexes,
//! so a write by any process wakes sleepers in every other, and a writer makes a system call only if somebody left word
//! that he sleeps. Nobody sleeps longer than [`SLICE`] at once: a writer killed between publishing and waking is noticed
//! then, and what else the dead left undone.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::layout::Bucket;
use crate::region::SlotIndex;
use crate::slot::{Ctl, POLLED};
use crate::store::Store;
use crate::sync::{Ordering, fence, fence_after_rmw};
use crate::sys;

/// The longest sleep at once.
pub(crate) const SLICE: Duration = Duration::from_millis(100);
/// How often a read-only handle looks: it can leave no word that it sleeps.
const READ_ONLY_INTERVAL: Duration = Duration::from_millis(1);
/// `Header::followers`, bit 0: somebody may sleep at the journal's end.
pub(crate) const FOLLOWED: u32 = 1;

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
        let clock = Clock::new(timeout, self.poll_interval());
        match before {
            Before::Present { slot, ctl } => self.wait_for_slot(slot, ctl, clock),
            Before::Absent => self.wait_for_insert(hash, key, clock),
        }
    }

    fn wait_for_slot(&self, slot: SlotIndex, before: Ctl, mut clock: Clock) -> Result<bool> {
        let region = self.region();
        let words = region.slot(slot);
        let changed = || region.ctl(slot).sequence() != before.sequence();
        self.spin_until(clock.at_most(self.spin()), &changed);
        loop {
            if changed() {
                return region.check_intact().map(|()| true);
            }
            let Some(slice) = clock.next_slice() else {
                return region.check_intact().map(|()| false);
            };
            if region.writable() {
                // A full barrier, as is the one between the writer's publishing and its look at the bit: if the writer does
                // not see the bit, the look here sees the change. A wake in between changes the word.
                let expected = words.waiters.fetch_or(POLLED, Ordering::SeqCst) | POLLED;
                fence_after_rmw();
                if !changed() {
                    sys::futex_wait(&words.waiters, expected, slice);
                }
                self.tidy(&mut clock)?;
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
        self.spin_until(clock.at_most(self.spin()), &exists);
        loop {
            if exists() {
                return region.check_intact().map(|()| true);
            }
            let Some(slice) = clock.next_slice() else {
                return region.check_intact().map(|()| false);
            };
            if region.writable() {
                // Before the announcement: an insert that answers it changes the word.
                let expected = word.load(Ordering::SeqCst);
                waiters.store(1, Ordering::SeqCst);
                fence(Ordering::SeqCst);
                if !exists() {
                    sys::futex_wait(word, expected, slice);
                }
                self.tidy(&mut clock)?;
            } else {
                std::thread::sleep(slice.min(READ_ONLY_INTERVAL));
            }
            region.check_intact()?;
        }
    }

    /// Waits until the journal has an entry at `position`, or `disturbed` says that there is another reason to look around.
    ///
    /// Whoever makes `disturbed` true wakes the sleepers by [`crate::region::Region::disturb_followers`] afterwards.
    pub(crate) fn wait_for_entry(
        &self,
        position: u64,
        timeout: Duration,
        spin: Duration,
        disturbed: impl Fn() -> bool,
    ) -> Result<bool> {
        let region = self.region();
        let word = &region.header().followers;
        let ready = || region.journal_reaches(position) || disturbed();
        let mut clock = Clock::new(timeout, self.poll_interval());
        self.spin_until(clock.at_most(spin), &ready);
        loop {
            if ready() {
                return region.check_intact().map(|()| true);
            }
            let Some(slice) = clock.next_slice() else {
                return region.check_intact().map(|()| false);
            };
            if region.writable() {
                // A full barrier, as is the one behind a writer's append: if the writer does not see the bit, the look
                // here sees the entry. A wake in between changes the word.
                let expected = word.fetch_or(FOLLOWED, Ordering::SeqCst) | FOLLOWED;
                fence_after_rmw();
                if !ready() {
                    sys::futex_wait(word, expected, slice);
                }
                self.tidy(&mut clock)?;
            } else {
                std::thread::sleep(slice.min(READ_ONLY_INTERVAL));
            }
            region.check_intact()?;
        }
    }

    /// Looks again and again for a while: a change that is on its way is seen without the cost of sleeping and waking.
    ///
    /// But only where that has proved of use: whoever waits for longer than he spins, or on the very processor that the
    /// writer needs, would pay for it each time in vain.
    fn spin_until(&self, spin: Duration, ready: &impl Fn() -> bool) {
        const VAIN_MAX: u32 = 4;
        const TRIAL_INTERVAL: u32 = 32;
        if spin.is_zero() || ready() {
            return;
        }
        // Relaxed: a guess, about this handle's own waits.
        let vain = self.vain_spins().load(Ordering::Relaxed);
        if vain < VAIN_MAX || vain.is_multiple_of(TRIAL_INTERVAL) {
            let start = Instant::now();
            while start.elapsed() < spin {
                std::hint::spin_loop();
                if ready() {
                    return self.vain_spins().store(0, Ordering::Relaxed);
                }
            }
        }
        self.vain_spins().store(vain.wrapping_add(1), Ordering::Relaxed);
    }

    /// After a long sleep nobody is in a hurry, and somebody may have died.
    fn tidy(&self, clock: &mut Clock) -> Result<()> {
        let writer = self.writer()?;
        if clock.is_time_to_tidy() {
            // What is busy now is tidied next time; the wait itself goes on either way.
            let _ = writer.clean_up();
        }
        Ok(())
    }
}

/// How long a wait has lasted.
struct Clock {
    start: Instant,
    timeout: Duration,
    slice_max: Duration,
    tidied: Instant,
}

impl Clock {
    fn new(timeout: Duration, interval: Duration) -> Self {
        let start = Instant::now();
        Self {
            start,
            timeout,
            slice_max: interval.min(SLICE),
            tidied: start,
        }
    }

    fn at_most(&self, duration: Duration) -> Duration {
        duration.min(self.timeout)
    }

    /// How long to sleep now; `None` when the time is up.
    fn next_slice(&self) -> Option<Duration> {
        let left = self.timeout.checked_sub(self.start.elapsed())?;
        (!left.is_zero()).then(|| left.min(self.slice_max))
    }

    /// Whether [`SLICE`] has passed since the start, or since it was asked with this answer.
    fn is_time_to_tidy(&mut self) -> bool {
        let now = Instant::now();
        let is_time = now - self.tidied >= SLICE;
        if is_time {
            self.tidied = now;
        }
        is_time
    }
}
