//! Conditional writes, deadlines, eviction, numbers, appends, labels, and values in place.

use std::time::Duration;

use splinter::{Error, Eviction, Operation, Outcome, SetOptions, Stamp, Store, TimeToLive, ValueType};

use super::{
    SPL_ADD, SPL_AND, SPL_CHECKED, SPL_CONDITION_NOT_MET, SPL_IF_ABSENT, SPL_IF_EPOCH, SPL_IF_PRESENT, SPL_KEEP_TTL,
    SPL_NO_DEADLINE, SPL_NO_KEY, SPL_NOT, SPL_OK, SPL_OR, SPL_SET_TTL, SPL_SET_TYPE, SPL_SIGNED, SPL_SUB, SPL_XOR,
    SplStore, deliver, guarded, handle, in_milliseconds, input, invalid, output, put,
};

/// What a write depends on, and what belongs to the value. All zero: nothing, and the key loses the deadline that it had.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SplSetOptions {
    /// `sizeof(struct spl_set_options)`.
    pub size: u32,
    /// `SPL_IF_`, `SPL_SET_` and `SPL_KEEP_` bits.
    pub flags: u32,
    /// For `SPL_IF_EPOCH`.
    pub epoch: u64,
    /// For `SPL_SET_TTL`: milliseconds, at least 1.
    pub ttl_ms: u64,
    /// For `SPL_SET_TYPE`: one of the `SPL_TYPE_` numbers.
    pub value_type: u32,
    /// 0.
    pub reserved: u32,
}

/// What belongs to a version of a value.
#[repr(C)]
pub struct SplVersion {
    /// Its epoch.
    pub epoch: u64,
    /// One of the `SPL_TYPE_` numbers.
    pub value_type: u32,
    /// Length of the value in bytes.
    pub value_len: u32,
}

/// A value where it lies.
#[repr(C)]
pub struct SplView {
    /// The bytes, which others may be changing. They lie there until the handle is closed.
    pub value: *const u8,
    /// How many.
    pub value_len: u64,
    /// Of this library only.
    pub state: u64,
    /// Of this library only.
    pub slot: u64,
}

pub(crate) fn value_type(number: u32) -> Result<ValueType, Error> {
    ValueType::ALL
        .get(number as usize)
        .copied()
        .ok_or_else(|| invalid("value_type is none of the types"))
}

fn set_options(given: &SplSetOptions) -> Result<SetOptions, Error> {
    if given.size as usize != size_of::<SplSetOptions>() {
        return Err(invalid("spl_set_options.size is not sizeof(struct spl_set_options)"));
    }
    let has = |flag: u32| given.flags & flag != 0;
    let conditions = [SPL_IF_ABSENT, SPL_IF_PRESENT, SPL_IF_EPOCH];
    if given.flags & !(conditions.iter().sum::<u32>() | SPL_SET_TTL | SPL_KEEP_TTL | SPL_SET_TYPE) != 0 {
        return Err(invalid("spl_set_options.flags has unknown bits"));
    }
    if conditions.iter().filter(|&&flag| has(flag)).count() > 1 || has(SPL_SET_TTL) && has(SPL_KEEP_TTL) {
        return Err(invalid(
            "spl_set_options.flags asks for several things that exclude each other",
        ));
    }
    let mut options = SetOptions::new();
    if has(SPL_IF_ABSENT) {
        options = options.if_absent();
    }
    if has(SPL_IF_PRESENT) {
        options = options.if_present();
    }
    if has(SPL_IF_EPOCH) {
        options = options.if_epoch(given.epoch);
    }
    if has(SPL_SET_TTL) {
        options = options.ttl(Duration::from_millis(given.ttl_ms));
    }
    if has(SPL_KEEP_TTL) {
        options = options.keep_ttl();
    }
    if has(SPL_SET_TYPE) {
        options = options.value_type(value_type(given.value_type)?);
    }
    Ok(options)
}

/// The code of an outcome, and the epoch that goes with it: the new one, or the one found.
fn epoch_of(outcome: Outcome) -> (i32, u64) {
    match outcome {
        Outcome::Written { epoch } => (SPL_OK, epoch),
        Outcome::NotMet { found } => (SPL_CONDITION_NOT_MET, found.unwrap_or(0)),
    }
}

/// Puts the epoch of an outcome where it goes, and leaves the code.
///
/// # Safety
///
/// `to` is NULL or valid for writing.
unsafe fn told((code, epoch): (i32, u64), to: *mut u64) -> Result<i32, Error> {
    // SAFETY: as the caller promises.
    unsafe { put(to, epoch)? };
    Ok(code)
}

pub(crate) fn set_with(store: &Store, key: &[u8], value: &[u8], given: &SplSetOptions) -> Result<(i32, u64), Error> {
    Ok(epoch_of(store.set_with(key, value, &set_options(given)?)?))
}

pub(crate) fn unset_if_epoch(store: &Store, key: &[u8], epoch: u64) -> Result<(i32, u64), Error> {
    Ok(epoch_of(store.unset_if_epoch(key, epoch)?))
}

/// Copies a value to a buffer if it fits; `None` if there is no such key.
pub(crate) fn get_entry(store: &Store, key: &[u8], buffer: &mut [u8]) -> Result<Option<SplVersion>, Error> {
    Ok(store.get_version(key, buffer)?.map(|version| SplVersion {
        epoch: version.epoch,
        value_type: version.value_type as u32,
        value_len: version.value_bytes as u32,
    }))
}

pub(crate) fn apply(store: &Store, key: &[u8], operation: u32, operand: u64) -> Result<u64, Error> {
    fn of<T>(operation: u32, operand: T) -> Result<Operation<T>, Error> {
        Ok(match operation {
            SPL_ADD => Operation::Add(operand),
            SPL_SUB => Operation::Sub(operand),
            SPL_AND => Operation::And(operand),
            SPL_OR => Operation::Or(operand),
            SPL_XOR => Operation::Xor(operand),
            SPL_NOT => Operation::Not,
            ADD_CHECKED => Operation::AddChecked(operand),
            SUB_CHECKED => Operation::SubChecked(operand),
            _ => return Err(invalid("operation is none of the operations")),
        })
    }
    const ADD_CHECKED: u32 = SPL_ADD | SPL_CHECKED;
    const SUB_CHECKED: u32 = SPL_SUB | SPL_CHECKED;
    let unsigned = operation & !SPL_SIGNED;
    if operation & SPL_SIGNED != 0 {
        Ok(store.apply(key, of(unsigned, operand as i64)?)? as u64)
    } else {
        store.apply(key, of(unsigned, operand)?)
    }
}

pub(crate) fn ttl_ms(store: &Store, key: &[u8]) -> Result<Option<u64>, Error> {
    Ok(store.ttl(key)?.map(|ttl| match ttl {
        TimeToLive::Forever => SPL_NO_DEADLINE,
        TimeToLive::Left(left) => in_milliseconds(left),
    }))
}

/// 1 for something that there is, or that there is no such key.
pub(crate) fn found(found: bool) -> i32 {
    if found { 1 } else { SPL_NO_KEY }
}

pub(crate) fn switch(on: u32) -> Result<bool, Error> {
    match on {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(invalid("a switch is 0 or 1")),
    }
}

/// `spl_set` on a condition, with a time to live or a type. `epoch` gets the key's new epoch.
///
/// `SPL_CONDITION_NOT_MET` if the condition does not hold: nothing was changed then, and `epoch` gets the epoch that was found,
/// 0 if there was no such key.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, or for what they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_set_with(
    store: *const SplStore,
    key: *const u8,
    key_len: u32,
    value: *const u8,
    value_len: u32,
    options: *const SplSetOptions,
    epoch: *mut u64,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (&handle(store)?.store, input(key, key_len)?) };
        // SAFETY: as the caller promises.
        let (value, options) = unsafe { (input(value, value_len)?, options.as_ref()) };
        let options = options.ok_or_else(|| invalid("the options are NULL"))?;
        if epoch.is_null() {
            return Err(invalid("an output pointer is NULL"));
        }
        // SAFETY: as the caller promises.
        unsafe { told(set_with(store, key, value, options)?, epoch) }
    })
}

/// Deletes a key if it has the epoch that `epoch` holds, which gets the epoch of the deletion. `SPL_CONDITION_NOT_MET` if it has not:
/// `epoch` gets the epoch that was found then, 0 if there was no such key.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, or for what they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_unset_if_epoch(
    store: *const SplStore,
    key: *const u8,
    key_len: u32,
    epoch: *mut u64,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (&handle(store)?.store, input(key, key_len)?) };
        if epoch.is_null() {
            return Err(invalid("an output pointer is NULL"));
        }
        // SAFETY: as the caller promises; it need not be aligned.
        let expected = unsafe { epoch.read_unaligned() };
        // SAFETY: as the caller promises.
        unsafe { told(unset_if_epoch(store, key, expected)?, epoch) }
    })
}

/// `spl_get` with what belongs to the same version of the value.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, or for what they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_get_entry(
    store: *const SplStore,
    key: *const u8,
    key_len: u32,
    buf: *mut u8,
    cap: u32,
    version: *mut SplVersion,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (&handle(store)?.store, input(key, key_len)?) };
        // SAFETY: as the caller promises.
        let buffer = unsafe { output(buf, cap)? };
        let Some(entry) = get_entry(store, key, buffer)? else {
            return Ok(SPL_NO_KEY);
        };
        let length = entry.value_len as i32;
        // SAFETY: as the caller promises.
        unsafe { put(version, entry).map(|_| length) }
    })
}

/// Puts bytes behind the value of a key, or makes them the value of a new one; returns the length of the whole.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, or for what they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_append(
    store: *const SplStore,
    key: *const u8,
    key_len: u32,
    value: *const u8,
    value_len: u32,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (&handle(store)?.store, input(key, key_len)?) };
        // SAFETY: as the caller promises.
        let value = unsafe { input(value, value_len)? };
        store.append(key, value).map(|length| length as i32)
    })
}

/// Changes the number that a key holds in 8 little-endian bytes, as one step: `operation` is `SPL_ADD` to `SPL_NOT`, with `SPL_CHECKED`
/// or `SPL_SIGNED` added if wanted. A key that does not exist is 0 before. `result` gets the new number.
///
/// `SPL_WRONG_TYPE` if the value is not of 8 bytes.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, or for what they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_apply(
    store: *const SplStore,
    key: *const u8,
    key_len: u32,
    operation: u32,
    operand: u64,
    result: *mut u64,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (&handle(store)?.store, input(key, key_len)?) };
        if result.is_null() {
            return Err(invalid("an output pointer is NULL"));
        }
        // SAFETY: as the caller promises.
        unsafe { put(result, apply(store, key, operation, operand)?) }
    })
}

/// Gives a key so many milliseconds to live, at least 1: 1, or `SPL_NO_KEY`. Its value and epoch stay as they are. The deadline is a
/// time of the machine's clock (`CLOCK_REALTIME`).
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, or for what they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_expire(store: *const SplStore, key: *const u8, key_len: u32, ttl_ms: u64) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (&handle(store)?.store, input(key, key_len)?) };
        store.expire(key, Duration::from_millis(ttl_ms)).map(found)
    })
}

/// Takes a key's deadline away: 1 if it had one, 0 if not.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, or for what they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_persist(store: *const SplStore, key: *const u8, key_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (&handle(store)?.store, input(key, key_len)?) };
        store.persist(key).map(i32::from)
    })
}

/// How many milliseconds a key has yet to live, or `SPL_NO_DEADLINE`.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, or for what they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_ttl(store: *const SplStore, key: *const u8, key_len: u32, ttl_ms: *mut u64) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (&handle(store)?.store, input(key, key_len)?) };
        match super::operations::ttl_ms(store, key)? {
            // SAFETY: as the caller promises.
            Some(left) => unsafe { put(ttl_ms, left) },
            None => Ok(SPL_NO_KEY),
        }
    })
}

/// Sets whether a key is pinned, which is never evicted: `on` is 1 or 0. 1, or `SPL_NO_KEY`.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, or for what they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_pin(store: *const SplStore, key: *const u8, key_len: u32, on: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (&handle(store)?.store, input(key, key_len)?) };
        store.pin(key, switch(on)?).map(found)
    })
}

/// The labels of a key, one bit each.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, or for what they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_labels(store: *const SplStore, key: *const u8, key_len: u32, labels: *mut u64) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (&handle(store)?.store, input(key, key_len)?) };
        match store.labels(key)? {
            // SAFETY: as the caller promises.
            Some(now) => unsafe { put(labels, now) },
            None => Ok(SPL_NO_KEY),
        }
    })
}

/// Takes labels from a key, then gives it others, as one step; `labels` gets all that it has then. `labels` may be NULL.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, or for what they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_label(
    store: *const SplStore,
    key: *const u8,
    key_len: u32,
    add: u64,
    remove: u64,
    labels: *mut u64,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (&handle(store)?.store, input(key, key_len)?) };
        let Some(now) = store.label(key, add, remove)? else {
            return Ok(SPL_NO_KEY);
        };
        if labels.is_null() {
            return Ok(SPL_OK);
        }
        // SAFETY: as the caller promises.
        unsafe { put(labels, now) }
    })
}

/// Shows a value where it lies, without a copy. What is seen is to be believed only if `spl_view_is_whole` says so afterwards;
/// else it is to be tried again, or to be copied by `spl_get` after a few times.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths, or for what they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_view(store: *const SplStore, key: *const u8, key_len: u32, view: *mut SplView) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, key) = unsafe { (&handle(store)?.store, input(key, key_len)?) };
        let Some(seen) = store.view(key)? else {
            return Ok(SPL_NO_KEY);
        };
        let stamp = seen.stamp();
        let seen = SplView {
            value: seen.bytes().as_ptr().cast(),
            value_len: seen.bytes().len() as u64,
            state: stamp.state,
            slot: stamp.slot.into(),
        };
        // SAFETY: as the caller promises.
        unsafe { put(view, seen) }
    })
}

/// 1 if all that was seen by a view up to now was one whole value, 0 if not.
///
/// # Safety
///
/// `store` is NULL or open; `view` is valid for reading, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_view_is_whole(store: *const SplStore, view: *const SplView) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let store = unsafe { &handle(store)?.store };
        if view.is_null() {
            return Err(invalid("the view is NULL"));
        }
        // SAFETY: as the caller promises; it need not be aligned.
        let view = unsafe { view.read_unaligned() };
        let stamp = Stamp {
            slot: u32::try_from(view.slot).unwrap_or(u32::MAX),
            state: view.state,
        };
        store.is_whole(stamp).map(i32::from)
    })
}

/// Names a label, by its number from 0 to 63; an empty name takes the old one away. A name has at most 56 bytes.
///
/// # Safety
///
/// `store` is NULL or open; the pointers are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_name_label(store: *const SplStore, label: u32, name: *const u8, name_len: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, name) = unsafe { (&handle(store)?.store, input(name, name_len)?) };
        let name = std::str::from_utf8(name).map_err(|_| invalid("a label's name must be UTF-8"))?;
        store.name_label(label, name).map(|()| SPL_OK)
    })
}

/// Copies the names of labels, if they fit, as records of `uint32_t label`, `uint32_t name_len`, the name, and padding to a multiple
/// of 8. Returns how many bytes they are: at most 4,096.
///
/// # Safety
///
/// `store` is NULL or open; `buf` is valid for `cap` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_label_names(store: *const SplStore, buf: *mut u8, cap: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let (store, buffer) = unsafe { (&handle(store)?.store, output(buf, cap)?) };
        let mut records = Vec::new();
        for (label, name) in store.label_names()? {
            records.extend(label.to_ne_bytes());
            records.extend((name.len() as u32).to_ne_bytes());
            records.extend(name.as_bytes());
            records.resize(records.len().next_multiple_of(8), 0);
        }
        deliver(&records, buffer)
    })
}

/// Deletes the keys whose time is up, so that those who watch are told and the bytes are zeroed; returns how many there were.
///
/// # Safety
///
/// `store` is NULL or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_sweep(store: *const SplStore) -> i32 {
    // SAFETY: as the caller promises.
    guarded(|| unsafe { handle(store)? }.store.sweep().map(|count| count as i32))
}

/// Zeroes what was left behind while the store did not zero replaced and deleted bytes; returns in how many slots there was
/// something.
///
/// # Safety
///
/// `store` is NULL or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_purge(store: *const SplStore) -> i32 {
    // SAFETY: as the caller promises.
    guarded(|| unsafe { handle(store)? }.store.purge().map(|slots| slots as i32))
}

/// What goes when the store is full: one of the `SPL_EVICT_` numbers.
///
/// # Safety
///
/// `store` is NULL or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_eviction(store: *const SplStore) -> i32 {
    // SAFETY: as the caller promises.
    guarded(|| unsafe { handle(store)? }.store.eviction().map(|policy| policy as i32))
}

/// Sets what goes when the store is full, for all processes.
///
/// # Safety
///
/// `store` is NULL or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spl_set_eviction(store: *const SplStore, policy: u32) -> i32 {
    guarded(|| {
        // SAFETY: as the caller promises.
        let store = unsafe { &handle(store)?.store };
        store.set_eviction(eviction(policy)?).map(|()| SPL_OK)
    })
}

/// The policy of a number.
pub(crate) fn eviction(policy: u32) -> Result<Eviction, Error> {
    let known = Eviction::ALL.get(policy as usize).copied();
    known.ok_or_else(|| invalid("there is no such policy"))
}
