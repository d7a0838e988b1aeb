//! Who works with which store.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use splinter::{Durability, Error, OpenOptions, Store, Syncer};

use crate::failure::{Code, Failure, code_of, sentence, tell};
use crate::output::shown;
use crate::parse;
use crate::table::{ProgramOptions, StoreOptions};

const HISTORY_LEN_DEFAULT: usize = 1000;
const HISTORY_FILE_DEFAULT: &str = ".splinter_history";

/// What a store is named by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    File,
}

/// What the name of the program says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) name: String,
    kind: Kind,
    pub(crate) is_interactive: bool,
}

impl Program {
    pub(crate) fn called(path: Option<&OsStr>) -> Self {
        let name = path
            .and_then(|path| Path::new(path).file_name())
            .map_or("splinterctl".into(), |name| name.to_string_lossy().into_owned());
        Self {
            kind: if name.starts_with("splinterp") {
                Kind::File
            } else {
                Kind::Memory
            },
            is_interactive: name.ends_with("_cli"),
            name,
        }
    }

    pub(crate) fn kind(&self, options: &StoreOptions) -> Kind {
        match (options.persistent, options.memory) {
            (true, _) => Kind::File,
            (_, true) => Kind::Memory,
            _ => self.kind,
        }
    }
}

/// Where the lines typed are kept.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) file: Option<PathBuf>,
    pub(crate) len: usize,
}

impl History {
    pub(crate) fn new(options: &ProgramOptions) -> Result<Self, Failure> {
        let file = options
            .history_file
            .clone()
            .or_else(|| environment("SPLINTER_HISTORY_FILE").map(PathBuf::from))
            .or_else(|| environment("HOME").map(|home| Path::new(&home).join(HISTORY_FILE_DEFAULT)));
        let len = match (options.history_len, environment("SPLINTER_HISTORY_LEN")) {
            (Some(len), _) => len,
            (None, None) => HISTORY_LEN_DEFAULT,
            (None, Some(text)) => text.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
                let text = text.to_string_lossy();
                Failure::usage(format!("SPLINTER_HISTORY_LEN is \"{text}\": make it a number of lines"))
            })?,
        };
        Ok(Self { file, len })
    }
}

/// A variable of the environment, unless it is empty.
pub(crate) fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|text| !text.is_empty())
}

/// What commands work with.
#[derive(Debug)]
pub(crate) struct Session {
    kind: Kind,
    /// The store that is or will be connected to.
    name: Option<PathBuf>,
    store: Option<Arc<Store>>,
    durability: parse::Durability,
    /// Of a store that is synced at intervals.
    syncer: Option<Syncer>,
    pub(crate) prefix: String,
    pub(crate) program: String,
    pub(crate) is_interactive: bool,
    pub(crate) history: History,
    /// The lines typed, as far as the interactive mode knows better than the file.
    pub(crate) lines: Option<Vec<String>>,
}

impl Session {
    pub(crate) fn new(
        program: &Program,
        options: &StoreOptions,
        prefix: Option<String>,
        history: History,
    ) -> Result<Self, Failure> {
        let name = options.store_used.clone();
        let prefix = match (prefix, environment("SPLINTER_NS_PREFIX")) {
            (Some(prefix), _) => prefix,
            (None, None) => String::new(),
            // Without it other keys would be meant.
            (None, Some(text)) => text
                .into_string()
                .map_err(|_| Failure::usage("SPLINTER_NS_PREFIX is not UTF-8, which keys are; set it anew"))?,
        };
        Ok(Self {
            kind: program.kind(options),
            name: name.or_else(|| environment("SPLINTER_DEFAULT_STORE").map(PathBuf::from)),
            store: None,
            durability: options.durability.unwrap_or_default(),
            syncer: None,
            prefix,
            program: program.name.clone(),
            is_interactive: false,
            history,
            lines: None,
        })
    }

    /// A key as the store has it.
    pub(crate) fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Options for the stores of this session.
    pub(crate) fn options(&self) -> OpenOptions {
        let durability = match self.durability {
            parse::Durability::Commit => Durability::Commit,
            _ => Durability::None,
        };
        OpenOptions::new()
            .memory(self.kind == Kind::Memory)
            .durability(durability)
    }

    /// The store, to which it connects if it has not yet.
    pub(crate) fn store(&mut self) -> Result<Arc<Store>, Failure> {
        if let Some(store) = &self.store {
            return Ok(store.clone());
        }
        let Some(name) = self.name.clone() else {
            let advice = if self.is_interactive {
                "\"use STORE\" connects to one"
            } else {
                "name a store with --use or SPLINTER_DEFAULT_STORE"
            };
            return Err(Failure::new(Code::NotConnected, format!("not connected; {advice}")));
        };
        self.connect(&name)
    }

    /// Connects to a store. On failure everything stays as it is.
    pub(crate) fn connect(&mut self, name: &Path) -> Result<Arc<Store>, Failure> {
        let options = self.options();
        let mut writes = true;
        let opened = match options.open(name) {
            // Who may only read can use the commands that only read.
            Err(error @ Error::Permission { .. }) => {
                writes = false;
                let reader = options.durability(Durability::None).read_only(true);
                reader.open(name).map_err(|_| error)
            }
            opened => opened,
        };
        let store = Arc::new(opened.map_err(|error| self.about(name, &error))?);
        if let Some(recovery) = store.recovery() {
            tell(&format!(
                "\"{}\" was recovered after a restart: {} keys were whole, {} are as the last sync left them, {} are lost",
                shown(name),
                recovery.kept,
                recovery.restored,
                recovery.lost
            ));
        }
        let syncer = match self.durability {
            parse::Durability::Interval(interval) if writes => Some(Syncer::start(store.clone(), interval)?),
            _ => None,
        };
        let closed = self.close();
        self.name = Some(name.into());
        self.store = Some(store.clone());
        self.syncer = syncer;
        closed.map(|()| store)
    }

    /// Closes the store that it is connected to. Fails if that was to be synced at intervals, and could not be.
    pub(crate) fn close(&mut self) -> Result<(), Failure> {
        let (store, syncer) = (self.store.take(), self.syncer.take());
        let was_synced = syncer.is_some();
        drop(syncer);
        match store.as_ref().and_then(|store| store.sync_failure()) {
            Some(failure) if was_synced => Err(failure.clone().into()),
            _ => Ok(()),
        }
    }

    /// What the failure of an operation on a named store means.
    pub(crate) fn about(&self, name: &Path, error: &Error) -> Failure {
        let shown = shown(name);
        let message = match (error, self.kind) {
            (Error::NoSuchStore, Kind::Memory) => {
                format!("there is no store \"{shown}\" in shared memory; \"init {shown}\" creates one")
            }
            (Error::NoSuchStore, Kind::File) => format!("there is no store \"{shown}\"; \"init {shown}\" creates one"),
            (Error::Exists, _) => format!("\"{shown}\" exists already and was left as it is; choose another name"),
            (Error::InvalidArgument { .. }, Kind::Memory) if name.components().count() > 1 => {
                format!("\"{shown}\": {}; --persistent is for files", sentence(error))
            }
            _ => format!("\"{shown}\": {}", sentence(error)),
        };
        Failure::new(code_of(error), message)
    }

    /// The name of the store that it is connected to.
    pub(crate) fn connected(&self) -> Option<&Path> {
        self.store.as_ref().and(self.name.as_deref())
    }

    /// Whether a store was named.
    pub(crate) fn has_name(&self) -> bool {
        self.name.is_some()
    }

    /// Gives up the store that was named.
    pub(crate) fn forget(&mut self) {
        // Nobody misses what was not synced of a store that is removed.
        (self.name, self.syncer, self.store) = (None, None, None);
    }

    /// The store that it is connected to.
    pub(crate) fn connection(&self) -> Option<&Arc<Store>> {
        self.store.as_ref()
    }

    /// Forgets a connection to the store that had this path.
    pub(crate) fn disconnect(&mut self, path: &Path) {
        if self.store.as_ref().is_some_and(|store| store.path() == path) {
            self.forget();
        }
    }

    /// Where a store of this name lives.
    pub(crate) fn path_of(&self, name: &Path) -> PathBuf {
        match self.kind {
            Kind::Memory => Path::new("/dev/shm").join(name.strip_prefix("/").unwrap_or(name)),
            Kind::File => std::path::absolute(name).unwrap_or_else(|_| name.into()),
        }
    }

    /// Takes a store's name away.
    pub(crate) fn remove(&mut self, name: &Path) -> Result<(), Failure> {
        let removed = match self.kind {
            Kind::Memory => Store::remove_memory(name),
            Kind::File => Store::remove(name),
        };
        removed.map_err(|error| self.about(name, &error))?;
        self.disconnect(&self.path_of(name));
        Ok(())
    }

    /// Names of stores that could be meant.
    pub(crate) fn known_stores(&self) -> Vec<String> {
        if self.kind == Kind::File {
            return Vec::new();
        }
        std::fs::read_dir("/dev/shm")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides() {
        let called = |path: &str| {
            let program = Program::called(Some(path.as_ref()));
            (program.kind, program.is_interactive)
        };
        assert_eq!(called("splinterctl"), (Kind::Memory, false));
        assert_eq!(called("/usr/bin/splinter_cli"), (Kind::Memory, true));
        assert_eq!(called("./splinterpctl"), (Kind::File, false));
        assert_eq!(called("splinterp_cli"), (Kind::File, true));
        assert_eq!(called("renamed"), (Kind::Memory, false));
    }
}
