//! What a power cut may take, and what is told when a store is opened after one.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Done, Place, until};

const BOOT_ID_AT: usize = 136;

/// A store on a disk, not in memory.
struct Durable {
    place: Place,
    _directory: TempDir,
    path: PathBuf,
}

impl Durable {
    fn new() -> Self {
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let durable = Self {
            place: Place::new(),
            path: directory.path().join("store"),
            _directory: directory,
        };
        let path = durable.path.to_str().unwrap();
        let init = durable
            .place
            .program("splinterpctl", &["init", path, "8", "64"])
            .output();
        assert!(init.unwrap().status.success());
        durable
    }

    fn run(&self, line: &str) -> Done {
        self.fed("splinterpctl", line, "")
    }

    fn fed(&self, program: &str, line: &str, input: &str) -> Done {
        let mut arguments = vec!["--use".to_string(), self.path.to_str().unwrap().to_string()];
        arguments.extend(shell_words::split(line).unwrap());
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        self.place.fed(program, &arguments, input).into()
    }

    fn checkpoint(&self) -> PathBuf {
        let mut path = self.path.as_os_str().to_os_string();
        path.push(".checkpoint");
        path.into()
    }

    fn is_synced(&self, text: &str) -> bool {
        std::fs::read(self.checkpoint()).is_ok_and(|bytes| has(&bytes, text))
    }
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|bytes| bytes == text.as_bytes())
}

/// Leaves a store as a power cut does that tears each value which begins so.
fn cut_power(path: &Path, torn: &str) {
    let mut region = std::fs::read(path).unwrap();
    region[BOOT_ID_AT..BOOT_ID_AT + 16].fill(0x5a);
    assert!(has(&region, torn));
    for at in 0..region.len() {
        if region[at..].starts_with(torn.as_bytes()) {
            region[at] ^= 0xff;
        }
    }
    std::fs::write(path, region).unwrap();
}

#[test]
fn what_was_synced_survives_a_power_cut_and_who_opens_the_store_first_is_told() {
    let durable = Durable::new();
    durable.run("set kept whole").prints("");
    durable.run("set torn synced").prints("");
    durable.run("sync").prints("");
    durable.run("set torn torn-by-the-cut").prints("");
    durable.run("set new torn-by-the-cut-too").prints("");
    let cut = || cut_power(&durable.path, "torn-by-the-cut");
    cut();
    let done = durable.run("get torn");
    let told = format!(
        "\"{}\" was recovered after a restart: 0 keys were whole, 2 are as the last sync left them, 1 are lost\n",
        durable.path.display()
    );
    assert_eq!((done.stdout.as_str(), done.stderr), ("6:synced\n\n", told));
    durable.run("get torn").prints("6:synced\n\n");
    durable.run("get kept").prints("5:whole\n\n");
    durable.run("set torn torn-by-the-cut").prints("");
    cut();
    let recovery = |done: &Done| serde_json::from_str::<Value>(&done.stdout).unwrap()["recovery"].clone();
    let done = durable.run("check --json");
    assert_eq!(
        (done.code, recovery(&done)),
        (0, json!({"kept": 1, "restored": 1, "lost": 0}))
    );
    assert!(done.stderr.contains("recovered"));
    assert_eq!(recovery(&durable.run("check --json")), Value::Null);
}

#[test]
fn a_command_commits_if_it_is_told_to() {
    let durable = Durable::new();
    durable.run("set first none --durability none").prints("");
    assert!(!durable.checkpoint().exists());
    durable.run("set second committed --durability commit").prints("");
    assert!(durable.is_synced("secondcommitted"));
    // An interval ends with the command.
    durable.run("--durability 3600000 set third at-the-end").prints("");
    assert!(durable.is_synced("thirdat-the-end"));
    for bad in ["always", "0", "1s"] {
        let done = durable.run(&format!("--durability {bad} get first"));
        assert_eq!(done.code, 1);
        assert!(
            done.stderr.contains("none, commit or a number of milliseconds"),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn the_interactive_mode_syncs_at_intervals() {
    let durable = Durable::new();
    let path = durable.path.to_str().unwrap();
    let arguments = ["--use", path, "--durability", "1"];
    let mut terminal = durable.place.terminal("splinterp_cli", &arguments);
    terminal.expect("# ");
    terminal.send("set key synced-soon\r");
    until("the value on the disk", || durable.is_synced("keysynced-soon"));
    terminal.send("exit\r");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn a_sync_that_fails_is_told() {
    let durable = Durable::new();
    std::fs::create_dir(durable.checkpoint()).unwrap();
    for line in [
        "sync",
        "set key 1 --durability commit",
        "set key 2 --durability 3600000",
    ] {
        let done = durable.run(line);
        assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{line}");
        assert!(
            done.stderr.contains("could not open the checkpoint"),
            "{line}: {}",
            done.stderr
        );
    }
    // It stays told as long as the store is open, though nothing is in the way any more.
    let lines = "set key 3\nsync\n";
    let done = durable.fed("splinterp_cli", "--durability 3600000", lines);
    assert_eq!(done.code, 1);
    assert_eq!(
        done.stderr.matches("could not open the checkpoint").count(),
        2,
        "{}",
        done.stderr
    );
    std::fs::remove_dir(durable.checkpoint()).unwrap();
    durable.run("sync").prints("");
}

#[test]
fn in_memory_there_is_nothing_to_sync() {
    let place = Place::with_store();
    place.line("sync").prints("");
    place.line("set key value --durability commit").prints("");
    place.line("sync --json").prints("{\"synced\":true}\n");
    assert!(!Path::new(&format!("/dev/shm/{}.checkpoint", place.store)).exists());
}
