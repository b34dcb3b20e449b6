//! A byte stream on another one: TLS, or one that a test has made. Knows no layer.

use std::fmt;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::BytesMut;

/// A connected byte stream that is not one of the built-in ones; see [`Io::layered`](super::Io::layered). Closed when it is
/// dropped. Each method is as that of [`Io`](super::Io) with the same name.
///
/// At most one task waits for readability and one for writability, while others may call the `try_*` methods: an
/// implementation must not block and must keep no lock while it returns `Pending`.
pub trait ByteStream: fmt::Debug + Send + Sync + 'static {
    /// Waits until a read may make progress.
    ///
    /// # Errors
    /// Those of the stream.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Appends bytes to the spare capacity of `buf`, and returns their number; 0 at the end of the stream.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is nothing to read now; else those of the stream.
    fn try_read_buf(&self, buf: &mut BytesMut) -> io::Result<usize>;

    /// Waits until a write may make progress.
    ///
    /// # Errors
    /// Those of the stream.
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Writes from `slices` in order, and returns the number of accepted bytes. The caller offers the others again, first.
    /// No accepted byte may wait for a later call.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing is accepted now; else those of the stream.
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Returns how many of the bytes that were offered and not accepted cannot be replaced by others any more, since they are
    /// encrypted already. Default: none.
    fn committed(&self) -> usize {
        0
    }

    /// Shuts down both directions. Accepted bytes are still delivered.
    ///
    /// # Errors
    /// Those of the stream.
    fn shutdown(&self) -> io::Result<()>;

    /// Returns whether there is nothing to read: no byte, no end of the stream, no error.
    fn is_quiet(&self) -> bool;

    /// Returns whether the peer has closed or reset the stream below, even if there are bytes to be read before. Default: this is
    /// not known.
    fn is_closed_by_peer(&self) -> bool {
        false
    }

    /// Returns whether the peer's system has reset the stream since the last call. Default: this is not known.
    fn is_reset(&self) -> bool {
        false
    }
}
