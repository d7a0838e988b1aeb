//! What the command line of the C original, libsplinter 0.9, got wrong, a test for each fault: none of it comes back.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::common::Place;

/// It wiped whatever existed by that name.
#[test]
fn init_leaves_alone_what_exists() {
    let place = Place::with_store();
    place.line("set key value").prints("");
    assert_eq!(place.run(&["init", &place.store]).code, 10);
    place.line("get key --raw").prints("value");
}

/// It crashed, or ended by itself after 100 ms.
#[test]
fn a_watch_lasts_until_it_has_seen_what_it_waits_for() {
    let place = Place::with_store();
    place.line("set key 1").prints("");
    let mut watch = place.start(
        "splinterctl",
        &["watch", "key", "--initial", "--count", "3"],
        Stdio::null(),
    );
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("1:1"));
    // Nothing changes for longer than that.
    place
        .line("watch another --timeout-ms 300")
        .fails(7, "watch: nothing has changed; try a longer --timeout-ms");
    assert_eq!(watch.try_wait().unwrap(), None);
    place.line("set key 2").prints("");
    place.line("set key 3").prints("");
    assert_eq!(lines.next().as_deref(), Some("1:2"));
    assert_eq!(lines.next().as_deref(), Some("1:3"));
    assert_eq!(lines.next(), None);
    assert!(watch.wait().unwrap().success());
}

/// It exported nothing, and printed JSON without escaping what it held.
#[test]
fn export_json_is_a_document_of_all_keys_whatever_they_hold() {
    let place = Place::with_store();
    let keys = [
        "plain",
        "quo\"te",
        "back\\slash",
        "new\nline",
        "größe/日本",
        "\u{1}\u{7f}",
    ];
    for key in keys {
        place.run(&["set", key, key]).prints("");
    }
    let export = place.line("export json --values");
    assert_eq!(export.code, 0);
    let document: Value = serde_json::from_str(&export.stdout).unwrap();
    let exported = document["keys"].as_array().unwrap();
    assert_eq!(exported.len(), keys.len());
    for key in keys {
        let entry = exported.iter().find(|entry| entry["key"] == key).unwrap();
        assert_eq!(entry["value"], key);
    }
}

/// It accepted keys of 64 bytes and more, and lost them.
#[test]
fn a_key_is_stored_whole_or_refused() {
    let place = Place::with_store();
    let (longest, longer) = ("k".repeat(64), "k".repeat(65));
    place.run(&["set", &longest, "1"]).prints("");
    place.run(&["get", &longest, "--raw"]).prints("1");
    let refused = place.run(&["set", &longer, "2"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("65 bytes"), "{}", refused.stderr);
    place.line("list --raw").prints(&format!("{longest}\n"));
}

/// It exited with 0 after a command that it did not know, and took `getx` for `get`.
#[test]
fn a_command_is_known_by_its_whole_name_or_fails() {
    let place = Place::with_store();
    place.line("set key value").prints("");
    for name in ["getx", "ge", "xyzzy"] {
        let done = place.run(&[name, "key"]);
        assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{name}");
    }
}

/// It documented `-u` and `-p`, and did not accept them.
#[test]
fn the_short_options_that_help_names_are_taken() {
    let place = Place::with_store();
    let run = |words: &[&str]| place.splinterctl(words);
    run(&["-u", &place.store, "-p", "a/", "set", "key", "value"]).prints("");
    run(&["-u", &place.store, "get", "a/key", "--raw"]).prints("value");
}

/// It cut values to 4,096 bytes.
#[test]
fn a_value_is_stored_whole_or_refused() {
    let place = Place::new();
    assert_eq!(place.splinterctl(&["init", &place.store, "4", "5000"]).code, 0);
    let (longest, longer) = ("v".repeat(5000), "v".repeat(5001));
    place.run(&["set", "key", &longest]).prints("");
    assert_ne!(place.run(&["set", "key", &longer]).code, 0);
    place.line("get key --raw").prints(&longest);
}
