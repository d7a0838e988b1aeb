//! What commands find out, before it is put into words.

use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::Value;
use splinter::{Change, CheckReport, Entry, Event, HeaderSnapshot, RepairReport, SlotSnapshot};

/// One result of a command.
#[derive(Debug)]
pub(crate) enum Answer {
    Created(Created),
    Connected(PathBuf),
    Stored {
        key: String,
        epoch: u64,
    },
    Value {
        key: String,
        value: Vec<u8>,
    },
    Head {
        key: String,
        slot: SlotSnapshot,
    },
    Deleted {
        key: String,
        value_bytes: usize,
    },
    Listing(Vec<Entry>),
    /// The start of an export: an [`Answer::ExportedKey`] for each key and an [`Answer::ExportEnd`] follow.
    ExportStart {
        slots: u32,
        keys: usize,
    },
    ExportedKey {
        entry: Entry,
        value: Option<Vec<u8>>,
    },
    ExportEnd,
    Imported {
        keys: u64,
    },
    Saved(PathBuf),
    Removed(PathBuf),
    Purged {
        slots: u32,
    },
    Checked(CheckReport),
    Repaired(RepairReport),
    Header(HeaderSnapshot),
    AutoVacuum {
        on: bool,
        /// Whether it was just set.
        is_new: bool,
    },
    /// What a watch saw; with the key if there can be several.
    Event {
        event: Event,
        with_key: bool,
    },
    /// An item of the feed, and when it was seen if that matters.
    Change {
        change: Change,
        time: Option<SystemTime>,
    },
    Rates(Rates),
    /// Lines of the history with their numbers.
    History(Vec<(usize, String)>),
    /// Help, and what of it is for programs.
    Help {
        text: String,
        about: Value,
    },
    /// The directory that manual pages were written into.
    Pages(PathBuf),
    /// Something that is printed as it is.
    Text(String),
    Clear,
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
