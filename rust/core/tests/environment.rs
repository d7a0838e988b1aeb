//! What the world around may do to a process: descriptors and memory run out, it is forked at any moment, it is stopped with
//! a lock in hand, its number is given to another, it lives in another pid namespace.
//!
//! Full disks are in `full_disk.rs`, files that are cut in `cut.rs`, missing rights in `remote.rs` and `lifecycle.rs`, clocks
//! that are set in `clock.rs`. Short by default; `SPLINTER_TEST_ROUNDS` lengthens it.

#[path = "common/bytes.rs"]
mod bytes;
#[path = "common/process.rs"]
mod process;
#[path = "common/tries.rs"]
mod tries;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{HANDLE_BYTES, Parts};
use process::{Child, fork, in_child};
use splinter::{Error, ErrorCode, OpenOptions, Selector, Store};
use tempfile::TempDir;
use tries::{number, tried};

/// Where a handle says its process's number.
const PID_AT: usize = 8;

/// Long enough that most of the time of a write is spent with the lock in hand.
const VALUE_BYTES: usize = 1 << 16;

/// Does not wait long for what will not come.
fn options() -> OpenOptions {
    OpenOptions::new()
        .slots(16)
        .max_value_bytes(VALUE_BYTES as u32)
        .lock_timeout(Duration::from_millis(20))
}

/// A directory on a disk, not in memory: what is in memory alone is not synced.
fn directory() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn assert_io<T: std::fmt::Debug>(result: Result<T, Error>, errno: i32, what: &str) {
    let error = result.unwrap_err();
    assert_eq!(
        (error.code(), error.os_error()),
        (ErrorCode::Io, Some(errno)),
        "{what}: {error}"
    );
}

/// Lets this process have so much of something, and no more.
fn limit(resource: libc::__rlimit_resource_t, to: u64) {
    // SAFETY: the structure lives during the calls.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(resource, &raw mut limit), 0);
        limit.rlim_cur = to;
        assert_eq!(libc::setrlimit(resource, &raw const limit), 0);
    }
}

/// Takes every descriptor that this process may have.
fn take_all_descriptors() -> Vec<File> {
    limit(libc::RLIMIT_NOFILE, 64);
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(!taken.is_empty());
    taken
}

#[test]
fn without_descriptors_nothing_is_opened_and_all_that_is_open_goes_on() {
    let directory = directory();
    let at = |name: &str| directory.path().join(name);
    in_child(|_| {
        let store = Arc::new(options().create(at("s")).unwrap());
        store.set("k", "before").unwrap();
        let mut watcher = store.watch("k").unwrap();
        let taken = take_all_descriptors();
        assert_io(options().open(at("s")), libc::EMFILE, "open");
        assert_io(options().read_only(true).open(at("s")), libc::EMFILE, "open to read");
        assert_io(options().create(at("new")), libc::EMFILE, "create");
        assert_io(options().anonymous(), libc::EMFILE, "anonymous");
        assert_io(store.backup(at("copy")), libc::EMFILE, "backup");
        assert_io(store.sync(), libc::EMFILE, "sync");
        assert_io(Selector::new(store.clone()).map(drop), libc::EMFILE, "selector");
        store.set("k", "during").unwrap();
        assert!(watcher.try_next().unwrap().is_some());
        assert!(!store.poll("k", Duration::from_millis(1)).unwrap());
        assert!(store.check().unwrap().is_clean());
        drop(taken);
        let other = options().open(at("s")).unwrap();
        assert_eq!(other.get_vec("k").unwrap().unwrap(), b"during");
        other.sync().unwrap();
        drop(Selector::new(store.clone()).unwrap());
        assert!(!at("new").exists() && !at("copy").exists());
    });
}

#[test]
fn a_child_forked_without_a_descriptor_to_spare_writes_nothing_and_proves_no_life_of_its_parent() {
    let directory = directory();
    let path = directory.path().join("s");
    let store = options().create(&path).unwrap();
    let parent = fork(|page| {
        let mine = options().open(&path).unwrap();
        let _taken = take_all_descriptors();
        let child = fork(|_| {
            assert_eq!(mine.get_vec("k").unwrap(), None);
            page.set(1, mine.set("k", "unproved").unwrap_err().code() as u64);
            loop {
                std::thread::park();
            }
        });
        page.set(0, child.pid as u64);
        child.join();
    });
    let child = parent.page.await_change(0, 0);
    let refused = parent.page.await_change(1, 0);
    let attached = store.attached().unwrap().len();
    parent.kill();
    let left = store.attached().unwrap().len();
    // SAFETY: only numbers; the orphan lives, since nobody else ends it.
    unsafe { libc::kill(child as i32, libc::SIGKILL) };
    assert_eq!(refused, ErrorCode::Io as u64);
    assert_eq!((attached, left), (2, 1), "the dead parent seems to live");
}

#[test]
fn without_memory_nothing_is_opened_and_all_that_is_open_goes_on() {
    const REGION_BYTES: u64 = 1 << 30;
    let directory = directory();
    let at = |name: &str| directory.path().join(name);
    let large = OpenOptions::new().slots(1 << 13).max_value_bytes(VALUE_BYTES as u32);
    drop(large.create(at("large")).unwrap());
    in_child(|_| {
        let store = options().create(at("s")).unwrap();
        store.set("k", "before").unwrap();
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
        limit(libc::RLIMIT_AS, pages * 4096 + REGION_BYTES / 4);
        assert_io(large.create(at("new")), libc::ENOMEM, "create");
        for options in [large.clone(), large.clone().read_only(true)] {
            let error = options.open(at("large")).unwrap_err();
            assert_eq!(error.os_error(), Some(libc::ENOMEM), "{error}");
        }
        store.set("k", "after").unwrap();
        assert_eq!(store.get_vec("k").unwrap().unwrap(), b"after");
        options().open(at("s")).unwrap().set("k", "by another").unwrap();
        assert!(store.check().unwrap().is_clean());
        limit(libc::RLIMIT_AS, libc::RLIM_INFINITY);
        large.open(at("large")).unwrap().set("k", "v").unwrap();
        assert!(!at("new").exists());
    });
}

#[test]
fn a_child_forked_at_any_moment_uses_the_handle_and_neither_side_hangs() {
    let directory = directory();
    let path = directory.path().join("s");
    let forks = number("SPLINTER_TEST_ROUNDS").unwrap_or(100);
    in_child(|page| {
        let store = OpenOptions::new().slots(16).create(&path).unwrap();
        let done = AtomicBool::new(false);
        let works: [&(dyn Fn() + Sync); 4] = [
            &|| assert!(store.set("hot", vec![7; 4000]).unwrap() > 0),
            &|| assert!(store.set("comes", "and").is_ok() && store.unset("comes").is_ok()),
            &|| store.sync().unwrap(),
            &|| assert!(store.poll("hot", Duration::from_millis(1)).is_ok()),
        ];
        std::thread::scope(|scope| {
            for work in works {
                let done = &done;
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        work();
                    }
                });
            }
            for round in 0..forks {
                page.step(round);
                let child = fork(|page| {
                    for (step, work) in works.into_iter().enumerate() {
                        page.step(step as u64);
                        // SAFETY: its default action ends the process.
                        unsafe { libc::alarm(20) };
                        work();
                    }
                    assert_eq!(store.get_vec("hot").unwrap().unwrap(), [7; 4000]);
                    store.set("child", round.to_le_bytes()).unwrap();
                });
                // Not `join`: the other threads are to end, whatever happens.
                let status = child.wait();
                if status != 0 {
                    done.store(true, Ordering::Relaxed);
                }
                assert_eq!(status, 0, "fork {round}");
                assert_eq!(store.get_vec("child").unwrap().unwrap(), round.to_le_bytes());
            }
            done.store(true, Ordering::Relaxed);
        });
        // The children have ended without closing anything.
        store.purge().unwrap();
        let report = store.check().unwrap();
        assert!(report.is_clean(), "{report:?}");
    });
    tried(forks, "forks beside writers");
}

#[test]
fn a_parent_killed_in_a_sync_holds_up_no_other_sync_though_its_child_lives() {
    let directory = directory();
    let path = directory.path().join("s");
    let store = options().create(&path).unwrap();
    for _ in 0..5 {
        let parent = fork(|page| {
            let mine = options().open(&path).unwrap();
            mine.sync().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for n in 0_u64.. {
                        mine.set("k", n.to_le_bytes()).unwrap();
                        mine.sync().unwrap();
                        page.set(1, n);
                    }
                });
                page.await_change(1, 0);
                let child = fork(|_| {
                    loop {
                        std::thread::park();
                    }
                });
                page.set(0, child.pid as u64);
                std::mem::forget(child);
            });
        });
        let child = parent.page.await_change(0, 0);
        // Some more syncs, now that there is somebody else who has what the parent had open.
        let syncs = parent.page.get(1);
        while parent.page.get(1) < syncs + 3 {
            std::thread::yield_now();
        }
        parent.kill();
        in_child(|_| {
            let store = options().open(&path).unwrap();
            store.set("k", "after").unwrap();
            store.sync().unwrap();
        });
        // SAFETY: only numbers; the orphan lives, since nobody else ends it.
        unsafe { libc::kill(child as i32, libc::SIGKILL) };
    }
    assert_eq!(store.get_vec("k").unwrap().unwrap(), b"after");
}

/// A process that writes one key for ever.
fn hammerer(path: &std::path::Path) -> Child {
    fork(|_| hammer(path))
}

fn hammer(path: &std::path::Path) {
    let store = options().open(path).unwrap();
    for byte in (1..=255).cycle() {
        store.set("hot", vec![byte; VALUE_BYTES]).unwrap();
    }
}

fn signal(pid: i32, signal: i32) {
    // SAFETY: only numbers; the process has not been waited for, so the number is still its own.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// Stops a process that hammers where it holds the lock of its key.
fn stop_in_a_lock(pid: i32, store: &Store) {
    loop {
        signal(pid, libc::SIGSTOP);
        while !std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .unwrap()
            .contains(") T ")
        {
            std::thread::yield_now();
        }
        match store.try_set("hot", vec![0; 9]) {
            Err(error) if error.code() == ErrorCode::Busy => return,
            result => assert!(result.is_ok(), "{result:?}"),
        }
        let before = store.epoch("hot").unwrap();
        signal(pid, libc::SIGCONT);
        while store.epoch("hot").unwrap() == before {
            std::thread::yield_now();
        }
    }
}

fn repairs(store: &Store) -> u64 {
    store.header_snapshot().unwrap().repairs
}

/// Whoever holds the lock lives: it is his, and the world goes on around it.
fn assert_nothing_is_stolen(store: &Store) {
    let before = repairs(store);
    for (what, result) in [
        ("set", store.set("hot", "stolen").map(drop)),
        ("unset", store.unset("hot").map(drop)),
        ("label", store.label("hot", 1, 0).map(drop)),
    ] {
        assert_eq!(result.unwrap_err().code(), ErrorCode::Busy, "{what}");
    }
    // Those who look for what the dead have left do not find him dead.
    drop(options().open(store.path()).unwrap());
    let _ = store.purge();
    let value = store.get_vec("hot").unwrap().unwrap();
    assert!(value.iter().all(|byte| *byte == value[0]) && [9, VALUE_BYTES].contains(&value.len()));
    store.set("other", "goes on").unwrap();
    assert!(store.unset("other").unwrap().is_some());
    assert_eq!(repairs(store), before);
}

/// As others see it who wait longer than the dead need to be dead.
fn assert_taken_over(store: &Store) {
    let before = repairs(store);
    let patient = Store::open(store.path()).unwrap();
    patient.set("hot", "the next").unwrap();
    assert_eq!(store.get_vec("hot").unwrap().unwrap(), b"the next");
    assert!(repairs(store) > before);
    // Whoever opened the store may have come before the death, so that the handle of the dead is still in the table.
    store.purge().unwrap();
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_stopped_process_keeps_its_lock_and_holds_up_nobody_else() {
    let directory = directory();
    let path = directory.path().join("s");
    let store = options().create(&path).unwrap();
    store.set("hot", vec![0; 9]).unwrap();
    let child = hammerer(&path);
    for _ in 0..5 {
        stop_in_a_lock(child.pid, &store);
        assert_nothing_is_stolen(&store);
        signal(child.pid, libc::SIGCONT);
        Store::open(&path).unwrap().set("hot", vec![0; 9]).unwrap();
    }
    assert_eq!(repairs(&store), 0);
    stop_in_a_lock(child.pid, &store);
    child.kill();
    assert_taken_over(&store);
}

#[test]
fn a_number_that_another_process_has_now_proves_neither_life_nor_death() {
    let directory = directory();
    let path = directory.path().join("s");
    let store = options().create(&path).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    let handles = Parts::of(store.geometry()).handles.start;
    let rename = |child: &Child, pid: u32| {
        let attached = store.attached().unwrap();
        let handle = attached.iter().find(|handle| handle.pid == child.pid as u32).unwrap();
        let at = handles + handle.id as usize * HANDLE_BYTES + PID_AT;
        file.write_all_at(&pid.to_le_bytes(), at as u64).unwrap();
    };
    // One that is dead and gone.
    let gone = fork(|_| {});
    let dead = gone.pid as u32;
    gone.join();
    store.set("hot", vec![0; 9]).unwrap();
    let child = hammerer(&path);
    stop_in_a_lock(child.pid, &store);
    rename(&child, dead);
    assert_nothing_is_stolen(&store);
    child.kill();
    assert_taken_over(&store);

    let child = hammerer(&path);
    stop_in_a_lock(child.pid, &store);
    rename(&child, std::process::id());
    child.kill();
    assert_taken_over(&store);
}

#[test]
fn a_process_in_another_pid_namespace_keeps_its_lock_while_it_lives_and_no_longer() {
    let directory = directory();
    let path = directory.path().join("s");
    let store = options().create(&path).unwrap();
    store.set("hot", vec![0; 9]).unwrap();
    let parent = fork(|page| {
        // SAFETY: it concerns those that this process forks from now on.
        if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
            page.set(0, u64::MAX);
            return;
        }
        let child = fork(|_| {
            assert_eq!(std::process::id(), 1);
            hammer(&path);
        });
        page.set(0, child.pid as u64);
        assert_eq!(child.wait(), libc::SIGKILL);
    });
    let child = parent.page.await_change(0, 0);
    if child == u64::MAX {
        eprintln!("could not run: no pid namespace could be made");
        return;
    }
    stop_in_a_lock(child as i32, &store);
    assert!(store.attached().unwrap().iter().any(|handle| handle.pid == 1));
    assert_nothing_is_stolen(&store);
    signal(child as i32, libc::SIGKILL);
    assert_taken_over(&store);
    parent.join();
}
