//! How stores come into being, are opened, closed and taken away, by one process and by many at once.

#[path = "common/bytes.rs"]
mod bytes;
#[path = "common/process.rs"]
mod process;

use std::collections::{BTreeMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{FREE_HINT_AT, HANDLE_BYTES, Parts};
use process::{Page, fork, in_child};
use splinter::{Error, ErrorCode, Geometry, OpenOptions, Store};
use tempfile::tempdir;

/// So many handles can be attached for writing at once.
const HANDLES: usize = 1024;

fn small() -> OpenOptions {
    OpenOptions::new().slots(4).max_value_bytes(200).journal_entries(64)
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorCode {
    result.unwrap_err().code()
}

fn id(store: &Store) -> u128 {
    u128::from_le_bytes(store.header_snapshot().unwrap().store_id)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Everything in a directory: names, and what regular files contain.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let is_file = path.symlink_metadata().unwrap().is_file();
            let content = is_file.then(|| std::fs::read(&path).unwrap());
            (path, content)
        })
        .collect()
}

#[test]
fn a_create_where_something_is_fails_and_changes_nothing() {
    let directory = tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let store = small().create(at("store")).unwrap();
    store.set("k", "v").unwrap();
    std::fs::write(at("file"), "not a store").unwrap();
    std::fs::write(at("empty"), "").unwrap();
    std::fs::create_dir(at("directory")).unwrap();
    symlink("store", at("link")).unwrap();
    symlink("nowhere", at("link to nowhere")).unwrap();
    let fifo = std::ffi::CString::new(at("fifo").as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is NUL-terminated.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    let before = contents(directory.path());
    for path in before.keys() {
        for options in [OpenOptions::new(), small(), small().auto_vacuum(false).mode(0o777)] {
            assert_eq!(code(options.create(path)), ErrorCode::Exists, "{path:?}");
        }
    }
    assert!(contents(directory.path()) == before);
    store.set("k", "still works").unwrap();
    let missing = at("no such directory").join("s");
    assert_eq!(
        code(small().create(&missing)),
        ErrorCode::Io,
        "not NoSuchStore: a store was not looked for"
    );
    assert_eq!(
        code(small().read_only(true).create(at("new"))),
        ErrorCode::InvalidArgument
    );
    assert!(!at("new").exists());
}

#[test]
fn an_open_with_another_geometry_says_what_the_store_has() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let geometry = Geometry::new(123, 4567)
        .and_then(|geometry| geometry.with_max_key_bytes(89))
        .and_then(|geometry| geometry.with_journal_entries(512))
        .unwrap();
    drop(OpenOptions::new().geometry(geometry).create(&path).unwrap());
    let other = [
        OpenOptions::new().slots(124),
        OpenOptions::new().max_value_bytes(4566),
        OpenOptions::new().max_key_bytes(90),
        OpenOptions::new().journal_entries(513),
        OpenOptions::new().geometry(geometry).slots(1),
    ];
    let before = std::fs::read(&path).unwrap();
    for options in other {
        for result in [
            options.open(&path),
            options.open_or_create(&path),
            options.create_or_open(&path),
            options.clone().read_only(true).open(&path),
        ] {
            let error = result.unwrap_err();
            assert_eq!(error.code(), ErrorCode::Incompatible);
            for number in ["123", "4567", "89", "512"] {
                assert!(error.to_string().contains(number), "{error}");
            }
        }
    }
    assert!(std::fs::read(&path).unwrap() == before);
    // What is rounded up at the creation is rounded up at the opening.
    let same = [
        OpenOptions::new(),
        OpenOptions::new().slots(123),
        OpenOptions::new().geometry(geometry).journal_entries(257),
    ];
    for options in same {
        assert_eq!(*options.open(&path).unwrap().geometry(), geometry);
    }
    for impossible in [
        OpenOptions::new().slots(0),
        OpenOptions::new().max_value_bytes(u32::MAX),
    ] {
        assert_eq!(code(impossible.open(&path)), ErrorCode::InvalidArgument);
    }
}

#[test]
fn opening_or_creating_does_what_is_missing() {
    let directory = tempdir().unwrap();
    type Way = fn(&Path) -> Result<Store, Error>;
    let ways: [Way; 4] = [
        |path| Store::open_or_create(path),
        |path| Store::create_or_open(path),
        |path| OpenOptions::new().open_or_create(path),
        |path| OpenOptions::new().create_or_open(path),
    ];
    for (n, way) in ways.into_iter().enumerate() {
        let path = directory.path().join(n.to_string());
        let first = way(&path).unwrap();
        first.set("k", "v").unwrap();
        let second = way(&path).unwrap();
        assert_eq!(id(&first), id(&second));
        assert_eq!(second.get_vec("k").unwrap().unwrap(), b"v");
        assert_eq!(first.path(), path);
    }
    let ids: HashSet<_> = (0..4)
        .map(|n| id(&Store::open(directory.path().join(n.to_string())).unwrap()))
        .collect();
    assert_eq!(ids.len(), 4, "each store has an id of its own");
}

#[test]
fn a_new_store_is_its_owners_alone_unless_asked_otherwise() {
    let directory = tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    in_child(|_| {
        // SAFETY: it changes this process alone.
        unsafe { libc::umask(0o027) };
        drop(small().create(at("default")).unwrap());
        drop(small().mode(0o640).create(at("group")).unwrap());
        drop(small().mode(0o666).open_or_create(at("all")).unwrap());
        Store::open(at("group")).unwrap().backup(at("copy")).unwrap();
        // SAFETY: as above.
        unsafe { libc::umask(0) };
        drop(small().create(at("default without umask")).unwrap());
        let name = format!("splinter-test-mode-{}", std::process::id());
        drop(small().memory(true).create(&name).unwrap());
        let memory_mode = mode(&Path::new("/dev/shm").join(&name));
        Store::remove_memory(&name).unwrap();
        assert_eq!(memory_mode, 0o600);
    });
    assert_eq!(mode(&at("default")), 0o600);
    assert_eq!(mode(&at("default without umask")), 0o600);
    assert_eq!(mode(&at("group")), 0o640);
    assert_eq!(mode(&at("all")), 0o640);
    assert_eq!(mode(&at("copy")), 0o640);
}

#[test]
fn threads_and_processes_that_race_to_create_end_with_one_store() {
    const CHILDREN: usize = 3;
    const THREADS: usize = 2;
    let directory = tempdir().unwrap();
    for race in 0..60 {
        let path = directory.path().join(race.to_string());
        let start = Page::new();
        let run = |n: usize| {
            while start.get(0) == 0 {
                std::thread::yield_now();
            }
            let store = if (n + race).is_multiple_of(2) {
                small().open_or_create(&path)
            } else {
                small().create_or_open(&path)
            };
            let store = store.unwrap();
            store.set(["a", "b", "c", "d"][n % 4], [n as u8]).unwrap();
            id(&store)
        };
        let children: Vec<_> = (0..CHILDREN)
            .map(|n| {
                fork(|page| {
                    let id = run(n);
                    page.set(0, id as u64);
                    page.set(1, (id >> 64) as u64);
                })
            })
            .collect();
        let mut ids = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || run(CHILDREN + n))).collect();
            start.set(0, 1);
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect::<HashSet<_>>()
        });
        for child in children {
            let page = child.page;
            child.join();
            ids.insert(u128::from(page.get(0)) | u128::from(page.get(1)) << 64);
        }
        let store = Store::open(&path).unwrap();
        assert_eq!(ids, HashSet::from([id(&store)]), "race {race}");
        assert_eq!(store.keys().count(), 4, "nobody's write went elsewhere");
    }
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        60,
        "nothing else is left"
    );
}

#[test]
fn a_store_is_never_seen_half_made() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for read_only in [false, true] {
            let (path, done) = (&path, &done);
            scope.spawn(move || {
                let options = small().read_only(read_only);
                let mut seen = 0;
                while !done.load(Ordering::Relaxed) || seen == 0 {
                    match options.open(path) {
                        Err(error) => assert_eq!(error, Error::NoSuchStore),
                        Ok(store) => {
                            seen += 1;
                            assert!(store.keys().count() <= 1);
                            assert!(store.get_vec("k").unwrap().is_none_or(|value| value == b"v"));
                            if !read_only {
                                store.set("k", "v").unwrap();
                            }
                        }
                    }
                }
            });
        }
        for _ in 0..300 {
            let store = small().create(&path).unwrap();
            store.set("k", "v").unwrap();
            Store::remove(&path).unwrap();
        }
        drop(small().create(&path).unwrap());
        done.store(true, Ordering::Relaxed);
    });
}

/// Descriptors of this process, and the mappings of it that are of files.
fn held() -> (usize, usize) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let of_files = |line: &&str| line.split_ascii_whitespace().nth(4) != Some("0");
    (
        std::fs::read_dir("/proc/self/fd").unwrap().count(),
        maps.lines().filter(of_files).count(),
    )
}

#[test]
fn thousands_of_opens_and_closes_leak_nothing() {
    const CYCLES: usize = 3000;
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    drop(small().create(&path).unwrap());
    let name = format!("splinter-test-cycles-{}", std::process::id());
    let options = small();
    let (read_only, memory, other) = (
        options.clone().read_only(true),
        options.clone().memory(true),
        options.clone().slots(5),
    );
    // In a child, where no other test opens anything meanwhile.
    let child = fork(|page| {
        drop(memory.create(&name).unwrap());
        let cycles: [&dyn Fn(); 6] = [
            &|| drop(options.open(&path).unwrap()),
            &|| read_only.open(&path).unwrap().close(),
            &|| drop(memory.open(&name).unwrap()),
            &|| options.anonymous().unwrap().close(),
            &|| drop(other.open(&path).unwrap_err()),
            &|| drop(options.create(&path).unwrap_err()),
        ];
        for (step, cycle) in cycles.iter().enumerate() {
            page.step(step as u64);
            cycle();
            let before = held();
            for _ in 0..CYCLES {
                cycle();
            }
            assert_eq!(held(), before);
        }
    });
    let page = child.page;
    let status = child.wait();
    Store::remove_memory(&name).unwrap();
    assert_eq!(status, 0, "{}", page.said());
}

/// The places of the table of handles that are taken.
fn taken_places(path: &Path, geometry: &Geometry) -> usize {
    let region = std::fs::read(path).unwrap();
    let table = &region[Parts::of(geometry).handles];
    table
        .chunks(HANDLE_BYTES)
        .filter(|handle| handle[..8] != [0; 8])
        .count()
}

/// Lets this process have as many descriptors as the test needs.
fn allow_descriptors(count: u64) {
    // SAFETY: the structure lives during the calls.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_cur.max(count.min(limit.rlim_max));
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
}

#[test]
fn one_handle_too_many_is_busy_until_another_is_closed_or_dead() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let geometry = *small().create(&path).unwrap().geometry();
    let options = small();
    let open = || options.open(&path);
    let child = fork(|page| {
        allow_descriptors(2 * HANDLES as u64);
        let mut handles: Vec<_> = (0..HANDLES).map(|_| open().unwrap()).collect();
        page.set(0, 1);
        page.await_word(0, 2);
        handles[5].set("k", "v").unwrap();
        drop(handles.swap_remove(77));
        page.set(0, 3);
        page.await_word(0, 4);
        handles.push(open().unwrap());
        page.set(0, 5);
        page.await_word(0, 6);
    });
    child.page.await_word(0, 1);
    for _ in 0..2 {
        let error = open().unwrap_err();
        assert_eq!(error.code(), ErrorCode::Busy);
        assert!(error.to_string().contains("handles"), "{error}");
    }
    child.page.set(0, 2);
    child.page.await_word(0, 3);
    open().unwrap().set("k", "w").unwrap();
    child.page.set(0, 4);
    child.page.await_word(0, 5);
    assert_eq!(code(open()), ErrorCode::Busy);
    let reader = options.clone().read_only(true).open(&path).unwrap();
    assert_eq!(reader.get_vec("k").unwrap().unwrap(), b"w", "a reader takes no place");
    child.kill();
    assert_eq!(taken_places(&path, &geometry), HANDLES);
    let store = open().unwrap();
    assert_eq!(taken_places(&path, &geometry), 1);
    store.set("k", "x").unwrap();
}

#[test]
fn places_of_killed_processes_are_used_again() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let geometry = *small().create(&path).unwrap().geometry();
    let options = small();
    for n in 0..1100 {
        let child = fork(|_| {
            std::mem::forget(options.open(&path).unwrap());
            if n % 2 == 0 {
                // SAFETY: it ends the child, as somebody else might.
                unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            }
        });
        let status = child.wait();
        assert_eq!(status, if n % 2 == 0 { libc::SIGKILL } else { 0 });
    }
    let _store = options.open(&path).unwrap();
    assert_eq!(taken_places(&path, &geometry), 1);
}

#[test]
fn a_store_of_more_than_four_gibibytes_works_at_its_far_end() {
    const VALUE_BYTES: usize = 32 << 20;
    let directory = tempdir().unwrap();
    let path = directory.path().join("s");
    let options = OpenOptions::new()
        .slots(65)
        .max_value_bytes(VALUE_BYTES as u32)
        .journal_entries(64);
    drop(options.create(&path).unwrap());
    // So that the first insert looks for a slot where the last one lies: the others need not have disk behind them.
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&1_u32.to_le_bytes(), FREE_HINT_AT).unwrap();
    let store = options.open(&path).unwrap();
    let region_bytes = store.header_snapshot().unwrap().region_bytes;
    assert!(region_bytes > 1 << 32);
    let mut ends = Vec::new();
    for (bytes, fill) in [(VALUE_BYTES, 1_u8), (VALUE_BYTES, 2), (5, 3)] {
        let value = vec![fill; bytes];
        store.set("far", &value).unwrap();
        let snapshot = store.slot_snapshot("far").unwrap().unwrap();
        assert_eq!((snapshot.slot, snapshot.value_bytes), (64, bytes));
        assert!(snapshot.value_offset > 1 << 32);
        ends.push(snapshot.value_offset + bytes as u64);
        let reader = options.clone().read_only(true).open(&path).unwrap();
        assert!(reader.get_vec("far").unwrap().unwrap() == value);
    }
    assert!(
        ends.contains(&region_bytes),
        "the last byte of the region is one of a value"
    );
    store.set("near", "not far").unwrap();
    assert!(store.slot_snapshot("near").unwrap().unwrap().value_offset < 1 << 32);
    store.backup(directory.path().join("backup")).unwrap();
    assert_eq!(Store::open(directory.path().join("backup")).unwrap().keys().count(), 2);
    assert_eq!(store.unset("far").unwrap(), Some(5));
    assert_eq!(store.get_vec("near").unwrap().unwrap(), b"not far");
}
