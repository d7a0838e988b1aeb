//! One process, one operation after another.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use splinter::KeyHandle;

use crate::book::{Book, Context};
use crate::document::Kind;
use crate::measure::{Contender, Distribution, Effort, Random, Series, Step, interleaved, key, order, outcomes};
use crate::messages;
use crate::peers::{Array, BATCH, Lmdb, Map, Peer, Redb, Redis, Splinter, Sqlite};
use crate::peers_iceoryx2::{Blackboard, BlackboardLookup};

/// Keys that are inserted and deleted again, beside those that stay.
const FRESH: usize = 4096;
/// More bytes of values than this are too many for those that keep every byte several times.
const ALL_PEERS_BYTES_MAX: usize = 256 << 20;

pub const ARRAY: &str = "array and memcpy";
pub const US: &str = "splinter";
const STERILE: &str = "splinter, sterile";

struct Entrant<'a> {
    name: &'static str,
    kind: Kind,
    peer: RefCell<Box<dyn Peer + 'a>>,
}

impl<'a> Entrant<'a> {
    fn new(name: &'static str, kind: Kind, peer: impl Peer + 'a) -> Self {
        Self {
            name,
            kind,
            peer: RefCell::new(Box::new(peer)),
        }
    }
}

fn contenders<'a, 'e: 'a, 'p: 'e>(
    entrants: impl IntoIterator<Item = &'e Entrant<'p>>,
    order: &'a [Step],
    value_bytes: usize,
    work: impl Fn(&mut dyn Peer, &[Step], &mut [u8]) + Copy + 'a,
) -> Vec<Contender<'a>> {
    let contender = |entrant: &'e Entrant<'p>| {
        let mut buffer = vec![7; value_bytes];
        Contender {
            name: entrant.name,
            kind: entrant.kind,
            order,
            work: Box::new(move |steps| work(&mut **entrant.peer.borrow_mut(), steps, &mut buffer)),
        }
    };
    entrants.into_iter().map(contender).collect()
}

fn named<'a>(name: &'static str, kind: Kind, mut contenders: Vec<Contender<'a>>) -> Vec<Contender<'a>> {
    for contender in &mut contenders {
        (contender.name, contender.kind) = (name, kind);
    }
    contenders
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn case_name(keys: usize, value_bytes: usize, distribution: Distribution) -> String {
    let size = match value_bytes {
        bytes @ ..1024 => format!("{bytes} B"),
        bytes => format!("{} KiB", bytes / 1024),
    };
    let zipf = match distribution {
        Distribution::Uniform => "",
        Distribution::Zipf => ", zipf",
    };
    format!("{} keys, {size}{zipf}", thousands(keys))
}

fn fill(peer: &mut dyn Peer, keys: usize, value: &[u8]) {
    let steps: Vec<Step> = (0..keys)
        .map(|number| Step {
            key: key('a', number),
            number: number as u32,
        })
        .collect();
    for batch in steps.chunks(BATCH) {
        peer.set_many(batch, value);
    }
}

pub fn run(context: &Context, book: &mut Book) {
    let all = !context.effort.quick;
    case::<64>(context, book, 1000);
    if all {
        case::<1024>(context, book, 1000);
    }
    case::<4096>(context, book, 1000);
    if all {
        case::<65536>(context, book, 1000);
    }
    case::<64>(context, book, 64_000);
    if all {
        case::<1024>(context, book, 64_000);
        case::<4096>(context, book, 64_000);
    }
    case::<64>(context, book, 1_000_000);
    if all {
        case::<1024>(context, book, 1_000_000);
    }
    handles(context, book);
    for slots in [65_536, 1_000_000] {
        for percent in [50, 90, 99] {
            if slots == 65_536 || !context.effort.quick {
                full(context, book, slots, percent);
            }
        }
    }
    messages::run(context, book);
}

/// Everybody, with the same keys and values.
fn entrants<'a, const N: usize>(context: &Context, keys: usize, root: &Path) -> Vec<Entrant<'a>> {
    let value = vec![7; N];
    let mut all = vec![Entrant::new(
        ARRAY,
        Kind::Floor,
        Array {
            values: vec![1; keys * N],
        },
    )];
    let mut enter = |name, kind, mut peer: Box<dyn Peer>| {
        fill(&mut *peer, keys, &value);
        all.push(Entrant {
            name,
            kind,
            peer: RefCell::new(peer),
        });
    };
    let store = |name, sterile| {
        let options = Splinter::options(keys + FRESH, N, sterile);
        Box::new(Splinter::new(options.create(root.join(name)).expect("a store")))
    };
    enter(US, Kind::Us, store("throughput", false));
    enter(STERILE, Kind::Us, store("sterile", true));
    enter(
        "HashMap",
        Kind::Peer,
        Box::new(Map::<N>(HashMap::with_capacity(keys + FRESH))),
    );
    let map_bytes = (keys + FRESH) * (N + 4096).min(4 * N + 512) * 2 + (256 << 20);
    enter("LMDB", Kind::Peer, Box::new(Lmdb::open(&root.join("lmdb"), map_bytes)));
    if keys * N <= ALL_PEERS_BYTES_MAX {
        enter("redb", Kind::Peer, Box::new(Redb::open(&root.join("redb"))));
        enter("SQLite", Kind::Peer, Box::new(Sqlite::open(&root.join("sqlite"))));
        if let Some(server) = &context.redis {
            let mut redis = Redis::connect(&server.socket).expect("our own server");
            redis.clear();
            enter("Redis", Kind::Peer, Box::new(redis));
        }
    }
    all
}

fn case<const N: usize>(context: &Context, book: &mut Book, keys: usize) {
    let effort = context.effort;
    let name = case_name(keys, N, Distribution::Uniform);
    context.progress(&name);
    let root = context.passing_directory();
    let all = entrants::<N>(context, keys, root.path());
    let keyed = || all.iter().filter(|of| of.kind != Kind::Floor);
    let readers = || keyed().filter(|of| of.name != STERILE);

    let mut distributions = vec![Distribution::Uniform];
    if N == 64 && !effort.quick {
        distributions.push(Distribution::Zipf);
    }
    for distribution in distributions {
        let name = case_name(keys, N, distribution);
        let steps = order('a', keys, distribution, 1);
        let steps = &steps[..];
        let looked_up = all.iter().filter(|of| of.name != STERILE);
        let mut gets = contenders(looked_up, steps, N, |peer, steps, into| {
            peer.get_each(steps, into);
        });
        gets.push(Contender {
            name: "the loop alone",
            kind: Kind::Floor,
            order: steps,
            work: Box::new(|steps| {
                for step in steps {
                    black_box(step);
                }
            }),
        });
        let measured = interleaved(&mut gets, 1, effort);
        book.add("get", outcomes(measured, ARRAY, &name));

        let mut sets = contenders(&all, steps, N, |peer, steps, value| {
            peer.set_each(steps, value);
        });
        let measured = interleaved(&mut sets, 1, effort);
        book.add("set", outcomes(measured, ARRAY, &name));

        let mut batches = contenders(readers(), steps, N * BATCH, |peer, steps, into| {
            peer.get_batches(steps, into);
        });
        let ours = readers().filter(|of| of.name == US);
        batches.extend(named(
            "splinter, one by one",
            Kind::Floor,
            contenders(ours, steps, N, |peer, steps, into| {
                peer.get_each(steps, into);
            }),
        ));
        let measured = interleaved(&mut batches, BATCH, effort);
        book.add("get-many", outcomes(measured, "HashMap", &name));

        let mut batches = contenders(readers(), steps, N, |peer, steps, value| {
            peer.set_batches(steps, value);
        });
        let measured = interleaved(&mut batches, BATCH, effort);
        book.add("set-many", outcomes(measured, "HashMap", &name));
    }

    let present = order('a', keys, Distribution::Uniform, 3);
    let absent = order('z', keys, Distribution::Uniform, 2);
    let mut misses = contenders(readers(), &absent, N, |peer, steps, into| {
        peer.miss_each(steps, into);
    });
    let ours = readers().filter(|of| of.name == US);
    misses.extend(named(
        "splinter, a hit",
        Kind::Floor,
        contenders(ours, &present, N, |peer, steps, into| {
            peer.get_each(steps, into);
        }),
    ));
    let measured = interleaved(&mut misses, 1, effort);
    book.add("miss", outcomes(measured, "HashMap", &name));

    let (inserted, deleted) = insert_and_delete(keyed(), &vec![7; N], effort);
    book.add("set-new", outcomes(inserted, "HashMap", &name));
    book.add("unset", outcomes(deleted, "HashMap", &name));

    let rounds = if keys > 100_000 {
        effort.rounds.div_ceil(8)
    } else {
        effort.rounds
    };
    let mut lists: Vec<Series> = readers().map(|of| Series::new(of.name, of.kind)).collect();
    for _ in 0..rounds {
        for (entrant, series) in readers().zip(&mut lists) {
            let mut peer = entrant.peer.borrow_mut();
            let start = Instant::now();
            assert_eq!(peer.list(), keys);
            let taken = start.elapsed().as_nanos() as f64;
            series.values.push(taken / keys as f64);
        }
    }
    book.add("list", outcomes(lists, "HashMap", &name));
}

/// New keys, and the same deleted again, in turn.
fn insert_and_delete<'a, 'p: 'a>(
    entrants: impl Iterator<Item = &'a Entrant<'p>>,
    value: &[u8],
    effort: Effort,
) -> (Vec<Series>, Vec<Series>) {
    let mut fresh: Vec<Step> = (0..FRESH)
        .map(|number| Step {
            key: key('n', number),
            number: 0,
        })
        .collect();
    let mut random = Random::new(4);
    for at in (1..FRESH).rev() {
        fresh.swap(at, random.below(at + 1));
    }
    let time = |entrant: &Entrant<'_>, steps: &[Step]| {
        let mut peer = entrant.peer.borrow_mut();
        let start = Instant::now();
        peer.set_each(steps, value);
        let inserted = start.elapsed();
        peer.unset_each(steps);
        (inserted, start.elapsed() - inserted)
    };
    let entrants: Vec<(&Entrant<'p>, usize)> = entrants
        .map(|entrant| {
            let mut steps = 16;
            while steps < FRESH && time(entrant, &fresh[..steps]).0 < effort.slice / 4 {
                steps *= 2;
            }
            (entrant, steps)
        })
        .collect();
    let mut both: Vec<(Series, Series)> = entrants
        .iter()
        .map(|(of, _)| (Series::new(of.name, of.kind), Series::new(of.name, of.kind)))
        .collect();
    for _ in 0..effort.rounds {
        for ((entrant, steps), series) in entrants.iter().zip(&mut both) {
            let ns = |taken: Duration| taken.as_nanos() as f64 / *steps as f64;
            let (inserted, deleted) = time(entrant, &fresh[..*steps]);
            series.0.values.push(ns(inserted));
            series.1.values.push(ns(deleted));
        }
    }
    both.into_iter().unzip()
}

/// Our keys that were looked up once.
struct Handles<'a>(Vec<KeyHandle<&'a splinter::Store>>);

impl Peer for Handles<'_> {
    fn get(&mut self, step: &Step, into: &mut [u8]) -> bool {
        let found = self.0[step.number as usize].get(into);
        found.expect("a read").is_some()
    }

    fn set(&mut self, step: &Step, value: &[u8]) {
        self.0[step.number as usize].set(value).expect("a set");
    }

    fn unset(&mut self, _: &Step) -> bool {
        unreachable!("handles are of keys that stay")
    }

    fn list(&mut self) -> usize {
        self.0.len()
    }
}

/// By handles that are held, beside those of iceoryx2's blackboard.
fn handles(context: &Context, book: &mut Book) {
    const KEYS: usize = 1000;
    const N: usize = 64;
    let name = case_name(KEYS, N, Distribution::Uniform);
    context.progress("handles");
    let store = Splinter::options(KEYS, N, false)
        .create(context.directory("handles").join("store"))
        .expect("a store");
    for number in 0..KEYS {
        store.set(key('a', number), [7; N]).expect("a set");
    }
    let held = (0..KEYS).map(|number| store.key(key('a', number)).expect("a key"));
    let root = context.directory("iceoryx2-handles");
    let blackboard = Blackboard::<N>::create(&root, KEYS).writing();
    let lookup = BlackboardLookup::<N>::open(&blackboard);
    let all = [
        Entrant::new(
            ARRAY,
            Kind::Floor,
            Array {
                values: vec![1; KEYS * N],
            },
        ),
        Entrant::new("splinter, handle", Kind::Us, Handles(held.collect())),
        Entrant::new("iceoryx2 blackboard, handle", Kind::Peer, blackboard),
        Entrant::new("iceoryx2 blackboard, by key", Kind::Peer, lookup),
    ];
    let steps = order('a', KEYS, Distribution::Uniform, 1);
    let mut gets = contenders(&all, &steps, N, |peer, steps, into| peer.get_each(steps, into));
    let measured = interleaved(&mut gets, 1, context.effort);
    book.add("handle-get", outcomes(measured, ARRAY, &name));
    let mut sets = contenders(&all[..3], &steps, N, |peer, steps, value| peer.set_each(steps, value));
    let measured = interleaved(&mut sets, 1, context.effort);
    book.add("handle-set", outcomes(measured, ARRAY, &name));
}

/// A store that was once full, and of which keys at random are left.
fn full(context: &Context, book: &mut Book, slots: usize, percent: usize) {
    const N: usize = 64;
    let name = format!("{} slots, {percent}% full", thousands(slots));
    context.progress(&name);
    let directory = context.passing_directory();
    let store = Splinter::options(slots, N, false)
        .create(directory.path().join("store"))
        .expect("a store");
    let mut us = Splinter::new(store);
    fill(&mut us, slots, &[7; N]);
    let mut numbers: Vec<usize> = (0..slots).collect();
    let mut random = Random::new(5);
    for at in (1..slots).rev() {
        numbers.swap(at, random.below(at + 1));
    }
    let (kept, gone) = numbers.split_at(slots * percent / 100);
    for &number in gone {
        us.store.unset(key('a', number)).expect("an unset");
    }
    let mut random = Random::new(6);
    let present: Vec<Step> = (0..1 << 20)
        .map(|_| {
            let number = kept[random.below(kept.len())];
            Step {
                key: key('a', number),
                number: number as u32,
            }
        })
        .collect();
    let absent = order('z', slots, Distribution::Uniform, 7);
    let us = [Entrant::new(US, Kind::Us, us)];
    let mut all = named(
        "get hit",
        Kind::Floor,
        contenders(&us, &present, N, |peer, steps, into| {
            peer.get_each(steps, into);
        }),
    );
    all.extend(named(
        "get miss",
        Kind::Us,
        contenders(&us, &absent, N, |peer, steps, into| {
            peer.miss_each(steps, into);
        }),
    ));
    all.extend(named(
        "set",
        Kind::Us,
        contenders(&us, &present, N, |peer, steps, value| {
            peer.set_each(steps, value);
        }),
    ));
    let measured = interleaved(&mut all, 1, context.effort);
    book.add("full", outcomes(measured, "get hit", &name));
}
