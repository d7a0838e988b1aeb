//! Which keys are meant.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::region::Region;

/// Which keys are meant: one, several, those that begin alike, or those of a glob.
///
/// A string is a key as it stands. Globs are written with `*` for any run of characters, `/` among them, with `?` for one
/// character, and with `\` before a character that is meant literally; they are compared with the whole key.
///
/// ```
/// use splinter::Pattern;
///
/// assert!(Pattern::from("cpu/0").matches("cpu/0"));
/// assert!(Pattern::keys(["cpu/0", "memory"]).matches("memory"));
/// assert!(Pattern::prefix("cpu/").matches("cpu/0"));
/// assert!(Pattern::glob("cpu/?/l*d").matches("cpu/0/load"));
/// assert!(Pattern::all().matches("anything"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Keys(Vec<String>),
    Prefix(String),
    Glob(Vec<Piece>),
}

/// A part of a glob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Run,
    One,
    Literal(char),
}

impl Pattern {
    /// One key.
    pub fn key(key: impl Into<String>) -> Self {
        Self(Kind::Keys(vec![key.into()]))
    }

    /// Several keys.
    pub fn keys(keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(Kind::Keys(keys.into_iter().map(Into::into).collect()))
    }

    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self(Kind::Prefix(prefix.into()))
    }

    /// All keys that a glob matches.
    pub fn glob(glob: &str) -> Self {
        let mut pieces = Vec::new();
        let mut characters = glob.chars();
        while let Some(character) = characters.next() {
            pieces.push(match character {
                '*' => Piece::Run,
                '?' => Piece::One,
                // The last character of a glob cannot escape anything.
                '\\' => Piece::Literal(characters.next().unwrap_or('\\')),
                _ => Piece::Literal(character),
            });
        }
        Self(Kind::Glob(pieces))
    }

    /// All keys.
    pub fn all() -> Self {
        Self::prefix("")
    }

    /// Whether a key is meant.
    pub fn matches(&self, key: &str) -> bool {
        match &self.0 {
            Kind::Keys(keys) => keys.iter().any(|one| one == key),
            Kind::Prefix(prefix) => begins_with(key.as_bytes(), prefix.as_bytes()),
            Kind::Glob(pieces) => glob_matches(pieces, key),
        }
    }

    /// The keys, if they are named one by one.
    pub(crate) fn exact_keys(&self) -> Option<&[String]> {
        match &self.0 {
            Kind::Keys(keys) => Some(keys),
            Kind::Prefix(_) | Kind::Glob(_) => None,
        }
    }

    /// Fails for keys that this store cannot have.
    pub(crate) fn check(&self, region: &Region) -> Result<()> {
        match &self.0 {
            Kind::Keys(keys) if keys.is_empty() => Err(Error::InvalidArgument {
                reason: "no keys are named".into(),
            }),
            Kind::Keys(keys) => keys.iter().try_for_each(|key| region.key(key.as_bytes()).map(drop)),
            Kind::Prefix(_) | Kind::Glob(_) => Ok(()),
        }
    }
}

/// Whether a key begins with a prefix, most often the empty one: whose address is none, as that of any empty vector. The C
/// library's comparison reads there, masked, and while that is harmless, the processor takes 40 ns to find that it is.
#[inline]
pub(crate) fn begins_with(key: &[u8], prefix: &[u8]) -> bool {
    prefix.is_empty() || key.starts_with(prefix)
}

/// Goes back only to the last run that was met, because an earlier one could not do better: lengths multiply, at worst.
fn glob_matches(pieces: &[Piece], key: &str) -> bool {
    let mut rest = key.chars();
    let mut at = 0;
    // The piece behind the last run, and what of the key it was tried on.
    let mut retry = None;
    loop {
        match pieces.get(at) {
            Some(Piece::Run) => {
                at += 1;
                retry = Some((at, rest.clone()));
                continue;
            }
            Some(&piece) => {
                let next = rest.next();
                if next.is_some_and(|character| piece == Piece::One || piece == Piece::Literal(character)) {
                    at += 1;
                    continue;
                }
            }
            None if rest.as_str().is_empty() => return true,
            None => {}
        }
        // The last run takes one character more.
        let Some((behind, from)) = &mut retry else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        at = *behind;
        rest = from.clone();
    }
}

impl From<&str> for Pattern {
    fn from(key: &str) -> Self {
        Self::key(key)
    }
}

impl From<String> for Pattern {
    fn from(key: String) -> Self {
        Self::key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, taken at its word.
    fn matches_by_definition(pieces: &[Piece], key: &[char]) -> bool {
        match (pieces, key) {
            ([], _) => key.is_empty(),
            ([Piece::Run, rest @ ..], _) => (0..=key.len()).any(|n| matches_by_definition(rest, &key[n..])),
            ([Piece::One, rest @ ..], [_, tail @ ..]) => matches_by_definition(rest, tail),
            ([Piece::Literal(c), rest @ ..], [first, tail @ ..]) => c == first && matches_by_definition(rest, tail),
            (_, []) => false,
        }
    }

    #[test]
    fn a_glob_matches_what_its_definition_says() {
        let words = |alphabet: &[char], longest: u32| {
            (0..=longest)
                .flat_map(|n| (0..alphabet.len().pow(n)).map(move |code| (n, code)))
                .map(|(n, code)| {
                    (0..n)
                        .map(|i| alphabet[code / alphabet.len().pow(i) % alphabet.len()])
                        .collect::<String>()
                })
                .collect::<Vec<_>>()
        };
        let keys = words(&['a', 'ü', '*'], 5);
        for glob in words(&['a', 'ü', '*', '?', '\\'], 5) {
            let pattern = Pattern::glob(&glob);
            let Kind::Glob(pieces) = &pattern.0 else { unreachable!() };
            for key in &keys {
                let characters: Vec<char> = key.chars().collect();
                assert_eq!(
                    pattern.matches(key),
                    matches_by_definition(pieces, &characters),
                    "{glob} {key}"
                );
            }
        }
    }

    #[test]
    fn what_is_escaped_is_meant_literally() {
        assert!(Pattern::glob(r"a\*\?\\").matches(r"a*?\"));
        assert!(!Pattern::glob(r"a\*").matches("ab"));
        assert!(Pattern::glob("end\\").matches("end\\"));
    }

    #[test]
    fn a_glob_of_many_runs_takes_no_exponential_time() {
        let glob = "a*".repeat(200) + "b";
        assert!(!Pattern::glob(&glob).matches(&"a".repeat(1024)));
    }
}
