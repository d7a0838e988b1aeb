//! The torture: one writer, many readers, and values in which every mixture of two writes shows.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use splinter::{Error, Store};

use crate::failure::{Code, Failure};
use crate::output::shown;
use crate::session::{Kind, Session};
use crate::signals::{Interrupts, Terminations};

/// Key, version and length before the pattern, the checksum behind it.
const FRAME_BYTES: usize = 32;
/// Reads that are counted at once.
const BATCH: u32 = 64;
/// How often the progress is drawn, and Ctrl-C looked for.
const TICK: Duration = Duration::from_millis(100);

/// One process writes, many read, and every value is verified: a torn, mixed or outdated value ends it with exit code 1.
#[derive(Debug, Clone, Args)]
pub(crate) struct StressArgs {
    /// The store to create for it, which must not exist [default: one without a name; splinter_stress_PID with --keep]
    #[arg(value_name = "STORE")]
    pub(crate) store: Option<PathBuf>,
    /// How many threads read
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) threads: u32,
    /// How long it goes on, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    pub(crate) duration_ms: u64,
    /// How many keys are written, in turn
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keys: u32,
    /// How long the writer rests between two writes, in microseconds
    #[arg(long, value_name = "US", default_value_t = 0)]
    pub(crate) writer_us: u64,
    /// How many slots the store has [default: as many as keys, at least 1024]
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<u32>,
    /// The longest value, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    pub(crate) max_value: u32,
    /// Leave the store for looking at it
    #[arg(long)]
    pub(crate) keep: bool,
    /// Show no progress, and figures only if something is wrong
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// What it came to.
#[derive(Debug, Serialize)]
struct Figures {
    threads: u32,
    keys: u32,
    duration_ms: u64,
    writes: u64,
    writes_per_second: u64,
    /// Writes that found the key locked, and waited for it.
    retries: u64,
    reads: u64,
    reads_per_second: u64,
    bytes_read: u64,
    errors: u64,
    integrity_failures: u64,
}

/// What threads count.
#[derive(Default)]
struct Counters {
    done: AtomicBool,
    writes: AtomicU64,
    retries: AtomicU64,
    reads: AtomicU64,
    bytes_read: AtomicU64,
    errors: AtomicU64,
    integrity_failures: AtomicU64,
}

/// A store of the test's own, removed when it ends, unless it is to be kept or has no name.
struct Own<'a> {
    path: &'a Path,
    keep: bool,
}

impl Drop for Own<'_> {
    fn drop(&mut self) {
        if !self.keep {
            // It is the path of the store itself, so that a store in memory is a file here too.
            let _ = Store::remove(self.path);
        }
    }
}

/// Runs the torture in a store that it creates: in shared memory or a file, as the session says.
pub(crate) fn run(args: &StressArgs, session: &Session, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if (args.max_value as usize) < FRAME_BYTES {
        return Err(Failure::usage(format!("--max-value must be at least {FRAME_BYTES}")));
    }
    let slots = args.slots.unwrap_or(args.keys.max(splinter::SLOTS_DEFAULT));
    if slots < args.keys {
        return Err(Failure::usage(format!("{} keys need as many slots", args.keys)));
    }
    let name = args
        .store
        .clone()
        .unwrap_or_else(|| format!("splinter_stress_{}", std::process::id()).into());
    // Obeyed once the store is removed.
    let terminations = Terminations::catch()?;
    let options = session.options().slots(slots).max_value_bytes(args.max_value);
    // All threads share one handle, so nobody needs its name: without one, nothing is left even of a test that is killed.
    let is_nameless = args.store.is_none() && !args.keep;
    let store = if is_nameless && session.kind() == Kind::Memory {
        options.anonymous()
    } else {
        options.create(&name)
    };
    let store = store.map_err(|error| session.about(&name, &error))?;
    if is_nameless && session.kind() == Kind::File {
        Store::remove(store.path())?;
    }
    let _own = Own {
        path: store.path(),
        keep: args.keep || is_nameless,
    };
    let interrupts = Interrupts::catch()?;
    let figures = torture(args, &store, || interrupts.came() || terminations.came())?;
    if terminations.came() {
        return Ok(());
    }
    let told = figures.tell(args, &store, json, out);
    if figures.is_wrong() {
        let (torn, errors) = (figures.integrity_failures, figures.errors);
        let message = format!("{torn} values were not as they were written, {errors} operations failed");
        return Err(Failure::new(Code::Usage, message));
    }
    Ok(told?)
}

impl Figures {
    fn is_wrong(&self) -> bool {
        self.integrity_failures != 0 || self.errors != 0
    }

    fn tell(&self, args: &StressArgs, store: &Store, json: bool, out: &mut dyn Write) -> io::Result<()> {
        if json {
            serde_json::to_writer(&mut *out, self)?;
            return writeln!(out);
        }
        if !args.quiet || self.is_wrong() {
            self.write(out)?;
            if args.keep {
                writeln!(out, "{:<20}{}", "store:", shown(store.path()))?;
            }
        }
        Ok(())
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut line = |what: &str, value: String| writeln!(out, "{what:<20}{value}");
        line("readers:", self.threads.to_string())?;
        line("keys:", self.keys.to_string())?;
        line("duration:", format!("{} ms", self.duration_ms))?;
        line("writes:", format!("{} ({}/s)", self.writes, self.writes_per_second))?;
        line("retries:", self.retries.to_string())?;
        line("reads:", format!("{} ({}/s)", self.reads, self.reads_per_second))?;
        line("bytes read:", self.bytes_read.to_string())?;
        line("errors:", self.errors.to_string())?;
        line("integrity failures:", self.integrity_failures.to_string())
    }
}

fn torture(args: &StressArgs, store: &Store, is_ended: impl Fn() -> bool) -> Result<Figures, Failure> {
    let keys: Vec<String> = (0..args.keys).map(|number| format!("stress/{number}")).collect();
    let max_bytes = args.max_value as usize;
    let mut value = Vec::new();
    for (number, key) in (0..).zip(&keys) {
        fill(&mut value, number, 0, max_bytes);
        store.set(key, &value)?;
    }
    let counters = Counters::default();
    let duration = Duration::from_millis(args.duration_ms);
    let bar = progress(args, duration);
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| write(store, &keys, max_bytes, args.writer_us, &counters));
        for seed in 0..u64::from(args.threads) {
            let (keys, counters) = (&keys, &counters);
            scope.spawn(move || read(store, keys, max_bytes, seed, counters));
        }
        while let Some(left) = duration.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
            if is_ended() {
                break;
            }
            let elapsed = start.elapsed();
            bar.set_position(elapsed.as_millis() as u64);
            let per_second = |count: &AtomicU64| rate(count.load(Ordering::Relaxed), elapsed);
            bar.set_message(format!(
                "{} writes/s, {} reads/s, {} integrity failures",
                per_second(&counters.writes),
                per_second(&counters.reads),
                counters.integrity_failures.load(Ordering::Relaxed)
            ));
            std::thread::sleep(left.min(TICK));
        }
        counters.done.store(true, Ordering::Relaxed);
    });
    bar.finish_and_clear();
    let elapsed = start.elapsed();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Ok(Figures {
        threads: args.threads,
        keys: args.keys,
        duration_ms: elapsed.as_millis() as u64,
        writes: count(&counters.writes),
        writes_per_second: rate(count(&counters.writes), elapsed),
        retries: count(&counters.retries),
        reads: count(&counters.reads),
        reads_per_second: rate(count(&counters.reads), elapsed),
        bytes_read: count(&counters.bytes_read),
        errors: count(&counters.errors),
        integrity_failures: count(&counters.integrity_failures),
    })
}

/// A bar on standard error, if that is a terminal and it is wanted.
fn progress(args: &StressArgs, duration: Duration) -> ProgressBar {
    if args.quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(duration.as_millis() as u64);
    if let Ok(style) = ProgressStyle::with_template("{elapsed} [{bar:20}] {wide_msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

fn rate(count: u64, elapsed: Duration) -> u64 {
    (count as f64 / elapsed.as_secs_f64().max(1e-9)) as u64
}

fn write(store: &Store, keys: &[String], max_bytes: usize, rest_us: u64, counters: &Counters) {
    let mut value = Vec::new();
    for version in 1.. {
        for (number, key) in (0..).zip(keys) {
            if counters.done.load(Ordering::Relaxed) {
                return;
            }
            fill(&mut value, number, version, max_bytes);
            // A reader that has the key's lock for the moment.
            let done = store.try_set(key, &value).or_else(|error| match error {
                Error::Busy { .. } => {
                    counters.retries.fetch_add(1, Ordering::Relaxed);
                    store.set(key, &value)
                }
                error => Err(error),
            });
            let counter = match done {
                Ok(_) => &counters.writes,
                Err(_) => &counters.errors,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            let mut left = Duration::from_micros(rest_us);
            while !left.is_zero() && !counters.done.load(Ordering::Relaxed) {
                let slice = left.min(TICK);
                std::thread::sleep(slice);
                left -= slice;
            }
        }
    }
}

fn read(store: &Store, keys: &[String], max_bytes: usize, seed: u64, counters: &Counters) {
    let mut buffer = vec![0; max_bytes];
    // Of each key the newest version that this thread has seen.
    let mut versions = vec![0; keys.len()];
    let mut random = seed;
    while !counters.done.load(Ordering::Relaxed) {
        // Counted here first, so that the readers' counting does not slow them down.
        let (mut reads, mut bytes_read, mut errors, mut failures) = (0, 0, 0, 0);
        for _ in 0..BATCH {
            random = next(random);
            let number = (random % keys.len() as u64) as usize;
            match store.get(&keys[number], &mut buffer) {
                Ok(Some(bytes)) => {
                    reads += 1;
                    bytes_read += bytes as u64;
                    match verify(&buffer[..bytes], number as u64) {
                        Some(version) if version >= versions[number] => versions[number] = version,
                        _ => failures += 1,
                    }
                }
                // No key is ever deleted.
                Ok(None) => failures += 1,
                Err(_) => errors += 1,
            }
        }
        counters.reads.fetch_add(reads, Ordering::Relaxed);
        counters.bytes_read.fetch_add(bytes_read, Ordering::Relaxed);
        counters.errors.fetch_add(errors, Ordering::Relaxed);
        counters.integrity_failures.fetch_add(failures, Ordering::Relaxed);
    }
}

/// SplitMix64.
fn next(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// The word at a place of a version's pattern: it is at no other place of it, and in no other version or key.
fn pattern(seed: u64, place: usize) -> u64 {
    seed.wrapping_add((place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn checksum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let of_words = words.iter().fold(bytes.len() as u64, |sum, word| {
        (sum ^ u64::from_le_bytes(*word))
            .rotate_left(5)
            .wrapping_mul(0x9fb2_1c65_1e98_df25)
    });
    rest.iter().fold(of_words, |sum, &byte| next(sum ^ u64::from(byte)))
}

/// Makes the value of a key's version: of any length, so that what is left of a longer one would show.
fn fill(value: &mut Vec<u8>, number: u64, version: u64, max_bytes: usize) {
    let seed = next(next(number) ^ version);
    let bytes = FRAME_BYTES + (seed % (max_bytes - FRAME_BYTES + 1) as u64) as usize;
    value.clear();
    value.extend(number.to_le_bytes());
    value.extend(version.to_le_bytes());
    value.extend((bytes as u64).to_le_bytes());
    let mut place = 0;
    while value.len() < bytes - 8 {
        value.extend(pattern(seed, place).to_le_bytes());
        place += 1;
    }
    value.truncate(bytes - 8);
    value.extend(checksum(value).to_le_bytes());
}

/// The version of a value, if it is whole and of this key.
fn verify(value: &[u8], number: u64) -> Option<u64> {
    let (body, &sum) = value.split_last_chunk::<8>()?;
    let (frame, rest) = body.split_first_chunk::<24>()?;
    let word = |at: usize| {
        frame[at..at + 8]
            .iter()
            .rev()
            .fold(0, |word, &byte| word << 8 | u64::from(byte))
    };
    let version = word(8);
    let is_framed = word(0) == number && word(16) == value.len() as u64 && u64::from_le_bytes(sum) == checksum(body);
    let seed = next(next(number) ^ version);
    let is_pattern = rest
        .chunks(8)
        .enumerate()
        .all(|(place, found)| pattern(seed, place).to_le_bytes().starts_with(found));
    (is_framed && is_pattern).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mixture_of_two_values_is_found() {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for version in 0..200 {
            fill(&mut one, 3, version, 300);
            fill(&mut other, 3, version + 1, 300);
            assert_eq!(verify(&one, 3), Some(version));
            assert_eq!(verify(&one, 4), None, "of another key");
            for cut in 1..one.len().min(other.len()) {
                let torn = [&one[..cut], &other[cut..]].concat();
                assert!(
                    torn == one || torn == other || verify(&torn, 3).is_none(),
                    "{version} {cut}"
                );
                assert_eq!(verify(&one[..cut], 3), None, "{version} {cut}");
            }
            for at in 0..one.len() {
                one[at] ^= 1;
                assert_eq!(verify(&one, 3), None, "{version} {at}");
                one[at] ^= 1;
            }
        }
    }
}
