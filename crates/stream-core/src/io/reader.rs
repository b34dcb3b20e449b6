//! Reads from an [`Io`] into a buffer. Owns when that is a large buffer from the buffer pool and when a small
//! one of its own; knows no frames.

use std::io;
use std::mem;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;

use super::Io;
use crate::buffer_pool;

/// The space for one read, in bytes.
const READ: usize = 64 * 1024;
/// A partial frame up to this size is kept in a buffer of its own.
const SHORT: usize = 4 * 1024;

/// Bytes that were read and not yet consumed. Small while nothing is read, so that idle connections are
/// small.
#[derive(Debug, Default)]
pub struct ReadBuffer(BytesMut);

impl ReadBuffer {
    /// Returns a buffer that starts with bytes that were read before.
    pub fn new(begun: BytesMut) -> Self {
        Self(begun)
    }

    /// Returns the bytes, to be consumed from the front.
    pub fn bytes(&mut self) -> &mut BytesMut {
        &mut self.0
    }

    /// Returns the number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits for bytes and appends them; returns their number, 0 at the end of the stream. Cancel-safe.
    /// Acquires a large buffer only when there is something to read.
    pub fn poll_fill(&mut self, io: &Io, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            if let Err(error) = ready!(io.poll_read_ready(cx)) {
                return Poll::Ready(Err(error));
            }
            if self.0.len() <= SHORT {
                let begun = mem::replace(&mut self.0, buffer_pool::acquire());
                self.0.extend_from_slice(&begun);
            }
            self.0.reserve(READ);
            match io.try_read_buf(&mut self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.shrink(),
                result => return Poll::Ready(result),
            }
        }
    }

    /// As [`poll_fill`](Self::poll_fill).
    pub async fn fill(&mut self, io: &Io) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(io, cx)).await
    }

    /// Releases the large buffer if it contains no more than a short partial frame.
    pub fn shrink(&mut self) {
        if self.0.len() <= SHORT {
            let begun = BytesMut::from(&self.0[..]);
            buffer_pool::release(mem::replace(&mut self.0, begun));
        }
    }
}
