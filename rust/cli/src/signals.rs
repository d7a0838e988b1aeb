//! Ctrl-C, which ends a command that would go on for ever, and the program otherwise; what tells programs to end; and whether
//! anybody is left who reads.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::emulate_default_handler;

/// What is known of one signal. Once it was caught, it is for ever: only what it does changes.
struct Mark {
    signal: i32,
    came: Arc<AtomicBool>,
    /// Whether the signal does what it does to programs that do not care.
    is_fatal: Arc<AtomicBool>,
}

impl Mark {
    /// The mark of a signal, which from now on does nothing but set it.
    fn of(signal: i32, at: &'static OnceLock<Self>) -> io::Result<&'static Self> {
        let mark = match at.get() {
            Some(mark) => mark,
            None => {
                let mark = Self {
                    signal,
                    came: Arc::new(AtomicBool::new(false)),
                    is_fatal: Arc::new(AtomicBool::new(false)),
                };
                // They run in this order.
                signal_hook::flag::register_conditional_default(signal, mark.is_fatal.clone())?;
                signal_hook::flag::register(signal, mark.came.clone())?;
                at.get_or_init(|| mark)
            }
        };
        mark.came.store(false, Ordering::SeqCst);
        mark.is_fatal.store(false, Ordering::SeqCst);
        Ok(mark)
    }

    fn came(&self) -> bool {
        self.came.load(Ordering::SeqCst)
    }

    /// Lets the signal do what it always does.
    fn release(&self) {
        self.is_fatal.store(true, Ordering::SeqCst);
    }
}

/// While it lives, Ctrl-C only sets a mark.
pub(crate) struct Interrupts(&'static Mark);

impl Interrupts {
    pub(crate) fn catch() -> io::Result<Self> {
        static MARK: OnceLock<Mark> = OnceLock::new();
        Mark::of(SIGINT, &MARK).map(Self)
    }

    pub(crate) fn came(&self) -> bool {
        self.0.came()
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// While it lives, signals that tell a program to end only set marks. They are obeyed when it is dropped.
pub(crate) struct Terminations([&'static Mark; 2]);

impl Terminations {
    pub(crate) fn catch() -> io::Result<Self> {
        static MARKS: [OnceLock<Mark>; 2] = [OnceLock::new(), OnceLock::new()];
        Ok(Self([Mark::of(SIGTERM, &MARKS[0])?, Mark::of(SIGHUP, &MARKS[1])?]))
    }

    pub(crate) fn came(&self) -> bool {
        self.0.iter().any(|mark| mark.came())
    }
}

impl Drop for Terminations {
    fn drop(&mut self) {
        for mark in self.0 {
            mark.release();
            if mark.came() {
                let _ = emulate_default_handler(mark.signal);
            }
        }
    }
}

/// Ends the program as the loss of its terminal does. The signal itself comes too, but only to those whose session it is.
pub(crate) fn hang_up() {
    let _ = emulate_default_handler(SIGHUP);
}

/// Whether nobody can read the standard output any more, which a write would tell only when there is something to write.
pub(crate) fn nobody_reads() -> bool {
    let stdout = rustix::stdio::stdout();
    let mut descriptors = [PollFd::new(&stdout, PollFlags::empty())];
    poll(&mut descriptors, Some(&Timespec::default())).is_ok()
        && descriptors[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}
