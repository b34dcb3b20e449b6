//! A byte stream of `stream-core` as hyper reads and writes it. Knows no TLS: that is a layer below.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use stream_core::io::{Io, ReadBuffer};

/// A connection to an endpoint.
#[derive(Debug)]
pub(crate) struct Socket {
    io: Io,
    read: ReadBuffer,
}

impl Socket {
    pub(crate) fn new(io: Io) -> Self {
        Self { io, read: ReadBuffer::default() }
    }
}

impl Read for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, read } = self.get_mut();
        if read.is_empty() && ready!(read.poll_fill(io, cx))? == 0 {
            return Poll::Ready(Ok(()));
        }
        let len = read.len().min(buf.remaining());
        buf.put_slice(&read.bytes().split_to(len));
        if read.is_empty() {
            read.shrink();
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    /// Bytes that are not accepted are offered again by hyper, first, as a layer requires.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.io.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.io.poll_write_ready(cx))?;
                }
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing waits: see [`Io::try_write_vectored`].
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.io.shutdown())
    }
}
