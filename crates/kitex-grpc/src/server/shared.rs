//! The state that the streams of one connection share, and the table by which its task finds them.

use std::ptr;
use std::sync::atomic::AtomicUsize;
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
    /// Streams that the client has reset, and that the connection's task has not counted yet.
    pub(super) resets: AtomicUsize,
    /// Notified when no stream is left.
    pub(super) empty: Notify,
    /// Streams whose handler has not returned.
    pub(super) streams: Mutex<Streams<S>>,
}

/// Streams by their keys, and what their header lists take.
pub(super) struct Streams<S> {
    by_key: Slab<Entry<S>>,
    header_bytes: usize,
}

struct Entry<S> {
    stream: Weak<S>,
    header_bytes: usize,
}

/// Bytes of the header lists of all streams of a connection, counted as HTTP/2 does; one list may be larger.
const HEADER_BYTES: usize = 8 * 1024 * 1024;

impl<S> Default for Streams<S> {
    fn default() -> Self {
        Self { by_key: Slab::new(), header_bytes: 0 }
    }
}

impl<S: View + 'static> Inspect for Shared<S> {
    fn views(&self) -> Vec<StreamView> {
        views(&self.all())
    }
}

impl<S: Holds + Send + Sync + 'static> Shed for Shared<S> {
    fn shed(&self, part: usize) -> usize {
        let freed = self.memory.shed(&self.all(), part, self.header_bytes());
        if self.memory.is_ending() {
            self.watch.wake();
        }
        freed
    }
}

impl<S> Shared<S> {
    /// Adds the stream that `make` returns for its key, with a header list of so many bytes; `None` if there are too many
    /// streams or bytes.
    pub(super) fn add(&self, header_bytes: usize, make: impl FnOnce(usize) -> Arc<S>) -> Option<Arc<S>> {
        let mut streams = self.streams.lock();
        // h2 counts a stream until it ends, this table counts a handler until it returns. A client that has
        // reset its streams may open as many again, so a full table means handlers that do not return.
        if streams.by_key.len() >= self.max_streams.saturating_mul(2) {
            return None;
        }
        let sum = streams.header_bytes.saturating_add(header_bytes);
        if sum > HEADER_BYTES && streams.header_bytes > 0 {
            return None;
        }
        streams.header_bytes = sum;
        let entry = streams.by_key.vacant_entry();
        let stream = make(entry.key());
        entry.insert(Entry { stream: Arc::downgrade(&stream), header_bytes });
        Some(stream)
    }

    pub(super) fn find(&self, key: usize) -> Option<Arc<S>> {
        self.streams.lock().by_key.get(key)?.stream.upgrade()
    }

    /// Removes a stream whose handler has returned, or that no handle is left of. After the first of the two its key may be
    /// another stream's.
    pub(super) fn remove(&self, key: usize, stream: &S) {
        let mut streams = self.streams.lock();
        if streams.by_key.get(key).is_some_and(|known| ptr::eq(known.stream.as_ptr(), stream)) {
            let removed = streams.by_key.remove(key);
            streams.header_bytes = streams.header_bytes.saturating_sub(removed.header_bytes);
        }
        if streams.by_key.is_empty() {
            self.empty.notify_one();
        }
    }

    /// Returns what the header lists of running handlers take.
    pub(super) fn header_bytes(&self) -> usize {
        self.streams.lock().header_bytes
    }

    /// Waits until every handler has returned.
    pub(super) async fn idle(&self) {
        while !self.is_empty() {
            self.empty.notified().await;
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<S>> {
        self.streams.lock().by_key.iter().filter_map(|(_, entry)| entry.stream.upgrade()).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.streams.lock().by_key.len()
    }
}
