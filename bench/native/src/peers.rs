//! The contenders, each used as its own documentation advises for speed, and none asked to have anything on a disk.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hint::black_box;
use std::path::Path;

use heed::types::Bytes;
use heed::{Env, EnvFlags, EnvOpenOptions};
use redb::{Durability, ReadableDatabase, ReadableTable, TableDefinition};
use rusqlite::{Connection, OptionalExtension};
use splinter::{OpenOptions, Store};

use crate::measure::{KEY_BYTES, Step};

/// Keys in one call of `get_many` and `set_many`.
pub const BATCH: usize = 64;

type Key = [u8; KEY_BYTES];

/// What is asked of everybody. Nothing here can fail but by a mistake in this suite.
pub trait Peer {
    /// Copies a value to the start of a buffer, and says whether there is one.
    fn get(&mut self, step: &Step, into: &mut [u8]) -> bool;
    fn set(&mut self, step: &Step, value: &[u8]);

    fn unset(&mut self, step: &Step) -> bool;

    /// Goes through all keys, and returns how many there are.
    fn list(&mut self) -> usize;

    /// Copies values one after another into a buffer, and returns how many there are.
    fn get_many(&mut self, steps: &[Step], into: &mut [u8]) -> usize {
        let value_bytes = into.len() / steps.len();
        let rooms = into.chunks_exact_mut(value_bytes);
        let found = steps.iter().zip(rooms).map(|(step, room)| self.get(step, room));
        found.filter(|&found| found).count()
    }

    fn set_many(&mut self, steps: &[Step], value: &[u8]) {
        for step in steps {
            self.set(step, value);
        }
    }

    /// Reads that had to be begun anew because of a writer, if that can happen and is counted.
    fn retries(&self) -> Option<u64> {
        None
    }

    // The loops that are measured: here, so that each is compiled for its peer, and a turn costs one virtual call.

    fn get_each(&mut self, steps: &[Step], into: &mut [u8]) {
        for step in steps {
            assert!(self.get(step, into));
            black_box(&mut *into);
        }
    }

    fn miss_each(&mut self, steps: &[Step], into: &mut [u8]) {
        for step in steps {
            assert!(!self.get(step, into));
        }
    }

    fn set_each(&mut self, steps: &[Step], value: &[u8]) {
        for step in steps {
            self.set(step, black_box(value));
        }
    }

    fn unset_each(&mut self, steps: &[Step]) {
        for step in steps {
            assert!(self.unset(step));
        }
    }

    /// In batches of [`BATCH`], each into the whole buffer.
    fn get_batches(&mut self, steps: &[Step], into: &mut [u8]) {
        for batch in steps.chunks(BATCH) {
            assert_eq!(self.get_many(batch, into), batch.len());
            black_box(&mut *into);
        }
    }

    fn set_batches(&mut self, steps: &[Step], value: &[u8]) {
        for batch in steps.chunks(BATCH) {
            self.set_many(batch, black_box(value));
        }
    }
}

fn sure<T, E: Debug>(result: Result<T, E>) -> T {
    result.expect("an operation that cannot fail here")
}

/// Looks at each, and returns how many there are.
fn visit<T>(items: impl Iterator<Item = T>) -> usize {
    let mut count = 0;
    for item in items {
        black_box(item);
        count += 1;
    }
    count
}

/// What the machine allows: the number of the key is the place of its value, which is copied.
pub struct Array {
    pub values: Vec<u8>,
}

impl Peer for Array {
    fn get(&mut self, step: &Step, into: &mut [u8]) -> bool {
        let at = step.number as usize * into.len();
        into.copy_from_slice(&self.values[at..at + into.len()]);
        true
    }

    fn set(&mut self, step: &Step, value: &[u8]) {
        let at = step.number as usize * value.len();
        self.values[at..at + value.len()].copy_from_slice(value);
    }

    fn unset(&mut self, _: &Step) -> bool {
        unreachable!("an array has no absent keys")
    }

    fn list(&mut self) -> usize {
        unreachable!("an array has no keys")
    }
}

pub struct Map<const N: usize>(pub HashMap<Key, [u8; N]>);

impl<const N: usize> Peer for Map<N> {
    fn get(&mut self, step: &Step, into: &mut [u8]) -> bool {
        let found = self.0.get(&step.key);
        if let Some(value) = found {
            into.copy_from_slice(value);
        }
        found.is_some()
    }

    fn set(&mut self, step: &Step, value: &[u8]) {
        self.0.entry(step.key).or_insert([0; N]).copy_from_slice(value);
    }

    fn unset(&mut self, step: &Step) -> bool {
        self.0.remove(&step.key).is_some()
    }

    fn list(&mut self) -> usize {
        visit(self.0.keys())
    }
}

pub struct Splinter {
    pub store: Store,
    records: Vec<u8>,
}

impl Splinter {
    pub fn options(slots: usize, value_bytes: usize, sterile: bool) -> OpenOptions {
        OpenOptions::new()
            .slots(sure(u32::try_from(slots)))
            .max_value_bytes(sure(u32::try_from(value_bytes)))
            .auto_vacuum(sterile)
    }

    pub fn new(store: Store) -> Self {
        let record_bytes = 4 + store.geometry().max_value_bytes() as usize;
        Self {
            store,
            records: vec![0; BATCH * record_bytes],
        }
    }
}

impl Peer for Splinter {
    fn get(&mut self, step: &Step, into: &mut [u8]) -> bool {
        sure(self.store.get(step.key, into)).is_some()
    }

    fn set(&mut self, step: &Step, value: &[u8]) {
        sure(self.store.set(step.key, value));
    }

    fn unset(&mut self, step: &Step) -> bool {
        sure(self.store.unset(step.key)).is_some()
    }

    fn list(&mut self) -> usize {
        visit(self.store.keys().map(sure))
    }

    fn get_many(&mut self, steps: &[Step], _: &mut [u8]) -> usize {
        let keys = keys_of(steps);
        let mut found = 0;
        let head = |_: &mut [u8; 4], value_bytes: Option<usize>| {
            found += usize::from(value_bytes.is_some());
        };
        sure(
            self.store
                .get_many_records(&keys[..steps.len()], &mut self.records, head),
        );
        black_box(&self.records);
        found
    }

    fn set_many(&mut self, steps: &[Step], value: &[u8]) {
        let entries = keys_of(steps).map(|key| (key, value));
        sure(self.store.set_many(&entries[..steps.len()]));
    }

    fn retries(&self) -> Option<u64> {
        Some(self.store.retries())
    }
}

fn keys_of(steps: &[Step]) -> [Key; BATCH] {
    let mut keys = [[0; KEY_BYTES]; BATCH];
    for (key, step) in keys.iter_mut().zip(steps) {
        *key = step.key;
    }
    keys
}

/// One transaction for each operation, as whoever wants the newest value needs; for a batch one.
pub struct Lmdb {
    env: Env,
    table: heed::Database<Bytes, Bytes>,
}

impl Lmdb {
    pub fn open(directory: &Path, map_bytes: usize) -> Self {
        sure(std::fs::create_dir_all(directory));
        let mut options = EnvOpenOptions::new();
        options.map_size(map_bytes.next_multiple_of(1 << 20));
        // SAFETY: the directory is this suite's own, and the environment is opened once in a process.
        let env = unsafe {
            options.flags(EnvFlags::NO_SYNC | EnvFlags::NO_META_SYNC | EnvFlags::WRITE_MAP);
            sure(options.open(directory))
        };
        let mut write = sure(env.write_txn());
        let table = sure(env.create_database(&mut write, None));
        sure(write.commit());
        Self { env, table }
    }
}

impl Peer for Lmdb {
    fn get(&mut self, step: &Step, into: &mut [u8]) -> bool {
        let read = sure(self.env.read_txn());
        let found = sure(self.table.get(&read, &step.key));
        if let Some(value) = found {
            into.copy_from_slice(value);
        }
        found.is_some()
    }

    fn set(&mut self, step: &Step, value: &[u8]) {
        let mut write = sure(self.env.write_txn());
        sure(self.table.put(&mut write, &step.key, value));
        sure(write.commit());
    }

    fn unset(&mut self, step: &Step) -> bool {
        let mut write = sure(self.env.write_txn());
        let found = sure(self.table.delete(&mut write, &step.key));
        sure(write.commit());
        found
    }

    fn list(&mut self) -> usize {
        let read = sure(self.env.read_txn());
        visit(sure(self.table.iter(&read)).map(sure))
    }

    fn get_many(&mut self, steps: &[Step], into: &mut [u8]) -> usize {
        let read = sure(self.env.read_txn());
        let value_bytes = into.len() / steps.len();
        let rooms = into.chunks_exact_mut(value_bytes);
        let mut found = 0;
        for (step, room) in steps.iter().zip(rooms) {
            if let Some(value) = sure(self.table.get(&read, &step.key)) {
                room.copy_from_slice(value);
                found += 1;
            }
        }
        found
    }

    fn set_many(&mut self, steps: &[Step], value: &[u8]) {
        let mut write = sure(self.env.write_txn());
        for step in steps {
            sure(self.table.put(&mut write, &step.key, value));
        }
        sure(write.commit());
    }
}

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("values");

pub struct Redb(redb::Database);

impl Redb {
    pub fn open(path: &Path) -> Self {
        let database = sure(redb::Database::create(path));
        let write = sure(database.begin_write());
        sure(write.open_table(TABLE));
        sure(write.commit());
        Self(database)
    }

    fn write<T>(&self, change: impl FnOnce(&mut redb::Table<'_, &'static [u8], &'static [u8]>) -> T) -> T {
        let mut write = sure(self.0.begin_write());
        sure(write.set_durability(Durability::None));
        let changed = change(&mut sure(write.open_table(TABLE)));
        sure(write.commit());
        changed
    }
}

impl Peer for Redb {
    fn get(&mut self, step: &Step, into: &mut [u8]) -> bool {
        let read = sure(self.0.begin_read());
        let found = sure(sure(read.open_table(TABLE)).get(&step.key[..]));
        if let Some(value) = &found {
            into.copy_from_slice(value.value());
        }
        found.is_some()
    }

    fn set(&mut self, step: &Step, value: &[u8]) {
        self.write(|table| drop(sure(table.insert(&step.key[..], value))));
    }

    fn unset(&mut self, step: &Step) -> bool {
        self.write(|table| sure(table.remove(&step.key[..])).is_some())
    }

    fn list(&mut self) -> usize {
        let read = sure(self.0.begin_read());
        let table = sure(read.open_table(TABLE));
        sure(table.iter()).map(|entry| drop(black_box(sure(entry).0))).count()
    }

    fn get_many(&mut self, steps: &[Step], into: &mut [u8]) -> usize {
        let read = sure(self.0.begin_read());
        let table = sure(read.open_table(TABLE));
        let value_bytes = into.len() / steps.len();
        let rooms = into.chunks_exact_mut(value_bytes);
        let mut found = 0;
        for (step, room) in steps.iter().zip(rooms) {
            if let Some(value) = sure(table.get(&step.key[..])) {
                room.copy_from_slice(value.value());
                found += 1;
            }
        }
        found
    }

    fn set_many(&mut self, steps: &[Step], value: &[u8]) {
        self.write(|table| {
            for step in steps {
                sure(table.insert(&step.key[..], value));
            }
        });
    }
}

pub struct Sqlite(Connection);

impl Sqlite {
    pub fn open(path: &Path) -> Self {
        let connection = sure(Connection::open(path));
        sure(connection.busy_timeout(std::time::Duration::from_secs(10)));
        sure(connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA mmap_size = 4294967296;
             CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID;",
        ));
        Self(connection)
    }

    fn read(&self, step: &Step, into: &mut [u8]) -> bool {
        let mut statement = sure(self.0.prepare_cached("SELECT value FROM entries WHERE key = ?1"));
        sure(
            statement
                .query_row([&step.key[..]], |row| {
                    into.copy_from_slice(row.get_ref(0)?.as_blob()?);
                    Ok(())
                })
                .optional(),
        )
        .is_some()
    }

    fn write(&self, step: &Step, value: &[u8]) {
        let mut statement = sure(self.0.prepare_cached("INSERT OR REPLACE INTO entries VALUES (?1, ?2)"));
        sure(statement.execute((&step.key[..], value)));
    }
}

impl Peer for Sqlite {
    fn get(&mut self, step: &Step, into: &mut [u8]) -> bool {
        self.read(step, into)
    }

    fn set(&mut self, step: &Step, value: &[u8]) {
        self.write(step, value);
    }

    fn unset(&mut self, step: &Step) -> bool {
        let mut statement = sure(self.0.prepare_cached("DELETE FROM entries WHERE key = ?1"));
        sure(statement.execute([&step.key[..]])) == 1
    }

    fn list(&mut self) -> usize {
        let mut statement = sure(self.0.prepare_cached("SELECT key FROM entries"));
        let mut rows = sure(statement.query([]));
        let mut count = 0;
        while let Some(row) = sure(rows.next()) {
            black_box(sure(sure(row.get_ref(0)).as_blob()));
            count += 1;
        }
        count
    }

    fn get_many(&mut self, steps: &[Step], into: &mut [u8]) -> usize {
        let transaction = sure(self.0.unchecked_transaction());
        let value_bytes = into.len() / steps.len();
        let rooms = into.chunks_exact_mut(value_bytes);
        let found = steps.iter().zip(rooms).map(|(step, room)| self.read(step, room));
        let found = found.filter(|&found| found).count();
        sure(transaction.commit());
        found
    }

    fn set_many(&mut self, steps: &[Step], value: &[u8]) {
        let transaction = sure(self.0.unchecked_transaction());
        for step in steps {
            self.write(step, value);
        }
        sure(transaction.commit());
    }
}

/// A connection to a server that another process is.
pub struct Redis(redis::Connection);

impl Redis {
    pub fn connect(socket: &Path) -> redis::RedisResult<Self> {
        let client = redis::Client::open(format!("unix://{}", socket.display()))?;
        Ok(Self(client.get_connection()?))
    }

    pub fn clear(&mut self) {
        sure(redis::cmd("FLUSHALL").exec(&mut self.0));
    }

    /// What a field of `INFO` says.
    pub fn info(&mut self, name: &str) -> Option<String> {
        let text: String = redis::cmd("INFO").query(&mut self.0).ok()?;
        let line = text
            .lines()
            .find(|line| line.split_once(':').is_some_and(|(before, _)| before == name))?;
        Some(line.split_once(':')?.1.trim().into())
    }
}

impl Peer for Redis {
    fn get(&mut self, step: &Step, into: &mut [u8]) -> bool {
        let found: Option<Vec<u8>> = sure(redis::cmd("GET").arg(&step.key[..]).query(&mut self.0));
        if let Some(value) = &found {
            into.copy_from_slice(value);
        }
        found.is_some()
    }

    fn set(&mut self, step: &Step, value: &[u8]) {
        sure(redis::cmd("SET").arg(&step.key[..]).arg(value).exec(&mut self.0));
    }

    fn unset(&mut self, step: &Step) -> bool {
        let deleted: u32 = sure(redis::cmd("DEL").arg(&step.key[..]).query(&mut self.0));
        deleted == 1
    }

    fn list(&mut self) -> usize {
        let keys: Vec<Vec<u8>> = sure(redis::cmd("KEYS").arg("*").query(&mut self.0));
        black_box(keys).len()
    }

    fn get_many(&mut self, steps: &[Step], into: &mut [u8]) -> usize {
        let mut command = redis::cmd("MGET");
        for step in steps {
            command.arg(&step.key[..]);
        }
        let values: Vec<Option<Vec<u8>>> = sure(command.query(&mut self.0));
        let value_bytes = into.len() / steps.len();
        let rooms = into.chunks_exact_mut(value_bytes);
        let mut found = 0;
        for (value, room) in values.iter().flatten().zip(rooms) {
            room.copy_from_slice(value);
            found += 1;
        }
        found
    }

    fn set_many(&mut self, steps: &[Step], value: &[u8]) {
        let mut command = redis::cmd("MSET");
        for step in steps {
            command.arg(&step.key[..]).arg(value);
        }
        sure(command.exec(&mut self.0));
    }
}
