//! Commands one by one, as scripts run them.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::common::Place;

const HEADING: &str = "Key Name                          | Epoch           | Value Length   \n\
    ------------------------------------------------------------------\n";

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn init_says_what_it_creates() {
    let place = Place::new();
    let file = |name: &str| place.path(name).display().to_string();
    let init = |arguments: &[&str]| {
        let mut words = vec!["init"];
        words.extend(arguments);
        crate::common::Done::from(place.program("splinterpctl", &words).output().unwrap())
    };
    init(&["a"]).prints("Creating 'a' with default geometry.\n");
    init(&["b", "32"]).prints("Creating 'b' with 32 slots and default value length of 4096.\n");
    init(&["c", "32", "100"]).prints("Creating 'c' with 32 slots with a max value length of 100.\n");
    init(&["d", "--slots", "8", "--maxlen", "10"]).prints("Creating 'd' with 8 slots with a max value length of 10.\n");
    init(&["e", "--length=9"]).prints("Creating 'e' with 1024 slots with a max value length of 9.\n");
    init(&[]).prints("Creating default store 'splinter_debug' with  default geometry (1024 x 4096).\n");
    let made = init(&["--json", &file("f"), "--max-key", "10", "--journal", "64"]);
    assert_eq!(
        json_of(&made.stdout),
        json!({"store": file("f"), "slots": 1024, "max_val_sz": 4096})
    );
    let config = place
        .program("splinterpctl", &["--use", "f", "--json", "config"])
        .output()
        .unwrap();
    let config = json_of(&String::from_utf8(config.stdout).unwrap());
    assert_eq!((&config["max_key_sz"], &config["journal"]), (&json!(10), &json!(64)));
}

#[test]
fn init_on_something_that_exists_changes_nothing() {
    let place = Place::with_store();
    assert_eq!(place.line("set key value").code, 0);
    let message = format!(
        "init: \"{}\" exists already and was left as it is; choose another name",
        place.store
    );
    place.run(&["init", &place.store]).fails(10, &message);
    place.run(&["init", &place.store, "9", "9"]).fails(10, &message);
    place.line("get key").prints("5:value\n\n");
    std::fs::write(place.path("text"), "not a store").unwrap();
    let done: crate::common::Done = place
        .program("splinterpctl", &["init", "text"])
        .output()
        .unwrap()
        .into();
    done.fails(
        10,
        "init: \"text\" exists already and was left as it is; choose another name",
    );
    assert_eq!(std::fs::read(place.path("text")).unwrap(), b"not a store");
}

#[test]
fn the_umask_of_the_environment_is_that_of_new_stores() {
    let place = Place::new();
    let init = |mask: &str, name: &str| -> crate::common::Done {
        let mut command = place.program("splinterpctl", &["init", name]);
        command.env("SPLINTER_DEFAULT_UMASK", mask).output().unwrap().into()
    };
    let mode = |name: &str| place.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((init("027", "group").code, mode("group")), (0, 0o640));
    assert_eq!((init("000", "all").code, mode("all")), (0, 0o666));
    assert_eq!((init("", "own").code, mode("own")), (0, 0o600));
    init("9", "bad").fails(
        1,
        "init: SPLINTER_DEFAULT_UMASK is \"9\": make it an octal number of up to 777",
    );
}

#[test]
fn keys_are_set_shown_and_deleted() {
    let place = Place::with_store();
    place.line("set foo 'hello, world'").prints("");
    place.line("get foo").prints("12:hello, world\n\n");
    place.line("get foo --raw").prints("hello, world");
    let head = place.line("head foo");
    let lines: Vec<_> = head.stdout.lines().collect();
    assert!(lines[0].starts_with("hash:     ") && lines[2].starts_with("val_off:  "));
    assert_eq!((lines[1], lines[3]), ("epoch:    2", "val_len:  12"));
    assert_eq!(lines[4], "key:      foo");
    // What the original has not, below what it has.
    assert_eq!(
        lines[5..],
        ["type:     void", "ttl:      forever", "pinned:   no", "labels:", ""]
    );
    assert_eq!(head.code, 0);
    place.line("unset foo").prints("12 bytes deleted.\n");
    place.line("set minus -5").prints("");
    place.line("set dashes -- --json").prints("");
    place.line("get minus").prints("2:-5\n\n");
    place.line("get dashes").prints("6:--json\n\n");
    place.line("set empty ''").prints("");
    place.line("get empty").prints("0:\n\n");
}

#[test]
fn json_has_one_document_for_each_command() {
    let place = Place::with_store();
    let run = |line: &str| {
        let done = place.line(line);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{line}");
        assert_eq!(done.stdout.lines().count(), 1, "{line}");
        json_of(&done.stdout)
    };
    assert_eq!(
        run("--json set foo bar"),
        json!({"key": "foo", "written": true, "epoch": 2})
    );
    assert_eq!(
        run("get foo --json"),
        json!({"key": "foo", "epoch": 2, "type": "void", "value_length": 3, "value": "bar"})
    );
    let head = run("head --json foo");
    assert_eq!(
        (&head["epoch"], &head["val_len"], &head["key"]),
        (&json!(2), &json!(3), &json!("foo"))
    );
    assert!(head["hash"].is_u64() && head["val_off"].is_u64());
    assert_eq!(
        run("list --json"),
        json!([{"key": "foo", "epoch": 2, "value_length": 3, "type": "void", "labels": []}])
    );
    assert_eq!(run("unset foo --json"), json!({"key": "foo", "value_length": 3}));
    assert_eq!(run("config av 0 --json"), json!({"auto_vacuum": 0}));
    let config = run("config --json");
    assert_eq!(
        (&config["slots"], &config["max_val_sz"], &config["epoch"]),
        (&json!(64), &json!(256), &json!(2))
    );
    assert_eq!(run("hist --json"), json!([]));
    let used = place.run(&["use", &place.store, "--json"]);
    assert_eq!(json_of(&used.stdout), json!({"store": place.store}));
    let bytes = place.fed("splinterctl", &["set", "bytes", "-"], b"\xff\x00");
    assert!(bytes.status.success());
    let value = json!({"key": "bytes", "epoch": 6, "type": "void", "value_length": 2, "value_base64": "/wA="});
    assert_eq!(run("get bytes --json"), value);
}

#[test]
fn values_of_any_bytes_and_size_come_back_unchanged() {
    let place = Place::new();
    let init = place.splinterctl(&["init", &place.store, "4", "3000000"]);
    assert_eq!(init.code, 0);
    let large: Vec<u8> = (0..3_000_000_u32).map(|i| (i * 31 + (i >> 8)) as u8).collect();
    for value in [&b""[..], b"\0", b"\xff\xfe\n\r\x1b[2J", &large[..5000], &large] {
        assert!(place.fed("splinterctl", &["set", "key", "-"], value).status.success());
        let raw = place.fed("splinterctl", &["get", "key", "--raw"], "");
        assert!(raw.stdout == value, "{} bytes", value.len());
        let classic = place.fed("splinterctl", &["get", "key"], "").stdout;
        assert!(classic == [format!("{}:", value.len()).as_bytes(), value, b"\n\n"].concat());
    }
}

#[test]
fn listings_have_the_last_change_first() {
    let place = Place::with_store();
    for line in [
        "set app/a 1",
        "set app/b 22",
        "set other 333",
        "set app/a 4444",
        "set app/a 55555",
    ] {
        assert_eq!(place.line(line).code, 0);
    }
    place.line("set app/b 22").prints("");
    let row = |key: &str, epoch: &str, length: &str| format!("{key:<33} | {epoch:<15} | {length:<15}\n");
    let rows = [row("app/a", "6", "5"), row("app/b", "4", "2"), row("other", "2", "3")];
    place.line("list").prints(&format!("{HEADING}{}\n", rows.concat()));
    place
        .line("list ^app")
        .prints(&format!("{HEADING}{}\n", rows[..2].concat()));
    place.line("list --raw").prints("app/a\napp/b\nother\n");
    place
        .line("--prefix app/ list")
        .prints(&format!("{HEADING}{}\n", rows[..2].concat()));
    place.line("list -p app/ ^b").prints(&format!("{HEADING}{}\n", rows[1]));
    let long = "k".repeat(60);
    assert_eq!(place.run(&["set", &long, "v"]).code, 0);
    assert!(
        place
            .line("list kkk")
            .stdout
            .contains(&format!("\n{long} | 2               | 1              \n"))
    );
}

#[test]
fn the_prefix_holds_for_every_command_alike() {
    let place = Place::with_store();
    for line in ["set -p ns/ key value", "set key other"] {
        place.line(line).prints("");
    }
    place.line("get ns/key").prints("5:value\n\n");
    let with = |environment: &str, arguments: &[&str]| -> crate::common::Done {
        let mut command = place.program("splinterctl", arguments);
        command.env("SPLINTER_DEFAULT_STORE", &place.store);
        command.env("SPLINTER_NS_PREFIX", environment).output().unwrap().into()
    };
    with("ns/", &["get", "key"]).prints("5:value\n\n");
    with("wrong/", &["--prefix", "ns/", "get", "key"]).prints("5:value\n\n");
    with("ns/", &["list", "--raw"]).prints("ns/key\n");
    assert!(with("ns/", &["head", "key"]).stdout.contains("\nkey:      ns/key\n"));
    with("ns/", &["watch", "key", "--initial", "--oneshot"]).prints("5:value\n");
    with("ns/", &["watch", "--glob", "k*", "--initial", "--oneshot"]).prints("ns/key 5:value\n");
    let export = json_of(&with("ns/", &["export", "^k"]).stdout);
    assert_eq!(export["keys"][0]["key"], "ns/key");
    with("ns/", &["unset", "key"]).prints("5 bytes deleted.\n");
    with("", &["get", "key"]).prints("5:other\n\n");
    with("ns/", &["get", "key"]).fails(3, "get: there is no key \"ns/key\"; \"list\" shows the keys");
}

#[test]
fn settings_are_shown_and_changed() {
    let place = Place::with_store();
    let config = "magic:       1112297555\nversion:     1\nslots:       64\nmax_val_sz:  256\nepoch:       0\n";
    place.line("config").prints(&format!("{config}auto_vacuum: 1\n\n"));
    place.line("config av 0").prints("");
    place.line("config av").prints("auto_vacuum: 0\n");
    place.line("config").prints(&format!("{config}auto_vacuum: 0\n\n"));
    place.line("config av 1").prints("");
    place.line("config av").prints("auto_vacuum: 1\n");
}

#[test]
fn use_finds_the_store() {
    let place = Place::with_store();
    let done = place.splinterctl(&["use", &place.store]);
    assert_eq!(done.stderr, format!("use: now connected to {}\n", place.store));
    assert_eq!((done.stdout.as_str(), done.code), ("", 0));
}

#[test]
fn the_name_decides_and_options_overrule_it() {
    let place = Place::with_store();
    let run =
        |name: &str, arguments: &[&str]| crate::common::Done::from(place.program(name, arguments).output().unwrap());
    run("splinterpctl", &["init", "file"]).prints("Creating 'file' with default geometry.\n");
    assert!(place.path("file").exists());
    run("splinterpctl", &["--use", "file", "set", "key", "1"]).prints("");
    run("splinterctl", &["--persistent", "--use", "file", "get", "key"]).prints("1:1\n\n");
    run("splinterp_cli", &["--use", "file", "get", "key"]).prints("1:1\n\n");
    run("splinter_cli", &["-n", "--use", &place.store, "set", "key", "2"]).prints("");
    run("splinterpctl", &["--memory", "-u", &place.store, "get", "key"]).prints("1:2\n\n");
    run("splinter_cli", &["-n"]).fails(1, "splinter_cli: no command; \"splinter_cli help\" lists them");
    for name in ["splinterctl", "splinter_cli", "splinterpctl", "splinterp_cli"] {
        let version = run(name, &["--version"]).stdout;
        assert!(
            version.starts_with(&format!("{name} version {} build ", env!("CARGO_PKG_VERSION"))),
            "{version}"
        );
        assert_eq!(run(name, &["-v"]).stdout, version);
    }
}

#[test]
fn help_is_made_of_the_table() {
    let place = Place::new();
    let help = place.splinterctl(&["help"]);
    assert!(
        help.stdout.contains("\n  unset        Delete a key\n"),
        "{}",
        help.stdout
    );
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    assert_eq!(place.splinterctl(&["--help"]), help);
    assert_eq!(place.splinterctl(&["-h"]), help);
    let get = place.splinterctl(&["help", "get"]);
    assert!(
        get.stdout.contains("Usage: splinterctl get [OPTIONS] <KEY>"),
        "{}",
        get.stdout
    );
    assert_eq!(place.splinterctl(&["get", "--help"]), get);
    // For programs.
    let commands = json_of(&place.splinterctl(&["help", "--json"]).stdout);
    assert_eq!(
        commands[2],
        json!({"command": "set", "aliases": [], "about": "Store a value under a key"})
    );
    assert_eq!(json_of(&place.splinterctl(&["--json", "-L"]).stdout), commands);
    let clear = json_of(&place.splinterctl(&["--json", "help", "clear"]).stdout);
    assert_eq!(
        (&clear["command"], &clear["aliases"]),
        (&json!("clear"), &json!(["cls"]))
    );
    assert!(clear["help"].as_str().unwrap().contains("Usage: splinterctl clear"));
    // An option's value is not the command.
    assert_eq!(place.splinterctl(&["-u", "list", "get", "--help"]).stdout, get.stdout);
    let modules = place.splinterctl(&["-L"]).stdout;
    assert!(modules.starts_with("init         Create a store\n"), "{modules}");
    assert_eq!(place.splinterctl(&["--list-modules"]).stdout, modules);
    place
        .splinterctl(&["help", "getx"])
        .fails(1, "help: there is no command \"getx\"; \"help\" lists the commands");
    place.splinterctl(&["clear"]).prints("");
    place.splinterctl(&["exit"]).prints("");
}

#[test]
fn completions_and_man_pages_are_made_of_the_table() {
    let place = Place::new();
    for (shell, mark) in [
        ("bash", "complete -F _splinterctl"),
        ("zsh", "#compdef splinterctl"),
        ("fish", "-c splinterctl"),
    ] {
        let script = place.splinterctl(&["completions", shell]);
        assert_eq!(script.code, 0);
        assert!(script.stdout.contains(mark), "{shell}");
        assert!(script.stdout.contains("unset"));
    }
    let script = place
        .program("splinterp_cli", &["completions", "bash"])
        .output()
        .unwrap();
    assert!(String::from_utf8(script.stdout).unwrap().contains("splinterp_cli"));
    let bash = place.splinterctl(&["completions", "bash"]).stdout;
    std::fs::write(place.path("completions"), bash).unwrap();
    let checked = std::process::Command::new("bash")
        .arg("-n")
        .arg(place.path("completions"))
        .status();
    assert!(checked.unwrap().success());
    let page = place.splinterctl(&["man"]).stdout;
    assert!(page.contains(".TH splinterctl 1"), "{page}");
    assert!(
        place
            .splinterctl(&["man", "get"])
            .stdout
            .contains(".TH splinterctl-get 1")
    );
    std::fs::create_dir(place.path("man")).unwrap();
    place.splinterctl(&["man", "--dir", "man"]).prints("");
    assert_eq!(std::fs::read_to_string(place.path("man/splinterctl.1")).unwrap(), page);
    assert!(place.path("man/splinterctl-unset.1").exists());
    // As JSON, a text is one document too.
    assert_eq!(json_of(&place.splinterctl(&["man", "--json"]).stdout), json!(page));
    let script = place.splinterctl(&["completions", "fish"]).stdout;
    let quoted = place.splinterctl(&["--json", "completions", "fish"]).stdout;
    assert_eq!(json_of(&quoted), json!(script));
    place
        .splinterctl(&["man", "--dir", "man", "--json"])
        .prints("{\"dir\":\"man\"}\n");
}

#[test]
fn the_history_file_is_listed() {
    let place = Place::new();
    std::fs::write(place.path(".splinter_history"), "#V2\nget foo\nset foo bar\nlist\n").unwrap();
    place
        .splinterctl(&["hist"])
        .prints("1: get foo\n2: set foo bar\n3: list\n\n");
    place.splinterctl(&["hist", "foo$"]).prints("1: get foo\n\n");
    place.splinterctl(&["-l", "1", "hist"]).prints("1: list\n\n");
    std::fs::write(place.path("other"), "#V2\nother\n").unwrap();
    place.splinterctl(&["hist", "-H", "other"]).fails(
        1,
        "hist: unexpected argument '-H' found; to pass '-H' as a value, use '-- -H'; see \"splinterctl help hist\"",
    );
    place.splinterctl(&["-H", "other", "hist"]).prints("1: other\n\n");
    let done = place
        .program("splinterctl", &["hist"])
        .env("SPLINTER_HISTORY_FILE", place.path("other"))
        .output();
    crate::common::Done::from(done.unwrap()).prints("1: other\n\n");
    let done = place
        .program("splinterctl", &["hist"])
        .env("SPLINTER_HISTORY_LEN", "2")
        .output();
    crate::common::Done::from(done.unwrap()).prints("1: set foo bar\n2: list\n\n");
}

#[test]
fn a_store_is_dropped_only_if_somebody_says_so() {
    let place = Place::with_store();
    place
        .run(&["drop", &place.store])
        .fails(1, "drop: nobody can be asked here; add --yes");
    assert_eq!(place.line("list").code, 0);
    place
        .run(&["drop", &place.store, "--yes"])
        .prints(&format!("Removed '{}'.\n", place.store));
    assert_eq!(place.line("list").code, 2);
    std::fs::write(place.path("text"), "not a store").unwrap();
    let done: crate::common::Done = place
        .program("splinterpctl", &["drop", "text", "--yes"])
        .output()
        .unwrap()
        .into();
    assert_eq!(done.code, 8, "{done:?}");
    assert!(place.path("text").exists());
    let missing = format!(
        "drop: there is no store \"{0}\" in shared memory; \"init {0}\" creates one",
        place.store
    );
    place.run(&["drop", &place.store, "--yes"]).fails(2, &missing);
}

#[test]
fn nobody_is_told_when_nobody_reads() {
    let place = Place::with_store();
    for i in 0..64 {
        assert_eq!(place.run(&["set", &format!("key{i}"), &"v".repeat(200)]).code, 0);
    }
    for line in [
        "list",
        "export --values",
        "help",
        "man",
        "completions bash",
        "changes",
        "get key1",
        "-L",
    ] {
        let mut child = place.start(
            "splinterctl",
            &shell_words::split(line)
                .unwrap()
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>(),
            Stdio::null(),
        );
        // Closed before anything is read.
        drop(child.stdout.take());
        let done: crate::common::Done = child.wait_with_output().unwrap().into();
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{line}");
    }
}
#[test]
fn a_purge_leaves_nothing_of_what_was_replaced() {
    let place = Place::with_store();
    place.line("config av 0").prints("");
    for line in ["set key secret-one", "set key secret-two", "set other x", "unset other"] {
        assert_eq!(place.line(line).code, 0);
    }
    place.line("purge").prints("2 slots purged.\n");
    place.line("purge --json").prints("{\"slots\":0}\n");
    place.line("get key").prints("10:secret-two\n\n");
}
