//! Watching keys: of each the newest value, whenever it has changed.
//!
//! A watch reads the journal, finds the key of each entry ([`crate::directory`]) and, if the key matters to it, notes that it
//! has changed. What it gives is read from the store at the moment when it is asked for. So what waits in a watch is bounded
//! by the number of its keys, not by that of the changes, and a watch whose reader is slow costs nobody anything.
//!
//! [`Watches`] does this for any number of watches with one pass over the journal; a [`Watcher`] has it for one,
//! a [`crate::Selector`] for many.

#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::directory::{Directory, Seen, Subject};
use crate::error::{Error, Result};
use crate::journal::{BATCH, Change, Entry, Read};
use crate::pattern::Pattern;
use crate::read::View;
use crate::region::SlotIndex;
use crate::store::Store;
use crate::sync::Ordering;
use crate::wait::{Pace, Watching, next_within};

/// What has become of a key, as a watch tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The key.
    pub key: Arc<str>,
    /// Its epoch. If it is more than two above the one that was told last, there were changes in between. That of a deletion
    /// which the journal does not tell any more is a lower bound.
    pub epoch: u64,
    /// Place in the journal of the first change that this one stands for. Sequences ascend, so another watch that begins
    /// at the next one misses nothing.
    pub sequence: u64,
    /// Whether the key exists now.
    pub kind: EventKind,
    /// The value, if the watch was asked for values and the key exists.
    pub value: Option<Vec<u8>>,
    /// Where in the whole value the bytes of `value` begin: 0, but for [`WatchOptions::appended`].
    pub offset: usize,
}

/// What has become of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It has a new value.
    Set,
    /// It was deleted.
    Unset,
    /// It was deleted because its time was up.
    Expired,
    /// It was deleted to make room for another key.
    Evicted,
}

/// How to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct WatchOptions {
    initial: bool,
    values: bool,
    appended: bool,
    labels: u64,
    from: Option<u64>,
}

impl WatchOptions {
    /// From now on, without values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to give first what exists when the watch begins.
    pub fn initial(self, initial: bool) -> Self {
        Self { initial, ..self }
    }

    /// Whether events carry values.
    pub fn values(self, values: bool) -> Self {
        Self { values, ..self }
    }

    /// Whether events carry, of a value that was only appended to since it was given last, nothing but what was appended. Of any
    /// other they carry the whole.
    pub fn appended(self, appended: bool) -> Self {
        Self {
            values: self.values || appended,
            appended,
            ..self
        }
    }

    /// Only keys that have all of these labels, one bit each. One that gets them counts as changed; of one that loses one of
    /// them nothing more is told.
    pub fn labels(self, labels: u64) -> Self {
        Self { labels, ..self }
    }

    /// Also what has changed since this place in the journal: the sequence of the last event of another watch, plus one. If
    /// the journal does not reach back to it, everything that exists is given. Of what was deleted since, only the keys that
    /// are named one by one can be told: any of them that does not exist is, if it may have been deleted meanwhile.
    pub fn from(self, sequence: u64) -> Self {
        Self {
            from: Some(sequence),
            ..self
        }
    }
}

/// A change of a key that is to be told.
#[derive(Debug, Clone, Copy)]
struct Mark {
    /// Place in the journal of the first change.
    position: u64,
    /// Sequence of the key after the last.
    sequence: u64,
    kind: Change,
    /// Whether the key itself was looked at, so that its entry may still be to come.
    looked_at: bool,
}

impl Mark {
    /// What a look at the key itself has shown, wherever the journal stands.
    fn of_a_look(position: u64, sequence: u64, kind: Change) -> Self {
        Self {
            position,
            sequence,
            kind,
            looked_at: true,
        }
    }
}

/// What a look at a key's slot has shown.
#[derive(Clone, Copy)]
struct Found {
    inserted: u64,
    sequence: u64,
    value_bytes: usize,
    labels: u64,
    offset: usize,
}

/// One watch among [`Watches`].
#[derive(Debug)]
struct Watch {
    pattern: Pattern,
    values: bool,
    /// Sequence and length of what was given of each key, if what is appended is to be given by itself.
    given: Option<HashMap<Arc<str>, (u64, usize)>>,
    labels: u64,
    /// Keys that were given, if not all are.
    told: HashSet<Arc<str>>,
    /// Keys that have changed, in the order of their first changes.
    queue: VecDeque<Arc<str>>,
    marks: HashMap<Arc<str>, Mark>,
    /// Keys that were given in a state of which the journal may not have told yet: entries up to that sequence are stale.
    ahead: HashMap<Arc<str>, u64>,
    /// Whether it was announced as ready, and has not been found empty since.
    announced: bool,
}

impl Watch {
    fn note(&mut self, key: &Arc<str>, mut mark: Mark) {
        if mark.kind == Change::Attributes && self.labels == 0 {
            return;
        }
        let ahead = self.ahead.get(key).copied().filter(|_| mark.kind != Change::Attributes);
        let noted = self.marks.get_mut(key);
        if mark.looked_at && mark.kind == Change::Unset {
            // The number of a deletion that the journal does not tell is not known; it is above all that was before it.
            let known = ahead.max(noted.as_ref().map(|noted| noted.sequence));
            mark.sequence = mark.sequence.max(known.map_or(0, |known| known.saturating_add(1)));
        }
        if let Some(ahead) = ahead {
            if mark.sequence > ahead || mark.sequence == ahead && !mark.looked_at {
                self.ahead.remove(key);
            }
            if mark.sequence <= ahead {
                return;
            }
        }
        match noted {
            Some(noted) => {
                if mark.sequence > noted.sequence {
                    noted.sequence = mark.sequence;
                    noted.kind = mark.kind;
                }
                noted.looked_at |= mark.looked_at;
            }
            None => {
                self.marks.insert(key.clone(), mark);
                self.queue.push_back(key.clone());
            }
        }
    }

    /// The next event, read from the store now.
    fn next(&mut self, store: &Store) -> Result<Option<Event>> {
        while let Some(key) = self.queue.front().cloned() {
            let event = self.read(store, &key)?;
            self.queue.pop_front();
            self.marks.remove(&key);
            if event.is_some() {
                return Ok(event);
            }
        }
        self.announced = false;
        Ok(None)
    }

    fn read(&mut self, store: &Store, key: &Arc<str>) -> Result<Option<Event>> {
        let Some(&mark) = self.marks.get(key) else {
            return Ok(None);
        };
        let mut value = Vec::new();
        let given = self.given.as_ref().and_then(|given| given.get(key).copied());
        let target = store.target(key.as_bytes());
        let state = |view: &View<'_>, offset| Found {
            inserted: view.inserted(),
            sequence: view.ctl.sequence(),
            value_bytes: view.value_bytes,
            labels: view.labels(),
            offset,
        };
        let found = if self.values {
            store.read_value(&target, |view| {
                let offset = match given {
                    Some((sequence, bytes)) if view.appended_to() <= sequence => bytes.min(view.value_bytes),
                    _ => 0,
                };
                view.copy_from(offset, &mut value)?;
                Ok(state(view, offset))
            })?
        } else {
            store.read(&target, |view| Ok(state(view, 0)))?
        };
        let (kind, sequence) = match (found, mark.kind) {
            // That it was deleted and inserted again is not told before the journal does: if it is deleted once more, only
            // those who have read of the insert learn of it.
            (Some(Found { inserted, sequence, .. }), _) if inserted <= mark.sequence => (EventKind::Set, sequence),
            (_, Change::Unset) => (EventKind::Unset, mark.sequence),
            (_, Change::Expire) => (EventKind::Expired, mark.sequence),
            (_, Change::Evict) => (EventKind::Evicted, mark.sequence),
            // It has just been deleted, and the journal is about to tell.
            (_, Change::Insert | Change::Update | Change::Append | Change::Attributes) => return Ok(None),
        };
        let is_set = kind == EventKind::Set;
        if self.labels != 0 {
            let has_labels = found.is_some_and(|found| found.labels & self.labels == self.labels);
            let was_told = self.told.contains(key);
            let is_news = if is_set {
                has_labels && (mark.kind != Change::Attributes || !was_told)
            } else {
                was_told
            };
            if is_set && has_labels {
                self.told.insert(key.clone());
            } else {
                self.told.remove(key);
            }
            if !is_news {
                return Ok(None);
            }
        }
        if let Some(given) = &mut self.given {
            match found {
                Some(found) if is_set => given.insert(key.clone(), (found.sequence, found.value_bytes)),
                _ => given.remove(key),
            };
        }
        if sequence > mark.sequence || mark.looked_at {
            self.ahead.insert(key.clone(), sequence);
        }
        Ok(Some(Event {
            key: key.clone(),
            epoch: sequence << 1,
            sequence: mark.position,
            kind,
            value: (self.values && is_set).then_some(value),
            offset: found.filter(|_| is_set).map_or(0, |found| found.offset),
        }))
    }
}

/// Which watches a key matters to.
#[derive(Debug, Default)]
struct Interests {
    watches: HashMap<u32, Watch>,
    by_key: HashMap<Arc<str>, Vec<u32>>,
    /// Those whose keys are not named one by one.
    patterns: Vec<u32>,
    /// Of these, those that have become ready since somebody asked.
    ready: Vec<u32>,
}

impl Interests {
    fn matters(&self, key: &str) -> bool {
        self.by_key.contains_key(key)
            || self
                .patterns
                .iter()
                .any(|id| self.watches.get(id).is_some_and(|watch| watch.pattern.matches(key)))
    }

    /// Notes a change in all watches that the key matters to.
    fn note(&mut self, key: &Arc<str>, mark: Mark) {
        self.note_but(None, key, mark);
    }

    /// The same, but for one of them.
    fn note_but(&mut self, exempt: Option<u32>, key: &Arc<str>, mark: Mark) {
        let named = self.by_key.get(key).into_iter().flatten();
        for id in named.chain(&self.patterns).filter(|&&id| Some(id) != exempt) {
            if let Some(watch) = self.watches.get_mut(id)
                && watch.pattern.matches(key)
            {
                watch.note(key, mark);
                announce(*id, watch, &mut self.ready);
            }
        }
    }
}

fn announce(id: u32, watch: &mut Watch, ready: &mut Vec<u32>) {
    if !watch.announced && !watch.queue.is_empty() {
        watch.announced = true;
        ready.push(id);
    }
}

/// Any number of watches that follow the journal together.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    /// Place in the journal up to which they have read.
    position: u64,
    directory: Directory,
    interests: Interests,
    /// How many entries were read of which nobody can tell the key any more.
    vanished: u64,
}

impl Watches {
    /// Place in the journal that is to be read next.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn len(&self) -> usize {
        self.interests.watches.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.interests.watches.is_empty()
    }

    /// Begins a watch, under a number that is not in use.
    pub(crate) fn add(&mut self, store: &Store, id: u32, pattern: Pattern, options: &WatchOptions) -> Result<()> {
        let region = store.region();
        pattern.check(region)?;
        let end = region.journal_end();
        if options.from.is_some_and(|from| from > end) {
            return Err(beyond_the_end(end));
        }
        if self.is_empty() {
            self.directory.clear();
            self.position = end;
        } else {
            self.absorb_all(store, end)?;
        }
        match pattern.exact_keys() {
            Some(keys) => {
                for key in keys {
                    let ids = self.interests.by_key.entry(key.as_str().into()).or_default();
                    if !ids.contains(&id) {
                        ids.push(id);
                    }
                }
            }
            None => self.interests.patterns.push(id),
        }
        let watch = Watch {
            pattern,
            values: options.values,
            given: options.appended.then(HashMap::new),
            labels: options.labels,
            told: HashSet::new(),
            queue: VecDeque::new(),
            marks: HashMap::new(),
            ahead: HashMap::new(),
            announced: false,
        };
        self.interests.watches.insert(id, watch);
        let begun = self.begin(store, id, options);
        if begun.is_err() {
            self.remove(id);
        }
        begun
    }

    /// Learns who lives where, and tells a new watch what it wants to know of the past and the present.
    fn begin(&mut self, store: &Store, id: u32, options: &WatchOptions) -> Result<()> {
        let Some(pattern) = self.interests.watches.get(&id).map(|watch| watch.pattern.clone()) else {
            return Ok(());
        };
        // Before the look, so that whoever is found gone and comes again has a greater sequence.
        let floor = store.region().header().epoch_floor.load(Ordering::Acquire);
        let present = self.present(store, pattern.exact_keys(), |key| pattern.matches(key))?;
        let vanished_before = self.vanished;
        for Seen { tenant, is_new } in &present {
            if *is_new {
                // Others to whom it matters have not read of its insert yet, and must not miss it if it is overtaken.
                let mark = Mark::of_a_look(self.position, tenant.last, Change::Update);
                self.interests.note_but(Some(id), &tenant.key, mark);
            }
        }
        let is_complete = match options.from {
            Some(from) => self.catch_up(store, id, &pattern, from)?,
            None => true,
        };
        if let Some(watch) = self.interests.watches.get_mut(&id) {
            let position = options.from.unwrap_or(self.position).min(self.position);
            if !is_complete || self.vanished > vanished_before {
                // A named key that is not there may have gone since, for all that the journal tells.
                let is_gone = |key: &&String| present.iter().all(|seen| *seen.tenant.key != ***key);
                for key in pattern.exact_keys().unwrap_or_default().iter().filter(is_gone) {
                    let mark = Mark {
                        position,
                        sequence: floor,
                        kind: Change::Unset,
                        looked_at: false,
                    };
                    watch.note(&key.as_str().into(), mark);
                }
            }
            if options.initial || !is_complete {
                for Seen { tenant, .. } in present {
                    let first = if is_complete { self.position } else { position };
                    let mark = Mark::of_a_look(first, tenant.last, Change::Update);
                    watch.note(&tenant.key, mark);
                }
            }
            announce(id, watch, &mut self.interests.ready);
        }
        Ok(())
    }

    /// Looks up those who live in the store now: the named keys, or all that matter.
    fn present(&mut self, store: &Store, keys: Option<&[String]>, matters: impl Fn(&str) -> bool) -> Result<Vec<Seen>> {
        let region = store.region();
        let mut look = |slot: SlotIndex| self.directory.look(store, slot, &matters).transpose();
        match keys {
            Some(keys) => keys
                .iter()
                .filter_map(|key| region.find(region.hash(key.as_bytes()), key.as_bytes()))
                .filter_map(|(slot, _)| look(slot))
                .collect(),
            None => region.slot_indices().filter_map(look).collect(),
        }
    }

    /// Notes for one watch what has changed since `from`. `false`: the journal does not reach back so far.
    fn catch_up(&mut self, store: &Store, id: u32, pattern: &Pattern, from: u64) -> Result<bool> {
        let mut position = from;
        let mut words = [0; BATCH];
        while position < self.position {
            let Read::Entries(count) = store.region().read_journal(position, &mut words) else {
                return Ok(false);
            };
            if count == 0 {
                break;
            }
            for word in &words[..count] {
                let at = position;
                position = position.wrapping_add(1);
                if at >= self.position {
                    break;
                }
                let Some((key, mark)) = self.mark(store, at, *word)? else {
                    continue;
                };
                if let Some(watch) = self.interests.watches.get_mut(&id)
                    && pattern.matches(&key)
                {
                    watch.note(&key, mark);
                }
            }
        }
        Ok(true)
    }

    /// Ends a watch. Returns whether there was one of this number.
    pub(crate) fn remove(&mut self, id: u32) -> bool {
        let Some(watch) = self.interests.watches.remove(&id) else {
            return false;
        };
        self.interests.patterns.retain(|&other| other != id);
        for key in watch.pattern.exact_keys().unwrap_or_default() {
            if let Some(ids) = self.interests.by_key.get_mut(key.as_str()) {
                ids.retain(|&other| other != id);
                if ids.is_empty() {
                    self.interests.by_key.remove(key.as_str());
                }
            }
        }
        if self.is_empty() {
            self.directory.clear();
        }
        true
    }

    /// Reads on in the journal, up to `until` at most, but not everything at once. Returns how many entries it has passed;
    /// none at the end.
    pub(crate) fn absorb(&mut self, store: &Store, until: u64) -> Result<u64> {
        let before = self.position;
        if self.is_empty() {
            self.position = until.max(before);
            return Ok(self.position.wrapping_sub(before));
        }
        let mut words = [0; BATCH];
        match store.region().read_journal(before, &mut words) {
            Read::Entries(count) => {
                for word in &words[..count] {
                    if let Some((key, mark)) = self.mark(store, self.position, *word)? {
                        self.interests.note(&key, mark);
                    }
                    // One by one, so that an error skips nothing.
                    self.position = self.position.wrapping_add(1);
                }
            }
            Read::Overtaken => self.compare(store)?,
        }
        Ok(self.position.wrapping_sub(before))
    }

    /// Reads on in the journal up to `until`.
    fn absorb_all(&mut self, store: &Store, until: u64) -> Result<()> {
        while self.position < until && self.absorb(store, until)? > 0 {}
        Ok(())
    }

    /// What an entry means, if it matters to anybody.
    fn mark(&mut self, store: &Store, position: u64, word: u64) -> Result<Option<(Arc<str>, Mark)>> {
        let Some(entry @ Entry { kind, .. }) = store.region().journal_entry_of(word) else {
            return Ok(None);
        };
        let interests = &self.interests;
        let subject = self.directory.subject(store, entry, |key| interests.matters(key))?;
        let (key, sequence) = match subject {
            Subject::Key(key, sequence) => (key, sequence),
            Subject::Vanished => {
                self.vanished += 1;
                return Ok(None);
            }
            Subject::Irrelevant => return Ok(None),
        };
        let mark = Mark {
            position,
            sequence,
            kind,
            looked_at: false,
        };
        Ok(Some((key, mark)))
    }

    /// Finds out by looking at the keys themselves what the journal does not tell any more.
    fn compare(&mut self, store: &Store) -> Result<()> {
        let position = self.position;
        let end = store.region().journal_end();
        if end <= position {
            return Err(broken_journal());
        }
        let mut known: HashMap<Arc<str>, u64> =
            self.directory.drain().map(|tenant| (tenant.key, tenant.last)).collect();
        let interests = std::mem::take(&mut self.interests);
        let keys: Option<Vec<String>> = interests
            .patterns
            .is_empty()
            .then(|| interests.by_key.keys().map(|key| key.to_string()).collect());
        let present = self.present(store, keys.as_deref(), |key| interests.matters(key));
        self.interests = interests;
        let present = present?;
        // Of keys that are gone only what is told now: there is no end to the names that keys can have.
        let names: HashSet<&Arc<str>> = present.iter().map(|seen| &seen.tenant.key).collect();
        for watch in self.interests.watches.values_mut() {
            watch.ahead.retain(|key, _| names.contains(key));
        }
        for Seen { tenant, .. } in &present {
            if known.remove(&tenant.key) != Some(tenant.last) {
                let mark = Mark::of_a_look(position, tenant.last, Change::Update);
                self.interests.note(&tenant.key, mark);
            }
        }
        for (key, last) in known {
            let mark = Mark::of_a_look(position, last.saturating_add(1), Change::Unset);
            self.interests.note(&key, mark);
        }
        self.position = end;
        Ok(())
    }

    /// The next event of a watch; `None` if there is none yet, or no such watch.
    pub(crate) fn next(&mut self, store: &Store, id: u32) -> Result<Option<Event>> {
        match self.interests.watches.get_mut(&id) {
            Some(watch) => watch.next(store),
            None => Ok(None),
        }
    }

    pub(crate) fn has(&self, id: u32) -> bool {
        self.interests.watches.contains_key(&id)
    }

    /// Watches that have got something to give since they were last found empty, and were not told yet.
    pub(crate) fn ready(&mut self) -> &mut Vec<u32> {
        &mut self.interests.ready
    }
}

pub(crate) fn beyond_the_end(end: u64) -> Error {
    Error::InvalidArgument {
        reason: format!("the journal has {end} changes, so nothing can be followed from beyond that").into(),
    }
}

pub(crate) fn broken_journal() -> Error {
    Error::Corrupt {
        reason: "the journal cannot be read",
    }
}

/// Follows keys, blocking its caller: see [`Store::watch`].
pub struct Watcher<'a> {
    store: &'a Store,
    watches: Watches,
    pace: Pace,
    _watching: Watching<'a>,
}

/// The number of a watcher's only watch.
const ONLY: u32 = 0;

impl Store {
    /// Watches a key, or those of a [`Pattern`], which need not exist yet.
    ///
    /// A watch gives, for each key that has changed, its newest state, and so does not fall behind: changes that come faster
    /// than the reader are folded into one, and the epochs tell. The last state of a key is always given. A change that is
    /// made after this call has returned is never missed, except that a key which comes and goes between two looks may pass
    /// unnoticed. A watch of a prefix or a glob goes through all keys once when it begins; from then on it costs what changes.
    ///
    /// Waiting is as for [`Store::poll`]: writers make a system call only while somebody sleeps.
    ///
    /// ```
    /// # let store = splinter::OpenOptions::new().anonymous()?;
    /// use splinter::{EventKind, Pattern};
    ///
    /// let mut watcher = store.watch(Pattern::prefix("job/"))?;
    /// store.set("job/1", "run")?;
    /// let event = watcher.next().expect("a watch does not end")?;
    /// assert_eq!((&*event.key, event.kind), ("job/1", EventKind::Set));
    /// # Ok::<(), splinter::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`], [`Error::KeyInvalid`] for a key that cannot exist; [`Error::InvalidArgument`] for no keys at
    /// all; [`Error::Corrupt`].
    pub fn watch(&self, pattern: impl Into<Pattern>) -> Result<Watcher<'_>> {
        self.watch_with(pattern, &WatchOptions::new())
    }

    /// [`Self::watch`] with options.
    ///
    /// # Errors
    ///
    /// As there, and [`Error::InvalidArgument`] if the journal has not come so far as to where the watch is to begin.
    pub fn watch_with(&self, pattern: impl Into<Pattern>, options: &WatchOptions) -> Result<Watcher<'_>> {
        let mut watches = Watches::default();
        watches.add(self, ONLY, pattern.into(), options)?;
        Ok(Watcher {
            store: self,
            watches,
            pace: Pace::default(),
            _watching: Watching::begin(self),
        })
    }
}

impl Watcher<'_> {
    /// The next event, if there is one already.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`]; [`Error::NoSpace`] if there is no memory for a value; [`Error::Busy`] as for [`Store::get`]. The
    /// event is not lost then.
    pub fn try_next(&mut self) -> Result<Option<Event>> {
        // What has come meanwhile is folded in first, so that the newest is given.
        let end = self.store.region().journal_end();
        self.watches.absorb_all(self.store, end)?;
        self.watches.next(self.store, ONLY)
    }

    /// The next event, for which it waits at most `timeout`; `None` if there is none by then.
    ///
    /// # Errors
    ///
    /// As for [`Self::try_next`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Event>> {
        next_within(self, timeout, Self::try_next, |this, left| {
            let position = this.watches.position();
            let woken = this.store.wait_for_entry(position, left, this.store.spin(), || false)?;
            this.pace.rest_if_crowded(this.store, position);
            Ok(woken)
        })
    }
}

impl Iterator for Watcher<'_> {
    type Item = Result<Event>;

    /// Waits for the next event, for ever.
    fn next(&mut self) -> Option<Self::Item> {
        self.next_timeout(Duration::MAX).transpose()
    }
}

impl fmt::Debug for Watcher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("store", self.store)
            .field("position", &self.watches.position())
            .finish_non_exhaustive()
    }
}
