//! The handles of a stream: one sends, one receives. Messages are bytes; typed streams are in another crate.
//!
//! A transport implements [`TransportStream`], and [`NewStream`] makes the handles. Dropping a handle of a
//! client's stream before its end cancels the stream: a drop never looks like a clean end.

use std::sync::Arc;

mod inner;
mod parent;
mod recv;
mod reopened;
mod replay;
mod send;
mod target;

pub use inner::new::NewStream;
pub(crate) use inner::new::Setup;
pub use inner::{HeldStream, TransportStream, WeakStream};
pub(crate) use inner::{StreamInner, StreamReplay};
pub(crate) use parent::{Held, Lease, Parent};
pub use recv::{Recv, RecvStream};
pub(crate) use replay::Reopen;
pub use send::{Send, SendStream, SendTimer};
pub(crate) use target::StreamTarget;

impl NewStream {
    /// Returns the two handles of a stream that belongs neither to a client nor to a server.
    pub fn split(self) -> (SendStream, RecvStream) {
        handles(&self.start(Setup::default()))
    }
}

/// Returns the two handles of a stream. Called once per stream.
pub(crate) fn handles(inner: &Arc<StreamInner>) -> (SendStream, RecvStream) {
    (SendStream::new(inner.clone()), RecvStream::new(inner.clone()))
}
