//! The classic interface: results and `errno` as libsplinter 0.9 had them. `splinter.h` says what each function promises; here
//! stands only what of it is not seen there.
//!
//! A function has an outcome, which is a result or an `errno`, and says which result goes with an `errno`.

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr;
use std::time::{Duration, Instant};

use splinter::{Error, OpenOptions, Store};

use crate::current;

/// What a header snapshot begins with: "SLNT" read as a number.
pub const SPLINTER_MAGIC: u32 = 0x534C_4E54;
/// Bytes of a key's field, with the NUL at its end.
pub const SPLINTER_KEY_MAX: usize = 64;

/// Longest key that this interface takes or gives, in bytes.
const KEY_BYTES_MAX: usize = SPLINTER_KEY_MAX - 1;
/// How long a wait goes on at most before it notices that its bus was closed.
const SLICE: Duration = Duration::from_millis(100);

/// What [`splinter_get_header_snapshot`] tells.
#[repr(C)]
pub struct HeaderSnapshot {
    /// [`SPLINTER_MAGIC`].
    pub magic: u32,
    /// Version of the format.
    pub version: u32,
    /// Most keys at once.
    pub slots: u32,
    /// Longest value in bytes.
    pub max_val_sz: u32,
    /// Changes ever made to the store.
    pub epoch: u64,
    /// 1 if replaced and deleted bytes are zeroed, else 0.
    pub auto_vacuum: u32,
    /// Invalid numbers that were met in the region.
    pub parse_failures: u64,
    /// The store's epoch when the last of them was met.
    pub last_failure_epoch: u64,
}

/// What [`splinter_get_slot_snapshot`] tells.
#[repr(C)]
pub struct SlotSnapshot {
    /// Hash of the key.
    pub hash: u64,
    /// Epoch of the key.
    pub epoch: u64,
    /// Bytes from the start of the region to the value; wider than in 0.9, because regions are.
    pub val_off: u64,
    /// Length of the value in bytes.
    pub val_len: u32,
    /// The key, NUL-terminated.
    pub key: [c_char; SPLINTER_KEY_MAX],
}

/// Why there is no result, as `errno` tells it.
struct Errno(c_int);

impl From<Error> for Errno {
    fn from(error: Error) -> Self {
        Self(match error {
            Error::Exists => libc::EEXIST,
            Error::NoSuchStore => libc::ENOENT,
            Error::Permission { .. } => libc::EACCES,
            Error::Full { .. } | Error::NoSpace => libc::ENOSPC,
            Error::KeyTooLong { .. } => libc::ENAMETOOLONG,
            Error::KeyInvalid { .. } | Error::InvalidArgument { .. } => libc::EINVAL,
            Error::ValueTooLarge { .. } => libc::EMSGSIZE,
            Error::Busy { .. } => libc::EAGAIN,
            Error::NotAStore { .. } | Error::Incompatible { .. } => libc::EPROTO,
            // "Structure needs cleaning": what file systems say of themselves then.
            Error::Corrupt { .. } => libc::EUCLEAN,
            Error::Io { errno, .. } => errno,
            _ => libc::EIO,
        })
    }
}

type Outcome = Result<c_int, Errno>;

const NO_BUS: Errno = Errno(libc::ENOTCONN);
const NO_KEY: Errno = Errno(libc::ENOENT);
const BAD_ARGUMENT: Errno = Errno(libc::EINVAL);

/// Runs a function that may not unwind into its caller, who speaks C. Without a result it sets `errno`, and returns what goes
/// with that.
fn answer(result_of: impl FnOnce(c_int) -> c_int, run: impl FnOnce() -> Outcome) -> c_int {
    let Errno(errno) = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(result)) => return result,
        Ok(Err(errno)) => errno,
        Err(_) => Errno(libc::EIO),
    };
    // SAFETY: the address of this thread's own `errno`.
    unsafe { *libc::__errno_location() = errno };
    result_of(errno)
}

/// For functions that fail in one way.
fn minus_one(_: c_int) -> c_int {
    -1
}

fn with_bus<T>(run: impl FnOnce(&Store) -> Result<T, Errno>) -> Result<T, Errno> {
    current::with(run).unwrap_or(Err(NO_BUS))
}

/// # Safety
///
/// `text` is NULL or NUL-terminated.
unsafe fn text<'a>(text: *const c_char) -> Result<&'a [u8], Errno> {
    if text.is_null() {
        return Err(BAD_ARGUMENT);
    }
    // SAFETY: as the caller promises.
    Ok(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// # Safety
///
/// `key` is NULL or NUL-terminated.
unsafe fn key<'a>(key: *const c_char) -> Result<&'a [u8], Errno> {
    // SAFETY: as the caller promises.
    let key = unsafe { text(key)? };
    if key.len() > KEY_BYTES_MAX {
        return Err(Errno(libc::ENAMETOOLONG));
    }
    Ok(key)
}

/// # Safety
///
/// `to` is NULL or valid for writing.
unsafe fn put<T>(to: *mut T, value: T) -> Outcome {
    if to.is_null() {
        return Err(BAD_ARGUMENT);
    }
    // SAFETY: as the caller promises.
    unsafe { to.write(value) };
    Ok(0)
}

/// A store where this library's names are looked for, whatever its geometry.
fn any() -> OpenOptions {
    OpenOptions::new().memory(!cfg!(feature = "persistent"))
}

/// A store that can have only keys which this interface can tell of, whoever sets them.
fn sized(slots: usize, max_value_sz: usize) -> Result<OpenOptions, Errno> {
    let number = |number: usize| u32::try_from(number).map_err(|_| BAD_ARGUMENT);
    Ok(any()
        .slots(number(slots)?)
        .max_value_bytes(number(max_value_sz)?)
        .max_key_bytes(KEY_BYTES_MAX as u32))
}

/// Tries to open and to create in turn, while others create and remove the store: what exists may have any geometry.
fn open_or_create(path: &Path, sized: &OpenOptions, mut creates: bool) -> Result<Store, Error> {
    const TURNS: u32 = 64;
    for _ in 0..TURNS {
        let result = if creates { sized.create(path) } else { any().open(path) };
        match result {
            Err(Error::Exists | Error::NoSuchStore) => creates = !creates,
            result => return result,
        }
    }
    Err(Error::Busy {
        what: "the store is being created and removed again and again",
    })
}

/// Makes the store with this name the current bus. -2 if it was to have no keys or no values.
///
/// # Safety
///
/// `name` is NULL or NUL-terminated.
unsafe fn connect(name: *const c_char, has_size: bool, open: impl FnOnce(&Path) -> Result<Store, Errno>) -> c_int {
    let failed = |_| if has_size { -1 } else { -2 };
    answer(failed, || {
        if !has_size {
            return Err(Errno(libc::ENOTSUP));
        }
        // SAFETY: as the caller promises.
        let name = unsafe { text(name)? };
        current::replace(Some(open(Path::new(OsStr::from_bytes(name)))?));
        Ok(0)
    })
}

fn has_size(slots: usize, max_value_sz: usize) -> bool {
    slots != 0 && max_value_sz != 0
}

/// Creates a store, which becomes the bus.
///
/// # Safety
///
/// `name_or_path` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn splinter_create(name_or_path: *const c_char, slots: usize, max_value_sz: usize) -> c_int {
    let open = |path: &Path| Ok(sized(slots, max_value_sz)?.create(path)?);
    // SAFETY: as the caller promises.
    unsafe { connect(name_or_path, has_size(slots, max_value_sz), open) }
}

/// Opens a store, which becomes the bus.
///
/// # Safety
///
/// `name_or_path` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn splinter_open(name_or_path: *const c_char) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { connect(name_or_path, true, |path| Ok(any().open(path)?)) }
}

/// Opens a store, or creates it.
///
/// # Safety
///
/// `name_or_path` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn splinter_open_or_create(
    name_or_path: *const c_char,
    slots: usize,
    max_value_sz: usize,
) -> c_int {
    let open = |path: &Path| Ok(open_or_create(path, &sized(slots, max_value_sz)?, false)?);
    // SAFETY: as the caller promises.
    unsafe { connect(name_or_path, has_size(slots, max_value_sz), open) }
}

/// Creates a store, or opens it.
///
/// # Safety
///
/// `name_or_path` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn splinter_create_or_open(
    name_or_path: *const c_char,
    slots: usize,
    max_value_sz: usize,
) -> c_int {
    let open = |path: &Path| Ok(open_or_create(path, &sized(slots, max_value_sz)?, true)?);
    // SAFETY: as the caller promises.
    unsafe { connect(name_or_path, has_size(slots, max_value_sz), open) }
}

/// Closes the bus, if there is one.
#[unsafe(no_mangle)]
pub extern "C" fn splinter_close() {
    answer(minus_one, || {
        current::replace(None);
        Ok(0)
    });
}

/// Stores a value.
///
/// # Safety
///
/// `key` is NULL or NUL-terminated; `val` is NULL or valid for reading `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn splinter_set(key: *const c_char, val: *const c_void, len: usize) -> c_int {
    answer(minus_one, || {
        // SAFETY: as the caller promises.
        let key = unsafe { self::key(key)? };
        if len > 0 && val.is_null() {
            return Err(BAD_ARGUMENT);
        }
        // No object is longer; told apart here, because a slice of this length must not even be made.
        if len > isize::MAX as usize {
            return Err(Errno(libc::EMSGSIZE));
        }
        let value = if len == 0 {
            &[]
        } else {
            // SAFETY: as the caller promises.
            unsafe { std::slice::from_raw_parts(val.cast::<u8>(), len) }
        };
        with_bus(|bus| {
            bus.set(key, value)?;
            Ok(0)
        })
    })
}

/// Deletes a key.
///
/// # Safety
///
/// `key` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn splinter_unset(key: *const c_char) -> c_int {
    let failed = |errno| match errno {
        libc::EINVAL | libc::ENAMETOOLONG | libc::ENOTCONN => -2,
        _ => -1,
    };
    answer(failed, || {
        // SAFETY: as the caller promises.
        let key = unsafe { self::key(key)? };
        // Lengths are at most 2^30.
        with_bus(|bus| Ok(bus.unset(key)?.ok_or(NO_KEY)? as c_int))
    })
}

/// Copies a value.
///
/// # Safety
///
/// `key` is NULL or NUL-terminated; `buf` is NULL or valid for writing `buf_sz` bytes; `out_sz` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn splinter_get(
    key: *const c_char,
    buf: *mut c_void,
    buf_sz: usize,
    out_sz: *mut usize,
) -> c_int {
    answer(minus_one, || {
        // SAFETY: as the caller promises.
        let key = unsafe { self::key(key)? };
        let room = buf_sz.min(isize::MAX as usize);
        let buffer: &mut [u8] = if buf.is_null() {
            &mut []
        } else {
            // SAFETY: as the caller promises.
            unsafe { std::slice::from_raw_parts_mut(buf.cast(), room) }
        };
        let length = with_bus(|bus| bus.get(key, buffer)?.ok_or(NO_KEY))?;
        // SAFETY: as the caller promises.
        if let Some(out) = unsafe { out_sz.as_mut() } {
            *out = length;
        }
        if !buf.is_null() && length > room {
            return Err(Errno(libc::EMSGSIZE));
        }
        Ok(0)
    })
}

/// Lists keys.
///
/// # Safety
///
/// `out_keys` is NULL or valid for writing `max_keys` pointers; `out_count` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn splinter_list(out_keys: *mut *mut c_char, max_keys: usize, out_count: *mut usize) -> c_int {
    answer(minus_one, || {
        if out_count.is_null() {
            return Err(BAD_ARGUMENT);
        }
        let counts = out_keys.is_null();
        let wanted = if counts { usize::MAX } else { max_keys };
        let bus = current::share().ok_or(NO_BUS)?;
        let mut keys = Vec::new();
        let mut count = 0;
        let mut has_longer = false;
        for key in bus.store.keys() {
            if count == wanted {
                break;
            }
            let key = key?;
            if key.len() > KEY_BYTES_MAX {
                has_longer = true;
                continue;
            }
            count += 1;
            if !counts {
                // The store has checked that there is no NUL in it.
                keys.push(CString::new(key).map_err(|_| Errno(libc::EUCLEAN))?);
            }
        }
        let kept = current::keep(&bus, keys).ok_or(NO_BUS)?;
        for (i, key) in kept.into_iter().enumerate() {
            // SAFETY: they are no more than `max_keys`.
            unsafe { out_keys.add(i).write(key.cast_mut()) };
        }
        // SAFETY: not NULL, and valid as the caller promises.
        unsafe { out_count.write(count) };
        if has_longer {
            return Err(Errno(libc::ENAMETOOLONG));
        }
        Ok(0)
    })
}

/// Waits until a key changes.
///
/// # Safety
///
/// `key` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn splinter_poll(key: *const c_char, timeout_ms: u64) -> c_int {
    let failed = |errno| if errno == libc::ENOENT { -1 } else { -2 };
    answer(failed, || {
        // SAFETY: as the caller promises.
        let key = unsafe { self::key(key)? };
        let start = Instant::now();
        let timeout = Duration::from_millis(timeout_ms);
        let bus = current::share().ok_or(NO_BUS)?;
        // Whatever happens after this is a change, whether somebody waits already or not.
        let epoch = bus.store.epoch(key)?.ok_or(NO_KEY)?;
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            if bus.store.poll_since(key, epoch, left.min(SLICE))? {
                return Ok(0);
            }
            if bus.is_closed() {
                return Err(NO_BUS);
            }
            if left <= SLICE {
                return Err(Errno(libc::ETIMEDOUT));
            }
        }
    })
}

/// Sets whether replaced and deleted bytes are zeroed.
#[unsafe(no_mangle)]
pub extern "C" fn splinter_set_av(mode: c_uint) -> c_int {
    answer(without_bus, || {
        with_bus(|bus| {
            bus.set_auto_vacuum(mode != 0)?;
            Ok(0)
        })
    })
}

/// Whether replaced and deleted bytes are zeroed.
#[unsafe(no_mangle)]
pub extern "C" fn splinter_get_av() -> c_int {
    answer(without_bus, || with_bus(|bus| Ok(bus.auto_vacuum()?.into())))
}

fn without_bus(errno: c_int) -> c_int {
    if errno == libc::ENOTCONN { -2 } else { -1 }
}

/// Tells what the store is.
///
/// # Safety
///
/// `snapshot` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn splinter_get_header_snapshot(snapshot: *mut HeaderSnapshot) -> c_int {
    answer(minus_one, || {
        let found = with_bus(|bus| Ok(bus.header_snapshot()?))?;
        let told = HeaderSnapshot {
            magic: SPLINTER_MAGIC,
            version: found.version,
            slots: found.geometry.slots(),
            max_val_sz: found.geometry.max_value_bytes(),
            epoch: found.epoch,
            auto_vacuum: found.auto_vacuum.into(),
            parse_failures: found.parse_failures,
            last_failure_epoch: found.last_failure_epoch,
        };
        // SAFETY: as the caller promises.
        unsafe { put(snapshot, told) }
    })
}

/// Tells where and how a key is stored.
///
/// # Safety
///
/// `key` is NULL or NUL-terminated; `snapshot` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn splinter_get_slot_snapshot(key: *const c_char, snapshot: *mut SlotSnapshot) -> c_int {
    answer(minus_one, || {
        // SAFETY: as the caller promises.
        let key = unsafe { self::key(key)? };
        let found = with_bus(|bus| bus.slot_snapshot(key)?.ok_or(NO_KEY))?;
        let mut told = SlotSnapshot {
            hash: found.hash,
            epoch: found.epoch,
            val_off: found.value_offset,
            val_len: found.value_bytes as u32,
            key: [0; SPLINTER_KEY_MAX],
        };
        // SAFETY: a key is shorter than its field, so that a NUL is left behind it.
        unsafe { ptr::copy_nonoverlapping(key.as_ptr().cast(), told.key.as_mut_ptr(), key.len()) };
        // SAFETY: as the caller promises.
        unsafe { put(snapshot, told) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_errno() {
        assert_eq!(answer(|errno| -errno, || panic!("on purpose")), -libc::EIO);
    }

    #[test]
    fn structures_have_the_sizes_of_the_header() {
        assert_eq!(size_of::<HeaderSnapshot>(), 48);
        assert_eq!(size_of::<SlotSnapshot>(), 96);
    }
}
