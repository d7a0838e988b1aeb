//! Watches, feeds and selectors: what they give, in which order, and what they say of what they do not give.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use splinter::{Change, Error, Event, EventKind, OpenOptions, Pattern, Selector, Store, WatchOptions};

const SOON: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);

fn store(journal_entries: u32) -> Store {
    OpenOptions::new()
        .slots(128)
        .max_value_bytes(64)
        .journal_entries(journal_entries)
        .anonymous()
        .unwrap()
}

fn set(store: &Store, key: &str, value: &str) -> u64 {
    store.set(key, value).unwrap()
}

/// Everything that a watch has to give now.
fn drain(watcher: &mut splinter::Watcher<'_>) -> Vec<Event> {
    std::iter::from_fn(|| watcher.try_next().unwrap()).collect()
}

fn names(events: &[Event]) -> Vec<(String, EventKind)> {
    events.iter().map(|event| (event.key.to_string(), event.kind)).collect()
}

fn told(key: &str, kind: EventKind) -> (String, EventKind) {
    (key.into(), kind)
}

use EventKind::{Set, Unset};

#[test]
fn a_watch_that_keeps_up_sees_every_change_in_order() {
    let store = store(64);
    let mut watcher = store.watch("key").unwrap();
    assert_eq!(watcher.try_next().unwrap(), None);
    // Several times round the ring.
    for round in 0..1000 {
        let epoch = set(&store, "key", "value");
        let event = watcher.try_next().unwrap().unwrap();
        assert_eq!(
            (&*event.key, event.kind, event.epoch, event.sequence),
            ("key", Set, epoch, round * 3)
        );
        set(&store, "other", "value");
        if round % 7 == 0 {
            store.unset("key").unwrap();
            let event = watcher.try_next().unwrap().unwrap();
            assert_eq!((event.kind, event.epoch), (Unset, epoch + 2));
        } else {
            set(&store, "other", "value");
        }
        assert_eq!(watcher.try_next().unwrap(), None);
    }
}

#[test]
fn a_key_that_changes_faster_than_it_is_read_is_given_in_its_newest_state() {
    let store = store(64);
    let options = WatchOptions::new().values(true);
    let mut watcher = store.watch_with(Pattern::all(), &options).unwrap();
    let first = set(&store, "fast", "0");
    for n in 1..=9 {
        set(&store, "fast", &n.to_string());
    }
    set(&store, "slow", "x");
    let events = drain(&mut watcher);
    assert_eq!(names(&events), [told("fast", Set), told("slow", Set)]);
    assert_eq!(events[0].value.as_deref(), Some(&b"9"[..]));
    assert_eq!((events[0].epoch, events[0].sequence), (first + 18, 0));
    assert_eq!(events[1].sequence, 10);
    assert!(drain(&mut watcher).is_empty());
}

#[test]
fn what_is_given_ahead_of_the_journal_is_not_given_again() {
    let store = Arc::new(store(4096));
    let mut selector = Selector::new(store.clone()).unwrap();
    let id = selector.watch("key", &WatchOptions::new()).unwrap();
    let mut last = 0;
    let mut given = 0;
    for _ in 0..2000 {
        let epoch = set(&store, "key", "value");
        // Read at once, whether the thread has read the journal so far or not.
        while let Some(event) = selector.next_event(id).unwrap() {
            assert!(event.epoch > last, "an event came twice or went back");
            last = event.epoch;
            given += 1;
        }
        assert!(last <= epoch);
    }
    let newest = store.epoch("key").unwrap().unwrap();
    while last != newest {
        assert!(selector.wait(LONG).unwrap());
        selector.ready().unwrap();
        while let Some(event) = selector.next_event(id).unwrap() {
            assert!(event.epoch > last);
            last = event.epoch;
            given += 1;
        }
    }
    assert!(given <= 2000);
}

#[test]
fn each_pattern_sees_its_keys_and_no_others() {
    let store = store(4096);
    let mut watchers: Vec<_> = [
        (Pattern::key("a/1"), vec!["a/1"]),
        (Pattern::keys(["a/1", "b"]), vec!["a/1", "b"]),
        (Pattern::prefix("a/"), vec!["a/1", "a/2"]),
        (Pattern::glob("?/*"), vec!["a/1", "a/2", "ü/3"]),
        (Pattern::all(), vec!["a/1", "a/2", "b", "ü/3"]),
    ]
    .into_iter()
    .map(|(pattern, keys)| (store.watch(pattern).unwrap(), keys))
    .collect();
    for key in ["a/1", "a/2", "b", "ü/3"] {
        set(&store, key, "value");
    }
    for key in ["ü/3", "b", "a/2", "a/1"] {
        store.unset(key).unwrap();
        set(&store, key, "again");
    }
    for (watcher, keys) in &mut watchers {
        let mut seen: Vec<_> = drain(watcher).iter().map(|event| event.key.to_string()).collect();
        seen.sort();
        assert_eq!(seen, *keys);
    }
}

#[test]
fn the_end_of_a_key_that_was_there_before_the_watch_is_told_by_name() {
    let store = store(4096);
    for key in ["a/1", "a/2", "b"] {
        set(&store, key, "value");
    }
    let mut one = store.watch("a/1").unwrap();
    let mut some = store.watch(Pattern::prefix("a/")).unwrap();
    for key in ["a/1", "a/2", "b"] {
        store.unset(key).unwrap();
        // Takes the slot that has just been freed.
        set(&store, &format!("new/{key}"), "value");
    }
    assert_eq!(names(&drain(&mut one)), [told("a/1", Unset)]);
    assert_eq!(names(&drain(&mut some)), [told("a/1", Unset), told("a/2", Unset)]);
}

#[test]
fn the_initial_state_comes_first_and_once() {
    let store = store(4096);
    set(&store, "a", "1");
    set(&store, "b", "1");
    let options = WatchOptions::new().initial(true).values(true);
    let mut watcher = store.watch_with(Pattern::all(), &options).unwrap();
    set(&store, "a", "2");
    set(&store, "c", "1");
    let mut events = drain(&mut watcher);
    events.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(names(&events), [told("a", Set), told("b", Set), told("c", Set)]);
    assert_eq!(events[0].value.as_deref(), Some(&b"2"[..]));
    assert!(drain(&mut watcher).is_empty());
}

#[test]
fn a_watch_goes_on_where_another_stopped() {
    let store = store(4096);
    let mut first = store.watch(Pattern::all()).unwrap();
    for key in ["a", "b", "a", "c", "a"] {
        set(&store, key, "value");
    }
    store.unset("b").unwrap();
    let stopped_at = first.try_next().unwrap().unwrap().sequence;
    assert_eq!(stopped_at, 0);
    let options = WatchOptions::new().from(stopped_at + 1);
    let mut second = store.watch_with(Pattern::all(), &options).unwrap();
    // The entry of b's insert cannot be told any more, for b is gone.
    assert_eq!(names(&drain(&mut second)), [told("a", Set), told("c", Set)]);
    // Its name is told to those who know it.
    let named = Pattern::keys(["a", "b", "c", "d"]);
    let mut third = store.watch_with(named, &options).unwrap();
    assert_eq!(
        names(&drain(&mut third)),
        [told("a", Set), told("c", Set), told("b", Unset), told("d", Unset)]
    );
    let epoch = set(&store, "b", "value");
    assert_eq!(drain(&mut third).last().map(|event| event.epoch), Some(epoch));
    let beyond = store.header_snapshot().unwrap().epoch + 1;
    let error = store.watch_with("a", &WatchOptions::new().from(beyond)).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
}

#[test]
fn a_watch_from_before_the_journal_begins_with_all_that_exists() {
    let store = store(64);
    set(&store, "old", "value");
    for _ in 0..100 {
        set(&store, "busy", "value");
    }
    let mut watcher = store.watch_with(Pattern::all(), &WatchOptions::new().from(0)).unwrap();
    let mut keys: Vec<_> = drain(&mut watcher).iter().map(|event| event.key.to_string()).collect();
    keys.sort();
    assert_eq!(keys, ["busy", "old"]);
}

#[test]
fn a_watch_that_was_overrun_misses_no_final_state() {
    let store = store(64);
    for key in ["changed", "deleted", "same", "replaced"] {
        set(&store, key, "old");
    }
    let options = WatchOptions::new().values(true);
    let mut watcher = store.watch_with(Pattern::all(), &options).unwrap();
    let mut one = store.watch("deleted").unwrap();
    let changed = set(&store, "changed", "new");
    store.unset("deleted").unwrap();
    store.unset("replaced").unwrap();
    set(&store, "replaced", "new");
    set(&store, "inserted", "new");
    for _ in 0..200 {
        set(&store, "busy", "value");
    }
    let events = drain(&mut watcher);
    let by_key: HashMap<_, _> = events.iter().map(|event| (&*event.key, event)).collect();
    assert_eq!(by_key.len(), events.len());
    let mut keys: Vec<_> = by_key.keys().copied().collect();
    keys.sort_unstable();
    assert_eq!(keys, ["busy", "changed", "deleted", "inserted", "replaced"]);
    assert_eq!((by_key["changed"].epoch, by_key["changed"].kind), (changed, Set));
    assert_eq!(
        (by_key["deleted"].kind, by_key["deleted"].value.as_ref()),
        (Unset, None)
    );
    assert_eq!(by_key["replaced"].value.as_deref(), Some(&b"new"[..]));
    let gone = one.try_next().unwrap().unwrap();
    assert_eq!(gone.kind, Unset);
    // Epochs go on ascending.
    let again = set(&store, "deleted", "again");
    assert!(again > gone.epoch);
    assert_eq!(one.try_next().unwrap().unwrap().epoch, again);
}

#[test]
fn a_watch_of_a_key_that_cannot_exist_is_refused() {
    let store = store(64);
    assert!(matches!(store.watch("").unwrap_err(), Error::KeyInvalid { .. }));
    assert!(matches!(
        store.watch("x".repeat(65)).unwrap_err(),
        Error::KeyTooLong { .. }
    ));
    let none = store.watch(Pattern::keys([""; 0])).unwrap_err();
    assert!(matches!(none, Error::InvalidArgument { .. }), "{none}");
}

#[test]
fn a_watch_waits_no_longer_than_it_may() {
    let store = store(64);
    let mut watcher = store.watch("key").unwrap();
    assert_eq!(watcher.next_timeout(Duration::ZERO).unwrap(), None);
    assert_eq!(watcher.next_timeout(Duration::from_millis(5)).unwrap(), None);
    set(&store, "key", "value");
    assert!(watcher.next_timeout(Duration::ZERO).unwrap().is_some());
}

#[test]
fn a_read_only_handle_can_watch_and_follow() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = Store::create(&path).unwrap();
    let reader = OpenOptions::new().read_only(true).open(&path).unwrap();
    let mut watcher = reader.watch("key").unwrap();
    let mut changes = reader.changes().unwrap();
    let selected = Arc::new(OpenOptions::new().read_only(true).open(&path).unwrap());
    let selector = Selector::new(selected).unwrap();
    let id = selector.watch("key", &WatchOptions::new()).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| watcher.next_timeout(LONG).unwrap().unwrap());
        let epoch = set(&store, "key", "value");
        assert_eq!(waiting.join().unwrap().epoch, epoch);
    });
    assert!(changes.next_timeout(LONG).unwrap().is_some());
    assert!(selector.wait(LONG).unwrap());
    assert!(selector.next_event(id).unwrap().is_some());
}

#[test]
fn a_feed_gives_every_change_in_order() {
    let store = store(64);
    let mut changes = store.changes().unwrap();
    for n in 0..500 {
        let epoch = set(&store, "key", "value");
        let key: Arc<str> = "key".into();
        let sequence = 2 * n;
        assert_eq!(
            changes.try_next().unwrap(),
            Some(Change::Set {
                sequence,
                key: key.clone(),
                epoch
            })
        );
        store.unset("key").unwrap();
        assert_eq!(
            changes.try_next().unwrap(),
            Some(Change::Unset {
                sequence: sequence + 1,
                key,
                epoch: epoch + 2
            })
        );
        assert_eq!(changes.try_next().unwrap(), None);
        assert_eq!(changes.position(), 2 * n + 2);
    }
}

#[test]
fn a_feed_that_fell_behind_says_by_how_much_and_gives_the_current_state() {
    let store = store(64);
    let mut changes = store.changes().unwrap();
    let mut epochs = HashMap::new();
    for n in 0..100 {
        let key = format!("key/{}", n % 5);
        epochs.insert(key.clone(), set(&store, &key, "value"));
    }
    assert_eq!(
        changes.try_next().unwrap(),
        Some(Change::Lost {
            sequence: 0,
            count: 100
        })
    );
    // Whoever stops here begins where the gap begins.
    assert_eq!(changes.position(), 0);
    let mut current = HashMap::new();
    for _ in 0..5 {
        match changes.try_next().unwrap().unwrap() {
            Change::Current {
                sequence: 0,
                key,
                epoch,
            } => current.insert(key.to_string(), epoch),
            other => panic!("{other:?}"),
        };
    }
    assert_eq!(current, epochs);
    assert_eq!(changes.try_next().unwrap(), None);
    assert_eq!(changes.position(), 100);
    let epoch = set(&store, "key/0", "value");
    assert!(matches!(changes.try_next().unwrap(), Some(Change::Set { sequence: 100, epoch: e, .. }) if e == epoch));
}

#[test]
fn a_feed_goes_on_where_another_stopped() {
    let store = store(64);
    let mut first = store.changes().unwrap();
    for _ in 0..10 {
        set(&store, "key", "value");
    }
    for _ in 0..4 {
        first.try_next().unwrap();
    }
    let second = store.changes_from(first.position()).unwrap();
    let sequences: Vec<_> = second
        .take(6)
        .map(|change| match change.unwrap() {
            Change::Set { sequence, .. } => sequence,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sequences, (4..10).collect::<Vec<_>>());
    assert!(matches!(
        store.changes_from(11).unwrap_err(),
        Error::InvalidArgument { .. }
    ));
    assert!(store.changes_from(10).is_ok());
}

#[test]
fn a_key_that_came_and_went_unseen_is_told_without_its_name() {
    let store = store(64);
    let mut changes = store.changes().unwrap();
    let mut watcher = store.watch(Pattern::all()).unwrap();
    set(&store, "brief", "value");
    store.unset("brief").unwrap();
    set(&store, "next", "value");
    assert_eq!(changes.try_next().unwrap(), Some(Change::Vanished { sequence: 0 }));
    assert_eq!(changes.try_next().unwrap(), Some(Change::Vanished { sequence: 1 }));
    assert!(matches!(changes.try_next().unwrap(), Some(Change::Set { sequence: 2, key, .. }) if &*key == "next"));
    assert_eq!(names(&drain(&mut watcher)), [told("next", Set)]);
}

/// Whatever the order of inserts, deletes, overwrites and reads: a mirror that is kept by a feed is the store, no change is
/// told of a key that had none, and every place of the journal is accounted for.
#[test]
fn a_mirror_kept_by_a_feed_is_the_store() {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for journal in [64, 4096] {
        let store = OpenOptions::new()
            .slots(8)
            .max_value_bytes(8)
            .journal_entries(journal)
            .anonymous()
            .unwrap();
        let mut changes = store.changes().unwrap();
        let mut watcher = store.watch(Pattern::all()).unwrap();
        let mut mirror: HashMap<String, u64> = HashMap::new();
        let mut watched: HashMap<String, u64> = HashMap::new();
        let mut written: HashMap<u64, String> = HashMap::new();
        let mut sequence = 0;
        for _ in 0..30_000 {
            for _ in 0..next(100) / 97 * 80 + next(4) {
                let key = format!("key/{}", next(12));
                if next(3) == 0 {
                    store.unset(&key).unwrap();
                } else if let Ok(epoch) = store.set(&key, "value") {
                    written.insert(
                        epoch << 8 | key.as_bytes()[4..].iter().map(|&b| u64::from(b)).sum::<u64>(),
                        key,
                    );
                }
            }
            let mut expect = |at: u64, count: u64| {
                assert_eq!(at, sequence);
                sequence += count;
            };
            while let Some(change) = changes.try_next().unwrap() {
                match change {
                    Change::Set { sequence, key, epoch } => {
                        expect(sequence, 1);
                        let hash = epoch << 8 | key.as_bytes()[4..].iter().map(|&b| u64::from(b)).sum::<u64>();
                        assert_eq!(
                            written.get(&hash).map(String::as_str),
                            Some(&*key),
                            "an invented change"
                        );
                        mirror.insert(key.to_string(), epoch);
                    }
                    Change::Unset { sequence, key, .. } => {
                        expect(sequence, 1);
                        mirror.remove(&*key);
                    }
                    Change::Vanished { sequence } => expect(sequence, 1),
                    Change::Lost { sequence, count } => {
                        expect(sequence, count);
                        mirror.clear();
                    }
                    Change::Current { key, epoch, .. } => {
                        mirror.insert(key.to_string(), epoch);
                    }
                    other => panic!("{other:?}"),
                }
            }
            while let Some(event) = watcher.try_next().unwrap() {
                match event.kind {
                    Set => {
                        let before = watched.insert(event.key.to_string(), event.epoch);
                        assert!(before < Some(event.epoch), "{event:?} after {before:?}");
                    }
                    _ => assert!(watched.remove(&*event.key).is_none_or(|before| before < event.epoch)),
                }
            }
            let actual: HashMap<_, _> = store
                .list()
                .map(|entry| entry.map(|entry| (entry.key, entry.epoch)).unwrap())
                .collect();
            assert_eq!(mirror, actual);
            assert_eq!(watched, actual);
        }
        assert_eq!(sequence, store.header_snapshot().unwrap().epoch);
    }
}

#[test]
fn a_selector_announces_what_is_ready_once() {
    let store = Arc::new(store(4096));
    let mut selector = Selector::new(store.clone()).unwrap();
    let a = selector.watch("a", &WatchOptions::new()).unwrap();
    let b = selector.watch("b", &WatchOptions::new()).unwrap();
    let feed = selector.changes(None).unwrap();
    assert!(!selector.wait(Duration::ZERO).unwrap());
    set(&store, "a", "1");
    let mut ready = Vec::new();
    while ready.len() < 2 {
        assert!(selector.wait(LONG).unwrap());
        ready.append(&mut selector.ready().unwrap());
    }
    ready.sort_unstable();
    assert_eq!(ready, [a, feed]);
    // Neither was emptied, so neither is announced again.
    set(&store, "a", "2");
    set(&store, "b", "1");
    assert!(selector.wait(LONG).unwrap());
    assert_eq!(selector.ready().unwrap(), [b]);
    assert!(selector.next_event(a).unwrap().is_some());
    assert!(selector.next_event(a).unwrap().is_none());
    assert!(selector.next_event(b).unwrap().is_some());
    for _ in 0..3 {
        assert!(selector.next_change(feed).unwrap().is_some());
    }
    assert!(selector.next_change(feed).unwrap().is_none());
    set(&store, "a", "3");
    let mut ready = Vec::new();
    while ready.len() < 2 {
        assert!(selector.wait(LONG).unwrap());
        ready.append(&mut selector.ready().unwrap());
    }
    ready.sort_unstable();
    assert_eq!(ready, [a, feed]);
    selector.unwatch(a);
    assert!(matches!(
        selector.next_event(a).unwrap_err(),
        Error::InvalidArgument { .. }
    ));
    selector.unwatch(a);
}

#[test]
fn a_selector_announces_the_initial_state() {
    let store = Arc::new(store(4096));
    set(&store, "a", "1");
    let mut selector = Selector::new(store).unwrap();
    let initial = selector.watch("a", &WatchOptions::new().initial(true)).unwrap();
    let feed = selector.changes(Some(0)).unwrap();
    assert!(selector.wait(LONG).unwrap());
    assert_eq!(selector.ready().unwrap(), [initial, feed]);
    assert_eq!(selector.next_event(initial).unwrap().unwrap().kind, Set);
    assert!(selector.next_change(feed).unwrap().is_some());
}

#[test]
fn a_selector_that_nobody_listens_to_does_not_outlive_its_drop() {
    let store = Arc::new(store(4096));
    let named = || {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|name| name.trim() == "splinter")
            .count()
    };
    let before = named();
    for round in 0..50 {
        let mut selector = Selector::new(store.clone()).unwrap();
        if round % 2 == 0 {
            selector.watch(Pattern::all(), &WatchOptions::new()).unwrap();
        }
        if round % 3 == 0 {
            drop(selector.take_descriptor());
        }
        set(&store, "key", "value");
    }
    // Other tests have a few of their own meanwhile.
    assert!(named() <= before + 10);
    assert_eq!(Arc::strong_count(&store), 1);
}

#[test]
fn a_thousand_watches_need_one_thread() {
    let store = Arc::new(store(4096));
    let mut selector = Selector::new(store.clone()).unwrap();
    let ids: Vec<_> = (0..1000)
        .map(|n| {
            let pattern = match n % 3 {
                0 => Pattern::key(format!("key/{}", n % 100)),
                1 => Pattern::prefix(format!("key/{}", n % 100)),
                _ => Pattern::glob(&format!("*/{}", n % 100)),
            };
            selector.watch(pattern, &WatchOptions::new()).unwrap()
        })
        .collect();
    for n in 0..100 {
        set(&store, &format!("key/{n}"), "value");
    }
    let mut seen = HashMap::new();
    while ids.iter().any(|id| !seen.contains_key(id)) {
        assert!(selector.wait(LONG).unwrap());
        for id in selector.ready().unwrap() {
            while let Some(event) = selector.next_event(id).unwrap() {
                seen.insert(id, event.key);
            }
        }
    }
    assert_eq!(seen.len(), 1000);
    for (id, key) in seen {
        assert!(key.starts_with("key/"), "{id} {key}");
    }
}

#[test]
fn a_store_that_is_cut_ends_its_watches_with_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = Arc::new(Store::create(&path).unwrap());
    let selector = Selector::new(store.clone()).unwrap();
    let id = selector.watch("key", &WatchOptions::new()).unwrap();
    let mut watcher = store.watch("key").unwrap();
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(0)
        .unwrap();
    assert!(matches!(watcher.next_timeout(LONG), Err(Error::Corrupt { .. })));
    assert!(selector.wait(LONG).unwrap());
    assert!(matches!(selector.next_event(id), Err(Error::Corrupt { .. })));
}

#[test]
fn a_wait_with_a_poll_interval_sees_changes_and_its_timeout() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let options = OpenOptions::new().poll_interval(Duration::from_millis(2));
    let store = options.create(&path).unwrap();
    let mut watcher = store.watch("key").unwrap();
    let other = Store::open(&path).unwrap();
    std::thread::scope(|scope| {
        let polling = scope.spawn(|| store.poll("key", LONG).unwrap());
        let waiting = scope.spawn(|| watcher.next_timeout(LONG).unwrap());
        while !polling.is_finished() {
            set(&other, "key", "value");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(polling.join().unwrap());
        assert!(waiting.join().unwrap().is_some());
    });
    assert!(!store.poll("key", SOON / 10).unwrap());
}
