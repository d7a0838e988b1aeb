//! Stores on file systems that have no files without names and cannot reserve space: there the kernel refuses both.

use std::ffi::{CStr, c_char, c_int};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Barrier;

use splinter::{Error, ErrorCode, OpenOptions, Store};
use tempfile::{TempDir, tempdir_in};

const BOOT_ID_AT: u64 = 136;
const SLOTS: u32 = 70;
/// So long that a chunk of space has few slots.
const VALUE_BYTES: usize = 32 << 10;

// In place of the functions of the C library, which do no more than to call the kernel.

/// # Safety
///
/// `path` is NUL-terminated.
#[unsafe(no_mangle)]
unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    if flags & libc::O_TMPFILE == libc::O_TMPFILE {
        return refuse();
    }
    // SAFETY: as the caller says.
    let path = unsafe { CStr::from_ptr(path) };
    // SAFETY: the path is NUL-terminated; nothing else is passed by address.
    unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, mode) as c_int }
}

#[unsafe(no_mangle)]
extern "C" fn fallocate(_file: c_int, _mode: c_int, _from: libc::off_t, _bytes: libc::off_t) -> c_int {
    refuse()
}

fn refuse() -> c_int {
    // SAFETY: the address of the thread's own error number.
    unsafe { *libc::__errno_location() = libc::EOPNOTSUPP };
    -1
}

/// On a file system where every page that was never written is seen to be missing.
fn directory() -> TempDir {
    tempdir_in("/dev/shm").unwrap()
}

fn options() -> OpenOptions {
    OpenOptions::new().slots(SLOTS).max_value_bytes(VALUE_BYTES as u32)
}

fn names(directory: &Path) -> Vec<String> {
    let entries = directory.read_dir().unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn fill(store: &Store) {
    for n in 0..SLOTS {
        store.set(n.to_string(), vec![n as u8 + 1; VALUE_BYTES]).unwrap();
    }
}

fn assert_full(store: &Store) {
    for n in 0..SLOTS {
        let value = store.get_vec(n.to_string()).unwrap();
        assert!(value == Some(vec![n as u8 + 1; VALUE_BYTES]), "{n}");
    }
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_store_has_all_its_space_from_the_beginning() {
    let directory = directory();
    let path = directory.path().join("s");
    let store = options().create(&path).unwrap();
    assert_eq!(names(directory.path()), ["s"], "nothing else is left");
    let space = || {
        let metadata = path.metadata().unwrap();
        (metadata.blocks() * 512, metadata.len())
    };
    let (reserved, bytes) = space();
    assert!(reserved >= bytes, "{reserved} of {bytes} bytes");
    fill(&store);
    assert_full(&store);
    assert_full(&options().open(&path).unwrap());
    assert_eq!(space(), (reserved, bytes));
}

#[test]
fn of_those_who_create_a_store_at_once_one_does() {
    for _ in 0..20 {
        const CREATORS: usize = 4;
        let directory = directory();
        let path = directory.path().join("s");
        let together = Barrier::new(CREATORS);
        let created: Vec<Result<Store, Error>> = std::thread::scope(|scope| {
            let create = || {
                together.wait();
                options().create(&path)
            };
            let creators = [(); CREATORS].map(|()| scope.spawn(create));
            creators.map(|creator| creator.join().unwrap()).into()
        });
        let (made, others): (Vec<_>, Vec<_>) = created.into_iter().partition(Result::is_ok);
        assert_eq!(made.len(), 1);
        for other in others {
            assert_eq!(other.unwrap_err(), Error::Exists);
        }
        assert_eq!(names(directory.path()), ["s"], "nothing else is left");
    }
}

#[test]
fn where_no_file_can_be_made_the_reason_is_told() {
    let directory = directory();
    let error = options().create(directory.path().join("missing/s")).unwrap_err();
    assert_eq!(error.os_error(), Some(libc::ENOENT), "{error}");
    File::create(directory.path().join("file")).unwrap();
    let error = options().create(directory.path().join("file/s")).unwrap_err();
    assert_eq!(error.os_error(), Some(libc::ENOTDIR), "{error}");
    let error = options().create(directory.path().join("n".repeat(256))).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument, "{error}");
}

/// On a disk, since what is in memory is never synced.
#[test]
fn what_was_synced_comes_back_after_a_power_cut() {
    let directory = tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("s");
    let store = options().create(&path).unwrap();
    // Twice: the second one looks at what the journal names.
    store.sync().unwrap();
    fill(&store);
    store.sync().unwrap();
    assert_eq!(names(directory.path()), ["s", "s.checkpoint"]);
    drop(store);
    let cut = || -> io::Result<()> {
        let file = File::options().read(true).write(true).open(&path)?;
        file.write_all_at(&[0x5a; 16], BOOT_ID_AT)?;
        // All values are lost: they lie in the last part.
        let bytes = u64::from(SLOTS) * 2 * VALUE_BYTES as u64;
        file.write_all_at(&vec![0; bytes as usize], file.metadata()?.len() - bytes)
    };
    cut().unwrap();
    let store = options().open(&path).unwrap();
    let recovery = store.recovery().unwrap();
    assert_eq!((recovery.kept, recovery.restored, recovery.lost), (0, SLOTS, 0));
    assert_full(&store);
}
