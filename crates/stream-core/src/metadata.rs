//! String pairs: metainfo, headers, trailers. Knows no specific key.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use bytes::Bytes;

/// Up to this many pairs, a linear search is faster than a hash table.
const FEW: usize = 32;

/// Pairs of byte strings in insertion order; of several pairs with one key the last counts.
///
/// Values need not be UTF-8. `Debug` prints keys and the lengths of values, but no values, which may be
/// secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    pairs: Vec<(Bytes, Bytes)>,
}

impl Metadata {
    /// Returns metadata without pairs.
    pub const fn new() -> Self {
        Self { pairs: Vec::new() }
    }

    /// Copies `count` pairs, with one allocation for all of their bytes.
    pub fn copied_from<'a>(
        count: usize,
        strings: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    ) -> Self {
        if count == 0 {
            return Self::new();
        }
        let len = strings
            .clone()
            .fold(0, |len: usize, (key, value)| len.saturating_add(key.len()).saturating_add(value.len()));
        let mut bytes = Vec::with_capacity(len);
        for (key, value) in strings.clone() {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
        }
        let mut bytes = Bytes::from(bytes);
        let mut take = |part: &[u8]| bytes.split_to(part.len());
        let mut pairs = Vec::with_capacity(count);
        pairs.extend(strings.map(|(key, value)| (take(key), take(value))));
        Self { pairs }
    }

    /// Sets `key`, replacing an earlier value.
    pub fn insert(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        let (key, value) = (key.into(), value.into());
        match self.pairs.iter_mut().rev().find(|(found, _)| *found == key) {
            Some(pair) => pair.1 = value,
            None => self.pairs.push((key, value)),
        }
    }

    /// Removes every pair of `key`. Returns the last value.
    pub fn remove(&mut self, key: impl AsRef<[u8]>) -> Option<Bytes> {
        let key = key.as_ref();
        let value = self.get(key).cloned()?;
        self.pairs.retain(|(found, _)| found != key);
        Some(value)
    }

    /// Returns the value of `key`.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&Bytes> {
        let key = key.as_ref();
        self.pairs.iter().rev().find(|(found, _)| found == key).map(|(_, value)| value)
    }

    /// Returns the value of `key` if it is UTF-8.
    pub fn get_str(&self, key: impl AsRef<[u8]>) -> Option<&str> {
        self.get(key).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Iterates over the pairs in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Bytes, &Bytes)> + Clone {
        self.pairs.iter().map(|(key, value)| (key, value))
    }

    /// Returns the number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Returns whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Iterates over the pairs as slices, in order.
    pub fn as_slices(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.pairs.iter().map(|(key, value)| (&key[..], &value[..]))
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .iter()
            .map(|(key, value)| (key.escape_ascii().to_string(), format!("{} bytes", value.len())));
        f.debug_map().entries(shown).finish()
    }
}

impl<K: Into<Bytes>, V: Into<Bytes>> Extend<(K, V)> for Metadata {
    /// As [`insert`](Metadata::insert) for each pair, in linear time.
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        let mut pairs = pairs.into_iter();
        while self.pairs.len() < FEW {
            let Some((key, value)) = pairs.next() else { return };
            self.insert(key, value);
        }
        let mut places: HashMap<Bytes, usize> =
            self.pairs.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)).collect();
        for (key, value) in pairs {
            let key = key.into();
            match places.entry(key) {
                Entry::Occupied(place) => {
                    if let Some(pair) = self.pairs.get_mut(*place.get()) {
                        pair.1 = value.into();
                    }
                }
                Entry::Vacant(place) => {
                    self.pairs.push((place.key().clone(), value.into()));
                    place.insert(self.pairs.len().saturating_sub(1));
                }
            }
        }
    }
}

impl<K: Into<Bytes>, V: Into<Bytes>> FromIterator<(K, V)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut metadata = Self::new();
        metadata.extend(pairs);
        metadata
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn metadata_extend_equals_repeated_insert() {
        for count in [0, 1, FEW - 1, FEW, FEW + 1, 3 * FEW] {
            // Every key comes twice, and some three times.
            let pairs: Vec<(String, String)> = (0..2 * count)
                .map(|at| (format!("k{}", (at * 7) % count.max(1)), format!("v{at}")))
                .collect();
            for already in [0, 1, FEW, 2 * FEW] {
                let start = || (0..already).map(|at| (format!("k{at}"), "old")).collect::<Metadata>();
                let (mut at_once, mut one_by_one) = (start(), start());
                at_once.extend(pairs.clone());
                pairs.iter().for_each(|(key, value)| one_by_one.insert(key.clone(), value.clone()));
                assert_eq!(at_once, one_by_one, "{count} pairs, {already} before");
            }
        }
    }

    #[test]
    fn metadata_remove_takes_every_pair_of_a_key_and_returns_the_last() {
        let pairs = [("a", "1"), ("b", "2"), ("a", "3")].map(|(key, value)| (key.into(), value.into()));
        for (key, last, left) in [("a", Some("3"), 1), ("b", Some("2"), 2), ("c", None, 3)] {
            let mut metadata = Metadata { pairs: pairs.to_vec() };
            assert_eq!(metadata.remove(key), last.map(Bytes::from), "{key}");
            assert_eq!((metadata.len(), metadata.get(key)), (left, None), "{key}");
        }
    }

    #[test]
    fn metadata_extend_of_many_pairs_is_not_quadratic() {
        let began = std::time::Instant::now();
        let pairs: Metadata = (0..100_000).map(|at| (format!("a-key-of-some-length-{at}"), "v")).collect();
        assert_eq!(pairs.len(), 100_000);
        // Quadratic time would be 5 * 10^9 comparisons: minutes.
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    }
}
