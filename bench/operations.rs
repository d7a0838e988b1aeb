//! What each operation costs, in one process, all in one run: the best of many rounds, interleaved, with a `HashMap` and a
//! bare copy as the scale. Prints a Markdown table.
//!
//! cargo run --release --example operations [KEYS [ROUNDS [DIRECTORY]]]
//!
//! With a directory, which must be on a disk, it prints a second table: what durability costs there, the median of many.

use std::collections::HashMap;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use splinter::{Durability, Eviction, OpenOptions, Operation, SetOptions, Store, Syncer};

const VALUE_BYTES: usize = 64;
const BATCH: usize = 64;

/// An operation on the key of a number.
type Step<'a> = Box<dyn FnMut(usize) + 'a>;

struct Row<'a> {
    name: &'static str,
    step: Step<'a>,
    best_ns: f64,
}

fn store(keys: usize, sterile: bool, names: &[String]) -> Store {
    let options = OpenOptions::new()
        .slots(keys as u32 + 1)
        .max_value_bytes(VALUE_BYTES as u32);
    let store = options
        .auto_vacuum(sterile)
        .anonymous()
        .expect("shared memory");
    for name in names {
        store.set(name, [1; VALUE_BYTES]).expect("a set");
    }
    store
}

/// The keys in an order that no prefetcher guesses.
fn shuffled(keys: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..keys).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for i in (1..keys).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(i, (state % (i as u64 + 1)) as usize);
    }
    order
}

/// The median time of a step, in µs, each after something that is not counted.
fn median(times: usize, mut before: impl FnMut(usize), mut step: impl FnMut(usize)) -> f64 {
    let mut taken: Vec<f64> = (0..times)
        .map(|at| {
            before(at);
            let start = Instant::now();
            step(at);
            start.elapsed().as_nanos() as f64 / 1000.0
        })
        .collect();
    taken.sort_by(f64::total_cmp);
    taken[times / 2]
}

/// What it costs to have a disk keep what is written.
fn measure_durability(directory: &Path, names: &[String]) {
    const TIMES: usize = 300;
    let path = directory.join(format!("bench-{}.splinter", std::process::id()));
    let options = OpenOptions::new()
        .slots(names.len() as u32 + 1)
        .max_value_bytes(VALUE_BYTES as u32);
    let value = [4; VALUE_BYTES];
    let store = Arc::new(options.create(&path).expect("a store"));
    let commits = options
        .durability(Durability::Commit)
        .open(&path)
        .expect("the store");
    let set =
        |store: &Store, at: usize| _ = store.set(&names[at % names.len()], value).expect("a set");
    let set_all = |_| names.iter().for_each(|name| drop(store.set(name, value)));
    let sync = |_| store.sync().expect("a sync");
    set_all(0);
    sync(0);
    set(&commits, 0);
    let file_path = path.with_extension("file");
    let file = File::create(&file_path).expect("a file");
    file.write_all_at(&[0; 1 << 20], 0).expect("a write");
    file.sync_all().expect("a sync");
    let write = |at: usize| {
        file.write_all_at(&value, at as u64 * 1024)
            .expect("a write");
        file.sync_data().expect("a sync");
    };
    let nothing = |_| {};
    let rows = [
        (
            "64 bytes to a file and `fdatasync`, the scale".into(),
            median(TIMES, nothing, write),
        ),
        (
            "`set` with `Commit`".into(),
            median(TIMES, nothing, |at| set(&commits, at)),
        ),
        (
            "`sync` after 1 `set`".into(),
            median(TIMES, |at| set(&store, at), sync),
        ),
        (
            format!("`sync` after {} `set`s", names.len()),
            median(30, set_all, sync),
        ),
        (
            "`set`, never synced".into(),
            median(TIMES, nothing, set_all) / names.len() as f64,
        ),
        ("`set` beside a `Syncer` of 10 ms".into(), {
            let syncer = Syncer::start(store.clone(), Duration::from_millis(10)).expect("a thread");
            let taken = median(3000, nothing, set_all) / names.len() as f64;
            drop(syncer);
            taken
        }),
    ];
    println!("\n| on a disk | µs |\n|---|---|");
    for (name, us) in rows {
        let name: String = name;
        println!("| {name} | {us:.2} |");
    }
    drop((commits, store));
    Store::remove(&path).expect("the store");
    std::fs::remove_file(file_path).expect("the file");
}

fn main() {
    let directory = std::env::args().nth(3);
    let mut arguments = std::env::args()
        .skip(1)
        .take(2)
        .map(|text| text.parse().expect("a number"));
    let keys: usize = arguments.next().unwrap_or(1000);
    let rounds: usize = arguments.next().unwrap_or(200);
    let names: Vec<String> = (0..keys).map(|i| format!("sensor/{i:05}")).collect();
    let absent: Vec<String> = (0..keys).map(|i| format!("absent/{i:05}")).collect();
    let order = shuffled(keys);
    let value = [2; VALUE_BYTES];

    let sterile = store(keys, true, &names);
    let quick = store(keys, false, &names);
    let lru = store(keys, false, &names);
    lru.set_eviction(Eviction::Lru).expect("a policy");
    let numbers = store(keys, false, &[]);
    let tokens = store(keys, false, &[]);
    let timed = store(keys, false, &names);
    for name in &names {
        timed
            .expire(name, Duration::from_secs(86_400))
            .expect("a deadline");
    }
    let handles: Vec<_> = names
        .iter()
        .map(|name| quick.key(name).expect("a key"))
        .collect();
    let map: HashMap<&str, [u8; VALUE_BYTES]> = names.iter().map(|name| (&**name, value)).collect();
    let shuffled_names: Vec<&String> = order.iter().map(|&i| &names[i]).collect();
    let shuffled_entries: Vec<_> = shuffled_names.iter().map(|name| (*name, value)).collect();

    let mut buffers = [[0; VALUE_BYTES]; 8];
    let [a, b, c, d, e, f, ..] = &mut buffers;
    let mut room = vec![0; BATCH * (4 + VALUE_BYTES)];
    let batch_of = |at: usize| at / BATCH * BATCH..(at / BATCH * BATCH + BATCH).min(keys);
    let is_first = |at: usize| at.is_multiple_of(BATCH);
    let ttl = SetOptions::new().ttl(Duration::from_secs(86_400));
    let mut rows: Vec<Row<'_>> = Vec::new();
    let mut row = |name, step| {
        rows.push(Row {
            name,
            step,
            best_ns: f64::MAX,
        });
    };
    let (names, order, absent, map) = (&names, &order, &absent, &map);
    row(
        "`HashMap::get` and a copy, the scale",
        Box::new(move |at| *a = *black_box(&map[&*names[order[at]]])),
    );
    row(
        "`get`",
        Box::new(|at| drop(black_box(quick.get(&names[order[at]], b)))),
    );
    row(
        "`get` of a key handle",
        Box::new(|at| drop(black_box(handles[order[at]].get(c)))),
    );
    row(
        "`get` of a key with a deadline",
        Box::new(|at| drop(black_box(timed.get(&names[order[at]], d)))),
    );
    row(
        "`get` under `lru`",
        Box::new(|at| drop(black_box(lru.get(&names[order[at]], e)))),
    );
    row(
        "`get` of an absent key",
        Box::new(|at| drop(black_box(quick.get(&absent[order[at]], f)))),
    );
    row(
        "`get_with`, one byte read in place",
        Box::new(|at| {
            drop(black_box(quick.get_with(&names[order[at]], |bytes| {
                bytes[0].load(Ordering::Relaxed)
            })));
        }),
    );
    row(
        "`get_many`, a key",
        Box::new(|at| {
            if is_first(at) {
                drop(black_box(quick.get_many_records(
                    &shuffled_names[batch_of(at)],
                    &mut room,
                    |_, _| (),
                )));
            }
        }),
    );
    row(
        "`contains`",
        Box::new(|at| drop(black_box(quick.contains(&names[order[at]])))),
    );
    row(
        "`epoch`",
        Box::new(|at| drop(black_box(quick.epoch(&names[order[at]])))),
    );
    row(
        "`changed` of a key handle",
        Box::new(|at| drop(black_box(handles[order[at]].changed()))),
    );
    row(
        "`set`, throughput mode",
        Box::new(|at| drop(black_box(quick.set(&names[order[at]], value)))),
    );
    row(
        "`set`, sterile mode",
        Box::new(|at| drop(black_box(sterile.set(&names[order[at]], value)))),
    );
    row(
        "`set` of a key handle",
        Box::new(|at| drop(black_box(handles[order[at]].set(value)))),
    );
    row(
        "`set_many`, a key",
        Box::new(|at| {
            if is_first(at) {
                drop(black_box(quick.set_many(&shuffled_entries[batch_of(at)])));
            }
        }),
    );
    row(
        "`set_with` a time to live",
        Box::new(|at| drop(black_box(timed.set_with(&names[order[at]], value, &ttl)))),
    );
    row(
        "`set_with` `if_epoch`, and `get_entry` before",
        Box::new(|at| {
            let name = &names[order[at]];
            let entry = quick.get_entry(name).expect("a read").expect("a key");
            drop(black_box(quick.set_with(
                name,
                value,
                &SetOptions::new().if_epoch(entry.epoch),
            )));
        }),
    );
    row(
        "`apply` `Add`",
        Box::new(|at| {
            drop(black_box(
                numbers.apply(&names[order[at]], Operation::Add(1_u64)),
            ))
        }),
    );
    row(
        "`append` of 8 bytes, to 64",
        Box::new(|at| {
            let name = &names[order[at]];
            if tokens.append(name, [3; 8]).is_err() {
                drop(black_box(tokens.set(name, [])));
            }
        }),
    );
    row(
        "`expire`",
        Box::new(|at| {
            drop(black_box(
                timed.expire(&names[order[at]], Duration::from_secs(86_400)),
            ))
        }),
    );
    row(
        "`label`, taken and given",
        Box::new(|at| {
            let name = &names[order[at]];
            drop(black_box((
                quick.label(name, 1, 0),
                quick.label(name, 0, 1),
            )));
        }),
    );
    row(
        "`unset` and `set`",
        Box::new(|at| {
            let name = &names[order[at]];
            drop(black_box((quick.unset(name), quick.set(name, value))));
        }),
    );

    for _ in 0..rounds {
        for row in &mut rows {
            let start = Instant::now();
            for at in 0..keys {
                (row.step)(at);
            }
            row.best_ns = row
                .best_ns
                .min(start.elapsed().as_nanos() as f64 / keys as f64);
        }
    }
    let scale = rows[0].best_ns;
    println!(
        "| {keys} keys of 12 bytes, values of {VALUE_BYTES} bytes, shuffled | ns | x `HashMap` |"
    );
    println!("|---|---|---|");
    for row in &rows {
        println!(
            "| {} | {:.1} | {:.1} |",
            row.name,
            row.best_ns,
            row.best_ns / scale
        );
    }
    if let Some(directory) = directory {
        measure_durability(Path::new(&directory), names);
    }
}
