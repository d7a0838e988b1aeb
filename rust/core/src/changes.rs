//! The change feed: every entry of the journal, or how many of them are gone.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::directory::{Directory, Seen, Subject};
use crate::error::Result;
use crate::journal::{BATCH, Change as Kind, Read};
use crate::store::Store;
use crate::wait::{Pace, Watching, next_within};
use crate::watch::{beyond_the_end, broken_journal};

/// An item of the change feed.
///
/// `sequence` is a change's place in the journal of the store: 0 for the first change ever, one more for each.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A key was inserted or overwritten.
    Set {
        /// Place in the journal.
        sequence: u64,
        /// The key.
        key: Arc<str>,
        /// Its epoch after the change.
        epoch: u64,
    },
    /// A key was deleted.
    Unset {
        /// Place in the journal.
        sequence: u64,
        /// The key.
        key: Arc<str>,
        /// Its epoch after the change.
        epoch: u64,
    },
    /// A key was deleted because its time was up.
    Expired {
        /// Place in the journal.
        sequence: u64,
        /// The key.
        key: Arc<str>,
        /// Its epoch after the change.
        epoch: u64,
    },
    /// Bytes were put behind a key's value.
    Appended {
        /// Place in the journal.
        sequence: u64,
        /// The key.
        key: Arc<str>,
        /// Its epoch after the change.
        epoch: u64,
    },
    /// A key was deleted to make room for another.
    Evicted {
        /// Place in the journal.
        sequence: u64,
        /// The key.
        key: Arc<str>,
        /// Its epoch after the change.
        epoch: u64,
    },
    /// The labels, the deadline or the pin of a key were changed, and its value was not.
    Attributes {
        /// Place in the journal.
        sequence: u64,
        /// The key.
        key: Arc<str>,
        /// Its epoch, which is what it was.
        epoch: u64,
    },
    /// A change of a key that came and went before the feed was read. Its name is not known any more: what is deleted is
    /// deleted.
    Vanished {
        /// Place in the journal.
        sequence: u64,
    },
    /// The journal has gone on too far: these changes are gone. A [`Change::Current`] for each key that exists follows; then
    /// the feed goes on.
    Lost {
        /// Place of the first of them.
        sequence: u64,
        /// How many they are.
        count: u64,
    },
    /// A key as it is, after changes were lost. What was changed while these were gathered comes in the feed as well.
    Current {
        /// Place of the first change that was lost.
        sequence: u64,
        /// The key.
        key: Arc<str>,
        /// Its epoch.
        epoch: u64,
    },
}

/// A place in the feed, and what must be remembered there.
#[derive(Debug)]
pub(crate) struct Feed {
    /// Place of the entry that is to be given next.
    position: u64,
    directory: Directory,
    /// Entries that were read but not given: those from `position` on.
    words: [u64; BATCH],
    /// Which of `words` are left.
    left: std::ops::Range<usize>,
    /// While the current state is being given.
    present: Option<Present>,
}

/// The giving of the current state.
#[derive(Debug, Clone, Copy)]
struct Present {
    /// The first change that was lost.
    sequence: u64,
    /// Slot to look at next.
    next_slot: u32,
}

impl Feed {
    /// A feed from a place in the journal on, or from now on.
    pub(crate) fn new(store: &Store, from: Option<u64>) -> Result<Self> {
        let region = store.region();
        let end = region.journal_end();
        let position = from.unwrap_or(end);
        if position > end {
            return Err(beyond_the_end(end));
        }
        let mut directory = Directory::default();
        for slot in region.slot_indices() {
            directory.look(store, slot, |_| true)?;
        }
        Ok(Self {
            position,
            directory,
            words: [0; BATCH],
            left: 0..0,
            present: None,
        })
    }

    /// From where a feed must begin to go on without a gap.
    pub(crate) fn position(&self) -> u64 {
        self.present.map_or(self.position, |present| present.sequence)
    }

    /// Place of the entry that is to be read next, for those who wait for it.
    pub(crate) fn awaited(&self) -> u64 {
        self.position
    }

    /// The next item, if there is one already.
    pub(crate) fn next(&mut self, store: &Store) -> Result<Option<Change>> {
        if let Some(current) = self.next_present(store)? {
            return Ok(Some(current));
        }
        if self.left.is_empty() {
            match store.region().read_journal(self.position, &mut self.words) {
                Read::Entries(0) => return Ok(None),
                Read::Entries(count) => self.left = 0..count,
                Read::Overtaken => return self.skip(store).map(Some),
            }
        }
        let change = self.interpret(store, self.words[self.left.start])?;
        self.left.start += 1;
        self.position = self.position.wrapping_add(1);
        Ok(Some(change))
    }

    fn interpret(&mut self, store: &Store, word: u64) -> Result<Change> {
        let sequence = self.position;
        let Some(entry) = store.region().journal_entry_of(word) else {
            return Ok(Change::Vanished { sequence });
        };
        let Subject::Key(key, number) = self.directory.subject(store, entry, |_| true)? else {
            return Ok(Change::Vanished { sequence });
        };
        let epoch = number << 1;
        Ok(match entry.kind {
            Kind::Insert | Kind::Update => Change::Set { sequence, key, epoch },
            Kind::Unset => Change::Unset { sequence, key, epoch },
            Kind::Expire => Change::Expired { sequence, key, epoch },
            Kind::Append => Change::Appended { sequence, key, epoch },
            Kind::Evict => Change::Evicted { sequence, key, epoch },
            Kind::Attributes => Change::Attributes { sequence, key, epoch },
        })
    }

    /// Goes on at the journal's end, beginning with the current state.
    fn skip(&mut self, store: &Store) -> Result<Change> {
        let sequence = self.position;
        let end = store.region().journal_end();
        if end <= sequence {
            return Err(broken_journal());
        }
        self.directory.clear();
        self.position = end;
        self.present = Some(Present { sequence, next_slot: 0 });
        let count = end - sequence;
        Ok(Change::Lost { sequence, count })
    }

    fn next_present(&mut self, store: &Store) -> Result<Option<Change>> {
        while let Some(present) = &mut self.present {
            let Some(slot) = store.region().slot_index(present.next_slot) else {
                self.present = None;
                break;
            };
            let seen = self.directory.look(store, slot, |_| true)?;
            present.next_slot += 1;
            if let Some(Seen { tenant, .. }) = seen {
                return Ok(Some(Change::Current {
                    sequence: present.sequence,
                    key: tenant.key,
                    epoch: tenant.last << 1,
                }));
            }
        }
        Ok(None)
    }
}

/// Follows all changes of a store, blocking its caller: see [`Store::changes`].
pub struct Changes<'a> {
    store: &'a Store,
    feed: Feed,
    pace: Pace,
    _watching: Watching<'a>,
}

impl Store {
    /// Follows every change of every key, from now on.
    ///
    /// A feed gives each change in the order of the journal, or says how many are gone: the journal remembers so many changes
    /// ([`crate::OpenOptions::journal_entries`]), and a reader that is slower for so long has to go on from the current state.
    /// Of a change it gives the key and the epoch; the value is read by [`Self::get`], and may be a newer one by then. A key
    /// that comes and goes between two looks is told without its name.
    ///
    /// A feed remembers the names of all keys, and goes through them once when it begins.
    ///
    /// ```
    /// # let store = splinter::OpenOptions::new().anonymous()?;
    /// use splinter::Change;
    ///
    /// let mut changes = store.changes()?;
    /// store.set("greeting", "hello")?;
    /// let change = changes.next().expect("a feed does not end")?;
    /// assert!(matches!(change, Change::Set { key, sequence: 0, .. } if &*key == "greeting"));
    /// # Ok::<(), splinter::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`crate::Error::Corrupt`].
    pub fn changes(&self) -> Result<Changes<'_>> {
        self.feed(None)
    }

    /// [`Self::changes`] from a place in the journal on: the [`Changes::position`] of another feed, or 0 for all that there
    /// ever was. If the journal does not reach back to it, the feed begins with [`Change::Lost`].
    ///
    /// # Errors
    ///
    /// As there, and [`crate::Error::InvalidArgument`] if the journal has not come so far.
    pub fn changes_from(&self, sequence: u64) -> Result<Changes<'_>> {
        self.feed(Some(sequence))
    }

    fn feed(&self, from: Option<u64>) -> Result<Changes<'_>> {
        Ok(Changes {
            store: self,
            feed: Feed::new(self, from)?,
            pace: Pace::default(),
            _watching: Watching::begin(self),
        })
    }
}

impl Changes<'_> {
    /// The next item, if there is one already.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Corrupt`]; [`crate::Error::Busy`] as for [`Store::get`]. Nothing is lost then.
    pub fn try_next(&mut self) -> Result<Option<Change>> {
        self.feed.next(self.store)
    }

    /// The next item, for which it waits at most `timeout`; `None` if there is none by then.
    ///
    /// # Errors
    ///
    /// As for [`Self::try_next`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Change>> {
        next_within(self, timeout, Self::try_next, |this, left| {
            let position = this.feed.awaited();
            let woken = this.store.wait_for_entry(position, left, this.store.spin(), || false)?;
            this.pace.rest_if_crowded(this.store, position);
            Ok(woken)
        })
    }

    /// From where another feed must begin ([`Store::changes_from`]) to go on where this one stands.
    pub fn position(&self) -> u64 {
        self.feed.position()
    }
}

impl Iterator for Changes<'_> {
    type Item = Result<Change>;

    /// Waits for the next item, for ever.
    fn next(&mut self) -> Option<Self::Item> {
        self.next_timeout(Duration::MAX).transpose()
    }
}

impl fmt::Debug for Changes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("store", self.store)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}
