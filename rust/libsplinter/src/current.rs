//! The one bus of the process: for any number of threads, and over `fork`.

use std::cell::{Cell, UnsafeCell};
use std::collections::HashSet;
use std::ffi::{CString, c_char};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use splinter::Store;

/// A bus that is current, or was when somebody began to wait for a change of it.
pub(crate) struct Bus {
    pub(crate) store: Store,
    closed: AtomicBool,
}

struct Current {
    bus: Arc<Bus>,
    /// The keys that were handed out, until the bus is closed.
    listed: HashSet<CString>,
}

type Slot = Option<Current>;

static CURRENT: RwLock<Slot> = RwLock::new(None);

impl Bus {
    /// Whether another bus, or none, is the current one by now.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// Does something with the current bus that does not take long: nobody can close it or fork meanwhile. `None` if there is none.
pub(crate) fn with<T>(run: impl FnOnce(&Store) -> T) -> Option<T> {
    Some(run(&read().as_ref()?.bus.store))
}

/// The current bus, for something that may take long: who closes it does not wait for that.
pub(crate) fn share() -> Option<Arc<Bus>> {
    Some(read().as_ref()?.bus.clone())
}

/// Makes a store the current bus, or none.
pub(crate) fn replace(store: Option<Store>) {
    let next = store.map(|store| Current {
        bus: Arc::new(Bus {
            store,
            closed: AtomicBool::new(false),
        }),
        listed: HashSet::new(),
    });
    let before = std::mem::replace(&mut *write(), next);
    if let Some(before) = before {
        before.bus.closed.store(true, Ordering::Relaxed);
    }
}

/// Keeps keys of a bus until it is closed, and returns where they are kept; `None` if it is closed already.
pub(crate) fn keep(bus: &Arc<Bus>, keys: Vec<CString>) -> Option<Vec<*const c_char>> {
    let mut current = write();
    let current = current.as_mut().filter(|current| Arc::ptr_eq(&current.bus, bus))?;
    let mut kept = Vec::with_capacity(keys.len());
    for key in keys {
        // What a string points to stays where it is when the set moves the string.
        let at = match current.listed.get(&key) {
            Some(known) => known.as_ptr(),
            None => {
                let at = key.as_ptr();
                current.listed.insert(key);
                at
            }
        };
        kept.push(at);
    }
    Some(kept)
}

fn read() -> RwLockReadGuard<'static, Slot> {
    guard_forks();
    CURRENT.read().unwrap_or_else(PoisonError::into_inner)
}

fn write() -> RwLockWriteGuard<'static, Slot> {
    guard_forks();
    CURRENT.write().unwrap_or_else(PoisonError::into_inner)
}

/// 0, or the process that is arranging it, or [`GUARDED`].
static GUARDIAN: AtomicU32 = AtomicU32::new(0);
const GUARDED: u32 = u32::MAX;

/// Arranges that the lock is in nobody's hands in a forked child: there is no other thread that would give it back.
///
/// Not by a `Once`: in a child forked off while another thread was within it, that would never end.
fn guard_forks() {
    loop {
        // Acquire and release: who sees it arranged takes the lock afterwards.
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
            unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(after_fork)) };
            GUARDIAN.store(GUARDED, Ordering::Release);
        }
    }
}

/// The lock of whoever is forking.
struct Held(UnsafeCell<Option<RwLockWriteGuard<'static, Slot>>>);

// SAFETY: it is touched only by the thread that has the lock which it holds.
unsafe impl Sync for Held {}

static HELD: Held = Held(UnsafeCell::new(None));

thread_local! {
    // A process that was forked off in the midst of `guard_forks` may have the handlers twice.
    static IS_FORKING: Cell<bool> = const { Cell::new(false) };
}

extern "C" fn before_fork() {
    if !IS_FORKING.replace(true) {
        let guard = CURRENT.write().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: this thread has the lock.
        unsafe { *HELD.0.get() = Some(guard) };
    }
}

extern "C" fn after_fork() {
    if IS_FORKING.replace(false) {
        // SAFETY: this thread has the lock until the guard is dropped, which is after it was taken out.
        let guard = unsafe { (*HELD.0.get()).take() };
        drop(guard);
    }
}
