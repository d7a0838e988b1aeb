//! A check finds each damage and nothing else, and a repair mends what can be mended.
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
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use abuse::{Fill, geometry, impatient, stored};
use bytes::{IDENTITY_BYTES, JOURNAL_TAIL_AT, Parts, Random, memory_file};
use process::{Page, fork, in_child};
use splinter::{Change, CheckReport, ErrorCode, Finding, OpenOptions, Store};
use tries::{tried, tries};

const BIRTHS_AT: u64 = 192;
const EPOCH_FLOOR_AT: u64 = 200;
const INCARNATIONS_AT: u64 = 208;

fn poke(file: &File, at: usize, number: u64) {
    file.write_all_at(&number.to_le_bytes(), at as u64).unwrap();
}

fn peek(file: &File, at: usize) -> u64 {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, at as u64).unwrap();
    u64::from_le_bytes(bytes)
}

fn names(report: &CheckReport) -> Vec<&'static str> {
    let mut names: Vec<_> = report.findings.iter().map(Finding::name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn assert_clean(store: &Store, what: &str) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{what}: {:?}", report.findings);
    assert_eq!(report.undecided, 0, "{what}");
}

/// The keys of `stored` and their values.
fn assert_all_there(store: &Store, what: &str) {
    let mut keys: Vec<_> = store.keys().map(|key| key.expect(what)).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["key0", "key1", "key3", "key4", "key5"], "{what}");
    for key in [3, 4, 5] {
        let value = store.get_vec(format!("key{key}")).unwrap();
        assert_eq!(value, Some(vec![key; 21]), "{what}");
    }
}

/// A store with keys, opened, and where its parts lie.
struct Patient {
    file: File,
    store: Store,
    parts: Parts,
}

impl Patient {
    fn new() -> Self {
        let (file, path) = stored();
        let store = impatient().open(path).unwrap();
        assert_clean(&store, "before");
        let parts = Parts::of(&geometry());
        Self { file, store, parts }
    }

    fn slot_of(&self, key: &str) -> usize {
        self.store.slot_snapshot(key).unwrap().unwrap().slot as usize
    }

    /// A slot without a key that had one.
    fn deleted_slot(&self) -> usize {
        let is_deleted = |slot: &usize| {
            let ctl = peek(&self.file, self.parts.slots.start + slot * self.parts.slot_bytes);
            ctl & 1 == 0 && ctl >> 3 != 0
        };
        (0..8).find(is_deleted).unwrap()
    }

    fn word(&self, slot: usize, offset: usize) -> usize {
        self.parts.slots.start + slot * self.parts.slot_bytes + offset
    }

    fn attribute(&self, slot: usize, offset: usize) -> usize {
        self.parts.attributes.start + slot * 64 + offset
    }

    fn value(&self, slot: usize, buffer: usize) -> usize {
        self.parts.values.start + (slot * 2 + buffer) * 192
    }

    /// Which buffer holds a slot's value.
    fn used_buffer(&self, slot: usize) -> usize {
        (peek(&self.file, self.word(slot, 0)) >> 3 & 1) as usize
    }

    fn cells(&self) -> impl Iterator<Item = usize> {
        self.parts
            .index
            .clone()
            .step_by(64)
            .flat_map(|chunk| (chunk + 16..chunk + 64).step_by(4))
    }

    /// Where the cell stands that names a slot.
    fn cell_of(&self, slot: usize) -> usize {
        self.cells()
            .find(|&at| peek(&self.file, at) as u32 == slot as u32 + 1)
            .unwrap()
    }

    fn free_cell(&self) -> usize {
        self.cells().find(|&at| peek(&self.file, at) as u32 == 0).unwrap()
    }

    fn poke_cell(&self, at: usize, number: u32) {
        self.file.write_all_at(&number.to_le_bytes(), at as u64).unwrap();
    }
}

#[test]
fn a_store_in_order_is_clean_in_every_mode() {
    for sterile in [true, false] {
        let store = OpenOptions::new()
            .slots(300)
            .max_value_bytes(700)
            .journal_entries(64)
            .auto_vacuum(sterile)
            .anonymous()
            .unwrap();
        assert_clean(&store, "empty");
        let mut random = Random::new(5);
        for _ in 0..5000 {
            let key = format!("k{}", random.below(400));
            if random.below(3) == 0 {
                store.unset(key).unwrap();
            } else {
                let _ = store.set(key, vec![7; random.below(701)]);
            }
        }
        assert_clean(&store, "used");
        let read_only = OpenOptions::new().read_only(true).open(store.path()).unwrap();
        assert_clean(&read_only, "read-only");
        let report = store.check().unwrap();
        assert_eq!(report.keys as usize, store.keys().count());
        let value_bytes: usize = store.list().map(|entry| entry.unwrap().value_bytes).sum();
        assert_eq!(report.value_bytes, value_bytes as u64);
        assert_eq!((report.slots, report.handles, report.journal_entries), (300, 1, 64));
        assert_eq!(report.leftovers, 0);
        let directory = tempfile::tempdir().unwrap();
        store.backup(directory.path().join("copy")).unwrap();
        assert_clean(&Store::open(directory.path().join("copy")).unwrap(), "copy");
        store.set_auto_vacuum(!sterile).unwrap();
        assert_clean(&store, "in the other mode");
        assert_eq!(store.check().unwrap().leftovers != 0, !sterile);
    }
}

#[test]
fn a_store_with_every_slot_in_use_is_clean() {
    let store = OpenOptions::new().slots(5000).max_value_bytes(1).anonymous().unwrap();
    for i in 0..5000 {
        store.set(i.to_string(), "").unwrap();
    }
    assert_clean(&store, "full");
    for i in 0..5000 {
        store.unset(i.to_string()).unwrap();
    }
    assert_clean(&store, "emptied");
}

#[test]
fn writers_at_work_are_no_findings() {
    let store = OpenOptions::new()
        .slots(64)
        .max_value_bytes(512)
        .journal_entries(64)
        .anonymous()
        .unwrap();
    let done = AtomicBool::new(false);
    let start = Instant::now();
    let mut checks = 0;
    std::thread::scope(|scope| {
        for seed in 1..=3 {
            let (path, done) = (store.path(), &done);
            scope.spawn(move || {
                let store = Store::open(path).unwrap();
                let mut random = Random::new(seed);
                while !done.load(Ordering::Relaxed) {
                    // Handles come and go too.
                    let passing = random.below(100) == 0;
                    let other = passing.then(|| Store::open(path).unwrap());
                    let key = format!("k{}", random.below(80));
                    if random.below(3) == 0 {
                        let _ = other.as_ref().unwrap_or(&store).unset(key);
                    } else {
                        let _ = store.set(key, vec![7; random.below(513)]);
                    }
                }
            });
        }
        let read_only = OpenOptions::new().read_only(true).open(store.path()).unwrap();
        while start.elapsed() < Duration::from_millis(400) {
            for store in [&store, &read_only] {
                let report = store.check().unwrap();
                if !report.is_clean() {
                    done.store(true, Ordering::Relaxed);
                }
                assert!(report.is_clean(), "check {checks}: {:?}", report.findings);
                checks += 1;
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_clean(&store, "afterwards");
}

/// A name, what is done to a store, and what a check then finds.
type Damage = (&'static str, fn(&Patient), &'static [&'static str]);

const REPAIRABLE: &[Damage] = &[
    (
        "lock of nobody",
        |it| poke(&it.file, it.word(it.slot_of("key4"), 8), 77 << 16 | 1),
        &["dead-lock"],
    ),
    (
        "lock with an impossible place",
        |it| poke(&it.file, it.word(it.deleted_slot(), 8), u64::MAX),
        &["dead-lock"],
    ),
    (
        "stripe of nobody",
        |it| poke(&it.file, it.parts.stripes.start + 64 * 200, 99 << 16 | 5),
        &["dead-stripe"],
    ),
    (
        "handle of nobody",
        |it| poke(&it.file, it.parts.handles.start + 64 * 9, 1),
        &["dead-handle"],
    ),
    (
        "handle with a number that nobody had",
        |it| poke(&it.file, it.parts.handles.start + 64 * 9, 1 << 40),
        &["handle-number"],
    ),
    (
        "being written by nobody",
        |it| {
            let at = it.word(it.slot_of("key4"), 0);
            poke(&it.file, at, peek(&it.file, at) | 2);
        },
        &["unfinished"],
    ),
    (
        "untold change",
        |it| {
            let at = it.word(it.slot_of("key4"), 32);
            poke(&it.file, at, peek(&it.file, at) | 2 << 29 | 5);
        },
        &["untold"],
    ),
    (
        "key length",
        |it| {
            let slot = it.slot_of("key4");
            let at = it.word(slot, 16 + 8 * it.used_buffer(slot));
            poke(&it.file, at, peek(&it.file, at) | 17 << 48);
        },
        &["length"],
    ),
    (
        "bytes behind the key",
        |it| poke(&it.file, it.word(it.slot_of("key4"), 40 + 16), 5),
        &["key-padding"],
    ),
    (
        "byte right behind the key",
        |it| {
            let at = it.word(it.slot_of("key4"), 40);
            poke(&it.file, at, peek(&it.file, at) | 0xff << 56);
        },
        &["key-padding", "unreachable"],
    ),
    (
        "hash",
        |it| {
            // The tag's bits, so that the home stays.
            let at = it.attribute(it.slot_of("key4"), 0);
            poke(&it.file, at, peek(&it.file, at) ^ 8);
        },
        &["cell", "hash"],
    ),
    (
        "birth to come",
        |it| poke(&it.file, it.attribute(it.slot_of("key4"), 8), 1 << 50),
        &["birth"],
    ),
    (
        "births forgotten",
        |it| poke(&it.file, BIRTHS_AT as usize, 0),
        &["birth"],
    ),
    (
        "floor forgotten",
        |it| poke(&it.file, EPOCH_FLOOR_AT as usize, 0),
        &["epoch-floor"],
    ),
    (
        "births beyond counting",
        |it| poke(&it.file, BIRTHS_AT as usize, u64::MAX),
        &["counter"],
    ),
    (
        "floor beyond counting",
        |it| poke(&it.file, EPOCH_FLOOR_AT as usize, u64::MAX),
        &["counter"],
    ),
    (
        "inserted later",
        |it| poke(&it.file, it.attribute(it.slot_of("key4"), 48), 1 << 50),
        &["inserted"],
    ),
    (
        "no slot free",
        |it| poke(&it.file, it.parts.free.start, 0),
        &["free-map"],
    ),
    (
        "every slot free",
        |it| poke(&it.file, it.parts.free.start, 0xff),
        &["free-map"],
    ),
    (
        "more free slots than there are",
        |it| {
            let at = it.parts.free.start;
            poke(&it.file, at, peek(&it.file, at) | 1 << 40);
        },
        &["free-map-end"],
    ),
    (
        "no space",
        |it| poke(&it.file, it.parts.reserved.start, 0),
        &["unreserved"],
    ),
    (
        "bytes behind a value",
        |it| {
            let slot = it.slot_of("key4");
            poke(&it.file, it.value(slot, it.used_buffer(slot)) + 100, 5);
        },
        &["residue"],
    ),
    (
        "a replaced value",
        |it| {
            let slot = it.slot_of("key4");
            poke(&it.file, it.value(slot, 1 - it.used_buffer(slot)), 5);
        },
        &["residue"],
    ),
    (
        "a deleted value",
        |it| poke(&it.file, it.value(it.deleted_slot(), 0) + 184, 1 << 60),
        &["residue"],
    ),
    (
        "a deleted key",
        |it| poke(&it.file, it.word(it.deleted_slot(), 40 + 8), 5),
        &["key-residue"],
    ),
    (
        "key out of the index",
        |it| it.poke_cell(it.cell_of(it.slot_of("key4")), 0),
        &["cell", "unreachable"],
    ),
    (
        "index of zeros",
        |it| {
            let zeros = vec![0; it.parts.index.len()];
            it.file.write_all_at(&zeros, it.parts.index.start as u64).unwrap();
        },
        &["unreachable"],
    ),
    (
        "index of ones",
        |it| {
            let ones = vec![0xff; it.parts.index.len()];
            it.file.write_all_at(&ones, it.parts.index.start as u64).unwrap();
        },
        &["cell", "count-high", "unreachable"],
    ),
    (
        "a cell for a slot that is free",
        |it| it.poke_cell(it.free_cell(), it.deleted_slot() as u32 + 1),
        &["cell"],
    ),
    ("a cell for no slot", |it| it.poke_cell(it.free_cell(), 9), &["cell"]),
    (
        "count too high",
        |it| it.poke_cell(it.parts.index.start + 12, 3),
        &["count-high"],
    ),
    (
        "journal entry of no kind",
        |it| {
            let at = it.parts.journal.start + 8;
            poke(&it.file, at, peek(&it.file, at) & !(7 << 7));
        },
        &["journal-entry"],
    ),
    (
        "journal entry of another lap",
        |it| {
            let at = it.parts.journal.start + 8;
            poke(&it.file, at, peek(&it.file, at) ^ 64);
        },
        &["journal-entry"],
    ),
    (
        "something behind the journal's end",
        |it| poke(&it.file, it.parts.journal.start + 8 * 50, 1 << 50 | 9),
        &["journal-entry"],
    ),
    (
        "journal's tail beyond the end",
        |it| poke(&it.file, JOURNAL_TAIL_AT as usize, 40),
        &["journal-tail"],
    ),
    (
        "journal's tail where no counter comes",
        |it| poke(&it.file, JOURNAL_TAIL_AT as usize, u64::MAX - 3),
        &["journal-tail"],
    ),
    (
        "a change that the journal has not",
        |it| {
            let at = it.word(it.slot_of("key4"), 0);
            poke(&it.file, at, peek(&it.file, at) + (2 << 3));
        },
        &["unjournaled"],
    ),
];

#[test]
fn each_damage_is_found_and_repaired() {
    for &(what, damage, expected) in REPAIRABLE {
        eprintln!("{what}");
        let it = Patient::new();
        let read_only = impatient().read_only(true).open(it.store.path()).unwrap();
        damage(&it);
        for store in [&it.store, &read_only] {
            let report = store.check().unwrap();
            assert_eq!(names(&report), expected, "{what}: {:?}", report.findings);
            assert_eq!(report.undecided, 0, "{what}");
            assert!(report.findings.iter().all(|finding| !finding.to_string().is_empty()));
        }
        assert_eq!(read_only.repair().unwrap_err().code(), ErrorCode::Permission);
        let repair = it.store.repair().unwrap();
        assert_eq!(names(&repair.found), expected, "{what}");
        assert_eq!(repair.left.findings, [], "{what}");
        assert_clean(&it.store, what);
        assert_all_there(&it.store, what);
        // It is as good as new: every slot can be filled and emptied again, and followers hear of it.
        let mut changes = it.store.changes().unwrap();
        let mut hear = |count: usize| -> Vec<_> {
            (0..count)
                .map(|_| changes.next_timeout(Duration::from_secs(5)).unwrap().expect(what))
                .collect()
        };
        for slot in 0..3 {
            it.store.set(format!("new{slot}"), vec![1; 192]).expect(what);
        }
        assert_eq!(it.store.set("one too many", "").unwrap_err().code(), ErrorCode::Full);
        assert!(
            hear(3).iter().all(|change| matches!(change, Change::Set { .. })),
            "{what}"
        );
        for key in it.store.keys().map(Result::unwrap).collect::<Vec<_>>() {
            assert!(it.store.unset(&key).unwrap().is_some(), "{what}");
        }
        assert!(
            hear(8).iter().all(|change| matches!(change, Change::Unset { .. })),
            "{what}"
        );
        assert_clean(&it.store, what);
    }
}

#[test]
fn what_cannot_be_repaired_is_said_and_left() {
    let cases: &[Damage] = &[
        (
            "a key that is not UTF-8",
            |it| {
                let at = it.word(it.slot_of("key2"), 40);
                poke(&it.file, at, peek(&it.file, at) | 0x80);
            },
            &["key"],
        ),
        (
            "a value's length",
            |it| {
                let slot = it.slot_of("key2");
                poke(&it.file, it.word(slot, 16 + 8 * it.used_buffer(slot)), 4 << 48 | 193);
            },
            &["length"],
        ),
        ("unknown flags", |it| poke(&it.file, 128, 1 | 1 << 31), &["flags"]),
        (
            "incarnations beyond counting",
            |it| poke(&it.file, INCARNATIONS_AT as usize, u64::MAX - 7),
            &["counter"],
        ),
        ("identity", |it| poke(&it.file, 40, 1), &["identity"]),
    ];
    for &(what, damage, expected) in cases {
        let it = Patient::new();
        it.store.set("key2", [2; 21]).unwrap();
        damage(&it);
        let repair = it.store.repair().unwrap();
        assert_eq!(names(&repair.found), expected, "{what}: {:?}", repair.found.findings);
        assert!(repair.found.is_damaged());
        assert_eq!(repair.left.findings, repair.found.findings, "{what}");
        for key in [3, 4, 5] {
            assert_eq!(
                it.store.get_vec(format!("key{key}")).unwrap(),
                Some(vec![key; 21]),
                "{what}"
            );
        }
    }
}

#[test]
fn of_a_key_with_two_slots_the_one_that_is_read_stays() {
    let it = Patient::new();
    it.store.set("kex4", "other").unwrap();
    let slot = it.slot_of("kex4");
    let at = it.word(slot, 40);
    poke(&it.file, at, u64::from_le_bytes(*b"key4\0\0\0\0"));
    let report = it.store.check().unwrap();
    let found = report.findings.iter().find(|finding| finding.name() == "duplicate");
    assert_eq!(
        found.and_then(Finding::slot),
        Some(slot as u32),
        "{:?}",
        report.findings
    );
    let left = it.store.repair().unwrap().left;
    assert_eq!(left.findings, []);
    assert_all_there(&it.store, "one of two");
    assert_eq!(it.store.unset("key4").unwrap(), Some(21));
    assert_eq!(it.store.get_vec("key4").unwrap(), None);
}

#[test]
fn who_is_attached_is_told_of_the_living_alone() {
    let it = Patient::new();
    let read_only = impatient().read_only(true).open(it.store.path()).unwrap();
    let other = impatient().open(it.store.path()).unwrap();
    poke(&it.file, it.parts.handles.start + 64 * 9, 1);
    for store in [&it.store, &other, &read_only] {
        let attached = store.attached().unwrap();
        let ids: Vec<_> = attached.iter().map(|handle| handle.id).collect();
        let mut expected = [it.store.handle_id().unwrap(), other.handle_id().unwrap()];
        expected.sort_unstable();
        assert_eq!(ids, expected);
        assert!(attached.iter().all(|handle| handle.pid == std::process::id()));
        assert_eq!(store.check().unwrap().handles, 2);
    }
}

#[test]
fn what_the_killed_left_is_no_damage() {
    let it = Patient::new();
    let child = fork(|page| {
        let store = Store::open(it.store.path()).unwrap();
        page.set(0, u64::from(store.handle_id().unwrap()) + 1);
        loop {
            store.set("key4", [4; 21]).unwrap();
        }
    });
    child.page.await_change(0, 0);
    drop(child);
    let report = it.store.check().unwrap();
    assert!(!report.is_damaged(), "{:?}", report.findings);
    assert!(names(&report).contains(&"dead-handle"));
    assert_eq!(it.store.repair().unwrap().left.findings, []);
    assert_all_there(&it.store, "after a kill");
}

#[test]
fn a_repair_under_writers_loses_nothing() {
    let store = OpenOptions::new()
        .slots(256)
        .max_value_bytes(64)
        .journal_entries(1 << 16)
        .anonymous()
        .unwrap();
    let file = File::from(std::os::fd::AsFd::as_fd(&store).try_clone_to_owned().unwrap());
    let parts = Parts::of(store.geometry());
    for i in 0..200 {
        store.set(format!("k{i}"), "0").unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (path, done) = (store.path(), &done);
                scope.spawn(move || {
                    let store = Store::open(path).unwrap();
                    let mut round = 0_u64;
                    while !done.load(Ordering::Relaxed) {
                        round += 1;
                        for i in (writer..200).step_by(2) {
                            store.set(format!("k{i}"), round.to_string()).unwrap();
                        }
                    }
                    round
                })
            })
            .collect();
        for round in 0..20 {
            // Counts, tags without slots, the map of free slots, locks of nobody.
            for chunk in parts.index.clone().step_by(64) {
                file.write_all_at(&[round as u8 + 1, 0], chunk as u64 + 12).unwrap();
            }
            poke(&file, parts.free.start, u64::MAX);
            poke(&file, parts.stripes.start + 64 * round, 999 << 16 | 3);
            store.repair().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        for (writer, thread) in writers.into_iter().enumerate() {
            let round = thread.join().unwrap().to_string();
            for i in (writer..200).step_by(2) {
                assert_eq!(
                    store.get_vec(format!("k{i}")).unwrap(),
                    Some(round.clone().into_bytes())
                );
            }
        }
    });
    assert_eq!(store.keys().count(), 200);
    store.repair().unwrap();
    assert_clean(&store, "afterwards");
}

#[test]
fn whatever_the_bytes_are_a_check_and_a_repair_come_to_an_end() {
    let parts = Parts::of(&geometry());
    let ranges = [
        IDENTITY_BYTES..parts.region_bytes,
        parts.index.clone(),
        parts.slots.clone(),
        parts.attributes.clone(),
        parts.journal.clone(),
        IDENTITY_BYTES..4096,
        parts.handles.start..parts.reserved.end,
    ];
    let damage_and_look = |page: &Page, half: u64| {
        let mut stores = 0;
        for seed in tries(35).map(|seed| seed * 2 + half) {
            page.step(seed);
            stores += 1;
            let mut random = Random::new(seed);
            let (file, path) = memory_file();
            file.write_all_at(&abuse::region_with_keys(), 0).unwrap();
            let store = impatient().open(&path).unwrap();
            let read_only = impatient().read_only(true).open(&path).unwrap();
            let range = ranges[(seed / 7 % 7) as usize].clone();
            let mut bytes = vec![0; range.len()];
            file.read_exact_at(&mut bytes, range.start as u64).unwrap();
            Fill::of(seed).apply(&mut bytes, &mut random);
            file.write_all_at(&bytes, range.start as u64).unwrap();
            let words = |report: &CheckReport| report.findings.iter().map(Finding::to_string).count();
            read_only.check().map(|report| words(&report)).unwrap();
            if let Ok(repair) = store.repair() {
                words(&repair.found);
                words(&repair.left);
                // What is left stays as it is.
                if repair.left.undecided == 0 {
                    assert_eq!(names(&store.repair().unwrap().left), names(&repair.left));
                }
            }
            store.check().unwrap();
            read_only.check().unwrap();
        }
        tried(stores, "damaged stores");
    };
    let children = [0, 1].map(|half| fork(move |page| damage_and_look(page, half)));
    children.into_iter().for_each(process::Child::join);
}

#[test]
fn a_store_that_was_cut_is_corrupt_to_a_check() {
    in_child(|_| {
        let (file, path) = stored();
        let store = impatient().open(&path).unwrap();
        file.set_len(4096).unwrap();
        assert_eq!(store.check().unwrap_err().code(), ErrorCode::Corrupt);
        assert_eq!(store.repair().unwrap_err().code(), ErrorCode::Corrupt);
    });
}
