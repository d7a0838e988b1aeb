//! The system calls that the standard library does not have, as safe functions with `io::Result`s.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{Error, Result};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::sync::{AtomicU32, Ordering};

/// Where in a file the bytes lie whose locks prove that a handle's owner lives: beyond any region.
const LIVENESS_OFFSET: i64 = 1 << 60;

fn check(result: i32) -> Result<i32> {
    if result < 0 {
        Err(Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::from_raw_os_error(libc::EINVAL))
}

/// By which a file can be reached that has no name, or another one now.
fn descriptor_path(file: &File) -> Result<CString> {
    Ok(CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?)
}

/// Opens an existing file without following a symbolic link in its last component and without waiting for a FIFO's peer.
pub(crate) fn open(path: &Path, writable: bool, follow: bool) -> Result<File> {
    let access = if writable { libc::O_RDWR } else { libc::O_RDONLY };
    let follow = if follow { 0 } else { libc::O_NOFOLLOW };
    let flags = access | follow | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    open_raw(&c_path(path)?, flags, 0)
}

/// A file in `directory` that has no name yet.
pub(crate) fn open_unnamed(directory: &Path, mode: u32) -> Result<File> {
    open_raw(
        &c_path(directory)?,
        libc::O_TMPFILE | libc::O_RDWR | libc::O_CLOEXEC,
        mode,
    )
}

/// A new file of a name that must not exist.
pub(crate) fn open_new(path: &Path, mode: u32) -> Result<File> {
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_RDWR | libc::O_CLOEXEC;
    open_raw(&c_path(path)?, flags, mode)
}

fn open_raw(path: &CStr, flags: i32, mode: u32) -> Result<File> {
    loop {
        // SAFETY: the path is NUL-terminated; nothing else is passed by address.
        let fd = unsafe { libc::open(path.as_ptr(), flags, mode) };
        if fd >= 0 {
            // SAFETY: the descriptor is new and nobody else's.
            return Ok(unsafe { File::from_raw_fd(fd) });
        }
        let error = Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINTR) {
            return Err(error);
        }
    }
}

/// Opens the file of a descriptor once more: another open file, with locks of its own.
pub(crate) fn reopen(file: &File) -> Result<File> {
    open_raw(&descriptor_path(file)?, libc::O_RDWR | libc::O_CLOEXEC, 0)
}

/// Gives an unnamed file its name, unless the name is taken.
pub(crate) fn link_unnamed(file: &File, path: &Path) -> Result<()> {
    let from = descriptor_path(file)?;
    let to = c_path(path)?;
    // SAFETY: both paths are NUL-terminated.
    check(unsafe {
        libc::linkat(
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::AT_SYMLINK_FOLLOW,
        )
    })
    .map(drop)
}

/// A file in memory without a name that can be sealed.
pub(crate) fn memfd(name: &CStr) -> Result<File> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is NUL-terminated.
    let fd = check(unsafe { libc::memfd_create(name.as_ptr(), flags) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Forbids everybody to change the length of a memory file.
pub(crate) fn seal_length(file: &File) -> Result<()> {
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: `fcntl` with integers alone.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }).map(drop)
}

/// Puts disk or memory behind a range of a file; what is there already stays as it is.
///
/// The plain system call and not `posix_fallocate`, which would write to every page where the file system cannot do it.
pub(crate) fn reserve(file: &File, offset: u64, bytes: u64) -> Result<()> {
    let (offset, bytes) = (offset as libc::off_t, bytes as libc::off_t);
    loop {
        // SAFETY: `fallocate` with integers alone.
        match check(unsafe { libc::fallocate(file.as_raw_fd(), 0, offset, bytes) }) {
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            result => return result.map(drop),
        }
    }
}

/// Maps a file from its start, shared with everybody who maps it.
pub(crate) fn map(file: &File, bytes: usize, writable: bool) -> Result<*mut u8> {
    let protection = if writable {
        libc::PROT_READ | libc::PROT_WRITE
    } else {
        libc::PROT_READ
    };
    // SAFETY: the kernel chooses the address, so no memory of ours is replaced.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            protection,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    Ok(address.cast())
}

/// Takes a mapping away.
///
/// # Safety
///
/// `address` and `bytes` are those of a mapping made by [`map`], and nothing refers to it any more.
pub(crate) unsafe fn unmap(address: *mut u8, bytes: usize) {
    // SAFETY: as the caller promises. It can only fail for arguments that `map` did not give.
    unsafe { libc::munmap(address.cast(), bytes) };
}

/// Writes a mapping's changed pages to its file and waits for the disk.
///
/// # Safety
///
/// `address` and `bytes` are those of a live mapping made by [`map`].
pub(crate) unsafe fn sync_mapping(address: *mut u8, bytes: usize) -> Result<()> {
    // SAFETY: as the caller promises.
    check(unsafe { libc::msync(address.cast(), bytes, libc::MS_SYNC) }).map(drop)
}

fn liveness_lock(bytes: Range<usize>, kind: i32) -> libc::flock {
    // SAFETY: all-zero bytes are a valid `flock`; `l_pid` must be zero for open-file-description locks.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = LIVENESS_OFFSET + bytes.start as i64;
    lock.l_len = bytes.len() as i64;
    lock
}

/// Tries to hold a byte for as long as this open file lives: the proof that the owner of handle `byte` is alive.
pub(crate) fn try_hold(file: &File, byte: usize) -> Result<bool> {
    let lock = liveness_lock(byte..byte + 1, libc::F_WRLCK);
    // SAFETY: the kernel reads one `flock`.
    match check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) }) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Lets go of a byte that [`try_hold`] took.
pub(crate) fn release_hold(file: &File, byte: usize) {
    let lock = liveness_lock(byte..byte + 1, libc::F_UNLCK);
    // SAFETY: the kernel reads one `flock`. A failure leaves the byte held until the file is closed, which is harmless.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) };
}

/// Whether another open file holds a byte. One's own hold is not seen.
pub(crate) fn is_held(file: &File, byte: usize) -> Result<bool> {
    is_any_held(file, byte..byte + 1)
}

/// Whether another open file holds one of these bytes.
pub(crate) fn is_any_held(file: &File, bytes: Range<usize>) -> Result<bool> {
    let mut lock = liveness_lock(bytes, libc::F_WRLCK);
    // SAFETY: the kernel reads and writes one `flock`.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut lock) })?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

/// Sleeps until `word` is woken, unless it is no longer `expected`, for at most `timeout`.
///
/// Returns for any reason whatever: the caller looks again. The futex is a shared one, so that other processes can wake it.
#[cfg(not(any(loom, shuttle)))]
pub(crate) fn futex_wait(word: *const AtomicU32, expected: u32, timeout: Duration) {
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // SAFETY: the kernel checks the address itself; the timeout lives during the call.
    unsafe {
        libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, expected, &raw const timeout);
    }
}

/// Wakes everybody, in any process, who sleeps on `word`.
#[cfg(not(any(loom, shuttle)))]
pub(crate) fn futex_wake_all(word: *const AtomicU32) {
    // SAFETY: the kernel takes the address as a name only.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, i32::MAX) };
}

/// Writes one byte to a stream, if there is room for it. A peer that is gone is an error, not a signal.
pub(crate) fn send_byte(stream: &UnixStream) -> Result<()> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel reads one byte.
    if unsafe { libc::send(stream.as_raw_fd(), [0_u8].as_ptr().cast(), 1, flags) } == 1 {
        Ok(())
    } else {
        Err(Error::last_os_error())
    }
}

/// Whether a stream's peer, which never sends, is gone.
pub(crate) fn is_abandoned(stream: &UnixStream) -> bool {
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
    let mut byte = 0_u8;
    // SAFETY: the kernel writes one byte at most.
    unsafe { libc::recv(stream.as_raw_fd(), (&raw mut byte).cast(), 1, flags) == 0 }
}

/// Waits until a descriptor is readable. Returns whether it is.
pub(crate) fn wait_readable(descriptor: BorrowedFd<'_>, timeout: Duration) -> Result<bool> {
    let start = std::time::Instant::now();
    let mut poll = libc::pollfd {
        fd: descriptor.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    loop {
        let left = timeout.saturating_sub(start.elapsed());
        let left_ms = left.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i32;
        // SAFETY: the kernel reads and writes one `pollfd`.
        match check(unsafe { libc::poll(&raw mut poll, 1, left_ms) }) {
            Ok(0) if left_ms != 0 => {}
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            result => return result.map(|count| count > 0),
        }
    }
}

/// Blocks all signals in this thread but those that its own instructions can cause, so that others handle them.
pub(crate) fn leave_signals_to_others() {
    // SAFETY: the set is initialised before it is used; nothing else is passed by address.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        for signal in [
            libc::SIGBUS,
            libc::SIGSEGV,
            libc::SIGILL,
            libc::SIGFPE,
            libc::SIGTRAP,
            libc::SIGSYS,
        ] {
            libc::sigdelset(&raw mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// Whether spinning can help: another processor may be running the one that is waited for.
pub(crate) fn several_processors() -> bool {
    // Asking costs some 30 µs. 0: not asked yet; who asks twice gets the same answer.
    static PROCESSORS: AtomicU32 = AtomicU32::new(0);
    let mut processors = PROCESSORS.load(Ordering::Relaxed);
    if processors == 0 {
        processors = std::thread::available_parallelism().map_or(1, |n| n.get().min(2) as u32);
        PROCESSORS.store(processors, Ordering::Relaxed);
    }
    processors > 1
}

/// Random bytes from the operating system.
pub(crate) fn random_id() -> Result<[u8; 16]> {
    let mut id = [0; 16];
    // SAFETY: the buffer is valid for 16 bytes; requests this small are never cut short.
    if unsafe { libc::getrandom(id.as_mut_ptr().cast(), id.len(), 0) } == id.len() as isize {
        Ok(id)
    } else {
        Err(Error::last_os_error())
    }
}

/// The machine's clock, in ns since 1970. Somebody may set it.
pub(crate) fn now_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one `timespec`. It fails for unknown clocks only.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    u64::try_from(now.tv_sec)
        .unwrap_or(0)
        .saturating_mul(1_000_000_000)
        .saturating_add(now.tv_nsec as u64)
}

/// The number of the machine's boot, drawn at random; zeros if it cannot be told.
pub(crate) fn boot_id() -> [u64; 2] {
    static BOOT_ID: std::sync::OnceLock<[u64; 2]> = std::sync::OnceLock::new();
    *BOOT_ID.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: String = text.trim().chars().filter(|&c| c != '-').collect();
        let number = u128::from_str_radix(&digits, 16).unwrap_or(0);
        [(number >> 64) as u64, number as u64]
    })
}

/// Whether a file is on no disk, and is gone with the machine's power. Where that cannot be told it may be on one.
pub(crate) fn is_in_memory(file: &File) -> bool {
    // SAFETY: any bytes are a `statfs`, which the kernel writes.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let result = unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut found) };
    result == 0 && matches!(found.f_type, libc::TMPFS_MAGIC | libc::HUGETLBFS_MAGIC)
}

/// Being the only one at a file, among those who ask by other open files of it; a death ends it.
pub(crate) struct Alone<'a>(&'a File);

impl<'a> Alone<'a> {
    /// Waits for its turn.
    pub(crate) fn on(file: &'a File) -> Result<Self> {
        loop {
            // SAFETY: no memory is passed.
            match check(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) }) {
                Ok(_) => return Ok(Self(file)),
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        // SAFETY: no memory is passed. There is nothing to be done about a failure, and closing ends it too.
        unsafe { libc::flock(self.0.as_raw_fd(), libc::LOCK_UN) };
    }
}

/// When this process started, in clock ticks since boot; 0 if it cannot be told.
pub(crate) fn process_start_time() -> u64 {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else {
        return 0;
    };
    // Field 22, counted from behind the command's closing parenthesis (the command may contain anything).
    stat.rsplit_once(')')
        .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19))
        .and_then(|field| field.parse().ok())
        .unwrap_or(0)
}
