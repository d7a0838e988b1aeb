//! `stress` and `latency`: what they print, that they find nothing wrong, and that nothing is left of them.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process, test_kill_process_group};
use serde_json::Value;
use splinter::OpenOptions;

use crate::common::{Done, Place, until};

fn json_of(done: &Done) -> Value {
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:?}");
    assert_eq!(done.stdout.lines().count(), 1, "{done:?}");
    serde_json::from_str(&done.stdout).unwrap()
}

fn memory(place: &Place) -> std::path::PathBuf {
    Path::new("/dev/shm").join(&place.store)
}

#[test]
fn stress_obeys_its_options_finds_nothing_wrong_and_leaves_nothing() {
    let place = Place::new();
    let options = "--threads 3 --duration-ms 50 --keys 7 --writer-us 10 --slots 20 --max-value 1000";
    let figures = json_of(&place.line(&format!("stress {} {options} --json", place.store)));
    assert_eq!((&figures["threads"], &figures["keys"]), (&3.into(), &7.into()));
    assert_eq!(
        (&figures["errors"], &figures["integrity_failures"]),
        (&0.into(), &0.into())
    );
    for name in ["writes", "reads", "bytes_read"] {
        assert!(figures[name].as_u64() > Some(0), "{name}: {figures}");
    }
    for name in ["duration_ms", "writes_per_second", "reads_per_second", "retries"] {
        assert!(figures[name].is_u64(), "{name}: {figures}");
    }
    assert!(!memory(&place).exists());
}

#[test]
fn stress_keeps_its_store_if_it_is_told_to() {
    let place = Place::new();
    let options = "--threads 1 --duration-ms 20 --keys 7 --slots 20 --max-value 1000 --keep";
    let done = place.line(&format!("stress {} {options}", place.store));
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:?}");
    assert!(
        done.stdout
            .ends_with(&format!("store:              /dev/shm/{}\n", place.store)),
        "{done:?}"
    );
    let store = OpenOptions::new().memory(true).open(&place.store).unwrap();
    assert_eq!(
        (store.geometry().slots(), store.geometry().max_value_bytes()),
        (20, 1000)
    );
    let mut keys: Vec<String> = store.list().map(|entry| entry.unwrap().key).collect();
    keys.sort();
    assert_eq!(keys, (0..7).map(|i| format!("stress/{i}")).collect::<Vec<_>>());
    assert!(store.check().unwrap().is_clean());
}

#[test]
fn stress_prints_figures_for_people_and_nothing_if_it_is_to_be_quiet() {
    let place = Place::new();
    let done = place.line("stress --threads 2 --duration-ms 20 --keys 3");
    let lines: Vec<Vec<&str>> = done
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        (lines[0][..2].to_vec(), lines[1][..2].to_vec()),
        (vec!["readers:", "2"], vec!["keys:", "3"])
    );
    let names: Vec<&str> = done.stdout.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(
        names,
        [
            "readers",
            "keys",
            "duration",
            "writes",
            "retries",
            "reads",
            "bytes read",
            "errors",
            "integrity failures"
        ]
    );
    assert!(
        done.stdout.ends_with("errors:             0\nintegrity failures: 0\n"),
        "{done:?}"
    );
    // No progress, for nobody sees it.
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    place.line("stress --duration-ms 20 --quiet").prints("");
}

#[test]
fn stress_makes_a_store_of_the_kind_that_is_asked_for_and_touches_none_that_exists() {
    let place = Place::with_store();
    place.line("set key value").prints("");
    place.line(&format!("stress {} --duration-ms 1", place.store)).fails(
        10,
        &format!(
            "stress: \"{}\" exists already and was left as it is; choose another name",
            place.store
        ),
    );
    place.line("get key").prints("5:value\n\n");
    let stress = |keep: &str| {
        let words = [
            "stress",
            "file",
            "--duration-ms",
            "20",
            "--threads",
            "1",
            "--quiet",
            keep,
        ];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        Done::from(place.program("splinterpctl", &words).output().unwrap()).prints("");
    };
    stress("");
    assert!(!place.path("file").exists());
    stress("--keep");
    assert!(place.path("file").exists());
}

#[test]
fn stress_ends_though_its_writer_rests() {
    let place = Place::new();
    let figures = json_of(&place.line("stress --duration-ms 20 --writer-us 3600000000 --threads 1 --json"));
    assert!(figures["writes"].as_u64() <= Some(1), "{figures}");
}

#[test]
fn stress_that_is_interrupted_says_what_it_came_to_and_leaves_nothing() {
    let place = Place::new();
    for (signal, code) in [(Signal::INT, 0), (Signal::TERM, -1), (Signal::HUP, -1)] {
        let words = [
            "stress",
            &place.store,
            "--duration-ms",
            "3600000",
            "--writer-us",
            "100",
            "--json",
        ];
        let child = place.start("splinterctl", &words, Stdio::null());
        let options = OpenOptions::new().memory(true);
        // In the middle: it writes.
        until("it writes", || {
            let store = options.open(&place.store);
            store.is_ok_and(|store| store.header_snapshot().is_ok_and(|header| header.epoch > 100))
        });
        kill_process(Pid::from_child(&child), signal).unwrap();
        let done: Done = child.wait_with_output().unwrap().into();
        assert_eq!((done.code, done.stderr.as_str()), (code, ""), "{signal:?}");
        assert!(!memory(&place).exists(), "{signal:?}");
        if code == 0 {
            assert_eq!(json_of(&done)["integrity_failures"], 0);
        }
    }
}

#[test]
fn stress_without_a_name_leaves_nothing_even_if_it_is_killed() {
    let place = Place::new();
    for program in ["splinterctl", "splinterpctl"] {
        let mut child = place.start(program, &["stress", "--duration-ms", "3600000"], Stdio::null());
        let threads = format!("/proc/{}/task", child.id());
        // The writer and the readers start once it has its store.
        until("it has started", || {
            Path::new(&threads).read_dir().unwrap().count() >= 6
        });
        let name = format!("splinter_stress_{}", child.id());
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(!Path::new("/dev/shm").join(&name).exists());
        assert!(!place.path(&name).exists());
    }
}

/// Runs `latency` in a group of processes of its own, whose number is returned.
fn latency(place: &Place, words: &[&str]) -> (std::process::Child, Pid) {
    let mut command = place.program("splinterctl", &["latency"]);
    let child = command.args(words).process_group(0).spawn().unwrap();
    let group = Pid::from_child(&child);
    (child, group)
}

#[test]
fn latency_prints_figures_and_leaves_no_process() {
    let place = Place::new();
    for words in [
        &["--count", "30", "--json"][..],
        &["--count", "30", "--json", "--no-spin"],
    ] {
        let (child, group) = latency(&place, words);
        let figures = json_of(&child.wait_with_output().unwrap().into());
        assert!(test_kill_process_group(group).is_err(), "a process is left");
        assert_eq!(figures["count"], 30);
        let [median, p90, p99, max] =
            ["median_us", "p90_us", "p99_us", "max_us"].map(|name| figures[name].as_f64().unwrap());
        assert!(0.0 < median && median <= p90 && p90 <= p99 && p99 <= max, "{figures}");
    }
    let done = place.line("latency --count 1");
    let names: Vec<&str> = done
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!((names, done.code), (vec!["median:", "p90:", "p99:", "max:"], 0));
    assert!(done.stdout.lines().all(|line| line.ends_with(" µs")), "{done:?}");
}

/// Whether a process has a child.
fn has_child(parent: Pid) -> bool {
    let is_of = |process: &Path| {
        let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
        // Behind the name come the state and the parent.
        let parent_of = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        parent_of == Some(parent.as_raw_nonzero().get())
    };
    Path::new("/proc")
        .read_dir()
        .unwrap()
        .flatten()
        .any(|entry| is_of(&entry.path()))
}

#[test]
fn latency_that_is_interrupted_or_killed_leaves_no_process() {
    let place = Place::new();
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let (child, group) = latency(&place, &["--count", "10000000"]);
        until("the other side has started", || has_child(group));
        // To the one process alone, not to the other side.
        kill_process(group, signal).unwrap();
        let done: Done = child.wait_with_output().unwrap().into();
        match signal {
            Signal::INT => done.fails(1, "latency: interrupted; nothing was measured"),
            _ => assert_eq!(done.code, -1),
        }
        until("no process is left", || test_kill_process_group(group).is_err());
    }
}
