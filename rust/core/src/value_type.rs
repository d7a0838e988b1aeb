//! What a value is, for those who show it or decode it.

#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// What the bytes of a value are. The store itself does not care, but for [`crate::Store::apply`], which names what it makes.
///
/// It belongs to the value: readers get it with the value that it was set with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
#[repr(u8)]
pub enum ValueType {
    /// Nothing was said.
    #[default]
    Void = 0,
    /// A signed 64-bit number, little-endian.
    BigInt = 1,
    /// An unsigned 64-bit number, little-endian.
    BigUint = 2,
    /// JSON in UTF-8.
    Json = 3,
    /// Bytes.
    Binary = 4,
    /// An image in some file format.
    Image = 5,
    /// Sound in some file format.
    Audio = 6,
    /// Text in UTF-8.
    Text = 7,
}

impl ValueType {
    /// All of them, by their numbers.
    pub const ALL: [Self; 8] = [
        Self::Void,
        Self::BigInt,
        Self::BigUint,
        Self::Json,
        Self::Binary,
        Self::Image,
        Self::Audio,
        Self::Text,
    ];

    /// The type of a number; [`Self::Void`] if there is none.
    pub fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or_default()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Void => "void",
            Self::BigInt => "bigint",
            Self::BigUint => "biguint",
            Self::Json => "json",
            Self::Binary => "binary",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Text => "text",
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ValueType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|value_type| value_type.name() == name)
            .ok_or_else(|| Error::InvalidArgument {
                reason: format!("there is no type \"{name}\"").into(),
            })
    }
}
