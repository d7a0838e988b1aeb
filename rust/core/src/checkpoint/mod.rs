//! What survives a power cut.
//!
//! The death of a process loses nothing: the kernel has the pages. A power cut leaves, of the pages that were written since
//! the last writing-back, any, in any order, and of a page any sectors; two writes to a key can destroy the value
//! that was on the disk. So a sync does not write the region back. It copies what has changed since the last one, each key as a
//! validated read gives it, to a file beside the store ([`file`]), and waits for the disk once. After a restart of the
//! machine whoever opens the store first takes from either what is newest and proves to be whole ([`recover`]).

#![forbid(unsafe_code)]

mod file;
mod recover;

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use xxhash_rust::xxh3::Xxh3;

use crate::background::Background;
use crate::create::{Unpublished, directory_of};
use crate::error::{Error, Result};
use crate::guard::Inherit;
use crate::journal::{BATCH, Read};
use crate::layout::{FLAG_CHECKSUMS, LABELS};
use crate::region::{Buffer, Region, SlotIndex};
use crate::slot::Descriptor;
use crate::store::Store;
use crate::sync::Ordering;
use crate::sys;

use file::{Checkpoint, Record, Summary};
pub use recover::Recovery;

/// What a power cut may take: see [`crate::OpenOptions::durability`]. The death of a process takes nothing, whatever this is.
/// [`Syncer`] is for what lies between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// What was written since the last [`Store::sync`].
    #[default]
    None,
    /// Nothing that a write of this handle has returned from: each ends with a [`Store::sync`], and fails if that fails. The
    /// change was made then, and others see it, but the disk may not have it: [`Store::sync_failure`] tells this apart from a
    /// write that changed nothing.
    Commit,
}

/// What a handle remembers of its syncs.
#[derive(Debug, Default)]
pub(crate) struct Checkpointing {
    progress: Mutex<Progress>,
    /// The first failure: what the kernel could not write it forgets, and a later sync would seem to have gone well.
    failure: OnceLock<Error>,
}

#[derive(Debug, Default)]
struct Progress {
    checkpoint: Option<Checkpoint>,
    /// Place in the journal up to which everything is in the checkpoint; `None` before the first sync.
    position: Option<u64>,
    /// `Header::sync_failures` when everything was last known to have been written.
    failures: u32,
}

impl Inherit for Checkpointing {
    /// A forked child opens the checkpoint for itself, for it takes turns with its parent too.
    fn inherited(&self) -> Self {
        Self {
            progress: Mutex::default(),
            failure: self.failure.clone(),
        }
    }
}

impl Store {
    /// Puts everything on the disk that was written before the call, by whomever, and waits for it. Without effect on
    /// shared memory, and on a store that was removed.
    ///
    /// After a power cut each key has a value at least as new as the last sync that has returned, never a mixture, and the first
    /// who opens the store for writing puts it right ([`Self::recovery`]). It costs a look at what has changed since the last
    /// sync of this handle, and one wait for the disk; the first of a handle looks at every key. The file it writes to
    /// is named like the store, with `.checkpoint` behind; it keeps what was replaced or deleted until the
    /// second sync after that.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::NoSpace`]. After the first of these every later sync of this handle fails with it, for the system
    /// forgets what it could not write: see [`Self::sync_failure`]. The next sync of another handle writes all of it again.
    /// [`Error::Permission`] on a read-only handle; [`Error::Corrupt`].
    pub fn sync(&self) -> Result<()> {
        self.writer()?;
        self.region().check_length()?;
        let Some(path) = self.checkpoint_path() else {
            return Ok(());
        };
        let own = self.checkpointing();
        let mut progress = own.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = own.failure.get() {
            return Err(failure.clone());
        }
        let result = self.write_checkpoint(&mut progress, &path);
        if let Err(error @ (Error::Io { .. } | Error::NoSpace)) = &result {
            // Release: whoever sees it sees what was written before it.
            self.region().header().sync_failures.fetch_add(1, Ordering::Release);
            self.keep_sync_failure(error.clone());
        }
        self.region().check_intact().and(result)
    }

    /// The failure with which every sync of this handle fails from now on, if one has failed: its own or its [`Syncer`]'s.
    pub fn sync_failure(&self) -> Option<&Error> {
        self.checkpointing().failure.get()
    }

    fn keep_sync_failure(&self, error: Error) {
        // The first one stays.
        let _ = self.checkpointing().failure.set(error);
    }

    /// Where the checkpoint is; `None` for what does not outlive the machine, or, since it was removed, those who have it open.
    fn checkpoint_path(&self) -> Option<PathBuf> {
        let file = self.region().file();
        let is_removed = file.metadata().is_ok_and(|found| found.nlink() == 0);
        if is_removed || sys::is_in_memory(file) {
            return None;
        }
        Some(checkpoint_path(self.path()))
    }

    fn write_checkpoint(&self, progress: &mut Progress, path: &Path) -> Result<()> {
        let io = |error| Error::from_os("sync the store", &error);
        let region = self.region();
        // From now on the region can tell by itself which of its values are whole.
        region.header().flags.fetch_or(FLAG_CHECKSUMS, Ordering::SeqCst);
        let checkpoint = match &mut progress.checkpoint {
            Some(checkpoint) => checkpoint,
            none => none.insert(self.open_checkpoint(path)?),
        };
        let _alone = sys::Alone::on(checkpoint.file()).map_err(io)?;
        let failures = region.header().sync_failures.load(Ordering::Acquire);
        if progress.failures != failures {
            // On the disk before anything is written over what was there before it.
            checkpoint.rewrite().map_err(io)?;
            checkpoint.file().sync_data().map_err(io)?;
            progress.failures = failures;
        }
        let last = checkpoint.summary().map_err(io)?;
        let end = region.journal_end();
        // Taken until it is done: after a failure everything is looked at again.
        let position = progress.position.take();
        let changed = position.and_then(|position| self.changed_slots(position, end));
        for slot in changed.unwrap_or_else(|| region.slot_indices().collect()) {
            self.keep_slot(checkpoint, slot)?;
        }
        let header = region.header();
        let mut labels = vec![String::new(); LABELS as usize];
        for (label, name) in self.label_names()? {
            labels[label as usize] = name;
        }
        let summary = Summary {
            epoch_floor: header.epoch_floor.load(Ordering::Acquire),
            births: header.births.load(Ordering::Relaxed),
            journal_end: end,
            flags: header.flags.load(Ordering::Relaxed),
            eviction: header.eviction.load(Ordering::Relaxed),
            labels,
        };
        region.check_intact()?;
        checkpoint.write_summary(&last, &summary).map_err(io)?;
        checkpoint.file().sync_data().map_err(io)?;
        progress.position = Some(end);
        Ok(())
    }

    /// The slots that the journal names between two places; `None` if it does not reach back so far.
    fn changed_slots(&self, from: u64, to: u64) -> Option<Vec<SlotIndex>> {
        let region = self.region();
        let mut slots = Vec::new();
        let mut position = from;
        let mut words = [0; BATCH];
        while position < to {
            let Read::Entries(count @ 1..) = region.read_journal(position, &mut words) else {
                return None;
            };
            let entries = words[..count].iter().filter_map(|&word| region.journal_entry_of(word));
            slots.extend(entries.map(|entry| entry.slot));
            position += count as u64;
        }
        slots.sort_unstable();
        slots.dedup();
        Some(slots)
    }

    /// Writes what a slot holds, unless that is there already.
    fn keep_slot(&self, checkpoint: &Checkpoint, slot: SlotIndex) -> Result<()> {
        let io = |error| Error::from_os("sync the store", &error);
        let now = self.slot_record(slot)?;
        let kept = checkpoint.record(slot.get()).map_err(io)?;
        let is_kept = match &kept.newest {
            Some(kept) => *kept == now,
            None => now.sequence == 0,
        };
        if is_kept {
            return Ok(());
        }
        checkpoint.write_record(slot.get(), &kept, &now).map_err(io)
    }

    fn slot_record(&self, slot: SlotIndex) -> Result<Record> {
        loop {
            let (mut key, mut value) = (Vec::new(), Vec::new());
            let live = self.read_slot(slot, |view| {
                view.copy_key(&mut key);
                view.copy_to_vec(&mut value)?;
                Ok(Record {
                    sequence: view.ctl.sequence(),
                    inserted: view.inserted(),
                    labels: view.labels(),
                    deadline: view.deadline().unwrap_or(0),
                    value_type: view.value_type() as u8,
                    is_pinned: view.is_pinned(),
                    ..Record::default()
                })
            })?;
            if let Some(live) = live {
                return Ok(Record { key, value, ..live });
            }
            let ctl = self.region().ctl(slot);
            if !ctl.is_live() {
                return Ok(Record {
                    sequence: ctl.sequence(),
                    ..Record::default()
                });
            }
        }
    }

    fn open_checkpoint(&self, path: &Path) -> Result<Checkpoint> {
        // Once for one that is in the way, once for one that is missing, and once for what is there then.
        for _ in 0..3 {
            match open_existing(path)? {
                Some(file) => match self.checkpoint_in(file)? {
                    Some(checkpoint) => return Ok(checkpoint),
                    // That of a store that had this name before.
                    None => std::fs::remove_file(path).map_err(opening)?,
                },
                None => self.create_checkpoint(path)?,
            }
        }
        Err(Error::Busy {
            what: "the checkpoint is being replaced",
        })
    }

    /// The checkpoint that a file is; `None` if it is that of another store, or none.
    fn checkpoint_in(&self, file: File) -> Result<Option<Checkpoint>> {
        let region = self.region();
        Checkpoint::open(file, region.store_id(), region.geometry()).map_err(opening)
    }

    /// Makes an empty checkpoint, unless somebody else is faster.
    fn create_checkpoint(&self, path: &Path) -> Result<()> {
        let region = self.region();
        let mode = region.file().metadata().map_err(opening)?.permissions().mode();
        let new = match Unpublished::new(path, mode & 0o777) {
            Err(Error::Exists) => return Ok(()),
            new => new?,
        };
        // A recovery needs the region too, though only that it is there: what it is never changes.
        region
            .file()
            .sync_all()
            .map_err(|error| Error::from_os("sync the store", &error))?;
        let identity = Checkpoint::identity(region.store_id(), region.geometry());
        new.file()
            .write_all_at(&identity, 0)
            .and_then(|()| new.file().sync_all())
            .map_err(opening)?;
        match new.publish() {
            Ok(()) | Err(Error::Exists) => {}
            Err(error) => return Err(error),
        }
        // The names must survive too.
        File::open(directory_of(path))
            .and_then(|directory| directory.sync_all())
            .map_err(opening)
    }
}

fn opening(error: std::io::Error) -> Error {
    Error::from_os("open the checkpoint of the store", &error)
}

/// The path of the checkpoint of the store at a path.
pub(crate) fn checkpoint_path(store: &Path) -> PathBuf {
    let mut path = store.as_os_str().to_os_string();
    path.push(".checkpoint");
    path.into()
}

fn open_existing(path: &Path) -> Result<Option<File>> {
    match sys::open(path, true, false) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(opening(error)),
    }
}

impl Region {
    /// Adds to the descriptor of a filled buffer that there is a checksum, and stores it, if the store wants any.
    #[inline]
    pub(crate) fn with_checksum(
        &self,
        slot: SlotIndex,
        buffer: Buffer,
        descriptor: Descriptor,
        sequence: u64,
    ) -> Descriptor {
        if self.header().flags.load(Ordering::Relaxed) & FLAG_CHECKSUMS == 0 {
            return descriptor;
        }
        let checksum = self.value_checksum(slot, buffer, descriptor.value_bytes(), sequence);
        self.attributes(slot).checksums[buffer as usize].store(checksum, Ordering::Relaxed);
        descriptor.with_checked(true)
    }

    /// The checksum of a value of this length and sequence, as it stands in its buffer.
    #[cold]
    fn value_checksum(&self, slot: SlotIndex, buffer: Buffer, value_bytes: usize, sequence: u64) -> u32 {
        let hash = self.attributes(slot).hash.load(Ordering::Relaxed);
        let mut hasher = Xxh3::with_seed(sequence ^ hash);
        let mut part = [0; 1024];
        for at in (0..value_bytes).step_by(part.len()) {
            let part = &mut part[..(value_bytes - at).min(1024)];
            self.read_value(slot, buffer, at, part);
            hasher.update(part);
        }
        hasher.digest() as u32
    }
}

/// Syncs a store again and again, on a thread of its own, until it is dropped.
///
/// After a sync that failed it does no more: [`Store::sync_failure`] of its handle says why, and every later sync of that handle
/// fails. The thread stays with the process that started it: a forked child has none, but what the child writes is synced
/// by its parent's, as everybody's changes are.
#[derive(Debug)]
pub struct Syncer {
    shared: Arc<SyncerState>,
    thread: Background,
}

#[derive(Debug, Default)]
struct SyncerState {
    stopped: Mutex<bool>,
    wake: Condvar,
}

impl Syncer {
    /// Starts syncing `store` each time `interval` has passed, so that a power cut takes no more than was written in that
    /// time and the time of a sync. While nothing changes nothing is written.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there is no thread to be had.
    pub fn start(store: impl AsRef<Store> + Send + Sync + 'static, interval: Duration) -> Result<Self> {
        let shared = Arc::new(SyncerState::default());
        let state = shared.clone();
        let thread = Background::start("splinter-sync", "start the syncing thread", move || {
            state.run(store.as_ref(), interval);
        })?;
        Ok(Self { shared, thread })
    }
}

impl SyncerState {
    fn run(&self, store: &Store, interval: Duration) {
        let mut synced = None;
        loop {
            let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
            let stopped = self
                .wake
                .wait_timeout_while(stopped, interval, |stopped| !*stopped)
                .unwrap_or_else(PoisonError::into_inner);
            let is_last = *stopped.0;
            drop(stopped);
            let end = store.region().journal_end();
            if synced != Some(end) {
                match store.sync() {
                    Ok(()) => synced = Some(end),
                    // Others are at the checkpoint.
                    Err(Error::Busy { .. }) if !is_last => {}
                    // Whatever it is: nobody is here who could be told, and who asks later must hear of it.
                    Err(error) => {
                        store.keep_sync_failure(error);
                        return;
                    }
                }
            }
            if is_last {
                return;
            }
        }
    }
}

impl Drop for Syncer {
    /// Syncs once more and ends the thread.
    fn drop(&mut self) {
        let shared = &self.shared;
        self.thread.end(|| {
            *shared.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
            shared.wake.notify_one();
        });
    }
}
