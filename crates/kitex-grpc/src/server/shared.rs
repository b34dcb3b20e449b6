//! The state that the streams of one connection share, and the table by which its task finds them.

use std::ptr;
use std::sync::{Arc, Weak};

use kerrors::RecvTimeout;
use slab::Slab;
use stream_core::io::Address;
use stream_core::memory::Shed;
use stream_core::observe::{Inspect, StreamView};
use stream_core::sync::Mutex;
use tokio::sync::Notify;

use crate::GrpcConfig;
use crate::held::{Holds, Memory};
use crate::observed::{View, views};
use crate::origin::Origins;
use crate::wake::Watch;

/// The state that the streams of one connection share.
pub(super) struct Shared<S> {
    pub(super) config: GrpcConfig,
    pub(super) origins: Arc<Origins>,
    /// Streams that may be open at the same time.
    pub(super) max_streams: usize,
    pub(super) recv_timeout: Option<RecvTimeout>,
    pub(super) number: u64,
    /// The server's own service name.
    pub(super) own_service: Arc<str>,
    pub(super) local: Address,
    pub(super) peer: Address,
    pub(super) watch: Arc<Watch>,
    /// The server's own name: what a cancel from here adds to its path.
    pub(super) service: Arc<str>,
    pub(super) memory: Memory,
    /// Notified when no stream is left.
    pub(super) empty: Notify,
    /// Streams whose handler has not returned.
    pub(super) streams: Mutex<Slab<Weak<S>>>,
}

impl<S: View + 'static> Inspect for Shared<S> {
    fn views(&self) -> Vec<StreamView> {
        views(&self.all())
    }
}

impl<S: Holds + Send + Sync + 'static> Shed for Shared<S> {
    fn shed(&self, _: usize) -> usize {
        self.memory.shed(&self.all())
    }
}

impl<S> Shared<S> {
    /// Adds the stream that `make` returns for its key; `None` if there are too many.
    pub(super) fn add(&self, make: impl FnOnce(usize) -> Arc<S>) -> Option<Arc<S>> {
        let mut streams = self.streams.lock();
        // h2 counts a stream until it ends, this table counts a handler until it returns. A client that has
        // reset its streams may open as many again, so a full table means handlers that do not return.
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

    /// Removes a stream whose handler has returned, or that no handle is left of. After the first of the two its key may be
    /// another stream's.
    pub(super) fn remove(&self, key: usize, stream: &S) {
        let mut streams = self.streams.lock();
        if streams.get(key).is_some_and(|known| ptr::eq(known.as_ptr(), stream)) {
            streams.remove(key);
        }
        if streams.is_empty() {
            self.empty.notify_one();
        }
    }

    /// Waits until every handler has returned.
    pub(super) async fn idle(&self) {
        while !self.is_empty() {
            self.empty.notified().await;
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<S>> {
        self.streams.lock().iter().filter_map(|(_, stream)| stream.upgrade()).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.streams.lock().len()
    }
}
