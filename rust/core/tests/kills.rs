//! Operations that are killed at an instruction: everybody else sees the old state or the new one, whole, and goes on.
//!
//! What a kill at each instruction leaves is recorded in one go (`common/trail.rs`), and all of it is looked at: of every
//! operation, in sterile mode and in throughput mode, in shared memory and in a file on a disk. Some of those who repair what
//! such a kill left are killed at each of their instructions too, and some children are really killed by the kernel at
//! their instruction: at every so many-th of those that change what is shared. `SPLINTER_TEST_POINTS` says at which, 1 being
//! all; `SPLINTER_TEST_STRIDE` has children really killed after every so many instructions, whatever they do.

#[path = "common/bytes.rs"]
mod bytes;
#[path = "common/process.rs"]
mod process;
#[path = "common/trace.rs"]
mod trace;
#[path = "common/trail.rs"]
mod trail;
#[path = "common/tries.rs"]
mod tries;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{NEXT_DEADLINE_AT, SWEEPER_AT};
use process::fork;
use splinter::{
    Change, Changes, Eviction, OpenOptions, Operation, Pattern, SetOptions, Store, ValueType, ValueView, WatchOptions,
};
use tempfile::TempDir;
use trace::{Led, lead, stay_on_one_processor};
use trail::{Shared, Trail};
use tries::{number, tried};

const BEFORE: &str = "before everything";
const OLD: &str = "the OLD value, 27 bytes long";
const NEW: &str = "some NEW bytes instead of those that were";
/// Values that are copied in many steps.
const LONG_OLD: [u8; 300] = long(1);
const LONG_NEW: [u8; 300] = long(128);
const LONGEST_BYTES: u32 = 320;
const SLOTS: u32 = 4;
/// Enough that the index has more than one chunk.
const SLOTS_OF_CHUNKS: u32 = 16;
const CHUNK_CELLS: usize = 12;
const JOURNAL_ENTRIES: u32 = 64;
/// Every key that operations have to do with, other than those that fill up the index.
const KEYS: &[&str] = &["k", "soon", "x", "y", "new", "a", "b", "other", "stays"];
const FAR: Duration = Duration::from_secs(1000);
const FARTHER: Duration = Duration::from_secs(2000);
const AT_ONCE: Duration = Duration::from_nanos(1);

/// What one step of an operation is to tell in the feed: a kind, and of which key.
type Told = (&'static str, &'static str);

/// A step, as an operation that comes to the same, and what it is to tell.
type Step = (fn(&Store), &'static [Told]);

/// An operation, and the steps of which it consists, as other operations that come to the same.
struct Killed {
    name: &'static str,
    prepare: fn(&Store),
    act: fn(&Store),
    steps: &'static [Step],
}

/// Takes what a call returns, whatever it is.
fn done<T>(_: T) {}

fn set_with(store: &Store, key: &str, value: &str, options: SetOptions) {
    assert!(store.set_with(key, value, &options).unwrap().is_written());
}

fn old(store: &Store) {
    store.set("k", OLD).unwrap();
}

fn due(store: &Store) {
    set_with(store, "k", OLD, SetOptions::new().ttl(AT_ONCE));
}

fn fill(store: &Store) {
    set_with(store, "k", OLD, SetOptions::new().ttl(FARTHER));
    set_with(store, "soon", "goes first", SetOptions::new().ttl(FAR));
    for key in ["x", "y"] {
        store.set(key, "stays").unwrap();
    }
}

const SET_MANY: &[Step] = &[
    (|store| done(store.set("a", "1").unwrap()), &[("set", "a")]),
    (|store| done(store.set("k", NEW).unwrap()), &[("set", "k")]),
    (|store| done(store.set("b", "3").unwrap()), &[("set", "b")]),
];

const OPERATIONS: &[Killed] = &[
    Killed {
        name: "set a new key",
        prepare: |store| done(store.unset("k").unwrap()),
        act: |store| done(store.set("k", NEW).unwrap()),
        steps: &[(|store| done(store.set("k", NEW).unwrap()), &[("set", "k")])],
    },
    Killed {
        name: "set another value",
        prepare: old,
        act: |store| done(store.set("k", NEW).unwrap()),
        steps: &[(|store| done(store.set("k", NEW).unwrap()), &[("set", "k")])],
    },
    Killed {
        name: "set a shorter value",
        prepare: old,
        act: |store| done(store.set("k", "").unwrap()),
        steps: &[(|store| done(store.set("k", "").unwrap()), &[("set", "k")])],
    },
    Killed {
        name: "unset",
        prepare: old,
        act: |store| done(store.unset("k").unwrap()),
        steps: &[(|store| done(store.unset("k").unwrap()), &[("unset", "k")])],
    },
    Killed {
        name: "set a new key to a long value",
        prepare: |store| done(store.unset("k").unwrap()),
        act: |store| done(store.set("k", LONG_NEW).unwrap()),
        steps: &[(|store| done(store.set("k", LONG_NEW).unwrap()), &[("set", "k")])],
    },
    Killed {
        name: "set another long value",
        prepare: |store| done(store.set("k", LONG_OLD).unwrap()),
        act: |store| done(store.set("k", LONG_NEW).unwrap()),
        steps: &[(|store| done(store.set("k", LONG_NEW).unwrap()), &[("set", "k")])],
    },
    Killed {
        name: "append to a long value",
        prepare: |store| done(store.set("k", LONG_OLD).unwrap()),
        act: |store| done(store.append("k", " and more").unwrap()),
        steps: &[(
            |store| done(store.append("k", " and more").unwrap()),
            &[("appended", "k")],
        )],
    },
    Killed {
        name: "unset a long value",
        prepare: |store| done(store.set("k", LONG_OLD).unwrap()),
        act: |store| done(store.unset("k").unwrap()),
        steps: &[(|store| done(store.unset("k").unwrap()), &[("unset", "k")])],
    },
    Killed {
        name: "set if it has an epoch",
        prepare: old,
        act: |store| {
            let epoch = store.epoch("k").unwrap().unwrap();
            set_with(store, "k", NEW, SetOptions::new().if_epoch(epoch));
        },
        steps: &[(|store| done(store.set("k", NEW).unwrap()), &[("set", "k")])],
    },
    Killed {
        name: "set if it does not have an epoch",
        prepare: old,
        act: |store| {
            let outcome = store.set_with("k", NEW, &SetOptions::new().if_epoch(2)).unwrap();
            assert!(!outcome.is_written());
        },
        steps: &[],
    },
    Killed {
        name: "attach and detach",
        prepare: old,
        act: |store| drop(Store::open(store.path()).unwrap()),
        steps: &[],
    },
    Killed {
        name: "set many where the journal begins anew",
        prepare: |store| {
            while store.changes().unwrap().position() % u64::from(JOURNAL_ENTRIES) != u64::from(JOURNAL_ENTRIES) - 2 {
                old(store);
            }
        },
        act: |store| store.set_many(&[("a", "1"), ("k", NEW), ("b", "3")]).unwrap(),
        steps: SET_MANY,
    },
    Killed {
        name: "evict what was not used",
        prepare: |store| {
            fill(store);
            store.set_eviction(Eviction::Lru).unwrap();
        },
        act: |store| done(store.set("new", NEW).unwrap()),
        steps: &[
            (|store| done(store.unset("k").unwrap()), &[("evicted", "k")]),
            (|store| done(store.set("new", NEW).unwrap()), &[("set", "new")]),
        ],
    },
    Killed {
        name: "append",
        prepare: old,
        act: |store| done(store.append("k", " and more").unwrap()),
        steps: &[(
            |store| done(store.append("k", " and more").unwrap()),
            &[("appended", "k")],
        )],
    },
    Killed {
        name: "append to what was appended to",
        prepare: |store| {
            store.expire("k", FAR).unwrap();
            store.append("k", " more").unwrap();
        },
        act: |store| done(store.append("k", " and more").unwrap()),
        steps: &[(
            |store| done(store.append("k", " and more").unwrap()),
            &[("appended", "k")],
        )],
    },
    Killed {
        name: "set what was appended to",
        prepare: |store| done(store.append("k", " and more").unwrap()),
        act: |store| done(store.set("k", NEW).unwrap()),
        steps: &[(|store| done(store.set("k", NEW).unwrap()), &[("set", "k")])],
    },
    Killed {
        name: "append to nothing",
        prepare: |store| done(store.unset("k").unwrap()),
        act: |store| done(store.append("k", NEW).unwrap()),
        steps: &[(|store| done(store.append("k", NEW).unwrap()), &[("set", "k")])],
    },
    Killed {
        name: "apply",
        prepare: |store| set_with(store, "k", "8 bytes!", SetOptions::new().ttl(FAR)),
        act: |store| done(store.apply("k", Operation::Add(1_u64)).unwrap()),
        steps: &[(
            |store| done(store.apply("k", Operation::Add(1_u64)).unwrap()),
            &[("set", "k")],
        )],
    },
    Killed {
        name: "set with a deadline",
        prepare: old,
        act: |store| {
            let options = SetOptions::new().if_present().ttl(FAR).value_type(ValueType::Text);
            set_with(store, "k", NEW, options);
        },
        steps: &[(
            |store| set_with(store, "k", NEW, SetOptions::new().ttl(FAR).value_type(ValueType::Text)),
            &[("set", "k")],
        )],
    },
    Killed {
        name: "insert with a deadline",
        prepare: |store| done(store.unset("k").unwrap()),
        act: |store| set_with(store, "k", NEW, SetOptions::new().if_absent().ttl(FAR)),
        steps: &[(
            |store| set_with(store, "k", NEW, SetOptions::new().ttl(FAR)),
            &[("set", "k")],
        )],
    },
    Killed {
        name: "unset if it has an epoch",
        prepare: old,
        act: |store| {
            let epoch = store.epoch("k").unwrap().unwrap();
            assert!(store.unset_if_epoch("k", epoch).unwrap().is_written());
        },
        steps: &[(|store| done(store.unset("k").unwrap()), &[("unset", "k")])],
    },
    Killed {
        name: "expire",
        prepare: old,
        act: |store| assert!(store.expire("k", FAR).unwrap()),
        steps: &[(|store| assert!(store.expire("k", FAR).unwrap()), &[("attributes", "k")])],
    },
    Killed {
        name: "expire earlier",
        prepare: |store| set_with(store, "k", OLD, SetOptions::new().ttl(FARTHER)),
        act: |store| assert!(store.expire("k", FAR).unwrap()),
        steps: &[(|store| assert!(store.expire("k", FAR).unwrap()), &[("attributes", "k")])],
    },
    Killed {
        name: "persist",
        prepare: |store| set_with(store, "k", OLD, SetOptions::new().ttl(FAR)),
        act: |store| assert!(store.persist("k").unwrap()),
        steps: &[(|store| assert!(store.persist("k").unwrap()), &[("attributes", "k")])],
    },
    Killed {
        name: "label",
        prepare: |store| done(store.label("k", 1, 0).unwrap()),
        act: |store| done(store.label("k", 6, 1).unwrap()),
        steps: &[(|store| done(store.label("k", 6, 1).unwrap()), &[("attributes", "k")])],
    },
    Killed {
        name: "pin",
        prepare: old,
        act: |store| assert!(store.pin("k", true).unwrap()),
        steps: &[(|store| assert!(store.pin("k", true).unwrap()), &[("attributes", "k")])],
    },
    Killed {
        name: "name a label",
        prepare: |store| store.name_label(7, "the old name").unwrap(),
        act: |store| store.name_label(7, "another, longer name").unwrap(),
        steps: &[(|store| store.name_label(7, "another, longer name").unwrap(), &[])],
    },
    Killed {
        name: "evict and insert",
        prepare: fill,
        act: |store| done(store.set("new", NEW).unwrap()),
        steps: &[
            (|store| done(store.unset("soon").unwrap()), &[("evicted", "soon")]),
            (|store| done(store.set("new", NEW).unwrap()), &[("set", "new")]),
        ],
    },
    Killed {
        name: "read what is over",
        prepare: due,
        act: |store| assert_eq!(store.get_vec("k").unwrap(), None),
        steps: &[(|store| done(store.sweep().unwrap()), &[("expired", "k")])],
    },
    Killed {
        name: "overwrite what is over",
        prepare: due,
        act: |store| done(store.set("k", NEW).unwrap()),
        steps: &[
            (|store| done(store.sweep().unwrap()), &[("expired", "k")]),
            (|store| done(store.set("k", NEW).unwrap()), &[("set", "k")]),
        ],
    },
    Killed {
        name: "sweep",
        prepare: |store| {
            set_with(store, "stays", NEW, SetOptions::new().ttl(FAR));
            due(store);
        },
        act: |store| assert_eq!(store.sweep().unwrap(), 1),
        steps: &[(|store| done(store.sweep().unwrap()), &[("expired", "k")])],
    },
    Killed {
        name: "purge",
        prepare: |store| {
            let sterile = store.auto_vacuum().unwrap();
            store.set_auto_vacuum(false).unwrap();
            store.set("other", OLD).unwrap();
            store.unset("other").unwrap();
            store.set("k", "short").unwrap();
            store.set_auto_vacuum(sterile).unwrap();
        },
        act: |store| done(store.purge().unwrap()),
        steps: &[],
    },
    Killed {
        name: "set many",
        prepare: old,
        act: |store| store.set_many(&[("a", "1"), ("k", NEW), ("b", "3")]).unwrap(),
        steps: SET_MANY,
    },
];

/// In an index of several chunks.
const OVERFLOWING: &[Killed] = &[
    Killed {
        name: "set a new key whose chunk is full",
        prepare: |store| drop(fill_chunk(store)),
        act: |store| done(store.set("new", NEW).unwrap()),
        steps: &[(|store| done(store.set("new", NEW).unwrap()), &[("set", "new")])],
    },
    Killed {
        name: "unset a key that stands in the next chunk",
        prepare: |store| {
            drop(fill_chunk(store));
            store.set("new", NEW).unwrap();
        },
        act: |store| done(store.unset("new").unwrap()),
        steps: &[(|store| done(store.unset("new").unwrap()), &[("unset", "new")])],
    },
    Killed {
        name: "set a new key behind one that was in the next chunk",
        prepare: |store| {
            let fillers = fill_chunk(store);
            store.set("new", NEW).unwrap();
            store.set("other", OLD).unwrap();
            store.unset(&fillers[0]).unwrap();
            store.unset("new").unwrap();
        },
        act: |store| done(store.set("new", NEW).unwrap()),
        steps: &[(|store| done(store.set("new", NEW).unwrap()), &[("set", "new")])],
    },
];

/// Fills the chunk of the index in which "new" would stand, and returns what with.
fn fill_chunk(store: &Store) -> Vec<String> {
    // By the high half of the hash, scaled, as the head of `index.rs` says.
    let chunks = u64::from(store.geometry().slots().div_ceil(6));
    let home = |key: &str| {
        store.set(key, OLD).unwrap();
        let hash = store.slot_snapshot(key).unwrap().unwrap().hash;
        store.unset(key).unwrap();
        ((hash >> 32) * chunks) >> 32
    };
    let full = home("new");
    store.unset("k").unwrap();
    let fillers: Vec<_> = (0..)
        .map(|n| format!("filler {n}"))
        .filter(|key| home(key) == full)
        .take(CHUNK_CELLS)
        .collect();
    for key in &fillers {
        store.set(key, OLD).unwrap();
    }
    store.set("k", OLD).unwrap();
    fillers
}

const fn long(first: u8) -> [u8; 300] {
    let mut bytes = [0; 300];
    let mut i = 0;
    while i < bytes.len() {
        bytes[i] = first + (i % 127) as u8;
        i += 1;
    }
    bytes
}

/// A key: its value, epoch, type, labels, pin, and thousands of seconds to live.
type Seen = (String, Vec<u8>, u64, ValueType, u64, bool, Option<u64>);

/// All that there is to see of a store by reading, without noticing what is over.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    keys: Vec<Seen>,
    names: Vec<(u32, String)>,
}

impl State {
    /// By a handle that only reads.
    fn of(store: &Store) -> Self {
        let mut keys: Vec<_> = store
            .list()
            .map(Result::unwrap)
            .map(|entry| {
                let value = store.get_vec(&entry.key).unwrap().unwrap();
                let slot = store.slot_snapshot(&entry.key).unwrap().unwrap();
                // A thousand seconds, two thousand: never mind the moments in between.
                let ttl = slot.ttl.map(|ttl| (ttl.as_secs() + 500) / 1000);
                let epoch = entry.epoch & !1;
                (
                    entry.key,
                    value,
                    epoch,
                    entry.value_type,
                    entry.labels,
                    slot.is_pinned,
                    ttl,
                )
            })
            .collect();
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        let names = store.label_names().unwrap();
        Self { keys, names }
    }
}

/// Where the stores of a test are.
#[derive(Debug, Clone, Copy)]
enum Medium {
    Memory,
    Disk,
}

impl Medium {
    fn directory(self) -> TempDir {
        let parent = match self {
            Self::Memory => "/dev/shm",
            Self::Disk => env!("CARGO_TARGET_TMPDIR"),
        };
        TempDir::new_in(parent).unwrap()
    }
}

fn create(path: &Path, slots: u32, sterile: bool) -> Store {
    let store = OpenOptions::new()
        .slots(slots)
        .max_value_bytes(LONGEST_BYTES)
        .journal_entries(JOURNAL_ENTRIES)
        .auto_vacuum(sterile)
        .create(path)
        .unwrap();
    store.set_eviction(Eviction::Ttl).unwrap();
    store.set("k", BEFORE).unwrap();
    store
}

fn told(changes: &mut Changes<'_>) -> Vec<(&'static str, String)> {
    let mut told = Vec::new();
    while let Some(change) = changes.try_next().unwrap() {
        let (kind, key) = match change {
            Change::Set { key, .. } => ("set", key),
            Change::Unset { key, .. } => ("unset", key),
            Change::Expired { key, .. } => ("expired", key),
            Change::Appended { key, .. } => ("appended", key),
            Change::Evicted { key, .. } => ("evicted", key),
            Change::Attributes { key, .. } => ("attributes", key),
            other => panic!("{other:?}"),
        };
        told.push((kind, key.to_string()));
    }
    told
}

/// The word of the page that says who a repairer is to be.
const NEXT: usize = 5;

/// Who comes first to a store where somebody was killed.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// Somebody who opens it.
    Opener,
    /// Somebody who purges it.
    Purger,
    /// Somebody who wants the lock of each key.
    Locker,
    /// Somebody who just goes on writing.
    Writer,
}

impl Next {
    fn of(n: usize) -> Self {
        [Self::Opener, Self::Purger, Self::Locker, Self::Writer][n % 4]
    }
}

/// Takes the lock of each key, and changes nothing.
fn lock_each(store: &Store, keys: &[&str]) {
    // No epoch of a value at rest is odd.
    let never = SetOptions::new().if_epoch(1);
    for key in keys {
        assert!(!store.set_with(key, "", &never).unwrap().is_written());
    }
}

const KILL_POINTS: &str = "kill points";

/// What was tried.
#[derive(Debug, Default)]
struct Tried {
    points: usize,
    images: usize,
    repairs: usize,
    repair_points: usize,
    kills: usize,
}

impl Tried {
    fn tell(&self) {
        tried(self.points as u64, KILL_POINTS);
        tried(self.repair_points as u64, "kill points of a repair after a kill");
        tried(self.images as u64, "different images that kills leave");
        tried(self.kills as u64, "kills at an instruction");
    }
}

/// A store in which an operation is about to be killed.
struct Scene<'a> {
    operation: &'a Killed,
    sterile: bool,
    /// Somebody who is there all the time, and goes on afterwards.
    store: &'a Store,
    /// The same, who only reads.
    reader: &'a Store,
    /// Somebody has begun to read what is replaced by now, and is to know whether he has read it whole.
    view: ValueView<'a>,
    viewed: Vec<u8>,
    shared: Shared,
    /// The bytes before the operation.
    before: Vec<u8>,
    /// What there is to see then, and after each of the operation's steps.
    states: Vec<State>,
}

impl<'a> Scene<'a> {
    /// Does the operation's steps once, and takes them back.
    fn set(operation: &'a Killed, sterile: bool, store: &'a Store, reader: &'a Store) -> Self {
        let view = reader.view("k").unwrap().unwrap();
        let viewed = bytes_of(&view);
        (operation.prepare)(store);
        let shared = Shared::new(store);
        let before = shared.bytes().to_vec();
        let mut states = vec![State::of(reader)];
        for (step, _) in operation.steps {
            step(store);
            states.push(State::of(reader));
        }
        shared.put_back(&before);
        Self {
            operation,
            sterile,
            store,
            reader,
            view,
            viewed,
            shared,
            before,
            states,
        }
    }

    fn victim(&self) -> Led {
        let (path, act) = (self.store.path(), self.operation.act);
        lead(|_| Store::open(path).unwrap(), act)
    }

    /// Somebody who finishes what the dead left undone, in one turn each time.
    fn repairer(&self) -> Led {
        let path = self.store.path();
        lead(
            |page| (Store::open(path).unwrap(), page),
            |(store, page)| match Next::of(page.get(NEXT) as usize) {
                Next::Opener => drop(Store::open(store.path()).unwrap()),
                Next::Purger => done(store.purge().unwrap()),
                Next::Locker | Next::Writer => lock_each(store, KEYS),
            },
        )
    }

    /// Looks at everything that kills leave, and at what is left where every `distance`th of the repairers is killed too.
    fn kill_everywhere(&self, distance: usize, stride: Option<usize>, tried: &mut Tried) {
        self.shared.put_back(&self.before);
        let mut repairer = self.repairer();
        let mut victim = self.victim();
        let trail = Trail::record(&mut victim, &self.shared);
        drop(victim);
        tried.points += trail.instructions();

        // Others in the other mode, and for the other operations.
        let mut count = self.operation.name.len() + 3 * usize::from(self.sterile);
        let mut repairs = Vec::new();
        let mut kills = Vec::new();
        trail.images(|instructions, image| {
            count += 1;
            if !count.is_multiple_of(distance) {
                return;
            }
            kills.push(instructions);
            tried.repairs += 1;
            // Those who look at all that there is take long to lead, so that they are few.
            let next = match tried.repairs % 16 {
                0 => Next::Opener,
                8 => Next::Purger,
                _ => Next::Locker,
            };
            self.shared.put_back(image);
            repairer.page().set(NEXT, next as u64);
            repairs.push((instructions, next, Trail::record(&mut repairer, &self.shared)));
        });
        drop(repairer);

        let mut look = |image: &[u8], what: &str| {
            let nexts = if distance == 1 { 4 } else { 1 };
            for n in 0..nexts {
                self.look(image, Next::of(tried.images + n), what);
            }
            tried.images += 1;
        };
        trail.images(|instructions, image| look(image, &format!("killed at instruction {instructions}")));
        for (killed_at, next, repair) in repairs {
            tried.repair_points += repair.instructions();
            repair.images(|instructions, image| {
                let what = format!("killed at instruction {killed_at}, {next:?} at instruction {instructions}");
                look(image, &what);
            });
        }
        if let Some(stride) = stride {
            kills = (0..trail.instructions()).step_by(stride).collect();
        }
        for instructions in kills {
            self.kill_really(instructions, tried);
        }
    }

    /// Has the kernel kill a child after so many instructions.
    fn kill_really(&self, instructions: usize, tried: &mut Tried) {
        self.shared.put_back(&self.before);
        let mut victim = self.victim();
        let turns = victim.turns();
        // It is not always as many instructions to the end.
        for _ in 0..instructions {
            victim.step();
            if victim.turns() > turns {
                break;
            }
        }
        drop(victim);
        let image = self.shared.bytes().to_vec();
        let what = format!("really killed at instruction {instructions}");
        self.look(&image, Next::of(tried.kills), &what);
        tried.kills += 1;
    }

    /// Looks at what a kill has left: these bytes.
    fn look(&self, image: &[u8], next: Next, what: &str) {
        let Killed { name, .. } = self.operation;
        let store = self.store;
        let what = &format!("{name}, sterile: {}, {what}, then {next:?}", self.sterile);
        // Those who follow were there before the operation.
        self.shared.put_back(&self.before);
        let mut changes = store.changes().unwrap();
        let options = WatchOptions::new().values(true);
        let mut watcher = store.watch_with(Pattern::all(), &options).unwrap();
        self.shared.put_back(image);
        let seen = State::of(self.reader);
        let is_of = |n: &usize| self.states[*n] == seen;
        let possible: Vec<usize> = (0..self.states.len()).filter(is_of).collect();
        assert!(!possible.is_empty(), "{what}: neither old nor new: {seen:#?}");
        if !matches!(next, Next::Writer) {
            self.look_at_repair(next, &seen, &possible, &mut changes, what);
            while let Some(event) = watcher.try_next().unwrap() {
                let is_there = seen.keys.iter().find(|key| key.0 == *event.key);
                assert_eq!(event.value.as_ref(), is_there.map(|key| &key.1), "{what}: a watch");
            }
        }
        self.go_on(what, || {
            if matches!(next, Next::Writer) {
                self.assert_told_in_order(&possible, &mut changes, what);
            }
        });
        store.purge().unwrap();
        store.sweep().unwrap();
        let report = store.check().unwrap();
        assert!(report.is_clean(), "{what}: {report:?}");
        assert!(self.locks().all(|lock| lock == 0), "{what}: something is locked");
        assert_eq!(store.header_snapshot().unwrap().parse_failures, 0, "{what}");
    }

    /// Has what was left undone finished by others than the next writer, which nobody is to see by reading.
    fn look_at_repair(&self, next: Next, seen: &State, possible: &[usize], changes: &mut Changes<'_>, what: &str) {
        let Killed { name, steps, .. } = self.operation;
        let store = self.store;
        // What was due before the operation is so until somebody has told of it.
        let is_due = name.contains("over") || *name == "sweep";
        let before = told(changes);
        let is_noticed = before.iter().any(|(kind, _)| *kind == "expired");
        self.assert_no_deadline_is_hidden(seen, is_due && possible.contains(&0) && !is_noticed, what);
        match next {
            Next::Opener => drop(Store::open(store.path()).unwrap()),
            Next::Locker => lock_each(store, KEYS),
            Next::Purger | Next::Writer => {}
        }
        assert_eq!(&State::of(self.reader), seen, "{what}: after the repair");
        // Where a purge was killed, what it was to do is still to be done.
        if !matches!(next, Next::Opener) || *name == "purge" {
            store.purge().unwrap();
        }
        let report = store.check().unwrap();
        assert!(report.is_clean(), "{what}: {report:?}");
        assert_eq!(&State::of(self.reader), seen, "{what}: after the repair");
        assert!(
            !self.reader.is_whole(self.view.stamp()).unwrap() || bytes_of(&self.view) == self.viewed,
            "{what}: a reader of the value before believes what it sees"
        );
        self.assert_no_deadline_is_hidden(seen, false, what);

        // Everything that happened was told, in order, and nothing else: but that attributes changed may be told again by
        // each who repairs it.
        let mut heard = before;
        heard.extend(told(changes));
        heard.dedup();
        let is_right = |n: &usize| {
            self.expected(*n) == heard
                || steps.get(*n).is_some_and(|step| step.1[0].0 == "attributes") && self.expected(*n + 1) == heard
        };
        assert!(
            possible.iter().any(is_right),
            "{what}: the feed told {heard:?} of {possible:?}"
        );
        // A sweep finds what is due.
        let has_expired = heard.iter().any(|(kind, _)| *kind == "expired");
        let swept = usize::from(is_due && !has_expired);
        assert_eq!(store.sweep().unwrap(), swept, "{what}: a sweep");
        if swept > 0 {
            assert_eq!(told(changes), [("expired", "k".to_string())], "{what}");
        }
        if self.sterile {
            self.assert_nothing_is_left(seen, what);
        }
    }

    /// What the first steps are to tell.
    fn expected(&self, steps: usize) -> Vec<(&'static str, String)> {
        let steps = self.operation.steps[..steps].iter();
        steps
            .flat_map(|(_, told)| told.iter().map(|(kind, key)| (*kind, key.to_string())))
            .collect()
    }

    /// Of "k" the feed has told what the dead did before what the next writer did, whether he met what was left or not.
    fn assert_told_in_order(&self, possible: &[usize], changes: &mut Changes<'_>, what: &str) {
        let of_k = |mut all: Vec<(&'static str, String)>| {
            all.retain(|(_, key)| key == "k");
            all
        };
        let heard = of_k(told(changes));
        assert!(
            possible.iter().any(|n| heard.starts_with(&of_k(self.expected(*n)))),
            "{what}: of {possible:?} the feed told {heard:?}"
        );
    }

    /// No sweep is kept from looking by a deadline that is told too late.
    fn assert_no_deadline_is_hidden(&self, state: &State, is_due: bool, what: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let thousands = state.keys.iter().filter_map(|key| key.6).min();
        let latest = if is_due {
            Some(now)
        } else {
            thousands.map(|n| now + n * 1_000_000_000_000)
        };
        if let Some(latest) = latest
            && self.shared.word(SWEEPER_AT as usize) == 0
        {
            let next = self.shared.word(NEXT_DEADLINE_AT as usize);
            assert!(next <= latest, "{what}: a deadline is hidden");
        }
    }

    /// No eight bytes in a row of anything that was there before are anywhere in the region.
    fn assert_nothing_is_left(&self, seen: &State, what: &str) {
        let windows = |bytes: &[u8]| -> Vec<u64> {
            let windows = bytes.windows(8);
            windows
                .map(|part| u64::from_le_bytes(part.try_into().unwrap()))
                .collect()
        };
        let olds: [&[u8]; 7] = [
            BEFORE.as_bytes(),
            OLD.as_bytes(),
            NEW.as_bytes(),
            b"goes first",
            b"8 bytes!",
            &LONG_OLD,
            &LONG_NEW,
        ];
        let mut gone: Vec<u64> = olds.into_iter().flat_map(windows).collect();
        let values = seen.keys.iter().map(|key| &key.1[..]);
        let names = seen.names.iter().map(|(_, name)| name.as_bytes());
        for kept in values.chain(names).flat_map(windows) {
            gone.retain(|old| *old != kept);
        }
        gone.sort_unstable();
        let region = self.shared.bytes();
        for (at, line) in region.chunks_exact(64).enumerate() {
            if line == [0; 64] {
                continue;
            }
            // Also what begins here and ends in the next line, or began in the last one.
            let (from, to) = ((at * 64).saturating_sub(7), (at * 64 + 71).min(region.len()));
            for part in windows(&region[from..to]) {
                let is_gone = gone.binary_search(&part).is_err();
                assert!(
                    is_gone,
                    "{what}: \"{}\" is left",
                    String::from_utf8_lossy(&part.to_le_bytes())
                );
            }
        }
    }

    /// The next ones go on, whatever lies in the other buffer. `begun` is called after the first of them.
    fn go_on(&self, what: &str, begun: impl FnOnce()) {
        let store = self.store;
        let value = store.get_vec("k").unwrap().unwrap_or_default();
        let mut whole = value.clone();
        let mut begun = Some(begun);
        for suffix in [".", "..", "..."] {
            whole.extend(suffix.bytes());
            assert_eq!(store.append("k", suffix).unwrap(), whole.len(), "{what}");
            assert_eq!(store.get_vec("k").unwrap().as_ref(), Some(&whole), "{what}");
            if let Some(begun) = begun.take() {
                begun();
            }
        }
        store.set("k", LONG_NEW).unwrap();
        assert_eq!(self.reader.get_vec("k").unwrap().unwrap(), LONG_NEW, "{what}");
        let others: Vec<_> = store.keys().map(Result::unwrap).collect();
        for key in others {
            store.unset(&key).unwrap();
        }
        for key in KEYS {
            let before = store.epoch(key).unwrap();
            store.unset(key).unwrap();
            let epoch = store.set(key, "after").unwrap();
            assert!(before.is_none_or(|before| epoch > before), "{what}");
            store.unset(key).unwrap();
        }
        // No slot is lost.
        let slots = store.geometry().slots();
        for n in 0..slots {
            store.set(format!("n{n}"), NEW).unwrap();
        }
        assert_eq!(self.reader.list().count(), slots as usize, "{what}");
        for n in 0..slots {
            let value = self.reader.get_vec(format!("n{n}")).unwrap();
            assert_eq!(value.as_deref(), Some(NEW.as_bytes()), "{what}");
        }
        store.name_label(7, "named by the next").unwrap();
        assert_eq!(
            store.label_names().unwrap(),
            [(7, "named by the next".to_string())],
            "{what}"
        );
    }

    /// Every lock word there is.
    fn locks(&self) -> impl Iterator<Item = u64> {
        let parts = &self.shared.parts;
        let stripes = parts.stripes.clone().step_by(64);
        let slots = parts.slot_words(8, 8).into_iter().map(|range| range.start);
        let words = stripes.chain(slots).chain([SWEEPER_AT as usize]);
        words.map(|at| self.shared.word(at))
    }
}

fn bytes_of(view: &ValueView<'_>) -> Vec<u8> {
    view.bytes().iter().map(|byte| byte.load(Ordering::Relaxed)).collect()
}

fn kill_everywhere(medium: Medium, sterile: bool) {
    stay_on_one_processor();
    let mut counts = Tried::default();
    let stride = number("SPLINTER_TEST_STRIDE").map(|stride| stride as usize);
    let distance = number("SPLINTER_TEST_POINTS").map_or(
        match medium {
            Medium::Memory => 32,
            Medium::Disk => 48,
        },
        |distance| distance as usize,
    );
    for (operations, slots) in [(OPERATIONS, SLOTS), (OVERFLOWING, SLOTS_OF_CHUNKS)] {
        for operation in operations {
            let directory = medium.directory();
            let path = &directory.path().join("s");
            let store = create(path, slots, sterile);
            let reader = OpenOptions::new().read_only(true).open(path).unwrap();
            let scene = Scene::set(operation, sterile, &store, &reader);
            scene.kill_everywhere(distance, stride, &mut counts);
        }
    }
    counts.tell();
}

#[test]
fn an_operation_killed_at_any_instruction_leaves_old_or_new_in_sterile_mode() {
    kill_everywhere(Medium::Memory, true);
}

#[test]
fn an_operation_killed_at_any_instruction_leaves_old_or_new_in_throughput_mode() {
    kill_everywhere(Medium::Memory, false);
}

#[test]
fn an_operation_killed_at_any_instruction_leaves_old_or_new_in_a_sterile_file() {
    kill_everywhere(Medium::Disk, true);
}

#[test]
fn an_operation_killed_at_any_instruction_leaves_old_or_new_in_a_file_of_throughput_mode() {
    kill_everywhere(Medium::Disk, false);
}

/// By default at some moments; by `SPLINTER_TEST_POINTS` at every instruction, of which there are many.
#[test]
fn a_repair_of_damage_killed_anywhere_is_done_by_the_next() {
    stay_on_one_processor();
    let directory = Medium::Memory.directory();
    let path = &directory.path().join("s");
    let store = create(path, SLOTS_OF_CHUNKS, true);
    drop(fill_chunk(&store));
    store.set("new", NEW).unwrap();
    store.unset("k").unwrap();
    let reader = OpenOptions::new().read_only(true).open(path).unwrap();
    let state = State::of(&reader);
    let shared = Shared::new(&store);
    let whole = shared.bytes().to_vec();
    // The handles are those of now, the rest is damaged.
    let damage = || {
        let mut damaged = shared.bytes().to_vec();
        damaged[shared.parts.index.clone()].fill(0);
        damaged[shared.parts.free.clone()].fill(0xff);
        damaged[shared.parts.journal.clone()].fill(0x5a);
        shared.put_back(&damaged);
    };
    let look = |what: &str| {
        let left = store.repair().unwrap().left;
        assert!(left.is_clean(), "killed {what}: {left:?}");
        assert_eq!(State::of(&reader), state, "killed {what}");
    };
    if number("SPLINTER_TEST_POINTS").is_some() {
        let mut victim = lead(|_| Store::open(path).unwrap(), |store| done(store.repair().unwrap()));
        damage();
        let trail = Trail::record(&mut victim, &shared);
        drop(victim);
        trail.images(|instructions, image| {
            shared.put_back(image);
            look(&format!("at instruction {instructions}"));
        });
        tried(trail.instructions() as u64, KILL_POINTS);
    }
    let kills = 100;
    for kill in 0..kills {
        shared.put_back(&whole);
        let victim = fork(|page| {
            let store = Store::open(path).unwrap();
            page.set(0, 1);
            page.await_word(0, 2);
            store.repair().unwrap();
        });
        victim.page.await_word(0, 1);
        damage();
        victim.page.set(0, 2);
        // A moment that is different every time; nothing is waited for here.
        std::thread::sleep(Duration::from_micros(10 * kill));
        victim.kill();
        look(&format!("the {kill}th time"));
    }
    tried(kills, "kills of a repair");
}
