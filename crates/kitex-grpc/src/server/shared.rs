//! What the streams of one connection share, and the table by which its task finds them.

use std::sync::{Arc, Weak};

use kerrors::RecvTimeout;
use slab::Slab;
use stream_core::io::Address;
use stream_core::sync::Mutex;

use crate::GrpcConfig;
use crate::wake::Watch;

/// What the streams of one connection share.
pub(super) struct Shared<S> {
    pub(super) config: GrpcConfig,
    /// Streams that may be open at the same time.
    pub(super) max_streams: usize,
    pub(super) recv_timeout: Option<RecvTimeout>,
    pub(super) number: u64,
    pub(super) local: Address,
    pub(super) peer: Address,
    pub(super) watch: Arc<Watch>,
    /// Streams whose handler has not returned.
    pub(super) streams: Mutex<Slab<Weak<S>>>,
}

impl<S> Shared<S> {
    /// Adds the stream that `make` makes with its key; `None` if there are too many.
    pub(super) fn add(&self, make: impl FnOnce(usize) -> Arc<S>) -> Option<Arc<S>> {
        let mut streams = self.streams.lock();
        // h2 counts a stream until it ends, this table a handler until it returns. A client that has reset its
        // streams may open as many at once, so that a full table means handlers that do not return.
        if streams.len() >= self.max_streams.saturating_mul(2) {
            return None;
        }
        let entry = streams.vacant_entry();
        let stream = make(entry.key());
        entry.insert(Arc::downgrade(&stream));
        Some(stream)
    }

    pub(super) fn find(&self, key: usize) -> Option<Arc<S>> {
        self.streams.lock().get(key).and_then(Weak::upgrade)
    }

    /// Removes a stream whose handler has returned.
    pub(super) fn remove(&self, key: usize) {
        self.streams.lock().try_remove(key);
    }

    pub(super) fn all(&self) -> Vec<Arc<S>> {
        self.streams.lock().iter().filter_map(|(_, stream)| stream.upgrade()).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.streams.lock().is_empty()
    }
}
