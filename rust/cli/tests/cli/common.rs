//! A place with the four programs and stores of its own, and a terminal.

use std::io::{Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, MasterPty, PtySize, native_pty_system};
use tempfile::TempDir;

/// How long a test waits for a process before it gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a program has left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Done {
    /// Fails unless this was printed, nothing was complained about, and the exit code is 0.
    #[track_caller]
    pub(crate) fn prints(&self, stdout: &str) {
        assert_eq!((self.stdout.as_str(), self.stderr.as_str(), self.code), (stdout, "", 0));
    }

    /// Fails unless it failed with this code and one line about it, and nothing else.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, message: &str) {
        let message = format!("{message}\n");
        assert_eq!(
            (self.stdout.as_str(), self.stderr.as_str(), self.code),
            ("", message.as_str(), code)
        );
    }
}

/// A directory with the programs and files of a test, and a prefix for its shared memory. Nothing of it is left.
pub(crate) struct Place {
    directory: TempDir,
    /// A name for shared memory that nobody else has.
    pub(crate) store: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let directory = tempfile::tempdir().unwrap();
        for name in ["splinterctl", "splinter_cli", "splinterpctl", "splinterp_cli"] {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_splinterctl"), directory.path().join(name)).unwrap();
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            directory,
            store: format!("splinter-cli-test-{}-{number}", std::process::id()),
        }
    }

    /// A place whose store exists.
    pub(crate) fn with_store() -> Self {
        let place = Self::new();
        assert_eq!(place.splinterctl(&["init", &place.store, "64", "256"]).code, 0);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A program that knows nothing of the tester's environment.
    pub(crate) fn program(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path(name));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.directory.path())
            .env("PATH", format!("{}:/usr/bin:/bin", self.directory.path().display()))
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn splinterctl(&self, arguments: &[&str]) -> Done {
        self.program("splinterctl", arguments).output().unwrap().into()
    }

    /// Runs a command with this place's store.
    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        self.program("splinterctl", arguments)
            .env("SPLINTER_DEFAULT_STORE", &self.store)
            .output()
            .unwrap()
            .into()
    }

    /// The same, of a line as one would type it.
    pub(crate) fn line(&self, line: &str) -> Done {
        let words = shell_words::split(line).unwrap();
        self.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs a program on this place's store with a standard input.
    pub(crate) fn fed(&self, name: &str, arguments: &[&str], input: impl AsRef<[u8]>) -> Output {
        let mut child = self.start(name, arguments, Stdio::piped());
        let mut stdin = child.stdin.take().unwrap();
        // It may end before it has read everything.
        let _ = stdin.write_all(input.as_ref());
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    pub(crate) fn start(&self, name: &str, arguments: &[&str], stdin: Stdio) -> Child {
        self.program(name, arguments)
            .env("SPLINTER_DEFAULT_STORE", &self.store)
            .stdin(stdin)
            .spawn()
            .unwrap()
    }

    /// Runs a program in a terminal.
    pub(crate) fn terminal(&self, name: &str, arguments: &[&str]) -> Terminal {
        self.terminal_of(name, arguments, 80, &[])
    }

    pub(crate) fn terminal_of(
        &self,
        name: &str,
        arguments: &[&str],
        columns: u16,
        environment: &[(&str, &str)],
    ) -> Terminal {
        let mut command = CommandBuilder::new(self.path(name));
        command.args(arguments);
        command.env_clear();
        command.env("HOME", self.directory.path());
        command.env("PATH", "/usr/bin:/bin");
        command.env("TERM", "xterm-256color");
        for (name, value) in environment {
            command.env(name, value);
        }
        command.cwd(self.directory.path());
        Terminal::start(command, columns)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for entry in Path::new("/dev/shm").read_dir().unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&self.store) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// Tries until something holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never came: {what}");
        std::thread::yield_now();
    }
}

/// What a terminal shows, and everything that it was sent.
struct Shown {
    screen: vt100::Parser,
    bytes: Vec<u8>,
    has_ended: bool,
}

/// A program in a pseudo-terminal.
pub(crate) struct Terminal {
    master: Box<dyn MasterPty + Send>,
    writer: Box<dyn Write + Send>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    shown: Arc<(Mutex<Shown>, Condvar)>,
    /// The terminal's settings before the program started.
    settings: String,
}

impl Terminal {
    pub(crate) fn start(command: CommandBuilder, columns: u16) -> Self {
        let size = PtySize {
            rows: 100,
            cols: columns,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).unwrap();
        let settings = settings_of(&*pair.master);
        let child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let shown = Arc::new((
            Mutex::new(Shown {
                screen: vt100::Parser::new(NonZero::new(100).unwrap(), NonZero::new(columns).unwrap(), 0),
                bytes: Vec::new(),
                has_ended: false,
            }),
            Condvar::new(),
        ));
        let theirs = shown.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                // The end of the last process in the terminal is an error here.
                let bytes = reader.read(&mut buffer).unwrap_or(0);
                let mut shown = theirs.0.lock().unwrap();
                shown.screen.process(&buffer[..bytes]);
                shown.bytes.extend_from_slice(&buffer[..bytes]);
                shown.has_ended = bytes == 0;
                theirs.1.notify_all();
                if bytes == 0 {
                    return;
                }
            }
        });
        Self {
            writer: pair.master.take_writer().unwrap(),
            master: pair.master,
            child,
            shown,
            settings,
        }
    }

    pub(crate) fn send(&mut self, keys: &str) {
        self.writer.write_all(keys.as_bytes()).unwrap();
        self.writer.flush().unwrap();
    }

    /// Waits until the screen shows a text.
    #[track_caller]
    pub(crate) fn expect(&self, text: &str) {
        self.until(text, |screen| screen.contains(text));
    }

    /// Waits until the last line is this one, ignoring spaces at its end: a prompt, say.
    #[track_caller]
    pub(crate) fn expect_last(&self, line: &str) {
        self.until(line, |screen| {
            screen
                .trim_end()
                .lines()
                .last()
                .is_some_and(|last| last.trim_end() == line.trim_end())
        });
    }

    #[track_caller]
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&str) -> bool) {
        let end = Instant::now() + PATIENCE;
        let mut shown = self.shown.0.lock().unwrap();
        while !holds(&shown.screen.screen().contents()) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !shown.has_ended,
                "the terminal never showed {what:?}, but:\n{}",
                shown.screen.screen().contents()
            );
            shown = self.shown.1.wait_timeout(shown, left).unwrap().0;
        }
    }

    pub(crate) fn screen(&self) -> String {
        self.shown.0.lock().unwrap().screen.screen().contents()
    }

    /// Everything that was sent to the terminal so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.shown.0.lock().unwrap().bytes.clone()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.shown.0.lock().unwrap().has_ended
    }

    /// Waits for the program's end. The terminal must be as it was then.
    #[track_caller]
    pub(crate) fn end(mut self) -> (u32, String) {
        let mut shown = self.shown.0.lock().unwrap();
        let end = Instant::now() + PATIENCE;
        while !shown.has_ended {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "the program did not end:\n{}",
                shown.screen.screen().contents()
            );
            shown = self.shown.1.wait_timeout(shown, left).unwrap().0;
        }
        let screen = shown.screen.screen().contents();
        drop(shown);
        let code = self.child.wait().unwrap().exit_code();
        assert_eq!(
            settings_of(&*self.master),
            self.settings,
            "the terminal was not restored"
        );
        (code, screen)
    }
}

fn settings_of(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios())
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
        let _ = self.child.kill();
    }
}
