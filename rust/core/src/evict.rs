//! Making room in a full store.
//!
//! Which key goes is the store's policy. Least recently used is told by a clock (Corbató, "A Paging Experiment with the
//! Multics System", 1968): reads and writes set a bit of the slot, a hand goes round over the slots, clears the bits that it
//! finds, and takes the first key without one. So a read stores nothing but once in a round of the hand.

#![forbid(unsafe_code)]

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::journal::Change;
use crate::lock::Writer;
use crate::region::{Region, SlotIndex};
use crate::slot::ACCESSED;
use crate::store::Store;
use crate::sync::Ordering;

/// What becomes of the keys of a full store when another one comes.
///
/// In every policy those go first whose time is up. A pinned key ([`Store::pin`]) never goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
#[repr(u32)]
pub enum Eviction {
    /// They stay: the write fails with [`Error::Full`].
    #[default]
    None = 0,
    /// The one whose time is up soonest goes; those without a deadline stay. In a store of more than 4,096 slots it is the
    /// soonest of so many in turn.
    Ttl = 1,
    /// One goes that was not read or written for a long time. Reads by handles that may write count.
    Lru = 2,
}

/// Slots among which the one that is due soonest is looked for.
const WINDOW: u32 = 4096;

impl Eviction {
    /// All of them, by their numbers.
    pub const ALL: [Self; 3] = [Self::None, Self::Ttl, Self::Lru];

    /// The policy of a number; [`Self::None`] if there is none.
    pub fn from_number(number: u32) -> Self {
        Self::ALL.get(number as usize).copied().unwrap_or_default()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ttl => "ttl",
            Self::Lru => "lru",
        }
    }
}

impl FromStr for Eviction {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.name() == name)
            .ok_or_else(|| Error::InvalidArgument {
                reason: format!("there is no policy \"{name}\"").into(),
            })
    }
}

impl Store {
    /// What goes when the store is full.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the file was cut while it was open.
    pub fn eviction(&self) -> Result<Eviction> {
        let policy = self.region().eviction();
        self.region().check_intact().map(|()| policy)
    }

    /// Sets what goes when the store is full, for all processes and from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Permission`] on a read-only handle, [`Error::Corrupt`].
    pub fn set_eviction(&self, policy: Eviction) -> Result<()> {
        let region = self.writer()?.region;
        region.header().eviction.store(policy as u32, Ordering::Relaxed);
        self.committed(region.check_intact())
    }
}

impl Writer<'_> {
    /// Frees a slot by the store's policy. Returns whether it did.
    #[cold]
    pub(crate) fn make_room(&self) -> Result<bool> {
        if self.sweep()? > 0 {
            return Ok(true);
        }
        match self.region.eviction() {
            Eviction::None => Ok(false),
            Eviction::Ttl => self.evict_soonest(),
            Eviction::Lru => self.evict_by_clock(),
        }
    }

    fn evict_soonest(&self) -> Result<bool> {
        let region = self.region;
        let slots = region.geometry().slots();
        for _ in 0..slots.div_ceil(WINDOW) {
            let first = region.header().hand.fetch_add(WINDOW.min(slots), Ordering::Relaxed);
            let mut due: Vec<(u64, SlotIndex)> = (0..WINDOW.min(slots))
                .filter_map(|i| region.slot_index(first.wrapping_add(i) % slots))
                .filter_map(|slot| Some((region.deadline_of(slot)?, slot)))
                .collect();
            // More than one, because somebody may be writing to the first.
            due.sort_unstable();
            for (deadline, slot) in due {
                let meant = |_| region.deadline_of(slot) == Some(deadline);
                if self.remove_from(slot, Change::Evict, meant)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn evict_by_clock(&self) -> Result<bool> {
        let region = self.region;
        let slots = region.geometry().slots();
        // Twice round at most: once to clear the bits, once to take the first that may go, though it was read again since.
        for turn in 0..2 * u64::from(slots) {
            let at = region.header().hand.fetch_add(1, Ordering::Relaxed) % slots;
            let Some(slot) = region.slot_index(at) else {
                continue;
            };
            let waiters = &region.slot(slot).waiters;
            if !region.ctl(slot).is_live() || region.is_pinned(slot) {
                continue;
            }
            if turn < u64::from(slots) && waiters.load(Ordering::Relaxed) & ACCESSED != 0 {
                waiters.fetch_and(!ACCESSED, Ordering::Relaxed);
                continue;
            }
            if self.remove_from(slot, Change::Evict, |_| !region.is_pinned(slot))? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Region {
    #[inline]
    pub(crate) fn eviction(&self) -> Eviction {
        // Relaxed: a switch takes effect with the next operation that happens to see it.
        Eviction::from_number(self.header().eviction.load(Ordering::Relaxed))
    }

    /// Notes for the clock that a key was read or written. Nothing is stored if it is noted already.
    #[inline]
    pub(crate) fn note_access(&self, slot: SlotIndex) {
        if self.header().eviction.load(Ordering::Relaxed) == Eviction::Lru as u32 {
            let waiters = &self.slot(slot).waiters;
            if waiters.load(Ordering::Relaxed) & ACCESSED == 0 && self.writable() {
                waiters.fetch_or(ACCESSED, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn is_pinned(&self, slot: SlotIndex) -> bool {
        self.descriptor(slot, self.ctl(slot).buffer()).is_pinned()
    }

    /// The deadline of a key that may be evicted for it.
    fn deadline_of(&self, slot: SlotIndex) -> Option<u64> {
        let ctl = self.ctl(slot);
        let may_go = ctl.is_live() && self.descriptor(slot, ctl.buffer()).is_timed() && !self.is_pinned(slot);
        may_go.then(|| self.deadline(slot, ctl.buffer()))
    }
}
