//! The table of commands: what parses a command line, a line of the interactive mode, and what help, completions, man pages
//! and docs/commands.md are made of.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use serde_json::{Value, json};
use splinter::ValueType;

use crate::failure::Failure;
use crate::latency::LatencyArgs;
use crate::parse;
use crate::stress::StressArgs;
use crate::top::TopArgs;

/// The store that `init` creates if none is named.
pub(crate) const STORE_DEFAULT: &str = "splinter_debug";
/// What is above the options that every command has.
pub(crate) const FOR_ALL: &str = "Options of every command";
const ENVIRONMENT: &str = "\
Environment:
  SPLINTER_DEFAULT_STORE  as --use
  SPLINTER_NS_PREFIX      as --prefix
  SPLINTER_HISTORY_FILE   as --history-file
  SPLINTER_HISTORY_LEN    as --history-len
  SPLINTER_DEFAULT_UMASK  permissions that stores are created without, in octal
  NO_COLOR                no colours if it is set

Exit codes:
  0   done
  1   usage, and what has no number of its own
  2   not connected, or no such store
  3   no such key
  4   store full
  5   key or value too large
  6   busy
  7   timed out
  8   not a store, corrupt or incompatible
  9   permission
  10  already exists
  11  condition not met

Names:
  splinterctl    shared memory, one command
  splinter_cli   shared memory, interactive if no command is given
  splinterpctl   files, one command
  splinterp_cli  files, interactive if no command is given";

/// Reads and writes the stores that the processes of this machine share.
#[derive(Debug, Parser)]
#[command(
    disable_help_subcommand = true,
    disable_version_flag = true,
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands",
    after_help = ENVIRONMENT
)]
pub(crate) struct Invocation {
    #[command(flatten)]
    pub(crate) program: ProgramOptions,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
    #[command(flatten)]
    pub(crate) line: LineOptions,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// A line of the interactive mode.
#[derive(Debug, Parser)]
#[command(
    name = "splinter_cli",
    no_binary_name = true,
    disable_help_subcommand = true,
    help_template = "{all-args}",
    subcommand_help_heading = "Commands"
)]
pub(crate) struct Line {
    #[command(flatten)]
    pub(crate) options: LineOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What is about the program and not about a command.
#[derive(Debug, Args)]
pub(crate) struct ProgramOptions {
    /// File that keeps the lines typed [default: ~/.splinter_history]
    #[arg(short = 'H', long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) history_file: Option<PathBuf>,
    /// How many lines are kept [default: 1000]
    #[arg(short = 'l', long, value_name = "N")]
    pub(crate) history_len: Option<usize>,
    /// List the commands
    #[arg(short = 'L', long)]
    pub(crate) list_modules: bool,
    /// Run a command and exit, whatever the program's name
    #[arg(short = 'n', long)]
    pub(crate) no_repl: bool,
    /// Print the version
    #[arg(short = 'v', long)]
    pub(crate) version: bool,
}

/// Which store.
#[derive(Debug, Args)]
#[command(next_help_heading = FOR_ALL)]
pub(crate) struct StoreOptions {
    /// The store to connect to
    #[arg(short = 'u', long = "use", global = true, value_name = "STORE", value_hint = ValueHint::FilePath)]
    pub(crate) store_used: Option<PathBuf>,
    /// Stores are files, whatever the program's name
    #[arg(long, global = true)]
    pub(crate) persistent: bool,
    /// Stores are shared memory, whatever the program's name
    #[arg(long, global = true, conflicts_with = "persistent")]
    pub(crate) memory: bool,
    /// What a power cut may take of what is written to a file: none (whatever was written since the last sync), commit (nothing
    /// that a command has written), or a number of milliseconds, of which it may take what was written in the last [default:
    /// none]
    #[arg(long, global = true, value_name = "none|commit|MS", value_parser = parse::durability)]
    pub(crate) durability: Option<parse::Durability>,
}

/// What a line of the interactive mode can say too.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = FOR_ALL)]
pub(crate) struct LineOptions {
    /// Prepended to the keys of all commands; those that list keys list the ones that begin with it
    #[arg(short, long, global = true, value_name = "S")]
    pub(crate) prefix: Option<String>,
    /// Print JSON: one document, or one a line where a command goes on
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print bytes alone: values as they are, keys one a line
    #[arg(long, global = true, conflicts_with = "json")]
    pub(crate) raw: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a store
    ///
    /// A store that exists is left as it is: the exit code is 10 then.
    Init(InitArgs),
    /// Connect to a store
    Use {
        /// Its name, or path
        #[arg(value_hint = ValueHint::FilePath)]
        store: PathBuf,
    },
    /// Store a value under a key
    ///
    /// "-" reads the value from the standard input: any bytes, to its end. A value that begins as an option of this command
    /// does, stands behind "--". If a condition does not hold, nothing is changed, and the exit code is 11.
    Set(SetArgs),
    /// Print the value of a key, with its length before it
    ///
    /// A terminal gets control characters spelt out, as \x1b, and a pipe or a file the bytes as they are. With --raw both
    /// get the bytes and nothing else.
    Get {
        /// The key
        key: String,
        /// Print the number that 8 bytes are: with a sign if the key's type is bigint
        #[arg(long, conflicts_with = "raw")]
        number: bool,
    },
    /// Store several values, one after the other
    ///
    /// Others may see some of them before the rest. A value is taken as it is, "-" too, so options stand before the keys.
    Mset {
        /// Keys, each with its value behind it
        #[arg(required = true, num_args = 2.., value_names = ["KEY", "VALUE"], allow_hyphen_values = true)]
        entries: Vec<OsString>,
    },
    /// Print the values of several keys, each behind its key
    ///
    /// The exit code is 3 if one of them does not exist; the others are printed all the same.
    Mget {
        /// The keys
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Print how a key is stored
    Head {
        /// The key
        key: String,
    },
    /// Delete a key
    Unset {
        /// The key
        key: String,
        /// Only if it has this epoch; else the exit code is 11
        #[arg(long, value_name = "N")]
        if_epoch: Option<u64>,
    },
    /// Put bytes behind a value, and print its new length
    ///
    /// A key that does not exist is made. It keeps its time to live, type and labels.
    Append {
        /// The key
        key: String,
        /// What comes behind its value, or "-" for the standard input
        #[arg(allow_hyphen_values = true)]
        value: OsString,
    },
    /// Add to a number, and print the sum
    ///
    /// Numbers have 64 bits and are stored in 8 bytes, little-endian; a key that does not exist is 0. No other process sees or
    /// changes anything in between. The exit code is 1 if the value is no number, and 11 if --checked finds no room.
    Add(SumArgs),
    /// Subtract from a number, and print the difference
    ///
    /// As for add.
    Sub(SumArgs),
    /// Keep the bits of a number that are in a mask, and print the new number
    ///
    /// As for add.
    And(BitsArgs),
    /// Set the bits of a number that are in a mask, and print the new number
    ///
    /// As for add.
    Or(BitsArgs),
    /// Invert the bits of a number that are in a mask, and print the new number
    ///
    /// As for add.
    Xor(BitsArgs),
    /// Invert all bits of a number, and print the new number
    ///
    /// As for add.
    Not {
        /// The key
        key: String,
        /// As for add
        #[arg(long)]
        signed: bool,
    },
    /// Give a key so long to live, from now on
    ///
    /// It is gone for everybody then, by the clock of the machine. A later set without --keep-ttl lets it live for ever.
    Expire {
        /// The key
        key: String,
        /// How long: seconds, or with a unit, as 250ms, 10s, 1.5h or 7d
        #[arg(value_parser = parse::duration)]
        duration: Duration,
    },
    /// Let a key live for ever
    Persist {
        /// The key
        key: String,
    },
    /// Print how long a key has yet to live, or "forever"
    Ttl {
        /// The key
        key: String,
    },
    /// Free the room of all keys whose time is up, whatever the prefix, and tell those who watch
    ///
    /// Nobody can read such keys, with or without this.
    Sweep(SweepArgs),
    /// Keep a key from being evicted when the store is full
    Pin {
        /// The key
        key: String,
    },
    /// Take a pin away
    Unpin {
        /// The key
        key: String,
    },
    /// Print the type of a key's value, or change it
    ///
    /// A change is a new version of the same bytes.
    Type {
        /// The key
        key: String,
        /// What it is from now on
        #[arg(value_name = "TYPE", value_parser = parse::value_type())]
        value_type: Option<ValueType>,
    },
    /// Print the labels of a key, one a line, or change them
    ///
    /// All changes are one step. Options stand before the labels; "--" before them takes all that follows as labels, as in
    /// "label KEY -- -up".
    Label(LabelArgs),
    /// Print the names of labels
    Labels,
    /// List the keys, the last changed first
    List {
        /// Only keys that this regular expression finds something in, behind the prefix if there is one
        regex: Option<String>,
        #[command(flatten)]
        labelled: Labelled,
        /// With types, times to live, pins and labels
        #[arg(long)]
        long: bool,
    },
    /// Print the keys as JSON, with their values if asked for
    ///
    /// "import" reads what this writes with --values.
    Export {
        /// As for list. "json" alone means all keys
        regex: Option<String>,
        /// With the values, as text or in base64 where they are none, and with types, labels, pins and when they expire
        #[arg(long)]
        values: bool,
        #[command(flatten)]
        labelled: Labelled,
    },
    /// Set the keys that "export --values" wrote
    ///
    /// The keys are those of the file, whatever the prefix. Keys that the file does not have stay as they are. Those whose
    /// time is up are left out. Labels go by their names.
    Import {
        /// The file, or "-" for the standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Put everything on the disk that was written to the store, by whomever
    ///
    /// A power cut does not take it then. It is written to a file beside the store, whose name ends in .checkpoint. Without effect
    /// on shared memory.
    Sync,
    /// Copy the store to a new file, while others go on writing
    Backup {
        /// The file, which must not exist. It can be opened as a store
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Look the whole store over, while others go on writing
    ///
    /// The exit code is 8 if something is damaged. What killed processes left is told, but is no damage.
    Check {
        /// Repair what can be repaired
        #[arg(long)]
        repair: bool,
    },
    /// Zero what is left of replaced and deleted values and of deleted keys
    ///
    /// While "config av" is 1 nothing is left behind. What was, while it was 0, stays until its slot is written anew, or this.
    Purge,
    /// Print what the store is, or change a setting of it
    Config(ConfigArgs),
    /// Print a key whenever it changes
    ///
    /// Of a key that changes faster than it is printed, the newest value is printed. Ctrl-C ends it. A deletion is printed
    /// as "unset". If there can be several keys, each line begins with the key.
    Watch(WatchArgs),
    /// Print the changes of all keys
    ///
    /// Without --follow or --from: those that the store still knows.
    Changes(ChangesArgs),
    /// Print every change of all keys with its time, until Ctrl-C
    Monitor(MonitorArgs),
    /// Print how much is stored, and how much changes in a second, until Ctrl-C
    Stat(StatArgs),
    /// Show the keys as they change, on the whole screen
    Top(TopArgs),
    /// Measure how long a write takes to wake another process
    Latency(LatencyArgs),
    /// Write and read one store with several threads, and see whether every value comes back whole
    Stress(StressArgs),
    /// Remove a store
    ///
    /// Those who have it open keep it. Asks before, if the standard input is a terminal.
    Drop {
        /// Its name, or path
        #[arg(value_hint = ValueHint::FilePath)]
        store: PathBuf,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Print the lines of the history
    Hist {
        /// Only lines that this regular expression finds something in
        regex: Option<String>,
    },
    /// Print the commands, or the help of one
    Help {
        /// The command
        command: Option<String>,
    },
    /// Clear the screen
    #[command(visible_alias = "cls")]
    Clear,
    /// Print what makes a shell complete commands
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print a manual page, as man(1) reads it
    Man {
        /// The page of this command
        command: Option<String>,
        /// Write all pages into this directory
        #[arg(long, value_name = "DIR", conflicts_with = "command", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
    /// End the interactive mode
    #[command(visible_alias = "quit")]
    Exit,
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// The key
    pub(crate) key: String,
    /// The value, or "-"
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: OsString,
    #[command(flatten)]
    pub(crate) condition: ConditionArgs,
    /// How long it is to live: seconds, or with a unit, as 250ms, 10s, 1.5h or 7d [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, conflicts_with = "keep_ttl")]
    pub(crate) ttl: Option<Duration>,
    /// It lives as long as it would have
    #[arg(long)]
    pub(crate) keep_ttl: bool,
    /// What the value is [default: as before]. Of bigint and biguint VALUE is a number, stored in 8 bytes
    #[arg(long = "type", value_name = "TYPE", value_parser = parse::value_type())]
    pub(crate) value_type: Option<ValueType>,
}

/// What must be there.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct ConditionArgs {
    /// Only if there is no such key
    #[arg(long)]
    pub(crate) if_absent: bool,
    /// Only if there is such a key
    #[arg(long)]
    pub(crate) if_present: bool,
    /// Only if the key has this epoch, which "get --json" and "head" tell. 0: only if there is none
    #[arg(long, value_name = "N")]
    pub(crate) if_epoch: Option<u64>,
}

/// Numbers that are added or subtracted.
#[derive(Debug, Args)]
pub(crate) struct SumArgs {
    /// The key
    pub(crate) key: String,
    /// By how much
    #[arg(value_name = "N", default_value = "1", value_parser = parse::number, allow_negative_numbers = true)]
    pub(crate) by: i128,
    /// Numbers can be below 0. Without this they can if the key's type is bigint
    #[arg(long)]
    pub(crate) signed: bool,
    /// Fail where the number has no room, instead of going on at the other end
    #[arg(long)]
    pub(crate) checked: bool,
}

/// Bits that are taken together.
#[derive(Debug, Args)]
pub(crate) struct BitsArgs {
    /// The key
    pub(crate) key: String,
    /// Bits: a number, also as 0xff or 0b101
    #[arg(value_parser = parse::number, allow_negative_numbers = true)]
    pub(crate) mask: i128,
    /// As for add
    #[arg(long)]
    pub(crate) signed: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// Go on, until Ctrl-C, and print what was found whenever it was something
    #[arg(long)]
    pub(crate) follow: bool,
    /// Time between two sweeps [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, requires = "follow")]
    pub(crate) interval: Option<Duration>,
    /// End after so many lines
    #[arg(long, value_name = "N", requires = "follow")]
    pub(crate) count: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    /// The key
    #[arg(required_unless_present = "name")]
    pub(crate) key: Option<String>,
    /// Labels that it gets, or loses with - before them: names, or numbers from 0 to 63
    #[arg(value_name = "LABEL", allow_hyphen_values = true)]
    pub(crate) labels: Vec<String>,
    /// Name a label, instead; an empty name takes the old one away
    #[arg(long, num_args = 2, value_names = ["N", "NAME"], conflicts_with_all = ["key", "labels"])]
    pub(crate) name: Option<Vec<String>>,
}

/// Which keys, by their labels.
#[derive(Debug, Args)]
pub(crate) struct Labelled {
    /// Only keys with this label: its name or number. Given several times: with all of them
    #[arg(long = "label", value_name = "LABEL")]
    pub(crate) labels: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Its name, or path [default: splinter_debug]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) store: Option<PathBuf>,
    /// Most keys at once [default: 1024]
    #[arg(value_name = "SLOTS")]
    slots_at: Option<u32>,
    /// Longest value in bytes [default: 4096]
    #[arg(value_name = "MAXLEN")]
    maxlen_at: Option<u32>,
    /// As SLOTS
    #[arg(long, conflicts_with = "slots_at", value_name = "N")]
    slots: Option<u32>,
    /// As MAXLEN
    #[arg(long, conflicts_with = "maxlen_at", value_name = "BYTES", visible_alias = "length")]
    maxlen: Option<u32>,
    /// Longest key in bytes [default: 64]
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_key: Option<u32>,
    /// Changes that the store remembers [default: four for each slot]
    #[arg(long, value_name = "N")]
    pub(crate) journal: Option<u32>,
}

impl InitArgs {
    pub(crate) fn slots(&self) -> Option<u32> {
        self.slots.or(self.slots_at)
    }

    pub(crate) fn maxlen(&self) -> Option<u32> {
        self.maxlen.or(self.maxlen_at)
    }
}

/// Settings of a store, and what they can be.
pub(crate) const SETTINGS: [(&str, &[&str]); 2] = [("av", &["0", "1"]), ("eviction", &["none", "ttl", "lru"])];

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The setting: av, whether replaced and deleted bytes are zeroed; eviction, what goes when the store is full
    #[arg(value_parser = SETTINGS.map(|(name, _)| name))]
    pub(crate) setting: Option<String>,
    /// Its new value: of av 0 or 1; of eviction none, ttl (what is due soonest) or lru (what was not used for long)
    #[arg(value_parser = SETTINGS.iter().flat_map(|(_, values)| *values).copied().collect::<Vec<_>>())]
    pub(crate) value: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// The keys, which need not exist yet. With --prefix alone: all that begin with it
    #[arg(value_name = "KEY")]
    pub(crate) keys: Vec<String>,
    /// All keys that match: * is any run of characters, ? is one, \ takes the next as it is
    #[arg(long, conflicts_with = "keys", value_name = "GLOB")]
    pub(crate) glob: Option<String>,
    /// All keys
    #[arg(long, conflicts_with_all = ["keys", "glob"])]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) labelled: Labelled,
    /// Of a value that was only appended to, print what was appended
    #[arg(long)]
    pub(crate) appended: bool,
    /// Print first what exists
    #[arg(long)]
    pub(crate) initial: bool,
    /// Also what has changed since this place in the store's journal
    #[arg(long, value_name = "SEQ")]
    pub(crate) from: Option<u64>,
    /// End after one change
    #[arg(long, conflicts_with = "count")]
    pub(crate) oneshot: bool,
    /// End after so many changes
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// End with exit code 7 if nothing changes for so long
    #[arg(long, value_name = "MS")]
    pub(crate) timeout_ms: Option<u64>,
    /// Run a command of the shell for each change, instead of printing it
    ///
    /// It finds SPLINTER_KEY, SPLINTER_EPOCH and SPLINTER_KIND (set, unset, expired or evicted) in its environment, and the
    /// value on its standard input. With --appended, SPLINTER_OFFSET says where in the whole value that begins.
    #[arg(long, value_name = "CMD", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) exec: Option<String>,
}

impl WatchArgs {
    pub(crate) fn limit(&self) -> Option<u64> {
        if self.oneshot { Some(1) } else { self.count }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ChangesArgs {
    /// Begin at this place in the store's journal
    #[arg(long, value_name = "SEQ")]
    pub(crate) from: Option<u64>,
    /// Go on with what changes from now on, until Ctrl-C
    #[arg(long)]
    pub(crate) follow: bool,
    /// End after so many changes
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct MonitorArgs {
    /// End after so many changes
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct StatArgs {
    /// Seconds between two lines
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) interval: Duration,
    /// End after so many lines
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|interval| (Duration::from_millis(1)..=Duration::from_secs(86_400)).contains(interval))
        .ok_or_else(|| "it is a number of seconds, from 0.001 to 86400".into())
}

/// What the arguments ask for.
pub(crate) enum Parsed<T> {
    Run(T),
    /// A text to be printed.
    Help(String),
}

/// The whole program's table, under the name that it was called by.
pub(crate) fn program(name: &str) -> clap::Command {
    Invocation::command().name(name.to_string()).bin_name(name.to_string())
}

/// The interactive mode's.
pub(crate) fn line() -> clap::Command {
    Line::command()
}

/// The help of a command, as it is typed behind `before`.
pub(crate) fn help(table: clap::Command, before: &str, name: &str) -> Option<clap::builder::StyledStr> {
    let mut table = table;
    table.build();
    let mut command = table.find_subcommand(name)?.clone();
    let help = command.render_long_help();
    if !before.is_empty() {
        return Some(help);
    }
    // A line begins with the command.
    Some(
        help.ansi()
            .to_string()
            .replacen(&format!("{} ", table.get_name()), "", 1)
            .into(),
    )
}

/// Names of all commands, and the other names that they have.
pub(crate) fn names() -> Vec<String> {
    let table = line();
    let mut names = Vec::new();
    for command in table.get_subcommands() {
        names.push(command.get_name().to_string());
        names.extend(command.get_visible_aliases().map(String::from));
    }
    names
}

/// Which of the words is the command, if it is one.
pub(crate) fn command_at(table: &clap::Command, words: &[String]) -> Option<usize> {
    let mut words = words.iter().enumerate();
    while let Some((at, word)) = words.next() {
        if !word.starts_with('-') {
            return table.find_subcommand(word).map(|_| at);
        }
        if option_of(table, word).is_some_and(|option| option.get_action().takes_values()) {
            words.next();
        }
    }
    None
}

/// The option of a command that a word is.
pub(crate) fn option_of<'a>(command: &'a clap::Command, word: &str) -> Option<&'a Arg> {
    let name = word.strip_prefix("--").filter(|name| !name.contains('='));
    let letter = word.strip_prefix('-').filter(|name| name.chars().count() == 1);
    command.get_arguments().find(|argument| {
        let is_long = name.is_some() && argument.get_long() == name;
        is_long || letter.is_some_and(|letter| argument.get_short() == letter.chars().next())
    })
}

/// What there is to know about a command, for programs.
pub(crate) fn about(command: &clap::Command) -> Value {
    json!({
        "command": command.get_name(),
        "aliases": command.get_visible_aliases().collect::<Vec<_>>(),
        "about": command.get_about().map(ToString::to_string),
    })
}

/// The same about all of them.
pub(crate) fn abouts() -> Value {
    line().get_subcommands().map(about).collect()
}

/// A line for each command.
pub(crate) fn summary() -> String {
    let table = line();
    let lines = table.get_subcommands().map(|command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        format!("{:<12} {about}\n", command.get_name())
    });
    lines.collect()
}

/// Parses the program's arguments.
pub(crate) fn parse_invocation(name: &str, arguments: Vec<OsString>) -> Result<Parsed<Invocation>, Failure> {
    let words: Vec<_> = arguments
        .iter()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let parsed = program(name)
        .try_get_matches_from(arguments)
        .and_then(|matches| Invocation::from_arg_matches(&matches));
    finish(parsed, &words, &format!("{name} "), name, || program(name))
}

/// Parses a line of the interactive mode that was split into words.
pub(crate) fn parse_line(words: &[String]) -> Result<Parsed<Line>, Failure> {
    finish(Line::try_parse_from(words), words, "", "", line)
}

fn finish<T>(
    parsed: Result<T, clap::Error>,
    words: &[String],
    before: &str,
    program: &str,
    table: impl Fn() -> clap::Command,
) -> Result<Parsed<T>, Failure> {
    let error = match parsed {
        Ok(parsed) => return Ok(Parsed::Run(parsed)),
        Err(error) => error,
    };
    let command = command_at(&table(), words).map(|at| &words[at]);
    if error.kind() == ErrorKind::DisplayHelp {
        let help = match command {
            Some(command) => help(table(), before, command),
            None => Some(table().render_help()),
        };
        return Ok(Parsed::Help(styled(&help.unwrap_or_default())));
    }
    Err(usage(&error, command.map(String::as_str), before, program))
}

/// Coloured if the standard output is a terminal that shall be.
pub(crate) fn styled(text: &clap::builder::StyledStr) -> String {
    if crate::output::colours() {
        text.ansi().to_string()
    } else {
        text.to_string()
    }
}

/// A parser's complaint in one line.
fn usage(error: &clap::Error, command: Option<&str>, before: &str, program: &str) -> Failure {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        // The most alike comes last.
        Some(ContextValue::Strings(texts)) => texts.last().cloned(),
        _ => None,
    };
    let message = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let unknown = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            let hint = match text(ContextKind::SuggestedSubcommand) {
                Some(name) => format!("did you mean \"{name}\"? "),
                None => String::new(),
            };
            format!("unknown command \"{unknown}\": {hint}\"{before}help\" lists the commands")
        }
        ErrorKind::MissingSubcommand => format!("no command: \"{before}help\" lists them"),
        _ => {
            let rendered = error.render().to_string();
            let complaint: Vec<_> = rendered
                .strip_prefix("error: ")
                .unwrap_or(&rendered)
                .lines()
                .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .collect();
            let whose = command.map(|name| format!(" {name}")).unwrap_or_default();
            let complaint = complaint.join(" ").replace(" tip: ", "; ");
            format!("{complaint}; see \"{before}help{whose}\"")
        }
    };
    match command {
        Some(command) if error.kind() != ErrorKind::InvalidSubcommand => {
            Failure::usage(format!("{command}: {message}"))
        }
        _ if program.is_empty() => Failure::usage(message),
        _ => Failure::usage(format!("{program}: {message}")),
    }
}
