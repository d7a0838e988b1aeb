//! How long it takes until a process that sleeps goes on, after another has changed what it waits for.
//!
//! One process asks, others answer: by a bare futex, by [`Store::poll`], by a [`splinter::Watcher`], and, if they are
//! named, processes of other runtimes (`wake.ts`). All are measured in turn, in short rounds, so that whatever else the
//! machine does meets all of them alike. What is measured is the way there: from the moment before the change until
//! the answering side goes on, by `CLOCK_MONOTONIC`, which is one clock for all processes.
//!
//! Usage: `wake DIRECTORY ROUNDS [NAME...]`, where `DIRECTORY/NAME` is the store of each further answering process.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use splinter::{OpenOptions, Store};

/// Pings of one kind in a row.
const PINGS: u32 = 50;
/// Pings that are not counted, after everything was put in its place.
const WARM_UP: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for everybody to fall asleep.
const PAUSE: Duration = Duration::from_micros(200);
/// What the others are compared with.
const BARE: &str = "futex";
const NATIVE: [&str; 4] = [BARE, "poll", "poll-spin", "watch"];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["answer", name, path] => answer(name, Path::new(path)),
        [directory, rounds, names @ ..] => match rounds.parse() {
            Ok(rounds) => ask(Path::new(directory), rounds, names),
            Err(error) => Err(error.into()),
        },
        _ => Err("usage: wake DIRECTORY ROUNDS [NAME...]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wake: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Nanoseconds of the clock that all processes share.
fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one `timespec`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What two processes need to wake each other, and nothing else.
#[repr(C)]
struct Page {
    ping: AtomicU32,
    _line: [AtomicU32; 15],
    pong: AtomicU32,
    _padding: AtomicU32,
    /// When the answering side went on.
    woke: AtomicU64,
}

impl Page {
    /// The page of a file that is made if there is none.
    fn map(path: &Path) -> Result<&'static Self> {
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.set_len(size_of::<Self>() as u64)?;
        // SAFETY: the kernel chooses the address; zeros are a valid `Page`, and it is never unmapped.
        unsafe {
            let page = libc::mmap(
                std::ptr::null_mut(),
                size_of::<Self>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                std::os::fd::AsRawFd::as_raw_fd(&file),
                0,
            );
            if page == libc::MAP_FAILED {
                return Err(std::io::Error::last_os_error().into());
            }
            Ok(&*page.cast())
        }
    }
}

fn set_and_wake(word: &AtomicU32, value: u32) {
    word.store(value, Ordering::SeqCst);
    // SAFETY: the kernel takes the address as a name only.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, 1) };
}

/// Sleeps until a word is no longer `value`, and returns what it is then.
fn sleep_while(word: &AtomicU32, value: u32) -> u32 {
    loop {
        let found = word.load(Ordering::SeqCst);
        if found != value {
            return found;
        }
        let forever = std::ptr::null::<libc::timespec>();
        // SAFETY: the address is valid, and there is no timeout.
        unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, value, forever) };
    }
}

fn options() -> OpenOptions {
    OpenOptions::new().slots(16).max_value_bytes(64)
}

fn number_in(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// The answering side: says when it went on, until the other side says nothing more.
fn answer(name: &str, path: &Path) -> Result<()> {
    // Whoever asks ends this process; if he cannot, the kernel does.
    // SAFETY: a call with integers alone.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if name == BARE {
        let page = Page::map(path)?;
        let mut ping = 0;
        loop {
            ping = sleep_while(&page.ping, ping);
            page.woke.store(now(), Ordering::SeqCst);
            set_and_wake(&page.pong, ping);
        }
    }
    let store = match name {
        "poll" => options().spin(Duration::ZERO).open_or_create(path)?,
        _ => options().open_or_create(path)?,
    };
    let reply = |ping: &[u8], woke: u64| -> Result<()> {
        let mut pong = [0; 16];
        pong[..8].copy_from_slice(ping);
        pong[8..].copy_from_slice(&woke.to_le_bytes());
        store.set("pong", pong)?;
        Ok(())
    };
    store.set("ready", std::process::id().to_string())?;
    let mut ping = [0; 8];
    if name == "watch" {
        let mut watcher = store.watch("ping")?;
        while let Some(event) = watcher.next().transpose()? {
            let woke = now();
            if store.get(&*event.key, &mut ping)? != Some(ping.len()) {
                break;
            }
            reply(&ping, woke)?;
        }
        return Ok(());
    }
    let mut since = store.epoch("ping")?.unwrap_or(0);
    loop {
        while !store.poll_since("ping", since, PATIENCE)? {}
        let woke = now();
        since = store.epoch("ping")?.unwrap_or(0);
        if store.get("ping", &mut ping)? != Some(ping.len()) {
            return Ok(());
        }
        reply(&ping, woke)?;
    }
}

/// The asking side of one answering process.
enum Line {
    Bare(&'static Page),
    Bus { store: Box<Store>, pong_epoch: u64 },
}

struct Subject {
    name: String,
    line: Line,
    /// The answering process.
    pid: u32,
    pings: u32,
}

impl Subject {
    /// Pings once, and returns how long the other side took to go on, in nanoseconds.
    fn ping(&mut self) -> Result<u64> {
        self.pings += 1;
        let ping = self.pings;
        match &mut self.line {
            Line::Bare(page) => {
                let start = now();
                set_and_wake(&page.ping, ping);
                sleep_while(&page.pong, ping.wrapping_sub(1));
                Ok(page.woke.load(Ordering::SeqCst) - start)
            }
            Line::Bus { store, pong_epoch } => {
                let bytes = u64::from(ping).to_le_bytes();
                let start = now();
                store.set("ping", bytes)?;
                if !store.poll_since("pong", *pong_epoch, PATIENCE)? {
                    return Err(format!("\"{}\" does not answer", self.name).into());
                }
                *pong_epoch = store.epoch("pong")?.unwrap_or(0);
                let mut pong = [0; 16];
                store.get("pong", &mut pong)?;
                if pong[..8] != bytes {
                    return Err(format!("\"{}\" answers something else", self.name).into());
                }
                let woke = number_in(&pong, 8).unwrap_or(0);
                Ok(woke.saturating_sub(start))
            }
        }
    }
}

/// Where the two sides run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    One,
    Two,
    Anywhere,
}

const PLACES: [(Place, &str); 3] = [
    (Place::One, "on one processor"),
    (Place::Two, "on two processors"),
    (Place::Anywhere, "wherever the kernel puts them"),
];

/// The processors that this process may use.
fn processors() -> Vec<usize> {
    // SAFETY: zeros are an empty set, which the kernel fills.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of_val(&set), &raw mut set);
        set
    };
    // SAFETY: the numbers are within the set.
    (0..libc::CPU_SETSIZE as usize)
        .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) })
        .collect()
}

/// Keeps every thread of a process on some processors.
fn pin(pid: u32, processors: &[usize]) -> Result<()> {
    // SAFETY: zeros are an empty set, and the numbers are within it.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        processors
            .iter()
            .for_each(|&cpu| libc::CPU_SET(cpu, &mut set));
        set
    };
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread: i32 = thread?.file_name().to_string_lossy().parse()?;
        // SAFETY: the kernel reads the set. A thread that has ended meanwhile needs no place.
        unsafe { libc::sched_setaffinity(thread, size_of_val(&set), &raw const set) };
    }
    Ok(())
}

/// What was measured of one subject in one place, in nanoseconds.
#[derive(Clone, Default)]
struct Series(Vec<u64>);

impl Series {
    fn rank(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() as f64 * share).ceil() as usize;
        sorted
            .get(at.saturating_sub(1))
            .map_or(f64::NAN, |&ns| ns as f64 / 1000.0)
    }
}

/// Ends the processes that were started here, however this one ends.
struct Answering(Vec<Child>);

impl Drop for Answering {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn connect(directory: &Path, name: &str) -> Result<Subject> {
    let path: PathBuf = directory.join(name);
    // Where both run on one processor, a side that spins keeps the other from going on.
    let store = match name {
        "poll-spin" => options().open_or_create(path)?,
        _ => options().spin(Duration::ZERO).open_or_create(path)?,
    };
    let end = Instant::now() + PATIENCE;
    let pid = loop {
        let epoch = store.epoch("ready")?.unwrap_or(0);
        if let Some(pid) = store.get_vec("ready")? {
            break String::from_utf8_lossy(&pid).parse()?;
        }
        if Instant::now() > end {
            return Err(format!("\"{name}\" was not ready in time").into());
        }
        store.poll_since("ready", epoch, Duration::from_millis(100))?;
    };
    Ok(Subject {
        name: name.into(),
        line: Line::Bus {
            store: Box::new(store),
            pong_epoch: 0,
        },
        pid,
        pings: 0,
    })
}

fn ask(directory: &Path, rounds: u32, names: &[&str]) -> Result<()> {
    let bare_path = directory.join(BARE);
    let page = Page::map(&bare_path)?;
    let mut answering = Answering(Vec::new());
    for name in NATIVE {
        let child = Command::new(std::env::current_exe()?)
            .args(["answer", name])
            .arg(directory.join(name))
            .spawn()?;
        answering.0.push(child);
    }
    let mut subjects = vec![Subject {
        name: BARE.into(),
        line: Line::Bare(page),
        pid: answering.0[0].id(),
        pings: 0,
    }];
    for name in NATIVE[1..].iter().chain(names) {
        subjects.push(connect(directory, name)?);
    }

    let processors = processors();
    let places = if processors.len() > 1 {
        &PLACES[..]
    } else {
        &PLACES[..1]
    };
    let mut measured =
        vec![vec![[Series::default(), Series::default()]; subjects.len()]; places.len()];
    for _ in 0..rounds {
        for (place, of_place) in places.iter().zip(&mut measured) {
            for (subject, of_subject) in subjects.iter_mut().zip(of_place) {
                let (own, other) = match place.0 {
                    Place::One => (&processors[..1], &processors[..1]),
                    Place::Two => (&processors[..1], &processors[1..2]),
                    Place::Anywhere => (&processors[..], &processors[..]),
                };
                pin(std::process::id(), own)?;
                pin(subject.pid, other)?;
                for (pause, series) in [PAUSE, Duration::ZERO].into_iter().zip(of_subject) {
                    for ping in 0..WARM_UP + PINGS {
                        if !pause.is_zero() {
                            std::thread::sleep(pause);
                        }
                        let ns = subject.ping()?;
                        if ping >= WARM_UP {
                            series.0.push(ns);
                        }
                    }
                }
            }
        }
    }
    for subject in &subjects {
        if let Line::Bus { store, .. } = &subject.line {
            store.set("ping", "")?;
        }
    }
    print(&subjects, places, &measured, rounds);
    Ok(())
}

fn print(
    subjects: &[Subject],
    places: &[(Place, &str)],
    measured: &[Vec<[Series; 2]>],
    rounds: u32,
) {
    println!(
        "From a change until the other process goes on, in µs: median, 90%, 99% of {} pings; ratio of the medians to {BARE}",
        rounds * PINGS
    );
    for ((_, place), of_place) in places.iter().zip(measured) {
        println!("\n{place:<30}   to one who has long been asleep        back to back");
        for (subject, of_subject) in subjects.iter().zip(of_place) {
            let columns: Vec<_> = of_subject
                .iter()
                .zip(&of_place[0])
                .map(|(series, bare)| {
                    let [median, p90, p99] = [0.5, 0.9, 0.99].map(|share| series.rank(share));
                    format!(
                        "{median:>8.1}{p90:>8.1}{p99:>8.1}{:>7.2}x",
                        median / bare.rank(0.5)
                    )
                })
                .collect();
            println!("  {:<24}{}", subject.name, columns.join("    "));
        }
    }
}
