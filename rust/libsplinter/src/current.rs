//! The one bus of the process: for any number of threads, and over `fork`.

use std::cell::{Cell, UnsafeCell};
use std::collections::BTreeSet;
use std::ffi::{CString, c_char};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use splinter::Store;

/// A bus that is current, or was when somebody began to use it.
pub(crate) struct Bus {
    pub(crate) store: Store,
    closed: AtomicBool,
}

type Place = Option<Arc<Bus>>;

/// The current bus, once for each of a few sets of threads: were it there once, each call of each thread would write to the
/// same cache line. (Two threads that only read: 69 ns a call with one, 45 ns with these.)
static PLACES: [Padded; PLACES_COUNT] = [const { Padded(RwLock::new(None)) }; PLACES_COUNT];
const PLACES_COUNT: usize = 16;

/// Processors fetch lines in pairs.
#[repr(align(128))]
struct Padded(RwLock<Place>);

/// The keys of the current bus that were handed out, until it is closed.
static LISTED: Mutex<BTreeSet<CString>> = Mutex::new(BTreeSet::new());

/// Everything above, in the hands of one thread. Who has only a part of it never waits for another part.
struct All {
    listed: MutexGuard<'static, BTreeSet<CString>>,
    places: [RwLockWriteGuard<'static, Place>; PLACES_COUNT],
}

impl All {
    fn lock() -> Self {
        Self {
            listed: LISTED.lock().unwrap_or_else(PoisonError::into_inner),
            places: std::array::from_fn(|i| PLACES[i].0.write().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

impl Bus {
    /// Whether another bus, or none, is the current one by now.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// Does something with the current bus that does not take long: nobody can close it or fork meanwhile. `None` if there is none.
pub(crate) fn with<T>(run: impl FnOnce(&Store) -> T) -> Option<T> {
    Some(run(&read().as_ref()?.store))
}

/// The current bus, for something that may take long: who closes it does not wait for that.
pub(crate) fn share() -> Option<Arc<Bus>> {
    read().clone()
}

/// Makes a store the current bus, or none.
pub(crate) fn replace(store: Option<Store>) {
    guard_forks();
    let next = store.map(|store| {
        Arc::new(Bus {
            store,
            closed: AtomicBool::new(false),
        })
    });
    let mut all = All::lock();
    let before: Vec<Place> = all
        .places
        .iter_mut()
        .map(|place| std::mem::replace(&mut **place, next.clone()))
        .collect();
    let listed = std::mem::take(&mut *all.listed);
    if let Some(Some(bus)) = before.first() {
        bus.closed.store(true, Ordering::Relaxed);
    }
    // Closing a store takes a while, which nobody has to wait for.
    drop(all);
    drop(before);
    drop(listed);
}

/// Keeps keys of a bus until it is closed, and returns where they are kept; `None` if it is closed already.
pub(crate) fn keep(bus: &Bus, keys: Vec<CString>) -> Option<Vec<*const c_char>> {
    guard_forks();
    let mut listed = LISTED.lock().unwrap_or_else(PoisonError::into_inner);
    // Who closes a bus has the list.
    if bus.is_closed() {
        return None;
    }
    let mut kept = Vec::with_capacity(keys.len());
    for key in keys {
        // What a string points to stays where it is when the set moves the string.
        let at = match listed.get(&key) {
            Some(known) => known.as_ptr(),
            None => {
                let at = key.as_ptr();
                listed.insert(key);
                at
            }
        };
        kept.push(at);
    }
    Some(kept)
}

/// The current bus at this thread's place.
fn read() -> RwLockReadGuard<'static, Place> {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    guard_forks();
    let place = PLACE.get().unwrap_or_else(|| {
        let place = THREADS.fetch_add(1, Ordering::Relaxed) % PLACES_COUNT;
        PLACE.set(Some(place));
        place
    });
    PLACES[place].0.read().unwrap_or_else(PoisonError::into_inner)
}

/// 0, or the process that is arranging it, or [`GUARDED`].
static GUARDIAN: AtomicU32 = AtomicU32::new(0);
const GUARDED: u32 = u32::MAX;

/// Arranges that no lock is in another's hands in a forked child: there is no other thread that would give it back.
///
/// Not by a `Once`: in a child forked off while another thread was within it, that would never end.
fn guard_forks() {
    loop {
        // Acquire and release: who sees it arranged takes locks afterwards.
        let guardian = GUARDIAN.load(Ordering::Acquire);
        if guardian == GUARDED {
            return;
        }
        let me = std::process::id();
        if guardian == me {
            std::thread::yield_now();
        } else if GUARDIAN
            .compare_exchange(guardian, me, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
        {
            // SAFETY: the handlers have the right type, and the library is never unloaded. Without memory for the list of
            // handlers a fork is as safe as it is while no other thread uses the bus.
            unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(in_forked_child)) };
            GUARDIAN.store(GUARDED, Ordering::Release);
        }
    }
}

/// The locks of whoever is forking.
struct Held(UnsafeCell<Option<All>>);

// SAFETY: it is touched only by the thread that has the locks which it holds.
unsafe impl Sync for Held {}

static HELD: Held = Held(UnsafeCell::new(None));

thread_local! {
    // A process that was forked off in the midst of `guard_forks` may have the handlers twice.
    static IS_FORKING: Cell<bool> = const { Cell::new(false) };
}

extern "C" fn before_fork() {
    if !IS_FORKING.replace(true) {
        let all = All::lock();
        // SAFETY: this thread has the locks.
        unsafe { *HELD.0.get() = Some(all) };
    }
}

extern "C" fn after_fork() {
    if IS_FORKING.replace(false) {
        // SAFETY: this thread has the locks until they are dropped, which is after they were taken out.
        let all = unsafe { (*HELD.0.get()).take() };
        drop(all);
    }
}

/// The threads that had the bus are not in this process, and will not give it back.
extern "C" fn in_forked_child() {
    if IS_FORKING.get() {
        // SAFETY: this thread has the locks.
        let all = unsafe { (*HELD.0.get()).as_ref() };
        if let Some(bus) = all.and_then(|all| all.places[0].as_ref()) {
            for _ in PLACES_COUNT..Arc::strong_count(bus) {
                // SAFETY: there is one of them for each place, and one for each thread that is gone.
                unsafe { Arc::decrement_strong_count(Arc::as_ptr(bus)) };
            }
        }
    }
    after_fork();
}
