//! Deadlines and evictions under several processes and threads at once: locks that free themselves, counters, pinned keys.
//!
//! Short by default; `SPLINTER_TEST_SECONDS` lengthens it.

#[path = "common/bytes.rs"]
mod bytes;
#[path = "common/process.rs"]
mod process;
#[path = "common/trace.rs"]
mod trace;
#[path = "common/tries.rs"]
mod tries;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Random;
use process::{Child, Page, fork};
use splinter::{Eviction, OpenOptions, Operation, Outcome, SetOptions, Store, TimeToLive};
use tempfile::tempdir;
use trace::{lead, stay_on_one_processor};
use tries::{number, tried};

/// The words of the page that all processes share: who is in the lock now, how often anybody was, and counted.
const WITHIN: usize = 0;
const TURNS: usize = 1;
const COUNTED: usize = 2;
const LEFT: usize = 3;

/// Long enough that nobody who is in the lock for microseconds loses it, however busy the machine.
const LOCK_TTL: Duration = Duration::from_secs(20);
const CERTAIN: Duration = Duration::from_secs(5);
/// What is left of it when somebody leaves the lock to its deadline.
const LEFT_TTL: Duration = Duration::from_millis(20);

fn seconds() -> Duration {
    Duration::from_secs(number("SPLINTER_TEST_SECONDS").unwrap_or(2))
}

/// Takes the lock again and again, counts in it, and now and then leaves it to its deadline.
fn lock_and_count(store: &Store, locks: &Store, page: &Page, seed: u64, end: Instant) {
    let mut random = Random::new(seed);
    let options = SetOptions::new().if_absent().ttl(LOCK_TTL);
    while Instant::now() < end {
        store.apply("count", Operation::Add(1_u64)).unwrap();
        page.words[COUNTED].fetch_add(1, Ordering::SeqCst);
        let start = Instant::now();
        let Outcome::Written { epoch } = locks.set_with("lock", "mine", &options).unwrap() else {
            continue;
        };
        let others = page.words[WITHIN].fetch_add(1, Ordering::SeqCst);
        // Whoever was stopped for so long may have lost it: then nothing can be said.
        if start.elapsed() < CERTAIN {
            assert_eq!(others, 0, "two are in the lock");
        }
        let before = store.get_vec("guarded").unwrap();
        let number = before.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
        let is_late = start.elapsed() >= CERTAIN;
        if !is_late {
            // Not one step: the lock is what keeps others away.
            store.set("guarded", (number + 1).to_le_bytes()).unwrap();
            page.words[TURNS].fetch_add(1, Ordering::SeqCst);
        }
        page.words[WITHIN].fetch_sub(1, Ordering::SeqCst);
        if random.below(400) == 0 {
            page.words[LEFT].fetch_add(1, Ordering::SeqCst);
            assert!(locks.expire("lock", LEFT_TTL).unwrap());
        } else {
            let _ = locks.unset_if_epoch("lock", epoch).unwrap();
        }
    }
}

struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn locks_hold_counters_are_exact_and_pinned_keys_stay_among_expiries_and_evictions() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let options = OpenOptions::new().slots(12).max_value_bytes(64);
    let store = options.create(&path).unwrap();
    store.set_eviction(Eviction::Lru).unwrap();
    // By itself, since nothing keeps a key that has just come from being evicted.
    let locks_path = directory.path().join("locks");
    let locks = options.create(&locks_path).unwrap();
    for key in ["count", "guarded", "pinned"] {
        store.set(key, 0_u64.to_le_bytes()).unwrap();
        assert!(store.pin(key, true).unwrap());
    }
    let page = Page::new();
    let end = Instant::now() + seconds();
    let children: Vec<Child> = (1..=3)
        .map(|seed| {
            let (path, locks_path, options) = (&path, &locks_path, &options);
            fork(move |_| {
                let (store, locks) = (options.open(path).unwrap(), options.open(locks_path).unwrap());
                lock_and_count(&store, &locks, page, seed, end);
            })
        })
        .collect();
    // It fills the store, so that keys go all the time.
    let writers = fork(|_| {
        let store = options.open(&path).unwrap();
        let mut random = Random::new(77);
        while Instant::now() < end {
            let key = format!("e{}", random.below(30));
            match random.below(5) {
                0 => assert!(
                    store
                        .set_with(&key, "short", &SetOptions::new().ttl(Duration::from_micros(50)))
                        .unwrap()
                        .is_written()
                ),
                1 => assert!(store.append(&key, "more").unwrap_or(4) >= 4),
                2 => assert!(store.expire(&key, Duration::from_micros(20)).is_ok()),
                3 => assert!(store.unset(&key).is_ok()),
                _ => assert!(store.set(&key, "for ever").unwrap() > 0),
            }
        }
    });
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also if a child has failed.
        let _ending = SetWhenDropped(&done);
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.sweep().unwrap();
                locks.sweep().unwrap();
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(store.get_vec("pinned").unwrap().unwrap(), [0; 8]);
                for (store, key) in [(&store, "e1"), (&store, "e2"), (&store, "e3"), (&locks, "lock")] {
                    if let Some(value) = store.get_vec(key).unwrap() {
                        let is_whole = value.starts_with(b"short")
                            || value.starts_with(b"for ever")
                            || value.starts_with(b"more")
                            || value == b"mine";
                        assert!(is_whole, "{value:?}");
                    }
                    if let Some(TimeToLive::Left(left)) = store.ttl(key).unwrap() {
                        assert!(left <= LOCK_TTL);
                    }
                }
            }
        });
        for child in children {
            child.join();
        }
        writers.join();
    });
    let value_of = |key: &str| u64::from_le_bytes(store.get_vec(key).unwrap().unwrap().try_into().unwrap());
    assert_eq!(value_of("count"), page.get(COUNTED), "each is counted once");
    assert!(page.get(TURNS) > 0);
    assert_eq!(
        value_of("guarded"),
        page.get(TURNS),
        "nobody writes over another in the lock"
    );
    assert_eq!(value_of("pinned"), 0);
    tried(page.get(COUNTED), "atomic additions of three processes");
    tried(page.get(TURNS), "turns in a lock");
    // What is over by now is found.
    std::thread::sleep(LEFT_TTL);
    locks.sweep().unwrap();
    assert_eq!(locks.keys().count(), 0);
    for store in [&store, &locks] {
        let report = store.check().unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(store.header_snapshot().unwrap().parse_failures, 0);
    }
}

/// The hand of the clock goes round twice, and finds each key read again since it last came by.
#[test]
fn a_full_store_has_room_however_often_its_keys_are_read() {
    const KEYS: [&str; 3] = ["a", "b", "c"];
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let store = OpenOptions::new().slots(4).max_value_bytes(64).create(&path).unwrap();
    store.set_eviction(Eviction::Lru).unwrap();
    for key in KEYS {
        store.set(key, "v").unwrap();
    }
    store.set("pinned", "v").unwrap();
    store.pin("pinned", true).unwrap();
    stay_on_one_processor();
    let mut writer = lead(
        |_| Store::open(&path).unwrap(),
        |store| assert!(store.set("new", "v").unwrap() > 0),
    );
    let turns = writer.turns();
    while writer.turns() == turns {
        // Several, but fewer than it takes to get from one key to the next.
        for _ in 0..3 {
            if writer.turns() == turns {
                writer.step();
            }
        }
        for key in KEYS {
            store.contains(key).unwrap();
        }
    }
    assert!(store.contains("new").unwrap() && store.contains("pinned").unwrap());
    assert_eq!(store.keys().count(), 4);
}
