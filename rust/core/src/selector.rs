//! One thread and one descriptor for any number of watches: for those who have an event loop.
//!
//! The thread sleeps at the journal's end, reads what has come, notes what matters to which watch, and writes one byte to a
//! socket pair when there is something where there was nothing. It calls nobody. Whoever waits for the descriptor asks which
//! watches are ready and takes their events, on his own thread.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fmt;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::background::Background;
use crate::changes::{Change, Feed};
use crate::error::{Error, Result};
use crate::pattern::Pattern;
use crate::store::Store;
use crate::sync::{AtomicBool, Ordering};
use crate::sys;
use crate::wait::{Pace, SLICE};
use crate::watch::{Event, WatchOptions, Watches};

/// What fails if there is no thread or no descriptor to be had.
const STARTING: &str = "start the waiting thread";
/// Batches of the journal that the thread reads before it lets others have the watches.
const BATCHES_AT_ONCE: u32 = 16;
/// How often a thread without watches looks whether its peer is still there.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);

/// Any number of watches and feeds of one store, followed by one thread, with a descriptor that is readable while any of
/// them has something to give: for `epoll` and the event loops built on it.
///
/// The thread is started by [`Self::new`] and ended by dropping the selector. While nothing is watched it does not follow the
/// journal, and so costs writers nothing. A forked child cannot use its parent's selector; it makes one of its own.
///
/// ```
/// # let store = splinter::OpenOptions::new().anonymous()?;
/// use std::sync::Arc;
/// use splinter::{Pattern, Selector, WatchOptions};
///
/// let store = Arc::new(store);
/// let mut selector = Selector::new(store.clone())?;
/// let jobs = selector.watch(Pattern::prefix("job/"), &WatchOptions::new().values(true))?;
/// store.set("job/1", "run")?;
/// // ... wait until selector.descriptor() is readable, by epoll or within an event loop ...
/// # selector.wait(std::time::Duration::MAX)?;
/// assert_eq!(selector.ready()?, [jobs]);
/// while let Some(event) = selector.next_event(jobs)? {
///     assert_eq!((&*event.key, event.value.as_deref()), ("job/1", Some(&b"run"[..])));
/// }
/// # Ok::<(), splinter::Error>(())
/// ```
pub struct Selector {
    shared: Arc<Shared>,
    thread: Background,
    /// Where the bytes arrive; `None` once it was given away.
    receiver: Option<UnixStream>,
}

/// What the thread and the selector's owners share.
struct Shared {
    store: Box<dyn AsRef<Store> + Send + Sync>,
    state: Mutex<State>,
    /// The thread waits here while nothing is watched.
    work: Condvar,
    stop: AtomicBool,
    /// Whether a byte was written since somebody asked what is ready.
    announced: AtomicBool,
    sender: UnixStream,
}

#[derive(Default)]
struct State {
    watches: Watches,
    feeds: HashMap<u32, SelectedFeed>,
    next_id: u32,
    /// Why the thread ended, if it did so by itself.
    failure: Option<Error>,
}

struct SelectedFeed {
    feed: Feed,
    /// Whether it was announced as ready, and has not been found empty since.
    announced: bool,
}

impl Selector {
    /// Starts a selector's thread.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there is no descriptor or no thread to be had.
    pub fn new(store: impl AsRef<Store> + Send + Sync + 'static) -> Result<Self> {
        let io = |error| Error::from_os(STARTING, &error);
        let (receiver, sender) = UnixStream::pair().map_err(io)?;
        receiver.set_nonblocking(true).map_err(io)?;
        let shared = Arc::new(Shared {
            store: Box::new(store),
            state: Mutex::default(),
            work: Condvar::new(),
            stop: AtomicBool::new(false),
            announced: AtomicBool::new(false),
            sender,
        });
        let for_thread = shared.clone();
        let thread = Background::start("splinter", STARTING, move || for_thread.run())?;
        Ok(Self {
            shared,
            thread,
            receiver: Some(receiver),
        })
    }

    /// Begins a watch as [`Store::watch_with`] does. Returns its number, which is not used again.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn watch(&self, pattern: impl Into<Pattern>, options: &WatchOptions) -> Result<u32> {
        let store = self.shared.store();
        self.begin(|state, id| state.watches.add(store, id, pattern.into(), options))
    }

    /// Begins a feed as [`Store::changes_from`] does, or, without a place, as [`Store::changes`]. Returns its number.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn changes(&self, from: Option<u64>) -> Result<u32> {
        let store = self.shared.store();
        self.begin(|state, id| {
            let feed = Feed::new(store, from)?;
            let announced = store.region().journal_reaches(feed.awaited());
            if announced {
                state.watches.ready().push(id);
            }
            state.feeds.insert(id, SelectedFeed { feed, announced });
            Ok(())
        })
    }

    fn begin(&self, add: impl FnOnce(&mut State, u32) -> Result<()>) -> Result<u32> {
        let mut state = self.shared.state()?;
        let id = state.next_id;
        let next_id = id.checked_add(1).ok_or(Error::Internal {
            reason: "the numbers of watches are used up",
        })?;
        add(&mut state, id)?;
        state.next_id = next_id;
        self.shared.store().begin_watching();
        self.shared.announce(&mut state);
        drop(state);
        self.shared.work.notify_one();
        Ok(id)
    }

    /// Ends a watch or a feed. Without effect if there is none of that number.
    pub fn unwatch(&self, id: u32) {
        let mut state = self.shared.state_anyway();
        if state.watches.remove(id) | state.feeds.remove(&id).is_some() {
            self.shared.store().end_watching();
        }
    }

    /// The watches and feeds that have got something to give since they were last found empty, each told once.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the store was found damaged: nothing comes any more.
    pub fn ready(&mut self) -> Result<Vec<u32>> {
        if let Some(receiver) = &mut self.receiver {
            // A few bytes at most, and an error only says that there are none.
            let _ = receiver.read(&mut [0; 64]);
        }
        self.take_ready(usize::MAX)
    }

    /// At most `limit` numbers of [`Self::ready`], for those who took the descriptor. If there are so many, more may be left.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn take_ready(&self, limit: usize) -> Result<Vec<u32>> {
        // Before the look: what becomes ready after it is announced anew.
        self.shared.announced.store(false, Ordering::SeqCst);
        let mut state = self.shared.state()?;
        let ready = state.watches.ready();
        let rest = ready.split_off(limit.min(ready.len()));
        Ok(std::mem::replace(ready, rest))
    }

    /// The next event of a watch. After `None` it is announced again when it has more.
    ///
    /// # Errors
    ///
    /// As for [`crate::Watcher::try_next`]; [`Error::InvalidArgument`] if there is no watch of that number.
    pub fn next_event(&self, id: u32) -> Result<Option<Event>> {
        let mut state = self.shared.state()?;
        if !state.watches.has(id) {
            return Err(no_such("watch"));
        }
        state.watches.next(self.shared.store(), id)
    }

    /// The next item of a feed. After `None` it is announced again when it has more.
    ///
    /// # Errors
    ///
    /// As for [`crate::Changes::try_next`]; [`Error::InvalidArgument`] if there is no feed of that number.
    pub fn next_change(&self, id: u32) -> Result<Option<Change>> {
        let mut state = self.shared.state()?;
        let Some(selected) = state.feeds.get_mut(&id) else {
            return Err(no_such("feed"));
        };
        let next = selected.feed.next(self.shared.store())?;
        selected.announced &= next.is_some();
        Ok(next)
    }

    /// Gives the descriptor away: whoever gets it is the one who waits. `None` if it was given away already.
    pub fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.receiver.take().map(OwnedFd::from)
    }

    /// Waits until the descriptor is readable, for at most `timeout`: for those who have no event loop. Returns whether it is.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if the descriptor was given away; [`Error::Io`].
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        let receiver = self.receiver.as_ref().ok_or_else(given_away)?;
        sys::wait_readable(receiver.as_fd(), timeout).map_err(|error| Error::from_os("wait for a descriptor", &error))
    }

    /// The descriptor that is readable while something is ready.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if it was given away.
    pub fn descriptor(&self) -> Result<BorrowedFd<'_>> {
        self.receiver.as_ref().map(AsFd::as_fd).ok_or_else(given_away)
    }
}

fn no_such(what: &str) -> Error {
    Error::InvalidArgument {
        reason: format!("there is no {what} of this number").into(),
    }
}

fn given_away() -> Error {
    Error::InvalidArgument {
        reason: "the descriptor was given away".into(),
    }
}

impl Drop for Selector {
    fn drop(&mut self) {
        let shared = &self.shared;
        let was_own = self.thread.end(|| {
            shared.stop.store(true, Ordering::SeqCst);
            // Under the lock, so that the thread is either before its look at `stop` or asleep.
            drop(shared.state_anyway());
            shared.work.notify_one();
            let region = shared.store().region();
            if region.writable() {
                region.disturb_followers();
            }
        });
        if was_own {
            let state = shared.state_anyway();
            for _ in 0..state.watches.len() + state.feeds.len() {
                shared.store().end_watching();
            }
        }
    }
}

impl Shared {
    fn store(&self) -> &Store {
        (*self.store).as_ref()
    }

    /// The state, whatever became of the thread.
    fn state_anyway(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state_anyway();
        match &state.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(state),
        }
    }

    fn run(&self) {
        let mut pace = Pace::default();
        while !self.stop.load(Ordering::SeqCst) {
            match self.follow(&mut pace) {
                Ok(()) => {}
                // Somebody writes a key faster than a read-only handle can read its name. It is tried again.
                Err(Error::Busy { .. }) => std::thread::yield_now(),
                Err(error) => {
                    self.state_anyway().failure = Some(error);
                    // A byte more cannot hurt; without it nobody would ask.
                    let _ = sys::send_byte(&self.sender);
                    return;
                }
            }
            if sys::is_abandoned(&self.sender) {
                return;
            }
        }
    }

    /// Reads what has come, and sleeps until more comes or it is time to look around.
    fn follow(&self, pace: &mut Pace) -> Result<()> {
        let store = self.store();
        let mut state = self.state_anyway();
        if state.watches.is_empty() && state.feeds.is_empty() {
            // Looked at under the lock that whoever wakes us has held.
            if !self.stop.load(Ordering::SeqCst) {
                drop(self.work.wait_timeout(state, IDLE_INTERVAL));
            }
            return Ok(());
        }
        let end = store.region().journal_end();
        for _ in 0..BATCHES_AT_ONCE {
            if state.watches.position() >= end || state.watches.absorb(store, end)? == 0 {
                break;
            }
        }
        let position = state.watches.position();
        let State { watches, feeds, .. } = &mut *state;
        for (&id, selected) in feeds {
            if !selected.announced && selected.feed.awaited() < position {
                selected.announced = true;
                watches.ready().push(id);
            }
        }
        self.announce(&mut state);
        drop(state);
        if position < end {
            return Ok(());
        }
        // To the end of the slice at most: whoever gave the descriptor away may be gone.
        let stopped = || self.stop.load(Ordering::SeqCst);
        if store.wait_for_entry(position, SLICE, Duration::ZERO, stopped)? && !stopped() {
            pace.rest_if_crowded(store, position);
        }
        Ok(())
    }

    /// Writes a byte if there is something ready where there was nothing.
    fn announce(&self, state: &mut State) {
        // The one who asks clears the mark before he looks, so that a mark that is found set means a look that is to come.
        if !state.watches.ready().is_empty() && !self.announced.swap(true, Ordering::SeqCst) {
            // If there is no room there are bytes enough; if there is no peer, the thread finds out.
            let _ = sys::send_byte(&self.sender);
        }
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selector")
            .field("store", self.shared.store())
            .finish_non_exhaustive()
    }
}
