//! A part of a store: the keys that begin alike, named by what comes behind.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::condition::{Outcome, SetOptions, Versioned};
use crate::error::Result;
use crate::expiry::TimeToLive;
use crate::integer::{Integer, Operation};
use crate::key_handle::KeyHandle;
use crate::scan::Entry;
use crate::store::{SlotSnapshot, Store};
use crate::sync::AtomicU8;

/// The keys of a store that begin with a prefix, under their names without it: see [`Store::namespace`].
///
/// A namespace is a manner of speaking: the store knows nothing of it, and a key can be reached by its full name too.
#[derive(Debug, Clone)]
pub struct Namespace<'a> {
    store: &'a Store,
    prefix: String,
}

impl Store {
    /// The keys that begin with `prefix`, named by what comes behind it.
    ///
    /// ```
    /// # let store = splinter::OpenOptions::new().anonymous()?;
    /// let demo = store.namespace("demo::");
    /// demo.set("a", "1")?;
    /// assert_eq!(store.get_vec("demo::a")?.as_deref(), Some(&b"1"[..]));
    /// assert_eq!(demo.list().next().unwrap()?.key, "a");
    /// # Ok::<(), splinter::Error>(())
    /// ```
    pub fn namespace(&self, prefix: impl Into<String>) -> Namespace<'_> {
        Namespace {
            store: self,
            prefix: prefix.into(),
        }
    }
}

impl<'a> Namespace<'a> {
    /// The prefix.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The full name of a key.
    pub fn full(&self, key: impl AsRef<[u8]>) -> Vec<u8> {
        [self.prefix.as_bytes(), key.as_ref()].concat()
    }

    /// The keys that begin with both prefixes.
    #[must_use]
    pub fn namespace(&self, prefix: &str) -> Self {
        Self {
            store: self.store,
            prefix: format!("{}{prefix}", self.prefix),
        }
    }

    /// [`Store::key`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn key(&self, key: impl AsRef<[u8]>) -> Result<KeyHandle<&'a Store>> {
        self.store.key(self.full(key))
    }

    /// [`Store::list`] of these keys, under their names here.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn list(&self) -> impl Iterator<Item = Result<Entry>> {
        self.store.list_with_prefix(&self.prefix).map(|entry| {
            entry.map(|entry| Entry {
                key: entry.key[self.prefix.len()..].to_string(),
                ..entry
            })
        })
    }

    /// [`Store::get_many`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Vec<u8>>>> {
        let keys: Vec<_> = keys.iter().map(|key| self.full(key)).collect();
        self.store.get_many(&keys)
    }

    /// [`Store::get`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get(&self, key: impl AsRef<[u8]>, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.store.get(self.full(key), buffer)
    }

    /// [`Store::get_vec`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get_vec(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        self.store.get_vec(self.full(key))
    }

    /// [`Store::get_entry`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get_entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Versioned>> {
        self.store.get_entry(self.full(key))
    }

    /// [`Store::get_with`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get_with<T>(&self, key: impl AsRef<[u8]>, look: impl FnMut(&[AtomicU8]) -> T) -> Result<Option<T>> {
        self.store.get_with(self.full(key), look)
    }

    /// [`Store::contains`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.store.contains(self.full(key))
    }

    /// [`Store::epoch`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn epoch(&self, key: impl AsRef<[u8]>) -> Result<Option<u64>> {
        self.store.epoch(self.full(key))
    }

    /// [`Store::slot_snapshot`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn slot_snapshot(&self, key: impl AsRef<[u8]>) -> Result<Option<SlotSnapshot>> {
        self.store.slot_snapshot(self.full(key))
    }

    /// [`Store::set`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<u64> {
        self.store.set(self.full(key), value)
    }

    /// [`Store::try_set`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<u64> {
        self.store.try_set(self.full(key), value)
    }

    /// [`Store::set_with`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_with(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, options: &SetOptions) -> Result<Outcome> {
        self.store.set_with(self.full(key), value, options)
    }

    /// [`Store::unset`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn unset(&self, key: impl AsRef<[u8]>) -> Result<Option<usize>> {
        self.store.unset(self.full(key))
    }

    /// [`Store::try_unset`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_unset(&self, key: impl AsRef<[u8]>) -> Result<Option<usize>> {
        self.store.try_unset(self.full(key))
    }

    /// [`Store::unset_if_epoch`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn unset_if_epoch(&self, key: impl AsRef<[u8]>, epoch: u64) -> Result<Outcome> {
        self.store.unset_if_epoch(self.full(key), epoch)
    }

    /// [`Store::append`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn append(&self, key: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Result<usize> {
        self.store.append(self.full(key), bytes)
    }

    /// [`Store::apply`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn apply<T: Integer>(&self, key: impl AsRef<[u8]>, operation: Operation<T>) -> Result<T> {
        self.store.apply(self.full(key), operation)
    }

    /// [`Store::update`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn update(
        &self,
        key: impl AsRef<[u8]>,
        change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<Option<u64>> {
        self.store.update(self.full(key), change)
    }

    /// [`Store::expire`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn expire(&self, key: impl AsRef<[u8]>, ttl: Duration) -> Result<bool> {
        self.store.expire(self.full(key), ttl)
    }

    /// [`Store::persist`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn persist(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.store.persist(self.full(key))
    }

    /// [`Store::ttl`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn ttl(&self, key: impl AsRef<[u8]>) -> Result<Option<TimeToLive>> {
        self.store.ttl(self.full(key))
    }

    /// [`Store::labels`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn labels(&self, key: impl AsRef<[u8]>) -> Result<Option<u64>> {
        self.store.labels(self.full(key))
    }

    /// [`Store::label`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn label(&self, key: impl AsRef<[u8]>, add: u64, remove: u64) -> Result<Option<u64>> {
        self.store.label(self.full(key), add, remove)
    }

    /// [`Store::pin`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn pin(&self, key: impl AsRef<[u8]>, pinned: bool) -> Result<bool> {
        self.store.pin(self.full(key), pinned)
    }

    /// [`Store::poll`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll(&self, key: impl AsRef<[u8]>, timeout: Duration) -> Result<bool> {
        self.store.poll(self.full(key), timeout)
    }

    /// [`Store::poll_since`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_since(&self, key: impl AsRef<[u8]>, epoch: u64, timeout: Duration) -> Result<bool> {
        self.store.poll_since(self.full(key), epoch, timeout)
    }
}
