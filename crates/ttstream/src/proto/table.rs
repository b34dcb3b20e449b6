//! The streams of a connection, found by id (frames) or by key (handles).

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use kerrors::{CancelPath, StreamError};
use slab::Slab;

use super::id::{StreamId, StreamKey};
use super::stream::Stream;

/// The largest number of reset streams that are remembered, so that later data can be answered with an Rst.
const MAX_RESETS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Table {
    streams: Slab<Stream>,
    /// With a random hasher and a bounded size, so that a peer cannot force costly collisions.
    ids: HashMap<StreamId, StreamKey, RandomState>,
    resets: VecDeque<(StreamId, StreamError, CancelPath)>,
}

impl Table {
    pub(super) fn insert(&mut self, stream: Stream) -> StreamKey {
        let id = stream.id();
        let key = StreamKey::new(self.streams.insert(stream), id);
        self.ids.insert(id, key);
        key
    }

    pub(super) fn get(&self, key: StreamKey) -> Option<&Stream> {
        self.streams.get(key.index()).filter(|stream| stream.id() == key.id())
    }

    pub(super) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.streams.get_mut(key.index()).filter(|stream| stream.id() == key.id())
    }

    pub(super) fn find(&self, id: StreamId) -> Option<StreamKey> {
        self.ids.get(&id).copied()
    }

    /// Stops routing frames to the stream; its handles still find it.
    pub(super) fn unroute(&mut self, key: StreamKey) {
        if self.ids.get(&key.id()) == Some(&key) {
            self.ids.remove(&key.id());
        }
    }

    pub(super) fn remove(&mut self, key: StreamKey) {
        if self.get(key).is_some() {
            self.streams.remove(key.index());
            self.unroute(key);
        }
    }

    /// Returns the number of streams that frames can still reach.
    pub(super) fn routed(&self) -> usize {
        self.ids.len()
    }

    /// Returns the number of streams that frames or handles can still reach.
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn keys(&self) -> Vec<StreamKey> {
        self.streams.iter().map(|(index, stream)| StreamKey::new(index, stream.id())).collect()
    }

    pub(super) fn remember_reset(&mut self, id: StreamId, error: StreamError, path: CancelPath) {
        if self.resets.len() == MAX_RESETS {
            self.resets.pop_front();
        }
        self.resets.push_back((id, error, path));
    }

    /// Returns the error that the peer has reset the stream with, and the path for the reply; once.
    pub(super) fn take_reset(&mut self, id: StreamId) -> Option<(StreamError, CancelPath)> {
        let at = self.resets.iter().position(|(reset, ..)| *reset == id)?;
        self.resets.remove(at).map(|(_, error, path)| (error, path))
    }
}
