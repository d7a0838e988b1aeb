//! The command line: its arguments, the lines of its interactive mode, and what it imports.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;

use splinter_cli::Confined;

use crate::bytes::memory_file;
use crate::input::Input;
use crate::victim::Victim;

/// Gives these bytes to the command line, as arguments, as lines, as a line that is being typed, or as a document.
///
/// # Panics
///
/// If it does.
pub fn command_line(bytes: &[u8]) {
    let (file, path) = memory_file();
    file.write_all_at(&Victim::get().region, 0).unwrap();
    let mut session = Confined::new(&path).unwrap();
    let mut input = Input::new(bytes);
    match input.byte() % 4 {
        0 => {
            let words = input.rest().split(|&byte| byte == b'\n');
            let words = words.map(|word| OsString::from_vec(word.into()));
            let arguments = [OsString::from("splinterctl")].into_iter().chain(words);
            refused(session.arguments(arguments.collect()));
        }
        1 => {
            for line in String::from_utf8_lossy(input.rest()).lines() {
                refused(session.line(line));
            }
        }
        2 => {
            let position = input.byte();
            let line = String::from_utf8_lossy(input.rest());
            let position = line.floor_char_boundary(usize::from(position).min(line.len()));
            session.complete(&line, position);
            session.complete(&line, line.len());
        }
        _ => {
            let document = input.rest();
            refused(session.import(document));
            refused(session.line("export --values"));
        }
    }
}

/// Whatever is refused, the reason is told in one line.
fn refused<T>(result: Result<T, String>) {
    if let Err(message) = result {
        assert!(!message.is_empty());
    }
}
