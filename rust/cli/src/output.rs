//! Answers in words: for people, as JSON, or the bytes alone.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use splinter::{Change, CheckReport, Entry, Event, EventKind, HeaderSnapshot};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::answer::{Answer, Created, Rates};
use crate::escape;
use crate::table::LineOptions;

/// What answers are put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Human,
    Json,
    Raw,
}

impl From<&LineOptions> for Format {
    fn from(options: &LineOptions) -> Self {
        match (options.json, options.raw) {
            (true, _) => Self::Json,
            (false, true) => Self::Raw,
            (false, false) => Self::Human,
        }
    }
}

/// Whether the standard output is a terminal that shows colours, and nobody objects.
pub(crate) fn colours() -> bool {
    let refuses = std::env::var_os("NO_COLOR").is_some_and(|text| !text.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stdout().is_terminal() && !refuses && !is_dumb
}

/// Where answers go.
pub(crate) struct Output<'a> {
    to: &'a mut dyn Write,
    pub(crate) format: Format,
    /// Whether `to` ends at a terminal.
    pub(crate) is_terminal: bool,
    /// How many keys of the current export were written.
    exported: usize,
}

/// The columns of a listing.
const KEY_WIDTH: usize = 33;
const NUMBER_WIDTH: usize = 15;
const LISTING_WIDTH: usize = KEY_WIDTH + 3 + NUMBER_WIDTH + 3 + NUMBER_WIDTH;
/// Scripts know the line below the heading by its length.
const DASHES: usize = 66;

impl<'a> Output<'a> {
    pub(crate) fn new(to: &'a mut dyn Write, format: Format, is_terminal: bool) -> Self {
        Self {
            to,
            format,
            is_terminal,
            exported: 0,
        }
    }

    /// Prints one answer. It may wait in a buffer until [`Self::flush`].
    pub(crate) fn show(&mut self, answer: &Answer) -> io::Result<()> {
        match answer {
            // These look the same in every format.
            Answer::ExportStart { .. } | Answer::ExportedKey { .. } | Answer::ExportEnd => return self.export(answer),
            Answer::Clear if self.is_terminal => return self.to.write_all(b"\x1b[H\x1b[2J\x1b[3J"),
            Answer::Clear => return Ok(()),
            _ => {}
        }
        match self.format {
            Format::Json => {
                serde_json::to_writer(&mut *self.to, &json_of(answer))?;
                self.to.write_all(b"\n")
            }
            Format::Raw => self.show_raw(answer),
            Format::Human => self.show_human(answer),
        }
    }

    /// For commands that put their answers into words themselves.
    pub(crate) fn writer(&mut self) -> &mut dyn Write {
        self.to
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn show_raw(&mut self, answer: &Answer) -> io::Result<()> {
        match answer {
            Answer::Value { value, .. } => self.to.write_all(value),
            Answer::Event { event, .. } => self.to.write_all(event.value.as_deref().unwrap_or_default()),
            Answer::Listing(entries) => entries.iter().try_for_each(|entry| writeln!(self.to, "{}", entry.key)),
            Answer::History(lines) => lines.iter().try_for_each(|(_, line)| writeln!(self.to, "{line}")),
            _ => self.show_human(answer),
        }
    }

    fn show_human(&mut self, answer: &Answer) -> io::Result<()> {
        match answer {
            Answer::Created(created) => writeln!(self.to, "{}", creation(created)),
            Answer::Value { value, .. } => {
                self.value(value, true)?;
                self.to.write_all(b"\n\n")
            }
            Answer::Head { key, slot } => {
                writeln!(self.to, "hash:     {}", slot.hash)?;
                writeln!(self.to, "epoch:    {}", slot.epoch)?;
                writeln!(self.to, "val_off:  {}", slot.value_offset)?;
                writeln!(self.to, "val_len:  {}", slot.value_bytes)?;
                writeln!(self.to, "key:      {}\n", escape::text(key))
            }
            Answer::Deleted { value_bytes, .. } => writeln!(self.to, "{value_bytes} bytes deleted."),
            Answer::Listing(entries) => self.listing(entries),
            Answer::Imported { keys } => writeln!(self.to, "{keys} keys imported."),
            Answer::Saved(file) => writeln!(self.to, "Saved to '{}'.", shown(file)),
            Answer::Removed(store) => writeln!(self.to, "Removed '{}'.", shown(store)),
            Answer::Purged { slots } => writeln!(self.to, "{slots} slots purged."),
            Answer::Checked(report) => self.report(report),
            Answer::Repaired(reports) => {
                self.report(&reports.found)?;
                writeln!(self.to, "\nAfter the repair:")?;
                self.report(&reports.left)
            }
            Answer::Header(header) => {
                writeln!(self.to, "magic:       {}", header.magic)?;
                writeln!(self.to, "version:     {}", header.version)?;
                writeln!(self.to, "slots:       {}", header.geometry.slots())?;
                writeln!(self.to, "max_val_sz:  {}", header.geometry.max_value_bytes())?;
                writeln!(self.to, "epoch:       {}", header.epoch)?;
                writeln!(self.to, "auto_vacuum: {}\n", u8::from(header.auto_vacuum))
            }
            Answer::AutoVacuum { on, is_new: false } => writeln!(self.to, "auto_vacuum: {}", u8::from(*on)),
            Answer::Event { event, with_key } => {
                if *with_key {
                    write!(self.to, "{} ", escape::text(&event.key))?;
                }
                match &event.value {
                    Some(value) => self.value(value, false)?,
                    None => self.to.write_all(kind_of(event).as_bytes())?,
                }
                self.to.write_all(b"\n")
            }
            Answer::Change { change, time } => self.change(change, *time),
            Answer::Rates(rates) => self.rates(rates),
            Answer::History(lines) => {
                for (number, line) in lines {
                    writeln!(self.to, "{number}: {}", escape::text(line))?;
                }
                self.to.write_all(b"\n")
            }
            Answer::Text(text) | Answer::Help { text, .. } => self.to.write_all(text.as_bytes()),
            Answer::Connected(_)
            | Answer::Stored { .. }
            | Answer::AutoVacuum { is_new: true, .. }
            | Answer::Pages(_) => Ok(()),
            Answer::Clear | Answer::ExportStart { .. } | Answer::ExportedKey { .. } | Answer::ExportEnd => Ok(()),
        }
    }

    /// A value behind its length: as it is where a program may read it, but nothing that a terminal would obey.
    fn value(&mut self, value: &[u8], keep_lines: bool) -> io::Result<()> {
        write!(self.to, "{}:", value.len())?;
        if self.is_terminal {
            self.to.write_all(escape::bytes(value, keep_lines).as_bytes())
        } else {
            self.to.write_all(value)
        }
    }

    fn listing(&mut self, entries: &[Entry]) -> io::Result<()> {
        let columns = if self.is_terminal { columns() } else { None };
        match columns {
            Some(columns) if columns < LISTING_WIDTH => {
                let widest = |heading: &str, number: &dyn Fn(&Entry) -> u64| {
                    let digits = entries.iter().map(|entry| number(entry).to_string().len());
                    digits.max().unwrap_or(0).max(heading.len())
                };
                let epoch = widest("Epoch", &|entry| entry.epoch);
                let length = widest("Length", &|entry| entry.value_bytes as u64);
                let key = columns.saturating_sub(epoch + length + 6).max(8);
                self.row(["Key Name", "Epoch", "Length"], [key, epoch, 0])?;
                writeln!(self.to, "{}", "-".repeat(columns))?;
                for entry in entries {
                    let name = cut(&escape::text(&entry.key), key);
                    let [epochs, lengths] = numbers_of(entry);
                    self.row([&name, &epochs, &lengths], [key, epoch, 0])?;
                }
            }
            _ => {
                let widths = [KEY_WIDTH, NUMBER_WIDTH, NUMBER_WIDTH];
                self.row(["Key Name", "Epoch", "Value Length"], widths)?;
                writeln!(self.to, "{}", "-".repeat(DASHES))?;
                for entry in entries {
                    let [epoch, length] = numbers_of(entry);
                    self.row([&escape::text(&entry.key), &epoch, &length], widths)?;
                }
            }
        }
        self.to.write_all(b"\n")
    }

    fn row(&mut self, [key, epoch, length]: [&str; 3], widths: [usize; 3]) -> io::Result<()> {
        let key = padded(key, widths[0]);
        writeln!(self.to, "{key} | {epoch:<0$} | {length:<1$}", widths[1], widths[2])
    }

    /// Key by key, so that a large store need not fit into memory twice.
    fn export(&mut self, part: &Answer) -> io::Result<()> {
        match part {
            Answer::ExportStart { slots, keys } => {
                self.exported = 0;
                write!(
                    self.to,
                    "{{\n  \"store\": {{\n    \"total_slots\": {slots},\n    \"active_keys\": {keys}\n  }},\n  \"keys\": ["
                )
            }
            Answer::ExportedKey { entry, value } => {
                let comma = if self.exported > 0 { "," } else { "" };
                self.exported += 1;
                let mut fields = entry_fields(entry);
                if let Some(value) = value {
                    let (name, text) = value_field(value);
                    fields.insert(name.into(), text.into());
                }
                let text = serde_json::to_string_pretty(&fields)?.replace('\n', "\n    ");
                write!(self.to, "{comma}\n    {text}")
            }
            _ => {
                let end = if self.exported > 0 { "\n  ]\n}\n\n" } else { "]\n}\n\n" };
                self.to.write_all(end.as_bytes())
            }
        }
    }

    fn report(&mut self, report: &CheckReport) -> io::Result<()> {
        writeln!(
            self.to,
            "slots:       {} ({} in use)\nvalues:      {} bytes\nhandles:     {}\njournal:     {} entries",
            report.slots, report.keys, report.value_bytes, report.handles, report.journal_entries
        )?;
        if report.blank_entries > 0 {
            writeln!(
                self.to,
                "blank:       {} entries of the journal, from a repair",
                report.blank_entries
            )?;
        }
        if report.leftovers > 0 {
            writeln!(
                self.to,
                "leftovers:   {} slots, from before auto_vacuum",
                report.leftovers
            )?;
        }
        if report.undecided > 0 {
            writeln!(
                self.to,
                "undecided:   {} places where others were at work all the time",
                report.undecided
            )?;
        }
        for finding in &report.findings {
            writeln!(self.to, "{}: {}", finding.name(), escape::text(&finding.to_string()))?;
        }
        if report.omitted > 0 {
            writeln!(self.to, "and {} more", report.omitted)?;
        }
        self.to.write_all(match (report.is_clean(), report.is_damaged()) {
            (true, _) => b"Nothing is wrong.\n",
            (false, false) => b"Nothing is damaged: what was found goes by itself.\n",
            (false, true) => b"The store is damaged.\n",
        })
    }

    fn change(&mut self, change: &Change, time: Option<SystemTime>) -> io::Result<()> {
        if let Some(time) = time {
            write!(self.to, "{}  ", humantime::format_rfc3339_micros(time))?;
        }
        match change_parts(change) {
            (kind, sequence, Some((key, epoch))) => {
                writeln!(self.to, "{sequence:>10}  {kind:<10}  {epoch:>10}  {}", escape::text(key))
            }
            (kind, sequence, None) => match change {
                Change::Lost { count, .. } => {
                    writeln!(
                        self.to,
                        "{sequence:>10}  {kind:<10}  {count:>10}  changes, then what exists"
                    )
                }
                _ => writeln!(self.to, "{sequence:>10}  {kind}"),
            },
        }
    }

    fn rates(&mut self, rates: &Rates) -> io::Result<()> {
        if rates.with_heading {
            writeln!(
                self.to,
                "{:>12} {:>14} {:>10} {:>10} {:>15} {:>8} {:>8}",
                "changes/s", "changes", "keys", "used", "value bytes", "watches", "repairs"
            )?;
        }
        writeln!(
            self.to,
            "{:>12.1} {:>14} {:>10} {:>10} {:>15} {:>8} {:>8}",
            rates.changes_per_second,
            rates.changes,
            rates.keys,
            rates.slots_used,
            rates.value_bytes,
            rates.watches,
            rates.repairs
        )
    }
}

/// A name or path that people are shown.
pub(crate) fn shown(path: &Path) -> String {
    escape::text(&path.to_string_lossy()).into_owned()
}

/// Columns of the terminal.
fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    (size.ws_col > 0).then(|| usize::from(size.ws_col))
}

fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// A text that takes at most so many columns.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    let mut left = width.saturating_sub(1);
    let start = text.chars().take_while(|character| {
        let fits = character.width().unwrap_or(0) <= left;
        left = left.saturating_sub(character.width().unwrap_or(0));
        fits
    });
    start.chain(['…']).collect()
}

fn numbers_of(entry: &Entry) -> [String; 2] {
    [entry.epoch.to_string(), entry.value_bytes.to_string()]
}

fn creation(created: &Created) -> String {
    let name = shown(&created.store);
    match (created.slots, created.maxlen) {
        (None, None) if created.is_default => {
            format!("Creating default store '{name}' with  default geometry (1024 x 4096).")
        }
        (None, None) => format!("Creating '{name}' with default geometry."),
        (Some(slots), None) => format!("Creating '{name}' with {slots} slots and default value length of 4096."),
        (slots, Some(maxlen)) => {
            let slots = slots.unwrap_or(created.header.geometry.slots());
            format!("Creating '{name}' with {slots} slots with a max value length of {maxlen}.")
        }
    }
}

fn kind_of(event: &Event) -> &'static str {
    kind_name(event.kind)
}

/// The name of what has become of a key.
pub(crate) fn kind_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Set => "set",
        EventKind::Unset => "unset",
        EventKind::Expired => "expired",
        EventKind::Evicted => "evicted",
    }
}

/// Kind, place, and the key with its epoch if there is one.
fn change_parts(change: &Change) -> (&'static str, u64, Option<(&str, u64)>) {
    match change {
        Change::Set { sequence, key, epoch } => ("set", *sequence, Some((key, *epoch))),
        Change::Unset { sequence, key, epoch } => ("unset", *sequence, Some((key, *epoch))),
        Change::Expired { sequence, key, epoch } => ("expired", *sequence, Some((key, *epoch))),
        Change::Appended { sequence, key, epoch } => ("appended", *sequence, Some((key, *epoch))),
        Change::Evicted { sequence, key, epoch } => ("evicted", *sequence, Some((key, *epoch))),
        Change::Attributes { sequence, key, epoch } => ("attributes", *sequence, Some((key, *epoch))),
        Change::Current { sequence, key, epoch } => ("current", *sequence, Some((key, *epoch))),
        Change::Vanished { sequence } => ("vanished", *sequence, None),
        Change::Lost { sequence, .. } => ("lost", *sequence, None),
        _ => ("unknown", 0, None),
    }
}

/// A value as JSON has it: text, or base64 under a name that says so.
fn value_field(value: &[u8]) -> (&'static str, String) {
    match std::str::from_utf8(value) {
        Ok(text) => ("value", text.into()),
        Err(_) => ("value_base64", STANDARD.encode(value)),
    }
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields
        .into_iter()
        .map(|(name, value)| (name.to_string(), value))
        .collect()
}

fn entry_fields(entry: &Entry) -> Map<String, Value> {
    fields([
        ("key", json!(entry.key)),
        ("epoch", json!(entry.epoch)),
        ("value_length", json!(entry.value_bytes)),
    ])
}

fn header_json(header: &HeaderSnapshot) -> Value {
    let id: String = header.store_id.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "magic": header.magic,
        "version": header.version,
        "slots": header.geometry.slots(),
        "max_val_sz": header.geometry.max_value_bytes(),
        "max_key_sz": header.geometry.max_key_bytes(),
        "journal": header.geometry.journal_entries(),
        "epoch": header.epoch,
        "auto_vacuum": u8::from(header.auto_vacuum),
        "store_id": id,
        "region_bytes": header.region_bytes,
        "parse_failures": header.parse_failures,
        "last_failure_epoch": header.last_failure_epoch,
        "repairs": header.repairs,
    })
}

fn report_json(report: &CheckReport) -> Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "kind": finding.name(),
                "slot": finding.slot(),
                "damage": finding.is_damage(),
                "text": finding.to_string(),
            })
        })
        .collect();
    json!({
        "clean": report.is_clean(),
        "damaged": report.is_damaged(),
        "slots": report.slots,
        "keys": report.keys,
        "value_bytes": report.value_bytes,
        "handles": report.handles,
        "journal_entries": report.journal_entries,
        "blank_entries": report.blank_entries,
        "undecided": report.undecided,
        "leftovers": report.leftovers,
        "findings": findings,
        "omitted": report.omitted,
    })
}

fn json_of(answer: &Answer) -> Value {
    match answer {
        Answer::Created(created) => json!({
            "store": created.store.to_string_lossy(),
            "slots": created.header.geometry.slots(),
            "max_val_sz": created.header.geometry.max_value_bytes(),
        }),
        Answer::Connected(store) => json!({"store": store.to_string_lossy()}),
        Answer::Stored { key, epoch } => json!({"key": key, "epoch": epoch}),
        Answer::Value { key, value } => {
            let (name, text) = value_field(value);
            fields([
                ("key", json!(key)),
                ("value_length", json!(value.len())),
                (name, json!(text)),
            ])
            .into()
        }
        Answer::Head { key, slot } => json!({
            "hash": slot.hash,
            "epoch": slot.epoch,
            "val_off": slot.value_offset,
            "val_len": slot.value_bytes,
            "key": key,
        }),
        Answer::Deleted { key, value_bytes } => json!({"key": key, "value_length": value_bytes}),
        Answer::Listing(entries) => entries.iter().map(entry_fields).collect(),
        Answer::Imported { keys } => json!({"keys": keys}),
        Answer::Saved(file) => json!({"file": file.to_string_lossy()}),
        Answer::Removed(store) => json!({"store": store.to_string_lossy()}),
        Answer::Purged { slots } => json!({"slots": slots}),
        Answer::Checked(report) => report_json(report),
        Answer::Repaired(reports) => {
            json!({"found": report_json(&reports.found), "left": report_json(&reports.left)})
        }
        Answer::Header(header) => header_json(header),
        Answer::AutoVacuum { on, .. } => json!({"auto_vacuum": u8::from(*on)}),
        Answer::Event { event, .. } => {
            let mut fields = fields([
                ("key", json!(&*event.key)),
                ("epoch", json!(event.epoch)),
                ("seq", json!(event.sequence)),
                ("kind", json!(kind_of(event))),
            ]);
            if let Some(value) = &event.value {
                let (name, text) = value_field(value);
                fields.insert("value_length".into(), json!(value.len()));
                fields.insert(name.into(), json!(text));
            }
            fields.into()
        }
        Answer::Change { change, time } => {
            let mut fields = Map::new();
            if let Some(time) = time {
                let text = humantime::format_rfc3339_micros(*time).to_string();
                fields.insert("time".into(), json!(text));
            }
            let (kind, sequence, key) = change_parts(change);
            fields.insert("seq".into(), json!(sequence));
            fields.insert("kind".into(), json!(kind));
            if let Some((key, epoch)) = key {
                fields.insert("key".into(), json!(key));
                fields.insert("epoch".into(), json!(epoch));
            }
            if let Change::Lost { count, .. } = change {
                fields.insert("count".into(), json!(count));
            }
            fields.into()
        }
        Answer::Rates(rates) => json!({
            "time": humantime::format_rfc3339_micros(rates.time).to_string(),
            "changes_per_second": rates.changes_per_second,
            "changes": rates.changes,
            "keys": rates.keys,
            "slots_used": rates.slots_used,
            "slots": rates.slots,
            "value_bytes": rates.value_bytes,
            "watches": rates.watches,
            "repairs": rates.repairs,
        }),
        Answer::History(lines) => lines
            .iter()
            .map(|(number, line)| json!({"number": number, "line": line}))
            .collect(),
        Answer::Text(text) => json!(text),
        Answer::Help { about, .. } => about.clone(),
        Answer::Pages(directory) => json!({"dir": directory.to_string_lossy()}),
        Answer::ExportStart { .. } | Answer::ExportedKey { .. } | Answer::ExportEnd | Answer::Clear => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_and_padded_by_the_columns_they_take() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "long…");
        assert_eq!(cut("日本語日本語", 6), "日本…");
        assert_eq!(padded("日本", 6), "日本  ");
    }
}
