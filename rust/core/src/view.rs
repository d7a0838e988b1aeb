//! Values seen where they lie, by callers whose look cannot be a closure of ours.

#![forbid(unsafe_code)]

use crate::error::Result;
use crate::region::SlotIndex;
use crate::slot::Ctl;
use crate::store::Store;
use crate::sync::AtomicU8;

/// A value in place: see [`Store::view`].
#[derive(Debug, Clone, Copy)]
pub struct ValueView<'a> {
    bytes: &'a [AtomicU8],
    stamp: Stamp,
}

/// Which version of which slot a view is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the slot.
    pub slot: u32,
    /// Its state, of meaning to this library only.
    pub state: u64,
}

impl ValueView<'_> {
    /// The value, which others may be changing: take it by relaxed loads.
    pub fn bytes(&self) -> &[AtomicU8] {
        self.bytes
    }

    /// For [`Store::is_whole`].
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }
}

impl Store {
    /// Shows a value where it lies; `None` if there is no such key.
    ///
    /// What is seen is to be believed only if [`Self::is_whole`] says so afterwards; else it is to be tried again.
    /// [`Self::get_with`] does so by itself.
    ///
    /// # Errors
    ///
    /// As for [`Self::get`].
    pub fn view(&self, key: impl AsRef<[u8]>) -> Result<Option<ValueView<'_>>> {
        let region = self.region();
        // Believed as any read is, so that the length is that of a value.
        self.read_value(&self.target(key.as_ref()), |view| {
            Ok(ValueView {
                bytes: region.value(view.slot, view.ctl.buffer(), view.value_bytes),
                stamp: Stamp {
                    slot: view.slot.get(),
                    state: view.ctl.bits(),
                },
            })
        })
    }

    /// Whether all that was seen by a view up to now was one whole value.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Corrupt`] if the file was cut while it was open.
    pub fn is_whole(&self, stamp: Stamp) -> Result<bool> {
        let region = self.region();
        let slot: Option<SlotIndex> = region.slot_index(stamp.slot);
        let is_whole =
            slot.is_some_and(|slot| Ctl::from_bits(stamp.state).was_stable_until(region.ctl_after_reading(slot)));
        region.check_intact().map(|()| is_whole)
    }
}
