//! One store, several processes: a writer and a reader, then several writers.
//!
//! In each slice the processes of one contender work, and all others wait for a command.

use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::book::{Book, Context};
use crate::children::{Worker, serve};
use crate::document::Kind;
use crate::measure::{Distribution, Series, Step, order, outcomes};
use crate::operations::US;
use crate::peers::{Lmdb, Peer, Redis, Splinter, Sqlite};
use crate::peers_iceoryx2::Blackboard;
use crate::peers_mmap_sync::MmapSync;

const SPREAD_KEYS: usize = 64_000;
const WRITERS_MAX: usize = 4;
const LMDB_MAP_BYTES: usize = 256 << 20;
/// Steps between two looks at the clock.
const PIECE: usize = 16;

/// Of the time that a read takes.
const PERCENTILES: [(&str, f64); 3] = [("p50, ns", 50.0), ("p99, ns", 99.0), ("p99.9, ns", 99.9)];
const RETRIES: &str = "retries in a million reads";

const LMDB: &str = "LMDB";
const SQLITE: &str = "SQLite";
const REDIS: &str = "Redis";
const BLACKBOARD: &str = "iceoryx2 blackboard, handle";
const MMAP_SYNC: &str = "mmap-sync";

/// How a process takes part. The first one makes what the others open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Writer,
    Reader,
}

fn open<const N: usize>(peer: &str, directory: &Path, keys: usize, role: Role) -> Box<dyn Peer> {
    let path = directory.join("store");
    match peer {
        US => {
            let options = Splinter::options(keys, N, false);
            Box::new(Splinter::new(options.open_or_create(path).expect("a store")))
        }
        LMDB => Box::new(Lmdb::open(&path, LMDB_MAP_BYTES)),
        SQLITE => Box::new(Sqlite::open(&path)),
        REDIS => Box::new(Redis::connect(directory).expect("our own server")),
        MMAP_SYNC => Box::new(MmapSync::<N>::open(directory)),
        BLACKBOARD => match role {
            Role::Writer => Box::new(Blackboard::<N>::open(directory, keys).writing()),
            Role::Reader => Box::new(Blackboard::<N>::open(directory, keys)),
        },
        _ => unreachable!("a contender of this file"),
    }
}

/// What a process does that this program starts as `child sharing PEER DIRECTORY KEYS VALUE_BYTES SEED WRITER`.
pub fn child(peer: &str, directory: &Path, numbers: &[usize]) {
    let &[keys, value_bytes, seed, writer] = numbers else {
        panic!("four numbers");
    };
    let role = if writer == 1 { Role::Writer } else { Role::Reader };
    let mut peer = match value_bytes {
        64 => open::<64>(peer, directory, keys, role),
        4096 => open::<4096>(peer, directory, keys, role),
        _ => unreachable!("a size of this file"),
    };
    let order = order('a', keys, Distribution::Uniform, seed as u64);
    let mut pieces = order.chunks_exact(PIECE).cycle();
    let values = [vec![1; value_bytes], vec![2; value_bytes]];
    let mut values = values.iter().cycle();
    let mut buffer = vec![0; value_bytes];
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 10_000_000_000, 3).expect("bounds");
    let mut retried = 0;
    serve(|command| {
        let (what, ms) = command.split_once(' ').expect("two words");
        let end = Duration::from_millis(ms.parse().expect("a number"));
        let start = Instant::now();
        let mut done = 0;
        while start.elapsed() < end {
            let piece = pieces.next().expect("endless");
            done += piece.len();
            match what {
                "write" => {
                    for step in piece {
                        peer.set(step, values.next().expect("endless"));
                    }
                }
                "read" => {
                    for step in piece {
                        read(&mut *peer, step, &mut buffer);
                    }
                }
                "time" => {
                    for step in piece {
                        let before = Instant::now();
                        read(&mut *peer, step, &mut buffer);
                        latencies.saturating_record(before.elapsed().as_nanos() as u64);
                    }
                }
                _ => unreachable!("a command of this file"),
            }
        }
        let rate = done as f64 / start.elapsed().as_secs_f64() / 1e6;
        let percentiles = PERCENTILES.map(|(_, p)| latencies.value_at_percentile(p) as f64);
        let retries = peer
            .retries()
            .map(|retries| (retries - retried) as f64 / done as f64 * 1e6);
        retried = peer.retries().unwrap_or(0);
        [&[rate][..], &percentiles, retries.as_slice()].concat()
    });
}

/// A read whose value is there, and whole.
fn read(peer: &mut dyn Peer, step: &Step, buffer: &mut [u8]) {
    assert!(peer.get(step, buffer), "a false miss");
    let (first, middle, last) = (buffer[0], buffer[buffer.len() / 2], buffer[buffer.len() - 1]);
    assert!(first == middle && middle == last, "a torn value");
}

struct Pair {
    name: &'static str,
    reader: Worker,
    writer: Worker,
    /// Keeps what a blackboard's processes open.
    _creator: Option<Box<dyn Peer>>,
}

/// The reader alone, the reader beside its writer, and the writer.
struct Measured {
    alone: Series,
    beside: Series,
    writer: Series,
}

fn kind(name: &str) -> Kind {
    if name == US { Kind::Us } else { Kind::Peer }
}

fn measure<const N: usize>(context: &Context, names: &[&'static str], keys: usize) -> Vec<Measured> {
    let mut pairs: Vec<Pair> = names
        .iter()
        .filter_map(|&name| {
            let directory = match name {
                REDIS => context.redis.as_ref()?.socket.clone(),
                _ => context.directory(&format!("sharing-{keys}-{N}-{}", name.replace(' ', "-"))),
            };
            let creator: Option<Box<dyn Peer>> = if name == BLACKBOARD {
                Some(Box::new(Blackboard::<N>::create(&directory, keys)))
            } else {
                let mut creator = open::<N>(name, &directory, keys, Role::Writer);
                for number in 0..keys {
                    let key = crate::measure::key('a', number);
                    let number = number as u32;
                    creator.set(&Step { key, number }, &[1; N]);
                }
                None
            };
            let start = |seed, writer| Worker::start("sharing", name, &directory, &[keys, N, seed, writer]);
            Some(Pair {
                name,
                reader: start(1, 0),
                writer: start(2, 1),
                _creator: creator,
            })
        })
        .collect();
    let mut measured: Vec<Measured> = pairs
        .iter()
        .map(|pair| Measured {
            alone: Series::new(pair.name, kind(pair.name)),
            beside: Series::new(pair.name, kind(pair.name)),
            writer: Series::new(pair.name, kind(pair.name)),
        })
        .collect();
    let slice_ms = context.effort.slice.as_millis() * 10;
    for _ in 0..context.effort.rounds {
        for (pair, series) in pairs.iter_mut().zip(&mut measured) {
            pair.reader.tell(&format!("read {slice_ms}"));
            series.alone.values.push(pair.reader.answer()[0]);
            pair.writer.tell(&format!("write {slice_ms}"));
            pair.reader.tell(&format!("read {slice_ms}"));
            series.beside.values.push(pair.reader.answer()[0]);
            series.writer.values.push(pair.writer.answer()[0]);
            // Beside the writer again, and not counted above: looking at the clock takes time.
            pair.writer.tell(&format!("write {slice_ms}"));
            pair.reader.tell(&format!("time {slice_ms}"));
            let answer = pair.reader.answer();
            pair.writer.answer();
            let names = PERCENTILES.map(|(name, _)| name).into_iter().chain([RETRIES]);
            series.beside.details = names.zip(answer[1..].iter().copied()).collect();
        }
    }
    measured
}

fn add(book: &mut Book, group: [&str; 2], size: &str, measured: Vec<Measured>) {
    let [reader, writer] = group;
    let mut alone = Vec::new();
    let mut beside = Vec::new();
    let mut writers = Vec::new();
    for of in measured {
        alone.push(of.alone);
        beside.push(of.beside);
        writers.push(of.writer);
    }
    book.add(reader, outcomes(alone, LMDB, &format!("{size}, alone")));
    book.add(reader, outcomes(beside, LMDB, &format!("{size}, beside a writer")));
    book.add(writer, outcomes(writers, LMDB, size));
}

pub fn run(context: &Context, book: &mut Book) {
    let hot = [US, LMDB, BLACKBOARD, MMAP_SYNC, SQLITE, REDIS];
    context.progress("one key, 64 B, a reader and a writer");
    let measured = measure::<64>(context, &hot, 1);
    add(book, ["hot-reader", "hot-writer"], "64 B", measured);
    context.progress("one key, 4 KiB, a reader and a writer");
    let measured = measure::<4096>(context, &hot, 1);
    add(book, ["hot-reader", "hot-writer"], "4 KiB", measured);
    context.progress("64,000 keys, a reader and a writer");
    let measured = measure::<64>(context, &[US, LMDB, SQLITE, REDIS], SPREAD_KEYS);
    add(book, ["spread-reader", "spread-writer"], "64 B", measured);
    several_writers(context, book);
}

fn several_writers(context: &Context, book: &mut Book) {
    context.progress("several writers");
    let mut teams: Vec<(&'static str, Vec<Worker>)> = [US, LMDB, SQLITE, REDIS]
        .into_iter()
        .filter_map(|name| {
            let directory = match name {
                REDIS => context.redis.as_ref()?.socket.clone(),
                _ => context.directory(&format!("writers-{name}")),
            };
            let start = |seed| Worker::start("sharing", name, &directory, &[SPREAD_KEYS, 64, seed, 1]);
            Some((name, (1..=WRITERS_MAX).map(start).collect()))
        })
        .collect();
    let slice_ms = context.effort.slice.as_millis() * 10;
    for writers in [1, 2, WRITERS_MAX] {
        let mut series: Vec<Series> = teams.iter().map(|(name, _)| Series::new(name, kind(name))).collect();
        for _ in 0..context.effort.rounds {
            for ((_, team), series) in teams.iter_mut().zip(&mut series) {
                let team = &mut team[..writers];
                for writer in &mut *team {
                    writer.tell(&format!("write {slice_ms}"));
                }
                series
                    .values
                    .push(team.iter_mut().map(|writer| writer.answer()[0]).sum());
            }
        }
        let case = match writers {
            1 => "1 writer".into(),
            writers => format!("{writers} writers"),
        };
        book.add("writers", outcomes(series, LMDB, &case));
    }
}
