//! What sockets need beyond tokio's methods: options, a read that knows when the socket is drained, a
//! shutdown through `&self`.

use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::time::Duration;

use bytes::BytesMut;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

/// A dead peer is found within 20 s if something is unacknowledged, within 60 s if not. A small unsent
/// backlog lets an Rst overtake data that the kernel would otherwise hold.
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

/// Reads once, and marks the socket as not readable if the read did not fill its room: where events come on
/// edges the socket is drained then, and the next poll waits instead of a second read that finds nothing.
/// The mark belongs to the readiness seen before the read, so an event that comes meanwhile is not lost.
fn until_drained(
    room: usize,
    try_io: impl FnOnce(&mut dyn FnMut() -> io::Result<()>) -> io::Result<()>,
    mut read: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    let mut result = Err(io::ErrorKind::WouldBlock.into());
    // What counts is what the read said; the outcome of `try_io` is the mark alone.
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

/// Whether readiness is reported by epoll or kqueue, on edges.
const DRAINED_BY_SHORT_READ: bool =
    cfg!(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_vendor = "apple"));

pub(super) fn shutdown(socket: &SockRef<'_>) -> io::Result<()> {
    socket.shutdown(Shutdown::Both)
}

pub(super) fn is_quiet(socket: &SockRef<'_>) -> bool {
    let peeked = socket.peek(&mut [MaybeUninit::uninit()]);
    peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}
