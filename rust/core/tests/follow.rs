//! What followers see of writers that are killed at random, and what is left when followers are.
//!
//! One writer at a time does what a plan says, one step after the other, and notes each. So it is known of every place in
//! the journal which key was changed there, how, and to which epoch, and every word of a follower can be checked.
//!
//! Short by default; `SPLINTER_TEST_KILLS` lengthens it.

#[path = "common/bytes.rs"]
mod bytes;
#[path = "common/process.rs"]
mod process;
#[path = "common/trace.rs"]
mod trace;
#[path = "common/tries.rs"]
mod tries;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Random;
use process::{Child, Page, fork};
use splinter::{Change, Changes, EventKind, OpenOptions, Pattern, Selector, Store, WatchOptions};
use tempfile::tempdir;
use trace::{lead, stay_on_one_processor};
use tries::{number, tried};

/// Steps at most: after them a writer waits to be killed.
const STEPS: usize = 1 << 21;
const WORDS: usize = 64;
/// Keys that stay, and keys that come and go.
const STAYING: u64 = 5;
const COMING: u64 = 3;

fn kills() -> u64 {
    number("SPLINTER_TEST_KILLS").unwrap_or(100)
}

/// What is done in a step: the key, and whether it is set.
fn planned(step: usize) -> (usize, bool) {
    let round = step as u64 / 4;
    match step % 4 {
        2 => ((STAYING + round % COMING) as usize, true),
        3 => ((STAYING + round % COMING) as usize, false),
        half => (((round * 2 + half as u64) % STAYING) as usize, true),
    }
}

const KEYS: usize = (STAYING + COMING) as usize;

fn name(key: usize) -> String {
    format!("key{key}")
}

fn key_of(name: &str) -> usize {
    name.strip_prefix("key").unwrap().parse().unwrap()
}

/// Numbers that processes share: they are 0 at first, and take memory only where they are not.
fn numbers(count: usize) -> &'static [AtomicU64] {
    // SAFETY: the kernel chooses the address; zeros are valid numbers, and they are never unmapped.
    unsafe {
        let numbers = libc::mmap(
            std::ptr::null_mut(),
            count * size_of::<AtomicU64>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        assert_ne!(numbers, libc::MAP_FAILED);
        std::slice::from_raw_parts(numbers.cast(), count)
    }
}

fn get(number: &AtomicU64) -> u64 {
    number.load(Ordering::SeqCst)
}

fn put(number: &AtomicU64, value: u64) {
    number.store(value, Ordering::SeqCst);
}

/// What the writers have done. Whoever goes on after a death finds out what the dead one came to.
struct Diary {
    /// The next step.
    next: &'static AtomicU64,
    /// The epoch that each step led to.
    epochs: &'static [AtomicU64],
    /// Of each key, the epoch after its last step, plus one if it is there.
    keys: &'static [AtomicU64],
}

impl Diary {
    fn new() -> Self {
        Self {
            next: &numbers(1)[0],
            epochs: numbers(STEPS),
            keys: numbers(KEYS),
        }
    }

    fn note(&self, step: usize, epoch: u64) {
        let (key, is_set) = planned(step);
        put(&self.epochs[step], epoch);
        put(&self.keys[key], epoch + u64::from(is_set));
        put(self.next, step as u64 + 1);
    }

    /// Notes the step that a dead writer did but did not note, if he did it.
    fn go_on(&self, store: &Store) {
        let step = get(self.next) as usize;
        let Some(epoch) = self.epochs.get(step) else { return };
        let (key, is_set) = planned(step);
        let last = get(&self.keys[key]);
        let found = store.epoch(name(key)).unwrap().map(|epoch| epoch & !1);
        if get(epoch) != 0 {
            self.note(step, get(epoch));
        } else if is_set {
            if let Some(found) = found.filter(|found| found + 1 != last) {
                self.note(step, found);
            }
        } else if found.is_none() {
            self.note(step, (last & !1) + 2);
        }
        // Somebody else may be about to finish in the journal what the dead one began.
        let patience = Instant::now() + Duration::from_secs(60);
        while store.header_snapshot().unwrap().epoch < get(self.next) {
            assert!(Instant::now() < patience, "step {step} is not in the journal");
            std::thread::yield_now();
        }
    }

    /// Goes on with the plan until killed.
    fn write(&self, store: &Store) {
        self.go_on(store);
        while get(self.next) < STEPS as u64 {
            self.take_step(store);
        }
        loop {
            std::thread::park();
        }
    }

    fn take_step(&self, store: &Store) {
        let step = get(self.next) as usize;
        let (key, is_set) = planned(step);
        let epoch = if is_set {
            let words = step % WORDS + 1;
            store.set(name(key), (step as u64).to_le_bytes().repeat(words)).unwrap()
        } else {
            assert!(store.unset(name(key)).unwrap().is_some());
            (get(&self.keys[key]) & !1) + 2
        };
        self.note(step, epoch);
    }
}

/// What a follower has been told, as its parent sees it.
struct Told {
    /// The place up to which it was told everything.
    place: &'static AtomicU64,
    lost: &'static AtomicU64,
    /// Of each step, twice its epoch, plus one if it was a set; [`VANISHED`] if no more is known.
    steps: &'static [AtomicU64],
    /// Of each key, what a watch has told last, as in [`Diary::keys`].
    keys: &'static [AtomicU64],
}

const VANISHED: u64 = u64::MAX;

impl Told {
    fn new() -> Self {
        Self {
            place: &numbers(1)[0],
            lost: &numbers(1)[0],
            steps: numbers(STEPS),
            keys: numbers(KEYS),
        }
    }

    fn take(&self, change: &Change) {
        let place = get(self.place);
        let told = |sequence: u64, epoch: u64, is_set: bool, key: Option<&str>| {
            assert_eq!(sequence, place);
            let before = get(&self.steps[place as usize]);
            // The same once more if it was killed before it could note the place.
            assert!(
                [0, epoch, VANISHED].contains(&before) || epoch == VANISHED,
                "told another thing before"
            );
            if let Some(key) = key {
                assert_eq!((key_of(key), is_set), planned(place as usize), "at {place}");
            }
            put(&self.steps[place as usize], epoch);
            put(self.place, place + 1);
        };
        match change {
            Change::Set { sequence, key, epoch } => told(*sequence, 2 * epoch + 1, true, Some(key)),
            Change::Unset { sequence, key, epoch } => told(*sequence, 2 * epoch, false, Some(key)),
            Change::Vanished { sequence } => {
                assert!(
                    planned(place as usize).0 >= STAYING as usize,
                    "a key that stays has vanished"
                );
                told(*sequence, VANISHED, false, None);
            }
            Change::Lost { sequence, count } => {
                assert_eq!(*sequence, place);
                self.lost.fetch_add(*count, Ordering::SeqCst);
                put(self.place, place + count);
            }
            Change::Current { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    /// Compares what was told with what was done, up to `end`. Returns how much was not told.
    fn check(&self, diary: &Diary, end: usize) -> u64 {
        let mut untold = 0;
        for step in 0..end {
            let (_, is_set) = planned(step);
            match get(&self.steps[step]) {
                0 => untold += 1,
                VANISHED => {}
                told => assert_eq!(told, 2 * get(&diary.epochs[step]) + u64::from(is_set), "at {step}"),
            }
        }
        assert!(untold < end as u64, "nothing was told");
        untold
    }
}

/// Keeps a follower from being taken for one that hangs, as long as it is told something.
fn is_alive(page: &Page, item: u64) {
    if item.is_multiple_of(64) {
        page.step(item);
    }
}

fn feed(path: &Path, told: &Told, read_only: bool) -> Child {
    fork(|page| {
        let store = OpenOptions::new().read_only(read_only).open(path).unwrap();
        for (item, change) in (0..).zip(store.changes_from(0).unwrap()) {
            told.take(&change.unwrap());
            is_alive(page, item);
        }
    })
}

fn selected_feed(path: &Path, told: &Told) -> Child {
    fork(|page| {
        let mut selector = Selector::new(Arc::new(Store::open(path).unwrap())).unwrap();
        let feed = selector.changes(Some(0)).unwrap();
        let mut items = 0;
        loop {
            while let Some(change) = selector.next_change(feed).unwrap() {
                told.take(&change);
                items += 1;
                is_alive(page, items);
            }
            assert!(selector.wait(Duration::MAX).unwrap());
            selector.ready().unwrap();
        }
    })
}

/// How a follower of all keys by a watch does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By a watcher of a prefix.
    Prefix,
    /// By a watcher of each of the keys, without the right to write.
    ReadOnly,
    /// By a selector's watch of a glob.
    Selector,
    /// By a selector's watches, one after the other, each of which begins with what there is.
    Renewed,
}

const WAYS: [Way; 4] = [Way::Prefix, Way::ReadOnly, Way::Selector, Way::Renewed];
/// Events after which a watch is renewed.
const RENEWAL: u64 = 100;

/// Checks an event by itself, and notes it.
fn take_event(told: &Told, event: &splinter::Event, must_be_newer: bool) {
    let key = key_of(&event.key);
    let is_set = event.kind == EventKind::Set;
    let last = get(&told.keys[key]);
    assert!(!must_be_newer || event.epoch > last & !1, "{event:?} after {last}");
    assert_eq!(event.value.is_some(), is_set, "{event:?}");
    if let Some(value) = &event.value {
        let number = u64::from_le_bytes(value[..8].try_into().unwrap());
        let words = number as usize % WORDS + 1;
        assert_eq!(*value, number.to_le_bytes().repeat(words), "a torn value");
        assert_eq!(planned(number as usize), (key, true), "the value of another key");
    }
    put(&told.keys[key], event.epoch + u64::from(is_set));
    put(told.place, event.sequence + 1);
}

/// A follower by watches. It is told of by the last states of the keys alone.
fn watch(path: &Path, told: &Told, way: Way) -> Child {
    fork(|page| {
        let store = OpenOptions::new().read_only(way == Way::ReadOnly).open(path).unwrap();
        let options = WatchOptions::new().values(true).initial(true);
        let pattern = match way {
            Way::Prefix => Pattern::prefix("key"),
            Way::ReadOnly => Pattern::keys((0..KEYS).map(name)),
            Way::Selector | Way::Renewed => {
                return select(page, store, told, way == Way::Renewed);
            }
        };
        for (item, event) in (0..).zip(store.watch_with(pattern, &options).unwrap()) {
            take_event(told, &event.unwrap(), true);
            is_alive(page, item);
        }
    })
}

fn select(page: &Page, store: Store, told: &Told, renew: bool) {
    let options = WatchOptions::new().values(true).initial(true);
    let mut selector = Selector::new(Arc::new(store)).unwrap();
    // Another one, so that what the watches share is never given up.
    let standing = selector.watch("key0", &options).unwrap();
    let mut watch = selector.watch(Pattern::glob("key*"), &options).unwrap();
    let mut items = 0;
    loop {
        while selector.next_event(standing).unwrap().is_some() {}
        while let Some(event) = selector.next_event(watch).unwrap() {
            take_event(told, &event, true);
            items += 1;
            is_alive(page, items);
            if renew && items % RENEWAL == 0 {
                selector.unwatch(watch);
                told.keys.iter().for_each(|key| put(key, 0));
                watch = selector.watch(Pattern::glob("key*"), &options).unwrap();
            }
        }
        assert!(selector.wait(Duration::MAX).unwrap());
        selector.ready().unwrap();
    }
}

/// A watcher that goes on where the last one was killed. It names the keys: nobody else can be told of one that went while
/// nobody watched.
fn resumed_watch(path: &Path, told: &Told) -> Child {
    fork(|page| {
        let store = Store::open(path).unwrap();
        let options = WatchOptions::new().values(true).from(get(told.place));
        for (item, event) in (0..).zip(store.watch_with(Pattern::keys((0..KEYS).map(name)), &options).unwrap()) {
            take_event(told, &event.unwrap(), false);
            is_alive(page, item);
        }
    })
}

/// A feed that goes on where the last one was killed.
fn resumed_feed(path: &Path, told: &Told) -> Child {
    fork(|page| {
        let store = Store::open(path).unwrap();
        for (item, change) in (0..).zip(store.changes_from(get(told.place)).unwrap()) {
            told.take(&change.unwrap());
            is_alive(page, item);
        }
    })
}

/// Waits until a follower has been told `what`.
fn until(child: &Child, what: &str, is_told: impl Fn() -> bool) {
    while !is_told() {
        assert_ne!(
            child.state(),
            b'Z',
            "a follower was not told {what}: {}",
            child.page.said()
        );
        std::thread::yield_now();
    }
}

fn writers_are_killed(journal_entries: u32, sterile: bool) {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let options = OpenOptions::new()
        .slots(KEYS as u32)
        .max_value_bytes(8 * WORDS as u32)
        .auto_vacuum(sterile)
        .journal_entries(journal_entries);
    let store = options.create(&path).unwrap();
    let diary = Diary::new();
    let (blocking, read_only, selected) = (Told::new(), Told::new(), Told::new());
    let feeds = [
        (feed(&path, &blocking, false), &blocking),
        (feed(&path, &read_only, true), &read_only),
        (selected_feed(&path, &selected), &selected),
    ];
    let watches = WAYS.map(|way| {
        let told = Told::new();
        (watch(&path, &told, way), told)
    });
    let (resumed, resumed_by_watch) = (Told::new(), Told::new());
    let mut random = Random::new(u64::from(journal_entries));
    for kill in 1..=kills() {
        let writer = fork(|_| diary.write(&Store::open(&path).unwrap()));
        let resumed_feed = resumed_feed(&path, &resumed);
        let resumed_watch = resumed_watch(&path, &resumed_by_watch);
        // A moment that is different every time; nothing is waited for here.
        std::thread::sleep(Duration::from_micros(500 + random.below(2000) as u64));
        writer.kill();
        if kill % 20 != 0 {
            continue;
        }
        // What was left undone is done by whoever opens the store.
        drop(Store::open(&path).unwrap());
        diary.go_on(&store);
        let end = get(diary.next);
        assert_eq!(store.header_snapshot().unwrap().epoch, end);
        for (child, told) in &feeds {
            until(child, "of all changes", || get(told.place) >= end);
            assert_eq!(told.check(&diary, end as usize), get(told.lost));
        }
        until(&resumed_feed, "of all changes", || get(resumed.place) >= end);
        resumed.check(&diary, end as usize);
        for (key, last) in diary.keys.iter().map(get).enumerate() {
            let is_gone = last & 1 == 0;
            let resumed = (&resumed_watch, &resumed_by_watch);
            for (child, told) in watches.iter().map(|(child, told)| (child, told)).chain([resumed]) {
                let told = &told.keys[key];
                let what = format!("of {last} of key {key}, after {}", get(told));
                // Of a key that is gone it need not know when it went, nor, if it came and went unseen, anything.
                until(child, &what, || get(told) == last || is_gone && get(told) & 1 == 0);
            }
        }
    }
    let repairs = store.header_snapshot().unwrap().repairs;
    assert!(repairs > 0, "nobody died with a lock in hand");
    tried(kills(), "random kills");
    tried(repairs, "locks taken over from the dead");
    assert_eq!(store.header_snapshot().unwrap().parse_failures, 0);
}

#[test]
fn followers_of_killed_writers_are_told_what_was_done_and_nothing_else() {
    writers_are_killed(4096, true);
}

#[test]
fn followers_of_killed_writers_are_told_how_much_they_lost() {
    writers_are_killed(64, false);
}

#[test]
fn followers_that_stood_still_for_any_number_of_laps_notice() {
    const ENTRIES: u64 = 64;
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let store = OpenOptions::new()
        .slots(KEYS as u32)
        .max_value_bytes(8 * WORDS as u32)
        .journal_entries(ENTRIES as u32)
        .create(&path)
        .unwrap();
    let diary = Diary::new();
    let (blocking, selected, watching) = (Told::new(), Told::new(), Told::new());
    let followers = [
        feed(&path, &blocking, false),
        selected_feed(&path, &selected),
        watch(&path, &watching, Way::Prefix),
    ];
    let signal = |signal: i32| {
        for follower in &followers {
            // SAFETY: a call with integers alone, about a child that has not been waited for.
            unsafe { libc::kill(follower.pid, signal) };
        }
    };
    let mut random = Random::new(4711);
    // Laps are counted to 128 in the journal, and the hint at its end lags by a few places.
    let laps = (2..4).chain(125..131).chain(253..259);
    let some = laps.map(|laps| laps * ENTRIES + random.next() % ENTRIES);
    for changes in (1..5).chain(ENTRIES - 4..ENTRIES + 16).chain(some) {
        for follower in &followers {
            while follower.state() != b'S' {
                std::thread::yield_now();
            }
        }
        signal(libc::SIGSTOP);
        for follower in &followers {
            while follower.state() != b'T' {
                std::thread::yield_now();
            }
        }
        for _ in 0..changes {
            diary.take_step(&store);
        }
        signal(libc::SIGCONT);
        let end = get(diary.next);
        for (follower, told) in followers.iter().zip([&blocking, &selected]) {
            until(follower, "of all changes", || get(told.place) == end);
        }
        for (told, last) in watching.keys.iter().zip(diary.keys) {
            let last = get(last);
            until(&followers[2], &format!("of {last}, after {}", get(told)), || {
                get(told) == last || (get(told) | last) & 1 == 0
            });
        }
    }
}

#[test]
fn a_writer_that_stood_still_for_any_number_of_laps_spoils_no_entry() {
    const ENTRIES: u64 = 64;
    const FAR: usize = 32;
    stay_on_one_processor();
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let store = OpenOptions::new()
        .slots(2)
        .max_value_bytes(8)
        .journal_entries(ENTRIES as u32)
        .auto_vacuum(false)
        .create(&path)
        .unwrap();
    store.set("k", "").unwrap();
    store.set("other", "").unwrap();
    let mut writer = lead(
        |_| Store::open(&path).unwrap(),
        |store| {
            store.set("k", "").unwrap();
        },
    );
    let changes = || store.header_snapshot().unwrap().epoch;
    // Laps are counted to 128; the hint at the journal's end is advanced by every eighth entry.
    for others in (127 * ENTRIES..127 * ENTRIES + 8).chain([128 * ENTRIES, 128 * ENTRIES + 5]) {
        // It matters between the change and its entry.
        let (mut steps, mut distance) = (0, FAR);
        loop {
            steps += distance;
            let before = (changes(), store.epoch("k").unwrap().map(|epoch| epoch >> 1));
            for _ in 0..steps {
                writer.step();
            }
            let is_changed = store.epoch("k").unwrap().map(|epoch| epoch >> 1) != before.1;
            let is_told = changes() > before.0;
            for _ in 0..others {
                store.set("other", "").unwrap();
            }
            writer.finish();
            store.set("other", "").unwrap();
            let end = changes();
            assert_eq!(end, before.0 + others + 2, "{others} at instruction {steps}");
            let feed = store.changes_from(end - ENTRIES).unwrap();
            assert_eq!(entries(feed), ENTRIES, "{others} at instruction {steps}");
            if is_changed && distance == FAR {
                (steps, distance) = (steps - FAR, 1);
            } else if is_told {
                break;
            }
        }
    }
    assert_eq!(store.header_snapshot().unwrap().parse_failures, 0);
}

/// How many changes a feed has, none of them lost.
fn entries(mut feed: Changes<'_>) -> u64 {
    let mut entries = 0;
    while let Some(change) = feed.try_next().unwrap() {
        assert!(matches!(change, Change::Set { .. }), "{change:?}");
        entries += 1;
    }
    entries
}

#[test]
fn killed_followers_cost_nobody_anything() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let store = OpenOptions::new().slots(8).max_value_bytes(64).create(&path).unwrap();
    let mut random = Random::new(99);
    let mut number = 0_u64;
    for kill in 0..kills() {
        let follower = match kill % 3 {
            0 => feed_of_anything(&path, kill % 2 == 0),
            1 => watch_of_anything(&path),
            _ => selector_of_anything(&path),
        };
        for _ in 0..random.below(3000) {
            number += 1;
            store.set(format!("key{}", number % 5), number.to_le_bytes()).unwrap();
        }
        follower.kill();
        // The next one is told of the next change.
        let next = feed_of_anything(&path, false);
        next.page.await_word(0, 1);
        number += 1;
        store.set("key0", number.to_le_bytes()).unwrap();
        next.page.await_word(0, 2);
        next.kill();
    }
    assert_eq!(store.header_snapshot().unwrap().epoch, number);
    assert_eq!(store.header_snapshot().unwrap().parse_failures, 0);
    tried(kills(), "random kills");
}

/// A follower that says when it has begun (1), and when it was told of something (2).
fn feed_of_anything(path: &Path, read_only: bool) -> Child {
    fork(|page| {
        let store = OpenOptions::new().read_only(read_only).open(path).unwrap();
        let changes = store.changes().unwrap();
        page.set(0, 1);
        for change in changes {
            change.unwrap();
            page.set(0, 2);
        }
    })
}

fn watch_of_anything(path: &Path) -> Child {
    fork(|_| {
        let store = Store::open(path).unwrap();
        let options = WatchOptions::new().values(true);
        for event in store.watch_with(Pattern::all(), &options).unwrap() {
            event.unwrap();
        }
    })
}

fn selector_of_anything(path: &Path) -> Child {
    fork(|_| {
        let mut selector = Selector::new(Arc::new(Store::open(path).unwrap())).unwrap();
        let watch = selector.watch(Pattern::all(), &WatchOptions::new()).unwrap();
        loop {
            assert!(selector.wait(Duration::MAX).unwrap());
            selector.ready().unwrap();
            while selector.next_event(watch).unwrap().is_some() {}
        }
    })
}
