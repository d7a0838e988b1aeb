//! Stores on network file systems that make a lock on a whole file one on each of its bytes: here `flock` does so.

use std::ffi::c_int;
use std::fs::{File, TryLockError};

use splinter::{ErrorCode, Store};
use tempfile::tempdir;

// In place of the function of the C library: as the kernel's client of such a file system does it.
#[unsafe(no_mangle)]
extern "C" fn flock(file: c_int, operation: c_int) -> c_int {
    // SAFETY: all-zero bytes are a valid `flock`, of all bytes of a file.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = match operation & !libc::LOCK_NB {
        libc::LOCK_SH => libc::F_RDLCK,
        libc::LOCK_EX => libc::F_WRLCK,
        _ => libc::F_UNLCK,
    } as libc::c_short;
    // SAFETY: the kernel reads one `flock`.
    unsafe { libc::fcntl(file, libc::F_OFD_SETLK, &lock) }
}

#[test]
fn handles_are_in_the_way_of_who_wants_the_file_for_himself_and_not_of_each_other() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let first = Store::create(&path).unwrap();
    let second = Store::open(&path).unwrap();
    first.set("k", "first").unwrap();
    second.set("k", "second").unwrap();
    let alone = File::options().read(true).write(true).open(&path).unwrap();
    assert!(matches!(alone.try_lock(), Err(TryLockError::WouldBlock)));
    drop(first);
    assert!(matches!(alone.try_lock(), Err(TryLockError::WouldBlock)));
    drop(second);
    alone.try_lock().unwrap();
    assert_eq!(Store::open(&path).unwrap_err().code(), ErrorCode::Busy);
    drop(alone);
    Store::open(&path).unwrap();
}

#[test]
fn handles_that_come_and_go_at_once_do_not_take_each_other_for_one_who_wants_it_all() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    Store::create(&path).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    Store::open(&path).unwrap().set("k", "v").unwrap();
                }
            });
        }
    });
}
