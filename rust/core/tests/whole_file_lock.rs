//! Whoever writes a store without the native library locks its file as a whole: no handle that writes comes beside him, and he
//! does not come beside one.

#[path = "common/process.rs"]
mod process;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use process::fork;
use splinter::{ErrorCode, OpenOptions, Store};
use tempfile::{TempDir, tempdir};

/// The path of a store to be, and what keeps its directory. Tests take turns: a child that one of them forks has the open files of
/// all, and so their locks.
fn scene() -> (PathBuf, (TempDir, MutexGuard<'static, ()>)) {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempdir().unwrap();
    (directory.path().join("s"), (directory, turn))
}

fn file(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

/// Whether somebody has the file open for writing, or for himself.
fn is_taken(path: &Path) -> bool {
    match file(path).try_lock() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(error)) => panic!("{error}"),
    }
}

/// Waits until nobody has it.
fn await_nobody(path: &Path) {
    file(path).lock().unwrap();
}

fn refusal(path: &Path) -> ErrorCode {
    let impatient = OpenOptions::new().lock_timeout(Duration::ZERO);
    impatient.open(path).unwrap_err().code()
}

#[test]
fn the_file_is_to_be_had_when_the_last_handle_that_writes_is_gone() {
    let (path, _scene) = scene();
    let first = Store::create(&path).unwrap();
    assert!(is_taken(&path));
    let second = Store::open(&path).unwrap();
    drop(first);
    assert!(is_taken(&path));
    drop(second);
    // Who only reads is in nobody's way.
    let _reader = OpenOptions::new().read_only(true).open(&path).unwrap();
    await_nobody(&path);
}

#[test]
fn while_somebody_has_the_file_for_himself_it_is_only_read() {
    let (path, _scene) = scene();
    Store::create(&path).unwrap().set("k", "v").unwrap();
    let alone = file(&path);
    alone.lock().unwrap();
    assert_eq!(refusal(&path), ErrorCode::Busy);
    let patient = OpenOptions::new().lock_timeout(Duration::from_millis(20));
    assert_eq!(patient.open(&path).unwrap_err().code(), ErrorCode::Busy);
    let reader = OpenOptions::new().read_only(true).open(&path).unwrap();
    assert_eq!(reader.get_vec("k").unwrap().as_deref(), Some(&b"v"[..]));
    drop(alone);
    Store::open(&path).unwrap().set("k", "w").unwrap();
    assert_eq!(reader.get_vec("k").unwrap().as_deref(), Some(&b"w"[..]));
}

#[test]
fn a_killed_writer_leaves_the_file_to_be_had() {
    let (path, _scene) = scene();
    Store::create(&path).unwrap();
    let writer = fork(|page| {
        let store = Store::open(&path).unwrap();
        store.set("k", "v").unwrap();
        page.set(0, 1);
        page.await_word(0, 2);
    });
    writer.page.await_word(0, 1);
    assert!(is_taken(&path));
    writer.kill();
    await_nobody(&path);
}

#[test]
fn one_who_had_the_file_for_himself_and_was_killed_leaves_it_to_all() {
    let (path, _scene) = scene();
    Store::create(&path).unwrap();
    let alone = fork(|page| {
        let file = file(&path);
        file.lock().unwrap();
        page.set(0, 1);
        page.await_word(0, 2);
    });
    alone.page.await_word(0, 1);
    assert_eq!(refusal(&path), ErrorCode::Busy);
    alone.kill();
    Store::open(&path).unwrap();
}

#[test]
fn a_forked_child_shares_the_file_from_its_first_write_on() {
    let (path, _scene) = scene();
    let mut store = Some(Store::create(&path).unwrap());
    let child = fork(|page| {
        page.await_word(0, 1);
        let taken = store.take().unwrap();
        taken.set("k", "child").unwrap();
        page.set(0, 2);
        page.await_word(0, 3);
        drop(taken);
        page.set(0, 4);
        page.await_word(0, 5);
    });
    drop(store);
    // The child has its parent's open file no more, and no other yet that it shares.
    await_nobody(&path);
    child.page.set(0, 1);
    child.page.await_word(0, 2);
    assert!(is_taken(&path));
    child.page.set(0, 3);
    child.page.await_word(0, 4);
    await_nobody(&path);
    child.page.set(0, 5);
    child.join();
}

#[test]
fn a_forked_child_writes_nothing_while_somebody_has_the_file_for_himself() {
    let (path, _scene) = scene();
    let store = Store::create(&path).unwrap();
    let child = fork(|page| {
        page.await_word(0, 1);
        assert_eq!(store.set("k", "child").unwrap_err().code(), ErrorCode::Busy);
        page.set(0, 2);
        page.await_word(0, 3);
        store.set("k", "child").unwrap();
    });
    drop(store);
    let alone = file(&path);
    alone.lock().unwrap();
    child.page.set(0, 1);
    child.page.await_word(0, 2);
    drop(alone);
    child.page.set(0, 3);
    child.join();
    let reader = OpenOptions::new().read_only(true).open(&path).unwrap();
    assert_eq!(reader.get_vec("k").unwrap().as_deref(), Some(&b"child"[..]));
}
