//! What each command does.

use std::fs::OpenOptions as FileOptions;
use std::io::{self, BufReader, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap_complete::Shell;
use regex::Regex;
use rustix::fs::Mode;
use serde_json::json;
use splinter::{Entry, Error, SlotSnapshot, Store, Versioned};

use crate::answer::{Answer, Created};
use crate::attributes;
use crate::failure::{Code, Failure, tell};
use crate::follow;
use crate::labels::Labels;
use crate::latency;
use crate::output::{Format, Output, shown};
use crate::session::{Session, environment};
use crate::stress;
use crate::table::{self, BitsArgs, Command, ConfigArgs, InitArgs, Labelled, STORE_DEFAULT, SumArgs};
use crate::top;
use crate::transfer;
use crate::write::{self, Step};

/// How often a key is looked at that changes while it is.
const LOOKS_MAX: u32 = 100;

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
        Command::Set(arguments) => return write::set(session, arguments, output),
        Command::Mset { entries } => write::mset(session, entries)?,
        Command::Get { key, number } => get(session, key, *number)?,
        Command::Mget { keys } => return mget(session, keys, output),
        Command::Head { key } => {
            let key = session.key(key);
            let store = session.store()?;
            let slot = store.slot_snapshot(&key)?.ok_or_else(|| no_key(&key))?;
            let labels = Labels::of(&store)?.names(slot.labels);
            Answer::Head { key, slot, labels }
        }
        Command::Unset { key, if_epoch } => return write::unset(session, key, *if_epoch, output),
        Command::Append { key, value } => write::append(session, key, value)?,
        Command::Add(SumArgs {
            key,
            by,
            signed,
            checked,
        }) => write::change(session, key, Step::Add { checked: *checked }, *by, *signed)?,
        Command::Sub(SumArgs {
            key,
            by,
            signed,
            checked,
        }) => write::change(session, key, Step::Sub { checked: *checked }, *by, *signed)?,
        Command::And(BitsArgs { key, mask, signed }) => write::change(session, key, Step::And, *mask, *signed)?,
        Command::Or(BitsArgs { key, mask, signed }) => write::change(session, key, Step::Or, *mask, *signed)?,
        Command::Xor(BitsArgs { key, mask, signed }) => write::change(session, key, Step::Xor, *mask, *signed)?,
        Command::Not { key, signed } => write::change(session, key, Step::Not, 0, *signed)?,
        Command::Expire { key, duration } => attributes::expire(session, key, *duration)?,
        Command::Persist { key } => attributes::persist(session, key)?,
        Command::Ttl { key } => attributes::ttl(session, key)?,
        Command::Sweep(arguments) => return follow::sweep(session, arguments, output),
        Command::Pin { key } => attributes::pin(session, key, true)?,
        Command::Unpin { key } => attributes::pin(session, key, false)?,
        Command::Type { key, value_type } => attributes::value_type(session, key, *value_type)?,
        Command::Label(arguments) => attributes::label(session, arguments)?,
        Command::Labels => Answer::LabelNames(Labels::of(&*session.store()?)?),
        Command::List { regex, labelled, long } => list(session, regex.as_deref(), labelled, *long)?,
        Command::Export {
            regex,
            values,
            labelled,
        } => return export(session, regex.as_deref(), labelled, *values, output),
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
        Command::Sync => {
            session.store()?.sync()?;
            Answer::quiet(json!({"synced": true}))
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
            return stress::run(arguments, session, output.format == Format::Json, output.writer());
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
        Command::Set(_) => "set",
        Command::Get { .. } => "get",
        Command::Mset { .. } => "mset",
        Command::Mget { .. } => "mget",
        Command::Head { .. } => "head",
        Command::Unset { .. } => "unset",
        Command::Append { .. } => "append",
        Command::Add(_) => "add",
        Command::Sub(_) => "sub",
        Command::And(_) => "and",
        Command::Or(_) => "or",
        Command::Xor(_) => "xor",
        Command::Not { .. } => "not",
        Command::Expire { .. } => "expire",
        Command::Persist { .. } => "persist",
        Command::Ttl { .. } => "ttl",
        Command::Sweep(_) => "sweep",
        Command::Pin { .. } => "pin",
        Command::Unpin { .. } => "unpin",
        Command::Type { .. } => "type",
        Command::Label(_) => "label",
        Command::Labels => "labels",
        Command::List { .. } => "list",
        Command::Export { .. } => "export",
        Command::Import { .. } => "import",
        Command::Sync => "sync",
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

pub(crate) fn no_key(key: &str) -> Failure {
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

fn get(session: &mut Session, key: &str, number: bool) -> Result<Answer, Failure> {
    let key = session.key(key);
    let entry = session.store()?.get_entry(&key)?.ok_or_else(|| no_key(&key))?;
    if !number {
        return Ok(Answer::Value { key, entry });
    }
    let number = write::number_of(&entry.value, entry.value_type)
        .ok_or_else(|| Failure::usage(format!("\"{key}\" is no number, which has 8 bytes")))?;
    Ok(Answer::line(number.to_string(), json!({"key": key, "number": number})))
}

fn mget(session: &mut Session, keys: &[String], output: &mut Output<'_>) -> Result<(), Failure> {
    let keys: Vec<String> = keys.iter().map(|key| session.key(key)).collect();
    let values = session.store()?.get_many(&keys)?;
    let missing = keys.iter().zip(&values).filter(|(_, value)| value.is_none());
    let missing: Vec<String> = missing.map(|(key, _)| format!("\"{key}\"")).collect();
    output.show(&Answer::Values(keys.into_iter().zip(values).collect()))?;
    if missing.is_empty() {
        return Ok(());
    }
    output.flush()?;
    let message = format!("there is no key {}; \"list\" shows the keys", missing.join(", "));
    Err(Failure::new(Code::NoSuchKey, message))
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
fn listed(session: &mut Session, regex: Option<&str>, labelled: &Labelled) -> Result<(Vec<Entry>, usize), Failure> {
    let regex = expression(regex)?;
    let store = session.store()?;
    let labels = Labels::of(&store)?.bits(&labelled.labels)?;
    let mut entries = Vec::new();
    let mut count = 0;
    for entry in store.list() {
        let entry = entry?;
        count += 1;
        let Some(rest) = entry.key.strip_prefix(&session.prefix) else {
            continue;
        };
        if entry.labels & labels == labels && regex.as_ref().is_none_or(|regex| regex.is_match(rest)) {
            entries.push(entry);
        }
    }
    entries.sort_unstable_by(|a, b| b.epoch.cmp(&a.epoch).then_with(|| a.key.cmp(&b.key)));
    Ok((entries, count))
}

fn list(session: &mut Session, regex: Option<&str>, labelled: &Labelled, long: bool) -> Result<Answer, Failure> {
    let (entries, _) = listed(session, regex, labelled)?;
    let store = session.store()?;
    let labels = Labels::of(&store)?;
    if !long {
        return Ok(Answer::Listing { entries, labels });
    }
    let mut slots = Vec::new();
    for Entry { key, .. } in entries {
        // Unless it was deleted meanwhile.
        if let Some(slot) = store.slot_snapshot(&key)? {
            slots.push((key, slot));
        }
    }
    Ok(Answer::LongListing { slots, labels })
}

fn export(
    session: &mut Session,
    regex: Option<&str>,
    labelled: &Labelled,
    with_values: bool,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    // Scripts name the format, which is the only one.
    let (entries, keys) = listed(session, regex.filter(|&regex| regex != "json"), labelled)?;
    let store = session.store()?;
    let labels = if with_values {
        Labels::of(&store)?
    } else {
        Labels::default()
    };
    let slots = store.geometry().slots();
    output.show(&Answer::ExportStart { slots, keys, labels })?;
    for entry in entries {
        if !with_values {
            output.show(&Answer::ExportedKey { entry, whole: None })?;
            continue;
        }
        // One that was deleted meanwhile is not exported; one that was changed is at least as new as its epoch.
        if let Some(whole) = whole(&store, &entry.key)? {
            let value_bytes = whole.0.value.len();
            let entry = Entry { value_bytes, ..entry };
            let whole = Some(Box::new(whole));
            output.show(&Answer::ExportedKey { entry, whole })?;
        }
    }
    Ok(output.show(&Answer::ExportEnd)?)
}

/// A value and what belongs to its key, of one version unless that changes all the time.
fn whole(store: &Store, key: &str) -> Result<Option<(Versioned, SlotSnapshot)>, Failure> {
    let mut looks = 0;
    loop {
        let (Some(value), Some(slot)) = (store.get_entry(key)?, store.slot_snapshot(key)?) else {
            return Ok(None);
        };
        looks += 1;
        if value.epoch >> 1 == slot.epoch >> 1 || looks == LOOKS_MAX {
            return Ok(Some((value, slot)));
        }
    }
}

fn import(session: &mut Session, path: &Path) -> Result<Answer, Failure> {
    let store = session.store()?;
    let imported = if path == "-" {
        transfer::import(&store, BufReader::new(io::stdin().lock()), None)
    } else {
        let file = std::fs::File::open(path).map_err(|error| Failure::of_file("open", path, &error))?;
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        transfer::import(&store, BufReader::new(file), Some(bytes))
    }?;
    Ok(Answer::Imported(imported))
}

fn check(session: &mut Session, repair: bool, output: &mut Output<'_>) -> Result<(), Failure> {
    let store = session.store()?;
    let (answer, left) = if repair {
        let reports = store.repair()?;
        let left = reports.left.clone();
        (Answer::Repaired(reports), left)
    } else {
        let report = store.check()?;
        let recovery = store.recovery().copied();
        (
            Answer::Checked {
                report: report.clone(),
                recovery,
            },
            report,
        )
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
    let Some(setting) = arguments.setting.as_deref() else {
        return Ok(Answer::Header(store.header_snapshot()?));
    };
    if let Some(value) = &arguments.value {
        let values = table::SETTINGS.iter().find(|(name, _)| *name == setting);
        let values = values.map_or(&[][..], |(_, values)| values);
        if !values.contains(&value.as_str()) {
            let message = format!("{setting} cannot be \"{value}\"; it is one of: {}", values.join(", "));
            return Err(Failure::usage(message));
        }
    }
    let value = arguments.value.as_deref();
    match (setting, value) {
        ("eviction", Some(name)) => store.set_eviction(name.parse()?)?,
        (_, Some(value)) => store.set_auto_vacuum(value == "1")?,
        _ => {}
    }
    let (name, text, json) = match setting {
        "eviction" => {
            let policy = store.eviction()?.name();
            ("eviction", policy.to_string(), json!(policy))
        }
        _ => {
            let on = u8::from(store.auto_vacuum()?);
            ("auto_vacuum", on.to_string(), json!(on))
        }
    };
    let about = json!({name: json});
    Ok(match value {
        Some(_) => Answer::quiet(about),
        None => Answer::line(format!("{:<13}{text}", format!("{name}:")), about),
    })
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
        return Ok(Answer::Told { text, about });
    };
    let mut about = table.find_subcommand(name).map(table::about).unwrap_or_default();
    let help = table::help(table, &before, name).ok_or_else(|| unknown(name))?;
    about["help"] = help.to_string().into();
    let text = table::styled(&help);
    Ok(Answer::Told { text, about })
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
