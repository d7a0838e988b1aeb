//! What arguments can say: times, numbers, types and durabilities.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use splinter::ValueType;

/// A time longer than nothing: `90` or `90s`, `1.5h`, `1h 30m`. Without a unit it is in seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let unit_at = text.find(|character: char| character.is_alphabetic());
    let (number, unit) = text.split_at(unit_at.unwrap_or(text.len()));
    let unit_s = match unit {
        "" | "s" => Some(1.0),
        "ms" => Some(1e-3),
        "us" | "µs" => Some(1e-6),
        "ns" => Some(1e-9),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        "d" => Some(86_400.0),
        "w" => Some(604_800.0),
        _ => None,
    };
    let of_one_unit = match (number.trim_end().parse::<f64>(), unit_s) {
        (Ok(number), Some(unit_s)) => Duration::try_from_secs_f64(number * unit_s).ok(),
        // Several, or one that is spelt out.
        _ => humantime::parse_duration(text).ok(),
    };
    of_one_unit
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "it is a time longer than nothing: 90 for seconds, or 250ms, 90s, 1.5h, 7d, \"1h 30m\"".into())
}

/// A whole number in decimal, or in hexadecimal or binary behind 0x or 0b. What can be stored depends on the operation.
pub(crate) fn number(text: &str) -> Result<i128, String> {
    let parsed = match (text.strip_prefix("0x"), text.strip_prefix("0b")) {
        (Some(digits), _) => u64::from_str_radix(digits, 16).map(i128::from),
        (_, Some(digits)) => u64::from_str_radix(digits, 2).map(i128::from),
        _ => text.parse(),
    };
    parsed.map_err(|_| "it is a whole number of 64 bits, as 12, 0xff or 0b101".into())
}

/// What a power cut may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Durability {
    #[default]
    None,
    Commit,
    /// What was written in that time.
    Interval(Duration),
}

/// A durability: by its name, or a number of milliseconds.
pub(crate) fn durability(text: &str) -> Result<Durability, String> {
    match (text, text.parse::<u32>()) {
        ("none", _) => Ok(Durability::None),
        ("commit", _) => Ok(Durability::Commit),
        (_, Ok(ms @ 1..)) => Ok(Durability::Interval(Duration::from_millis(ms.into()))),
        _ => Err("it is none, commit or a number of milliseconds".into()),
    }
}

/// A type, by its name.
pub(crate) fn value_type() -> impl TypedValueParser<Value = ValueType> {
    PossibleValuesParser::new(ValueType::ALL.map(ValueType::name)).try_map(|name| name.parse::<ValueType>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_or_are_seconds() {
        for (text, ms) in [
            ("10", 10_000),
            ("0.25", 250),
            ("10s", 10_000),
            ("250ms", 250),
            ("1.5h", 5_400_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("2 days", 172_800_000),
            ("1w", 604_800_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "0", "-1", "0s", "s", "nan", "inf", "1e999", "1 fortnight", "1h-1m"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durabilities_have_names_or_are_times() {
        assert_eq!(durability("none"), Ok(Durability::None));
        assert_eq!(durability("commit"), Ok(Durability::Commit));
        assert_eq!(durability("250"), Ok(Durability::Interval(Duration::from_millis(250))));
        for bad in ["", "0", "-1", "1s", "always"] {
            assert!(durability(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_have_a_base() {
        assert_eq!(number("-12"), Ok(-12));
        assert_eq!(number("0xff"), Ok(255));
        assert_eq!(number("0b101"), Ok(5));
        for bad in ["", "0x", "1.5", "0xfffffffffffffffff", "one"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }
}
