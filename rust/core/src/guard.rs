//! What must be arranged once a process, whatever the number of stores: a file that is cut under its mapping must not kill
//! the host (SIGBUS), and a forked child must keep neither its parent's proof of life nor its parent's locks
//! (`pthread_atfork`).
//!
//! Both run where neither locks nor memory can be had, so the mappings are in a list that only grows, of nodes that are
//! used again. It belongs to the process because signal dispositions and fork handlers do.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::fs::File;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering};

/// The handle works.
pub(crate) const OPEN: u8 = 0;
/// This process was forked off the one that opened the handle: it must attach anew before it writes.
pub(crate) const FORKED: u8 = 1;
/// Some thread is attaching anew.
pub(crate) const REATTACHING: u8 = 2;
/// Pages of the region are gone: what is read is worth nothing.
pub(crate) const DAMAGED: u8 = 3;
/// This process was forked off, and the file could not be opened anew: nobody's death can be proved, so nothing is written.
pub(crate) const LOST: u8 = 4;

/// A mapping, or a file without one, that is watched over, until [`Watch::end`].
#[derive(Debug)]
pub(crate) struct Watch {
    /// What has happened to the mapping: one of the states above.
    pub(crate) state: AtomicU8,
    used: AtomicBool,
    base: AtomicUsize,
    /// 0 for a file without a mapping.
    bytes: AtomicUsize,
    /// The descriptor whose locks are this process's, or -1.
    fd: AtomicI32,
    next: AtomicPtr<Watch>,
}

static WATCHES: AtomicPtr<Watch> = AtomicPtr::new(ptr::null_mut());
/// Forks between the process that loaded this library and this one. Not the process's number: a child may have its parent's,
/// in a namespace of its own.
static GENERATION: AtomicU32 = AtomicU32::new(0);
static PREVIOUS: PreviousHandler = PreviousHandler(UnsafeCell::new(MaybeUninit::uninit()));
/// 0, or the process that is installing, or [`INSTALLED`].
static INSTALLER: AtomicU32 = AtomicU32::new(0);
const INSTALLED: u32 = u32::MAX;
/// The machine's page size, which a signal handler cannot ask for.
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(4096);

/// The SIGBUS handler that was there before ours: written once, before ours can run.
struct PreviousHandler(UnsafeCell<MaybeUninit<libc::sigaction>>);

// SAFETY: it is written by the one who is `INSTALLER`, and read only by the handler that is installed after the writing.
unsafe impl Sync for PreviousHandler {}

impl Watch {
    /// Watches over a mapping. `fd` is the descriptor to renew in forked children, or -1. Without a mapping, which is one of no
    /// bytes, it is closed there.
    pub(crate) fn begin(base: *mut u8, bytes: usize, fd: c_int) -> &'static Self {
        install_once();
        let watch = Self::unused();
        watch.state.store(OPEN, Ordering::Relaxed);
        watch.fd.store(fd, Ordering::Relaxed);
        watch.base.store(base as usize, Ordering::Relaxed);
        // Release: whoever sees the length sees the rest.
        watch.bytes.store(bytes, Ordering::Release);
        watch
    }

    /// Stops watching. To be called before the mapping is taken away, because its addresses may be given to others.
    pub(crate) fn end(&'static self) {
        // First, so that no child takes it for a file without a mapping.
        self.fd.store(-1, Ordering::Release);
        self.bytes.store(0, Ordering::Release);
        self.used.store(false, Ordering::Release);
    }

    fn unused() -> &'static Self {
        for watch in Self::all() {
            // Acquire pairs with the release in `end`.
            if !watch.used.swap(true, Ordering::Acquire) {
                return watch;
            }
        }
        let watch: &'static Self = Box::leak(Box::new(Self {
            state: AtomicU8::new(OPEN),
            used: AtomicBool::new(true),
            base: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            fd: AtomicI32::new(-1),
            next: AtomicPtr::new(ptr::null_mut()),
        }));
        let node = ptr::from_ref(watch).cast_mut();
        let mut first = WATCHES.load(Ordering::Relaxed);
        loop {
            watch.next.store(first, Ordering::Relaxed);
            // Release: whoever finds the node finds it initialised.
            match WATCHES.compare_exchange_weak(first, node, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return watch,
                Err(now) => first = now,
            }
        }
    }

    /// Every node, used or not. Takes no lock and no memory, so signal handlers may call it.
    fn all() -> impl Iterator<Item = &'static Self> {
        let mut node = WATCHES.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            // SAFETY: nodes are leaked boxes: they live for ever and are only read through shared references.
            let watch: &'static Self = unsafe { node.as_ref()? };
            node = watch.next.load(Ordering::Acquire);
            Some(watch)
        })
    }

    fn contains(&self, address: usize) -> bool {
        let bytes = self.bytes.load(Ordering::Acquire);
        address.wrapping_sub(self.base.load(Ordering::Relaxed)) < bytes
    }
}

/// Not a `Once`: in a child forked off while another thread was within it, that would never end.
fn install_once() {
    let me = std::process::id();
    loop {
        let installer = INSTALLER.load(Ordering::Acquire);
        if installer == INSTALLED {
            return;
        }
        if installer == me {
            std::thread::yield_now();
            continue;
        }
        let taken = INSTALLER.compare_exchange(installer, me, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_ok() {
            install();
            INSTALLER.store(INSTALLED, Ordering::Release);
        }
    }
}

fn install() {
    // SAFETY: a query without arguments by address.
    if let Ok(bytes) = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }) {
        PAGE_BYTES.store(bytes, Ordering::Relaxed);
    }
    // SAFETY: the structures are valid, the handler has the signature that SA_SIGINFO asks for, and `PREVIOUS` is written
    // before the handler can run, by the query that precedes the installation.
    unsafe {
        let previous = (*PREVIOUS.0.get()).as_mut_ptr();
        if libc::sigaction(libc::SIGBUS, ptr::null(), previous) == 0 {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_bus_error as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut());
        }
        libc::pthread_atfork(None, None, Some(in_forked_child));
    }
}

/// Puts an empty page under an access to a page that the file no longer has, and marks the store as damaged; an access
/// that is not ours goes to whoever handled the signal before.
extern "C" fn on_bus_error(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid `siginfo_t` to a SA_SIGINFO handler.
    let (cause, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    // Not by an access, but sent by somebody: then there is no address.
    let was_sent = cause <= 0;
    let page_bytes = PAGE_BYTES.load(Ordering::Relaxed);
    for watch in Watch::all() {
        if !was_sent && watch.contains(address) {
            watch.state.store(DAMAGED, Ordering::SeqCst);
            // SAFETY: the page lies within our own mapping, which stays reserved for us until `Watch::end`.
            let page = unsafe {
                libc::mmap(
                    ptr::with_exposed_provenance_mut(address & !(page_bytes - 1)),
                    page_bytes,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                    -1,
                    0,
                )
            };
            if page != libc::MAP_FAILED {
                return;
            }
        }
    }
    // SAFETY: `install` wrote it before this handler was installed.
    let previous = unsafe { (*PREVIOUS.0.get()).assume_init_ref() };
    match previous.sa_sigaction {
        libc::SIG_IGN if was_sent => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: restoring the default is what the signal would have met without us. An access repeats and then ends
            // the process with the right cause; a signal that was sent is sent again.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                if was_sent {
                    libc::raise(signal);
                }
            }
        }
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: a handler installed with SA_SIGINFO has this signature.
            let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: a handler installed without SA_SIGINFO has this signature.
            let handler: extern "C" fn(c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}

/// In a forked child, before anything else runs there: gives up the open files whose locks are the parent's. Those that prove
/// life are opened anew under the same descriptors.
///
/// A child shares its parent's open files. Were it to keep these, the parent would seem alive, and at work on a checkpoint,
/// until the child ends too.
extern "C" fn in_forked_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    for watch in Watch::all() {
        let fd = watch.fd.load(Ordering::Relaxed);
        if fd < 0 {
            continue;
        }
        if watch.bytes.load(Ordering::Acquire) == 0 {
            // Once: the number is somebody else's from now on, in this process and in its children.
            watch.fd.store(-1, Ordering::Relaxed);
            // SAFETY: an `Unshared` of the parent has it, which nobody in this process uses.
            unsafe { libc::close(fd) };
            continue;
        }
        let path = DescriptorPath::new(fd);
        // SAFETY: only calls that are allowed between `fork` and `exec`; the path is NUL-terminated.
        let renewed = unsafe {
            let renewed = libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
            let mut replacement = renewed;
            if renewed < 0 {
                // Given up all the same, and first, because there may be no other descriptor to be had.
                libc::close(fd);
                replacement = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
            }
            if replacement != fd {
                libc::dup3(replacement, fd, libc::O_CLOEXEC);
                libc::close(replacement);
            }
            renewed >= 0
        };
        if watch.state.load(Ordering::Relaxed) != DAMAGED {
            watch
                .state
                .store(if renewed { FORKED } else { LOST }, Ordering::Relaxed);
        }
    }
}

/// An open file whose locks are this process's alone: a forked child has it no more.
///
/// The child must neither use nor drop what it inherits of it: the descriptor's number may be another file's there.
#[derive(Debug)]
pub(crate) struct Unshared {
    file: File,
    watch: &'static Watch,
}

impl Unshared {
    pub(crate) fn new(file: File) -> Self {
        let watch = Watch::begin(ptr::null_mut(), 0, file.as_raw_fd());
        Self { file, watch }
    }
}

impl Deref for Unshared {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for Unshared {
    fn drop(&mut self) {
        // Before the file is closed, whose number may be another's then.
        self.watch.end();
    }
}

/// What can be passed on to a forked child while other threads of the parent are at it.
pub(crate) trait Inherit {
    /// What the child begins with.
    fn inherited(&self) -> Self;
}

/// A thing of which each process has its own, so that a forked child finds no lock in the hands of a thread that it has not.
#[derive(Debug)]
pub(crate) struct PerProcess<T> {
    /// That of the process that made it.
    first: ManuallyDrop<Owned<T>>,
    /// That of this process, once it was asked for, or of an ancestor; null: the first.
    newest: AtomicPtr<Owned<T>>,
}

#[derive(Debug)]
struct Owned<T> {
    generation: u32,
    value: T,
}

// SAFETY: it is a box of a `T` that is shared by reference.
unsafe impl<T: Send + Sync> Send for PerProcess<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for PerProcess<T> {}

impl<T: Inherit> PerProcess<T> {
    pub(crate) fn new(value: T) -> Self {
        let generation = GENERATION.load(Ordering::Relaxed);
        Self {
            first: ManuallyDrop::new(Owned { generation, value }),
            newest: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// That of this process.
    pub(crate) fn get(&self) -> &T {
        // Relaxed: it was stored by the thread that forked off this process, before all others of it.
        let generation = GENERATION.load(Ordering::Relaxed);
        // Acquire pairs with the release of whoever put it there.
        let found = self.newest.load(Ordering::Acquire);
        // SAFETY: null, or it came from a box, which lives as long as `self`: one that is replaced is never freed.
        let owned = unsafe { found.as_ref() }.unwrap_or(&self.first);
        if owned.generation == generation {
            return &owned.value;
        }
        let value = owned.value.inherited();
        let own = Box::into_raw(Box::new(Owned { generation, value }));
        // Release: whoever finds it finds it initialised.
        match self
            .newest
            .compare_exchange(found, own, Ordering::AcqRel, Ordering::Acquire)
        {
            // SAFETY: as above. What it replaces is leaked: a thread of the parent may have been changing it.
            Ok(_) => unsafe { &(*own).value },
            Err(faster) => {
                // SAFETY: nobody else has seen it; and as above.
                unsafe {
                    drop(Box::from_raw(own));
                    &(*faster).value
                }
            }
        }
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let newest = *self.newest.get_mut();
        let generation = GENERATION.load(Ordering::Relaxed);
        // An ancestor's is leaked, as in `get`.
        // SAFETY: null, or it came from a box, and `self` was the last to have it; the first is not used again either.
        unsafe {
            match newest.as_ref() {
                Some(own) if own.generation == generation => drop(Box::from_raw(newest)),
                None if self.first.generation == generation => ManuallyDrop::drop(&mut self.first),
                _ => {}
            }
        }
    }
}

/// "/proc/self/fd/N", made without memory.
struct DescriptorPath([u8; 32]);

impl DescriptorPath {
    fn new(fd: c_int) -> Self {
        let mut path = [0; 32];
        let prefix = b"/proc/self/fd/";
        path[..prefix.len()].copy_from_slice(prefix);
        let mut rest = fd;
        let mut digits = 1;
        while rest >= 10 {
            rest /= 10;
            digits += 1;
        }
        rest = fd;
        for place in (0..digits).rev() {
            path[prefix.len() + place] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Self(path)
    }

    fn as_ptr(&self) -> *const libc::c_char {
        self.0.as_ptr().cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_has_its_path() {
        for fd in [0, 9, 10, 1023, c_int::MAX] {
            let path = DescriptorPath::new(fd);
            let text = std::ffi::CStr::from_bytes_until_nul(&path.0).unwrap();
            assert_eq!(text.to_str().unwrap(), format!("/proc/self/fd/{fd}"));
        }
    }
}
