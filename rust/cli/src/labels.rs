//! Labels by the names that the store keeps for them, and by their numbers.

use splinter::{LABELS, Store};

use crate::failure::Failure;

/// The names that the labels of a store have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Labels(Vec<(u32, String)>);

impl Labels {
    pub(crate) fn of(store: &Store) -> Result<Self, Failure> {
        Ok(Self(store.label_names()?))
    }

    /// Numbers with their names.
    pub(crate) fn named(&self) -> &[(u32, String)] {
        &self.0
    }

    /// What a label is called: its number if it has no name.
    fn name(&self, label: u32) -> String {
        let named = self.0.iter().find(|(number, _)| *number == label);
        named.map_or_else(|| label.to_string(), |(_, name)| name.clone())
    }

    /// The labels of a key, one bit each, as they are called.
    pub(crate) fn names(&self, labels: u64) -> Vec<String> {
        numbers(labels).map(|label| self.name(label)).collect()
    }

    /// The bit of a label that somebody has typed.
    pub(crate) fn bit(&self, typed: &str) -> Result<u64, Failure> {
        let number = self.0.iter().find(|(_, name)| name == typed).map(|(number, _)| *number);
        let number = number.or_else(|| typed.parse().ok().filter(|number| *number < LABELS));
        number.map(|number| 1 << number).ok_or_else(|| {
            Failure::usage(format!(
                "there is no label \"{typed}\"; \"labels\" shows the names, \"label --name N NAME\" makes one"
            ))
        })
    }

    /// The bits of several.
    pub(crate) fn bits(&self, typed: &[String]) -> Result<u64, Failure> {
        typed.iter().try_fold(0, |bits, label| Ok(bits | self.bit(label)?))
    }
}

/// The numbers of labels of which there is one bit each.
pub(crate) fn numbers(labels: u64) -> impl Iterator<Item = u32> {
    (0..LABELS).filter(move |label| labels >> label & 1 == 1)
}

/// Whether a label can be called so: what is typed must not mean a number, or a label that is taken away.
pub(crate) fn is_name(name: &str) -> bool {
    !name.starts_with(['+', '-']) && name.parse::<u64>().is_err()
}
