//! Sleeping until a key changes, or any key, and waking those who sleep.
//!
//! Sleepers on an existing key wait on a word of its slot; sleepers on an absent key wait on one of a few
//! words that inserts of keys with like hashes change; followers of the journal wait on one word. All are shared futexes,
//! so a write by any process wakes sleepers in every other. Nobody sleeps longer than [`SLICE`] at once: a writer killed
//! between publishing and waking is noticed then, and what else the dead left undone.
//!
//! The words have one form: bit 0 says that somebody may sleep, the bits from 3 on count wakes (bits 1 and 2 of a slot's
//! word are those of [`crate::slot`]). A sleeper sets the bit and then looks again whether it has to sleep; a writer makes its
//! change and then looks at the bit; with a full barrier on both sides at least one of them sees the other. So a
//! writer makes a system call only if somebody left word that he sleeps. A wake clears the bit and is counted, so that nobody
//! who set the bit before it falls asleep after it.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::error::Result;
use crate::region::{Region, SlotIndex};
use crate::slot::Ctl;
use crate::store::Store;
use crate::sync::{AtomicU32, Instant, Ordering, fence_after_rmw, futex_wait, futex_wake_all, sleep, spin_loop};

/// The longest sleep at once.
pub(crate) const SLICE: Duration = Duration::from_millis(100);
/// How often a read-only handle looks: it can leave no word that it sleeps.
const READ_ONLY_INTERVAL: Duration = Duration::from_millis(1);
/// Bit 0 of a word that is slept on: somebody may sleep.
const SLEEPING: u32 = 1;
/// One wake in the count above.
const WAKE: u32 = 8;

/// What a key was like when the waiting began.
enum Before {
    Present { slot: SlotIndex, ctl: Ctl },
    Absent,
}

impl Store {
    /// Waits until `key` is seen changed: overwritten, deleted, or, if it was absent, inserted.
    pub(crate) fn wait_for_change(&self, key: &[u8], since: Option<u64>, timeout: Duration) -> Result<bool> {
        let region = self.region();
        let target = self.target(key);
        let present = || {
            region
                .locate(&target)
                .filter(|&(slot, ctl)| !region.is_expired(slot, ctl))
        };
        let before = match present() {
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
        let _watching = Watching::begin(self);
        match before {
            Before::Present { slot, ctl } => {
                let is_same = || region.ctl(slot).sequence() == ctl.sequence();
                // Its deadline is a change too, for which nobody wakes us.
                let due_in = || {
                    if is_same() {
                        region.due_in(slot, ctl)
                    } else {
                        Duration::MAX
                    }
                };
                let changed = || !is_same() || region.is_expired(slot, ctl);
                let is_changed = self.wait_until(&region.slot(slot).waiters, timeout, self.spin(), due_in, changed)?;
                if is_changed && is_same() {
                    self.notice_expiry(slot);
                }
                Ok(is_changed)
            }
            Before::Absent => {
                let never = || Duration::MAX;
                let exists = || present().is_some();
                self.wait_until(region.expectants(target.hash), timeout, self.spin(), never, exists)
            }
        }
    }

    /// Waits until the journal has an entry at `position`, or `disturbed` says that there is another reason to look around.
    ///
    /// Whoever makes `disturbed` true wakes the sleepers by [`Region::disturb_followers`] afterwards.
    pub(crate) fn wait_for_entry(
        &self,
        position: u64,
        timeout: Duration,
        spin: Duration,
        disturbed: impl Fn() -> bool,
    ) -> Result<bool> {
        let region = self.region();
        let ready = || region.journal_reaches(position) || disturbed();
        self.wait_until(&region.header().followers, timeout, spin, || Duration::MAX, ready)
    }

    /// Waits until `ready`; whoever makes it so wakes those who sleep on `word`, unless it is the passing of a time that
    /// `due_in` tells. Returns whether it is.
    fn wait_until(
        &self,
        word: &AtomicU32,
        timeout: Duration,
        spin: Duration,
        due_in: impl Fn() -> Duration,
        ready: impl Fn() -> bool,
    ) -> Result<bool> {
        let region = self.region();
        let mut clock = Clock::new(timeout, self.poll_interval());
        self.spin_until(spin.min(timeout), &ready);
        loop {
            if ready() {
                return region.check_intact().map(|()| true);
            }
            let Some(slice) = clock.next_slice() else {
                return region.check_intact().map(|()| false);
            };
            let slice = slice.min(due_in().max(Duration::from_millis(1)));
            if region.writable() {
                // The full barrier on the sleeper's side.
                let expected = word.fetch_or(SLEEPING, Ordering::SeqCst) | SLEEPING;
                fence_after_rmw();
                if !ready() {
                    futex_wait(word, expected, slice);
                }
                self.tidy(&mut clock)?;
            } else {
                sleep(slice.min(READ_ONLY_INTERVAL));
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
                spin_loop();
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

/// Something that watches a store, counted as long as it lives.
pub(crate) struct Watching<'a>(&'a Store);

impl<'a> Watching<'a> {
    pub(crate) fn begin(store: &'a Store) -> Self {
        store.begin_watching();
        Self(store)
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.end_watching();
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

impl Region {
    /// Wakes those who sleep until a slot changes. A full barrier lies behind the change.
    #[inline]
    pub(crate) fn wake_pollers(&self, slot: SlotIndex) {
        wake(&self.slot(slot).waiters);
    }

    /// Wakes those who sleep for a key that did not exist. A full barrier lies behind the insert.
    pub(crate) fn wake_expectant(&self, hash: u64) {
        wake(self.expectants(hash));
    }

    /// Wakes those who sleep at the journal's end, in any process, behind [`Self::append_to_journal`].
    #[inline]
    pub(crate) fn wake_followers(&self) {
        wake(&self.header().followers);
    }

    /// Makes those who sleep at the journal's end look around, though nothing was appended.
    pub(crate) fn disturb_followers(&self) {
        let word = &self.header().followers;
        word.fetch_add(WAKE, Ordering::SeqCst);
        futex_wake_all(word);
    }
}

/// Wakes those who sleep on a word. No system call unless somebody may.
#[inline]
fn wake(word: &AtomicU32) {
    // Relaxed: the full barrier is behind us.
    let seen = word.load(Ordering::Relaxed);
    if seen & SLEEPING != 0 {
        wake_sleepers(word, seen);
    }
}

#[cold]
fn wake_sleepers(word: &AtomicU32, mut seen: u32) {
    // Whoever has cleared the bit meanwhile wakes those who had set it; whoever sets it again sees our change first.
    while seen & SLEEPING != 0 {
        let woken = (seen & !SLEEPING).wrapping_add(WAKE);
        match word.compare_exchange_weak(seen, woken, Ordering::SeqCst, Ordering::Relaxed) {
            Ok(_) => return futex_wake_all(word),
            Err(now) => seen = now,
        }
    }
}

/// Tries and waits in turn, until there is something or the time is up.
pub(crate) fn next_within<W, T>(
    watcher: &mut W,
    timeout: Duration,
    mut try_next: impl FnMut(&mut W) -> Result<Option<T>>,
    mut wait: impl FnMut(&mut W, Duration) -> Result<bool>,
) -> Result<Option<T>> {
    let start = Instant::now();
    loop {
        if let Some(next) = try_next(watcher)? {
            return Ok(Some(next));
        }
        // Unless the time is up, `Duration::MAX` stays what it is.
        let left = timeout.saturating_sub(start.elapsed());
        if left.is_zero() || !wait(watcher, left)? {
            return try_next(watcher);
        }
    }
}

/// Keeps a follower from costing writers a system call each where changes come thick and fast.
///
/// A sleeper that is woken by every change makes each of them pay for the wake. Whoever finds several changes at each of
/// several wakes in a row is beyond following them one by one: it rests before it asks to be woken again.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    crowded: u32,
}

impl Pace {
    const CROWD: u64 = 4;
    const PATIENCE: u32 = 8;
    /// The kernel adds some 50 µs.
    const REST: Duration = Duration::from_micros(20);
    /// A journal that holds the changes of one rest at the speed of one writer.
    const JOURNAL_MIN: u32 = 4096;

    /// To be called after a wake with the position that was waited for.
    pub(crate) fn rest_if_crowded(&mut self, store: &Store, position: u64) {
        if store.geometry().journal_entries() < Self::JOURNAL_MIN {
            return;
        }
        if store.region().journal_reaches(position.wrapping_add(Self::CROWD)) {
            self.crowded += 1;
        } else {
            self.crowded = 0;
        }
        if self.crowded > Self::PATIENCE {
            sleep(Self::REST);
        }
    }
}
