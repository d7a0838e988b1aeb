//! A store whose bytes lie never harms the process that opened it.
//!
//! Short by default; `SPLINTER_TEST_ROUNDS` or `SPLINTER_TEST_SECONDS` lengthens it.

#[path = "common/abuse.rs"]
mod abuse;
#[path = "common/bytes.rs"]
mod bytes;
#[path = "common/process.rs"]
mod process;
#[path = "common/tries.rs"]
mod tries;

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use abuse::{Fill, geometry, impatient, region_with_keys, stored, use_all};
use bytes::{FREE_HINT_AT, IDENTITY_BYTES, JOURNAL_TAIL_AT, PAGE_BYTES, Parts, RECOUNT_AT, Random, memory_file};
use process::{Page, fork, in_child};
use splinter::{Error, ErrorCode, OpenOptions};
use tempfile::tempdir;
use tries::{tried, tries};

/// Damages parts of a store, opens it, damages it again while it is open, and uses it each time, in many ways.
fn survive(kinds: &[(&str, Vec<Range<usize>>)], default: u64) {
    let region = region_with_keys();
    let directory = tempdir().unwrap();
    // All at once, because they spend their time waiting for locks that nobody will free.
    let children: Vec<_> = kinds
        .iter()
        .map(|(name, ranges)| fork(|page| survive_one(&region, ranges, default, page, &directory.path().join(name))))
        .collect();
    for ((name, _), child) in kinds.iter().zip(children) {
        eprintln!("{name}");
        child.join();
    }
}

fn survive_one(region: &[u8], ranges: &[Range<usize>], default: u64, page: &Page, backup: &Path) {
    let mut stores = 0;
    for seed in tries(default) {
        page.step(seed);
        let mut random = Random::new(seed);
        let (file, path) = memory_file();
        let mut bytes = region.to_vec();
        let mut damage = |random: &mut Random| {
            file.read_at(&mut bytes, 0).unwrap();
            for range in ranges {
                Fill::of(seed).apply(&mut bytes[range.clone()], random);
                file.write_all_at(&bytes[range.clone()], range.start as u64).unwrap();
            }
        };
        file.write_all_at(region, 0).unwrap();
        let store = impatient().open(&path).unwrap();
        assert_eq!(store.get_vec("key4").unwrap(), Some(vec![4; 21]));
        let backup = (stores == 0).then_some(backup);
        damage(&mut random);
        // By a handle that was there before, and by one that comes upon the damage.
        use_all(&store, &mut random, None);
        if let Ok(late) = impatient().open(&path) {
            use_all(&late, &mut random, None);
            damage(&mut random);
            use_all(&late, &mut random, backup);
        }
        let read_only = impatient().read_only(true).open(&path).unwrap();
        use_all(&read_only, &mut random, backup);
        stores += 1;
    }
    tried(stores, "damaged stores");
    let fresh = OpenOptions::new().anonymous().unwrap();
    fresh.set("k", "still works").unwrap();
    assert_eq!(fresh.get_vec("k").unwrap().unwrap(), b"still works");
}

#[test]
fn damage_anywhere_does_no_harm() {
    let parts = Parts::of(&geometry());
    let everything = IDENTITY_BYTES..parts.region_bytes;
    survive(&[("everything", vec![everything])], 42);
}

#[test]
fn damage_to_what_tells_owners_does_no_harm() {
    let parts = Parts::of(&geometry());
    survive(
        &[
            ("handles", vec![parts.handles.clone()]),
            ("stripes", vec![parts.stripes.clone()]),
            ("slot locks", parts.slot_words(8, 8)),
            ("handles, stripes and slot locks", {
                let mut all = parts.slot_words(8, 8);
                all.extend([parts.handles.clone(), parts.stripes.clone()]);
                all
            }),
        ],
        14,
    );
}

#[test]
fn damage_to_single_parts_does_no_harm() {
    let parts = Parts::of(&geometry());
    let header = IDENTITY_BYTES..PAGE_BYTES;
    let word = |at: u64, bytes: usize| at as usize..at as usize + bytes;
    survive(
        &[
            ("header", vec![header]),
            ("journal tail", vec![word(JOURNAL_TAIL_AT, 8)]),
            ("journal", vec![parts.journal.clone()]),
            ("free map", vec![parts.free.clone(), word(FREE_HINT_AT, 4)]),
            ("reserved map", vec![parts.reserved.clone()]),
            ("index", vec![parts.index.clone()]),
            ("index and recount", vec![parts.index.clone(), word(RECOUNT_AT, 4)]),
            ("ctl", parts.slot_words(0, 8)),
            ("descriptors", parts.slot_words(16, 16)),
            ("pending and waiters", parts.slot_words(32, 8)),
            ("keys", parts.slot_words(40, parts.slot_bytes - 40)),
            ("attributes", vec![parts.attributes.clone()]),
            ("values", vec![parts.values.clone()]),
        ],
        14,
    );
}

#[test]
fn damage_in_the_middle_of_operations_does_no_harm() {
    in_child(|_| {
        let (file, path) = stored();
        let region_bytes = Parts::of(&geometry()).region_bytes;
        let one = impatient().open(&path).unwrap();
        let other = impatient().open(&path).unwrap();
        let reader = impatient().read_only(true).open(&path).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for (seed, store) in [(1, &one), (2, &other), (3, &reader)] {
                let done = &done;
                scope.spawn(move || {
                    let mut random = Random::new(seed);
                    while !done.load(Ordering::Relaxed) {
                        use_all(store, &mut random, None);
                    }
                });
            }
            let mut random = Random::new(4);
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(300) {
                let at = IDENTITY_BYTES + random.below(region_bytes - IDENTITY_BYTES - 64);
                let length = 1 + random.below(64);
                let mut bytes = [0; 64];
                Fill::of(random.next()).apply(&mut bytes, &mut random);
                file.write_all_at(&bytes[..length], at as u64).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
    });
}

/// Writes one 64-bit number.
fn poke(file: &File, at: usize, number: u64) {
    file.write_all_at(&number.to_le_bytes(), at as u64).unwrap();
}

#[test]
fn a_length_that_cannot_be_is_corrupt_and_counted() {
    let parts = Parts::of(&geometry());
    let (file, path) = stored();
    let store = impatient().open(&path).unwrap();
    let slot = store.slot_snapshot("key4").unwrap().unwrap().slot as usize;
    let descriptors = parts.slots.start + slot * parts.slot_bytes + 16;
    let mut before = [0; 16];
    file.read_exact_at(&mut before, descriptors as u64).unwrap();
    for value_bytes in [193, 1 << 30, u64::from(u32::MAX)] {
        for at in [descriptors, descriptors + 8] {
            poke(&file, at, 4 << 48 | value_bytes);
        }
        let failures = store.header_snapshot().unwrap().parse_failures;
        assert_eq!(store.get_vec("key4").unwrap_err().code(), ErrorCode::Corrupt);
        assert!(store.header_snapshot().unwrap().parse_failures > failures);
        assert_eq!(store.get_vec("key3").unwrap(), Some(vec![3; 21]));
        assert_eq!(store.list().filter(Result::is_err).count(), 1);
    }
    // Once the lengths are right again, so is the store; and whoever writes the key puts them right.
    file.write_all_at(&before, descriptors as u64).unwrap();
    assert_eq!(store.get_vec("key4").unwrap(), Some(vec![4; 21]));
    poke(&file, descriptors, 4 << 48 | 193);
    poke(&file, descriptors + 8, 4 << 48 | 193);
    store.set("key4", "whole").unwrap();
    assert_eq!(store.get_vec("key4").unwrap().unwrap(), b"whole");
}

#[test]
fn a_lock_of_nobody_is_taken_over_and_a_lock_of_the_living_is_not() {
    let parts = Parts::of(&geometry());
    let (file, path) = stored();
    let store = impatient().open(&path).unwrap();
    let other = impatient().open(&path).unwrap();
    let slot = store.slot_snapshot("key4").unwrap().unwrap().slot as usize;
    let lock = parts.slots.start + slot * parts.slot_bytes + 8;
    for nobody in [1, 0x1_0000, 5 << 16 | 1025, 77 << 16 | 1, 1 << 16 | 1, u64::MAX, 0xffff] {
        poke(&file, lock, nobody);
        store.try_set("key4", nobody.to_le_bytes()).unwrap();
        assert_eq!(store.get_vec("key4").unwrap().unwrap(), nobody.to_le_bytes());
    }
    assert!(store.header_snapshot().unwrap().repairs >= 7);
    let place = (0..1024)
        .map(|place| {
            let mut incarnation = [0; 8];
            let at = parts.handles.start + place * bytes::HANDLE_BYTES;
            file.read_exact_at(&mut incarnation, at as u64).unwrap();
            u64::from_le_bytes(incarnation) << 16 | (place as u64 + 1)
        })
        .filter(|token| token >> 16 != 0)
        .collect::<Vec<_>>();
    assert_eq!(place.len(), 2, "two handles are attached, and the dead one is buried");
    for alive in place {
        poke(&file, lock, alive);
        for store in [&store, &other] {
            assert_eq!(store.try_set("key4", "").unwrap_err().code(), ErrorCode::Busy);
            assert_eq!(store.set("key4", "").unwrap_err().code(), ErrorCode::Busy);
            assert_eq!(store.unset("key4").unwrap_err().code(), ErrorCode::Busy);
            assert!(store.get_vec("key4").unwrap().is_some(), "a reader does not wait");
        }
    }
}

/// A handle's entry that no handle can have made must not make the store look as if there were always one more dead to bury.
#[test]
fn a_full_store_says_so_whatever_the_table_of_handles_holds() {
    let parts = Parts::of(&geometry());
    for garbage in [u64::MAX, 1 << 48, 1 << 63 | 5, 999] {
        in_child(|_| {
            let (file, path) = stored();
            let store = impatient().open(&path).unwrap();
            while store.set(format!("more{}", store.keys().count()), "").is_ok() {}
            assert_eq!(store.keys().count(), 8);
            poke(&file, parts.handles.start + 7 * bytes::HANDLE_BYTES, garbage);
            assert_eq!(store.try_set("new", ""), Err(Error::Full { slots: 8 }), "{garbage:#x}");
            assert_eq!(store.set("new", ""), Err(Error::Full { slots: 8 }), "{garbage:#x}");
        });
    }
}

#[test]
fn a_journal_tail_anywhere_leaves_the_keys_alone() {
    let (file, path) = stored();
    for tail in [
        0,
        1,
        63,
        64,
        1 << 32,
        i64::MAX as u64,
        u64::MAX - 64,
        u64::MAX - 7,
        u64::MAX - 1,
        u64::MAX,
    ] {
        let store = impatient().open(&path).unwrap();
        poke(&file, JOURNAL_TAIL_AT as usize, tail);
        for i in 0..200_u32 {
            store.set("key4", i.to_le_bytes()).unwrap();
            assert_eq!(store.get_vec("key4").unwrap().unwrap(), i.to_le_bytes());
        }
        store.header_snapshot().unwrap();
        assert_eq!(store.unset("key4").unwrap(), Some(4));
    }
}
