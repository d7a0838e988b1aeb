//! What a store of many keys takes up, and how long it takes to open one.

use std::hint::black_box;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::book::{Book, Context};
use crate::children::Worker;
use crate::document::{Kind, Outcome, resident_bytes};
use crate::measure::{KEY_BYTES, Series, Step, key, outcomes};
use crate::operations::US;
use crate::peers::{BATCH, Lmdb, Peer, Redb, Redis, Splinter, Sqlite};

const N: usize = 64;
const LMDB_MAP_BYTES: usize = 1 << 30;
/// What must be kept, however it is done.
const CONTENT: &str = "key and value";
const PEERS: [&str; 4] = [US, "LMDB", "redb", "SQLite"];

fn open(peer: &str, path: &Path, keys: usize) -> Box<dyn Peer> {
    match peer {
        US => {
            let options = Splinter::options(keys, N, false);
            Box::new(Splinter::new(options.open_or_create(path).expect("a store")))
        }
        "LMDB" => Box::new(Lmdb::open(path, LMDB_MAP_BYTES)),
        "redb" => Box::new(Redb::open(path)),
        _ => Box::new(Sqlite::open(path)),
    }
}

/// What is there under a path, as far as it takes up space.
fn stored_bytes(path: &Path) -> u64 {
    let of = std::fs::metadata(path).expect("a file");
    if !of.is_dir() {
        return of.blocks() * 512;
    }
    std::fs::read_dir(path)
        .expect("a directory")
        .map(|entry| stored_bytes(&entry.expect("an entry").path()))
        .sum()
}

fn step(number: usize) -> Step {
    Step {
        key: key('a', number),
        number: number as u32,
    }
}

fn fill(peer: &mut dyn Peer, keys: usize) {
    let numbers: Vec<Step> = (0..keys).map(step).collect();
    for batch in numbers.chunks(BATCH) {
        peer.set_many(batch, &[7; N]);
    }
}

/// A process that opens a store, reads every key, and says what it has become thereby.
pub fn child(peer: &str, path: &Path, numbers: &[usize]) {
    let &[keys] = numbers else {
        panic!("one number");
    };
    crate::children::serve(|_| {
        let before = resident_bytes();
        let mut peer = open(peer, path, keys);
        let mut into = [0; N];
        for number in 0..keys {
            assert!(peer.get(&step(number), &mut into));
        }
        vec![resident_bytes() - before]
    });
}

/// A figure that is counted, and has no rounds.
fn counted(name: &'static str, value: f64) -> Series {
    let kind = match name {
        US => Kind::Us,
        CONTENT => Kind::Floor,
        _ => Kind::Peer,
    };
    let mut series = Series::new(name, kind);
    series.values.push(value);
    series
}

fn measure(context: &Context, book: &mut Book, keys: usize, case: &str) {
    const MIB: f64 = 1024.0 * 1024.0;
    context.progress(&format!("memory, {case}"));
    let content = (keys * (KEY_BYTES + N)) as f64;
    let mut disk = vec![counted(CONTENT, content / keys as f64)];
    let mut resident = vec![counted(CONTENT, content / MIB)];
    let root = context.passing_directory();
    let paths: Vec<(&'static str, PathBuf)> = PEERS
        .iter()
        .map(|&name| {
            // A directory of its own: some put files beside the one that they are given.
            let directory = root.path().join(name);
            std::fs::create_dir_all(&directory).expect("a directory");
            let path = directory.join("store");
            fill(&mut *open(name, &path, keys), keys);
            let mut of_disk = counted(name, stored_bytes(&directory) as f64 / keys as f64);
            if name == US {
                let region_bytes = std::fs::metadata(&path).expect("the store").len();
                of_disk.details.insert("region, MiB", region_bytes as f64 / MIB);
            }
            disk.push(of_disk);
            let mut child = Worker::start("memory", name, &path, &[keys]);
            child.tell("read");
            resident.push(counted(name, child.answer()[0] / MIB));
            (name, path)
        })
        .collect();
    if let Some(server) = &context.redis {
        let mut redis = Redis::connect(&server.socket).expect("our own server");
        redis.clear();
        let mut used = || -> f64 {
            let text = redis.info("used_memory").expect("what it uses");
            text.parse().expect("a number")
        };
        let before = used();
        fill(&mut Redis::connect(&server.socket).expect("our own server"), keys);
        resident.push(counted("Redis", (used() - before) / MIB));
    }
    let mut opens: Vec<Series> = PEERS.iter().map(|&name| empty(name)).collect();
    for _ in 0..context.effort.rounds {
        for ((name, path), series) in paths.iter().zip(&mut opens) {
            let mut into = [0; N];
            let start = Instant::now();
            let mut peer = open(name, path, keys);
            assert!(peer.get(&step(keys / 2), &mut into));
            series.values.push(start.elapsed().as_secs_f64() * 1e3);
            drop(black_box(peer));
        }
    }
    let mut add = |group: &str, scale: &str, series: Vec<Series>| {
        let results: Vec<Outcome> = outcomes(series, scale, case);
        book.add(group, results);
    };
    add("disk-bytes", CONTENT, disk);
    add("resident", CONTENT, resident);
    add("open", "LMDB", opens);
}

fn empty(name: &'static str) -> Series {
    let mut series = counted(name, 0.0);
    series.values.clear();
    series
}

pub fn run(context: &Context, book: &mut Book) {
    measure(context, book, 1000, "1,000 keys");
    measure(context, book, 1_000_000, "1,000,000 keys");
}
