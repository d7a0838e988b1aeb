//! Files that appear complete or not at all.

#![forbid(unsafe_code)]

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::sys;

/// A file that has no name yet, or only a temporary one; it vanishes unless it is published.
pub(crate) struct Unpublished {
    file: File,
    path: PathBuf,
    /// The temporary name where the file system has no files without names.
    temporary: Option<PathBuf>,
}

impl Unpublished {
    /// Begins a file that is to appear under `path`, where nothing may be.
    pub(crate) fn new(path: &Path, mode: u32) -> Result<Self> {
        // Not only for speed: the answer is the same when there is no room for the new file either.
        if std::fs::symlink_metadata(path).is_ok() {
            return Err(Error::Exists);
        }
        let directory = directory_of(path);
        match sys::open_unnamed(directory, mode) {
            Ok(file) => Ok(Self {
                file,
                path: path.into(),
                temporary: None,
            }),
            // Old or simple file systems.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {
                Self::with_temporary_name(path, mode)
            }
            Err(error) => Err(creation_error(&error)),
        }
    }

    fn with_temporary_name(path: &Path, mode: u32) -> Result<Self> {
        let id = sys::random_id().map_err(|error| Error::from_os("draw a random name", &error))?;
        let name = format!(".splinter-{:032x}", u128::from_ne_bytes(id));
        let temporary = directory_of(path).join(name);
        let file = sys::open_new(&temporary, mode).map_err(|error| creation_error(&error))?;
        Ok(Self {
            file,
            path: path.into(),
            temporary: Some(temporary),
        })
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if the name was taken meanwhile.
    pub(crate) fn publish(&self) -> Result<()> {
        match &self.temporary {
            None => sys::link_unnamed(&self.file, &self.path),
            Some(temporary) => std::fs::hard_link(temporary, &self.path),
        }
        .map_err(|error| creation_error(&error))
    }
}

impl Drop for Unpublished {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Nothing can be done about a failure here, and the name says whose it is.
            let _ = std::fs::remove_file(temporary);
        }
    }
}

/// The directory that a path's last component is in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// What is missing when a file cannot be created is its directory, not a store.
fn creation_error(error: &std::io::Error) -> Error {
    match error.raw_os_error() {
        Some(errno @ (libc::ENOENT | libc::ENOTDIR)) => Error::Io {
            action: "create the store in that directory",
            errno,
        },
        _ => Error::from_os("create the store", error),
    }
}
