//! Damaging stores, and using them whatever they hold.

// Each test file uses its part of this.
#![allow(dead_code)]

use std::fs::File;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use splinter::{Changes, Error, ErrorCode, OpenOptions, Pattern, Store, WatchOptions, Watcher};

pub(crate) use crate::bytes::geometry;
use crate::bytes::{Random, memory_file};

/// Options that do not wait for what will never come.
pub(crate) fn impatient() -> OpenOptions {
    OpenOptions::new()
        .lock_timeout(Duration::from_millis(2))
        .spin(Duration::ZERO)
}

/// The bytes of a store of that geometry with some keys, some of them deleted.
pub(crate) fn region_with_keys() -> Vec<u8> {
    let store = OpenOptions::new().geometry(geometry()).anonymous().unwrap();
    for round in 0..3 {
        for key in 0..6 {
            store.set(format!("key{key}"), vec![key; 10 * round + 1]).unwrap();
        }
        store.unset(format!("key{round}")).unwrap();
    }
    std::fs::read(store.path()).unwrap()
}

/// A file with the bytes of a store with keys.
pub(crate) fn stored() -> (File, PathBuf) {
    let (file, path) = memory_file();
    file.write_all_at(&region_with_keys(), 0).unwrap();
    (file, path)
}

/// Gives up the rights of root, if this process has them, but keeps `directory` within reach. Returns whether it did: what
/// is in the directory is somebody else's then.
pub(crate) fn become_nobody(directory: &Path) -> bool {
    const NOBODY: u32 = 65534;
    // SAFETY: a query without arguments.
    if unsafe { libc::geteuid() } != 0 {
        return false;
    }
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    // SAFETY: calls with integers alone, but for an empty list of groups.
    unsafe {
        assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
        assert_eq!(libc::setgid(NOBODY), 0);
        assert_eq!(libc::setuid(NOBODY), 0);
    }
    true
}

/// Ways to write nonsense.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fill {
    Random,
    Zeros,
    Ones,
    /// Numbers that could be slots, lengths, counts or flags.
    SmallWords,
    SmallHalves,
    /// Words that look like the tokens of lock words, some of them of handles that live.
    Tokens,
    /// Some of the bytes only.
    Sparse,
}

impl Fill {
    pub(crate) fn of(seed: u64) -> Self {
        const ALL: [Fill; 7] = [
            Fill::Random,
            Fill::Zeros,
            Fill::Ones,
            Fill::SmallWords,
            Fill::SmallHalves,
            Fill::Tokens,
            Fill::Sparse,
        ];
        ALL[(seed % ALL.len() as u64) as usize]
    }

    pub(crate) fn apply(self, part: &mut [u8], random: &mut Random) {
        match self {
            Self::Random => random.fill(part),
            Self::Zeros => part.fill(0),
            Self::Ones => part.fill(0xff),
            Self::SmallWords => part.chunks_mut(8).for_each(|word| {
                let small = (random.below(10) as u64).to_le_bytes();
                word.copy_from_slice(&small[..word.len()]);
            }),
            Self::SmallHalves => part.chunks_mut(4).for_each(|half| {
                let small = (random.below(10) as u32).to_le_bytes();
                half.copy_from_slice(&small[..half.len()]);
            }),
            Self::Tokens => part.chunks_mut(8).for_each(|word| {
                // The first handles of a store have the incarnations 1, 2, 3 in the places 0, 1, 2.
                let (incarnation, place) = (random.below(6) as u64, random.below(6) as u64);
                let token = (incarnation << 16 | place).to_le_bytes();
                word.copy_from_slice(&token[..word.len()]);
            }),
            Self::Sparse => {
                for _ in 0..1 + part.len() / 50 {
                    part[random.below(part.len())] = random.next() as u8;
                }
            }
        }
    }
}

/// Watches and feeds of all kinds, as far as the store lets them begin.
struct Watches<'a> {
    watchers: Vec<Watcher<'a>>,
    feeds: Vec<Changes<'a>>,
}

impl<'a> Watches<'a> {
    fn begin(store: &'a Store, random: &mut Random) -> Self {
        let from = random.next() >> random.below(64);
        let all = WatchOptions::new().initial(true).values(true);
        let watchers = [
            store.watch("key1"),
            store.watch_with(Pattern::all(), &all),
            store.watch_with(Pattern::glob("k*"), &WatchOptions::new().from(from)),
            store.watch_with(Pattern::keys(["key2", "key3"]), &WatchOptions::new().from(0)),
        ];
        let feeds = [store.changes(), store.changes_from(0), store.changes_from(from)];
        Self {
            watchers: watchers.into_iter().flatten().collect(),
            feeds: feeds.into_iter().flatten().collect(),
        }
    }

    /// Takes what they have. Without writers that comes to an end, whatever the journal holds.
    fn take(&mut self, random: &mut Random) {
        const LIMIT: usize = 1000;
        let timeout = Duration::from_micros(random.below(500) as u64);
        for watcher in &mut self.watchers {
            let taken = (0..LIMIT)
                .take_while(|_| matches!(watcher.try_next(), Ok(Some(_))))
                .count();
            assert!(taken < LIMIT, "a watch ends");
            let _ = watcher.next_timeout(timeout);
        }
        for feed in &mut self.feeds {
            let taken = (0..LIMIT)
                .take_while(|_| matches!(feed.try_next(), Ok(Some(_))))
                .count();
            assert!(taken < LIMIT, "a feed ends");
            let _ = feed.next_timeout(timeout);
        }
    }
}

/// Calls every operation. Their results may be anything that they can be for a store of this geometry, but no panic.
pub(crate) fn use_all(store: &Store, random: &mut Random, backup_to: Option<&Path>) {
    let max_key_bytes = store.geometry().max_key_bytes() as usize;
    let max_value_bytes = store.geometry().max_value_bytes() as usize;
    let check_entries = |limit: usize| {
        let mut steps = 0;
        for entry in store.list() {
            steps += 1;
            if let Ok(entry) = entry {
                assert!(entry.key.len() <= max_key_bytes && entry.value_bytes <= max_value_bytes);
            }
        }
        assert!(steps <= limit, "a scan ends");
    };
    check_entries(store.geometry().slots() as usize);
    let mut watches = Watches::begin(store, random);
    let mut buffer = vec![0; max_value_bytes];
    for _ in 0..3 {
        let key = format!("key{}", random.below(10));
        let key = &key[..key.len().min(max_key_bytes)];
        let value = vec![7; random.below(max_value_bytes + 1)];
        let _ = store
            .get(key, &mut buffer)
            .map(|found| assert!(found.unwrap_or(0) <= max_value_bytes));
        let _ = store.get(key, &mut []);
        let _ = store.set(key, &value);
        let _ = store
            .get_vec(key)
            .map(|found| assert!(found.unwrap_or_default().len() <= max_value_bytes));
        let _ = store.try_set(key, &value[value.len() / 2..]);
        let _ = store.contains(key);
        let _ = store.epoch(key);
        let _ = store.slot_snapshot(key);
        let _ = store.poll(key, Duration::ZERO);
        let _ = store.poll(key, Duration::from_millis(1));
        let _ = store.poll_since(key, random.next(), Duration::ZERO);
        let _ = store.try_unset(key);
        let _ = store.set(key, &value);
        let _ = store.unset(key);
        let _ = store.try_set(key, &value);
        watches.take(random);
    }
    let _ = store.set_auto_vacuum(random.next().is_multiple_of(2));
    let _ = store.auto_vacuum();
    let _ = store.header_snapshot();
    let _ = store.sync();
    assert!(store.keys_with_prefix("key").count() <= store.geometry().slots() as usize);
    check_entries(store.geometry().slots() as usize);
    if let Some(path) = backup_to {
        match store.backup(path) {
            Ok(()) => std::fs::remove_file(path).unwrap(),
            Err(error) => {
                assert_ne!(error.code(), ErrorCode::Exists);
                assert!(!path.exists());
            }
        }
    }
    // Whatever was refused, the reason can be told.
    let _ = store
        .set("k", "v")
        .map_err(|error: Error| assert!(!error.to_string().is_empty()));
}
