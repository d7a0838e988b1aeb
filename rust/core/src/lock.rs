//! Locks whose owners can be proved dead, and waiting for them.
//!
//! Order: a stripe of the index before a slot, stripes by ascending number, and never a wait for a slot while a stripe is
//! held. So nobody waits in a circle.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::error::{Error, Result};
use crate::handles::Token;
use crate::region::{Region, SlotIndex};
use crate::slot::STARVING;
use crate::sync::{AtomicU64, Instant, Ordering, sleep, spin_loop, yield_now};

/// A handle that may write: what it acts on, who it is, and how long it waits.
#[derive(Clone, Copy)]
pub(crate) struct Writer<'a> {
    pub(crate) region: &'a Region,
    pub(crate) me: Token,
    /// How long to wait for locks; zero: not at all.
    pub(crate) patience: Duration,
}

/// What an attempt to take a lock came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Taken,
    /// Somebody who may be alive holds it.
    Held,
    /// Its owner is dead: it can be taken over, with whatever the owner left undone.
    Dead(Token),
}

/// Waiting for something that takes nanoseconds as a rule: spins, then yields, then sleeps, until patience ends.
pub(crate) struct Backoff {
    patience: Duration,
    round: u32,
    since: Option<Instant>,
}

/// To a model checker one is as good as many.
const SPINS: u32 = if cfg!(any(loom, shuttle)) { 1 } else { 128 };
const YIELDS: u32 = SPINS + 64;
const SLEEP_MIN: Duration = Duration::from_micros(50);
const SLEEP_MAX: Duration = Duration::from_millis(2);

impl Backoff {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            patience,
            round: 0,
            since: None,
        }
    }

    /// Waits a little longer than the last time. `false`: patience has ended.
    pub(crate) fn pause(&mut self) -> bool {
        if self.patience.is_zero() {
            return false;
        }
        self.round += 1;
        if self.round < SPINS {
            spin_loop();
            return true;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.patience {
            return false;
        }
        if self.round < YIELDS {
            yield_now();
        } else {
            let doublings = ((self.round - YIELDS) / 8).min(8);
            sleep((SLEEP_MIN * (1 << doublings)).min(SLEEP_MAX));
        }
        true
    }

    /// Whether the wait has lasted so long that it is worth asking whether the one waited for is dead.
    fn is_suspicious(&self) -> bool {
        self.patience.is_zero() || self.round == SPINS || self.round >= YIELDS
    }

    /// Whether others should let this one go first.
    fn is_starving(&self) -> bool {
        self.round >= SPINS + 16
    }
}

impl Writer<'_> {
    /// Takes a lock if it is free, by [`Self::exchange`].
    #[inline]
    pub(crate) fn try_lock(&self, lock: &AtomicU64) -> Attempt {
        match self.exchange(lock) {
            Ok(()) => Attempt::Taken,
            Err(owner) if self.region.is_dead(self.me, owner) => Attempt::Dead(owner),
            Err(_) => Attempt::Held,
        }
    }

    /// [`Self::exchange`] for those who try again and again: looks before it asks for the cache line.
    fn look_and_exchange(&self, lock: &AtomicU64) -> std::result::Result<(), Token> {
        match lock.load(Ordering::Relaxed) {
            0 => self.exchange(lock),
            owner => Err(Token::from_bits(owner)),
        }
    }

    /// Acquire pairs with the release of [`release`]: what the lock's last owner did is seen.
    #[inline]
    fn exchange(&self, lock: &AtomicU64) -> std::result::Result<(), Token> {
        lock.compare_exchange(0, self.me.bits(), Ordering::Acquire, Ordering::Relaxed)
            .map(drop)
            .map_err(Token::from_bits)
    }

    /// Takes a lock over from a dead owner, unless somebody else was faster.
    pub(crate) fn take_over(&self, lock: &AtomicU64, owner: Token) -> bool {
        let taken = lock
            .compare_exchange(owner.bits(), self.me.bits(), Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        if taken {
            self.region.header().repairs.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Waits for a slot's lock.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when patience ends. The result is never [`Attempt::Held`].
    #[inline]
    pub(crate) fn lock_slot(&self, slot: SlotIndex) -> Result<Attempt> {
        let words = self.region.slot(slot);
        if words.waiters.load(Ordering::Relaxed) & STARVING == 0 && self.exchange(&words.lock).is_ok() {
            return Ok(Attempt::Taken);
        }
        self.lock_slot_slowly(slot)
    }

    #[cold]
    fn lock_slot_slowly(&self, slot: SlotIndex) -> Result<Attempt> {
        let words = self.region.slot(slot);
        if words.waiters.load(Ordering::Relaxed) & STARVING != 0 && !self.patience.is_zero() {
            self.let_go_first(slot);
        }
        let mut backoff = Backoff::new(self.patience);
        let mut starving = false;
        let result = loop {
            match self.look_and_exchange(&words.lock) {
                Ok(()) => break Ok(Attempt::Taken),
                Err(owner) if backoff.is_suspicious() && self.region.is_dead(self.me, owner) => {
                    break Ok(Attempt::Dead(owner));
                }
                Err(_) if !backoff.pause() => {
                    break Err(Error::Busy {
                        what: "another writer is changing this key",
                    });
                }
                Err(_) => {}
            }
            if backoff.is_starving() {
                // Repeated, because whoever lost patience with us has cleared it.
                starving = true;
                words.waiters.fetch_or(STARVING, Ordering::Relaxed);
            }
        };
        if starving {
            words.waiters.fetch_and(!STARVING, Ordering::Relaxed);
        }
        result
    }

    /// Waits a moment for the one who starves for a slot's lock, who may be dead: then everybody goes on.
    fn let_go_first(&self, slot: SlotIndex) {
        let waiters = &self.region.slot(slot).waiters;
        let mut backoff = Backoff::new(Duration::from_micros(200).min(self.patience));
        while waiters.load(Ordering::Relaxed) & STARVING != 0 {
            if !backoff.pause() {
                waiters.fetch_and(!STARVING, Ordering::Relaxed);
            }
        }
    }

    /// Waits for the stripe of a chunk of the index. A dead owner's stripe is taken over at once, with the slots that he held
    /// under it; that counts may be too high is noted for the janitor.
    pub(crate) fn lock_stripe(&self, chunk: usize) -> Result<()> {
        let lock = &self.region.stripe(chunk).lock;
        let mut backoff = Backoff::new(self.patience);
        loop {
            match self.look_and_exchange(lock) {
                Ok(()) => return Ok(()),
                Err(owner) if backoff.is_suspicious() && self.region.is_dead(self.me, owner) => {
                    // Noted first: after a death between the two the note only costs a recount.
                    self.region.header().recount.store(1, Ordering::Relaxed);
                    if self.take_over(lock, owner) {
                        self.settle_under(chunk, owner);
                        return Ok(());
                    }
                }
                Err(_) if !backoff.pause() => {
                    return Err(Error::Busy {
                        what: "another writer is inserting or deleting keys",
                    });
                }
                Err(_) => {}
            }
        }
    }

    pub(crate) fn unlock_stripe(&self, chunk: usize) {
        release(&self.region.stripe(chunk).lock);
    }

    #[inline]
    pub(crate) fn unlock_slot(&self, slot: SlotIndex) {
        release(&self.region.slot(slot).lock);
    }
}

/// Frees a lock. Release pairs with the acquire of whoever takes it next.
#[inline]
pub(crate) fn release(lock: &AtomicU64) {
    lock.store(0, Ordering::Release);
}
