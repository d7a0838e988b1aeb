//! What each command does.

use std::ffi::OsStr;
use std::fs::OpenOptions as FileOptions;
use std::io::{self, BufReader, BufWriter, IsTerminal, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap_complete::Shell;
use regex::Regex;
use rustix::fs::Mode;
use splinter::{Entry, Error};

use crate::answer::{Answer, Created};
use crate::failure::{Code, Failure, tell};
use crate::follow;
use crate::latency;
use crate::output::{Format, Output, shown};
use crate::session::{Kind, Session, environment};
use crate::stress;
use crate::table::{self, Command, ConfigArgs, InitArgs, STORE_DEFAULT};
use crate::top;
use crate::transfer;

/// Runs one command and prints what it finds out.
pub(crate) fn run(session: &mut Session, command: &Command, output: &mut Output<'_>) -> Result<(), Failure> {
    let name = name_of(command);
    let result = dispatch(session, command, output).and_then(|()| Ok(output.flush()?));
    result.map_err(|failure| match failure {
        Failure::Told { code, message } => Failure::new(code, format!("{name}: {message}")),
        Failure::NobodyReads => Failure::NobodyReads,
    })
}

fn dispatch(session: &mut Session, command: &Command, output: &mut Output<'_>) -> Result<(), Failure> {
    let answer = match command {
        Command::Init(arguments) => init(session, arguments)?,
        Command::Use { store } => {
            session.connect(store)?;
            tell(&format!("use: now connected to {}", shown(store)));
            Answer::Connected(store.clone())
        }
        Command::Set { key, value } => set(session, key, value)?,
        Command::Get { key } => {
            let key = session.key(key);
            let value = session.store()?.get_vec(&key)?.ok_or_else(|| no_key(&key))?;
            Answer::Value { key, value }
        }
        Command::Head { key } => {
            let key = session.key(key);
            let slot = session.store()?.slot_snapshot(&key)?.ok_or_else(|| no_key(&key))?;
            Answer::Head { key, slot }
        }
        Command::Unset { key } => {
            let key = session.key(key);
            let value_bytes = session.store()?.unset(&key)?.ok_or_else(|| no_key(&key))?;
            Answer::Deleted { key, value_bytes }
        }
        Command::List { regex } => Answer::Listing(listed(session, regex.as_deref())?.0),
        Command::Export { regex, values } => return export(session, regex.as_deref(), *values, output),
        Command::Import { file } => import(session, file)?,
        Command::Backup { file } => {
            let store = session.store()?;
            store.backup(file).map_err(|error| match error {
                Error::Exists => {
                    let message = "exists already and was left as it is; choose another name";
                    Failure::new(Code::Exists, format!("\"{}\" {message}", shown(file)))
                }
                error => no_directory(file, &error).unwrap_or_else(|| error.into()),
            })?;
            Answer::Saved(file.clone())
        }
        Command::Purge => Answer::Purged {
            slots: session.store()?.purge()?,
        },
        Command::Check { repair } => return check(session, *repair, output),
        Command::Config(arguments) => config(session, arguments)?,
        Command::Watch(arguments) => return follow::watch(session, arguments, output),
        Command::Changes(arguments) => return follow::changes(session, arguments, output),
        Command::Monitor(arguments) => return follow::monitor(session, arguments, output),
        Command::Stat(arguments) => return follow::stat(session, arguments, output),
        Command::Top(arguments) => {
            let store = session.store()?;
            return top::run(
                arguments,
                &store,
                &session.prefix,
                output.format == Format::Json,
                output.writer(),
            );
        }
        Command::Latency(arguments) => {
            return latency::run(arguments, output.format == Format::Json, output.writer());
        }
        Command::Stress(arguments) => {
            let is_memory = session.kind() == Kind::Memory;
            return stress::run(arguments, is_memory, output.format == Format::Json, output.writer());
        }
        Command::Drop { store, yes } => drop_store(session, store, *yes)?,
        Command::Hist { regex } => history(session, regex.as_deref())?,
        Command::Help { command } => help(session, command.as_deref())?,
        Command::Clear => Answer::Clear,
        Command::Completions { shell } => Answer::Text(completions(session, *shell)?),
        Command::Man { command, dir } => man(session, command.as_deref(), dir.as_deref())?,
        Command::Exit => return Ok(()),
    };
    Ok(output.show(&answer)?)
}

/// The name by which a command is typed.
fn name_of(command: &Command) -> &'static str {
    match command {
        Command::Init(_) => "init",
        Command::Use { .. } => "use",
        Command::Set { .. } => "set",
        Command::Get { .. } => "get",
        Command::Head { .. } => "head",
        Command::Unset { .. } => "unset",
        Command::List { .. } => "list",
        Command::Export { .. } => "export",
        Command::Import { .. } => "import",
        Command::Backup { .. } => "backup",
        Command::Check { .. } => "check",
        Command::Purge => "purge",
        Command::Config(_) => "config",
        Command::Watch(_) => "watch",
        Command::Changes(_) => "changes",
        Command::Monitor(_) => "monitor",
        Command::Stat(_) => "stat",
        Command::Top(_) => "top",
        Command::Latency(_) => "latency",
        Command::Stress(_) => "stress",
        Command::Drop { .. } => "drop",
        Command::Hist { .. } => "hist",
        Command::Help { .. } => "help",
        Command::Clear => "clear",
        Command::Completions { .. } => "completions",
        Command::Man { .. } => "man",
        Command::Exit => "exit",
    }
}

fn no_key(key: &str) -> Failure {
    Failure::new(
        Code::NoSuchKey,
        format!("there is no key \"{key}\"; \"list\" shows the keys"),
    )
}

fn init(session: &mut Session, arguments: &InitArgs) -> Result<Answer, Failure> {
    let (slots, maxlen) = (arguments.slots(), arguments.maxlen());
    let name = arguments.store.clone().unwrap_or_else(|| PathBuf::from(STORE_DEFAULT));
    let mut options = session.options();
    if let Some(slots) = slots {
        options = options.slots(slots);
    }
    if let Some(bytes) = maxlen {
        options = options.max_value_bytes(bytes);
    }
    if let Some(bytes) = arguments.max_key {
        options = options.max_key_bytes(bytes);
    }
    if let Some(entries) = arguments.journal {
        options = options.journal_entries(entries);
    }
    let created = match umask()? {
        Some(mask) => {
            let before = rustix::process::umask(mask);
            let created = options.mode(0o666).create(&name);
            rustix::process::umask(before);
            created
        }
        None => options.create(&name),
    };
    let store = created.map_err(|error| no_directory(&name, &error).unwrap_or_else(|| session.about(&name, &error)))?;
    Ok(Answer::Created(Created {
        is_default: arguments.store.is_none(),
        store: name,
        slots,
        maxlen,
        header: store.header_snapshot()?,
    }))
}

/// What it means that something could not be created, if it is the directory that is missing.
fn no_directory(path: &Path, error: &Error) -> Option<Failure> {
    let is_missing = error.os_error() == Some(rustix::io::Errno::NOENT.raw_os_error());
    is_missing.then(|| {
        let path = shown(path);
        Failure::usage(format!(
            "\"{path}\" is in a directory that does not exist; make it first"
        ))
    })
}

/// Permissions that new stores are not to have.
fn umask() -> Result<Option<Mode>, Failure> {
    let Some(text) = environment("SPLINTER_DEFAULT_UMASK") else {
        return Ok(None);
    };
    let mask = text
        .to_str()
        .and_then(|text| u32::from_str_radix(text, 8).ok())
        .filter(|&mask| mask <= 0o777);
    match mask {
        Some(mask) => Ok(Some(Mode::from_bits_truncate(mask))),
        None => Err(Failure::usage(format!(
            "SPLINTER_DEFAULT_UMASK is \"{}\": make it an octal number of up to 777",
            text.to_string_lossy()
        ))),
    }
}

fn set(session: &mut Session, key: &str, value: &OsStr) -> Result<Answer, Failure> {
    let key = session.key(key);
    let store = session.store()?;
    let epoch = if value == "-" {
        let max = u64::from(store.geometry().max_value_bytes());
        let mut bytes = Vec::new();
        // No more than shows that it is too much.
        io::stdin()
            .lock()
            .take(max + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::usage(format!("could not read the standard input: {error}")))?;
        if bytes.len() as u64 > max {
            let message = format!(
                "the standard input has more than {max} bytes, the longest value of this store; \
                 \"init --maxlen\" makes a store for longer ones"
            );
            return Err(Failure::new(Code::TooLarge, message));
        }
        store.set(&key, bytes)?
    } else {
        store.set(&key, value.as_bytes())?
    };
    Ok(Answer::Stored { key, epoch })
}

/// A regular expression of the user's.
fn expression(regex: Option<&str>) -> Result<Option<Regex>, Failure> {
    regex
        .map(|text| {
            Regex::new(text).map_err(|error| {
                let complaint = error.to_string();
                let complaint = complaint
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ");
                Failure::usage(format!("\"{text}\" is no regular expression: {complaint}"))
            })
        })
        .transpose()
}

/// Keys that are to be listed, the last changed first, and how many keys there are in all.
fn listed(session: &mut Session, regex: Option<&str>) -> Result<(Vec<Entry>, usize), Failure> {
    let regex = expression(regex)?;
    let store = session.store()?;
    let mut entries = Vec::new();
    let mut count = 0;
    for entry in store.list() {
        let entry = entry?;
        count += 1;
        let Some(rest) = entry.key.strip_prefix(&session.prefix) else {
            continue;
        };
        if regex.as_ref().is_none_or(|regex| regex.is_match(rest)) {
            entries.push(entry);
        }
    }
    entries.sort_unstable_by(|a, b| b.epoch.cmp(&a.epoch).then_with(|| a.key.cmp(&b.key)));
    Ok((entries, count))
}

fn export(
    session: &mut Session,
    regex: Option<&str>,
    with_values: bool,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    // Scripts name the format, which is the only one.
    let (entries, keys) = listed(session, regex.filter(|&regex| regex != "json"))?;
    let store = session.store()?;
    let slots = store.geometry().slots();
    output.show(&Answer::ExportStart { slots, keys })?;
    for entry in entries {
        if !with_values {
            output.show(&Answer::ExportedKey { entry, value: None })?;
            continue;
        }
        // One that was deleted meanwhile is not exported; one that was changed is at least as new as its epoch.
        if let Some(value) = store.get_vec(&entry.key)? {
            let value_bytes = value.len();
            let entry = Entry { value_bytes, ..entry };
            let value = Some(value);
            output.show(&Answer::ExportedKey { entry, value })?;
        }
    }
    Ok(output.show(&Answer::ExportEnd)?)
}

fn import(session: &mut Session, path: &Path) -> Result<Answer, Failure> {
    let store = session.store()?;
    let keys = if path == "-" {
        transfer::import(&store, BufReader::new(io::stdin().lock()), None)
    } else {
        let file = std::fs::File::open(path).map_err(|error| Failure::of_file("open", path, &error))?;
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        transfer::import(&store, BufReader::new(file), Some(bytes))
    }?;
    Ok(Answer::Imported { keys })
}

fn check(session: &mut Session, repair: bool, output: &mut Output<'_>) -> Result<(), Failure> {
    let store = session.store()?;
    let (answer, left) = if repair {
        let reports = store.repair()?;
        let left = reports.left.clone();
        (Answer::Repaired(reports), left)
    } else {
        let report = store.check()?;
        (Answer::Checked(report.clone()), report)
    };
    output.show(&answer)?;
    if !left.is_damaged() {
        return Ok(());
    }
    output.flush()?;
    let advice = if repair {
        "what is left cannot be repaired; \"export --values\" saves what can be read"
    } else {
        "\"backup\" it, then try \"check --repair\""
    };
    Err(Failure::new(Code::NotAStore, format!("the store is damaged; {advice}")))
}

fn config(session: &mut Session, arguments: &ConfigArgs) -> Result<Answer, Failure> {
    let store = session.store()?;
    match (&arguments.setting, &arguments.value) {
        (None, _) => Ok(Answer::Header(store.header_snapshot()?)),
        (Some(_), None) => {
            let on = store.auto_vacuum()?;
            Ok(Answer::AutoVacuum { on, is_new: false })
        }
        (Some(_), Some(value)) => {
            let on = value == "1";
            store.set_auto_vacuum(on)?;
            Ok(Answer::AutoVacuum { on, is_new: true })
        }
    }
}

fn drop_store(session: &mut Session, name: &Path, yes: bool) -> Result<Answer, Failure> {
    if !yes {
        if !io::stdin().is_terminal() {
            return Err(Failure::usage("nobody can be asked here; add --yes"));
        }
        // It cannot be answered if it cannot be read.
        write!(io::stderr(), "Remove '{}' with all that is in it? [y/N] ", shown(name))?;
        let mut line = String::new();
        // An end of the input, or what is no text, is not a yes.
        let _ = io::stdin().read_line(&mut line);
        if !matches!(line.trim(), "y" | "Y" | "yes" | "Yes" | "YES") {
            return Err(Failure::new(
                Code::ConditionNotMet,
                "nothing was removed; answer \"y\" to remove it",
            ));
        }
    }
    session.remove(name)?;
    Ok(Answer::Removed(name.into()))
}

fn history(session: &Session, regex: Option<&str>) -> Result<Answer, Failure> {
    let regex = expression(regex)?;
    let lines = match &session.lines {
        Some(lines) => lines.clone(),
        None => crate::interactive::read_history(&session.history)?,
    };
    let numbered = (1..).zip(lines);
    let is_meant = |line: &str| regex.as_ref().is_none_or(|regex| regex.is_match(line));
    Ok(Answer::History(numbered.filter(|(_, line)| is_meant(line)).collect()))
}

fn help(session: &Session, command: Option<&str>) -> Result<Answer, Failure> {
    let (table, before) = if session.is_interactive {
        (table::line(), String::new())
    } else {
        (table::program(&session.program), format!("{} ", session.program))
    };
    let Some(name) = command else {
        let text = table::styled(&table.clone().render_help());
        let about = table::abouts();
        return Ok(Answer::Help { text, about });
    };
    let mut about = table.find_subcommand(name).map(table::about).unwrap_or_default();
    let help = table::help(table, &before, name).ok_or_else(|| unknown(name))?;
    about["help"] = help.to_string().into();
    let text = table::styled(&help);
    Ok(Answer::Help { text, about })
}

fn unknown(command: &str) -> Failure {
    Failure::usage(format!(
        "there is no command \"{command}\"; \"help\" lists the commands"
    ))
}

fn completions(session: &Session, shell: Shell) -> Result<String, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(
        shell,
        &mut table::program(&session.program),
        &session.program,
        &mut script,
    );
    String::from_utf8(script).map_err(|_| Failure::usage("the program's name is no text"))
}

fn man(session: &Session, command: Option<&str>, directory: Option<&Path>) -> Result<Answer, Failure> {
    let mut table = table::program(&session.program);
    if let Some(directory) = directory {
        table.build();
        // The main page has the same name as its command in the pages of the commands.
        let names = table
            .get_subcommands()
            .map(|command| command.get_name().to_string())
            .collect::<Vec<_>>();
        write_page(&table, directory, &session.program)?;
        for name in names {
            if let Some(command) = page_of(&table, &session.program, &name) {
                write_page(&command, directory, &format!("{}-{name}", session.program))?;
            }
        }
        return Ok(Answer::Pages(directory.into()));
    }
    table.build();
    let page = match command {
        Some(name) => page_of(&table, &session.program, name).ok_or_else(|| unknown(name))?,
        None => table,
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    Ok(Answer::Text(String::from_utf8_lossy(&text).into_owned()))
}

/// A command of a built table, as a page of its own names it.
fn page_of(table: &clap::Command, program: &str, name: &str) -> Option<clap::Command> {
    let command = table.find_subcommand(name)?;
    let title = format!("{program}-{}", command.get_name());
    Some(command.clone().name(title.clone()).display_name(title))
}

fn write_page(command: &clap::Command, directory: &Path, name: &str) -> Result<(), Failure> {
    let path = directory.join(format!("{name}.1"));
    let write = || -> io::Result<()> {
        let file = FileOptions::new().write(true).create(true).truncate(true).open(&path)?;
        let mut to = BufWriter::new(file);
        clap_mangen::Man::new(command.clone()).render(&mut to)?;
        to.flush()
    };
    write().map_err(|error| Failure::of_file("write", &path, &error))
}
