//! One table, where there is no screen.

use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;

use super::model::Model;
use super::per_second;
use super::view::{Column, View};
use crate::failure::Failure;

pub(super) fn table(model: &mut Model<'_>, view: &View<'_>, out: &mut dyn Write) -> Result<(), Failure> {
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

pub(super) fn json(model: &Model<'_>, view: &View<'_>, out: &mut dyn Write) -> Result<(), Failure> {
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
