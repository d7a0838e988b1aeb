//! Commands that go on: `watch`, `changes`, `monitor`, `sweep` and `stat`.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use splinter::{Change, Error, Event, Pattern, Store, WatchOptions};

use crate::answer::{Answer, Rates};
use crate::failure::{Code, Failure, tell};
use crate::labels::Labels;
use crate::output::{Output, kind_name};
use crate::session::Session;
use crate::signals::{Interrupts, nobody_reads};
use crate::table::{ChangesArgs, MonitorArgs, StatArgs, SweepArgs, WatchArgs};

/// How long nothing else is looked at while it waits.
const SLICE: Duration = Duration::from_millis(100);
/// Lines of `stat` below one heading, where a terminal scrolls them away.
const HEADING_INTERVAL: u64 = 20;
/// Time between two sweeps, unless another is asked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What ends a command that goes on.
struct Ends {
    interrupts: Interrupts,
    left: Option<u64>,
    /// Whether it was told that the store has lost its name.
    is_removal_told: bool,
    /// When it was looked around last.
    looked: Instant,
}

impl Ends {
    fn after(count: Option<u64>) -> Result<Self, Failure> {
        let interrupts = Interrupts::catch()
            .map_err(|error| Failure::usage(format!("could not prepare for Ctrl-C: {error}; try again")))?;
        Ok(Self {
            interrupts,
            left: count,
            is_removal_told: false,
            looked: Instant::now(),
        })
    }

    /// Whether it is time to end.
    fn come(&self) -> bool {
        self.left == Some(0) || self.interrupts.came()
    }

    /// Notes that something was printed.
    fn count(&mut self) {
        self.left = self.left.map(|left| left.saturating_sub(1));
    }

    /// Looks around while nothing happens.
    fn look(&mut self, command: &str, store: &Store) -> Result<(), Failure> {
        self.looked = Instant::now();
        if nobody_reads() {
            return Err(Failure::NobodyReads);
        }
        let is_removed = rustix::fs::fstat(store).is_ok_and(|file| file.st_nlink == 0);
        // One without a name has never had any.
        if is_removed && !self.is_removal_told && !store.path().starts_with("/proc") {
            self.is_removal_told = true;
            tell(&format!(
                "{command}: the store was removed; those who have it open still share it"
            ));
        }
        Ok(())
    }
}

pub(crate) fn watch(session: &mut Session, arguments: &WatchArgs, output: &mut Output<'_>) -> Result<(), Failure> {
    let prefix = session.prefix.clone();
    let keys: Vec<String> = arguments.keys.iter().map(|key| session.key(key)).collect();
    let pattern = match &arguments.glob {
        Some(glob) => Pattern::glob(&(literally(&prefix) + glob)),
        None if !keys.is_empty() => Pattern::keys(keys.clone()),
        None if arguments.all || !prefix.is_empty() || !arguments.labelled.labels.is_empty() => Pattern::prefix(prefix),
        None => {
            return Err(Failure::usage(
                "nothing to watch; name a key, or give --prefix, --glob, --label or --all",
            ));
        }
    };
    let store = session.store()?;
    let mut options = WatchOptions::new()
        .values(true)
        .appended(arguments.appended)
        .labels(Labels::of(&store)?.bits(&arguments.labelled.labels)?)
        .initial(arguments.initial);
    if let Some(from) = arguments.from {
        options = options.from(from);
    }
    let mut ends = Ends::after(arguments.limit())?;
    let mut watcher = store.watch_with(pattern, &options)?;
    let patience = arguments.timeout_ms.map(Duration::from_millis);
    let mut last = Instant::now();
    while !ends.come() {
        let slice = patience.map_or(SLICE, |patience| SLICE.min(patience.saturating_sub(last.elapsed())));
        let event = match watcher.next_timeout(slice) {
            Ok(Some(event)) => event,
            Ok(None) => {
                ends.look("watch", &store)?;
                if patience.is_some_and(|patience| last.elapsed() >= patience) && !ends.come() {
                    return Err(Failure::new(
                        Code::TimedOut,
                        "nothing has changed; try a longer --timeout-ms",
                    ));
                }
                continue;
            }
            // Nothing is lost: the same event is tried again.
            Err(Error::Busy { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        match &arguments.exec {
            Some(command) => {
                output.flush()?;
                execute(command, &event)?;
            }
            None => {
                let with_key = keys.len() != 1;
                output.show(&Answer::Event {
                    event,
                    with_key,
                    with_offset: arguments.appended,
                })?;
                output.flush()?;
            }
        }
        ends.count();
        last = Instant::now();
    }
    Ok(())
}

/// A text as a glob that matches nothing else.
fn literally(text: &str) -> String {
    let mut glob = String::new();
    for character in text.chars() {
        if matches!(character, '*' | '?' | '\\') {
            glob.push('\\');
        }
        glob.push(character);
    }
    glob
}

/// Runs a command of the shell for one event, to its end.
fn execute(command: &str, event: &Event) -> Result<(), Failure> {
    let failed = |error| Failure::usage(format!("could not run sh for --exec: {error}"));
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("SPLINTER_KEY", &*event.key)
        .env("SPLINTER_EPOCH", event.epoch.to_string())
        .env("SPLINTER_KIND", kind_name(event.kind))
        .env("SPLINTER_OFFSET", event.offset.to_string())
        .stdin(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        // A command that does not read it all is none the worse for it.
        let _ = input.write_all(event.value.as_deref().unwrap_or_default());
    }
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        tell(&format!("watch: the command of --exec ended with {status}"));
    }
    Ok(())
}

pub(crate) fn changes(session: &mut Session, arguments: &ChangesArgs, output: &mut Output<'_>) -> Result<(), Failure> {
    let from = match (arguments.from, arguments.follow) {
        (None, false) => Some(0),
        (from, _) => from,
    };
    feed(
        session,
        "changes",
        from,
        arguments.follow,
        arguments.count,
        false,
        output,
    )
}

pub(crate) fn monitor(session: &mut Session, arguments: &MonitorArgs, output: &mut Output<'_>) -> Result<(), Failure> {
    feed(session, "monitor", None, true, arguments.count, true, output)
}

/// Prints the feed, with what of it is behind the prefix.
fn feed(
    session: &mut Session,
    command: &str,
    from: Option<u64>,
    is_endless: bool,
    count: Option<u64>,
    with_time: bool,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let store = session.store()?;
    let mut ends = Ends::after(count)?;
    let end = store.header_snapshot()?.epoch;
    let mut changes = match from {
        Some(from) => store.changes_from(from)?,
        None => store.changes()?,
    };
    while !ends.come() {
        if !is_endless && changes.position() >= end {
            break;
        }
        let change = match changes.next_timeout(SLICE) {
            Ok(Some(change)) => change,
            Ok(None) => {
                ends.look(command, &store)?;
                continue;
            }
            Err(Error::Busy { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        if !is_meant(&change, &session.prefix) {
            // Nothing is written that would tell.
            if ends.looked.elapsed() >= SLICE {
                ends.look(command, &store)?;
            }
            continue;
        }
        let time = with_time.then(SystemTime::now);
        output.show(&Answer::Change { change, time })?;
        if is_endless {
            output.flush()?;
        }
        ends.count();
    }
    Ok(())
}

/// Whether a change is of a key with this prefix, or may have been.
fn is_meant(change: &Change, prefix: &str) -> bool {
    match change {
        Change::Set { key, .. }
        | Change::Unset { key, .. }
        | Change::Expired { key, .. }
        | Change::Appended { key, .. }
        | Change::Evicted { key, .. }
        | Change::Attributes { key, .. }
        | Change::Current { key, .. } => key.starts_with(prefix),
        _ => true,
    }
}

pub(crate) fn sweep(session: &mut Session, arguments: &SweepArgs, output: &mut Output<'_>) -> Result<(), Failure> {
    let store = session.store()?;
    if !arguments.follow {
        let keys = store.sweep()?;
        return Ok(output.show(&swept(keys))?);
    }
    let interval = arguments.interval.unwrap_or(SWEEP_INTERVAL);
    let mut ends = Ends::after(arguments.count)?;
    let mut last = None::<Instant>;
    while !ends.come() {
        let rest = last.and_then(|last| interval.checked_sub(last.elapsed()));
        if let Some(rest) = rest.filter(|rest| !rest.is_zero()) {
            std::thread::sleep(SLICE.min(rest));
            ends.look("sweep", &store)?;
            continue;
        }
        last = Some(Instant::now());
        let keys = match store.sweep() {
            // What is locked now is swept the next time.
            Err(Error::Busy { .. }) => continue,
            swept => swept?,
        };
        if keys > 0 {
            output.show(&swept(keys))?;
            output.flush()?;
            ends.count();
        }
    }
    Ok(())
}

fn swept(keys: usize) -> Answer {
    Answer::line(format!("{keys} keys expired."), json!({"keys": keys}))
}

pub(crate) fn stat(session: &mut Session, arguments: &StatArgs, output: &mut Output<'_>) -> Result<(), Failure> {
    let store = session.store()?;
    let mut ends = Ends::after(arguments.count)?;
    let mut changes = store.header_snapshot()?.epoch;
    let mut begin = Instant::now();
    let mut lines = 0;
    while !ends.come() {
        let elapsed = begin.elapsed();
        if elapsed < arguments.interval {
            std::thread::sleep(SLICE.min(arguments.interval - elapsed));
            ends.look("stat", &store)?;
            continue;
        }
        let header = store.header_snapshot()?;
        let (mut keys, mut slots_used, mut value_bytes) = (0, 0, 0);
        for entry in store.list() {
            let entry = entry?;
            slots_used += 1;
            if entry.key.starts_with(&session.prefix) {
                keys += 1;
                value_bytes += entry.value_bytes as u64;
            }
        }
        let rates = Rates {
            time: SystemTime::now(),
            changes_per_second: header.epoch.saturating_sub(changes) as f64 / elapsed.as_secs_f64(),
            changes: header.epoch,
            keys,
            slots_used,
            slots: header.geometry.slots(),
            value_bytes,
            watches: store.attached()?.iter().map(|handle| u64::from(handle.watches)).sum(),
            repairs: header.repairs,
            with_heading: lines == 0 || (output.is_terminal && lines % HEADING_INTERVAL == 0),
        };
        (changes, begin, lines) = (header.epoch, Instant::now(), lines + 1);
        output.show(&Answer::Rates(rates))?;
        output.flush()?;
        ends.count();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_before_a_glob_is_no_glob() {
        let pattern = Pattern::glob(&(literally(r"a*?\") + "*"));
        assert!(pattern.matches(r"a*?\key"));
        assert!(!pattern.matches("abc/key"));
    }
}
