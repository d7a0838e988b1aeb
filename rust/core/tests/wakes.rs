//! No wake is lost, wherever sleeper and writer meet: one of them is led through its instructions one by one, and at each
//! the other does all that it has to do.
//!
//! Sleepers sleep without a limit here: the slices in which the store sleeps would hide what is lost.

#[path = "common/calls.rs"]
mod calls;
#[path = "common/process.rs"]
mod process;
#[path = "common/trace.rs"]
mod trace;
#[path = "common/tries.rs"]
mod tries;

use std::path::Path;
use std::time::Duration;

use calls::{Others, count_calls, waits};
use splinter::{OpenOptions, Store};
use tempfile::tempdir;
use trace::{Led, Place, lead, stay_on_one_processor, stop};
use tries::{number, tried};

const PATIENCE: Duration = Duration::from_secs(60);

/// A change of "k" that somebody sleeps for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Overwrite,
    Insert,
    Unset,
}

impl Change {
    /// Makes the store what it is before the change.
    fn prepare(self, store: &Store) {
        match self {
            Self::Overwrite | Self::Unset => drop(store.set("k", "before").unwrap()),
            Self::Insert => drop(store.unset("k").unwrap()),
        }
    }

    fn make(self, store: &Store) {
        match self {
            Self::Overwrite | Self::Insert => drop(store.set("k", "changed").unwrap()),
            Self::Unset => assert!(store.unset("k").unwrap().is_some()),
        }
    }
}

const CHANGES: [Change; 3] = [Change::Overwrite, Change::Insert, Change::Unset];

/// A way to sleep until "k" changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sleep {
    Poll,
    Follow,
}

/// A sleeper whose turn is to wait for the next change after the one that it has seen last. It stops in between.
fn sleeper(path: &Path, sleep: Sleep) -> Led {
    lead(
        |page| {
            let store = OpenOptions::new().spin(Duration::ZERO).open(path).unwrap();
            count_calls(page, Others::Allowed);
            store
        },
        move |store| match sleep {
            Sleep::Poll => {
                let epoch = store.epoch("k").unwrap().unwrap_or(0);
                stop();
                assert!(store.poll_since("k", epoch, PATIENCE).unwrap());
            }
            Sleep::Follow => {
                let mut changes = store.changes().unwrap();
                stop();
                changes.next().unwrap().unwrap();
            }
        },
    )
}

/// Lets a sleeper see the last change, from which on it must not miss one.
fn look(sleeper: &mut Led) {
    sleeper.go_on();
    assert_eq!(sleeper.wait(), Place::Start);
}

/// Lets a sleeper that has looked go to sleep, which it does, for nothing changes.
fn fall_asleep(sleeper: &mut Led) {
    let before = waits(sleeper.page());
    sleeper.go_on();
    assert!(!sleeper.settle(|page| waits(page) > before));
}

/// Whether a sleeper that slept does so no longer.
fn is_awake(sleeper: &mut Led) -> bool {
    sleeper.settle(|_| true)
}

/// A store whose changes take few instructions: it does not erase what is replaced.
fn small_store(path: &Path) -> Store {
    OpenOptions::new()
        .slots(4)
        .max_value_bytes(8)
        .auto_vacuum(false)
        .create(path)
        .unwrap()
}

const MEETINGS: &str = "meetings of a sleeper and a change, instruction by instruction";

/// Between how many instructions the other party acts where it matters: 1 for each of them.
fn stride() -> usize {
    number("SPLINTER_TEST_POINTS").map_or(3, |points| points as usize)
}

fn changes_while_going_to_sleep(sleep: Sleep) {
    stay_on_one_processor();
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let store = small_store(&path);
    let mut meetings = 0;
    for change in CHANGES {
        let (mut first, mut second) = (sleeper(&path, sleep), sleeper(&path, sleep));
        let mut is_asleep = false;
        for steps in (1..).step_by(stride()) {
            meetings += 1;
            change.prepare(&store);
            look(&mut first);
            fall_asleep(&mut first);
            look(&mut second);
            let before = waits(second.page());
            is_asleep = (0..steps).any(|_| matches!(second.step(), Place::Signal(_)));
            change.make(&store);
            assert!(
                is_awake(&mut first),
                "{change:?} at instruction {steps} of another's going to sleep"
            );
            // The word that is slept on looks again as it did before the change.
            look(&mut first);
            fall_asleep(&mut first);
            second.go_on();
            assert!(
                second.settle(|page| waits(page) > before),
                "{change:?} at instruction {steps} was missed"
            );
            store.set("k", "again").unwrap();
            assert!(is_awake(&mut first), "after {change:?} at instruction {steps}");
            if is_asleep {
                break;
            }
        }
        assert!(is_asleep);
    }
    tried(meetings, MEETINGS);
}

#[test]
fn a_change_at_any_instruction_of_going_to_sleep_in_poll_is_not_missed() {
    changes_while_going_to_sleep(Sleep::Poll);
}

#[test]
fn a_change_at_any_instruction_of_going_to_sleep_in_a_feed_is_not_missed() {
    changes_while_going_to_sleep(Sleep::Follow);
}

/// Who waits for the change when it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    /// The one who came meanwhile, asleep.
    Alone,
    /// One who slept before, and the one who came, asleep.
    BothAsleep,
    /// One who slept before, and the one who came, one instruction away from sleep.
    AsleepAndAlmost,
}

const COMPANIES: [Company; 3] = [Company::Alone, Company::BothAsleep, Company::AsleepAndAlmost];

/// Between how many instructions it is tried as long as nothing shows of a change.
const FAR: usize = 32;

fn sleepers_who_come_while_it_changes(sleep: Sleep) {
    stay_on_one_processor();
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let store = small_store(&path);
    // What the other takes for old when it comes: the key's state, or the journal's end.
    let state = || match sleep {
        Sleep::Poll => store.epoch("k").unwrap().map(|epoch| epoch >> 1),
        Sleep::Follow => Some(store.header_snapshot().unwrap().epoch),
    };
    let mut meetings = 0;
    for (change, company) in CHANGES
        .into_iter()
        .flat_map(|change| COMPANIES.map(|company| (change, company)))
    {
        let mut writer = lead(|_| Store::open(&path).unwrap(), |store| change.make(store));
        let (mut first, mut second) = (sleeper(&path, sleep), sleeper(&path, sleep));
        let mut steps = 0;
        let mut distance = FAR;
        let mut is_over = false;
        while !(is_over && distance < FAR) {
            steps += distance;
            meetings += 1;
            change.prepare(&store);
            if company != Company::Alone {
                look(&mut first);
                fall_asleep(&mut first);
            }
            let old = state();
            let turns = writer.turns();
            is_over = (0..steps).any(|_| {
                writer.step();
                writer.turns() > turns
            });
            let is_seen = state() != old;
            let before = waits(second.page());
            look(&mut second);
            if company == Company::AsleepAndAlmost {
                second.go_on();
                assert_eq!(second.wait(), Place::Signal(libc::SIGSYS));
            } else {
                fall_asleep(&mut second);
            }
            writer.finish();
            if company != Company::Alone {
                assert!(
                    is_awake(&mut first),
                    "by {change:?}, with another coming at instruction {steps}"
                );
            }
            if company == Company::AsleepAndAlmost {
                second.go_on();
            }
            let is_woken = second.settle(|page| waits(page) > before);
            assert_eq!(
                is_woken, !is_seen,
                "by {change:?}, to which it came at instruction {steps}: {company:?}"
            );
            if is_seen {
                store.set("k", "again").unwrap();
                assert!(
                    is_awake(&mut second),
                    "after {change:?}, to which it came at instruction {steps}"
                );
            }
            // From the last step on that did not show, every instruction matters.
            if is_seen && distance == FAR {
                steps -= FAR;
                distance = if company == Company::BothAsleep {
                    4 * stride()
                } else {
                    stride()
                };
            }
        }
    }
    tried(meetings, MEETINGS);
}

#[test]
fn who_comes_to_poll_at_any_instruction_of_a_change_is_woken_by_it_or_by_the_next() {
    sleepers_who_come_while_it_changes(Sleep::Poll);
}

#[test]
fn who_comes_to_follow_at_any_instruction_of_a_change_is_woken_by_it_or_by_the_next() {
    sleepers_who_come_while_it_changes(Sleep::Follow);
}
