//! Many keys at once: the memory of some is on its way while others are worked on.
//!
//! In a store that is larger than the caches, an operation on one key waits for memory three times: for the chunk of
//! the index, for the slot, for the value. Of a group of keys all chunks are asked for first, then all slots and values, so
//! that these waits overlap.

#![forbid(unsafe_code)]

use std::fmt;

use crate::error::{Error, Result};
use crate::key::Target;
use crate::store::Store;
use crate::write::Request;

/// Keys whose memory is asked for together: more than a processor can have under way would only push others out.
const GROUP: usize = 16;

/// Why [`Store::set_many`] stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchError {
    /// How many entries were written: those before the one that failed.
    pub done: usize,
    /// Why that one was not.
    pub error: Error,
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, after {} entries were written", self.error, self.done)
    }
}

impl std::error::Error for BatchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<BatchError> for Error {
    fn from(batch: BatchError) -> Self {
        batch.error
    }
}

impl Store {
    /// Returns copies of the values of many keys, in their order; `None` for each that does not exist.
    ///
    /// Each value is one whole value; together they may be of different moments.
    ///
    /// # Errors
    ///
    /// As for [`Self::get_vec`].
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut values = Vec::with_capacity(keys.len());
        self.each_of_many(keys, |target| {
            values.push(self.get_vec_at(target)?);
            Ok(())
        })?;
        Ok(values)
    }

    /// Fills `buffer` with records of many keys, in their order: four bytes that are the caller's, and the value. `head` is called
    /// for each with those four bytes and the length of its value, or `None` if it does not exist. Returns how many
    /// records there are: less than there are keys if the buffer had no room for more.
    ///
    /// # Errors
    ///
    /// As for [`Self::get`].
    pub fn get_many_records<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        buffer: &mut [u8],
        mut head: impl FnMut(&mut [u8; 4], Option<usize>),
    ) -> Result<usize> {
        let mut records = 0;
        let mut rest = Some(buffer);
        self.each_of_many(keys, |target| {
            let Some((record, room)) = rest.take().and_then(<[u8]>::split_first_chunk_mut) else {
                return Ok(());
            };
            let found = self.get_at(target, room)?;
            // Without room for the value this was the last.
            if let Some((_, left)) = room.split_at_mut_checked(found.unwrap_or(0)) {
                head(record, found);
                records += 1;
                rest = Some(left);
            }
            Ok(())
        })?;
        Ok(records)
    }

    /// Stores many values, each as [`Self::set`] does, in their order.
    ///
    /// Each is stored whole; all together are not one step: others see some before the rest, and an error leaves those
    /// before it stored.
    ///
    /// # Errors
    ///
    /// As for [`Self::set`], with how many were stored.
    pub fn set_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(&self, entries: &[(K, V)]) -> std::result::Result<(), BatchError> {
        let mut done = 0;
        let keys: Vec<&[u8]> = entries.iter().map(|(key, _)| key.as_ref()).collect();
        let written = self.each_of_many(&keys, |target| {
            let value = entries[done].1.as_ref();
            self.told(self.writer()?.write(target, &Request::set(value)))?;
            done += 1;
            Ok(())
        });
        // All of them by one sync, those before one that failed too.
        let committed = if done > 0 { self.committed(Ok(())) } else { Ok(()) };
        written.and(committed).map_err(|error| BatchError { done, error })
    }

    /// Does something with each key, having its memory fetched together with that of its neighbours.
    fn each_of_many<K: AsRef<[u8]>>(&self, keys: &[K], mut each: impl FnMut(&Target<'_>) -> Result<()>) -> Result<()> {
        let region = self.region();
        for group in keys.chunks(GROUP) {
            let mut targets = [const { None }; GROUP];
            for (target, key) in targets.iter_mut().zip(group) {
                let new = self.target(key.as_ref());
                region.prefetch_chunk(new.hash);
                *target = Some(new);
            }
            for target in targets.iter().flatten() {
                region.candidates(target.hash, |slot| region.prefetch_slot(slot));
            }
            for target in targets.iter().flatten() {
                each(target)?;
            }
        }
        Ok(())
    }
}
