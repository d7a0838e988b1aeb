//! Splinter beside what others would pick, on the same work, in one run.
//!
//! Usage: `splinter-bench [--quick] [--with DIRECTORY NAME...]`. Prints one JSON document, whose form `bench/schema.ts` fixes.
//! `--with` names processes of other runtimes that answer at the stores `DIRECTORY/NAME`, for the figures of waking.

mod book;
mod children;
mod document;
mod measure;
mod memory;
mod messages;
mod operations;
mod peers;
mod peers_iceoryx2;
mod peers_mmap_sync;
mod redis_server;
mod sharing;
mod waking;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use book::{Book, Context};
use document::{Document, Machine};
use measure::Effort;
use peers::Redis;
use redis_server::Server;

const LOCKFILE: &str = include_str!("../Cargo.lock");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["child", role, peer, directory, numbers @ ..] = words.as_slice() {
        let numbers: Vec<usize> = numbers.iter().map(|number| number.parse().expect("a number")).collect();
        match *role {
            "sharing" => sharing::child(peer, Path::new(directory), &numbers),
            "memory" => memory::child(peer, Path::new(directory), &numbers),
            _ => waking::child(peer, Path::new(directory)),
        }
        return ExitCode::SUCCESS;
    }
    let (quick, rest) = match words.as_slice() {
        ["--quick", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let answering = match rest {
        [] => None,
        ["--with", directory, names @ ..] => Some((Path::new(directory), names)),
        _ => {
            eprintln!("usage: splinter-bench [--quick] [--with DIRECTORY NAME...]");
            return ExitCode::FAILURE;
        }
    };
    let document = measure_all(quick, answering);
    println!("{}", serde_json::to_string(&document).expect("plain figures"));
    ExitCode::SUCCESS
}

fn measure_all(quick: bool, answering: Option<(&Path, &[&str])>) -> Document {
    let directory = tempfile::Builder::new()
        .prefix("splinter-bench.")
        .tempdir_in("/dev/shm")
        .expect("room in memory");
    let mut book = Book::new();
    let redis = match Server::start(directory.path()) {
        Ok(server) => Some(server),
        Err(why) => {
            book.skip("Redis", why);
            None
        }
    };
    let context = Context {
        effort: Effort::new(quick),
        root: directory.path().into(),
        redis,
        start: Instant::now(),
    };
    let date = said_by("date", &["--utc", "+%FT%TZ"]);
    let versions = versions(&context);
    waking::run(&context, &mut book, answering);
    sharing::run(&context, &mut book);
    operations::run(&context, &mut book);
    memory::run(&context, &mut book);
    Document {
        schema: 1,
        suite: "native",
        date,
        quick,
        machine: Machine::here(),
        versions,
        skipped: book.skipped,
        groups: book.groups,
    }
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| "unknown".into(),
        |output| String::from_utf8_lossy(&output.stdout).trim().into(),
    )
}

/// What was measured: peers as the lockfile names them.
fn versions(context: &Context) -> BTreeMap<String, String> {
    const PEERS: [(&str, &str); 6] = [
        ("splinter", "splinter-bus"),
        ("LMDB, by heed", "heed"),
        ("redb", "redb"),
        ("SQLite, by rusqlite", "rusqlite"),
        ("iceoryx2", "iceoryx2"),
        ("mmap-sync", "mmap-sync"),
    ];
    let mut versions: BTreeMap<String, String> = PEERS
        .into_iter()
        .map(|(name, package)| (name.into(), locked(package).into()))
        .collect();
    versions.insert("rustc".into(), said_by("rustc", &["--version"]));
    versions.insert("SQLite".into(), rusqlite::version().into());
    let (major, minor, patch) = lmdb_version();
    versions.insert("LMDB".into(), format!("{major}.{minor}.{patch}"));
    if let Some(server) = &context.redis
        && let Ok(mut redis) = Redis::connect(&server.socket)
        && let Some(version) = redis.info("redis_version")
    {
        versions.insert("Redis".into(), version);
        versions.insert("Redis, by redis".into(), locked("redis").into());
    }
    versions
}

fn lmdb_version() -> (i32, i32, i32) {
    let version = heed::lmdb_version();
    (version.major, version.minor, version.patch)
}

fn locked(package: &str) -> &'static str {
    let start = format!("name = \"{package}\"\nversion = \"");
    LOCKFILE
        .split_once(&start)
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("unknown", |(version, _)| version)
}
