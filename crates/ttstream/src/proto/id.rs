//! The two identifiers of a stream: its id on the wire and the key that handles hold.

use std::fmt;
use std::num::NonZeroI32;

/// The id of a stream on its connection. 0 is the connection itself; an id may be negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(NonZeroI32);

impl StreamId {
    /// Returns `None` for 0.
    pub fn new(id: i32) -> Option<Self> {
        NonZeroI32::new(id).map(Self)
    }

    /// Returns the number on the wire.
    pub fn get(self) -> i32 {
        self.0.get()
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({})", self.0)
    }
}

/// Identifies a stream of a connection. The key of a removed stream finds nothing, even if its slot is
/// reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    index: u32,
    id: StreamId,
}

impl StreamKey {
    pub(super) fn new(index: usize, id: StreamId) -> Self {
        Self { index: u32::try_from(index).unwrap_or(u32::MAX), id }
    }

    /// Returns the slot: a small number that is reused.
    pub fn index(self) -> usize {
        usize::try_from(self.index).unwrap_or(usize::MAX)
    }

    /// Returns the id on the wire.
    pub fn id(self) -> StreamId {
        self.id
    }

    /// Returns slot and id in one number, for a [`Target`](stream_core::cancel::Target).
    pub fn token(self) -> u64 {
        let [i0, i1, i2, i3] = self.index.to_be_bytes();
        let [s0, s1, s2, s3] = self.id.get().to_be_bytes();
        u64::from_be_bytes([i0, i1, i2, i3, s0, s1, s2, s3])
    }

    /// Returns the key whose [`token`](Self::token) this is.
    pub fn from_token(token: u64) -> Option<Self> {
        let [i0, i1, i2, i3, s0, s1, s2, s3] = token.to_be_bytes();
        let id = StreamId::new(i32::from_be_bytes([s0, s1, s2, s3]))?;
        Some(Self { index: u32::from_be_bytes([i0, i1, i2, i3]), id })
    }
}
