//! Counting the system calls of a child from inside: a seccomp filter turns them into signals, whose handler keeps count
//! in the page that the child shares with the test.
//!
//! Waits on futexes are made to last until somebody wakes them: the slices in which the store sleeps would hide a wake that
//! is missing.

// Each test file uses its part of this.
#![allow(dead_code)]

use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::process::{Child, Page};

/// The words of the page that the counting needs: a test has those below.
const WAITS: usize = 11;
const WAKES: usize = 12;
const WOKEN: usize = 13;
const FORBIDDEN: usize = 14;

/// Marks a futex call as one that the handler makes. It stands where such a call has an address that it does not use.
const MARK: u32 = 0x5eed;
/// How a child ends that made a call that it must not make.
const FORBIDDEN_EXIT: i32 = 102;

/// What becomes of calls other than those on futexes that processes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// The kernel carries them out, and nobody counts them.
    Allowed,
    /// The first of them ends the child. Its own end remains possible.
    Forbidden,
}

/// How often a child has woken sleepers, and how many slept there: what the kernel said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wakes {
    pub(crate) calls: u64,
    pub(crate) woken: u64,
}

/// Where the handler counts.
static PAGE: AtomicPtr<Page> = AtomicPtr::new(std::ptr::null_mut());
/// Whether a call that is not counted ends the child.
static STRICT: AtomicBool = AtomicBool::new(false);

/// Counts the system calls of the calling thread, and of those that it starts, in `page` from here on.
pub(crate) fn count_calls(page: &Page, others: Others) {
    PAGE.store(std::ptr::from_ref(page).cast_mut(), Ordering::SeqCst);
    STRICT.store(others == Others::Forbidden, Ordering::SeqCst);
    // SAFETY: the handler touches nothing but the page, the calls' arguments and the stack.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_call as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGSYS, &action, std::ptr::null_mut()), 0);
    }
    let otherwise = match others {
        Others::Allowed => libc::SECCOMP_RET_ALLOW,
        Others::Forbidden => libc::SECCOMP_RET_TRAP,
    };
    // `seccomp_data`: the call's number is at 0, its fifth argument at 48.
    let load = |offset| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset);
    let end = |action| statement(libc::BPF_RET | libc::BPF_K, action);
    let filter = [
        load(0),
        skip_unless(libc::SYS_futex as u32, 3),
        load(48),
        skip_unless(MARK, 6),
        end(libc::SECCOMP_RET_ALLOW),
        skip_unless(libc::SYS_rt_sigreturn as u32, 1),
        end(libc::SECCOMP_RET_ALLOW),
        skip_unless(libc::SYS_exit_group as u32, 1),
        end(libc::SECCOMP_RET_ALLOW),
        end(otherwise),
        end(libc::SECCOMP_RET_TRAP),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the program lives during the calls, which copy it.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program),
            0,
            "{}",
            std::io::Error::last_os_error()
        );
    }
}

fn statement(code: u32, operand: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k: operand,
    }
}

/// Goes on with the next statement if the loaded word is `value`, else past `count` more.
fn skip_unless(value: u32, count: u8) -> libc::sock_filter {
    libc::sock_filter {
        jf: count,
        ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value)
    }
}

/// Carries out a call on a futex, and counts it if processes share that futex; any other call ends the process.
extern "C" fn on_call(_signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes the context of the interrupted thread, which is this one. The page is never unmapped.
    let (page, registers) = unsafe { (&*PAGE.load(Ordering::SeqCst), Registers::of(context)) };
    let [word, operation, value, mut timeout, _, mask] = registers.arguments();
    let is_futex = registers.number() == libc::SYS_futex;
    let is_private = operation as i32 & libc::FUTEX_PRIVATE_FLAG != 0;
    let counter = match operation as i32 & libc::FUTEX_CMD_MASK {
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => WAITS,
        libc::FUTEX_WAKE | libc::FUTEX_WAKE_BITSET => WAKES,
        _ => FORBIDDEN,
    };
    if !is_futex || counter == FORBIDDEN || is_private && STRICT.load(Ordering::SeqCst) {
        page.words[FORBIDDEN].store(registers.number() as u64, Ordering::SeqCst);
        // SAFETY: it ends the process.
        unsafe { libc::_exit(FORBIDDEN_EXIT) };
    }
    if !is_private {
        page.words[counter].fetch_add(1, Ordering::SeqCst);
        if counter == WAITS {
            timeout = 0;
        }
    }
    // SAFETY: the arguments are those with which the interrupted code called the kernel, but for a timeout; the kernel
    // checks addresses itself.
    let result = unsafe { libc::syscall(libc::SYS_futex, word, operation, value, timeout, u64::from(MARK), mask) };
    if !is_private && counter == WAKES {
        page.words[WOKEN].fetch_add(result.max(0) as u64, Ordering::SeqCst);
    }
    registers.set_result(if result < 0 {
        // SAFETY: the address of the thread's own error number.
        -i64::from(unsafe { *libc::__errno_location() })
    } else {
        result
    });
}

/// The registers of a trapped call, as the processor's convention for system calls has them.
struct Registers(*mut libc::mcontext_t);

impl Registers {
    /// # Safety
    ///
    /// `context` is what the kernel passed to the handler, which has not returned yet.
    unsafe fn of(context: *mut libc::c_void) -> Self {
        // SAFETY: as the caller promises.
        Self(unsafe { &raw mut (*context.cast::<libc::ucontext_t>()).uc_mcontext })
    }

    #[cfg(target_arch = "x86_64")]
    fn arguments(&self) -> [u64; 6] {
        use libc::{REG_R8, REG_R9, REG_R10, REG_RDI, REG_RDX, REG_RSI};
        // SAFETY: as `of` was promised.
        [REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9]
            .map(|register| unsafe { (*self.0).gregs[register as usize] } as u64)
    }

    #[cfg(target_arch = "x86_64")]
    fn number(&self) -> i64 {
        // SAFETY: as `of` was promised.
        unsafe { (*self.0).gregs[libc::REG_RAX as usize] }
    }

    #[cfg(target_arch = "x86_64")]
    fn set_result(&self, result: i64) {
        // SAFETY: as `of` was promised.
        unsafe { (*self.0).gregs[libc::REG_RAX as usize] = result };
    }

    #[cfg(target_arch = "aarch64")]
    fn arguments(&self) -> [u64; 6] {
        // SAFETY: as `of` was promised.
        [0, 1, 2, 3, 4, 5].map(|register: usize| unsafe { (*self.0).regs[register] })
    }

    #[cfg(target_arch = "aarch64")]
    fn number(&self) -> i64 {
        // SAFETY: as `of` was promised.
        unsafe { (*self.0).regs[8] as i64 }
    }

    #[cfg(target_arch = "aarch64")]
    fn set_result(&self, result: i64) {
        // SAFETY: as `of` was promised.
        unsafe { (*self.0).regs[0] = result as u64 };
    }
}

/// What the calling child has woken up to now.
pub(crate) fn wakes(page: &Page) -> Wakes {
    Wakes {
        calls: page.words[WAKES].load(Ordering::SeqCst),
        woken: page.words[WOKEN].load(Ordering::SeqCst),
    }
}

/// How often a child has gone to sleep.
pub(crate) fn waits(page: &Page) -> u64 {
    page.words[WAITS].load(Ordering::SeqCst)
}

/// Waits until a child that counts its calls sleeps on a futex for the `nth` time, in the thread that it started last.
///
/// From then on a wake finds it there: the kernel shows a thread as asleep only when whoever wakes will wait for it to be
/// in the queue.
pub(crate) fn wait_until_asleep(child: &Child, nth: u64) {
    loop {
        let state = child.state();
        assert!(
            !b"ZX".contains(&state),
            "it has ended and not slept: {}",
            child.page.said()
        );
        // The announcement precedes the sleep.
        if waits(child.page) >= nth && state == b'S' {
            return;
        }
        std::thread::yield_now();
    }
}

/// Waits for the end of a child that counts its calls, which must be a good one.
pub(crate) fn join(child: Child) {
    let page = child.page;
    let status = child.wait();
    if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == FORBIDDEN_EXIT {
        let number = page.words[FORBIDDEN].load(Ordering::SeqCst);
        panic!("the child made a system call that it must not make: number {number}");
    }
    assert_eq!(status, 0, "the child ended with status {status:#x}: {}", page.said());
}
