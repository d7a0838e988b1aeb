//! What a commit has returned from is on the disk, a sync that fails is told of for ever, and a fork in the midst of one does no
//! harm.
//!
//! The calls that wait for the disk are seen on their way to the kernel: what was handed to them is all that a power cut is
//! sure to leave.

#[path = "common/bytes.rs"]
mod bytes;
#[path = "common/process.rs"]
mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{c_int, c_void};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BOOT_ID_AT, checkpoint_of};
use process::{Child, Page, fork, in_child};
use splinter::{Durability, Error, ErrorCode, Eviction, OpenOptions, Operation, SetOptions, Store, Syncer};
use tempfile::TempDir;

const SLOTS: u32 = 24;

/// Calls that have waited for the disk, in this process.
static FDATASYNCS: AtomicU64 = AtomicU64::new(0);
static FSYNCS: AtomicU64 = AtomicU64::new(0);
/// Whether such calls wait until this is taken back, and how many do.
static HOLDS: AtomicBool = AtomicBool::new(false);
static HELD: AtomicU64 = AtomicU64::new(0);
/// The error number with which they fail, or 0.
static FAILS: AtomicI32 = AtomicI32::new(0);
/// Whether it is noted what they leave on the disk: where nobody else is there, for a forked child inherits the lock.
static NOTES: AtomicBool = AtomicBool::new(false);
static DISK: Mutex<Disk> = Mutex::new(Disk::new());

/// What a power cut leaves at the least: files as they were when somebody last waited for the disk, and so the names in
/// directories.
struct Disk {
    contents: BTreeMap<u64, Vec<u8>>,
    names: BTreeMap<PathBuf, u64>,
    /// Bytes that could not be written when somebody waited for them: the system takes them for written, until they are written
    /// again.
    forgotten: BTreeMap<u64, BTreeSet<usize>>,
}

impl Disk {
    const fn new() -> Self {
        Self {
            contents: BTreeMap::new(),
            names: BTreeMap::new(),
            forgotten: BTreeMap::new(),
        }
    }

    fn note(&mut self, fd: c_int) {
        // By the descriptor, since it may not have a name yet.
        let path = PathBuf::from(format!("/proc/self/fd/{fd}"));
        let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();
        if path.is_dir() {
            let entries = path.read_link().unwrap().read_dir().unwrap();
            let paths = entries.map(|entry| entry.unwrap().path());
            self.names = paths.map(|path| (path.clone(), inode(&path))).collect();
        } else {
            let (inode, mut contents) = (inode(&path), std::fs::read(&path).unwrap());
            let last = self.contents.get(&inode);
            for &at in self.forgotten.get(&inode).into_iter().flatten() {
                contents[at] = last.and_then(|last| last.get(at)).copied().unwrap_or(0);
            }
            self.contents.insert(inode, contents);
        }
    }

    /// Nothing of a file that is not on the disk yet gets there.
    fn forget(&mut self, fd: c_int) {
        let path = PathBuf::from(format!("/proc/self/fd/{fd}"));
        let (inode, contents) = (std::fs::metadata(&path).unwrap().ino(), std::fs::read(&path).unwrap());
        let last = self.contents.entry(inode).or_default();
        last.resize(contents.len(), 0);
        let differs = (0..contents.len()).filter(|&at| contents[at] != last[at]);
        self.forgotten.entry(inode).or_default().extend(differs);
    }

    fn written(&mut self, fd: c_int, range: Range<usize>) {
        let inode = std::fs::metadata(format!("/proc/self/fd/{fd}")).map_or(0, |file| file.ino());
        if let Some(forgotten) = self.forgotten.get_mut(&inode) {
            forgotten.retain(|at| !range.contains(at));
        }
    }

    /// Puts all of it into another directory, as it is found when the machine has started again.
    fn boot(&self, directory: &Path) {
        for (path, inode) in &self.names {
            let mut contents = self.contents.get(inode).cloned().unwrap_or_default();
            let name = path.file_name().unwrap();
            if name == "store" && !contents.is_empty() {
                contents[BOOT_ID_AT..BOOT_ID_AT + 16].fill(0x5a);
            }
            std::fs::write(directory.join(name), contents).unwrap();
        }
    }
}

/// What every call does that waits for the disk.
fn wait_for_disk(call: i64, arguments: [usize; 3]) -> c_int {
    HELD.fetch_add(1, Ordering::SeqCst);
    while HOLDS.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    HELD.fetch_sub(1, Ordering::SeqCst);
    let errno = FAILS.load(Ordering::SeqCst);
    if errno != 0 {
        if NOTES.load(Ordering::SeqCst) {
            DISK.lock().unwrap().forget(arguments[0] as c_int);
        }
        // SAFETY: the address of the thread's own error number.
        unsafe { *libc::__errno_location() = errno };
        return -1;
    }
    let [a, b, c] = arguments;
    // SAFETY: the arguments are those with which the kernel was to be called.
    let result = unsafe { libc::syscall(call, a, b, c) as c_int };
    if result == 0 && call != libc::SYS_msync && NOTES.load(Ordering::SeqCst) {
        DISK.lock().unwrap().note(a as c_int);
    }
    result
}

// In place of the functions of the C library, which do no more than to call the kernel.

#[unsafe(no_mangle)]
extern "C" fn fdatasync(fd: c_int) -> c_int {
    FDATASYNCS.fetch_add(1, Ordering::SeqCst);
    wait_for_disk(libc::SYS_fdatasync, [fd as usize, 0, 0])
}

#[unsafe(no_mangle)]
extern "C" fn fsync(fd: c_int) -> c_int {
    FSYNCS.fetch_add(1, Ordering::SeqCst);
    wait_for_disk(libc::SYS_fsync, [fd as usize, 0, 0])
}

#[unsafe(no_mangle)]
extern "C" fn msync(address: *mut c_void, bytes: usize, flags: c_int) -> c_int {
    wait_for_disk(libc::SYS_msync, [address as usize, bytes, flags as usize])
}

#[unsafe(no_mangle)]
extern "C" fn pwrite64(fd: c_int, bytes: *const c_void, count: usize, at: i64) -> isize {
    // SAFETY: the arguments are those with which the kernel was to be called.
    let written = unsafe { libc::syscall(libc::SYS_pwrite64, fd, bytes, count, at) } as isize;
    if written > 0 && NOTES.load(Ordering::SeqCst) {
        let at = at as usize;
        DISK.lock().unwrap().written(fd, at..at + written as usize);
    }
    written
}

/// How often some work waits for the disk: by `fdatasync`, and by `fsync`.
fn waits(work: impl FnOnce()) -> (u64, u64) {
    let now = || (FDATASYNCS.load(Ordering::SeqCst), FSYNCS.load(Ordering::SeqCst));
    let before = now();
    work();
    let after = now();
    (after.0 - before.0, after.1 - before.1)
}

/// A directory on a disk, not in memory.
fn directory() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn options() -> OpenOptions {
    OpenOptions::new().slots(SLOTS).max_value_bytes(200).journal_entries(64)
}

fn contents(store: &Store) -> BTreeMap<String, Vec<u8>> {
    let keys = store.keys().map(Result::unwrap);
    keys.map(|key| (key.clone(), store.get_vec(&key).unwrap().unwrap()))
        .collect()
}

/// Waits until something holds. A child that never sees it is killed by its alarm.
fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        std::thread::yield_now();
    }
}

type Step = (&'static str, fn(&Store));

/// Everything that changes what a power cut may take, each by one call.
const STEPS: [Step; 18] = [
    ("set", |store| _ = store.set("a", "1").unwrap()),
    ("set again", |store| _ = store.set("a", "22").unwrap()),
    ("try_set", |store| _ = store.try_set("b", "3").unwrap()),
    ("set_with", |store| {
        let options = SetOptions::new().if_absent().ttl(Duration::from_secs(3600));
        assert!(store.set_with("c", "4", &options).unwrap().is_written());
    }),
    ("append", |store| _ = store.append("a", "5").unwrap()),
    ("apply", |store| _ = store.apply("n", Operation::Add(7_u64)).unwrap()),
    ("update", |store| {
        _ = store.update("a", |_| Some(b"6".to_vec())).unwrap();
    }),
    ("set_many", |store| {
        let entries: Vec<_> = (0..10).map(|i| (format!("many{i}"), [i; 100])).collect();
        store.set_many(&entries).unwrap();
    }),
    ("set of a key handle", |store| {
        _ = store.key("k").unwrap().set("8").unwrap();
    }),
    ("expire", |store| {
        assert!(store.expire("b", Duration::from_secs(3600)).unwrap());
    }),
    ("persist", |store| assert!(store.persist("b").unwrap())),
    ("label", |store| _ = store.label("b", 5, 0).unwrap()),
    ("name_label", |store| store.name_label(2, "hot").unwrap()),
    ("pin", |store| assert!(store.pin("b", true).unwrap())),
    ("set_eviction", |store| store.set_eviction(Eviction::Lru).unwrap()),
    ("unset", |store| assert!(store.unset("a").unwrap().is_some())),
    ("try_unset", |store| assert!(store.try_unset("k").unwrap().is_some())),
    ("sweep", |store| _ = store.sweep().unwrap()),
];

#[test]
fn what_a_commit_has_returned_from_is_on_the_disk() {
    let directory = directory();
    in_child(|page| {
        let (before, after) = (directory.path().join("before"), directory.path().join("after"));
        std::fs::create_dir(&before).unwrap();
        let store = options()
            .durability(Durability::Commit)
            .create(before.join("store"))
            .unwrap();
        for (number, (name, step)) in (0..).zip(STEPS) {
            page.step(number);
            NOTES.store(true, Ordering::SeqCst);
            let waits = waits(|| step(&store));
            NOTES.store(false, Ordering::SeqCst);
            // The first makes the checkpoint: its file, its name, and the store itself are to stay.
            assert_eq!(waits, (1, if number == 0 { 3 } else { 0 }), "{name}");
            std::fs::create_dir(&after).unwrap();
            DISK.lock().unwrap().boot(&after);
            let recovered = options().open(after.join("store")).unwrap();
            assert_eq!(contents(&recovered), contents(&store), "{name}");
            for key in store.keys().map(Result::unwrap) {
                let known = |store: &Store| {
                    let slot = store.slot_snapshot(&key).unwrap().unwrap();
                    (slot.labels, slot.is_pinned, slot.ttl.is_some(), slot.value_type)
                };
                assert_eq!(known(&recovered), known(&store), "{name}: {key}");
            }
            assert_eq!(recovered.label_names(), store.label_names(), "{name}");
            assert_eq!(recovered.eviction(), store.eviction(), "{name}");
            assert_eq!(recovered.recovery().map(|recovery| recovery.lost), Some(0), "{name}");
            recovered.close();
            std::fs::remove_dir_all(&after).unwrap();
        }
    });
    println!("tried: {} power cuts", STEPS.len());
}

#[test]
fn without_a_commit_only_a_sync_waits_for_the_disk_and_once() {
    let directory = directory();
    in_child(|_| {
        let store = options().create(directory.path().join("store")).unwrap();
        assert_eq!(waits(|| STEPS.iter().for_each(|(_, step)| step(&store))), (0, 0));
        assert_eq!(waits(|| store.sync().unwrap()), (1, 3));
        assert_eq!(waits(|| store.sync().unwrap()), (1, 0));
        // This one is on no disk, whatever is asked for.
        let memory = options().durability(Durability::Commit).anonymous().unwrap();
        assert_eq!(waits(|| STEPS.iter().for_each(|(_, step)| step(&memory))), (0, 0));
    });
}

#[test]
fn who_only_reads_has_nothing_to_commit() {
    let directory = directory();
    let path = directory.path().join("store");
    drop(options().create(&path).unwrap());
    let reader = options().read_only(true).durability(Durability::Commit);
    assert_eq!(reader.open(&path).unwrap_err().code(), ErrorCode::InvalidArgument);
}

#[test]
fn a_store_that_was_removed_leaves_no_checkpoint() {
    let directory = directory();
    let path = directory.path().join("s");
    let store = options().create(&path).unwrap();
    Store::remove(&path).unwrap();
    store.set("key", "value").unwrap();
    store.sync().unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn what_lies_in_place_of_the_checkpoint_makes_room_for_it() {
    let directory = directory();
    let path = directory.path().join("store");
    let store = options().create(&path).unwrap();
    store.set("a", "1").unwrap();
    for bytes in [0, 10, 100_000] {
        std::fs::write(checkpoint_of(&path), vec![0x5a; bytes]).unwrap();
        let store = options().open(&path).unwrap();
        store.sync().unwrap();
        assert!(has(&recovered(&path, directory.path()), "a", "1"), "{bytes}");
    }
}

#[test]
fn a_recovery_leaves_the_flags_and_counts_the_keys() {
    let directory = directory();
    let path = directory.path().join("store");
    for sterile in [true, false] {
        let store = options().auto_vacuum(sterile).create(&path).unwrap();
        store.sync().unwrap();
        for key in ["a", "b", "c"] {
            store.set(key, "1").unwrap();
        }
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&[0x5a; 16], BOOT_ID_AT as u64).unwrap();
        drop(store);
        let store = options().open(&path).unwrap();
        let recovery = store.recovery().unwrap();
        assert_eq!((recovery.kept, recovery.restored, recovery.lost), (3, 0, 0));
        assert_eq!(store.auto_vacuum().unwrap(), sterile);
        drop(store);
        Store::remove(&path).unwrap();
    }
}

#[test]
fn a_store_is_made_with_the_policy_that_was_asked_for_and_keeps_its_own() {
    let directory = directory();
    let path = directory.path().join("store");
    let lru = options().eviction(Eviction::Lru);
    assert_eq!(lru.create(&path).unwrap().eviction(), Ok(Eviction::Lru));
    let other = options().eviction(Eviction::Ttl).open_or_create(&path).unwrap();
    assert_eq!(other.eviction(), Ok(Eviction::Lru));
    assert_eq!(lru.anonymous().unwrap().eviction(), Ok(Eviction::Lru));
    other.backup(directory.path().join("copy")).unwrap();
    let copy = Store::open(directory.path().join("copy")).unwrap();
    assert_eq!(copy.eviction(), Ok(Eviction::Lru));
}

#[test]
fn a_commit_that_fails_is_told_and_so_are_all_after_it() {
    let directory = directory();
    in_child(|_| {
        let path = directory.path().join("store");
        let store = options().durability(Durability::Commit).create(&path).unwrap();
        store.set("a", "1").unwrap();
        assert_eq!(store.sync_failure(), None);
        FAILS.store(libc::EIO, Ordering::SeqCst);
        let error = store.set("a", "2").unwrap_err();
        assert_eq!((error.code(), error.os_error()), (ErrorCode::Io, Some(libc::EIO)));
        FAILS.store(0, Ordering::SeqCst);
        // It was made, and is seen.
        assert_eq!(store.get_vec("a").unwrap().unwrap(), b"2");
        assert_eq!(store.sync_failure(), Some(&error));
        let calls = waits(|| {
            assert_eq!(store.set("b", "3"), Err(error.clone()));
            assert_eq!(store.unset("a"), Err(error.clone()));
            assert_eq!(store.sync(), Err(error.clone()));
        });
        assert_eq!(
            calls,
            (0, 0),
            "a sync that went well would say nothing of the one that did not"
        );
        // One that changes nothing fails for its own reason.
        assert_eq!(store.set("", "3").unwrap_err().code(), ErrorCode::KeyInvalid);
    });
}

#[test]
fn the_sync_of_another_handle_writes_again_what_a_failed_one_lost() {
    let directory = directory();
    in_child(|_| {
        let (before, after) = (directory.path().join("before"), directory.path().join("after"));
        for path in [&before, &after] {
            std::fs::create_dir(path).unwrap();
        }
        NOTES.store(true, Ordering::SeqCst);
        let store = options().create(before.join("store")).unwrap();
        // One that has synced before, and so looks at what has changed alone.
        let other = options().open(before.join("store")).unwrap();
        store.set("a", "on the disk").unwrap();
        other.sync().unwrap();
        store.set("a", "1").unwrap();
        FAILS.store(libc::EIO, Ordering::SeqCst);
        store.sync().unwrap_err();
        FAILS.store(0, Ordering::SeqCst);
        // Nothing has changed since then but this.
        store.set("b", "2").unwrap();
        other.sync().unwrap();
        let expected = contents(&store);
        DISK.lock().unwrap().boot(&after);
        let store = options().open(after.join("store")).unwrap();
        assert_eq!(contents(&store), expected);
        assert!(store.check().unwrap().is_clean());
    });
}

#[test]
fn a_sync_that_nobody_waited_for_fails_for_whoever_asks() {
    for errno in [libc::EIO, libc::ENOSPC, libc::EACCES] {
        let directory = directory();
        in_child(|_| {
            let store = Arc::new(options().create(directory.path().join("store")).unwrap());
            store.set("a", "1").unwrap();
            store.sync().unwrap();
            FAILS.store(errno, Ordering::SeqCst);
            let syncer = Syncer::start(store.clone(), Duration::from_millis(1)).unwrap();
            until(|| store.sync_failure().is_some());
            let error = store.sync_failure().unwrap().clone();
            FAILS.store(0, Ordering::SeqCst);
            let calls = waits(|| {
                store.set("a", "2").unwrap();
                assert_eq!(store.sync(), Err(error.clone()));
                // It ends at once, and tries no more.
                drop(syncer);
            });
            assert_eq!(calls, (0, 0));
            assert_eq!(store.sync(), Err(error));
        });
    }
}

#[test]
fn the_last_sync_of_a_syncer_can_fail_too() {
    let directory = directory();
    in_child(|_| {
        let store = Arc::new(options().create(directory.path().join("store")).unwrap());
        let syncer = Syncer::start(store.clone(), Duration::from_secs(3600)).unwrap();
        store.set("a", "1").unwrap();
        assert_eq!(store.sync_failure(), None);
        FAILS.store(libc::EIO, Ordering::SeqCst);
        drop(syncer);
        assert_eq!(store.sync_failure().map(Error::code), Some(ErrorCode::Io));
    });
}

/// What a thread is in the midst of, waiting for the disk, when its process forks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Busy {
    Sync,
    Commit,
    Syncer,
    /// The first opening after a restart.
    Recovery,
}

const SYNCS: [Busy; 3] = [Busy::Sync, Busy::Commit, Busy::Syncer];

/// Runs `forked` while another thread has the checkpoint and waits for the disk, and lets that thread go on afterwards.
fn in_the_midst(busy: Busy, path: &Path, forked: impl FnOnce(&Arc<Store>)) {
    let durability = if busy == Busy::Commit {
        Durability::Commit
    } else {
        Durability::None
    };
    let store = Arc::new(options().durability(durability).open(path).unwrap());
    store.set("parent", "before").unwrap();
    store.sync().unwrap();
    if busy == Busy::Recovery {
        let file = File::options().write(true).open(path).unwrap();
        file.write_all_at(&[0x5a; 16], BOOT_ID_AT as u64).unwrap();
    }
    HOLDS.store(true, Ordering::SeqCst);
    let (theirs, their_path) = (store.clone(), path.to_path_buf());
    let thread = std::thread::spawn(move || match busy {
        Busy::Recovery => drop(options().open(&their_path).unwrap()),
        Busy::Commit => _ = theirs.set("parent", "after").unwrap(),
        Busy::Syncer => {
            theirs.set("parent", "after").unwrap();
            drop(Syncer::start(theirs, Duration::from_millis(1)).unwrap());
        }
        Busy::Sync => {
            theirs.set("parent", "after").unwrap();
            theirs.sync().unwrap();
        }
    });
    until(|| HELD.load(Ordering::SeqCst) > 0);
    forked(&store);
    HOLDS.store(false, Ordering::SeqCst);
    thread.join().unwrap();
}

/// What a power cut leaves that takes all that the region has of values.
fn recovered(path: &Path, directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let copy = directory.join("copy");
    let mut region = std::fs::read(path).unwrap();
    region[BOOT_ID_AT..BOOT_ID_AT + 16].fill(0x5a);
    for value in [b"before".as_slice(), b"after", b"later", b"child"] {
        let found = |region: &[u8]| region.windows(value.len()).position(|bytes| bytes == value);
        while let Some(at) = found(&region) {
            region[at] = b'#';
        }
    }
    std::fs::write(&copy, region).unwrap();
    std::fs::copy(checkpoint_of(path), checkpoint_of(&copy)).unwrap();
    let found = contents(&options().open(&copy).unwrap());
    Store::remove(&copy).unwrap();
    found
}

fn has(found: &BTreeMap<String, Vec<u8>>, key: &str, value: &str) -> bool {
    found.get(key).is_some_and(|found| found == value.as_bytes())
}

/// The words of a page by which processes tell each other how far they are.
const FORKED: usize = 0;
const SYNCED: usize = 1;
const GO_ON: usize = 2;

#[test]
fn a_child_forked_in_the_midst_of_a_sync_syncs_for_itself() {
    for busy in SYNCS {
        let directory = directory();
        let path = directory.path().join("store");
        drop(options().create(&path).unwrap());
        in_child(|_| {
            let mut child: Option<Child> = None;
            in_the_midst(busy, &path, |store| {
                let forked = fork(|page| {
                    HOLDS.store(false, Ordering::SeqCst);
                    page.set(FORKED, 1);
                    store.set("kid", "child").unwrap();
                    store.sync().unwrap();
                    page.set(SYNCED, 1);
                    page.await_word(GO_ON, 1);
                    store.set("kid", "child again").unwrap();
                    store.sync().unwrap();
                });
                forked.page.await_word(FORKED, 1);
                // It takes turns with its parent, which is not done: it sleeps, or is on its way there.
                until(|| forked.state() == b'S' || forked.page.get(SYNCED) == 1);
                assert_eq!(forked.page.get(SYNCED), 0, "{busy:?}: it did not wait");
                child = Some(forked);
            });
            let child = child.unwrap();
            child.page.await_word(SYNCED, 1);
            let found = recovered(&path, directory.path());
            assert!(
                has(&found, "parent", "after") && has(&found, "kid", "child"),
                "{busy:?}"
            );
            child.page.set(GO_ON, 1);
            child.join();
            let store = options().open(&path).unwrap();
            assert!(store.check().unwrap().is_clean(), "{busy:?}");
            store.set("parent", "later").unwrap();
            store.sync().unwrap();
            let found = recovered(&path, directory.path());
            assert!(
                has(&found, "parent", "later") && has(&found, "kid", "child again"),
                "{busy:?}"
            );
        });
    }
    println!("tried: {} forks in the midst of a sync", SYNCS.len());
}

#[test]
fn a_child_that_outlives_its_parent_holds_up_nobody() {
    let all = SYNCS.iter().chain(&[Busy::Recovery]);
    for &busy in all.clone() {
        let directory = directory();
        let path = directory.path().join("store");
        drop(options().create(&path).unwrap());
        let shared = Page::new();
        let parent = fork(|_| {
            in_the_midst(busy, &path, |_| {
                let _child = fork(|_| {
                    shared.set(FORKED, 1);
                    shared.await_word(GO_ON, 1);
                });
                shared.await_word(SYNCED, 1);
            });
        });
        shared.await_word(FORKED, 1);
        parent.kill();
        // The child is there, and its parent's locks are not.
        in_child(|_| {
            let store = options().open(&path).unwrap();
            store.set("other", "1").unwrap();
            store.sync().unwrap();
        });
        shared.set(GO_ON, 1);
    }
    println!("tried: {} deaths in the midst of a sync", all.count());
}

#[test]
fn a_child_can_close_what_its_parent_is_at() {
    for busy in SYNCS {
        let directory = directory();
        let path = directory.path().join("store");
        drop(options().create(&path).unwrap());
        in_child(|_| {
            in_the_midst(busy, &path, |store| {
                in_child(|_| {
                    // Some get the number of a descriptor that the child has not inherited.
                    let files: Vec<_> = (0..64).map(|_| File::open("/dev/null").unwrap()).collect();
                    // SAFETY: the other owners of the count are threads that are not in this process, and nobody uses the
                    // store any more.
                    unsafe {
                        for _ in 0..Arc::strong_count(store) {
                            Arc::decrement_strong_count(Arc::as_ptr(store));
                        }
                    }
                    assert!(files.iter().all(|file| file.metadata().is_ok()));
                });
            });
            let store = options().open(&path).unwrap();
            store.sync().unwrap();
            assert!(store.check().unwrap().is_clean(), "{busy:?}");
        });
    }
}

#[test]
fn the_thread_that_syncs_stays_with_the_parent_and_syncs_for_the_child_too() {
    let directory = directory();
    let path = directory.path().join("store");
    in_child(|_| {
        let store = Arc::new(options().create(&path).unwrap());
        store.set("parent", "before").unwrap();
        let mut syncer = Some(Syncer::start(store.clone(), Duration::from_millis(1)).unwrap());
        in_child(|_| {
            store.set("kid", "child").unwrap();
            // It has no thread, so there is nothing to wait for.
            assert_eq!(waits(|| drop(syncer.take())), (0, 0));
        });
        let is_synced = |bytes: Vec<u8>| bytes.windows(8).any(|bytes| bytes == b"kidchild");
        until(|| std::fs::read(checkpoint_of(&path)).is_ok_and(is_synced));
        drop(syncer);
        assert_eq!(store.sync_failure(), None);
    });
}

#[test]
fn a_child_knows_of_the_failure_of_its_parent() {
    let directory = directory();
    in_child(|_| {
        let store = options().create(directory.path().join("store")).unwrap();
        FAILS.store(libc::EIO, Ordering::SeqCst);
        let error = store.sync().unwrap_err();
        in_child(|_| {
            FAILS.store(0, Ordering::SeqCst);
            assert_eq!(store.sync_failure(), Some(&error));
            assert_eq!(store.sync(), Err(error.clone()));
        });
    });
}
