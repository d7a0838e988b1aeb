//! Reading what `export --values` wrote.

use std::array;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use splinter::{Error, LABELS, SetOptions, Store, ValueType};

use crate::answer::Imported;
use crate::failure::{Code, Failure, code_of, sentence};
use crate::output::LABEL_NAMES;
use crate::signals::Interrupts;

/// Sets the keys of a document, one by one as they are read, and returns how many.
///
/// A value, its type and its deadline are set as one step, and the labels and the pin after it. What fails in the middle leaves the keys before it set.
pub(crate) fn import(store: &Store, from: impl Read, bytes: Option<u64>) -> Result<Imported, Failure> {
    // Shows nothing unless the standard error is a terminal.
    let bar = match bytes {
        Some(bytes) => ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr()),
        None => ProgressBar::hidden(),
    };
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent:>3} %, {binary_bytes_per_sec}, {eta} left") {
        bar.set_style(style);
    }
    let interrupts = Interrupts::catch().ok();
    let mut state = State {
        store,
        interrupts,
        imported: Imported::default(),
        labels: array::from_fn(|label| 1 << label),
        failure: None,
        has_list: false,
    };
    let mut parser = serde_json::Deserializer::from_reader(bar.wrap_read(from));
    let read = Document(&mut state)
        .deserialize(&mut parser)
        .and_then(|()| parser.end());
    bar.finish_and_clear();
    let set = state.imported.keys;
    let (code, message) = match (state.failure, read) {
        (Some(failure), _) => failure,
        (None, Err(error)) if error.is_io() => (Code::Usage, format!("could not read the file: {error}")),
        (None, Err(error)) => (
            Code::NotAStore,
            format!("not what \"export --values\" writes: {error}; export it again"),
        ),
        (None, Ok(())) if !state.has_list => (
            Code::NotAStore,
            "not what \"export --values\" writes: it has no \"keys\"; export it again".into(),
        ),
        (None, Ok(())) => return Ok(state.imported),
    };
    Err(Failure::new(
        code,
        format!("{message} ({set} keys were imported before)"),
    ))
}

struct State<'a> {
    store: &'a Store,
    interrupts: Option<Interrupts>,
    imported: Imported,
    /// The bits that the document's labels have in this store.
    labels: [u64; LABELS as usize],
    /// What the parser's error does not tell.
    failure: Option<(Code, String)>,
    has_list: bool,
}

impl State<'_> {
    fn set(&mut self, item: Item) -> Result<(), (Code, String)> {
        let Item {
            key,
            value,
            value_base64,
            value_type,
            labels,
            pinned,
            expires,
        } = item;
        let value = match (value, value_base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(text)) => STANDARD.decode(text).map_err(|error| {
                let message = format!("the value of \"{key}\" is not in base64: {error}; export it again");
                (Code::NotAStore, message)
            })?,
            _ => {
                let message = format!("\"{key}\" has no value; write the file with \"export --values\"");
                return Err((Code::NotAStore, message));
            }
        };
        if self.interrupts.as_ref().is_some_and(Interrupts::came) {
            return Err((
                Code::ConditionNotMet,
                "interrupted; import it again for the rest".into(),
            ));
        }
        let damaged = |what: &str| (Code::NotAStore, format!("\"{key}\" has {what}; export it again"));
        let value_type = value_type.as_deref().unwrap_or(ValueType::Void.name());
        let value_type = value_type.parse().map_err(|_| damaged("a type that there is not"))?;
        let mut options = SetOptions::new().value_type(value_type);
        if let Some(expires) = expires {
            let expires = humantime::parse_rfc3339(&expires).map_err(|_| damaged("an \"expires\" that is no time"))?;
            match expires.duration_since(SystemTime::now()) {
                Ok(ttl) if !ttl.is_zero() => options = options.ttl(ttl),
                _ => {
                    self.imported.expired += 1;
                    return Ok(());
                }
            }
        }
        let mut bits = 0;
        for label in labels {
            bits |= self
                .labels
                .get(label)
                .ok_or_else(|| damaged("a label that there is not"))?;
        }
        let store = self.store;
        let set = || {
            // Without a condition it is always written.
            let _ = store.set_with(&key, value, &options)?;
            store.label(&key, bits, !bits)?;
            store.pin(&key, pinned)
        };
        set().map_err(|error| (code_of(&error), format!("\"{key}\": {}", sentence(&error))))?;
        self.imported.keys += 1;
        Ok(())
    }

    /// Finds the document's labels in the store by their names, or names them there: by the same number if nothing else has it.
    fn name_labels(&mut self, names: BTreeMap<String, String>) -> Result<(), (Code, String)> {
        let refused = |error: Error| (code_of(&error), sentence(&error));
        for (number, name) in names {
            let number = number
                .parse::<usize>()
                .ok()
                .filter(|&number| number < self.labels.len());
            let number = number.ok_or_else(|| {
                let message = format!("a label \"{name}\" has a number that there is not; export it again");
                (Code::NotAStore, message)
            })?;
            let known = self.store.label_names().map_err(refused)?;
            let label = match known.iter().find(|(_, known)| *known == name) {
                Some((label, _)) => *label,
                None => {
                    let is_free = |label: &u32| known.iter().all(|(other, _)| other != label);
                    let label = [number as u32].into_iter().chain((0..LABELS).rev()).find(is_free);
                    let label = label.ok_or_else(|| {
                        let message = format!("no label is left for \"{name}\"; \"label --name N ''\" frees one");
                        (Code::Full, message)
                    })?;
                    self.store.name_label(label, &name).map_err(refused)?;
                    label
                }
            };
            self.labels[number] = 1 << label;
        }
        Ok(())
    }
}

/// A key of a document. What else is said of it belongs to the store that it came from.
#[derive(Deserialize)]
struct Item {
    key: String,
    value: Option<String>,
    value_base64: Option<String>,
    #[serde(rename = "type")]
    value_type: Option<String>,
    #[serde(default)]
    labels: Vec<usize>,
    #[serde(default)]
    pinned: bool,
    expires: Option<String>,
}

struct Document<'a, 'b>(&'a mut State<'b>);
struct List<'a, 'b>(&'a mut State<'b>);

impl<'de> DeserializeSeed<'de> for Document<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with \"keys\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "keys" {
                self.0.has_list = true;
                map.next_value_seed(List(self.0))?;
            } else if name == LABEL_NAMES {
                let names = map.next_value()?;
                // The keys before would have got other labels.
                let named = if self.0.has_list {
                    Err((
                        Code::NotAStore,
                        format!("\"{LABEL_NAMES}\" stands behind \"keys\"; export it again"),
                    ))
                } else {
                    self.0.name_labels(names)
                };
                if let Err(failure) = named {
                    self.0.failure = Some(failure);
                    return Err(A::Error::custom("stopped"));
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for List<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of keys")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element::<Item>()? {
            if let Err(failure) = self.0.set(item) {
                self.0.failure = Some(failure);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}
