//! Stopping a task in the middle of something.

use shuttle::sync::{Condvar, Mutex};

/// Where a task stops, in the middle of something, until others have done what they must.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    is_reached: bool,
    is_open: bool,
}

impl Gate {
    pub(super) fn stop(&self) {
        self.set_reached();
        let mut state = self.state.lock().unwrap();
        while !state.is_open {
            state = self.changed.wait(state).unwrap();
        }
    }

    /// Called too for a task that has come to its end without stopping.
    pub(super) fn set_reached(&self) {
        self.state.lock().unwrap().is_reached = true;
        self.changed.notify_all();
    }

    pub(super) fn await_reached(&self) {
        let mut state = self.state.lock().unwrap();
        while !state.is_reached {
            state = self.changed.wait(state).unwrap();
        }
    }

    pub(super) fn open(&self) {
        self.state.lock().unwrap().is_open = true;
        self.changed.notify_all();
    }
}
