//! What becomes of deadlines and of waiting when somebody sets the machine's clock.
//!
//! The clock that is set is this process's own: `clock_gettime` is defined here, and asks the kernel.

#[path = "common/process.rs"]
mod process;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use process::in_child;
use splinter::{Eviction, OpenOptions, SetOptions, Store, TimeToLive};

const HOUR: Duration = Duration::from_secs(3600);

/// How far the clock was set forward, in seconds.
static SET_FORWARD: AtomicI64 = AtomicI64::new(0);

/// Takes the place of the C library's, for the store too.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    // SAFETY: the caller gives a valid address, which the kernel checks anyway.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    if result == 0 && clock == libc::CLOCK_REALTIME {
        // SAFETY: as above.
        unsafe { (*time).tv_sec += SET_FORWARD.load(Ordering::SeqCst) };
    }
    result as libc::c_int
}

fn set_clock(by: i64) {
    SET_FORWARD.fetch_add(by, Ordering::SeqCst);
}

fn store() -> Store {
    OpenOptions::new().slots(4).anonymous().unwrap()
}

fn set(store: &Store, key: &str, ttl: Duration) {
    let written = store.set_with(key, "v", &SetOptions::new().ttl(ttl)).unwrap();
    assert!(written.is_written());
}

fn hours_left(store: &Store, key: &str) -> u64 {
    match store.ttl(key).unwrap() {
        Some(TimeToLive::Left(left)) => (left.as_secs() + 1800) / 3600,
        other => panic!("{other:?}"),
    }
}

// Each in a process of its own, which has its own clock.

#[test]
fn a_clock_set_forward_ends_what_is_due_by_then_and_nothing_else() {
    in_child(|_| {
        let store = store();
        set(&store, "soon", HOUR);
        set(&store, "late", 10 * HOUR);
        store.set("ever", "v").unwrap();
        assert_eq!(store.sweep().unwrap(), 0);
        set_clock(2 * 3600);
        assert_eq!(store.get_vec("soon").unwrap(), None);
        assert_eq!(hours_left(&store, "late"), 8);
        assert!(store.contains("ever").unwrap());
        assert_eq!(store.keys().count(), 2);
        set_clock(9 * 3600);
        assert_eq!(store.sweep().unwrap(), 1);
        assert_eq!(store.keys().count(), 1);
    });
}

#[test]
fn a_clock_set_back_prolongs_and_no_deadline_is_forgotten() {
    in_child(|_| {
        let store = store();
        set(&store, "a", HOUR);
        // The sweep finds out anew what is due next.
        set_clock(3600 / 2);
        assert_eq!(store.sweep().unwrap(), 0);
        set_clock(-(10 * 3600 + 3600 / 2));
        assert_eq!(hours_left(&store, "a"), 11);
        set(&store, "b", HOUR);
        assert_eq!(store.sweep().unwrap(), 0);
        set_clock(2 * 3600);
        assert_eq!(store.sweep().unwrap(), 1, "what was set after the clock was set back");
        assert_eq!(hours_left(&store, "a"), 9);
        set_clock(10 * 3600);
        assert_eq!(store.sweep().unwrap(), 1);
        assert_eq!(store.keys().count(), 0);
    });
}

#[test]
fn a_full_store_evicts_by_deadlines_wherever_the_clock_is_set() {
    in_child(|_| {
        let store = store();
        store.set_eviction(Eviction::Ttl).unwrap();
        for (key, hours) in [("d", 4), ("c", 3), ("b", 2), ("a", 1)] {
            set(&store, key, hours * HOUR);
        }
        set_clock(-24 * 3600);
        store.set("new", "v").unwrap();
        assert!(!store.contains("a").unwrap() && store.contains("b").unwrap());
        set_clock(24 * 3600 + 9000);
        store.set("newer", "v").unwrap();
        assert!(!store.contains("b").unwrap() && store.contains("c").unwrap());
    });
}

#[test]
fn waiting_takes_as_long_as_it_takes_wherever_the_clock_is_set() {
    const TIMEOUT: Duration = Duration::from_millis(50);
    in_child(|_| {
        let store = store();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let start = Instant::now();
                assert!(!store.poll("k", TIMEOUT).unwrap());
                assert!(start.elapsed() >= TIMEOUT, "set forward, it ends no earlier");
            });
            for by in [7200, -3600, 86_400, -86_400 * 2] {
                set_clock(by);
                std::thread::yield_now();
            }
            waiter.join().unwrap();
        });
    });
}
