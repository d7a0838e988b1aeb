//! What commands find out, before it is put into words.

use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::Value;
use splinter::{Change, CheckReport, Entry, Event, HeaderSnapshot, Recovery, RepairReport, SlotSnapshot, Versioned};

use crate::labels::Labels;

/// One result of a command.
#[derive(Debug)]
pub(crate) enum Answer {
    Created(Created),
    Connected(PathBuf),
    Value {
        key: String,
        entry: Versioned,
    },
    /// Values of several keys, as far as these exist.
    Values(Vec<(String, Option<Vec<u8>>)>),
    Head {
        key: String,
        slot: SlotSnapshot,
        /// As they are called.
        labels: Vec<String>,
    },
    Deleted {
        key: String,
        value_bytes: usize,
    },
    Listing {
        entries: Vec<Entry>,
        labels: Labels,
    },
    LongListing {
        slots: Vec<(String, SlotSnapshot)>,
        labels: Labels,
    },
    /// The labels that a key has, as they are called.
    Labelled {
        key: String,
        labels: Vec<String>,
    },
    LabelNames(Labels),
    /// The start of an export: an [`Answer::ExportedKey`] for each key and an [`Answer::ExportEnd`] follow.
    ExportStart {
        slots: u32,
        keys: usize,
        /// Names of labels, if keys are exported with them.
        labels: Labels,
    },
    ExportedKey {
        entry: Entry,
        /// The value and what belongs to it, if that is to be exported too.
        whole: Option<Box<(Versioned, SlotSnapshot)>>,
    },
    ExportEnd,
    Imported(Imported),
    Saved(PathBuf),
    Removed(PathBuf),
    Purged {
        slots: u32,
    },
    Checked {
        report: CheckReport,
        /// What was done when the store was opened for it.
        recovery: Option<Recovery>,
    },
    Repaired(RepairReport),
    Header(HeaderSnapshot),
    /// What a watch saw; with the key if there can be several, and with the place in the value if it can be a part.
    Event {
        event: Event,
        with_key: bool,
        with_offset: bool,
    },
    /// An item of the feed, and when it was seen if that matters.
    Change {
        change: Change,
        time: Option<SystemTime>,
    },
    Rates(Rates),
    /// Lines of the history with their numbers.
    History(Vec<(usize, String)>),
    /// What people are told, and what programs are.
    Told {
        text: String,
        about: Value,
    },
    /// The directory that manual pages were written into.
    Pages(PathBuf),
    /// Something that is printed as it is.
    Text(String),
    Clear,
}

impl Answer {
    /// One that people are not told.
    pub(crate) fn quiet(about: Value) -> Self {
        let text = String::new();
        Self::Told { text, about }
    }

    /// A line for people.
    pub(crate) fn line(text: impl Into<String>, about: Value) -> Self {
        let text = text.into() + "\n";
        Self::Told { text, about }
    }
}

/// What an import came to.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    pub(crate) keys: u64,
    /// Keys that were left out because their time is up.
    pub(crate) expired: u64,
}

/// A store that was created.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) store: PathBuf,
    /// Whether nothing was said about it, not even its name.
    pub(crate) is_default: bool,
    /// What was said about its geometry.
    pub(crate) slots: Option<u32>,
    pub(crate) maxlen: Option<u32>,
    pub(crate) header: HeaderSnapshot,
}

/// A line of `stat`.
#[derive(Debug)]
pub(crate) struct Rates {
    pub(crate) time: SystemTime,
    pub(crate) changes_per_second: f64,
    pub(crate) changes: u64,
    pub(crate) keys: u64,
    /// Of all keys, not only those behind the prefix.
    pub(crate) slots_used: u64,
    pub(crate) slots: u32,
    pub(crate) value_bytes: u64,
    /// Watches, feeds and polls of all handles that may write: those that only read are not counted.
    pub(crate) watches: u64,
    pub(crate) repairs: u64,
    /// Whether the columns are to be named first.
    pub(crate) with_heading: bool,
}
