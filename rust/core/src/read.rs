//! Reading: optimistically, without a store to shared memory, and under the slot's lock where writers are too fast.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::key::Target;
use crate::lock::{Attempt, Backoff, Writer};
use crate::region::{Buffer, Region, SlotIndex};
use crate::slot::{Ctl, Descriptor};
use crate::store::Store;
use crate::sync::{AtomicU8, Ordering};
use crate::value_type::ValueType;

/// Attempts before a reader takes the lock. One fails only if a whole write to the key fell into the copying.
const OPTIMISTIC_READS: u32 = 32;

/// A live slot while it is being read. What is taken from it is believed only if the slot was stable meanwhile.
pub(crate) struct View<'a> {
    region: &'a Region,
    pub(crate) slot: SlotIndex,
    pub(crate) ctl: Ctl,
    descriptor: Descriptor,
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
            descriptor,
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
            .read_value(self.slot, self.buffer(), 0, &mut to[..self.value_bytes]);
    }

    /// Replaces `to` by the value.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] if there is no memory for it.
    pub(crate) fn copy_to_vec(&self, to: &mut Vec<u8>) -> Result<()> {
        self.copy_from(0, to)
    }

    /// Replaces `to` by the value from byte `at` on.
    pub(crate) fn copy_from(&self, at: usize, to: &mut Vec<u8>) -> Result<()> {
        to.clear();
        let range = at.min(self.value_bytes)..self.value_bytes;
        to.try_reserve_exact(range.len()).map_err(|_| Error::NoSpace)?;
        self.region.append_value(self.slot, self.buffer(), range, to);
        Ok(())
    }

    /// Whether all that was seen of it up to now was one whole state of the slot.
    pub(crate) fn is_whole(&self) -> bool {
        self.ctl.was_stable_until(self.region.ctl_after_reading(self.slot))
    }

    /// The value where it lies.
    pub(crate) fn bytes(&self) -> &'a [AtomicU8] {
        self.region.value(self.slot, self.buffer(), self.value_bytes)
    }

    /// Whether the key's time is up, so that it is not there any more.
    #[inline]
    pub(crate) fn is_expired(&self) -> bool {
        self.descriptor.is_timed() && self.region.is_overdue(self.slot, self.buffer())
    }

    /// When the key's time is up, in ns since 1970.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.descriptor
            .is_timed()
            .then(|| self.region.deadline(self.slot, self.buffer()))
    }

    pub(crate) fn value_type(&self) -> ValueType {
        ValueType::from_number(self.descriptor.value_type())
    }

    pub(crate) fn labels(&self) -> u64 {
        self.region.attributes(self.slot).labels.load(Ordering::Relaxed)
    }

    pub(crate) fn is_pinned(&self) -> bool {
        self.descriptor.is_pinned()
    }

    /// Sequence of the version that has only been appended to since: this one, if it did not come by an append.
    pub(crate) fn appended_to(&self) -> u64 {
        if self.descriptor.is_appended() {
            self.region.attributes(self.slot).appended_to.load(Ordering::Relaxed)
        } else {
            self.ctl.sequence()
        }
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
    pub(crate) fn read<T>(&self, target: &Target<'_>, take: impl FnMut(&View<'_>) -> Result<T>) -> Result<Option<T>> {
        self.read_with(target, |_| (), take)
    }

    /// The same for whoever is going to need the value.
    #[inline]
    pub(crate) fn read_value<T>(
        &self,
        target: &Target<'_>,
        take: impl FnMut(&View<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.read_with(target, |slot| self.region().prefetch_values(slot), take)
    }

    #[inline(always)]
    fn read_with<T>(
        &self,
        target: &Target<'_>,
        likely: impl Fn(SlotIndex),
        mut take: impl FnMut(&View<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let region = self.region();
        for _ in 0..OPTIMISTIC_READS {
            let Some((slot, ctl)) = region.locate_with(target, &likely) else {
                return self.missing(target.key);
            };
            let taken = View::new(region, slot, ctl).and_then(|view| unexpired(&view, &mut take));
            if ctl.was_stable_until(region.ctl_after_reading(slot)) {
                region.check_intact()?;
                return self.found(slot, taken);
            }
        }
        self.read_firmly(target, take)
    }

    /// What a reader is given of what he took: nothing if the key's time was up.
    #[inline]
    fn found<T>(&self, slot: SlotIndex, taken: Result<Option<T>>) -> Result<Option<T>> {
        match &taken {
            Ok(Some(_)) => self.region().note_access(slot),
            Ok(None) => self.notice_expiry(slot),
            Err(_) => {}
        }
        self.believed(taken)
    }

    /// Reads under the slot's lock.
    #[cold]
    fn read_firmly<T>(&self, target: &Target<'_>, mut take: impl FnMut(&View<'_>) -> Result<T>) -> Result<Option<T>> {
        let region = self.region();
        let mut backoff = Backoff::new(self.lock_timeout());
        loop {
            let Some((slot, _)) = region.locate(target) else {
                return self.missing(target.key);
            };
            if let Some(taken) = self.read_slot_firmly(slot, &mut backoff, |view| {
                region
                    .holds(slot, view.ctl, target.key)
                    .then(|| unexpired(view, &mut take))
            })? {
                return self.found(slot, taken);
            }
            if !backoff.pause() {
                return Err(Error::Busy {
                    what: "the key comes and goes too fast to be read",
                });
            }
        }
    }

    /// Takes something from a slot, in one whole state of it; `None` if it holds no key. That the key's time may be up is for
    /// `take` to see.
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
                    // Dropped too where a caller's closure panics.
                    let _unlock = Unlock(writer, slot);
                    let taken = attempt(region.ctl(slot));
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

/// A slot's lock that is to be released.
struct Unlock<'a>(Writer<'a>, SlotIndex);

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        self.0.unlock_slot(self.1);
    }
}

/// Takes something from a slot unless its key's time is up.
#[inline(always)]
fn unexpired<T>(view: &View<'_>, take: &mut impl FnMut(&View<'_>) -> Result<T>) -> Result<Option<T>> {
    if view.is_expired() {
        return Ok(None);
    }
    take(view).map(Some)
}
