//! How a store is opened or created.

#![forbid(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::checkpoint::Durability;
use crate::create::Unpublished;
use crate::error::{Error, Result};
use crate::evict::Eviction;
use crate::layout::{FLAG_AUTO_VACUUM, Geometry, SLOTS_DEFAULT, VALUE_BYTES_DEFAULT};
use crate::region::Region;
use crate::store::Store;
use crate::sys;

const LOCK_TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);
/// Less than a sleep and a wake between processors cost, so that spinning for it is never the worse half of a wait.
const SPIN_DEFAULT: Duration = Duration::from_micros(5);
const MODE_DEFAULT: u32 = 0o600;
/// Where named shared memory lives: what `shm_open` opens.
const MEMORY_DIRECTORY: &str = "/dev/shm";
const NAME_BYTES_MAX: usize = 255;
/// How often opening and creating are tried in turn, while others delete and create the store.
const TURNS: u32 = 32;

/// Options for opening or creating a store.
///
/// Numbers of the geometry that are set here apply to a store that is created; a store that exists must have them, or
/// opening it fails with [`Error::Incompatible`].
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("app.splinter");
/// use splinter::OpenOptions;
///
/// let store = OpenOptions::new().slots(4096).max_value_bytes(256).open_or_create(&path)?;
/// store.set("greeting", "hello")?;
/// assert_eq!(store.get_vec("greeting")?, Some(b"hello".to_vec()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct OpenOptions {
    slots: Option<u32>,
    max_key_bytes: Option<u32>,
    max_value_bytes: Option<u32>,
    journal_entries: Option<u32>,
    memory: bool,
    read_only: bool,
    mode: u32,
    auto_vacuum: bool,
    eviction: Eviction,
    lock_timeout: Duration,
    spin: Duration,
    poll_interval: Duration,
    durability: Durability,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenOptions {
    /// A file, read and written, of the default geometry (1,024 slots, values of 4,096 bytes, keys of 64 bytes).
    pub fn new() -> Self {
        Self {
            slots: None,
            max_key_bytes: None,
            max_value_bytes: None,
            journal_entries: None,
            memory: false,
            read_only: false,
            mode: MODE_DEFAULT,
            auto_vacuum: true,
            eviction: Eviction::None,
            lock_timeout: LOCK_TIMEOUT_DEFAULT,
            spin: if sys::several_processors() {
                SPIN_DEFAULT
            } else {
                Duration::ZERO
            },
            poll_interval: Duration::MAX,
            durability: Durability::None,
        }
    }

    /// Most keys at once ([`crate::SLOTS_MIN`] to [`crate::SLOTS_MAX`]).
    pub fn slots(self, slots: u32) -> Self {
        Self {
            slots: Some(slots),
            ..self
        }
    }

    /// Longest value in bytes (1 to [`crate::VALUE_BYTES_MAX`]).
    pub fn max_value_bytes(self, bytes: u32) -> Self {
        Self {
            max_value_bytes: Some(bytes),
            ..self
        }
    }

    /// Longest key in bytes (1 to [`crate::KEY_BYTES_MAX`]).
    pub fn max_key_bytes(self, bytes: u32) -> Self {
        Self {
            max_key_bytes: Some(bytes),
            ..self
        }
    }

    /// Changes that the journal remembers, rounded up to a power of two.
    pub fn journal_entries(self, entries: u32) -> Self {
        Self {
            journal_entries: Some(entries),
            ..self
        }
    }

    /// All four numbers of a geometry.
    pub fn geometry(self, geometry: Geometry) -> Self {
        self.slots(geometry.slots())
            .max_value_bytes(geometry.max_value_bytes())
            .max_key_bytes(geometry.max_key_bytes())
            .journal_entries(geometry.journal_entries())
    }

    /// Named shared memory instead of a file: the path is then a name of up to 255 bytes without `/`, but for one that it
    /// may begin with, as for `shm_open`.
    pub fn memory(self, memory: bool) -> Self {
        Self { memory, ..self }
    }

    /// Maps the store without the right to write: needs only permission to read the file, and cannot disturb anybody.
    ///
    /// Operations that change the store fail with [`Error::Permission`]; [`Store::poll`] looks every millisecond instead of
    /// sleeping until it is woken.
    pub fn read_only(self, read_only: bool) -> Self {
        Self { read_only, ..self }
    }

    /// Permission bits of a store that is created (0o600 unless set here), less the process's umask.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// Whether a store that is created is sterile (the default): see [`Store::set_auto_vacuum`].
    pub fn auto_vacuum(self, auto_vacuum: bool) -> Self {
        Self { auto_vacuum, ..self }
    }

    /// What goes when a store that is created is full ([`Eviction::None`] unless set here): see [`Store::set_eviction`].
    pub fn eviction(self, eviction: Eviction) -> Self {
        Self { eviction, ..self }
    }

    /// How long a write waits for another writer of the same key before it fails with [`Error::Busy`] (1 s unless set here).
    pub fn lock_timeout(self, timeout: Duration) -> Self {
        Self {
            lock_timeout: timeout,
            ..self
        }
    }

    /// How long waits look without sleeping (5 µs unless set here; nothing on a machine with one processor). Where that has
    /// been of no use several times in a row, it is only tried now and then.
    pub fn spin(self, spin: Duration) -> Self {
        Self { spin, ..self }
    }

    /// How long a wait sleeps before it looks again without having been woken.
    ///
    /// Waits are woken by the change itself where they sleep and where it is made on one kernel. Where that cannot be, as on
    /// a file system that several hosts mount, they notice it after this time at the latest. Without it the time is 100 ms,
    /// which is meant for writers that are killed between the change and the wake. It is
    /// at least 1 ms.
    pub fn poll_interval(self, interval: Duration) -> Self {
        Self {
            poll_interval: interval.max(Duration::from_millis(1)),
            ..self
        }
    }

    /// What a power cut may take of the writes of this handle ([`Durability::None`] unless set here). Shared memory is gone with
    /// the power whatever this is.
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// Creates a store.
    ///
    /// It appears under its name complete or not at all, wherever this process may be killed.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if anything has that name: nothing is changed then. [`Error::NoSpace`] if its fixed parts find no
    /// room. [`Error::InvalidArgument`], [`Error::Permission`], [`Error::Io`].
    pub fn create(&self, path: impl AsRef<Path>) -> Result<Store> {
        self.create_at(&self.location(path.as_ref())?)
    }

    /// Opens a store that exists.
    ///
    /// A symbolic link in the last component is refused, except `/proc/PID/fd/N` and `/dev/fd/N`, by which a store without
    /// a name is shared.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchStore`], [`Error::NotAStore`], [`Error::Incompatible`], [`Error::Corrupt`], [`Error::Permission`],
    /// [`Error::Io`]; [`Error::Busy`] if 1,024 handles are attached, or if somebody has locked the file for himself (`flock`), as
    /// the TypeScript engine without native code does while it writes; [`Error::InvalidArgument`] for [`Durability::Commit`] with
    /// [`Self::read_only`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Store> {
        self.open_at(&self.location(path.as_ref())?)
    }

    /// Opens a store, or creates it if there is none. Processes that race all end with the same store.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`] and [`Self::create`], but for `NoSuchStore` and `Exists`.
    pub fn open_or_create(&self, path: impl AsRef<Path>) -> Result<Store> {
        let path = self.location(path.as_ref())?;
        for _ in 0..TURNS {
            match self.open_at(&path) {
                Err(Error::NoSuchStore) => {}
                result => return result,
            }
            match self.create_at(&path) {
                Err(Error::Exists) => {}
                result => return result,
            }
        }
        Err(Error::Busy {
            what: "the store is being created and removed again and again",
        })
    }

    /// Creates a store, or opens it if there is one. Differs from [`Self::open_or_create`] in what is tried first.
    ///
    /// # Errors
    ///
    /// As for [`Self::open_or_create`].
    pub fn create_or_open(&self, path: impl AsRef<Path>) -> Result<Store> {
        match self.create(path.as_ref()) {
            Err(Error::Exists) => self.open_or_create(path),
            result => result,
        }
    }

    /// Creates a store in memory without a name, which lives as long as somebody has it open.
    ///
    /// Other processes open it by [`Store::path`] while this one lives, or by a descriptor that they inherited
    /// (`/dev/fd/N`).
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`], [`Error::InvalidArgument`], [`Error::Io`].
    pub fn anonymous(&self) -> Result<Store> {
        let geometry = self.geometry_to_create()?;
        let file = sys::memfd(c"splinter").map_err(|error| Error::from_os("create memory without a name", &error))?;
        Region::format(&file, geometry, self.flags(), self.eviction)?;
        sys::seal_length(&file).map_err(|error| Error::from_os("seal the memory", &error))?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        self.attach(file, path.into())
    }

    pub(crate) fn lock_timeout_value(&self) -> Duration {
        self.lock_timeout
    }

    pub(crate) fn spin_value(&self) -> Duration {
        self.spin
    }

    pub(crate) fn poll_interval_value(&self) -> Duration {
        self.poll_interval
    }

    pub(crate) fn durability_value(&self) -> Durability {
        self.durability
    }

    fn flags(&self) -> u32 {
        if self.auto_vacuum { FLAG_AUTO_VACUUM } else { 0 }
    }

    fn geometry_to_create(&self) -> Result<Geometry> {
        let mut geometry = Geometry::new(
            self.slots.unwrap_or(SLOTS_DEFAULT),
            self.max_value_bytes.unwrap_or(VALUE_BYTES_DEFAULT),
        )?;
        if let Some(bytes) = self.max_key_bytes {
            geometry = geometry.with_max_key_bytes(bytes)?;
        }
        if let Some(entries) = self.journal_entries {
            geometry = geometry.with_journal_entries(entries)?;
        }
        Ok(geometry)
    }

    fn create_at(&self, path: &Path) -> Result<Store> {
        if self.read_only {
            return Err(Error::InvalidArgument {
                reason: "a store cannot be created read-only".into(),
            });
        }
        let geometry = self.geometry_to_create()?;
        let unpublished = Unpublished::new(path, self.mode)?;
        Region::format(unpublished.file(), geometry, self.flags(), self.eviction)?;
        let file = unpublished
            .file()
            .try_clone()
            .map_err(|error| Error::from_os("create the store", &error))?;
        let region = Region::map(file, true)?;
        unpublished.publish()?;
        Store::new(region, path.into(), self)
    }

    fn open_at(&self, path: &Path) -> Result<Store> {
        if self.read_only && self.durability != Durability::None {
            return Err(Error::InvalidArgument {
                reason: "a store that is only read has nothing to commit".into(),
            });
        }
        // So that a number that no store can have is told apart from one that this store has not.
        self.geometry_to_create()?;
        let file = open_regular(path, !self.read_only)?;
        self.attach(file, path.into())
    }

    pub(crate) fn attach(&self, file: File, path: PathBuf) -> Result<Store> {
        let region = Region::map(file, !self.read_only)?;
        self.compare(region.geometry())?;
        Store::new(region, path, self)
    }

    /// Fails if the store has not what was asked for.
    fn compare(&self, has: &Geometry) -> Result<()> {
        let wanted = self.geometry_to_create()?;
        let differs = [
            self.slots.is_some() && wanted.slots() != has.slots(),
            self.max_value_bytes.is_some() && wanted.max_value_bytes() != has.max_value_bytes(),
            self.max_key_bytes.is_some() && wanted.max_key_bytes() != has.max_key_bytes(),
            self.journal_entries.is_some() && wanted.journal_entries() != has.journal_entries(),
        ];
        if differs.contains(&true) {
            return Err(Error::Incompatible {
                reason: format!(
                    "the store has {} slots, values of up to {} bytes, keys of up to {} bytes and a journal of {} changes",
                    has.slots(),
                    has.max_value_bytes(),
                    has.max_key_bytes(),
                    has.journal_entries()
                )
                .into(),
            });
        }
        Ok(())
    }

    fn location(&self, path: &Path) -> Result<PathBuf> {
        if self.memory {
            memory_path(path)
        } else {
            file_path(path)
        }
    }
}

/// The absolute path of a file, so that it names the same file to a process that is elsewhere.
pub(crate) fn file_path(path: &Path) -> Result<PathBuf> {
    let invalid = |reason: &'static str| Error::InvalidArgument { reason: reason.into() };
    if path.as_os_str().is_empty() {
        return Err(invalid("the path is empty"));
    }
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(invalid("the path contains NUL"));
    }
    std::path::absolute(path).map_err(|error| Error::from_os("find the working directory", &error))
}

/// Where named shared memory is found, as `shm_open` finds it.
pub(crate) fn memory_path(name: &Path) -> Result<PathBuf> {
    let name = name.strip_prefix("/").unwrap_or(name);
    let mut components = name.components();
    let is_name = matches!(components.next(), Some(Component::Normal(part)) if part == name.as_os_str());
    let has_nul = name.as_os_str().as_bytes().contains(&0);
    if !is_name || has_nul || name.as_os_str().len() > NAME_BYTES_MAX {
        return Err(Error::InvalidArgument {
            reason: format!(
                "the name of shared memory has 1 to {NAME_BYTES_MAX} bytes, none of them NUL, and no '/' but the first"
            )
            .into(),
        });
    }
    Ok(Path::new(MEMORY_DIRECTORY).join(name))
}

/// Opens a file that can be a store, without being led elsewhere by a symbolic link and without waiting.
pub(crate) fn open_regular(path: &Path, writable: bool) -> Result<File> {
    let not_a_store = |reason| Err(Error::NotAStore { reason });
    match sys::open(path, writable, is_descriptor(path)) {
        Ok(file) => Ok(file),
        Err(error) => match error.raw_os_error() {
            Some(libc::ELOOP) => not_a_store("it is a symbolic link"),
            Some(libc::EISDIR) => not_a_store("it is a directory"),
            Some(libc::ENXIO | libc::ENODEV) => not_a_store("it is not a regular file"),
            _ => Err(Error::from_os("open the store", &error)),
        },
    }
}

/// Whether a path is `/proc/PID/fd/N` or `/dev/fd/N`: links that only the owner of the descriptor could make.
fn is_descriptor(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match parts[..] {
        ["/", "proc", process, "fd", n] => (process == "self" || is_number(process)) && is_number(n),
        ["/", "dev", "fd", n] => is_number(n),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_shared_memory_are_checked() {
        assert_eq!(memory_path(Path::new("/bus")).unwrap(), Path::new("/dev/shm/bus"));
        assert_eq!(memory_path(Path::new("bus")).unwrap(), Path::new("/dev/shm/bus"));
        for bad in ["", "/", "a/b", "..", ".", "//", "a/", &"x".repeat(256)] {
            assert!(memory_path(Path::new(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_descriptors_may_be_links() {
        for good in ["/proc/12/fd/3", "/proc/self/fd/0", "/dev/fd/9"] {
            assert!(is_descriptor(Path::new(good)));
        }
        for bad in ["/proc/x/fd/3", "/proc/12/fd/", "/dev/fd/x", "/tmp/fd/1", "proc/1/fd/2"] {
            assert!(!is_descriptor(Path::new(bad)));
        }
    }
}
