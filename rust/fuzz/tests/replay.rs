//! What a fuzzer has kept harms nobody: cases that once did, and a corpus that leads everywhere in the code.
//!
//! Without the fuzzer, and so without C++: `scripts/lib/fuzz.sh` looks for more.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use splinter_fuzz::{TARGETS, Target};

/// After so long an input hangs, however slow the machine.
const HANGS_AFTER: Duration = Duration::from_secs(60);
/// Ample for any input, but not for one that makes a program ask for what a number in it says.
const ADDRESS_BYTES_MAX: u64 = 2 << 30;

fn limit_memory() {
    let sizes = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = sizes.split(' ').next().unwrap().parse().unwrap();
    if pages * 4096 > ADDRESS_BYTES_MAX {
        // A sanitizer has taken more than that for itself, and has limits of its own.
        return;
    }
    let limit = libc::rlimit {
        rlim_cur: ADDRESS_BYTES_MAX,
        rlim_max: ADDRESS_BYTES_MAX,
    };
    // SAFETY: the limit lives until the call returns.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
}

fn kept(directory: &str, target: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory).join(target);
    let mut files: Vec<_> = std::fs::read_dir(&directory)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort_unstable();
    files
}

/// Tries an input in a thread of its own, which can be given up.
fn try_input(target: Target, file: &Path) {
    let bytes = std::fs::read(file).unwrap();
    let (done, ended) = channel();
    let attempt = thread::spawn(move || {
        target(&bytes);
        // Nobody waits for it any more if it comes too late.
        let _ = done.send(());
    });
    if ended.recv_timeout(HANGS_AFTER) == Err(RecvTimeoutError::Timeout) {
        panic!("{} hangs", file.display());
    }
    assert!(attempt.join().is_ok(), "{} fails", file.display());
}

fn replay(name: &str) {
    limit_memory();
    let (_, target) = TARGETS.into_iter().find(|(target, _)| *target == name).unwrap();
    let corpus = kept("corpus", name);
    assert!(!corpus.is_empty(), "there is no corpus");
    let files = [kept("cases", name), corpus].concat();
    for file in &files {
        try_input(target, file);
    }
    println!("tried: {} kept inputs", files.len());
}

#[test]
fn kept_inputs_open_without_harm() {
    replay("open");
}

#[test]
fn kept_neighbours_do_no_harm() {
    replay("neighbour");
}

#[test]
fn kept_operations_do_what_a_model_does() {
    replay("operations");
}

#[test]
fn kept_command_lines_do_no_harm() {
    replay("command_line");
}
