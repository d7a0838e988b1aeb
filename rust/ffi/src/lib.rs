//! The C functions of Splinter: each a handle, a few numbers and pointers in, a number out.
//!
//! The header `splinter_bus.h` is made of this file; its conventions stand in `cbindgen.toml`. No function has logic of its
//! own: arguments are checked, one method of [`splinter::Store`] is called, and its result becomes a number.

pub mod batch;
pub mod key;
pub mod operations;
pub mod scratch;
pub mod watch;

use std::ffi::c_char;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicPtr, AtomicU32};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use splinter::{Cursor, Durability, Error, ErrorCode, OpenOptions, Store, Syncer};

use watch::Watching;

/// Done.
pub const SPL_OK: i32 = 0;
/// There is no such key: a result, not an error.
pub const SPL_NO_KEY: i32 = -1;
/// What was opened is not a store.
pub const SPL_NOT_A_STORE: i32 = -2;
/// A store of another format version or geometry than was asked for.
pub const SPL_INCOMPATIBLE: i32 = -3;
/// A store whose bytes contradict themselves, or whose file was cut while it was open.
pub const SPL_CORRUPT: i32 = -4;
/// The store to be created exists already.
pub const SPL_EXISTS: i32 = -5;
/// There is no store of this name.
pub const SPL_NO_STORE: i32 = -6;
/// The operating system, or the way in which the store was opened, does not allow it.
pub const SPL_PERMISSION: i32 = -7;
/// Every slot holds a key.
pub const SPL_FULL: i32 = -8;
/// A key longer than this store's keys can be.
pub const SPL_KEY_TOO_LONG: i32 = -9;
/// A key that is empty, contains NUL, or is not UTF-8.
pub const SPL_KEY_INVALID: i32 = -10;
/// A value longer than this store's values can be.
pub const SPL_VALUE_TOO_LARGE: i32 = -11;
/// Another process was changing the same key for too long.
pub const SPL_BUSY: i32 = -12;
/// A wait ended without what was waited for.
pub const SPL_TIMEOUT: i32 = -13;
/// The handle is closed: NULL.
pub const SPL_CLOSED: i32 = -14;
/// An argument outside its limits.
pub const SPL_INVALID_ARGUMENT: i32 = -15;
/// The value is not of the type that the operation needs.
pub const SPL_WRONG_TYPE: i32 = -16;
/// The condition of a conditional write does not hold.
pub const SPL_CONDITION_NOT_MET: i32 = -17;
/// A reader of the journal was overtaken by it.
pub const SPL_FELL_BEHIND: i32 = -18;
/// The disk, or the memory for shared memory, is full.
pub const SPL_NO_SPACE: i32 = -19;
/// The operating system failed in another way: see `os_errno`.
pub const SPL_IO: i32 = -20;
/// A fault of this library.
pub const SPL_INTERNAL: i32 = -21;
/// The number would be beyond what 64 bits hold.
pub const SPL_OVERFLOW: i32 = -22;

/// `spl_open`: the store must exist.
pub const SPL_OPEN: u32 = 0;
/// `spl_open`: the store must not exist.
pub const SPL_CREATE: u32 = 1;
/// `spl_open`: open it, or create it if it does not exist.
pub const SPL_OPEN_OR_CREATE: u32 = 2;
/// `spl_open`: create it, or open it if it exists.
pub const SPL_CREATE_OR_OPEN: u32 = 3;

/// `spl_options.kind`: a file, by its path.
pub const SPL_FILE: u32 = 0;
/// `spl_options.kind`: shared memory, by its name.
pub const SPL_MEMORY: u32 = 1;
/// `spl_options.kind`: new memory without a name; `how` and `name` are not looked at.
pub const SPL_ANONYMOUS: u32 = 2;

/// `spl_options.flags`: map without the right to write.
pub const SPL_READ_ONLY: u32 = 1;
/// `spl_options.flags`: a store that is created does not zero replaced and deleted bytes.
pub const SPL_THROUGHPUT: u32 = 2;
/// `spl_options.flags`: `spl_poll` sleeps at once.
pub const SPL_NO_SPIN: u32 = 4;
/// `spl_options.flags`: what a write of this handle has returned from, no power cut takes: each ends with an `spl_sync`, and
/// fails with it. The change was made then: `spl_sync_failure` tells.
pub const SPL_COMMIT: u32 = 8;

/// `spl_watch`: one key.
pub const SPL_PATTERN_KEY: u32 = 0;
/// `spl_watch`: several keys, with a NUL between them.
pub const SPL_PATTERN_KEYS: u32 = 1;
/// `spl_watch`: the keys that begin so; all keys if it is empty.
pub const SPL_PATTERN_PREFIX: u32 = 2;
/// `spl_watch`: the keys that match: `*` is any run of characters, `?` one character, `\` makes the next one literal.
pub const SPL_PATTERN_GLOB: u32 = 3;

/// `spl_watch`: deliver values.
pub const SPL_WATCH_VALUES: u32 = 1;
/// `spl_watch`: deliver first what exists.
pub const SPL_WATCH_INITIAL: u32 = 2;
/// `spl_watch`, `spl_changes`: begin at `from`, which is not looked at otherwise.
pub const SPL_WATCH_FROM: u32 = 4;

/// `spl_watch`: deliver, of a value that was only appended to since it was delivered last, what was appended alone.
pub const SPL_WATCH_APPENDED: u32 = 8;
/// `spl_watch`: only keys that have all labels of a mask, which is the number behind `from`.
pub const SPL_WATCH_LABELS: u32 = 16;

/// `spl_change.kind`: the key was inserted or overwritten.
pub const SPL_CHANGE_SET: u32 = 1;
/// `spl_change.kind`: the key was deleted.
pub const SPL_CHANGE_UNSET: u32 = 2;
/// `spl_change.kind`: the key was deleted because its time was up.
pub const SPL_CHANGE_EXPIRED: u32 = 3;
/// `spl_change.kind`, of a feed: a change of a key that came and went before the feed was read; its name is not known.
pub const SPL_CHANGE_VANISHED: u32 = 4;
/// `spl_change.kind`, of a feed: the journal has gone on too far, and changes are lost. The current state follows.
pub const SPL_CHANGE_LOST: u32 = 5;
/// `spl_change.kind`, of a feed: a key as it is, after changes were lost.
pub const SPL_CHANGE_CURRENT: u32 = 6;
/// `spl_change.kind`, of a feed: bytes were put behind the value.
pub const SPL_CHANGE_APPENDED: u32 = 7;
/// `spl_change.kind`: the key was deleted to make room for another.
pub const SPL_CHANGE_EVICTED: u32 = 8;
/// `spl_change.kind`, of a feed: the labels, the deadline or the pin of the key were changed, and its value was not.
pub const SPL_CHANGE_ATTRIBUTES: u32 = 9;

/// `spl_set_options.flags`: only if the key does not exist.
pub const SPL_IF_ABSENT: u32 = 1;
/// `spl_set_options.flags`: only if the key exists.
pub const SPL_IF_PRESENT: u32 = 2;
/// `spl_set_options.flags`: only if the key has the epoch `spl_set_options.epoch`; 0: only if it does not exist.
pub const SPL_IF_EPOCH: u32 = 4;
/// `spl_set_options.flags`: the key is to be gone after `spl_set_options.ttl_ms`.
pub const SPL_SET_TTL: u32 = 8;
/// `spl_set_options.flags`: the key keeps the deadline that it has.
pub const SPL_KEEP_TTL: u32 = 16;
/// `spl_set_options.flags`: the value is of the type `spl_set_options.value_type`; else a key keeps its type.
pub const SPL_SET_TYPE: u32 = 32;

/// A value's type: nothing was said.
pub const SPL_TYPE_VOID: u32 = 0;
/// A value's type: a signed 64-bit number, little-endian.
pub const SPL_TYPE_BIGINT: u32 = 1;
/// A value's type: an unsigned 64-bit number, little-endian.
pub const SPL_TYPE_BIGUINT: u32 = 2;
/// A value's type: JSON in UTF-8.
pub const SPL_TYPE_JSON: u32 = 3;
/// A value's type: bytes.
pub const SPL_TYPE_BINARY: u32 = 4;
/// A value's type: an image.
pub const SPL_TYPE_IMAGE: u32 = 5;
/// A value's type: sound.
pub const SPL_TYPE_AUDIO: u32 = 6;
/// A value's type: text in UTF-8.
pub const SPL_TYPE_TEXT: u32 = 7;

/// `spl_apply`: the sum.
pub const SPL_ADD: u32 = 0;
/// `spl_apply`: the difference.
pub const SPL_SUB: u32 = 1;
/// `spl_apply`: the bits that both have.
pub const SPL_AND: u32 = 2;
/// `spl_apply`: the bits that either has.
pub const SPL_OR: u32 = 3;
/// `spl_apply`: the bits that one of them has.
pub const SPL_XOR: u32 = 4;
/// `spl_apply`: the bits that the number has not; the operand is not looked at.
pub const SPL_NOT: u32 = 5;
/// `spl_apply`, added to `SPL_ADD` or `SPL_SUB`: `SPL_OVERFLOW` where the result would wrap.
pub const SPL_CHECKED: u32 = 16;
/// `spl_apply`, added to any: the numbers are `int64_t`, and a new key gets that type.
pub const SPL_SIGNED: u32 = 32;

/// What goes when the store is full: nothing, `SPL_FULL` instead.
pub const SPL_EVICT_NONE: u32 = 0;
/// What goes when the store is full: the key whose time is up soonest.
pub const SPL_EVICT_TTL: u32 = 1;
/// What goes when the store is full: a key that was not used for a long time.
pub const SPL_EVICT_LRU: u32 = 2;

/// A time to live without end.
pub const SPL_NO_DEADLINE: u64 = u64::MAX;

/// `spl_change.value_len`: there is no value.
pub const SPL_NO_VALUE: u32 = u32::MAX;

/// A timeout that never ends, in milliseconds.
pub const SPL_FOREVER: u32 = u32::MAX;

/// Where results stand in registered scratch memory, in bytes from its start; they take at most 64.
pub const SPL_SCRATCH_RESULT: u32 = 0;
/// Where the key stands in registered scratch memory.
pub const SPL_SCRATCH_KEY: u32 = 64;
/// Where the value stands in registered scratch memory, up to its end.
pub const SPL_SCRATCH_VALUE: u32 = 1152;

/// A handle on a store. Any number of threads may use it at once, except that closing it must be the last use, and
/// that its scratch memory is one thread's.
pub struct SplStore {
    store: Store,
    scratch: AtomicPtr<u8>,
    scratch_bytes: AtomicU32,
    watching: Mutex<Option<Watching>>,
    /// Of a handle that is synced at intervals. Locked by the first and the last use of the handle alone.
    syncing: Mutex<Option<Syncer>>,
}

/// Why a rarely called function failed, in words.
#[repr(C)]
pub struct SplError {
    /// The function's result.
    pub code: i32,
    /// The operating system's error number if `code` is `SPL_IO`, else 0.
    pub os_errno: i32,
    /// One sentence in UTF-8, NUL-terminated.
    pub message: [c_char; 512],
}

/// How a store is opened. Zero is the default of every number.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SplOptions {
    /// `sizeof(struct spl_options)`.
    pub size: u32,
    /// `SPL_FILE`, `SPL_MEMORY` or `SPL_ANONYMOUS`.
    pub kind: u32,
    /// Most keys at once (1024).
    pub slots: u32,
    /// Longest key in bytes (64).
    pub max_key_bytes: u32,
    /// Longest value in bytes (4096).
    pub max_value_bytes: u32,
    /// Changes that the journal remembers (four a slot).
    pub journal_entries: u32,
    /// Permission bits of a store that is created (0600).
    pub mode: u32,
    /// `SPL_READ_ONLY`, `SPL_THROUGHPUT`, `SPL_NO_SPIN`, `SPL_COMMIT`.
    pub flags: u32,
    /// How long a write waits for another writer of the same key, in milliseconds (1000).
    pub lock_timeout_ms: u32,
    /// How long `spl_poll` looks before it sleeps, in microseconds (5).
    pub spin_us: u32,
    /// Waits look again after so many milliseconds without having been woken (100): for file systems where a wake does not
    /// reach every process.
    pub poll_interval_ms: u32,
    /// What goes when a store that is created is full: one of the `SPL_EVICT_` numbers.
    pub eviction: u32,
    /// A thread syncs the store each time so many milliseconds have passed, and once more when the handle is closed (never). Not
    /// with `SPL_COMMIT` or `SPL_READ_ONLY`. A forked child has no such thread; its parent's syncs what it writes.
    pub sync_interval_ms: u32,
}

/// Bytes of the shortest `spl_options` there ever was. Fields that a caller does not know of are 0.
const OPTIONS_BYTES_MIN: usize = 44;

/// What was done to a store that was opened after a restart of the machine.
#[repr(C)]
pub struct SplRecovery {
    /// Keys that were found whole in the store itself.
    pub kept: u32,
    /// Keys that were taken from the checkpoint.
    pub restored: u32,
    /// Keys that were written after the last sync, and were not whole, and are in no checkpoint: they are gone.
    pub lost: u32,
    /// 0.
    pub reserved: u32,
}

/// Where and how a key is stored.
#[repr(C)]
pub struct SplSlotSnapshot {
    /// Hash of the key.
    pub hash: u64,
    /// Epoch of the value.
    pub epoch: u64,
    /// Bytes from the start of the region to the value.
    pub val_off: u64,
    /// Length of the value in bytes.
    pub val_len: u32,
    /// Number of the slot.
    pub slot: u32,
    /// Labels, one bit each.
    pub labels: u64,
    /// How long the key has yet to live in milliseconds, or `SPL_NO_DEADLINE`.
    pub ttl_ms: u64,
    /// One of the `SPL_TYPE_` numbers.
    pub value_type: u32,
    /// 1 if the key is never evicted.
    pub pinned: u32,
}

/// What a store is, and what has happened to it.
#[repr(C)]
pub struct SplHeaderSnapshot {
    /// Changes ever made to the store.
    pub epoch: u64,
    /// Invalid numbers that were met in the region.
    pub parse_failures: u64,
    /// The store's epoch when the last of them was met.
    pub last_failure_epoch: u64,
    /// Length of the region in bytes.
    pub region_bytes: u64,
    /// Changes that the journal remembers.
    pub journal_entries: u64,
    /// Drawn at random when the store was created.
    pub store_id: [u8; 16],
    /// First four bytes of every store.
    pub magic: u32,
    /// Version of the format.
    pub version: u32,
    /// Most keys at once.
    pub slots: u32,
    /// Longest key in bytes.
    pub max_key_bytes: u32,
    /// Longest value in bytes.
    pub max_value_bytes: u32,
    /// 1 if replaced and deleted bytes are zeroed.
    pub auto_vacuum: u32,
    /// What goes when the store is full: one of the `SPL_EVICT_` numbers.
    pub eviction: u32,
    /// 0.
    pub reserved: u32,
}

/// What stands before the key and the value in a record of `spl_next`.
#[repr(C)]
pub struct SplChange {
    /// Place in the journal; of `SPL_CHANGE_LOST` and `SPL_CHANGE_CURRENT` that of the first change that was lost.
    pub seq: u64,
    /// Epoch of the key; of `SPL_CHANGE_LOST` how many changes were lost; of `SPL_CHANGE_VANISHED` 0.
    pub epoch: u64,
    /// One of the `SPL_CHANGE_` numbers.
    pub kind: u32,
    /// Length of the key in bytes.
    pub key_len: u32,
    /// Length of the value in bytes, or `SPL_NO_VALUE`.
    pub value_len: u32,
    /// Where in the whole value these bytes begin: 0, but for `SPL_WATCH_APPENDED`.
    pub offset: u32,
}

/// A place in a scan; all zero at the start.
#[repr(C)]
pub struct SplCursor {
    /// Of this library only.
    pub births: u64,
    /// Of this library only.
    pub next: u64,
    /// Labels that a key must have to be told, one bit each: the caller's to set.
    pub labels: u64,
}

/// What stands before the key in a record of `spl_scan`.
#[repr(C)]
pub struct SplEntry {
    /// Epoch of the key.
    pub epoch: u64,
    /// Labels, one bit each.
    pub labels: u64,
    /// Length of the value in bytes.
    pub value_len: u32,
    /// Length of the key in bytes.
    pub key_len: u32,
    /// One of the `SPL_TYPE_` numbers.
    pub value_type: u32,
    /// 0.
    pub reserved: u32,
}

/// A handle that others have too: the thread of a selector or of a syncer, or a key.
struct Shared(Arc<SplStore>);

impl Shared {
    /// # Safety
    ///
    /// `store` is an open handle.
    unsafe fn of(store: *const SplStore) -> Self {
        // SAFETY: an open handle is a count that `spl_open` gave away; this adds one of our own.
        unsafe {
            Arc::increment_strong_count(store);
            Self(Arc::from_raw(store))
        }
    }
}

impl AsRef<Store> for Shared {
    fn as_ref(&self) -> &Store {
        &self.0.store
    }
}

type Outcome = Result<i32, Error>;

/// What a store's answer is as a number: a length, or that there is no such key.
fn length(found: Option<usize>) -> i32 {
    // Lengths are at most 2^30.
    found.map_or(SPL_NO_KEY, |bytes| bytes as i32)
}

/// The negative number of an error.
fn number(code: ErrorCode) -> i32 {
    -(code as i32)
}

fn invalid(reason: &'static str) -> Error {
    Error::InvalidArgument { reason: reason.into() }
}

/// Runs a function that may not unwind into its caller, who speaks C.
fn guarded(run: impl FnOnce() -> Outcome) -> i32 {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => number(error.code()),
        Err(_) => SPL_INTERNAL,
    }
}

/// The same for a function that tells its error in words too.
///
/// # Safety
///
/// `told` is NULL or valid for writing.
unsafe fn explained(told: *mut SplError, run: impl FnOnce() -> Outcome) -> i32 {
    let error = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(result)) => return result,
        Ok(Err(error)) => error,
        Err(_) => Error::Internal { reason: "a panic" },
    };
    // SAFETY: as the caller promises.
    if let Some(told) = unsafe { told.as_mut() } {
        told.code = number(error.code());
        told.os_errno = error.os_error().unwrap_or(0);
        told.message = [0; 512];
        let text = error.to_string();
        let bytes = text.floor_char_boundary(told.message.len() - 1);
        for (to, from) in told.message.iter_mut().zip(&text.as_bytes()[..bytes]) {
            *to = *from as c_char;
        }
    }
    number(error.code())
}

/// # Safety
///
/// `store` is NULL or a handle that is not closed.
unsafe fn handle<'a>(store: *const SplStore) -> Result<&'a SplStore, Error> {
    // SAFETY: as the caller promises.
    unsafe { store.as_ref() }.ok_or(Error::Closed)
}

/// # Safety
///
/// `at` is valid for reading `len` bytes, unless `len` is 0 or `at` is NULL.
unsafe fn input<'a>(at: *const u8, len: u32) -> Result<&'a [u8], Error> {
    if len == 0 {
        return Ok(&[]);
    }
    if at.is_null() {
        return Err(invalid("a pointer is NULL although its length is not 0"));
    }
    // SAFETY: as the caller promises.
    Ok(unsafe { std::slice::from_raw_parts(at, len as usize) })
}

/// # Safety
///
/// As for [`input`], for writing.
unsafe fn output<'a>(at: *mut u8, len: u32) -> Result<&'a mut [u8], Error> {
    if len == 0 {
        return Ok(&mut []);
    }
    if at.is_null() {
        return Err(invalid("a pointer is NULL although its length is not 0"));
    }
    // SAFETY: as the caller promises.
    Ok(unsafe { std::slice::from_raw_parts_mut(at, len as usize) })
}

/// # Safety
///
/// `out` is NULL or valid for writing.
unsafe fn put<T>(out: *mut T, value: T) -> Outcome {
    if out.is_null() {
        return Err(invalid("an output pointer is NULL"));
    }
    // SAFETY: as the caller promises.
    unsafe { out.write(value) };
    Ok(SPL_OK)
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// Copies bytes to a buffer if they fit, and returns how many they are.
fn deliver(bytes: &[u8], buffer: &mut [u8]) -> Outcome {
    if let Some(room) = buffer.get_mut(..bytes.len()) {
        room.copy_from_slice(bytes);
    }
    i32::try_from(bytes.len()).map_err(|_| invalid("the result is too long"))
}

fn milliseconds(timeout_ms: u32) -> Duration {
    if timeout_ms == SPL_FOREVER {
        Duration::MAX
    } else {
        Duration::from_millis(timeout_ms.into())
    }
}

/// A time that is left, rounded up: what is not over is not 0.
fn in_milliseconds(left: Duration) -> u64 {
    u64::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(SPL_NO_DEADLINE)
}

/// Options as a caller knows them, who may be older than this library.
///
/// # Safety
///
/// `options` is NULL, or begins with its size and is valid for reading so many bytes.
unsafe fn given_options(options: *const SplOptions) -> Result<Option<SplOptions>, Error> {
    if options.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises.
    let size = unsafe { options.cast::<u32>().read() };
    if ![OPTIONS_BYTES_MIN, size_of::<SplOptions>()].contains(&(size as usize)) {
        return Err(invalid("spl_options.size is not sizeof(struct spl_options)"));
    }
    // SAFETY: numbers may be all zero; the size is no greater than that of the target.
    unsafe {
        let mut given: SplOptions = std::mem::zeroed();
        let to: *mut SplOptions = &mut given;
        std::ptr::copy_nonoverlapping(options.cast::<u8>(), to.cast(), size as usize);
        Ok(Some(given))
    }
}

fn open_options(given: &SplOptions) -> Result<OpenOptions, Error> {
    if given.kind > SPL_ANONYMOUS {
        return Err(invalid("spl_options.kind is none of the kinds"));
    }
    if given.flags & !(SPL_READ_ONLY | SPL_THROUGHPUT | SPL_NO_SPIN | SPL_COMMIT) != 0 {
        return Err(invalid("spl_options.flags has unknown bits"));
    }
    if given.sync_interval_ms != 0 && given.flags & (SPL_READ_ONLY | SPL_COMMIT) != 0 {
        return Err(invalid(
            "spl_options.sync_interval_ms goes neither with SPL_READ_ONLY nor with SPL_COMMIT",
        ));
    }
    let set = |number: u32| (number != 0).then_some(number);
    let mut options = OpenOptions::new()
        .memory(given.kind == SPL_MEMORY)
        .read_only(given.flags & SPL_READ_ONLY != 0)
        .auto_vacuum(given.flags & SPL_THROUGHPUT == 0)
        .eviction(operations::eviction(given.eviction)?);
    if given.flags & SPL_COMMIT != 0 {
        options = options.durability(Durability::Commit);
    }
    if let Some(slots) = set(given.slots) {
        options = options.slots(slots);
    }
    if let Some(bytes) = set(given.max_key_bytes) {
        options = options.max_key_bytes(bytes);
    }
    if let Some(bytes) = set(given.max_value_bytes) {
        options = options.max_value_bytes(bytes);
    }
    if let Some(entries) = set(given.journal_entries) {
        options = options.journal_entries(entries);
    }
    if let Some(mode) = set(given.mode) {
        options = options.mode(mode);
    }
    if let Some(timeout_ms) = set(given.lock_timeout_ms) {
        options = options.lock_timeout(milliseconds(timeout_ms));
    }
    if given.flags & SPL_NO_SPIN != 0 {
        options = options.spin(Duration::ZERO);
    } else if let Some(spin_us) = set(given.spin_us) {
        options = options.spin(Duration::from_micros(spin_us.into()));
    }
    if let Some(interval_ms) = set(given.poll_interval_ms) {
        options = options.poll_interval(milliseconds(interval_ms));
    }
    Ok(options)
}

/// The version of this interface: 1. Within a version functions are only added.
#[unsafe(no_mangle)]
pub extern "C" fn spl_abi() -> u32 {
    1
}

/// Opens or creates a store. `how` is one of `SPL_OPEN` to `SPL_CREATE_OR_OPEN`; `name` is a path or a name, not
/// NUL-terminated; `options` may be NULL. Returns NULL on failure, which `error` explains unless it is NULL.
///
/// # Safety
///
/// The pointers are valid for their lengths, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_open(
    how: u32,
    name: *const u8,
    name_len: u32,
    options: *const SplOptions,
    error: *mut SplError,
) -> *mut SplStore {
    let mut opened = std::ptr::null_mut();
    let open = || {
        // SAFETY: as the caller promises.
        let (name, given) = unsafe { (input(name, name_len)?, given_options(options)?) };
        let (kind, options, interval_ms) = match given {
            Some(given) => (given.kind, open_options(&given)?, given.sync_interval_ms),
            None => (SPL_FILE, OpenOptions::new(), 0),
        };
        let store = match (kind, how) {
            (SPL_ANONYMOUS, _) => options.anonymous(),
            (_, SPL_OPEN) => options.open(path(name)),
            (_, SPL_CREATE) => options.create(path(name)),
            (_, SPL_OPEN_OR_CREATE) => options.open_or_create(path(name)),
            (_, SPL_CREATE_OR_OPEN) => options.create_or_open(path(name)),
            _ => Err(invalid("how is none of the ways to open a store")),
        }?;
        // Counted, because the thread of a selector has it too.
        let store = Arc::new(SplStore {
            store,
            scratch: AtomicPtr::new(std::ptr::null_mut()),
            scratch_bytes: AtomicU32::new(0),
            watching: Mutex::new(None),
            syncing: Mutex::new(None),
        });
        if interval_ms != 0 {
            let syncer = Syncer::start(Shared(store.clone()), Duration::from_millis(interval_ms.into()))?;
            *store.syncing.lock().unwrap_or_else(PoisonError::into_inner) = Some(syncer);
        }
        opened = Arc::into_raw(store).cast_mut();
        Ok(SPL_OK)
    };
    // SAFETY: as the caller promises.
    unsafe { explained(error, open) };
    opened
}

/// Closes a handle: no function may be using it, and none may use it afterwards. `SPL_CLOSED` for NULL. Ends the thread
/// that `spl_selector` started, and the one that syncs, which does so once more: where that has failed, now or before, the
/// result is its error, and the handle is closed all the same.
///
/// # Safety
///
/// `store` is NULL or came from `spl_open` and was not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_close(store: *mut SplStore) -> i32 {
    guarded(|| {
        if store.is_null() {
            return Err(Error::Closed);
        }
        // SAFETY: as the caller promises.
        let store = unsafe { Arc::from_raw(store) };
        // Its thread lets go of the store, so that ours is the last hand on it.
        drop(store.watching.lock().unwrap_or_else(PoisonError::into_inner).take());
        let syncer = store.syncing.lock().unwrap_or_else(PoisonError::into_inner).take();
        let failure = syncer.and_then(|syncer| {
            drop(syncer);
            store.store.sync_failure().cloned()
        });
        drop(store);
        failure.map_or(Ok(SPL_OK), Err)
    })
}

/// Takes a store's name away. `kind` is `SPL_FILE` or `SPL_MEMORY`.
///
/// # Safety
///
/// The pointers are valid for their lengths, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_remove(kind: u32, name: *const u8, name_len: u32, error: *mut SplError) -> i32 {
    let remove = || {
        // SAFETY: as the caller promises.
        let name = path(unsafe { input(name, name_len)? });
        match kind {
            SPL_FILE => Store::remove(name)?,
            SPL_MEMORY => Store::remove_memory(name)?,
            _ => return Err(invalid("kind has no names")),
        }
        Ok(SPL_OK)
    };
    // SAFETY: as the caller promises.
    unsafe { explained(error, remove) }
}

/// Copies the path by which other processes open the store, if it fits; returns its length.
///
/// # Safety
///
/// `store` is NULL or open; `buf` is valid for `cap` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_path(store: *const SplStore, buf: *mut u8, cap: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, buffer) = unsafe { (handle(store)?, output(buf, cap)?) };
        deliver(store.store.path().as_os_str().as_bytes(), buffer)
    })
}

/// Stores a value under a key.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_set(
    store: *const SplStore,
    key: *const u8,
    key_len: u32,
    value: *const u8,
    value_len: u32,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key, value) = unsafe { (handle(store)?, input(key, key_len)?, input(value, value_len)?) };
        store.store.set(key, value).map(|_| SPL_OK)
    })
}

/// `spl_set` that never waits: `SPL_BUSY` at once while another writer changes the same key.
///
/// # Safety
///
/// As for `spl_set`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_try_set(
    store: *const SplStore,
    key: *const u8,
    key_len: u32,
    value: *const u8,
    value_len: u32,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key, value) = unsafe { (handle(store)?, input(key, key_len)?, input(value, value_len)?) };
        store.store.try_set(key, value).map(|_| SPL_OK)
    })
}

/// Copies a value to `buf` if it fits; returns its length, or `SPL_NO_KEY`.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_get(store: *const SplStore, key: *const u8, key_len: u32, buf: *mut u8, cap: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key, buffer) = unsafe { (handle(store)?, input(key, key_len)?, output(buf, cap)?) };
        store.store.get(key, buffer).map(length)
    })
}

/// Deletes a key; returns the length of the value that was there, or `SPL_NO_KEY`.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_unset(store: *const SplStore, key: *const u8, key_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (handle(store)?, input(key, key_len)?) };
        store.store.unset(key).map(length)
    })
}

/// `spl_unset` that never waits: `SPL_BUSY` at once while another writer changes the same key.
///
/// # Safety
///
/// As for `spl_unset`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_try_unset(store: *const SplStore, key: *const u8, key_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (handle(store)?, input(key, key_len)?) };
        store.store.try_unset(key).map(length)
    })
}

/// 1 if there is such a key, 0 if not.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_contains(store: *const SplStore, key: *const u8, key_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (handle(store)?, input(key, key_len)?) };
        store.store.contains(key).map(i32::from)
    })
}

/// The epoch of a key.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, `epoch` for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_epoch(store: *const SplStore, key: *const u8, key_len: u32, epoch: *mut u64) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (handle(store)?, input(key, key_len)?) };
        match store.store.epoch(key)? {
            // SAFETY: as the caller promises.
            Some(found) => unsafe { put(epoch, found) },
            None => Ok(SPL_NO_KEY),
        }
    })
}

fn slot_snapshot(store: &Store, key: &[u8]) -> Result<Option<SplSlotSnapshot>, Error> {
    Ok(store.slot_snapshot(key)?.map(|found| SplSlotSnapshot {
        hash: found.hash,
        epoch: found.epoch,
        val_off: found.value_offset,
        val_len: found.value_bytes as u32,
        slot: found.slot,
        labels: found.labels,
        ttl_ms: found.ttl.map_or(SPL_NO_DEADLINE, in_milliseconds),
        value_type: found.value_type as u32,
        pinned: found.is_pinned.into(),
    }))
}

/// Where and how a key is stored.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, `snapshot` for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_slot_snapshot(
    store: *const SplStore,
    key: *const u8,
    key_len: u32,
    snapshot: *mut SplSlotSnapshot,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (handle(store)?, input(key, key_len)?) };
        match slot_snapshot(&store.store, key)? {
            // SAFETY: as the caller promises.
            Some(found) => unsafe { put(snapshot, found) },
            None => Ok(SPL_NO_KEY),
        }
    })
}

/// What the store is, and what has happened to it.
///
/// # Safety
///
/// `store` is NULL or open; `snapshot` is valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_header_snapshot(store: *const SplStore, snapshot: *mut SplHeaderSnapshot) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let found = unsafe { handle(store)? }.store.header_snapshot()?;
        let snapshot_now = SplHeaderSnapshot {
            epoch: found.epoch,
            parse_failures: found.parse_failures,
            last_failure_epoch: found.last_failure_epoch,
            region_bytes: found.region_bytes,
            journal_entries: found.geometry.journal_entries().into(),
            store_id: found.store_id,
            magic: found.magic,
            version: found.version,
            slots: found.geometry.slots(),
            max_key_bytes: found.geometry.max_key_bytes(),
            max_value_bytes: found.geometry.max_value_bytes(),
            auto_vacuum: found.auto_vacuum.into(),
            eviction: found.eviction as u32,
            reserved: 0,
        };
        // SAFETY: as the caller promises.
        unsafe { put(snapshot, snapshot_now) }
    })
}

/// Waits until a key changes, for at most `timeout_ms` milliseconds: 1 if it did, 0 if not.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_poll(store: *const SplStore, key: *const u8, key_len: u32, timeout_ms: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (handle(store)?, input(key, key_len)?) };
        store.store.poll(key, milliseconds(timeout_ms)).map(i32::from)
    })
}

/// `spl_poll` for a change after an epoch that `spl_epoch` told (0: the key was absent).
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, `epoch` for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_poll_since(
    store: *const SplStore,
    key: *const u8,
    key_len: u32,
    timeout_ms: u32,
    epoch: *const u64,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key, epoch) = unsafe { (handle(store)?, input(key, key_len)?, epoch.as_ref()) };
        let epoch = *epoch.ok_or_else(|| invalid("the epoch is NULL"))?;
        store
            .store
            .poll_since(key, epoch, milliseconds(timeout_ms))
            .map(i32::from)
    })
}

/// A number below 1,024 that no other handle on the store has as long as this one is open, in any process.
/// `SPL_PERMISSION` for a handle that is only read.
///
/// # Safety
///
/// `store` is NULL or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_handle_id(store: *const SplStore) -> i32 {
    // SAFETY: as the caller promises.
    guarded(|| unsafe { handle(store)? }.store.handle_id().map(|id| id as i32))
}

/// 1 if the store zeroes replaced and deleted bytes, 0 if not.
///
/// # Safety
///
/// `store` is NULL or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_auto_vacuum(store: *const SplStore) -> i32 {
    // SAFETY: as the caller promises.
    guarded(|| unsafe { handle(store)? }.store.auto_vacuum().map(i32::from))
}

/// Sets whether the store zeroes replaced and deleted bytes: 1 or 0.
///
/// # Safety
///
/// `store` is NULL or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_set_auto_vacuum(store: *const SplStore, on: u32) -> i32 {
    guarded(|| {
        if on > 1 {
            return Err(invalid("auto_vacuum is 0 or 1"));
        }
        // SAFETY: as the caller promises.
        unsafe { handle(store)? }
            .store
            .set_auto_vacuum(on == 1)
            .map(|()| SPL_OK)
    })
}

/// Puts everything on the disk that was written before the call, by whomever, and waits for it: no power cut takes it then.
/// Without effect on shared memory. After an `SPL_IO` or `SPL_NO_SPACE` every later sync of the handle fails with it.
///
/// # Safety
///
/// `store` is NULL or open; `error` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_sync(store: *const SplStore, error: *mut SplError) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { explained(error, || handle(store)?.store.sync().map(|()| SPL_OK)) }
}

/// `SPL_OK`, or the failure with which every sync of this handle fails from now on, if one has failed: `spl_sync`, that of a
/// write with `SPL_COMMIT`, or one of those at intervals.
///
/// # Safety
///
/// `store` is NULL or open; `error` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_sync_failure(store: *const SplStore, error: *mut SplError) -> i32 {
    let ask = || {
        // SAFETY: as the caller promises.
        let failure = unsafe { handle(store)? }.store.sync_failure().cloned();
        failure.map_or(Ok(SPL_OK), Err)
    };
    // SAFETY: as the caller promises.
    unsafe { explained(error, ask) }
}

/// Tells what was done when this handle opened the store after a restart of the machine: 1; or 0 if there was nothing to do.
///
/// # Safety
///
/// `store` is NULL or open; `recovery` is valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_recovery(store: *const SplStore, recovery: *mut SplRecovery) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let Some(found) = unsafe { handle(store)? }.store.recovery() else {
            return Ok(0);
        };
        let told = SplRecovery {
            kept: found.kept,
            restored: found.restored,
            lost: found.lost,
            reserved: 0,
        };
        // SAFETY: as the caller promises.
        unsafe { put(recovery, told) }.map(|_| 1)
    })
}

/// Copies the live store to a new file.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_backup(store: *const SplStore, to: *const u8, to_len: u32, error: *mut SplError) -> i32 {
    let backup = || {
        // SAFETY: as the caller promises.
        let (store, to) = unsafe { (handle(store)?, input(to, to_len)?) };
        store.store.backup(path(to)).map(|()| SPL_OK)
    };
    // SAFETY: as the caller promises.
    unsafe { explained(error, backup) }
}

/// Fills `buf` with the next keys that begin with a prefix and have the cursor's labels, as records of an `spl_entry`, the
/// key, and padding to a multiple of 8. Returns the bytes filled; 0 is the end.
///
/// A key that exists from the first call to the last is reported exactly once. Room for 2,048 bytes always suffices for
/// one record.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, `cursor` for reading and writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scan(
    store: *const SplStore,
    cursor: *mut SplCursor,
    prefix: *const u8,
    prefix_len: u32,
    buf: *mut u8,
    cap: u32,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, prefix) = unsafe { (handle(store)?, input(prefix, prefix_len)?) };
        // SAFETY: as the caller promises.
        let (cursor, buffer) = unsafe { (cursor.as_mut(), output(buf, cap.min(i32::MAX as u32))?) };
        let cursor = cursor.ok_or_else(|| invalid("the cursor is NULL"))?;
        let start = Cursor {
            births: cursor.births,
            next: cursor.next,
        };
        let mut entries = store.store.list_from(start, prefix).with_labels(cursor.labels);
        let mut filled = 0;
        let mut stopped_at = entries.cursor();
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let key_at = size_of::<SplEntry>();
            let record_bytes = (key_at + entry.key.len()).next_multiple_of(8);
            let Some(record) = buffer.get_mut(filled..filled + record_bytes) else {
                if filled == 0 {
                    return Err(invalid("the buffer has no room for one record"));
                }
                break;
            };
            record.fill(0);
            record[..8].copy_from_slice(&entry.epoch.to_ne_bytes());
            record[8..16].copy_from_slice(&entry.labels.to_ne_bytes());
            let numbers = [
                entry.value_bytes as u32,
                entry.key.len() as u32,
                entry.value_type as u32,
            ];
            for (to, number) in record[16..28].chunks_exact_mut(4).zip(numbers) {
                to.copy_from_slice(&number.to_ne_bytes());
            }
            record[key_at..key_at + entry.key.len()].copy_from_slice(entry.key.as_bytes());
            filled += record_bytes;
            stopped_at = entries.cursor();
        }
        if filled == 0 {
            stopped_at = entries.cursor();
        }
        cursor.births = stopped_at.births;
        cursor.next = stopped_at.next;
        Ok(filled as i32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use operations::{SplSetOptions, SplVersion, SplView};

    #[test]
    fn codes_are_those_of_the_core() {
        let pairs = [
            (SPL_NOT_A_STORE, ErrorCode::NotAStore),
            (SPL_INCOMPATIBLE, ErrorCode::Incompatible),
            (SPL_CORRUPT, ErrorCode::Corrupt),
            (SPL_EXISTS, ErrorCode::Exists),
            (SPL_NO_STORE, ErrorCode::NoSuchStore),
            (SPL_PERMISSION, ErrorCode::Permission),
            (SPL_FULL, ErrorCode::Full),
            (SPL_KEY_TOO_LONG, ErrorCode::KeyTooLong),
            (SPL_KEY_INVALID, ErrorCode::KeyInvalid),
            (SPL_VALUE_TOO_LARGE, ErrorCode::ValueTooLarge),
            (SPL_BUSY, ErrorCode::Busy),
            (SPL_TIMEOUT, ErrorCode::Timeout),
            (SPL_CLOSED, ErrorCode::Closed),
            (SPL_INVALID_ARGUMENT, ErrorCode::InvalidArgument),
            (SPL_WRONG_TYPE, ErrorCode::WrongType),
            (SPL_CONDITION_NOT_MET, ErrorCode::ConditionNotMet),
            (SPL_FELL_BEHIND, ErrorCode::FellBehind),
            (SPL_NO_SPACE, ErrorCode::NoSpace),
            (SPL_IO, ErrorCode::Io),
            (SPL_INTERNAL, ErrorCode::Internal),
            (SPL_OVERFLOW, ErrorCode::Overflow),
        ];
        for (ours, theirs) in pairs {
            assert_eq!(ours, number(theirs));
        }
    }

    #[test]
    fn a_panic_becomes_a_code() {
        assert_eq!(guarded(|| panic!("on purpose")), SPL_INTERNAL);
    }

    #[test]
    fn structures_have_the_sizes_that_bindings_count_on() {
        assert_eq!(size_of::<SplError>(), 520);
        assert_eq!(size_of::<SplOptions>(), 52);
        assert_eq!(size_of::<SplRecovery>(), 16);
        assert_eq!(size_of::<SplSlotSnapshot>(), 56);
        assert_eq!(size_of::<SplHeaderSnapshot>(), 88);
        assert_eq!(size_of::<SplCursor>(), 24);
        assert_eq!(size_of::<SplEntry>(), 32);
        assert_eq!(size_of::<SplSetOptions>(), 32);
        assert_eq!(size_of::<SplVersion>(), 16);
        assert_eq!(size_of::<SplView>(), 32);
        assert_eq!(size_of::<SplChange>(), 32);
    }
}
