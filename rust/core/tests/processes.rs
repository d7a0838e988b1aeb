//! What several processes see of one store, and what is left when they are killed.
//!
//! Short by default; `SPLINTER_TEST_SECONDS` and `SPLINTER_TEST_KILLS` lengthen it.

#[path = "common/bytes.rs"]
mod bytes;
mod common;
#[path = "common/process.rs"]
mod process;
#[path = "common/tries.rs"]
mod tries;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Random;
use process::{Child, Page, fork};
use splinter::{ErrorCode, OpenOptions, Operation, SetOptions, Store};
use tempfile::tempdir;
use tries::{number, tried};

fn kills() -> u64 {
    number("SPLINTER_TEST_KILLS").unwrap_or(600)
}

fn seconds() -> Duration {
    Duration::from_secs(number("SPLINTER_TEST_SECONDS").unwrap_or(1))
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
    for round in 0..kills() {
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
    tried(kills(), "kills of writers");
    tried(snapshot.repairs, "kills in a lock");
}

/// A record of a log: a number, repeated, so that any mixture shows.
const RECORD_BYTES: usize = 24;
const LOG_BYTES: usize = 40 * RECORD_BYTES;

fn record(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(RECORD_BYTES / 8)
}

/// Keys whose values prove that they are whole, and of which kind each is.
fn assert_whole(key: &str, value: &[u8]) {
    match key.split_once('/').unwrap().0 {
        "log" => {
            assert!(value.len().is_multiple_of(RECORD_BYTES), "{key}: half a record");
            for part in value.chunks(RECORD_BYTES) {
                assert_eq!(
                    part,
                    record(u64::from_le_bytes(part[..8].try_into().unwrap())),
                    "{key}: torn"
                );
            }
        }
        "count" => assert_eq!(value.len(), 8, "{key}: no number"),
        _ => drop(number_of(value, 64)),
    }
}

/// Does everything that changes keys, for ever, as somebody who may be killed at any instruction. What others hinder it from
/// is left undone.
fn do_everything(store: &Store, seed: u64, page: &Page) {
    let mut random = Random::new(seed);
    let tolerated = [
        ErrorCode::Full,
        ErrorCode::ValueTooLarge,
        ErrorCode::WrongType,
        ErrorCode::Busy,
    ];
    let tolerate = |result: Result<(), splinter::Error>| {
        if let Err(error) = result {
            assert!(tolerated.contains(&error.code()), "{error}");
        }
    };
    loop {
        let (log, value) = (format!("log/{}", random.below(3)), format!("value/{}", random.below(4)));
        let number = random.next() >> 24;
        let whole = value_of(number, 64);
        match random.below(12) {
            0 | 1 => match store.append(&log, record(number)) {
                Err(error) if error.code() == ErrorCode::ValueTooLarge => tolerate(store.unset(&log).map(drop)),
                result => tolerate(result.map(drop)),
            },
            2 | 3 => {
                // Told before and after, so that the count lies between the two.
                page.words[BEGUN].fetch_add(1, Ordering::SeqCst);
                store.apply("count/0", Operation::Add(1_u64)).unwrap();
                page.words[COUNTED].fetch_add(1, Ordering::SeqCst);
            }
            4 => {
                let epoch = store.epoch(&value).unwrap().unwrap_or(0);
                tolerate(
                    store
                        .set_with(&value, whole, &SetOptions::new().if_epoch(epoch & !1))
                        .map(drop),
                );
            }
            5 => {
                let others = format!("value/{}", random.below(4));
                let entries = [(&value, &whole), (&others, &value_of(number + 1, 64))];
                tolerate(store.set_many(&entries).map_err(|error| error.error));
            }
            6 => {
                let ttl = Duration::from_micros(1 + random.below(2000) as u64);
                tolerate(store.set_with(&value, whole, &SetOptions::new().ttl(ttl)).map(drop));
            }
            7 => tolerate(store.label(&value, 1 << random.below(8), 0xf).map(drop)),
            8 => tolerate(store.expire(&value, Duration::from_millis(1)).map(drop)),
            9 => tolerate(store.unset(&value).map(drop)),
            10 => tolerate(store.sweep().map(drop)),
            _ => tolerate(store.set(&value, whole).map(drop)),
        }
    }
}

/// Words of the page on which writers count what they begin to count, and what they have counted.
const BEGUN: usize = 0;
const COUNTED: usize = 1;

#[test]
fn writers_of_every_kind_killed_at_any_moment_leave_whole_values_and_exact_counts() {
    const WRITERS: usize = 3;
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    // Fewer slots than keys, now and then.
    let options = OpenOptions::new()
        .slots(8)
        .max_value_bytes(LOG_BYTES as u32)
        .journal_entries(256);
    let store = options.create(&path).unwrap();
    store.set("count/0", 0_u64.to_le_bytes()).unwrap();
    store.pin("count/0", true).unwrap();
    let page = Page::new();
    let mut random = Random::new(number("SPLINTER_TEST_SEED").unwrap_or(0xdead));
    let mut writer = |seed: u64| {
        let (path, options) = (&path, &options);
        fork(move |_| do_everything(&options.open(path).unwrap(), seed, page))
    };
    let end = Instant::now() + seconds();
    let reader = fork(|_| {
        let store = OpenOptions::new().read_only(true).open(&path).unwrap();
        while Instant::now() < end {
            for key in store.keys() {
                let key = key.unwrap();
                if let Some(value) = store.get_vec(&key).unwrap() {
                    assert_whole(&key, &value);
                }
            }
        }
    });
    let mut writers: Vec<Child> = (0..WRITERS as u64).map(&mut writer).collect();
    let mut kills = 0;
    // The test has tested something only if some died holding a lock.
    while Instant::now() < end || store.header_snapshot().unwrap().repairs == 0 {
        // A moment that is different every time; nothing is waited for here.
        std::thread::sleep(Duration::from_micros(random.below(2000) as u64));
        store.set_auto_vacuum(random.below(2) == 0).unwrap();
        let victim = random.below(WRITERS);
        kills += 1;
        let next = writer(kills + 1000);
        std::mem::replace(&mut writers[victim], next).kill();
        for entry in store.list() {
            let entry = entry.unwrap();
            if let Some(value) = store.get_vec(&entry.key).unwrap() {
                assert_whole(&entry.key, &value);
            }
        }
        let bytes = store.get_vec("count/0").unwrap().unwrap();
        let counted = u64::from_le_bytes(bytes.try_into().unwrap());
        assert!(counted <= page.get(BEGUN), "counted what nobody has begun to count");
    }
    reader.join();
    writers.into_iter().for_each(Child::kill);
    // Each that was killed had begun one at most that it did not tell the end of.
    let counted = store.apply("count/0", Operation::Add(0_u64)).unwrap();
    assert!(
        (page.get(COUNTED)..=page.get(BEGUN)).contains(&counted),
        "a count was lost"
    );
    assert!(page.get(BEGUN) - page.get(COUNTED) <= kills + WRITERS as u64);
    store.purge().unwrap();
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
    let snapshot = store.header_snapshot().unwrap();
    assert_eq!(snapshot.parse_failures, 0);
    tried(kills, "kills of writers of every kind");
    tried(snapshot.repairs, "kills in a lock");
}

#[test]
fn thirty_two_processes_at_once_lose_no_count_and_tear_no_value() {
    const WRITERS: u64 = 24;
    const READERS: u64 = 8;
    const ROUNDS: u64 = 200;
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let options = OpenOptions::new().slots(64).max_value_bytes(512);
    let store = options.create(&path).unwrap();
    store.set("shared", value_of(0, 64)).unwrap();
    let page = Page::new();
    let writers: Vec<Child> = (0..WRITERS)
        .map(|writer| {
            let (path, options) = (&path, &options);
            fork(move |_| {
                let store = options.open(path).unwrap();
                for round in 0..ROUNDS {
                    store.apply("count", Operation::Add(1_u64)).unwrap();
                    store.set("shared", value_of(writer * ROUNDS + round, 64)).unwrap();
                    store.set(format!("own/{writer}"), value_of(round, 64)).unwrap();
                    store.set(format!("come/{writer}"), value_of(round, 64)).unwrap();
                    assert!(store.unset(format!("come/{writer}")).unwrap().is_some());
                }
            })
        })
        .collect();
    let readers: Vec<Child> = (0..READERS)
        .map(|_| {
            let path = &path;
            fork(move |_| {
                let store = OpenOptions::new().read_only(true).open(path).unwrap();
                let mut counted = 0;
                while page.get(0) == 0 {
                    number_of(&store.get_vec("shared").unwrap().unwrap(), 64);
                    if let Some(bytes) = store.get_vec("count").unwrap() {
                        let now = u64::from_le_bytes(bytes.try_into().unwrap());
                        assert!(now >= counted, "the count went back");
                        counted = now;
                    }
                }
            })
        })
        .collect();
    writers.into_iter().for_each(Child::join);
    page.set(0, 1);
    readers.into_iter().for_each(Child::join);
    let count = store.get_vec("count").unwrap().unwrap();
    assert_eq!(count, (WRITERS * ROUNDS).to_le_bytes());
    for writer in 0..WRITERS {
        let own = store.get_vec(format!("own/{writer}")).unwrap().unwrap();
        assert_eq!(number_of(&own, 64), ROUNDS - 1);
    }
    assert_eq!(store.keys().count() as u64, WRITERS + 2);
}

#[test]
fn a_dead_parent_is_seen_to_be_dead_while_its_child_lives() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let store = OpenOptions::new().slots(8).max_value_bytes(512).create(&path).unwrap();
    let mut random = Random::new(77);
    for round in 0..kills() / 10 {
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
