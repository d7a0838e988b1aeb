//! Commands about what belongs to a key beside its value: times to live, pins, types and labels.

use std::time::{Duration, Instant};

use serde_json::json;
use splinter::{SetOptions, TimeToLive, ValueType};

use crate::answer::Answer;
use crate::commands::no_key;
use crate::failure::{Code, Failure};
use crate::labels::{Labels, is_name};
use crate::output::{left, ttl_ms};
use crate::session::Session;
use crate::table::LabelArgs;

/// How long it is tried to change something that others change all the time.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) fn expire(session: &mut Session, key: &str, ttl: Duration) -> Result<Answer, Failure> {
    let key = session.key(key);
    if !session.store()?.expire(&key, ttl)? {
        return Err(no_key(&key));
    }
    Ok(Answer::quiet(json!({"key": key, "ttl_ms": ttl_ms(Some(ttl))})))
}

pub(crate) fn persist(session: &mut Session, key: &str) -> Result<Answer, Failure> {
    let key = session.key(key);
    let store = session.store()?;
    let had_ttl = store.persist(&key)?;
    if !had_ttl && !store.contains(&key)? {
        return Err(no_key(&key));
    }
    Ok(Answer::quiet(json!({"key": key, "had_ttl": had_ttl})))
}

pub(crate) fn ttl(session: &mut Session, key: &str) -> Result<Answer, Failure> {
    let key = session.key(key);
    let ttl = match session.store()?.ttl(&key)?.ok_or_else(|| no_key(&key))? {
        TimeToLive::Forever => None,
        TimeToLive::Left(ttl) => Some(ttl),
    };
    Ok(Answer::line(left(ttl), json!({"key": key, "ttl_ms": ttl_ms(ttl)})))
}

pub(crate) fn pin(session: &mut Session, key: &str, pinned: bool) -> Result<Answer, Failure> {
    let key = session.key(key);
    if !session.store()?.pin(&key, pinned)? {
        return Err(no_key(&key));
    }
    Ok(Answer::quiet(json!({"key": key, "pinned": pinned})))
}

pub(crate) fn value_type(session: &mut Session, key: &str, new: Option<ValueType>) -> Result<Answer, Failure> {
    let key = session.key(key);
    let store = session.store()?;
    let start = Instant::now();
    loop {
        let entry = store.get_entry(&key)?.ok_or_else(|| no_key(&key))?;
        let Some(new) = new else {
            let name = entry.value_type.name();
            return Ok(Answer::line(name, json!({"key": key, "type": name})));
        };
        let options = SetOptions::new().if_epoch(entry.epoch).keep_ttl().value_type(new);
        if entry.value_type == new || store.set_with(&key, entry.value, &options)?.is_written() {
            return Ok(Answer::quiet(json!({"key": key, "type": new.name()})));
        }
        if start.elapsed() >= PATIENCE {
            return Err(Failure::new(Code::Busy, "others write the key all the time; try again"));
        }
    }
}

pub(crate) fn label(session: &mut Session, arguments: &LabelArgs) -> Result<Answer, Failure> {
    let store = session.store()?;
    if let Some([number, name]) = arguments.name.as_deref() {
        let number = number
            .parse()
            .map_err(|_| Failure::usage(format!("\"{number}\" is no number from 0 to 63")))?;
        if !is_name(name) {
            let message = "a label's name is no number, and does not begin with + or -; choose another";
            return Err(Failure::usage(message));
        }
        store.name_label(number, name)?;
        return Ok(Answer::quiet(json!({"number": number, "name": name})));
    }
    let key = session.key(arguments.key.as_deref().unwrap_or_default());
    let names = Labels::of(&store)?;
    let (mut add, mut remove) = (0, 0);
    for word in &arguments.labels {
        if word.starts_with("--") {
            let message = format!("\"{word}\" stands behind a label; options stand before the labels");
            return Err(Failure::usage(message));
        }
        let (label, to, from) = match word.strip_prefix('-') {
            Some(label) => (label, &mut remove, &mut add),
            None => (word.strip_prefix('+').unwrap_or(word), &mut add, &mut remove),
        };
        let bit = names.bit(label)?;
        // The last word counts.
        (*to, *from) = (*to | bit, *from & !bit);
    }
    let labels = if arguments.labels.is_empty() {
        store.labels(&key)?
    } else {
        store.label(&key, add, remove)?
    };
    let labels = labels.ok_or_else(|| no_key(&key))?;
    Ok(Answer::Labelled {
        key,
        labels: names.names(labels),
    })
}
