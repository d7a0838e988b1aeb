//! What must hold under every schedule. Shuttle draws the schedules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};

use super::pass;
use super::stage::{
    JoinHandle, Stage, explore, in_one_go, join, mortal, number_of, options, spawn, spawn_stopping, token, value,
};
use crate::journal::Change;
use crate::layout::{CHUNK_CELLS, HANDLES};
use crate::sync::Ordering;
use crate::wait::SLICE;
use crate::{Error, Operation, Outcome, Store};

/// More accesses than an operation on such a store has as a rule.
const ACCESSES: u32 = 110;

fn join_all<const N: usize>(tasks: [JoinHandle<()>; N]) {
    tasks.into_iter().for_each(join);
}

/// Whether the journal tells of each of a slot's changes, in order: `live` and `sequence` as the slot began.
fn assert_in_order(stage: &Stage, position: u64, changes: usize) {
    let entries = stage.journal_from(position);
    assert_eq!(entries.len(), changes, "{entries:?}");
    let mut last = BTreeMap::new();
    for entry in entries {
        let sequence = entry.sequence_near(0);
        let before = last.insert(entry.slot, sequence);
        assert!(
            before.is_none_or(|before| before < sequence),
            "{:?}",
            stage.journal_from(position)
        );
    }
}

fn readers_and_writers(auto_vacuum: bool) {
    let stage = Stage::new(options().auto_vacuum(auto_vacuum), 3, |stores| {
        stores[0].set("k", value(1)).unwrap();
        stores[0].set("k", value(2)).unwrap();
    });
    explore(stage, move || {
        let first = stage.store(0).epoch("k").unwrap().unwrap();
        let start = stage.store(0).region().journal_end();
        let reader = spawn(move || {
            let mut seen = Vec::new();
            for _ in 0..3 {
                let entry = stage.store(0).get_entry("k").unwrap().expect("it is never gone");
                seen.push((entry.epoch, number_of(&entry.value)));
            }
            seen
        });
        let writers = [(1, [10, 11]), (2, [20, 21])].map(|(handle, numbers)| {
            spawn(move || numbers.map(|number| (stage.store(handle).set("k", value(number)).unwrap(), number)))
        });
        let written: Vec<(u64, u8)> = writers.into_iter().flat_map(join).collect();
        let seen = join(reader);
        stage.finish();
        let mut versions: BTreeMap<u64, u8> = written.iter().copied().collect();
        assert_eq!(versions.len(), written.len(), "one publisher for each sequence");
        versions.insert(first, 2);
        assert!(seen.is_sorted_by_key(|&(epoch, _)| epoch), "{seen:?}");
        for (epoch, number) in seen {
            assert_eq!(
                versions.get(&epoch),
                Some(&number),
                "a read is of one published version"
            );
        }
        let last = stage.store(0).get_entry("k").unwrap().unwrap();
        assert_eq!(versions.last_key_value(), Some((&last.epoch, &number_of(&last.value))));
        assert_in_order(stage, start, written.len());
        stage.assert_clean();
    });
}

#[test]
fn a_reader_beside_two_writers_sees_published_versions_in_order() {
    readers_and_writers(true);
}

#[test]
fn without_zeroing_too_a_reader_beside_two_writers_sees_published_versions_in_order() {
    readers_and_writers(false);
}

#[test]
fn an_update_never_lands_in_a_slot_that_another_key_has_taken() {
    let stage = Stage::new(options().slots(1), 3, |stores| {
        assert!(stores[0].set("a", value(1)).is_ok())
    });
    explore(stage, move || {
        let updater = spawn(move || {
            for number in [2, 3] {
                match stage.store(0).set("a", value(number)) {
                    Ok(_) | Err(Error::Full { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        let replacer = spawn(move || {
            stage.store(1).unset("a").unwrap();
            match stage.store(1).set("b", value(100)) {
                Ok(_) | Err(Error::Full { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        });
        let reader = spawn(move || {
            for _ in 0..2 {
                for (key, is_mine) in [("a", 1..=3), ("b", 100..=100)] {
                    if let Some(value) = stage.store(2).get_vec(key).unwrap() {
                        assert!(
                            is_mine.contains(&number_of(&value)),
                            "{key} has the value of another key: {value:?}"
                        );
                    }
                }
            }
        });
        join_all([updater, replacer, reader]);
        stage.finish();
        for (key, is_mine) in [("a", 1..=3), ("b", 100..=100)] {
            if let Some(value) = stage.store(2).get_vec(key).unwrap() {
                assert!(
                    is_mine.contains(&number_of(&value)),
                    "{key} has the value of another key: {value:?}"
                );
            }
        }
        stage.assert_clean();
    });
}

#[test]
fn those_who_insert_and_delete_one_key_leave_it_there_once_or_not_at_all() {
    let stage = Stage::new(options().slots(3), 3, |_| ());
    explore(stage, move || {
        let inserters = [0, 1].map(|handle| {
            spawn(move || {
                let epoch = stage.store(handle).set("k", value(handle as u8)).unwrap();
                (epoch, handle as u8)
            })
        });
        let deleter = spawn(move || [(); 2].map(|()| stage.store(2).unset("k").unwrap().is_some()));
        let written = inserters.map(join);
        let deleted = join(deleter).into_iter().filter(|&is_deleted| is_deleted).count();
        stage.finish();
        assert_ne!(written[0].0, written[1].0, "epochs go on over a delete");
        let region = stage.store(0).region();
        let live = region.slot_indices().filter(|&slot| region.ctl(slot).is_live()).count();
        let found = stage.store(0).get_vec("k").unwrap().map(|value| number_of(&value));
        assert_eq!(live, usize::from(found.is_some()));
        assert_eq!(stage.journal_from(0).len(), 2 + deleted);
        stage.assert_clean();
    });
}

#[test]
fn the_epochs_of_a_key_grow_wherever_it_comes_again() {
    let stage = Stage::new(options(), 3, |stores| {
        for number in 0..5 {
            stores[0].set("k", value(number)).unwrap();
        }
    });
    explore(stage, move || {
        let coming_and_going = spawn(move || {
            let before = stage.store(0).set("k", value(5)).unwrap();
            stage.store(0).unset("k").unwrap().expect("it was there");
            assert!(stage.store(0).set("k", value(6)).unwrap() > before);
        });
        // May get the slot that the key had.
        let neighbour = spawn(move || assert!(stage.store(1).set("x", value(1)).is_ok()));
        let reader = spawn(move || {
            let seen: Vec<_> = (0..3).filter_map(|_| stage.store(2).epoch("k").unwrap()).collect();
            assert!(seen.is_sorted(), "{seen:?}");
        });
        join_all([coming_and_going, neighbour, reader]);
        stage.finish();
        stage.assert_clean();
    });
}

/// A stage with keys that begin at one chunk and fill it, so that others of them go on to the next; and the keys.
fn crowded() -> (&'static Stage, Vec<String>) {
    let mut keys = Vec::new();
    let stage = Stage::new(options().slots(CHUNK_CELLS as u32 + 5), 4, |stores| {
        let region = stores[0].region();
        let home = |key: &String| region.home(region.hash(key.as_bytes()));
        let mut names = (0..).map(|i: u32| i.to_string());
        let first = names.next().expect("there is no end to them");
        let others = names.filter(|name| home(name) == home(&first)).take(CHUNK_CELLS + 3);
        keys = others.collect();
        keys.insert(0, first);
        for key in &keys[..CHUNK_CELLS + 2] {
            stores[0].set(key, value(1)).unwrap();
        }
    });
    (stage, keys)
}

#[test]
fn a_delete_never_hides_another_key_of_the_same_chunk() {
    const DELETED: [usize; 2] = [CHUNK_CELLS - 1, CHUNK_CELLS + 1];
    let (stage, keys) = crowded();
    let keys = Arc::new(keys);
    explore(stage, move || {
        let inserters = [1, 2].map(|i| {
            let keys = keys.clone();
            spawn(move || {
                stage.store(i).set(&keys[CHUNK_CELLS + 1 + i], value(1)).unwrap();
                stage
                    .store(i)
                    .get_vec(&keys[CHUNK_CELLS + 1 + i])
                    .unwrap()
                    .expect("it was just inserted");
            })
        });
        let its_keys = keys.clone();
        let deleter = spawn(move || {
            // The last one in the chunk, and one that went on to the next.
            for key in DELETED {
                stage.store(0).unset(&its_keys[key]).unwrap().expect("it was there");
            }
        });
        let its_keys = keys.clone();
        let reader = spawn(move || {
            for _ in 0..2 {
                for key in [&its_keys[CHUNK_CELLS], &its_keys[0]] {
                    assert!(stage.store(3).get_vec(key).unwrap().is_some(), "a key is hidden");
                }
            }
        });
        join_all(inserters);
        join_all([deleter, reader]);
        stage.finish();
        for (i, key) in keys.iter().enumerate() {
            assert_eq!(stage.store(0).contains(key).unwrap(), !DELETED.contains(&i));
        }
        let region = stage.store(0).region();
        assert_eq!(region.header().recount.load(Ordering::Relaxed), 0);
        stage.assert_clean();
    });
}

#[test]
fn keys_of_two_chunks_that_meet_in_one_do_not_hide_each_other() {
    let (mut passing, mut coming) = (String::new(), String::new());
    let stage = Stage::new(options().slots(2 * CHUNK_CELLS as u32 + 6), 2, |stores| {
        let region = stores[0].region();
        let keys_of = |chunk: usize| {
            let names = (0..).map(|i: u32| i.to_string());
            let names = names.filter(|name| region.home(region.hash(name.as_bytes())) == chunk);
            names.take(CHUNK_CELLS + 1).collect::<Vec<_>>()
        };
        let [first, second] = [0, 1].map(keys_of);
        for key in first[..CHUNK_CELLS].iter().chain(&second[..CHUNK_CELLS]) {
            stores[0].set(key, value(1)).unwrap();
        }
        // This one passes over both, and then there is room in the second again.
        passing = first[CHUNK_CELLS].clone();
        coming = second[CHUNK_CELLS].clone();
        stores[0].set(&passing, value(1)).unwrap();
        stores[0].unset(&second[CHUNK_CELLS - 1]).unwrap();
    });
    explore(stage, move || {
        let its_key = passing.clone();
        let (gate, deleter) = spawn_stopping(thread_rng().gen_range(1..3 * ACCESSES), move || {
            stage.store(0).unset(its_key).unwrap().expect("it was there");
        });
        gate.await_reached();
        stage.store(1).set(&coming, value(1)).unwrap();
        gate.open();
        join(deleter);
        stage.finish();
        assert!(stage.store(0).contains(&coming).unwrap(), "a key is hidden");
        assert!(!stage.store(0).contains(&passing).unwrap());
        stage.assert_clean();
    });
}

#[test]
fn the_journal_has_each_change_once_and_a_follower_sees_no_gap() {
    let stage = Stage::new(options(), 3, |stores| {
        stores[0].set("a", value(1)).unwrap();
        stores[0].set("b", value(1)).unwrap();
        // The ring goes round, and the hint is advanced, while the scenario is played.
        for number in 2..60 {
            stores[0].set("a", value(number)).unwrap();
        }
    });
    explore(stage, move || {
        let start = stage.store(0).region().journal_end();
        let writers = [(0, "a"), (1, "a"), (2, "b")].map(|(handle, key)| {
            spawn(move || {
                for number in [100, 101, 102] {
                    stage.store(handle).set(key, value(number)).unwrap();
                }
            })
        });
        let follower = spawn(move || {
            let mut seen = 0;
            for _ in 0..4 {
                let now = stage.journal_from(start).len();
                assert!(now >= seen, "an entry is gone");
                seen = now;
            }
        });
        join_all(writers);
        join(follower);
        stage.finish();
        assert_in_order(stage, start, 9);
        assert_eq!(stage.store(0).region().journal_end(), start + 9);
        stage.assert_clean();
    });
}

#[test]
fn a_writer_that_slept_for_a_lap_or_for_all_laps_that_are_told_apart_appends_at_the_end() {
    let stage = Stage::new(options(), 2, |stores| {
        stores[0].set("a", value(1)).unwrap();
        stores[0].set("b", value(1)).unwrap();
    });
    explore(stage, move || {
        let entries = u64::from(stage.store(0).geometry().journal_entries());
        let start = stage.store(0).region().journal_end();
        let laps = if thread_rng().gen_range(0..8) == 0 { 128 } else { 1 };
        // Around a whole number of laps.
        let changes = laps * entries + thread_rng().gen_range(0..12) - 6;
        let (gate, sleeper) = spawn_stopping(thread_rng().gen_range(1..ACCESSES), move || {
            stage.store(0).set("a", value(2)).unwrap();
        });
        gate.await_reached();
        in_one_go(|| (0..changes).for_each(|_| assert!(stage.store(1).set("b", value(2)).is_ok())));
        gate.open();
        join(sleeper);
        stage.finish();
        let region = stage.store(0).region();
        let end = start + changes + 1;
        assert_eq!(region.journal_end(), end, "the journal has a gap, or lost a change");
        assert_eq!(region.header().parse_failures.load(Ordering::Relaxed), 0);
        // As many as there can be: each is of the lap that it should be of.
        assert_eq!(stage.journal_from(end - 60).len(), 60);
        stage.assert_clean();
    });
}

/// What a victim is doing.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Overwrite,
    Insert,
    Append,
    Unset,
}

impl Deed {
    fn draw() -> Self {
        [Self::Overwrite, Self::Insert, Self::Append, Self::Unset][thread_rng().gen_range(0..4)]
    }

    fn key(self) -> &'static str {
        match self {
            Self::Insert => "new",
            Self::Overwrite | Self::Append | Self::Unset => "k",
        }
    }

    fn perform(self, store: &Store) -> bool {
        match self {
            Self::Overwrite => store.set("k", value(9)).is_ok(),
            Self::Insert => store.set("new", value(9)).is_ok(),
            Self::Append => store.append("k", [1; 8]).is_ok(),
            Self::Unset => store.unset("k").is_ok(),
        }
    }

    fn before(self) -> Option<Vec<u8>> {
        (self.key() == "k").then(|| vec![1; 8])
    }

    fn after(self) -> Option<Vec<u8>> {
        match self {
            Self::Overwrite | Self::Insert => Some(value(9).to_vec()),
            Self::Append => Some(vec![1; 16]),
            Self::Unset => None,
        }
    }
}

fn with_a_short_value(auto_vacuum: bool, handles: usize) -> &'static Stage {
    Stage::new(options().slots(3).auto_vacuum(auto_vacuum), handles, |stores| {
        stores[0].set("k", [3; 8]).unwrap();
        stores[0].set("k", [1; 8]).unwrap();
    })
}

/// One is killed somewhere, two find his locks; the first of them may be killed over it.
fn deaths(auto_vacuum: bool) {
    let stage = with_a_short_value(auto_vacuum, 4);
    explore(stage, move || {
        let start = stage.store(0).region().journal_end();
        let deed = Deed::draw();
        let (first, second) = (
            thread_rng().gen_range(1..ACCESSES),
            thread_rng().gen_range(1..4 * ACCESSES),
        );
        let victim = spawn(move || mortal(stage.store(0), first, || deed.perform(stage.store(0))).is_some());
        // One reads, and then cleans up what is left of the dead.
        let cleaner = spawn(move || {
            let check = |store: &Store| {
                let found = store.get_vec(deed.key()).unwrap();
                assert!(
                    found == deed.before() || found == deed.after(),
                    "{deed:?}: neither old nor new: {found:?}"
                );
            };
            mortal(stage.store(1), second, || {
                check(stage.store(1));
                let _ = stage.writer(1).rescue_all();
                check(stage.store(1));
            })
            .is_some()
        });
        let survivor = spawn(move || {
            // May come before, between or behind.
            stage.store(2).set("other", value(5)).unwrap();
            let region = stage.store(2).region();
            let target = stage.store(2).target(deed.key().as_bytes());
            if let Some((slot, _)) = region.locate(&target) {
                let owner = region.slot(slot).lock.load(Ordering::Relaxed);
                let owner = crate::handles::Token::from_bits(owner);
                if owner.bits() != 0 && region.is_dead(stage.writer(2).me, owner) {
                    stage.writer(2).rescue(slot, owner).unwrap();
                }
            }
        });
        let is_done = join(victim);
        join(cleaner);
        join(survivor);
        stage.finish();
        let janitor = stage.store(3);
        stage.writer(3).clean_up().unwrap();
        for handle in 0..4 {
            assert_eq!(stage.locks_of(handle), 0);
        }
        let found = janitor.get_vec(deed.key()).unwrap();
        let is_changed = found == deed.after();
        assert!(
            is_changed || !is_done && found == deed.before(),
            "{deed:?}: neither old nor new: {found:?}"
        );
        // Each change at least once, and no gap before any of them.
        let kinds: Vec<_> = stage.journal_from(start).iter().map(|entry| entry.kind).collect();
        let kind = match deed {
            Deed::Overwrite => Change::Update,
            Deed::Insert => Change::Insert,
            Deed::Append => Change::Append,
            Deed::Unset => Change::Unset,
        };
        // The other key's insert is one too.
        let others = usize::from(kind == Change::Insert);
        let told = kinds.iter().filter(|&&told| told == kind).count();
        assert_eq!(told, others + usize::from(is_changed), "{deed:?}: {kinds:?}");
        assert_eq!(janitor.get_vec("other").unwrap().unwrap(), value(5));
        stage.assert_clean();
        // And life goes on.
        janitor.set("k", value(7)).unwrap();
        janitor.set("new", value(7)).unwrap();
        assert_eq!(janitor.unset("new").unwrap(), Some(16));
        stage.assert_clean();
    });
}

#[test]
fn whoever_dies_anywhere_leaves_old_or_new_and_a_journal_without_a_gap() {
    deaths(true);
}

#[test]
fn without_zeroing_too_whoever_dies_anywhere_leaves_old_or_new() {
    deaths(false);
}

#[test]
fn a_dead_owner_has_one_thief() {
    let stage = with_a_short_value(true, 3);
    explore(stage, move || {
        let deed = Deed::draw();
        let accesses = thread_rng().gen_range(1..ACCESSES);
        let victim = spawn(move || mortal(stage.store(0), accesses, || deed.perform(stage.store(0))));
        join(victim);
        let orphans = in_one_go(|| stage.locks_of(0)) as u64;
        let thieves = [1, 2].map(|handle| {
            spawn(move || {
                stage.store(handle).set("k", value(10 + handle as u8)).unwrap();
                stage.writer(handle).rescue_all().unwrap();
            })
        });
        join_all(thieves);
        stage.finish();
        assert_eq!(
            stage.store(1).region().header().repairs.load(Ordering::Relaxed),
            orphans
        );
        assert_eq!(stage.locks_of(0) + stage.locks_of(1) + stage.locks_of(2), 0);
        stage.writer(1).clean_up().unwrap();
        stage.assert_clean();
    });
}

/// Two wait for one key, and one for any change, while somebody changes the key.
fn sleepers(key: &'static str, since: u64, change: impl Fn(&Store) -> bool + Copy + Send + Sync + 'static) {
    let stage = Stage::new(options(), 4, |stores| assert!(stores[0].set("k", value(1)).is_ok()));
    explore(stage, move || {
        let start = stage.store(0).region().journal_end();
        let pollers = [0, 1]
            .map(|handle| spawn(move || assert!(stage.store(handle).poll_since(key, since, Duration::MAX).unwrap())));
        let follower = spawn(move || {
            let store = stage.store(2);
            assert!(
                store
                    .wait_for_entry(start, Duration::MAX, Duration::ZERO, || false)
                    .unwrap()
            );
        });
        let writer = spawn(move || assert!(change(stage.store(3))));
        // Anybody who is not woken sleeps for ever: shuttle finds a deadlock.
        join_all(pollers);
        join(follower);
        join(writer);
        stage.finish();
        stage.assert_clean();
    });
}

#[test]
fn nobody_who_sleeps_on_a_key_misses_its_overwrite() {
    sleepers("k", 2, |store| store.set("k", value(2)).is_ok());
}

#[test]
fn nobody_who_sleeps_on_a_key_misses_its_end() {
    sleepers("k", 2, |store| store.unset("k").is_ok());
}

#[test]
fn nobody_who_sleeps_for_an_absent_key_misses_its_coming() {
    sleepers("new", 0, |store| store.set("new", value(2)).is_ok());
}

#[test]
fn sleepers_are_told_at_the_end_of_a_slice_what_a_dead_writer_published() {
    let stage = with_a_short_value(true, 3);
    explore(stage, move || {
        let start = stage.store(0).region().journal_end();
        let before = in_one_go(|| stage.store(0).epoch("k").unwrap().unwrap());
        let accesses = thread_rng().gen_range(1..ACCESSES);
        let victim = spawn(move || mortal(stage.store(0), accesses, || stage.store(0).set("k", value(9)).unwrap()));
        let told = Arc::new(AtomicU32::new(0));
        let (poller_told, follower_told) = (told.clone(), told.clone());
        let poller = spawn(move || {
            assert!(stage.store(1).poll_since("k", before, Duration::MAX).unwrap());
            poller_told.fetch_add(1, Ordering::Relaxed);
        });
        let follower = spawn(move || {
            let store = stage.store(2);
            assert!(
                store
                    .wait_for_entry(start, Duration::MAX, Duration::ZERO, || false)
                    .unwrap()
            );
            follower_told.fetch_add(1, Ordering::Relaxed);
        });
        join(victim);
        let after = in_one_go(|| {
            stage
                .store(0)
                .region()
                .ctl(stage.store(0).region().slot_index(0).unwrap())
        });
        if after.epoch() & !1 == before {
            // Nothing was published, so somebody else must do it.
            stage.store(1).set("k", value(8)).unwrap();
        } else {
            while told.load(Ordering::Relaxed) < 2 {
                pass(SLICE);
                super::yield_now();
            }
        }
        join(poller);
        join(follower);
        stage.finish();
        stage.writer(1).clean_up().unwrap();
        stage.assert_clean();
    });
}

#[test]
fn everybody_who_comes_has_a_place_of_his_own_and_nobody_alive_seems_dead() {
    let stage = Stage::new(options(), 5, |stores| {
        // The first is to be dead, and two are to come anew.
        for store in &stores[1..3] {
            store.region().detach(token(store));
        }
    });
    explore(stage, move || {
        // The stage holds every place's byte.
        in_one_go(|| {
            for handle in 0..3 {
                let store = stage.store(handle);
                crate::sys::release_hold(store.region().life().unwrap(), token(store).index());
            }
        });
        let janitor = stage.writer(3).me;
        let gravediggers = [3, 4].map(|handle| {
            spawn(move || {
                let region = stage.store(handle).region();
                for dead in region.dead_handles(stage.writer(handle).me) {
                    region.bury(&dead);
                }
            })
        });
        let comers = [1, 2].map(|handle| {
            spawn(move || {
                let region = stage.store(handle).region();
                let mut tokens = Vec::new();
                for _ in 0..thread_rng().gen_range(0..20) {
                    super::yield_now();
                }
                let from_the_dead = handle == 1;
                for turn in 0..2 {
                    let mine = region.try_attach(from_the_dead).unwrap().expect("there is room");
                    let others = stage.store(4).region();
                    assert!(!others.is_dead(stage.writer(4).me, mine), "somebody alive seems dead");
                    tokens.push(mine);
                    if turn == 0 {
                        region.detach(mine);
                    }
                }
                assert!(!stage.store(4).region().is_dead(janitor, tokens[1]));
                tokens
            })
        });
        let tokens: Vec<Vec<_>> = comers.map(join).into();
        join_all(gravediggers);
        stage.finish();
        let (one, other) = (tokens[0][1], tokens[1][1]);
        assert_ne!(one.index(), other.index(), "two have one place");
        let all: BTreeSet<u64> = tokens.iter().flatten().map(|token| token.bits()).collect();
        assert_eq!(all.len(), 4, "a token was given twice");
        let region = stage.store(3).region();
        for token in [one, other] {
            assert!(!region.is_dead(stage.writer(3).me, token), "somebody alive was buried");
        }
        let taken = (0..HANDLES).filter(|&place| region.handle(place).incarnation.load(Ordering::Relaxed) != 0);
        assert!((4..=5).contains(&taken.count()));
        // Their places are free for the next execution.
        for (handle, token) in [(1, one), (2, other)] {
            stage.store(handle).region().detach(token);
        }
    });
}

#[test]
fn counters_and_appends_add_up() {
    let stage = Stage::new(options(), 3, |stores| {
        assert!(stores[0].set("n", 0_u64.to_le_bytes()).is_ok())
    });
    explore(stage, move || {
        let writers = [0, 1].map(|handle| {
            spawn(move || {
                for _ in 0..2 {
                    stage.store(handle).apply("n", Operation::Add(1_u64)).unwrap();
                    stage.store(handle).append("text", [handle as u8 + 1; 4]).unwrap();
                }
            })
        });
        let reader = spawn(move || {
            let (mut number, mut text) = (0, Vec::new());
            for _ in 0..3 {
                let bytes = stage.store(2).get_vec("n").unwrap().unwrap();
                let now = u64::from_le_bytes(bytes.try_into().unwrap());
                assert!(now >= number, "a counter went back");
                number = now;
                let now = stage.store(2).get_vec("text").unwrap().unwrap_or_default();
                assert!(now.starts_with(&text), "what was there is the start of what is");
                assert!(
                    now.chunks(4)
                        .all(|part| part.len() == 4 && part.iter().all(|&byte| byte == part[0]))
                );
                text = now;
            }
        });
        join_all(writers);
        join(reader);
        stage.finish();
        let store = stage.store(0);
        assert_eq!(store.get_vec("n").unwrap().unwrap(), 4_u64.to_le_bytes());
        let text = store.get_vec("text").unwrap().unwrap();
        for handle in [1, 2] {
            assert_eq!(text.iter().filter(|&&byte| byte == handle).count(), 8);
        }
        stage.assert_clean();
    });
}

#[test]
fn of_those_who_write_on_a_condition_one_wins() {
    let stage = Stage::new(options(), 2, |stores| assert!(stores[0].set("k", value(1)).is_ok()));
    explore(stage, move || {
        let writers = [0, 1].map(|handle| {
            spawn(move || {
                let absent = crate::SetOptions::new().if_absent();
                let same = crate::SetOptions::new().if_epoch(2);
                let is_written = |outcome: Outcome| usize::from(outcome.is_written());
                let store = stage.store(handle);
                let inserted = store.set_with("new", value(handle as u8), &absent).unwrap();
                let updated = store.set_with("k", value(handle as u8), &same).unwrap();
                (is_written(inserted), is_written(updated))
            })
        });
        let [one, other] = writers.map(join);
        stage.finish();
        assert_eq!((one.0 + other.0, one.1 + other.1), (1, 1));
        let winner = u8::from(other.0 == 1);
        assert_eq!(stage.store(0).get_vec("new").unwrap().unwrap(), value(winner));
        stage.assert_clean();
    });
}
