//! What of the store is shown, and how; and what the keys do about it.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Instant;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table};

use super::model::Model;
use super::{Sort, TopArgs, per_second};
use crate::escape;

/// What of the store is shown, and how.
#[derive(Default)]
pub(super) struct View<'a> {
    prefix: &'a str,
    filter: String,
    /// The filter as it was before it is being changed.
    filter_before: Option<String>,
    sort: Sort,
    reverse: bool,
    pub(super) paused: bool,
    helping: bool,
    /// Keys, in the order of their lines.
    pub(super) lines: Vec<Arc<str>>,
    selected: usize,
    /// The first line that is on the screen.
    first: usize,
    /// Lines that the screen has for keys.
    height: usize,
}

impl<'a> View<'a> {
    pub(super) fn new(args: &TopArgs, prefix: &'a str) -> Self {
        Self {
            prefix,
            filter: args.filter.clone(),
            sort: args.sort,
            reverse: args.reverse,
            ..Self::default()
        }
    }

    /// Puts the lines into their order. Without a change that could move one it is as it was.
    pub(super) fn arrange(&mut self, model: &Model<'_>) {
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
    pub(super) fn press(&mut self, key: KeyEvent, model: &mut Model<'_>) -> bool {
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

    pub(super) fn draw(&mut self, model: &mut Model<'_>, frame: &mut ratatui::Frame<'_>) {
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
pub(super) enum Column {
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

    pub(super) fn text(self, key: &Arc<str>, model: &mut Model<'_>) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_terminals_show_what_matters_most() {
        let names = |width| columns(width).iter().map(|(column, _)| *column).collect::<Vec<_>>();
        assert_eq!(names(0), [Column::Key]);
        assert_eq!(names(20), [Column::Key, Column::Writes]);
        assert_eq!(names(80).len(), 5);
    }
}
