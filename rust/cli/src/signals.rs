//! Ctrl-C: it ends a command that would go on for ever, and the program otherwise.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::SIGINT;

struct Flags {
    came: Arc<AtomicBool>,
    /// Whether the signal does what it does to programs that do not care.
    is_fatal: Arc<AtomicBool>,
}

/// While it lives, Ctrl-C only sets a mark.
pub(crate) struct Interrupts(&'static Flags);

impl Interrupts {
    pub(crate) fn catch() -> io::Result<Self> {
        static FLAGS: OnceLock<Flags> = OnceLock::new();
        let flags = match FLAGS.get() {
            Some(flags) => flags,
            None => {
                let flags = Flags {
                    came: Arc::new(AtomicBool::new(false)),
                    is_fatal: Arc::new(AtomicBool::new(false)),
                };
                // They run in this order.
                signal_hook::flag::register_conditional_default(SIGINT, flags.is_fatal.clone())?;
                signal_hook::flag::register(SIGINT, flags.came.clone())?;
                FLAGS.get_or_init(|| flags)
            }
        };
        flags.came.store(false, Ordering::SeqCst);
        flags.is_fatal.store(false, Ordering::SeqCst);
        Ok(Self(flags))
    }

    pub(crate) fn came(&self) -> bool {
        self.0.came.load(Ordering::SeqCst)
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.0.is_fatal.store(true, Ordering::SeqCst);
    }
}

/// Whether nobody can read the standard output any more, which a write would tell only when there is something to write.
pub(crate) fn nobody_reads() -> bool {
    let stdout = rustix::stdio::stdout();
    let mut descriptors = [PollFd::new(&stdout, PollFlags::empty())];
    poll(&mut descriptors, Some(&Timespec::default())).is_ok()
        && descriptors[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}
