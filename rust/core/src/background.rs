//! Threads of this library in its host process.

#![forbid(unsafe_code)]

use std::thread::JoinHandle;

use crate::error::{Error, Result};
use crate::sys;

/// Our threads do little, and there may be many stores.
const STACK_BYTES: usize = 256 * 1024;

/// A thread that works until it is told to end.
#[derive(Debug)]
pub(crate) struct Background {
    thread: Option<JoinHandle<()>>,
    process: u32,
}

impl Background {
    /// Starts a thread that leaves the host's signals to others.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there is no thread to be had.
    pub(crate) fn start(name: &str, action: &'static str, work: impl FnOnce() + Send + 'static) -> Result<Self> {
        let thread = std::thread::Builder::new()
            .name(name.into())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                sys::leave_signals_to_others();
                work();
            })
            .map_err(|error| Error::from_os(action, &error))?;
        Ok(Self {
            thread: Some(thread),
            process: std::process::id(),
        })
    }

    /// Tells the thread to end, and waits until it has. Returns whether there was one: a forked child has not its parent's, and
    /// would wait for it for ever.
    pub(crate) fn end(&mut self, tell: impl FnOnce()) -> bool {
        let Some(thread) = self.thread.take() else {
            return false;
        };
        let is_own = self.process == std::process::id();
        if is_own {
            tell();
            // It does not panic; if it did, there would be nothing left to do about it.
            let _ = thread.join();
        } else {
            std::mem::forget(thread);
        }
        is_own
    }
}
