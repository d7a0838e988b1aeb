//! The store as its users see it.

#![forbid(unsafe_code)]

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::checkpoint::{Checkpointing, Durability, Recovery, checkpoint_path};
use crate::condition::{Condition, Outcome, SetOptions, Version, Versioned};
use crate::error::{Error, Result};
use crate::evict::Eviction;
use crate::guard::{self, PerProcess};
use crate::handles::Token;
use crate::integer::{self, Integer, Operation};
use crate::key::Target;
use crate::layout::{FLAG_AUTO_VACUUM, FORMAT_VERSION, Geometry, MAGIC};
use crate::lock::{Backoff, Writer};
use crate::options::{OpenOptions, file_path, memory_path, open_regular};
use crate::read::{Glance, View};
use crate::region::Region;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use crate::sys;
use crate::value_type::ValueType;
use crate::write::{Content, Removed, Request, Written};

/// A handle on a store: a key-value store in memory that other processes share.
///
/// All methods take `&self`, and a handle may be used by several threads at once. A process may have many handles, on one
/// store or on several. Keys are UTF-8 without NUL, of 1 byte to the store's longest key; values are any bytes up to the
/// store's longest value. That a key does not exist is a result (`None`, `false`), not an error.
///
/// **Under concurrency**: each value is read whole, as one write left it. A reader never waits for a writer, except that it
/// may wait a moment where writers replace a value faster than it can be copied. Writers of one key wait for each other;
/// writers of different keys do not.
///
/// **Under crashes**: a process that is killed at any point leaves of each key the old value or the new one, and no lock
/// that the next writer could not take over.
///
/// **Over `fork`**: the parent goes on as before; the child may use the handle too, and is a process of its own to the store.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("app.splinter");
/// use splinter::Store;
///
/// let store = Store::open_or_create(&path)?;
/// store.set("sensor/1", "21.5")?;
/// assert_eq!(store.get_vec("sensor/1")?.as_deref(), Some(&b"21.5"[..]));
/// assert_eq!(store.unset("sensor/1")?, Some(4));
/// assert!(!store.contains("sensor/1")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Store {
    region: Region,
    path: PathBuf,
    /// Who this handle is to the store; 0 for a read-only handle.
    token: AtomicU64,
    lock_timeout: Duration,
    spin: Duration,
    poll_interval: Duration,
    /// Waits in a row that spinning was of no use to.
    vain_spins: AtomicU32,
    /// Attempts to read that came to nothing.
    retries: AtomicU64,
    /// Watches, feeds and polls of this handle that have begun and not ended.
    watches: AtomicU32,
    durability: Durability,
    checkpointing: PerProcess<Checkpointing>,
    recovery: Option<Recovery>,
}

/// What [`Store::slot_snapshot`] tells about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotSnapshot {
    /// Hash of the key, with this store's seed.
    pub hash: u64,
    /// Epoch of the value.
    pub epoch: u64,
    /// Bytes from the start of the region to the value.
    pub value_offset: u64,
    /// Length of the value in bytes.
    pub value_bytes: usize,
    /// Number of the slot, which does not change as long as the key lives.
    pub slot: u32,
    /// What the value is.
    pub value_type: ValueType,
    /// Labels, one bit each.
    pub labels: u64,
    /// How long the key has yet to live; `None`: for ever.
    pub ttl: Option<Duration>,
    /// Whether the key is never evicted.
    pub is_pinned: bool,
}

/// What [`Store::header_snapshot`] tells about a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeaderSnapshot {
    /// First four bytes of every store.
    pub magic: u32,
    /// Version of the format.
    pub version: u32,
    /// Numbers chosen at creation.
    pub geometry: Geometry,
    /// Drawn at random when the store was created.
    pub store_id: [u8; 16],
    /// Length of the whole region in bytes.
    pub region_bytes: u64,
    /// Changes ever made to the store.
    pub epoch: u64,
    /// Whether replaced and deleted bytes are zeroed.
    pub auto_vacuum: bool,
    /// What goes when the store is full.
    pub eviction: Eviction,
    /// Invalid numbers that were met in the region.
    pub parse_failures: u64,
    /// The store's epoch when the last of them was met, or a little less.
    pub last_failure_epoch: u64,
    /// Locks that were taken over from the dead.
    pub repairs: u64,
}

impl Store {
    /// Creates a store with the default options: see [`OpenOptions::create`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        OpenOptions::new().create(path)
    }

    /// Opens a store with the default options: see [`OpenOptions::open`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        OpenOptions::new().open(path)
    }

    /// Opens or creates a store with the default options: see [`OpenOptions::open_or_create`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open_or_create(path: impl AsRef<Path>) -> Result<Self> {
        OpenOptions::new().open_or_create(path)
    }

    /// Creates or opens a store with the default options: see [`OpenOptions::create_or_open`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn create_or_open(path: impl AsRef<Path>) -> Result<Self> {
        OpenOptions::new().create_or_open(path)
    }

    /// Takes a store's name away, and its checkpoint. Those who have it open keep it; its space is freed when the last of them
    /// has closed it.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchStore`]; [`Error::NotAStore`] if the file is something else, which is left alone;
    /// [`Error::Permission`], [`Error::Io`].
    pub fn remove(path: impl AsRef<Path>) -> Result<()> {
        let path = file_path(path.as_ref())?;
        let file = open_regular(&path, false)?;
        let mut start = [0; 4];
        let is_store = std::os::unix::fs::FileExt::read_exact_at(&file, &mut start, 0).is_ok()
            && u32::from_le_bytes(start) == MAGIC;
        if !is_store {
            return Err(Error::NotAStore {
                reason: "it does not begin as a store does",
            });
        }
        let io = |error| Error::from_os("remove the store", &error);
        std::fs::remove_file(&path).map_err(io)?;
        match std::fs::remove_file(checkpoint_path(&path)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(error)),
            _ => Ok(()),
        }
    }

    /// Takes the name of a store in shared memory away: [`Self::remove`] for [`OpenOptions::memory`].
    ///
    /// # Errors
    ///
    /// As there, and [`Error::InvalidArgument`] if it cannot be such a name.
    pub fn remove_memory(name: impl AsRef<Path>) -> Result<()> {
        Self::remove(memory_path(name.as_ref())?)
    }

    pub(crate) fn new(region: Region, path: PathBuf, options: &OpenOptions) -> Result<Self> {
        let mut store = Self {
            region,
            path,
            token: AtomicU64::new(0),
            lock_timeout: options.lock_timeout_value(),
            spin: options.spin_value(),
            poll_interval: options.poll_interval_value(),
            vain_spins: AtomicU32::new(0),
            retries: AtomicU64::new(0),
            watches: AtomicU32::new(0),
            durability: options.durability_value(),
            checkpointing: PerProcess::new(Checkpointing::default()),
            recovery: None,
        };
        if store.region.writable() {
            store.attach()?;
            store.recovery = store.recover()?;
            // What the dead left is tidied by whoever comes next. Where somebody is busy there, another will.
            let _ = store.writer()?.clean_up();
            store.region.check_intact()?;
        } else {
            store.refuse_unrecovered()?;
        }
        Ok(store)
    }

    /// Becomes somebody to the store.
    fn attach(&self) -> Result<()> {
        let set = |token: Token| {
            self.token.store(token.bits(), Ordering::Relaxed);
            self.tell_watches();
        };
        let mut backoff = Backoff::new(self.lock_timeout);
        loop {
            if self.region.try_share()? {
                if let Some(token) = self.region.try_attach(false)? {
                    set(token);
                    return Ok(());
                }
                if let Some(token) = self.region.try_attach(true)? {
                    set(token);
                    let _ = self.writer_unchecked().rescue_all();
                    return Ok(());
                }
                if !self.region.is_held_whole() {
                    return Err(Error::Busy {
                        what: "the store has as many handles as it can have",
                    });
                }
            }
            if !backoff.pause() {
                return Err(Error::Busy {
                    what: "somebody who writes the store without the native library has it for himself",
                });
            }
        }
    }

    /// What to search for to find a key.
    #[inline]
    pub(crate) fn target<'k>(&self, key: &'k [u8]) -> Target<'k> {
        Target::new(&self.region, key)
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    pub(crate) fn lock_timeout(&self) -> Duration {
        self.lock_timeout
    }

    pub(crate) fn spin(&self) -> Duration {
        self.spin
    }

    pub(crate) fn vain_spins(&self) -> &AtomicU32 {
        &self.vain_spins
    }

    pub(crate) fn poll_interval(&self) -> Duration {
        self.poll_interval
    }

    /// Counts something that watches the store by this handle.
    pub(crate) fn begin_watching(&self) {
        self.watches.fetch_add(1, Ordering::SeqCst);
        self.tell_own_watches();
    }

    /// Takes back what [`Self::begin_watching`] counted.
    pub(crate) fn end_watching(&self) {
        self.watches.fetch_sub(1, Ordering::SeqCst);
        self.tell_own_watches();
    }

    fn tell_own_watches(&self) {
        // A forked child that has not written yet has no place of its own.
        if self.region.writable() && self.region.watch().state.load(Ordering::Relaxed) == guard::OPEN {
            self.tell_watches();
        }
    }

    /// Writes the count to this handle's place, for [`Self::attached`].
    fn tell_watches(&self) {
        let token = Token::from_bits(self.token.load(Ordering::Relaxed));
        let told = &self.region.handle(token.index()).watches;
        // Again while somebody else counts, so that the last to store has seen the last count.
        loop {
            let count = self.watches.load(Ordering::SeqCst);
            told.store(count, Ordering::SeqCst);
            if self.watches.load(Ordering::SeqCst) == count {
                break;
            }
        }
    }

    /// This handle as one that may write now.
    #[inline]
    pub(crate) fn writer(&self) -> Result<Writer<'_>> {
        if !self.region.writable() {
            return Err(Error::Permission {
                action: "the store was opened read-only",
            });
        }
        // Relaxed: `FORKED` was stored by this very thread, in the child's handler of the fork; damage is looked for again
        // before anything is published.
        if self.region.watch().state.load(Ordering::Relaxed) != guard::OPEN {
            self.settle()?;
        }
        Ok(self.writer_unchecked())
    }

    #[inline]
    fn writer_unchecked(&self) -> Writer<'_> {
        Writer {
            region: &self.region,
            me: Token::from_bits(self.token.load(Ordering::Relaxed)),
            patience: self.lock_timeout,
        }
    }

    /// Makes the handle of a forked child somebody of its own.
    #[cold]
    fn settle(&self) -> Result<()> {
        let state = &self.region.watch().state;
        loop {
            match state.compare_exchange(guard::FORKED, guard::REATTACHING, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => {
                    let result = self.attach();
                    let next = if result.is_ok() { guard::OPEN } else { guard::FORKED };
                    // Unless it was damaged meanwhile. Release: who sees it open sees the new token.
                    let _ = state.compare_exchange(guard::REATTACHING, next, Ordering::Release, Ordering::Relaxed);
                    return result;
                }
                Err(guard::OPEN) => return Ok(()),
                Err(guard::REATTACHING) => std::thread::yield_now(),
                Err(guard::LOST) => {
                    return Err(Error::Io {
                        action: "open the store anew after a fork",
                        errno: libc::EBADF,
                    });
                }
                Err(_) => return self.region.check_intact(),
            }
        }
    }

    /// The same, unwilling to wait.
    pub(crate) fn impatient_writer(&self) -> Result<Writer<'_>> {
        Ok(Writer {
            patience: Duration::ZERO,
            ..self.writer()?
        })
    }

    /// The same for a write, which is put on the disk before it is told of, if that was asked for.
    #[inline]
    pub(crate) fn committed<T>(&self, result: Result<T>) -> Result<T> {
        let result = self.told(result)?;
        if self.durability == Durability::Commit {
            self.sync()?;
        }
        Ok(result)
    }

    /// That of this process.
    pub(crate) fn checkpointing(&self) -> &Checkpointing {
        self.checkpointing.get()
    }

    /// What was done when this handle opened the store after the machine had been restarted; `None` if it was not, or if it had
    /// been done already.
    pub fn recovery(&self) -> Option<&Recovery> {
        self.recovery.as_ref()
    }

    /// An error as it is told: where pages are gone, that is the cause of whatever else was found.
    #[inline]
    pub(crate) fn told<T>(&self, result: Result<T>) -> Result<T> {
        result.or_else(|error| self.region.check_intact().and(Err(error)))
    }

    /// Stores a value under a key, whether the key exists or not. Returns the epoch of the change.
    ///
    /// When it returns, every process sees the new value, sleepers on the key are awake, and in sterile mode no byte of the
    /// old value is left. Waits while another writer changes the same key, for as long as the lock timeout.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`], [`Error::KeyInvalid`], [`Error::ValueTooLarge`]; [`Error::Full`] if the key is new and every
    /// slot holds a key; [`Error::NoSpace`] if it is new and the disk is full; [`Error::Busy`] after the lock timeout;
    /// [`Error::Permission`] on a read-only handle; [`Error::Corrupt`]. The key is unchanged then.
    #[inline]
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<u64> {
        self.set_at(&self.target(key.as_ref()), value.as_ref())
    }

    #[inline]
    pub(crate) fn set_at(&self, target: &Target<'_>, value: &[u8]) -> Result<u64> {
        let written = self.writer()?.write(target, &Request::set(value));
        self.committed(written).and_then(unconditional).map(|(epoch, _)| epoch)
    }

    /// [`Self::set`] without waiting: [`Error::Busy`] at once while another writer changes the same key.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<u64> {
        let writer = self.impatient_writer()?;
        let written = writer.write(&self.target(key.as_ref()), &Request::set(value.as_ref()));
        self.committed(written).and_then(unconditional).map(|(epoch, _)| epoch)
    }

    /// Copies a value to the start of `buffer` and returns its length in bytes; `None` if there is no such key.
    ///
    /// A value longer than the buffer is not copied: the length then says how much room it needs.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`], [`Error::KeyInvalid`], [`Error::Corrupt`]; [`Error::Busy`] on a read-only handle if writers
    /// replaced the value faster than it could be copied for as long as the lock timeout.
    #[inline]
    pub fn get(&self, key: impl AsRef<[u8]>, buffer: &mut [u8]) -> Result<Option<usize>> {
        let key = key.as_ref();
        let seen = self.glance_at_key(key, buffer);
        self.copied(seen, || self.target(key), buffer, |_| ()).map(length)
    }

    #[inline]
    pub(crate) fn get_at(&self, target: &Target<'_>, buffer: &mut [u8]) -> Result<Option<usize>> {
        let seen = self.glance_to_copy(target, buffer, |_| ());
        self.copied(seen, || *target, buffer, |_| ()).map(length)
    }

    /// [`Self::get`] with what belongs to the same version of the value.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get_version(&self, key: impl AsRef<[u8]>, buffer: &mut [u8]) -> Result<Option<Version>> {
        let target = self.target(key.as_ref());
        let state = |view: &View<'_>| (view.ctl.sequence() << 1, view.value_type());
        let seen = self.glance_to_copy(&target, buffer, state);
        let found = self.copied(seen, || target, buffer, state)?;
        Ok(found.map(|(value_bytes, (epoch, value_type))| Version {
            value_bytes,
            epoch,
            value_type,
        }))
    }

    /// Apart from its callers, because what it returns fits in two registers: a result is written to memory, and read again in
    /// other pieces at once, for which processors have to wait.
    #[inline(never)]
    fn glance_at_key(&self, key: &[u8], buffer: &mut [u8]) -> Glance<(usize, ())> {
        self.glance_to_copy(&self.target(key), buffer, |_| ())
    }

    /// A first attempt to copy a value to the start of a buffer, and to take something else of the same version.
    #[inline(always)]
    fn glance_to_copy<T>(
        &self,
        target: &Target<'_>,
        buffer: &mut [u8],
        also: impl Fn(&View<'_>) -> T,
    ) -> Glance<(usize, T)> {
        self.glance_at_value(target, |view| {
            view.copy_if_it_fits(buffer);
            (view.value_bytes, also(view))
        })
    }

    /// What comes of it: if need be, by further attempts.
    #[inline]
    fn copied<'k, T>(
        &self,
        seen: Glance<(usize, T)>,
        target: impl Fn() -> Target<'k>,
        buffer: &mut [u8],
        also: impl Fn(&View<'_>) -> T,
    ) -> Result<Option<(usize, T)>> {
        match seen {
            Glance::Whole(found) => Ok(Some(found)),
            Glance::Absent => self.missing(target().key),
            Glance::Torn((bytes, _)) => self.copy_again(&target(), buffer, bytes, also),
            Glance::Unclear => self.copy_again(&target(), buffer, 0, also),
        }
    }

    /// Copies a value to the start of a buffer, and takes something else of the same version, after an attempt that came to
    /// nothing and was of a value of `tried_bytes`.
    #[cold]
    #[inline(never)]
    fn copy_again<T>(
        &self,
        target: &Target<'_>,
        buffer: &mut [u8],
        tried_bytes: usize,
        also: impl Fn(&View<'_>) -> T,
    ) -> Result<Option<(usize, T)>> {
        let room = buffer.len();
        let touched = |bytes: usize| if bytes <= room { bytes } else { 0 };
        let mut touched_bytes = touched(tried_bytes);
        let found = self.read_again(target, |view| {
            touched_bytes = touched_bytes.max(view.copy_if_it_fits(buffer));
            Ok((view.value_bytes, also(view)))
        });
        let valid_bytes = match &found {
            Ok(Some((bytes, _))) => touched(*bytes),
            _ => 0,
        };
        // An attempt that failed has copied more than the one that succeeded: nobody is to see the rest.
        if touched_bytes > valid_bytes {
            buffer[valid_bytes..touched_bytes].fill(0);
        }
        found
    }

    /// Returns a copy of a value; `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// As for [`Self::get`], and [`Error::NoSpace`] if there is no memory for the copy.
    pub fn get_vec(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        self.get_vec_at(&self.target(key.as_ref()))
    }

    pub(crate) fn get_vec_at(&self, target: &Target<'_>) -> Result<Option<Vec<u8>>> {
        let mut value = Vec::new();
        let found = self.read_value(target, |view| view.copy_to_vec(&mut value))?;
        Ok(found.map(|()| value))
    }

    /// Returns a copy of a value with its epoch and type, all of one version; `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// As for [`Self::get_vec`].
    pub fn get_entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Versioned>> {
        self.get_entry_at(&self.target(key.as_ref()))
    }

    pub(crate) fn get_entry_at(&self, target: &Target<'_>) -> Result<Option<Versioned>> {
        let mut value = Vec::new();
        let found = self.read_value(target, |view| {
            view.copy_to_vec(&mut value)?;
            Ok((view.ctl.sequence() << 1, view.value_type()))
        })?;
        Ok(found.map(|(epoch, value_type)| Versioned {
            value,
            epoch,
            value_type,
        }))
    }

    /// Lets `look` see a value where it lies, without a copy, and returns what it returns; `None` if there is no such key.
    ///
    /// The bytes, but not their number, may change under the eyes of `look`; then its result is thrown away and it is called
    /// again, so that the one that is returned was made of one whole value. The bytes are atomics for that reason: take them by
    /// relaxed loads, and believe nothing before the call returns. Where writers are too fast for it, `look` is called once
    /// more while they have to wait.
    ///
    /// ```
    /// # let store = splinter::OpenOptions::new().anonymous()?;
    /// use std::sync::atomic::Ordering::Relaxed;
    ///
    /// store.set("samples", [3, 4, 5])?;
    /// let sum = store.get_with("samples", |bytes| bytes.iter().map(|byte| u32::from(byte.load(Relaxed))).sum::<u32>())?;
    /// assert_eq!(sum, Some(12));
    /// # Ok::<(), splinter::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`Self::get`].
    pub fn get_with<T>(&self, key: impl AsRef<[u8]>, look: impl FnMut(&[AtomicU8]) -> T) -> Result<Option<T>> {
        self.get_with_at(&self.target(key.as_ref()), look)
    }

    pub(crate) fn get_with_at<T>(
        &self,
        target: &Target<'_>,
        mut look: impl FnMut(&[AtomicU8]) -> T,
    ) -> Result<Option<T>> {
        loop {
            // Looked at only if it is still there by then, so that its length at least is that of a value.
            let seen = self.read_value(target, |view| Ok(view.is_whole().then(|| look(view.bytes()))))?;
            match seen {
                Some(None) => {}
                seen => return Ok(seen.flatten()),
            }
        }
    }

    /// [`Self::set`] on a condition, with a time to live or a type: see [`SetOptions`].
    ///
    /// ```
    /// # let store = splinter::OpenOptions::new().anonymous()?;
    /// use std::time::Duration;
    /// use splinter::SetOptions;
    ///
    /// // A lock that frees itself if its owner dies.
    /// let options = SetOptions::new().if_absent().ttl(Duration::from_secs(30));
    /// assert!(store.set_with("lock", "me", &options)?.is_written());
    /// assert!(!store.set_with("lock", "you", &options)?.is_written());
    /// # Ok::<(), splinter::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`Self::set`]. That the condition does not hold is none: see [`Outcome`].
    pub fn set_with(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, options: &SetOptions) -> Result<Outcome> {
        self.set_with_at(&self.target(key.as_ref()), value.as_ref(), options)
    }

    pub(crate) fn set_with_at(&self, target: &Target<'_>, value: &[u8], options: &SetOptions) -> Result<Outcome> {
        let written = self.writer()?.write(target, &options.request(value)?);
        Ok(match self.committed(written)? {
            Written::Done { epoch, .. } => Outcome::Written { epoch },
            Written::NotMet { found } => Outcome::NotMet { found },
        })
    }

    /// Puts bytes behind the value of a key, or makes them the value of a new one. Returns the length of the whole in bytes.
    ///
    /// It costs what is appended, not what is there, if the last change of the key was an append too. The key keeps its
    /// deadline, type and labels. A watch can ask for what was appended alone ([`crate::WatchOptions::appended`]).
    ///
    /// # Errors
    ///
    /// As for [`Self::set`]; [`Error::ValueTooLarge`] if the whole would be too long.
    pub fn append(&self, key: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Result<usize> {
        self.append_at(&self.target(key.as_ref()), bytes.as_ref())
    }

    pub(crate) fn append_at(&self, target: &Target<'_>, bytes: &[u8]) -> Result<usize> {
        let request = Request::change(Content::Suffix(bytes), ValueType::Void);
        let written = self.writer()?.write(target, &request);
        self.committed(written)
            .and_then(unconditional)
            .map(|(_, length)| length as usize)
    }

    /// Changes the number that a key holds, as one step, and returns the new one. A key that does not exist is 0 before.
    ///
    /// The number is stored in 8 bytes, little-endian. The key keeps its deadline, type and labels.
    ///
    /// ```
    /// # let store = splinter::OpenOptions::new().anonymous()?;
    /// use splinter::Operation;
    ///
    /// assert_eq!(store.apply("visits", Operation::Add(1_u64))?, 1);
    /// assert_eq!(store.apply("visits", Operation::Add(1_u64))?, 2);
    /// # Ok::<(), splinter::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`Self::set`]; [`Error::WrongType`] if the value is not of 8 bytes; [`Error::Overflow`] if that was asked for.
    pub fn apply<T: Integer>(&self, key: impl AsRef<[u8]>, operation: Operation<T>) -> Result<T> {
        self.apply_to(&self.target(key.as_ref()), operation)
    }

    pub(crate) fn apply_to<T: Integer>(&self, target: &Target<'_>, operation: Operation<T>) -> Result<T> {
        let change = |before| integer::result(operation, before);
        let request = Request::change(Content::Integer(&change), T::TYPE);
        let written = self.writer()?.write(target, &request);
        self.committed(written)
            .and_then(unconditional)
            .map(|(_, number)| T::from_bits(number))
    }

    pub(crate) fn update_at(
        &self,
        target: &Target<'_>,
        mut change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<Option<u64>> {
        let mut backoff = Backoff::new(self.lock_timeout);
        loop {
            let old = self.get_entry_at(target)?;
            let Some(new) = change(old.as_ref().map(|old| &*old.value)) else {
                return Ok(None);
            };
            let request = Request {
                condition: Condition::Epoch(old.map_or(0, |old| old.epoch)),
                ..Request::change(Content::Value(&new), ValueType::Void)
            };
            let written = self.writer()?.write(target, &request);
            if let Written::Done { epoch, .. } = self.committed(written)? {
                return Ok(Some(epoch));
            }
            if !backoff.pause() {
                return Err(Error::Busy {
                    what: "others change the key faster than it can be updated",
                });
            }
        }
    }

    /// Deletes a key. Returns the length of the value that was there in bytes; `None` if there was none.
    ///
    /// When it returns, no process sees the key, sleepers on it are awake, and in sterile mode no byte of it or of its value
    /// is left.
    ///
    /// # Errors
    ///
    /// As for [`Self::set`], but for `ValueTooLarge`, `Full` and `NoSpace`.
    pub fn unset(&self, key: impl AsRef<[u8]>) -> Result<Option<usize>> {
        self.unset_at(&self.target(key.as_ref()))
    }

    pub(crate) fn unset_at(&self, target: &Target<'_>) -> Result<Option<usize>> {
        self.committed(self.writer()?.remove(target, Condition::Always))
            .map(bytes_removed)
    }

    /// [`Self::unset`] if the key has this epoch, so that nobody has changed it since it was read.
    ///
    /// # Errors
    ///
    /// As there. That the epoch is another, or the key is gone, is none: see [`Outcome`].
    pub fn unset_if_epoch(&self, key: impl AsRef<[u8]>, epoch: u64) -> Result<Outcome> {
        let target = self.target(key.as_ref());
        let removed = self.writer()?.remove(&target, Condition::Epoch(epoch));
        Ok(match self.committed(removed)? {
            Removed::Done { epoch, .. } => Outcome::Written { epoch },
            Removed::NotMet { found } => Outcome::NotMet { found },
        })
    }

    /// [`Self::unset`] without waiting: [`Error::Busy`] at once while another writer changes the same key.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_unset(&self, key: impl AsRef<[u8]>) -> Result<Option<usize>> {
        let removed = self
            .impatient_writer()?
            .remove(&self.target(key.as_ref()), Condition::Always);
        self.committed(removed).map(bytes_removed)
    }

    /// Whether there is such a key.
    ///
    /// # Errors
    ///
    /// As for [`Self::get`].
    #[inline]
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.read(&self.target(key.as_ref()), |_| Ok(()))?.is_some())
    }

    /// The epoch of a key: twice the number of its last change, plus one while the next is in progress; `None` if there is
    /// no such key.
    ///
    /// It grows by two with every overwrite and never goes back, not over `unset` and a later `set` either. Two equal even
    /// epochs mean that the value is the same.
    ///
    /// # Errors
    ///
    /// As for [`Self::get`].
    #[inline]
    pub fn epoch(&self, key: impl AsRef<[u8]>) -> Result<Option<u64>> {
        self.read(&self.target(key.as_ref()), |view| Ok(view.ctl.epoch()))
    }

    /// Where and how a key is stored; `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// As for [`Self::get`].
    pub fn slot_snapshot(&self, key: impl AsRef<[u8]>) -> Result<Option<SlotSnapshot>> {
        self.read(&self.target(key.as_ref()), |view| {
            Ok(SlotSnapshot {
                hash: view.hash(),
                epoch: view.ctl.epoch(),
                value_offset: view.value_offset() as u64,
                value_bytes: view.value_bytes,
                slot: view.slot.get(),
                value_type: view.value_type(),
                labels: view.labels(),
                ttl: view
                    .deadline()
                    .map(|deadline| Duration::from_nanos(deadline.saturating_sub(sys::now_ns()))),
                is_pinned: view.is_pinned(),
            })
        })
    }

    /// What the store is, and what has happened to it.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the file was cut while it was open.
    pub fn header_snapshot(&self) -> Result<HeaderSnapshot> {
        let header = self.region.header();
        // Relaxed: figures for people, each by itself.
        let snapshot = HeaderSnapshot {
            magic: MAGIC,
            version: FORMAT_VERSION,
            geometry: *self.region.geometry(),
            store_id: self.region.store_id(),
            region_bytes: self.region.bytes() as u64,
            epoch: self.region.journal_end(),
            auto_vacuum: self.region.is_sterile(),
            eviction: self.region.eviction(),
            parse_failures: header.parse_failures.load(Ordering::Relaxed),
            last_failure_epoch: header.last_failure_epoch.load(Ordering::Relaxed),
            repairs: header.repairs.load(Ordering::Relaxed),
        };
        self.region.check_intact().map(|()| snapshot)
    }

    /// A number below 1,024 that no other handle on the store has as long as this one is open, in any process.
    ///
    /// # Errors
    ///
    /// [`Error::Permission`] on a read-only handle, which nobody counts.
    pub fn handle_id(&self) -> Result<u32> {
        Ok(self.writer()?.me.index() as u32)
    }

    /// The numbers that were chosen when the store was created.
    pub fn geometry(&self) -> &Geometry {
        self.region.geometry()
    }

    /// Whether the store is sterile: see [`Self::set_auto_vacuum`].
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the file was cut while it was open.
    pub fn auto_vacuum(&self) -> Result<bool> {
        let sterile = self.region.is_sterile();
        self.region.check_intact().map(|()| sterile)
    }

    /// Sets whether replaced and deleted bytes are zeroed before the call that replaced or deleted them returns.
    ///
    /// It holds for all processes, from the next write on. What was left behind while it was off goes when its slot is next
    /// written: that of a key which still exists with its next change, that of a deleted one when another key takes it.
    ///
    /// # Errors
    ///
    /// [`Error::Permission`] on a read-only handle, [`Error::Corrupt`].
    pub fn set_auto_vacuum(&self, on: bool) -> Result<()> {
        let flags = &self.writer()?.region.header().flags;
        if on {
            flags.fetch_or(FLAG_AUTO_VACUUM, Ordering::Relaxed);
        } else {
            flags.fetch_and(!FLAG_AUTO_VACUUM, Ordering::Relaxed);
        }
        self.region.check_intact()
    }

    /// Waits until a key changes, for at most `timeout`: overwritten or deleted, or inserted if it does not exist.
    ///
    /// Returns whether it did. A change before the call does not count; a key that appears and disappears again while
    /// nobody looks may go unnoticed. Any number may wait, for the same key or others.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`], [`Error::KeyInvalid`], [`Error::Corrupt`].
    pub fn poll(&self, key: impl AsRef<[u8]>, timeout: Duration) -> Result<bool> {
        self.wait_for_change(key.as_ref(), None, timeout)
    }

    /// [`Self::poll`] for a change after `epoch`, which [`Self::epoch`] or [`Self::set`] returned (0: the key was absent): one
    /// that happened between that call and this one is reported at once.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn poll_since(&self, key: impl AsRef<[u8]>, epoch: u64, timeout: Duration) -> Result<bool> {
        self.wait_for_change(key.as_ref(), Some(epoch), timeout)
    }

    /// How often a read by this handle found its key changed under its eyes, and was begun anew: a measure of how much readers
    /// and writers are in each other's way.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    #[cold]
    pub(crate) fn count_retry(&self) {
        // Relaxed: a figure, which orders nothing.
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// The path by which other processes open this store.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes the handle, as dropping it does.
    pub fn close(self) {}
}

/// The length alone of a value that was copied.
#[inline]
fn length(found: Option<(usize, ())>) -> Option<usize> {
    found.map(|(bytes, ())| bytes)
}

/// Epoch and result of a write without a condition.
#[inline]
fn unconditional(written: Written) -> Result<(u64, u64)> {
    match written {
        Written::Done { epoch, result } => Ok((epoch, result)),
        Written::NotMet { .. } => Err(Error::ConditionNotMet),
    }
}

fn bytes_removed(removed: Removed) -> Option<usize> {
    match removed {
        Removed::Done { value_bytes, .. } => Some(value_bytes),
        Removed::NotMet { .. } => None,
    }
}

impl AsRef<Store> for Store {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AsFd for Store {
    /// The file, for handing an anonymous store to a child. Whoever keeps it keeps the memory, and nothing else, alive.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.region.file().as_fd()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .field("geometry", self.geometry())
            .finish_non_exhaustive()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let token = self.token.load(Ordering::Relaxed);
        // A forked child that never wrote is nobody to the store; the place is its parent's.
        let is_own = self.region.watch().state.load(Ordering::Relaxed) == guard::OPEN;
        if token != 0 && is_own {
            self.region.detach(Token::from_bits(token));
        }
    }
}
