//! Going through the keys.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::pattern::begins_with;
use crate::store::Store;
use crate::sync::Ordering;
use crate::value_type::ValueType;

/// A key, as [`Store::list`] yields it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Its epoch.
    pub epoch: u64,
    /// Length of its value in bytes.
    pub value_bytes: usize,
    /// What its value is.
    pub value_type: ValueType,
    /// Its labels, one bit each.
    pub labels: u64,
}

/// A place in a scan, at which another scan can go on. `Cursor::default()` is the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    /// Inserts that the store had seen when the scan began, plus one; 0 before it began.
    pub births: u64,
    /// The slot to look at next.
    pub next: u64,
}

/// Entries of a store, in no particular order: see [`Store::list`].
#[derive(Debug)]
pub struct Entries<'a> {
    store: &'a Store,
    prefix: Vec<u8>,
    labels: u64,
    cursor: Cursor,
    key: Vec<u8>,
}

/// Keys of a store, in no particular order: see [`Store::keys`].
#[derive(Debug)]
pub struct Keys<'a>(Entries<'a>);

impl Store {
    /// Goes through all keys with their epochs and the lengths of their values.
    ///
    /// A key that exists from the first step to the last is yielded exactly once, whatever others write meanwhile; one that
    /// is inserted or deleted meanwhile is yielded at most once. Memory is needed for one key at a time.
    ///
    /// # Errors
    ///
    /// Each step can fail as [`Store::get`] can.
    pub fn list(&self) -> Entries<'_> {
        self.list_with_prefix("")
    }

    /// [`Self::list`] of the keys that begin with `prefix`.
    pub fn list_with_prefix(&self, prefix: impl AsRef<[u8]>) -> Entries<'_> {
        self.list_from(Cursor::default(), prefix)
    }

    /// [`Self::list_with_prefix`] from where another scan stopped.
    pub fn list_from(&self, cursor: Cursor, prefix: impl AsRef<[u8]>) -> Entries<'_> {
        Entries {
            store: self,
            prefix: prefix.as_ref().to_vec(),
            labels: 0,
            cursor,
            key: Vec::new(),
        }
    }

    /// Goes through all keys, as [`Self::list`] does.
    pub fn keys(&self) -> Keys<'_> {
        Keys(self.list())
    }

    /// [`Self::keys`] of those that begin with `prefix`.
    pub fn keys_with_prefix(&self, prefix: impl AsRef<[u8]>) -> Keys<'_> {
        Keys(self.list_with_prefix(prefix))
    }
}

impl Entries<'_> {
    /// Only the keys that have all of these labels, one bit each.
    #[must_use]
    pub fn with_labels(self, labels: u64) -> Self {
        Self { labels, ..self }
    }

    /// Where the scan stands: before the entry that comes next.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let region = self.store.region();
        if self.cursor.births == 0 {
            // A key is stamped with the number of inserts before its own, so those of this scan have smaller stamps.
            self.cursor.births = region.header().births.load(Ordering::Relaxed).saturating_add(1);
        }
        while let Some(slot) = u32::try_from(self.cursor.next)
            .ok()
            .and_then(|next| region.slot_index(next))
        {
            self.cursor.next += 1;
            let (key, prefix, births) = (&mut self.key, &self.prefix, self.cursor.births);
            let wanted = self.labels;
            let found = self.store.read_slot(slot, |view| {
                view.copy_key(key);
                let labels = view.labels();
                // A key that was deleted and inserted again since the scan began would be met twice.
                let is_of_this_scan = view.birth() < births - 1;
                let is_meant = is_of_this_scan && begins_with(key, prefix) && labels & wanted == wanted;
                let is_yielded = is_meant && !view.is_expired();
                Ok(is_yielded.then(|| (view.ctl.epoch(), view.value_bytes, view.value_type(), labels)))
            });
            let (epoch, value_bytes, value_type, labels) = match found {
                Ok(Some(Some(found))) => found,
                Ok(_) => continue,
                Err(error) => return Some(Err(error)),
            };
            return Some(
                region
                    .key(&self.key)
                    .ok()
                    .and_then(|key| String::from_utf8(key.bytes().to_vec()).ok())
                    .map(|key| Entry {
                        key,
                        epoch,
                        value_bytes,
                        value_type,
                        labels,
                    })
                    .ok_or(Error::Corrupt {
                        reason: "a slot holds what cannot be a key",
                    }),
            );
        }
        None
    }
}

impl Iterator for Keys<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map(|entry| entry.key))
    }
}
