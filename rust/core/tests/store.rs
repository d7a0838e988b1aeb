//! What one process sees of one store.

mod common;

use splinter::{Error, ErrorCode, Geometry, OpenOptions, Store};
use std::time::Duration;
use tempfile::tempdir;

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorCode {
    result.unwrap_err().code()
}

/// The kernel's number of the calling thread.
fn thread_id() -> i32 {
    // SAFETY: a query without arguments.
    unsafe { libc::gettid() }
}

#[test]
fn what_is_set_is_got_byte_for_byte() {
    let store = OpenOptions::new().slots(64).max_value_bytes(1000).anonymous().unwrap();
    let values: Vec<Vec<u8>> = [0, 1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 255, 256, 257, 999, 1000]
        .iter()
        .map(|&bytes| (0..bytes).map(|i| (i * 7 + bytes) as u8).collect())
        .collect();
    for value in &values {
        for key in ["a", "clé/ключ/鍵", "exactly8", "sixteen-bytes-ab", &"k".repeat(64)] {
            store.set(key, value).unwrap();
            assert_eq!(store.get_vec(key).unwrap().as_ref(), Some(value));
            let mut buffer = [0xee; 1000];
            assert_eq!(store.get(key, &mut buffer).unwrap(), Some(value.len()));
            assert_eq!(buffer[..value.len()], value[..]);
            assert!(
                buffer[value.len()..].iter().all(|&byte| byte == 0xee),
                "no byte past the value"
            );
        }
    }
}

#[test]
fn a_value_longer_than_the_buffer_tells_its_length_only() {
    let store = OpenOptions::new().anonymous().unwrap();
    store.set("k", "hello").unwrap();
    let mut buffer = [7; 4];
    assert_eq!(store.get("k", &mut buffer).unwrap(), Some(5));
    assert_eq!(buffer, [7; 4]);
}

#[test]
fn a_missing_key_is_a_result() {
    let store = OpenOptions::new().anonymous().unwrap();
    assert_eq!(store.get_vec("k").unwrap(), None);
    assert_eq!(store.unset("k").unwrap(), None);
    assert_eq!(store.epoch("k").unwrap(), None);
    assert_eq!(store.slot_snapshot("k").unwrap(), None);
    assert!(!store.contains("k").unwrap());
    assert_eq!(store.keys().count(), 0);
}

#[test]
fn epochs_grow_by_two_and_never_go_back() {
    let store = OpenOptions::new().slots(4).anonymous().unwrap();
    let mut last = 0;
    for round in 0..50 {
        let key = format!("k{}", round % 3);
        for _ in 0..3 {
            let before = store.epoch(&key).unwrap();
            let epoch = store.set(&key, b"v").unwrap();
            assert_eq!(store.epoch(&key).unwrap(), Some(epoch));
            assert_eq!(epoch % 2, 0);
            if let Some(before) = before {
                assert_eq!(epoch, before + 2);
            }
        }
        last = store.epoch(&key).unwrap().unwrap().max(last);
        store.unset(&key).unwrap();
        let again = store.set(&key, b"v").unwrap();
        assert!(again > last, "{again} after {last}");
        store.unset(&key).unwrap();
    }
}

#[test]
fn keys_that_cannot_be_are_refused_by_every_operation() {
    let store = OpenOptions::new().anonymous().unwrap();
    let cases: [(&[u8], ErrorCode); 4] = [
        (b"", ErrorCode::KeyInvalid),
        (b"a\0b", ErrorCode::KeyInvalid),
        (b"\xff\xfe", ErrorCode::KeyInvalid),
        (&[b'k'; 65], ErrorCode::KeyTooLong),
    ];
    // So that a search ends at a key that begins alike.
    store.set("a", "v").unwrap();
    for (key, expected) in cases {
        assert_eq!(code(store.set(key, b"v")), expected);
        assert_eq!(code(store.try_set(key, b"v")), expected);
        assert_eq!(code(store.get_vec(key)), expected);
        assert_eq!(code(store.unset(key)), expected);
        assert_eq!(code(store.try_unset(key)), expected);
        assert_eq!(code(store.contains(key)), expected);
        assert_eq!(code(store.epoch(key)), expected);
        assert_eq!(code(store.slot_snapshot(key)), expected);
        assert_eq!(code(store.poll(key, Duration::ZERO)), expected);
    }
    assert_eq!(store.keys().count(), 1);
}

#[test]
fn a_value_too_large_changes_nothing() {
    let store = OpenOptions::new().max_value_bytes(10).anonymous().unwrap();
    store.set("k", "0123456789").unwrap();
    assert_eq!(
        store.set("k", "0123456789a"),
        Err(Error::ValueTooLarge { bytes: 11, max: 10 })
    );
    assert_eq!(store.get_vec("k").unwrap().unwrap(), b"0123456789");
}

#[test]
fn full_means_exactly_as_many_keys_as_slots() {
    for slots in [1, 2, 63, 64, 65, 1000] {
        let store = OpenOptions::new().slots(slots).max_value_bytes(8).anonymous().unwrap();
        for i in 0..slots {
            store.set(format!("key{i}"), i.to_le_bytes()).unwrap();
        }
        assert_eq!(store.set("more", b""), Err(Error::Full { slots }));
        store.set("key0", b"still").unwrap();
        for i in 1..slots {
            assert_eq!(store.get_vec(format!("key{i}")).unwrap().unwrap(), i.to_le_bytes());
        }
        assert_eq!(store.keys().count(), slots as usize);
        assert_eq!(store.unset("key0").unwrap(), Some(5));
        store.set("more", b"").unwrap();
        assert_eq!(code(store.set("key0", b"")), ErrorCode::Full);
    }
}

#[test]
fn a_list_has_every_key_once_with_epoch_and_length() {
    let store = OpenOptions::new().slots(500).anonymous().unwrap();
    for i in 0..500 {
        store
            .set(format!("{}/{i}", ["odd", "even"][usize::from(i % 2 == 0)]), vec![0; i])
            .unwrap();
    }
    let mut entries: Vec<_> = store.list_with_prefix("odd/").map(Result::unwrap).collect();
    assert_eq!(entries.len(), 250);
    entries.sort_by_key(|entry| entry.value_bytes);
    for (n, entry) in entries.iter().enumerate() {
        let i = 2 * n + 1;
        assert_eq!(
            (entry.key.as_str(), entry.value_bytes),
            (format!("odd/{i}").as_str(), i)
        );
        assert_eq!(store.epoch(&entry.key).unwrap(), Some(entry.epoch));
    }
    assert_eq!(store.keys_with_prefix("none").count(), 0);
    assert_eq!(
        store
            .keys()
            .map(Result::unwrap)
            .collect::<std::collections::HashSet<_>>()
            .len(),
        500
    );
}

#[test]
fn a_key_inserted_again_behind_the_scan_is_not_met_twice() {
    let store = OpenOptions::new().slots(10).anonymous().unwrap();
    for i in 0..9 {
        store.set(format!("k{i}"), "").unwrap();
    }
    let mut keys = store.keys();
    let first = keys.next().unwrap().unwrap();
    // Its place is taken by another, so that it comes back further on.
    store.unset(&first).unwrap();
    store.set("other", "").unwrap();
    store.set(&first, "").unwrap();
    let rest: Vec<_> = keys.map(Result::unwrap).collect();
    assert!(!rest.contains(&first));
    assert!(!rest.contains(&"other".to_string()));
    assert_eq!(rest.len(), 8);
    assert_eq!(store.keys().count(), 10);
}

#[test]
fn a_header_snapshot_tells_what_was_chosen_and_what_happened() {
    let geometry = Geometry::new(100, 3000)
        .unwrap()
        .with_max_key_bytes(32)
        .unwrap()
        .with_journal_entries(100)
        .unwrap();
    let store = OpenOptions::new().geometry(geometry).anonymous().unwrap();
    let before = store.header_snapshot().unwrap();
    assert_eq!((before.geometry, before.epoch, before.auto_vacuum), (geometry, 0, true));
    assert_eq!(before.geometry.journal_entries(), 128);
    for i in 0..1000 {
        store.set("k", [i as u8]).unwrap();
    }
    store.unset("k").unwrap();
    store.set_auto_vacuum(false).unwrap();
    let after = store.header_snapshot().unwrap();
    assert_eq!((after.epoch, after.auto_vacuum), (1001, false));
    assert_eq!(
        (after.parse_failures, after.last_failure_epoch, after.repairs),
        (0, 0, 0)
    );
}

#[test]
fn a_poll_sees_changes_and_only_changes() {
    let store = OpenOptions::new().anonymous().unwrap();
    let short = Duration::from_millis(10);
    assert!(!store.poll("k", short).unwrap());
    let epoch = store.set("k", "1").unwrap();
    assert!(!store.poll("k", short).unwrap());
    assert!(!store.poll_since("k", epoch, short).unwrap());
    assert!(store.poll_since("k", 0, short).unwrap());
    assert!(store.poll_since("k", epoch - 2, short).unwrap());
    store.unset("k").unwrap();
    assert!(store.poll_since("k", epoch, short).unwrap());
    assert!(!store.poll_since("k", 0, short).unwrap());
}

#[test]
fn a_poll_is_woken_by_set_unset_and_insert() {
    let store = OpenOptions::new().spin(Duration::ZERO).anonymous().unwrap();
    type Change = fn(&Store) -> Result<(), Error>;
    let changes: [Change; 3] = [
        |store| store.set("k", "inserted").map(drop),
        |store| store.set("k", "overwritten").map(drop),
        |store| store.unset("k").map(drop),
    ];
    for change in changes {
        std::thread::scope(|scope| {
            let (tell, told) = std::sync::mpsc::channel();
            let waiter = scope.spawn({
                let store = &store;
                move || {
                    tell.send(thread_id()).unwrap();
                    store.poll("k", Duration::from_secs(60)).unwrap()
                }
            });
            common::wait_until_asleep(told.recv().unwrap());
            change(&store).unwrap();
            assert!(waiter.join().unwrap());
        });
    }
}

#[test]
fn two_handles_of_one_process_are_two_writers() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let first = Store::create(&path).unwrap();
    let second = Store::open(&path).unwrap();
    std::thread::scope(|scope| {
        for store in [&first, &second, &first, &second] {
            scope.spawn(move || {
                for i in 0..20_000_u32 {
                    store.set("same", i.to_le_bytes().repeat(20)).unwrap();
                    if i % 64 == 0 {
                        store.unset("same").unwrap();
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..20_000 {
                if let Some(value) = first.get_vec("same").unwrap() {
                    assert_eq!(value, value[..4].repeat(20));
                }
            }
        });
    });
    assert_eq!(first.keys().count(), 1);
}
