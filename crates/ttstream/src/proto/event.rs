//! Events that a connection reports to the tasks that use it.

use kerrors::StreamError;

use super::id::StreamKey;

/// An event that a task waits for or has to handle.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Server: a peer has opened a stream. Its handler is to be run, and ended by
    /// [`finish`](super::Connection::finish).
    Opened(StreamKey),
    /// A Recv that was pending may be tried again.
    Readable(StreamKey),
    /// A Send that found no room may be tried again.
    Writable(StreamKey),
    /// An open that found no room may be tried again.
    Openable,
    /// Server: the stream has ended with this error while its handler runs.
    Canceled(StreamKey, StreamError),
    /// Client: this end has ended the stream with this error, other than by a cancel of a parent scope.
    Reset(StreamKey, StreamError),
    /// The connection may be read again.
    Resumed,
}
