//! Operations that are killed at an instruction: everybody else sees the old state or the new one, whole, and goes on.
//!
//! A child is led through an operation for so many instructions and killed: by default after every eighth of those that
//! change what is shared, between which one kill is like another. `SPLINTER_TEST_POINTS=1` takes each of them;
//! `SPLINTER_TEST_STRIDE` has it killed after every so many instructions, whatever they do.

#[path = "common/bytes.rs"]
mod bytes;
#[path = "common/process.rs"]
mod process;
#[path = "common/trace.rs"]
mod trace;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{NEXT_DEADLINE_AT, Parts, SWEEPER_AT, contains};
use splinter::{
    Change, Changes, Eviction, OpenOptions, Operation, Pattern, SetOptions, Store, ValueType, WatchOptions,
};
use trace::{lead, stay_on_one_processor};

const BEFORE: &str = "before everything";
const OLD: &str = "the OLD value, 27 bytes long";
const NEW: &str = "some NEW bytes instead of those that were";
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

const OPERATIONS: &[Killed] = &[
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
        steps: &[
            (|store| done(store.set("a", "1").unwrap()), &[("set", "a")]),
            (|store| done(store.set("k", NEW).unwrap()), &[("set", "k")]),
            (|store| done(store.set("b", "3").unwrap()), &[("set", "b")]),
        ],
    },
];

/// A key: its value, epoch, type, labels, pin, and thousands of seconds to live.
type Seen = (String, Vec<u8>, u64, ValueType, u64, bool, Option<u64>);

/// All that there is to see of a store by reading, without noticing what is over.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    keys: Vec<Seen>,
    names: Vec<(u32, String)>,
}

fn state(path: &Path) -> State {
    let store = OpenOptions::new().read_only(true).open(path).unwrap();
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
    State { keys, names }
}

fn number(name: &str) -> Option<usize> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

/// Instructions between two kills, if the environment says.
fn stride() -> Option<usize> {
    number("SPLINTER_TEST_STRIDE")
}

/// What processes share, mapped.
struct Mapped {
    base: *mut libc::c_void,
    parts: Parts,
}

impl Mapped {
    fn new(store: &Store) -> Self {
        let (file, parts) = (File::open(store.path()).unwrap(), Parts::of(store.geometry()));
        let (bytes, fd) = (parts.region_bytes, file.as_raw_fd());
        // SAFETY: the kernel chooses the address.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ, libc::MAP_SHARED, fd, 0) };
        assert_ne!(base, libc::MAP_FAILED);
        Self { base, parts }
    }

    /// All but the table of handles. Nobody writes meanwhile: the only child stands still.
    fn parts(&self) -> [&[u8]; 2] {
        // SAFETY: the mapping has so many bytes and lives as long as `self`.
        let bytes = unsafe { std::slice::from_raw_parts(self.base.cast::<u8>(), self.parts.region_bytes) };
        [&bytes[..self.parts.handles.start], &bytes[self.parts.stripes.start..]]
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: nothing borrows it any more.
        unsafe { libc::munmap(self.base, self.parts.region_bytes) };
    }
}

/// After how many instructions to kill an operation.
fn kill_points(operation: &Killed, sterile: bool) -> Vec<usize> {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = &directory.path().join("s");
    let store = create(path, sterile);
    store.set("k", BEFORE).unwrap();
    (operation.prepare)(&store);
    let mapped = Mapped::new(&store);
    let mut child = lead(|_| Store::open(path).unwrap(), |store| (operation.act)(store));
    let turns = child.turns();
    let mut points = Vec::new();
    let mut before = mapped.parts().map(<[u8]>::to_vec);
    let stride = stride();
    for steps in 1_usize.. {
        child.step();
        if child.turns() > turns {
            points.push(steps);
            break;
        }
        let is_changed = mapped.parts() != before.each_ref().map(|part| &part[..]);
        if is_changed {
            before = mapped.parts().map(<[u8]>::to_vec);
        }
        if stride.map_or(is_changed, |stride| steps.is_multiple_of(stride)) {
            points.push(steps);
        }
    }
    if stride.is_some() {
        return points;
    }
    let distance = number("SPLINTER_TEST_POINTS").unwrap_or(8);
    // Others in the other mode, and for the other operations.
    let first = (operation.name.len() + 3 * usize::from(sterile)) % distance.min(points.len());
    points.into_iter().skip(first).step_by(distance).collect()
}

fn create(path: &Path, sterile: bool) -> Store {
    let store = OpenOptions::new()
        .slots(4)
        .max_value_bytes(64)
        .journal_entries(64)
        .auto_vacuum(sterile)
        .create(path)
        .unwrap();
    store.set_eviction(Eviction::Ttl).unwrap();
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

fn word(store: &Store, at: u64) -> u64 {
    let file = File::open(store.path()).unwrap();
    let mut word = [0; 8];
    file.read_exact_at(&mut word, at).unwrap();
    u64::from_le_bytes(word)
}

/// No sweep is kept from looking by a deadline that is told too late.
fn assert_no_deadline_is_hidden(store: &Store, state: &State, is_due: bool, what: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let thousands = state.keys.iter().filter_map(|key| key.6).min();
    let latest = if is_due {
        Some(now)
    } else {
        thousands.map(|n| now + n * 1_000_000_000_000)
    };
    if let Some(latest) = latest
        && word(store, SWEEPER_AT) == 0
    {
        assert!(word(store, NEXT_DEADLINE_AT) <= latest, "{what}: a deadline is hidden");
    }
}

/// Kills one operation after so many instructions, and looks at what is left.
fn kill_at(operation: &Killed, sterile: bool, steps: usize, states: &[State]) {
    let Killed { name, prepare, act, .. } = operation;
    let what = &format!("{name}, sterile: {sterile}, killed at instruction {steps}");
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = &directory.path().join("s");
    let store = create(path, sterile);
    store.set("k", BEFORE).unwrap();
    // Somebody has begun to read what is replaced by now, and is to know whether he has read it whole.
    let view = store.view("k").unwrap().unwrap();
    let bytes = || -> Vec<u8> { view.bytes().iter().map(|byte| byte.load(Ordering::Relaxed)).collect() };
    let viewed = bytes();
    prepare(&store);
    let mut changes = store.changes().unwrap();
    let mut watcher = store
        .watch_with(Pattern::all(), &WatchOptions::new().values(true))
        .unwrap();
    let mut child = lead(|_| Store::open(path).unwrap(), act);
    let turns = child.turns();
    // It is not always as many instructions to the end.
    for _ in 0..steps {
        child.step();
        if child.turns() > turns {
            break;
        }
    }
    drop(child);

    let seen = state(path);
    let is_of = |n: &usize| states[*n] == seen;
    let possible: Vec<usize> = (0..states.len()).filter(is_of).collect();
    assert!(!possible.is_empty(), "{what}: neither old nor new: {seen:#?}");
    // What was due before the operation is so until somebody has told of it.
    let is_due = name.contains("over") || *name == "sweep";
    let before = told(&mut changes);
    let is_noticed = before.iter().any(|(kind, _)| *kind == "expired");
    if steps.is_multiple_of(2) {
        assert_no_deadline_is_hidden(&store, &seen, is_due && possible.contains(&0) && !is_noticed, what);
    }
    // The dead are seen to by whoever comes next: by one who opens the store, or by one who purges it, which is what was to be
    // done where a purge was killed.
    if steps.is_multiple_of(3) && *name != "purge" {
        drop(Store::open(path).unwrap());
    } else {
        store.purge().unwrap();
    }
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{what}: {report:?}");
    assert_eq!(state(path), seen, "{what}: after the repair");
    assert!(
        !store.is_whole(view.stamp()).unwrap() || bytes() == viewed,
        "{what}: a reader of the value before believes what it sees"
    );
    assert_no_deadline_is_hidden(&store, &seen, false, what);

    // Everything that happened was told, in order, and nothing else: but that attributes changed may be told once too often.
    let mut heard = before;
    heard.extend(told(&mut changes));
    heard.dedup();
    let expected = |n: usize| -> Vec<(&str, String)> {
        let steps = operation.steps[..n].iter();
        steps
            .flat_map(|(_, told)| told.iter().map(|(kind, key)| (*kind, key.to_string())))
            .collect()
    };
    let is_right = |n: &usize| {
        expected(*n) == heard
            || operation.steps.get(*n).is_some_and(|step| step.1[0].0 == "attributes") && expected(*n + 1) == heard
    };
    assert!(
        possible.iter().any(is_right),
        "{what}: the feed told {heard:?} of {possible:?}"
    );
    // A sweep finds what is due.
    let has_expired = heard.iter().any(|(kind, _)| *kind == "expired");
    assert_eq!(
        store.sweep().unwrap(),
        usize::from(is_due && !has_expired),
        "{what}: a sweep"
    );
    if is_due && !has_expired {
        assert_eq!(told(&mut changes), [("expired", "k".to_string())], "{what}");
    }
    while let Some(event) = watcher.try_next().unwrap() {
        let is_there = seen.keys.iter().find(|key| key.0 == *event.key);
        assert_eq!(event.value.as_ref(), is_there.map(|key| &key.1), "{what}: a watch");
    }

    if sterile {
        let region = std::fs::read(path).unwrap();
        let values: Vec<&[u8]> = seen.keys.iter().map(|key| &key.1[..]).collect();
        for old in [BEFORE, OLD, NEW, "goes first", "8 bytes!"] {
            for part in old.as_bytes().windows(8) {
                let is_held = values.iter().any(|value| contains(value, part));
                let name = seen.names.iter().any(|(_, name)| contains(name.as_bytes(), part));
                assert!(is_held || name || !contains(&region, part), "{what}: {old} is left");
            }
        }
    }

    // The next ones go on, whatever lies in the other buffer.
    let value = store.get_vec("k").unwrap().unwrap_or_default();
    let mut whole = value.clone();
    for suffix in [".", "..", "..."] {
        whole.extend(suffix.bytes());
        assert_eq!(store.append("k", suffix).unwrap(), whole.len(), "{what}");
        assert_eq!(store.get_vec("k").unwrap().as_ref(), Some(&whole), "{what}");
    }
    for key in ["k", "soon", "x", "y", "new", "a", "b", "other", "stays"] {
        let before = store.epoch(key).unwrap();
        store.unset(key).unwrap();
        let epoch = store.set(key, "after").unwrap();
        assert!(before.is_none_or(|before| epoch > before), "{what}");
        store.unset(key).unwrap();
    }
    for key in ["1", "2", "3", "4"] {
        store.set(key, NEW).unwrap();
    }
    store.name_label(7, "named by the next").unwrap();
    assert_eq!(
        store.label_names().unwrap(),
        [(7, "named by the next".to_string())],
        "{what}"
    );
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{what}: {report:?}");
    assert_eq!(store.header_snapshot().unwrap().parse_failures, 0, "{what}");
}

fn kill_everywhere(operations: impl Iterator<Item = &'static Killed>, sterile: bool) {
    stay_on_one_processor();
    for operation in operations {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = &directory.path().join("s");
        let reference = create(path, sterile);
        reference.set("k", BEFORE).unwrap();
        (operation.prepare)(&reference);
        let mut states = vec![state(path)];
        for (step, _) in operation.steps {
            step(&reference);
            states.push(state(path));
        }
        let points = kill_points(operation, sterile);
        assert!(!points.is_empty(), "{}: it changes something", operation.name);
        for steps in points {
            kill_at(operation, sterile, steps, &states);
        }
    }
}

#[test]
fn an_operation_killed_at_any_instruction_leaves_old_or_new_in_sterile_mode() {
    kill_everywhere(OPERATIONS.iter(), true);
}

#[test]
fn an_operation_killed_at_any_instruction_leaves_old_or_new_in_throughput_mode() {
    kill_everywhere(OPERATIONS.iter(), false);
}
