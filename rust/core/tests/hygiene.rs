//! In sterile mode what was replaced or deleted is nowhere in the region; in no mode does a reader get what is not his.

#[path = "common/bytes.rs"]
mod bytes;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Parts, Random};
use splinter::{ErrorCode, Geometry, OpenOptions, Store};
use tempfile::tempdir;

/// So many equal bytes in a row are no accident.
const TRACE_BYTES: usize = 6;
const VALUE_BYTES: usize = 192;
/// Around the sizes in which bytes are copied and zeroed.
const LENGTHS: [usize; 17] = [0, 1, 6, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 127, 128, 191, 192];

fn geometry(slots: u32) -> Geometry {
    Geometry::new(slots, VALUE_BYTES as u32)
        .and_then(|geometry| geometry.with_max_key_bytes(120))
        .and_then(|geometry| geometry.with_journal_entries(64))
        .unwrap()
}

fn store(slots: u32, sterile: bool) -> Store {
    let options = OpenOptions::new().geometry(geometry(slots)).auto_vacuum(sterile);
    options.anonymous().unwrap()
}

fn region(store: &Store) -> Vec<u8> {
    std::fs::read(store.path()).unwrap()
}

/// Whether any part of `old` that is long enough to be known again is left in the region.
fn is_traced(region: &[u8], old: &[u8]) -> bool {
    assert!(old.len() >= TRACE_BYTES);
    let traces: HashSet<&[u8]> = old.windows(TRACE_BYTES).collect();
    // Most of a region is zero, and no marker contains a zero.
    region
        .windows(TRACE_BYTES)
        .any(|window| window[0] != 0 && window[TRACE_BYTES - 1] != 0 && traces.contains(window))
}

fn assert_gone(store: &Store, old: &[u8], what: &str) {
    if old.len() >= TRACE_BYTES {
        assert!(!is_traced(&region(store), old), "bytes are left: {what}");
    }
}

/// A key that is like no other, of letters.
fn key_marker(random: &mut Random, bytes: usize) -> String {
    (0..bytes).map(|_| char::from(b'a' + random.below(26) as u8)).collect()
}

/// In sterile mode the values part holds the values of the live keys and zeros, and nothing else.
fn assert_sterile(store: &Store, model: &HashMap<String, Vec<u8>>, what: &str) {
    let parts = Parts::of(store.geometry());
    let mut left = region(store);
    assert_eq!(left.len(), parts.region_bytes);
    for (key, value) in model {
        assert_eq!(store.get_vec(key).unwrap().as_ref(), Some(value), "{what}");
        let at = store.slot_snapshot(key).unwrap().unwrap().value_offset as usize;
        assert_eq!(&left[at..at + value.len()], value, "{what}");
        left[at..at + value.len()].fill(0);
    }
    let dirty = left[parts.values.clone()].iter().position(|&byte| byte != 0);
    assert_eq!(dirty, None, "{what}");
    let keys: usize = parts
        .slot_words(40, parts.slot_bytes - 40)
        .into_iter()
        .map(|room| left[room].iter().filter(|&&byte| byte != 0).count())
        .sum();
    assert_eq!(keys, model.keys().map(String::len).sum::<usize>(), "{what}");
}

type Write = fn(&Store, &str, &[u8]) -> u64;

#[test]
fn a_sterile_store_keeps_no_byte_of_a_replaced_value() {
    let writes: [(&str, Write); 3] = [
        ("set", |store, key, value| store.set(key, value).unwrap()),
        ("try_set", |store, key, value| store.try_set(key, value).unwrap()),
        ("unset and set", |store, key, value| {
            assert!(store.unset(key).unwrap().is_some());
            store.set(key, value).unwrap()
        }),
    ];
    let store = store(2, true);
    let mut random = Random::new(1);
    for (name, write) in writes {
        for old_bytes in LENGTHS {
            for new_bytes in LENGTHS {
                let (old, new) = (random.marker(old_bytes), random.marker(new_bytes));
                let what = format!("{name}, {old_bytes} by {new_bytes}");
                store.set("k", &old).unwrap();
                if old_bytes >= TRACE_BYTES {
                    assert!(is_traced(&region(&store), &old), "the search can find");
                }
                write(&store, "k", &new);
                assert_gone(&store, &old, &what);
                assert_sterile(&store, &HashMap::from([("k".into(), new)]), &what);
            }
        }
    }
}

#[test]
fn a_sterile_store_keeps_no_byte_of_a_deleted_key_and_its_value() {
    let deletes: [fn(&Store, &str) -> Option<usize>; 2] = [
        |store, key| store.unset(key).unwrap(),
        |store, key| store.try_unset(key).unwrap(),
    ];
    let mut random = Random::new(2);
    for delete in deletes {
        let store = store(1, true);
        for key_bytes in [6, 7, 8, 9, 63, 64, 65, 120] {
            for value_bytes in LENGTHS {
                let (key, value) = (key_marker(&mut random, key_bytes), random.marker(value_bytes));
                store.set(&key, &value).unwrap();
                store.set(&key, &value).unwrap();
                assert!(is_traced(&region(&store), key.as_bytes()), "the search can find");
                let hash = store.slot_snapshot(&key).unwrap().unwrap().hash;
                assert_eq!(delete(&store, &key), Some(value_bytes));
                assert_gone(&store, key.as_bytes(), "the key");
                assert_gone(&store, &value, "the value");
                assert!(!bytes::contains(&region(&store), &hash.to_le_bytes()), "the hash");
                assert_sterile(&store, &HashMap::new(), "deleted");
                // Another key in the same slot, shorter than the last.
                store.set("x", "y").unwrap();
                assert_gone(&store, key.as_bytes(), "the key, behind another");
                assert_gone(&store, &value, "the value, behind another");
                assert_eq!(store.unset("x").unwrap(), Some(1));
            }
        }
    }
}

#[test]
fn a_sterile_store_holds_its_live_values_and_zeros_after_any_operations() {
    let store = store(12, true);
    let mut model = HashMap::new();
    let mut random = Random::new(3);
    for step in 0..4000 {
        let key = format!("{}{}", "k".repeat(random.below(100)), random.below(4));
        let key = &key[..key.len().min(1 + random.below(40))];
        let value_bytes = LENGTHS[random.below(LENGTHS.len())];
        let value = random.marker(value_bytes);
        match random.below(4) {
            0 => {
                let expected = model.remove(key).map(|value: Vec<u8>| value.len());
                assert_eq!(store.unset(key).unwrap(), expected);
            }
            1 => {
                let expected = model.remove(key).map(|value| value.len());
                assert_eq!(store.try_unset(key).unwrap(), expected);
            }
            n => {
                let result = if n == 2 {
                    store.set(key, &value)
                } else {
                    store.try_set(key, &value)
                };
                match result {
                    Ok(_) => drop(model.insert(key.to_string(), value)),
                    Err(error) => assert_eq!(error.code(), ErrorCode::Full),
                }
            }
        }
        if step % 8 == 0 {
            assert_sterile(&store, &model, &format!("step {step}"));
        }
    }
    assert!(model.len() > 3);
}

#[test]
fn a_sterile_store_is_clean_after_writers_that_met_at_the_same_keys() {
    let store = store(4, true);
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let store = &store;
            scope.spawn(move || {
                let mut random = Random::new(seed);
                for _ in 0..4000 {
                    let key = ["a", "bb", "ccc"][random.below(3)];
                    let value_bytes = LENGTHS[random.below(LENGTHS.len())];
                    if random.below(3) == 0 {
                        store.unset(key).unwrap();
                    } else {
                        store.set(key, random.marker(value_bytes)).unwrap();
                    }
                }
            });
        }
    });
    let model = store
        .keys()
        .map(|key| key.unwrap())
        .map(|key| (key.clone(), store.get_vec(&key).unwrap().unwrap()))
        .collect();
    assert_sterile(&store, &model, "after the writers");
}

#[test]
fn a_refused_write_leaves_no_byte() {
    let store = store(1, true);
    let mut random = Random::new(4);
    store.set("k", "value").unwrap();
    let (key, value) = (key_marker(&mut random, 100), random.marker(VALUE_BYTES));
    assert_eq!(store.set(&key, &value).unwrap_err().code(), ErrorCode::Full);
    let long = [&value[..], &[1]].concat();
    assert_eq!(store.set("k", &long).unwrap_err().code(), ErrorCode::ValueTooLarge);
    assert_gone(&store, key.as_bytes(), "the key of a full store");
    assert_gone(&store, &value, "the value of a full store");
    assert_sterile(&store, &HashMap::from([("k".into(), b"value".to_vec())]), "refused");
}

#[test]
fn a_throughput_store_keeps_what_was_replaced() {
    let store = store(4, false);
    let mut random = Random::new(5);
    let (key, old) = (key_marker(&mut random, 50), random.marker(VALUE_BYTES));
    store.set(&key, &old).unwrap();
    store.set(&key, "short").unwrap();
    assert!(is_traced(&region(&store), &old));
    store.unset(&key).unwrap();
    assert!(is_traced(&region(&store), &old));
    assert!(is_traced(&region(&store), key.as_bytes()));
}

/// What throughput mode leaves behind goes with the first write or delete of the key in sterile mode.
fn assert_switch_cleans(leave: fn(&Store, &str, &[Vec<u8>]), what: &str) {
    let mut random = Random::new(6);
    for last in ["set", "set twice", "try_set", "unset"] {
        // One slot, so that the key cannot go elsewhere.
        let store = store(1, false);
        let key = key_marker(&mut random, 90);
        let old: Vec<_> = (0..4).map(|_| random.marker(VALUE_BYTES)).collect();
        leave(&store, &key, &old);
        let present = store.contains(&key).unwrap();
        assert!(
            old.iter().any(|old| is_traced(&region(&store), old)),
            "{what}: it left something"
        );
        store.set_auto_vacuum(true).unwrap();
        let mut model = HashMap::from([(key.clone(), b"new".to_vec())]);
        match last {
            "set" => assert!(store.set(&key, "new").is_ok()),
            "set twice" => assert!(store.set(&key, "once").is_ok() && store.set(&key, "new").is_ok()),
            "try_set" => assert!(store.try_set(&key, "new").is_ok()),
            _ if present => {
                store.unset(&key).unwrap().unwrap();
                assert_gone(&store, key.as_bytes(), what);
                model.clear();
            }
            _ => continue,
        }
        for (i, old) in old.iter().enumerate() {
            assert_gone(&store, old, &format!("{what}, then {last}: value {i}"));
        }
        assert_sterile(&store, &model, &format!("{what}, then {last}"));
    }
}

#[test]
fn a_switch_to_sterile_cleans_a_replaced_value_with_the_next_write() {
    assert_switch_cleans(
        |store, key, old| {
            store.set(key, &old[0]).unwrap();
            store.set(key, &old[1]).unwrap();
            store.set(key, &old[2]).unwrap();
        },
        "replaced",
    );
}

#[test]
fn a_switch_to_sterile_cleans_the_rest_of_a_longer_value_with_the_next_write() {
    assert_switch_cleans(
        |store, key, old| {
            store.set(key, &old[0]).unwrap();
            store.set(key, &old[1]).unwrap();
            store.set(key, "short").unwrap();
            store.set(key, "").unwrap();
        },
        "replaced by shorter values",
    );
}

#[test]
fn a_switch_to_sterile_cleans_a_deleted_value_with_the_next_write() {
    assert_switch_cleans(
        |store, key, old| {
            store.set(key, &old[0]).unwrap();
            store.set(key, &old[1]).unwrap();
            store.unset(key).unwrap();
        },
        "deleted",
    );
}

/// A key that takes the slot of one that throughput mode left there does not carry its bytes along.
#[test]
fn a_switch_to_sterile_cleans_a_slot_when_another_key_takes_it() {
    let mut random = Random::new(7);
    let store = store(1, false);
    let (old_key, old) = (key_marker(&mut random, 120), random.marker(VALUE_BYTES));
    store.set(&old_key, &old).unwrap();
    store.unset(&old_key).unwrap();
    store.set_auto_vacuum(true).unwrap();
    store.set("x", "y").unwrap();
    assert_gone(&store, &old, "the value");
    assert_gone(&store, old_key.as_bytes(), "the key");
    store.unset("x").unwrap();
    assert_sterile(&store, &HashMap::new(), "all deleted");
}

#[test]
fn a_backup_has_no_byte_of_what_was_replaced_or_deleted() {
    let directory = tempdir().unwrap();
    let mut random = Random::new(8);
    for sterile in [false, true] {
        let store = store(8, sterile);
        let markers: Vec<_> = (0..8)
            .map(|_| (key_marker(&mut random, 60), random.marker(100)))
            .collect();
        for (key, value) in &markers {
            store.set(key, value).unwrap();
        }
        for (key, _) in &markers[..4] {
            store.unset(key).unwrap();
        }
        for (key, _) in &markers[4..] {
            store.set(key, "new").unwrap();
        }
        let path = directory.path().join(format!("backup {sterile}"));
        store.backup(&path).unwrap();
        let copy = std::fs::read(&path).unwrap();
        for (i, (key, value)) in markers.iter().enumerate() {
            assert!(!is_traced(&copy, value), "value {i}, sterile {sterile}");
            assert_eq!(is_traced(&copy, key.as_bytes()), i >= 4, "key {i}, sterile {sterile}");
        }
        assert_eq!(Store::open(&path).unwrap().auto_vacuum().unwrap(), sterile);
    }
}

#[test]
fn a_reader_gets_no_byte_past_the_value_in_either_mode() {
    for sterile in [false, true] {
        let store = store(1, sterile);
        for (old_bytes, new_bytes) in LENGTHS.into_iter().flat_map(|old| LENGTHS.map(|new| (old, new))) {
            store.set("k", vec![0xaa; old_bytes]).unwrap();
            store.set("k", vec![0xaa; old_bytes]).unwrap();
            store.set("k", vec![0xbb; new_bytes]).unwrap();
            let mut buffer = [0xee; VALUE_BYTES + 64];
            assert_eq!(store.get("k", &mut buffer).unwrap(), Some(new_bytes));
            assert!(buffer[..new_bytes].iter().all(|&byte| byte == 0xbb));
            assert!(buffer[new_bytes..].iter().all(|&byte| byte == 0xee));
            assert_eq!(store.get_vec("k").unwrap().unwrap(), vec![0xbb; new_bytes]);
            // What does not fit is not copied in part either.
            if let Some(room) = new_bytes.checked_sub(1) {
                let mut buffer = vec![0xee; room];
                assert_eq!(store.get("k", &mut buffer).unwrap(), Some(new_bytes));
                assert!(buffer.iter().all(|&byte| byte == 0xee));
            }
        }
    }
}

/// A copy that had to be begun anew, because the value changed under it, leaves nothing of the first attempt behind.
#[test]
fn a_reader_beside_writers_gets_no_byte_past_the_value() {
    const LONG_BYTES: usize = 60_000;
    for sterile in [false, true] {
        let options = OpenOptions::new().slots(1).max_value_bytes(LONG_BYTES as u32);
        let store = options.auto_vacuum(sterile).anonymous().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let long = vec![0xaa; LONG_BYTES];
                while !done.load(Ordering::Relaxed) {
                    store.set("k", &long).unwrap();
                    store.set("k", "short").unwrap();
                    store.unset("k").unwrap();
                }
            });
            let mut buffer = vec![0; LONG_BYTES];
            for _ in 0..5_000 {
                let found = store.get("k", &mut buffer).unwrap().unwrap_or(0);
                let past = buffer[found..].iter().position(|&byte| byte != 0);
                if past.is_some() {
                    done.store(true, Ordering::Relaxed);
                }
                assert_eq!(past, None, "of a value of {found} bytes, sterile {sterile}");
                buffer.fill(0);
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}

#[test]
fn a_purge_leaves_the_live_values_and_zeros() {
    let mut random = Random::new(11);
    for _ in 0..20 {
        let store = store(24, false);
        let mut model = HashMap::new();
        for _ in 0..300 {
            let key_bytes = 8 + random.below(100);
            let known = model.keys().next().cloned().filter(|_| random.below(3) > 0);
            let key = known.unwrap_or_else(|| key_marker(&mut random, key_bytes));
            if random.below(3) == 0 || model.len() == 24 {
                store.unset(&key).unwrap();
                model.remove(&key);
            } else {
                let length = LENGTHS[random.below(LENGTHS.len())];
                let value: Vec<u8> = (0..length).map(|_| 1 + random.below(255) as u8).collect();
                store.set(&key, &value).unwrap();
                model.insert(key, value);
            }
        }
        let before: Vec<_> = store.list().map(Result::unwrap).collect();
        let changes = store.header_snapshot().unwrap().epoch;
        assert!(store.purge().unwrap() > 0);
        assert_sterile(&store, &model, "after a purge");
        let after: Vec<_> = store.list().map(Result::unwrap).collect();
        assert_eq!((after, store.header_snapshot().unwrap().epoch), (before, changes));
        assert_eq!(store.purge().unwrap(), 0);
        assert!(store.check().unwrap().is_clean());
    }
}

#[test]
fn a_purge_beside_writers_and_readers_disturbs_neither() {
    const KEYS: u64 = 4;
    let store = store(KEYS as u32, false);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                let mut random = Random::new(writer);
                while !stop.load(Ordering::Relaxed) {
                    let letter = b'a' + random.below(26) as u8;
                    let key = random.below(KEYS as usize).to_string();
                    store.set(key, vec![letter; 8 + random.below(180)]).unwrap();
                }
            });
        }
        let mut reads = 0;
        let mut purged = 0;
        while reads < 20_000 || purged == 0 {
            purged += store.purge().unwrap();
            for key in 0..KEYS {
                if let Some(value) = store.get_vec(key.to_string()).unwrap() {
                    assert!(value.len() >= 8 && value.iter().all(|byte| *byte == value[0]), "torn");
                    reads += 1;
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    store.purge().unwrap();
    let model = (0..KEYS).filter_map(|key| Some((key.to_string(), store.get_vec(key.to_string()).unwrap()?)));
    assert_sterile(&store, &model.collect(), "after the last purge");
}

#[test]
fn a_purge_tells_of_the_slots_that_held_something_and_needs_the_right_to_write() {
    let store = store(4, false);
    assert_eq!(store.purge().unwrap(), 0, "a new store holds nothing");
    for value in ["the first one", "number two"] {
        store.set("k", value).unwrap();
    }
    let reader = OpenOptions::new().read_only(true).open(store.path()).unwrap();
    assert_eq!(reader.purge().unwrap_err().code(), ErrorCode::Permission);
    assert_eq!(store.purge().unwrap(), 1);
    assert_gone(&store, b"the first one", "purged");
    assert_eq!(store.get_vec("k").unwrap().unwrap(), b"number two");
}
