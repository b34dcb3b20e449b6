//! Pairs that travel with calls: transient ones for one hop, persistent ones along the whole chain.
//! Owns which of them a call takes on, and their names on the wire.

use std::fmt;

use bytes::Bytes;
use stream_core::Metadata;
use ttheader_codec::key::{PERSISTENT_PREFIX, TRANSIENT_PREFIX};

/// What becomes of transient pairs that came from the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// They end here, as their name says. Kitex calls it single-hop.
    #[default]
    SingleHop,
    /// They go on to whatever the handler calls, as Kitex does if it is not told otherwise.
    Legacy,
}

type Pairs = Vec<(Bytes, Bytes)>;

/// The pairs of a context.
#[derive(Clone, Default)]
pub(crate) struct Metainfo {
    persistent: Pairs,
    transient: Pairs,
    /// Transient pairs of the caller's: for the handler to read.
    received: Pairs,
}

impl Metainfo {
    /// The pairs among the strings that a stream or a call came with, if there are any.
    pub(crate) fn received(strings: &Metadata) -> Option<Self> {
        let mut metainfo = Self::default();
        for (key, value) in strings.iter() {
            if let Some(name) = strip(key, PERSISTENT_PREFIX) {
                metainfo.persistent.push((name, value.clone()));
            } else if let Some(name) = strip(key, TRANSIENT_PREFIX) {
                metainfo.received.push((name, value.clone()));
            }
        }
        (!metainfo.persistent.is_empty() || !metainfo.received.is_empty()).then_some(metainfo)
    }

    pub(crate) fn set_persistent(&mut self, key: Bytes, value: Bytes) {
        set(&mut self.persistent, key, value);
    }

    pub(crate) fn set_transient(&mut self, key: Bytes, value: Bytes) {
        set(&mut self.transient, key, value);
    }

    pub(crate) fn persistent(&self, key: &[u8]) -> Option<&Bytes> {
        get(&self.persistent, key)
    }

    pub(crate) fn transient(&self, key: &[u8]) -> Option<&Bytes> {
        get(&self.transient, key).or_else(|| get(&self.received, key))
    }

    /// Adds what a call under this context takes on.
    pub(crate) fn put(&self, strings: &mut Metadata, propagation: Propagation) {
        let received = match propagation {
            Propagation::SingleHop => &[][..],
            Propagation::Legacy => &self.received,
        };
        for (key, value) in received.iter().chain(&self.transient) {
            strings.insert(join(TRANSIENT_PREFIX, key), value.clone());
        }
        for (key, value) in &self.persistent {
            strings.insert(join(PERSISTENT_PREFIX, key), value.clone());
        }
    }
}

/// Keys only: the values may be secrets.
impl fmt::Debug for Metainfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = |pairs: &Pairs| pairs.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        f.debug_struct("Metainfo")
            .field("persistent", &keys(&self.persistent))
            .field("transient", &keys(&self.transient))
            .field("received", &keys(&self.received))
            .finish()
    }
}

fn strip(key: &Bytes, prefix: &[u8]) -> Option<Bytes> {
    key.starts_with(prefix).then(|| key.slice(prefix.len()..))
}

fn join(prefix: &[u8], key: &[u8]) -> Bytes {
    [prefix, key].concat().into()
}

fn get<'a>(pairs: &'a Pairs, key: &[u8]) -> Option<&'a Bytes> {
    pairs.iter().find(|(found, _)| found == key).map(|(_, value)| value)
}

fn set(pairs: &mut Pairs, key: Bytes, value: Bytes) {
    match pairs.iter_mut().find(|(found, _)| *found == key) {
        Some(pair) => pair.1 = value,
        None => pairs.push((key, value)),
    }
}
