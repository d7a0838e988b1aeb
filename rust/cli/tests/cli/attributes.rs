//! What belongs to a key beside its value: times to live, pins, types and labels.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use splinter::{Change, OpenOptions, Store};

use crate::common::{Done, Place, until};

fn open(place: &Place) -> Store {
    OpenOptions::new().memory(true).open(&place.store).unwrap()
}

fn json_of(done: &Done) -> Value {
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:?}");
    serde_json::from_str(&done.stdout).unwrap()
}

/// A time to live as programs are told it, in milliseconds.
fn ttl_ms(place: &Place, key: &str) -> Option<u64> {
    json_of(&place.run(&["ttl", key, "--json"]))["ttl_ms"].as_u64()
}

#[test]
fn times_to_live_are_given_shown_and_taken_away() {
    let place = Place::with_store();
    let hour_ms = 3_600_000;
    place.line("set key 1 --ttl 1h").prints("");
    let left = ttl_ms(&place, "key").unwrap();
    assert!(left > 0 && left <= hour_ms, "{left}");
    let shown = place.line("ttl key").stdout;
    let shown = humantime::parse_duration(shown.trim()).unwrap();
    assert!(shown <= Duration::from_secs(3600), "{shown:?}");
    // By a set without a word about it, it is gone.
    place.line("set key 2 --keep-ttl").prints("");
    assert!(ttl_ms(&place, "key").is_some());
    place.line("set key 3").prints("");
    assert_eq!(ttl_ms(&place, "key"), None);
    place.line("ttl key").prints("forever\n");
    place
        .line("ttl key --json")
        .prints("{\"key\":\"key\",\"ttl_ms\":null}\n");
    for (duration, ms) in [
        ("90", 90_000),
        ("1.5h", 5_400_000),
        ("1h30m", 5_400_000),
        ("250ms", 250),
    ] {
        place
            .line(&format!("expire key {duration} --json"))
            .prints(&format!("{{\"key\":\"key\",\"ttl_ms\":{ms}}}\n"));
        place.line("expire key 7d").prints("");
    }
    place
        .line("persist key --json")
        .prints("{\"key\":\"key\",\"had_ttl\":true}\n");
    place
        .line("persist key --json")
        .prints("{\"key\":\"key\",\"had_ttl\":false}\n");
    place.line("persist key").prints("");
    place.line("ttl key").prints("forever\n");
}

/// Waits until a key is gone for this process.
fn wait_for_the_end(place: &Place, key: &str) {
    let store = OpenOptions::new()
        .memory(true)
        .read_only(true)
        .open(&place.store)
        .unwrap();
    until("it has expired", || !store.contains(key).unwrap());
}

#[test]
fn a_key_whose_time_is_up_is_gone_for_every_command_and_is_swept_once() {
    let place = Place::with_store();
    place.line("sweep").prints("0 keys expired.\n");
    place.line("mset a 1 b 2 c 3").prints("");
    let store = open(&place);
    let mut changes = store.changes().unwrap();
    place.line("expire a 1ms").prints("");
    wait_for_the_end(&place, "a");
    place.line("sweep").prints("1 keys expired.\n");
    place.line("sweep --json").prints("{\"keys\":0}\n");
    place.line("expire b 1ms").prints("");
    wait_for_the_end(&place, "b");
    place
        .line("get b")
        .fails(3, "get: there is no key \"b\"; \"list\" shows the keys");
    place.line("list --raw").prints("c\n");
    let mut expired = Vec::new();
    while let Some(change) = changes.try_next().unwrap() {
        if let Change::Expired { key, .. } = change {
            expired.push(key.to_string());
        }
    }
    assert_eq!(expired, ["a", "b"]);
    place.line("set b new --if-absent").prints("");
}

#[test]
fn a_sweeper_tells_what_it_finds_until_it_has_told_enough() {
    let place = Place::with_store();
    let words = ["sweep", "--follow", "--interval", "1ms", "--count", "1", "--json"];
    let sweeper = place.start("splinterctl", &words, std::process::Stdio::null());
    place.line("set a 1 --ttl 1ms").prints("");
    let done: Done = sweeper.wait_with_output().unwrap().into();
    done.prints("{\"keys\":1}\n");
}

#[test]
fn a_store_that_is_full_does_what_its_policy_says() {
    let place = Place::new();
    assert_eq!(place.splinterctl(&["init", &place.store, "2", "8"]).code, 0);
    place.line("config eviction").prints("eviction:    none\n");
    place.line("mset a 1 b 2").prints("");
    assert_eq!(place.line("set c 3").code, 4);
    place.line("config eviction lru").prints("");
    place.line("config eviction --json").prints("{\"eviction\":\"lru\"}\n");
    assert_eq!(json_of(&place.line("config --json"))["eviction"], "lru");
    place.line("pin a").prints("");
    place.line("pin b --json").prints("{\"key\":\"b\",\"pinned\":true}\n");
    assert_eq!(place.line("set c 3").code, 4, "both are pinned");
    place.line("unpin b").prints("");
    place.line("set c 3").prints("");
    place.line("mget a c").prints("a 1:1\nc 1:3\n");
    place
        .line("get b")
        .fails(3, "get: there is no key \"b\"; \"list\" shows the keys");
    place
        .line("config eviction ttl --json")
        .prints("{\"eviction\":\"ttl\"}\n");
    assert_eq!(place.line("set d 4").code, 4, "nothing has a deadline");
    place.line("expire c 1h").prints("");
    place.line("set d 4").prints("");
    place.line("list --raw --long a").prints("a\n");
    place
        .line("config eviction fifo")
        .fails(1, "config: invalid value 'fifo' for '[VALUE]' [possible values: 0, 1, none, ttl, lru]; see \"splinterctl help config\"");
    place
        .line("config eviction 1")
        .fails(1, "config: eviction cannot be \"1\"; it is one of: none, ttl, lru");
}

#[test]
fn types_are_set_with_a_value_or_without() {
    let place = Place::with_store();
    place.line("set key '{}' --type json").prints("");
    place.line("type key").prints("json\n");
    place.line("set key '[]'").prints("");
    place
        .line("type key --json")
        .prints("{\"key\":\"key\",\"type\":\"json\"}\n");
    place.line("expire key 1h").prints("");
    place
        .line("type key text --json")
        .prints("{\"key\":\"key\",\"type\":\"text\"}\n");
    place.line("type key text").prints("");
    place.line("get key").prints("2:[]\n\n");
    assert!(ttl_ms(&place, "key").is_some(), "it lives no longer for that");
    assert_eq!(json_of(&place.line("get key --json"))["type"], "text");
    let done = place.line("type key nothing");
    assert_eq!(done.code, 1);
    assert!(
        done.stderr
            .contains("void, bigint, biguint, json, binary, image, audio, text"),
        "{done:?}"
    );
}

#[test]
fn labels_are_named_given_and_taken() {
    let place = Place::with_store();
    place.line("labels").prints("");
    place.line("label --name 3 red").prints("");
    place
        .line("label --json --name 4 'two words'")
        .prints("{\"number\":4,\"name\":\"two words\"}\n");
    place.line("labels").prints("3: red\n4: two words\n");
    place.line("labels --raw").prints("red\ntwo words\n");
    place
        .line("labels --json")
        .prints("[{\"number\":3,\"name\":\"red\"},{\"number\":4,\"name\":\"two words\"}]\n");
    place.line("set key 1").prints("");
    place.line("label key").prints("");
    place
        .line("label key red +7 '+two words'")
        .prints("red\ntwo words\n7\n");
    place.line("label key -red 63").prints("two words\n7\n63\n");
    place
        .line("label --json key -- -7")
        .prints("{\"key\":\"key\",\"labels\":[\"two words\",\"63\"]}\n");
    // The last word counts, and a set leaves them.
    place.line("label key +red -red -63 +63 -4").prints("63\n");
    place.line("set key 2").prints("");
    place
        .line("label key --json")
        .prints("{\"key\":\"key\",\"labels\":[\"63\"]}\n");
    place.line("label --name 3 ''").prints("");
    place.line("labels").prints("4: two words\n");
}

#[test]
fn what_is_no_label_is_told() {
    let place = Place::with_store();
    place.line("mset key 1").prints("");
    place.line("label --name 3 red").prints("");
    let unknown = |label: &str| {
        format!("there is no label \"{label}\"; \"labels\" shows the names, \"label --name N NAME\" makes one")
    };
    place
        .line("label key +red blue")
        .fails(1, &format!("label: {}", unknown("blue")));
    place
        .line("label key 64")
        .fails(1, &format!("label: {}", unknown("64")));
    for command in ["list", "export", "watch"] {
        place
            .line(&format!("{command} --label blue"))
            .fails(1, &format!("{command}: {}", unknown("blue")));
    }
    place.line("label key red --json").fails(
        1,
        "label: \"--json\" stands behind a label; options stand before the labels",
    );
    place
        .line("label --name 64 blue")
        .fails(1, "label: invalid argument: labels are numbered from 0 to 63");
    place
        .line("label --name x blue")
        .fails(1, "label: \"x\" is no number from 0 to 63");
    place
        .line("label --name 5 red")
        .fails(1, "label: invalid argument: another label has this name");
    for name in ["5", "+red", "-red"] {
        let done = place.run(&["label", "--name", "5", name]);
        assert_eq!(done.code, 1, "{name}: {done:?}");
    }
    assert_eq!(place.line("label").code, 1);
    assert_eq!(place.line("label key --name 1 x").code, 1);
    place.line("labels").prints("3: red\n");
    place.line("label key").prints("");
}

#[test]
fn listings_show_and_choose_by_labels() {
    let place = Place::with_store();
    place.line("label --name 3 red").prints("");
    place.line("mset a 1 b 2 c 3").prints("");
    place.line("set a 1 --type text").prints("");
    place.line("label a red 7").prints("red\n7\n");
    place.line("label b red").prints("red\n");
    place.line("pin b").prints("");
    place.line("list --raw --label red").prints("a\nb\n");
    place.line("list --raw --label 3 --label 7").prints("a\n");
    place.line("list --raw --label red ^b").prints("b\n");
    place.line("list --raw --label 8").prints("");
    let export = json_of(&place.line("export --label 7"));
    assert_eq!(export["keys"], json!([{"key": "a", "epoch": 4, "value_length": 1}]));
    let row = |key: &str, epoch: &str, value_type: &str, pinned: &str, labels: &str| {
        let row = format!(
            "{key:<33} | {epoch:<15} | {:<15} | {value_type:<7} | {:<20} | {pinned:<6} | {labels}",
            "1", "forever"
        );
        row.trim_end().to_string() + "\n"
    };
    let heading = "Key Name                          | Epoch           | Value Length    | Type    | Time To Live         | Pinned | Labels\n";
    let rows = [
        row("a", "4", "text", "no", "red, 7"),
        row("b", "2", "void", "yes", "red"),
        row("c", "2", "void", "no", ""),
    ];
    place.line("list --long").prints(&format!(
        "{heading}{}\n{}\n",
        "-".repeat(heading.len() - 1),
        rows.concat()
    ));
    assert_eq!(
        json_of(&place.line("list --json ^a")),
        json!([{"key": "a", "epoch": 4, "value_length": 1, "type": "text", "labels": ["red", "7"]}])
    );
    assert_eq!(
        json_of(&place.line("list --long --json ^b")),
        json!([{
            "key": "b", "epoch": 2, "value_length": 1, "type": "void", "labels": ["red"], "ttl_ms": null, "pinned": true
        }])
    );
}

#[test]
fn head_tells_what_belongs_to_a_key() {
    let place = Place::with_store();
    place.line("label --name 3 red").prints("");
    place.line("set key 1 --type text --ttl 1h").prints("");
    place.line("label key red 7").prints("red\n7\n");
    place.line("pin key").prints("");
    let head = place.line("head key").stdout;
    let lines: Vec<&str> = head.lines().collect();
    assert_eq!(
        (lines[5], lines[7], lines[8]),
        ("type:     text", "pinned:   yes", "labels:   red, 7")
    );
    let ttl = lines[6].strip_prefix("ttl:      ").unwrap();
    assert!(
        humantime::parse_duration(ttl).unwrap() <= Duration::from_secs(3600),
        "{ttl}"
    );
    let head = json_of(&place.line("head key --json"));
    assert_eq!(
        (&head["type"], &head["pinned"], &head["labels"]),
        (&json!("text"), &json!(true), &json!(["red", "7"]))
    );
    assert!(head["ttl_ms"].as_u64() <= Some(3_600_000));
}

#[test]
fn an_export_with_values_takes_types_labels_pins_and_deadlines_along() {
    let place = Place::with_store();
    for line in [
        "label --name 3 red",
        "label --name 5 blue",
        "set a 1 --type text --ttl 1h",
        "set n -5 --type bigint",
        "set c plain",
    ] {
        place.line(line).prints("");
    }
    place.line("label a red blue 9").prints("red\nblue\n9\n");
    place.line("pin n").prints("");
    let before = ttl_ms(&place, "a").unwrap();
    let exported = place.line("export --values").stdout;
    let document: Value = serde_json::from_str(&exported).unwrap();
    assert_eq!(document["label_names"], json!({"3": "red", "5": "blue"}));
    let of = |key: &str| {
        let keys = document["keys"].as_array().unwrap();
        keys.iter().find(|item| item["key"] == key).unwrap().clone()
    };
    assert_eq!(
        (&of("a")["type"], &of("a")["labels"]),
        (&json!("text"), &json!([3, 5, 9]))
    );
    assert_eq!((&of("n")["type"], &of("n")["pinned"]), (&json!("bigint"), &json!(true)));
    // What is usual is not said, so that nothing has changed for those who do not use it.
    assert_eq!(
        of("c"),
        json!({"key": "c", "epoch": 2, "value_length": 5, "value": "plain"})
    );

    let copy = Place::with_store();
    // There "blue" has another number, and 3 another name.
    for line in ["label --name 40 blue", "label --name 3 other", "mset c old a old"] {
        copy.line(line).prints("");
    }
    copy.line("label c 3 9").prints("other\n9\n");
    let done: Done = copy.fed("splinterctl", &["import", "-"], &exported).into();
    done.prints("3 keys imported.\n");
    let labels = copy.line("label a").stdout;
    let mut labels: Vec<&str> = labels.lines().collect();
    labels.sort_unstable();
    assert_eq!(labels, ["9", "blue", "red"]);
    copy.line("label c").prints("");
    let head = json_of(&copy.line("head n --json"));
    assert_eq!((&head["type"], &head["pinned"]), (&json!("bigint"), &json!(true)));
    copy.line("get n --number").prints("-5\n");
    copy.line("type a").prints("text\n");
    assert!(ttl_ms(&copy, "a").unwrap() <= before);
    copy.line("ttl c").prints("forever\n");
    let again: Value = serde_json::from_str(&copy.line("export ^a$ --values").stdout).unwrap();
    let deadline = |item: &Value| humantime::parse_rfc3339(item["expires"].as_str().unwrap()).unwrap();
    let (first, second) = (deadline(&of("a")), deadline(&again["keys"][0]));
    let shift = first.max(second).duration_since(first.min(second)).unwrap();
    assert!(
        shift < Duration::from_secs(60),
        "a deadline is a time, not a span: {shift:?}"
    );
}

#[test]
fn an_import_leaves_out_what_has_expired_and_refuses_what_it_cannot_know() {
    let place = Place::with_store();
    let import = |document: Value| -> Done { place.fed("splinterctl", &["import", "-"], document.to_string()).into() };
    let past = humantime::format_rfc3339(SystemTime::UNIX_EPOCH).to_string();
    let keys = json!([{"key": "a", "value": "1", "expires": past}, {"key": "b", "value": "2"}]);
    import(json!({"keys": keys})).prints("1 keys imported, 1 had expired.\n");
    place.line("list --raw").prints("b\n");
    for (item, what) in [
        (json!({"type": "video"}), "a type that there is not"),
        (json!({"labels": [64]}), "a label that there is not"),
        (json!({"expires": "soon"}), "an \"expires\" that is no time"),
    ] {
        let mut item = item;
        (item["key"], item["value"]) = (json!("c"), json!("3"));
        import(json!({"keys": [item]})).fails(
            8,
            &format!("import: \"c\" has {what}; export it again (0 keys were imported before)"),
        );
    }
    import(json!({"label_names": {"64": "red"}, "keys": []})).fails(
        8,
        "import: a label \"red\" has a number that there is not; export it again (0 keys were imported before)",
    );
    let behind = "{\"keys\": [], \"label_names\": {}}";
    let done: Done = place.fed("splinterctl", &["import", "-"], behind).into();
    done.fails(
        8,
        "import: \"label_names\" stands behind \"keys\"; export it again (0 keys were imported before)",
    );
    place.line("list --raw").prints("b\n");
    let store = open(&place);
    for label in 0..64 {
        store.name_label(label, &format!("name{label}")).unwrap();
    }
    import(json!({"label_names": {"3": "red"}, "keys": []})).fails(
        4,
        "import: no label is left for \"red\"; \"label --name N ''\" frees one (0 keys were imported before)",
    );
}
