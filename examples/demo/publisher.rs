//! The Rust part of `scripts/demo`: publishes this machine's live `/proc` figures into one store, ten rounds a second,
//! and prints what the Deno and Bun readers write back.
//!
//! Usage: `proc_publisher STORE SECONDS`

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use procfs::process::Process;
use procfs::{Current, CurrentSI, ProcResult};
use serde_json::{Value, json};
use splinter::Store;

const READERS: [&str; 2] = ["deno", "bun"];
const ROUND: Duration = Duration::from_millis(100);
const ROUNDS_PER_SECOND: u32 = 10;
const START_LIMIT: Duration = Duration::from_secs(30);
const END_LIMIT: Duration = Duration::from_secs(10);
const SECTOR_BYTES: u64 = 512;

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Figures = Vec<(String, Value)>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let (path, seconds) = match arguments.as_slice() {
        [_, path, seconds] => (path, seconds.parse()),
        _ => {
            eprintln!("usage: proc_publisher STORE SECONDS");
            return ExitCode::FAILURE;
        }
    };
    match seconds
        .map_err(Into::into)
        .and_then(|seconds| run(path, seconds))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rust: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(path: &str, seconds: u32) -> Result<()> {
    // All three processes do this, in whatever order they start: the first creates, the others open.
    let mut bus = Bus {
        store: Store::open_or_create(path)?,
        writes: 0,
        reads: 0,
        last_reply_us: 0.0,
        wakes_us: Vec::new(),
    };
    let offered = bus.publish_figures()?;
    println!(
        "rust  publishes {} figures: {}",
        offered.len(),
        shortened(&offered)
    );

    for reader in READERS {
        bus.wait_for(&format!("{reader}/ready"), START_LIMIT)?;
    }
    // The readers print the rows under this header.
    println!("\n time  by     load  memory used      cpu       disk r/w KiB/s  net in/out KiB/s");

    let start = Instant::now();
    let last = seconds * ROUNDS_PER_SECOND;
    for round in 0..=last {
        let elapsed = ROUND * round;
        bus.publish_figures()?;
        // The stop goes out before the last beat, so that the readers find it when that beat wakes them.
        if round == last {
            bus.put("demo/stop", &json!(round))?;
        }
        bus.put(
            "demo/beat",
            &json!({"round": round, "elapsed_s": elapsed.as_secs_f64(), "wrote_us": now_us()}),
        )?;
        bus.count_replies(start + elapsed + ROUND)?;
        if round > 0 && round % ROUNDS_PER_SECOND == 0 {
            bus.print_runtimes(elapsed)?;
        }
    }

    let mut rows = Vec::new();
    for reader in READERS {
        rows.push((
            reader,
            bus.wait_for(&format!("{reader}/summary"), END_LIMIT)?,
        ));
    }
    rows.insert(0, ("rust", bus.summary()));
    print_summary(&rows);
    Ok(())
}

/// The store, and a count of what this process does with it.
struct Bus {
    store: Store,
    writes: u64,
    reads: u64,
    last_reply_us: f64,
    wakes_us: Vec<f64>,
}

impl Bus {
    fn put(&mut self, key: &str, value: &Value) -> Result<()> {
        self.writes += 1;
        self.store.set(key, value.to_string())?;
        Ok(())
    }

    fn look(&mut self, key: &str) -> Result<Option<Value>> {
        self.reads += 1;
        match self.store.get_vec(key)? {
            Some(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            None => Ok(None),
        }
    }

    fn wait_for(&mut self, key: &str, limit: Duration) -> Result<Value> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(value) = self.look(key)? {
                return Ok(value);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("nobody wrote \"{key}\" in {} s", limit.as_secs()).into());
            }
            // A write between the look and the poll does not end the poll, so the wait is cut into slices.
            self.store.poll(key, left.min(ROUND))?;
        }
    }

    /// Writes every figure that this machine offers and returns the keys.
    fn publish_figures(&mut self) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        for source in [loadavg, meminfo, cpus, own_memory, disks, networks] {
            // Some containers hide a part of /proc. What is there is worth publishing all the same.
            for (key, value) in source().unwrap_or_default() {
                self.put(&key, &value)?;
                keys.push(key);
            }
        }
        Ok(keys)
    }

    /// Takes the readers' replies to one beat until `deadline`, which is also what paces the rounds.
    fn count_replies(&mut self, deadline: Instant) -> Result<()> {
        loop {
            // The epoch is taken before the look: a reply that arrives between the look and the poll ends the poll.
            let since = self.store.epoch("demo/reply")?.unwrap_or(0);
            let woke_us = now_us();
            if let Some(reply) = self.look("demo/reply")? {
                let wrote_us = number(&reply, "wrote_us");
                if wrote_us != self.last_reply_us {
                    self.last_reply_us = wrote_us;
                    self.wakes_us.push(woke_us - wrote_us);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.store.poll_since("demo/reply", since, left)?;
        }
    }

    fn print_runtimes(&mut self, elapsed: Duration) -> Result<()> {
        let mut seen = Vec::new();
        if let Some(own) = self.look("proc/self/statm")? {
            seen.push(format!("rust uses {}", mebibytes(&own)));
        }
        for reader in READERS {
            if let Some(runtime) = self.look(&format!("{reader}/runtime"))? {
                seen.push(format!(
                    "{reader} uses {}, up {:.1} s",
                    mebibytes(&runtime),
                    number(&runtime, "up_s")
                ));
            }
        }
        println!("{:>4.1}s  rust  {}", elapsed.as_secs_f64(), seen.join("; "));
        Ok(())
    }

    fn summary(&mut self) -> Value {
        self.wakes_us.sort_by(f64::total_cmp);
        let rank = |share: f64| {
            let at = (self.wakes_us.len() as f64 * share).ceil() as usize;
            self.wakes_us.get(at.saturating_sub(1)).copied()
        };
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "writes": self.writes,
            "reads": self.reads,
            "changes": self.wakes_us.len(),
            "median_us": rank(0.5),
            "p90_us": rank(0.9),
            "worst_us": rank(1.0),
        })
    }
}

fn loadavg() -> ProcResult<Figures> {
    let load = procfs::LoadAverage::current()?;
    let [one, five, fifteen] =
        [load.one, load.five, load.fifteen].map(|x| (f64::from(x) * 100.0).round() / 100.0);
    Ok(vec![(
        "proc/loadavg".into(),
        json!({"one": one, "five": five, "fifteen": fifteen, "runnable": load.cur, "tasks": load.max}),
    )])
}

fn meminfo() -> ProcResult<Figures> {
    let memory = procfs::Meminfo::current()?;
    Ok(vec![(
        "proc/meminfo".into(),
        json!({
            "total_bytes": memory.mem_total,
            "available_bytes": memory.mem_available.unwrap_or(memory.mem_free),
            "cached_bytes": memory.cached,
            "shared_bytes": memory.shmem,
        }),
    )])
}

fn cpus() -> ProcResult<Figures> {
    let stat = procfs::KernelStats::current()?;
    Ok(stat
        .cpu_time
        .iter()
        .enumerate()
        .map(|(cpu, time)| {
            let idle_ms = time.idle_ms() + time.iowait_ms().unwrap_or(0);
            let busy_ms = time.user_ms()
                + time.nice_ms()
                + time.system_ms()
                + time.irq_ms().unwrap_or(0)
                + time.softirq_ms().unwrap_or(0)
                + time.steal_ms().unwrap_or(0);
            (
                format!("proc/stat/cpu{cpu}"),
                json!({"busy_ms": busy_ms, "idle_ms": idle_ms}),
            )
        })
        .collect())
}

fn own_memory() -> ProcResult<Figures> {
    let statm = Process::myself()?.statm()?;
    Ok(vec![(
        "proc/self/statm".into(),
        json!({"rss_bytes": statm.resident * procfs::page_size()}),
    )])
}

fn disks() -> ProcResult<Figures> {
    Ok(procfs::diskstats()?
        .into_iter()
        .filter(|disk| disk.reads + disk.writes > 0)
        // A partition's traffic is counted in its disk already.
        .filter(|disk| Path::new("/sys/block").join(&disk.name).exists())
        .map(|disk| {
            (
                format!("proc/disk/{}", disk.name),
                json!({
                    "read_bytes": disk.sectors_read * SECTOR_BYTES,
                    "written_bytes": disk.sectors_written * SECTOR_BYTES,
                }),
            )
        })
        .collect())
}

fn networks() -> ProcResult<Figures> {
    let mut networks: Vec<_> = procfs::net::dev_status()?.into_values().collect();
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(networks
        .into_iter()
        .filter(|net| net.recv_bytes + net.sent_bytes > 0)
        .map(|net| {
            (
                format!("proc/net/{}", net.name),
                json!({"received_bytes": net.recv_bytes, "sent_bytes": net.sent_bytes}),
            )
        })
        .collect())
}

/// Wall-clock time. The readers' monotonic clocks start with their processes, so this is the one clock all three share.
fn now_us() -> f64 {
    let since_epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    since_epoch.as_nanos() as f64 / 1000.0
}

fn number(value: &Value, field: &str) -> f64 {
    value[field].as_f64().unwrap_or(0.0)
}

fn mebibytes(value: &Value) -> String {
    format!("{:.1} MiB", number(value, "rss_bytes") / 1024.0 / 1024.0)
}

fn shortened(keys: &[String]) -> String {
    let names: Vec<_> = keys
        .iter()
        .map(|key| key.trim_start_matches("proc/"))
        .collect();
    match names.len() {
        0..=12 => names.join(" "),
        _ => format!("{} ...", names[..12].join(" ")),
    }
}

fn print_summary(rows: &[(&str, Value)]) {
    println!(
        "\n{:<14}{:>8}{:>8}{:>14}   write to wake: median{:>10}{:>10}",
        "", "writes", "reads", "changes seen", "90%", "worst"
    );
    for (name, row) in rows {
        let version = row["version"].as_str().unwrap_or("?");
        let [median, p90, worst] =
            ["median_us", "p90_us", "worst_us"].map(|field| match row[field].as_f64() {
                Some(us) if us.abs() < 1000.0 => format!("{us:.0} µs"),
                Some(us) => format!("{:.1} ms", us / 1000.0),
                None => "none".into(),
            });
        println!(
            "{:<14}{:>8}{:>8}{:>14}{median:>24}{p90:>10}{worst:>10}",
            format!("{name} {version}"),
            number(row, "writes"),
            number(row, "reads"),
            number(row, "changes"),
        );
    }
}
