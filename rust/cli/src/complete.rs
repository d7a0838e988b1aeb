//! What helps while a line is typed: completion of commands, flags, keys and names, and hints.

use std::sync::Arc;

use clap::Arg;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use splinter::Store;

use crate::escape;
use crate::session::{Kind, Session};
use crate::table::{self, SETTINGS};

/// More than anybody reads.
const CANDIDATES_MAX: usize = 1000;

/// Helps with one line.
pub(crate) struct Assistant {
    table: clap::Command,
    store: Option<Arc<Store>>,
    prefix: String,
    /// Names of stores, where they are not files.
    stores: Option<Vec<String>>,
    files: FilenameCompleter,
}

/// What is typed before the cursor.
#[derive(Debug, PartialEq, Eq)]
struct Typed {
    /// The words that are complete.
    words: Vec<String>,
    /// Where the word begins that the cursor stands behind, and what it says so far.
    start: usize,
    partial: String,
}

impl Typed {
    /// Splits as the line will be split when it is complete.
    fn new(line: &str) -> Self {
        let mut typed = Self {
            words: Vec::new(),
            start: 0,
            partial: String::new(),
        };
        let mut quote = None;
        let mut is_in_word = false;
        let mut characters = line.char_indices();
        while let Some((at, character)) = characters.next() {
            let separates = quote.is_none() && matches!(character, ' ' | '\t' | '\n');
            if !is_in_word && !separates {
                (typed.start, is_in_word) = (at, true);
            }
            match (quote, character) {
                (None, ' ' | '\t' | '\n') => {
                    if is_in_word {
                        typed.words.push(std::mem::take(&mut typed.partial));
                        is_in_word = false;
                    }
                }
                (None, '\'' | '"') => quote = Some(character),
                (Some(open), character) if open == character => quote = None,
                (None | Some('"'), '\\') => typed.partial.extend(characters.next().map(|(_, next)| next)),
                _ => typed.partial.push(character),
            }
        }
        if !is_in_word {
            typed.start = line.len();
        }
        typed
    }
}

impl Assistant {
    pub(crate) fn new(session: &Session) -> Self {
        let mut table = table::line();
        table.build();
        Self {
            table,
            store: session.connection().cloned(),
            prefix: session.prefix.clone(),
            stores: (session.kind() == Kind::Memory).then(|| session.known_stores()),
            files: FilenameCompleter::new(),
        }
    }

    /// The command that was typed, and which of its words comes next.
    fn command(&self, words: &[String]) -> Option<(&clap::Command, usize, Option<&Arg>)> {
        let at = table::command_at(&self.table, words)?;
        let command = self.table.find_subcommand(&words[at])?;
        let mut place = 0;
        let mut pending = None;
        for word in &words[at + 1..] {
            if pending.take().is_some() {
                continue;
            }
            match table::option_of(command, word) {
                Some(option) => pending = Some(option).filter(|option| option.get_action().takes_values()),
                None if word.starts_with("--") => {}
                None => place += 1,
            }
        }
        Some((command, place, pending))
    }

    fn keys(&self, partial: &str) -> Vec<String> {
        let Some(store) = &self.store else {
            return Vec::new();
        };
        let keys = store
            .keys_with_prefix(format!("{}{partial}", self.prefix))
            .filter_map(Result::ok);
        keys.filter_map(|key| key.strip_prefix(&self.prefix).map(String::from))
            // Those cannot be typed.
            .filter(|key| !key.contains(char::is_control))
            .take(CANDIDATES_MAX)
            .collect()
    }

    /// Names of labels, behind the sign that was typed.
    fn labels(&self, partial: &str) -> Vec<String> {
        let names = self.store.as_ref().and_then(|store| store.label_names().ok());
        let sign = partial.get(..1).filter(|sign| matches!(*sign, "+" | "-")).unwrap_or("");
        let names = names.into_iter().flatten().map(|(_, name)| format!("{sign}{name}"));
        names.filter(|name| !name.contains(char::is_control)).collect()
    }

    /// What a word can be that an argument takes, behind those that are typed; `None`: a file.
    fn values(&self, command: &clap::Command, argument: &Arg, words: &[String], partial: &str) -> Option<Vec<String>> {
        // What a setting can be depends on which it is.
        if let Some((_, values)) = SETTINGS
            .iter()
            .find(|(name, _)| words.last().is_some_and(|last| last == name))
            && command.get_name() == "config"
        {
            return Some(values.iter().map(ToString::to_string).collect());
        }
        let possible = argument.get_possible_values();
        if !possible.is_empty() {
            return Some(possible.iter().map(|value| value.get_name().to_string()).collect());
        }
        match argument.get_value_names()?.first()?.as_str() {
            "KEY" => Some(self.keys(partial)),
            "LABEL" => Some(self.labels(partial)),
            "COMMAND" => Some(table::names()),
            "STORE" => self.stores.clone(),
            "FILE" | "DIR" | "PATH" => None,
            _ => Some(Vec::new()),
        }
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, context: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = Typed::new(&line[..position]);
        let command = self.command(&typed.words);
        let words = match (&command, typed.partial.starts_with('-')) {
            (Some((command, ..)), true) => {
                let mut words = flags(command);
                if command.get_name() == "label" {
                    words.extend(self.labels(&typed.partial));
                }
                words
            }
            (None, true) => flags(&self.table),
            (None, false) => table::names(),
            (Some((command, place, pending)), false) => {
                let positionals: Vec<&Arg> = command.get_positionals().collect();
                let argument = pending.or_else(|| {
                    let last = positionals
                        .last()
                        .filter(|last| last.get_action().takes_values() && is_list(last));
                    positionals.get(*place).or(last).copied()
                });
                match argument.map(|argument| self.values(command, argument, &typed.words, &typed.partial)) {
                    Some(Some(words)) => words,
                    Some(None) => {
                        let (start, files) = self.files.complete(line, position, context)?;
                        return Ok((start, files));
                    }
                    None => Vec::new(),
                }
            }
        };
        let mut words: Vec<_> = words
            .into_iter()
            .filter(|word| word.starts_with(&typed.partial))
            .collect();
        words.sort_unstable();
        words.dedup();
        let only = words.len() == 1;
        let candidates = words.into_iter().map(|word| Pair {
            display: escape::text(&word).into_owned(),
            // The only one is complete.
            replacement: shell_words::quote(&word).into_owned() + if only { " " } else { "" },
        });
        Ok((typed.start, candidates.collect()))
    }
}

fn is_list(argument: &Arg) -> bool {
    argument.get_num_args().is_some_and(|range| range.max_values() > 1)
        || matches!(argument.get_action(), clap::ArgAction::Append)
}

fn flags(command: &clap::Command) -> Vec<String> {
    let options = command.get_arguments().filter(|argument| !argument.is_hide_set());
    options
        .filter_map(|option| option.get_long())
        .map(|name| format!("--{name}"))
        .collect()
}

/// What is shown behind the cursor.
pub(crate) struct Hint {
    display: String,
    /// How much of it the right arrow takes.
    complete: usize,
}

impl rustyline::hint::Hint for Hint {
    fn display(&self) -> &str {
        &self.display
    }

    fn completion(&self) -> Option<&str> {
        (self.complete > 0).then(|| &self.display[..self.complete])
    }
}

impl Hinter for Assistant {
    type Hint = Hint;

    fn hint(&self, line: &str, position: usize, _: &Context<'_>) -> Option<Hint> {
        if position < line.len() || line.trim().is_empty() {
            return None;
        }
        let typed = Typed::new(line);
        let usage = |command: &clap::Command, place: usize| {
            let names = command.get_positionals().skip(place).filter_map(|argument| {
                let name = argument.get_value_names()?.first()?;
                let dots = if is_list(argument) { "..." } else { "" };
                Some(if argument.is_required_set() {
                    format!("{name}{dots}")
                } else {
                    format!("[{name}{dots}]")
                })
            });
            names.collect::<Vec<_>>().join(" ")
        };
        let (display, complete) = match self.command(&typed.words) {
            None if typed.words.is_empty() && !typed.partial.is_empty() => {
                let mut fitting = self.table.get_subcommands().filter(|command| {
                    command.get_name() == typed.partial || command.get_name().starts_with(&typed.partial)
                });
                let command = match self.table.find_subcommand(&typed.partial) {
                    Some(command) => command,
                    None => fitting.next().filter(|_| fitting.next().is_none())?,
                };
                let rest = command.get_name().strip_prefix(&typed.partial).unwrap_or("");
                (format!("{rest} {}", usage(command, 0)), rest.len())
            }
            None => return None,
            Some((_, _, Some(_))) => return None,
            Some((command, place, None)) if typed.start == line.len() => (usage(command, place), 0),
            Some(_) if typed.partial.starts_with('-') => return None,
            Some((command, place, None)) => (format!(" {}", usage(command, place + 1)), 0),
        };
        let is_empty = display.trim().is_empty();
        (!is_empty).then(|| Hint {
            display: display.trim_end().to_string(),
            complete,
        })
    }
}

impl Highlighter for Assistant {
    /// Called only where colours are wanted.
    fn highlight_hint<'h>(&self, hint: &'h str) -> std::borrow::Cow<'h, str> {
        format!("\x1b[2m{hint}\x1b[0m").into()
    }
}

impl Validator for Assistant {}

impl Helper for Assistant {}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> (Vec<String>, usize, String) {
        let typed = Typed::new(line);
        (typed.words, typed.start, typed.partial)
    }

    #[test]
    fn the_word_at_the_cursor_is_found_as_it_will_be_split() {
        let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        assert_eq!(typed(""), (vec![], 0, "".into()));
        assert_eq!(typed("ge"), (vec![], 0, "ge".into()));
        assert_eq!(typed("get "), (words(&["get"]), 4, "".into()));
        assert_eq!(typed("get 'a b"), (words(&["get"]), 4, "a b".into()));
        assert_eq!(typed("set 'a b' c\\ d"), (words(&["set", "a b"]), 10, "c d".into()));
        assert_eq!(typed("get ''"), (words(&["get"]), 4, "".into()));
    }
}
