//! How often a test tries what it tries: a little by default, as often or as long as the environment says otherwise.

// Each test file uses its part of this.
#![allow(dead_code)]

use std::time::{Duration, Instant};

/// A number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// Seeds, one for each try: so many by default, as many as `SPLINTER_TEST_ROUNDS` says, or at least the default and for as
/// long as `SPLINTER_TEST_SECONDS` says. The first is `SPLINTER_TEST_SEED`, or 1.
pub(crate) struct Tries {
    next: u64,
    /// Those before it are tried whatever the clock says.
    enough: u64,
    end: Option<Instant>,
}

pub(crate) fn tries(default: u64) -> Tries {
    let first = number("SPLINTER_TEST_SEED").unwrap_or(1);
    let rounds = number("SPLINTER_TEST_ROUNDS");
    let seconds = number("SPLINTER_TEST_SECONDS").filter(|_| rounds.is_none());
    Tries {
        next: first,
        enough: first + rounds.unwrap_or(default),
        end: seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
    }
}

impl Iterator for Tries {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let goes_on = self.next < self.enough || self.end.is_some_and(|end| Instant::now() < end);
        self.next += u64::from(goes_on);
        goes_on.then(|| self.next - 1)
    }
}

/// Tells how often something was tried, for those who count it: `what` is in the plural.
pub(crate) fn tried(count: u64, what: &str) {
    println!("tried: {count} {what}");
}
