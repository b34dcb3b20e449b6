//! The byte stream that transports use: a session on the byte stream below. Owns the lock between the task that reads and the
//! task that writes; it is held for one encryption or decryption and one call below, never while waiting.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::BytesMut;
use stream_core::io::{ByteStream, Io};
use stream_core::sync::Mutex;

use crate::session::{Session, discard};

#[derive(Debug)]
pub(crate) struct TlsStream {
    io: Io,
    session: Mutex<Session>,
}

impl TlsStream {
    /// Returns the stream of a session whose handshake on `io` is complete.
    pub(crate) fn into_io(io: Io, session: Session) -> Io {
        let (local, peer) = (io.local_addr().clone(), io.peer_addr().clone());
        Io::layered(Self { io, session: Mutex::new(session) }, local, peer)
    }
}

impl ByteStream for TlsStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.session.lock().has_input() {
            return Poll::Ready(Ok(()));
        }
        self.io.poll_read_ready(cx)
    }

    fn try_read_buf(&self, buf: &mut BytesMut) -> io::Result<usize> {
        if buf.len() == buf.capacity() {
            buf.reserve(1);
        }
        let before = buf.len();
        let mut session = self.session.lock();
        if session.take(buf)? == 0 && !session.has_ended() {
            let more = session.read(&self.io, buf)?;
            if !more {
                let text = "TLS: peer closed the connection without close_notify";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
        }
        match buf.len().saturating_sub(before) {
            0 if session.has_ended() => Ok(0),
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_write_ready(cx)
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.session.lock().write(&self.io, slices)
    }

    fn committed(&self) -> usize {
        self.session.lock().unreported()
    }

    fn shutdown(&self) -> io::Result<()> {
        self.session.lock().close(&self.io);
        self.io.shutdown()
    }

    fn is_closed_by_peer(&self) -> bool {
        self.io.is_closed_by_peer()
    }

    fn is_reset(&self) -> bool {
        self.io.is_reset()
    }

    /// Bytes below may be a session ticket or a key update, which is nothing to read: they are processed.
    fn is_quiet(&self) -> bool {
        let mut session = self.session.lock();
        if session.has_input() {
            return false;
        }
        let mut none = BytesMut::new();
        self.io.is_quiet()
            || (session.read(&self.io, &mut none).is_ok_and(|more| more)
                && !session.has_input()
                && self.io.is_quiet())
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        self.session.lock().close(&self.io);
        discard(&self.io);
    }
}
