//! How others reach a store: by its name, by a descriptor, read-only, by a copy; and how its name is taken away.

#[path = "common/abuse.rs"]
mod abuse;
#[path = "common/bytes.rs"]
mod bytes;
#[path = "common/process.rs"]
mod process;

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use abuse::become_nobody;
use bytes::Parts;
use process::{fork, in_child};
use splinter::{Error, ErrorCode, OpenOptions, Store};
use tempfile::tempdir;

fn small() -> OpenOptions {
    OpenOptions::new().slots(4).max_value_bytes(200).journal_entries(64)
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorCode {
    result.unwrap_err().code()
}

/// A name of shared memory that nobody else uses, taken away when the test ends.
struct Name(String);

impl Name {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(format!("splinter-test-{}-{count}", std::process::id()))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(Path::new("/dev/shm").join(&self.0));
    }
}

fn descriptor_path(descriptor: &impl AsRawFd) -> PathBuf {
    format!("/dev/fd/{}", descriptor.as_raw_fd()).into()
}

/// A descriptor of the same open file that a started program inherits.
fn inheritable(store: &Store) -> OwnedFd {
    // SAFETY: the descriptor that `dup` returns is new and nobody else's.
    unsafe {
        let descriptor = libc::dup(store.as_fd().as_raw_fd());
        assert!(descriptor >= 0);
        OwnedFd::from_raw_fd(descriptor)
    }
}

#[test]
fn an_anonymous_store_is_opened_by_its_path_while_its_owner_lives() {
    let store = small().anonymous().unwrap();
    store.set("k", "v").unwrap();
    let path = store.path().to_path_buf();
    in_child(|_| {
        let other = Store::open(&path).unwrap();
        assert_eq!(other.get_vec("k").unwrap().unwrap(), b"v");
        other.set("k", "from the child").unwrap();
        let reader = small().read_only(true).open(&path).unwrap();
        assert_eq!(reader.get_vec("k").unwrap().unwrap(), b"from the child");
    });
    assert_eq!(store.get_vec("k").unwrap().unwrap(), b"from the child");
    drop(store);
    assert!(Store::open(&path).is_err());
}

#[test]
fn an_anonymous_store_lives_as_long_as_somebody_has_it_open() {
    let child = fork(|page| {
        let store = small().anonymous().unwrap();
        store.set("k", "v").unwrap();
        page.set(0, store.as_fd().as_raw_fd() as u64);
        page.await_word(1, 1);
    });
    let descriptor = child.page.await_change(0, 0);
    let path = format!("/proc/{}/fd/{descriptor}", child.pid);
    let store = Store::open(&path).unwrap();
    child.kill();
    assert_eq!(store.get_vec("k").unwrap().unwrap(), b"v");
    store.set("k", "still works").unwrap();
    assert_eq!(code(Store::open(&path)), ErrorCode::NoSuchStore);
}

#[test]
fn an_anonymous_store_cannot_be_cut() {
    let store = small().anonymous().unwrap();
    let file = std::fs::File::options().write(true).open(store.path()).unwrap();
    assert!(file.set_len(0).is_err());
    assert!(file.set_len(1 << 30).is_err());
    store.set("k", "v").unwrap();
}

#[test]
fn an_anonymous_store_is_opened_by_an_inherited_descriptor() {
    let store = small().anonymous().unwrap();
    let descriptor = inheritable(&store);
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "peer"])
        .env("SPLINTER_TEST_PEER", descriptor_path(&descriptor))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(store.get_vec("k").unwrap().unwrap(), b"from the program");
}

/// No test of its own: the program that another test starts.
#[test]
fn peer() {
    if let Ok(path) = std::env::var("SPLINTER_TEST_PEER") {
        let store = Store::open(&path).unwrap();
        store.set("k", "from the program").unwrap();
        assert_eq!(store.path(), Path::new(&path));
    }
}

/// Whoever was given a descriptor and keeps it open must not, by that, keep its giver's locks for ever.
#[test]
fn the_death_of_a_stores_giver_is_seen_by_those_who_keep_his_descriptor() {
    let child = fork(|page| {
        let store = small().anonymous().unwrap();
        store.set("k", "v").unwrap();
        let descriptor = inheritable(&store);
        // As if it were killed while it holds the key's lock.
        let parts = Parts::of(store.geometry());
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .open(store.path())
            .unwrap();
        let mut incarnation = [0; 8];
        file.read_exact_at(&mut incarnation, parts.handles.start as u64)
            .unwrap();
        let token = u64::from_le_bytes(incarnation) << 16 | 1;
        let slot = store.slot_snapshot("k").unwrap().unwrap().slot as usize;
        let lock = parts.slots.start + slot * parts.slot_bytes + 8;
        file.write_all_at(&token.to_le_bytes(), lock as u64).unwrap();
        std::mem::forget(fork(|_| {
            let heir = Store::open(descriptor_path(&descriptor)).unwrap();
            assert_eq!(code(heir.try_set("k", "too early")), ErrorCode::Busy);
            page.set(0, 1);
            page.await_word(0, 2);
            // 3: taken over; 4: the giver still seems to live.
            page.set(0, if heir.try_set("k", "w").is_ok() { 3 } else { 4 });
        }));
        page.await_word(0, 9);
    });
    let page = child.page;
    page.await_word(0, 1);
    child.kill();
    page.set(0, 2);
    assert_eq!(
        page.await_change(0, 2),
        3,
        "the giver is dead, and its lock is kept by the descriptor that it gave"
    );
}

/// A child that may not open the file anew cannot prove to others that it lives, so it must not write.
#[test]
fn a_forked_child_without_the_right_to_open_the_file_does_not_write() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let store = small().create(&path).unwrap();
    store.set("k", "v").unwrap();
    in_child(|_| {
        let mine = Store::open(&path).unwrap();
        // The owner too is refused then.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
        become_nobody(directory.path());
        mine.set("k", "without the right to open it again").unwrap();
        in_child(|_| {
            assert_eq!(
                mine.get_vec("k").unwrap().unwrap(),
                b"without the right to open it again"
            );
            for refused in [code(mine.set("k", "unproved")), code(mine.unset("k"))] {
                assert!(matches!(refused, ErrorCode::Permission | ErrorCode::Io), "{refused:?}");
            }
        });
        mine.set("k", "still works").unwrap();
    });
    assert_eq!(store.get_vec("k").unwrap().unwrap(), b"still works");
}

#[test]
fn shared_memory_is_found_by_its_name() {
    let name = Name::new();
    let options = small().memory(true);
    assert_eq!(code(options.open(&name.0)), ErrorCode::NoSuchStore);
    let store = options.create(&name.0).unwrap();
    assert_eq!(code(options.create(&name.0)), ErrorCode::Exists);
    assert_eq!(store.path(), Path::new("/dev/shm").join(&name.0));
    store.set("k", "v").unwrap();
    in_child(|_| {
        let with_slash = options.open(format!("/{}", name.0)).unwrap();
        with_slash.set("k", "from the child").unwrap();
        let by_path = Store::open(store.path()).unwrap();
        assert_eq!(by_path.get_vec("k").unwrap().unwrap(), b"from the child");
    });
    assert_eq!(store.get_vec("k").unwrap().unwrap(), b"from the child");
    Store::remove_memory(format!("/{}", name.0)).unwrap();
    assert_eq!(code(Store::remove_memory(&name.0)), ErrorCode::NoSuchStore);
    assert_eq!(code(options.open(&name.0)), ErrorCode::NoSuchStore);
    store.set("k", "still works").unwrap();
    for bad in ["", "/", "a/b", ".."] {
        assert_eq!(code(Store::remove_memory(bad)), ErrorCode::InvalidArgument, "{bad:?}");
        assert_eq!(code(options.create(bad)), ErrorCode::InvalidArgument, "{bad:?}");
    }
}

#[test]
fn a_removed_store_stays_with_those_who_have_it_open() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let old = small().create(&path).unwrap();
    let reader = small().read_only(true).open(&path).unwrap();
    Store::remove(&path).unwrap();
    assert_eq!(code(Store::open(&path)), ErrorCode::NoSuchStore);
    let new = small().create(&path).unwrap();
    old.set("k", "old").unwrap();
    new.set("k", "new").unwrap();
    assert_eq!(reader.get_vec("k").unwrap().unwrap(), b"old");
    assert_eq!(Store::open(&path).unwrap().get_vec("k").unwrap().unwrap(), b"new");
    in_child(|_| {
        old.set("k", "old, from the child").unwrap();
    });
    assert_eq!(old.get_vec("k").unwrap().unwrap(), b"old, from the child");
}

#[test]
fn a_remove_leaves_alone_what_is_not_a_store() {
    let directory = tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("empty"), "").unwrap();
    std::fs::write(at("file"), "not a store").unwrap();
    std::fs::create_dir(at("directory")).unwrap();
    drop(small().create(at("store")).unwrap());
    symlink("store", at("link")).unwrap();
    let fifo = std::ffi::CString::new(at("fifo").as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is NUL-terminated.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    for name in ["empty", "file", "directory", "link", "fifo"] {
        // In a child, in case it waits for the FIFO's other end.
        in_child(|_| assert_eq!(code(Store::remove(at(name))), ErrorCode::NotAStore, "{name}"));
        assert!(at(name).symlink_metadata().is_ok(), "{name}");
    }
    assert_eq!(code(Store::remove(at("none"))), ErrorCode::NoSuchStore);
    assert_eq!(code(Store::remove("")), ErrorCode::InvalidArgument);
    // One that this build cannot open can still be taken away.
    let damaged = std::fs::File::options().write(true).open(at("store")).unwrap();
    damaged.set_len(100).unwrap();
    Store::remove(at("store")).unwrap();
    assert!(!at("store").exists());
}

#[test]
fn a_read_only_handle_reads_waits_and_changes_nothing() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let store = small().create(&path).unwrap();
    store.set("k", "v").unwrap();
    let reader = small().read_only(true).open(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    assert_eq!(code(reader.set("k", "w")), ErrorCode::Permission);
    assert_eq!(code(reader.set("new", "w")), ErrorCode::Permission);
    assert_eq!(code(reader.try_set("k", "w")), ErrorCode::Permission);
    assert_eq!(code(reader.unset("k")), ErrorCode::Permission);
    assert_eq!(code(reader.unset("none")), ErrorCode::Permission);
    assert_eq!(code(reader.try_unset("k")), ErrorCode::Permission);
    assert_eq!(code(reader.set_auto_vacuum(false)), ErrorCode::Permission);
    assert_eq!(reader.get_vec("k").unwrap().unwrap(), b"v");
    assert_eq!(reader.get("k", &mut [0; 8]).unwrap(), Some(1));
    assert!(reader.contains("k").unwrap() && !reader.contains("none").unwrap());
    assert_eq!(reader.epoch("k").unwrap(), store.epoch("k").unwrap());
    assert_eq!(reader.slot_snapshot("k").unwrap(), store.slot_snapshot("k").unwrap());
    assert_eq!(reader.header_snapshot().unwrap(), store.header_snapshot().unwrap());
    assert_eq!(reader.keys().map(Result::unwrap).collect::<Vec<_>>(), ["k"]);
    assert!(reader.auto_vacuum().unwrap());
    assert!(!reader.poll("k", Duration::from_millis(2)).unwrap());
    assert!(!reader.poll("none", Duration::ZERO).unwrap());
    assert_eq!(code(reader.sync()), ErrorCode::Permission, "the checkpoint is written");
    reader.backup(directory.path().join("backup")).unwrap();
    assert!(std::fs::read(&path).unwrap() == before, "not a byte");
    for (key, since) in [("k", store.epoch("k").unwrap().unwrap()), ("none", 0)] {
        std::thread::scope(|scope| {
            let poll = scope.spawn(|| reader.poll_since(key, since, Duration::from_secs(3600)).unwrap());
            store.set(key, "changed").unwrap();
            assert!(poll.join().unwrap());
        });
    }
    drop(store);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let rights: Vec<_> = maps
        .lines()
        .filter(|line| line.ends_with(path.to_str().unwrap()))
        .map(|line| line.split_ascii_whitespace().nth(1).unwrap())
        .collect();
    assert_eq!(rights, ["r--s"], "the mapping cannot be written to");
}

#[test]
fn a_read_only_handle_needs_only_the_right_to_read() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    small().mode(0o444).create(&path).unwrap().set("k", "v").unwrap();
    in_child(|_| {
        let is_of_another_user = become_nobody(directory.path());
        assert_eq!(code(Store::open(&path)), ErrorCode::Permission);
        assert_eq!(code(Store::open_or_create(&path)), ErrorCode::Permission);
        let reader = OpenOptions::new().read_only(true).open(&path).unwrap();
        assert_eq!(reader.get_vec("k").unwrap().unwrap(), b"v");
        assert!(!reader.poll("k", Duration::from_millis(2)).unwrap());
        if is_of_another_user {
            assert_eq!(code(Store::remove(&path)), ErrorCode::Permission);
            assert_eq!(code(Store::create(directory.path().join("new"))), ErrorCode::Permission);
        }
    });
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

fn entries(store: &Store) -> BTreeMap<String, (u64, Vec<u8>)> {
    store
        .list()
        .map(Result::unwrap)
        .map(|entry| {
            (
                entry.key.clone(),
                (entry.epoch, store.get_vec(&entry.key).unwrap().unwrap()),
            )
        })
        .collect()
}

#[test]
fn a_backup_has_the_contents_and_the_epochs() {
    let directory = tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let store = OpenOptions::new()
        .slots(100)
        .max_value_bytes(300)
        .create(at("s"))
        .unwrap();
    let mut last = HashMap::new();
    for round in 0..5_usize {
        for n in 0..60_usize {
            let key = format!("key{}", (n * 7 + round) % 90);
            last.insert(key.clone(), store.set(&key, vec![n as u8; n * round]).unwrap());
        }
        for n in 0..20 {
            store.unset(format!("key{}", (n * 3 + round) % 90)).unwrap();
        }
    }
    store.backup(at("copy")).unwrap();
    let copy = OpenOptions::new().geometry(*store.geometry()).open(at("copy")).unwrap();
    assert_eq!(entries(&copy), entries(&store));
    let (of_copy, of_store) = (copy.header_snapshot().unwrap(), store.header_snapshot().unwrap());
    assert_ne!(of_copy.store_id, of_store.store_id, "another store");
    // Whatever is written there next is newer than all that the key was here, deleted keys too.
    for (key, epoch) in last {
        assert!(copy.set(&key, "").unwrap() > epoch, "{key}");
    }
    copy.set("more", "only there").unwrap();
    assert!(!store.contains("more").unwrap());
}

#[test]
fn a_backup_is_made_where_nothing_is_or_not_at_all() {
    let directory = tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let store = small().create(at("s")).unwrap();
    store.set("k", "v").unwrap();
    std::fs::write(at("file"), "something").unwrap();
    symlink("nowhere", at("link")).unwrap();
    for name in ["s", "file", "link"] {
        assert_eq!(code(store.backup(at(name))), ErrorCode::Exists);
    }
    assert_eq!(code(store.backup(directory.path())), ErrorCode::Exists);
    assert_eq!(code(store.backup(at("none").join("copy"))), ErrorCode::Io);
    assert_eq!(code(store.backup("")), ErrorCode::InvalidArgument);
    assert_eq!(std::fs::read(at("file")).unwrap(), b"something");
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        3,
        "nothing is left"
    );
    store.backup(at("copy")).unwrap();
    store.sync().unwrap();
}

#[test]
fn a_backup_under_running_writers_has_every_key_whole() {
    const KEYS: usize = 40;
    let directory = tempdir().unwrap();
    let store = OpenOptions::new().slots(64).max_value_bytes(1024).anonymous().unwrap();
    let value = |number: u32, words: usize| number.to_le_bytes().repeat(words);
    for n in 0..KEYS {
        store.set(format!("key{n}"), value(0, 1)).unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                let mut number = writer;
                while !done.load(Ordering::Relaxed) {
                    number += 2;
                    let key = format!("key{}", number as usize % KEYS);
                    store.set(key, value(number, 1 + number as usize % 256)).unwrap();
                    // Keys that come and go meanwhile.
                    store.set(format!("more{writer}"), value(number, 10)).unwrap();
                    store.unset(format!("more{writer}")).unwrap();
                }
            });
        }
        for n in 0..8 {
            let path = directory.path().join(n.to_string());
            store.backup(&path).unwrap();
            let copy = Store::open(&path).unwrap();
            let copied = entries(&copy);
            assert_eq!(copied.keys().filter(|key| key.starts_with("key")).count(), KEYS);
            for (key, (epoch, value)) in copied {
                assert_eq!(value, value[..4].repeat(value.len() / 4), "{key} is whole");
                assert!(store.epoch(&key).unwrap().is_none_or(|now| now >= epoch), "{key}");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_synced_store_is_in_the_file() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let store = small().create(&path).unwrap();
    store.set("k", "a value to look for").unwrap();
    store.sync().unwrap();
    assert!(bytes::contains(&std::fs::read(&path).unwrap(), b"a value to look for"));
    small().anonymous().unwrap().sync().unwrap();
}
