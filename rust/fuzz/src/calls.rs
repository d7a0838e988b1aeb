//! Any operation on a store that may hold anything.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use splinter::{Cursor, Error, Eviction, KeyHandle, Operation, Pattern, SetOptions, Store, ValueType, WatchOptions};

use crate::input::Input;
use crate::victim::geometry;
use crate::world::operation;

/// More than a store of this geometry can tell of without a writer.
const EVENTS_MAX: usize = 1000;
/// Long enough to go to sleep.
const MOMENT: Duration = Duration::from_micros(20);

/// Asserts that a value, if there is one, can be one of a store of this geometry.
fn possible(value: Option<impl AsRef<[u8]>>) {
    assert!(value.is_none_or(|value| value.as_ref().len() <= geometry().max_value_bytes() as usize));
}

/// Whether a store of this geometry can have such a key.
fn is_possible_key(key: &[u8]) -> bool {
    let is_text = std::str::from_utf8(key).is_ok_and(|text| !text.is_empty() && !text.contains('\0'));
    is_text && key.len() <= geometry().max_key_bytes() as usize
}

/// Whatever is refused, the reason can be told.
fn told<T>(result: Result<T, Error>) -> Option<T> {
    result.map_err(|error| assert!(!error.to_string().is_empty())).ok()
}

/// A key that the victim has or had, or any other.
fn key(input: &mut Input<'_>) -> Vec<u8> {
    match input.below(16) {
        number @ 0..12 => format!("key{number}").into(),
        12 => "n/1".into(),
        13 => "n/2".into(),
        _ => {
            let bytes = input.below(20);
            input.take(bytes).into()
        }
    }
}

fn value(input: &mut Input<'_>) -> Vec<u8> {
    let bytes = match input.below(4) {
        0 => 8,
        1 => geometry().max_value_bytes() as usize,
        2 => 193,
        _ => input.below(193),
    };
    vec![input.byte(); bytes]
}

fn duration(input: &mut Input<'_>) -> Duration {
    match input.below(4) {
        0 => Duration::from_nanos(1),
        1 => Duration::from_secs(1000),
        2 => Duration::MAX,
        _ => Duration::from_nanos(input.number()),
    }
}

fn options(input: &mut Input<'_>) -> SetOptions {
    let shape = input.byte();
    let options = SetOptions::new().value_type(ValueType::ALL[usize::from(shape) % ValueType::ALL.len()]);
    let options = match shape >> 4 & 3 {
        0 => options,
        1 => options.keep_ttl(),
        _ => options.ttl(duration(input)),
    };
    match shape >> 6 {
        0 => options,
        1 => options.if_absent(),
        2 => options.if_present(),
        _ => options.if_epoch(input.number()),
    }
}

fn any_operation(input: &mut Input<'_>) -> Operation<u64> {
    let by = input.number();
    operation(input.below(8), by)
}

fn look(bytes: &[AtomicU8]) -> u64 {
    assert!(bytes.len() <= geometry().max_value_bytes() as usize);
    bytes.iter().map(|byte| u64::from(byte.load(Ordering::Relaxed))).sum()
}

/// Calls an operation.
///
/// # Panics
///
/// If its result cannot be one of a store of this geometry, or it does not come to an end.
pub(crate) fn call(store: &Store, input: &mut Input<'_>) {
    let slots = store.geometry().slots() as usize;
    let choice = input.below(38);
    let key = key(input);
    match choice {
        0 | 1 => {
            let mut buffer = vec![0xee; input.below(200)];
            let room = buffer.len();
            if let Some(Some(bytes)) = told(store.get(&key, &mut buffer)) {
                assert!(bytes <= geometry().max_value_bytes() as usize);
                let written = bytes.min(room);
                assert!(bytes > room || buffer[written..].iter().all(|&byte| byte == 0xee));
            }
        }
        2 | 3 => {
            possible(told(store.get_vec(&key)).flatten());
        }
        4 => {
            let entry = told(store.get_entry(&key)).flatten();
            possible(entry.map(|entry| entry.value));
        }
        5 => {
            told(store.get_with(&key, look));
        }
        6 => {
            if let Some(Some(view)) = told(store.view(&key)) {
                look(view.bytes());
                told(store.is_whole(view.stamp()));
            }
        }
        7 => {
            told(store.contains(&key));
            told(store.epoch(&key));
        }
        8 => {
            if let Some(Some(slot)) = told(store.slot_snapshot(&key)) {
                assert!(slot.slot < geometry().slots() && slot.value_bytes <= geometry().max_value_bytes() as usize);
            }
        }
        9..12 => {
            let is_set = told(store.set(&key, value(input))).is_some();
            assert!(!is_set || is_possible_key(&key));
        }
        12 => {
            told(store.try_set(&key, value(input)));
        }
        13 => {
            let value = value(input);
            told(store.set_with(&key, value, &options(input)));
        }
        14 | 15 => {
            told(store.append(&key, value(input)));
        }
        16 => {
            told(store.apply(&key, any_operation(input)));
        }
        17 => {
            let value = value(input);
            told(store.update(&key, |old| {
                possible(old);
                Some(value.clone())
            }));
        }
        18 | 19 => {
            told(store.unset(&key));
        }
        20 => {
            told(store.unset_if_epoch(&key, input.number()));
        }
        21 => {
            told(store.try_unset(&key));
        }
        22 => {
            told(store.expire(&key, duration(input)));
            told(store.ttl(&key));
        }
        23 => {
            told(store.persist(&key));
        }
        24 => {
            told(store.label(&key, input.number(), input.number()));
            told(store.labels(&key));
        }
        25 => {
            told(store.pin(&key, input.bit()));
        }
        26 => {
            let label = u32::from(input.byte());
            let name = String::from_utf8_lossy(input.take(8)).into_owned();
            told(store.name_label(label, &name));
            told(store.label_names());
        }
        27 => {
            let entries = match input.below(3) {
                0 => store.list(),
                1 => store.list_with_prefix(&key).with_labels(input.number()),
                _ => {
                    let mut entries = store.list();
                    entries
                        .by_ref()
                        .take(input.below(8))
                        .for_each(|entry| drop(told(entry)));
                    let cursor: Cursor = entries.cursor();
                    store.list_from(cursor, &key)
                }
            };
            let mut steps = 0;
            for entry in entries {
                steps += 1;
                if let Some(entry) = told(entry) {
                    assert!(entry.key.len() <= geometry().max_key_bytes() as usize);
                    assert!(entry.value_bytes <= geometry().max_value_bytes() as usize);
                }
            }
            assert!(steps <= slots, "a scan ends");
        }
        28 => {
            let keys = [&key[..], b"key1", b"key2", b"key1", b"n/1", b""];
            let values = told(store.get_many(&keys)).unwrap_or_default();
            values.into_iter().for_each(possible);
        }
        29 => {
            let value = value(input);
            let entries = [(&key[..], &value), (b"key7", &value), (b"key8", &value)];
            if let Err(batch) = store.set_many(&entries) {
                assert!(batch.done < entries.len() && !batch.to_string().is_empty());
            }
        }
        30 => {
            told(store.poll(&key, MOMENT));
            told(store.poll_since(&key, input.number(), Duration::ZERO));
        }
        31 => {
            let feed = match input.below(3) {
                0 => store.changes(),
                1 => store.changes_from(0),
                _ => store.changes_from(input.number()),
            };
            if let Some(mut feed) = told(feed) {
                let taken = (0..EVENTS_MAX).take_while(|_| told(feed.try_next()).flatten().is_some());
                assert!(taken.count() < EVENTS_MAX, "a feed ends");
                told(feed.next_timeout(MOMENT));
            }
        }
        32 => {
            let options = WatchOptions::new().labels(u64::from(input.byte()));
            let shape = input.byte();
            let options = options
                .initial(shape & 1 != 0)
                .values(shape & 2 != 0)
                .appended(shape & 4 != 0);
            let options = if shape & 8 != 0 {
                options.from(input.number())
            } else {
                options
            };
            let pattern = match shape >> 6 {
                0 => Pattern::all(),
                1 => Pattern::keys(["key1", "key2"]),
                _ => Pattern::glob("k*"),
            };
            if let Some(mut watcher) = told(store.watch_with(pattern, &options)) {
                let mut taken = 0;
                while let Some(event) = told(watcher.try_next()).flatten() {
                    possible(event.value);
                    taken += 1;
                    assert!(taken < EVENTS_MAX, "a watch ends");
                }
                told(watcher.next_timeout(MOMENT));
            }
        }
        33 => {
            let handle = told(KeyHandle::new(store, &key));
            for handle in handle.iter().chain(&handle) {
                told(handle.changed());
                possible(told(handle.get_vec()).flatten());
                told(handle.set(value(input)));
                told(handle.append("more"));
                told(handle.unset());
            }
        }
        34 => {
            let namespace = store.namespace("n/");
            namespace.list().for_each(|entry| drop(told(entry)));
            possible(told(namespace.get_vec(&key)).flatten());
            told(namespace.set(&key, value(input)));
        }
        35 => {
            told(store.sweep());
            told(store.set_eviction(Eviction::ALL[input.below(Eviction::ALL.len())]));
            told(store.set_auto_vacuum(input.bit()));
            told(store.purge());
        }
        36 => {
            if let Some(report) = told(store.check()) {
                assert!(!format!("{report:?}").is_empty());
            }
            told(store.header_snapshot());
        }
        _ => {
            if input.bit() {
                told(store.repair());
            } else {
                back_up(store);
            }
        }
    }
}

/// A copy, whatever could be copied, is a store.
fn back_up(store: &Store) {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = directory.path().join("copy");
    if told(store.backup(&path)).is_some() {
        // Numbers of the whole store that nothing contradicts are copied as they are.
        Store::open(&path).unwrap().check().unwrap();
    } else {
        assert!(!path.exists(), "half a copy is left");
    }
}
