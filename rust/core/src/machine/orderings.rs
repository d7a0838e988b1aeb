//! What must hold in the language's memory model, whatever the schedule. Loom goes through both.

use std::time::Duration;

use super::stage::{Stage, explore, join, mortal, number_of, options, spawn, value};
use crate::handles::Token;
use crate::journal::{BATCH, Read};
use crate::sync::Ordering;
use crate::{Operation, Store};

/// Accesses at which a scenario is played anew, where one is killed before it begins.
const ACCESSES: u32 = 60;

const HOUR: Duration = Duration::from_secs(3600);

fn one_key(auto_vacuum: bool, handles: usize) -> &'static Stage {
    Stage::new(options().slots(1).auto_vacuum(auto_vacuum), handles, |stores| {
        stores[0].set("k", value(1)).unwrap();
        stores[0].set("k", value(2)).unwrap();
    })
}

/// Every task is a spawned one: with one of them on the first task loom misses orders.
fn reader_and_writer(auto_vacuum: bool, writes: u8, preemptions: usize) {
    let stage = one_key(auto_vacuum, 2);
    let first = stage.store(0).epoch("k").unwrap().unwrap();
    explore(preemptions, stage, move || {
        let writer = spawn(move || {
            for number in 3..3 + writes {
                stage.store(1).set("k", value(number)).unwrap();
            }
        });
        let reader = spawn(move || {
            let entry = stage.store(0).get_entry("k").unwrap().expect("it is never gone");
            let number = u64::from(number_of(&entry.value));
            assert_eq!(
                entry.epoch,
                first + 2 * (number - 2),
                "a version that was not published"
            );
        });
        join(writer);
        join(reader);
        stage.finish();
        stage.assert_clean();
    });
}

#[test]
fn a_reader_never_sees_a_buffer_that_is_zeroed() {
    reader_and_writer(true, 1, 2);
}

#[test]
fn a_reader_never_sees_a_buffer_that_is_filled_anew() {
    reader_and_writer(false, 2, 2);
}

#[test]
fn whoever_finds_a_new_key_finds_its_value() {
    let stage = Stage::new(options().slots(1), 2, |_| ());
    explore(2, stage, move || {
        let writer = spawn(move || assert!(stage.store(1).set("k", value(3)).is_ok()));
        let reader = spawn(move || {
            if let Some(value) = stage.store(0).get_vec("k").unwrap() {
                assert_eq!(number_of(&value), 3);
            }
        });
        join(writer);
        join(reader);
        stage.finish();
        stage.assert_clean();
    });
}

#[test]
fn a_reader_never_takes_one_key_for_another() {
    let stage = one_key(true, 2);
    explore(2, stage, move || {
        let writer = spawn(move || {
            stage.store(1).unset("k").unwrap().expect("it is there");
            stage.store(1).set("l", value(100)).unwrap();
        });
        let reader = spawn(move || {
            if let Some(value) = stage.store(0).get_vec("k").unwrap() {
                assert_eq!(number_of(&value), 2);
            }
        });
        join(writer);
        join(reader);
        stage.finish();
        stage.assert_clean();
    });
}

#[test]
fn what_one_owner_of_a_lock_did_the_next_one_sees() {
    let stage = Stage::new(options().slots(1).max_value_bytes(8), 2, |stores| {
        stores[0].set("n", 0_u64.to_le_bytes()).unwrap();
    });
    explore(1, stage, move || {
        let tasks = [0, 1].map(|handle| spawn(move || stage.store(handle).apply("n", Operation::Add(1_u64)).unwrap()));
        let mut results = tasks.map(join);
        results.sort_unstable();
        assert_eq!(results, [1, 2]);
        stage.finish();
        stage.assert_clean();
    });
}

#[test]
fn a_follower_that_sees_an_entry_sees_its_change() {
    let stage = one_key(true, 2);
    let start = stage.store(0).region().journal_end();
    let first = stage.store(0).epoch("k").unwrap().unwrap();
    explore(2, stage, move || {
        let writer = spawn(move || assert!(stage.store(1).set("k", value(3)).is_ok()));
        let follower = spawn(move || {
            let mut words = [0; BATCH];
            if let Read::Entries(1) = stage.store(0).region().read_journal(start, &mut words) {
                let entry = stage.store(0).get_entry("k").unwrap().expect("it is never gone");
                assert_eq!((number_of(&entry.value), entry.epoch), (3, first + 2));
            }
        });
        join(writer);
        join(follower);
        stage.finish();
        assert_eq!(stage.journal_from(start).len(), 1);
    });
}

#[test]
fn two_who_append_to_the_journal_leave_no_gap_and_lose_nothing() {
    let stage = Stage::new(options(), 2, |stores| {
        stores[0].set("a", value(1)).unwrap();
        stores[0].set("b", value(1)).unwrap();
        // The next entries advance the hint and begin a new lap.
        for number in 2..62 {
            stores[0].set("a", value(number)).unwrap();
        }
    });
    let start = stage.store(0).region().journal_end();
    explore(3, stage, move || {
        let tasks = [0, 1].map(|handle| {
            spawn(move || {
                let region = stage.store(handle).region();
                let slot = region.slot_index(handle as u32).expect("there are two");
                for sequence in 100..102 {
                    region.append_to_journal(slot, crate::journal::Change::Update, sequence);
                }
            })
        });
        tasks.into_iter().for_each(join);
        stage.finish();
        let entries = stage.journal_from(start);
        for slot in 0..2 {
            let sequences = entries
                .iter()
                .filter(|entry| entry.slot.get() == slot)
                .map(|entry| entry.sequence_near(0));
            assert!(sequences.eq(100..102), "{entries:?}");
        }
    });
}

fn sleeper(key: &'static str, wait: impl Fn(&Store) -> bool + Copy + Send + Sync + 'static) {
    let stage = Stage::new(options(), 2, |stores| assert!(stores[0].set("k", value(1)).is_ok()));
    explore(2, stage, move || {
        let sleeper = spawn(move || assert!(wait(stage.store(0))));
        let writer = spawn(move || assert!(stage.store(1).set(key, value(2)).is_ok()));
        // A sleeper who is not woken sleeps for ever, which is a deadlock to loom.
        join(sleeper);
        join(writer);
        stage.finish();
        stage.assert_clean();
    });
}

#[test]
fn nobody_who_sleeps_on_a_key_misses_its_change() {
    sleeper("k", |store| store.poll_since("k", 2, Duration::MAX).unwrap());
}

#[test]
fn nobody_who_sleeps_for_an_absent_key_misses_its_coming() {
    sleeper("new", |store| store.poll_since("new", 0, Duration::MAX).unwrap());
}

#[test]
fn nobody_who_sleeps_at_the_end_of_the_journal_misses_an_entry() {
    sleeper("k", |store| {
        store
            .wait_for_entry(1, Duration::MAX, Duration::ZERO, || false)
            .unwrap()
    });
}

#[test]
fn a_reader_beside_one_who_takes_over_from_the_dead_sees_old_or_new() {
    for accesses in 1..ACCESSES {
        let mut is_done = false;
        let stage = Stage::new(options().slots(1).auto_vacuum(false), 3, |stores| {
            stores[0].set("k", value(1)).unwrap();
            stores[0].set("k", value(2)).unwrap();
            is_done = mortal(&stores[1], accesses, || stores[1].set("k", value(3)).unwrap()).is_some();
        });
        // Only where the victim has died holding a lock there is something to take over.
        let region = stage.store(0).region();
        let slot = region.slot_index(0).expect("there is one");
        let orphan = region.slot(slot).lock.load(Ordering::Relaxed);
        if is_done || orphan == 0 {
            continue;
        }
        explore(2, stage, move || {
            let janitor = spawn(move || {
                let owner = Token::from_bits(orphan);
                stage.writer(2).rescue(slot, owner).unwrap();
            });
            let reader = spawn(move || {
                let value = stage.store(0).get_vec("k").unwrap().expect("it is never gone");
                assert!([2, 3].contains(&number_of(&value)), "{value:?}");
            });
            join(janitor);
            join(reader);
            stage.finish();
            stage.assert_clean();
        });
    }
}

#[test]
fn a_reader_never_sees_a_buffer_that_is_purged() {
    let stage = one_key(false, 2);
    explore(2, stage, move || {
        let writer = spawn(move || {
            stage.store(1).set("k", value(3)).unwrap();
            stage.store(1).purge().unwrap();
        });
        let reader = spawn(move || {
            let value = stage.store(0).get_vec("k").unwrap().expect("it is never gone");
            assert!([2, 3].contains(&number_of(&value)), "{value:?}");
        });
        join(writer);
        join(reader);
        stage.finish();
        stage.assert_clean();
    });
}

#[test]
fn whoever_sees_that_a_key_has_a_deadline_sees_which() {
    let stage = one_key(true, 2);
    explore(2, stage, move || {
        let writer = spawn(move || assert!(stage.store(1).expire("k", HOUR).unwrap()));
        let reader = spawn(move || assert!(stage.store(0).contains("k").unwrap(), "it seems to be over"));
        join(writer);
        join(reader);
        stage.finish();
        stage.assert_clean();
    });
}

#[test]
fn no_deadline_is_forgotten_beside_a_sweep() {
    let stage = Stage::new(options().slots(1), 2, |stores| {
        stores[0].set("k", value(1)).unwrap();
        // So that the sweep looks.
        stores[0].region().header().next_deadline.store(0, Ordering::Relaxed);
    });
    explore(2, stage, move || {
        let writer = spawn(move || assert!(stage.store(1).expire("k", HOUR).unwrap()));
        let sweeper = spawn(move || assert_eq!(stage.store(0).sweep(), Ok(0)));
        join(writer);
        join(sweeper);
        stage.finish();
        let region = stage.store(0).region();
        let slot = region.slot_index(0).expect("there is one");
        let deadline = region.deadline(slot, region.ctl(slot).buffer());
        assert!(
            region.header().next_deadline.load(Ordering::Relaxed) <= deadline,
            "nobody will look in time"
        );
    });
}

#[test]
fn a_label_that_is_named_anew_has_one_name_or_the_other() {
    let names = ["one one one one ", "two two two two "];
    let stage = Stage::new(options(), 2, |stores| stores[0].name_label(0, names[0]).unwrap());
    explore(2, stage, move || {
        let writer = spawn(move || stage.store(1).name_label(0, names[1]).unwrap());
        let reader = spawn(move || {
            let found = stage.store(0).label_names().unwrap();
            assert_eq!(found.len(), 1);
            assert!(names.contains(&found[0].1.as_str()), "{found:?}");
        });
        join(writer);
        join(reader);
        stage.finish();
    });
}

#[test]
fn a_reader_never_sees_a_buffer_that_is_zeroed_for_the_dead() {
    let prepared = || {
        Stage::new(options().slots(1), 3, |stores| {
            stores[0].set("k", [1; 8]).unwrap();
        })
    };
    let append = |stage: &'static Stage, accesses| {
        let store = stage.store(1);
        mortal(store, accesses, || store.append("k", [1; 8]).unwrap()).is_none()
    };
    let is_locked = |stage: &'static Stage| {
        let region = stage.store(0).region();
        let slot = region.slot_index(0).expect("there is one");
        let orphan = region.slot(slot).lock.load(Ordering::Relaxed);
        (orphan != 0).then_some((slot, Token::from_bits(orphan)))
    };
    let mut explored = 0;
    for accesses in 1..ACCESSES {
        let rehearsed = prepared();
        let before = rehearsed.store(0).epoch("k").unwrap();
        let dies_later = append(rehearsed, accesses) && rehearsed.store(0).epoch("k").unwrap() != before;
        if !(dies_later && is_locked(rehearsed).is_some()) {
            continue;
        }
        explored += 1;
        let stage = prepared();
        explore(2, stage, move || {
            // One after the other: that a death is proved comes after whatever the dead did.
            let dead_and_janitor = spawn(move || {
                append(stage, accesses);
                if let Some((slot, owner)) = is_locked(stage) {
                    stage.writer(2).rescue(slot, owner).unwrap();
                }
            });
            let reader = spawn(move || {
                let value = stage.store(0).get_vec("k").unwrap().expect("it is never gone");
                assert!(
                    matches!(value.len(), 8 | 16) && value.iter().all(|&byte| byte == 1),
                    "{value:?}"
                );
            });
            join(dead_and_janitor);
            join(reader);
            stage.finish();
            stage.writer(2).clean_up().unwrap();
            stage.assert_clean();
        });
    }
    assert!(explored > 0, "nobody died between publishing and unlocking");
}
