//! Children that a test leads through their instructions one by one.

// Each test file uses its part of this.
#![allow(dead_code)]

use std::sync::atomic::Ordering;

use crate::process::{Child, Page, fork};

/// The word of the page where a child counts its turns.
const TURNS: usize = 10;

/// Where a led child has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Where it stops by itself: before a turn, or where it calls [`stop`].
    Start,
    /// After an instruction.
    Within,
    /// In the kernel, about to do what this signal asks for.
    Signal(i32),
}

/// Keeps the calling thread, and the children that it forks, on one processor: where two take turns, it is many times as
/// fast as two processors that wake each other.
pub(crate) fn stay_on_one_processor() {
    // SAFETY: the set lives during the calls, which only read it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu().try_into().unwrap(), &mut set);
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&set), &raw const set), 0);
    }
}

/// A child that takes turns, and stops before each.
pub(crate) struct Led {
    child: Child,
    place: Place,
}

/// Forks a child that prepares itself and then takes one turn after the other, for as long as it is led.
pub(crate) fn lead<T>(prepare: impl FnOnce(&'static Page) -> T, mut turn: impl FnMut(&T)) -> Led {
    let child = fork(|page| {
        // SAFETY: a call with integers alone.
        unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
        let prepared = prepare(page);
        for turn_number in 0.. {
            // It has its time again.
            page.step(turn_number);
            stop();
            turn(&prepared);
            page.words[TURNS].fetch_add(1, Ordering::SeqCst);
        }
    });
    let mut led = Led {
        child,
        place: Place::Within,
    };
    assert_eq!(led.wait(), Place::Start);
    led
}

/// To be called by a child that is led: it stops here as it does before a turn.
pub(crate) fn stop() {
    // SAFETY: a call with an integer alone.
    unsafe { libc::raise(libc::SIGSTOP) };
}

impl Led {
    pub(crate) fn page(&self) -> &'static Page {
        self.child.page
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Lets the child execute one instruction.
    pub(crate) fn step(&mut self) -> Place {
        self.resume(libc::PTRACE_SINGLESTEP);
        self.wait()
    }

    /// Lets the child go on to where its next system call begins or ends.
    pub(crate) fn step_call(&mut self) -> Place {
        self.resume(libc::PTRACE_SYSCALL);
        self.wait()
    }

    /// Lets the child go on, and returns at once.
    pub(crate) fn go_on(&mut self) {
        self.resume(libc::PTRACE_CONT);
    }

    /// How many turns the child has taken.
    pub(crate) fn turns(&self) -> u64 {
        self.page().get(TURNS)
    }

    /// Lets the child take its turn to its end.
    pub(crate) fn finish(&mut self) {
        while self.place != Place::Start {
            self.go_on();
            self.wait();
        }
    }

    fn resume(&mut self, request: libc::c_uint) {
        let signal = match self.place {
            Place::Signal(signal) => signal,
            Place::Start | Place::Within => 0,
        };
        // SAFETY: the child stands still, and is traced by this thread.
        let result = unsafe { libc::ptrace(request, self.child.pid, 0, signal) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        self.place = Place::Within;
    }

    /// Waits until the child stands still.
    pub(crate) fn wait(&mut self) -> Place {
        self.wait_with(0).expect("the child stands still")
    }

    /// Whether the child stands at the start of its next turn, after `go_on`: true; or sleeps in the kernel: false.
    ///
    /// `asleep` is asked about a child that the kernel shows as asleep.
    pub(crate) fn settle(&mut self, asleep: impl Fn(&Page) -> bool) -> bool {
        loop {
            match self.wait_with(libc::WNOHANG) {
                Some(Place::Start) => return true,
                Some(_) => self.go_on(),
                None if asleep(self.child.page) && self.child.state() == b'S' => return false,
                None => std::thread::yield_now(),
            }
        }
    }

    fn wait_with(&mut self, flags: i32) -> Option<Place> {
        let mut status = 0;
        // SAFETY: the status lives during the call.
        let pid = unsafe { libc::waitpid(self.child.pid, &mut status, flags) };
        assert!(pid >= 0, "{}", std::io::Error::last_os_error());
        if pid == 0 {
            return None;
        }
        assert!(
            libc::WIFSTOPPED(status),
            "it ended with {status:#x}: {}",
            self.page().said()
        );
        self.place = match libc::WSTOPSIG(status) {
            libc::SIGSTOP => Place::Start,
            libc::SIGTRAP => Place::Within,
            signal => Place::Signal(signal),
        };
        Some(self.place)
    }
}
