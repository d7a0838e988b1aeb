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

    /// Copies the value to the start of `to` if there is room for it. Returns how many bytes it touched.
    #[inline]
    pub(crate) fn copy_if_it_fits(&self, to: &mut [u8]) -> usize {
        let Some(to) = to.get_mut(..self.value_bytes) else {
            return 0;
        };
        self.region.read_value(self.slot, self.buffer(), 0, to);
        self.value_bytes
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

/// What came of one attempt to read a key.
pub(crate) enum Glance<T> {
    /// What was taken, from one whole state of the slot.
    Whole(T),
    /// What was taken while the slot changed, or pages were missing.
    Torn(T),
    /// There is no such key, unless the store is damaged.
    Absent,
    /// Nothing was taken: the key's time is up, or something is wrong with it.
    Unclear,
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
        match self.glance(target, likely, &mut take) {
            Glance::Whole(taken) => self.believed(taken).map(Some),
            Glance::Absent => self.missing(target.key),
            Glance::Torn(_) | Glance::Unclear => self.read_again(target, take),
        }
    }

    /// [`Self::glance`] for whoever is going to need the value.
    #[inline(always)]
    pub(crate) fn glance_at_value<T>(&self, target: &Target<'_>, take: impl FnOnce(&View<'_>) -> T) -> Glance<T> {
        self.glance(target, |slot| self.region().prefetch_values(slot), take)
    }

    /// The first attempt, which nearly always is the last. On its own, and without errors, so that what was taken stays in
    /// registers.
    #[inline(always)]
    pub(crate) fn glance<T>(
        &self,
        target: &Target<'_>,
        likely: impl Fn(SlotIndex),
        take: impl FnOnce(&View<'_>) -> T,
    ) -> Glance<T> {
        let region = self.region();
        let Some((slot, ctl)) = region.locate_with(target, likely) else {
            return Glance::Absent;
        };
        if let Ok(view) = View::new(region, slot, ctl)
            && !view.is_expired()
        {
            let taken = take(&view);
            if view.is_whole() && region.check_intact().is_ok() {
                region.note_access(slot);
                return Glance::Whole(taken);
            }
            self.count_retry();
            return Glance::Torn(taken);
        }
        Glance::Unclear
    }

    /// Further attempts.
    #[cold]
    #[inline(never)]
    pub(crate) fn read_again<T>(
        &self,
        target: &Target<'_>,
        mut take: impl FnMut(&View<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let region = self.region();
        for _ in 1..OPTIMISTIC_READS {
            let Some((slot, ctl)) = region.locate(target) else {
                return self.missing(target.key);
            };
            let taken = View::new(region, slot, ctl).and_then(|view| unexpired(&view, &mut take));
            if ctl.was_stable_until(region.ctl_after_reading(slot)) {
                region.check_intact()?;
                return self.found(slot, taken);
            }
            self.count_retry();
        }
        self.read_firmly(target, take)
    }

    /// What a reader is given of what he took: nothing if the key's time was up.
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
            self.count_retry();
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
    pub(crate) fn missing<T>(&self, key: &[u8]) -> Result<Option<T>> {
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

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;
    use crate::OpenOptions;

    /// The key's slot, a writer that does not wait for locks, and where another handle finds the store.
    fn scene() -> (SlotIndex, Store, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let options = OpenOptions::new().slots(4).lock_timeout(Duration::ZERO);
        let writer = options.create(directory.path().join("s")).unwrap();
        writer.set("k", "first").unwrap();
        let (slot, _) = writer.region().locate(&writer.target(b"k")).unwrap();
        (slot, writer, directory)
    }

    /// Takes the value, and writes twice to the key meanwhile, so that what was taken is never believed. Returns whether the
    /// writer was kept out.
    fn overtaken(writer: &Store, view: &View<'_>, value: &mut Vec<u8>) -> bool {
        view.copy_to_vec(value).unwrap();
        let written = [1, 2].map(|step| writer.set("k", [value[0].wrapping_add(step)]));
        let is_kept_out = written.iter().all(|written| matches!(written, Err(Error::Busy { .. })));
        assert!(is_kept_out || written.iter().all(Result::is_ok), "{written:?}");
        is_kept_out
    }

    type Look<'a> = &'a mut dyn FnMut(&View<'_>) -> Result<()>;

    /// The two ways to a slot.
    fn reads(reader: &Store, slot: SlotIndex) -> [impl Fn(Look<'_>) -> Result<Option<()>>; 2] {
        [true, false].map(|by_key| {
            move |look: Look<'_>| {
                if by_key {
                    reader.read(&reader.target(b"k"), look)
                } else {
                    reader.read_slot(slot, look)
                }
            }
        })
    }

    #[test]
    fn a_reader_whom_writers_overtake_again_and_again_keeps_them_out_for_a_moment() {
        let (slot, writer, directory) = scene();
        let reader = Store::open(directory.path().join("s")).unwrap();
        for read in reads(&reader, slot) {
            let (mut value, mut is_kept_out, mut looks) = (Vec::new(), false, 0);
            let retries = reader.retries();
            let found = read(&mut |view| {
                looks += 1;
                is_kept_out = overtaken(&writer, view, &mut value);
                Ok(())
            });
            assert_eq!(found.unwrap(), Some(()));
            assert!(is_kept_out && looks > 1, "{looks} looks");
            assert_eq!(reader.retries() - retries, looks - 1);
            assert_eq!(writer.get_vec("k").unwrap().unwrap(), value);
            writer.set("k", "second").unwrap();
        }
    }

    #[test]
    fn a_reader_that_panics_lets_writers_in_again() {
        let (slot, writer, directory) = scene();
        let reader = Store::open(directory.path().join("s")).unwrap();
        for read in reads(&reader, slot) {
            let mut value = Vec::new();
            let look = || {
                read(&mut |view| {
                    assert!(!overtaken(&writer, view, &mut value), "kept out");
                    Ok(())
                })
            };
            assert!(catch_unwind(AssertUnwindSafe(look)).is_err());
            writer.set("k", "second").unwrap();
        }
    }

    #[test]
    fn a_reader_that_must_not_lock_goes_on_until_a_look_is_whole_or_patience_ends() {
        let (slot, writer, directory) = scene();
        let options = OpenOptions::new()
            .read_only(true)
            .lock_timeout(Duration::from_millis(50));
        let reader = options.open(directory.path().join("s")).unwrap();
        for read in reads(&reader, slot) {
            let (mut value, mut looks) = (Vec::new(), 0);
            let found = read(&mut |view| {
                looks += 1;
                if looks <= 2 * OPTIMISTIC_READS {
                    assert!(!overtaken(&writer, view, &mut value));
                } else {
                    view.copy_to_vec(&mut value)?;
                }
                Ok(())
            });
            assert_eq!((found.unwrap(), looks), (Some(()), 2 * OPTIMISTIC_READS + 1));
            assert_eq!(writer.get_vec("k").unwrap().unwrap(), value);
            let busy = read(&mut |view| {
                assert!(!overtaken(&writer, view, &mut value));
                Ok(())
            });
            assert!(matches!(busy, Err(Error::Busy { .. })), "{busy:?}");
        }
    }

    #[test]
    fn a_key_that_left_its_slot_while_it_was_read_is_not_there() {
        let (slot, writer, directory) = scene();
        let options = [OpenOptions::new(), OpenOptions::new().read_only(true)];
        for reader in options.map(|options| options.open(directory.path().join("s")).unwrap()) {
            let mut looks = 0;
            let found = reader.read_slot(slot, |view| {
                looks += 1;
                writer.unset("k").unwrap();
                if looks < OPTIMISTIC_READS {
                    writer.set("k", "again").unwrap();
                }
                Ok(view.value_bytes)
            });
            assert_eq!((found.unwrap(), looks), (None, OPTIMISTIC_READS));
            writer.set("k", "again").unwrap();
        }
    }
}
