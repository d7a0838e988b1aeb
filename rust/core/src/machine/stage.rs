//! What scenarios are played on, and by: stores that are the same at the beginning of each execution, and tasks that may be
//! killed or stopped.

use std::cell::RefCell;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[cfg(shuttle)]
use super::gate::Gate;
use super::{Explored, Fate, Killed, RUN, Run, me, with_run};
use crate::handles::Token;
use crate::journal::{BATCH, Entry, Read};
#[cfg(shuttle)]
use crate::layout::STRIPES;
use crate::lock::Writer;
use crate::region::Region;
use crate::{OpenOptions, Store, sys};

pub(super) use super::checker::thread::{JoinHandle, spawn};

thread_local! {
    /// What is left of an exploration when its execution has finished.
    static FINISHED: RefCell<Option<Explored>> = const { RefCell::new(None) };
    /// The words that loom has to know, from one execution to the next.
    #[cfg(loom)]
    static WORDS: RefCell<super::words::Words> = RefCell::default();
}

/// One store, by the handles of several processes.
pub(super) struct Stage {
    stores: Vec<Store>,
    /// The region at the beginning of each execution.
    image: Vec<u8>,
}

/// A store of two slots for values of two words, which zeroes what is replaced.
pub(super) fn options() -> OpenOptions {
    OpenOptions::new()
        .slots(2)
        .max_value_bytes(16)
        .max_key_bytes(7)
        .journal_entries(64)
}

impl Stage {
    /// `prepare` makes of the store what it is at the beginning.
    pub(super) fn new(options: OpenOptions, handles: usize, prepare: impl FnOnce(&[Store])) -> &'static Self {
        // Nobody is to lose patience: who waits in vain is to be found waiting.
        let options = options.lock_timeout(Duration::from_secs(1 << 30)).spin(Duration::ZERO);
        let mut stores = vec![options.anonymous().unwrap()];
        while stores.len() < handles {
            stores.push(options.open(stores[0].path()).unwrap());
        }
        prepare(&stores);
        let image = std::fs::read(stores[0].path()).unwrap();
        // Tasks cannot borrow.
        Box::leak(Box::new(Self { stores, image }))
    }

    pub(super) fn store(&self, handle: usize) -> &Store {
        &self.stores[handle]
    }

    pub(super) fn writer(&self, handle: usize) -> Writer<'_> {
        self.stores[handle].writer().unwrap()
    }

    fn mappings(&self) -> Vec<Range<usize>> {
        let mapping = |region: &Region| {
            let start = std::ptr::from_ref(region.header()).addr();
            start..start + region.bytes()
        };
        self.stores.iter().map(|store| mapping(store.region())).collect()
    }

    fn reset(&self) {
        self.stores[0].region().file().write_all_at(&self.image, 0).unwrap();
        for store in &self.stores {
            let region = store.region();
            assert!(sys::try_hold(region.life().unwrap(), token(store).index()).unwrap());
        }
    }

    /// Ends the exploration: what comes now is looked at by ordinary accesses. All other tasks have come to their end.
    pub(super) fn finish(&self) {
        RUN.with_borrow_mut(|run| {
            let run = run.as_mut().expect("an execution");
            FINISHED.set(run.explored.take());
        });
    }

    /// The changes that the journal tells of from a position on, which it must tell of without a gap.
    pub(super) fn journal_from(&self, position: u64) -> Vec<Entry> {
        let region = self.stores[0].region();
        let mut words = [0; BATCH];
        let Read::Entries(count) = region.read_journal(position, &mut words) else {
            panic!("the journal has been overtaken");
        };
        words[..count]
            .iter()
            .map(|&word| region.journal_entry_of(word).expect("an entry"))
            .collect()
    }

    /// Asserts that the store is as it should be when nobody is at it: no lock is held, no key is there twice or beyond reach,
    /// nothing is left of what was replaced.
    pub(super) fn assert_clean(&self) {
        let report = self.stores[0].check().unwrap();
        assert!(report.is_clean(), "{report:?}");
    }

    /// How many locks a handle holds.
    #[cfg(shuttle)]
    pub(super) fn locks_of(&self, handle: usize) -> usize {
        let region = self.stores[handle].region();
        let bits = token(&self.stores[handle]).bits();
        let slots = region
            .slot_indices()
            .filter(|&slot| region.slot(slot).lock.load(Ordering::Relaxed) == bits);
        let stripes = (0..STRIPES).filter(|&stripe| region.stripe(stripe).lock.load(Ordering::Relaxed) == bits);
        slots.count() + stripes.count()
    }
}

pub(super) fn token(store: &Store) -> Token {
    store.writer().unwrap().me
}

/// Does something as a process that is killed before its access number `accesses`, unless it comes to its end before; `None` if
/// it was killed.
pub(super) fn mortal<T>(store: &Store, accesses: u32, deed: impl FnOnce() -> T) -> Option<T> {
    let is_bare = RUN.with_borrow(Option::is_none);
    if is_bare {
        RUN.set(Some(Run::new(None)));
    }
    let me = me();
    with_run(|run| run.fates.push((me, accesses, Fate::Death)));
    let result = catch_unwind(AssertUnwindSafe(deed));
    with_run(|run| {
        run.fates.retain(|(task, ..)| *task != me);
        run.dead.retain(|task| *task != me);
    });
    if is_bare {
        RUN.set(None);
    }
    match result {
        Ok(done) => Some(done),
        Err(cause) if cause.is::<Killed>() => {
            // What the kernel does at a death.
            sys::release_hold(store.region().life().unwrap(), token(store).index());
            None
        }
        Err(cause) => resume_unwind(cause),
    }
}

/// Starts a task that stops before its access number `accesses` until the gate is opened, unless it comes to its end before.
#[cfg(shuttle)]
pub(super) fn spawn_stopping<T: Send + 'static>(
    accesses: u32,
    deed: impl FnOnce() -> T + Send + 'static,
) -> (Arc<Gate>, JoinHandle<T>) {
    let gate = Arc::new(Gate::default());
    let its_gate = gate.clone();
    let task = spawn(move || {
        let me = me();
        with_run(|run| run.fates.push((me, accesses, Fate::Stop(its_gate.clone()))));
        let done = deed();
        with_run(|run| run.fates.retain(|(task, ..)| *task != me));
        its_gate.set_reached();
        done
    });
    (gate, task)
}

/// Does something in one go, while no other task gets its turn.
#[cfg(shuttle)]
pub(super) fn in_one_go<T>(deed: impl FnOnce() -> T) -> T {
    let me = me();
    with_run(|run| run.hurried = me);
    let done = deed();
    with_run(|run| run.hurried = None);
    done
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// What ends an exploration that met a word which loom does not know yet.
#[cfg(loom)]
struct MetTheUnknown;

/// Plays a scenario under many schedules, one half of them drawn step by step, the other by priorities that change seldom
/// (Burckhardt et al., "A randomized scheduler with probabilistic guarantees of finding bugs", 2010).
///
/// `SPLINTER_TEST_ROUNDS` says how many, `SPLINTER_TEST_SECONDS` how long instead, `SPLINTER_TEST_SEED` which.
#[cfg(shuttle)]
pub(super) fn explore(stage: &'static Stage, scenario: impl Fn() + Send + Sync + 'static) {
    use shuttle::scheduler::{PctScheduler, RandomScheduler};
    use shuttle::{Config, Runner};

    const CHANGES_OF_PRIORITY: usize = 3;
    let seconds = number("SPLINTER_TEST_SECONDS");
    let rounds = number("SPLINTER_TEST_ROUNDS").unwrap_or(if seconds.is_some() { u64::MAX } else { 1000 });
    let seed = number("SPLINTER_TEST_SEED").unwrap_or(1);
    let half = usize::try_from(rounds / 2).unwrap_or(usize::MAX).max(1);
    let scenario = Arc::new(move || {
        stage.reset();
        RUN.set(Some(Run::new(Some(Explored {
            mappings: stage.mappings(),
            futex: Arc::default(),
            sleepers: Vec::new(),
            turn: Arc::default(),
        }))));
        scenario();
        RUN.set(None);
        FINISHED.set(None);
    });
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.silence_warnings = true;
    config.max_time = seconds.map(|seconds| Duration::from_secs(seconds) / 2);
    let by_step = scenario.clone();
    let random = RandomScheduler::new_from_seed(seed, half);
    let mut schedules = Runner::new(random, config.clone()).run(move || by_step());
    let priorities = PctScheduler::new_from_seed(seed, CHANGES_OF_PRIORITY, half);
    schedules += Runner::new(priorities, config).run(move || scenario());
    println!("tried: {schedules} schedules");
}

/// Plays a scenario under every schedule with at most so many preemptions, and with every value that a load may return. Cut
/// short after `SPLINTER_TEST_SECONDS`, which is told then.
#[cfg(loom)]
pub(super) fn explore(preemptions: usize, stage: &'static Stage, scenario: impl Fn() + Send + Sync + 'static) {
    use std::sync::atomic::AtomicU64;
    use std::time::Instant;

    use super::words::Words;

    let limit = Duration::from_secs(number("SPLINTER_TEST_SECONDS").unwrap_or(20));
    let scenario = Arc::new(scenario);
    let mut learned = Words::default();
    loop {
        let executions = Arc::new(AtomicU64::new(0));
        WORDS.set(learned);
        let (scenario, counted) = (scenario.clone(), executions.clone());
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.max_branches = 100_000;
        builder.max_duration = Some(limit);
        builder.checkpoint_interval = 1000;
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| {
            builder.check(move || {
                stage.reset();
                let mut words = WORDS.take();
                words.begin();
                RUN.set(Some(Run::new(Some(Explored {
                    mappings: stage.mappings(),
                    futex: Arc::default(),
                    sleepers: Vec::new(),
                    words,
                }))));
                scenario();
                RUN.set(None);
                let words = FINISHED.take().expect("a scenario that has finished").words;
                let is_complete = words.are_complete();
                WORDS.set(words);
                if !is_complete {
                    resume_unwind(Box::new(MetTheUnknown));
                }
                counted.fetch_add(1, Ordering::Relaxed);
            });
        }));
        learned = WORDS.take();
        match result {
            Err(cause) if cause.is::<MetTheUnknown>() => {}
            Err(cause) => resume_unwind(cause),
            Ok(()) => {
                let is_cut = start.elapsed() >= limit;
                println!("tried: {} executions", executions.load(Ordering::Relaxed));
                if is_cut {
                    println!("there are more executions: cut short after {limit:?}");
                }
                return;
            }
        }
    }
}

/// A value of two words that tells if it is not whole.
pub(super) fn value(number: u8) -> [u8; 16] {
    [number; 16]
}

/// The number that a value is of, if it is whole.
pub(super) fn number_of(value: &[u8]) -> u8 {
    assert!(
        value.len() == 16 && value.iter().all(|&byte| byte == value[0]),
        "{value:?}"
    );
    value[0]
}

pub(super) fn join<T>(task: JoinHandle<T>) -> T {
    task.join().unwrap()
}
