//! A message bus and key-value store in shared memory, for the processes of one machine.
//!
//! A store is a region of memory that any number of processes map: a file ([`OpenOptions::open`]), shared memory by name
//! ([`OpenOptions::memory`]), or memory without a name ([`OpenOptions::anonymous`]). There is no server: the region is the
//! interface. [`Store`] has the operations and what they guarantee.
//!
//! Reading the source, in this order: `layout` declares every shared byte; `slot` has the state of one slot and when a
//! read is whole; `write` has the steps of a change; `index` finds keys; `lock` and `handles` tell who owns what and
//! whether they live; `repair` finishes what the dead left; `journal` and `wait` tell others; `directory` finds the key of a
//! journal's entry, on which `watch` and `changes` build, and `selector` runs both on a thread. `region`, `copy`, `simd`, `sys`
//! and `guard` are the only files with `unsafe` code. `machine` stands in for the real one under model checkers.

#[cfg(not(all(target_os = "linux", target_endian = "little", target_pointer_width = "64")))]
compile_error!(
    "Splinter needs 64-bit little-endian Linux: futexes, file-description locks, and its format's byte order"
);

mod background;
mod backup;
mod batch;
mod changes;
mod check;
mod checkpoint;
mod condition;
mod copy;
mod create;
mod directory;
mod error;
mod evict;
mod expiry;
mod guard;
mod handles;
mod index;
mod integer;
mod journal;
mod key;
mod key_handle;
mod labels;
mod layout;
mod lock;
#[cfg(any(loom, shuttle))]
mod machine;
mod namespace;
mod options;
mod pattern;
mod purge;
mod read;
mod region;
mod repair;
mod scan;
mod selector;
mod simd;
mod slot;
mod store;
mod sync;
mod sys;
mod value_type;
mod view;
mod wait;
mod watch;
mod write;

pub use batch::BatchError;
pub use changes::{Change, Changes};
pub use check::{CellFault, CheckReport, Finding, RepairReport};
pub use checkpoint::{Durability, Recovery, Syncer};
pub use condition::{Outcome, SetOptions, Version, Versioned};
pub use error::{Error, ErrorCode, Result};
pub use evict::Eviction;
pub use expiry::TimeToLive;
pub use handles::Attached;
pub use integer::{Integer, Operation};
pub use key_handle::KeyHandle;
pub use labels::LABEL_BYTES_MAX;
pub use layout::{
    Geometry, JOURNAL_ENTRIES_MAX, JOURNAL_ENTRIES_MIN, KEY_BYTES_DEFAULT, KEY_BYTES_MAX, LABELS, SLOTS_DEFAULT,
    SLOTS_MAX, SLOTS_MIN, VALUE_BYTES_DEFAULT, VALUE_BYTES_MAX,
};
pub use namespace::Namespace;
pub use options::OpenOptions;
pub use pattern::Pattern;
pub use scan::{Cursor, Entries, Entry, Keys};
pub use selector::Selector;
pub use store::{HeaderSnapshot, SlotSnapshot, Store};
pub use value_type::ValueType;
pub use view::{Stamp, ValueView};
pub use watch::{Event, EventKind, WatchOptions, Watcher};
