//! What the C original, libsplinter 0.9, got wrong, a test for each fault: none of it comes back.
//!
//! The faults of its command line are in `cli/tests/cli/original.rs`; that of its JavaScript, offsets counted by hand, in `ts/tests/header.ts`.

#[path = "common/mod.rs"]
mod common;
#[path = "common/process.rs"]
mod process;
#[path = "common/trace.rs"]
mod trace;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use process::fork;
use splinter::{Error, ErrorCode, OpenOptions, Store};
use tempfile::{TempDir, tempdir};
use trace::{Led, lead, stay_on_one_processor};

/// It kept the one store of a process in global variables.
#[test]
fn a_process_has_several_stores_open_at_once() {
    let directory = tempdir().unwrap();
    let path = |name: u8| directory.path().join(name.to_string());
    let sizes = 1..=20_u8;
    let stores: Vec<_> = sizes
        .clone()
        .map(|i| {
            let options = OpenOptions::new().slots(i.into()).max_value_bytes(i.into());
            options.create(path(i)).unwrap()
        })
        .collect();
    let again = Store::open(path(7)).unwrap();
    for (i, store) in sizes.clone().zip(&stores) {
        store.set("key", [i].repeat(i.into())).unwrap();
    }
    for (i, store) in sizes.zip(&stores) {
        assert_eq!(store.get_vec("key").unwrap(), Some([i].repeat(i.into())));
    }
    drop(stores);
    assert_eq!(again.get_vec("key").unwrap(), Some(vec![7; 7]));
}

/// Its layout depended on a flag of the compiler, and nothing in the file told which.
///
/// Whoever changes the layout changes these numbers, and so the fingerprint by which stores of the old one are refused.
#[test]
fn the_layout_is_one_however_the_library_was_built() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let options = OpenOptions::new().slots(100).max_value_bytes(1000).max_key_bytes(64);
    drop(options.journal_entries(256).create(&path).unwrap());
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut identity = [0; 40];
    file.read_exact_at(&mut identity, 0).unwrap();
    let word = |at: usize| u64::from_le_bytes(identity[at..at + 8].try_into().unwrap());
    assert_eq!((word(8), word(32)), (FINGERPRINT, REGION_BYTES));

    file.write_all_at(&(FINGERPRINT + 1).to_le_bytes(), 8).unwrap();
    assert_eq!(Store::open(&path).unwrap_err().code(), ErrorCode::Incompatible);
}

const FINGERPRINT: u64 = 16_221_626_026_881_046_949;
const REGION_BYTES: u64 = 323_584;

/// It mapped a file first and looked at it afterwards.
#[test]
fn a_file_is_looked_at_before_it_is_mapped() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    drop(Store::create(&path).unwrap());
    let whole = std::fs::read(&path).unwrap();
    let mut long = whole.clone();
    // It claims to be longer than it is: to touch it as far as that would end this process.
    long.truncate(8192);
    for (bytes, code) in [
        (&whole[..0], ErrorCode::NotAStore),
        (&b"#!/bin/sh\n"[..], ErrorCode::NotAStore),
        (&long, ErrorCode::Corrupt),
    ] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(Store::open(&path).unwrap_err().code(), code);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert!(!maps.contains(path.to_str().unwrap()));
    }
}

/// Two allocators gave out parts of one arena, and a value could lie on top of another.
#[test]
fn values_never_share_a_byte() {
    let store = OpenOptions::new().slots(64).max_value_bytes(100).anonymous().unwrap();
    let keys: Vec<_> = (0..64_u8).collect();
    for length in [100, 1, 99, 64, 100] {
        for &key in &keys {
            store.set(format!("key {key}"), [key].repeat(length)).unwrap();
        }
        for &key in keys.iter().step_by(2) {
            store.set(format!("key {key}"), [!key].repeat(100)).unwrap();
        }
        for &key in &keys {
            let expected = if key % 2 == 0 {
                [!key].repeat(100)
            } else {
                [key].repeat(length)
            };
            assert_eq!(store.get_vec(format!("key {key}")).unwrap(), Some(expected));
        }
    }
}

/// It deleted by zeroing a hash, and inserted into the first hole: a key behind the hole was there twice, and its old value came
/// back when the new one was deleted.
#[test]
fn a_key_is_there_once_and_does_not_come_back() {
    let store = OpenOptions::new().slots(16).max_value_bytes(8).anonymous().unwrap();
    let name = |i: usize| format!("key {i}");
    for hole in 0..16 {
        for i in 0..16 {
            store.set(name(i), "old").unwrap();
        }
        assert_eq!(store.unset(name(hole)).unwrap(), Some(3));
        for i in (0..16).filter(|&i| i != hole) {
            store.set(name(i), "new").unwrap();
        }
        let listed: Vec<_> = store.list().map(|entry| entry.unwrap().key).collect();
        assert_eq!(listed.len(), 15, "{listed:?}");
        assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), 15);
        for i in (0..16).filter(|&i| i != hole) {
            assert_eq!(store.unset(name(i)).unwrap(), Some(3));
            assert_eq!(store.get_vec(name(i)).unwrap(), None);
        }
        assert_eq!(store.list().count(), 0);
    }
}

/// It cut keys to 63 bytes: two that differed behind were one.
#[test]
fn a_key_is_taken_whole_or_refused() {
    let store = OpenOptions::new().slots(4).max_key_bytes(64).anonymous().unwrap();
    let (longest, twin, longer) = ("k".repeat(63) + "1", "k".repeat(63) + "2", "k".repeat(65));
    store.set(&longest, "1").unwrap();
    store.set(&twin, "2").unwrap();
    assert_eq!(store.get_vec(&longest).unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(store.get_vec(&twin).unwrap().as_deref(), Some(&b"2"[..]));
    assert!(matches!(
        store.set(&longer, "3"),
        Err(Error::KeyTooLong { bytes: 65, max: 64 })
    ));
    assert_eq!(store.list().count(), 2);
}

/// A store that is full, with "key" in it.
fn store_of_one_key(directory: &TempDir) -> Store {
    let options = OpenOptions::new().slots(1).max_value_bytes(8);
    let store = options.create(directory.path().join("s")).unwrap();
    store.set("key", "old").unwrap();
    store
}

/// A child that will overwrite "key", led instruction by instruction.
fn writer(store: &Store, value: &str) -> Led {
    stay_on_one_processor();
    lead(
        |_| Store::open(store.path()).unwrap(),
        |store| done(store.set("key", value).unwrap()),
    )
}

/// Leads a writer to where it holds the key's lock.
fn step_into_the_write(writer: &mut Led, store: &Store) {
    while store.epoch("key").unwrap().unwrap().is_multiple_of(2) {
        writer.step();
    }
}

/// It said -1 to all of these.
#[test]
fn missing_full_too_large_too_long_busy_and_timed_out_are_told_apart() {
    let directory = tempdir().unwrap();
    let store = store_of_one_key(&directory);
    let code = |result: splinter::Result<u64>| result.unwrap_err().code();
    assert_eq!(store.get_vec("missing").unwrap(), None);
    assert_eq!(store.unset("missing").unwrap(), None);
    assert_eq!(code(store.set("another", "")), ErrorCode::Full);
    assert_eq!(code(store.set("key", [0; 9])), ErrorCode::ValueTooLarge);
    assert_eq!(code(store.set("k".repeat(65), "")), ErrorCode::KeyTooLong);
    assert_eq!(code(store.set("", "")), ErrorCode::KeyInvalid);
    assert!(!store.poll("key", Duration::ZERO).unwrap());

    // Somebody stands still within a write, with the key's lock.
    let mut child = writer(&store, "other");
    step_into_the_write(&mut child, &store);
    assert_eq!(code(store.try_set("key", "mine")), ErrorCode::Busy);
}

/// It told readers to try again whenever somebody was writing.
#[test]
fn a_reader_beside_a_writer_that_stands_still_at_any_instruction_gets_the_value() {
    let directory = tempdir().unwrap();
    let store = store_of_one_key(&directory);
    let mut child = writer(&store, "new");
    let turns = child.turns();
    let mut seen = vec![];
    while child.turns() == turns {
        child.step();
        seen.push(store.get_vec("key").unwrap().unwrap());
    }
    seen.dedup();
    assert_eq!(seen, [b"old", b"new"]);
}

/// A writer that was killed within a write left its key locked for ever.
#[test]
fn a_writer_killed_within_a_write_locks_nobody_out() {
    let directory = tempdir().unwrap();
    let store = store_of_one_key(&directory);
    let mut child = writer(&store, "dead");
    step_into_the_write(&mut child, &store);
    drop(child);
    assert_eq!(store.get_vec("key").unwrap().as_deref(), Some(&b"old"[..]));
    store.set("key", "new").unwrap();
    assert_eq!(store.get_vec("key").unwrap().as_deref(), Some(&b"new"[..]));
    assert_eq!(store.header_snapshot().unwrap().repairs, 1);
}

/// Its wakes reached the process that made the store, and no other.
#[test]
fn a_change_by_any_process_wakes_those_who_wait_in_any_other() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let store = Store::create(&path).unwrap();
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let waiter = fork(|_| {
                let store = Store::open(&path).unwrap();
                // Nobody looks again before the test has failed.
                assert!(store.poll("key", Duration::from_secs(50)).unwrap());
            });
            common::wait_until_asleep(waiter.pid);
            waiter
        })
        .collect();
    fork(|_| done(Store::open(&path).unwrap().set("key", "").unwrap())).join();
    for waiter in waiters {
        waiter.join();
    }
    drop(store);
}

/// Its poll slept for 10 ms and looked again.
#[test]
fn a_poll_sleeps_until_it_is_woken() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    drop(Store::create(&path).unwrap());
    // In a process of its own, whose sleeps are counted.
    fork(|_| {
        let store = Store::open(&path).unwrap();
        let before = sleeps();
        assert!(!store.poll("key", Duration::from_millis(500)).unwrap());
        let slept = sleeps() - before;
        // Five slices of 100 ms, after which it looks for writers that were killed before they woke anybody.
        assert!((1..25).contains(&slept), "slept {slept} times in half a second");
    })
    .join();
}

/// How often this process has given up the processor to wait for something.
fn sleeps() -> i64 {
    // SAFETY: any bytes are a `rusage`, which the kernel writes.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &raw mut usage), 0);
        usage.ru_nvcsw
    }
}

/// A look for a missing key went through all slots.
#[test]
fn a_missing_key_costs_as_many_instructions_in_a_large_full_store_as_in_a_small_one() {
    stay_on_one_processor();
    let [small, large] = [16, 16_384].map(|slots| {
        let store = OpenOptions::new()
            .slots(slots)
            .max_value_bytes(8)
            .auto_vacuum(false)
            .anonymous()
            .unwrap();
        for i in 0..slots {
            store.set(format!("key {i}"), "").unwrap();
        }
        let path = store.path().to_owned();
        let mut child = lead(
            |_| Store::open(&path).unwrap(),
            |store| {
                for i in 0..20 {
                    assert!(!store.contains(format!("missing {i}")).unwrap());
                }
            },
        );
        let turns = child.turns();
        let mut instructions = 0_u32;
        while child.turns() == turns {
            child.step();
            instructions += 1;
        }
        instructions
    });
    // Chance decides where keys lie and how far a look goes on; all slots would be a thousand times as many.
    assert!(large < 3 * small, "{small} and {large} instructions");
}

/// Takes what a call returns, whatever it is.
fn done<T>(_: T) {}
