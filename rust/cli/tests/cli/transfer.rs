//! Taking keys out of a store and into another.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::common::{Done, Place};

#[test]
fn an_export_is_the_classic_one() {
    let place = Place::with_store();
    place
        .line("export")
        .prints("{\n  \"store\": {\n    \"total_slots\": 64,\n    \"active_keys\": 0\n  },\n  \"keys\": []\n}\n\n");
    place.line("set foo bar").prints("");
    place.run(&["set", "quo\"te\\\n", "12"]).prints("");
    place.line("set foo bar2").prints("");
    let start = "{\n  \"store\": {\n    \"total_slots\": 64,\n    \"active_keys\": 2\n  },\n  \"keys\": [\n";
    let foo = "    {\n      \"key\": \"foo\",\n      \"epoch\": 4,\n      \"value_length\": 4\n    }";
    let quote = "    {\n      \"key\": \"quo\\\"te\\\\\\n\",\n      \"epoch\": 2,\n      \"value_length\": 2\n    }";
    let whole = format!("{start}{foo},\n{quote}\n  ]\n}}\n\n");
    place.line("export").prints(&whole);
    // Scripts say so, and got nothing.
    place.line("export json").prints(&whole);
    place.line("export --json").prints(&whole);
    place.line("export ^foo$").prints(&format!("{start}{foo}\n  ]\n}}\n\n"));
    let with_values = foo.replace("\n    }", ",\n      \"value\": \"bar2\"\n    }");
    place
        .line("export ^foo$ --values")
        .prints(&format!("{start}{with_values}\n  ]\n}}\n\n"));
}

#[test]
fn an_import_reads_what_an_export_wrote() {
    let place = Place::with_store();
    let values: [(&str, &[u8]); 5] = [
        ("plain", b"text"),
        ("empty", b""),
        ("bytes", b"\xff\x00\xfe"),
        ("control\x1b[2J\n", b"\x1b[2J\n\0"),
        ("größe/日本", "ü\u{10ffff}".as_bytes()),
    ];
    for (key, value) in values {
        assert!(place.fed("splinterctl", &["set", key, "-"], value).status.success());
    }
    let export = place.line("export --values");
    let document: Value = serde_json::from_str(&export.stdout).unwrap();
    let bytes = document["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["key"] == "bytes")
        .unwrap();
    assert_eq!(
        (&bytes["value_length"], &bytes["value_base64"]),
        (&json!(3), &json!("/wD+"))
    );
    std::fs::write(place.path("export.json"), &export.stdout).unwrap();
    let run = |words: &[&str]| Done::from(place.program("splinterpctl", words).output().unwrap());
    assert_eq!(run(&["init", "copy", "8", "64"]).code, 0);
    run(&["-u", "copy", "set", "own", "stays"]).prints("");
    run(&["-u", "copy", "-p", "ignored/", "import", "export.json"]).prints("5 keys imported.\n");
    for (key, value) in values {
        let raw = place
            .program("splinterpctl", &["-u", "copy", "get", "--raw", key])
            .output()
            .unwrap();
        assert_eq!(raw.stdout, value, "{key:?}");
    }
    run(&["-u", "copy", "get", "own"]).prints("5:stays\n\n");
    let done: Done = place
        .fed("splinterctl", &["--json", "import", "-"], &export.stdout)
        .into();
    done.prints("{\"keys\":5,\"expired\":0}\n");
}

#[test]
fn what_cannot_be_imported_is_told() {
    let place = Place::with_store();
    let import = |text: &str| {
        let done: Done = place.fed("splinterctl", &["import", "-"], text).into();
        assert_eq!((done.stdout.as_str(), done.stderr.lines().count()), ("", 1), "{done:?}");
        (done.code, done.stderr)
    };
    let starts = |(code, told): (i32, String), wanted: i32, start: &str| {
        assert_eq!(code, wanted, "{told}");
        assert!(told.starts_with(start), "{told}");
    };
    starts(import(""), 8, "import: not what \"export --values\" writes: EOF");
    starts(
        import("{}"),
        8,
        "import: not what \"export --values\" writes: it has no \"keys\"",
    );
    starts(
        import("[]"),
        8,
        "import: not what \"export --values\" writes: invalid type",
    );
    starts(
        import("{\"keys\": []} x"),
        8,
        "import: not what \"export --values\" writes: trailing",
    );
}

#[test]
fn an_import_stops_at_the_first_failure_and_says_how_far_it_came() {
    let place = Place::with_store();
    let import = |keys: Value| -> Done {
        place
            .fed("splinterctl", &["import", "-"], json!({"keys": keys}).to_string())
            .into()
    };
    import(json!([{"key": "a", "value": "1"}, {"key": "b"}])).fails(
        8,
        "import: \"b\" has no value; write the file with \"export --values\" (1 keys were imported before)",
    );
    place.line("get a").prints("1:1\n\n");
    let done = import(json!([{"key": "c", "value_base64": "?"}]));
    assert_eq!(done.code, 8, "{done:?}");
    let done = import(json!([{"key": "c", "value": "v".repeat(257)}]));
    assert_eq!(done.code, 5, "{done:?}");
    assert!(
        done.stderr.starts_with("import: \"c\": the value has 257 bytes"),
        "{done:?}"
    );
    let done = place.line("import nowhere");
    done.fails(
        1,
        "import: could not open \"nowhere\": No such file or directory (os error 2)",
    );
}

#[test]
fn a_backup_is_a_store() {
    let place = Place::with_store();
    place.line("set key value").prints("");
    place.line("backup copy").prints("Saved to 'copy'.\n");
    place.line("backup copy").fails(
        10,
        "backup: \"copy\" exists already and was left as it is; choose another name",
    );
    place.line("backup no/copy").fails(
        1,
        "backup: \"no/copy\" is in a directory that does not exist; make it first",
    );
    let done: Done = place
        .program("splinterpctl", &["-u", "copy", "get", "key"])
        .output()
        .unwrap()
        .into();
    done.prints("5:value\n\n");
    place.line("backup --json copy2").prints("{\"file\":\"copy2\"}\n");
}

#[test]
fn a_pipe_runs_line_by_line() {
    let place = Place::with_store();
    let run = |input: &str| Done::from(place.fed("splinter_cli", &[], input));
    run("set foo 'hello, world'\n\n# nothing\nget foo\nset \"a b\" c\\ d\nget 'a b'")
        .prints("12:hello, world\n\n3:c d\n\n");
    run("").prints("");
    let done = run("get nope\nget foo\ngetx\nget foo\n");
    assert_eq!(done.stdout, "12:hello, world\n\n12:hello, world\n\n");
    assert_eq!(
        done.stderr,
        "get: there is no key \"nope\"; \"list\" shows the keys\n\
         unknown command \"getx\": did you mean \"get\"? \"help\" lists the commands\n"
    );
    assert_eq!(done.code, 1, "that of the last failure");
    assert_eq!(run("getx\nget nope\nget foo\n").code, 3);
    run("get foo\nexit\nget nope\n").prints("12:hello, world\n\n");
    run("get foo --raw\nquit\n").prints("hello, world");
    run("get 'foo\n").fails(1, "a quote or a backslash at the end is open; close it");
    run("set rest -\nall\nof it\n").prints("");
    run("get rest\n").prints("10:all\nof it\n\n\n");
    run(&format!("use {0}x\nuse {0}\nget foo -p x\nget oo -p f\n", place.store));
    let done: Done = place
        .fed("splinter_cli", &["--json"], "get foo\nget foo --raw\n")
        .into();
    done.prints(
        "{\"key\":\"foo\",\"epoch\":2,\"type\":\"void\",\"value_length\":12,\"value\":\"hello, world\"}\nhello, world",
    );
    let mut nobody = place.program("splinter_cli", &[]);
    let mut child = nobody.stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"list\n").unwrap();
    let done: Done = child.wait_with_output().unwrap().into();
    done.fails(2, "list: not connected; \"use STORE\" connects to one");
}
