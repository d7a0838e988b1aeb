//! The program's parsers and those of its commands that come to an end by themselves, for anybody to throw anything at.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use rustyline::Context;
use rustyline::completion::Completer as _;
use rustyline::hint::{Hint as _, Hinter as _};
use rustyline::history::DefaultHistory;

use crate::commands;
use crate::complete::Assistant;
use crate::failure::Failure;
use crate::interactive;
use crate::output::{Format, Output};
use crate::session::{History, Program, Session};
use crate::table::{self, Command, Line, LineOptions, Parsed};
use crate::transfer;

/// A session that is given lines by somebody who may mean harm.
///
/// Every line is parsed as `splinterctl` does it. A command is run only if it comes to an end by itself, and touches nothing but
/// the store: not another file, the standard input, or the terminal.
#[derive(Debug)]
pub struct Confined(Session);

impl Confined {
    /// A session with the store at a path.
    ///
    /// # Errors
    ///
    /// A line that says why the store cannot be opened.
    pub fn new(store: &Path) -> Result<Self, String> {
        let told = |failure: Failure| failure.to_string();
        let program = Program::called(Some(OsStr::new("splinterpctl")));
        let arguments = ["splinterpctl", "--use"].map(OsString::from);
        let arguments = arguments.into_iter().chain([store.into()]).collect();
        let Parsed::Run(invocation) = table::parse_invocation(&program.name, arguments).map_err(told)? else {
            return Err("help was asked for".into());
        };
        let history = History { file: None, len: 0 };
        let mut session = Session::new(&program, &invocation.store, Some(String::new()), history).map_err(told)?;
        session.store().map_err(told)?;
        Ok(Self(session))
    }

    /// Does what a process's arguments say, the program's name first.
    ///
    /// # Errors
    ///
    /// The line that the program would end with.
    pub fn arguments(&mut self, arguments: Vec<OsString>) -> Result<(), String> {
        let program = Program::called(arguments.first().map(OsString::as_os_str));
        match table::parse_invocation(&program.name, arguments) {
            Ok(Parsed::Run(invocation)) => match invocation.command {
                Some(command) => self.run(command, invocation.line),
                None => Ok(()),
            },
            Ok(Parsed::Help(_)) => Ok(()),
            Err(failure) => Err(failure.to_string()),
        }
    }

    /// Does what a line of the interactive mode says.
    ///
    /// # Errors
    ///
    /// What the program would answer.
    pub fn line(&mut self, line: &str) -> Result<(), String> {
        match interactive::parse(line) {
            Ok(Some(Parsed::Run(Line { options, command }))) => self.run(command, options),
            Ok(Some(Parsed::Help(_)) | None) => Ok(()),
            Err(failure) => Err(failure.to_string()),
        }
    }

    /// What could stand in a line at a position, which is between two of its characters, and what the hint says.
    pub fn complete(&self, line: &str, position: usize) -> (Vec<String>, Option<String>) {
        let assistant = Assistant::new(&self.0);
        let history = DefaultHistory::new();
        let context = Context::new(&history);
        let completed = assistant.complete(line, position, &context);
        let (_, candidates) = completed.unwrap_or_default();
        let words = candidates.into_iter().map(|candidate| candidate.replacement);
        let hint = assistant.hint(line, position, &context);
        (words.collect(), hint.map(|hint| hint.display().into()))
    }

    /// Imports a document, and returns how many keys that set.
    ///
    /// # Errors
    ///
    /// What the program would answer.
    pub fn import(&mut self, document: &[u8]) -> Result<u64, String> {
        let imported = self
            .0
            .store()
            .and_then(|store| transfer::import(&store, document, None))
            .map_err(|failure| failure.to_string())?;
        Ok(imported.keys)
    }

    fn run(&mut self, command: Command, options: LineOptions) -> Result<(), String> {
        if !keeps_to_the_store(&command) {
            return Ok(());
        }
        let format = Format::from(&options);
        self.0.prefix = options.prefix.unwrap_or_default();
        let mut to = io::sink();
        let done = commands::run(&mut self.0, &command, &mut Output::new(&mut to, format, true));
        self.0.prefix.clear();
        done.map_err(|failure| failure.to_string())
    }
}

/// Whether a command needs nothing but the store, and comes to an end.
fn keeps_to_the_store(command: &Command) -> bool {
    match command {
        Command::Set(arguments) => arguments.value != "-",
        Command::Append { value, .. } => value != "-",
        Command::Mset { entries } => entries.iter().all(|word| word != "-"),
        Command::Sweep(arguments) => !arguments.follow,
        Command::Man { dir, .. } => dir.is_none(),
        Command::Get { .. }
        | Command::Mget { .. }
        | Command::Head { .. }
        | Command::Unset { .. }
        | Command::Add(_)
        | Command::Sub(_)
        | Command::And(_)
        | Command::Or(_)
        | Command::Xor(_)
        | Command::Not { .. }
        | Command::Expire { .. }
        | Command::Persist { .. }
        | Command::Ttl { .. }
        | Command::Pin { .. }
        | Command::Unpin { .. }
        | Command::Type { .. }
        | Command::Label(_)
        | Command::Labels
        | Command::List { .. }
        | Command::Export { .. }
        | Command::Check { .. }
        | Command::Purge
        | Command::Config(_)
        | Command::Help { .. }
        | Command::Clear
        | Command::Completions { .. }
        | Command::Exit => true,
        Command::Init(_)
        | Command::Use { .. }
        | Command::Import { .. }
        | Command::Backup { .. }
        | Command::Sync
        | Command::Watch(_)
        | Command::Changes(_)
        | Command::Monitor(_)
        | Command::Stat(_)
        | Command::Top(_)
        | Command::Latency(_)
        | Command::Stress(_)
        | Command::Drop { .. }
        | Command::Hist { .. } => false,
    }
}
