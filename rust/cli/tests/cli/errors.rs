//! Every way to fail: its exit code, and one line that says what to do.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use splinter::OpenOptions;

use crate::common::{Done, Place};

#[test]
fn what_is_not_a_command_is_a_usage_error() {
    let place = Place::with_store();
    place.line("getx foo").fails(
        1,
        "splinterctl: unknown command \"getx\": did you mean \"get\"? \"splinterctl help\" lists the commands",
    );
    let unknown =
        |name: &str| format!("splinterctl: unknown command \"{name}\": \"splinterctl help\" lists the commands");
    place.line("xyzzy").fails(1, &unknown("xyzzy"));
    // No command is taken by its beginning, nor by a path to it.
    for name in ["ge", "GET", "/get", "lis"] {
        let done = place.line(name);
        assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{name}");
    }
    place
        .line("")
        .fails(1, "splinterctl: no command; \"splinterctl help\" lists them");
}

#[test]
fn wrong_arguments_are_usage_errors() {
    let place = Place::with_store();
    place.line("set key").fails(
        1,
        "set: the following required arguments were not provided: <VALUE>; see \"splinterctl help set\"",
    );
    place.line("get").fails(
        1,
        "get: the following required arguments were not provided: <KEY>; see \"splinterctl help get\"",
    );
    place
        .line("get a b")
        .fails(1, "get: unexpected argument 'b' found; see \"splinterctl help get\"");
    for line in [
        "--nonsense list",
        "list --nonsense",
        "list --json --raw",
        "config av 2",
        "config nonsense 1",
        "init x many",
        "init x 5 --slots 6",
        "watch key --count many",
        "watch key --oneshot --count 2",
        "watch key --all",
        "stat --interval 0",
        "stat --interval soon",
        "completions nonsense",
        "-l many hist",
        "list --persistent --memory",
    ] {
        let done = place.line(line);
        assert_eq!(
            (done.code, done.stdout.as_str(), done.stderr.lines().count()),
            (1, "", 1),
            "{line}: {done:?}"
        );
    }
    place.line("watch").fails(
        1,
        "watch: nothing to watch; name a key, or give --prefix, --glob, --label or --all",
    );
    let done = place.line("list (");
    assert_eq!(done.code, 1);
    assert!(
        done.stderr.starts_with("list: \"(\" is no regular expression: "),
        "{}",
        done.stderr
    );
    let done = place.line("init x 0");
    assert_eq!((done.code, done.stderr.lines().count()), (1, 1), "{done:?}");
    place
        .line("set '' value")
        .fails(1, "set: invalid key: a key has at least one byte");
    let mut command = place.program("splinterctl", &["hist"]);
    let done: Done = command.env("SPLINTER_HISTORY_LEN", "x").output().unwrap().into();
    done.fails(1, "SPLINTER_HISTORY_LEN is \"x\": make it a number of lines");
    // Neither is a key that is no text, nor a prefix, without which other keys would be meant.
    use std::os::unix::ffi::OsStrExt;
    let bad = std::ffi::OsStr::from_bytes(b"\xff");
    let mut command = place.program("splinterctl", &["-u", &place.store, "get"]);
    Done::from(command.arg(bad).output().unwrap()).fails(
        1,
        "get: invalid UTF-8 was detected in one or more arguments; see \"splinterctl help get\"",
    );
    let mut command = place.program("splinterctl", &["-u", &place.store, "set", "key", "value"]);
    Done::from(command.env("SPLINTER_NS_PREFIX", bad).output().unwrap())
        .fails(1, "SPLINTER_NS_PREFIX is not UTF-8, which keys are; set it anew");
    place.line("-u list get").fails(
        1,
        "get: the following required arguments were not provided: <KEY>; see \"splinterctl help get\"",
    );
    let done = place.line("changes --from 99");
    assert_eq!((done.code, done.stderr.lines().count()), (1, 1), "{done:?}");
}

#[test]
fn without_a_store_nothing_is_connected() {
    let place = Place::new();
    for line in [
        "list",
        "get key",
        "set key value",
        "head key",
        "unset key",
        "config",
        "export",
        "watch key",
        "stat",
        "mget key",
        "mset key value",
        "append key value",
        "add key",
        "not key",
        "expire key 1",
        "persist key",
        "ttl key",
        "sweep",
        "pin key",
        "unpin key",
        "type key",
        "label key",
        "labels",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let message = "not connected; name a store with --use or SPLINTER_DEFAULT_STORE";
        place.splinterctl(&words).fails(2, &format!("{}: {message}", words[0]));
        let message = format!(
            "there is no store \"{0}\" in shared memory; \"init {0}\" creates one",
            place.store
        );
        place.run(&words).fails(2, &format!("{}: {message}", words[0]));
    }
    let done: Done = place.program("splinterpctl", &["use", "a/b"]).output().unwrap().into();
    done.fails(2, "use: there is no store \"a/b\"; \"init a/b\" creates one");
    let done: Done = place.program("splinterpctl", &["init", "a/b"]).output().unwrap().into();
    done.fails(1, "init: \"a/b\" is in a directory that does not exist; make it first");
}

#[test]
fn a_missing_key_has_a_code_of_its_own() {
    let place = Place::with_store();
    for command in [
        "get", "head", "unset", "persist", "ttl", "pin", "unpin", "type", "label",
    ] {
        for format in ["", "--json", "--raw"] {
            let message = format!("{command}: there is no key \"nope\"; \"list\" shows the keys");
            place.line(&format!("{format} {command} nope")).fails(3, &message);
        }
    }
    for line in ["expire nope 1", "type nope text", "label nope 1", "get nope --number"] {
        let command = line.split(' ').next().unwrap();
        let message = format!("{command}: there is no key \"nope\"; \"list\" shows the keys");
        place.line(line).fails(3, &message);
    }
    place
        .run(&["get", "a\x1b[2J\nb"])
        .fails(3, "get: there is no key \"a\\x1b[2J\\nb\"; \"list\" shows the keys");
}

#[test]
fn a_full_store_and_what_is_too_large() {
    let place = Place::new();
    assert_eq!(place.splinterctl(&["init", &place.store, "1", "4"]).code, 0);
    place.line("set key 1234").prints("");
    place.line("set other 1").fails(
        4,
        "set: the store is full: all 1 slots hold keys; unset keys, set \"config eviction\", \
         or create a store with more slots",
    );
    let larger = "\"init --maxlen\" makes a store for longer ones";
    place.line("set key 12345").fails(
        5,
        &format!("set: the value has 5 bytes, this store's values at most 4; {larger}"),
    );
    let done: Done = place.fed("splinterctl", &["set", "key", "-"], "123456").into();
    done.fails(
        5,
        &format!("set: the standard input has more than 4 bytes, the longest value of this store; {larger}"),
    );
    let key = "k".repeat(65);
    for words in [
        &["set", &key, "v"][..],
        &["get", &key],
        &["unset", &key],
        &["watch", &key],
    ] {
        let message =
            "the key has 65 bytes, this store's keys at most 64; \"init --max-key\" makes a store for longer ones";
        place.run(words).fails(5, &format!("{}: {message}", words[0]));
    }
    place.line("get key").prints("4:1234\n\n");
}

#[test]
fn a_store_with_too_many_handles_is_busy() {
    let place = Place::with_store();
    // Each has a file open.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let more = rustix::process::Rlimit {
        current: limit.maximum,
        ..limit
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, more).unwrap();
    let options = OpenOptions::new().memory(true);
    let mut handles = Vec::new();
    let busy = loop {
        match options.open(&place.store) {
            Ok(handle) => handles.push(handle),
            Err(error) => break error,
        }
    };
    assert_eq!(busy.code(), splinter::ErrorCode::Busy, "{busy} after {}", handles.len());
    let message = "busy: the store has as many handles as it can have; try again";
    place
        .line("list")
        .fails(6, &format!("list: \"{}\": {message}", place.store));
}

#[test]
fn what_waits_can_time_out() {
    let place = Place::with_store();
    place
        .line("watch key --timeout-ms 1")
        .fails(7, "watch: nothing has changed; try a longer --timeout-ms");
}

#[test]
fn what_is_no_store_is_told() {
    let place = Place::new();
    std::fs::write(place.path("text"), "not a store").unwrap();
    let run = |store: &str| Done::from(place.program("splinterpctl", &["-u", store, "list"]).output().unwrap());
    run("text").fails(
        8,
        "list: \"text\": not a store: it does not begin as a store does; name another store, or remove what is there yourself",
    );
    let init: Done = place
        .program("splinterpctl", &["init", "cut", "64"])
        .output()
        .unwrap()
        .into();
    assert_eq!(init.code, 0);
    let file = std::fs::File::options().write(true).open(place.path("cut")).unwrap();
    file.set_len(8192).unwrap();
    let done = run("cut");
    assert_eq!((done.code, done.stderr.lines().count()), (8, 1), "{done:?}");
    assert!(done.stderr.contains("corrupt"), "{done:?}");
    std::os::unix::fs::symlink("cut", place.path("link")).unwrap();
    assert_eq!(run("link").code, 8);
    assert_eq!(run(".").code, 8);
    let done = place.splinterctl(&["-u", "a/b", "list"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("--persistent is for files"), "{done:?}");
}

#[test]
fn a_damaged_store_is_found_out() {
    use std::os::unix::fs::FileExt;
    let place = Place::new();
    let run = |words: &[&str]| Done::from(place.program("splinterpctl", words).output().unwrap());
    assert_eq!(run(&["init", "s", "64"]).code, 0);
    assert_eq!(run(&["-u", "s", "set", "key", "value"]).code, 0);
    let checked = run(&["-u", "s", "check"]);
    assert!(checked.stdout.ends_with("Nothing is wrong.\n"), "{checked:?}");
    assert_eq!((checked.code, checked.stderr.as_str()), (0, ""));
    // Far more inserts than there can have been: `births` in the header.
    let file = std::fs::File::options().write(true).open(place.path("s")).unwrap();
    file.write_all_at(&u64::MAX.to_le_bytes(), 192).unwrap();
    let checked = run(&["-u", "s", "check"]);
    assert_eq!(checked.code, 8, "{checked:?}");
    assert!(
        checked.stdout.contains("\ncounter: ") && checked.stdout.ends_with("The store is damaged.\n"),
        "{checked:?}"
    );
    assert_eq!(
        checked.stderr,
        "check: the store is damaged; \"backup\" it, then try \"check --repair\"\n"
    );
    let json = run(&["-u", "s", "--json", "check"]);
    let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, &report["damaged"]), (8, &true.into()));
    assert_eq!(report["findings"][0]["kind"], "counter");
    let repaired = run(&["-u", "s", "check", "--repair"]);
    assert!(repaired.stdout.ends_with("Nothing is wrong.\n"), "{repaired:?}");
    assert_eq!(repaired.code, 0);
    run(&["-u", "s", "get", "key"]).prints("5:value\n\n");
}

#[test]
fn what_is_not_allowed_is_told() {
    /// A user without rights, for the superuser is allowed everything.
    const NOBODY: u32 = 65534;
    let is_root = rustix::process::geteuid().is_root();
    let place = Place::new();
    let allow = |name: &str, mode: u32| {
        std::fs::set_permissions(place.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    allow("", 0o755);
    // Wherever it was built, there it can be run by anybody.
    std::fs::copy(env!("CARGO_BIN_EXE_splinterctl"), place.path("program")).unwrap();
    allow("program", 0o755);
    let own = |words: &[&str]| Done::from(place.program("splinterpctl", words).output().unwrap());
    for name in ["hidden", "readable"] {
        assert_eq!(own(&["init", name, "8"]).code, 0);
        own(&["-u", name, "set", "key", "value"]).prints("");
    }
    assert_eq!(place.splinterctl(&["init", &place.store, "8"]).code, 0);
    std::fs::write(place.path("export.json"), "{}").unwrap();
    std::fs::create_dir(place.path("closed")).unwrap();
    let memory = std::path::Path::new("/dev/shm").join(&place.store);
    for (name, mode) in [
        ("hidden", 0),
        ("readable", 0o444),
        ("export.json", 0),
        ("closed", 0o555),
    ] {
        allow(name, mode);
    }
    std::fs::set_permissions(&memory, std::fs::Permissions::from_mode(0o000)).unwrap();
    let run = |words: &[&str]| -> Done {
        let mut command = place.program("program", words);
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.output().unwrap().into()
    };
    let readable = ["--persistent", "-u", "readable"];
    run(&[&readable[..], &["get", "key"]].concat()).prints("5:value\n\n");
    run(&[&readable[..], &["list", "--raw"]].concat()).prints("key\n");
    run(&[&readable[..], &["set", "key", "other"]].concat()).fails(
        9,
        "set: permission denied: the store was opened read-only; ask its owner for the right",
    );
    for words in [
        &["-u", "hidden", "get", "key"][..],
        &["-u", "hidden", "list"],
        &["use", "hidden"],
        &["-u", "hidden", "top", "--once"],
        &["-u", "readable", "unset", "key"],
        &["-u", "readable", "config", "av", "0"],
        &["-u", "readable", "check", "--repair"],
        &["-u", "readable", "backup", "closed/copy"],
        &["init", "closed/store"],
        &["stress", "closed/store", "--duration-ms", "1"],
        &["man", "--dir", "closed"],
        &["--memory", "-u", &place.store, "list"],
    ] {
        let done = run(&[&["--persistent"][..], words].concat()[usize::from(words[0] == "--memory")..]);
        assert_eq!(
            (done.code, done.stdout.as_str(), done.stderr.lines().count()),
            (9, "", 1),
            "{words:?}: {done:?}"
        );
    }
    let done = run(&[&readable[..], &["import", "export.json"]].concat());
    assert_eq!(done.code, 9, "{done:?}");
    if is_root {
        // In a directory in which only the owner of a name may take it away.
        assert_eq!(run(&["drop", &place.store, "--yes"]).code, 9);
        assert!(memory.exists());
    }
    assert_eq!(own(&["-u", "readable", "get", "key"]).stdout, "5:value\n\n");
}
