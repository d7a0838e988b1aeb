//! Reading: optimistically, without a store to shared memory, and under the slot's lock where writers are too fast.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::lock::{Attempt, Backoff};
use crate::region::{Buffer, Region, SlotIndex};
use crate::slot::Ctl;
use crate::store::Store;
use crate::sync::Ordering;

/// Attempts before a reader takes the lock. One fails only if a whole write to the key fell into the copying.
const OPTIMISTIC_READS: u32 = 32;

/// A live slot while it is being read. What is taken from it is believed only if the slot was stable meanwhile.
pub(crate) struct View<'a> {
    region: &'a Region,
    pub(crate) slot: SlotIndex,
    pub(crate) ctl: Ctl,
    pub(crate) value_bytes: usize,
    pub(crate) key_bytes: usize,
}

impl<'a> View<'a> {
    /// Lengths are checked here, since any process may have written anything there.
    #[inline(always)]
    fn new(region: &'a Region, slot: SlotIndex, ctl: Ctl) -> Result<Self> {
        let descriptor = region.descriptor(slot, ctl.buffer());
        let geometry = region.geometry();
        if descriptor.value_bytes() > geometry.max_value_bytes() as usize
            || descriptor.key_bytes() > geometry.max_key_bytes() as usize
        {
            return Err(Error::Corrupt {
                reason: "a slot has a length that this store cannot have",
            });
        }
        Ok(Self {
            region,
            slot,
            ctl,
            value_bytes: descriptor.value_bytes(),
            key_bytes: descriptor.key_bytes(),
        })
    }

    fn buffer(&self) -> Buffer {
        self.ctl.buffer()
    }

    /// Copies the value to the start of `to`, which has room for it.
    #[inline]
    pub(crate) fn copy_to(&self, to: &mut [u8]) {
        self.region
            .read_value(self.slot, self.buffer(), &mut to[..self.value_bytes]);
    }

    /// Replaces `to` by the value.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] if there is no memory for it.
    pub(crate) fn copy_to_vec(&self, to: &mut Vec<u8>) -> Result<()> {
        to.clear();
        to.try_reserve_exact(self.value_bytes).map_err(|_| Error::NoSpace)?;
        self.region.append_value(self.slot, self.buffer(), self.value_bytes, to);
        Ok(())
    }

    pub(crate) fn copy_key(&self, to: &mut Vec<u8>) {
        self.region.read_key(self.slot, self.key_bytes, to);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.region.attributes(self.slot).hash.load(Ordering::Relaxed)
    }

    pub(crate) fn birth(&self) -> u64 {
        self.region.attributes(self.slot).birth.load(Ordering::Relaxed)
    }

    /// Sequence of the change by which the key came: those before it were of another key.
    pub(crate) fn inserted(&self) -> u64 {
        self.region.attributes(self.slot).inserted.load(Ordering::Relaxed)
    }

    /// Bytes from the start of the region to the value.
    pub(crate) fn value_offset(&self) -> usize {
        self.region.value_offset(self.slot, self.buffer())
    }
}

impl Store {
    /// Takes something from a key's slot, in one whole state of it; `None` if there is no such key.
    ///
    /// `take` may be called several times; what it returned last counts.
    #[inline]
    pub(crate) fn read<T>(&self, key: &[u8], take: impl FnMut(&View<'_>) -> Result<T>) -> Result<Option<T>> {
        self.read_with(key, |_| (), take)
    }

    /// The same for whoever is going to need the value.
    #[inline]
    pub(crate) fn read_value<T>(&self, key: &[u8], take: impl FnMut(&View<'_>) -> Result<T>) -> Result<Option<T>> {
        self.read_with(key, |slot| self.region().prefetch_values(slot), take)
    }

    #[inline(always)]
    fn read_with<T>(
        &self,
        key: &[u8],
        likely: impl Fn(SlotIndex),
        mut take: impl FnMut(&View<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let region = self.region();
        let hash = region.hash(key);
        for _ in 0..OPTIMISTIC_READS {
            let Some((slot, ctl)) = region.find_with(hash, key, &likely) else {
                return self.missing(key);
            };
            let taken = View::new(region, slot, ctl).and_then(|view| take(&view));
            if ctl.was_stable_until(region.ctl_after_reading(slot)) {
                region.check_intact()?;
                return self.believed(taken).map(Some);
            }
        }
        self.read_firmly(hash, key, take)
    }

    /// Reads under the slot's lock.
    #[cold]
    fn read_firmly<T>(&self, hash: u64, key: &[u8], mut take: impl FnMut(&View<'_>) -> Result<T>) -> Result<Option<T>> {
        let region = self.region();
        let mut backoff = Backoff::new(self.lock_timeout());
        loop {
            let Some((slot, _)) = region.find(hash, key) else {
                return self.missing(key);
            };
            if let Some(taken) = self.read_slot_firmly(slot, &mut backoff, |view| {
                region.holds(slot, view.ctl, key).then(|| take(view))
            })? {
                return self.believed(taken).map(Some);
            }
            if !backoff.pause() {
                return Err(Error::Busy {
                    what: "the key comes and goes too fast to be read",
                });
            }
        }
    }

    /// Takes something from a slot, in one whole state of it; `None` if it holds no key.
    pub(crate) fn read_slot<T>(
        &self,
        slot: SlotIndex,
        mut take: impl FnMut(&View<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let region = self.region();
        for _ in 0..OPTIMISTIC_READS {
            let ctl = region.ctl(slot);
            let taken = ctl
                .is_live()
                .then(|| View::new(region, slot, ctl).and_then(|view| take(&view)));
            if ctl.was_stable_until(region.ctl_after_reading(slot)) {
                region.check_intact()?;
                return taken.map(|taken| self.believed(taken)).transpose();
            }
        }
        let mut backoff = Backoff::new(self.lock_timeout());
        self.read_slot_firmly(slot, &mut backoff, |view| Some(take(view)))?
            .map(|taken| self.believed(taken))
            .transpose()
    }

    /// Reads a slot under its lock; without the right to lock, as often as patience allows. `None` if it holds no key, or
    /// `take` refuses the one it holds.
    #[cold]
    fn read_slot_firmly<T>(
        &self,
        slot: SlotIndex,
        backoff: &mut Backoff,
        mut take: impl FnMut(&View<'_>) -> Option<Result<T>>,
    ) -> Result<Option<Result<T>>> {
        let region = self.region();
        let mut attempt = |ctl: Ctl| match View::new(region, slot, ctl) {
            Ok(view) if ctl.is_live() => take(&view),
            Err(error) if ctl.is_live() => Some(Err(error)),
            _ => None,
        };
        while region.writable() {
            let writer = self.writer()?;
            match writer.lock_slot(slot)? {
                Attempt::Dead(owner) => writer.rescue(slot, owner)?,
                Attempt::Taken | Attempt::Held => {
                    let taken = attempt(region.ctl(slot));
                    writer.unlock_slot(slot);
                    region.check_intact()?;
                    return Ok(taken);
                }
            }
        }
        loop {
            let ctl = region.ctl(slot);
            let taken = attempt(ctl);
            if ctl.was_stable_until(region.ctl_after_reading(slot)) {
                region.check_intact()?;
                return Ok(taken);
            }
            if !backoff.pause() {
                return Err(Error::Busy {
                    what: "the key is written faster than a read-only handle can read it",
                });
            }
        }
    }

    /// An error from stable bytes is counted: they are wrong, not merely changing.
    #[inline]
    fn believed<T>(&self, taken: Result<T>) -> Result<T> {
        taken.inspect_err(|error| self.count_if_corrupt(error))
    }

    #[cold]
    fn count_if_corrupt(&self, error: &Error) {
        if let Error::Corrupt { .. } = error {
            self.region().count_parse_failure();
        }
    }

    /// The answer for a key that was not found: none, unless it could not be a key or the store is damaged.
    #[inline(never)]
    fn missing<T>(&self, key: &[u8]) -> Result<Option<T>> {
        self.region().check_intact()?;
        self.region().key(key).map(|_| None)
    }
}
