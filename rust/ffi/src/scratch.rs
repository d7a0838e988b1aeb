//! The operations on registered scratch memory: for callers that pay for every pointer they pass.

use std::sync::atomic::Ordering;
use std::time::Duration;

use splinter::{Error, SetOptions, Store};

use super::operations::{self, SplSetOptions};
use super::{
    SPL_NO_KEY, SPL_OK, SPL_SCRATCH_KEY, SPL_SCRATCH_VALUE, SplSlotSnapshot, SplStore, guarded, handle, input, invalid,
    length, milliseconds, output, slot_snapshot,
};

/// Registers memory for the `spl_scratch_` functions, which take the key from there: a caller that pays for each pointer
/// passes one once. `scratch` stays valid until the handle is closed or other memory is registered; `len` is at least
/// `SPL_SCRATCH_VALUE`.
///
/// # Safety
///
/// `store` is NULL or open; `scratch` is as said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch(store: *const SplStore, scratch: *mut u8, len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let store = unsafe { handle(store)? };
        if scratch.is_null() || len < SPL_SCRATCH_VALUE {
            return Err(invalid("scratch memory is NULL or shorter than its fixed parts"));
        }
        store.scratch.store(scratch, Ordering::Relaxed);
        store.scratch_bytes.store(len, Ordering::Relaxed);
        Ok(SPL_OK)
    })
}

/// The parts of a handle's scratch memory.
struct Scratch<'a> {
    result: &'a mut [u8],
    key: &'a [u8],
    value: &'a mut [u8],
}

/// What is before the value, and the value.
///
/// # Safety
///
/// The handle's scratch memory, if it has any, is valid and nobody else's during the call.
unsafe fn halves<'a>(store: &SplStore) -> Result<(&'a mut [u8], &'a mut [u8]), Error> {
    let start = store.scratch.load(Ordering::Relaxed);
    if start.is_null() {
        return Err(invalid("the handle has no scratch memory"));
    }
    let len = store.scratch_bytes.load(Ordering::Relaxed) as usize;
    // SAFETY: it was registered with this length, which covers the fixed parts.
    let all = unsafe { std::slice::from_raw_parts_mut(start, len) };
    Ok(all.split_at_mut(SPL_SCRATCH_VALUE as usize))
}

/// Where values stand in a handle's scratch memory.
///
/// # Safety
///
/// As for [`halves`].
pub(crate) unsafe fn scratch_value_of<'a>(store: &SplStore) -> Result<&'a mut [u8], Error> {
    // SAFETY: as the caller promises.
    unsafe { halves(store) }.map(|(_, value)| value)
}

/// Where results stand in a handle's scratch memory.
///
/// # Safety
///
/// As for [`halves`].
pub(crate) unsafe fn scratch_result_of<'a>(store: &SplStore) -> Result<&'a mut [u8], Error> {
    // SAFETY: as the caller promises.
    unsafe { halves(store) }.map(|(head, _)| &mut head[..SPL_SCRATCH_KEY as usize])
}

/// # Safety
///
/// `store` is NULL or open, and its scratch memory, if it has any, is valid and nobody else's during the call.
unsafe fn scratch<'a>(store: *const SplStore, key_len: u32) -> Result<(&'a Store, Scratch<'a>), Error> {
    // SAFETY: as the caller promises.
    let store = unsafe { handle(store)? };
    // SAFETY: as the caller promises.
    let (head, value) = unsafe { halves(store)? };
    let (result, key_room) = head.split_at_mut(SPL_SCRATCH_KEY as usize);
    let max = store.store.geometry().max_key_bytes() as usize;
    let key = key_room.get(..key_len as usize).ok_or(Error::KeyTooLong {
        bytes: key_len as usize,
        max,
    })?;
    Ok((&store.store, Scratch { result, key, value }))
}

/// `spl_get` to scratch memory: the value is copied only if it fits there.
///
/// # Safety
///
/// `store` is NULL or open, and its scratch memory is not in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_get(store: *const SplStore, key_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        store.get(scratch.key, scratch.value).map(length)
    })
}

/// `spl_get` to `buf`.
///
/// # Safety
///
/// As for `spl_scratch_get`; `buf` is valid for `cap` bytes, none of them in scratch memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_get_into(store: *const SplStore, key_len: u32, buf: *mut u8, cap: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let ((store, scratch), buffer) = unsafe { (scratch(store, key_len)?, output(buf, cap)?) };
        store.get(scratch.key, buffer).map(length)
    })
}

/// The first bytes of the part for values.
pub(crate) fn scratch_value(value: &[u8], value_len: u32) -> Result<&[u8], Error> {
    value
        .get(..value_len as usize)
        .ok_or_else(|| invalid("the value is longer than scratch memory"))
}

/// Puts a number where results stand.
pub(crate) fn put_number(result: &mut [u8], number: u64) {
    result[..8].copy_from_slice(&number.to_ne_bytes());
}

impl Scratch<'_> {
    /// The number at a place of the part for results.
    fn number(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.result[at..at + 8].try_into().unwrap_or_default())
    }

    /// The options that stand where results are put.
    fn options(&self) -> SplSetOptions {
        // SAFETY: the result part has 64 bytes; any are options, and they need not be aligned.
        unsafe { self.result.as_ptr().cast::<SplSetOptions>().read_unaligned() }
    }
}

/// `spl_set` of a value in scratch memory.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_set(store: *const SplStore, key_len: u32, value_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        store
            .set(scratch.key, scratch_value(scratch.value, value_len)?)
            .map(|_| SPL_OK)
    })
}

/// `spl_set` of a value in scratch memory, which is of one of the `SPL_TYPE_` types.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_set_typed(
    store: *const SplStore,
    key_len: u32,
    value_len: u32,
    value_type: u32,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        let options = SetOptions::new().value_type(operations::value_type(value_type)?);
        store
            .set_with(scratch.key, scratch_value(scratch.value, value_len)?, &options)
            .map(|_| SPL_OK)
    })
}

/// `spl_set` of a value elsewhere.
///
/// # Safety
///
/// As for `spl_scratch_get`; `value` is valid for `value_len` bytes, none of them in scratch memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_set_from(
    store: *const SplStore,
    key_len: u32,
    value: *const u8,
    value_len: u32,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let ((store, scratch), value) = unsafe { (scratch(store, key_len)?, input(value, value_len)?) };
        store.set(scratch.key, value).map(|_| SPL_OK)
    })
}

/// `spl_try_set` of a value in scratch memory.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_try_set(store: *const SplStore, key_len: u32, value_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        store
            .try_set(scratch.key, scratch_value(scratch.value, value_len)?)
            .map(|_| SPL_OK)
    })
}

/// `spl_try_set` of a value elsewhere.
///
/// # Safety
///
/// As for `spl_scratch_set_from`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_try_set_from(
    store: *const SplStore,
    key_len: u32,
    value: *const u8,
    value_len: u32,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let ((store, scratch), value) = unsafe { (scratch(store, key_len)?, input(value, value_len)?) };
        store.try_set(scratch.key, value).map(|_| SPL_OK)
    })
}

/// `spl_unset`.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_unset(store: *const SplStore, key_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        store.unset(scratch.key).map(length)
    })
}

/// `spl_try_unset`.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_try_unset(store: *const SplStore, key_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        store.try_unset(scratch.key).map(length)
    })
}

/// `spl_contains`.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_contains(store: *const SplStore, key_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        store.contains(scratch.key).map(i32::from)
    })
}

/// `spl_epoch`: a `uint64_t` at `SPL_SCRATCH_RESULT`.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_epoch(store: *const SplStore, key_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        let Some(epoch) = store.epoch(scratch.key)? else {
            return Ok(SPL_NO_KEY);
        };
        put_number(scratch.result, epoch);
        Ok(SPL_OK)
    })
}

/// `spl_slot_snapshot`: an `spl_slot_snapshot` at `SPL_SCRATCH_RESULT`.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_slot_snapshot(store: *const SplStore, key_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        let Some(found) = slot_snapshot(store, scratch.key)? else {
            return Ok(SPL_NO_KEY);
        };
        // SAFETY: the result part has 64 bytes, the snapshot has 56; scratch memory need not be aligned.
        unsafe {
            scratch
                .result
                .as_mut_ptr()
                .cast::<SplSlotSnapshot>()
                .write_unaligned(found)
        };
        Ok(SPL_OK)
    })
}

/// `spl_poll`.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_poll(store: *const SplStore, key_len: u32, timeout_ms: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        store.poll(scratch.key, milliseconds(timeout_ms)).map(i32::from)
    })
}

/// `spl_set_with` of a value in scratch memory, with an `spl_set_options` at `SPL_SCRATCH_RESULT`, where the epoch is put.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_set_with(store: *const SplStore, key_len: u32, value_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        let value = scratch_value(scratch.value, value_len)?;
        let (code, epoch) = operations::set_with(store, scratch.key, value, &scratch.options())?;
        put_number(scratch.result, epoch);
        Ok(code)
    })
}

/// `spl_scratch_set_with` of a value elsewhere. `value` is valid for `value_len` bytes, none of them in scratch memory.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_set_with_from(
    store: *const SplStore,
    key_len: u32,
    value: *const u8,
    value_len: u32,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        // SAFETY: as the caller promises.
        let value = unsafe { input(value, value_len)? };
        let (code, epoch) = operations::set_with(store, scratch.key, value, &scratch.options())?;
        put_number(scratch.result, epoch);
        Ok(code)
    })
}

/// `spl_unset_if_epoch`, with the epoch at `SPL_SCRATCH_RESULT`.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_unset_if_epoch(store: *const SplStore, key_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        let expected = scratch.number(0);
        let (code, epoch) = operations::unset_if_epoch(store, scratch.key, expected)?;
        put_number(scratch.result, epoch);
        Ok(code)
    })
}

/// `spl_get_entry` to scratch memory: an `spl_version` at `SPL_SCRATCH_RESULT`. The value is copied only if it fits.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_get_entry(store: *const SplStore, key_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        let Some(entry) = operations::get_entry(store, scratch.key, scratch.value)? else {
            return Ok(SPL_NO_KEY);
        };
        put_number(scratch.result, entry.epoch);
        scratch.result[8..12].copy_from_slice(&entry.value_type.to_ne_bytes());
        scratch.result[12..16].copy_from_slice(&entry.value_len.to_ne_bytes());
        Ok(entry.value_len as i32)
    })
}

/// `spl_append` of bytes in scratch memory.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_append(store: *const SplStore, key_len: u32, value_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        let bytes = scratch_value(scratch.value, value_len)?;
        store.append(scratch.key, bytes).map(|length| length as i32)
    })
}

/// `spl_append` of bytes elsewhere. `value` is valid for `value_len` bytes, none of them in scratch memory.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_append_from(
    store: *const SplStore,
    key_len: u32,
    value: *const u8,
    value_len: u32,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        // SAFETY: as the caller promises.
        let bytes = unsafe { input(value, value_len)? };
        store.append(scratch.key, bytes).map(|length| length as i32)
    })
}

/// `spl_apply`: the operand at `SPL_SCRATCH_RESULT`, where the result is put.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_apply(store: *const SplStore, key_len: u32, operation: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        let operand = scratch.number(0);
        let result = operations::apply(store, scratch.key, operation, operand)?;
        put_number(scratch.result, result);
        Ok(SPL_OK)
    })
}

/// `spl_expire`.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_expire(store: *const SplStore, key_len: u32, ttl_ms: u64) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        store
            .expire(scratch.key, Duration::from_millis(ttl_ms))
            .map(operations::found)
    })
}

/// `spl_persist`.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_persist(store: *const SplStore, key_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        store.persist(scratch.key).map(i32::from)
    })
}

/// `spl_ttl`: a `uint64_t` at `SPL_SCRATCH_RESULT`.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_ttl(store: *const SplStore, key_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        let Some(left) = operations::ttl_ms(store, scratch.key)? else {
            return Ok(SPL_NO_KEY);
        };
        put_number(scratch.result, left);
        Ok(SPL_OK)
    })
}

/// `spl_pin`.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_pin(store: *const SplStore, key_len: u32, on: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        store.pin(scratch.key, operations::switch(on)?).map(operations::found)
    })
}

/// `spl_labels`: a `uint64_t` at `SPL_SCRATCH_RESULT`.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_labels(store: *const SplStore, key_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        let Some(labels) = store.labels(scratch.key)? else {
            return Ok(SPL_NO_KEY);
        };
        put_number(scratch.result, labels);
        Ok(SPL_OK)
    })
}

/// `spl_label`: two `uint64_t` at `SPL_SCRATCH_RESULT`, the labels to add and those to remove; where the first stands, all that the key has
/// then are put.
///
/// # Safety
///
/// As for `spl_scratch_get`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_scratch_label(store: *const SplStore, key_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, scratch) = unsafe { scratch(store, key_len)? };
        let Some(labels) = store.label(scratch.key, scratch.number(0), scratch.number(8))? else {
            return Ok(SPL_NO_KEY);
        };
        put_number(scratch.result, labels);
        Ok(SPL_OK)
    })
}
