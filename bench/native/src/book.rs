//! What is common to all parts: where they work, and where their figures go.

use std::path::PathBuf;
use std::time::Instant;

use tempfile::TempDir;

use crate::document::{Better, Group, Outcome, Section, Skipped};
use crate::measure::Effort;
use crate::redis_server::Server;

pub struct Context {
    pub effort: Effort,
    /// In memory, so that no disk is in any figure. Gone at the end.
    pub root: PathBuf,
    pub redis: Option<Server>,
    pub start: Instant,
}

impl Context {
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.root.join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        path
    }

    /// One for something large, that is gone when it is no longer used.
    pub fn passing_directory(&self) -> TempDir {
        tempfile::tempdir_in(&self.root).expect("a directory")
    }

    pub fn progress(&self, what: &str) {
        eprintln!("{:4} s  {what}", self.start.elapsed().as_secs());
    }
}

pub struct Book {
    pub groups: Vec<Group>,
    pub skipped: Vec<Skipped>,
}

impl Book {
    pub fn new() -> Self {
        Self {
            groups: groups(),
            skipped: Vec::new(),
        }
    }

    pub fn add(&mut self, id: &str, results: Vec<Outcome>) {
        let group = self.groups.iter_mut().find(|group| group.id == id);
        group.expect("a group of that name").results.extend(results);
    }

    pub fn skip(&mut self, what: &str, why: String) {
        self.skipped.push(Skipped { what: what.into(), why });
    }
}

fn groups() -> Vec<Group> {
    use Better::{Less, More};
    use Section::{Memory, Operations, Sharing, Waking};
    let group = |id, section, title, unit, better, scale, notes: &[&'static str]| Group {
        id,
        section,
        title,
        unit,
        better,
        scale,
        notes: notes.to_vec(),
        results: Vec::new(),
    };
    const ARRAY: &str = crate::operations::ARRAY;
    vec![
        group(
            "get",
            Operations,
            "Get",
            "ns",
            Less,
            ARRAY,
            &["The value is copied into a buffer of the caller's."],
        ),
        group("miss", Operations, "Get of an absent key", "ns", Less, "HashMap", &[]),
        group(
            "set",
            Operations,
            "Set of a key that exists",
            "ns",
            Less,
            ARRAY,
            &["In sterile mode the bytes that were replaced are wiped."],
        ),
        group(
            "set-new",
            Operations,
            "Set of a new key",
            "ns",
            Less,
            "HashMap",
            &["Of up to 4,096 keys beside those that stay."],
        ),
        group(
            "unset",
            Operations,
            "Unset",
            "ns",
            Less,
            "HashMap",
            &["Of the keys that were just inserted."],
        ),
        group(
            "get-many",
            Operations,
            "Get of 64 keys at once, a key",
            "ns",
            Less,
            "HashMap",
            &["One transaction or one command for all, where there is such a thing."],
        ),
        group(
            "set-many",
            Operations,
            "Set of 64 keys at once, a key",
            "ns",
            Less,
            "HashMap",
            &["One transaction or one command for all, where there is such a thing."],
        ),
        group(
            "list",
            Operations,
            "List of all keys, a key",
            "ns",
            Less,
            "HashMap",
            &[],
        ),
        group(
            "handle-get",
            Operations,
            "Get by a handle that is held",
            "ns",
            Less,
            ARRAY,
            &[],
        ),
        group(
            "handle-set",
            Operations,
            "Set by a handle that is held",
            "ns",
            Less,
            ARRAY,
            &[],
        ),
        group(
            "full",
            Operations,
            "In a full store",
            "ns",
            Less,
            "get hit",
            &["Values of 64 bytes. Each store was filled to its last slot, and then keys at random were deleted."],
        ),
        group(
            "message",
            Operations,
            "A message of 64 bytes, sent and received",
            "ns",
            Less,
            "iceoryx2 publish-subscribe",
            &["By one process, so that nobody sleeps."],
        ),
        group(
            "many-watches",
            Operations,
            "A change beside watches that do not match",
            "ns",
            Less,
            "1 watch",
            &["From the first of many sets until a `Selector` has given the event of the last, for each set."],
        ),
        group(
            "hot-reader",
            Sharing,
            "Reader of one key",
            "M/s",
            More,
            "LMDB",
            &[
                "The writer writes the same key without a pause, in another process. Each value that is read is compared at its start, its middle and its end: a torn one, a miss or an error ends the run.",
            ],
        ),
        group(
            "hot-writer",
            Sharing,
            "Writer of one key, beside its reader",
            "M/s",
            More,
            "LMDB",
            &[],
        ),
        group(
            "spread-reader",
            Sharing,
            "Reader of 64,000 keys, 64 B",
            "M/s",
            More,
            "LMDB",
            &["p50, p99 and p99.9 are of single reads, in ns, each with two looks at the clock."],
        ),
        group(
            "spread-writer",
            Sharing,
            "Writer of 64,000 keys, 64 B, beside their reader",
            "M/s",
            More,
            "LMDB",
            &[],
        ),
        group(
            "writers",
            Sharing,
            "Several writers of 64,000 keys, 64 B, together",
            "M/s",
            More,
            "LMDB",
            &["More of them than there are processors share those."],
        ),
        group(
            "wake-one",
            Waking,
            "On one processor",
            "µs",
            Less,
            "futex",
            &["From before the change until the other process, which has long been asleep, goes on."],
        ),
        group(
            "wake-two",
            Waking,
            "On two processors",
            "µs",
            Less,
            "futex",
            &["From before the change until the other process, which has long been asleep, goes on."],
        ),
        group(
            "disk-bytes",
            Memory,
            "Bytes for each of the keys, values of 64 B",
            "bytes",
            Less,
            "key and value",
            &["What the store's files take up."],
        ),
        group(
            "resident",
            Memory,
            "Resident size after every key was read",
            "MiB",
            Less,
            "key and value",
            &["Of a process of its own, with all that it shares, less what it had before it opened the store."],
        ),
        group(
            "open",
            Memory,
            "Open of a store",
            "ms",
            Less,
            "LMDB",
            &["Until the first value was read."],
        ),
    ]
}
