//! The handles of a stream: one sends, one receives. Messages are bytes; typed streams are another crate's.
//!
//! A transport implements [`TransportStream`], and [`NewStream`] makes the handles of it. Dropping a handle
//! of a client's stream before its end cancels the stream: a drop never looks like a clean end.

use std::sync::Arc;

mod inner;
mod recv;
mod send;

pub(crate) use inner::{Lease, Parent, Setup, StreamInner, StreamTarget};
pub use inner::{NewStream, TransportStream, WeakStream};
pub use recv::{Recv, RecvStream};
pub use send::{Send, SendStream, SendTimer};

impl NewStream {
    /// Returns the two handles of a stream that neither a client nor a server has made.
    pub fn split(self) -> (SendStream, RecvStream) {
        handles(&self.start(Setup::default()).0)
    }
}

/// Returns the two handles of a stream. Called once a stream.
pub(crate) fn handles(inner: &Arc<StreamInner>) -> (SendStream, RecvStream) {
    (SendStream::new(inner.clone()), RecvStream::new(inner.clone()))
}
