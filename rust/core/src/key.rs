//! Keys: the rules at the border, what is searched for, and handles that remember where it was found.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::region::{Region, SlotIndex};
use crate::slot::Ctl;
use crate::sync::{AtomicU32, Ordering};

/// A key that was checked against the rules and a store's limit: UTF-8 without NUL, one byte to the store's longest key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a>(&'a [u8]);

impl<'a> Key<'a> {
    pub(crate) fn new(bytes: &'a [u8], max: usize) -> Result<Self> {
        if bytes.is_empty() {
            return Err(Error::KeyInvalid {
                reason: "a key has at least one byte",
            });
        }
        if bytes.len() > max {
            return Err(Error::KeyTooLong {
                bytes: bytes.len(),
                max,
            });
        }
        if bytes.contains(&0) {
            return Err(Error::KeyInvalid {
                reason: "a key cannot contain NUL",
            });
        }
        if std::str::from_utf8(bytes).is_err() {
            return Err(Error::KeyInvalid {
                reason: "a key must be UTF-8",
            });
        }
        Ok(Self(bytes))
    }

    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// A key that is searched for: its bytes, which need not be a key, its hash, and perhaps where it was found last.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) hash: u64,
    hint: Option<&'a AtomicU32>,
}

impl<'a> Target<'a> {
    #[inline]
    pub(crate) fn new(region: &Region, key: &'a [u8]) -> Self {
        Self {
            key,
            hash: region.hash(key),
            hint: None,
        }
    }

    /// `hint` holds the number of a slot to look into first, any number at all, and is kept up to date.
    #[inline]
    pub(crate) fn with_hint(key: &'a [u8], hash: u64, hint: &'a AtomicU32) -> Self {
        Self {
            key,
            hash,
            hint: Some(hint),
        }
    }
}

impl Region {
    /// The slot that holds a key, and the state in which it was seen to; that its time may be up is for the caller to see.
    ///
    /// Neither waits nor writes. The state must be checked again before what was read with it is believed.
    #[inline]
    pub(crate) fn locate(&self, target: &Target<'_>) -> Option<(SlotIndex, Ctl)> {
        self.locate_with(target, |_| ())
    }

    /// The same, telling of each slot that is likely to be the one as early as possible.
    #[inline(always)]
    pub(crate) fn locate_with(&self, target: &Target<'_>, likely: impl Fn(SlotIndex)) -> Option<(SlotIndex, Ctl)> {
        let Some(hint) = target.hint else {
            return self.find_with(target.hash, target.key, likely);
        };
        // Relaxed: a guess, and the slot itself is asked whether it holds the key.
        if let Some(slot) = self.slot_index(hint.load(Ordering::Relaxed)) {
            likely(slot);
            let ctl = self.ctl(slot);
            if self.holds(slot, ctl, target.key) {
                return Some((slot, ctl));
            }
        }
        let found = self.find_with(target.hash, target.key, likely)?;
        hint.store(found.0.get(), Ordering::Relaxed);
        Some(found)
    }
}
