//! The string pairs of a header: metainfo, headers, trailers. Knows no key.

use std::fmt;

use bytes::Bytes;

/// Pairs of bytes in the order they were written; of several with one key the last counts.
///
/// Values need not be UTF-8. `Debug` prints keys and the length of values, never a value: they may be
/// secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    pairs: Vec<(Bytes, Bytes)>,
}

impl Metadata {
    /// No pairs.
    pub const fn new() -> Self {
        Self { pairs: Vec::new() }
    }

    /// Copies `count` pairs, in one allocation for all of their bytes.
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

    /// Sets `key`, in place of an earlier value.
    pub fn insert(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        let (key, value) = (key.into(), value.into());
        match self.pairs.iter_mut().rev().find(|(found, _)| *found == key) {
            Some(pair) => pair.1 = value,
            None => self.pairs.push((key, value)),
        }
    }

    /// The value of `key`.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&Bytes> {
        let key = key.as_ref();
        self.pairs.iter().rev().find(|(found, _)| found == key).map(|(_, value)| value)
    }

    /// The value of `key` if it is UTF-8.
    pub fn get_str(&self, key: impl AsRef<[u8]>) -> Option<&str> {
        self.get(key).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Every pair in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Bytes, &Bytes)> + Clone {
        self.pairs.iter().map(|(key, value)| (key, value))
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Returns every pair as slices.
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
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        for (key, value) in pairs {
            self.insert(key, value);
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
