//! Many keys by one call.

use splinter::Error;

use super::{SPL_NO_VALUE, SPL_OK, SplStore, guarded, handle, input, invalid, output, put};

/// Takes a number and what it is the length of from the start of packed input.
fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Result<&'a [u8], Error> {
    let (taken, left) = rest
        .split_at_checked(bytes)
        .ok_or_else(|| invalid("the records end within one"))?;
    *rest = left;
    Ok(taken)
}

fn take_length(rest: &mut &[u8]) -> Result<usize, Error> {
    let bytes = take(rest, 4)?;
    Ok(u32::from_ne_bytes(bytes.try_into().unwrap_or_default()) as usize)
}

/// Fills `buf` with the values of many keys, in their order. `keys` are records of `uint32_t key_len` and the key; the values are records of
/// `uint32_t value_len`, or `SPL_NO_VALUE` for a key that does not exist, and the value. Neither is padded. Returns the bytes
/// filled; `done` gets how many keys were dealt with, which are less than all if `buf` had no room for more.
///
/// Each value is one whole value; together they may be of different moments.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, `done` for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_get_many(
    store: *const SplStore,
    keys: *const u8,
    keys_len: u32,
    buf: *mut u8,
    cap: u32,
    done: *mut u32,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, mut rest) = unsafe { (&handle(store)?.store, input(keys, keys_len)?) };
        // SAFETY: as the caller promises.
        let buffer = unsafe { output(buf, cap.min(i32::MAX as u32))? };
        let mut keys = Vec::new();
        while !rest.is_empty() {
            let key_len = take_length(&mut rest)?;
            keys.push(take(&mut rest, key_len)?);
        }
        let mut filled = 0;
        let count = store.get_many_records(&keys, buffer, |record, value_bytes| {
            let length = value_bytes.map_or(SPL_NO_VALUE, |bytes| bytes as u32);
            record.copy_from_slice(&length.to_ne_bytes());
            filled += record.len() + value_bytes.unwrap_or(0);
        })?;
        // SAFETY: as the caller promises.
        unsafe { put(done, count as u32)? };
        Ok(filled as i32)
    })
}

/// Stores many values, each as `spl_set` does, in their order. `entries` are records of `uint32_t key_len`, `uint32_t value_len`, the key and
/// the value, without padding. `done` gets how many were stored, on an error too: those before the one that failed.
///
/// Each is stored whole; all together are not one step.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, `done` for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_set_many(
    store: *const SplStore,
    entries: *const u8,
    entries_len: u32,
    done: *mut u32,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, mut rest) = unsafe { (&handle(store)?.store, input(entries, entries_len)?) };
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let (key_len, value_len) = (take_length(&mut rest)?, take_length(&mut rest)?);
            entries.push((take(&mut rest, key_len)?, take(&mut rest, value_len)?));
        }
        let result = store.set_many(&entries);
        let count = result.as_ref().map_or_else(|error| error.done, |()| entries.len());
        // SAFETY: as the caller promises.
        unsafe { put(done, count as u32)? };
        result.map(|()| SPL_OK).map_err(Error::from)
    })
}
