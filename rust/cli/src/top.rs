//! `top`: the keys of a store while they change, on the whole screen.
//!
//! What is shown is followed by the store's feed of changes, so that looking costs what changes, not what exists: a changed
//! key's size is read once a refresh, a value only if its line is on the screen.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fs::{File, Metadata};
use std::io::{self, IsTerminal, Stdout, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{self, AtomicBool};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table};
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGTERM};
use splinter::{Change, Changes, Error, Store};

use crate::escape;
use crate::failure::Failure;
use crate::signals::Interrupts;

/// How long to wait for a key at once: signals are looked for in between.
const TICK: Duration = Duration::from_millis(100);
/// How long changes are read before the screen and the keyboard are seen to again.
const READING: Duration = Duration::from_millis(50);
/// Longer values are not read for their first few characters.
const PREVIEW_BYTES_MAX: usize = 256 * 1024;
/// What of a value is made readable.
const PREVIEW_BYTES: usize = 512;

/// Shows the keys of a store while they change, as `top` shows processes.
#[derive(Debug, Clone, Args)]
pub(crate) struct TopArgs {
    /// What to sort by
    #[arg(long, value_name = "COLUMN", default_value = "writes")]
    pub(crate) sort: Sort,
    /// Turn the order round
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Only keys that contain this text
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) filter: String,
    /// How often the figures are refreshed, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    pub(crate) interval_ms: u64,
    /// Print one table after one interval and end, as is done where the output is no terminal
    #[arg(long)]
    pub(crate) once: bool,
}

/// What lines are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Sort {
    /// Name, ascending
    Key,
    /// Epoch, the highest first
    Epoch,
    /// Length of the value, the longest first
    Size,
    /// Writes per second, most first
    #[default]
    Writes,
}

/// Shows a store until it is told to end, or prints it once to `out`. Only keys that begin with `prefix` are shown.
pub(crate) fn run(args: &TopArgs, store: &Store, prefix: &str, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let interrupts = Interrupts::catch()?;
    let mut model = Model::new(store)?;
    let mut view = View {
        prefix,
        filter: args.filter.clone(),
        sort: args.sort,
        reverse: args.reverse,
        ..View::default()
    };
    let interval = Duration::from_millis(args.interval_ms);
    if args.once || json || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        model.follow(interval, &interrupts)?;
        model.refresh()?;
        view.arrange(&model);
        return if json {
            print_json(&model, &view, out)
        } else {
            print_table(&mut model, &view, out)
        };
    }
    let ends = Ends::catch()?;
    let mut screen = Screen::enter()?;
    let result = interact(&mut screen, &mut model, &mut view, interval, || {
        interrupts.came() || ends.came()
    });
    drop(screen);
    ends.obey();
    result
}

fn interact(
    screen: &mut Screen,
    model: &mut Model<'_>,
    view: &mut View<'_>,
    interval: Duration,
    ended: impl Fn() -> bool,
) -> Result<(), Failure> {
    view.arrange(model);
    loop {
        if !view.paused {
            let is_behind = model.take()?;
            if model.since.elapsed() >= interval && model.refresh()? {
                view.arrange(model);
            }
            if is_behind && !event::poll(Duration::ZERO)? && !ended() && model.since.elapsed() < interval {
                continue;
            }
        }
        screen.0.draw(|frame| view.draw(model, frame))?;
        let left = if view.paused {
            TICK
        } else {
            interval.saturating_sub(model.since.elapsed()).min(TICK)
        };
        if event::poll(left)? {
            while event::poll(Duration::ZERO)? {
                if let Event::Key(key) = event::read()?
                    && key.kind != KeyEventKind::Release
                    && view.press(key, model)
                {
                    return Ok(());
                }
            }
        }
        if ended() {
            return Ok(());
        }
    }
}

/// What is known about a key.
#[derive(Debug, Default)]
struct Known {
    epoch: u64,
    bytes: usize,
    /// Writes since the last refresh.
    writes: u64,
    per_second: f64,
    /// Whether its size may be another than it was.
    changed: bool,
    /// Start of the value, and the epoch at which it was read.
    preview: Option<(u64, String)>,
    /// The resynchronisation in which it was seen last.
    seen: u64,
}

/// The store, as far as it is told by its feed.
struct Model<'a> {
    store: &'a Store,
    changes: Changes<'a>,
    keys: HashMap<Arc<str>, Known>,
    /// Keys that were written since the last refresh, or had been before it.
    lively: HashSet<Arc<str>>,
    /// Whether keys have come or gone since lines were arranged.
    is_rearranged: bool,
    /// Counts how often the feed had to begin anew, and whether it does now.
    resyncs: u64,
    is_resyncing: bool,
    since: Instant,
    writes: u64,
    writes_per_second: f64,
    handles: usize,
    /// Device and number of the store's file.
    identity: Option<(u64, u64)>,
    is_removed: bool,
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl<'a> Model<'a> {
    fn new(store: &'a Store) -> Result<Self, Failure> {
        // Before the list, so that nothing is missed between the two.
        let changes = store.changes()?;
        let mut keys = HashMap::new();
        for entry in store.list() {
            let entry = match entry {
                // If it is written all the time, the feed will tell.
                Err(Error::Corrupt { .. } | Error::Busy { .. }) => continue,
                entry => entry?,
            };
            let known = Known {
                epoch: entry.epoch & !1,
                bytes: entry.value_bytes,
                ..Known::default()
            };
            keys.insert(entry.key.into(), known);
        }
        let file = store.as_fd().try_clone_to_owned().map(File::from);
        Ok(Self {
            store,
            changes,
            keys,
            lively: HashSet::new(),
            is_rearranged: true,
            resyncs: 0,
            is_resyncing: false,
            since: Instant::now(),
            writes: store.header_snapshot()?.epoch,
            writes_per_second: 0.0,
            handles: store.attached()?.len(),
            identity: file.and_then(|file| file.metadata()).ok().as_ref().map(identity),
            is_removed: false,
        })
    }

    /// Follows the feed for some time.
    fn follow(&mut self, time: Duration, interrupts: &Interrupts) -> Result<(), Failure> {
        let start = Instant::now();
        while let Some(left) = time.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
            if interrupts.came() {
                break;
            }
            match self.changes.next_timeout(left.min(TICK)) {
                Ok(Some(change)) => self.note(change),
                Ok(None) | Err(Error::Busy { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes what the feed has, for a short time. Returns whether it has more.
    fn take(&mut self) -> Result<bool, Failure> {
        let start = Instant::now();
        loop {
            for _ in 0..256 {
                match self.changes.try_next() {
                    Ok(Some(change)) => self.note(change),
                    // Nothing is lost.
                    Err(Error::Busy { .. }) => return Ok(true),
                    Err(error) => return Err(error.into()),
                    Ok(None) => {
                        self.end_resync();
                        return Ok(false);
                    }
                }
            }
            if start.elapsed() >= READING {
                return Ok(true);
            }
        }
    }

    fn note(&mut self, change: Change) {
        match change {
            Change::Set { key, epoch, .. } => {
                self.end_resync();
                self.written(key, epoch);
            }
            Change::Current { key, epoch, .. } => self.written(key, epoch),
            Change::Unset { key, epoch, .. } | Change::Expired { key, epoch, .. } => {
                self.end_resync();
                // What was listed later is younger.
                if self.keys.get(&key).is_some_and(|known| known.epoch < epoch) {
                    self.keys.remove(&key);
                    self.lively.remove(&key);
                    self.is_rearranged = true;
                }
            }
            Change::Lost { .. } => {
                self.resyncs += 1;
                self.is_resyncing = true;
            }
            _ => self.end_resync(),
        }
    }

    fn written(&mut self, key: Arc<str>, epoch: u64) {
        self.is_rearranged |= !self.keys.contains_key(&key);
        let resync = self.resyncs;
        let known = self.keys.entry(key.clone()).or_insert_with(|| Known {
            epoch: epoch - 2.min(epoch),
            changed: true,
            ..Known::default()
        });
        known.seen = resync;
        if epoch > known.epoch {
            // Two for each change, whether the feed told of it or not.
            known.writes += (epoch - known.epoch) / 2;
            known.epoch = epoch;
            known.changed = true;
            self.lively.insert(key);
        }
    }

    /// Once every key that exists was told, those that were not exist no more.
    fn end_resync(&mut self) {
        if std::mem::take(&mut self.is_resyncing) {
            let resync = self.resyncs;
            self.keys.retain(|_, known| known.seen == resync);
            let keys = &self.keys;
            self.lively.retain(|key| keys.contains_key(key));
            self.is_rearranged = true;
        }
    }

    /// Brings the figures up to date. Returns whether any of a line has changed.
    fn refresh(&mut self) -> Result<bool, Failure> {
        let seconds = self.since.elapsed().as_secs_f64().max(1e-6);
        self.since = Instant::now();
        let writes = self.store.header_snapshot()?.epoch;
        self.writes_per_second = writes.saturating_sub(self.writes) as f64 / seconds;
        self.writes = writes;
        let (store, keys) = (self.store, &mut self.keys);
        let mut failed = None;
        let has_changed = std::mem::take(&mut self.is_rearranged) || !self.lively.is_empty();
        self.lively.retain(|key| {
            let Some(known) = keys.get_mut(key) else {
                return false;
            };
            known.per_second = std::mem::take(&mut known.writes) as f64 / seconds;
            if std::mem::take(&mut known.changed) {
                match store.slot_snapshot(&**key) {
                    Ok(Some(snapshot)) => known.bytes = snapshot.value_bytes,
                    // The feed will tell that it is gone.
                    Ok(None) | Err(Error::Corrupt { .. } | Error::Busy { .. }) => {}
                    Err(error) => failed = Some(error),
                }
            }
            known.per_second > 0.0
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        self.handles = self.store.attached()?.len();
        let now = std::fs::metadata(self.store.path()).ok().as_ref().map(identity);
        self.is_removed = self.identity.is_some() && now != self.identity;
        Ok(has_changed)
    }

    /// The start of a value, in one line that no terminal obeys.
    fn preview(&mut self, key: &Arc<str>) -> String {
        let Some(known) = self.keys.get_mut(key) else {
            return String::new();
        };
        if let Some((epoch, preview)) = &known.preview
            && *epoch == known.epoch
        {
            return preview.clone();
        }
        if known.bytes > PREVIEW_BYTES_MAX {
            return "(long)".into();
        }
        // Other than the feed has told by now, perhaps: it will be read again then.
        let preview = match self.store.get_vec(&**key) {
            Ok(Some(value)) => escape::bytes(&value[..value.len().min(PREVIEW_BYTES)], false),
            Ok(None) => return String::new(),
            Err(error) => format!("({error})"),
        };
        known.preview = Some((known.epoch, preview.clone()));
        preview
    }
}

/// What of the store is shown, and how.
#[derive(Default)]
struct View<'a> {
    prefix: &'a str,
    filter: String,
    /// The filter as it was before it is being changed.
    filter_before: Option<String>,
    sort: Sort,
    reverse: bool,
    paused: bool,
    helping: bool,
    /// Keys, in the order of their lines.
    lines: Vec<Arc<str>>,
    selected: usize,
    /// The first line that is on the screen.
    first: usize,
    /// Lines that the screen has for keys.
    height: usize,
}

impl View<'_> {
    /// Puts the lines into their order. Without a change that could move one it is as it was.
    fn arrange(&mut self, model: &Model<'_>) {
        let shown = |key: &str| key.starts_with(self.prefix) && key.contains(&self.filter);
        self.lines = model.keys.keys().filter(|key| shown(key)).cloned().collect();
        let known = |key: &Arc<str>| model.keys.get(key);
        let by = |one: &Arc<str>, other: &Arc<str>| {
            let (Some(a), Some(b)) = (known(one), known(other)) else {
                return Ordering::Equal;
            };
            match self.sort {
                Sort::Key => Ordering::Equal,
                Sort::Epoch => b.epoch.cmp(&a.epoch),
                Sort::Size => b.bytes.cmp(&a.bytes),
                Sort::Writes => b.per_second.total_cmp(&a.per_second),
            }
            .then_with(|| one.cmp(other))
        };
        self.lines.sort_unstable_by(by);
        if self.reverse {
            self.lines.reverse();
        }
        self.select(self.selected);
    }

    fn select(&mut self, line: usize) {
        self.selected = line.min(self.lines.len().saturating_sub(1));
        let last_first = self.selected;
        let least_first = (self.selected + 1).saturating_sub(self.height.max(1));
        self.first = self.first.clamp(least_first, last_first);
    }

    /// Does what a key says. Returns whether to end.
    fn press(&mut self, key: KeyEvent, model: &mut Model<'_>) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && matches!(key.code, KeyCode::Char('c' | 'd')) {
            return true;
        }
        if control || key.modifiers.contains(KeyModifiers::ALT) {
            return false;
        }
        if self.filter_before.is_some() {
            self.type_filter(key.code);
            self.arrange(model);
            return false;
        }
        if self.helping {
            self.helping = false;
            return false;
        }
        let page = self.height.max(1);
        match key.code {
            KeyCode::Char('q') => return true,
            // One that narrows the view is taken back first.
            KeyCode::Esc if self.filter.is_empty() => return true,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('?' | 'h') => self.helping = true,
            KeyCode::Char('p' | ' ') => {
                self.paused = !self.paused;
                model.since = Instant::now();
            }
            KeyCode::Char('/') => self.filter_before = Some(self.filter.clone()),
            KeyCode::Char('n') => self.sort_by(Sort::Key),
            KeyCode::Char('e') => self.sort_by(Sort::Epoch),
            KeyCode::Char('s') => self.sort_by(Sort::Size),
            KeyCode::Char('w') => self.sort_by(Sort::Writes),
            KeyCode::Char('r') => self.reverse = !self.reverse,
            KeyCode::Down | KeyCode::Char('j') => self.select(self.selected + 1),
            KeyCode::Up | KeyCode::Char('k') => self.select(self.selected.saturating_sub(1)),
            KeyCode::PageDown => self.select(self.selected + page),
            KeyCode::PageUp => self.select(self.selected.saturating_sub(page)),
            KeyCode::Home | KeyCode::Char('g') => self.select(0),
            KeyCode::End | KeyCode::Char('G') => self.select(usize::MAX),
            _ => return false,
        }
        self.arrange(model);
        false
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.filter_before = None,
            KeyCode::Esc => self.filter = self.filter_before.take().unwrap_or_default(),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(character) => self.filter.push(character),
            _ => {}
        }
    }

    fn sort_by(&mut self, sort: Sort) {
        self.reverse = self.sort == sort && !self.reverse;
        self.sort = sort;
    }

    fn draw(&mut self, model: &mut Model<'_>, frame: &mut ratatui::Frame<'_>) {
        let [head, state, body] =
            Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Fill(1)]).areas(frame.area());
        frame.render_widget(Paragraph::new(self.head(model)), head);
        frame.render_widget(Paragraph::new(self.state(model)), state);
        if self.helping {
            frame.render_widget(Paragraph::new(HELP), body);
        } else {
            self.draw_keys(model, frame, body);
        }
    }

    /// The figures of the whole store; the least important ones last, for where the terminal is narrow they are cut off.
    fn head(&self, model: &Model<'_>) -> Line<'static> {
        let slots = model.store.geometry().slots();
        let path = model.store.path();
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let used = model.keys.len();
        Line::styled(
            format!(
                "{}  {} writes/s  {used} of {slots} slots  {} handles  {} changes",
                escape::text(&name),
                per_second(model.writes_per_second),
                model.handles,
                model.writes,
            ),
            Style::new().add_modifier(Modifier::BOLD),
        )
    }

    fn state(&self, model: &Model<'_>) -> Line<'static> {
        let filter = escape::text(&self.filter).into_owned();
        let mut parts = Vec::new();
        if self.filter_before.is_some() {
            return Line::styled(format!("/{filter}_"), Style::new().add_modifier(Modifier::BOLD));
        }
        if model.is_removed {
            parts.push("REMOVED: only those who have it open still see it".to_string());
        }
        if self.paused {
            parts.push("PAUSED".into());
        }
        if !filter.is_empty() {
            parts.push(format!("filter {filter}"));
        }
        parts.push(format!("{} keys", self.lines.len()));
        parts.push("? help  q quit".into());
        Line::raw(parts.join("  "))
    }

    fn draw_keys(&mut self, model: &mut Model<'_>, frame: &mut ratatui::Frame<'_>, area: Rect) {
        self.height = usize::from(area.height.saturating_sub(1));
        self.select(self.selected);
        let columns = columns(area.width);
        let end = (self.first + self.height).min(self.lines.len());
        let rows: Vec<_> = self.lines[self.first..end]
            .iter()
            .enumerate()
            .map(|(at, key)| {
                let cells = columns.iter().map(|(column, _)| {
                    let text = column.text(key, model);
                    let line = Line::raw(text);
                    Cell::from(if column.is_number() { line.right_aligned() } else { line })
                });
                let row = TableRow::new(cells.collect::<Vec<_>>());
                if self.first + at == self.selected {
                    row.style(Style::new().add_modifier(Modifier::REVERSED))
                } else {
                    row
                }
            })
            .collect();
        let titles = columns.iter().map(|(column, _)| {
            let line = Line::raw(column.title());
            let is_sorted = column.sort() == Some(self.sort);
            let style = Style::new().add_modifier(if is_sorted {
                Modifier::BOLD | Modifier::UNDERLINED
            } else {
                Modifier::BOLD
            });
            Cell::from(if column.is_number() { line.right_aligned() } else { line }).style(style)
        });
        let header = TableRow::new(titles.collect::<Vec<_>>());
        let widths = columns.iter().map(|&(_, width)| width);
        frame.render_widget(Table::new(rows, widths).header(header), area);
    }
}

const HELP: &str = "\
n e s w   sort by name, epoch, size, writes per second; again: the other way round
r         turn the order round
/         show only keys that contain a text; Enter keeps it, Esc takes it back
arrows    move; also j and k, Page Up and Page Down, Home and End
p, space  pause, and go on
q, Esc    end

Any key goes back.";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Key,
    Epoch,
    Size,
    Writes,
    Value,
}

/// The columns that a terminal of this width has room for, and their widths.
fn columns(width: u16) -> Vec<(Column, Constraint)> {
    let all = [
        (Column::Key, Constraint::Fill(2), 0),
        (Column::Epoch, Constraint::Length(12), 52),
        (Column::Size, Constraint::Length(10), 36),
        (Column::Writes, Constraint::Length(9), 20),
        (Column::Value, Constraint::Fill(3), 72),
    ];
    all.into_iter()
        .filter(|&(_, _, from)| width >= from)
        .map(|(column, constraint, _)| (column, constraint))
        .collect()
}

impl Column {
    fn title(self) -> &'static str {
        match self {
            Self::Key => "KEY",
            Self::Epoch => "EPOCH",
            Self::Size => "SIZE",
            Self::Writes => "WRITES/S",
            Self::Value => "VALUE",
        }
    }

    fn sort(self) -> Option<Sort> {
        Some(match self {
            Self::Key => Sort::Key,
            Self::Epoch => Sort::Epoch,
            Self::Size => Sort::Size,
            Self::Writes => Sort::Writes,
            Self::Value => return None,
        })
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Epoch | Self::Size | Self::Writes)
    }

    fn text(self, key: &Arc<str>, model: &mut Model<'_>) -> String {
        let Some(known) = model.keys.get(key) else {
            return String::new();
        };
        match self {
            Self::Key => escape::text(key).into_owned(),
            Self::Epoch => known.epoch.to_string(),
            Self::Size => known.bytes.to_string(),
            Self::Writes => per_second(known.per_second),
            Self::Value => model.preview(key),
        }
    }
}

fn per_second(rate: f64) -> String {
    if rate == 0.0 {
        "0".into()
    } else if rate < 100.0 {
        format!("{rate:.1}")
    } else {
        format!("{rate:.0}")
    }
}

fn print_table(model: &mut Model<'_>, view: &View<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    let per_second = per_second(model.writes_per_second);
    let (keys, slots) = (model.keys.len(), model.store.geometry().slots());
    writeln!(
        out,
        "{per_second} writes/s, {keys} of {slots} slots, {} handles",
        model.handles
    )?;
    writeln!(
        out,
        "{:<33} {:>12} {:>10} {:>9} VALUE",
        "KEY", "EPOCH", "SIZE", "WRITES/S"
    )?;
    for key in &view.lines {
        let columns = [Column::Key, Column::Epoch, Column::Size, Column::Writes, Column::Value];
        let [name, epoch, size, writes, value] = columns.map(|column| column.text(key, model));
        let value: String = value.chars().take(60).collect();
        let line = format!("{name:<33} {epoch:>12} {size:>10} {writes:>9} {value}");
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn print_json(model: &Model<'_>, view: &View<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Key<'a> {
        key: &'a str,
        epoch: u64,
        value_length: usize,
        writes_per_second: f64,
    }
    #[derive(Serialize)]
    struct Top<'a> {
        writes_per_second: f64,
        active_keys: usize,
        total_slots: u32,
        handles: usize,
        keys: Vec<Key<'a>>,
    }
    let key = |key: &'_ Arc<str>| {
        let known = model.keys.get(key);
        known.map(|known| (known.epoch, known.bytes, known.per_second))
    };
    let keys = view.lines.iter().filter_map(|name| {
        key(name).map(|(epoch, value_length, writes_per_second)| Key {
            key: name,
            epoch,
            value_length,
            writes_per_second,
        })
    });
    let top = Top {
        writes_per_second: model.writes_per_second,
        active_keys: model.keys.len(),
        total_slots: model.store.geometry().slots(),
        handles: model.handles,
        keys: keys.collect(),
    };
    serde_json::to_writer(&mut *out, &top).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

/// The terminal while it is ours. It is given back however the drawing ends, a panic included.
struct Screen(Terminal<CrosstermBackend<Stdout>>);

/// Whether the terminal has to be given back.
static TAKEN: AtomicBool = AtomicBool::new(false);

impl Screen {
    fn enter() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                // First, so that the message is on the screen that stays.
                give_back();
                before(panic);
            }));
        });
        TAKEN.store(true, atomic::Ordering::SeqCst);
        // From here on it is given back if something fails.
        let result = enable_raw_mode()
            .and_then(|()| execute!(io::stdout(), EnterAlternateScreen))
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        if result.is_err() {
            give_back();
        }
        result.map(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if TAKEN.swap(false, atomic::Ordering::SeqCst) {
        // Whatever fails here, there is no better terminal to tell it to.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// Signals that end the program, once the terminal is given back.
struct Ends {
    came: Vec<(i32, Arc<AtomicBool>, signal_hook::SigId)>,
}

impl Ends {
    fn catch() -> io::Result<Self> {
        let mut ends = Self { came: Vec::new() };
        for signal in [SIGTERM, SIGHUP] {
            let came = Arc::new(AtomicBool::new(false));
            let id = signal_hook::flag::register(signal, came.clone())?;
            ends.came.push((signal, came, id));
        }
        Ok(ends)
    }

    fn came(&self) -> bool {
        self.came.iter().any(|(_, came, _)| came.load(atomic::Ordering::SeqCst))
    }

    /// Ends as the signal wants it, if there was one.
    fn obey(self) {
        for (signal, came, _) in &self.came {
            if came.load(atomic::Ordering::SeqCst) {
                let _ = signal_hook::low_level::emulate_default_handler(*signal);
            }
        }
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        for (_, _, id) in &self.came {
            signal_hook::low_level::unregister(*id);
        }
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
        command.args(["--nocapture", "--exact", "top::tests::panics_on_the_screen"]);
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

    #[test]
    fn narrow_terminals_show_what_matters_most() {
        let names = |width| columns(width).iter().map(|(column, _)| *column).collect::<Vec<_>>();
        assert_eq!(names(0), [Column::Key]);
        assert_eq!(names(20), [Column::Key, Column::Writes]);
        assert_eq!(names(80).len(), 5);
    }
}
