//! The byte stream under a connection: TCP, a Unix socket, or memory. Owns how readiness is awaited and how
//! bytes are read into and written from buffers; knows no frames. Backpressure starts here: a stream that its
//! peer does not read accepts no more bytes.
//!
//! An [`Io`] is non-blocking and used through `&self`, so that one task reads while another writes. At most
//! one task waits for readability and one for writability: of several wakers the last one counts.
//!
//! # Layers that encrypt
//! A layer, such as TLS, is a [`ByteStream`] on another `Io`: see [`Io::layered`]. Transports do not know it. Its
//! ciphertext must not wait for a flush that no transport makes, so it reports plaintext as accepted only when
//! the ciphertext of it was accepted below. The writer then offers the rest again, as after any partial write.

mod address;
mod layer;
#[cfg(all(test, loom))]
mod loom;
mod memory;
#[cfg(loom)]
pub mod model;
mod reader;
#[cfg(feature = "tokio")]
mod socket;
#[cfg(all(test, unix, feature = "tokio"))]
mod tests;
mod writer;

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::BytesMut;
#[cfg(feature = "tokio")]
use tokio::net::TcpStream;
#[cfg(all(feature = "tokio", unix))]
use tokio::net::UnixStream;

pub use address::Address;
#[cfg(feature = "tokio")]
pub use address::unix_path;
pub use layer::ByteStream;
pub use reader::ReadBuffer;
pub use writer::{Output, write_all, write_ready};

/// A connected byte stream. Closed when it is dropped.
///
/// The variants are a closed set behind one type rather than a trait object: each message passes through
/// here, and the compiler can see through a `match`. Only a layer is a trait object.
#[derive(Debug)]
pub struct Io {
    stream: Stream,
    local: Address,
    peer: Address,
}

#[derive(Debug)]
enum Stream {
    #[cfg(feature = "tokio")]
    Tcp(TcpStream),
    #[cfg(all(feature = "tokio", unix))]
    Unix(UnixStream),
    Memory(memory::End),
    Layered(Box<dyn ByteStream>),
    #[cfg(loom)]
    Model(std::sync::Arc<model::Wire>),
}

impl Io {
    /// Returns a stream over a connected TCP socket, and sets the options of the socket: no Nagle delay,
    /// TCP keepalive (after 30 s, then every 10 s), a user timeout of 20 s and a small unsent backlog.
    ///
    /// # Errors
    /// Returns the system's error if an option cannot be set or the peer is gone already.
    #[cfg(feature = "tokio")]
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        socket::configure(&stream)?;
        let (local, peer) = (Address::Tcp(stream.local_addr()?), Address::Tcp(stream.peer_addr()?));
        Ok(Self { stream: Stream::Tcp(stream), local, peer })
    }

    /// Returns a stream over a connected Unix socket.
    ///
    /// # Errors
    /// Returns the system's error if the addresses of the socket cannot be read.
    #[cfg(all(feature = "tokio", unix))]
    pub fn unix(stream: UnixStream) -> io::Result<Self> {
        let (local, peer) = (stream.local_addr()?.into(), stream.peer_addr()?.into());
        Ok(Self { stream: Stream::Unix(stream), local, peer })
    }

    /// Returns the two ends of an in-memory stream. Each direction holds at most `capacity` bytes (at least
    /// one) that the other end has not read. Needs no runtime, so it works on a paused clock.
    pub fn pair(capacity: usize) -> (Self, Self) {
        let (first, second) = memory::pair(capacity);
        let (local, peer) = (Address::next_memory(), Address::next_memory());
        let end = |end, local, peer| Self { stream: Stream::Memory(end), local, peer };
        (end(first, local.clone(), peer.clone()), end(second, peer, local))
    }

    /// Returns a stream through `layer`, between the given addresses: usually those of the stream below it.
    pub fn layered(layer: impl ByteStream, local: Address, peer: Address) -> Self {
        Self { stream: Stream::Layered(Box::new(layer)), local, peer }
    }

    /// Returns an end whose other end is the model.
    #[cfg(loom)]
    #[doc(hidden)]
    pub fn model(wire: &std::sync::Arc<model::Wire>) -> Self {
        let (local, peer) = (Address::Memory(0), Address::Memory(1));
        Self { stream: Stream::Model(wire.clone()), local, peer }
    }

    /// Waits until a read may make progress: there are bytes, the end of the stream, or an error.
    ///
    /// # Errors
    /// Returns the system's error; for a socket, that its runtime is shutting down.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.stream {
            #[cfg(feature = "tokio")]
            Stream::Tcp(stream) => stream.poll_read_ready(cx),
            #[cfg(all(feature = "tokio", unix))]
            Stream::Unix(stream) => stream.poll_read_ready(cx),
            Stream::Memory(end) => end.poll_read_ready(cx),
            Stream::Layered(layer) => layer.poll_read_ready(cx),
            #[cfg(loom)]
            Stream::Model(wire) => wire.poll_read_ready(cx),
        }
    }

    /// Appends bytes to the spare capacity of `buf`, which the caller reserves, and returns their number; 0
    /// at the end of the stream.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is nothing to read now; else the system's error.
    pub fn try_read_buf(&self, buf: &mut BytesMut) -> io::Result<usize> {
        match &self.stream {
            #[cfg(feature = "tokio")]
            Stream::Tcp(stream) => socket::read_tcp(stream, buf),
            #[cfg(all(feature = "tokio", unix))]
            Stream::Unix(stream) => socket::read_unix(stream, buf),
            Stream::Memory(end) => end.try_read_buf(buf),
            Stream::Layered(layer) => layer.try_read_buf(buf),
            #[cfg(loom)]
            Stream::Model(wire) => wire.try_read_buf(buf),
        }
    }

    /// Waits until a write may make progress.
    ///
    /// # Errors
    /// Returns the system's error; for a socket, that its runtime is shutting down.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.stream {
            #[cfg(feature = "tokio")]
            Stream::Tcp(stream) => stream.poll_write_ready(cx),
            #[cfg(all(feature = "tokio", unix))]
            Stream::Unix(stream) => stream.poll_write_ready(cx),
            Stream::Memory(end) => end.poll_write_ready(cx),
            Stream::Layered(layer) => layer.poll_write_ready(cx),
            #[cfg(loom)]
            Stream::Model(wire) => wire.poll_write_ready(cx),
        }
    }

    /// Writes from `slices` in order, and returns the number of accepted bytes. Bytes that were not accepted are
    /// the first that the next call must offer: a layer may have encrypted them already.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing is accepted now; else the system's error.
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.stream {
            #[cfg(feature = "tokio")]
            Stream::Tcp(stream) => stream.try_write_vectored(slices),
            #[cfg(all(feature = "tokio", unix))]
            Stream::Unix(stream) => stream.try_write_vectored(slices),
            Stream::Memory(end) => end.try_write_vectored(slices),
            Stream::Layered(layer) => layer.try_write_vectored(slices),
            #[cfg(loom)]
            Stream::Model(wire) => wire.try_write_vectored(slices),
        }
    }

    /// Returns how many of the bytes that were offered and not accepted must be offered before any others; 0 unless there
    /// is a layer. A writer that puts other bytes between those of a queue asks first.
    pub fn committed(&self) -> usize {
        match &self.stream {
            Stream::Layered(layer) => layer.committed(),
            _ => 0,
        }
    }

    /// Shuts down both directions. Accepted bytes are still delivered; tasks that wait on either end are
    /// woken.
    ///
    /// # Errors
    /// Returns the system's error, if the stream was already closed.
    pub fn shutdown(&self) -> io::Result<()> {
        match &self.stream {
            #[cfg(feature = "tokio")]
            Stream::Tcp(stream) => socket::shutdown(&stream.into()),
            #[cfg(all(feature = "tokio", unix))]
            Stream::Unix(stream) => socket::shutdown(&stream.into()),
            Stream::Memory(end) => {
                end.shutdown();
                Ok(())
            }
            Stream::Layered(layer) => layer.shutdown(),
            #[cfg(loom)]
            Stream::Model(wire) => {
                wire.shutdown();
                Ok(())
            }
        }
    }

    /// Returns whether there is nothing to read: no byte, no end of the stream, no error. Asks the system,
    /// since the readiness last seen may be out of date.
    pub fn is_quiet(&self) -> bool {
        match &self.stream {
            #[cfg(feature = "tokio")]
            Stream::Tcp(stream) => socket::is_quiet(&stream.into()),
            #[cfg(all(feature = "tokio", unix))]
            Stream::Unix(stream) => socket::is_quiet(&stream.into()),
            Stream::Memory(end) => end.is_quiet(),
            Stream::Layered(layer) => layer.is_quiet(),
            #[cfg(loom)]
            Stream::Model(_) => true,
        }
    }

    /// Returns whether the peer's system has reset the stream since the last call: it had bytes that no program has
    /// read. Asks the system, once for each reset.
    pub fn is_reset(&self) -> bool {
        match &self.stream {
            #[cfg(feature = "tokio")]
            Stream::Tcp(stream) => matches!(stream.take_error(), Ok(Some(_))),
            #[cfg(all(feature = "tokio", unix))]
            Stream::Unix(stream) => matches!(stream.take_error(), Ok(Some(_))),
            Stream::Memory(_) => false,
            Stream::Layered(layer) => layer.is_reset(),
            #[cfg(loom)]
            Stream::Model(_) => false,
        }
    }

    /// Returns whether the peer has closed or reset the stream, even if there are bytes to be read before.
    pub fn is_closed_by_peer(&self) -> bool {
        match &self.stream {
            #[cfg(feature = "tokio")]
            Stream::Tcp(stream) => socket::is_read_closed(stream.ready(socket::CLOSED)),
            #[cfg(all(feature = "tokio", unix))]
            Stream::Unix(stream) => socket::is_read_closed(stream.ready(socket::CLOSED)),
            Stream::Memory(end) => end.is_closed_by_peer(),
            Stream::Layered(layer) => layer.is_closed_by_peer(),
            #[cfg(loom)]
            Stream::Model(_) => false,
        }
    }

    /// Returns whether the runtime that drives this socket was shut down: readiness can no longer be awaited.
    #[cfg(feature = "tokio")]
    pub fn is_orphaned(&self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        matches!(self.poll_read_ready(&mut cx), Poll::Ready(Err(_)))
    }

    /// Returns the address of this end.
    pub fn local_addr(&self) -> &Address {
        &self.local
    }

    /// Returns the address of the other end.
    pub fn peer_addr(&self) -> &Address {
        &self.peer
    }
}
