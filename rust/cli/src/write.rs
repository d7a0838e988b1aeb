//! Commands that change values: `set`, `mset`, `unset`, `append`, and those of numbers.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};
use splinter::{Error, Integer, Operation, Outcome, SetOptions, Store, ValueType};

use crate::answer::Answer;
use crate::commands::no_key;
use crate::failure::{Code, Failure, code_of, sentence};
use crate::output::Output;
use crate::parse;
use crate::session::Session;
use crate::table::{ConditionArgs, SetArgs};

pub(crate) fn set(session: &mut Session, arguments: &SetArgs, output: &mut Output<'_>) -> Result<(), Failure> {
    let key = session.key(&arguments.key);
    let store = session.store()?;
    let mut options = SetOptions::new();
    let ConditionArgs {
        if_absent,
        if_present,
        if_epoch,
    } = arguments.condition;
    if if_absent {
        options = options.if_absent();
    }
    if if_present {
        options = options.if_present();
    }
    if let Some(epoch) = if_epoch {
        options = options.if_epoch(epoch);
    }
    if arguments.keep_ttl {
        options = options.keep_ttl();
    }
    if let Some(ttl) = arguments.ttl {
        options = options.ttl(ttl);
    }
    if let Some(value_type) = arguments.value_type {
        options = options.value_type(value_type);
    }
    let value = match arguments.value_type {
        Some(ValueType::BigInt) if arguments.value != "-" => {
            number::<i64>(typed_number(&arguments.value)?)?.to_le_bytes().into()
        }
        Some(ValueType::BigUint) if arguments.value != "-" => {
            number::<u64>(typed_number(&arguments.value)?)?.to_le_bytes().into()
        }
        _ => bytes_of(&arguments.value, &store)?,
    };
    let outcome = store.set_with(&key, value, &options)?;
    finish(&key, outcome, if_epoch, output)
}

/// A value that is to be stored as a number.
fn typed_number(value: &OsStr) -> Result<i128, Failure> {
    let text = value.to_string_lossy();
    parse::number(&text)
        .map_err(|complaint| Failure::usage(format!("\"{text}\" is not a value of this type: {complaint}")))
}

/// What was typed, or the standard input, of which no more is read than a value can have.
fn bytes_of(typed: &OsStr, store: &Store) -> Result<Vec<u8>, Failure> {
    if typed != "-" {
        return Ok(typed.as_bytes().into());
    }
    let max = u64::from(store.geometry().max_value_bytes());
    let mut bytes = Vec::new();
    // No more than shows that it is too much.
    io::stdin()
        .lock()
        .take(max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage(format!("could not read the standard input: {error}")))?;
    if bytes.len() as u64 > max {
        let message = format!(
            "the standard input has more than {max} bytes, the longest value of this store; \
             \"init --maxlen\" makes a store for longer ones"
        );
        return Err(Failure::new(Code::TooLarge, message));
    }
    Ok(bytes)
}

/// Tells what a conditional write came to: programs get the epoch that was found too.
fn finish(key: &str, outcome: Outcome, if_epoch: Option<u64>, output: &mut Output<'_>) -> Result<(), Failure> {
    let (is_written, epoch) = match outcome {
        Outcome::Written { epoch } => (true, Some(epoch)),
        Outcome::NotMet { found } => (false, found),
    };
    output.show(&Answer::quiet(
        json!({"key": key, "written": is_written, "epoch": epoch}),
    ))?;
    if is_written {
        return Ok(());
    }
    output.flush()?;
    let found = match (epoch, if_epoch) {
        (None, _) => format!("there is no key \"{key}\""),
        (Some(found), Some(wanted)) if wanted > 0 => format!("\"{key}\" has epoch {found}, not {wanted}"),
        (Some(found), _) => format!("\"{key}\" exists already, with epoch {found}"),
    };
    Err(Failure::new(
        Code::ConditionNotMet,
        format!("{found}; nothing was changed"),
    ))
}

pub(crate) fn mset(session: &mut Session, words: &[OsString]) -> Result<Answer, Failure> {
    let (pairs, []) = words.as_chunks::<2>() else {
        return Err(Failure::usage("the last key has no value; give each key one"));
    };
    let entry = |[key, value]: &[OsString; 2]| {
        let text = key
            .to_str()
            .ok_or_else(|| Failure::usage("a key is not UTF-8, which keys are"))?;
        Ok((session.key(text), value.as_bytes().to_vec()))
    };
    let entries: Vec<(String, Vec<u8>)> = pairs.iter().map(entry).collect::<Result<_, Failure>>()?;
    let store = session.store()?;
    store.set_many(&entries).map_err(|failed| {
        let key = entries.get(failed.done).map_or("", |(key, _)| key);
        let message = format!(
            "\"{key}\": {} ({} keys were set before)",
            sentence(&failed.error),
            failed.done
        );
        Failure::new(code_of(&failed.error), message)
    })?;
    Ok(Answer::quiet(json!({"keys": entries.len()})))
}

pub(crate) fn unset(
    session: &mut Session,
    key: &str,
    if_epoch: Option<u64>,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let key = session.key(key);
    let store = session.store()?;
    let deleted = match if_epoch {
        None => store.unset(&key)?.ok_or_else(|| no_key(&key))?,
        Some(epoch) => {
            // Of that epoch or none: what is deleted is then what was looked at.
            let slot = store.slot_snapshot(&key)?;
            let outcome = match slot {
                Some(slot) if slot.epoch >> 1 == epoch >> 1 => store.unset_if_epoch(&key, epoch)?,
                other => Outcome::NotMet {
                    found: other.map(|slot| slot.epoch),
                },
            };
            match slot {
                Some(slot) if outcome.is_written() => slot.value_bytes,
                _ => return finish(&key, outcome, if_epoch, output),
            }
        }
    };
    Ok(output.show(&Answer::Deleted {
        key,
        value_bytes: deleted,
    })?)
}

pub(crate) fn append(session: &mut Session, key: &str, value: &OsStr) -> Result<Answer, Failure> {
    let key = session.key(key);
    let store = session.store()?;
    let value_bytes = store.append(&key, bytes_of(value, &store)?)?;
    Ok(Answer::line(
        value_bytes.to_string(),
        json!({"key": key, "value_length": value_bytes}),
    ))
}

/// What is done to a number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Add { checked: bool },
    Sub { checked: bool },
    And,
    Or,
    Xor,
    Not,
}

impl Step {
    fn with<T>(self, operand: T) -> Operation<T> {
        match self {
            Self::Add { checked: false } => Operation::Add(operand),
            Self::Add { checked: true } => Operation::AddChecked(operand),
            Self::Sub { checked: false } => Operation::Sub(operand),
            Self::Sub { checked: true } => Operation::SubChecked(operand),
            Self::And => Operation::And(operand),
            Self::Or => Operation::Or(operand),
            Self::Xor => Operation::Xor(operand),
            Self::Not => Operation::Not,
        }
    }
}

/// Changes a number by one step, and tells what it is then.
pub(crate) fn change(
    session: &mut Session,
    key: &str,
    step: Step,
    operand: i128,
    signed: bool,
) -> Result<Answer, Failure> {
    let key = session.key(key);
    let store = session.store()?;
    let is_signed = signed
        || store
            .slot_snapshot(&key)?
            .is_some_and(|slot| slot.value_type == ValueType::BigInt);
    if is_signed {
        apply::<i64>(&store, key, step, operand)
    } else {
        apply::<u64>(&store, key, step, operand)
    }
}

fn apply<T>(store: &Store, key: String, step: Step, operand: i128) -> Result<Answer, Failure>
where
    T: Integer + TryFrom<i128> + Display + Into<Value>,
{
    let number = store
        .apply(&key, step.with(number::<T>(operand)?))
        .map_err(|error| match error {
            Error::WrongType => Failure::usage(format!(
                "\"{key}\" is no number, which has 8 bytes; \"set --type biguint\" stores one"
            )),
            Error::Overflow => Failure::new(
                Code::ConditionNotMet,
                format!("\"{key}\" has no room for that in 64 bits; nothing was changed"),
            ),
            error => error.into(),
        })?;
    let text = number.to_string();
    let number: Value = number.into();
    Ok(Answer::line(text, json!({"key": key, "number": number})))
}

/// A number of the type that is to be stored.
fn number<T: Integer + TryFrom<i128>>(number: i128) -> Result<T, Failure> {
    T::try_from(number).map_err(|_| {
        Failure::usage(match T::TYPE {
            ValueType::BigInt => format!("{number} is not from {} to {}", i64::MIN, i64::MAX),
            _ if number < 0 => format!("{number} is below 0; --signed is for such numbers"),
            _ => format!("{number} is more than {}", u64::MAX),
        })
    })
}

/// The number that a value is, if it has the length of one.
pub(crate) fn number_of(value: &[u8], value_type: ValueType) -> Option<Value> {
    let bytes = value.try_into().ok()?;
    Some(match value_type {
        ValueType::BigInt => i64::from_le_bytes(bytes).into(),
        _ => u64::from_le_bytes(bytes).into(),
    })
}
