//! Which system calls the store makes: none to read and to write as long as nobody sleeps, and one for all who do.
//!
//! What is not called is proved by a filter that ends the process at the first call. That sleepers are woken, and not only
//! awake in the end, is proved by sleeping without a limit.

#[path = "common/calls.rs"]
mod calls;
#[path = "common/process.rs"]
mod process;

use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use calls::{Others, Wakes, count_calls, join, wait_until_asleep, wakes};
use process::{Child, Page, fork};
use splinter::{OpenOptions, Pattern, Selector, Store, WatchOptions};
use tempfile::{TempDir, tempdir};

/// The word of a sleeper's page that says that it is one no longer.
const AWAKE: usize = 0;
const PATIENCE: Duration = Duration::from_secs(60);
const NO_CALL: Wakes = Wakes { calls: 0, woken: 0 };

const SLOTS: u32 = 64;
/// Values that are copied in different ways.
const LENGTHS: [usize; 5] = [0, 7, 64, 1000, 4096];
/// How many times over everything is done that must not make a call.
const ROUNDS: usize = 20_000;

/// A store for several processes.
struct Shared {
    _directory: TempDir,
    path: PathBuf,
}

impl Shared {
    /// Every slot has been in use, so that there is memory behind all values: to get some is a call of its own.
    fn new() -> Self {
        let directory = tempdir().unwrap();
        let path = directory.path().join("s");
        let store = OpenOptions::new()
            .slots(SLOTS)
            .max_value_bytes(4096)
            .journal_entries(64)
            .create(&path)
            .unwrap();
        for i in 0..SLOTS {
            store.set(format!("key{i}"), [1; 4096]).unwrap();
        }
        for i in 0..SLOTS {
            store.unset(format!("key{i}")).unwrap();
        }
        Self {
            _directory: directory,
            path,
        }
    }

    fn open(&self) -> Store {
        Store::open(&self.path).unwrap()
    }
}

/// Forks a child that sleeps once, until it is woken, and waits until it does.
fn asleep(path: &Path, sleep: impl FnOnce(&Arc<Store>)) -> Child {
    let child = fork(|page| {
        let store = Arc::new(OpenOptions::new().spin(Duration::ZERO).open(path).unwrap());
        count_calls(page, Others::Allowed);
        sleep(&store);
        page.words[AWAKE].store(1, Ordering::SeqCst);
    });
    wait_until_asleep(&child, 1);
    child
}

/// Forks a child that sleeps in `poll`.
fn poller(path: &Path, key: &str) -> Child {
    asleep(path, |store| {
        assert!(store.poll(key, PATIENCE).unwrap());
    })
}

/// Forks a child that sleeps in a feed.
fn follower(path: &Path) -> Child {
    asleep(path, |store| drop(store.changes().unwrap().next().unwrap().unwrap()))
}

/// Forks a child that sleeps in a watch.
fn watcher(path: &Path, pattern: Pattern) -> Child {
    asleep(path, |store| {
        drop(store.watch(pattern).unwrap().next().unwrap().unwrap())
    })
}

/// Forks a child with a thread that sleeps for it, until it has told of a change.
fn selector(path: &Path, pattern: Pattern) -> Child {
    asleep(path, |store| {
        let mut selector = Selector::new(store.clone()).unwrap();
        let watch = selector.watch(pattern, &WatchOptions::new()).unwrap();
        assert!(selector.wait(PATIENCE).unwrap());
        assert_eq!(selector.ready().unwrap(), [watch]);
    })
}

/// What a forked child may do to a store, noting for the test what each step woke. Nothing of it may fail in a way that
/// allocates.
struct Sealed<'a> {
    page: &'a Page,
    /// Not dropped: to close it makes calls.
    store: ManuallyDrop<Store>,
    steps: usize,
}

impl Sealed<'_> {
    fn step(&mut self, work: impl FnOnce(&Store)) {
        let before = wakes(self.page);
        work(&self.store);
        let after = wakes(self.page);
        let words = [after.calls - before.calls, after.woken - before.woken];
        self.page.words[self.steps].store(words[0] << 32 | words[1], Ordering::SeqCst);
        self.steps += 1;
    }

    /// Waits without a call until sleepers have left the store. If they were not all woken, the test has failed already.
    fn until_awake(&self, sleepers: &[Child]) {
        let is_asleep = |sleeper: &Child| sleeper.page.get(AWAKE) == 0;
        while wakes(self.page).woken >= sleepers.len() as u64 && sleepers.iter().any(is_asleep) {
            std::hint::spin_loop();
        }
    }
}

/// Runs `work` in a child that makes no system call but wakes, and returns what each of its steps woke.
fn sealed<const STEPS: usize>(path: &Path, work: impl FnOnce(&mut Sealed<'_>)) -> [Wakes; STEPS] {
    let child = fork(|page| {
        let mut sealed = Sealed {
            page,
            store: ManuallyDrop::new(Store::open(path).unwrap()),
            steps: 0,
        };
        count_calls(page, Others::Forbidden);
        work(&mut sealed);
        assert_eq!(sealed.steps, STEPS);
    });
    let page = child.page;
    join(child);
    std::array::from_fn(|step| Wakes {
        calls: page.get(step) >> 32,
        woken: page.get(step) & u64::from(u32::MAX),
    })
}

fn set(store: &Store, key: &str) {
    store.set(key, "changed").unwrap();
}

/// Everything that must not make a call while nobody sleeps.
fn use_in_every_way(store: &Store, rounds: usize) {
    let value = [7; 4096];
    let mut buffer = [0; 4096];
    for round in 0..rounds {
        let value = &value[..LENGTHS[round % LENGTHS.len()]];
        let epoch = store.set("stays", value).unwrap();
        store.try_set("stays", value).unwrap();
        assert_eq!(store.get("stays", &mut buffer).unwrap(), Some(value.len()));
        assert!(store.epoch("stays").unwrap() > Some(epoch));
        store.set("comes", value).unwrap();
        assert!(store.contains("comes").unwrap());
        assert_eq!(store.unset("comes").unwrap(), Some(value.len()));
        assert_eq!(store.get("comes", &mut buffer).unwrap(), None);
        store.try_set("comes", value).unwrap();
        assert_eq!(store.try_unset("comes").unwrap(), Some(value.len()));
        assert_eq!(store.unset("comes").unwrap(), None);
    }
}

#[test]
fn with_nobody_asleep_reading_and_writing_makes_no_system_call() {
    let shared = Shared::new();
    let store = shared.open();
    for sterile in [true, false] {
        store.set_auto_vacuum(sterile).unwrap();
        let [all] = sealed(&shared.path, |sealed| {
            sealed.step(|store| use_in_every_way(store, ROUNDS));
        });
        assert_eq!(all, NO_CALL);
    }
}

#[test]
fn reading_makes_no_system_call_without_the_right_to_write() {
    let shared = Shared::new();
    shared.open().set("stays", [7; 4096]).unwrap();
    join(fork(|page| {
        let store = OpenOptions::new().read_only(true).open(&shared.path).unwrap();
        let store = ManuallyDrop::new(store);
        count_calls(page, Others::Forbidden);
        let mut buffer = [0; 4096];
        for _ in 0..ROUNDS {
            assert_eq!(store.get("stays", &mut buffer).unwrap(), Some(4096));
            assert!(store.epoch("stays").unwrap().is_some());
            assert!(!store.contains("comes").unwrap());
        }
    }));
}

#[test]
fn an_overwrite_wakes_all_sleepers_by_one_call_and_the_next_makes_none() {
    let shared = Shared::new();
    let store = shared.open();
    for sleepers in [1, 3] {
        store.set("k", "before").unwrap();
        let sleepers: Vec<_> = (0..sleepers).map(|_| poller(&shared.path, "k")).collect();
        let [others, first, next] = sealed(&shared.path, |sealed| {
            sealed.step(|store| use_in_every_way(store, 100));
            sealed.step(|store| set(store, "k"));
            sealed.until_awake(&sleepers);
            sealed.step(|store| {
                for _ in 0..1000 {
                    store.set("k", "2").unwrap();
                }
                use_in_every_way(store, 100);
            });
        });
        assert_eq!(others, NO_CALL, "a change of another key");
        assert_eq!((first.calls, first.woken), (1, sleepers.len() as u64));
        assert_eq!(next, NO_CALL);
        sleepers.into_iter().for_each(join);
    }
}

#[test]
fn an_insert_wakes_all_who_sleep_for_the_key_by_one_call_and_the_next_makes_none() {
    let shared = Shared::new();
    let store = shared.open();
    for sleepers in [1, 3] {
        store.unset("k").unwrap();
        let sleepers: Vec<_> = (0..sleepers).map(|_| poller(&shared.path, "k")).collect();
        let [first, next] = sealed(&shared.path, |sealed| {
            sealed.step(|store| set(store, "k"));
            sealed.until_awake(&sleepers);
            sealed.step(|store| {
                for _ in 0..1000 {
                    store.set("k", "2").unwrap();
                    store.unset("k").unwrap();
                }
                store.set("k", "3").unwrap();
                use_in_every_way(store, 100);
            });
        });
        assert_eq!((first.calls, first.woken), (1, sleepers.len() as u64));
        assert_eq!(next, NO_CALL);
        sleepers.into_iter().for_each(join);
    }
}

#[test]
fn a_delete_wakes_all_sleepers_by_one_call_and_the_next_makes_none() {
    let shared = Shared::new();
    let store = shared.open();
    for impatient in [false, true] {
        store.set("k", "before").unwrap();
        let sleepers = [poller(&shared.path, "k"), poller(&shared.path, "k")];
        let [first, next] = sealed(&shared.path, |sealed| {
            sealed.step(|store| {
                let unset = if impatient {
                    store.try_unset("k")
                } else {
                    store.unset("k")
                };
                assert_eq!(unset.unwrap(), Some(6));
            });
            sealed.until_awake(&sleepers);
            sealed.step(|store| {
                for _ in 0..1000 {
                    store.set("k", "2").unwrap();
                    store.unset("k").unwrap();
                }
            });
        });
        assert_eq!((first.calls, first.woken), (1, 2));
        assert_eq!(next, NO_CALL);
        sleepers.into_iter().for_each(join);
    }
}

#[test]
fn sleepers_are_woken_by_their_own_key_alone() {
    let shared = Shared::new();
    let store = shared.open();
    store.set("a", "").unwrap();
    store.set("b", "").unwrap();
    let (a, b) = (poller(&shared.path, "a"), poller(&shared.path, "b"));
    let [of_a, again, of_b] = sealed(&shared.path, |sealed| {
        sealed.step(|store| set(store, "a"));
        sealed.step(|store| set(store, "a"));
        sealed.step(|store| set(store, "b"));
    });
    let one = Wakes { calls: 1, woken: 1 };
    assert_eq!([of_a, again, of_b], [one, NO_CALL, one]);
    join(a);
    join(b);
}

#[test]
fn a_killed_sleeper_costs_one_call_in_vain() {
    let shared = Shared::new();
    let store = shared.open();
    store.set("present", "").unwrap();
    for key in ["present", "absent"] {
        poller(&shared.path, key).kill();
        let [first, next] = sealed(&shared.path, |sealed| {
            sealed.step(|store| set(store, key));
            sealed.step(|store| {
                for _ in 0..1000 {
                    store.set(key, "2").unwrap();
                }
                use_in_every_way(store, 100);
            });
        });
        assert_eq!(first, Wakes { calls: 1, woken: 0 });
        assert_eq!(next, NO_CALL);
    }
}

#[test]
fn who_sleeps_again_is_woken_again() {
    const TIMES: u64 = 50;
    let shared = Shared::new();
    let store = shared.open();
    store.set("k", "").unwrap();
    let again = fork(|page| {
        let store = OpenOptions::new().spin(Duration::ZERO).open(&shared.path).unwrap();
        let mut since = store.epoch("k").unwrap().unwrap();
        count_calls(page, Others::Allowed);
        for _ in 0..TIMES {
            assert!(store.poll_since("k", since, PATIENCE).unwrap());
            since = store.epoch("k").unwrap().unwrap();
        }
    });
    for nth in 1..=TIMES {
        wait_until_asleep(&again, nth);
        let [first, next] = sealed(&shared.path, |sealed| {
            sealed.step(|store| set(store, "other"));
            sealed.step(|store| set(store, "k"));
        });
        assert_eq!(first, NO_CALL);
        assert_eq!(next, Wakes { calls: 1, woken: 1 });
    }
    join(again);
}

#[test]
fn a_change_wakes_all_who_follow_by_one_call_and_the_next_makes_none() {
    let shared = Shared::new();
    let store = shared.open();
    for kind in ["insert", "overwrite", "unset"] {
        let followers = [
            follower(&shared.path),
            follower(&shared.path),
            watcher(&shared.path, Pattern::key("k")),
            watcher(&shared.path, Pattern::prefix("")),
            watcher(&shared.path, Pattern::glob("*")),
        ];
        let [first, next] = sealed(&shared.path, |sealed| {
            sealed.step(|store| match kind {
                "unset" => drop(store.unset("k").unwrap()),
                _ => set(store, "k"),
            });
            sealed.until_awake(&followers);
            sealed.step(|store| {
                for _ in 0..1000 {
                    store.set("k", "2").unwrap();
                }
                use_in_every_way(store, 100);
            });
        });
        assert_eq!((first.calls, first.woken), (1, followers.len() as u64), "{kind}");
        assert_eq!(next, NO_CALL);
        followers.into_iter().for_each(join);
    }
    drop(store);
}

#[test]
fn who_follows_and_who_polls_are_woken_by_a_call_each() {
    let shared = Shared::new();
    shared.open().set("k", "").unwrap();
    let sleepers = [
        poller(&shared.path, "k"),
        poller(&shared.path, "k"),
        follower(&shared.path),
    ];
    let [first, next] = sealed(&shared.path, |sealed| {
        sealed.step(|store| set(store, "k"));
        sealed.until_awake(&sleepers);
        sealed.step(|store| use_in_every_way(store, 100));
    });
    assert_eq!(first, Wakes { calls: 2, woken: 3 });
    assert_eq!(next, NO_CALL);
    sleepers.into_iter().for_each(join);
}

#[test]
fn a_killed_follower_costs_one_call_in_vain() {
    let shared = Shared::new();
    let kinds: [&dyn Fn() -> Child; 3] = [
        &|| follower(&shared.path),
        &|| watcher(&shared.path, Pattern::all()),
        &|| selector(&shared.path, Pattern::key("k")),
    ];
    for follow in kinds {
        follow().kill();
        let [first, next] = sealed(&shared.path, |sealed| {
            sealed.step(|store| set(store, "k"));
            sealed.step(|store| use_in_every_way(store, 100));
        });
        assert_eq!(first, Wakes { calls: 1, woken: 0 });
        assert_eq!(next, NO_CALL);
    }
}

#[test]
fn who_only_reads_makes_no_call_of_writers() {
    let shared = Shared::new();
    shared.open().set("k", "").unwrap();
    let sleepers = ["poll", "changes", "watch"].map(|way| {
        fork(|page| {
            let options = OpenOptions::new().spin(Duration::ZERO).read_only(true);
            let store = options.open(&shared.path).unwrap();
            page.set(AWAKE, 2);
            match way {
                "poll" => assert!(store.poll("k", PATIENCE).unwrap()),
                "changes" => drop(store.changes().unwrap().next().unwrap().unwrap()),
                _ => drop(store.watch("k").unwrap().next().unwrap().unwrap()),
            }
            page.words[AWAKE].store(1, Ordering::SeqCst);
        })
    });
    for sleeper in &sleepers {
        sleeper.page.await_word(AWAKE, 2);
    }
    let [all] = sealed(&shared.path, |sealed| {
        sealed.step(|store| {
            while sleepers.iter().any(|sleeper| sleeper.page.get(AWAKE) != 1) {
                store.set("k", "changed").unwrap();
            }
        });
    });
    assert_eq!(all, NO_CALL);
    sleepers.into_iter().for_each(join);
}

#[test]
fn a_selector_is_woken_by_one_call_and_without_watches_by_none() {
    let shared = Shared::new();
    shared.open().set("k", "").unwrap();
    let child = fork(|page| {
        let store = OpenOptions::new().open(&shared.path).unwrap();
        count_calls(page, Others::Allowed);
        let mut selector = Selector::new(Arc::new(store)).unwrap();
        page.words[AWAKE].store(2, Ordering::SeqCst);
        until_told(page, 3);
        let watch = selector.watch("k", &WatchOptions::new()).unwrap();
        assert!(selector.wait(PATIENCE).unwrap());
        assert_eq!(selector.ready().unwrap(), [watch]);
        assert!(selector.next_event(watch).unwrap().is_some());
        assert!(selector.next_event(watch).unwrap().is_none());
        selector.unwatch(watch);
        page.words[AWAKE].store(4, Ordering::SeqCst);
        until_told(page, 5);
    });
    let page = child.page;
    until_told(page, 2);
    let [idle] = sealed(&shared.path, |sealed| {
        sealed.step(|store| use_in_every_way(store, 100));
    });
    assert_eq!(idle, NO_CALL, "it watches nothing yet");
    page.words[AWAKE].store(3, Ordering::SeqCst);
    wait_until_asleep(&child, 1);
    let [first] = sealed(&shared.path, |sealed| {
        sealed.step(|store| set(store, "k"));
    });
    assert_eq!(first, Wakes { calls: 1, woken: 1 });
    until_told(page, 4);
    // It sleeps once more, not having noticed yet that it has nothing to watch any more.
    wait_until_asleep(&child, 2);
    let [first] = sealed(&shared.path, |sealed| {
        sealed.step(|store| set(store, "other"));
    });
    assert_eq!(first, Wakes { calls: 1, woken: 1 });
    let [next] = sealed(&shared.path, |sealed| {
        sealed.step(|store| use_in_every_way(store, 100));
    });
    assert_eq!(next, NO_CALL);
    page.words[AWAKE].store(5, Ordering::SeqCst);
    join(child);
}

#[test]
fn a_selector_that_sleeps_can_be_dropped() {
    let shared = Shared::new();
    let child = fork(|page| {
        let store = OpenOptions::new().open(&shared.path).unwrap();
        count_calls(page, Others::Allowed);
        let selector = Selector::new(Arc::new(store)).unwrap();
        selector.watch("k", &WatchOptions::new()).unwrap();
        until_told(page, 2);
        drop(selector);
    });
    wait_until_asleep(&child, 1);
    child.page.words[AWAKE].store(2, Ordering::SeqCst);
    join(child);
}

/// Waits until the other side has come so far.
fn until_told(page: &Page, word: u64) {
    while page.get(AWAKE) != word {
        std::thread::yield_now();
    }
}
