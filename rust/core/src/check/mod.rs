//! Looking a store over, and mending what can be mended.
//!
//! A check takes no word of the region on trust, and compares each with those that must agree with it. Others may write
//! meanwhile: what looks wrong counts only if the slot was at rest and did not change while it was looked at, and otherwise is
//! looked at again, at last under its lock. What spans slots (the index, the journal) is looked at again while nobody
//! inserts or deletes, or until nothing has moved.
//!
//! What is derived from the slots can be made anew: index, counts, map of free slots. A value has no second copy and no
//! checksum, so that a changed byte in it is not even noticed.

#![forbid(unsafe_code)]

mod examine;
mod mend;
mod report;

use std::collections::HashSet;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::handles::{INCARNATION_MASK, Token};
use crate::journal::LAP_MASK;
use crate::layout::{FLAG_AUTO_VACUUM, FLAG_CHECKSUMS, HANDLES, Identity, STRIPES};
use crate::lock::{Attempt, Writer};
use crate::region::{Region, SlotIndex};
use crate::store::Store;
use crate::sync::{Ordering, fence};

pub use report::{CellFault, CheckReport, Finding, RepairReport};

/// How often something is looked at without a lock before it is locked, or left undecided.
const LOOKS: u32 = 16;
/// How far the journal's hint may lag behind before it is told: it is advanced by every eighth entry, unless its writer dies.
const HINT_LAG_MAX: u64 = 256;
/// Chunks behind its home where a key is looked for. In half-empty chunks it is never so far.
const REACH_MAX: usize = 1024;
/// Slots that are looked for in the journal once more.
const SUSPECTS_MAX: usize = 4096;
/// Counters that count single events do not get so far.
const COUNTER_MAX: u64 = 1 << 60;

impl Store {
    /// Looks over every part of the store, while others go on using it, and reports what is wrong. Changes nothing but, on a
    /// handle that may write, locks for a moment what looks wrong or never rests.
    ///
    /// It reads all space that is reserved for values, but cannot tell whether a value is the one that was set.
    ///
    /// ```
    /// # let store = splinter::OpenOptions::new().anonymous()?;
    /// store.set("k", "v")?;
    /// let report = store.check()?;
    /// assert!(report.is_clean(), "{:?}", report.findings);
    /// assert_eq!(report.keys, 1);
    /// # Ok::<(), splinter::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the file was cut while it was open, [`Error::NoSpace`] if there is no memory for the check.
    pub fn check(&self) -> Result<CheckReport> {
        let mut check = Check {
            region: self.region(),
            writer: self.writer().ok(),
            report: CheckReport::default(),
            waiting_since: None,
        };
        check.header();
        check.handles();
        check.stripes();
        check.slots();
        check.index()?;
        check.journal()?;
        self.region().check_intact().map(|()| check.report)
    }

    /// Checks the store, mends what can be mended, and checks it again: what each [`Finding`] says. Others may go on using it;
    /// nobody inserts or deletes for a moment.
    ///
    /// What the slots tell is made anew from them (index, counts, map of free slots); what killed processes left is finished.
    /// A damaged value is not noticed, a damaged key cannot be repaired.
    ///
    /// # Errors
    ///
    /// As for [`Self::check`]; [`Error::Permission`] on a read-only handle; [`Error::Busy`] if others did not let go for as
    /// long as the lock timeout.
    pub fn repair(&self) -> Result<RepairReport> {
        let writer = self.writer()?;
        let found = self.check()?;
        if !found.is_clean() {
            writer.rescue_all()?;
            writer.clean_up()?;
            writer.under_all_stripes(|| writer.mend_slots_and_index())??;
            writer.mend_journal();
            self.region().wake_followers();
        }
        let left = self.check()?;
        Ok(RepairReport { found, left })
    }
}

/// A check that is under way.
struct Check<'a> {
    region: &'a Region,
    /// None on a read-only handle.
    writer: Option<Writer<'a>>,
    report: CheckReport,
    /// When it first had to wait: patience is for the whole check.
    waiting_since: Option<Instant>,
}

/// What one look at a slot came to.
enum Look {
    Rested(Vec<Finding>),
    Moved,
}

impl Check<'_> {
    fn me(&self) -> Token {
        self.writer.map_or(Token::from_bits(0), |writer| writer.me)
    }

    /// The writer with what is left of its patience.
    fn writer(&mut self) -> Option<Writer<'_>> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let writer = self.writer?;
        Some(Writer {
            patience: writer.patience.saturating_sub(since.elapsed()),
            ..writer
        })
    }

    fn header(&mut self) {
        let region = self.region;
        let header = region.header();
        let mut start = [0; 128];
        let identity = region
            .file()
            .metadata()
            .and_then(|metadata| region.file().read_exact_at(&mut start, 0).map(|()| metadata.len()))
            .map_err(|error| Error::from_os("read the store", &error))
            .and_then(|bytes| Identity::decode(&start, bytes));
        match identity {
            Err(error) => self.report.push(Finding::Identity { error }),
            Ok(identity) if identity.geometry != *region.geometry() || identity.store_id != region.store_id() => {
                self.report.push(Finding::Identity {
                    error: Error::Incompatible {
                        reason: "it is that of another store".into(),
                    },
                });
            }
            Ok(_) => {}
        }
        let flags = header.flags.load(Ordering::Relaxed);
        if flags & !(FLAG_AUTO_VACUUM | FLAG_CHECKSUMS) != 0 {
            self.report.push(Finding::Flags { flags });
        }
        let counters = [
            ("births", &header.births),
            ("epoch_floor", &header.epoch_floor),
            ("incarnations", &header.incarnations),
        ];
        for (name, counter) in counters {
            let value = counter.load(Ordering::Relaxed);
            if value > COUNTER_MAX {
                self.report.push(Finding::Counter { name, value });
            }
        }
        let in_last_word = region.geometry().slots() % 64;
        if in_last_word != 0 {
            let word = region.free_word(region.free_words() - 1).load(Ordering::Relaxed);
            if word >> in_last_word != 0 {
                self.report.push(Finding::FreeMapEnd { word });
            }
        }
    }

    fn handles(&mut self) {
        let region = self.region;
        let me = self.me();
        let mut seen = HashSet::new();
        for index in 0..HANDLES {
            let handle = region.handle(index);
            let incarnation = handle.incarnation.load(Ordering::Acquire);
            if incarnation == 0 {
                continue;
            }
            let pid = handle.pid.load(Ordering::Relaxed);
            let is_alive = index == me.index() || region.is_held(index);
            // Looked at again: it may have been closed meanwhile, and the place have been taken by another.
            if handle.incarnation.load(Ordering::Acquire) != incarnation {
                self.report.handles += 1;
                continue;
            }
            self.report.handles += u32::from(is_alive);
            // After the number itself, which was drawn from it.
            let last = region.header().incarnations.load(Ordering::Relaxed) & INCARNATION_MASK;
            let place = index as u32;
            if incarnation > last || !seen.insert(incarnation) {
                self.report.push(Finding::HandleNumber { place, incarnation });
            } else if !is_alive {
                self.report.push(Finding::DeadHandle { place, pid });
            }
        }
    }

    fn stripes(&mut self) {
        for index in 0..STRIPES {
            let lock = &self.region.stripe(index).lock;
            let owner = lock.load(Ordering::Relaxed);
            if owner != 0
                && self.region.is_dead(self.me(), Token::from_bits(owner))
                && lock.load(Ordering::Relaxed) == owner
            {
                let stripe = index as u32;
                self.report.push(Finding::DeadStripe { stripe, owner });
            }
        }
    }

    fn slots(&mut self) {
        self.report.slots = self.region.geometry().slots();
        for slot in self.region.slot_indices() {
            let findings = self.slot(slot);
            self.report.extend(findings);
            let ctl = self.region.ctl(slot);
            if ctl.is_live() {
                let value_bytes = self.region.descriptor(slot, ctl.buffer()).value_bytes();
                self.report.keys += 1;
                self.report.value_bytes += value_bytes.min(self.region.geometry().max_value_bytes() as usize) as u64;
            }
        }
    }

    /// What is wrong with a slot for sure.
    fn slot(&mut self, slot: SlotIndex) -> Vec<Finding> {
        for _ in 0..LOOKS {
            if let Look::Rested(findings) = self.look(slot) {
                return findings;
            }
            std::thread::yield_now();
        }
        let region = self.region;
        let Some(writer) = self.writer() else {
            self.report.undecided += 1;
            return Vec::new();
        };
        match writer.lock_slot(slot) {
            Ok(Attempt::Taken | Attempt::Held) => {
                let mut leftover = false;
                let findings = region.examine(slot, region.ctl(slot), &mut leftover);
                writer.unlock_slot(slot);
                self.report.leftovers += u32::from(leftover);
                findings
            }
            Ok(Attempt::Dead(owner)) => vec![dead_lock(slot, owner.bits())],
            Err(_) => {
                self.report.undecided += 1;
                Vec::new()
            }
        }
    }

    fn look(&mut self, slot: SlotIndex) -> Look {
        let region = self.region;
        let words = region.slot(slot);
        let lock = &words.lock;
        // Acquire: who sees the lock free sees what its last owner did.
        let owner = lock.load(Ordering::Acquire);
        if owner != 0 {
            let is_dead = region.is_dead(self.me(), Token::from_bits(owner));
            return if is_dead && lock.load(Ordering::Relaxed) == owner {
                Look::Rested(vec![dead_lock(slot, owner)])
            } else {
                Look::Moved
            };
        }
        let ctl = region.ctl(slot);
        let pending = words.pending.load(Ordering::Relaxed);
        let mut leftover = false;
        let findings = region.examine(slot, ctl, &mut leftover);
        // Whoever changes anything of a slot has its lock, and leaves another `ctl` behind, or, if he changes attributes,
        // another note than was there meanwhile. The fence keeps these looks behind the others; acquire, and so the lock first:
        // who sees it free again sees what was left.
        fence(Ordering::Acquire);
        let is_locked = lock.load(Ordering::Acquire) != 0;
        if is_locked || region.ctl(slot) != ctl || words.pending.load(Ordering::Relaxed) != pending {
            return Look::Moved;
        }
        self.report.leftovers += u32::from(leftover);
        Look::Rested(findings)
    }

    fn index(&mut self) -> Result<()> {
        let mut findings = self.region.examine_index(self.me())?;
        if findings.is_clean() {
            return Ok(());
        }
        let (region, me) = (self.region, self.me());
        if let Some(writer) = self.writer() {
            match writer.under_all_stripes(|| region.examine_index(me)) {
                Ok(firm) => findings = firm?,
                Err(_) => {
                    self.report.undecided += 1;
                    return Ok(());
                }
            }
        } else {
            let mut looks = 0;
            loop {
                let before = region.quiet(me);
                findings = region.examine_index(me)?;
                if before.is_some() && region.quiet(me) == before {
                    break;
                }
                looks += 1;
                if looks == LOOKS {
                    self.report.undecided += 1;
                    return Ok(());
                }
                std::thread::yield_now();
            }
        }
        self.report.extend(findings.findings);
        self.report.omitted += findings.omitted;
        Ok(())
    }

    fn journal(&mut self) -> Result<()> {
        let region = self.region;
        let Some(end) = region.believed_end() else {
            let tail = region.header().journal_tail.load(Ordering::Relaxed);
            self.report.push(Finding::JournalTail { tail });
            return Ok(());
        };
        // Relaxed: read after the end was, so that it can only have come nearer to it.
        let tail = region.header().journal_tail.load(Ordering::Relaxed);
        if end.saturating_sub(tail) > HINT_LAG_MAX {
            self.report.push(Finding::JournalTail { tail });
        }
        let mut newest: Vec<u64> = Vec::new();
        let slots = region.geometry().slots() as usize;
        newest.try_reserve_exact(slots).map_err(|_| Error::NoSpace)?;
        newest.resize(slots, 0);
        let entries = u64::from(region.geometry().journal_entries());
        for position in end.saturating_sub(entries)..end.max(entries) {
            let word = region.journal_entry(position).load(Ordering::Acquire);
            match region.journal_fault(position, word) {
                Some(finding) => self.report.push(finding),
                None if position >= end => {}
                None => {
                    self.report.journal_entries += 1;
                    if let Some(entry) = region.journal_entry_of(word) {
                        newest[entry.slot.get() as usize] = position + 1;
                    } else if is_blank(word) {
                        self.report.blank_entries += 1;
                    }
                }
            }
        }
        let suspects: Vec<_> = region
            .slot_indices()
            .filter(|&slot| {
                let position = newest[slot.get() as usize].checked_sub(1);
                !region.journal_tells(position, region.ctl(slot))
            })
            .take(SUSPECTS_MAX)
            .collect();
        self.suspects(suspects);
        Ok(())
    }

    /// Looks for the last changes of some slots in the journal, until they are found or surely not there.
    fn suspects(&mut self, mut suspects: Vec<SlotIndex>) {
        let region = self.region;
        for _ in 0..LOOKS {
            if suspects.is_empty() {
                return;
            }
            let at_rest = |slot: SlotIndex| {
                // Acquire: who sees the lock free sees what its last owner told the journal.
                let is_free = region.slot(slot).lock.load(Ordering::Acquire) == 0;
                is_free.then(|| region.ctl(slot))
            };
            let before: Vec<_> = suspects.iter().map(|&slot| at_rest(slot)).collect();
            let newest = region.newest_entries(&suspects.iter().copied().collect());
            let mut moved = Vec::new();
            for (slot, before) in suspects.into_iter().zip(before) {
                match before {
                    Some(ctl) if at_rest(slot) == before => {
                        if !region.journal_tells(newest.get(&slot.get()).copied(), ctl) {
                            self.report.push(Finding::Unjournaled {
                                slot: slot.get(),
                                sequence: ctl.sequence(),
                            });
                        }
                    }
                    // The dead are told of already.
                    _ if self.is_of_the_dead(slot) => {}
                    _ => moved.push(slot),
                }
            }
            suspects = moved;
        }
    }

    fn is_of_the_dead(&self, slot: SlotIndex) -> bool {
        let owner = self.region.slot(slot).lock.load(Ordering::Relaxed);
        owner != 0 && self.region.is_dead(self.me(), Token::from_bits(owner))
    }
}

fn dead_lock(slot: SlotIndex, owner: u64) -> Finding {
    Finding::DeadLock {
        slot: slot.get(),
        owner,
    }
}

/// An entry of which nothing is left but that there was one.
fn is_blank(word: u64) -> bool {
    word & !LAP_MASK == 0
}
