//! What works on files, killed at each of its system calls: there is no store, or a whole one, and nothing else is left.
//!
//! Between two of its calls such an operation changes only what is still its own, or what `kills.rs` looks at. By default
//! each is killed at every sixth of its calls; `SPLINTER_TEST_POINTS` is that number.

#[path = "common/process.rs"]
mod process;
#[path = "common/trace.rs"]
mod trace;
#[path = "common/tries.rs"]
mod tries;

use std::path::{Path, PathBuf};

use splinter::{OpenOptions, Store};
use tempfile::TempDir;
use trace::{lead, stay_on_one_processor};
use tries::{number, tried};

/// Where a store says in which boot of the machine it was made or recovered.
const BOOT_ID_AT: usize = 136;

/// An operation on a store that lies, or is to lie, at a path.
struct Killed {
    name: &'static str,
    prepare: fn(&Path),
    act: fn(&Path),
    /// Fails if what is left is not as it must be.
    look: fn(&Path),
}

fn options() -> OpenOptions {
    OpenOptions::new().slots(8).max_value_bytes(256).journal_entries(64)
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_os_string();
    path.push(suffix);
    path.into()
}

fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A store with a value that was synced, and one that was not.
fn make(path: &Path) {
    let store = options().create(path).unwrap();
    store.set("synced", "long ago").unwrap();
    store.set("k", "synced").unwrap();
    store.sync().unwrap();
    store.set("k", "newer").unwrap();
}

/// The machine starts anew, and has lost nothing that was written.
fn restart(path: &Path) {
    let mut region = std::fs::read(path).unwrap();
    region[BOOT_ID_AT..BOOT_ID_AT + 16].fill(0x5a);
    std::fs::write(path, region).unwrap();
}

/// All is there, and nobody else is.
fn assert_all_there(store: &Store) {
    assert_eq!(store.get_vec("synced").unwrap().unwrap(), b"long ago");
    assert_eq!(store.get_vec("k").unwrap().unwrap(), b"newer");
    assert_eq!(store.attached().unwrap().len(), 1);
    assert_clean(store);
}

fn assert_clean(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

/// All is there, now and after a restart, and others go on.
fn assert_made(path: &Path) {
    assert_all_there(&options().open(path).unwrap());
    restart(path);
    let store = options().open(path).unwrap();
    assert_all_there(&store);
    store.sync().unwrap();
    drop(store);
    restart(path);
    assert_all_there(&options().open(path).unwrap());
}

const OPERATIONS: &[Killed] = &[
    Killed {
        name: "create",
        prepare: |_| {},
        act: |path| drop(options().create(path).unwrap()),
        look: |path| {
            let names = names(path);
            assert!(names.is_empty() || names == ["s"], "{names:?}");
            if !names.is_empty() {
                let store = options().open(path).unwrap();
                assert_eq!(store.keys().count(), 0);
                assert_clean(&store);
            }
            let store = options().create_or_open(path).unwrap();
            store.set("k", "v").unwrap();
            assert_eq!(store.get_vec("k").unwrap().unwrap(), b"v");
        },
    },
    Killed {
        name: "open and close",
        prepare: make,
        act: |path| drop(options().open(path).unwrap()),
        look: assert_made,
    },
    Killed {
        name: "sync for the first time",
        prepare: |path| {
            let store = options().create(path).unwrap();
            store.set("synced", "long ago").unwrap();
            store.set("k", "newer").unwrap();
        },
        act: |path| options().open(path).unwrap().sync().unwrap(),
        look: |path| {
            assert_all_there(&options().open(path).unwrap());
            // A first sync that did not come to its end has promised nothing for the time after a restart.
            restart(path);
            let store = options().open(path).unwrap();
            assert_clean(&store);
            for (key, value) in [("synced", "long ago"), ("k", "newer")] {
                let found = store.get_vec(key).unwrap();
                assert!(
                    found.is_none_or(|found| found == value.as_bytes()),
                    "{key} is a mixture"
                );
                store.set(key, value).unwrap();
            }
            store.sync().unwrap();
            drop(store);
            assert_made(path);
        },
    },
    Killed {
        name: "sync",
        prepare: make,
        act: |path| options().open(path).unwrap().sync().unwrap(),
        look: assert_made,
    },
    Killed {
        name: "recover",
        prepare: |path| {
            make(path);
            restart(path);
        },
        act: |path| assert!(options().open(path).unwrap().recovery().is_some()),
        look: assert_made,
    },
    Killed {
        name: "back up",
        prepare: make,
        act: |path| options().open(path).unwrap().backup(sibling(path, ".copy")).unwrap(),
        look: |path| {
            let copy = sibling(path, ".copy");
            if copy.exists() {
                let store = options().open(&copy).unwrap();
                assert_eq!(store.get_vec("k").unwrap().unwrap(), b"newer");
                assert_eq!(store.keys().count(), 2);
                assert_clean(&store);
                std::fs::remove_file(copy).unwrap();
            }
            assert_eq!(names(path), ["s", "s.checkpoint"]);
            assert_made(path);
        },
    },
    Killed {
        name: "remove",
        prepare: make,
        act: |path| Store::remove(path).unwrap(),
        look: |path| {
            if path.exists() {
                assert_made(path);
                return;
            }
            let store = options().create(path).unwrap();
            assert_eq!(store.keys().count(), 0);
            store.set("k", "of another store").unwrap();
            drop(store);
            // What is left of the one before is none of its business.
            restart(path);
            let store = options().open(path).unwrap();
            assert_eq!(store.keys().count(), 1);
            store.sync().unwrap();
        },
    },
];

#[test]
fn what_works_on_files_leaves_no_store_or_a_whole_one_wherever_it_is_killed() {
    stay_on_one_processor();
    let distance = number("SPLINTER_TEST_POINTS").unwrap_or(6) as usize;
    let mut kills = 0;
    for operation in OPERATIONS {
        let Killed {
            name,
            prepare,
            act,
            look,
        } = operation;
        for calls in (name.len() % distance..).step_by(distance) {
            let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let path = &directory.path().join("s");
            prepare(path);
            let mut victim = lead(|_| path.clone(), |path| act(path));
            for _ in 0..calls {
                if victim.turns() == 0 {
                    victim.step_call();
                }
            }
            let is_over = victim.turns() > 0;
            drop(victim);
            let what = std::panic::catch_unwind(|| look(path));
            assert!(what.is_ok(), "{name}, killed after {calls} calls");
            kills += 1;
            if is_over {
                break;
            }
        }
    }
    tried(kills, "kills at a system call");
}
