//! Pairs that travel with calls: transient ones for one hop, persistent ones along the whole chain.
//! Owns which of them a call takes on.

use std::borrow::Cow;

use bytes::Bytes;
use stream_core::{Metainfo, Pair};

/// What becomes of transient pairs that came from the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// They end here, as their name says. Kitex calls it single-hop.
    #[default]
    SingleHop,
    /// They go on to whatever the handler calls, as Kitex does if it is not told otherwise.
    Legacy,
}

/// The metainfo of a context.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContextMetainfo {
    /// What calls under the context take on.
    outgoing: Metainfo,
    /// Transient pairs of the caller's, for the handler to read.
    received: Received,
}

/// `Debug` prints keys only: values may be secrets.
#[derive(Clone, Default)]
struct Received(Vec<Pair>);

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

impl ContextMetainfo {
    /// Returns the metainfo of a handler whose caller sent `metainfo`.
    pub(crate) fn received(metainfo: Metainfo) -> Self {
        let Metainfo { persistent, transient } = metainfo;
        let outgoing = Metainfo { persistent, ..Metainfo::default() };
        Self { outgoing, received: Received(transient) }
    }

    pub(crate) fn set_persistent(&mut self, key: Bytes, value: Bytes) {
        set(&mut self.outgoing.persistent, key, value);
    }

    pub(crate) fn set_transient(&mut self, key: Bytes, value: Bytes) {
        set(&mut self.outgoing.transient, key, value);
    }

    pub(crate) fn persistent(&self, key: &[u8]) -> Option<&Bytes> {
        get(&self.outgoing.persistent, key)
    }

    pub(crate) fn transient(&self, key: &[u8]) -> Option<&Bytes> {
        get(&self.outgoing.transient, key).or_else(|| get(&self.received.0, key))
    }

    /// Returns what a call under this context takes on.
    pub(crate) fn outgoing(&self, propagation: Propagation) -> Cow<'_, Metainfo> {
        if propagation == Propagation::SingleHop || self.received.0.is_empty() {
            return Cow::Borrowed(&self.outgoing);
        }
        let mut outgoing = self.outgoing.clone();
        let own = std::mem::replace(&mut outgoing.transient, self.received.0.clone());
        own.into_iter().for_each(|(key, value)| set(&mut outgoing.transient, key, value));
        Cow::Owned(outgoing)
    }
}

fn get<'a>(pairs: &'a [Pair], key: &[u8]) -> Option<&'a Bytes> {
    pairs.iter().find(|(found, _)| found == key).map(|(_, value)| value)
}

fn set(pairs: &mut Vec<Pair>, key: Bytes, value: Bytes) {
    match pairs.iter_mut().find(|(found, _)| *found == key) {
        Some(pair) => pair.1 = value,
        None => pairs.push((key, value)),
    }
}
