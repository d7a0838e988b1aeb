//! How long it takes until a process that sleeps goes on, after another has changed what it waits for.
//!
//! One process asks, and one for each way to wake answers. What is measured is the way there: from before the change until the
//! other process goes on, by `CLOCK_MONOTONIC`, which is one clock for all of them. The way back is a futex in a shared page,
//! but for processes of other runtimes (`bench/wake.ts`), which answer through their store.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use iceoryx2::port::notifier::Notifier;
use iceoryx2::prelude::*;
use splinter::{OpenOptions, Selector, Store, WatchOptions};

use crate::book::{Book, Context};
use crate::document::Kind;
use crate::measure::{Series, outcomes, quantile};
use crate::peers_iceoryx2::{name, node};

/// Pings of one kind in a row.
const PINGS: u32 = 20;
/// Pings that are not counted, after everything was put in its place.
const WARM_UP: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for everybody to fall asleep.
const PAUSE: Duration = Duration::from_micros(200);
const CHANNEL: &str = "ping";

const FUTEX: &str = "futex";
const EVENTFD: &str = "eventfd";
const SOCKET: &str = "unix socket";
const REDIS: &str = "Redis publish";
const ICEORYX2: &str = "iceoryx2 event";
const POLL: &str = "splinter, poll";
const POLL_SPINNING: &str = "splinter, poll that spins first";
const WATCH: &str = "splinter, watch";
const CHANGES: &str = "splinter, changes";
const SELECTOR: &str = "splinter, Selector";
const OURS: [&str; 5] = [POLL, POLL_SPINNING, WATCH, CHANGES, SELECTOR];

/// Nanoseconds of the clock that all processes share.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
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
    /// Whoever wakes next is to end.
    stop: AtomicU32,
    /// When the answering side went on.
    woke: AtomicU64,
}

impl Page {
    /// The page of a file that is made if there is none.
    fn map(path: &Path) -> &'static Self {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .expect("a file");
        file.set_len(size_of::<Self>() as u64).expect("room");
        // SAFETY: the kernel chooses the address; zeros are a valid `Page`, and it is never unmapped.
        unsafe {
            let page = libc::mmap(
                std::ptr::null_mut(),
                size_of::<Self>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            );
            assert_ne!(page, libc::MAP_FAILED, "no memory");
            &*page.cast()
        }
    }
}

fn set_and_wake(word: &AtomicU32, value: u32) {
    word.store(value, Ordering::SeqCst);
    // SAFETY: the kernel takes the address as a name only.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, 1) };
}

/// Sleeps until a word is no longer `value`.
fn sleep_while(word: &AtomicU32, value: u32) {
    let end = Instant::now() + PATIENCE;
    while word.load(Ordering::SeqCst) == value {
        assert!(Instant::now() < end, "nobody answers");
        let timeout = libc::timespec { tv_sec: 1, tv_nsec: 0 };
        // SAFETY: both addresses are valid.
        unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, value, &raw const timeout) };
    }
}

fn options() -> OpenOptions {
    OpenOptions::new().slots(16).max_value_bytes(64)
}

/// The standard input, which is whatever the asking side has given.
fn given() -> File {
    // SAFETY: this process uses its standard input for nothing else.
    File::from(unsafe { OwnedFd::from_raw_fd(libc::STDIN_FILENO) })
}

/// The answering side: says when it went on, until it is to end.
pub fn child(way: &str, directory: &Path) {
    // Whoever asks ends this process; if he cannot, the kernel does.
    // SAFETY: a call with integers alone.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let page = Page::map(&directory.join("page"));
    let spin = match way {
        POLL_SPINNING => options(),
        _ => options().spin(Duration::ZERO),
    };
    let store = || {
        let store = spin.open_or_create(directory.join("store"));
        store.expect("a store")
    };
    match way {
        FUTEX => {
            // It is pinged with numbers that rise by one.
            let mut last = 0;
            answer(page, || {
                sleep_while(&page.ping, last);
                last += 1;
            });
        }
        EVENTFD | SOCKET => {
            let mut stream = given();
            let mut bytes = [0; 8];
            answer(page, || stream.read_exact(&mut bytes).expect("a ping"));
        }
        REDIS => {
            let mut connection = redis_connection(directory);
            let mut channel = connection.as_pubsub();
            channel.subscribe(CHANNEL).expect("a channel");
            answer(page, || drop(channel.get_message().expect("a ping")));
        }
        ICEORYX2 => {
            let node = node(directory);
            let service = node.service_builder(&name(directory)).event();
            let service = service.open_or_create().expect("a service");
            let listener = service.listener_builder().create().expect("a listener");
            answer(page, || while listener.blocking_wait(|_| ()).expect("a ping") == 0 {});
        }
        POLL | POLL_SPINNING => {
            let store = store();
            let mut since = store.epoch("ping").expect("a look").unwrap_or(0);
            answer(page, || {
                while !store.poll_since("ping", since, PATIENCE).expect("a wait") {}
                since = store.epoch("ping").expect("a look").unwrap_or(0);
            });
        }
        WATCH => {
            let store = store();
            let mut watcher = store.watch("ping").expect("a watch");
            answer(page, || {
                watcher.next().expect("endless").expect("an event");
            });
        }
        CHANGES => {
            let store = store();
            let mut changes = store.changes().expect("a feed");
            answer(page, || {
                changes.next().expect("endless").expect("a change");
            });
        }
        SELECTOR => {
            let mut selector = Selector::new(Arc::new(store())).expect("a selector");
            let id = selector.watch("ping", &WatchOptions::new()).expect("a watch");
            answer(page, || {
                while selector.ready().expect("a look").is_empty() {
                    selector.wait(PATIENCE).expect("a wait");
                }
                while selector.next_event(id).expect("a watch").is_some() {}
            });
        }
        _ => unreachable!("a way of this file"),
    }
}

fn answer(page: &Page, mut wait: impl FnMut()) {
    set_and_wake(&page.pong, 1);
    while page.stop.load(Ordering::SeqCst) == 0 {
        wait();
        page.woke.store(now(), Ordering::SeqCst);
        set_and_wake(&page.pong, page.pong.load(Ordering::SeqCst) + 1);
    }
}

/// Where the server's socket is, is in a file beside the page.
fn redis_connection(directory: &Path) -> redis::Connection {
    let address = std::fs::read_to_string(directory.join("redis")).expect("an address");
    let client = redis::Client::open(address).expect("an address");
    client.get_connection().expect("our own server")
}

/// The asking side of a way to wake.
enum Line {
    Futex,
    Stream(File),
    Redis(redis::Connection),
    Iceoryx2 {
        notifier: Box<Notifier<ipc::Service>>,
        _node: Node<ipc::Service>,
    },
    Store(Store),
}

enum Answers {
    Native { page: &'static Page, process: Child },
    Runtime { pid: u32, pong_epoch: u64 },
}

struct Subject {
    name: &'static str,
    line: Line,
    answers: Answers,
    pings: u32,
    us: Vec<f64>,
}

impl Subject {
    fn send(&mut self, number: u64) {
        match &mut self.line {
            Line::Futex => {
                if let Answers::Native { page, .. } = &self.answers {
                    set_and_wake(&page.ping, number as u32);
                }
            }
            Line::Stream(stream) => stream.write_all(&1_u64.to_ne_bytes()).expect("a listener"),
            Line::Redis(connection) => {
                let mut command = redis::cmd("PUBLISH");
                command.arg(CHANNEL).arg("ping");
                command.exec(connection).expect("our own server");
            }
            Line::Iceoryx2 { notifier, .. } => {
                notifier.notify().expect("a listener");
            }
            Line::Store(store) => drop(store.set("ping", number.to_le_bytes()).expect("a set")),
        }
    }

    /// Pings once, and returns how long the other side took to go on, in ns.
    fn ping(&mut self) -> f64 {
        self.pings += 1;
        let number = u64::from(self.pings);
        let start = now();
        self.send(number);
        let woke = match (&mut self.answers, &self.line) {
            (Answers::Native { page, .. }, _) => {
                sleep_while(&page.pong, self.pings);
                page.woke.load(Ordering::SeqCst)
            }
            (Answers::Runtime { pong_epoch, .. }, Line::Store(store)) => {
                let answered = store.poll_since("pong", *pong_epoch, PATIENCE);
                assert!(answered.expect("a wait"), "{} does not answer", self.name);
                *pong_epoch = store.epoch("pong").expect("a look").unwrap_or(0);
                let pong = store.get_vec("pong").expect("a read").expect("an answer");
                assert_eq!(pong[..8], number.to_le_bytes());
                u64::from_le_bytes(pong[8..16].try_into().expect("eight bytes"))
            }
            _ => unreachable!("other runtimes have stores"),
        };
        // One who ran at once may have looked at its clock before the sender returned, never before it began.
        (woke - start) as f64
    }

    fn pid(&self) -> u32 {
        match &self.answers {
            Answers::Native { process, .. } => process.id(),
            Answers::Runtime { pid, .. } => *pid,
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Answers::Native { page, process } = &mut self.answers {
            page.stop.store(1, Ordering::SeqCst);
            if !std::thread::panicking() {
                self.pings += 1;
                self.send(u64::from(self.pings));
            } else {
                let _ = process.kill();
            }
        } else if let Line::Store(store) = &self.line {
            // Nothing more will come.
            let _ = store.set("ping", "");
        }
        if let Answers::Native { process, .. } = &mut self.answers {
            let _ = process.wait();
        }
    }
}

fn native(context: &Context, way: &'static str) -> Option<Subject> {
    let directory = context.directory(&format!("wake-{}", way.replace([' ', ','], "")));
    let page = Page::map(&directory.join("page"));
    let mut input = Stdio::null();
    let line = match way {
        FUTEX => Line::Futex,
        EVENTFD => {
            // SAFETY: a call with integers alone, whose descriptor nobody else has.
            let fd = unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_CLOEXEC)) };
            input = fd.try_clone().expect("a descriptor").into();
            Line::Stream(fd.into())
        }
        SOCKET => {
            let (own, other) = UnixStream::pair().expect("a pair");
            input = OwnedFd::from(other).into();
            Line::Stream(OwnedFd::from(own).into())
        }
        REDIS => {
            let socket = &context.redis.as_ref()?.socket;
            let address = format!("unix://{}", socket.display());
            std::fs::write(directory.join("redis"), address).expect("room");
            Line::Redis(redis_connection(&directory))
        }
        ICEORYX2 => {
            let node = node(&directory);
            let service = node.service_builder(&name(&directory)).event();
            let service = service.open_or_create().expect("a service");
            let notifier = service.notifier_builder().create().expect("a notifier");
            Line::Iceoryx2 {
                notifier: Box::new(notifier),
                _node: node,
            }
        }
        _ => {
            let store = options().open_or_create(directory.join("store"));
            Line::Store(store.expect("a store"))
        }
    };
    let process = Command::new(std::env::current_exe().expect("this program"))
        .args(["child", "waking", way])
        .arg(&directory)
        .stdin(input)
        .spawn()
        .expect("a process");
    sleep_while(&page.pong, 0);
    Some(Subject {
        name: way,
        line,
        answers: Answers::Native { page, process },
        pings: 0,
        us: Vec::new(),
    })
}

/// A process of another runtime, which has been started beside this one.
fn runtime(directory: &Path, name: &str) -> Subject {
    let store = options().open_or_create(directory.join(name));
    let store = store.expect("a store");
    let end = Instant::now() + PATIENCE;
    let pid = loop {
        if let Some(pid) = store.get_vec("ready").expect("a read") {
            break String::from_utf8_lossy(&pid).parse().expect("a number");
        }
        assert!(Instant::now() < end, "\"{name}\" was not ready in time");
        let epoch = store.epoch("ready").expect("a look").unwrap_or(0);
        store
            .poll_since("ready", epoch, Duration::from_millis(100))
            .expect("a wait");
    };
    Subject {
        name: match name {
            "bun" => "splinter, for await in Bun",
            "deno" => "splinter, for await in Deno",
            _ => panic!("\"{name}\" is no runtime"),
        },
        line: Line::Store(store),
        answers: Answers::Runtime { pid, pong_epoch: 0 },
        pings: 0,
        us: Vec::new(),
    }
}

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
fn pin(pid: u32, processors: &[usize]) {
    // SAFETY: zeros are an empty set, and the numbers are within it.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for &cpu in processors {
            libc::CPU_SET(cpu, &mut set);
        }
        set
    };
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).expect("it lives") {
        let thread = thread.expect("a thread").file_name();
        let thread = thread.to_string_lossy().parse().expect("a number");
        // SAFETY: the kernel reads the set. A thread that has ended meanwhile needs no place.
        unsafe { libc::sched_setaffinity(thread, size_of_val(&set), &raw const set) };
    }
}

pub fn run(context: &Context, book: &mut Book, answering: Option<(&Path, &[&str])>) {
    context.progress("waking");
    let all = [FUTEX, EVENTFD, SOCKET, REDIS, ICEORYX2];
    let mut subjects: Vec<Subject> = all
        .into_iter()
        .chain(OURS)
        .filter_map(|way| native(context, way))
        .collect();
    if let Some((directory, names)) = answering {
        subjects.extend(names.iter().map(|name| runtime(directory, name)));
    }
    let processors = processors();
    measure(context, book, &mut subjects, "wake-one", [&processors[..1]; 2]);
    if processors.len() > 1 {
        let places = [&processors[..1], &processors[1..2]];
        measure(context, book, &mut subjects, "wake-two", places);
    } else {
        book.skip("Waking on two processors", "There is one.".into());
    }
    pin(std::process::id(), &processors);
}

fn measure(context: &Context, book: &mut Book, subjects: &mut [Subject], group: &str, [own, other]: [&[usize]; 2]) {
    pin(std::process::id(), own);
    for subject in &mut *subjects {
        pin(subject.pid(), other);
        subject.us.clear();
    }
    let mut all: Vec<Series> = subjects
        .iter()
        .map(|subject| {
            let ours = subject.name.starts_with("splinter");
            let kind = match subject.name {
                FUTEX => Kind::Floor,
                _ if ours => Kind::Us,
                _ => Kind::Peer,
            };
            Series::new(subject.name, kind)
        })
        .collect();
    for _ in 0..context.effort.rounds {
        for (subject, series) in subjects.iter_mut().zip(&mut all) {
            let mut round = Vec::new();
            for ping in 0..WARM_UP + PINGS {
                std::thread::sleep(PAUSE);
                let ns = subject.ping();
                if ping >= WARM_UP {
                    round.push(ns / 1000.0);
                }
            }
            series.values.push(quantile(&round, 0.5));
            subject.us.extend(round);
        }
    }
    for (subject, series) in subjects.iter().zip(&mut all) {
        for (name, share) in [("p50, µs", 0.5), ("p99, µs", 0.99), ("p99.9, µs", 0.999)] {
            series.details.insert(name, quantile(&subject.us, share));
        }
    }
    book.add(group, outcomes(all, FUTEX, "64 B"));
}
