//! The interactive mode: lines from a terminal, with editing and history, or from a pipe.

use std::io::{self, BufRead, BufWriter, IsTerminal, Write};
use std::path::Path;

use rustyline::config::{BellStyle, ColorMode};
use rustyline::error::ReadlineError;
use rustyline::history::{DefaultHistory, History as _};
use rustyline::{CompletionType, Config, Editor};

use crate::commands;
use crate::complete::Assistant;
use crate::failure::{Failure, tell};
use crate::output::{Format, Output, colours, shown};
use crate::session::{History, Session};
use crate::signals::nobody_reads;
use crate::table::{self, Command, Line, LineOptions, Parsed};

/// Whether there will be another line.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Line,
    End,
}

/// Reads and runs lines to their end, and returns the exit code.
pub(crate) fn run(session: &mut Session, options: &LineOptions) -> Result<u8, Failure> {
    session.is_interactive = true;
    if io::stdin().is_terminal() {
        edit(session, options)
    } else {
        read(session, options)
    }
}

/// Runs the lines of a pipe or a file. The exit code is that of the last command that failed.
fn read(session: &mut Session, options: &LineOptions) -> Result<u8, Failure> {
    let mut last_failure = 0;
    loop {
        let mut line = Vec::new();
        // Locked for one line only: commands may read the input too.
        match io::stdin().lock().read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                return Err(Failure::usage(format!("could not read the standard input: {error}")));
            }
        }
        let done = match String::from_utf8(line) {
            Ok(line) => run_line(session, options, &line),
            Err(_) => Err(Failure::usage("the line is not UTF-8; \"set KEY -\" takes any bytes")),
        };
        match done {
            Ok(Next::Line) => {}
            Ok(Next::End) => break,
            Err(Failure::NobodyReads) => return Err(Failure::NobodyReads),
            Err(Failure::Told { code, message }) => {
                tell(&message);
                last_failure = code as u8;
            }
        }
    }
    Ok(last_failure)
}

/// Talks with somebody at a terminal.
fn edit(session: &mut Session, options: &LineOptions) -> Result<u8, Failure> {
    let mut editor =
        editor(&session.history).map_err(|error| Failure::usage(format!("could not prepare the terminal: {error}")))?;
    if let Some(file) = &session.history.file
        && file.exists()
        && let Err(error) = editor.load_history(file)
    {
        tell(&format!("the history \"{}\" cannot be read: {error}", shown(file)));
    }
    let version = crate::version(&session.program);
    writeln!(io::stdout(), "{version}\nTo quit, press ctrl-c or ctrl-d.")?;
    let mut last_code = 0;
    if session.has_name()
        && let Err(Failure::Told { code, message }) = session.store()
    {
        tell(&message);
        session.forget();
        last_code = code as u8;
    }
    let mut is_history_kept = true;
    loop {
        editor.set_helper(Some(Assistant::new(session)));
        let line = match editor.readline(&prompt(session, last_code)) {
            Ok(line) => line,
            // One that has gone ends as somebody who quits does.
            Err(_) if nobody_reads() => return Err(Failure::NobodyReads),
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => return Ok(0),
            Err(error) => return Err(Failure::usage(format!("could not read a line: {error}"))),
        };
        if let Some(file) = &session.history.file
            && is_history_kept
            && let Err(error) = editor.append_history(file)
        {
            is_history_kept = false;
            tell(&format!("the history \"{}\" cannot be written: {error}", shown(file)));
        }
        session.lines = Some(editor.history().iter().cloned().collect());
        match run_line(session, options, &line) {
            Ok(Next::Line) => last_code = 0,
            Ok(Next::End) => return Ok(0),
            Err(Failure::NobodyReads) => return Err(Failure::NobodyReads),
            Err(Failure::Told { code, message }) => {
                tell(&message);
                last_code = code as u8;
            }
        }
    }
}

fn editor(history: &History) -> rustyline::Result<Editor<Assistant, DefaultHistory>> {
    let config = Config::builder()
        .max_history_size(history.len)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .auto_add_history(true)
        .completion_type(CompletionType::List)
        .bell_style(BellStyle::None)
        .color_mode(if colours() {
            ColorMode::Enabled
        } else {
            ColorMode::Disabled
        })
        .build();
    Editor::with_config(config)
}

fn prompt(session: &Session, last_code: u8) -> String {
    let store = session.connected().map_or("no-conn".into(), shown);
    match last_code {
        0 => format!("{store} # "),
        code => format!("{code} : {store} # "),
    }
}

/// What a line says; `None` if it says nothing.
pub(crate) fn parse(line: &str) -> Result<Option<Parsed<Line>>, Failure> {
    let words = shell_words::split(line.trim_end_matches(['\n', '\r']))
        .map_err(|_| Failure::usage("a quote or a backslash at the end is open; close it"))?;
    if words.is_empty() {
        return Ok(None);
    }
    table::parse_line(&words).map(Some)
}

/// Runs one line.
fn run_line(session: &mut Session, defaults: &LineOptions, line: &str) -> Result<Next, Failure> {
    let Some(parsed) = parse(line)? else {
        return Ok(Next::Line);
    };
    let is_terminal = io::stdout().is_terminal();
    let mut to = BufWriter::new(io::stdout().lock());
    let line = match parsed {
        Parsed::Run(line) => line,
        Parsed::Help(text) => {
            let mut output = Output::new(&mut to, Format::Human, is_terminal);
            output.show(&crate::answer::Answer::Text(text))?;
            output.flush()?;
            return Ok(Next::Line);
        }
    };
    if matches!(line.command, Command::Exit) {
        return Ok(Next::End);
    }
    let format = match Format::from(&line.options) {
        Format::Human => Format::from(defaults),
        format => format,
    };
    let usual_prefix = session.prefix.clone();
    if let Some(prefix) = line.options.prefix {
        session.prefix = prefix;
    }
    let done = commands::run(session, &line.command, &mut Output::new(&mut to, format, is_terminal));
    session.prefix = usual_prefix;
    done.map(|()| Next::Line)
}

/// The lines that the history file has.
pub(crate) fn read_history(history: &History) -> Result<Vec<String>, Failure> {
    let Some(file) = history.file.as_deref().filter(|file| file.exists()) else {
        return Ok(Vec::new());
    };
    load(file, history.len).map_err(|error| Failure::usage(format!("could not read \"{}\": {error}", shown(file))))
}

fn load(file: &Path, len: usize) -> rustyline::Result<Vec<String>> {
    let config = Config::builder().max_history_size(len)?.build();
    let mut history = DefaultHistory::with_config(&config);
    history.load(file)?;
    Ok(history.iter().cloned().collect())
}
