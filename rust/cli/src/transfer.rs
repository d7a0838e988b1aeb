//! Reading what `export --values` wrote.

use std::fmt;
use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use splinter::Store;

use crate::failure::{Code, Failure, code_of, sentence};
use crate::signals::Interrupts;

/// Sets the keys of a document, one by one as they are read, and returns how many.
///
/// What fails in the middle leaves the keys before it set.
pub(crate) fn import(store: &Store, from: impl Read, bytes: Option<u64>) -> Result<u64, Failure> {
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
        keys: 0,
        failure: None,
        has_list: false,
    };
    let mut parser = serde_json::Deserializer::from_reader(bar.wrap_read(from));
    let read = Document(&mut state)
        .deserialize(&mut parser)
        .and_then(|()| parser.end());
    bar.finish_and_clear();
    let set = state.keys;
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
        (None, Ok(())) => return Ok(set),
    };
    Err(Failure::new(
        code,
        format!("{message} ({set} keys were imported before)"),
    ))
}

struct State<'a> {
    store: &'a Store,
    interrupts: Option<Interrupts>,
    keys: u64,
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
        self.store
            .set(&key, value)
            .map_err(|error| (code_of(&error), format!("\"{key}\": {}", sentence(&error))))?;
        self.keys += 1;
        Ok(())
    }
}

/// A key of a document. What else is said of it belongs to the store that it came from.
#[derive(Deserialize)]
struct Item {
    key: String,
    value: Option<String>,
    value_base64: Option<String>,
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
