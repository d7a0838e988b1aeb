//! Writes that depend on what is there, and what else a write can be asked.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::error::Result;
use crate::expiry;
use crate::store::Store;
use crate::value_type::ValueType;
use crate::write::{Content, Deadline, Request, TypeChange};

/// What a conditional write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "the write may not have happened"]
pub enum Outcome {
    /// It was done.
    Written {
        /// The key's epoch after it.
        epoch: u64,
    },
    /// The condition did not hold, and nothing was changed.
    NotMet {
        /// The key's epoch then; `None` if there was no such key.
        found: Option<u64>,
    },
}

impl Outcome {
    /// Whether it was done.
    pub fn is_written(self) -> bool {
        matches!(self, Self::Written { .. })
    }
}

/// What must be there for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Condition {
    #[default]
    Always,
    Absent,
    Present,
    /// A certain version of the key; 0: no such key.
    Epoch(u64),
}

impl Condition {
    /// Whether it holds for a key of this epoch, or for none.
    #[inline]
    pub(crate) fn holds(self, found: Option<u64>) -> bool {
        match self {
            Self::Always => true,
            Self::Absent | Self::Epoch(0) => found.is_none(),
            Self::Present => found.is_some(),
            // An epoch that was read during a write is that of the value before it.
            Self::Epoch(epoch) => found.is_some_and(|found| found >> 1 == epoch >> 1),
        }
    }
}

/// How to set a key: see [`Store::set_with`].
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct SetOptions {
    condition: Condition,
    ttl: Ttl,
    value_type: Option<ValueType>,
}

/// What becomes of a key's deadline.
#[derive(Debug, Clone, Copy, Default)]
enum Ttl {
    #[default]
    None,
    Keep,
    Of(Duration),
}

impl SetOptions {
    /// Sets the key whatever is there, for ever, and leaves its type as it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only if the key does not exist. Of the three conditions the last one that was named counts.
    pub fn if_absent(self) -> Self {
        Self {
            condition: Condition::Absent,
            ..self
        }
    }

    /// Only if the key exists.
    pub fn if_present(self) -> Self {
        Self {
            condition: Condition::Present,
            ..self
        }
    }

    /// Only if the key has this epoch, so that nobody has changed it since it was read; 0: only if it does not exist.
    pub fn if_epoch(self, epoch: u64) -> Self {
        Self {
            condition: Condition::Epoch(epoch),
            ..self
        }
    }

    /// The key is to be gone after this time, which must not be zero: see [`Store::expire`].
    pub fn ttl(self, ttl: Duration) -> Self {
        Self {
            ttl: Ttl::Of(ttl),
            ..self
        }
    }

    /// The key keeps the deadline that it has. Without this and [`Self::ttl`] it loses it.
    pub fn keep_ttl(self) -> Self {
        Self { ttl: Ttl::Keep, ..self }
    }

    /// What the value is. Without it a key keeps its type, and a new one is [`ValueType::Void`].
    pub fn value_type(self, value_type: ValueType) -> Self {
        Self {
            value_type: Some(value_type),
            ..self
        }
    }

    pub(crate) fn request<'a>(&self, value: &'a [u8]) -> Result<Request<'a>> {
        Ok(Request {
            content: Content::Value(value),
            condition: self.condition,
            deadline: match self.ttl {
                Ttl::None => Deadline::Never,
                Ttl::Keep => Deadline::Keep,
                Ttl::Of(ttl) => Deadline::At(expiry::deadline_in(ttl)?),
            },
            value_type: match self.value_type {
                Some(value_type) => TypeChange::Set(value_type),
                None => TypeChange::Keep {
                    initial: ValueType::Void,
                },
            },
            sequence_min: 0,
        })
    }
}

/// A value with what belongs to it, all of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Versioned {
    /// The value.
    pub value: Vec<u8>,
    /// Its epoch: for [`SetOptions::if_epoch`].
    pub epoch: u64,
    /// Its type.
    pub value_type: ValueType,
}

/// What belongs to a value that was copied to a buffer: see [`Store::get_version`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Version {
    /// Length of the value in bytes.
    pub value_bytes: usize,
    /// Its epoch: for [`SetOptions::if_epoch`].
    pub epoch: u64,
    /// Its type.
    pub value_type: ValueType,
}

impl Store {
    /// Replaces a value by what `change` makes of it, as one step: if others write in between, `change` is called again with
    /// what they have left. It gets `None` if there is no such key, and gives `None` to leave things as they are. Returns the
    /// new epoch, if there is one.
    ///
    /// The key keeps its deadline, type and labels.
    ///
    /// ```
    /// # let store = splinter::OpenOptions::new().anonymous()?;
    /// store.update("list", |old| Some([old.unwrap_or_default(), b"x"].concat()))?;
    /// assert_eq!(store.get_vec("list")?.as_deref(), Some(&b"x"[..]));
    /// # Ok::<(), splinter::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`Self::get_vec`] and [`Self::set`]; [`crate::Error::Busy`] if others were faster for as long as the lock timeout.
    pub fn update(
        &self,
        key: impl AsRef<[u8]>,
        change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<Option<u64>> {
        self.update_at(&self.target(key.as_ref()), change)
    }
}
