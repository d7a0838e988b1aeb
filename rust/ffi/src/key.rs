//! Handles of keys: searched for once, and then looked for where they were found last.

use splinter::{Error, KeyHandle, SetOptions};

use super::scratch::{put_number, scratch_result_of, scratch_value, scratch_value_of};
use super::{SPL_NO_KEY, SPL_OK, Shared, SplError, SplStore, explained, guarded, handle, input, length, output, put};

/// A key of a store. Any number of threads may use it at once. It keeps the store open, for itself, until it is closed.
pub struct SplKey {
    key: KeyHandle<Shared>,
}

/// # Safety
///
/// `key` is NULL or a key that is not closed.
unsafe fn opened<'a>(key: *const SplKey) -> Result<&'a SplKey, Error> {
    // SAFETY: as the caller promises.
    unsafe { key.as_ref() }.ok_or(Error::Closed)
}

/// Prepares a key for being used again and again; it need not exist yet. Returns NULL on failure, which `error` explains unless it is
/// NULL.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_key(
    store: *const SplStore,
    key: *const u8,
    key_len: u32,
    error: *mut SplError,
) -> *mut SplKey {
    let mut prepared = std::ptr::null_mut();
    let prepare = || {
        // SAFETY: as the caller promises.
        let name = unsafe {
            handle(store)?;
            input(key, key_len)?
        };
        // SAFETY: it is open, as the caller promises.
        let key = KeyHandle::new(unsafe { Shared::of(store) }, name)?;
        prepared = Box::into_raw(Box::new(SplKey { key }));
        Ok(SPL_OK)
    };
    // SAFETY: as the caller promises.
    unsafe { explained(error, prepare) };
    prepared
}

/// Closes a key: no function may be using it, and none may use it afterwards.
///
/// # Safety
///
/// `key` is NULL or came from `spl_key` and was not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_key_close(key: *mut SplKey) -> i32 {
    guarded(|| {
        if key.is_null() {
            return Err(Error::Closed);
        }
        // SAFETY: as the caller promises.
        drop(unsafe { Box::from_raw(key) });
        Ok(SPL_OK)
    })
}

/// `spl_get`.
///
/// # Safety
///
/// `key` is NULL or open; the pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_key_get(key: *const SplKey, buf: *mut u8, cap: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let key = unsafe { opened(key)? };
        // SAFETY: as the caller promises.
        key.key.get(unsafe { output(buf, cap)? }).map(length)
    })
}

/// `spl_set`.
///
/// # Safety
///
/// `key` is NULL or open; the pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_key_set(key: *const SplKey, value: *const u8, value_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let key = unsafe { opened(key)? };
        // SAFETY: as the caller promises.
        key.key.set(unsafe { input(value, value_len)? }).map(|_| SPL_OK)
    })
}

/// `spl_append`.
///
/// # Safety
///
/// `key` is NULL or open; the pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_key_append(key: *const SplKey, value: *const u8, value_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let key = unsafe { opened(key)? };
        // SAFETY: as the caller promises.
        let bytes = unsafe { input(value, value_len)? };
        key.key.append(bytes).map(|length| length as i32)
    })
}

/// `spl_unset`.
///
/// # Safety
///
/// `key` is NULL or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_key_unset(key: *const SplKey) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let key = unsafe { opened(key)? };
        key.key.unset().map(length)
    })
}

/// `spl_contains`.
///
/// # Safety
///
/// `key` is NULL or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_key_exists(key: *const SplKey) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let key = unsafe { opened(key)? };
        key.key.exists().map(i32::from)
    })
}

/// `spl_epoch`.
///
/// # Safety
///
/// `key` is NULL or open; `epoch` is valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_key_epoch(key: *const SplKey, epoch: *mut u64) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let key = unsafe { opened(key)? };
        match key.key.epoch()? {
            // SAFETY: as the caller promises.
            Some(found) => unsafe { put(epoch, found) },
            None => Ok(SPL_NO_KEY),
        }
    })
}

/// 1 if the key was written, deleted or inserted since this was asked last, or since the key was prepared; 0 if not.
///
/// # Safety
///
/// `key` is NULL or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_key_changed(key: *const SplKey) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let key = unsafe { opened(key)? };
        key.key.changed().map(i32::from)
    })
}

/// `spl_key_get` to the store's scratch memory, where `spl_scratch_get` has the value.
///
/// # Safety
///
/// `key` is NULL or open, and the scratch memory of its store is not in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_key_scratch_get(key: *const SplKey) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let key = unsafe { opened(key)? };
        // SAFETY: as the caller promises.
        let value = unsafe { scratch_value_of(&key.key.owner().0)? };
        key.key.get(value).map(length)
    })
}

/// `spl_key_set` of a value in the store's scratch memory.
///
/// # Safety
///
/// As for `spl_key_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_key_scratch_set(key: *const SplKey, value_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let key = unsafe { opened(key)? };
        // SAFETY: as the caller promises.
        let value = scratch_value(unsafe { scratch_value_of(&key.key.owner().0)? }, value_len)?;
        key.key.set(value).map(|_| SPL_OK)
    })
}

/// `spl_key_scratch_set` of a value of one of the `SPL_TYPE_` types.
///
/// # Safety
///
/// As for `spl_key_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_key_scratch_set_typed(key: *const SplKey, value_len: u32, value_type: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let key = unsafe { opened(key)? };
        // SAFETY: as the caller promises.
        let value = scratch_value(unsafe { scratch_value_of(&key.key.owner().0)? }, value_len)?;
        let options = SetOptions::new().value_type(super::operations::value_type(value_type)?);
        key.key.set_with(value, &options).map(|_| SPL_OK)
    })
}

/// `spl_key_epoch`: a `uint64_t` at `SPL_SCRATCH_RESULT` of the store's scratch memory.
///
/// # Safety
///
/// As for `spl_key_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_key_scratch_epoch(key: *const SplKey) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let key = unsafe { opened(key)? };
        let Some(epoch) = key.key.epoch()? else {
            return Ok(SPL_NO_KEY);
        };
        // SAFETY: as the caller promises.
        put_number(unsafe { scratch_result_of(&key.key.owner().0)? }, epoch);
        Ok(SPL_OK)
    })
}
