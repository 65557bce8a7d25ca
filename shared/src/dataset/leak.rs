//! What stands in more than one split.

use std::collections::BTreeMap;

use crate::manifest::Split;

/// Something that two splits share: a reference, or the bytes of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak<K> {
    pub key: K,
    /// The splits and one bearer of the key in each, in the order in which they were met.
    pub bearers: Vec<(Split, String)>,
}

/// Keys that are met in more than one split, sorted. An item is a key, its split, and the name of what
/// bears it.
pub fn leaks<K: Ord>(items: impl IntoIterator<Item = (K, Split, String)>) -> Vec<Leak<K>> {
    let mut met: BTreeMap<K, Vec<(Split, String)>> = BTreeMap::new();
    for (key, split, bearer) in items {
        let bearers = met.entry(key).or_default();
        if bearers.iter().all(|(known, _)| *known != split) {
            bearers.push((split, bearer));
        }
    }
    let shared = met.into_iter().filter(|(_, bearers)| bearers.len() > 1);
    shared.map(|(key, bearers)| Leak { key, bearers }).collect()
}

impl<K> Leak<K> {
    /// The bearers in words: `a.png in train and b.png in test`.
    #[must_use]
    pub fn bearers(&self) -> String {
        let named = self.bearers.iter().map(|(split, name)| format!("{name} in {}", split.name()));
        named.collect::<Vec<_>>().join(" and ")
    }
}
