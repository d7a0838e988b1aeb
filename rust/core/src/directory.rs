//! Who lives in which slot: what a follower of the journal must remember, because the journal has no keys.
//!
//! An entry names a slot. Which key that was is told by the slot itself for as long as the key is there, and afterwards only
//! by the memory of those who saw it: in sterile mode nothing of a deleted key is left. So a follower looks at all slots
//! that matter to it when it begins, and from then on reads a slot once for each key that comes.

#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::journal::{Change, Entry};
use crate::region::SlotIndex;
use crate::store::Store;

/// A key in its slot.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) key: Arc<str>,
    /// Sequence of the insert that brought it.
    inserted: u64,
    /// Greatest sequence that entries have told of it, or that it had when it was found.
    pub(crate) last: u64,
}

/// Knowledge about one slot.
#[derive(Debug, Clone, Default)]
enum Knowledge {
    #[default]
    None,
    /// Whoever lives there does not matter, until somebody else moves in.
    Irrelevant,
    Tenant(Box<Tenant>),
}

/// Whom a look into a slot has found.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) tenant: Tenant,
    /// Whether he was not known before.
    pub(crate) is_new: bool,
}

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A key that matters, and its sequence after the change.
    Key(Arc<str>, u64),
    Irrelevant,
    /// A key that was gone before anybody looked.
    Vanished,
}

/// What is known about the slots of a store.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    slots: Vec<Knowledge>,
}

impl Directory {
    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.slots = Vec::new();
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Tenant> {
        std::mem::take(&mut self.slots)
            .into_iter()
            .filter_map(|knowledge| match knowledge {
                Knowledge::Tenant(tenant) => Some(*tenant),
                Knowledge::None | Knowledge::Irrelevant => None,
            })
    }

    fn at(&mut self, slot: SlotIndex) -> &mut Knowledge {
        let index = slot.get() as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Knowledge::default);
        }
        &mut self.slots[index]
    }

    /// Looks who lives in a slot, and remembers him if he matters.
    ///
    /// Whom it knew there stays, for entries that are still to be read may be about him. If somebody else lives there by now,
    /// they will tell of it; until then he is not there.
    pub(crate) fn look(
        &mut self,
        store: &Store,
        slot: SlotIndex,
        matters: impl FnOnce(&str) -> bool,
    ) -> Result<Option<Seen>> {
        let Some(tenant) = tenant(store, slot)? else {
            return Ok(None);
        };
        if !matters(&tenant.key) {
            return Ok(None);
        }
        let known = self.at(slot);
        let is_new = match known {
            Knowledge::Tenant(known) if known.inserted != tenant.inserted => return Ok(None),
            Knowledge::Tenant(_) => false,
            Knowledge::None | Knowledge::Irrelevant => {
                *known = Knowledge::Tenant(Box::new(tenant.clone()));
                true
            }
        };
        Ok(Some(Seen { tenant, is_new }))
    }

    /// Tells what an entry is about. Entries must come in the order of the journal.
    pub(crate) fn subject(
        &mut self,
        store: &Store,
        entry: Entry,
        matters: impl FnOnce(&str) -> bool,
    ) -> Result<Subject> {
        let known = self.at(entry.slot);
        if entry.kind == Change::Insert {
            match known {
                // Somebody moved in after one whose going we did not hear of; or the one whom we know moves in only now,
                // because we looked into the slot before we read of it; or an earlier one does, for the same reason.
                Knowledge::Tenant(tenant) if entry.sequence_near(tenant.last) > tenant.last => *known = Knowledge::None,
                Knowledge::Tenant(_) => {}
                Knowledge::Irrelevant | Knowledge::None => *known = Knowledge::None,
            }
        }
        if let Knowledge::None = known {
            *known = match tenant(store, entry.slot)? {
                Some(tenant) if entry.sequence_until(tenant.last) < tenant.inserted => return Ok(Subject::Vanished),
                Some(tenant) if matters(&tenant.key) => Knowledge::Tenant(Box::new(tenant)),
                Some(_) => Knowledge::Irrelevant,
                None => return Ok(Subject::Vanished),
            };
        }
        let is_end = entry.kind.is_end();
        match known {
            Knowledge::Tenant(tenant) => {
                let sequence = entry.sequence_near(tenant.last);
                if sequence < tenant.inserted {
                    return Ok(Subject::Vanished);
                }
                tenant.last = tenant.last.max(sequence);
                let key = tenant.key.clone();
                if is_end {
                    *known = Knowledge::None;
                }
                Ok(Subject::Key(key, sequence))
            }
            Knowledge::Irrelevant | Knowledge::None => {
                if is_end {
                    *known = Knowledge::None;
                }
                Ok(Subject::Irrelevant)
            }
        }
    }
}

/// Who lives in a slot now. A slot that cannot be read because of what somebody wrote there is as good as empty.
fn tenant(store: &Store, slot: SlotIndex) -> Result<Option<Tenant>> {
    let region = store.region();
    let mut key = Vec::new();
    let found = store.read_slot(slot, |view| {
        view.copy_key(&mut key);
        Ok((view.inserted(), view.ctl.sequence()))
    });
    let (inserted, last) = match found {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(None),
        Err(Error::Corrupt { .. }) => return region.check_intact().map(|()| None),
        Err(error) => return Err(error),
    };
    let Some(key) = region
        .key(&key)
        .ok()
        .and_then(|key| std::str::from_utf8(key.bytes()).ok())
    else {
        region.count_parse_failure();
        return Ok(None);
    };
    Ok(Some(Tenant {
        key: key.into(),
        inserted,
        last,
    }))
}
