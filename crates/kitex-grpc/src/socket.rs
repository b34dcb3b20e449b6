//! The byte stream under an HTTP/2 connection: `stream-core`'s `Io` as tokio's `AsyncRead` and `AsyncWrite`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use stream_core::clock;
use stream_core::io::{Io, ReadBuffer};
use stream_core::rt::Timer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A byte stream that is closed when it accepts nothing for too long.
#[derive(Debug)]
pub(crate) struct Socket {
    io: Io,
    /// What was read and not yet taken.
    read: ReadBuffer,
    write_timeout: Duration,
    /// When a write that is pending has waited too long.
    due: Option<std::time::Instant>,
    timer: Timer,
}

impl Socket {
    /// Returns the stream `io`, of which `read` was read before.
    pub(crate) fn new(io: Io, read: BytesMut, write_timeout: Duration) -> Self {
        Self { io, read: ReadBuffer::new(read), write_timeout, due: None, timer: Timer::default() }
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(ready) = self.io.poll_write_ready(cx) {
            return Poll::Ready(ready);
        }
        let due = *self.due.get_or_insert_with(|| {
            let now = clock::now();
            now.checked_add(self.write_timeout).unwrap_or(now)
        });
        ready!(self.timer.poll_until(Some(due), cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "peer takes no data")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, read, .. } = &mut *self;
        if read.is_empty() && ready!(read.poll_fill(io, cx))? == 0 {
            return Poll::Ready(Ok(()));
        }
        let bytes = read.bytes();
        let len = bytes.len().min(buf.remaining());
        buf.put_slice(bytes.get(..len).unwrap_or_default());
        bytes.advance(len);
        if read.is_empty() {
            read.shrink();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.io.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.poll_room(cx))?,
                written => {
                    self.due = None;
                    return Poll::Ready(written);
                }
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Every byte that was accepted is the system's.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Closed already, if it fails.
        let _ = self.io.shutdown();
        Poll::Ready(Ok(()))
    }
}
