//! Why a command failed: the exit code for programs, and a line for people that says what to do.

use std::fmt;
use std::io::{self, Write};

use splinter::Error;

use crate::escape;
use crate::signals::nobody_reads;

/// What a program ends with. The numbers never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Usage = 1,
    NotConnected = 2,
    NoSuchKey = 3,
    Full = 4,
    TooLarge = 5,
    Busy = 6,
    TimedOut = 7,
    NotAStore = 8,
    Permission = 9,
    Exists = 10,
    ConditionNotMet = 11,
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What is told, and how the program ends.
    Told { code: Code, message: String },
    /// Whoever read the output has gone: there is nobody to tell.
    NobodyReads,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self::Told {
            code,
            message: message.into(),
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    /// What the failure of an operation on a file that is no store means.
    pub(crate) fn of_file(action: &str, path: &std::path::Path, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied => Code::Permission,
            io::ErrorKind::AlreadyExists => Code::Exists,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::Full,
            _ => Code::Usage,
        };
        Self::new(code, format!("could not {action} \"{}\": {error}", path.display()))
    }
}

/// What a store's error means to whoever typed a command.
pub(crate) fn code_of(error: &Error) -> Code {
    match error {
        Error::NotAStore { .. } | Error::Incompatible { .. } | Error::Corrupt { .. } => Code::NotAStore,
        Error::Exists => Code::Exists,
        Error::NoSuchStore | Error::Closed => Code::NotConnected,
        Error::Permission { .. } => Code::Permission,
        Error::Full { .. } | Error::NoSpace => Code::Full,
        Error::KeyTooLong { .. } | Error::ValueTooLarge { .. } => Code::TooLarge,
        Error::Busy { .. } => Code::Busy,
        Error::Timeout => Code::TimedOut,
        Error::ConditionNotMet => Code::ConditionNotMet,
        // Among them failures of the operating system that have no number of their own.
        _ => Code::Usage,
    }
}

/// What can be done about it.
fn advice(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::NotAStore { .. } => "name another store, or remove what is there yourself",
        Error::Incompatible { .. } => "use the version of Splinter that made it",
        Error::Corrupt { .. } => "\"check\" tells more",
        Error::Exists => "choose another name",
        Error::NoSuchStore => "\"init\" creates one",
        Error::Permission { .. } => "ask its owner for the right",
        Error::Full { .. } => "unset keys, set \"config eviction\", or create a store with more slots",
        Error::KeyTooLong { .. } => "\"init --max-key\" makes a store for longer ones",
        Error::ValueTooLarge { .. } => "\"init --maxlen\" makes a store for longer ones",
        Error::Busy { .. } => "try again",
        Error::NoSpace => "make room",
        _ => return None,
    })
}

/// An error of the core within a line: its message, uncapitalised, and what can be done.
pub(crate) fn sentence(error: &Error) -> String {
    let message = error.to_string();
    let mut characters = message.chars();
    let first = characters.next().map(char::to_lowercase);
    let message = first.into_iter().flatten().chain(characters).collect::<String>();
    match advice(error) {
        Some(advice) => format!("{message}; {advice}"),
        None => message,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(code_of(&error), sentence(&error))
    }
}

/// Of writing the output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // A terminal that has gone fails otherwise than a pipe does.
        if error.kind() == io::ErrorKind::BrokenPipe || nobody_reads() {
            Self::NobodyReads
        } else {
            Self::usage(format!("could not write the output: {error}"))
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told { message, .. } => f.write_str(message),
            Self::NobodyReads => f.write_str("nobody reads the output"),
        }
    }
}

/// A line for people, which nobody has to read.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{}", escape::text(line));
}
