//! A message passed to a transport, and traffic counters.

use bytes::Bytes;

/// A message to send: a borrowed one is copied, an owned one only if it is small.
#[derive(Debug)]
pub enum Message<'a> {
    /// Bytes borrowed from the caller.
    Borrowed(&'a [u8]),
    /// Shared bytes, which the transport may keep.
    Owned(Bytes),
}

impl AsRef<[u8]> for Message<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl Message<'_> {
    /// Returns the bytes, copied if they are borrowed.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Self::Owned(bytes) => bytes.clone(),
        }
    }
}

/// Counts the messages of one direction of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The number of messages.
    pub messages: u64,
    /// The bytes of their payloads.
    pub bytes: u64,
}

impl Traffic {
    /// Adds one message of `len` bytes.
    pub fn count(&mut self, len: usize) {
        self.messages = self.messages.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(u64::try_from(len).unwrap_or(u64::MAX));
    }
}
