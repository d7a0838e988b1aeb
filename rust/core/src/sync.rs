//! The atomics that shared bytes are accessed through, and whatever else has one thread wait for another: one place, so
//! that a model checker can stand in for them (`machine`, which says how).

#![forbid(unsafe_code)]

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

#[cfg(any(loom, shuttle))]
pub(crate) use crate::machine::{
    AtomicU32, AtomicU64, Instant, fence, futex_wait, futex_wake_all, sleep, spin_loop, yield_now,
};
#[cfg(not(any(loom, shuttle)))]
pub(crate) use {
    crate::sys::{futex_wait, futex_wake_all},
    std::hint::spin_loop,
    std::sync::atomic::{AtomicU32, AtomicU64, fence},
    std::thread::{sleep, yield_now},
    std::time::Instant,
};

/// A full barrier after a locked read-modify-write.
///
/// On x86-64 that instruction has been one already, so that only the compiler needs telling; elsewhere it has not.
#[inline]
pub(crate) fn fence_after_rmw() {
    if cfg!(all(target_arch = "x86_64", not(any(loom, miri)))) {
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}
