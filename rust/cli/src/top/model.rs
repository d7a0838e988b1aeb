//! What is known of the store, as far as its feed of changes tells.
//!
//! A changed key's size is read once a refresh, a value only if its line is on the screen.

use std::collections::{HashMap, HashSet};
use std::fs::{File, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use splinter::{Change, Changes, Error, Store};

use super::TICK;
use crate::escape;
use crate::failure::Failure;
use crate::signals::Interrupts;

/// How long changes are read before the screen and the keyboard are seen to again.
const READING: Duration = Duration::from_millis(50);
/// Longer values are not read for their first few characters.
const PREVIEW_BYTES_MAX: usize = 256 * 1024;
/// What of a value is made readable.
const PREVIEW_BYTES: usize = 512;

/// What is known about a key.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) epoch: u64,
    pub(super) bytes: usize,
    /// Writes since the last refresh.
    writes: u64,
    pub(super) per_second: f64,
    /// Whether its size may be another than it was.
    changed: bool,
    /// Start of the value, and the epoch at which it was read.
    preview: Option<(u64, String)>,
    /// The resynchronisation in which it was seen last.
    seen: u64,
}

/// The store, as far as it is told by its feed.
pub(super) struct Model<'a> {
    pub(super) store: &'a Store,
    changes: Changes<'a>,
    pub(super) keys: HashMap<Arc<str>, Known>,
    /// Keys that were written since the last refresh, or had been before it.
    lively: HashSet<Arc<str>>,
    /// Whether keys have come or gone since lines were arranged.
    is_rearranged: bool,
    /// Counts how often the feed had to begin anew, and whether it does now.
    resyncs: u64,
    is_resyncing: bool,
    pub(super) since: Instant,
    pub(super) writes: u64,
    pub(super) writes_per_second: f64,
    pub(super) handles: usize,
    /// Device and number of the store's file.
    identity: Option<(u64, u64)>,
    pub(super) is_removed: bool,
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl<'a> Model<'a> {
    pub(super) fn new(store: &'a Store) -> Result<Self, Failure> {
        // Before the list, so that nothing is missed between the two.
        let changes = store.changes()?;
        let mut keys = HashMap::new();
        for entry in store.list() {
            let entry = match entry {
                // If it is written all the time, the feed will tell.
                Err(Error::Corrupt { .. } | Error::Busy { .. }) => continue,
                entry => entry?,
            };
            let known = Known {
                epoch: entry.epoch & !1,
                bytes: entry.value_bytes,
                ..Known::default()
            };
            keys.insert(entry.key.into(), known);
        }
        let file = store.as_fd().try_clone_to_owned().map(File::from);
        Ok(Self {
            store,
            changes,
            keys,
            lively: HashSet::new(),
            is_rearranged: true,
            resyncs: 0,
            is_resyncing: false,
            since: Instant::now(),
            writes: store.header_snapshot()?.epoch,
            writes_per_second: 0.0,
            handles: store.attached()?.len(),
            identity: file.and_then(|file| file.metadata()).ok().as_ref().map(identity),
            is_removed: false,
        })
    }

    /// Follows the feed for some time.
    pub(super) fn follow(&mut self, time: Duration, interrupts: &Interrupts) -> Result<(), Failure> {
        let start = Instant::now();
        while let Some(left) = time.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
            if interrupts.came() {
                break;
            }
            match self.changes.next_timeout(left.min(TICK)) {
                Ok(Some(change)) => self.note(change),
                Ok(None) | Err(Error::Busy { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes what the feed has, for a short time. Returns whether it has more.
    pub(super) fn take(&mut self) -> Result<bool, Failure> {
        let start = Instant::now();
        loop {
            for _ in 0..256 {
                match self.changes.try_next() {
                    Ok(Some(change)) => self.note(change),
                    // Nothing is lost.
                    Err(Error::Busy { .. }) => return Ok(true),
                    Err(error) => return Err(error.into()),
                    Ok(None) => {
                        self.end_resync();
                        return Ok(false);
                    }
                }
            }
            if start.elapsed() >= READING {
                return Ok(true);
            }
        }
    }

    fn note(&mut self, change: Change) {
        match change {
            Change::Set { key, epoch, .. } | Change::Appended { key, epoch, .. } => {
                self.end_resync();
                self.written(key, epoch);
            }
            Change::Current { key, epoch, .. } => self.written(key, epoch),
            Change::Unset { key, epoch, .. }
            | Change::Expired { key, epoch, .. }
            | Change::Evicted { key, epoch, .. } => {
                self.end_resync();
                // What was listed later is younger.
                if self.keys.get(&key).is_some_and(|known| known.epoch < epoch) {
                    self.keys.remove(&key);
                    self.lively.remove(&key);
                    self.is_rearranged = true;
                }
            }
            Change::Lost { .. } => {
                self.resyncs += 1;
                self.is_resyncing = true;
            }
            _ => self.end_resync(),
        }
    }

    fn written(&mut self, key: Arc<str>, epoch: u64) {
        self.is_rearranged |= !self.keys.contains_key(&key);
        let resync = self.resyncs;
        let known = self.keys.entry(key.clone()).or_insert_with(|| Known {
            epoch: epoch - 2.min(epoch),
            changed: true,
            ..Known::default()
        });
        known.seen = resync;
        if epoch > known.epoch {
            // Two for each change, whether the feed told of it or not.
            known.writes += (epoch - known.epoch) / 2;
            known.epoch = epoch;
            known.changed = true;
            self.lively.insert(key);
        }
    }

    /// Once every key that exists was told, those that were not exist no more.
    fn end_resync(&mut self) {
        if std::mem::take(&mut self.is_resyncing) {
            let resync = self.resyncs;
            self.keys.retain(|_, known| known.seen == resync);
            let keys = &self.keys;
            self.lively.retain(|key| keys.contains_key(key));
            self.is_rearranged = true;
        }
    }

    /// Brings the figures up to date. Returns whether any of a line has changed.
    pub(super) fn refresh(&mut self) -> Result<bool, Failure> {
        let seconds = self.since.elapsed().as_secs_f64().max(1e-6);
        self.since = Instant::now();
        let writes = self.store.header_snapshot()?.epoch;
        self.writes_per_second = writes.saturating_sub(self.writes) as f64 / seconds;
        self.writes = writes;
        let (store, keys) = (self.store, &mut self.keys);
        let mut failed = None;
        let has_changed = std::mem::take(&mut self.is_rearranged) || !self.lively.is_empty();
        self.lively.retain(|key| {
            let Some(known) = keys.get_mut(key) else {
                return false;
            };
            known.per_second = std::mem::take(&mut known.writes) as f64 / seconds;
            if std::mem::take(&mut known.changed) {
                match store.slot_snapshot(&**key) {
                    Ok(Some(snapshot)) => known.bytes = snapshot.value_bytes,
                    // The feed will tell that it is gone.
                    Ok(None) | Err(Error::Corrupt { .. } | Error::Busy { .. }) => {}
                    Err(error) => failed = Some(error),
                }
            }
            known.per_second > 0.0
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        self.handles = self.store.attached()?.len();
        let now = std::fs::metadata(self.store.path()).ok().as_ref().map(identity);
        self.is_removed = self.identity.is_some() && now != self.identity;
        Ok(has_changed)
    }

    /// The start of a value, in one line that no terminal obeys.
    pub(super) fn preview(&mut self, key: &Arc<str>) -> String {
        let Some(known) = self.keys.get_mut(key) else {
            return String::new();
        };
        if let Some((epoch, preview)) = &known.preview
            && *epoch == known.epoch
        {
            return preview.clone();
        }
        if known.bytes > PREVIEW_BYTES_MAX {
            return "(long)".into();
        }
        // Other than the feed has told by now, perhaps: it will be read again then.
        let preview = match self.store.get_vec(&**key) {
            Ok(Some(value)) => escape::bytes(&value[..value.len().min(PREVIEW_BYTES)], false),
            Ok(None) => return String::new(),
            Err(error) => format!("({error})"),
        };
        known.preview = Some((known.epoch, preview.clone()));
        preview
    }
}
