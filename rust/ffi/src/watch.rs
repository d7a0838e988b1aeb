//! Watches and feeds, by way of a handle's one selector.

use std::collections::{HashMap, HashSet};
use std::os::fd::IntoRawFd;
use std::sync::{Arc, MutexGuard, PoisonError};

use splinter::{Change, Error, Event, EventKind, Pattern, Selector, WatchOptions};

use super::{
    SPL_CHANGE_APPENDED, SPL_CHANGE_ATTRIBUTES, SPL_CHANGE_CURRENT, SPL_CHANGE_EVICTED, SPL_CHANGE_EXPIRED,
    SPL_CHANGE_LOST, SPL_CHANGE_SET, SPL_CHANGE_UNSET, SPL_CHANGE_VANISHED, SPL_NO_VALUE, SPL_OK, SPL_PATTERN_GLOB,
    SPL_PATTERN_KEY, SPL_PATTERN_KEYS, SPL_PATTERN_PREFIX, SPL_WATCH_APPENDED, SPL_WATCH_FROM, SPL_WATCH_INITIAL,
    SPL_WATCH_LABELS, SPL_WATCH_VALUES, Shared, SplChange, SplError, SplStore, explained, guarded, handle, input,
    invalid, output,
};

/// The watches of a handle.
pub(crate) struct Watching {
    selector: Selector,
    feeds: HashSet<u32>,
    /// What was taken from a watch or a feed, but found no room.
    held: HashMap<u32, Record>,
}

/// What a watch or a feed delivers.
struct Record {
    kind: u32,
    seq: u64,
    epoch: u64,
    key: Arc<str>,
    value: Option<Vec<u8>>,
    offset: usize,
}

impl From<Event> for Record {
    fn from(event: Event) -> Self {
        Self {
            kind: match event.kind {
                EventKind::Set => SPL_CHANGE_SET,
                EventKind::Unset => SPL_CHANGE_UNSET,
                EventKind::Expired => SPL_CHANGE_EXPIRED,
                EventKind::Evicted => SPL_CHANGE_EVICTED,
            },
            seq: event.sequence,
            epoch: event.epoch,
            key: event.key,
            value: event.value,
            offset: event.offset,
        }
    }
}

impl Record {
    fn of_change(change: Change) -> Result<Self, Error> {
        let (kind, seq, epoch, key) = match change {
            Change::Set { sequence, key, epoch } => (SPL_CHANGE_SET, sequence, epoch, key),
            Change::Unset { sequence, key, epoch } => (SPL_CHANGE_UNSET, sequence, epoch, key),
            Change::Expired { sequence, key, epoch } => (SPL_CHANGE_EXPIRED, sequence, epoch, key),
            Change::Appended { sequence, key, epoch } => (SPL_CHANGE_APPENDED, sequence, epoch, key),
            Change::Evicted { sequence, key, epoch } => (SPL_CHANGE_EVICTED, sequence, epoch, key),
            Change::Attributes { sequence, key, epoch } => (SPL_CHANGE_ATTRIBUTES, sequence, epoch, key),
            Change::Vanished { sequence } => (SPL_CHANGE_VANISHED, sequence, 0, Arc::default()),
            Change::Lost { sequence, count } => (SPL_CHANGE_LOST, sequence, count, Arc::default()),
            Change::Current { sequence, key, epoch } => (SPL_CHANGE_CURRENT, sequence, epoch, key),
            _ => {
                return Err(Error::Internal {
                    reason: "a change of an unknown kind",
                });
            }
        };
        Ok(Self {
            kind,
            seq,
            epoch,
            key,
            value: None,
            offset: 0,
        })
    }

    /// Where the value begins.
    fn value_at(&self) -> usize {
        (size_of::<SplChange>() + self.key.len()).next_multiple_of(8)
    }

    fn bytes(&self) -> usize {
        let value_bytes = self.value.as_ref().map_or(0, Vec::len);
        self.value_at() + value_bytes.next_multiple_of(8)
    }

    fn write(&self, room: &mut [u8]) {
        let value = self.value.as_deref().unwrap_or_default();
        let value_len = self.value.as_ref().map_or(SPL_NO_VALUE, |value| value.len() as u32);
        let head = [self.kind, self.key.len() as u32, value_len, self.offset as u32];
        room[..8].copy_from_slice(&self.seq.to_ne_bytes());
        room[8..16].copy_from_slice(&self.epoch.to_ne_bytes());
        for (to, number) in room[16..32].chunks_exact_mut(4).zip(head) {
            to.copy_from_slice(&number.to_ne_bytes());
        }
        for (start, bytes) in [(size_of::<SplChange>(), self.key.as_bytes()), (self.value_at(), value)] {
            let end = start + bytes.len();
            room[start..end].copy_from_slice(bytes);
            room[end..end.next_multiple_of(8)].fill(0);
        }
    }
}

impl Watching {
    fn next(&mut self, id: u32) -> Result<Option<Record>, Error> {
        if let Some(record) = self.held.remove(&id) {
            return Ok(Some(record));
        }
        if self.feeds.contains(&id) {
            self.selector.next_change(id)?.map(Record::of_change).transpose()
        } else {
            Ok(self.selector.next_event(id)?.map(Record::from))
        }
    }

    /// Fills `buffer` with records. Returns the bytes filled, or, if there is not room for one, the room that it needs.
    fn fill(&mut self, id: u32, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while let Some(record) = self.next(id)? {
            let bytes = record.bytes();
            let Some(room) = buffer.get_mut(filled..filled + bytes) else {
                self.held.insert(id, record);
                return Ok(if filled == 0 { bytes } else { filled });
            };
            record.write(room);
            filled += bytes;
            // The newest state of a key is read when it is asked for, not before.
            if !self.feeds.contains(&id) {
                break;
            }
        }
        Ok(filled)
    }
}

fn lock(store: &SplStore) -> MutexGuard<'_, Option<Watching>> {
    store.watching.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `run` with the handle's watches.
fn with_watching<T>(store: &SplStore, run: impl FnOnce(&mut Watching) -> Result<T, Error>) -> Result<T, Error> {
    let mut watching = lock(store);
    run(watching
        .as_mut()
        .ok_or_else(|| invalid("spl_selector was not called"))?)
}

fn number_of(id: u32) -> Result<i32, Error> {
    i32::try_from(id).map_err(|_| Error::Internal {
        reason: "the numbers of watches are used up",
    })
}

/// # Safety
///
/// `from` is NULL or valid for reading.
unsafe fn start(flags: u32, from: *const u64) -> Result<Option<u64>, Error> {
    if flags & SPL_WATCH_FROM == 0 {
        return Ok(None);
    }
    // SAFETY: as the caller promises; it need not be aligned.
    let from = (!from.is_null()).then(|| unsafe { from.read_unaligned() });
    from.map(Some).ok_or_else(|| invalid("from is NULL"))
}

/// Starts the thread that follows the store for all watches of this handle, and returns a descriptor, the caller's to close: a
/// non-blocking stream on which a byte arrives when watches have become ready. Once a handle: `SPL_INVALID_ARGUMENT` if it was
/// called before.
///
/// While nothing is watched the thread does not follow the store. It ends when the handle is closed, and soon after the
/// descriptor was. A forked child cannot use the watches of its parent's handle.
///
/// # Safety
///
/// `store` is NULL or open; `error` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_selector(store: *const SplStore, error: *mut SplError) -> i32 {
    let start = || {
        // SAFETY: as the caller promises.
        let mut watching = lock(unsafe { handle(store)? });
        if watching.is_some() {
            return Err(invalid("the handle has a selector"));
        }
        // SAFETY: it is open, as the caller promises.
        let mut selector = Selector::new(unsafe { Shared::of(store) })?;
        let descriptor = selector.take_descriptor().ok_or(Error::Internal {
            reason: "a new selector has no descriptor",
        })?;
        *watching = Some(Watching {
            selector,
            feeds: HashSet::new(),
            held: HashMap::new(),
        });
        Ok(descriptor.into_raw_fd())
    };
    // SAFETY: as the caller promises.
    unsafe { explained(error, start) }
}

/// Watches keys, which need not exist yet: for each that has changed, `spl_next` delivers its newest state. `kind` is one of the
/// `SPL_PATTERN_` numbers, `flags` are `SPL_WATCH_` bits. Returns the watch's number, which is never used again. It needs
/// `spl_selector`. With `SPL_WATCH_LABELS` the labels stand behind `from`, as a second number.
///
/// Changes that come faster than they are taken are folded into one, and the epochs tell; the last state of a key is always
/// delivered. What is changed after this call has returned is never missed, except that a key which comes and goes between two
/// looks may pass unnoticed.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, `from` for reading one number, or two with
/// `SPL_WATCH_LABELS`, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_watch(
    store: *const SplStore,
    kind: u32,
    pattern: *const u8,
    pattern_len: u32,
    flags: u32,
    from: *const u64,
    error: *mut SplError,
) -> i32 {
    let watch = || {
        // SAFETY: as the caller promises.
        let (store, text) = unsafe { (handle(store)?, input(pattern, pattern_len)?) };
        let known = SPL_WATCH_VALUES | SPL_WATCH_INITIAL | SPL_WATCH_FROM | SPL_WATCH_APPENDED | SPL_WATCH_LABELS;
        if flags & !known != 0 {
            return Err(invalid("flags has unknown bits"));
        }
        let text = std::str::from_utf8(text).map_err(|_| Error::KeyInvalid {
            reason: "it is not UTF-8",
        })?;
        let pattern = match kind {
            SPL_PATTERN_KEY => Pattern::key(text),
            SPL_PATTERN_KEYS => Pattern::keys(text.split('\0')),
            SPL_PATTERN_PREFIX => Pattern::prefix(text),
            SPL_PATTERN_GLOB => Pattern::glob(text),
            _ => return Err(invalid("kind is none of the kinds of patterns")),
        };
        let mut options = WatchOptions::new()
            .values(flags & SPL_WATCH_VALUES != 0)
            .initial(flags & SPL_WATCH_INITIAL != 0)
            .appended(flags & SPL_WATCH_APPENDED != 0);
        if flags & SPL_WATCH_LABELS != 0 {
            if from.is_null() {
                return Err(invalid("from is NULL"));
            }
            // SAFETY: as the caller promises, there are two numbers; they need not be aligned.
            options = options.labels(unsafe { from.add(1).read_unaligned() });
        }
        // SAFETY: as the caller promises.
        if let Some(from) = unsafe { start(flags, from)? } {
            options = options.from(from);
        }
        with_watching(store, |watching| number_of(watching.selector.watch(pattern, &options)?))
    };
    // SAFETY: as the caller promises.
    unsafe { explained(error, watch) }
}

/// Follows every change of every key, from now on, or from a place in the journal on: `flags` is 0 or `SPL_WATCH_FROM`. Returns
/// a number as `spl_watch` does. What the journal does not hold any more is one `SPL_CHANGE_LOST`, and the current state after
/// it.
///
/// # Safety
///
/// `store` is NULL or open; `from` is valid for reading, or NULL; `error` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_changes(
    store: *const SplStore,
    flags: u32,
    from: *const u64,
    error: *mut SplError,
) -> i32 {
    let changes = || {
        if flags & !SPL_WATCH_FROM != 0 {
            return Err(invalid("flags has unknown bits"));
        }
        // SAFETY: as the caller promises.
        let (store, from) = unsafe { (handle(store)?, start(flags, from)?) };
        with_watching(store, |watching| {
            let id = watching.selector.changes(from)?;
            watching.feeds.insert(id);
            number_of(id)
        })
    };
    // SAFETY: as the caller promises.
    unsafe { explained(error, changes) }
}

/// Ends a watch or a feed. Without effect if there is none of that number.
///
/// # Safety
///
/// `store` is NULL or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_unwatch(store: *const SplStore, id: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        if let Some(watching) = &mut *lock(unsafe { handle(store)? }) {
            watching.selector.unwatch(id);
            watching.feeds.remove(&id);
            watching.held.remove(&id);
        }
        Ok(SPL_OK)
    })
}

/// Tells the numbers of watches and feeds that have got something to deliver, each once until `spl_next` has found it empty.
/// Returns how many; if that is `cap`, more may be left.
///
/// # Safety
///
/// `store` is NULL or open; `ids` is valid for writing `cap` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_ready(store: *const SplStore, ids: *mut u32, cap: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let store = unsafe { handle(store)? };
        if ids.is_null() || cap == 0 {
            return Err(invalid("there is no room for numbers"));
        }
        let limit = cap.min(i32::MAX as u32) as usize;
        let ready = with_watching(store, |watching| watching.selector.take_ready(limit))?;
        for (at, id) in ready.iter().enumerate() {
            // SAFETY: there are at most `cap` of them; the room need not be aligned.
            unsafe { ids.add(at).write_unaligned(*id) };
        }
        Ok(ready.len() as i32)
    })
}

/// Takes what a watch or a feed has to deliver: records of a `spl_change`, the key, zeros up to a multiple of 8, the value, and
/// zeros up to a multiple of 8. A watch gives one record a call, a feed as many as fit. Returns the bytes filled. 0: there is
/// nothing now, and it will be announced when there is. More than `cap`: nothing was taken, so much room is needed.
///
/// # Safety
///
/// `store` is NULL or open; `buf` is valid for `cap` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_next(store: *const SplStore, id: u32, buf: *mut u8, cap: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, buffer) = unsafe { (handle(store)?, output(buf, cap.min(i32::MAX as u32))?) };
        let bytes = with_watching(store, |watching| watching.fill(id, buffer))?;
        i32::try_from(bytes).map_err(|_| invalid("the record is too long"))
    })
}
