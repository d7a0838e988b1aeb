//! `top` in a real pseudo-terminal: what it shows, and that the terminal is as before when it has ended, however it ends.

use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use splinter::{OpenOptions, Store};
use tempfile::TempDir;

/// After so long nothing comes any more, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(30);

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// What a terminal shows, as a thread reads it.
type Shown = Arc<(Mutex<vt100::Parser>, Condvar)>;

/// A terminal in which `top` runs.
struct Top {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    modes_before: String,
    shown: Shown,
}

fn number(number: u16) -> NonZero<u16> {
    NonZero::new(number).expect("a terminal of some size")
}

fn size(rows: u16, cols: u16) -> PtySize {
    PtySize {
        rows,
        cols,
        ..PtySize::default()
    }
}

impl Top {
    fn start(store: &Path, arguments: &[&str]) -> Self {
        let pair = native_pty_system().openpty(size(24, 100)).unwrap();
        let modes_before = format!("{:?}", pair.master.get_termios().unwrap());
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_splinterctl"));
        command.args(["--persistent", "--use"]);
        command.arg(store);
        command.args(["top", "--interval-ms", "20"]);
        command.args(arguments);
        command.env("TERM", "xterm-256color");
        let child = pair.slave.spawn_command(command).unwrap();
        let shown: Shown = Arc::new((
            Mutex::new(vt100::Parser::new(number(24), number(100), 0)),
            Condvar::new(),
        ));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let to = shown.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(bytes @ 1..) = reader.read(&mut buffer) {
                to.0.lock().unwrap().process(&buffer[..bytes]);
                to.1.notify_all();
            }
        });
        Self {
            child,
            keyboard: pair.master.take_writer().unwrap(),
            master: pair.master,
            modes_before,
            shown,
        }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen is as wanted, and returns its text.
    #[track_caller]
    fn await_screen(&self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) -> String {
        let start = Instant::now();
        let mut parser = self.shown.0.lock().unwrap();
        while !wanted(parser.screen()) {
            let left = PATIENCE.saturating_sub(start.elapsed());
            assert!(!left.is_zero(), "{what}:\n{}", parser.screen().contents());
            parser = self.shown.1.wait_timeout(parser, left).unwrap().0;
        }
        parser.screen().contents()
    }

    #[track_caller]
    fn await_text(&self, text: &str) -> String {
        self.await_screen(text, |screen| screen.contents().contains(text))
    }

    #[track_caller]
    fn await_gone(&self, text: &str) -> String {
        self.await_screen(text, |screen| !screen.contents().contains(text))
    }

    /// Waits until the keys are on the screen in this order.
    #[track_caller]
    fn await_order(&self, keys: &[&str]) {
        self.await_screen(&format!("{keys:?}"), |screen| lines(&screen.contents()) == keys);
    }

    fn resize(&self, rows: u16, cols: u16) {
        self.shown
            .0
            .lock()
            .unwrap()
            .screen_mut()
            .set_size(number(rows), number(cols));
        self.master.resize(size(rows, cols)).unwrap();
    }

    /// Waits for the end, sees that the terminal is as it was, and returns the exit code.
    #[track_caller]
    fn end(mut self) -> u32 {
        self.await_screen("the screen that was there before", |screen| {
            !screen.alternate_screen() && !screen.hide_cursor()
        });
        let status = self.child.wait().unwrap();
        assert_eq!(format!("{:?}", self.master.get_termios().unwrap()), self.modes_before);
        status.exit_code()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.process_id().unwrap() as i32).unwrap()
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// The first words of the lines below the title.
fn lines(screen: &str) -> Vec<String> {
    screen
        .lines()
        .skip_while(|line| !line.starts_with("KEY"))
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .map(String::from)
        .collect()
}

fn store() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = OpenOptions::new()
        .slots(100)
        .journal_entries(64)
        .create(directory.path().join("app.splinter"))
        .unwrap();
    (directory, store)
}

#[test]
fn keys_and_their_figures_are_shown_and_followed() {
    let (_directory, store) = store();
    let epoch = store.set("alpha", "one value").unwrap();
    let top = Top::start(store.path(), &[]);
    let screen = top.await_text("one value");
    assert!(screen.contains("app.splinter") && screen.contains("1 of 100 slots") && screen.contains("2 handles"));
    let line = screen.lines().find(|line| line.starts_with("alpha")).unwrap();
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>(),
        ["alpha", &epoch.to_string(), "9", "0", "one", "value"]
    );
    store.set("alpha", "another").unwrap();
    let screen = top.await_text("another");
    assert!(screen.lines().any(|line| line.contains(&format!(" {} ", epoch + 2))));
    store.set("beta", "new").unwrap();
    top.await_text("2 of 100 slots");
    store.unset("alpha").unwrap();
    top.await_gone("alpha");
    // The rate is what is written, and goes back to nothing.
    let await_rate = |what: &str, is_nothing: bool| {
        top.await_screen(what, |screen| {
            let contents = screen.contents();
            let beta = contents
                .lines()
                .find(|line| line.starts_with("beta"))
                .unwrap_or_default();
            let rate = beta.split_whitespace().nth(3).and_then(|rate| rate.parse::<f64>().ok());
            rate.is_some_and(|rate| (rate == 0.0) == is_nothing)
        });
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.set("beta", "hot").unwrap();
            }
        });
        // However it ends, the writer does too.
        let _ends = OnDrop(|| done.store(true, Ordering::Relaxed));
        await_rate("a rate", false);
    });
    await_rate("no rate", true);
}

#[test]
fn a_feed_that_was_overrun_shows_the_truth_again() {
    let (_directory, store) = store();
    let mut top = Top::start(store.path(), &["--sort", "key"]);
    store.set("goes", "").unwrap();
    top.await_order(&["goes"]);
    top.press("p");
    top.await_text("PAUSED");
    store.unset("goes").unwrap();
    for i in 0..1000 {
        store.set(format!("key{}", i % 3), i.to_string()).unwrap();
    }
    top.press("p");
    top.await_order(&["key0", "key1", "key2"]);
    let screen = top.await_text("999");
    assert!(screen.contains("3 of 100 slots"), "{screen}");
}

#[test]
fn nothing_that_a_store_holds_reaches_the_terminal_as_a_command() {
    let (_directory, store) = store();
    store
        .set("a\x1b]0;owned\x07", "\x1b[2J\x1b[?1049l\r\nrm\t\u{9b}31m")
        .unwrap();
    store.set("b\u{202e}", [0xff, 0x00, 0x1b]).unwrap();
    let top = Top::start(store.path(), &["--sort", "key"]);
    let screen = top.await_text("\\xff\\x00\\x1b");
    assert!(screen.contains("a\\x1b]0;owned\\x07"), "{screen}");
    assert!(screen.contains("\\x1b[2J\\x1b[?1049l\\r\\nrm\\t\\u{9b}31m"), "{screen}");
    assert!(screen.contains("b\\u{202e}"), "{screen}");
    let parser = top.shown.0.lock().unwrap();
    assert!(parser.screen().alternate_screen());
}

#[test]
fn keystrokes_sort_filter_and_scroll() {
    let (_directory, store) = store();
    for (key, bytes) in [("bb", 3), ("aa", 5), ("cc", 4)] {
        store.set(key, vec![b'x'; bytes]).unwrap();
    }
    store.set("cc", "xxxx").unwrap();
    let mut top = Top::start(store.path(), &["--sort", "size"]);
    top.await_order(&["aa", "cc", "bb"]);
    top.press("n");
    top.await_order(&["aa", "bb", "cc"]);
    top.press("n");
    top.await_order(&["cc", "bb", "aa"]);
    top.press("e");
    top.await_screen("the youngest first", |screen| lines(&screen.contents())[0] == "cc");
    top.press("sr");
    top.await_order(&["bb", "cc", "aa"]);
    top.press("/a");
    top.await_order(&["aa"]);
    top.await_text("/a_");
    top.press("\x1b");
    top.await_order(&["bb", "cc", "aa"]);
    top.press("/b\r");
    top.await_order(&["bb"]);
    top.await_text("filter b");
    top.press("\x1b");
    top.await_gone("filter b");
    top.press("?");
    top.await_text("Any key goes back");
    top.press("q");
    top.await_gone("Any key goes back");
    for i in 0..90 {
        store.set(format!("k{i:02}"), "").unwrap();
    }
    top.press("n");
    top.await_screen("the first page", |screen| lines(&screen.contents()).len() == 21);
    top.press("\x1b[F");
    top.await_text("k89");
    top.press("g");
    top.await_text("aa");
    top.press("\x1b[6~\x1b[6~");
    top.await_gone("aa ");
    top.press("q");
    assert_eq!(top.end(), 0);
}

#[test]
fn the_terminal_is_given_back_at_every_end() {
    let (_directory, store) = store();
    for keys in ["q", "\x03", "/abc\x03", "?\x03", "p\x1b"] {
        let mut top = Top::start(store.path(), &[]);
        top.await_text("q quit");
        top.press(keys);
        assert_eq!(top.end(), 0, "{keys:?}");
    }
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let top = Top::start(store.path(), &[]);
        top.await_text("q quit");
        kill_process(top.pid(), signal).unwrap();
        let code = top.end();
        assert_eq!(code == 0, signal == Signal::INT, "{signal:?} {code}");
    }
}

#[test]
fn a_store_that_is_removed_is_shown_on() {
    let (_directory, store) = store();
    store.set("alpha", "before").unwrap();
    let mut top = Top::start(store.path(), &[]);
    top.await_text("before");
    Store::remove(store.path()).unwrap();
    top.await_text("REMOVED");
    store.set("alpha", "after").unwrap();
    top.await_text("after");
    top.press("q");
    assert_eq!(top.end(), 0);
}

#[test]
fn a_terminal_of_any_size_will_do() {
    let (_directory, store) = store();
    store.set("alpha", "the value").unwrap();
    let mut top = Top::start(store.path(), &[]);
    top.await_text("the value");
    top.resize(8, 24);
    let screen = top.await_screen("without the value", |screen| {
        let contents = screen.contents();
        contents.contains("WRITES/S") && !contents.contains("VALUE")
    });
    assert!(screen.contains("alpha"), "{screen}");
    top.press("/al");
    top.await_text("/al_");
    top.press("\r");
    top.await_text("filter al");
    top.resize(1, 1);
    top.press("jjG");
    top.resize(2, 3);
    top.resize(30, 120);
    top.await_text("the value");
    top.press("q");
    assert_eq!(top.end(), 0);
}

#[test]
fn without_a_terminal_one_table_is_printed() {
    let (_directory, store) = store();
    store.set("alpha", "the\x1b value").unwrap();
    store.set("beta", "").unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_splinterctl"))
            .args(["--persistent", "--use"])
            .arg(store.path())
            .args(["top", "--interval-ms", "10", "--sort", "key"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for arguments in [&[][..], &["--once"]] {
        let table = run(arguments);
        assert!(
            table.starts_with("0 writes/s, 2 of 100 slots, 2 handles\nKEY "),
            "{table}"
        );
        assert!(table.contains("the\\x1b value\n"), "{table}");
        assert_eq!(lines(&table), ["alpha", "beta"]);
    }
    assert_eq!(lines(&run(&["--filter", "et"])), ["beta"]);
    let json: serde_json::Value = serde_json::from_str(&run(&["--json"])).unwrap();
    assert_eq!(json["keys"][0]["key"], "alpha");
    assert_eq!(json["total_slots"], 100);
}
