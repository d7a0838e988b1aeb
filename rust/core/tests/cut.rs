//! A file that is cut under its mapping is an error and not the end of the process; other bus errors are none of ours.
//!
//! Short by default; `SPLINTER_TEST_ROUNDS` or `SPLINTER_TEST_SECONDS` lengthens it.

#[path = "common/abuse.rs"]
mod abuse;
#[path = "common/bytes.rs"]
mod bytes;
#[path = "common/process.rs"]
mod process;
#[path = "common/tries.rs"]
mod tries;

use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use abuse::{geometry, impatient, stored, use_all};
use bytes::{PAGE_BYTES, Parts, Random, memory_file};
use process::in_child;
use splinter::{Error, ErrorCode, OpenOptions, SetOptions, Store};
use tempfile::tempdir;
use tries::{tried, tries};

type Operation = (&'static str, fn(&Store) -> Result<(), Error>);

/// Every operation that looks at the region, but for `backup` and `sync`.
const OPERATIONS: [Operation; 14] = [
    ("get", |store| store.get("key4", &mut [0; 192]).map(drop)),
    ("get_vec", |store| store.get_vec("key4").map(drop)),
    ("contains", |store| store.contains("key4").map(drop)),
    ("missing", |store| store.get_vec("none").map(drop)),
    ("epoch", |store| store.epoch("key4").map(drop)),
    ("slot_snapshot", |store| store.slot_snapshot("key4").map(drop)),
    ("header_snapshot", |store| store.header_snapshot().map(drop)),
    ("list", |store| store.list().try_for_each(|entry| entry.map(drop))),
    ("poll", |store| store.poll("key4", Duration::from_millis(1)).map(drop)),
    ("auto_vacuum", |store| store.auto_vacuum().map(drop)),
    ("set", |store| store.set("key4", "new").map(drop)),
    ("insert", |store| store.set("new", "new").map(drop)),
    ("unset", |store| store.unset("key4").map(drop)),
    ("set_auto_vacuum", |store| store.set_auto_vacuum(false)),
];

#[test]
fn a_file_cut_to_nothing_while_it_is_open_is_corrupt_to_every_operation() {
    in_child(|page| {
        for read_only in [false, true] {
            for (step, (name, operation)) in OPERATIONS.iter().enumerate() {
                page.step(step as u64);
                let (file, path) = stored();
                let store = impatient().read_only(read_only).open(&path).unwrap();
                file.set_len(0).unwrap();
                let code = operation(&store).unwrap_err().code();
                assert!(
                    code == ErrorCode::Corrupt || read_only && step > 9 && code == ErrorCode::Permission,
                    "{name}: {code:?}"
                );
                // It stays that way, even if the file grows again.
                file.set_len(100_000).unwrap();
                if code == ErrorCode::Corrupt {
                    assert_eq!(store.contains("key4").unwrap_err().code(), ErrorCode::Corrupt);
                }
                drop(store);
                assert_eq!(impatient().open(&path).unwrap_err().code(), ErrorCode::NotAStore);
            }
        }
    });
}

#[test]
fn a_file_cut_anywhere_while_it_is_open_is_corrupt_or_does_not_matter() {
    in_child(|page| {
        let region_bytes = Parts::of(&geometry()).region_bytes;
        let lengths = (0..region_bytes)
            .step_by(PAGE_BYTES)
            .flat_map(|page| [page, page + 1000]);
        for (step, bytes) in lengths.enumerate() {
            page.step(step as u64);
            for (name, operation) in OPERATIONS {
                let (file, path) = stored();
                let store = impatient().open(&path).unwrap();
                file.set_len(bytes as u64).unwrap();
                if let Err(error) = operation(&store) {
                    assert_eq!(error.code(), ErrorCode::Corrupt, "{name} of {bytes} bytes: {error}");
                }
                for (_, operation) in OPERATIONS {
                    let _ = operation(&store);
                }
            }
        }
    });
}

/// Where its deadline is gone, a key that has one seems to be due, and cannot be deleted.
#[test]
fn a_key_with_a_deadline_in_a_file_that_was_cut_is_not_waited_for() {
    in_child(|page| {
        // Enough slots that deadlines are on other pages than keys.
        let store = OpenOptions::new().slots(256).max_value_bytes(64).anonymous().unwrap();
        let far = SetOptions::new().ttl(Duration::from_secs(1000));
        for n in 0..256 {
            assert!(store.set_with(format!("key{n}"), "v", &far).unwrap().is_written());
        }
        let (region, parts) = (std::fs::read(store.path()).unwrap(), Parts::of(store.geometry()));
        let pages = parts.index.start..parts.values.start + PAGE_BYTES;
        for bytes in pages.step_by(PAGE_BYTES).map(|at| at.next_multiple_of(PAGE_BYTES)) {
            page.step(bytes as u64);
            for operation in [
                |store: &Store, key: &str| store.set(key, "new").map(drop),
                |store: &Store, key: &str| store.unset(key).map(drop),
                |store: &Store, key: &str| store.get_vec(key).map(drop),
                |store: &Store, key: &str| store.append(key, "more").map(drop),
            ] {
                for n in [0, 100, 255] {
                    let (file, path) = memory_file();
                    file.write_all_at(&region, 0).unwrap();
                    let store = impatient().lock_timeout(Duration::from_secs(1)).open(&path).unwrap();
                    file.set_len(bytes as u64).unwrap();
                    if let Err(error) = operation(&store, &format!("key{n}")) {
                        assert_eq!(error.code(), ErrorCode::Corrupt, "cut to {bytes}");
                    }
                }
            }
        }
    });
}

#[test]
fn a_backup_of_a_file_cut_while_it_is_open_is_corrupt_and_leaves_nothing() {
    let directory = tempdir().unwrap();
    in_child(|_| {
        for read_only in [false, true] {
            let (file, path) = stored();
            let store = impatient().read_only(read_only).open(&path).unwrap();
            file.set_len(0).unwrap();
            let error = store.backup(directory.path().join("backup")).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Corrupt);
        }
    });
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// What `sync` answers is a promise, and the kernel gladly syncs what is left.
#[test]
fn a_sync_notices_that_the_file_was_cut() {
    let (file, path) = stored();
    let store = impatient().open(&path).unwrap();
    store.sync().unwrap();
    file.set_len(0).unwrap();
    assert_eq!(store.sync().map_err(|error| error.code()), Err(ErrorCode::Corrupt));
}

#[test]
fn a_file_cut_while_somebody_sleeps_wakes_him() {
    for read_only in [false, true] {
        for key in ["key4", "none"] {
            let (file, path) = stored();
            let store = impatient().read_only(read_only).open(&path).unwrap();
            std::thread::scope(|scope| {
                let sleeper = scope.spawn(|| store.poll(key, Duration::from_secs(3600)));
                file.set_len(0).unwrap();
                let error = sleeper.join().unwrap().unwrap_err();
                assert_eq!(error.code(), ErrorCode::Corrupt);
            });
        }
    }
}

#[test]
fn a_file_cut_in_the_middle_of_operations_does_no_harm() {
    in_child(|page| {
        let mut cuts = 0;
        for round in tries(40) {
            cuts += 1;
            page.step(round);
            let mut random = Random::new(round);
            let (file, path) = stored();
            let store = impatient().open(&path).unwrap();
            let region_bytes = Parts::of(&geometry()).region_bytes;
            let cut = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for seed in 0..2 {
                    let (store, cut) = (&store, &cut);
                    scope.spawn(move || {
                        let mut random = Random::new(seed);
                        while !cut.load(Ordering::Relaxed) {
                            use_all(store, &mut random, None);
                        }
                        use_all(store, &mut random, None);
                    });
                }
                // At another point each time.
                for _ in 0..random.below(2000) {
                    let _ = store.contains("key4");
                }
                file.set_len(random.below(region_bytes) as u64).unwrap();
                cut.store(true, Ordering::Relaxed);
            });
        }
        tried(cuts, "files cut within an operation");
        let fresh = OpenOptions::new().anonymous().unwrap();
        fresh.set("k", "still works").unwrap();
    });
}

/// Runs a case of [`peer`] in a fresh process, because signal dispositions belong to a process.
fn run_peer(case: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "peer", "--nocapture"])
        .env("SPLINTER_TEST_PEER", case)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

#[test]
fn a_bus_error_elsewhere_meets_whoever_handled_it_before() {
    assert_eq!(run_peer("handler with details").code(), Some(42));
    assert_eq!(run_peer("handler without details").code(), Some(43));
    assert_eq!(run_peer("handler that mends").code(), Some(44));
    for case in ["default", "default of Rust", "ignored"] {
        assert_eq!(run_peer(case).signal(), Some(libc::SIGBUS), "{case}");
    }
}

#[test]
fn a_bus_error_of_a_store_meets_nobody_else() {
    assert_eq!(run_peer("own, with a handler").code(), Some(45));
    assert_eq!(run_peer("own, ignored").code(), Some(45));
}

#[test]
fn a_bus_signal_that_somebody_sends_acts_as_it_did_before() {
    assert_eq!(run_peer("sent, default").signal(), Some(libc::SIGBUS));
    assert_eq!(run_peer("sent, with a handler").code(), Some(42));
    assert_eq!(run_peer("sent, ignored").code(), Some(45));
}

extern "C" fn with_details(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid structure, or our handler hands it on; and `_exit` ends the process.
    unsafe { libc::_exit(if (*info).si_signo == libc::SIGBUS { 42 } else { 1 }) };
}

extern "C" fn without_details(signal: i32) {
    // SAFETY: it ends the process.
    unsafe { libc::_exit(if signal == libc::SIGBUS { 43 } else { 1 }) };
}

extern "C" fn mending(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: the page is that of the mapping which the test made to be cut.
    unsafe {
        let page = ((*info).si_addr() as usize & !(PAGE_BYTES - 1)) as *mut libc::c_void;
        libc::mmap(page, PAGE_BYTES, protection, flags, -1, 0);
    }
}

fn handle_bus_errors(handler: usize, flags: i32) {
    // SAFETY: the handlers above have the signatures that their flags ask for.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut()), 0);
    }
}

/// Reads from a mapping of a file that was cut.
fn touch_what_is_gone() -> u8 {
    let (file, _) = memory_file();
    file.set_len(PAGE_BYTES as u64).unwrap();
    // SAFETY: the kernel chooses the address; the access is meant to fail, or to find what a handler put there.
    unsafe {
        let page = libc::mmap(
            std::ptr::null_mut(),
            PAGE_BYTES,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        );
        assert_ne!(page, libc::MAP_FAILED);
        file.set_len(0).unwrap();
        page.cast::<u8>().read_volatile()
    }
}

/// No test of its own: what [`run_peer`] runs.
#[test]
fn peer() {
    let Ok(case) = std::env::var("SPLINTER_TEST_PEER") else {
        return;
    };
    // SAFETY: no core file of what is meant to die, and an end to what hangs.
    unsafe {
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        libc::setrlimit(libc::RLIMIT_CORE, &none);
        libc::alarm(60);
    }
    match case.as_str() {
        "handler without details" => handle_bus_errors(without_details as *const () as usize, 0),
        "handler that mends" => handle_bus_errors(mending as *const () as usize, libc::SA_SIGINFO),
        _ if case.contains("handler") => handle_bus_errors(with_details as *const () as usize, libc::SA_SIGINFO),
        "default of Rust" => {}
        _ if case.contains("default") => handle_bus_errors(libc::SIG_DFL, 0),
        _ => handle_bus_errors(libc::SIG_IGN, 0),
    }
    let (file, path) = stored();
    let store = impatient().open(&path).unwrap();
    if case.starts_with("sent") {
        // SAFETY: a signal to this very thread.
        unsafe { libc::raise(libc::SIGBUS) };
        if case != "sent, ignored" {
            std::process::exit(46);
        }
    }
    if case.starts_with("own") || case == "sent, ignored" {
        file.set_len(0).unwrap();
        assert_eq!(store.get_vec("key4").unwrap_err().code(), ErrorCode::Corrupt);
        std::process::exit(45);
    }
    assert_eq!(touch_what_is_gone(), 0);
    assert_eq!(
        store.get_vec("key4").unwrap(),
        Some(vec![4; 21]),
        "the store is none the worse"
    );
    std::process::exit(44);
}
