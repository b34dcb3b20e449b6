//! Pairs that travel with a call beside its headers. Owns what they are; how they are written on the wire
//! is a transport's.

use std::fmt;

use bytes::Bytes;

/// A key and its value.
pub type Pair = (Bytes, Bytes);

/// The metainfo of one call: transient pairs travel one hop, persistent pairs the whole chain.
///
/// `Debug` prints keys only: values may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metainfo {
    /// Pairs that travel the whole chain.
    pub persistent: Vec<Pair>,
    /// Pairs that travel one hop.
    pub transient: Vec<Pair>,
}

impl Metainfo {
    /// Returns whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.persistent.is_empty() && self.transient.is_empty()
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
