//! What goes on in a terminal, and how it ends: by keys, by signals, and when the terminal itself has gone.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::mpsc;

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{PATIENCE, Place, until};

/// Every command that goes on until it is told to end, and what shows that it has begun.
const ENDLESS: [(&str, &str); 6] = [
    ("top --interval-ms 20", "WRITES/S"),
    ("watch key --initial", "5:value"),
    ("changes --from 0 --follow", "key"),
    ("monitor", "key"),
    ("stat --interval 0.01", "changes/s"),
    ("stress --duration-ms 3600000 --writer-us 1000", "writes/s"),
];

/// A terminal that nobody reads but the test itself, so that it is gone when the test lets it go.
struct Pty {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    reader: Box<dyn Read + Send>,
    writer: File,
    settings: String,
    seen: String,
    /// While it lives, the program is killed if it takes too long, so that nobody waits for ever for what it shows.
    _patience: mpsc::Sender<()>,
}

impl Pty {
    /// Starts a program of a place. Only in a session of its own a terminal that has gone sends a signal.
    fn start(place: &Place, name: &str, line: &str, is_controlling: bool) -> Self {
        let size = PtySize {
            rows: 24,
            cols: 100,
            ..PtySize::default()
        };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(place.path(name));
        command.args(line.split(' ').filter(|word| !word.is_empty()));
        command.env_clear();
        command.env("HOME", place.path(""));
        command.env("TERM", "xterm-256color");
        command.env("SPLINTER_DEFAULT_STORE", &place.store);
        command.cwd(place.path(""));
        command.set_controlling_tty(is_controlling);
        let settings = format!("{:?}", pair.master.get_termios());
        let child = pair.slave.spawn_command(command).unwrap();
        let mut killer = child.clone_killer();
        let (patience, is_over) = mpsc::channel();
        std::thread::spawn(move || {
            if is_over.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = killer.kill();
            }
        });
        Self {
            settings,
            child,
            reader: pair.master.try_clone_reader().unwrap(),
            writer: writer_of(&*pair.master),
            master: pair.master,
            seen: String::new(),
            _patience: patience,
        }
    }

    /// Starts one of the endless commands, and waits until it shows something.
    #[track_caller]
    fn endless(place: &Place, line: &str, mark: &str, is_controlling: bool) -> Self {
        let mut pty = Self::start(place, "splinterctl", line, is_controlling);
        if line != "monitor" {
            pty.read_until(mark);
            return pty;
        }
        // It tells only what comes after its start.
        let store = splinter::OpenOptions::new().memory(true).open(&place.store).unwrap();
        let (shown, is_shown) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while is_shown.try_recv() == Err(mpsc::TryRecvError::Empty) {
                    store.set("key", "value").unwrap();
                    std::thread::yield_now();
                }
            });
            // However it ends, the writer does too.
            let _shown = shown;
            pty.read_until(mark);
        });
        pty
    }

    /// Reads until a text was shown.
    #[track_caller]
    fn read_until(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !self.seen.contains(text) {
            let bytes = self.reader.read(&mut buffer).unwrap_or(0);
            assert!(bytes > 0, "never {text:?}, but: {:?}", self.seen);
            self.seen += &String::from_utf8_lossy(&buffer[..bytes]);
        }
    }

    fn send(&mut self, keys: &str) {
        self.writer.write_all(keys.as_bytes()).unwrap();
        self.writer.flush().unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.process_id().unwrap() as i32).unwrap(), signal).unwrap();
    }

    /// Waits for the end. The terminal is as it was then.
    #[track_caller]
    fn end(mut self) -> ExitStatus {
        // What the program has still to say would keep it waiting if nobody read it.
        let mut reader = self.master.try_clone_reader().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while reader.read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
        });
        let status = ended(&mut *self.child);
        assert_eq!(format!("{:?}", self.master.get_termios()), self.settings);
        status
    }

    /// Takes the terminal away, and waits for the end.
    #[track_caller]
    fn vanish(self) -> ExitStatus {
        let Self {
            mut child,
            master,
            reader,
            writer,
            ..
        } = self;
        drop((master, reader, writer));
        ended(&mut *child)
    }
}

/// What writes to a terminal, and sends no end of a file when it is dropped, as that of the library does.
fn writer_of(master: &dyn MasterPty) -> File {
    let descriptor = master.as_raw_fd().unwrap();
    // SAFETY: the descriptor is open as long as the terminal lives, which is longer than this function runs.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    borrowed.try_clone_to_owned().unwrap().into()
}

#[track_caller]
fn ended(child: &mut (dyn Child + Send + Sync)) -> ExitStatus {
    let mut status = None;
    until("the program ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// A place with a store that has something to show.
fn place() -> Place {
    let place = Place::with_store();
    place.line("set key value").prints("");
    place
}

/// Stores that `stress` would have left.
fn left_by(pid: u32) -> bool {
    std::path::Path::new(&format!("/dev/shm/splinter_stress_{pid}")).exists()
}

#[test]
fn ctrl_c_ends_whatever_goes_on_and_leaves_the_terminal_as_it_was() {
    let place = place();
    for (line, mark) in ENDLESS {
        let mut pty = Pty::endless(&place, line, mark, true);
        let pid = pty.child.process_id().unwrap();
        pty.send("\x03");
        let status = pty.end();
        assert!(status.success(), "{line}: {status:?}");
        assert!(!left_by(pid));
    }
}

#[test]
fn signals_end_whatever_goes_on_as_they_end_other_programs() {
    let place = place();
    for (line, mark) in ENDLESS {
        for (signal, name) in [(Signal::TERM, "Terminated"), (Signal::HUP, "Hangup")] {
            let pty = Pty::endless(&place, line, mark, true);
            let pid = pty.child.process_id().unwrap();
            pty.signal(signal);
            let status = pty.end();
            assert_eq!(status.signal(), Some(name), "{line}");
            assert!(!left_by(pid));
        }
    }
}

#[test]
fn a_terminal_that_vanishes_ends_whatever_goes_on_in_it() {
    let place = place();
    for (line, mark) in ENDLESS {
        for is_controlling in [true, false] {
            // One that ends by itself need not look.
            if line.starts_with("stress") && !is_controlling {
                continue;
            }
            let pty = Pty::endless(&place, line, mark, is_controlling);
            let pid = pty.child.process_id().unwrap();
            let status = pty.vanish();
            assert_eq!(status.signal(), Some("Hangup"), "{line} {is_controlling}: {status:?}");
            assert!(!left_by(pid));
        }
    }
}

#[test]
fn a_terminal_that_vanishes_ends_top_in_whatever_state_it_is() {
    let place = place();
    for (keys, mark) in [("p", "PAUSED"), ("/ke", "e_"), ("?", "goes")] {
        for is_controlling in [true, false] {
            let mut pty = Pty::endless(&place, "top --interval-ms 3600000", "WRITES/S", is_controlling);
            pty.send(keys);
            pty.read_until(mark);
            let status = pty.vanish();
            assert_eq!(status.signal(), Some("Hangup"), "{keys} {is_controlling}: {status:?}");
        }
    }
}

#[test]
fn a_terminal_that_vanishes_ends_the_interactive_mode() {
    let place = place();
    for line in ["", "watch key --initial\r", "top\r"] {
        for is_controlling in [true, false] {
            let mut pty = Pty::start(&place, "splinter_cli", "", is_controlling);
            pty.read_until(&format!("{} #", place.store));
            pty.send(line);
            match line {
                "top\r" => pty.read_until("WRITES/S"),
                "" => {}
                _ => pty.read_until("5:value"),
            }
            let status = pty.vanish();
            assert_eq!(status.signal(), Some("Hangup"), "{line:?} {is_controlling}");
        }
    }
}

#[test]
fn signals_that_top_has_caught_end_the_interactive_mode_again_after_it() {
    let place = place();
    let mut pty = Pty::start(&place, "splinter_cli", "", true);
    pty.read_until(&format!("{} #", place.store));
    pty.send("top\r");
    pty.read_until("WRITES/S");
    pty.send("q");
    // Back from the screen of its own, and at the prompt.
    pty.read_until("\x1b[?1049l");
    let at = pty.seen.find("\x1b[?1049l").unwrap();
    pty.seen.drain(..at);
    pty.read_until(&format!("{} #", place.store));
    pty.signal(Signal::TERM);
    assert_eq!(ended(&mut *pty.child).signal(), Some("Terminated"));
}

#[test]
fn a_terminal_that_is_resized_changes_nothing_for_what_goes_on() {
    let place = place();
    for (line, mark) in ENDLESS.into_iter().filter(|(line, _)| !line.starts_with("top")) {
        let mut pty = Pty::endless(&place, line, mark, true);
        for (rows, cols) in [(1, 1), (5, 10), (50, 200)] {
            pty.master
                .resize(PtySize {
                    rows,
                    cols,
                    ..PtySize::default()
                })
                .unwrap();
        }
        place.line("set key resized").prints("");
        pty.seen.clear();
        place.line("set key value").prints("");
        match line {
            // They have shown the last change already, or go on by themselves.
            _ if line.starts_with("changes") || line == "monitor" => pty.read_until("set"),
            _ if line.starts_with("watch") => pty.read_until("5:value"),
            _ if line.starts_with("stat") => pty.read_until("0.0"),
            _ => pty.read_until("writes/s"),
        }
        pty.send("\x03");
        assert!(pty.end().success(), "{line}");
    }
}

#[test]
fn a_store_that_is_removed_is_followed_on() {
    for (line, mark) in ENDLESS.into_iter().take(5) {
        let place = place();
        let store = splinter::OpenOptions::new().memory(true).open(&place.store).unwrap();
        let mut pty = Pty::endless(&place, line, mark, true);
        splinter::Store::remove_memory(&place.store).unwrap();
        pty.read_until(if line.starts_with("top") {
            "REMOVED"
        } else {
            "the store was removed"
        });
        pty.seen.clear();
        store.set("key", "after").unwrap();
        match line {
            _ if line.starts_with("top") => pty.read_until("after"),
            _ if line.starts_with("watch") => pty.read_until("5:after"),
            _ if line.starts_with("stat") => pty.read_until("0.0"),
            _ => pty.read_until("set"),
        }
        pty.send("\x03");
        assert!(pty.end().success(), "{line}");
    }
}
