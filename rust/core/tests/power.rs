//! A power cut leaves, of what was not yet on the disk, any sectors: each key is then as the last sync found it or newer, and
//! whole, however often the recovery itself is cut.
//!
//! Short by default; `SPLINTER_TEST_ROUNDS` or `SPLINTER_TEST_SECONDS` lengthens it.

#[path = "common/bytes.rs"]
mod bytes;
#[path = "common/tries.rs"]
mod tries;

use std::collections::{HashMap, HashSet};
use std::ffi::{c_int, c_void};
use std::path::Path;
use std::time::Duration;

use bytes::{BOOT_ID_AT, Random, checkpoint_of};
use splinter::{Durability, ErrorCode, OpenOptions, SetOptions, Store, Syncer, ValueType};
use tempfile::TempDir;
use tries::{tried, tries};

const SECTOR_BYTES: usize = 512;
const SLOTS: u32 = 6;
const KEYS: usize = 8;
const VALUE_BYTES: usize = 900;
const POWER_CUTS: &str = "power cuts";

// In place of the functions of the C library. What the disk keeps is decided by [`Disk`], so that to wait for the real one would
// prove nothing; that it is waited for is seen in `durability.rs`.

#[unsafe(no_mangle)]
extern "C" fn fdatasync(_: c_int) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn fsync(_: c_int) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn msync(_: *mut c_void, _: usize, _: c_int) -> c_int {
    0
}

/// A directory on a disk, not in memory.
fn directory() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn options() -> OpenOptions {
    OpenOptions::new()
        .slots(SLOTS)
        .max_value_bytes(VALUE_BYTES as u32)
        .journal_entries(64)
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}

/// All contents that each sector of a file may have on the disk.
#[derive(Default)]
struct Disk {
    sectors: Vec<Vec<Vec<u8>>>,
}

impl Disk {
    /// What was written, of which any sector may have reached the disk or not.
    fn write(&mut self, contents: &[u8]) {
        for (at, sector) in contents.chunks(SECTOR_BYTES).enumerate() {
            if at == self.sectors.len() {
                // What is not there yet reads as zeros.
                self.sectors.push(vec![vec![0; sector.len()]]);
            }
            let history = &mut self.sectors[at];
            if history.last().is_none_or(|last| last != sector) {
                history.push(sector.to_vec());
            }
        }
    }

    /// Everything that was written has reached the disk.
    fn flush(&mut self) {
        for history in &mut self.sectors {
            history.drain(..history.len() - 1);
        }
    }

    /// What may be found after a power cut.
    fn image(&self, random: &mut Random) -> Vec<u8> {
        // Sometimes hardly anything had reached it, sometimes nearly all.
        let bias = random.below(4);
        let sectors = self.sectors.iter().flat_map(|history| {
            let at = match bias {
                0 => random.below(history.len()),
                1 => history.len() - 1 - random.below(history.len().min(2)),
                2 => random.below(history.len().min(2)),
                _ => [0, history.len() - 1][random.below(2)],
            };
            history[at].clone()
        });
        sectors.collect()
    }
}

/// The machine starts with these contents of both files.
fn boot(region: &[u8], checkpoint: &[u8], path: &Path) {
    let mut region = region.to_vec();
    region[BOOT_ID_AT..BOOT_ID_AT + 16].fill(0x5a);
    std::fs::write(path, region).unwrap();
    if checkpoint.is_empty() {
        let _ = std::fs::remove_file(checkpoint_of(path));
    } else {
        std::fs::write(checkpoint_of(path), checkpoint).unwrap();
    }
}

type Value = Option<Vec<u8>>;

/// Keys with all values that they have had since the last sync.
struct Model {
    keys: Vec<String>,
    now: HashMap<String, Value>,
    allowed: HashMap<String, HashSet<Value>>,
}

impl Model {
    fn new() -> Self {
        let keys: Vec<_> = (0..KEYS).map(|i| format!("key{i}")).collect();
        let mut model = Self {
            now: keys.iter().map(|key| (key.clone(), None)).collect(),
            allowed: HashMap::new(),
            keys,
        };
        model.sync();
        model
    }

    fn set(&mut self, key: &str, value: Value) {
        self.allowed.get_mut(key).unwrap().insert(value.clone());
        self.now.insert(key.into(), value);
    }

    fn sync(&mut self) {
        let of_now = self
            .now
            .iter()
            .map(|(key, value)| (key.clone(), HashSet::from([value.clone()])));
        self.allowed = of_now.collect();
    }

    fn live(&self) -> usize {
        self.now.values().flatten().count()
    }

    fn check(&self, store: &Store, what: &str) {
        for key in &self.keys {
            let found = store.get_vec(key).unwrap();
            assert!(
                self.allowed[key].contains(&found),
                "{what}: {key} is {:?} of {} bytes",
                found.as_ref().map(|value| &value[..value.len().min(8)]),
                found.as_ref().map_or(0, Vec::len)
            );
        }
        let report = store.check().unwrap();
        assert!(report.is_clean(), "{what}: {:?}", report.findings);
    }
}

/// One random change.
fn change(store: &Store, model: &mut Model, random: &mut Random, number: u64) {
    let key = model.keys[random.below(KEYS)].clone();
    let mut value = format!("{number}:").into_bytes();
    value.resize(value.len() + random.below(VALUE_BYTES / 2), b'a' + (number % 26) as u8);
    let exists = model.now[&key].is_some();
    match random.below(8) {
        0 | 1 if exists => {
            store.unset(&key).unwrap();
            model.set(&key, None);
        }
        2 | 3 if exists => {
            let mut whole = model.now[&key].clone().unwrap();
            whole.extend(&value);
            if whole.len() <= VALUE_BYTES {
                store.append(&key, &value).unwrap();
                model.set(&key, Some(whole));
            }
        }
        4 if exists => drop(store.label(&key, 1 << random.below(64), 0).unwrap()),
        _ if exists || model.live() < SLOTS as usize => {
            store.set(&key, &value).unwrap();
            model.set(&key, Some(value));
        }
        _ => {}
    }
}

/// Returns how often the power was cut.
fn run(seed: u64, durability: Durability) -> u64 {
    let mut cuts = 0;
    let mut random = Random::new(seed);
    let directory = directory();
    let path = directory.path().join("store");
    let after = directory.path().join("after");
    let store = options().durability(durability).create(&path).unwrap();
    let (mut region, mut checkpoint) = (Disk::default(), Disk::default());
    let mut model = Model::new();
    // What a power cut takes from a store that was just made is the store.
    region.write(&read(&path));
    region.flush();
    for number in 0..40 {
        change(&store, &mut model, &mut random, number);
        region.write(&read(&path));
        checkpoint.write(&read(&checkpoint_of(&path)));
        if durability == Durability::Commit {
            model.sync();
            checkpoint.flush();
        } else if random.below(8) == 0 {
            // The old state is on the disk until the call returns; what it has written may be.
            store.sync().unwrap();
            checkpoint.write(&read(&checkpoint_of(&path)));
            // What the file is, is on the disk before it has a name.
            checkpoint.sectors[0].retain(|sector| sector.iter().any(|&byte| byte != 0));
            region.write(&read(&path));
            cuts += cut(&region, &checkpoint, &model, &after, &mut random, seed);
            checkpoint.flush();
            model.sync();
        }
        if !read(&checkpoint_of(&path)).is_empty() {
            cuts += cut(&region, &checkpoint, &model, &after, &mut random, seed);
        }
    }
    cuts
}

/// Cuts the power, recovers, and cuts it again during the recovery and after it. Returns how many cuts that were.
fn cut(region: &Disk, checkpoint: &Disk, model: &Model, path: &Path, random: &mut Random, seed: u64) -> u64 {
    let (on_disk, kept) = (region.image(random), checkpoint.image(random));
    boot(&on_disk, &kept, path);
    let store = options().open(path).unwrap();
    model.check(&store, &format!("seed {seed}"));
    store.close();
    let recovered = read(path);
    let mut halfway = Disk::default();
    halfway.write(&on_disk);
    halfway.flush();
    halfway.write(&recovered);
    boot(&halfway.image(random), &kept, path);
    let store = options().open(path).unwrap();
    // A recovery waits for the disk.
    let mut later = Disk::default();
    later.write(&read(path));
    later.flush();
    model.check(&store, &format!("seed {seed}, recovery cut"));
    store.unset("key1").unwrap();
    if store.list().count() < SLOTS as usize {
        store.set("key0", "the store is used").unwrap();
    }
    let report = store.check().unwrap();
    assert!(report.is_clean(), "seed {seed}: {:?}", report.findings);
    let mut used = Model::new();
    used.now = model
        .keys
        .iter()
        .map(|key| (key.clone(), store.get_vec(key).unwrap()))
        .collect();
    used.sync();
    store.sync().unwrap();
    store.close();
    later.write(&read(path));
    let (on_disk, kept) = (later.image(random), read(&checkpoint_of(path)));
    boot(&on_disk, &kept, path);
    let store = options().open(path).unwrap();
    used.check(&store, &format!("seed {seed}, used after a recovery"));
    3
}

#[test]
fn after_a_power_cut_each_key_is_at_least_as_new_as_the_last_sync() {
    tried(tries(6).map(|seed| run(seed, Durability::None)).sum(), POWER_CUTS);
}

#[test]
fn after_a_power_cut_nothing_is_lost_that_was_committed() {
    tried(
        tries(4).map(|seed| run(1000 + seed, Durability::Commit)).sum(),
        POWER_CUTS,
    );
}

#[test]
fn a_recovery_keeps_what_belongs_to_a_key_and_tells_what_it_did() {
    let directory = directory();
    let path = directory.path().join("store");
    let store = options().create(&path).unwrap();
    let typed = SetOptions::new()
        .value_type(ValueType::Json)
        .ttl(Duration::from_secs(3600));
    assert!(store.set_with("kept", "[1]", &typed).unwrap().is_written());
    store.label("kept", 5, 0).unwrap();
    store.pin("kept", true).unwrap();
    store.name_label(2, "hot").unwrap();
    store.set("deleted", "x").unwrap();
    let fresh = read(&path);
    store.sync().unwrap();
    store.unset("deleted").unwrap();
    store.sync().unwrap();
    let epoch = store.epoch("kept").unwrap();
    store.close();
    let kept = read(&checkpoint_of(&path));
    // Of the region nothing is left but what it was before all keys.
    let mut blank = fresh;
    let slots_at = blank.windows(4).position(|bytes| bytes == b"kept").unwrap() - 40;
    blank[slots_at..].fill(0);
    boot(&blank, &kept, &path);
    let refused = options().read_only(true).open(&path).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Corrupt);
    let store = options().open(&path).unwrap();
    let recovery = *store.recovery().unwrap();
    assert_eq!((recovery.kept, recovery.restored, recovery.lost), (0, 1, 0));
    let snapshot = store.slot_snapshot("kept").unwrap().unwrap();
    assert_eq!(
        (snapshot.value_type, snapshot.labels, snapshot.is_pinned),
        (ValueType::Json, 5, true)
    );
    assert!(snapshot.ttl.unwrap() > Duration::from_secs(3000));
    assert_eq!(store.epoch("kept").unwrap(), epoch);
    assert_eq!(store.label_names().unwrap(), [(2, "hot".into())]);
    assert!(!store.contains("deleted").unwrap());
    assert!(options().open(&path).unwrap().recovery().is_none(), "once is enough");
    assert!(store.check().unwrap().is_clean());
    store.close();
    Store::remove(&path).unwrap();
    assert!(!checkpoint_of(&path).exists());
}

#[test]
fn what_was_deleted_before_the_last_sync_is_not_lost() {
    let directory = directory();
    let path = directory.path().join("store");
    let store = options().create(&path).unwrap();
    store.set("deleted", "x").unwrap();
    // Nothing of the region reaches the disk any more.
    let region = read(&path);
    store.sync().unwrap();
    store.unset("deleted").unwrap();
    store.sync().unwrap();
    store.set("later", "y").unwrap();
    store.close();
    boot(&region, &read(&checkpoint_of(&path)), &path);
    let store = options().open(&path).unwrap();
    let recovery = *store.recovery().unwrap();
    assert_eq!((recovery.kept, recovery.restored, recovery.lost), (0, 0, 0));
    assert!(!store.contains("deleted").unwrap());
}

#[test]
fn a_restart_without_a_checkpoint_leaves_the_store_as_it_is() {
    let directory = directory();
    let path = directory.path().join("store");
    let store = options().create(&path).unwrap();
    store.set("k", "v").unwrap();
    store.close();
    boot(&read(&path), &[], &path);
    let store = options().open(&path).unwrap();
    assert!(store.recovery().is_none());
    assert_eq!(store.get_vec("k").unwrap().unwrap(), b"v");
}

#[test]
fn a_checkpoint_of_another_store_is_no_checkpoint() {
    let directory = directory();
    let (path, other) = (directory.path().join("store"), directory.path().join("other"));
    for (path, value) in [(&path, "mine"), (&other, "theirs")] {
        let store = options().create(path).unwrap();
        store.set("k", value).unwrap();
        store.sync().unwrap();
    }
    boot(&read(&path), &read(&checkpoint_of(&other)), &path);
    let store = options().open(&path).unwrap();
    assert_eq!(store.get_vec("k").unwrap().unwrap(), b"mine");
    store.set("k", "mine again").unwrap();
    store.sync().unwrap();
    assert_ne!(read(&checkpoint_of(&path)), read(&checkpoint_of(&other)));
}

#[test]
fn a_syncer_syncs_what_was_written_until_it_is_dropped() {
    let directory = directory();
    let path = directory.path().join("store");
    let store = std::sync::Arc::new(options().create(&path).unwrap());
    let syncer = Syncer::start(store.clone(), Duration::from_millis(1)).unwrap();
    store.set("first", "1").unwrap();
    let start = std::time::Instant::now();
    while !read(&checkpoint_of(&path)).windows(6).any(|bytes| bytes == b"first1") {
        assert!(start.elapsed() < Duration::from_secs(30), "nothing was synced");
        std::thread::yield_now();
    }
    store.set("second", "2").unwrap();
    drop(syncer);
    assert!(read(&checkpoint_of(&path)).windows(7).any(|bytes| bytes == b"second2"));
}

#[test]
fn a_sync_that_fails_goes_on_failing() {
    let directory = directory();
    let path = directory.path().join("store");
    let store = options().create(&path).unwrap();
    store.set("k", "v").unwrap();
    // There is something in the way that is no file.
    std::fs::create_dir(checkpoint_of(&path)).unwrap();
    let error = store.sync().unwrap_err();
    std::fs::remove_dir(checkpoint_of(&path)).unwrap();
    assert_eq!(store.sync().unwrap_err(), error);
    options().open(&path).unwrap().sync().unwrap();
}
