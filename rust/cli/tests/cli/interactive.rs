//! The interactive mode in a real terminal.

use crate::common::{Place, Terminal, until};

/// The interactive mode, connected to this place's store.
fn connected(place: &Place) -> Terminal {
    let terminal = place.terminal("splinter_cli", &["--use", &place.store]);
    terminal.expect_last(&format!("{} #", place.store));
    terminal
}

/// What the terminal shows between a line that was typed at a prompt and the next prompt.
fn answer(terminal: &mut Terminal, line: &str, next: &str) -> String {
    // Ctrl-L leaves the prompt alone on the screen.
    terminal.send("\x0c");
    terminal.until("an empty screen", |screen| screen.trim().lines().count() == 1);
    terminal.send(&format!("{line}\r"));
    terminal.until(line, |screen| {
        let lines: Vec<_> = screen.trim_end().lines().collect();
        lines.len() > 1 && lines[0].contains(line) && lines.last().is_some_and(|last| last.trim_end() == next)
    });
    let screen = terminal.screen();
    let lines: Vec<_> = screen.trim_end().lines().map(str::trim_end).collect();
    lines[1..lines.len() - 1].join("\n").trim().to_string()
}

#[test]
fn a_session_from_the_banner_to_the_end() {
    let place = Place::with_store();
    let mut terminal = place.terminal("splinter_cli", &[]);
    terminal.expect_last("no-conn #");
    let screen = terminal.screen();
    let lines: Vec<_> = screen.lines().collect();
    let version = format!("splinter_cli version {} build ", env!("CARGO_PKG_VERSION"));
    assert!(lines[0].starts_with(&version), "{screen}");
    assert_eq!(lines[1], "To quit, press ctrl-c or ctrl-d.");
    terminal.send("list\r");
    terminal.expect("list: not connected; \"use STORE\" connects to one");
    terminal.expect_last("2 : no-conn #");
    terminal.send(&format!("use {}\r", place.store));
    terminal.expect(&format!("use: now connected to {}", place.store));
    let prompt = format!("{} #", place.store);
    terminal.expect_last(&prompt);
    let mut ask = |line: &str, next: &str| answer(&mut terminal, line, next);
    assert_eq!(ask("set foo 'hello, world'", &prompt), "");
    assert_eq!(ask("get foo", &prompt), "12:hello, world");
    assert_eq!(ask("get \"fo\"o", &prompt), "12:hello, world");
    assert_eq!(
        ask("get foo --json", &prompt),
        "{\"key\":\"foo\",\"epoch\":2,\"type\":\"void\",\"value_length\":12,\"value\":\"hello, world\"}"
    );
    let failed = |code: u8| format!("{code} : {prompt}");
    assert_eq!(
        ask("get nope", &failed(3)),
        "get: there is no key \"nope\"; \"list\" shows the keys"
    );
    assert_eq!(
        ask("getx", &failed(1)),
        "unknown command \"getx\": did you mean \"get\"? \"help\" lists the commands"
    );
    assert_eq!(
        ask("get 'foo", &failed(1)),
        "a quote or a backslash at the end is open; close it"
    );
    assert!(ask("help get", &prompt).contains("Usage: get [OPTIONS] <KEY>"));
    assert!(ask("get --help", &prompt).contains("Usage: get [OPTIONS] <KEY>"));
    assert!(ask("help", &prompt).contains("unset        Delete a key"));
    assert!(ask("hist ^use", &prompt).starts_with(&format!("2: use {}", place.store)));
    assert!(ask("config", &prompt).starts_with("magic:       1112297555\nversion:     1"));
    assert_eq!(ask("unset foo", &prompt), "12 bytes deleted.");
    terminal.send("exit\r");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn ctrl_c_and_ctrl_d_quit() {
    let place = Place::with_store();
    for key in ["\x03", "\x04", "quit\r"] {
        let mut terminal = connected(&place);
        terminal.send(key);
        assert_eq!(terminal.end().0, 0, "{key:?}");
    }
}

#[test]
fn a_store_that_is_not_there_does_not_end_it() {
    let place = Place::new();
    let mut terminal = place.terminal("splinterp_cli", &["--use", "missing"]);
    terminal.expect("there is no store \"missing\"; \"init missing\" creates one");
    terminal.expect_last("2 : no-conn #");
    terminal.send("init s 8 8\r");
    terminal.expect("Creating 's' with 8 slots with a max value length of 8.");
    terminal.expect_last("no-conn #");
    terminal.send("use s\r");
    terminal.expect_last("s #");
    terminal.send("use missing\r");
    terminal.expect_last("2 : s #");
    terminal.send("drop s\r");
    terminal.expect("Remove 's' with all that is in it? [y/N]");
    terminal.send("n\r");
    terminal.expect("drop: nothing was removed; answer \"y\" to remove it");
    terminal.expect_last("11 : s #");
    assert!(place.path("s").exists());
    terminal.send("drop s\r");
    terminal.expect_last("Remove 's' with all that is in it? [y/N]");
    terminal.send("y\r");
    terminal.expect("Removed 's'.");
    terminal.expect_last("no-conn #");
    assert!(!place.path("s").exists());
    terminal.send("\x04");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn a_watch_ends_with_ctrl_c_and_the_prompt_comes_back() {
    let place = Place::with_store();
    place.line("set key first").prints("");
    let mut terminal = connected(&place);
    terminal.send("watch key --initial\r");
    terminal.expect("5:first");
    place.line("set key second").prints("");
    terminal.expect("6:second");
    terminal.send("\x03");
    terminal.expect_last(&format!("{} #", place.store));
    terminal.send("get key\r");
    terminal.expect("6:second\n\n");
    terminal.send("\x03");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn a_watch_in_a_terminal_ends_with_ctrl_c_and_leaves_it_as_it_was() {
    let place = Place::with_store();
    place.line("set key first").prints("");
    let mut terminal = place.terminal("splinterctl", &["--use", &place.store, "watch", "key", "--initial"]);
    terminal.expect("5:first");
    terminal.send("\x03");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn lines_are_kept_and_found_again() {
    let place = Place::with_store();
    let prompt = format!("{} #", place.store);
    let mut terminal = connected(&place);
    for line in ["set foo first", "set bar second"] {
        terminal.send(&format!("{line}\r"));
        terminal.expect(&format!("{line}\n{prompt}"));
    }
    // Not those that begin with a space.
    terminal.send(" set secret x\r");
    terminal.expect(&format!("set secret x\n{prompt}"));
    terminal.send("\x04");
    assert_eq!(terminal.end().0, 0);
    let file = place.path(".splinter_history");
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "#V2\nset foo first\nset bar second\n"
    );
    let mut terminal = connected(&place);
    terminal.send("\x1b[A\x1b[A");
    terminal.expect_last(&format!("{prompt} set foo first"));
    terminal.send("\x1b[B");
    terminal.expect_last(&format!("{prompt} set bar second"));
    // Ctrl-U, then Ctrl-R and a piece of a line.
    terminal.send("\x15\x12oo f");
    terminal.expect("set foo first");
    terminal.send("\r");
    terminal.expect(&format!("set foo first\n{prompt}"));
    terminal.send("\x04");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn as_many_lines_are_kept_as_asked_for() {
    let place = Place::with_store();
    let mut terminal = place.terminal("splinter_cli", &["-u", &place.store, "-H", "lines", "-l", "2"]);
    let prompt = format!("{} #", place.store);
    terminal.expect_last(&prompt);
    for line in ["set a 1", "set b 2", "set c 3"] {
        terminal.send(&format!("{line}\r"));
        terminal.expect(&format!("{line}\n{prompt}"));
    }
    terminal.send("hist\r");
    terminal.expect("1: set c 3\n2: hist\n");
    terminal.send("\x04");
    assert_eq!(terminal.end().0, 0);
    assert_eq!(
        std::fs::read_to_string(place.path("lines")).unwrap(),
        "#V2\nset c 3\nhist\n"
    );
}

#[test]
fn commands_flags_and_live_keys_are_completed() {
    let place = Place::with_store();
    let mut terminal = connected(&place);
    let prompt = format!("{} #", place.store);
    for key in ["sensor/one", "sensor/two", "two words", "bell\x07"] {
        place.run(&["set", key, key]).prints("");
    }
    terminal.send("uns\tsensor/t\t");
    terminal.expect_last(&format!("{prompt} unset sensor/two"));
    terminal.send("\r");
    terminal.expect("10 bytes deleted.");
    terminal.expect_last(&prompt);
    // Keys that appear while it runs.
    place.run(&["set", "sensor/three", "3"]).prints("");
    terminal.send("get sen\t\t");
    terminal.expect("sensor/one    sensor/three");
    terminal.send("th\t\r");
    terminal.expect("1:3\n\n");
    terminal.send("get tw\t\r");
    terminal.expect("get 'two words'");
    terminal.expect("9:two words\n\n");
    terminal.send("watch sensor/one --on\t");
    terminal.expect_last(&format!("{prompt} watch sensor/one --oneshot"));
    terminal.send("\x15get bel\t\t");
    terminal.expect_last(&format!("{prompt} get bel"));
    terminal.send("\x15help comple\t");
    terminal.expect_last(&format!("{prompt} help completions"));
    terminal.send("\x15completions fi\t");
    terminal.expect_last(&format!("{prompt} completions fish"));
    place.line("label --name 3 red").prints("");
    for (typed, completed) in [
        ("type sensor/one te", "type sensor/one text"),
        ("set key {} --type js", "set key {} --type json"),
        ("config ev", "config eviction"),
        ("config eviction l", "config eviction lru"),
        ("label sensor/one +r", "label sensor/one +red"),
        ("label sensor/one -r", "label sensor/one -red"),
        ("list --label r", "list --label red"),
        ("expire sensor/o", "expire sensor/one"),
        ("mget sensor/one sensor/th", "mget sensor/one sensor/three"),
    ] {
        terminal.send(&format!("\x15{typed}\t"));
        // A hint may follow.
        terminal.expect(&format!("{prompt} {completed}"));
    }
    terminal.send("\x15get one -p sensor/\r");
    terminal.expect("10:sensor/one\n\n");
    terminal.send("\x04");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn hints_tell_what_comes_next() {
    let place = Place::with_store();
    let mut terminal = connected(&place);
    let prompt = format!("{} #", place.store);
    terminal.send("set");
    terminal.expect_last(&format!("{prompt} set KEY VALUE"));
    terminal.send(" key");
    terminal.expect_last(&format!("{prompt} set key VALUE"));
    terminal.send("\x15expire ");
    terminal.expect_last(&format!("{prompt} expire KEY DURATION"));
    terminal.send("\x15label ");
    terminal.expect_last(&format!("{prompt} label [KEY] [LABEL...]"));
    terminal.send("\x15add ");
    terminal.expect_last(&format!("{prompt} add KEY [N]"));
    terminal.send("\x15uns");
    terminal.expect_last(&format!("{prompt} unset KEY"));
    assert!(contains(&terminal.bytes(), b"\x1b[2m"), "hints are dimmed");
    terminal.send("\x15\x04");
    assert_eq!(terminal.end().0, 0);
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn no_color_is_respected() {
    let place = Place::with_store();
    let help = |environment: &[(&str, &str)]| {
        let terminal = place.terminal_of("splinterctl", &["help"], 80, environment);
        let shown = terminal.shown_to_its_end();
        contains(&shown, b"\x1b[")
    };
    assert!(help(&[]));
    assert!(!help(&[("NO_COLOR", "1")]));
    assert!(help(&[("NO_COLOR", "")]));
    let arguments = ["--use", &place.store];
    let mut terminal = place.terminal_of("splinter_cli", &arguments, 80, &[("NO_COLOR", "1")]);
    terminal.expect_last(&format!("{} #", place.store));
    terminal.send("set");
    terminal.expect("set KEY VALUE");
    assert!(!contains(&terminal.bytes(), b"\x1b[2m"));
    terminal.send("\x15\x04");
    assert_eq!(terminal.end().0, 0);
}

impl Terminal {
    fn shown_to_its_end(self) -> Vec<u8> {
        until("the program ends", || self.has_ended());
        let bytes = self.bytes();
        assert_eq!(self.end().0, 0);
        bytes
    }
}

#[test]
fn a_narrow_terminal_gets_a_narrow_listing() {
    let place = Place::with_store();
    place.run(&["set", "short", "1"]).prints("");
    place
        .run(&["set", "a-key-that-is-longer-than-the-terminal-is", "22"])
        .prints("");
    let list = |columns: u16| {
        let terminal = place.terminal_of("splinterctl", &["--use", &place.store, "list"], columns, &[]);
        terminal.end().1
    };
    assert_eq!(
        list(40).trim_end(),
        "Key Name                | Epoch | Length\n----------------------------------------\n\
         a-key-that-is-longer-t… | 2     | 2\nshort                   | 2     | 1"
    );
    assert!(list(100).starts_with("Key Name                          | Epoch           | Value Length"));
    // What is not for people does not depend on them.
    let keys = place
        .terminal_of("splinterctl", &["--use", &place.store, "list", "--raw"], 200, &[])
        .end()
        .1;
    assert!(keys.contains("a-key-that-is-longer-than-the-terminal-is"));
}

#[test]
fn control_characters_cannot_take_over_the_terminal() {
    let place = Place::with_store();
    let evil = "evil\x1b]0;title\x07\x1b[2J\r\u{9b}31m";
    place.run(&["set", evil, "value\x1b[31m\x07\nline"]).prints("");
    let spelt = "evil\\x1b]0;title\\x07\\x1b[2J\\r\\u{9b}31m";
    let run = |words: &[&str]| {
        let mut arguments = vec!["--use", place.store.as_str()];
        arguments.extend(words);
        let terminal = place.terminal_of("splinterctl", &arguments, 120, &[]);
        terminal.shown_to_its_end()
    };
    for words in [
        &["list"][..],
        &["head", evil],
        &["changes"],
        &["get", evil],
        &["watch", "--all", "--initial", "--oneshot"],
    ] {
        let bytes = run(words);
        assert!(!bytes.iter().any(|byte| matches!(byte, 0x1b | 0x07)), "{words:?}");
        let text = String::from_utf8(bytes).unwrap();
        if words[0] == "get" {
            assert_eq!(text, "16:value\\x1b[31m\\x07\r\nline\r\n\r\n");
        } else {
            assert!(text.contains(spelt), "{words:?}: {text}");
        }
    }
    let json = String::from_utf8(run(&["list", "--json"])).unwrap();
    assert!(json.contains("evil\\u001b]0;title\\u0007"), "{json}");
    // Asked for as they are.
    assert!(contains(&run(&["get", "--raw", evil]), b"\x1b[31m\x07"));
    // A pipe gets the bytes, but no key that a terminal behind it would obey.
    place.run(&["get", evil]).prints("16:value\x1b[31m\x07\nline\n\n");
    assert!(place.line("list").stdout.contains(spelt));
}

#[test]
fn an_import_shows_how_far_it_is() {
    let place = Place::new();
    assert_eq!(place.splinterctl(&["init", &place.store, "4096", "64"]).code, 0);
    let store = splinter::OpenOptions::new().memory(true).open(&place.store).unwrap();
    for i in 0..4000 {
        store.set(format!("key{i}"), "value").unwrap();
    }
    let export = place.line("export --values").stdout;
    std::fs::write(place.path("export.json"), export).unwrap();
    let terminal = place.terminal("splinterctl", &["--use", &place.store, "import", "export.json"]);
    let bytes = terminal.shown_to_its_end();
    assert!(contains(&bytes, b" %, "), "{}", String::from_utf8_lossy(&bytes));
    assert!(contains(&bytes, b"4000 keys imported."));
}
