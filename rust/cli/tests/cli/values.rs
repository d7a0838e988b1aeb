//! Writes that depend on what is there, numbers, appends and batches.

use serde_json::{Value, json};

use crate::common::{Done, Place};

/// The one document that a command prints, whatever its exit code.
fn json_of(done: &Done) -> Value {
    assert_eq!(done.stdout.lines().count(), 1, "{done:?}");
    serde_json::from_str(&done.stdout).unwrap()
}

#[test]
fn a_set_happens_only_on_its_condition_and_tells_the_epoch_it_found() {
    let place = Place::with_store();
    place
        .line("set key 1 --if-present")
        .fails(11, "set: there is no key \"key\"; nothing was changed");
    place
        .line("set key 1 --if-epoch 2")
        .fails(11, "set: there is no key \"key\"; nothing was changed");
    place.line("set key 1 --if-absent").prints("");
    for line in ["set key 2 --if-absent", "set --if-epoch 0 key 2"] {
        place
            .line(line)
            .fails(11, "set: \"key\" exists already, with epoch 2; nothing was changed");
    }
    place.line("get key").prints("1:1\n\n");
    place.line("set key 2 --if-present").prints("");
    place
        .line("set key 3 --if-epoch 2")
        .fails(11, "set: \"key\" has epoch 4, not 2; nothing was changed");
    place.line("set key 3 --if-epoch 4").prints("");
    place.line("get key").prints("1:3\n\n");
    place.line("set new 1 --if-epoch 0").prints("");
    let done = place.line("set key - --if-absent");
    assert_eq!(done.code, 11, "{done:?}");
}

#[test]
fn programs_get_the_epoch_of_a_condition_that_held_or_did_not() {
    let place = Place::with_store();
    let run = |line: &str| {
        let done = place.line(line);
        (done.code, json_of(&done), done.stderr.lines().count())
    };
    let told = |code: i32, written: bool, epoch: Value| {
        let document = json!({"key": "key", "written": written, "epoch": epoch});
        (code, document, usize::from(!written))
    };
    assert_eq!(run("set key 1 --if-present --json"), told(11, false, json!(null)));
    assert_eq!(run("set key 1 --if-absent --json"), told(0, true, json!(2)));
    assert_eq!(run("set key 2 --if-absent --json"), told(11, false, json!(2)));
    assert_eq!(run("set key 2 --if-epoch 8 --json"), told(11, false, json!(2)));
    assert_eq!(run("unset key --if-epoch 8 --json"), told(11, false, json!(2)));
    assert_eq!(
        run("unset key --if-epoch 2 --json"),
        (0, json!({"key": "key", "value_length": 1}), 0)
    );
    assert_eq!(run("unset key --if-epoch 2 --json"), told(11, false, json!(null)));
    // For the next condition.
    place.line("set key 3").prints("");
    assert_eq!(run("get key --json").1["epoch"], run("head key --json").1["epoch"]);
}

#[test]
fn an_unset_happens_only_at_its_epoch() {
    let place = Place::with_store();
    place.line("set key value").prints("");
    place
        .line("unset key --if-epoch 4")
        .fails(11, "unset: \"key\" has epoch 2, not 4; nothing was changed");
    place.line("unset key --if-epoch 2").prints("5 bytes deleted.\n");
    place
        .line("unset key --if-epoch 2")
        .fails(11, "unset: there is no key \"key\"; nothing was changed");
}

#[test]
fn contradictory_options_are_refused() {
    let place = Place::with_store();
    for line in [
        "set key 1 --if-absent --if-present",
        "set key 1 --if-absent --if-epoch 2",
        "set key 1 --ttl 1 --keep-ttl",
        "set key 1 --ttl 0",
        "set key 1 --type nothing",
        "set key 1 --if-epoch -2",
        "sweep --interval 1s",
        "sweep --count 1",
        "config av lru",
        "config eviction 1",
        "mset key",
        "mset key 1 other",
        "get key --number --raw",
    ] {
        let done = place.line(line);
        assert_eq!(
            (done.code, done.stdout.as_str(), done.stderr.lines().count()),
            (1, "", 1),
            "{line}"
        );
    }
    place.line("list --raw").prints("");
}

#[test]
fn numbers_are_changed_and_printed() {
    let place = Place::with_store();
    for (line, number) in [
        ("add n", "1"),
        ("add n 41", "42"),
        ("sub n 2", "40"),
        ("sub n", "39"),
        ("or n 0b11000000", "231"),
        ("and n 0xf0", "224"),
        ("xor n 0xff", "31"),
        ("not n", "18446744073709551584"),
        ("add n 32", "0"),
        ("sub n 1", "18446744073709551615"),
        ("add m --signed -5", "-5"),
        // That there is a sign, the type knows from now on.
        ("add m 2", "-3"),
        ("not m", "2"),
        ("get m --number", "2"),
        ("get n --number", "18446744073709551615"),
    ] {
        place.line(line).prints(&format!("{number}\n"));
    }
    place.line("add n --json 3").prints("{\"key\":\"n\",\"number\":2}\n");
    place.line("sub m 5 --json").prints("{\"key\":\"m\",\"number\":-3}\n");
    place
        .line("get m --number --json")
        .prints("{\"key\":\"m\",\"number\":-3}\n");
    assert_eq!(json_of(&place.line("get m --json"))["number"], json!(-3));
    place.line("type m").prints("bigint\n");
    place.line("type n").prints("biguint\n");
    // Eight bytes, little-endian.
    let bytes = place.fed("splinterctl", &["get", "m", "--raw"], "").stdout;
    assert_eq!(bytes, (-3_i64).to_le_bytes());
}

#[test]
fn a_number_without_room_wraps_or_fails_as_asked() {
    let place = Place::with_store();
    place.line("set n 18446744073709551615 --type biguint").prints("");
    let no_room =
        |command: &str, key: &str| format!("{command}: \"{key}\" has no room for that in 64 bits; nothing was changed");
    place.line("add n --checked").fails(11, &no_room("add", "n"));
    place.line("add n --checked --json").fails(11, &no_room("add", "n"));
    place.line("get n --number").prints("18446744073709551615\n");
    place.line("add n").prints("0\n");
    place.line("sub n --checked").fails(11, &no_room("sub", "n"));
    place.line("set m 9223372036854775807 --type bigint").prints("");
    place.line("add m --checked").fails(11, &no_room("add", "m"));
    place.line("add m").prints("-9223372036854775808\n");
    place.line("sub none --signed --checked").prints("-1\n");
}

#[test]
fn what_is_no_number_is_told() {
    let place = Place::with_store();
    place.line("set text hello").prints("");
    let advice = "which has 8 bytes; \"set --type biguint\" stores one";
    for command in ["add", "sub", "not"] {
        place
            .line(&format!("{command} text"))
            .fails(1, &format!("{command}: \"text\" is no number, {advice}"));
    }
    place
        .line("or text 1")
        .fails(1, &format!("or: \"text\" is no number, {advice}"));
    place
        .line("get text --number")
        .fails(1, "get: \"text\" is no number, which has 8 bytes");
    place.line("get text").prints("5:hello\n\n");
    place
        .line("add n -1")
        .fails(1, "add: -1 is below 0; --signed is for such numbers");
    place
        .line("add n 18446744073709551616")
        .fails(1, "add: 18446744073709551616 is more than 18446744073709551615");
    place.line("add n --signed 9223372036854775808").fails(
        1,
        "add: 9223372036854775808 is not from -9223372036854775808 to 9223372036854775807",
    );
    place.line("set n x --type bigint").fails(
        1,
        "set: \"x\" is not a value of this type: it is a whole number of 64 bits, as 12, 0xff or 0b101",
    );
    place.line("list --raw").prints("text\n");
}

#[test]
fn counts_of_many_processes_add_up() {
    let place = Place::with_store();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    assert_eq!(place.line("add visits").code, 0);
                }
            });
        }
    });
    place.line("get visits --number").prints("100\n");
}

#[test]
fn appends_print_the_new_length() {
    let place = Place::with_store();
    place.line("append log abc").prints("3\n");
    place.line("append log -- --def").prints("8\n");
    place
        .line("append log '' --json")
        .prints("{\"key\":\"log\",\"value_length\":8}\n");
    let done: Done = place.fed("splinterctl", &["append", "log", "-"], b"\xff\0").into();
    done.prints("10\n");
    let bytes = place.fed("splinterctl", &["get", "log", "--raw"], "").stdout;
    assert_eq!(bytes, b"abc--def\xff\0");
    let larger = "\"init --maxlen\" makes a store for longer ones";
    place.run(&["append", "log", &"x".repeat(247)]).fails(
        5,
        &format!("append: the value has 257 bytes, this store's values at most 256; {larger}"),
    );
    let done: Done = place
        .fed("splinterctl", &["append", "log", "-"], "x".repeat(300))
        .into();
    done.fails(
        5,
        &format!("append: the standard input has more than 256 bytes, the longest value of this store; {larger}"),
    );
    assert!(place.line("get log").stdout.starts_with("10:"));
}

#[test]
fn several_keys_are_set_and_printed_at_once() {
    let place = Place::with_store();
    place.line("mset a 1 b 22 c -").prints("");
    place.line("mget c a b").prints("c 1:-\na 1:1\nb 2:22\n");
    place.line("mget a b --raw").prints("122");
    place.line("mset --json a 2 d -5").prints("{\"keys\":2}\n");
    place.line("mget a d --json").prints(
        "[{\"key\":\"a\",\"value_length\":1,\"value\":\"2\"},{\"key\":\"d\",\"value_length\":2,\"value\":\"-5\"}]\n",
    );
    place
        .line("mset a 3 e")
        .fails(1, "mset: the last key has no value; give each key one");
    place.line("mget a").prints("a 1:2\n");
}

#[test]
fn a_missing_key_among_several_is_told_after_the_others() {
    let place = Place::with_store();
    place.line("mset a 1 b 2").prints("");
    let done = place.line("mget a x b y");
    assert_eq!((done.code, done.stdout.as_str()), (3, "a 1:1\nb 1:2\n"));
    assert_eq!(
        done.stderr,
        "mget: there is no key \"x\", \"y\"; \"list\" shows the keys\n"
    );
    let done = place.line("mget x a --json");
    assert_eq!(done.code, 3);
    assert_eq!(
        json_of(&done),
        json!([{"key": "x", "value": null}, {"key": "a", "value_length": 1, "value": "1"}])
    );
}

#[test]
fn a_batch_that_stops_says_where_and_keeps_what_was_before() {
    let place = Place::with_store();
    let long = "v".repeat(257);
    let done = place.run(&["mset", "a", "1", "b", &long, "c", "3"]);
    assert_eq!((done.code, done.stdout.as_str()), (5, ""));
    assert!(
        done.stderr.starts_with("mset: \"b\": the value has 257 bytes")
            && done.stderr.ends_with("(1 keys were set before)\n"),
        "{done:?}"
    );
    place.line("list --raw").prints("a\n");
}

#[test]
fn the_prefix_holds_for_the_keys_of_every_new_command() {
    let place = Place::with_store();
    let run = |line: &str| -> Done {
        let words = shell_words::split(line).unwrap();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = place.program("splinterctl", &words);
        command.env("SPLINTER_DEFAULT_STORE", &place.store);
        command.env("SPLINTER_NS_PREFIX", "ns/").output().unwrap().into()
    };
    for line in [
        "set set 1 --if-absent --ttl 1h",
        "mset mset 1",
        "append append 1",
        "add add",
        "sub sub",
        "or or 1",
        "and and 1",
        "xor xor 1",
        "not not",
    ] {
        assert_eq!(run(line).code, 0, "{line}");
    }
    let listed = place.line("list --raw").stdout;
    let mut keys: Vec<&str> = listed.lines().collect();
    keys.sort_unstable();
    let all = ["add", "and", "append", "mset", "not", "or", "set", "sub", "xor"];
    assert_eq!(keys, all.map(|key| format!("ns/{key}")));
    // These see it, and without the prefix there is nothing to see.
    for line in [
        "expire set 1h",
        "ttl set",
        "persist set",
        "pin set",
        "unpin set",
        "type set",
        "type set text",
        "label set 3",
        "label set",
        "mget set mset",
        "get add --number",
        "unset set --if-epoch 4",
    ] {
        let done = place.line(line);
        assert!(matches!(done.code, 3 | 11), "{line}: {done:?}");
        assert_eq!(run(line).code, 0, "{line}");
    }
}
