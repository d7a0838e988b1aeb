//! How long it takes until a process that sleeps on a key has seen another one write it.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use splinter::{OpenOptions, Store};

use crate::failure::{Code, Failure};
use crate::signals::Interrupts;

const PING: &str = "ping";
const PONG: &str = "pong";
/// What the echo does last.
const END: u64 = u64::MAX;
/// Not measured: until then the processes find their processors.
const WARM_UP: u32 = 200;
/// How long to sleep before looking whether the other side still lives, or Ctrl-C came.
const SLICE: Duration = Duration::from_millis(200);
/// How long the other side may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures how soon another process on this machine sees a write that it waits for: half of a round trip between two
/// processes that wait for each other's keys.
#[derive(Debug, Clone, Args)]
pub(crate) struct LatencyArgs {
    /// How many round trips are measured
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) count: u32,
    /// Sleep at once, without looking for a few microseconds first
    #[arg(long)]
    pub(crate) no_spin: bool,
    /// The other side: answers each write of the store at this path.
    #[arg(long, value_name = "PATH", hide = true)]
    pub(crate) echo: Option<PathBuf>,
}

/// What it came to, in microseconds.
#[derive(Debug, Serialize)]
struct Figures {
    count: u32,
    median_us: f64,
    p90_us: f64,
    p99_us: f64,
    max_us: f64,
}

/// The other side, which does not outlive this one.
struct Echo(Child);

impl Drop for Echo {
    fn drop(&mut self) {
        // It has ended by itself as a rule.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures, and prints the figures.
pub(crate) fn run(args: &LatencyArgs, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if let Some(path) = &args.echo {
        return echo(&options(args).open(path)?);
    }
    let interrupts = Interrupts::catch()?;
    let mut round_trips = measure(args, &interrupts)?;
    round_trips.sort_unstable();
    let figures = Figures::of(&round_trips);
    if json {
        serde_json::to_writer(&mut *out, &figures).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        for (name, value) in [
            ("median:", figures.median_us),
            ("p90:", figures.p90_us),
            ("p99:", figures.p99_us),
            ("max:", figures.max_us),
        ] {
            writeln!(out, "{name:<10}{value:.2} µs")?;
        }
    }
    Ok(())
}

fn options(args: &LatencyArgs) -> OpenOptions {
    let options = OpenOptions::new().slots(2).max_value_bytes(8);
    if args.no_spin {
        options.spin(Duration::ZERO)
    } else {
        options
    }
}

impl Figures {
    /// Of round trips in ascending order, of which there is at least one.
    fn of(round_trips: &[Duration]) -> Self {
        let last = round_trips.len() - 1;
        // To a nanosecond.
        let at = |percent: usize| (round_trips[last * percent / 100].as_nanos() / 2) as f64 / 1e3;
        Self {
            count: round_trips.len() as u32,
            median_us: at(50),
            p90_us: at(90),
            p99_us: at(99),
            max_us: at(100),
        }
    }
}

fn measure(args: &LatencyArgs, interrupts: &Interrupts) -> Result<Vec<Duration>, Failure> {
    // It has no name, so nothing is left behind whoever is killed.
    let store = options(args).anonymous()?;
    store.set(PING, 0_u64.to_le_bytes())?;
    let mut epoch = store.set(PONG, 0_u64.to_le_bytes())?;
    let mut echo = spawn(args, store.path().as_os_str())?;
    let mut round_trips = Vec::with_capacity(args.count as usize);
    for number in 1..=u64::from(WARM_UP + args.count) {
        if interrupts.came() {
            return Err(interrupted());
        }
        let start = Instant::now();
        store.set(PING, number.to_le_bytes())?;
        while !store.poll_since(PONG, epoch, SLICE)? {
            check(&mut echo, interrupts, start)?;
        }
        epoch = store.epoch(PONG)?.unwrap_or(0);
        if number > u64::from(WARM_UP) {
            round_trips.push(start.elapsed());
        }
    }
    store.set(PING, END.to_le_bytes())?;
    let _ = echo.0.wait();
    Ok(round_trips)
}

fn interrupted() -> Failure {
    Failure::new(Code::Usage, "interrupted; nothing was measured")
}

fn check(echo: &mut Echo, interrupts: &Interrupts, since: Instant) -> Result<(), Failure> {
    let other_side = |what: &str| Failure::new(Code::TimedOut, format!("the other process {what}"));
    if interrupts.came() {
        return Err(interrupted());
    }
    match echo.0.try_wait() {
        Ok(None) if since.elapsed() < PATIENCE => Ok(()),
        Ok(None) => Err(other_side("does not answer")),
        _ => Err(other_side("has ended")),
    }
}

fn spawn(args: &LatencyArgs, path: &OsStr) -> Result<Echo, Failure> {
    // Whatever name this process was started by: under this one a command is run, and nothing else.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("splinterctl").arg("latency");
    if args.no_spin {
        command.arg("--no-spin");
    }
    command
        .arg("--echo")
        .arg(path)
        // Its end tells that this process has ended, even if that was before the other one looked.
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map(Echo)
        .map_err(|error| Failure::new(Code::Usage, format!("could not start the other process: {error}")))
}

/// Answers until it is told to end, or whoever asks has ended.
fn echo(store: &Store) -> Result<(), Failure> {
    let mut number = [0; 8];
    let mut seen = 0;
    loop {
        let epoch = store.epoch(PING)?.unwrap_or(0);
        store.get(PING, &mut number)?;
        let asked = u64::from_le_bytes(number);
        if asked == END {
            return Ok(());
        }
        if asked != seen {
            seen = asked;
            store.set(PONG, number)?;
        }
        while !store.poll_since(PING, epoch, SLICE)? {
            if is_alone() {
                return Ok(());
            }
        }
    }
}

/// Whether the process at the other end of the standard input has ended. It never writes into it.
fn is_alone() -> bool {
    let stdin = rustix::stdio::stdin();
    let mut descriptors = [PollFd::new(&stdin, PollFlags::empty())];
    poll(&mut descriptors, Some(&Timespec::default())).is_ok() && !descriptors[0].revents().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_halves_of_round_trips() {
        let round_trips: Vec<_> = (1..=1000).map(|us| Duration::from_micros(2 * us)).collect();
        let figures = Figures::of(&round_trips);
        assert_eq!((figures.count, figures.max_us), (1000, 1000.0));
        assert_eq!(
            (figures.median_us, figures.p90_us, figures.p99_us),
            (500.0, 900.0, 990.0)
        );
    }
}
