//! The handles of a stream: one sends, one receives. Messages are bytes; typed streams are another crate's.
//!
//! A transport implements [`TransportStream`], and [`NewStream`] makes the handles of it. Dropping a handle
//! of a client's stream before its end cancels the stream: a drop never looks like a clean end.

mod inner;
mod recv;
mod send;

pub(crate) use inner::{Lease, Parent, Setup, StreamInner, StreamTarget};
pub use inner::{NewStream, TransportStream, WeakStream};
pub use recv::{Recv, RecvStream};
pub use send::{Send, SendStream, SendTimer};
