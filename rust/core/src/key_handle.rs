//! Handles of keys, for those who use the same ones again and again.

#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use crate::condition::{Outcome, SetOptions, Versioned};
use crate::error::Result;
use crate::expiry::TimeToLive;
use crate::integer::{Integer, Operation};
use crate::key::Target;
use crate::store::Store;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// A key of a store, hashed once, whose slot is remembered: see [`Store::key`].
///
/// Each use looks into the slot first, and whether it still holds the key; where it does not, the key is searched for as
/// ever. So a handle is never wrong, whatever becomes of its key, and may be made before the key exists. Any number of threads
/// may use it at once.
pub struct KeyHandle<S: AsRef<Store>> {
    store: S,
    key: Box<[u8]>,
    hash: u64,
    slot: AtomicU32,
    /// The epoch that [`Self::changed`] told last; 0 if the key did not exist.
    seen: AtomicU64,
}

impl Store {
    /// Prepares a key for being used again and again.
    ///
    /// ```
    /// # let store = splinter::OpenOptions::new().anonymous()?;
    /// let sensor = store.key("sensor/1")?;
    /// sensor.set("21.5")?;
    /// assert!(sensor.changed()?);
    /// assert!(!sensor.changed()?);
    /// assert_eq!(sensor.get_vec()?.as_deref(), Some(&b"21.5"[..]));
    /// # Ok::<(), splinter::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`crate::Error::KeyTooLong`], [`crate::Error::KeyInvalid`], [`crate::Error::Corrupt`].
    pub fn key(&self, key: impl AsRef<[u8]>) -> Result<KeyHandle<&Self>> {
        KeyHandle::new(self, key)
    }
}

impl<S: AsRef<Store>> KeyHandle<S> {
    /// [`Store::key`] with a store that is owned, or shared by `Arc`.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn new(store: S, key: impl AsRef<[u8]>) -> Result<Self> {
        let region = store.as_ref().region();
        let key = region.key(key.as_ref())?.bytes();
        let handle = Self {
            hash: region.hash(key),
            key: key.into(),
            store,
            // No slot has this number.
            slot: AtomicU32::new(u32::MAX),
            seen: AtomicU64::new(0),
        };
        handle.changed()?;
        Ok(handle)
    }

    #[inline]
    fn target(&self) -> Target<'_> {
        Target::with_hint(&self.key, self.hash, &self.slot)
    }

    /// The store.
    pub fn store(&self) -> &Store {
        self.store.as_ref()
    }

    /// What it was made with: the store, or what shares it.
    pub fn owner(&self) -> &S {
        &self.store
    }

    /// The key.
    pub fn name(&self) -> &[u8] {
        &self.key
    }

    /// Whether the key has changed since this was asked last, or since the handle was made: written, deleted, inserted.
    ///
    /// # Errors
    ///
    /// As for [`Store::get`].
    #[inline]
    pub fn changed(&self) -> Result<bool> {
        let now = self.epoch()?.map_or(0, |epoch| epoch & !1);
        // Relaxed: it orders nothing; whoever reads the value afterwards looks at the slot anew.
        Ok(self.seen.swap(now, Ordering::Relaxed) != now)
    }

    /// [`Store::get`].
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn get(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.store().get_at(&self.target(), buffer)
    }

    /// [`Store::get_vec`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get_vec(&self) -> Result<Option<Vec<u8>>> {
        self.store().get_vec_at(&self.target())
    }

    /// [`Store::get_entry`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get_entry(&self) -> Result<Option<Versioned>> {
        self.store().get_entry_at(&self.target())
    }

    /// [`Store::get_with`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get_with<T>(&self, look: impl FnMut(&[AtomicU8]) -> T) -> Result<Option<T>> {
        self.store().get_with_at(&self.target(), look)
    }

    /// [`Store::contains`].
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn exists(&self) -> Result<bool> {
        Ok(self.store().read(&self.target(), |_| Ok(()))?.is_some())
    }

    /// [`Store::epoch`].
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn epoch(&self) -> Result<Option<u64>> {
        self.store().read(&self.target(), |view| Ok(view.ctl.epoch()))
    }

    /// [`Store::set`].
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn set(&self, value: impl AsRef<[u8]>) -> Result<u64> {
        self.store().set_at(&self.target(), value.as_ref())
    }

    /// [`Store::set_with`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_with(&self, value: impl AsRef<[u8]>, options: &SetOptions) -> Result<Outcome> {
        self.store().set_with_at(&self.target(), value.as_ref(), options)
    }

    /// [`Store::unset`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn unset(&self) -> Result<Option<usize>> {
        self.store().unset_at(&self.target())
    }

    /// [`Store::append`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn append(&self, bytes: impl AsRef<[u8]>) -> Result<usize> {
        self.store().append_at(&self.target(), bytes.as_ref())
    }

    /// [`Store::apply`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn apply<T: Integer>(&self, operation: Operation<T>) -> Result<T> {
        self.store().apply_to(&self.target(), operation)
    }

    /// [`Store::update`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn update(&self, change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>) -> Result<Option<u64>> {
        self.store().update_at(&self.target(), change)
    }

    /// [`Store::expire`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn expire(&self, ttl: Duration) -> Result<bool> {
        self.store().expire_at(&self.target(), ttl)
    }

    /// [`Store::ttl`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn ttl(&self) -> Result<Option<TimeToLive>> {
        self.store().ttl_at(&self.target())
    }

    /// [`Store::poll`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll(&self, timeout: Duration) -> Result<bool> {
        self.store().poll(&self.key, timeout)
    }
}

impl<S: AsRef<Store>> fmt::Debug for KeyHandle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyHandle")
            .field("key", &String::from_utf8_lossy(&self.key))
            .finish_non_exhaustive()
    }
}
