//! Operations, all that there are, against a store of plain maps: results, epochs, deadlines, the change feed, watches, and the
//! bytes that must not be left. What comes next is a matter of [`Random`].

// Each test file uses its part of this.
#![allow(dead_code)]

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use splinter::{
    Change, Changes, Error, ErrorCode, Event, EventKind, Eviction, KeyHandle, OpenOptions, Operation, Outcome, Pattern,
    SetOptions, Store, TimeToLive, ValueType, WatchOptions, Watcher,
};
use tempfile::TempDir;

use crate::bytes::{NEXT_DEADLINE_AT, Parts, Random};

const SLOTS: usize = 6;
const VALUE_BYTES: usize = 48;
/// More keys than slots, some of them in a namespace.
const KEYS: [&str; 10] = [
    "a",
    "b",
    "c",
    "key with 16 byte",
    "e",
    "n/f",
    "n/g",
    "n/h",
    "n/i",
    "n/j",
];
const PREFIX: &str = "n/";
/// Deadlines are this far apart, and as far from now, or over.
const FAR: Duration = Duration::from_secs(1000);
const AT_ONCE: Duration = Duration::from_nanos(1);

/// What a key holds.
#[derive(Debug, Clone)]
struct Held {
    value: Vec<u8>,
    epoch: u64,
    value_type: ValueType,
    labels: u64,
    pinned: bool,
    /// In ns since 1970, or a little less.
    deadline: Option<u64>,
}

impl Held {
    fn is_expired(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline < now_ns())
    }
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Set,
    Unset,
    Expired,
    Appended,
    Evicted,
    Attributes,
}

/// A change, as the feed tells it: the kind, the key, its epoch.
type Told = (Kind, String, u64);

#[derive(Debug, Clone, Copy)]
enum Condition {
    Always,
    Absent,
    Present,
    Epoch(u64),
}

#[derive(Debug, Clone, Copy)]
enum Ttl {
    Never,
    Keep,
    Of(Duration),
}

enum Content<'a> {
    Value(&'a [u8]),
    Suffix(&'a [u8]),
    Integer(&'a dyn Fn(u64) -> Option<u64>),
}

/// The store as it should be.
struct Model {
    keys: BTreeMap<String, Held>,
    /// Greatest epoch that a deleted key had.
    floor: u64,
    /// Greatest epoch that each key ever had.
    greatest: HashMap<String, u64>,
    eviction: Eviction,
    /// What the feed has told since the last step and is still to be accounted for.
    told: VecDeque<Told>,
    names: BTreeMap<u32, String>,
    /// How keys went, by the epochs to which that led.
    ends: HashMap<(String, u64), Kind>,
}

impl Model {
    fn expect(&mut self, kind: Kind, key: &str, epoch: u64) {
        let expected = Some((kind, key.to_string(), epoch));
        assert_eq!(self.told.pop_front(), expected, "the feed tells what happened");
    }

    fn delete(&mut self, kind: Kind, key: &str) -> Held {
        let held = self.keys.remove(key).unwrap();
        let epoch = held.epoch + 2;
        self.expect(kind, key, epoch);
        self.floor = self.floor.max(epoch);
        self.greatest.insert(key.into(), epoch);
        self.ends.insert((key.into(), epoch), kind);
        held
    }

    /// Somebody who may write looks at a key.
    fn notice(&mut self, key: &str) {
        if self.keys.get(key).is_some_and(Held::is_expired) {
            self.delete(Kind::Expired, key);
        }
    }

    fn get(&mut self, key: &str) -> Option<Held> {
        self.notice(key);
        self.keys.get(key).cloned()
    }

    /// The order in which keys go is that of their slots, which the model does not know.
    fn sweep(&mut self) -> usize {
        let due = self.keys.values().filter(|held| held.is_expired()).count();
        for _ in 0..due {
            let key = self.told.front().expect("a key is due").1.clone();
            assert!(self.keys.get(&key).is_some_and(Held::is_expired), "{key} is due");
            self.delete(Kind::Expired, &key);
        }
        due
    }

    fn make_room(&mut self) -> bool {
        if self.sweep() > 0 {
            return true;
        }
        let may_go = |held: &Held| !held.pinned;
        let key = match self.eviction {
            Eviction::Ttl => self
                .keys
                .iter()
                .filter(|(_, held)| may_go(held) && held.deadline.is_some())
                .min_by_key(|(_, held)| held.deadline)
                .map(|(key, _)| key.clone()),
            Eviction::Lru => {
                let key = self.told.front().expect("a key goes").1.clone();
                assert!(may_go(&self.keys[&key]), "{key} is pinned");
                Some(key)
            }
            _ => None,
        };
        key.is_some_and(|key| {
            self.delete(Kind::Evicted, &key);
            true
        })
    }

    /// Epoch, and length or number, after a write; or the epoch that was found where the condition does not hold.
    fn write(
        &mut self,
        key: &str,
        content: &Content<'_>,
        condition: Condition,
        ttl: Ttl,
        value_type: Option<ValueType>,
        initial: ValueType,
    ) -> Result<Result<(u64, u64), Option<u64>>, ErrorCode> {
        if let Content::Value(value) | Content::Suffix(value) = content
            && value.len() > VALUE_BYTES
        {
            return Err(ErrorCode::ValueTooLarge);
        }
        self.notice(key);
        let before = self.keys.get(key).cloned();
        let found = before.as_ref().map(|held| held.epoch);
        let holds = match condition {
            Condition::Always => true,
            Condition::Absent | Condition::Epoch(0) => found.is_none(),
            Condition::Present => found.is_some(),
            Condition::Epoch(epoch) => found == Some(epoch),
        };
        if !holds {
            return Ok(Err(found));
        }
        let old = before.as_ref().map_or(&[][..], |held| &held.value);
        let mut number = None;
        let value = match content {
            Content::Value(value) => value.to_vec(),
            Content::Suffix(suffix) => [old, suffix].concat(),
            Content::Integer(change) => {
                let bits = if before.is_some() {
                    u64::from_le_bytes(old.try_into().map_err(|_| ErrorCode::WrongType)?)
                } else {
                    0
                };
                let bits = change(bits).ok_or(ErrorCode::Overflow)?;
                number = Some(bits);
                bits.to_le_bytes().to_vec()
            }
        };
        if value.len() > VALUE_BYTES {
            return Err(ErrorCode::ValueTooLarge);
        }
        if before.is_none() && self.keys.len() == SLOTS && !self.make_room() {
            return Err(ErrorCode::Full);
        }
        let is_append = matches!(content, Content::Suffix(_)) && before.is_some();
        let epoch = found.unwrap_or(self.floor) + 2;
        let greatest = self.greatest.insert(key.into(), epoch);
        assert!(greatest < Some(epoch), "epochs do not go back");
        self.expect(if is_append { Kind::Appended } else { Kind::Set }, key, epoch);
        let result = number.unwrap_or(value.len() as u64);
        let held = Held {
            value,
            epoch,
            value_type: value_type.unwrap_or(before.as_ref().map_or(initial, |held| held.value_type)),
            labels: before.as_ref().map_or(0, |held| held.labels),
            pinned: before.as_ref().is_some_and(|held| held.pinned),
            deadline: match ttl {
                Ttl::Never => None,
                Ttl::Keep => before.and_then(|held| held.deadline),
                // It was set before this is called, so it is over if it is to be over at once.
                Ttl::Of(AT_ONCE) => Some(0),
                Ttl::Of(ttl) => Some(now_ns() + ttl.as_nanos() as u64),
            },
        };
        self.keys.insert(key.into(), held);
        Ok(Ok((epoch, result)))
    }

    /// Changes something beside the value. `None`: there is no such key.
    fn change<T>(&mut self, key: &str, change: impl FnOnce(&mut Held) -> (bool, T)) -> Option<T> {
        self.notice(key);
        let held = self.keys.get_mut(key)?;
        let (is_changed, result) = change(held);
        let epoch = held.epoch;
        if is_changed {
            self.expect(Kind::Attributes, key, epoch);
        }
        Some(result)
    }
}

/// By which way a call goes.
#[derive(Debug, Clone, Copy)]
enum Way {
    Store,
    Namespace,
    Handle,
}

/// Calls a method of the store, or of a namespace.
macro_rules! call {
    ($this:ident, $way:expr, $key:expr, $method:ident($($argument:expr),*)) => {
        match $way {
            Way::Namespace => {
                let rest = $key.strip_prefix(PREFIX).unwrap();
                $this.store.namespace(PREFIX).$method(rest, $($argument),*)
            }
            _ => $this.store.$method($key, $($argument),*),
        }
    };
}

/// Calls a method that handles of keys have too.
macro_rules! call_any {
    ($this:ident, $way:expr, $key:expr, $method:ident($($argument:expr),*)) => {
        match $way {
            Way::Handle => $this.handles[$key].0.$method($($argument),*),
            way => call!($this, way, $key, $method($($argument),*)),
        }
    };
}

/// What a watch has told, put together.
struct Watched {
    watcher: Watcher<'static>,
    /// Whether it gives what is appended alone.
    appended: bool,
    labels: u64,
    keys: HashMap<String, (u64, Vec<u8>)>,
}

impl Watched {
    fn new(store: &'static Store, appended: bool, labels: u64) -> Self {
        let options = WatchOptions::new().initial(true).values(true).labels(labels);
        let watcher = store.watch_with(Pattern::all(), &options.appended(appended)).unwrap();
        Self {
            watcher,
            appended,
            labels,
            keys: HashMap::new(),
        }
    }

    fn check(&mut self, model: &Model) {
        while let Some(event) = self.watcher.try_next().unwrap() {
            let Event {
                key,
                epoch,
                kind,
                value,
                offset,
                ..
            } = event;
            if kind == EventKind::Set {
                let value = value.unwrap();
                let (_, whole) = self.keys.entry(key.to_string()).or_default();
                assert!(self.appended || offset == 0);
                whole.truncate(offset);
                assert_eq!(whole.len(), offset, "{key}: what is given follows what was given");
                whole.extend(value);
                self.keys.get_mut(&*key).unwrap().0 = epoch;
            } else {
                // One that came and was over before this looked was not told of.
                let before = self.keys.remove(&*key);
                assert!(before.is_none_or(|(before, _)| epoch > before));
                // Not always the last end: one that comes and goes between two looks may pass unnoticed.
                let end = model.ends.get(&(key.to_string(), epoch)).copied();
                let expected = match kind {
                    EventKind::Unset => Kind::Unset,
                    EventKind::Expired => Kind::Expired,
                    _ => Kind::Evicted,
                };
                assert_eq!(end, Some(expected), "{key}");
            }
        }
        for (key, held) in &model.keys {
            if held.is_expired() {
                // It may have been told of before its time was up, or not.
                continue;
            }
            let told = self.keys.get(key);
            if held.labels & self.labels == self.labels {
                assert_eq!(told, Some(&(held.epoch, held.value.clone())), "the last state of {key}");
            }
        }
        for key in self.keys.keys() {
            assert!(model.keys.contains_key(key) || self.labels != 0, "{key} is gone");
        }
    }
}

pub(crate) struct World {
    random: Random,
    store: Arc<Store>,
    path: PathBuf,
    handles: HashMap<String, (KeyHandle<Arc<Store>>, u64)>,
    followers: Followers,
    model: Model,
    sterile: bool,
    /// Whether nothing is left of what was replaced or deleted before the store became sterile.
    pure: bool,
    backups: u32,
    directory: TempDir,
    log: Vec<String>,
}

fn options() -> OpenOptions {
    OpenOptions::new()
        .slots(SLOTS as u32)
        .max_value_bytes(VALUE_BYTES as u32)
        .max_key_bytes(16)
        .journal_entries(64)
}

/// Another handle, which only reads, so that it notices nothing, and those that follow by it, which go first.
struct Followers {
    feed: Changes<'static>,
    watches: Vec<Watched>,
    _reader: Reader,
}

/// A handle that is borrowed for as long as this lives.
struct Reader(*mut Store);

impl Drop for Reader {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`, and whoever borrowed it was dropped before.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

impl Followers {
    fn new(path: &Path) -> Self {
        let store = OpenOptions::new().read_only(true).open(path).unwrap();
        let reader = Reader(Box::into_raw(Box::new(store)));
        // SAFETY: it lives until the last field, which is dropped after those that borrow it here.
        let store = unsafe { &*reader.0 };
        Self {
            feed: store.changes().unwrap(),
            watches: vec![
                Watched::new(store, false, 0),
                Watched::new(store, true, 0),
                Watched::new(store, false, 1),
            ],
            _reader: reader,
        }
    }
}

fn outcome(result: Result<(u64, u64), Option<u64>>) -> Outcome {
    match result {
        Ok((epoch, _)) => Outcome::Written { epoch },
        Err(found) => Outcome::NotMet { found },
    }
}

fn code<T>(result: Result<T, Error>) -> Result<T, ErrorCode> {
    result.map_err(|error| error.code())
}

impl World {
    pub(crate) fn new(random: Random, sterile: bool) -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = directory.path().join("s");
        let store = options().auto_vacuum(sterile).create(&path).unwrap();
        let followers = Followers::new(&path);
        Self {
            random,
            store: Arc::new(store),
            path,
            handles: HashMap::new(),
            followers,
            model: Model {
                keys: BTreeMap::new(),
                floor: 0,
                greatest: HashMap::new(),
                eviction: Eviction::None,
                told: VecDeque::new(),
                names: BTreeMap::new(),
                ends: HashMap::new(),
            },
            sterile,
            pure: true,
            backups: 0,
            directory,
            log: Vec::new(),
        }
    }

    /// What has come in the feed goes to the model.
    fn hear(&mut self) {
        assert_eq!(self.model.told, [], "the feed told what did not happen");
        while let Some(change) = self.followers.feed.try_next().unwrap() {
            let (kind, key, epoch) = match change {
                Change::Set { key, epoch, .. } => (Kind::Set, key, epoch),
                Change::Unset { key, epoch, .. } => (Kind::Unset, key, epoch),
                Change::Expired { key, epoch, .. } => (Kind::Expired, key, epoch),
                Change::Appended { key, epoch, .. } => (Kind::Appended, key, epoch),
                Change::Evicted { key, epoch, .. } => (Kind::Evicted, key, epoch),
                Change::Attributes { key, epoch, .. } => (Kind::Attributes, key, epoch),
                other => panic!("{other:?}"),
            };
            self.model.told.push_back((kind, key.to_string(), epoch));
        }
    }

    fn key(&mut self) -> &'static str {
        KEYS[self.random.below(KEYS.len())]
    }

    fn way(&mut self, key: &str) -> Way {
        match self.random.below(4) {
            0 if key.starts_with(PREFIX) => Way::Namespace,
            1 => {
                if !self.handles.contains_key(key) {
                    let handle = KeyHandle::new(self.store.clone(), key).unwrap();
                    self.hear();
                    let seen = self.model.get(key).map_or(0, |held| held.epoch);
                    self.handles.insert(key.to_string(), (handle, seen));
                }
                Way::Handle
            }
            _ => Way::Store,
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let bytes = match self.random.below(8) {
            0 | 1 => 8,
            2 => VALUE_BYTES,
            3 => VALUE_BYTES + 1,
            _ => self.random.below(VALUE_BYTES),
        };
        self.random.marker(bytes)
    }

    fn ttl(&mut self) -> Duration {
        if self.random.below(4) == 0 {
            AT_ONCE
        } else {
            FAR * (1 + self.random.below(90) as u32)
        }
    }

    fn note(&mut self, step: String) {
        self.log.push(step);
    }

    fn epoch_of(&mut self, key: &str) -> u64 {
        let held = self.model.keys.get(key).map_or(0, |held| held.epoch);
        held.wrapping_sub(2 * (self.random.below(3) / 2) as u64)
    }

    /// Whether the next step is still a chosen one.
    pub(crate) fn is_chosen(&self) -> bool {
        self.random.is_chosen()
    }

    /// What was done up to now.
    pub(crate) fn log(&self) -> &[String] {
        &self.log
    }

    /// Calls an operation, and panics if it is not as the model says.
    pub(crate) fn step(&mut self) {
        let key = self.key();
        let choice = self.random.below(34);
        match choice {
            0..6 => self.set(key),
            6..9 => self.set_with(key),
            9 | 10 => self.unset(key),
            11..14 => self.append(key),
            14 | 15 => self.apply(key),
            16 => self.update(key),
            17 | 18 => self.expire(key),
            19 => self.persist(key),
            20 | 21 => self.label(key),
            22..25 => self.read(key),
            25 => self.list(),
            26 => self.get_many(),
            27 => self.set_many(),
            28 => self.sweep(),
            29 => self.purge(),
            30 => self.switch(),
            31 => self.name_label(),
            32 => self.changed(key),
            _ => self.start_anew(),
        }
        self.hear();
        assert_eq!(self.model.told, [], "the feed told more than happened");
        self.check_deadlines();
        if self.random.below(4) == 0 {
            let report = self.store.check().unwrap();
            assert!(report.is_clean(), "{report:?}");
            self.check_bytes();
        }
        if self.random.below(3) == 0 {
            for watch in &mut self.followers.watches {
                watch.check(&self.model);
            }
        }
    }

    fn set(&mut self, key: &str) {
        let value = self.value();
        let way = self.way(key);
        let tries = self.random.below(3) == 0;
        self.note(format!("set {key:?} {} bytes, {way:?}, {tries}", value.len()));
        let real = match way {
            Way::Handle => self.handles[key].0.set(&value),
            way if tries => call!(self, way, key, try_set(&value)),
            way => call!(self, way, key, set(&value)),
        };
        self.hear();
        let content = Content::Value(&value);
        let expected = self
            .model
            .write(key, &content, Condition::Always, Ttl::Never, None, ValueType::Void);
        assert_eq!(code(real), expected.map(|written| written.unwrap().0));
    }

    fn set_with(&mut self, key: &str) {
        let (value, way) = (self.value(), self.way(key));
        let epoch = self.epoch_of(key);
        let mut set = SetOptions::new();
        let condition = match self.random.below(4) {
            0 => Condition::Always,
            1 => Condition::Absent,
            2 => Condition::Present,
            _ => Condition::Epoch(epoch),
        };
        set = match condition {
            Condition::Always => set,
            Condition::Absent => set.if_absent(),
            Condition::Present => set.if_present(),
            Condition::Epoch(epoch) => set.if_epoch(epoch),
        };
        let ttl = match self.random.below(3) {
            0 => Ttl::Never,
            1 => Ttl::Keep,
            _ => Ttl::Of(self.ttl()),
        };
        set = match ttl {
            Ttl::Never => set,
            Ttl::Keep => set.keep_ttl(),
            Ttl::Of(ttl) => set.ttl(ttl),
        };
        let value_type = (self.random.below(2) == 0).then(|| ValueType::ALL[self.random.below(8)]);
        if let Some(value_type) = value_type {
            set = set.value_type(value_type);
        }
        self.note(format!(
            "set {key:?} {} bytes, {way:?}, {condition:?}, {ttl:?}, {value_type:?}",
            value.len()
        ));
        let real = call_any!(self, way, key, set_with(&value, &set));
        self.hear();
        let content = Content::Value(&value);
        let expected = self
            .model
            .write(key, &content, condition, ttl, value_type, ValueType::Void);
        assert_eq!(code(real), expected.map(outcome));
    }

    fn unset(&mut self, key: &str) {
        let way = self.way(key);
        let epoch = self.epoch_of(key);
        match self.random.below(4) {
            0 => {
                let way = if let Way::Handle = way { Way::Store } else { way };
                self.note(format!("unset {key:?} if {epoch}, {way:?}"));
                let real = call!(self, way, key, unset_if_epoch(epoch)).unwrap();
                self.hear();
                let found = self.model.get(key).map(|held| held.epoch);
                if found == Some(epoch) {
                    self.model.delete(Kind::Unset, key);
                    assert_eq!(real, Outcome::Written { epoch: epoch + 2 });
                } else {
                    assert_eq!(real, Outcome::NotMet { found });
                }
            }
            tries => {
                self.note(format!("unset {key:?}, {way:?}, {tries}"));
                let real = match way {
                    Way::Handle => self.handles[key].0.unset(),
                    way if tries == 1 => call!(self, way, key, try_unset()),
                    way => call!(self, way, key, unset()),
                };
                self.hear();
                let is_there = self.model.get(key).is_some();
                let expected = is_there.then(|| self.model.delete(Kind::Unset, key).value.len());
                assert_eq!(real.unwrap(), expected);
            }
        }
    }

    fn append(&mut self, key: &str) {
        let bytes = if self.random.below(8) == 0 {
            VALUE_BYTES
        } else {
            self.random.below(10)
        };
        let suffix = self.random.marker(bytes);
        let way = self.way(key);
        self.note(format!("append {bytes} bytes to {key:?}, {way:?}"));
        let real = call_any!(self, way, key, append(&suffix));
        self.hear();
        let content = Content::Suffix(&suffix);
        let expected = self
            .model
            .write(key, &content, Condition::Always, Ttl::Keep, None, ValueType::Void);
        let expected = expected.map(|written| written.unwrap().1 as usize);
        assert_eq!(code(real), expected);
    }

    fn apply(&mut self, key: &str) {
        let way = self.way(key);
        let by = if self.random.below(2) == 0 {
            1
        } else {
            self.random.next()
        };
        let choice = self.random.below(8);
        let is_signed = self.random.below(2) == 0;
        self.note(format!(
            "apply {choice} by {by} to {key:?}, {way:?}, signed: {is_signed}"
        ));
        let signed = by as i64;
        let real = if is_signed {
            call_any!(self, way, key, apply(operation(choice, signed))).map(|number| number as u64)
        } else {
            call_any!(self, way, key, apply(operation(choice, by)))
        };
        self.hear();
        let change = |before: u64| match (choice, is_signed) {
            (0, _) => Some(before.wrapping_add(by)),
            (1, false) => before.checked_add(by),
            (1, true) => (before as i64).checked_add(signed).map(|sum| sum as u64),
            (2, _) => Some(before.wrapping_sub(by)),
            (3, false) => before.checked_sub(by),
            (3, true) => (before as i64).checked_sub(signed).map(|rest| rest as u64),
            (4, _) => Some(before & by),
            (5, _) => Some(before | by),
            (6, _) => Some(before ^ by),
            _ => Some(!before),
        };
        let initial = if is_signed {
            ValueType::BigInt
        } else {
            ValueType::BigUint
        };
        let content = Content::Integer(&change);
        let expected = self
            .model
            .write(key, &content, Condition::Always, Ttl::Keep, None, initial);
        assert_eq!(code(real), expected.map(|written| written.unwrap().1));
    }

    fn update(&mut self, key: &str) {
        let (new, way) = (self.value(), self.way(key));
        let declines = self.random.below(4) == 0;
        self.note(format!("update {key:?} to {} bytes, {way:?}, {declines}", new.len()));
        let mut seen = None;
        let change = |old: Option<&[u8]>| {
            seen = old.map(<[u8]>::to_vec);
            (!declines).then(|| new.clone())
        };
        let real = call_any!(self, way, key, update(change));
        self.hear();
        assert_eq!(seen, self.model.get(key).map(|held| held.value));
        let expected = if declines {
            Ok(None)
        } else {
            let content = Content::Value(&new);
            let written = self
                .model
                .write(key, &content, Condition::Always, Ttl::Keep, None, ValueType::Void);
            written.map(|written| Some(written.unwrap().0))
        };
        assert_eq!(code(real), expected);
    }

    fn expire(&mut self, key: &str) {
        let (ttl, way) = (self.ttl(), self.way(key));
        self.note(format!("expire {key:?} in {ttl:?}, {way:?}"));
        let deadline = if ttl == AT_ONCE {
            0
        } else {
            now_ns() + ttl.as_nanos() as u64
        };
        let real = call_any!(self, way, key, expire(ttl)).unwrap();
        self.hear();
        let found = self.model.change(key, |held| {
            held.deadline = Some(deadline);
            (true, ())
        });
        assert_eq!(real, found.is_some());
    }

    fn persist(&mut self, key: &str) {
        let way = self.way(key);
        self.note(format!("persist {key:?}, {way:?}"));
        let real = call!(self, way, key, persist()).unwrap();
        self.hear();
        let had = self.model.change(key, |held| {
            let had = held.deadline.take().is_some();
            (had, had)
        });
        assert_eq!(real, had.unwrap_or(false));
    }

    fn label(&mut self, key: &str) {
        let way = self.way(key);
        let (add, remove) = (self.random.below(8) as u64, self.random.below(8) as u64);
        let pins = self.random.below(3) == 0;
        // Not all, so that somebody can go.
        let pinned = self.random.below(2) == 0 && self.model.keys.values().filter(|held| held.pinned).count() < 2;
        if pins {
            self.note(format!("pin {key:?}, {way:?}: {pinned}"));
            let real = call!(self, way, key, pin(pinned)).unwrap();
            self.hear();
            let found = self.model.change(key, |held| {
                let before = std::mem::replace(&mut held.pinned, pinned);
                (before != pinned, ())
            });
            assert_eq!(real, found.is_some());
        } else {
            self.note(format!("label {key:?}, {way:?}: {add} {remove}"));
            let real = call!(self, way, key, label(add, remove)).unwrap();
            self.hear();
            let now = self.model.change(key, |held| {
                let before = held.labels;
                held.labels = before & !remove | add;
                (held.labels != before, held.labels)
            });
            assert_eq!(real, now);
        }
    }

    fn read(&mut self, key: &str) {
        let way = self.way(key);
        let choice = self.random.below(12);
        self.note(format!("read {key:?} {choice}, {way:?}"));
        let room = self.random.below(VALUE_BYTES + 8);
        let mut buffer = vec![0xee; room];
        // What is noticed by the look comes before the look in the feed, so the model is asked afterwards.
        macro_rules! expected {
            () => {{
                self.hear();
                self.model.get(key)
            }};
        }
        match choice {
            0 | 1 => {
                let real = call_any!(self, way, key, get(&mut buffer)).unwrap();
                let held = expected!();
                assert_eq!(real, held.as_ref().map(|held| held.value.len()));
                let value = held.map(|held| held.value).filter(|value| value.len() <= room);
                let value = value.unwrap_or_default();
                assert_eq!(buffer[..value.len()], value);
                assert!(buffer[value.len()..].iter().all(|&byte| byte == 0xee));
            }
            2 | 3 => {
                let real = call_any!(self, way, key, get_vec()).unwrap();
                assert_eq!(real, expected!().map(|held| held.value));
            }
            4 => {
                let real = call_any!(self, way, key, get_entry()).unwrap();
                let real = real.map(|entry| (entry.value, entry.epoch, entry.value_type));
                let held = expected!();
                assert_eq!(real, held.map(|held| (held.value, held.epoch, held.value_type)));
            }
            5 => {
                let look = |bytes: &[std::sync::atomic::AtomicU8]| {
                    bytes.iter().map(|byte| byte.load(Ordering::Relaxed)).collect()
                };
                let real: Option<Vec<u8>> = call_any!(self, way, key, get_with(look)).unwrap();
                assert_eq!(real, expected!().map(|held| held.value));
            }
            6 => {
                let real = match way {
                    Way::Handle => self.handles[key].0.exists(),
                    way => call!(self, way, key, contains()),
                };
                assert_eq!(real.unwrap(), expected!().is_some());
            }
            7 => {
                let real = call_any!(self, way, key, epoch()).unwrap();
                assert_eq!(real, expected!().map(|held| held.epoch));
            }
            8 => {
                let real = call!(self, way, key, labels()).unwrap();
                assert_eq!(real, expected!().map(|held| held.labels));
            }
            9 => {
                let real = call_any!(self, way, key, ttl()).unwrap();
                let held = expected!();
                assert_eq!(real.is_some(), held.is_some());
                let Some(held) = held else { return };
                match (real.unwrap(), held.deadline) {
                    (TimeToLive::Forever, None) => {}
                    (TimeToLive::Left(left), Some(deadline)) => assert_near(left, deadline),
                    other => panic!("{other:?}"),
                }
            }
            10 => {
                let real = call!(self, way, key, slot_snapshot()).unwrap();
                let held = expected!();
                assert_eq!(real.is_some(), held.is_some());
                let (Some(real), Some(held)) = (real, held) else { return };
                assert_eq!(
                    (
                        real.epoch,
                        real.value_bytes,
                        real.value_type,
                        real.labels,
                        real.is_pinned
                    ),
                    (held.epoch, held.value.len(), held.value_type, held.labels, held.pinned)
                );
                assert_eq!(real.ttl.is_some(), held.deadline.is_some());
                if let (Some(left), Some(deadline)) = (real.ttl, held.deadline) {
                    assert_near(left, deadline);
                }
            }
            _ => {
                let store = self.store.clone();
                let real = store.view(key).unwrap().map(|view| {
                    let bytes: Vec<u8> = view.bytes().iter().map(|byte| byte.load(Ordering::Relaxed)).collect();
                    assert!(store.is_whole(view.stamp()).unwrap());
                    bytes
                });
                assert_eq!(real, expected!().map(|held| held.value));
            }
        }
    }

    fn list(&mut self) {
        let labels = self.random.below(4) as u64;
        let prefix = if self.random.below(2) == 0 { "" } else { PREFIX };
        self.note(format!("list {prefix:?} with {labels}"));
        let entries = self.store.list_with_prefix(prefix).with_labels(labels);
        let mut real: Vec<_> = entries
            .map(Result::unwrap)
            .map(|entry| {
                (
                    entry.key,
                    entry.epoch,
                    entry.value_bytes,
                    entry.value_type,
                    entry.labels,
                )
            })
            .collect();
        real.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let keys = self.model.keys.iter().filter(|(_, held)| !held.is_expired());
        let meant = keys.filter(|(key, held)| key.starts_with(prefix) && held.labels & labels == labels);
        let expected: Vec<_> = meant
            .map(|(key, held)| (key.clone(), held.epoch, held.value.len(), held.value_type, held.labels))
            .collect();
        assert_eq!(real, expected);
    }

    fn get_many(&mut self) {
        let keys: Vec<&str> = (0..self.random.below(30)).map(|_| self.key()).collect();
        self.note(format!("get {keys:?}"));
        let real = self.store.get_many(&keys).unwrap();
        self.hear();
        let expected: Vec<_> = keys
            .iter()
            .map(|key| self.model.get(key).map(|held| held.value))
            .collect();
        assert_eq!(real, expected);
    }

    fn set_many(&mut self) {
        // Where the next may evict what came just now, one at a time, so that the feed hears its name.
        let most = if self.model.eviction == Eviction::Lru { 2 } else { 5 };
        let entries: Vec<(&str, Vec<u8>)> = (0..self.random.below(most))
            .map(|_| (self.key(), self.value()))
            .collect();
        let lengths: Vec<_> = entries.iter().map(|(key, value)| (key, value.len())).collect();
        self.note(format!("set {lengths:?}"));
        let real = self.store.set_many(&entries);
        self.hear();
        let mut expected = Ok(());
        for (done, (key, value)) in entries.iter().enumerate() {
            let content = Content::Value(value);
            let written = self
                .model
                .write(key, &content, Condition::Always, Ttl::Never, None, ValueType::Void);
            if let Err(code) = written {
                expected = Err((done, code));
                break;
            }
        }
        assert_eq!(real.map_err(|batch| (batch.done, batch.error.code())), expected);
    }

    fn sweep(&mut self) {
        self.note("sweep".into());
        let real = self.store.sweep().unwrap();
        self.hear();
        assert_eq!(real, self.model.sweep());
    }

    fn purge(&mut self) {
        self.note("purge".into());
        let purged = self.store.purge().unwrap();
        assert!(purged == 0 || !(self.pure && self.sterile), "there is nothing to purge");
        self.pure = true;
        let was_sterile = std::mem::replace(&mut self.sterile, true);
        self.check_bytes();
        self.sterile = was_sterile;
        self.pure = self.sterile;
    }

    fn switch(&mut self) {
        if self.random.below(2) == 0 {
            self.sterile = !self.sterile;
            self.pure = false;
            self.note(format!("sterile: {}", self.sterile));
            self.store.set_auto_vacuum(self.sterile).unwrap();
            assert_eq!(self.store.auto_vacuum().unwrap(), self.sterile);
            if self.random.below(2) == 0 {
                self.purge();
            }
        } else {
            let policy = Eviction::ALL[self.random.below(3)];
            self.note(format!("evict: {policy:?}"));
            self.store.set_eviction(policy).unwrap();
            assert_eq!(self.store.eviction().unwrap(), policy);
            self.model.eviction = policy;
        }
    }

    fn name_label(&mut self) {
        let label = self.random.below(4) as u32;
        let name = [
            "",
            "hot",
            "größer",
            "a name of fifty-six bytes, which is as many as there can",
            "cold",
        ][self.random.below(5)];
        self.note(format!("name {label} {name:?}"));
        let is_taken = !name.is_empty()
            && self
                .model
                .names
                .iter()
                .any(|(other, taken)| *other != label && taken == name);
        let real = self.store.name_label(label, name);
        if is_taken {
            assert_eq!(code(real), Err(ErrorCode::InvalidArgument));
        } else {
            real.unwrap();
            self.model.names.remove(&label);
            if !name.is_empty() {
                self.model.names.insert(label, name.into());
            }
        }
        let names: BTreeMap<_, _> = self.store.label_names().unwrap().into_iter().collect();
        assert_eq!(names, self.model.names);
    }

    fn changed(&mut self, key: &str) {
        let Some((handle, seen)) = self.handles.get(key) else {
            return;
        };
        self.log.push(format!("changed {key:?}"));
        let (real, seen) = (handle.changed().unwrap(), *seen);
        self.hear();
        let now = self.model.get(key).map_or(0, |held| held.epoch);
        assert_eq!(real, now != seen);
        self.handles.get_mut(key).unwrap().1 = now;
    }

    /// Goes on with the same store opened anew, or with a copy of it.
    fn start_anew(&mut self) {
        if self.random.below(3) > 0 {
            return;
        }
        self.handles.clear();
        if self.random.below(2) == 0 {
            self.note("close and open".into());
            self.store = Arc::new(Store::open(&self.path).unwrap());
            return;
        }
        self.note("go on with a backup".into());
        self.backups += 1;
        self.path = self.directory.path().join(format!("s{}", self.backups));
        self.store.backup(&self.path).unwrap();
        self.store = Arc::new(options().open(&self.path).unwrap());
        self.pure = true;
        // What was over is not in the copy, and has gone without a word.
        let (over, kept): (BTreeMap<_, _>, _) = std::mem::take(&mut self.model.keys)
            .into_iter()
            .partition(|(_, held)| held.is_expired());
        self.model.keys = kept;
        for (key, held) in over {
            self.model.floor = self.model.floor.max(held.epoch + 2);
            self.model.greatest.insert(key, held.epoch + 2);
        }
        assert_eq!(self.store.eviction().unwrap(), self.model.eviction);
        let names: BTreeMap<_, _> = self.store.label_names().unwrap().into_iter().collect();
        assert_eq!(names, self.model.names);
        self.followers = Followers::new(&self.path);
    }

    /// No deadline is hidden from the next sweep.
    fn check_deadlines(&self) {
        let file = std::fs::File::open(self.store.path()).unwrap();
        let mut word = [0; 8];
        file.read_exact_at(&mut word, NEXT_DEADLINE_AT).unwrap();
        let next = u64::from_le_bytes(word);
        for (key, held) in &self.model.keys {
            if let Some(deadline) = held.deadline {
                let latest = deadline.max(1) + 5_000_000_000;
                assert!(next <= latest.max(if deadline == 0 { now_ns() } else { 0 }), "{key}");
            }
        }
    }

    /// Where nothing old may be left, the buffers hold the values, what they were appended to, and zeros.
    fn check_bytes(&self) {
        if !(self.sterile && self.pure) {
            return;
        }
        let parts = Parts::of(self.store.geometry());
        let region = std::fs::read(self.store.path()).unwrap();
        let word = |at: usize| u64::from_le_bytes(region[at..at + 8].try_into().unwrap());
        let room = (VALUE_BYTES).next_multiple_of(64);
        for (number, slot) in parts.slots.clone().step_by(parts.slot_bytes).enumerate() {
            let ctl = word(slot);
            let (is_live, odd) = (ctl & 1 != 0, (ctl >> 3 & 1) as usize);
            let buffer = |which: usize| {
                let at = parts.values.start + (2 * number + which) * room;
                &region[at..at + room]
            };
            let is_empty = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
            if !is_live {
                assert!(is_empty(buffer(0)) && is_empty(buffer(1)), "slot {number} is free");
                assert!(
                    is_empty(&region[slot + 40..slot + parts.slot_bytes]),
                    "slot {number} is free"
                );
                continue;
            }
            let descriptor = word(slot + 16 + 8 * odd);
            let bytes = descriptor as u32 as usize;
            let (value, behind) = buffer(odd).split_at(bytes);
            assert!(is_empty(behind), "behind the value in slot {number}");
            let key_bytes = (descriptor >> 48) as usize;
            let key = std::str::from_utf8(&region[slot + 40..slot + 40 + key_bytes]).unwrap();
            assert_eq!(value, self.model.keys[key].value);
            let is_appended = descriptor >> 42 & 1 != 0;
            let other = buffer(1 - odd);
            let start = other.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            if is_appended {
                assert!(value.starts_with(&other[..start]), "beside the value of {key}");
            } else {
                assert!(start == 0, "beside the value of {key}");
            }
        }
    }
}

fn assert_near(left: Duration, deadline: u64) {
    let expected = Duration::from_nanos(deadline.saturating_sub(now_ns()));
    assert!(
        left.abs_diff(expected) < Duration::from_secs(10),
        "{left:?} {expected:?}"
    );
}

/// One of the eight operations on numbers.
pub(crate) fn operation<T>(choice: usize, by: T) -> Operation<T> {
    match choice {
        0 => Operation::Add(by),
        1 => Operation::AddChecked(by),
        2 => Operation::Sub(by),
        3 => Operation::SubChecked(by),
        4 => Operation::And(by),
        5 => Operation::Or(by),
        6 => Operation::Xor(by),
        _ => Operation::Not,
    }
}
