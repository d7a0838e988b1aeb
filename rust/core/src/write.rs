//! Changing a slot: overwrite, insert, delete. The order of the steps is the protocol.
//!
//! Overwrite: lock; see that the slot still holds the key; announce (`WRITING`); fill the other buffer; note what is about
//! to be published (`pending`); publish by one store to `ctl`; zero the old buffer (sterile mode); append to the journal;
//! clear the note; unlock; wake sleepers if there are any. Whoever takes over from a writer that died in between finds in
//! `ctl` whether the change was published and in `pending` whether it may be missing from the journal
//! ([`crate::repair`]).
//!
//! Append: the same, but the other buffer is filled with what it lacks of the longer value only, and the old buffer, being
//! the start of the new value, is left as it is.
//!
//! Insert: under the home chunk's stripe, look again; take a free slot; fill it; link it; publish, last. Delete: under the
//! stripe; publish "not live" first; then unlink, zero, and free. A key whose time is up is deleted before anything else is
//! done with it ([`crate::expiry`]).

#![forbid(unsafe_code)]

use crate::condition::Condition;
use crate::error::{Error, Result};
use crate::handles::Token;
use crate::journal::Change;
use crate::key::{Key, Target};
use crate::layout::FLAG_AUTO_VACUUM;
use crate::lock::{Attempt, Backoff, Writer};
use crate::region::{Buffer, Region, SlotIndex};
use crate::slot::{Ctl, Descriptor, STARVING};
use crate::sync::{Ordering, fence};
use crate::value_type::ValueType;

/// Bits of `Slot::pending`: kind of change above, low bits of the sequence below.
const PENDING_SEQUENCE_BITS: u32 = 29;
const PENDING_SEQUENCE_MASK: u64 = (1 << PENDING_SEQUENCE_BITS) - 1;

/// A change that is about to be published, as it stands in `Slot::pending`; never 0.
pub(crate) fn pending(kind: Change, sequence: u64) -> u32 {
    (kind as u32) << PENDING_SEQUENCE_BITS | (sequence & PENDING_SEQUENCE_MASK) as u32
}

/// The kind of a pending change if `sequence` is the one that it led to.
pub(crate) fn pending_kind(pending: u32, sequence: u64) -> Option<Change> {
    (u64::from(pending) & PENDING_SEQUENCE_MASK == sequence & PENDING_SEQUENCE_MASK)
        .then(|| Change::from_number(pending >> PENDING_SEQUENCE_BITS))
        .flatten()
}

/// How often a write that must not wait begins anew.
const IMPATIENT_REPETITIONS: u32 = 64;

/// What a write is to do.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) content: Content<'a>,
    pub(crate) condition: Condition,
    pub(crate) deadline: Deadline,
    pub(crate) value_type: TypeChange,
    /// The new sequence is at least this (a copied store keeps its epochs).
    pub(crate) sequence_min: u64,
}

/// What the value will be.
#[derive(Clone, Copy)]
pub(crate) enum Content<'a> {
    Value(&'a [u8]),
    /// What is there, and this behind it.
    Suffix(&'a [u8]),
    /// The number that this makes of the one that is there, if there is one.
    Integer(&'a dyn Fn(Option<u64>) -> Result<u64>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deadline {
    Never,
    Keep,
    /// In ns since 1970.
    At(u64),
}

#[derive(Clone, Copy)]
pub(crate) enum TypeChange {
    /// As it is; `initial` for a key that is new.
    Keep {
        initial: ValueType,
    },
    Set(ValueType),
}

impl<'a> Request<'a> {
    /// Stores a value, whatever is there.
    #[inline]
    pub(crate) fn set(value: &'a [u8]) -> Self {
        Self {
            content: Content::Value(value),
            condition: Condition::Always,
            deadline: Deadline::Never,
            value_type: TypeChange::Keep {
                initial: ValueType::Void,
            },
            sequence_min: 0,
        }
    }

    /// Makes something else of what is there, which keeps what else it has.
    pub(crate) fn change(content: Content<'a>, initial: ValueType) -> Self {
        Self {
            content,
            deadline: Deadline::Keep,
            value_type: TypeChange::Keep { initial },
            ..Self::set(&[])
        }
    }
}

/// What a write came to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Written {
    Done {
        epoch: u64,
        /// The length of the value, or the number that it is.
        result: u64,
    },
    NotMet {
        found: Option<u64>,
    },
}

/// What a deletion came to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Removed {
    Done { epoch: u64, value_bytes: usize },
    NotMet { found: Option<u64> },
}

/// A step that came to an end, or must begin anew because the world changed before its lock was taken.
enum Step<T> {
    Done(T),
    Again,
    /// Begin anew after a slot has been taken over from its dead owner, which needs a stripe and so cannot be done here.
    Rescue(SlotIndex, Token),
    /// Begin anew after the key, whose time is up, was deleted, which needs a stripe too.
    Expired(SlotIndex),
}

impl Region {
    /// Whether replaced and deleted bytes are to be zeroed.
    #[inline]
    pub(crate) fn is_sterile(&self) -> bool {
        // Relaxed: a switch takes effect with the next write that happens to see it.
        self.header().flags.load(Ordering::Relaxed) & FLAG_AUTO_VACUUM != 0
    }

    /// Checks a key against the rules and this store's limit.
    pub(crate) fn key<'k>(&self, key: &'k [u8]) -> Result<Key<'k>> {
        Key::new(key, self.geometry().max_key_bytes() as usize)
    }

    /// The value length of a buffer, no more than a value can have.
    pub(crate) fn value_bytes_capped(&self, slot: SlotIndex, buffer: Buffer) -> usize {
        let max = self.geometry().max_value_bytes() as usize;
        self.descriptor(slot, buffer).value_bytes().min(max)
    }

    pub(crate) fn set_descriptor(&self, slot: SlotIndex, buffer: Buffer, descriptor: Descriptor) {
        // Relaxed: ordered by the stores to `ctl` around it.
        self.slot(slot).descriptors[buffer as usize].store(descriptor.bits(), Ordering::Relaxed);
    }

    /// How many bytes of a buffer may hold something.
    pub(crate) fn held_bytes(&self, slot: SlotIndex, buffer: Buffer) -> usize {
        if self.descriptor(slot, buffer).is_dirty() {
            self.geometry().max_value_bytes() as usize
        } else {
            self.value_bytes_capped(slot, buffer)
        }
    }

    /// Zeroes what a buffer holds and says so in its descriptor.
    pub(crate) fn scrub(&self, slot: SlotIndex, buffer: Buffer) {
        let key_bytes = self.descriptor(slot, buffer).key_bytes();
        self.zero_value(slot, buffer, 0, self.held_bytes(slot, buffer));
        self.set_descriptor(slot, buffer, Descriptor::new(0, key_bytes, false));
    }

    /// Zeroes what a buffer holds behind its value, which nobody reads.
    pub(crate) fn scrub_tail(&self, slot: SlotIndex, buffer: Buffer) {
        let descriptor = self.descriptor(slot, buffer);
        let held_bytes = self.held_bytes(slot, buffer);
        self.zero_value(slot, buffer, descriptor.value_bytes().min(held_bytes), held_bytes);
        self.set_descriptor(slot, buffer, descriptor.with_dirty(false));
    }

    /// Zeroes a deleted key and what told of it. The caller holds the slot's lock, and the slot is in no index.
    pub(crate) fn erase_key(&self, slot: SlotIndex) {
        self.zero_key(slot);
        let attributes = self.attributes(slot);
        attributes.labels.store(0, Ordering::Relaxed);
        // Last, because the unlinking needs it, if it must be repeated.
        attributes.hash.store(0, Ordering::Release);
    }

    /// Says that every byte of a buffer may hold something.
    pub(crate) fn declare_unknown(&self, slot: SlotIndex, buffer: Buffer) {
        let key_bytes = self.descriptor(slot, buffer).key_bytes();
        self.set_descriptor(slot, buffer, Descriptor::new(0, key_bytes, true));
    }

    /// Marks a slot as being written: from here on the buffer that `ctl` does not name changes.
    ///
    /// The release fence keeps the changes behind the mark; it pairs with the fence of `ctl_after_reading`.
    fn announce(&self, slot: SlotIndex, ctl: Ctl) {
        self.slot(slot).ctl.store(ctl.being_written().bits(), Ordering::Relaxed);
        fence(Ordering::Release);
    }

    /// Fills the buffer that `ctl` does not name: from byte `from` on, before which it holds what it must.
    ///
    /// Returns the descriptor that tells of it.
    #[inline]
    fn fill(&self, slot: SlotIndex, buffer: Buffer, parts: Parts<'_>, key_bytes: usize, sterile: bool) -> Descriptor {
        // What the buffer held in throughput mode, or nothing.
        let held_bytes = self.held_bytes(slot, buffer);
        let bytes = match parts {
            Parts::Whole(value) => {
                self.write_value(slot, buffer, 0, value);
                value.len()
            }
            Parts::Longer { known, before, suffix } => {
                self.copy_value(slot, buffer.other(), buffer, known.min(before)..before);
                self.write_value(slot, buffer, before, suffix);
                before + suffix.len()
            }
        };
        if sterile {
            self.zero_value(slot, buffer, bytes, held_bytes);
        }
        Descriptor::new(bytes, key_bytes, !sterile && held_bytes > bytes)
    }

    /// Makes a change visible, by one store. What must follow it stands in `pending` before.
    ///
    /// Release pairs with the acquire of `Region::ctl`. The fence behind it keeps the zeroing of the old buffer, where that
    /// follows, from being seen before the state that announces it; it pairs with the fence of `ctl_after_reading`.
    fn publish(&self, slot: SlotIndex, kind: Change, state: Ctl) {
        let words = self.slot(slot);
        words.pending.store(pending(kind, state.sequence()), Ordering::Relaxed);
        words.ctl.store(state.bits(), Ordering::Release);
        fence(Ordering::Release);
    }

    /// Logs a published change. A full barrier lies between its publishing and the return.
    pub(crate) fn log(&self, slot: SlotIndex, kind: Change, sequence: u64) {
        self.append_to_journal(slot, kind, sequence);
        // Release: if the note is seen cleared, the entry is in the journal.
        self.slot(slot).pending.store(0, Ordering::Release);
    }

    /// Puts a slot on the map of free ones. The caller holds its lock, and it is not live.
    pub(crate) fn mark_free(&self, slot: SlotIndex) {
        let (word, bit) = (slot.get() / 64, 1 << (slot.get() % 64));
        // Release: whoever takes the slot by this bit takes its lock after it.
        self.free_word(word as usize).fetch_or(bit, Ordering::Release);
        self.header().free_hint.store(word, Ordering::Relaxed);
    }

    /// Takes a slot off that map. The caller holds its lock.
    pub(crate) fn mark_used(&self, slot: SlotIndex) {
        let (word, bit) = (slot.get() / 64, 1 << (slot.get() % 64));
        self.free_word(word as usize).fetch_and(!bit, Ordering::Relaxed);
    }
}

/// What a buffer is filled with.
#[derive(Clone, Copy)]
enum Parts<'a> {
    Whole(&'a [u8]),
    /// The value of the other buffer, `before` bytes of which this one holds the first `known` already, and a suffix.
    Longer {
        known: usize,
        before: usize,
        suffix: &'a [u8],
    },
}

impl Writer<'_> {
    /// Changes what is under a key, whether it exists or not.
    #[inline]
    pub(crate) fn write(&self, target: &Target<'_>, request: &Request<'_>) -> Result<Written> {
        let region = self.region;
        self.check_length(match request.content {
            Content::Value(value) | Content::Suffix(value) => value.len(),
            Content::Integer(_) => size_of::<u64>(),
        })?;
        let mut backoff = Backoff::new(self.patience);
        for repetition in 0_u32.. {
            let step = match region.locate(target) {
                Some((slot, seen)) => self.overwrite(slot, seen, target.key, request)?,
                None => self.insert(region.key(target.key)?, target.hash, request)?,
            };
            match step {
                Step::Done(written) => return Ok(written),
                Step::Rescue(slot, owner) => self.rescue(slot, owner)?,
                Step::Expired(slot) => self.expire(slot)?,
                Step::Again if self.may_repeat(repetition, &mut backoff) => {}
                Step::Again => break,
            }
        }
        Err(Error::Busy {
            what: "the key comes and goes too fast to be written",
        })
    }

    fn check_length(&self, bytes: usize) -> Result<()> {
        let max = self.region.geometry().max_value_bytes() as usize;
        if bytes > max {
            return Err(Error::ValueTooLarge { bytes, max });
        }
        Ok(())
    }

    /// Whether a step may begin anew. Without patience too, for nobody is waited for: each repetition means that somebody
    /// else got on. But not for ever.
    fn may_repeat(&self, repetition: u32, backoff: &mut Backoff) -> bool {
        if self.region.check_intact().is_err() {
            // It would only fail later.
            false
        } else if self.patience.is_zero() {
            repetition < IMPATIENT_REPETITIONS
        } else {
            backoff.pause()
        }
    }

    /// `seen`: the state in which the slot was seen to hold the key.
    #[inline]
    fn overwrite(&self, slot: SlotIndex, seen: Ctl, key: &[u8], request: &Request<'_>) -> Result<Step<Written>> {
        let region = self.region;
        if let Attempt::Dead(owner) = self.lock_slot(slot)? {
            return Ok(Step::Rescue(slot, owner));
        }
        // Relaxed: changed only under the lock that is held.
        let ctl = Ctl::from_bits(region.slot(slot).ctl.load(Ordering::Relaxed));
        let result = if ctl.sequence() != seen.sequence() && !region.holds(slot, ctl, key) || !ctl.is_live() {
            Ok(Step::Again)
        } else if region.is_expired(slot, ctl) {
            Ok(Step::Expired(slot))
        } else if !request.condition.holds(Some(ctl.epoch())) {
            let found = Some(ctl.epoch());
            Ok(Step::Done(Written::NotMet { found }))
        } else {
            self.overwrite_locked(slot, ctl, key, request).map(Step::Done)
        };
        self.unlock_slot(slot);
        if let Ok(Step::Done(Written::Done { .. })) = result {
            region.wake_pollers(slot);
            region.wake_followers();
        }
        result
    }

    /// The caller holds the slot's lock.
    #[inline]
    fn overwrite_locked(&self, slot: SlotIndex, ctl: Ctl, key: &[u8], request: &Request<'_>) -> Result<Written> {
        let region = self.region;
        let sterile = region.is_sterile();
        let old = ctl.buffer();
        let before = region.descriptor(slot, old);
        let number;
        let (parts, kind, integer) = match request.content {
            Content::Value(value) => (Parts::Whole(value), Change::Update, None),
            Content::Suffix(suffix) => {
                let before_bytes = region.value_bytes_capped(slot, old);
                self.check_length(before_bytes + suffix.len())?;
                // A value that came by an append has its start in the other buffer.
                let known = if before.is_appended() {
                    region.value_bytes_capped(slot, old.other())
                } else {
                    0
                };
                let parts = Parts::Longer {
                    known,
                    before: before_bytes,
                    suffix,
                };
                (parts, Change::Append, None)
            }
            Content::Integer(change) => {
                let integer = change(Some(region.read_integer(slot, old)?))?;
                number = integer.to_le_bytes();
                (Parts::Whole(&number), Change::Update, Some(integer))
            }
        };
        let is_append = kind == Change::Append;
        if is_append && !before.is_appended() {
            // Read only where a descriptor says that its value came by an append.
            region
                .attributes(slot)
                .appended_to
                .store(ctl.sequence(), Ordering::Relaxed);
        }
        region.announce(slot, ctl);
        let filled = region.fill(slot, old.other(), parts, key.len(), sterile);
        let value_type = match request.value_type {
            TypeChange::Keep { .. } => before.value_type(),
            TypeChange::Set(value_type) => value_type as u8,
        };
        let is_timed = match request.deadline {
            Deadline::Never => false,
            Deadline::Keep => {
                if before.is_timed() {
                    region.set_deadline(slot, old.other(), region.deadline(slot, old));
                }
                before.is_timed()
            }
            Deadline::At(deadline) => {
                region.set_deadline(slot, old.other(), deadline);
                // Now for those who come after our death, and below for those who look at this moment.
                region.note_deadline(deadline);
                true
            }
        };
        let filled = filled
            .with_type(value_type)
            .with_timed(is_timed)
            .with_appended(is_append)
            .with_pinned(before.is_pinned());
        let filled = region.with_checksum(slot, old.other(), filled, ctl.sequence() + 1);
        region.set_descriptor(slot, old.other(), filled);
        // The start of a longer value is no remains.
        let wipes = sterile && !is_append;
        let next = Ctl::published(ctl.sequence() + 1, true, wipes);
        region.check_intact()?;
        region.publish(slot, kind, next);
        if wipes {
            region.scrub(slot, old);
        } else if sterile && before.is_dirty() {
            region.scrub_tail(slot, old);
        }
        region.log(slot, kind, next.sequence());
        region.note_access(slot);
        // Also one that is kept: a sweep that saw only the buffer from which it was taken does not know of it.
        region.note_deadline_of(slot, next);
        Ok(Written::Done {
            epoch: next.epoch(),
            result: integer.unwrap_or(filled.value_bytes() as u64),
        })
    }

    fn insert(&self, key: Key<'_>, hash: u64, request: &Request<'_>) -> Result<Step<Written>> {
        let region = self.region;
        if !request.condition.holds(None) {
            let found = None;
            return region.check_intact().map(|()| Step::Done(Written::NotMet { found }));
        }
        let number;
        let (value, result) = match request.content {
            Content::Value(value) | Content::Suffix(value) => (value, value.len() as u64),
            Content::Integer(change) => {
                let integer = change(None)?;
                number = integer.to_le_bytes();
                (&number[..], integer)
            }
        };
        let home = region.home(hash);
        self.lock_stripe(home)?;
        let inserted = self.insert_under_stripe(key, hash, value, request);
        self.unlock_stripe(home);
        match inserted {
            Ok(Step::Done((slot, epoch))) => {
                region.wake_pollers(slot);
                region.wake_expectant(hash);
                region.wake_followers();
                Ok(Step::Done(Written::Done { epoch, result }))
            }
            Ok(Step::Again) => Ok(Step::Again),
            Ok(Step::Rescue(slot, owner)) => Ok(Step::Rescue(slot, owner)),
            Ok(Step::Expired(slot)) => Ok(Step::Expired(slot)),
            // A slot that a dead process was inserting or deleting is neither live nor free until it is repaired.
            Err(Error::Full { .. }) if self.clean_up()? || self.make_room()? => Ok(Step::Again),
            Err(error) => Err(error),
        }
    }

    fn insert_under_stripe(
        &self,
        key: Key<'_>,
        hash: u64,
        value: &[u8],
        request: &Request<'_>,
    ) -> Result<Step<(SlotIndex, u64)>> {
        let region = self.region;
        let header = region.header();
        let key = key.bytes();
        // Who inserts the same key holds the same stripe, so the answer cannot become wrong before ours is linked.
        if region.find(hash, key).is_some() {
            return Ok(Step::Again);
        }
        let slot = match self.take_free_slot()? {
            Step::Done(slot) => slot,
            Step::Rescue(slot, owner) => return Ok(Step::Rescue(slot, owner)),
            Step::Again | Step::Expired(_) => return Ok(Step::Again),
        };
        let words = region.slot(slot);
        let attributes = region.attributes(slot);
        let ctl = Ctl::from_bits(words.ctl.load(Ordering::Relaxed));
        // Above every sequence that this slot had, and that any deleted key had, this one among them: epochs never go
        // back. Acquire pairs with the release of a delete; that of this key happened under the stripe that is held.
        let floor = ctl.sequence().max(header.epoch_floor.load(Ordering::Acquire));
        let sequence = floor.saturating_add(1).max(request.sequence_min);
        let next = Ctl::published(sequence, true, false);
        region.announce(slot, ctl);
        region.mark_used(slot);
        attributes.hash.store(hash, Ordering::Relaxed);
        attributes
            .birth
            .store(header.births.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        attributes.inserted.store(sequence, Ordering::Relaxed);
        attributes.labels.store(0, Ordering::Relaxed);
        let sterile = region.is_sterile();
        // What a key that was deleted in throughput mode left here.
        region.zero_key(slot);
        if sterile {
            region.scrub(slot, next.buffer().other());
        }
        region.write_key(slot, key);
        let filled = region.fill(slot, next.buffer(), Parts::Whole(value), key.len(), sterile);
        let (TypeChange::Keep { initial: value_type } | TypeChange::Set(value_type)) = request.value_type;
        let is_timed = if let Deadline::At(deadline) = request.deadline {
            region.set_deadline(slot, next.buffer(), deadline);
            // As in an overwrite.
            region.note_deadline(deadline);
            true
        } else {
            false
        };
        let filled = filled.with_type(value_type as u8).with_timed(is_timed);
        let filled = region.with_checksum(slot, next.buffer(), filled, sequence);
        region.set_descriptor(slot, next.buffer(), filled);
        // Release: whoever finds the slot through the index, or takes over after our death, sees the hash.
        fence(Ordering::Release);
        if let Err(error) = region.link(hash, slot).and_then(|()| region.check_intact()) {
            region.zero_key(slot);
            words.ctl.store(ctl.settled().bits(), Ordering::Release);
            region.mark_free(slot);
            self.unlock_slot(slot);
            return Err(error);
        }
        region.publish(slot, Change::Insert, next);
        region.log(slot, Change::Insert, sequence);
        region.note_access(slot);
        region.note_deadline_of(slot, next);
        self.unlock_slot(slot);
        Ok(Step::Done((slot, next.epoch())))
    }

    /// Takes the lock of a slot that holds no key and has space behind it.
    fn take_free_slot(&self) -> Result<Step<SlotIndex>> {
        let region = self.region;
        let words = region.free_words();
        let first = region.header().free_hint.load(Ordering::Relaxed) as usize % words;
        let mut contended = false;
        let mut no_space = None;
        for word_index in (first..words).chain(0..first) {
            let mut free = region.free_word(word_index).load(Ordering::Acquire);
            while free != 0 {
                let bit = free.trailing_zeros();
                free &= free - 1;
                let Some(slot) = region.slot_index(word_index as u32 * 64 + bit) else {
                    break;
                };
                // Once the disk is full, only slots that have space already will do.
                if no_space.is_some() && !region.is_reserved(slot) {
                    continue;
                }
                match self.try_lock(&region.slot(slot).lock) {
                    Attempt::Taken => {}
                    Attempt::Dead(owner) => return Ok(Step::Rescue(slot, owner)),
                    Attempt::Held => {
                        contended = true;
                        continue;
                    }
                }
                if Ctl::from_bits(region.slot(slot).ctl.load(Ordering::Relaxed)).is_live() {
                    self.unlock_slot(slot);
                    continue;
                }
                match region.reserve(slot) {
                    Ok(()) => {
                        region.header().free_hint.store(word_index as u32, Ordering::Relaxed);
                        return Ok(Step::Done(slot));
                    }
                    Err(error) => {
                        self.unlock_slot(slot);
                        if error != Error::NoSpace {
                            return Err(error);
                        }
                        no_space = Some(error);
                    }
                }
            }
        }
        match no_space {
            Some(error) => Err(error),
            None if contended && !self.patience.is_zero() => Ok(Step::Again),
            None if contended => Err(Error::Busy {
                what: "the last free slots are in other hands",
            }),
            None => Err(Error::Full {
                slots: region.geometry().slots(),
            }),
        }
    }

    /// Deletes a key if it is there and the condition holds.
    pub(crate) fn remove(&self, target: &Target<'_>, condition: Condition) -> Result<Removed> {
        let region = self.region;
        let Target { key, hash, .. } = *target;
        let home = region.home(hash);
        let mut backoff = Backoff::new(self.patience);
        let mut starving = None;
        let result = loop {
            if region.locate(target).is_none() {
                let absent = Removed::NotMet { found: None };
                break region.check_intact().and_then(|()| region.key(key)).map(|_| absent);
            }
            if let Err(error) = self.lock_stripe(home) {
                break Err(error);
            }
            // Nobody can insert or delete the key while the stripe is held.
            let Some((slot, _)) = region.locate(target) else {
                self.unlock_stripe(home);
                break Ok(Removed::NotMet { found: None });
            };
            let attempt = self.try_lock(&region.slot(slot).lock);
            if attempt == Attempt::Taken {
                let ctl = Ctl::from_bits(region.slot(slot).ctl.load(Ordering::Relaxed));
                let removed = if !region.holds(slot, ctl, key) {
                    Removed::NotMet { found: None }
                } else if region.is_expired(slot, ctl) {
                    self.delete(slot, ctl, hash, Change::Expire);
                    Removed::NotMet { found: None }
                } else if condition.holds(Some(ctl.epoch())) {
                    self.delete(slot, ctl, hash, Change::Unset)
                } else {
                    let found = Some(ctl.epoch());
                    Removed::NotMet { found }
                };
                self.unlock_slot(slot);
                self.unlock_stripe(home);
                region.wake_pollers(slot);
                region.wake_followers();
                break region.check_intact().map(|()| removed);
            }
            self.unlock_stripe(home);
            if let Attempt::Dead(owner) = attempt {
                if let Err(error) = self.rescue(slot, owner) {
                    break Err(error);
                }
                continue;
            }
            if self.patience.is_zero() || !backoff.pause() {
                break Err(Error::Busy {
                    what: "another writer is changing this key",
                });
            }
            // A writer that hammers the key would win for ever. Repeated, because whoever lost patience with us has
            // cleared it.
            if let Some(before) = starving.replace(slot)
                && before != slot
            {
                region.slot(before).waiters.fetch_and(!STARVING, Ordering::Relaxed);
            }
            region.slot(slot).waiters.fetch_or(STARVING, Ordering::Relaxed);
        };
        if let Some(slot) = starving {
            region.slot(slot).waiters.fetch_and(!STARVING, Ordering::Relaxed);
        }
        result
    }

    /// Deletes the key of a slot, whichever it is, if it is one that is `meant`, by the state in which it is found under all
    /// locks. Returns whether it was. Does not wait for a slot that somebody else has locked.
    pub(crate) fn remove_from(&self, slot: SlotIndex, kind: Change, meant: impl Fn(Ctl) -> bool) -> Result<bool> {
        let region = self.region;
        loop {
            // Acquire pairs with the fence of an insert. If the slot changes hands before the stripe is held, it is seen below.
            let hash = region.attributes(slot).hash.load(Ordering::Acquire);
            let home = region.home(hash);
            self.lock_stripe(home)?;
            let attempt = self.try_lock(&region.slot(slot).lock);
            let mut is_removed = false;
            if attempt == Attempt::Taken {
                let ctl = Ctl::from_bits(region.slot(slot).ctl.load(Ordering::Relaxed));
                let is_same = region.attributes(slot).hash.load(Ordering::Relaxed) == hash;
                if ctl.is_live() && is_same && meant(ctl) && region.check_intact().is_ok() {
                    self.delete(slot, ctl, hash, kind);
                    is_removed = true;
                }
                self.unlock_slot(slot);
            }
            self.unlock_stripe(home);
            if let Attempt::Dead(owner) = attempt {
                self.rescue(slot, owner)?;
                continue;
            }
            if is_removed {
                region.wake_pollers(slot);
                region.wake_followers();
            }
            return Ok(is_removed);
        }
    }

    /// Deletes a live slot's key. The caller holds the slot's lock and the stripe of its hash.
    fn delete(&self, slot: SlotIndex, ctl: Ctl, hash: u64, kind: Change) -> Removed {
        let region = self.region;
        let value_bytes = region.value_bytes_capped(slot, ctl.buffer());
        let sterile = region.is_sterile();
        let next = Ctl::published(ctl.sequence() + 1, false, sterile);
        // Before the delete is seen, so that whoever inserts the key again starts above it.
        region
            .header()
            .epoch_floor
            .fetch_max(next.sequence(), Ordering::Release);
        region.publish(slot, kind, next);
        self.clear(slot, hash, sterile);
        region.log(slot, kind, next.sequence());
        region.mark_free(slot);
        Removed::Done {
            epoch: next.epoch(),
            value_bytes,
        }
    }

    /// Takes a slot that is not live out of the index and, in sterile mode, leaves no byte of what it held. Can be
    /// repeated. The caller holds the slot's lock and the stripe of its hash.
    pub(crate) fn clear(&self, slot: SlotIndex, hash: u64, sterile: bool) {
        let region = self.region;
        region.unlink(hash, slot);
        if sterile {
            region.scrub(slot, Buffer::Even);
            region.scrub(slot, Buffer::Odd);
            region.erase_key(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_change_is_known_by_its_sequence() {
        let note = pending(Change::Unset, 0x1234_5678_9abc);
        assert_eq!(pending_kind(note, 0x1234_5678_9abc), Some(Change::Unset));
        assert_eq!(pending_kind(note, 0x1234_5678_9abd), None);
        assert_eq!(pending_kind(0, 0), None);
    }
}
