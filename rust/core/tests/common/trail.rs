//! What a kill leaves of a store, for every instruction at which it may come, recorded in one go.
//!
//! A kill after an instruction leaves what processes share as that instruction left it. Whatever else it does, the kernel does
//! in the same way at every instruction: it drops the lock that proves the handle's life. So a child is led through an
//! operation once, what is shared is noted whenever an instruction has changed it, and the child is killed at the end; to
//! look at a kill on the way, what was noted is put back, and the owner of all that is locked there is dead. A kill between
//! two such instructions leaves what the first of them left.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;

use splinter::Store;

use crate::bytes::{HANDLE_BYTES, Parts};
use crate::trace::{Led, Place};

const LINE_BYTES: usize = 64;
/// More handles than a test attaches: the table's other places stay empty, and are not looked at.
const HANDLES: usize = 16;

/// What processes share, mapped.
pub(crate) struct Shared {
    base: *mut u8,
    pub(crate) parts: Parts,
}

impl Shared {
    pub(crate) fn new(store: &Store) -> Self {
        let file = File::options().read(true).write(true).open(store.path()).unwrap();
        let parts = Parts::of(store.geometry());
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses the address.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                parts.region_bytes,
                access,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED);
        Self {
            base: base.cast(),
            parts,
        }
    }

    /// Nobody writes meanwhile: the children stand still, and so does the caller.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping has so many bytes and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.base, self.parts.region_bytes) }
    }

    pub(crate) fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes()[at..at + 8].try_into().unwrap())
    }

    pub(crate) fn put_back(&self, image: &[u8]) {
        assert_eq!(image.len(), self.parts.region_bytes);
        // SAFETY: so many bytes are mapped, and no slice of them is alive: `bytes` lends them only for a moment.
        unsafe { std::ptr::copy_nonoverlapping(image.as_ptr(), self.base, image.len()) };
    }

    /// All but the empty places of the table of handles, in lines.
    fn looked_at(&self) -> [Range<usize>; 2] {
        let handles_end = self.parts.handles.start + HANDLES * HANDLE_BYTES;
        [0..handles_end, self.parts.stripes.start..self.parts.region_bytes]
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: nothing borrows it any more.
        unsafe { libc::munmap(self.base.cast(), self.parts.region_bytes) };
    }
}

/// What an instruction changed.
struct Moment {
    /// How many instructions came before it, itself included.
    instructions: usize,
    lines: Vec<(usize, [u8; LINE_BYTES])>,
}

/// What each kill during one turn of a child leaves.
pub(crate) struct Trail {
    before: Vec<u8>,
    moments: Vec<Moment>,
    instructions: usize,
}

impl Trail {
    /// Leads a child through its next turn.
    pub(crate) fn record(child: &mut Led, shared: &Shared) -> Self {
        let before = shared.bytes().to_vec();
        let mut last = before.clone();
        let mut moments = Vec::new();
        let turns = child.turns();
        let mut instructions = 0;
        assert_eq!(child.place(), Place::Start);
        loop {
            child.step();
            if child.turns() > turns {
                break;
            }
            instructions += 1;
            let lines = changed_lines(&mut last, shared);
            if !lines.is_empty() {
                moments.push(Moment { instructions, lines });
            }
        }
        child.finish();
        Self {
            before,
            moments,
            instructions,
        }
    }

    /// After how many instructions the child could be killed.
    pub(crate) fn instructions(&self) -> usize {
        self.instructions + 1
    }

    /// Shows everything different that kills leave, and after how many instructions.
    pub(crate) fn images(&self, mut look: impl FnMut(usize, &[u8])) {
        let mut image = self.before.clone();
        look(0, &image);
        for moment in &self.moments {
            for (at, line) in &moment.lines {
                image[*at..at + LINE_BYTES].copy_from_slice(line);
            }
            look(moment.instructions, &image);
        }
    }
}

/// The lines that have changed, which `last` then has too.
fn changed_lines(last: &mut [u8], shared: &Shared) -> Vec<(usize, [u8; LINE_BYTES])> {
    let now = shared.bytes();
    let mut lines = Vec::new();
    for part in shared.looked_at() {
        if last[part.clone()] == now[part.clone()] {
            continue;
        }
        for at in part.step_by(LINE_BYTES) {
            let line = at..at + LINE_BYTES;
            if last[line.clone()] != now[line.clone()] {
                last[line.clone()].copy_from_slice(&now[line.clone()]);
                lines.push((at, now[line].try_into().unwrap()));
            }
        }
    }
    lines
}
