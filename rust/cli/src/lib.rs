//! `splinterctl` and its other names: the command line of Splinter, which is this crate's [`main`].
//!
//! `table` has the commands, and everything that is made of their names and arguments, which `parse` and `labels` understand.
//! `commands` does what they say, `write` what changes values, `attributes` what changes the rest of a key, `follow` what goes
//! on, and `transfer` what is read from files, all with the `session`'s store; they give an `answer`, which `output` puts into
//! words. `interactive` reads lines, with the help of `complete`. `top`, `latency` and `stress` stand by themselves. `confined`
//! is for those who try what no line can do.

#![forbid(unsafe_code)]

mod answer;
mod attributes;
mod commands;
mod complete;
mod confined;
mod escape;
mod failure;
mod follow;
mod interactive;
mod labels;
mod latency;
mod output;
mod parse;
#[cfg(test)]
mod reference;
mod session;
mod signals;
mod stress;
mod table;
mod top;
mod transfer;
mod write;

use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

pub use confined::Confined;
use failure::{Failure, tell};
use output::{Format, Output};
use session::{History, Program, Session};
use table::Parsed;

/// What the program says about itself.
fn version(name: &str) -> String {
    format!(
        "{name} version {} build {}",
        env!("CARGO_PKG_VERSION"),
        env!("SPLINTER_BUILD")
    )
}

/// Does what the process's arguments say, and returns what the process ends with.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // Asked now, for one that has gone is none any more.
    let is_terminal = io::stdout().is_terminal();
    match run(arguments, is_terminal) {
        Ok(code) => code.into(),
        Err(Failure::NobodyReads) => {
            if is_terminal {
                signals::hang_up();
            }
            ExitCode::SUCCESS
        }
        Err(Failure::Told { code, message }) => {
            tell(&message);
            (code as u8).into()
        }
    }
}

fn run(arguments: Vec<OsString>, is_terminal: bool) -> Result<u8, Failure> {
    let program = Program::called(arguments.first().map(OsString::as_os_str));
    let invocation = match table::parse_invocation(&program.name, arguments)? {
        Parsed::Run(invocation) => invocation,
        Parsed::Help(text) => return print(&text),
    };
    if invocation.program.version {
        return print(&(version(&program.name) + "\n"));
    }
    if invocation.program.list_modules {
        return print(&if invocation.line.json {
            format!("{}\n", table::abouts())
        } else {
            table::summary()
        });
    }
    let history = History::new(&invocation.program)?;
    let prefix = invocation.line.prefix.clone();
    let mut session = Session::new(&program, &invocation.store, prefix, history)?;
    let Some(command) = invocation.command else {
        if program.is_interactive && !invocation.program.no_repl {
            let code = interactive::run(&mut session, &invocation.line)?;
            return session.close().map(|()| code);
        }
        let name = program.name;
        return Err(Failure::usage(format!(
            "{name}: no command; \"{name} help\" lists them"
        )));
    };
    let mut to = BufWriter::new(io::stdout().lock());
    let mut output = Output::new(&mut to, Format::from(&invocation.line), is_terminal);
    let done = commands::run(&mut session, &command, &mut output);
    // It is synced whatever has become of the command.
    let closed = session.close();
    done.and(closed).map(|()| 0)
}

fn print(text: &str) -> Result<u8, Failure> {
    let mut to = io::stdout().lock();
    to.write_all(text.as_bytes())?;
    to.flush()?;
    Ok(0)
}
