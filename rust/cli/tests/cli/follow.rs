//! Commands that go on, and how they end.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::{Done, Place, until};

/// A program that goes on, line by line.
struct Following {
    child: std::process::Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Following {
    fn start(place: &Place, words: &[&str]) -> Self {
        let mut child = place.start("splinterctl", words, Stdio::null());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("another line").unwrap()
    }

    fn json(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// Ends it as Ctrl-C does.
    fn interrupt(self) -> Done {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::INT).unwrap();
        self.end()
    }

    /// What is left of it when it ends by itself.
    fn end(mut self) -> Done {
        let mut stdout = String::new();
        for line in self.lines {
            stdout += &(line.unwrap() + "\n");
        }
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Done { code, stdout, stderr }
    }
}

#[test]
fn a_watch_prints_changes_until_it_is_interrupted() {
    let place = Place::with_store();
    place.line("set key 1").prints("");
    let mut watch = Following::start(&place, &["watch", "key", "--initial"]);
    assert_eq!(watch.line(), "1:1");
    place.line("set key 'hello, world'").prints("");
    assert_eq!(watch.line(), "12:hello, world");
    place.line("set other x").prints("");
    place.line("unset key").prints("12 bytes deleted.\n");
    assert_eq!(watch.line(), "unset");
    place.line("set key again").prints("");
    assert_eq!(watch.line(), "5:again");
    watch.interrupt().prints("");
}

#[test]
fn a_watch_ends_after_as_many_changes_as_it_was_told() {
    let place = Place::with_store();
    for line in ["set a 1", "set b 2", "set c 3"] {
        place.line(line).prints("");
    }
    place.line("watch a --initial --oneshot").prints("1:1\n");
    place.line("watch a b --initial --count 2").prints("a 1:1\nb 1:2\n");
    place.line("watch --prefix b --initial --oneshot").prints("b 1:2\n");
    place
        .line("watch --all --from 0 --count 3")
        .prints("a 1:1\nb 1:2\nc 1:3\n");
    place
        .line("watch --glob [ab] --initial --timeout-ms 1")
        .fails(7, "watch: nothing has changed; try a longer --timeout-ms");
    place.line("watch --glob ? --initial --count 3 --raw").prints("123");
    place.line("watch a --count 0").prints("");
    let mut watch = Following::start(&place, &["watch", "--all", "--initial", "--count", "4", "--json"]);
    for key in ["a", "b", "c"] {
        assert_eq!(watch.json()["key"], key);
    }
    place.line("unset a").prints("1 bytes deleted.\n");
    let event = watch.json();
    assert_eq!(
        (&event["key"], &event["kind"], &event["seq"]),
        (&"a".into(), &"unset".into(), &3.into())
    );
    assert!(event.get("value").is_none() && event["epoch"].is_u64());
    watch.end().prints("");
}

#[test]
fn a_watch_of_what_comes_and_goes_has_its_keys_escaped() {
    let place = Place::with_store();
    place.run(&["set", "a\x1b]0;x\x07", "v\x1b"]).prints("");
    place
        .line("watch --all --initial --oneshot")
        .prints("a\\x1b]0;x\\x07 2:v\x1b\n");
}

#[test]
fn a_watch_runs_a_command_for_each_change() {
    let place = Place::with_store();
    for line in ["set a one", "set b two"] {
        place.line(line).prints("");
    }
    let command = "printf '%s %s %s ' \"$SPLINTER_KEY\" \"$SPLINTER_KIND\" \"$SPLINTER_EPOCH\"; cat; echo";
    place
        .run(&["watch", "--all", "--initial", "--count", "2", "--exec", command])
        .prints("a set 2 one\nb set 2 two\n");
    let done = place.run(&["watch", "a", "--initial", "--oneshot", "--exec", "exit 3"]);
    assert_eq!((done.code, done.stdout.as_str()), (0, ""));
    assert_eq!(done.stderr, "watch: the command of --exec ended with exit status: 3\n");
    // One that does not read.
    place
        .run(&["watch", "a", "--initial", "--oneshot", "--exec", "exec <&-"])
        .prints("");
}

#[test]
fn a_watch_survives_the_removal_of_its_store() {
    let place = Place::with_store();
    place.line("set key 1").prints("");
    let mut watch = Following::start(&place, &["watch", "key", "--initial"]);
    assert_eq!(watch.line(), "1:1");
    let store = splinter::OpenOptions::new().memory(true).open(&place.store).unwrap();
    assert_eq!(place.run(&["drop", "--yes", &place.store]).code, 0);
    let mut told = BufReader::new(watch.child.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert_eq!(
        line,
        "watch: the store was removed; those who have it open still share it\n"
    );
    store.set("key", "2").unwrap();
    assert_eq!(watch.line(), "1:2");
    watch.child.stderr = Some(told.into_inner());
    watch.interrupt().prints("");
}

#[test]
fn a_watch_of_a_store_that_is_cut_ends_with_an_error() {
    let place = Place::new();
    assert_eq!(
        place
            .program("splinterpctl", &["init", "s", "64"])
            .status()
            .unwrap()
            .code(),
        Some(0)
    );
    let words = ["--persistent", "-u", "s", "watch", "key", "--initial"];
    assert_eq!(
        place
            .program("splinterpctl", &["-u", "s", "set", "key", "1"])
            .status()
            .unwrap()
            .code(),
        Some(0)
    );
    let mut watch = Following::start(&place, &words);
    assert_eq!(watch.line(), "1:1");
    std::fs::File::options()
        .write(true)
        .open(place.path("s"))
        .unwrap()
        .set_len(0)
        .unwrap();
    let done = watch.end();
    assert_eq!((done.code, done.stderr.lines().count()), (8, 1), "{done:?}");
}

#[test]
fn a_watch_ends_when_nobody_reads_it() {
    let place = Place::with_store();
    place.line("set key 1").prints("");
    let mut watch = Following::start(&place, &["watch", "key", "--initial"]);
    assert_eq!(watch.line(), "1:1");
    drop(watch.lines);
    // Without another change.
    assert_eq!(watch.child.wait().unwrap().code(), Some(0));
}

#[test]
fn changes_are_printed_as_they_were_made() {
    let place = Place::with_store();
    for line in ["set a 1", "set b 2", "set a 3"] {
        place.line(line).prints("");
    }
    let row = |sequence, kind, epoch, key| format!("{sequence:>10}  {kind:<10}  {epoch:>10}  {key}\n");
    let rows = [row(0, "set", 2, "a"), row(1, "set", 2, "b"), row(2, "set", 4, "a")];
    place.line("changes").prints(&rows.concat());
    place.line("changes --from 1").prints(&rows[1..].concat());
    place.line("changes --count 1").prints(&rows[0]);
    place.line("changes -p b").prints(&rows[1]);
    place
        .line("changes --from 2 --json")
        .prints("{\"seq\":2,\"kind\":\"set\",\"key\":\"a\",\"epoch\":4}\n");
    let mut feed = Following::start(&place, &["changes", "--from", "2", "--follow", "--json"]);
    assert_eq!(feed.json()["seq"], 2);
    place.line("unset b").prints("1 bytes deleted.\n");
    assert_eq!(
        (feed.json()["kind"].as_str(), feed.json_of_next(&place)),
        (Some("unset"), Some(4))
    );
    feed.interrupt().prints("");
}

impl Following {
    /// Causes another change, and returns where it was seen.
    fn json_of_next(&mut self, place: &Place) -> Option<u64> {
        place.line("set next x").prints("");
        self.json()["seq"].as_u64()
    }
}

#[test]
fn what_the_journal_has_lost_is_said() {
    let place = Place::new();
    assert_eq!(
        place
            .splinterctl(&["init", &place.store, "8", "8", "--journal", "64"])
            .code,
        0
    );
    let store = splinter::OpenOptions::new().memory(true).open(&place.store).unwrap();
    for _ in 0..100 {
        store.set("key", "v").unwrap();
    }
    let done = place.line("changes");
    let first = done.stdout.lines().next().unwrap();
    assert!(
        first.starts_with("         0  lost") && first.ends_with("changes, then what exists"),
        "{first}"
    );
    let done = place.line("changes --json");
    let lost: Value = serde_json::from_str(done.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&lost["kind"], &lost["seq"]), (&"lost".into(), &0.into()));
    let items = done.stdout.lines().count() as u64;
    // The loss, the key as it is, and every change that is left.
    assert_eq!(lost["count"].as_u64().unwrap() + (items - 2), 100);
}

#[test]
fn a_monitor_tells_the_time_of_every_change() {
    let place = Place::with_store();
    let mut monitor = Following::start(&place, &["monitor", "--json", "--count", "2"]);
    // Only what comes after its start is told: it is asked until it has seen one.
    let seen = std::sync::atomic::AtomicBool::new(false);
    let first = std::thread::scope(|scope| {
        scope.spawn(|| {
            let store = splinter::OpenOptions::new().memory(true).open(&place.store).unwrap();
            until("a change is seen", || {
                store.set("key", "v").unwrap();
                seen.load(std::sync::atomic::Ordering::SeqCst)
            });
        });
        let first = monitor.json();
        seen.store(true, std::sync::atomic::Ordering::SeqCst);
        first
    });
    assert_eq!((&first["kind"], &first["key"]), (&"set".into(), &"key".into()));
    let time = first["time"].as_str().unwrap();
    assert!(
        time.len() == 27 && time.ends_with('Z') && time.starts_with("20"),
        "{time}"
    );
    place.line("set key v").prints("");
    let second = monitor.json();
    assert!(second["time"].as_str().unwrap() >= time);
    assert_eq!(monitor.end().code, 0);
}

#[test]
fn stat_prints_rates() {
    let place = Place::with_store();
    for line in ["set a 1", "set b 22"] {
        place.line(line).prints("");
    }
    let done = place.line("stat --interval 0.01 --count 2");
    let lines: Vec<Vec<&str>> = done
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        [
            "changes/s",
            "changes",
            "keys",
            "used",
            "value",
            "bytes",
            "watches",
            "repairs"
        ]
    );
    assert_eq!(lines[1], ["0.0", "2", "2", "2", "3", "0", "0"]);
    assert_eq!((lines.len(), done.code), (3, 0));
    let json = place.line("stat --interval 0.01 --count 1 --json");
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&json["keys"], &json["slots"], &json["value_bytes"]),
        (&2.into(), &64.into(), &3.into())
    );
    let json = place.line("--prefix b stat --interval 0.01 --count 1 --json");
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["keys"], &json["slots_used"]), (&1.into(), &2.into()));
    let mut watch = Following::start(&place, &["watch", "--all", "--initial"]);
    assert_eq!(watch.line(), "a 1:1");
    let json = place.line("stat --interval 0.01 --count 1 --json");
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["watches"], 1);
    assert_eq!(watch.interrupt().code, 0);
    let mut stat = Following::start(&place, &["stat", "--interval", "0.01"]);
    assert!(stat.line().contains("changes/s"));
    let done = stat.interrupt();
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
}

#[test]
fn a_watch_prints_what_was_appended_alone_if_it_is_told_to() {
    let place = Place::with_store();
    place.line("set log ab").prints("");
    let mut watch = Following::start(
        &place,
        &["watch", "log", "--appended", "--initial", "--count", "4", "--json"],
    );
    let mut next = || {
        let event = watch.json();
        (event["value"].clone(), event["offset"].as_u64())
    };
    assert_eq!(next(), ("ab".into(), Some(0)));
    place.line("append log cd").prints("4\n");
    assert_eq!(next(), ("cd".into(), Some(2)));
    place.line("append log e").prints("5\n");
    assert_eq!(next(), ("e".into(), Some(4)));
    place.line("set log new").prints("");
    assert_eq!(next(), ("new".into(), Some(0)));
    watch.end().prints("");
}

#[test]
fn tokens_that_are_appended_come_out_of_a_raw_watch_one_after_the_other() {
    let place = Place::with_store();
    let words = ["watch", "log", "--appended", "--count", "3", "--initial"];
    place.line("append log one,").prints("4\n");
    let mut watch = Following::start(&place, &words);
    assert_eq!(watch.line(), "4:one,");
    place.line("append log two,").prints("8\n");
    assert_eq!(watch.line(), "4:two,");
    place.line("append log three").prints("13\n");
    watch.end().prints("5:three\n");
    place
        .line("watch log --appended --initial --oneshot --raw")
        .prints("one,two,three");
    let exec = [
        "watch",
        "log",
        "--appended",
        "--initial",
        "--oneshot",
        "--exec",
        "echo $SPLINTER_KIND $SPLINTER_OFFSET",
    ];
    place.run(&exec).prints("set 0\n");
}

#[test]
fn a_watch_follows_the_keys_with_a_label() {
    let place = Place::with_store();
    place.line("label --name 3 red").prints("");
    place.line("mset a 1 b 2 c 3").prints("");
    place.line("label a red").prints("red\n");
    let mut watch = Following::start(&place, &["watch", "--label", "red", "--initial", "--count", "3"]);
    assert_eq!(watch.line(), "a 1:1");
    place.line("set b 22").prints("");
    // One that gets the label counts as changed.
    place.line("label c 3").prints("red\n");
    assert_eq!(watch.line(), "c 1:3");
    place.line("set a 4").prints("");
    watch.end().prints("a 1:4\n");
}

#[test]
fn every_kind_of_change_has_a_name() {
    let place = Place::new();
    assert_eq!(place.splinterctl(&["init", &place.store, "2", "8"]).code, 0);
    // Names of keys that are gone are known only to those who were there.
    let mut changes = Following::start(&place, &["changes", "--follow", "--count", "7", "--json"]);
    let mut of_b = Following::start(&place, &["changes", "--follow", "--count", "1", "-p", "b"]);
    let mut monitor = Following::start(&place, &["monitor", "--count", "3", "--json"]);
    let mut watch = Following::start(&place, &["watch", "n", "--count", "2"]);
    let store = splinter::OpenOptions::new().memory(true).open(&place.store).unwrap();
    until("all have begun", || {
        store
            .attached()
            .unwrap()
            .iter()
            .map(|handle| handle.watches)
            .sum::<u32>()
            == 4
    });
    for line in [
        "set a 1",
        "append a 2",
        "expire a 1h",
        "add n",
        "config eviction lru",
        "pin a",
    ] {
        assert_eq!(place.line(line).code, 0, "{line}");
    }
    assert_eq!(watch.line(), "8:\u{1}\0\0\0\0\0\0\0");
    place.line("set b 1").prints("");
    for (kind, key) in [
        ("set", "a"),
        ("appended", "a"),
        ("attributes", "a"),
        ("set", "n"),
        ("attributes", "a"),
        ("evicted", "n"),
        ("set", "b"),
    ] {
        let change = changes.json();
        assert_eq!((&change["kind"], &change["key"]), (&kind.into(), &key.into()));
    }
    changes.end().prints("");
    assert!(of_b.line().contains("  set  "));
    of_b.end().prints("");
    assert_eq!(watch.line(), "evicted");
    watch.end().prints("");
    for kind in ["set", "appended", "attributes"] {
        let change = monitor.json();
        assert_eq!(change["kind"], kind);
        assert!(change["time"].is_string());
    }
    monitor.end().prints("");
    let row = format!("{:>10}  {:<10}  {:>10}  a\n", 2, "attributes", 4);
    assert!(place.line("changes").stdout.contains(&row));
}
