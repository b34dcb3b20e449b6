//! Metainfo: pairs sent with a call in addition to its headers. Their form on the wire belongs to the
//! transports.

use std::fmt;

use bytes::Bytes;

/// A key and its value.
pub type Pair = (Bytes, Bytes);

/// The metainfo of one call: transient pairs are sent one hop, persistent pairs along the whole chain.
///
/// `Debug` prints keys only: values may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metainfo {
    /// Pairs sent along the whole chain.
    pub persistent: Vec<Pair>,
    /// Pairs sent one hop.
    pub transient: Vec<Pair>,
}

impl Metainfo {
    /// Returns whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.persistent.is_empty() && self.transient.is_empty()
    }

    /// Returns the value that travels the whole chain with `key`.
    pub fn persistent_value(&self, key: impl AsRef<[u8]>) -> Option<&Bytes> {
        find_pair(&self.persistent, key.as_ref())
    }

    /// Returns the value that travels one hop with `key`.
    pub fn transient_value(&self, key: impl AsRef<[u8]>) -> Option<&Bytes> {
        find_pair(&self.transient, key.as_ref())
    }

    /// Returns the value that travels one hop with `key`, whose key may have another case, and `_` for `-`: gRPC brings
    /// keys so. For keys of lower case that others define, as those of traces are.
    pub fn transient_folded(&self, key: impl AsRef<[u8]>) -> Option<&Bytes> {
        let key = key.as_ref();
        self.transient.iter().rev().find(|(found, _)| is_folded(found, key)).map(|(_, value)| value)
    }

    /// Sets a pair that travels the whole chain, in place of an earlier value.
    pub fn set_persistent(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        set(&mut self.persistent, key.into(), value.into());
    }

    /// Sets a pair that travels one hop, in place of an earlier value.
    pub fn set_transient(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        set(&mut self.transient, key.into(), value.into());
    }
}

/// Returns whether `found` is `key` but for its case and `_` for `-`.
#[doc(hidden)]
pub fn is_folded(found: &[u8], key: &[u8]) -> bool {
    let fold = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    found.len() == key.len() && found.iter().zip(key).all(|(found, key)| fold(found) == *key)
}

/// Returns the place of `key`, or else of the form in which gRPC brings it: in capitals, with `_` for `-`. Of duplicates,
/// which a header of TTHeader may have, the last.
fn position(pairs: &[Pair], key: &[u8]) -> Option<usize> {
    let by_grpc = |byte: &u8| if *byte == b'-' { b'_' } else { byte.to_ascii_uppercase() };
    let is_by_grpc = |(found, _): &Pair| found.iter().copied().eq(key.iter().map(by_grpc));
    pairs.iter().rposition(|(found, _)| found == key).or_else(|| pairs.iter().rposition(is_by_grpc))
}

/// Returns the value of `key`, or else of the form in which gRPC brings it.
#[doc(hidden)]
pub fn find_pair<'a>(pairs: &'a [Pair], key: &[u8]) -> Option<&'a Bytes> {
    position(pairs, key).and_then(|at| pairs.get(at)).map(|(_, value)| value)
}

fn set(pairs: &mut Vec<Pair>, key: Bytes, value: Bytes) {
    match position(pairs, &key).and_then(|at| pairs.get_mut(at)) {
        Some(pair) => *pair = (key, value),
        None => pairs.push((key, value)),
    }
}

impl fmt::Debug for Metainfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = |pairs: &[Pair]| pairs.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        f.debug_struct("Metainfo")
            .field("persistent", &keys(&self.persistent))
            .field("transient", &keys(&self.transient))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Metainfo;

    /// TTHeader lets a later duplicate win.
    #[test]
    fn metainfo_value_of_a_duplicate_key_is_the_last() {
        let pair = |key: &'static str, value: &'static str| (key.into(), value.into());
        let pairs = vec![pair("k", "first"), pair("other", "x"), pair("k", "last")];
        let mut metainfo = Metainfo { persistent: pairs.clone(), transient: pairs };
        assert_eq!(metainfo.persistent_value("k").map(|value| &value[..]), Some(&b"last"[..]));
        assert_eq!(metainfo.transient_value("k").map(|value| &value[..]), Some(&b"last"[..]));
        assert_eq!(metainfo.transient_folded("k").map(|value| &value[..]), Some(&b"last"[..]));
        metainfo.set_persistent("k", "set");
        assert_eq!(metainfo.persistent_value("k").map(|value| &value[..]), Some(&b"set"[..]));
    }
}
