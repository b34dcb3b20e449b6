//! Socket operations that tokio does not have: options, a read that detects that the socket is drained, a
//! shutdown through `&self`.

use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

/// The user timeout detects a dead peer within 20 s if data is unacknowledged, TCP keepalive within 60 s if
/// not. A small unsent backlog lets an Rst overtake data that the kernel would otherwise queue.
pub(super) fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10));
    #[cfg(not(windows))]
    let keepalive = keepalive.with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(Duration::from_secs(20)))?;
        socket.set_tcp_notsent_lowat(128 * 1024)?;
    }
    Ok(())
}

pub(super) fn read_tcp(stream: &TcpStream, buf: &mut BytesMut) -> io::Result<usize> {
    let room = room(buf);
    until_drained(room, |read| stream.try_io(Interest::READABLE, read), || stream.try_read_buf(buf))
}

#[cfg(unix)]
pub(super) fn read_unix(stream: &UnixStream, buf: &mut BytesMut) -> io::Result<usize> {
    let room = room(buf);
    until_drained(room, |read| stream.try_io(Interest::READABLE, read), || stream.try_read_buf(buf))
}

fn room(buf: &BytesMut) -> usize {
    buf.capacity().saturating_sub(buf.len())
}

/// Reads once, and clears the socket's readiness if the read did not fill the buffer: with edge-triggered
/// events the socket is drained then, and the next poll waits instead of making a second read that finds
/// nothing. Only the readiness seen before the read is cleared, so an event that arrives meanwhile is not
/// lost.
fn until_drained(
    room: usize,
    try_io: impl FnOnce(&mut dyn FnMut() -> io::Result<()>) -> io::Result<()>,
    mut read: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    let mut result = Err(io::ErrorKind::WouldBlock.into());
    // The result is that of the read; `try_io` only clears the readiness.
    let _ = try_io(&mut || {
        result = read();
        match &result {
            Ok(read) if DRAINED_BY_SHORT_READ && (1..room).contains(read) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            _ => Ok(()),
        }
    });
    result
}

/// Whether readiness is reported by edge-triggered epoll or kqueue.
const DRAINED_BY_SHORT_READ: bool =
    cfg!(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_vendor = "apple"));

pub(super) fn shutdown(socket: &SockRef<'_>) -> io::Result<()> {
    socket.shutdown(Shutdown::Both)
}

/// The readiness by which the end of a stream is known while there are bytes to be read.
pub(super) const CLOSED: Interest = Interest::READABLE;

/// Returns whether the peer has closed or reset the stream, by what `ready` returns at once, if anything.
pub(super) fn is_read_closed(ready: impl Future<Output = io::Result<Ready>>) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(ready).poll(&mut cx) {
        Poll::Ready(Ok(ready)) => ready.is_read_closed(),
        Poll::Ready(Err(_)) => true,
        Poll::Pending => false,
    }
}

pub(super) fn is_quiet(socket: &SockRef<'_>) -> bool {
    let peeked = socket.peek(&mut [MaybeUninit::uninit()]);
    peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}
