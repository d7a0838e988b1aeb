//! Answers in words: for people, as JSON, or the bytes alone.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use splinter::{Change, CheckReport, Entry, Event, EventKind, HeaderSnapshot, SlotSnapshot, ValueType};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::answer::{Answer, Created, Imported, Rates};
use crate::escape;
use crate::labels::{Labels, numbers};
use crate::table::LineOptions;
use crate::write::number_of;

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

/// The part of an export that has the names of labels, by their numbers.
pub(crate) const LABEL_NAMES: &str = "label_names";

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
/// Of a listing with everything.
const TTL_WIDTH: usize = 20;
const LONG_LISTING_WIDTH: usize = LISTING_WIDTH + 3 + 7 + 3 + TTL_WIDTH + 3 + 6 + 3 + 6;
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
            Answer::Value { entry, .. } => self.to.write_all(&entry.value),
            Answer::Values(values) => values
                .iter()
                .filter_map(|(_, value)| value.as_deref())
                .try_for_each(|value| self.to.write_all(value)),
            Answer::Event { event, .. } => self.to.write_all(event.value.as_deref().unwrap_or_default()),
            Answer::Listing { entries, .. } => entries.iter().try_for_each(|entry| writeln!(self.to, "{}", entry.key)),
            Answer::LongListing { slots, .. } => slots.iter().try_for_each(|(key, _)| writeln!(self.to, "{key}")),
            Answer::Labelled { labels, .. } => labels.iter().try_for_each(|label| writeln!(self.to, "{label}")),
            Answer::LabelNames(labels) => {
                let names = labels.named().iter();
                names
                    .map(|(_, name)| name)
                    .try_for_each(|name| writeln!(self.to, "{name}"))
            }
            Answer::History(lines) => lines.iter().try_for_each(|(_, line)| writeln!(self.to, "{line}")),
            _ => self.show_human(answer),
        }
    }

    fn show_human(&mut self, answer: &Answer) -> io::Result<()> {
        match answer {
            Answer::Created(created) => writeln!(self.to, "{}", creation(created)),
            Answer::Value { entry, .. } => {
                self.value(&entry.value, true)?;
                self.to.write_all(b"\n\n")
            }
            Answer::Values(values) => {
                for (key, value) in values {
                    if let Some(value) = value {
                        write!(self.to, "{} ", escape::text(key))?;
                        self.value(value, false)?;
                        self.to.write_all(b"\n")?;
                    }
                }
                Ok(())
            }
            Answer::Head { key, slot, labels } => {
                writeln!(self.to, "hash:     {}", slot.hash)?;
                writeln!(self.to, "epoch:    {}", slot.epoch)?;
                writeln!(self.to, "val_off:  {}", slot.value_offset)?;
                writeln!(self.to, "val_len:  {}", slot.value_bytes)?;
                writeln!(self.to, "key:      {}", escape::text(key))?;
                writeln!(self.to, "type:     {}", slot.value_type)?;
                writeln!(self.to, "ttl:      {}", left(slot.ttl))?;
                writeln!(self.to, "pinned:   {}", yes(slot.is_pinned))?;
                let line = format!("labels:   {}", escape::text(&labels.join(", ")));
                writeln!(self.to, "{}\n", line.trim_end())
            }
            Answer::Deleted { value_bytes, .. } => writeln!(self.to, "{value_bytes} bytes deleted."),
            Answer::Listing { entries, .. } => self.listing(entries),
            Answer::LongListing { slots, labels } => self.long_listing(slots, labels),
            Answer::Labelled { labels, .. } => labels
                .iter()
                .try_for_each(|label| writeln!(self.to, "{}", escape::text(label))),
            Answer::LabelNames(labels) => labels
                .named()
                .iter()
                .try_for_each(|(number, name)| writeln!(self.to, "{number}: {}", escape::text(name))),
            Answer::Imported(Imported { keys, expired: 0 }) => writeln!(self.to, "{keys} keys imported."),
            Answer::Imported(Imported { keys, expired }) => {
                writeln!(self.to, "{keys} keys imported, {expired} had expired.")
            }
            Answer::Saved(file) => writeln!(self.to, "Saved to '{}'.", shown(file)),
            Answer::Removed(store) => writeln!(self.to, "Removed '{}'.", shown(store)),
            Answer::Purged { slots } => writeln!(self.to, "{slots} slots purged."),
            // What was recovered was told when the store was opened.
            Answer::Checked { report, .. } => self.report(report),
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
            Answer::Event { event, with_key, .. } => {
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
            Answer::Text(text) | Answer::Told { text, .. } => self.to.write_all(text.as_bytes()),
            Answer::Connected(_) | Answer::Pages(_) => Ok(()),
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

    /// All that a store knows of its keys, however wide the terminal is.
    fn long_listing(&mut self, slots: &[(String, SlotSnapshot)], labels: &Labels) -> io::Result<()> {
        let row = |key: &str, rest: [&str; 6]| {
            let columns = rest.iter().zip([NUMBER_WIDTH, NUMBER_WIDTH, 7, TTL_WIDTH, 6, 0]);
            let line = columns.fold(padded(key, KEY_WIDTH), |line, (text, width)| {
                format!("{line} | {}", padded(text, width))
            });
            line.trim_end().to_string()
        };
        let heading = ["Epoch", "Value Length", "Type", "Time To Live", "Pinned", "Labels"];
        writeln!(self.to, "{}", row("Key Name", heading))?;
        writeln!(self.to, "{}", "-".repeat(LONG_LISTING_WIDTH))?;
        for (key, slot) in slots {
            let numbers = [slot.epoch.to_string(), slot.value_bytes.to_string()];
            let names = labels.names(slot.labels).join(", ");
            let [epoch, length] = &numbers;
            let rest = [
                epoch,
                length,
                slot.value_type.name(),
                &left(slot.ttl),
                yes(slot.is_pinned),
                &escape::text(&names),
            ];
            writeln!(self.to, "{}", row(&escape::text(key), rest))?;
        }
        self.to.write_all(b"\n")
    }

    /// Key by key, so that a large store need not fit into memory twice.
    fn export(&mut self, part: &Answer) -> io::Result<()> {
        match part {
            Answer::ExportStart { slots, keys, labels } => {
                self.exported = 0;
                write!(
                    self.to,
                    "{{\n  \"store\": {{\n    \"total_slots\": {slots},\n    \"active_keys\": {keys}\n  }},\n"
                )?;
                if !labels.named().is_empty() {
                    let names = labels
                        .named()
                        .iter()
                        .map(|(number, name)| (number.to_string(), json!(name)));
                    let names = serde_json::to_string_pretty(&names.collect::<Map<_, _>>())?;
                    writeln!(self.to, "  \"{LABEL_NAMES}\": {},", names.replace('\n', "\n  "))?;
                }
                self.to.write_all(b"  \"keys\": [")
            }
            Answer::ExportedKey { entry, whole } => {
                let comma = if self.exported > 0 { "," } else { "" };
                self.exported += 1;
                let mut fields = entry_fields(entry);
                if let Some(whole) = whole {
                    let (value, slot) = &**whole;
                    let (name, text) = value_field(&value.value);
                    fields.insert(name.into(), text.into());
                    // What is usual is not said.
                    if value.value_type != ValueType::Void {
                        fields.insert("type".into(), value.value_type.name().into());
                    }
                    if slot.labels != 0 {
                        fields.insert("labels".into(), numbers(slot.labels).collect());
                    }
                    if slot.is_pinned {
                        fields.insert("pinned".into(), true.into());
                    }
                    if let Some(expires) = slot.ttl.and_then(|ttl| SystemTime::now().checked_add(ttl)) {
                        fields.insert("expires".into(), timestamp(expires).into());
                    }
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
                writeln!(
                    self.to,
                    "{sequence:>10}  {kind:<10}  {epoch:>10}  {}",
                    escape::text(key)
                )
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

/// A time for programs.
fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}

/// How long a key has yet to live, in milliseconds, of which a key that lives has at least one.
pub(crate) fn ttl_ms(ttl: Option<Duration>) -> Value {
    ttl.map_or(Value::Null, |ttl| (ttl.as_nanos().div_ceil(1_000_000) as u64).into())
}

/// How long a key has yet to live, for people.
pub(crate) fn left(ttl: Option<Duration>) -> String {
    match ttl_ms(ttl).as_u64() {
        Some(ms) => humantime::format_duration(Duration::from_millis(ms)).to_string(),
        None => "forever".into(),
    }
}

fn yes(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
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

/// What a listing tells programs of each key.
fn listed_fields(entry: &Entry, labels: &Labels) -> Map<String, Value> {
    let mut fields = entry_fields(entry);
    fields.insert("type".into(), entry.value_type.name().into());
    fields.insert("labels".into(), labels.names(entry.labels).into());
    fields
}

/// The same with all that the store knows.
fn long_fields(key: &str, slot: &SlotSnapshot, labels: &Labels) -> Map<String, Value> {
    fields([
        ("key", json!(key)),
        ("epoch", json!(slot.epoch)),
        ("value_length", json!(slot.value_bytes)),
        ("type", json!(slot.value_type.name())),
        ("labels", json!(labels.names(slot.labels))),
        ("ttl_ms", ttl_ms(slot.ttl)),
        ("pinned", json!(slot.is_pinned)),
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
        "eviction": header.eviction.name(),
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
        Answer::Value { key, entry } => {
            let (name, text) = value_field(&entry.value);
            let mut fields = fields([
                ("key", json!(key)),
                ("epoch", json!(entry.epoch)),
                ("type", json!(entry.value_type.name())),
                ("value_length", json!(entry.value.len())),
                (name, json!(text)),
            ]);
            if let (ValueType::BigInt | ValueType::BigUint, Some(number)) =
                (entry.value_type, number_of(&entry.value, entry.value_type))
            {
                fields.insert("number".into(), number);
            }
            fields.into()
        }
        Answer::Values(values) => values
            .iter()
            .map(|(key, value)| match value {
                Some(value) => {
                    let (name, text) = value_field(value);
                    fields([
                        ("key", json!(key)),
                        ("value_length", json!(value.len())),
                        (name, json!(text)),
                    ])
                }
                None => fields([("key", json!(key)), ("value", Value::Null)]),
            })
            .collect(),
        Answer::Head { key, slot, labels } => json!({
            "hash": slot.hash,
            "epoch": slot.epoch,
            "val_off": slot.value_offset,
            "val_len": slot.value_bytes,
            "key": key,
            "type": slot.value_type.name(),
            "ttl_ms": ttl_ms(slot.ttl),
            "pinned": slot.is_pinned,
            "labels": labels,
        }),
        Answer::Deleted { key, value_bytes } => json!({"key": key, "value_length": value_bytes}),
        Answer::Listing { entries, labels } => entries.iter().map(|entry| listed_fields(entry, labels)).collect(),
        Answer::LongListing { slots, labels } => {
            slots.iter().map(|(key, slot)| long_fields(key, slot, labels)).collect()
        }
        Answer::Labelled { key, labels } => json!({"key": key, "labels": labels}),
        Answer::LabelNames(labels) => labels
            .named()
            .iter()
            .map(|(number, name)| json!({"number": number, "name": name}))
            .collect(),
        Answer::Imported(Imported { keys, expired }) => json!({"keys": keys, "expired": expired}),
        Answer::Saved(file) => json!({"file": file.to_string_lossy()}),
        Answer::Removed(store) => json!({"store": store.to_string_lossy()}),
        Answer::Purged { slots } => json!({"slots": slots}),
        Answer::Checked { report, recovery } => {
            let mut about = report_json(report);
            about["recovery"] = recovery.map_or(
                Value::Null,
                |recovery| json!({"kept": recovery.kept, "restored": recovery.restored, "lost": recovery.lost}),
            );
            about
        }
        Answer::Repaired(reports) => {
            json!({"found": report_json(&reports.found), "left": report_json(&reports.left)})
        }
        Answer::Header(header) => header_json(header),
        Answer::Event { event, with_offset, .. } => {
            let mut fields = fields([
                ("key", json!(&*event.key)),
                ("epoch", json!(event.epoch)),
                ("seq", json!(event.sequence)),
                ("kind", json!(kind_of(event))),
            ]);
            if let Some(value) = &event.value {
                let (name, text) = value_field(value);
                if *with_offset {
                    fields.insert("offset".into(), json!(event.offset));
                }
                fields.insert("value_length".into(), json!(value.len()));
                fields.insert(name.into(), json!(text));
            }
            fields.into()
        }
        Answer::Change { change, time } => {
            let mut fields = Map::new();
            if let Some(time) = time {
                let text = timestamp(*time);
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
            "time": timestamp(rates.time),
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
        Answer::Told { about, .. } => about.clone(),
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
