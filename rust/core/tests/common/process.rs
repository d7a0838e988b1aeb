//! Children that a test forks: they end, they say why they failed, and they take nothing with them.

// Each test file uses its part of this.
#![allow(dead_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, Ordering};

use splinter::OpenOptions;

/// After so many seconds a child hangs, however slow the machine.
const HANGS_AFTER_SECONDS: u32 = 60;
const TEXT_BYTES: usize = 4096 - 16 * 8 - 8;
const PAGE_BYTES: usize = 4096;
const FAILED: i32 = 101;

/// A page that parent and children share.
#[repr(C)]
pub(crate) struct Page {
    /// For whatever the test wants to be told.
    pub(crate) words: [AtomicU64; 15],
    /// What the child was at: part of the message if it dies.
    step: AtomicU64,
    text_bytes: AtomicU64,
    text: [AtomicU8; TEXT_BYTES],
}

const _: () = assert!(size_of::<Page>() == PAGE_BYTES);

impl Page {
    /// Pages are few and small: they are never unmapped, so that a reference to one is simply good.
    pub(crate) fn new() -> &'static Self {
        // SAFETY: the kernel chooses the address; fresh pages are zero, which is a valid `Page`.
        unsafe {
            let page = libc::mmap(
                std::ptr::null_mut(),
                PAGE_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(page, libc::MAP_FAILED);
            &*page.cast()
        }
    }

    /// Notes what the child is at. From here on it has its time again before it is taken to hang.
    pub(crate) fn step(&self, step: u64) {
        self.step.store(step, Ordering::Relaxed);
        expect_an_end();
    }

    pub(crate) fn get(&self, word: usize) -> u64 {
        self.words[word].load(Ordering::SeqCst)
    }

    /// Sets a word and wakes those who await it.
    pub(crate) fn set(&self, word: usize, value: u64) {
        self.words[word].store(value, Ordering::SeqCst);
        let at = &raw const self.words[word];
        // SAFETY: the kernel takes the address as a name only.
        unsafe { libc::syscall(libc::SYS_futex, at, libc::FUTEX_WAKE, i32::MAX) };
    }

    /// Sleeps until another process has set a word to something else than `value`, and returns what it is then.
    pub(crate) fn await_change(&self, word: usize, value: u64) -> u64 {
        let at = &raw const self.words[word];
        let timeout = libc::timespec {
            tv_sec: HANGS_AFTER_SECONDS.into(),
            tv_nsec: 0,
        };
        while self.get(word) == value {
            // SAFETY: the addresses are valid; the kernel compares the low half of the word.
            let result =
                unsafe { libc::syscall(libc::SYS_futex, at, libc::FUTEX_WAIT, value as u32, &raw const timeout) };
            let timed_out = result < 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ETIMEDOUT);
            assert!(!timed_out, "nobody has set word {word}, which is still {value}");
        }
        self.get(word)
    }

    /// Sleeps until another process has set a word.
    pub(crate) fn await_word(&self, word: usize, value: u64) {
        let mut now = self.get(word);
        while now != value {
            now = self.await_change(word, now);
        }
    }

    fn say(&self, message: &str) {
        for (to, from) in self.text.iter().zip(message.bytes()) {
            to.store(from, Ordering::Relaxed);
        }
        self.text_bytes
            .store(message.len().min(TEXT_BYTES) as u64, Ordering::SeqCst);
    }

    /// What a child that failed gave as the reason.
    pub(crate) fn said(&self) -> String {
        let bytes = self.text_bytes.load(Ordering::SeqCst) as usize;
        let text: Vec<_> = self.text[..bytes]
            .iter()
            .map(|byte| byte.load(Ordering::Relaxed))
            .collect();
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// A forked child, killed when dropped, so that a failing test leaves none behind.
#[must_use]
pub(crate) struct Child {
    pub(crate) pid: i32,
    pub(crate) page: &'static Page,
}

/// In a forked child: where it says why it failed.
static OWN_PAGE: AtomicPtr<Page> = AtomicPtr::new(std::ptr::null_mut());

/// Has the panics of forked children told to their parents.
///
/// Not done in the children: a hook cannot be set in one that was forked off while another thread panicked.
fn redirect_panics_of_children() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // SAFETY: null, or a page, which is never unmapped.
        match unsafe { OWN_PAGE.load(Ordering::Relaxed).as_ref() } {
            Some(page) => page.say(&panic.to_string()),
            None => usual(panic),
        }
    }));
}

/// Forks a child that runs `work`.
///
/// The child has only the calling thread, whatever other tests run in this process, and ends without running the
/// destructors of what it inherited.
pub(crate) fn fork(work: impl FnOnce(&'static Page)) -> Child {
    // What the first store of a process sets up is set up here, so that no other thread is within it when this one forks.
    static FIRST: Once = Once::new();
    FIRST.call_once(|| {
        drop(OpenOptions::new().slots(1).anonymous().unwrap());
        redirect_panics_of_children();
    });
    let page = Page::new();
    // SAFETY: the child goes on in this thread alone and ends by `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "{}", std::io::Error::last_os_error());
    if pid == 0 {
        expect_an_end();
        OWN_PAGE.store(std::ptr::from_ref(page).cast_mut(), Ordering::Relaxed);
        let code = catch_unwind(AssertUnwindSafe(|| work(page))).map_or(FAILED, |()| 0);
        // SAFETY: it ends the child.
        unsafe { libc::_exit(code) };
    }
    Child { pid, page }
}

/// Has the calling process killed if it does not end in time.
fn expect_an_end() {
    // SAFETY: its default action ends the process.
    unsafe { libc::alarm(HANGS_AFTER_SECONDS) };
}

/// Forks a child that runs `work`, and fails if it does.
pub(crate) fn in_child(work: impl FnOnce(&Page)) {
    fork(work).join();
}

impl Child {
    /// Waits for the end of a child that must end well.
    pub(crate) fn join(self) {
        let page = self.page;
        let status = self.wait();
        if status == 0 {
            return;
        }
        let step = page.step.load(Ordering::Relaxed);
        match libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)) {
            Some(libc::SIGALRM) => panic!("the child hung at step {step}"),
            Some(signal) => panic!("the child was killed by signal {signal} at step {step}"),
            None => panic!("the child failed at step {step}: {}", page.said()),
        }
    }

    /// Waits for the child's end and returns how it ended, as `waitpid` says.
    pub(crate) fn wait(self) -> i32 {
        let mut status = 0;
        // SAFETY: the status lives during the call.
        let pid = unsafe { libc::waitpid(self.pid, &mut status, 0) };
        assert_eq!(pid, self.pid, "{}", std::io::Error::last_os_error());
        std::mem::forget(self);
        status
    }

    /// What the kernel shows of the thread that the child started last, in one letter: 'S' is asleep, 'Z' dead.
    pub(crate) fn state(&self) -> u8 {
        loop {
            let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap();
            let numbers = threads.filter_map(|thread| thread.ok()?.file_name().to_str()?.parse::<u32>().ok());
            let last = numbers.max().unwrap();
            // If there is none any more it has just ended, and another is the last.
            if let Ok(stat) = std::fs::read_to_string(format!("/proc/{}/task/{last}/stat", self.pid)) {
                // The command, in parentheses, may contain anything.
                return stat.rsplit_once(") ").unwrap().1.as_bytes()[0];
            }
        }
    }

    /// Kills the child where it is.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: the child has not been waited for, so the number is still its own.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}
