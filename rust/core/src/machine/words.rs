//! What loom has for the words that are accessed.
//!
//! Loom wants every use of an atomic to come after its making, so all are made before the tasks are; and so an exploration
//! that meets a word which it does not know begins anew once it knows it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use loom::sync::atomic::{AtomicU32, AtomicU64};

#[derive(Default)]
pub(super) struct Words {
    pub(super) narrow: Table<u32, AtomicU32>,
    pub(super) wide: Table<u64, AtomicU64>,
}

/// The words of one width, by their names.
pub(super) struct Table<W, A> {
    /// With what stands there when an execution begins.
    initial: BTreeMap<usize, W>,
    modelled: HashMap<usize, Arc<A>>,
    is_complete: bool,
}

impl<W, A> Default for Table<W, A> {
    fn default() -> Self {
        Self {
            initial: BTreeMap::new(),
            modelled: HashMap::new(),
            is_complete: true,
        }
    }
}

impl<W: Copy, A> Table<W, A> {
    /// The stand-in of a word, if it was known when the execution began. `now`: what stands there.
    pub(super) fn find(&mut self, name: usize, now: impl FnOnce() -> W) -> Option<Arc<A>> {
        let found = self.modelled.get(&name).cloned();
        if found.is_none() {
            // Nobody has stored to it yet, for he would have met it before.
            self.initial.entry(name).or_insert_with(now);
            self.is_complete = false;
        }
        found
    }

    fn begin(&mut self, make: impl Fn(W) -> A) {
        self.is_complete = true;
        self.modelled = self
            .initial
            .iter()
            .map(|(&name, &word)| (name, Arc::new(make(word))))
            .collect();
    }
}

impl Words {
    /// Makes the stand-ins of an execution.
    pub(super) fn begin(&mut self) {
        self.narrow.begin(AtomicU32::new);
        self.wide.begin(AtomicU64::new);
    }

    /// Whether the execution met no word that it did not know.
    pub(super) fn are_complete(&self) -> bool {
        self.narrow.is_complete && self.wide.is_complete
    }
}
