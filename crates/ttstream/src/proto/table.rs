//! Which streams there are. Owns the two ways to a stream: by its id on the wire, by its key in a handle.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use kerrors::{CancelPath, StreamError};
use slab::Slab;

use super::StreamId;
use super::stream::Stream;

/// A handle's way to its stream. A key whose stream is gone finds nothing, its slot reused or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    index: u32,
    id: StreamId,
}

impl StreamKey {
    /// The slot: small numbers, reused.
    pub fn index(self) -> usize {
        usize::try_from(self.index).unwrap_or(usize::MAX)
    }

    /// The id on the wire.
    pub fn id(self) -> StreamId {
        self.id
    }

    /// Both in one number, for a [`Target`](crate::cancel::Target).
    pub fn token(self) -> u64 {
        let [i0, i1, i2, i3] = self.index.to_be_bytes();
        let [s0, s1, s2, s3] = self.id.get().to_be_bytes();
        u64::from_be_bytes([i0, i1, i2, i3, s0, s1, s2, s3])
    }

    /// The inverse of [`StreamKey::token`].
    pub fn from_token(token: u64) -> Option<Self> {
        let [i0, i1, i2, i3, s0, s1, s2, s3] = token.to_be_bytes();
        let id = StreamId::new(i32::from_be_bytes([s0, s1, s2, s3]))?;
        Some(Self { index: u32::from_be_bytes([i0, i1, i2, i3]), id })
    }
}

/// How many streams that a peer reset are remembered, so that data which still arrives can be answered.
const MAX_RESETS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Table {
    streams: Slab<Stream>,
    /// Few enough that a peer which chooses ids gains nothing by those that collide.
    ids: HashMap<StreamId, StreamKey, RandomState>,
    resets: VecDeque<(StreamId, StreamError, CancelPath)>,
}

impl Table {
    pub(super) fn insert(&mut self, stream: Stream) -> StreamKey {
        let id = stream.id;
        let index = u32::try_from(self.streams.insert(stream)).unwrap_or(u32::MAX);
        let key = StreamKey { index, id };
        self.ids.insert(id, key);
        key
    }

    pub(super) fn get(&self, key: StreamKey) -> Option<&Stream> {
        self.streams.get(key.index()).filter(|stream| stream.id == key.id)
    }

    pub(super) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.streams.get_mut(key.index()).filter(|stream| stream.id == key.id)
    }

    pub(super) fn find(&self, id: StreamId) -> Option<StreamKey> {
        self.ids.get(&id).copied()
    }

    /// Frames for the stream find nothing from now on; its handles still do.
    pub(super) fn unroute(&mut self, key: StreamKey) {
        if self.ids.get(&key.id) == Some(&key) {
            self.ids.remove(&key.id);
        }
    }

    pub(super) fn remove(&mut self, key: StreamKey) {
        if self.get(key).is_some() {
            self.streams.remove(key.index());
            self.unroute(key);
        }
    }

    /// Streams that frames can still reach.
    pub(super) fn routed(&self) -> usize {
        self.ids.len()
    }

    /// Streams that frames or handles can still reach.
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn keys(&self) -> Vec<StreamKey> {
        let keys = self.streams.iter().map(|(index, stream)| (u32::try_from(index), stream.id));
        keys.filter_map(|(index, id)| Some(StreamKey { index: index.ok()?, id })).collect()
    }

    pub(super) fn remember_reset(&mut self, id: StreamId, error: StreamError, path: CancelPath) {
        if self.resets.len() == MAX_RESETS {
            self.resets.pop_front();
        }
        self.resets.push_back((id, error, path));
    }

    /// What a stream was reset with by its peer, and the path to answer with; told once.
    pub(super) fn take_reset(&mut self, id: StreamId) -> Option<(StreamError, CancelPath)> {
        let at = self.resets.iter().position(|(reset, ..)| *reset == id)?;
        self.resets.remove(at).map(|(_, error, path)| (error, path))
    }
}
