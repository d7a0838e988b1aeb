//! The Rust side of the interop tests: does what the driver says with one store, and tells what it
//! sees.
//!
//! The language is described in `peers.ts`. `peer.ts` and `peer.c` do the same in their runtimes.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use splinter::{Change, Error, OpenOptions, Operation, Outcome, Result, SetOptions, Store};

/// The longest that a job without an end goes on, in case that nobody is left to end it.
const PATIENCE: Duration = Duration::from_secs(30);
/// The byte that is put behind "log".
const LOGGED: u8 = 7;

fn main() {
    let mut peer = Peer { store: None };
    for line in io::stdin().lines() {
        let line = line.expect("the driver's pipe can be read");
        let command =
            Command(serde_json::from_str(&line).expect("a command is an object of strings"));
        match peer.run(&command) {
            Ok(result) => println!("{}", json!({ "result": result })),
            Err(error) => println!("{}", json!({ "error": error.code() as i32 })),
        }
    }
}

struct Command(HashMap<String, String>);

impl Command {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> Option<u32> {
        let text = self.0.get(name)?;
        Some(text.parse().expect("a number has 32 bits"))
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let digits = self.text(name).as_bytes().chunks(2);
        digits
            .map(|pair| {
                let pair = std::str::from_utf8(pair).expect("hex is ASCII");
                u8::from_str_radix(pair, 16).expect("bytes are in hex")
            })
            .collect()
    }

    fn is(&self, name: &str) -> bool {
        self.text(name) == "true"
    }
}

struct Peer {
    store: Option<Store>,
}

impl Peer {
    fn run(&mut self, command: &Command) -> Result<Value> {
        match command.text("op") {
            "open" => {
                self.store = None;
                let store = self.store.insert(open(command)?);
                Ok(json!(store.path()))
            }
            "close" => {
                self.store = None;
                Ok(Value::Null)
            }
            "remove" => {
                let name = command.text("name");
                if command.is("memory") {
                    Store::remove_memory(name)?;
                } else {
                    Store::remove(name)?;
                }
                Ok(Value::Null)
            }
            _ => use_store(self.store.as_ref().ok_or(Error::Closed)?, command),
        }
    }
}

fn open(command: &Command) -> Result<Store> {
    let mut options = OpenOptions::new()
        .memory(command.is("memory"))
        .read_only(command.is("read_only"));
    if let Some(slots) = command.number("slots") {
        options = options.slots(slots);
    }
    if let Some(bytes) = command.number("max_key_bytes") {
        options = options.max_key_bytes(bytes);
    }
    if let Some(bytes) = command.number("max_value_bytes") {
        options = options.max_value_bytes(bytes);
    }
    if let Some(entries) = command.number("journal_entries") {
        options = options.journal_entries(entries);
    }
    let name = command.text("name");
    match command.text("how") {
        "open" => options.open(name),
        "create" => options.create(name),
        "open_or_create" => options.open_or_create(name),
        "create_or_open" => options.create_or_open(name),
        "anonymous" => options.anonymous(),
        how => panic!("there is no way \"{how}\" to open a store"),
    }
}

fn use_store(store: &Store, command: &Command) -> Result<Value> {
    let key = command.bytes("key");
    let done = |()| Value::Null;
    match command.text("op") {
        "set" | "set_text" => store
            .set(key, command.bytes("value"))
            .map(|_epoch| Value::Null),
        "try_set" => store
            .try_set(key, command.bytes("value"))
            .map(|_epoch| Value::Null),
        "unset" => store.unset(key).map(|found| json!(found)),
        "try_unset" => store.try_unset(key).map(|found| json!(found)),
        "get" => get(store, &key),
        "get_text" => {
            let value = store.get_vec(key)?;
            Ok(value.map_or(Value::Null, |value| {
                json!(hex(String::from_utf8_lossy(&value).as_bytes()))
            }))
        }
        "has" => store.contains(key).map(|has| json!(has)),
        "epoch" => {
            let epoch = store.epoch(key)?;
            Ok(epoch.map_or(Value::Null, |epoch| json!(epoch.to_string())))
        }
        "keys" => store
            .keys_with_prefix(key)
            .map(|key| key.map(|key| json!(hex(key.as_bytes()))))
            .collect(),
        "list" => store
            .list_with_prefix(key)
            .map(|entry| {
                entry.map(|entry| {
                    let key = hex(entry.key.as_bytes());
                    json!([key, entry.epoch.to_string(), entry.value_bytes])
                })
            })
            .collect(),
        "slot" => slot(store, &key),
        "header" => header(store),
        "auto_vacuum" => store.auto_vacuum().map(|on| json!(on)),
        "set_auto_vacuum" => store.set_auto_vacuum(command.is("on")).map(done),
        "poll" => store.poll(key, PATIENCE).map(|changed| json!(changed)),
        "repairs" => store
            .header_snapshot()
            .map(|header| json!(header.repairs.to_string())),
        "count" => repeat(command, || {
            store.apply(&key, Operation::AddChecked(1_u64)).map(drop)
        }),
        "count_locked" => repeat(command, || {
            with_lock(store, || {
                let number = store.get_vec(&key)?.map_or(0, |value| {
                    u64::from_le_bytes(value.try_into().expect("a number"))
                });
                store.set(&key, (number + 1).to_le_bytes()).map(drop)
            })
        }),
        "lock" => {
            let ttl_ms = command.number("ttl_ms").unwrap_or(0);
            try_lock(store, Duration::from_millis(ttl_ms.into()))
                .map(|epoch| json!(epoch.is_some()))
        }
        "hammer" => hammer(store, || Ok(())).map(done),
        "hammer_more" => hammer(store, || count_and_log(store)).map(done),
        "inspect" => inspect(store, command.number("changes").unwrap_or(1) as usize),
        "churn" => churn(store, command.number("changes").unwrap_or(0)).map(done),
        "follow" => {
            let from = command.text("from").parse().expect("a place is a number");
            follow(store, from, command.is("churned"))
        }
        op => panic!("there is no operation \"{op}\""),
    }
}

/// Reads a value in both ways.
fn get(store: &Store, key: &[u8]) -> Result<Value> {
    let Some(value) = store.get_vec(key)? else {
        assert_eq!(store.get(key, &mut [])?, None);
        return Ok(Value::Null);
    };
    let mut buffer = vec![0; value.len()];
    assert_eq!(store.get(key, &mut buffer)?, Some(value.len()));
    assert_eq!(buffer, value);
    Ok(json!(hex(&value)))
}

fn slot(store: &Store, key: &[u8]) -> Result<Value> {
    let Some(slot) = store.slot_snapshot(key)? else {
        return Ok(Value::Null);
    };
    Ok(json!({
        "hash": slot.hash.to_string(),
        "epoch": slot.epoch.to_string(),
        "val_off": slot.value_offset.to_string(),
        "val_len": slot.value_bytes,
    }))
}

fn header(store: &Store) -> Result<Value> {
    let header = store.header_snapshot()?;
    Ok(json!({
        "magic": header.magic,
        "version": header.version,
        "slots": header.geometry.slots(),
        "max_val_sz": header.geometry.max_value_bytes(),
        "epoch": header.epoch.to_string(),
        "auto_vacuum": u32::from(header.auto_vacuum),
        "parse_failures": header.parse_failures.to_string(),
        "last_failure_epoch": header.last_failure_epoch.to_string(),
    }))
}

/// Does something so many times, or for so many seconds, and tells how often.
fn repeat(command: &Command, mut body: impl FnMut() -> Result<()>) -> Result<Value> {
    let seconds = command.number("seconds");
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(0).into());
    let mut count = 0;
    loop {
        let goes_on = match seconds {
            Some(_) => Instant::now() < end,
            None => count < command.number("times").unwrap_or(0),
        };
        if !goes_on {
            return Ok(json!(count));
        }
        body()?;
        count += 1;
    }
}

/// Takes the lock, unless another has it. Returns its epoch.
fn try_lock(store: &Store, ttl: Duration) -> Result<Option<u64>> {
    let options = SetOptions::new().if_absent().ttl(ttl);
    Ok(match store.set_with("lock", "", &options)? {
        Outcome::Written { epoch } => Some(epoch),
        Outcome::NotMet { .. } => None,
    })
}

/// Does something while no other process does it.
fn with_lock(store: &Store, mut body: impl FnMut() -> Result<()>) -> Result<()> {
    loop {
        if let Some(epoch) = try_lock(store, PATIENCE)? {
            body()?;
            assert!(store.unset_if_epoch("lock", epoch)?.is_written());
            return Ok(());
        }
        // It may have been given back before this begins to wait.
        store.poll("lock", Duration::from_millis(2))?;
    }
}

/// Changes two keys as fast as it can, and more, until it is killed: "stay" always has a value, "come" comes
/// and goes.
fn hammer(store: &Store, more: impl Fn() -> Result<()>) -> Result<()> {
    let max_bytes = store.geometry().max_value_bytes() as usize;
    let values: Vec<Vec<u8>> = (0..16)
        .map(|i| 1 + i * 6007 % max_bytes)
        .map(|bytes| vec![bytes as u8; bytes])
        .collect();
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        for value in &values {
            store.set("stay", value)?;
            store.set("come", value)?;
            store.unset("come")?;
            more()?;
        }
    }
    Ok(())
}

/// Adds to a number, and puts a byte behind a value that begins anew when it is full.
fn count_and_log(store: &Store) -> Result<()> {
    store.apply("count", Operation::Add(1_u64))?;
    match store.append("log", [LOGGED]) {
        Err(Error::ValueTooLarge { .. }) => store.set("log", "").map(drop),
        appended => appended.map(drop),
    }
}

/// Reads what another hammers, until "stay" was seen in so many states.
fn inspect(store: &Store, changes: usize) -> Result<Value> {
    let is_whole = |value: Vec<u8>| value.iter().all(|&byte| byte == value.len() as u8);
    let mut epochs = HashSet::new();
    let mut bad = 0;
    let end = Instant::now() + PATIENCE;
    while epochs.len() < changes && Instant::now() < end {
        bad += u32::from(!store.get_vec("stay")?.is_some_and(is_whole));
        bad += u32::from(!store.get_vec("come")?.is_none_or(is_whole));
        epochs.insert(store.epoch("stay")?);
    }
    Ok(json!({ "bad": bad, "changes": epochs.len() }))
}

/// Changes after which a churned store begins anew.
const CHURN: u64 = 8 * 5 * 61;

/// What churning does at a place: the key, and whether it is set.
///
/// Six of eight changes overwrite one of 61 keys in turn; then one of five others comes, and goes.
fn churned(place: u64) -> (String, bool) {
    let (round, phase) = (place / 8, place % 8);
    if phase < 6 {
        (format!("key/{}", (round * 6 + phase) % 61), true)
    } else {
        (format!("come/{}", round % 5), phase == 6)
    }
}

/// Makes so many changes, as fast as it can.
fn churn(store: &Store, changes: u32) -> Result<()> {
    let plan: Vec<_> = (0..CHURN).map(churned).collect();
    for (place, (key, is_set)) in (0..changes).zip(plan.iter().cycle()) {
        if *is_set {
            store.set(key, place.to_le_bytes())?;
        } else {
            store.unset(key)?;
        }
    }
    Ok(())
}

/// What a follower has seen, and what was wrong with it.
struct Follower {
    from: u64,
    /// Where the next change stands.
    next: u64,
    received: u64,
    lost: u64,
    vanished: u64,
    /// Where the changes stood that were lost last.
    loss: Option<u64>,
    /// Of each key, its epoch after the last change.
    last: HashMap<String, u64>,
    /// The keys that exist, as far as is known, and their epochs.
    present: HashMap<String, u64>,
    /// Of each key that is only overwritten, its epoch before the churning.
    births: HashMap<String, u64>,
    /// What was done, if the store was churned.
    plan: Vec<(String, bool)>,
    faults: Vec<String>,
}

impl Follower {
    fn expect(&mut self, holds: bool, what: &str, change: &Change) {
        if !holds && self.faults.len() < 5 {
            self.faults
                .push(format!("{what} at {}: {change:?}", self.next));
        }
    }

    fn take(&mut self, change: &Change) {
        match change {
            Change::Set {
                sequence,
                key,
                epoch,
            } => {
                self.expect(*sequence == self.next, "out of order", change);
                self.take_change(change, key, *epoch);
                let known = self.present.entry(key.to_string()).or_default();
                *known = *epoch.max(known);
            }
            Change::Unset {
                sequence,
                key,
                epoch,
            } => {
                self.expect(*sequence == self.next, "out of order", change);
                self.take_change(change, key, *epoch);
                if self.present.get(&**key).is_some_and(|known| known < epoch) {
                    self.present.remove(&**key);
                }
            }
            Change::Vanished { sequence } => {
                self.expect(*sequence == self.next, "out of order", change);
                let place = sequence - self.from;
                let stays = !self.plan.is_empty() && place % 8 < 6;
                self.expect(!stays, "a key that stays has vanished", change);
                self.vanished += 1;
                self.received += 1;
                self.next += 1;
            }
            Change::Lost { sequence, count } => {
                self.expect(*sequence == self.next, "out of order", change);
                self.loss = Some(*sequence);
                self.present.clear();
                self.lost += count;
                self.next += count;
            }
            Change::Current {
                sequence,
                key,
                epoch,
            } => {
                self.expect(self.loss == Some(*sequence), "nothing was lost", change);
                self.present.insert(key.to_string(), *epoch);
            }
            _ => self.expect(false, "unknown", change),
        }
    }

    /// Whether it knows of each key that exists, as it must after a loss.
    fn knows_all(&self, store: &Store) -> bool {
        self.loss.is_none() || self.present.len() == store.keys().count()
    }

    fn take_change(&mut self, change: &Change, key: &str, epoch: u64) {
        let before = self.last.insert(key.to_string(), epoch);
        let rises = before.is_none_or(|before| before < epoch) && epoch.is_multiple_of(2);
        self.expect(rises, "the epoch does not rise", change);
        if !self.plan.is_empty() && key != "end" {
            let place = self.next - self.from;
            let (planned, is_set) = &self.plan[(place % CHURN) as usize];
            let is_planned = planned == key && *is_set == matches!(change, Change::Set { .. });
            self.expect(is_planned, "nobody did this", change);
            if place % 8 < 6 {
                let birth = epoch.wrapping_sub((place / 8 * 6 + place % 8) / 61 * 2);
                let known = *self.births.entry(key.to_string()).or_insert(birth);
                self.expect(known == birth, "nobody gave this epoch", change);
            }
        }
        self.received += 1;
        self.next += 1;
    }
}

/// Follows all changes from a place on, until "end" says where to stop.
fn follow(store: &Store, from: u64, is_churned: bool) -> Result<Value> {
    let plan = if is_churned { CHURN } else { 0 };
    let mut follower = Follower {
        from,
        next: from,
        received: 0,
        lost: 0,
        vanished: 0,
        loss: None,
        last: HashMap::new(),
        present: HashMap::new(),
        births: HashMap::new(),
        plan: (0..plan).map(churned).collect(),
        faults: Vec::new(),
    };
    let mut end = u64::MAX;
    let mut changes = store.changes_from(from)?;
    while follower.next < end || !follower.knows_all(store) {
        let Some(change) = changes.next_timeout(PATIENCE)? else {
            break;
        };
        follower.take(&change);
        if let Change::Set { key, .. } | Change::Current { key, .. } = &change
            && &**key == "end"
        {
            let text = store.get_vec("end")?.unwrap_or_default();
            end = String::from_utf8_lossy(&text)
                .parse()
                .expect("a number of changes");
        }
    }
    let present = follower.present.iter();
    Ok(json!({
        "received": follower.received,
        "lost": follower.lost,
        "vanished": follower.vanished,
        "present": present.map(|(key, epoch)| json!([key, epoch])).collect::<Vec<_>>(),
        "faults": follower.faults,
    }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
