//! Keys at the border: UTF-8 without NUL, one byte to the store's longest key.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};

/// A key that was checked against the rules and a store's limit.
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
