//! Copying a live store.

#![forbid(unsafe_code)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::create::{Unpublished, directory_of};
use crate::error::{Error, Result};
use crate::key::Target;
use crate::layout::FLAG_AUTO_VACUUM;
use crate::options::{OpenOptions, file_path};
use crate::region::Region;
use crate::store::Store;
use crate::sync::Ordering;
use crate::write::{Deadline, Request, TypeChange};

impl Store {
    /// Copies the store to a new file, key by key, while others go on writing.
    ///
    /// Each key is copied as one write left it, with its epoch; keys are copied one after the other, so two of them may be
    /// of different moments, and a key that is deleted after it was copied is in the copy. The file appears when it is
    /// complete and on the disk. It has the geometry and the access rights of this store.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if anything has that name; [`Error::NoSpace`], [`Error::Permission`], [`Error::Io`],
    /// [`Error::Corrupt`]. Nothing is left behind then.
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = &file_path(path.as_ref())?;
        let io = |error| Error::from_os("write the backup", &error);
        let mode = self.region().file().metadata().map_err(io)?.permissions().mode();
        let unpublished = Unpublished::new(path, mode & 0o777)?;
        let flags = if self.auto_vacuum()? { FLAG_AUTO_VACUUM } else { 0 };
        Region::format(unpublished.file(), *self.geometry(), flags, self.eviction()?)?;
        let file = unpublished.file().try_clone().map_err(io)?;
        let copy = OpenOptions::new().attach(file, path.clone())?;
        self.copy_keys(&copy)?;
        copy.region().sync()?;
        copy.close();
        unpublished.file().sync_all().map_err(io)?;
        unpublished.publish()?;
        // The name itself must survive a power cut too.
        std::fs::File::open(directory_of(path))
            .and_then(|directory| directory.sync_all())
            .map_err(io)
    }

    fn copy_keys(&self, copy: &Self) -> Result<()> {
        let writer = copy.writer()?;
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let mut floor = 0;
        for slot in self.region().slot_indices() {
            let found = self.read_slot(slot, |view| {
                view.copy_key(&mut key);
                view.copy_to_vec(&mut value)?;
                let deadline = view.deadline().map_or(Deadline::Never, Deadline::At);
                let value_type = TypeChange::Set(view.value_type());
                let rest = (view.labels(), view.is_pinned(), view.is_expired());
                Ok((view.ctl.sequence(), deadline, value_type, rest))
            })?;
            let Some((sequence_min, deadline, value_type, (labels, is_pinned, is_expired))) = found else {
                continue;
            };
            if is_expired {
                // As if it had been deleted, which would have taken it one further.
                floor = floor.max(sequence_min.saturating_add(1));
                continue;
            }
            let target = Target::new(copy.region(), &key);
            let request = Request {
                sequence_min,
                deadline,
                value_type,
                ..Request::set(&value)
            };
            writer.write(&target, &request)?;
            copy.label_at(&target, labels, 0)?;
            if is_pinned {
                copy.pin(&key, true)?;
            }
        }
        for (label, name) in self.label_names()? {
            copy.name_label(label, &name)?;
        }
        // So that epochs do not go back in the copy either, for keys that are inserted there again.
        let floor = floor.max(self.region().header().epoch_floor.load(Ordering::Relaxed));
        copy.region().header().epoch_floor.fetch_max(floor, Ordering::Relaxed);
        Ok(())
    }
}
