//! The terminal while it is ours.

use std::io::{self, Stdout};
use std::mem::ManuallyDrop;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

type Drawing = Terminal<CrosstermBackend<Stdout>>;

/// The terminal while it is ours. It is given back however the drawing ends, a panic included.
pub(super) struct Screen(
    // Never dropped: its destructor panics if the terminal and the standard error, which are often the same, have gone.
    ManuallyDrop<Drawing>,
);

/// Whether the terminal has to be given back.
static TAKEN: AtomicBool = AtomicBool::new(false);

impl Screen {
    pub(super) fn enter() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                // First, so that the message is on the screen that stays.
                give_back();
                before(panic);
            }));
        });
        TAKEN.store(true, Ordering::SeqCst);
        // From here on it is given back if something fails.
        let result = enable_raw_mode()
            .and_then(|()| execute!(io::stdout(), EnterAlternateScreen))
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        if result.is_err() {
            give_back();
        }
        result.map(|drawing| Self(ManuallyDrop::new(drawing)))
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut ratatui::Frame<'_>)) -> io::Result<()> {
        self.0.draw(draw).map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // Whatever fails here, there is no better terminal to tell it to.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// What the test below starts in a terminal of its own: this test, with a word that tells it to.
    const PANIC: &str = "SPLINTER_TEST_PANIC";

    #[test]
    fn panics_on_the_screen() {
        if std::env::var_os(PANIC).is_some() {
            let _screen = Screen::enter().unwrap();
            panic!("this is to be read afterwards");
        }
    }

    #[test]
    fn a_panic_is_read_on_the_terminal_that_it_gives_back() {
        let pair = portable_pty::native_pty_system()
            .openpty(portable_pty::PtySize::default())
            .unwrap();
        let modes = || format!("{:?}", pair.master.get_termios().unwrap());
        let before = modes();
        let mut command = portable_pty::CommandBuilder::new(std::env::current_exe().unwrap());
        command.args(["--nocapture", "--exact", "top::screen::tests::panics_on_the_screen"]);
        command.env(PANIC, "1");
        command.env("RUST_BACKTRACE", "0");
        let mut child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let mut parser = vt100::Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 100);
        let mut buffer = [0; 4096];
        let mut was_alternate = false;
        // Until its last line, for the terminal itself stays open.
        while !parser.screen().contents().contains("test result") {
            let bytes = reader.read(&mut buffer).unwrap();
            for byte in &buffer[..bytes] {
                parser.process(&[*byte]);
                was_alternate |= parser.screen().alternate_screen();
            }
        }
        child.wait().unwrap();
        assert!(was_alternate && !parser.screen().alternate_screen() && !parser.screen().hide_cursor());
        assert!(parser.screen().contents().contains("this is to be read afterwards"));
        assert_eq!(modes(), before);
    }
}
