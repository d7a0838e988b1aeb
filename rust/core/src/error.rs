//! Everything that can go wrong, with numbers that mean the same in Rust, C and TypeScript.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation failed. Nothing was changed by it unless the variant says so.
///
/// That a key does not exist is a result (`None`, `false`), not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// What was opened is not a store.
    NotAStore {
        /// What it is instead.
        reason: &'static str,
    },
    /// A store of another format version, build or geometry than was asked for.
    Incompatible {
        /// What the store has.
        reason: Cow<'static, str>,
    },
    /// A store whose bytes contradict themselves, or whose file was cut while it was open.
    Corrupt {
        /// Which contradiction was found.
        reason: &'static str,
    },
    /// The store to be created exists already.
    Exists,
    /// There is no store of this name.
    NoSuchStore,
    /// The operating system, or the way in which the store was opened, does not allow it.
    Permission {
        /// What was not allowed.
        action: &'static str,
    },
    /// Every slot holds a key.
    Full {
        /// How many slots there are.
        slots: u32,
    },
    /// A key longer than this store's keys can be.
    KeyTooLong {
        /// Length of the key in bytes.
        bytes: usize,
        /// Longest key of this store in bytes.
        max: usize,
    },
    /// A key that is empty, contains NUL, or is not UTF-8.
    KeyInvalid {
        /// Which of these it is.
        reason: &'static str,
    },
    /// A value longer than this store's values can be.
    ValueTooLarge {
        /// Length of the value in bytes.
        bytes: usize,
        /// Longest value of this store in bytes.
        max: usize,
    },
    /// Another process was changing the same thing for longer than the lock timeout, or at all for a `try_` function.
    Busy {
        /// What was in use.
        what: &'static str,
    },
    /// A wait ended without what was waited for.
    Timeout,
    /// The handle is closed.
    Closed,
    /// An argument outside its limits.
    InvalidArgument {
        /// Which argument, and its limits.
        reason: Cow<'static, str>,
    },
    /// The value is not of the type that the operation needs.
    WrongType,
    /// The condition of a conditional write does not hold.
    ConditionNotMet,
    /// The number would be beyond what 64 bits hold.
    Overflow,
    /// A reader of the journal was overtaken by it.
    FellBehind {
        /// Changes that are gone.
        lost: u64,
    },
    /// The disk, or the memory for shared memory, is full.
    NoSpace,
    /// The operating system failed in another way.
    Io {
        /// What was tried.
        action: &'static str,
        /// The system's error number.
        errno: i32,
    },
    /// A fault of this library: please report it.
    Internal {
        /// What was found.
        reason: &'static str,
    },
}

/// The numbers of [`Error`]s, which never change and are never used again. 1 means "no such key" where results are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum ErrorCode {
    /// [`Error::NotAStore`]
    NotAStore = 2,
    /// [`Error::Incompatible`]
    Incompatible = 3,
    /// [`Error::Corrupt`]
    Corrupt = 4,
    /// [`Error::Exists`]
    Exists = 5,
    /// [`Error::NoSuchStore`]
    NoSuchStore = 6,
    /// [`Error::Permission`]
    Permission = 7,
    /// [`Error::Full`]
    Full = 8,
    /// [`Error::KeyTooLong`]
    KeyTooLong = 9,
    /// [`Error::KeyInvalid`]
    KeyInvalid = 10,
    /// [`Error::ValueTooLarge`]
    ValueTooLarge = 11,
    /// [`Error::Busy`]
    Busy = 12,
    /// [`Error::Timeout`]
    Timeout = 13,
    /// [`Error::Closed`]
    Closed = 14,
    /// [`Error::InvalidArgument`]
    InvalidArgument = 15,
    /// [`Error::WrongType`]
    WrongType = 16,
    /// [`Error::ConditionNotMet`]
    ConditionNotMet = 17,
    /// [`Error::FellBehind`]
    FellBehind = 18,
    /// [`Error::NoSpace`]
    NoSpace = 19,
    /// [`Error::Io`]
    Io = 20,
    /// [`Error::Internal`]
    Internal = 21,
    /// [`Error::Overflow`]
    Overflow = 22,
}

impl Error {
    /// The number of this error.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotAStore { .. } => ErrorCode::NotAStore,
            Self::Incompatible { .. } => ErrorCode::Incompatible,
            Self::Corrupt { .. } => ErrorCode::Corrupt,
            Self::Exists => ErrorCode::Exists,
            Self::NoSuchStore => ErrorCode::NoSuchStore,
            Self::Permission { .. } => ErrorCode::Permission,
            Self::Full { .. } => ErrorCode::Full,
            Self::KeyTooLong { .. } => ErrorCode::KeyTooLong,
            Self::KeyInvalid { .. } => ErrorCode::KeyInvalid,
            Self::ValueTooLarge { .. } => ErrorCode::ValueTooLarge,
            Self::Busy { .. } => ErrorCode::Busy,
            Self::Timeout => ErrorCode::Timeout,
            Self::Closed => ErrorCode::Closed,
            Self::InvalidArgument { .. } => ErrorCode::InvalidArgument,
            Self::WrongType => ErrorCode::WrongType,
            Self::ConditionNotMet => ErrorCode::ConditionNotMet,
            Self::Overflow => ErrorCode::Overflow,
            Self::FellBehind { .. } => ErrorCode::FellBehind,
            Self::NoSpace => ErrorCode::NoSpace,
            Self::Io { .. } => ErrorCode::Io,
            Self::Internal { .. } => ErrorCode::Internal,
        }
    }

    /// The operating system's error number of [`Error::Io`].
    pub fn os_error(&self) -> Option<i32> {
        match self {
            Self::Io { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// What a failed system call means to the caller.
    pub(crate) fn from_os(action: &'static str, error: &std::io::Error) -> Self {
        match error.raw_os_error().unwrap_or(0) {
            libc::ENOENT | libc::ENOTDIR => Self::NoSuchStore,
            libc::EEXIST => Self::Exists,
            libc::EACCES | libc::EPERM | libc::EROFS => Self::Permission { action },
            libc::ENOSPC | libc::EDQUOT => Self::NoSpace,
            libc::ENAMETOOLONG => Self::InvalidArgument {
                reason: "the path, or a name in it, is too long".into(),
            },
            errno => Self::Io { action, errno },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAStore { reason } => write!(f, "Not a store: {reason}"),
            Self::Incompatible { reason } => write!(f, "Incompatible: {reason}"),
            Self::Corrupt { reason } => write!(f, "Corrupt store: {reason}"),
            Self::Exists => f.write_str("The store exists already"),
            Self::NoSuchStore => f.write_str("There is no such store"),
            Self::Permission { action } => write!(f, "Permission denied: {action}"),
            Self::Full { slots } => write!(f, "The store is full: all {slots} slots hold keys"),
            Self::KeyTooLong { bytes, max } => {
                write!(f, "The key has {bytes} bytes, this store's keys at most {max}")
            }
            Self::KeyInvalid { reason } => write!(f, "Invalid key: {reason}"),
            Self::ValueTooLarge { bytes, max } => {
                write!(f, "The value has {bytes} bytes, this store's values at most {max}")
            }
            Self::Busy { what } => write!(f, "Busy: {what}"),
            Self::Timeout => f.write_str("Timed out"),
            Self::Closed => f.write_str("The store is closed"),
            Self::InvalidArgument { reason } => write!(f, "Invalid argument: {reason}"),
            Self::WrongType => f.write_str("The value is not of the needed type"),
            Self::ConditionNotMet => f.write_str("The condition is not met"),
            Self::Overflow => f.write_str("The number would overflow"),
            Self::FellBehind { lost } => write!(f, "Fell behind the journal by {lost} changes"),
            Self::NoSpace => f.write_str("No space left for the store"),
            Self::Io { action, errno } => {
                write!(f, "Could not {action}: {}", std::io::Error::from_raw_os_error(*errno))
            }
            Self::Internal { reason } => write!(f, "Internal fault, please report it: {reason}"),
        }
    }
}

impl std::error::Error for Error {}
