//! What several processes see of one store, and what is left when they are killed.
//!
//! Short by default; `SPLINTER_TEST_SECONDS` and `SPLINTER_TEST_KILLS` lengthen it.

#[path = "common/bytes.rs"]
mod bytes;
mod common;
#[path = "common/process.rs"]
mod process;

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Random;
use process::{Child, fork};
use splinter::{OpenOptions, Store};
use tempfile::tempdir;

/// A number from the environment, or a default that keeps the run short.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn seconds() -> Duration {
    Duration::from_secs(number("SPLINTER_TEST_SECONDS", 1))
}

/// A value that shows any mixture: every word of it is the same number, and its length follows from it.
fn value_of(number: u64, longest_words: u64) -> Vec<u8> {
    number.to_le_bytes().repeat((number % longest_words + 1) as usize)
}

/// The number of a whole value; panics on a torn one.
fn number_of(value: &[u8], longest_words: u64) -> u64 {
    let number = u64::from_le_bytes(value[..8].try_into().unwrap());
    assert_eq!(value, value_of(number, longest_words), "a torn value");
    number
}

fn hammered(path: &Path, longest_words: u64, read_only: bool, sterile: bool) {
    let store = OpenOptions::new()
        .slots(16)
        .max_value_bytes(longest_words as u32 * 8)
        .auto_vacuum(sterile)
        .create(path)
        .unwrap();
    store.set("hot", value_of(0, longest_words)).unwrap();
    let writer = fork(|_| {
        let store = Store::open(path).unwrap();
        for number in 1.. {
            store.set("hot", value_of(number, longest_words)).unwrap();
        }
    });
    let readers: Vec<Child> = (0..2)
        .map(|_| {
            fork(|_| {
                let store = OpenOptions::new().read_only(read_only).open(path).unwrap();
                let end = Instant::now() + seconds();
                let mut last = 0;
                let mut buffer = vec![0; longest_words as usize * 8];
                while Instant::now() < end {
                    for _ in 0..100 {
                        // Neither an error (busy) nor `None` (a false "not found") may come.
                        let bytes = store.get("hot", &mut buffer).unwrap().unwrap();
                        let number = number_of(&buffer[..bytes], longest_words);
                        assert!(number >= last, "the value went back");
                        last = number;
                        assert!(store.contains("hot").unwrap());
                    }
                }
                assert!(last > 0, "the writer never wrote");
            })
        })
        .collect();
    for reader in readers {
        reader.join();
    }
    writer.kill();
}

#[test]
fn readers_beside_a_hammering_writer_see_whole_values_and_never_wait() {
    let directory = tempdir().unwrap();
    hammered(&directory.path().join("small"), 8, false, true);
    hammered(&directory.path().join("large"), 512, false, true);
    hammered(&directory.path().join("throughput"), 512, false, false);
    hammered(&directory.path().join("read-only"), 8, true, false);
}

#[test]
fn writers_of_the_same_keys_leave_no_duplicates_and_whole_values() {
    const WORDS: u64 = 16;
    const KEYS: u64 = 12;
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    // Fewer slots than keys, so that they change places all the time.
    let options = OpenOptions::new().slots(8).max_value_bytes(WORDS as u32 * 8);
    let store = options.create(&path).unwrap();
    let writers: Vec<Child> = (1..=3)
        .map(|seed| {
            let (path, options) = (&path, &options);
            fork(move |_| {
                let store = options.open(path).unwrap();
                let mut random = Random::new(seed);
                let end = Instant::now() + seconds();
                while Instant::now() < end {
                    let key = format!("key{}", random.below(KEYS as usize));
                    match random.below(3) {
                        0 => drop(store.unset(&key).unwrap()),
                        // Full now and then: there are more keys than slots.
                        _ => drop(store.set(&key, value_of(random.next() >> 24, WORDS))),
                    }
                }
            })
        })
        .collect();
    let end = Instant::now() + seconds();
    while Instant::now() < end {
        let mut keys: Vec<String> = store.keys().map(Result::unwrap).collect();
        let listed = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), listed, "a key twice in one list");
        for key in keys {
            if let Some(value) = store.get_vec(&key).unwrap() {
                number_of(&value, WORDS);
            }
        }
    }
    for writer in writers {
        writer.join();
    }
    // At rest: each key is found under its name, once, and every slot can be used.
    let keys: Vec<String> = store.keys().map(Result::unwrap).collect();
    for key in &keys {
        assert!(store.unset(key).unwrap().is_some());
        assert!(!store.contains(key).unwrap());
    }
    for i in 0..8 {
        store.set(format!("new{i}"), "").unwrap();
    }
}

/// Changes keys at random, for ever, as somebody who may be killed at any instruction.
fn change_at_random(store: &Store, seed: u64, words: u64) {
    let mut random = Random::new(seed);
    loop {
        let key = format!("key{}", random.below(6));
        let value = value_of(random.next() >> 24, words);
        match random.below(4) {
            0 => drop(store.unset(&key)),
            _ => drop(store.set(&key, value)),
        }
    }
}

#[test]
fn a_writer_killed_anywhere_leaves_old_or_new_and_no_lock() {
    const WORDS: u64 = 64;
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let options = OpenOptions::new()
        .slots(8)
        .max_value_bytes(WORDS as u32 * 8)
        .journal_entries(64);
    let store = options.create(&path).unwrap();
    let mut random = Random::new(0x5eed);
    for round in 0..number("SPLINTER_TEST_KILLS", 600) {
        store.set_auto_vacuum(round % 2 == 0).unwrap();
        let writer = fork(|_| {
            let store = options.open(&path).unwrap();
            change_at_random(&store, round, WORDS);
        });
        // A moment that is different every time; nothing is waited for here.
        std::thread::sleep(Duration::from_micros(200 + random.below(1500) as u64));
        writer.kill();
        let mut listed = 0;
        for entry in store.list() {
            let entry = entry.unwrap();
            number_of(&store.get_vec(&entry.key).unwrap().unwrap(), WORDS);
            listed += 1;
        }
        assert!(listed <= 6);
        // The next writer goes on, with every key, whatever the dead held.
        for i in 0..6 {
            let key = format!("key{i}");
            let before = store.epoch(&key).unwrap();
            let epoch = store.set(&key, value_of(i, WORDS)).unwrap();
            assert!(before.is_none_or(|before| epoch > before));
            assert_eq!(number_of(&store.get_vec(&key).unwrap().unwrap(), WORDS), i);
        }
        assert_eq!(store.list().count(), 6);
        if round % 8 == 0 {
            for i in 0..6 {
                assert!(store.unset(format!("key{i}")).unwrap().is_some());
            }
            // No slot is lost.
            for i in 0..8 {
                store.set(format!("other{i}"), "").unwrap();
            }
            for i in 0..8 {
                assert_eq!(store.unset(format!("other{i}")).unwrap(), Some(0));
            }
            assert_eq!(store.list().count(), 0);
        }
    }
    // The test has tested something only if some died holding a lock.
    let snapshot = store.header_snapshot().unwrap();
    assert!(snapshot.repairs > 0, "nobody died with a lock in hand");
    assert_eq!(snapshot.parse_failures, 0);
}

#[test]
fn a_dead_parent_is_seen_to_be_dead_while_its_child_lives() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let store = OpenOptions::new().slots(8).max_value_bytes(512).create(&path).unwrap();
    let mut random = Random::new(77);
    for round in 0..number("SPLINTER_TEST_KILLS", 600) / 10 {
        let parent = fork(|page| {
            let store = Store::open(&path).unwrap();
            // It inherits the parent's handle, and outlives it.
            let child = fork(|_| {
                loop {
                    std::thread::park();
                }
            });
            page.set(0, child.pid as u64);
            change_at_random(&store, round, 64);
        });
        let child = parent.page.await_change(0, 0);
        std::thread::sleep(Duration::from_micros(random.below(1000) as u64));
        parent.kill();
        for i in 0..6 {
            store.set(format!("key{i}"), "after").unwrap();
        }
        // SAFETY: only numbers; the orphan lives, since nobody else ends it.
        unsafe { libc::kill(child as i32, libc::SIGKILL) };
    }
    assert!(
        store.header_snapshot().unwrap().repairs > 0,
        "nobody died with a lock in hand"
    );
}

#[test]
fn a_handle_works_in_parent_and_child_after_fork() {
    let directory = tempdir().unwrap();
    let store = Store::create(directory.path().join("s")).unwrap();
    let memory = OpenOptions::new().anonymous().unwrap();
    for store in [&store, &memory] {
        store.set("parent", "before").unwrap();
        let child = fork(|_| {
            assert_eq!(store.get_vec("parent").unwrap().unwrap(), b"before");
            for i in 0..1000_u32 {
                store.set("same", i.to_le_bytes()).unwrap();
            }
            store.set("child", "was here").unwrap();
        });
        for i in 0..1000_u32 {
            store.set("same", i.to_le_bytes()).unwrap();
        }
        child.join();
        assert_eq!(store.get_vec("child").unwrap().unwrap(), b"was here");
        store.set("child", "and the parent goes on").unwrap();
    }
}

#[test]
fn a_write_by_any_process_wakes_a_waiter_in_another() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let store = Store::create(&path).unwrap();
    let options = OpenOptions::new().spin(Duration::ZERO);
    for read_only in [false, true] {
        for existing in [false, true] {
            store.unset("k").unwrap();
            if existing {
                store.set("k", "before").unwrap();
            }
            let options = options.clone().read_only(read_only);
            let waiter = fork(|page| {
                let store = options.open(&path).unwrap();
                page.set(0, 1);
                assert!(store.poll("k", Duration::from_secs(60)).unwrap());
            });
            waiter.page.await_word(0, 1);
            common::wait_until_asleep(waiter.pid);
            store.set("k", "after").unwrap();
            waiter.join();
        }
    }
}

#[test]
fn a_killed_waiter_costs_nobody_anything() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let store = Store::create(&path).unwrap();
    for key in ["absent", "present"] {
        store.set("present", "").unwrap();
        let waiter = fork(|page| {
            let store = Store::open(&path).unwrap();
            page.set(0, 1);
            store.poll(key, Duration::from_secs(60)).unwrap();
        });
        waiter.page.await_word(0, 1);
        common::wait_until_asleep(waiter.pid);
        waiter.kill();
        store.set(key, "1").unwrap();
        assert!(!store.poll(key, Duration::from_millis(1)).unwrap());
    }
}
