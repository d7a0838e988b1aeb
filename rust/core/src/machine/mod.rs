//! The machine that the store runs on while a model checker explores it: stand-ins for what [`crate::sync`] takes from the
//! standard library and the system otherwise. Compiled by `--cfg shuttle` or `--cfg loom` alone.
//!
//! What is explored is the store's own code on a real region. Several processes are several handles of one store, each in a
//! task of the checker. Outside of an exploration, which is while a store is made or looked at, an access is an ordinary one.
//!
//! - **shuttle** draws schedules at random: the next task is chosen before each access, and memory is sequentially
//!   consistent. Processes can be killed before any access.
//! - **loom** goes through all schedules (up to a number of preemptions) and all values that a load may return in the
//!   language's memory model. An access is diverted, by the address, to an atomic of loom's, which is made anew for each
//!   execution; the region itself follows what was stored last.
//!
//! There are no timeouts: who sleeps in a futex sleeps until he is woken, so that a lost wake-up is a deadlock, which the
//! checker reports. Time passes where somebody waits, and where a scenario says so ([`pass`]).

#![forbid(unsafe_code)]

#[cfg(shuttle)]
mod gate;
#[cfg(all(test, shuttle))]
mod interleavings;
#[cfg(all(test, loom))]
mod orderings;
#[cfg(test)]
mod stage;
#[cfg(loom)]
mod words;

use std::cell::RefCell;
use std::ops::{Range, Sub};
use std::panic::resume_unwind;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{self, SeqCst};
use std::time::Duration;

#[cfg(loom)]
use loom as checker;
#[cfg(shuttle)]
use shuttle as checker;

use checker::sync::{Condvar, Mutex};
use checker::thread::ThreadId;

/// What is thrown to end a task that is killed.
struct Killed;

/// One execution of a scenario. Checkers run all tasks of an execution on one thread of the system.
struct Run {
    /// What only an exploration has; without it, somebody is only to be killed while a scenario is prepared.
    explored: Option<Explored>,
    now: Duration,
    /// What will happen to tasks, after so many accesses.
    fates: Vec<(Task, u32, Fate)>,
    /// Killed, and still unwinding: what they would write is not written.
    dead: Vec<Task>,
    /// Whose accesses are ordinary ones at the moment.
    hurried: Task,
}

struct Explored {
    /// Where the handles have the region.
    mappings: Vec<Range<usize>>,
    /// Guards who sleeps, as the kernel does.
    futex: Arc<Mutex<()>>,
    sleepers: Vec<(usize, Arc<Condvar>)>,
    #[cfg(shuttle)]
    turn: Arc<checker::sync::atomic::AtomicBool>,
    #[cfg(loom)]
    words: words::Words,
}

impl Explored {
    /// What names a word whatever the handle by which it is accessed, as the kernel and the caches name it: its place in the
    /// region, if it lies there.
    fn name<T>(&self, word: &T) -> usize {
        let address = ptr::from_ref(word).addr();
        let mapping = self.mappings.iter().find(|mapping| mapping.contains(&address));
        mapping.map_or(address, |mapping| address - mapping.start)
    }
}

/// A task of the checker; none without one.
type Task = Option<ThreadId>;

#[derive(Clone)]
enum Fate {
    Death,
    /// To stop until the gate is opened.
    #[cfg(shuttle)]
    Stop(Arc<gate::Gate>),
}

thread_local! {
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
}

/// Does something with the state of the execution, if there is one. Not to switch tasks meanwhile.
fn with_run<T>(work: impl FnOnce(&mut Run) -> T) -> Option<T> {
    RUN.with_borrow_mut(|run| run.as_mut().map(work))
}

fn with_explored<T>(work: impl FnOnce(&mut Explored) -> T) -> Option<T> {
    with_run(|run| run.explored.as_mut().map(work)).flatten()
}

fn me() -> Task {
    with_explored(|_| ()).map(|()| checker::thread::current().id())
}

impl Run {
    fn new(explored: Option<Explored>) -> Self {
        Self {
            explored,
            now: Duration::ZERO,
            fates: Vec::new(),
            dead: Vec::new(),
            hurried: None,
        }
    }
}

/// What becomes of an access.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing is explored: an ordinary access.
    Ordinary,
    Explored,
    /// The task is dead.
    Withheld,
}

/// The point before an access, where other tasks may come first and this one's fate may befall it.
fn take_turn() -> Turn {
    if RUN.with_borrow(Option::is_none) {
        return Turn::Ordinary;
    }
    let me = me();
    let befalls = with_run(|run| {
        if run.dead.contains(&me) {
            return Err(Turn::Withheld);
        }
        if me.is_some() && run.hurried == me {
            return Err(Turn::Ordinary);
        }
        let mut mine = run.fates.iter_mut().filter(|(task, ..)| *task == me);
        let befalls = mine.find_map(|(_, accesses, fate)| {
            *accesses = accesses.wrapping_sub(1);
            (*accesses == 0).then(|| fate.clone())
        });
        if let Some(Fate::Death) = befalls {
            run.dead.push(me);
        }
        Ok(befalls)
    });
    match befalls.expect("it was there") {
        Err(turn) => return turn,
        Ok(Some(Fate::Death)) => resume_unwind(Box::new(Killed)),
        #[cfg(shuttle)]
        Ok(Some(Fate::Stop(gate))) => gate.stop(),
        Ok(None) => {}
    }
    #[cfg(shuttle)]
    if let Some(turn) = with_explored(|explored| explored.turn.clone()) {
        // Any operation of shuttle's is a point where it may switch tasks.
        turn.load(SeqCst);
    }
    if me.is_some() { Turn::Explored } else { Turn::Ordinary }
}

macro_rules! atomic {
    ($name:ident, $word:ty, $table:ident) => {
        /// Stands in for the standard library's type of that name.
        #[derive(Debug)]
        #[repr(transparent)]
        pub(crate) struct $name(std::sync::atomic::$name);

        impl $name {
            pub(crate) const fn new(word: $word) -> Self {
                Self(std::sync::atomic::$name::new(word))
            }

            /// What loom has for it in this execution. One that is met for the first time is an ordinary one yet.
            #[cfg(loom)]
            fn modelled(&self) -> Option<Arc<checker::sync::atomic::$name>> {
                with_explored(|explored| {
                    let name = explored.name(self);
                    explored.words.$table.find(name, || self.0.load(SeqCst))
                })
                .flatten()
            }

            /// Under shuttle the accesses are ordinary ones, in the order that it has chosen.
            #[cfg(shuttle)]
            fn modelled(&self) -> Option<&checker::sync::atomic::$name> {
                None
            }

            pub(crate) fn load(&self, order: Ordering) -> $word {
                if take_turn() == Turn::Explored
                    && let Some(modelled) = self.modelled()
                {
                    return modelled.load(order);
                }
                self.0.load(SeqCst)
            }

            pub(crate) fn store(&self, word: $word, order: Ordering) {
                let turn = take_turn();
                if turn == Turn::Explored
                    && let Some(modelled) = self.modelled()
                {
                    modelled.store(word, order);
                }
                if turn != Turn::Withheld {
                    self.0.store(word, SeqCst);
                }
            }

            pub(crate) fn compare_exchange(
                &self,
                current: $word,
                new: $word,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$word, $word> {
                let turn = take_turn();
                if turn == Turn::Withheld {
                    return Err(self.0.load(SeqCst));
                }
                if turn == Turn::Explored
                    && let Some(modelled) = self.modelled()
                {
                    let result = modelled.compare_exchange(current, new, success, failure);
                    return result.inspect(|_| self.0.store(new, SeqCst));
                }
                self.0.compare_exchange(current, new, SeqCst, SeqCst)
            }

            // Not every width needs it.
            #[allow(dead_code)]
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $word,
                new: $word,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$word, $word> {
                self.compare_exchange(current, new, success, failure)
            }

            #[allow(dead_code)]
            pub(crate) fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                mut update: impl FnMut($word) -> Option<$word>,
            ) -> Result<$word, $word> {
                let mut seen = self.load(failure);
                while let Some(new) = update(seen) {
                    match self.compare_exchange(seen, new, success, failure) {
                        Err(now) if !is_killed() => seen = now,
                        result => return result,
                    }
                }
                Err(seen)
            }

            atomic!(@change $word, swap, |_, new| new);
            atomic!(@change $word, fetch_add, |old, by| old.wrapping_add(by));
            atomic!(@change $word, fetch_sub, |old, by| old.wrapping_sub(by));
            atomic!(@change $word, fetch_or, |old, bits| old | bits);
            atomic!(@change $word, fetch_and, |old, bits| old & bits);
            atomic!(@change $word, fetch_max, |old, other| old.max(other));
            atomic!(@change $word, fetch_min, |old, other| old.min(other));
        }
    };
    (@change $word:ty, $operation:ident, $result:expr) => {
        // Each word has the operations of the standard library that are needed for some word.
        #[allow(dead_code)]
        pub(crate) fn $operation(&self, operand: $word, order: Ordering) -> $word {
            let turn = take_turn();
            if turn == Turn::Withheld {
                return self.0.load(SeqCst);
            }
            if turn == Turn::Explored
                && let Some(modelled) = self.modelled()
            {
                let old = modelled.$operation(operand, order);
                let result: fn($word, $word) -> $word = $result;
                self.0.store(result(old, operand), SeqCst);
                return old;
            }
            self.0.$operation(operand, SeqCst)
        }
    };
}

atomic!(AtomicU32, u32, narrow);
atomic!(AtomicU64, u64, wide);

/// Whether the task is unwinding from its death: then nothing that it waits for will ever come.
fn is_killed() -> bool {
    let me = me();
    with_run(|run| run.dead.contains(&me)).unwrap_or(false)
}

pub(crate) fn fence(order: Ordering) {
    #[cfg(loom)]
    if with_explored(|_| ()).is_some() {
        return checker::sync::atomic::fence(order);
    }
    std::sync::atomic::fence(order);
}

/// A moment of the execution.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(with_run(|run| run.now).unwrap_or_default())
    }

    pub(crate) fn elapsed(self) -> Duration {
        Self::now() - self
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

pub(crate) fn spin_loop() {
    sleep(Duration::from_nanos(10));
}

pub(crate) fn yield_now() {
    sleep(Duration::from_micros(1));
}

pub(crate) fn sleep(duration: Duration) {
    with_run(|run| run.now += duration);
    if me().is_some() && !is_killed() {
        checker::thread::yield_now();
    }
}

/// Sleeps until `word` is woken, however long that takes. The scenario's end would be a deadlock without that.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, _timeout: Duration) {
    let Some(futex) = with_explored(|explored| explored.futex.clone()).filter(|_| !is_killed()) else {
        return;
    };
    let asleep = futex.lock().unwrap();
    // The kernel compares while it keeps those out who wake.
    if word.0.load(SeqCst) == expected {
        let bed = Arc::new(Condvar::new());
        with_explored(|explored| explored.sleepers.push((explored.name(word), bed.clone())));
        drop(bed.wait(asleep));
    }
}

/// Wakes everybody who sleeps on `word`.
pub(crate) fn futex_wake_all(word: &AtomicU32) {
    let name = with_explored(|explored| explored.name(word));
    wake(|sleeper| Some(sleeper) == name);
}

/// Lets so much time pass that those who sleep look up, if they do now and then.
#[cfg(all(test, shuttle))]
fn pass(duration: Duration) {
    with_run(|run| run.now += duration);
    wake(|_| true);
}

fn wake(is_meant: impl Fn(usize) -> bool) {
    let Some(futex) = with_explored(|explored| explored.futex.clone()).filter(|_| !is_killed()) else {
        return;
    };
    let _awake = futex.lock().unwrap();
    let woken = with_explored(|explored| {
        let (woken, left) = std::mem::take(&mut explored.sleepers)
            .into_iter()
            .partition::<Vec<_>, _>(|(name, _)| is_meant(*name));
        explored.sleepers = left;
        woken
    });
    for (_, bed) in woken.unwrap_or_default() {
        bed.notify_all();
    }
}
