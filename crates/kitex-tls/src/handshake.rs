//! Performs the handshake of a session on a byte stream. The caller bounds its time.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use stream_core::io::Io;

use crate::error::closed_in_handshake;
use crate::session::{Session, discard};

/// Completes when both ends may send data. rustls bounds the size of a handshake message: 64 KiB.
pub(crate) async fn handshake(io: &Io, session: &mut Session) -> io::Result<()> {
    // Plaintext that follows the handshake stays in the session.
    let mut none = BytesMut::new();
    loop {
        let is_writing = session.flush(io)? > 0;
        if !is_writing && !session.is_handshaking() {
            return Ok(());
        }
        // Both at once: a peer that writes may read only when its own bytes were read.
        poll_fn(|cx| poll_progress(io, session, is_writing, cx)).await?;
        if session.is_handshaking() {
            match session.read(io, &mut none) {
                // A short call may end with the same read.
                Ok(true) if session.has_ended() && session.is_handshaking() => {
                    return Err(closed_in_handshake(session.side()));
                }
                Ok(true) => {}
                Ok(false) => return Err(closed_in_handshake(session.side())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(closed_in_handshake(session.side()));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Waits until the handshake may make progress.
fn poll_progress(io: &Io, session: &Session, is_writing: bool, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    if is_writing && let Poll::Ready(ready) = io.poll_write_ready(cx) {
        return Poll::Ready(ready);
    }
    if !session.is_handshaking() {
        return Poll::Pending;
    }
    if session.has_input() { Poll::Ready(Ok(())) } else { io.poll_read_ready(cx) }
}

/// The time that a peer has to read the alert that ended its handshake.
const LINGER: Duration = Duration::from_millis(250);

/// Waits until the peer has closed the connection, 250 ms at most. A socket that is closed with unread bytes would reset the
/// connection, and the peer might lose the alert that says why it was refused.
pub(crate) async fn linger(io: &Io) {
    let closed = async {
        let mut unread = BytesMut::with_capacity(4096);
        // Bounds what a peer may send meanwhile.
        for _ in 0..MAX_LINGER_READS {
            unread.clear();
            if poll_fn(|cx| io.poll_read_ready(cx)).await.is_err() {
                return;
            }
            match io.try_read_buf(&mut unread) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, closed).await;
    discard(io);
}

const MAX_LINGER_READS: usize = 64;
