//! Labels: 64 marks that a key can have or not have, with names that the store keeps; and the pin.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::key::Target;
use crate::layout::LABELS;
use crate::region::Region;
use crate::store::Store;
use crate::sync::{Ordering, fence};

/// Longest name of a label in bytes.
pub const LABEL_BYTES_MAX: usize = 56;
/// `LabelName::state`: the length below, renamings above.
const LENGTH_MASK: u64 = 0xff;
const LENGTH_BITS: u32 = 8;
/// Attempts to read a name while it is being changed.
const LOOKS: u32 = 64;

impl Store {
    /// The labels of a key, one bit each; `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// As for [`Self::get`].
    pub fn labels(&self, key: impl AsRef<[u8]>) -> Result<Option<u64>> {
        self.read(&self.target(key.as_ref()), |view| Ok(view.labels()))
    }

    /// Gives a key labels and takes others from it, as one step: `remove` first, then `add`, one bit each. Returns all that it
    /// has then; `None` if there is no such key.
    ///
    /// Value and epoch stay as they are. A key keeps its labels over [`Self::set`], until it is deleted.
    ///
    /// # Errors
    ///
    /// As for [`Self::unset`].
    pub fn label(&self, key: impl AsRef<[u8]>, add: u64, remove: u64) -> Result<Option<u64>> {
        self.label_at(&self.target(key.as_ref()), add, remove)
    }

    pub(crate) fn label_at(&self, target: &Target<'_>, add: u64, remove: u64) -> Result<Option<u64>> {
        let writer = self.writer()?;
        let mut now = 0;
        let found = writer.change_attributes(target, |slot, _| {
            let labels = &writer.region.attributes(slot).labels;
            let before = labels.load(Ordering::Relaxed);
            now = before & !remove | add;
            labels.store(now, Ordering::Relaxed);
            now != before
        });
        Ok(self.committed(found)?.map(|_| now))
    }

    /// Sets whether a key is pinned: never evicted ([`crate::Eviction`]). Returns whether there is such a key.
    ///
    /// # Errors
    ///
    /// As for [`Self::unset`].
    pub fn pin(&self, key: impl AsRef<[u8]>, pinned: bool) -> Result<bool> {
        let writer = self.writer()?;
        let found = writer.change_attributes(&self.target(key.as_ref()), |slot, ctl| {
            let descriptor = writer.region.descriptor(slot, ctl.buffer());
            writer
                .region
                .set_descriptor(slot, ctl.buffer(), descriptor.with_pinned(pinned));
            descriptor.is_pinned() != pinned
        });
        self.committed(found).map(|found| found.is_some())
    }

    /// Names a label, by its number from 0 to 63, for all processes; an empty name takes the old one away.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if there is no such number, if the name has more than [`LABEL_BYTES_MAX`] bytes or a NUL, or
    /// if another label has it. [`Error::Permission`] on a read-only handle, [`Error::Busy`], [`Error::Corrupt`].
    pub fn name_label(&self, label: u32, name: &str) -> Result<()> {
        let refused = |reason: &'static str| Error::InvalidArgument { reason: reason.into() };
        if label >= LABELS {
            return Err(refused("labels are numbered from 0 to 63"));
        }
        if name.len() > LABEL_BYTES_MAX || name.contains('\0') {
            return Err(refused("a label's name has at most 56 bytes, none of them NUL"));
        }
        let writer = self.writer()?;
        let region = writer.region;
        // Any lock that all who name labels take, and that is taken over from the dead.
        writer.lock_stripe(0)?;
        let is_taken = !name.is_empty()
            && (0..LABELS).any(|other| other != label && region.read_label(other).as_deref() == Some(name));
        if !is_taken {
            region.write_label(label, name.as_bytes());
        }
        writer.unlock_stripe(0);
        self.committed(region.check_intact())?;
        if is_taken {
            return Err(refused("another label has this name"));
        }
        Ok(())
    }

    /// The labels that have names, with these.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the file was cut while it was open.
    pub fn label_names(&self) -> Result<Vec<(u32, String)>> {
        let region = self.region();
        let names = (0..LABELS).filter_map(|label| Some((label, region.read_label(label)?)));
        let names = names.collect();
        region.check_intact().map(|()| names)
    }
}

impl Region {
    /// A label's name, if it has one.
    fn read_label(&self, label: u32) -> Option<String> {
        let record = self.label_name(label);
        for _ in 0..LOOKS {
            // Acquire, and the fence below: the bytes are those of this state if it is the same again.
            let state = record.state.load(Ordering::Acquire);
            let bytes = (state & LENGTH_MASK) as usize;
            if bytes == 0 || bytes > LABEL_BYTES_MAX {
                return None;
            }
            let mut name = Vec::with_capacity(LABEL_BYTES_MAX);
            for word in &record.names[(state >> LENGTH_BITS & 1) as usize] {
                name.extend(word.load(Ordering::Relaxed).to_le_bytes());
            }
            name.truncate(bytes);
            fence(Ordering::Acquire);
            if record.state.load(Ordering::Relaxed) == state {
                return String::from_utf8(name).ok();
            }
        }
        None
    }

    /// Writes a name where nobody reads, and then says by one store that it holds. The caller holds the lock of names.
    pub(crate) fn write_label(&self, label: u32, name: &[u8]) {
        let record = self.label_name(label);
        let renamings = (record.state.load(Ordering::Relaxed) >> LENGTH_BITS).wrapping_add(1);
        let [even, odd] = &record.names;
        let (new, old) = if renamings & 1 == 0 { (even, odd) } else { (odd, even) };
        let mut bytes = [0; LABEL_BYTES_MAX];
        bytes[..name.len()].copy_from_slice(name);
        for (word, bytes) in new.iter().zip(bytes.as_chunks::<8>().0) {
            word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        let state = renamings << LENGTH_BITS | name.len() as u64;
        record.state.store(state, Ordering::Release);
        // Whoever sees the old name go sees that it holds no more.
        fence(Ordering::Release);
        for word in old {
            word.store(0, Ordering::Relaxed);
        }
    }
}
