//! Damage in the middle of a call: before its n-th access to the store.
//!
//! The mapping that the call works with is closed to it. At each access the kernel sends SIGSEGV; the handler counts it, opens
//! the mapping, and has the processor stop after that one instruction, when SIGTRAP closes it again. At the n-th access the
//! neighbour writes, by a mapping of its own, and leaves it open. So what one call reads twice can be two things, at any place
//! that there is, and the same in every run. The kernel's own accesses, to sleep and to wake, fail while the mapping is closed: they
//! may, and the call goes on without.

use std::fs::File;
use std::os::fd::AsRawFd;

use splinter::Store;

use crate::victim::Patch;

/// One who can write anything anywhere in a store.
pub(crate) struct Neighbour {
    /// Where the store has its mapping.
    base: *mut u8,
    /// Where the neighbour has its own.
    own: *mut u8,
    bytes: usize,
}

impl Neighbour {
    /// The neighbour of a store that is as it was made, and of the file that it is.
    pub(crate) fn of(store: &Store, file: &File) -> Self {
        let bytes = file.metadata().unwrap().len() as usize;
        let offset = store.slot_snapshot("key1").unwrap().unwrap().value_offset as usize;
        let value = store.view("key1").unwrap().unwrap().bytes().as_ptr();
        let base = value.cast_mut().cast::<u8>().wrapping_sub(offset);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses the address.
        let own = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                access,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(own, libc::MAP_FAILED);
        Self {
            base,
            own: own.cast(),
            bytes,
        }
    }

    /// Calls, and writes before the call's n-th access to the store, or after the call if it has no more than n.
    pub(crate) fn strike(&self, patch: &Patch<'_>, accesses: u32, call: impl FnOnce()) {
        assert!(patch.at + patch.bytes.len() <= self.bytes);
        traps::with(self, patch, accesses, call);
        // SAFETY: the range was checked; whoever else looks there does it by atomics.
        unsafe { write(self.own.add(patch.at), patch.bytes.as_ptr(), patch.bytes.len()) };
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // SAFETY: no reference into the mapping is left.
        unsafe { libc::munmap(self.own.cast(), self.bytes) };
    }
}

/// Writes bytes where others may look.
///
/// # Safety
///
/// Both places have so many bytes.
unsafe fn write(to: *mut u8, from: *const u8, bytes: usize) {
    for at in 0..bytes {
        // SAFETY: as the caller promises; a volatile write is one that a signal handler may do.
        unsafe { to.add(at).write_volatile(from.add(at).read()) };
    }
}

#[cfg(target_arch = "x86_64")]
mod traps {
    use std::ffi::c_void;
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};
    use std::sync::{Mutex, Once, PoisonError};

    use super::{Neighbour, Patch};

    /// The processor's flag to stop after one instruction.
    const TRAP_FLAG: i64 = 0x100;

    /// One strike at a time: what handlers know is global.
    static STRIKING: Mutex<()> = Mutex::new(());
    static INSTALLED: Once = Once::new();
    static BASE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
    /// 0: no mapping is closed.
    static BYTES: AtomicUsize = AtomicUsize::new(0);
    static ACCESSES_LEFT: AtomicU32 = AtomicU32::new(0);
    static TARGET: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
    static PATCH: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
    static PATCH_BYTES: AtomicUsize = AtomicUsize::new(0);

    pub(super) fn with(neighbour: &Neighbour, patch: &Patch<'_>, accesses: u32, call: impl FnOnce()) {
        let _striking = STRIKING.lock().unwrap_or_else(PoisonError::into_inner);
        INSTALLED.call_once(install);
        BASE.store(neighbour.base, Ordering::Relaxed);
        ACCESSES_LEFT.store(accesses, Ordering::Relaxed);
        TARGET.store(neighbour.own.wrapping_add(patch.at), Ordering::Relaxed);
        PATCH.store(patch.bytes.as_ptr().cast_mut(), Ordering::Relaxed);
        PATCH_BYTES.store(patch.bytes.len(), Ordering::Relaxed);
        // The handlers run in this thread: program order is all that they need.
        BYTES.store(neighbour.bytes, Ordering::SeqCst);
        let _open = Open;
        protect(libc::PROT_NONE);
        call();
    }

    /// Opens the mapping, at the end or at a panic.
    struct Open;

    impl Drop for Open {
        fn drop(&mut self) {
            if BYTES.load(Ordering::SeqCst) != 0 {
                protect(libc::PROT_READ | libc::PROT_WRITE);
                BYTES.store(0, Ordering::SeqCst);
            }
        }
    }

    fn protect(access: i32) {
        let (base, bytes) = (BASE.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
        // SAFETY: the store's mapping, which is either open to all that the store does, or to nothing.
        unsafe { libc::mprotect(base.cast(), bytes, access) };
    }

    fn install() {
        for (signal, handler) in [
            (libc::SIGSEGV, on_access as *const ()),
            (libc::SIGTRAP, on_step as *const ()),
        ] {
            // SAFETY: an action of zeros is one with no flags and an empty mask, and the handler is one of three arguments.
            unsafe {
                let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
                action.sa_sigaction = handler as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                let before = if signal == libc::SIGSEGV {
                    (&raw mut BEFORE).cast()
                } else {
                    ptr::null_mut()
                };
                assert_eq!(libc::sigaction(signal, &raw const action, before), 0);
            }
        }
    }

    /// Who was told of bad accesses before.
    static mut BEFORE: MaybeUninit<libc::sigaction> = MaybeUninit::uninit();

    fn set_trap(context: *mut c_void, on: bool) {
        // SAFETY: what the kernel passed to a handler that has not returned yet.
        let flags = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_EFL as usize] };
        *flags = *flags & !TRAP_FLAG | if on { TRAP_FLAG } else { 0 };
    }

    extern "C" fn on_access(_: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
        // SAFETY: the kernel's, of a signal that has an address.
        let address = unsafe { (*info).si_addr() } as usize;
        let base = BASE.load(Ordering::Relaxed) as usize;
        if address.wrapping_sub(base) >= BYTES.load(Ordering::Relaxed) {
            // A bad access of whatever kind: it happens again, before those who tell of it.
            // SAFETY: written before this handler was installed.
            unsafe { libc::sigaction(libc::SIGSEGV, (&raw const BEFORE).cast(), ptr::null_mut()) };
            return;
        }
        protect(libc::PROT_READ | libc::PROT_WRITE);
        let left = ACCESSES_LEFT.load(Ordering::Relaxed);
        if left > 0 {
            ACCESSES_LEFT.store(left - 1, Ordering::Relaxed);
            set_trap(context, true);
            return;
        }
        BYTES.store(0, Ordering::Relaxed);
        let (to, from) = (TARGET.load(Ordering::Relaxed), PATCH.load(Ordering::Relaxed));
        // SAFETY: the range lies in the neighbour's mapping, and the patch lives until the strike is over.
        unsafe { super::write(to, from, PATCH_BYTES.load(Ordering::Relaxed)) };
    }

    extern "C" fn on_step(_: i32, _: *mut libc::siginfo_t, context: *mut c_void) {
        set_trap(context, false);
        protect(libc::PROT_NONE);
    }
}

/// Elsewhere the damage is done after the call.
#[cfg(not(target_arch = "x86_64"))]
mod traps {
    use super::{Neighbour, Patch};

    pub(super) fn with(_: &Neighbour, _: &Patch<'_>, _: u32, call: impl FnOnce()) {
        call();
    }
}
