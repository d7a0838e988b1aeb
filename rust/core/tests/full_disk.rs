//! A full disk is an error of those operations that need more of it, and no matter to the others.
//!
//! Each test runs in a child with a small tmpfs of its own, which vanishes with it. Where the system does not allow that,
//! the tests say so and pass.

#[path = "common/process.rs"]
mod process;

use std::ffi::CString;
use std::io::{Error as IoError, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use process::fork;
use splinter::{Error, ErrorCode, OpenOptions, SLOTS_MAX, Store, VALUE_BYTES_MAX};
use tempfile::tempdir;

const DISK_BYTES: u64 = 2 << 20;
const SLOTS: u32 = 64;
const VALUE_BYTES: usize = 32 << 10;
/// Slots share space in chunks of 256 KiB; each has room for two values.
const CHUNK_SLOTS: usize = (256 << 10) / (2 * VALUE_BYTES);

/// A store whose fixed parts fit on the disk, and whose values do not.
fn options() -> OpenOptions {
    OpenOptions::new().slots(SLOTS).max_value_bytes(VALUE_BYTES as u32)
}

fn value(n: usize) -> Vec<u8> {
    vec![n as u8 + 1; VALUE_BYTES]
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorCode {
    result.unwrap_err().code()
}

fn check(result: i32) -> Result<(), IoError> {
    if result == 0 {
        Ok(())
    } else {
        Err(IoError::last_os_error())
    }
}

/// Puts a tmpfs over a directory, for the calling process alone.
fn mount_small_disk(over: &Path) -> Result<(), IoError> {
    // SAFETY: a query without arguments.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let namespaces = libc::CLONE_NEWNS | if user == 0 { 0 } else { libc::CLONE_NEWUSER };
    // SAFETY: it concerns the calling process, which has one thread.
    check(unsafe { libc::unshare(namespaces) })?;
    if user != 0 {
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
        std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))?;
    }
    let over = CString::new(over.as_os_str().as_bytes())?;
    let size = CString::new(format!("size={DISK_BYTES},mode=755"))?;
    let tmpfs = c"tmpfs".as_ptr();
    // SAFETY: all strings are NUL-terminated; NULL where nothing is to be said.
    unsafe {
        let nothing = std::ptr::null();
        // So that what is mounted here is mounted nowhere else.
        check(libc::mount(
            nothing,
            c"/".as_ptr(),
            nothing,
            libc::MS_REC | libc::MS_PRIVATE,
            nothing.cast(),
        ))?;
        check(libc::mount(tmpfs, over.as_ptr(), tmpfs, 0, size.as_ptr().cast()))
    }
}

/// Runs `work` in a child, on a small disk of its own that is mounted over `at`.
fn on_small_disk_at(at: &Path, work: impl FnOnce(&Disk)) {
    let child = fork(|page| match mount_small_disk(at) {
        Ok(()) => work(&Disk(at.into())),
        Err(error) => page.set(0, 1 + error.raw_os_error().unwrap_or(0) as u64),
    });
    let page = child.page;
    child.join();
    if page.get(0) != 0 {
        let error = IoError::from_raw_os_error(page.get(0) as i32 - 1);
        eprintln!("could not run: no small disk could be mounted: {error}");
    }
}

fn on_small_disk(work: impl FnOnce(&Disk)) {
    let directory = tempdir().unwrap();
    on_small_disk_at(directory.path(), work);
}

struct Disk(PathBuf);

impl Disk {
    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Bytes that are left, and names that there are.
    fn state(&self) -> (u64, usize) {
        let path = CString::new(self.0.as_os_str().as_bytes()).unwrap();
        // SAFETY: the path is NUL-terminated, the structure lives during the call.
        let free = unsafe {
            let mut state: libc::statvfs = std::mem::zeroed();
            assert_eq!(libc::statvfs(path.as_ptr(), &mut state), 0);
            state.f_bavail * state.f_bsize
        };
        (free, std::fs::read_dir(&self.0).unwrap().count())
    }

    /// Takes all of the disk but for `left` bytes.
    fn fill(&self, name: &str, left: u64) {
        let mut file = std::fs::File::create(self.at(name)).unwrap();
        let page = [7; 4096];
        while self.state().0 > left && file.write(&page).is_ok_and(|bytes| bytes > 0) {}
        assert!(self.state().0 <= left);
    }

    fn free(&self, name: &str) {
        std::fs::remove_file(self.at(name)).unwrap();
    }
}

/// Inserts keys until the disk is full, and returns how many keys there are then.
fn insert_all(store: &Store, from: usize) -> usize {
    let mut n = from;
    loop {
        match store.set(format!("key{n}"), value(n)) {
            Ok(_) => n += 1,
            Err(error) => {
                assert_eq!(error, Error::NoSpace, "key{n}");
                return n;
            }
        }
    }
}

fn assert_values(store: &Store, keys: usize) {
    assert_eq!(store.keys().count(), keys);
    for n in 0..keys {
        assert!(store.get_vec(format!("key{n}")).unwrap().unwrap() == value(n), "key{n}");
    }
    assert_eq!(store.header_snapshot().unwrap().parse_failures, 0);
}

#[test]
fn a_store_too_large_for_the_disk_is_not_created() {
    on_small_disk(|disk| {
        let before = disk.state();
        let too_large = [
            OpenOptions::new().slots(1 << 16).max_value_bytes(1),
            OpenOptions::new().slots(SLOTS_MAX).max_value_bytes(VALUE_BYTES_MAX),
            OpenOptions::new().journal_entries(1 << 20),
        ];
        for options in too_large {
            assert_eq!(options.create(disk.at("s")).unwrap_err(), Error::NoSpace);
            assert_eq!(options.open_or_create(disk.at("s")).unwrap_err(), Error::NoSpace);
            assert_eq!(options.create_or_open(disk.at("s")).unwrap_err(), Error::NoSpace);
            assert_eq!(disk.state(), before, "nothing is left");
        }
        disk.fill("filler", 0);
        assert_eq!(options().create(disk.at("s")).unwrap_err(), Error::NoSpace);
        assert_eq!(code(options().create(disk.at("filler"))), ErrorCode::Exists);
        disk.free("filler");
        assert_eq!(disk.state(), before);
        options().create(disk.at("s")).unwrap().set("k", "v").unwrap();
    });
}

#[test]
fn a_large_store_costs_only_what_it_holds() {
    on_small_disk(|disk| {
        // Sixteen times the disk, if it were all there.
        let store = OpenOptions::new()
            .slots(1024)
            .max_value_bytes(16 << 10)
            .create(disk.at("s"))
            .unwrap();
        assert!(store.header_snapshot().unwrap().region_bytes > 16 * DISK_BYTES);
        let (free, _) = disk.state();
        assert!(free > DISK_BYTES / 2);
        store.set("k", "v").unwrap();
        assert_eq!(disk.state().0, free - (256 << 10), "one chunk");
        store.set("another", "v").unwrap();
        store.set("k", vec![1; 16 << 10]).unwrap();
        assert_eq!(disk.state().0, free - (256 << 10), "the same chunk");
    });
}

#[test]
fn inserts_into_a_full_disk_are_refused_and_nothing_else_is() {
    on_small_disk(|disk| {
        let store = options().create(disk.at("s")).unwrap();
        let keys = insert_all(&store, 0);
        assert!(
            keys >= 16 && keys < SLOTS as usize && keys.is_multiple_of(CHUNK_SLOTS),
            "{keys} keys"
        );
        // The rest of a chunk too, so that no page at all is to be had.
        disk.fill("filler", 0);
        assert_eq!(store.try_set("new", ""), Err(Error::NoSpace));
        assert_eq!(store.set("new", ""), Err(Error::NoSpace));
        assert!(!store.contains("new").unwrap());
        assert_values(&store, keys);
        for sterile in [false, true, true] {
            store.set_auto_vacuum(sterile).unwrap();
            for n in 0..keys {
                store.set(format!("key{n}"), value(n)).unwrap();
                store.try_set(format!("key{n}"), value(n)).unwrap();
            }
        }
        store.sync().unwrap();
        assert_values(&store, keys);
        // By others too, who attach now.
        let other = Store::open(disk.at("s")).unwrap();
        other.set("key0", value(0)).unwrap();
        assert_eq!(other.set("new", ""), Err(Error::NoSpace));
        assert_values(&OpenOptions::new().read_only(true).open(disk.at("s")).unwrap(), keys);
    });
}

#[test]
fn a_deleted_key_makes_room_for_another_on_a_full_disk() {
    on_small_disk(|disk| {
        let store = options().create(disk.at("s")).unwrap();
        let keys = insert_all(&store, 0);
        disk.fill("filler", 0);
        for n in 0..keys {
            assert_eq!(store.unset(format!("key{n}")).unwrap(), Some(VALUE_BYTES));
            store.set("in its place", value(n)).unwrap();
            assert_eq!(store.set("one more", value(n)), Err(Error::NoSpace));
            assert_eq!(store.unset("in its place").unwrap(), Some(VALUE_BYTES));
            store.set(format!("key{n}"), value(n)).unwrap();
        }
        assert_values(&store, keys);
        for n in 0..keys {
            assert_eq!(store.try_unset(format!("key{n}")).unwrap(), Some(VALUE_BYTES));
        }
        assert_eq!(insert_all(&store, 0), keys, "as many as before, in whatever order");
        assert_values(&store, keys);
    });
}

#[test]
fn inserts_go_on_when_there_is_space_again() {
    on_small_disk(|disk| {
        let store = options().create(disk.at("s")).unwrap();
        disk.fill("filler", 600 << 10);
        let keys = insert_all(&store, 0);
        assert_eq!(keys, 2 * CHUNK_SLOTS);
        disk.free("filler");
        let more = insert_all(&store, keys);
        assert!(more >= keys + CHUNK_SLOTS, "{more} keys");
        assert_values(&store, more);
        drop(store);
        assert_values(&Store::open(disk.at("s")).unwrap(), more);
    });
}

#[test]
fn full_shared_memory_is_no_space_too() {
    on_small_disk_at(Path::new("/dev/shm"), |disk| {
        let options = options().memory(true);
        let store = options.create("s").unwrap();
        let keys = insert_all(&store, 0);
        assert!(keys >= 16 && keys < SLOTS as usize, "{keys} keys");
        store.set("key0", value(0)).unwrap();
        assert_values(&store, keys);
        disk.fill("filler", 0);
        assert_eq!(options.create("another").unwrap_err(), Error::NoSpace);
        assert_eq!(disk.state().1, 2);
    });
}

#[test]
fn a_backup_onto_a_full_disk_leaves_nothing() {
    on_small_disk(|disk| {
        let store = options().anonymous().unwrap();
        for n in 0..SLOTS as usize {
            store.set(format!("key{n}"), value(n)).unwrap();
        }
        let before = disk.state();
        // The fixed parts find room, and some of the values.
        assert_eq!(store.backup(disk.at("copy")), Err(Error::NoSpace));
        assert_eq!(disk.state(), before);
        disk.fill("filler", 0);
        let full = disk.state();
        assert_eq!(store.backup(disk.at("copy")), Err(Error::NoSpace));
        assert_eq!(disk.state(), full);
        disk.free("filler");
        for n in 8..SLOTS as usize {
            store.unset(format!("key{n}")).unwrap();
        }
        store.backup(disk.at("copy")).unwrap();
        assert_values(&Store::open(disk.at("copy")).unwrap(), 8);
    });
}
