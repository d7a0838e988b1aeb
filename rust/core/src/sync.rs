//! The atomics that shared bytes are accessed through: one place, so that a model checker can stand in for them.

#![forbid(unsafe_code)]

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

/// A full barrier after a locked read-modify-write.
///
/// On x86-64 that instruction has been one already, so that only the compiler needs telling; elsewhere it has not.
#[inline]
pub(crate) fn fence_after_rmw() {
    if cfg!(target_arch = "x86_64") {
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}
